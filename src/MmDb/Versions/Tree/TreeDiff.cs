using Leither.Ipfs.Multiformats;

namespace Leither.MmDb.Versions.Tree;

/// <summary>A key whose item differs between two trees.</summary>
/// <remarks>It lies in the nodes that it was found in, which are others as soon as the comparison goes on.</remarks>
/// <param name="Key">The key.</param>
/// <param name="Old">Its item in the first tree; empty: it is not there.</param>
/// <param name="New">Its item in the second tree; empty: it is not there.</param>
internal readonly record struct TreeChange(ReadOnlyMemory<byte> Key, ReadOnlyMemory<byte> Old, ReadOnlyMemory<byte> New);

/// <summary>Compares two trees of a map. Subtrees that both have are left out unread, so that it costs what differs.</summary>
internal static class TreeDiff
{
    /// <summary>The keys that differ, in order.</summary>
    /// <param name="store">Where the nodes are.</param>
    /// <param name="old">The first tree.</param>
    /// <param name="current">The second.</param>
    /// <param name="from">The key to begin at.</param>
    public static IEnumerable<TreeChange> Compare(NodeStore store, TreeRoot old, TreeRoot current, ReadOnlyMemory<byte> from = default)
    {
        if (old.Root == current.Root)
        {
            yield break;
        }

        Walk a = new(store, old.Root, from.Span), b = new(store, current.Root, from.Span);
        while (!a.AtEnd || !b.AtEnd)
        {
            if (!a.AtEnd && !b.AtEnd && a.AtLink && b.AtLink)
            {
                if (a.HasSameChild(b))
                {
                    a.Next();
                    b.Next();
                    continue;
                }

                bool descendsA = a.Level >= b.Level, descendsB = b.Level >= a.Level;
                if (descendsA)
                {
                    a.Descend();
                }

                if (descendsB)
                {
                    b.Descend();
                }
            }
            else if (!a.AtEnd && a.AtLink)
            {
                a.Descend();
            }
            else if (!b.AtEnd && b.AtLink)
            {
                b.Descend();
            }
            else
            {
                int order = a.AtEnd ? 1 : b.AtEnd ? -1 : a.Key.Span.SequenceCompareTo(b.Key.Span);
                if (order != 0 || !a.Item.Span.SequenceEqual(b.Item.Span))
                {
                    yield return new TreeChange(order <= 0 ? a.Key : b.Key, order <= 0 ? a.Item : default, order >= 0 ? b.Item : default);
                }

                if (order <= 0)
                {
                    a.Next();
                }

                if (order >= 0)
                {
                    b.Next();
                }
            }
        }
    }

    /// <summary>A walk that goes into a subtree only when told to. What it gives of a leaf is good until it goes on.</summary>
    private sealed class Walk
    {
        private readonly NodeStore _store;
        private readonly TreeNode _leaf = new();
        private TreeNode[] _nodes = new TreeNode[4];
        private int[] _indexes = new int[4];
        private int _depth;

        public Walk(NodeStore store, Cid root, ReadOnlySpan<byte> from)
        {
            _store = store;
            if (root.IsNone)
            {
                return;
            }

            TreeNode node = store.Read(TreeKind.Map, root);
            Push(node, from.IsEmpty ? 0 : node.Find(from));
            while (!from.IsEmpty && !AtEnd && AtLink)
            {
                node = Child();
                Push(node, node.Find(from));
            }
        }

        public bool AtEnd => _depth == 0;
        public int Level => Node.Level;
        public bool AtLink => Level > 0;
        public ReadOnlyMemory<byte> Item => Node.ItemMemory(Index);
        public ReadOnlyMemory<byte> Key => Node.KeyMemory(Index);

        private TreeNode Node => _nodes[_depth - 1];
        private int Index => _indexes[_depth - 1];

        /// <summary>Whether both stand at the same child: then it stands in both nodes as the same bytes.</summary>
        public bool HasSameChild(Walk other) => Node.Item(Index).SequenceEqual(other.Node.Item(other.Index));

        public void Descend() => Push(Child(), 0);

        public void Next()
        {
            _indexes[_depth - 1]++;
            Settle();
        }

        private TreeNode Child()
        {
            Cid link = Node.Child(Index).Link;
            if (Level > 1)
            {
                return _store.Read(TreeKind.Map, link);
            }

            _leaf.Load(_store, TreeKind.Map, link);
            return _leaf;
        }

        private void Push(TreeNode node, int index)
        {
            if (_depth == _nodes.Length)
            {
                Array.Resize(ref _nodes, 2 * _depth);
                Array.Resize(ref _indexes, 2 * _depth);
            }

            _nodes[_depth] = node;
            _indexes[_depth++] = index;
            Settle();
        }

        /// <summary>Stands at an item, or at what comes behind the node if it has no such item.</summary>
        private void Settle()
        {
            while (_depth > 0 && Index >= Node.Count)
            {
                if (--_depth > 0)
                {
                    _indexes[_depth - 1]++;
                }
            }
        }
    }
}
