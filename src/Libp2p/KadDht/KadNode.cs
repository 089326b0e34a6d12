// A node of the DHT without sockets, clock or threads: it is stepped by messages and ticks, and what it wants sent is taken from it. So ten thousand
// of them run in one test from one seed, and the same code runs on the real network (KademliaDht).
//
//   Answer(request) ─► reply                  what others ask; nothing here waits
//   Begin…(key) ─► KadQuery                   what this node wants to know or store; its end is told
//   TryTake ─► KadSend ─► Reply / Failed      each send ends by one of the two, at the latest by Tick
//
// https://github.com/libp2p/specs/blob/master/kad-dht/README.md

using System.Net;
using System.Security.Cryptography;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;

namespace Leither.Libp2p.KadDht;

/// <summary>Something to be sent.</summary>
internal readonly record struct KadSend(long Id, KadPeer To, KadMessage Message)
{
    /// <summary>ADD_PROVIDER is the one message that nobody answers: that it was taken is all there is.</summary>
    public bool HasReply => Message.Type != KadMessageType.AddProvider;
}

/// <summary>A node of the DHT. One thread at a time.</summary>
internal sealed class KadNode
{
    /// <summary>Buckets beyond so many shared bits are not refreshed: a key for them takes too many tries, and networks of millions do not reach there.</summary>
    private const int MaxRefreshDepth = 14;

    /// <summary>How many closest sets the estimate of the network's size looks at.</summary>
    private const int MaxSamples = 64;

    private static readonly TimeSpan _expiryInterval = TimeSpan.FromMinutes(10);

    private readonly KadOptions _options;
    private readonly Random _random;
    private readonly RecordRules _rules;
    private readonly Func<IReadOnlyList<Multiaddr>> _ownAddresses;
    private readonly Queue<KadSend> _outbox = new();
    private readonly Dictionary<long, Pending> _pending = [];
    private readonly Queue<(DateTimeOffset Deadline, long Id)> _deadlines = new();
    private readonly List<KadQuery> _queries = [];
    private readonly OwnRecords _own;
    private readonly KnownPeers _knownPeers;
    private readonly byte[] _selfBytes;
    private readonly Queue<double> _samples = new();
    private long _lastId;
    private KadQuery? _refreshing;
    private int _refreshIndex = -1;
    private int _republishing;
    private int _rejoining;
    private DateTimeOffset _nextSave;
    private DateTimeOffset _refreshRound = DateTimeOffset.MinValue;
    private DateTimeOffset _nextExpiry = DateTimeOffset.MinValue;
    private DateTimeOffset _now;

    public KadNode(PeerId self, KadOptions options, Random random, DateTimeOffset now, Func<IReadOnlyList<Multiaddr>>? ownAddresses = null, IKadStore? store = null,
        IEnumerable<IRecordValidator>? validators = null)
    {
        Self = self;
        _selfBytes = self.ToArray();
        Key = KadKey.Of(_selfBytes);
        _options = options;
        _random = random;
        _now = now;
        _ownAddresses = ownAddresses ?? (static () => []);
        _rules = new RecordRules(validators ?? [new PublicKeyValidator(), new IpnsValidator()]);
        Table = new RoutingTable(Key, options.K, options.CheckAfter);
        Providers = new ProviderStore(Key, options, store);
        Values = new ValueStore(Key, options, _rules, store);
        _own = new OwnRecords(store);
        _knownPeers = new KnownPeers(store);
        _nextSave = now + options.SavePeersInterval;
        if (store == null)
        {
            return;
        }

        foreach ((byte[] name, byte[] value) in store.Load())
        {
            // What has ended meanwhile, found no room or is nothing that we know goes.
            if (!Providers.Load(name, value, now) && !Values.Load(name, value, now) && !_own.Load(name, value, now + options.RepublishInterval) && !_knownPeers.Load(name, value))
            {
                store.Delete(name);
            }
        }
    }

    public PeerId Self { get; }

    public KadKey Key { get; }

