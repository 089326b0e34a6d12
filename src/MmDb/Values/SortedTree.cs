using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Leither.MmDb.Memory;

namespace Leither.MmDb.Values;

/// <summary>
/// The order of a big sorted set: a B+tree over (score, member), with counts so that ranks take O(log n).
/// </summary>
/// <remarks>
/// <code>
/// leaf   1024 bytes   [previous, next, count] [62 scores] [62 records]                  linked both ways
/// inner  2048 bytes   [count] [63 scores] [63 records] [63 children] [63 counts]        score and record: the child's smallest
/// </code>
/// Entries are a score and the member's record, whose key is the member; the records belong to the set's key table, which
/// answers "what is this member's score". Scores lie side by side, so a search reads a few cache lines and looks at members
/// only where scores are equal.
///
/// <para>What must stay true: entries ascend by score, then by member bytes; the separator of every child but a node's first
/// is that child's smallest entry (so it never names a record that is gone); counts are exact; no node but the root of an
/// empty tree is empty. Scores are never NaN. -0 and 0 are equal.</para>
///
/// <para>A tree lives in native memory and is used through its pointer.</para>
/// </remarks>
public unsafe struct SortedTree
{
    internal const int MaxLeafCapacity = 62;
    internal const int MaxInnerCapacity = 63;

    private const int LeafBytes = 1024;
    private const int InnerBytes = 2048;
    private const int NodeHeader = 32;

    // Far more levels than memory has room for: nodes split in halves.
    private const int MaxHeight = 32;

    private byte* _root;
    private Leaf* _first;
    private Leaf* _last;
    private long _count;
    private int _height; // levels of inner nodes above the leaves
    private int _nodes; // only for SizeBytes: leaves in units of one, inner nodes of two
    private short _leafCapacity;
    private short _innerCapacity;

    /// <summary>Number of entries.</summary>
    public readonly long Count => _count;

    /// <summary>Bytes that the tree takes, without the records.</summary>
    public readonly long SizeBytes => sizeof(SortedTree) + ((long)_nodes * LeafBytes);

    /// <summary>Makes an empty tree.</summary>
    public static SortedTree* Create(NativeHeap heap) => Create(heap, MaxLeafCapacity, MaxInnerCapacity);

    /// <summary>Makes an empty tree with smaller nodes, so that tests meet every kind of split and merge early.</summary>
    internal static SortedTree* Create(NativeHeap heap, int leafCapacity, int innerCapacity)
    {
        SortedTree* tree = (SortedTree*)heap.Alloc((nuint)sizeof(SortedTree));
        *tree = default;
        tree->_leafCapacity = (short)leafCapacity;
        tree->_innerCapacity = (short)innerCapacity;
        return tree;
    }

    /// <summary>Frees the tree (not the records).</summary>
    public static void Destroy(NativeHeap heap, SortedTree* tree)
    {
        while (!DestroySome(heap, tree, int.MaxValue))
        {
        }
    }

    /// <summary>
    /// Frees up to <paramref name="nodes"/> leaves; true when the tree is gone. After the first call the tree may only be
    /// destroyed further. Reads no member, so the records may be gone already.
    /// </summary>
    public static bool DestroySome(NativeHeap heap, SortedTree* tree, int nodes)
    {
        for (; nodes > 0 && tree->_root != null; nodes--)
        {
            tree->DropLastLeaf(heap);
        }

        if (tree->_root != null)
        {
            return false;
        }

        heap.Free((byte*)tree, (nuint)sizeof(SortedTree));
        return true;
    }

    /// <summary>Adds an entry that the tree does not have.</summary>
    [SkipLocalsInit]
    public void Insert(NativeHeap heap, double score, byte* record)
    {
        if (_root == null)
        {
            Leaf* only = NewLeaf(heap);
            *only = default;
            _root = (byte*)only;
            _first = _last = only;
        }

        ReadOnlySpan<byte> member = Member(record);
        Step* path = stackalloc Step[MaxHeight];
        Leaf* leaf = Descend(path, score, member);
        for (int level = 0; level < _height; level++)
        {
            Counts(path[level].Node)[path[level].Index]++;
        }

        _count++;
        int at = LowerBound(leaf, score, member);
        if (leaf->Count < _leafCapacity)
        {
            InsertInto(leaf, at, score, record);
        }
        else
        {
            InsertIntoFull(heap, path, leaf, at, score, record);
        }
    }

    /// <summary>Removes the entry of a record; false if it is not there with this score.</summary>
    [SkipLocalsInit]
    public bool Remove(NativeHeap heap, double score, byte* record)
    {
        if (_root == null)
        {
            return false;
        }

        ReadOnlySpan<byte> member = Member(record);
        Step* path = stackalloc Step[MaxHeight];
        Leaf* leaf = Descend(path, score, member);
        int at = Find(leaf, score, record, member);
        if (at < 0)
        {
            return false;
        }

        RemoveFrom(heap, path, leaf, at, 1);
        return true;
    }

