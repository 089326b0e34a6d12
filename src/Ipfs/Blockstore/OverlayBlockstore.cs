using System.Buffers;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.Blockstore;

/// <summary>
/// A store over places that hold blocks of their own: sealed log segments, another store. Blocks are put to and deleted from the store alone;
/// raw blocks that lie in the other place are not written to it.
/// </summary>
/// <remarks>Disposes the store and not what lies beneath it.</remarks>
public sealed class OverlayBlockstore(IBlockstore store, IBlockSource beneath) : IBlockstore
{
    /// <inheritdoc/>
    public BlockstoreFigures Figures => store.Figures;

    /// <inheritdoc/>
    public bool Has(in Cid cid) => store.Has(cid) || beneath.Has(cid);

    /// <inheritdoc/>
    public bool TryGetLength(in Cid cid, out int length) => store.TryGetLength(cid, out length) || beneath.TryGetLength(cid, out length);

    /// <inheritdoc/>
    public bool TryGet(in Cid cid, IBufferWriter<byte> destination) => store.TryGet(cid, destination) || beneath.TryGet(cid, destination);

    /// <inheritdoc/>
    public IEnumerable<Cid> Cids()
    {
        foreach (Cid cid in store.Cids()) yield return cid;
        foreach (Cid cid in beneath.Cids())
        {
            if (!store.Has(cid)) yield return cid;
        }
    }

    /// <inheritdoc/>
    /// <remarks>What has links is always put to the store: only it can see to it that they are kept while a collection runs.</remarks>
    public bool Put(in Cid cid, ReadOnlySpan<byte> data) => !(cid.Codec == Multicodec.Raw && beneath.Has(cid)) && store.Put(cid, data);

    /// <inheritdoc/>
    public bool Delete(in Cid cid) => store.Delete(cid);

    /// <inheritdoc/>
    public void Flush() => store.Flush();

    /// <inheritdoc/>
    public IDisposable ProtectPuts() => store.ProtectPuts();

    /// <inheritdoc/>
    public BlockCollection Collect(CollectionOptions options) => store.Collect(new CollectionOptions
    {
        Roots = options.Roots,
        Links = options.Links,
        Purge = options.Purge,
        MaxDeadShare = options.MaxDeadShare,
        Elsewhere = options.Elsewhere is null ? beneath : new EitherSource(beneath, options.Elsewhere),
    });

    /// <inheritdoc/>
    public void Dispose() => store.Dispose();
}
