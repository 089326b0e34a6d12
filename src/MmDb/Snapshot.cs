using System.Diagnostics;
using Leither.MmDb.Log;
using Leither.MmDb.Memory;
using Leither.MmDb.Values;

namespace Leither.MmDb;

/// <summary>
/// A view of the whole keyspace at one position, taken while clients go on: a value about to change is captured first, and the
/// rest is captured slice by slice. Checkpoints, RDB output and versions are written from it.
/// </summary>
/// <remarks>
/// <para>A record that was captured, or was made after the snapshot began, carries its mark (<see cref="SnapshotEpochs"/>). Effects
/// call <see cref="BeforeChange"/> before they touch a key, and <see cref="BeforeElement"/> before they touch an element of a big
/// collection. A big collection is captured in parts: first its key with the collection's id, which is its address, then each
/// element by itself; a list or stream is frozen, which shares its nodes until they change.</para>
/// <para>What must stay true:</para>
/// <list type="bullet">
/// <item>It walks the tables that the databases had when it began. SWAPDB and FLUSHALL give databases other tables; the old ones,
/// and the structures of removed collections, wait in <see cref="LazyFree"/> until the snapshot is over. So no table it
/// has still to walk goes, and no address names two collections.</item>
/// <item>A walk returns every record that is in a table from its start to its end. One that leaves the table before was about to
/// change, so it was captured then. One that comes later carries the mark. So each record is captured exactly once.</item>
/// <item>Nothing is moved by compaction while it runs.</item>
/// </list>
/// </remarks>
internal sealed unsafe class Snapshot
{
    /// <summary>Buckets looked at before the clock is.</summary>
    private const int BucketsAtOnce = 8;

    /// <summary>Collections of up to so many elements are captured with their key.</summary>
    private const int SmallCollection = 64;

    /// <summary>Nodes of a list that are captured before the clock is looked at (8 KiB each as a rule).</summary>
    private const int NodesAtOnce = 4;

    /// <summary>A run of elements ends when it is this long.</summary>
    private const int RunBytes = 64 * 1024;

    private readonly Keyspace _keyspace;
    private readonly SnapshotWriter _writer;
    private readonly nint[] _tables;
    private readonly Queue<Collection> _open = new();
    private NativeList<nint> _records;
    private int _table;
    private ulong _cursor;
    private bool _discards;

    private Snapshot(Keyspace keyspace, ISnapshotSink sink)
    {
        _keyspace = keyspace;
        _writer = new SnapshotWriter(sink);
        Epoch = keyspace.SnapshotEpochs.Next();
        _tables = new nint[keyspace.Databases.Length];
        for (int i = 0; i < _tables.Length; i++)
        {
            _tables[i] = (nint)keyspace.Databases[i].Keys;
            KeyCount += keyspace.Databases[i].Count;
        }

        // Libraries are few and small: they are captured at once.
        foreach ((string name, byte[] code) in keyspace.Functions.Libraries)
        {
            byte[] bytes = System.Text.Encoding.Latin1.GetBytes(name);
            byte* to = _writer.Reserve(1 + 10 + bytes.Length + 10 + code.Length);
            *to++ = (byte)SnapshotPiece.Function;
            to = SnapshotWriter.Varint(to, (ulong)bytes.Length);
            bytes.CopyTo(new Span<byte>(to, bytes.Length));
            to = SnapshotWriter.Varint(to + bytes.Length, (ulong)code.Length);
            code.CopyTo(new Span<byte>(to, code.Length));
            _writer.Commit(to + code.Length);
        }
    }

    /// <summary>A collection that lacks elements: of a table, of a frozen list, or of a frozen stream.</summary>
    private sealed class Collection
    {
        public required ulong Id { get; init; }
        public KeyTable* Table { get; init; }
        public FrozenList* List { get; init; }
        public FrozenStream? Stream { get; init; }
        public ulong Cursor { get; set; }
    }

    /// <summary>The mark of records that were captured, or made after it began (2 bits).</summary>
    public int Epoch { get; }

