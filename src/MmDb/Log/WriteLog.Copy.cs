using System.Globalization;
using System.Runtime.CompilerServices;
using Leither.Ipfs;
using Leither.Ipfs.Files;

namespace Leither.MmDb.Log;

// A copy of a log that is written elsewhere: the same segment files, byte for byte, so the same blocks and nodes.
//
// What must stay true:
//  - Its bytes are always a prefix of what the source had, of whole groups. It begins no segment, no epoch and no mark of its own.
//  - What groups and headers say to be synced was so at the writer, and says nothing of this disk. So a copy ends, when it is opened, before the first
//    thing that cannot be read, and has the rest again from its source. Everything it then holds is made durable first.
//  - It never claims to have bytes whose writing or syncing failed: after a failure it drops back to what was synced before. What its owner applied beyond
//    that stays applied; those entries are taken again, and not given again.
//  - The mark of a clean end is durable before the segment behind it exists. All else that a loss of power may take from a segment is missed by what the next one
//    continues; without its mark it would be whole, and other bytes than the writer signed.
//  - A file begins to exist under its own name, with its header and a first group. There are no prepared files: nothing waits for a copy's disk but the copy.
public sealed unsafe partial class WriteLog
{
    /// <summary>So many files of undone bytes are kept; the oldest go first.</summary>
    public const int MaxUndoneFiles = 16;

    // What comes next: so many bytes of the entry after _last are there already. Unknown only where the log goes on behind a node whose data is not here.
    private ulong _partOffset;
    private bool _isPartUnknown;
    private bool _isEnded; // the current segment holds the mark of a clean end: nothing follows in it
    private ulong _given;  // the last entry that the owner has
    private ulong _givenEpoch; // that entry is of no later epoch; 0: unknown
    private bool _isPromoted;
    private bool _holdsUncounted; // a disk may have taken a part of what it did not take
    private readonly List<Run> _runs = [];

    /// <summary>Whether this is a copy of a log that is written elsewhere.</summary>
    public bool IsCopy { get; }

    /// <summary>Called by the log's thread when, after a failure, a copy gave up bytes that were not durable (<see cref="Tick"/>): it ends at
    /// <see cref="WrittenEnd"/>, and goes on from there.</summary>
    public Action? DroppedBack { get; set; }

    /// <summary>
    /// Opens a copy, giving the entries after <paramref name="startAfter"/> to <paramref name="onEntry"/>. It may end before that place: then what is
    /// missing comes with <see cref="Append"/>, and is not given. A new copy is an empty folder.
    /// </summary>
    /// <param name="files">Where it lies.</param>
    /// <param name="options">How it is kept.</param>
    /// <param name="startAfter">The newest checkpoint's place.</param>
    /// <param name="onEntry">Gets the entries.</param>
    /// <param name="wasWritten">It was written here until now. So what it says to be durable is so on this disk, and may be nowhere else.</param>
    /// <exception cref="LogCorruptedException">The log begins after <paramref name="startAfter"/>; or something that was synced here is damaged or missing.</exception>
    /// <exception cref="DiskException">The disk failed.</exception>
    public static WriteLog OpenCopy(IFolder files, LogOptions options, Position startAfter, EntryVisitor? onEntry, bool wasWritten = false)
    {
        ArgumentNullException.ThrowIfNull(options.Origin);
        if (wasWritten)
        {
            using var written = new LogRecovery(files, options.AllowDataLossAfterCorruption, startAfter, null, isCopy: false);
            written.Run();
        }

        using var recovery = new LogRecovery(files, allowLoss: false, startAfter, onEntry, isCopy: true);
        recovery.Run();
        var copy = new WriteLog(files, options, recovery, startAfter);
        try
        {
            copy.BeginCopy(startAfter);
        }
        catch
        {
            copy.Dispose();
            throw;
        }
        return copy;
    }

    private WriteLog(IFolder files, LogOptions options, LogRecovery recovery, Position startAfter)
    {
        Check(options);
        IsCopy = true;
        _files = files;
        _options = options;
        _worker = options.Worker;
        _fsync = options.Fsync;
        _hasBegun = true;
        _oldest = _writing = _chunk = null!; // no entries are built here

        // What an ended process wrote may be in the system's cache only, and a sync of it may have failed: so it is written again.
        for (int i = 0; i < recovery.Chain.Count; i++)
        {
            LogRecovery.Found found = recovery.Chain[i];
            if (!found.WasRead)
            {
                // The owner vouches for its entries, which does not cover the mark behind the last of them.
                if (i + 1 == recovery.Chain.Count || recovery.Chain[i + 1].WasRead)
                {
                    using IFile last = files.Open(found.Name);
                    last.Sync();
                }
                continue;
            }
            if (found.FileLength > found.Length)
            {
                using IFile file = files.Open(found.Name);
                file.Truncate(found.Length);
            }
            if (found.Length > LogFormat.SegmentHeaderBytes) WriteAgain(found);
        }
        foreach (string name in recovery.Superseded) files.Delete(name);
        foreach ((string name, bool isUndone) in recovery.AfterEnd)
        {
            if (isUndone) SetAside(files, name);
            else files.Delete(name);
        }
        foreach (LogRecovery.Found found in recovery.Chain)
        {
            // A header alone is of a writer that went no further.
            if (found.WasRead && found.Length <= LogFormat.SegmentHeaderBytes) files.Delete(found.Name);
            else _segments.Add(SegmentOf(found));
        }
        files.SyncDirectory();

        (_given, _givenEpoch) = (startAfter.Sequence, startAfter.Epoch);
        _last = _segments.Count > 0 ? recovery.LastSequence : 0;
        _partOffset = _segments.Count > 0 ? recovery.PartOffset : 0;
        _isEnded = recovery.CleanEnd;
        _writtenTime = recovery.LastTime;
        Epoch = _segments is [.., var newest] ? newest.Header.Epoch : 0;
        Recovery = recovery.Report(Epoch) with { LastSequence = _last };
        _chain = new SegmentChain(files, options.Origin!, LoadChain, IsThere);
    }

