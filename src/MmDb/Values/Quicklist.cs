using Leither.MmDb.Memory;

namespace Leither.MmDb.Values;

/// <summary>
/// A big list: doubly linked nodes, each of which holds a <see cref="Pack"/> in a block of its own. Where nodes begin, split and
/// join follows Redis's quicklist, so that a list changes its encoding where it does in Redis.
/// </summary>
/// <remarks>
/// <code>
/// node    40 bytes   [previous, next, block, offset, length, count, plain]
/// block              [references u32, capacity] [slack] [pack: length bytes from offset on] [slack]
/// </code>
/// Slack in front of the pack makes pushing and popping at the head as cheap as at the tail: the entries stay where they are,
/// only the pack's header moves. A plain node holds one element that is too large for a pack, as bare bytes.
///
/// <para>A block may be shared with a <see cref="FrozenList"/>, which is how a snapshot reads a list that goes on changing:
/// a block with more than one reference is copied before it is written to. Counting is not atomic: the gate of the MiMei is
/// held whenever lists or frozen lists are made, changed or released.</para>
///
/// <para>What must stay true: no node is empty; counts are exact; a pack that is not plain is canonical. A list lives in native
/// memory and is used through its pointer; any change ends all cursors but the one that made it.</para>
/// </remarks>
public unsafe struct Quicklist
{
    private QuicklistNode* _head;
    private QuicklistNode* _tail;
    private long _count;
    private long _nodeCount;
    private long _blockBytes;

    /// <summary>Number of elements.</summary>
    public readonly long Count => _count;

    /// <summary>Number of nodes.</summary>
    public readonly long NodeCount => _nodeCount;

    /// <summary>Bytes that the list takes.</summary>
    public readonly long SizeBytes => sizeof(Quicklist) + (_nodeCount * sizeof(QuicklistNode)) + _blockBytes;

    /// <summary>Makes an empty list.</summary>
    public static Quicklist* Create(NativeHeap heap)
    {
        Quicklist* list = (Quicklist*)heap.Alloc((nuint)sizeof(Quicklist));
        *list = default;
        return list;
    }

    /// <summary>Frees a list.</summary>
    public static void Destroy(NativeHeap heap, Quicklist* list)
    {
        while (list->DropHeadNode(heap))
        {
        }

        heap.Free((byte*)list, (nuint)sizeof(Quicklist));
    }

    /// <summary>Frees the first node with its elements; false if there is none. For destroying a list in slices.</summary>
    public bool DropHeadNode(NativeHeap heap)
    {
        if (_head == null)
        {
            return false;
        }

        RemoveNode(heap, _head);
        return true;
    }

    /// <summary>A cursor on the first element; not valid if there is none.</summary>
    public readonly QuicklistCursor First() => QuicklistCursor.AtStart(_head);

    /// <summary>A cursor on the last element; not valid if there is none.</summary>
    public readonly QuicklistCursor Last() => QuicklistCursor.AtEnd(_tail);

    /// <summary>A cursor on the element of an index (-1 is the last), sought from the nearer end; not valid if there is none.</summary>
    public readonly QuicklistCursor At(long index)
    {
        if (index < 0)
        {
            index += _count;
        }

        if ((ulong)index >= (ulong)_count)
        {
            return default;
        }

        QuicklistNode* node;
        if (index < _count / 2)
        {
            for (node = _head; index >= node->Count; node = node->Next)
            {
                index -= node->Count;
            }
        }
        else
        {
            index = _count - index; // from the end, where 1 is the last
            for (node = _tail; index > node->Count; node = node->Previous)
            {
                index -= node->Count;
            }

            index = node->Count - index;
        }

        return new QuicklistCursor(node, node->IsPlain ? Pack.HeaderSize : Pack.At(node->Data, node->Length, index));
    }

    /// <summary>The list's only node as a pack, if it has one node and that is a pack.</summary>
    public readonly bool TryGetOnlyPack(out byte* data, out int length)
    {
        bool only = _nodeCount == 1 && !_head->IsPlain;
        data = only ? _head->Data : null;
        length = only ? _head->Length : 0;
        return only;
    }

    /// <summary>Adds an element at the beginning.</summary>
    public void PushHead(NativeHeap heap, in NodeLimit limit, ReadOnlySpan<byte> element)
    {
        if (_head != null && Allows(_head, limit, element.Length))
        {
            Prepend(heap, _head, new PackValue(element));
        }
        else
        {
            Link(NewNode(heap, limit, element, slackInFront: true), null, _head);
        }
    }

