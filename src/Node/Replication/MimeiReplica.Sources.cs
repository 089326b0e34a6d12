using System.Globalization;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p;
using Leither.Libp2p.KadDht;
using Leither.MmDb;
using Leither.MmDb.Configuration;
using Leither.MmDb.Log;
using Leither.MmDb.Writers;
using Leither.Node.Network;
using Leither.Replication;

namespace Leither.Node.Replication;

// Where a MiMei is had from: who is dialled, and who waits for what comes.
internal sealed partial class MimeiReplica
{
    /// <summary>How often who waits is told how far it is.</summary>
    private static readonly TimeSpan _tell = TimeSpan.FromMilliseconds(100);

    /// <summary>How often it is kept where followers are, who are asked after a loss of power.</summary>
    private const long AddressesPauseMs = 10_000;

    /// <summary>How often is looked whether a newcomer can be served.</summary>
    private const long ServablePauseMs = 10_000;

    /// <summary>How often is looked at what followers need, and whether they are there.</summary>
    private const long KeepPauseMs = 1000;

    /// <summary>How often who writes greets whom he knows: one that was cut off may not have heard that another writes now, and would go on by itself.</summary>
    private const long GreetPauseMs = 60_000;

    private IDisposable? _kept;
    private bool _isLogNeeded;
    private long _keptAtMs, _touchedAtMs, _greetAtMs;
    private TimeSpan _pause;
    private long _lookAtMs, _begunRounds, _endedRounds, _servableAtMs, _receivedBefore;
    private string? _refusal;

    private sealed record Waiter(TaskCompletionSource Done, long Round, bool IsForVersions);

    /// <summary>Waits until everything is here that the sources have.</summary>
    /// <param name="work">Is told how far it is.</param>
    /// <param name="withVersions">Whether their versions are waited for, too, which are listed once their states are made from the log.</param>
    /// <param name="cancellation">Ends the waiting, and nothing else.</param>
    /// <exception cref="MimeiException">Nobody who was asked gives it.</exception>
    public async Task<SyncedMimei> WaitLevelAsync(LongWork work, bool withVersions, CancellationToken cancellation)
    {
        var waiter = new Waiter(new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously), Interlocked.Read(ref _begunRounds), withVersions);
        lock (_gate) _waiters.Add(waiter);
        Interlocked.Exchange(ref _lookAtMs, 0);
        Schedule();
        work.Begin("syncing", 0);
        try
        {
            while (true)
            {
                work.Reached(_core.BytesReceived);
                Task tell = Task.Delay(_tell, cancellation);
                if (await Task.WhenAny(waiter.Done.Task, tell).ConfigureAwait(false) == waiter.Done.Task) break;
                await tell.ConfigureAwait(false);
            }

            await waiter.Done.Task.ConfigureAwait(false);
        }
        finally
        {
            lock (_gate) _waiters.Remove(waiter);
        }

