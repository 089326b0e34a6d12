using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb.Commands;

/// <summary>Commands for streams.</summary>
public static unsafe partial class StreamCommands
{
    /// <summary>XADD key [NOMKSTREAM] [MAXLEN | MINID [= | ~] threshold [LIMIT count]] * | id field value …</summary>
    public static readonly CommandSpec Add = new("xadd", -5)
    {
        Since = "5.0.0",
        Group = CommandGroup.Stream,
        Complexity = "O(1) when adding a new entry, O(N) when trimming where N being the number of entries evicted.",
        Summary = "Appends a new message to a stream. Creates the key if it doesn't exist.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Update, notes: "UPDATE instead of INSERT because of the optional trimming feature")],
        Args =
        [
            Arg.Key("key"),
            Arg.Word("nomkstream", "NOMKSTREAM").Optional().Since("6.2.0"),
            Arg.Block("trim", Arg.OneOf("strategy", Arg.Word("maxlen", "MAXLEN"), Arg.Word("minid", "MINID").Since("6.2.0")), Arg.OneOf("operator", Arg.Word("equal", "="), Arg.Word("approximately", "~")).Optional(), Arg.String("threshold"), Arg.Integer("count").Token("LIMIT").Optional().Since("6.2.0")).Optional(),
            Arg.OneOf("id-selector", Arg.Word("auto-id", "*"), Arg.String("id")),
            Arg.Block("data", Arg.String("field"), Arg.String("value")).Multiple(),
        ],
        History = [("6.2.0", "Added the `NOMKSTREAM` option, `MINID` trimming strategy and the `LIMIT` option."), ("7.0.0", "Added support for the `<ms>-*` explicit ID form.")],
        Tips = ["nondeterministic_output"],
        Handler = &RunAdd,
    };

    /// <summary>XLEN key</summary>
    public static readonly CommandSpec Length = new("xlen", 2)
    {
        Since = "5.0.0",
        Group = CommandGroup.Stream,
        Complexity = "O(1)",
        Summary = "Return the number of messages in a stream.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly)],
        Args = [Arg.Key("key")],
        Handler = &RunLength,
    };

    /// <summary>XRANGE key start end [COUNT count]</summary>
    public static readonly CommandSpec Range = new("xrange", -4)
    {
        Since = "5.0.0",
        Group = CommandGroup.Stream,
        Complexity = "O(N) with N being the number of elements being returned. If N is constant (e.g. always asking for the first 10 elements with COUNT), you can consider it O(1).",
        Summary = "Returns the messages from a stream within a range of IDs.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Key("key"), Arg.String("start"), Arg.String("end"), Arg.Integer("count").Token("COUNT").Optional()],
        History = [("6.2.0", "Added exclusive ranges.")],
        Handler = &RunRange,
    };

    /// <summary>XREVRANGE key end start [COUNT count]</summary>
    public static readonly CommandSpec ReverseRange = new("xrevrange", -4)
    {
        Since = "5.0.0",
        Group = CommandGroup.Stream,
        Complexity = "O(N) with N being the number of elements returned. If N is constant (e.g. always asking for the first 10 elements with COUNT), you can consider it O(1).",
        Summary = "Returns the messages from a stream within a range of IDs in reverse order.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Key("key"), Arg.String("end"), Arg.String("start"), Arg.Integer("count").Token("COUNT").Optional()],
        History = [("6.2.0", "Added exclusive ranges.")],
        Handler = &RunReverseRange,
    };

