using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Leither.MmDb.Memory;

/// <summary>Byte-level operations that the hot path lives by.</summary>
public static unsafe class Bytes
{
    /// <summary>Whether two stretches of equal length hold the same bytes. Short ones compare in two overlapping loads.</summary>
    /// <param name="a">The first.</param>
    /// <param name="b">The second.</param>
    /// <param name="length">Length of both.</param>
    /// <returns>True if they are equal.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Equal(byte* a, byte* b, int length)
    {
        if (length > 32)
        {
            return new ReadOnlySpan<byte>(a, length).SequenceEqual(new ReadOnlySpan<byte>(b, length));
        }
        if (length >= 16)
        {
            int tail = length - 16;
            return ((Vector128.Load(a) ^ Vector128.Load(b)) | (Vector128.Load(a + tail) ^ Vector128.Load(b + tail))) == Vector128<byte>.Zero;
        }
        if (length >= 8)
        {
            int tail = length - 8;
            return ((*(ulong*)a ^ *(ulong*)b) | (*(ulong*)(a + tail) ^ *(ulong*)(b + tail))) == 0;
        }
        if (length >= 4)
        {
            int tail = length - 4;
            return ((*(uint*)a ^ *(uint*)b) | (*(uint*)(a + tail) ^ *(uint*)(b + tail))) == 0;
        }
        for (int i = 0; i < length; i++)
        {
            if (a[i] != b[i])
            {
                return false;
            }
        }
        return true;
    }

    /// <summary>Asks the processor to fetch the cache line of an address; any address will do, and nothing waits.</summary>
    /// <param name="address">The address.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Prefetch(void* address)
    {
        if (Sse.IsSupported)
        {
            Sse.Prefetch0(address);
        }
    }
}
