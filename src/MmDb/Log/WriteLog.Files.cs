using System.Runtime.CompilerServices;
using Leither.Ipfs.Files;

namespace Leither.MmDb.Log;

// Segments, writing and syncing.
//
// The I/O thread writes groups to the current segment. When one does not fit, it takes a prepared file (created and preallocated by the
// worker), writes the segment header into it and goes on there: it neither creates, allocates nor syncs a file, unless the worker
// could not keep up. The worker renames the file, which until then is known by its header, and finishes the segment before: syncs it,
// cuts it to its length, closes it.
//
// Locks: _gate guards the bookkeeping both sides see and is never held across a call to the disk; _syncGate makes [what is written? →
// sync → it is synced] one step, and is taken before _gate; _sealGate, before both, is held while a segment is sealed; _fileWorkGate, outermost,
// by the worker's file work.
public sealed unsafe partial class WriteLog
{
    private const int MaxPrepared = 16;

    private readonly IFolder _files;
    private readonly LogOptions _options;
    private readonly LogWorker _worker;
    private readonly Lock _gate = new(), _syncGate = new(), _fileWorkGate = new(), _sealGate = new();

    private readonly List<Segment> _segments = [];
    private int _settled; // how many of the first ones need no more work: see FirstUnsettled
    private int _sealedSegments; // how many of the first ones are sealed
    private readonly Queue<PreparedFile> _prepared = new();
    private readonly Queue<string> _toDelete = new();
    private Segment? _current;
    private bool _hasBegun; // or it waits for its first entry, without a file
    private uint _generation;

    /// <summary>Where this epoch began, and the epoch of the entry before that.</summary>
    private readonly ulong _epochFirst, _previousEpoch;
    private readonly List<(Segment Segment, long Length)> _dirty = []; // TrySync's, under _syncGate
    private int _preparedCounter;
    private int _prepareTarget = 1;
    private long _rotations, _rotationsSeen, _prepareTargetCheckedMs;
    private volatile bool _prepareAsked;

    private Chunk _oldest, _writing;
    private Chunk? _spare;
    private long _bufferBytes;
    private long _written, _synced;
    private ulong _writtenSequence, _syncedSequence;
    private long _lastSyncMs;
    private bool _syncScheduled;
    private volatile FsyncPolicy _fsync;

    /// <summary>When written entries are synced; may be set at any time.</summary>
    public FsyncPolicy Fsync
    {
        get => _fsync;
        set
        {
            _fsync = value;
            Volatile.Write(ref _syncScheduled, true); // what an easier policy left unsynced
            _worker.WantSync();
        }
    }

    /// <summary>The last entry that is in the file, as far as the system knows: it outlives this process. (Any thread.)</summary>
    public ulong WrittenSequence => Volatile.Read(ref _writtenSequence);

    /// <summary>The last entry that is durable: it outlives a loss of power. (Any thread.)</summary>
    public ulong SyncedSequence => Volatile.Read(ref _syncedSequence);

    /// <summary>The last entry whose reply may leave: it is durable under <see cref="FsyncPolicy.Always"/>, else written.</summary>
    public ulong AcknowledgeableSequence => _fsync == FsyncPolicy.Always ? SyncedSequence : WrittenSequence;

    /// <summary>Bytes of groups sealed since the log was opened.</summary>
    public long AppendedBytes => Volatile.Read(ref _sealed);

    /// <summary>Bytes of memory in which groups are built, and kept until they are synced or too many.</summary>
    public long BufferBytes => Volatile.Read(ref _bufferBytes);

    /// <summary>Bytes of all segments on disk, as far as they are written.</summary>
    public long TotalBytes
    {
        get
        {
            lock (_gate)
            {
                long total = 0;
                foreach (Segment segment in _segments) total += segment.Length;
                return total;
            }
        }
    }

    /// <summary>The segments, oldest first. (Any thread.)</summary>
    public IReadOnlyList<SegmentDescription> Segments
    {
        get
        {
            lock (_gate)
            {
                var list = new SegmentDescription[_segments.Count];
                for (int i = 0; i < list.Length; i++)
                {
                    Segment s = _segments[i];
                    list[i] = new SegmentDescription(s.Name, s.Header.Epoch, s.Header.FirstSequence, s.LastSequence, s.Length, s.IsFinished);
                }
                return list;
            }
        }
    }

