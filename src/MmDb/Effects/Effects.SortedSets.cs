using System.Runtime.CompilerServices;
using Leither.MmDb.Memory;
using Leither.MmDb.Values;

namespace Leither.MmDb;

/// <summary>When a member is added or its score changed. The numbers are logged.</summary>
[Flags]
public enum SortedSetConditions : byte
{
    /// <summary>Always.</summary>
    None = 0,
    /// <summary>Only a member that is not there (NX).</summary>
    IfMissing = 1,
    /// <summary>Only a member that is there (XX).</summary>
    IfExists = 2,
    /// <summary>A member that is there only gets a higher score (GT).</summary>
    IfGreater = 4,
    /// <summary>A member that is there only gets a lower score (LT).</summary>
    IfLess = 8,
}

/// <content>Effects on sorted sets.</content>
public sealed unsafe partial class Effects
{
    private NativeList<ScoredMember> _replayMembers;

    /// <summary>
    /// The members get these scores where the conditions allow it, one after another. Nothing is recorded when nothing changes.
    /// </summary>
    /// <returns>How many members are new, and how many others have another score now.</returns>
    public (int Added, int Updated) SortedSetAdd(in Key key, SortedSetConditions when, ScoredMember* items, int count)
    {
        ulong* slot = Open(key);
        if (slot != null && Record.Type(KeyTable.Get(slot)) != (int)DataType.SortedSet)
        {
            AppendScored(EffectTag.SortedSetAdd, key, (int)when, items, count);
            return default;
        }

        int added = 0, updated = 0;
        for (int i = 0; i < count; i++)
        {
            ScoredMember* item = items + i;
            SortedSetPlace place = Find(slot, item);
            bool changes = place.Found
                ? (when & SortedSetConditions.IfMissing) == 0 && item->Score != place.Score
                    && ((when & SortedSetConditions.IfGreater) == 0 || item->Score > place.Score)
                    && ((when & SortedSetConditions.IfLess) == 0 || item->Score < place.Score)
                : (when & SortedSetConditions.IfExists) == 0;
            if (!changes)
            {
                continue;
            }

            if (added + updated == 0)
            {
                // Those before this one changed nothing, and would not when replayed.
                AppendScored(EffectTag.SortedSetAdd, key, (int)when, item, count - i);
                if (MakeRoom(key, ref slot, count, item->Length))
                {
                    place = Find(slot, item);
                }
            }

            if (place.Found)
            {
                UpdateMember(key, slot, place, item);
                updated++;
            }
            else
            {
                AddMember(key, slot, place, item);
                added++;
            }
        }

        if (added + updated != 0)
        {
            _keyspace.Dirty += added + updated - 1;
            ChangedAndReady(key);
        }

        return (added, updated);
    }

    /// <summary>The members go. Nothing is recorded when none of them is there.</summary>
    /// <returns>How many went.</returns>
    public int SortedSetRemove(in Key key, Resp.Slice* members, int count)
    {
        ulong* slot = Open(key);
        if (slot == null || Record.Type(KeyTable.Get(slot)) != (int)DataType.SortedSet)
        {
            AppendMembers(key, members, count);
            return 0;
        }

        int removed = 0;
        for (int i = 0; i < count; i++)
        {
            var item = new ScoredMember { Member = members[i].Pointer, Length = members[i].Length };
            SortedSetPlace place = Find(slot, &item);
            if (!place.Found)
            {
                continue;
            }

            if (removed++ == 0)
            {
                AppendMembers(key, members + i, count - i);
            }

            if (!RemoveMember(key, slot, place))
            {
                break;
            }
        }

        if (removed != 0)
        {
            ChangedMany(key, removed);
        }

        return removed;
    }

    /// <summary>The members of the ranks from <paramref name="first"/> to <paramref name="last"/> go.</summary>
    /// <returns>How many went.</returns>
    public long SortedSetRemoveRange(in Key key, long first, long last)
    {
        ulong* slot = Open(key);
        EffectWriter writer = Append(EffectTag.SortedSetRemoveRange, key);
        writer.Varint((ulong)first);
        writer.Varint((ulong)last);
        if (slot == null || Record.Type(KeyTable.Get(slot)) != (int)DataType.SortedSet)
        {
            return 0;
        }

        return RemoveRanks(key, slot, first, last);
    }

