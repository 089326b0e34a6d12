using System.Runtime.InteropServices;
using Leither.MmDb.Memory;
using Leither.Resp;

namespace Leither.MmDb.Values;

/// <summary>
/// A stream: its nodes (see <see cref="StreamNode"/>) by the id of their first entry, and its consumer groups by name.
/// </summary>
/// <remarks>
/// <para>Adding goes to the last node. Deleting marks an entry; a node whose last live entry goes, goes. Trimming drops nodes from the
/// beginning and marks entries in at most one. So no operation moves more than one node's bytes.</para>
/// <para>What must stay true: ids ascend through the nodes; <see cref="Count"/> is the number of live entries; <see cref="FirstId"/> is
/// the first live entry's id, or 0-0; no entry's id is above <see cref="LastId"/>. It lives in native memory and is used in its place.</para>
/// </remarks>
public unsafe struct StreamStructure
{
    /// <summary>A node never grows beyond this.</summary>
    internal const long MaxNodeBytes = 1 << 30;

    internal IdTree Nodes;
    internal StreamGroup** Groups;
    internal int GroupCount;
    private int _groupCapacity;

    /// <summary>Number of entries.</summary>
    public long Count { get; internal set; }

    /// <summary>The id that new ones must be above.</summary>
    public StreamId LastId { get; internal set; }

    /// <summary>The id of the first entry; 0-0 if there is none.</summary>
    public StreamId FirstId { get; internal set; }

    /// <summary>The largest id that was deleted.</summary>
    public StreamId MaxDeletedId { get; internal set; }

    /// <summary>Entries added in all its life; Redis's clients may set it, so it is no more than that.</summary>
    public ulong EntriesAdded { get; internal set; }

    /// <summary>Makes an empty stream.</summary>
    internal static StreamStructure* Create(NativeHeap heap)
    {
        // Cleared by the heap: .NET 10's JIT drops "*stream = default" before a store of zeroes to its first member, as if that covered all.
        var stream = (StreamStructure*)heap.AllocZeroed((nuint)sizeof(StreamStructure));
        stream->Nodes = new IdTree(sizeof(StreamBlock*), holdsBlocks: true);
        return stream;
    }

    /// <summary>An empty stream that has one group: for freeing the group.</summary>
    internal static StreamStructure* CreateAround(NativeHeap heap, StreamGroup* group)
    {
        StreamStructure* stream = Create(heap);
        stream->Groups = (StreamGroup**)NativeArray.Insert(heap, null, ref stream->GroupCount, ref stream->_groupCapacity, 0, group);
        return stream;
    }

    /// <summary>Frees up to so many leaves of its trees; true when the stream is gone. After the first call it may only be destroyed further.</summary>
    internal static bool DestroySome(NativeHeap heap, StreamStructure* stream, int leaves)
    {
        for (; leaves > 0; leaves--)
        {
            if (stream->Nodes.DropFirstLeaf(heap))
            {
                continue;
            }

            if (stream->GroupCount == 0)
            {
                NativeArray.Free(heap, (void**)stream->Groups, stream->_groupCapacity);
                heap.Free((byte*)stream, (nuint)sizeof(StreamStructure));
                return true;
            }

            if (StreamGroup.DestroySome(heap, stream->Groups[stream->GroupCount - 1]))
            {
                stream->GroupCount--;
            }
        }

        return false;
    }

    /// <summary>How much there is to free.</summary>
    internal readonly long Weight
    {
        get
        {
            long weight = Nodes.Count;
            for (int i = 0; i < GroupCount; i++)
            {
                weight += Groups[i]->Pending.Count + Groups[i]->ConsumerCount;
            }

            return weight;
        }
    }

    // ------------------------------------------------------------------ entries

    /// <summary>Whether the next entry, of so many bytes of fields and values, begins a node.</summary>
    internal readonly bool NeedsNode(long bytes, long maxBytes, long maxEntries)
    {
        IdCursor last = Nodes.Last();
        if (!last.IsValid)
        {
            return true;
        }

        if (last.Block->Length + Pack.ListpackOverhead + bytes >= (maxBytes is <= 0 or > MaxNodeBytes ? MaxNodeBytes : maxBytes))
        {
            return true;
        }

        if (maxEntries == 0)
        {
            return false;
        }

        StreamNode.Master master = StreamNode.ReadMaster(last.Block->Data);
        return master.Live + master.Deleted >= maxEntries;
    }

