namespace Leither.MmDb;

/// <summary>
/// Makes checkpoints of one MiMei: the whole state at one position of its log, in a file, so that start-up is short and the log is
/// bounded. SAVE, BGSAVE, BGREWRITEAOF, SHUTDOWN and DEBUG RELOAD ask it; all members are called behind the MiMei's gate.
/// </summary>
public interface ICheckpointer
{
    /// <summary>Whether one is being made in the background.</summary>
    bool IsRunning { get; }
    /// <summary>When the running one was begun, in Unix milliseconds.</summary>
    long StartedMs { get; }
    /// <summary>When the last one was completed, in Unix milliseconds; the start of the node before the first.</summary>
    long LastSavedMs { get; }
    /// <summary>How long the last one took, in milliseconds; -1 before the first.</summary>
    long LastDurationMs { get; }
    /// <summary>Whether the last one succeeded.</summary>
    bool LastSucceeded { get; }
    /// <summary>How many were completed.</summary>
    long Count { get; }

    /// <summary>Makes one now and waits for it. Returns null, or what went wrong.</summary>
    string? Save();

    /// <summary>Begins one in the background. Returns null, or what went wrong.</summary>
    string? Start();

    /// <summary>Makes one in the background beside which nothing that is older is needed. The log's segment ends with it.</summary>
    /// <param name="done">Is called behind the gate: with what takes all that is older away, or with what went wrong.</param>
    void Purge(Action<Checkpoints.CheckpointPurge?, string?> done);

    /// <summary>Empties the keyspace and loads it again from a checkpoint, which it makes where there is none of this state. Returns null, or what went wrong.</summary>
    string? Reload();

    /// <summary>A slice of the running one, or the decision to begin one by itself. The periodic work calls it.</summary>
    /// <param name="nowMs">Unix milliseconds.</param>
    /// <returns>In how many milliseconds it wants to be called again at the latest; 0: as soon as clients have had their turn.</returns>
    int Step(long nowMs);
}
