using System.Diagnostics;
using Leither.Ipfs.Files;
using Leither.MmDb.Log;

namespace Leither.MmDb.Checkpoints;

/// <summary>
/// Takes away all that a new checkpoint stands for: older checkpoints, and the log below it, whatever is kept otherwise. So what was deleted before is in
/// none of these files any more. There is no older checkpoint to fall back on until the next is made, so the new one is read back first.
/// </summary>
/// <param name="files">Where checkpoints are.</param>
/// <param name="kept">The new checkpoint.</param>
/// <param name="log">The MiMei's log; null: it keeps none.</param>
/// <param name="unusedLog">Where a log is that was kept once; null: there is none.</param>
public sealed class CheckpointPurge(IFolder files, CheckpointInfo kept, WriteLog? log, IFolder? unusedLog)
{
    /// <summary>How long to wait for those who read the log.</summary>
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(60);

    private static readonly TimeSpan _poll = TimeSpan.FromMilliseconds(5);

    /// <summary>Does it. (Any thread that may wait for the disk.)</summary>
    /// <param name="step">Is called while it waits; may throw to end it.</param>
    /// <param name="held">Gets what could not be taken away, and why.</param>
    /// <returns>Bytes of files that were deleted.</returns>
    /// <exception cref="CheckpointCorruptedException">The new checkpoint cannot be read back; nothing was taken away.</exception>
    /// <exception cref="IOException">The disk failed; not all was taken away.</exception>
    public long Run(Action step, ICollection<string> held)
    {
        CheckpointLoader.Verify(files, kept.Name);
        long freed = CheckpointFiles.DeleteBefore(files, kept.Name);
        if (log is not null)
        {
            freed += DropLog(log, step, held);
        }

        if (unusedLog is not null)
        {
            foreach ((string name, long length) in unusedLog.List())
            {
                if (LogFormat.HoldsEntries(name))
                {
                    unusedLog.Delete(name);
                    freed += length;
                }
            }

            unusedLog.SyncDirectory();
        }

        if ((log?.Files ?? unusedLog) is { } folder)
        {
            foreach ((string name, _) in folder.List())
            {
                if (LogFormat.IsSetAside(name))
                {
                    held.Add($"{folder.FullName(name)}, which was set aside when the log was found damaged: delete it when it is not needed");
                }
            }
        }

        return freed;
    }

    private long DropLog(WriteLog log, Action step, ICollection<string> held)
    {
        // Sealed first: the nodes stay, and nothing goes without one.
        ulong last = kept.Position.Sequence;
        if (!log.Sync(last))
        {
            throw new IOException("the log could not be made durable");
        }

        log.Seal(last);
        long begun = Stopwatch.GetTimestamp(), bytes = log.TotalBytes;
        while (true)
        {
            log.DropThrough(last, keepBytes: 0);
            log.PerformFileWork();
            if (!log.Holds(last))
            {
                break;
            }

            if (log.BackgroundError is { } problem)
            {
                throw new IOException(problem);
            }

            if (Stopwatch.GetElapsedTime(begun) > _patience)
            {
                held.Add($"the log up to entry {last}, since somebody reads it: MIMEI CHECK PURGE again when that has ended");
                break;
            }

            step();
            Thread.Sleep(_poll);
        }

        return Math.Max(0, bytes - log.TotalBytes);
    }
}
