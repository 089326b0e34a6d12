using System.Globalization;
using System.Text;

namespace Leither.MmDb.Configuration;

/// <summary>
/// The text rules of Redis's configuration files and values: quoting, memory units, C's number parsing.
/// <para>All strings of the configuration are <em>byte strings</em>: each char is one byte (Latin-1), so that a password or a
/// path of any encoding survives. <see cref="FromText"/> and <see cref="ToText"/> are the doors to and from real text.</para>
/// </summary>
public static class ConfigText
{
    /// <summary>Text (a path, a command line argument) as a byte string.</summary>
    public static string FromText(string text) => Encoding.Latin1.GetString(Encoding.UTF8.GetBytes(text));

    /// <summary>A byte string as text.</summary>
    public static string ToText(string bytes) => Encoding.UTF8.GetString(Encoding.Latin1.GetBytes(bytes));

    /// <summary>
    /// Splits a line into its arguments: blanks separate them, <c>"…"</c> knows \n \r \t \b \a \xHH and \c for any other c,
    /// <c>'…'</c> knows \' only, and a closing quote ends its argument.
    /// </summary>
    /// <returns>The arguments, or null if a quote is not closed or something touches it from behind.</returns>
    public static List<string>? Split(string line)
    {
        List<string> arguments = [];
        StringBuilder argument = new();
        int at = 0;
        while (true)
        {
            while (at < line.Length && IsBlank(line[at]))
            {
                at++;
            }

            if (at == line.Length || line[at] == '\0')
            {
                return arguments;
            }

            argument.Clear();
            while (at < line.Length && line[at] is not (' ' or '\n' or '\r' or '\t' or '\0'))
            {
                char c = line[at++];
                if (c is not ('"' or '\''))
                {
                    argument.Append(c);
                    continue;
                }

                if (!Unquote(line, ref at, c, argument) || (at < line.Length && !IsBlank(line[at])))
                {
                    return null;
                }

                break;
            }

            arguments.Add(argument.ToString());
        }
    }

    /// <summary>A value between double quotes such that <see cref="Split"/> gives it back.</summary>
    public static string Quote(string value)
    {
        StringBuilder quoted = new("\"");
        foreach (char c in value)
        {
            _ = c switch
            {
                '\\' or '"' => quoted.Append('\\').Append(c),
                '\n' => quoted.Append("\\n"),
                '\r' => quoted.Append("\\r"),
                '\t' => quoted.Append("\\t"),
                '\a' => quoted.Append("\\a"),
                '\b' => quoted.Append("\\b"),
                >= ' ' and <= '~' => quoted.Append(c),
                _ => quoted.Append(CultureInfo.InvariantCulture, $"\\x{(int)c:x2}"),
            };
        }

        return quoted.Append('"').ToString();
    }

    /// <summary>A number of bytes with an optional unit: b, k = 1000, kb = 1024, m, mb, g, gb.</summary>
    public static bool TryParseMemory(string text, out long bytes)
    {
        int digits = 0;
        while (digits < text.Length && char.IsAsciiDigit(text[digits]))
        {
            digits++;
        }

        bytes = 0;
        long unit = text[digits..].ToLowerInvariant() switch
        {
            "" or "b" => 1,
            "k" => 1000,
            "kb" => 1 << 10,
            "m" => 1000 * 1000,
            "mb" => 1 << 20,
            "g" => 1000 * 1000 * 1000,
            "gb" => 1 << 30,
            _ => 0,
        };
        if (unit == 0 || digits > MaxMemoryDigits)
        {
            return false;
        }

        // As C has it: no digits are zero, too many are the greatest number, and the product wraps.
        ulong number = 0;
        if (digits > 0 && !ulong.TryParse(text.AsSpan(0, digits), NumberStyles.None, CultureInfo.InvariantCulture, out number))
        {
            number = ulong.MaxValue;
        }

        bytes = unchecked((long)(number * (ulong)unit));
        return true;
    }

    /// <summary>The shortest exact notation of a number of bytes.</summary>
    public static string FormatMemory(long bytes) => bytes switch
    {
        not 0 when bytes % (1 << 30) == 0 => $"{bytes >> 30}gb",
        not 0 when bytes % (1 << 20) == 0 => $"{bytes >> 20}mb",
        not 0 when bytes % (1 << 10) == 0 => $"{bytes >> 10}kb",
        _ => $"{bytes}",
    };

    /// <summary>A whole number in the one way it is written: no sign but minus, no leading zeros, no blanks.</summary>
    public static bool TryParseInteger(string text, out long value) =>
        long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out value)
        && value.ToString(CultureInfo.InvariantCulture) == text;

    /// <summary>A whole number as C's strtoll takes it, nothing behind it: blanks before it, a plus sign, leading zeros, even nothing at all (zero).</summary>
    public static bool TryParseLoosely(string text, out long value)
    {
        value = 0;
        return text.Length == 0 || long.TryParse(
            text, NumberStyles.AllowLeadingSign | NumberStyles.AllowLeadingWhite, CultureInfo.InvariantCulture, out value);
    }

    /// <summary>An octal number, as mode bits are written.</summary>
    public static bool TryParseOctal(string text, out long value)
    {
        value = 0;
        bool negative = text.StartsWith('-');
        foreach (char c in negative ? text.AsSpan(1) : text)
        {
            if (c is < '0' or > '7' || value > long.MaxValue >> 3)
            {
                return false;
            }

            value = (value << 3) + (c - '0');
        }

        value = negative ? -value : value;
        return true;
    }

    private const int MaxMemoryDigits = 127;

    private static bool Unquote(string line, ref int at, char quote, StringBuilder argument)
    {
        while (at < line.Length && line[at] != '\0')
        {
            char c = line[at++];
            if (c == quote)
            {
                return true;
            }

            if (c == '\\' && at < line.Length && (quote == '"' || line[at] == '\''))
            {
                c = line[at++];
                if (quote == '"')
                {
                    c = Escaped(line, ref at, c);
                }
            }

            argument.Append(c);
        }

        return false;
    }

    private static char Escaped(string line, ref int at, char c)
    {
        switch (c)
        {
            case 'n': return '\n';
            case 'r': return '\r';
            case 't': return '\t';
            case 'b': return '\b';
            case 'a': return '\a';
            case 'x' when at + 2 <= line.Length && char.IsAsciiHexDigit(line[at]) && char.IsAsciiHexDigit(line[at + 1]):
                at += 2;
                return (char)Convert.ToInt32(line.Substring(at - 2, 2), 16);
            default: return c;
        }
    }

    private static bool IsBlank(char c) => c is ' ' or (>= '\t' and <= '\r') or '\0';
}
