// A tree of files that can be changed, as people know them: paths, folders, writing in the middle. Beneath are the same blocks as of any other
// content; a change makes new blocks on the way to the root, and everything else is shared with what was before.
//
// Folders are held in memory from when they are first looked into, and those that changed are written by Flush, once, however much changed in them.
// Files are blocks at once. What was not changed is let go when there is much of it.

using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.UnixFs;

/// <summary>What is known of a path.</summary>
/// <param name="Cid">Its block.</param>
/// <param name="Type">What it is.</param>
/// <param name="Size">A file's bytes; 0 for a folder.</param>
/// <param name="TotalSize">The size of all that it leads to.</param>
/// <param name="Links">How many blocks it links to.</param>
/// <param name="Mode">Permissions, where they are kept.</param>
/// <param name="Mtime">When it was last changed, where that is kept.</param>
public sealed record FileStat(Cid Cid, UnixFsType Type, ulong Size, ulong TotalSize, int Links, uint? Mode, UnixTime? Mtime);

/// <summary>How a file of a tree is written.</summary>
public sealed class FileWriteOptions
{
    /// <summary>Where the first byte goes; beyond the end, zeros come in between.</summary>
    public long Offset { get; init; }

    /// <summary>Make the file if it is not there.</summary>
    public bool Create { get; init; }

    /// <summary>Forget what was in it.</summary>
    public bool Truncate { get; init; }

    /// <summary>Make the folders on the way that are not there.</summary>
    public bool Parents { get; init; }
}

/// <summary>A tree of files over a store. Any thread; one change at a time.</summary>
/// <remarks>Blocks that were put since the last <see cref="Flush"/> are no roots of a collection but through <see cref="Roots"/>.</remarks>
public sealed class FileTree
{
    /// <summary>The most bytes that a file may come to have by being written.</summary>
    public const long MaxFileBytes = 1L << 40;

    /// <summary>How far behind the end of a file the first byte may go; what is between is written as zeros.</summary>
    public const long MaxGapBytes = 1L << 30;

    private const int MaxHeld = 50_000;

    private readonly Lock _gate = new();
    private readonly IBlockstore _store;
    private readonly UnixFsImporter _importer;
    private Item _root;
    private int _held;

    /// <summary>Begins with a root; with none, an empty folder.</summary>
    public FileTree(IBlockstore store, UnixFsProfile profile, Cid root = default)
    {
        _store = store;
        _importer = new UnixFsImporter(store, profile);
        _root = root.IsNone ? Item.NewFolder() : new Item { Cid = root };
    }

    /// <summary>What must be kept for the tree: the root as it was last written, and what was put into it since.</summary>
    public IReadOnlyList<Cid> Roots
    {
        get
        {
            lock (_gate)
            {
                var roots = new List<Cid>();
                AddRoots(_root, roots);
                return roots;
            }
        }
    }

    /// <summary>Writes the folders that changed, and returns the root.</summary>
    public Cid Flush()
    {
        lock (_gate)
        {
            Write(_root);
            if (_held > MaxHeld)
            {
                _root = new Item { Cid = _root.Cid, Tsize = _root.Tsize };
                _held = 0;
            }

            return _root.Cid;
        }
    }

    /// <summary>What is known of a path.</summary>
    /// <exception cref="UnixFsPathException">There is nothing.</exception>
    public FileStat Stat(string path)
    {
        lock (_gate)
        {
            Item item = Find(path);
            Write(item);
            UnixFsNode node = UnixFsNode.Load(_store, item.Cid);
            return new FileStat(item.Cid, node.Type, node.IsFile ? node.FileSize : 0, node.TotalSize, node.Links.Count, node.Data.Mode, node.Data.Mtime);
        }
    }

    /// <summary>The entries of a folder by name; of a file, the file alone.</summary>
    /// <exception cref="UnixFsPathException">There is nothing.</exception>
    public IReadOnlyList<UnixFsLink> List(string path)
    {
        lock (_gate)
        {
            Item item = Find(path);
            if (!TryOpen(item)) return [new UnixFsLink(UnixFsPath.Normalize(path)[^1], item.Cid, item.Tsize)];
            var entries = new List<UnixFsLink>(item.Children!.Count);
            foreach ((string name, Item child) in item.Children!)
            {
                Write(child);
                entries.Add(new UnixFsLink(name, child.Cid, child.Tsize));
            }

            entries.Sort(static (a, b) => string.CompareOrdinal(a.Name, b.Name));
            return entries;
        }
    }