    /// <summary>What an empty segment has room for.</summary>
    private long SegmentRoom => _options.SegmentBytes - LogFormat.SegmentHeaderBytes;

    /// <summary>
    /// Writes everything that was ended since the last call, as one group in one write(), and syncs it if the policy is
    /// <see cref="FsyncPolicy.Always"/>. Replies may leave up to <see cref="AcknowledgeableSequence"/>: when the disk fails, that stays
    /// behind until the log has recovered.
    /// </summary>
    public void Flush()
    {
        ObjectDisposedException.ThrowIf(_phase == Phase.Closed, this);
        if (IsCopy)
        {
            SyncAsSaid();
            return;
        }
        if (_groupEntries > 0)
        {
            long carried = _entry == null ? 0 : _cursor - _entry;
            byte* from = _entry;
            SealWhole();
            Emit();
            OpenGroup(from, carried, 0);
            if (from != null) _entry = _group + LogFormat.GroupHeaderBytes;
        }
        else Emit();

        SyncAsSaid();
        ReleaseChunks();
        if (Written is not null) TellWritten();
    }

    /// <summary>Syncs what was written, or has it synced, as the policy says.</summary>
    private void SyncAsSaid()
    {
        if (_phase != Phase.Open || _synced >= _written) return;
        if (_fsync == FsyncPolicy.Always) TrySync(finishedOnly: false);
        else if (_fsync == FsyncPolicy.EverySecond
            && (!Volatile.Read(ref _syncScheduled) || _written - Volatile.Read(ref _synced) > _options.RetainedTailBytes / 2))
        {
            Volatile.Write(ref _syncScheduled, true);
            _worker.WantSync();
        }
    }

    /// <summary>Makes everything up to <paramref name="sequence"/>, which was written, durable; false when the disk fails. (Any thread.)</summary>
    public bool Sync(ulong sequence) => SyncedSequence >= sequence || (TrySync(finishedOnly: false) && SyncedSequence >= sequence);

    /// <summary>Waits until everything up to <paramref name="sequence"/> is durable; false when the disk fails. (The log's thread.)</summary>
    public bool WaitSynced(ulong sequence)
    {
        if (SyncedSequence >= sequence) return true;
        if (sequence > _writtenSequence) Flush();
        return SyncedSequence >= sequence || TrySync(finishedOnly: false) && SyncedSequence >= sequence;
    }

    /// <summary>
    /// Deletes whole segments that hold nothing after <paramref name="sequence"/> (a durable checkpoint's), oldest first, as long as those
    /// that are kept below it hold more than <paramref name="keepBytes"/>, and nobody reads or keeps them. The files go in the background.
    /// </summary>
    public void DropThrough(ulong sequence, long keepBytes)
    {
        lock (_gate)
        {
            // A rewritten tail is one thing until all of it is named.
            foreach (Segment segment in _segments)
            {
                if (!segment.IsNamed) return;
            }

            // A segment can go when the one after it begins at or before the first entry needed, and not in the middle of it. What somebody keeps counts among what
            // is kept anyway.
            ulong unread = Unread(sequence);
            int below = 0, unused = 0;
            long bytes = 0;
            // The last one can when the log was cut behind it and nothing is to be kept. And none goes before it is sealed: its node is what stays of it.
            long fileBytes = Math.Max(_options.SegmentBytes / 8, LogOptions.MinSegmentBytes); // many small files are a burden too
            while (below < _segments.Count && _segments[below].IsFinished && (_chain is null || _segments[below].IsSealed))
            {
                if (below + 1 < _segments.Count)
                {
                    SegmentHeader next = _segments[below + 1].Header;
                    if (!GoesOnWith(next, sequence)) break;
                    if (GoesOnWith(next, unread)) unused = below + 1;
                }
                else if (!_isCut || keepBytes > 0 || _segments[below].LastSequence > sequence) break;
                else if (_segments[below].LastSequence <= unread) unused = below + 1;
                bytes += Math.Max(_segments[below++].Length, fileBytes);
            }
            int drop = 0;
            while (drop < unused && bytes > keepBytes) bytes -= Math.Max(_segments[drop++].Length, fileBytes);
            if (drop == 0) return;
            for (int i = 0; i < drop; i++) _toDelete.Enqueue(_segments[i].Name);
            (int settled, int sealedOnes) = (_settled, _sealedSegments);
            RemoveSegments(0, drop);
            _settled = Math.Max(0, settled - drop);
            _sealedSegments = Math.Max(0, sealedOnes - drop);
        }
        _worker.WantFileWork();

        static bool GoesOnWith(in SegmentHeader next, ulong after) => next.FirstSequence <= after || (next.FirstSequence - 1 == after && next.EntryOffset == 0);
    }

