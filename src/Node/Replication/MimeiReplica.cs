// One MiMei's replica at work: the core, which decides, with streams, the clock and the store around it.
//
//  - The core is one thread's at a time: whatever happens is put into a queue and worked on in order, by who brings it where nobody is at it, so that few threads are
//    woken: a stream's reader, the clock (ReplicaClock), or a thread of the pool (SerialWork). Nobody waits for it.
//  - Who writes the MiMei tells that the log grew by setting a flag. The queue is woken for it every few milliseconds at most, less often the faster the log grows:
//    what a head, a message and an answer cost is then shared by more entries. What is sent goes out once a piece of work is done.
//  - A stream's messages wait in the stream where they come faster than they are worked on.
//  - What goes wrong with a stream, or with the disk while somebody is served, ends that stream and nothing else.

using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p;
using Leither.MmDb;
using Leither.MmDb.Log;
using Leither.MmDb.Rights;
using Leither.MmDb.Writers;
using Leither.Replication;

namespace Leither.Node.Replication;

/// <summary>A MiMei that has to do with other nodes. Any thread.</summary>
internal sealed partial class MimeiReplica : IReplicaPort, ILogLinkOwner, IClocked, IAsyncDisposable
{
    /// <summary>The queue is woken for a log that grew once in so many milliseconds at most: a head covers as much at a time.</summary>
    private const int GrewPauseMs = LogProtocol.HeadIntervalMs, LongestGrewPauseMs = 10;

    /// <summary>The pause is a millisecond longer for each so many bytes that the log grows in one.</summary>
    private const int BytesPerPauseMs = 4096;

    /// <summary>How long one sleeps that has nobody to talk to.</summary>
    private const int RestMs = 10_000;

    /// <summary>How long a stream that we ended may take to end.</summary>
    private static readonly TimeSpan _closeTimeout = TimeSpan.FromSeconds(5);

    private static readonly long _startedMs = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds();
    private static readonly long _startedAt = Stopwatch.GetTimestamp();

    private readonly ReplicationService _service;
    private readonly SerialWork _work;
    private readonly ReplicaStore _store;
    private readonly Replica _core;
    private readonly StateKeeper _keeper;
    private readonly ConcurrentQueue<Event> _events = new();
    private readonly ConcurrentDictionary<long, LogLink> _links = new();
    private readonly List<LogLink> _unflushed = [];
    private readonly ConcurrentDictionary<LogLink, byte> _closing = new(); // the core has done with them, and they are not over
    private readonly CancellationTokenSource _stopping;
    private readonly Lock _gate = new();
    private readonly List<Waiter> _waiters = [];
    private volatile NamedFollowers _named = new(null, new HashSet<PeerId>());
    private SharingFacts _facts;
    private volatile bool _grew, _isWanted = true, _isStopped, _isFinding;
    private bool _isPublic, _isUnheard;
    private long _grewPause = GrewPauseMs * Stopwatch.Frequency / 1000, _tookGrowthAt, _paceAt, _lastStream, _addressedMs;
    private LogPlace _paceEnd;
    private int _isTellingLoop;
    private Task _finding = Task.CompletedTask;
    private List<Multiaddr> _from = [];
    private TaskCompletionSource<BecameWriter>? _takingOver;

    /// <summary>Makes it, of a MiMei that stays loaded as long as it is here.</summary>
    public MimeiReplica(ReplicationService service, Mimei mimei, string folder, SharingFacts facts, ReplicaState state, ReplicaMode mode)
    {
        _service = service;
        _work = new SerialWork(Work);
        Mimei = mimei;
        Folder = folder;
        _facts = facts;
        _stopping = CancellationTokenSource.CreateLinkedTokenSource(service.Stopping);
        PrivateKey author = service.Keys.Author;
        _keeper = new StateKeeper(folder, state, service.Log.Warning);
        _store = new ReplicaStore(mimei, (operation, result) => Post(new Event(EventKind.Completed) { Operation = operation, Result = result }), _keeper.Keep, service.Server.Post!);
        _core = new Replica(
            new ReplicaOptions
            {
                Info = mimei.Versions!.Info,
                Node = service.Network.Id,
                WriterKey = author,
                Facts = state.Core,
                MaxFollowers = service.Options.MaxFollowers,
                RecoverMs = service.RecoverMs,
                RecoverFrom = [.. state.Peers.Select(static address => address.TryGetPeerId(out PeerId peer) ? peer : default).Where(static peer => !peer.IsNone).Distinct()],
            },
            _store, this, mode, NowMs);
        mimei.Versions.Begun = (number, position) => Post(new Event(EventKind.Called) { Call = () => _core.VersionBegun(number, position) });
        mimei.Versions.Listed = (_, _) => Post(new Event(EventKind.Called) { Call = VersionListed });
        WriterSet writers = mimei.Versions.Writers;
        writers.Grew = () => Post(new Event(EventKind.Called) { Call = () => _core.Learn(writers.Blocks.TakeLast(LogProtocol.MaxCertificates)) });
        Watch();
        // Somebody may have taken over while this node was away.
        _isUnheard = mode == ReplicaMode.Writer && state.Peers.Count > 0;
        _work.Begin();
    }

