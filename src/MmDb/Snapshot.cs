using System.Diagnostics;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;
using Leither.MmDb.Memory;
using Leither.MmDb.Values;

namespace Leither.MmDb;

/// <summary>
/// A view of the keyspace at one position, taken while clients go on: a value about to change is captured first, and the rest is captured
/// slice by slice. Checkpoints, RDB output and versions are written from it.
/// </summary>
/// <remarks>
/// <para>Effects call <see cref="BeforeChange"/> before they touch a key, and <see cref="BeforeElement"/> before they touch an element of a
/// big collection. A big collection is captured in parts: first its key with the collection's id, which is its address, then each
/// element by itself; a list or stream is frozen, which shares its nodes until they change.</para>
/// <para>What must stay true:</para>
/// <list type="bullet">
/// <item>It reads the tables that the databases had when it began. SWAPDB and FLUSHALL give databases other tables; the old ones,
/// and the structures of removed collections, wait in <see cref="LazyFree"/> until the snapshot is over. So no table it
/// has still to read goes, and no address names two collections.</item>
/// <item>Nothing is moved by compaction while it runs.</item>
/// </list>
/// </remarks>
internal abstract unsafe class Snapshot
{
    /// <summary>Buckets looked at before the clock is.</summary>
    protected const int BucketsAtOnce = 8;

    /// <summary>Nodes of a list that are captured before the clock is looked at (8 KiB each as a rule).</summary>
    protected const int NodesAtOnce = 4;

    /// <summary>Collections of up to so many elements are captured with their key.</summary>
    private const int SmallCollection = 64;

    /// <summary>A run of elements ends when it is this long.</summary>
    private const int RunBytes = 64 * 1024;

    private readonly nint[] _tables;
    private readonly SnapshotWriter _writer;
    private readonly Queue<Collection> _open = new();
    private NativeList<nint> _records;

    /// <summary>Begins one of the keyspace as it is now: between two entries of the log.</summary>
    protected Snapshot(Keyspace keyspace, ISnapshotSink sink)
    {
        if (keyspace.Snapshot is not null)
        {
            throw new InvalidOperationException("A snapshot runs already.");
        }

        Keyspace = keyspace;
        _writer = new SnapshotWriter(sink);
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

        if (keyspace.Files is { IsNone: false } files)
        {
            byte* to = _writer.Reserve(2 + Cid.MaxLength);
            *to++ = (byte)SnapshotPiece.Files;
            int length = files.Write(new Span<byte>(to + 1, Cid.MaxLength));
            to = SnapshotWriter.Varint(to, (ulong)length);
            _writer.Commit(to + length);
        }

        keyspace.Snapshot = this;
    }

    /// <summary>A collection that lacks elements: of a table, of a frozen list, or of a frozen stream.</summary>
    protected sealed class Collection
    {
        /// <summary>Its id.</summary>
        public required ulong Id { get; init; }
        /// <summary>Its elements, if they lie in a table.</summary>
        public KeyTable* Table { get; init; }
        /// <summary>A list's nodes.</summary>
        public FrozenList* List { get; init; }
        /// <summary>A stream's nodes.</summary>
        public FrozenStream? Stream { get; init; }
        /// <summary>Whether it is captured with its key, at once.</summary>
        public bool IsSmall { get; init; }
        /// <summary>Where capturing goes on.</summary>
        public ulong Cursor { get; set; }

        /// <summary>Gives back what was frozen.</summary>
        public void Release(NativeHeap heap)
        {
            if (List != null)
            {
                FrozenList.Release(heap, List);
            }

            Stream?.Release(heap);
        }
    }

    /// <summary>The mark of records that were captured, or made after it began (2 bits); -1: it does not go by marks.</summary>
    public abstract int Epoch { get; }

    /// <summary>Keys there were when it began.</summary>
    public long KeyCount { get; }

    /// <summary>Keys captured so far.</summary>
    public long CapturedKeys { get; protected set; }

    /// <summary>Whether it was cancelled and only goes on to mark what it has not met.</summary>
    public bool IsCancelled { get; protected set; }

    /// <summary>The data.</summary>
    protected Keyspace Keyspace { get; }

    /// <summary>Begins a snapshot of all there is.</summary>
    public static Snapshot Begin(Keyspace keyspace, ISnapshotSink sink) => new WholeSnapshot(keyspace, sink);

    /// <summary>Captures what a record holds before it changes.</summary>
    public abstract void BeforeChange(Database database, byte* record);

    /// <summary>Captures an element of a big collection before it changes or goes. Its key was opened before, so the collection is known.</summary>
    /// <param name="structure">What the key's record points to.</param>
    /// <param name="element">The element's record.</param>
    public abstract void BeforeElement(void* structure, byte* element);

    /// <summary>A record was made, which is not part of it, and will be put into a database's table.</summary>
    public abstract void Created(Database database, byte* record);

