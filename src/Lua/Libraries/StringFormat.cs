using System.Globalization;

namespace Leither.Lua;

/// <summary>string.format: C's printf for Lua's values.</summary>
internal static class StringFormat
{
    private struct Specification
    {
        public bool Left, Plus, Space, Alternate, Zero;
        public int Width;
        public int Precision;
    }

    public static int Format(LuaThread t)
    {
        ReadOnlySpan<byte> format = t.CheckString(1).Span;
        var result = new ByteBuffer(t.State);
        int arg = 1;
        for (int i = 0; i < format.Length;)
        {
            if (format[i] != '%')
            {
                result.Add(format[i++]);
                continue;
            }

            i++;
            if (i < format.Length && format[i] == '%')
            {
                result.Add(format[i++]);
                continue;
            }

            arg++;
            if (arg > t.ArgCount)
            {
                throw t.ArgError(arg, "no value");
            }

            Specification spec = Read(t, format, ref i);
            byte conversion = i < format.Length ? format[i] : (byte)0;
            i++;
            switch (conversion)
            {
                case (byte)'c':
                    {
                        byte c = (byte)LuaNumber.ToInt32(t.CheckNumber(arg));
                        if (c != 0)
                        {
                            Pad(ref result, spec, [c]);
                        }
                        else if (!spec.Left)
                        {
                            // As a string of C's it ends here.
                            result.Repeat((byte)' ', Math.Max(spec.Width - 1, 0));
                        }

                        break;
                    }

                case (byte)'d' or (byte)'i':
                    {
                        long value = LuaNumber.ToInt64(t.CheckNumber(arg));
                        string digits = value < 0 ? value.ToString(CultureInfo.InvariantCulture)[1..] : value.ToString(CultureInfo.InvariantCulture);
                        AddInteger(ref result, spec, value < 0 ? "-" : spec.Plus ? "+" : spec.Space ? " " : "", digits, value == 0);
                        break;
                    }

                case (byte)'u' or (byte)'o' or (byte)'x' or (byte)'X':
                    {
                        ulong value = LuaNumber.ToUInt64(t.CheckNumber(arg));
                        string digits = (char)conversion switch
                        {
                            'u' => value.ToString(CultureInfo.InvariantCulture),
                            'o' => Octal(value),
                            'x' => value.ToString("x", CultureInfo.InvariantCulture),
                            _ => value.ToString("X", CultureInfo.InvariantCulture),
                        };
                        string prefix = spec.Alternate && value != 0 && (conversion is (byte)'x' or (byte)'X') ? "0" + (char)conversion : "";
                        if (conversion == 'o' && spec.Alternate && digits[0] != '0' && spec.Precision <= digits.Length)
                        {
                            digits = "0" + digits;
                        }

                        AddInteger(ref result, spec, prefix, digits, value == 0);
                        break;
                    }

                case (byte)'e' or (byte)'E' or (byte)'f' or (byte)'g' or (byte)'G':
                    AddFloat(ref result, spec, t.CheckNumber(arg), (char)conversion);
                    break;
                case (byte)'q':
                    AddQuoted(ref result, t.CheckString(arg).Span);
                    break;
                case (byte)'s':
                    {
                        ReadOnlySpan<byte> text = t.CheckString(arg).Span;
                        if (spec.Precision < 0 && text.Length >= 100)
                        {
                            // Too long to be padded, and kept whole.
                            result.Add(text);
                            break;
                        }

                        int zero = text.IndexOf((byte)0);
                        text = zero < 0 ? text : text[..zero];
                        Pad(ref result, spec, spec.Precision >= 0 && spec.Precision < text.Length ? text[..spec.Precision] : text);
                        break;
                    }

                default:
                    string shown = conversion == 0 ? "" : ((char)conversion).ToString();
                    throw t.Error($"invalid option '%{shown}' to 'format'");
            }
        }

        return t.Return(result.ToLuaString());
    }

