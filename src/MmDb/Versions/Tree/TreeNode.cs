using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Multiformats;

namespace Leither.MmDb.Versions.Tree;

/// <summary>What a tree sorts by.</summary>
internal enum TreeKind
{
    /// <summary>By key: every item is an array that begins with its key, a byte string, and keys rise bytewise.</summary>
    Map,

    /// <summary>By position: items are what they are.</summary>
    Sequence,
}

/// <summary>
/// A node of a state tree, decoded. It is a DAG-CBOR array: the level (0 for leaves), then the items. The items of a node above the leaves
/// are its children: <c>[last key, link, weight]</c> in maps, <c>[link, weight]</c> in sequences, where weight counts the items
/// (of a blob: the bytes) below.
/// </summary>
internal sealed class TreeNode
{
    private readonly byte[] _data;
    private readonly int[] _offsets;
    private readonly Range[] _keys;

    private TreeNode(TreeKind kind, byte[] data, int level, int[] offsets, Range[] keys)
    {
        Kind = kind;
        _data = data;
        Level = level;
        _offsets = offsets;
        _keys = keys;
    }

    /// <summary>What the tree sorts by.</summary>
    public TreeKind Kind { get; }
    /// <summary>0: a leaf.</summary>
    public int Level { get; }
    /// <summary>Items in it.</summary>
    public int Count => _offsets.Length - 1;
    /// <summary>Its items, one behind the other.</summary>
    public ReadOnlySpan<byte> Items => _data.AsSpan(_offsets[0]);

    /// <summary>Decodes a block.</summary>
    /// <exception cref="TreeFormatException">It is no node of such a tree.</exception>
    public static TreeNode Decode(TreeKind kind, byte[] block)
    {
        try
        {
            var reader = new DagCborReader(block);
            int count = reader.ReadArrayStart() - 1;
            ulong level = reader.ReadUInt64();
            if (count < 1 || level > MaxLevel)
            {
                throw new TreeFormatException("a node of the state tree has no items, or lies too high");
            }

            var offsets = new int[count + 1];
            Range[] keys = kind == TreeKind.Map ? new Range[count] : [];
            ReadOnlySpan<byte> before = default;
            for (int i = 0; i < count; i++)
            {
                offsets[i] = reader.Position;
                if (kind == TreeKind.Map)
                {
                    int fields = reader.ReadArrayStart();
                    ReadOnlySpan<byte> key = reader.ReadBytes();
                    if (i > 0 && before.SequenceCompareTo(key) >= 0)
                    {
                        throw new TreeFormatException("the keys of a node of the state tree do not rise");
                    }

                    before = key;
                    keys[i] = new Range(reader.Position - key.Length, reader.Position);
                    for (int field = 1; field < fields; field++)
                    {
                        reader.Skip();
                    }
                }
                else
                {
                    reader.Skip();
                }
            }

            offsets[count] = reader.Position;
            reader.End();
            return new TreeNode(kind, block, (int)level, offsets, keys);
        }
        catch (DagCborException e)
        {
            throw new TreeFormatException($"a node of the state tree is no sound DAG-CBOR: {e.Message}");
        }
    }

    /// <summary>The highest level there can be: a tree has at least two children to a node.</summary>
    public const int MaxLevel = 63;

    /// <summary>An item as it is stored.</summary>
    public ReadOnlySpan<byte> Item(int index) => _data.AsSpan(_offsets[index].._offsets[index + 1]);

    /// <summary>Where an item lies in the block.</summary>
    public ReadOnlyMemory<byte> ItemMemory(int index) => _data.AsMemory(_offsets[index].._offsets[index + 1]);

    /// <summary>The key of an item of a map; of a child, the last key below it.</summary>
    public ReadOnlySpan<byte> Key(int index) => _data.AsSpan(_keys[index]);

    /// <summary>Where a key lies in the block.</summary>
    public ReadOnlyMemory<byte> KeyMemory(int index) => _data.AsMemory(_keys[index]);

    /// <summary>The last key in it.</summary>
    public ReadOnlySpan<byte> LastKey => Key(Count - 1);

    /// <summary>The link to a child, and what it weighs.</summary>
    public (Cid Link, long Weight) Child(int index)
    {
        var reader = new DagCborReader(Item(index));
        int fields = reader.ReadArrayStart();
        if (Kind == TreeKind.Map)
        {
            reader.ReadBytes();
            fields--;
        }

        Cid link = reader.ReadCid();
        ulong weight = reader.ReadUInt64();
        return fields == 2 && weight <= long.MaxValue ? (link, (long)weight) : throw new TreeFormatException("a child in the state tree has other fields than it should");
    }

    /// <summary>Items (of a blob: bytes) in it and below.</summary>
    public long Weight
    {
        get
        {
            if (Level == 0)
            {
                return Count;
            }

            long weight = 0;
            for (int i = 0; i < Count; i++)
            {
                weight += Child(i).Weight;
            }

            return weight;
        }
    }

    /// <summary>The first item whose key is not below one; <see cref="Count"/> if all are.</summary>
    public int Find(ReadOnlySpan<byte> key)
    {
        int low = 0, high = Count;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            if (Key(middle).SequenceCompareTo(key) < 0)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low;
    }
}

/// <summary>A block is not what the state tree says it is: whoever made it did not follow the format.</summary>
public sealed class TreeFormatException(string message) : IOException(message);