    /// <summary>An element's record was made, which is not part of it.</summary>
    /// <param name="structure">The collection's id; null: that of a new collection.</param>
    /// <param name="element">The element's record.</param>
    public abstract void CreatedElement(void* structure, byte* element);

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
            else if (!CaptureKeys())
            {
                Completed();
                End();
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
    public abstract bool Cancel();

    /// <summary>Captures some of the keys that are left; false: there were none.</summary>
    protected abstract bool CaptureKeys();

    /// <summary>All was captured.</summary>
    protected abstract void Completed();

    /// <summary>Whether an element that the walk came to is captured now.</summary>
    protected abstract bool Takes(byte* element);

    /// <summary>Lets go of everything.</summary>
    protected void End()
    {
        foreach (Collection collection in _open)
        {
            collection.Release(Keyspace.Heap);
        }

        _open.Clear();
        _writer.Flush();
        _records.Dispose();
        Keyspace.Snapshot = null;
    }

    /// <summary>Hands over what was written so far.</summary>
    protected void Flush() => _writer.Flush();

    /// <summary>The table that a database had when the snapshot began.</summary>
    protected KeyTable* Table(int number) => (KeyTable*)_tables[number];

    /// <summary>The number of a database when the snapshot began; -1: its table is younger.</summary>
    protected int NumberOf(Database database) => Array.IndexOf(_tables, (nint)database.Keys);

    /// <summary>How many databases there are.</summary>
    protected int DatabaseCount => _tables.Length;

    /// <summary>The records of some buckets. Capturing a small collection scans too, into the same list behind them.</summary>
    protected ref NativeList<nint> Scan(KeyTable* table, ref ulong cursor)
    {
        _records.Clear();
        int buckets = 0;
        do
        {
            cursor = table->ScanBucket(cursor, ref _records);
        }
        while (cursor != 0 && ++buckets < BucketsAtOnce);
        foreach (nint record in _records.Span)
        {
            Bytes.Prefetch((void*)record);
        }

        return ref _records;
    }

    // ------------------------------------------------------------------ keys

    /// <summary>Writes what a record holds, or, for a big collection, that it is one: then gives it, and its elements are to be captured.</summary>
    protected Collection? CaptureHead(int database, byte* record)
    {
        CapturedKeys++;
        switch ((DataEncoding)Record.Encoding(record))
        {
            case DataEncoding.HashTable:
                var table = Record.NativePointer<KeyTable>(record);
                return CaptureTable(database, record, table, table);
            case DataEncoding.ExpiringTable:
                // A hash's id is that of its table in both layouts: it may get the other while it is captured.
                KeyTable* fields = Record.NativePointer<SortedSetStructure>(record)->Members;
                return CaptureTable(database, record, fields, fields);
            case DataEncoding.SortedTree:
                var sorted = Record.NativePointer<SortedSetStructure>(record);
                return CaptureTable(database, record, sorted, sorted->Members);
            case DataEncoding.Quicklist when !IsCancelled:
                FrozenList* list = Record.NativePointer<Quicklist>(record)->Freeze(Keyspace.Heap);
                WriteCollection(database, record, (ulong)list, list->Count);
                return new Collection { Id = (ulong)list, List = list, IsSmall = list->NodeCount <= NodesAtOnce };
            case DataEncoding.Stream when !IsCancelled:
                var stream = Record.NativePointer<StreamStructure>(record);
                WriteStream(database, record, stream);
                var frozen = new FrozenStream(stream);
                return new Collection
                {
                    Id = (ulong)stream,
                    Stream = frozen,
                    IsSmall = frozen.LeafCount <= NodesAtOnce && stream->Nodes.Count <= NodesAtOnce,
                };
            case DataEncoding.Quicklist:
            case DataEncoding.Stream:
                return null;
            default:
                WriteValue(database, record);
                return null;
        }
    }

    private Collection CaptureTable(int database, byte* record, void* structure, KeyTable* table)
    {
        WriteCollection(database, record, (ulong)structure, table->Count);
        return new Collection { Id = (ulong)structure, Table = table, IsSmall = table->Count <= SmallCollection };
    }

    /// <summary>Captures a collection's elements: at once, or when its turn comes.</summary>
    protected void Open(Collection collection)
    {
        if (!collection.IsSmall)
        {
            _open.Enqueue(collection);
            return;
        }

        while (!CaptureMore(collection))
        {
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
            if (Takes((byte*)element))
            {
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

        if (collection.Cursor < (ulong)list->NodeCount && !IsCancelled)
        {
            return false;
        }

        FrozenList.Release(Keyspace.Heap, list);
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

        if (collection.Cursor < (ulong)stream.LeafCount && !IsCancelled)
        {
            return false;
        }

        stream.Release(Keyspace.Heap);
        return true;
    }

    // ------------------------------------------------------------------ pieces

    protected void WriteValue(int database, byte* record)
    {
        if (IsCancelled)
        {
            return;
        }

        byte* value = Record.ValueBytes(record, out long length);
        byte* to = _writer.Reserve(HeadBound(record) + length + 10);
        to = WriteHead(to, SnapshotPiece.Value, database, record);
        _writer.Commit(SnapshotWriter.Bytes(to, value, length));
    }

    protected void WriteCollection(int database, byte* record, ulong id, long count)
    {
        if (IsCancelled)
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

    protected void WriteElements(ulong id, ReadOnlySpan<nint> elements)
    {
        while (elements.Length > 0 && !IsCancelled)
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

    /// <summary>Writes that an element was made after the snapshot began.</summary>
    protected void WriteNewElement(ulong id, byte* element)
    {
        byte* to = _writer.Reserve(19L + Record.KeyLength(element));
        *to++ = (byte)SnapshotPiece.NewElement;
        to = SnapshotWriter.UInt64(to, id);
        _writer.Commit(SnapshotWriter.Bytes(to, Record.Key(element), Record.KeyLength(element)));
    }

    private void WriteNode(ulong id, FrozenList* list, long index)
    {
        if (IsCancelled)
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

    protected void WriteStream(int database, byte* record, StreamStructure* stream)
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
        for (int i = 0; i < leaf->Count && !IsCancelled; i++)
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
        if (IsCancelled)
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
