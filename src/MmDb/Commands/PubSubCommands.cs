namespace Leither.MmDb.Commands;

/// <summary>Publish and subscribe: by channel, by pattern, by shard channel, and PUBSUB, which looks at it all.</summary>
public static unsafe class PubSubCommands
{
    /// <summary>SUBSCRIBE channel …</summary>
    public static readonly CommandSpec Subscribe = new("subscribe", -2)
    {
        Since = "2.0.0",
        Group = CommandGroup.PubSub,
        Complexity = "O(N) where N is the number of channels to subscribe to.",
        Summary = "Listens for messages published to channels.",
        Flags = CommandFlags.PubSub | CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale | CommandFlags.EndsBatch,
        AllowedWhileSubscribed = true,
        Args = [Arg.String("channel").Multiple()],
        Channels = ChannelUse.Subscribe,
        Handler = &RunSubscribe,
    };

    /// <summary>UNSUBSCRIBE [channel …]</summary>
    public static readonly CommandSpec Unsubscribe = new("unsubscribe", -1)
    {
        Since = "2.0.0",
        Group = CommandGroup.PubSub,
        Complexity = "O(N) where N is the number of channels to unsubscribe.",
        Summary = "Stops listening to messages posted to channels.",
        Flags = CommandFlags.PubSub | CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale | CommandFlags.EndsBatch,
        AllowedWhileSubscribed = true,
        Args = [Arg.String("channel").Multiple().Optional()],
        Handler = &RunUnsubscribe,
    };

    /// <summary>PSUBSCRIBE pattern …</summary>
    public static readonly CommandSpec PSubscribe = new("psubscribe", -2)
    {
        Since = "2.0.0",
        Group = CommandGroup.PubSub,
        Complexity = "O(N) where N is the number of patterns to subscribe to.",
        Summary = "Listens for messages published to channels that match one or more patterns.",
        Flags = CommandFlags.PubSub | CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale | CommandFlags.EndsBatch,
        AllowedWhileSubscribed = true,
        Args = [Arg.Pattern("pattern").Multiple()],
        Channels = ChannelUse.SubscribeToPatterns,
        Handler = &RunPSubscribe,
    };

    /// <summary>PUNSUBSCRIBE [pattern …]</summary>
    public static readonly CommandSpec PUnsubscribe = new("punsubscribe", -1)
    {
        Since = "2.0.0",
        Group = CommandGroup.PubSub,
        Complexity = "O(N) where N is the number of patterns to unsubscribe.",
        Summary = "Stops listening to messages published to channels that match one or more patterns.",
        Flags = CommandFlags.PubSub | CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale | CommandFlags.EndsBatch,
        AllowedWhileSubscribed = true,
        Args = [Arg.Pattern("pattern").Multiple().Optional()],
        Handler = &RunPUnsubscribe,
    };

    /// <summary>SSUBSCRIBE shardchannel …</summary>
    public static readonly CommandSpec SSubscribe = new("ssubscribe", -2)
    {
        Since = "7.0.0",
        Group = CommandGroup.PubSub,
        Complexity = "O(N) where N is the number of shard channels to subscribe to.",
        Summary = "Listens for messages published to shard channels.",
        Flags = CommandFlags.PubSub | CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale | CommandFlags.EndsBatch,
        Keys = [KeySpec.At(1, KeyAccess.NotKey, last: -1)],
        AllowedWhileSubscribed = true,
        Args = [Arg.String("shardchannel").Multiple()],
        Channels = ChannelUse.Subscribe,
        Handler = &RunSSubscribe,
    };

    /// <summary>SUNSUBSCRIBE [shardchannel …]</summary>
    public static readonly CommandSpec SUnsubscribe = new("sunsubscribe", -1)
    {
        Since = "7.0.0",
        Group = CommandGroup.PubSub,
        Complexity = "O(N) where N is the number of shard channels to unsubscribe.",
        Summary = "Stops listening to messages posted to shard channels.",
        Flags = CommandFlags.PubSub | CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale | CommandFlags.EndsBatch,
        Keys = [KeySpec.At(1, KeyAccess.NotKey, last: -1)],
        AllowedWhileSubscribed = true,
        Args = [Arg.String("shardchannel").Multiple().Optional()],
        Handler = &RunSUnsubscribe,
    };