    /// <summary>
    /// Changes the score of a record's entry; false if it is not there with the old one. When the entry stays in its leaf,
    /// which small changes mostly do, nothing else is touched.
    /// </summary>
    [SkipLocalsInit]
    public bool Update(NativeHeap heap, double oldScore, double newScore, byte* record)
    {
        if (_root == null)
        {
            return false;
        }

        ReadOnlySpan<byte> member = Member(record);
        Step* path = stackalloc Step[MaxHeight];
        Leaf* leaf = Descend(path, oldScore, member);
        int at = Find(leaf, oldScore, record, member);
        if (at < 0)
        {
            return false;
        }

        // Where it belongs among the leaf's other entries; it counts itself when it moves up.
        int to = LowerBound(leaf, newScore, member) - (oldScore < newScore ? 1 : 0);
        bool above = to > 0 || leaf->Previous == null || IsBelow(leaf->Previous, leaf->Previous->Count - 1, newScore, member);
        bool below = to < leaf->Count - 1 || leaf->Next == null || !IsBelow(leaf->Next, 0, newScore, member);
        if (!above || !below)
        {
            RemoveFrom(heap, path, leaf, at, 1);
            Insert(heap, newScore, record);
            return true;
        }

        double* scores = Scores(leaf);
        byte** records = Records(leaf);
        if (to < at)
        {
            Move(scores, to, to + 1, at - to);
            Move((double*)records, to, to + 1, at - to);
        }
        else if (to > at)
        {
            Move(scores, at + 1, at, to - at);
            Move((double*)records, at + 1, at, to - at);
        }

        scores[to] = newScore;
        records[to] = record;
        if (at == 0 || to == 0)
        {
            UpdateSeparator(path, _height - 1);
        }

        return true;
    }

    /// <summary>
    /// Puts another pointer in the place of a record that moved. Both must be readable and have the same key; false if
    /// the old one is not there with this score.
    /// </summary>
    [SkipLocalsInit]
    public bool ReplaceRecord(double score, byte* oldRecord, byte* newRecord)
    {
        if (_root == null)
        {
            return false;
        }

        ReadOnlySpan<byte> member = Member(newRecord);
        Step* path = stackalloc Step[MaxHeight];
        Leaf* leaf = Descend(path, score, member);
        int at = Find(leaf, score, oldRecord, member);
        if (at < 0)
        {
            return false;
        }

        Records(leaf)[at] = newRecord;
        if (at == 0)
        {
            UpdateSeparator(path, _height - 1);
        }

        return true;
    }

    /// <summary>The rank (0 is the smallest) of a member with this score; -1 if it is not there.</summary>
    public readonly long Rank(double score, ReadOnlySpan<byte> member)
    {
        if (_root == null)
        {
            return -1;
        }

        long rank = 0;
        byte* node = _root;
        for (int level = 0; level < _height; level++)
        {
            Inner* inner = (Inner*)node;
            int index = ChildFor(inner, score, member);
            rank += Sum(Counts(inner), index);
            node = Children(inner)[index];
        }

        Leaf* leaf = (Leaf*)node;
        int at = LowerBound(leaf, score, member);
        bool found = at < leaf->Count && Scores(leaf)[at] == score && Member(Records(leaf)[at]).SequenceEqual(member);
        return found ? rank + at : -1;
    }

    /// <summary>A cursor on the entry of this rank; not valid if there is none.</summary>
    public readonly SortedTreeCursor At(long rank)
    {
        if ((ulong)rank >= (ulong)_count)
        {
            return default;
        }

        byte* node = _root;
        for (int level = 0; level < _height; level++)
        {
            node = Children((Inner*)node)[ChildAt((Inner*)node, ref rank)];
        }

        return new SortedTreeCursor((Leaf*)node, (int)rank);
    }

    /// <summary>A cursor on the smallest entry.</summary>
    public readonly SortedTreeCursor First() => _count == 0 ? default : new SortedTreeCursor(_first, 0);

    /// <summary>A cursor on the largest entry.</summary>
    public readonly SortedTreeCursor Last() => _count == 0 ? default : new SortedTreeCursor(_last, _last->Count - 1);

    /// <summary>
    /// Number of entries with a score below this one (or up to it, if <paramref name="inclusive"/>): the rank at which a
    /// range that starts there begins.
    /// </summary>
    public readonly long CountBelow(double score, bool inclusive)
    {
        if (_root == null)
        {
            return 0;
        }

        long rank = 0;
        byte* node = _root;
        for (int level = 0; level < _height; level++)
        {
            Inner* inner = (Inner*)node;
            int index = CountScores(Scores(inner) + 1, inner->Count - 1, score, inclusive);
            rank += Sum(Counts(inner), index);
            node = Children(inner)[index];
        }

        return rank + CountScores(Scores((Leaf*)node), ((Leaf*)node)->Count, score, inclusive);
    }

