using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb.Commands;

/// <summary>Commands for bitmaps: strings whose bits are numbered from the most significant of the first byte.</summary>
public static unsafe class BitmapCommands
{
    /// <summary>SETBIT key offset value</summary>
    public static readonly CommandSpec SetBit = new("setbit", 4)
    {
        Since = "2.2.0",
        Group = CommandGroup.Bitmap,
        Complexity = "O(1)",
        Summary = "Sets or clears the bit at offset of the string value. Creates the key if it doesn't exist.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Update)],
        Args = [Arg.Key("key"), Arg.Integer("offset"), Arg.Integer("value")],
        Handler = &RunSetBit,
    };

    /// <summary>GETBIT key offset</summary>
    public static readonly CommandSpec GetBit = new("getbit", 3)
    {
        Since = "2.2.0",
        Group = CommandGroup.Bitmap,
        Complexity = "O(1)",
        Summary = "Returns a bit value by offset.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Key("key"), Arg.Integer("offset")],
        Handler = &RunGetBit,
    };

    /// <summary>BITCOUNT key [start end [BYTE | BIT]]</summary>
    public static readonly CommandSpec BitCount = new("bitcount", -2)
    {
        Since = "2.6.0",
        Group = CommandGroup.Bitmap,
        Complexity = "O(N)",
        Summary = "Counts the number of set bits (population counting) in a string.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args =
        [
            Arg.Key("key"),
            Arg.Block("range", Arg.Integer("start"), Arg.Integer("end"), Arg.OneOf("unit", Arg.Word("byte", "BYTE"), Arg.Word("bit", "BIT")).Optional().Since("7.0.0")).Optional(),
        ],
        History = [("7.0.0", "Added the `BYTE|BIT` option.")],
        Handler = &RunBitCount,
    };

    /// <summary>BITPOS key bit [start [end [BYTE | BIT]]]</summary>
    public static readonly CommandSpec BitPos = new("bitpos", -3)
    {
        Since = "2.8.7",
        Group = CommandGroup.Bitmap,
        Complexity = "O(N)",
        Summary = "Finds the first set (1) or clear (0) bit in a string.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args =
        [
            Arg.Key("key"),
            Arg.Integer("bit"),
            Arg.Block("range", Arg.Integer("start"), Arg.Block("end-unit-block", Arg.Integer("end"), Arg.OneOf("unit", Arg.Word("byte", "BYTE"), Arg.Word("bit", "BIT")).Optional().Since("7.0.0")).Optional()).Optional(),
        ],
        History = [("7.0.0", "Added the `BYTE|BIT` option.")],
        Handler = &RunBitPos,
    };

    /// <summary>BITOP (AND | OR | XOR | NOT) destkey key …</summary>
    public static readonly CommandSpec BitOp = new("bitop", -4)
    {
        Since = "2.6.0",
        Group = CommandGroup.Bitmap,
        Complexity = "O(N)",
        Summary = "Performs bitwise operations on multiple strings, and stores the result.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom,
        Keys =
        [
            KeySpec.At(2, KeyAccess.Overwrite | KeyAccess.Update),
            KeySpec.At(3, KeyAccess.ReadOnly | KeyAccess.Access, last: -1),
        ],
        Args =
        [
            Arg.OneOf("operation", Arg.Word("and", "AND"), Arg.Word("or", "OR"), Arg.Word("xor", "XOR"), Arg.Word("not", "NOT")),
            Arg.Key("destkey"),
            Arg.Key("key", 1).Multiple(),
        ],
        Handler = &RunBitOp,
    };

    /// <summary>BITFIELD key [GET encoding offset | [OVERFLOW WRAP | SAT | FAIL] (SET encoding offset value | INCRBY encoding offset increment) …]</summary>
    public static readonly CommandSpec BitField = new("bitfield", -2)
    {
        Since = "3.2.0",
        Group = CommandGroup.Bitmap,
        Complexity = "O(1) for each subcommand specified",
        Summary = "Performs arbitrary bitfield integer operations on strings.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Update | KeyAccess.Access | KeyAccess.VariableFlags, notes: "This command allows both access and modification of the key")],
        Args =
        [
            Arg.Key("key"),
            Arg.OneOf("operation", Arg.Block("get-block", Arg.String("encoding"), Arg.Integer("offset")).Token("GET"), Arg.Block("write", Arg.OneOf("overflow-block", Arg.Word("wrap", "WRAP"), Arg.Word("sat", "SAT"), Arg.Word("fail", "FAIL")).Token("OVERFLOW").Optional(), Arg.OneOf("write-operation", Arg.Block("set-block", Arg.String("encoding"), Arg.Integer("offset"), Arg.Integer("value")).Token("SET"), Arg.Block("incrby-block", Arg.String("encoding"), Arg.Integer("offset"), Arg.Integer("increment")).Token("INCRBY")))).Optional().Multiple(),
        ],
        Handler = &RunBitField,
        FindKeys = FindBitFieldKeys,
    };