    /// <summary>Makes a folder.</summary>
    /// <param name="path">Its path.</param>
    /// <param name="parents">Make those on the way too; it is no error then that the folder is there.</param>
    /// <exception cref="UnixFsPathException">Something is there, or the folder that it belongs in is not.</exception>
    public void MakeDirectory(string path, bool parents = false)
    {
        lock (_gate)
        {
            string[] names = UnixFsPath.Normalize(path);
            if (names.Length == 0)
            {
                if (parents) return;
                throw new UnixFsPathException("'/' is there already", isMissing: false);
            }

            (Item folder, string name) = Parent(path, parents);
            if (folder.Children!.TryGetValue(name, out Item? there))
            {
                if (parents && TryOpen(there)) return;
                throw new UnixFsPathException($"'{path}' is there already", isMissing: false);
            }

            Change(names.AsSpan(0, names.Length - 1), name, Item.NewFolder());
        }
    }

    /// <summary>Opens a file for reading as it is now; changes later make no difference to it.</summary>
    /// <exception cref="UnixFsPathException">There is no file.</exception>
    public UnixFsStream Read(string path)
    {
        lock (_gate)
        {
            Item item = Find(path);
            return TryOpen(item) ? throw new UnixFsPathException($"'{path}' is a folder", isMissing: false) : new UnixFsStream(_store, item.Cid);
        }
    }

    /// <summary>
    /// Writes into a file, from where the content stands to its end. A file that was cut into chunks of one size keeps that size, and only chunks
    /// that are touched are read and written; any other is read and cut again.
    /// </summary>
    /// <exception cref="UnixFsPathException">There is no file, and none is to be made.</exception>
    public void Write(string path, Stream content, FileWriteOptions? options = null)
    {
        options ??= new FileWriteOptions();
        ArgumentOutOfRangeException.ThrowIfNegative(options.Offset, nameof(options));
        if (options.Offset > MaxFileBytes) throw new UnixFsPathException($"a file has no byte {options.Offset}: the limit is {MaxFileBytes}", isMissing: false);
        lock (_gate)
        {
            string[] names = UnixFsPath.Normalize(path);
            if (names.Length == 0) throw new UnixFsPathException("'/' is a folder", isMissing: false);
            (Item folder, string name) = Parent(path, options.Parents);
            UnixFsNode? old = null;
            if (folder.Children!.TryGetValue(name, out Item? there))
            {
                if (TryOpen(there)) throw new UnixFsPathException($"'{path}' is a folder", isMissing: false);
                old = UnixFsNode.Load(_store, there.Cid);
                if (!old.IsFile) throw new UnixFsPathException($"'{path}' is a {old.Type}", isMissing: false);
            }
            else if (!options.Create)
            {
                throw new UnixFsPathException($"There is no file '{path}'", isMissing: true);
            }

            if (options.Offset - (long)(options.Truncate ? 0 : old?.FileSize ?? 0) > MaxGapBytes)
            {
                throw new UnixFsPathException($"byte {options.Offset} lies more than {MaxGapBytes} bytes behind the end of '{path}'", isMissing: false);
            }

            using UnixFsStream? before = old is null || options.Truncate ? null : new UnixFsStream(_store, old);
            using var all = new FileSplice(before, options.Offset, content);
            uint? mode = old?.Data.Mode;
            UnixTime? mtime = old?.Data.Mtime is null ? null : UnixTime.From(TimeProvider.System.GetUtcNow().UtcDateTime);
            UnixFsProfile? cut = before is null ? null : UnixFsImporter.ProfileOf(_store, old!, _importer.Profile);
            ImportedNode made = cut is null ? _importer.AddFile(all, mode, mtime) : new UnixFsImporter(_store, cut).Rewrite(_store, old!, all, mode, mtime);
            Change(names.AsSpan(0, names.Length - 1), name, new Item { Cid = made.Cid, Tsize = made.Tsize });
        }
    }

