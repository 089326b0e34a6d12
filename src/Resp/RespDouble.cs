using System.Globalization;
using System.Numerics;
using System.Text;

namespace Leither.Resp;

/// <summary>
/// Doubles as Redis 7.2 reads and writes them: the shortest decimal that reads back as the same double, integers
/// without a point, exponents as <c>1e+20</c> and <c>1.5e-7</c>.
/// </summary>
/// <remarks>
/// One known difference: Redis's algorithm (Grisu2) misses the shortest digits for about one fraction in two thousand, and then
/// replies 8.703430000000001 for a score that was set to 8.70343. Here the digits are always the shortest. Redis 7.0 wrote
/// seventeen digits (<c>%.17g</c>) instead.
/// </remarks>
public static unsafe class RespDouble
{
    /// <summary>The most bytes that <see cref="Format(double, byte*)"/> writes: a sign, 17 digits, a point, zeros or an exponent.</summary>
    public const int MaxLength = 32;

    // Below this a decimal of so many digits and the double nearest to it determine each other.
    private const double MaxExactDigits = 1e15;
    private const ulong MaxExactMantissa = 1UL << 53;
    private const double ShortFractionScale = 1e4;
    private const int ShortFractionDigits = 4;

    private static ReadOnlySpan<double> ExactPowersOfTen =>
    [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
        1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
    ];

