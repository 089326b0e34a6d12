using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;

namespace Leither.MmDb.Values;

/// <summary>BITOP's operations; the numbers are logged and never change.</summary>
public enum BitOperation
{
    /// <summary>Both.</summary>
    And = 0,
    /// <summary>Either.</summary>
    Or = 1,
    /// <summary>One but not both.</summary>
    Xor = 2,
    /// <summary>The opposite of the one source.</summary>
    Not = 3,
}

/// <summary>Strings as arrays of bits. Bit 0 is the most significant bit of the first byte, as Redis numbers them.</summary>
public static unsafe class Bits
{
    /// <summary>How many bits are set.</summary>
    public static long Count(byte* bytes, long length)
    {
        long count = 0;
        byte* end = bytes + length;
        for (; end - bytes >= 32; bytes += 32)
        {
            count += BitOperations.PopCount(Word(bytes)) + BitOperations.PopCount(Word(bytes + 8))
                + BitOperations.PopCount(Word(bytes + 16)) + BitOperations.PopCount(Word(bytes + 24));
        }

        for (; end - bytes >= 8; bytes += 8)
        {
            count += BitOperations.PopCount(Word(bytes));
        }

        for (; bytes < end; bytes++)
        {
            count += BitOperations.PopCount((uint)*bytes);
        }

        return count;
    }

    /// <summary>How many of the bits from <paramref name="first"/> to <paramref name="last"/>, both counted, are set.</summary>
    public static long CountRange(byte* bytes, long first, long last)
    {
        long firstByte = first >> 3, lastByte = last >> 3;
        long count = Count(bytes + firstByte, lastByte - firstByte + 1);
        int before = bytes[firstByte] & ~(0xFF >> (int)(first & 7));
        int behind = bytes[lastByte] & (0x7F >> (int)(last & 7));
        return count - BitOperations.PopCount((uint)before) - BitOperations.PopCount((uint)behind);
    }

    /// <summary>The first bit from <paramref name="first"/> to <paramref name="last"/>, both counted, that has a value; -1 if none has.</summary>
    public static long Find(byte* bytes, long first, long last, bool value)
    {
        // A search for zeros is one for ones among the opposites.
        byte flip = value ? (byte)0 : (byte)0xFF;
        ulong flips = value ? 0 : ulong.MaxValue;
        long at = first >> 3, lastByte = last >> 3;
        int found = (bytes[at] ^ flip) & (0xFF >> (int)(first & 7));
        while (found == 0 && at < lastByte)
        {
            at++;
            while (lastByte - at >= 8 && (Word(bytes + at) ^ flips) == 0)
            {
                at += 8;
            }

            found = bytes[at] ^ flip;
        }

        if (found == 0)
        {
            return -1;
        }

        long position = (at << 3) + BitOperations.LeadingZeroCount((uint)found) - 24;
        return position <= last ? position : -1;
    }

    /// <summary>Reads a field of 1 to 64 bits; bits beyond the string are zeros.</summary>
    public static ulong Read(byte* bytes, long length, long offset, int width)
    {
        byte* window = stackalloc byte[9];
        NativeMemory.Clear(window, 9);
        long first = offset >> 3;
        long count = Math.Min(9, length - first);
        if (count > 0)
        {
            Buffer.MemoryCopy(bytes + first, window, 9, count);
        }

        int shift = (int)(offset & 7);
        ulong head = BinaryPrimitives.ReadUInt64BigEndian(new ReadOnlySpan<byte>(window, 8)) << shift;
        ulong bits = shift == 0 ? head : head | ((ulong)window[8] >> (8 - shift));
        return bits >> (64 - width);
    }

    /// <summary>Writes a field of 1 to 64 bits into a string that is long enough.</summary>
    public static void Write(byte* bytes, long offset, int width, ulong value)
    {
        for (int i = width - 1; i >= 0; i--, offset++)
        {
            byte mask = (byte)(0x80 >> (int)(offset & 7));
            byte* place = bytes + (offset >> 3);
            *place = (byte)(((value >> i) & 1) != 0 ? *place | mask : *place & ~mask);
        }
    }

    /// <summary>
    /// Combines one more source into a result of the length of the longest source. The first one is copied (for NOT: inverted); what a
    /// shorter one lacks counts as zeros.
    /// </summary>
    public static void Combine(BitOperation operation, byte* result, long resultLength, byte* source, long length, bool isFirst)
    {
        long i = 0;
        switch (operation)
        {
            case BitOperation.Not:
                for (; i + 8 <= length; i += 8)
                {
                    *(ulong*)(result + i) = ~Word(source + i);
                }

                for (; i < length; i++)
                {
                    result[i] = (byte)~source[i];
                }

                break;
            case var _ when isFirst:
                Buffer.MemoryCopy(source, result, resultLength, length);
                NativeMemory.Clear(result + length, (nuint)(resultLength - length));
                break;
            case BitOperation.And:
                for (; i + 8 <= length; i += 8)
                {
                    *(ulong*)(result + i) &= Word(source + i);
                }

                for (; i < length; i++)
                {
                    result[i] &= source[i];
                }

                NativeMemory.Clear(result + length, (nuint)(resultLength - length));
                break;
            case BitOperation.Or:
                for (; i + 8 <= length; i += 8)
                {
                    *(ulong*)(result + i) |= Word(source + i);
                }

                for (; i < length; i++)
                {
                    result[i] |= source[i];
                }

                break;
            default:
                for (; i + 8 <= length; i += 8)
                {
                    *(ulong*)(result + i) ^= Word(source + i);
                }

                for (; i < length; i++)
                {
                    result[i] ^= source[i];
                }

                break;
        }
    }

    private static ulong Word(byte* p) => *(ulong*)p;
}