    /// <summary>BITFIELD_RO key [GET encoding offset …]</summary>
    public static readonly CommandSpec BitFieldRo = new("bitfield_ro", -2)
    {
        Since = "6.0.0",
        Group = CommandGroup.Bitmap,
        Complexity = "O(1) for each subcommand specified",
        Summary = "Performs arbitrary read-only bitfield integer operations on strings.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Key("key"), Arg.Block("get-block", Arg.String("encoding"), Arg.Integer("offset")).Token("GET").Optional().MultipleWithToken()],
        Handler = &RunBitFieldRo,
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All =>
    [
        SetBit, GetBit, BitCount, BitPos, BitOp, BitField, BitFieldRo,
    ];

    private static bool FindBitFieldKeys(ArgView args, List<KeyPosition> keys)
    {
        KeyAccess access = KeyAccess.ReadOnly | KeyAccess.Access;
        for (int i = 2; i < args.Count; i++)
        {
            if (args[i].EqualsIgnoreCase("SET"u8) || args[i].EqualsIgnoreCase("INCRBY"u8))
            {
                access = KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Update;
            }
        }

        keys.Add(new KeyPosition(1, access));
        return true;
    }

    // ------------------------------------------------------------------ single bits

    private static void RunSetBit(CommandContext c)
    {
        if (!TryOffset(c, 2, fieldWidth: 0, out long offset))
        {
            return;
        }

        if (!c[3].TryLong(out long on) || on is not (0 or 1))
        {
            c.Error(Errors.NotBit);
            return;
        }

        Key key = c.Key(1);
        if (!c.TryReadForWrite(key, DataType.String, out byte* record))
        {
            return;
        }

        KeepAsBytes(c, key, ref record);
        long old = (long)BitsAt(record, offset, 1, out bool grows);
        if (grows || old != on)
        {
            c.Effects.StringSetBit(key, offset, on != 0);
            c.Notify(KeyspaceEvents.String, "setbit"u8, key);
        }

        c.Reply.Integer(old);
    }

    private static void RunGetBit(CommandContext c)
    {
        if (TryOffset(c, 2, fieldWidth: 0, out long offset) && c.TryRead(c.Key(1), DataType.String, out byte* record))
        {
            c.Reply.Integer((long)BitsAt(record, offset, 1, out _));
        }
    }

    /// <summary>A string about to be written to is held as plain bytes, whatever becomes of the write.</summary>
    private static void KeepAsBytes(CommandContext c, in Key key, ref byte* record)
    {
        if (record != null && Record.Encoding(record) != (int)DataEncoding.Raw)
        {
            c.Effects.StringToBytes(key);
            record = c.Database.Peek(key);
        }
    }

    /// <summary>Bits of a string that may be missing or shorter; zeros stand for what is not there.</summary>
    private static ulong BitsAt(byte* record, long offset, int width, out bool isBeyond)
    {
        byte* digits = stackalloc byte[StringValue.MaxIntegerText];
        long length = 0;
        byte* bytes = record == null ? digits : StringValue.Bytes(record, digits, out length);
        isBeyond = (offset + width - 1) >> 3 >= length;
        return Bits.Read(bytes, length, offset, width);
    }

    /// <summary>Reads a bit offset, or replies that it is none; <c>#n</c> is the n-th field of a width, where fields are read.</summary>
    private static bool TryOffset(CommandContext c, int index, int fieldWidth, out long offset)
    {
        Slice word = c[index];
        bool counted = fieldWidth > 0 && word.Length > 0 && word[0] == '#';
        Slice digits = counted ? new Slice(word.Pointer + 1, word.Length - 1) : word;
        if (digits.TryLong(out offset))
        {
            offset = counted ? unchecked(offset * fieldWidth) : offset;
            if (offset >= 0 && offset >> 3 < c.Keyspace.Options.MaxStringBytes)
            {
                return true;
            }
        }

        c.Error(Errors.BitOffset);
        return false;
    }

    // ------------------------------------------------------------------ ranges

    private static void RunBitCount(CommandContext c)
    {
        if (!c.TryRead(c.Key(1), DataType.String, out byte* record))
        {
            return;
        }

        if (record == null)
        {
            c.Reply.Integer(0);
            return;
        }

        byte* digits = stackalloc byte[StringValue.MaxIntegerText];
        byte* bytes = StringValue.Bytes(record, digits, out long length);
        if (c.Count == 2)
        {
            c.Reply.Integer(Bits.Count(bytes, length));
            return;
        }

        if (c.Count is not (4 or 5))
        {
            c.Error(Errors.Syntax);
            return;
        }

        if (!c.TryLong(2, out long start) || !c.TryLong(3, out long end))
        {
            return;
        }

        if (start < 0 && end < 0 && start > end)
        {
            c.Reply.Integer(0);
            return;
        }

        bool inBits = false;
        if (c.Count == 5 && !TryUnit(c, 4, out inBits))
        {
            return;
        }

        c.Reply.Integer(ToBits(ref start, ref end, length, inBits) ? Bits.CountRange(bytes, start, end) : 0);
    }

    private static void RunBitPos(CommandContext c)
    {
        if (!c.TryLong(2, out long bit))
        {
            return;
        }

        if (bit is not (0 or 1))
        {
            c.Error(Errors.BitArgument);
            return;
        }

        byte* record = c.Database.Lookup(c.Key(1));
        if (record == null)
        {
            // Nothing is an endless row of zeros.
            c.Reply.Integer(bit == 0 ? 0 : -1);
            return;
        }

        if (Record.Type(record) != (int)DataType.String)
        {
            c.Error(Errors.WrongType);
            return;
        }

        byte* digits = stackalloc byte[StringValue.MaxIntegerText];
        byte* bytes = StringValue.Bytes(record, digits, out long length);
        long start = 0, end = -1;
        bool inBits = false;
        if (c.Count > 6)
        {
            c.Error(Errors.Syntax);
            return;
        }

        if ((c.Count > 3 && !c.TryLong(3, out start)) || (c.Count == 6 && !TryUnit(c, 5, out inBits)) || (c.Count > 4 && !c.TryLong(4, out end)))
        {
            return;
        }

        long position = -1;
        if (ToBits(ref start, ref end, length, inBits))
        {
            position = Bits.Find(bytes, start, end, bit != 0);
            if (position < 0 && bit == 0 && c.Count < 5)
            {
                // Without an end the string counts as followed by zeros.
                position = length << 3;
            }
        }

        c.Reply.Integer(position);
    }

    private static bool TryUnit(CommandContext c, int index, out bool inBits)
    {
        inBits = c.Is(index, "BIT"u8);
        if (inBits || c.Is(index, "BYTE"u8))
        {
            return true;
        }

        c.Error(Errors.Syntax);
        return false;
    }

    /// <summary>Makes a range of bytes or bits, negative ones counted from the end, one of bits within the string. False when it is empty.</summary>
    private static bool ToBits(ref long start, ref long end, long length, bool inBits)
    {
        long total = inBits ? length << 3 : length;
        start = Math.Max(start < 0 ? total + start : start, 0);
        end = Math.Min(Math.Max(end < 0 ? total + end : end, 0), total - 1);
        if (start > end)
        {
            return false;
        }

        if (!inBits)
        {
            start <<= 3;
            end = (end << 3) + 7;
        }

        return true;
    }

    // ------------------------------------------------------------------ BITOP

    private static void RunBitOp(CommandContext c)
    {
        BitOperation operation;
        if (c.Is(1, "AND"u8))
        {
            operation = BitOperation.And;
        }
        else if (c.Is(1, "OR"u8))
        {
            operation = BitOperation.Or;
        }
        else if (c.Is(1, "XOR"u8))
        {
            operation = BitOperation.Xor;
        }
        else if (c.Is(1, "NOT"u8))
        {
            operation = BitOperation.Not;
        }
        else
        {
            c.Error(Errors.Syntax);
            return;
        }

        if (operation == BitOperation.Not && c.Count != 4)
        {
            c.Error(Errors.BitOpNot);
            return;
        }

        bool isEmpty = true;
        for (int i = 3; i < c.Count; i++)
        {
            if (!c.TryRead(c.Key(i), DataType.String, out byte* source))
            {
                return;
            }

            isEmpty &= source == null || StringValue.Length(source) == 0;
        }

        Key destination = c.Key(2);
        if (isEmpty && c.Database.Peek(destination) == null)
        {
            c.Reply.Integer(0);
            return;
        }

        long length = c.Effects.StringBitOp(operation, destination, c.Args + 3, c.Count - 3);
        if (isEmpty)
        {
            c.Notify(KeyspaceEvents.Generic, "del"u8, destination);
        }
        else
        {
            c.Notify(KeyspaceEvents.String, "set"u8, destination);
        }

        c.Reply.Integer(length);
    }

    // ------------------------------------------------------------------ BITFIELD

    private enum Overflow
    {
        Wrap,
        Saturate,
        Fail,
    }

    private enum FieldOperation
    {
        Get,
        Set,
        Add,
    }

    /// <summary>Takes BITFIELD's operations off its words, one after another.</summary>
    private ref struct FieldOperations(CommandContext c)
    {
        private int _word = 2;

        public FieldOperation Operation { get; private set; }
        public Overflow Overflow { get; private set; }
        public bool IsSigned { get; private set; }
        public int Width { get; private set; }
        public long Offset { get; private set; }
        public long Value { get; private set; }

        /// <summary>Reads the next operation; false at the end, or after an error was replied.</summary>
        public bool Next()
        {
            while (_word < c.Count)
            {
                int following = c.Count - _word - 1;
                if (c.Is(_word, "OVERFLOW"u8) && following >= 1)
                {
                    if (!TryOverflow(_word + 1))
                    {
                        return false;
                    }

                    _word += 2;
                    continue;
                }

                bool isSet = c.Is(_word, "SET"u8), isAdd = c.Is(_word, "INCRBY"u8);
                if (!(c.Is(_word, "GET"u8) && following >= 2) && !((isSet || isAdd) && following >= 3))
                {
                    c.Error(Errors.Syntax);
                    return false;
                }

                Operation = isSet ? FieldOperation.Set : isAdd ? FieldOperation.Add : FieldOperation.Get;
                if (!TryType(_word + 1) || !TryOffset(c, _word + 2, Width, out long offset))
                {
                    return false;
                }

                Offset = offset;
                if (Operation != FieldOperation.Get)
                {
                    if (!c.TryLong(_word + 3, out long value))
                    {
                        return false;
                    }

                    Value = value;
                    _word++;
                }

                _word += 3;
                return true;
            }

            return false;
        }

        private bool TryOverflow(int index)
        {
            if (c.Is(index, "WRAP"u8))
            {
                Overflow = Overflow.Wrap;
            }
            else if (c.Is(index, "SAT"u8))
            {
                Overflow = Overflow.Saturate;
            }
            else if (c.Is(index, "FAIL"u8))
            {
                Overflow = Overflow.Fail;
            }
            else
            {
                c.Error(Errors.BitFieldOverflow);
                return false;
            }

            return true;
        }

        private bool TryType(int index)
        {
            Slice word = c[index];
            bool isSigned = word.Length > 0 && word[0] == 'i', isUnsigned = word.Length > 0 && word[0] == 'u';
            if ((isSigned || isUnsigned) && new Slice(word.Pointer + 1, word.Length - 1).TryLong(out long width) && width >= 1 && width <= (isSigned ? 64 : 63))
            {
                IsSigned = isSigned;
                Width = (int)width;
                return true;
            }

            c.Error(Errors.BitFieldType);
            return false;
        }
    }

    private static void RunBitField(CommandContext c) => RunFields(c, readOnly: false);

    private static void RunBitFieldRo(CommandContext c) => RunFields(c, readOnly: true);

    private static void RunFields(CommandContext c, bool readOnly)
    {
        // All is checked before anything is done; then the words are read once more.
        var operations = new FieldOperations(c);
        long count = 0, lastBit = -1;
        while (operations.Next())
        {
            count++;
            if (operations.Operation != FieldOperation.Get)
            {
                lastBit = Math.Max(lastBit, operations.Offset + operations.Width - 1);
            }
        }

        if (c.Failed)
        {
            return;
        }

        Key key = c.Key(1);
        byte* record;
        if (lastBit < 0)
        {
            if (!c.TryRead(key, DataType.String, out record))
            {
                return;
            }
        }
        else if (readOnly)
        {
            c.Error(Errors.BitFieldReadOnly);
            return;
        }
        else if (!c.TryReadForWrite(key, DataType.String, out record))
        {
            return;
        }

        if (lastBit >= 0)
        {
            KeepAsBytes(c, key, ref record);
        }

        // A string that is too short grows to the last bit named, and counts as changed by every operation.
        bool grows = lastBit >= 0 && lastBit >> 3 >= (record == null ? 0 : StringValue.Length(record));
        bool changed = false;
        c.Reply.Array(count);
        operations = new FieldOperations(c);
        while (operations.Next())
        {
            changed |= operations.Operation == FieldOperation.Get
                ? ReplyField(c, record, operations)
                : ChangeField(c, key, record, operations, grows);
            record = c.Database.Peek(key);
        }

        if (grows && (record == null || lastBit >> 3 >= StringValue.Length(record)))
        {
            // The operation that reaches furthest failed: the string grows all the same.
            c.Effects.StringSetBits(key, lastBit, 1, 0);
        }

        if (changed)
        {
            c.Notify(KeyspaceEvents.String, "setbit"u8, key);
        }
    }

    private static bool ReplyField(CommandContext c, byte* record, in FieldOperations field)
    {
        c.Reply.Integer(Extended(BitsAt(record, field.Offset, field.Width, out _), field));
        return false;
    }

    /// <summary>SET and INCRBY. Whether the value was changed.</summary>
    private static bool ChangeField(CommandContext c, in Key key, byte* record, in FieldOperations field, bool grows)
    {
        long old = Extended(BitsAt(record, field.Offset, field.Width, out _), field);
        bool isAdd = field.Operation == FieldOperation.Add;
        bool overflows = field.IsSigned
            ? OverflowsSigned(isAdd ? old : field.Value, isAdd ? field.Value : 0, field, out long value)
            : OverflowsUnsigned(isAdd ? old : field.Value, isAdd ? field.Value : 0, field, out value);
        if (overflows && field.Overflow == Overflow.Fail)
        {
            c.Reply.Null();
            return false;
        }

        c.Reply.Integer(isAdd ? value : old);
        if (!grows && value == old)
        {
            return false;
        }

        c.Effects.StringSetBits(key, field.Offset, field.Width, value);
        return true;
    }

    /// <summary>A field's bits as the number that they mean.</summary>
    private static long Extended(ulong bits, in FieldOperations field) =>
        field.IsSigned ? (long)(bits << (64 - field.Width)) >> (64 - field.Width) : (long)bits;

    /// <summary>Adds in a signed field; where the sum does not fit, <paramref name="result"/> is what the overflow rule makes of it.</summary>
    private static bool OverflowsSigned(long value, long delta, in FieldOperations field, out long result)
    {
        long max = long.MaxValue >> (64 - field.Width), min = -max - 1;
        // The room that is left is computed with wrap-around, as Redis does: a SET far below a narrow field's
        // range counts as above it, and saturates to the highest number.
        long roomAbove = unchecked(max - value), roomBelow = unchecked(min - value);
        bool narrow = field.Width != 64;
        bool above = value > max || (narrow && delta > roomAbove) || (value >= 0 && delta > 0 && delta > roomAbove);
        bool below = !above && (value < min || (narrow && delta < roomBelow) || (value < 0 && delta < 0 && delta < roomBelow));
        int unused = 64 - field.Width;
        result = field.Overflow == Overflow.Saturate && (above || below)
            ? above ? max : min
            : (long)((ulong)value + (ulong)delta) << unused >> unused;
        return above || below;
    }

    /// <summary>Adds in an unsigned field; where the sum does not fit, <paramref name="result"/> is what the overflow rule makes of it.</summary>
    private static bool OverflowsUnsigned(long value, long delta, in FieldOperations field, out long result)
    {
        // What SET gives counts as unsigned, so that a negative number is too large, not too small.
        ulong max = ulong.MaxValue >> (64 - field.Width);
        Int128 sum = (Int128)(ulong)value + delta;
        bool above = sum > max, below = sum < 0;
        result = field.Overflow == Overflow.Saturate && (above || below)
            ? above ? (long)max : 0
            : (long)(((ulong)value + (ulong)delta) & max);
        return above || below;
    }
}