    /// <summary>Keys there were when it began.</summary>
    public long KeyCount { get; }

    /// <summary>Keys captured so far.</summary>
    public long CapturedKeys { get; private set; }

    /// <summary>Whether it was cancelled and only goes on to mark what it has not met.</summary>
    public bool IsCancelled => _discards;

    /// <summary>Begins a snapshot of the keyspace as it is now: between two entries of the log.</summary>
    public static Snapshot Begin(Keyspace keyspace, ISnapshotSink sink)
    {
        if (keyspace.Snapshot is not null)
        {
            throw new InvalidOperationException("A snapshot runs already.");
        }

        return keyspace.Snapshot = new Snapshot(keyspace, sink);
    }

    /// <summary>Captures what a record holds before it changes.</summary>
    public void BeforeChange(Database database, byte* record)
    {
        if (Record.SnapshotEpoch(record) != Epoch)
        {
            CaptureKey(NumberOf(database), record);
        }
    }

    /// <summary>Captures an element of a big collection before it changes or goes. Its key was opened before, so the collection is known.</summary>
    /// <param name="structure">What the key's record points to.</param>
    /// <param name="element">The element's record.</param>
    public void BeforeElement(void* structure, byte* element)
    {
        if (Record.SnapshotEpoch(element) != Epoch)
        {
            Record.SetSnapshotEpoch(element, Epoch);
            nint pointer = (nint)element;
            WriteElements((ulong)structure, new ReadOnlySpan<nint>(ref pointer));
        }
    }

    /// <summary>Captures until done (true) or past a time stamp.</summary>
    public bool Step(long deadline)
    {
        while (true)
        {
            if (_open.TryPeek(out Collection? collection))
            {
                if (CaptureMore(collection))
                {
                    _open.Dequeue();
                }
            }
            else if (_table < _tables.Length)
            {
                CaptureKeys();
            }
            else
            {
                Finish();
                return true;
            }

            if (Stopwatch.GetTimestamp() >= deadline)
            {
                return false;
            }
        }
    }

    /// <summary>
    /// Gives up. True: it is over. False: it must still meet all records, without output, before another one can begin
    /// (see <see cref="SnapshotEpochs"/>): go on with <see cref="Step"/>.
    /// </summary>
    public bool Cancel()
    {
        _discards = true;
        if (!_keyspace.SnapshotEpochs.MayCancel(Epoch))
        {
            return false;
        }

        foreach (Collection collection in _open)
        {
            if (collection.List != null)
            {
                FrozenList.Release(_keyspace.Heap, collection.List);
            }

            collection.Stream?.Release(_keyspace.Heap);
        }

        _open.Clear();
        _keyspace.SnapshotEpochs.Cancelled(Epoch);
        End();
        return true;
    }

    private void Finish()
    {
        _keyspace.SnapshotEpochs.Completed(Epoch);
        End();
    }

    private void End()
    {
        _writer.Flush();
        _records.Dispose();
        _keyspace.Snapshot = null;
    }

    /// <summary>The number of a database when the snapshot began. A table that is younger holds marked records only.</summary>
    private int NumberOf(Database database)
    {
        int number = Array.IndexOf(_tables, (nint)database.Keys);
        return number >= 0 ? number : throw new InvalidOperationException("A record without the snapshot's mark is in a table that the snapshot does not know.");
    }

    // ------------------------------------------------------------------ keys

    private void CaptureKeys()
    {
        var table = (KeyTable*)_tables[_table];
        _records.Clear();
        int buckets = 0;
        do
        {
            _cursor = table->ScanBucket(_cursor, ref _records);
        }
        while (_cursor != 0 && ++buckets < BucketsAtOnce);
        foreach (nint record in _records.Span)
        {
            Bytes.Prefetch((void*)record);
        }

        int database = _table;
        if (_cursor == 0)
        {
            _table++;
        }

        // Capturing a small collection scans too, into the same list behind these.
        long count = _records.Count;
        for (int i = 0; i < count; i++)
        {
            var record = (byte*)_records[i];
            if (Record.SnapshotEpoch(record) != Epoch)
            {
                CaptureKey(database, record);
            }
        }
    }