    /// <summary>Adds an element at the end.</summary>
    public void PushTail(NativeHeap heap, in NodeLimit limit, ReadOnlySpan<byte> element)
    {
        if (_tail != null && Allows(_tail, limit, element.Length))
        {
            PackValue value = new(element);
            InsertInto(heap, _tail, _tail->Length, value);
        }
        else
        {
            Link(NewNode(heap, limit, element, slackInFront: false), _tail, null);
        }
    }

    /// <summary>Adds a node that is a copy of a pack, at the end: how a small list becomes a big one.</summary>
    public void AppendPack(NativeHeap heap, byte* data, int length)
    {
        int count = Pack.Count(data, length);
        if (count == 0)
        {
            return;
        }

        QuicklistNode* node = NewNode(heap, length, growth: length / 2, slackInFront: false);
        Buffer.MemoryCopy(data, node->Data, length, length);
        node->Length = length;
        node->Count = count;
        Link(node, _tail, null);
    }

    /// <summary>Adds a node that is one element, too large for a pack, at the end.</summary>
    public void AppendPlain(NativeHeap heap, byte* element, int length)
    {
        QuicklistNode* node = NewNode(heap, length, growth: 0, slackInFront: false);
        node->IsPlain = true;
        Buffer.MemoryCopy(element, node->Data, length, length);
        node->Length = length;
        node->Count = 1;
        Link(node, _tail, null);
    }

    /// <summary>Removes the first element; false if there is none.</summary>
    public bool PopHead(NativeHeap heap)
    {
        if (_head == null)
        {
            return false;
        }

        RemoveEntries(heap, _head, Pack.HeaderSize, 1);
        return true;
    }

    /// <summary>Removes the last element; false if there is none.</summary>
    public bool PopTail(NativeHeap heap)
    {
        if (_tail == null)
        {
            return false;
        }

        RemoveEntries(heap, _tail, _tail->IsPlain ? Pack.HeaderSize : Pack.Last(_tail->Data, _tail->Length), 1);
        return true;
    }

    /// <summary>Adds an element before the cursor's, which ends the cursor.</summary>
    public void InsertBefore(NativeHeap heap, in NodeLimit limit, in QuicklistCursor cursor, ReadOnlySpan<byte> element) =>
        Insert(heap, limit, cursor.Node, cursor.Entry, element, after: false);

    /// <summary>Adds an element after the cursor's, which ends the cursor.</summary>
    public void InsertAfter(NativeHeap heap, in NodeLimit limit, in QuicklistCursor cursor, ReadOnlySpan<byte> element) =>
        Insert(heap, limit, cursor.Node, cursor.Entry, element, after: true);

    /// <summary>Puts an element in the place of the cursor's, which ends the cursor.</summary>
    public void Replace(NativeHeap heap, in NodeLimit limit, in QuicklistCursor cursor, ReadOnlySpan<byte> element)
    {
        QuicklistNode* node = cursor.Node;
        bool large = limit.IsLarge(element.Length);
        if (node->IsPlain)
        {
            Insert(heap, limit, node, cursor.Entry, element, after: true);
            RemoveNode(heap, node);
            return;
        }

        // As in Redis, a pack may outgrow its limit here; it is only kept from becoming as large as a plain node.
        if (!large && (long)node->Length + element.Length < NodeLimit.DefaultPackedThreshold)
        {
            PackValue value = new(element);
            int old = Pack.SizeOf(node->Data, cursor.Entry);
            MakeRoom(heap, node, Math.Max(0, value.Size - old), inFront: false);
            node->Length = Pack.Replace(node->Data, node->Length, cursor.Entry, value);
            Shrink(heap, node);
            return;
        }

        int end = cursor.Entry + Pack.SizeOf(node->Data, cursor.Entry);
        if (end < node->Length)
        {
            Split(heap, node, end);
        }

        QuicklistNode* added = NewNode(heap, limit, element, slackInFront: false);
        Link(added, node, node->Next);
        if (node->Count == 1)
        {
            RemoveNode(heap, node);
            return;
        }

        RemoveEntries(heap, node, cursor.Entry, 1);
        MergeAround(heap, limit, added);
    }