    // ---- Writing -----------------------------------------------------------------------------------------------------------------------

    /// <summary>Writes sealed groups before the end of the turn, when so many wait that they should not stay in memory.</summary>
    private void WriteEarly()
    {
        if (_sealed - _written >= MaxUnwrittenBytes) Emit();
    }

    /// <summary>Writes all sealed groups to the current segment and its successors. When the disk fails they stay sealed, and wait.</summary>
    private void Emit()
    {
        try
        {
            while (_phase == Phase.Open && _written < _sealed)
            {
                while (_writing.StreamEnd <= _written) _writing = _writing.Next!;
                byte* at = _writing.Base + (_written - _writing.StreamStart);
                Group group = Group.Trusted(at);
                if (!_hasBegun) BeginLate();
                if (_current is null || _current.Room < group.TotalBytes) Rotate(group);

                Segment segment = _current!;
                ulong synced = SyncedSequence, last = 0;
                long bytes = 0;
                while (at + bytes < _writing.SealedEnd)
                {
                    group = Group.Trusted(at + bytes);
                    if (segment.Room < bytes + group.TotalBytes) break;
                    Group.Seal(at + bytes, segment.Header.Crc, synced);
                    bytes += group.TotalBytes;
                    last = group.NextSequence - 1;
                }
                WriteFully(segment.File!, segment.Length, at, bytes);
                lock (_gate)
                {
                    segment.Length += bytes;
                    segment.LastSequence = last;
                    _written += bytes;
                    Volatile.Write(ref _writtenSequence, last);
                    _writtenTime = _time;
                }
                if (!segment.AskedForNext && segment.Room < SegmentRoom / 2)
                {
                    segment.AskedForNext = true;
                    _worker.WantFileWork();
                }
            }
        }
        catch (DiskException e)
        {
            Fail(e);
        }
    }

    private static void WriteFully(IFile file, long offset, byte* bytes, long count)
    {
        while (count > 0)
        {
            int n = (int)Math.Min(count, 1 << 30);
            file.WriteAll(offset, new ReadOnlySpan<byte>(bytes, n));
            offset += n;
            bytes += n;
            count -= n;
        }
    }

    /// <summary>Goes on in a new segment, whose first group will be <paramref name="first"/>.</summary>
    private void Rotate(Group first)
    {
        Segment next = BeginSegment(first.FirstSequence, first.PartOffset, isLate: !_isCut);
        lock (_gate)
        {
            _segments.Add(next);
            _current = next;
            _isCut = false;
        }
        _rotations++;
        _worker.WantSync();
        _worker.WantFileWork();
    }

    /// <summary>Turns a prepared file into a segment by writing its header.</summary>
    private Segment BeginSegment(ulong firstSequence, ulong entryOffset, bool isLate)
    {
        PreparedFile prepared = TakePrepared(isLate) ?? Prepare();
        Segment segment = NewSegment(prepared, firstSequence, entryOffset, SyncedSequence);
        try
        {
            WriteHeader(segment);
        }
        catch (DiskException)
        {
            Discard(prepared);
            throw;
        }
        return segment;
    }

    private static void WriteHeader(Segment segment)
    {
        byte* bytes = stackalloc byte[LogFormat.SegmentHeaderBytes];
        segment.Header.Encode(bytes);
        WriteFully(segment.File!, 0, bytes, LogFormat.SegmentHeaderBytes);
    }

