using System.Runtime.CompilerServices;
using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb;

/// <content>Effects on hashes. A small one is a pack of fields and values in turn, a big one a table of element records.</content>
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

    /// <summary>As <see cref="HashSet"/> for several: field, value, field, value …; <paramref name="count"/> pairs. Gives the number of new fields.</summary>
    public int HashSetMany(in Key key, Slice* pairs, int count)
    {
        ulong* slot = Open(key);
        AppendItems(EffectTag.HashSetMany, key, pairs, count * 2);
        if (slot != null && !IsHash(slot))
        {
            return 0;
        }

        int created = 0;
        for (int i = 0; i < count; i++)
        {
            Slice field = pairs[2 * i], value = pairs[(2 * i) + 1];
            if (PutField(key, slot, field.Pointer, field.Length, value.Pointer, value.Length))
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

        ChangedMany(key, count);
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
            && (!IsHash(slot) || (new HashValue(_keyspace, KeyTable.Get(slot)).TryGet(field, fieldLength, out Element value) && !value.TryInteger(out old))))
        {
            return;
        }

        if (delta > 0 ? old > long.MaxValue - delta : old < long.MinValue - delta)
        {
            return;
        }

        byte* text = stackalloc byte[RespInteger.MaxLength];
        PutField(key, slot, field, fieldLength, text, RespInteger.Format(old + delta, text));
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
        int removed = Record.Encoding(record) == (int)DataEncoding.HashTable
            ? RemoveElements(EffectTag.HashRemove, key, slot, fields, count)
            : RemoveFromPack(EffectTag.HashRemove, key, slot, fields, count, entries: 2);
        if (removed > 0)
        {
            ChangedMany(key, removed);
        }

        return removed;
    }

    private static bool IsHash(ulong* slot) => Record.Type(KeyTable.Get(slot)) == (int)DataType.Hash;

    /// <summary>Sets one field of a hash, or of one to be made where <paramref name="slot"/> is null. True if the field is new.</summary>
    private bool PutField(in Key key, ulong* slot, byte* field, int fieldLength, byte* value, int valueLength)
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
                if (!tooLong && PutPackedField(key, slot, record, field, fieldLength, value, valueLength, maxEntries, out bool isNew))
                {
                    return isNew;
                }

                table = HashToTable(key, slot);
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
        in Key key, ulong* slot, byte* record, byte* field, int fieldLength, byte* value, int valueLength, int maxEntries, out bool isNew)
    {
        byte* data = Record.ValueBytes(record, out long size);
        int length = (int)size;
        var packedField = new PackValue(new ReadOnlySpan<byte>(field, fieldLength));
        var packedValue = new PackValue(new ReadOnlySpan<byte>(value, valueLength));
        int entry = Pack.Find(data, length, packedField, skip: 1);
        isNew = entry == Pack.None;
        int fields = (Pack.Count(data, length) / 2) + (isNew ? 1 : 0);
        if (fields > maxEntries || length > MaxPackLength - packedField.Size - packedValue.Size)
        {
            return false;
        }

        if (!isNew)
        {
            ReplaceInPack(key, slot, data, length, Pack.Next(data, length, entry), packedValue);
            return true;
        }

        data = Resize(key, slot, length + packedField.Size + packedValue.Size);
        length = Pack.Append(data, length, packedField);
        Pack.Append(data, length, packedValue);
        return true;
    }

    /// <summary>Makes a packed hash a big one. Gives its table; that of one that is big already.</summary>
    private KeyTable* HashToTable(in Key key, ulong* slot)
    {
        byte* record = KeyTable.Get(slot);
        if (Record.Encoding(record) == (int)DataEncoding.HashTable)
        {
            return Record.NativePointer<KeyTable>(record);
        }

        KeyTable* table = KeyTable.Create(_keyspace.Heap);
        byte* scratch = stackalloc byte[2 * Element.ScratchSize];
        using HashValue.Enumerator fields = new HashValue(_keyspace, record).Walk();
        while (fields.MoveNext())
        {
            Slice field = fields.Field.Text(scratch), value = fields.Value.Text(scratch + Element.ScratchSize);
            NewElement(table, field.Pointer, field.Length, Hash64.Compute(field.Pointer, field.Length, _keyspace.HashSeed), value.Pointer, value.Length);
        }

        ReplaceByOwner(key, slot, DataEncoding.HashTable, table);
        return table;
    }

    private bool ApplyHash(ref EffectReader reader, EffectTag tag)
    {
        if (tag is < EffectTag.HashSet or > EffectTag.HashSetMany)
        {
            return false;
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