    /// <summary>Finds out where the log goes on: in its newest segment, unless that is in the chain and so finished.</summary>
    private void BeginCopy(Position startAfter)
    {
        LoadChain();
        if (_segments is [.., var newest])
        {
            if (newest.IsSealed) _isCut = true;
            else Continue(newest, _files.Open(newest.Name));
        }
        else
        {
            _isCut = true;
            GoOnAfter(_chain!.Newest, startAfter.Sequence);
        }
        if (_last >= _given) (_given, _givenEpoch) = (_last, Epoch);
        _writtenSequence = _syncedSequence = _last;
        _worker.Add(this);
        _worker.WantSeal();
    }

    /// <summary>There are no segments here: the log goes on behind a node.</summary>
    private void GoOnAfter(SealedSegment? node, ulong have)
    {
        _last = node?.Node.To ?? 0;
        Epoch = node?.Node.Epoch ?? 0;
        _partOffset = 0;
        _isPartUnknown = node is not null && have > _last; // it may have ended in the middle of an entry that the owner has
        _isEnded = false;
    }

    /// <summary>Goes on writing to a segment.</summary>
    private void Continue(Segment segment, IFile file)
    {
        lock (_gate)
        {
            segment.File = file;
            segment.IsFinished = segment.IsSealed = false;
            segment.Capacity = LogOptions.MaxSegmentBytes;
            segment.StreamStart = _written;
            _settled = _sealedSegments = 0;
            _current = segment;
            _isCut = false;
        }
    }

    // ---- Taking bytes ------------------------------------------------------------------------------------------------------------------

    /// <summary>Bytes for one segment: whole groups, behind a header if it begins with them.</summary>
    private readonly record struct Run(long From, long To, bool Begins, SegmentHeader Header);

    /// <summary>
    /// Takes bytes that continue the log: the rest of the current segment, then the next with its header, and so on. Takes whole groups only (a header with the
    /// first group behind it), writes them, and gives the entries that end in them to <paramref name="onEntry"/>, but those that the owner has.
    /// </summary>
    /// <returns>How many bytes it took. What is left is the beginning of a group, or what the disk did not take: then the next call says why.</returns>
    /// <exception cref="LogCorruptedException">This does not continue the log. Nothing was taken.</exception>
    /// <exception cref="LogUndoneException">The log goes on before what the owner has. Nothing was taken.</exception>
    /// <exception cref="DiskException">The disk is full or failed, now or before. Nothing was taken; see <see cref="Tick"/>.</exception>
    public long Append(ReadOnlySpan<byte> bytes, EntryVisitor onEntry)
    {
        ThrowUnlessCopy();
        if (_phase != Phase.Open) throw new DiskException("append", _files.FullName(""), Error.Text, isFull: false);
        long taken = 0;
        fixed (byte* start = bytes)
        {
            Examine(start, bytes.Length);
            try
            {
                foreach (Run run in _runs) Take(run, start, onEntry, ref taken);
                if (taken > 0 && _full)
                {
                    lock (_gate) _error = default;
                    _full = false;
                }
            }
            catch (DiskException) when (taken > 0)
            {
                // The next call meets it again, with nothing taken.
            }
            finally
            {
                if (taken > 0)
                {
                    SyncAsSaid();
                    Written?.Invoke();
                }
            }
        }
        return taken;
    }

    /// <summary>The current segment is finished: the source began another, or the writer cut the log.</summary>
    public void CutCopy()
    {
        ThrowUnlessCopy();
        lock (_gate)
        {
            if (_current is null) return;
            _current = null;
            _isCut = true;
            _isEnded = false;
        }
        _worker.WantSync();
        _worker.WantFileWork();
    }

    private void ThrowUnlessCopy()
    {
        ObjectDisposedException.ThrowIf(_phase == Phase.Closed, this);
        if (!IsCopy) throw new InvalidOperationException("The log is written here: it is no copy.");
    }

    /// <summary>What bytes must go on with to be taken.</summary>
    private struct Expected
    {
        public ulong Sequence, Offset;
        public bool IsOffsetKnown, HasSegment, IsEnded;

        /// <summary>The segment they belong to.</summary>
        public SegmentHeader Header;
        public SegmentStart Start;
        public long Length;

        /// <summary>The epoch of the last entry; 0: unknown.</summary>
        public ulong LastEpoch;
    }

