using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Files;
using Leither.MmDb.Log;

namespace Leither.MmDb.Replication;

/// <summary>
/// The file that says of a MiMei's folder that it follows a writer elsewhere. It is empty, but while a version takes the place of what there was: then it names the
/// segment after which the log goes on, and the checkpoint of that place is the one to begin with, whatever else lies there.
/// </summary>
public static class CopyFile
{
    private const string Name = "copy", NewSuffix = ".new";
    private const int FieldCount = 5, MaxBytes = 1024;

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

    /// <summary>Says that another state takes the place of what there is, durably: its checkpoint is there.</summary>
    internal static void Begin(IFolder folder, Position position, SealedSegment segment)
    {
        var writer = new DagCborWriter();
        writer.WriteArrayStart(FieldCount);
        writer.WriteUInt64(position.Epoch);
        writer.WriteUInt64(position.Sequence);
        writer.WriteBytes(segment.Node.Encode());
        writer.WriteUInt64(segment.Generation);
        writer.WriteInt64(segment.Length);
        Write(folder, Name, writer.Written);
    }

    /// <summary>Says that it did, durably.</summary>
    internal static void End(IFolder folder) => Write(folder, Name, []);

    /// <summary>What was begun and not ended; null: nothing.</summary>
    /// <exception cref="MimeiException">The file is damaged.</exception>
    internal static (Position Position, SealedSegment Segment)? Unfinished(IFolder folder)
    {
        byte[] bytes;
        using (IFile file = folder.Open(Name))
        {
            if (file.Length == 0)
            {
                return null;
            }

            bytes = new byte[Math.Min(file.Length, MaxBytes)];
            file.Read(0, bytes);
        }

        try
        {
            var reader = new DagCborReader(bytes);
            reader.ReadArrayStart(FieldCount);
            var position = new Position(reader.ReadUInt64(), reader.ReadUInt64());
            byte[] block = reader.ReadBytes().ToArray();
            uint generation = (uint)reader.ReadUInt64();
            int length = (int)reader.ReadInt64();
            reader.End();
            return (position, new SealedSegment(Leither.Ipfs.Multiformats.Cid.Of(Leither.Ipfs.Multiformats.Multicodec.DagCbor, block), SegmentNode.Decode(block), generation, length));
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
