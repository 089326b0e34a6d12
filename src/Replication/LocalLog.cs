// What a replica knows of its own log: where it ends, the running segment's digest, and the node before it. Each byte is hashed once, for all followers.

using System.Security.Cryptography;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;

namespace Leither.Replication;

/// <summary>The end of a log, with what a head says of it.</summary>
/// <remarks>
/// Where no segment is running, <see cref="Segment"/> names the place where the next will begin, and <see cref="Length"/> is 0: so a log that was cut, an empty log
/// and one that goes on behind a version are the same case.
/// </remarks>
internal sealed class LocalLog
{
    private const int ReadBytes = 256 << 10;

    // Nodes made here that the store may not have sealed yet; the oldest go first.
    private const int MaxRecent = 1024;

    private readonly LeitherId _mid;
    private readonly Func<ulong, ReadOnlyMemory<byte>> _writerOf;
    private readonly List<SealedSegment> _recent;
    private IncrementalHash _hash;
    private byte[]? _buffer;

    public LocalLog(LeitherId mid, Func<ulong, ReadOnlyMemory<byte>> writerOf)
    {
        (_mid, _writerOf) = (mid, writerOf);
        _recent = [];
        _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Segment = new SegmentStart(0, 0, 1, 0);
    }

    private LocalLog(LocalLog of)
    {
        (_mid, _writerOf, Segment, Length, To, Previous, Openings) = (of._mid, of._writerOf, of.Segment, of.Length, of.To, of.Previous, of.Openings);
        _recent = [.. of._recent];
        _hash = of._hash.Clone();
    }

    /// <summary>The running segment, or where the next begins.</summary>
    public SegmentStart Segment { get; private set; }

    /// <summary>How many bytes of it there are; 0: none is running.</summary>
    public long Length { get; private set; }

    /// <summary>The last entry that ends here.</summary>
    public ulong To { get; set; }

    /// <summary>The node of the segment before; none: there is none.</summary>
    public Cid Previous { get; private set; }

    /// <summary>How often it was opened: since then what was here is still here.</summary>
    public int Openings { get; private set; }

    public LogPlace Place => new(Segment, Length);

    public bool IsEmpty => Length == 0 && Segment.First == 1 && Segment.Offset == 0;

    /// <summary>Nodes made since the log was opened, as far as they are kept.</summary>
    public IReadOnlyList<SealedSegment> Recent => _recent;

    /// <summary>A copy to try bytes on.</summary>
    public LocalLog Fork() => new(this);

    /// <summary>SHA-256 of the running segment so far.</summary>
    public byte[] Digest() => _hash.GetCurrentHash();

    /// <summary>More bytes of the running segment.</summary>
    public void Feed(ReadOnlySpan<byte> bytes)
    {
        _hash.AppendData(bytes);
        Length += bytes.Length;
    }

    /// <summary>The running segment has ended, and another begins.</summary>
    public void Begin(in SegmentStart start) => Begin(start, null);

    private void Begin(in SegmentStart start, IReplicaStore? read)
    {
        if (Length > 0)
        {
            Finish(start.First - 1, read);
        }

        Segment = start;
    }

    /// <summary>The running segment has ended with this entry, and none runs.</summary>
    public void Cut(ulong to) => Cut(to, null);

    private void Cut(ulong to, IReplicaStore? read)
    {
        if (Length > 0)
        {
            Finish(to, read);
            Segment = new SegmentStart(Segment.Epoch, Segment.Generation, to + 1, 0);
        }

        To = to;
    }

    /// <summary>The node that the running segment has if it ends with this entry.</summary>
    public SegmentNode NodeUpTo(ulong to) => new()
    {
        Mid = _mid,
        Writer = _writerOf(Segment.Epoch),
        Epoch = Segment.Epoch,
        From = Segment.First,
        Offset = Segment.Offset,
        To = to,
        Previous = Previous,
        Data = Cid.OfSha256(Multicodec.Raw, Digest()),
    };

    /// <summary>Reads all of it from the store; false: not all can be read now, as after a failed sync, and it is to be opened again before anything is made of it.</summary>
    public bool Open(IReplicaStore store)
    {
        Openings++;
        _recent.Clear();
        Reset();
        SealedSegment? newest = store.Newest;
        (LogEnd end, IReadOnlyList<LogPlace> places) = store.Extent;
        if (newest is not null && (newest.Node.From, newest.Node.Offset).CompareTo((end.Segment.First, end.Segment.Offset)) >= 0 && !end.IsCut && end.Length > 0)
        {
            newest = store.Find(end.Segment.First - 1); // sealed since, or the end is behind
        }

        (Previous, To) = (newest?.Cid ?? default, newest?.Node.To ?? 0);
        ulong next = To + 1;
        ulong offset = 0;
        foreach (LogPlace place in places)
        {
            if (newest is null || (place.Segment.First, place.Segment.Offset).CompareTo((newest.Node.From, newest.Node.Offset)) > 0)
            {
                (next, offset) = (place.Segment.First, place.Segment.Offset);
                break;
            }
        }

        Segment = new SegmentStart(newest?.Node.Epoch ?? 0, newest?.Generation ?? 0, next, offset);
        if (Extend(store, isOpening: true))
        {
            return true;
        }

        To = Math.Max(To, end.WrittenSequence);
        return false;
    }

    /// <summary>Takes in what the store has more; false: what was here is not there any more, and the log is to be opened anew.</summary>
    public bool Extend(IReplicaStore store) => Extend(store, isOpening: false);

