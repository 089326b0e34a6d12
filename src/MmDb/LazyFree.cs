using System.Diagnostics;
using Leither.MmDb.Memory;
using Leither.MmDb.Values;

namespace Leither.MmDb;

/// <summary>
/// Values that were removed and are freed in slices, so that deleting a collection of millions stalls nobody. Small values are
/// freed at once.
/// </summary>
/// <remarks>
/// While a snapshot runs, big structures wait here until it is done: it may still have to read what it has not captured.
/// </remarks>
public sealed unsafe class LazyFree
{
    /// <summary>Collections of up to so many elements are freed at once.</summary>
    public const int ImmediateElements = 64;

    private readonly Keyspace _keyspace;
    private readonly Queue<Item> _queue = new();
    private NativeList<nint> _keys, _elements;

    internal LazyFree(Keyspace keyspace) => _keyspace = keyspace;

    /// <summary>A structure to be freed, and how far that has come.</summary>
    private sealed class Item
    {
        public required DataEncoding Encoding { get; init; }
        public required bool IsDatabase { get; init; }
        public KeyTable* Table { get; set; }
        public void* Structure { get; set; }
        public ulong Cursor { get; set; }
        public bool Started { get; set; }
        public long Values { get; init; } = 1;
    }

    /// <summary>Structures that wait to be freed.</summary>
    public int PendingCount => _queue.Count;
    /// <summary>Values that wait to be freed: one a structure, and of an emptied database one a key.</summary>
    public long PendingValues { get; private set; }
    /// <summary>Values freed in slices so far.</summary>
    public long FreedValues { get; private set; }

    /// <summary>Counts what was freed from zero again (CONFIG RESETSTAT).</summary>
    internal void ResetStatistics() => FreedValues = 0;

    /// <summary>Frees what a record holds outside of itself: at once when it is small, else later.</summary>
    internal void ReleaseValue(byte* record)
    {
        if (Record.Outside(record))
        {
            LargeValue.Free(_keyspace.Heap, Record.OutsideValue(record));
            Record.ClearOutside(record);
            return;
        }

        var encoding = (DataEncoding)Record.Encoding(record);
        if (encoding is DataEncoding.HashTable or DataEncoding.Quicklist or DataEncoding.SortedTree or DataEncoding.ExpiringTable or DataEncoding.Stream)
        {
            ReleaseStructure(encoding, Record.NativePointer<byte>(record));
        }
    }

    /// <summary>Takes over the tables of a database that was emptied.</summary>
    internal void ReleaseDatabase(KeyTable* keys, KeyTable* expires)
    {
        KeyTable.Destroy(_keyspace.Heap, expires);
        Add(new Item { Encoding = DataEncoding.HashTable, IsDatabase = true, Table = keys, Values = keys->Count });
    }

    /// <summary>Takes over a table of elements that belongs to no key any more.</summary>
    internal void ReleaseTable(KeyTable* table) => ReleaseStructure(DataEncoding.HashTable, table);

    /// <summary>Takes over a stream that belongs to no key any more.</summary>
    internal void ReleaseStream(StreamStructure* stream) => ReleaseStructure(DataEncoding.Stream, stream);

    /// <summary>Takes over a database's agenda of hashes whose fields expire.</summary>
    internal void ReleaseAgenda(SortedSetStructure* agenda) => ReleaseStructure(DataEncoding.SortedTree, agenda);

    private void ReleaseStructure(DataEncoding encoding, void* structure)
    {
        Item item = encoding switch
        {
            DataEncoding.HashTable => new Item { Encoding = encoding, IsDatabase = false, Table = (KeyTable*)structure },
            DataEncoding.SortedTree or DataEncoding.ExpiringTable => new Item { Encoding = encoding, IsDatabase = false, Table = ((SortedSetStructure*)structure)->Members, Structure = structure },
            _ => new Item { Encoding = encoding, IsDatabase = false, Structure = structure },
        };
        Add(item);
    }

    private void Add(Item item)
    {
        long size = item.Table != null ? item.Table->Count
            : item.Encoding == DataEncoding.Stream ? ((StreamStructure*)item.Structure)->Weight
            : ((Quicklist*)item.Structure)->NodeCount;
        if (size <= ImmediateElements && _keyspace.Snapshot is null && !item.IsDatabase)
        {
            Free(item, long.MaxValue);
        }
        else
        {
            _queue.Enqueue(item);
            PendingValues += item.Values;
        }
    }

    /// <summary>Frees for about so long. False when nothing is left to do.</summary>
    internal bool Step(TimeSpan budget)
    {
        if (_queue.Count == 0 || _keyspace.Snapshot is not null)
        {
            return false;
        }

        long deadline = Stopwatch.GetTimestamp() + (long)(budget.TotalSeconds * Stopwatch.Frequency);
        while (_queue.TryPeek(out Item? item))
        {
            if (!Free(item, deadline))
            {
                return true;
            }

            _queue.Dequeue();
            PendingValues -= item.Values;
            FreedValues += item.Values;
        }

        return false;
    }

    /// <summary>Frees until done (true) or past the deadline.</summary>
    private bool Free(Item item, long deadline)
    {
        if (item.Encoding == DataEncoding.Quicklist)
        {
            return FreeList((Quicklist*)item.Structure, deadline);
        }

        if (item.Encoding == DataEncoding.Stream)
        {
            return FreeStream((StreamStructure*)item.Structure, deadline);
        }

        if (item.Encoding is DataEncoding.SortedTree or DataEncoding.ExpiringTable && !item.Started)
        {
            // The tree's leaves only point to the members: its nodes go first, the members' records with the table.
            while (!SortedTree.DestroySome(_keyspace.Heap, ((SortedSetStructure*)item.Structure)->Tree, 64))
            {
                if (deadline != long.MaxValue && Stopwatch.GetTimestamp() > deadline)
                {
                    return false;
                }
            }
        }

        // A key's small collection is freed while the keys of its bucket are walked: each level has a list of its own.
        ref NativeList<nint> bucket = ref item.IsDatabase ? ref _keys : ref _elements;
        item.Started = true;
        do
        {
            bucket.Clear();
            item.Cursor = item.Table->ScanBucket(item.Cursor, ref bucket);
            foreach (nint pointer in bucket.Span)
            {
                byte* record = (byte*)pointer;
                ReleaseValue(record);
                Record.FreeShell(_keyspace.Heap, record);
            }

            if (item.Cursor != 0 && deadline != long.MaxValue && Stopwatch.GetTimestamp() > deadline)
            {
                return false;
            }
        }
        while (item.Cursor != 0);

        KeyTable.Destroy(_keyspace.Heap, item.Table);
        if (item.Structure != null)
        {
            _keyspace.Heap.Free((byte*)item.Structure, (nuint)sizeof(SortedSetStructure));
        }

        return true;
    }

    private bool FreeStream(StreamStructure* stream, long deadline)
    {
        while (!StreamStructure.DestroySome(_keyspace.Heap, stream, 8))
        {
            if (deadline != long.MaxValue && Stopwatch.GetTimestamp() > deadline)
            {
                return false;
            }
        }

        return true;
    }

    private bool FreeList(Quicklist* list, long deadline)
    {
        while (list->DropHeadNode(_keyspace.Heap))
        {
            if (deadline != long.MaxValue && Stopwatch.GetTimestamp() > deadline)
            {
                return false;
            }
        }

        Quicklist.Destroy(_keyspace.Heap, list);
        return true;
    }
}
