using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Leither.Ipfs.Multiformats;

/// <summary>The 32 bytes of a SHA-256 digest as a value of four words: comparing and hashing it touch no heap.</summary>
internal readonly struct Digest256 : IEquatable<Digest256>
{
    public const int Length = 32;

    private readonly ulong _w0, _w1, _w2, _w3;

    public Digest256(ReadOnlySpan<byte> bytes)
    {
        // In memory order, whatever the machine's: only copied and compared as wholes.
        _w0 = MemoryMarshal.Read<ulong>(bytes);
        _w1 = MemoryMarshal.Read<ulong>(bytes[8..]);
        _w2 = MemoryMarshal.Read<ulong>(bytes[16..]);
        _w3 = MemoryMarshal.Read<ulong>(bytes[24..]);
    }

    /// <summary>Some of its bits. A digest is evenly spread already.</summary>
    public ulong FirstWord => _w0;

    public void CopyTo(Span<byte> destination) => MemoryMarshal.Write(destination, this);

    /// <summary>The bytes where they lie: as long as the value does, so never of a temporary.</summary>
    public static ReadOnlySpan<byte> BytesOf(ref readonly Digest256 digest) =>
        MemoryMarshal.AsBytes(MemoryMarshal.CreateReadOnlySpan(in digest, 1));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool Equals(Digest256 other) => ((_w0 ^ other._w0) | (_w1 ^ other._w1) | (_w2 ^ other._w2) | (_w3 ^ other._w3)) == 0;

    public override bool Equals(object? obj) => obj is Digest256 other && Equals(other);

    public override int GetHashCode() => _w0.GetHashCode();
}
