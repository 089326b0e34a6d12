using System.Runtime.CompilerServices;
using Leither.MmDb.Memory;

namespace Leither.MmDb.Values;

/// <summary>
/// An ordered map from <see cref="StreamId"/> to values of one small size: a B+tree in native memory. A stream has one for its nodes,
/// a consumer group one for what is pending, a consumer one (without values) for what is pending with it.
/// </summary>
/// <remarks>
/// <code>
/// leaf    [references, count, capacity, previous, next] [capacity ids] [capacity values]       linked both ways
/// inner   [count] [64 ids] [64 children]                id: not above any in the child, and above all in the child before
/// </code>
/// Ids mostly come in order and go in order. So a full leaf at the end is not split but followed by a new one, which leaves all
/// leaves full; and one that becomes empty goes. Leaves that become sparse in the middle are joined with a neighbour.
///
/// <para>Leaves can be shared with a <see cref="FrozenTree"/>, by which a snapshot reads a tree that goes on changing: a leaf with more
/// than one reference is copied before it is written to. The blocks that a stream's leaves point to are counted in the same way:
/// a copied leaf holds each of them once more.</para>
///
/// <para>What must stay true: ids ascend; no leaf and no inner node is empty; counts are exact. A tree lives in native memory and is
/// used in its place; any change ends all cursors.</para>
/// </remarks>
public unsafe struct IdTree
{
    internal const int MaxCapacity = 64;

    // A node splits when it is full, in halves at worst: so many levels would take 2^80 insertions.
    private const int MaxHeight = 16;

    private byte* _root;
    private long _count;
    private long _bytes;
    private int _height;
    private ushort _valueBytes;
    private bool _holdsBlocks;

    /// <summary>An empty tree of values of so many bytes.</summary>
    /// <param name="valueBytes">Bytes of a value.</param>
    /// <param name="holdsBlocks">Whether a value is the address of a <see cref="StreamBlock"/> that the tree has a reference to.</param>
    internal IdTree(int valueBytes, bool holdsBlocks = false)
    {
        _valueBytes = (ushort)valueBytes;
        _holdsBlocks = holdsBlocks;
    }

    /// <summary>Number of ids.</summary>
    public readonly long Count => _count;

    /// <summary>Bytes of its nodes.</summary>
    public readonly long SizeBytes => _bytes;

    /// <summary>The first id; not valid if there is none.</summary>
    public readonly IdCursor First()
    {
        byte* node = _root;
        for (int level = 0; level < _height; level++)
        {
            node = ((Inner*)node)->Children[0];
        }

        return new IdCursor((IdLeaf*)node, 0);
    }

    /// <summary>The last id; not valid if there is none.</summary>
    public readonly IdCursor Last()
    {
        byte* node = _root;
        for (int level = 0; level < _height; level++)
        {
            var inner = (Inner*)node;
            node = inner->Children[inner->Count - 1];
        }

        var leaf = (IdLeaf*)node;
        return new IdCursor(leaf, leaf == null ? 0 : leaf->Count - 1);
    }

    /// <summary>The first id that is not below another; not valid if there is none.</summary>
    public readonly IdCursor AtOrAfter(StreamId id)
    {
        IdLeaf* leaf = LeafFor(id);
        if (leaf == null)
        {
            return default;
        }

        int at = leaf->LowerBound(id);
        return at < leaf->Count ? new IdCursor(leaf, at) : new IdCursor(leaf->Next, 0);
    }

    /// <summary>The last id that is not above another; not valid if there is none.</summary>
    public readonly IdCursor AtOrBefore(StreamId id)
    {
        IdLeaf* leaf = LeafFor(id);
        if (leaf == null)
        {
            return default;
        }

        int at = leaf->LowerBound(id);
        if (at < leaf->Count && leaf->Ids[at] == id)
        {
            return new IdCursor(leaf, at);
        }

        return at > 0 ? new IdCursor(leaf, at - 1) : new IdCursor(leaf->Previous, leaf->Previous == null ? 0 : leaf->Previous->Count - 1);
    }