    /// <summary>Finds what can be taken of bytes that may be anything, as <see cref="_runs"/>.</summary>
    private void Examine(byte* start, long count)
    {
        _runs.Clear();
        Segment? newest = _segments is [.., var last] ? last : null;
        SealedSegment? node = newest is null ? _chain!.Newest : null;
        var expected = new Expected
        {
            Sequence = _last + 1,
            Offset = _partOffset,
            IsOffsetKnown = !_isPartUnknown,
            HasSegment = _current is not null,
            IsEnded = _isEnded,
            Header = newest?.Header ?? default,
            Start = newest?.Start ?? node?.Start ?? default,
            Length = newest?.Length ?? 0,
            LastEpoch = LastEntryEpoch(node),
        };
        bool begins = false;
        long runStart = 0, end = 0;
        for (long at = 0; count - at >= sizeof(ushort);)
        {
            if (Unsafe.ReadUnaligned<ushort>(start + at) == LogFormat.GroupMagic)
            {
                long bytes = ExamineGroup(start + at, count - at, ref expected);
                if (bytes == 0) break;
                end = at += bytes;
                continue;
            }

            if (count - at < sizeof(ulong)) break;
            if (Unsafe.ReadUnaligned<ulong>(start + at) != LogFormat.SegmentMagic) throw Malformed(expected, "neither a group nor a segment begins there");
            if (begins && end <= runStart) throw Malformed(expected, "a segment holds nothing");
            if (count - at < LogFormat.SegmentHeaderBytes) break;
            if (end > runStart) _runs.Add(new Run(runStart, end, begins, expected.Header));
            ExamineHeader(start + at, ref expected);
            (runStart, begins) = (at, true);
            at += LogFormat.SegmentHeaderBytes;
        }
        if (end > runStart) _runs.Add(new Run(runStart, end, begins, expected.Header));
    }

    private void ExamineHeader(byte* at, ref Expected expected)
    {
        if (!SegmentHeader.TryDecode(at, out SegmentHeader header, out ushort version)) throw Malformed(expected, "a segment's header is damaged");
        if (version != LogFormat.Version) throw Malformed(expected, $"a segment's format version is {version}, and this program knows {LogFormat.Version}");
        bool isNext = header.FirstSequence == expected.Sequence
            && (header.EntryOffset == expected.Offset || (!expected.IsOffsetKnown && expected.Sequence <= _given));
        if (!isNext)
        {
            throw Malformed(expected, $"a segment begins with entry {header.FirstSequence}+{header.EntryOffset} where {expected.Sequence}+{expected.Offset} must follow");
        }

        SegmentStart start = header.Start;
        if (header.Epoch == 0 || start <= expected.Start) throw Malformed(expected, "a segment goes back to an epoch or generation before");
        bool isNewEpoch = expected.Start.IsSegment && header.Epoch != expected.Start.Epoch;
        if (isNewEpoch && header.EntryOffset != 0) throw Malformed(expected, "an epoch begins in the middle of an entry");
        if (header.PreviousEpoch > header.Epoch || (expected.LastEpoch != 0 && (expected.LastEpoch == header.Epoch) != (header.PreviousEpoch == header.Epoch)))
        {
            throw Malformed(expected, $"a segment of epoch {header.Epoch} claims to follow epoch {header.PreviousEpoch}, and the last entry is of epoch {expected.LastEpoch}");
        }

        if (header.SyncedSequence >= header.FirstSequence) throw Malformed(expected, "a segment says that entries are synced which are not written");
        // Also where nothing is here that it could follow: what was applied may be of an epoch that the source lost since, and this disk with it.
        bool isLater = isNewEpoch || (_givenEpoch != 0 && header.Epoch > _givenEpoch);
        if (isLater && header.FirstSequence <= _given) throw new LogUndoneException(new Position(header.Epoch, header.FirstSequence), _given);
        expected = new Expected
        {
            Sequence = header.FirstSequence,
            Offset = header.EntryOffset,
            IsOffsetKnown = true,
            HasSegment = true,
            Header = header,
            Start = start,
            Length = LogFormat.SegmentHeaderBytes,
            LastEpoch = expected.LastEpoch,
        };
    }

    /// <summary>How many bytes a group has; 0: it is not all there.</summary>
    private long ExamineGroup(byte* at, long available, ref Expected expected)
    {
        if (!expected.HasSegment) throw Malformed(expected, "a segment's header must come first");
        if (expected.IsEnded) throw Malformed(expected, "something follows the mark of a clean end");
        if (available < LogFormat.GroupHeaderBytes) return 0;
        Group group = Group.Trusted(at);
        if (group.FirstSequence != expected.Sequence) throw Malformed(expected, $"a group begins with entry {group.FirstSequence} where {expected.Sequence} must follow");
        if (group.TotalBytes > LogOptions.MaxSegmentBytes - expected.Length) throw Malformed(expected, "a segment is longer than any can be");
        if (group.TotalBytes > available) return 0;
        if (!Group.TryRead(at, available, expected.Header.Crc, out group)) throw Malformed(expected, "a group's checksum is wrong");
        if (group.SyncedSequence >= group.FirstSequence) throw Malformed(expected, "a group says that entries are synced which are not written");

        bool isPart = group.Kind is GroupKind.First or GroupKind.Middle or GroupKind.Last;
        long bytes = isPart ? group.PayloadBytes - LogFormat.PartOffsetBytes : 0;
        bool isWell = group.PartOffset == expected.Offset && group.Kind switch
        {
            GroupKind.Whole => group.EntryCount > 0 && group.HoldsTogether(),
            GroupKind.First => expected.Offset == 0 && group.EntryCount == 0 && bytes >= LogFormat.EntryHeaderBytes,
            GroupKind.Middle => expected.Offset > 0 && group.EntryCount == 0 && bytes > 0,
            GroupKind.Last => group.EntryCount == 1 && expected.Offset + (ulong)bytes >= LogFormat.EntryHeaderBytes,
            _ => group.EntryCount == 0 && group.PayloadBytes == 0,
        };
        if (!isWell) throw Malformed(expected, "a group does not hold together");

        expected.Offset = group.Kind is GroupKind.First or GroupKind.Middle ? expected.Offset + (ulong)bytes : 0;
        expected.Sequence = group.NextSequence;
        if (group.EntryCount > 0) expected.LastEpoch = expected.Header.Epoch;
        expected.IsEnded = group.Kind == GroupKind.End;
        expected.Length += group.TotalBytes;
        return group.TotalBytes;
    }

