using System.Globalization;

namespace Leither.Lua;

/// <summary>cjson.*: JSON as lua-cjson 2.1 writes and reads it, with its settings and its messages.</summary>
internal sealed class JsonLibrary
{
    private static readonly LuaUserdata s_null = new("(nil)");

    private bool _sparseConvert;
    private int _sparseRatio = 2;
    private int _sparseSafe = 10;
    private int _encodeMaxDepth = 1000;
    private int _decodeMaxDepth = 1000;
    private int _encodeInvalidNumbers;
    private bool _decodeInvalidNumbers = true;
    private bool _keepBuffer = true;
    private int _precision = 14;

    public static void Open(LuaState state) => state.Globals.Set(LuaState.Name("cjson"), New(state));

    private static LuaTable New(LuaState state)
    {
        var library = new JsonLibrary();
        LuaTable table = state.NewTable();
        state.Register(table, "encode", library.Encode);
        state.Register(table, "decode", library.Decode);
        state.Register(table, "encode_sparse_array", library.SetSparseArray);
        state.Register(table, "encode_max_depth", t => Integer(CheckCount(t, 1), 1, ref library._encodeMaxDepth, 1, int.MaxValue));
        state.Register(table, "decode_max_depth", t => Integer(CheckCount(t, 1), 1, ref library._decodeMaxDepth, 1, int.MaxValue));
        state.Register(table, "encode_number_precision", t => Integer(CheckCount(t, 1), 1, ref library._precision, 1, 14));
        state.Register(table, "encode_keep_buffer", t => Switch(CheckCount(t, 1), 1, ref library._keepBuffer));
        state.Register(table, "encode_invalid_numbers", library.SetInvalidNumbers);
        state.Register(table, "decode_invalid_numbers", t => Switch(CheckCount(t, 1), 1, ref library._decodeInvalidNumbers));
        state.Register(table, "new", t => t.Return(New(t.State)));
        table.Set(LuaState.Name("null"), s_null);
        table.Set(LuaState.Name("_NAME"), new LuaString("cjson"));
        table.Set(LuaState.Name("_VERSION"), new LuaString("2.1.0"));
        return table;
    }

    // Settings

    private static LuaThread CheckCount(LuaThread t, int max)
    {
        if (t.ArgCount > max)
        {
            throw t.ArgError(max + 1, "found too many arguments");
        }

        t.SetArgCount(max);
        return t;
    }

    private static int Integer(LuaThread t, int index, ref int setting, int min, int max)
    {
        if (!t[index].IsNil)
        {
            int value = t.CheckInt(index);
            if (value < min || value > max)
            {
                throw t.ArgError(1, string.Create(CultureInfo.InvariantCulture, $"expected integer between {min} and {max}"));
            }

            setting = value;
        }

        return t.Return((double)setting);
    }

    private static int Option(LuaThread t, int index, params ReadOnlySpan<string> options)
    {
        string text = t.CheckString(index).ToString();
        int at = options.IndexOf(text);
        return at >= 0 ? at : throw t.ArgError(index, $"invalid option '{text}'");
    }

    private static int Switch(LuaThread t, int index, ref bool setting)
    {
        LuaValue value = t[index];
        if (!value.IsNil)
        {
            setting = value.IsBoolean ? !value.IsFalsy : Option(t, index, "off", "on") == 1;
        }

        return t.Return(setting);
    }

    private int SetSparseArray(LuaThread t)
    {
        CheckCount(t, 3);
        Switch(t, 1, ref _sparseConvert);
        Integer(t, 2, ref _sparseRatio, 0, int.MaxValue);
        Integer(t, 3, ref _sparseSafe, 0, int.MaxValue);
        return 3;
    }

    private int SetInvalidNumbers(LuaThread t)
    {
        LuaValue value = CheckCount(t, 1)[1];
        if (!value.IsNil)
        {
            _encodeInvalidNumbers = value.IsBoolean ? (value.IsFalsy ? 0 : 1) : Option(t, 1, "off", "on", "null");
        }

        return t.Return(_encodeInvalidNumbers == 2 ? LuaState.Name("null") : new LuaValue(_encodeInvalidNumbers == 1));
    }

    // Encoding

    private int Encode(LuaThread t)
    {
        if (t.ArgCount != 1)
        {
            throw t.ArgError(1, "expected 1 argument");
        }

        var result = new ByteBuffer(t.State);
        Append(t, ref result, t[1], 0);
        return t.Return(result.ToLuaString());
    }

    private static LuaException Refused(LuaThread t, in LuaValue value, string reason) => t.Error($"Cannot serialise {value.TypeName}: {reason}");