    /// <summary>A segment whose header is not in its file yet.</summary>
    private Segment NewSegment(PreparedFile prepared, ulong firstSequence, ulong entryOffset, ulong syncedSequence)
    {
        var header = new SegmentHeader
        {
            Generation = _generation,
            Epoch = Epoch,
            FirstSequence = firstSequence,
            EntryOffset = entryOffset,
            PreviousEpoch = firstSequence > _epochFirst ? Epoch : _previousEpoch,
            SyncedSequence = syncedSequence,
            Salt = _options.Salt(),
        };
        byte* bytes = stackalloc byte[LogFormat.SegmentHeaderBytes];
        header.Encode(bytes); // for the checksum, which the groups are seeded with
        return new Segment
        {
            Name = prepared.Name,
            Header = header,
            File = prepared.File,
            Capacity = _options.SegmentBytes,
            Length = LogFormat.SegmentHeaderBytes,
            LastSequence = firstSequence - 1,
            StreamStart = _written,
            IsInDirectory = prepared.IsInDirectory,
        };
    }

    // ---- Prepared files ----------------------------------------------------------------------------------------------------------------

    private PreparedFile? TakePrepared(bool isLate = true)
    {
        lock (_gate)
        {
            if (_prepared.TryDequeue(out PreparedFile? prepared)) return prepared;
            // The worker was too slow: it should have more ready next time.
            if (isLate) _prepareTarget = Math.Min(_prepareTarget * 2, MaxPrepared);
            return null;
        }
    }

    /// <summary>A log that was busy and is not any more gives back files that it had prepared in plenty.</summary>
    private void TrimPrepared(long nowMs)
    {
        const int intervalMs = 10_000;
        if (nowMs - _prepareTargetCheckedMs < intervalMs) return;
        _prepareTargetCheckedMs = nowMs;
        bool idle = _rotations == _rotationsSeen;
        _rotationsSeen = _rotations;
        if (!idle) return;
        lock (_gate)
        {
            _prepareTarget = Math.Max(1, _prepareTarget / 2);
            if (_prepared.Count <= _prepareTarget) return;
            while (_prepared.Count > _prepareTarget)
            {
                PreparedFile surplus = _prepared.Dequeue();
                surplus.File.Dispose();
                _toDelete.Enqueue(surplus.Name);
            }
        }
        _worker.WantFileWork();
    }

    /// <summary>Creates and preallocates a file for a segment to come.</summary>
    private PreparedFile Prepare()
    {
        string name = LogFormat.PreparedPrefix + Interlocked.Increment(ref _preparedCounter) + LogFormat.SegmentSuffix;
        var prepared = new PreparedFile(name, _files.Create(name));
        try
        {
            prepared.File.Allocate(_options.SegmentBytes);
        }
        catch (DiskException)
        {
            Discard(prepared);
            throw;
        }
        return prepared;
    }

    /// <summary>Gives up a file that holds nothing. Should even its deletion fail, the next start sees that it is empty.</summary>
    private void Discard(PreparedFile prepared)
    {
        prepared.File.Dispose();
        try
        {
            _files.Delete(prepared.Name);
        }
        catch (DiskException e)
        {
            BackgroundError = e.Message;
        }
    }

    // ---- Syncing -----------------------------------------------------------------------------------------------------------------------

    /// <summary>Syncs what is written now (or only segments that are full); false when the disk failed, now or before.</summary>
    private bool TrySync(bool finishedOnly)
    {
        lock (_syncGate)
        {
            if (_phase != Phase.Open) return false;
            List<(Segment Segment, long Length)> dirty = _dirty;
            dirty.Clear();
            long target;
            ulong sequence;
            bool directory = false;
            lock (_gate)
            {
                for (int i = FirstUnsettled(); i < _segments.Count; i++)
                {
                    Segment segment = _segments[i];
                    if (segment.SyncedLength == segment.Length || finishedOnly && segment == _current) continue;
                    dirty.Add((segment, segment.Length));
                    directory |= !segment.IsInDirectory;
                }
                bool all = !finishedOnly || _current is null;
                target = all ? _written : _current!.StreamStart;
                sequence = all ? _writtenSequence : _current!.Header.FirstSequence - 1;
            }
            try
            {
                if (directory) _files.SyncDirectory();
                // All of them at once on their way to the disk: one commit of the file system's journal then serves several.
                if (dirty.Count > 1)
                {
                    foreach ((Segment segment, _) in dirty) segment.File!.BeginWriteback();
                }
                foreach ((Segment segment, long length) in dirty)
                {
                    segment.IsInDirectory = true;
                    segment.File!.Sync();
                    lock (_gate) segment.SyncedLength = length;
                }
            }
            catch (DiskException e)
            {
                Fail(e);
                return false;
            }
            lock (_gate)
            {
                // A failure meanwhile, seen by another thread, may concern these very bytes.
                if (_phase != Phase.Open) return false;
                if (target > _synced)
                {
                    _synced = target;
                    Volatile.Write(ref _syncedSequence, sequence);
                }
            }
            return true;
        }
    }

