using System.Diagnostics;
using Leither.Ipfs.Files;
using Leither.MmDb.Configuration;
using Leither.MmDb.Log;

namespace Leither.MmDb.Checkpoints;

/// <summary>What decides on when a MiMei makes checkpoints by itself.</summary>
public sealed class CheckpointerOptions
{
    /// <summary>The save points (<c>save</c>), read each time.</summary>
    public Func<IReadOnlyList<SavePoint>> SavePoints { get; init; } = static () => [];
    /// <summary>Bytes of log since the last checkpoint below which none is made for their sake (<c>auto-aof-rewrite-min-size</c>), read each time.</summary>
    public Func<long> LogBytes { get; init; } = static () => 64 << 20;
    /// <summary>
    /// Percent of the last checkpoint's size to which the log must have grown for the next (<c>auto-aof-rewrite-percentage</c>), read each time;
    /// 0: the log's growth makes none.
    /// </summary>
    public Func<long> LogPercent { get; init; } = static () => 100;
    /// <summary>Bytes of log that are kept below the checkpoints, for followers to catch up.</summary>
    public long KeepLogBytes { get; init; } = 16 << 20;
    /// <summary>Where a log is that was kept once, where none is kept any more; null: there is none.</summary>
    public IFolder? UnusedLog { get; init; }
    /// <summary>Is told what was made and what went wrong, for the node's own log.</summary>
    public Action<string> Report { get; init; } = static _ => { };
}

/// <summary>
/// Makes the checkpoints of one MiMei: asked for (SAVE, BGSAVE), and by itself when the log since the last one grew long or a save point
/// is reached. One at a time. A failure is reported and tried again; it never stops the MiMei.
/// </summary>
/// <remarks>
/// After a checkpoint the log is cut, but not below the one before: whenever the newest turns out damaged, that one and the log after it
/// still give the whole state.
/// </remarks>
public sealed class Checkpointer : ICheckpointer, IDisposable
{
    /// <summary>A checkpoint that was not asked for is tried again so long after one that failed.</summary>
    private const long RetryMs = 5000;

    /// <summary>How soon to look again whether the disk is through.</summary>
    private const int DiskPollMs = 5;

    /// <summary>One more file of the log is as much work for a start as so many bytes: many small versions, each of which ends a file, make a checkpoint due.</summary>
    private const long SegmentBurden = 64 << 10;

    private static readonly long _sliceTicks = Stopwatch.Frequency / 2000;

    private readonly Mimei _mimei;
    private readonly IFolder _files;
    private readonly CheckpointerOptions _options;
    private readonly TimeProvider _time;
    private CheckpointInfo? _last;
    private Snapshot? _snapshot;
    private CheckpointWriter? _writer;
    private bool _wanted, _isHalted, _hasYielded;

    // Who asked for a purge, and whom of them the running one is for.
    private readonly List<Action<CheckpointPurge?, string?>> _purges = [];
    private Action<CheckpointPurge?, string?>[] _purging = [];
    private long _begunTicks, _dirtyAtBegin, _lastTryMs;

    // Without a log positions are counted here: on from where the MiMei was when it was opened.
    private readonly Position _unlogged;
    private readonly long _appliedAtOpening;

    // Bytes of log since the last checkpoint = what was replayed at the start + what was appended - what that had come to by then.
    private readonly long _replayedBytes;
    private long _logBytesAtLast, _logBytesAtBegin;

    /// <summary>A checkpointer of a MiMei that was just opened.</summary>
    /// <param name="mimei">The MiMei, its log set.</param>
    /// <param name="files">Where checkpoints are.</param>
    /// <param name="recovered">What opening it found.</param>
    /// <param name="time">The clock.</param>
    /// <param name="options">Settings.</param>
    public Checkpointer(Mimei mimei, IFolder files, RecoveredState recovered, TimeProvider time, CheckpointerOptions? options = null)
    {
        _mimei = mimei;
        _files = files;
        _time = time;
        _options = options ?? new CheckpointerOptions();
        _last = recovered.Checkpoint;
        _unlogged = new Position(recovered.Position.Epoch + 1, recovered.Position.Sequence);
        _appliedAtOpening = mimei.Keyspace.Effects.Applied;
        _replayedBytes = recovered.Log is { } log ? log.Recovery.ReplayedBytes + (log.SegmentCount * SegmentBurden) : 0;
        LastSavedMs = NowMs;
    }

    /// <inheritdoc/>
    public bool IsRunning => IsWanted || _snapshot is not null || _writer is not null;
    /// <inheritdoc/>
    public long StartedMs { get; private set; }
    /// <inheritdoc/>
    public long LastSavedMs { get; private set; }
    /// <inheritdoc/>
    public long LastDurationMs { get; private set; } = -1;
    /// <inheritdoc/>
    public bool LastSucceeded { get; private set; } = true;
    /// <inheritdoc/>
    public long Count { get; private set; }

