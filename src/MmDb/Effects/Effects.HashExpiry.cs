using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb;

/// <content>
/// Effects on the expiry of hashes' fields. A hash gets another layout with the first field that expires, and keeps it: small, its pack has an
/// instant behind each value (0: none); big, the records of fields that expire hold the instant, and a tree has them in order.
/// </content>
public sealed unsafe partial class Effects
{
    /// <summary>The entry behind a packed value that does not expire.</summary>
    private static PackValue NoInstant => new(0);

    /// <summary>As <see cref="HashSetMany"/>; but the expiry that fields have stays.</summary>
    public int HashSetKeepExpiry(in Key key, Slice* pairs, int count)
    {
        ulong* slot = Open(key);
        AppendItems(EffectTag.HashSetKeepExpiry, key, pairs, count * 2);
        if (slot != null && !IsHash(slot))
        {
            return 0;
        }

        int created = PutFields(key, slot, pairs, count, keepExpiry: true);
        ChangedMany(key, count);
        return created;
    }

    /// <summary>The fields that are there expire at an instant (Unix milliseconds).</summary>
    public void HashExpireAt(in Key key, long at, Slice* fields, int count)
    {
        ulong* slot = Open(key);
        AppendInstant(EffectTag.HashExpireAt, key, at, fields, count);
        if (slot == null || !IsHash(slot))
        {
            return;
        }

        if ((DataEncoding)Record.Encoding(KeyTable.Get(slot)) is DataEncoding.Pack or DataEncoding.HashTable)
        {
            HashToExpiring(key, slot);
        }

        int changed = 0;
        for (int i = 0; i < count; i++)
        {
            changed += SetFieldInstant(key, slot, fields[i], at) ? 1 : 0;
        }

        if (changed > 0)
        {
            _keyspace.FieldExpiry.Note(_database, key, at);
            ChangedMany(key, changed);
        }
    }

    /// <summary>The fields no longer expire.</summary>
    public void HashPersist(in Key key, Slice* fields, int count)
    {
        ulong* slot = Open(key);
        AppendItems(EffectTag.HashPersist, key, fields, count);
        if (slot == null || (DataEncoding)Record.Encoding(KeyTable.Get(slot)) is not (DataEncoding.ExpiringPack or DataEncoding.ExpiringTable))
        {
            return;
        }

        for (int i = 0; i < count; i++)
        {
            SetFieldInstant(key, slot, fields[i], 0);
        }

        Changed(key);
    }

    /// <summary>The fields go that expire at or before an instant, and the key with the last. Gives their number.</summary>
    public int HashExpireFields(in Key key, long instant, Slice* fields, int count)
    {
        ulong* slot = Open(key);
        AppendInstant(EffectTag.HashExpireFields, key, instant, fields, count);
        if (slot == null)
        {
            return 0;
        }

        _keyspace.Feed?.FieldsExpired(_database, key, fields, count);
        int removed = 0;
        bool isEmpty = false;
        switch ((DataEncoding)Record.Encoding(KeyTable.Get(slot)))
        {
            case DataEncoding.ExpiringTable:
                var structure = Record.NativePointer<SortedSetStructure>(KeyTable.Get(slot));
                for (int i = 0; i < count; i++)
                {
                    ulong hash = Hash64.Compute(fields[i].Pointer, fields[i].Length, _keyspace.HashSeed);
                    ulong* element = structure->Members->Find(hash, fields[i].Pointer, fields[i].Length);
                    if (element != null && Record.HasExpire(KeyTable.Get(element)) && Record.ExpireAt(KeyTable.Get(element)) <= instant)
                    {
                        RemoveExpiringField(structure, hash, element);
                        removed++;
                    }
                }

                isEmpty = structure->Members->Count == 0;
                break;
            case DataEncoding.ExpiringPack:
                byte* data = Record.ValueBytes(KeyTable.Get(slot), out long size);
                int length = (int)size;
                for (int i = 0; i < count; i++)
                {
                    int entry = Pack.Find(data, length, new PackValue(fields[i].Span), skip: 2);
                    if (entry != Pack.None && HashValue.InstantAt(data, entry) is var at && at != 0 && at <= instant)
                    {
                        length = Pack.Delete(data, length, entry, 3);
                        removed++;
                    }
                }

                isEmpty = Pack.IsEmpty(length);
                if (!isEmpty && removed > 0)
                {
                    Resize(key, slot, length);
                }

                break;
        }

        if (removed == 0)
        {
            return 0;
        }

        _keyspace.Stats.ExpiredFields += removed;
        if (isEmpty)
        {
            Drop(key, slot);
        }

        ChangedMany(key, removed);
        _keyspace.Notify(KeyspaceEvents.Hash, "hexpired"u8, _database, key);
        if (isEmpty)
        {
            SignalGone(key);
            _keyspace.Notify(KeyspaceEvents.Generic, "del"u8, _database, key);
        }

        return removed;
    }

