using System.Runtime.CompilerServices;
using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb;

/// <content>
/// Effects on hashes. A small one is a pack of fields and values in turn, a big one a table of element records; a hash that was given a field
/// that expires has the layouts that hold an instant for each (see Effects.HashExpiry.cs) from then on.
/// </content>
public sealed unsafe partial class Effects
{
    /// <summary>The field has that value. True if the field is new.</summary>
    public bool HashSet(in Key key, byte* field, int fieldLength, byte* value, int valueLength)
    {
        ulong* slot = Open(key);
        EffectWriter writer = Append(EffectTag.HashSet, key);
        writer.Bytes(field, fieldLength);
        writer.Bytes(value, valueLength);
        if (slot != null && !IsHash(slot))
        {
            return false;
        }

        bool created = PutField(key, slot, field, fieldLength, value, valueLength);
        Changed(key);
        return created;
    }

    /// <summary>
    /// As <see cref="HashSetMany"/>, for a client's command: the key is looked at once. Where it holds another type nothing is recorded.
    /// </summary>
    public bool TryHashSet(in Key key, Slice* pairs, int count, out int created)
    {
        created = 0;
        ulong* slot = Open(key);
        if (slot != null)
        {
            if (!IsHash(slot))
            {
                return false;
            }

            _keyspace.Touch(KeyTable.Get(slot));
        }

        if (count > 1)
        {
            AppendItems(EffectTag.HashSetMany, key, pairs, count * 2);
            created = PutFields(key, slot, pairs, count, keepExpiry: false);
            ChangedMany(key, count);
            return true;
        }

        EffectWriter writer = Append(EffectTag.HashSet, key);
        writer.Bytes(pairs[0].Pointer, pairs[0].Length);
        writer.Bytes(pairs[1].Pointer, pairs[1].Length);
        created = PutField(key, slot, pairs[0].Pointer, pairs[0].Length, pairs[1].Pointer, pairs[1].Length) ? 1 : 0;
        Changed(key);
        return true;
    }

    /// <summary>As <see cref="HashSet"/> for several: field, value, field, value …; <paramref name="count"/> pairs. Gives the number of new fields.</summary>
    public int HashSetMany(in Key key, Slice* pairs, int count)
    {
        ulong* slot = Open(key);
        AppendItems(EffectTag.HashSetMany, key, pairs, count * 2);
        if (slot != null && !IsHash(slot))
        {
            return 0;
        }

        int created = PutFields(key, slot, pairs, count, keepExpiry: false);
        ChangedMany(key, count);
        return created;
    }

    private int PutFields(in Key key, ulong* slot, Slice* pairs, int count, bool keepExpiry)
    {
        int created = 0;
        for (int i = 0; i < count; i++)
        {
            Slice field = pairs[2 * i], value = pairs[(2 * i) + 1];
            if (PutField(key, slot, field.Pointer, field.Length, value.Pointer, value.Length, keepExpiry))
            {
                created++;
            }

            if (i == 0)
            {
                // The first may have made the key. Redis takes the number of pairs for the number of fields to come.
                slot = _database.FindSlot(key);
                if (count > _keyspace.Options.Packed.HashMaxListpackEntries)
                {
                    HashToTable(key, slot);
                }
            }
        }

        return created;
    }

    /// <summary>Adds to the integer that a field holds; a missing field counts as 0. Does nothing to what is no integer, or where 64 bits would not hold the sum.</summary>
    public void HashAdd(in Key key, byte* field, int fieldLength, long delta)
    {
        ulong* slot = Open(key);
        EffectWriter writer = Append(EffectTag.HashAdd, key);
        writer.Bytes(field, fieldLength);
        writer.Zigzag(delta);
        long old = 0;
        if (slot != null
            && (!IsHash(slot) || (TryHeldField(KeyTable.Get(slot), field, fieldLength, out Element value) && !value.TryInteger(out old))))
        {
            return;
        }

        if (delta > 0 ? old > long.MaxValue - delta : old < long.MinValue - delta)
        {
            return;
        }

        byte* text = stackalloc byte[RespInteger.MaxLength];
        PutField(key, slot, field, fieldLength, text, RespInteger.Format(old + delta, text), keepExpiry: true);
        Changed(key);
    }

