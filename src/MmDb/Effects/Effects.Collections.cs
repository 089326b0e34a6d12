using System.Runtime.CompilerServices;
using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb;

/// <content>
/// What the effects on collections share: edits of packed values in place, and the element records of big collections (a field
/// or member as the record's key, in a table of the collection's own).
/// </content>
public sealed unsafe partial class Effects
{
    /// <summary>Packs stay below this length whatever the thresholds say.</summary>
    internal const int MaxPackLength = 1 << 30;

    /// <summary>Logs a counted run of byte strings that belong to one key.</summary>
    private void AppendItems(EffectTag tag, in Key key, Slice* items, int count)
    {
        EffectWriter writer = Append(tag, key);
        if (!writer.IsOn)
        {
            return;
        }

        writer.Varint((ulong)count);
        for (int i = 0; i < count; i++)
        {
            writer.Bytes(items[i].Pointer, items[i].Length);
        }
    }

    /// <summary>Tells of a change of several elements: each counts.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void ChangedMany(in Key key, int elements)
    {
        _keyspace.Dirty += elements - 1;
        Changed(key);
    }

    // ------------------------------------------------------------------ packed values

    /// <summary>Puts a value in the place of an entry of a packed value. The record may move.</summary>
    private void ReplaceInPack(in Key key, ulong* slot, byte* data, int length, int entry, in PackValue value)
    {
        int growth = value.Size - Pack.SizeOf(data, entry);
        if (growth > 0)
        {
            data = Resize(key, slot, length + growth);
        }

        Pack.Replace(data, length, entry, value);
        if (growth < 0)
        {
            Resize(key, slot, length + growth);
        }
    }

    /// <summary>
    /// Removes items from a packed value, each with what belongs to it (<paramref name="entries"/> entries in all), and the key with
    /// the last. Logs when it meets the first that is there; gives the number removed.
    /// </summary>
    private int RemoveFromPack(EffectTag tag, in Key key, ulong* slot, Slice* items, int count, int entries)
    {
        byte* data = Record.ValueBytes(KeyTable.Get(slot), out long size);
        int length = (int)size, removed = 0;
        for (int i = 0; i < count; i++)
        {
            int entry = Pack.Find(data, length, new PackValue(items[i].Span), entries - 1);
            if (entry == Pack.None)
            {
                continue;
            }

            if (removed++ == 0)
            {
                AppendItems(tag, key, items, count);
            }

            length = Pack.Delete(data, length, entry, entries);
            if (Pack.IsEmpty(length))
            {
                Drop(key, slot);
                return removed;
            }
        }

        if (removed > 0)
        {
            Resize(key, slot, length);
        }

        return removed;
    }

    // ------------------------------------------------------------------ element records

    /// <summary>As <see cref="RemoveFromPack"/>, of a big collection. The items may lie in the records that go.</summary>
    private int RemoveElements(EffectTag tag, in Key key, ulong* slot, Slice* items, int count)
    {
        KeyTable* table = Record.NativePointer<KeyTable>(KeyTable.Get(slot));
        int removed = 0;
        for (int i = 0; i < count; i++)
        {
            ulong hash = Hash64.Compute(items[i].Pointer, items[i].Length, _keyspace.HashSeed);
            ulong* element = table->Find(hash, items[i].Pointer, items[i].Length);
            if (element == null)
            {
                continue;
            }

            if (removed++ == 0)
            {
                AppendItems(tag, key, items, count);
            }

            RemoveElement(table, hash, element);
            if (table->Count == 0)
            {
                Drop(key, slot);
                break;
            }
        }

        return removed;
    }

    /// <summary>Makes the record of an element, with its value, and puts it into its collection's table.</summary>
    private byte* NewElement(KeyTable* table, byte* name, int nameLength, ulong hash, byte* value, long valueLength)
    {
        byte* element = CreateElement(_keyspace, table, name, nameLength, valueLength);
        if (valueLength != 0)
        {
            Buffer.MemoryCopy(value, Record.ValueBytes(element, out _), valueLength, valueLength);
        }

        table->Insert(_keyspace.Heap, hash, element);
        return element;
    }