    /// <summary>
    /// Removes the cursor's element and moves the cursor on: to the element after it, or, if <paramref name="backward"/>, to
    /// the one before it.
    /// </summary>
    public void Delete(NativeHeap heap, ref QuicklistCursor cursor, bool backward = false)
    {
        QuicklistNode* node = cursor.Node;
        QuicklistNode* previous = node->Previous;
        QuicklistNode* next = node->Next;
        int entry = cursor.Entry;
        int before = backward && !node->IsPlain ? Pack.Previous(node->Data, entry) : Pack.None;
        bool remains = node->Count > 1;
        RemoveEntries(heap, node, entry, 1);
        if (backward)
        {
            cursor = before != Pack.None ? new QuicklistCursor(node, before) : QuicklistCursor.AtEnd(previous);
        }
        else
        {
            cursor = remains && entry < node->Length ? new QuicklistCursor(node, entry) : QuicklistCursor.AtStart(next);
        }
    }

    /// <summary>Removes <paramref name="count"/> elements (or as many as there are) from an index (not negative) on.</summary>
    public void DeleteRange(NativeHeap heap, long index, long count)
    {
        QuicklistCursor cursor = At(index);
        count = Math.Min(count, _count - index);
        if (index < 0 || !cursor.IsValid || count <= 0)
        {
            return;
        }

        QuicklistNode* node = cursor.Node;
        int entry = cursor.Entry;
        while (count > 0)
        {
            QuicklistNode* next = node->Next;
            if (entry == Pack.HeaderSize && count >= node->Count)
            {
                count -= node->Count;
                RemoveNode(heap, node);
            }
            else
            {
                long before = _count;
                RemoveEntries(heap, node, entry, (int)Math.Min(count, int.MaxValue));
                count -= before - _count;
            }

            node = next;
            entry = Pack.HeaderSize;
        }
    }

    /// <summary>
    /// A frozen copy of the list as it is now, for a snapshot: it shares the blocks, which the list copies before it changes
    /// them. To be released by <see cref="FrozenList.Release"/>.
    /// </summary>
    public readonly FrozenList* Freeze(NativeHeap heap)
    {
        FrozenList* frozen = FrozenList.Create(heap, _nodeCount, _count);
        FrozenNode* at = frozen->Nodes;
        for (QuicklistNode* node = _head; node != null; node = node->Next, at++)
        {
            node->Block->References++;
            *at = new FrozenNode { Block = node->Block, Offset = node->Offset, Length = node->Length, Count = node->Count, IsPlain = node->IsPlain };
        }

        return frozen;
    }

    /// <summary>
    /// Moves whatever of the list lies in memory that is being evacuated; gives the list's address, which may be another.
    /// Blocks shared with a frozen list stay.
    /// </summary>
    public static Quicklist* Relocate(NativeHeap heap, Quicklist* list)
    {
        for (QuicklistNode* node = list->_head; node != null; node = node->Next)
        {
            PackBlock* block = node->Block;
            nuint size = PackBlock.SizeFor(block->Capacity);
            if (block->References == 1 && heap.IsEvacuating((byte*)block, size))
            {
                node->Block = (PackBlock*)Moved(heap, (byte*)block, size);
            }

            if (heap.IsEvacuating((byte*)node, (nuint)sizeof(QuicklistNode)))
            {
                node = (QuicklistNode*)Moved(heap, (byte*)node, (nuint)sizeof(QuicklistNode));
                list->LinkNeighbours(node);
            }
        }

        return heap.IsEvacuating((byte*)list, (nuint)sizeof(Quicklist)) ? (Quicklist*)Moved(heap, (byte*)list, (nuint)sizeof(Quicklist)) : list;
    }

    /// <summary>Throws if anything that must stay true is not. For tests and DEBUG commands: reads the whole list.</summary>
    internal readonly void CheckInvariants()
    {
        long count = 0;
        long nodes = 0;
        long bytes = 0;
        QuicklistNode* previous = null;
        for (QuicklistNode* node = _head; node != null; previous = node, node = node->Next)
        {
            Check(node->Previous == previous, "links");
            Check(node->Block->References > 0, "references");
            Check(node->Offset >= 0 && node->Offset + node->Length <= node->Block->Capacity, "block");
            Check(node->IsPlain ? node->Count == 1 : node->Count > 0 && Pack.Validate(node->Data, node->Length), "pack");
            Check(node->IsPlain || Pack.Count(node->Data, node->Length) == node->Count, "count of a node");
            count += node->Count;
            nodes++;
            bytes += (long)PackBlock.SizeFor(node->Block->Capacity);
        }

        Check(previous == _tail, "tail");
        Check(count == _count && nodes == _nodeCount && bytes == _blockBytes, "counts");
    }

