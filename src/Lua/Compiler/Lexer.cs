using System.Globalization;
using System.Text;

namespace Leither.Lua;

/// <summary>Tokens; those of one character are that character.</summary>
internal static class Token
{
    public const int And = 257, Break = 258, Do = 259, Else = 260, ElseIf = 261, End = 262, False = 263, For = 264, Function = 265, If = 266,
        In = 267, Local = 268, Nil = 269, Not = 270, Or = 271, Repeat = 272, Return = 273, Then = 274, True = 275, Until = 276, While = 277,
        Concat = 278, Dots = 279, Equal = 280, GreaterEqual = 281, LessEqual = 282, NotEqual = 283, Number = 284, Name = 285, String = 286, EndOfText = 287;

    private static readonly string[] s_texts =
    [
        "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local", "nil", "not", "or", "repeat", "return",
        "then", "true", "until", "while", "..", "...", "==", ">=", "<=", "~=", "<number>", "<name>", "<string>", "<eof>",
    ];

    private static readonly Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> s_words = MakeWords();

    private static Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> MakeWords()
    {
        var words = new Dictionary<string, int>(StringComparer.Ordinal);
        for (int token = And; token <= While; token++)
        {
            words.Add(s_texts[token - And], token);
        }

        return words.GetAlternateLookup<ReadOnlySpan<char>>();
    }

    public static string Text(int token)
    {
        if (token >= And)
        {
            return s_texts[token - And];
        }

        return token is < 32 or 127 ? $"char({token.ToString(CultureInfo.InvariantCulture)})" : ((char)token).ToString();
    }

    public static bool TryReserved(ReadOnlySpan<byte> word, out int token)
    {
        token = 0;
        if (word.Length is < 2 or > 8)
        {
            return false;
        }

        Span<char> chars = stackalloc char[8];
        Encoding.Latin1.GetChars(word, chars);
        return s_words.TryGetValue(chars[..word.Length], out token);
    }
}

/// <summary>Cuts source text into tokens, with one token of lookahead. Errors are Lua 5.1's, text for text.</summary>
internal sealed class Lexer
{
    private const int End = -1;
    private const int MaxSourceName = 80;

    private readonly byte[] _text;
    private readonly string _source;
    private readonly Dictionary<LuaString, LuaString> _strings = new(StringEquality.Instance);
    private byte[] _buffer = new byte[64];
    private int _length;
    private int _position;
    private int _current;
    private int _aheadToken = Lua.Token.EndOfText;
    private double _aheadNumber;
    private LuaString? _aheadString;
    private double _number;
    private LuaString? _string;

    public Lexer(byte[] text, string source)
    {
        _text = text;
        _source = source;
        Advance();
    }

    public int Token { get; private set; }
    public double Number { get; private set; }
    public LuaString String { get; private set; } = LuaString.Empty;
    /// <summary>The line that the lexer reads.</summary>
    public int Line { get; private set; } = 1;
    /// <summary>The line of the last token taken.</summary>
    public int LastLine { get; private set; } = 1;

    public void Next()
    {
        LastLine = Line;
        if (_aheadToken != Lua.Token.EndOfText)
        {
            Token = _aheadToken;
            Number = _aheadNumber;
            String = _aheadString ?? LuaString.Empty;
            _aheadToken = Lua.Token.EndOfText;
        }
        else
        {
            Token = Scan();
            Number = _number;
            String = _string ?? LuaString.Empty;
        }
    }

    public int Peek()
    {
        _aheadToken = Scan();
        _aheadNumber = _number;
        _aheadString = _string;
        return _aheadToken;
    }

    /// <summary>An error at the token that stands here.</summary>
    public LuaException SyntaxError(string message) => Error(message, Token);

    public LuaException Error(string message, int token)
    {
        string text = $"{ChunkName.Short(_source, MaxSourceName)}:{Line.ToString(CultureInfo.InvariantCulture)}: {message}";
        if (token != 0)
        {
            string near = token is Lua.Token.Name or Lua.Token.String or Lua.Token.Number ? BufferText() : Lua.Token.Text(token);
            text += $" near '{near}'";
        }

        return new LuaException(new LuaString(Encoding.Latin1.GetBytes(text)));
    }

