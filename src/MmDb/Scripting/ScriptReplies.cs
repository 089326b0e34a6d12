using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;
using Leither.Lua;
using Leither.Resp;

namespace Leither.MmDb.Scripting;

/// <summary>What scripts know of replies: the fields of the tables that stand for them.</summary>
internal static class ReplyField
{
    public static readonly LuaString Err = LuaState.Name("err"), Ok = LuaState.Name("ok"), Double = LuaState.Name("double"), Map = LuaState.Name("map"),
        Set = LuaState.Name("set"), BigNumber = LuaState.Name("big_number"), Verbatim = LuaState.Name("verbatim_string"), String = LuaState.Name("string"),
        Format = LuaState.Name("format"), Source = LuaState.Name("source"), Line = LuaState.Name("line"),
        IsCounted = LuaState.Name("ignore_error_stats_update");
}

/// <summary>Makes Lua's values of the reply that a command wrote. The reply is our own: it is well formed.</summary>
internal unsafe ref struct ReplyReader(LuaThread thread, byte* reply)
{
    private readonly LuaState _state = thread.State;
    private byte* _next = reply;

    public LuaValue Read()
    {
        RuntimeHelpers.EnsureSufficientExecutionStack();
        byte kind = *_next++;
        switch (kind)
        {
            case (byte)':':
                return (double)Integer();
            case (byte)'$':
                {
                    long length = Integer();
                    return length < 0 ? false : _state.NewString(Bytes(length));
                }

            case (byte)'+':
                return Field(ReplyField.Ok, _state.NewString(Line()));
            case (byte)'-':
                {
                    LuaTable error = Error(_state, Line());
                    error.Set(ReplyField.IsCounted, true);
                    return error;
                }

            case (byte)'*' or (byte)'>':
                {
                    long count = Integer();
                    if (count < 0)
                    {
                        return false;
                    }

                    LuaTable array = _state.NewTable((int)count);
                    for (int i = 1; i <= count; i++)
                    {
                        LuaValue element = Read();
                        array.Set(i, element);
                    }

                    return array;
                }

            case (byte)'%':
                {
                    LuaTable map = _state.NewTable();
                    for (long count = Integer(); count > 0; count--)
                    {
                        LuaValue key = Read(), value = Read();
                        if (!key.IsNil)
                        {
                            map.Set(key, value);
                        }
                    }

                    return Field(ReplyField.Map, map);
                }

            case (byte)'~':
                {
                    LuaTable set = _state.NewTable();
                    for (long count = Integer(); count > 0; count--)
                    {
                        LuaValue member = Read();
                        if (!member.IsNil)
                        {
                            set.Set(member, true);
                        }
                    }

                    return Field(ReplyField.Set, set);
                }

            case (byte)'_':
                Line();
                return default;
            case (byte)'#':
                return Line()[0] == 't';
            case (byte)',':
                _ = LuaNumber.TryParse(Line(), out double number); // our own reply
                return Field(ReplyField.Double, number);
            case (byte)'(':
                return Field(ReplyField.BigNumber, _state.NewString(Line()));
            case (byte)'=':
                {
                    ReadOnlySpan<byte> text = Bytes(Integer());
                    LuaTable verbatim = _state.NewTable(0, 2);
                    verbatim.Set(ReplyField.String, _state.NewString(text[4..]));
                    verbatim.Set(ReplyField.Format, _state.NewString(text[..3]));
                    return Field(ReplyField.Verbatim, verbatim);
                }

            default:
                // An attribute: scripts do not see it.
                for (long count = 2 * Integer(); count > 0; count--)
                {
                    Read();
                }

                return Read();
        }
    }

    /// <summary>An error as scripts see it: {err = 'CODE text'}.</summary>
    public static LuaTable Error(LuaState state, ReadOnlySpan<byte> text)
    {
        LuaTable table = state.NewTable(0, 1);
        text = text.TrimEnd("\r\n"u8);
        table.Set(ReplyField.Err, text.IndexOf((byte)' ') < 0 ? state.NewString([.. "ERR "u8, .. text]) : state.NewString(text));
        return table;
    }

    private readonly LuaValue Field(LuaString name, in LuaValue value)
    {
        LuaTable table = _state.NewTable(0, 1);
        table.Set(name, value);
        return table;
    }

    private long Integer()
    {
        bool negative = *_next == '-';
        if (negative)
        {
            _next++;
        }

        long value = 0;
        while (*_next != '\r')
        {
            value = unchecked((value * 10) + (*_next++ - '0'));
        }

        _next += 2;
        return negative ? -value : value;
    }

    private ReadOnlySpan<byte> Line()
    {
        byte* start = _next;
        while (*_next != '\r')
        {
            _next++;
        }

        var line = new ReadOnlySpan<byte>(start, (int)(_next - start));
        _next += 2;
        return line;
    }

    private ReadOnlySpan<byte> Bytes(long length)
    {
        var bytes = new ReadOnlySpan<byte>(_next, (int)length);
        _next += length + 2;
        return bytes;
    }
}