    private static void Check(bool condition, string what)
    {
        if (!condition)
        {
            throw new InvalidOperationException("A list is damaged: " + what + ".");
        }
    }

    private static bool Allows(QuicklistNode* node, in NodeLimit limit, int elementBytes) =>
        node != null && !node->IsPlain && !limit.IsLarge(elementBytes) && limit.Allows(node->Length, node->Count, elementBytes);

    private static bool AllowsMerge(QuicklistNode* left, QuicklistNode* right, in NodeLimit limit) =>
        left != null && right != null && !left->IsPlain && !right->IsPlain
        && limit.AllowsMerge(left->Length, left->Count, right->Length, right->Count);

    private void Insert(NativeHeap heap, in NodeLimit limit, QuicklistNode* node, int entry, ReadOnlySpan<byte> element, bool after)
    {
        // The place is the boundary at this offset of the node, whose start and end are its edges.
        int boundary = node->IsPlain || !after ? entry : entry + Pack.SizeOf(node->Data, entry);
        bool atEdge = node->IsPlain || (after ? boundary >= node->Length : boundary == Pack.HeaderSize);
        QuicklistNode* neighbour = after ? node->Next : node->Previous;
        if (Allows(node, limit, element.Length))
        {
            PackValue value = new(element);
            if (boundary == Pack.HeaderSize)
            {
                Prepend(heap, node, value);
            }
            else
            {
                InsertInto(heap, node, boundary, value);
            }
        }
        else if (atEdge && Allows(neighbour, limit, element.Length))
        {
            PackValue value = new(element);
            if (after)
            {
                Prepend(heap, neighbour, value);
            }
            else
            {
                InsertInto(heap, neighbour, neighbour->Length, value);
            }
        }
        else if (atEdge)
        {
            QuicklistNode* added = NewNode(heap, limit, element, slackInFront: false);
            Link(added, after ? node : neighbour, after ? neighbour : node);
        }
        else
        {
            QuicklistNode* right = Split(heap, node, boundary);
            if (limit.IsLarge(element.Length))
            {
                Link(NewNode(heap, limit, element, slackInFront: false), node, right);
                return;
            }

            PackValue value = new(element);
            if (after)
            {
                Prepend(heap, right, value);
            }
            else
            {
                InsertInto(heap, node, node->Length, value);
            }

            MergeAround(heap, limit, after ? node : right);
        }
    }

    private void InsertInto(NativeHeap heap, QuicklistNode* node, int at, in PackValue value)
    {
        MakeRoom(heap, node, value.Size, inFront: false);
        node->Length = Pack.InsertBefore(node->Data, node->Length, at, value);
        node->Count++;
        _count++;
    }

    // The entries stay; the header moves down, and the new entry comes where it was.
    private void Prepend(NativeHeap heap, QuicklistNode* node, in PackValue value)
    {
        MakeRoom(heap, node, value.Size, inFront: true);
        node->Offset -= value.Size;
        node->Length += value.Size;
        node->Count++;
        _count++;
        byte* data = node->Data;
        Pack.WriteCount(data, node->Count);
        value.Write(data + Pack.HeaderSize);
    }

    private void RemoveEntries(NativeHeap heap, QuicklistNode* node, int entry, int count)
    {
        if (node->Count == 1 || (entry == Pack.HeaderSize && count >= node->Count))
        {
            RemoveNode(heap, node);
            return;
        }

        MakeRoom(heap, node, 0, inFront: false);
        byte* data = node->Data;
        int end = entry;
        int removed = 0;
        for (; removed < count && end < node->Length; removed++)
        {
            end += Pack.SizeOf(data, end);
        }

        _count -= removed;
        node->Count -= removed;
        if (entry == Pack.HeaderSize)
        {
            int size = end - entry;
            node->Offset += size;
            node->Length -= size;
            Pack.WriteCount(node->Data, node->Count);
        }
        else
        {
            node->Length = Pack.DeleteBytes(data, node->Length, entry, end, removed);
        }

        Shrink(heap, node);
    }

