// A node among peers: an identity, the connections that it has, the protocols that it speaks.
//
//   socket ─► multistream-select: /noise ─► Noise (who are you?) ─► /yamux/1.0.0, agreed upon in the handshake ─► PeerConnection ─► streams
//                                                                                                                     each: multistream-select ─► StreamHandler
//
// A socket is one of TCP or a WebSocket; within a private network (HostOptions.SwarmKey) all of it is encrypted once more. Names in addresses are looked up
// before they are dialled, so that filters see where a dial goes.
//
// Strangers cost nothing that is not bounded by HostOptions: who is let in is counted before the handshake and again when it is known who it is, handshakes and
// negotiations have deadlines, protocols have their numbers of streams. A failure on a stream resets the stream; one of a connection ends it; neither
// touches others.

using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p.Identify;
using Leither.Libp2p.Multistream;
using Leither.Libp2p.Names;
using Leither.Libp2p.Noise;
using Leither.Libp2p.Peers;
using Leither.Libp2p.Ping;
using Leither.Libp2p.PrivateNetworks;
using Leither.Libp2p.Records;
using Leither.Libp2p.Transport;
using Leither.Libp2p.Yamux;

namespace Leither.Libp2p;

/// <summary>A node among peers. Safe for any number of threads.</summary>
public sealed class Host : IAsyncDisposable
{
    private static readonly string[] _security = [NoiseSecurity.Id];
    private static readonly string[] _muxers = [YamuxSession.Id];

    private readonly NoiseSecurity _noise;
    private readonly DialBackoff _backoff;
    private readonly AddressResolver _resolver;
    private readonly CancellationTokenSource _stopping = new();
    private readonly Lock _gate = new();
    private readonly Dictionary<PeerId, List<PeerConnection>> _connections = [];
    private readonly Dictionary<PeerId, Task<PeerConnection>> _dials = [];
    private readonly Dictionary<IPAddress, int> _perIp = [];
    private readonly Dictionary<PeerId, HashSet<string>> _protected = [];
    private readonly Dictionary<string, Protocol> _protocols = new(StringComparer.Ordinal);
    private readonly List<Socket> _listeners = [];
    private readonly List<Multiaddr> _announced = [];
    private IPEndPoint[] _listeningElsewhere = [];
    private bool _acceptsWebSocket;
    private readonly Task _ticking;
    private int _count;
    private int _pendingInbound;
    private int _pendingOutbound;
    private ulong _sequence;
    private IReadOnlyList<Multiaddr> _recordAddresses = [];
    private volatile Cards _cards = new(null, 0);
    private byte[]? _record;
    private bool _changed;
    private bool _disposed;

    /// <summary>Makes a host with an identity, which stays the caller's. It speaks ping and identify, and knows nobody.</summary>
    public Host(PrivateKey identity, HostOptions? options = null, TimeProvider? time = null)
    {
        Identity = identity;
        Options = options ?? new HostOptions();
        Time = time ?? TimeProvider.System;
        Peers = new PeerStore(Time, Options.MaxKnownPeers);
        _noise = new NoiseSecurity(identity, _muxers);
        _backoff = new DialBackoff(Time);
        _resolver = new AddressResolver(Options.Dns);
        Handle(PingProtocol.Id, PingProtocol.HandleAsync, new ProtocolLimits { MaxStreamsPerConnection = PingProtocol.MaxStreams });
        Handle(IdentifyProtocol.Id, (stream, cancellation) => IdentifyProtocol.SendAsync(stream, this, cancellation), new ProtocolLimits { MaxStreamsPerConnection = 4 });
        Handle(IdentifyProtocol.PushId, (stream, cancellation) => IdentifyProtocol.ReceiveAsync(stream, this, cancellation), new ProtocolLimits { MaxStreamsPerConnection = 2 });
        _changed = false;
        _ticking = TickAsync();
    }

    /// <summary>Tells that a connection stands. Called on the thread that made it: to be short.</summary>
    public event Action<PeerConnection>? Connected;

    /// <summary>Tells that a connection has ended.</summary>
    public event Action<PeerConnection>? Disconnected;

    /// <summary>Tells that a peer has said who it is and what it speaks.</summary>
    public event Action<PeerConnection, PeerIdentity>? PeerIdentified;

    /// <summary>Tells that the handler of a protocol failed otherwise than by the peer's doing.</summary>
    public event Action<string, Exception>? HandlerFailed;

    /// <summary>The key that this node is known by.</summary>
    public PrivateKey Identity { get; }

    /// <summary>The id that this node is known by.</summary>
    public PeerId Id => Identity.PublicKey.PeerId;

