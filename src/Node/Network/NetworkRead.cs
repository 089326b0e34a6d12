// Reading content that may not be here. Who reads a file in order tells what comes next, so it is asked for ahead: a little at first, for whoever wants a few bytes
// only, more while the reader goes on. What came is put into the store, checked, and is held in memory only until the reader takes it, and only so much of it.

using System.Buffers;
using System.Collections.Concurrent;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Content;
using Leither.Ipfs.Multiformats;
using Leither.Ipfs.UnixFs;
using Leither.Libp2p.Bitswap;

namespace Leither.Node.Network;

/// <summary>The store, and beyond it the network. Any thread.</summary>
internal sealed class NetworkRead : IContentRead
{
    /// <summary>How many blocks are asked for ahead.</summary>
    private const int MaxAhead = 32;

    /// <summary>What came and was not taken yet is held up to so many bytes; beyond them it is read from the store again.</summary>
    private const long MaxHeldBytes = 16 << 20;

    private readonly NodeNetwork _network;
    private readonly ContentRepo _content;
    private readonly IBlockSource _blocks;
    private readonly TimeSpan _limit;
    private readonly CancellationTokenSource _ended;
    private readonly ConcurrentDictionary<Multihash, Task<ReadOnlyMemory<byte>>> _coming = new();
    private readonly Lock _gate = new();
    private BitswapFetch? _fetch;
    private int _ahead = 2;
    private long _held;

    /// <param name="network">Where peers are asked.</param>
    /// <param name="content">Where what they send is put.</param>
    /// <param name="blocks">What is here.</param>
    /// <param name="limit">How long a block may take.</param>
    /// <param name="cancellation">Ends the reading.</param>
    public NetworkRead(NodeNetwork network, ContentRepo content, IBlockSource blocks, TimeSpan limit, CancellationToken cancellation)
    {
        _network = network;
        _content = content;
        _blocks = blocks;
        _limit = limit;
        _ended = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
    }

    public bool Has(in Cid cid) => _blocks.Has(cid);

    public bool TryGetLength(in Cid cid, out int length) => _blocks.TryGetLength(cid, out length);

    public IEnumerable<Cid> Cids() => _blocks.Cids();

    public bool TryGet(in Cid cid, IBufferWriter<byte> destination)
    {
        _ended.Token.ThrowIfCancellationRequested();
        if (!_coming.ContainsKey(cid.Multihash) && _blocks.TryGet(cid, destination)) return true;
        if (Obtain(cid) is not { } block) return false;
        destination.Write(block.Span);
        return true;
    }

    public void WillRead(ReadOnlySpan<Cid> cids)
    {
        int ahead = _ahead;
        if (!_network.CanAsk) return;
        foreach (Cid cid in cids[..Math.Min(cids.Length, ahead)])
        {
            if (_coming.Count >= MaxAhead) return;
            if (!_blocks.Has(cid)) Start(cid);
        }

        _ahead = Math.Min(2 * ahead, MaxAhead);
    }

    public async Task<bool> HaveAsync(Cid cid, CancellationToken cancellation = default)
    {
        if (_blocks.Has(cid))
        {
            Take(cid);
            return true;
        }

        if (!_network.CanAsk) return false;
        try
        {
            _ = await Start(cid).WaitAsync(_limit, cancellation).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            throw new BlockTimeoutException(cid, _limit);
        }
        finally
        {
            Take(cid);
        }

        return true;
    }

    public void Dispose()
    {
        _ended.Cancel();
        _ended.Dispose();
    }

    /// <summary>A block, from wherever it comes; null where nobody can be asked.</summary>
    private ReadOnlyMemory<byte>? Obtain(Cid cid)
    {
        bool isComing = _coming.ContainsKey(cid.Multihash);
        if (!isComing && _blocks.Get(cid) is { } here) return here;
        if (!isComing && !_network.CanAsk) return null;
        Task<ReadOnlyMemory<byte>> coming = Start(cid);
        try
        {
            // The caller's thread waits: content is read as a stream. The pool sees it and gets others.
            if (!coming.Wait((int)Math.Min(_limit.TotalMilliseconds, int.MaxValue), _ended.Token)) throw new BlockTimeoutException(cid, _limit);
        }
        catch (AggregateException e)
        {
            throw e.InnerException switch
            {
                IOException problem => problem,
                NotSupportedException problem => new IOException(problem.Message, problem),
                OperationCanceledException problem => problem,
                _ => e,
            };
        }
        finally
        {
            Take(cid);
        }

        // One that came when enough was held is in the store.
        return coming.Result.IsEmpty ? _blocks.Get(cid) ?? throw new BlockMissingException(cid) : coming.Result;
    }

    private Task<ReadOnlyMemory<byte>> Start(Cid cid) => _coming.GetOrAdd(cid.Multihash, static (_, asked) => asked.Read.FetchAsync(asked.Cid), (Read: this, Cid: cid));

    private void Take(Cid cid)
    {
        if (_coming.TryRemove(cid.Multihash, out Task<ReadOnlyMemory<byte>>? taken) && taken.IsCompletedSuccessfully) Interlocked.Add(ref _held, -taken.Result.Length);
    }

    private async Task<ReadOnlyMemory<byte>> FetchAsync(Cid cid)
    {
        CancellationToken ended = _ended.Token;
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        NetworkServices services = await _network.StartAsync().WaitAsync(ended).ConfigureAwait(false);
        BitswapFetch fetch;
        lock (_gate) fetch = _fetch ??= services.Bitswap.NewFetch();
        ReadOnlyMemory<byte> block = await fetch.GetAsync(cid, ended).ConfigureAwait(false);
        // Bitswap has hashed it.
        _content.Loose.Put(cid, block.Span);
        // Who gave up waiting finds it in the store.
        if (Interlocked.Add(ref _held, block.Length) <= MaxHeldBytes && _coming.ContainsKey(cid.Multihash)) return block;
        Interlocked.Add(ref _held, -block.Length);
        return default;
    }
}
