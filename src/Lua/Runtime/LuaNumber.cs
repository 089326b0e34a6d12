using System.Buffers.Text;
using System.Globalization;
using System.Text;

namespace Leither.Lua;

/// <summary>Numbers as text and back, digit for digit as C's printf and strtod do it for Lua 5.1.</summary>
public static class LuaNumber
{
    /// <summary>As printf's %.14g: what tostring and concatenation show.</summary>
    public static byte[] Format(double value)
    {
        Span<byte> buffer = stackalloc byte[64];
        int length = Format(value, buffer);
        return buffer[..length].ToArray();
    }

    internal static int Format(double value, Span<byte> target)
    {
        if (value == Math.Truncate(value) && Math.Abs(value) < 1e14 && (value != 0 || !double.IsNegative(value)))
        {
            Utf8Formatter.TryFormat((long)value, target, out int written);
            return written;
        }

        string text = FormatGeneral(value, 14, alternate: false, upper: false);
        return Encoding.ASCII.GetBytes(text, target);
    }

    /// <summary>printf's inf and nan; null for finite numbers.</summary>
    internal static string? FormatSpecial(double value, bool upper)
    {
        if (double.IsFinite(value))
        {
            return null;
        }

        string text = (double.IsNegative(value) ? "-" : "") + (double.IsNaN(value) ? "nan" : "inf");
        return upper ? text.ToUpperInvariant() : text;
    }

    /// <summary>printf's %g.</summary>
    internal static string FormatGeneral(double value, int precision, bool alternate, bool upper)
    {
        if (FormatSpecial(value, upper) is { } special)
        {
            return special;
        }

        precision = Math.Max(precision, 1);
        string scientific = FormatExponent(value, precision - 1, alternate, upper: false);
        int at = scientific.IndexOf('e', StringComparison.Ordinal);
        int exponent = int.Parse(scientific.AsSpan(at + 1), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture);
        string text;
        if (exponent < -4 || exponent >= precision)
        {
            string mantissa = scientific[..at];
            if (!alternate)
            {
                mantissa = TrimZeros(mantissa);
            }

            text = mantissa + scientific[at..];
        }
        else
        {
            text = FormatFixed(value, precision - 1 - exponent, alternate);
            if (!alternate)
            {
                text = TrimZeros(text);
            }
        }

        return upper ? text.ToUpperInvariant() : text;
    }

