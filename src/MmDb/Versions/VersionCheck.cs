using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;

namespace Leither.MmDb.Versions;

/// <summary>What a check found.</summary>
/// <param name="Versions">Versions that were checked.</param>
/// <param name="Blocks">Blocks that they lead to.</param>
/// <param name="Bytes">Bytes of these.</param>
/// <param name="Segments">Sealed segments of the log: nodes of its chain.</param>
/// <param name="Trimmed">Of how many of these the data was trimmed below a checkpoint, as it is to be.</param>
/// <param name="Problems">What is wrong: where, and what to do.</param>
/// <param name="Freed">Bytes of files that a purge deleted.</param>
/// <param name="Held">After a purge, where what was deleted may still be.</param>
internal sealed record CheckReport(int Versions, long Blocks, long Bytes, int Segments, int Trimmed, IReadOnlyList<string> Problems, long Freed, IReadOnlyList<string> Held);

/// <summary>What a purge needs beside the versions.</summary>
/// <param name="Checkpoint">A checkpoint that was made for it; null: there is none.</param>
/// <param name="Problem">Why there is none; null where none is made.</param>
/// <param name="Followers">Who else may hold what was deleted.</param>
internal sealed record VersionPurge(Checkpoints.CheckpointPurge? Checkpoint, string? Problem, IReadOnlyList<string> Followers);

/// <summary>Checks the versions and the log of a MiMei, and repairs what can be repaired. For a thread that may wait for the disk.</summary>
internal sealed class VersionCheck(Versioner versions, WriteLog? log, LongWork work)
{
    /// <summary>More are counted, not listed.</summary>
    private const int MaxProblems = 1000;

    private readonly List<string> _problems = [];
    private readonly HashSet<Cid> _damaged = [];
    private long _unlisted;
    private string _place = "";

    /// <summary>Checks everything.</summary>
    /// <param name="purge">Leave no byte of what was deleted in any file; null: only check.</param>
    /// <exception cref="IOException">The disk failed.</exception>
    public CheckReport Run(VersionPurge? purge)
    {
        using IDisposable job = versions.BeginJob();
        if (versions.RepairList() is { } repaired)
        {
            _problems.Add(repaired);
        }

        work.Begin("checking blocks", versions.Blocks.Figures.Blocks);
        var checker = new StateChecker(versions.Blocks, Found, () =>
        {
            versions.ThrowIfClosing();
            work.Count();
        });
        int count = 0;
        foreach (ListedVersion listed in versions.List.All)
        {
            count++;
            CheckVersion(checker, listed);
        }

        Repair();
        var held = new List<string>();
        long freed = purge is null ? 0 : PurgeLog(purge, held) + PurgeBlocks(held);
        CheckLog();
        (int segments, int trimmed) = CheckChain();
        held.AddRange(purge?.Followers ?? []);

        if (_unlisted > 0)
        {
            _problems.Add($"and {_unlisted} more");
        }

        return new CheckReport(count, checker.Blocks, checker.Bytes, segments, trimmed, _problems, freed, held);
    }

    private void CheckVersion(StateChecker checker, ListedVersion listed)
    {
        Versioner.Use use;
        MimeiVersion version;
        _place = $"version {listed.Number}";
        if (checker.Read(listed.Block) is null)
        {
            return;
        }

        try
        {
            use = versions.Hold(listed.Number, out version);
        }
        catch (MimeiException e)
        {
            if (!versions.List.Find(listed.Number).IsNone)
            {
                Found(listed.Block, null, $"is no version of this MiMei ({e.Message})");
            }

            // Otherwise it was deleted meanwhile.
            return;
        }

        using (use)
        {
            if (version.Number != listed.Number)
            {
                Found(listed.Block, null, $"is version {version.Number} and listed under another number");
            }

            if (listed.IsOwn && !version.Segment.IsNone && log?.Chain is { } chain && Sealed(chain, version.Position.Sequence) != version.Segment
                && !BeginsAfter(chain, version.Position.Sequence))
            {
                Add($"{_place}: the log's chain has no node {version.Segment}, which it links to: the log up to there cannot be verified by its signature");
            }

            checker.Check(version.State);
        }
    }

    /// <summary>The node of the segment in which an entry ends. One that a follower just took is not sealed before it is durable.</summary>
    private Cid Sealed(SegmentChain chain, ulong sequence)
    {
        try
        {
            return (chain.Find(sequence) ?? log!.Seal(sequence))?.Cid ?? default;
        }
        catch (IOException)
        {
            // The disk fails, which is told where the log is checked.
            return default;
        }
    }

