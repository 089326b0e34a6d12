// Finds out whether this node can be reached from outside: asks peers to dial it and counts what they say, one vote for each network (a /16 of IPv4, a /32 of IPv6),
// so that one party with many addresses is one voice. Where a router hands a port on, the address that peers saw is tried
// with the ports that the node listens on; once enough reached it there, it is announced.

using System.Net;
using System.Net.Sockets;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p.Identify;
using Leither.Libp2p.KadDht;

namespace Leither.Libp2p.AutoNat;

/// <summary>Whether a node can be reached.</summary>
public enum Reachability
{
    /// <summary>It is not known.</summary>
    Unknown,

    /// <summary>From everywhere.</summary>
    Public,

    /// <summary>Only by those that it dials, or that are near.</summary>
    Private,
}

/// <summary>Finds out whether this node can be reached, from its making to its disposing.</summary>
public sealed class AutoNatClient : IAsyncDisposable
{
    private const int MaxVotes = 10;
    private const int MaxAsked = 64;
    private const int MaxObservedIps = 4;

    private readonly Host _host;
    private readonly AutoNatOptions _options;
    private readonly CancellationTokenSource _stopping = new();
    private readonly Lock _gate = new();
    private readonly List<Vote> _votes = [];
    private readonly Queue<PeerId> _asked = new();
    private readonly Task _running;
    private List<Multiaddr> _announced = [];
    private volatile Reachability _reachability;

    /// <summary>Begins.</summary>
    public AutoNatClient(Host host, AutoNatOptions? options = null)
    {
        _host = host;
        _options = options ?? new AutoNatOptions();
        _running = RunAsync();
    }

    /// <summary>Tells that something else is known now.</summary>
    public event Action<Reachability>? Changed;

