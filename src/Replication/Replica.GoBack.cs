// What the writer took back goes here too: the copy goes back to the newest place that both have, and how many entries are undone is told, here and to who follows.

using Leither.MmDb.Log;

namespace Leither.Replication;

public sealed partial class Replica
{
    private void GoBackToCommon()
    {
        if (_common.IsNone)
        {
            GoBack(default);
            return;
        }

        SealedSegment common = _log.FindNode(_store, _common)!;
        GoBack(new LogPlace(StartOf(common), common.Length));
    }

    /// <summary>Takes back what the writer took back.</summary>
    private void GoBack(LogPlace place)
    {
        if (_appends > 0)
        {
            LeavePlan();
            return;
        }

        ulong last = _log.To, epoch = _log.Segment.Epoch;
        LeavePlan();
        _isExclusive = true;
        State = "goes back";
        _store.GoBack(
            Begin(result =>
            {
                _isExclusive = false;
                if (result.IsMissing)
                {
                    _mustLoad = true;
                    return;
                }

                if (result.Failure is { } failure)
                {
                    // What its log gave up it gave up, although the disk has not come to the end of it.
                    Undo(epoch, last, Math.Min(last, _store.End.WrittenSequence));
                    Failed(failure);
                    return;
                }

                if (place == default)
                {
                    _mustLoad = false;
                }

                TookBack(epoch, last);
            }),
            place);
    }

    /// <summary>Tells of entries that are gone.</summary>
    private (ulong Kept, ulong Undone) Undo(ulong epoch, ulong last, ulong to)
    {
        // A version of a later term may stand above where that term went on: no more than that was kept for certain.
        ulong kept = Math.Min(to, _writers.KeptFor(epoch, _log.Segment.Epoch));
        ulong undone = last > kept ? last - kept : 0;
        Undone += undone;
        if (undone > 0)
        {
            _port.Report(new EntriesUndone(new Position(_log.Segment.Epoch, kept), new Position(epoch, last), undone));
        }

        return (kept, undone);
    }

    /// <summary>The store's log is another: it is read anew, and what is gone is told.</summary>
    private void TookBack(ulong epoch, ulong last)
    {
        _log.Open(_store);
        (ulong kept, ulong undone) = Undo(epoch, last, _log.To);
        if (Head is { } head && Head.Compare(head.Place, _log.Place) > 0)
        {
            Head = null;
        }

        foreach (FollowerStream follower in _followers.Values.ToArray())
        {
            if (follower.Follows)
            {
                follower.Follows = false;
                follower.SentHead = null;
                _port.Send(follower.Stream, new UndoneTold(new Position(_log.Segment.Epoch, kept), undone));
            }
        }
    }
}
