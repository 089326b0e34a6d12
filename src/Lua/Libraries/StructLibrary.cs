using System.Globalization;

namespace Leither.Lua;

/// <summary>struct.pack, unpack, size: binary records, with native sizes of a 64-bit little-endian machine.</summary>
internal static class StructLibrary
{
    private const int MaxIntegerSize = 32;
    private const int MaxAlign = 8;

    private ref struct Reader(LuaThread thread, ReadOnlySpan<byte> format)
    {
        private readonly ReadOnlySpan<byte> _format = format;
        private int _at;
        private int _align = 1;

        public bool IsBig { get; private set; }

        public bool TryNext(out byte option, out int size)
        {
            option = 0;
            size = 0;
            if (_at >= _format.Length || _format[_at] == 0)
            {
                return false;
            }

            option = _format[_at++];
            size = SizeOf(option);
            return true;
        }

        private int Number(int otherwise)
        {
            if (_at >= _format.Length || !char.IsAsciiDigit((char)_format[_at]))
            {
                return otherwise;
            }

            long value = 0;
            for (; _at < _format.Length && char.IsAsciiDigit((char)_format[_at]); _at++)
            {
                value = (value * 10) + (_format[_at] - '0');
                if (value > int.MaxValue)
                {
                    throw thread.Error("integral size overflow");
                }
            }

            return (int)value;
        }

        private int SizeOf(byte option)
        {
            switch ((char)option)
            {
                case 'B' or 'b' or 'x':
                    return 1;
                case 'H' or 'h':
                    return 2;
                case 'L' or 'l' or 'T' or 'd':
                    return 8;
                case 'f':
                    return 4;
                case 'c':
                    return Number(1);
                case 'i' or 'I':
                    int size = Number(4);
                    return size <= MaxIntegerSize
                        ? size
                        : throw thread.Error($"integral size {size.ToString(CultureInfo.InvariantCulture)} is larger than limit of {MaxIntegerSize.ToString(CultureInfo.InvariantCulture)}");
                default:
                    return 0;
            }
        }

        public readonly int Padding(long position, byte option, int size)
        {
            if (size == 0 || option == 'c')
            {
                return 0;
            }

            long unit = Math.Min(size, _align);
            return (int)((unit - (position & (unit - 1))) & (unit - 1));
        }

        public void Control(byte option)
        {
            switch ((char)option)
            {
                case ' ':
                    return;
                case '>':
                    IsBig = true;
                    return;
                case '<':
                    IsBig = false;
                    return;
                case '!':
                    int align = Number(MaxAlign);
                    if (align <= 0 || (align & (align - 1)) != 0)
                    {
                        throw thread.Error($"alignment {align.ToString(CultureInfo.InvariantCulture)} is not a power of 2");
                    }

                    _align = align;
                    return;
                default:
                    throw thread.ArgError(1, $"invalid format option '{(char)option}'");
            }
        }
    }

    public static void Open(LuaState state)
    {
        LuaTable library = state.NewTable();
        state.Globals.Set(LuaState.Name("struct"), library);
        state.Register(library, "pack", Pack);
        state.Register(library, "unpack", Unpack);
        state.Register(library, "size", Size);
    }

    private static int Pack(LuaThread t)
    {
        var reader = new Reader(t, t.CheckString(1).Span);
        var result = new ByteBuffer(t.State);
        Span<byte> bytes = stackalloc byte[MaxIntegerSize];
        int arg = 2;
        while (reader.TryNext(out byte option, out int size))
        {
            result.Repeat(0, reader.Padding(result.Length, option, size));
            switch ((char)option)
            {
                case 'b' or 'B' or 'h' or 'H' or 'l' or 'L' or 'T' or 'i' or 'I':
                    {
                        double number = t.CheckNumber(arg++);
                        ulong value = number < 0 ? (ulong)LuaNumber.ToInt64(number) : LuaNumber.ToUInt64(number);
                        for (int i = 0; i < size; i++)
                        {
                            bytes[reader.IsBig ? size - 1 - i : i] = (byte)value;
                            value >>= 8;
                        }

                        result.Add(bytes[..size]);
                        break;
                    }

                case 'x':
                    result.Add((byte)0);
                    break;
                case 'f' or 'd':
                    {
                        double number = t.CheckNumber(arg++);
                        if (option == 'f')
                        {
                            BitConverter.TryWriteBytes(bytes, (float)number);
                        }
                        else
                        {
                            BitConverter.TryWriteBytes(bytes, number);
                        }

                        if (reader.IsBig)
                        {
                            bytes[..size].Reverse();
                        }

                        result.Add(bytes[..size]);
                        break;
                    }

                case 'c' or 's':
                    {
                        LuaString text = t.CheckString(arg++);
                        int length = size == 0 ? text.Length : size;
                        if (text.Length < length)
                        {
                            throw t.ArgError(arg, "string too short");
                        }

                        result.Add(text.Span[..length]);
                        if (option == 's')
                        {
                            result.Add((byte)0);
                        }

                        break;
                    }

                default:
                    reader.Control(option);
                    break;
            }
        }

        return t.Return(result.ToLuaString());
    }

