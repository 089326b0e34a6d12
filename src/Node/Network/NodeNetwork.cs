// The node among peers: a libp2p host, its part of the DHT and Bitswap over the public content, and nothing else of what the node holds.
//
// It costs nothing before it is needed: the parts are made when the first peer connects, a command asks for them, or the settings name peers to connect with; then
// on a thread of the pool, never on the loop. The port is the node's: sockets that turn out to be peers' are handed over with the bytes they sent. A private network
// has a port of its own instead, and is there from the start, as is a node that is to be found on the local network.

using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;
using Leither.Ipfs.Content;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p;
using Leither.Libp2p.AutoNat;
using Leither.Libp2p.Bitswap;
using Leither.Libp2p.Ipns;
using Leither.Libp2p.KadDht;
using Leither.Libp2p.Mdns;
using Leither.Libp2p.Peers;
using Leither.Libp2p.PrivateNetworks;
using Leither.Libp2p.Transport;
using Leither.MmDb;
using Leither.MmDb.Configuration;
using Leither.Node.Logging;

namespace Leither.Node.Network;

/// <summary>The node's part in a network of peers. Any thread.</summary>
public sealed class NodeNetwork : INodeNetwork, IAsyncDisposable
{
    /// <summary>Peers that connect while the host is being made; more are turned away.</summary>
    private const int MaxWaiting = 128;

    /// <summary>New blocks that peers have not been told of yet. Of more they learn when they ask again.</summary>
    private const int MaxAdded = 4096;

    private static readonly string Agent = $"leither/{ProductVersion.Text}";

    private readonly PrivateKey _identity;
    private readonly ContentRepo _content;
    private readonly ConfigSettings _settings;
    private readonly NodeLog _log;
    private readonly SwarmKey? _swarmKey;
    private readonly Lock _gate = new();
    private readonly PublicBlocks _public;
    private readonly SwarmFolder _folder;
    private readonly RoutingStores _stores;
    private List<IPNetwork>? _filters; // those that commands added
    private Task<NetworkServices>? _services;
    private Task _stopped = Task.CompletedTask; // what ran before: two never share the node's files
    private List<Multiaddr> _announced = [];
    private IReadOnlyList<IPEndPoint> _listening = [];
    private readonly Channel<Cid> _added = Channel.CreateBounded<Cid>(new BoundedChannelOptions(MaxAdded) { FullMode = BoundedChannelFullMode.DropWrite });
    private int _isTelling;
    private int _waiting;
    private bool _isDisposed;

    /// <summary>Makes it; nothing runs yet.</summary>
    /// <param name="identity">The node's key, which stays the caller's.</param>
    /// <param name="content">The public content: all that peers can get.</param>
    /// <param name="folder">The folder of what is remembered of the swarm.</param>
    /// <param name="settings">The settings.</param>
    /// <param name="log">Where trouble is told.</param>
    /// <exception cref="IOException">The file of the swarm key cannot be used.</exception>
    public NodeNetwork(PrivateKey identity, ContentRepo content, string folder, ConfigSettings settings, NodeLog log)
    {
        _folder = new SwarmFolder(folder);
        _stores = new RoutingStores(folder);
        _identity = identity;
        _content = content;
        _public = new PublicBlocks(content.Blocks);
        _settings = settings;
        _log = log;
        _swarmKey = ReadSwarmKey(ConfigText.ToText(settings.Get(ConfigKeys.SwarmKeyFile)));
        NodeId = LeitherId.Of(identity.PublicKey.Protobuf);
        Routing = new NodeRouting(this, content);
        settings.OnChange(Switch, ConfigKeys.Swarm);
        settings.OnChange(FollowBootstrap, ConfigKeys.SwarmBootstrap);
        settings.OnChange(FollowAnnounced, ConfigKeys.SwarmAnnounce);
        settings.OnChange(FollowFilters, ConfigKeys.SwarmFilters);
        settings.OnChange(FollowMarks, ConfigKeys.SwarmLowWater, ConfigKeys.SwarmHighWater);
    }