    private static Specification Read(LuaThread t, ReadOnlySpan<byte> format, ref int i)
    {
        var spec = new Specification { Precision = -1 };
        int flags = 0;
        for (; i < format.Length && "-+ #0"u8.IndexOf(format[i]) >= 0; i++)
        {
            switch (format[i])
            {
                case (byte)'-':
                    spec.Left = true;
                    break;
                case (byte)'+':
                    spec.Plus = true;
                    break;
                case (byte)' ':
                    spec.Space = true;
                    break;
                case (byte)'#':
                    spec.Alternate = true;
                    break;
                default:
                    spec.Zero = true;
                    break;
            }

            flags++;
        }

        if (flags >= 6)
        {
            throw t.Error("invalid format (repeated flags)");
        }

        spec.Width = TwoDigits(format, ref i);
        if (i < format.Length && format[i] == '.')
        {
            i++;
            spec.Precision = TwoDigits(format, ref i);
        }

        if (i < format.Length && char.IsAsciiDigit((char)format[i]))
        {
            throw t.Error("invalid format (width or precision too long)");
        }

        return spec;
    }

    private static int TwoDigits(ReadOnlySpan<byte> format, ref int i)
    {
        int value = 0;
        for (int n = 0; n < 2 && i < format.Length && char.IsAsciiDigit((char)format[i]); n++)
        {
            value = (value * 10) + (format[i++] - '0');
        }

        return value;
    }

    private static string Octal(ulong value)
    {
        Span<char> digits = stackalloc char[22];
        int at = digits.Length;
        do
        {
            digits[--at] = (char)('0' + (int)(value & 7));
            value >>= 3;
        }
        while (value != 0);
        return new string(digits[at..]);
    }

    private static void Pad(ref ByteBuffer result, in Specification spec, ReadOnlySpan<byte> text)
    {
        int padding = Math.Max(spec.Width - text.Length, 0);
        if (!spec.Left)
        {
            result.Repeat((byte)' ', padding);
        }

        result.Add(text);
        if (spec.Left)
        {
            result.Repeat((byte)' ', padding);
        }
    }

    private static void AddInteger(ref ByteBuffer result, in Specification spec, string prefix, string digits, bool isZero)
    {
        if (spec.Precision == 0 && isZero)
        {
            digits = "";
        }

        int zeros = Math.Max(spec.Precision - digits.Length, 0);
        if (spec.Precision < 0 && spec.Zero && !spec.Left)
        {
            zeros = Math.Max(spec.Width - prefix.Length - digits.Length, 0);
        }

        AddPadded(ref result, spec, prefix, zeros, digits);
    }

    private static void AddFloat(ref ByteBuffer result, in Specification spec, double value, char conversion)
    {
        int precision = spec.Precision < 0 ? 6 : spec.Precision;
        bool negative = double.IsNegative(value);
        double magnitude = double.IsNaN(value) ? double.NaN : Math.Abs(value);
        bool upper = char.IsAsciiLetterUpper(conversion);
        string digits = char.ToLowerInvariant(conversion) switch
        {
            _ when double.IsNaN(value) => upper ? "NAN" : "nan",
            _ when double.IsInfinity(value) => upper ? "INF" : "inf",
            'e' => LuaNumber.FormatExponent(magnitude, precision, spec.Alternate, upper),
            'f' => LuaNumber.FormatFixed(magnitude, precision, spec.Alternate),
            _ => LuaNumber.FormatGeneral(magnitude, precision, spec.Alternate, upper),
        };
        string prefix = negative ? "-" : spec.Plus ? "+" : spec.Space ? " " : "";
        int zeros = spec.Zero && !spec.Left && double.IsFinite(value) ? Math.Max(spec.Width - prefix.Length - digits.Length, 0) : 0;
        AddPadded(ref result, spec, prefix, zeros, digits);
    }

    private static void AddPadded(ref ByteBuffer result, in Specification spec, string prefix, int zeros, string digits)
    {
        int padding = Math.Max(spec.Width - prefix.Length - zeros - digits.Length, 0);
        if (!spec.Left)
        {
            result.Repeat((byte)' ', padding);
        }

        result.Add(prefix);
        result.Repeat((byte)'0', zeros);
        result.Add(digits);
        if (spec.Left)
        {
            result.Repeat((byte)' ', padding);
        }
    }

    private static void AddQuoted(ref ByteBuffer result, ReadOnlySpan<byte> text)
    {
        result.Add((byte)'"');
        foreach (byte c in text)
        {
            switch (c)
            {
                case (byte)'"' or (byte)'\\' or (byte)'\n':
                    result.Add((byte)'\\');
                    result.Add(c);
                    break;
                case (byte)'\r':
                    result.Add("\\r"u8);
                    break;
                case 0:
                    result.Add("\\000"u8);
                    break;
                default:
                    result.Add(c);
                    break;
            }
        }

        result.Add((byte)'"');
    }
}
