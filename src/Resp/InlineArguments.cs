namespace Leither.Resp;

/// <summary>
/// Splits a line that a person typed into arguments, by Redis's quoting rules: <c>"…"</c> with the escapes \n \r \t \b \a \xHH
/// (any other escaped byte stands for itself), <c>'…'</c> with only \', and a closing quote must end its argument. A NUL byte ends the line.
/// </summary>
public static unsafe class InlineArguments
{
    /// <summary>
    /// Adds the arguments of a line to <paramref name="args"/>. Those without quotes are slices of the line itself. False,
    /// and nothing added, if its quotes are not balanced.
    /// </summary>
    public static bool TrySplit(byte* line, int length, ArgBuffer args)
    {
        int first = args.Count;
        byte* p = line;
        int nul = new ReadOnlySpan<byte>(line, length).IndexOf((byte)0);
        byte* end = line + (nul < 0 ? length : nul);
        byte* text = null;
        while (true)
        {
            while (p < end && IsSpace(*p))
                p++;
            if (p == end)
                return true;
            byte* start = p;
            while (p < end && !EndsArgument(*p) && *p != '"' && *p != '\'')
                p++;
            if (p == end || EndsArgument(*p))
            {
                args.Add(new Slice(start, (int)(p - start)));
                continue;
            }

            // Resolving escapes never makes text longer, so what is left of the line is room for this and all later arguments.
            if (text == null)
                text = args.Allocate((int)(end - start));
            p = start;
            int size = Unquote(ref p, end, text);
            if (size < 0)
            {
                args.Truncate(first);
                return false;
            }
            args.Add(new Slice(text, size));
            text += size;
        }
    }

    /// <summary>Writes the argument at <paramref name="p"/> without its quotes; moves behind it and returns its length, or -1.</summary>
    private static int Unquote(ref byte* p, byte* end, byte* text)
    {
        byte* q = text;
        while (p < end && !EndsArgument(*p))
        {
            byte quote = *p++;
            if (quote is not ((byte)'"' or (byte)'\''))
            {
                *q++ = quote;
                continue;
            }
            while (true)
            {
                if (p == end)
                    return -1;
                byte c = *p++;
                if (c == quote)
                    break;
                if (c == '\\' && p < end)
                    c = quote == '"' ? Escaped(ref p, end) : *p == '\'' ? *p++ : c;
                *q++ = c;
            }
            if (p < end && !IsSpace(*p))
                return -1;
            break;
        }
        return (int)(q - text);
    }

    private static byte Escaped(ref byte* p, byte* end)
    {
        byte c = *p++;
        switch (c)
        {
            case (byte)'n': return (byte)'\n';
            case (byte)'r': return (byte)'\r';
            case (byte)'t': return (byte)'\t';
            case (byte)'b': return (byte)'\b';
            case (byte)'a': return (byte)'\a';
            case (byte)'x' when end - p >= 2 && char.IsAsciiHexDigit((char)p[0]) && char.IsAsciiHexDigit((char)p[1]):
                c = (byte)(Nibble(p[0]) << 4 | Nibble(p[1]));
                p += 2;
                return c;
            default: return c;
        }
    }

    private static int Nibble(byte c) => c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;

    // The two sets differ by \v and \f, which separate arguments only when one has not begun.
    private static bool IsSpace(byte c) => c == ' ' || (uint)(c - '\t') < 5;

    private static bool EndsArgument(byte c) => c is (byte)' ' or (byte)'\n' or (byte)'\r' or (byte)'\t';
}
