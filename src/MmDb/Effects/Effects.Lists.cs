using System.Runtime.InteropServices;
using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb;

/// <content>Effects on lists.</content>
public sealed unsafe partial class Effects
{
    /// <summary>Pushes elements at one side, one after another.</summary>
    public void ListPush(in Key key, ListSide side, Slice* elements, int count)
    {
        ulong* slot = Open(key);
        EffectWriter writer = Append(EffectTag.ListPush, key);
        writer.Varint((ulong)side);
        writer.Varint((ulong)count);
        for (int i = 0; i < count; i++)
        {
            writer.Bytes(elements[i].Pointer, elements[i].Length);
        }

        if (Push(key, slot, side, elements, count))
        {
            _keyspace.Dirty += count - 1;
            ChangedAndReady(key);
        }
    }

    private bool Push(in Key key, ulong* slot, ListSide side, Slice* elements, int count)
    {
        if (count == 0 || (slot != null && Record.Type(KeyTable.Get(slot)) != (int)DataType.List))
        {
            return false;
        }

        NodeLimit limit = _keyspace.Options.Packed.ListNodeLimit;
        if (slot == null || Record.Encoding(KeyTable.Get(slot)) == (int)DataEncoding.Pack)
        {
            long length = Pack.HeaderSize, entries = 0, raw = 0, packed = 0;
            if (slot != null)
            {
                entries = Pack.Count(Record.ValueBytes(KeyTable.Get(slot), out length), (int)length);
            }

            for (int i = 0; i < count; i++)
            {
                raw += elements[i].Length;
                packed += Pack.EntrySize(elements[i].Span);
            }

            if (!limit.IsExceededBy(length + Pack.ListpackOverhead + raw, entries + count))
            {
                PushPacked(key, slot, side, elements, count, (int)length, (int)packed);
                return true;
            }

            slot = ToQuicklist(key, slot);
        }

        Quicklist* list = Record.NativePointer<Quicklist>(KeyTable.Get(slot));
        for (int i = 0; i < count; i++)
        {
            if (side == ListSide.Head)
            {
                list->PushHead(_keyspace.Heap, limit, elements[i].Span);
            }
            else
            {
                list->PushTail(_keyspace.Heap, limit, elements[i].Span);
            }
        }

        return true;
    }

    private void PushPacked(in Key key, ulong* slot, ListSide side, Slice* elements, int count, int length, int added)
    {
        byte* data;
        if (slot == null)
        {
            data = Record.ValueBytes(Create(key, DataType.List, DataEncoding.Pack, length + added), out _);
            Pack.Initialize(data);
        }
        else
        {
            data = Resize(key, slot, length + added);
        }

        for (int i = 0; i < count; i++)
        {
            var value = new PackValue(elements[i].Span);
            length = side == ListSide.Head ? Pack.Prepend(data, length, value) : Pack.Append(data, length, value);
        }
    }

    /// <summary>Makes a missing or packed list a quicklist; returns its slot.</summary>
    private ulong* ToQuicklist(in Key key, ulong* slot)
    {
        Quicklist* list = Quicklist.Create(_keyspace.Heap);
        if (slot == null)
        {
            CreateOwner(key, DataType.List, DataEncoding.Quicklist, list);
            return _database.FindSlot(key);
        }

        byte* data = Record.ValueBytes(KeyTable.Get(slot), out long length);
        list->AppendPack(_keyspace.Heap, data, (int)length);
        ReplaceByOwner(key, slot, DataEncoding.Quicklist, list);
        return slot;
    }

    /// <summary>Removes elements from one side; a list that is empty then goes.</summary>
    public void ListPop(in Key key, ListSide side, long count)
    {
        ulong* slot = Open(key);
        EffectWriter writer = Append(EffectTag.ListPop, key);
        writer.Varint((ulong)side);
        writer.Varint((ulong)count);
        long popped = Pop(key, slot, side, count);
        if (popped > 0)
        {
            _keyspace.Dirty += popped - 1;
            Changed(key);
        }
    }

    /// <summary>Returns how many elements went.</summary>
    private long Pop(in Key key, ulong* slot, ListSide side, long count)
    {
        if (!IsList(slot) || count <= 0)
        {
            return 0;
        }

        long total = new ListValue(KeyTable.Get(slot)).Count;
        count = Math.Min(count, total);
        RemoveRange(key, slot, side == ListSide.Head ? 0 : total - count, count, total);
        return count;
    }

