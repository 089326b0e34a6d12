using Leither.Ipfs.Keys;
using Leither.MmDb.Log;
using Leither.Replication;

namespace Leither.Simulation;

/// <summary>A MiMei on a node of the simulated network: what its replica works with, and what may happen to it. It outlives the processes that open it.</summary>
public interface ISimStore : IReplicaStore
{
    /// <summary>Operations under way, in order; what they do, they do when their time comes. Null: it ends later, by <see cref="Ended"/>.</summary>
    Queue<(long Operation, Func<StoreResult?> Run)> Pending { get; }

    /// <summary>Is told of operations that did not end where they were run.</summary>
    Action<long, StoreResult>? Ended { get; set; }

    bool IsWriter { get; }

    bool IsFull { get; set; }

    ReplicaFacts? Facts { get; }

    ulong Epoch { get; }

    ulong Last { get; }

    Position Position { get; }

    ulong Synced { get; }

    /// <summary>What it holds, in short: the same exactly where the contents are.</summary>
    string State { get; }

    /// <summary>Whether all blocks of the files that it holds now are here.</summary>
    bool HasFiles { get; }

    /// <summary>Which versions it lists and does not have all blocks of.</summary>
    IEnumerable<ulong> NotWhole { get; }

    /// <summary>The epoch that it writes in.</summary>
    ulong WriteEpoch { get; }

    /// <summary>Entries that were taken back since it was made.</summary>
    ulong TakenBack { get; }

    /// <summary>
    /// Entries that were written here and not durable when the disk failed a sync: a copy gives them up, and takes them again from a source. To whom they were
    /// acknowledged as written, no more was said than that a process has them; it is as if the power had failed.
    /// </summary>
    IReadOnlyList<(ulong Kept, ulong Last)> GivenUp => [];

    /// <summary>Whether what was written here may have been lost when it ended the last time.</summary>
    bool MayHaveLost { get; }

    /// <summary>Whether it has an entry, or had it when it was trimmed or a version took the place of its log.</summary>
    bool HasEntry(ulong epoch, ulong sequence, ulong hash);

    /// <summary>A process opens it to write.</summary>
    void OpenAsWriter(ulong epoch);

    /// <summary>A process opens it to follow.</summary>
    void OpenAsCopy();

    /// <summary>Writes something; gives the entries that it came to.</summary>
    IEnumerable<(ulong Epoch, ulong Sequence, ulong Hash)> Write(Random random);

    /// <summary>What was written becomes durable.</summary>
    void Sync();

    /// <summary>A sync failed, and what was not durable is written again, in a new generation; false: nothing was.</summary>
    bool RewriteTail() => false;

    /// <summary>Begins a version of what there is now, where the log is cut; null: not now.</summary>
    (ulong Number, Position At)? BeginVersion(ulong number);

    /// <summary>Makes the version that was begun; false: there is none.</summary>
    bool EndVersion(PrivateKey writer, long nowMs);

    /// <summary>The oldest segments go, but for so many. Their nodes stay.</summary>
    void Trim(int keep);

    /// <summary>The process ends in good order.</summary>
    void Close();

    /// <summary>The process ends at once: what was written stays.</summary>
    void Kill();

    /// <summary>The power fails: of what was not synced a part is lost.</summary>
    /// <returns>How many entries that is.</returns>
    ulong LosePower();
}