    /// <summary>The worker's sync round. Returns in how many milliseconds the next is due; negative: when asked.</summary>
    internal int PerformSync(bool now)
    {
        const int intervalMs = 1000;
        if (_phase != Phase.Open) return -1;
        long nowMs = Environment.TickCount64;
        bool all = _fsync switch
        {
            FsyncPolicy.Always => true,
            FsyncPolicy.EverySecond => now || nowMs - _lastSyncMs >= intervalMs || IsTailLong,
            _ => false,
        };
        if (all)
        {
            // Cleared first: what is written from here on asks for the next round.
            Volatile.Write(ref _syncScheduled, false);
            _lastSyncMs = nowMs;
        }
        if (all) TrySync(finishedOnly: false);
        else if (_fsync == FsyncPolicy.No) TrySync(finishedOnly: true); // so that what is kept in memory can go
        if (HasFileWork) _worker.WantFileWork();
        if (_fsync != FsyncPolicy.EverySecond || !Volatile.Read(ref _syncScheduled)) return -1;
        return (int)Math.Clamp(_lastSyncMs + intervalMs - Environment.TickCount64, 1, intervalMs);
    }

    private bool IsTailLong
    {
        get
        {
            lock (_gate) return _written - _synced > _options.RetainedTailBytes / 2;
        }
    }

    // ---- The worker's file work --------------------------------------------------------------------------------------------------------

    /// <summary>The last error of background work that does not endanger entries (a rename, truncation or deletion, tried again later);
    /// null when there was none since it last went well.</summary>
    public string? BackgroundError { get; private set; }

    private bool HasFileWork
    {
        get
        {
            lock (_gate)
            {
                for (int i = FirstUnsettled(); i < _segments.Count; i++)
                {
                    if (NeedsWork(_segments[i])) return true;
                }
                return _toDelete.Count > 0;
            }
        }
    }

    /// <summary>The first segment that is not yet named, synced and finished: a long log is not walked for its end. (Under _gate.)</summary>
    private int FirstUnsettled()
    {
        while (_settled < _segments.Count && _segments[_settled] is { IsNamed: true, IsFinished: true }) _settled++;
        return _settled;
    }

    private bool NeedsWork(Segment segment) =>
        !segment.IsNamed || segment != _current && !segment.IsFinished && segment.SyncedLength == segment.Length;

    /// <summary>The worker's round for files: names, finishes, prepares and deletes; after a failure writes the tail again.</summary>
    internal void PerformFileWork()
    {
        lock (_fileWorkGate) DoFileWork();
    }

    private void DoFileWork()
    {
        if (_phase == Phase.Rewriting) Rewrite();
        if (_phase != Phase.Open) return;
        string? error = null;
        Try(DeleteDropped); // before more space is asked for
        if (!IsCopy) Try(PrepareAhead); // before what nobody waits for
        Segment[] work;
        lock (_gate) work = [.. _segments.Skip(FirstUnsettled()).Where(NeedsWork)];
        foreach (Segment segment in work)
        {
            Try(() =>
            {
                Name(segment);
                bool finish;
                lock (_gate) finish = segment != _current && segment.SyncedLength == segment.Length;
                if (finish) Finish(segment);
            });
        }
        BackgroundError = error;

        void Try(Action action)
        {
            try
            {
                action();
            }
            catch (DiskException e)
            {
                error = e.Message;
            }
        }
    }

    /// <summary>Gives a segment's file, known by its header until now, its name.</summary>
    private void Name(Segment segment)
    {
        if (segment.IsNamed) return;
        string name = segment.Header.FileName();
        _files.Rename(segment.Name, name);
        lock (_gate)
        {
            segment.Name = name;
            segment.IsNamed = true;
        }
    }