    /// <summary>Removes a range that exists; the list goes when nothing is left.</summary>
    private void RemoveRange(in Key key, ulong* slot, long index, long count, long total)
    {
        if (count == total)
        {
            Drop(key, slot);
            return;
        }

        byte* record = KeyTable.Get(slot);
        if (Record.Encoding(record) == (int)DataEncoding.Pack)
        {
            byte* data = Record.ValueBytes(record, out long length);
            long left = index + count == total
                ? Pack.DeleteRange(data, (int)length, -count, (int)count)
                : Pack.DeleteRange(data, (int)length, index, (int)count);
            Resize(key, slot, left);
            return;
        }

        Quicklist* list = Record.NativePointer<Quicklist>(record);
        if (count == 1 && index == 0)
        {
            list->PopHead(_keyspace.Heap);
        }
        else if (count == 1 && index == total - 1)
        {
            list->PopTail(_keyspace.Heap);
        }
        else
        {
            list->DeleteRange(_keyspace.Heap, index, count);
        }

        PackIfSmall(key, slot);
    }

    /// <summary>A quicklist that shrank to one node of at most half the limit becomes a pack again.</summary>
    private void PackIfSmall(in Key key, ulong* slot)
    {
        Quicklist* list = Record.NativePointer<Quicklist>(KeyTable.Get(slot));
        if (!list->TryGetOnlyPack(out byte* data, out int length)
            || _keyspace.Options.Packed.ListNodeLimit.IsExceededBy((length + Pack.ListpackOverhead) * 2L, list->Count * 2))
        {
            return;
        }

        // The nodes go right after their bytes were taken over: the record no longer points to them.
        byte* record = Reshape(key, slot, Record.HasExpire(KeyTable.Get(slot)), 0, keepBytes: 0);
        Record.SetEncoding(record, (int)DataEncoding.Pack);
        Buffer.MemoryCopy(data, Resize(key, slot, length), length, length);
        Quicklist.Destroy(_keyspace.Heap, list);
    }

    /// <summary>Replaces the element of an index (negative: from the end).</summary>
    public void ListSet(in Key key, long index, Slice element)
    {
        ulong* slot = Open(key);
        EffectWriter writer = Append(EffectTag.ListSet, key);
        writer.Zigzag(index);
        writer.Bytes(element.Pointer, element.Length);
        if (!IsList(slot) || new ListValue(KeyTable.Get(slot)).At(index) is not { IsValid: true } place)
        {
            return;
        }

        NodeLimit limit = _keyspace.Options.Packed.ListNodeLimit;
        byte* record = KeyTable.Get(slot);
        if (Record.Encoding(record) == (int)DataEncoding.Pack)
        {
            byte* data = Record.ValueBytes(record, out long length);
            // As if it were one more, though it takes the place of another: so Redis counts.
            if (limit.IsExceededBy(length + Pack.ListpackOverhead + element.Length, Pack.Count(data, (int)length) + 1L))
            {
                slot = ToQuicklist(key, slot);
                place = new ListValue(KeyTable.Get(slot)).At(index);
            }
            else
            {
                // Grow first, then replace, then give back what the old element took.
                data = Resize(key, slot, length + Pack.EntrySize(element.Span));
                Resize(key, slot, Pack.Replace(data, (int)length, place.Entry, new PackValue(element.Span)));
                Changed(key);
                return;
            }
        }

        Record.NativePointer<Quicklist>(KeyTable.Get(slot))->Replace(_keyspace.Heap, limit, place.Inner, element.Span);
        PackIfSmall(key, slot);
        Changed(key);
    }

    /// <summary>Inserts an element so that it then stands at an index, at most the count.</summary>
    public void ListInsert(in Key key, long index, Slice element)
    {
        ulong* slot = Open(key);
        EffectWriter writer = Append(EffectTag.ListInsert, key);
        writer.Varint((ulong)index);
        writer.Bytes(element.Pointer, element.Length);
        if (!IsList(slot))
        {
            return;
        }

        var list = new ListValue(KeyTable.Get(slot));
        if (index >= list.Count)
        {
            Push(key, slot, ListSide.Tail, &element, 1);
            ChangedAndReady(key);
            return;
        }

        NodeLimit limit = _keyspace.Options.Packed.ListNodeLimit;
        byte* record = KeyTable.Get(slot);
        if (Record.Encoding(record) == (int)DataEncoding.Pack)
        {
            byte* data = Record.ValueBytes(record, out long length);
            if (!limit.IsExceededBy(length + Pack.ListpackOverhead + element.Length, list.Count + 1))
            {
                int entry = list.At(index).Entry;
                data = Resize(key, slot, length + Pack.EntrySize(element.Span));
                Pack.InsertBefore(data, (int)length, entry, new PackValue(element.Span));
                ChangedAndReady(key);
                return;
            }

            slot = ToQuicklist(key, slot);
        }

        Quicklist* big = Record.NativePointer<Quicklist>(KeyTable.Get(slot));
        big->InsertBefore(_keyspace.Heap, limit, big->At(index), element.Span);
        ChangedAndReady(key);
    }