    private void CaptureKey(int database, byte* record)
    {
        Record.SetSnapshotEpoch(record, Epoch);
        CapturedKeys++;
        switch ((DataEncoding)Record.Encoding(record))
        {
            case DataEncoding.HashTable:
                var table = Record.NativePointer<KeyTable>(record);
                CaptureTable(database, record, table, table);
                break;
            case DataEncoding.ExpiringTable:
                // A hash's id is that of its table in both layouts: it may get the other while it is captured.
                KeyTable* fields = Record.NativePointer<SortedSetStructure>(record)->Members;
                CaptureTable(database, record, fields, fields);
                break;
            case DataEncoding.SortedTree:
                var sorted = Record.NativePointer<SortedSetStructure>(record);
                CaptureTable(database, record, sorted, sorted->Members);
                break;
            case DataEncoding.Quicklist when !_discards:
                FrozenList* list = Record.NativePointer<Quicklist>(record)->Freeze(_keyspace.Heap);
                WriteCollection(database, record, (ulong)list, list->Count);
                Open(new Collection { Id = (ulong)list, List = list }, list->NodeCount <= NodesAtOnce);
                break;
            case DataEncoding.Stream when !_discards:
                var stream = Record.NativePointer<StreamStructure>(record);
                WriteStream(database, record, stream);
                var frozen = new FrozenStream(stream);
                Open(new Collection { Id = (ulong)stream, Stream = frozen }, frozen.LeafCount <= NodesAtOnce && stream->Nodes.Count <= NodesAtOnce);
                break;
            case DataEncoding.Quicklist:
            case DataEncoding.Stream:
                break;
            default:
                WriteValue(database, record);
                break;
        }
    }

    private void CaptureTable(int database, byte* record, void* structure, KeyTable* table)
    {
        WriteCollection(database, record, (ulong)structure, table->Count);
        Open(new Collection { Id = (ulong)structure, Table = table }, table->Count <= SmallCollection);
    }

    private void Open(Collection collection, bool isSmall)
    {
        if (isSmall)
        {
            while (!CaptureMore(collection))
            {
            }
        }
        else
        {
            _open.Enqueue(collection);
        }
    }

    // ------------------------------------------------------------------ elements

    /// <summary>Captures some elements of a collection; true when none is left.</summary>
    private bool CaptureMore(Collection collection)
    {
        if (collection.List != null)
        {
            return CaptureNodes(collection);
        }

        if (collection.Stream != null)
        {
            return CaptureLeaf(collection, collection.Stream);
        }

        // The list may hold keys that are yet to be captured: what is scanned here goes behind them.
        int start = (int)_records.Count;
        int buckets = 0;
        do
        {
            collection.Cursor = collection.Table->ScanBucket(collection.Cursor, ref _records);
        }
        while (collection.Cursor != 0 && ++buckets < BucketsAtOnce);
        Span<nint> found = _records.Span[start..];
        foreach (nint element in found)
        {
            Bytes.Prefetch((void*)element);
        }

        int fresh = 0;
        foreach (nint element in found)
        {
            if (Record.SnapshotEpoch((byte*)element) != Epoch)
            {
                Record.SetSnapshotEpoch((byte*)element, Epoch);
                found[fresh++] = element;
            }
        }

        WriteElements(collection.Id, found[..fresh]);
        _records.Truncate(start);
        return collection.Cursor == 0;
    }

    private bool CaptureNodes(Collection collection)
    {
        FrozenList* list = collection.List;
        for (int i = 0; i < NodesAtOnce && collection.Cursor < (ulong)list->NodeCount; i++)
        {
            WriteNode(collection.Id, list, (long)collection.Cursor++);
        }

        if (collection.Cursor < (ulong)list->NodeCount && !_discards)
        {
            return false;
        }

        FrozenList.Release(_keyspace.Heap, list);
        return true;
    }