    /// <summary>printf's %e.</summary>
    internal static string FormatExponent(double value, int precision, bool alternate, bool upper)
    {
        if (FormatSpecial(value, upper) is { } special)
        {
            return special;
        }

        // .NET writes the exact digits too, but three digits of exponent at least; C writes two.
        string text = value.ToString("E" + precision.ToString(CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);
        int at = text.IndexOf('E', StringComparison.Ordinal);
        int exponent = int.Parse(text.AsSpan(at + 1), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture);
        string mantissa = text[..at];
        if (alternate && precision == 0)
        {
            mantissa += ".";
        }

        char sign = exponent < 0 ? '-' : '+';
        string result = $"{mantissa}e{sign}{Math.Abs(exponent):00}";
        return upper ? result.ToUpperInvariant() : result;
    }

    /// <summary>printf's %f.</summary>
    internal static string FormatFixed(double value, int precision, bool alternate)
    {
        if (FormatSpecial(value, upper: false) is { } special)
        {
            return special;
        }

        string text = value.ToString("F" + precision.ToString(CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);
        return alternate && precision == 0 ? text + "." : text;
    }

    private static string TrimZeros(string text) =>
        text.Contains('.', StringComparison.Ordinal) ? text.TrimEnd('0').TrimEnd('.') : text;

    /// <summary>Reads a whole text as a number, spaces around allowed: what tonumber and arithmetic accept.</summary>
    public static bool TryParse(ReadOnlySpan<byte> text, out double value)
    {
        int used = ParsePrefix(text, out value);
        if (used == 0)
        {
            return false;
        }

        while (used < text.Length && IsSpace(text[used]))
        {
            used++;
        }

        return used == text.Length;
    }

    internal static bool IsSpace(byte c) => c is (byte)' ' or (>= 9 and <= 13);

    /// <summary>As strtod: the longest prefix that is a number; how many bytes it takes, 0 for none.</summary>
    internal static int ParsePrefix(ReadOnlySpan<byte> text, out double value)
    {
        int i = 0;
        value = 0;
        while (i < text.Length && IsSpace(text[i]))
        {
            i++;
        }

        bool negative = false;
        if (i < text.Length && text[i] is (byte)'+' or (byte)'-')
        {
            negative = text[i] == '-';
            i++;
        }

        ReadOnlySpan<byte> rest = text[i..];
        if (rest.Length >= 2 && rest[0] == '0' && (rest[1] | 0x20) == 'x')
        {
            int hex = ParseHex(rest[2..], out value);
            if (hex > 0)
            {
                value = negative ? -value : value;
                return i + 2 + hex;
            }

            value = negative ? -0.0 : 0;
            return i + 1;
        }

        if (StartsWith(rest, "infinity"u8) || StartsWith(rest, "inf"u8))
        {
            value = negative ? double.NegativeInfinity : double.PositiveInfinity;
            return i + (StartsWith(rest, "infinity"u8) ? 8 : 3);
        }

        if (StartsWith(rest, "nan"u8))
        {
            value = negative ? double.NaN : -double.NaN;
            return i + 3 + NanPayload(rest[3..]);
        }

        int end = 0, digits = 0;
        while (end < rest.Length && char.IsAsciiDigit((char)rest[end]))
        {
            end++;
            digits++;
        }

        if (end < rest.Length && rest[end] == '.')
        {
            end++;
            while (end < rest.Length && char.IsAsciiDigit((char)rest[end]))
            {
                end++;
                digits++;
            }
        }

        if (digits == 0)
        {
            return 0;
        }

        if (end < rest.Length && (rest[end] | 0x20) == 'e')
        {
            int exponent = end + 1;
            if (exponent < rest.Length && rest[exponent] is (byte)'+' or (byte)'-')
            {
                exponent++;
            }

            if (exponent < rest.Length && char.IsAsciiDigit((char)rest[exponent]))
            {
                end = exponent;
                while (end < rest.Length && char.IsAsciiDigit((char)rest[end]))
                {
                    end++;
                }
            }
        }

        if (end <= 15 && digits == end)
        {
            // All digits: exact as an integer.
            long whole = 0;
            foreach (byte c in rest[..end])
            {
                whole = (whole * 10) + (c - '0');
            }

            value = whole;
        }
        else
        {
            double.TryParse(rest[..end], NumberStyles.Float, CultureInfo.InvariantCulture, out value);
        }

        value = negative ? -value : value;
        return i + end;
    }

    private static int NanPayload(ReadOnlySpan<byte> rest)
    {
        if (rest.IsEmpty || rest[0] != '(')
        {
            return 0;
        }

        int i = 1;
        while (i < rest.Length && (char.IsAsciiLetterOrDigit((char)rest[i]) || rest[i] == '_'))
        {
            i++;
        }

        return i < rest.Length && rest[i] == ')' ? i + 1 : 0;
    }

    private static bool StartsWith(ReadOnlySpan<byte> text, ReadOnlySpan<byte> lower)
    {
        return text.Length >= lower.Length && Ascii.EqualsIgnoreCase(text[..lower.Length], lower);
    }

    /// <summary>Hexadecimal digits with a point and a binary exponent, correctly rounded; how many bytes, 0 for none.</summary>
    private static int ParseHex(ReadOnlySpan<byte> text, out double value)
    {
        ulong mantissa = 0;
        int exponent = 0, i = 0, digits = 0;
        bool sticky = false, point = false;
        for (; i < text.Length; i++)
        {
            byte c = text[i];
            if (c == '.' && !point)
            {
                point = true;
                continue;
            }

            int digit = HexDigit(c);
            if (digit < 0)
            {
                break;
            }

            digits++;
            if (mantissa >> 60 == 0)
            {
                mantissa = (mantissa << 4) | (uint)digit;
                exponent -= point ? 4 : 0;
            }
            else
            {
                sticky |= digit != 0;
                exponent += point ? 0 : 4;
            }
        }

        value = 0;
        if (digits == 0)
        {
            return 0;
        }

        if (i < text.Length && (text[i] | 0x20) == 'p')
        {
            int at = i + 1;
            bool negative = false;
            if (at < text.Length && text[at] is (byte)'+' or (byte)'-')
            {
                negative = text[at] == '-';
                at++;
            }

            if (at < text.Length && char.IsAsciiDigit((char)text[at]))
            {
                int power = 0;
                for (; at < text.Length && char.IsAsciiDigit((char)text[at]); at++)
                {
                    power = Math.Min((power * 10) + (text[at] - '0'), 1_000_000);
                }

                exponent += negative ? -power : power;
                i = at;
            }
        }

        if (sticky)
        {
            mantissa |= 1;
        }

        value = Math.ScaleB((double)mantissa, exponent);
        return i;
    }

    internal static int HexDigit(byte c) => c switch
    {
        >= (byte)'0' and <= (byte)'9' => c - '0',
        >= (byte)'a' and <= (byte)'f' => c - 'a' + 10,
        >= (byte)'A' and <= (byte)'F' => c - 'A' + 10,
        _ => -1,
    };

    /// <summary>A double as C converts it to a 64-bit integer on x86: what does not fit becomes the smallest one.</summary>
    public static long ToInt64(double value) =>
        value >= -9223372036854775808.0 && value < 9223372036854775808.0 ? (long)value : long.MinValue;

    /// <summary>A double as C converts it to a 64-bit unsigned integer on x86.</summary>
    internal static ulong ToUInt64(double value) =>
        value >= 9223372036854775808.0 ? (ulong)(ToInt64(value - 9223372036854775808.0) ^ long.MinValue) : (ulong)ToInt64(value);

    /// <summary>A double as lua_Integer and then int: what most library arguments go through.</summary>
    internal static int ToInt32(double value) => unchecked((int)ToInt64(value));
}
