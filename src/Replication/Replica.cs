// One MiMei on one node, as replication sees it. A state machine: streams, messages, completions and the time come in; messages and operations go out. There is
// no I/O here, no thread and no clock, so that a whole network runs in one test, from one seed. Replica.Source.cs is the source's side, Replica.Follower.cs the
// follower's (it says where the rest of that is).

using Leither.Ipfs.Keys;
using Leither.MmDb.Log;
using Leither.MmDb.Writers;

namespace Leither.Replication;

/// <summary>What a replica does.</summary>
public enum ReplicaMode
{
    /// <summary>It follows who writes, and serves others.</summary>
    Follower,

    /// <summary>It is the writer's, and serves others.</summary>
    Writer,

    /// <summary>It was the writer's, ended uncleanly, and fetches from followers what it signed and may have lost; then it writes, in a new epoch.</summary>
    Recovering,
}

/// <summary>A follower, as its source sees it.</summary>
/// <param name="Stream">Its stream.</param>
/// <param name="Peer">Which node.</param>
/// <param name="Epoch">The epoch that it is in.</param>
/// <param name="Written">The last entry that is written there.</param>
/// <param name="Synced">The last entry that is durable there.</param>
/// <param name="IsOnline">Whether it rides the tail.</param>
/// <param name="HeardMs">When it was last heard.</param>
public sealed record FollowerProgress(long Stream, PeerId Peer, ulong Epoch, ulong Written, ulong Synced, bool IsOnline, long HeardMs);

/// <summary>A source, as its follower sees it.</summary>
/// <param name="Stream">Its stream.</param>
/// <param name="Peer">Which node.</param>
/// <param name="Head">The last entry that its head covers.</param>
/// <param name="IsWriter">Whether it says to be the writer's node.</param>
/// <param name="IsFollowed">Whether the tail comes from it.</param>
/// <param name="Refusal">Why it gives nothing; null: it does.</param>
/// <param name="HeardMs">When it was last heard.</param>
public sealed record SourceProgress(long Stream, PeerId Peer, Position Head, bool IsWriter, bool IsFollowed, string? Refusal, long HeardMs);

/// <summary>
/// The replication of one MiMei on one node. One thread at a time calls it; what says "any thread" is an immutable picture.
/// </summary>
/// <remarks>
/// A driver gives it streams (one for each follower and MiMei: <see cref="LogProtocol"/>), calls <see cref="Tick"/> at <see cref="NextTickMs"/> and with whatever time
/// it is before any other call, and does what <see cref="IReplicaPort"/> and <see cref="IReplicaStore"/> are asked for.
/// </remarks>
public sealed partial class Replica
{
    private readonly ReplicaOptions _options;
    private readonly IReplicaStore _store;
    private readonly IReplicaPort _port;
    private readonly LeitherId _mid;
    private readonly ReadOnlyMemory<byte> _info;
    private readonly WriterSet _writers;
    private readonly PeerBook _peers = new();
    private readonly Dictionary<long, Action<StoreResult>> _operations = [];
    private LocalLog _log;
    private PrivateKey? _key;
    private long _now, _lastOperation;
    private bool _isStopped, _isDeciding, _decideAgain;

    // Of the epochs that this node writes: the newest that is durably known to be used. In none beyond it a head is signed: a loss of power could make the node use it
    // again, for other entries.
    private ulong _durableEpoch, _savingEpoch, _writeEpoch, _nextEpoch;

    /// <summary>Makes a replica of what the store has.</summary>
    /// <param name="options">What it is told.</param>
    /// <param name="store">The MiMei here: a copy for <see cref="ReplicaMode.Follower"/> and <see cref="ReplicaMode.Recovering"/>, a writer's log for <see cref="ReplicaMode.Writer"/>.</param>
    /// <param name="port">The network.</param>
    /// <param name="mode">What it begins as.</param>
    /// <param name="nowMs">The time: milliseconds that only grow, and go on after a restart (Unix time will do).</param>
    public Replica(ReplicaOptions options, IReplicaStore store, IReplicaPort port, ReplicaMode mode, long nowMs)
    {
        (_options, _store, _port, _key, _now) = (options, store, port, options.WriterKey, nowMs);
        Mode = mode;
        byte[] info = options.Info.Encode();
        (_info, _mid) = (info, LeitherId.Of(info));
        _writers = new WriterSet(
            _mid, PublicKey.TryFromProtobuf(options.Info.Author.Span, out PublicKey? author) ? author : throw new ArgumentException("The MiMei's author has no Ed25519 key.", nameof(options)),
            LogProtocol.MaxCertificates);
        Recall(options.Facts);
        _log = new LocalLog(_mid, _writers.WriterOf);
        _log.Open(store);
        if (Seen is { } seen && seen.Segment.Epoch == _log.Segment.Epoch && Head.Compare(seen.Place, _log.Place) <= 0)
        {
            Head = seen;
        }

        (_recoverUntil, _recoverAtMost) = (nowMs + options.RecoverMs, nowMs + options.RecoverAtMostMs);
        Resume();
        if (mode != ReplicaMode.Follower && Certificate is { } newest && newest.Node != options.Node)
        {
            Fence(); // it ended before that was done
        }

        if (Mode == ReplicaMode.Writer)
        {
            Seen = Head = null; // it signs its own
            _writeEpoch = _durableEpoch;
            SignHead();
        }

        NeedsSources = Mode != ReplicaMode.Writer && options.Follows;
        Decide();
    }

