using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.Blockstore;

/// <summary>
/// What blocks are indexed by: 32 evenly spread bytes that stand for a multihash. For SHA-256 they are its digest; for other functions half of
/// the SHA-512 of the multihash, so that no foreign digest can be chosen to meet another block's. Ordered as bytes are.
/// </summary>
internal readonly struct BlockKey : IEquatable<BlockKey>, IComparable<BlockKey>
{
    public const int Length = 32;

    // Whoever makes blocks can try until digests begin alike; they do not know this.
    private static readonly ulong _factor = MemoryMarshal.Read<ulong>(RandomNumberGenerator.GetBytes(8)) | 1;

    /// <summary>The bytes as big-endian words, so that comparing words compares bytes.</summary>
    public readonly ulong W0, W1, W2, W3;

    public BlockKey(ReadOnlySpan<byte> bytes)
    {
        W0 = BinaryPrimitives.ReadUInt64BigEndian(bytes);
        W1 = BinaryPrimitives.ReadUInt64BigEndian(bytes[8..]);
        W2 = BinaryPrimitives.ReadUInt64BigEndian(bytes[16..]);
        W3 = BinaryPrimitives.ReadUInt64BigEndian(bytes[24..]);
    }

    /// <summary>The key of a multihash. The caller has seen to it that it is neither none nor identity.</summary>
    public static BlockKey Of(in Cid cid)
    {
        Multihash hash = cid.Multihash;
        Span<byte> bytes = stackalloc byte[Multihash.MaxLength];
        if (hash.Code == Multicodec.Sha256 && hash.DigestLength == Length)
        {
            hash.CopyDigest(bytes);
            return new BlockKey(bytes);
        }
        Span<byte> digest = stackalloc byte[SHA512.HashSizeInBytes];
        SHA512.HashData(bytes[..hash.Write(bytes)], digest);
        return new BlockKey(digest);
    }

    public void CopyTo(Span<byte> bytes)
    {
        BinaryPrimitives.WriteUInt64BigEndian(bytes, W0);
        BinaryPrimitives.WriteUInt64BigEndian(bytes[8..], W1);
        BinaryPrimitives.WriteUInt64BigEndian(bytes[16..], W2);
        BinaryPrimitives.WriteUInt64BigEndian(bytes[24..], W3);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool Equals(BlockKey other) => ((W0 ^ other.W0) | (W1 ^ other.W1) | (W2 ^ other.W2) | (W3 ^ other.W3)) == 0;

    public override bool Equals(object? obj) => obj is BlockKey other && Equals(other);

    /// <summary>32 bits that an outsider cannot choose.</summary>
    public override int GetHashCode() => (int)(((W0 ^ BitOperations.RotateLeft(W2, 32)) * _factor) >> 32);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int CompareTo(BlockKey other)
    {
        if (W0 != other.W0) return W0 < other.W0 ? -1 : 1;
        if (W1 != other.W1) return W1 < other.W1 ? -1 : 1;
        if (W2 != other.W2) return W2 < other.W2 ? -1 : 1;
        return W3.CompareTo(other.W3);
    }
}

/// <summary>What all stores ask of a CID before they look for its block.</summary>
internal static class CidChecks
{
    /// <summary>Whether the CID holds the content itself.</summary>
    public static bool IsIdentity(in Cid cid) => cid.HashFunction == Multicodec.Identity && !cid.IsNone;

    public static int IdentityLength(in Cid cid) => cid.Multihash.DigestLength;

    /// <summary>Refuses what no store can hold: no CID at all, a hash that cannot be checked on reading, a block beyond the limit.</summary>
    public static void ThrowIfNotStorable(in Cid cid, int length)
    {
        if (cid.IsNone) throw new ArgumentException("No CID.", nameof(cid));
        if (!Multihash.CanVerify(cid.HashFunction)) throw new ArgumentException($"Block {cid}: its hash function, 0x{cid.HashFunction:x}, is not one that can be checked.", nameof(cid));
        if (length > BlockLimits.MaxBlockBytes) throw new ArgumentException($"Block {cid}: {length} bytes; the limit is {BlockLimits.MaxBlockBytes}.", nameof(length));
    }
}
