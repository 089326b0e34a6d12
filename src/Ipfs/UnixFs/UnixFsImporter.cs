// From bytes and names to blocks, as a profile has it: the same content and the same profile give the same CID as `ipfs add`.
//
// A file is cut into chunks of one size; leaves are gathered into nodes of MaxLinks, those again, until one is left, so all leaves lie equally deep.
// Of a file of any size there are in memory: a window of chunks, which threads of the pool hash while the next are read and the last are put, and
// for each level the links of one node. Blocks are put in the order in which they are read again.

using System.Security.Cryptography;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.DagPb;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.UnixFs;

/// <summary>What importing came to.</summary>
/// <param name="Cid">The root.</param>
/// <param name="Tsize">The bytes of its block and of all that it leads to, counted each time that it is linked.</param>
/// <param name="FileSize">Of a file, its bytes; of a directory, those of the files in it.</param>
public readonly record struct ImportedNode(Cid Cid, ulong Tsize, ulong FileSize)
{
    /// <summary>Whether it is a directory.</summary>
    public bool IsDirectory { get; init; }
}

/// <summary>An entry of a directory that is made.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Cid">What it leads to.</param>
/// <param name="Tsize">The size of all that it leads to.</param>
public readonly record struct NewEntry(string Name, Cid Cid, ulong Tsize);

/// <summary>How folders are imported, and who is told.</summary>
public sealed class UnixFsImportOptions
{
    /// <summary>How many chunks are hashed at once; 1 hashes on the calling thread.</summary>
    public int Threads { get; init; } = Environment.ProcessorCount;

    /// <summary>Whether the permissions of files become part of them, and so of their CIDs.</summary>
    public bool PreserveMode { get; init; }

    /// <summary>Whether the times of files become part of them, and so of their CIDs.</summary>
    public bool PreserveMtime { get; init; }

    /// <summary>Whether names that begin with a dot are taken too.</summary>
    public bool IncludeHidden { get; init; }

    /// <summary>Is told how many bytes of content were read now.</summary>
    public Action<int>? BytesRead { get; init; }

    /// <summary>Is told each file, link and directory that is done, by its path.</summary>
    public Action<string, ImportedNode>? Added { get; init; }

    /// <summary>Ends the work.</summary>
    public CancellationToken Cancellation { get; init; }
}

/// <summary>Imports files and folders into a store. One import at a time; any number of importers beside each other.</summary>
/// <remarks>
/// Until the root is pinned or linked, a collection may take what was put: see <see cref="IBlockstore.ProtectPuts"/>.
/// </remarks>
/// <param name="store">Where blocks are put; null to compute CIDs alone.</param>
/// <param name="profile">How content is cut and linked.</param>
/// <param name="options">How folders are read.</param>
public sealed partial class UnixFsImporter(IBlockSink? store, UnixFsProfile profile, UnixFsImportOptions? options = null)
{
    // What stands before and behind the bytes of a wrapped leaf: two tags and lengths, the type, the file size.
    private const int Headroom = 24, Tailroom = 12;

    private readonly UnixFsImportOptions _options = options ?? new UnixFsImportOptions();
    private readonly Stack<byte[]> _buffers = new();

    /// <summary>How content is cut and linked.</summary>
    public UnixFsProfile Profile { get; } = profile;

    /// <summary>Imports a file from where the stream stands to its end.</summary>
    public ImportedNode AddFile(Stream content, uint? mode = null, UnixTime? mtime = null)
    {
        byte[] chunk = RentBuffer();
        int length = Fill(content, chunk);
        byte[] next = RentBuffer();
        int nextLength = length == Profile.ChunkBytes ? Fill(content, next) : 0;
        if (nextLength == 0)
        {
            ImportedNode only = AddOnlyLeaf(chunk, length, mode, mtime);
            _buffers.Push(chunk);
            _buffers.Push(next);
            return only;
        }

        var tree = new Tree(this, mode, mtime);
        AddLeaves(tree, new Queue<(byte[], int)>([(chunk, length), (next, nextLength)]), content, isDone: null);
        return tree.Finish();
    }

