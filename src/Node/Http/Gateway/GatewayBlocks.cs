// The blocks of one request: from the public store, and what is not there from the network.
//
// All that reads content is written for a store: it runs to its end, or to the first block that is not there. That block is then fetched, which no thread
// waits for, and reading begins again where it ended. So content that is here costs nothing for content that is not.

using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Content;
using Leither.Ipfs.Multiformats;
using Leither.Ipfs.UnixFs;

namespace Leither.Node.Http.Gateway;

/// <summary>Where the blocks for one response come from. For one thread at a time.</summary>
internal sealed class GatewayBlocks(IBlockSource local, Func<CancellationToken, IContentRead>? open, bool isCachedOnly, GatewayOptions options, CancellationToken cancellation) : IDisposable
{
    private IContentRead? _network;
    private Cid _fetched;

    /// <summary>The store.</summary>
    public IBlockSource Local => local;

    /// <summary>Whether something came from the network, so that more of it may be needed.</summary>
    public bool IsFetching => _network is not null;

    /// <summary>Runs what reads from the store until it finds all that it needs.</summary>
    /// <exception cref="GatewayException">A block cannot be had.</exception>
    public async ValueTask<T> ReadAsync<TState, T>(TState state, Func<IBlockSource, TState, T> read)
    {
        while (true)
        {
            try
            {
                return read(local, state);
            }
            catch (BlockMissingException e)
            {
                await FetchAsync(e.Cid);
            }
        }
    }

    /// <summary>Appends a block to a buffer, and says how long it is.</summary>
    public async ValueTask<int> GetAsync(Cid cid, PooledBlock buffer)
    {
        int before = buffer.Length;
        while (!local.TryGet(cid, buffer)) await FetchAsync(cid);
        return buffer.Length - before;
    }

    /// <summary>Has a block in the store.</summary>
    /// <exception cref="GatewayException">It cannot be had.</exception>
    public async Task FetchAsync(Cid cid)
    {
        if (isCachedOnly) throw new GatewayException(412, $"The block {cid} is not in this node's store, and the request allows nothing else (only-if-cached)");
        if (open is null) throw Missing(cid);
        if (cid == _fetched) throw new GatewayException(500, $"The block {cid} came from the network, but is not in the store");
        _network ??= open(cancellation);
        try
        {
            if (!await _network.HaveAsync(cid, cancellation)) throw Missing(cid);
            _fetched = cid;
        }
        catch (BlockTimeoutException e)
        {
            throw new GatewayException(504, e.Message + ". Asking again later may help", 30);
        }
        catch (NotSupportedException)
        {
            throw new GatewayException(400, $"The block {cid} cannot be fetched: its hash function 0x{cid.HashFunction:x} is none that this node can check");
        }
        catch (Exception e) when (e is IOException and not BlockCorruptedException)
        {
            throw new GatewayException(502, $"The block {cid} is not on this node, and could not be fetched: {e.Message}", 30);
        }
    }

    /// <summary>Where blocks come from the network at all: has the next of a file here, and lets those behind it come.</summary>
    /// <exception cref="GatewayException">It cannot be had.</exception>
    public async ValueTask PrepareAsync(UnixFsStream file)
    {
        if (_network is null) return;
        List<Cid> upcoming = [.. file.Upcoming(options.ReadAhead)];
        _network.WillRead([.. upcoming]);

        // What was expected is held until it is taken, be it in the store or not.
        if (upcoming.Count > 0 && !local.Has(upcoming[0])) await FetchAsync(upcoming[0]);
        else if (upcoming.Count > 0) await _network.HaveAsync(upcoming[0], cancellation);
    }

    /// <inheritdoc/>
    public void Dispose() => _network?.Dispose();

    private static GatewayException Missing(Cid cid) => new(404, $"The block {cid} is not on this node, and there is nobody to ask for it");
}