    /// <summary>The fields go, and the key with the last of them. Gives the number of those that were there; nothing is recorded when none was.</summary>
    public int HashRemove(in Key key, Slice* fields, int count)
    {
        ulong* slot = Open(key);
        if (slot == null || !IsHash(slot))
        {
            return 0;
        }

        byte* record = KeyTable.Get(slot);
        int removed = (DataEncoding)Record.Encoding(record) switch
        {
            DataEncoding.HashTable => RemoveElements(EffectTag.HashRemove, key, slot, fields, count),
            DataEncoding.ExpiringTable => RemoveExpiringFields(key, slot, fields, count),
            DataEncoding.ExpiringPack => RemoveFromPack(EffectTag.HashRemove, key, slot, fields, count, entries: 3),
            _ => RemoveFromPack(EffectTag.HashRemove, key, slot, fields, count, entries: 2),
        };
        if (removed > 0)
        {
            ChangedMany(key, removed);
        }

        return removed;
    }

    private static bool IsHash(ulong* slot) => Record.Type(KeyTable.Get(slot)) == (int)DataType.Hash;

    /// <summary>Sets one field of a hash, or of one to be made where <paramref name="slot"/> is null. True if the field is new.</summary>
    private bool PutField(in Key key, ulong* slot, byte* field, int fieldLength, byte* value, int valueLength, bool keepExpiry = false)
    {
        int maxEntries = _keyspace.Options.Packed.HashMaxListpackEntries, maxLength = _keyspace.Options.Packed.HashMaxListpackValue;
        bool tooLong = fieldLength > maxLength || valueLength > maxLength;
        KeyTable* table;
        if (slot == null)
        {
            if (!tooLong && maxEntries > 0)
            {
                NewPackedHash(key, new PackValue(new ReadOnlySpan<byte>(field, fieldLength)), new PackValue(new ReadOnlySpan<byte>(value, valueLength)));
                return true;
            }

            table = KeyTable.Create(_keyspace.Heap);
            CreateOwner(key, DataType.Hash, DataEncoding.HashTable, table);
        }
        else
        {
            byte* record = KeyTable.Get(slot);
            if (Record.Encoding(record) == (int)DataEncoding.HashTable)
            {
                table = Record.NativePointer<KeyTable>(record);
            }
            else
            {
                if (Record.Encoding(record) != (int)DataEncoding.ExpiringTable)
                {
                    if (!tooLong && PutPackedField(key, slot, record, field, fieldLength, value, valueLength, maxEntries, keepExpiry, out bool isNew))
                    {
                        return isNew;
                    }

                    HashToTable(key, slot);
                }

                record = KeyTable.Get(slot);
                if (Record.Encoding(record) == (int)DataEncoding.ExpiringTable)
                {
                    return PutExpiringField(Record.NativePointer<SortedSetStructure>(record), field, fieldLength, value, valueLength, keepExpiry);
                }

                table = Record.NativePointer<KeyTable>(record);
            }
        }

        ulong hash = Hash64.Compute(field, fieldLength, _keyspace.HashSeed);
        ulong* element = table->Find(hash, field, fieldLength);
        if (element != null)
        {
            SetElementValue(table, element, value, valueLength);
            return false;
        }

        NewElement(table, field, fieldLength, hash, value, valueLength);
        return true;
    }

    private void NewPackedHash(in Key key, in PackValue field, in PackValue value)
    {
        byte* data = Record.ValueBytes(Create(key, DataType.Hash, DataEncoding.Pack, Pack.HeaderSize + field.Size + value.Size), out _);
        int length = Pack.Append(data, Pack.Initialize(data), field);
        Pack.Append(data, length, value);
    }

