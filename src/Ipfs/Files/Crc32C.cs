using System.Numerics;
using System.Runtime.CompilerServices;

namespace Leither.Ipfs.Files;

/// <summary>CRC-32C (Castagnoli), as SSE4.2 and ARMv8 compute it in hardware; elsewhere the runtime falls back to tables.</summary>
/// <remarks>
/// The instruction takes three cycles but a new one can begin each cycle, so longer inputs are read as three blocks side by side. A
/// checksum is linear: that of a block is moved over the bytes that follow it (as if they were zeros) by a table, and the three are added.
/// See V. Gopal et al., "Fast CRC Computation for iSCSI Polynomial Using CRC32 Instruction", Intel, 2011.
/// </remarks>
public static unsafe class Crc32C
{
    private const int LongBlock = 2048, ShortBlock = 256;

    private static readonly uint[] _overLong = ShiftTable(LongBlock), _overShort = ShiftTable(ShortBlock);

    /// <summary>The checksum of bytes, continuing from <paramref name="crc"/> (0 to begin).</summary>
    public static uint Compute(uint crc, ReadOnlySpan<byte> bytes)
    {
        fixed (byte* at = bytes) return Compute(crc, at, bytes.Length);
    }

    /// <summary>The checksum of <paramref name="length"/> bytes, continuing from <paramref name="crc"/> (0 to begin).</summary>
    public static uint Compute(uint crc, byte* bytes, long length)
    {
        uint state = ~crc;
        for (; length >= 3 * LongBlock; length -= 3 * LongBlock) state = ThreeBlocks(state, ref bytes, LongBlock, _overLong);
        for (; length >= 3 * ShortBlock; length -= 3 * ShortBlock) state = ThreeBlocks(state, ref bytes, ShortBlock, _overShort);
        for (; length >= 8; length -= 8)
        {
            state = BitOperations.Crc32C(state, Unsafe.ReadUnaligned<ulong>(bytes));
            bytes += 8;
        }
        while (length-- > 0) state = BitOperations.Crc32C(state, *bytes++);
        return ~state;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint ThreeBlocks(uint state, ref byte* bytes, int block, uint[] over)
    {
        uint second = 0, third = 0;
        byte* at = bytes, end = at + block;
        for (; at < end; at += 8)
        {
            state = BitOperations.Crc32C(state, Unsafe.ReadUnaligned<ulong>(at));
            second = BitOperations.Crc32C(second, Unsafe.ReadUnaligned<ulong>(at + block));
            third = BitOperations.Crc32C(third, Unsafe.ReadUnaligned<ulong>(at + 2 * block));
        }
        bytes += 3 * block;
        return Shift(over, Shift(over, state) ^ second) ^ third;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint Shift(uint[] over, uint state) =>
        over[(byte)state] ^ over[256 + (byte)(state >> 8)] ^ over[512 + (byte)(state >> 16)] ^ over[768 + (state >> 24)];

    /// <summary>For each value of each of the four bytes of a state: what becomes of it over a number of zero bytes.</summary>
    private static uint[] ShiftTable(int zeros)
    {
        uint[] table = new uint[4 * 256];
        for (int bit = 0; bit < 32; bit++)
        {
            uint state = 1u << bit;
            for (int i = 0; i < zeros; i += 8) state = BitOperations.Crc32C(state, 0UL);
            int start = bit / 8 * 256;
            for (int value = 0; value < 256; value++)
            {
                if ((value >> bit % 8 & 1) != 0) table[start + value] ^= state;
            }
        }
        return table;
    }
}