    /// <inheritdoc/>
    public bool IsOn => _settings.Get(ConfigKeys.Swarm);

    /// <summary>Whether peers are let in on the node's port.</summary>
    public bool AcceptsOnThePort => IsOn && _swarmKey is null;

    /// <inheritdoc/>
    public PeerId Id => _identity.PublicKey.PeerId;

    /// <inheritdoc/>
    public LeitherId NodeId { get; }

    /// <inheritdoc/>
    public INodeRouting Routing { get; }

    /// <summary>The node's key.</summary>
    internal PrivateKey Identity => _identity;

    /// <summary>What peers and the gateway can read.</summary>
    internal PublicBlocks PublicBlocks => _public;

    /// <summary>Is told of a host before it meets anybody: who speaks a protocol on it says so then. Called on any thread.</summary>
    internal Action<Host>? Prepare { get; set; }

    /// <summary>The keys of the names that this node publishes besides its own.</summary>
    internal Func<PeerId, PrivateKey?>? NameKeys { get; set; }

    /// <summary>What runs; null before it was needed.</summary>
    public NetworkServices? Services
    {
        get
        {
            lock (_gate) return _services is { IsCompletedSuccessfully: true } started ? started.Result : null;
        }
    }

    /// <inheritdoc/>
    public IReadOnlyList<IPNetwork> Filters
    {
        get
        {
            lock (_gate) return [.. ConfiguredFilters.Concat(OwnFilters).Distinct()];
        }
    }

    /// <inheritdoc/>
    public NetworkFigures? Figures
    {
        get
        {
            if (Services is not { } services) return null;
            IReadOnlyList<PeerConnection> connections = services.Host.Connections;
            return new NetworkFigures
            {
                Connections = connections.Count,
                Peers = connections.Select(static c => c.Peer).Distinct().Count(),
                KnownPeers = services.Host.Peers.Count,
                Streams = connections.Sum(static c => c.StreamCount),
                BlockBytesSent = services.Bitswap.BytesSent,
                BlockBytesReceived = services.Bitswap.BytesReceived,
                WantedBlocks = services.Bitswap.Wanted.Count,
                DhtMode = services.Dht is null ? "off" : services.Dht.IsServer ? "server" : "client",
                DhtPeers = services.Dht?.TableCount ?? 0,
                DhtRecords = services.Dht is null ? 0 : services.Dht.ProviderRecordCount + services.Dht.ValueCount,
            };
        }
    }

    /// <summary>The peers that the settings name, to begin with.</summary>
    public IReadOnlyList<Multiaddr> Bootstrap => AddressesOf(ConfigKeys.SwarmBootstrap);

    /// <inheritdoc/>
    public IReadOnlyList<Multiaddr> Listening
    {
        get
        {
            lock (_gate) return [.. PeersListenAt.Select(Multiaddr.Of)];
        }
    }

    private IEnumerable<IPNetwork> ConfiguredFilters =>
        _settings.Get(ConfigKeys.SwarmFilters).Select(static text => PeerAddress.TryParseNetwork(text, out IPNetwork network) ? network : default);

    /// <summary>Where peers come in. Under the lock.</summary>
    private IEnumerable<IPEndPoint> PeersListenAt => _swarmKey is null ? _listening
        : _listening.Select(endPoint => new IPEndPoint(endPoint.Address, (int)_settings.Get(ConfigKeys.SwarmPort))).Distinct();

    /// <summary>Under the lock.</summary>
    private List<IPNetwork> OwnFilters => _filters ??= _folder.LoadFilters();

    /// <summary>Where the node listens, told by who listens.</summary>
    public void ListensAt(IReadOnlyList<IPEndPoint> endPoints)
    {
        lock (_gate) _listening = endPoints;
        if (_swarmKey is null) Services?.Host.ListensElsewhere(endPoints, webSocketToo: true);
    }

