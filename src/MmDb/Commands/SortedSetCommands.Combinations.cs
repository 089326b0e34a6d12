using System.Buffers;
using Leither.MmDb.Memory;
using Leither.MmDb.Values;

namespace Leither.MmDb.Commands;

/// <content>Unions, intersections and differences, replied or stored.</content>
public static unsafe partial class SortedSetCommands
{
    /// <summary>ZUNION numkeys key … [WEIGHTS weight …] [AGGREGATE SUM | MIN | MAX] [WITHSCORES]</summary>
    public static readonly CommandSpec Union = new("zunion", -3)
    {
        Since = "6.2.0",
        Group = CommandGroup.SortedSet,
        Complexity = "O(N)+O(M*log(M)) with N being the sum of the sizes of the input sorted sets, and M being the number of elements in the resulting sorted set.",
        Summary = "Returns the union of multiple sorted sets.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.Counted(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args =
        [
            Arg.Integer("numkeys"),
            Arg.Key("key").Multiple(),
            Arg.Integer("weight").Token("WEIGHTS").Optional().Multiple(),
            Arg.OneOf("aggregate", Arg.Word("sum", "SUM"), Arg.Word("min", "MIN"), Arg.Word("max", "MAX")).Token("AGGREGATE").Optional(),
            Arg.Word("withscores", "WITHSCORES").Optional(),
        ],
        Handler = &RunUnion,
    };

    /// <summary>ZUNIONSTORE destination numkeys key … [WEIGHTS weight …] [AGGREGATE SUM | MIN | MAX]</summary>
    public static readonly CommandSpec UnionStore = new("zunionstore", -4)
    {
        Since = "2.0.0",
        Group = CommandGroup.SortedSet,
        Complexity = "O(N)+O(M log(M)) with N being the sum of the sizes of the input sorted sets, and M being the number of elements in the resulting sorted set.",
        Summary = "Stores the union of multiple sorted sets in a key.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom,
        Keys =
        [
            KeySpec.At(1, KeyAccess.Overwrite | KeyAccess.Update),
            KeySpec.Counted(2, KeyAccess.ReadOnly | KeyAccess.Access),
        ],
        Args =
        [
            Arg.Key("destination"),
            Arg.Integer("numkeys"),
            Arg.Key("key", 1).Multiple(),
            Arg.Integer("weight").Token("WEIGHTS").Optional().Multiple(),
            Arg.OneOf("aggregate", Arg.Word("sum", "SUM"), Arg.Word("min", "MIN"), Arg.Word("max", "MAX")).Token("AGGREGATE").Optional(),
        ],
        Handler = &RunUnionStore,
    };

    /// <summary>ZINTER numkeys key … [WEIGHTS weight …] [AGGREGATE SUM | MIN | MAX] [WITHSCORES]</summary>
    public static readonly CommandSpec Inter = new("zinter", -3)
    {
        Since = "6.2.0",
        Group = CommandGroup.SortedSet,
        Complexity = "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the number of input sorted sets and M being the number of elements in the resulting sorted set.",
        Summary = "Returns the intersect of multiple sorted sets.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.Counted(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args =
        [
            Arg.Integer("numkeys"),
            Arg.Key("key").Multiple(),
            Arg.Integer("weight").Token("WEIGHTS").Optional().Multiple(),
            Arg.OneOf("aggregate", Arg.Word("sum", "SUM"), Arg.Word("min", "MIN"), Arg.Word("max", "MAX")).Token("AGGREGATE").Optional(),
            Arg.Word("withscores", "WITHSCORES").Optional(),
        ],
        Handler = &RunInter,
    };

    /// <summary>ZINTERSTORE destination numkeys key … [WEIGHTS weight …] [AGGREGATE SUM | MIN | MAX]</summary>
    public static readonly CommandSpec InterStore = new("zinterstore", -4)
    {
        Since = "2.0.0",
        Group = CommandGroup.SortedSet,
        Complexity = "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the number of input sorted sets and M being the number of elements in the resulting sorted set.",
        Summary = "Stores the intersect of multiple sorted sets in a key.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom,
        Keys =
        [
            KeySpec.At(1, KeyAccess.Overwrite | KeyAccess.Update),
            KeySpec.Counted(2, KeyAccess.ReadOnly | KeyAccess.Access),
        ],
        Args =
        [
            Arg.Key("destination"),
            Arg.Integer("numkeys"),
            Arg.Key("key", 1).Multiple(),
            Arg.Integer("weight").Token("WEIGHTS").Optional().Multiple(),
            Arg.OneOf("aggregate", Arg.Word("sum", "SUM"), Arg.Word("min", "MIN"), Arg.Word("max", "MAX")).Token("AGGREGATE").Optional(),
        ],
        Handler = &RunInterStore,
    };

