using System.Buffers;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Multiformats;
using Leither.Ipfs.UnixFs;

namespace Leither.Ipfs.Content;

/// <summary>
/// One reading of content: a file, a folder, all that a root leads to. Its blocks come from the store, and those that are not there from the network where the node
/// is part of one; they are checked, and kept in the store as blocks without a root are. Reading waits for them, so not on a thread that others need.
/// </summary>
/// <remarks>
/// <see cref="IBlockSource.Has"/>, <see cref="IBlockSource.TryGetLength"/> and <see cref="IBlockSource.Cids"/> tell of the store alone. Disposing calls off what is still asked for.
/// </remarks>
public interface IContentRead : IBlockSource, IReadAhead, IDisposable
{
    /// <summary>
    /// Has a block in the store, from wherever it comes, without blocking a thread; false if it is not there and nobody can be asked.
    /// </summary>
    /// <exception cref="BlockTimeoutException">Nobody gave it in time.</exception>
    Task<bool> HaveAsync(Cid cid, CancellationToken cancellation = default);
}

/// <summary>What is convenient on top of <see cref="IContentRead"/>.</summary>
public static class ContentReadExtensions
{
    /// <summary>How many blocks are on their way at a time.</summary>
    private const int MaxComing = 32;

    /// <summary>Has everything in the store that a pin would keep.</summary>
    /// <exception cref="BlockMissingException">Something is not there, and nobody can be asked.</exception>
    /// <exception cref="BlockTimeoutException">Nobody gave something in time.</exception>
    public static async Task FetchAllAsync(this IContentRead read, Cid root, PinKind kind, CancellationToken cancellation = default)
    {
        var seen = new HashSet<Cid>();
        var open = new Stack<Cid>();
        var coming = new List<Task<List<Cid>>>();
        open.Push(root);
        while (open.Count > 0 || coming.Count > 0)
        {
            while (coming.Count < MaxComing && open.TryPop(out Cid cid))
            {
                if (seen.Add(cid)) coming.Add(LinksAsync(read, cid, kind, cancellation));
            }

            if (coming.Count == 0) continue;
            Task<List<Cid>> done = await Task.WhenAny(coming).ConfigureAwait(false);
            coming.Remove(done);
            List<Cid> links = await done.ConfigureAwait(false);
            for (int i = links.Count - 1; i >= 0; i--) open.Push(links[i]);
        }
    }

    /// <summary>Has as many as possible of these blocks in the store. Those that nobody gives are not there.</summary>
    public static async Task FetchAsync(this IContentRead read, IReadOnlyList<Cid> cids, CancellationToken cancellation = default)
    {
        var coming = new List<Task>();
        foreach (Cid cid in cids)
        {
            if (cid.HashFunction == Multicodec.Identity || read.Has(cid)) continue;
            coming.Add(TryAsync(cid));
            if (coming.Count == MaxComing) coming.Remove(await Task.WhenAny(coming).ConfigureAwait(false));
        }

        await Task.WhenAll(coming).ConfigureAwait(false);

        async Task TryAsync(Cid cid)
        {
            try
            {
                _ = await read.HaveAsync(cid, cancellation).ConfigureAwait(false);
            }
            catch (BlockTimeoutException)
            {
                // Whoever looks for it finds that it is not there.
            }
        }
    }

    private static async Task<List<Cid>> LinksAsync(IContentRead read, Cid cid, PinKind kind, CancellationToken cancellation)
    {
        if (cid.HashFunction != Multicodec.Identity && !await read.HaveAsync(cid, cancellation).ConfigureAwait(false)) throw new BlockMissingException(cid);
        var links = new List<Cid>();
        if (kind == PinKind.Recursive && cid.Codec != Multicodec.Raw && Links.CanWalk(cid.Codec)) Links.AddTo(links, cid.Codec, read.Get(cid) ?? throw new BlockMissingException(cid));
        return links;
    }
}

/// <summary>Reads what is in a store, and asks nobody.</summary>
public sealed class LocalRead(IBlockSource blocks) : IContentRead
{
    /// <inheritdoc/>
    public bool Has(in Cid cid) => blocks.Has(cid);

    /// <inheritdoc/>
    public bool TryGetLength(in Cid cid, out int length) => blocks.TryGetLength(cid, out length);

    /// <inheritdoc/>
    public bool TryGet(in Cid cid, IBufferWriter<byte> destination) => blocks.TryGet(cid, destination);

    /// <inheritdoc/>
    public IEnumerable<Cid> Cids() => blocks.Cids();

    /// <inheritdoc/>
    public void WillRead(ReadOnlySpan<Cid> cids)
    {
        // Everything is here already, or will never be.
    }

    /// <inheritdoc/>
    public Task<bool> HaveAsync(Cid cid, CancellationToken cancellation = default) => Task.FromResult(blocks.Has(cid));

    /// <inheritdoc/>
    public void Dispose()
    {
        // The store is its owner's.
    }
}

/// <summary>A block is not here, and nobody gave it in the time that there was.</summary>
public sealed class BlockTimeoutException : IOException
{
    /// <summary>Names the block and the time.</summary>
    public BlockTimeoutException(Cid cid, TimeSpan limit)
        : base($"The block {cid} is not here, and no peer gave it within {limit.TotalSeconds:0.#} s") => Cid = cid;

    /// <summary>The block.</summary>
    public Cid Cid { get; }
}