/// <summary>Replies to the client what a script returned.</summary>
internal readonly ref struct ReplyBuilder(Commands.CommandContext context, int scriptVersion)
{
    /// <summary>Deeper tables, cyclic ones among them, end in an error, as at the end of Lua's stack.</summary>
    private const int MaxDepth = 7990;

    private readonly RespWriter _reply = context.Reply;

    public void Write(in LuaValue value, int depth = 0)
    {
        if (depth > MaxDepth || !RuntimeHelpers.TryEnsureSufficientExecutionStack())
        {
            context.Error("ERR reached lua stack limit"u8);
            return;
        }

        switch (value.Type)
        {
            case LuaType.String:
                value.TryString(out LuaString? text);
                _reply.Bulk(text!.Span);
                break;
            case LuaType.Number:
                _reply.Integer(LuaNumber.ToInt64(value.Number));
                break;
            case LuaType.Boolean:
                if (scriptVersion != 2)
                {
                    _reply.Boolean(!value.IsFalsy);
                }
                else if (value.IsFalsy)
                {
                    _reply.Null();
                }
                else
                {
                    _reply.Integer(1);
                }

                break;
            case LuaType.Table:
                value.TryTable(out LuaTable? table);
                WriteTable(table!, depth);
                break;
            default:
                _reply.Null();
                break;
        }
    }

    private void WriteTable(LuaTable table, int depth)
    {
        if (table.Get(ReplyField.Err).TryString(out LuaString? error))
        {
            WriteError(UpToZero(error.Span), isCounted: !table.Get(ReplyField.IsCounted).IsFalsy);
        }
        else if (table.Get(ReplyField.Ok).TryString(out LuaString? ok))
        {
            _reply.Simple(WithoutBreaks(UpToZero(ok.Span)));
        }
        else if (table.Get(ReplyField.Double) is { IsNumber: true } number)
        {
            _reply.Double(number.Number);
        }
        else if (table.Get(ReplyField.BigNumber).TryString(out LuaString? big))
        {
            _reply.BigNumber(WithoutBreaks(big.Span));
        }
        else if (table.Get(ReplyField.Verbatim).TryTable(out LuaTable? verbatim)
            && verbatim.Get(ReplyField.Format).TryString(out LuaString? format) && verbatim.Get(ReplyField.String).TryString(out LuaString? text))
        {
            Span<byte> three = stackalloc byte[3];
            three.Fill((byte)' ');
            format.Span[..Math.Min(3, format.Length)].CopyTo(three);
            _reply.Verbatim(three, text.Span);
        }
        else if (table.Get(ReplyField.Map).TryTable(out LuaTable? map))
        {
            long mark = _reply.BeginDeferred();
            int position = 0, count = 0;
            while (map.NextAt(ref position, out LuaValue key, out LuaValue value))
            {
                Write(key, depth + 1);
                Write(value, depth + 1);
                count++;
            }

            _reply.EndDeferredMap(mark, count);
        }
        else if (table.Get(ReplyField.Set).TryTable(out LuaTable? set))
        {
            long mark = _reply.BeginDeferred();
            int position = 0, count = 0;
            while (set.NextAt(ref position, out LuaValue member, out _))
            {
                Write(member, depth + 1);
                count++;
            }

            _reply.EndDeferredSet(mark, count);
        }
        else
        {
            // An array ends at its first nil: its length is known before it is written.
            int count = 0;
            while (!table.Get(count + 1).IsNil)
            {
                count++;
            }

            _reply.Array(count);
            for (int i = 1; i <= count; i++)
            {
                Write(table.Get(i), depth + 1);
            }
        }
    }

    /// <summary>An error of the script; one that a command raised is counted already.</summary>
    public void WriteError(ReadOnlySpan<byte> text, bool isCounted)
    {
        byte[] line = WithoutBreaks(text.TrimEnd("\r\n"u8));
        if (isCounted)
        {
            context.Failed = true;
            _reply.Error(line);
        }
        else
        {
            context.Error(line.AsSpan());
        }
    }

    /// <summary>What Redis sees of a status or an error: to it they are C strings.</summary>
    private static ReadOnlySpan<byte> UpToZero(ReadOnlySpan<byte> text) => text.IndexOf((byte)0) is >= 0 and var end ? text[..end] : text;

    private static byte[] WithoutBreaks(ReadOnlySpan<byte> text)
    {
        byte[] line = text.ToArray();
        foreach (ref byte c in line.AsSpan())
        {
            if (c is (byte)'\r' or (byte)'\n')
            {
                c = (byte)' ';
            }
        }

        return line;
    }

    /// <summary>
    /// What a script that failed tells: its error, where it happened, and in which script.
    /// </summary>
    public void WriteFailure(in LuaValue error, string script)
    {
        if (!error.TryTable(out LuaTable? table))
        {
            string text = error.ToStringOrNull()?.ToString() ?? "execution failure";
            context.Error($"ERR Error running script {script}, {text[..Math.Min(100, text.Length)]}");
            return;
        }

        string message = table.Get(ReplyField.Err).ToStringOrNull() is { } raised ? Encoding.Latin1.GetString(UpToZero(raised.Span)) : "(null)";
        if (table.Get(ReplyField.Source).ToStringOrNull() is { } source && table.Get(ReplyField.Line).ToStringOrNull() is { } line)
        {
            message = string.Create(CultureInfo.InvariantCulture, $"{message} script: {script}, on {source}:{line}.");
        }

        WriteError(Encoding.Latin1.GetBytes(message), isCounted: !table.Get(ReplyField.IsCounted).IsFalsy);
    }
}
