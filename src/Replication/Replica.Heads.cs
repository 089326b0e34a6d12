// Heads that sources show: checked, held against those that are known and against what is here. One that shows less is old, and its source is of no use until it
// shows more. Two of one writer and epoch of which neither covers the other prove two histories: the proof is kept and told, and nothing of that epoch is followed
// beyond what is here. What cannot be proven is not claimed.

using System.Security.Cryptography;
using Leither.Ipfs;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;

namespace Leither.Replication;

public sealed partial class Replica
{
    private void Told(SourceStream source, ReadOnlyMemory<byte> signed, bool isGreeting)
    {
        Head head;
        if (Head is { } known && known.Block.Span.SequenceEqual(signed.Span))
        {
            head = known;
        }
        else if (Seen is { } seen && seen.Block.Span.SequenceEqual(signed.Span))
        {
            head = seen;
        }
        else
        {
            try
            {
                head = Head.Decode(signed.ToArray(), _mid);
            }
            catch (MalformedBlockException e)
            {
                Fault(source, FaultReason.Forged, e.Message);
                return;
            }

            if (!_writers.WriterOf(head.Segment.Epoch).Span.SequenceEqual(head.Writer.Span))
            {
                if (IsForked(head))
                {
                    return; // by the other of two that the author let write in one term
                }

                if (head.Term > _writers.Term)
                {
                    Fault(source, FaultReason.Protocol, "a head of a term whose certificate was not told");
                }
                else
                {
                    Fault(source, FaultReason.Forged, "a head that is signed by somebody who may not write");
                }

                return;
            }
        }

        if (source.Head is { } before && head.CompareTo(before) < 0)
        {
            Fault(source, FaultReason.OldHead, "a head that shows less than the one before");
            return;
        }

        source.Head = head;
        // What is owed, by the source of the tail or by whom blocks were asked of, is not given by telling of more.
        source.ProgressMs = _active == source || source.InFlight.Count > 0 ? source.ProgressMs : _now;
        if (!IsOfTerm(head))
        {
            return; // whoever wrote that was fenced; the source has the certificate
        }

        if (!Compare(source, head))
        {
            return;
        }

        if (Seen is null || head.CompareTo(Seen) > 0)
        {
            Seen = head;
            _newsMs = _now;
        }

        if (Follows && Head is { } mine && head.CompareTo(mine) < 0 && !source.IsOldCounted && isGreeting)
        {
            source.IsOldCounted = true;
            OldHeads++;
            if (source.IsWriter)
            {
                _port.Report(new OldHeadShown(source.Peer, head.Position, mine.Position));
            }
        }

        if (_active == source && _phase is Phase.Riding)
        {
            Cover(source);
        }
    }

    /// <summary>Holds a head against those that are known: false if the writer signed two histories, and that was news.</summary>
    private bool Compare(SourceStream source, Head head)
    {
        if (Proof is not null)
        {
            return true;
        }

        Head? first = Seen, second = Head;
        foreach (Head? known in new[] { first, second })
        {
            if (known is null || known == head || !known.Writer.Span.SequenceEqual(head.Writer.Span) || known.Segment.Epoch != head.Segment.Epoch
                || known.Segment.Generation != head.Segment.Generation)
            {
                continue;
            }

            (Head a, Head b) = known.CompareTo(head) <= 0 ? (known, head) : (head, known);
            if (a.Segment == b.Segment && (a.Previous != b.Previous || (a.Length == b.Length && (a.To != b.To || !a.Digest.Span.SequenceEqual(b.Digest.Span)))))
            {
                return !TryProve(new Equivocation { A = a.Block, B = b.Block });
            }

            // What is here covers more than the head: it must be a part of it.
            if (b == Head && a == head && _now - source.CheckedMs >= 1000)
            {
                source.CheckedMs = _now;
                if (Contradicts(head) && Evidence(head, b, []) is { } evidence)
                {
                    return !TryProve(evidence);
                }
            }
        }

        return true;
    }

    /// <summary>Whether a head that shows less than what is here is no part of it.</summary>
    private bool Contradicts(Head head)
    {
        (SegmentStart start, Cid previous, long length) = (head.Segment, head.Previous, 0);
        if (_log.Segment.First == start.First && _log.Segment.Offset == start.Offset)
        {
            (start, length) = (_log.Segment, _log.Length);
            if (previous != _log.Previous)
            {
                return true;
            }
        }
        else if (_log.FindStart(_store, start.First, start.Offset) is { } segment)
        {
            if (segment.Node.Previous != previous)
            {
                return true;
            }

            (start, length) = (StartOf(segment), segment.Length);
        }
        else
        {
            // Where a segment here spans its beginning, the two part before it. Otherwise that is not here (any more).
            return (_log.Length > 0 && (_log.Segment.First, _log.Segment.Offset).CompareTo((start.First, start.Offset)) < 0 && start.First <= _log.To)
                || _store.Find(start.First)?.Start is { } spanning && (spanning.First, spanning.Offset).CompareTo((start.First, start.Offset)) < 0;
        }

        if (head.IsCut)
        {
            return false;
        }

        if (length < head.Length)
        {
            return _appends == 0;
        }

        return ReadWhole(start, head.Length) is { } bytes && !SHA256.HashData(bytes).AsSpan().SequenceEqual(head.Digest.Span);
    }