    /// <summary>An id; not valid if it is not there.</summary>
    public readonly IdCursor Find(StreamId id)
    {
        IdLeaf* leaf = LeafFor(id);
        if (leaf == null)
        {
            return default;
        }

        int at = leaf->LowerBound(id);
        return at < leaf->Count && leaf->Ids[at] == id ? new IdCursor(leaf, at) : default;
    }

    private readonly IdLeaf* LeafFor(StreamId id)
    {
        byte* node = _root;
        for (int level = 0; level < _height; level++)
        {
            var inner = (Inner*)node;
            node = inner->Children[inner->IndexFor(id)];
        }

        return (IdLeaf*)node;
    }

    /// <summary>The value of the last id, to be written to; null if there is none.</summary>
    internal byte* LastForWrite(NativeHeap heap)
    {
        IdCursor last = Last();
        if (!last.IsValid)
        {
            return null;
        }

        return last.Leaf->References == 1 ? last.Value : FindForWrite(heap, last.Id);
    }

    /// <summary>The value of an id, to be written to; null if it is not there.</summary>
    [SkipLocalsInit]
    internal byte* FindForWrite(NativeHeap heap, StreamId id)
    {
        Step* path = stackalloc Step[MaxHeight];
        IdLeaf* leaf = Descend(path, id);
        if (leaf == null)
        {
            return null;
        }

        int at = leaf->LowerBound(id);
        return at < leaf->Count && leaf->Ids[at] == id ? Unshare(heap, leaf, path)->ValueAt(at, _valueBytes) : null;
    }

    /// <summary>The place of an id's value, to be written to; <paramref name="isNew"/> if the id was not there and the value is not set yet.</summary>
    [SkipLocalsInit]
    internal byte* Insert(NativeHeap heap, StreamId id, out bool isNew)
    {
        isNew = true;
        if (_root == null)
        {
            IdLeaf* only = NewLeaf(heap, _holdsBlocks ? 1 : 4);
            _root = (byte*)only;
            return InsertInto(only, 0, id);
        }

        Step* path = stackalloc Step[MaxHeight];
        IdLeaf* leaf = Descend(path, id);
        int at = leaf->LowerBound(id);
        leaf = Unshare(heap, leaf, path);
        if (at < leaf->Count && leaf->Ids[at] == id)
        {
            isNew = false;
            return leaf->ValueAt(at, _valueBytes);
        }

        if (leaf->Count < leaf->Capacity)
        {
            return InsertInto(leaf, at, id);
        }

        if (leaf->Capacity < MaxCapacity)
        {
            return InsertInto(Resize(heap, leaf, leaf->Capacity * 2, path), at, id);
        }

        IdLeaf* right = NewLeaf(heap, MaxCapacity);
        right->Previous = leaf;
        right->Next = leaf->Next;
        if (leaf->Next != null)
        {
            leaf->Next->Previous = right;
        }

        leaf->Next = right;
        if (at == MaxCapacity)
        {
            byte* value = InsertInto(right, 0, id);
            InsertChild(heap, path, _height - 1, id, (byte*)right);
            return value;
        }

        MoveEntries(leaf, MaxCapacity / 2, right, MaxCapacity / 2);
        InsertChild(heap, path, _height - 1, right->Ids[0], (byte*)right);
        return at <= MaxCapacity / 2 ? InsertInto(leaf, at, id) : InsertInto(right, at - (MaxCapacity / 2), id);
    }