    /// <summary>The MiMei.</summary>
    public Mimei Mimei { get; }

    long IClocked.DueAt { get; set; } = long.MaxValue;

    /// <summary>Its id.</summary>
    public LeitherId Mid => Mimei.Id;

    /// <summary>Its folder.</summary>
    public string Folder { get; }

    /// <summary>What was decided.</summary>
    public SharingFacts Facts => Volatile.Read(ref _facts);

    /// <summary>Who may do what with it.</summary>
    public MimeiRights Rights => Mimei.Entry!.Rights;

    /// <summary>Whether the node has nothing to do for it on its own.</summary>
    public bool IsIdle => !Facts.IsProvided && !Rights.IsShared;

    /// <summary>What the core knows and keeps; any thread may ask.</summary>
    public ReplicaFacts? CoreFacts => _keeper.State.Core;

    /// <summary>Whether this node writes it, or will when it has recovered.</summary>
    public bool IsWriter => _core.Mode != ReplicaMode.Follower;

    /// <summary>Whether it writes now: it does not while it recovers.</summary>
    private bool Writes => _core.Mode == ReplicaMode.Writer;

    /// <summary>How far it is.</summary>
    public Position Position => Mimei.Copy is { } copy ? copy.Applied : Mimei.Log?.LastPosition ?? default;

    /// <summary>The newest version that is here.</summary>
    public (ulong Number, Cid Block) NewestVersion => _store.NewestVersion;

    /// <summary>The newest certificate of a writer.</summary>
    public WriterCertificate? Certificate => _core.Certificate;

    /// <summary>The newest place that was signed and seen.</summary>
    public Position HeadSeen => (_core.Seen ?? _core.Head)?.Position ?? default;

    /// <summary>How it stands.</summary>
    public ReplicaStatus Status
    {
        get
        {
            IReadOnlyList<FollowerProgress> followers = _core.Followers;
            IReadOnlySet<PeerId> named = _named.Peers;
            SharingFacts facts = Facts;
            PeerId? writer = WriterNode;
            PeerId? source = _core.Source?.Peer;
            return new ReplicaStatus
            {
                Role = IsWriter ? ReplicaRole.Writer : source is not null || IsFollowing ? ReplicaRole.Follower : ReplicaRole.Idle,
                IsProvided = facts.IsProvided,
                Writer = writer,
                WriterAddresses = writer is { } node ? AddressesOf(node) : [],
                Source = source,
                IsLevel = IsWriter || _core.IsLevel,
                State = Mimei.Copy?.Problem ?? _core.State,
                Position = Position,
                Head = HeadSeen,
                SilentMs = source is { } peer && _links.Values.FirstOrDefault(l => !l.IsInbound && l.Peer == peer) is { } link ? Environment.TickCount64 - link.HeardAt : -1,
                BytesReceived = _core.BytesReceived,
                BytesSent = _core.BytesSent,
                Undone = (long)_core.Undone,
                Refused = _core.BytesRefused,
                Proof = _core.Proof is { } proof ? $"two histories in epoch {proof.Epoch} after entry {proof.Common}, proven by {proof.Cid}" : null,
                Followers = [.. followers.Select(f => new FollowerStatus(
                    f.Peer, AddressOf(f), f.Epoch, f.Written, f.Synced, named.Contains(f.Peer), f.IsOnline ? "online" : "catch-up", SilenceOf(f)))],
                Named = facts.Named,
            };
        }
    }

