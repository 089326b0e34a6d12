// A pack file: blocks in the order they were put. Little-endian. The format is frozen by golden bytes in the tests; what is new gets a new
// version or a new record kind.
//
// <number, 8 hex digits>.pack
//
//   file header (64 bytes)                                 record (12 bytes, CID, data)
//    0  u64  magic "LeiPack\n"                              0  u16  magic 0xB10C
//    8  u16  version, 1                                     2  u8   kind: 1 a block, 2 a block was deleted
//   10  u16  0                                              3  u8   length of the CID
//   12  u32  number                                         4  u32  length of the data; 0 for kind 2
//   16  u64  position up to which all was durable when      8  u32  CRC-32C, begun with the salt, of bytes 0-7 and the CID
//            the file was made                             12       CID, data
//   24  u32  salt
//   28       zeros
//   60  u32  CRC-32C of bytes 0-59
//
// A position is (number << 32 | offset). Numbers grow and are never used twice, so positions order all records ever written: the last one
// about a key is what counts. The data has no checksum of its own because its CID is one. The salt is secret, so that nobody can make a
// block whose bytes, found while looking for the next whole record behind damage, would pass for a record.

using System.Buffers.Binary;
using System.Globalization;
using Leither.Ipfs.Files;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.Blockstore;

internal enum RecordKind : byte
{
    Block = 1,
    Deleted = 2,
}

internal static class PackFormat
{
    public const ulong Magic = 0x0a_6b_63_61_50_69_65_4c; // "LeiPack\n"
    public const ushort Version = 1;
    public const int HeaderBytes = 64;

    public const ushort RecordMagic = 0xB10C;
    public const int RecordHeaderBytes = 12;

    public const string Suffix = ".pack";

    public static string Name(uint number) => number.ToString("x8", CultureInfo.InvariantCulture) + Suffix;

    public static bool TryParseName(string name, string suffix, out uint number)
    {
        number = 0;
        return name.Length == 8 + suffix.Length && name.EndsWith(suffix, StringComparison.Ordinal)
            && uint.TryParse(name.AsSpan(0, 8), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out number)
            && name.StartsWith(number.ToString("x8", CultureInfo.InvariantCulture), StringComparison.Ordinal);
    }

    public static ulong Position(uint pack, long offset) => (ulong)pack << 32 | (uint)offset;

    public static uint PackOf(ulong position) => (uint)(position >> 32);

    public static long OffsetOf(ulong position) => (uint)position;

    public static void WriteHeader(Span<byte> to, uint number, ulong durable, uint salt)
    {
        to[..HeaderBytes].Clear();
        BinaryPrimitives.WriteUInt64LittleEndian(to, Magic);
        BinaryPrimitives.WriteUInt16LittleEndian(to[8..], Version);
        BinaryPrimitives.WriteUInt32LittleEndian(to[12..], number);
        BinaryPrimitives.WriteUInt64LittleEndian(to[16..], durable);
        BinaryPrimitives.WriteUInt32LittleEndian(to[24..], salt);
        BinaryPrimitives.WriteUInt32LittleEndian(to[60..], Crc32C.Compute(0, to[..60]));
    }

    /// <summary>Reads a header; false unless magic and checksum are right. A version from the future is for the caller to refuse.</summary>
    public static bool TryReadHeader(ReadOnlySpan<byte> from, out ushort version, out uint number, out ulong durable, out uint salt)
    {
        version = BinaryPrimitives.ReadUInt16LittleEndian(from[8..]);
        number = BinaryPrimitives.ReadUInt32LittleEndian(from[12..]);
        durable = BinaryPrimitives.ReadUInt64LittleEndian(from[16..]);
        salt = BinaryPrimitives.ReadUInt32LittleEndian(from[24..]);
        return BinaryPrimitives.ReadUInt64LittleEndian(from) == Magic && BinaryPrimitives.ReadUInt32LittleEndian(from[60..]) == Crc32C.Compute(0, from[..60]);
    }

    /// <summary>Writes a record and returns its length.</summary>
    public static int WriteRecord(Span<byte> to, RecordKind kind, uint salt, in Cid cid, ReadOnlySpan<byte> data)
    {
        int cidLength = cid.Write(to[RecordHeaderBytes..]);
        BinaryPrimitives.WriteUInt16LittleEndian(to, RecordMagic);
        to[2] = (byte)kind;
        to[3] = (byte)cidLength;
        BinaryPrimitives.WriteInt32LittleEndian(to[4..], data.Length);
        uint crc = Crc32C.Compute(Crc32C.Compute(salt, to[..8]), to.Slice(RecordHeaderBytes, cidLength));
        BinaryPrimitives.WriteUInt32LittleEndian(to[8..], crc);
        data.CopyTo(to[(RecordHeaderBytes + cidLength)..]);
        return RecordHeaderBytes + cidLength + data.Length;
    }

    /// <summary>Reads what a record says of its size; false if it can be none.</summary>
    public static bool TryReadSizes(ReadOnlySpan<byte> from, out RecordKind kind, out int cidLength, out int dataLength)
    {
        kind = (RecordKind)from[2];
        cidLength = from[3];
        dataLength = BinaryPrimitives.ReadInt32LittleEndian(from[4..]);
        return BinaryPrimitives.ReadUInt16LittleEndian(from) == RecordMagic && cidLength > 0
            && (kind == RecordKind.Block ? dataLength is >= 0 and <= BlockLimits.MaxBlockBytes : kind == RecordKind.Deleted && dataLength == 0);
    }

    /// <summary>Whether header and CID are as they were written. Without a salt (the file's header is damaged) only that they can be.</summary>
    public static bool TryReadCid(ReadOnlySpan<byte> from, int cidLength, uint? salt, out Cid cid)
    {
        cid = default;
        ReadOnlySpan<byte> bytes = from.Slice(RecordHeaderBytes, cidLength);
        if (salt is { } seed && Crc32C.Compute(Crc32C.Compute(seed, from[..8]), bytes) != BinaryPrimitives.ReadUInt32LittleEndian(from[8..])) return false;
        return Cid.TryRead(bytes, out cid) && Multihash.CanVerify(cid.HashFunction) && !CidChecks.IsIdentity(cid);
    }
}