    /// <summary>A hash that came as a whole goes on the agenda of those with fields that expire.</summary>
    private void NoteFieldExpiry(in Key key, byte* record)
    {
        if ((DataEncoding)Record.Encoding(record) is DataEncoding.ExpiringPack or DataEncoding.ExpiringTable
            && new HashValue(_keyspace, record).NextExpiry is > 0 and var at)
        {
            _keyspace.FieldExpiry.Note(_database, key, at);
        }
    }

    private void AppendInstant(EffectTag tag, in Key key, long instant, Slice* fields, int count)
    {
        EffectWriter writer = Append(tag, key);
        if (!writer.IsOn)
        {
            return;
        }

        writer.Int64(instant);
        writer.Varint((ulong)count);
        for (int i = 0; i < count; i++)
        {
            writer.Bytes(fields[i].Pointer, fields[i].Length);
        }
    }

    /// <summary>A field's value as it is held, whether it has expired or not: effects do not look at the clock.</summary>
    private bool TryHeldField(byte* record, byte* field, int length, out Element value)
    {
        switch ((DataEncoding)Record.Encoding(record))
        {
            case DataEncoding.ExpiringTable:
                ulong* slot = Record.NativePointer<SortedSetStructure>(record)->Members->Find(Hash64.Compute(field, length, _keyspace.HashSeed), field, length);
                value = slot != null ? Element.OfValue(KeyTable.Get(slot)) : default;
                return slot != null;
            case DataEncoding.ExpiringPack:
                byte* data = Record.ValueBytes(record, out long size);
                int entry = Pack.Find(data, (int)size, new PackValue(new ReadOnlySpan<byte>(field, length)), skip: 2);
                value = entry != Pack.None ? Element.OfPack(data, Pack.Skip(data, entry, 1)) : default;
                return entry != Pack.None;
            default:
                return new HashValue(_keyspace, record).TryGet(field, length, out value);
        }
    }

    // ------------------------------------------------------------------ layouts

    private void HashToExpiring(in Key key, ulong* slot)
    {
        byte* record = KeyTable.Get(slot);
        if (Record.Encoding(record) == (int)DataEncoding.HashTable)
        {
            // The table stays, so that a running snapshot goes on with it.
            Record.SetNativePointer(record, NewExpiringHash(Record.NativePointer<KeyTable>(record), SortedTree.Create(_keyspace.Heap)));
            Record.SetEncoding(record, (int)DataEncoding.ExpiringTable);
            return;
        }

        byte* data = Record.ValueBytes(record, out long size);
        int length = (int)size, fields = Pack.Count(data, length) / 2, instant = NoInstant.Size;
        data = Resize(key, slot, length + (fields * instant));
        int entry = Pack.HeaderSize;
        for (int i = 0; i < fields; i++)
        {
            int value = Pack.Skip(data, entry, 1);
            length = Pack.InsertAfter(data, length, value, NoInstant);
            entry = Pack.Skip(data, value, 2);
        }

        Record.SetEncoding(KeyTable.Get(slot), (int)DataEncoding.ExpiringPack);
    }

    private SortedSetStructure* NewExpiringHash(KeyTable* fields, SortedTree* tree)
    {
        var structure = (SortedSetStructure*)_keyspace.Heap.Alloc((nuint)sizeof(SortedSetStructure));
        structure->Members = fields;
        structure->Tree = tree;
        return structure;
    }

    private SortedSetStructure* CopyExpiringHash(SortedSetStructure* hash)
    {
        SortedSetStructure* copy = NewExpiringHash(KeyTable.Create(_keyspace.Heap), SortedTree.Create(_keyspace.Heap));
        using var walk = new TableWalk(hash->Members);
        while (walk.MoveNext())
        {
            byte* name = Record.Key(walk.Current), value = Record.ValueBytes(walk.Current, out long length);
            int nameLength = Record.KeyLength(walk.Current);
            ulong nameHash = Hash64.Compute(name, nameLength, _keyspace.HashSeed);
            byte* element = NewElement(copy->Members, name, nameLength, nameHash, value, length);
            if (Record.HasExpire(walk.Current))
            {
                SetInstant(copy->Members, copy->Tree, copy->Members->FindPointer(nameHash, element), Record.ExpireAt(walk.Current));
            }
        }

        return copy;
    }