    /// <summary>
    /// So many members with the lowest scores (or the highest) go; they are recorded by name. The key holds a sorted set of more.
    /// </summary>
    public void SortedSetPop(in Key key, bool highest, long count)
    {
        ulong* slot = Open(key);
        var value = new SortedSetValue(KeyTable.Get(slot));
        long total = value.Count;
        count = Math.Min(count, total);
        EffectWriter writer = Append(EffectTag.SortedSetRemove, key);
        writer.Varint((ulong)count);
        if (writer.IsOn)
        {
            byte* scratch = stackalloc byte[PackValue.MaxIntegerDigits];
            SortedSetCursor cursor = value.At(highest ? total - 1 : 0);
            for (long i = 0; i < count; i++)
            {
                ScoredMember member = cursor.Current(scratch);
                writer.Bytes(member.Member, member.Length);
                if (highest)
                {
                    cursor.MovePrevious();
                }
                else
                {
                    cursor.MoveNext();
                }
            }
        }

        RemoveRanks(key, slot, highest ? total - count : 0, highest ? total - 1 : count - 1);
    }

    /// <summary>The key becomes this sorted set, ascending and without repetition; what was there goes, and its expiry with it.</summary>
    public void SortedSetReplace(in Key key, ScoredMember* items, int count)
    {
        ulong* slot = Open(key);
        AppendScored(EffectTag.SortedSetReplace, key, 0, items, count);
        BecomeSortedSet(key, slot, items, count);
    }

    /// <summary>
    /// The key becomes the union, intersection or difference of sorted sets and sets; what was there goes, and its expiry with
    /// it. Nothing is recorded when there was and is nothing.
    /// </summary>
    /// <param name="destination">The key.</param>
    /// <param name="operation">What to make.</param>
    /// <param name="aggregate">What becomes of the scores of a member that stands in several.</param>
    /// <param name="keys">The sources.</param>
    /// <param name="weights">What the scores of each source are multiplied by.</param>
    /// <param name="count">How many sources there are.</param>
    /// <returns>The number of members of the result.</returns>
    public long SortedSetStore(in Key destination, SetOperation operation, ScoreAggregate aggregate, Resp.Slice* keys, double* weights, int count)
    {
        // Opening deletes what has expired, which moves slots: first all are opened, then they are looked at.
        for (int i = 0; i < count; i++)
        {
            Open(_keyspace.KeyOf(keys[i].Pointer, keys[i].Length));
        }

        bool existed = Open(destination) != null;
        using var combination = new ScoredCombination(_keyspace, operation, aggregate);
        bool fits = true;
        for (int i = 0; i < count; i++)
        {
            ulong* source = _database.FindSlot(_keyspace.KeyOf(keys[i].Pointer, keys[i].Length));
            byte* record = source == null ? null : KeyTable.Get(source);
            fits &= record == null || ScoredSource.CanBe(record);
            combination.Add(fits ? record : null, weights[i]);
        }

        if (fits)
        {
            combination.Run();
        }

        if (fits && combination.Count == 0 && !existed)
        {
            return 0;
        }

        AppendStore(destination, operation, aggregate, keys, weights, count);
        if (!fits)
        {
            return 0;
        }

        if (combination.Count == 0)
        {
            Drop(destination, _database.FindSlot(destination));
            Changed(destination);
            SignalGone(destination);
            return 0;
        }

        BecomeSortedSet(destination, _database.FindSlot(destination), combination.Items, (int)combination.Count);
        return combination.Count;
    }

    private bool ApplySortedSet(ref EffectReader reader, EffectTag tag)
    {
        Key key;
        switch (tag)
        {
            case EffectTag.SortedSetAdd:
                key = reader.Key(_keyspace);
                var when = (SortedSetConditions)reader.Byte();
                ReadScored(ref reader);
                SortedSetAdd(key, when, _replayMembers.Items, _replayMembers.Count);
                return true;
            case EffectTag.SortedSetRemove:
                key = reader.Key(_keyspace);
                Resp.Slice* members = ReadItems(ref reader, out int count);
                SortedSetRemove(key, members, count);
                return true;
            case EffectTag.SortedSetRemoveRange:
                SortedSetRemoveRange(reader.Key(_keyspace), (long)reader.Varint(), (long)reader.Varint());
                return true;
            case EffectTag.SortedSetReplace:
                key = reader.Key(_keyspace);
                reader.Byte();
                ReadScored(ref reader);
                SortedSetReplace(key, _replayMembers.Items, _replayMembers.Count);
                return true;
            case EffectTag.SortedSetStore:
                ApplyStore(ref reader);
                return true;
            default:
                return false;
        }
    }