    // ------------------------------------------------------------------ what comes in

    /// <summary>A stream of the protocol was opened: to a source by this node, or by a follower.</summary>
    public void Connected(long stream, PeerId peer, bool isSource)
    {
        if (_isStopped)
        {
            _port.Close(stream);
            return;
        }

        if (isSource)
        {
            SourceConnected(stream, peer);
        }
        else
        {
            FollowerConnected(stream, peer);
        }
    }

    /// <summary>A stream ended.</summary>
    public void Disconnected(long stream)
    {
        if (_followers.Remove(stream))
        {
            TellProgress();
        }
        else if (_sources.TryGetValue(stream, out SourceStream? source))
        {
            Drop(source);
            Decide();
        }
    }

    /// <summary>A message came.</summary>
    public void Received(long stream, Message message)
    {
        if (_isStopped)
        {
            return;
        }

        if (_followers.TryGetValue(stream, out FollowerStream? follower))
        {
            follower.HeardMs = _now;
            FromFollower(follower, message);
        }
        else if (_sources.TryGetValue(stream, out SourceStream? source))
        {
            source.HeardMs = _now;
            source.IsAsked = false;
            FromSource(source, message);
            Decide();
        }
    }

    /// <summary>
    /// A part of a message came that is not whole yet: over a slow way one takes longer than a source may be silent. It is to be told of now and then, and not of a trickle:
    /// with each <see cref="LogProtocol.ArrivingBytes"/>.
    /// </summary>
    public void Arriving(long stream)
    {
        if (_isStopped)
        {
            return;
        }

        if (_followers.TryGetValue(stream, out FollowerStream? follower))
        {
            follower.HeardMs = _now;
        }
        else if (_sources.TryGetValue(stream, out SourceStream? source))
        {
            source.HeardMs = source.ArrivingMs = _now;
            source.IsAsked = false;
            if (source.IsOpen && _now - source.AcknowledgedMs >= _options.SilenceMs / 2)
            {
                // Its question whether this node lives stands behind all that is on its way.
                source.AcknowledgedMs = _now;
                _port.Send(stream, source.Acknowledged);
            }
        }
    }

    /// <summary>Something came that is no message; the stream is closed, and the peer remembered.</summary>
    public void Malformed(long stream, string text)
    {
        if (_followers.TryGetValue(stream, out FollowerStream? follower))
        {
            SendAway(follower, ByeCode.Fault, text);
        }
        else if (_sources.TryGetValue(stream, out SourceStream? source))
        {
            Fault(source, FaultReason.Protocol, text);
            Decide();
        }
    }

    /// <summary>A stream that had no room has some again.</summary>
    public void Writable(long stream)
    {
        if (!_isStopped && _followers.TryGetValue(stream, out FollowerStream? follower))
        {
            Serve(follower);
        }
    }

    /// <summary>It is this late.</summary>
    public void Tick(long nowMs)
    {
        _now = Math.Max(_now, nowMs);
        if (_isStopped)
        {
            return;
        }

        if (_headDueMs <= _now)
        {
            SignHead();
        }

        TickFollowers();
        TickSources();
        Decide();
    }

    /// <summary>When <see cref="Tick"/> is to be called at the latest.</summary>
    public long NextTickMs => Math.Min(_headDueMs, Math.Min(_stepDueMs, _now + TickMs));

