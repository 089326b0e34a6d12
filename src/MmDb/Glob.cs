namespace Leither.MmDb;

/// <summary>
/// Redis's glob patterns: <c>*</c>, <c>?</c>, <c>[abc]</c>, <c>[^a-z]</c> and <c>\x</c>, over bytes. Used by KEYS, SCAN, PSUBSCRIBE,
/// CONFIG GET and others.
/// </summary>
public static class Glob
{
    /// <summary>Beyond so many nested stars a pattern matches nothing: its cost would grow without bound.</summary>
    private const int MaxDepth = 1000;

    /// <summary>Whether a text matches a pattern.</summary>
    public static bool Matches(ReadOnlySpan<byte> pattern, ReadOnlySpan<byte> text, bool ignoreCase = false)
    {
        bool hopeless = false;
        return Matches(pattern, text, ignoreCase, ref hopeless, 0);
    }

    /// <param name="pattern">What is left of the pattern.</param>
    /// <param name="text">What is left of the text.</param>
    /// <param name="ignoreCase">Whether the case of ASCII letters does not count.</param>
    /// <param name="hopeless">A later star has tried every rest of the text: trying them again from an earlier star finds nothing new.</param>
    /// <param name="depth">How many stars are open.</param>
    private static bool Matches(ReadOnlySpan<byte> pattern, ReadOnlySpan<byte> text, bool ignoreCase, ref bool hopeless, int depth)
    {
        if (depth > MaxDepth)
        {
            return false;
        }

        if (text.IsEmpty)
        {
            // As in Redis, a star alone does not match the empty text.
            return pattern.IsEmpty;
        }

        while (!pattern.IsEmpty && !text.IsEmpty)
        {
            switch (pattern[0])
            {
                case (byte)'*':
                    return MatchesStar(pattern, text, ignoreCase, ref hopeless, depth);
                case (byte)'?':
                    pattern = pattern[1..];
                    break;
                case (byte)'[':
                    if (!MatchesClass(ref pattern, text[0], ignoreCase))
                    {
                        return false;
                    }

                    break;
                default:
                    if (pattern[0] == '\\' && pattern.Length >= 2)
                    {
                        pattern = pattern[1..];
                    }

                    if (Fold(pattern[0], ignoreCase) != Fold(text[0], ignoreCase))
                    {
                        return false;
                    }

                    pattern = pattern[1..];
                    break;
            }

            text = text[1..];
        }

        return text.IsEmpty && pattern.TrimStart((byte)'*').IsEmpty;
    }

    private static bool MatchesStar(ReadOnlySpan<byte> pattern, ReadOnlySpan<byte> text, bool ignoreCase, ref bool hopeless, int depth)
    {
        pattern = pattern.TrimStart((byte)'*');
        if (pattern.IsEmpty)
        {
            return true;
        }

        for (; !text.IsEmpty; text = text[1..])
        {
            if (Matches(pattern, text, ignoreCase, ref hopeless, depth + 1))
            {
                return true;
            }

            if (hopeless)
            {
                return false;
            }
        }

        hopeless = true;
        return false;
    }

    /// <summary>Matches one byte against the class that the pattern begins with, and moves the pattern behind it.</summary>
    private static bool MatchesClass(ref ReadOnlySpan<byte> pattern, byte value, bool ignoreCase)
    {
        ReadOnlySpan<byte> rest = pattern[1..];
        bool negated = !rest.IsEmpty && rest[0] == '^', matched = false;
        if (negated)
        {
            rest = rest[1..];
        }

        byte folded = Fold(value, ignoreCase);
        while (!rest.IsEmpty && rest[0] != ']')
        {
            if (rest[0] == '\\' && rest.Length >= 2)
            {
                matched |= rest[1] == value;
                rest = rest[2..];
            }
            else if (rest.Length >= 3 && rest[1] == '-')
            {
                byte low = Fold(Math.Min(rest[0], rest[2]), ignoreCase), high = Fold(Math.Max(rest[0], rest[2]), ignoreCase);
                matched |= folded >= low && folded <= high;
                rest = rest[3..];
            }
            else
            {
                matched |= Fold(rest[0], ignoreCase) == folded;
                rest = rest[1..];
            }
        }

        // A class that is not closed ends with the pattern.
        pattern = rest.IsEmpty ? rest : rest[1..];
        return matched != negated;
    }

    private static byte Fold(byte value, bool ignoreCase) =>
        ignoreCase && value is >= (byte)'A' and <= (byte)'Z' ? (byte)(value | 0x20) : value;
}