    /// <summary>What is known.</summary>
    public Reachability Reachability => _reachability;

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync().ConfigureAwait(false);
        await _running.ConfigureAwait(false);
        _stopping.Dispose();
    }

    /// <summary>Asks one peer that can be asked; false if there is none, or nothing to be asked about.</summary>
    internal async Task<bool> AskAsync(CancellationToken cancellationToken)
    {
        List<Multiaddr> addresses = Candidates();
        if (addresses.Count == 0 || Next() is not { } connection)
        {
            return false;
        }

        try
        {
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            limit.CancelAfter(_options.AnswerTimeout);
            PeerStream stream = connection.OpenStream(AutoNatServer.Id);
            await using (stream.ConfigureAwait(false))
            {
                var question = new AutoNatMessage { Peer = _host.Id, Addresses = addresses };
                await LengthPrefixed.WriteAsync(stream, question.ToArray(), limit.Token).ConfigureAwait(false);
                stream.CompleteWrites();
                if (await LengthPrefixed.ReadAsync(stream, AutoNatMessage.MaxLength, limit.Token).ConfigureAwait(false) is { } bytes)
                {
                    Count(connection, AutoNatMessage.Read(bytes), addresses);
                }
            }
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException && !cancellationToken.IsCancellationRequested)
        {
            // It says nothing: another one will.
        }

        return true;
    }

    /// <summary>What a peer's answer means, if it means something.</summary>
    internal void Count(ulong voter, bool isReachable, Multiaddr? dialled)
    {
        Reachability now;
        lock (_gate)
        {
            // One voice for each, its last word.
            _votes.RemoveAll(vote => vote.Voter == voter);
            _votes.Add(new Vote(voter, isReachable, dialled));
            if (_votes.Count > MaxVotes)
            {
                _votes.RemoveAt(0);
            }

            int lead = _votes.Sum(vote => vote.IsReachable ? 1 : -1);
            now = lead >= _options.Confidence ? Reachability.Public : lead <= -_options.Confidence ? Reachability.Private : _reachability;
            Announce(now);
            if (now == _reachability)
            {
                return;
            }

            _reachability = now;
        }

        Changed?.Invoke(now);
    }

    private async Task RunAsync()
    {
        try
        {
            await Task.Delay(_options.FirstPause, _host.Time, _stopping.Token).ConfigureAwait(false);
            while (true)
            {
                await AskAsync(_stopping.Token).ConfigureAwait(false);
                await Task.Delay(_reachability == Reachability.Unknown ? _options.ShortPause : _options.LongPause, _host.Time, _stopping.Token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException)
        {
            // The end.
        }
    }

    private void Count(PeerConnection connection, AutoNatMessage answer, List<Multiaddr> asked)
    {
        if (answer.Status is not (AutoNatStatus.Ok or AutoNatStatus.DialError))
        {
            return;
        }

        ulong group = IpGroup.Of(connection.RemoteIp);
        // In a local network each peer is a voice of its own.
        ulong voter = group != IpGroup.None ? group : (ulong)connection.Peer.GetHashCode() << 40;
        Multiaddr? dialled = answer.Dialled?.WithoutPeer();
        Count(voter, answer.Status == AutoNatStatus.Ok, dialled != null && asked.Contains(dialled) ? dialled : null);
    }

    /// <summary>Announces what enough voters reached, and nothing once nobody reaches anything. Under the lock.</summary>
    private void Announce(Reachability now)
    {
        List<Multiaddr> confirmed = now != Reachability.Public ? [] : [.. _votes.Where(vote => vote is { IsReachable: true, Dialled: not null }).GroupBy(vote => vote.Dialled!)
            .Where(votes => votes.Count() >= _options.Confidence).Select(votes => votes.Key)];
        List<Multiaddr> kept = [.. _announced.Where(address => now == Reachability.Public)];
        foreach (Multiaddr address in _announced.Except(kept))
        {
            _host.Unannounce(address);
        }

        foreach (Multiaddr address in confirmed.Except(_host.Addresses))
        {
            _host.Announce(address);
            kept.Add(address);
        }

        _announced = kept;
    }

    /// <summary>A connection with a peer that answers such questions, and was not asked lately.</summary>
    private PeerConnection? Next()
    {
        PeerConnection[] able = [.. _host.Connections.Where(connection => !connection.IsEnding && _host.Peers.GetProtocols(connection.Peer).Contains(AutoNatServer.Id))];
        lock (_gate)
        {
            PeerConnection[] fresh = [.. able.Where(connection => !_asked.Contains(connection.Peer))];
            if (fresh.Length == 0)
            {
                // All were asked: from the beginning.
                _asked.Clear();
                fresh = able;
            }

            if (fresh.Length == 0)
            {
                return null;
            }

            PeerConnection next = fresh[Random.Shared.Next(fresh.Length)];
            _asked.Enqueue(next.Peer);
            if (_asked.Count > MaxAsked)
            {
                _asked.Dequeue();
            }

            return next;
        }
    }

    /// <summary>Where this node may be reached: what it listens on, and the same ports at the addresses under which peers see it.</summary>
    private List<Multiaddr> Candidates()
    {
        IReadOnlyList<Multiaddr> own = _host.Addresses;
        var candidates = new List<Multiaddr>();
        candidates.AddRange(own.Where(address => address.TryGetIp(out IPAddress? ip) && Counts(ip)));
        IEnumerable<IPAddress> observed = _host.Connections
            .Select(connection => connection.Identified is { IsCompletedSuccessfully: true, Result: PeerIdentity { ObservedAddress: { } seen } } && seen.TryGetIp(out IPAddress? ip) ? ip : null)
            .OfType<IPAddress>().Where(Counts).GroupBy(ip => ip).OrderByDescending(seen => seen.Count()).Take(MaxObservedIps).Select(seen => seen.Key);
        foreach (IPAddress ip in observed)
        {
            string kind = ip.AddressFamily == AddressFamily.InterNetworkV6 ? "ip6" : "ip4";
            foreach (Multiaddr address in own)
            {
                // "/ip4/ADDRESS/tcp/…": the rest stays.
                string[] parts = address.ToString().Split('/', 4);
                if (parts.Length == 4 && parts[1] == kind && Multiaddr.TryParse($"/{kind}/{ip}/{parts[3]}", out Multiaddr? candidate))
                {
                    candidates.Add(candidate);
                }
            }
        }

        return [.. candidates.Distinct().Take(_options.MaxAddresses)];
    }

    private bool Counts(IPAddress ip) => _options.PrivateAddresses || IpGroup.IsPublic(ip);

    private sealed record Vote(ulong Voter, bool IsReachable, Multiaddr? Dialled);
}
