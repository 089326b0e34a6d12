// Garbage collection: mark from roots, then take away what is not marked, in slices.
//
// What is kept: everything that a root leads to. A collection runs beside readers and writers, so "root" includes what comes to be while it
// runs: every block that is put (also one that was there already), with all it links to, and what is given to Keep. The roots are listed
// again until a listing brings nothing new. What nobody lists, puts or keeps between the start and the end may go at any moment between
// them; so whoever began to build before the start, and has no root to list yet, needs IBlockstore.ProtectPuts.

using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.Blockstore;

/// <summary>Adds the CIDs that a block links to.</summary>
public delegate void BlockLinks(in Cid cid, ReadOnlySpan<byte> data, List<Cid> links);

/// <summary>What a collection is to keep, and how thorough it is.</summary>
public sealed class CollectionOptions
{
    /// <summary>
    /// Lists what is to be kept: pinned blocks, versions, what is being built. Called at least twice; enumerated a slice at a time, on the
    /// thread that calls <see cref="BlockCollection.Step"/>.
    /// </summary>
    public required Func<IEnumerable<Cid>> Roots { get; init; }

    /// <summary>Reads the links of a block; never asked about raw ones, which have none.</summary>
    public required BlockLinks Links { get; init; }

    /// <summary>
    /// Leave no byte of an unreachable block in any file: every file that holds one is written anew, however few they are. Otherwise only
    /// files are that hold much of it.
    /// </summary>
    public bool Purge { get; init; }

    /// <summary>The share of useless bytes that a file may hold without being written anew. With <see cref="Purge"/> it is 0.</summary>
    public double MaxDeadShare { get; init; } = 0.25;

    /// <summary>Where blocks may lie that this store lacks, so that what they link to is kept.</summary>
    public IBlockSource? Elsewhere { get; init; }
}

/// <summary>What a collection found and did, up to now.</summary>
public sealed record CollectionReport
{
    /// <summary>Blocks that are reachable.</summary>
    public long LiveBlocks { get; init; }

    /// <summary>Their bytes in the files, with what surrounds them.</summary>
    public long LiveBytes { get; init; }

    /// <summary>Bytes that were found to be of no use.</summary>
    public long DeadBytes { get; init; }

    /// <summary>Bytes of files that were deleted.</summary>
    public long FreedBytes { get; init; }

    /// <summary>Bytes of reachable blocks that were copied for it.</summary>
    public long CopiedBytes { get; init; }

    /// <summary>Links to blocks that are nowhere. Usual where history was trimmed or only a part of it was fetched.</summary>
    public long MissingBlocks { get; init; }

    /// <summary>
    /// Reachable blocks that could not be copied because their bytes are damaged. Without <see cref="CollectionOptions.Purge"/> their files
    /// were left as they are.
    /// </summary>
    public IReadOnlyList<BlockDamage> Damage { get; init; } = [];
}

/// <summary>A place in a file whose bytes are not what was written there.</summary>
/// <param name="File">The file.</param>
/// <param name="Offset">Where it begins.</param>
/// <param name="Length">How far it goes.</param>
/// <param name="Problem">What is wrong.</param>
/// <param name="IsTornTail">Whether nothing readable follows and nothing there was ever flushed: what a crash leaves, and nothing to worry about.</param>
public readonly record struct BlockDamage(string File, long Offset, long Length, string Problem, bool IsTornTail)
{
    /// <summary>One line for the node's own log.</summary>
    public override string ToString() => IsTornTail
        ? $"torn tail of {Length} bytes in {File} at offset {Offset}"
        : $"{Length} bytes of {File} at offset {Offset} are damaged: {Problem}";
}

/// <summary>
/// A collection that runs. Whoever began it calls <see cref="Step"/> until that returns true, then disposes it; disposing it earlier ends it,
/// which loses nothing and frees what was freed by then. A step that throws (a reachable block is damaged, the disk is full) has ended it too.
/// </summary>
public abstract class BlockCollection : IDisposable
{
    /// <summary>
    /// Works for about the given time; true when all is done. Disk writes that cannot be cut (a sync) may take longer, but no reader or
    /// writer waits for them.
    /// </summary>
    public abstract bool Step(TimeSpan budget);

    /// <summary>
    /// Keeps a block, and all it links to, as if it had been among the roots; false if it is too late for that: then it may be gone, or go,
    /// and has to be put. (Any thread.)
    /// </summary>
    public abstract bool Keep(in Cid cid);

    /// <summary>What it found and did, up to now.</summary>
    public abstract CollectionReport Report { get; }

    /// <summary>Works until all is done.</summary>
    public void Run()
    {
        while (!Step(TimeSpan.FromSeconds(1)))
        {
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Ends it.</summary>
    protected abstract void Dispose(bool disposing);
}