    /// <summary>One object for equal strings of a chunk, so that lookups by constants mostly compare references.</summary>
    public LuaString Intern(ReadOnlySpan<byte> bytes)
    {
        var text = new LuaString(bytes);
        if (_strings.TryGetValue(text, out LuaString? known))
        {
            return known;
        }

        known = LuaState.InternName(text);
        _strings.Add(known, known);
        return known;
    }

    private string BufferText()
    {
        ReadOnlySpan<byte> bytes = _buffer.AsSpan(0, _length);
        int zero = bytes.IndexOf((byte)0);
        return Encoding.Latin1.GetString(zero < 0 ? bytes : bytes[..zero]);
    }

    private void Advance() => _current = _position < _text.Length ? _text[_position++] : End;

    private void Save(int c)
    {
        if (_length == _buffer.Length)
        {
            Array.Resize(ref _buffer, _length * 2);
        }

        _buffer[_length++] = (byte)c;
    }

    private void SaveAndAdvance()
    {
        Save(_current);
        Advance();
    }

    private static bool IsDigit(int c) => (uint)(c - '0') <= 9;

    private static bool IsLetter(int c) => (uint)((c | 0x20) - 'a') < 26 && c > 0;

    private static bool IsWord(int c) => IsLetter(c) || IsDigit(c) || c == '_';

    private bool AtNewline => _current is '\n' or '\r';

    private void NewLine()
    {
        int old = _current;
        Advance();
        if (AtNewline && _current != old)
        {
            Advance();
        }

        Line++;
    }

    private int Scan()
    {
        _length = 0;
        _string = null;
        while (true)
        {
            switch (_current)
            {
                case '\n' or '\r':
                    NewLine();
                    continue;
                case ' ' or '\t' or '\v' or '\f':
                    Advance();
                    continue;
                case '-':
                    Advance();
                    if (_current != '-')
                    {
                        return '-';
                    }

                    Advance();
                    SkipComment();
                    continue;
                case '[':
                    {
                        int level = LongBracket();
                        if (level >= 0)
                        {
                            ReadLongString(level, isComment: false);
                            return Lua.Token.String;
                        }

                        return level == -1 ? '[' : throw Error("invalid long string delimiter", Lua.Token.String);
                    }

                case '=':
                    return OneOrTwo('=', Lua.Token.Equal);
                case '<':
                    return OneOrTwo('<', Lua.Token.LessEqual);
                case '>':
                    return OneOrTwo('>', Lua.Token.GreaterEqual);
                case '~':
                    return OneOrTwo('~', Lua.Token.NotEqual);
                case '"' or '\'':
                    ReadString(_current);
                    return Lua.Token.String;
                case '.':
                    SaveAndAdvance();
                    if (_current == '.')
                    {
                        SaveAndAdvance();
                        if (_current != '.')
                        {
                            return Lua.Token.Concat;
                        }

                        SaveAndAdvance();
                        return Lua.Token.Dots;
                    }

                    if (!IsDigit(_current))
                    {
                        return '.';
                    }

                    ReadNumber();
                    return Lua.Token.Number;
                case End:
                    return Lua.Token.EndOfText;
                default:
                    if (IsDigit(_current))
                    {
                        ReadNumber();
                        return Lua.Token.Number;
                    }

                    if (!IsLetter(_current) && _current != '_')
                    {
                        int c = _current;
                        Advance();
                        return c;
                    }

                    do
                    {
                        SaveAndAdvance();
                    }
                    while (IsWord(_current));
                    if (Lua.Token.TryReserved(_buffer.AsSpan(0, _length), out int token))
                    {
                        return token;
                    }

                    _string = Intern(_buffer.AsSpan(0, _length));
                    return Lua.Token.Name;
            }
        }
    }

    private int OneOrTwo(int one, int two)
    {
        Advance();
        if (_current != '=')
        {
            return one;
        }

        Advance();
        return two;
    }

    private void SkipComment()
    {
        if (_current == '[')
        {
            int level = LongBracket();
            _length = 0;
            if (level >= 0)
            {
                ReadLongString(level, isComment: true);
                _length = 0;
                return;
            }
        }

        while (!AtNewline && _current != End)
        {
            Advance();
        }
    }

    /// <summary>At a bracket: how many = stand between it and the next; negative if no next one follows.</summary>
    private int LongBracket()
    {
        int bracket = _current, count = 0;
        SaveAndAdvance();
        while (_current == '=')
        {
            SaveAndAdvance();
            count++;
        }

        return _current == bracket ? count : -count - 1;
    }

