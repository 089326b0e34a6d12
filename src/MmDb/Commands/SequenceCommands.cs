using Leither.MmDb.Log;
using Leither.MmDb.Memory;
using Leither.MmDb.Values;

namespace Leither.MmDb.Commands;

/// <summary>Commands that have to do with the sequence numbers of the MiMei's log: GETLASTSEQ and ZADDWITHSEQ.</summary>
public static unsafe class SequenceCommands
{
    /// <summary>GETLASTSEQ</summary>
    public static readonly CommandSpec GetLastSeq = new("getlastseq", 1)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(1)",
        Summary = "Returns the sequence number of the last entry in the MiMei's log.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Handler = &RunGetLastSeq,
    };

    /// <summary>ZADDWITHSEQ key member …</summary>
    public static readonly CommandSpec ZAddWithSeq = new("zaddwithseq", -3)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(log(N)) for each member, where N is the number of elements in the sorted set.",
        Summary = "Adds members to a sorted set with the sequence number of this entry in the log as their score, and returns it.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Fast,
        Categories = ["sortedset"],
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Update)],
        Args = [Arg.Key("key"), Arg.String("member").Multiple()],
        Handler = &RunZAddWithSeq,
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [GetLastSeq, ZAddWithSeq];

    private static ReadOnlySpan<byte> NoLog => "ERR this MiMei keeps no log (appendonly no), so there are no sequence numbers"u8;

    private static void RunGetLastSeq(CommandContext c)
    {
        if (c.Mimei.Current is not null)
        {
            c.Reply.Integer((long)c.Mimei.PlaceSequence);
        }
        else if (c.Mimei.Log is { } log)
        {
            c.Reply.Integer((long)log.LastSequence);
        }
        else
        {
            c.Error(NoLog);
        }
    }

    private static void RunZAddWithSeq(CommandContext c)
    {
        Key key = c.Key(1);
        if (!c.TryReadForWrite(key, DataType.SortedSet, out _))
        {
            return;
        }

        if (c.Mimei.Log is not { } log)
        {
            c.Error(NoLog);
            return;
        }

        // The number that the entry gets which this command is part of: nothing can come between.
        ulong sequence = log.LastSequence + 1;
        NativeList<ScoredMember> members = default;
        for (int i = 2; i < c.Count; i++)
        {
            members.Add(new ScoredMember { Score = sequence, Member = c[i].Pointer, Length = c[i].Length });
        }

        c.Effects.SortedSetAdd(key, SortedSetConditions.None, members.Items, members.Count);
        members.Dispose();
        c.Notify(KeyspaceEvents.SortedSet, "zadd"u8, key);
        c.Reply.Integer((long)sequence);
    }
}
