using System.Globalization;
using System.Runtime.CompilerServices;
using Leither.Ipfs.Files;
using Leither.MmDb.Log;

namespace Leither.MmDb.Checkpoints;

/// <summary>
/// The bytes of a checkpoint: one file that holds the state of a MiMei at one position of its log. Little-endian.
/// </summary>
/// <remarks>
/// <code>
/// file    header, chunks, the end chunk, nothing more
/// header   0  8  magic "LeithChk"
///          8  2  version              10  2  bytes of the header
///         12  4  databases            16  8  epoch
///         24  8  sequence             32  8  hybrid time of the log's last entry
///         40  8  when it was begun, Unix milliseconds
///         48  8  keys                 56  4  the database that has the most of them
///         60  4  CRC-32C of the bytes before
/// chunk    0  4  length of what follows the 16 bytes
///          4  4  CRC-32C of the rest of these 16 bytes and of what follows, begun with the header's
///          8  4  number, from 0       12  4  kind: 1 pieces, 2 end
/// end     u64 keys, u64 bytes of pieces
/// </code>
/// The pieces are those of <see cref="SnapshotPiece"/>; a piece never goes over the end of a chunk. Values are as they are held in memory,
/// packs too: changing their layout changes <see cref="Version"/>.
/// </remarks>
internal static class CheckpointFormat
{
    public const ulong Magic = 0x6B68_4368_7469_654C; // "LeithChk"
    public const ushort Version = 1;
    public const int HeaderBytes = 64;
    public const int ChunkHeaderBytes = SnapshotChunk.HeaderRoom;
    public const uint PiecesKind = 1, EndKind = 2;
    public const int EndBytes = 16;
    public const string Suffix = ".mmc";
    public const string TemporarySuffix = ".tmp";
    private const string Prefix = "checkpoint-";

    /// <summary>The name of the checkpoint at a position.</summary>
    public static string FileName(Position position) => string.Create(CultureInfo.InvariantCulture, $"{Prefix}{position.Epoch}-{position.Sequence}{Suffix}");

    /// <summary>The position that a checkpoint's name says; false for other files.</summary>
    public static bool TryParseName(string name, out Position position)
    {
        position = default;
        if (!name.StartsWith(Prefix, StringComparison.Ordinal) || !name.EndsWith(Suffix, StringComparison.Ordinal))
        {
            return false;
        }

        string[] parts = name[Prefix.Length..^Suffix.Length].Split('-');
        if (parts.Length == 2
            && ulong.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out ulong epoch)
            && ulong.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out ulong sequence))
        {
            position = new Position(epoch, sequence);
            return FileName(position) == name;
        }

        return false;
    }

    /// <summary>Whether a file is what an unfinished checkpoint left.</summary>
    public static bool IsTemporary(string name) =>
        name.StartsWith(Prefix, StringComparison.Ordinal) && name.EndsWith(Suffix + TemporarySuffix, StringComparison.Ordinal);

    /// <summary>Fills the 16 bytes in front of a chunk's content.</summary>
    public static unsafe void SealChunk(byte* chunk, uint length, uint number, uint kind, uint seed)
    {
        Unsafe.WriteUnaligned(chunk, length);
        Unsafe.WriteUnaligned(chunk + 8, number);
        Unsafe.WriteUnaligned(chunk + 12, kind);
        Unsafe.WriteUnaligned(chunk + 4, ChunkCrc(chunk, chunk + ChunkHeaderBytes, length, seed));
    }

    /// <summary>The checksum that a chunk's header must hold.</summary>
    public static unsafe uint ChunkCrc(byte* header, byte* content, long length, uint seed)
    {
        uint crc = Crc32C.Compute(seed, header, 4);
        crc = Crc32C.Compute(crc, header + 8, 8);
        return Crc32C.Compute(crc, content, length);
    }
}

