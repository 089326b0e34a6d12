using System.Runtime.CompilerServices;
using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb;

/// <content>Effects on sets: sorted integers, one pack, or a table of element records without values.</content>
public sealed unsafe partial class Effects
{
    /// <summary>The set has these members. Gives the number of new ones; nothing is recorded when there is none.</summary>
    public int SetAdd(in Key key, Slice* members, int count)
    {
        ulong* slot = Open(key);
        return count == 0 || (slot != null && !IsSet(slot)) ? 0 : AddToSet(key, slot, members, count);
    }

    /// <summary>As <see cref="SetAdd"/>, for a client's command: the key is looked at once. False: it holds another type.</summary>
    public bool TrySetAdd(in Key key, Slice* members, int count, out int added)
    {
        added = 0;
        ulong* slot = Open(key);
        if (slot != null)
        {
            if (!IsSet(slot))
            {
                return false;
            }

            _keyspace.Touch(KeyTable.Get(slot));
        }

        added = AddToSet(key, slot, members, count);
        return true;
    }

    private int AddToSet(in Key key, ulong* slot, Slice* members, int count)
    {
        ref readonly PackedThresholds limits = ref _keyspace.Options.Packed;
        int added = 0, next = 0;
        if (slot == null)
        {
            NewSet(key, members[0], count);
            added = next = 1;
            slot = next < count ? _database.FindSlot(key) : null;
        }
        else if (count > 1)
        {
            // Redis takes the number of members given for the number of members to come.
            var set = new SetValue(_keyspace, KeyTable.Get(slot));
            int most = set.Encoding switch
            {
                DataEncoding.IntSet => limits.SetMaxIntsetEntries,
                DataEncoding.Pack => limits.SetMaxListpackEntries,
                _ => int.MaxValue,
            };
            if (count > most)
            {
                SetToTable(key, slot);
            }
        }

        for (; next < count; next++)
        {
            if (AddMember(key, slot, members[next]))
            {
                added++;
            }
        }

        if (added > 0)
        {
            AppendItems(EffectTag.SetAdd, key, members, count);
            ChangedMany(key, added);
        }

        return added;
    }

    /// <summary>The members go, and the key with the last of them. Gives the number of those that were there; nothing is recorded when none was.</summary>
    public int SetRemove(in Key key, Slice* members, int count)
    {
        ulong* slot = Open(key);
        if (slot == null || !IsSet(slot))
        {
            return 0;
        }

        int removed = (DataEncoding)Record.Encoding(KeyTable.Get(slot)) switch
        {
            DataEncoding.HashTable => RemoveElements(EffectTag.SetRemove, key, slot, members, count),
            DataEncoding.IntSet => RemoveIntegers(key, slot, members, count),
            _ => RemoveFromPack(EffectTag.SetRemove, key, slot, members, count, entries: 1),
        };
        if (removed > 0)
        {
            ChangedMany(key, removed);
        }

        return removed;
    }

    /// <summary>
    /// The destination becomes what the operation makes of the sets at the keys (missing ones are empty), without expiry; it goes if
    /// that is empty. Nothing happens where a key holds another type. Gives the number of members.
    /// </summary>
    public long SetStore(in Key destination, SetOperation operation, Slice* keys, int count)
    {
        NativeList<SetValue> sets = default;
        SetBuilder result = default;
        try
        {
            if (!TrySources(keys, count, ref sets))
            {
                return 0;
            }

            result = Combine(operation, sets.Span);
            return StoreSet(destination, ref result, operation, keys, count);
        }
        finally
        {
            result.Dispose();
            sets.Dispose();
        }
    }

    private bool TrySources(Slice* keys, int count, ref NativeList<SetValue> sets)
    {
        // All are opened before any is looked at: an expired one goes by that, which may move others' slots, but no record.
        for (int i = 0; i < count; i++)
        {
            ulong* slot = Open(_keyspace.KeyOf(keys[i].Pointer, keys[i].Length));
            if (slot != null && !IsSet(slot))
            {
                return false;
            }

            sets.Add(slot == null ? default : new SetValue(_keyspace, KeyTable.Get(slot)));
        }

        return count > 0;
    }

