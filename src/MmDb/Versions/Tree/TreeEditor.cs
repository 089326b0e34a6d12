using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Multiformats;

namespace Leither.MmDb.Versions.Tree;

/// <summary>
/// Changes a map's tree: reads and writes the nodes that the changes lie in and those above them, whatever the size of the tree. The result
/// is the tree that <see cref="TreeBuilder"/> makes of the changed content.
/// </summary>
/// <remarks>
/// Level by level from the leaves: a node with changes is cut anew together with those behind it, up to where a new node ends as an old
/// one did. From there on nothing differs, since where nodes end depends on nothing before their beginning. The nodes that came and went
/// are the changes of the level above.
/// </remarks>
internal sealed class TreeEditor(NodeStore store)
{
    private readonly DagCborWriter _item = new();
    private readonly TreeNode _leaf = new();

    /// <summary>Nodes of a level, in order.</summary>
    private sealed class Children
    {
        private TreeChild[] _items = [];

        public int Count { get; private set; }

        public ref readonly TreeChild this[int index] => ref _items[index];

        public void Add(in TreeChild child)
        {
            if (Count == _items.Length)
            {
                Array.Resize(ref _items, Math.Max(16, 2 * Count));
            }

            _items[Count++] = child;
        }
    }

    /// <summary>Applies changes, which are sorted and name each key once.</summary>
    public TreeRoot Apply(TreeRoot old, TreeEdits edits)
    {
        if (old.IsEmpty)
        {
            return Build(edits);
        }

        int rootLevel = store.Read(TreeKind.Map, old.Root).Level;
        for (int level = 0; edits.Count > 0; level++)
        {
            Children made = new(), gone = new();
            ApplyTo(level, old.Root, edits, made, gone);
            if (level == rootLevel)
            {
                return Top(made, level);
            }

            edits = Changes(made, gone);
        }

        return old;
    }

    private TreeRoot Build(TreeEdits edits)
    {
        var builder = new TreeBuilder(store, TreeKind.Map);
        for (int i = 0; i < edits.Count; i++)
        {
            if (!edits.IsDelete(i))
            {
                builder.Add(edits.Key(i), edits.Item(i));
            }
        }

        return builder.Finish();
    }

    /// <summary>Cuts the changed nodes of a level anew.</summary>
    private void ApplyTo(int level, Cid root, TreeEdits edits, Children made, Children gone)
    {
        var cursor = new TreeCursor(store, TreeKind.Map, root, level, _leaf);
        var writer = new LevelWriter(store, TreeKind.Map, level);
        int next = 0;
        while (next < edits.Count)
        {
            cursor.Seek(edits.Key(next));
            while (true)
            {
                TreeNode node = cursor.Node;
                bool isLast = cursor.IsInLastNode;
                gone.Add(new TreeChild(node.LastKey.ToArray(), cursor.NodeLink, 0));
                Merge(node, isLast, edits, ref next, writer, made);
                if (writer.Pending == 0)
                {
                    break;
                }

                if (isLast)
                {
                    made.Add(writer.End());
                    break;
                }

                cursor.NextNode();
            }
        }
    }

    /// <summary>Gives a node's items, with the changes among them, to the writer; behind the last node all changes that are left.</summary>
    private static void Merge(TreeNode node, bool isLast, TreeEdits edits, ref int next, LevelWriter writer, Children made)
    {
        int i = 0;
        if (writer.Pending == 0 && Replace(node, isLast, edits, ref next, ref i, writer))
        {
            made.Add(writer.End());
            return;
        }

        while (i < node.Count)
        {
            ReadOnlySpan<byte> key = node.Key(i);
            int order = next < edits.Count ? edits.Key(next).SequenceCompareTo(key) : 1;
            if (order <= 0)
            {
                Write(edits, next++, writer, made);
                i += order == 0 ? 1 : 0;
            }
            else
            {
                Write(key, node.Item(i), node.WeightOf(i, i + 1), writer, made);
                i++;
            }
        }

        while (isLast && next < edits.Count)
        {
            Write(edits, next++, writer, made);
        }
    }

    /// <summary>
    /// Where a node ends depends on the keys and sizes of its items: as long as changes give keys items of the size that they had, it ends
    /// nowhere before its old end, and there it does. So its items are copied by the stretch, and not hashed. True: all were. False: from the item
    /// given back on, things have to be looked at one by one; so has the last of the last node, which may end there for want of more.
    /// </summary>
    private static bool Replace(TreeNode node, bool isLast, TreeEdits edits, ref int next, ref int i, LevelWriter writer)
    {
        int end = isLast ? node.Count - 1 : node.Count;
        while (i < end)
        {
            int changed = next < edits.Count ? Math.Min(end, node.Find(edits.Key(next), i)) : end;
            if (changed > i)
            {
                writer.Pass(node.ItemsOf(i, changed), node.ItemsOf(i, changed - 1).Length, changed - i, node.WeightOf(i, changed));
                i = changed;
                continue;
            }

            ReadOnlySpan<byte> item = edits.Item(next);
            if (item.Length != node.Item(i).Length || !edits.Key(next).SequenceEqual(node.Key(i)))
            {
                return false;
            }

            writer.Pass(item, 0, 1, edits.Weight(next));
            next++;
            i++;
        }

        return !isLast;
    }

    private static void Write(TreeEdits edits, int index, LevelWriter writer, Children made)
    {
        if (!edits.IsDelete(index))
        {
            Write(edits.Key(index), edits.Item(index), edits.Weight(index), writer, made);
        }
    }

    private static void Write(ReadOnlySpan<byte> key, ReadOnlySpan<byte> item, long weight, LevelWriter writer, Children made)
    {
        if (writer.Add(item, weight, XxHash64.Compute(key, (ulong)writer.Level)))
        {
            made.Add(writer.End());
        }
    }

    /// <summary>What came and what went on a level, as changes of the one above. Both rise.</summary>
    private TreeEdits Changes(Children made, Children gone)
    {
        var edits = new TreeEdits();
        int old = 0;
        for (int i = 0; i < made.Count; i++)
        {
            ref readonly TreeChild child = ref made[i];
            int order = -1;
            while (old < gone.Count && (order = gone[old].LastKey.AsSpan().SequenceCompareTo(child.LastKey)) < 0)
            {
                edits.Delete(gone[old++].LastKey);
            }

            bool isSame = old < gone.Count && order == 0 && gone[old].Link == child.Link;
            if (!isSame)
            {
                _item.Clear();
                child.Write(TreeKind.Map, _item);
                edits.Put(child.LastKey, _item.Written, child.Weight);
            }

            old += old < gone.Count && order == 0 ? 1 : 0;
        }

        for (; old < gone.Count; old++)
        {
            edits.Delete(gone[old].LastKey);
        }

        return edits;
    }

    /// <summary>The root above all nodes of the highest old level: as low as it can be.</summary>
    private TreeRoot Top(Children nodes, int level)
    {
        if (nodes.Count != 1)
        {
            var builder = new TreeBuilder(store, TreeKind.Map, level + 1);
            for (int i = 0; i < nodes.Count; i++)
            {
                builder.Add(nodes[i]);
            }

            return builder.Finish();
        }

        TreeChild top = nodes[0];
        for (TreeNode node = store.Read(TreeKind.Map, top.Link); node.Level > 0 && node.Count == 1; node = store.Read(TreeKind.Map, top.Link))
        {
            (Cid link, long weight) = node.Child(0);
            top = new TreeChild([], link, weight);
        }

        return new TreeRoot(top.Link, top.Weight);
    }
}