    private void ApplyStore(ref EffectReader reader)
    {
        Key destination = reader.Key(_keyspace);
        var operation = (SetOperation)reader.Byte();
        var aggregate = (ScoreAggregate)reader.Byte();
        ReadScored(ref reader);
        int count = _replayMembers.Count;
        NativeList<Resp.Slice> keys = default;
        NativeList<double> weights = default;
        try
        {
            foreach (ScoredMember source in _replayMembers.Span)
            {
                keys.Add(new Resp.Slice(source.Member, source.Length));
                weights.Add(source.Score);
            }

            SortedSetStore(destination, operation, aggregate, keys.Items, weights.Items, count);
        }
        finally
        {
            keys.Dispose();
            weights.Dispose();
        }
    }

    // ------------------------------------------------------------------ the log's side

    private void AppendScored(EffectTag tag, in Key key, int options, ScoredMember* items, int count)
    {
        EffectWriter writer = Append(tag, key);
        if (writer.IsOn)
        {
            writer.Byte((byte)options);
            writer.Varint((ulong)count);
            for (int i = 0; i < count; i++)
            {
                writer.Double(items[i].Score);
                writer.Bytes(items[i].Member, items[i].Length);
            }
        }
    }

    private void AppendMembers(in Key key, Resp.Slice* members, int count)
    {
        EffectWriter writer = Append(EffectTag.SortedSetRemove, key);
        writer.Varint((ulong)count);
        for (int i = 0; i < count; i++)
        {
            writer.Bytes(members[i].Pointer, members[i].Length);
        }
    }

    private void AppendStore(in Key destination, SetOperation operation, ScoreAggregate aggregate, Resp.Slice* keys, double* weights, int count)
    {
        EffectWriter writer = Append(EffectTag.SortedSetStore, destination);
        if (writer.IsOn)
        {
            writer.Byte((byte)operation);
            writer.Byte((byte)aggregate);
            writer.Varint((ulong)count);
            for (int i = 0; i < count; i++)
            {
                writer.Double(weights[i]);
                writer.Bytes(keys[i].Pointer, keys[i].Length);
            }
        }
    }

    private void ReadScored(ref EffectReader reader)
    {
        int count = reader.Int32();
        _replayMembers.Clear();
        for (int i = 0; i < count; i++)
        {
            double score = reader.Double();
            byte* member = reader.Bytes(out int length);
            if (double.IsNaN(score))
            {
                throw new UnknownEffectException("a score in the entry is not a number");
            }

            _replayMembers.Add(new ScoredMember { Score = score, Member = member, Length = length });
        }
    }

    // ------------------------------------------------------------------ members

    /// <summary>Where a member stands in a sorted set; good until that changes.</summary>
    private struct SortedSetPlace
    {
        public bool Found;
        public double Score;
        public int Entry; // in a pack
        public ulong Hash; // in a structure
        public ulong* Slot;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private SortedSetPlace Find(ulong* slot, ScoredMember* item)
    {
        SortedSetPlace place = default;
        if (slot == null)
        {
            return place;
        }

        byte* record = KeyTable.Get(slot);
        if (Record.Encoding(record) != (int)DataEncoding.SortedTree)
        {
            byte* data = Record.ValueBytes(record, out long length);
            place.Entry = SortedSetPack.Find(data, (int)length, item->Span, out place.Score);
            place.Found = place.Entry != Pack.None;
            return place;
        }

        place.Hash = _keyspace.Heap.Hash(item->Member, item->Length);
        place.Slot = Record.NativePointer<SortedSetStructure>(record)->Members->Find(place.Hash, item->Member, item->Length);
        if (place.Slot != null)
        {
            place.Found = true;
            place.Score = SortedSetValue.ScoreOf(KeyTable.Get(place.Slot));
        }

        return place;
    }

    /// <summary>
    /// Before the first of <paramref name="count"/> members is added: the key is made if it is not there, in the encoding that Redis
    /// chooses by the number of members and the first one's length; a pack that can get too many members is one no longer.
    /// True: places are others now.
    /// </summary>
    private bool MakeRoom(in Key key, ref ulong* slot, int count, int firstLength)
    {
        ref PackedThresholds limits = ref _keyspace.Options.Packed;
        if (slot == null)
        {
            if (count > limits.ZsetMaxListpackEntries || firstLength > limits.ZsetMaxListpackValue)
            {
                CreateOwner(key, DataType.SortedSet, DataEncoding.SortedTree, NewSortedSet());
            }
            else
            {
                Pack.Initialize(Record.Value(Create(key, DataType.SortedSet, DataEncoding.Pack, Pack.HeaderSize)));
            }

            slot = _database.FindSlot(key);
            return true;
        }

        if (count <= limits.ZsetMaxListpackEntries || Record.Encoding(KeyTable.Get(slot)) == (int)DataEncoding.SortedTree)
        {
            return false;
        }

        Unpack(key, slot);
        return true;
    }