    public RoutingTable Table { get; }

    public ProviderStore Providers { get; }

    public ValueStore Values { get; }

    /// <summary>What else is known of peers, such as of clients that are connected: who asks where one is, is told.</summary>
    public Func<PeerId, IReadOnlyList<Multiaddr>>? KnownAddresses { get; init; }

    /// <summary>Whether anything is under way.</summary>
    public bool IsBusy => _pending.Count > 0 || _queries.Count > 0;

    /// <summary>What this node provides.</summary>
    public int ProvidedCount => _own.Count;

    /// <summary>The keys that this node provides.</summary>
    public IEnumerable<byte[]> Provided => _own.Keys;

    /// <summary>The i-th nearest of n peers lies at about i/(n+1) of the whole space; 0 where nothing is known.</summary>
    public long NetworkSize => _samples.Count == 0 ? Table.Count : Math.Max(Table.Count, (long)(_samples.Count / _samples.Sum()) - 1);

    /// <summary>The next thing to be sent.</summary>
    public bool TryTake(out KadSend send) => _outbox.TryDequeue(out send);

    /// <summary>A peer that serves the DHT is there.</summary>
    public void Seen(KadPeer peer, IPAddress? address, DateTimeOffset now)
    {
        _now = now;
        peer = Usable(peer);
        _ = Table.Seen(peer, address, now, out KadPeer? doubtful);
        if (doubtful != null)
        {
            // Any question will do, and this one everybody answers.
            Send(doubtful, new KadMessage { Type = KadMessageType.FindNode, Key = _selfBytes }, null, isStore: false);
        }
    }

    /// <summary>Answers a request; null where there is no answer. The address is where it came from.</summary>
    public KadMessage? Answer(PeerId from, IPAddress? address, KadMessage request, DateTimeOffset now)
    {
        _now = now;
        switch (request.Type)
        {
            case KadMessageType.Ping:
                return new KadMessage { Type = KadMessageType.Ping };
            case KadMessageType.FindNode:
                return request.Key.Length == 0 ? null : new KadMessage { Type = request.Type, Key = request.Key, CloserPeers = Closer(request.Key, from, isPeer: true) };
            case KadMessageType.GetProviders:
                return request.Key.Length == 0 ? null : new KadMessage
                {
                    Type = request.Type,
                    Key = request.Key,
                    Providers = [.. Local(request.Key, KadMessage.MaxProviders)],
                    CloserPeers = Closer(request.Key, from, isPeer: false),
                };
            case KadMessageType.GetValue:
                return request.Key.Length == 0 ? null : new KadMessage
                {
                    Type = request.Type,
                    Key = request.Key,
                    Record = Values.TryGet(request.Key, now, out byte[]? value) ? new KadRecord(request.Key, value) : null,
                    CloserPeers = Closer(request.Key, from, isPeer: false),
                };
            case KadMessageType.PutValue:
                return request.Record is { } record && record.Key.AsSpan().SequenceEqual(request.Key) && Values.Put(request.Key, record.Value, now)
                    ? new KadMessage { Type = request.Type, Key = request.Key, Record = record } : null;
            case KadMessageType.AddProvider:
                // Nobody speaks for others.
                if (request.Providers.FirstOrDefault(provider => provider.Id == from) is { } provider && Usable(provider) is { Addresses.Count: > 0 } usable)
                {
                    _ = Providers.Add(request.Key, usable, address, now);
                }

                return null;
            default:
                return null;
        }
    }

    /// <summary>The k peers nearest to a key.</summary>
    public KadQuery BeginClosest(byte[] key, DateTimeOffset now, Action<KadQuery>? done = null) =>
        Begin(new KadQuery(KadQueryKind.Closest, key, NewLookup(key, now), now + _options.LookupTimeout) { Done = done });

