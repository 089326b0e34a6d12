using System.Numerics;
using System.Runtime.CompilerServices;

namespace Leither.MmDb.Log;

/// <summary>CRC-32C (Castagnoli), as SSE4.2 and ARMv8 compute it in hardware; elsewhere the runtime falls back to tables.</summary>
internal static unsafe class Crc32C
{
    /// <summary>The checksum of <paramref name="length"/> bytes, continuing from <paramref name="crc"/> (0 to begin).</summary>
    public static uint Compute(uint crc, byte* bytes, long length)
    {
        uint state = ~crc;
        while (length >= 8)
        {
            state = BitOperations.Crc32C(state, Unsafe.ReadUnaligned<ulong>(bytes));
            bytes += 8;
            length -= 8;
        }
        while (length-- > 0) state = BitOperations.Crc32C(state, *bytes++);
        return ~state;
    }
}
