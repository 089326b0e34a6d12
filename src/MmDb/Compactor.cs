using System.Diagnostics;
using Leither.MmDb.Memory;
using Leither.MmDb.Values;

namespace Leither.MmDb;

/// <summary>
/// Gives memory back after many deletions: what lies in sparse slabs is moved together in slices, so that the slabs become empty.
/// </summary>
/// <remarks>
/// A round chooses the slabs, walks over everything once by hash position, and ends. Between two slices anything may change: a position stays
/// good, and a big collection that is not done is found again by its key. What the walk misses only keeps its slab for the next
/// round. Nothing moves while a snapshot runs.
/// </remarks>
internal sealed unsafe class Compactor
{
    /// <summary>Waste below this is not worth a round.</summary>
    private const long MinWaste = 4 << 20;

    /// <summary>Milliseconds between two looks at how much is wasted.</summary>
    private const long LookEveryMs = 100;

    /// <summary>Milliseconds until what a round could not free is tried again, unless a quarter more is wasted before.</summary>
    private const long RestMs = 10_000;

    /// <summary>Collections of up to so many elements are walked with their key.</summary>
    private const int SmallCollection = 64;

    private readonly Keyspace _keyspace;
    private readonly NativeHeap _heap;
    private readonly Queue<Collection> _collections = new();
    private NativeList<nint> _slots;
    private bool _active, _expires;
    private int _database;
    private ulong _cursor;
    private long _nextLookMs, _residentAtBegin, _restUntilMs, _restUntilWaste;

    public Compactor(Keyspace keyspace)
    {
        _keyspace = keyspace;
        _heap = keyspace.Heap;
    }

    /// <summary>A big collection that is walked in slices of its own.</summary>
    private sealed class Collection
    {
        public required int Database { get; init; }
        public required byte[] Key { get; init; }
        public ulong Cursor { get; set; }
    }

    /// <summary>Whether a round is under way.</summary>
    public bool IsActive => _active;

    /// <summary>Rounds that were ended.</summary>
    public long Rounds { get; private set; }

    /// <summary>Whether so much is wasted that a round is worth it.</summary>
    private bool IsNeeded => Waste > (_heap.UsedBytes / 10) + MinWaste;

    private long Waste => _heap.ResidentBytes - _heap.UsedBytes;

    /// <summary>Moves for about so long. False when there is nothing to do at present.</summary>
    public bool Step(TimeSpan budget)
    {
        if (_keyspace.Snapshot is not null || (!_active && !Begin()))
        {
            return false;
        }

        long deadline = Stopwatch.GetTimestamp() + (long)(budget.TotalSeconds * Stopwatch.Frequency);
        do
        {
            if (_collections.TryPeek(out Collection? collection))
            {
                if (Walk(collection))
                {
                    _collections.Dequeue();
                }
            }
            else if (_database < _keyspace.Databases.Length)
            {
                WalkDatabase(_keyspace.Databases[_database]);
            }
            else
            {
                End();
                return IsNeeded && _nextLookMs == 0;
            }
        }
        while (Stopwatch.GetTimestamp() < deadline);
        return true;
    }

    private bool Begin()
    {
        if (_keyspace.NowMs < _nextLookMs)
        {
            return false;
        }

        _nextLookMs = _keyspace.NowMs + LookEveryMs;
        if (!IsNeeded || (_keyspace.NowMs < _restUntilMs && Waste < _restUntilWaste))
        {
            return false;
        }

        if (!_heap.BeginCompaction())
        {
            Rest();
            return false;
        }

        _active = true;
        _expires = false;
        _database = 0;
        _cursor = 0;
        _residentAtBegin = _heap.ResidentBytes;
        return true;
    }

    private void End()
    {
        _heap.EndCompaction();
        _active = false;
        _slots.Dispose();
        Rounds++;
        _nextLookMs = 0;
        if (_heap.ResidentBytes >= _residentAtBegin)
        {
            Rest();
        }
    }

    private void Rest()
    {
        _restUntilMs = _keyspace.NowMs + RestMs;
        _restUntilWaste = Waste + (Waste / 4);
    }

    // ------------------------------------------------------------------ databases

    /// <summary>One bucket of a database's keys, or of its index of those that expire.</summary>
    private void WalkDatabase(Database database)
    {
        if (_cursor == 0 && !_expires)
        {
            database.Keys = KeyTable.Relocate(_heap, database.Keys);
            database.Expires = KeyTable.Relocate(_heap, database.Expires);
        }

        ulong cursor = _cursor;
        KeyTable* table = _expires ? database.Expires : database.Keys;
        table->RelocateBucket(_heap, cursor);
        _slots.Clear();
        _cursor = table->ScanSlots(cursor, ref _slots);
        if (!_expires)
        {
            // Small collections are scanned into the same list, behind these.
            int count = _slots.Count;
            for (int i = 0; i < count; i++)
            {
                Move(database, (ulong*)_slots[i]);
            }
        }

        if (_cursor == 0)
        {
            _database += _expires ? 1 : 0;
            _expires = !_expires;
        }
    }

