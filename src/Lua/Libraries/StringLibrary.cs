namespace Leither.Lua;

/// <summary>string.*, also reached as methods of strings.</summary>
internal static class StringLibrary
{
    private const int MaxRepeated = int.MaxValue - 64;

    public static void Open(LuaState state)
    {
        LuaTable library = state.NewTable();
        state.Globals.Set(LuaState.Name("string"), library);
        state.Register(library, "byte", Byte);
        state.Register(library, "char", Char);
        state.Register(library, "dump", Dump);
        state.Register(library, "find", t => Find(t, isFind: true));
        state.Register(library, "format", StringFormat.Format);
        state.Register(library, "gmatch", GMatch);
        library.Set(LuaState.Name("gfind"), library.Get(LuaState.Name("gmatch")));
        state.Register(library, "gsub", GSub);
        state.Register(library, "len", t => t.Return((double)t.CheckString(1).Length));
        state.Register(library, "lower", t => Convert(t, (byte)'A', (byte)'Z'));
        state.Register(library, "match", t => Find(t, isFind: false));
        state.Register(library, "rep", Repeat);
        state.Register(library, "reverse", Reverse);
        state.Register(library, "sub", Sub);
        state.Register(library, "upper", t => Convert(t, (byte)'a', (byte)'z'));

        LuaTable metatable = state.NewTable();
        metatable.Set(LuaState.Name("__index"), library);
        state.StringMetatable = metatable;
    }

    /// <summary>There is no binary form of functions: what is given begins like one, and is loaded by nobody, as in Redis.</summary>
    private static int Dump(LuaThread t)
    {
        if (t[1].O is not LuaFunction)
        {
            throw t.TypeError(1, "function");
        }

        return t[1].O is LuaClosure ? t.ReturnString("\u001bLuaQ"u8) : throw t.Error("unable to dump given function");
    }

    private static long Relative(double position, int length)
    {
        long p = LuaNumber.ToInt64(position);
        if (p < 0)
        {
            p += length + 1L;
        }

        return p >= 0 ? p : 0;
    }

    private static int Sub(LuaThread t)
    {
        LuaString text = t.CheckString(1);
        long start = Relative(t.CheckNumber(2), text.Length), end = Relative(t.OptNumber(3, -1), text.Length);
        start = Math.Max(start, 1);
        end = Math.Min(end, text.Length);
        if (start > end)
        {
            return t.Return(LuaString.Empty);
        }

        return start == 1 && end == text.Length ? t.Return(text) : t.ReturnString(text.Span[(int)(start - 1)..(int)end]);
    }

    private static int Reverse(LuaThread t)
    {
        byte[] bytes = Copy(t, t.CheckString(1));
        Array.Reverse(bytes);
        return t.Return(new LuaString(bytes));
    }

    private static byte[] Copy(LuaThread t, LuaString text)
    {
        t.State.Charge(LuaState.StringBytes + text.Length);
        return text.Span.ToArray();
    }

    private static int Convert(LuaThread t, byte from, byte to)
    {
        byte[] bytes = Copy(t, t.CheckString(1));
        foreach (ref byte c in bytes.AsSpan())
        {
            if (c >= from && c <= to)
            {
                c ^= 0x20;
            }
        }

        return t.Return(new LuaString(bytes));
    }

    private static int Repeat(LuaThread t)
    {
        LuaString text = t.CheckString(1);
        int count = t.CheckInt(2);
        if (count <= 0 || text.Length == 0)
        {
            return t.Return(LuaString.Empty);
        }

        long length = (long)text.Length * count;
        if (length > MaxRepeated)
        {
            throw new LuaException(LuaState.Name("not enough memory"));
        }

        t.State.Charge(LuaState.StringBytes + length);
        byte[] bytes = GC.AllocateUninitializedArray<byte>((int)length);
        text.Span.CopyTo(bytes);
        for (int done = text.Length; done < bytes.Length; done *= 2)
        {
            bytes.AsSpan(0, Math.Min(done, bytes.Length - done)).CopyTo(bytes.AsSpan(done));
        }

        return t.Return(new LuaString(bytes));
    }

    private static int Byte(LuaThread t)
    {
        LuaString text = t.CheckString(1);
        long start = Relative(t.OptNumber(2, 1), text.Length), end = Relative(t.OptNumber(3, start), text.Length);
        start = Math.Max(start, 1);
        end = Math.Min(end, text.Length);
        if (start > end)
        {
            return 0;
        }

        int count = (int)(end - start + 1);
        t.Reserve(count, "string slice too long");
        for (int i = 0; i < count; i++)
        {
            t.Push((double)text.Span[(int)start - 1 + i]);
        }

        return count;
    }

    private static int Char(LuaThread t)
    {
        int count = t.ArgCount;
        byte[] bytes = new byte[count];
        for (int i = 1; i <= count; i++)
        {
            int c = t.CheckInt(i);
            if ((byte)c != c)
            {
                throw t.ArgError(i, "invalid value");
            }

            bytes[i - 1] = (byte)c;
        }

        return t.Return(t.State.TakeString(bytes));
    }

