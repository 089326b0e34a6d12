using System.Diagnostics.CodeAnalysis;
using Leither.MmDb.Commands;
using Leither.Resp;

namespace Leither.MmDb;

/// <summary>
/// The channels of one MiMei: who subscribed to what, by name, by pattern and by shard channel. A message is encoded once and copied
/// into the output of each subscriber.
/// </summary>
public sealed unsafe class PubSub : IDisposable
{
    private readonly Dictionary<byte[], HashSet<Session>> _channels = new(ByteStringComparer.Instance);
    private readonly Dictionary<byte[], HashSet<Session>> _patterns = new(ByteStringComparer.Instance);
    private readonly Dictionary<byte[], HashSet<Session>> _shardChannels = new(ByteStringComparer.Instance);
    private readonly RespWriter _message = new();
    private byte[] _eventChannel = new byte[64];

    internal PubSub(Mimei mimei)
    {
        Mimei = mimei;
        mimei.Keyspace.EventSink = Publish;
    }

    /// <summary>The MiMei whose channels these are.</summary>
    public Mimei Mimei { get; }

    /// <summary>Whose sessions subscribe here; null before there is one.</summary>
    private Server? Server => Mimei.Server;

    /// <inheritdoc/>
    public void Dispose() => _message.Dispose();

    /// <summary>Channels with subscribers.</summary>
    public IReadOnlyDictionary<byte[], HashSet<Session>> Channels => _channels;

    /// <summary>Patterns with subscribers.</summary>
    public IReadOnlyDictionary<byte[], HashSet<Session>> Patterns => _patterns;

    /// <summary>Shard channels with subscribers.</summary>
    public IReadOnlyDictionary<byte[], HashSet<Session>> ShardChannels => _shardChannels;

    /// <summary>How many subscribe to a channel by its name.</summary>
    public int SubscriberCount(ReadOnlySpan<byte> channel, bool shard) => TryFind(shard ? _shardChannels : _channels, channel, out HashSet<Session>? sessions) ? sessions.Count : 0;

    /// <summary>Sends a message to who subscribed to the channel or to a pattern that it matches; returns how many got it.</summary>
    public long Publish(ReadOnlySpan<byte> channel, ReadOnlySpan<byte> message) => Publish(channel, message, default, isEvent: false);

    /// <summary>As the other. Of an event those hear who may hear of its key.</summary>
    private long Publish(ReadOnlySpan<byte> channel, ReadOnlySpan<byte> message, ReadOnlySpan<byte> key, bool isEvent)
    {
        long receivers = 0;
        if (TryFind(_channels, channel, out HashSet<Session>? sessions))
        {
            receivers += Send("message"u8, default, channel, message, sessions, key, isEvent);
        }

        foreach ((byte[] pattern, HashSet<Session> subscribers) in _patterns)
        {
            if (GlobPattern.Matches(pattern, channel))
            {
                receivers += Send("pmessage"u8, pattern, channel, message, subscribers, key, isEvent);
            }
        }

        return receivers;
    }

    /// <summary>Sends a message to who subscribed to the shard channel; returns how many got it.</summary>
    public long PublishToShard(ReadOnlySpan<byte> channel, ReadOnlySpan<byte> message) =>
        TryFind(_shardChannels, channel, out HashSet<Session>? sessions) ? Send("smessage"u8, default, channel, message, sessions) : 0;

    /// <summary>Subscribes a session to a channel, a shard channel or a pattern. False: it was subscribed already.</summary>
    internal bool Subscribe(Session session, SubscriptionKind kind, ReadOnlySpan<byte> name)
    {
        HashSet<byte[]> own = session.Subscriptions(kind) ?? session.BeginSubscriptions(kind);
        if (own.GetAlternateLookup<ReadOnlySpan<byte>>().Contains(name))
        {
            return false;
        }

        Dictionary<byte[], HashSet<Session>> all = Of(kind);
        byte[] kept = name.ToArray();
        own.Add(kept);
        if (!all.TryGetValue(kept, out HashSet<Session>? sessions))
        {
            all.Add(kept, sessions = []);
        }

        sessions.Add(session);
        session.NamesBytes += name.Length + ClientMemory.NameBytes;
        session.SubscriptionsChanged();
        return true;
    }