    /// <summary>Cuts what has been read, and then the rest, up to where <paramref name="isDone"/> says at the end of a whole chunk that it is enough.</summary>
    private void AddLeaves(Tree tree, Queue<(byte[] Buffer, int Length)> read, Stream content, Func<bool>? isDone)
    {
        var window = new Queue<(byte[] Buffer, Task<Leaf> Leaf)>();
        int maxWindow = Math.Max(1, _options.Threads) * 2;
        int last = Profile.ChunkBytes;
        while (true)
        {
            if (!read.TryDequeue(out (byte[] Buffer, int Length) chunk))
            {
                if (last < Profile.ChunkBytes || isDone?.Invoke() == true) break;
                chunk.Buffer = RentBuffer();
                chunk.Length = Fill(content, chunk.Buffer);
            }

            last = chunk.Length;
            if (last == 0)
            {
                _buffers.Push(chunk.Buffer);
            }
            else if (_options.Threads <= 1)
            {
                Put(chunk.Buffer, MakeLeaf(chunk.Buffer, last));
            }
            else
            {
                (byte[] buffer, int bytes) = chunk;
                window.Enqueue((buffer, Task.Run(() => MakeLeaf(buffer, bytes))));
                if (window.Count == maxWindow) PutOldest();
            }
        }

        while (window.Count > 0) PutOldest();

        void PutOldest()
        {
            (byte[] buffer, Task<Leaf> leaf) = window.Dequeue();
            Put(buffer, leaf.GetAwaiter().GetResult());
        }

        void Put(byte[] buffer, Leaf leaf)
        {
            store?.Put(leaf.Node.Cid, buffer.AsSpan(leaf.Start, leaf.Length));
            _buffers.Push(buffer);
            tree.Add(leaf.Node);
        }
    }

    /// <summary>Makes a symbolic link.</summary>
    public ImportedNode AddSymlink(string target, uint? mode = null, UnixTime? mtime = null)
    {
        byte[] bytes = System.Text.Encoding.UTF8.GetBytes(target);
        ImportedNode link = PutNode(new PbNode([], new UnixFsData { Type = UnixFsType.Symlink, Data = bytes, Mode = mode, Mtime = mtime }.Encode()), 0);
        return link with { FileSize = (ulong)bytes.Length };
    }

    /// <summary>Makes a directory of entries that are there already, in any order; sharded where the profile wants that.</summary>
    /// <exception cref="ArgumentException">A name is none, or stands twice.</exception>
    public ImportedNode AddDirectory(IReadOnlyCollection<NewEntry> entries, uint? mode = null, UnixTime? mtime = null)
    {
        var names = new HashSet<string>(entries.Count, StringComparer.Ordinal);
        foreach (NewEntry entry in entries)
        {
            if (!UnixFsDirectory.IsSafeName(entry.Name)) throw new ArgumentException($"'{entry.Name}' can be no name in a directory.", nameof(entries));
            if (!names.Add(entry.Name)) throw new ArgumentException($"The name '{entry.Name}' stands twice.", nameof(entries));
        }

        var data = new UnixFsData { Type = UnixFsType.Directory, Mode = mode, Mtime = mtime };
        if (Measure(entries, data) > Profile.ShardBytes)
        {
            var hashed = new (ulong Hash, NewEntry Entry)[entries.Count];
            int at = 0;
            foreach (NewEntry entry in entries) hashed[at++] = (UnixFsDirectory.HashOf(entry.Name), entry);
            Array.Sort(hashed, static (a, b) => a.Hash.CompareTo(b.Hash));
            return AddShard(hashed, 0, mode, mtime) with { IsDirectory = true };
        }

        var links = new PbLink[entries.Count];
        ulong below = 0;
        int i = 0;
        foreach (NewEntry entry in entries)
        {
            links[i++] = new PbLink(entry.Cid, entry.Name, entry.Tsize);
            below += entry.Tsize;
        }

        return PutNode(new PbNode(links, data.Encode()), below) with { IsDirectory = true };
    }

