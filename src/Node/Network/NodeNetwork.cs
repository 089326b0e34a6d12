// The node among peers: a libp2p host, its part of the DHT and Bitswap over the public content, and nothing else of what the node holds.
//
// It costs nothing before it is needed: the parts are made when the first peer connects, a command asks for them, or the settings name peers to connect with; then
// on a thread of the pool, never on the loop. The port is the node's: sockets that turn out to be peers' are handed over with the bytes they sent.

using System.Net;
using System.Net.Sockets;
using Leither.Ipfs.Content;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p;
using Leither.Libp2p.Bitswap;
using Leither.Libp2p.KadDht;
using Leither.Libp2p.Peers;
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

    private readonly PrivateKey _identity;
    private readonly ContentRepo _content;
    private readonly ConfigSettings _settings;
    private readonly NodeLog _log;
    private readonly Lock _gate = new();
    private readonly CancellationTokenSource _stopping = new();
    private readonly List<IPNetwork> _filters = [];
    private Task<NetworkServices>? _services;
    private IReadOnlyList<IPEndPoint> _listening = [];
    private int _waiting;
    private bool _isDisposed;

    /// <summary>Makes it; nothing runs yet.</summary>
    /// <param name="identity">The node's key, which stays the caller's.</param>
    /// <param name="content">The public content: all that peers can get.</param>
    /// <param name="settings">The settings.</param>
    /// <param name="log">Where trouble is told.</param>
    public NodeNetwork(PrivateKey identity, ContentRepo content, ConfigSettings settings, NodeLog log)
    {
        _identity = identity;
        _content = content;
        _settings = settings;
        _log = log;
        NodeId = LeitherId.Of(identity.PublicKey.Protobuf);
    }

    /// <inheritdoc/>
    public bool IsOn => _settings.Get(ConfigKeys.Swarm);

    /// <summary>Whether peers are let in on the node's port.</summary>
    public bool AcceptsOnThePort => IsOn;

    /// <inheritdoc/>
    public PeerId Id => _identity.PublicKey.PeerId;

    /// <inheritdoc/>
    public LeitherId NodeId { get; }

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
            lock (_gate) return [.. _filters];
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
                WantedBlocks = services.Bitswap.Wanted.Count,
                DhtMode = services.Dht is null ? "off" : services.Dht.IsServer ? "server" : "client",
                DhtPeers = services.Dht?.TableCount ?? 0,
                DhtRecords = services.Dht is null ? 0 : services.Dht.ProviderRecordCount + services.Dht.ValueCount,
            };
        }
    }

    /// <summary>The peers that the settings name, to begin with.</summary>
    public IReadOnlyList<Multiaddr> Bootstrap =>
        [.. _settings.Get(ConfigKeys.SwarmBootstrap).Select(static text => BootstrapAddress.TryParse(ConfigText.ToText(text), out Multiaddr? address) ? address : null).OfType<Multiaddr>()];

    /// <summary>Where the node listens, told by who listens.</summary>
    public void ListensAt(IReadOnlyList<IPEndPoint> endPoints)
    {
        lock (_gate) _listening = endPoints;
        Services?.Host.ListensElsewhere(endPoints, webSocketToo: true);
    }

    /// <summary>The node serves: what the settings want to be connected is connected, in the background.</summary>
    public void Begin()
    {
        if (IsOn && Bootstrap.Count > 0) _ = StartAsync();
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
            return _isDisposed ? Task.FromException<NetworkServices>(new IOException("the node stops")) : _services ??= Task.Run(Make);
        }
    }

    /// <inheritdoc/>
    public IContentRead OpenRead(TimeSpan? limit = null, CancellationToken cancellation = default) => IsOn
        ? new NetworkRead(this, _content, limit ?? TimeSpan.FromSeconds(_settings.Get(ConfigKeys.FetchTimeout)), cancellation)
        : new LocalRead(_content.Blocks);

    /// <inheritdoc/>
    public async Task<IReadOnlyList<Multiaddr>> AddressesAsync() => (await StartAsync().ConfigureAwait(false)).Host.Addresses;

    /// <inheritdoc/>
    public async Task<SwarmIdentity?> DescribeAsync(PeerId? peer = null)
    {
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
    public Task<bool> AddFilterAsync(IPNetwork network)
    {
        lock (_gate)
        {
            if (_filters.Contains(network)) return Task.FromResult(false);
            _filters.Add(network);
        }

        Services?.Host.Filters.Add(network);
        return Task.FromResult(true);
    }

    /// <inheritdoc/>
    public Task<bool> RemoveFilterAsync(IPNetwork network)
    {
        lock (_gate)
        {
            if (!_filters.Remove(network)) return Task.FromResult(false);
        }

        Services?.Host.Filters.Remove(network);
        return Task.FromResult(true);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        Task<NetworkServices>? made;
        lock (_gate)
        {
            if (_isDisposed) return;
            _isDisposed = true;
            made = _services;
        }

        await _stopping.CancelAsync().ConfigureAwait(false);
        if (made is not null)
        {
            NetworkServices services = await made.ConfigureAwait(false);
            await services.Bitswap.DisposeAsync().ConfigureAwait(false);
            if (services.Dht is not null) await services.Dht.DisposeAsync().ConfigureAwait(false);
            await services.Host.DisposeAsync().ConfigureAwait(false);
        }

        _stopping.Dispose();
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

    private NetworkServices Make()
    {
        bool isOpen = _settings.Show(ConfigKeys.DhtNetwork) == "ipfs";
        var host = new Host(_identity, new HostOptions
        {
            Agent = $"leither/{ProductVersion.Text}",
            HighWater = (int)_settings.Get(ConfigKeys.SwarmHighWater),
            LowWater = (int)_settings.Get(ConfigKeys.SwarmLowWater),
            MaxConnections = (int)_settings.Get(ConfigKeys.SwarmMaxConnections),
        });
        host.HandlerFailed += (protocol, failure) => _log.Warning($"A peer's stream of {protocol} failed: {failure}");
        IReadOnlyList<IPEndPoint> listening;
        lock (_gate)
        {
            listening = _listening;
            foreach (IPNetwork network in _filters) host.Filters.Add(network);
        }

        host.ListensElsewhere(listening, webSocketToo: true);
        KademliaDht? dht = _settings.Show(ConfigKeys.DhtMode) switch
        {
            "off" => null,
            var mode => new KademliaDht(host, new KadOptions
            {
                Protocol = isOpen ? KadOptions.IpfsProtocol : KadOptions.LeitherProtocol,
                PublicAddressesOnly = isOpen,
                // In a network of one's own every node is as good as reachable; in the open one it has to be shown first.
                Mode = mode switch { "dhtclient" => KadMode.Client, "dhtserver" => KadMode.Server, _ => isOpen ? KadMode.Auto : KadMode.Server },
            }),
        };
        var bitswap = new BitswapExchange(host, _content.Blocks, null, dht);
        if (dht is not null && Bootstrap is { Count: > 0 } bootstrap) _ = BootstrapAsync(dht, bootstrap);
        return new NetworkServices(host, dht, bitswap);
    }

    private async Task BootstrapAsync(KademliaDht dht, IReadOnlyList<Multiaddr> peers)
    {
        try
        {
            await dht.BootstrapAsync(peers, _stopping.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException)
        {
            _log.Verbose($"No bootstrap peer answered: {e.Message}");
        }
    }
}