    /// <summary>One leaf of a stream's nodes, or of a group's pending entries.</summary>
    private bool CaptureLeaf(Collection collection, FrozenStream stream)
    {
        if (collection.Cursor < (ulong)stream.LeafCount)
        {
            IdLeaf* leaf = stream.Leaf((int)collection.Cursor++, out int group);
            if (group < 0)
            {
                WriteStreamNodes(collection.Id, leaf);
            }
            else
            {
                WritePending(collection.Id, group, leaf);
            }
        }

        if (collection.Cursor < (ulong)stream.LeafCount && !_discards)
        {
            return false;
        }

        stream.Release(_keyspace.Heap);
        return true;
    }

    // ------------------------------------------------------------------ pieces

    private void WriteValue(int database, byte* record)
    {
        if (_discards)
        {
            return;
        }

        byte* value = Record.ValueBytes(record, out long length);
        byte* to = _writer.Reserve(HeadBound(record) + length + 10);
        to = WriteHead(to, SnapshotPiece.Value, database, record);
        _writer.Commit(SnapshotWriter.Bytes(to, value, length));
    }

    private void WriteCollection(int database, byte* record, ulong id, long count)
    {
        if (_discards)
        {
            return;
        }

        byte* to = _writer.Reserve(HeadBound(record) + 18);
        to = WriteHead(to, SnapshotPiece.Collection, database, record);
        to = SnapshotWriter.UInt64(to, id);
        _writer.Commit(SnapshotWriter.Varint(to, (ulong)count));
    }

    private static long HeadBound(byte* record) => 40L + Record.KeyLength(record);

    private static byte* WriteHead(byte* to, SnapshotPiece piece, int database, byte* record)
    {
        *to++ = (byte)piece;
        to = SnapshotWriter.Varint(to, (ulong)database);
        *to++ = record[0];
        bool expires = Record.HasExpire(record);
        *to++ = expires ? (byte)1 : (byte)0;
        uint lru = Record.Lru(record);
        *to++ = (byte)lru;
        *to++ = (byte)(lru >> 8);
        *to++ = (byte)(lru >> 16);
        to = SnapshotWriter.Bytes(to, Record.Key(record), Record.KeyLength(record));
        return expires ? SnapshotWriter.UInt64(to, (ulong)Record.ExpireAt(record)) : to;
    }

    private void WriteElements(ulong id, ReadOnlySpan<nint> elements)
    {
        while (elements.Length > 0 && !_discards)
        {
            long bytes = 19;
            int count = 0;
            bool expires = Record.HasExpire((byte*)elements[0]);
            do
            {
                var element = (byte*)elements[count++];
                Record.ValueBytes(element, out long length);
                bytes += 28 + Record.KeyLength(element) + length;
            }
            while (count < elements.Length && bytes < RunBytes && Record.HasExpire((byte*)elements[count]) == expires);

            byte* to = _writer.Reserve(bytes);
            *to++ = (byte)(expires ? SnapshotPiece.ExpiringElements : SnapshotPiece.Elements);
            to = SnapshotWriter.UInt64(to, id);
            to = SnapshotWriter.Varint(to, (ulong)count);
            foreach (nint pointer in elements[..count])
            {
                var element = (byte*)pointer;
                to = SnapshotWriter.Bytes(to, Record.Key(element), Record.KeyLength(element));
                byte* value = Record.ValueBytes(element, out long length);
                to = SnapshotWriter.Bytes(to, value, length);
                to = expires ? SnapshotWriter.UInt64(to, (ulong)Record.ExpireAt(element)) : to;
            }

            _writer.Commit(to);
            elements = elements[count..];
        }
    }

    private void WriteNode(ulong id, FrozenList* list, long index)
    {
        if (_discards)
        {
            return;
        }

        bool plain = list->GetNode(index, out byte* data, out int length, out int count);
        byte* to = _writer.Reserve(30L + length);
        *to++ = (byte)SnapshotPiece.Node;
        to = SnapshotWriter.UInt64(to, id);
        *to++ = plain ? (byte)1 : (byte)0;
        to = SnapshotWriter.Varint(to, (ulong)count);
        _writer.Commit(SnapshotWriter.Bytes(to, data, length));
    }