    private void Move(Database database, ulong* slot)
    {
        byte* record = KeyTable.Get(slot);
        byte* moved = Record.Relocate(_heap, record);
        if (moved != record)
        {
            if (Record.HasExpire(moved))
            {
                ulong hash = _heap.Hash(Record.Key(moved), Record.KeyLength(moved));
                KeyTable.Set(database.Expires->FindPointer(hash, record), moved);
            }

            KeyTable.Set(slot, moved);
        }

        switch ((DataEncoding)Record.Encoding(moved))
        {
            case DataEncoding.Quicklist:
                Record.SetNativePointer(moved, Quicklist.Relocate(_heap, Record.NativePointer<Quicklist>(moved)));
                break;
            case DataEncoding.Stream:
                Record.SetNativePointer(moved, StreamStructure.Relocate(_heap, Record.NativePointer<StreamStructure>(moved)));
                break;
            case DataEncoding.HashTable:
                KeyTable* table = KeyTable.Relocate(_heap, Record.NativePointer<KeyTable>(moved));
                Record.SetNativePointer(moved, table);
                Open(database, moved, table->Count);
                break;
            case DataEncoding.SortedTree:
            case DataEncoding.ExpiringTable:
                SortedSetStructure* sorted = Relocate(Record.NativePointer<SortedSetStructure>(moved));
                Record.SetNativePointer(moved, sorted);
                sorted->Members = KeyTable.Relocate(_heap, sorted->Members);
                sorted->Tree = SortedTree.Relocate(_heap, sorted->Tree);
                Open(database, moved, sorted->Members->Count);
                break;
        }
    }

    private SortedSetStructure* Relocate(SortedSetStructure* structure)
    {
        nuint size = (nuint)sizeof(SortedSetStructure);
        if (!_heap.IsEvacuating((byte*)structure, size))
        {
            return structure;
        }

        var moved = (SortedSetStructure*)_heap.Alloc(size);
        *moved = *structure;
        _heap.Free((byte*)structure, size);
        return moved;
    }

    // ------------------------------------------------------------------ collections

    private void Open(Database database, byte* record, long count)
    {
        if (count > SmallCollection)
        {
            _collections.Enqueue(new Collection { Database = database.Index, Key = Record.KeySpan(record).ToArray() });
            return;
        }

        ulong cursor = 0;
        do
        {
            cursor = WalkElements(record, cursor);
        }
        while (cursor != 0);
    }

    /// <summary>One bucket of a collection; true when it is done, or gone.</summary>
    private bool Walk(Collection collection)
    {
        fixed (byte* name = collection.Key)
        {
            ulong* slot = _keyspace.Databases[collection.Database].FindSlot(_keyspace.KeyOf(name, collection.Key.Length));
            if (slot == null || (DataEncoding)Record.Encoding(KeyTable.Get(slot)) is not (DataEncoding.HashTable or DataEncoding.SortedTree or DataEncoding.ExpiringTable))
            {
                return true;
            }

            collection.Cursor = WalkElements(KeyTable.Get(slot), collection.Cursor);
            return collection.Cursor == 0;
        }
    }

    private ulong WalkElements(byte* record, ulong cursor)
    {
        SortedSetStructure* sorted = (DataEncoding)Record.Encoding(record) is DataEncoding.SortedTree or DataEncoding.ExpiringTable ? Record.NativePointer<SortedSetStructure>(record) : null;
        bool isHash = Record.Type(record) == (int)DataType.Hash;
        KeyTable* table = sorted != null ? sorted->Members : Record.NativePointer<KeyTable>(record);
        table->RelocateBucket(_heap, cursor);

        // The list may hold slots of the database that are yet to be looked at.
        int start = _slots.Count;
        ulong next = table->ScanSlots(cursor, ref _slots);
        for (int i = start; i < _slots.Count; i++)
        {
            var slot = (ulong*)_slots[i];
            byte* element = KeyTable.Get(slot);
            if (sorted == null || (isHash && !Record.HasExpire(element)))
            {
                KeyTable.Set(slot, Record.Relocate(_heap, element));
            }
            else if (_heap.IsEvacuating(element, Record.SizeOf(element)))
            {
                // The tree looks for the old one, so both must be there.
                nuint size = Record.SizeOf(element);
                byte* moved = _heap.Alloc(size);
                Buffer.MemoryCopy(element, moved, size, size);
                sorted->Tree->ReplaceRecord(isHash ? Record.ExpireAt(element) : SortedSetValue.ScoreOf(element), element, moved);
                KeyTable.Set(slot, moved);
                _heap.Free(element, size);
            }
        }

        _slots.Truncate(start);
        return next;
    }
}