    /// <summary>Removes an id; false if it is not there. A block that belongs to it is given back.</summary>
    [SkipLocalsInit]
    internal bool Remove(NativeHeap heap, StreamId id)
    {
        Step* path = stackalloc Step[MaxHeight];
        IdLeaf* leaf = Descend(path, id);
        int at = leaf == null ? 0 : leaf->LowerBound(id);
        if (leaf == null || at == leaf->Count || leaf->Ids[at] != id)
        {
            return false;
        }

        leaf = Unshare(heap, leaf, path);
        if (_holdsBlocks)
        {
            StreamBlock.Release(heap, *(StreamBlock**)leaf->ValueAt(at, _valueBytes));
        }

        int after = leaf->Count - at - 1;
        Buffer.MemoryCopy(leaf->Ids + at + 1, leaf->Ids + at, after * sizeof(StreamId), after * sizeof(StreamId));
        Buffer.MemoryCopy(leaf->ValueAt(at + 1, _valueBytes), leaf->ValueAt(at, _valueBytes), after * _valueBytes, after * _valueBytes);
        leaf->Count--;
        _count--;
        if (leaf->Count == 0)
        {
            RemoveLeaf(heap, leaf, path);
        }
        else if (leaf->Count <= leaf->Capacity / 4)
        {
            Tighten(heap, leaf, path);
        }

        return true;
    }

    /// <summary>Frees the first leaf with its ids; false if there is none. For destroying a tree in slices.</summary>
    [SkipLocalsInit]
    internal bool DropFirstLeaf(NativeHeap heap)
    {
        Step* path = stackalloc Step[MaxHeight];
        IdLeaf* leaf = Descend(path, StreamId.Min);
        if (leaf == null)
        {
            return false;
        }

        _count -= leaf->Count;
        RemoveLeaf(heap, leaf, path);
        return true;
    }

    /// <summary>The tree as it is now; see <see cref="FrozenTree"/>.</summary>
    internal readonly FrozenTree Freeze()
    {
        var leaves = new List<nint>();
        for (IdLeaf* leaf = First().Leaf; leaf != null; leaf = leaf->Next)
        {
            leaf->References++;
            leaves.Add((nint)leaf);
        }

        return new FrozenTree([.. leaves], _count, _valueBytes, _holdsBlocks);
    }

    /// <summary>Moves whatever of the tree, and of the blocks it holds, lies in memory that is being evacuated. What is shared stays.</summary>
    internal void Relocate(NativeHeap heap)
    {
        if (_root != null)
        {
            _root = Relocate(heap, _root, _height);
        }
    }

    private readonly byte* Relocate(NativeHeap heap, byte* node, int level)
    {
        if (level > 0)
        {
            var inner = (Inner*)node;
            for (int i = 0; i < inner->Count; i++)
            {
                inner->Children[i] = Relocate(heap, inner->Children[i], level - 1);
            }

            return heap.IsEvacuating(node, (nuint)sizeof(Inner)) ? Moved(heap, node, (nuint)sizeof(Inner)) : node;
        }

        var leaf = (IdLeaf*)node;
        if (leaf->References > 1)
        {
            return node;
        }

        for (int i = 0; _holdsBlocks && i < leaf->Count; i++)
        {
            var place = (StreamBlock**)leaf->ValueAt(i, _valueBytes);
            nuint blockSize = StreamBlock.SizeFor((*place)->Capacity);
            if ((*place)->References == 1 && heap.IsEvacuating((byte*)*place, blockSize))
            {
                *place = (StreamBlock*)Moved(heap, (byte*)*place, blockSize);
            }
        }

        nuint size = IdLeaf.SizeFor(leaf->Capacity, _valueBytes);
        if (heap.IsEvacuating(node, size))
        {
            leaf = (IdLeaf*)Moved(heap, node, size);
            LinkNeighbours(leaf);
        }

        return (byte*)leaf;
    }

    private static byte* Moved(NativeHeap heap, byte* old, nuint size)
    {
        byte* moved = heap.Alloc(size);
        Buffer.MemoryCopy(old, moved, size, size);
        heap.Free(old, size);
        return moved;
    }

    /// <summary>Gives a reference to a leaf back; the last one frees it.</summary>
    internal static void Release(NativeHeap heap, IdLeaf* leaf, int valueBytes, bool holdsBlocks)
    {
        if (--leaf->References > 0)
        {
            return;
        }

        for (int i = 0; holdsBlocks && i < leaf->Count; i++)
        {
            StreamBlock.Release(heap, *(StreamBlock**)leaf->ValueAt(i, valueBytes));
        }

        heap.Free((byte*)leaf, IdLeaf.SizeFor(leaf->Capacity, valueBytes));
    }

