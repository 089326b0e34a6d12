using System.Runtime.InteropServices;
using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb.Commands;

/// <summary>Commands for strings.</summary>
public static unsafe class StringCommands
{
    /// <summary>GET key</summary>
    public static readonly CommandSpec Get = new("get", 2)
    {
        Group = CommandGroup.String,
        Complexity = "O(1)",
        Summary = "Returns the string value of a key.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Key("key")],
        Handler = &RunGet,
    };

    /// <summary>SET key value [NX | XX] [GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]</summary>
    public static readonly CommandSpec Set = new("set", -3)
    {
        Group = CommandGroup.String,
        Complexity = "O(1)",
        Summary = "Sets the string value of a key, ignoring its type. The key is created if it doesn't exist.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Update | KeyAccess.VariableFlags, notes: "RW and ACCESS due to the optional `GET` argument")],
        Args =
        [
            Arg.Key("key"),
            Arg.String("value"),
            Arg.OneOf("condition", Arg.Word("nx", "NX"), Arg.Word("xx", "XX")).Optional().Since("2.6.12"),
            Arg.Word("get", "GET").Optional().Since("6.2.0"),
            Arg.OneOf("expiration", Arg.Integer("seconds").Token("EX").Since("2.6.12"), Arg.Integer("milliseconds").Token("PX").Since("2.6.12"), Arg.UnixTime("unix-time-seconds").Token("EXAT").Since("6.2.0"), Arg.UnixTime("unix-time-milliseconds").Token("PXAT").Since("6.2.0"), Arg.Word("keepttl", "KEEPTTL").Since("6.0.0")).Optional(),
        ],
        History = [("2.6.12", "Added the `EX`, `PX`, `NX` and `XX` options."), ("6.0.0", "Added the `KEEPTTL` option."), ("6.2.0", "Added the `GET`, `EXAT` and `PXAT` option."), ("7.0.0", "Allowed the `NX` and `GET` options to be used together.")],
        Handler = &RunSet,
        FindKeys = FindSetKeys,
    };

    /// <summary>SETNX key value</summary>
    public static readonly CommandSpec SetNx = new("setnx", 3)
    {
        Group = CommandGroup.String,
        Complexity = "O(1)",
        Summary = "Set the string value of a key only when the key doesn't exist.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.Overwrite | KeyAccess.Insert)],
        Args = [Arg.Key("key"), Arg.String("value")],
        DeprecatedSince = "2.6.12",
        ReplacedBy = "`SET` with the `NX` argument",
        Handler = &RunSetNx,
    };

    /// <summary>SETEX key seconds value</summary>
    public static readonly CommandSpec SetEx = new("setex", 4)
    {
        Since = "2.0.0",
        Group = CommandGroup.String,
        Complexity = "O(1)",
        Summary = "Sets the string value and expiration time of a key. Creates the key if it doesn't exist.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom,
        Keys = [KeySpec.At(1, KeyAccess.Overwrite | KeyAccess.Update)],
        Args = [Arg.Key("key"), Arg.Integer("seconds"), Arg.String("value")],
        DeprecatedSince = "2.6.12",
        ReplacedBy = "`SET` with the `EX` argument",
        Handler = &RunSetEx,
    };

    /// <summary>PSETEX key milliseconds value</summary>
    public static readonly CommandSpec PSetEx = new("psetex", 4)
    {
        Since = "2.6.0",
        Group = CommandGroup.String,
        Complexity = "O(1)",
        Summary = "Sets both string value and expiration time in milliseconds of a key. The key is created if it doesn't exist.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom,
        Keys = [KeySpec.At(1, KeyAccess.Overwrite | KeyAccess.Update)],
        Args = [Arg.Key("key"), Arg.Integer("milliseconds"), Arg.String("value")],
        DeprecatedSince = "2.6.12",
        ReplacedBy = "`SET` with the `PX` argument",
        Handler = &RunPSetEx,
    };

