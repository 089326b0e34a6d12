using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb.Commands;

/// <summary>Commands for hashes.</summary>
public static unsafe class HashCommands
{
    /// <summary>HSET key field value …</summary>
    public static readonly CommandSpec HSet = new("hset", -4)
    {
        Since = "2.0.0",
        Group = CommandGroup.Hash,
        Complexity = "O(1) for each field/value pair added, so O(N) to add N field/value pairs when the command is called with multiple field/value pairs.",
        Summary = "Creates or modifies the value of a field in a hash.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Update)],
        Args = [Arg.Key("key"), Arg.Block("data", Arg.String("field"), Arg.String("value")).Multiple()],
        History = [("4.0.0", "Accepts multiple `field` and `value` arguments.")],
        Handler = &RunHSet,
    };

    /// <summary>HSETNX key field value</summary>
    public static readonly CommandSpec HSetNx = new("hsetnx", 4)
    {
        Since = "2.0.0",
        Group = CommandGroup.Hash,
        Complexity = "O(1)",
        Summary = "Sets the value of a field in a hash only when the field doesn't exist.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Insert)],
        Args = [Arg.Key("key"), Arg.String("field"), Arg.String("value")],
        Handler = &RunHSetNx,
    };

    /// <summary>HGET key field</summary>
    public static readonly CommandSpec HGet = new("hget", 3)
    {
        Since = "2.0.0",
        Group = CommandGroup.Hash,
        Complexity = "O(1)",
        Summary = "Returns the value of a field in a hash.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Key("key"), Arg.String("field")],
        Handler = &RunHGet,
    };

    /// <summary>HMGET key field …</summary>
    public static readonly CommandSpec HMGet = new("hmget", -3)
    {
        Since = "2.0.0",
        Group = CommandGroup.Hash,
        Complexity = "O(N) where N is the number of fields being requested.",
        Summary = "Returns the values of all fields in a hash.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Key("key"), Arg.String("field").Multiple()],
        Handler = &RunHMGet,
    };

    /// <summary>HMSET key field value …</summary>
    public static readonly CommandSpec HMSet = new("hmset", -4)
    {
        Since = "2.0.0",
        Group = CommandGroup.Hash,
        Complexity = "O(N) where N is the number of fields being set.",
        Summary = "Sets the values of multiple fields.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Update)],
        Args = [Arg.Key("key"), Arg.Block("data", Arg.String("field"), Arg.String("value")).Multiple()],
        DeprecatedSince = "4.0.0",
        ReplacedBy = "`HSET` with multiple field-value pairs",
        Handler = &RunHMSet,
    };

    /// <summary>HGETALL key</summary>
    public static readonly CommandSpec HGetAll = new("hgetall", 2)
    {
        Since = "2.0.0",
        Group = CommandGroup.Hash,
        Complexity = "O(N) where N is the size of the hash.",
        Summary = "Returns all fields and values in a hash.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Key("key")],
        Tips = ["nondeterministic_output_order"],
        Handler = &RunHGetAll,
    };

    /// <summary>HKEYS key</summary>
    public static readonly CommandSpec HKeys = new("hkeys", 2)
    {
        Since = "2.0.0",
        Group = CommandGroup.Hash,
        Complexity = "O(N) where N is the size of the hash.",
        Summary = "Returns all fields in a hash.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Key("key")],
        Tips = ["nondeterministic_output_order"],
        Handler = &RunHKeys,
    };

    /// <summary>HVALS key</summary>
    public static readonly CommandSpec HVals = new("hvals", 2)
    {
        Since = "2.0.0",
        Group = CommandGroup.Hash,
        Complexity = "O(N) where N is the size of the hash.",
        Summary = "Returns all values in a hash.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Key("key")],
        Tips = ["nondeterministic_output_order"],
        Handler = &RunHVals,
    };

    /// <summary>HLEN key</summary>
    public static readonly CommandSpec HLen = new("hlen", 2)
    {
        Since = "2.0.0",
        Group = CommandGroup.Hash,
        Complexity = "O(1)",
        Summary = "Returns the number of fields in a hash.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly)],
        Args = [Arg.Key("key")],
        Handler = &RunHLen,
    };

    /// <summary>HSTRLEN key field</summary>
    public static readonly CommandSpec HStrLen = new("hstrlen", 3)
    {
        Since = "3.2.0",
        Group = CommandGroup.Hash,
        Complexity = "O(1)",
        Summary = "Returns the length of the value of a field.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly)],
        Args = [Arg.Key("key"), Arg.String("field")],
        Handler = &RunHStrLen,
    };