    /// <summary>Adds an entry whose id is above all others, to the last node or to a new one.</summary>
    internal void Append(NativeHeap heap, StreamId id, Slice* pairs, int count, bool beginsNode)
    {
        long needed = (long)count * StreamNode.WordOverhead + (StreamNode.FixedWords * StreamNode.WordOverhead) + StreamNode.CountSlack;
        for (int i = 0; i < count; i++)
        {
            needed += pairs[i].Length;
        }

        StreamId nodeId = id;
        StreamBlock** place = null;
        var last = (StreamBlock**)Nodes.LastForWrite(heap);
        if (!beginsNode && last != null)
        {
            nodeId = Nodes.Last().Id;
            place = last;
            Reserve(heap, place, needed);
        }
        else
        {
            int usual = 0;
            if (last != null)
            {
                usual = Math.Min((*last)->Length + ((*last)->Length >> 3), NativeHeap.MaxSlabBlock - sizeof(StreamBlock));
                Fit(heap, last);
            }

            for (int i = 0; i < count; i += 2)
            {
                needed += pairs[i].Length;
            }

            needed += ((long)count / 2 * StreamNode.WordOverhead) + (StreamNode.FixedWords * StreamNode.WordOverhead);
            StreamBlock* block = StreamBlock.Create(heap, checked((int)Math.Max(needed, usual)));
            block->Length = StreamNode.Begin(block->Data, pairs, count);
            place = (StreamBlock**)Nodes.Insert(heap, id, out _);
            *place = block;
        }

        StreamBlock* to = *place;
        to->Length = StreamNode.Append(to->Data, to->Length, StreamNode.ReadMaster(to->Data), nodeId, id, pairs, count);
        Count++;
        EntriesAdded++;
        LastId = id;
        if (Count == 1)
        {
            FirstId = id;
        }
    }

    /// <summary>Makes a block the stream's own, with room for more bytes.</summary>
    private static void Reserve(NativeHeap heap, StreamBlock** place, long bytes)
    {
        StreamBlock* block = *place;
        long needed = block->Length + bytes;
        if (block->References == 1 && needed <= block->Capacity)
        {
            return;
        }

        long capacity = Math.Max(needed, Math.Min(block->Capacity * 3L / 2, block->Capacity + (64L << 10)));
        *place = StreamBlock.Resize(heap, block, checked((int)capacity));
    }

    /// <summary>Gives back what a full node does not need.</summary>
    private static void Fit(NativeHeap heap, StreamBlock** place)
    {
        StreamBlock* block = *place;
        if (block->References == 1 && NativeHeap.RoundUp(StreamBlock.SizeFor(block->Capacity)) != NativeHeap.RoundUp(StreamBlock.SizeFor(block->Length + StreamNode.CountSlack)))
        {
            *place = StreamBlock.Resize(heap, block, block->Length + StreamNode.CountSlack);
        }
    }

    /// <summary>Deletes an entry; false if it is not there. <see cref="FirstId"/> is for the caller to set.</summary>
    internal bool Delete(NativeHeap heap, StreamId id)
    {
        var cursor = new StreamCursor(Nodes, id, id, backwards: false);
        if (!cursor.MoveNext())
        {
            return false;
        }

        StreamId nodeId = cursor.NodeId;
        int flags = cursor.FlagsAt;
        StreamNode.Master master = cursor.Master;
        Count--;
        if (master.Live == 1)
        {
            Nodes.Remove(heap, nodeId);
            return true;
        }

        var place = (StreamBlock**)Nodes.FindForWrite(heap, nodeId);
        Reserve(heap, place, StreamNode.CountSlack);
        StreamBlock* block = *place;
        StreamNode.Delete(block->Data, flags, master);
        block->Length = StreamNode.CountDeleted(block->Data, block->Length, master, 1);
        return true;
    }