    /// <summary>Where a peer is.</summary>
    public KadQuery BeginFindPeer(PeerId peer, DateTimeOffset now, Action<KadQuery>? done = null)
    {
        byte[] key = peer.ToArray();
        return Begin(new KadQuery(KadQueryKind.FindPeer, key, NewLookup(key, now), now + _options.LookupTimeout) { Peer = peer, Done = done });
    }

    /// <summary>Who provides a key: each is told as it is found.</summary>
    public KadQuery BeginFindProviders(byte[] key, int wanted, DateTimeOffset now, Action<KadPeer>? found = null, Action<KadQuery>? done = null)
    {
        var query = new KadQuery(KadQueryKind.FindProviders, key, NewLookup(key, now), now + _options.LookupTimeout) { Wanted = wanted, Found = found, Done = done };
        AddProviders(query, Providers.Get(key, KadMessage.MaxProviders, now));
        return Begin(query);
    }

    /// <summary>The best value of a key.</summary>
    public KadQuery BeginGetValue(byte[] key, int quorum, DateTimeOffset now, Action<KadQuery>? done = null)
    {
        var query = new KadQuery(KadQueryKind.GetValue, key, NewLookup(key, now), now + _options.LookupTimeout) { Wanted = quorum, Done = done };
        if (Values.TryGet(key, now, out byte[]? value))
        {
            query.Value = value;
        }

        return Begin(query);
    }

    /// <summary>Stores a value here and with the k nearest.</summary>
    /// <exception cref="ArgumentException">It is not valid, or older than the one that is here.</exception>
    public KadQuery BeginPutValue(byte[] key, byte[] value, DateTimeOffset now, Action<KadQuery>? done = null)
    {
        if (!_rules.IsValid(key, value, now))
        {
            throw new ArgumentException("The value is not one that may stand under the key.", nameof(value));
        }

        if (!Values.Put(key, value, now) && Values.TryGet(key, now, out byte[]? newer) && _rules.Compare(key, value, newer) < 0)
        {
            throw new ArgumentException("There is a newer value of the key.", nameof(value));
        }

        return Begin(new KadQuery(KadQueryKind.PutValue, key, NewLookup(key, now), now + _options.LookupTimeout) { Value = value, Done = done });
    }

    /// <summary>Tells the k nearest that this node provides a key, now and from time to time until it is taken back.</summary>
    public KadQuery BeginProvide(byte[] key, DateTimeOffset now, Action<KadQuery>? done = null)
    {
        _now = now;
        return BeginProvide(key, done);
    }

    /// <summary>No longer tells so. What was told ends by itself.</summary>
    /// <returns>Whether it did.</returns>
    public bool Unprovide(byte[] key) => _own.Remove(key);

    /// <summary>Writes down who is in the table, so that after a restart the way back in is short.</summary>
    public void SavePeers(DateTimeOffset now)
    {
        _nextSave = now + _options.SavePeersInterval;
        _knownPeers.Save(Table.Good(now - KnownPeers.MaxSilence));
    }

    /// <summary>Gives a query up; its end is told.</summary>
    public void Cancel(KadQuery query) => End(query);

    /// <summary>A peer answered, from this address; a message that nobody answers has arrived.</summary>
    public void Reply(long id, KadMessage? reply, IPAddress? address, DateTimeOffset now)
    {
        _now = now;
        if (!_pending.Remove(id, out Pending? pending))
        {
            return;
        }

        pending.Ended?.Invoke();
        KadQuery? query = pending.Query;
        // What answers something else is no answer, and who sends it no help.
        if (reply != null && (reply.Type != pending.Type || (reply.Key.Length > 0 && !reply.Key.AsSpan().SequenceEqual(pending.Key))))
        {
            Failed(pending);
            return;
        }

        // It lives. It was put in when it was met, or is now.
        Seen(pending.To, address, now);
        if (query == null || query.IsEnded)
        {
            return;
        }

        if (pending.IsStore)
        {
            query.Storing--;
            query.Stored++;
        }
        else if (reply != null)
        {
            Take(query, pending.To, reply);
        }

        Pump(query);
    }