    /// <summary>
    /// Writes <paramref name="value"/> and returns how many bytes that took; <paramref name="destination"/> has room for
    /// <see cref="MaxLength"/>.
    /// </summary>
    public static int Format(double value, Span<byte> destination)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(destination.Length, MaxLength, nameof(destination));
        fixed (byte* p = destination)
            return Format(value, p);
    }

    /// <summary>Writes <paramref name="value"/> and returns how many bytes that took: at most <see cref="MaxLength"/>.</summary>
    public static int Format(double value, byte* destination)
    {
        // Whole numbers up to 2^62 go out as integers: exact, and far cheaper than finding the shortest digits.
        if (Math.Abs(value) <= 1L << 62 && (long)value == value && (value != 0 || !double.IsNegative(value)))
            return RespInteger.Format((long)value, destination);
        if (!double.IsFinite(value) || value == 0)
            return Special(value, destination);

        byte* p = destination;
        if (value < 0)
        {
            *p++ = (byte)'-';
            value = -value;
        }
        byte* digits = stackalloc byte[MaxLength];
        int count = ShortestDigits(value, digits, out int exponent);
        return (int)(Layout(digits, count, exponent, p) - destination);
    }

    private static int Special(double value, byte* destination)
    {
        ReadOnlySpan<byte> text = double.IsNaN(value) ? "nan"u8 : value == 0 ? "-0"u8 : value > 0 ? "inf"u8 : "-inf"u8;
        text.CopyTo(new Span<byte>(destination, MaxLength));
        return text.Length;
    }

    /// <summary>The digits d1 d2 … dn of the shortest decimal, whose value is d1d2…dn × 10^exponent; no trailing zeros.</summary>
    private static int ShortestDigits(double value, byte* digits, out int exponent)
    {
        int count;
        double scaled = Math.Round(value * ShortFractionScale);
        if (scaled < MaxExactDigits && scaled >= 1 && scaled / ShortFractionScale == value)
        {
            // Prices, coordinates, averages: a few digits behind the point. Both operands of the division are exact, so
            // equality proves that these at most 15 digits mean this double, and no shorter ones can.
            count = RespInteger.Format((long)scaled, digits);
            exponent = -ShortFractionDigits;
        }
        else
        {
            count = RoundTripDigits(value, digits, out exponent);
        }
        while (count > 1 && digits[count - 1] == '0')
        {
            count--;
            exponent++;
        }
        return count;
    }

    private static int RoundTripDigits(double value, byte* digits, out int exponent)
    {
        Span<byte> text = stackalloc byte[MaxLength];
        if (!value.TryFormat(text, out int length, default, CultureInfo.InvariantCulture))
            throw new InvalidOperationException("A double took more text than any double can.");

        int count = 0;
        int fraction = 0;
        bool behindPoint = false;
        exponent = 0;
        for (int i = 0; i < length; i++)
        {
            byte c = text[i];
            if (c == 'E')
            {
                // "E+20", "E-07".
                for (int j = i + 2; j < length; j++)
                    exponent = exponent * 10 + (text[j] - '0');
                if (text[i + 1] == '-')
                    exponent = -exponent;
                break;
            }
            if (c == '.')
            {
                behindPoint = true;
                continue;
            }
            if (behindPoint)
                fraction++;
            if (c != '0' || count > 0)
                digits[count++] = c;
        }
        exponent -= fraction;
        return count;
    }

    /// <summary>
    /// Chooses between plain digits, a point and an exponent exactly as Redis 7.2 does: by how many zeros would be
    /// written, so 0.000001 and 12345678900000000000 stay plain while 1e+20 and 1e-7 do not.
    /// </summary>
    private static byte* Layout(byte* digits, int count, int exponent, byte* p)
    {
        var source = new ReadOnlySpan<byte>(digits, count);
        int scientific = exponent + count - 1;
        int magnitude = Math.Abs(scientific);

        if (exponent >= 0 && magnitude < count + 7)
        {
            source.CopyTo(new Span<byte>(p, count));
            new Span<byte>(p + count, exponent).Fill((byte)'0');
            return p + count + exponent;
        }

        if (exponent < 0 && (exponent > -7 || magnitude < 4))
        {
            int whole = count + exponent;
            if (whole > 0)
            {
                source[..whole].CopyTo(new Span<byte>(p, whole));
                p[whole] = (byte)'.';
                source[whole..].CopyTo(new Span<byte>(p + whole + 1, count - whole));
                return p + count + 1;
            }
            p[0] = (byte)'0';
            p[1] = (byte)'.';
            new Span<byte>(p + 2, -whole).Fill((byte)'0');
            source.CopyTo(new Span<byte>(p + 2 - whole, count));
            return p + 2 - whole + count;
        }

        *p++ = digits[0];
        if (count > 1)
        {
            *p++ = (byte)'.';
            source[1..].CopyTo(new Span<byte>(p, count - 1));
            p += count - 1;
        }
        *p++ = (byte)'e';
        *p++ = (byte)(scientific < 0 ? '-' : '+');
        return RespInteger.Append(p, magnitude);
    }

    /// <summary>Reads a double, as <see cref="TryParse(byte*, int, out double)"/> does.</summary>
    public static bool TryParse(ReadOnlySpan<byte> text, out double value)
    {
        fixed (byte* p = text)
            return TryParse(p, text.Length, out value);
    }

    /// <summary>
    /// Reads a double with the syntax of C's <c>strtod</c> over all bytes. Refused: a space before it, NaN, text that goes
    /// on, a value too large for a double, and one so small that it would become zero.
    /// </summary>
    public static bool TryParse(byte* text, int length, out double value)
    {
        value = 0;
        byte* p = text;
        byte* end = text + length;
        if (p == end)
            return false;
        bool negative = *p == '-';
        if (*p == '-' || *p == '+')
            p++;
        if (p == end)
            return false;

        double magnitude;
        bool ok = ((uint)(*p - '0') < 10 || *p == '.')
            ? end - p > 2 && *p == '0' && (p[1] | 0x20) == 'x' ? TryHexadecimal(p + 2, end, out magnitude) : TryDecimal(p, end, out magnitude)
            : TryInfinity(p, end, out magnitude);
        value = negative ? -magnitude : magnitude;
        return ok;
    }

    private static bool TryInfinity(byte* p, byte* end, out double magnitude)
    {
        var word = new ReadOnlySpan<byte>(p, (int)(end - p));
        magnitude = double.PositiveInfinity;
        return Ascii.EqualsIgnoreCase(word, "inf"u8) || Ascii.EqualsIgnoreCase(word, "infinity"u8);
    }

    private static bool TryDecimal(byte* start, byte* end, out double magnitude)
    {
        magnitude = 0;
        byte* p = start;
        ulong mantissa = 0;
        int significant = 0, fraction = 0;
        bool any = false, behindPoint = false;
        for (; p < end; p++)
        {
            uint digit = (uint)(*p - '0');
            if (digit > 9)
            {
                if (*p != '.' || behindPoint)
                    break;
                behindPoint = true;
                continue;
            }
            any = true;
            if (behindPoint)
                fraction++;
            if (digit != 0 || significant > 0)
                significant++;
            if (significant <= 19)
                mantissa = mantissa * 10 + digit;
        }
        if (!any)
            return false;

        bool plain = p == end;
        if (!plain)
        {
            if ((*p | 0x20) != 'e')
                return false;
            p++;
            if (p < end && (*p == '+' || *p == '-'))
                p++;
            if (p == end)
                return false;
            for (; p < end; p++)
            {
                if ((uint)(*p - '0') > 9)
                    return false;
            }
        }
        if (significant == 0)
            return true;

        if (plain && significant <= 19 && mantissa <= MaxExactMantissa && fraction < ExactPowersOfTen.Length)
        {
            // Both operands are exact, so one division rounds once: the nearest double.
            magnitude = mantissa / ExactPowersOfTen[fraction];
            return true;
        }
        return double.TryParse(new ReadOnlySpan<byte>(start, (int)(end - start)), NumberStyles.AllowDecimalPoint | NumberStyles.AllowExponent,
            CultureInfo.InvariantCulture, out magnitude) && magnitude != 0 && double.IsFinite(magnitude);
    }

    private static bool TryHexadecimal(byte* p, byte* end, out double magnitude)
    {
        magnitude = 0;
        ulong mantissa = 0;
        long exponent = 0;
        bool any = false, behindPoint = false, sticky = false;
        for (; p < end; p++)
        {
            if (*p == '.' && !behindPoint)
            {
                behindPoint = true;
                continue;
            }
            if (!char.IsAsciiHexDigit((char)*p))
                break;
            any = true;
            uint digit = (uint)(*p <= '9' ? *p - '0' : (*p | 0x20) - 'a' + 10);
            if (mantissa >> 60 == 0)
            {
                mantissa = mantissa << 4 | digit;
                exponent -= behindPoint ? 4 : 0;
            }
            else
            {
                sticky |= digit != 0;
                exponent += behindPoint ? 0 : 4;
            }
        }
        if (!any)
            return false;
        if (p < end)
        {
            if ((*p | 0x20) != 'p')
                return false;
            p++;
            bool negative = p < end && *p == '-';
            if (p < end && (*p == '+' || *p == '-'))
                p++;
            if (p == end)
                return false;
            long given = 0;
            for (; p < end; p++)
            {
                uint digit = (uint)(*p - '0');
                if (digit > 9)
                    return false;
                // Beyond this no text that fits in memory can bring the value back into range.
                given = Math.Min(given * 10 + digit, 1L << 40);
            }
            exponent += negative ? -given : given;
        }
        if (mantissa == 0)
            return true;
        magnitude = Round(mantissa, exponent, sticky);
        return magnitude != 0 && double.IsFinite(magnitude);
    }

    /// <summary>mantissa × 2^exponent (and a little more, if <paramref name="sticky"/>) to the nearest double, ties to even.</summary>
    private static double Round(ulong mantissa, long exponent, bool sticky)
    {
        int shift = BitOperations.LeadingZeroCount(mantissa);
        mantissa <<= shift;
        exponent -= shift;                          // now the value lies in [2^63, 2^64) × 2^exponent
        if (exponent > 1023 - 63)
            return double.PositiveInfinity;
        // A normal double keeps 53 bits; below 2^-1022 the last bit stays at 2^-1074, so fewer are kept.
        long kept = Math.Min(53, exponent + 63 + 1075);
        if (kept < 0)
            return 0;
        int dropped = 64 - (int)kept;
        ulong result = dropped == 64 ? 0 : mantissa >> dropped;
        ulong half = 1UL << (dropped - 1);
        ulong rest = dropped == 64 ? mantissa : mantissa & ((1UL << dropped) - 1);
        if (rest > half || (rest == half && (sticky || (result & 1) != 0)))
            result++;
        return Math.ScaleB(result, (int)(exponent + dropped));
    }
}