    /// <summary>ZINTERCARD numkeys key … [LIMIT limit]</summary>
    public static readonly CommandSpec InterCard = new("zintercard", -3)
    {
        Since = "7.0.0",
        Group = CommandGroup.SortedSet,
        Complexity = "O(N*K) worst case with N being the smallest input sorted set, K being the number of input sorted sets.",
        Summary = "Returns the number of members of the intersect of multiple sorted sets.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.Counted(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Integer("numkeys"), Arg.Key("key").Multiple(), Arg.Integer("limit").Token("LIMIT").Optional()],
        Handler = &RunInterCard,
    };

    /// <summary>ZDIFF numkeys key … [WITHSCORES]</summary>
    public static readonly CommandSpec Diff = new("zdiff", -3)
    {
        Since = "6.2.0",
        Group = CommandGroup.SortedSet,
        Complexity = "O(L + (N-K)log(N)) worst case where L is the total number of elements in all the sets, N is the size of the first set, and K is the size of the result set.",
        Summary = "Returns the difference between multiple sorted sets.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.Counted(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Integer("numkeys"), Arg.Key("key").Multiple(), Arg.Word("withscores", "WITHSCORES").Optional()],
        Handler = &RunDiff,
    };

    /// <summary>ZDIFFSTORE destination numkeys key …</summary>
    public static readonly CommandSpec DiffStore = new("zdiffstore", -4)
    {
        Since = "6.2.0",
        Group = CommandGroup.SortedSet,
        Complexity = "O(L + (N-K)log(N)) worst case where L is the total number of elements in all the sets, N is the size of the first set, and K is the size of the result set.",
        Summary = "Stores the difference of multiple sorted sets in a key.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom,
        Keys =
        [
            KeySpec.At(1, KeyAccess.Overwrite | KeyAccess.Update),
            KeySpec.Counted(2, KeyAccess.ReadOnly | KeyAccess.Access),
        ],
        Args = [Arg.Key("destination"), Arg.Integer("numkeys"), Arg.Key("key", 1).Multiple()],
        Handler = &RunDiffStore,
    };

    private static IEnumerable<CommandSpec> Combinations => [Union, UnionStore, Inter, InterStore, InterCard, Diff, DiffStore];

    private static void RunUnion(CommandContext c) => ReplyCombination(c, SetOperation.Union);

    private static void RunInter(CommandContext c) => ReplyCombination(c, SetOperation.Intersection);

    private static void RunDiff(CommandContext c) => ReplyCombination(c, SetOperation.Difference);

    private static void RunUnionStore(CommandContext c) => Store(c, SetOperation.Union, "zunionstore"u8);

    private static void RunInterStore(CommandContext c) => Store(c, SetOperation.Intersection, "zinterstore"u8);

    private static void RunDiffStore(CommandContext c) => Store(c, SetOperation.Difference, "zdiffstore"u8);

    /// <summary>What a combining command asks for, besides its keys.</summary>
    private struct CombinationRequest
    {
        public SetOperation Operation;
        public bool IsStore;
        public bool IsCardinality;
        public int FirstKey;
        public int Keys;
        public int FirstWeight; // word of the first weight, 0: all are 1
        public ScoreAggregate Aggregate;
        public bool WithScores;
        public long Limit;

        /// <summary>The weight of a source; its word was checked.</summary>
        public readonly double Weight(CommandContext c, int source)
        {
            double weight = 1;
            return FirstWeight == 0 || c[FirstWeight + source].TryDouble(out weight) ? weight : 1;
        }
    }

    private static void ReplyCombination(CommandContext c, SetOperation operation)
    {
        var request = new CombinationRequest { Operation = operation };
        if (!TryCombination(c, 1, ref request))
        {
            return;
        }

        using var combination = new ScoredCombination(c.Keyspace, operation, request.Aggregate);
        for (int i = 0; i < request.Keys; i++)
        {
            combination.Add(c.Database.Peek(c.Key(request.FirstKey + i)), request.Weight(c, i));
        }

        combination.Run();
        BeginMembers(c, combination.Count, request.WithScores);
        for (long i = 0; i < combination.Count; i++)
        {
            ScoredMember member = combination.Items[i];
            if (request.WithScores && c.Reply.Version != 2)
            {
                c.Reply.Array(2);
            }

            c.Reply.Bulk(member.Member, member.Length);
            if (request.WithScores)
            {
                c.Reply.Double(member.Score);
            }
        }
    }