    /// <summary>The node serves: what the settings want to be connected is connected, in the background.</summary>
    public void Begin()
    {
        if (!IsOn) return;
        if (Bootstrap.Count > 0 || _swarmKey is not null || _settings.Get(ConfigKeys.SwarmMdns)) _ = BeginAsync();
        else _ = Task.Run(BeginForOthers);
    }

    /// <summary>What the node published or provides is to be told anew, or the network forgets it.</summary>
    private void BeginForOthers()
    {
        try
        {
            if (_stores.HoldAnythingOfOurs()) _ = BeginAsync();
        }
        catch (IOException e)
        {
            _log.Warning($"What this node provides cannot be told anew: {e.Message}");
        }
    }

    /// <summary>The public content has a new block: peers that wait for it get it.</summary>
    public void Added(Cid cid)
    {
        if (Services is { } services && _added.Writer.TryWrite(cid) && Interlocked.Exchange(ref _isTelling, 1) == 0) _ = Task.Run(() => Tell(services));
    }

    /// <summary>Takes over the socket of a peer, with what was received from it.</summary>
    public void Accept(Socket socket, byte[] received)
    {
        if (Interlocked.Increment(ref _waiting) > MaxWaiting)
        {
            Interlocked.Decrement(ref _waiting);
            socket.Dispose();
            return;
        }

        _ = AcceptAsync(socket, received);
    }

    /// <summary>Takes over the connection of a peer that came in otherwise, until it ends.</summary>
    public async Task AcceptAsync(RawConnection raw)
    {
        if (Interlocked.Increment(ref _waiting) > MaxWaiting)
        {
            Interlocked.Decrement(ref _waiting);
            raw.Dispose();
            return;
        }

        if (await TryGetHostAsync().ConfigureAwait(false) is { } host && await host.AcceptAsync(raw).ConfigureAwait(false) is { } connection)
        {
            await connection.Closed.ConfigureAwait(false);
        }

        raw.Dispose();
    }

    /// <summary>What runs, made now if it was not needed before.</summary>
    /// <exception cref="IOException">The node takes no part in a network, or stops.</exception>
    public Task<NetworkServices> StartAsync()
    {
        if (!IsOn) return Task.FromException<NetworkServices>(new IOException("the network is off: CONFIG SET swarm yes turns it on"));
        lock (_gate)
        {
            if (_isDisposed) return Task.FromException<NetworkServices>(new IOException("the node stops"));
            // What kept it from being made may be mended by now.
            return _services = _services is null or { IsFaulted: true } ? Task.Run(() => MakeAsync(_stopped)) : _services;
        }
    }

    /// <inheritdoc/>
    public IContentRead OpenRead(TimeSpan? limit = null, CancellationToken cancellation = default) => IsOn
        ? new NetworkRead(this, _content, _public, limit ?? TimeSpan.FromSeconds(_settings.Get(ConfigKeys.FetchTimeout)), cancellation)
        : new LocalRead(_public);

    /// <inheritdoc/>
    public async Task<IReadOnlyList<Multiaddr>> AddressesAsync() => (await StartAsync().ConfigureAwait(false)).Host.Addresses;

    /// <inheritdoc/>
    public async Task<SwarmIdentity?> DescribeAsync(PeerId? peer = null)
    {
        if (!IsOn && (peer is null || peer == Id)) return new SwarmIdentity(Id, _identity.PublicKey.Protobuf.ToArray(), [], Agent, "", []);
        Host host = (await StartAsync().ConfigureAwait(false)).Host;
        if (peer is not { } id || id == Id)
        {
            return new SwarmIdentity(Id, _identity.PublicKey.Protobuf.ToArray(), host.Addresses, host.Options.Agent, host.Options.ProtocolVersion, host.Protocols);
        }

        IReadOnlyList<Multiaddr> addresses = host.Peers.GetAddresses(id);
        bool isConnected = host.TryGetConnection(id, out PeerConnection? connection);
        return addresses.Count == 0 && !isConnected ? null : new SwarmIdentity(
            id,
            host.Peers.TryGetKey(id, out PeerKey? key) ? key.Protobuf.ToArray() : [],
            addresses.Count == 0 ? [connection!.RemoteAddress] : addresses,
            host.Peers.GetAgent(id) ?? "",
            "",
            [.. host.Peers.GetProtocols(id).Order(StringComparer.Ordinal)]);
    }