    /// <summary>
    /// Removes the first <paramref name="count"/> entries, or, if <paramref name="before"/> is given, those whose ids are below it: nodes as
    /// long as they go whole, then entries of one. Gives how many went.
    /// </summary>
    internal long Trim(NativeHeap heap, long count, StreamId? before, bool dropsEmptied)
    {
        long removed = 0;
        long left = Math.Min(count, Count);
        for (IdCursor first = Nodes.First(); first.IsValid; first = Nodes.First())
        {
            StreamBlock* block = first.Block;
            StreamNode.Master master = StreamNode.ReadMaster(block->Data);
            bool whole = before is { } limit
                ? !StreamNode.TryLastId(block->Data, block->Length, first.Id, out StreamId lastId) || lastId < limit
                : left > 0 ? master.Live <= left : dropsEmptied && master.Live == 0;
            if (!whole)
            {
                removed += before is null && left == 0 ? 0 : TrimNode(heap, first.Id, master, left, before);
                break;
            }

            Nodes.Remove(heap, first.Id);
            Count -= master.Live;
            removed += master.Live;
            left -= before is null ? master.Live : 0;
        }

        if (removed > 0)
        {
            FindFirstId();
        }

        return removed;
    }

    private long TrimNode(NativeHeap heap, StreamId nodeId, in StreamNode.Master master, long left, StreamId? before)
    {
        var place = (StreamBlock**)Nodes.FindForWrite(heap, nodeId);
        Reserve(heap, place, StreamNode.CountSlack);
        StreamBlock* block = *place;
        byte* data = block->Data;
        long removed = 0;
        for (int at = StreamNode.FirstEntry(data, master); at < block->Length;)
        {
            int flagsAt = at;
            long flags = StreamNode.Number(data, ref at);
            ulong ms = (ulong)StreamNode.Number(data, ref at), seq = (ulong)StreamNode.Number(data, ref at);
            if (before is { } limit ? new StreamId(nodeId.Ms + ms, nodeId.Seq + seq) >= limit : removed == left)
            {
                break;
            }

            long words = (flags & StreamNode.SameFields) != 0 ? master.Fields : StreamNode.Number(data, ref at) * 2;
            at = Pack.Skip(data, at, (int)words + 1);
            if ((flags & StreamNode.Deleted) == 0)
            {
                StreamNode.Delete(data, flagsAt, master);
                removed++;
            }
        }

        if (removed > 0)
        {
            block->Length = StreamNode.CountDeleted(data, block->Length, master, removed);
            Count -= removed;
        }

        return removed;
    }

    /// <summary>Looks the first entry up.</summary>
    internal void FindFirstId()
    {
        var cursor = new StreamCursor(Nodes, StreamId.Min, StreamId.Max, backwards: false);
        FirstId = cursor.MoveNext() ? cursor.Id : default;
    }

    /// <summary>The last entry's id; 0-0 if there is none.</summary>
    public readonly StreamId LastEntryId()
    {
        var cursor = new StreamCursor(Nodes, StreamId.Min, StreamId.Max, backwards: true);
        return cursor.MoveNext() ? cursor.Id : default;
    }

    /// <summary>Whether an entry is there.</summary>
    public readonly bool Contains(StreamId id) => new StreamCursor(Nodes, id, id, backwards: false).MoveNext();

    /// <summary>Adds a node as it is, behind all others. Its content is known to be sound.</summary>
    internal void AppendNode(NativeHeap heap, StreamId nodeId, byte* data, int length)
    {
        StreamBlock* block = StreamBlock.Create(heap, length + StreamNode.CountSlack);
        Buffer.MemoryCopy(data, block->Data, block->Capacity, length);
        block->Length = length;
        *(StreamBlock**)Nodes.Insert(heap, nodeId, out _) = block;
        Count += StreamNode.ReadMaster(data).Live;
    }

    // ------------------------------------------------------------------ groups

    /// <summary>A group by name, or null.</summary>
    internal readonly StreamGroup* FindGroup(ReadOnlySpan<byte> name)
    {
        int at = IndexOfGroup(name);
        return at >= 0 ? Groups[at] : null;
    }

