using System.Globalization;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb.Commands;

/// <summary>
/// Sorted sets: here adding, removing and looking at members; ranges, pops and combinations stand in the files beside this one.
/// </summary>
public static unsafe partial class SortedSetCommands
{
    /// <summary>ZADD key [NX | XX] [GT | LT] [CH] [INCR] score member …</summary>
    public static readonly CommandSpec Add = new("zadd", -4)
    {
        Since = "1.2.0",
        Group = CommandGroup.SortedSet,
        Complexity = "O(log(N)) for each item added, where N is the number of elements in the sorted set.",
        Summary = "Adds one or more members to a sorted set, or updates their scores. Creates the key if it doesn't exist.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Update)],
        Args =
        [
            Arg.Key("key"),
            Arg.OneOf("condition", Arg.Word("nx", "NX"), Arg.Word("xx", "XX")).Optional().Since("3.0.2"),
            Arg.OneOf("comparison", Arg.Word("gt", "GT"), Arg.Word("lt", "LT")).Optional().Since("6.2.0"),
            Arg.Word("change", "CH").Optional().Since("3.0.2"),
            Arg.Word("increment", "INCR").Optional().Since("3.0.2"),
            Arg.Block("data", Arg.Double("score"), Arg.String("member")).Multiple(),
        ],
        History = [("2.4.0", "Accepts multiple elements."), ("3.0.2", "Added the `XX`, `NX`, `CH` and `INCR` options."), ("6.2.0", "Added the `GT` and `LT` options.")],
        Handler = &RunAdd,
    };

    /// <summary>ZINCRBY key increment member</summary>
    public static readonly CommandSpec IncrBy = new("zincrby", 4)
    {
        Since = "1.2.0",
        Group = CommandGroup.SortedSet,
        Complexity = "O(log(N)) where N is the number of elements in the sorted set.",
        Summary = "Increments the score of a member in a sorted set.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Update)],
        Args = [Arg.Key("key"), Arg.Integer("increment"), Arg.String("member")],
        Handler = &RunIncrBy,
    };

