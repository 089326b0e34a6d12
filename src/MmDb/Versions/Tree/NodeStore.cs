using System.Buffers;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Multiformats;

namespace Leither.MmDb.Versions.Tree;

/// <summary>Reads and writes the blocks of state trees, and remembers nodes that it read or wrote. For one thread at a time.</summary>
/// <remarks>
/// A remembered node was checked against its CID when it was read. The leaves of one pass through a tree are not worth remembering, and would drive out the
/// nodes above them, which the next pass needs again: who passes reads leaves into a node of its own (<see cref="TreeNode.Load"/>).
/// </remarks>
/// <param name="blocks">Where the blocks are.</param>
internal sealed class NodeStore(IBlockstore blocks)
{
    /// <summary>Nodes that are remembered at most (about 5 KiB each): those above the leaves of a tree of some millions of keys.</summary>
    private const int Sets = 128, Ways = 4;

    private readonly ArrayBufferWriter<byte> _read = new(NodeBoundary.MaxBytes);
    private TreeNode?[] _cache = [];
    private long[] _used = [];
    private long _clock;

    /// <summary>The blocks.</summary>
    public IBlockstore Blocks => blocks;

    /// <summary>Blocks written that were not there yet, and their bytes.</summary>
    public (long Blocks, long Bytes) Written { get; private set; }

    /// <summary>A node. It is shared: nobody loads another one into it.</summary>
    /// <exception cref="MissingBlockException">It is not here.</exception>
    /// <exception cref="TreeFormatException">It is no node.</exception>
    public TreeNode Read(TreeKind kind, in Cid link)
    {
        if (_cache.Length > 0)
        {
            int set = SetOf(link);
            for (int i = set; i < set + Ways; i++)
            {
                if (_cache[i] is { } node && node.Kind == kind && node.Link == link)
                {
                    _used[i] = ++_clock;
                    return node;
                }
            }
        }

        return Remember(TreeNode.Decode(kind, ReadBlock(link), link));
    }

    /// <summary>The bytes of a block.</summary>
    /// <exception cref="MissingBlockException">It is not here.</exception>
    public byte[] ReadBlock(in Cid link)
    {
        _read.ResetWrittenCount();
        return blocks.TryGet(link, _read) ? _read.WrittenSpan.ToArray() : throw new MissingBlockException(link);
    }

    /// <summary>Stores a block.</summary>
    public Cid Write(ulong codec, ReadOnlySpan<byte> block)
    {
        Cid link = Cid.Of(codec, block);
        if (blocks.Put(link, block))
        {
            Written = (Written.Blocks + 1, Written.Bytes + block.Length);
        }

        return link;
    }

    /// <summary>Stores a node. Those above the leaves are remembered, since whoever changes the tree next begins with them.</summary>
    public Cid WriteNode(TreeKind kind, int level, ReadOnlySpan<byte> block)
    {
        Cid link = Write(Multicodec.DagCbor, block);
        if (level > 0)
        {
            Remember(TreeNode.Decode(kind, block.ToArray(), link));
        }

        return link;
    }

    private TreeNode Remember(TreeNode node)
    {
        if (_cache.Length == 0)
        {
            _cache = new TreeNode?[Sets * Ways];
            _used = new long[Sets * Ways];
        }

        int set = SetOf(node.Link), oldest = set;
        for (int i = set; i < set + Ways; i++)
        {
            if (_cache[i] is { } other && other.Kind == node.Kind && other.Link == node.Link)
            {
                oldest = i;
                break;
            }

            oldest = _used[i] < _used[oldest] ? i : oldest;
        }

        _cache[oldest] = node;
        _used[oldest] = ++_clock;
        return node;
    }

    private static int SetOf(in Cid link) => (int)((uint)link.GetHashCode() % Sets) * Ways;
}

/// <summary>A block that is linked to is not in the store.</summary>
/// <param name="link">Which one.</param>
public sealed class MissingBlockException(Cid link) : IOException($"block {link} is missing")
{
    /// <summary>The block.</summary>
    public Cid Link { get; } = link;
}