    private void ReadLongString(int level, bool isComment)
    {
        SaveAndAdvance();
        if (AtNewline)
        {
            NewLine();
        }

        while (true)
        {
            switch (_current)
            {
                case End:
                    throw Error(isComment ? "unfinished long comment" : "unfinished long string", Lua.Token.EndOfText);
                case '[':
                    if (LongBracket() == level)
                    {
                        SaveAndAdvance();
                        if (level == 0)
                        {
                            throw Error("nesting of [[...]] is deprecated", '[');
                        }
                    }

                    break;
                case ']':
                    if (LongBracket() == level)
                    {
                        SaveAndAdvance();
                        if (!isComment)
                        {
                            _string = Intern(_buffer.AsSpan(level + 2, _length - (2 * (level + 2))));
                        }

                        return;
                    }

                    break;
                case '\n' or '\r':
                    Save('\n');
                    NewLine();
                    if (isComment)
                    {
                        _length = 0;
                    }

                    break;
                default:
                    if (isComment)
                    {
                        Advance();
                    }
                    else
                    {
                        SaveAndAdvance();
                    }

                    break;
            }
        }
    }

    private void ReadString(int delimiter)
    {
        SaveAndAdvance();
        while (_current != delimiter)
        {
            switch (_current)
            {
                case End:
                    throw Error("unfinished string", Lua.Token.EndOfText);
                case '\n' or '\r':
                    throw Error("unfinished string", Lua.Token.String);
                case '\\':
                    Advance();
                    ReadEscape();
                    break;
                default:
                    SaveAndAdvance();
                    break;
            }
        }

        SaveAndAdvance();
        _string = Intern(_buffer.AsSpan(1, _length - 2));
    }

    private void ReadEscape()
    {
        int plain = _current switch { 'a' => 7, 'b' => 8, 'f' => 12, 'n' => 10, 'r' => 13, 't' => 9, 'v' => 11, _ => -1 };
        if (plain >= 0)
        {
            Save(plain);
            Advance();
        }
        else if (AtNewline)
        {
            Save('\n');
            NewLine();
        }
        else if (IsDigit(_current))
        {
            int code = 0;
            for (int i = 0; i < 3 && IsDigit(_current); i++)
            {
                code = (code * 10) + (_current - '0');
                Advance();
            }

            if (code > 255)
            {
                throw Error("escape sequence too large", Lua.Token.String);
            }

            Save(code);
        }
        else if (_current != End)
        {
            SaveAndAdvance();
        }
    }

    private void ReadNumber()
    {
        do
        {
            SaveAndAdvance();
        }
        while (IsDigit(_current) || _current == '.');
        if (_current is 'E' or 'e')
        {
            SaveAndAdvance();
            if (_current is '+' or '-')
            {
                SaveAndAdvance();
            }
        }

        while (IsWord(_current))
        {
            SaveAndAdvance();
        }

        if (!LuaNumber.TryParse(_buffer.AsSpan(0, _length), out _number))
        {
            throw Error("malformed number", Lua.Token.Number);
        }
    }
}

/// <summary>Compares strings by their bytes.</summary>
internal sealed class StringEquality : IEqualityComparer<LuaString>
{
    public static readonly StringEquality Instance = new();

    public bool Equals(LuaString? x, LuaString? y) => x is null ? y is null : y is not null && x.EqualsString(y);

    public int GetHashCode(LuaString obj) => (int)obj.Hash;
}

/// <summary>How messages name a chunk: "@file" as file, "=name" as name, source text as [string "its first line"].</summary>
internal static class ChunkName
{
    public static string Short(string source, int size)
    {
        if (source.StartsWith('='))
        {
            return source.Length - 1 >= size ? source[1..size] : source[1..];
        }

        if (source.StartsWith('@'))
        {
            source = source[1..];
            size -= 8;
            return source.Length > size ? "..." + source[^size..] : source;
        }

        int line = source.AsSpan().IndexOfAny('\n', '\r');
        int length = line < 0 ? source.Length : line;
        size -= 17;
        length = Math.Min(length, size);
        return length < source.Length ? $"[string \"{source[..length]}...\"]" : $"[string \"{source}\"]";
    }
}
