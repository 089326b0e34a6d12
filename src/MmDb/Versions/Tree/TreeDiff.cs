using Leither.Ipfs.Multiformats;

namespace Leither.MmDb.Versions.Tree;

/// <summary>A key whose item differs between two trees.</summary>
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
                if (a.Link == b.Link)
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

    /// <summary>A walk that goes into a subtree only when told to.</summary>
    private sealed class Walk
    {
        private readonly NodeStore _store;
        private readonly Stack<(TreeNode Node, int Index)> _path = new();

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
                node = store.Read(TreeKind.Map, Link);
                _path.Push((node, node.Find(from)));
            }
        }

        public bool AtEnd => _path.Count == 0;
        public int Level => _path.Peek().Node.Level;
        public bool AtLink => Level > 0;
        public Cid Link => _path.Peek().Node.Child(_path.Peek().Index).Link;
        public ReadOnlyMemory<byte> Item => _path.Peek().Node.ItemMemory(_path.Peek().Index);
        public ReadOnlyMemory<byte> Key => _path.Peek().Node.KeyMemory(_path.Peek().Index);

        public void Descend() => _path.Push((_store.Read(TreeKind.Map, Link), 0));

        public void Next()
        {
            (TreeNode node, int index) = _path.Pop();
            Push(node, index + 1);
        }

        /// <summary>Stands at an item, or at what comes behind the node if it has no such item.</summary>
        private void Push(TreeNode node, int index)
        {
            while (index >= node.Count)
            {
                if (_path.Count == 0)
                {
                    return;
                }

                (node, index) = _path.Pop();
                index++;
            }

            _path.Push((node, index));
        }
    }
}