    private SetBuilder Combine(SetOperation operation, Span<SetValue> sets)
    {
        if (operation == SetOperation.Union)
        {
            var union = new SetBuilder(_keyspace);
            SetAlgebra.Unite(sets, ref union);
            return union;
        }

        using var members = new SetAlgebra(_keyspace, operation, sets);
        bool startsAsPack = operation == SetOperation.Intersection && sets[0].Exists && sets[0].Encoding != DataEncoding.IntSet;
        var result = new SetBuilder(_keyspace, startsAsPack ? DataEncoding.Pack : DataEncoding.IntSet);
        while (members.MoveNext())
        {
            result.Add(members.Current);
        }

        if (startsAsPack)
        {
            result.PreferIntSet();
        }

        return result;
    }

    private long StoreSet(in Key destination, ref SetBuilder result, SetOperation operation, Slice* keys, int count)
    {
        SetValue set = result.Value;
        long members = set.Count;
        ulong* slot = Open(destination);
        if (members == 0 && slot == null)
        {
            return 0;
        }

        EffectWriter writer = Append(EffectTag.SetStore, destination);
        writer.Varint((ulong)operation);
        writer.Varint((ulong)count);
        for (int i = 0; i < count; i++)
        {
            writer.Bytes(keys[i].Pointer, keys[i].Length);
        }

        if (members == 0)
        {
            Drop(destination, slot);
        }
        else
        {
            int length = set.Table != null ? Record.PointerLength : set.Length;
            byte* record = slot == null
                ? Create(destination, DataType.Set, set.Encoding, length)
                : Replace(destination, slot, DataType.Set, set.Encoding, length, hasExpire: false);
            if (set.Table != null)
            {
                Record.SetNativePointer(record, result.TakeTable());
            }
            else
            {
                Buffer.MemoryCopy(set.Data, Record.ValueBytes(record, out _), length, length);
            }
        }

        Changed(destination);
        return members;
    }

    private static bool IsSet(ulong* slot) => Record.Type(KeyTable.Get(slot)) == (int)DataType.Set;

    /// <summary>Makes the set of a key that is not there, with its first member.</summary>
    private void NewSet(in Key key, Slice member, int members)
    {
        ref readonly PackedThresholds limits = ref _keyspace.Options.Packed;
        var value = new PackValue(member.Span);
        DataEncoding encoding = SetLayout.ForNew(value.IsInteger, members, limits);
        if (encoding == DataEncoding.Pack && member.Length > limits.SetMaxListpackValue)
        {
            encoding = DataEncoding.HashTable;
        }

        byte* data;
        switch (encoding)
        {
            case DataEncoding.IntSet:
                byte empty = sizeof(short);
                data = Record.ValueBytes(Create(key, DataType.Set, encoding, IntSet.SizeWith(&empty, IntSet.HeaderSize, value.Integer)), out _);
                IntSet.Add(data, IntSet.Initialize(data), value.Integer);
                break;
            case DataEncoding.Pack:
                data = Record.ValueBytes(Create(key, DataType.Set, encoding, Pack.HeaderSize + value.Size), out _);
                Pack.Append(data, Pack.Initialize(data), value);
                break;
            default:
                KeyTable* table = KeyTable.Create(_keyspace.Heap);
                NewElement(table, member.Pointer, member.Length, Hash64.Compute(member.Pointer, member.Length, _keyspace.HashSeed), null, 0);
                CreateOwner(key, DataType.Set, encoding, table);
                break;
        }
    }

    /// <summary>Adds one member; false if it was there.</summary>
    private bool AddMember(in Key key, ulong* slot, Slice member)
    {
        byte* record = KeyTable.Get(slot);
        if (Record.Encoding(record) == (int)DataEncoding.HashTable)
        {
            return AddElement(Record.NativePointer<KeyTable>(record), member);
        }

        var set = new SetValue(_keyspace, record);
        var value = new PackValue(member.Span);
        switch (SetLayout.RoomFor(set, value, member.Length, _keyspace.Options.Packed, out int length))
        {
            case SetRoom.Present:
                return false;
            case SetRoom.NeedsTable:
                return AddElement(SetToTable(key, slot), member);
            case SetRoom.NeedsPack:
                AddToNewPack(key, slot, set, value);
                return true;
            default:
                byte* data = Resize(key, slot, length);
                if (set.Encoding == DataEncoding.IntSet)
                {
                    IntSet.Add(data, set.Length, value.Integer);
                }
                else
                {
                    Pack.Append(data, set.Length, value);
                }

                return true;
        }
    }