    private void WriteStream(int database, byte* record, StreamStructure* stream)
    {
        const int IdBytes = 16, NumberBytes = 10;
        long bytes = HeadBound(record) + (2 * IdBytes) + 8 + (4 * NumberBytes), count = stream->Nodes.Count;
        for (int i = 0; i < stream->GroupCount; i++)
        {
            StreamGroup* group = stream->Groups[i];
            count += group->Pending.Count;
            bytes += group->Name.Length + IdBytes + 8 + (2 * NumberBytes);
            for (int j = 0; j < group->ConsumerCount; j++)
            {
                bytes += group->Consumers[j]->Name.Length + (2 * NumberBytes) + 16;
            }
        }

        byte* to = WriteHead(_writer.Reserve(bytes), SnapshotPiece.Stream, database, record);
        to = SnapshotWriter.UInt64(to, (ulong)stream);
        to = SnapshotWriter.Varint(to, (ulong)count);
        to = WriteId(to, stream->LastId);
        to = WriteId(to, stream->MaxDeletedId);
        to = SnapshotWriter.UInt64(to, stream->EntriesAdded);
        to = SnapshotWriter.Varint(to, (ulong)stream->GroupCount);
        for (int i = 0; i < stream->GroupCount; i++)
        {
            StreamGroup* group = stream->Groups[i];
            to = WriteName(to, group->Name);
            to = WriteId(to, group->LastId);
            to = SnapshotWriter.UInt64(to, (ulong)group->EntriesRead);
            to = SnapshotWriter.Varint(to, (ulong)group->ConsumerCount);
            for (int j = 0; j < group->ConsumerCount; j++)
            {
                StreamConsumer* consumer = group->Consumers[j];
                to = SnapshotWriter.Varint(to, consumer->Slot);
                to = WriteName(to, consumer->Name);
                to = SnapshotWriter.UInt64(to, (ulong)consumer->SeenMs);
                to = SnapshotWriter.UInt64(to, (ulong)consumer->ActiveMs);
            }
        }

        _writer.Commit(to);
    }

    private static byte* WriteId(byte* to, StreamId id) => SnapshotWriter.UInt64(SnapshotWriter.UInt64(to, id.Ms), id.Seq);

    private static byte* WriteName(byte* to, ReadOnlySpan<byte> name)
    {
        fixed (byte* p = name)
        {
            return SnapshotWriter.Bytes(to, p, name.Length);
        }
    }

    private void WriteStreamNodes(ulong id, IdLeaf* leaf)
    {
        for (int i = 0; i < leaf->Count && !_discards; i++)
        {
            StreamBlock* block = *(StreamBlock**)leaf->ValueAt(i, sizeof(StreamBlock*));
            byte* to = _writer.Reserve(40L + block->Length);
            *to++ = (byte)SnapshotPiece.StreamNode;
            to = SnapshotWriter.UInt64(to, id);
            to = WriteId(to, leaf->Ids[i]);
            _writer.Commit(SnapshotWriter.Bytes(to, block->Data, block->Length));
        }
    }

    private void WritePending(ulong id, int group, IdLeaf* leaf)
    {
        if (_discards)
        {
            return;
        }

        byte* to = _writer.Reserve(40L + (leaf->Count * 40L));
        *to++ = (byte)SnapshotPiece.Pending;
        to = SnapshotWriter.UInt64(to, id);
        to = SnapshotWriter.Varint(to, (ulong)group);
        to = SnapshotWriter.Varint(to, leaf->Count);
        for (int i = 0; i < leaf->Count; i++)
        {
            var entry = (PendingEntry*)leaf->ValueAt(i, sizeof(PendingEntry));
            to = WriteId(to, leaf->Ids[i]);
            to = SnapshotWriter.UInt64(to, (ulong)entry->DeliveredMs);
            to = SnapshotWriter.Varint(to, entry->Deliveries);
            to = SnapshotWriter.Varint(to, entry->Consumer);
        }

        _writer.Commit(to);
    }
}
