// What a follower does next. A plan is about one source's head: it compares histories, fetches what is missing, and rides the tail; or it is left, and another
// source is chosen. Everything that comes in ends in one call of Decide, so that no handler has to know what is possible now.

using Leither.MmDb.Log;

namespace Leither.Replication;

public sealed partial class Replica
{
    // Where nothing new was heard for so long, and none of the sources writes, other sources may know more.
    private const int NewsMs = 10_000;

    // How long whoever's tail is ridden may come no nearer to a head while others show more. What has come of it is lost with the plan, so that over a slow way none would ever
    // get there: it is twice as long each time, until bytes were covered.
    private const int MinPatienceMs = 1000, MaxPatienceMs = 60_000;

    private Phase _phase;
    private SourceStream? _active;
    private Head? _target;
    private bool _isExclusive, _hasFailed, _isAheadOfLog, _mustLoad, _wasLevel;
    private (ulong Epoch, ulong Last, ulong Same)? _halfGone; // what was here before a change to another state that failed halfway
    private long _retryAt, _readAt, _retryMs, _stepDueMs = long.MaxValue, _progressMs, _patienceMs, _newsMs;

    private enum Phase
    {
        /// <summary>No source is used.</summary>
        Idle,

        /// <summary>Nodes are asked for.</summary>
        Nodes,

        /// <summary>The block of the first segment that may differ is asked for.</summary>
        Compare,

        /// <summary>Segments are asked for.</summary>
        Segments,

        /// <summary>A version's state is asked for.</summary>
        State,

        /// <summary>The tail is ridden.</summary>
        Riding,

        /// <summary>A segment whose bytes contradict is read again, whole.</summary>
        Audit,
    }

    /// <summary>What is under way, for who looks at a test that failed.</summary>
    internal string Plan => $"{_phase} of {_active?.Peer}: {_chain.Count} nodes, {_wants.Count} wants ({_unasked.Count} not asked), state {_state}, "
        + $"{_puts} puts, {_appends} appends, {_pieces.Count} pieces, version {_version?.Number}, exclusive {_isExclusive}, failed {_hasFailed}, must load {_mustLoad}, log {_log.Place}, "
        + $"versions asked {_askedVersions.Count}, arrived {_arrived.Count}, files {_files}, withheld {_withheld.Count}, under way {(_adopting.IsNone ? 0 : 1)}, of no use {_useless.Count}, "
        + $"useless {_sources.Values.Count(static s => s.Useless is not null && s.Useless == s.Head)}, in flight {BlocksUnderWay}";

    /// <summary>How many blocks were asked for and have not come.</summary>
    internal int BlocksUnderWay => _sources.Values.Sum(static s => s.InFlight.Count);

    /// <summary>Goes on as far as it can with what is here.</summary>
    private void Decide()
    {
        if (_isDeciding)
        {
            _decideAgain = true;
            return;
        }

        _isDeciding = true;
        try
        {
            int rounds = 0;
            do
            {
                _decideAgain = false;
                Step();
            }
            while (_decideAgain && ++rounds < 64);
            if (_decideAgain)
            {
                _stepDueMs = _now;
            }
        }
        finally
        {
            _isDeciding = false;
        }
    }

