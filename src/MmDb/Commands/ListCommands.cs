using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb.Commands;

/// <summary>Commands for lists, and the blocking ones among them, which wait until a list has an element.</summary>
public static unsafe class ListCommands
{
    /// <summary>LPUSH key element …</summary>
    public static readonly CommandSpec LPush = new("lpush", -3)
    {
        Group = CommandGroup.List,
        Complexity = "O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments.",
        Summary = "Prepends one or more elements to a list. Creates the key if it doesn't exist.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Insert)],
        Args = [Arg.Key("key"), Arg.String("element").Multiple()],
        History = [("2.4.0", "Accepts multiple `element` arguments.")],
        Handler = &RunLPush,
    };

    /// <summary>RPUSH key element …</summary>
    public static readonly CommandSpec RPush = new("rpush", -3)
    {
        Group = CommandGroup.List,
        Complexity = "O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments.",
        Summary = "Appends one or more elements to a list. Creates the key if it doesn't exist.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Insert)],
        Args = [Arg.Key("key"), Arg.String("element").Multiple()],
        History = [("2.4.0", "Accepts multiple `element` arguments.")],
        Handler = &RunRPush,
    };

    /// <summary>LPUSHX key element …</summary>
    public static readonly CommandSpec LPushX = new("lpushx", -3)
    {
        Since = "2.2.0",
        Group = CommandGroup.List,
        Complexity = "O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments.",
        Summary = "Prepends one or more elements to a list only when the list exists.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Insert)],
        Args = [Arg.Key("key"), Arg.String("element").Multiple()],
        History = [("4.0.0", "Accepts multiple `element` arguments.")],
        Handler = &RunLPushX,
    };

    /// <summary>RPUSHX key element …</summary>
    public static readonly CommandSpec RPushX = new("rpushx", -3)
    {
        Since = "2.2.0",
        Group = CommandGroup.List,
        Complexity = "O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments.",
        Summary = "Appends an element to a list only when the list exists.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Insert)],
        Args = [Arg.Key("key"), Arg.String("element").Multiple()],
        History = [("4.0.0", "Accepts multiple `element` arguments.")],
        Handler = &RunRPushX,
    };