    /// <summary>GETSET key value</summary>
    public static readonly CommandSpec GetSet = new("getset", 3)
    {
        Group = CommandGroup.String,
        Complexity = "O(1)",
        Summary = "Returns the previous string value of a key after setting it to a new value.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Update)],
        Args = [Arg.Key("key"), Arg.String("value")],
        DeprecatedSince = "6.2.0",
        ReplacedBy = "`SET` with the `!GET` argument",
        Handler = &RunGetSet,
    };

    /// <summary>GETDEL key</summary>
    public static readonly CommandSpec GetDel = new("getdel", 2)
    {
        Since = "6.2.0",
        Group = CommandGroup.String,
        Complexity = "O(1)",
        Summary = "Returns the string value of a key after deleting the key.",
        Flags = CommandFlags.Write | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Delete)],
        Args = [Arg.Key("key")],
        Handler = &RunGetDel,
    };

    /// <summary>GETEX key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST]</summary>
    public static readonly CommandSpec GetEx = new("getex", -2)
    {
        Since = "6.2.0",
        Group = CommandGroup.String,
        Complexity = "O(1)",
        Summary = "Returns the string value of a key after setting its expiration time.",
        Flags = CommandFlags.Write | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Update, notes: "RW and UPDATE because it changes the TTL")],
        Args =
        [
            Arg.Key("key"),
            Arg.OneOf("expiration", Arg.Integer("seconds").Token("EX"), Arg.Integer("milliseconds").Token("PX"), Arg.UnixTime("unix-time-seconds").Token("EXAT"), Arg.UnixTime("unix-time-milliseconds").Token("PXAT"), Arg.Word("persist", "PERSIST")).Optional(),
        ],
        Handler = &RunGetEx,
    };

    /// <summary>MGET key …</summary>
    public static readonly CommandSpec MGet = new("mget", -2)
    {
        Group = CommandGroup.String,
        Complexity = "O(N) where N is the number of keys to retrieve.",
        Summary = "Atomically returns the string values of one or more keys.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access, last: -1)],
        Args = [Arg.Key("key").Multiple()],
        Tips = ["request_policy:multi_shard"],
        Handler = &RunMGet,
    };

    /// <summary>MSET key value …</summary>
    public static readonly CommandSpec MSet = new("mset", -3)
    {
        Since = "1.0.1",
        Group = CommandGroup.String,
        Complexity = "O(N) where N is the number of keys to set.",
        Summary = "Atomically creates or modifies the string values of one or more keys.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom,
        Keys = [KeySpec.At(1, KeyAccess.Overwrite | KeyAccess.Update, last: -1, step: 2)],
        Args = [Arg.Block("data", Arg.Key("key"), Arg.String("value")).Multiple()],
        Tips = ["request_policy:multi_shard", "response_policy:all_succeeded"],
        Handler = &RunMSet,
    };

    /// <summary>MSETNX key value …</summary>
    public static readonly CommandSpec MSetNx = new("msetnx", -3)
    {
        Since = "1.0.1",
        Group = CommandGroup.String,
        Complexity = "O(N) where N is the number of keys to set.",
        Summary = "Atomically modifies the string values of one or more keys only when all keys don't exist.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom,
        Keys = [KeySpec.At(1, KeyAccess.Overwrite | KeyAccess.Insert, last: -1, step: 2)],
        Args = [Arg.Block("data", Arg.Key("key"), Arg.String("value")).Multiple()],
        Handler = &RunMSetNx,
    };

    /// <summary>APPEND key value</summary>
    public static readonly CommandSpec Append = new("append", 3)
    {
        Since = "2.0.0",
        Group = CommandGroup.String,
        Complexity = "O(1). The amortized time complexity is O(1) assuming the appended value is small and the already present value is of any size, since the dynamic string library used by Redis will double the free space available on every reallocation.",
        Summary = "Appends a string to the value of a key. Creates the key if it doesn't exist.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Insert)],
        Args = [Arg.Key("key"), Arg.String("value")],
        Handler = &RunAppend,
    };

    /// <summary>STRLEN key</summary>
    public static readonly CommandSpec StrLen = new("strlen", 2)
    {
        Since = "2.2.0",
        Group = CommandGroup.String,
        Complexity = "O(1)",
        Summary = "Returns the length of a string value.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly)],
        Args = [Arg.Key("key")],
        Handler = &RunStrLen,
    };

    /// <summary>INCR key</summary>
    public static readonly CommandSpec Incr = new("incr", 2)
    {
        Group = CommandGroup.String,
        Complexity = "O(1)",
        Summary = "Increments the integer value of a key by one. Uses 0 as initial value if the key doesn't exist.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Update)],
        Args = [Arg.Key("key")],
        Handler = &RunIncr,
    };

    /// <summary>DECR key</summary>
    public static readonly CommandSpec Decr = new("decr", 2)
    {
        Group = CommandGroup.String,
        Complexity = "O(1)",
        Summary = "Decrements the integer value of a key by one. Uses 0 as initial value if the key doesn't exist.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Update)],
        Args = [Arg.Key("key")],
        Handler = &RunDecr,
    };

    /// <summary>INCRBY key increment</summary>
    public static readonly CommandSpec IncrBy = new("incrby", 3)
    {
        Group = CommandGroup.String,
        Complexity = "O(1)",
        Summary = "Increments the integer value of a key by a number. Uses 0 as initial value if the key doesn't exist.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Update)],
        Args = [Arg.Key("key"), Arg.Integer("increment")],
        Handler = &RunIncrBy,
    };

    /// <summary>DECRBY key decrement</summary>
    public static readonly CommandSpec DecrBy = new("decrby", 3)
    {
        Group = CommandGroup.String,
        Complexity = "O(1)",
        Summary = "Decrements a number from the integer value of a key. Uses 0 as initial value if the key doesn't exist.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Update)],
        Args = [Arg.Key("key"), Arg.Integer("decrement")],
        Handler = &RunDecrBy,
    };

    /// <summary>INCRBYFLOAT key increment</summary>
    public static readonly CommandSpec IncrByFloat = new("incrbyfloat", 3)
    {
        Since = "2.6.0",
        Group = CommandGroup.String,
        Complexity = "O(1)",
        Summary = "Increment the floating point value of a key by a number. Uses 0 as initial value if the key doesn't exist.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Update)],
        Args = [Arg.Key("key"), Arg.Double("increment")],
        Handler = &RunIncrByFloat,
    };

    /// <summary>SETRANGE key offset value</summary>
    public static readonly CommandSpec SetRange = new("setrange", 4)
    {
        Since = "2.2.0",
        Group = CommandGroup.String,
        Complexity = "O(1), not counting the time taken to copy the new string in place. Usually, this string is very small so the amortized complexity is O(1). Otherwise, complexity is O(M) with M being the length of the value argument.",
        Summary = "Overwrites a part of a string value with another by an offset. Creates the key if it doesn't exist.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Update)],
        Args = [Arg.Key("key"), Arg.Integer("offset"), Arg.String("value")],
        Handler = &RunSetRange,
    };

    /// <summary>GETRANGE key start end</summary>
    public static readonly CommandSpec GetRange = new("getrange", 4)
    {
        Since = "2.4.0",
        Group = CommandGroup.String,
        Complexity = "O(N) where N is the length of the returned string. The complexity is ultimately determined by the returned length, but because creating a substring from an existing string is very cheap, it can be considered O(1) for small strings.",
        Summary = "Returns a substring of the string stored at a key.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Key("key"), Arg.Integer("start"), Arg.Integer("end")],
        Handler = &RunGetRange,
    };

    /// <summary>SUBSTR key start end</summary>
    public static readonly CommandSpec SubStr = new("substr", 4)
    {
        Group = CommandGroup.String,
        Complexity = "O(N) where N is the length of the returned string. The complexity is ultimately determined by the returned length, but because creating a substring from an existing string is very cheap, it can be considered O(1) for small strings.",
        Summary = "Returns a substring from a string value.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Key("key"), Arg.Integer("start"), Arg.Integer("end")],
        DeprecatedSince = "2.0.0",
        ReplacedBy = "`GETRANGE`",
        Handler = &RunSubStr,
    };

    /// <summary>LCS key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]</summary>
    public static readonly CommandSpec Lcs = new("lcs", -3)
    {
        Since = "7.0.0",
        Group = CommandGroup.String,
        Complexity = "O(N*M) where N and M are the lengths of s1 and s2, respectively",
        Summary = "Finds the longest common substring.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access, last: 1)],
        Args =
        [
            Arg.Key("key1"),
            Arg.Key("key2"),
            Arg.Word("len", "LEN").Optional(),
            Arg.Word("idx", "IDX").Optional(),
            Arg.Integer("min-match-len").Token("MINMATCHLEN").Optional(),
            Arg.Word("withmatchlen", "WITHMATCHLEN").Optional(),
        ],
        Handler = &RunLcs,
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All =>
    [
        Get, Set, SetNx, SetEx, PSetEx, GetSet, GetDel, GetEx, MGet, MSet, MSetNx, Append, StrLen, Incr, Decr, IncrBy, DecrBy, IncrByFloat, SetRange, GetRange, SubStr, Lcs,
    ];

    // ------------------------------------------------------------------ SET and GET

    /// <summary>The options of SET and GETEX.</summary>
    [Flags]
    private enum Options
    {
        None = 0,
        IfMissing = 1 << 0,
        IfExists = 1 << 1,
        Get = 1 << 2,
        KeepTtl = 1 << 3,
        Persist = 1 << 4,
        Seconds = 1 << 5,
        Milliseconds = 1 << 6,
        AtSeconds = 1 << 7,
        AtMilliseconds = 1 << 8,
        Expiry = Seconds | Milliseconds | AtSeconds | AtMilliseconds,
        Relative = Seconds | Milliseconds,
        InSeconds = Seconds | AtSeconds,
    }

    private static void RunGet(CommandContext c)
    {
        if (c.TryRead(c.Key(1), DataType.String, out byte* record))
        {
            ReplyOrNull(c, record);
        }
    }

    private static void RunSet(CommandContext c)
    {
        if (c.Count > 3)
        {
            SetWithOptions(c);
            return;
        }

        Key key = c.Key(1);
        Slice value = c[2];
        c.Effects.StringSet(key, value.Pointer, value.Length);
        c.Notify(KeyspaceEvents.String, "set"u8, key);
        c.Reply.Ok();
    }

    private static void SetWithOptions(CommandContext c)
    {
        if (!TryOptions(c, 3, isSet: true, out Options options, out int timeIndex))
        {
            return;
        }

        long expireAt = 0;
        if (timeIndex > 0 && !TryExpiry(c, timeIndex, options, out expireAt))
        {
            return;
        }

        Key key = c.Key(1);
        if ((options & Options.Get) != 0)
        {
            if (!c.TryRead(key, DataType.String, out byte* record))
            {
                return;
            }

            ReplyOrNull(c, record);
        }

        if ((options & (Options.IfMissing | Options.IfExists)) != 0)
        {
            bool found = c.Database.LookupForWrite(key) != null;
            if (found != ((options & Options.IfExists) != 0))
            {
                if ((options & Options.Get) == 0)
                {
                    c.Reply.Null();
                }

                return;
            }
        }

        Write(c, key, c[2], expireAt, keepTtl: (options & Options.KeepTtl) != 0);
        if ((options & Options.Get) == 0)
        {
            c.Reply.Ok();
        }
    }

    private static void Write(CommandContext c, in Key key, Slice value, long expireAt, bool keepTtl = false)
    {
        if (expireAt != 0)
        {
            c.Effects.StringSetExpiring(key, value.Pointer, value.Length, expireAt);
        }
        else if (keepTtl)
        {
            c.Effects.StringSetKeepExpiry(key, value.Pointer, value.Length);
        }
        else
        {
            c.Effects.StringSet(key, value.Pointer, value.Length);
        }

        c.Notify(KeyspaceEvents.String, "set"u8, key);
        if (expireAt != 0)
        {
            c.Notify(KeyspaceEvents.Generic, "expire"u8, key);
        }
    }

    /// <summary>Reads the options of SET and GETEX, or replies that they do not fit; a later time takes the place of an earlier one.</summary>
    private static bool TryOptions(CommandContext c, int first, bool isSet, out Options options, out int timeIndex)
    {
        options = Options.None;
        timeIndex = 0;
        for (int i = first; i < c.Count; i++)
        {
            Slice word = c[i];
            Options option = isSet switch
            {
                true when word.EqualsIgnoreCase("NX"u8) => Options.IfMissing,
                true when word.EqualsIgnoreCase("XX"u8) => Options.IfExists,
                true when word.EqualsIgnoreCase("GET"u8) => Options.Get,
                true when word.EqualsIgnoreCase("KEEPTTL"u8) => Options.KeepTtl,
                false when word.EqualsIgnoreCase("PERSIST"u8) => Options.Persist,
                _ when i + 1 == c.Count => Options.None,
                _ when word.EqualsIgnoreCase("EX"u8) => Options.Seconds,
                _ when word.EqualsIgnoreCase("PX"u8) => Options.Milliseconds,
                _ when word.EqualsIgnoreCase("EXAT"u8) => Options.AtSeconds,
                _ when word.EqualsIgnoreCase("PXAT"u8) => Options.AtMilliseconds,
                _ => Options.None,
            };
            if (option == Options.None || (options & Excluded(option)) != 0)
            {
                c.Error(Errors.Syntax);
                return false;
            }

            options |= option;
            if ((option & Options.Expiry) != 0)
            {
                timeIndex = ++i;
            }
        }

        return true;
    }

    /// <summary>The options that cannot stand with this one.</summary>
    private static Options Excluded(Options option) => option switch
    {
        Options.IfMissing => Options.IfExists,
        Options.IfExists => Options.IfMissing,
        Options.Get => Options.None,
        _ => (Options.Expiry | Options.KeepTtl | Options.Persist) & ~option,
    };

    /// <summary>Reads a time to live or an instant as Unix milliseconds, or replies that there is no such time.</summary>
    private static bool TryExpiry(CommandContext c, int index, Options options, out long expireAt)
    {
        if (!c.TryLong(index, out expireAt))
        {
            return false;
        }

        bool inSeconds = (options & Options.InSeconds) != 0;
        if (expireAt > 0 && !(inSeconds && expireAt > long.MaxValue / 1000))
        {
            expireAt = inSeconds ? expireAt * 1000 : expireAt;
            expireAt = (options & Options.Relative) != 0 ? unchecked(expireAt + c.NowMs) : expireAt;
            if (expireAt > 0)
            {
                return true;
            }
        }

        c.Error($"ERR invalid expire time in '{c.Spec.FullName}' command");
        return false;
    }

    private static void RunSetNx(CommandContext c)
    {
        Key key = c.Key(1);
        if (c.Database.LookupForWrite(key) != null)
        {
            c.Reply.Integer(0);
            return;
        }

        Write(c, key, c[2], expireAt: 0);
        c.Reply.Integer(1);
    }

    private static void RunSetEx(CommandContext c) => SetExpiring(c, Options.Seconds);

    private static void RunPSetEx(CommandContext c) => SetExpiring(c, Options.Milliseconds);

    private static void SetExpiring(CommandContext c, Options unit)
    {
        if (TryExpiry(c, 2, unit, out long expireAt))
        {
            Write(c, c.Key(1), c[3], expireAt);
            c.Reply.Ok();
        }
    }

    private static void RunGetSet(CommandContext c)
    {
        Key key = c.Key(1);
        if (c.TryRead(key, DataType.String, out byte* record))
        {
            ReplyOrNull(c, record);
            Write(c, key, c[2], expireAt: 0);
        }
    }

    private static void RunGetDel(CommandContext c)
    {
        Key key = c.Key(1);
        if (!c.TryRead(key, DataType.String, out byte* record))
        {
            return;
        }

        ReplyOrNull(c, record);
        if (record != null)
        {
            c.Effects.Delete(key);
            c.Notify(KeyspaceEvents.Generic, "del"u8, key);
        }
    }

    private static void RunGetEx(CommandContext c)
    {
        if (!TryOptions(c, 2, isSet: false, out Options options, out int timeIndex))
        {
            return;
        }

        Key key = c.Key(1);
        if (!c.TryRead(key, DataType.String, out byte* record))
        {
            return;
        }

        if (record == null)
        {
            c.Reply.Null();
            return;
        }

        long expireAt = 0;
        if (timeIndex > 0 && !TryExpiry(c, timeIndex, options, out expireAt))
        {
            return;
        }

        StringValue.Reply(record, c.Reply);
        if (timeIndex > 0 && c.Keyspace.IsPast(expireAt))
        {
            c.Effects.Delete(key);
            c.Notify(KeyspaceEvents.Generic, "del"u8, key);
        }
        else if (timeIndex > 0)
        {
            c.Effects.ExpireAt(key, expireAt);
            c.Notify(KeyspaceEvents.Generic, "expire"u8, key);
        }
        else if ((options & Options.Persist) != 0 && Record.HasExpire(record))
        {
            c.Effects.Persist(key);
            c.Notify(KeyspaceEvents.Generic, "persist"u8, key);
        }
    }

    private static void ReplyOrNull(CommandContext c, byte* record)
    {
        if (record == null)
        {
            c.Reply.Null();
        }
        else
        {
            StringValue.Reply(record, c.Reply);
        }
    }

    /// <summary>SET reads its key only with GET.</summary>
    private static bool FindSetKeys(ArgView args, List<KeyPosition> keys)
    {
        KeyAccess access = KeyAccess.Overwrite | KeyAccess.Update;
        for (int i = 3; i < args.Count; i++)
        {
            if (args[i].EqualsIgnoreCase("GET"u8))
            {
                access = KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Update;
            }
        }

        keys.Add(new KeyPosition(1, access));
        return true;
    }

    // ------------------------------------------------------------------ many keys

    private static void RunMGet(CommandContext c)
    {
        c.Reply.Array(c.Count - 1);
        for (int i = 1; i < c.Count; i++)
        {
            byte* record = c.Database.Lookup(c.Key(i));
            ReplyOrNull(c, record != null && Record.Type(record) == (int)DataType.String ? record : null);
        }
    }

    private static void RunMSet(CommandContext c)
    {
        if (SetAll(c))
        {
            c.Reply.Ok();
        }
    }

    private static void RunMSetNx(CommandContext c)
    {
        if ((c.Count & 1) != 0)
        {
            for (int i = 1; i < c.Count; i += 2)
            {
                if (c.Database.LookupForWrite(c.Key(i)) != null)
                {
                    c.Reply.Integer(0);
                    return;
                }
            }
        }

        if (SetAll(c))
        {
            c.Reply.Integer(1);
        }
    }

    private static bool SetAll(CommandContext c)
    {
        if ((c.Count & 1) == 0)
        {
            c.WrongArity();
            return false;
        }

        for (int i = 1; i < c.Count; i += 2)
        {
            Write(c, c.Key(i), c[i + 1], expireAt: 0);
        }

        return true;
    }

    // ------------------------------------------------------------------ numbers

    private static void RunIncr(CommandContext c) => AddTo(c, 1);

    private static void RunDecr(CommandContext c) => AddTo(c, -1);

    private static void RunIncrBy(CommandContext c)
    {
        if (c.TryLong(2, out long delta))
        {
            AddTo(c, delta);
        }
    }

    private static void RunDecrBy(CommandContext c)
    {
        if (!c.TryLong(2, out long delta))
        {
            return;
        }

        if (delta == long.MinValue)
        {
            c.Error(Errors.DecrementOverflow);
            return;
        }

        AddTo(c, -delta);
    }

    private static void AddTo(CommandContext c, long delta)
    {
        Key key = c.Key(1);
        if (!c.TryReadForWrite(key, DataType.String, out byte* record))
        {
            return;
        }

        long value = 0;
        if (record != null && !StringValue.TryInteger(record, out value))
        {
            c.Error(Errors.NotInteger);
            return;
        }

        if (delta > 0 ? value > long.MaxValue - delta : value < long.MinValue - delta)
        {
            c.Error(Errors.IncrementOverflow);
            return;
        }

        c.Effects.StringAdd(key, delta);
        c.Notify(KeyspaceEvents.String, "incrby"u8, key);
        c.Reply.Integer(value + delta);
    }

    private static void RunIncrByFloat(CommandContext c)
    {
        Key key = c.Key(1);
        if (!c.TryReadForWrite(key, DataType.String, out byte* record))
        {
            return;
        }

        LongDouble value = default;
        if (record != null)
        {
            byte* digits = stackalloc byte[StringValue.MaxIntegerText];
            byte* bytes = StringValue.Bytes(record, digits, out long length);
            if (length >= LongDouble.MaxLength || !LongDouble.TryParse(new ReadOnlySpan<byte>(bytes, (int)length), out value))
            {
                c.Error(Errors.NotFloat);
                return;
            }
        }

        if (!LongDouble.TryParse(c[2].Span, out LongDouble delta))
        {
            c.Error(Errors.NotFloat);
            return;
        }

        value += delta;
        if (!value.IsFinite)
        {
            c.Error(Errors.IncrementNaN);
            return;
        }

        byte* text = stackalloc byte[LongDouble.MaxLength];
        int written = value.Format(new Span<byte>(text, LongDouble.MaxLength));
        c.Effects.StringSetText(key, text, written);
        c.Notify(KeyspaceEvents.String, "incrbyfloat"u8, key);
        c.Reply.Bulk(text, written);
    }

    // ------------------------------------------------------------------ parts of a string

    private static void RunAppend(CommandContext c)
    {
        Key key = c.Key(1);
        if (!c.TryReadForWrite(key, DataType.String, out byte* record))
        {
            return;
        }

        Slice value = c[2];
        long length = record == null ? 0 : StringValue.Length(record);
        if (record != null && !FitsInString(c, length, value.Length))
        {
            return;
        }

        c.Effects.StringAppend(key, value.Pointer, value.Length);
        c.Notify(KeyspaceEvents.String, "append"u8, key);
        c.Reply.Integer(length + value.Length);
    }

    private static void RunStrLen(CommandContext c)
    {
        if (c.TryRead(c.Key(1), DataType.String, out byte* record))
        {
            c.Reply.Integer(record == null ? 0 : StringValue.Length(record));
        }
    }

    private static void RunSetRange(CommandContext c)
    {
        if (!c.TryLong(2, out long offset))
        {
            return;
        }

        if (offset < 0)
        {
            c.Error(Errors.OffsetOutOfRange);
            return;
        }

        Key key = c.Key(1);
        if (!c.TryReadForWrite(key, DataType.String, out byte* record))
        {
            return;
        }

        long length = record == null ? 0 : StringValue.Length(record);
        Slice value = c[3];
        if (value.Length == 0)
        {
            c.Reply.Integer(length);
            return;
        }

        if (!FitsInString(c, offset, value.Length))
        {
            return;
        }

        c.Effects.StringSetRange(key, offset, value.Pointer, value.Length);
        c.Notify(KeyspaceEvents.String, "setrange"u8, key);
        c.Reply.Integer(Math.Max(length, offset + value.Length));
    }

    private static bool FitsInString(CommandContext c, long offset, int length)
    {
        if (offset <= c.Keyspace.Options.MaxStringBytes - length)
        {
            return true;
        }

        c.Error(Errors.StringTooLong);
        return false;
    }

    private static void RunSubStr(CommandContext c) => RunGetRange(c);

    private static void RunGetRange(CommandContext c)
    {
        if (!c.TryLong(2, out long start) || !c.TryLong(3, out long end) || !c.TryRead(c.Key(1), DataType.String, out byte* record))
        {
            return;
        }

        if (record == null || (start < 0 && end < 0 && start > end))
        {
            c.Reply.Bulk(default(ReadOnlySpan<byte>));
            return;
        }

        byte* digits = stackalloc byte[StringValue.MaxIntegerText];
        byte* bytes = StringValue.Bytes(record, digits, out long length);
        start = Math.Max(start < 0 ? length + start : start, 0);
        end = Math.Min(Math.Max(end < 0 ? length + end : end, 0), length - 1);
        c.Reply.Bulk(bytes + start, Math.Max(end - start + 1, 0));
    }

    // ------------------------------------------------------------------ LCS

    private static void RunLcs(CommandContext c)
    {
        byte* first = c.Database.Lookup(c.Key(1));
        byte* second = c.Database.Lookup(c.Key(2));
        if ((first != null && Record.Type(first) != (int)DataType.String) || (second != null && Record.Type(second) != (int)DataType.String))
        {
            c.Error(Errors.LcsNotStrings);
            return;
        }

        bool wantsLength = false, wantsIndexes = false, withLengths = false;
        long minLength = 0;
        for (int i = 3; i < c.Count; i++)
        {
            if (c.Is(i, "IDX"u8))
            {
                wantsIndexes = true;
            }
            else if (c.Is(i, "LEN"u8))
            {
                wantsLength = true;
            }
            else if (c.Is(i, "WITHMATCHLEN"u8))
            {
                withLengths = true;
            }
            else if (c.Is(i, "MINMATCHLEN"u8) && i + 1 < c.Count)
            {
                if (!c.TryLong(++i, out minLength))
                {
                    return;
                }
            }
            else
            {
                c.Error(Errors.Syntax);
                return;
            }
        }

        if (wantsLength && wantsIndexes)
        {
            c.Error(Errors.LcsLengthAndIndexes);
            return;
        }

        byte* digits = stackalloc byte[2 * StringValue.MaxIntegerText];
        long lengthA = 0, lengthB = 0;
        byte* a = first == null ? digits : StringValue.Bytes(first, digits, out lengthA);
        byte* b = second == null ? digits : StringValue.Bytes(second, digits + StringValue.MaxIntegerText, out lengthB);

        // Neither factor reaches 2^32, so the product fits; times four it may not, and is far too large then.
        ulong cells = (ulong)(lengthA + 1) * (ulong)(lengthB + 1);
        if (cells > (ulong)c.Keyspace.Options.MaxStringBytes / sizeof(uint))
        {
            c.Error(Errors.LcsTooLarge);
            return;
        }

        uint* table = CommonSubsequence.Table(a, lengthA, b, lengthB);
        uint longest = table[cells - 1];
        if (wantsLength)
        {
            c.Reply.Integer(longest);
        }
        else if (wantsIndexes)
        {
            ReplyMatches(c, new CommonSubsequence(a, lengthA, b, lengthB, table), longest, minLength, withLengths);
        }
        else
        {
            c.Reply.BeginBulk(longest);
            new CommonSubsequence(a, lengthA, b, lengthB, table).CopyTo(c.Reply.Reserve((long)longest), longest);
            c.Reply.Advance((long)longest);
            c.Reply.EndBulk();
        }

        NativeMemory.Free(table);
    }

    private static void ReplyMatches(CommandContext c, CommonSubsequence matches, uint longest, long minLength, bool withLengths)
    {
        c.Reply.Map(2);
        c.Reply.Bulk("matches"u8);
        long mark = c.Reply.BeginDeferred(), count = 0;
        while (matches.Next(out long startA, out long startB, out long length))
        {
            if (length < minLength)
            {
                continue;
            }

            c.Reply.Array(withLengths ? 3 : 2);
            c.Reply.Array(2);
            c.Reply.Integer(startA);
            c.Reply.Integer(startA + length - 1);
            c.Reply.Array(2);
            c.Reply.Integer(startB);
            c.Reply.Integer(startB + length - 1);
            if (withLengths)
            {
                c.Reply.Integer(length);
            }

            count++;
        }

        c.Reply.EndDeferredArray(mark, count);
        c.Reply.Bulk("len"u8);
        c.Reply.Integer(longest);
    }
}