    private LogCorruptedException Malformed(in Expected expected, string problem) =>
        LogCorruptedException.OfSource(_files.FullName(expected.Start.IsSegment ? expected.Header.FileName() : ""), expected.Length, expected.Sequence, problem);

    /// <summary>The epoch of the last entry; 0: there is none, or none of the segments here holds its end. Of the loop's thread, which alone changes segments here.</summary>
    private ulong LastEntryEpoch(SealedSegment? node)
    {
        if (node is not null) return node.Node.To >= node.Node.From ? node.Node.Epoch : 0;
        for (int i = _segments.Count - 1; i >= 0; i--)
        {
            if (_segments[i].LastSequence >= _segments[i].Header.FirstSequence) return _segments[i].Header.Epoch;
        }
        return 0;
    }

    // ---- Writing and giving ------------------------------------------------------------------------------------------------------------

    private void Take(in Run run, byte* start, EntryVisitor onEntry, ref long taken)
    {
        byte* at = start + run.From, end = start + run.To;
        if (!run.Begins)
        {
            try
            {
                WriteFully(_current!.File!, _current.Length, at, end - at);
            }
            catch (DiskException e)
            {
                WriteFailed(e);
                throw;
            }
            Give(start, at, end, onEntry, ref taken);
            return;
        }

        (ulong epoch, ulong part, bool isPartUnknown) = (Epoch, _partOffset, _isPartUnknown);
        BeginCopied(run.Header, at, run.To - run.From);
        try
        {
            Give(start, at + LogFormat.SegmentHeaderBytes, end, onEntry, ref taken);
        }
        catch when (_current!.Length == LogFormat.SegmentHeaderBytes)
        {
            // With nothing in it, it was not begun. Its file is replaced the next time.
            DropNewest();
            (Epoch, _partOffset, _isPartUnknown, _isCut) = (epoch, part, isPartUnknown, true);
            throw;
        }
    }

    /// <summary>Gives the entries that end in groups which were written, and counts each group as taken when its entries were.</summary>
    private void Give(byte* start, byte* at, byte* end, EntryVisitor onEntry, ref long taken)
    {
        Segment segment = _current!;
        while (at < end)
        {
            Group group = Group.Trusted(at);
            ulong part = group.Kind is GroupKind.First or GroupKind.Middle ? group.PayloadBytes - (ulong)LogFormat.PartOffsetBytes : 0;
            if (group.Kind == GroupKind.Whole) GiveWhole(group, onEntry);
            else if (group.Kind == GroupKind.Last && group.FirstSequence > _given) GiveLarge(segment, group, onEntry);
            lock (_gate)
            {
                segment.Length += group.TotalBytes;
                segment.LastSequence = _last = group.NextSequence - 1;
                _partOffset = part == 0 ? 0 : _partOffset + part;
                segment.IsMarked = _isEnded = group.Kind == GroupKind.End;
                Volatile.Write(ref _sealed, _written += group.TotalBytes);
                Volatile.Write(ref _writtenSequence, _last);
                _writtenTime = _time;
            }
            at += group.TotalBytes;
            taken = at - start;
        }
    }

    /// <summary>Begins the next segment with a file that holds its header and first groups, of which only the header counts yet.</summary>
    private void BeginCopied(SegmentHeader header, byte* bytes, long count)
    {
        SyncMark();
        string name = header.FileName();
        IFile? file = null;
        try
        {
            _files.Delete(name); // of a try before
            file = _files.Create(name);
            WriteFully(file, 0, bytes, count);
        }
        catch (DiskException e)
        {
            file?.Dispose();
            WriteFailed(e);
            throw;
        }
        // A segment that ends with the mark of a clean end and holds nothing else has its place taken by the next.
        if (_segments is [.., var newest] && !HoldsEntries(newest) && newest.Header.FirstSequence == header.FirstSequence && newest.Header.EntryOffset == header.EntryOffset)
        {
            string emptied = DropNewest();
            lock (_gate) _toDelete.Enqueue(emptied);
        }
        CutCopy();
        lock (_gate)
        {
            _current = new Segment
            {
                Name = name,
                Header = header,
                File = file,
                Capacity = LogOptions.MaxSegmentBytes,
                Length = LogFormat.SegmentHeaderBytes,
                LastSequence = header.FirstSequence - 1,
                StreamStart = _written,
                IsNamed = true,
            };
            _segments.Add(_current);
            _isCut = false;
            Epoch = header.Epoch;
            _partOffset = header.EntryOffset;
            _isPartUnknown = _isEnded = false;
        }
    }

    /// <summary>Makes the mark of a clean end durable that the newest segment ends with. It is written when a writer ends, so nothing waits for it often.</summary>
    private void SyncMark()
    {
        if (_segments is not [.., { IsMarked: true } newest] || !HoldsEntries(newest)) return;
        lock (_gate)
        {
            if (newest.SyncedLength == newest.Length) return;
        }
        if (!TrySync(finishedOnly: false)) throw new DiskException("sync", _files.FullName(newest.Name), Error.Text, isFull: false);
    }