    /// <summary>
    /// Imports what lies at a path: a file, a symbolic link (as such), or a folder with all that is in it.
    /// </summary>
    /// <exception cref="IOException">Something cannot be read, or is neither file nor folder nor link.</exception>
    public ImportedNode AddPath(string path) => AddPath(new FileInfo(Path.TrimEndingDirectorySeparator(Path.GetFullPath(path))), Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(path))));

    private ImportedNode AddPath(FileSystemInfo item, string shown)
    {
        _options.Cancellation.ThrowIfCancellationRequested();
        if (!item.Exists && item.LinkTarget is null && !Directory.Exists(item.FullName)) throw new FileNotFoundException($"There is no '{item.FullName}'", item.FullName);
        bool isLink = item.LinkTarget is not null;
        uint? mode = _options.PreserveMode && !isLink ? ModeOf(item) : null;
        UnixTime? mtime = _options.PreserveMtime ? UnixTime.From(item.LastWriteTimeUtc) : null;
        ImportedNode node;
        if (isLink)
        {
            node = AddSymlink(item.LinkTarget!, mode, mtime);
        }
        else if ((item.Attributes & FileAttributes.Directory) != 0)
        {
            var entries = new List<NewEntry>();
            ulong bytes = 0;
            foreach (FileSystemInfo inner in new DirectoryInfo(item.FullName).EnumerateFileSystemInfos().OrderBy(static f => f.Name, StringComparer.Ordinal))
            {
                if (!_options.IncludeHidden && inner.Name.StartsWith('.')) continue;
                ImportedNode added = AddPath(inner, $"{shown}/{inner.Name}");
                entries.Add(new NewEntry(inner.Name, added.Cid, added.Tsize));
                bytes += added.FileSize;
            }

            node = AddDirectory(entries, mode, mtime) with { FileSize = bytes };
        }
        else
        {
            using var content = new FileStream(item.FullName, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0, FileOptions.SequentialScan);
            node = AddFile(content, mode, mtime);
        }

        _options.Added?.Invoke(shown, node);
        return node;
    }

    private static uint? ModeOf(FileSystemInfo item) => OperatingSystem.IsWindows() ? null : (uint)item.UnixFileMode & UnixFsData.ModeMask;

    // ------------------------------------------------------------------ files

    private byte[] RentBuffer() => _buffers.TryPop(out byte[]? buffer) ? buffer : GC.AllocateUninitializedArray<byte>(Headroom + Profile.ChunkBytes + Tailroom);

    private int Fill(Stream content, byte[] buffer)
    {
        _options.Cancellation.ThrowIfCancellationRequested();
        int read = content.ReadAtLeast(buffer.AsSpan(Headroom, Profile.ChunkBytes), Profile.ChunkBytes, throwOnEndOfStream: false);
        if (read > 0) _options.BytesRead?.Invoke(read);
        return read;
    }

    /// <summary>A file of one leaf is that leaf; with attributes it is wrapped, since a raw one has no place for them.</summary>
    private ImportedNode AddOnlyLeaf(byte[] buffer, int length, uint? mode, UnixTime? mtime)
    {
        if (mode is null && mtime is null)
        {
            Leaf leaf = MakeLeaf(buffer, length);
            store?.Put(leaf.Node.Cid, buffer.AsSpan(leaf.Start, leaf.Length));
            return leaf.Node;
        }

        var data = new UnixFsData { Type = UnixFsType.File, Data = buffer.AsMemory(Headroom, length), FileSize = (ulong)length, Mode = mode, Mtime = mtime };
        return PutNode(new PbNode([], data.Encode()), 0) with { FileSize = (ulong)length };
    }

    /// <summary>Makes the leaf of the bytes that lie behind the headroom, in place.</summary>
    private Leaf MakeLeaf(byte[] buffer, int length)
    {
        int start = Headroom;
        int end = Headroom + length;
        ulong codec = Multicodec.Raw;
        if (!Profile.HasRawLeaves)
        {
            // Backwards from the bytes: their length and tag, the type, the length and tag of all that; behind them the file size. No data, no field.
            codec = Multicodec.DagPb;
            if (length > 0)
            {
                start -= Varint.Length((ulong)length);
                Varint.Write(buffer.AsSpan(start), (ulong)length);
                buffer[--start] = 0x12;
            }

            buffer[--start] = (byte)UnixFsType.File;
            buffer[--start] = 0x08;
            buffer[end++] = 0x18;
            end += Varint.Write(buffer.AsSpan(end), (ulong)length);
            int message = end - start;
            start -= Varint.Length((ulong)message);
            Varint.Write(buffer.AsSpan(start), (ulong)message);
            buffer[--start] = DagPbReader.DataTag;
        }

        return new Leaf(new ImportedNode(CidOf(codec, buffer.AsSpan(start, end - start)), (ulong)(end - start), (ulong)length), start, end - start);
    }

    private Cid CidOf(ulong codec, ReadOnlySpan<byte> block)
    {
        Multihash hash = Multihash.Sha256(block);
        return Profile.CidVersion == 0 && codec == Multicodec.DagPb ? Cid.CreateV0(hash) : Cid.Create(codec, hash);
    }

    private ImportedNode PutNode(PbNode node, ulong below)
    {
        byte[] block = node.Encode();
        Cid cid = CidOf(Multicodec.DagPb, block);
        store?.Put(cid, block);
        return new ImportedNode(cid, (ulong)block.Length + below, 0);
    }

    // ------------------------------------------------------------------ directories

    private long Measure(IReadOnlyCollection<NewEntry> entries, UnixFsData data)
    {
        long total = 0;
        if (Profile.ShardMeasure == DirectoryMeasure.Block)
        {
            total = FieldLength(data.EncodedLength);
        }

        foreach (NewEntry entry in entries)
        {
            int name = System.Text.Encoding.UTF8.GetByteCount(entry.Name);
            total += Profile.ShardMeasure == DirectoryMeasure.Links
                ? name + entry.Cid.Length
                : FieldLength(FieldLength(entry.Cid.Length) + FieldLength(name) + 1 + Varint.Length(entry.Tsize));
        }

        return total;

        static int FieldLength(int length) => 1 + Varint.Length((ulong)length) + length;
    }

    private ImportedNode AddShard(ReadOnlySpan<(ulong Hash, NewEntry Entry)> entries, int level, uint? mode, UnixTime? mtime)
    {
        int bits = UnixFsDirectory.BitsOf(Profile.Fanout);
        if ((level + 1) * bits > 64)
        {
            throw new IOException($"'{entries[0].Entry.Name}' and '{entries[1].Entry.Name}' have the same hash, so no sharded directory can hold both");
        }

        var links = new List<PbLink>(Math.Min(entries.Length, Profile.Fanout));
        byte[] field = new byte[Profile.Fanout / 8];
        string format = "X" + UnixFsDirectory.DigitsOf(Profile.Fanout);
        ulong below = 0;
        for (int from = 0, to; from < entries.Length; from = to)
        {
            int place = PlaceOf(entries[from].Hash);
            for (to = from + 1; to < entries.Length && PlaceOf(entries[to].Hash) == place; to++)
            {
            }

            NewEntry entry = entries[from].Entry;
            string name = place.ToString(format, System.Globalization.CultureInfo.InvariantCulture);
            if (to - from == 1)
            {
                links.Add(new PbLink(entry.Cid, name + entry.Name, entry.Tsize));
                below += entry.Tsize;
            }
            else
            {
                ImportedNode shard = AddShard(entries[from..to], level + 1, null, null);
                links.Add(new PbLink(shard.Cid, name, shard.Tsize));
                below += shard.Tsize;
            }

            field[^(place / 8 + 1)] |= (byte)(1 << (place % 8));
        }

        int leading = field.AsSpan().IndexOfAnyExcept((byte)0);
        var data = new UnixFsData
        {
            Type = UnixFsType.HamtShard,
            Data = leading < 0 ? default : field.AsMemory(leading),
            HashType = UnixFsData.Murmur3X64,
            Fanout = (ulong)Profile.Fanout,
            Mode = mode,
            Mtime = mtime,
        };
        return PutNode(new PbNode(links, data.Encode()), below);

        int PlaceOf(ulong hash) => (int)(hash << (level * bits) >> (64 - bits));
    }

    private readonly record struct Leaf(ImportedNode Node, int Start, int Length);

    /// <summary>The nodes above the leaves: of each level, the one that is being filled.</summary>
    private sealed class Tree(UnixFsImporter importer, uint? mode, UnixTime? mtime)
    {
        private readonly List<List<ImportedNode>> _levels = [];

        public void Add(ImportedNode leaf) => Add(0, leaf);

        /// <summary>Adds a whole node of a level, with all that is below it, where all levels below stand at the end of a node.</summary>
        public void AddWhole(int level, ImportedNode node)
        {
            for (int below = 0; below < level; below++)
            {
                if (below == _levels.Count) _levels.Add([]);
                if (_levels[below].Count == 0) continue;
                Add(below + 1, Make(_levels[below], isRoot: false));
                _levels[below].Clear();
            }

            Add(level, node);
        }

        public ImportedNode Finish()
        {
            for (int level = 0; ; level++)
            {
                if (_levels[level].Count == 0) continue; // what would be below was added whole
                bool isTop = level == _levels.Count - 1;
                if (isTop && _levels[level].Count == 1) return _levels[level][0];
                Add(level + 1, Make(_levels[level], isTop));
            }
        }

        private void Add(int level, ImportedNode node)
        {
            if (level == _levels.Count) _levels.Add([]);
            List<ImportedNode> nodes = _levels[level];
            if (nodes.Count == importer.Profile.MaxLinks)
            {
                Add(level + 1, Make(nodes, isRoot: false));
                nodes.Clear();
            }

            nodes.Add(node);
        }

        private ImportedNode Make(List<ImportedNode> nodes, bool isRoot)
        {
            var links = new PbLink[nodes.Count];
            ulong[] sizes = new ulong[nodes.Count];
            ulong below = 0, bytes = 0;
            for (int i = 0; i < links.Length; i++)
            {
                // Without a name would be right by the specification, but an empty one is what everybody writes.
                links[i] = new PbLink(nodes[i].Cid, "", nodes[i].Tsize);
                sizes[i] = nodes[i].FileSize;
                below += nodes[i].Tsize;
                bytes += nodes[i].FileSize;
            }

            var data = new UnixFsData
            {
                Type = UnixFsType.File,
                FileSize = bytes,
                BlockSizes = sizes,
                Mode = isRoot ? mode : null,
                Mtime = isRoot ? mtime : null,
            };
            return importer.PutNode(new PbNode(links, data.Encode()), below) with { FileSize = bytes };
        }
    }
}
