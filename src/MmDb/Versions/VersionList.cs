using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;

namespace Leither.MmDb.Versions;

/// <summary>
/// Which versions a MiMei has on this node: their numbers and blocks, which one is released, and the number of the next. It is a small file
/// that is written anew, beside the old one, and takes its place when it is durable.
/// </summary>
/// <remarks>Any thread may read what it gives; one thread at a time changes it.</remarks>
public sealed unsafe class VersionList
{
    private const string FileName = "versions", NewFileName = "versions.new";
    private const int Format = 1;

    private readonly ILogFiles _files;
    private volatile Content _content = new([], 1, 0);

    private sealed record Content(IReadOnlyList<(ulong Number, Cid Block)> Versions, ulong Next, ulong Released);

    /// <summary>Reads the list of a MiMei's folder; without a file there are no versions.</summary>
    /// <exception cref="LogFileException">The file cannot be read.</exception>
    /// <exception cref="MimeiException">It is damaged.</exception>
    public VersionList(ILogFiles files)
    {
        _files = files;
        if (files.List().Contains(FileName))
        {
            Load();
        }
    }

    /// <summary>The versions there are, oldest first.</summary>
    public IReadOnlyList<(ulong Number, Cid Block)> All => _content.Versions;

    /// <summary>The number of the next version: numbers are given once.</summary>
    public ulong Next => _content.Next;

    /// <summary>The version that the author released; 0: none.</summary>
    public ulong Released => _content.Released;

    /// <summary>The newest; none if there is no version.</summary>
    public (ulong Number, Cid Block) Last => _content.Versions is [.., var last] ? last : default;

    /// <summary>The block of a version; none if there is no such version.</summary>
    public Cid Find(ulong number)
    {
        foreach ((ulong found, Cid block) in _content.Versions)
        {
            if (found == number)
            {
                return block;
            }
        }

        return default;
    }

    /// <summary>Adds a version, the newest. Durable when it returns.</summary>
    public void Add(ulong number, Cid block) => Write(_content with { Versions = [.. _content.Versions, (number, block)], Next = number + 1 });

    /// <summary>Takes versions away. Durable when it returns.</summary>
    public void Remove(IReadOnlySet<ulong> numbers) => Write(_content with
    {
        Versions = [.. _content.Versions.Where(v => !numbers.Contains(v.Number))],
        Released = numbers.Contains(_content.Released) ? 0 : _content.Released,
    });

    /// <summary>Releases a version; 0: none any more. Durable when it returns.</summary>
    public void Release(ulong number) => Write(_content with { Released = number });

    private void Write(Content content)
    {
        var writer = new DagCborWriter();
        writer.WriteMapStart(4);
        writer.WriteKey("next"u8);
        writer.WriteUInt64(content.Next);
        writer.WriteKey("format"u8);
        writer.WriteInt64(Format);
        writer.WriteKey("released"u8);
        writer.WriteUInt64(content.Released);
        writer.WriteKey("versions"u8);
        writer.WriteArrayStart(content.Versions.Count);
        foreach ((ulong number, Cid block) in content.Versions)
        {
            writer.WriteArrayStart(2);
            writer.WriteUInt64(number);
            writer.WriteCid(block);
        }

        _files.Delete(NewFileName);
        using (ILogFile file = _files.Create(NewFileName))
        {
            fixed (byte* bytes = writer.Written)
            {
                for (int written = 0; written < writer.Length;)
                {
                    written += file.Write(written, bytes + written, writer.Length - written);
                }
            }

            file.SyncData();
        }

        _files.Rename(NewFileName, FileName);
        _files.SyncDirectory();
        _content = content;
    }

    private void Load()
    {
        byte[] bytes;
        using (ILogFile file = _files.Open(FileName))
        {
            bytes = new byte[file.Length];
            fixed (byte* to = bytes)
            {
                for (int read = 0; read < bytes.Length;)
                {
                    int count = file.Read(read, to + read, bytes.Length - read);
                    read += count > 0 ? count : throw new MimeiException($"ERR {_files.FullName(FileName)} ends early");
                }
            }
        }

        try
        {
            var reader = new DagCborReader(bytes);
            reader.ReadMapStart(4);
            reader.ReadKey("next"u8);
            ulong next = reader.ReadUInt64();
            reader.ReadKey("format"u8);
            if (reader.ReadInt64() is var format and not Format)
            {
                throw new MimeiException($"ERR {_files.FullName(FileName)} is of format {format}, which this version does not know");
            }

            reader.ReadKey("released"u8);
            ulong released = reader.ReadUInt64();
            reader.ReadKey("versions"u8);
            var versions = new List<(ulong, Cid)>();
            for (int count = reader.ReadArrayStart(); count > 0; count--)
            {
                reader.ReadArrayStart(2);
                versions.Add((reader.ReadUInt64(), reader.ReadCid()));
            }

            reader.End();
            _content = new Content(versions, next, released);
        }
        catch (DagCborException e)
        {
            throw new MimeiException($"ERR {_files.FullName(FileName)} is damaged: {e.Message}. The versions' blocks are not concerned", e);
        }
    }
}