    /// <summary>Sets a field of a packed hash in place; false, and nothing done, if it would be too big for a pack.</summary>
    private bool PutPackedField(
        in Key key, ulong* slot, byte* record, byte* field, int fieldLength, byte* value, int valueLength, int maxEntries, bool keepExpiry, out bool isNew)
    {
        bool expires = Record.Encoding(record) == (int)DataEncoding.ExpiringPack;
        int entries = expires ? 3 : 2;
        byte* data = Record.ValueBytes(record, out long size);
        int length = (int)size;
        var packedField = new PackValue(new ReadOnlySpan<byte>(field, fieldLength));
        var packedValue = new PackValue(new ReadOnlySpan<byte>(value, valueLength));
        int entry = Pack.Find(data, length, packedField, skip: entries - 1);
        isNew = entry == Pack.None;
        int fields = (Pack.Count(data, length) / entries) + (isNew ? 1 : 0), growth = packedField.Size + packedValue.Size + (expires ? NoInstant.Size : 0);
        if (fields > maxEntries || length > MaxPackLength - growth)
        {
            return false;
        }

        if (!isNew)
        {
            ReplaceInPack(key, slot, data, length, Pack.Next(data, length, entry), packedValue);
            if (expires && !keepExpiry)
            {
                SetPackedInstant(key, slot, entry, 0);
            }

            return true;
        }

        data = Resize(key, slot, length + growth);
        length = Pack.Append(data, length, packedField);
        length = Pack.Append(data, length, packedValue);
        if (expires)
        {
            Pack.Append(data, length, NoInstant);
        }

        return true;
    }

    /// <summary>Makes a packed hash a big one; nothing happens to one that is big already.</summary>
    private void HashToTable(in Key key, ulong* slot)
    {
        byte* record = KeyTable.Get(slot);
        var encoding = (DataEncoding)Record.Encoding(record);
        if (encoding is DataEncoding.HashTable or DataEncoding.ExpiringTable)
        {
            return;
        }

        bool expires = encoding == DataEncoding.ExpiringPack;
        KeyTable* table = KeyTable.Create(_keyspace.Heap);
        SortedTree* tree = expires ? SortedTree.Create(_keyspace.Heap) : null;
        byte* scratch = stackalloc byte[2 * Element.ScratchSize];
        byte* data = Record.ValueBytes(record, out long length);
        for (int entry = Pack.HeaderSize; entry < length; entry = Pack.Skip(data, entry, expires ? 3 : 2))
        {
            Slice field = Element.OfPack(data, entry).Text(scratch), value = Element.OfPack(data, Pack.Skip(data, entry, 1)).Text(scratch + Element.ScratchSize);
            ulong hash = Hash64.Compute(field.Pointer, field.Length, _keyspace.HashSeed);
            byte* element = NewElement(table, field.Pointer, field.Length, hash, value.Pointer, value.Length);
            if (expires && HashValue.InstantAt(data, entry) is var at && at != 0)
            {
                SetInstant(table, tree, table->FindPointer(hash, element), at);
            }
        }

        if (expires)
        {
            ReplaceByOwner(key, slot, DataEncoding.ExpiringTable, NewExpiringHash(table, tree));
        }
        else
        {
            ReplaceByOwner(key, slot, DataEncoding.HashTable, table);
        }
    }

    private bool ApplyHash(ref EffectReader reader, EffectTag tag)
    {
        if (tag is < EffectTag.HashSet or > EffectTag.HashSetKeepExpiry)
        {
            return false;
        }

        if (tag > EffectTag.HashSetMany)
        {
            ApplyHashExpiry(ref reader, tag);
            return true;
        }

        Key key = reader.Key(_keyspace);
        Slice* items;
        int count;
        switch (tag)
        {
            case EffectTag.HashSet:
                byte* field = reader.Bytes(out int fieldLength);
                byte* value = reader.Bytes(out int valueLength);
                HashSet(key, field, fieldLength, value, valueLength);
                return true;
            case EffectTag.HashSetMany:
                items = ReadItems(ref reader, out count);
                HashSetMany(key, items, count / 2);
                return true;
            case EffectTag.HashRemove:
                items = ReadItems(ref reader, out count);
                HashRemove(key, items, count);
                return true;
            default:
                field = reader.Bytes(out fieldLength);
                HashAdd(key, field, fieldLength, reader.Zigzag());
                return true;
        }
    }
}
