// What is here is held against a source's head: nodes lead from the head back to what both have, and the first segment that may differ is compared byte for byte.
// What is here beyond that goes (Replica.GoBack.cs); what is missing comes (Replica.Segments.cs), or the state of a version in its place (Replica.State.cs).

using Leither.Ipfs;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;

namespace Leither.Replication;

public sealed partial class Replica
{
    // Nodes that are held while the way back to what both have is looked for: 60 GB of log. Who is further behind takes a version.
    private const int MaxChainNodes = 1 << 16;
    private const int NodesAtOnce = 256;

    private readonly List<(Cid Cid, SegmentNode Node, ReadOnlyMemory<byte> Block)> _chain = [];
    private Cid _common;

    // Whether all that is here was found in the history of the source's head.
    private bool _isWhollyCommon;

    /// <summary>Holds what is here against a source's head.</summary>
    private void Begin(SourceStream source, Head head)
    {
        LeavePlan();
        _decideAgain = _wasLevel = _isWhollyCommon = false;
        (_active, _target) = (source, head);
        source.ProgressMs = _progressMs = _now;
        // Where histories may part it is found first what goes back, so that it is told.
        if (_mustLoad || ((_log.IsEmpty || head.Segment.Epoch == _log.Segment.Epoch) && IsStateLess(source)))
        {
            if (ChooseVersion(source))
            {
                return;
            }

            if (_mustLoad)
            {
                if (source.Floor > 1)
                {
                    State = "the log is not there any more from what is here on, and no version is";
                    source.Useless = head;
                    LeavePlan();
                    return;
                }

                if (!_log.IsEmpty || _halfGone is not null)
                {
                    Empty();
                    return;
                }

                _mustLoad = false;
            }
        }

        if (IsContinued(head))
        {
            Ride(source);
            return;
        }

        State = "compares histories";
        _phase = Phase.Nodes;
        AskNodes(head.Previous);
    }

    /// <summary>Whether a head goes on from exactly what is here, as far as can be told without nodes.</summary>
    private bool IsContinued(Head head)
    {
        if (head.Previous == _log.Previous)
        {
            return _log.Length == 0
                ? head.Segment.First == _log.Segment.First && head.Segment.Offset == _log.Segment.Offset
                : head.Segment == _log.Segment && head.Length >= _log.Length;
        }

        // The running segment has ended just here.
        return _log.Length > 0 && !head.Previous.IsNone && head.Segment.First > _log.Segment.First && head.Previous == Cid.Of(Multicodec.DagCbor, _log.NodeUpTo(head.Segment.First - 1).Encode());
    }

    private void AskNodes(Cid newest)
    {
        if (newest.IsNone)
        {
            FoundCommon(default);
            return;
        }

        if (_log.FindNode(_store, newest) is not null)
        {
            FoundCommon(newest);
            return;
        }

        // The first question goes down to what is probably common; the next ones further.
        ulong until = _chain.Count == 0 && _log.FindNode(_store, _log.Previous) is { } own ? own.Node.To : 0;
        _active!.ProgressMs = _now;
        _port.Send(_active.Stream, new GetNodes(newest, until, NodesAtOnce));
    }

    private void Chained(SourceStream source, Nodes nodes)
    {
        bool mayBeOld = source.HasOldQuestion;
        source.HasOldQuestion = false;
        if (source != _active || _phase != Phase.Nodes)
        {
            return; // of a plan that was left
        }

        source.ProgressMs = _progressMs = _now;
        Cid next = _chain.Count == 0 ? _target!.Previous : _chain[^1].Node.Previous;
        if (mayBeOld && (nodes.Blocks.Count == 0 || !next.Verify(nodes.Blocks[0].Span)))
        {
            AskNodes(next);
            return;
        }

        ulong above = _chain.Count == 0 ? _target!.Segment.First : _chain[^1].Node.From;
        if (nodes.Blocks.Count == 0)
        {
            if (_version is not null)
            {
                NextVersion(); // that one lies below its chain
                return;
            }

            // It knows of no more; what is here is older than its chain.
            _mustLoad = source.Versions.Length > 0;
            source.Useless = _mustLoad ? null : _target;
            LeavePlan();
            return;
        }

        foreach (ReadOnlyMemory<byte> bytes in nodes.Blocks)
        {
            SegmentNode node;
            try
            {
                if (next.IsNone || !next.Verify(bytes.Span))
                {
                    BytesRefused += bytes.Length;
                    Fault(source, FaultReason.WrongBytes, "a node has another hash");
                    return;
                }

                node = SegmentNode.Decode(bytes.Span);
            }
            catch (MalformedBlockException e)
            {
                Fault(source, FaultReason.Forged, e.Message);
                return;
            }

            if (node.Mid != _mid || node.To + 1 != above)
            {
                source.Useless = _target; // signed by the writer, and of no use: it is not the source's fault
                State = "the chain of the log's segments contradicts itself";
                LeavePlan();
                return;
            }

            BytesReceived += bytes.Length;
            _chain.Add((next, node, bytes.ToArray()));
            (next, above) = (node.Previous, node.From);
            if (_version is not null && _version.Segment == _chain[^1].Cid)
            {
                _chain.RemoveAt(_chain.Count - 1);
                BeginState();
                return;
            }

            if (next.IsNone || _log.FindNode(_store, next) is not null)
            {
                FoundCommon(next);
                return;
            }

            if (_chain.Count >= MaxChainNodes)
            {
                _mustLoad = true;
                LeavePlan();
                return;
            }
        }

        AskNodes(next);
    }