    /// <summary>
    /// Cuts a full and synced segment to its length: from now on its bytes are final. The cut need not be durable: a start after a crash
    /// finds zeros behind the last group, and cuts again.
    /// </summary>
    private void Finish(Segment segment)
    {
        if (segment.IsFinished) return;
        if (segment.File!.Length > segment.Length) segment.File.Truncate(segment.Length);
        segment.File.Dispose();
        lock (_gate)
        {
            segment.File = null;
            segment.IsFinished = true;
        }
        if (_chain is not null) _worker.WantSeal();
    }

    /// <summary>
    /// Makes files for segments to come: when the current one is half full, when the log was cut, or, in a log that once had to wait for a file, as soon as one is taken.
    /// </summary>
    private void PrepareAhead()
    {
        List<PreparedFile> made = [];
        DiskException? failure = null;
        while (failure is null)
        {
            lock (_gate)
            {
                bool ahead = _current is { } current ? current.Room < SegmentRoom / 2 : _isCut && !_options.IsThrifty;
                bool wanted = _prepareAsked || _prepareTarget > 1 || ahead;
                if (!wanted || _prepared.Count + made.Count >= _prepareTarget) break;
            }
            try
            {
                made.Add(Prepare());
            }
            catch (DiskException e)
            {
                failure = e;
            }
        }
        // Synced, so that later syncs find the lengths on the disk already; together, because the file system commits them together.
        foreach (PreparedFile prepared in made)
        {
            try
            {
                prepared.File.Sync();
                lock (_gate) _prepared.Enqueue(prepared);
            }
            catch (DiskException e)
            {
                Discard(prepared);
                failure ??= e;
            }
        }
        if (failure is not null) throw failure;
        if (_prepareAsked)
        {
            _prepareAsked = false;
            lock (_gate) _error = default;
            _full = false;
        }
        if (made.Count == 0) return;
        PreparedFile[] all;
        lock (_gate) all = [.. _prepared];
        _files.SyncDirectory();
        foreach (PreparedFile prepared in all) prepared.IsInDirectory = true;
    }

    private void DeleteDropped()
    {
        lock (_readGate) CloseUnread();
        bool deleted = false;
        while (true)
        {
            string? name;
            lock (_gate)
            {
                if (!_toDelete.TryPeek(out name)) break;
            }
            if (!deleted) SyncChain(); // what is deleted may be a segment
            _files.Delete(name);
            deleted = true;
            lock (_gate) _toDelete.Dequeue();
        }
        if (deleted) _files.SyncDirectory();
    }

    /// <summary>Writes the mark of a clean end, syncs, and leaves finished files only.</summary>
    private void CloseFiles()
    {
        lock (_fileWorkGate)
        {
            if (!IsCopy && _phase is Phase.Failed or Phase.Rewriting)
            {
                _phase = Phase.Rewriting;
                Rewrite();
                Emit();
            }
            // A segment without a group, behind a clean end that was not dropped, says nothing: without it the end before is the end again.
            bool empty = _cleanEndRemains && _segments.Count > 1 && _written == 0 && _current is { Length: LogFormat.SegmentHeaderBytes };
            if (empty)
            {
                Segment segment = _current!;
                lock (_gate)
                {
                    RemoveSegments(_segments.IndexOf(segment), 1);
                    _toDelete.Enqueue(segment.Name);
                    _current = null;
                }
                segment.File!.Dispose();
            }
            else if (IsCopy) TrySync(finishedOnly: false);
            else if (_hasBegun || _written < _sealed)
            {
                // First what the mark vouches for, then the mark. Should it be torn, the end was not a clean one.
                if (TrySync(finishedOnly: false))
                {
                    Group.EncodeHeader(_group, GroupKind.End, 0, 0, _last + 1);
                    Sealed(LogFormat.GroupHeaderBytes);
                    Emit();
                    TrySync(finishedOnly: false);
                }
            }
            if (_phase != Phase.Open) throw new DiskException("close", _files.FullName(""), Error.Text, Error.State == LogState.Full);

            Segment? running = IsCopy ? _current : null; // which is not finished: its bytes go on
            lock (_gate)
            {
                _current = null;
                while (_prepared.TryDequeue(out PreparedFile? prepared))
                {
                    prepared.File.Dispose();
                    _toDelete.Enqueue(prepared.Name);
                }
            }
            foreach (Segment segment in _segments)
            {
                if (segment == running) continue;
                Name(segment);
                Finish(segment);
            }
            DeleteDropped();
            _files.SyncDirectory();
        }
    }

