namespace Leither.MmDb.Rdb;

/// <summary>
/// The bytes of Redis's RDB: a file of keys (<c>dump.rdb</c>, what a replica gets at first), and DUMP's payload of one value.
/// </summary>
/// <remarks>
/// <code>
/// file      "REDIS" version in four digits, then opcodes and keys, 0xFF, CRC-64 of all before (eight bytes, little-endian; 0: none)
/// key       [0xFD seconds u32 | 0xFC milliseconds u64] [0xF8 idle | 0xF9 frequency u8] type, name, value
/// payload   type, value, version (two bytes), CRC-64 of all before
///
/// length    00nnnnnn                     6 bits            10000000 + 4 bytes    32 bits, big-endian
///           01nnnnnn + 1 byte            14 bits           10000001 + 8 bytes    64 bits, big-endian
/// string    length, bytes;  11000000 + 1, 11000001 + 2, 11000010 + 4 bytes: an integer, little-endian;
///           11000011, length, length before: LZF
/// </code>
/// </remarks>
internal static class RdbFormat
{
    /// <summary>The newest version that is read. 12 is Redis 7.4's.</summary>
    public const int MaxVersion = 12;

    /// <summary>The version that is written: that of Redis 7.0, which newer ones read as well.</summary>
    public const int WrittenVersion = 10;

    /// <summary>What ends a DUMP payload: version and checksum.</summary>
    public const int FooterBytes = 10;

    /// <summary>The longest string or container; Redis has no longer ones either (proto-max-bulk-len).</summary>
    public const long MaxStringBytes = 512L << 20;

    public const byte SlotInfo = 244, Function2 = 245, FunctionPreGa = 246, ModuleAux = 247, Idle = 248, Frequency = 249, Aux = 250,
        ResizeDb = 251, ExpireTimeMs = 252, ExpireTime = 253, SelectDb = 254, Eof = 255;
}

/// <summary>The types of value in RDB.</summary>
internal enum RdbType : byte
{
    String = 0,
    List = 1,
    Set = 2,
    SortedSet = 3,
    Hash = 4,
    SortedSet2 = 5,
    Module = 6,
    Module2 = 7,
    HashZipmap = 9,
    ListZiplist = 10,
    SetIntSet = 11,
    SortedSetZiplist = 12,
    HashZiplist = 13,
    ListQuicklist = 14,
    StreamListpacks = 15,
    HashListpack = 16,
    SortedSetListpack = 17,
    ListQuicklist2 = 18,
    StreamListpacks2 = 19,
    SetListpack = 20,
    StreamListpacks3 = 21,
    HashMetadataPreGa = 22,
    HashListpackExPreGa = 23,
    HashMetadata = 24,
    HashListpackEx = 25,
}

/// <summary>The bytes of an RDB file or payload are not what they should be.</summary>
public sealed class RdbFormatException : IOException
{
    /// <summary>Says what is wrong.</summary>
    public RdbFormatException(string message) : base(message)
    {
    }
}