        return new SyncedMimei(Position, NewestVersion.Number, _core.BytesReceived, _core.BlocksReceived, Math.Max(1, _links.Values.Count(static l => !l.IsInbound)), IsWriter || _core.IsLevel);
    }

    /// <summary>Begins to write here: see <see cref="Replica.TakeOver"/>.</summary>
    public async Task<BecameWriter> TakeOverAsync(WriterCertificate certificate, CancellationToken cancellation)
    {
        var done = new TaskCompletionSource<BecameWriter>(TaskCreationOptions.RunContinuationsAsynchronously);
        Post(new Event(EventKind.Called)
        {
            Call = () =>
            {
                _takingOver = done;
                if (_core.TakeOver(certificate, _service.Keys.Author) is { } why) done.TrySetException(new MimeiException($"ERR {why}"));
            },
        });
        return await done.Task.WaitAsync(cancellation).ConfigureAwait(false);
    }

    private void FailWaiters(Exception problem)
    {
        lock (_gate)
        {
            foreach (Waiter waiter in _waiters) waiter.Done.TrySetException(problem);
        }
    }

    /// <summary>After each piece of work: who waits is told, whose word counts is looked up, and sources are looked for where there are none.</summary>
    private void LookAround()
    {
        if (Facts.Named.Count > 0 && !ReferenceEquals(_core.Followers, _named.Of)) NameFollowers(_core.Followers);
        foreach (SourceProgress source in _core.Sources)
        {
            if (source.IsWriter) _writerSource = source.Peer;
            _refusal = source.Refusal ?? _refusal;
        }

        if (IsWriter || _core.IsLevel)
        {
            _pause = default;
            _refusal = null;
            lock (_gate)
            {
                foreach (Waiter waiter in _waiters)
                {
                    if (IsWriter || _core.IsComplete || !waiter.IsForVersions) waiter.Done.TrySetResult();
                }
            }
        }

        KeepAddresses();
        KeepServable();
        KeepLog();
        KeepInTouch();
        if (Writes && NowMs >= _greetAtMs)
        {
            _isUnheard |= _greetAtMs > 0 && _keeper.State.Peers.Count > 0;
            _greetAtMs = NowMs + GreetPauseMs;
        }

        if (_isUnheard && !_isFinding)
        {
            _isUnheard = false;
            _isFinding = true;
            _finding = Task.Run(TellOthersAsync);
        }

        if (!_core.NeedsSources || !IsFollowing || _isFinding) return;
        FailHopeless();
        if (NowMs < Interlocked.Read(ref _lookAtMs)) return;
        _isFinding = true;
        _finding = Task.Run(FindSourcesAsync);
    }

    /// <summary>Who asked is told that nobody gives it, after a round that began later and another one: a source may just have ended.</summary>
    private void FailHopeless()
    {
        if (_links.Values.Any(static l => !l.IsInbound)) return;
        long ended = Interlocked.Read(ref _endedRounds);
        lock (_gate)
        {
            foreach (Waiter waiter in _waiters.Where(w => w.Round + 2 <= ended))
            {
                waiter.Done.TrySetException(new MimeiException($"ERR MiMei {Mid} cannot be had from anybody at present{(_refusal is { } why ? $": {why}" : "")}. It is looked for again"));
            }
        }
    }

    /// <summary>
    /// A newcomer begins with the log from its first entry, or with a version. Where the log's beginning is gone and no version leads into what is left of it, one is made.
    /// </summary>
    private void KeepServable()
    {
        if (!Writes || !Rights.IsShared || NowMs < _servableAtMs || Mimei.Versions is not { MayWrite: true } versions) return;
        _servableAtMs = NowMs + ServablePauseMs;
        if (IsServable) return;
        _service.Server.Post!(() =>
        {
            lock (Mimei.Gate)
            {
                versions.Backup("for followers", (_, problem) =>
                {
                    if (problem is not null) _service.Log.Warning($"MiMei {Mid} cannot be given to a node that is new, for its log does not reach back to the beginning and no version could be made: {problem.Message}");
                });
            }
        });
    }

    /// <summary>
    /// What followers are fetching stays until they have it, up to a limit: a checkpoint would take it away, and they had to begin anew, perhaps for ever.
    /// </summary>
    private void KeepLog()
    {
        ulong least = ulong.MaxValue;
        foreach (FollowerProgress follower in _core.Followers)
        {
            if (!follower.IsOnline) least = Math.Min(least, follower.Written + 1);
        }

        bool isNeeded = least != ulong.MaxValue;
        if (NowMs < _keptAtMs && isNeeded == _isLogNeeded) return;
        _keptAtMs = NowMs + KeepPauseMs;
        _isLogNeeded = isNeeded;
        IDisposable? before = _kept;
        _kept = isNeeded ? _store.Keep(Math.Max(least, LeastKept())) : null;
        before?.Dispose();
    }

    /// <summary>The first entry of the newest part of the log that the limit has room for.</summary>
    private ulong LeastKept()
    {
        IReadOnlyList<LogPlace> places = _store.Places;
        long left = _service.LogMaxBytes;
        for (int i = places.Count - 1; i >= 0; i--)
        {
            left -= places[i].Length;
            if (left < 0) return i + 1 < places.Count ? places[i + 1].Segment.First : ulong.MaxValue;
        }

        return 0;
    }

    /// <summary>Where writes are taken only while named providers are in touch (min-replicas-to-write), these are asked once a second whether they are, as Redis replicas tell.</summary>
    private void KeepInTouch()
    {
        if (!Writes || NowMs < _touchedAtMs || _service.Server.DefaultMimei != Mimei || _service.Server.Settings.Get(ConfigKeys.MinReplicasToWrite) == 0) return;
        _touchedAtMs = NowMs + KeepPauseMs;
        foreach (FollowerProgress follower in _core.Followers)
        {
            if (_named.Peers.Contains(follower.Peer) && SilenceOf(follower) >= KeepPauseMs) ((IReplicaPort)this).Send(follower.Stream, new Beat(false));
        }

        Flush();
    }

    private bool IsServable
    {
        get
        {
            IReadOnlyList<LogPlace> places = _store.Places;
            ulong floor = places.Count == 0 ? _store.End.WrittenSequence + 1 : places[0].Segment.First + (places[0].Segment.Offset == 0 ? 0ul : 1);
            return floor <= 1 || _store.Versions.Any(v => v.Position.Sequence + 1 >= floor);
        }
    }

    /// <summary>Waits until a newcomer can be served.</summary>
    public async Task WaitServableAsync(CancellationToken cancellation)
    {
        while (IsWriter && Mimei.Versions is { MayWrite: true } && !IsServable)
        {
            Schedule();
            await Task.Delay(_tell, cancellation).ConfigureAwait(false);
        }
    }

    /// <summary>Greets those who followed, or wrote: what they know of takeovers comes with their answer, and what this node knows goes with its own.</summary>
    private async Task TellOthersAsync()
    {
        try
        {
            NetworkServices services = await _service.Network.StartAsync().WaitAsync(_stopping.Token).ConfigureAwait(false);
            await DialAllAsync(services, Near()).ConfigureAwait(false);
            await Task.Delay(_service.Options.HelloTimeout, _stopping.Token).ConfigureAwait(false);
            // Who writes follows nobody.
            foreach (LogLink link in _links.Values)
            {
                if (IsWriter && !link.IsInbound) link.Complete();
            }
        }
        catch (Exception e) when (e is IOException or OperationCanceledException)
        {
            // They hear of it when they come.
        }

        _isFinding = false;
        Schedule();
    }

    /// <summary>Followers are further than before: those whose word counts are looked up, and clients that wait for them are told, once for all that came meanwhile.</summary>
    private void NameFollowers(IReadOnlyList<FollowerProgress> followers)
    {
        HashSet<PeerId> named = [];
        foreach (string name in Facts.Named)
        {
            if (PeerId.TryParse(name, out PeerId peer)) named.Add(peer);
            else if (LeitherId.TryParse(name, out LeitherId id))
            {
                foreach (FollowerProgress follower in followers)
                {
                    if (follower.Peer.TryGetPublicKey(out PublicKey? key) && LeitherId.Of(key.Protobuf) == id) named.Add(follower.Peer);
                }
            }
        }

        _named = new NamedFollowers(followers, named);
        if (Interlocked.Exchange(ref _isTellingLoop, 1) != 0) return;
        _service.Server.Post!(() =>
        {
            Interlocked.Exchange(ref _isTellingLoop, 0);
            _service.Server.Acknowledged();
        });
    }

    /// <summary>Whose word counts.</summary>
    /// <param name="Of">For which picture of the followers that was found out.</param>
    /// <param name="Peers">Who.</param>
    private sealed record NamedFollowers(IReadOnlyList<FollowerProgress>? Of, IReadOnlySet<PeerId> Peers);

    /// <summary>
    /// Who writes remembers where followers are: after a loss of power it asks them for what it signed. Those that are there now come first, and those that were there
    /// before are asked as long as there is room.
    /// </summary>
    private void KeepAddresses()
    {
        if (!Writes || _core.Followers.Count == 0 || NowMs - _addressedMs < AddressesPauseMs || _service.Network.Services?.Host is not { } host) return;
        _addressedMs = NowMs;
        HashSet<PeerId> present = [.. _core.Followers.Select(static f => f.Peer).Distinct().Take(ReplicaState.MaxPeers)], peers = [.. present];
        List<Multiaddr> addresses = [.. present.SelectMany(peer => host.Peers.GetAddresses(peer).Take(ReplicaState.MaxAddressesEach).Select(address => address.WithPeer(peer)))];
        foreach (Multiaddr before in _keeper.State.Peers)
        {
            if (!before.TryGetPeerId(out PeerId peer) || present.Contains(peer) || (peers.Count == ReplicaState.MaxPeers && !peers.Contains(peer))) continue;
            peers.Add(peer);
            addresses.Add(before);
        }

        _keeper.Keep(addresses);
    }

    private async Task FindSourcesAsync()
    {
        bool isAny = false;
        Interlocked.Increment(ref _begunRounds);
        try
        {
            NetworkServices services = await _service.Network.StartAsync().WaitAsync(_stopping.Token).ConfigureAwait(false);
            isAny = await DialAllAsync(services, Near()).ConfigureAwait(false);
            if (!isAny && services.Dht is { TableCount: > 0 } dht)
            {
                using var limit = CancellationTokenSource.CreateLinkedTokenSource(_stopping.Token);
                limit.CancelAfter(_service.Options.FindTimeout);
                var found = new List<Multiaddr>();
                await foreach (KadPeer peer in dht.FindProvidersAsync(MidRouting.KeyOf(Mid), _service.Options.MaxProviders, limit.Token).ConfigureAwait(false))
                {
                    IReadOnlyList<Multiaddr> addresses = peer.Addresses.Count > 0 ? peer.Addresses : services.Host.Peers.GetAddresses(peer.Id);
                    found.AddRange(addresses.Select(address => address.WithPeer(peer.Id)));
                }

                isAny = await DialAllAsync(services, found).ConfigureAwait(false);
            }
        }
        catch (Exception e) when (e is IOException or OperationCanceledException)
        {
            // It is tried again.
            _refusal ??= e is IOException ? e.Message : null;
        }

        // What comes makes the next pause short again; a source that gives nothing does not.
        bool hasCome = _core.BytesReceived != _receivedBefore;
        _receivedBefore = _core.BytesReceived;
        _pause = hasCome ? _service.Options.FirstPause : TimeSpan.FromTicks(Math.Clamp(2 * _pause.Ticks, _service.Options.FirstPause.Ticks, _service.Options.LongestPause.Ticks));
        Interlocked.Exchange(ref _lookAtMs, NowMs + (long)_pause.TotalMilliseconds);
        Interlocked.Increment(ref _endedRounds);
        _isFinding = false;
        Schedule();
    }

    /// <summary>Where it may be had without asking the network: what people named, who writes, and who followed before.</summary>
    private List<Multiaddr> Near()
    {
        List<Multiaddr> near;
        lock (_gate) near = [.. _from];
        near.AddRange(Facts.From);
        if (_core.Certificate is { } certificate) near.AddRange(AddressesOf(certificate.Node).Select(address => address.WithPeer(certificate.Node)));
        if (_writerSource is { } writer && writer != _service.Network.Id) near.AddRange(AddressesOf(writer).Select(address => address.WithPeer(writer)));
        near.AddRange(_keeper.State.Peers);
        return [.. near.Distinct()];
    }

    /// <summary>Opens streams to those who are there; whether there is one now.</summary>
    private async Task<bool> DialAllAsync(NetworkServices services, IReadOnlyList<Multiaddr> addresses)
    {
        // Addresses that name nobody are dialled to see who answers; those of one peer together.
        List<Task<bool>> dials = [];
        foreach (IGrouping<string, Multiaddr> one in addresses.GroupBy(static a => a.TryGetPeerId(out PeerId peer) ? peer.ToString() : a.ToString()))
        {
            if (dials.Count >= 2 * _service.Options.MaxSources) break;
            dials.Add(DialAsync(services, [.. one]));
        }

        bool[] came = await Task.WhenAll(dials).ConfigureAwait(false);
        return came.Contains(true);
    }

    private async Task<bool> DialAsync(NetworkServices services, IReadOnlyList<Multiaddr> addresses)
    {
        try
        {
            Host host = services.Host;
            PeerConnection connection;
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(_stopping.Token);
            limit.CancelAfter(_service.Options.HelloTimeout);
            if (addresses[0].TryGetPeerId(out PeerId peer))
            {
                if (peer == host.Id || IsSource(peer)) return false;
                connection = await host.ConnectAsync(peer, addresses.Select(static a => a.WithoutPeer()).OfType<Multiaddr>(), limit.Token).ConfigureAwait(false);
            }
            else
            {
                connection = await host.ConnectAsync(addresses[0], limit.Token).ConfigureAwait(false);
                if (connection.Peer == host.Id || IsSource(connection.Peer)) return false;
            }

            if (_links.Values.Count(static l => !l.IsInbound) >= _service.Options.MaxSources) return false;
            PeerStream stream = await connection.OpenStreamAsync([LogProtocol.Name], limit.Token).ConfigureAwait(false);
            host.Protect(connection.Peer, Tag);
            _ = FollowAsync(stream, connection.Peer);
            return true;
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException)
        {
            _refusal ??= e is IOException ? e.Message : null;
            return false;
        }
    }

    /// <summary>What keeps a connection with a source from being closed for being idle.</summary>
    private string Tag => string.Create(CultureInfo.InvariantCulture, $"log {Mid}");

    private bool IsSource(PeerId peer) => _links.Values.Any(l => !l.IsInbound && l.Peer == peer);
}