    private void Append(LuaThread t, ref ByteBuffer result, LuaValue value, int depth)
    {
        switch (value.O)
        {
            case null or LuaUserdata { Type: LuaType.LightUserdata }:
                result.Add("null"u8);
                break;
            case LuaString text:
                AppendString(ref result, text.Span);
                break;
            case LuaTag tag when tag == LuaTag.Number:
                AppendNumber(t, ref result, value);
                break;
            case LuaTag tag:
                result.Add(tag == LuaTag.True ? "true"u8 : "false"u8);
                break;
            case LuaTable table:
                depth++;
                System.Runtime.CompilerServices.RuntimeHelpers.EnsureSufficientExecutionStack();
                if (depth > _encodeMaxDepth || depth * 3 > LuaThread.MaxNativeStack)
                {
                    throw t.Error($"Cannot serialise, excessive nesting ({depth.ToString(CultureInfo.InvariantCulture)})");
                }

                int length = ArrayLength(t, table);
                if (length > 0)
                {
                    result.Add((byte)'[');
                    for (int i = 1; i <= length; i++)
                    {
                        if (i > 1)
                        {
                            result.Add((byte)',');
                        }

                        Append(t, ref result, table.Get(i), depth);
                    }

                    result.Add((byte)']');
                }
                else
                {
                    AppendObject(t, ref result, table, depth);
                }

                break;
            default:
                throw Refused(t, value, "type not supported");
        }
    }

    /// <summary>How long the array is, or -1 for what is an object.</summary>
    private int ArrayLength(LuaThread t, LuaTable table)
    {
        int position = 0, max = 0;
        long items = 0;
        while (table.NextAt(ref position, out LuaValue key, out _))
        {
            if (!key.IsNumber || Math.Floor(key.N) != key.N || key.N < 1)
            {
                return -1;
            }

            if (key.N > max)
            {
                // Beyond int C wraps to its smallest.
                max = key.N > int.MaxValue ? int.MinValue : (int)key.N;
            }

            items++;
        }

        if (_sparseRatio > 0 && max > items * _sparseRatio && max > _sparseSafe)
        {
            return _sparseConvert ? -1 : throw Refused(t, table, "excessively sparse array");
        }

        return max;
    }

    private void AppendObject(LuaThread t, ref ByteBuffer result, LuaTable table, int depth)
    {
        result.Add((byte)'{');
        int position = 0;
        bool first = true;
        while (table.NextAt(ref position, out LuaValue key, out LuaValue value))
        {
            if (!first)
            {
                result.Add((byte)',');
            }

            first = false;
            if (key.IsNumber)
            {
                result.Add((byte)'"');
                AppendNumber(t, ref result, key);
                result.Add((byte)'"');
            }
            else if (key.O is LuaString text)
            {
                AppendString(ref result, text.Span);
            }
            else
            {
                throw Refused(t, key, "table key must be a number or string");
            }

            result.Add((byte)':');
            Append(t, ref result, value, depth);
        }

        result.Add((byte)'}');
    }

    private static void AppendString(ref ByteBuffer result, ReadOnlySpan<byte> text)
    {
        result.Add((byte)'"');
        foreach (byte c in text)
        {
            switch (c)
            {
                case (byte)'"' or (byte)'\\' or (byte)'/':
                    result.Add((byte)'\\');
                    result.Add(c);
                    break;
                case 8:
                    result.Add("\\b"u8);
                    break;
                case 9:
                    result.Add("\\t"u8);
                    break;
                case 10:
                    result.Add("\\n"u8);
                    break;
                case 12:
                    result.Add("\\f"u8);
                    break;
                case 13:
                    result.Add("\\r"u8);
                    break;
                case < 32 or 127:
                    result.Add("\\u00"u8);
                    result.Add("0123456789abcdef"u8[c >> 4]);
                    result.Add("0123456789abcdef"u8[c & 15]);
                    break;
                default:
                    result.Add(c);
                    break;
            }
        }

        result.Add((byte)'"');
    }

    private void AppendNumber(LuaThread t, ref ByteBuffer result, in LuaValue value)
    {
        double number = value.N;
        if (!double.IsFinite(number))
        {
            if (_encodeInvalidNumbers == 0)
            {
                throw Refused(t, value, "must not be NaN or Inf");
            }

            if (_encodeInvalidNumbers == 2)
            {
                result.Add("null"u8);
                return;
            }

            if (double.IsNaN(number))
            {
                result.Add("nan"u8);
                return;
            }
        }

        if (_precision == 14)
        {
            result.AddNumber(number);
        }
        else
        {
            result.Add(LuaNumber.FormatGeneral(number, _precision, alternate: false, upper: false));
        }
    }

    // Decoding

    private int Decode(LuaThread t)
    {
        if (t.ArgCount != 1)
        {
            throw t.ArgError(1, "expected 1 argument");
        }

        ReadOnlySpan<byte> text = t.CheckString(1).Span;
        if (text.Length >= 2 && (text[0] == 0 || text[1] == 0))
        {
            throw t.Error("JSON parser does not support UTF-16 or UTF-32");
        }

        var reader = new Reader(t, text, this);
        return t.Return(reader.ReadAll());
    }