    /// <summary>Removes elements of a value: so many from the head (positive), from the tail (negative), or all (0).</summary>
    public long ListRemove(in Key key, long count, Slice element)
    {
        ulong* slot = Open(key);
        EffectWriter writer = Append(EffectTag.ListRemove, key);
        writer.Zigzag(count);
        writer.Bytes(element.Pointer, element.Length);
        if (!IsList(slot))
        {
            return 0;
        }

        bool backwards = count < 0;
        ulong wanted = count == 0 ? ulong.MaxValue : (ulong)Math.Abs((decimal)count);
        long removed = Record.Encoding(KeyTable.Get(slot)) == (int)DataEncoding.Pack
            ? RemovePacked(key, slot, wanted, backwards, element)
            : RemoveFromQuicklist(key, slot, wanted, backwards, element);
        if (removed > 0)
        {
            _keyspace.Dirty += removed - 1;
            Changed(key);
        }

        return removed;
    }

    private long RemovePacked(in Key key, ulong* slot, ulong wanted, bool backwards, Slice element)
    {
        byte* data = Record.ValueBytes(KeyTable.Get(slot), out long size);
        int length = (int)size;
        var value = new PackValue(element.Span);
        long removed = 0;
        int entry = backwards ? Pack.Last(data, length) : Pack.First(data, length);
        while (entry != Pack.None && (ulong)removed < wanted)
        {
            if (!Pack.EntryEquals(data, entry, value))
            {
                entry = backwards ? Pack.Previous(data, entry) : Pack.Next(data, length, entry);
                continue;
            }

            int before = backwards ? Pack.Previous(data, entry) : Pack.None;
            length = Pack.Delete(data, length, entry);
            removed++;
            entry = backwards ? before : entry < length ? entry : Pack.None;
        }

        if (removed == 0)
        {
            return 0;
        }

        if (Pack.IsEmpty(length))
        {
            Drop(key, slot);
        }
        else
        {
            Resize(key, slot, length);
        }

        return removed;
    }

    private long RemoveFromQuicklist(in Key key, ulong* slot, ulong wanted, bool backwards, Slice element)
    {
        Quicklist* list = Record.NativePointer<Quicklist>(KeyTable.Get(slot));
        var value = new PackValue(element.Span);
        long removed = 0;
        QuicklistCursor cursor = backwards ? list->Last() : list->First();
        while (cursor.IsValid && (ulong)removed < wanted)
        {
            if (cursor.ElementEquals(value))
            {
                list->Delete(_keyspace.Heap, ref cursor, backwards);
                removed++;
            }
            else if (backwards)
            {
                cursor.MovePrevious();
            }
            else
            {
                cursor.MoveNext();
            }
        }

        if (list->Count == 0)
        {
            Drop(key, slot);
        }
        else if (removed > 0)
        {
            PackIfSmall(key, slot);
        }

        return removed;
    }

    /// <summary>Keeps the elements from one index to another (negative: from the end).</summary>
    public void ListTrim(in Key key, long start, long stop)
    {
        ulong* slot = Open(key);
        EffectWriter writer = Append(EffectTag.ListTrim, key);
        writer.Zigzag(start);
        writer.Zigzag(stop);
        if (!IsList(slot))
        {
            return;
        }

        long total = new ListValue(KeyTable.Get(slot)).Count;
        start = Math.Max(start < 0 ? start + total : start, 0);
        stop = Math.Min(stop < 0 ? stop + total : stop, total - 1);
        _keyspace.Dirty += total - 1 - Math.Max(0, stop - start + 1);
        Changed(key);
        if (start > stop || start >= total)
        {
            Drop(key, slot);
            return;
        }

        long kept = stop - start + 1, after = total - 1 - stop;
        if (after > 0)
        {
            RemoveRange(key, slot, stop + 1, after, total);
        }

        if (start > 0)
        {
            RemoveRange(key, slot, 0, start, kept + start);
        }
    }

