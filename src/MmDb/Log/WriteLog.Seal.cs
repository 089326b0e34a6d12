using Leither.Ipfs.Files;

namespace Leither.MmDb.Log;

// Cutting and sealing: a finished segment's file is a block as it is, and gets a node in the chain. The I/O thread only decides where a segment
// ends; hashing is a thread's of the worker, from the file, which the system has in its cache.
public sealed unsafe partial class WriteLog
{
    private readonly SegmentChain? _chain;

    // The place in the stream of groups where the log was last cut, and whether it was cut and nothing was written since: then there is no current segment.
    private long _lastCut = -1;
    private bool _isCut;

    private const long DigestWaitMs = 1000;
    private bool _awaitsDigests;
    private long _heldSinceMs; // since when a digest is waited for; 0: none is

    /// <summary>The segments as blocks; null where the log is nobody's (<see cref="LogOptions.Origin"/>). (Any thread.)</summary>
    public SegmentChain? Chain => _chain;

    /// <summary>Somebody hashes what is written, and offers the digests (<see cref="OfferDigest"/>): so a finished segment is left to him for a moment. (Any thread.)</summary>
    public bool AwaitsDigests
    {
        get => Volatile.Read(ref _awaitsDigests);
        set => Volatile.Write(ref _awaitsDigests, value);
    }

    /// <summary>Why segments could not be sealed, lately; null when they could. It is tried again. (Any thread.)</summary>
    public string? SealError { get; private set; }

    /// <summary>How many segments were ended before they were full, since the log was opened.</summary>
    public long Cuts { get; private set; }

    /// <summary>How many segments there are. (Any thread.)</summary>
    public int SegmentCount
    {
        get
        {
            lock (_gate) return _segments.Count;
        }
    }

    /// <summary>The log's directory.</summary>
    internal IFolder Files => _files;

    /// <summary>Whether any file has a part of an entry up to this one. (Any thread.)</summary>
    internal bool Holds(ulong sequence)
    {
        lock (_gate) return _toDelete.Count > 0 || _segments.Exists(s => HoldsEntries(s) && s.Header.FirstSequence <= sequence);
    }

    /// <summary>
    /// Writes everything that was ended, and ends the segment with it, if that holds anything: the next entry begins another one. Not to be called in the
    /// middle of an entry.
    /// </summary>
    public void Cut()
    {
        if (_entry != null) throw new InvalidOperationException("The entry in progress must be ended first.");
        if (IsCopy) throw new InvalidOperationException("A copy is cut where the log it copies is.");
        Flush();
        _lastCut = _sealed; // should the tail have to be written again, the cut is made then
        lock (_gate)
        {
            if (_phase != Phase.Open || _written < _sealed || _current is not { } current || !HoldsEntries(current)) return;
            _current = null;
            _isCut = true;
        }
        Cuts++;
        _room = SegmentRoom;
        OpenGroup(null, 0, EntryOverheadBytes);
        Written?.Invoke();
        _worker.WantSync();
        _worker.WantFileWork();
    }

    /// <summary>
    /// Seals what was finished, durably, and gives the segment in which an entry ends, which lies before a cut; null where that was trimmed before the log
    /// was ever sealed. (Any thread that may wait for the disk.)
    /// </summary>
    /// <exception cref="IOException">The disk failed.</exception>
    public SealedSegment? Seal(ulong sequence)
    {
        if (_chain is null) return null;
        if (!Sync(sequence)) throw new IOException("the log could not be made durable");
        PerformFileWork();
        while (SealNext(now: true))
        {
        }
        SyncChain();
        if (_chain.Find(sequence) is { } found) return found;
        lock (_gate)
        {
            // Of a segment that is there and not sealed something is to be told.
            Segment? holder = _segments.Find(s => s.Header.FirstSequence <= sequence && s.LastSequence >= sequence);
            return holder is null || holder.IsSealed ? null : throw new IOException($"the segment of entry {sequence} could not be sealed: {BackgroundError ?? "the disk failed meanwhile"}");
        }
    }

    /// <summary>The worker's round for sealing.</summary>
    internal void PerformSeal(bool now)
    {
        if (_chain is null) return;
        try
        {
            while (SealNext(now))
            {
            }
            SealError = null;
        }
        catch (IOException e)
        {
            SealError = e.Message;
        }
    }

    /// <summary>Seals the oldest finished segment that is not; false: there is none, or its digest is waited for.</summary>
    private bool SealNext(bool now)
    {
        lock (_sealGate)
        {
            if (_phase == Phase.Closed || _chain is null) return false;
            LoadChain();
            Segment next;
            lock (_gate)
            {
                while (_sealedSegments < _segments.Count && _segments[_sealedSegments].IsSealed) _sealedSegments++;
                if (_sealedSegments == _segments.Count) return false;
                next = _segments[_sealedSegments];
                if (!next.IsFinished || !next.IsNamed) return false;
            }
            if (HoldsEntries(next))
            {
                if (!now && IsDigestComing(next)) return false;
                _chain.Add(next.Header, next.LastSequence, next.Length);
            }
            lock (_gate) next.IsSealed = true;
            return true;
        }
    }

    private bool IsDigestComing(Segment segment)
    {
        if (!AwaitsDigests || _chain!.IsOffered(segment.Start, segment.Length))
        {
            Volatile.Write(ref _heldSinceMs, 0);
            return false;
        }
        long ms = Environment.TickCount64;
        if (_heldSinceMs == 0) Volatile.Write(ref _heldSinceMs, ms);
        else if (ms - _heldSinceMs >= DigestWaitMs)
        {
            Volatile.Write(ref _heldSinceMs, 0);
            return false;
        }
        return true;
    }