    private bool AddElement(KeyTable* table, Slice member)
    {
        ulong hash = Hash64.Compute(member.Pointer, member.Length, _keyspace.HashSeed);
        if (table->Find(hash, member.Pointer, member.Length) != null)
        {
            return false;
        }

        NewElement(table, member.Pointer, member.Length, hash, null, 0);
        return true;
    }

    /// <summary>Makes an intset a pack that has one more member.</summary>
    private void AddToNewPack(in Key key, ulong* slot, in SetValue integers, in PackValue member)
    {
        // The integers are read while the pack is written, so it is written elsewhere and then put in their place.
        int size = SetLayout.PackedSize(integers) + member.Size;
        byte* pack = _keyspace.Heap.Alloc((nuint)size);
        Pack.Append(pack, SetLayout.WritePack(integers, pack), member);
        Buffer.MemoryCopy(pack, Resize(key, slot, size), size, size);
        Record.SetEncoding(KeyTable.Get(slot), (int)DataEncoding.Pack);
        _keyspace.Heap.Free(pack, (nuint)size);
    }

    /// <summary>Makes a compact set a big one. Gives its table; that of one that is big already.</summary>
    private KeyTable* SetToTable(in Key key, ulong* slot)
    {
        byte* record = KeyTable.Get(slot);
        if (Record.Encoding(record) == (int)DataEncoding.HashTable)
        {
            return Record.NativePointer<KeyTable>(record);
        }

        KeyTable* table = TableOf(new SetValue(_keyspace, record));
        ReplaceByOwner(key, slot, DataEncoding.HashTable, table);
        return table;
    }

    private KeyTable* TableOf(in SetValue set)
    {
        KeyTable* table = KeyTable.Create(_keyspace.Heap);
        byte* scratch = stackalloc byte[Element.ScratchSize];
        using SetValue.Enumerator members = set.Walk();
        while (members.MoveNext())
        {
            Slice member = members.Current.Text(scratch);
            NewElement(table, member.Pointer, member.Length, Hash64.Compute(member.Pointer, member.Length, _keyspace.HashSeed), null, 0);
        }

        return table;
    }

    private int RemoveIntegers(in Key key, ulong* slot, Slice* members, int count)
    {
        byte* data = Record.ValueBytes(KeyTable.Get(slot), out long size);
        int length = (int)size, removed = 0;
        for (int i = 0; i < count; i++)
        {
            if (!members[i].TryLong(out long value))
            {
                continue;
            }

            int index = IntSet.Find(data, length, value);
            if (index < 0)
            {
                continue;
            }

            if (removed++ == 0)
            {
                AppendItems(EffectTag.SetRemove, key, members, count);
            }

            length = IntSet.RemoveAt(data, length, index);
            if (length == IntSet.HeaderSize)
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

    private bool ApplySet(ref EffectReader reader, EffectTag tag)
    {
        if (tag is < EffectTag.SetAdd or > EffectTag.SetStore)
        {
            return false;
        }

        Key key = reader.Key(_keyspace);
        if (tag == EffectTag.SetStore)
        {
            int operation = reader.Int32();
            Slice* keys = ReadItems(ref reader, out int sources);
            if (operation > (int)SetOperation.Difference)
            {
                throw new UnknownEffectException($"set operation {operation} is not known to this version");
            }

            SetStore(key, (SetOperation)operation, keys, sources);
            return true;
        }

        Slice* members = ReadItems(ref reader, out int count);
        if (tag == EffectTag.SetAdd)
        {
            SetAdd(key, members, count);
        }
        else
        {
            SetRemove(key, members, count);
        }

        return true;
    }
}
