using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb.Commands;

/// <content>Consumer groups: making them, and what is pending in them.</content>
public static unsafe partial class StreamCommands
{
    /// <summary>XGROUP CREATE key group id | $ [MKSTREAM] [ENTRIESREAD entries-read]</summary>
    public static readonly CommandSpec GroupCreate = new("create", -5)
    {
        Since = "5.0.0",
        Group = CommandGroup.Stream,
        Complexity = "O(1)",
        Summary = "Creates a consumer group.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom,
        Keys = [KeySpec.At(2, KeyAccess.ReadWrite | KeyAccess.Insert)],
        Args =
        [
            Arg.Key("key"),
            Arg.String("group"),
            Arg.OneOf("id-selector", Arg.String("id"), Arg.Word("new-id", "$")),
            Arg.Word("mkstream", "MKSTREAM").Optional(),
            Arg.Integer("entries-read").Token("ENTRIESREAD").Optional(),
        ],
        History = [("7.0.0", "Added the `entries_read` named argument.")],
        Handler = &RunGroupCreate,
    };

    /// <summary>XGROUP CREATECONSUMER key group consumer</summary>
    public static readonly CommandSpec GroupCreateConsumer = new("createconsumer", 5)
    {
        Since = "6.2.0",
        Group = CommandGroup.Stream,
        Complexity = "O(1)",
        Summary = "Creates a consumer in a consumer group.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom,
        Keys = [KeySpec.At(2, KeyAccess.ReadWrite | KeyAccess.Insert)],
        Args = [Arg.Key("key"), Arg.String("group"), Arg.String("consumer")],
        Handler = &RunGroupCreateConsumer,
    };

    /// <summary>XGROUP DELCONSUMER key group consumer</summary>
    public static readonly CommandSpec GroupDeleteConsumer = new("delconsumer", 5)
    {
        Since = "5.0.0",
        Group = CommandGroup.Stream,
        Complexity = "O(1)",
        Summary = "Deletes a consumer from a consumer group.",
        Flags = CommandFlags.Write,
        Keys = [KeySpec.At(2, KeyAccess.ReadWrite | KeyAccess.Delete)],
        Args = [Arg.Key("key"), Arg.String("group"), Arg.String("consumer")],
        Handler = &RunGroupDeleteConsumer,
    };

    /// <summary>XGROUP DESTROY key group</summary>
    public static readonly CommandSpec GroupDestroy = new("destroy", 4)
    {
        Since = "5.0.0",
        Group = CommandGroup.Stream,
        Complexity = "O(N) where N is the number of entries in the group's pending entries list (PEL).",
        Summary = "Destroys a consumer group.",
        Flags = CommandFlags.Write,
        Keys = [KeySpec.At(2, KeyAccess.ReadWrite | KeyAccess.Delete)],
        Args = [Arg.Key("key"), Arg.String("group")],
        Handler = &RunGroupDestroy,
    };

    /// <summary>XGROUP HELP</summary>
    public static readonly CommandSpec GroupHelp = new("help", 2)
    {
        Since = "5.0.0",
        Group = CommandGroup.Stream,
        Complexity = "O(1)",
        Summary = "Returns helpful text about the different subcommands.",
        Flags = CommandFlags.Loading | CommandFlags.Stale,
        Handler = &RunGroupHelp,
    };

    /// <summary>XGROUP SETID key group id | $ [ENTRIESREAD entries-read]</summary>
    public static readonly CommandSpec GroupSetId = new("setid", -5)
    {
        Since = "5.0.0",
        Group = CommandGroup.Stream,
        Complexity = "O(1)",
        Summary = "Sets the last-delivered ID of a consumer group.",
        Flags = CommandFlags.Write,
        Keys = [KeySpec.At(2, KeyAccess.ReadWrite | KeyAccess.Update)],
        Args =
        [
            Arg.Key("key"),
            Arg.String("group"),
            Arg.OneOf("id-selector", Arg.String("id"), Arg.Word("new-id", "$")),
            Arg.Integer("entriesread").Token("ENTRIESREAD").Optional().Shown("entries-read"),
        ],
        History = [("7.0.0", "Added the optional `entries_read` argument.")],
        Handler = &RunGroupSetId,
    };