    /// <summary>A peer could not be asked, or did not answer.</summary>
    public void Failed(long id, DateTimeOffset now)
    {
        _now = now;
        if (_pending.Remove(id, out Pending? pending))
        {
            pending.Ended?.Invoke();
            Failed(pending);
        }
    }

    /// <summary>Time has passed: ends what took too long, and does what is due.</summary>
    public void Tick(DateTimeOffset now)
    {
        _now = now;
        while (_deadlines.TryPeek(out (DateTimeOffset Deadline, long Id) first) && (first.Deadline <= now || !_pending.ContainsKey(first.Id)))
        {
            _deadlines.Dequeue();
            if (_pending.Remove(first.Id, out Pending? pending))
            {
                pending.Ended?.Invoke();
                Failed(pending);
            }
        }

        // An end may begin others, which stand behind it and have time.
        for (int i = _queries.Count - 1; i >= 0; i--)
        {
            if (i < _queries.Count && _queries[i].Deadline <= now)
            {
                End(_queries[i]);
            }
        }

        if (now >= _nextExpiry)
        {
            _nextExpiry = now + _expiryInterval;
            Providers.Expire(now);
            Values.Expire(now);
        }

        if (now >= _nextSave)
        {
            SavePeers(now);
        }

        Rejoin();
        Refresh();
        Republish();
    }

    private void Failed(Pending pending)
    {
        Table.Failed(pending.To);
        if (pending.Query is not { IsEnded: false } query)
        {
            return;
        }

        if (pending.IsStore)
        {
            query.Storing--;
        }
        else
        {
            query.Lookup.Failed(pending.To);
        }

        Pump(query);
    }

    private Lookup NewLookup(byte[] key, DateTimeOffset now)
    {
        _now = now;
        var target = KadKey.Of(key);
        return new Lookup(Key, target, Table.Closest(target, _options.K), _options.K, _options.Alpha, _options.Beta);
    }

    private KadQuery Begin(KadQuery query)
    {
        Table.Touch(query.Lookup.Target, _now);
        _queries.Add(query);
        if (query.Kind == KadQueryKind.FindPeer && Table.TryGet(query.Peer, out KadPeer? known) && known.Addresses.Count > 0)
        {
            query.FoundPeer = known;
        }

        Pump(query);
        return query;
    }

    private void Take(KadQuery query, KadPeer from, KadMessage reply)
    {
        // Never more than what was asked for is kept of a reply.
        KadPeer[] closer = [.. reply.CloserPeers.Where(peer => peer.Id != Self).Select(Usable).Where(peer => peer.Addresses.Count > 0 || Table.Contains(peer))];
        switch (query.Kind)
        {
            case KadQueryKind.FindPeer:
                query.FoundPeer ??= closer.FirstOrDefault(peer => peer.Id == query.Peer && peer.Addresses.Count > 0);
                break;
            case KadQueryKind.FindProviders:
                AddProviders(query, reply.Providers.Select(Usable));
                break;
            case KadQueryKind.GetValue:
                byte[]? value = reply.Record is { } record && record.Key.AsSpan().SequenceEqual(query.Key) && _rules.IsValid(query.Key, record.Value, _now) ? record.Value : null;
                query.Answers[from.Id] = value;
                if (value != null)
                {
                    query.Values++;
                    query.Value = query.Value == null || _rules.Compare(query.Key, value, query.Value) > 0 ? value : query.Value;
                }

                break;
            default:
                break;
        }

        query.Lookup.Answered(from, closer);
    }

    private static void AddProviders(KadQuery query, IEnumerable<KadPeer> providers)
    {
        foreach (KadPeer provider in providers)
        {
            if (query.Providers.Count < query.Wanted && query.ProviderIds.Add(provider.Id))
            {
                query.Providers.Add(provider);
                query.Found?.Invoke(provider);
            }
        }
    }

