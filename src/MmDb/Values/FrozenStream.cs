using Leither.MmDb.Memory;

namespace Leither.MmDb.Values;

/// <summary>
/// The nodes and pending entries of a stream as they were at one moment, for a snapshot. It shares the leaves of the stream's trees, which
/// are copied before they change. What consumers have pending follows from the groups' entries.
/// </summary>
internal sealed unsafe class FrozenStream
{
    private readonly FrozenTree[] _trees;

    /// <summary>Freezes a stream.</summary>
    public FrozenStream(StreamStructure* stream)
    {
        _trees = new FrozenTree[stream->GroupCount + 1];
        _trees[0] = stream->Nodes.Freeze();
        for (int i = 0; i < stream->GroupCount; i++)
        {
            _trees[i + 1] = stream->Groups[i]->Pending.Freeze();
        }

        foreach (FrozenTree tree in _trees)
        {
            LeafCount += tree.LeafCount;
        }
    }

    /// <summary>Number of leaves, of all trees.</summary>
    public int LeafCount { get; }

    /// <summary>One leaf: of the nodes (<paramref name="group"/> -1), or of a group's pending entries.</summary>
    public IdLeaf* Leaf(int index, out int group)
    {
        for (group = -1; index >= _trees[group + 1].LeafCount; group++)
        {
            index -= _trees[group + 1].LeafCount;
        }

        return _trees[group + 1].Leaf(index);
    }

    /// <summary>Gives the leaves back.</summary>
    public void Release(NativeHeap heap)
    {
        foreach (FrozenTree tree in _trees)
        {
            tree.Release(heap);
        }
    }
}
