// Who may write, and the change of roles: a certificate fences who wrote before, a takeover makes the follower the writer, and a writer that ended uncleanly follows
// until it has back what it signed. In each case the epoch is durably known before anything is signed in it.

using Leither.Ipfs;
using Leither.Ipfs.Keys;
using Leither.MmDb.Log;
using Leither.MmDb.Writers;

namespace Leither.Replication;

public sealed partial class Replica
{
    private WriterCertificate? _takeover;
    private bool _isFenced, _isRecovered;

    // Whether the log may be a copy no more, and is not the writer's yet. It becomes that one first, whoever writes meanwhile.
    private bool _isHalfWriter;
    private long _recoverUntil, _recoverAtMost;

    /// <summary>Takes certificates that came some other way than from a peer: with versions that were imported.</summary>
    public void Learn(IEnumerable<ReadOnlyMemory<byte>> certificates)
    {
        foreach (ReadOnlyMemory<byte> certificate in certificates)
        {
            TakeCertificate(certificate, null, out _);
        }

        Decide();
    }

    private void TakeCertificate(ReadOnlyMemory<byte> block, SourceStream? from, out string? problem)
    {
        problem = null;
        try
        {
            if (!_writers.Add(block, out WriterCertificate? other))
            {
                if (other is not null && Proof is null)
                {
                    TryProve(new Equivocation { A = other.Block, B = block.ToArray() });
                }

                return;
            }
        }
        catch (MalformedBlockException e)
        {
            problem = e.Message;
            return;
        }

        Certificate = _writers.Newest;
        foreach (SourceStream source in _sources.Values)
        {
            source.IsWriter = source.Peer == Certificate!.Node; // who was it before has no news any more
        }

        Resume();
        if ((Mode != ReplicaMode.Follower || _takeover is not null) && Certificate!.Node != _options.Node)
        {
            Fence();
            _port.Report(new WriterFenced(Certificate));
        }

        Save(isUrgent: true);
        foreach (SourceStream source in _sources.Values)
        {
            if (source != from && source.IsOpen)
            {
                _port.Send(source.Stream, new CertificateTold(block));
            }
        }

        ServeAll();
    }

    /// <summary>Another writes: from this moment nothing is signed here, and the log becomes a copy as soon as nothing is under way.</summary>
    private void Fence()
    {
        _isFenced = Mode == ReplicaMode.Writer;
        if (!_isHalfWriter)
        {
            (_takeover, _isRecovered, _nextEpoch) = (null, false, 0);
        }

        Mode = ReplicaMode.Follower;
        _headDueMs = long.MaxValue;
        NeedsSources = true;
    }

    /// <summary>
    /// A takeover by this node that ended before it was done, is done: it fetches what others have of the writer before, in so far as that takes no longer than a
    /// returning writer may take, and writes.
    /// </summary>
    private void Resume()
    {
        if (Mode == ReplicaMode.Follower && _takeover is null && Certificate is { } certificate && certificate.Node == _options.Node && _key is { } key
            && certificate.Writer.Span.SequenceEqual(key.PublicKey.Bytes))
        {
            Mode = ReplicaMode.Recovering;
            (_recoverUntil, _recoverAtMost) = (_now + _options.RecoverMs, _now + _options.RecoverAtMostMs);
        }
    }

    /// <summary>
    /// Whether a head is of a writer who was not fenced. A node that is to write next takes what there is of the one before, as long as it wrote nothing itself: of the one
    /// whose epoch its certificate names. Others' histories may part before the place that it goes on behind.
    /// </summary>
    private bool IsOfTerm(Head head) => head.Term >= _writers.Term
        || (Mode == ReplicaMode.Recovering && head.Segment.Epoch >= _log.Segment.Epoch && head.Segment.Epoch == _writers.Newest!.After.Epoch);

    /// <summary>Whether the history up to a place is the one that is here, as far as can be told: of an epoch in which nothing was written nothing is here.</summary>
    private bool Has(Position position) => _log.To >= position.Sequence
        && (LastOf(position.Epoch) is > 0 and var last ? last >= position.Sequence : _log.Segment.Epoch < position.Epoch || position.Sequence == 0);

    private void StopFollowing()
    {
        LeavePlan();
        ForgetFiles();
        foreach (SourceStream source in _sources.Values)
        {
            if (source.IsOpen && _writers.Newest is { } newest)
            {
                _port.Send(source.Stream, new CertificateTold(newest.Block));
            }
        }
    }

    /// <summary>The copy becomes the writer's log, or the writer's log a copy. Nothing is under way.</summary>
    private void ChangeRole()
    {
        if (_isFenced)
        {
            _isFenced = false;
            _isExclusive = true;
            State = "was fenced";
            _store.Demote(Begin(result =>
            {
                _isExclusive = false;
                if (result.Failure is { } failure)
                {
                    _isFenced = true;
                    _retryAt = _now + 1000;
                    _port.Report(new StoreFailed(failure));
                    return;
                }

                _log.Open(_store);
                ForgetUselessVersions();
                Head = Head is { } head && Head.Compare(head.Place, _log.Place) <= 0 ? head : null;
            }));
            return;
        }

        if (!_isRecovered && _takeover is null)
        {
            return;
        }

        // The epoch is durably known to be used before anything is signed in it.
        if (_nextEpoch == 0)
        {
            _nextEpoch = Math.Max(Math.Max(Math.Max(_log.Segment.Epoch, _durableEpoch), Seen?.Segment.Epoch ?? 0) + 1, _writers.Newest?.Epoch ?? 0);
        }

        ulong least = _takeover?.Epoch ?? _nextEpoch;
        if (_savingEpoch < least)
        {
            _savingEpoch = least;
            Save(isUrgent: true);
            return;
        }

        if (_durableEpoch < _savingEpoch)
        {
            return;
        }

        ulong epoch = _savingEpoch;
        ulong abandoned = Seen is { } seen && _key is { } key && seen.Writer.Span.SequenceEqual(key.PublicKey.Bytes) && seen.To > _log.To ? seen.To - _log.To : 0;
        _isExclusive = _isHalfWriter = true;
        var after = new Position(_log.Segment.Epoch, _log.To);
        State = "begins to write";
        _store.Promote(
            Begin(result =>
            {
                _isExclusive = false;
                _isHalfWriter = result.Failure is IOException and not LogUndoneException;
                if (result.Failure is { } failure)
                {
                    _port.Report(new StoreFailed(failure));
                    _retryAt = _now + 1000;
                    if (failure is LogUndoneException)
                    {
                        GoBack(_store.End.Place);
                    }

                    return;
                }

                (_takeover, _isRecovered, _nextEpoch) = (null, false, 0);
                Certificate = _writers.Newest;
                Mode = ReplicaMode.Writer;
                if (_writers.Term > WriterCertificate.TermOf(epoch))
                {
                    // Another was named meanwhile.
                    Fence();
                    Resume();
                    return;
                }

                NeedsSources = false;
                IsLevel = IsComplete = true;
                State = "writes";
                Seen = Head = null;
                _writeEpoch = epoch;
                _log.Open(_store);
                _port.Report(new BecameWriter(epoch, after, abandoned));
                Save(isUrgent: false);
                SignHead();
                ServeAll();
            }),
            epoch);
    }
}
