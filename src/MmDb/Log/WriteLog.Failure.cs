using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Leither.Ipfs.Files;

namespace Leither.MmDb.Log;

// When the disk is full, or fails.
//
// Full: before a command executes, CanAccept makes sure that preallocated space for its entry is there. When it cannot be had, the command
// is refused, nothing has failed, and the worker tries again from time to time.
//
// Failed: a write or sync returned an error all the same. After a failed sync the system may have dropped the written pages and call the
// next sync a success, so the file is never synced again. Everything after the last successful sync, which is still in memory (or, beyond a
// limit, read back and checked), is written to new segments of the next generation instead. Their header says where they begin, and
// recovery ignores what older generations have from there on. Until that succeeds, writes are refused and what was ended waits.
public sealed unsafe partial class WriteLog
{
    private enum Phase
    {
        Open,

        /// <summary>The I/O thread decides when to go on to <see cref="Rewriting"/>.</summary>
        Failed,

        /// <summary>Segments and sealed chunks belong to the worker, which goes on to <see cref="Open"/> or back to <see cref="Failed"/>.</summary>
        Rewriting,

        Closed,
    }

    /// <summary>What an entry may need beyond the bytes that its command named: headers, tags, lengths.</summary>
    private const int EntrySlackBytes = 256;

    private volatile Phase _phase;
    private volatile bool _full;
    private LogError _error;
    private long _retryAtMs;

    /// <summary>Whether the log takes entries. (Any thread.)</summary>
    public LogState State => _phase switch
    {
        Phase.Closed => LogState.Closed,
        Phase.Open => _full ? LogState.Full : LogState.Open,
        _ => LogState.Failed,
    };

    /// <summary>Why the log is full or has failed; the default value when it has not. (Any thread.)</summary>
    public LogError Error
    {
        get
        {
            lock (_gate) return _error;
        }
    }

    /// <summary>
    /// Whether an entry of about <paramref name="bytes"/> can be logged: to be asked before a command executes, since after that it must be.
    /// True means that its space is preallocated. An entry that turns out larger still gets in; should there be no space, it waits in memory.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool CanAccept(long bytes, out LogError error)
    {
        // Common case: it fits the open group, and that the current segment.
        if (_phase == Phase.Open && bytes + EntrySlackBytes <= _promised - _cursor)
        {
            error = default;
            return true;
        }
        return CanAcceptSlow(bytes, out error);
    }