    // ------------------------------------------------------------------ nodes

    private readonly IdLeaf* Descend(Step* path, StreamId id)
    {
        byte* node = _root;
        for (int level = 0; level < _height; level++)
        {
            var inner = (Inner*)node;
            int index = inner->IndexFor(id);
            path[level] = new Step { Node = inner, Index = index };
            node = inner->Children[index];
        }

        return (IdLeaf*)node;
    }

    private IdLeaf* NewLeaf(NativeHeap heap, int capacity)
    {
        nuint size = IdLeaf.SizeFor(capacity, _valueBytes);
        var leaf = (IdLeaf*)heap.Alloc(size);
        *leaf = new IdLeaf { References = 1, Capacity = (ushort)capacity };
        _bytes += (long)NativeHeap.RoundUp(size);
        return leaf;
    }

    private void ReleaseLeaf(NativeHeap heap, IdLeaf* leaf)
    {
        _bytes -= (long)NativeHeap.RoundUp(IdLeaf.SizeFor(leaf->Capacity, _valueBytes));
        Release(heap, leaf, _valueBytes, _holdsBlocks);
    }

    private byte* InsertInto(IdLeaf* leaf, int at, StreamId id)
    {
        int after = leaf->Count - at;
        byte* value = leaf->ValueAt(at, _valueBytes);
        if (after > 0)
        {
            Buffer.MemoryCopy(leaf->Ids + at, leaf->Ids + at + 1, after * sizeof(StreamId), after * sizeof(StreamId));
            Buffer.MemoryCopy(value, value + _valueBytes, after * _valueBytes, after * _valueBytes);
        }

        leaf->Ids[at] = id;
        leaf->Count++;
        _count++;
        return value;
    }

    /// <summary>Moves the entries from an index on to the end of another leaf, which is this tree's own.</summary>
    private readonly void MoveEntries(IdLeaf* from, int at, IdLeaf* to, int count)
    {
        Buffer.MemoryCopy(from->Ids + at, to->Ids + to->Count, count * sizeof(StreamId), count * sizeof(StreamId));
        Buffer.MemoryCopy(from->ValueAt(at, _valueBytes), to->ValueAt(to->Count, _valueBytes), count * _valueBytes, count * _valueBytes);
        from->Count -= (ushort)count;
        to->Count += (ushort)count;
    }

    /// <summary>Makes a leaf, to which the path leads, this tree's own.</summary>
    private IdLeaf* Unshare(NativeHeap heap, IdLeaf* leaf, Step* path) => leaf->References == 1 ? leaf : Resize(heap, leaf, leaf->Capacity, path);

    /// <summary>Puts a leaf of another capacity in the place of one to which the path leads.</summary>
    private IdLeaf* Resize(NativeHeap heap, IdLeaf* leaf, int capacity, Step* path)
    {
        IdLeaf* copy = NewLeaf(heap, capacity);
        copy->Previous = leaf->Previous;
        copy->Next = leaf->Next;
        copy->Count = leaf->Count;
        Buffer.MemoryCopy(leaf->Ids, copy->Ids, leaf->Count * sizeof(StreamId), leaf->Count * sizeof(StreamId));
        Buffer.MemoryCopy(leaf->ValueAt(0, _valueBytes), copy->ValueAt(0, _valueBytes), leaf->Count * _valueBytes, leaf->Count * _valueBytes);
        for (int i = 0; _holdsBlocks && i < copy->Count; i++)
        {
            (*(StreamBlock**)copy->ValueAt(i, _valueBytes))->References++;
        }

        LinkNeighbours(copy);
        if (_height == 0)
        {
            _root = (byte*)copy;
        }
        else
        {
            path[_height - 1].Node->Children[path[_height - 1].Index] = (byte*)copy;
        }

        ReleaseLeaf(heap, leaf);
        return copy;
    }