    /// <inheritdoc/>
    public async Task<IReadOnlyList<SwarmConnection>> ConnectionsAsync()
    {
        Host host = (await StartAsync().ConfigureAwait(false)).Host;
        return [.. host.Connections.Select(c => new SwarmConnection(c.Peer, c.RemoteAddress, c.IsInbound, c.RoundTrip, c.StreamCount, host.Peers.GetAgent(c.Peer) ?? ""))];
    }

    /// <inheritdoc/>
    public async Task<IReadOnlyList<SwarmPeer>> KnownPeersAsync()
    {
        Host host = (await StartAsync().ConfigureAwait(false)).Host;
        return [.. host.Peers.All().Select(known => new SwarmPeer(known.Peer, known.Addresses, host.TryGetConnection(known.Peer, out _)))];
    }

    /// <inheritdoc/>
    public async Task<PeerId> ConnectAsync(Multiaddr address, CancellationToken cancellation = default)
    {
        Host host = (await StartAsync().ConfigureAwait(false)).Host;
        // Somebody asks for it: that nobody answered a moment ago does not count.
        host.ForgetFailures();
        PeerConnection connection = await host.ConnectAsync(address, cancellation).ConfigureAwait(false);
        // What it speaks decides what it is good for, so who asked to connect can use it at once.
        _ = await connection.Identified.WaitAsync(cancellation).ConfigureAwait(false);
        return connection.Peer;
    }

    /// <inheritdoc/>
    public async Task<bool> DisconnectAsync(PeerId peer)
    {
        Host host = (await StartAsync().ConfigureAwait(false)).Host;
        bool isConnected = host.TryGetConnection(peer, out _);
        await host.DisconnectAsync(peer).ConfigureAwait(false);
        return isConnected;
    }

    /// <inheritdoc/>
    public async Task<bool> AddFilterAsync(IPNetwork network)
    {
        lock (_gate)
        {
            if (OwnFilters.Contains(network)) return false;
            _folder.SaveFilters(OwnFilters.Append(network));
            OwnFilters.Add(network);
        }

        if (Services is { } services)
        {
            services.Host.Filters.Add(network);
            await Task.WhenAll(services.Host.Connections.Where(c => services.Host.Filters.IsDenied(c.RemoteAddress)).Select(static c => c.CloseAsync())).ConfigureAwait(false);
        }

        return true;
    }

    /// <inheritdoc/>
    public Task<bool> RemoveFilterAsync(IPNetwork network)
    {
        lock (_gate)
        {
            if (!OwnFilters.Contains(network))
            {
                return ConfiguredFilters.Contains(network)
                    ? throw new IOException($"{network} is a filter of the configuration: CONFIG SET swarm-filters changes those")
                    : Task.FromResult(false);
            }

            _folder.SaveFilters(OwnFilters.Where(f => !f.Equals(network)));
            OwnFilters.Remove(network);
            if (!ConfiguredFilters.Contains(network)) Services?.Host.Filters.Remove(network);
        }

        return Task.FromResult(true);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        Task<NetworkServices>? made;
        Task stopped;
        lock (_gate)
        {
            if (_isDisposed) return;
            _isDisposed = true;
            (made, _services, stopped) = (_services, null, _stopped);
        }

        await stopped.ConfigureAwait(false);
        if (made is not null) await StopAsync(made).ConfigureAwait(false);
        _stores.Dispose();
    }

    /// <summary>Whether there is anybody who could be asked for what is not here.</summary>
    internal bool CanAsk => Bootstrap.Count > 0 || Services is { Host.Connections.Count: > 0 };

    private async Task AcceptAsync(Socket socket, byte[] received)
    {
        if (await TryGetHostAsync().ConfigureAwait(false) is { } host)
        {
            await host.AcceptAsync(socket, received).ConfigureAwait(false);
        }
        else
        {
            socket.Dispose();
        }
    }