    private void AddMember(in Key key, ulong* slot, in SortedSetPlace place, ScoredMember* item)
    {
        byte* record = KeyTable.Get(slot);
        ulong hash = place.Hash;
        if (Record.Encoding(record) != (int)DataEncoding.SortedTree)
        {
            byte* data = Record.ValueBytes(record, out long length);
            int size = SortedSetPack.PairSize(item->Span, item->Score);
            if ((Pack.Count(data, (int)length) / 2) + 1 <= _keyspace.Options.Packed.ZsetMaxListpackEntries
                && item->Length <= _keyspace.Options.Packed.ZsetMaxListpackValue
                && length + size <= SortedSetPack.MaxBytes)
            {
                int at = SortedSetPack.Position(data, (int)length, item->Span, item->Score);
                data = Resize(key, slot, length + size);
                SortedSetPack.Insert(data, (int)length, at, item->Span, item->Score);
                return;
            }

            Unpack(key, slot);
            record = KeyTable.Get(slot);
            hash = _keyspace.Heap.Hash(item->Member, item->Length);
        }

        AddToStructure(Record.NativePointer<SortedSetStructure>(record), item, hash);
    }

    /// <summary>-0 becomes 0, as in a pack: what a sorted set holds does not depend on how it is encoded, which may differ from node to node.</summary>
    internal static double Unsigned(double score) => score + 0.0;

    private void AddToStructure(SortedSetStructure* structure, ScoredMember* item) =>
        AddToStructure(structure, item, _keyspace.Heap.Hash(item->Member, item->Length));

    private void AddToStructure(SortedSetStructure* structure, ScoredMember* item, ulong hash)
    {
        byte* member = CreateElement(_keyspace, structure, item->Member, item->Length, sizeof(double));
        double score = Unsigned(item->Score);
        SortedSetValue.SetScore(member, score);
        structure->Members->Insert(_keyspace.Heap, hash, member);
        structure->Tree->Insert(_keyspace.Heap, score, member);
    }

    private void UpdateMember(in Key key, ulong* slot, in SortedSetPlace place, ScoredMember* item)
    {
        byte* record = KeyTable.Get(slot);
        if (Record.Encoding(record) == (int)DataEncoding.SortedTree)
        {
            var structure = Record.NativePointer<SortedSetStructure>(record);
            byte* member = KeyTable.Get(place.Slot);
            CaptureElement(structure, member);
            double score = Unsigned(item->Score);
            structure->Tree->Update(_keyspace.Heap, place.Score, score, member);
            SortedSetValue.SetScore(member, score);
            return;
        }

        byte* data = Record.ValueBytes(record, out long length);
        int rest = Pack.Delete(data, (int)length, place.Entry, 2);
        int at = SortedSetPack.Position(data, rest, item->Span, item->Score);
        data = Resize(key, slot, rest + SortedSetPack.PairSize(item->Span, item->Score));
        SortedSetPack.Insert(data, rest, at, item->Span, item->Score);
    }

    /// <summary>Removes a member, and the key with the last one. False: the key is gone.</summary>
    private bool RemoveMember(in Key key, ulong* slot, in SortedSetPlace place)
    {
        byte* record = KeyTable.Get(slot);
        if (Record.Encoding(record) != (int)DataEncoding.SortedTree)
        {
            byte* data = Record.ValueBytes(record, out long length);
            int rest = Pack.Delete(data, (int)length, place.Entry, 2);
            if (Pack.IsEmpty(rest))
            {
                Drop(key, slot);
                return false;
            }

            Resize(key, slot, rest);
            return true;
        }

        var structure = Record.NativePointer<SortedSetStructure>(record);
        byte* member = KeyTable.Get(place.Slot);
        CaptureElement(structure, member);
        structure->Tree->Remove(_keyspace.Heap, place.Score, member);
        structure->Members->Remove(_keyspace.Heap, place.Hash, place.Slot);
        Record.FreeShell(_keyspace.Heap, member);
        if (structure->Tree->Count != 0)
        {
            return true;
        }

        Drop(key, slot);
        return false;
    }

