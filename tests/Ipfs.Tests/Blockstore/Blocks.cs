using System.Text;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.Tests.Blockstore;

/// <summary>
/// Blocks for tests. A node is written in a codec of these tests alone: the bytes of its links one after the other, then, after a zero, anything.
/// </summary>
internal static class Blocks
{
    private const ulong NodeCodec = Multicodec.DagCbor;

    public static (Cid Cid, byte[] Data) Raw(int length, int seed)
    {
        byte[] data = new byte[length];
        new Random(unchecked(seed * 31 + length * 7919)).NextBytes(data);
        return (Cid.Of(Multicodec.Raw, data), data);
    }

    public static (Cid Cid, byte[] Data) Text(string text)
    {
        byte[] data = Encoding.UTF8.GetBytes(text);
        return (Cid.Of(Multicodec.Raw, data), data);
    }

    public static (Cid Cid, byte[] Data) Node(params Cid[] links) => Node(links, []);

    public static (Cid Cid, byte[] Data) Node(IReadOnlyList<Cid> links, ReadOnlySpan<byte> rest)
    {
        var bytes = new List<byte>();
        foreach (Cid link in links) bytes.AddRange(link.ToArray());
        bytes.Add(0);
        bytes.AddRange(rest);
        byte[] data = [.. bytes];
        return (Cid.Of(NodeCodec, data), data);
    }

    public static void Links(in Cid cid, ReadOnlySpan<byte> data, List<Cid> links)
    {
        while (data[0] != 0)
        {
            if (!Cid.TryRead(data, out Cid link, out int used)) throw new InvalidDataException("not a node of these tests");
            links.Add(link);
            data = data[used..];
        }
    }
}

/// <summary>A tree of blocks; trees of different seeds share some of their leaves.</summary>
internal sealed class Tree
{
    private readonly Dictionary<Cid, byte[]> _blocks = [];

    public Cid Root { get; private set; }

    public List<Cid> All { get; } = [];

    public byte[] Data(Cid cid) => _blocks[cid];

    /// <summary>Puts a tree, children first.</summary>
    public static Tree Make(IBlockstore store, int seed, int depth, int fanout, int leafBytes = 600)
    {
        var tree = new Tree();
        tree.Root = tree.Add(store, new Random(seed), depth, fanout, leafBytes);
        return tree;
    }

    private Cid Add(IBlockstore store, Random random, int depth, int fanout, int leafBytes)
    {
        (Cid Cid, byte[] Data) block;
        if (depth == 0)
        {
            int leaf = random.Next(4) == 0 ? random.Next(10) : random.Next();
            block = Blocks.Raw(leafBytes / 2 + leaf % leafBytes, leaf);
        }
        else
        {
            var links = new Cid[fanout];
            for (int i = 0; i < fanout; i++) links[i] = Add(store, random, depth - 1, fanout, leafBytes);
            byte[] rest = new byte[random.Next(100)];
            random.NextBytes(rest);
            block = Blocks.Node(links, rest);
        }
        store.Put(block.Cid, block.Data);
        if (_blocks.TryAdd(block.Cid, block.Data)) All.Add(block.Cid);
        return block.Cid;
    }
}