    private static void LinkNeighbours(IdLeaf* leaf)
    {
        if (leaf->Previous != null)
        {
            leaf->Previous->Next = leaf;
        }

        if (leaf->Next != null)
        {
            leaf->Next->Previous = leaf;
        }
    }

    /// <summary>Joins a sparse leaf with a neighbour of the same parent, or, where it is the only one, gives memory back.</summary>
    private void Tighten(NativeHeap heap, IdLeaf* leaf, Step* path)
    {
        if (_height == 0)
        {
            if (leaf->Capacity > 4)
            {
                Resize(heap, leaf, leaf->Capacity / 2, path);
            }

            return;
        }

        ref Step parent = ref path[_height - 1];
        bool hasNext = parent.Index + 1 < parent.Node->Count;
        if (!hasNext && parent.Index == 0)
        {
            return;
        }

        // The right one of the two goes; the left one takes its entries, if that leaves it room to grow.
        parent.Index -= hasNext ? 0 : 1;
        var left = (IdLeaf*)parent.Node->Children[parent.Index];
        var right = (IdLeaf*)parent.Node->Children[parent.Index + 1];
        if (left->Count + right->Count > MaxCapacity * 3 / 4)
        {
            return;
        }

        left = Unshare(heap, left, path);
        if (left->Capacity < MaxCapacity)
        {
            left = Resize(heap, left, MaxCapacity, path);
        }

        parent.Index++;
        right = Unshare(heap, right, path);
        MoveEntries(right, 0, left, right->Count);
        RemoveLeaf(heap, right, path);
    }

    /// <summary>Takes a leaf to which the path leads out of the tree. Its entries are no longer counted.</summary>
    private void RemoveLeaf(NativeHeap heap, IdLeaf* leaf, Step* path)
    {
        if (leaf->Previous != null)
        {
            leaf->Previous->Next = leaf->Next;
        }

        if (leaf->Next != null)
        {
            leaf->Next->Previous = leaf->Previous;
        }

        ReleaseLeaf(heap, leaf);
        RemoveChild(heap, path, _height - 1);
    }

    private void InsertChild(NativeHeap heap, Step* path, int level, StreamId id, byte* child)
    {
        if (level < 0)
        {
            Inner* root = NewInner(heap);
            root->Count = 2;
            root->Ids[0] = StreamId.Min;
            root->Children[0] = _root;
            root->Ids[1] = id;
            root->Children[1] = child;
            _root = (byte*)root;
            _height++;
            return;
        }

        Inner* inner = path[level].Node;
        int at = path[level].Index + 1;
        if (inner->Count < MaxCapacity)
        {
            inner->Insert(at, id, child);
            return;
        }

        Inner* right = NewInner(heap);
        if (at == MaxCapacity)
        {
            right->Insert(0, id, child);
        }
        else
        {
            const int Half = MaxCapacity / 2;
            Buffer.MemoryCopy(inner->Ids + Half, right->Ids, Half * sizeof(StreamId), Half * sizeof(StreamId));
            Buffer.MemoryCopy(inner->Children + Half, right->Children, Half * sizeof(byte*), Half * sizeof(byte*));
            inner->Count = right->Count = Half;
            if (at <= Half)
            {
                inner->Insert(at, id, child);
            }
            else
            {
                right->Insert(at - Half, id, child);
            }
        }

        InsertChild(heap, path, level - 1, right->Ids[0], (byte*)right);
    }

    private void RemoveChild(NativeHeap heap, Step* path, int level)
    {
        if (level < 0)
        {
            _root = null;
            return;
        }

        Inner* inner = path[level].Node;
        inner->Remove(path[level].Index);
        if (inner->Count == 0)
        {
            FreeInner(heap, inner);
            if (level == 0)
            {
                _root = null;
                _height = 0;
                return;
            }

            RemoveChild(heap, path, level - 1);
            return;
        }

        while (_height > 0 && ((Inner*)_root)->Count == 1)
        {
            var root = (Inner*)_root;
            _root = root->Children[0];
            _height--;
            FreeInner(heap, root);
        }
    }

