using System.Globalization;

namespace Leither.Lua;

/// <summary>The basic functions: type, pairs, pcall, error, loadstring, setfenv and so on. Nothing that reaches files or prints.</summary>
internal static class BaseLibrary
{
    public static void Open(LuaState state)
    {
        LuaTable globals = state.Globals;
        globals.Set(LuaState.Name("_G"), globals);
        globals.Set(LuaState.Name("_VERSION"), new LuaString("Lua 5.1"));
        state.Register(globals, "assert", Assert);
        state.Register(globals, "collectgarbage", CollectGarbage);
        state.Register(globals, "error", Error);
        state.Register(globals, "gcinfo", t => t.Return(Math.Floor(t.State.UsedBytes / 1024.0)));
        state.Register(globals, "getfenv", GetEnvironment);
        state.Register(globals, "getmetatable", GetMetatable);
        state.Register(globals, "load", Load);
        state.Register(globals, "loadstring", LoadString);
        state.Register(globals, "next", Next);
        state.NextFunction = (LuaNativeFunction)globals.Get(LuaState.Name("next")).O!;
        state.Register(globals, "newproxy", NewProxy(state));
        state.Register(globals, "pcall", ProtectedCall);
        state.Register(globals, "rawequal", RawEqual);
        state.Register(globals, "rawget", RawGet);
        state.Register(globals, "rawset", RawSet);
        state.Register(globals, "select", Select);
        state.Register(globals, "setfenv", SetEnvironment);
        state.Register(globals, "setmetatable", SetMetatable);
        state.Register(globals, "tonumber", ToNumber);
        state.Register(globals, "tostring", t =>
        {
            t.CheckAny(1);
            return t.Return(ToText(t, t[1]));
        });
        state.Register(globals, "type", Type);
        state.Register(globals, "unpack", Unpack);
        state.Register(globals, "xpcall", ProtectedCallWithHandler);

        LuaNativeFunction pairs = state.NextFunction, indices = state.NewFunction(NextIndex);
        state.Register(globals, "pairs", t =>
        {
            LuaTable table = t.CheckTable(1);
            t.Push(pairs);
            t.Push(table);
            t.Push(default);
            return 3;
        });
        state.Register(globals, "ipairs", t =>
        {
            LuaTable table = t.CheckTable(1);
            t.Push(indices);
            t.Push(table);
            t.Push(0.0);
            return 3;
        });
        CoroutineLibrary.Open(state);
    }

    /// <summary>What tostring makes of a value.</summary>
    public static LuaValue ToText(LuaThread t, in LuaValue value)
    {
        LuaValue handler = t.Metamethod(value, MetaEvent.ToString);
        if (!handler.IsNil)
        {
            int function = t.Top;
            LuaValue kept = value;
            t.Push(handler);
            t.Push(kept);
            t.Call(function, 1);
            return t.Stack[--t.Top];
        }

        switch (value.Type)
        {
            case LuaType.Nil:
                return LuaState.Name("nil");
            case LuaType.Boolean:
                return LuaState.Name(value.IsFalsy ? "false" : "true");
            case LuaType.Number:
                return t.State.TakeString(LuaNumber.Format(value.N));
            case LuaType.String:
                return value;
            default:
                string kind = value.Type == LuaType.Function ? "function" : value.TypeName;
                string address = value.O is LuaUserdata { Name: { } name } ? name : "0x" + value.O!.Id.ToString("x", CultureInfo.InvariantCulture);
                return new LuaString($"{kind}: {address}");
        }
    }

    private static int Assert(LuaThread t)
    {
        t.CheckAny(1);
        if (t[1].IsFalsy)
        {
            throw t.Error(t[2].IsNil ? "assertion failed!" : t.CheckString(2).ToCString());
        }

        return t.ArgCount;
    }

    private static int CollectGarbage(LuaThread t)
    {
        string option = t[1].IsNil ? "collect" : t.CheckString(1).ToString();
        t.OptInt(2, 0);
        switch (option)
        {
            case "collect":
                t.State.Recount();
                return t.Return(0.0);
            case "count":
                return t.Return(t.State.UsedBytes / 1024.0);
            case "step":
                return t.Return(true);
            case "stop" or "restart":
                return t.Return(0.0);
            case "setpause" or "setstepmul":
                return t.Return(200.0);
            default:
                throw t.ArgError(1, $"invalid option '{option}'");
        }
    }

    private static int Error(LuaThread t)
    {
        int level = t.OptInt(2, 1);
        LuaValue value = t[1];
        if (level > 0 && (value.O is LuaString || value.IsNumber))
        {
            value = LuaThread.Text(t.Where(level) + value.ToStringOrNull());
        }

        throw t.Raise(value);
    }