    private readonly int IndexOfGroup(ReadOnlySpan<byte> name)
    {
        int low = 0, high = GroupCount;
        while (low < high)
        {
            int middle = (low + high) >> 1;
            int order = Groups[middle]->Name.SequenceCompareTo(name);
            if (order == 0)
            {
                return middle;
            }

            if (order < 0)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return ~low;
    }

    /// <summary>Adds a group; null if its name is taken.</summary>
    internal StreamGroup* AddGroup(NativeHeap heap, ReadOnlySpan<byte> name, StreamId lastId, long entriesRead)
    {
        int at = ~IndexOfGroup(name);
        if (at < 0)
        {
            return null;
        }

        StreamGroup* group = StreamGroup.Create(heap, name);
        group->LastId = lastId;
        group->EntriesRead = entriesRead;
        void** groups = NativeArray.Insert(heap, (void**)Groups, ref GroupCount, ref _groupCapacity, at, group);
        Groups = (StreamGroup**)groups;
        return group;
    }

    /// <summary>Takes a group out and gives it to the caller; null if it is not there.</summary>
    internal StreamGroup* DetachGroup(ReadOnlySpan<byte> name)
    {
        int at = IndexOfGroup(name);
        if (at < 0)
        {
            return null;
        }

        StreamGroup* group = Groups[at];
        NativeArray.Remove((void**)Groups, ref GroupCount, at);
        return group;
    }

    /// <summary>A deep copy.</summary>
    internal static StreamStructure* Copy(NativeHeap heap, StreamStructure* stream)
    {
        StreamStructure* copy = Create(heap);
        for (IdCursor node = stream->Nodes.First(); node.IsValid; node.MoveNext())
        {
            copy->AppendNode(heap, node.Id, node.Block->Data, node.Block->Length);
        }

        copy->LastId = stream->LastId;
        copy->FirstId = stream->FirstId;
        copy->MaxDeletedId = stream->MaxDeletedId;
        copy->EntriesAdded = stream->EntriesAdded;
        for (int i = 0; i < stream->GroupCount; i++)
        {
            StreamGroup* group = stream->Groups[i];
            StreamGroup* other = copy->AddGroup(heap, group->Name, group->LastId, group->EntriesRead);
            for (int j = 0; j < group->ConsumerCount; j++)
            {
                StreamConsumer* consumer = group->Consumers[j];
                StreamConsumer* twin = other->AddConsumer(heap, consumer->Name, consumer->SeenMs);
                twin->ActiveMs = consumer->ActiveMs;
            }

            for (IdCursor pending = group->Pending.First(); pending.IsValid; pending.MoveNext())
            {
                StreamConsumer* twin = other->FindConsumer(group->ConsumerAt(pending.Pending->Consumer)->Name);
                other->Assign(heap, pending.Id, twin, pending.Pending->DeliveredMs, pending.Pending->Deliveries);
            }
        }

        return copy;
    }

    /// <summary>Moves whatever of the stream lies in memory that is being evacuated; gives its address, which may be another.</summary>
    internal static StreamStructure* Relocate(NativeHeap heap, StreamStructure* stream)
    {
        stream->Nodes.Relocate(heap);
        for (int i = 0; i < stream->GroupCount; i++)
        {
            stream->Groups[i] = StreamGroup.Relocate(heap, stream->Groups[i]);
        }

        stream->Groups = (StreamGroup**)NativeArray.Relocate(heap, (void**)stream->Groups, stream->_groupCapacity);
        return (StreamStructure*)NativeArray.Relocate(heap, (byte*)stream, (nuint)sizeof(StreamStructure));
    }

    /// <summary>Bytes of all but the nodes' blocks, of which so many are measured and the rest taken to be like them.</summary>
    internal readonly long SizeBytes(long samples)
    {
        long bytes = (long)NativeHeap.RoundUp((nuint)sizeof(StreamStructure)) + Nodes.SizeBytes + NativeArray.SizeBytes(_groupCapacity);
        long measured = 0, blocks = 0;
        for (IdCursor node = Nodes.First(); node.IsValid && measured < samples; node.MoveNext(), measured++)
        {
            blocks += (long)NativeHeap.RoundUp(StreamBlock.SizeFor(node.Block->Capacity));
        }

        bytes += measured == 0 ? 0 : (long)((double)blocks / measured * Nodes.Count);
        for (int i = 0; i < GroupCount; i++)
        {
            bytes += Groups[i]->SizeBytes;
        }

        return bytes;
    }

    /// <summary>Throws if anything that must stay true is not. For tests: reads the whole stream.</summary>
    internal readonly void CheckInvariants()
    {
        Nodes.CheckInvariants();
        long live = 0;
        StreamId last = default;
        for (IdCursor node = Nodes.First(); node.IsValid; node.MoveNext())
        {
            StreamBlock* block = node.Block;
            Check(Pack.Validate(block->Data, block->Length) && StreamNode.Validate(block->Data, block->Length, node.Id), "node");
            Check(node.Id > last && StreamNode.TryLastId(block->Data, block->Length, node.Id, out last) && last <= LastId, "order");
            live += StreamNode.ReadMaster(block->Data).Live;
        }

        Check(live == Count, "count");
        StreamStructure copy = this;
        copy.FindFirstId();
        Check(copy.FirstId == FirstId, "first id");
        for (int i = 0; i < GroupCount; i++)
        {
            Check(i == 0 || Groups[i - 1]->Name.SequenceCompareTo(Groups[i]->Name) < 0, "names of groups");
            Groups[i]->CheckInvariants();
        }
    }

    internal static void Check(bool condition, string what)
    {
        if (!condition)
        {
            throw new InvalidOperationException("A stream is damaged: " + what + ".");
        }
    }
}

/// <summary>What a group knows of an entry that was delivered and not acknowledged.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 4)]
internal struct PendingEntry
{
    /// <summary>When it was delivered last, in Unix milliseconds.</summary>
    public long DeliveredMs;