    // ---- Chunks ------------------------------------------------------------------------------------------------------------------------

    /// <summary>Goes on in another chunk with room for a group of <paramref name="need"/> bytes.</summary>
    private Chunk NextChunk(long need)
    {
        Chunk chunk;
        if (_spare is { } spare && spare.Capacity >= need)
        {
            chunk = spare;
            _spare = null;
        }
        else chunk = NewChunk(Math.Max(_chunkBytes, need));
        chunk.StreamStart = _sealed;
        chunk.Sealed = 0;
        chunk.Next = null;
        lock (_gate) _chunk.Next = chunk;
        return _chunk = chunk;
    }

    private Chunk NewChunk(long capacity)
    {
        var chunk = new Chunk(capacity);
        Volatile.Write(ref _bufferBytes, _bufferBytes + capacity);
        return chunk;
    }

    private void Free(Chunk chunk)
    {
        Volatile.Write(ref _bufferBytes, _bufferBytes - chunk.Capacity);
        chunk.Free();
    }

    /// <summary>Lets go of chunks whose groups are synced, and of the oldest when more is unsynced than is to be kept.</summary>
    private void ReleaseChunks()
    {
        if (_phase != Phase.Open) return;
        while (_writing.StreamEnd <= _written && _writing.Next is { } next) _writing = next;
        long synced = Volatile.Read(ref _synced);
        while (_oldest != _writing && (_oldest.StreamEnd <= synced || _written - _oldest.StreamStart > _options.RetainedTailBytes))
        {
            Chunk released = _oldest;
            lock (_gate) _oldest = released.Next!;
            if (_spare is null && released.Capacity == _chunkBytes) _spare = released;
            else Free(released);
        }
        // Everything synced: the chunk is used again from its start, whose pages are warm.
        if (_oldest == _chunk && _chunk.Sealed > 0 && _chunk.StreamEnd == synced && _groupEntries == 0 && !_streaming)
        {
            long carried = _entry == null ? 0 : _cursor - _entry;
            byte* from = _entry;
            _chunk.StreamStart = _sealed;
            _chunk.Sealed = 0;
            OpenGroup(from, carried, 0);
            if (from != null) _entry = _group + LogFormat.GroupHeaderBytes;
        }
    }

    /// <summary>A segment file that this log writes or has found.</summary>
    private sealed class Segment
    {
        /// <summary>The file's name now: a prepared file's until the worker has renamed it.</summary>
        public required string Name;
        public SegmentHeader Header;

        /// <summary>Open until the segment is finished.</summary>
        public IFile? File;
        public long Capacity;

        /// <summary>Written bytes, header included.</summary>
        public long Length;

        /// <summary>How many of them are known to be durable.</summary>
        public long SyncedLength;

        /// <summary>The last entry that ends in it.</summary>
        public ulong LastSequence;

        /// <summary>Where in the stream of groups its first group lies; -1: in an earlier life of the log.</summary>
        public long StreamStart;

        /// <summary>Whether the file's directory entry is durable.</summary>
        public bool IsInDirectory;
        public bool IsFinished;

        /// <summary>Whether the log has it no more.</summary>
        public bool IsGone;

        /// <summary>Of a copy: whether the last group that was taken into it is the mark of a clean end.</summary>
        public bool IsMarked;

        /// <summary>Whether its node is in the chain, or there is nothing to seal.</summary>
        public bool IsSealed;

        /// <summary>Whether its file may be longer than it: recovery did not read it, and a loss of power may have taken back that it was cut.</summary>
        public bool MayBeLonger;
        public bool AskedForNext;

        public long Room => Capacity - Length;

        public SegmentStart Start => Header.Start;

        public bool IsNamed;
    }

    private sealed class PreparedFile(string name, IFile file)
    {
        public string Name { get; } = name;

        public IFile File { get; } = file;

        public bool IsInDirectory { get; set; }
    }
}
