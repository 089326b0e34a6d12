// Where blocks lie: a set of byte strings, each found by the hash of its bytes.
//
// What every store promises (one test suite checks it for all of them):
//  - What is read is what was put, or an exception that names the damage: bytes are checked against their hash on each read.
//  - A block is found by its multihash: the codec of the CID that asks, and the CID's version, make no difference.
//  - Putting what is there writes nothing. Identity CIDs hold their content, so they are always there and never written.
//  - Any number of threads read and write, also while a collection runs.
//  - When Flush returns, everything put before it survives a crash.
//  - A collection keeps whatever can be reached from a root. See BlockCollection for what may be new while it runs.

using System.Buffers;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.Blockstore;

/// <summary>Something that blocks can be read from.</summary>
public interface IBlockSource
{
    /// <summary>Whether the block is there. That it can be read and is intact shows only when it is read.</summary>
    bool Has(in Cid cid);

    /// <summary>How many bytes the block has; false if it is not there.</summary>
    bool TryGetLength(in Cid cid, out int length);

    /// <summary>Writes the block's bytes, checked against the CID, to <paramref name="destination"/>; false if it is not there.</summary>
    /// <exception cref="BlockCorruptedException">It is there, but its bytes are not those that the CID names.</exception>
    bool TryGet(in Cid cid, IBufferWriter<byte> destination);

    /// <summary>
    /// The CIDs of all blocks, as they were put, each once, in no order. What is put or deleted meanwhile may be among them or not.
    /// </summary>
    IEnumerable<Cid> Cids();
}

/// <summary>Something that blocks can be put into.</summary>
public interface IBlockSink
{
    /// <summary>
    /// Adds a block; false if it is there already. The caller vouches that <paramref name="cid"/> names <paramref name="data"/> (it has just
    /// computed it, or verified it: see <see cref="Cid.Verify"/>): a store that is told otherwise holds a block that nobody can read.
    /// </summary>
    /// <remarks>
    /// Not asking <see cref="IBlockSource.Has"/> first is right: a block that is put is kept by a collection that runs meanwhile, one that
    /// was merely there may go.
    /// </remarks>
    bool Put(in Cid cid, ReadOnlySpan<byte> data);
}

/// <summary>A source that fetches what is read soon while what was read is worked on.</summary>
public interface IReadAhead
{
    /// <summary>
    /// Tells what is most likely read next, in this order. Who reads on tells it again, with those that come into sight: what was told before is no new
    /// wish. A source may fetch any of it, or nothing; what is wrong with a block shows when it is read.
    /// </summary>
    void WillRead(ReadOnlySpan<Cid> cids);
}

/// <summary>A set of blocks. All members may be called by any thread at any time.</summary>
public interface IBlockstore : IBlockSource, IBlockSink, IDisposable
{
    /// <summary>Takes a block away; false if it is not there. Its bytes are gone when a collection has rewritten the file they lie in.</summary>
    bool Delete(in Cid cid);

    /// <summary>Makes everything that was put and deleted before the call survive a crash.</summary>
    void Flush();

    /// <summary>
    /// From now until the result is disposed, whatever is put (by anyone, also what was there already) is a root, with all it links to, of
    /// collections that begin meanwhile. For building something whose root cannot be listed yet: ends after it can be.
    /// </summary>
    IDisposable ProtectPuts();

    /// <summary>Begins a collection: everything goes that no root leads to. One runs at a time.</summary>
    /// <exception cref="InvalidOperationException">Another one runs.</exception>
    BlockCollection Collect(CollectionOptions options);

    /// <summary>How much there is.</summary>
    BlockstoreFigures Figures { get; }
}

/// <summary>How much a store holds.</summary>
public readonly record struct BlockstoreFigures
{
    /// <summary>Blocks.</summary>
    public long Blocks { get; init; }

    /// <summary>Bytes of all files, indexes included.</summary>
    public long TotalBytes { get; init; }

    /// <summary>Bytes in packs that are known to be of no use: what the last collection left, what was deleted or written twice since.</summary>
    public long DeadBytes { get; init; }

    /// <summary>Pack files.</summary>
    public int Packs { get; init; }

    /// <summary>Index files.</summary>
    public int Indexes { get; init; }

    /// <summary>Bytes of memory: the index of what was put lately, filters, buffers.</summary>
    public long MemoryBytes { get; init; }
}

/// <summary>Limits that hold for every store.</summary>
public static class BlockLimits
{
    /// <summary>
    /// The most bytes that a block may have. Bitswap passes on 2 MiB at most; log segments, which are blocks too, stay below this.
    /// </summary>
    public const int MaxBlockBytes = 8 << 20;
}

/// <summary>What is convenient on top of <see cref="IBlockSource"/>.</summary>
public static class BlockSourceExtensions
{
    /// <summary>The block's bytes in an array of their own; null if it is not there.</summary>
    /// <exception cref="BlockCorruptedException">It is there, but its bytes are not those that the CID names.</exception>
    public static byte[]? Get(this IBlockSource source, in Cid cid)
    {
        var bytes = new OwnArray(source.TryGetLength(cid, out int length) ? length : 0);
        return source.TryGet(cid, bytes) ? bytes.Take() : null;
    }

    /// <summary>An array that usually has the right length from the start, and then is not copied.</summary>
    private sealed class OwnArray(int expected) : IBufferWriter<byte>
    {
        private byte[] _bytes = expected == 0 ? [] : GC.AllocateUninitializedArray<byte>(expected);
        private int _length;

        public void Advance(int count) => _length += count;

        public Memory<byte> GetMemory(int sizeHint = 0)
        {
            int wanted = _length + Math.Max(sizeHint, 1);
            if (wanted > _bytes.Length) Array.Resize(ref _bytes, Math.Max(wanted, 2 * _bytes.Length));
            return _bytes.AsMemory(_length);
        }

        public Span<byte> GetSpan(int sizeHint = 0) => GetMemory(sizeHint).Span;

        public byte[] Take() => _length == _bytes.Length ? _bytes : _bytes[.._length];
    }
}

/// <summary>A block's bytes are not those that its CID names.</summary>
public sealed class BlockCorruptedException : IOException
{
    /// <summary>Names the block and the place.</summary>
    public BlockCorruptedException(Cid cid, string file, long offset, string problem)
        : base($"Block {cid} is damaged at {file}, offset {offset}: {problem}. Other blocks are not concerned. Delete it and put it again from a copy, "
            + "such as another node's.")
    {
        Cid = cid;
        File = file;
        Offset = offset;
        Problem = problem;
    }

    /// <summary>The block.</summary>
    public Cid Cid { get; }

    /// <summary>The file that holds it.</summary>
    public string File { get; }

    /// <summary>Where its bytes begin.</summary>
    public long Offset { get; }

    /// <summary>What is wrong.</summary>
    public string Problem { get; }
}
