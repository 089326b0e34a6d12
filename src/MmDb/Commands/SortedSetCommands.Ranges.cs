using System.Buffers.Text;
using System.Runtime.InteropServices;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb.Commands;

/// <content>Ranges of ranks, scores and members: replied, stored, counted, removed.</content>
public static unsafe partial class SortedSetCommands
{
    /// <summary>ZRANGE key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]</summary>
    public static readonly CommandSpec Range = new("zrange", -4)
    {
        Since = "1.2.0",
        Group = CommandGroup.SortedSet,
        Complexity = "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements returned.",
        Summary = "Returns members in a sorted set within a range of indexes.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args =
        [
            Arg.Key("key"),
            Arg.String("start"),
            Arg.String("stop"),
            Arg.OneOf("sortby", Arg.Word("byscore", "BYSCORE"), Arg.Word("bylex", "BYLEX")).Optional().Since("6.2.0"),
            Arg.Word("rev", "REV").Optional().Since("6.2.0"),
            Arg.Block("limit", Arg.Integer("offset"), Arg.Integer("count")).Token("LIMIT").Optional().Since("6.2.0"),
            Arg.Word("withscores", "WITHSCORES").Optional(),
        ],
        History = [("6.2.0", "Added the `REV`, `BYSCORE`, `BYLEX` and `LIMIT` options.")],
        Handler = &RunRange,
    };

    /// <summary>ZRANGESTORE dst src min max [BYSCORE | BYLEX] [REV] [LIMIT offset count]</summary>
    public static readonly CommandSpec RangeStore = new("zrangestore", -5)
    {
        Since = "6.2.0",
        Group = CommandGroup.SortedSet,
        Complexity = "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements stored into the destination key.",
        Summary = "Stores a range of members from sorted set in a key.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom,
        Keys =
        [
            KeySpec.At(1, KeyAccess.Overwrite | KeyAccess.Update),
            KeySpec.At(2, KeyAccess.ReadOnly | KeyAccess.Access),
        ],
        Args =
        [
            Arg.Key("dst"),
            Arg.Key("src", 1),
            Arg.String("min"),
            Arg.String("max"),
            Arg.OneOf("sortby", Arg.Word("byscore", "BYSCORE"), Arg.Word("bylex", "BYLEX")).Optional(),
            Arg.Word("rev", "REV").Optional(),
            Arg.Block("limit", Arg.Integer("offset"), Arg.Integer("count")).Token("LIMIT").Optional(),
        ],
        Handler = &RunRangeStore,
    };

    /// <summary>ZREVRANGE key start stop [WITHSCORES]</summary>
    public static readonly CommandSpec RevRange = new("zrevrange", -4)
    {
        Since = "1.2.0",
        Group = CommandGroup.SortedSet,
        Complexity = "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements returned.",
        Summary = "Returns members in a sorted set within a range of indexes in reverse order.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Key("key"), Arg.Integer("start"), Arg.Integer("stop"), Arg.Word("withscores", "WITHSCORES").Optional()],
        DeprecatedSince = "6.2.0",
        ReplacedBy = "`ZRANGE` with the `REV` argument",
        Handler = &RunRevRange,
    };

    /// <summary>ZRANGEBYSCORE key min max [WITHSCORES] [LIMIT offset count]</summary>
    public static readonly CommandSpec RangeByScore = new("zrangebyscore", -4)
    {
        Since = "1.0.5",
        Group = CommandGroup.SortedSet,
        Complexity = "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can consider it O(log(N)).",
        Summary = "Returns members in a sorted set within a range of scores.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args =
        [
            Arg.Key("key"),
            Arg.Double("min"),
            Arg.Double("max"),
            Arg.Word("withscores", "WITHSCORES").Optional().Since("2.0.0"),
            Arg.Block("limit", Arg.Integer("offset"), Arg.Integer("count")).Token("LIMIT").Optional(),
        ],
        History = [("2.0.0", "Added the `WITHSCORES` modifier.")],
        DeprecatedSince = "6.2.0",
        ReplacedBy = "`ZRANGE` with the `BYSCORE` argument",
        Handler = &RunRangeByScore,
    };

