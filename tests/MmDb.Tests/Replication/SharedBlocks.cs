using System.Buffers;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Multiformats;

namespace Leither.MmDb.Tests.Replication;

/// <summary>Blocks that outlive who uses them.</summary>
/// <param name="blocks">The blocks.</param>
/// <param name="enter">Is called before anything is done; may wait. Null: nobody waits.</param>
internal sealed class SharedBlocks(MemoryBlockstore blocks, Action? enter = null) : IBlockstore
{
    public BlockstoreFigures Figures => blocks.Figures;

    public bool Has(in Cid cid) => Entered.Has(cid);

    public bool TryGetLength(in Cid cid, out int length) => Entered.TryGetLength(cid, out length);

    public bool TryGet(in Cid cid, IBufferWriter<byte> destination) => Entered.TryGet(cid, destination);

    public IEnumerable<Cid> Cids() => blocks.Cids();

    public bool Put(in Cid cid, ReadOnlySpan<byte> data) => Entered.Put(cid, data);

    public bool Delete(in Cid cid) => Entered.Delete(cid);

    public void Flush() => Entered.Flush();

    public IDisposable ProtectPuts() => blocks.ProtectPuts();

    public BlockCollection Collect(CollectionOptions options) => blocks.Collect(options);

    public void Dispose()
    {
    }

    private MemoryBlockstore Entered
    {
        get
        {
            enter?.Invoke();
            return blocks;
        }
    }
}