    /// <summary>Where a follower is: it came from a port by chance, and listens on another one at the same place.</summary>
    private Multiaddr? AddressOf(FollowerProgress follower)
    {
        Multiaddr? seen = _links.TryGetValue(follower.Stream, out LogLink? stream) ? stream.Stream.Connection?.RemoteAddress : null;
        return seen is not null && seen.TryGetIp(out IPAddress? ip) ? AddressesOf(follower.Peer).FirstOrDefault(a => a.TryGetIp(out IPAddress? at) && at.Equals(ip)) ?? seen : seen;
    }

    /// <summary>For how long nothing came from a follower.</summary>
    private long SilenceOf(FollowerProgress follower) => _links.TryGetValue(follower.Stream, out LogLink? link) ? Environment.TickCount64 - link.HeardAt : long.MaxValue;

    private static long NowMs => _startedMs + (long)Stopwatch.GetElapsedTime(_startedAt).TotalMilliseconds;

    private bool IsFollowing => _isWanted || Facts.IsProvided;

    /// <summary>The node that writes, where that is known: whom the newest certificate names, or a source that says so.</summary>
    private PeerId? WriterNode => IsWriter ? _service.Network.Id : _core.Certificate?.Node ?? _writerSource;

    private PeerId? _writerSource;

    /// <summary>What was decided is another, or who may do what.</summary>
    public void Decided(SharingFacts facts, bool? isWanted = null)
    {
        Volatile.Write(ref _facts, facts);
        _isWanted = isWanted ?? _isWanted;
        Post(new Event(EventKind.Called)
        {
            Call = () =>
            {
                SetPublic(Rights.IsPublic);
                _named = new NamedFollowers(null, new HashSet<PeerId>());
                _core.RightsChanged();
            },
        });
    }

    /// <summary>It is wanted here, and may be had there.</summary>
    public void Follow(IReadOnlyList<Multiaddr> from)
    {
        lock (_gate) _from = [.. from.Concat(_from).Distinct().Take(SharingFacts.MaxAddresses)];
        _isWanted = true;
        Schedule();
    }

    /// <summary>The log is open for writing, on this boot of the machine.</summary>
    /// <exception cref="IOException">That could not be written down.</exception>
    public void OpenedForWriting(string boot) => _keeper.Opened(boot);

    /// <summary>How many named providers have written, or made durable, everything up to a place.</summary>
    public int CountNamed(Position position, bool synced) => _core.CountAcknowledged(position, synced, _named.Peers);

    /// <summary>How many named providers follow the log from here and were heard of lately.</summary>
    public int CountInTouch(long withinMs)
    {
        IReadOnlySet<PeerId> named = _named.Peers;
        return _core.Followers.Where(f => f.IsOnline && SilenceOf(f) <= withinMs && named.Contains(f.Peer)).Select(static f => f.Peer).Distinct().Count();
    }

    /// <summary>Serves a stream that a peer opened, until it ends.</summary>
    public Task ServeAsync(PeerStream stream, PeerId peer, MessageReader reader, Message first)
    {
        var link = new LogLink(stream, peer, isInbound: true, _service.Options, this, _stopping.Token);
        Post(new Event(EventKind.Connected) { Link = link });
        link.Took(first);
        return link.RunAsync(reader);
    }

    /// <summary>Follows a source on a stream, until it ends.</summary>
    private async Task FollowAsync(PeerStream stream, PeerId peer)
    {
        await using (stream.ConfigureAwait(false))
        {
            using var reader = new MessageReader(stream);
            var link = new LogLink(stream, peer, isInbound: false, _service.Options, this, _stopping.Token);
            Post(new Event(EventKind.Connected) { Link = link });
            await link.RunAsync(reader).ConfigureAwait(false);
        }

        if (!IsSource(peer)) _service.Network.Services?.Host.Unprotect(peer, Tag);
    }

    /// <summary>Tells followers and sources goodbye; nothing is begun any more.</summary>
    public void SayBye() => Post(new Event(EventKind.Called)
    {
        Call = () =>
        {
            _isStopped = true;
            _core.Stop();
            foreach (LogLink link in _links.Values) link.Complete();
        },
    });

