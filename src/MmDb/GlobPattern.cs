namespace Leither.MmDb;

/// <summary>
/// Redis's glob patterns, of KEYS, SCAN, PSUBSCRIBE and CONFIG GET: <c>*</c>, <c>?</c>, <c>[abc]</c>, <c>[^a-z]</c>, and
/// <c>\</c> before a byte that stands for itself.
/// </summary>
/// <remarks>
/// It accepts exactly what Redis's matcher accepts, the odd corners too: an unterminated class ends with the pattern, ranges
/// compare signed bytes, and no pattern but the empty one matches an empty text.
/// </remarks>
public static class GlobPattern
{
    /// <summary>Stars that may nest; a pattern with more matches nothing. Keeps abusive patterns off the stack.</summary>
    private const int MaxNesting = 1000;

    /// <summary>Whether a pattern matches every text, so that it need not be tried.</summary>
    public static bool MatchesAll(ReadOnlySpan<byte> pattern) => pattern.Length == 1 && pattern[0] == '*';

    /// <summary>Whether a pattern has no wildcard, so that it can match nothing but itself.</summary>
    public static bool IsLiteral(ReadOnlySpan<byte> pattern) => pattern.IndexOfAny("*?[\\"u8) < 0;

    /// <summary>What every text begins with that a pattern matches.</summary>
    public static ReadOnlySpan<byte> LiteralPrefix(ReadOnlySpan<byte> pattern) => pattern.IndexOfAny("*?[\\"u8) is var end and >= 0 ? pattern[..end] : pattern;

    /// <summary>Whether a text matches a pattern.</summary>
    public static bool Matches(ReadOnlySpan<byte> pattern, ReadOnlySpan<byte> text, bool ignoreCase = false)
    {
        bool skipLonger = false;
        return Matches(pattern, text, ignoreCase, ref skipLonger, 0);
    }

    /// <param name="pattern">The rest of the pattern.</param>
    /// <param name="text">The rest of the text.</param>
    /// <param name="ignoreCase">Whether the case of ASCII letters does not count.</param>
    /// <param name="skipLonger">
    /// Set once the pattern's rest behind a star was found nowhere in the text's rest: a longer match of an earlier star can
    /// only leave less text, so all of them give up. This is what keeps many stars from taking exponential time.
    /// </param>
    /// <param name="nesting">Stars that led here.</param>
    private static bool Matches(ReadOnlySpan<byte> pattern, ReadOnlySpan<byte> text, bool ignoreCase, ref bool skipLonger, int nesting)
    {
        if (nesting > MaxNesting)
        {
            return false;
        }

        int p = 0, t = 0;
        while (p < pattern.Length && t < text.Length)
        {
            switch (pattern[p])
            {
                case (byte)'*':
                    while (At(pattern, p + 1) == '*')
                    {
                        p++;
                    }

                    return p + 1 == pattern.Length || MatchesSomewhere(pattern[(p + 1)..], text[t..], ignoreCase, ref skipLonger, nesting);

                case (byte)'?':
                    break;

                case (byte)'[':
                    if (!MatchesClass(pattern, ref p, text[t], ignoreCase))
                    {
                        return false;
                    }

                    break;

                case (byte)'\\' when p + 1 < pattern.Length:
                    p++;
                    goto default;

                default:
                    if (Fold(pattern[p], ignoreCase) != Fold(text[t], ignoreCase))
                    {
                        return false;
                    }

                    break;
            }

            p++;
            t++;
        }

        if (t == text.Length && t > 0)
        {
            while (At(pattern, p) == '*')
            {
                p++;
            }
        }

        return p >= pattern.Length && t == text.Length;
    }

    private static bool MatchesSomewhere(ReadOnlySpan<byte> pattern, ReadOnlySpan<byte> text, bool ignoreCase, ref bool skipLonger, int nesting)
    {
        for (int t = 0; t < text.Length; t++)
        {
            if (Matches(pattern, text[t..], ignoreCase, ref skipLonger, nesting + 1))
            {
                return true;
            }

            if (skipLonger)
            {
                return false;
            }
        }

        skipLonger = true;
        return false;
    }

    /// <summary>Matches one byte against the class that begins at <paramref name="p"/>, and leaves that at the class's last byte.</summary>
    private static bool MatchesClass(ReadOnlySpan<byte> pattern, ref int p, byte c, bool ignoreCase)
    {
        p++;
        bool not = At(pattern, p) == '^';
        if (not)
        {
            p++;
        }

        bool match = false;
        for (; ; p++)
        {
            if (p >= pattern.Length)
            {
                p = pattern.Length - 1;
                break;
            }

            if (pattern[p] == '\\' && p + 1 < pattern.Length)
            {
                p++;
                match |= pattern[p] == c;
            }
            else if (pattern[p] == ']')
            {
                break;
            }
            else if (p + 2 < pattern.Length && pattern[p + 1] == '-')
            {
                match |= InRange(pattern[p], pattern[p + 2], c, ignoreCase);
                p += 2;
            }
            else
            {
                match |= Fold(pattern[p], ignoreCase) == Fold(c, ignoreCase);
            }
        }

        return match != not;
    }

    private static bool InRange(byte first, byte last, byte c, bool ignoreCase)
    {
        if ((sbyte)first > (sbyte)last)
        {
            (first, last) = (last, first);
        }

        var value = (sbyte)Fold(c, ignoreCase);
        return value >= (sbyte)Fold(first, ignoreCase) && value <= (sbyte)Fold(last, ignoreCase);
    }

    private static byte Fold(byte b, bool ignoreCase) => ignoreCase && b is >= (byte)'A' and <= (byte)'Z' ? (byte)(b | 0x20) : b;

    private static byte At(ReadOnlySpan<byte> pattern, int index) => index < pattern.Length ? pattern[index] : (byte)0;
}
