using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb.Commands;

/// <summary>Commands for the expiry of hashes' fields: those of Redis 7.4, and the ones of 8.0 that read, write or take fields with it.</summary>
public static unsafe class HashExpiryCommands
{
    private static readonly Arg _condition = Arg.OneOf("condition", Arg.Word("nx", "NX"), Arg.Word("xx", "XX"), Arg.Word("gt", "GT"), Arg.Word("lt", "LT")).Optional();
    private static readonly Arg _fields = Arg.Block("fields", Arg.Integer("numfields"), Arg.String("field").Multiple()).Token("FIELDS");

    /// <summary>HEXPIRE key seconds [(NX | XX | GT | LT)] FIELDS numfields field …</summary>
    public static readonly CommandSpec HExpire = new("hexpire", -6)
    {
        Since = "7.4.0",
        Group = CommandGroup.Hash,
        Complexity = "O(N) where N is the number of specified fields",
        Summary = "Set expiry for hash field using relative time to expire (seconds)",
        Flags = CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Update)],
        Args =
        [
            Arg.Key("key"),
            Arg.Integer("seconds"),
            _condition,
            _fields,
        ],
        Handler = &RunHExpire,
    };

    /// <summary>HPEXPIRE key milliseconds [(NX | XX | GT | LT)] FIELDS numfields field …</summary>
    public static readonly CommandSpec HPExpire = new("hpexpire", -6)
    {
        Since = "7.4.0",
        Group = CommandGroup.Hash,
        Complexity = "O(N) where N is the number of specified fields",
        Summary = "Set expiry for hash field using relative time to expire (milliseconds)",
        Flags = CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Update)],
        Args =
        [
            Arg.Key("key"),
            Arg.Integer("milliseconds"),
            _condition,
            _fields,
        ],
        Handler = &RunHPExpire,
    };

    /// <summary>HEXPIREAT key unix-time-seconds [(NX | XX | GT | LT)] FIELDS numfields field …</summary>
    public static readonly CommandSpec HExpireAt = new("hexpireat", -6)
    {
        Since = "7.4.0",
        Group = CommandGroup.Hash,
        Complexity = "O(N) where N is the number of specified fields",
        Summary = "Set expiry for hash field using an absolute Unix timestamp (seconds)",
        Flags = CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Update)],
        Args =
        [
            Arg.Key("key"),
            Arg.UnixTime("unix-time-seconds"),
            _condition,
            _fields,
        ],
        Handler = &RunHExpireAt,
    };

    /// <summary>HPEXPIREAT key unix-time-milliseconds [(NX | XX | GT | LT)] FIELDS numfields field …</summary>
    public static readonly CommandSpec HPExpireAt = new("hpexpireat", -6)
    {
        Since = "7.4.0",
        Group = CommandGroup.Hash,
        Complexity = "O(N) where N is the number of specified fields",
        Summary = "Set expiry for hash field using an absolute Unix timestamp (milliseconds)",
        Flags = CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Update)],
        Args =
        [
            Arg.Key("key"),
            Arg.UnixTime("unix-time-milliseconds"),
            _condition,
            _fields,
        ],
        Handler = &RunHPExpireAt,
    };

    /// <summary>HTTL key FIELDS numfields field …</summary>
    public static readonly CommandSpec HTtl = new("httl", -5)
    {
        Since = "7.4.0",
        Group = CommandGroup.Hash,
        Complexity = "O(N) where N is the number of specified fields",
        Summary = "Returns the TTL in seconds of a hash field.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args =
        [
            Arg.Key("key"),
            _fields,
        ],
        Tips = ["nondeterministic_output"],
        Handler = &RunHTtl,
    };

    /// <summary>HPTTL key FIELDS numfields field …</summary>
    public static readonly CommandSpec HPTtl = new("hpttl", -5)
    {
        Since = "7.4.0",
        Group = CommandGroup.Hash,
        Complexity = "O(N) where N is the number of specified fields",
        Summary = "Returns the TTL in milliseconds of a hash field.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args =
        [
            Arg.Key("key"),
            _fields,
        ],
        Tips = ["nondeterministic_output"],
        Handler = &RunHPTtl,
    };

    /// <summary>HEXPIRETIME key FIELDS numfields field …</summary>
    public static readonly CommandSpec HExpireTime = new("hexpiretime", -5)
    {
        Since = "7.4.0",
        Group = CommandGroup.Hash,
        Complexity = "O(N) where N is the number of specified fields",
        Summary = "Returns the expiration time of a hash field as a Unix timestamp, in seconds.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args =
        [
            Arg.Key("key"),
            _fields,
        ],
        Handler = &RunHExpireTime,
    };

    /// <summary>HPEXPIRETIME key FIELDS numfields field …</summary>
    public static readonly CommandSpec HPExpireTime = new("hpexpiretime", -5)
    {
        Since = "7.4.0",
        Group = CommandGroup.Hash,
        Complexity = "O(N) where N is the number of specified fields",
        Summary = "Returns the expiration time of a hash field as a Unix timestamp, in msec.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args =
        [
            Arg.Key("key"),
            _fields,
        ],
        Handler = &RunHPExpireTime,
    };

    /// <summary>HPERSIST key FIELDS numfields field …</summary>
    public static readonly CommandSpec HPersist = new("hpersist", -5)
    {
        Since = "7.4.0",
        Group = CommandGroup.Hash,
        Complexity = "O(N) where N is the number of specified fields",
        Summary = "Removes the expiration time for each specified field",
        Flags = CommandFlags.Write | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Update)],
        Args =
        [
            Arg.Key("key"),
            _fields,
        ],
        Handler = &RunHPersist,
    };

    /// <summary>HGETEX key [(EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST)] FIELDS numfields field …</summary>
    public static readonly CommandSpec HGetEx = new("hgetex", -5)
    {
        Since = "8.0.0",
        Group = CommandGroup.Hash,
        Complexity = "O(N) where N is the number of specified fields",
        Summary = "Get the value of one or more fields of a given hash key, and optionally set their expiration.",
        Flags = CommandFlags.Write | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Update, notes: "RW and UPDATE because it changes the TTL")],
        Args =
        [
            Arg.Key("key"),
            Arg.OneOf("expiration", Arg.Integer("seconds").Token("EX"), Arg.Integer("milliseconds").Token("PX"), Arg.UnixTime("unix-time-seconds").Token("EXAT"), Arg.UnixTime("unix-time-milliseconds").Token("PXAT"), Arg.Word("persist", "PERSIST")).Optional(),
            _fields,
        ],
        Handler = &RunHGetEx,
    };

    /// <summary>HSETEX key [(FNX | FXX)] [(EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL)] FIELDS numfields field value …</summary>
    public static readonly CommandSpec HSetEx = new("hsetex", -6)
    {
        Since = "8.0.0",
        Group = CommandGroup.Hash,
        Complexity = "O(N) where N is the number of fields being set.",
        Summary = "Set the value of one or more fields of a given hash key, and optionally set their expiration.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Update)],
        Args =
        [
            Arg.Key("key"),
            Arg.OneOf("condition", Arg.Word("fnx", "FNX"), Arg.Word("fxx", "FXX")).Optional(),
            Arg.OneOf("expiration", Arg.Integer("seconds").Token("EX"), Arg.Integer("milliseconds").Token("PX"), Arg.UnixTime("unix-time-seconds").Token("EXAT"), Arg.UnixTime("unix-time-milliseconds").Token("PXAT"), Arg.Word("keepttl", "KEEPTTL")).Optional(),
            Arg.Block("fields", Arg.Integer("numfields"), Arg.Block("data", Arg.String("field"), Arg.String("value")).Multiple()).Token("FIELDS"),
        ],
        Handler = &RunHSetEx,
    };

    /// <summary>HGETDEL key FIELDS numfields field …</summary>
    public static readonly CommandSpec HGetDel = new("hgetdel", -5)
    {
        Since = "8.0.0",
        Group = CommandGroup.Hash,
        Complexity = "O(N) where N is the number of specified fields",
        Summary = "Returns the value of a field and deletes it from the hash.",
        Flags = CommandFlags.Write | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Delete)],
        Args =
        [
            Arg.Key("key"),
            _fields,
        ],
        Handler = &RunHGetDel,
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All =>
        [HExpire, HPExpire, HExpireAt, HPExpireAt, HTtl, HPTtl, HExpireTime, HPExpireTime, HPersist, HGetEx, HSetEx, HGetDel];

    /// <summary>What a field's part of a reply can be.</summary>
    private const int NoField = -2, NoExpiry = -1, NotMet = 0, Done = 1, Deleted = 2;

    /// <summary>The latest instant, in Unix milliseconds: 46 bits, as in Redis.</summary>
    private const long LastInstant = (1L << 46) - 1;

    /// <summary>Fields that go into one effect; a name that comes twice is looked at again after its effect.</summary>
    private const int FieldsAtOnce = 32;

    private enum Condition
    {
        None,
        IfNone,
        IfAny,
        IfGreater,
        IfLess,
    }

    // ------------------------------------------------------------------ arguments

    /// <summary>Reads an instant that is given in a unit, from now on or absolute; or replies the error.</summary>
    private static bool TryInstant(CommandContext c, int index, bool seconds, bool relative, out long at)
    {
        if (!c.TryLong(index, out at))
        {
            return false;
        }

        if (at < 0)
        {
            c.Error("ERR invalid expire time, must be >= 0"u8);
            return false;
        }

        long origin = relative ? c.NowMs : 0;
        if ((seconds && at > LastInstant / 1000) || (seconds ? at * 1000 : at) > LastInstant - origin)
        {
            c.Error($"ERR invalid expire time in '{c.Spec.FullName}' command");
            return false;
        }

        at = (seconds ? at * 1000 : at) + origin;
        return true;
    }

    /// <summary>Reads <c>FIELDS numfields field …</c>, which ends the command; or replies the error.</summary>
    private static bool TryFields(CommandContext c, int index, ReadOnlySpan<byte> notPositive)
    {
        if (index >= c.Count || !c.Is(index, "FIELDS"u8))
        {
            c.Error("ERR Mandatory argument FIELDS is missing or not at the right position"u8);
            return false;
        }

        if (index + 1 >= c.Count)
        {
            c.WrongArity();
            return false;
        }

        if (!c.TryLong(index + 1, 1, long.MaxValue, notPositive, out long count))
        {
            return false;
        }

        if (count != c.Count - index - 2)
        {
            c.Error("ERR The `numfields` parameter must match the number of arguments"u8);
            return false;
        }

        return true;
    }

    private static bool TryHash(CommandContext c, in Key key, out byte* record) => c.TryReadForWrite(key, DataType.Hash, out record);

    /// <summary>Whether a field is there and has not expired; if so, when it does (0: never).</summary>
    private static bool IsThere(CommandContext c, byte* record, Slice field, out long at)
    {
        at = 0;
        return record != null && new HashValue(c.Keyspace, record).TryExpiry(field.Pointer, field.Length, out at) && (at == 0 || at > c.NowMs);
    }

    // ------------------------------------------------------------------ setting

    private static void RunHExpire(CommandContext c) => Expire(c, seconds: true, relative: true);

    private static void RunHPExpire(CommandContext c) => Expire(c, seconds: false, relative: true);

    private static void RunHExpireAt(CommandContext c) => Expire(c, seconds: true, relative: false);

    private static void RunHPExpireAt(CommandContext c) => Expire(c, seconds: false, relative: false);

    private static void Expire(CommandContext c, bool seconds, bool relative)
    {
        Key key = c.Key(1);
        if (!TryHash(c, key, out byte* record) || !TryInstant(c, 2, seconds, relative, out long at))
        {
            return;
        }

        Condition condition = c.Is(3, "NX"u8) ? Condition.IfNone : c.Is(3, "XX"u8) ? Condition.IfAny
            : c.Is(3, "GT"u8) ? Condition.IfGreater : c.Is(3, "LT"u8) ? Condition.IfLess : Condition.None;
        int first = condition == Condition.None ? 3 : 4;
        if (!TryFields(c, first, "ERR Parameter `numFields` should be greater than 0"u8))
        {
            return;
        }

        first += 2;
        c.Reply.Array(c.Count - first);
        Slice* pending = stackalloc Slice[FieldsAtOnce];
        int waiting = 0, done = 0;
        for (int i = first; i < c.Count; i++)
        {
            Slice field = c[i];
            if (waiting == FieldsAtOnce || Holds(pending, waiting, field))
            {
                done += Apply(c, key, at, pending, ref waiting);
                record = c.Database.Peek(key);
            }

            if (!IsThere(c, record, field, out long previous))
            {
                c.Reply.Integer(NoField);
            }
            else if (!IsMet(condition, previous, at))
            {
                c.Reply.Integer(NotMet);
            }
            else
            {
                c.Reply.Integer(at <= c.NowMs ? Deleted : Done);
                pending[waiting++] = field;
            }
        }

        done += Apply(c, key, at, pending, ref waiting);
        if (done > 0)
        {
            NotifyExpiry(c, key, at);
        }
    }

    private static bool IsMet(Condition condition, long previous, long at) => condition switch
    {
        Condition.IfNone => previous == 0,
        Condition.IfAny => previous != 0,
        Condition.IfGreater => previous != 0 && previous < at,
        Condition.IfLess => previous == 0 || previous > at,
        _ => true,
    };

    private static bool Holds(Slice* fields, int count, Slice field)
    {
        for (int i = 0; i < count; i++)
        {
            if (fields[i].Length == field.Length && fields[i].Span.SequenceEqual(field.Span))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Fields get an instant; where that is past, they go.</summary>
    private static int Apply(CommandContext c, in Key key, long at, Slice* fields, ref int count)
    {
        int applied = count;
        count = 0;
        if (applied > 0 && at <= c.NowMs)
        {
            c.Keyspace.Stats.ExpiredFields += c.Effects.HashRemove(key, fields, applied);
        }
        else if (applied > 0)
        {
            c.Effects.HashExpireAt(key, at, fields, applied);
        }

        return applied;
    }

    private static void NotifyExpiry(CommandContext c, in Key key, long at)
    {
        c.Notify(KeyspaceEvents.Hash, at <= c.NowMs ? "hdel"u8 : "hexpire"u8, key);
        if (at <= c.NowMs)
        {
            NotifyGone(c, key);
        }
    }

    private static void NotifyGone(CommandContext c, in Key key)
    {
        if (c.Database.Peek(key) == null)
        {
            c.Notify(KeyspaceEvents.Generic, "del"u8, key);
        }
    }

    private static void RunHPersist(CommandContext c)
    {
        Key key = c.Key(1);
        if (!TryHash(c, key, out byte* record) || !TryFields(c, 2, "ERR Number of fields must be a positive integer"u8))
        {
            return;
        }

        c.Reply.Array(c.Count - 4);
        bool changed = false;
        for (int i = 4; i < c.Count; i++)
        {
            Slice field = c[i];
            if (!IsThere(c, record, field, out long at))
            {
                c.Reply.Integer(NoField);
            }
            else if (at == 0)
            {
                c.Reply.Integer(NoExpiry);
            }
            else
            {
                c.Effects.HashPersist(key, &field, 1);
                record = c.Database.Peek(key);
                changed = true;
                c.Reply.Integer(Done);
            }
        }

        if (changed)
        {
            c.Notify(KeyspaceEvents.Hash, "hpersist"u8, key);
        }
    }

    // ------------------------------------------------------------------ asking

    private static void RunHTtl(CommandContext c) => Ttl(c, seconds: true, relative: true);

    private static void RunHPTtl(CommandContext c) => Ttl(c, seconds: false, relative: true);

    private static void RunHExpireTime(CommandContext c) => Ttl(c, seconds: true, relative: false);

    private static void RunHPExpireTime(CommandContext c) => Ttl(c, seconds: false, relative: false);

    private static void Ttl(CommandContext c, bool seconds, bool relative)
    {
        if (!c.TryRead(c.Key(1), DataType.Hash, out byte* record) || !TryFields(c, 2, "ERR Number of fields must be a positive integer"u8))
        {
            return;
        }

        long origin = relative ? c.NowMs : 0;
        c.Reply.Array(c.Count - 4);
        for (int i = 4; i < c.Count; i++)
        {
            if (!IsThere(c, record, c[i], out long at))
            {
                c.Reply.Integer(NoField);
            }
            else if (at == 0)
            {
                c.Reply.Integer(NoExpiry);
            }
            else
            {
                c.Reply.Integer(seconds ? (at + 999 - origin) / 1000 : at - origin);
            }
        }
    }

    // ------------------------------------------------------------------ with values

    /// <summary>What HGETEX and HSETEX say of expiry.</summary>
    private struct Options
    {
        public bool HasInstant, Keeps, Persists, IfNoneExists, IfAllExist;
        public long At;
        public int First, Fields;
    }

    /// <summary>Reads the options and <c>FIELDS numfields …</c>, of one or two words a field; or replies the error.</summary>
    private static bool TryOptions(CommandContext c, int wordsPerField, out Options options)
    {
        options = default;
        bool sets = wordsPerField == 2;
        for (int i = 2; i < c.Count; i++)
        {
            bool isExpiry = c.Is(i, "EX"u8) || c.Is(i, "PX"u8) || c.Is(i, "EXAT"u8) || c.Is(i, "PXAT"u8);
            if (c.Is(i, "FIELDS"u8))
            {
                return TryCount(c, i, wordsPerField, ref options);
            }

            if (isExpiry || (sets ? c.Is(i, "KEEPTTL"u8) : c.Is(i, "PERSIST"u8)))
            {
                if (options.HasInstant || options.Keeps || options.Persists)
                {
                    c.Error($"ERR Only one of EX, PX, EXAT, PXAT or {(sets ? "KEEPTTL" : "PERSIST")} arguments can be specified");
                    return false;
                }

                options.Keeps = !isExpiry && sets;
                options.Persists = !isExpiry && !sets;
                options.HasInstant = isExpiry;
                if (isExpiry && i + 1 >= c.Count)
                {
                    c.Error("ERR missing expire time"u8);
                    return false;
                }

                if (isExpiry && !TryInstant(c, i + 1, c.Is(i, "EX"u8) || c.Is(i, "EXAT"u8), c[i].Length == 2, out options.At))
                {
                    return false;
                }

                i += isExpiry ? 1 : 0;
            }
            else if (sets && (c.Is(i, "FNX"u8) || c.Is(i, "FXX"u8)))
            {
                if (options.IfNoneExists || options.IfAllExist)
                {
                    c.Error("ERR Only one of FXX or FNX arguments can be specified"u8);
                    return false;
                }

                options.IfNoneExists = c.Is(i, "FNX"u8);
                options.IfAllExist = !options.IfNoneExists;
            }
            else
            {
                c.Error($"ERR unknown argument: {c.TextToZero(i)}");
                return false;
            }
        }

        c.Error("ERR missing FIELDS argument"u8);
        return false;
    }

    private static bool TryCount(CommandContext c, int index, int wordsPerField, ref Options options)
    {
        options.First = index + 2;
        if (options.First >= c.Count)
        {
            c.WrongArity();
            return false;
        }

        if (!c.TryLong(index + 1, 1, int.MaxValue, "ERR invalid number of fields"u8, out long count))
        {
            return false;
        }

        options.Fields = (int)count;
        if (count * wordsPerField != c.Count - options.First)
        {
            c.WrongArity();
            return false;
        }

        return true;
    }

    private static void RunHGetEx(CommandContext c)
    {
        Key key = c.Key(1);
        if (!TryHash(c, key, out byte* record) || !TryOptions(c, 1, out Options options))
        {
            return;
        }

        c.Reply.Array(options.Fields);
        bool changed = false;
        for (int i = 0; i < options.Fields; i++)
        {
            Slice field = c[options.First + i];
            if (!IsThere(c, record, field, out long previous))
            {
                c.Reply.Null();
                continue;
            }

            new HashValue(c.Keyspace, record).TryGet(field.Pointer, field.Length, out Element value);
            value.Reply(c.Reply);
            int one = 1;
            if (options.HasInstant)
            {
                Apply(c, key, options.At, &field, ref one);
                changed = true;
            }
            else if (options.Persists && previous != 0)
            {
                c.Effects.HashPersist(key, &field, 1);
                changed = true;
            }

            record = c.Database.Peek(key);
        }

        if (changed && options.HasInstant)
        {
            NotifyExpiry(c, key, options.At);
        }
        else if (changed)
        {
            c.Notify(KeyspaceEvents.Hash, "hpersist"u8, key);
        }
    }

    private static void RunHSetEx(CommandContext c)
    {
        Key key = c.Key(1);
        if (!TryHash(c, key, out byte* record) || !TryOptions(c, 2, out Options options))
        {
            return;
        }

        for (int i = 0; i < options.Fields && (options.IfNoneExists || options.IfAllExist); i++)
        {
            if (IsThere(c, record, c[options.First + (2 * i)], out _) == options.IfNoneExists)
            {
                c.Reply.Integer(0);
                return;
            }
        }

        Slice* pairs = c.Args + options.First;
        if (options.HasInstant && options.At <= c.NowMs)
        {
            // They would be gone as soon as they were there.
            RemoveNamed(c, key, record, pairs, options.Fields);
        }
        else if (options.Keeps)
        {
            HashCommands.DropExpired(c, key, pairs, options.Fields, 2, ref record);
            c.Effects.HashSetKeepExpiry(key, pairs, options.Fields);
            c.Notify(KeyspaceEvents.Hash, "hset"u8, key);
        }
        else
        {
            c.Effects.HashSetMany(key, pairs, options.Fields);
            c.Notify(KeyspaceEvents.Hash, "hset"u8, key);
            if (options.HasInstant)
            {
                using var names = new ArgBuffer();
                for (int i = 0; i < options.Fields; i++)
                {
                    names.Add(pairs[2 * i]);
                }

                c.Effects.HashExpireAt(key, options.At, names.Pointer, names.Count);
                c.Notify(KeyspaceEvents.Hash, "hexpire"u8, key);
            }
        }

        c.Reply.Integer(1);
    }

    private static void RemoveNamed(CommandContext c, in Key key, byte* record, Slice* pairs, int count)
    {
        if (record == null)
        {
            return;
        }

        using var names = new ArgBuffer();
        for (int i = 0; i < count; i++)
        {
            names.Add(pairs[2 * i]);
        }

        if (c.Effects.HashRemove(key, names.Pointer, names.Count) > 0)
        {
            c.Notify(KeyspaceEvents.Hash, "hdel"u8, key);
            NotifyGone(c, key);
        }
    }

    private static void RunHGetDel(CommandContext c)
    {
        Key key = c.Key(1);
        if (!TryHash(c, key, out byte* record) || !TryFields(c, 2, "ERR Number of fields must be a positive integer"u8))
        {
            return;
        }

        c.Reply.Array(c.Count - 4);
        Slice* pending = stackalloc Slice[FieldsAtOnce];
        int waiting = 0, removed = 0;
        for (int i = 4; i < c.Count; i++)
        {
            Slice field = c[i];
            if (waiting == FieldsAtOnce || Holds(pending, waiting, field))
            {
                removed += Take(c, key, pending, ref waiting);
                record = c.Database.Peek(key);
            }

            if (IsThere(c, record, field, out _) && new HashValue(c.Keyspace, record).TryGet(field.Pointer, field.Length, out Element value))
            {
                value.Reply(c.Reply);
                pending[waiting++] = field;
            }
            else
            {
                c.Reply.Null();
            }
        }

        removed += Take(c, key, pending, ref waiting);
        if (removed > 0)
        {
            c.Notify(KeyspaceEvents.Hash, "hdel"u8, key);
            NotifyGone(c, key);
        }
    }

    private static int Take(CommandContext c, in Key key, Slice* fields, ref int count)
    {
        int taken = count > 0 ? c.Effects.HashRemove(key, fields, count) : 0;
        count = 0;
        return taken;
    }
}
