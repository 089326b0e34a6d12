using System.Globalization;
using System.Runtime.CompilerServices;
using Leither.Ipfs.Files;

namespace Leither.MmDb.Log;

// The bytes of a log on disk. All numbers are little-endian. What is written here is frozen: tests hold golden bytes, and the format
// version changes when they do.
//
//   segment file            ┌────────────────┬───────┬───────┬─────┬───────┬─ zeros until it is finished, then nothing ─┐
//                           │ header, 128 B  │ group │ group │  …  │ group │                                            │
//                           └────────────────┴───────┴───────┴─────┴───────┴────────────────────────────────────────────┘
//   segment header            0  8  magic "LeithLog"
//                             8  2  format version, 1
//                            10  2  flags, 0
//                            12  4  generation: how often the epoch's tail had to be rewritten after a failed write or sync
//                            16  8  epoch
//                            24  8  first sequence: of the entry that begins (or goes on) in the first group
//                            32 32  zero: the segment's node (SegmentNode.cs) names the writer
//                            64 32  zero: the segment's node links to the one before, which may not be hashed yet
//                            96  8  entry offset: how many bytes of that entry lie in earlier segments; 0: it begins here
//                           104  8  previous epoch: of the entry before the first; with the first sequence it names where an epoch continues
//                           112  8  synced sequence when the segment was begun; in a tail that had to be rewritten, which counts only as a whole: all before
//                           120  4  salt, drawn by the writer: a client cannot put bytes into a value that pass for a group
//                           124  4  CRC-32C of the 124 bytes before
//   group header              0  2  magic "Lg"
//                             2  1  kind
//                             3  1  0
//                             4  4  payload length
//                             8  4  CRC-32C of the header (without these 4 bytes) and the payload, seeded with the segment header's CRC:
//                                   a group is only valid in its own segment
//                            12  4  entry count: how many entries end in this group
//                            16  8  first sequence
//                            24  8  synced sequence: the last entry known to be durable when this group was formed
//   payload, kind Whole       entry count × { u32 length, entry }
//   payload, First/Middle/Last{ u64 offset of these bytes in the entry, bytes }
//   payload, End              nothing: the log was closed in good order
//   entry                     0  1  format, 1
//                             1  1  flags (bit 0: skippable extension fields follow the header)
//                             2  8  time, a hybrid logical clock
//                            10  …  body, not ours to read

/// <summary>What a group carries.</summary>
internal enum GroupKind : byte
{
    /// <summary>Whole entries.</summary>
    Whole = 1,

    /// <summary>The first part of one entry too large for a group.</summary>
    First = 2,

    /// <summary>A further part of it.</summary>
    Middle = 3,

    /// <summary>Its last part, possibly its only one: only now does it count.</summary>
    Last = 4,

    /// <summary>A clean end: everything before was synced, and nothing was written afterwards.</summary>
    End = 5,
}

/// <summary>The fixed sizes of the format.</summary>
internal static class LogFormat
{
    public const int SegmentHeaderBytes = 128;
    public const int GroupHeaderBytes = 32;
    public const int LengthPrefixBytes = 4;
    public const int PartOffsetBytes = 8;
    public const int EntryHeaderBytes = 10;
    public const byte EntryFormat = 1;
    public const byte HasExtensions = 1;
    public const ushort Version = 1;
    public const ulong SegmentMagic = 0x676F_4C68_7469_654C; // "LeithLog"
    public const ushort GroupMagic = 0x674C;                 // "Lg"
    public const string SegmentSuffix = ".seg";
    public const string PreparedPrefix = "prepared-";
    public const string RewritePrefix = "rewrite-";

    public const string UndonePrefix = "undone-";

    public const string SetAsideSuffix = ".lost";

    /// <summary>Whether a file of that name may hold entries.</summary>
    public static bool HoldsEntries(string name) => name.EndsWith(SegmentSuffix, StringComparison.Ordinal);

    /// <summary>Whether a file of that name is what was set aside of a damaged log.</summary>
    public static bool IsSetAside(string name) => name.EndsWith(SetAsideSuffix, StringComparison.Ordinal);

    /// <summary>The name of the file with that number (from 1) while the tail of the log is written again.</summary>
    public static string RewriteName(uint generation, int number) =>
        string.Create(CultureInfo.InvariantCulture, $"{RewritePrefix}{generation}-{number}{SegmentSuffix}");
}