    /// <summary>PUBLISH channel message</summary>
    public static readonly CommandSpec Publish = new("publish", 3)
    {
        Since = "2.0.0",
        Group = CommandGroup.PubSub,
        Complexity = "O(N+M) where N is the number of clients subscribed to the receiving channel and M is the total number of subscribed patterns (by any client).",
        Summary = "Posts a message to a channel.",
        Flags = CommandFlags.PubSub | CommandFlags.Loading | CommandFlags.Stale | CommandFlags.Fast | CommandFlags.MayReplicate,
        Args = [Arg.String("channel"), Arg.String("message")],
        Channels = ChannelUse.Publish,
        Handler = &RunPublish,
    };

    /// <summary>SPUBLISH shardchannel message</summary>
    public static readonly CommandSpec SPublish = new("spublish", 3)
    {
        Since = "7.0.0",
        Group = CommandGroup.PubSub,
        Complexity = "O(N) where N is the number of clients subscribed to the receiving shard channel.",
        Summary = "Post a message to a shard channel",
        Flags = CommandFlags.PubSub | CommandFlags.Loading | CommandFlags.Stale | CommandFlags.Fast | CommandFlags.MayReplicate,
        Keys = [KeySpec.At(1, KeyAccess.NotKey)],
        Args = [Arg.String("shardchannel"), Arg.String("message")],
        Channels = ChannelUse.Publish,
        Handler = &RunSPublish,
    };