    private void Tell(NetworkServices services)
    {
        do
        {
            var cids = new List<Cid>();
            while (_added.Reader.TryRead(out Cid cid)) cids.Add(cid);
            services.Bitswap.NotifyAvailable(cids);
            Volatile.Write(ref _isTelling, 0);
        }
        while (_added.Reader.Count > 0 && Interlocked.Exchange(ref _isTelling, 1) == 0);
    }

    private async Task BeginAsync()
    {
        try
        {
            await StartAsync().ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            _log.Warning($"The node is not among peers: {e.Message}");
        }
    }

    /// <summary>The host for somebody who waits to be let in; null where there will be none.</summary>
    private async Task<Host?> TryGetHostAsync()
    {
        try
        {
            return (await StartAsync().ConfigureAwait(false)).Host;
        }
        catch (IOException)
        {
            return null;
        }
        finally
        {
            Interlocked.Decrement(ref _waiting);
        }
    }

    private async Task<NetworkServices> MakeAsync(Task before)
    {
        await before.ConfigureAwait(false);
        // Before anybody is let in, it is known who is not.
        IReadOnlyList<IPNetwork> filters = Filters;
        bool isOpen = _settings.Show(ConfigKeys.DhtNetwork) == "ipfs";
        var host = new Host(_identity, new HostOptions
        {
            Agent = Agent,
            HighWater = (int)_settings.Get(ConfigKeys.SwarmHighWater),
            LowWater = (int)_settings.Get(ConfigKeys.SwarmLowWater),
            MaxConnections = (int)_settings.Get(ConfigKeys.SwarmMaxConnections),
            SwarmKey = _swarmKey,
        });
        host.HandlerFailed += (protocol, failure) => _log.Warning($"A peer's stream of {protocol} failed: {failure}");
        List<IPEndPoint> listening;
        List<Multiaddr> announced;
        lock (_gate)
        {
            listening = [.. PeersListenAt];
            announced = _announced = AddressesOf(ConfigKeys.SwarmAnnounce);
        }

        foreach (IPNetwork network in filters) host.Filters.Add(network);
        if (_swarmKey is null) host.ListensElsewhere(listening, webSocketToo: true);
        else await ListenAsync(host, listening).ConfigureAwait(false);
        foreach (Multiaddr address in announced) host.Announce(address);
        Prepare?.Invoke(host);
        KademliaDht? dht = null;
        IpnsNames? names = null;
        if (_settings.Show(ConfigKeys.DhtMode) is not "off" and var mode)
        {
            try
            {
                (IKadStore records, IKadStore published) = _stores.Open();
                dht = new KademliaDht(
                    host,
                    new KadOptions
                    {
                        Protocol = isOpen ? KadOptions.IpfsProtocol : KadOptions.LeitherProtocol,
                        PublicAddressesOnly = isOpen,
                        // In a network of one's own every node is as good as reachable; in the open one it has to be shown first.
                        Mode = mode switch { "dhtclient" => KadMode.Client, "dhtserver" => KadMode.Server, _ => isOpen ? KadMode.Auto : KadMode.Server },
                    },
                    records);
                dht.StoreFailed += failure => _log.Warning($"Records of the DHT cannot be written down: {failure.Message}");
                names = new IpnsNames(dht, published, name => name == Id ? _identity : NameKeys?.Invoke(name), TimeProvider.System);
                names.Failed += _log.Warning;
            }
            catch
            {
                _stores.Close();
                await host.DisposeAsync().ConfigureAwait(false);
                throw;
            }
        }

        var bitswap = new BitswapExchange(host, _public, null, dht);
        var reachability = new AutoNatClient(host);
        reachability.Changed += now =>
        {
            _log.Verbose($"Reachability is {now}");
            dht?.SetReachable(now == Reachability.Public);
        };
        return new NetworkServices(host, dht, bitswap)
        {
            Reachability = reachability,
            AutoNat = new AutoNatServer(host),
            Mdns = _settings.Get(ConfigKeys.SwarmMdns) ? Discover(host) : null,
            Known = new KnownPeers(host, dht, () => Bootstrap, _folder, _log),
            Names = names,
        };
    }

