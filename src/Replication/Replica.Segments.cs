// Segments that are missing here, as blocks: asked of all sources, a few ahead, and appended in order. Each is what a node says, and each node what a head covers.

using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;

namespace Leither.Replication;

public sealed partial class Replica
{
    // Segments that are asked for and not in the log yet. All of them are lost with the process, or the connection, and have to come again: so there are no more than keep
    // the way from the source filled. How many that is is found out (Pace).
    private const int MinSegmentWindow = 2, MaxSegmentWindow = 8;

    private readonly Dictionary<Cid, ReadOnlyMemory<byte>> _held = [];
    private int _nextNode, _nextAsked, _appends, _segmentWindow = MinSegmentWindow;
    private long _heldBytes, _unapplied;

    private void StartSegments()
    {
        _phase = Phase.Segments;
        State = "fetches the log";
        _nextNode = _nextAsked = _chain.Count - 1;
    }

    private void Hold(in Cid cid, ReadOnlyMemory<byte> bytes)
    {
        if (_held.TryAdd(cid, bytes))
        {
            _heldBytes += bytes.Length;
        }
    }

    private void AppendSegments()
    {
        while (_nextNode >= 0)
        {
            if (_unapplied >= _options.MaxUnappliedBytes)
            {
                return;
            }

            (Cid cid, SegmentNode node, _) = _chain[_nextNode];
            if (!_held.Remove(node.Data, out ReadOnlyMemory<byte> bytes))
            {
                break;
            }

            _heldBytes -= bytes.Length;
            if (!SegmentBytes.TryReadStart(bytes.Span, out SegmentStart start) || start.Epoch != node.Epoch || start.First != node.From || start.Offset != node.Offset)
            {
                _active!.Useless = _target;
                State = "a segment of the log contradicts its node";
                LeavePlan();
                return;
            }

            long from = _log.Length > 0 && _log.Segment == start ? _log.Length : 0;
            if (from == 0)
            {
                Boundary(start);
                _log.Begin(start);
            }

            ReadOnlyMemory<byte> rest = bytes[(int)from..];
            if (!rest.IsEmpty)
            {
                _log.Feed(rest.Span);
                Append(start, from, rest, null);
            }

            _log.To = node.To;
            _nextNode--;
            _progressMs = _active!.ProgressMs = _now;
            if (Cid.Of(Multicodec.DagCbor, _log.NodeUpTo(node.To).Encode()) != cid)
            {
                _active.Useless = _target;
                State = "the chain of the log's segments contradicts itself";
                LeavePlan();
                _hasFailed = true;
                return;
            }
        }

        if (_nextNode < 0)
        {
            SourceStream source = _active!;
            _chain.Clear();
            Ride(source);
            return;
        }

        _nextAsked = Math.Min(_nextAsked, _nextNode);
        int window = Math.Max(_segmentWindow, _sources.Values.Count(static s => s.IsOpen) + 1);
        while (_nextAsked >= 0 && _appends + _nextNode - _nextAsked < window)
        {
            Cid data = _chain[_nextAsked--].Node.Data;
            if (!_held.ContainsKey(data))
            {
                Ask(data, LogProtocol.MaxBlockBytes, Purpose.Plan, (from, bytes) =>
                {
                    if (from is null)
                    {
                        Withheld();
                    }
                    else
                    {
                        Hold(data, bytes);
                    }
                });
            }
        }
    }

    /// <summary>
    /// A segment came. If it took hardly longer than one that none was ahead of, the way has room for more at a time; if more than one was ahead of it all the while, or the
    /// store is not done with those before, fewer do.
    /// </summary>
    private void Pace(SourceStream source, Want want)
    {
        int sources = _sources.Values.Count(static s => s.IsOpen);
        long took = Math.Max(1, _now - want.AskedMs), least = source.LeastMs;
        source.LeastMs = Math.Min(took, least);
        if (least == long.MaxValue)
        {
            return; // nothing to compare it with
        }

        // Of those that were under way, as many were ahead at the source as the wait for them makes out of all the time that it took.
        long ahead = want.UnderWay * Math.Max(0, took - least);
        if (want.WasStoreIdle && want.UnderWay * sources >= _segmentWindow && 2 * ahead < took)
        {
            _segmentWindow = Math.Min(_segmentWindow + 1, MaxSegmentWindow);
        }
        else if (_appends > 0 || 2 * ahead > 3 * took)
        {
            _segmentWindow = Math.Max(_segmentWindow - 1, MinSegmentWindow);
        }
    }

    /// <summary>Nobody gave a block that a source's head covers.</summary>
    private void Withheld()
    {
        if (_active is { } source)
        {
            Fault(source, FaultReason.Withheld, "it does not give what its head covers");
        }

        LeavePlan();
    }

    private void Append(in SegmentStart segment, long offset, ReadOnlyMemory<byte> bytes, Head? head)
    {
        _appends++;
        _unapplied += bytes.Length;
        int length = bytes.Length;
        _store.Append(Begin(result => Appended(result, length, head)), segment, offset, bytes);
    }

    private void Appended(StoreResult result, int length, Head? head)
    {
        _appends--;
        _unapplied -= length;
        if (result.Failure is { } failure)
        {
            _isAheadOfLog |= failure is LogUndoneException;
            Failed(failure);
            return;
        }

        _retryMs = 0;
        if (head is not null && !_hasFailed && (Head is null || head.CompareTo(Head) > 0))
        {
            Head = head;
            if (_appends == 0)
            {
                Save(isUrgent: false);
            }
        }

        Acknowledge(_appends == 0);
        ServeAll();
    }

    /// <summary>The store failed: everything under way is left, and tried again after a while.</summary>
    private void Failed(Exception failure)
    {
        if (!_hasFailed)
        {
            _port.Report(new StoreFailed(failure));
            _retryMs = Math.Clamp(_retryMs * 2, 500, 30_000);
            _retryAt = _now + _retryMs;
            State = failure.Message;
        }

        _hasFailed = true;
        LeavePlan();
    }
}
