using System.Numerics;
using System.Runtime.CompilerServices;

namespace Leither.MmDb.Memory;

/// <summary>
/// The block sizes of <see cref="NativeHeap"/>: 16 to 128 in steps of 8, then eight steps to each doubling up to 8192, so
/// that rounding up costs at most an eighth. The powers of two from 64 up are multiples of a cache line, which keeps the
/// buckets of a <see cref="KeyTable"/> aligned.
/// </summary>
internal static class SizeClass
{
    public const int Smallest = 16;
    public const int Largest = 8192;
    public const int Count = 64;

    /// <summary>Class of a requested size, which is at most <see cref="Largest"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Of(uint size)
    {
        if (size <= 128)
        {
            return size <= Smallest ? 0 : (int)((size + 7) >> 3) - 2;
        }
        // size-1 has its top bit at k: the three bits below it number the step inside the doubling above 2^k.
        int k = BitOperations.Log2(size - 1);
        return 15 + ((k - 7) << 3) + (int)(((size - 1) >> (k - 3)) & 7);
    }

    /// <summary>Block size of a class.</summary>
    public static uint SizeOf(int sizeClass)
    {
        if (sizeClass <= 14)
        {
            return (uint)(sizeClass + 2) << 3;
        }
        int step = sizeClass - 15;
        int k = 7 + (step >> 3);
        return (1u << k) + ((uint)((step & 7) + 1) << (k - 3));
    }
}