    /// <summary>Opens the port of a private network.</summary>
    private static async Task ListenAsync(Host host, List<IPEndPoint> endPoints)
    {
        try
        {
            foreach (IPEndPoint endPoint in endPoints) host.Listen(endPoint);
        }
        catch (SocketException e)
        {
            await host.DisposeAsync().ConfigureAwait(false);
            throw new IOException($"the port of the private network (swarm-port) cannot be opened: {e.Message}", e);
        }
    }

    private static SwarmKey? ReadSwarmKey(string file)
    {
        if (file.Length == 0) return null;
        try
        {
            using FileStream stream = File.OpenRead(file);
            byte[] content = new byte[SwarmKey.MaxFileLength + 1];
            return SwarmKey.Parse(content.AsSpan(0, stream.ReadAtLeast(content, content.Length, throwOnEndOfStream: false)));
        }
        catch (Exception e) when (e is FormatException or IOException or UnauthorizedAccessException)
        {
            // Never on without it: the node would show itself to the open network.
            throw new IOException($"The swarm key {file} cannot be used: {e.Message}", e);
        }
    }

    private MdnsDiscovery? Discover(Host host)
    {
        try
        {
            return new MdnsDiscovery(host);
        }
        catch (SocketException e)
        {
            _log.Warning($"Peers on the local network are not looked for: {e.Message}");
            return null;
        }
    }

    private async Task StopAsync(Task<NetworkServices> made)
    {
        NetworkServices services;
        try
        {
            services = await made.ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // It never ran; whoever wanted it was told why.
            return;
        }

        if (services.Mdns is not null) await services.Mdns.DisposeAsync().ConfigureAwait(false);
        services.AutoNat.Dispose();
        await services.Reachability.DisposeAsync().ConfigureAwait(false);
        await services.Known.DisposeAsync().ConfigureAwait(false);
        await services.Bitswap.DisposeAsync().ConfigureAwait(false);
        if (services.Names is not null) await services.Names.DisposeAsync().ConfigureAwait(false);
        if (services.Dht is not null) await services.Dht.DisposeAsync().ConfigureAwait(false);
        _stores.Close();
        await services.Host.DisposeAsync().ConfigureAwait(false);
    }

    // ------------------------------------------------------------------ settings that change, on the loop thread

    private List<Multiaddr> AddressesOf(WordsKey key) =>
        [.. _settings.Get(key).Select(static text => PeerAddress.TryParse(text, out Multiaddr? address) ? address : null).OfType<Multiaddr>()];

    private string? Switch()
    {
        lock (_gate)
        {
            if (!IsOn && _services is { } made)
            {
                _services = null;
                _stopped = Task.Run(() => StopAsync(made));
            }
        }

        Begin();
        return null;
    }

    private string? FollowBootstrap()
    {
        Begin();
        Services?.Known.Nudge();
        return null;
    }

    private string? FollowAnnounced()
    {
        List<Multiaddr> now = AddressesOf(ConfigKeys.SwarmAnnounce), before;
        lock (_gate) (before, _announced) = (_announced, now);
        if (Services is { } services)
        {
            foreach (Multiaddr address in before.Except(now)) services.Host.Unannounce(address);
            foreach (Multiaddr address in now) services.Host.Announce(address);
        }

        return null;
    }

    private string? FollowFilters()
    {
        if (Services is { } services)
        {
            IReadOnlyList<IPNetwork> now = Filters;
            foreach (IPNetwork network in services.Host.Filters.Denied.Except(now)) services.Host.Filters.Remove(network);
            foreach (IPNetwork network in now) services.Host.Filters.Add(network);
        }

        return null;
    }

    private string? FollowMarks()
    {
        Services?.Host.UseMarks((int)_settings.Get(ConfigKeys.SwarmLowWater), (int)_settings.Get(ConfigKeys.SwarmHighWater));
        return null;
    }
}
