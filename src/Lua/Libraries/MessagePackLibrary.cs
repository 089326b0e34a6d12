using System.Buffers.Binary;
using System.Globalization;

namespace Leither.Lua;

/// <summary>cmsgpack.*: MessagePack as lua-cmsgpack writes and reads it.</summary>
internal static class MessagePackLibrary
{
    /// <summary>Deeper tables, cyclic ones among them, are written as nil.</summary>
    private const int MaxNesting = 16;
    /// <summary>Nesting of what is read; each level costs a frame of the host's stack.</summary>
    private const int MaxReadNesting = 4000;

    public static void Open(LuaState state)
    {
        LuaTable library = state.NewTable();
        state.Globals.Set(LuaState.Name("cmsgpack"), library);
        state.Register(library, "pack", Pack);
        state.Register(library, "unpack", t => Unpack(t, 0, 0));
        state.Register(library, "unpack_one", t => Unpack(t, 1, LuaNumber.ToInt64(t.OptNumber(2, 0))));
        state.Register(library, "unpack_limit", t => Unpack(t, LuaNumber.ToInt64(t.CheckNumber(2)), LuaNumber.ToInt64(t.OptNumber(3, 0))));
        library.Set(LuaState.Name("_NAME"), new LuaString("cmsgpack"));
        library.Set(LuaState.Name("_VERSION"), new LuaString("lua-cmsgpack 0.4.0"));
        library.Set(LuaState.Name("_COPYRIGHT"), new LuaString("Copyright (C) 2012, Salvatore Sanfilippo"));
        library.Set(LuaState.Name("_DESCRIPTION"), new LuaString("MessagePack C implementation for Lua"));
    }

    private static int Pack(LuaThread t)
    {
        if (t.ArgCount == 0)
        {
            throw t.ArgError(0, "MessagePack pack needs input.");
        }

        var result = new ByteBuffer(t.State);
        for (int i = 1, count = t.ArgCount; i <= count; i++)
        {
            Write(t, ref result, t[i], 0);
        }

        return t.Return(result.ToLuaString());
    }

    private static void Write(LuaThread t, ref ByteBuffer result, LuaValue value, int level)
    {
        switch (value.O)
        {
            case LuaString text:
                WriteHead(ref result, text.Length, 0xa0, 32, 0xd9, 0xda, 0xdb);
                result.Add(text.Span);
                break;
            case LuaTable table when level < MaxNesting:
                WriteTable(t, ref result, table, level);
                break;
            case LuaTag tag when tag == LuaTag.Number:
                WriteNumber(ref result, value.N);
                break;
            case LuaTag tag:
                result.Add(tag == LuaTag.True ? (byte)0xc3 : (byte)0xc2);
                break;
            default:
                result.Add((byte)0xc0);
                break;
        }
    }

    private static void WriteHead(ref ByteBuffer result, int length, byte fix, int fixLimit, byte one, byte two, byte four)
    {
        if (length < fixLimit)
        {
            result.Add((byte)(fix | length));
        }
        else if (length <= 0xff && one != 0)
        {
            result.Add(one);
            result.Add((byte)length);
        }
        else if (length <= 0xffff)
        {
            result.Add(two);
            result.Add((byte)(length >> 8));
            result.Add((byte)length);
        }
        else
        {
            Span<byte> bytes = stackalloc byte[5];
            bytes[0] = four;
            BinaryPrimitives.WriteInt32BigEndian(bytes[1..], length);
            result.Add(bytes);
        }
    }

    private static void WriteNumber(ref ByteBuffer result, double number)
    {
        Span<byte> bytes = stackalloc byte[9];
        long n = LuaNumber.ToInt64(number);
        if (double.IsInfinity(number) || n != number)
        {
            float single = (float)number;
            if (single == number)
            {
                bytes[0] = 0xca;
                BinaryPrimitives.WriteSingleBigEndian(bytes[1..], single);
                result.Add(bytes[..5]);
            }
            else
            {
                bytes[0] = 0xcb;
                BinaryPrimitives.WriteDoubleBigEndian(bytes[1..], number);
                result.Add(bytes);
            }

            return;
        }

        BinaryPrimitives.WriteInt64BigEndian(bytes[1..], n);
        (byte tag, int size) = n switch
        {
            >= -32 and <= 127 => ((byte)n, 0),
            >= 0 and <= 0xff => ((byte)0xcc, 1),
            >= 0 and <= 0xffff => ((byte)0xcd, 2),
            >= 0 and <= 0xffffffff => ((byte)0xce, 4),
            >= 0 => ((byte)0xcf, 8),
            >= -128 => ((byte)0xd0, 1),
            >= -32768 => ((byte)0xd1, 2),
            >= int.MinValue => ((byte)0xd2, 4),
            _ => ((byte)0xd3, 8),
        };
        result.Add(tag);
        result.Add(bytes.Slice(9 - size, size));
    }

    private static void WriteTable(LuaThread t, ref ByteBuffer result, LuaTable table, int level)
    {
        int position = 0, count = 0;
        double max = 0;
        bool isArray = true;
        while (table.NextAt(ref position, out LuaValue key, out _))
        {
            count++;
            if (!key.IsNumber || !(key.N > 0) || key.N > int.MaxValue || key.N != Math.Floor(key.N))
            {
                isArray = false;
            }
            else
            {
                max = Math.Max(max, key.N);
            }
        }

        if (isArray && max == count)
        {
            int length = table.Length;
            WriteHead(ref result, length, 0x90, 16, 0, 0xdc, 0xdd);
            for (int i = 1; i <= length; i++)
            {
                Write(t, ref result, t.Index(table, (double)i), level + 1);
            }

            return;
        }

        WriteHead(ref result, count, 0x80, 16, 0, 0xde, 0xdf);
        position = 0;
        while (table.NextAt(ref position, out LuaValue key, out LuaValue value))
        {
            Write(t, ref result, key, level + 1);
            Write(t, ref result, value, level + 1);
        }
    }