    /// <summary>Removes the members of these ranks, as far as there are such, and the key with the last one.</summary>
    private long RemoveRanks(in Key key, ulong* slot, long first, long last)
    {
        byte* record = KeyTable.Get(slot);
        long total = new SortedSetValue(record).Count;
        last = Math.Min(last, total - 1);
        if (first < 0 || first > last)
        {
            return 0;
        }

        long count = last - first + 1;
        if (count == total)
        {
            Drop(key, slot);
        }
        else if (Record.Encoding(record) != (int)DataEncoding.SortedTree)
        {
            byte* data = Record.ValueBytes(record, out long length);
            Resize(key, slot, Pack.DeleteRange(data, (int)length, 2 * first, (int)(2 * count)));
        }
        else
        {
            var structure = Record.NativePointer<SortedSetStructure>(record);
            SortedTreeCursor cursor = structure->Tree->At(first);
            for (long i = 0; i < count; i++)
            {
                byte* member = cursor.Record;
                cursor.MoveNext();
                CaptureElement(structure, member);
                ulong hash = _keyspace.Heap.Hash(Record.Key(member), Record.KeyLength(member));
                structure->Members->Remove(_keyspace.Heap, hash, structure->Members->FindPointer(hash, member));
                Record.FreeShell(_keyspace.Heap, member);
            }

            // The tree reads no member while it removes a range of ranks, so they may be gone.
            structure->Tree->RemoveRange(_keyspace.Heap, first, count);
        }

        _keyspace.Dirty += count - 1;
        Changed(key);
        return count;
    }

    // ------------------------------------------------------------------ whole sorted sets

    private SortedSetStructure* NewSortedSet()
    {
        var structure = (SortedSetStructure*)_keyspace.Heap.Alloc((nuint)sizeof(SortedSetStructure));
        structure->Members = KeyTable.Create(_keyspace.Heap);
        structure->Tree = SortedTree.Create(_keyspace.Heap);
        return structure;
    }

    /// <summary>Turns a pack into a structure.</summary>
    private void Unpack(in Key key, ulong* slot)
    {
        SortedSetStructure* structure = NewSortedSet();
        byte* scratch = stackalloc byte[PackValue.MaxIntegerDigits];
        for (SortedSetCursor cursor = new SortedSetValue(KeyTable.Get(slot)).At(0); cursor.IsValid; cursor.MoveNext())
        {
            ScoredMember item = cursor.Current(scratch);
            AddToStructure(structure, &item);
        }

        ReplaceByOwner(key, slot, DataEncoding.SortedTree, structure);
    }

    /// <summary>Gives a key (slot null: a missing one) a sorted set of these members, ascending; they may point into what it had.</summary>
    private void BecomeSortedSet(in Key key, ulong* slot, ScoredMember* items, int count)
    {
        ref PackedThresholds limits = ref _keyspace.Options.Packed;
        bool packed = count <= limits.ZsetMaxListpackEntries;
        long bytes = Pack.HeaderSize;
        for (int i = 0; i < count && packed; i++)
        {
            bytes += SortedSetPack.PairSize(items[i].Span, items[i].Score);
            packed = items[i].Length <= limits.ZsetMaxListpackValue && bytes <= SortedSetPack.MaxBytes;
        }

        if (packed)
        {
            byte* built = _keyspace.Heap.Alloc((nuint)bytes);
            int length = Pack.Initialize(built);
            for (int i = 0; i < count; i++)
            {
                length = SortedSetPack.Append(built, length, items[i].Span, items[i].Score);
            }

            byte* record = slot == null
                ? Create(key, DataType.SortedSet, DataEncoding.Pack, length)
                : Replace(key, slot, DataType.SortedSet, DataEncoding.Pack, length, hasExpire: false);
            Unsafe.CopyBlockUnaligned(Record.ValueBytes(record, out _), built, (uint)length);
            _keyspace.Heap.Free(built, (nuint)bytes);
        }
        else
        {
            SortedSetStructure* structure = NewSortedSet();
            for (int i = 0; i < count; i++)
            {
                AddToStructure(structure, items + i);
            }

            if (slot == null)
            {
                CreateOwner(key, DataType.SortedSet, DataEncoding.SortedTree, structure);
            }
            else
            {
                Record.SetNativePointer(Replace(key, slot, DataType.SortedSet, DataEncoding.SortedTree, Record.PointerLength, hasExpire: false), structure);
            }
        }

        ChangedAndReady(key);
    }

    /// <summary>A deep copy of a big sorted set.</summary>
    private SortedSetStructure* CopySortedSet(SortedSetStructure* source)
    {
        SortedSetStructure* copy = NewSortedSet();
        for (SortedTreeCursor cursor = source->Tree->First(); cursor.IsValid; cursor.MoveNext())
        {
            var item = new ScoredMember { Score = cursor.Score, Member = Record.Key(cursor.Record), Length = Record.KeyLength(cursor.Record) };
            AddToStructure(copy, &item);
        }

        return copy;
    }
}
