using System.Numerics;
using System.Runtime.InteropServices;

namespace Leither.Ipfs.Blockstore;

/// <summary>CRC-32C (Castagnoli), as SSE4.2 and ARMv8 compute it in hardware; elsewhere the runtime falls back to tables.</summary>
internal static class Crc32C
{
    /// <summary>The checksum of bytes, continuing from <paramref name="crc"/> (0 to begin).</summary>
    public static uint Compute(uint crc, ReadOnlySpan<byte> bytes)
    {
        uint state = ~crc;
        ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(bytes);
        foreach (ulong word in words) state = BitOperations.Crc32C(state, word);
        foreach (byte b in bytes[(words.Length * 8)..]) state = BitOperations.Crc32C(state, b);
        return ~state;
    }
}