    private void Step()
    {
        _stepDueMs = long.MaxValue;
        if (_isStopped || _isExclusive)
        {
            return;
        }

        EndPuts();
        if (_hasFailed)
        {
            if (_appends > 0 || _now < _readAt)
            {
                return;
            }

            // What was under way has ended: the store tells what of it was done. After a failed sync it does so once it gave up what was not durable.
            if (!_log.Open(_store))
            {
                _readAt = _now + TickMs;
                return;
            }

            _hasFailed = false;
            ForgetFiles();
            ForgetUselessVersions();
            Head = Head is { } covered && Head.Compare(covered.Place, _log.Place) <= 0 ? covered : null;
            if (_isAheadOfLog)
            {
                // What is applied beyond a log that gave up its newest bytes may be of another epoch than what comes.
                _isAheadOfLog = false;
                GoBack(_store.End.Place);
                return;
            }
        }

        if (_takeover is { } takeover && _appends == 0 && (!Has(takeover.After) || _halfGone is not null))
        {
            // What it was to go on behind was here, and is not any more: it is fetched again first.
            Certificate = _writers.Newest;
            _takeover = null;
            Resume();
        }

        if (_isFenced || _isRecovered || _takeover is not null)
        {
            if (_appends == 0 && _puts == 0 && _now >= _retryAt)
            {
                ChangeRole();
            }

            return;
        }

        if (!Follows || _now < _retryAt)
        {
            return;
        }

        AskForVersions();
        Adopt();
        switch (_phase)
        {
            case Phase.Idle:
                Choose();
                break;
            case Phase.Segments:
                AppendSegments();
                break;
            case Phase.State:
                WalkState();
                break;
        }

        PumpWants();
        Look();
    }

    /// <summary>Whether it is level, what it lacks, and whether a recovering writer has all that it can get.</summary>
    private void Look()
    {
        Head? best = Best()?.Head;
        bool isLevel = best is not null && _appends == 0 && Head is { } head && head.CompareTo(best) >= 0 && _phase is Phase.Riding or Phase.Idle;
        // What nobody has written to has no head: who has nothing has all of it.
        bool isEmpty = best is null && Seen is null && _log.To == 0 && _sources.Values.Any(static s => s.IsOpen && s.Versions.Length == 0);
        IsLevel = isLevel || isEmpty;
        IsComplete = IsLevel && !AreVersionsToCome;
        Source = _active is null ? null : Picture(_active);
        NeedsSources = (best is null && !isEmpty) || (_now - _newsMs > NewsMs && !_sources.Values.Any(static s => s.IsWriter));
        if (isLevel && !_wasLevel)
        {
            State = "level";
            _port.Report(new BecameLevel(Head!.Position));
        }

        _wasLevel |= isLevel; // until it follows anew
        if (Mode != ReplicaMode.Recovering || _appends > 0)
        {
            return;
        }

        // (An epoch that was begun here and holds nothing yet is no more than what was signed before it.)
        bool hasMore = best is not null && (Head is null || best.CompareTo(Head) > 0) && best.To > _log.To;
        bool isAll = _options.RecoverFrom.Count > 0 && _options.RecoverFrom.All(p => _sources.Values.Any(s => s.Peer == p && s.IsOpen)) && !hasMore;
        if (isAll || (_now >= _recoverUntil && !hasMore) || _now >= _recoverAtMost)
        {
            LeavePlan();
            ForgetFiles();
            _isRecovered = true;
            ChangeRole();
        }
    }

    /// <summary>The source that shows most.</summary>
    private SourceStream? Best()
    {
        SourceStream? best = null;
        foreach (SourceStream source in _sources.Values)
        {
            if (source is { IsOpen: true, Head: { } head } && IsOfTerm(head) && !IsForked(head) && source.Useless != head)
            {
                int order = best is null ? 1 : head.CompareTo(best.Head);
                if (order > 0 || (order == 0 && (source == _active || (source.IsWriter && best != _active))))
                {
                    best = source;
                }
            }
        }

        return best;
    }

    private void Choose()
    {
        if (Best() is not { Head: { } head } source)
        {
            return;
        }

        if (Head.Compare(head.Place, _log.Place) < 0 && !_mustLoad)
        {
            // It has less, or what the writer took back since, and nothing goes back to that. It is followed once it has more, which it will tell.
            return;
        }

        Begin(source, head);
    }

    private void LeavePlan()
    {
        if (_phase == Phase.Nodes)
        {
            _active!.HasOldQuestion = true;
        }

        _phase = Phase.Idle;
        _active = null;
        _target = null;
        _pieces.Clear();
        _pieceBytes = 0;
        _chain.Clear();
        _held.Clear();
        _heldBytes = 0;
        CancelWants(Purpose.Plan);
        LeaveState();
        _decideAgain = true;
    }
}