    private bool IsWanted => _wanted || _purges.Count > 0;

    private long NowMs => _time.GetUtcNow().ToUnixTimeMilliseconds();

    private Position CurrentPosition => _mimei.Log?.LastPosition
        ?? new Position(_unlogged.Epoch, _unlogged.Sequence + (ulong)(_mimei.Keyspace.Effects.Applied - _appliedAtOpening));

    private long LogBytes => _replayedBytes + (_mimei.Log is { } log ? log.AppendedBytes + (log.Cuts * SegmentBurden) : 0);

    /// <summary>Whether effects were logged whose entry has not ended: a snapshot here would hold a part of an entry.</summary>
    private bool InEntry => _mimei.Log is { InEntry: true };

    /// <summary>Whether no other snapshot runs (a version's, a replica's), and no entry.</summary>
    private bool MayBegin => !InEntry && !_isHalted && _mimei.Keyspace.Snapshot is null && _mimei.Copy is not { IsApartFromLog: true };

    /// <inheritdoc/>
    public string? Save()
    {
        if (InEntry)
        {
            return "a checkpoint cannot be made in the middle of an entry of the log";
        }

        if (_isHalted || _mimei.Copy is { IsApartFromLog: true })
        {
            return "another state is about to take the place of this one";
        }

        Cancel();
        _mimei.Versions?.Yield();
        return SaveNow();
    }

    /// <summary>Lets go of the snapshot under way, since another one is wanted at once; the checkpoint is begun again afterwards. Not twice for the same one.</summary>
    internal void Yield()
    {
        if (_snapshot is not null && !_hasYielded)
        {
            Cancel();
            _wanted = _hasYielded = true;
        }
    }

    /// <summary>No checkpoint is made until <see cref="GoOn"/>: another state takes the place of this one. What is asked for waits.</summary>
    internal void Halt()
    {
        if (_snapshot is not null || _writer is not null)
        {
            Cancel();
            _wanted = true;
        }

        _isHalted = true;
    }

    /// <summary>Ends <see cref="Halt"/>.</summary>
    internal void GoOn() => _isHalted = false;

    /// <summary>The state is another from now on: that of a checkpoint, or of what the log has after one; null: there is none.</summary>
    internal void Rebase(CheckpointInfo? last)
    {
        _last = last;
        _logBytesAtLast = LogBytes;
        LastSavedMs = last is null ? LastSavedMs : NowMs;
    }

    private string? SaveNow()
    {
        Begin();
        Snapshot snapshot = _snapshot!;
        CheckpointWriter writer = _writer!;
        while (!snapshot.Step(Stopwatch.GetTimestamp() + (10 * _sliceTicks)))
        {
            writer.WaitUntilNotBehind();
        }

        writer.Complete(snapshot.CapturedKeys);
        _snapshot = null;
        writer.Wait();
        return End();
    }

    /// <inheritdoc/>
    public string? Start()
    {
        // EXEC may run it between effects: then it begins with the next slice, which comes after the entry's end.
        _wanted = true;
        StartedMs = NowMs;
        if (MayBegin && _snapshot is null && _writer is null)
        {
            Begin();
        }

        return null;
    }

    /// <inheritdoc/>
    public void Purge(Action<CheckpointPurge?, string?> done)
    {
        _purges.Add(done);
        if (MayBegin && _snapshot is null && _writer is null)
        {
            Begin();
        }
    }

    /// <inheritdoc/>
    public string? Reload()
    {
        bool isSaved = !IsRunning && _last is not null && _last.Position == CurrentPosition;
        if (!isSaved && Save() is { } error)
        {
            return error;
        }

        try
        {
            CheckpointLoader.Load(_files, _last!.Name, _mimei.Keyspace);
        }
        catch (CheckpointCorruptedException e)
        {
            return e.Message;
        }

        foreach (Database database in _mimei.Keyspace.Databases)
        {
            Transactions.TouchAll(database, null);
        }

        return null;
    }

    /// <inheritdoc/>
    public int Step(long nowMs)
    {
        if (_snapshot is { } snapshot)
        {
            return Walk(snapshot);
        }

        if (_writer is { } writer)
        {
            if (!writer.IsDone)
            {
                return DiskPollMs;
            }

            writer.Wait();
            End();
        }

        if (MayBegin && (IsWanted || IsDue(nowMs)))
        {
            Begin();
            return 0;
        }

        return int.MaxValue;
    }

