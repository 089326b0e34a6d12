// What the writer took back goes here too: the copy goes back to the newest place that both have, and how many entries are undone is told, here and to who follows.

using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;
using Leither.MmDb.Writers;

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

    /// <summary>Takes back all there is: nothing leads from it to what the writer has, which can be had from its first entry on.</summary>
    private void Empty()
    {
        Action<StoreResult> changed = ChangesState(_log.Segment.Epoch, _log.To, same: 0);
        State = "goes back to nothing";
        _store.Empty(Begin(changed));
    }

    /// <summary>The store is about to change to another state, the log beginning anew with it.</summary>
    /// <param name="epoch">The epoch that is here.</param>
    /// <param name="last">The last entry that is here.</param>
    /// <param name="same">The last one that the other state has, too, for certain.</param>
    /// <returns>What is to be done once it did.</returns>
    private Action<StoreResult> ChangesState(ulong epoch, ulong last, ulong same)
    {
        // What a try before has left of the log says nothing of what was here.
        (epoch, last, same) = _halfGone ?? (epoch, last, same);
        LeavePlan();
        _isExclusive = true;
        return result =>
        {
            _isExclusive = false;
            _endsPuts = true;
            if (result.Failure is { } failure)
            {
                if (result.IsHalfDone)
                {
                    _halfGone = (epoch, last, same);
                    _mustLoad = true;
                }

                Failed(failure);
                return;
            }

            _mustLoad = false;
            _halfGone = null;
            _marks.Clear();
            TookBack(epoch, last, same);
            Acknowledge(true);
        };
    }

    /// <summary>Tells of entries that are gone: all behind one that was kept.</summary>
    private ulong Undo(ulong epoch, ulong last, ulong kept)
    {
        ulong undone = last > kept ? last - kept : 0;
        Undone += undone;
        if (undone > 0)
        {
            _port.Report(new EntriesUndone(new Position(_log.Segment.Epoch, kept), new Position(epoch, last), undone));
        }

        return undone;
    }

    /// <summary>
    /// The last entry that is for certain the same here as in the history of an epoch, by its writers' certificates and what is here. A version of that epoch may stand
    /// far above where the two part, and says nothing of what lies below it.
    /// </summary>
    private ulong SameAs(ulong epoch)
    {
        (ulong own, ulong other, ulong same) = (_log.Segment.Epoch, epoch, ulong.MaxValue);
        while (own != other)
        {
            // An epoch has one history.
            if (LastOf(other) is > 0 and var last)
            {
                return Math.Min(same, last);
            }

            uint newer = Math.Max(WriterCertificate.TermOf(own), WriterCertificate.TermOf(other));
            if (WriterCertificate.TermOf(own) == WriterCertificate.TermOf(other))
            {
                // Its writer ended uncleanly in between, and kept what was durable, if not more.
                return own < other && Head is { } head && head.Segment.Epoch == own ? Math.Min(same, head.Synced) : 0;
            }

            if (_writers.Find(newer) is not { } certificate)
            {
                return 0;
            }

            // Whichever is of the newer term goes on behind what its writer took over, which need not be what the term before wrote last, nor of that term at all.
            same = Math.Min(same, certificate.After.Sequence);
            (own, other) = newer == WriterCertificate.TermOf(own) ? (certificate.After.Epoch, other) : (own, certificate.After.Epoch);
        }

        return same;
    }

    /// <summary>The last entry here that was written in an epoch, as far as the chain of segments tells; 0: there is none.</summary>
    private ulong LastOf(ulong epoch)
    {
        if (_log.Segment.Epoch == epoch)
        {
            return _log.To;
        }

        for (Cid cid = _log.Previous; !cid.IsNone && _log.FindNode(_store, cid) is { Node: { } node } && node.Epoch >= epoch; cid = node.Previous)
        {
            if (node.Epoch == epoch)
            {
                return node.To;
            }
        }

        return 0;
    }

    /// <summary>The store's log is another: it is read anew, and what is gone is told.</summary>
    /// <param name="epoch">The epoch that was here.</param>
    /// <param name="last">The last entry that was here.</param>
    /// <param name="same">The last one that what is here now has, too, for certain.</param>
    private void TookBack(ulong epoch, ulong last, ulong same = ulong.MaxValue)
    {
        _log.Open(_store);
        ForgetFiles();
        ForgetUselessVersions();
        MarkAgain();
        _begun = null;
        ulong kept = Math.Min(_log.To, same), undone = Undo(epoch, last, kept);
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
