using System.Runtime.InteropServices;
using Leither.Ipfs.Files;

namespace Leither.MmDb.Log;

// Opening: recovery, then a first segment of our own.
public sealed unsafe partial class WriteLog
{
    // The empty segment whose place ours took; and whether, without ours, the log would still end with the mark of a clean end.
    private readonly string? _replaced;
    private readonly bool _cleanEndRemains;

    /// <summary>What opening found and did.</summary>
    public RecoveryReport Recovery { get; }

    /// <summary>
    /// Opens the log in a directory, giving every entry after <paramref name="startAfter"/> (the newest checkpoint's) to
    /// <paramref name="onEntry"/>, in order. A torn tail is cut and reported. After an unclean end a new epoch begins.
    /// </summary>
    /// <exception cref="LogCorruptedException">Something that had been synced is damaged or missing.</exception>
    /// <exception cref="DiskException">The disk failed.</exception>
    public static WriteLog Open(IFolder files, LogOptions options, Position startAfter, EntryVisitor? onEntry)
    {
        using var recovery = new LogRecovery(files, options.AllowDataLossAfterCorruption, startAfter, onEntry, isCopy: false);
        recovery.Run();
        return new WriteLog(files, options, recovery);
    }

    /// <summary>As the other, for a checkpoint whose epoch is not known.</summary>
    public static WriteLog Open(IFolder files, LogOptions options, ulong startAfter, EntryVisitor? onEntry) =>
        Open(files, options, new Position(0, startAfter), onEntry);

    private static void Check(LogOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(options.SegmentBytes, LogOptions.MinSegmentBytes);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.SegmentBytes, LogOptions.MaxSegmentBytes);
        if (!BitConverter.IsLittleEndian) throw new PlatformNotSupportedException("The log is written on little-endian machines only.");
    }

    private WriteLog(IFolder files, LogOptions options, LogRecovery recovery)
    {
        Check(options);
        _files = files;
        _options = options;
        _worker = options.Worker;
        _fsync = options.Fsync;
        _chunkBytes = Math.Clamp(options.SegmentBytes, MinChunkBytes, MaxChunkBytes);
        _streamThreshold = (int)Math.Min(StreamThresholdBytes, SegmentRoom / 4);

        _last = _writtenSequence = _syncedSequence = recovery.LastSequence;
        LogRecovery.Found? newest = recovery.Chain.Count > 0 ? recovery.Chain[^1] : null;
        Epoch = Math.Max(recovery.CleanEnd ? Math.Max(recovery.MaxEpoch, 1) : recovery.MaxEpoch + 1, options.FirstEpoch);
        LogRecovery.Found? sameEpoch = recovery.Chain.FirstOrDefault(s => s.Header.Epoch == Epoch);
        _epochFirst = sameEpoch?.First ?? _last + 1;
        _previousEpoch = sameEpoch?.Header.PreviousEpoch ?? newest?.Header.Epoch ?? 0;
        // A segment of this epoch without an entry has the name that ours would have: ours, of the next generation, takes its place.
        if (newest is not null && newest.Header.Epoch == Epoch)
        {
            _replaced = newest.First > _last ? newest.Name : null;
            _generation = newest.Header.Generation + (_replaced is not null ? 1u : 0u);
        }
        _cleanEndRemains = recovery.CleanEnd && !recovery.IsNew && _replaced is null;

        foreach (LogRecovery.Found found in recovery.Chain) _segments.Add(SegmentOf(found));
        _writtenTime = _time = recovery.LastTime;

        _preparedCounter = recovery.PreparedFiles;
        _hasBegun = !options.IsThrifty || !recovery.IsNew || recovery.Superseded.Any();
        _oldest = _writing = _chunk = NewChunk(_chunkBytes);
        try
        {
            if (_hasBegun) BeginFirstSegment(recovery, newest);
        }
        catch
        {
            _chunk.Free();
            throw;
        }
        OpenGroup(null, 0, EntryOverheadBytes);
        Recovery = recovery.Report(Epoch);
        if (options.Origin is { } origin) _chain = new SegmentChain(files, origin, LoadChain, IsThere);
        _worker.Add(this);
        if (_chain is not null) _worker.WantSeal();
    }

    /// <summary>A segment of an earlier life.</summary>
    private static Segment SegmentOf(LogRecovery.Found found) => new()
    {
        Name = found.Name,
        Header = found.Header,
        Capacity = found.Length,
        Length = found.Length,
        SyncedLength = found.Length,
        LastSequence = found.LastSequence,
        StreamStart = -1,
        IsInDirectory = true,
        IsNamed = true,
        IsFinished = true,
        MayBeLonger = !found.WasRead,
    };

    /// <summary>
    /// The segment that we write to is durable before anything is written to it: whatever happens later, the next start sees that the log
    /// was open, and that its epoch was taken.
    /// </summary>
    private void BeginFirstSegment(LogRecovery recovery, LogRecovery.Found? newest)
    {
        // What an ended process wrote may be in the system's cache only. The new segment vouches for it: so it is synced first. And should a
        // sync have failed in that process, the system may call pages clean that never got to the disk: so they are written again before.
        foreach (LogRecovery.Found found in recovery.Chain)
        {
            if (found.LastTouched <= recovery.Vouched && found != newest) continue;
            WriteAgain(found);
        }
        _files.SyncDirectory();

        Segment segment = BeginDurably();

        // Only now that the new segment says where the log goes on, what lies beyond that place is taken away: a crash at any point in between
        // leaves a log that reads the same.
        foreach (LogRecovery.Found found in recovery.Chain)
        {
            if (found.FileLength <= found.Length) continue;
            using IFile file = _files.Open(found.Name);
            file.Truncate(found.Length);
            file.Sync();
        }
        foreach (string name in recovery.Superseded) _files.Delete(name);
        if (_replaced is not null)
        {
            _files.Delete(_replaced);
            _segments.RemoveAt(_segments.Count - 1);
            _settled = _sealedSegments = 0;
        }
        _files.SyncDirectory();
        _segments.Add(segment);
        _current = segment;
    }

    /// <summary>The first segment of a new log that waited for its first entry.</summary>
    private void BeginLate()
    {
        Segment segment = BeginDurably();
        lock (_gate)
        {
            _segments.Add(segment);
            _current = segment;
        }
        _hasBegun = true;
    }

    private Segment BeginDurably()
    {
        Segment segment = BeginSegment(_writtenSequence + 1, 0, isLate: !_options.IsThrifty);
        segment.File!.Sync();
        segment.SyncedLength = segment.Length;
        Name(segment);
        _files.SyncDirectory();
        segment.IsInDirectory = true;
        return segment;
    }

    /// <summary>Writes the bytes of a segment over themselves, and syncs them.</summary>
    private void WriteAgain(LogRecovery.Found found)
    {
        using IFile file = _files.Open(found.Name);
        byte* buffer = (byte*)NativeMemory.Alloc(MaxChunkBytes);
        try
        {
            for (long at = 0; at < found.Length;)
            {
                int n = file.Read(at, new Span<byte>(buffer, (int)Math.Min(MaxChunkBytes, found.Length - at)));
                if (n == 0) throw new DiskException("read", _files.FullName(found.Name), "the file became shorter", isFull: false);
                WriteFully(file, at, buffer, n);
                at += n;
            }
        }
        finally
        {
            NativeMemory.Free(buffer);
        }
        file.Sync();
    }
}