    /// <summary>The limits.</summary>
    public HostOptions Options { get; private set; }

    /// <summary>What is known of others.</summary>
    public PeerStore Peers { get; }

    /// <summary>Networks that are neither dialled nor let in.</summary>
    public AddressFilters Filters { get; } = new();

    /// <summary>The protocols that are spoken here.</summary>
    public IReadOnlyList<string> Protocols
    {
        get
        {
            lock (_gate)
            {
                return [.. _protocols.Keys.Order(StringComparer.Ordinal)];
            }
        }
    }

    /// <summary>The connections.</summary>
    public IReadOnlyList<PeerConnection> Connections
    {
        get
        {
            lock (_gate)
            {
                return [.. _connections.Values.SelectMany(list => list)];
            }
        }
    }

    /// <summary>Where this node can be reached: what it listens on, with the addresses of this machine in place of "any", and what was announced.</summary>
    public IReadOnlyList<Multiaddr> Addresses
    {
        get
        {
            Multiaddr[] announced;
            lock (_gate)
            {
                announced = [.. _announced];
            }

            return [.. LocalAddresses.Concat(announced).Distinct()];
        }
    }

    /// <summary>Where this node listens on this machine, under whose addresses those near it reach it.</summary>
    internal IEnumerable<Multiaddr> LocalAddresses
    {
        get
        {
            IPEndPoint[] listening, webSocket;
            lock (_gate)
            {
                listening = [.. _listeners.Select(socket => (IPEndPoint)socket.LocalEndPoint!), .. _listeningElsewhere];
                webSocket = _acceptsWebSocket ? _listeningElsewhere : [];
            }

            return listening.SelectMany(Expand).Select(Multiaddr.Of).Concat(webSocket.SelectMany(Expand).Select(WebSocketConnection.AddressOf));
        }
    }

    internal TimeProvider Time { get; }

    /// <summary>Speaks a protocol, in place of whoever spoke it before.</summary>
    public void Handle(string protocol, StreamHandler handler, ProtocolLimits? limits = null)
    {
        lock (_gate)
        {
            _protocols[protocol] = new Protocol(protocol, handler, limits ?? ProtocolLimits.Default);
            _changed = true;
        }
    }

    /// <summary>No longer speaks a protocol. Streams that are open go on.</summary>
    public void Unhandle(string protocol)
    {
        lock (_gate)
        {
            _changed |= _protocols.Remove(protocol);
        }
    }

    /// <summary>Listens on a socket of its own; returns where.</summary>
    public Multiaddr Listen(IPEndPoint endPoint)
    {
        var socket = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            if (endPoint.AddressFamily == AddressFamily.InterNetworkV6)
            {
                socket.DualMode = false;
            }

            socket.Bind(endPoint);
            socket.Listen(backlog: 512);
            lock (_gate)
            {
                ObjectDisposedException.ThrowIf(_disposed, this);
                _listeners.Add(socket);
                _changed = true;
            }
        }
        catch
        {
            socket.Dispose();
            throw;
        }