    /// <summary>How often it was delivered.</summary>
    public ulong Deliveries;

    /// <summary>The slot of the consumer that has it.</summary>
    public uint Consumer;
}

/// <summary>A consumer group: how far it has read, and what of that is pending with whom.</summary>
/// <remarks>
/// What must stay true: every pending entry is in the group's tree and in that of exactly one consumer, the one it names. Consumers are
/// named by slots, which stay when others go; the sorted array is what is listed and searched.
/// </remarks>
internal unsafe struct StreamGroup
{
    public StreamId LastId;

    /// <summary>How many of the stream's entries were read so far, as far as that is known; -1 if not.</summary>
    public long EntriesRead;

    public IdTree Pending;

    /// <summary>By name.</summary>
    public StreamConsumer** Consumers;
    public int ConsumerCount;
    private int _consumerCapacity;

    // A free slot holds twice the number of the next free one (or of the end), plus one: no address is odd.
    private StreamConsumer** _slots;
    private int _slotCount;
    private int _slotCapacity;
    private int _freeSlot;
    private int _nameLength;

    public ReadOnlySpan<byte> Name => new((StreamGroup*)System.Runtime.CompilerServices.Unsafe.AsPointer(ref this) + 1, _nameLength);

    public static StreamGroup* Create(NativeHeap heap, ReadOnlySpan<byte> name)
    {
        var group = (StreamGroup*)heap.Alloc((nuint)(sizeof(StreamGroup) + name.Length));
        *group = default;
        group->Pending = new IdTree(sizeof(PendingEntry));
        group->EntriesRead = -1;
        group->_nameLength = name.Length;
        group->_freeSlot = -1;
        name.CopyTo(new Span<byte>(group + 1, name.Length));
        return group;
    }

    /// <summary>Frees a leaf or a consumer; true when the group is gone.</summary>
    public static bool DestroySome(NativeHeap heap, StreamGroup* group)
    {
        if (group->Pending.DropFirstLeaf(heap))
        {
            return false;
        }

        if (group->ConsumerCount > 0)
        {
            StreamConsumer* consumer = group->Consumers[group->ConsumerCount - 1];
            if (!consumer->Pending.DropFirstLeaf(heap))
            {
                StreamConsumer.Free(heap, consumer);
                group->ConsumerCount--;
            }

            return false;
        }

        NativeArray.Free(heap, (void**)group->Consumers, group->_consumerCapacity);
        NativeArray.Free(heap, (void**)group->_slots, group->_slotCapacity);
        heap.Free((byte*)group, (nuint)(sizeof(StreamGroup) + group->_nameLength));
        return true;
    }

    /// <summary>The consumer of a slot.</summary>
    public readonly StreamConsumer* ConsumerAt(uint slot) => _slots[slot];

    /// <summary>A consumer by name, or null.</summary>
    public readonly StreamConsumer* FindConsumer(ReadOnlySpan<byte> name)
    {
        int at = IndexOf(name);
        return at >= 0 ? Consumers[at] : null;
    }

