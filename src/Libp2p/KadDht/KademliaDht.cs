// The DHT on a host: connects KadNode, which does no I/O, with streams and the clock. Everything that touches the node happens under one lock, in which nobody
// waits; what it wants sent is sent outside.

using System.Net;
using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p.Identify;
using Leither.Libp2p.Ipns;
using Leither.Libp2p.Peers;

namespace Leither.Libp2p.KadDht;

/// <summary>The Kademlia DHT on a host: finds peers, providers and values, and holds others' records. Safe for any number of threads.</summary>
public sealed class KademliaDht : IValueRouting, IAsyncDisposable
{
    /// <summary>How long a stream may be silent before it is given up.</summary>
    public static readonly TimeSpan IdleTimeout = TimeSpan.FromMinutes(1);

    private static readonly TimeSpan _tick = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan _bootstrapPause = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan _flushPause = TimeSpan.FromSeconds(10);

    private readonly Host _host;
    private readonly KadOptions _options;
    private readonly TimeProvider _time;
    private readonly KadNode _node;
    private readonly IKadStore? _store;
    private readonly Lock _gate = new();
    private readonly SemaphoreSlim _lookups;
    private readonly CancellationTokenSource _stopping = new();
    private readonly List<Multiaddr> _bootstrap = [];
    private readonly Task _ticking;
    private DateTimeOffset _nextBootstrap = DateTimeOffset.MinValue;
    private DateTimeOffset _nextFlush;
    private bool? _isReachable;
    private bool _isServer, _isStoreFailing;

    /// <summary>Begins on a host. What it holds for others, provides and knows of the network is kept in the store, if there is one; whoever made that closes it.</summary>
    public KademliaDht(Host host, KadOptions? options = null, IKadStore? store = null, IEnumerable<IRecordValidator>? validators = null)
    {
        _host = host;
        _options = options ?? new KadOptions();
        _time = host.Time;
        _store = store;
        _nextFlush = _time.GetUtcNow() + _flushPause;
        _lookups = new SemaphoreSlim(_options.MaxLookups);
        _node = new KadNode(host.Id, _options, new Random(), _time.GetUtcNow(), () => host.Addresses, store, validators) { KnownAddresses = host.Peers.GetAddresses };
        host.PeerIdentified += OnIdentified;
        UpdateMode();
        foreach (PeerConnection connection in host.Connections)
        {
            Meet(connection);
        }

        _ticking = TickAsync();
    }

    /// <summary>Is told that the store could not be written, once until it can be again. What it did not take is kept in memory, and tried again.</summary>
    public event Action<IOException>? StoreFailed;

    /// <summary>Which network it is.</summary>
    public string Protocol => _options.Protocol;

    /// <summary>Whether a node that has this store provides anything: it is to be in the network then, or others forget that.</summary>
    public static bool ProvidesAnything(IKadStore store) => OwnRecords.IsIn(store);

    /// <summary>Whether this node answers others.</summary>
    public bool IsServer => Volatile.Read(ref _isServer);

    /// <summary>How many peers the routing table holds.</summary>
    public int TableCount => Read(node => node.Table.Count);

    /// <summary>How many provider records are held for others.</summary>
    public int ProviderRecordCount => Read(node => node.Providers.Count);

    /// <summary>How many values are held for others.</summary>
    public int ValueCount => Read(node => node.Values.Count);

    /// <summary>What this node provides: keys, multihashes of content.</summary>
    public IReadOnlyList<byte[]> Provided => Read<IReadOnlyList<byte[]>>(node => [.. node.Provided]);

    /// <summary>How many keys this node provides.</summary>
    public int ProvidedCount => Read(node => node.ProvidedCount);

    /// <summary>About how many servers the network has, judged by how densely they lie around what was looked for.</summary>
    public long NetworkSize => Read(node => node.NetworkSize);

    /// <summary>The peers of the routing table.</summary>
    public IReadOnlyList<KadPeer> Table => Read<IReadOnlyList<KadPeer>>(node => [.. node.Table.Peers]);

    /// <summary>Tells whether this node can be reached from everywhere, which decides whether <see cref="KadMode.Auto"/> serves.</summary>
    public void SetReachable(bool isReachable)
    {
        _isReachable = isReachable;
        UpdateMode();
    }

