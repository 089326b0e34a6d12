using System.Globalization;
using System.Numerics;
using System.Text;

namespace Leither.MmDb.Values;

/// <summary>
/// The 80-bit floating point numbers of x87 in software: what Redis computes INCRBYFLOAT and HINCRBYFLOAT with, so that 0.1 + 0.2
/// is 0.3 there. Reading, adding and writing round as the processor and the C library do: to the nearest, ties to even.
/// </summary>
/// <remarks>
/// A number is ±mantissa × 2^exponent with a mantissa of up to 64 bits. Each operation works out the exact result with integers
/// of any size and rounds once; these commands are rare enough for that.
/// </remarks>
public readonly struct LongDouble
{
    /// <summary>The most bytes that <see cref="Format"/> writes: sign, 4933 digits, point and 17 digits.</summary>
    public const int MaxLength = 5 * 1024;

    private const int Precision = 64;
    private const int MinExponent = -16445;
    private const int MaxBits = 16384;
    private const int FractionDigits = 17;

    /// <summary>Decimal exponents beyond which a number of at most <see cref="MaxLength"/> digits cannot be in range.</summary>
    private const int ExponentLimit = 20_000;

    private static readonly BigInteger FractionScale = BigInteger.Pow(10, FractionDigits);

    private readonly ulong _mantissa;
    private readonly int _exponent;
    private readonly bool _negative;
    private readonly bool _infinite;

    private LongDouble(bool negative, ulong mantissa, int exponent, bool infinite = false)
    {
        _negative = negative;
        _mantissa = mantissa;
        _exponent = exponent;
        _infinite = infinite;
    }

    /// <summary>Whether it is a number that can be written: neither infinite nor what infinities add up to.</summary>
    public bool IsFinite => !_infinite;

    /// <summary>The sum, rounded once.</summary>
    public static LongDouble operator +(in LongDouble a, in LongDouble b)
    {
        if (a._infinite || b._infinite)
        {
            // Infinite or no number at all: both are refused by every caller.
            return new LongDouble(false, 0, 0, infinite: true);
        }

        int exponent = Math.Min(a._exponent, b._exponent);
        BigInteger sum = a.Scaled(exponent) + b.Scaled(exponent);
        return Round(sum.Sign < 0, BigInteger.Abs(sum), exponent, sticky: false);
    }

    /// <summary>
    /// Reads a number as Redis does: all that C's <c>strtold</c> takes (decimal, hexadecimal, inf), over all bytes. Refused: a space
    /// before it, NaN, and what is too large or would become zero.
    /// </summary>
    public static bool TryParse(ReadOnlySpan<byte> text, out LongDouble value)
    {
        value = default;
        if (text.IsEmpty || text.Length >= MaxLength)
        {
            return false;
        }

        bool negative = text[0] == '-';
        ReadOnlySpan<byte> rest = text[0] is (byte)'-' or (byte)'+' ? text[1..] : text;
        if (Ascii.EqualsIgnoreCase(rest, "inf"u8) || Ascii.EqualsIgnoreCase(rest, "infinity"u8))
        {
            value = new LongDouble(negative, 0, 0, infinite: true);
            return true;
        }

        bool hexadecimal = rest.Length > 2 && rest[0] == '0' && (rest[1] | 0x20) == 'x';
        return hexadecimal ? TryHexadecimal(negative, rest[2..], out value) : TryDecimal(negative, rest, out value);
    }

    /// <summary>
    /// Writes it as Redis does: 17 digits behind the point, without trailing zeros. <paramref name="destination"/> has room for
    /// <see cref="MaxLength"/> bytes. Returns how many were written.
    /// </summary>
    public int Format(Span<byte> destination)
    {
        BigInteger scaled = Digits(out bool negative);
        string digits = scaled.ToString(CultureInfo.InvariantCulture).PadLeft(FractionDigits + 1, '0');
        int length = 0;
        if (negative)
        {
            destination[length++] = (byte)'-';
        }

        int whole = digits.Length - FractionDigits;
        ReadOnlySpan<char> fraction = digits.AsSpan(whole).TrimEnd('0');
        length += Encoding.ASCII.GetBytes(digits.AsSpan(0, whole), destination[length..]);
        if (!fraction.IsEmpty)
        {
            destination[length++] = (byte)'.';
            length += Encoding.ASCII.GetBytes(fraction, destination[length..]);
        }

        return length;
    }

    /// <summary>The magnitude × 10^17 as an integer, rounded; zero has no sign.</summary>
    private BigInteger Digits(out bool negative)
    {
        BigInteger scaled = _mantissa * FractionScale;
        if (_exponent >= 0)
        {
            scaled <<= _exponent;
        }
        else
        {
            BigInteger unit = BigInteger.One << -_exponent;
            scaled = BigInteger.DivRem(scaled, unit, out BigInteger rest);
            int half = (rest << 1).CompareTo(unit);
            if (half > 0 || (half == 0 && !scaled.IsEven))
            {
                scaled++;
            }
        }

        negative = _negative && !scaled.IsZero;
        return scaled;
    }

    private BigInteger Scaled(int exponent)
    {
        BigInteger magnitude = (BigInteger)_mantissa << (_exponent - exponent);
        return _negative ? -magnitude : magnitude;
    }

    private static bool TryDecimal(bool negative, ReadOnlySpan<byte> text, out LongDouble value)
    {
        value = default;
        int end = MantissaEnd(text, static b => b is >= (byte)'0' and <= (byte)'9', out int point, out int digitCount);
        if (digitCount == 0 || !TryExponent(text[end..], (byte)'e', out int exponent))
        {
            return false;
        }

        Span<char> digits = new char[digitCount];
        int count = 0;
        foreach (byte b in text[..end])
        {
            if (b != '.')
            {
                digits[count++] = (char)b;
            }
        }

        BigInteger mantissa = BigInteger.Parse(digits, NumberStyles.None, CultureInfo.InvariantCulture);
        exponent -= point < 0 ? 0 : end - point - 1;
        if (mantissa.IsZero)
        {
            value = new LongDouble(negative, 0, 0);
            return true;
        }

        if (Math.Abs(exponent) > ExponentLimit)
        {
            return false;
        }

        value = exponent >= 0
            ? Round(negative, mantissa * BigInteger.Pow(10, exponent), 0, sticky: false)
            : Quotient(negative, mantissa, BigInteger.Pow(10, -exponent));
        return value._mantissa != 0;
    }

    private static bool TryHexadecimal(bool negative, ReadOnlySpan<byte> text, out LongDouble value)
    {
        value = default;
        int end = MantissaEnd(text, static b => char.IsAsciiHexDigit((char)b), out int point, out int digitCount);
        if (digitCount == 0 || !TryExponent(text[end..], (byte)'p', out int exponent))
        {
            return false;
        }

        BigInteger mantissa = BigInteger.Zero;
        foreach (byte b in text[..end])
        {
            if (b != '.')
            {
                mantissa = (mantissa << 4) + (b <= '9' ? b - '0' : (b | 0x20) - 'a' + 10);
            }
        }

        if (mantissa.IsZero)
        {
            value = new LongDouble(negative, 0, 0);
            return true;
        }

        exponent -= point < 0 ? 0 : 4 * (end - point - 1);
        if (Math.Abs(exponent) > 2 * ExponentLimit)
        {
            return false;
        }

        value = Round(negative, mantissa, exponent, sticky: false);
        return value._mantissa != 0;
    }

    /// <summary>Where digits and at most one point end; the point's place or -1; the number of digits.</summary>
    private static int MantissaEnd(ReadOnlySpan<byte> text, Func<byte, bool> isDigit, out int point, out int digits)
    {
        point = -1;
        digits = 0;
        int i = 0;
        for (; i < text.Length; i++)
        {
            if (text[i] == '.' && point < 0)
            {
                point = i;
            }
            else if (isDigit(text[i]))
            {
                digits++;
            }
            else
            {
                break;
            }
        }

        return i;
    }

    /// <summary>Reads what follows the mantissa: nothing, or the letter, a sign and digits.</summary>
    private static bool TryExponent(ReadOnlySpan<byte> text, byte letter, out int exponent)
    {
        exponent = 0;
        if (text.IsEmpty)
        {
            return true;
        }

        if ((text[0] | 0x20) != letter)
        {
            return false;
        }

        text = text[1..];
        bool negative = !text.IsEmpty && text[0] == '-';
        if (!text.IsEmpty && text[0] is (byte)'-' or (byte)'+')
        {
            text = text[1..];
        }

        if (text.IsEmpty)
        {
            return false;
        }

        foreach (byte b in text)
        {
            if (b is < (byte)'0' or > (byte)'9')
            {
                return false;
            }

            // Far beyond every range, and far from overflow.
            exponent = Math.Min((exponent * 10) + (b - '0'), 10_000_000);
        }

        exponent = negative ? -exponent : exponent;
        return true;
    }

    private static LongDouble Quotient(bool negative, BigInteger numerator, BigInteger denominator)
    {
        // Two bits more than are kept, and what remains of the division decides ties.
        long exponent = numerator.GetBitLength() - denominator.GetBitLength() - (Precision + 2);
        exponent = Math.Max(exponent, MinExponent - 2);
        BigInteger quotient = exponent < 0
            ? BigInteger.DivRem(numerator << (int)-exponent, denominator, out BigInteger rest)
            : BigInteger.DivRem(numerator, denominator << (int)exponent, out rest);
        return Round(negative, quotient, (int)exponent, sticky: !rest.IsZero);
    }

    /// <summary>magnitude × 2^exponent (and a little more, if sticky) to the nearest number, ties to even.</summary>
    private static LongDouble Round(bool negative, BigInteger magnitude, int exponent, bool sticky)
    {
        long drop = Math.Max(magnitude.GetBitLength() - Precision, MinExponent - exponent);
        if (drop > 0)
        {
            BigInteger unit = BigInteger.One << (int)drop;
            magnitude = BigInteger.DivRem(magnitude, unit, out BigInteger rest);
            exponent += (int)drop;
            int half = (rest << 1).CompareTo(unit);
            if (half > 0 || (half == 0 && (sticky || !magnitude.IsEven)))
            {
                magnitude++;
            }

            if (magnitude.GetBitLength() > Precision)
            {
                magnitude >>= 1;
                exponent++;
            }
        }

        return exponent + magnitude.GetBitLength() > MaxBits
            ? new LongDouble(negative, 0, 0, infinite: true)
            : new LongDouble(negative, (ulong)magnitude, exponent);
    }
}
