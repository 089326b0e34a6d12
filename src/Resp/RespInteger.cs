using System.Numerics;
using System.Runtime.CompilerServices;

namespace Leither.Resp;

/// <summary>Integers as Redis reads and writes them: strict decimal, full signed 64-bit range.</summary>
public static unsafe class RespInteger
{
    /// <summary>The most bytes that <see cref="Format(long, byte*)"/> writes: a minus and 19 digits.</summary>
    public const int MaxLength = 20;

    /// <summary>
    /// Reads a signed 64-bit integer. Only the text that <see cref="Format(long, byte*)"/> would write is accepted, so
    /// reading and writing are inverse: that lets a value be kept as an integer and still replied byte for byte.
    /// </summary>
    public static bool TryParse(byte* text, int length, out long value)
    {
        value = 0;
        if ((uint)(length - 1) >= MaxLength)
            return false;
        byte* p = text;
        byte* end = text + length;
        bool negative = *p == '-';
        if (negative && ++p == end)
            return false;
        uint digit = (uint)(*p - '0');
        if (digit - 1 >= 9)
            return length == 1 && digit == 0;

        // Twenty digits exceed the range; nineteen always fit 64 bits unsigned, so nothing below can overflow.
        if (end - p > 19)
            return false;
        ulong magnitude = digit;
        while (++p < end)
        {
            digit = (uint)(*p - '0');
            if (digit > 9)
                return false;
            magnitude = magnitude * 10 + digit;
        }
        if (magnitude > (ulong)long.MaxValue + (negative ? 1UL : 0UL))
            return false;
        value = negative ? (long)(0 - magnitude) : (long)magnitude;
        return true;
    }

    /// <summary>Reads a signed 64-bit integer, as <see cref="TryParse(byte*, int, out long)"/> does.</summary>
    public static bool TryParse(ReadOnlySpan<byte> text, out long value)
    {
        fixed (byte* p = text)
            return TryParse(p, text.Length, out value);
    }

    /// <summary>
    /// Reads an unsigned 64-bit integer by the strict rule, or else by that of C's <c>strtoull</c>: leading spaces, a
    /// sign and leading zeros pass, and a minus wraps around.
    /// </summary>
    public static bool TryParseUnsigned(byte* text, int length, out ulong value)
    {
        if (TryParse(text, length, out long signed))
        {
            value = (ulong)signed;
            return signed >= 0;
        }
        value = 0;
        byte* p = text;
        byte* end = text + length;
        while (p < end && (*p == ' ' || (uint)(*p - '\t') < 5))
            p++;
        bool negative = p < end && *p == '-';
        if (p < end && (*p == '-' || *p == '+'))
            p++;
        if (p == end)
            return false;
        ulong magnitude = 0;
        for (; p < end; p++)
        {
            uint digit = (uint)(*p - '0');
            if (digit > 9 || magnitude > (ulong.MaxValue - digit) / 10)
                return false;
            magnitude = magnitude * 10 + digit;
        }
        value = negative ? 0 - magnitude : magnitude;
        return true;
    }

    /// <summary>Writes <paramref name="value"/> in decimal and returns how many bytes that took.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Format(long value, byte* destination) => (int)(Append(destination, value) - destination);

    /// <summary>Writes <paramref name="value"/> in decimal and returns how many bytes that took.</summary>
    public static int Format(long value, Span<byte> destination)
    {
        byte* text = stackalloc byte[MaxLength];
        int length = Format(value, text);
        new ReadOnlySpan<byte>(text, length).CopyTo(destination);
        return length;
    }

    /// <summary>Writes <paramref name="value"/> in decimal and returns where the next byte goes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static byte* Append(byte* p, long value)
    {
        if ((ulong)value < 10)
        {
            *p = (byte)('0' + value);
            return p + 1;
        }
        if ((ulong)value < 100)
        {
            p[0] = (byte)('0' + (uint)value / 10);
            p[1] = (byte)('0' + (uint)value % 10);
            return p + 2;
        }
        return AppendLong(p, value);
    }

    private static byte* AppendLong(byte* p, long value)
    {
        ulong rest = (ulong)value;
        if (value < 0)
        {
            *p++ = (byte)'-';
            rest = 0 - rest;
        }
        byte* end = p + CountDigits(rest);
        byte* q = end;
        while (rest > uint.MaxValue)
        {
            ulong quotient = rest / 100;
            *(ushort*)(q -= 2) = Pair((uint)(rest - quotient * 100));
            rest = quotient;
        }
        // The rest in 32 bits, where division is cheaper.
        uint low = (uint)rest;
        while (low >= 100)
        {
            uint quotient = low / 100;
            *(ushort*)(q -= 2) = Pair(low - quotient * 100);
            low = quotient;
        }
        if (low >= 10)
            *(ushort*)(q - 2) = Pair(low);
        else
            *(q - 1) = (byte)('0' + low);
        return end;
    }

    /// <summary>Two digits as they stand in memory.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ushort Pair(uint value)
    {
        // 103 / 1024 is close enough to a tenth for all two-digit numbers.
        uint tens = value * 103 >> 10;
        return (ushort)(0x3030 + tens + (value - tens * 10 << 8));
    }

    private static int CountDigits(ulong value)
    {
        // 1233 / 4096 is close to log10(2), so this is the number of digits or one less.
        int estimate = (BitOperations.Log2(value) + 1) * 1233 >> 12;
        return estimate + (value >= PowersOfTen[estimate] ? 1 : 0);
    }

    private static ReadOnlySpan<ulong> PowersOfTen =>
    [
        1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000,
        10_000_000_000, 100_000_000_000, 1_000_000_000_000, 10_000_000_000_000, 100_000_000_000_000,
        1_000_000_000_000_000, 10_000_000_000_000_000, 100_000_000_000_000_000, 1_000_000_000_000_000_000,
        10_000_000_000_000_000_000,
    ];
}