    private readonly int IndexOf(ReadOnlySpan<byte> name)
    {
        int low = 0, high = ConsumerCount;
        while (low < high)
        {
            int middle = (low + high) >> 1;
            int order = Consumers[middle]->Name.SequenceCompareTo(name);
            if (order == 0)
            {
                return middle;
            }

            if (order < 0)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return ~low;
    }

    /// <summary>Adds a consumer that was seen at that time; null if its name is taken.</summary>
    public StreamConsumer* AddConsumer(NativeHeap heap, ReadOnlySpan<byte> name, long seenMs)
    {
        int at = ~IndexOf(name);
        if (at < 0)
        {
            return null;
        }

        StreamConsumer* consumer = StreamConsumer.Create(heap, name);
        consumer->SeenMs = seenMs;
        consumer->ActiveMs = -1;
        Consumers = (StreamConsumer**)NativeArray.Insert(heap, (void**)Consumers, ref ConsumerCount, ref _consumerCapacity, at, consumer);
        if (_freeSlot >= 0)
        {
            consumer->Slot = (uint)_freeSlot;
            _freeSlot = (int)((nint)_slots[_freeSlot] >> 1);
            _slots[consumer->Slot] = consumer;
        }
        else
        {
            consumer->Slot = (uint)_slotCount;
            _slots = (StreamConsumer**)NativeArray.Insert(heap, (void**)_slots, ref _slotCount, ref _slotCapacity, _slotCount, consumer);
        }

        return consumer;
    }

    /// <summary>Removes a consumer with what is pending with it; gives how much that was, or -1 if there is no such consumer.</summary>
    public long RemoveConsumer(NativeHeap heap, ReadOnlySpan<byte> name)
    {
        int at = IndexOf(name);
        if (at < 0)
        {
            return -1;
        }

        StreamConsumer* consumer = Consumers[at];
        long pending = consumer->Pending.Count;
        for (IdCursor id = consumer->Pending.First(); id.IsValid; id.MoveNext())
        {
            Pending.Remove(heap, id.Id);
        }

        while (consumer->Pending.DropFirstLeaf(heap))
        {
        }

        _slots[consumer->Slot] = (StreamConsumer*)(((nint)_freeSlot << 1) | 1);
        _freeSlot = (int)consumer->Slot;
        NativeArray.Remove((void**)Consumers, ref ConsumerCount, at);
        StreamConsumer.Free(heap, consumer);
        return pending;
    }

    /// <summary>An entry is pending with this consumer, and with no other.</summary>
    public void Assign(NativeHeap heap, StreamId id, StreamConsumer* consumer, long deliveredMs, ulong deliveries)
    {
        var entry = (PendingEntry*)Pending.Insert(heap, id, out bool isNew);
        if (!isNew && entry->Consumer != consumer->Slot)
        {
            _slots[entry->Consumer]->Pending.Remove(heap, id);
            isNew = true;
        }

        *entry = new PendingEntry { DeliveredMs = deliveredMs, Deliveries = deliveries, Consumer = consumer->Slot };
        if (isNew)
        {
            consumer->Pending.Insert(heap, id, out _);
        }
    }

    /// <summary>An entry is no longer pending; false if it was not.</summary>
    public bool Acknowledge(NativeHeap heap, StreamId id)
    {
        IdCursor entry = Pending.Find(id);
        if (!entry.IsValid)
        {
            return false;
        }

        _slots[entry.Pending->Consumer]->Pending.Remove(heap, id);
        Pending.Remove(heap, id);
        return true;
    }

    public static StreamGroup* Relocate(NativeHeap heap, StreamGroup* group)
    {
        group->Pending.Relocate(heap);
        for (int i = 0; i < group->ConsumerCount; i++)
        {
            StreamConsumer* consumer = StreamConsumer.Relocate(heap, group->Consumers[i]);
            group->Consumers[i] = consumer;
            group->_slots[consumer->Slot] = consumer;
        }

        group->Consumers = (StreamConsumer**)NativeArray.Relocate(heap, (void**)group->Consumers, group->_consumerCapacity);
        group->_slots = (StreamConsumer**)NativeArray.Relocate(heap, (void**)group->_slots, group->_slotCapacity);
        return (StreamGroup*)NativeArray.Relocate(heap, (byte*)group, (nuint)(sizeof(StreamGroup) + group->_nameLength));
    }

    public readonly long SizeBytes
    {
        get
        {
            long bytes = (long)NativeHeap.RoundUp((nuint)(sizeof(StreamGroup) + _nameLength)) + Pending.SizeBytes
                + NativeArray.SizeBytes(_consumerCapacity) + NativeArray.SizeBytes(_slotCapacity);
            for (int i = 0; i < ConsumerCount; i++)
            {
                bytes += Consumers[i]->SizeBytes;
            }

            return bytes;
        }
    }

    public readonly void CheckInvariants()
    {
        Pending.CheckInvariants();
        long pending = 0;
        for (int i = 0; i < ConsumerCount; i++)
        {
            StreamConsumer* consumer = Consumers[i];
            StreamStructure.Check(i == 0 || Consumers[i - 1]->Name.SequenceCompareTo(consumer->Name) < 0, "names of consumers");
            StreamStructure.Check(_slots[consumer->Slot] == consumer, "slot");
            consumer->Pending.CheckInvariants();
            pending += consumer->Pending.Count;
            for (IdCursor id = consumer->Pending.First(); id.IsValid; id.MoveNext())
            {
                IdCursor entry = Pending.Find(id.Id);
                StreamStructure.Check(entry.IsValid && entry.Pending->Consumer == consumer->Slot, "pending entry");
            }
        }

        StreamStructure.Check(pending == Pending.Count, "count of pending entries");
    }
}

/// <summary>A consumer of a group.</summary>
internal unsafe struct StreamConsumer
{
    /// <summary>When it was last heard of, in Unix milliseconds.</summary>
    public long SeenMs;