    private bool Extend(IReplicaStore store, bool isOpening)
    {
        LogEnd end = store.End;
        if (end.Segment == Segment && end.Length == Length && !end.IsCut)
        {
            return true;
        }

        if (Length > 0 && end.Segment == Segment && end.Length >= Length)
        {
            return Fill(store, Segment, end.Length) && ReachEnd(store, end);
        }

        // Another thread writes: what began since the end was looked at does not end there.
        (end, IReadOnlyList<LogPlace> places) = store.Extent;
        int at = IndexOfCurrent(places);
        if (Length == 0 && !IsAsFinished(places))
        {
            return false;
        }

        if (at < 0)
        {
            // What was written since may have been trimmed since: then the node before is another.
            if (Length > 0 || (!isOpening && end.WrittenSequence > To))
            {
                return false;
            }

            // Nothing runs, and nothing was begun; where the log was cut, this is the place.
            To = Math.Max(To, end.WrittenSequence);
            if (end.IsCut || end.Length == 0)
            {
                SegmentStart last = end.Length == 0 && end.Segment == default ? Segment : end.Segment;
                Segment = new SegmentStart(last.Epoch, last.Generation, To + 1, 0);
            }

            return true;
        }

        for (; at < places.Count; at++)
        {
            LogPlace place = places[at];
            if (place.Segment != Segment || Length == 0)
            {
                Begin(place.Segment, store);
            }

            bool isLast = place.Segment == end.Segment;
            long length = isLast ? end.Length : place.Length;
            if (length < Length)
            {
                return false;
            }

            if (!Fill(store, place.Segment, length))
            {
                return false;
            }

            if (isLast)
            {
                break;
            }
        }

        return ReachEnd(store, end);
    }

    private bool ReachEnd(IReplicaStore store, LogEnd end)
    {
        To = end.WrittenSequence;
        if (end.IsCut)
        {
            Cut(To, store);
        }

        return true;
    }

    /// <summary>Reads a segment up to a length; false: it is not there any more.</summary>
    private bool Fill(IReplicaStore store, in SegmentStart segment, long length)
    {
        byte[] buffer = _buffer ??= GC.AllocateUninitializedArray<byte>(ReadBytes);
        while (Length < length)
        {
            int read = store.ReadSegment(segment, Length, buffer.AsSpan(0, (int)Math.Min(buffer.Length, length - Length)));
            if (read <= 0)
            {
                return false;
            }

            Feed(buffer.AsSpan(0, read));
        }

        return true;
    }

    /// <summary>A segment of this log by its node's name.</summary>
    public SealedSegment? FindNode(IReplicaStore store, in Cid cid)
    {
        for (int i = _recent.Count - 1; i >= 0; i--)
        {
            if (_recent[i].Cid == cid)
            {
                return _recent[i];
            }
        }

        return store.FindNode(cid);
    }

    /// <summary>The finished segment of this log that begins there.</summary>
    public SealedSegment? FindStart(IReplicaStore store, ulong first, ulong offset)
    {
        for (int i = _recent.Count - 1; i >= 0; i--)
        {
            if (_recent[i].Node.From == first && _recent[i].Node.Offset == offset)
            {
                return _recent[i];
            }
        }

        // Of a segment in which no entry ends the entry behind finds another; then its node is reached from that.
        SealedSegment? found = store.Find(first);
        for (int i = 0; found is not null && i < MaxRecent; i++)
        {
            int order = found.CompareStart(first, offset);
            if (order <= 0)
            {
                return order == 0 ? found : null;
            }

            found = found.Node.Previous.IsNone ? null : FindNode(store, found.Node.Previous);
        }

        return null;
    }

    private int IndexOfCurrent(IReadOnlyList<LogPlace> places)
    {
        for (int i = places.Count - 1; i >= 0; i--)
        {
            SegmentStart start = places[i].Segment;
            if (Length > 0 ? start == Segment : start.First == Segment.First && start.Offset == Segment.Offset)
            {
                return i;
            }
        }

        return -1;
    }

    /// <summary>Whether the segment that ended last is what it was: after a failed sync the log writes anew what was not durable, in other segments.</summary>
    private bool IsAsFinished(IReadOnlyList<LogPlace> places)
    {
        for (int i = places.Count - 1; i >= 0 && _recent is [.., var last]; i--)
        {
            SegmentStart start = places[i].Segment;
            if ((start.First, start.Offset).CompareTo((Segment.First, Segment.Offset)) < 0)
            {
                return start == last.Start && places[i].Length == last.Length;
            }
        }

        return true;
    }

    /// <param name="to">The last entry that ends in it.</param>
    /// <param name="read">Where its bytes were read, which is told what they hash to; null: they came from elsewhere.</param>
    private void Finish(ulong to, IReplicaStore? read)
    {
        SegmentNode node = NodeUpTo(to);
        read?.Hashed(Segment, Length, node.Data);
        var sealedHere = new SealedSegment(Cid.Of(Multicodec.DagCbor, node.Encode()), node, Segment.Generation, (int)Length);
        if (_recent.Count == MaxRecent)
        {
            _recent.RemoveRange(0, MaxRecent / 2);
        }

        _recent.Add(sealedHere);
        Reset();
        (Previous, To) = (sealedHere.Cid, to);
    }

    private void Reset()
    {
        _hash.Dispose();
        _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Length = 0;
    }
}
