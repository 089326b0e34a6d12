using Leither.Ipfs.Multiformats;

namespace Leither.MmDb.Versions.Tree;

/// <summary>A place in a tree: at an item of a leaf, or of the nodes of a level above. It reads the nodes on its way and no others.</summary>
internal sealed class TreeCursor
{
    private readonly NodeStore _store;
    private readonly TreeKind _kind;
    private readonly Cid _root;
    private readonly int _level;
    private readonly TreeNode? _leaf;
    private TreeNode[] _nodes = new TreeNode[4];
    private int[] _indexes = new int[4];
    private int _depth;

    /// <summary>A cursor that stands nowhere yet.</summary>
    /// <param name="store">Where the nodes are.</param>
    /// <param name="kind">What the tree sorts by.</param>
    /// <param name="root">A root, not none.</param>
    /// <param name="level">The level whose items it visits.</param>
    /// <param name="leaf">What leaves are read into, one after the other; null: they are remembered by the store.</param>
    public TreeCursor(NodeStore store, TreeKind kind, Cid root, int level = 0, TreeNode? leaf = null)
    {
        _store = store;
        _kind = kind;
        _root = root;
        _level = level;
        _leaf = leaf;
    }

    /// <summary>The node it stands in.</summary>
    public TreeNode Node => _nodes[_depth - 1];

    /// <summary>The item's index in <see cref="Node"/>.</summary>
    public int Index => _indexes[_depth - 1];

    /// <summary>The item.</summary>
    public ReadOnlySpan<byte> Item => Node.Item(Index);

    /// <summary>The link to <see cref="Node"/>.</summary>
    public Cid NodeLink => _depth == 1 ? _root : _nodes[_depth - 2].Child(_indexes[_depth - 2]).Link;

    /// <summary>Whether no node of the level comes after <see cref="Node"/>.</summary>
    public bool IsInLastNode
    {
        get
        {
            for (int i = 0; i < _depth - 1; i++)
            {
                if (_indexes[i] < _nodes[i].Count - 1)
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
        _depth = 0;
        Descend(_root);
        return true;
    }

    /// <summary>Goes to the first item of a map whose key is not below one. False: there is none; then it stands at the last item.</summary>
    public bool Seek(ReadOnlySpan<byte> key)
    {
        _depth = 0;
        Cid link = _root;
        while (true)
        {
            TreeNode node = Read(link);
            int index = node.Find(key);
            bool isBeyond = index == node.Count;
            Push(node, isBeyond ? index - 1 : index);
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
        _depth = 0;
        Cid link = _root;
        while (true)
        {
            TreeNode node = Read(link);
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

            Push(node, index);
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
        if (Index + 1 < Node.Count)
        {
            _indexes[_depth - 1]++;
            return true;
        }

        return NextNode();
    }

    /// <summary>Goes to the first item of the next node of its level; false at the last one, where it stays.</summary>
    public bool NextNode()
    {
        int depth = _depth - 2;
        while (depth >= 0 && _indexes[depth] + 1 == _nodes[depth].Count)
        {
            depth--;
        }

        if (depth < 0)
        {
            return false;
        }

        _depth = depth + 1;
        _indexes[depth]++;
        Descend(_nodes[depth].Child(_indexes[depth]).Link);
        return true;
    }

    /// <summary>From a node down along the first children.</summary>
    private void Descend(Cid link)
    {
        while (true)
        {
            TreeNode node = Read(link);
            Push(node, 0);
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
            TreeNode node = Read(Node.Child(Index).Link);
            Push(node, node.Count - 1);
        }
    }

    /// <summary>The child to be stood in next, or the root.</summary>
    private TreeNode Read(in Cid link)
    {
        if (_leaf is null || _depth == 0 || Node.Level != 1)
        {
            return _store.Read(_kind, link);
        }

        if (_leaf.Link != link || _leaf.Kind != _kind)
        {
            _leaf.Load(_store, _kind, link);
        }

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
    }
}