    /// <summary>The log grew, was cut, or more of it is durable (<see cref="IReplicaStore.End"/>): of a writer with each turn, of a copy where more is durable, or less is there.</summary>
    public void LogGrew()
    {
        if (_isStopped)
        {
            return;
        }

        if (Mode != ReplicaMode.Writer)
        {
            if (_appends == 0 && !_isExclusive && _store.End.WrittenSequence < _log.To)
            {
                // Its disk failed, and it gave up what was not durable: that is fetched again.
                LeavePlan();
                _hasFailed = true;
                Decide();
            }

            Acknowledge(false);
            return;
        }

        if (_followers.Count > 0)
        {
            LogEnd end = _store.End;
            long grown = end.Segment == _signedEnd.Segment ? end.Length - _signedEnd.Length : LogProtocol.HeadIntervalBytes;
            if (_now - _signedMs >= LogProtocol.HeadIntervalMs || grown >= LogProtocol.HeadIntervalBytes)
            {
                SignHead();
            }
            else
            {
                _headDueMs = Math.Min(_headDueMs, _signedMs + LogProtocol.HeadIntervalMs);
            }
        }

        ServeAll();
    }

    /// <summary>This node's writer begins a version at an entry, where it cut the log.</summary>
    public void VersionBegun(ulong number, Position position)
    {
        _begun = new Mark(number, position);
        ServeAll();
    }

    /// <summary>The list of versions is another.</summary>
    public void VersionsChanged()
    {
        if (Mode == ReplicaMode.Writer)
        {
            SignHead();
        }

        ServeAll();
    }

    /// <summary>An operation of the store has ended.</summary>
    public void Completed(long operation, StoreResult result)
    {
        if (_operations.Remove(operation, out Action<StoreResult>? done) && !_isStopped)
        {
            done(result);
            Decide();
        }
    }

    /// <summary>Who may have the MiMei has changed: followers that may not any more are sent away.</summary>
    public void RightsChanged()
    {
        foreach (FollowerStream follower in _followers.Values.ToArray())
        {
            if (follower.IsWelcome && !_port.MayRead(follower.Peer, follower.Proof.Span))
            {
                SendAway(follower, ByeCode.NotFound, NotFoundText);
            }
        }
    }

    /// <summary>
    /// This node writes from now on. It has everything up to the certificate's <see cref="WriterCertificate.After"/>, or nothing is done.
    /// </summary>
    /// <returns>Why it cannot; null: it is under way, and <see cref="BecameWriter"/> tells when it is done.</returns>
    public string? TakeOver(WriterCertificate certificate, PrivateKey writer)
    {
        if (certificate.Mid != _mid || certificate.Node != _options.Node || !certificate.Writer.Span.SequenceEqual(writer.PublicKey.Bytes))
        {
            return "the certificate is for another MiMei, node, or key";
        }

        if (certificate.Term <= _writers.Term)
        {
            return $"the certificate is for term {certificate.Term}, and term {_writers.Term} has begun";
        }

        if (_store.End.WrittenSequence < certificate.After.Sequence)
        {
            return $"this node has the log up to {_store.End.WrittenSequence}, and the certificate says that it goes on behind {certificate.After.Sequence}";
        }

        if (!Has(certificate.After))
        {
            return $"entry {certificate.After}, behind which the certificate says that it goes on, was taken back here";
        }

        if (_takeover is not null)
        {
            return "a takeover is under way";
        }

        if (Mode == ReplicaMode.Writer)
        {
            return "this node writes already";
        }

        try
        {
            _writers.Add(certificate.Block, out _);
        }
        catch (Ipfs.MalformedBlockException e)
        {
            return e.Message;
        }

        _takeover = certificate;
        _key = writer;
        Save(isUrgent: true);
        StopFollowing();
        Decide();
        return null;
    }

    /// <summary>Signs what was written last and says goodbye. Nothing is sent afterwards.</summary>
    public void Stop()
    {
        if (_isStopped)
        {
            return;
        }

        if (Mode == ReplicaMode.Writer)
        {
            SignHead();
            ServeAll();
        }

        Save(isUrgent: false);
        foreach (long stream in _followers.Keys.Concat(_sources.Keys))
        {
            _port.Send(stream, new Bye(ByeCode.Closing, "the node stops"));
            _port.Close(stream);
        }

        _followers.Clear();
        _sources.Clear();
        TellProgress();
        _isStopped = true;
    }

    // ------------------------------------------------------------------ how it stands (any thread, unless it says otherwise)

    /// <summary>What it does.</summary>
    public ReplicaMode Mode { get; private set; }

    /// <summary>The newest head that covers what is here; null: none.</summary>
    public Head? Head { get; private set; }

    /// <summary>The newest head that was seen of anybody; null: none.</summary>
    public Head? Seen { get; private set; }

