using System.Buffers;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Multiformats;

namespace Leither.Node.Network;

/// <summary>
/// All that anybody may read: the public content, and what the MiMei hold that are published to everybody. Nothing else of the node is reached through it.
/// </summary>
internal sealed class PublicBlocks(IBlockSource content) : IBlockSource
{
    private readonly Lock _gate = new();
    private volatile IBlockSource[] _published = [];

    /// <summary>Lets everybody read a source.</summary>
    public void Add(IBlockSource source)
    {
        lock (_gate) _published = [.. _published, source];
    }

    /// <summary>No longer does.</summary>
    public void Remove(IBlockSource source)
    {
        lock (_gate) _published = [.. _published.Where(s => s != source)];
    }

    public bool Has(in Cid cid)
    {
        if (content.Has(cid)) return true;
        foreach (IBlockSource source in _published)
        {
            if (source.Has(cid)) return true;
        }

        return false;
    }

    public bool TryGetLength(in Cid cid, out int length)
    {
        if (content.TryGetLength(cid, out length)) return true;
        foreach (IBlockSource source in _published)
        {
            if (source.TryGetLength(cid, out length)) return true;
        }

        return false;
    }

    public bool TryGet(in Cid cid, IBufferWriter<byte> destination)
    {
        if (content.TryGet(cid, destination)) return true;
        foreach (IBlockSource source in _published)
        {
            if (source.TryGet(cid, destination)) return true;
        }

        return false;
    }

    public IEnumerable<Cid> Cids() => content.Cids().Concat(_published.SelectMany(static source => source.Cids()));
}
