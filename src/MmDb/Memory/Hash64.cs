using System.Numerics;
using System.Runtime.CompilerServices;

namespace Leither.MmDb.Memory;

/// <summary>
/// Seeded 64-bit hash of short keys, of the multiply-and-fold family (wyhash, rapidhash). Every bit of the result depends on
/// every bit of key and seed; the key table takes the top for its directory, the middle for buckets and the bottom for tags.
/// Whoever does not know the seed cannot choose keys that collide: all secrets that inputs are combined with come from it, so no
/// fixed input makes a factor zero.
/// </summary>
public static unsafe class Hash64
{
    // Odd, half of the bits set in each half, no relation between them: any such numbers would do.
    private const ulong Multiplier1 = 0xD1B54A32D192ED03;
    private const ulong Multiplier2 = 0xAEF17502108EF2D9;

    /// <summary>Hashes a key.</summary>
    /// <param name="key">First byte of the key.</param>
    /// <param name="length">Its length.</param>
    /// <param name="seed">The secret seed.</param>
    /// <returns>The hash.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Compute(byte* key, int length, ulong seed)
    {
        ulong a, b;
        ulong secret1 = (seed ^ Multiplier1) * Multiplier2;
        ulong secret2 = (BitOperations.RotateLeft(seed, 32) ^ Multiplier2) * Multiplier1;
        if (length <= 16)
        {
            if (length >= 8)
            {
                a = Read8(key);
                b = Read8(key + length - 8);
            }
            else if (length >= 4)
            {
                a = Read4(key);
                b = Read4(key + length - 4);
            }
            else if (length > 0)
            {
                a = ((ulong)key[0] << 16) | ((ulong)key[length >> 1] << 8) | key[length - 1];
                b = 0;
            }
            else
            {
                a = b = 0;
            }
        }
        else
        {
            secret2 = Long(key, length, secret1, secret2);
            a = Read8(key + length - 16);
            b = Read8(key + length - 8);
        }
        ulong high = Math.BigMul(a ^ secret1, b ^ secret2, out ulong low);
        return Fold(low ^ secret2 ^ (ulong)length, high ^ secret1 ^ Multiplier1);
    }

    /// <summary>Folds all but the last 16 bytes of a longer key into one secret; two lanes, so that multiplications overlap.</summary>
    private static ulong Long(byte* p, int length, ulong secret1, ulong secret2)
    {
        ulong lane1 = secret1, lane2 = secret2;
        for (; length > 32; length -= 32, p += 32)
        {
            lane1 = Fold(Read8(p) ^ secret1, Read8(p + 8) ^ lane1);
            lane2 = Fold(Read8(p + 16) ^ secret2, Read8(p + 24) ^ lane2);
        }
        if (length > 16)
        {
            lane1 = Fold(Read8(p) ^ secret1, Read8(p + 8) ^ lane1);
        }
        return BitOperations.RotateLeft(lane1, 17) ^ lane2;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Fold(ulong a, ulong b)
    {
        ulong high = Math.BigMul(a, b, out ulong low);
        return high ^ low;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Read8(byte* p) => Unsafe.ReadUnaligned<ulong>(p);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Read4(byte* p) => Unsafe.ReadUnaligned<uint>(p);
}