    /// <summary>
    /// Number of entries whose member is below this one (or up to it, if <paramref name="inclusive"/>), where all scores are
    /// equal; with different scores the answer means nothing, as in Redis.
    /// </summary>
    public readonly long CountBelow(ReadOnlySpan<byte> member, bool inclusive)
    {
        if (_root == null)
        {
            return 0;
        }

        long rank = 0;
        byte* node = _root;
        for (int level = 0; level < _height; level++)
        {
            Inner* inner = (Inner*)node;
            int index = CountMembers(Records(inner) + 1, inner->Count - 1, member, inclusive);
            rank += Sum(Counts(inner), index);
            node = Children(inner)[index];
        }

        return rank + CountMembers(Records((Leaf*)node), ((Leaf*)node)->Count, member, inclusive);
    }

    /// <summary>The ranks that a range of scores covers: from the first up to, not including, the second.</summary>
    public readonly (long From, long To) Ranks(in ScoreRange range)
    {
        long from = CountBelow(range.Min, range.MinExclusive);
        long to = CountBelow(range.Max, !range.MaxExclusive);
        return from < to ? (from, to) : (from, from);
    }

    /// <summary>The ranks that a range of members covers, where all scores are equal.</summary>
    public readonly (long From, long To) Ranks(in LexRange range)
    {
        long from = Position(range.Min, !range.Min.Inclusive);
        long to = Position(range.Max, range.Max.Inclusive);
        return from < to ? (from, to) : (from, from);
    }

    /// <summary>
    /// Removes <paramref name="count"/> entries (or as many as there are) from a rank on. Reads no member, so the records may
    /// be gone already.
    /// </summary>
    [SkipLocalsInit]
    public void RemoveRange(NativeHeap heap, long rank, long count)
    {
        if ((ulong)rank >= (ulong)_count)
        {
            return;
        }

        count = Math.Min(count, _count - rank);
        Step* path = stackalloc Step[MaxHeight];
        while (count > 0)
        {
            byte* node = _root;
            long at = rank;
            for (int level = 0; level < _height; level++)
            {
                Inner* inner = (Inner*)node;
                int index = ChildAt(inner, ref at);
                path[level] = new Step { Node = inner, Index = index };
                node = Children(inner)[index];
            }

            Leaf* leaf = (Leaf*)node;
            int here = (int)Math.Min(count, leaf->Count - at);
            RemoveFrom(heap, path, leaf, (int)at, here);
            count -= here;
        }
    }

    /// <summary>Moves whatever of the tree lies in memory that is being evacuated; gives the tree's address, which may be another.</summary>
    public static SortedTree* Relocate(NativeHeap heap, SortedTree* tree)
    {
        if (tree->_root != null)
        {
            tree->_root = tree->RelocateNode(heap, tree->_root, tree->_height);
        }

        return (SortedTree*)Moved(heap, (byte*)tree, (nuint)sizeof(SortedTree));
    }

    /// <summary>Throws if anything that must stay true is not. For tests and DEBUG commands: reads the whole tree.</summary>
    internal readonly void CheckInvariants()
    {
        if (_root == null)
        {
            Check(_count == 0 && _height == 0 && _nodes == 0 && _first == null && _last == null, "an empty tree");
            return;
        }

        Leaf* previous = null;
        int nodes = 0;
        Check(CheckNode(_root, _height, ref previous, ref nodes) == _count, "count");
        Check(previous == _last && previous->Next == null, "last leaf");
        Check(nodes == _nodes, "number of nodes");
        Check(_height == 0 || ((Inner*)_root)->Count > 1, "a root with one child");
    }

    private readonly long CheckNode(byte* node, int level, ref Leaf* previous, ref int nodes)
    {
        if (level == 0)
        {
            Leaf* leaf = (Leaf*)node;
            nodes++;
            Check(leaf->Count > 0 && leaf->Count <= _leafCapacity, "leaf count");
            Check(leaf->Previous == previous && (previous == null ? _first == leaf : previous->Next == leaf), "links");
            for (int i = 0; i < leaf->Count; i++)
            {
                bool first = i == 0;
                Leaf* before = first ? previous : leaf;
                Check(before == null || IsBelow(before, (first ? before->Count : i) - 1, Scores(leaf)[i], Member(Records(leaf)[i])), "order");
            }

            previous = leaf;
            return leaf->Count;
        }

        Inner* inner = (Inner*)node;
        nodes += InnerBytes / LeafBytes;
        Check(inner->Count > 0 && inner->Count <= _innerCapacity, "inner count");
        long sum = 0;
        for (int i = 0; i < inner->Count; i++)
        {
            long count = CheckNode(Children(inner)[i], level - 1, ref previous, ref nodes);
            Check(count == Counts(inner)[i], "count of a child");
            sum += count;
            Leaf* smallest = Smallest(Children(inner)[i], level - 1);
            Check(i == 0 || (Scores(inner)[i] == Scores(smallest)[0] && Records(inner)[i] == Records(smallest)[0]), "separator");
        }

        return sum;
    }