    /// <summary>The newest node that both have is known; none: there is nothing in common.</summary>
    private void FoundCommon(Cid common)
    {
        if (_version is not null)
        {
            // What lies below it here lies in the head's history, too.
            if (!common.IsNone && _log.FindNode(_store, common) is { } upTo && _log.FindNode(_store, _version.Segment) is { } cut && cut.Node.To <= upTo.Node.To)
            {
                BeginState();
                return;
            }

            NextVersion();
            return;
        }

        _common = common;
        _phase = Phase.Compare;
        (ulong first, ulong offset) = AfterCommon();
        SegmentStart own;
        long length;
        if (common == _log.Previous)
        {
            (own, length) = (_log.Segment, _log.Length);
            if (length == 0)
            {
                _isWhollyCommon = true;
                if (!IsStateLess(_active!) || !ChooseVersion(_active!))
                {
                    StartSegments();
                }

                return;
            }
        }
        else if (_log.FindStart(_store, first, offset) is { } segment)
        {
            (own, length) = (StartOf(segment), segment.Length);
        }
        else
        {
            // What lies between is not here (a version was loaded above it).
            _mustLoad = true;
            LeavePlan();
            return;
        }

        if (_chain.Count == 0)
        {
            // The head's running segment begins where one of ours did.
            bool isSame = _target!.Segment == own;
            if (isSame && _target.Length > 0 && Head is { } mine && mine.Segment.Epoch == own.Epoch)
            {
                if (TryProveFrom(mine))
                {
                    return;
                }
            }

            if (isSame && _target.Length >= length)
            {
                // What was begun behind it here goes, and it goes on.
                GoBack(new LogPlace(own, length));
                return;
            }

            GoBackToCommon();
            return;
        }

        SegmentNode node = _chain[^1].Node;
        if (node.From != first || node.Offset != offset)
        {
            GoBackToCommon();
            return;
        }

        if (node.Epoch != own.Epoch)
        {
            GoBackToCommon();
            return;
        }

        // A segment that is whole here does not have to come, and of one that is partly here the rest; whether those behind it can, says the source's floor.
        byte[]? here = _active!.Floor <= node.From && _appends == 0 ? ReadWhole(own, length) : null;
        if (here is not null && node.Data.Verify(here))
        {
            _decideAgain = true;
            Compare(own, length, node, here);
            return;
        }

        Ask(node.Data, LogProtocol.MaxBlockBytes, Purpose.Plan, (from, bytes) =>
        {
            if (from is not null)
            {
                Compare(own, length, node, bytes);
            }
            else if (_active!.Floor > node.From)
            {
                GoBackToCommon(); // trimmed there
            }
            else
            {
                Withheld();
            }
        }, here);
    }

    /// <summary>The segment that both begin at the same place, as the source's history has it, beside ours.</summary>
    private void Compare(SegmentStart own, long length, SegmentNode node, ReadOnlyMemory<byte> bytes)
    {
        byte[]? mine = ReadWhole(own, length);
        if (mine is null || _appends > 0)
        {
            // Trimmed here, though its node is known: there is no way back to there. Or it changed meanwhile.
            _mustLoad |= mine is null && _appends == 0;
            LeavePlan();
            return;
        }

        Hold(node.Data, bytes); // to go on with, or as evidence
        int common = mine.AsSpan().CommonPrefixLength(bytes.Span);
        if (common == length && length <= bytes.Length && own == _log.Segment && _log.Length == length)
        {
            StartSegments();
            return;
        }

        if (Head is { } head && TryProveFrom(head))
        {
            return;
        }

        if (common == length && length <= bytes.Length)
        {
            GoBack(new LogPlace(own, length)); // what was begun behind it here goes, and it goes on
            return;
        }

        if (common == bytes.Length)
        {
            GoBack(new LogPlace(own, common));
            return;
        }

        GoBackToCommon();
    }

    private (ulong First, ulong Offset) AfterCommon()
    {
        SegmentNode? first = _chain.Count > 0 ? _chain[^1].Node : null;
        return first is not null ? (first.From, first.Offset) : (_target!.Segment.First, _target.Segment.Offset);
    }
}