    private static int Unpack(LuaThread t, long limit, long offset)
    {
        LuaString text = t.CheckString(1);
        bool all = limit == 0 && offset == 0;
        if (offset < 0 || limit < 0)
        {
            throw t.Error(string.Create(CultureInfo.InvariantCulture, $"Invalid request to unpack with offset of {(int)offset} and limit of {text.Length}."));
        }

        if (offset > text.Length)
        {
            throw t.Error(string.Create(CultureInfo.InvariantCulture, $"Start offset {(int)offset} greater than input length {text.Length}."));
        }

        if (all)
        {
            limit = int.MaxValue;
        }

        var reader = new Reader(t, text.Span[(int)offset..]);
        int first = t.Top, count = 0;
        for (; reader.Left > 0 && count < limit; count++)
        {
            t.Reserve(1, "too many return values at once; use unpack_one or unpack_limit instead.");
            t.Push(reader.Read());
        }

        if (all)
        {
            return count;
        }

        t.EnsureStack(1);
        Array.Copy(t.Stack, first, t.Stack, first + 1, count);
        t.Stack[first] = reader.Left == 0 ? -1.0 : (double)(text.Length - reader.Left);
        t.Top++;
        return count + 1;
    }

    private ref struct Reader(LuaThread thread, ReadOnlySpan<byte> data)
    {
        private ReadOnlySpan<byte> _data = data;
        private int _depth;

        public readonly int Left => _data.Length;

        private ReadOnlySpan<byte> Take(long count)
        {
            if (count > _data.Length)
            {
                throw thread.Error("Missing bytes in input.");
            }

            ReadOnlySpan<byte> taken = _data[..(int)count];
            _data = _data[(int)count..];
            return taken;
        }

        private LuaValue Text(long length) => thread.State.NewString(Take(length));

        public LuaValue Read()
        {
            byte tag = Take(1)[0];
            switch (tag)
            {
                case <= 0x7f:
                    return (double)tag;
                case <= 0x8f:
                    return Map(tag & 15);
                case <= 0x9f:
                    return List(tag & 15);
                case <= 0xbf:
                    return Text(tag & 31);
                case 0xc0:
                    return default;
                case 0xc2:
                    return false;
                case 0xc3:
                    return true;
                case 0xca:
                    return (double)BinaryPrimitives.ReadSingleBigEndian(Take(4));
                case 0xcb:
                    return BinaryPrimitives.ReadDoubleBigEndian(Take(8));
                case 0xcc:
                    return (double)Take(1)[0];
                case 0xcd:
                    return (double)BinaryPrimitives.ReadUInt16BigEndian(Take(2));
                case 0xce:
                    return (double)BinaryPrimitives.ReadUInt32BigEndian(Take(4));
                case 0xcf:
                    // lua_Integer is signed: the upper half wraps.
                    return (double)BinaryPrimitives.ReadInt64BigEndian(Take(8));
                case 0xd0:
                    return (double)(sbyte)Take(1)[0];
                case 0xd1:
                    return (double)BinaryPrimitives.ReadInt16BigEndian(Take(2));
                case 0xd2:
                    return (double)BinaryPrimitives.ReadInt32BigEndian(Take(4));
                case 0xd3:
                    return (double)BinaryPrimitives.ReadInt64BigEndian(Take(8));
                case 0xd9:
                    return Text(Take(1)[0]);
                case 0xda:
                    return Text(BinaryPrimitives.ReadUInt16BigEndian(Take(2)));
                case 0xdb:
                    return Text(BinaryPrimitives.ReadUInt32BigEndian(Take(4)));
                case 0xdc:
                    return List(BinaryPrimitives.ReadUInt16BigEndian(Take(2)));
                case 0xdd:
                    return List(BinaryPrimitives.ReadUInt32BigEndian(Take(4)));
                case 0xde:
                    return Map(BinaryPrimitives.ReadUInt16BigEndian(Take(2)));
                case 0xdf:
                    return Map(BinaryPrimitives.ReadUInt32BigEndian(Take(4)));
                case >= 0xe0:
                    return (double)(sbyte)tag;
                default:
                    throw thread.Error("Bad data format in input.");
            }
        }

        private LuaValue List(long count)
        {
            Descend();
            LuaTable table = thread.State.NewTable();
            for (long i = 1; i <= count; i++)
            {
                LuaValue value = Read();
                table.Set((int)i, value);
            }

            _depth--;
            return table;
        }

        private LuaValue Map(long count)
        {
            Descend();
            LuaTable table = thread.State.NewTable();
            for (long i = 0; i < count; i++)
            {
                LuaValue key = Read(), value = Read();
                thread.SlotFor(table, key) = value;
            }

            _depth--;
            return table;
        }

        private void Descend()
        {
            System.Runtime.CompilerServices.RuntimeHelpers.EnsureSufficientExecutionStack();
            if (++_depth > MaxReadNesting)
            {
                throw thread.Error("stack overflow (in function mp_decode_to_lua_array)");
            }
        }
    }
}