    private static void Check(bool condition, string what)
    {
        if (!condition)
        {
            throw new InvalidOperationException("A sorted tree is damaged: " + what + ".");
        }
    }

    // The leaf where (score, member) is or belongs, and the way there.
    private readonly Leaf* Descend(Step* path, double score, ReadOnlySpan<byte> member)
    {
        byte* node = _root;
        for (int level = 0; level < _height; level++)
        {
            Inner* inner = (Inner*)node;
            int index = ChildFor(inner, score, member);
            path[level] = new Step { Node = inner, Index = index };
            node = Children(inner)[index];
        }

        return (Leaf*)node;
    }

    // A full leaf gives entries to a neighbour with room, or splits. Neighbours first: leaves stay about four fifths full.
    private void InsertIntoFull(NativeHeap heap, Step* path, Leaf* leaf, int at, double score, byte* record)
    {
        if (_height > 0 && TryShift(path[_height - 1], leaf, at, score, record))
        {
            return;
        }

        // Ascending and descending insertions leave full leaves behind.
        int count = leaf->Count;
        int kept = at == count && leaf == _last ? count : at == 0 && leaf == _first ? 0 : count / 2;
        Leaf* right = NewLeaf(heap);
        right->Count = 0;
        LinkAfter(leaf, right);
        MoveEntries(leaf, kept, right, 0, count - kept);
        if (at <= kept && kept < count)
        {
            InsertInto(leaf, at, score, record);
        }
        else
        {
            InsertInto(right, at - kept, score, record);
        }

        AddChild(heap, path, _height - 1, (byte*)leaf, leaf->Count, (byte*)right, right->Count, right);
    }

    // Moves entries of a full leaf to a neighbour under the same parent; false if neither has enough room to be worth it.
    private readonly bool TryShift(Step step, Leaf* leaf, int at, double score, byte* record)
    {
        Inner* parent = step.Node;
        int index = step.Index;
        int enough = (_leafCapacity >> 3) + 2; // two at least: room is left for the new entry
        Leaf* right = index + 1 < parent->Count ? (Leaf*)Children(parent)[index + 1] : null;
        if (right != null && _leafCapacity - right->Count >= enough)
        {
            int moved = (_leafCapacity - right->Count + 1) / 2;
            int kept = leaf->Count - moved;
            OpenGap(right, 0, moved);
            MoveEntries(leaf, kept, right, 0, moved);
            right->Count -= moved; // counted by both
            if (at <= kept)
            {
                InsertInto(leaf, at, score, record);
            }
            else
            {
                InsertInto(right, at - kept, score, record);
            }

            SetChild(parent, index, leaf);
            SetChild(parent, index + 1, right);
            return true;
        }

        Leaf* left = index > 0 ? (Leaf*)Children(parent)[index - 1] : null;
        if (left == null || _leafCapacity - left->Count < enough)
        {
            return false;
        }

        int given = (_leafCapacity - left->Count + 1) / 2;
        MoveEntries(leaf, 0, left, left->Count, given);
        if (at < given)
        {
            InsertInto(left, left->Count - given + at, score, record);
        }
        else
        {
            InsertInto(leaf, at - given, score, record);
        }

        SetChild(parent, index - 1, left);
        SetChild(parent, index, leaf);
        return true;
    }

    // A child at path[level] became two: counts and separator of both, and on upwards while nodes are full.
    private void AddChild(NativeHeap heap, Step* path, int level, byte* left, long leftCount, byte* right, long rightCount, Leaf* smallest)
    {
        for (; level >= 0; level--)
        {
            Inner* inner = path[level].Node;
            int index = path[level].Index;
            Counts(inner)[index] = leftCount;
            index++;
            if (inner->Count < _innerCapacity)
            {
                InsertChild(inner, index, right, rightCount, smallest);
                return;
            }

            bool append = index == inner->Count;
            int kept = append ? inner->Count : inner->Count / 2;
            Inner* sibling = NewInner(heap);
            sibling->Count = 0;
            MoveChildren(inner, kept, sibling, 0, inner->Count - kept);
            if (index <= kept && !append)
            {
                InsertChild(inner, index, right, rightCount, smallest);
            }
            else
            {
                InsertChild(sibling, index - kept, right, rightCount, smallest);
            }

            // The separator goes up with the new node: its first child's smallest entry.
            smallest = Smallest(Children(sibling)[0], _height - 1 - level);
            left = (byte*)inner;
            leftCount = Sum(Counts(inner), inner->Count);
            right = (byte*)sibling;
            rightCount = Sum(Counts(sibling), sibling->Count);
        }

        Check(_height < MaxHeight, "height");
        Inner* root = NewInner(heap);
        root->Count = 1;
        Children(root)[0] = left;
        Counts(root)[0] = leftCount;
        InsertChild(root, 1, right, rightCount, smallest);
        _root = (byte*)root;
        _height++;
    }

