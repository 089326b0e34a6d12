// The tail: bytes of the log as they are written, from one source. They are held until a head covers them; then they are the store's. Nothing is given to it that
// no head covers.

using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;

namespace Leither.Replication;

public sealed partial class Replica
{
    private readonly Queue<Piece> _pieces = [];
    private long _pieceBytes;

    // Where the next piece belongs.
    private (SegmentStart Segment, long Length) _expected;

    // What the head was said to go on from for which histories were compared anew: once for each.
    private Cid _doubted;

    // The newest question for a tail: what answers one before is let go.
    private uint _turn;

    private readonly record struct Piece(SegmentStart Segment, long Offset, ReadOnlyMemory<byte> Bytes);

    private void Ride(SourceStream source)
    {
        (_active, _phase) = (source, Phase.Riding);
        State = "follows";
        source.ProgressMs = _progressMs = _now;
        _pieces.Clear();
        _pieceBytes = 0;
        _port.Send(source.Stream, new Follow(_log.Place, ++_turn));
        _expected = (_log.Segment, _log.Length);
        Cover(source);
    }

    private void Tailed(SourceStream source, Tail tail)
    {
        if (source != _active || tail.Turn != _turn || _phase is not (Phase.Riding or Phase.Audit))
        {
            return; // of what was asked for before
        }

        // A segment that was begun goes on, or the next begins.
        bool goesOn = tail.Segment == _expected.Segment && tail.Offset == _expected.Length;
        bool begins = tail.Offset == 0 && (_expected.Length == 0
            ? tail.Segment.First == _expected.Segment.First && tail.Segment.Offset == _expected.Segment.Offset
            : (tail.Segment.First, tail.Segment.Offset).CompareTo((_expected.Segment.First, _expected.Segment.Offset)) > 0);
        if (!goesOn && !begins)
        {
            return; // it will be missed
        }

        BytesReceived += tail.Bytes.Length;
        _pieceBytes += tail.Bytes.Length;
        if (_pieceBytes > _options.MaxUnverifiedBytes)
        {
            Fault(source, FaultReason.Protocol, "more bytes than a head is ever behind");
            return;
        }

        source.ProgressMs = _now;
        _expected = (tail.Segment, tail.Offset + tail.Bytes.Length);
        _pieces.Enqueue(new Piece(tail.Segment, tail.Offset, tail.Bytes));
        if (_phase == Phase.Audit)
        {
            Audit(source);
        }
    }

    /// <summary>The source's head lies too far on for a tail.</summary>
    private void TailEnded(SourceStream source, TailEnds ends)
    {
        Told(source, ends.Signed, isGreeting: false);
        if (source != _active || ends.Turn != _turn || _phase is not (Phase.Riding or Phase.Audit))
        {
            return; // of what was asked for before
        }

        if (source.Head is not { } head || IsContinued(head))
        {
            Fault(source, FaultReason.Withheld, "it does not give the tail of a log whose end is near");
            return;
        }

        LeavePlan();
    }

    /// <summary>Takes what the source's head covers, if all of it is here.</summary>
    private void Cover(SourceStream source)
    {
        if (source.Head is not { } head || _hasFailed || IsForked(head) || !IsOfTerm(head))
        {
            return;
        }

        if (_log.Place == head.Place && _log.Previous == head.Previous)
        {
            if (_appends == 0 && _log.Digest().AsSpan().SequenceEqual(head.Digest.Span) && (Head is null || head.CompareTo(Head) >= 0))
            {
                _log.To = head.To;
                Head = head;
                ServeAll();
            }

            return;
        }

        LocalLog trial = _log.Fork();
        var runs = new List<(SegmentStart Segment, long Offset, List<ReadOnlyMemory<byte>> Bytes)>();
        int whole = 0;
        long part = 0;
        foreach (Piece piece in _pieces)
        {
            bool isHeads = piece.Segment == head.Segment;
            if (!isHeads && (piece.Segment.First, piece.Segment.Offset).CompareTo((head.Segment.First, head.Segment.Offset)) >= 0)
            {
                break;
            }

            int length = (int)(isHeads ? Math.Min(piece.Bytes.Length, head.Length - piece.Offset) : piece.Bytes.Length);
            if (length <= 0)
            {
                break;
            }

            if (piece.Offset == 0)
            {
                trial.Begin(piece.Segment);
            }

            ReadOnlyMemory<byte> bytes = piece.Bytes[..length];
            trial.Feed(bytes.Span);
            if (runs.Count == 0 || runs[^1].Segment != piece.Segment)
            {
                runs.Add((piece.Segment, piece.Offset, []));
            }

            runs[^1].Bytes.Add(bytes);
            if (length < piece.Bytes.Length)
            {
                part = length;
                break;
            }

            whole++;
        }

        bool isCut = false;
        if (head.IsCut && head.Segment.First == head.To + 1)
        {
            isCut = trial.Length > 0;
            if (isCut)
            {
                trial.Cut(head.To);
            }

            if (trial.Segment.First != head.Segment.First || trial.Segment.Offset != 0 || trial.Previous != head.Previous)
            {
                return; // not all of it is here
            }

            trial.Begin(head.Segment); // perhaps of a new epoch
        }
        else
        {
            if (trial.Segment != head.Segment || trial.Length < head.Length)
            {
                return; // not all of it is here
            }

            if (trial.Previous != head.Previous && _doubted != head.Previous)
            {
                // What lies before differs, and it may be what is here: a writer that wrote its tail again began this segment behind other bytes. Histories are compared anew.
                _doubted = head.Previous;
                LeavePlan();
                return;
            }

            if (trial.Previous != head.Previous || !trial.Digest().AsSpan().SequenceEqual(head.Digest.Span))
            {
                Contradiction(source, head);
                return;
            }
        }

        // All of it is covered.
        trial.To = head.To;
        for (int i = 0; i < runs.Count; i++)
        {
            (SegmentStart segment, long offset, List<ReadOnlyMemory<byte>> bytes) = runs[i];
            if (offset == 0)
            {
                Boundary(segment);
            }

            Append(segment, offset, Join(bytes), i == runs.Count - 1 && !isCut ? head : null);
        }

        _log = trial;
        if (isCut)
        {
            _appends++;
            _store.Cut(Begin(result => Appended(result, 0, head)));
            Boundary(head.Segment);
        }
        else if (runs.Count == 0)
        {
            Head = head;
        }

        for (; whole > 0; whole--)
        {
            _pieceBytes -= _pieces.Dequeue().Bytes.Length;
        }

        if (part > 0)
        {
            Piece first = _pieces.Peek();
            var rest = new Piece(first.Segment, first.Offset + part, first.Bytes[(int)part..]);
            Piece[] others = [.. _pieces.Skip(1)];
            _pieces.Clear();
            _pieces.Enqueue(rest);
            foreach (Piece other in others)
            {
                _pieces.Enqueue(other);
            }

            _pieceBytes -= part;
        }

        _progressMs = source.ProgressMs = _now;
        _patienceMs = 0;
    }

    private static ReadOnlyMemory<byte> Join(List<ReadOnlyMemory<byte>> parts)
    {
        if (parts.Count == 1)
        {
            return parts[0];
        }

        byte[] all = GC.AllocateUninitializedArray<byte>(parts.Sum(static p => p.Length));
        int at = 0;
        foreach (ReadOnlyMemory<byte> part in parts)
        {
            part.CopyTo(all.AsMemory(at));
            at += part.Length;
        }

        return all;
    }
}