    /// <summary>ZREM key member …</summary>
    public static readonly CommandSpec Rem = new("zrem", -3)
    {
        Since = "1.2.0",
        Group = CommandGroup.SortedSet,
        Complexity = "O(M*log(N)) with N being the number of elements in the sorted set and M the number of elements to be removed.",
        Summary = "Removes one or more members from a sorted set. Deletes the sorted set if all members were removed.",
        Flags = CommandFlags.Write | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Delete)],
        Args = [Arg.Key("key"), Arg.String("member").Multiple()],
        History = [("2.4.0", "Accepts multiple elements.")],
        Handler = &RunRem,
    };

    /// <summary>ZCARD key</summary>
    public static readonly CommandSpec Card = new("zcard", 2)
    {
        Since = "1.2.0",
        Group = CommandGroup.SortedSet,
        Complexity = "O(1)",
        Summary = "Returns the number of members in a sorted set.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly)],
        Args = [Arg.Key("key")],
        Handler = &RunCard,
    };

    /// <summary>ZSCORE key member</summary>
    public static readonly CommandSpec Score = new("zscore", 3)
    {
        Since = "1.2.0",
        Group = CommandGroup.SortedSet,
        Complexity = "O(1)",
        Summary = "Returns the score of a member in a sorted set.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Key("key"), Arg.String("member")],
        Handler = &RunScore,
    };

    /// <summary>ZMSCORE key member …</summary>
    public static readonly CommandSpec MScore = new("zmscore", -3)
    {
        Since = "6.2.0",
        Group = CommandGroup.SortedSet,
        Complexity = "O(N) where N is the number of members being requested.",
        Summary = "Returns the score of one or more members in a sorted set.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Key("key"), Arg.String("member").Multiple()],
        Handler = &RunMScore,
    };

    /// <summary>ZRANK key member [WITHSCORE]</summary>
    public static readonly CommandSpec Rank = new("zrank", -3)
    {
        Since = "2.0.0",
        Group = CommandGroup.SortedSet,
        Complexity = "O(log(N))",
        Summary = "Returns the index of a member in a sorted set ordered by ascending scores.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Key("key"), Arg.String("member"), Arg.Word("withscore", "WITHSCORE").Optional()],
        History = [("7.2.0", "Added the optional `WITHSCORE` argument.")],
        Handler = &RunRank,
    };

    /// <summary>ZREVRANK key member [WITHSCORE]</summary>
    public static readonly CommandSpec RevRank = new("zrevrank", -3)
    {
        Since = "2.0.0",
        Group = CommandGroup.SortedSet,
        Complexity = "O(log(N))",
        Summary = "Returns the index of a member in a sorted set ordered by descending scores.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Key("key"), Arg.String("member"), Arg.Word("withscore", "WITHSCORE").Optional()],
        History = [("7.2.0", "Added the optional `WITHSCORE` argument.")],
        Handler = &RunRevRank,
    };

    /// <summary>ZRANDMEMBER key [count [WITHSCORES]]</summary>
    public static readonly CommandSpec RandMember = new("zrandmember", -2)
    {
        Since = "6.2.0",
        Group = CommandGroup.SortedSet,
        Complexity = "O(N) where N is the number of members returned",
        Summary = "Returns one or more random members from a sorted set.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Key("key"), Arg.Block("options", Arg.Integer("count"), Arg.Word("withscores", "WITHSCORES").Optional()).Optional()],
        Tips = ["nondeterministic_output"],
        Handler = &RunRandMember,
    };

    /// <summary>ZSCAN key cursor [MATCH pattern] [COUNT count]</summary>
    public static readonly CommandSpec Scan = new("zscan", -3)
    {
        Since = "2.8.0",
        Group = CommandGroup.SortedSet,
        Complexity = "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to return back to 0. N is the number of elements inside the collection.",
        Summary = "Iterates over members and scores of a sorted set.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args =
        [
            Arg.Key("key"),
            Arg.Integer("cursor"),
            Arg.Pattern("pattern").Token("MATCH").Optional(),
            Arg.Integer("count").Token("COUNT").Optional(),
        ],
        Tips = ["nondeterministic_output"],
        Handler = &RunScan,
    };

    private static IEnumerable<CommandSpec> Members => [Add, IncrBy, Rem, Card, Score, MScore, Rank, RevRank, RandMember, Scan];

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [.. Members, .. Ranges, .. Pops, .. Combinations];

    // ------------------------------------------------------------------ adding and removing

    /// <summary>The options of ZADD. The first four are the effect's conditions.</summary>
    [Flags]
    internal enum AddOptions
    {
        None = 0,
        IfMissing = SortedSetConditions.IfMissing,
        IfExists = SortedSetConditions.IfExists,
        IfGreater = SortedSetConditions.IfGreater,
        IfLess = SortedSetConditions.IfLess,
        Conditions = IfMissing | IfExists | IfGreater | IfLess,
        CountChanged = 16,
        Increment = 32,
    }

    private static void RunAdd(CommandContext c)
    {
        int first = 2;
        var options = AddOptions.None;
        while (first < c.Count && TryAddOption(c[first], ref options))
        {
            first++;
        }

        AddMembers(c, first, options);
    }

    private static bool TryAddOption(Slice word, ref AddOptions options)
    {
        if (word.Length is not (2 or 4) || word[0] < 'A')
        {
            return false;
        }

        AddOptions option = word.EqualsIgnoreCase("NX"u8) ? AddOptions.IfMissing
            : word.EqualsIgnoreCase("XX"u8) ? AddOptions.IfExists
            : word.EqualsIgnoreCase("GT"u8) ? AddOptions.IfGreater
            : word.EqualsIgnoreCase("LT"u8) ? AddOptions.IfLess
            : word.EqualsIgnoreCase("CH"u8) ? AddOptions.CountChanged
            : word.EqualsIgnoreCase("INCR"u8) ? AddOptions.Increment
            : AddOptions.None;
        options |= option;
        return option != AddOptions.None;
    }

    [SkipLocalsInit]
    private static void AddMembers(CommandContext c, int first, AddOptions options)
    {
        const int maxOnStack = 32;
        int words = c.Count - first;
        int count = words / 2;
        if (words == 0 || words % 2 != 0)
        {
            c.Error(Errors.Syntax);
            return;
        }

        if (options != AddOptions.None && !AreCompatible(c, options, count))
        {
            return;
        }

        ScoredMember* items = stackalloc ScoredMember[maxOnStack];
        if (count > maxOnStack)
        {
            items = (ScoredMember*)NativeMemory.Alloc((nuint)count, (nuint)sizeof(ScoredMember));
        }

        if (TryItems(c, first, items, count))
        {
            AddItems(c, items, count, options);
        }

        if (count > maxOnStack)
        {
            NativeMemory.Free(items);
        }
    }

    /// <summary>Adds members whose scores are known, and replies.</summary>
    internal static void AddItems(CommandContext c, ScoredMember* items, int count, AddOptions options)
    {
        if (!TryReadForAdd(c, out Key key, out byte* record))
        {
            return;
        }

        if ((options & AddOptions.Increment) != 0)
        {
            AddToScore(c, key, record, items, options);
            return;
        }

        (int added, int updated) = record == null && (options & AddOptions.IfExists) != 0
            ? default
            : c.Effects.SortedSetAdd(key, (SortedSetConditions)(options & AddOptions.Conditions), items, count);
        c.Reply.Integer((options & AddOptions.CountChanged) != 0 ? added + updated : added);
        if (added + updated != 0)
        {
            c.Notify(KeyspaceEvents.SortedSet, "zadd"u8, key);
        }
    }

    private static bool AreCompatible(CommandContext c, AddOptions options, int count)
    {
        const AddOptions directions = AddOptions.IfGreater | AddOptions.IfLess;
        if ((options & (AddOptions.IfMissing | AddOptions.IfExists)) == (AddOptions.IfMissing | AddOptions.IfExists))
        {
            c.Error(Errors.AddConditions);
        }
        else if ((options & directions) == directions || ((options & directions) != 0 && (options & AddOptions.IfMissing) != 0))
        {
            c.Error(Errors.AddDirections);
        }
        else if ((options & AddOptions.Increment) != 0 && count > 1)
        {
            c.Error(Errors.IncrementOfSeveral);
        }
        else
        {
            return true;
        }

        return false;
    }

    private static bool TryItems(CommandContext c, int first, ScoredMember* items, int count)
    {
        for (int i = 0; i < count; i++)
        {
            if (!c.TryDouble(first + (2 * i), out items[i].Score))
            {
                return false;
            }

            Slice member = c[first + (2 * i) + 1];
            items[i].Member = member.Pointer;
            items[i].Length = member.Length;
        }

        return true;
    }

    private static bool TryReadForAdd(CommandContext c, out Key key, out byte* record)
    {
        key = c.Key(1);
        return c.TryReadForWrite(key, DataType.SortedSet, out record);
    }

    /// <summary>Adds to a member's score; what is recorded is the sum.</summary>
    private static void AddToScore(CommandContext c, in Key key, byte* record, ScoredMember* item, AddOptions options)
    {
        double current = 0;
        bool found = record != null && new SortedSetValue(record).TryScore(c.Keyspace.Heap, item->Member, item->Length, out current);
        if ((options & (found ? AddOptions.IfMissing : AddOptions.IfExists)) != 0)
        {
            c.Reply.Null();
            return;
        }

        if (found)
        {
            item->Score += current;
            if (double.IsNaN(item->Score))
            {
                c.Error(Errors.ScoreNaN);
                return;
            }

            if (((options & AddOptions.IfGreater) != 0 && item->Score <= current) || ((options & AddOptions.IfLess) != 0 && item->Score >= current))
            {
                c.Reply.Null();
                return;
            }
        }

        (int added, int updated) = c.Effects.SortedSetAdd(key, SortedSetConditions.None, item, 1);
        c.Reply.Double(item->Score);
        if (added + updated != 0)
        {
            c.Notify(KeyspaceEvents.SortedSet, "zincr"u8, key);
        }
    }

    private static void RunIncrBy(CommandContext c) => AddMembers(c, 2, AddOptions.Increment);

    private static void RunRem(CommandContext c)
    {
        Key key = c.Key(1);
        if (!c.TryReadForWrite(key, DataType.SortedSet, out byte* record))
        {
            return;
        }

        int removed = 0;
        if (record != null)
        {
            long count = new SortedSetValue(record).Count;
            removed = c.Effects.SortedSetRemove(key, c.Args + 2, c.Count - 2);
            if (removed != 0)
            {
                NotifyRemoved(c, "zrem"u8, key, removed == count);
            }
        }

        c.Reply.Integer(removed);
    }

    /// <summary>Tells that members went, and the key with the last one.</summary>
    private static void NotifyRemoved(CommandContext c, ReadOnlySpan<byte> name, in Key key, bool all)
    {
        c.Notify(KeyspaceEvents.SortedSet, name, key);
        if (all)
        {
            c.Notify(KeyspaceEvents.Generic, "del"u8, key);
        }
    }

    // ------------------------------------------------------------------ looking at members

    private static void RunCard(CommandContext c)
    {
        if (c.TryRead(c.Key(1), DataType.SortedSet, out byte* record))
        {
            c.Reply.Integer(record == null ? 0 : new SortedSetValue(record).Count);
        }
    }

    private static void RunScore(CommandContext c)
    {
        if (c.TryRead(c.Key(1), DataType.SortedSet, out byte* record))
        {
            ReplyScore(c, record, c[2]);
        }
    }

    private static void RunMScore(CommandContext c)
    {
        if (!c.TryRead(c.Key(1), DataType.SortedSet, out byte* record))
        {
            return;
        }

        c.Reply.Array(c.Count - 2);
        for (int i = 2; i < c.Count; i++)
        {
            ReplyScore(c, record, c[i]);
        }
    }

    private static void ReplyScore(CommandContext c, byte* record, Slice member)
    {
        if (record != null && new SortedSetValue(record).TryScore(c.Keyspace.Heap, member.Pointer, member.Length, out double score))
        {
            c.Reply.Double(score);
        }
        else
        {
            c.Reply.Null();
        }
    }

    private static void RunRank(CommandContext c) => ReplyRank(c, reverse: false);

    private static void RunRevRank(CommandContext c) => ReplyRank(c, reverse: true);

    private static void ReplyRank(CommandContext c, bool reverse)
    {
        if (c.Count > 4)
        {
            c.WrongArity();
            return;
        }

        bool withScore = c.Count == 4;
        if (withScore && !c.Is(3, "WITHSCORE"u8))
        {
            c.Error(Errors.Syntax);
            return;
        }

        if (!c.TryRead(c.Key(1), DataType.SortedSet, out byte* record))
        {
            return;
        }

        double score = 0;
        long rank = -1;
        if (record != null)
        {
            var value = new SortedSetValue(record);
            rank = value.Rank(c.Keyspace.Heap, c[2].Pointer, c[2].Length, out score);
            if (rank >= 0 && reverse)
            {
                rank = value.Count - 1 - rank;
            }
        }

        if (rank < 0 && withScore)
        {
            c.Reply.NullArray();
        }
        else if (rank < 0)
        {
            c.Reply.Null();
        }
        else
        {
            if (withScore)
            {
                c.Reply.Array(2);
            }

            c.Reply.Integer(rank);
            if (withScore)
            {
                c.Reply.Double(score);
            }
        }
    }

    // ------------------------------------------------------------------ chance

    private static void RunRandMember(CommandContext c)
    {
        long count = 0;
        if (c.Count > 2 && !RandomCount.TryRead(c, 2, out count))
        {
            return;
        }

        bool withScores = c.Count == 4 && c.Is(3, "WITHSCORES"u8);
        if (c.Count > 3 && !withScores)
        {
            c.Error(Errors.Syntax);
            return;
        }

        if (withScores && count is < -long.MaxValue / 2 or > long.MaxValue / 2)
        {
            c.Error(Errors.OutOfRange);
            return;
        }

        if (!c.TryRead(c.Key(1), DataType.SortedSet, out byte* record))
        {
            return;
        }

        if (c.Count == 2)
        {
            if (record == null)
            {
                c.Reply.Null();
            }
            else
            {
                ReplyRandom(c, new SortedSetValue(record), withScores: false);
            }
        }
        else if (record == null || count == 0)
        {
            c.Reply.EmptyArray();
        }
        else if (count < 0)
        {
            ReplyRandomRepeating(c, new SortedSetValue(record), -count, withScores);
        }
        else
        {
            ReplyRandomDistinct(c, new SortedSetValue(record), count, withScores);
        }
    }

    private static void ReplyRandom(CommandContext c, in SortedSetValue value, bool withScores)
    {
        byte* scratch = stackalloc byte[PackValue.MaxIntegerDigits];
        ScoredMember member = value.Random(ref c.Keyspace.Random, scratch);
        if (withScores && c.Reply.Version != 2)
        {
            c.Reply.Array(2);
        }

        c.Reply.Bulk(member.Member, member.Length);
        if (withScores)
        {
            c.Reply.Double(member.Score);
        }
    }

    private static void ReplyRandomRepeating(CommandContext c, in SortedSetValue value, long count, bool withScores)
    {
        c.Reply.Array(withScores && c.Reply.Version == 2 ? count * 2 : count);
        for (; RandomCount.MayDraw(c, count); count--)
        {
            ReplyRandom(c, value, withScores);
        }
    }

    private static void ReplyRandomDistinct(CommandContext c, in SortedSetValue value, long count, bool withScores)
    {
        long total = value.Count;
        count = Math.Min(count, total);
        BeginMembers(c, count, withScores);
        if (count == 1)
        {
            // In proportion to nothing: the same chance for each, without a walk.
            ReplyRandom(c, value, withScores);
            return;
        }

        if (!value.IsPacked && count < total / RandomCount.WalkFactor)
        {
            // Few of many: ranks are drawn until enough are different.
            var drawn = new HashSet<long>((int)count);
            while (drawn.Count < count)
            {
                long rank = (long)c.Keyspace.Random.Below((ulong)total);
                if (drawn.Add(rank))
                {
                    ReplyMember(c, value.At(rank), withScores);
                }
            }

            return;
        }

        var selection = new Selection(total, count);
        for (SortedSetCursor cursor = value.At(0); selection.Wanted > 0; cursor.MoveNext())
        {
            if (selection.Takes(ref c.Keyspace.Random))
            {
                ReplyMember(c, cursor, withScores);
            }
        }
    }

    // ------------------------------------------------------------------ ZSCAN

    private static void RunScan(CommandContext c)
    {
        if (!KeyCommands.TryCursor(c, 2, out ulong cursor) || !c.TryRead(c.Key(1), DataType.SortedSet, out byte* record))
        {
            return;
        }

        if (record == null)
        {
            c.Reply.Array(2);
            c.Reply.BulkInteger(0);
            c.Reply.EmptyArray();
            return;
        }

        ReadOnlySpan<byte> pattern = "*"u8;
        long count = 10;
        for (int i = 3; i < c.Count; i += 2)
        {
            if (i + 1 < c.Count && c.Is(i, "COUNT"u8))
            {
                if (!c.TryLong(i + 1, out count))
                {
                    return;
                }

                if (count < 1)
                {
                    c.Error(Errors.Syntax);
                    return;
                }
            }
            else if (i + 1 < c.Count && c.Is(i, "MATCH"u8))
            {
                pattern = c[i + 1].Span;
            }
            else
            {
                c.Error(Errors.Syntax);
                return;
            }
        }

        var value = new SortedSetValue(record);
        if (value.IsPacked)
        {
            ScanPack(c, value, pattern);
        }
        else
        {
            ScanTable(c, value.Structure->Members, cursor, pattern, count);
        }
    }

    private static void ScanPack(CommandContext c, in SortedSetValue value, ReadOnlySpan<byte> pattern)
    {
        c.Reply.Array(2);
        c.Reply.BulkInteger(0);
        bool all = GlobPattern.MatchesAll(pattern);
        long mark = c.Reply.BeginDeferred(), replied = 0;
        byte* scratch = stackalloc byte[PackValue.MaxIntegerDigits];
        for (SortedSetCursor cursor = value.At(0); cursor.IsValid; cursor.MoveNext())
        {
            ScoredMember member = cursor.Current(scratch);
            if (all || GlobPattern.Matches(pattern, member.Span))
            {
                c.Reply.Bulk(member.Member, member.Length);
                c.Reply.BulkDouble(member.Score);
                replied += 2;
            }
        }

        c.Reply.EndDeferredArray(mark, replied);
    }

    private static void ScanTable(CommandContext c, KeyTable* members, ulong cursor, ReadOnlySpan<byte> pattern, long count)
    {
        // Ten times the count bounds the steps through empty buckets; the count bounds the members looked at.
        long steps = count > long.MaxValue / 10 ? long.MaxValue : count * 10, seen = 0;
        bool all = GlobPattern.MatchesAll(pattern);
        NativeList<nint> records = default;
        NativeList<nint> matches = default;
        do
        {
            records.Clear();
            cursor = members->ScanBucket(cursor, ref records);
            seen += records.Count;
            foreach (nint pointer in records.Span)
            {
                if (all || GlobPattern.Matches(pattern, Record.KeySpan((byte*)pointer)))
                {
                    matches.Add(pointer);
                }
            }
        }
        while (cursor != 0 && steps-- > 0 && seen < count);

        c.Reply.Array(2);
        c.Reply.BulkInteger((long)cursor);
        c.Reply.Array(matches.Count * 2L);
        Span<byte> text = stackalloc byte[RespDouble.MaxLength];
        foreach (nint pointer in matches.Span)
        {
            c.Reply.Bulk(Record.KeySpan((byte*)pointer));
            c.Reply.Bulk(SeventeenDigits(SortedSetValue.ScoreOf((byte*)pointer), text));
        }

        records.Dispose();
        matches.Dispose();
    }

    /// <summary>Redis writes the scores of big sorted sets so in ZSCAN, and only there: C's <c>%.17g</c>.</summary>
    private static ReadOnlySpan<byte> SeventeenDigits(double score, Span<byte> text)
    {
        if (!double.IsFinite(score))
        {
            return score > 0 ? "inf"u8 : "-inf"u8;
        }

        score.TryFormat(text, out int length, "g17", CultureInfo.InvariantCulture);
        return text[..length];
    }

    // ------------------------------------------------------------------ replies

    /// <summary>Begins an array of so many members.</summary>
    private static void BeginMembers(CommandContext c, long count, bool withScores) =>
        c.Reply.Array(withScores && c.Reply.Version == 2 ? count * 2 : count);

    /// <summary>Replies a member; with its score, they are two elements in RESP2 and a pair in RESP3.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void ReplyMember(CommandContext c, in SortedSetCursor cursor, bool withScores)
    {
        if (withScores && c.Reply.Version != 2)
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

        if (withScores)
        {
            c.Reply.Double(cursor.Score);
        }
    }
}