    private void RemoveFrom(NativeHeap heap, Step* path, Leaf* leaf, int at, int count)
    {
        _count -= count;
        for (int level = 0; level < _height; level++)
        {
            Counts(path[level].Node)[path[level].Index] -= count;
        }

        Move(Scores(leaf), at + count, at, leaf->Count - at - count);
        Move((double*)Records(leaf), at + count, at, leaf->Count - at - count);
        leaf->Count -= count;
        if (leaf->Count == 0)
        {
            Unlink(leaf);
            FreeLeaf(heap, leaf);
            RemoveChild(heap, path, _height - 1);
            return;
        }

        if (at == 0)
        {
            UpdateSeparator(path, _height - 1);
        }

        if (_height > 0 && leaf->Count < _leafCapacity / 3)
        {
            MergeLeaf(heap, path, leaf);
        }
    }

    // Joins a leaf that has become small with a neighbour, if the two leave room to grow.
    private void MergeLeaf(NativeHeap heap, Step* path, Leaf* leaf)
    {
        ref Step step = ref path[_height - 1];
        Inner* parent = step.Node;
        int limit = _leafCapacity * 3 / 4;
        int left = step.Index;
        if (left + 1 < parent->Count && leaf->Count + leaf->Next->Count <= limit)
        {
            // With the right neighbour.
        }
        else if (left > 0 && leaf->Count + leaf->Previous->Count <= limit)
        {
            left--;
        }
        else
        {
            return;
        }

        Leaf* into = (Leaf*)Children(parent)[left];
        Leaf* from = into->Next;
        MoveEntries(from, 0, into, into->Count, from->Count);
        Counts(parent)[left] = into->Count;
        Unlink(from);
        FreeLeaf(heap, from);
        step.Index = left + 1;
        RemoveChild(heap, path, _height - 1);
    }

    // Takes the child at path[level] out of its node, which may then be empty, or small enough to join a neighbour.
    private void RemoveChild(NativeHeap heap, Step* path, int level)
    {
        for (; level >= 0; level--)
        {
            Inner* inner = path[level].Node;
            int index = path[level].Index;
            CloseGap(inner, index, 1);
            if (inner->Count > 0)
            {
                if (index == 0)
                {
                    UpdateSeparator(path, level - 1);
                }

                if (level > 0 && inner->Count < _innerCapacity / 3 && TryMergeInner(heap, ref path[level - 1]))
                {
                    continue; // the parent lost the child that path[level - 1] names now
                }

                break;
            }

            FreeInner(heap, inner);
        }

        if (level < 0)
        {
            _root = null;
            _height = 0;
        }

        while (_height > 0 && ((Inner*)_root)->Count == 1)
        {
            Inner* old = (Inner*)_root;
            _root = Children(old)[0];
            _height--;
            FreeInner(heap, old);
        }
    }

    // Joins the inner node that the step leads to with a neighbour; then the step names the child that is to be taken out.
    private bool TryMergeInner(NativeHeap heap, ref Step step)
    {
        Inner* parent = step.Node;
        int limit = _innerCapacity * 3 / 4;
        for (int left = step.Index; left >= 0 && left >= step.Index - 1; left--)
        {
            if (left + 1 >= parent->Count)
            {
                continue;
            }

            Inner* into = (Inner*)Children(parent)[left];
            Inner* from = (Inner*)Children(parent)[left + 1];
            if (into->Count + from->Count > limit)
            {
                continue;
            }

            // The first child's separator is not kept in its node; the parent has it.
            Scores(from)[0] = Scores(parent)[left + 1];
            Records(from)[0] = Records(parent)[left + 1];
            Counts(parent)[left] += Counts(parent)[left + 1];
            MoveChildren(from, 0, into, into->Count, from->Count);
            FreeInner(heap, from);
            step.Index = left + 1;
            return true;
        }

        return false;
    }

    // The smallest entry below path[level] changed: the nearest separator to the left of the way there names it.
    private readonly void UpdateSeparator(Step* path, int level)
    {
        for (; level >= 0; level--)
        {
            int index = path[level].Index;
            if (index == 0)
            {
                continue;
            }

            Inner* inner = path[level].Node;
            SetSeparator(inner, index, Smallest(Children(inner)[index], _height - 1 - level));
            return;
        }
    }