/// <summary>The header of a segment file, decoded.</summary>
internal record struct SegmentHeader
{
    public uint Generation;
    public ulong Epoch;
    public ulong FirstSequence;
    public ulong EntryOffset;
    public ulong PreviousEpoch;
    public ulong SyncedSequence;
    public uint Salt;

    /// <summary>The header's checksum, which seeds those of the groups.</summary>
    public uint Crc;

    /// <summary>Which segment it begins.</summary>
    public readonly SegmentStart Start => new(Epoch, Generation, FirstSequence, EntryOffset);

    /// <summary>Writes the 128 bytes and notes their checksum.</summary>
    public unsafe void Encode(byte* to)
    {
        Unsafe.InitBlockUnaligned(to, 0, LogFormat.SegmentHeaderBytes);
        Unsafe.WriteUnaligned(to, LogFormat.SegmentMagic);
        Unsafe.WriteUnaligned(to + 8, LogFormat.Version);
        Unsafe.WriteUnaligned(to + 12, Generation);
        Unsafe.WriteUnaligned(to + 16, Epoch);
        Unsafe.WriteUnaligned(to + 24, FirstSequence);
        Unsafe.WriteUnaligned(to + 96, EntryOffset);
        Unsafe.WriteUnaligned(to + 104, PreviousEpoch);
        Unsafe.WriteUnaligned(to + 112, SyncedSequence);
        Unsafe.WriteUnaligned(to + 120, Salt);
        Crc = Crc32C.Compute(0, to, 124);
        Unsafe.WriteUnaligned(to + 124, Crc);
    }

    /// <summary>Reads 128 bytes; false unless magic and checksum are right. A version from the future is for the caller to refuse.</summary>
    public static unsafe bool TryDecode(byte* from, out SegmentHeader header, out ushort version)
    {
        header = default;
        version = Unsafe.ReadUnaligned<ushort>(from + 8);
        if (Unsafe.ReadUnaligned<ulong>(from) != LogFormat.SegmentMagic) return false;
        uint crc = Unsafe.ReadUnaligned<uint>(from + 124);
        if (Crc32C.Compute(0, from, 124) != crc) return false;
        header = new SegmentHeader
        {
            Generation = Unsafe.ReadUnaligned<uint>(from + 12),
            Epoch = Unsafe.ReadUnaligned<ulong>(from + 16),
            FirstSequence = Unsafe.ReadUnaligned<ulong>(from + 24),
            EntryOffset = Unsafe.ReadUnaligned<ulong>(from + 96),
            PreviousEpoch = Unsafe.ReadUnaligned<ulong>(from + 104),
            SyncedSequence = Unsafe.ReadUnaligned<ulong>(from + 112),
            Salt = Unsafe.ReadUnaligned<uint>(from + 120),
            Crc = crc,
        };
        return true;
    }

    /// <summary>The file's name: epoch and first sequence in hex; then, only where they are not 0, the entry offset (a segment that goes on
    /// with a large entry) and the generation.</summary>
    public readonly string FileName()
    {
        string name = string.Create(CultureInfo.InvariantCulture, $"{Epoch:x8}-{FirstSequence:x16}");
        if (EntryOffset != 0) name += string.Create(CultureInfo.InvariantCulture, $"-{EntryOffset:x16}");
        if (Generation != 0) name += string.Create(CultureInfo.InvariantCulture, $"-g{Generation:x}");
        return name + LogFormat.SegmentSuffix;
    }

    /// <summary>Reads a name that <see cref="FileName"/> made.</summary>
    public static bool TryParseName(string name, out SegmentHeader header)
    {
        header = default;
        if (!name.EndsWith(LogFormat.SegmentSuffix, StringComparison.Ordinal)) return false;
        string[] parts = name[..^LogFormat.SegmentSuffix.Length].Split('-');
        if (parts.Length is < 2 or > 4) return false;
        if (!Hex(parts[0], out header.Epoch) || !Hex(parts[1], out header.FirstSequence)) return false;
        foreach (string part in parts.AsSpan(2))
        {
            if (part.StartsWith('g'))
            {
                if (!uint.TryParse(part.AsSpan(1), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out header.Generation)) return false;
            }
            else if (!Hex(part, out header.EntryOffset)) return false;
        }
        return header.FileName() == name;

        static bool Hex(string text, out ulong value) =>
            ulong.TryParse(text, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out value);
    }
}

