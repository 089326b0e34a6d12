using System.Buffers;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.Blockstore;

/// <summary>What either of two sources has; the first is asked first.</summary>
public sealed class EitherSource(IBlockSource first, IBlockSource second) : IBlockSource
{
    /// <inheritdoc/>
    public bool Has(in Cid cid) => first.Has(cid) || second.Has(cid);

    /// <inheritdoc/>
    public bool TryGetLength(in Cid cid, out int length) => first.TryGetLength(cid, out length) || second.TryGetLength(cid, out length);

    /// <inheritdoc/>
    public bool TryGet(in Cid cid, IBufferWriter<byte> destination) => first.TryGet(cid, destination) || second.TryGet(cid, destination);

    /// <inheritdoc/>
    public IEnumerable<Cid> Cids() => first.Cids().Concat(second.Cids().Where(cid => !first.Has(cid)));
}