    /// <summary>ZREVRANGEBYSCORE key max min [WITHSCORES] [LIMIT offset count]</summary>
    public static readonly CommandSpec RevRangeByScore = new("zrevrangebyscore", -4)
    {
        Since = "2.2.0",
        Group = CommandGroup.SortedSet,
        Complexity = "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can consider it O(log(N)).",
        Summary = "Returns members in a sorted set within a range of scores in reverse order.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args =
        [
            Arg.Key("key"),
            Arg.Double("max"),
            Arg.Double("min"),
            Arg.Word("withscores", "WITHSCORES").Optional(),
            Arg.Block("limit", Arg.Integer("offset"), Arg.Integer("count")).Token("LIMIT").Optional(),
        ],
        History = [("2.1.6", "`min` and `max` can be exclusive.")],
        DeprecatedSince = "6.2.0",
        ReplacedBy = "`ZRANGE` with the `REV` and `BYSCORE` arguments",
        Handler = &RunRevRangeByScore,
    };

    /// <summary>ZRANGEBYLEX key min max [LIMIT offset count]</summary>
    public static readonly CommandSpec RangeByLex = new("zrangebylex", -4)
    {
        Since = "2.8.9",
        Group = CommandGroup.SortedSet,
        Complexity = "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can consider it O(log(N)).",
        Summary = "Returns members in a sorted set within a lexicographical range.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args =
        [
            Arg.Key("key"),
            Arg.String("min"),
            Arg.String("max"),
            Arg.Block("limit", Arg.Integer("offset"), Arg.Integer("count")).Token("LIMIT").Optional(),
        ],
        DeprecatedSince = "6.2.0",
        ReplacedBy = "`ZRANGE` with the `BYLEX` argument",
        Handler = &RunRangeByLex,
    };

    /// <summary>ZREVRANGEBYLEX key max min [LIMIT offset count]</summary>
    public static readonly CommandSpec RevRangeByLex = new("zrevrangebylex", -4)
    {
        Since = "2.8.9",
        Group = CommandGroup.SortedSet,
        Complexity = "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can consider it O(log(N)).",
        Summary = "Returns members in a sorted set within a lexicographical range in reverse order.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args =
        [
            Arg.Key("key"),
            Arg.String("max"),
            Arg.String("min"),
            Arg.Block("limit", Arg.Integer("offset"), Arg.Integer("count")).Token("LIMIT").Optional(),
        ],
        DeprecatedSince = "6.2.0",
        ReplacedBy = "`ZRANGE` with the `REV` and `BYLEX` arguments",
        Handler = &RunRevRangeByLex,
    };

    /// <summary>ZCOUNT key min max</summary>
    public static readonly CommandSpec Count = new("zcount", 4)
    {
        Since = "2.0.0",
        Group = CommandGroup.SortedSet,
        Complexity = "O(log(N)) with N being the number of elements in the sorted set.",
        Summary = "Returns the count of members in a sorted set that have scores within a range.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Key("key"), Arg.Double("min"), Arg.Double("max")],
        Handler = &RunCount,
    };

    /// <summary>ZLEXCOUNT key min max</summary>
    public static readonly CommandSpec LexCount = new("zlexcount", 4)
    {
        Since = "2.8.9",
        Group = CommandGroup.SortedSet,
        Complexity = "O(log(N)) with N being the number of elements in the sorted set.",
        Summary = "Returns the number of members in a sorted set within a lexicographical range.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Key("key"), Arg.String("min"), Arg.String("max")],
        Handler = &RunLexCount,
    };