    /// <summary>One slice.</summary>
    private int Walk(Snapshot snapshot)
    {
        CheckpointWriter writer = _writer!;
        if (writer.IsDone && !snapshot.IsCancelled && snapshot.Cancel())
        {
            // The disk failed.
            _snapshot = null;
            writer.Abandon();
            return 0;
        }

        if (writer.IsBehind)
        {
            return DiskPollMs;
        }

        if (snapshot.Step(Stopwatch.GetTimestamp() + _sliceTicks))
        {
            _snapshot = null;
            writer.Complete(snapshot.CapturedKeys);
        }

        return 0;
    }

    private bool IsDue(long nowMs)
    {
        if (!LastSucceeded && nowMs - _lastTryMs < RetryMs)
        {
            return false;
        }

        long percent = _options.LogPercent();
        if (_mimei.Log is not null && percent > 0
            && LogBytes - _logBytesAtLast > Math.Max(_options.LogBytes(), (_last?.Bytes ?? 0) / 100.0 * percent))
        {
            return true;
        }

        long dirty = _mimei.Keyspace.Dirty;
        if (dirty == 0)
        {
            return false;
        }

        foreach (SavePoint point in _options.SavePoints())
        {
            if (dirty >= point.Changes && nowMs - LastSavedMs > point.Seconds * 1000)
            {
                return true;
            }
        }

        return false;
    }

    private void Begin()
    {
        Keyspace keyspace = _mimei.Keyspace;
        _wanted = false;
        if (_purges.Count > 0)
        {
            _purging = [.. _purges];
            _purges.Clear();
            if (_mimei.Copy is null)
            {
                _mimei.Log?.Cut();
            }
        }

        _begunTicks = Stopwatch.GetTimestamp();
        _lastTryMs = StartedMs = NowMs;
        _dirtyAtBegin = keyspace.Dirty;
        _logBytesAtBegin = LogBytes;
        Database[] databases = keyspace.Databases;
        long keys = 0;
        int largest = 0;
        for (int i = 0; i < databases.Length; i++)
        {
            keys += databases[i].Count;
            largest = databases[i].Count > databases[largest].Count ? i : largest;
        }

        _writer = new CheckpointWriter(_files, new CheckpointHeader(CurrentPosition, keyspace.Effects.LastTime, StartedMs, databases.Length, keys, largest), _mimei.Log);
        _snapshot = Snapshot.Begin(keyspace, _writer);
    }

    /// <summary>Takes the writer's result. Returns null, or what went wrong.</summary>
    private string? End()
    {
        CheckpointWriter writer = _writer!;
        _writer = null;
        LastDurationMs = (long)Stopwatch.GetElapsedTime(_begunTicks).TotalMilliseconds;
        if (writer.Result is not { } made)
        {
            LastSucceeded = false;
            string problem = writer.Error?.Message ?? "it was given up";
            _options.Report($"Checkpoint failed: {problem}");
            EndPurges(null, problem);
            return problem;
        }

        LastSucceeded = true;
        _hasYielded = false;
        LastSavedMs = NowMs;
        Count++;
        _last = made;
        _logBytesAtLast = _logBytesAtBegin;
        _mimei.Keyspace.Dirty -= _dirtyAtBegin;
        _options.Report($"Checkpoint: {made}, in {LastDurationMs} ms");
        try
        {
            Position needed = CheckpointFiles.DeleteOld(_files);
            _mimei.Log?.DropThrough(needed.Sequence, _options.KeepLogBytes);
        }
        catch (DiskException e)
        {
            // They only take space; the next checkpoint tries again.
            _options.Report($"Old checkpoints stay: {e.Message}");
        }

        EndPurges(new CheckpointPurge(_files, made, _mimei.Log, _mimei.Log is null ? _options.UnusedLog : null), null);
        return null;
    }

    private void EndPurges(CheckpointPurge? purge, string? problem)
    {
        Action<CheckpointPurge?, string?>[] purges = _purging;
        _purging = [];
        foreach (Action<CheckpointPurge?, string?> done in purges)
        {
            done(purge, problem);
        }
    }

    /// <summary>Gives up what runs; returns when another one may begin.</summary>
    private void Cancel()
    {
        _wanted = false;
        if (_snapshot is { } snapshot)
        {
            if (!snapshot.IsCancelled && snapshot.Cancel())
            {
                _snapshot = null;
            }
            else
            {
                snapshot.Step(long.MaxValue);
                _snapshot = null;
            }
        }

        if (_writer is { } writer)
        {
            writer.Abandon();
            writer.Wait();
            _writer = null;
        }

        // The next one is for them.
        _purges.AddRange(_purging);
        _purging = [];
    }

    /// <summary>Gives up what runs, and lets go of its thread.</summary>
    public void Dispose()
    {
        Cancel();
        _purging = [.. _purges];
        _purges.Clear();
        EndPurges(null, "the MiMei was closed before it was made");
    }
}
