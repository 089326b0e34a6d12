using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Files;
using Leither.MmDb.Log;

namespace Leither.MmDb.Replication;

/// <summary>
/// The file that says of a MiMei's folder that it follows a writer elsewhere. It is empty, but while a version takes the place of what there was: then it names the
/// segment after which the log goes on, and the checkpoint of that place is the one to begin with, whatever else lies there. Or nothing takes that place: then there is
/// neither. It says also which versions are none any more then.
/// </summary>
public static class CopyFile
{
    private const string Name = "copy", NewSuffix = ".new";
    private const int FieldCount = 6, OldFieldCount = 5;

    // Several millions of versions.
    private const int MaxBytes = 64 << 20;

    /// <summary>Whether a folder is that of a copy.</summary>
    public static bool IsIn(IFolder folder) => folder.List().Any(static f => f.Name == Name);

    /// <summary>Makes a folder that of a copy, durably.</summary>
    public static void Create(IFolder folder)
    {
        Write(folder, Name, []);
    }

    /// <summary>Makes it one that is written here, durably.</summary>
    internal static void Delete(IFolder folder)
    {
        folder.Delete(Name);
        folder.SyncDirectory();
    }

    /// <summary>Says that another state takes the place of what there is, durably: its checkpoint is there, or it is empty and there is no segment.</summary>
    internal static void Begin(IFolder folder, CopyChange change)
    {
        var writer = new DagCborWriter();
        writer.WriteArrayStart(FieldCount);
        writer.WriteUInt64(change.Position.Epoch);
        writer.WriteUInt64(change.Position.Sequence);
        writer.WriteBytes(change.Segment?.Node.Encode() ?? []);
        writer.WriteUInt64(change.Segment?.Generation ?? 0);
        writer.WriteInt64(change.Segment?.Length ?? 0);
        writer.WriteArrayStart(change.UndoneVersions.Count);
        foreach (ulong number in change.UndoneVersions)
        {
            writer.WriteUInt64(number);
        }

        Write(folder, Name, writer.Written);
    }

    /// <summary>Says that it did, durably.</summary>
    internal static void End(IFolder folder) => Write(folder, Name, []);

    /// <summary>What was begun and not ended; null: nothing.</summary>
    /// <exception cref="MimeiException">The file is damaged.</exception>
    internal static CopyChange? Unfinished(IFolder folder)
    {
        byte[] bytes;
        using (IFile file = folder.Open(Name))
        {
            if (file.Length == 0)
            {
                return null;
            }

            if (file.Length > MaxBytes)
            {
                throw new MimeiException($"ERR {folder.FullName(Name)} is damaged: it has {file.Length} bytes");
            }

            bytes = new byte[file.Length];
            file.Read(0, bytes);
        }

        try
        {
            var reader = new DagCborReader(bytes);
            int fields = reader.ReadArrayStart();
            if (fields is not (FieldCount or OldFieldCount))
            {
                throw new DagCborException($"it has {fields} fields", 0);
            }

            var position = new Position(reader.ReadUInt64(), reader.ReadUInt64());
            byte[] block = reader.ReadBytes().ToArray();
            uint generation = (uint)reader.ReadUInt64();
            int length = (int)reader.ReadInt64();
            SealedSegment? segment = block.Length == 0
                ? null
                : new SealedSegment(Leither.Ipfs.Multiformats.Cid.Of(Leither.Ipfs.Multiformats.Multicodec.DagCbor, block), SegmentNode.Decode(block), generation, length);
            var undone = new HashSet<ulong>();
            for (int left = fields == FieldCount ? reader.ReadArrayStart() : 0; left > 0; left--)
            {
                undone.Add(reader.ReadUInt64());
            }

            reader.End();
            return new CopyChange(position, segment, undone);
        }
        catch (Exception e) when (e is DagCborException or Leither.Ipfs.MalformedBlockException)
        {
            throw new MimeiException($"ERR {folder.FullName(Name)} is damaged: {e.Message}", e);
        }
    }

    private static void Write(IFolder folder, string name, ReadOnlySpan<byte> bytes)
    {
        string unfinished = name + NewSuffix;
        folder.Delete(unfinished);
        using (IFile file = folder.Create(unfinished))
        {
            file.WriteAll(0, bytes);
            file.Sync();
        }

        folder.Rename(unfinished, name);
        folder.SyncDirectory();
    }
}

/// <summary>Another state in the place of what there was.</summary>
/// <param name="Position">Its last entry.</param>
/// <param name="Segment">The segment after which the log goes on; null: the state is empty, and so is the log.</param>
/// <param name="UndoneVersions">The versions of what there was that are none of what there will be.</param>
internal sealed record CopyChange(Position Position, SealedSegment? Segment, HashSet<ulong> UndoneVersions);