    private static int Find(LuaThread t, bool isFind)
    {
        LuaString subject = t.CheckString(1), pattern = t.CheckString(2);
        ReadOnlySpan<byte> source = subject.Span, p = pattern.Span;
        long init = Relative(t.OptNumber(3, 1), source.Length) - 1;
        int s = (int)Math.Clamp(init, 0, source.Length);
        if (isFind && (!t[4].IsFalsy || !HasSpecials(p)))
        {
            int at = source[s..].IndexOf(p);
            if (at < 0)
            {
                return t.Return(default);
            }

            t.Push((double)(s + at + 1));
            t.Push((double)(s + at + p.Length));
            return 2;
        }

        bool anchored = p.Length > 0 && p[0] == '^';
        var matcher = new LuaPattern(t, subject, anchored ? p[1..] : p);
        do
        {
            int end = matcher.Match(s);
            if (end >= 0)
            {
                if (!isFind)
                {
                    return matcher.PushCaptures(s, end, wholeIfNone: true);
                }

                t.Push((double)(s + 1));
                t.Push((double)end);
                return matcher.PushCaptures(s, end, wholeIfNone: false) + 2;
            }
        }
        while (s++ < source.Length && !anchored);
        return t.Return(default);
    }

    private static readonly System.Buffers.SearchValues<byte> _specials = System.Buffers.SearchValues.Create("^$*+?.([%-"u8);

    private static bool HasSpecials(ReadOnlySpan<byte> pattern)
    {
        int zero = pattern.IndexOf((byte)0);
        return (zero < 0 ? pattern : pattern[..zero]).ContainsAny(_specials);
    }

    private static int GMatch(LuaThread t)
    {
        LuaString subject = t.CheckString(1), pattern = t.CheckString(2);
        int position = 0;
        return t.Return(t.State.NewFunction(caller =>
        {
            var matcher = new LuaPattern(caller, subject, pattern.Span);
            for (int s = position; s <= subject.Length; s++)
            {
                int end = matcher.Match(s);
                if (end >= 0)
                {
                    // An empty match: go at least one further.
                    position = end == s ? end + 1 : end;
                    return matcher.PushCaptures(s, end, wholeIfNone: true);
                }
            }

            position = subject.Length + 1;
            return 0;
        }));
    }

    private static int GSub(LuaThread t)
    {
        LuaString subject = t.CheckString(1), pattern = t.CheckString(2);
        LuaValue replacement = t[3];
        if (!replacement.IsNumber && replacement.O is not (LuaString or LuaTable or LuaFunction))
        {
            throw t.ArgError(3, "string/function/table expected");
        }

        LuaString? template = replacement.O is LuaTable or LuaFunction ? null : replacement.ToStringOrNull();
        int max = t.OptInt(4, subject.Length == int.MaxValue ? int.MaxValue : subject.Length + 1);
        ReadOnlySpan<byte> source = subject.Span, p = pattern.Span;
        bool anchored = p.Length > 0 && p[0] == '^';
        var matcher = new LuaPattern(t, subject, anchored ? p[1..] : p);
        var result = new ByteBuffer(t.State);
        int s = 0, count = 0;
        while (count < max)
        {
            int end = matcher.Match(s);
            if (end >= 0)
            {
                count++;
                AddReplacement(t, ref matcher, ref result, replacement, template, source, s, end);
            }

            if (end >= 0 && end > s)
            {
                s = end;
            }
            else if (s < source.Length)
            {
                result.Add(source[s++]);
            }
            else
            {
                break;
            }

            if (anchored)
            {
                break;
            }
        }

        result.Add(source[Math.Min(s, source.Length)..]);
        t.Push(result.ToLuaString());
        t.Push((double)count);
        return 2;
    }

    private static void AddReplacement(
        LuaThread t, ref LuaPattern matcher, ref ByteBuffer result, in LuaValue replacement, LuaString? template, ReadOnlySpan<byte> source, int start, int end)
    {
        LuaValue value;
        if (template is not null)
        {
            ReadOnlySpan<byte> text = template.Span;
            for (int i = 0; i < text.Length; i++)
            {
                if (text[i] != '%')
                {
                    result.Add(text[i]);
                    continue;
                }

                i++;
                byte c = i < text.Length ? text[i] : (byte)0;
                if (!char.IsAsciiDigit((char)c))
                {
                    result.Add(c);
                }
                else if (c == '0')
                {
                    result.Add(source[start..end]);
                }
                else
                {
                    LuaValue capture = matcher.Capture(c - '1', start, end);
                    result.Add(capture.ToStringOrNull()!.Span);
                }
            }

            return;
        }

        if (replacement.O is LuaTable)
        {
            value = t.Index(replacement, matcher.Capture(0, start, end));
        }
        else
        {
            int function = t.Top;
            t.Push(replacement);
            matcher.PushCaptures(start, end, wholeIfNone: true);
            t.Call(function, 1);
            value = t.Stack[--t.Top];
        }

        if (value.IsFalsy)
        {
            result.Add(source[start..end]);
        }
        else if (value.ToStringOrNull() is { } text)
        {
            result.Add(text.Span);
        }
        else
        {
            throw t.Error($"invalid replacement value (a {value.TypeName})");
        }
    }
}