    /// <summary>Puts content into the tree under a name: nothing is copied but a link.</summary>
    /// <exception cref="UnixFsPathException">Something is there, or the folder that it belongs in is not.</exception>
    /// <exception cref="BlockMissingException">Its first block is not here.</exception>
    public void Link(in Cid cid, string path, bool parents = false)
    {
        lock (_gate)
        {
            UnixFsNode node = UnixFsNode.Load(_store, cid);
            PutAt(path, cid.ToString(), new Item { Cid = cid, Tsize = node.TotalSize }, parents);
        }
    }

    /// <summary>Copies a path of the tree: nothing is copied but a link.</summary>
    /// <exception cref="UnixFsPathException">There is nothing to copy, or something where it belongs.</exception>
    public void Copy(string from, string to, bool parents = false)
    {
        lock (_gate)
        {
            Item item = Find(from);
            Write(item);
            PutAt(to, LastName(from), new Item { Cid = item.Cid, Tsize = item.Tsize }, parents);
        }
    }

    /// <summary>Moves a path of the tree. Onto a folder, it goes into it; a file where it belongs is replaced.</summary>
    /// <exception cref="UnixFsPathException">There is nothing to move, it would go into itself, or there is a folder where it belongs.</exception>
    public void Move(string from, string to)
    {
        lock (_gate)
        {
            string[] source = UnixFsPath.Normalize(from), target = UnixFsPath.Normalize(to);
            if (source.Length == 0) throw new UnixFsPathException("'/' cannot be moved", isMissing: false);
            if (target.AsSpan().StartsWith(source))
            {
                if (target.Length == source.Length) return;
                throw new UnixFsPathException($"'{from}' cannot go into itself", isMissing: false);
            }

            Item item = Find(from);
            Write(item);
            PutAt(to, LastName(from), new Item { Cid = item.Cid, Tsize = item.Tsize }, parents: false, replaceFile: true);
            Change(source.AsSpan(0, source.Length - 1), source[^1], null);
        }
    }

    /// <summary>Takes a path out of the tree.</summary>
    /// <exception cref="UnixFsPathException">There is nothing, or a folder with something in it that was not asked for.</exception>
    public void Remove(string path, bool recursive = false)
    {
        lock (_gate)
        {
            string[] names = UnixFsPath.Normalize(path);
            if (names.Length == 0) throw new UnixFsPathException("'/' cannot be removed", isMissing: false);
            Item item = Find(path);
            if (!recursive && TryOpen(item)) throw new UnixFsPathException($"'{path}' is a folder; say that all in it goes too", isMissing: false);
            Change(names.AsSpan(0, names.Length - 1), names[^1], null);
        }
    }

    // ------------------------------------------------------------------ (under the gate)

    private static string LastName(string path) => UnixFsPath.Normalize(path) is { Length: > 0 } names ? names[^1] : "";

    private Item Find(string path)
    {
        Item item = _root;
        string[] names = UnixFsPath.Normalize(path);
        foreach (string name in names)
        {
            if (!TryOpen(item)) throw new UnixFsPathException($"'{name}' of '{path}' cannot be in what is no folder", isMissing: false);
            if (!item.Children!.TryGetValue(name, out Item? child)) throw new UnixFsPathException($"There is no '{path}'", isMissing: true);
            item = child;
        }

        return item;
    }

    /// <summary>The folder, open, that a path's last name belongs in.</summary>
    private (Item Folder, string Name) Parent(string path, bool parents)
    {
        string[] names = UnixFsPath.Normalize(path);
        Item item = _root;
        for (int i = 0; ; i++)
        {
            if (!TryOpen(item)) throw new UnixFsPathException($"'/{string.Join('/', names[..i])}' is no folder", isMissing: false);
            if (i == names.Length - 1)
            {
                return UnixFsDirectory.IsSafeName(names[i]) ? (item, names[i]) : throw new UnixFsPathException($"'{names[i]}' can be no name", isMissing: false);
            }

            if (!item.Children!.TryGetValue(names[i], out Item? child))
            {
                if (!parents) throw new UnixFsPathException($"There is no folder '/{string.Join('/', names[..(i + 1)])}'", isMissing: true);
                child = Item.NewFolder();
                Change(names.AsSpan(0, i), names[i], child);
            }

            item = child;
        }
    }