    /// <summary>Whether the log begins after an entry: it goes on from a version that was imported, and what led to that is elsewhere.</summary>
    private bool BeginsAfter(SegmentChain chain, ulong sequence)
    {
        if (chain.Segments is [var first, ..])
        {
            return (first.Node.Previous.IsNone || chain.HasFloor) && first.Node.From > sequence;
        }

        using LogReader? reader = sequence == 0 ? null : log!.Read(sequence - 1);
        return reader is null;
    }

    private void Found(Cid block, Exception? damage, string what)
    {
        if (damage is BlockCorruptedException)
        {
            _damaged.Add(block);
        }

        Add($"{_place}: block {block} {what}. "
            + (damage is null ? $"Bring the block back with MIMEI IMPORT from an export or from a copy of the folder, or MIMEI DELVERS {_place["version ".Length..]}" : "It was dropped: MIMEI BACKUP writes it again if the data still has what was in it, and MIMEI IMPORT from an export does"));
    }

    private void Add(string problem)
    {
        if (_problems.Count < MaxProblems)
        {
            _problems.Add(problem);
        }
        else
        {
            _unlisted++;
        }
    }

    /// <summary>What is damaged goes, so that the next version or import writes it anew.</summary>
    private void Repair()
    {
        foreach (Cid block in _damaged)
        {
            versions.Blocks.Delete(block);
        }

        if (_damaged.Count > 0)
        {
            versions.Blocks.Flush();
        }

        versions.RetryCollection();
    }

    private unsafe void CheckLog()
    {
        try
        {
            using LogReader? reader = log?.ReadAll();
            reader?.Run((_, _, _) => versions.ThrowIfClosing());
        }
        catch (LogCorruptedException e)
        {
            _problems.Add($"log: {e.Message}. What is in memory is whole: SAVE makes a checkpoint of it, so that a start does not need what is damaged");
        }
    }

    /// <summary>
    /// Checks the sealed segments: that each links to the one before, and that the data of those that are there is what their nodes say. What lies below the
    /// log's floor was trimmed; what is missing above it is lost.
    /// </summary>
    private (int Segments, int Trimmed) CheckChain()
    {
        if (log?.Chain is not { } chain)
        {
            return (0, 0);
        }

        log.PerformFileWork();
        log.PerformSeal(now: true);
        if (log.SealError is { } problem)
        {
            Add($"log: segments cannot be sealed: {problem}. It is tried again");
        }

        IReadOnlyList<SealedSegment> segments = chain.Segments;
        var data = new System.Buffers.ArrayBufferWriter<byte>();
        int trimmed = 0;
        bool isAboveFloor = false;
        SealedSegment? before = null;
        foreach (SealedSegment segment in segments)
        {
            versions.ThrowIfClosing();
            string entries = $"entries {segment.Node.From} to {segment.Node.To}";
            if (before is null ? !segment.Node.Previous.IsNone && !chain.HasFloor : segment.Node.Previous != before.Cid)
            {
                Add($"log: the chain has no node between entries {before?.Node.To ?? 0} and {segment.Node.From}: what was there cannot be verified. Bring back the file chain from a copy of the folder");
            }

            before = segment;
            try
            {
                data.ResetWrittenCount();
                if (chain.TryGet(segment.Node.Data, data))
                {
                    isAboveFloor = true;
                }
                else if (isAboveFloor && !chain.IsThere(segment))
                {
                    Add($"log: the segment of {entries} is lost: its file {segment.FileName} is not there, though older ones are. Bring it back from a copy of the folder");
                }
                else
                {
                    trimmed++;
                }
            }
            catch (IOException e)
            {
                isAboveFloor = true;
                Add($"log: the segment of {entries} cannot be read: {e.Message}");
            }
        }

        return (segments.Count, trimmed);
    }

    /// <summary>Older checkpoints go, and the log below the new one.</summary>
    private long PurgeLog(VersionPurge purge, List<string> held)
    {
        try
        {
            if (purge.Checkpoint is { } checkpoint)
            {
                return checkpoint.Run(versions.ThrowIfClosing, held);
            }

            if (purge.Problem is { } problem)
            {
                Add($"the log and the checkpoints were not purged, since no new checkpoint could be made: {problem}. Try again");
            }
        }
        catch (IOException e)
        {
            Add($"the purge of the log and the checkpoints was not completed: {e.Message}. Try again");
        }

        return 0;
    }

    private long PurgeBlocks(List<string> held)
    {
        long freed = 0;
        try
        {
            CollectionReport report = versions.Collect(purge: true);
            freed = report.FreedBytes;
            foreach (BlockDamage damage in report.Damage)
            {
                Add(damage.ToString());
            }
        }
        catch (IOException e)
        {
            Add($"the purge was not completed: {e.Message}. Try again");
        }

        if (versions.HeldDeleted is var open and > 0)
        {
            held.Add($"blocks of {open} deleted versions that clients have open: MIMEI CHECK PURGE again when they have been closed");
        }

        return freed;
    }
}