    // What lies from the boundary on becomes a node of its own, to the right.
    private QuicklistNode* Split(NativeHeap heap, QuicklistNode* node, int boundary)
    {
        MakeRoom(heap, node, 0, inFront: false);
        byte* data = node->Data;
        int kept = 0;
        for (int entry = Pack.HeaderSize; entry < boundary; kept++)
        {
            entry += Pack.SizeOf(data, entry);
        }

        int moved = node->Count - kept;
        int size = node->Length - boundary;
        QuicklistNode* right = NewNode(heap, Pack.HeaderSize + size, growth: 64, slackInFront: true);
        right->Length = Pack.CopyRange(data, boundary, node->Length, moved, right->Data);
        right->Count = moved;
        node->Length = boundary;
        node->Count = kept;
        Pack.WriteCount(data, kept);
        _count -= moved; // linking counts them again
        Link(right, node, node->Next);
        Shrink(heap, node);
        return right;
    }

    // After a split: the two pairs beside the node, then the node itself with either neighbour, as far as the limit lets them.
    private void MergeAround(NativeHeap heap, in NodeLimit limit, QuicklistNode* center)
    {
        QuicklistNode* previous = center->Previous;
        if (previous != null && AllowsMerge(previous->Previous, previous, limit))
        {
            Merge(heap, previous->Previous, previous);
        }

        QuicklistNode* next = center->Next;
        if (next != null && AllowsMerge(next, next->Next, limit))
        {
            Merge(heap, next, next->Next);
        }

        if (AllowsMerge(center->Previous, center, limit))
        {
            center = Merge(heap, center->Previous, center);
        }

        if (AllowsMerge(center, center->Next, limit))
        {
            Merge(heap, center, center->Next);
        }
    }

    private QuicklistNode* Merge(NativeHeap heap, QuicklistNode* left, QuicklistNode* right)
    {
        MakeRoom(heap, left, right->Length - Pack.HeaderSize, inFront: false);
        left->Length = Pack.AppendAll(left->Data, left->Length, right->Data, right->Length);
        left->Count += right->Count;
        _count += right->Count; // removing the node counts them off
        RemoveNode(heap, right);
        return left;
    }

    // Makes the node's block its own, with room for more bytes in front of the pack or behind it.
    private void MakeRoom(NativeHeap heap, QuicklistNode* node, int bytes, bool inFront)
    {
        PackBlock* block = node->Block;
        int room = inFront ? node->Offset : block->Capacity - node->Offset - node->Length;
        if (block->References > 1 || room < bytes)
        {
            MakeRoomSlowly(heap, node, bytes, inFront);
        }
    }

    private void MakeRoomSlowly(NativeHeap heap, QuicklistNode* node, int bytes, bool inFront)
    {
        PackBlock* block = node->Block;
        int needed = checked(node->Length + bytes);
        if (block->References == 1 && needed <= block->Capacity - (block->Capacity >> 3))
        {
            // Much of the block is slack at the wrong end.
            int to = inFront ? block->Capacity - node->Length : 0;
            Buffer.MemoryCopy(node->Data, block->Data + to, node->Length, node->Length);
            node->Offset = to;
            return;
        }

        PackBlock* larger = NewBlock(heap, needed, needed / 2);
        int offset = inFront ? larger->Capacity - node->Length : 0;
        Buffer.MemoryCopy(node->Data, larger->Data + offset, node->Length, node->Length);
        ReleaseBlock(heap, block);
        node->Block = larger;
        node->Offset = offset;
    }

    // Gives memory back when most of a large block became slack.
    private void Shrink(NativeHeap heap, QuicklistNode* node)
    {
        PackBlock* block = node->Block;
        if (block->Capacity < 4096 || node->Length > block->Capacity >> 2)
        {
            return;
        }

        PackBlock* smaller = NewBlock(heap, node->Length, node->Length / 4);
        Buffer.MemoryCopy(node->Data, smaller->Data, node->Length, node->Length);
        ReleaseBlock(heap, block);
        node->Block = smaller;
        node->Offset = 0;
    }