    /// <summary>Ends a subscription. False: there was none.</summary>
    internal bool Unsubscribe(Session session, SubscriptionKind kind, ReadOnlySpan<byte> name)
    {
        if (session.Subscriptions(kind) is not { } own || !own.GetAlternateLookup<ReadOnlySpan<byte>>().Remove(name))
        {
            return false;
        }

        session.NamesBytes -= name.Length + ClientMemory.NameBytes;
        session.SubscriptionsChanged();
        Dictionary<byte[], HashSet<Session>> all = Of(kind);
        if (TryFind(all, name, out HashSet<Session>? sessions) && sessions.Remove(session) && sessions.Count == 0)
        {
            all.GetAlternateLookup<ReadOnlySpan<byte>>().Remove(name);
        }

        return true;
    }

    /// <summary>Ends all subscriptions of a session.</summary>
    public void RemoveAll(Session session)
    {
        foreach (SubscriptionKind kind in (ReadOnlySpan<SubscriptionKind>)[SubscriptionKind.Channel, SubscriptionKind.Pattern, SubscriptionKind.ShardChannel])
        {
            foreach (byte[] name in session.Subscriptions(kind)?.ToArray() ?? [])
            {
                Unsubscribe(session, kind, name);
            }
        }
    }

    /// <summary>Publishes a keyspace event on the channels that notify-keyspace-events asks for.</summary>
    private void Publish(KeyspaceEvents kind, ReadOnlySpan<byte> name, int database, ReadOnlySpan<byte> key)
    {
        KeyspaceEvents wanted = Mimei.Keyspace.Options.NotifyEvents;
        if (_channels.Count == 0 && _patterns.Count == 0)
        {
            return;
        }

        if ((wanted & KeyspaceEvents.Keyspace) != 0)
        {
            Publish(EventChannel("__keyspace@"u8, database, key), name, key, isEvent: true);
        }

        if ((wanted & KeyspaceEvents.Keyevent) != 0)
        {
            Publish(EventChannel("__keyevent@"u8, database, name), key, key, isEvent: true);
        }
    }

    /// <summary>The channel of an event: prefix, database number, <c>__:</c>, what it is about.</summary>
    private ReadOnlySpan<byte> EventChannel(ReadOnlySpan<byte> prefix, int database, ReadOnlySpan<byte> about)
    {
        const int NumberRoom = 11;
        ReadOnlySpan<byte> middle = "__:"u8;
        if (_eventChannel.Length < prefix.Length + NumberRoom + middle.Length + about.Length)
        {
            _eventChannel = new byte[prefix.Length + NumberRoom + middle.Length + about.Length];
        }

        Span<byte> rest = _eventChannel;
        prefix.CopyTo(rest);
        _ = database.TryFormat(rest[prefix.Length..], out int digits, default, System.Globalization.CultureInfo.InvariantCulture);
        int length = prefix.Length + digits;
        middle.CopyTo(rest[length..]);
        length += middle.Length;
        about.CopyTo(rest[length..]);
        return rest[..(length + about.Length)];
    }

    private long Send(
        ReadOnlySpan<byte> kind, ReadOnlySpan<byte> pattern, ReadOnlySpan<byte> channel, ReadOnlySpan<byte> message, HashSet<Session> sessions, ReadOnlySpan<byte> key = default, bool isEvent = false)
    {
        bool hasPattern = kind.Length == "pmessage"u8.Length && kind[0] == 'p';
        _message.Array(hasPattern ? 4 : 3);
        _message.Bulk(kind);
        if (hasPattern)
        {
            _message.Bulk(pattern);
        }

        _message.Bulk(channel);
        _message.Bulk(message);
        foreach (Session session in sessions)
        {
            if (isEvent && !session.User.MayHearOf(key))
            {
                continue;
            }

            // The protocols differ in the first byte alone.
            *_message.Data = session.Output.Version == 2 ? (byte)'*' : (byte)'>';
            Server!.Push(session, _message.Data, _message.Length);
        }

        _message.Release();
        return sessions.Count;
    }

    private Dictionary<byte[], HashSet<Session>> Of(SubscriptionKind kind) => kind switch
    {
        SubscriptionKind.Channel => _channels,
        SubscriptionKind.Pattern => _patterns,
        _ => _shardChannels,
    };

    private static bool TryFind(Dictionary<byte[], HashSet<Session>> all, ReadOnlySpan<byte> name, [NotNullWhen(true)] out HashSet<Session>? sessions)
    {
        sessions = null;
        return all.Count != 0 && all.GetAlternateLookup<ReadOnlySpan<byte>>().TryGetValue(name, out sessions);
    }
}

/// <summary>What a subscription names.</summary>
internal enum SubscriptionKind
{
    /// <summary>A channel by its name.</summary>
    Channel,
    /// <summary>All channels that match a pattern.</summary>
    Pattern,
    /// <summary>A shard channel by its name.</summary>
    ShardChannel,
}
