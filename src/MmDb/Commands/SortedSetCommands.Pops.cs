using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb.Commands;

/// <content>Pops from either end, also those that wait for something to pop.</content>
public static unsafe partial class SortedSetCommands
{
    /// <summary>ZPOPMIN key [count]</summary>
    public static readonly CommandSpec PopMin = new("zpopmin", -2)
    {
        Since = "5.0.0",
        Group = CommandGroup.SortedSet,
        Complexity = "O(log(N)*M) with N being the number of elements in the sorted set, and M being the number of elements popped.",
        Summary = "Returns the lowest-scoring members from a sorted set after removing them. Deletes the sorted set if the last member was popped.",
        Flags = CommandFlags.Write | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Delete)],
        Args = [Arg.Key("key"), Arg.Integer("count").Optional()],
        Handler = &RunPopMin,
    };

    /// <summary>ZPOPMAX key [count]</summary>
    public static readonly CommandSpec PopMax = new("zpopmax", -2)
    {
        Since = "5.0.0",
        Group = CommandGroup.SortedSet,
        Complexity = "O(log(N)*M) with N being the number of elements in the sorted set, and M being the number of elements popped.",
        Summary = "Returns the highest-scoring members from a sorted set after removing them. Deletes the sorted set if the last member was popped.",
        Flags = CommandFlags.Write | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Delete)],
        Args = [Arg.Key("key"), Arg.Integer("count").Optional()],
        Handler = &RunPopMax,
    };

    /// <summary>ZMPOP numkeys key … (MIN | MAX) [COUNT count]</summary>
    public static readonly CommandSpec MPop = new("zmpop", -4)
    {
        Since = "7.0.0",
        Group = CommandGroup.SortedSet,
        Complexity = "O(K) + O(M*log(N)) where K is the number of provided keys, N being the number of elements in the sorted set, and M being the number of elements popped.",
        Summary = "Returns the highest- or lowest-scoring members from one or more sorted sets after removing them. Deletes the sorted set if the last member was popped.",
        Flags = CommandFlags.Write,
        Keys = [KeySpec.Counted(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Delete)],
        Args =
        [
            Arg.Integer("numkeys"),
            Arg.Key("key").Multiple(),
            Arg.OneOf("where", Arg.Word("min", "MIN"), Arg.Word("max", "MAX")),
            Arg.Integer("count").Token("COUNT").Optional(),
        ],
        Handler = &RunMPop,
    };

    /// <summary>BZPOPMIN key … timeout</summary>
    public static readonly CommandSpec BlockingPopMin = new("bzpopmin", -3)
    {
        Since = "5.0.0",
        Group = CommandGroup.SortedSet,
        Complexity = "O(log(N)) with N being the number of elements in the sorted set.",
        Summary = "Removes and returns the member with the lowest score from one or more sorted sets. Blocks until a member is available otherwise. Deletes the sorted set if the last element was popped.",
        Flags = CommandFlags.Write | CommandFlags.Fast | CommandFlags.Blocking | CommandFlags.EndsBatch,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Delete, last: -2)],
        Args = [Arg.Key("key").Multiple(), Arg.Double("timeout")],
        History = [("6.0.0", "`timeout` is interpreted as a double instead of an integer.")],
        Handler = &RunBlockingPopMin,
    };

    /// <summary>BZPOPMAX key … timeout</summary>
    public static readonly CommandSpec BlockingPopMax = new("bzpopmax", -3)
    {
        Since = "5.0.0",
        Group = CommandGroup.SortedSet,
        Complexity = "O(log(N)) with N being the number of elements in the sorted set.",
        Summary = "Removes and returns the member with the highest score from one or more sorted sets. Blocks until a member available otherwise.  Deletes the sorted set if the last element was popped.",
        Flags = CommandFlags.Write | CommandFlags.Fast | CommandFlags.Blocking | CommandFlags.EndsBatch,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Delete, last: -2)],
        Args = [Arg.Key("key").Multiple(), Arg.Double("timeout")],
        History = [("6.0.0", "`timeout` is interpreted as a double instead of an integer.")],
        Handler = &RunBlockingPopMax,
    };

    /// <summary>BZMPOP timeout numkeys key … (MIN | MAX) [COUNT count]</summary>
    public static readonly CommandSpec BlockingMPop = new("bzmpop", -5)
    {
        Since = "7.0.0",
        Group = CommandGroup.SortedSet,
        Complexity = "O(K) + O(M*log(N)) where K is the number of provided keys, N being the number of elements in the sorted set, and M being the number of elements popped.",
        Summary = "Removes and returns a member by score from one or more sorted sets. Blocks until a member is available otherwise. Deletes the sorted set if the last element was popped.",
        Flags = CommandFlags.Write | CommandFlags.Blocking | CommandFlags.EndsBatch,
        Keys = [KeySpec.Counted(2, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Delete)],
        Args =
        [
            Arg.Double("timeout"),
            Arg.Integer("numkeys"),
            Arg.Key("key").Multiple(),
            Arg.OneOf("where", Arg.Word("min", "MIN"), Arg.Word("max", "MAX")),
            Arg.Integer("count").Token("COUNT").Optional(),
        ],
        Handler = &RunBlockingMPop,
    };

    private static IEnumerable<CommandSpec> Pops => [PopMin, PopMax, MPop, BlockingPopMin, BlockingPopMax, BlockingMPop];

    private static void RunPopMin(CommandContext c) => PopOne(c, highest: false);

    private static void RunPopMax(CommandContext c) => PopOne(c, highest: true);

    private static void PopOne(CommandContext c, bool highest)
    {
        if (c.Count > 3)
        {
            c.Error(Errors.Syntax);
            return;
        }

        long count = 1;
        if (c.Count == 3 && !c.TryLong(2, 0, long.MaxValue, Errors.NotPositive, out count))
        {
            return;
        }

        Key key = c.Key(1);
        if (!c.TryReadForWrite(key, DataType.SortedSet, out byte* record))
        {
            return;
        }

        if (record == null || count == 0)
        {
            c.Reply.EmptyArray();
            return;
        }

        // With a count, RESP3 gets pairs; without one, or in RESP2, a flat array.
        count = Math.Min(count, new SortedSetValue(record).Count);
        bool pairs = c.Count == 3 && c.Reply.Version != 2;
        c.Reply.Array(pairs ? count : count * 2);
        Pop(c, key, record, highest, count, pairs);
    }

    /// <summary>Replies members from one end and removes them.</summary>
    private static void Pop(CommandContext c, in Key key, byte* record, bool highest, long count, bool pairs)
    {
        var value = new SortedSetValue(record);
        long total = value.Count;
        SortedSetCursor cursor = value.At(highest ? total - 1 : 0);
        for (long i = 0; i < count; i++)
        {
            if (pairs)
            {
                c.Reply.Array(2);
            }

            if (cursor.Get(out byte* member, out int length, out long integer))
            {
                c.Reply.BulkInteger(integer);
            }
            else
            {
                c.Reply.Bulk(member, length);
            }

            c.Reply.Double(cursor.Score);
            if (highest)
            {
                cursor.MovePrevious();
            }
            else
            {
                cursor.MoveNext();
            }
        }

        c.Effects.SortedSetPop(key, highest, count);
        NotifyRemoved(c, highest ? "zpopmax"u8 : "zpopmin"u8, key, count == total);
    }

    private static void RunBlockingPopMin(CommandContext c) => BlockingPop(c, highest: false);

    private static void RunBlockingPopMax(CommandContext c) => BlockingPop(c, highest: true);

    private static void BlockingPop(CommandContext c, bool highest)
    {
        int keys = c.Count - 2;
        if (!c.TryTimeout(c.Count - 1, out long timeoutMs) || !TryFirst(c, 1, keys, out Key key, out byte* record))
        {
            return;
        }

        if (record == null)
        {
            c.Block(1, keys, DataType.SortedSet, timeoutMs, static reply => reply.NullArray());
            return;
        }

        c.Reply.Array(3);
        c.Reply.Bulk(key.Name, key.Length);
        Pop(c, key, record, highest, 1, pairs: false);
    }

    private static void RunMPop(CommandContext c)
    {
        if (!TryMPop(c, 1, out int keys, out bool highest, out long count) || !TryFirst(c, 2, keys, out Key key, out byte* record))
        {
            return;
        }

        if (record == null)
        {
            c.Reply.NullArray();
            return;
        }

        PopMany(c, key, record, highest, count);
    }

    private static void RunBlockingMPop(CommandContext c)
    {
        if (!TryMPop(c, 2, out int keys, out bool highest, out long count)
            || !c.TryTimeout(1, out long timeoutMs)
            || !TryFirst(c, 3, keys, out Key key, out byte* record))
        {
            return;
        }

        if (record == null)
        {
            c.Block(3, keys, DataType.SortedSet, timeoutMs, static reply => reply.NullArray());
            return;
        }

        PopMany(c, key, record, highest, count);
    }

    private static void PopMany(CommandContext c, in Key key, byte* record, bool highest, long count)
    {
        count = Math.Min(count, new SortedSetValue(record).Count);
        c.Reply.Array(2);
        c.Reply.Bulk(key.Name, key.Length);
        c.Reply.Array(count);
        Pop(c, key, record, highest, count, pairs: true);
    }

    /// <summary>The first of several keys that exists (record null: none does), or replies that it is no sorted set.</summary>
    private static bool TryFirst(CommandContext c, int firstKey, int keys, out Key key, out byte* record)
    {
        key = default;
        record = null;
        for (int i = 0; i < keys && record == null; i++)
        {
            key = c.Key(firstKey + i);
            if (!c.TryReadForWrite(key, DataType.SortedSet, out record))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Reads the words of ZMPOP from numkeys on, or replies what is wrong with them.</summary>
    private static bool TryMPop(CommandContext c, int numKeysIndex, out int keys, out bool highest, out long count)
    {
        keys = 0;
        highest = false;
        count = -1;
        if (!c.TryLong(numKeysIndex, 1, long.MaxValue, Errors.NumKeys, out long number))
        {
            return false;
        }

        if (number >= c.Count - numKeysIndex - 1)
        {
            c.Error(Errors.Syntax);
            return false;
        }

        keys = (int)number;
        int end = numKeysIndex + keys + 1;
        highest = c.Is(end, "MAX"u8);
        if (!highest && !c.Is(end, "MIN"u8))
        {
            c.Error(Errors.Syntax);
            return false;
        }

        for (int i = end + 1; i < c.Count; i += 2)
        {
            if (count != -1 || i + 1 == c.Count || !c.Is(i, "COUNT"u8))
            {
                c.Error(Errors.Syntax);
                return false;
            }

            if (!c.TryLong(i + 1, 1, long.MaxValue, Errors.CountNotPositive, out count))
            {
                return false;
            }
        }

        if (count == -1)
        {
            count = 1;
        }

        return true;
    }
}