    private enum Kind
    {
        ObjectBegin,
        ObjectEnd,
        ArrayBegin,
        ArrayEnd,
        String,
        Number,
        Boolean,
        Null,
        Colon,
        Comma,
        End,
        Error,
    }

    private ref struct Reader(LuaThread thread, ReadOnlySpan<byte> text, JsonLibrary settings)
    {
        private readonly ReadOnlySpan<byte> _text = text;
        private int _at;
        private int _tokenAt;
        private int _depth;
        private Kind _kind;
        private LuaValue _value;
        private string _error = "";

        public LuaValue ReadAll()
        {
            Next();
            LuaValue value = Value();
            Next();
            if (_kind != Kind.End)
            {
                throw Unexpected("the end");
            }

            return value;
        }

        /// <summary>The byte at a place; 0 at the end, which ends a text wherever it stands.</summary>
        private readonly byte At(int index) => index < _text.Length ? _text[index] : (byte)0;

        private readonly LuaException Unexpected(string expected)
        {
            string found = _kind switch
            {
                Kind.ObjectBegin => "T_OBJ_BEGIN",
                Kind.ObjectEnd => "T_OBJ_END",
                Kind.ArrayBegin => "T_ARR_BEGIN",
                Kind.ArrayEnd => "T_ARR_END",
                Kind.String => "T_STRING",
                Kind.Number => "T_NUMBER",
                Kind.Boolean => "T_BOOLEAN",
                Kind.Null => "T_NULL",
                Kind.Colon => "T_COLON",
                Kind.Comma => "T_COMMA",
                Kind.End => "T_END",
                _ => _error,
            };
            return thread.Error($"Expected {expected} but found {found} at character {(_tokenAt + 1).ToString(CultureInfo.InvariantCulture)}");
        }

        private void Fail(string error)
        {
            _kind = Kind.Error;
            _tokenAt = _at;
            _error = error;
        }

        private void Next()
        {
            while (At(_at) is (byte)' ' or (byte)'\t' or (byte)'\n' or (byte)'\r')
            {
                _at++;
            }

            _tokenAt = _at;
            byte c = At(_at);
            switch ((char)c)
            {
                case '\0':
                    _kind = Kind.End;
                    return;
                case '{':
                    Single(Kind.ObjectBegin);
                    return;
                case '}':
                    Single(Kind.ObjectEnd);
                    return;
                case '[':
                    Single(Kind.ArrayBegin);
                    return;
                case ']':
                    Single(Kind.ArrayEnd);
                    return;
                case ',':
                    Single(Kind.Comma);
                    return;
                case ':':
                    Single(Kind.Colon);
                    return;
                case '"':
                    ReadString();
                    return;
                case '-' or (>= '0' and <= '9'):
                    if (!settings._decodeInvalidNumbers && IsInvalidNumber())
                    {
                        Fail("invalid number");
                    }
                    else
                    {
                        ReadNumber();
                    }

                    return;
                case 't' when _text[_at..].StartsWith("true"u8):
                    Word(Kind.Boolean, true, 4);
                    return;
                case 'f' when _text[_at..].StartsWith("false"u8):
                    Word(Kind.Boolean, false, 5);
                    return;
                case 'n' when _text[_at..].StartsWith("null"u8):
                    Word(Kind.Null, s_null, 4);
                    return;
                case 'f' or 'i' or 'I' or 'n' or 'N' or 't' or '+' when settings._decodeInvalidNumbers && IsInvalidNumber():
                    ReadNumber();
                    return;
                default:
                    Fail("invalid token");
                    return;
            }
        }

        private void Single(Kind kind)
        {
            _kind = kind;
            _at++;
        }

        private void Word(Kind kind, in LuaValue value, int length)
        {
            _kind = kind;
            _value = value;
            _at += length;
        }

        /// <summary>What strtod reads and JSON does not know.</summary>
        private readonly bool IsInvalidNumber()
        {
            int p = _at;
            if (At(p) == '+')
            {
                return true;
            }

            if (At(p) == '-')
            {
                p++;
            }

            byte c = At(p);
            if (c == '0')
            {
                byte next = At(p + 1);
                return (next | 0x20) == 'x' || char.IsAsciiDigit((char)next);
            }

            if (c <= '9' || p + 3 > _text.Length)
            {
                return false;
            }

            ReadOnlySpan<byte> word = _text.Slice(p, 3);
            return System.Text.Ascii.EqualsIgnoreCase(word, "inf"u8) || System.Text.Ascii.EqualsIgnoreCase(word, "nan"u8);
        }

        private void ReadNumber()
        {
            int used = LuaNumber.ParsePrefix(_text[_at..], out double value);
            if (used == 0)
            {
                Fail("invalid number");
                return;
            }

            _kind = Kind.Number;
            _value = value;
            _at += used;
        }

        private void ReadString()
        {
            _at++;
            int plain = _text[_at..].IndexOfAny((byte)'"', (byte)'\\', (byte)0);
            if (plain >= 0 && _text[_at + plain] == '"')
            {
                _kind = Kind.String;
                _value = thread.State.NewString(_text.Slice(_at, plain));
                _at += plain + 1;
                return;
            }

            var buffer = new ByteBuffer(thread.State);
            while (true)
            {
                byte c = At(_at);
                if (c == '"')
                {
                    break;
                }

                if (c == 0)
                {
                    Fail("unexpected end of string");
                    return;
                }

                if (c == '\\')
                {
                    byte escape = At(_at + 1);
                    if (escape == 'u')
                    {
                        if (!ReadUnicode(ref buffer))
                        {
                            Fail("invalid unicode escape code");
                            return;
                        }

                        continue;
                    }

                    c = (char)escape switch
                    {
                        '"' or '\\' or '/' => escape,
                        'b' => 8,
                        't' => 9,
                        'n' => 10,
                        'f' => 12,
                        'r' => 13,
                        _ => 0,
                    };
                    if (c == 0)
                    {
                        Fail("invalid escape code");
                        return;
                    }

                    _at++;
                }

                buffer.Add(c);
                _at++;
            }

            _at++;
            _kind = Kind.String;
            _value = buffer.ToLuaString();
        }

        private readonly int Hex4(int at)
        {
            int value = 0;
            for (int i = 0; i < 4; i++)
            {
                int digit = LuaNumber.HexDigit(At(at + i));
                if (digit < 0)
                {
                    return -1;
                }

                value = (value << 4) | digit;
            }

            return value;
        }

        private bool ReadUnicode(ref ByteBuffer buffer)
        {
            int code = Hex4(_at + 2), length = 6;
            if (code < 0)
            {
                return false;
            }

            if ((code & 0xF800) == 0xD800)
            {
                int low = Hex4(_at + 8);
                if ((code & 0x400) != 0 || At(_at + 6) != '\\' || At(_at + 7) != 'u' || low < 0 || (low & 0xFC00) != 0xDC00)
                {
                    return false;
                }

                code = (((code & 0x3FF) << 10) | (low & 0x3FF)) + 0x10000;
                length = 12;
            }

            Span<byte> utf8 = stackalloc byte[4];
            buffer.Add(utf8[..new System.Text.Rune(code).EncodeToUtf8(utf8)]);
            _at += length;
            return true;
        }

        private LuaValue Value() => _kind switch
        {
            Kind.String or Kind.Number or Kind.Boolean or Kind.Null => _value,
            Kind.ObjectBegin => Object(),
            Kind.ArrayBegin => List(),
            _ => throw Unexpected("value"),
        };

        private void Descend()
        {
            System.Runtime.CompilerServices.RuntimeHelpers.EnsureSufficientExecutionStack();
            if (++_depth > settings._decodeMaxDepth || _depth * 3 > LuaThread.MaxNativeStack)
            {
                throw thread.Error(string.Create(CultureInfo.InvariantCulture, $"Found too many nested data structures ({_depth}) at character {_at}"));
            }
        }

        private LuaValue Object()
        {
            Descend();
            LuaTable table = thread.State.NewTable();
            Next();
            while (_kind != Kind.ObjectEnd)
            {
                if (_kind != Kind.String)
                {
                    throw Unexpected("object key string");
                }

                LuaValue key = _value;
                Next();
                if (_kind != Kind.Colon)
                {
                    throw Unexpected("colon");
                }

                Next();
                LuaValue value = Value();
                table.Set(key, value);
                Next();
                if (_kind == Kind.ObjectEnd)
                {
                    break;
                }

                if (_kind != Kind.Comma)
                {
                    throw Unexpected("comma or object end");
                }

                Next();
                if (_kind == Kind.ObjectEnd)
                {
                    throw Unexpected("object key string");
                }
            }

            _depth--;
            return table;
        }

        private LuaValue List()
        {
            Descend();
            LuaTable table = thread.State.NewTable();
            Next();
            if (_kind != Kind.ArrayEnd)
            {
                for (int i = 1; ; i++)
                {
                    LuaValue value = Value();
                    table.Set(i, value);
                    Next();
                    if (_kind == Kind.ArrayEnd)
                    {
                        break;
                    }

                    if (_kind != Kind.Comma)
                    {
                        throw Unexpected("comma or array end");
                    }

                    Next();
                }
            }

            _depth--;
            return table;
        }
    }
}
