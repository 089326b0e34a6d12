using System.Buffers.Binary;
using System.Security.Cryptography;
using Leither.MmDb.Values;

namespace Leither.MmDb.Versions;

// The content-addressed form of a MiMei database's data, as blocks of DAG-CBOR that any IPFS tool reads. The same content has the same
// blocks, whatever way led there: nothing of layouts in memory, access times or order of writes is in them. What is written here is frozen:
// tests hold golden bytes and CIDs.
//
//   state      { format: 1, databases: [[number, link, keys] …], functions: [[name, string] …] }
//              Databases that are empty are left out; libraries stand in the order of their names' bytes. That of a MiMei of files has a
//              field more, before the others: files, the link to their root, which is a file or a folder of UnixFS (DAG-PB, or raw).
//   database   a map's tree (Tree/TreeNode) by key, of
//   item       [key, value]   [key, value, expiry]   [key, value, expiry or null, name]
//              The expiry is an instant in Unix milliseconds. A key of 512 bytes and more stands in the tree under its first 480 and its
//              SHA-256, and then its name is given.
//   value      string           what a Redis string is
//              [kind, collection]
//              [5, collection of entries, last id, largest deleted id, entries added, collection of groups]        a stream
//   string     its bytes, or, beyond 2,048 of them, [length, link] (Tree/Blob)
//   collection an array of its items, in order, where these are one leaf's of at most 2,048 bytes; else the link to its tree's root
//   kind and what its items are
//     1 list        string                                                                               by position
//     2 set         [member]   [member, name]                                                            by member
//     3 sorted set  [member, score]   [member, score, name]                                              by member
//     4 hash        [field, string]   [field, string, expiry]   [field, string, expiry or null, name]    by field
//     5 entries     [id, string …]: fields and values in turn                                            by id
//       groups      [group, last id, entries read, collection of consumers, collection of pending entries]   by group
//                   [group, last id, entries read, collection, collection, name]
//       consumers   [consumer, seen, active]   [consumer, seen, active, name]                            by consumer
//       pending     [id, consumer's name, delivered, deliveries]                                         by id
//              Members, fields, groups and consumers of 512 bytes and more stand in their trees as long keys do, with their names as strings.
//   score      8 bytes, big-endian, in the order of scores: of a number that is not negative the bits with the sign's set, of others all inverted
//   id         16 bytes: milliseconds and sequence, big-endian. Times are Unix milliseconds; -1 is never (active) or unknown (entries read).

/// <summary>The kinds of collections in a state.</summary>
internal enum StateKind
{
    /// <summary>A string.</summary>
    String = 0,
    /// <summary>A list.</summary>
    List = 1,
    /// <summary>A set.</summary>
    Set = 2,
    /// <summary>A sorted set.</summary>
    SortedSet = 3,
    /// <summary>A hash.</summary>
    Hash = 4,
    /// <summary>A stream.</summary>
    Stream = 5,
}

/// <summary>The numbers of the format, and the forms of names and scores.</summary>
internal static class StateFormat
{
    /// <summary>The format that is written, and the only one there is.</summary>
    public const int Version = 1;

    /// <summary>Names from this length on stand in trees under a shorter key.</summary>
    public const int LongName = 512;

    /// <summary>So many bytes of such a name begin its key.</summary>
    public const int LongNamePrefix = LongName - SHA256.HashSizeInBytes;

    /// <summary>Strings beyond this length are blobs.</summary>
    public const int MaxInlineString = 2048;

    /// <summary>Collections whose items take more have trees.</summary>
    public const int MaxInlineCollection = 2048;

    /// <summary>Bytes of a score.</summary>
    public const int ScoreBytes = 8;

    /// <summary>Bytes of an id.</summary>
    public const int IdBytes = 16;

    /// <summary>The key under which a name stands in a tree.</summary>
    /// <param name="name">A key, field, member, group or consumer.</param>
    /// <param name="scratch">Room for <see cref="LongName"/> bytes.</param>
    public static ReadOnlySpan<byte> TreeKey(ReadOnlySpan<byte> name, Span<byte> scratch)
    {
        if (name.Length < LongName)
        {
            return name;
        }

        name[..LongNamePrefix].CopyTo(scratch);
        SHA256.HashData(name, scratch[LongNamePrefix..]);
        return scratch[..LongName];
    }

    /// <summary>A score as it is stored.</summary>
    public static void WriteScore(double score, Span<byte> to)
    {
        long bits = BitConverter.DoubleToInt64Bits(score);
        BinaryPrimitives.WriteInt64BigEndian(to, bits >= 0 ? bits ^ long.MinValue : ~bits);
    }

    /// <summary>A score that was stored.</summary>
    public static double ReadScore(ReadOnlySpan<byte> from)
    {
        long bits = BinaryPrimitives.ReadInt64BigEndian(from);
        return BitConverter.Int64BitsToDouble(bits < 0 ? bits ^ long.MinValue : ~bits);
    }

    /// <summary>An id as it is stored.</summary>
    public static void WriteId(StreamId id, Span<byte> to)
    {
        BinaryPrimitives.WriteUInt64BigEndian(to, id.Ms);
        BinaryPrimitives.WriteUInt64BigEndian(to[8..], id.Seq);
    }

    /// <summary>An id that was stored.</summary>
    public static StreamId ReadId(ReadOnlySpan<byte> from) => new(BinaryPrimitives.ReadUInt64BigEndian(from), BinaryPrimitives.ReadUInt64BigEndian(from[8..]));
}