    /// <summary>Whether everything that the sources have is here, and applied.</summary>
    public bool IsLevel { get; private set; }

    /// <summary>Whether it is level, and lists each version of its sources that can be had: nothing more is to come from them now.</summary>
    public bool IsComplete { get; private set; }

    /// <summary>Whether it looks for sources: it has none, or none that helps.</summary>
    public bool NeedsSources { get; private set; }

    /// <summary>What it is about, in a word or a sentence.</summary>
    public string State { get; private set; } = "";

    /// <summary>Whom it follows; null: nobody.</summary>
    public SourceProgress? Source { get; private set; }

    /// <summary>The newest certificate; null: the author's key writes.</summary>
    public WriterCertificate? Certificate { get; private set; }

    /// <summary>That the writer signed two histories; null: it did not.</summary>
    public Equivocation? Proof { get; private set; }

    /// <summary>Who follows.</summary>
    public IReadOnlyList<FollowerProgress> Followers { get; private set; } = [];

    /// <summary>Who is followed, or might be. (Not any thread.)</summary>
    public IReadOnlyList<SourceProgress> Sources => [.. _sources.Values.Select(Picture)];

    /// <summary>Bytes of log and blocks that came.</summary>
    public long BytesReceived { get; private set; }

    /// <summary>Bytes of log and blocks that went to others.</summary>
    public long BytesSent { get; private set; }

    /// <summary>Bytes that were refused, for they did not fit what is signed.</summary>
    public long BytesRefused { get; private set; }

    /// <summary>Blocks that came.</summary>
    public long BlocksReceived { get; private set; }

    /// <summary>Entries that a writer took back since this was made.</summary>
    public ulong Undone { get; private set; }

    /// <summary>How often a source showed less than is here.</summary>
    public long OldHeads { get; private set; }

    /// <summary>Bytes that came and are held until they are verified or their turn comes, and verified ones that are not applied.</summary>
    public long BytesHeld => _pieceBytes + _heldBytes + _unapplied;

    /// <summary>Whether a peer is not to be dialled as a source now. (Not any thread.)</summary>
    public bool IsRefused(PeerId peer) => _peers.IsRefused(peer, _now);

    /// <summary>How many of these peers have written, or made durable, everything up to a place.</summary>
    public int CountAcknowledged(Position position, bool synced, IReadOnlySet<PeerId> peers)
    {
        int count = 0;
        IReadOnlyList<FollowerProgress> followers = Followers;
        foreach (PeerId peer in peers)
        {
            foreach (FollowerProgress follower in followers)
            {
                if (follower.Peer == peer && follower.Epoch >= position.Epoch && (synced ? follower.Synced : follower.Written) >= position.Sequence)
                {
                    count++;
                    break;
                }
            }
        }

        return count;
    }

    // ------------------------------------------------------------------ facts

    private void Recall(ReplicaFacts? facts)
    {
        if (facts is null)
        {
            return;
        }

        _peers.Load(facts.Refused);
        _durableEpoch = _savingEpoch = facts.Epoch;
        foreach (ReadOnlyMemory<byte> certificate in facts.Certificates)
        {
            _writers.Add(certificate, out _);
        }

        Certificate = _writers.Newest;
        Seen = facts.Head.IsEmpty ? null : Head.Decode(facts.Head, _mid);
        Proof = facts.Proof.IsEmpty ? null : Equivocation.Decode(facts.Proof.Span, _mid, _writers.Author);
    }

    private void Save(bool isUrgent)
    {
        ulong epoch = _savingEpoch;
        _store.Save(
            Begin(result =>
            {
                if (result.Failure is { } failure)
                {
                    _port.Report(new StoreFailed(failure));
                    _savingEpoch = _durableEpoch;
                }
                else
                {
                    _durableEpoch = Math.Max(_durableEpoch, epoch);
                    if (Mode == ReplicaMode.Writer)
                    {
                        SignHead();
                        ServeAll();
                    }
                }
            }),
            new ReplicaFacts
            {
                Head = Seen?.Block ?? default,
                IsWriter = Mode != ReplicaMode.Follower || _takeover is not null, // who recovers is to go on with that after a restart
                Epoch = epoch,
                Proof = Proof?.Encode() ?? default(ReadOnlyMemory<byte>),
                Refused = _peers.All,
                Certificates = _writers.Blocks,
            },
            isUrgent);
    }

    private long Begin(Action<StoreResult> done)
    {
        _operations.Add(++_lastOperation, done);
        return _lastOperation;
    }
}