    /// <summary>Lets go of the newest segment, but for its file.</summary>
    private string DropNewest()
    {
        Segment newest = _segments[^1];
        lock (_fileWorkGate)
            lock (_syncGate)
                lock (_gate)
                {
                    newest.File?.Dispose();
                    newest.File = null;
                    _current = null;
                    RemoveSegments(_segments.Count - 1, 1);
                }
        return newest.Name;
    }

    private void GiveWhole(in Group group, EntryVisitor onEntry)
    {
        byte* at = group.Payload;
        ulong sequence = group.FirstSequence;
        for (uint i = 0; i < group.EntryCount; i++, sequence++)
        {
            uint length = Unsafe.ReadUnaligned<uint>(at);
            at += LogFormat.LengthPrefixBytes;
            Give(sequence, at, length, onEntry);
            at += length;
        }
    }

    private void Give(ulong sequence, byte* entry, long length, EntryVisitor onEntry)
    {
        _time = Unsafe.ReadUnaligned<ulong>(entry + 2);
        if (sequence <= _given) return;
        onEntry(sequence, entry, length);
        (_given, _givenEpoch) = (sequence, Epoch);
    }

    /// <summary>Reads the parts of a large entry back, whose last one was just written, and gives it.</summary>
    private void GiveLarge(Segment segment, in Group lastPart, EntryVisitor onEntry)
    {
        ulong sequence = lastPart.FirstSequence;
        int first = _segments.Count - 1;
        while (first >= 0 && !BeginsBefore(_segments[first].Header, sequence)) first--;
        if (first < 0) throw new DiskException("read back", _files.FullName(segment.Name), "the beginning of the entry is not here", isFull: false);
        var parts = new List<LogReader.Part>();
        for (int i = first; i < _segments.Count; i++)
        {
            Segment each = _segments[i];
            parts.Add(new LogReader.Part(() => each.Name, each.Header, each == segment ? each.Length + lastPart.TotalBytes : each.Length));
        }

        using var reader = new LogReader(_files, parts, sequence - 1, sequence, static _ => { });
        try
        {
            reader.Run((number, entry, length) => Give(number, entry, length, onEntry));
        }
        catch (LogCorruptedException e)
        {
            throw new DiskException("read back", e.File, e.Problem, isFull: false);
        }
    }

    private static bool BeginsBefore(in SegmentHeader header, ulong sequence) =>
        header.FirstSequence < sequence || (header.FirstSequence == sequence && header.EntryOffset == 0);

    /// <summary>A full disk takes more when there is room again; any other failure leaves in doubt what is not synced.</summary>
    private void WriteFailed(DiskException e)
    {
        _holdsUncounted = true;
        if (!e.IsFull)
        {
            Fail(e);
            return;
        }
        lock (_gate) _error = new LogError(LogState.Full, e.Message);
        _full = true;
    }

    // ---- When a sync failed ------------------------------------------------------------------------------------------------------------

    private void TickCopy(long nowMs)
    {
        if (_phase == Phase.Failed || (_phase == Phase.Open && (BackgroundError is not null || SealError is not null)))
        {
            if (_retryAtMs == 0) _retryAtMs = nowMs + (long)_options.RetryInterval.TotalMilliseconds;
            if (nowMs < _retryAtMs) return;
            _retryAtMs = 0;
            if (_phase == Phase.Failed) DropBack();
            _worker.WantFileWork();
            if (SealError is not null) _worker.WantSeal();
        }
        else _retryAtMs = 0;
    }

    /// <summary>
    /// Gives up what was written and not synced: the system may call its pages clean that never got to the disk, so they are written anew, from the source. What stays in
    /// the page where that begins is written once more for the same reason.
    /// </summary>
    private void DropBack()
    {
        lock (_fileWorkGate)
            lock (_sealGate)
                lock (_syncGate)
                {
                    try
                    {
                        int first = _segments.FindIndex(static s => s.SyncedLength < s.Length);
                        if (first >= 0) CutBack(first, _segments[first].SyncedLength, keepFiles: false);
                    }
                    catch (DiskException e)
                    {
                        lock (_gate) _error = new LogError(LogState.Failed, e.Message);
                        return;
                    }
                    lock (_gate)
                    {
                        _error = default;
                        _full = false;
                        _phase = Phase.Open;
                    }
                }
        DroppedBack?.Invoke();
    }