    /// <summary>Goes on with a query as far as it can.</summary>
    private void Pump(KadQuery query)
    {
        if (query.IsEnded)
        {
            return;
        }

        if (!query.IsStoring)
        {
            if (!query.HasEnough)
            {
                while (query.Lookup.TryNext(out KadPeer? next))
                {
                    Send(next, query.Request, query, isStore: false);
                }

                if (!query.Lookup.IsDone)
                {
                    return;
                }
            }

            BeginStoring(query);
        }

        if (query.Storing == 0)
        {
            End(query);
        }
    }

    private void BeginStoring(KadQuery query)
    {
        query.IsStoring = true;
        if (query.Kind == KadQueryKind.GetValue)
        {
            Correct(query);
            return;
        }

        if (query.Kind is not (KadQueryKind.Provide or KadQueryKind.PutValue))
        {
            return;
        }

        // A node among the k nearest holds its own records as well as the others do.
        KadMessage message = query.Kind == KadQueryKind.PutValue
            ? new KadMessage { Type = KadMessageType.PutValue, Key = query.Key, Record = new KadRecord(query.Key, query.Value!) }
            : new KadMessage { Type = KadMessageType.AddProvider, Key = query.Key, Providers = [Usable(new KadPeer(Self, _ownAddresses()))] };
        foreach (KadPeer peer in query.Lookup.Closest.ToArray())
        {
            query.Storing++;
            Send(peer, message, query, isStore: true);
        }
    }

    /// <summary>Gives the best value to those of the nearest that have a worse one, or none. Nobody waits for it.</summary>
    private void Correct(KadQuery query)
    {
        if (query.Value == null)
        {
            return;
        }

        foreach (KadPeer peer in query.Lookup.Closest.ToArray())
        {
            if (query.Answers.TryGetValue(peer.Id, out byte[]? answered) && (answered == null || _rules.Compare(query.Key, query.Value, answered) > 0))
            {
                Send(peer, new KadMessage { Type = KadMessageType.PutValue, Key = query.Key, Record = new KadRecord(query.Key, query.Value) }, null, isStore: false);
            }
        }
    }

    private void End(KadQuery query)
    {
        if (query.IsEnded)
        {
            return;
        }

        query.IsEnded = true;
        _queries.Remove(query);
        Sample(query);
        if (query == _refreshing)
        {
            _refreshing = null;
        }

        query.Done?.Invoke(query);
    }

    private void Sample(KadQuery query)
    {
        if (query.Kind is not (KadQueryKind.Closest or KadQueryKind.Provide or KadQueryKind.PutValue))
        {
            return;
        }

        int i = 0;
        double sum = 0;
        foreach (KadPeer peer in query.Lookup.Closest)
        {
            sum += query.Lookup.Target.DistanceTo(peer.Key).ToFraction() / ++i;
        }

        if (i >= _options.K && sum > 0)
        {
            _samples.Enqueue(sum / i);
            if (_samples.Count > MaxSamples)
            {
                _samples.Dequeue();
            }
        }
    }

    private void Send(KadPeer to, KadMessage message, KadQuery? query, bool isStore, Action? ended = null)
    {
        long id = ++_lastId;
        _pending.Add(id, new Pending(to, message.Type, message.Key, query, isStore, ended));
        _deadlines.Enqueue((_now + _options.RequestTimeout, id));
        _outbox.Enqueue(new KadSend(id, to, message));
    }

    private List<KadPeer> Closer(byte[] key, PeerId asker, bool isPeer)
    {
        List<KadPeer> closest = Table.Closest(KadKey.Of(key), _options.K, asker);
        // Who is asked for itself says so.
        if (isPeer && key.AsSpan().SequenceEqual(_selfBytes))
        {
            closest.Insert(0, Usable(new KadPeer(Self, _ownAddresses())));
        }
        else if (isPeer && KnownAddresses != null && PeerId.TryRead(key, out PeerId target) && target != asker && closest.TrueForAll(peer => peer.Id != target))
        {
            // A client has no place in the table, and can still be found.
            KadPeer known = Usable(new KadPeer(target, KnownAddresses(target)));
            if (known.Addresses.Count > 0)
            {
                closest.Insert(0, known);
            }
        }

        return closest;
    }

