using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb.Commands;

/// <content>Reading of what is new, also by waiting for it, with and without a consumer group.</content>
public static unsafe partial class StreamCommands
{
    /// <summary>XREAD [COUNT count] [BLOCK milliseconds] STREAMS key … id …</summary>
    public static readonly CommandSpec Read = new("xread", -4)
    {
        Since = "5.0.0",
        Group = CommandGroup.Stream,
        Summary = "Returns messages from multiple streams with IDs greater than the ones requested. Blocks until a message is available otherwise.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Blocking | CommandFlags.EndsBatch,
        Keys = [KeySpec.After("STREAMS", 1, KeyAccess.ReadOnly | KeyAccess.Access, last: -1, limit: 2)],
        Args =
        [
            Arg.Integer("count").Token("COUNT").Optional(),
            Arg.Integer("milliseconds").Token("BLOCK").Optional(),
            Arg.Block("streams", Arg.Key("key").Multiple(), Arg.String("id").Multiple()).Token("STREAMS"),
        ],
        Handler = &RunRead,
    };

    /// <summary>XREADGROUP GROUP group consumer [COUNT count] [BLOCK milliseconds] [NOACK] STREAMS key … id …</summary>
    public static readonly CommandSpec ReadGroup = new("xreadgroup", -7)
    {
        Since = "5.0.0",
        Group = CommandGroup.Stream,
        Complexity = "For each stream mentioned: O(M) with M being the number of elements returned. If M is constant (e.g. always asking for the first 10 elements with COUNT), you can consider it O(1). On the other side when XREADGROUP blocks, XADD will pay the O(N) time in order to serve the N clients blocked on the stream getting new data.",
        Summary = "Returns new or historical messages from a stream for a consumer in a group. Blocks until a message is available otherwise.",
        Flags = CommandFlags.Blocking | CommandFlags.Write | CommandFlags.EndsBatch,
        Keys = [KeySpec.After("STREAMS", 4, KeyAccess.ReadOnly | KeyAccess.Access, last: -1, limit: 2)],
        Args =
        [
            Arg.Block("group-block", Arg.String("group"), Arg.String("consumer")).Token("GROUP"),
            Arg.Integer("count").Token("COUNT").Optional(),
            Arg.Integer("milliseconds").Token("BLOCK").Optional(),
            Arg.Word("noack", "NOACK").Optional(),
            Arg.Block("streams", Arg.Key("key").Multiple(), Arg.String("id").Multiple()).Token("STREAMS"),
        ],
        Handler = &RunReadGroup,
    };

    private const long NoBlock = -1;

    private static readonly Action<RespWriter> _nothing = static reply => reply.NullArray();

    /// <summary>What XREAD and XREADGROUP were asked for.</summary>
    private struct ReadOptions
    {
        public long BlockMs;
        public long Count;
        public bool SkipsPending;
        public int GroupAt;
        public int KeysAt;
        public int Keys;
    }

    private static void RunRead(CommandContext c)
    {
        if (!TryReadOptions(c, inGroup: false, out ReadOptions options))
        {
            return;
        }

        ref NativeList<StreamId> after = ref c.Streams.Ids;
        after.Clear();
        for (int i = 0; i < options.Keys; i++)
        {
            if (!c.TryRead(c.Key(options.KeysAt + i), DataType.Stream, out byte* record) || !TryAfter(c, options.KeysAt + options.Keys + i, record, out StreamId id))
            {
                return;
            }

            after.Add(id);
        }

        long mark = c.Reply.BeginDeferred(), served = 0;
        for (int i = 0; i < options.Keys; i++)
        {
            byte* record = c.Database.Peek(c.Key(options.KeysAt + i));
            if (record == null || new StreamValue(record) is not { Count: > 0 } stream || stream.LastEntryId() <= after[i])
            {
                continue;
            }

            served++;
            BeginStream(c, options.KeysAt + i);
            after[i].TryNext(out StreamId from);
            ReplyEntries(c.Reply, stream.Entries(from, StreamId.Max), options.Count);
        }

        EndStreams(c, options, mark, served, after.Items);
    }