    private static LuaValue FunctionAt(LuaThread t, bool optional)
    {
        if (t[1].O is LuaFunction function)
        {
            return function;
        }

        int level = optional ? t.OptInt(1, 1) : t.CheckInt(1);
        if (level < 0)
        {
            throw t.ArgError(1, "level must be non-negative");
        }

        if (!t.HasLevel(level))
        {
            throw t.ArgError(1, "invalid level");
        }

        return t.TryLevelFunction(level, out LuaFunction? found)
            ? found
            : throw t.Error($"no function environment for tail call at level {level.ToString(CultureInfo.InvariantCulture)}");
    }

    private static int GetEnvironment(LuaThread t)
    {
        return FunctionAt(t, optional: true).O is LuaClosure closure ? t.Return(closure.Environment) : t.Return(t.Environment);
    }

    private static int SetEnvironment(LuaThread t)
    {
        LuaTable environment = t.CheckTable(2);
        if (t[1].IsNumber && t[1].N == 0)
        {
            t.Environment = environment;
            return 0;
        }

        LuaValue function = FunctionAt(t, optional: false);
        if (function.O is not LuaClosure closure)
        {
            throw t.Error("'setfenv' cannot change environment of given object");
        }

        closure.Environment = environment;
        return t.Return(closure);
    }

    private static int GetMetatable(LuaThread t)
    {
        t.CheckAny(1);
        LuaTable? metatable = t.MetatableOf(t[1]);
        if (metatable is null)
        {
            return t.Return(default);
        }

        LuaValue shown = MetaEvents.Of(metatable, MetaEvent.Metatable);
        return t.Return(shown.IsNil ? metatable : shown);
    }

    private static int SetMetatable(LuaThread t)
    {
        LuaTable table = t.CheckTable(1);
        LuaValue metatable = t[2];
        if (t.ArgCount < 2 || (!metatable.IsNil && metatable.O is not LuaTable))
        {
            throw t.ArgError(2, "nil or table expected");
        }

        if (!MetaEvents.Of(table.Metatable, MetaEvent.Metatable).IsNil)
        {
            throw t.Error("cannot change a protected metatable");
        }

        if (table.IsReadOnly)
        {
            throw t.RuntimeError("Attempt to modify a readonly table");
        }

        table.Metatable = metatable.O as LuaTable;
        return t.Return(table);
    }

    private static int Loaded(LuaThread t, byte[] text, string chunkName)
    {
        try
        {
            LuaClosure closure = t.State.Load(text, chunkName);
            closure.Environment = t.Environment;
            return t.Return(closure);
        }
        catch (LuaException e) when (e is not LuaAbortException)
        {
            t.Push(default);
            t.Push(e.Value);
            return 2;
        }
    }

    private static int LoadString(LuaThread t)
    {
        LuaString text = t.CheckString(1);
        string name = t[2].IsNil ? text.ToCString() : t.CheckString(2).ToCString();
        return Loaded(t, text.Bytes, name);
    }

    private static int Load(LuaThread t)
    {
        if (t[1].O is not LuaFunction reader)
        {
            throw t.TypeError(1, "function");
        }

        string name = t[2].IsNil ? "=(load)" : t.CheckString(2).ToCString();
        using var text = new MemoryStream();
        while (true)
        {
            int function = t.Top;
            t.Push(reader);
            if (!t.TryCall(function, 1, t.Handler, out LuaException? error))
            {
                t.Push(default);
                t.Push(error.Value);
                return 2;
            }

            LuaValue piece = t.Stack[--t.Top];
            if (piece.IsNil)
            {
                break;
            }

            if (piece.ToStringOrNull() is not { } bytes)
            {
                t.Push(default);
                t.Push(t.Error("reader function must return a string").Value);
                return 2;
            }

            if (bytes.Length == 0)
            {
                break;
            }

            t.State.Charge(bytes.Length);
            text.Write(bytes.Span);
        }

        return Loaded(t, text.ToArray(), name);
    }

    private static int Next(LuaThread t)
    {
        LuaTable table = t.CheckTable(1);
        bool found = table.Next(t[2], out LuaValue key, out LuaValue value, out bool unknown);
        if (unknown)
        {
            throw t.RuntimeError("invalid key to 'next'");
        }

        if (!found)
        {
            return t.Return(default);
        }

        t.Push(key);
        t.Push(value);
        return 2;
    }

    private static int NextIndex(LuaThread t)
    {
        int i = t.CheckInt(2) + 1;
        LuaValue value = t.CheckTable(1).Get(i);
        if (value.IsNil)
        {
            return 0;
        }

        t.Push((double)i);
        t.Push(value);
        return 2;
    }

    /// <summary>newproxy knows the metatables that it made by remembering them.</summary>
    private static LuaNative NewProxy(LuaState state)
    {
        LuaTable known = state.NewTable();
        state.Registry.Set(LuaState.Name("newproxy"), known);
        return t =>
        {
            LuaTable? metatable = null;
            if (t[1].O == LuaTag.True)
            {
                metatable = t.State.NewTable();
                known.Set(metatable, true);
            }
            else if (!t[1].IsFalsy)
            {
                metatable = t.MetatableOf(t[1]);
                if (metatable is null || known[metatable].IsNil)
                {
                    throw t.ArgError(1, "boolean or proxy expected");
                }
            }

            return t.Return(new LuaUserdata(metatable));
        };
    }