    /// <summary>
    /// Ends the log behind the first <paramref name="length"/> bytes of a segment, or before it where nothing of it is left, and goes on there. What is cut off is kept
    /// aside, if wished; all that is left was synced. (Under the gates of files, seals and syncs.) What goes counts as not durable from the start, and the log is as it was
    /// until all is done: when the disk fails in the middle, <see cref="DropBack"/> does the rest.
    /// </summary>
    private void CutBack(int index, long length, bool keepFiles)
    {
        Segment target = _segments[index];
        bool isKept = length > LogFormat.SegmentHeaderBytes;
        if (index == 0 && !isKept)
        {
            // The nodes would be all that says where the log goes on, and what was trimmed all there is.
            SyncChain();
            DeleteDropped();
        }
        (ulong last, ulong part, bool isEnded) = isKept ? Measure(target, length) : (target.Header.FirstSequence - 1, target.Header.EntryOffset, false);
        lock (_gate)
        {
            target.SyncedLength = isKept ? length : 0;
            for (int i = index + 1; i < _segments.Count; i++) _segments[i].SyncedLength = 0;
            Volatile.Write(ref _syncedSequence, Math.Min(_syncedSequence, last));
            Volatile.Write(ref _writtenSequence, Math.Min(_writtenSequence, last));
        }
        // From the newest on: whenever the process ends, what is left goes on where the segment before ends.
        DeleteNotBegun(isKept ? target.Start : target.Start with { Generation = 0, First = 0 });
        for (int i = _segments.Count - 1; i > index || (i == index && !isKept); i--)
        {
            _segments[i].File?.Dispose();
            if (keepFiles) SetAside(_files, _segments[i].Name);
            else _files.Delete(_segments[i].Name);
        }
        if (isKept)
        {
            if (keepFiles && length < target.Length) SetTailAside(target, length);
            Shorten(target, length);
        }
        _files.SyncDirectory();

        SealedSegment? node = null;
        int kept = isKept ? index + 1 : index;
        if (kept == 0) node = _chain!.Before(target.Header.FirstSequence, target.Header.EntryOffset);
        // The nodes last: behind them nothing fails that would leave a segment sealed without its own.
        IFile? file = isKept ? _files.Open(target.Name) : null;
        try
        {
            _chain!.CutFrom(target.Start);
        }
        catch
        {
            file?.Dispose();
            throw;
        }

        lock (_gate)
        {
            RemoveSegments(kept, _segments.Count - kept);
            _current = null;
            _isCut = true;
            if (isKept)
            {
                target.File?.Dispose();
                target.File = null;
                target.Length = target.SyncedLength = length;
                target.LastSequence = last;
                target.MayBeLonger = false;
            }
        }
        if (file is not null) Continue(target, file);
        if (kept > 0) (_last, _partOffset, _isEnded, Epoch) = (last, part, isEnded, _segments[kept - 1].Header.Epoch);
        else GoOnAfter(node, _given);
        AllIsSynced();
    }

    /// <summary>Deletes files of segments behind a place that could not be begun, and so are in no list.</summary>
    private void DeleteNotBegun(SegmentStart after)
    {
        foreach ((string name, _) in _files.List())
        {
            if (SegmentHeader.TryParseName(name, out SegmentHeader header) && header.Start > after && !_segments.Exists(s => s.Name == name) && !_toDelete.Contains(name)) _files.Delete(name);
        }
    }

    /// <summary>
    /// Removes, durably, what the disk took of bytes whose rest it did not take. A copy writes over it; who opens the log to write would find whole groups in it, whose
    /// entries nobody applied.
    /// </summary>
    private void DropUncounted()
    {
        if (!_holdsUncounted) return;
        lock (_fileWorkGate)
            lock (_sealGate)
                lock (_syncGate)
                {
                    try
                    {
                        Segment? newest = _segments is [.., var last] ? last : null;
                        DeleteNotBegun(newest?.Start ?? default);
                        if (newest is { MayBeLonger: false }) Shorten(newest, newest.Length);
                        _files.SyncDirectory();
                    }
                    catch (DiskException e)
                    {
                        Fail(e);
                        throw;
                    }
                }
        _holdsUncounted = false;
    }

    /// <summary>What is left was made durable before.</summary>
    private void AllIsSynced()
    {
        lock (_gate)
        {
            _synced = _written;
            Volatile.Write(ref _writtenSequence, _last);
            Volatile.Write(ref _syncedSequence, _last);
        }
    }

    /// <summary>What the first bytes of a segment end with.</summary>
    /// <exception cref="ArgumentException">No group ends there.</exception>
    private (ulong Last, ulong Part, bool IsEnded) Measure(Segment segment, long length)
    {
        byte[] bytes = new byte[length];
        int read;
        using (IFile file = _files.Open(segment.Name)) read = file.Read(0, bytes);
        ulong next = segment.Header.FirstSequence, part = segment.Header.EntryOffset;
        bool isEnded = false;
        long at = LogFormat.SegmentHeaderBytes;
        fixed (byte* start = bytes)
        {
            for (; at < read && Group.TryRead(start + at, read - at, segment.Header.Crc, out Group group); at += group.TotalBytes)
            {
                part = group.Kind is GroupKind.First or GroupKind.Middle ? part + group.PayloadBytes - LogFormat.PartOffsetBytes : 0;
                next = group.NextSequence;
                isEnded = group.Kind == GroupKind.End;
            }
        }
        return at == length ? (next - 1, part, isEnded) : throw new ArgumentException($"no group of {segment.Name} ends at {length}", nameof(length));
    }

    /// <summary>Cuts a segment's file, durably.</summary>
    private void Shorten(Segment segment, long length)
    {
        const int pageBytes = 4096;
        using IFile file = _files.Open(segment.Name);
        file.Truncate(length);
        long page = (length - 1) / pageBytes * pageBytes;
        byte[] bytes = new byte[length - page];
        if (file.Read(page, bytes) < bytes.Length) throw new DiskException("read", segment.Name, "the file became shorter", isFull: false);
        file.WriteAll(page, bytes);
        file.Sync();
    }

    // ---- Going back --------------------------------------------------------------------------------------------------------------------

