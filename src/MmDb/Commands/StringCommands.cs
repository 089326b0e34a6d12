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

    /// <summary>SET key value [NX | XX] [GET] [EX seconds | PX milliseconds | EXAT time | PXAT time | KEEPTTL]</summary>
    public static readonly CommandSpec Set = new("set", -3)
    {
        Group = CommandGroup.String,
        Complexity = "O(1)",
        Summary = "Sets the string value of a key, ignoring its type. The key is created if it doesn't exist.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Update | KeyAccess.VariableFlags, notes: "RW and ACCESS due to the optional `GET` argument")],
        Args = [Arg.Key("key"), Arg.String("value")],
        Handler = &RunSet,
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

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [Get, Set, Incr];

    private static void RunGet(CommandContext c)
    {
        if (!c.TryRead(c.Key(1), DataType.String, out byte* record))
        {
            return;
        }

        if (record == null)
        {
            c.Reply.Null();
        }
        else
        {
            StringValue.Reply(record, c.Reply);
        }
    }

    private static void RunSet(CommandContext c)
    {
        Key key = c.Key(1);
        Slice value = c[2];
        c.Effects.StringSet(key, value.Pointer, value.Length);
        c.Notify(KeyspaceEvents.String, "set"u8, key);
        c.Reply.Ok();
    }

    private static void RunIncr(CommandContext c) => AddTo(c, 1);

    /// <summary>INCR, DECR, INCRBY and DECRBY.</summary>
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
}
