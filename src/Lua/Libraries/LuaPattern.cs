using System.Runtime.CompilerServices;

namespace Leither.Lua;

/// <summary>
/// Lua's patterns, matched by backtracking. Recursion is bounded ("pattern too complex") and the host's hook is called on the way, so that a
/// hostile pattern can neither overflow the stack nor run beyond the host's patience.
/// </summary>
internal ref struct LuaPattern
{
    public const int MaxCaptures = 32;
    private const int MaxDepth = 4000;
    private const byte Escape = (byte)'%';
    private const int Unfinished = -1;
    private const int PositionCapture = -2;

    private readonly LuaThread _thread;
    private readonly LuaString _subject;
    private readonly ReadOnlySpan<byte> _source;
    private readonly ReadOnlySpan<byte> _pattern;
    private Captures _starts;
    private Captures _lengths;
    private int _depth;

    [InlineArray(MaxCaptures)]
    private struct Captures
    {
        private int _first;
    }

    public LuaPattern(LuaThread thread, LuaString subject, ReadOnlySpan<byte> pattern)
    {
        _thread = thread;
        _subject = subject;
        _source = subject.Span;

        // A pattern is a string of C's: it ends at its first zero byte.
        int zero = pattern.IndexOf((byte)0);
        _pattern = zero < 0 ? pattern : pattern[..zero];
    }

    /// <summary>How many captures the last match made.</summary>
    public int Level { get; private set; }

    /// <summary>Matches from a place of the source; the end of the match, or -1.</summary>
    public int Match(int s)
    {
        Level = 0;
        _depth = 0;
        return Match(s, 0);
    }

    private int Match(int s, int p)
    {
        if (++_depth > MaxDepth)
        {
            throw _thread.Error("pattern too complex");
        }

        if (--_thread.State.Countdown <= 0)
        {
            _thread.State.RunHook(_thread);
        }

        RuntimeHelpers.EnsureSufficientExecutionStack();
        int result = MatchHere(s, p);
        _depth--;
        return result;
    }

    private int MatchHere(int s, int p)
    {
        while (true)
        {
            if (p == _pattern.Length)
            {
                return s;
            }

            switch (_pattern[p])
            {
                case (byte)'(':
                    return p + 1 < _pattern.Length && _pattern[p + 1] == ')'
                        ? StartCapture(s, p + 2, PositionCapture)
                        : StartCapture(s, p + 1, Unfinished);
                case (byte)')':
                    return EndCapture(s, p + 1);
                case Escape when p + 1 < _pattern.Length && _pattern[p + 1] == 'b':
                    s = MatchBalance(s, p + 2);
                    if (s < 0)
                    {
                        return -1;
                    }

                    p += 4;
                    continue;
                case Escape when p + 1 < _pattern.Length && _pattern[p + 1] == 'f':
                    {
                        p += 2;
                        if (p >= _pattern.Length || _pattern[p] != '[')
                        {
                            throw _thread.Error("missing '[' after '%f' in pattern");
                        }

                        int end = ClassEnd(p);
                        byte before = s == 0 ? (byte)0 : _source[s - 1], here = s < _source.Length ? _source[s] : (byte)0;
                        if (MatchSet(before, p, end - 1) || !MatchSet(here, p, end - 1))
                        {
                            return -1;
                        }

                        p = end;
                        continue;
                    }

                case Escape when p + 1 < _pattern.Length && (uint)(_pattern[p + 1] - '0') <= 9:
                    s = MatchBackReference(s, _pattern[p + 1]);
                    if (s < 0)
                    {
                        return -1;
                    }

                    p += 2;
                    continue;
                case (byte)'$' when p + 1 == _pattern.Length:
                    return s == _source.Length ? s : -1;
            }

            int ep = ClassEnd(p);
            bool matches = s < _source.Length && SingleMatch(_source[s], p, ep);
            switch (ep < _pattern.Length ? _pattern[ep] : 0)
            {
                case '?':
                    if (matches)
                    {
                        int result = Match(s + 1, ep + 1);
                        if (result >= 0)
                        {
                            return result;
                        }
                    }

                    p = ep + 1;
                    continue;
                case '*':
                    return MaxExpand(s, p, ep);
                case '+':
                    return matches ? MaxExpand(s + 1, p, ep) : -1;
                case '-':
                    return MinExpand(s, p, ep);
                default:
                    if (!matches)
                    {
                        return -1;
                    }

                    s++;
                    p = ep;
                    continue;
            }
        }
    }

    private readonly int ClassEnd(int p)
    {
        byte c = _pattern[p++];
        if (c == Escape)
        {
            if (p == _pattern.Length)
            {
                throw _thread.Error("malformed pattern (ends with '%')");
            }

            return p + 1;
        }

        if (c == '[')
        {
            if (p < _pattern.Length && _pattern[p] == '^')
            {
                p++;
            }

            do
            {
                if (p == _pattern.Length)
                {
                    throw _thread.Error("malformed pattern (missing ']')");
                }

                if (_pattern[p++] == Escape && p < _pattern.Length)
                {
                    p++;
                }
            }
            while (p == _pattern.Length || _pattern[p] != ']');
            return p + 1;
        }

        return p;
    }

    private static bool MatchClass(byte c, byte @class)
    {
        bool result;
        switch (@class | 0x20)
        {
            case 'a':
                result = char.IsAsciiLetter((char)c);
                break;
            case 'c':
                result = c < 32 || c == 127;
                break;
            case 'd':
                result = char.IsAsciiDigit((char)c);
                break;
            case 'l':
                result = char.IsAsciiLetterLower((char)c);
                break;
            case 'p':
                result = c is > 32 and < 127 && !char.IsAsciiLetterOrDigit((char)c);
                break;
            case 's':
                result = LuaNumber.IsSpace(c);
                break;
            case 'u':
                result = char.IsAsciiLetterUpper((char)c);
                break;
            case 'w':
                result = char.IsAsciiLetterOrDigit((char)c);
                break;
            case 'x':
                result = char.IsAsciiHexDigit((char)c);
                break;
            case 'z' when char.IsAsciiLetter((char)@class):
                result = c == 0;
                break;
            default:
                return @class == c;
        }

        // Letters only: what | 0x20 made of other bytes is no class.
        if (!char.IsAsciiLetter((char)@class))
        {
            return @class == c;
        }

        return char.IsAsciiLetterUpper((char)@class) ? !result : result;
    }

    /// <summary>Whether a byte is in the set whose '[' is at p and whose ']' is at end.</summary>
    private readonly bool MatchSet(byte c, int p, int end)
    {
        bool found = true;
        if (_pattern[p + 1] == '^')
        {
            found = false;
            p++;
        }

        while (++p < end)
        {
            if (_pattern[p] == Escape)
            {
                p++;
                if (MatchClass(c, _pattern[p]))
                {
                    return found;
                }
            }
            else if (_pattern[p + 1] == '-' && p + 2 < end)
            {
                p += 2;
                if (_pattern[p - 2] <= c && c <= _pattern[p])
                {
                    return found;
                }
            }
            else if (_pattern[p] == c)
            {
                return found;
            }
        }

        return !found;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private readonly bool SingleMatch(byte c, int p, int ep) => _pattern[p] switch
    {
        (byte)'.' => true,
        Escape => MatchClass(c, _pattern[p + 1]),
        (byte)'[' => MatchSet(c, p, ep - 1),
        byte plain => plain == c,
    };

    private readonly int MatchBalance(int s, int p)
    {
        if (p + 1 >= _pattern.Length)
        {
            throw _thread.Error("unbalanced pattern");
        }

        if (s >= _source.Length || _source[s] != _pattern[p])
        {
            return -1;
        }

        byte open = _pattern[p], close = _pattern[p + 1];
        int nesting = 1;
        while (++s < _source.Length)
        {
            if (_source[s] == close)
            {
                if (--nesting == 0)
                {
                    return s + 1;
                }
            }
            else if (_source[s] == open)
            {
                nesting++;
            }
        }

        return -1;
    }

    private int MaxExpand(int s, int p, int ep)
    {
        int count = 0;
        while (s + count < _source.Length && SingleMatch(_source[s + count], p, ep))
        {
            count++;
        }

        for (; count >= 0; count--)
        {
            int result = Match(s + count, ep + 1);
            if (result >= 0)
            {
                return result;
            }
        }

        return -1;
    }

    private int MinExpand(int s, int p, int ep)
    {
        while (true)
        {
            int result = Match(s, ep + 1);
            if (result >= 0)
            {
                return result;
            }

            if (s >= _source.Length || !SingleMatch(_source[s], p, ep))
            {
                return -1;
            }

            s++;
        }
    }

    private int StartCapture(int s, int p, int what)
    {
        if (Level >= MaxCaptures)
        {
            throw _thread.Error("too many captures");
        }

        _starts[Level] = s;
        _lengths[Level] = what;
        Level++;
        int result = Match(s, p);
        if (result < 0)
        {
            Level--;
        }

        return result;
    }

    private int EndCapture(int s, int p)
    {
        int level = -1;
        for (int i = Level - 1; i >= 0 && level < 0; i--)
        {
            level = _lengths[i] == Unfinished ? i : -1;
        }

        if (level < 0)
        {
            throw _thread.Error("invalid pattern capture");
        }

        _lengths[level] = s - _starts[level];
        int result = Match(s, p);
        if (result < 0)
        {
            _lengths[level] = Unfinished;
        }

        return result;
    }

    private readonly int MatchBackReference(int s, byte digit)
    {
        int level = digit - '1';
        if (level < 0 || level >= Level || _lengths[level] == Unfinished)
        {
            throw _thread.Error("invalid capture index");
        }

        int length = _lengths[level];
        if (length >= 0 && _source.Length - s >= length && _source.Slice(_starts[level], length).SequenceEqual(_source.Slice(s, length)))
        {
            return s + length;
        }

        return -1;
    }

    /// <summary>A capture's value; the whole match stands for capture 0 of a pattern without captures.</summary>
    public readonly LuaValue Capture(int index, int start, int end)
    {
        if (index >= Level)
        {
            if (index != 0)
            {
                throw _thread.Error("invalid capture index");
            }

            return _thread.State.NewString(_source[start..end]);
        }

        return _lengths[index] switch
        {
            Unfinished => throw _thread.Error("unfinished capture"),
            PositionCapture => (double)(_starts[index] + 1),
            int length when length == _subject.Length => _subject,
            int length => _thread.State.NewString(_source.Slice(_starts[index], length)),
        };
    }

    /// <summary>Pushes all captures; the whole match if there are none and it is wanted.</summary>
    public readonly int PushCaptures(int start, int end, bool wholeIfNone)
    {
        int count = Level == 0 && wholeIfNone ? 1 : Level;
        _thread.Reserve(count, "too many captures");
        for (int i = 0; i < count; i++)
        {
            _thread.Push(Capture(i, start, end));
        }

        return count;
    }
}