    /// <summary>Waits until what was sent has gone.</summary>
    public async Task FlushAsync()
    {
        var worked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Post(new Event(EventKind.Called) { Call = worked.SetResult });
        await worked.Task.ConfigureAwait(false);
        await Task.WhenAll(_links.Values.Concat(_closing.Keys).Select(static l => l.Sent)).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (!_isStopped) SayBye();
        await FlushAsync().WaitAsync(_service.Options.StopTimeout).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await _stopping.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(_links.Values.Concat(_closing.Keys).Select(static l => l.Over)).ConfigureAwait(false);
        await _finding.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        SetPublic(false);
        Unwatch();
        _service.Clock.Forget(this);
        await Task.Run(() => _keeper.Close(isWhole: _core.Mode != ReplicaMode.Recovering)).ConfigureAwait(false);
        _kept?.Dispose();
        _store.Dispose();
        FailWaiters(new IOException("the node stops"));
        _stopping.Dispose();
    }

    // ------------------------------------------------------------------ the queue

    private enum EventKind
    {
        Connected,
        Received,
        Arriving,
        Malformed,
        Drained,
        Ended,
        Completed,
        Called,
    }

    private readonly record struct Event(EventKind Kind)
    {
        public LogLink? Link { get; init; }

        public Message? Message { get; init; }

        public string? Text { get; init; }

        public long Operation { get; init; }

        public StoreResult Result { get; init; }

        public Action? Call { get; init; }
    }

    void ILogLinkOwner.Received(LogLink link, Message message)
    {
        _events.Enqueue(new Event(EventKind.Received) { Link = link, Message = message });
        _work.WakeHere();
    }

    void ILogLinkOwner.Arriving(LogLink link) => Post(new Event(EventKind.Arriving) { Link = link });

    void ILogLinkOwner.Drained(LogLink link) => Post(new Event(EventKind.Drained) { Link = link });

    void ILogLinkOwner.Ended(LogLink link, Exception? problem)
    {
        if (problem is MalformedMessageException malformed) Post(new Event(EventKind.Malformed) { Link = link, Text = malformed.Message });
        Post(new Event(EventKind.Ended) { Link = link });
    }

    /// <summary>The log grew, or more of it is durable: called by the loop's thread, and cheap.</summary>
    private void Grew()
    {
        Interlocked.MemoryBarrier(); // whoever takes the flag back sees what grew
        if (_grew) return; // it is seen to in a moment
        _grew = true;
        _service.Clock.Wake(this, Volatile.Read(ref _tookGrowthAt) + Volatile.Read(ref _grewPause));
    }

    /// <summary>How long to wait for more of a log that grows so fast.</summary>
    private void Pace()
    {
        long now = Stopwatch.GetTimestamp();
        LogEnd end = _store.End;
        long grown = end.Segment == _paceEnd.Segment ? end.Length - _paceEnd.Length : end.Length;
        double ms = Math.Max(1, Stopwatch.GetElapsedTime(_paceAt, now).TotalMilliseconds);
        (_paceAt, _paceEnd) = (now, new LogPlace(end.Segment, end.Length));
        double pause = Math.Clamp(GrewPauseMs + (grown / ms / BytesPerPauseMs), GrewPauseMs, LongestGrewPauseMs);
        Volatile.Write(ref _grewPause, (long)(pause * Stopwatch.Frequency / 1000));
    }

    void IClocked.Due(bool isAlone)
    {
        if (isAlone) _work.WakeHere();
        else _work.Wake();
    }

    private void Post(in Event happened)
    {
        _events.Enqueue(happened);
        Schedule();
    }

    private void Schedule() => _work.Wake();

    private void Work()
    {
        Guard(null, () => _core.Tick(NowMs));
        while (_events.TryDequeue(out Event happened))
        {
            Event current = happened;
            Guard(current.Link, () => Happen(current));
        }

        if (_grew && !_isStopped) TakeGrowth();
        Flush();
        if (_isStopped) return;
        Guard(null, LookAround);
        // Who has nobody to talk to rests; whoever comes wakes it.
        long next = _links.IsEmpty && Writes ? NowMs + RestMs : _core.NextTickMs;
        _service.Clock.Wake(this, ReplicaClock.Now + (Math.Max(0, next - NowMs) * Stopwatch.Frequency / 1000));
    }