    private Inner* NewInner(NativeHeap heap)
    {
        var inner = (Inner*)heap.Alloc((nuint)sizeof(Inner));
        inner->Count = 0;
        _bytes += (long)NativeHeap.RoundUp((nuint)sizeof(Inner));
        return inner;
    }

    private void FreeInner(NativeHeap heap, Inner* inner)
    {
        _bytes -= (long)NativeHeap.RoundUp((nuint)sizeof(Inner));
        heap.Free((byte*)inner, (nuint)sizeof(Inner));
    }

    /// <summary>Throws if anything that must stay true is not. For tests: reads the whole tree.</summary>
    internal readonly void CheckInvariants()
    {
        long count = 0, bytes = 0;
        IdLeaf* previous = null;
        if (_root != null)
        {
            Check(_root, _height, StreamId.Min, StreamId.Max, ref previous, ref count, ref bytes);
        }

        Check(count == _count && bytes == _bytes && (previous == null || previous->Next == null), "counts");
    }

    private readonly void Check(byte* node, int level, StreamId from, StreamId to, ref IdLeaf* previous, ref long count, ref long bytes)
    {
        if (level > 0)
        {
            var inner = (Inner*)node;
            Check(inner->Count > 0 && (level < _height || inner->Count > 1), "inner count");
            bytes += (long)NativeHeap.RoundUp((nuint)sizeof(Inner));
            for (int i = 0; i < inner->Count; i++)
            {
                Check(
                    inner->Children[i], level - 1, i == 0 ? from : inner->Ids[i], i + 1 < inner->Count ? inner->Ids[i + 1] : to,
                    ref previous, ref count, ref bytes);
            }

            return;
        }

        var leaf = (IdLeaf*)node;
        bytes += (long)NativeHeap.RoundUp(IdLeaf.SizeFor(leaf->Capacity, _valueBytes));
        Check(leaf->References > 0 && leaf->Count > 0 && leaf->Count <= leaf->Capacity && leaf->Previous == previous, "leaf");
        Check(previous == null || previous->Next == leaf, "links");
        for (int i = 0; i < leaf->Count; i++)
        {
            Check(leaf->Ids[i] >= from && leaf->Ids[i] <= to && (i == 0 || leaf->Ids[i - 1] < leaf->Ids[i]), "order");
        }

        Check(previous == null || previous->Ids[previous->Count - 1] < leaf->Ids[0], "order of leaves");
        count += leaf->Count;
        previous = leaf;
    }

    private static void Check(bool condition, string what)
    {
        if (!condition)
        {
            throw new InvalidOperationException("A tree of ids is damaged: " + what + ".");
        }
    }

    private struct Step
    {
        public Inner* Node;
        public int Index;
    }

    private struct Inner
    {
        public long Count;
        private fixed ulong _ids[MaxCapacity * 2];
        private fixed ulong _children[MaxCapacity];

        public StreamId* Ids => (StreamId*)Unsafe.AsPointer(ref _ids[0]);

        public byte** Children => (byte**)Unsafe.AsPointer(ref _children[0]);

        /// <summary>The child in whose range an id is.</summary>
        public int IndexFor(StreamId id)
        {
            StreamId* ids = Ids;
            int low = 1, high = (int)Count;
            while (low < high)
            {
                int middle = (low + high) >> 1;
                if (ids[middle] <= id)
                {
                    low = middle + 1;
                }
                else
                {
                    high = middle;
                }
            }

            return low - 1;
        }

        public void Insert(int at, StreamId id, byte* child)
        {
            long after = Count - at;
            Buffer.MemoryCopy(Ids + at, Ids + at + 1, after * sizeof(StreamId), after * sizeof(StreamId));
            Buffer.MemoryCopy(Children + at, Children + at + 1, after * sizeof(byte*), after * sizeof(byte*));
            Ids[at] = id;
            Children[at] = child;
            Count++;
        }