    /// <summary>The id after which a stream is read: one given, $ (its last), or + (the one before its last entry).</summary>
    private static bool TryAfter(CommandContext c, int at, byte* record, out StreamId id)
    {
        Slice word = c[at];
        id = default;
        if (word.Length != 1 || word[0] is not ((byte)'$' or (byte)'+' or (byte)'>'))
        {
            return TryId(c, at, 0, strict: true, out id);
        }

        if (word[0] == '>')
        {
            c.Error(Errors.StreamNewOutsideGroup);
            return false;
        }

        if (record != null)
        {
            var stream = new StreamValue(record);
            if (word[0] == '$')
            {
                id = stream.LastId;
            }
            else if (stream.Count > 0)
            {
                stream.LastEntryId().TryPrevious(out id);
            }
        }

        return true;
    }

    private static void BeginStream(CommandContext c, int keyAt)
    {
        if (c.Reply.Version == 2)
        {
            c.Reply.Array(2);
        }

        c.Reply.Bulk(c[keyAt]);
    }

    /// <summary>Ends the reply, or, where there was nothing, waits for it (<paramref name="after"/>: after these ids, where $ was given).</summary>
    private static void EndStreams(CommandContext c, in ReadOptions options, long mark, long served, StreamId* after)
    {
        if (served == 0)
        {
            if (options.BlockMs == NoBlock)
            {
                c.Reply.NullArray();
            }
            else
            {
                WaitForStreams(c, options, after);
            }
        }
        else if (c.Reply.Version == 2)
        {
            c.Reply.EndDeferredArray(mark, served);
        }
        else
        {
            c.Reply.EndDeferredMap(mark, served);
        }
    }

    private static void WaitForStreams(CommandContext c, in ReadOptions options, StreamId* after)
    {
        if (c.CannotBlock || c.IsRetry)
        {
            c.Block(options.KeysAt, options.Keys, DataType.Stream, options.BlockMs, _nothing);
            return;
        }

        // What $ stood for when the client came must not move while it waits.
        Slice* words = stackalloc Slice[0];
        byte* texts = null;
        int idsAt = options.KeysAt + options.Keys;
        try
        {
            for (int i = 0; after != null && i < options.Keys; i++)
            {
                if (!c[idsAt + i].Equals("$"u8))
                {
                    continue;
                }

                if (texts == null)
                {
                    texts = (byte*)System.Runtime.InteropServices.NativeMemory.Alloc((nuint)c.Count, (nuint)(sizeof(Slice) + StreamId.MaxText));
                    words = (Slice*)texts;
                    new ReadOnlySpan<Slice>(c.Args, c.Count).CopyTo(new Span<Slice>(words, c.Count));
                }

                byte* text = (byte*)(words + c.Count) + ((long)(idsAt + i) * StreamId.MaxText);
                words[idsAt + i] = new Slice(text, after[i].Format(new Span<byte>(text, StreamId.MaxText)));
            }

            c.Block(options.KeysAt, options.Keys, DataType.Stream, options.BlockMs, _nothing, texts == null ? null : words, wakesOnLoss: options.GroupAt > 0);
        }
        finally
        {
            System.Runtime.InteropServices.NativeMemory.Free(texts);
        }
    }