    /// <summary>HDEL key field …</summary>
    public static readonly CommandSpec HDel = new("hdel", -3)
    {
        Since = "2.0.0",
        Group = CommandGroup.Hash,
        Complexity = "O(N) where N is the number of fields to be removed.",
        Summary = "Deletes one or more fields and their values from a hash. Deletes the hash if no fields remain.",
        Flags = CommandFlags.Write | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Delete)],
        Args = [Arg.Key("key"), Arg.String("field").Multiple()],
        History = [("2.4.0", "Accepts multiple `field` arguments.")],
        Handler = &RunHDel,
    };

    /// <summary>HEXISTS key field</summary>
    public static readonly CommandSpec HExists = new("hexists", 3)
    {
        Since = "2.0.0",
        Group = CommandGroup.Hash,
        Complexity = "O(1)",
        Summary = "Determines whether a field exists in a hash.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly)],
        Args = [Arg.Key("key"), Arg.String("field")],
        Handler = &RunHExists,
    };

    /// <summary>HINCRBY key field increment</summary>
    public static readonly CommandSpec HIncrBy = new("hincrby", 4)
    {
        Since = "2.0.0",
        Group = CommandGroup.Hash,
        Complexity = "O(1)",
        Summary = "Increments the integer value of a field in a hash by a number. Uses 0 as initial value if the field doesn't exist.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Update)],
        Args = [Arg.Key("key"), Arg.String("field"), Arg.Integer("increment")],
        Handler = &RunHIncrBy,
    };

    /// <summary>HINCRBYFLOAT key field increment</summary>
    public static readonly CommandSpec HIncrByFloat = new("hincrbyfloat", 4)
    {
        Since = "2.6.0",
        Group = CommandGroup.Hash,
        Complexity = "O(1)",
        Summary = "Increments the floating point value of a field by a number. Uses 0 as initial value if the field doesn't exist.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Update)],
        Args = [Arg.Key("key"), Arg.String("field"), Arg.Double("increment")],
        Handler = &RunHIncrByFloat,
    };

    /// <summary>HSCAN key cursor [MATCH pattern] [COUNT count]</summary>
    public static readonly CommandSpec HScan = new("hscan", -3)
    {
        Since = "2.8.0",
        Group = CommandGroup.Hash,
        Complexity = "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to return back to 0. N is the number of elements inside the collection.",
        Summary = "Iterates over fields and values of a hash.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args =
        [
            Arg.Key("key"),
            Arg.Integer("cursor"),
            Arg.Pattern("pattern").Token("MATCH").Optional(),
            Arg.Integer("count").Token("COUNT").Optional(),
            Arg.Word("novalues", "NOVALUES").Optional(),
        ],
        Tips = ["nondeterministic_output"],
        Handler = &RunHScan,
    };

    /// <summary>HRANDFIELD key [count [WITHVALUES]]</summary>
    public static readonly CommandSpec HRandField = new("hrandfield", -2)
    {
        Since = "6.2.0",
        Group = CommandGroup.Hash,
        Complexity = "O(N) where N is the number of fields returned",
        Summary = "Returns one or more random fields from a hash.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Key("key"), Arg.Block("options", Arg.Integer("count"), Arg.Word("withvalues", "WITHVALUES").Optional()).Optional()],
        Tips = ["nondeterministic_output"],
        Handler = &RunHRandField,
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All =>
    [
        HSet, HSetNx, HGet, HMGet, HMSet, HGetAll, HKeys, HVals, HLen, HStrLen, HDel, HExists, HIncrBy, HIncrByFloat, HScan, HRandField
    ];

    private static ReadOnlySpan<byte> NotInteger => "ERR hash value is not an integer"u8;

    private static ReadOnlySpan<byte> NotFloat => "ERR hash value is not a float"u8;

    private static ReadOnlySpan<byte> NotFinite => "ERR value is NaN or Infinity"u8;

    // ------------------------------------------------------------------ writing

    private static void RunHSet(CommandContext c)
    {
        if (TrySet(c, out int created))
        {
            c.Reply.Integer(created);
        }
    }

    private static void RunHMSet(CommandContext c)
    {
        if (TrySet(c, out _))
        {
            c.Reply.Ok();
        }
    }

    private static bool TrySet(CommandContext c, out int created)
    {
        created = 0;
        if ((c.Count & 1) != 0)
        {
            c.WrongArity();
            return false;
        }

        Key key = c.Key(1);
        if (!c.Effects.TryHashSet(key, c.Args + 2, (c.Count - 2) / 2, out created))
        {
            c.Error(Errors.WrongType);
            return false;
        }

        c.Notify(KeyspaceEvents.Hash, "hset"u8, key);
        return true;
    }

    private static void RunHSetNx(CommandContext c)
    {
        Key key = c.Key(1);
        if (!c.TryReadForWrite(key, DataType.Hash, out byte* record))
        {
            return;
        }

        Slice field = c[2], value = c[3];
        DropExpired(c, key, &field, 1, 1, ref record);
        if (record != null && new HashValue(c.Keyspace, record).Contains(field.Pointer, field.Length))
        {
            c.Reply.Integer(0);
            return;
        }

        c.Effects.HashSet(key, field.Pointer, field.Length, value.Pointer, value.Length);
        c.Notify(KeyspaceEvents.Hash, "hset"u8, key);
        c.Reply.Integer(1);
    }

    /// <summary>
    /// Before a write that goes by what fields hold: those among the named ones that have expired go, in an effect of their own, which stands
    /// in the log before the write's.
    /// </summary>
    internal static void DropExpired(CommandContext c, in Key key, Slice* fields, int count, int step, ref byte* record)
    {
        if (record == null || !new HashValue(c.Keyspace, record).MayExpire)
        {
            return;
        }

        for (int i = 0; i < count && record != null; i++)
        {
            Slice field = fields[i * step];
            if (new HashValue(c.Keyspace, record).TryExpiry(field.Pointer, field.Length, out long at) && at != 0 && at <= c.NowMs)
            {
                c.Effects.HashExpireFields(key, c.NowMs, &field, 1);
                record = c.Database.Peek(key);
            }
        }
    }

    private static void RunHDel(CommandContext c)
    {
        Key key = c.Key(1);
        if (!c.TryReadForWrite(key, DataType.Hash, out byte* record))
        {
            return;
        }

        int removed = 0;
        if (record != null)
        {
            long count = new HashValue(c.Keyspace, record).Count;
            removed = c.Effects.HashRemove(key, c.Args + 2, c.Count - 2);
            if (removed > 0)
            {
                c.Notify(KeyspaceEvents.Hash, "hdel"u8, key);
                if (removed == count)
                {
                    c.Notify(KeyspaceEvents.Generic, "del"u8, key);
                }
            }
        }

        c.Reply.Integer(removed);
    }

    private static void RunHIncrBy(CommandContext c)
    {
        Key key = c.Key(1);
        if (!c.TryLong(3, out long delta) || !c.TryReadForWrite(key, DataType.Hash, out byte* record))
        {
            return;
        }

        Slice field = c[2];
        DropExpired(c, key, &field, 1, 1, ref record);
        long value = 0;
        if (record != null && new HashValue(c.Keyspace, record).TryGet(field.Pointer, field.Length, out Element held) && !held.TryInteger(out value))
        {
            c.Error(NotInteger);
            return;
        }

        if (delta > 0 ? value > long.MaxValue - delta : value < long.MinValue - delta)
        {
            c.Error(Errors.IncrementOverflow);
            return;
        }

        c.Effects.HashAdd(key, field.Pointer, field.Length, delta);
        c.Notify(KeyspaceEvents.Hash, "hincrby"u8, key);
        c.Reply.Integer(value + delta);
    }

    private static void RunHIncrByFloat(CommandContext c)
    {
        if (!LongDouble.TryParse(c[3].Span, out LongDouble delta))
        {
            c.Error(Errors.NotFloat);
            return;
        }

        if (!delta.IsFinite)
        {
            c.Error(NotFinite);
            return;
        }

        Key key = c.Key(1);
        if (!c.TryReadForWrite(key, DataType.Hash, out byte* record))
        {
            return;
        }

        Slice field = c[2];
        DropExpired(c, key, &field, 1, 1, ref record);
        LongDouble value = default;
        if (record != null && new HashValue(c.Keyspace, record).TryGet(field.Pointer, field.Length, out Element held) && !TryFloat(held, out value))
        {
            c.Error(NotFloat);
            return;
        }

        value += delta;
        if (!value.IsFinite)
        {
            c.Error(Errors.IncrementNaN);
            return;
        }

        // Logged as what came out: the same digits everywhere, whoever replays it.
        byte* text = stackalloc byte[LongDouble.MaxLength];
        int written = value.Format(new Span<byte>(text, LongDouble.MaxLength));
        if (record != null && new HashValue(c.Keyspace, record).MayExpire)
        {
            Slice* pair = stackalloc Slice[] { field, new Slice(text, written) };
            c.Effects.HashSetKeepExpiry(key, pair, 1);
        }
        else
        {
            c.Effects.HashSet(key, field.Pointer, field.Length, text, written);
        }

        c.Notify(KeyspaceEvents.Hash, "hincrbyfloat"u8, key);
        c.Reply.Bulk(text, written);
    }

    private static bool TryFloat(in Element element, out LongDouble value)
    {
        byte* scratch = stackalloc byte[Element.ScratchSize];
        value = default;
        return element.Length < LongDouble.MaxLength && LongDouble.TryParse(element.Text(scratch).Span, out value);
    }

    // ------------------------------------------------------------------ reading

    private static void RunHGet(CommandContext c)
    {
        if (c.TryRead(c.Key(1), DataType.Hash, out byte* record))
        {
            ReplyField(c, record, c[2]);
        }
    }

    private static void RunHMGet(CommandContext c)
    {
        if (!c.TryRead(c.Key(1), DataType.Hash, out byte* record))
        {
            return;
        }

        c.Reply.Array(c.Count - 2);
        for (int i = 2; i < c.Count; i++)
        {
            ReplyField(c, record, c[i]);
        }
    }

    private static void ReplyField(CommandContext c, byte* record, Slice field)
    {
        if (record != null && new HashValue(c.Keyspace, record).TryGet(field.Pointer, field.Length, out Element value))
        {
            value.Reply(c.Reply);
        }
        else
        {
            c.Reply.Null();
        }
    }

    private static void RunHGetAll(CommandContext c)
    {
        if (!c.TryRead(c.Key(1), DataType.Hash, out byte* record))
        {
            return;
        }

        if (record == null)
        {
            c.Reply.Map(0);
            return;
        }

        var hash = new HashValue(c.Keyspace, record);
        c.Reply.Map(hash.LiveCount);
        using HashValue.Enumerator fields = hash.Walk();
        while (fields.MoveNext())
        {
            fields.Field.Reply(c.Reply);
            fields.Value.Reply(c.Reply);
        }
    }

    private static void RunHKeys(CommandContext c) => ReplyHalf(c, values: false);

    private static void RunHVals(CommandContext c) => ReplyHalf(c, values: true);

    /// <summary>HKEYS and HVALS.</summary>
    private static void ReplyHalf(CommandContext c, bool values)
    {
        if (!c.TryRead(c.Key(1), DataType.Hash, out byte* record))
        {
            return;
        }

        if (record == null)
        {
            c.Reply.EmptyArray();
            return;
        }

        var hash = new HashValue(c.Keyspace, record);
        c.Reply.Array(hash.LiveCount);
        using HashValue.Enumerator fields = hash.Walk();
        while (fields.MoveNext())
        {
            (values ? fields.Value : fields.Field).Reply(c.Reply);
        }
    }

    private static void RunHLen(CommandContext c)
    {
        if (c.TryRead(c.Key(1), DataType.Hash, out byte* record))
        {
            c.Reply.Integer(record == null ? 0 : new HashValue(c.Keyspace, record).Count);
        }
    }

    private static void RunHStrLen(CommandContext c)
    {
        if (c.TryRead(c.Key(1), DataType.Hash, out byte* record))
        {
            c.Reply.Integer(record != null && new HashValue(c.Keyspace, record).TryGet(c[2].Pointer, c[2].Length, out Element value) ? value.TextLength : 0);
        }
    }

    private static void RunHExists(CommandContext c)
    {
        if (c.TryRead(c.Key(1), DataType.Hash, out byte* record))
        {
            c.Reply.Integer(record != null && new HashValue(c.Keyspace, record).Contains(c[2].Pointer, c[2].Length) ? 1 : 0);
        }
    }

    private static void RunHScan(CommandContext c)
    {
        if (!CollectionScan.TryStart(c, DataType.Hash, out byte* record, out CollectionScan scan))
        {
            return;
        }

        var hash = new HashValue(c.Keyspace, record);
        if (hash.Table == null)
        {
            scan.TakeAll();
            scan.BeginReply();
            using HashValue.Enumerator fields = hash.Walk();
            while (fields.MoveNext())
            {
                if (scan.Matches(fields.Field))
                {
                    scan.Reply(fields.Field);
                    if (!scan.NamesOnly)
                    {
                        scan.Reply(fields.Value);
                    }
                }
            }
        }
        else
        {
            NativeList<nint> records = default;
            scan.Take(hash.Table, ref records);
            scan.BeginReply();
            foreach (nint pointer in records.Span)
            {
                Element field = Element.OfKey((byte*)pointer);
                if (scan.Matches(field) && hash.IsLive((byte*)pointer))
                {
                    scan.Reply(field);
                    if (!scan.NamesOnly)
                    {
                        scan.Reply(Element.OfValue((byte*)pointer));
                    }
                }
            }

            records.Dispose();
        }

        scan.EndReply();
    }

    // ------------------------------------------------------------------ chance

    private static void RunHRandField(CommandContext c)
    {
        if (c.Count >= 3)
        {
            RandomFields(c);
            return;
        }

        if (!c.TryRead(c.Key(1), DataType.Hash, out byte* record))
        {
            return;
        }

        DropAllExpired(c, ref record);
        if (record != null && new HashValue(c.Keyspace, record).Random(ref c.Keyspace.Random, out Element field, out _))
        {
            field.Reply(c.Reply);
        }
        else
        {
            c.Reply.Null();
        }
    }

    /// <summary>A draw goes over all fields: those that have expired go first. Only the writer's do; a follower draws among the others.</summary>
    private static void DropAllExpired(CommandContext c, ref byte* record)
    {
        if (record != null && c.Keyspace.IsWriter && !c.Keyspace.IsFrozen && new HashValue(c.Keyspace, record).MayExpire)
        {
            Key key = c.Key(1);
            c.Keyspace.FieldExpiry.Expire(c.Database, key, int.MaxValue);
            record = c.Database.Peek(key);
        }
    }

    private static void RandomFields(CommandContext c)
    {
        if (!RandomCount.TryRead(c, 2, out long count))
        {
            return;
        }

        bool withValues = c.Count == 4 && c.Is(3, "WITHVALUES"u8);
        if (c.Count > 4 || (c.Count == 4 && !withValues))
        {
            c.Error(Errors.Syntax);
            return;
        }

        if (withValues && count is < -(long.MaxValue / 2) or > long.MaxValue / 2)
        {
            c.Error(Errors.OutOfRange);
            return;
        }

        if (!c.TryRead(c.Key(1), DataType.Hash, out byte* record))
        {
            return;
        }

        DropAllExpired(c, ref record);
        long size = record == null ? 0 : new HashValue(c.Keyspace, record).LiveCount;
        if (size == 0 || count == 0)
        {
            c.Reply.EmptyArray();
            return;
        }

        var hash = new HashValue(c.Keyspace, record);
        long replied = count < 0 ? -count : Math.Min(count, size);
        c.Reply.Array(withValues && c.Reply.Version == 2 ? replied * 2 : replied);
        if (count < 0 || count == 1)
        {
            for (; RandomCount.MayDraw(c, replied); replied--)
            {
                hash.Random(ref c.Keyspace.Random, out Element field, out Element value);
                ReplyPair(c, field, value, withValues);
            }
        }
        else if (hash.Table == null || size != hash.Count || replied > size / RandomCount.WalkFactor)
        {
            var selection = new Selection(size, replied);
            using HashValue.Enumerator fields = hash.Walk();
            while (selection.Wanted > 0 && fields.MoveNext())
            {
                if (selection.Takes(ref c.Keyspace.Random))
                {
                    ReplyPair(c, fields.Field, fields.Value, withValues);
                }
            }
        }
        else
        {
            var drawn = new HashSet<nint>((int)replied);
            while (drawn.Count < replied)
            {
                byte* element = hash.Table->Random(ref c.Keyspace.Random);
                if (drawn.Add((nint)element))
                {
                    ReplyPair(c, Element.OfKey(element), Element.OfValue(element), withValues);
                }
            }
        }
    }

    private static void ReplyPair(CommandContext c, in Element field, in Element value, bool withValue)
    {
        if (withValue && c.Reply.Version > 2)
        {
            c.Reply.Array(2);
        }

        field.Reply(c.Reply);
        if (withValue)
        {
            value.Reply(c.Reply);
        }
    }
}