        _ = AcceptAllAsync(socket);
        return Multiaddr.Of((IPEndPoint)socket.LocalEndPoint!);
    }

    /// <summary>Where somebody else listens and hands over what comes (<see cref="AcceptAsync(Socket, ReadOnlyMemory{byte})"/>), in place of what was said before.</summary>
    /// <param name="endPoints">The sockets.</param>
    /// <param name="webSocketToo">Whether peers may come over WebSocket as well.</param>
    public void ListensElsewhere(IEnumerable<IPEndPoint> endPoints, bool webSocketToo = false)
    {
        lock (_gate)
        {
            _acceptsWebSocket = webSocketToo;
            _listeningElsewhere = [.. endPoints];
            _changed = true;
        }
    }

    /// <summary>Tells others of an address at which somebody else accepts connections for this host: the node's port, or a router's.</summary>
    public void Announce(Multiaddr address)
    {
        lock (_gate)
        {
            if (!_announced.Contains(address))
            {
                _announced.Add(address);
                _changed = true;
            }
        }
    }

    /// <summary>No longer tells others of an address.</summary>
    public void Unannounce(Multiaddr address)
    {
        lock (_gate)
        {
            _changed |= _announced.Remove(address);
        }
    }

    /// <summary>
    /// Lets somebody in whose connection was accepted elsewhere, and of which some bytes have been read. The connection is taken over, whatever comes of it; null
    /// if it comes to nothing.
    /// </summary>
    public Task<PeerConnection?> AcceptAsync(Socket socket, ReadOnlyMemory<byte> alreadyRead = default)
    {
        TcpConnection raw;
        try
        {
            raw = new TcpConnection(socket);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Gone before it was looked at.
            socket.Dispose();
            return Task.FromResult<PeerConnection?>(null);
        }

        return AcceptAsync(raw, alreadyRead);
    }

    /// <summary>Lets somebody in over any connection; see <see cref="AcceptAsync(Socket, ReadOnlyMemory{byte})"/>.</summary>
    public async Task<PeerConnection?> AcceptAsync(RawConnection raw, ReadOnlyMemory<byte> alreadyRead = default)
    {
        if (!TryBeginInbound(raw))
        {
            raw.Dispose();
            return null;
        }

        try
        {
            using var deadline = CancellationTokenSource.CreateLinkedTokenSource(_stopping.Token);
            deadline.CancelAfter(Options.UpgradeTimeout);
            return await UpgradeAsync(raw, alreadyRead, isInbound: true, expected: null, deadline.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or SocketException or OperationCanceledException or ObjectDisposedException)
        {
            // A stranger that does not manage to come in is no event.
            raw.Dispose();
            return null;
        }
        catch
        {
            raw.Dispose();
            throw;
        }
        finally
        {
            lock (_gate)
            {
                _pendingInbound--;
            }
        }
    }

    /// <summary>A connection with a peer: one that stands, or a new one, to the addresses given or those that are known.</summary>
    public async Task<PeerConnection> ConnectAsync(PeerId peer, IEnumerable<Multiaddr>? addresses = null, CancellationToken cancellationToken = default)
    {
        if (peer == Id)
        {
            throw new Libp2pException(Libp2pError.DialFailed, "A node does not connect to itself.");
        }

        Task<PeerConnection> dial;
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (FindLocked(peer) is { } standing)
            {
                return standing;
            }

            if (addresses != null)
            {
                Peers.AddAddresses(peer, addresses, PeerStore.TemporaryTtl);
            }

            // Several who want the same peer wait for one dial.
            if (!_dials.TryGetValue(peer, out Task<PeerConnection>? running))
            {
                running = DialPeerAsync(peer);
                if (!running.IsCompleted)
                {
                    _dials[peer] = running;
                }
            }

            dial = running;
        }

        return await dial.WaitAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Connects to an address, with the peer that it names or whoever answers there.</summary>
    public async Task<PeerConnection> ConnectAsync(Multiaddr address, CancellationToken cancellationToken = default)
    {
        if (address.TryGetPeerId(out PeerId peer))
        {
            return address.WithoutPeer() is { } rest ? await ConnectAsync(peer, [rest], cancellationToken).ConfigureAwait(false)
                : await ConnectAsync(peer, null, cancellationToken).ConfigureAwait(false);
        }

        return await DialAnyAsync(null, [address], cancellationToken).ConfigureAwait(false);
    }

    /// <summary>A connection with a peer that stands.</summary>
    public bool TryGetConnection(PeerId peer, [NotNullWhen(true)] out PeerConnection? connection)
    {
        lock (_gate)
        {
            connection = FindLocked(peer);
            return connection != null;
        }
    }

    /// <summary>Opens a stream with a peer for the first of these protocols that it speaks, connecting first where needed.</summary>
    public async Task<PeerStream> OpenStreamAsync(PeerId peer, IReadOnlyList<string> protocols, CancellationToken cancellationToken = default)
    {
        PeerConnection connection = await ConnectAsync(peer, null, cancellationToken).ConfigureAwait(false);
        // With one to choose from there is nothing to wait for.
        return protocols.Count == 1 ? connection.OpenStream(protocols[0]) : await connection.OpenStreamAsync(protocols, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Ends all connections with a peer.</summary>
    public async Task DisconnectAsync(PeerId peer)
    {
        PeerConnection[] connections;
        lock (_gate)
        {
            connections = _connections.TryGetValue(peer, out List<PeerConnection>? list) ? [.. list] : [];
        }

        await Task.WhenAll(connections.Select(connection => connection.CloseAsync())).ConfigureAwait(false);
    }

    /// <summary>Changes how many connections there may be before idle ones are closed, and how many then stay.</summary>
    public void UseMarks(int lowWater, int highWater) => Options = Options with { LowWater = lowWater, HighWater = highWater };

    /// <summary>Addresses at which nobody answered are dialled again at once: for whoever asks by hand.</summary>
    public void ForgetFailures() => _backoff.Clear();

    /// <summary>Keeps connections with a peer from being closed for being idle, until every tag is taken back.</summary>
    public void Protect(PeerId peer, string tag)
    {
        lock (_gate)
        {
            if (!_protected.TryGetValue(peer, out HashSet<string>? tags))
            {
                _protected.Add(peer, tags = new HashSet<string>(StringComparer.Ordinal));
            }

            tags.Add(tag);
        }
    }

    /// <summary>Takes a tag back.</summary>
    public void Unprotect(PeerId peer, string tag)
    {
        lock (_gate)
        {
            if (_protected.TryGetValue(peer, out HashSet<string>? tags) && tags.Remove(tag) && tags.Count == 0)
            {
                _protected.Remove(peer);
            }
        }
    }

    /// <summary>Stops listening and ends all connections.</summary>
    public async ValueTask DisposeAsync()
    {
        Socket[] listeners;
        lock (_gate)
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
            listeners = [.. _listeners];
        }

        await _stopping.CancelAsync().ConfigureAwait(false);
        foreach (Socket listener in listeners)
        {
            listener.Dispose();
        }

        await _ticking.ConfigureAwait(false);
        // A peer that reads nothing delays the end no longer than this.
        IReadOnlyList<PeerConnection> connections = Connections;
        Task closing = Task.WhenAll(connections.Select(connection => connection.CloseAsync()));
        await Task.WhenAny(closing, Task.Delay(TimeSpan.FromSeconds(1), CancellationToken.None)).ConfigureAwait(false);
        foreach (PeerConnection connection in connections)
        {
            connection.Session.Abort(new Libp2pException(Libp2pError.ConnectionClosed, "The host stops."));
        }

        await closing.ConfigureAwait(false);
        _noise.Dispose();
        _stopping.Dispose();
    }

    /// <summary>The addresses, signed; the sequence grows when they change.</summary>
    internal byte[] SignedRecord()
    {
        IReadOnlyList<Multiaddr> addresses = Addresses;
        lock (_gate)
        {
            if (_record == null || !_recordAddresses.SequenceEqual(addresses))
            {
                _sequence = Math.Max(_sequence + 1, (ulong)Time.GetUtcNow().ToUnixTimeMilliseconds());
                _recordAddresses = addresses;
                _record = new PeerRecord(Id, _sequence, addresses).Seal(Identity);
            }

            return _record;
        }
    }

    /// <summary>Dials an address to see whether the peer answers there, and hangs up. Whatever connections there are play no part.</summary>
    internal async Task ProbeAsync(DialTarget target, PeerId peer, CancellationToken cancellationToken)
    {
        if (Filters.IsDenied(target.Address) || _backoff.IsBlocked(target.Address))
        {
            throw new Libp2pException(Libp2pError.DialFailed, $"{target.Address} is not dialled now.");
        }

        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _stopping.Token);
        using RawConnection raw = await DialAsync(target, async deadline =>
        {
            NoiseChannel channel = await SecureAsync(await ConnectAsync(target, deadline).ConfigureAwait(false), default, isInbound: false, peer, deadline).ConfigureAwait(false);
            RawConnection connection = channel.Connection;
            channel.Dispose();
            return connection;
        }, either.Token).ConfigureAwait(false);
    }

    /// <summary>A peer opened a stream. Runs on the connection's receiver, so everything happens elsewhere.</summary>
    internal void OnStream(PeerConnection connection, YamuxStream stream) => _ = Task.Run(() => ServeAsync(connection, stream), CancellationToken.None);

    /// <summary>The addresses of this machine in place of "any".</summary>
    private IEnumerable<IPEndPoint> Expand(IPEndPoint endPoint)
    {
        if (!endPoint.Address.Equals(IPAddress.Any) && !endPoint.Address.Equals(IPAddress.IPv6Any))
        {
            return [endPoint];
        }

        return CardAddresses().Where(ip => ip.AddressFamily == endPoint.AddressFamily).Select(ip => new IPEndPoint(ip, endPoint.Port));
    }

    /// <summary>The addresses of this machine's network cards. Asking the system takes longer than all else that a new peer is told, so it is asked once a second.</summary>
    private IPAddress[] CardAddresses()
    {
        (IPAddress[]? known, long since) = _cards;
        if (known is not null && Time.GetElapsedTime(since) < TimeSpan.FromSeconds(1))
        {
            return known;
        }

        IPAddress[] found =
        [
            .. NetworkInterface.GetAllNetworkInterfaces().Where(static card => card.OperationalStatus == OperationalStatus.Up)
                .SelectMany(static card => card.GetIPProperties().UnicastAddresses).Select(static unicast => unicast.Address)
                .Where(static ip => !ip.IsIPv6LinkLocal),
        ];
        _cards = new Cards(found, Time.GetTimestamp());
        return found;
    }

    /// <summary>Whose numbers are counted together: an IPv4 address, or the network that one IPv6 customer has.</summary>
    internal static IPAddress Group(IPAddress ip)
    {
        if (ip.AddressFamily == AddressFamily.InterNetworkV6)
        {
            byte[] bytes = ip.GetAddressBytes();
            bytes.AsSpan(8).Clear();
            return new IPAddress(bytes);
        }

        return ip;
    }

    private async Task AcceptAllAsync(Socket listener)
    {
        while (true)
        {
            Socket accepted;
            try
            {
                accepted = await listener.AcceptAsync(_stopping.Token).ConfigureAwait(false);
            }
            catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
            {
                return;
            }
            catch (SocketException)
            {
                // The connection ended before it was accepted, or there are no descriptors left: a moment later there may be.
                if (_stopping.IsCancellationRequested)
                {
                    return;
                }

                await Task.Delay(TimeSpan.FromMilliseconds(50), CancellationToken.None).ConfigureAwait(false);
                continue;
            }

            _ = AcceptAsync(accepted);
        }
    }

    private bool TryBeginInbound(RawConnection raw)
    {
        lock (_gate)
        {
            if (_disposed || _pendingInbound >= Options.MaxPendingInbound || _count >= Options.MaxConnections
                || (raw.RemoteAddress.TryGetIp(out IPAddress? ip) && (Filters.IsDenied(ip) || IsFullFor(ip))))
            {
                return false;
            }

            _pendingInbound++;
            return true;
        }
    }

    private bool IsFullFor(IPAddress ip) => !IPAddress.IsLoopback(ip) && _perIp.GetValueOrDefault(Group(ip)) >= Options.MaxConnectionsPerIp;

    private async Task<PeerConnection> UpgradeAsync(RawConnection raw, ReadOnlyMemory<byte> alreadyRead, bool isInbound, PeerId? expected, CancellationToken cancellationToken)
    {
        NoiseChannel channel = await SecureAsync(raw, alreadyRead, isInbound, expected, cancellationToken).ConfigureAwait(false);
        try
        {
            return Register(channel, isInbound);
        }
        catch
        {
            channel.Connection.Dispose();
            channel.Dispose();
            throw;
        }
    }

    /// <summary>From a connection to one with a known peer and a multiplexer. Takes the connection over, whatever comes of it.</summary>
    private async Task<NoiseChannel> SecureAsync(RawConnection raw, ReadOnlyMemory<byte> alreadyRead, bool isInbound, PeerId? expected, CancellationToken cancellationToken)
    {
        InputBuffer? input = null;
        NoiseChannel? channel = null;
        try
        {
            if (Options.SwarmKey != null)
            {
                raw = await PrivateConnection.EstablishAsync(raw, Options.SwarmKey, alreadyRead, cancellationToken).ConfigureAwait(false);
                alreadyRead = default;
            }

            input = new InputBuffer(raw, alreadyRead.Span);
            if (isInbound)
            {
                if (await MultistreamSelect.ListenAsync(input, _security.Contains, cancellationToken).ConfigureAwait(false) == null)
                {
                    throw new Libp2pException(Libp2pError.ConnectionClosed, "It ended before it began.");
                }

                channel = await _noise.ListenAsync(raw, input, cancellationToken).ConfigureAwait(false);
            }
            else
            {
                await MultistreamSelect.DialAsync(input, _security, cancellationToken).ConfigureAwait(false);
                channel = await _noise.DialAsync(raw, input, expected, cancellationToken).ConfigureAwait(false);
            }

            if (channel.Muxer == null)
            {
                // Older peers name no multiplexer in the handshake.
                if (!isInbound)
                {
                    await MultistreamSelect.DialAsync(channel, _muxers, cancellationToken).ConfigureAwait(false);
                }
                else if (await MultistreamSelect.ListenAsync(channel, _muxers.Contains, cancellationToken).ConfigureAwait(false) == null)
                {
                    throw new Libp2pException(Libp2pError.ConnectionClosed, "It ended before it began.");
                }
            }

            return channel;
        }
        catch
        {
            raw.Dispose();
            if (channel != null)
            {
                channel.Dispose();
            }
            else
            {
                input?.Dispose();
            }

            throw;
        }
    }

    private PeerConnection Register(NoiseChannel channel, bool isInbound)
    {
        if (channel.RemoteKey.PeerId == Id)
        {
            throw new Libp2pException(Libp2pError.DialFailed, "A node does not connect to itself.");
        }

        var connection = new PeerConnection(this, channel, isInbound);
        lock (_gate)
        {
            _connections.TryGetValue(connection.Peer, out List<PeerConnection>? list);
            if (_disposed || _count >= Options.MaxConnections || (list?.Count ?? 0) >= Options.MaxConnectionsPerPeer || (isInbound && IsFullFor(connection.RemoteIp)))
            {
                throw new Libp2pException(Libp2pError.LimitExceeded, "There are too many connections.");
            }

            if (list == null)
            {
                _connections.Add(connection.Peer, list = []);
            }

            list.Add(connection);
            _count++;
            IPAddress group = Group(connection.RemoteIp);
            _perIp[group] = _perIp.GetValueOrDefault(group) + 1;
        }

        Peers.SetConnected(connection.Peer, true);
        Connected?.Invoke(connection);
        connection.Session.Start();
        _ = IdentifyAsync(connection);
        _ = WatchAsync(connection);
        return connection;
    }

    private async Task WatchAsync(PeerConnection connection)
    {
        await connection.Closed.ConfigureAwait(false);
        bool last;
        lock (_gate)
        {
            List<PeerConnection> list = _connections[connection.Peer];
            list.Remove(connection);
            last = list.Count == 0;
            if (last)
            {
                _connections.Remove(connection.Peer);
            }

            _count--;
            IPAddress group = Group(connection.RemoteIp);
            if (--_perIp[group] == 0)
            {
                _perIp.Remove(group);
            }
        }

        if (last)
        {
            Peers.SetConnected(connection.Peer, false);
        }

        connection.SetIdentity(null);
        Disconnected?.Invoke(connection);
    }

    private async Task IdentifyAsync(PeerConnection connection)
    {
        try
        {
            using var deadline = CancellationTokenSource.CreateLinkedTokenSource(_stopping.Token);
            deadline.CancelAfter(Options.IdentifyTimeout);
            PeerStream stream = connection.OpenStream(IdentifyProtocol.Id);
            await using (stream.ConfigureAwait(false))
            {
                stream.CompleteWrites();
                PeerIdentity identity = await IdentifyProtocol.ReceiveAsync(stream, this, deadline.Token).ConfigureAwait(false);
                connection.SetIdentity(identity);
                PeerIdentified?.Invoke(connection, identity);
            }
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException)
        {
            // Who does not say who it is may still be spoken with, if one knows what it speaks.
            connection.SetIdentity(null);
        }
    }

    private async Task ServeAsync(PeerConnection connection, YamuxStream yamux)
    {
        Protocol? protocol = null;
        try
        {
            using (var deadline = CancellationTokenSource.CreateLinkedTokenSource(_stopping.Token))
            {
                deadline.CancelAfter(Options.NegotiationTimeout);
                string? id = await MultistreamSelect.ListenAsync(yamux, IsSpoken, yamux.Precede, deadline.Token).ConfigureAwait(false);
                if (id == null || !TryEnter(connection, id, out protocol))
                {
                    yamux.Reset();
                    return;
                }
            }

            yamux.Protocol = protocol.Id;
            yamux.Connection = connection;
            // The answer goes with the handler's first words, or alone if it has none to say yet.
            Task serving = protocol.Handler(yamux, _stopping.Token);
            yamux.SendAhead();
            await serving.ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException)
        {
            // The peer broke the protocol, went away or was too slow: its stream ends, nothing else.
            yamux.Reset();
        }
        catch (Exception e)
        {
            // A handler's own mistake. It ends the stream like any other, and is told.
            yamux.Reset();
            HandlerFailed?.Invoke(protocol?.Id ?? MultistreamSelect.Id, e);
        }
        finally
        {
            await yamux.DisposeAsync().ConfigureAwait(false);
            if (protocol != null)
            {
                connection.Leave(protocol.Id);
                lock (_gate)
                {
                    protocol.Streams--;
                }
            }
        }
    }

    private bool IsSpoken(string id)
    {
        lock (_gate)
        {
            return _protocols.ContainsKey(id);
        }
    }

    private bool TryEnter(PeerConnection connection, string id, [NotNullWhen(true)] out Protocol? protocol)
    {
        lock (_gate)
        {
            if (!_protocols.TryGetValue(id, out protocol) || protocol.Streams >= protocol.Limits.MaxStreams || !connection.TryEnter(id, protocol.Limits.MaxStreamsPerConnection))
            {
                protocol = null;
                return false;
            }

            protocol.Streams++;
            return true;
        }
    }

    private PeerConnection? FindLocked(PeerId peer) =>
        _connections.TryGetValue(peer, out List<PeerConnection>? list) ? list.Find(connection => !connection.IsEnding) : null;

    private async Task<PeerConnection> DialPeerAsync(PeerId peer)
    {
        // Not under the caller's lock.
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        try
        {
            return await DialAnyAsync(peer, Peers.GetAddresses(peer), _stopping.Token).ConfigureAwait(false);
        }
        finally
        {
            lock (_gate)
            {
                _dials.Remove(peer);
            }
        }
    }

    /// <summary>Tries addresses one after the other, each a moment after the one before, and takes the first that leads to the peer.</summary>
    private async Task<PeerConnection> DialAnyAsync(PeerId? peer, IReadOnlyList<Multiaddr> addresses, CancellationToken cancellationToken)
    {
        using var others = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var ready = new List<DialTarget>();
        int filtered = 0, blocked = 0;
        Add(addresses.Select(address => DialTarget.TryCreate(address, null, out DialTarget? target) ? target : null).OfType<DialTarget>().OrderBy(target => target.Transport));
        // Names are looked up while addresses that need none are tried already.
        Task<List<DialTarget>>? names = addresses.Any(AddressResolver.HasName) ? _resolver.ResolveAsync(addresses, peer, others.Token) : null;
        var running = new List<Task<PeerConnection>>();
        var failures = new List<Exception>();
        int next = 0;
        PeerConnection? first = null;
        while (first == null && (next < ready.Count || running.Count > 0 || names != null))
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (next < ready.Count)
            {
                running.Add(DialAsync(ready[next++], peer, others.Token));
            }

            List<Task> events = [.. running];
            if (names != null)
            {
                events.Add(names);
            }

            if (next < ready.Count)
            {
                events.Add(Task.Delay(Options.DialStagger, Time, others.Token));
            }

            await Task.WhenAny(events).ConfigureAwait(false);
            if (names is { IsCompleted: true })
            {
                Add(await names.ConfigureAwait(false));
                names = null;
            }

            foreach (Task<PeerConnection> done in running.Where(dial => dial.IsCompleted).ToArray())
            {
                running.Remove(done);
                if (done.IsCompletedSuccessfully && first == null)
                {
                    first = done.Result;
                }
                else if (done.IsCompletedSuccessfully)
                {
                    await done.Result.CloseAsync().ConfigureAwait(false);
                }
                else
                {
                    failures.Add(done.Exception?.InnerException ?? new OperationCanceledException());
                }
            }
        }

        await others.CancelAsync().ConfigureAwait(false);
        foreach (Task<PeerConnection> late in running)
        {
            _ = CloseWhenDoneAsync(late);
        }

        if (first != null)
        {
            return first;
        }

        if (ready.Count == 0)
        {
            throw blocked > 0 ? new Libp2pException(Libp2pError.BackingOff, "The peer did not answer a moment ago; it is not tried again yet.")
                : filtered > 0 ? new Libp2pException(Libp2pError.AddressFiltered, "All of the peer's addresses are filtered.")
                : new Libp2pException(Libp2pError.DialFailed, "No address of the peer is known that can be dialled.");
        }

        // One reason says more than "all failed" where all failed alike.
        Libp2pException? typical = failures.OfType<Libp2pException>().FirstOrDefault();
        throw new Libp2pException(typical?.Error ?? Libp2pError.DialFailed, $"None of {ready.Count} addresses led to the peer: {failures[0].Message}", failures[0]);

        void Add(IEnumerable<DialTarget> targets)
        {
            foreach (DialTarget target in targets)
            {
                if (Filters.IsDenied(target.Address))
                {
                    filtered++;
                }
                else if (_backoff.IsBlocked(target.Address))
                {
                    blocked++;
                }
                else if (ready.Count < Options.MaxDialAddresses && !ready.Contains(target))
                {
                    ready.Add(target);
                }
            }
        }
    }

    private static async Task CloseWhenDoneAsync(Task<PeerConnection> late)
    {
        try
        {
            await (await late.ConfigureAwait(false)).CloseAsync().ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or OperationCanceledException)
        {
            // It lost the race, and was called off.
        }
    }

    private Task<PeerConnection> DialAsync(DialTarget target, PeerId? peer, CancellationToken cancellationToken) =>
        DialAsync(target, async deadline =>
        {
            RawConnection raw = await ConnectAsync(target, deadline).ConfigureAwait(false);
            return await UpgradeAsync(raw, default, isInbound: false, target.Peer ?? peer, deadline).ConfigureAwait(false);
        }, cancellationToken);

    /// <summary>Dials within the limits, and remembers who does not answer.</summary>
    private async Task<T> DialAsync<T>(DialTarget target, Func<CancellationToken, Task<T>> dial, CancellationToken cancellationToken)
    {
        lock (_gate)
        {
            if (_disposed || _pendingOutbound >= Options.MaxPendingOutbound || _count >= Options.MaxConnections)
            {
                throw new Libp2pException(Libp2pError.LimitExceeded, "There are too many connections.");
            }

            _pendingOutbound++;
        }

        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        deadline.CancelAfter(Options.DialTimeout);
        try
        {
            T result = await dial(deadline.Token).ConfigureAwait(false);
            _backoff.Succeeded(target.Address);
            return result;
        }
        catch (Exception e)
        {
            if (cancellationToken.IsCancellationRequested)
            {
                throw;
            }

            _backoff.Failed(target.Address);
            throw e switch
            {
                Libp2pException known => known,
                OperationCanceledException => new Libp2pException(Libp2pError.Timeout, $"{target.Address} did not answer in {Options.DialTimeout.TotalSeconds:0} s.", e),
                _ => new Libp2pException(Libp2pError.DialFailed, $"{target.Address}: {e.Message}", e),
            };
        }
        finally
        {
            lock (_gate)
            {
                _pendingOutbound--;
            }
        }
    }

    private async Task<RawConnection> ConnectAsync(DialTarget target, CancellationToken cancellationToken) => target.Transport == DialTransport.Tcp
        ? await TcpConnection.ConnectAsync(target.EndPoint, cancellationToken).ConfigureAwait(false)
        : await WebSocketConnection.ConnectAsync(target, Options.CertificateValidation, cancellationToken).ConfigureAwait(false);

    private async Task TickAsync()
    {
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(1), Time);
        int ticks = 0;
        try
        {
            while (await timer.WaitForNextTickAsync(_stopping.Token).ConfigureAwait(false))
            {
                Tick();
                if (++ticks % 60 == 0)
                {
                    Peers.Expire();
                    _backoff.Expire();
                }
            }
        }
        catch (OperationCanceledException)
        {
            // The host stops.
        }
    }

    private void Tick()
    {
        IReadOnlyList<PeerConnection> connections = Connections;
        foreach (PeerConnection connection in connections)
        {
            connection.Session.Tick();
        }

        if (connections.Count > Options.HighWater)
        {
            Trim(connections);
        }

        bool changed;
        lock (_gate)
        {
            changed = _changed;
            _changed = false;
        }

        if (changed)
        {
            foreach (PeerConnection connection in connections)
            {
                _ = PushAsync(connection);
            }
        }
    }

    /// <summary>Closes those that nobody has used for longest, down to the low water mark.</summary>
    private void Trim(IReadOnlyList<PeerConnection> connections)
    {
        HashSet<PeerId> kept;
        lock (_gate)
        {
            kept = [.. _protected.Keys];
        }

        long now = Time.GetTimestamp();
        IEnumerable<PeerConnection> idle = connections
            .Where(connection => connection.StreamCount == 0 && !kept.Contains(connection.Peer) && Time.GetElapsedTime(connection.Opened, now) > Options.GracePeriod)
            .OrderBy(connection => connection.LastUsed)
            .Take(connections.Count - Options.LowWater);
        foreach (PeerConnection connection in idle.ToArray())
        {
            _ = connection.CloseAsync();
        }
    }

    private async Task PushAsync(PeerConnection connection)
    {
        // Only to those that said they listen to it.
        if (!Peers.GetProtocols(connection.Peer).Contains(IdentifyProtocol.PushId))
        {
            return;
        }

        try
        {
            using var deadline = CancellationTokenSource.CreateLinkedTokenSource(_stopping.Token);
            deadline.CancelAfter(Options.IdentifyTimeout);
            PeerStream stream = connection.OpenStream(IdentifyProtocol.PushId);
            await using (stream.ConfigureAwait(false))
            {
                await IdentifyProtocol.SendAsync(stream, this, deadline.Token).ConfigureAwait(false);
                // Its end is the answer.
                _ = await stream.ReadAsync(new byte[1], deadline.Token).ConfigureAwait(false);
            }
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException)
        {
            // It learns with the next change, or when it asks.
        }
    }

    private sealed class Protocol(string id, StreamHandler handler, ProtocolLimits limits)
    {
        public string Id { get; } = id;

        public StreamHandler Handler { get; } = handler;

        public ProtocolLimits Limits { get; } = limits;

        public int Streams { get; set; }
    }

    /// <summary>What the system said of its network cards, and when.</summary>
    private sealed record Cards(IPAddress[]? Addresses, long Since);
}