    private static void RunInterCard(CommandContext c)
    {
        var request = new CombinationRequest { Operation = SetOperation.Intersection, IsCardinality = true };
        if (!TryCombination(c, 1, ref request))
        {
            return;
        }

        using var combination = new ScoredCombination(c.Keyspace, SetOperation.Intersection, ScoreAggregate.Sum);
        for (int i = 0; i < request.Keys; i++)
        {
            combination.Add(c.Database.Peek(c.Key(request.FirstKey + i)), request.Weight(c, i));
        }

        combination.Run(request.Limit);
        c.Reply.Integer(combination.Count);
    }

    private static void Store(CommandContext c, SetOperation operation, ReadOnlySpan<byte> name)
    {
        var request = new CombinationRequest { Operation = operation, IsStore = true };
        if (!TryCombination(c, 2, ref request))
        {
            return;
        }

        Key destination = c.Key(1);
        bool existed = c.Database.Peek(destination) != null;
        double[] weights = ArrayPool<double>.Shared.Rent(request.Keys);
        for (int i = 0; i < request.Keys; i++)
        {
            weights[i] = request.Weight(c, i);
        }

        long count;
        fixed (double* first = weights)
        {
            count = c.Effects.SortedSetStore(destination, operation, request.Aggregate, c.Args + request.FirstKey, first, request.Keys);
        }

        ArrayPool<double>.Shared.Return(weights);
        c.Reply.Integer(count);
        if (count != 0)
        {
            c.Notify(KeyspaceEvents.SortedSet, name, destination);
        }
        else if (existed)
        {
            c.Notify(KeyspaceEvents.Generic, "del"u8, destination);
        }
    }

    /// <summary>Reads a combining command's words from numkeys on and checks its sources' types, or replies what is wrong.</summary>
    private static bool TryCombination(CommandContext c, int numKeysIndex, ref CombinationRequest request)
    {
        if (!c.TryLong(numKeysIndex, out long number))
        {
            return false;
        }

        if (number < 1)
        {
            c.Error($"ERR at least 1 input key is needed for '{c.Spec.FullName}' command");
            return false;
        }

        if (number > c.Count - numKeysIndex - 1)
        {
            c.Error(Errors.Syntax);
            return false;
        }

        request.Keys = (int)number;
        request.FirstKey = numKeysIndex + 1;
        for (int i = 0; i < request.Keys; i++)
        {
            byte* record = c.Database.Lookup(c.Key(request.FirstKey + i));
            if (record != null && !ScoredSource.CanBe(record))
            {
                c.Error(Errors.WrongType);
                return false;
            }
        }

        for (int i = request.FirstKey + request.Keys; i < c.Count;)
        {
            if (!TryCombinationOption(c, ref i, ref request))
            {
                return false;
            }
        }

        return true;
    }

    private static bool TryCombinationOption(CommandContext c, ref int index, ref CombinationRequest request)
    {
        bool scored = request.Operation != SetOperation.Difference && !request.IsCardinality;
        int left = c.Count - index;
        if (scored && left > request.Keys && c.Is(index, "WEIGHTS"u8))
        {
            request.FirstWeight = index + 1;
            for (int i = 0; i < request.Keys; i++)
            {
                if (!c[request.FirstWeight + i].TryDouble(out _))
                {
                    c.Error(Errors.WeightNotFloat);
                    return false;
                }
            }

            index += 1 + request.Keys;
            return true;
        }

        if (scored && left > 1 && c.Is(index, "AGGREGATE"u8))
        {
            bool known = true;
            request.Aggregate = c.Is(index + 1, "SUM"u8) ? ScoreAggregate.Sum
                : c.Is(index + 1, "MIN"u8) ? ScoreAggregate.Min
                : (known = c.Is(index + 1, "MAX"u8)) ? ScoreAggregate.Max : default;
            index += 2;
            if (!known)
            {
                c.Error(Errors.Syntax);
            }

            return known;
        }

        if (!request.IsStore && !request.IsCardinality && c.Is(index, "WITHSCORES"u8))
        {
            request.WithScores = true;
            index++;
            return true;
        }

        if (request.IsCardinality && left > 1 && c.Is(index, "LIMIT"u8))
        {
            index += 2;
            return c.TryLong(index - 1, 0, long.MaxValue, Errors.LimitNegative, out request.Limit);
        }

        c.Error(Errors.Syntax);
        return false;
    }
}