        public void Remove(int at)
        {
            long after = Count - at - 1;
            Buffer.MemoryCopy(Ids + at + 1, Ids + at, after * sizeof(StreamId), after * sizeof(StreamId));
            Buffer.MemoryCopy(Children + at + 1, Children + at, after * sizeof(byte*), after * sizeof(byte*));
            Count--;
        }
    }
}

/// <summary>A leaf of an <see cref="IdTree"/>.</summary>
internal unsafe struct IdLeaf
{
    public uint References;
    public ushort Count;
    public ushort Capacity;
    public IdLeaf* Previous;
    public IdLeaf* Next;

    public StreamId* Ids => (StreamId*)((IdLeaf*)Unsafe.AsPointer(ref this) + 1);

    public byte* ValueAt(int index, int valueBytes) => (byte*)(Ids + Capacity) + ((long)index * valueBytes);

    public static nuint SizeFor(int capacity, int valueBytes) => (nuint)(sizeof(IdLeaf) + (capacity * (sizeof(StreamId) + valueBytes)));

    /// <summary>The index of the first id that is not below another.</summary>
    public int LowerBound(StreamId id)
    {
        StreamId* ids = Ids;
        int low = 0, high = Count;
        if (high > 0 && ids[high - 1] < id)
        {
            return high; // Ids mostly come in order.
        }

        while (low < high)
        {
            int middle = (low + high) >> 1;
            if (ids[middle] < id)
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

/// <summary>A place in an <see cref="IdTree"/>; good until the tree changes.</summary>
public unsafe struct IdCursor
{
    private IdLeaf* _leaf;
    private int _index;

    internal IdCursor(IdLeaf* leaf, int index)
    {
        _leaf = leaf;
        _index = index;
    }

    /// <summary>Whether there is an id here.</summary>
    public readonly bool IsValid => _leaf != null;

    /// <summary>The id.</summary>
    public readonly StreamId Id => _leaf->Ids[_index];

    internal readonly IdLeaf* Leaf => _leaf;

    /// <summary>The value of a tree whose values are of a pending entry.</summary>
    internal readonly PendingEntry* Pending => (PendingEntry*)_leaf->ValueAt(_index, sizeof(PendingEntry));

    /// <summary>The value of a tree of blocks.</summary>
    internal readonly StreamBlock* Block => *(StreamBlock**)_leaf->ValueAt(_index, sizeof(StreamBlock*));

    /// <summary>The value of a tree of blocks, as a place.</summary>
    internal readonly byte* Value => _leaf->ValueAt(_index, sizeof(StreamBlock*));

    /// <summary>Goes to the next id, or nowhere.</summary>
    public void MoveNext()
    {
        if (++_index == _leaf->Count)
        {
            _leaf = _leaf->Next;
            _index = 0;
        }
    }

    /// <summary>Goes to the id before, or nowhere.</summary>
    public void MovePrevious()
    {
        if (--_index < 0)
        {
            _leaf = _leaf->Previous;
            _index = _leaf == null ? 0 : _leaf->Count - 1;
        }
    }
}

/// <summary>
/// An <see cref="IdTree"/> as it was at one moment, for a snapshot: the sequence of its leaves, which the live tree copies before it
/// changes them. Made, read and released behind the MiMei's gate.
/// </summary>
internal sealed unsafe class FrozenTree(nint[] leaves, long count, int valueBytes, bool holdsBlocks)
{
    /// <summary>Number of ids.</summary>
    public long Count { get; } = count;

    /// <summary>Number of leaves.</summary>
    public int LeafCount => leaves.Length;

    /// <summary>One leaf.</summary>
    public IdLeaf* Leaf(int index) => (IdLeaf*)leaves[index];

    /// <summary>Gives the leaves back.</summary>
    public void Release(NativeHeap heap)
    {
        foreach (nint leaf in leaves)
        {
            IdTree.Release(heap, (IdLeaf*)leaf, valueBytes, holdsBlocks);
        }
    }
}