    /// <summary>
    /// Ends the log at a place, durably: behind it the source has something else. What is cut off is kept in files <c>undone-*</c>. The owner has to go back, too:
    /// to the last entry that is left, or before.
    /// </summary>
    /// <exception cref="ArgumentException">The log has no such place, or no more of the beginning of the entry that it lies in.</exception>
    /// <exception cref="DiskException">The disk failed, now or before. It can be tried again after <see cref="Tick"/> mended that.</exception>
    public void GoBack(in LogPlace place)
    {
        ThrowUnlessCopy();
        if (!TrySync(finishedOnly: false)) throw new DiskException("go back", _files.FullName(""), Error.Text, isFull: false);
        lock (_fileWorkGate)
            lock (_sealGate)
                lock (_syncGate)
                {
                    SegmentStart start = place.Segment;
                    int index = _segments.FindIndex(s => s.Start == start);
                    bool isHere = index >= 0 ? place.Length <= _segments[index].Length && IsGivable(index, place.Length) : IsBeforeFirst(place);
                    if (!isHere) throw new ArgumentException("The log has no such place.", nameof(place));
                    try
                    {
                        if (index >= 0) CutBack(index, place.Length, keepFiles: true);
                        else if (_segments.Count > 0) CutBack(0, 0, keepFiles: true);
                    }
                    catch (DiskException e)
                    {
                        Fail(e);
                        throw;
                    }
                    (_given, _givenEpoch) = (_last, Epoch);
                    _isPartUnknown = false;
                    PruneUndone(_files);
                }
        _toldWritten = -1;
    }

    /// <summary>The owner is at an entry that the log is on its way back to, whenever its disk works again: what follows is given again.</summary>
    internal void GiveAfter(ulong sequence) => _given = Math.Min(_given, sequence);

    /// <summary>Whether of an entry that a place lies in the middle of the beginning is here, so that it can be given again.</summary>
    private bool IsGivable(int index, long length)
    {
        Segment segment = _segments[index];
        (ulong last, ulong part, _) = length > LogFormat.SegmentHeaderBytes
            ? Measure(segment, length)
            : (segment.Header.FirstSequence - 1, segment.Header.EntryOffset, false);
        return part == 0 || _segments.Take(index + 1).Any(s => BeginsBefore(s.Header, last + 1));
    }

    /// <summary>Whether a place is where the first segment here goes on from.</summary>
    private bool IsBeforeFirst(in LogPlace place)
    {
        if (_segments is [{ Header.EntryOffset: not 0 }, ..]) return false; // in the middle of an entry whose beginning is not here
        SealedSegment? before = _segments is [var first, ..] ? _chain!.Before(first.Header.FirstSequence, first.Header.EntryOffset) : _chain!.Newest;
        if (before is null) return !place.Segment.IsSegment;
        SegmentStart start = place.Segment;
        return start.Epoch == before.Node.Epoch && start.First == before.Node.From && start.Offset == before.Node.Offset
            && (before.Length == 0 || (start.Generation == before.Generation && place.Length == before.Length));
    }

    /// <summary>The name for what is cut off a segment: by epoch and first entry, so that they sort from the oldest.</summary>
    private static string UndoneName(IFolder files, string of, ulong sequence)
    {
        ulong epoch = SegmentHeader.TryParseName(of, out SegmentHeader header) ? header.Epoch : 0;
        string name = string.Create(CultureInfo.InvariantCulture, $"{LogFormat.UndonePrefix}{epoch:x16}-{sequence:x16}");
        HashSet<string> names = [.. files.List().Select(static f => f.Name)];
        for (int i = 0; ; i++)
        {
            string unique = i == 0 ? name + LogFormat.SegmentSuffix : string.Create(CultureInfo.InvariantCulture, $"{name}-{i}{LogFormat.SegmentSuffix}");
            if (!names.Contains(unique)) return unique;
        }
    }

    private static void SetAside(IFolder files, string name)
    {
        if (!files.List().Any(f => f.Name == name)) return; // in a try before
        files.Rename(name, UndoneName(files, name, SegmentHeader.TryParseName(name, out SegmentHeader header) ? header.FirstSequence : 0));
    }

    /// <summary>Keeps what a segment holds behind a length, behind its header.</summary>
    private void SetTailAside(Segment segment, long length)
    {
        byte[] bytes = new byte[segment.Length];
        using IFile file = _files.Open(segment.Name);
        int read = file.Read(0, bytes);
        if (read <= length) return; // done in a try before
        using IFile undone = _files.Create(UndoneName(_files, segment.Name, Measure(segment, length).Last + 1));
        undone.WriteAll(0, bytes.AsSpan(0, LogFormat.SegmentHeaderBytes));
        undone.WriteAll(LogFormat.SegmentHeaderBytes, bytes.AsSpan((int)length, read - (int)length));
        undone.Sync();
    }

    private static void PruneUndone(IFolder files)
    {
        string[] names = [.. files.List().Select(static f => f.Name).Where(static n => n.StartsWith(LogFormat.UndonePrefix, StringComparison.Ordinal)).Order(StringComparer.Ordinal)];
        foreach (string name in names.SkipLast(MaxUndoneFiles)) files.Delete(name);
    }

    // ---- From a version or from nothing, and to a writer -------------------------------------------------------------------------------

