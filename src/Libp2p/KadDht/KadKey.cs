using System.Buffers.Binary;
using System.Numerics;
using System.Security.Cryptography;

namespace Leither.Libp2p.KadDht;

/// <summary>A place among 2^256: the SHA-256 of a peer's id or of a record's key. How far two are from each other is their exclusive or, as a number.</summary>
internal readonly struct KadKey : IEquatable<KadKey>, IComparable<KadKey>
{
    public const int Bits = 256;

    private readonly ulong _w0, _w1, _w2, _w3;

    private KadKey(ulong w0, ulong w1, ulong w2, ulong w3)
    {
        _w0 = w0;
        _w1 = w1;
        _w2 = w2;
        _w3 = w3;
    }

    /// <summary>The place of a name.</summary>
    public static KadKey Of(ReadOnlySpan<byte> name)
    {
        Span<byte> digest = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(name, digest);
        return new KadKey(BinaryPrimitives.ReadUInt64BigEndian(digest), BinaryPrimitives.ReadUInt64BigEndian(digest[8..]),
            BinaryPrimitives.ReadUInt64BigEndian(digest[16..]), BinaryPrimitives.ReadUInt64BigEndian(digest[24..]));
    }

    /// <summary>The distance to another place.</summary>
    public KadKey DistanceTo(in KadKey other) => new(_w0 ^ other._w0, _w1 ^ other._w1, _w2 ^ other._w2, _w3 ^ other._w3);

    /// <summary>How many leading bits both share.</summary>
    public int CommonPrefix(in KadKey other)
    {
        KadKey d = DistanceTo(other);
        return d._w0 != 0 ? BitOperations.LeadingZeroCount(d._w0)
            : d._w1 != 0 ? 64 + BitOperations.LeadingZeroCount(d._w1)
            : d._w2 != 0 ? 128 + BitOperations.LeadingZeroCount(d._w2)
            : 192 + BitOperations.LeadingZeroCount(d._w3);
    }

    /// <summary>As a part of the whole space, from 0 to 1.</summary>
    public double ToFraction() => _w0 / 18446744073709551616.0;

    public int CompareTo(KadKey other) =>
        _w0 != other._w0 ? _w0.CompareTo(other._w0)
        : _w1 != other._w1 ? _w1.CompareTo(other._w1)
        : _w2 != other._w2 ? _w2.CompareTo(other._w2)
        : _w3.CompareTo(other._w3);

    public bool Equals(KadKey other) => _w0 == other._w0 && _w1 == other._w1 && _w2 == other._w2 && _w3 == other._w3;

    public override bool Equals(object? obj) => obj is KadKey other && Equals(other);

    public override int GetHashCode() => _w0.GetHashCode();
}