    private void DropLastLeaf(NativeHeap heap)
    {
        byte* node = _root;
        Inner* parent = null;
        Inner* grandparent = null;
        for (int level = 0; level < _height; level++)
        {
            grandparent = parent;
            parent = (Inner*)node;
            node = Children(parent)[parent->Count - 1];
        }

        FreeLeaf(heap, (Leaf*)node);
        if (parent == null)
        {
            _root = null;
            return;
        }

        // Empty inner nodes go from the bottom up; the way down is short, so it is walked again.
        for (parent->Count--; parent->Count == 0; parent->Count--)
        {
            Inner* empty = parent;
            FreeInner(heap, empty);
            if (grandparent == null)
            {
                _root = null;
                return;
            }

            parent = grandparent;
            grandparent = null;
            for (Inner* above = (Inner*)_root; above != parent; above = (Inner*)Children(above)[above->Count - 1])
            {
                grandparent = above;
            }
        }
    }

    private readonly long Position(LexBound bound, bool inclusive) => bound.Kind switch
    {
        LexBoundKind.Lowest => 0,
        LexBoundKind.Highest => _count,
        _ => CountBelow(bound.Member, inclusive),
    };

    private byte* RelocateNode(NativeHeap heap, byte* node, int level)
    {
        if (level > 0)
        {
            node = Moved(heap, node, InnerBytes);
            byte** children = Children((Inner*)node);
            for (int i = 0; i < ((Inner*)node)->Count; i++)
            {
                children[i] = RelocateNode(heap, children[i], level - 1);
            }

            return node;
        }

        Leaf* old = (Leaf*)node;
        Leaf* leaf = (Leaf*)Moved(heap, node, LeafBytes);
        if (leaf != old)
        {
            _first = leaf->Previous == null ? leaf : _first;
            _last = leaf->Next == null ? leaf : _last;
            if (leaf->Previous != null)
            {
                leaf->Previous->Next = leaf;
            }

            if (leaf->Next != null)
            {
                leaf->Next->Previous = leaf;
            }
        }

        return (byte*)leaf;
    }

    private static byte* Moved(NativeHeap heap, byte* old, nuint size)
    {
        if (!heap.IsEvacuating(old, size))
        {
            return old;
        }

        byte* moved = heap.Alloc(size);
        Buffer.MemoryCopy(old, moved, size, size);
        heap.Free(old, size);
        return moved;
    }

    private static Leaf* Smallest(byte* node, int level)
    {
        for (; level > 0; level--)
        {
            node = Children((Inner*)node)[0];
        }

        return (Leaf*)node;
    }

    // The child in which an entry is or belongs: the last one whose separator is not above it.
    private static int ChildFor(Inner* inner, double score, ReadOnlySpan<byte> member)
    {
        double* scores = Scores(inner) + 1;
        int count = inner->Count - 1;
        int index = CountScores(scores, count, score, false);
        if (index < count && scores[index] == score)
        {
            index += CountTies(scores + index, Records(inner) + 1 + index, count - index, score, member, true);
        }

        return index;
    }

    // The child that has the entry of a rank, which becomes the rank within the child.
    private static int ChildAt(Inner* inner, ref long rank)
    {
        long* counts = Counts(inner);
        int index = 0;
        while (rank >= counts[index])
        {
            rank -= counts[index++];
        }

        return index;
    }

    // Number of the leaf's entries that are below (score, member).
    private static int LowerBound(Leaf* leaf, double score, ReadOnlySpan<byte> member)
    {
        double* scores = Scores(leaf);
        int index = CountScores(scores, leaf->Count, score, false);
        if (index < leaf->Count && scores[index] == score)
        {
            index += CountTies(scores + index, Records(leaf) + index, leaf->Count - index, score, member, false);
        }

        return index;
    }

    // Where the leaf has this very record with this score, or -1. Where scores differ no member is looked at.
    private static int Find(Leaf* leaf, double score, byte* record, ReadOnlySpan<byte> member)
    {
        double* scores = Scores(leaf);
        int count = leaf->Count;
        int index = CountScores(scores, count, score, false);
        if (index < count && scores[index] == score && Records(leaf)[index] != record)
        {
            index += CountTies(scores + index, Records(leaf) + index, count - index, score, member, false);
        }

        return index < count && scores[index] == score && Records(leaf)[index] == record ? index : -1;
    }

    private static bool IsBelow(Leaf* leaf, int at, double score, ReadOnlySpan<byte> member)
    {
        double other = Scores(leaf)[at];
        return other < score || (other == score && Member(Records(leaf)[at]).SequenceCompareTo(member) < 0);
    }

