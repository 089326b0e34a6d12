// Whom the node was connected with, from one start to the next, and who keeps it connected: the peers that the settings name are dialled until one of them is there,
// with pauses that grow; where none of them answers, those whom the node met before may lead into the network as well.

using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p;
using Leither.Libp2p.KadDht;
using Leither.Libp2p.Peers;
using Leither.Node.Logging;

namespace Leither.Node.Network;

/// <summary>Keeps a host in touch with its network, and remembers who was there.</summary>
public sealed class KnownPeers : IAsyncDisposable
{
    /// <summary>How many remembered peers are tried in a round.</summary>
    private const int MaxTried = 8;

    private const string Tag = "bootstrap";

    /// <summary>Pauses between rounds: while there is nobody they grow from the first to the second; while there is somebody, the third.</summary>
    private static readonly TimeSpan _firstPause = TimeSpan.FromSeconds(1), _longestPause = TimeSpan.FromMinutes(5), _look = TimeSpan.FromSeconds(10);

    /// <summary>How often what is new is written.</summary>
    private static readonly TimeSpan _saveEvery = TimeSpan.FromMinutes(1);

    private readonly Host _host;
    private readonly KademliaDht? _dht;
    private readonly Func<IReadOnlyList<Multiaddr>> _bootstrap;
    private readonly SwarmFolder _folder;
    private readonly NodeLog _log;
    private readonly Lock _gate = new();
    private readonly LinkedList<(PeerId Peer, List<Multiaddr> Addresses)> _remembered = new(); // the latest first
    private readonly Dictionary<PeerId, LinkedListNode<(PeerId Peer, List<Multiaddr> Addresses)>> _places = [];
    private readonly HashSet<PeerId> _leading = [];
    private readonly CancellationTokenSource _stopping = new();
    private readonly SemaphoreSlim _nudge = new(0, 1);
    private readonly Task _running;
    private bool _isChanged;
    private DateTimeOffset _saved = DateTimeOffset.UtcNow;

    /// <summary>Begins.</summary>
    /// <param name="host">The host.</param>
    /// <param name="dht">Its DHT, which looks around once somebody is there.</param>
    /// <param name="bootstrap">Whom the settings name now.</param>
    /// <param name="folder">Where peers are remembered.</param>
    /// <param name="log">Where trouble is told.</param>
    internal KnownPeers(Host host, KademliaDht? dht, Func<IReadOnlyList<Multiaddr>> bootstrap, SwarmFolder folder, NodeLog log)
    {
        _host = host;
        _dht = dht;
        _bootstrap = bootstrap;
        _folder = folder;
        _log = log;
        foreach ((PeerId Peer, List<Multiaddr> Addresses) known in Load())
        {
            if (_places.ContainsKey(known.Peer)) continue;
            _places.Add(known.Peer, _remembered.AddLast(known));
            host.Peers.AddAddresses(known.Peer, known.Addresses, PeerStore.RecentlyConnectedTtl);
        }

        host.PeerIdentified += OnIdentified;
        _running = RunAsync();
    }

    /// <summary>Whom the settings name has changed.</summary>
    public void Nudge()
    {
        lock (_gate)
        {
            if (_nudge.CurrentCount == 0) _nudge.Release();
        }
    }

    /// <summary>Stops, and writes what is new.</summary>
    public async ValueTask DisposeAsync()
    {
        _host.PeerIdentified -= OnIdentified;
        await _stopping.CancelAsync().ConfigureAwait(false);
        await _running.ConfigureAwait(false);
        Save();
        _nudge.Dispose();
        _stopping.Dispose();
    }

    private void OnIdentified(PeerConnection connection, Libp2p.Identify.PeerIdentity identity)
    {
        // Who dialled us is where it says that it listens; whom we dialled, where we found it.
        List<Multiaddr> addresses = [.. (connection.IsInbound ? [] : (Multiaddr[])[connection.RemoteAddress]).Concat(_host.Peers.GetAddresses(connection.Peer)).Distinct().Take(SwarmFolder.MaxAddresses)];
        if (addresses.Count == 0) return;
        lock (_gate)
        {
            if (_places.Remove(connection.Peer, out LinkedListNode<(PeerId Peer, List<Multiaddr> Addresses)>? old)) _remembered.Remove(old);
            _places.Add(connection.Peer, _remembered.AddFirst((connection.Peer, addresses)));
            if (_remembered.Count > SwarmFolder.MaxPeers)
            {
                _places.Remove(_remembered.Last!.Value.Peer);
                _remembered.RemoveLast();
            }

            _isChanged = true;
        }
    }