    /// <summary>Moves one element from an end of a list to an end of another (or of the same).</summary>
    public void ListMove(in Key from, in Key to, ListSide fromSide, ListSide toSide)
    {
        const int Inline = 512;
        ulong* slot = Open(from);
        Open(to);
        EffectWriter writer = Append(EffectTag.ListMove, from);
        writer.Bytes(to.Name, to.Length);
        writer.Varint((ulong)fromSide);
        writer.Varint((ulong)toSide);
        slot = _database.FindSlot(from);
        ulong* target = _database.FindSlot(to);
        if (!IsList(slot) || (target != null && !IsList(target)))
        {
            return;
        }

        // Turning a list of one element leaves all as it is; taking the element out first would end the key and its expiry.
        if (slot == target && new ListValue(KeyTable.Get(slot)).Count == 1)
        {
            Changed(from);
            return;
        }

        byte* scratch = stackalloc byte[Inline];
        ReadOnlySpan<byte> element = new ListValue(KeyTable.Get(slot)).End(fromSide).ToSpan(new Span<byte>(scratch, PackValue.MaxIntegerDigits));
        byte* copy = element.Length <= Inline ? scratch : (byte*)NativeMemory.Alloc((nuint)element.Length);
        element.CopyTo(new Span<byte>(copy, element.Length));
        var moved = new Slice(copy, element.Length);
        Pop(from, slot, fromSide, 1);
        Push(to, _database.FindSlot(to), toSide, &moved, 1);
        if (copy != scratch)
        {
            NativeMemory.Free(copy);
        }

        // Two keys, but one change.
        _keyspace.Dirty--;
        Changed(from);
        ChangedAndReady(to);
    }

    /// <summary>The key becomes a list of these elements; it goes when there are none.</summary>
    public void ListStore(in Key key, Slice* elements, int count)
    {
        ulong* slot = Open(key);
        EffectWriter writer = Append(EffectTag.ListStore, key);
        writer.Varint((ulong)count);
        for (int i = 0; i < count; i++)
        {
            writer.Bytes(elements[i].Pointer, elements[i].Length);
        }

        if (slot != null)
        {
            Drop(key, slot);
        }

        if (Push(key, null, ListSide.Tail, elements, count) || slot != null)
        {
            _keyspace.Dirty += Math.Max(count, 1) - 1;
            ChangedAndReady(key);
        }
    }

    private static bool IsList(ulong* slot) => slot != null && Record.Type(KeyTable.Get(slot)) == (int)DataType.List;

    private Quicklist* CopyQuicklist(Quicklist* source)
    {
        NodeLimit limit = _keyspace.Options.Packed.ListNodeLimit;
        Quicklist* copy = Quicklist.Create(_keyspace.Heap);
        Span<byte> scratch = stackalloc byte[PackValue.MaxIntegerDigits];
        for (QuicklistCursor cursor = source->First(); cursor.IsValid; cursor.MoveNext())
        {
            copy->PushTail(_keyspace.Heap, limit, cursor.ToSpan(scratch));
        }

        return copy;
    }

    private bool ApplyList(ref EffectReader reader, EffectTag tag)
    {
        if (tag is < EffectTag.ListPush or > EffectTag.ListStore)
        {
            return false;
        }

        Key key = reader.Key(_keyspace);
        Slice* items;
        int count;
        switch (tag)
        {
            case EffectTag.ListPush:
                ListSide side = Side(reader.Int32());
                items = ReadItems(ref reader, out count);
                ListPush(key, side, items, count);
                return true;
            case EffectTag.ListPop:
                side = Side(reader.Int32());
                ListPop(key, side, (long)reader.Varint());
                return true;
            case EffectTag.ListSet:
                long index = reader.Zigzag();
                ListSet(key, index, ReadItem(ref reader));
                return true;
            case EffectTag.ListInsert:
                index = (long)reader.Varint();
                ListInsert(key, index, ReadItem(ref reader));
                return true;
            case EffectTag.ListRemove:
                long wanted = reader.Zigzag();
                ListRemove(key, wanted, ReadItem(ref reader));
                return true;
            case EffectTag.ListTrim:
                long start = reader.Zigzag();
                ListTrim(key, start, reader.Zigzag());
                return true;
            case EffectTag.ListMove:
                Key to = reader.Key(_keyspace);
                side = Side(reader.Int32());
                ListMove(key, to, side, Side(reader.Int32()));
                return true;
            default:
                items = ReadItems(ref reader, out count);
                ListStore(key, items, count);
                return true;
        }
    }

    private static ListSide Side(int number) => number is 0 or 1
        ? (ListSide)number
        : throw new UnknownEffectException($"a list has no side {number}");

    private static Slice ReadItem(ref EffectReader reader)
    {
        byte* bytes = reader.Bytes(out int length);
        return new Slice(bytes, length);
    }
}