    private IEnumerable<KadPeer> Local(byte[] key, int max)
    {
        IEnumerable<KadPeer> stored = Providers.Get(key, max, _now);
        return _own.Contains(key) ? stored.Prepend(Usable(new KadPeer(Self, _ownAddresses()))).Take(max) : stored;
    }

    private KadPeer Usable(KadPeer peer) =>
        _options.PublicAddressesOnly && peer.Addresses.Any(address => !IpGroup.IsPublic(address)) ? peer.With([.. peer.Addresses.Where(IpGroup.IsPublic)]) : peer;

    /// <summary>
    /// Looks for ourselves and into each bucket that was not looked into for a while, one lookup after the other.
    /// </summary>
    private void Refresh()
    {
        if (_refreshing != null || Table.Count == 0)
        {
            return;
        }

        if (_refreshIndex < 0)
        {
            if (_now - _refreshRound < _options.RefreshInterval)
            {
                return;
            }

            _refreshRound = _now;
            _refreshIndex = 0;
            BeginRefresh(_selfBytes);
            return;
        }

        int depth = Math.Min(Table.RefreshDepth, MaxRefreshDepth);
        while (_refreshIndex < depth)
        {
            int index = _refreshIndex++;
            if (Table.IsStale(index, _now - _options.RefreshInterval))
            {
                BeginRefresh(KeyInBucket(index));
                return;
            }
        }

        _refreshIndex = -1;
    }

    private void BeginRefresh(byte[] key)
    {
        KadQuery query = BeginClosest(key, _now);
        // It may have ended at once, where nobody could be asked.
        _refreshing = query.IsEnded ? null : query;
    }

    /// <summary>A key, in the form of a peer id as some want it, whose place shares exactly so many bits with ours.</summary>
    private byte[] KeyInBucket(int index)
    {
        byte[] key = new byte[2 + SHA256.HashSizeInBytes];
        key[0] = (byte)Multicodec.Sha256;
        key[1] = SHA256.HashSizeInBytes;
        do
        {
            _random.NextBytes(key.AsSpan(2));
        }
        while (Key.CommonPrefix(KadKey.Of(key)) != index);
        return key;
    }

    /// <summary>Asks those who were in the table before the last restart, a few at a time; who answers is in it again.</summary>
    private void Rejoin()
    {
        while (_rejoining < _options.Alpha && _knownPeers.TryTake(out KadPeer? peer))
        {
            if (!peer.Key.Equals(Key) && !Table.Contains(peer))
            {
                _rejoining++;
                Send(Usable(peer), new KadMessage { Type = KadMessageType.FindNode, Key = _selfBytes }, null, isStore: false, () => _rejoining--);
            }
        }
    }

    private KadQuery BeginProvide(byte[] key, Action<KadQuery>? done)
    {
        // A tenth early at most, by chance, so that what was begun together does not come due together for ever.
        _own.Set(key, _now + (_options.RepublishInterval * (1 - (0.1 * _random.NextDouble()))));
        return Begin(new KadQuery(KadQueryKind.Provide, key, NewLookup(key, _now), _now + _options.LookupTimeout)
        {
            Done = query =>
            {
                if (query.Stored == 0 && _own.Contains(key))
                {
                    _own.Set(key, _now + _options.RetryInterval);
                }

                done?.Invoke(query);
            },
        });
    }

    /// <summary>A few at a time, so that a thousand keys are no storm.</summary>
    private void Republish()
    {
        while (_republishing < _options.MaxRepublishing && Table.Count > 0 && _own.TryGetDue(_now, out byte[]? key))
        {
            _republishing++;
            BeginProvide(key, _ => _republishing--);
        }
    }

    private sealed record Pending(KadPeer To, KadMessageType Type, byte[] Key, KadQuery? Query, bool IsStore, Action? Ended);
}