    /// <summary>When it last got something; -1: never.</summary>
    public long ActiveMs;

    public IdTree Pending;
    public uint Slot;
    private int _nameLength;

    public ReadOnlySpan<byte> Name => new((StreamConsumer*)System.Runtime.CompilerServices.Unsafe.AsPointer(ref this) + 1, _nameLength);

    public readonly long SizeBytes => (long)NativeHeap.RoundUp((nuint)(sizeof(StreamConsumer) + _nameLength)) + Pending.SizeBytes;

    public static StreamConsumer* Create(NativeHeap heap, ReadOnlySpan<byte> name)
    {
        var consumer = (StreamConsumer*)heap.Alloc((nuint)(sizeof(StreamConsumer) + name.Length));
        *consumer = default;
        consumer->Pending = new IdTree(0);
        consumer->_nameLength = name.Length;
        name.CopyTo(new Span<byte>(consumer + 1, name.Length));
        return consumer;
    }

    public static void Free(NativeHeap heap, StreamConsumer* consumer) => heap.Free((byte*)consumer, (nuint)(sizeof(StreamConsumer) + consumer->_nameLength));

    public static StreamConsumer* Relocate(NativeHeap heap, StreamConsumer* consumer)
    {
        consumer->Pending.Relocate(heap);
        return (StreamConsumer*)NativeArray.Relocate(heap, (byte*)consumer, (nuint)(sizeof(StreamConsumer) + consumer->_nameLength));
    }
}

/// <summary>Growing arrays of addresses in a heap.</summary>
internal static unsafe class NativeArray
{
    private const int FirstCapacity = 2;

    public static long SizeBytes(int capacity) => capacity == 0 ? 0 : (long)NativeHeap.RoundUp(SizeFor(capacity));

    /// <summary>Inserts an address; gives the array, which may have moved.</summary>
    public static void** Insert(NativeHeap heap, void** array, ref int count, ref int capacity, int at, void* item)
    {
        if (count == capacity)
        {
            int larger = capacity == 0 ? FirstCapacity : checked(capacity * 2);
            var grown = (void**)heap.Alloc(SizeFor(larger));
            Buffer.MemoryCopy(array, grown, (long)SizeFor(larger), (long)SizeFor(count));
            Free(heap, array, capacity);
            array = grown;
            capacity = larger;
        }

        long after = (long)SizeFor(count - at);
        Buffer.MemoryCopy(array + at, array + at + 1, after, after);
        array[at] = item;
        count++;
        return array;
    }

    public static void Remove(void** array, ref int count, int at)
    {
        count--;
        long after = (long)SizeFor(count - at);
        Buffer.MemoryCopy(array + at + 1, array + at, after, after);
    }

    public static void Free(NativeHeap heap, void** array, int capacity)
    {
        if (capacity > 0)
        {
            heap.Free((byte*)array, SizeFor(capacity));
        }
    }

    public static void** Relocate(NativeHeap heap, void** array, int capacity) =>
        capacity == 0 ? array : (void**)Relocate(heap, (byte*)array, SizeFor(capacity));

    /// <summary>Moves a block that lies in memory that is being evacuated.</summary>
    public static byte* Relocate(NativeHeap heap, byte* block, nuint size)
    {
        if (!heap.IsEvacuating(block, size))
        {
            return block;
        }

        byte* moved = heap.Alloc(size);
        Buffer.MemoryCopy(block, moved, size, size);
        heap.Free(block, size);
        return moved;
    }

    private static nuint SizeFor(int count) => (nuint)count * (nuint)sizeof(void*);
}