    private static bool TryReadOptions(CommandContext c, bool inGroup, out ReadOptions options)
    {
        options = new ReadOptions { BlockMs = NoBlock };
        for (int at = 1; at < c.Count && options.KeysAt == 0; at++)
        {
            int more = c.Count - at - 1;
            Slice word = c[at];
            if (more > 0 && word.EqualsIgnoreCase("STREAMS"u8))
            {
                options.KeysAt = at + 1;
                options.Keys = more / 2;
                if ((more & 1) != 0)
                {
                    c.Error(inGroup ? Errors.StreamsUnbalancedInGroup : Errors.StreamsUnbalanced);
                    return false;
                }
            }
            else if (more > 0 && word.EqualsIgnoreCase("COUNT"u8))
            {
                if (!c.TryLong(++at, out options.Count))
                {
                    return false;
                }

                options.Count = Math.Max(options.Count, 0);
            }
            else if (more > 0 && word.EqualsIgnoreCase("BLOCK"u8))
            {
                // Other commands that block do not in scripts; that these refuse to is older, and kept.
                if (c.Session.IsScript)
                {
                    c.Error($"ERR {c.TextToZero(0)} command is not allowed with BLOCK option from scripts");
                    return false;
                }

                if (!TryMilliseconds(c, ++at, out options.BlockMs))
                {
                    return false;
                }
            }
            else if (more > 1 && word.EqualsIgnoreCase("GROUP"u8))
            {
                if (!inGroup)
                {
                    c.Error(Errors.StreamGroupOutsideGroup);
                    return false;
                }

                options.GroupAt = at + 1;
                at += 2;
            }
            else if (word.EqualsIgnoreCase("NOACK"u8))
            {
                if (!inGroup)
                {
                    c.Error(Errors.StreamNoAckOutsideGroup);
                    return false;
                }

                options.SkipsPending = true;
            }
            else
            {
                c.Error(Errors.Syntax);
                return false;
            }
        }

        if (options.KeysAt == 0)
        {
            c.Error(Errors.Syntax);
            return false;
        }

        if (inGroup && options.GroupAt == 0)
        {
            c.Error(Errors.StreamGroupMissing);
            return false;
        }

        return true;
    }

    private static bool TryMilliseconds(CommandContext c, int at, out long milliseconds)
    {
        if (!c.TryLong(at, long.MinValue, long.MaxValue, Errors.TimeoutNotInteger, out milliseconds))
        {
            return false;
        }

        if (milliseconds < 0 || milliseconds > long.MaxValue - c.NowMs)
        {
            c.Error(milliseconds < 0 ? Errors.TimeoutNegative : Errors.TimeoutOutOfRange);
            return false;
        }

        return true;
    }

    // ------------------------------------------------------------------ in a group

    private static void RunReadGroup(CommandContext c)
    {
        if (!TryReadOptions(c, inGroup: true, out ReadOptions options))
        {
            return;
        }

        // The largest id stands for ">": what was not delivered yet.
        ref NativeList<StreamId> after = ref c.Streams.Ids;
        after.Clear();
        Slice groupName = c[options.GroupAt];
        for (int i = 0; i < options.Keys; i++)
        {
            int keyAt = options.KeysAt + i;
            if (!c.TryRead(c.Key(keyAt), DataType.Stream, out byte* record))
            {
                return;
            }

            if (record == null || !new StreamValue(record).FindGroup(groupName.Span).IsValid)
            {
                c.Error($"NOGROUP No such key '{c.TextToZero(keyAt)}' or consumer group '{c.TextToZero(options.GroupAt)}' in XREADGROUP with GROUP option");
                return;
            }

            if (!TryAfterInGroup(c, keyAt + options.Keys, out StreamId id))
            {
                return;
            }

            after.Add(id);
        }

        long mark = c.Reply.BeginDeferred(), served = 0;
        for (int i = 0; i < options.Keys; i++)
        {
            served += ReadInGroup(c, options, options.KeysAt + i, after[i]) ? 1 : 0;
        }

        EndStreams(c, options, mark, served, after: null);
    }

    private static bool TryAfterInGroup(CommandContext c, int at, out StreamId id)
    {
        Slice word = c[at];
        if (word.Length == 1 && word[0] == '>')
        {
            id = StreamId.Max;
            return true;
        }

        id = default;
        if (word.Length == 1 && word[0] is (byte)'$' or (byte)'+')
        {
            c.Error(word[0] == '$' ? Errors.StreamLastInGroup : Errors.StreamLastEntryInGroup);
            return false;
        }

        return TryId(c, at, 0, strict: true, out id);
    }

