using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb.Commands;

/// <content>XINFO.</content>
public static unsafe partial class StreamCommands
{
    /// <summary>XINFO CONSUMERS key group</summary>
    public static readonly CommandSpec InfoConsumers = new("consumers", 4)
    {
        Since = "5.0.0",
        Group = CommandGroup.Stream,
        Complexity = "O(1)",
        Summary = "Returns a list of the consumers in a consumer group.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(2, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Key("key"), Arg.String("group")],
        History = [("7.2.0", "Added the `inactive` field.")],
        Tips = ["nondeterministic_output"],
        Handler = &RunInfoConsumers,
    };

    /// <summary>XINFO GROUPS key</summary>
    public static readonly CommandSpec InfoGroups = new("groups", 3)
    {
        Since = "5.0.0",
        Group = CommandGroup.Stream,
        Complexity = "O(1)",
        Summary = "Returns a list of the consumer groups of a stream.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(2, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Key("key")],
        History = [("7.0.0", "Added the `entries-read` and `lag` fields")],
        Handler = &RunInfoGroups,
    };

    /// <summary>XINFO HELP</summary>
    public static readonly CommandSpec InfoHelp = new("help", 2)
    {
        Since = "5.0.0",
        Group = CommandGroup.Stream,
        Complexity = "O(1)",
        Summary = "Returns helpful text about the different subcommands.",
        Flags = CommandFlags.Loading | CommandFlags.Stale,
        Handler = &RunInfoHelp,
    };

    /// <summary>XINFO STREAM key [FULL [COUNT count]]</summary>
    public static readonly CommandSpec InfoStream = new("stream", -3)
    {
        Since = "5.0.0",
        Group = CommandGroup.Stream,
        Complexity = "O(1)",
        Summary = "Returns information about a stream.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(2, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args =
        [
            Arg.Key("key"),
            Arg.Block("full-block", Arg.Word("full", "FULL"), Arg.Integer("count").Token("COUNT").Optional()).Optional(),
        ],
        History = [("6.0.0", "Added the `FULL` modifier."), ("7.0.0", "Added the `max-deleted-entry-id`, `entries-added`, `recorded-first-entry-id`, `entries-read` and `lag` fields"), ("7.2.0", "Added the `active-time` field, and changed the meaning of `seen-time`.")],
        Handler = &RunInfoStream,
    };

    /// <summary>XINFO</summary>
    public static readonly CommandSpec Info = new("xinfo", -2)
    {
        Since = "5.0.0",
        Group = CommandGroup.Stream,
        Complexity = "Depends on subcommand.",
        Summary = "A container for stream introspection commands.",
        Subcommands = [InfoConsumers, InfoGroups, InfoHelp, InfoStream],
    };

    private static void RunInfoHelp(CommandContext c) => c.Help(
        "CONSUMERS <key> <groupname>",
        "    Show consumers of <groupname>.",
        "GROUPS <key>",
        "    Show the stream consumer groups.",
        "STREAM <key> [FULL [COUNT <count>]",
        "    Show information about the stream.");

    private static bool TryInfo(CommandContext c, out StreamValue stream)
    {
        stream = default;
        if (!c.TryRead(c.Key(2), DataType.Stream, out byte* record))
        {
            return false;
        }

        if (record == null)
        {
            c.Error(Errors.NoSuchKey);
            return false;
        }

        stream = new StreamValue(record);
        return true;
    }

    private static void RunInfoConsumers(CommandContext c)
    {
        if (!TryInfo(c, out StreamValue stream))
        {
            return;
        }

        StreamGroupValue group = stream.FindGroup(c[3].Span);
        if (!group.IsValid)
        {
            NoGroup(c);
            return;
        }

        RespWriter reply = c.Reply;
        reply.Array(group.ConsumerCount);
        for (int i = 0; i < group.ConsumerCount; i++)
        {
            StreamConsumerValue consumer = group.Consumer(i);
            reply.Map(4);
            reply.Bulk("name"u8);
            reply.Bulk(consumer.Name);
            reply.Bulk("pending"u8);
            reply.Integer(consumer.PendingCount);
            reply.Bulk("idle"u8);
            reply.Integer(Math.Max(c.NowMs - consumer.SeenMs, 0));
            reply.Bulk("inactive"u8);
            reply.Integer(consumer.ActiveMs == -1 ? -1 : c.NowMs - consumer.ActiveMs);
        }
    }

    private static void RunInfoGroups(CommandContext c)
    {
        if (!TryInfo(c, out StreamValue stream))
        {
            return;
        }

        RespWriter reply = c.Reply;
        reply.Array(stream.GroupCount);
        for (int i = 0; i < stream.GroupCount; i++)
        {
            StreamGroupValue group = stream.Group(i);
            reply.Map(6);
            reply.Bulk("name"u8);
            reply.Bulk(group.Name);
            reply.Bulk("consumers"u8);
            reply.Integer(group.ConsumerCount);
            reply.Bulk("pending"u8);
            reply.Integer(group.PendingCount);
            reply.Bulk("last-delivered-id"u8);
            StreamCursor.ReplyId(reply, group.LastId);
            ReplyProgress(reply, stream, group);
        }
    }