    /// <summary>XDEL key id …</summary>
    public static readonly CommandSpec Delete = new("xdel", -3)
    {
        Since = "5.0.0",
        Group = CommandGroup.Stream,
        Complexity = "O(1) for each single item to delete in the stream, regardless of the stream size.",
        Summary = "Returns the number of messages after removing them from a stream.",
        Flags = CommandFlags.Write | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Delete)],
        Args = [Arg.Key("key"), Arg.String("id").Multiple()],
        Handler = &RunDelete,
    };

    /// <summary>XTRIM key MAXLEN | MINID [= | ~] threshold [LIMIT count]</summary>
    public static readonly CommandSpec Trim = new("xtrim", -4)
    {
        Since = "5.0.0",
        Group = CommandGroup.Stream,
        Complexity = "O(N), with N being the number of evicted entries. Constant times are very small however, since entries are organized in macro nodes containing multiple entries that can be released with a single deallocation.",
        Summary = "Deletes messages from the beginning of a stream.",
        Flags = CommandFlags.Write,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Delete)],
        Args =
        [
            Arg.Key("key"),
            Arg.Block("trim", Arg.OneOf("strategy", Arg.Word("maxlen", "MAXLEN"), Arg.Word("minid", "MINID").Since("6.2.0")), Arg.OneOf("operator", Arg.Word("equal", "="), Arg.Word("approximately", "~")).Optional(), Arg.String("threshold"), Arg.Integer("count").Token("LIMIT").Optional().Since("6.2.0")),
        ],
        History = [("6.2.0", "Added the `MINID` trimming strategy and the `LIMIT` option.")],
        Tips = ["nondeterministic_output"],
        Handler = &RunTrim,
    };

    /// <summary>XSETID key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id]</summary>
    public static readonly CommandSpec SetId = new("xsetid", -3)
    {
        Since = "5.0.0",
        Group = CommandGroup.Stream,
        Complexity = "O(1)",
        Summary = "An internal command for replicating stream values.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Update)],
        Args =
        [
            Arg.Key("key"),
            Arg.String("last-id"),
            Arg.Integer("entries-added").Token("ENTRIESADDED").Optional().Since("7.0.0"),
            Arg.String("max-deleted-id").Token("MAXDELETEDID").Optional().Since("7.0.0"),
        ],
        History = [("7.0.0", "Added the `entries_added` and `max_deleted_entry_id` arguments.")],
        Handler = &RunSetId,
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All =>
        [Add, Length, Range, ReverseRange, Delete, Trim, SetId, Read, ReadGroup, Group, Acknowledge, Pending, Claim, AutoClaim, Info];

    private enum TrimStrategy
    {
        None,
        MaxLength,
        MinId,
    }

    /// <summary>What XADD and XTRIM were asked for.</summary>
    private struct AddOptions
    {
        public TrimStrategy Strategy;
        public bool IsApproximate;
        public long MaxLength;
        public StreamId MinId;
        public long Limit;
        public bool KeepsMissing;
        public bool HasId;
        public bool ChoosesSeq;
        public StreamId Id;
    }

    private static void RunAdd(CommandContext c)
    {
        if (!TryOptions(c, isAdd: true, out AddOptions options, out int idAt))
        {
            return;
        }

        int words = c.Count - idAt - 1;
        if (words < 2 || (words & 1) != 0)
        {
            c.WrongArity();
            return;
        }

        if (options.HasId && !options.ChoosesSeq && options.Id.IsZero)
        {
            c.Error(Errors.StreamIdZero);
            return;
        }

        Key key = c.Key(1);
        if (!c.TryReadForWrite(key, DataType.Stream, out byte* record))
        {
            return;
        }

        if (record == null && options.KeepsMissing)
        {
            c.Reply.Null();
            return;
        }

        StreamId last = record == null ? default : new StreamValue(record).LastId;
        if (last == StreamId.Max)
        {
            c.Error(Errors.StreamExhausted);
            return;
        }

        if (!TryChooseId(options, last, (ulong)c.NowMs, out StreamId id))
        {
            c.Error(Errors.StreamIdTooSmall);
            return;
        }

        long bytes = 0;
        Slice* pairs = c.Args + idAt + 1;
        for (int i = 0; i < words; i++)
        {
            bytes += pairs[i].Length;
        }

        if (bytes > StreamStructure.MaxNodeBytes)
        {
            c.Error(Errors.StreamEntryTooLarge);
            return;
        }

        StreamCursor.ReplyId(c.Reply, id);
        c.Effects.StreamAdd(key, id, pairs, words);
        c.Notify(KeyspaceEvents.Stream, "xadd"u8, key);
        if (options.Strategy != TrimStrategy.None)
        {
            TrimStream(c, key, c.Database.Peek(key), options);
        }
    }

    /// <summary>The id of the next entry: the one given, or else one that follows the last. False: it would not be above the last.</summary>
    private static bool TryChooseId(in AddOptions options, StreamId last, ulong nowMs, out StreamId id)
    {
        if (!options.HasId)
        {
            return nowMs > last.Ms ? (id = new StreamId(nowMs, 0)) > last : last.TryNext(out id);
        }

        id = options.Id;
        if (options.ChoosesSeq && last.Ms == id.Ms)
        {
            id = new StreamId(last.Ms, last.Seq + 1);
            return last.Seq != ulong.MaxValue;
        }

        return id > last;
    }

    /// <summary>Reads the options before an id (XADD), or to the end (XTRIM).</summary>
    private static bool TryOptions(CommandContext c, bool isAdd, out AddOptions options, out int at)
    {
        options = default;
        bool hasLimit = false;
        for (at = 2; at < c.Count; at++)
        {
            int more = c.Count - 1 - at;
            Slice word = c[at];
            if (isAdd && word.Length == 1 && word[0] == '*')
            {
                break;
            }

            bool isMaxLength = more > 0 && word.EqualsIgnoreCase("MAXLEN"u8);
            if (isMaxLength || (more > 0 && word.EqualsIgnoreCase("MINID"u8)))
            {
                if (!TryThreshold(c, isMaxLength, ref options, ref at))
                {
                    return false;
                }
            }
            else if (more > 0 && word.EqualsIgnoreCase("LIMIT"u8))
            {
                if (!c.TryLong(++at, out options.Limit))
                {
                    return false;
                }

                if (options.Limit < 0)
                {
                    c.Error(Errors.StreamLimitNegative);
                    return false;
                }

                hasLimit = true;
            }
            else if (isAdd && word.EqualsIgnoreCase("NOMKSTREAM"u8))
            {
                options.KeepsMissing = true;
            }
            else if (isAdd)
            {
                if (!StreamId.TryParseOpen(word, out options.Id, out options.ChoosesSeq))
                {
                    c.Error(Errors.StreamId);
                    return false;
                }

                options.HasId = true;
                break;
            }
            else
            {
                c.Error(Errors.Syntax);
                return false;
            }
        }

        return TrySettle(c, isAdd, hasLimit, ref options);
    }

    private static bool TryThreshold(CommandContext c, bool isMaxLength, ref AddOptions options, ref int at)
    {
        if (options.Strategy != TrimStrategy.None)
        {
            c.Error(Errors.StreamTrimStrategies);
            return false;
        }

        Slice next = c[at + 1];
        bool hasOperator = c.Count - 1 - at >= 2 && next.Length == 1 && next[0] is (byte)'~' or (byte)'=';
        options.IsApproximate = hasOperator && next[0] == '~';
        at += hasOperator ? 2 : 1;
        if (!isMaxLength)
        {
            options.Strategy = TrimStrategy.MinId;
            return TryId(c, at, 0, strict: true, out options.MinId);
        }

        options.Strategy = TrimStrategy.MaxLength;
        if (!c.TryLong(at, out options.MaxLength))
        {
            return false;
        }

        if (options.MaxLength < 0)
        {
            c.Error(Errors.StreamMaxLengthNegative);
            return false;
        }

        return true;
    }

    /// <summary>Whether the options go together; sets the limit where none was given.</summary>
    private static bool TrySettle(CommandContext c, bool isAdd, bool hasLimit, ref AddOptions options)
    {
        if (options.Strategy == TrimStrategy.None && (options.Limit != 0 || !isAdd))
        {
            c.Error(options.Limit != 0 ? Errors.StreamLimitWithoutStrategy : Errors.StreamNoStrategy);
            return false;
        }

        if (c.Session.IsSource)
        {
            // A master says what it trimmed: exactly so much, whatever bounds its client gave.
            options.Limit = 0;
            return true;
        }

        if (hasLimit)
        {
            if (!options.IsApproximate)
            {
                c.Error(Errors.StreamLimitOfExact);
                return false;
            }

            return true;
        }

        // What is asked for roughly is done within bounds: a hundred nodes.
        const long MaxLimit = 1_000_000, UsualLimit = 10_000;
        long entries = c.Keyspace.Options.StreamNodeMaxEntries;
        options.Limit = !options.IsApproximate ? 0 : entries == 0 ? UsualLimit : entries >= MaxLimit / 100 ? MaxLimit : entries * 100;
        return true;
    }

    /// <summary>Trims a stream, and tells how many entries went.</summary>
    private static long TrimStream(CommandContext c, in Key key, byte* record, in AddOptions options)
    {
        var stream = new StreamValue(record);
        long removed = 0;
        if (options.IsApproximate)
        {
            long? maxLength = options.Strategy == TrimStrategy.MaxLength ? options.MaxLength : null;
            removed = stream.CountOfWholeNodes(maxLength, options.MinId, options.Limit, out bool dropsEmptied);
            if (removed > 0 || dropsEmptied)
            {
                c.Effects.StreamTrim(key, removed, dropsEmptied);
            }
        }
        else if (options.Strategy == TrimStrategy.MinId)
        {
            if (stream.HasBefore(options.MinId))
            {
                removed = c.Effects.StreamTrimBefore(key, options.MinId);
            }
        }
        else if (stream.Count > options.MaxLength)
        {
            removed = c.Effects.StreamTrim(key, stream.Count - options.MaxLength, dropsEmptied: false);
        }

        if (removed > 0)
        {
            c.Notify(KeyspaceEvents.Stream, "xtrim"u8, key);
        }

        return removed;
    }

    private static void RunTrim(CommandContext c)
    {
        Key key = c.Key(1);
        if (TryOptions(c, isAdd: false, out AddOptions options, out _) && c.TryReadForWrite(key, DataType.Stream, out byte* record))
        {
            c.Reply.Integer(record == null ? 0 : TrimStream(c, key, record, options));
        }
    }

    private static void RunLength(CommandContext c)
    {
        if (c.TryRead(c.Key(1), DataType.Stream, out byte* record))
        {
            c.Reply.Integer(record == null ? 0 : new StreamValue(record).Count);
        }
    }

    private static void RunRange(CommandContext c) => ReplyRange(c, backwards: false);

    private static void RunReverseRange(CommandContext c) => ReplyRange(c, backwards: true);

    private static void ReplyRange(CommandContext c, bool backwards)
    {
        if (!TryInterval(c, backwards ? 3 : 2, backwards ? 2 : 3, out StreamId from, out StreamId to))
        {
            return;
        }

        long count = -1;
        for (int at = 4; at < c.Count; at += 2)
        {
            if (at + 1 == c.Count || !c.Is(at, "COUNT"u8))
            {
                c.Error(Errors.Syntax);
                return;
            }

            if (!c.TryLong(at + 1, out count))
            {
                return;
            }

            count = Math.Max(count, 0);
        }

        if (!c.TryRead(c.Key(1), DataType.Stream, out byte* record))
        {
            return;
        }

        if (record == null)
        {
            c.Reply.EmptyArray();
        }
        else if (count == 0)
        {
            c.Reply.NullArray();
        }
        else
        {
            ReplyEntries(c.Reply, new StreamValue(record).Entries(from, to, backwards), count);
        }
    }

    /// <summary>Replies so many entries (0 or less: all), as an array.</summary>
    private static void ReplyEntries(RespWriter reply, StreamCursor cursor, long count)
    {
        long mark = reply.BeginDeferred(), replied = 0;
        while (cursor.MoveNext())
        {
            cursor.Reply(reply);
            if (++replied == count)
            {
                break;
            }
        }

        reply.EndDeferredArray(mark, replied);
    }

    /// <summary>Reads an id, or replies the error. One without a number gets the one given.</summary>
    private static bool TryId(CommandContext c, int at, ulong missing, bool strict, out StreamId id)
    {
        if (StreamId.TryParse(c[at], missing, strict, out id))
        {
            return true;
        }

        c.Error(Errors.StreamId);
        return false;
    }

    /// <summary>Reads the ends of an interval, in this order, or replies the error; open ends are closed to the next id.</summary>
    private static bool TryInterval(CommandContext c, int fromAt, int toAt, out StreamId from, out StreamId to)
    {
        to = default;
        return TryFrom(c, fromAt, out from) && TryTo(c, toAt, out to);
    }

    private static bool TryFrom(CommandContext c, int at, out StreamId from)
    {
        if (!TryEnd(c, at, 0, out from, out bool isOpen))
        {
            return false;
        }

        if (isOpen && !from.TryNext(out from))
        {
            c.Error(Errors.StreamIntervalStart);
            return false;
        }

        return true;
    }

    private static bool TryTo(CommandContext c, int at, out StreamId to)
    {
        if (!TryEnd(c, at, ulong.MaxValue, out to, out bool isOpen))
        {
            return false;
        }

        if (isOpen && !to.TryPrevious(out to))
        {
            c.Error(Errors.StreamIntervalEnd);
            return false;
        }

        return true;
    }

    private static bool TryEnd(CommandContext c, int at, ulong missing, out StreamId id, out bool isOpen)
    {
        Slice word = c[at];
        isOpen = word.Length > 1 && word[0] == '(';
        if (StreamId.TryParse(isOpen ? new Slice(word.Pointer + 1, word.Length - 1) : word, missing, strict: isOpen, out id))
        {
            return true;
        }

        c.Error(Errors.StreamId);
        return false;
    }

    /// <summary>Reads the ids from a word to the end into the scratch list, or replies the error.</summary>
    private static bool TryIds(CommandContext c, int from)
    {
        ref NativeList<StreamId> ids = ref c.Streams.Ids;
        ids.Clear();
        for (int at = from; at < c.Count; at++)
        {
            if (!TryId(c, at, 0, strict: true, out StreamId id))
            {
                return false;
            }

            ids.Add(id);
        }

        return true;
    }

    private static void RunDelete(CommandContext c)
    {
        Key key = c.Key(1);
        if (!c.TryReadForWrite(key, DataType.Stream, out byte* record))
        {
            return;
        }

        if (record == null)
        {
            c.Reply.Integer(0);
            return;
        }

        if (!TryIds(c, 2))
        {
            return;
        }

        ref NativeList<StreamId> ids = ref c.Streams.Ids;
        int deleted = c.Effects.StreamDelete(key, ids.Items, ids.Count);
        if (deleted > 0)
        {
            c.Notify(KeyspaceEvents.Stream, "xdel"u8, key);
        }

        c.Reply.Integer(deleted);
    }

    private static void RunSetId(CommandContext c)
    {
        long added = -1;
        StreamId maxDeleted = default;
        if (!TryId(c, 2, 0, strict: true, out StreamId id))
        {
            return;
        }

        for (int at = 3; at < c.Count; at += 2)
        {
            bool more = at + 1 < c.Count;
            if (more && c.Is(at, "ENTRIESADDED"u8))
            {
                if (!c.TryLong(at + 1, out added))
                {
                    return;
                }

                if (added < 0)
                {
                    c.Error(Errors.StreamEntriesAddedNegative);
                    return;
                }
            }
            else if (more && c.Is(at, "MAXDELETEDID"u8))
            {
                if (!TryId(c, at + 1, 0, strict: true, out maxDeleted))
                {
                    return;
                }

                if (id < maxDeleted)
                {
                    c.Error(Errors.StreamSetIdBelowGivenDeleted);
                    return;
                }
            }
            else
            {
                c.Error(Errors.Syntax);
                return;
            }
        }

        Key key = c.Key(1);
        if (!c.TryReadForWrite(key, DataType.Stream, out byte* record))
        {
            return;
        }

        if (record == null)
        {
            c.Error(Errors.NoSuchKey);
            return;
        }

        var stream = new StreamValue(record);
        if (id < stream.MaxDeletedId)
        {
            c.Error(Errors.StreamSetIdBelowDeleted);
        }
        else if (stream.Count > 0 && id < stream.LastEntryId())
        {
            c.Error(Errors.StreamSetIdBelowEntry);
        }
        else if (stream.Count > 0 && added != -1 && stream.Count > added)
        {
            c.Error(Errors.StreamEntriesAddedBelowLength);
        }
        else
        {
            c.Effects.StreamSetId(key, id, added, maxDeleted);
            c.Notify(KeyspaceEvents.Stream, "xsetid"u8, key);
            c.Reply.Ok();
        }
    }
}

/// <summary>Lists that stream commands gather ids in; they keep their memory from one command to the next.</summary>
internal sealed class StreamScratch
{
    /// <summary>Ids that a command names.</summary>
    public NativeList<StreamId> Ids;

    /// <summary>Ids of entries that are delivered.</summary>
    public NativeList<StreamId> Delivered;

    /// <summary>Ids of entries that are no longer in the stream.</summary>
    public NativeList<StreamId> Gone;

    /// <summary>Entries that are claimed.</summary>
    public NativeList<ClaimedEntry> Claims;
}