    private void PutAt(string path, string ownName, Item item, bool parents, bool replaceFile = false)
    {
        string[] names = UnixFsPath.Normalize(path);
        bool isInto = names.Length == 0 || path.EndsWith('/');
        if (!isInto)
        {
            (Item parent, string last) = Parent(path, parents);
            isInto = parent.Children!.TryGetValue(last, out Item? folder) && TryOpen(folder);
            if (!isInto && folder is not null && !replaceFile) throw new UnixFsPathException($"'{path}' is there already", isMissing: false);
        }

        if (isInto)
        {
            if (ownName.Length == 0) throw new UnixFsPathException("'/' has no name that it could have in a folder", isMissing: false);
            names = [.. names, ownName];
            (Item parent, string last) = Parent("/" + string.Join('/', names), parents);
            if (parent.Children!.TryGetValue(last, out Item? there) && (!replaceFile || TryOpen(there)))
            {
                throw new UnixFsPathException($"'/{string.Join('/', names)}' is there already", isMissing: false);
            }
        }

        Change(names.AsSpan(0, names.Length - 1), names[^1], item);
    }

    /// <summary>Changes an entry of a folder that is open, and marks all folders on the way to it.</summary>
    private void Change(ReadOnlySpan<string> folder, string name, Item? item)
    {
        Item at = _root;
        at.IsChanged = true;
        foreach (string step in folder)
        {
            at = at.Children![step];
            at.IsChanged = true;
        }

        if (item is null) at.Children!.Remove(name);
        else at.Children![name] = item;
        _held++;
    }

    /// <summary>Looks into a folder; false if it is none.</summary>
    private bool TryOpen(Item item)
    {
        if (item.Children is not null) return true;
        if (item.Cid.Codec == Multicodec.Raw) return false;
        UnixFsNode node = UnixFsNode.Load(_store, item.Cid);
        if (!node.IsDirectory) return false;
        var children = new Dictionary<string, Item>(StringComparer.Ordinal);
        foreach (UnixFsLink link in UnixFsDirectory.List(_store, node))
        {
            // Others may have made the folder; one that could not be written again is not opened.
            if (!UnixFsDirectory.IsSafeName(link.Name)) throw new UnixFsException(node.Cid, $"the folder has an entry '{link.Name}', which can be no name");
            children[link.Name] = new Item { Cid = link.Cid, Tsize = link.Tsize ?? 0 };
        }

        item.Children = children;
        item.Mode = node.Data.Mode;
        item.Mtime = node.Data.Mtime;
        _held += children.Count;
        return true;
    }

    private void Write(Item item)
    {
        if (!item.IsChanged) return;
        var entries = new List<NewEntry>(item.Children!.Count);
        foreach ((string name, Item child) in item.Children!)
        {
            Write(child);
            entries.Add(new NewEntry(name, child.Cid, child.Tsize));
        }

        ImportedNode made = _importer.AddDirectory(entries, item.Mode, item.Mtime);
        item.Cid = made.Cid;
        item.Tsize = made.Tsize;
        item.IsChanged = false;
    }

    private static void AddRoots(Item item, List<Cid> roots)
    {
        if (!item.Cid.IsNone) roots.Add(item.Cid);
        if (!item.IsChanged) return;
        foreach (Item child in item.Children!.Values) AddRoots(child, roots);
    }

    /// <summary>Something in the tree: a CID, and a folder's entries where they were looked at.</summary>
    private sealed class Item
    {
        public Cid Cid;
        public ulong Tsize;
        public Dictionary<string, Item>? Children;
        public uint? Mode;
        public UnixTime? Mtime;
        public bool IsChanged;

        public static Item NewFolder() => new() { Children = new Dictionary<string, Item>(StringComparer.Ordinal), IsChanged = true };
    }
}