    /// <summary>Makes the record of an element whose value is not set yet. It is newer than a running snapshot, and no part of it.</summary>
    /// <param name="keyspace">The data.</param>
    /// <param name="structure">What the key's record points to; null: the collection is new as well.</param>
    /// <param name="name">The element.</param>
    /// <param name="nameLength">Bytes of it.</param>
    /// <param name="valueLength">Bytes of the value that is to come.</param>
    internal static byte* CreateElement(Keyspace keyspace, void* structure, byte* name, int nameLength, long valueLength)
    {
        bool outside = valueLength > Record.MaxInlineValue;
        byte* element = Record.Create(keyspace.Heap, name, nameLength, (int)DataType.String, (int)DataEncoding.Raw, hasExpire: false, outside ? Record.PointerLength : (int)valueLength);
        if (outside)
        {
            Record.SetOutsideValue(element, LargeValue.Create(keyspace.Heap, (ulong)valueLength));
        }

        keyspace.Snapshot?.CreatedElement(structure, element);

        return element;
    }

    /// <summary>A running snapshot captures an element that is about to change or to go.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void CaptureElement(void* structure, byte* element)
    {
        if (_keyspace.Snapshot is { } snapshot && Record.SnapshotEpoch(element) != snapshot.Epoch)
        {
            snapshot.BeforeElement(structure, element);
        }
    }

    /// <summary>Gives an element another value, in its record where that fits; else the record moves, and its slot with it.</summary>
    private void SetElementValue(KeyTable* table, ulong* slot, byte* value, int length)
    {
        byte* element = KeyTable.Get(slot);
        CaptureElement(table, element);
        if (length > Record.MaxInlineValue)
        {
            LargeValue* large;
            if (Record.Outside(element))
            {
                large = Record.OutsideValue(element);
                if ((ulong)length > large->Capacity || (ulong)length < large->Capacity / 4)
                {
                    large = LargeValue.Resize(_keyspace.Heap, large, (ulong)length);
                }

                large->Length = (ulong)length;
            }
            else
            {
                large = LargeValue.Create(_keyspace.Heap, (ulong)length);
                element = Record.ResizeValue(_keyspace.Heap, element, Record.PointerLength);
                KeyTable.Set(slot, element);
            }

            Record.SetOutsideValue(element, large);
            Buffer.MemoryCopy(value, LargeValue.Bytes(large), length, length);
            return;
        }

        if (Record.Outside(element))
        {
            LargeValue.Free(_keyspace.Heap, Record.OutsideValue(element));
            Record.ClearOutside(element);
        }

        if (Record.ValueLength(element) != length)
        {
            element = Record.ResizeValue(_keyspace.Heap, element, length);
            KeyTable.Set(slot, element);
        }

        Unsafe.CopyBlockUnaligned(Record.Value(element), value, (uint)length);
    }

    /// <summary>Takes an element out of its table and frees it.</summary>
    private void RemoveElement(KeyTable* table, ulong hash, ulong* slot)
    {
        byte* element = KeyTable.Get(slot);
        CaptureElement(table, element);
        table->Remove(_keyspace.Heap, hash, slot);
        Record.Free(_keyspace.Heap, element);
    }

    /// <summary>A deep copy of a big collection's structure.</summary>
    private void* CopyStructure(DataEncoding encoding, void* structure) => encoding switch
    {
        DataEncoding.HashTable => CopyTable((KeyTable*)structure),
        DataEncoding.Quicklist => CopyQuicklist((Quicklist*)structure),
        DataEncoding.SortedTree => CopySortedSet((SortedSetStructure*)structure),
        DataEncoding.ExpiringTable => CopyExpiringHash((SortedSetStructure*)structure),
        DataEncoding.Stream => StreamStructure.Copy(_keyspace.Heap, (StreamStructure*)structure),
        _ => throw new InvalidOperationException($"{encoding} has no structure of its own"),
    };

    private KeyTable* CopyTable(KeyTable* table)
    {
        KeyTable* copy = KeyTable.Create(_keyspace.Heap);
        using var walk = new TableWalk(table);
        while (walk.MoveNext())
        {
            byte* name = Record.Key(walk.Current);
            int nameLength = Record.KeyLength(walk.Current);
            byte* value = Record.ValueBytes(walk.Current, out long length);
            NewElement(copy, name, nameLength, Hash64.Compute(name, nameLength, _keyspace.HashSeed), value, length);
        }

        return copy;
    }
}