    /// <summary>Sees to a log that grew; of one that is written here not again after a moment only, or it would be done as fast as followers answer.</summary>
    private void TakeGrowth()
    {
        long now = Stopwatch.GetTimestamp(), at = _tookGrowthAt + _grewPause;
        if (at > now && Writes)
        {
            _service.Clock.Wake(this, at);
            return;
        }

        Volatile.Write(ref _tookGrowthAt, now);
        _grew = false;
        Interlocked.MemoryBarrier();
        Guard(null, Pace);
        Guard(null, _core.LogGrew);
        // Where it grew just now it will again: the clock need not be told then.
        _service.Clock.Wake(this, now + _grewPause);
    }

    private void Flush()
    {
        // To encrypt for one is no work to wake another thread for; for several these share it.
        for (int i = 0; i < _unflushed.Count; i++) _unflushed[i].Flush(isHere: i + 1 == _unflushed.Count);
        _unflushed.Clear();
    }

    /// <summary>What goes wrong with a stream, or with the disk while it is served, ends the stream.</summary>
    private void Guard(LogLink? link, Action work)
    {
        try
        {
            work();
        }
        catch (Exception e) when (e is IOException or MimeiException or ObjectDisposedException)
        {
            if (!_stopping.IsCancellationRequested) _service.Log.Warning($"MiMei {Mid}, sharing it{(link is null ? "" : $" with {link.Peer}")}: {e.Message}");
            link?.Abort();
        }
    }

    private void Happen(in Event happened)
    {
        switch (happened.Kind)
        {
            case EventKind.Connected:
                LogLink link = happened.Link!;
                link.Number = ++_lastStream;
                _links[link.Number] = link;
                _core.Connected(link.Number, link.Peer, isSource: !link.IsInbound);
                Watch();
                break;
            case EventKind.Received:
                try
                {
                    if (_links.ContainsKey(happened.Link!.Number)) _core.Received(happened.Link.Number, happened.Message!);
                }
                finally
                {
                    happened.Link!.Worked();
                }

                break;
            case EventKind.Arriving:
                if (_links.ContainsKey(happened.Link!.Number)) _core.Arriving(happened.Link.Number);
                break;
            case EventKind.Malformed:
                if (_links.ContainsKey(happened.Link!.Number)) _core.Malformed(happened.Link.Number, happened.Text!);
                break;
            case EventKind.Drained:
                if (_links.ContainsKey(happened.Link!.Number)) _core.Writable(happened.Link.Number);
                break;
            case EventKind.Ended:
                if (_links.TryRemove(happened.Link!.Number, out _)) _core.Disconnected(happened.Link.Number);
                Watch();
                break;
            case EventKind.Completed:
                _core.Completed(happened.Operation, happened.Result);
                Watch();
                break;
            case EventKind.Called:
            default:
                happened.Call!();
                break;
        }
    }

    /// <summary>Asks the log of the moment to tell when it grows: another one does after a promotion.</summary>
    private void Watch()
    {
        if (Mimei.Copy is { } copy)
        {
            copy.Advanced = Grew;
            copy.Log.Written = Grew;
            copy.Log.DroppedBack = Grew;
        }
        else if (Mimei.Log is { } log)
        {
            // Who has no followers need not be told.
            log.Written = _links.IsEmpty ? null : Grew;
            log.AwaitsDigests = !_links.IsEmpty;
        }
    }

    private void Unwatch()
    {
        if (Mimei.Versions is { } versions) (versions.Begun, versions.Listed, versions.Writers.Grew) = (null, null, null);
        if (Mimei.Copy is { } copy) copy.Advanced = null;
        if (Mimei.Log is { } log) (log.Written, log.AwaitsDigests) = (null, false);
    }

    private void VersionListed()
    {
        _core.VersionsChanged();
        if (Rights.IsPublic) _service.VersionListed(this);
    }

    // ------------------------------------------------------------------ what the core asks for

    void IReplicaPort.Send(long stream, Message message)
    {
        if (!_links.TryGetValue(stream, out LogLink? link)) return;
        bool isListed = link.IsUnflushed;
        link.Send(message);
        if (!isListed && link.IsUnflushed) _unflushed.Add(link);
    }