    private static int Unpack(LuaThread t)
    {
        var reader = new Reader(t, t.CheckString(1).Span);
        ReadOnlySpan<byte> data = t.CheckString(2).Span;
        long start = LuaNumber.ToInt64(t.OptNumber(3, 1));
        if (start <= 0)
        {
            throw t.ArgError(3, "offset must be 1 or greater");
        }

        long position = start - 1;
        int count = 0;
        Span<byte> bytes = stackalloc byte[8];
        while (reader.TryNext(out byte option, out int size))
        {
            position += reader.Padding(position, option, size);
            Check(t, data, position, size);
            t.Reserve(2, "too many results");
            ReadOnlySpan<byte> item = data.Slice((int)position, size);
            switch ((char)option)
            {
                case 'b' or 'B' or 'h' or 'H' or 'l' or 'L' or 'T' or 'i' or 'I':
                    t.Push(Integer(item, reader.IsBig, char.IsAsciiLetterLower((char)option)));
                    count++;
                    break;
                case 'x':
                    break;
                case 'f' or 'd':
                    item.CopyTo(bytes);
                    if (reader.IsBig)
                    {
                        bytes[..size].Reverse();
                    }

                    t.Push(option == 'f' ? BitConverter.ToSingle(bytes) : BitConverter.ToDouble(bytes));
                    count++;
                    break;
                case 'c':
                    if (size == 0)
                    {
                        if (count == 0 || !t.Stack[t.Top - 1].TryToNumber(out double wanted))
                        {
                            throw t.Error("format 'c0' needs a previous size");
                        }

                        t.Top--;
                        count--;
                        if (!(wanted >= 0 && wanted <= int.MaxValue))
                        {
                            throw t.ArgError(2, "data string too short");
                        }

                        size = (int)wanted;
                        Check(t, data, position, size);
                        item = data.Slice((int)position, size);
                    }

                    t.Push(t.State.NewString(item));
                    count++;
                    break;
                case 's':
                    {
                        ReadOnlySpan<byte> rest = data[(int)position..];
                        int end = rest.IndexOf((byte)0);
                        if (end < 0)
                        {
                            throw t.Error("unfinished string in data");
                        }

                        t.Push(t.State.NewString(rest[..end]));
                        count++;
                        size = end + 1;
                        break;
                    }

                default:
                    reader.Control(option);
                    break;
            }

            position += size;
        }

        t.Push((double)(position + 1));
        return count + 1;
    }

    private static void Check(LuaThread t, ReadOnlySpan<byte> data, long position, int size)
    {
        if (size > data.Length || position > data.Length - size)
        {
            throw t.ArgError(2, "data string too short");
        }
    }

    private static double Integer(ReadOnlySpan<byte> item, bool isBig, bool isSigned)
    {
        ulong value = 0;
        for (int i = 0; i < item.Length; i++)
        {
            value = (value << 8) | item[isBig ? i : item.Length - 1 - i];
        }

        if (!isSigned)
        {
            return value;
        }

        // Shifts count modulo 64, as the machine's do: sizes beyond 8 keep what C computes.
        ulong mask = ulong.MaxValue << ((item.Length * 8) - 1);
        return (long)((value & mask) != 0 ? value | mask : value);
    }

    private static int Size(LuaThread t)
    {
        var reader = new Reader(t, t.CheckString(1).Span);
        long position = 0;
        while (reader.TryNext(out byte option, out int size))
        {
            position += reader.Padding(position, option, size);
            if (option == 's')
            {
                throw t.ArgError(1, "option 's' has no fixed size");
            }

            if (option == 'c' && size == 0)
            {
                throw t.ArgError(1, "option 'c0' has no fixed size");
            }

            if (!char.IsAsciiLetterOrDigit((char)option))
            {
                reader.Control(option);
            }

            position += size;
        }

        return t.Return((double)position);
    }
}
