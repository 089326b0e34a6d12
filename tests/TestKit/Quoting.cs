// Splits a line into arguments as redis-cli does: blanks part them, "double quotes" know \n \r \t \a \b \\ \" \xHH,
// 'single quotes' know only \'.

using System.Globalization;
using System.Text;

namespace Leither.TestKit;

/// <summary>Command lines as redis-cli reads them.</summary>
public static class Quoting
{
    /// <summary>The arguments of a line, one byte a char (Latin-1).</summary>
    /// <exception cref="FormatException">Unbalanced quotes.</exception>
    public static byte[][] Split(string line)
    {
        var arguments = new List<byte[]>();
        int i = 0;
        while (true)
        {
            while (i < line.Length && char.IsWhiteSpace(line[i])) i++;
            if (i == line.Length) return [.. arguments];
            var argument = new StringBuilder();
            if (line[i] is '"' or '\'')
            {
                char quote = line[i++];
                while (true)
                {
                    if (i == line.Length) throw new FormatException($"Unbalanced quotes: {line}");
                    if (line[i] == quote) { i++; break; }
                    if (line[i] == '\\' && quote == '"' && i + 1 < line.Length)
                    {
                        i = Unescape(line, i + 1, argument);
                    }
                    else if (line[i] == '\\' && i + 1 < line.Length && line[i + 1] == '\'')
                    {
                        argument.Append('\'');
                        i += 2;
                    }
                    else
                    {
                        argument.Append(line[i++]);
                    }
                }

                if (i < line.Length && !char.IsWhiteSpace(line[i])) throw new FormatException($"Text after a closing quote: {line}");
            }
            else
            {
                while (i < line.Length && !char.IsWhiteSpace(line[i])) argument.Append(line[i++]);
            }

            arguments.Add(Encoding.Latin1.GetBytes(argument.ToString()));
        }
    }

    /// <summary>A command as a line that <see cref="Split"/> reads back.</summary>
    public static string Join(IEnumerable<byte[]> arguments) => string.Join(' ', arguments.Select(One));

    private static string One(byte[] argument)
    {
        bool plain = argument.Length > 0 && argument.All(b => b is > 0x20 and < 0x7f && b is not ((byte)'"' or (byte)'\'' or (byte)'\\'));
        return plain ? Encoding.Latin1.GetString(argument) : RespValue.Quote(argument);
    }

    private static int Unescape(string line, int i, StringBuilder argument)
    {
        if (line[i] == 'x' && i + 2 < line.Length && byte.TryParse(line.AsSpan(i + 1, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out byte b))
        {
            argument.Append((char)b);
            return i + 3;
        }

        argument.Append(line[i] switch { 'n' => '\n', 'r' => '\r', 't' => '\t', 'a' => '\a', 'b' => '\b', char c => c });
        return i + 1;
    }
}