    private async Task RunAsync()
    {
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        TimeSpan pause = _firstPause;
        bool wasConnected = false;
        try
        {
            while (true)
            {
                bool isConnected = await ConnectAsync().ConfigureAwait(false);
                if (isConnected && !wasConnected && _dht is not null) await LookAroundAsync(_dht).ConfigureAwait(false);
                wasConnected = isConnected;
                if (DateTimeOffset.UtcNow - _saved > _saveEvery) Save();
                // Nobody is dialled in step with others.
                TimeSpan next = isConnected ? _look : pause * (0.75 + (Random.Shared.NextDouble() / 2));
                pause = isConnected ? _firstPause : TimeSpan.FromTicks(Math.Min(2 * pause.Ticks, _longestPause.Ticks));
                if (await _nudge.WaitAsync(next, _stopping.Token).ConfigureAwait(false)) pause = _firstPause;
            }
        }
        catch (OperationCanceledException)
        {
            // The end.
        }
    }

    /// <summary>Sees to it that somebody who leads into the network is connected; true if so, or if nobody is named.</summary>
    private async Task<bool> ConnectAsync()
    {
        IReadOnlyList<Multiaddr> bootstrap = _bootstrap();
        if (bootstrap.Count == 0) return true;
        if (_leading.Any(peer => _host.TryGetConnection(peer, out _))) return true;
        foreach (PeerId peer in _leading) _host.Unprotect(peer, Tag);
        _leading.Clear();
        PeerId[] found = [.. (await Task.WhenAll(bootstrap.Select(ConnectAsync)).ConfigureAwait(false)).OfType<PeerId>()];
        foreach (PeerId peer in found)
        {
            _leading.Add(peer);
            _host.Protect(peer, Tag);
        }

        if (found.Length > 0) return true;
        if (_host.Connections.Count > 0) return false;
        (PeerId Peer, List<Multiaddr> Addresses)[] tried;
        lock (_gate) tried = [.. _remembered.Take(MaxTried)];
        await Task.WhenAll(tried.Where(known => known.Peer != _host.Id).Select(known => TryAsync(known.Peer.ToString(), () => _host.ConnectAsync(known.Peer, known.Addresses, _stopping.Token)))).ConfigureAwait(false);
        return false;
    }

    private Task<PeerId?> ConnectAsync(Multiaddr address) => TryAsync(address.ToString(), () => _host.ConnectAsync(address, _stopping.Token));

    private async Task<PeerId?> TryAsync(string whom, Func<Task<PeerConnection>> connect)
    {
        try
        {
            PeerConnection connection = await connect().ConfigureAwait(false);
            _ = await connection.Identified.WaitAsync(_stopping.Token).ConfigureAwait(false);
            return connection.Peer;
        }
        catch (IOException e)
        {
            _log.Verbose($"{whom} could not be reached: {e.Message}");
            return null;
        }
    }

    private async Task LookAroundAsync(KademliaDht dht)
    {
        try
        {
            await dht.BootstrapAsync([], _stopping.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            _log.Verbose($"The DHT could not be looked around in: {e.Message}");
        }
    }

    private List<(PeerId Peer, List<Multiaddr> Addresses)> Load()
    {
        try
        {
            return _folder.LoadPeers();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            _log.Warning($"Peers that were met before could not be read: {e.Message}");
            return [];
        }
    }

    private void Save()
    {
        (PeerId Peer, List<Multiaddr> Addresses)[] peers;
        lock (_gate)
        {
            _saved = DateTimeOffset.UtcNow;
            if (!_isChanged) return;
            _isChanged = false;
            peers = [.. _remembered];
        }

        try
        {
            _folder.SavePeers(peers);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            _log.Warning($"Peers that were met could not be written down: {e.Message}");
        }
    }
}