    private static int ProtectedCall(LuaThread t)
    {
        int count = t.ProtectedCall(out LuaException? error);
        if (error is null)
        {
            return count;
        }

        t.Push(false);
        t.Push(error.Value);
        return 2;
    }

    private static int ProtectedCallWithHandler(LuaThread t)
    {
        if (t.ArgCount < 2)
        {
            throw t.ArgError(2, "value expected");
        }

        LuaValue handler = t[2];
        t.SetArgCount(1);
        int first = t.Base;
        LuaFunction guard = handler.O as LuaFunction ?? t.State.NewFunction(static _ => throw new LuaException(LuaState.Name("error in error handling")));
        if (t.TryCall(first, -1, guard, out LuaException? error))
        {
            int count = t.Top - first;
            t.EnsureStack(1);
            Array.Copy(t.Stack, first, t.Stack, first + 1, count);
            t.Stack[first] = true;
            t.Top++;
            return count + 1;
        }

        t.Push(false);
        t.Push(error.Value);
        return 2;
    }

    private static int RawEqual(LuaThread t)
    {
        t.CheckAny(1);
        t.CheckAny(2);
        return t.Return(LuaValue.RawEquals(t[1], t[2]));
    }

    private static int RawGet(LuaThread t)
    {
        LuaTable table = t.CheckTable(1);
        t.CheckAny(2);
        return t.Return(table[t[2]]);
    }

    private static int RawSet(LuaThread t)
    {
        LuaTable table = t.CheckTable(1);
        t.CheckAny(2);
        t.CheckAny(3);
        if (table.IsReadOnly)
        {
            throw t.RuntimeError("Attempt to modify a readonly table");
        }

        LuaValue value = t[3];
        t.SlotFor(table, t[2]) = value;
        return t.Return(table);
    }

    private static int Select(LuaThread t)
    {
        int count = t.ArgCount;
        if (t[1].O is LuaString { Length: > 0 } text && text.Span[0] == '#')
        {
            return t.Return((double)(count - 1));
        }

        int i = t.CheckInt(1);
        if (i < 0)
        {
            i = count + i;
        }
        else if (i > count)
        {
            i = count;
        }

        if (i < 1)
        {
            throw t.ArgError(1, "index out of range");
        }

        return count - i;
    }

    private static int ToNumber(LuaThread t)
    {
        int @base = t.OptInt(2, 10);
        if (@base == 10)
        {
            t.CheckAny(1);
            return t.Return(t[1].TryToNumber(out double number) ? number : default(LuaValue));
        }

        ReadOnlySpan<byte> text = t.CheckString(1).Span;
        if (@base is < 2 or > 36)
        {
            throw t.ArgError(2, "base out of range");
        }

        // As strtoul reads it: spaces, a sign, 0x for base 16, digits; at most 64 bits.
        int i = 0;
        while (i < text.Length && LuaNumber.IsSpace(text[i]))
        {
            i++;
        }

        bool negative = i < text.Length && text[i] == '-';
        if (i < text.Length && text[i] is (byte)'-' or (byte)'+')
        {
            i++;
        }

        if (@base == 16 && i + 2 < text.Length && text[i] == '0' && (text[i + 1] | 0x20) == 'x' && Digit(text[i + 2]) < 16)
        {
            i += 2;
        }

        ulong value = 0;
        bool overflow = false;
        int start = i;
        for (; i < text.Length && Digit(text[i]) < @base; i++)
        {
            UInt128 next = ((UInt128)value * (uint)@base) + (uint)Digit(text[i]);
            overflow |= next > ulong.MaxValue;
            value = (ulong)next;
        }

        if (i > start)
        {
            while (i < text.Length && LuaNumber.IsSpace(text[i]))
            {
                i++;
            }

            if (i == text.Length)
            {
                return t.Return((double)(overflow ? ulong.MaxValue : negative ? 0 - value : value));
            }
        }

        return t.Return(default);
    }

    private static int Digit(byte c) => c switch
    {
        >= (byte)'0' and <= (byte)'9' => c - '0',
        >= (byte)'a' and <= (byte)'z' => c - 'a' + 10,
        >= (byte)'A' and <= (byte)'Z' => c - 'A' + 10,
        _ => 99,
    };

    private static int Type(LuaThread t)
    {
        t.CheckAny(1);
        return t.Return(LuaState.Name(t[1].TypeName));
    }

    internal static int Unpack(LuaThread t)
    {
        LuaTable table = t.CheckTable(1);
        int from = t.OptInt(2, 1), to = t[3].IsNil ? table.Length : t.CheckInt(3);
        if (from > to)
        {
            return 0;
        }

        long count = (long)to - from + 1;
        if (count > int.MaxValue || !t.TryReserve((int)count))
        {
            throw t.Error("too many results to unpack");
        }

        for (int i = 0; i < (int)count; i++)
        {
            t.Push(table.Get(from + i));
        }

        return (int)count;
    }
}