/// <summary>The header of a group, decoded, with the place of its payload.</summary>
internal unsafe struct Group
{
    public GroupKind Kind;
    public uint EntryCount;
    public ulong FirstSequence;
    public ulong SyncedSequence;
    public byte* Payload;
    public uint PayloadBytes;

    /// <summary>Header and payload.</summary>
    public readonly long TotalBytes => (long)LogFormat.GroupHeaderBytes + PayloadBytes;

    /// <summary>The sequence that the next group must begin with.</summary>
    public readonly ulong NextSequence => FirstSequence + EntryCount;

    /// <summary>For a part: where in its entry it lies.</summary>
    public readonly ulong PartOffset => Kind is GroupKind.First or GroupKind.Middle or GroupKind.Last ? Unsafe.ReadUnaligned<ulong>(Payload) : 0;

    /// <summary>For a group of whole entries: whether their lengths are such that they fill it.</summary>
    public readonly bool HoldsTogether()
    {
        byte* at = Payload, end = at + PayloadBytes;
        for (uint i = 0; i < EntryCount; i++)
        {
            if (end - at < LogFormat.LengthPrefixBytes) return false;
            uint length = Unsafe.ReadUnaligned<uint>(at);
            at += LogFormat.LengthPrefixBytes;
            if (length < LogFormat.EntryHeaderBytes || length > end - at) return false;
            at += length;
        }
        return at == end;
    }

    /// <summary>Writes all of the header but the checksum and the synced sequence, which are known only when the group goes to a file.</summary>
    public static void EncodeHeader(byte* at, GroupKind kind, uint payloadBytes, uint entryCount, ulong firstSequence)
    {
        Unsafe.WriteUnaligned(at, (uint)LogFormat.GroupMagic | (uint)kind << 16);
        Unsafe.WriteUnaligned(at + 4, payloadBytes);
        Unsafe.WriteUnaligned(at + 8, 0u);
        Unsafe.WriteUnaligned(at + 12, entryCount);
        Unsafe.WriteUnaligned(at + 16, firstSequence);
        Unsafe.WriteUnaligned(at + 24, 0ul);
    }

    /// <summary>Completes a header for the segment whose header's checksum is <paramref name="seed"/>.</summary>
    public static void Seal(byte* at, uint seed, ulong syncedSequence)
    {
        Unsafe.WriteUnaligned(at + 24, syncedSequence);
        Unsafe.WriteUnaligned(at + 8, Checksum(at, seed, Unsafe.ReadUnaligned<uint>(at + 4)));
    }

    /// <summary>Reads the header without looking at the checksum: for bytes that never left our memory.</summary>
    public static Group Trusted(byte* at) => new()
    {
        Kind = (GroupKind)at[2],
        PayloadBytes = Unsafe.ReadUnaligned<uint>(at + 4),
        EntryCount = Unsafe.ReadUnaligned<uint>(at + 12),
        FirstSequence = Unsafe.ReadUnaligned<ulong>(at + 16),
        SyncedSequence = Unsafe.ReadUnaligned<ulong>(at + 24),
        Payload = at + LogFormat.GroupHeaderBytes,
    };

    /// <summary>Reads a group from <paramref name="available"/> bytes that may be anything; true only when it is whole and its checksum is right.</summary>
    public static bool TryRead(byte* at, long available, uint seed, out Group group)
    {
        group = default;
        if (available < LogFormat.GroupHeaderBytes) return false;
        if (Unsafe.ReadUnaligned<ushort>(at) != LogFormat.GroupMagic || at[3] != 0) return false;
        if (at[2] is < (byte)GroupKind.Whole or > (byte)GroupKind.End) return false;
        uint payload = Unsafe.ReadUnaligned<uint>(at + 4);
        if (payload > available - LogFormat.GroupHeaderBytes) return false;
        if ((GroupKind)at[2] is GroupKind.First or GroupKind.Middle or GroupKind.Last && payload < LogFormat.PartOffsetBytes) return false;
        if (Checksum(at, seed, payload) != Unsafe.ReadUnaligned<uint>(at + 8)) return false;
        group = Trusted(at);
        return true;
    }

    private static uint Checksum(byte* at, uint seed, uint payload)
    {
        uint crc = Crc32C.Compute(seed, at, 8);
        return Crc32C.Compute(crc, at + 12, (long)LogFormat.GroupHeaderBytes - 12 + payload);
    }
}