    /// <summary>Sets the instant of a field of a hash that has room for them; 0: none. False if there is no such field.</summary>
    private bool SetFieldInstant(in Key key, ulong* slot, Slice field, long at)
    {
        byte* record = KeyTable.Get(slot);
        if (Record.Encoding(record) == (int)DataEncoding.ExpiringTable)
        {
            var structure = Record.NativePointer<SortedSetStructure>(record);
            ulong* element = structure->Members->Find(Hash64.Compute(field.Pointer, field.Length, _keyspace.HashSeed), field.Pointer, field.Length);
            if (element != null)
            {
                SetInstant(structure->Members, structure->Tree, element, at);
            }

            return element != null;
        }

        byte* data = Record.ValueBytes(record, out long length);
        int entry = Pack.Find(data, (int)length, new PackValue(field.Span), skip: 2);
        if (entry != Pack.None)
        {
            SetPackedInstant(key, slot, entry, at);
        }

        return entry != Pack.None;
    }

    private void SetPackedInstant(in Key key, ulong* slot, int entry, long at)
    {
        byte* data = Record.ValueBytes(KeyTable.Get(slot), out long length);
        ReplaceInPack(key, slot, data, (int)length, Pack.Skip(data, entry, 2), new PackValue(at));
    }

    /// <summary>Sets the instant of a field of a big hash; 0: none. The field's record moves when it gets or loses one.</summary>
    private void SetInstant(KeyTable* fields, SortedTree* tree, ulong* slot, long at)
    {
        byte* element = KeyTable.Get(slot);
        CaptureElement(fields, element);
        if (Record.HasExpire(element))
        {
            tree->Remove(_keyspace.Heap, Record.ExpireAt(element), element);
        }

        element = Record.WithExpire(_keyspace.Heap, element, at != 0);
        KeyTable.Set(slot, element);
        if (at != 0)
        {
            Record.SetExpireAt(element, at);
            tree->Insert(_keyspace.Heap, at, element);
        }
    }

    /// <summary>Sets a field of a big hash with room for instants. True if it is new.</summary>
    private bool PutExpiringField(SortedSetStructure* structure, byte* field, int fieldLength, byte* value, int valueLength, bool keepExpiry)
    {
        KeyTable* fields = structure->Members;
        ulong hash = Hash64.Compute(field, fieldLength, _keyspace.HashSeed);
        ulong* slot = fields->Find(hash, field, fieldLength);
        if (slot == null)
        {
            NewElement(fields, field, fieldLength, hash, value, valueLength);
            return true;
        }

        // The record may move with its new value: the tree must not know it meanwhile.
        long at = Record.HasExpire(KeyTable.Get(slot)) ? Record.ExpireAt(KeyTable.Get(slot)) : 0;
        if (at != 0)
        {
            SetInstant(fields, structure->Tree, slot, 0);
        }

        SetElementValue(fields, slot, value, valueLength);
        if (at != 0 && keepExpiry)
        {
            SetInstant(fields, structure->Tree, slot, at);
        }

        return false;
    }

    /// <summary>As <see cref="RemoveElements"/>, of a hash with room for instants.</summary>
    private int RemoveExpiringFields(in Key key, ulong* slot, Slice* items, int count)
    {
        var structure = Record.NativePointer<SortedSetStructure>(KeyTable.Get(slot));
        int removed = 0;
        for (int i = 0; i < count; i++)
        {
            ulong hash = Hash64.Compute(items[i].Pointer, items[i].Length, _keyspace.HashSeed);
            ulong* element = structure->Members->Find(hash, items[i].Pointer, items[i].Length);
            if (element == null)
            {
                continue;
            }

            if (removed++ == 0)
            {
                AppendItems(EffectTag.HashRemove, key, items, count);
            }

            RemoveExpiringField(structure, hash, element);
            if (structure->Members->Count == 0)
            {
                Drop(key, slot);
                break;
            }
        }

        return removed;
    }

    private void RemoveExpiringField(SortedSetStructure* structure, ulong hash, ulong* slot)
    {
        byte* element = KeyTable.Get(slot);
        if (Record.HasExpire(element))
        {
            structure->Tree->Remove(_keyspace.Heap, Record.ExpireAt(element), element);
        }

        RemoveElement(structure->Members, hash, slot);
    }

    private void ApplyHashExpiry(ref EffectReader reader, EffectTag tag)
    {
        Key key = reader.Key(_keyspace);
        long instant = tag is EffectTag.HashExpireAt or EffectTag.HashExpireFields ? reader.Int64() : 0;
        Slice* items = ReadItems(ref reader, out int count);
        switch (tag)
        {
            case EffectTag.HashExpireAt:
                HashExpireAt(key, instant, items, count);
                break;
            case EffectTag.HashPersist:
                HashPersist(key, items, count);
                break;
            case EffectTag.HashExpireFields:
                HashExpireFields(key, instant, items, count);
                break;
            default:
                HashSetKeepExpiry(key, items, count / 2);
                break;
        }
    }
}
