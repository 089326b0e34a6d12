using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Files;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;

namespace Leither.MmDb.Versions;

/// <summary>One version of a list.</summary>
/// <param name="Number">Its number.</param>
/// <param name="Block">Its block.</param>
/// <param name="IsOwn">Whether it was made here: then its position is one of the log that is here.</param>
public readonly record struct ListedVersion(ulong Number, Cid Block, bool IsOwn);

/// <summary>
/// Which versions a MiMei has on this node: their numbers and blocks, which one is released, and the number of the next. It is a small file
/// that is written anew, beside the old one, and takes its place when it is durable.
/// </summary>
/// <remarks>
/// <para>It is a map of DAG-CBOR:</para>
/// <code>
/// next      the number of the next version
/// format    1
/// garbage   whether blocks may lie in the store that no version needs: a collection is to come
/// released  the number of the version that the author released; 0: none
/// versions  [[number, link, whether it was made here] …], oldest first
/// </code>
/// <para>Any thread may use it. Each change is durable when its method returns.</para>
/// </remarks>
public sealed class VersionList
{
    private const string FileName = "versions", NewFileName = "versions.new";
    private const int Format = 1;

    private readonly IFolder _files;
    private readonly Lock _changing = new();
    private long _removals;
    private volatile Content _content = new([], 1, 0, false);

    private sealed record Content(ListedVersion[] Versions, ulong Next, ulong Released, bool HasGarbage);

    /// <summary>Reads the list of a MiMei's folder; without a file there are no versions.</summary>
    /// <exception cref="DiskException">The file cannot be read.</exception>
    /// <exception cref="MimeiException">It is damaged.</exception>
    public VersionList(IFolder files)
    {
        _files = files;
        IsStored = files.List().Any(static f => f.Name == FileName);
        if (IsStored)
        {
            Load();
        }
    }

    /// <summary>A list of what was found in a store, in the place of one that was lost.</summary>
    public VersionList(IFolder files, IEnumerable<ListedVersion> versions)
    {
        _files = files;
        ListedVersion[] found = [.. versions.OrderBy(static v => v.Number)];
        lock (_changing)
        {
            Write(new Content(found, found is [.., var last] ? last.Number + 1 : 1, 0, false));
        }
    }

    /// <summary>Whether there is a file of it.</summary>
    public bool IsStored { get; private set; }

    /// <summary>The versions there are, oldest first.</summary>
    public IReadOnlyList<ListedVersion> All => _content.Versions;

    /// <summary>The number of the next version: numbers are given once.</summary>
    public ulong Next => _content.Next;

    /// <summary>The version that the author released; 0: none.</summary>
    public ulong Released => _content.Released;

    /// <summary>Whether blocks may lie in the store that no version needs.</summary>
    public bool HasGarbage => _content.HasGarbage;

    /// <summary>The newest; none if there is no version.</summary>
    public ListedVersion Last => _content.Versions is [.., var last] ? last : default;

    /// <summary>The block of a version; none if there is no such version.</summary>
    public Cid Find(ulong number)
    {
        foreach (ListedVersion version in _content.Versions)
        {
            if (version.Number == number)
            {
                return version.Block;
            }
        }

        return default;
    }

    /// <summary>Writes the file where there is none: from then on a lost one is told from one that never was.</summary>
    public void Store()
    {
        lock (_changing)
        {
            if (!IsStored)
            {
                Write(_content);
            }
        }
    }

    /// <summary>Adds a version that was made here, the newest.</summary>
    public void Add(ulong number, Cid block) => Add([new ListedVersion(number, block, IsOwn: true)]);

    /// <summary>Adds a version, in the place of one of its number: that one's block is garbage from now on.</summary>
    /// <returns>The block of the one that was there; none: there was none.</returns>
    public Cid Put(ulong number, Cid block)
    {
        lock (_changing)
        {
            Cid old = Find(number);
            ListedVersion[] others = [.. _content.Versions.Where(v => v.Number != number)];
            if (!old.IsNone)
            {
                Interlocked.Increment(ref _removals);
            }

            Write(new Content(
                [.. others.Append(new ListedVersion(number, block, IsOwn: true)).OrderBy(static v => v.Number)],
                Math.Max(_content.Next, number + 1),
                !old.IsNone && _content.Released == number ? 0 : _content.Released,
                _content.HasGarbage || !old.IsNone));
            return old;
        }
    }