    /// <summary>ZREMRANGEBYRANK key start stop</summary>
    public static readonly CommandSpec RemRangeByRank = new("zremrangebyrank", 4)
    {
        Since = "2.0.0",
        Group = CommandGroup.SortedSet,
        Complexity = "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements removed by the operation.",
        Summary = "Removes members in a sorted set within a range of indexes. Deletes the sorted set if all members were removed.",
        Flags = CommandFlags.Write,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Delete)],
        Args = [Arg.Key("key"), Arg.Integer("start"), Arg.Integer("stop")],
        Handler = &RunRemRangeByRank,
    };

    /// <summary>ZREMRANGEBYSCORE key min max</summary>
    public static readonly CommandSpec RemRangeByScore = new("zremrangebyscore", 4)
    {
        Since = "1.2.0",
        Group = CommandGroup.SortedSet,
        Complexity = "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements removed by the operation.",
        Summary = "Removes members in a sorted set within a range of scores. Deletes the sorted set if all members were removed.",
        Flags = CommandFlags.Write,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Delete)],
        Args = [Arg.Key("key"), Arg.Double("min"), Arg.Double("max")],
        Handler = &RunRemRangeByScore,
    };

    /// <summary>ZREMRANGEBYLEX key min max</summary>
    public static readonly CommandSpec RemRangeByLex = new("zremrangebylex", 4)
    {
        Since = "2.8.9",
        Group = CommandGroup.SortedSet,
        Complexity = "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements removed by the operation.",
        Summary = "Removes members in a sorted set within a lexicographical range. Deletes the sorted set if all members were removed.",
        Flags = CommandFlags.Write,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Delete)],
        Args = [Arg.Key("key"), Arg.String("min"), Arg.String("max")],
        Handler = &RunRemRangeByLex,
    };

    private static IEnumerable<CommandSpec> Ranges =>
    [
        Range, RangeStore, RevRange, RangeByScore, RevRangeByScore, RangeByLex, RevRangeByLex, Count, LexCount,
        RemRangeByRank, RemRangeByScore, RemRangeByLex,
    ];

    /// <summary>What a range names.</summary>
    private enum RangeBy
    {
        /// <summary>Not said yet; ranks, unless an option says otherwise.</summary>
        Auto,
        Rank,
        Score,
        Lex,
    }

    /// <summary>A range that was read from a command's words, and the part of it that LIMIT leaves.</summary>
    private ref struct RangeRequest
    {
        public RangeBy By;
        public bool Reverse;
        public bool WithScores;
        public long Offset;
        public long Limit;
        public long Start;
        public long Stop;
        public ScoreRange Scores;
        public LexRange Members;
    }

    private static void RunRange(CommandContext c)
    {
        if (c.Count == 4 && c[2].TryLong(out long start) && c[3].TryLong(out long stop))
        {
            if (c.TryRead(c.Key(1), DataType.SortedSet, out byte* record))
            {
                ReplyRange(c, record, new RangeRequest { By = RangeBy.Rank, Start = start, Stop = stop, Limit = -1 });
            }

            return;
        }

        RangeReply(c, RangeBy.Auto, reverse: null);
    }

    private static void RunRevRange(CommandContext c) => RangeReply(c, RangeBy.Rank, reverse: true);

    private static void RunRangeByScore(CommandContext c) => RangeReply(c, RangeBy.Score, reverse: false);

    private static void RunRevRangeByScore(CommandContext c) => RangeReply(c, RangeBy.Score, reverse: true);

    private static void RunRangeByLex(CommandContext c) => RangeReply(c, RangeBy.Lex, reverse: false);

    private static void RunRevRangeByLex(CommandContext c) => RangeReply(c, RangeBy.Lex, reverse: true);

    private static void RangeReply(CommandContext c, RangeBy by, bool? reverse)
    {
        if (TryRequest(c, 1, isStore: false, by, reverse, out RangeRequest request) && c.TryRead(c.Key(1), DataType.SortedSet, out byte* record))
        {
            ReplyRange(c, record, request);
        }
    }

    private static void ReplyRange(CommandContext c, byte* record, in RangeRequest request)
    {
        if (record == null)
        {
            c.Reply.EmptyArray();
            return;
        }

        var value = new SortedSetValue(record);
        (long first, long count) = Resolve(value, request);
        BeginMembers(c, count, request.WithScores);
        if (count == 0)
        {
            return;
        }

        SortedSetCursor cursor = value.At(request.Reverse ? first + count - 1 : first);
        for (; count > 0; count--)
        {
            ReplyMember(c, cursor, request.WithScores);
            if (request.Reverse)
            {
                cursor.MovePrevious();
            }
            else
            {
                cursor.MoveNext();
            }
        }
    }

    private static void RunRangeStore(CommandContext c)
    {
        if (!TryRequest(c, 2, isStore: true, RangeBy.Auto, null, out RangeRequest request)
            || !c.TryRead(c.Key(2), DataType.SortedSet, out byte* record))
        {
            return;
        }

        Key destination = c.Key(1);
        long first = 0, count = 0;
        SortedSetValue value = default;
        if (record != null)
        {
            value = new SortedSetValue(record);
            (first, count) = Resolve(value, request);
        }

        c.Reply.Integer(count);
        if (count == 0)
        {
            DeleteEmptied(c, destination);
            return;
        }

        // Members held as integers need their digits somewhere while the destination is written.
        var items = (ScoredMember*)NativeMemory.Alloc((nuint)count, (nuint)sizeof(ScoredMember));
        byte* digits = value.IsPacked ? (byte*)NativeMemory.Alloc((nuint)count, PackValue.MaxIntegerDigits) : null;
        SortedSetCursor cursor = value.At(first);
        for (long i = 0; i < count; i++, cursor.MoveNext())
        {
            items[i] = cursor.Current(digits + (i * PackValue.MaxIntegerDigits));
        }

        c.Effects.SortedSetReplace(destination, items, (int)count);
        NativeMemory.Free(digits);
        NativeMemory.Free(items);
        c.Notify(KeyspaceEvents.SortedSet, "zrangestore"u8, destination);
    }

    /// <summary>Deletes the destination of a command whose result is empty.</summary>
    private static void DeleteEmptied(CommandContext c, in Key destination)
    {
        if (c.Database.Peek(destination) != null)
        {
            c.Effects.Delete(destination);
            c.Notify(KeyspaceEvents.Generic, "del"u8, destination);
        }
    }

    // ------------------------------------------------------------------ counting and removing

    private static void RunCount(CommandContext c) => CountRange(c, RangeBy.Score);

    private static void RunLexCount(CommandContext c) => CountRange(c, RangeBy.Lex);

    private static void CountRange(CommandContext c, RangeBy by)
    {
        var request = new RangeRequest { By = by, Limit = -1 };
        if (TryBounds(c, 2, 3, ref request) && c.TryRead(c.Key(1), DataType.SortedSet, out byte* record))
        {
            c.Reply.Integer(record == null ? 0 : Resolve(new SortedSetValue(record), request).Count);
        }
    }

    private static void RunRemRangeByRank(CommandContext c) => RemoveRange(c, RangeBy.Rank, "zremrangebyrank"u8);

    private static void RunRemRangeByScore(CommandContext c) => RemoveRange(c, RangeBy.Score, "zremrangebyscore"u8);

    private static void RunRemRangeByLex(CommandContext c) => RemoveRange(c, RangeBy.Lex, "zremrangebylex"u8);

    private static void RemoveRange(CommandContext c, RangeBy by, ReadOnlySpan<byte> name)
    {
        var request = new RangeRequest { By = by, Limit = -1 };
        Key key = c.Key(1);
        if (!TryBounds(c, 2, 3, ref request) || !c.TryReadForWrite(key, DataType.SortedSet, out byte* record))
        {
            return;
        }

        long count = 0;
        if (record != null)
        {
            var value = new SortedSetValue(record);
            (long first, count) = Resolve(value, request);
            if (count != 0)
            {
                bool all = count == value.Count;
                c.Effects.SortedSetRemoveRange(key, first, first + count - 1);
                NotifyRemoved(c, name, key, all);
            }
        }

        c.Reply.Integer(count);
    }

    // ------------------------------------------------------------------ reading ranges

    /// <summary>The lowest rank of a range, and how many members it has; in reverse they are replied from the other end.</summary>
    private static (long First, long Count) Resolve(in SortedSetValue value, in RangeRequest request)
    {
        if (request.By == RangeBy.Rank)
        {
            long total = value.Count;
            long start = Math.Max(request.Start < 0 ? request.Start + total : request.Start, 0);
            long stop = Math.Min(request.Stop < 0 ? request.Stop + total : request.Stop, total - 1);
            if (start > stop)
            {
                return (0, 0);
            }

            long length = stop - start + 1;
            return (request.Reverse ? total - 1 - stop : start, length);
        }

        if (request.By == RangeBy.Score ? request.Scores.IsEmpty : request.Members.IsEmpty)
        {
            return (0, 0);
        }

        (long from, long to) = request.By == RangeBy.Score ? value.Ranks(request.Scores) : value.Ranks(request.Members);
        if (request.Offset < 0 || request.Offset >= to - from)
        {
            return (0, 0);
        }

        long count = to - from - request.Offset;
        if (request.Limit >= 0)
        {
            count = Math.Min(count, request.Limit);
        }

        return (request.Reverse ? to - request.Offset - count : from + request.Offset, count);
    }

    /// <summary>Reads a range command's words after the source key (its index), or replies what is wrong with them.</summary>
    private static bool TryRequest(CommandContext c, int keyIndex, bool isStore, RangeBy by, bool? reverse, out RangeRequest request)
    {
        request = new RangeRequest { Limit = -1 };
        for (int i = keyIndex + 3; i < c.Count; i++)
        {
            if (!isStore && c.Is(i, "WITHSCORES"u8))
            {
                request.WithScores = true;
            }
            else if (c.Is(i, "LIMIT"u8) && c.Count - i > 2)
            {
                if (!c.TryLong(i + 1, out request.Offset) || !c.TryLong(i + 2, out request.Limit))
                {
                    return false;
                }

                i += 2;
            }
            else if (reverse is null && c.Is(i, "REV"u8))
            {
                reverse = true;
            }
            else if (by == RangeBy.Auto && c.Is(i, "BYLEX"u8))
            {
                by = RangeBy.Lex;
            }
            else if (by == RangeBy.Auto && c.Is(i, "BYSCORE"u8))
            {
                by = RangeBy.Score;
            }
            else
            {
                c.Error(Errors.Syntax);
                return false;
            }
        }

        request.By = by == RangeBy.Auto ? RangeBy.Rank : by;
        request.Reverse = reverse ?? false;
        if (request.Limit != -1 && request.By == RangeBy.Rank)
        {
            c.Error(Errors.LimitOfRanks);
            return false;
        }

        if (request.WithScores && request.By == RangeBy.Lex)
        {
            c.Error(Errors.WithScoresByLex);
            return false;
        }

        bool swapped = request.Reverse && request.By != RangeBy.Rank;
        return TryBounds(c, keyIndex + (swapped ? 2 : 1), keyIndex + (swapped ? 1 : 2), ref request);
    }

    private static bool TryBounds(CommandContext c, int min, int max, ref RangeRequest request)
    {
        switch (request.By)
        {
            case RangeBy.Rank:
                return c.TryLong(min, out request.Start) && c.TryLong(max, out request.Stop);
            case RangeBy.Score:
                if (TryScoreBound(c[min].Span, out double low, out bool lowExclusive) && TryScoreBound(c[max].Span, out double high, out bool highExclusive))
                {
                    request.Scores = new ScoreRange(low, lowExclusive, high, highExclusive);
                    return true;
                }

                c.Error(Errors.NotScoreRange);
                return false;
            default:
                if (LexBound.TryParse(c[min].Span, out LexBound first) && LexBound.TryParse(c[max].Span, out LexBound last))
                {
                    request.Members = new LexRange(first, last);
                    return true;
                }

                c.Error(Errors.NotLexRange);
                return false;
        }
    }

    /// <summary>
    /// Reads one end of a range of scores. Redis takes what C's <c>strtod</c> takes, so also nothing at all (0), spaces in front, and
    /// numbers too large or too small for a double.
    /// </summary>
    private static bool TryScoreBound(ReadOnlySpan<byte> text, out double score, out bool exclusive)
    {
        // For strtod a number ends at the first zero byte.
        int zero = text.IndexOf((byte)0);
        text = zero < 0 ? text : text[..zero];
        exclusive = text.Length > 0 && text[0] == '(';
        if (exclusive)
        {
            text = text[1..];
        }

        score = 0;
        if (text.IsEmpty || RespDouble.TryParse(text, out score))
        {
            return true;
        }

        text = text.TrimStart(" \t\n\v\f\r"u8);
        return RespDouble.TryParse(text, out score)
            || (Utf8Parser.TryParse(text, out score, out int consumed) && consumed == text.Length && !double.IsNaN(score));
    }
}