    /// <summary>Connects with peers that lead into the network, now and whenever nobody else is known; returns once we are among others, or none could be reached.</summary>
    public async Task BootstrapAsync(IEnumerable<Multiaddr> peers, CancellationToken cancellationToken = default)
    {
        lock (_gate)
        {
            _bootstrap.AddRange(peers.Except(_bootstrap));
            _nextBootstrap = _time.GetUtcNow() + _bootstrapPause;
        }

        await ConnectBootstrapAsync(cancellationToken).ConfigureAwait(false);
        await ClosestPeersAsync(_host.Id.ToArray(), cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Where a peer is; null if nobody knows.</summary>
    public Task<KadPeer?> FindPeerAsync(PeerId peer, CancellationToken cancellationToken = default) => FindPeerAsync(peer, null, cancellationToken);

    /// <summary>Where a peer is; null if nobody knows. How far the search is can be seen.</summary>
    public async Task<KadPeer?> FindPeerAsync(PeerId peer, KadProgress? progress, CancellationToken cancellationToken = default)
    {
        if (_host.TryGetConnection(peer, out PeerConnection? connection))
        {
            IReadOnlyList<Multiaddr> known = _host.Peers.GetAddresses(peer);
            return new KadPeer(peer, known.Count > 0 ? known : [connection.RemoteAddress]);
        }

        return (await RunAsync((node, now, done) => node.BeginFindPeer(peer, now, done), progress, cancellationToken).ConfigureAwait(false)).FoundPeer;
    }

    /// <summary>The peers nearest to a key.</summary>
    public async Task<IReadOnlyList<KadPeer>> ClosestPeersAsync(byte[] key, CancellationToken cancellationToken = default) =>
        [.. (await RunAsync((node, now, done) => node.BeginClosest(key, now, done), null, cancellationToken).ConfigureAwait(false)).Lookup.Closest];

    /// <summary>Who provides content, as they are found, at most so many.</summary>
    public IAsyncEnumerable<KadPeer> FindProvidersAsync(Multihash content, int max = 20, CancellationToken cancellationToken = default) =>
        FindProvidersAsync(content, max, null, cancellationToken);

    /// <summary>Who provides content, as they are found, at most so many. How far the search is can be seen.</summary>
    public async IAsyncEnumerable<KadPeer> FindProvidersAsync(Multihash content, int max, KadProgress? progress, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        byte[] key = content.ToArray();
        // Bounded by the number that is wanted.
        var found = Channel.CreateUnbounded<KadPeer>();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Task running = FindAsync();
        try
        {
            await foreach (KadPeer peer in found.Reader.ReadAllAsync(cancellationToken).ConfigureAwait(false))
            {
                yield return peer;
            }
        }
        finally
        {
            await stop.CancelAsync().ConfigureAwait(false);
            await running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        async Task FindAsync()
        {
            try
            {
                await RunAsync((node, now, done) => node.BeginFindProviders(key, max, now, peer => found.Writer.TryWrite(peer), done), progress, stop.Token).ConfigureAwait(false);
                found.Writer.Complete();
            }
            catch (Exception e)
            {
                found.Writer.Complete(e);
            }
        }
    }

    /// <summary>Tells the network that this node provides content, now and from time to time until it is taken back; returns how many peers took it.</summary>
    public Task<int> ProvideAsync(Multihash content, CancellationToken cancellationToken = default) => ProvideAsync(content, null, cancellationToken);

    /// <summary>Tells the network that this node provides content, and goes on doing so after a restart. How far it is can be seen.</summary>
    /// <exception cref="IOException">It could not be written down: after a restart it would not be told any more.</exception>
    public async Task<int> ProvideAsync(Multihash content, KadProgress? progress, CancellationToken cancellationToken = default)
    {
        KadQuery query = await RunAsync((node, now, done) => node.BeginProvide(content.ToArray(), now, done), progress, cancellationToken).ConfigureAwait(false);
        await FlushStoreAsync(durably: true).ConfigureAwait(false);
        return query.Stored;
    }

    /// <summary>No longer tells so; what was told ends by itself.</summary>
    /// <returns>Whether it did.</returns>
    /// <exception cref="IOException">It could not be written down: after a restart it would be told again.</exception>
    public async Task<bool> UnprovideAsync(Multihash content)
    {
        bool did = Read(node => node.Unprovide(content.ToArray()));
        await FlushStoreAsync(durably: true).ConfigureAwait(false);
        return did;
    }

    /// <summary>Stores a value; returns how many peers took it.</summary>
    /// <exception cref="ArgumentException">It is not valid, or there is a newer one.</exception>
    public Task<int> PutValueAsync(byte[] key, byte[] value, CancellationToken cancellationToken = default) => PutValueAsync(key, value, null, cancellationToken);

    /// <summary>Stores a value; returns how many peers took it. How far it is can be seen.</summary>
    /// <exception cref="ArgumentException">It is not valid, or there is a newer one.</exception>
    public async Task<int> PutValueAsync(byte[] key, byte[] value, KadProgress? progress, CancellationToken cancellationToken = default) =>
        (await RunAsync((node, now, done) => node.BeginPutValue(key, value, now, done), progress, cancellationToken).ConfigureAwait(false)).Stored;

    /// <summary>The best value of a key among those of so many peers; null if nobody has one.</summary>
    public Task<byte[]?> GetValueAsync(byte[] key, int? quorum = null, CancellationToken cancellationToken = default) => GetValueAsync(key, quorum, null, cancellationToken);

    /// <summary>The best value of a key among those of so many peers; null if nobody has one. How far the search is can be seen.</summary>
    public async Task<byte[]?> GetValueAsync(byte[] key, int? quorum, KadProgress? progress, CancellationToken cancellationToken = default) =>
        (await RunAsync((node, now, done) => node.BeginGetValue(key, quorum ?? _options.Quorum, now, done), progress, cancellationToken).ConfigureAwait(false)).Value;

    /// <summary>Stops. The host goes on.</summary>
    public async ValueTask DisposeAsync()
    {
        _host.PeerIdentified -= OnIdentified;
        _host.Unhandle(Protocol);
        await _stopping.CancelAsync().ConfigureAwait(false);
        await _ticking.ConfigureAwait(false);
        lock (_gate)
        {
            _node.SavePeers(_time.GetUtcNow());
        }

        try
        {
            await FlushStoreAsync(durably: true).ConfigureAwait(false);
        }
        catch (IOException)
        {
            // It was told; the network tells us again what could not be kept.
        }
    }

    private async Task FlushStoreAsync(bool durably)
    {
        if (_store == null)
        {
            return;
        }

        try
        {
            await Task.Run(() => _store.Flush(durably)).ConfigureAwait(false);
            _isStoreFailing = false;
        }
        catch (IOException e)
        {
            if (!_isStoreFailing)
            {
                _isStoreFailing = true;
                StoreFailed?.Invoke(e);
            }

            throw;
        }
    }

    private T Read<T>(Func<KadNode, T> read)
    {
        lock (_gate)
        {
            return read(_node);
        }
    }

    private async Task<KadQuery> RunAsync(Func<KadNode, DateTimeOffset, Action<KadQuery>, KadQuery> begin, KadProgress? progress, CancellationToken cancellationToken)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _stopping.Token);
        await _lookups.WaitAsync(either.Token).ConfigureAwait(false);
        try
        {
            var ended = new TaskCompletionSource<KadQuery>(TaskCreationOptions.RunContinuationsAsynchronously);
            KadQuery query;
            lock (_gate)
            {
                query = begin(_node, _time.GetUtcNow(), done => ended.TrySetResult(done));
                progress?.Follow(query);
                Flush();
            }

            try
            {
                return await ended.Task.WaitAsync(either.Token).ConfigureAwait(false);
            }
            finally
            {
                lock (_gate)
                {
                    _node.Cancel(query);
                }
            }
        }
        finally
        {
            _lookups.Release();
        }
    }

    /// <summary>Starts sending what the node wants sent. Under the lock.</summary>
    private void Flush()
    {
        while (_node.TryTake(out KadSend send))
        {
            KadSend taken = send;
            _ = Task.Run(() => SendAsync(taken));
        }
    }

    private async Task SendAsync(KadSend send)
    {
        try
        {
            using var deadline = CancellationTokenSource.CreateLinkedTokenSource(_stopping.Token);
            deadline.CancelAfter(_options.RequestTimeout);
            PeerConnection connection = await ConnectAsync(send.To, deadline.Token).ConfigureAwait(false);
            // js-libp2p drops what came together with the end of our direction, unless the protocol was agreed upon before: so the end follows the reply, and where
            // there is none, the message follows the agreement.
            PeerStream stream = send.HasReply ? connection.OpenStream(Protocol) : await connection.OpenStreamAsync([Protocol], deadline.Token).ConfigureAwait(false);
            await using (stream.ConfigureAwait(false))
            {
                KadMessage? reply = null;
                try
                {
                    await LengthPrefixed.WriteAsync(stream, send.Message.ToArray(), deadline.Token).ConfigureAwait(false);
                    if (!send.HasReply)
                    {
                        stream.CompleteWrites();
                    }

                    byte[]? bytes = await LengthPrefixed.ReadAsync(stream, KadMessage.MaxLength, deadline.Token).ConfigureAwait(false);
                    reply = bytes == null ? null : KadMessage.Read(bytes);
                    if (reply == null && send.HasReply)
                    {
                        throw Libp2pException.Violation("DHT: a question without an answer.");
                    }
                }
                catch (Libp2pException e) when (!send.HasReply && e.Error == Libp2pError.StreamReset)
                {
                    // It spoke the protocol and was sent the message: js-libp2p takes it and then resets a stream that has ended, go-libp2p does not wait at all.
                }
                catch
                {
                    stream.Reset();
                    throw;
                }

                lock (_gate)
                {
                    _node.Reply(send.Id, send.HasReply ? reply : null, connection.RemoteIp, _time.GetUtcNow());
                    Flush();
                }
            }
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException)
        {
            // Gone, too slow or broken: for the DHT all the same.
            lock (_gate)
            {
                _node.Failed(send.Id, _time.GetUtcNow());
                if (!_stopping.IsCancellationRequested)
                {
                    Flush();
                }
            }
        }
    }

    private async Task<PeerConnection> ConnectAsync(KadPeer to, CancellationToken cancellationToken)
    {
        while (true)
        {
            try
            {
                return await _host.ConnectAsync(to.Id, to.Addresses, cancellationToken).ConfigureAwait(false);
            }
            catch (Libp2pException e) when (e.Error == Libp2pError.LimitExceeded)
            {
                // Our own limit says nothing about the peer.
                await Task.Delay(TimeSpan.FromMilliseconds(100), _time, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    private async Task HandleAsync(PeerStream stream, CancellationToken cancellationToken)
    {
        PeerConnection connection = stream.Connection!;
        using var idle = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _stopping.Token);
        while (true)
        {
            idle.CancelAfter(IdleTimeout);
            byte[]? bytes = await LengthPrefixed.ReadAsync(stream, KadMessage.MaxRequestLength, idle.Token).ConfigureAwait(false);
            if (bytes == null)
            {
                return;
            }

            var request = KadMessage.Read(bytes);
            KadMessage? reply;
            Meet(connection);
            lock (_gate)
            {
                reply = _node.Answer(connection.Peer, connection.RemoteIp, request, _time.GetUtcNow());
            }

            if (reply != null)
            {
                await LengthPrefixed.WriteAsync(stream, reply.ToArray(), idle.Token).ConfigureAwait(false);
            }
            else if (request.Type != KadMessageType.AddProvider)
            {
                // As go does it: a refusal is a reset.
                throw Libp2pException.Violation("DHT: a request that is refused.");
            }
        }
    }

    private void OnIdentified(PeerConnection connection, PeerIdentity identity) => Meet(connection);

    /// <summary>Notes a peer, if it serves.</summary>
    private void Meet(PeerConnection connection)
    {
        if (!_host.Peers.GetProtocols(connection.Peer).Contains(Protocol))
        {
            return;
        }

        var peer = new KadPeer(connection.Peer, [.. _host.Peers.GetAddresses(connection.Peer).Take(KadMessage.MaxAddresses)]);
        lock (_gate)
        {
            _node.Seen(peer, connection.RemoteIp, _time.GetUtcNow());
            Flush();
        }
    }

    private void UpdateMode()
    {
        bool serve = _options.Mode switch
        {
            KadMode.Server => true,
            KadMode.Client => false,
            _ => _isReachable ?? _host.Addresses.Any(IpGroup.IsPublic),
        };
        lock (_gate)
        {
            if (serve == _isServer)
            {
                return;
            }

            _isServer = serve;
        }

        if (serve)
        {
            _host.Handle(Protocol, HandleAsync, new ProtocolLimits { MaxStreams = 2048, MaxStreamsPerConnection = 64 });
        }
        else
        {
            _host.Unhandle(Protocol);
        }
    }

    private async Task TickAsync()
    {
        using var timer = new PeriodicTimer(_tick, _time);
        try
        {
            while (await timer.WaitForNextTickAsync(_stopping.Token).ConfigureAwait(false))
            {
                bool isAlone;
                DateTimeOffset now = _time.GetUtcNow();
                lock (_gate)
                {
                    _node.Tick(now);
                    Flush();
                    isAlone = _node.Table.Count == 0 && _bootstrap.Count > 0 && now >= _nextBootstrap;
                    _nextBootstrap = isAlone ? now + _bootstrapPause : _nextBootstrap;
                }

                UpdateMode();
                if (isAlone)
                {
                    await ConnectBootstrapAsync(_stopping.Token).ConfigureAwait(false);
                }

                if (now >= _nextFlush)
                {
                    _nextFlush = now + _flushPause;
                    try
                    {
                        await FlushStoreAsync(durably: false).ConfigureAwait(false);
                    }
                    catch (IOException)
                    {
                        // It was told, and is tried again.
                    }
                }
            }
        }
        catch (OperationCanceledException)
        {
            // The end.
        }
    }

    private async Task ConnectBootstrapAsync(CancellationToken cancellationToken)
    {
        Multiaddr[] peers;
        lock (_gate)
        {
            peers = [.. _bootstrap];
        }

        await Task.WhenAll(peers.Select(async address =>
        {
            try
            {
                PeerConnection connection = await _host.ConnectAsync(address, cancellationToken).ConfigureAwait(false);
                _ = await connection.Identified.WaitAsync(cancellationToken).ConfigureAwait(false);
                Meet(connection);
            }
            catch (IOException)
            {
                // One that is not there; others may be.
            }
        })).ConfigureAwait(false);
    }
}