    /// <summary>Reads one stream for a consumer, which is made if need be. False: there is nothing to reply.</summary>
    private static bool ReadInGroup(CommandContext c, in ReadOptions options, int keyAt, StreamId after)
    {
        Key key = c.Key(keyAt);
        ReadOnlySpan<byte> group = c[options.GroupAt].Span, consumer = c[options.GroupAt + 1].Span;
        byte* record = c.Database.Peek(key);
        if (record == null)
        {
            return false;
        }

        var stream = new StreamValue(record);
        StreamGroupValue reader = stream.FindGroup(group);
        bool isNew = after == StreamId.Max;
        bool serves = !isNew || (stream.Count > 0 && stream.LastEntryId() > reader.LastId);
        StreamConsumerValue found = reader.FindConsumer(consumer);
        if (!found.IsValid)
        {
            CreateConsumer(c, key, group, consumer);
            stream = new StreamValue(c.Database.Peek(key));
            reader = stream.FindGroup(group);
            found = reader.FindConsumer(consumer);
        }

        if (!serves)
        {
            if (found.SeenMs != c.NowMs)
            {
                c.Effects.StreamConsumerSeen(key, group, consumer, c.NowMs);
            }

            return false;
        }

        BeginStream(c, keyAt);
        if (isNew)
        {
            ReadNew(c, options, key, stream, reader);
        }
        else
        {
            ReadHistory(c, options, key, stream, found, after);
        }

        return true;
    }

    private static void CreateConsumer(CommandContext c, in Key key, ReadOnlySpan<byte> group, ReadOnlySpan<byte> consumer)
    {
        c.Effects.StreamConsumerCreate(key, group, consumer, c.NowMs);
        c.Notify(KeyspaceEvents.Stream, "xgroup-createconsumer"u8, key);
    }

    /// <summary>Replies what the group has not read yet; it is pending with the consumer then, unless that was not wanted.</summary>
    private static void ReadNew(CommandContext c, in ReadOptions options, in Key key, StreamValue stream, StreamGroupValue group)
    {
        ref NativeList<StreamId> delivered = ref c.Streams.Delivered;
        delivered.Clear();
        StreamId last = group.LastId;
        long read = group.EntriesRead, replied = 0, mark = c.Reply.BeginDeferred();
        last.TryNext(out StreamId from);
        StreamCursor cursor = stream.Entries(from, StreamId.Max);
        while (cursor.MoveNext())
        {
            last = cursor.Id;
            if (read != StreamValue.UnknownEntriesRead && !stream.MayHaveHolesFrom(last))
            {
                read++;
            }
            else if (stream.EntriesAdded != 0)
            {
                read = stream.EntriesUpTo(last);
            }

            cursor.Reply(c.Reply);
            if (!options.SkipsPending)
            {
                delivered.Add(last);
            }

            if (++replied == options.Count)
            {
                break;
            }
        }

        c.Reply.EndDeferredArray(mark, replied);
        c.Effects.StreamDeliver(
            key, c[options.GroupAt].Span, c[options.GroupAt + 1].Span, c.NowMs, last, read, delivered.Items, delivered.Count);
    }

    /// <summary>Replies what is pending with a consumer; that counts as delivered once more, if it is still in the stream.</summary>
    private static void ReadHistory(CommandContext c, in ReadOptions options, in Key key, StreamValue stream, StreamConsumerValue consumer, StreamId after)
    {
        ref NativeList<StreamId> delivered = ref c.Streams.Delivered;
        delivered.Clear();
        long replied = 0, mark = c.Reply.BeginDeferred();
        after.TryNext(out StreamId from);
        for (StreamPendingCursor pending = consumer.Pending(from); pending.IsValid && (options.Count == 0 || replied < options.Count); pending.MoveNext())
        {
            replied++;
            StreamCursor entry = stream.Entries(pending.Id, pending.Id);
            if (entry.MoveNext())
            {
                entry.Reply(c.Reply);
                delivered.Add(pending.Id);
            }
            else
            {
                c.Reply.Array(2);
                StreamCursor.ReplyId(c.Reply, pending.Id);
                c.Reply.NullArray();
            }
        }

        c.Reply.EndDeferredArray(mark, replied);
        c.Effects.StreamRedeliver(key, c[options.GroupAt].Span, c[options.GroupAt + 1].Span, c.NowMs, delivered.Items, delivered.Count);
    }
}