    /// <summary>Reads what was sealed before. Of the segments that recovery found some may be among them.</summary>
    private void LoadChain()
    {
        lock (_sealGate)
        {
            if (_chain!.IsLoaded) return;
            List<Segment> found;
            lock (_gate) found = [.. _segments.Where(s => s.StreamStart < 0 && HoldsEntries(s))];
            foreach (Segment segment in found.Where(static s => s.MayBeLonger))
            {
                if (!BeginsWithEntries(segment)) Empty(segment);
            }
            // Where a later epoch or generation goes on, something may have been cut off that a node of the chain still has: the start that cut it off may have ended
            // before it said so.
            foreach (Segment segment in found)
            {
                if (segment.MayBeLonger && IsRunsEnd(segment)) Measure(segment);
            }
            found.RemoveAll(static s => !HoldsEntries(s));
            ulong last = IsCopy && found.Count == 0 ? _given : Recovery.LastSequence;
            long[] lengths = _chain.Load([.. found.Select(static s => (s.Header, s.LastSequence, s.Length, s.MayBeLonger))], at => Measure(found[at]), last, IsCopy);
            for (int i = 0; i < lengths.Length; i++)
            {
                if (lengths[i] == 0) continue;
                if (lengths[i] == SegmentChain.LeftOver)
                {
                    Empty(found[i]);
                    continue;
                }
                lock (_gate)
                {
                    found[i].Length = found[i].SyncedLength = lengths[i];
                    found[i].MayBeLonger = false;
                    found[i].IsSealed = true;
                }
            }
        }
    }

    /// <summary>Whether what follows a segment is of another epoch or generation.</summary>
    private bool IsRunsEnd(Segment segment)
    {
        lock (_gate)
        {
            int next = _segments.IndexOf(segment) + 1;
            return next < _segments.Count && _segments[next].Header is var header && (header.Epoch != segment.Header.Epoch || header.Generation != segment.Header.Generation);
        }
    }

    /// <summary>There is nothing in a segment's file that belongs to the log.</summary>
    private void Empty(Segment segment)
    {
        lock (_gate)
        {
            segment.Length = segment.SyncedLength = LogFormat.SegmentHeaderBytes;
            segment.MayBeLonger = false;
        }
    }

    /// <summary>Whether a segment that recovery did not read holds anything, or only zeros and the mark of a clean end.</summary>
    private bool BeginsWithEntries(Segment segment)
    {
        using IFile file = _files.Open(segment.Name);
        byte* header = stackalloc byte[LogFormat.GroupHeaderBytes];
        return file.Read(LogFormat.SegmentHeaderBytes, new Span<byte>(header, LogFormat.GroupHeaderBytes)) == LogFormat.GroupHeaderBytes
            && Group.Trusted(header).Kind is >= GroupKind.Whole and <= GroupKind.Last;
    }

    /// <summary>
    /// Finds where the groups end of a segment that recovery did not read: before zeros, or before groups that were cut off it, since the next segment has
    /// them; a loss of power may have given the file back either.
    /// </summary>
    private long Measure(Segment segment)
    {
        SegmentHeader? next;
        lock (_gate)
        {
            int at = _segments.IndexOf(segment) + 1;
            next = at < _segments.Count ? _segments[at].Header : null;
        }
        byte[] bytes = new byte[segment.Length];
        int length;
        using (IFile file = _files.Open(segment.Name)) length = file.Read(0, bytes);
        long end = LogFormat.SegmentHeaderBytes;
        // Whatever lies behind the place where the next segment goes on, it was cut off.
        (ulong sequence, ulong part) = (segment.Header.FirstSequence, segment.Header.EntryOffset);
        fixed (byte* start = bytes)
        {
            while (end < length && Group.TryRead(start + end, length - end, segment.Header.Crc, out Group group))
            {
                if (IsNext() && (group.Kind != GroupKind.End || group.FirstSequence != sequence)) break;
                part = group.Kind is GroupKind.First or GroupKind.Middle ? part + group.PayloadBytes - LogFormat.PartOffsetBytes : 0;
                sequence = group.NextSequence;
                end += group.TotalBytes;
            }
        }
        if (!IsNext() && bytes.AsSpan((int)end).ContainsAnyExcept((byte)0)) return segment.Length; // damaged: CHECK tells
        lock (_gate)
        {
            segment.MayBeLonger = false;
            segment.Length = segment.SyncedLength = end;
        }
        return end;

        bool IsNext() => next is { } header && header.FirstSequence == sequence && header.EntryOffset == part;
    }

    /// <summary>Makes the chain durable, before something relies on it.</summary>
    private void SyncChain()
    {
        if (_chain is null) return;
        lock (_sealGate)
        {
            if (_chain.IsLoaded) _chain.Sync();
        }
    }

    /// <summary>Whether a segment holds a part of an entry, and not only the mark of a clean end.</summary>
    private static bool HoldsEntries(Segment segment) => segment.Length > LogFormat.SegmentHeaderBytes + LogFormat.GroupHeaderBytes;

    /// <summary>Whether a sealed segment's file was not dropped. (Any thread.)</summary>
    private bool IsThere(SealedSegment segment)
    {
        lock (_gate)
        {
            int low = 0, high = _segments.Count - 1;
            while (low <= high)
            {
                int middle = (low + high) / 2;
                SegmentHeader header = _segments[middle].Header;
                int order = segment.CompareStart(header.FirstSequence, header.EntryOffset);
                if (order == 0 && HoldsEntries(_segments[middle])) return header.Epoch == segment.Node.Epoch && header.Generation == segment.Generation;
                // An empty segment has the place of the one that follows it.
                if (order < 0) high = middle - 1;
                else low = middle + 1;
            }
            return false;
        }
    }
}
