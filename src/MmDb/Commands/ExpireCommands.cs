using Leither.MmDb.Memory;

namespace Leither.MmDb.Commands;

/// <summary>Commands for the time that keys have to live.</summary>
public static unsafe class ExpireCommands
{
    /// <summary>EXPIRE key seconds [NX | XX | GT | LT]</summary>
    public static readonly CommandSpec Expire = new("expire", -3)
    {
        Group = CommandGroup.Generic,
        Complexity = "O(1)",
        Summary = "Sets the expiration time of a key in seconds.",
        Flags = CommandFlags.Write | CommandFlags.Fast,
        Categories = ["keyspace"],
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Update)],
        Args =
        [
            Arg.Key("key"),
            Arg.Integer("seconds"),
            Arg.OneOf("condition", Arg.Word("nx", "NX"), Arg.Word("xx", "XX"), Arg.Word("gt", "GT"), Arg.Word("lt", "LT")).Optional().Since("7.0.0"),
        ],
        History = [("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`.")],
        Handler = &RunExpire,
    };

    /// <summary>PEXPIRE key milliseconds [NX | XX | GT | LT]</summary>
    public static readonly CommandSpec PExpire = new("pexpire", -3)
    {
        Since = "2.6.0",
        Group = CommandGroup.Generic,
        Complexity = "O(1)",
        Summary = "Sets the expiration time of a key in milliseconds.",
        Flags = CommandFlags.Write | CommandFlags.Fast,
        Categories = ["keyspace"],
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Update)],
        Args =
        [
            Arg.Key("key"),
            Arg.Integer("milliseconds"),
            Arg.OneOf("condition", Arg.Word("nx", "NX"), Arg.Word("xx", "XX"), Arg.Word("gt", "GT"), Arg.Word("lt", "LT")).Optional().Since("7.0.0"),
        ],
        History = [("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`.")],
        Handler = &RunPExpire,
    };

    /// <summary>EXPIREAT key unix-time-seconds [NX | XX | GT | LT]</summary>
    public static readonly CommandSpec ExpireAt = new("expireat", -3)
    {
        Since = "1.2.0",
        Group = CommandGroup.Generic,
        Complexity = "O(1)",
        Summary = "Sets the expiration time of a key to a Unix timestamp.",
        Flags = CommandFlags.Write | CommandFlags.Fast,
        Categories = ["keyspace"],
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Update)],
        Args =
        [
            Arg.Key("key"),
            Arg.UnixTime("unix-time-seconds"),
            Arg.OneOf("condition", Arg.Word("nx", "NX"), Arg.Word("xx", "XX"), Arg.Word("gt", "GT"), Arg.Word("lt", "LT")).Optional().Since("7.0.0"),
        ],
        History = [("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`.")],
        Handler = &RunExpireAt,
    };

    /// <summary>PEXPIREAT key unix-time-milliseconds [NX | XX | GT | LT]</summary>
    public static readonly CommandSpec PExpireAt = new("pexpireat", -3)
    {
        Since = "2.6.0",
        Group = CommandGroup.Generic,
        Complexity = "O(1)",
        Summary = "Sets the expiration time of a key to a Unix milliseconds timestamp.",
        Flags = CommandFlags.Write | CommandFlags.Fast,
        Categories = ["keyspace"],
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Update)],
        Args =
        [
            Arg.Key("key"),
            Arg.UnixTime("unix-time-milliseconds"),
            Arg.OneOf("condition", Arg.Word("nx", "NX"), Arg.Word("xx", "XX"), Arg.Word("gt", "GT"), Arg.Word("lt", "LT")).Optional().Since("7.0.0"),
        ],
        History = [("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`.")],
        Handler = &RunPExpireAt,
    };

    /// <summary>TTL key</summary>
    public static readonly CommandSpec Ttl = new("ttl", 2)
    {
        Group = CommandGroup.Generic,
        Complexity = "O(1)",
        Summary = "Returns the expiration time in seconds of a key.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Categories = ["keyspace"],
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Key("key")],
        History = [("2.8.0", "Added the -2 reply.")],
        Tips = ["nondeterministic_output"],
        Handler = &RunTtl,
    };

    /// <summary>PTTL key</summary>
    public static readonly CommandSpec PTtl = new("pttl", 2)
    {
        Since = "2.6.0",
        Group = CommandGroup.Generic,
        Complexity = "O(1)",
        Summary = "Returns the expiration time in milliseconds of a key.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Categories = ["keyspace"],
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Key("key")],
        History = [("2.8.0", "Added the -2 reply.")],
        Tips = ["nondeterministic_output"],
        Handler = &RunPTtl,
    };

    /// <summary>EXPIRETIME key</summary>
    public static readonly CommandSpec ExpireTime = new("expiretime", 2)
    {
        Since = "7.0.0",
        Group = CommandGroup.Generic,
        Complexity = "O(1)",
        Summary = "Returns the expiration time of a key as a Unix timestamp.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Categories = ["keyspace"],
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Key("key")],
        Handler = &RunExpireTime,
    };

    /// <summary>PEXPIRETIME key</summary>
    public static readonly CommandSpec PExpireTime = new("pexpiretime", 2)
    {
        Since = "7.0.0",
        Group = CommandGroup.Generic,
        Complexity = "O(1)",
        Summary = "Returns the expiration time of a key as a Unix milliseconds timestamp.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Categories = ["keyspace"],
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Key("key")],
        Handler = &RunPExpireTime,
    };

    /// <summary>PERSIST key</summary>
    public static readonly CommandSpec Persist = new("persist", 2)
    {
        Since = "2.2.0",
        Group = CommandGroup.Generic,
        Complexity = "O(1)",
        Summary = "Removes the expiration time of a key.",
        Flags = CommandFlags.Write | CommandFlags.Fast,
        Categories = ["keyspace"],
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Update)],
        Args = [Arg.Key("key")],
        Handler = &RunPersist,
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All =>
    [
        Expire, PExpire, ExpireAt, PExpireAt, Ttl, PTtl, ExpireTime, PExpireTime, Persist,
    ];

    [Flags]
    private enum Conditions
    {
        None = 0,
        IfPersistent = 1 << 0,
        IfExpiring = 1 << 1,
        IfLater = 1 << 2,
        IfEarlier = 1 << 3,
    }

    private static void RunExpire(CommandContext c) => SetExpiry(c, c.NowMs, inSeconds: true);

    private static void RunPExpire(CommandContext c) => SetExpiry(c, c.NowMs, inSeconds: false);

    private static void RunExpireAt(CommandContext c) => SetExpiry(c, 0, inSeconds: true);

    private static void RunPExpireAt(CommandContext c) => SetExpiry(c, 0, inSeconds: false);

    private static void SetExpiry(CommandContext c, long since, bool inSeconds)
    {
        if (!TryConditions(c, out Conditions conditions) || !c.TryLong(2, out long instant))
        {
            return;
        }

        // Times may be negative, but neither the change of unit nor the sum may leave 64 bits.
        if ((inSeconds && instant is > long.MaxValue / 1000 or < long.MinValue / 1000)
            || (instant = inSeconds ? instant * 1000 : instant) > long.MaxValue - since)
        {
            c.Error($"ERR invalid expire time in '{c.Spec.FullName}' command");
            return;
        }

        instant += since;
        Key key = c.Key(1);
        byte* record = c.Database.LookupForWrite(key);
        if (record == null || !Allows(conditions, record, instant))
        {
            c.Reply.Integer(0);
            return;
        }

        if (c.Keyspace.IsPast(instant))
        {
            c.Effects.Delete(key);
            c.Notify(KeyspaceEvents.Generic, "del"u8, key);
        }
        else
        {
            c.Effects.ExpireAt(key, instant);
            c.Notify(KeyspaceEvents.Generic, "expire"u8, key);
        }

        c.Reply.Integer(1);
    }

    /// <summary>Whether an expiry may be set; a key without one counts as living for ever.</summary>
    private static bool Allows(Conditions conditions, byte* record, long instant)
    {
        bool expires = Record.HasExpire(record);
        long current = expires ? Record.ExpireAt(record) : long.MaxValue;
        return !((conditions & Conditions.IfPersistent) != 0 && expires)
            && !((conditions & Conditions.IfExpiring) != 0 && !expires)
            && !((conditions & Conditions.IfLater) != 0 && (!expires || instant <= current))
            && !((conditions & Conditions.IfEarlier) != 0 && expires && instant >= current);
    }

    private static bool TryConditions(CommandContext c, out Conditions conditions)
    {
        conditions = Conditions.None;
        for (int i = 3; i < c.Count; i++)
        {
            if (c.Is(i, "NX"u8))
            {
                conditions |= Conditions.IfPersistent;
            }
            else if (c.Is(i, "XX"u8))
            {
                conditions |= Conditions.IfExpiring;
            }
            else if (c.Is(i, "GT"u8))
            {
                conditions |= Conditions.IfLater;
            }
            else if (c.Is(i, "LT"u8))
            {
                conditions |= Conditions.IfEarlier;
            }
            else
            {
                c.Error($"ERR Unsupported option {c.TextToZero(i)}");
                return false;
            }
        }

        if ((conditions & Conditions.IfPersistent) != 0 && conditions != Conditions.IfPersistent)
        {
            c.Error(Errors.ExpireConditions);
            return false;
        }

        if ((conditions & Conditions.IfLater) != 0 && (conditions & Conditions.IfEarlier) != 0)
        {
            c.Error(Errors.ExpireDirections);
            return false;
        }

        return true;
    }

    private static void RunTtl(CommandContext c) => ReplyExpiry(c, c.NowMs, inSeconds: true);

    private static void RunPTtl(CommandContext c) => ReplyExpiry(c, c.NowMs, inSeconds: false);

    private static void RunExpireTime(CommandContext c) => ReplyExpiry(c, 0, inSeconds: true);

    private static void RunPExpireTime(CommandContext c) => ReplyExpiry(c, 0, inSeconds: false);

    private static void ReplyExpiry(CommandContext c, long since, bool inSeconds)
    {
        const int isMissing = -2, isPersistent = -1;
        byte* record = c.Database.LookupWithoutTouch(c.Key(1));
        if (record == null)
        {
            c.Reply.Integer(isMissing);
        }
        else if (!Record.HasExpire(record))
        {
            c.Reply.Integer(isPersistent);
        }
        else
        {
            long left = Math.Max(Record.ExpireAt(record) - since, 0);
            c.Reply.Integer(inSeconds ? (long)(((ulong)left + 500) / 1000) : left); // the last instants, rounded, lie beyond a long
        }
    }

    private static void RunPersist(CommandContext c)
    {
        Key key = c.Key(1);
        byte* record = c.Database.LookupForWrite(key);
        if (record == null || !Record.HasExpire(record))
        {
            c.Reply.Integer(0);
            return;
        }

        c.Effects.Persist(key);
        c.Notify(KeyspaceEvents.Generic, "persist"u8, key);
        c.Reply.Integer(1);
    }
}