/// <summary>The fields of a checkpoint's header.</summary>
internal readonly record struct CheckpointHeader(Position Position, ulong Time, long BegunMs, int Databases, long Keys, int Largest = 0)
{
    public unsafe void Encode(byte* to)
    {
        new Span<byte>(to, CheckpointFormat.HeaderBytes).Clear();
        Unsafe.WriteUnaligned(to, CheckpointFormat.Magic);
        Unsafe.WriteUnaligned(to + 8, CheckpointFormat.Version);
        Unsafe.WriteUnaligned(to + 10, (ushort)CheckpointFormat.HeaderBytes);
        Unsafe.WriteUnaligned(to + 12, Databases);
        Unsafe.WriteUnaligned(to + 16, Position.Epoch);
        Unsafe.WriteUnaligned(to + 24, Position.Sequence);
        Unsafe.WriteUnaligned(to + 32, Time);
        Unsafe.WriteUnaligned(to + 40, BegunMs);
        Unsafe.WriteUnaligned(to + 48, Keys);
        Unsafe.WriteUnaligned(to + 56, Largest);
        Unsafe.WriteUnaligned(to + 60, Crc32C.Compute(0, to, 60));
    }

    /// <summary>Reads a header; its problem in words if it is none.</summary>
    public static unsafe string? Decode(byte* from, out CheckpointHeader header, out uint crc)
    {
        header = default;
        crc = Unsafe.ReadUnaligned<uint>(from + 60);
        if (Unsafe.ReadUnaligned<ulong>(from) != CheckpointFormat.Magic)
        {
            return "it does not begin as a checkpoint does";
        }

        ushort version = Unsafe.ReadUnaligned<ushort>(from + 8);
        if (crc != Crc32C.Compute(0, from, 60))
        {
            return "its header is damaged";
        }

        if (version != CheckpointFormat.Version || Unsafe.ReadUnaligned<ushort>(from + 10) != CheckpointFormat.HeaderBytes)
        {
            return $"it has format {version}, which this version does not know; a newer one wrote it";
        }

        header = new CheckpointHeader(
            new Position(Unsafe.ReadUnaligned<ulong>(from + 16), Unsafe.ReadUnaligned<ulong>(from + 24)),
            Unsafe.ReadUnaligned<ulong>(from + 32),
            Unsafe.ReadUnaligned<long>(from + 40),
            Unsafe.ReadUnaligned<int>(from + 12),
            Unsafe.ReadUnaligned<long>(from + 48),
            Unsafe.ReadUnaligned<int>(from + 56));
        return null;
    }
}

/// <summary>A checkpoint cannot be read: damaged, cut short, or of a newer version.</summary>
public sealed class CheckpointCorruptedException : IOException
{
    /// <summary>Names the file, the place and what is wrong there.</summary>
    public CheckpointCorruptedException(string file, long offset, string problem, Exception? inner = null)
        : base($"The checkpoint {file} cannot be used: at offset {offset}, {problem}", inner)
    {
        File = file;
        Offset = offset;
        Problem = problem;
    }

    /// <summary>The file.</summary>
    public string File { get; }

    /// <summary>Where in it.</summary>
    public long Offset { get; }

    /// <summary>What is wrong.</summary>
    public string Problem { get; }
}

/// <summary>What is known of a checkpoint that was read or written.</summary>
/// <param name="Name">The file's name.</param>
/// <param name="Position">The last entry of the log that it holds.</param>
/// <param name="Time">The hybrid time of that entry.</param>
/// <param name="BegunMs">When it was begun, in Unix milliseconds.</param>
/// <param name="Keys">Keys in it.</param>
/// <param name="Bytes">The file's length.</param>
public sealed record CheckpointInfo(string Name, Position Position, ulong Time, long BegunMs, long Keys, long Bytes)
{
    /// <summary>One line for the node's own log.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Name}: {Keys} keys, {Bytes} bytes, up to entry {Position}");
}