    int IReplicaPort.Room(long stream) => _links.TryGetValue(stream, out LogLink? link) ? link.Room : 0;

    void IReplicaPort.Close(long stream)
    {
        if (!_links.TryRemove(stream, out LogLink? link)) return;
        _closing.TryAdd(link, 0);
        link.Complete();
        _ = EndAsync(link);
    }

    bool IReplicaPort.MayRead(PeerId peer, ReadOnlySpan<byte> proof)
    {
        if (Rights.IsPublic || peer.IsNone) return Rights.IsPublic;
        PublicKey? user = UserProof.Check(proof, peer, _service.Network.Id, Mid, DateTimeOffset.UtcNow.ToUnixTimeMilliseconds());
        return Mimei.Entry!.RightsOf(user is null ? MimeiCaller.Of(peer) : MimeiCaller.Of(peer, user)).HasFlag(MimeiRight.Read);
    }

    ReadOnlyMemory<byte> IReplicaPort.ProofFor(PeerId peer) =>
        UserProof.Make(_service.Keys.Author, _service.Network.Id, peer, Mid, DateTimeOffset.UtcNow.ToUnixTimeMilliseconds());

    void IReplicaPort.Report(ReplicaEvent happened)
    {
        switch (happened)
        {
            case EntriesUndone undone:
                _service.Log.Warning($"MiMei {Mid}: its writer took back {undone.Entries} entries, those after {undone.After} up to {undone.Last}; their bytes are kept in {Folder}");
                break;
            case HistoryForked forked:
                _service.Log.Warning($"MiMei {Mid}: its writer signed two histories in epoch {forked.Proof.Epoch}, after entry {forked.Proof.Common}. Nothing more of that epoch is followed");
                break;
            case PeerRefused refused:
                _service.Log.Notice($"MiMei {Mid}: {refused.Peer} is no source{(refused.UntilMs == long.MaxValue ? "" : " for a while")}: {refused.Text}");
                break;
            case OldHeadShown old:
                _service.Log.Notice($"MiMei {Mid}: {old.Peer} shows {old.Shown}, and {old.Seen} was seen");
                break;
            case WriterFenced fenced:
                _service.Log.Warning($"MiMei {Mid} is written by {fenced.Certificate.Node} from now on: this node follows it. What it wrote after {fenced.Certificate.After} is kept as a fork");
                break;
            case BecameWriter became:
                _service.Log.Notice($"MiMei {Mid} is written here from now on, in epoch {became.Epoch} after {became.After}" + (became.Abandoned == 0 ? "" : $"; {became.Abandoned} entries are lost"));
                _keeper.OpenedAgain(ReplicationService.Boot);
                Interlocked.Exchange(ref _takingOver, null)?.TrySetResult(became);
                // Whoever wrote before is told.
                _isUnheard = true;
                break;
            case StateDiffers differs:
                _service.Log.Warning($"MiMei {Mid}: the state of version {differs.Number} ({differs.Block}) is another here than the one that its author signed");
                break;
            case VersionMalformed malformed:
                _service.Log.Warning($"MiMei {Mid}: version {malformed.Number} ({malformed.Block}) cannot be had from anybody, for its author signed what cannot be read: {malformed.Text}");
                break;
            case StoreFailed failed:
                _service.Log.Warning($"MiMei {Mid} is not followed for the moment: {failed.Failure.Message}");
                break;
            case BecameLevel:
            default:
                break;
        }
    }

    private async Task EndAsync(LogLink link)
    {
        await Task.WhenAny(link.Over, Task.Delay(_closeTimeout, CancellationToken.None)).ConfigureAwait(false);
        link.Abort();
        _closing.TryRemove(link, out _);
    }

    private void SetPublic(bool isPublic)
    {
        lock (_gate)
        {
            if (isPublic == _isPublic) return;
            _isPublic = isPublic;
            if (isPublic) _service.Network.PublicBlocks.Add(_store);
            else _service.Network.PublicBlocks.Remove(_store);
        }
    }

    private IReadOnlyList<Multiaddr> AddressesOf(PeerId peer) =>
        _service.Network.Services?.Host is not { } host ? [] : peer == host.Id ? host.Addresses : host.Peers.GetAddresses(peer);
}