    /// <summary>Evidence from what is here, or from nodes that came: of a head that shows less, and one that shows more.</summary>
    private Equivocation? Evidence(Head less, Head more, List<(Cid Cid, SegmentNode Node, ReadOnlyMemory<byte> Block)> nodes)
    {
        if (less.Segment == more.Segment)
        {
            return ReadWhole(more.Segment, more.Length) is { } own ? new Equivocation { A = less.Block, B = more.Block, Data = own } : null;
        }

        var blocks = new List<ReadOnlyMemory<byte>>();
        byte[] data = [];
        int at = 0;
        for (Cid next = more.Previous; !next.IsNone && blocks.Count < Equivocation.MaxNodes; at++)
        {
            SegmentNode node;
            if (at < nodes.Count && nodes[at].Cid == next)
            {
                (node, ReadOnlyMemory<byte> block) = (nodes[at].Node, nodes[at].Block);
                blocks.Add(block);
            }
            else if (_log.FindNode(_store, next) is { } own)
            {
                node = own.Node;
                blocks.Add(node.Encode());
                if (node.From == less.Segment.First && node.Offset == less.Segment.Offset)
                {
                    data = ReadWhole(StartOf(own), own.Length) ?? [];
                }
            }
            else
            {
                return null;
            }

            if (node.From < less.Segment.First || (node.From == less.Segment.First && node.Offset <= less.Segment.Offset))
            {
                break;
            }

            next = node.Previous;
        }

        return new Equivocation { A = less.Block, B = more.Block, Nodes = blocks, Data = data };
    }

    private bool TryProve(Equivocation evidence)
    {
        try
        {
            Proved(evidence.Check(_mid, _writers.Author));
            return true;
        }
        catch (MalformedBlockException)
        {
            return false; // it was not enough: what cannot be proven is not claimed
        }
    }

    private void Proved(Equivocation proof)
    {
        if (Proof is not null)
        {
            return;
        }

        Proof = proof;
        _port.Report(new HistoryForked(proof));
        Save(isUrgent: true);
        LeavePlan();
        ServeAll();
    }

    private bool IsForked(Head head) => Proof?.Covers(head.Segment.Epoch) == true || _writers.IsContested(head.Term);

    /// <summary>Tries to prove that the target and what is here are two histories of one epoch.</summary>
    private bool TryProveFrom(Head mine)
    {
        if (Proof is not null || _target is not { } target || mine.Segment.Epoch != target.Segment.Epoch || mine.Segment.Generation != target.Segment.Generation)
        {
            return false;
        }

        (Head less, Head more) = mine.CompareTo(target) <= 0 ? (mine, target) : (target, mine);
        if (Evidence(less, more, less == mine ? _chain : []) is not { } evidence)
        {
            return false;
        }

        if (less == mine && _chain.FirstOrDefault(c => c.Node.From == less.Segment.First && c.Node.Offset == less.Segment.Offset) is { Node: { } node }
            && _held.TryGetValue(node.Data, out ReadOnlyMemory<byte> held))
        {
            evidence = evidence with { Data = held };
        }

        return TryProve(evidence);
    }

    /// <summary>
    /// Bytes that came do not fit the head, or what is here does not. Nodes tell if the difference lies before the running segment; if not, that segment is read
    /// again, whole: either it does not fit its head, and the source lies, or it does, and the writer signed two histories.
    /// </summary>
    private void Contradiction(SourceStream source, Head head)
    {
        BytesRefused += _pieceBytes;
        if (head.Segment != _log.Segment || head.Previous != _log.Previous || _log.Length == 0 || head.Length > LogProtocol.MaxBlockBytes || head.Length > _options.MaxUnverifiedBytes)
        {
            Fault(source, FaultReason.WrongBytes, $"bytes of the log do not fit their head, {head.Position} behind {head.Previous}: here it ends with {_log.Length} bytes behind {_log.Previous}");
            return;
        }

        LeavePlan();
        (_active, _phase, _target) = (source, Phase.Audit, head);
        source.ProgressMs = _now;
        _expected = (head.Segment, 0);
        _port.Send(source.Stream, new Follow(new LogPlace(head.Segment, 0), ++_turn));
    }

    private void Audit(SourceStream source)
    {
        Head head = _target!;
        if (_pieceBytes < head.Length || _pieces.Any(p => p.Segment != head.Segment))
        {
            if (_pieces.Any(p => p.Segment != head.Segment))
            {
                Fault(source, FaultReason.WrongBytes, "bytes of the log do not fit their head");
            }

            return;
        }

        ReadOnlyMemory<byte> all = Join([.. _pieces.Select(static p => p.Bytes)])[..(int)head.Length];
        if (!SHA256.HashData(all.Span).AsSpan().SequenceEqual(head.Digest.Span))
        {
            BytesRefused += all.Length;
            Fault(source, FaultReason.WrongBytes, "bytes of the log do not fit their head");
            return;
        }

        if (_appends == 0 && _log.Length <= all.Length && ReadWhole(_log.Segment, _log.Length) is { } own && all.Span.StartsWith(own))
        {
            // What is here is right. Then what came before was not.
            BytesRefused += all.Length;
            Fault(source, FaultReason.WrongBytes, "bytes of the log do not fit their head");
            return;
        }

        if (Head is { } mine && mine.Segment == head.Segment && mine.CompareTo(head) < 0 && TryProve(new Equivocation { A = mine.Block, B = head.Block, Data = all.ToArray() }))
        {
            return;
        }

        // No head proves what is here: then it is what is wrong.
        if (_appends == 0)
        {
            _common = _log.Previous;
            GoBackToCommon();
        }
        else
        {
            LeavePlan();
        }
    }
}