    /// <summary>XGROUP</summary>
    public static readonly CommandSpec Group = new("xgroup", -2)
    {
        Since = "5.0.0",
        Group = CommandGroup.Stream,
        Complexity = "Depends on subcommand.",
        Summary = "A container for consumer groups commands.",
        Subcommands = [GroupCreate, GroupCreateConsumer, GroupDeleteConsumer, GroupDestroy, GroupHelp, GroupSetId],
    };

    /// <summary>XACK key group id …</summary>
    public static readonly CommandSpec Acknowledge = new("xack", -4)
    {
        Since = "5.0.0",
        Group = CommandGroup.Stream,
        Complexity = "O(1) for each message ID processed.",
        Summary = "Returns the number of messages that were successfully acknowledged by the consumer group member of a stream.",
        Flags = CommandFlags.Write | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Update)],
        Args = [Arg.Key("key"), Arg.String("group"), Arg.String("id").Multiple()],
        Handler = &RunAcknowledge,
    };

    /// <summary>XPENDING key group [[IDLE min-idle-time] start end count [consumer]]</summary>
    public static readonly CommandSpec Pending = new("xpending", -3)
    {
        Since = "5.0.0",
        Group = CommandGroup.Stream,
        Complexity = "O(N) with N being the number of elements returned, so asking for a small fixed number of entries per call is O(1). O(M), where M is the total number of entries scanned when used with the IDLE filter. When the command returns just the summary and the list of consumers is small, it runs in O(1) time; otherwise, an additional O(N) time for iterating every consumer.",
        Summary = "Returns the information and entries from a stream consumer group's pending entries list.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args =
        [
            Arg.Key("key"),
            Arg.String("group"),
            Arg.Block("filters", Arg.Integer("min-idle-time").Token("IDLE").Optional().Since("6.2.0"), Arg.String("start"), Arg.String("end"), Arg.Integer("count"), Arg.String("consumer").Optional()).Optional(),
        ],
        History = [("6.2.0", "Added the `IDLE` option and exclusive range intervals.")],
        Tips = ["nondeterministic_output"],
        Handler = &RunPending,
    };

    /// <summary>XCLAIM key group consumer min-idle-time id … [IDLE ms] [TIME unix-time-milliseconds] [RETRYCOUNT count] [FORCE] [JUSTID] [LASTID lastid]</summary>
    public static readonly CommandSpec Claim = new("xclaim", -6)
    {
        Since = "5.0.0",
        Group = CommandGroup.Stream,
        Complexity = "O(log N) with N being the number of messages in the PEL of the consumer group.",
        Summary = "Changes, or acquires, ownership of a message in a consumer group, as if the message was delivered a consumer group member.",
        Flags = CommandFlags.Write | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Update)],
        Args =
        [
            Arg.Key("key"),
            Arg.String("group"),
            Arg.String("consumer"),
            Arg.String("min-idle-time"),
            Arg.String("id").Multiple(),
            Arg.Integer("ms").Token("IDLE").Optional(),
            Arg.UnixTime("unix-time-milliseconds").Token("TIME").Optional(),
            Arg.Integer("count").Token("RETRYCOUNT").Optional(),
            Arg.Word("force", "FORCE").Optional(),
            Arg.Word("justid", "JUSTID").Optional(),
            Arg.String("lastid").Token("LASTID").Optional(),
        ],
        Tips = ["nondeterministic_output"],
        Handler = &RunClaim,
    };

    /// <summary>XAUTOCLAIM key group consumer min-idle-time start [COUNT count] [JUSTID]</summary>
    public static readonly CommandSpec AutoClaim = new("xautoclaim", -6)
    {
        Since = "6.2.0",
        Group = CommandGroup.Stream,
        Complexity = "O(1) if COUNT is small.",
        Summary = "Changes, or acquires, ownership of messages in a consumer group, as if the messages were delivered to as consumer group member.",
        Flags = CommandFlags.Write | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Delete)],
        Args =
        [
            Arg.Key("key"),
            Arg.String("group"),
            Arg.String("consumer"),
            Arg.String("min-idle-time"),
            Arg.String("start"),
            Arg.Integer("count").Token("COUNT").Optional(),
            Arg.Word("justid", "JUSTID").Optional(),
        ],
        History = [("7.0.0", "Added an element to the reply array, containing deleted entries the command cleared from the PEL")],
        Tips = ["nondeterministic_output"],
        Handler = &RunAutoClaim,
    };

    private static void RunGroupHelp(CommandContext c) => c.Help(
        "CREATE <key> <groupname> <id|$> [option]",
        "    Create a new consumer group. Options are:",
        "    * MKSTREAM",
        "      Create the empty stream if it does not exist.",
        "    * ENTRIESREAD entries_read",
        "      Set the group's entries_read counter (internal use).",
        "CREATECONSUMER <key> <groupname> <consumer>",
        "    Create a new consumer in the specified group.",
        "DELCONSUMER <key> <groupname> <consumer>",
        "    Remove the specified consumer.",
        "DESTROY <key> <groupname>",
        "    Remove the specified group.",
        "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
        "    Set the current group ID and entries_read counter.");

    /// <summary>Reads the options of XGROUP CREATE and SETID, or replies the error.</summary>
    private static bool TryGroupOptions(CommandContext c, bool mayCreate, out bool creates, out long entriesRead)
    {
        creates = false;
        entriesRead = StreamValue.UnknownEntriesRead;
        for (int at = 5; at < c.Count; at++)
        {
            if (mayCreate && c.Is(at, "MKSTREAM"u8))
            {
                creates = true;
            }
            else if (c.Is(at, "ENTRIESREAD"u8) && at + 1 < c.Count)
            {
                if (!c.TryLong(++at, out entriesRead))
                {
                    return false;
                }

                if (entriesRead < StreamValue.UnknownEntriesRead)
                {
                    c.Error(Errors.StreamEntriesReadNegative);
                    return false;
                }
            }
            else
            {
                c.SubcommandSyntax();
                return false;
            }
        }

        return true;
    }

    /// <summary>Looks a stream up, and a group, or replies what is missing.</summary>
    private static bool TryStreamOfGroup(CommandContext c, in Key key, out byte* record)
    {
        if (!c.TryReadForWrite(key, DataType.Stream, out record))
        {
            return false;
        }

        if (record == null)
        {
            c.Error(Errors.StreamGroupNeedsKey);
            return false;
        }

        return true;
    }

    private static bool TryGroup(CommandContext c, in Key key, out byte* record)
    {
        if (!TryStreamOfGroup(c, key, out record))
        {
            return false;
        }

        if (!new StreamValue(record).FindGroup(c[3].Span).IsValid)
        {
            NoGroup(c);
            return false;
        }

        return true;
    }

    private static void NoGroup(CommandContext c) => c.Error($"NOGROUP No such consumer group '{c.TextToZero(3)}' for key name '{c.TextToZero(2)}'");

    private static void RunGroupCreate(CommandContext c)
    {
        if (!TryGroupOptions(c, mayCreate: true, out bool creates, out long entriesRead))
        {
            return;
        }

        Key key = c.Key(2);
        byte* record;
        if (creates ? !c.TryReadForWrite(key, DataType.Stream, out record) : !TryStreamOfGroup(c, key, out record))
        {
            return;
        }

        if (c.Count > 8)
        {
            c.SubcommandSyntax();
            return;
        }

        StreamId id = default;
        if (c[4].Equals("$"u8))
        {
            id = record == null ? default : new StreamValue(record).LastId;
        }
        else if (!TryId(c, 4, 0, strict: true, out id))
        {
            return;
        }

        if (record != null && new StreamValue(record).FindGroup(c[3].Span).IsValid)
        {
            c.Error(Errors.StreamGroupBusy);
            return;
        }

        c.Effects.StreamGroupCreate(key, c[3].Span, id, entriesRead);
        c.Notify(KeyspaceEvents.Stream, "xgroup-create"u8, key);
        c.Reply.Ok();
    }

    private static void RunGroupSetId(CommandContext c)
    {
        Key key = c.Key(2);
        if (!TryGroupOptions(c, mayCreate: false, out _, out long entriesRead) || !TryGroup(c, key, out byte* record))
        {
            return;
        }

        if (c.Count is not (5 or 7))
        {
            c.SubcommandSyntax();
            return;
        }

        StreamId id = new StreamValue(record).LastId;
        if (!c[4].Equals("$"u8) && !TryId(c, 4, 0, strict: false, out id))
        {
            return;
        }

        c.Effects.StreamGroupSetId(key, c[3].Span, id, entriesRead);
        c.Notify(KeyspaceEvents.Stream, "xgroup-setid"u8, key);
        c.Reply.Ok();
    }

    private static void RunGroupDestroy(CommandContext c)
    {
        Key key = c.Key(2);
        if (!TryStreamOfGroup(c, key, out byte* record))
        {
            return;
        }

        bool exists = new StreamValue(record).FindGroup(c[3].Span).IsValid;
        if (exists)
        {
            c.Effects.StreamGroupDestroy(key, c[3].Span);
            c.Notify(KeyspaceEvents.Stream, "xgroup-destroy"u8, key);
        }

        c.Reply.Integer(exists ? 1 : 0);
    }

    private static void RunGroupCreateConsumer(CommandContext c)
    {
        Key key = c.Key(2);
        if (!TryGroup(c, key, out byte* record))
        {
            return;
        }

        bool exists = new StreamValue(record).FindGroup(c[3].Span).FindConsumer(c[4].Span).IsValid;
        if (!exists)
        {
            CreateConsumer(c, key, c[3].Span, c[4].Span);
        }

        c.Reply.Integer(exists ? 0 : 1);
    }

    private static void RunGroupDeleteConsumer(CommandContext c)
    {
        Key key = c.Key(2);
        if (!TryGroup(c, key, out byte* record))
        {
            return;
        }

        long pending = 0;
        StreamConsumerValue consumer = new StreamValue(record).FindGroup(c[3].Span).FindConsumer(c[4].Span);
        if (consumer.IsValid)
        {
            pending = consumer.PendingCount;
            c.Effects.StreamConsumerDelete(key, c[3].Span, c[4].Span);
            c.Notify(KeyspaceEvents.Stream, "xgroup-delconsumer"u8, key);
        }

        c.Reply.Integer(pending);
    }

    private static void RunAcknowledge(CommandContext c)
    {
        Key key = c.Key(1);
        if (!c.TryRead(key, DataType.Stream, out byte* record))
        {
            return;
        }

        if (record == null || !new StreamValue(record).FindGroup(c[2].Span).IsValid)
        {
            c.Reply.Integer(0);
        }
        else if (TryIds(c, 3))
        {
            c.Reply.Integer(c.Effects.StreamAcknowledge(key, c[2].Span, c.Streams.Ids.Items, c.Streams.Ids.Count));
        }
    }

    // ------------------------------------------------------------------ what is pending

    private static void NoKeyOrGroup(CommandContext c) => c.Error($"NOGROUP No such key '{c.TextToZero(1)}' or consumer group '{c.TextToZero(2)}'");

    private static void RunPending(CommandContext c)
    {
        if (c.Count != 3 && c.Count is < 6 or > 9)
        {
            c.Error(Errors.Syntax);
            return;
        }

        long count = 0, minIdle = 0;
        int at = 3;
        StreamId from = default, to = default;
        if (c.Count > 3)
        {
            if (c.Is(3, "IDLE"u8))
            {
                if (!c.TryLong(4, out minIdle))
                {
                    return;
                }

                if (c.Count < 8)
                {
                    c.Error(Errors.Syntax);
                    return;
                }

                at = 5;
            }

            if (!c.TryLong(at + 2, out count) || !TryInterval(c, at, at + 1, out from, out to))
            {
                return;
            }
        }

        if (!c.TryRead(c.Key(1), DataType.Stream, out byte* record))
        {
            return;
        }

        StreamGroupValue group = record == null ? default : new StreamValue(record).FindGroup(c[2].Span);
        if (!group.IsValid)
        {
            NoKeyOrGroup(c);
        }
        else if (c.Count == 3)
        {
            ReplySummary(c.Reply, group);
        }
        else if (at + 3 >= c.Count)
        {
            ReplyPending(c, group.Pending(from), to, count, minIdle);
        }
        else if (group.FindConsumer(c[at + 3].Span) is { IsValid: true } consumer)
        {
            ReplyPending(c, consumer.Pending(from), to, count, minIdle);
        }
        else
        {
            c.Reply.EmptyArray();
        }
    }

    private static void ReplySummary(RespWriter reply, StreamGroupValue group)
    {
        reply.Array(4);
        reply.Integer(group.PendingCount);
        if (group.PendingCount == 0)
        {
            reply.Null();
            reply.Null();
            reply.NullArray();
            return;
        }

        StreamCursor.ReplyId(reply, group.Pending(StreamId.Min).Id);
        StreamCursor.ReplyId(reply, group.LastPendingId);
        long mark = reply.BeginDeferred(), consumers = 0;
        for (int i = 0; i < group.ConsumerCount; i++)
        {
            StreamConsumerValue consumer = group.Consumer(i);
            if (consumer.PendingCount > 0)
            {
                consumers++;
                reply.Array(2);
                reply.Bulk(consumer.Name);
                reply.BulkInteger(consumer.PendingCount);
            }
        }

        reply.EndDeferredArray(mark, consumers);
    }

    private static void ReplyPending(CommandContext c, StreamPendingCursor pending, StreamId to, long count, long minIdle)
    {
        long mark = c.Reply.BeginDeferred(), replied = 0;
        for (; replied < count && pending.IsValid && pending.Id <= to; pending.MoveNext())
        {
            long idle = c.NowMs - pending.DeliveredMs;
            if (minIdle != 0 && idle < minIdle)
            {
                continue;
            }

            replied++;
            c.Reply.Array(4);
            StreamCursor.ReplyId(c.Reply, pending.Id);
            c.Reply.Bulk(pending.Consumer.Name);
            c.Reply.Integer(Math.Max(idle, 0));
            c.Reply.Integer((long)pending.Deliveries);
        }

        c.Reply.EndDeferredArray(mark, replied);
    }

    // ------------------------------------------------------------------ claiming

    /// <summary>What XCLAIM was asked for.</summary>
    private struct ClaimOptions
    {
        public long MinIdle;
        public long DeliveredMs;
        public long Deliveries;
        public bool Forces;
        public bool OnlyIds;
        public StreamId LastId;
    }

    private static void RunClaim(CommandContext c)
    {
        Key key = c.Key(1);
        if (!c.TryRead(key, DataType.Stream, out byte* record))
        {
            return;
        }

        StreamGroupValue group = record == null ? default : new StreamValue(record).FindGroup(c[2].Span);
        if (!group.IsValid)
        {
            NoKeyOrGroup(c);
            return;
        }

        if (!TryClaimOptions(c, out ClaimOptions options))
        {
            return;
        }

        Slice name = c[2], consumer = c[3];
        if (options.LastId > group.LastId)
        {
            c.Effects.StreamGroupSetId(key, name.Span, options.LastId, group.EntriesRead);
        }

        if (!group.FindConsumer(consumer.Span).IsValid)
        {
            CreateConsumer(c, key, name.Span, consumer.Span);
        }

        // What is claimed is gathered and goes in one effect. Ids that do not ascend may be the same again: then what was gathered goes first.
        ref NativeList<StreamId> ids = ref c.Streams.Ids;
        ref NativeList<StreamId> gone = ref c.Streams.Gone;
        ref NativeList<ClaimedEntry> claims = ref c.Streams.Claims;
        gone.Clear();
        claims.Clear();
        long mark = c.Reply.BeginDeferred(), replied = 0;
        var stream = new StreamValue(c.Database.Peek(key));
        for (int i = 0; i < ids.Count; i++)
        {
            if (i > 0 && ids[i] <= ids[i - 1])
            {
                ApplyClaims(c, key, name.Span, consumer.Span, isLast: false);
                stream = new StreamValue(c.Database.Peek(key));
            }

            StreamPendingCursor pending = stream.FindGroup(name.Span).FindPending(ids[i]);
            StreamCursor entry = stream.Entries(ids[i], ids[i]);
            if (!entry.MoveNext())
            {
                if (pending.IsValid)
                {
                    gone.Add(ids[i]);
                }

                continue;
            }

            if (pending.IsValid ? options.MinIdle != 0 && c.NowMs - pending.DeliveredMs < options.MinIdle : !options.Forces)
            {
                continue;
            }

            ulong deliveries = pending.IsValid ? pending.Deliveries : 1;
            deliveries = options.Deliveries >= 0 ? (ulong)options.Deliveries : options.OnlyIds ? deliveries : deliveries + 1;
            claims.Add(new ClaimedEntry(ids[i], options.DeliveredMs, deliveries));
            replied++;
            if (options.OnlyIds)
            {
                StreamCursor.ReplyId(c.Reply, ids[i]);
            }
            else
            {
                entry.Reply(c.Reply);
            }
        }

        c.Reply.EndDeferredArray(mark, replied);
        ApplyClaims(c, key, name.Span, consumer.Span, isLast: true);
    }

    /// <summary>Applies what was gathered. In the end the consumer was heard of, whether it got anything or not.</summary>
    private static void ApplyClaims(CommandContext c, in Key key, ReadOnlySpan<byte> group, ReadOnlySpan<byte> consumer, bool isLast)
    {
        ref NativeList<StreamId> gone = ref c.Streams.Gone;
        ref NativeList<ClaimedEntry> claims = ref c.Streams.Claims;
        if (gone.Count > 0)
        {
            c.Effects.StreamAcknowledge(key, group, gone.Items, gone.Count);
        }

        if (claims.Count > 0)
        {
            c.Effects.StreamClaim(key, group, consumer, c.NowMs, claims.Items, claims.Count);
        }
        else if (isLast && new StreamValue(c.Database.Peek(key)).FindGroup(group).FindConsumer(consumer).SeenMs != c.NowMs)
        {
            c.Effects.StreamConsumerSeen(key, group, consumer, c.NowMs);
        }

        gone.Clear();
        claims.Clear();
    }

    /// <summary>Reads XCLAIM's words from the least idle time on; its ids go to the scratch list.</summary>
    private static bool TryClaimOptions(CommandContext c, out ClaimOptions options)
    {
        options = new ClaimOptions { Deliveries = -1, DeliveredMs = -1 };
        if (!c.TryLong(4, long.MinValue, long.MaxValue, Errors.StreamClaimMinIdle, out options.MinIdle))
        {
            return false;
        }

        options.MinIdle = Math.Max(options.MinIdle, 0);
        ref NativeList<StreamId> ids = ref c.Streams.Ids;
        ids.Clear();
        int at = 5;
        for (; at < c.Count && StreamId.TryParse(c[at], 0, strict: true, out StreamId id); at++)
        {
            ids.Add(id);
        }

        for (; at < c.Count; at++)
        {
            bool more = at + 1 < c.Count;
            if (c.Is(at, "FORCE"u8))
            {
                options.Forces = true;
            }
            else if (c.Is(at, "JUSTID"u8))
            {
                options.OnlyIds = true;
            }
            else if (more && c.Is(at, "IDLE"u8))
            {
                if (!c.TryLong(++at, long.MinValue, long.MaxValue, Errors.StreamClaimIdle, out long idle))
                {
                    return false;
                }

                options.DeliveredMs = unchecked(c.NowMs - idle);
            }
            else if (more && c.Is(at, "TIME"u8))
            {
                if (!c.TryLong(++at, long.MinValue, long.MaxValue, Errors.StreamClaimTime, out options.DeliveredMs))
                {
                    return false;
                }
            }
            else if (more && c.Is(at, "RETRYCOUNT"u8))
            {
                if (!c.TryLong(++at, long.MinValue, long.MaxValue, Errors.StreamClaimRetryCount, out options.Deliveries))
                {
                    return false;
                }
            }
            else if (more && c.Is(at, "LASTID"u8))
            {
                if (!TryId(c, ++at, 0, strict: true, out options.LastId))
                {
                    return false;
                }
            }
            else
            {
                c.Error($"ERR Unrecognized XCLAIM option '{c.TextToZero(at)}'");
                return false;
            }
        }

        // A time that cannot be is taken for now: clients reckon it by clocks of their own.
        if (options.DeliveredMs < 0 || options.DeliveredMs > c.NowMs)
        {
            options.DeliveredMs = c.NowMs;
        }

        return true;
    }

    private static void RunAutoClaim(CommandContext c)
    {
        // Of each ten pending entries that are looked at one at least is claimed, or the client comes again.
        const int LooksPerClaim = 10;
        const long MaxCount = long.MaxValue / 16, UsualCount = 100, TooManyForMemory = 1L << 43;
        if (!c.TryLong(4, long.MinValue, long.MaxValue, Errors.StreamAutoClaimMinIdle, out long minIdle) || !TryFrom(c, 5, out StreamId from))
        {
            return;
        }

        long count = UsualCount;
        bool onlyIds = false;
        for (int at = 6; at < c.Count; at++)
        {
            if (at + 1 < c.Count && c.Is(at, "COUNT"u8))
            {
                if (!c.TryLong(++at, 1, MaxCount, Errors.StreamAutoClaimCount, out count))
                {
                    return;
                }
            }
            else if (c.Is(at, "JUSTID"u8))
            {
                onlyIds = true;
            }
            else
            {
                c.Error(Errors.Syntax);
                return;
            }
        }

        Key key = c.Key(1);
        if (!c.TryRead(key, DataType.Stream, out byte* record))
        {
            return;
        }

        Slice name = c[2], consumer = c[3];
        StreamGroupValue group = record == null ? default : new StreamValue(record).FindGroup(name.Span);
        if (!group.IsValid)
        {
            NoKeyOrGroup(c);
            return;
        }

        if (count > TooManyForMemory)
        {
            c.Error(Errors.StreamAutoClaimMemory);
            return;
        }

        if (!group.FindConsumer(consumer.Span).IsValid)
        {
            CreateConsumer(c, key, name.Span, consumer.Span);
        }

        var stream = new StreamValue(c.Database.Peek(key));
        ref NativeList<StreamId> gone = ref c.Streams.Gone;
        ref NativeList<ClaimedEntry> claims = ref c.Streams.Claims;
        gone.Clear();
        claims.Clear();
        StreamPendingCursor pending = stream.FindGroup(name.Span).Pending(from);
        for (long looks = count * LooksPerClaim; looks > 0 && count > 0 && pending.IsValid; looks--, pending.MoveNext())
        {
            if (!stream.Contains(pending.Id))
            {
                gone.Add(pending.Id);
                count--;
            }
            else if (minIdle <= 0 || c.NowMs - pending.DeliveredMs >= minIdle)
            {
                claims.Add(new ClaimedEntry(pending.Id, c.NowMs, onlyIds ? pending.Deliveries : pending.Deliveries + 1));
                count--;
            }
        }

        c.Reply.Array(3);
        StreamCursor.ReplyId(c.Reply, pending.IsValid ? pending.Id : StreamId.Min);
        c.Reply.Array(claims.Count);
        foreach (ClaimedEntry claim in claims.Span)
        {
            if (onlyIds)
            {
                StreamCursor.ReplyId(c.Reply, claim.Id);
                continue;
            }

            StreamCursor entry = stream.Entries(claim.Id, claim.Id);
            entry.MoveNext();
            entry.Reply(c.Reply);
        }

        c.Reply.Array(gone.Count);
        foreach (StreamId id in gone.Span)
        {
            StreamCursor.ReplyId(c.Reply, id);
        }

        ApplyClaims(c, key, name.Span, consumer.Span, isLast: true);
    }
}