    // Of entries that begin with equal scores: number of those with this score and a member below (or equal, if inclusive).
    private static int CountTies(double* scores, byte** records, int count, double score, ReadOnlySpan<byte> member, bool inclusive)
    {
        int low = 0;
        while (low < count)
        {
            int middle = (low + count) >> 1;
            if (scores[middle] == score && Member(records[middle]).SequenceCompareTo(member) < (inclusive ? 1 : 0))
            {
                low = middle + 1;
            }
            else
            {
                count = middle;
            }
        }

        return low;
    }

    private static int CountMembers(byte** records, int count, ReadOnlySpan<byte> member, bool inclusive)
    {
        int low = 0;
        while (low < count)
        {
            int middle = (low + count) >> 1;
            if (Member(records[middle]).SequenceCompareTo(member) < (inclusive ? 1 : 0))
            {
                low = middle + 1;
            }
            else
            {
                count = middle;
            }
        }

        return low;
    }

    // Number of ascending scores below (or up to) one. One step halves the array without a branch; then all are compared,
    // several at once: its cache lines arrive together, and nothing is mispredicted.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int CountScores(double* scores, int count, double score, bool inclusive)
    {
        if (count == 0)
        {
            return 0;
        }

        int half = count >> 1;
        bool above = inclusive ? scores[half] <= score : scores[half] < score;
        int index = half & -Unsafe.BitCast<bool, byte>(above);
        int end = index + count - half;
        if (!Vector256.IsHardwareAccelerated)
        {
            while (index < end && (inclusive ? scores[index] <= score : scores[index] < score))
            {
                index++;
            }

            return index;
        }

        Vector256<double> key = Vector256.Create(score);
        Vector256<long> below = Vector256<long>.Zero;
        int found = index;
        for (; index + 4 <= end; index += 4)
        {
            Vector256<double> four = Vector256.Load(scores + index);
            below -= (inclusive ? Vector256.LessThanOrEqual(four, key) : Vector256.LessThan(four, key)).AsInt64();
        }

        for (; index < end; index++)
        {
            found += Unsafe.BitCast<bool, byte>(inclusive ? scores[index] <= score : scores[index] < score);
        }

        return found + (int)Vector256.Sum(below);
    }

    private static long Sum(long* counts, int count)
    {
        int i = 0;
        Vector256<long> four = Vector256<long>.Zero;
        for (; i + 4 <= count; i += 4)
        {
            four += Vector256.Load(counts + i);
        }

        long sum = Vector256.Sum(four);
        for (; i < count; i++)
        {
            sum += counts[i];
        }

        return sum;
    }

    private static void InsertInto(Leaf* leaf, int at, double score, byte* record)
    {
        double* scores = Scores(leaf);
        byte** records = Records(leaf);
        int moved = leaf->Count - at;
        Move(scores, at, at + 1, moved);
        Move((double*)records, at, at + 1, moved);
        scores[at] = score;
        records[at] = record;
        leaf->Count++;
    }

    private static void OpenGap(Leaf* leaf, int at, int size)
    {
        Move(Scores(leaf), at, at + size, leaf->Count - at);
        Move((double*)Records(leaf), at, at + size, leaf->Count - at);
        leaf->Count += size;
    }

    // Moves entries from one leaf into free room of another; what follows them in the first closes up.
    private static void MoveEntries(Leaf* from, int at, Leaf* to, int toAt, int count)
    {
        Copy(Scores(from) + at, Scores(to) + toAt, count);
        Copy((double*)(Records(from) + at), (double*)(Records(to) + toAt), count);
        from->Count -= count;
        to->Count += count;
        Move(Scores(from), at + count, at, from->Count - at);
        Move((double*)Records(from), at + count, at, from->Count - at);
    }

    private static void InsertChild(Inner* inner, int at, byte* child, long count, Leaf* smallest)
    {
        int moved = inner->Count - at;
        Move(Scores(inner), at, at + 1, moved);
        Move((double*)Records(inner), at, at + 1, moved);
        Move((double*)Children(inner), at, at + 1, moved);
        Move((double*)Counts(inner), at, at + 1, moved);
        Children(inner)[at] = child;
        Counts(inner)[at] = count;
        SetSeparator(inner, at, smallest);
        inner->Count++;
    }

    private static void MoveChildren(Inner* from, int at, Inner* to, int toAt, int count)
    {
        Copy(Scores(from) + at, Scores(to) + toAt, count);
        Copy((double*)(Records(from) + at), (double*)(Records(to) + toAt), count);
        Copy((double*)(Children(from) + at), (double*)(Children(to) + toAt), count);
        Copy((double*)(Counts(from) + at), (double*)(Counts(to) + toAt), count);
        to->Count += count;
        CloseGap(from, at, count);
    }