    private QuicklistNode* NewNode(NativeHeap heap, in NodeLimit limit, ReadOnlySpan<byte> element, bool slackInFront)
    {
        if (limit.IsLarge(element.Length))
        {
            QuicklistNode* plain = NewNode(heap, element.Length, growth: 0, slackInFront: false);
            plain->IsPlain = true;
            element.CopyTo(new Span<byte>(plain->Data, element.Length));
            plain->Length = element.Length;
            plain->Count = 1;
            return plain;
        }

        PackValue value = new(element);
        int length = Pack.HeaderSize + value.Size;
        QuicklistNode* node = NewNode(heap, length, growth: length, slackInFront);
        node->Length = length;
        node->Count = 1;
        Pack.Append(node->Data, Pack.Initialize(node->Data), value);
        return node;
    }

    private QuicklistNode* NewNode(NativeHeap heap, int length, int growth, bool slackInFront)
    {
        QuicklistNode* node = (QuicklistNode*)heap.Alloc((nuint)sizeof(QuicklistNode));
        *node = default;
        node->Block = NewBlock(heap, length, growth);
        node->Offset = slackInFront ? node->Block->Capacity - length : 0;
        return node;
    }

    // Room to grow is taken as long as the block fits a slab; beyond that only what is needed, and an eighth of it.
    private PackBlock* NewBlock(NativeHeap heap, int needed, int growth)
    {
        int largest = NativeHeap.MaxSlabBlock - sizeof(PackBlock);
        nuint size = needed > largest
            ? PackBlock.SizeFor(needed + Math.Min(growth, needed >> 3))
            : NativeHeap.RoundUp(PackBlock.SizeFor(Math.Min(needed + growth, largest)));
        PackBlock* block = (PackBlock*)heap.Alloc(size);
        block->References = 1;
        block->Capacity = (int)(size - (nuint)sizeof(PackBlock));
        _blockBytes += (long)size;
        return block;
    }

    private void ReleaseBlock(NativeHeap heap, PackBlock* block)
    {
        _blockBytes -= (long)PackBlock.SizeFor(block->Capacity);
        PackBlock.Release(heap, block);
    }

    private void Link(QuicklistNode* node, QuicklistNode* previous, QuicklistNode* next)
    {
        node->Previous = previous;
        node->Next = next;
        LinkNeighbours(node);
        _nodeCount++;
        _count += node->Count;
    }

    private void LinkNeighbours(QuicklistNode* node)
    {
        *(node->Previous == null ? Field(ref _head) : &node->Previous->Next) = node;
        *(node->Next == null ? Field(ref _tail) : &node->Next->Previous) = node;
    }

    private void RemoveNode(NativeHeap heap, QuicklistNode* node)
    {
        *(node->Previous == null ? Field(ref _head) : &node->Previous->Next) = node->Next;
        *(node->Next == null ? Field(ref _tail) : &node->Next->Previous) = node->Previous;
        _nodeCount--;
        _count -= node->Count;
        ReleaseBlock(heap, node->Block);
        heap.Free((byte*)node, (nuint)sizeof(QuicklistNode));
    }

    // The list itself is in native memory, so its fields do not move.
    private static QuicklistNode** Field(ref QuicklistNode* field)
    {
        fixed (QuicklistNode** pointer = &field)
        {
            return pointer;
        }
    }

    private static byte* Moved(NativeHeap heap, byte* old, nuint size)
    {
        byte* moved = heap.Alloc(size);
        Buffer.MemoryCopy(old, moved, size, size);
        heap.Free(old, size);
        return moved;
    }
}

internal unsafe struct QuicklistNode
{
    public QuicklistNode* Previous;
    public QuicklistNode* Next;
    public PackBlock* Block;
    public int Offset;
    public int Length;
    public int Count;
    public bool IsPlain;

    public readonly byte* Data => Block->Data + Offset;
}

/// <summary>The memory of one node's pack, shared by reference count.</summary>
internal unsafe struct PackBlock
{
    public uint References;
    public int Capacity;

    /// <summary>The first byte behind the header. Only on a block in its place, never on a copy.</summary>
    public byte* Data
    {
        get
        {
            fixed (PackBlock* self = &this)
            {
                return (byte*)(self + 1);
            }
        }
    }

    public static nuint SizeFor(int capacity) => (nuint)(uint)capacity + (nuint)sizeof(PackBlock);

    public static void Release(NativeHeap heap, PackBlock* block)
    {
        if (--block->References == 0)
        {
            heap.Free((byte*)block, SizeFor(block->Capacity));
        }
    }
}
