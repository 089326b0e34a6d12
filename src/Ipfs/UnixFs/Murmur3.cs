using System.Buffers.Binary;
using System.Numerics;

namespace Leither.Ipfs.UnixFs;

/// <summary>
/// MurmurHash3 for 64-bit machines with 128 bits and seed 0, of which sharded directories use the first half. No defence against names that were
/// made to collide: whoever builds on it bounds depth. https://github.com/aappleby/smhasher/wiki/MurmurHash3
/// </summary>
internal static class Murmur3
{
    private const ulong C1 = 0x87c37b91114253d5, C2 = 0x4cf5ad432745937f;

    public static ulong Hash64(ReadOnlySpan<byte> bytes)
    {
        ulong h1 = 0, h2 = 0;
        ReadOnlySpan<byte> rest = bytes;
        for (; rest.Length >= 16; rest = rest[16..])
        {
            h1 ^= Mix1(BinaryPrimitives.ReadUInt64LittleEndian(rest));
            h1 = (BitOperations.RotateLeft(h1, 27) + h2) * 5 + 0x52dce729;
            h2 ^= Mix2(BinaryPrimitives.ReadUInt64LittleEndian(rest[8..]));
            h2 = (BitOperations.RotateLeft(h2, 31) + h1) * 5 + 0x38495ab5;
        }

        // The tail is as if zeros followed it; mixing zero gives zero.
        Span<byte> tail = stackalloc byte[16];
        tail.Clear();
        rest.CopyTo(tail);
        h1 ^= Mix1(BinaryPrimitives.ReadUInt64LittleEndian(tail));
        h2 ^= Mix2(BinaryPrimitives.ReadUInt64LittleEndian(tail[8..]));

        h1 ^= (ulong)bytes.Length;
        h2 ^= (ulong)bytes.Length;
        h1 += h2;
        h2 += h1;
        return Finish(h1) + Finish(h2);
    }

    private static ulong Mix1(ulong k) => BitOperations.RotateLeft(k * C1, 31) * C2;

    private static ulong Mix2(ulong k) => BitOperations.RotateLeft(k * C2, 33) * C1;

    private static ulong Finish(ulong k)
    {
        k = (k ^ (k >> 33)) * 0xff51afd7ed558ccd;
        k = (k ^ (k >> 33)) * 0xc4ceb9fe1a85ec53;
        return k ^ (k >> 33);
    }
}