    /// <summary>PUBSUB</summary>
    public static readonly CommandSpec PubSub = new("pubsub", -2)
    {
        Since = "2.8.0",
        Group = CommandGroup.PubSub,
        Complexity = "Depends on subcommand.",
        Summary = "A container for Pub/Sub commands.",
        Subcommands =
        [
            new("channels", -2)
            {
                Since = "2.8.0",
                Group = CommandGroup.PubSub,
                Complexity = "O(N) where N is the number of active channels, and assuming constant time pattern matching (relatively short channels and patterns)",
                Summary = "Returns the active channels.",
                Flags = CommandFlags.PubSub | CommandFlags.Loading | CommandFlags.Stale,
                Args = [Arg.Pattern("pattern").Optional()],
                Handler = &RunChannels,
            },
            new("help", 2)
            {
                Since = "6.2.0",
                Group = CommandGroup.PubSub,
                Complexity = "O(1)",
                Summary = "Returns helpful text about the different subcommands.",
                Flags = CommandFlags.Loading | CommandFlags.Stale,
                Handler = &RunHelp,
            },
            new("numpat", 2)
            {
                Since = "2.8.0",
                Group = CommandGroup.PubSub,
                Complexity = "O(1)",
                Summary = "Returns a count of unique pattern subscriptions.",
                Flags = CommandFlags.PubSub | CommandFlags.Loading | CommandFlags.Stale,
                Handler = &RunNumPat,
            },
            new("numsub", -2)
            {
                Since = "2.8.0",
                Group = CommandGroup.PubSub,
                Complexity = "O(N) for the NUMSUB subcommand, where N is the number of requested channels",
                Summary = "Returns a count of subscribers to channels.",
                Flags = CommandFlags.PubSub | CommandFlags.Loading | CommandFlags.Stale,
                Args = [Arg.String("channel").Multiple().Optional()],
                Handler = &RunNumSub,
            },
            new("shardchannels", -2)
            {
                Since = "7.0.0",
                Group = CommandGroup.PubSub,
                Complexity = "O(N) where N is the number of active shard channels, and assuming constant time pattern matching (relatively short shard channels).",
                Summary = "Returns the active shard channels.",
                Flags = CommandFlags.PubSub | CommandFlags.Loading | CommandFlags.Stale,
                Args = [Arg.Pattern("pattern").Optional()],
                Handler = &RunShardChannels,
            },
            new("shardnumsub", -2)
            {
                Since = "7.0.0",
                Group = CommandGroup.PubSub,
                Complexity = "O(N) for the SHARDNUMSUB subcommand, where N is the number of requested shard channels",
                Summary = "Returns the count of subscribers of shard channels.",
                Flags = CommandFlags.PubSub | CommandFlags.Loading | CommandFlags.Stale,
                Args = [Arg.String("shardchannel").Multiple().Optional()],
                Handler = &RunShardNumSub,
            },
        ],
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [Subscribe, Unsubscribe, PSubscribe, PUnsubscribe, SSubscribe, SUnsubscribe, Publish, SPublish, PubSub];

    private static void RunSubscribe(CommandContext c) => Begin(c, SubscriptionKind.Channel, "subscribe"u8);

    private static void RunPSubscribe(CommandContext c) => Begin(c, SubscriptionKind.Pattern, "psubscribe"u8);

    private static void RunSSubscribe(CommandContext c)
    {
        if (c.CannotBlock)
        {
            c.Error("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client"u8);
            return;
        }

        Begin(c, SubscriptionKind.ShardChannel, "ssubscribe"u8);
    }

    private static void RunUnsubscribe(CommandContext c) => End(c, SubscriptionKind.Channel, "unsubscribe"u8);

    private static void RunPUnsubscribe(CommandContext c) => End(c, SubscriptionKind.Pattern, "punsubscribe"u8);

    private static void RunSUnsubscribe(CommandContext c) => End(c, SubscriptionKind.ShardChannel, "sunsubscribe"u8);

    private static void Begin(CommandContext c, SubscriptionKind kind, ReadOnlySpan<byte> word)
    {
        for (int i = 1; i < c.Count; i++)
        {
            c.Mimei.PubSub.Subscribe(c.Session, kind, c[i].Span);
            Confirm(c, kind, word, c[i].Span);
        }
    }

    private static void End(CommandContext c, SubscriptionKind kind, ReadOnlySpan<byte> word)
    {
        for (int i = 1; i < c.Count; i++)
        {
            c.Mimei.PubSub.Unsubscribe(c.Session, kind, c[i].Span);
            Confirm(c, kind, word, c[i].Span);
        }

        if (c.Count > 1)
        {
            return;
        }

        byte[][] all = c.Session.Subscriptions(kind)?.ToArray() ?? [];
        foreach (byte[] name in all)
        {
            c.Mimei.PubSub.Unsubscribe(c.Session, kind, name);
            Confirm(c, kind, word, name);
        }

        if (all.Length == 0)
        {
            c.Reply.Push(3);
            c.Reply.Bulk(word);
            c.Reply.Null();
            c.Reply.Integer(Count(c.Session, kind));
        }
    }

    private static void Confirm(CommandContext c, SubscriptionKind kind, ReadOnlySpan<byte> word, ReadOnlySpan<byte> name)
    {
        c.Reply.Push(3);
        c.Reply.Bulk(word);
        c.Reply.Bulk(name);
        c.Reply.Integer(Count(c.Session, kind));
    }

    /// <summary>What a confirmation counts: shard channels by themselves, channels and patterns together.</summary>
    private static int Count(Session session, SubscriptionKind kind) => kind == SubscriptionKind.ShardChannel
        ? session.ShardChannels?.Count ?? 0
        : (session.Channels?.Count ?? 0) + (session.Patterns?.Count ?? 0);

    private static void RunPublish(CommandContext c) => c.Reply.Integer(c.Mimei.PubSub.Publish(c[1].Span, c[2].Span));

    private static void RunSPublish(CommandContext c) => c.Reply.Integer(c.Mimei.PubSub.PublishToShard(c[1].Span, c[2].Span));

    private static void RunChannels(CommandContext c) => List(c, c.Mimei.PubSub.Channels);

    private static void RunShardChannels(CommandContext c) => List(c, c.Mimei.PubSub.ShardChannels);

    private static void List(CommandContext c, IReadOnlyDictionary<byte[], HashSet<Session>> channels)
    {
        if (c.Count > 3)
        {
            c.SubcommandSyntax();
            return;
        }

        long mark = c.Reply.BeginDeferred(), count = 0;
        foreach (byte[] name in channels.Keys)
        {
            if (c.Count == 2 || GlobPattern.Matches(c[2].Span, name))
            {
                c.Reply.Bulk(name);
                count++;
            }
        }

        c.Reply.EndDeferredArray(mark, count);
    }

    private static void RunNumSub(CommandContext c) => CountSubscribers(c, shard: false);

    private static void RunShardNumSub(CommandContext c) => CountSubscribers(c, shard: true);

    private static void CountSubscribers(CommandContext c, bool shard)
    {
        c.Reply.Array((c.Count - 2) * 2);
        for (int i = 2; i < c.Count; i++)
        {
            c.Reply.Bulk(c[i]);
            c.Reply.Integer(c.Mimei.PubSub.SubscriberCount(c[i].Span, shard));
        }
    }

    private static void RunNumPat(CommandContext c) => c.Reply.Integer(c.Mimei.PubSub.Patterns.Count);

    private static void RunHelp(CommandContext c) => c.Help(
        "CHANNELS [<pattern>]",
        "    Return the currently active channels matching a <pattern> (default: '*').",
        "NUMPAT",
        "    Return number of subscriptions to patterns.",
        "NUMSUB [<channel> ...]",
        "    Return the number of subscribers for the specified channels, excluding",
        "    pattern subscriptions(default: no channels).",
        "SHARDCHANNELS [<pattern>]",
        "    Return the currently active shard level channels matching a <pattern> (default: '*').",
        "SHARDNUMSUB [<shardchannel> ...]",
        "    Return the number of subscribers for the specified shard level channel(s)");
}
