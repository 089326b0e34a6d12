using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Multiformats;

namespace Leither.MmDb.Versions.Tree;

/// <summary>A tree: its root, and what it holds.</summary>
/// <param name="Root">The root node; none if the tree is empty.</param>
/// <param name="Weight">Items in it (of a blob: bytes).</param>
internal readonly record struct TreeRoot(Cid Root, long Weight)
{
    /// <summary>No items.</summary>
    public static TreeRoot Empty => default;

    /// <summary>Whether it has no items.</summary>
    public bool IsEmpty => Root.IsNone;
}

/// <summary>
/// Builds a tree from all its items, given in order. It holds one node of each level at a time. The result is the same that
/// <see cref="TreeEditor"/> reaches by any way of changes.
/// </summary>
internal sealed class TreeBuilder(NodeStore store, TreeKind kind, int leafLevel = 0)
{
    private readonly List<(LevelWriter Writer, long Nodes, TreeChild Last)> _levels = [];
    private readonly DagCborWriter _item = new();

    /// <summary>Whether nothing was given to it since the last tree.</summary>
    public bool IsEmpty => _levels.Count == 0 || (_levels[0].Nodes == 0 && _levels[0].Writer.Pending == 0);

    /// <summary>Takes the next item.</summary>
    /// <param name="key">Its key in a map, itself in a sequence.</param>
    /// <param name="item">Its bytes.</param>
    public void Add(ReadOnlySpan<byte> key, ReadOnlySpan<byte> item)
    {
        if (LevelAt(0).Writer.AddToLeaf(key, item))
        {
            End(0);
        }
    }

    /// <summary>Takes a child of the lowest level, where that is not a leaf's (the chunks of a blob).</summary>
    public void Add(in TreeChild child) => AddChild(0, child);

    /// <summary>
    /// Ends the tree where it is one leaf of at most so many bytes of items: writes these as an array instead of storing it. False: it is more, and
    /// <see cref="Finish"/> is to be called.
    /// </summary>
    public bool TryFinishInline(int maxBytes, DagCborWriter to)
    {
        if (_levels.Count == 0)
        {
            to.WriteArrayStart(0);
            return true;
        }

        (LevelWriter leaves, long nodes, TreeChild last) = _levels[0];
        if (nodes == 0 && leaves.PendingItems.Length <= maxBytes)
        {
            to.WriteArrayStart(leaves.Pending);
            to.WriteEncoded(leaves.PendingItems, leaves.Pending);
            leaves.Clear();
            return true;
        }

        if (nodes == 1 && leaves.Pending == 0 && store.Read(kind, last.Link) is { } leaf && leaf.Items.Length <= maxBytes)
        {
            to.WriteArrayStart(leaf.Count);
            to.WriteEncoded(leaf.Items, leaf.Count);
            Finish();
            return true;
        }

        return false;
    }

    /// <summary>Ends the tree. The builder is ready for another one.</summary>
    public TreeRoot Finish()
    {
        TreeRoot root = TreeRoot.Empty;
        for (int i = 0; i < _levels.Count && root.IsEmpty; i++)
        {
            if (_levels[i].Writer.Pending > 0)
            {
                End(i);
            }

            if (_levels[i].Nodes == 1)
            {
                root = new TreeRoot(_levels[i].Last.Link, _levels[i].Last.Weight);
            }
        }

        for (int i = 0; i < _levels.Count; i++)
        {
            _levels[i].Writer.Clear();
            _levels[i] = (_levels[i].Writer, 0, default);
        }

        return root;
    }

    private void End(int index)
    {
        (LevelWriter writer, long nodes, _) = _levels[index];
        TreeChild child = writer.End();
        _levels[index] = (writer, nodes + 1, child);
        AddChild(index + 1, child);
    }

    private void AddChild(int index, in TreeChild child)
    {
        LevelWriter writer = LevelAt(index).Writer;
        _item.Clear();
        child.Write(kind, _item);
        if (writer.Add(_item.Written, child.Weight, child.Hash(kind, writer.Level)))
        {
            End(index);
        }
    }

    private (LevelWriter Writer, long Nodes, TreeChild Last) LevelAt(int index)
    {
        while (_levels.Count <= index)
        {
            _levels.Add((new LevelWriter(store, kind, leafLevel + _levels.Count), 0, default));
        }

        return _levels[index];
    }
}
