using System.Buffers;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.Blockstore;

/// <summary>A store that tells which blocks are new in it, as soon as they can be read. All else is the store's.</summary>
/// <param name="store">The store, which is this object's from then on.</param>
/// <param name="added">Is told, on the thread that put: to be short.</param>
public sealed class WatchedBlockstore(IBlockstore store, Action<Cid> added) : IBlockstore
{
    /// <inheritdoc/>
    public BlockstoreFigures Figures => store.Figures;

    /// <inheritdoc/>
    public bool Has(in Cid cid) => store.Has(cid);

    /// <inheritdoc/>
    public bool TryGetLength(in Cid cid, out int length) => store.TryGetLength(cid, out length);

    /// <inheritdoc/>
    public bool TryGet(in Cid cid, IBufferWriter<byte> destination) => store.TryGet(cid, destination);

    /// <inheritdoc/>
    public IEnumerable<Cid> Cids() => store.Cids();

    /// <inheritdoc/>
    public bool Put(in Cid cid, ReadOnlySpan<byte> data)
    {
        bool isNew = store.Put(cid, data);
        if (isNew) added(cid);
        return isNew;
    }

    /// <inheritdoc/>
    public bool Delete(in Cid cid) => store.Delete(cid);

    /// <inheritdoc/>
    public void Flush() => store.Flush();

    /// <inheritdoc/>
    public IDisposable ProtectPuts() => store.ProtectPuts();

    /// <inheritdoc/>
    public BlockCollection Collect(CollectionOptions options) => store.Collect(options);

    /// <inheritdoc/>
    public void Dispose() => store.Dispose();
}