    /// <summary>LPOP key [count]</summary>
    public static readonly CommandSpec LPop = new("lpop", -2)
    {
        Group = CommandGroup.List,
        Complexity = "O(N) where N is the number of elements returned",
        Summary = "Returns the first elements in a list after removing it. Deletes the list if the last element was popped.",
        Flags = CommandFlags.Write | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Delete)],
        Args = [Arg.Key("key"), Arg.Integer("count").Optional().Since("6.2.0")],
        History = [("6.2.0", "Added the `count` argument.")],
        Handler = &RunLPop,
    };

    /// <summary>RPOP key [count]</summary>
    public static readonly CommandSpec RPop = new("rpop", -2)
    {
        Group = CommandGroup.List,
        Complexity = "O(N) where N is the number of elements returned",
        Summary = "Returns and removes the last elements of a list. Deletes the list if the last element was popped.",
        Flags = CommandFlags.Write | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Delete)],
        Args = [Arg.Key("key"), Arg.Integer("count").Optional().Since("6.2.0")],
        History = [("6.2.0", "Added the `count` argument.")],
        Handler = &RunRPop,
    };

    /// <summary>LLEN key</summary>
    public static readonly CommandSpec LLen = new("llen", 2)
    {
        Group = CommandGroup.List,
        Complexity = "O(1)",
        Summary = "Returns the length of a list.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly)],
        Args = [Arg.Key("key")],
        Handler = &RunLLen,
    };

    /// <summary>LRANGE key start stop</summary>
    public static readonly CommandSpec LRange = new("lrange", 4)
    {
        Group = CommandGroup.List,
        Complexity = "O(S+N) where S is the distance of start offset from HEAD for small lists, from nearest end (HEAD or TAIL) for large lists; and N is the number of elements in the specified range.",
        Summary = "Returns a range of elements from a list.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Key("key"), Arg.Integer("start"), Arg.Integer("stop")],
        Handler = &RunLRange,
    };

    /// <summary>LINDEX key index</summary>
    public static readonly CommandSpec LIndex = new("lindex", 3)
    {
        Group = CommandGroup.List,
        Complexity = "O(N) where N is the number of elements to traverse to get to the element at index. This makes asking for the first or the last element of the list O(1).",
        Summary = "Returns an element from a list by its index.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Key("key"), Arg.Integer("index")],
        Handler = &RunLIndex,
    };

    /// <summary>LSET key index element</summary>
    public static readonly CommandSpec LSet = new("lset", 4)
    {
        Group = CommandGroup.List,
        Complexity = "O(N) where N is the length of the list. Setting either the first or the last element of the list is O(1).",
        Summary = "Sets the value of an element in a list by its index.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Update)],
        Args = [Arg.Key("key"), Arg.Integer("index"), Arg.String("element")],
        Handler = &RunLSet,
    };

    /// <summary>LINSERT key BEFORE | AFTER pivot element</summary>
    public static readonly CommandSpec LInsert = new("linsert", 5)
    {
        Since = "2.2.0",
        Group = CommandGroup.List,
        Complexity = "O(N) where N is the number of elements to traverse before seeing the value pivot. This means that inserting somewhere on the left end on the list (head) can be considered O(1) and inserting somewhere on the right end (tail) is O(N).",
        Summary = "Inserts an element before or after another element in a list.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Insert)],
        Args =
        [
            Arg.Key("key"),
            Arg.OneOf("where", Arg.Word("before", "BEFORE"), Arg.Word("after", "AFTER")),
            Arg.String("pivot"),
            Arg.String("element"),
        ],
        Handler = &RunLInsert,
    };

    /// <summary>LREM key count element</summary>
    public static readonly CommandSpec LRem = new("lrem", 4)
    {
        Group = CommandGroup.List,
        Complexity = "O(N+M) where N is the length of the list and M is the number of elements removed.",
        Summary = "Removes elements from a list. Deletes the list if the last element was removed.",
        Flags = CommandFlags.Write,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Delete)],
        Args = [Arg.Key("key"), Arg.Integer("count"), Arg.String("element")],
        Handler = &RunLRem,
    };

    /// <summary>LTRIM key start stop</summary>
    public static readonly CommandSpec LTrim = new("ltrim", 4)
    {
        Group = CommandGroup.List,
        Complexity = "O(N) where N is the number of elements to be removed by the operation.",
        Summary = "Removes elements from both ends a list. Deletes the list if all elements were trimmed.",
        Flags = CommandFlags.Write,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Delete)],
        Args = [Arg.Key("key"), Arg.Integer("start"), Arg.Integer("stop")],
        Handler = &RunLTrim,
    };

    /// <summary>LPOS key element [RANK rank] [COUNT num-matches] [MAXLEN len]</summary>
    public static readonly CommandSpec LPos = new("lpos", -3)
    {
        Since = "6.0.6",
        Group = CommandGroup.List,
        Complexity = "O(N) where N is the number of elements in the list, for the average case. When searching for elements near the head or the tail of the list, or when the MAXLEN option is provided, the command may run in constant time.",
        Summary = "Returns the index of matching elements in a list.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args =
        [
            Arg.Key("key"),
            Arg.String("element"),
            Arg.Integer("rank").Token("RANK").Optional(),
            Arg.Integer("num-matches").Token("COUNT").Optional(),
            Arg.Integer("len").Token("MAXLEN").Optional(),
        ],
        Handler = &RunLPos,
    };

    /// <summary>LMOVE source destination LEFT | RIGHT LEFT | RIGHT</summary>
    public static readonly CommandSpec LMove = new("lmove", 5)
    {
        Since = "6.2.0",
        Group = CommandGroup.List,
        Complexity = "O(1)",
        Summary = "Returns an element after popping it from one list and pushing it to another. Deletes the list if the last element was moved.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Delete), KeySpec.At(2, KeyAccess.ReadWrite | KeyAccess.Insert)],
        Args =
        [
            Arg.Key("source"),
            Arg.Key("destination", 1),
            Arg.OneOf("wherefrom", Arg.Word("left", "LEFT"), Arg.Word("right", "RIGHT")),
            Arg.OneOf("whereto", Arg.Word("left", "LEFT"), Arg.Word("right", "RIGHT")),
        ],
        Handler = &RunLMove,
    };

    /// <summary>RPOPLPUSH source destination</summary>
    public static readonly CommandSpec RPopLPush = new("rpoplpush", 3)
    {
        Since = "1.2.0",
        Group = CommandGroup.List,
        Complexity = "O(1)",
        Summary = "Returns the last element of a list after removing and pushing it to another list. Deletes the list if the last element was popped.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Delete), KeySpec.At(2, KeyAccess.ReadWrite | KeyAccess.Insert)],
        Args = [Arg.Key("source"), Arg.Key("destination", 1)],
        DeprecatedSince = "6.2.0",
        ReplacedBy = "`LMOVE` with the `RIGHT` and `LEFT` arguments",
        Handler = &RunRPopLPush,
    };

    /// <summary>LMPOP numkeys key … LEFT | RIGHT [COUNT count]</summary>
    public static readonly CommandSpec LMPop = new("lmpop", -4)
    {
        Since = "7.0.0",
        Group = CommandGroup.List,
        Complexity = "O(N+M) where N is the number of provided keys and M is the number of elements returned.",
        Summary = "Returns multiple elements from a list after removing them. Deletes the list if the last element was popped.",
        Flags = CommandFlags.Write,
        Keys = [KeySpec.Counted(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Delete)],
        Args =
        [
            Arg.Integer("numkeys"),
            Arg.Key("key").Multiple(),
            Arg.OneOf("where", Arg.Word("left", "LEFT"), Arg.Word("right", "RIGHT")),
            Arg.Integer("count").Token("COUNT").Optional(),
        ],
        Handler = &RunLMPop,
    };

    /// <summary>BLPOP key … timeout</summary>
    public static readonly CommandSpec BLPop = new("blpop", -3)
    {
        Since = "2.0.0",
        Group = CommandGroup.List,
        Complexity = "O(N) where N is the number of provided keys.",
        Summary = "Removes and returns the first element in a list. Blocks until an element is available otherwise. Deletes the list if the last element was popped.",
        Flags = CommandFlags.Write | CommandFlags.Blocking | CommandFlags.EndsBatch,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Delete, last: -2)],
        Args = [Arg.Key("key").Multiple(), Arg.Double("timeout")],
        History = [("6.0.0", "`timeout` is interpreted as a double instead of an integer.")],
        Handler = &RunBLPop,
    };

    /// <summary>BRPOP key … timeout</summary>
    public static readonly CommandSpec BRPop = new("brpop", -3)
    {
        Since = "2.0.0",
        Group = CommandGroup.List,
        Complexity = "O(N) where N is the number of provided keys.",
        Summary = "Removes and returns the last element in a list. Blocks until an element is available otherwise. Deletes the list if the last element was popped.",
        Flags = CommandFlags.Write | CommandFlags.Blocking | CommandFlags.EndsBatch,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Delete, last: -2)],
        Args = [Arg.Key("key").Multiple(), Arg.Double("timeout")],
        History = [("6.0.0", "`timeout` is interpreted as a double instead of an integer.")],
        Handler = &RunBRPop,
    };

    /// <summary>BLMOVE source destination LEFT | RIGHT LEFT | RIGHT timeout</summary>
    public static readonly CommandSpec BLMove = new("blmove", 6)
    {
        Since = "6.2.0",
        Group = CommandGroup.List,
        Complexity = "O(1)",
        Summary = "Pops an element from a list, pushes it to another list and returns it. Blocks until an element is available otherwise. Deletes the list if the last element was moved.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Blocking | CommandFlags.EndsBatch,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Delete), KeySpec.At(2, KeyAccess.ReadWrite | KeyAccess.Insert)],
        Args =
        [
            Arg.Key("source"),
            Arg.Key("destination", 1),
            Arg.OneOf("wherefrom", Arg.Word("left", "LEFT"), Arg.Word("right", "RIGHT")),
            Arg.OneOf("whereto", Arg.Word("left", "LEFT"), Arg.Word("right", "RIGHT")),
            Arg.Double("timeout"),
        ],
        Handler = &RunBLMove,
    };

    /// <summary>BRPOPLPUSH source destination timeout</summary>
    public static readonly CommandSpec BRPopLPush = new("brpoplpush", 4)
    {
        Since = "2.2.0",
        Group = CommandGroup.List,
        Complexity = "O(1)",
        Summary = "Pops an element from a list, pushes it to another list and returns it. Block until an element is available otherwise. Deletes the list if the last element was popped.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Blocking | CommandFlags.EndsBatch,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Delete), KeySpec.At(2, KeyAccess.ReadWrite | KeyAccess.Insert)],
        Args = [Arg.Key("source"), Arg.Key("destination", 1), Arg.Double("timeout")],
        History = [("6.0.0", "`timeout` is interpreted as a double instead of an integer.")],
        DeprecatedSince = "6.2.0",
        ReplacedBy = "`BLMOVE` with the `RIGHT` and `LEFT` arguments",
        Handler = &RunBRPopLPush,
    };

    /// <summary>BLMPOP timeout numkeys key … LEFT | RIGHT [COUNT count]</summary>
    public static readonly CommandSpec BLMPop = new("blmpop", -5)
    {
        Since = "7.0.0",
        Group = CommandGroup.List,
        Complexity = "O(N+M) where N is the number of provided keys and M is the number of elements returned.",
        Summary = "Pops the first element from one of multiple lists. Blocks until an element is available otherwise. Deletes the list if the last element was popped.",
        Flags = CommandFlags.Write | CommandFlags.Blocking | CommandFlags.EndsBatch,
        Keys = [KeySpec.Counted(2, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Delete)],
        Args =
        [
            Arg.Double("timeout"),
            Arg.Integer("numkeys"),
            Arg.Key("key").Multiple(),
            Arg.OneOf("where", Arg.Word("left", "LEFT"), Arg.Word("right", "RIGHT")),
            Arg.Integer("count").Token("COUNT").Optional(),
        ],
        Handler = &RunBLMPop,
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All =>
    [
        LPush, RPush, LPushX, RPushX, LPop, RPop, LLen, LRange, LIndex, LSet, LInsert,
        LRem, LTrim, LPos, LMove, RPopLPush, LMPop, BLPop, BRPop, BLMove, BRPopLPush, BLMPop,
    ];

    // ------------------------------------------------------------------ pushing and popping

    private static void RunLPush(CommandContext c) => Push(c, ListSide.Head, onlyIfExists: false);

    private static void RunRPush(CommandContext c) => Push(c, ListSide.Tail, onlyIfExists: false);

    private static void RunLPushX(CommandContext c) => Push(c, ListSide.Head, onlyIfExists: true);

    private static void RunRPushX(CommandContext c) => Push(c, ListSide.Tail, onlyIfExists: true);

    private static void Push(CommandContext c, ListSide side, bool onlyIfExists)
    {
        Key key = c.Key(1);
        if (!c.TryReadForWrite(key, DataType.List, out byte* record))
        {
            return;
        }

        if (onlyIfExists && record == null)
        {
            c.Reply.Integer(0);
            return;
        }

        long count = new ListValue(record).Count;
        c.Effects.ListPush(key, side, c.Args + 2, c.Count - 2);
        c.Notify(KeyspaceEvents.List, side == ListSide.Head ? "lpush"u8 : "rpush"u8, key);
        c.Reply.Integer(count + c.Count - 2);
    }

    private static void RunLPop(CommandContext c) => Pop(c, ListSide.Head);

    private static void RunRPop(CommandContext c) => Pop(c, ListSide.Tail);

    private static void Pop(CommandContext c, ListSide side)
    {
        if (c.Count > 3)
        {
            c.WrongArity();
            return;
        }

        long count = 0;
        bool counted = c.Count == 3;
        if (counted && (!c[2].TryLong(out count) || count < 0))
        {
            c.Error(Errors.NotPositive);
            return;
        }

        Key key = c.Key(1);
        if (!c.TryReadForWrite(key, DataType.List, out byte* record))
        {
            return;
        }

        if (record == null)
        {
            if (counted)
            {
                c.Reply.NullArray();
            }
            else
            {
                c.Reply.Null();
            }

            return;
        }

        var list = new ListValue(record);
        if (!counted)
        {
            list.End(side).Reply(c.Reply);
            Take(c, key, side, 1, list.Count);
            return;
        }

        long total = list.Count;
        count = Math.Min(count, total);
        c.Reply.Array(count);
        ReplyFrom(c.Reply, list, side, count);
        if (count > 0)
        {
            Take(c, key, side, count, total);
        }
    }

    private static void ReplyFrom(RespWriter reply, ListValue list, ListSide side, long count)
    {
        ListCursor cursor = list.End(side);
        for (long i = 0; i < count; i++, cursor.Move(side == ListSide.Tail))
        {
            cursor.Reply(reply);
        }
    }

    /// <summary>Removes elements that were replied already, and tells of it.</summary>
    private static void Take(CommandContext c, in Key key, ListSide side, long count, long total)
    {
        c.Effects.ListPop(key, side, count);
        c.Notify(KeyspaceEvents.List, side == ListSide.Head ? "lpop"u8 : "rpop"u8, key);
        if (count == total)
        {
            c.Notify(KeyspaceEvents.Generic, "del"u8, key);
        }
    }

    // ------------------------------------------------------------------ looking

    private static void RunLLen(CommandContext c)
    {
        if (c.TryRead(c.Key(1), DataType.List, out byte* record))
        {
            c.Reply.Integer(new ListValue(record).Count);
        }
    }

    private static void RunLRange(CommandContext c)
    {
        if (!c.TryLong(2, out long start) || !c.TryLong(3, out long stop) || !c.TryRead(c.Key(1), DataType.List, out byte* record))
        {
            return;
        }

        var list = new ListValue(record);
        long total = list.Count;
        start = Math.Max(start < 0 ? start + total : start, 0);
        stop = Math.Min(stop < 0 ? stop + total : stop, total - 1);
        if (start > stop)
        {
            c.Reply.EmptyArray();
            return;
        }

        c.Reply.Array(stop - start + 1);
        ListCursor cursor = list.At(start);
        for (long i = start; i <= stop; i++, cursor.Move(backwards: false))
        {
            cursor.Reply(c.Reply);
        }
    }

    private static void RunLIndex(CommandContext c)
    {
        if (!c.TryRead(c.Key(1), DataType.List, out byte* record))
        {
            return;
        }

        if (record == null)
        {
            c.Reply.Null();
            return;
        }

        if (!c.TryLong(2, out long index))
        {
            return;
        }

        ListCursor cursor = new ListValue(record).At(index);
        if (cursor.IsValid)
        {
            cursor.Reply(c.Reply);
        }
        else
        {
            c.Reply.Null();
        }
    }

    private static void RunLPos(CommandContext c)
    {
        long rank = 1, count = -1, maxLength = 0;
        for (int i = 3; i < c.Count; i += 2)
        {
            if (i + 1 >= c.Count)
            {
                c.Error(Errors.Syntax);
                return;
            }

            if (c.Is(i, "RANK"u8))
            {
                if (!c.TryLong(i + 1, out rank))
                {
                    return;
                }

                if (rank == long.MinValue)
                {
                    c.Error(Errors.NotNegatable);
                    return;
                }

                if (rank == 0)
                {
                    c.Error("ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list"u8);
                    return;
                }
            }
            else if (c.Is(i, "COUNT"u8))
            {
                if (!c[i + 1].TryLong(out count) || count < 0)
                {
                    c.Error("ERR COUNT can't be negative"u8);
                    return;
                }
            }
            else if (c.Is(i, "MAXLEN"u8))
            {
                if (!c[i + 1].TryLong(out maxLength) || maxLength < 0)
                {
                    c.Error("ERR MAXLEN can't be negative"u8);
                    return;
                }
            }
            else
            {
                c.Error(Errors.Syntax);
                return;
            }
        }

        if (!c.TryRead(c.Key(1), DataType.List, out byte* record))
        {
            return;
        }

        var list = new ListValue(record);
        long total = list.Count, mark = count >= 0 ? c.Reply.BeginDeferred() : 0, found = 0, skip = Math.Abs(rank) - 1;
        bool backwards = rank < 0, replied = false;
        if (record != null)
        {
            var value = new PackValue(c[2].Span);
            ListCursor cursor = list.End(backwards ? ListSide.Tail : ListSide.Head);
            for (long looked = 0; cursor.IsValid && (maxLength == 0 || looked < maxLength); looked++, cursor.Move(backwards))
            {
                if (!cursor.ElementEquals(value) || skip-- > 0)
                {
                    continue;
                }

                c.Reply.Integer(backwards ? total - 1 - looked : looked);
                replied = true;
                found++;
                if (count < 0 || found == count)
                {
                    break;
                }
            }
        }

        if (count >= 0)
        {
            c.Reply.EndDeferredArray(mark, found);
        }
        else if (!replied)
        {
            c.Reply.Null();
        }
    }

    // ------------------------------------------------------------------ changing in place

    private static void RunLSet(CommandContext c)
    {
        Key key = c.Key(1);
        byte* record = c.Database.LookupForWrite(key);
        if (record == null)
        {
            c.Error(Errors.NoSuchKey);
            return;
        }

        if (!c.TryReadForWrite(key, DataType.List, out record) || !c.TryLong(2, out long index))
        {
            return;
        }

        if (!new ListValue(record).At(index).IsValid)
        {
            c.Error(Errors.IndexOutOfRange);
            return;
        }

        c.Effects.ListSet(key, index, c[3]);
        c.Notify(KeyspaceEvents.List, "lset"u8, key);
        c.Reply.Ok();
    }

    private static void RunLInsert(CommandContext c)
    {
        bool after = c.Is(2, "AFTER"u8);
        if (!after && !c.Is(2, "BEFORE"u8))
        {
            c.Error(Errors.Syntax);
            return;
        }

        Key key = c.Key(1);
        if (!c.TryReadForWrite(key, DataType.List, out byte* record))
        {
            return;
        }

        var list = new ListValue(record);
        if (record == null)
        {
            c.Reply.Integer(0);
            return;
        }

        var pivot = new PackValue(c[3].Span);
        long index = 0, total = list.Count;
        ListCursor cursor = list.At(0);
        while (cursor.IsValid && !cursor.ElementEquals(pivot))
        {
            cursor.Move(backwards: false);
            index++;
        }

        if (!cursor.IsValid)
        {
            c.Reply.Integer(-1);
            return;
        }

        c.Effects.ListInsert(key, after ? index + 1 : index, c[4]);
        c.Notify(KeyspaceEvents.List, "linsert"u8, key);
        c.Reply.Integer(total + 1);
    }

    private static void RunLRem(CommandContext c)
    {
        if (!c.TryLong(2, out long count))
        {
            return;
        }

        if (count == long.MinValue)
        {
            // It has no negative; like any such count, it means all of them, from the tail.
            count = -long.MaxValue;
        }

        Key key = c.Key(1);
        if (!c.TryReadForWrite(key, DataType.List, out byte* record))
        {
            return;
        }

        if (record == null || !Contains(new ListValue(record), c[3]))
        {
            c.Reply.Integer(0);
            return;
        }

        long removed = c.Effects.ListRemove(key, count, c[3]);
        c.Notify(KeyspaceEvents.List, "lrem"u8, key);
        NotifyIfGone(c, key);
        c.Reply.Integer(removed);
    }

    private static bool Contains(ListValue list, Slice element)
    {
        var value = new PackValue(element.Span);
        for (ListCursor cursor = list.At(0); cursor.IsValid; cursor.Move(backwards: false))
        {
            if (cursor.ElementEquals(value))
            {
                return true;
            }
        }

        return false;
    }

    private static void NotifyIfGone(CommandContext c, in Key key)
    {
        if (c.Database.Peek(key) == null)
        {
            c.Notify(KeyspaceEvents.Generic, "del"u8, key);
        }
    }

    private static void RunLTrim(CommandContext c)
    {
        Key key = c.Key(1);
        if (!c.TryLong(2, out long start) || !c.TryLong(3, out long stop) || !c.TryReadForWrite(key, DataType.List, out byte* record))
        {
            return;
        }

        if (record != null)
        {
            c.Effects.ListTrim(key, start, stop);
            c.Notify(KeyspaceEvents.List, "ltrim"u8, key);
            NotifyIfGone(c, key);
        }

        c.Reply.Ok();
    }

    // ------------------------------------------------------------------ moving

    private static bool TrySide(CommandContext c, int index, out ListSide side)
    {
        side = c.Is(index, "RIGHT"u8) ? ListSide.Tail : ListSide.Head;
        if (side == ListSide.Tail || c.Is(index, "LEFT"u8))
        {
            return true;
        }

        c.Error(Errors.Syntax);
        return false;
    }

    private static void RunLMove(CommandContext c)
    {
        if (TrySide(c, 3, out ListSide from) && TrySide(c, 4, out ListSide to))
        {
            Move(c, from, to, blockMs: -1);
        }
    }

    private static void RunRPopLPush(CommandContext c) => Move(c, ListSide.Tail, ListSide.Head, blockMs: -1);

    private static void RunBLMove(CommandContext c)
    {
        if (TrySide(c, 3, out ListSide from) && TrySide(c, 4, out ListSide to) && c.TryTimeout(5, out long timeout))
        {
            Move(c, from, to, timeout);
        }
    }

    private static void RunBRPopLPush(CommandContext c)
    {
        if (c.TryTimeout(3, out long timeout))
        {
            Move(c, ListSide.Tail, ListSide.Head, timeout);
        }
    }

    /// <summary>LMOVE and its kin; waits for an element when <paramref name="blockMs"/> is not negative.</summary>
    private static void Move(CommandContext c, ListSide from, ListSide to, long blockMs)
    {
        Key source = c.Key(1), target = c.Key(2);
        if (!c.TryReadForWrite(source, DataType.List, out byte* record))
        {
            return;
        }

        if (record == null)
        {
            // A wait that ends in vain is told as a null array; where there is no wait (EXEC) it is LMOVE's null.
            if (blockMs >= 0 && !c.CannotBlock)
            {
                c.Block(1, 1, DataType.List, blockMs, static reply => reply.NullArray());
            }
            else
            {
                c.Reply.Null();
            }

            return;
        }

        if (!c.TryReadForWrite(target, DataType.List, out _))
        {
            return;
        }

        var list = new ListValue(record);
        bool empties = list.Count == 1 && !source.Span.SequenceEqual(target.Span);
        list.End(from).Reply(c.Reply);
        c.Effects.ListMove(source, target, from, to);
        c.Notify(KeyspaceEvents.List, to == ListSide.Head ? "lpush"u8 : "rpush"u8, target);
        c.Notify(KeyspaceEvents.List, from == ListSide.Head ? "lpop"u8 : "rpop"u8, source);
        if (empties)
        {
            c.Notify(KeyspaceEvents.Generic, "del"u8, source);
        }
    }

    // ------------------------------------------------------------------ several keys

    private static void RunBLPop(CommandContext c) => BlockingPop(c, ListSide.Head);

    private static void RunBRPop(CommandContext c) => BlockingPop(c, ListSide.Tail);

    private static void BlockingPop(CommandContext c, ListSide side)
    {
        if (!c.TryTimeout(c.Count - 1, out long timeout))
        {
            return;
        }

        for (int i = 1; i < c.Count - 1; i++)
        {
            Key key = c.Key(i);
            if (!c.TryReadForWrite(key, DataType.List, out byte* record))
            {
                return;
            }

            if (record == null)
            {
                continue;
            }

            var list = new ListValue(record);
            c.Reply.Array(2);
            c.Reply.Bulk(c[i]);
            list.End(side).Reply(c.Reply);
            Take(c, key, side, 1, list.Count);
            return;
        }

        c.Block(1, c.Count - 2, DataType.List, timeout, static reply => reply.NullArray());
    }

    private static void RunLMPop(CommandContext c) => PopFromFirst(c, 1, blockMs: -1);

    private static void RunBLMPop(CommandContext c)
    {
        if (c.TryTimeout(1, out long timeout))
        {
            PopFromFirst(c, 2, timeout);
        }
    }

    /// <summary>LMPOP and BLMPOP: numkeys stands at <paramref name="at"/>.</summary>
    private static void PopFromFirst(CommandContext c, int at, long blockMs)
    {
        if (!c[at].TryLong(out long keys) || keys <= 0)
        {
            c.Error("ERR numkeys should be greater than 0"u8);
            return;
        }

        long where = at + keys + 1;
        if (where >= c.Count)
        {
            c.Error(Errors.Syntax);
            return;
        }

        if (!TrySide(c, (int)where, out ListSide side))
        {
            return;
        }

        long count = -1;
        for (int i = (int)where + 1; i < c.Count; i += 2)
        {
            if (count != -1 || !c.Is(i, "COUNT"u8) || i + 1 >= c.Count)
            {
                c.Error(Errors.Syntax);
                return;
            }

            if (!c[i + 1].TryLong(out count) || count <= 0)
            {
                c.Error("ERR count should be greater than 0"u8);
                return;
            }
        }

        for (int i = at + 1; i < where; i++)
        {
            Key key = c.Key(i);
            if (!c.TryReadForWrite(key, DataType.List, out byte* record))
            {
                return;
            }

            if (record == null)
            {
                continue;
            }

            var list = new ListValue(record);
            long total = list.Count, taken = Math.Min(Math.Max(count, 1), total);
            c.Reply.Array(2);
            c.Reply.Bulk(c[i]);
            c.Reply.Array(taken);
            ReplyFrom(c.Reply, list, side, taken);
            Take(c, key, side, taken, total);
            return;
        }

        if (blockMs >= 0)
        {
            c.Block(at + 1, (int)keys, DataType.List, blockMs, static reply => reply.NullArray());
        }
        else
        {
            c.Reply.NullArray();
        }
    }
}