    /// <summary>
    /// To be called now and then (each cron round): tries the disk again after a failure, and writes what had to wait.
    /// </summary>
    public void Tick(long nowMs)
    {
        if (IsCopy)
        {
            TickCopy(nowMs);
            return;
        }
        if (_phase == Phase.Failed || _phase == Phase.Open && (_full || BackgroundError is not null || SealError is not null))
        {
            if (_retryAtMs == 0) _retryAtMs = nowMs + (long)_options.RetryInterval.TotalMilliseconds;
            if (nowMs < _retryAtMs) return;
            _retryAtMs = 0;
            if (_phase == Phase.Failed)
            {
                _promised = null;
                _phase = Phase.Rewriting;
            }
            else if (_full) _prepareAsked = true;
            _worker.WantFileWork();
            if (SealError is not null) _worker.WantSeal();
        }
        else if (_phase == Phase.Open)
        {
            _retryAtMs = 0;
            if (_sealed > Volatile.Read(ref _written)) Flush();
            if (_entry == null) TrimPrepared(nowMs);
            if (Volatile.Read(ref _heldSinceMs) != 0) _worker.WantSeal();
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool CanAcceptSlow(long bytes, out LogError error)
    {
        if (_phase != Phase.Open || IsCopy)
        {
            error = IsCopy ? new LogError(LogState.Open, "the log is a copy") : _phase == Phase.Closed ? new LogError(LogState.Closed, "the log is closed") : Error;
            return false;
        }

        // The segments that this entry and all that waits may need at worst. A segment is left when a piece (at most _streamThreshold, which
        // bounds entries written whole and single reservations) does not fit any more; each piece that ends a group costs a header.
        const int overhead = LogFormat.GroupHeaderBytes + LogFormat.PartOffsetBytes;
        long need = _sealed - _written + (_cursor - _group) + bytes + EntrySlackBytes;
        need += overhead * (4 + need / (_chunkBytes / 16));
        long segments = 0;
        if (need > (_current?.Room ?? 0))
        {
            long usable = SegmentRoom - _streamThreshold - 2 * overhead;
            segments = need <= SegmentRoom ? 1 : (need + usable - 1) / usable + 1;
        }

        lock (_gate) segments -= _prepared.Count;
        if (segments <= 0)
        {
            error = default;
            return true;
        }
        if (_full)
        {
            error = Error;
            return false;
        }
        try
        {
            for (; segments > 0; segments--)
            {
                PreparedFile prepared = Prepare();
                lock (_gate) _prepared.Enqueue(prepared);
            }
            error = default;
            return true;
        }
        catch (DiskException e)
        {
            error = new LogError(LogState.Full, e.Reason);
            lock (_gate) _error = error;
            _full = true;
            ReleasePrepared();
            return false;
        }
    }

    /// <summary>Gives the disk back what a refused large entry had already taken.</summary>
    private void ReleasePrepared()
    {
        while (true)
        {
            PreparedFile? prepared;
            lock (_gate)
            {
                if (_prepared.Count <= 1 || !_prepared.TryDequeue(out prepared)) return;
            }
            Discard(prepared);
        }
    }

    /// <summary>A write or sync failed: from here on nothing is written or called synced until <see cref="Rewrite"/> succeeds.</summary>
    private void Fail(DiskException e)
    {
        lock (_gate)
        {
            if (_phase != Phase.Open) return;
            _error = new LogError(LogState.Failed, e.Message);
            _phase = Phase.Failed;
        }
    }

    /// <summary>
    /// Writes everything sealed after the last successful sync to new segments, syncs them, and goes on there. When it fails, the new files are
    /// given up and the next try begins from the same place.
    /// </summary>
    /// <remarks>
    /// The header of the first new segment is written last, when all the rest is durable: it makes the new generation valid, all of it at once.
    /// Without it these files, which have names of their own until then, mean nothing to recovery.
    /// </remarks>
    private void Rewrite()
    {
        lock (_syncGate)
        {
            List<Segment> old, made = [];
            long start, end;
            lock (_gate)
            {
                old = [.. _segments];
                start = _synced;
                end = Volatile.Read(ref _sealed);
            }
            _generation++;
            try
            {
                _written = start;
                ulong written = _syncedSequence;
                while (_written < end)
                {
                    using GroupSource source = FindGroups(_written, old);
                    byte* at = source.Groups;
                    byte* stop = at + Math.Min(source.Bytes, end - _written);
                    while (at < stop)
                    {
                        Group group = Group.Trusted(at);
                        Segment? segment = made.Count == 0 ? null : made[^1];
                        if (segment is null || segment.Room < group.TotalBytes || _written == _lastCut) segment = BeginRewrite(made, group);
                        Group.Seal(at, segment.Header.Crc, _syncedSequence);
                        WriteFully(segment.File!, segment.Length, at, group.TotalBytes);
                        segment.Length += group.TotalBytes;
                        segment.LastSequence = written = group.NextSequence - 1;
                        _written += group.TotalBytes;
                        at += group.TotalBytes;
                    }
                }
                _files.SyncDirectory(); // under the name of a prepared file, one with a header would count by itself
                foreach (Segment segment in made)
                {
                    if (segment != made[0]) WriteHeader(segment);
                    segment.File!.Sync();
                    segment.SyncedLength = segment.Length;
                    segment.IsInDirectory = true;
                }
                if (made.Count > 0)
                {
                    WriteHeader(made[0]);
                    made[0].File!.Sync();
                }
                else
                {
                    // Nothing waits. A prepared file shows whether the disk works; the next group will begin a segment with it.
                    PreparedFile prepared = Prepare();
                    prepared.File.Sync();
                    lock (_gate) _prepared.Enqueue(prepared);
                }
                Adopt(old, made, start, written);
            }
            catch (DiskException e)
            {
                GiveUp(made);
                lock (_gate)
                {
                    _error = new LogError(e.IsFull ? LogState.Full : LogState.Failed, e.Message);
                    _phase = Phase.Failed;
                }
            }
        }
    }

    /// <summary>Another segment for the rewritten tail, to begin with <paramref name="first"/>.</summary>
    private Segment BeginRewrite(List<Segment> made, Group first)
    {
        PreparedFile prepared = TakePrepared() ?? Prepare();
        // It counts only once all that goes before is durable, so it can vouch for that.
        Segment segment = NewSegment(prepared, first.FirstSequence, first.PartOffset, made.Count == 0 ? _syncedSequence : first.FirstSequence - 1);
        made.Add(segment);
        string name = LogFormat.RewriteName(_generation, made.Count);
        _files.Rename(segment.Name, name);
        segment.Name = name;
        return segment;
    }

    /// <summary>Gives up a rewritten tail. Its first segment goes first: should its header have got to the disk, and its deletion fail, then all of
    /// the tail is there and counts.</summary>
    private void GiveUp(List<Segment> made)
    {
        foreach (Segment segment in made) segment.File!.Dispose();
        try
        {
            foreach (Segment segment in made) _files.Delete(segment.Name);
        }
        catch (DiskException e)
        {
            BackgroundError = e.Message;
        }
    }

    /// <summary>The rewritten tail is durable: it takes the place of what older segments hold from <paramref name="start"/> on.</summary>
    private void Adopt(List<Segment> old, List<Segment> made, long start, ulong written)
    {
        var cut = new List<Segment>();
        lock (_gate)
        {
            foreach (Segment segment in old)
            {
                if (segment.IsFinished) continue;
                // A segment that holds nothing yet is still the durable mark that this epoch was opened, if no other takes its place.
                bool isMark = made.Count == 0 && segment.SyncedLength > 0;
                if (segment.StreamStart >= start && !isMark)
                {
                    RemoveSegments(_segments.IndexOf(segment), 1);
                    _toDelete.Enqueue(segment.Name);
                    cut.Add(segment);
                }
                else
                {
                    long kept = LogFormat.SegmentHeaderBytes + (start - segment.StreamStart);
                    if (kept < segment.Length)
                    {
                        segment.Length = segment.SyncedLength = kept;
                        segment.LastSequence = _syncedSequence;
                    }
                    if (segment.SyncedLength == segment.Length) cut.Add(segment);
                }
            }
            _segments.AddRange(made);
            _hasBegun |= made.Count > 0;
            _settled = _sealedSegments = 0;
            _isCut = _written == _lastCut;
            _current = made.Count == 0 || _isCut ? null : made[^1];
            _synced = _written;
            Volatile.Write(ref _writtenSequence, written);
            Volatile.Write(ref _syncedSequence, written);
            _error = default;
            _full = false;
            Volatile.Write(ref _syncScheduled, false); // a round that was asked for may have been turned away
            _phase = Phase.Open;
        }
        // The old files may well be beyond repair. Nothing depends on them: recovery goes by the new segments' headers.
        foreach (Segment segment in cut)
        {
            try
            {
                if (segment.StreamStart < start || made.Count == 0) segment.File!.Truncate(segment.Length);
            }
            catch (DiskException e)
            {
                BackgroundError = e.Message;
            }
            segment.File!.Dispose();
            lock (_gate)
            {
                segment.File = null;
                segment.IsFinished = true;
            }
        }
        if (_chain is not null) _worker.WantSeal();
    }

    /// <summary>The groups from a place in the stream on, from memory or else from the file they were written to.</summary>
    private GroupSource FindGroups(long from, List<Segment> segments)
    {
        Chunk oldest;
        lock (_gate) oldest = _oldest;
        if (from >= oldest.StreamStart)
        {
            Chunk chunk = oldest;
            while (chunk.StreamEnd <= from)
            {
                lock (_gate) chunk = chunk.Next!;
            }
            return new GroupSource(chunk.Base + (from - chunk.StreamStart), chunk.StreamEnd - from, owned: null);
        }

        Segment segment = segments.Last(s => s.File is not null && s.StreamStart <= from);
        long offset = LogFormat.SegmentHeaderBytes + (from - segment.StreamStart);
        long bytes = Math.Min(segment.Length - offset, oldest.StreamStart - from);
        byte* buffer = (byte*)NativeMemory.Alloc((nuint)bytes);
        var source = new GroupSource(buffer, bytes, owned: buffer);
        try
        {
            int read = segment.File!.Read(offset, new Span<byte>(buffer, (int)bytes));
            for (long at = 0; at < bytes;)
            {
                if (!Group.TryRead(buffer + at, read - at, segment.Header.Crc, out Group group))
                {
                    throw new DiskException("read back", segment.Name, "what the failed sync was to make durable is gone", isFull: false);
                }
                at += group.TotalBytes;
            }
            return source;
        }
        catch
        {
            source.Dispose();
            throw;
        }
    }

    private readonly struct GroupSource(byte* groups, long bytes, byte* owned) : IDisposable
    {
        public byte* Groups { get; } = groups;

        public long Bytes { get; } = bytes;

        public void Dispose() => NativeMemory.Free(owned);
    }
}
