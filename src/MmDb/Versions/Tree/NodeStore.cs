using System.Buffers;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Multiformats;

namespace Leither.MmDb.Versions.Tree;

/// <summary>Reads and writes the blocks of state trees, and remembers the nodes it read last. For one thread at a time.</summary>
/// <param name="blocks">Where the blocks are.</param>
/// <param name="cachedNodes">How many decoded nodes it remembers (about 5 KiB each).</param>
internal sealed class NodeStore(IBlockstore blocks, int cachedNodes = 256)
{
    private readonly Dictionary<Cid, LinkedListNode<(Cid Link, TreeNode Node)>> _cache = [];
    private readonly LinkedList<(Cid Link, TreeNode Node)> _used = new();
    private readonly ArrayBufferWriter<byte> _read = new(NodeBoundary.MaxBytes);

    /// <summary>The blocks.</summary>
    public IBlockstore Blocks => blocks;

    /// <summary>Blocks written that were not there yet, and their bytes.</summary>
    public (long Blocks, long Bytes) Written { get; private set; }

    /// <summary>A node.</summary>
    /// <exception cref="MissingBlockException">It is not here.</exception>
    /// <exception cref="TreeFormatException">It is no node.</exception>
    public TreeNode Read(TreeKind kind, in Cid link)
    {
        if (_cache.TryGetValue(link, out LinkedListNode<(Cid Link, TreeNode Node)>? cached) && cached.Value.Node.Kind == kind)
        {
            if (cached != _used.First)
            {
                _used.Remove(cached);
                _used.AddFirst(cached);
            }

            return cached.Value.Node;
        }

        TreeNode node = TreeNode.Decode(kind, ReadBlock(link));
        if (cached is not null)
        {
            _used.Remove(cached);
        }
        else if (_cache.Count >= cachedNodes)
        {
            _cache.Remove(_used.Last!.Value.Link);
            _used.RemoveLast();
        }

        _cache[link] = _used.AddFirst((link, node));
        return node;
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
}

/// <summary>A block that is linked to is not in the store.</summary>
/// <param name="link">Which one.</param>
public sealed class MissingBlockException(Cid link) : IOException($"block {link} is missing")
{
    /// <summary>The block.</summary>
    public Cid Link { get; } = link;
}