    /// <summary>
    /// Empties the log: it goes on after a segment whose node is known, and whose data is not here. The owner has all up to there: its state came as a version, and is
    /// durable. What older nodes can be had may be added (<see cref="AddOlder"/>). Or it goes on from its first entry, and the owner has nothing. What it holds behind what
    /// the owner has is kept in files <c>undone-*</c>.
    /// </summary>
    /// <param name="segment">The segment that a version links to, as its node says; generation and length 0, if they are not known. Null: none, the log is empty.</param>
    /// <param name="have">The last entry that the owner has: the version's position.</param>
    /// <exception cref="DiskException">The disk failed. The log may have lost its oldest segments; it can be tried again.</exception>
    public void BeginCopyAt(SealedSegment? segment, ulong have = 0)
    {
        ThrowUnlessCopy();
        lock (_fileWorkGate)
            lock (_sealGate)
                lock (_syncGate)
                {
                    // The files first, from the oldest on: a crash leaves a log that was trimmed, and then one that ended with the newest node it had.
                    SyncChain();
                    DeleteDropped();
                    lock (_gate) Volatile.Write(ref _syncedSequence, 0); // what goes counts as not durable from the start
                    while (_segments.Count > 0)
                    {
                        if (_segments[0].LastSequence > have) SetAside(_files, _segments[0].Name);
                        else _files.Delete(_segments[0].Name);
                        _segments[0].File?.Dispose();
                        lock (_gate)
                        {
                            if (_segments[0] == _current) _current = null;
                            RemoveSegments(0, 1);
                        }
                    }
                    _isCut = true;
                    GoOnAfter(_chain!.Newest, _given);
                    AllIsSynced();
                    DeleteNotBegun(default);
                    PruneUndone(_files);
                    _files.SyncDirectory();
                    _chain.BeginAt(segment);
                    GoOnAfter(segment, 0);
                    (_given, _givenEpoch) = (Math.Max(_last, have), Epoch);
                    AllIsSynced();
                    lock (_gate)
                    {
                        _error = default;
                        _full = false;
                        _phase = Phase.Open;
                    }
                }
        _toldWritten = -1;
    }

    /// <summary>
    /// Does in a folder what is left of <see cref="BeginCopyAt"/> where the process ended in the middle of it: what opens there is an empty log.
    /// </summary>
    /// <exception cref="DiskException">The disk failed. It can be tried again.</exception>
    internal static void Empty(IFolder files, ulong have)
    {
        var segments = new List<(string Name, SegmentHeader Header)>();
        foreach ((string name, _) in files.List())
        {
            if (SegmentHeader.TryParseName(name, out SegmentHeader header)) segments.Add((name, header));
            else if (!name.StartsWith(LogFormat.UndonePrefix, StringComparison.Ordinal)) files.Delete(name);
        }

        segments.Sort(static (a, b) => a.Header.Start.CompareTo(b.Header.Start));
        for (int i = 0; i < segments.Count; i++)
        {
            ulong last = i + 1 < segments.Count ? segments[i + 1].Header.FirstSequence - 1 : LastIn(files, segments[i].Name);
            if (last > have) SetAside(files, segments[i].Name);
            else files.Delete(segments[i].Name);
        }

        PruneUndone(files);
        files.SyncDirectory();
    }

    /// <summary>The last entry that ends in a file, as far as it can be read.</summary>
    private static ulong LastIn(IFolder files, string name)
    {
        using IFile file = files.Open(name);
        byte[] bytes = new byte[Math.Min(file.Length, LogOptions.MaxSegmentBytes)];
        int read = file.Read(0, bytes);
        fixed (byte* start = bytes)
        {
            if (read < LogFormat.SegmentHeaderBytes || !SegmentHeader.TryDecode(start, out SegmentHeader header, out _)) return 0;
            ulong next = header.FirstSequence;
            for (long at = LogFormat.SegmentHeaderBytes; at < read && Group.TryRead(start + at, read - at, header.Crc, out Group group); at += group.TotalBytes)
            {
                next = group.NextSequence;
            }
            return next - 1;
        }
    }

    /// <summary>Adds nodes from before the oldest, from newer to older, each the one that the one before links to: verified by their names. (Any thread that may wait for the disk.)</summary>
    /// <returns>How many were added.</returns>
    /// <exception cref="MalformedBlockException">One is no node, or not the one that comes next.</exception>
    /// <exception cref="DiskException">The disk failed.</exception>
    public int AddOlder(IReadOnlyList<ReadOnlyMemory<byte>> nodes)
    {
        if (_chain is null) return 0;
        LoadChain();
        lock (_sealGate) return _chain.AddOlder(nodes);
    }

    /// <summary>
    /// Makes the copy a writer's log: all of it is durable first, it is closed, and the folder opened again. An epoch of at least <paramref name="epoch"/> begins after the
    /// last whole entry. To be given to <see cref="LogOptions.FirstEpoch"/> from then on, too.
    /// </summary>
    /// <param name="epoch">The first of the new term.</param>
    /// <param name="origin">Who wrote which epoch, if that is to be said anew.</param>
    /// <exception cref="InvalidOperationException">The owner has entries that the log lacks since its disk failed; they are to be taken again, or undone.</exception>
    /// <exception cref="DiskException">The disk failed. It may be tried again: either this is a copy still, or all of it is durable, and only the opening is left to be done.</exception>
    public WriteLog Promote(ulong epoch, SegmentOrigin? origin = null)
    {
        if (!_isPromoted)
        {
            ThrowUnlessCopy();
            if (_given > _last) throw new InvalidOperationException($"The log ends with entry {_last}, and what was applied with entry {_given}.");
            // What fails before all is durable leaves a copy that takes it again. Behind that nothing can be lost, and what fails is tried again.
            DropUncounted();
            if (!TrySync(finishedOnly: false)) throw new DiskException("promote", _files.FullName(""), Error.Text, Error.State == LogState.Full);
            _isPromoted = true;
            Close();
        }

        var position = new Position(Epoch, _last);
        LogOptions options = _options with { FirstEpoch = Math.Max(epoch, Epoch + 1), Fsync = _fsync, Origin = origin ?? _options.Origin };
        return Open(_files, options, position, null);
    }
}
