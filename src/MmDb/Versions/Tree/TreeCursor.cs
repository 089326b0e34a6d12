using Leither.Ipfs.Multiformats;

namespace Leither.MmDb.Versions.Tree;

/// <summary>A place in a tree: at an item of a leaf, or of the nodes of a level above. It reads the nodes on its way and no others.</summary>
internal sealed class TreeCursor
{
    private readonly NodeStore _store;
    private readonly TreeKind _kind;
    private readonly Cid _root;
    private readonly int _level;
    private readonly List<(TreeNode Node, int Index)> _path = [];

    /// <summary>A cursor that stands nowhere yet.</summary>
    /// <param name="store">Where the nodes are.</param>
    /// <param name="kind">What the tree sorts by.</param>
    /// <param name="root">A root, not none.</param>
    /// <param name="level">The level whose items it visits.</param>
    public TreeCursor(NodeStore store, TreeKind kind, Cid root, int level = 0)
    {
        _store = store;
        _kind = kind;
        _root = root;
        _level = level;
    }

    /// <summary>The node it stands in.</summary>
    public TreeNode Node => _path[^1].Node;

    /// <summary>The item's index in <see cref="Node"/>.</summary>
    public int Index => _path[^1].Index;

    /// <summary>The item.</summary>
    public ReadOnlySpan<byte> Item => Node.Item(Index);

    /// <summary>The link to <see cref="Node"/>.</summary>
    public Cid NodeLink => _path.Count == 1 ? _root : _path[^2].Node.Child(_path[^2].Index).Link;

    /// <summary>Whether no node of the level comes after <see cref="Node"/>.</summary>
    public bool IsInLastNode
    {
        get
        {
            for (int i = 0; i < _path.Count - 1; i++)
            {
                if (_path[i].Index < _path[i].Node.Count - 1)
                {
                    return false;
                }
            }

            return true;
        }
    }

    /// <summary>Goes to the first item.</summary>
    public bool First()
    {
        _path.Clear();
        Descend(_root);
        return true;
    }

    /// <summary>Goes to the first item of a map whose key is not below one. False: there is none; then it stands at the last item.</summary>
    public bool Seek(ReadOnlySpan<byte> key)
    {
        _path.Clear();
        Cid link = _root;
        while (true)
        {
            TreeNode node = _store.Read(_kind, link);
            int index = node.Find(key);
            bool isBeyond = index == node.Count;
            _path.Add((node, isBeyond ? index - 1 : index));
            if (node.Level <= _level || isBeyond)
            {
                if (node.Level > _level)
                {
                    DescendToEnd();
                }

                return !isBeyond;
            }

            link = node.Child(index).Link;
        }
    }

    /// <summary>Goes to the item that so many weigh before; the place in it where it weighs more than one. False: there is none.</summary>
    /// <param name="offset">Items (of a blob: bytes) to leave out.</param>
    /// <param name="within">What is left of the offset inside the item.</param>
    public bool SeekOffset(long offset, out long within)
    {
        _path.Clear();
        Cid link = _root;
        while (true)
        {
            TreeNode node = _store.Read(_kind, link);
            int index = 0;
            if (node.Level == 0)
            {
                index = (int)Math.Min(offset, node.Count);
                offset -= index;
            }
            else
            {
                for (; index < node.Count; index++)
                {
                    long weight = node.Child(index).Weight;
                    if (offset < weight)
                    {
                        break;
                    }

                    offset -= weight;
                }
            }

            within = offset;
            if (index == node.Count)
            {
                return false;
            }

            _path.Add((node, index));
            if (node.Level <= _level)
            {
                return true;
            }

            link = node.Child(index).Link;
        }
    }

    /// <summary>Goes to the next item; false at the end, where it stays.</summary>
    public bool Next()
    {
        (TreeNode node, int index) = _path[^1];
        if (index + 1 < node.Count)
        {
            _path[^1] = (node, index + 1);
            return true;
        }

        return NextNode();
    }

    /// <summary>Goes to the first item of the next node of its level; false at the last one, where it stays.</summary>
    public bool NextNode()
    {
        int depth = _path.Count - 2;
        while (depth >= 0 && _path[depth].Index + 1 == _path[depth].Node.Count)
        {
            depth--;
        }

        if (depth < 0)
        {
            return false;
        }

        _path.RemoveRange(depth + 1, _path.Count - depth - 1);
        (TreeNode node, int index) = _path[depth];
        _path[depth] = (node, index + 1);
        Descend(node.Child(index + 1).Link);
        return true;
    }

    /// <summary>From a node down along the first children.</summary>
    private void Descend(Cid link)
    {
        while (true)
        {
            TreeNode node = _store.Read(_kind, link);
            _path.Add((node, 0));
            if (node.Level <= _level)
            {
                return;
            }

            link = node.Child(0).Link;
        }
    }

    private void DescendToEnd()
    {
        while (Node.Level > _level)
        {
            TreeNode node = _store.Read(_kind, Node.Child(Index).Link);
            _path.Add((node, node.Count - 1));
        }
    }
}