    private static void CloseGap(Inner* inner, int at, int count)
    {
        int moved = inner->Count - at - count;
        Move(Scores(inner), at + count, at, moved);
        Move((double*)Records(inner), at + count, at, moved);
        Move((double*)Children(inner), at + count, at, moved);
        Move((double*)Counts(inner), at + count, at, moved);
        inner->Count -= count;
    }

    private static void SetChild(Inner* parent, int index, Leaf* leaf)
    {
        Counts(parent)[index] = leaf->Count;
        if (index > 0)
        {
            SetSeparator(parent, index, leaf);
        }
    }

    private static void SetSeparator(Inner* inner, int index, Leaf* smallest)
    {
        Scores(inner)[index] = Scores(smallest)[0];
        Records(inner)[index] = Records(smallest)[0];
    }

    private void LinkAfter(Leaf* leaf, Leaf* added)
    {
        added->Previous = leaf;
        added->Next = leaf->Next;
        leaf->Next = added;
        if (added->Next == null)
        {
            _last = added;
        }
        else
        {
            added->Next->Previous = added;
        }
    }

    private void Unlink(Leaf* leaf)
    {
        if (leaf->Previous == null)
        {
            _first = leaf->Next;
        }
        else
        {
            leaf->Previous->Next = leaf->Next;
        }

        if (leaf->Next == null)
        {
            _last = leaf->Previous;
        }
        else
        {
            leaf->Next->Previous = leaf->Previous;
        }
    }

    // Every element of every array is 8 bytes, so one pair of functions moves them all.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Move(double* array, int from, int to, int count)
    {
        if (count > 0)
        {
            Buffer.MemoryCopy(array + from, array + to, count * sizeof(double), count * sizeof(double));
        }
    }

    private static void Copy(double* from, double* to, int count) =>
        Buffer.MemoryCopy(from, to, count * sizeof(double), count * sizeof(double));

    private Leaf* NewLeaf(NativeHeap heap)
    {
        _nodes++;
        return (Leaf*)heap.Alloc(LeafBytes);
    }

    private void FreeLeaf(NativeHeap heap, Leaf* leaf)
    {
        _nodes--;
        heap.Free((byte*)leaf, LeafBytes);
    }

    private Inner* NewInner(NativeHeap heap)
    {
        _nodes += InnerBytes / LeafBytes;
        return (Inner*)heap.Alloc(InnerBytes);
    }

    private void FreeInner(NativeHeap heap, Inner* inner)
    {
        _nodes -= InnerBytes / LeafBytes;
        heap.Free((byte*)inner, InnerBytes);
    }

    internal static double* Scores(Leaf* leaf) => (double*)((byte*)leaf + NodeHeader);

    internal static byte** Records(Leaf* leaf) => (byte**)((byte*)leaf + NodeHeader) + MaxLeafCapacity;

    private static double* Scores(Inner* inner) => (double*)((byte*)inner + NodeHeader);

    private static byte** Records(Inner* inner) => (byte**)((byte*)inner + NodeHeader) + MaxInnerCapacity;

    private static byte** Children(Inner* inner) => (byte**)((byte*)inner + NodeHeader) + (2 * MaxInnerCapacity);

    private static long* Counts(Inner* inner) => (long*)((byte*)inner + NodeHeader) + (3 * MaxInnerCapacity);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ReadOnlySpan<byte> Member(byte* record) => Record.KeySpan(record);

    internal struct Leaf
    {
        public Leaf* Previous;
        public Leaf* Next;
        public int Count;
    }

    private struct Inner
    {
        public int Count;
    }

    // One level of the way from the root: the node, and which of its children.
    private struct Step
    {
        public Inner* Node;
        public int Index;
    }
}

/// <summary>A place in a <see cref="SortedTree"/>; good until the tree changes.</summary>
public unsafe struct SortedTreeCursor
{
    private SortedTree.Leaf* _leaf;
    private int _index;

    internal SortedTreeCursor(SortedTree.Leaf* leaf, int index)
    {
        _leaf = leaf;
        _index = index;
    }

    /// <summary>Whether there is an entry here; false beyond either end.</summary>
    public readonly bool IsValid => _leaf != null;

    /// <summary>The entry's score.</summary>
    public readonly double Score => SortedTree.Scores(_leaf)[_index];

    /// <summary>The entry's record, whose key is the member.</summary>
    public readonly byte* Record => SortedTree.Records(_leaf)[_index];

    /// <summary>Goes to the next larger entry.</summary>
    public void MoveNext()
    {
        if (++_index == _leaf->Count)
        {
            _leaf = _leaf->Next;
            _index = 0;
        }
    }

    /// <summary>Goes to the next smaller entry.</summary>
    public void MovePrevious()
    {
        if (--_index < 0)
        {
            _leaf = _leaf->Previous;
            _index = _leaf == null ? 0 : _leaf->Count - 1;
        }
    }
}