    /// <summary>Adds versions, all or none.</summary>
    /// <exception cref="MimeiException">There is one with a number of theirs.</exception>
    public void Add(IReadOnlyCollection<ListedVersion> versions)
    {
        lock (_changing)
        {
            foreach (ListedVersion version in versions)
            {
                if (!Find(version.Number).IsNone)
                {
                    throw new MimeiException($"ERR version {version.Number} was added meanwhile; try again");
                }
            }

            ListedVersion[] all = [.. _content.Versions.Concat(versions).OrderBy(static v => v.Number)];
            Write(_content with { Versions = all, Next = Math.Max(_content.Next, all[^1].Number + 1) });
        }
    }

    /// <summary>A number is taken, elsewhere: what is made here comes after it.</summary>
    public void Pass(ulong number)
    {
        lock (_changing)
        {
            if (_content.Next <= number)
            {
                Write(_content with { Next = number + 1 });
            }
        }
    }

    /// <summary>How often versions were taken away since it was read.</summary>
    public long Removals => Interlocked.Read(ref _removals);

    /// <summary>Takes versions away. Their blocks are garbage from now on.</summary>
    public void Remove(IReadOnlySet<ulong> numbers)
    {
        lock (_changing)
        {
            Interlocked.Increment(ref _removals);
            Write(_content with
            {
                Versions = [.. _content.Versions.Where(v => !numbers.Contains(v.Number))],
                Released = numbers.Contains(_content.Released) ? 0 : _content.Released,
                HasGarbage = true,
            });
        }
    }

    /// <summary>Releases a version; 0: none any more.</summary>
    public void Release(ulong number)
    {
        lock (_changing)
        {
            Write(_content with { Released = number });
        }
    }

    /// <summary>A collection is through that began after so many removals.</summary>
    public void Collected(long removals)
    {
        lock (_changing)
        {
            if (_content.HasGarbage && removals == _removals)
            {
                Write(_content with { HasGarbage = false });
            }
        }
    }

    private void Write(Content content)
    {
        var writer = new DagCborWriter();
        writer.WriteMapStart(5);
        writer.WriteKey("next"u8);
        writer.WriteUInt64(content.Next);
        writer.WriteKey("format"u8);
        writer.WriteInt64(Format);
        writer.WriteKey("garbage"u8);
        writer.WriteBoolean(content.HasGarbage);
        writer.WriteKey("released"u8);
        writer.WriteUInt64(content.Released);
        writer.WriteKey("versions"u8);
        writer.WriteArrayStart(content.Versions.Length);
        foreach (ListedVersion version in content.Versions)
        {
            writer.WriteArrayStart(3);
            writer.WriteUInt64(version.Number);
            writer.WriteCid(version.Block);
            writer.WriteBoolean(version.IsOwn);
        }

        _files.Delete(NewFileName);
        using (IFile file = _files.Create(NewFileName))
        {
            file.WriteAll(0, writer.Written);
            file.Sync();
        }

        _files.Rename(NewFileName, FileName);
        _files.SyncDirectory();
        _content = content;
        IsStored = true;
    }

    private void Load()
    {
        byte[] bytes;
        using (IFile file = _files.Open(FileName))
        {
            bytes = new byte[file.Length];
            if (file.Read(0, bytes) != bytes.Length)
            {
                throw new MimeiException($"ERR {_files.FullName(FileName)} ends early");
            }
        }

        try
        {
            var reader = new DagCborReader(bytes);
            reader.ReadMapStart(5);
            reader.ReadKey("next"u8);
            ulong next = reader.ReadUInt64();
            reader.ReadKey("format"u8);
            if (reader.ReadInt64() is var format and not Format)
            {
                throw new MimeiException($"ERR {_files.FullName(FileName)} is of format {format}, which this version does not know");
            }

            reader.ReadKey("garbage"u8);
            bool hasGarbage = reader.ReadBoolean();
            reader.ReadKey("released"u8);
            ulong released = reader.ReadUInt64();
            reader.ReadKey("versions"u8);
            var versions = new List<ListedVersion>();
            for (int count = reader.ReadArrayStart(); count > 0; count--)
            {
                reader.ReadArrayStart(3);
                versions.Add(new ListedVersion(reader.ReadUInt64(), reader.ReadCid(), reader.ReadBoolean()));
            }

            reader.End();
            _content = new Content([.. versions], next, released, hasGarbage);
        }
        catch (DagCborException e)
        {
            throw new MimeiException($"ERR {_files.FullName(FileName)} is damaged: {e.Message}. MIMEI CHECK makes it again from the versions' blocks", e);
        }
    }
}
