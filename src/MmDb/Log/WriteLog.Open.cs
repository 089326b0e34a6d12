using System.Diagnostics.CodeAnalysis;

namespace Leither.MmDb.Log;

// Opening: recovery, then a first segment of our own.
public sealed unsafe partial class WriteLog
{
    private readonly bool _openedClean;

    /// <summary>What opening found and did.</summary>
    public RecoveryReport Recovery { get; }

    /// <summary>
    /// Opens the log in a directory, giving every entry after <paramref name="startAfter"/> (the newest checkpoint's) to
    /// <paramref name="onEntry"/>, in order. A torn tail is cut and reported. After an unclean end a new epoch begins.
    /// </summary>
    /// <exception cref="LogCorruptedException">Something that had been synced is damaged or missing.</exception>
    /// <exception cref="LogFileException">The disk failed.</exception>
    public static WriteLog Open(ILogFiles files, LogOptions options, Position startAfter, EntryVisitor? onEntry)
    {
        using var recovery = new LogRecovery(files, options.AllowDataLossAfterCorruption, startAfter, onEntry);
        recovery.Run();
        return new WriteLog(files, options, recovery);
    }

    /// <summary>As the other, for a checkpoint whose epoch is not known.</summary>
    public static WriteLog Open(ILogFiles files, LogOptions options, ulong startAfter, EntryVisitor? onEntry) =>
        Open(files, options, new Position(0, startAfter), onEntry);

    private WriteLog(ILogFiles files, LogOptions options, LogRecovery recovery)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(options.SegmentBytes, LogOptions.MinSegmentBytes);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.SegmentBytes, LogOptions.MaxSegmentBytes);
        if (!BitConverter.IsLittleEndian) throw new PlatformNotSupportedException("The log is written on little-endian machines only.");

        _files = files;
        _options = options;
        _worker = options.Worker;
        _fsync = options.Fsync;
        _streamThreshold = (int)Math.Min(StreamThresholdBytes, SegmentRoom / 4);

        _last = _writtenSequence = _syncedSequence = recovery.LastSequence;
        _openedClean = recovery.CleanEnd && !recovery.IsNew;
        LogRecovery.Found? newest = recovery.Chain.Count > 0 ? recovery.Chain[^1] : null;
        Epoch = recovery.CleanEnd ? Math.Max(recovery.MaxEpoch, 1) : recovery.MaxEpoch + 1;
        LogRecovery.Found? sameEpoch = recovery.Chain.FirstOrDefault(s => s.Header.Epoch == Epoch);
        _epochFirst = sameEpoch?.First ?? _last + 1;
        _previousEpoch = sameEpoch?.Header.PreviousEpoch ?? newest?.Header.Epoch ?? 0;
        // A segment of this epoch without an entry has the name that ours would have: the next generation takes its place.
        if (newest is not null && newest.Header.Epoch == Epoch) _generation = newest.Header.Generation + (newest.First > _last ? 1u : 0u);

        foreach (LogRecovery.Found found in recovery.Chain)
        {
            _segments.Add(new Segment
            {
                Name = found.Name,
                Header = found.Header,
                Capacity = found.Length,
                Length = found.Length,
                SyncedLength = found.Length,
                LastSequence = found.LastSequence,
                IsInDirectory = true,
                IsFinished = true,
            });
        }

        _oldest = _writing = _chunk = new Chunk(ChunkBytes);
        try
        {
            BeginFirstSegment(recovery, newest);
        }
        catch
        {
            _chunk.Free();
            throw;
        }
        OpenGroup(null, 0, EntryOverheadBytes);
        Recovery = recovery.Report(Epoch);
        _worker.Add(this);
    }

    /// <summary>
    /// The segment that we write to is durable before anything is written to it: whatever happens later, the next start sees that the log
    /// was open, and that its epoch was taken.
    /// </summary>
    [MemberNotNull(nameof(_current))]
    private void BeginFirstSegment(LogRecovery recovery, LogRecovery.Found? newest)
    {
        // What the files hold beyond their groups is zeros, and the newest segment may never have been synced.
        foreach (LogRecovery.Found found in recovery.Chain)
        {
            if (found.FileLength <= found.Length && found != newest) continue;
            using ILogFile file = _files.Open(found.Name);
            if (found.FileLength > found.Length) file.Truncate(found.Length);
            file.SyncData();
        }

        Segment segment = BeginSegment(_last + 1, 0);
        segment.File!.SyncData();
        segment.SyncedLength = segment.Length;
        Name(segment);
        foreach (string name in recovery.Superseded) _files.Delete(name);
        if (newest is not null && newest.Header.Epoch == Epoch && newest.First > _last)
        {
            _files.Delete(newest.Name);
            _segments.RemoveAt(_segments.Count - 1);
        }
        _files.SyncDirectory();
        segment.IsInDirectory = true;
        _segments.Add(segment);
        _current = segment;
    }
}