    /// <summary>What a group has read, and what it has yet to read, where that is known.</summary>
    private static void ReplyProgress(RespWriter reply, StreamValue stream, StreamGroupValue group)
    {
        reply.Bulk("entries-read"u8);
        ReplyOrNull(reply, group.EntriesRead == StreamValue.UnknownEntriesRead ? null : group.EntriesRead);
        reply.Bulk("lag"u8);
        ReplyOrNull(reply, stream.LagOf(group));
    }

    private static void ReplyOrNull(RespWriter reply, long? number)
    {
        if (number is { } value)
        {
            reply.Integer(value);
        }
        else
        {
            reply.Null();
        }
    }

    private static void RunInfoStream(CommandContext c)
    {
        if (!TryInfo(c, out StreamValue stream))
        {
            return;
        }

        // A big answer is asked for by name, and even then ten entries of each kind are enough for most.
        const long UsualCount = 10;
        long count = UsualCount;
        bool isFull = c.Count > 3;
        if (isFull && (c.Count is not (4 or 6) || !c.Is(3, "FULL"u8) || (c.Count == 6 && !c.Is(4, "COUNT"u8))))
        {
            c.SubcommandSyntax();
            return;
        }

        if (c.Count == 6 && !c.TryLong(5, out count))
        {
            return;
        }

        count = count < 0 ? UsualCount : count;
        RespWriter reply = c.Reply;
        reply.Map(isFull ? 9 : 10);
        reply.Bulk("length"u8);
        reply.Integer(stream.Count);
        reply.Bulk("radix-tree-keys"u8);
        reply.Integer(stream.NodeCount);
        reply.Bulk("radix-tree-nodes"u8);
        reply.Integer(stream.RadixTreeNodes());
        reply.Bulk("last-generated-id"u8);
        StreamCursor.ReplyId(reply, stream.LastId);
        reply.Bulk("max-deleted-entry-id"u8);
        StreamCursor.ReplyId(reply, stream.MaxDeletedId);
        reply.Bulk("entries-added"u8);
        reply.Integer((long)stream.EntriesAdded);
        reply.Bulk("recorded-first-entry-id"u8);
        StreamCursor.ReplyId(reply, stream.FirstId);
        if (isFull)
        {
            reply.Bulk("entries"u8);
            ReplyEntries(reply, stream.Entries(StreamId.Min, StreamId.Max), count);
            reply.Bulk("groups"u8);
            reply.Array(stream.GroupCount);
            for (int i = 0; i < stream.GroupCount; i++)
            {
                ReplyFull(reply, stream, stream.Group(i), count);
            }

            return;
        }

        reply.Bulk("groups"u8);
        reply.Integer(stream.GroupCount);
        reply.Bulk("first-entry"u8);
        ReplyFirst(reply, stream.Entries(StreamId.Min, StreamId.Max));
        reply.Bulk("last-entry"u8);
        ReplyFirst(reply, stream.Entries(StreamId.Min, StreamId.Max, backwards: true));
    }

    private static void ReplyFirst(RespWriter reply, StreamCursor cursor)
    {
        if (cursor.MoveNext())
        {
            cursor.Reply(reply);
        }
        else
        {
            reply.Null();
        }
    }

    private static void ReplyFull(RespWriter reply, StreamValue stream, StreamGroupValue group, long count)
    {
        reply.Map(7);
        reply.Bulk("name"u8);
        reply.Bulk(group.Name);
        reply.Bulk("last-delivered-id"u8);
        StreamCursor.ReplyId(reply, group.LastId);
        ReplyProgress(reply, stream, group);
        reply.Bulk("pel-count"u8);
        reply.Integer(group.PendingCount);
        reply.Bulk("pending"u8);
        ReplyPending(reply, group.Pending(StreamId.Min), group.PendingCount, count, withConsumer: true);
        reply.Bulk("consumers"u8);
        reply.Array(group.ConsumerCount);
        for (int i = 0; i < group.ConsumerCount; i++)
        {
            StreamConsumerValue consumer = group.Consumer(i);
            reply.Map(5);
            reply.Bulk("name"u8);
            reply.Bulk(consumer.Name);
            reply.Bulk("seen-time"u8);
            reply.Integer(consumer.SeenMs);
            reply.Bulk("active-time"u8);
            reply.Integer(consumer.ActiveMs);
            reply.Bulk("pel-count"u8);
            reply.Integer(consumer.PendingCount);
            reply.Bulk("pending"u8);
            ReplyPending(reply, consumer.Pending(StreamId.Min), consumer.PendingCount, count, withConsumer: false);
        }
    }

    private static void ReplyPending(RespWriter reply, StreamPendingCursor pending, long total, long count, bool withConsumer)
    {
        count = count == 0 ? total : Math.Min(count, total);
        reply.Array(count);
        for (; count > 0; count--, pending.MoveNext())
        {
            reply.Array(withConsumer ? 4 : 3);
            StreamCursor.ReplyId(reply, pending.Id);
            if (withConsumer)
            {
                reply.Bulk(pending.Consumer.Name);
            }

            reply.Integer(pending.DeliveredMs);
            reply.Integer((long)pending.Deliveries);
        }
    }
}
