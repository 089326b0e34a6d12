using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Leither.Ipfs.Files;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;
using Leither.MmDb.Memory;
using Leither.MmDb.Values;

namespace Leither.MmDb.Checkpoints;

/// <summary>
/// Reads a checkpoint into a keyspace. The records are made directly, in tables of their own, which become the databases' when all
/// of the file was right: until then the keyspace is as it was.
/// </summary>
internal sealed unsafe class CheckpointLoader
{
    /// <summary>Keys whose buckets are on their way from memory while the next ones are decoded.</summary>
    private const int Ahead = 16;

    private readonly Keyspace _keyspace;
    private readonly NativeHeap _heap;
    private readonly nint[] _keys, _expires;
    private readonly Dictionary<ulong, Collection> _open = [];
    private Collection? _last;
    private ulong _lastId;
    private readonly Pending[] _arriving = new Pending[Ahead];
    private int _arrived;
    private long _count;

    private CheckpointLoader(Keyspace keyspace)
    {
        _keyspace = keyspace;
        _heap = keyspace.Heap;
        _keys = new nint[keyspace.Databases.Length];
        _expires = new nint[keyspace.Databases.Length];
        for (int i = 0; i < _keys.Length; i++)
        {
            _keys[i] = (nint)KeyTable.Create(_heap);
            _expires[i] = (nint)KeyTable.Create(_heap);
        }
    }

    /// <summary>A collection that lacks elements.</summary>
    private sealed class Collection
    {
        public DataType Type { get; init; }
        public KeyTable* Table { get; init; }
        public SortedTree* Tree { get; init; }
        public Quicklist* List { get; init; }
        public StreamStructure* Stream { get; init; }

        /// <summary>A stream's consumers by group and by the slots that they had.</summary>
        public List<Dictionary<ulong, nint>>? Consumers { get; init; }
        public long Missing { get; set; }
    }

    private readonly List<(int Database, byte[] Name)> _expiringHashes = [];

    /// <summary>A record that is to be put into its table.</summary>
    private struct Pending
    {
        public byte* Record;
        public ulong Hash;
        public int Database;
    }

    /// <summary>Reads a checkpoint; what the keyspace held before goes, in slices.</summary>
    /// <exception cref="CheckpointCorruptedException">It cannot be used; the keyspace is as it was.</exception>
    public static CheckpointInfo Load(IFolder files, string name, Keyspace keyspace)
    {
        var loader = new CheckpointLoader(keyspace);
        try
        {
            CheckpointInfo info = Read(files, name, loader);
            loader.Adopt();
            return info;
        }
        catch
        {
            loader.PutRest();
            loader.Release();
            throw;
        }
    }

    /// <summary>Reads a checkpoint and its checksums, and keeps nothing.</summary>
    /// <exception cref="CheckpointCorruptedException">It could not be used.</exception>
    public static CheckpointInfo Verify(IFolder files, string name) => Read(files, name, null);

    /// <summary>Puts the tables into the databases, and what was there away.</summary>
    private void Adopt()
    {
        for (int i = 0; i < _keys.Length; i++)
        {
            Database database = _keyspace.Databases[i];
            nint keys = (nint)database.Keys, expires = (nint)database.Expires;
            database.Keys = (KeyTable*)_keys[i];
            database.Expires = (KeyTable*)_expires[i];
            database.AverageTtlMs = 0;
            database.ExpireCursor = 0;
            (_keys[i], _expires[i]) = (keys, expires);
            if (database.FieldAgenda != null)
            {
                _keyspace.LazyFree.ReleaseAgenda(database.FieldAgenda);
                database.FieldAgenda = null;
            }
        }

        foreach ((int database, byte[] name) in _expiringHashes)
        {
            _keyspace.FieldExpiry.Note(_keyspace.Databases[database], name);
        }

        Release();
    }

    private void Release()
    {
        for (int i = 0; i < _keys.Length; i++)
        {
            _keyspace.LazyFree.ReleaseDatabase((KeyTable*)_keys[i], (KeyTable*)_expires[i]);
        }
    }

    // ------------------------------------------------------------------ the file

    private static CheckpointInfo Read(IFolder files, string name, CheckpointLoader? loader)
    {
        string fullName = files.FullName(name);
        long at = 0, capacity = SnapshotChunk.UsualCapacity;
        byte* buffer = (byte*)NativeMemory.Alloc((nuint)capacity);
        try
        {
            using IFile file = files.Open(name);
            long length = file.Length, pieces = 0;
            if (length < CheckpointFormat.HeaderBytes || !ReadFully(file, 0, buffer, CheckpointFormat.HeaderBytes))
            {
                throw new CheckpointCorruptedException(fullName, 0, "it ends within its header");
            }

            if (CheckpointHeader.Decode(buffer, out CheckpointHeader header, out uint seed) is { } problem)
            {
                throw new CheckpointCorruptedException(fullName, 0, problem);
            }

            if (!CheckpointFormat.TryParseName(name, out Position position) || position != header.Position)
            {
                throw new CheckpointCorruptedException(fullName, 0, $"it holds entry {header.Position}, which is not what its name says");
            }

            loader?.Expect(header, length);
            byte* chunk = stackalloc byte[CheckpointFormat.ChunkHeaderBytes];
            at = CheckpointFormat.HeaderBytes;
            for (uint number = 0; ; number++)
            {
                if (length - at < CheckpointFormat.ChunkHeaderBytes || !ReadFully(file, at, chunk, CheckpointFormat.ChunkHeaderBytes))
                {
                    throw new CheckpointCorruptedException(fullName, at, "it ends where another chunk must follow");
                }

                long bytes = *(uint*)chunk;
                if (bytes > length - at - CheckpointFormat.ChunkHeaderBytes)
                {
                    throw new CheckpointCorruptedException(fullName, at, $"a chunk of {bytes} bytes goes over the end of the file");
                }

                if (bytes > capacity)
                {
                    buffer = (byte*)NativeMemory.Realloc(buffer, (nuint)bytes);
                    capacity = bytes;
                }

                if (!ReadFully(file, at + CheckpointFormat.ChunkHeaderBytes, buffer, bytes))
                {
                    throw new CheckpointCorruptedException(fullName, at, "it became shorter while it was read");
                }

                if (*(uint*)(chunk + 4) != CheckpointFormat.ChunkCrc(chunk, buffer, bytes, seed) || *(uint*)(chunk + 8) != number)
                {
                    throw new CheckpointCorruptedException(fullName, at, "the checksum of a chunk is wrong");
                }

                uint kind = *(uint*)(chunk + 12);
                at += CheckpointFormat.ChunkHeaderBytes + bytes;
                if (kind == CheckpointFormat.PiecesKind)
                {
                    pieces += bytes;
                    loader?.ReadPieces(buffer, bytes);
                    continue;
                }

                loader?.PutRest();
                (long count, int open) = loader is null ? (header.Keys, 0) : (loader._count, loader._open.Count);
                bool whole = kind == CheckpointFormat.EndKind && bytes == CheckpointFormat.EndBytes && at == length && *(long*)(buffer + 8) == pieces;
                if (!whole || *(long*)buffer != count || header.Keys != count || open != 0)
                {
                    throw new CheckpointCorruptedException(fullName, at, $"its end does not fit what it holds: {count} keys, {open} collections that lack elements");
                }

                return new CheckpointInfo(name, header.Position, header.Time, header.BegunMs, count, length);
            }
        }
        catch (SnapshotFormatException e)
        {
            throw new CheckpointCorruptedException(fullName, at, e.Message, e);
        }
        catch (DiskException e)
        {
            throw new CheckpointCorruptedException(fullName, at, e.Reason, e);
        }
        finally
        {
            NativeMemory.Free(buffer);
        }
    }

    /// <summary>Makes the table of the database that has the most keys as large as it will be.</summary>
    private void Expect(in CheckpointHeader header, long length)
    {
        // Type, expiry, access time, lengths and chunk headers: no key takes less of the file.
        const int leastBytes = 8;
        if ((uint)header.Largest < (uint)_keys.Length)
        {
            var small = (KeyTable*)_keys[header.Largest];
            _keys[header.Largest] = (nint)KeyTable.Create(_heap, Math.Min(header.Keys, length / leastBytes));
            KeyTable.Destroy(_heap, small);
        }
    }

    private static bool ReadFully(IFile file, long at, byte* to, long count)
    {
        while (count > 0)
        {
            int read = file.Read(at, new Span<byte>(to, (int)Math.Min(count, 1 << 30)));
            if (read <= 0)
            {
                return false;
            }

            at += read;
            to += read;
            count -= read;
        }

        return true;
    }

    // ------------------------------------------------------------------ pieces

    private void ReadPieces(byte* data, long length)
    {
        var reader = new SnapshotReader(data, length);
        while (!reader.AtEnd)
        {
            switch ((SnapshotPiece)reader.Byte())
            {
                case SnapshotPiece.Value:
                    ReadValue(ref reader);
                    break;
                case SnapshotPiece.Collection:
                    ReadCollection(ref reader);
                    break;
                case SnapshotPiece.Elements:
                    ReadElements(ref reader, expires: false);
                    break;
                case SnapshotPiece.ExpiringElements:
                    ReadElements(ref reader, expires: true);
                    break;
                case SnapshotPiece.Node:
                    ReadNode(ref reader);
                    break;
                case SnapshotPiece.Stream:
                    ReadStream(ref reader);
                    break;
                case SnapshotPiece.StreamNode:
                    ReadStreamNode(ref reader);
                    break;
                case SnapshotPiece.Pending:
                    ReadPending(ref reader);
                    break;
                case SnapshotPiece.Function:
                    byte* name = reader.Bytes(out int nameLength);
                    string library = System.Text.Encoding.Latin1.GetString(name, nameLength);
                    byte* code = reader.Bytes(out int codeLength);
                    _keyspace.Functions.Set(library, new ReadOnlySpan<byte>(code, codeLength).ToArray());
                    break;
                case SnapshotPiece.Files:
                    byte* root = reader.Bytes(out int rootLength);
                    _keyspace.Files = Cid.TryRead(new ReadOnlySpan<byte>(root, rootLength), out Cid files) ? files
                        : throw new SnapshotFormatException("the root of the files is no CID that this version knows");
                    break;
                default:
                    throw new SnapshotFormatException("a piece is of a kind that this version does not know");
            }
        }
    }

    private struct Head
    {
        public int Database, Type, Encoding, KeyLength;
        public byte* Key;
        public uint Lru;
        public long ExpireAt;
        public bool Expires;
    }

    private Head ReadHead(ref SnapshotReader reader)
    {
        Head head = default;
        ulong database = reader.Varint();
        if (database >= (ulong)_keys.Length)
        {
            throw new SnapshotFormatException($"database {database} is beyond the {_keys.Length} of this configuration; start with --databases {database + 1} or more");
        }

        head.Database = (int)database;
        byte kind = reader.Byte();
        head.Type = kind & 15;
        head.Encoding = kind >> 4;
        head.Expires = reader.Byte() != 0;
        head.Lru = reader.UInt24();
        head.Key = reader.Bytes(out head.KeyLength);
        head.ExpireAt = head.Expires ? (long)reader.UInt64() : 0;
        return head;
    }

    private void ReadValue(ref SnapshotReader reader)
    {
        Head head = ReadHead(ref reader);
        byte* bytes = reader.Bytes(out int length);
        bool fits = ((DataType)head.Type, (DataEncoding)head.Encoding) switch
        {
            (DataType.String, DataEncoding.Raw or DataEncoding.Embstr) => true,
            (DataType.String, DataEncoding.Int) => length == 8,
            (DataType.Set, DataEncoding.IntSet) => true,
            (DataType.List or DataType.Set or DataType.SortedSet or DataType.Hash, DataEncoding.Pack) => true,
            (DataType.Hash, DataEncoding.ExpiringPack) => true,
            _ => false,
        };
        if (!fits)
        {
            throw new SnapshotFormatException($"a value of type {head.Type} cannot be held as {head.Encoding}");
        }

        bool outside = length > Record.MaxInlineValue;
        byte* record = NewRecord(head, outside ? Record.PointerLength : length);
        if (outside)
        {
            Record.SetOutsideValue(record, LargeValue.Create(_heap, (ulong)length));
        }

        Buffer.MemoryCopy(bytes, Record.ValueBytes(record, out _), length, length);
        Put(head, record);
    }

    private byte* NewRecord(in Head head, int valueLength)
    {
        byte* record = Record.Create(_heap, head.Key, head.KeyLength, head.Type, head.Encoding, head.Expires, valueLength);
        Record.SetLru(record, head.Lru);
        if (head.Expires)
        {
            Record.SetExpireAt(record, head.ExpireAt);
        }

        return record;
    }

    /// <summary>Puts a record into its table, some records later.</summary>
    private void Put(in Head head, byte* record)
    {
        var pending = new Pending { Record = record, Hash = _heap.Hash(head.Key, head.KeyLength), Database = head.Database };
        ((KeyTable*)_keys[head.Database])->Prefetch(pending.Hash);
        ref Pending place = ref _arriving[_arrived++ % Ahead];
        Pending due = place;
        place = pending;
        if (due.Record != null)
        {
            Put(due);
        }
    }

    private void PutRest()
    {
        for (int i = 0; i < Ahead; i++)
        {
            Pending due = _arriving[i];
            _arriving[i] = default;
            if (due.Record != null)
            {
                Put(due);
            }
        }
    }

    private void Put(in Pending due)
    {
        var table = (KeyTable*)_keys[due.Database];
        if (table->Find(due.Hash, Record.Key(due.Record), Record.KeyLength(due.Record)) != null)
        {
            _keyspace.LazyFree.ReleaseValue(due.Record);
            Record.FreeShell(_heap, due.Record);
            throw new SnapshotFormatException("a key is there twice");
        }

        table->Insert(_heap, due.Hash, due.Record);
        if ((DataEncoding)Record.Encoding(due.Record) is DataEncoding.ExpiringPack or DataEncoding.ExpiringTable)
        {
            _expiringHashes.Add((due.Database, Record.KeySpan(due.Record).ToArray()));
        }

        if (Record.HasExpire(due.Record))
        {
            ((KeyTable*)_expires[due.Database])->Insert(_heap, due.Hash, due.Record);
        }

        _count++;
    }

    // ------------------------------------------------------------------ collections

    private void ReadCollection(ref SnapshotReader reader)
    {
        Head head = ReadHead(ref reader);
        ulong id = reader.UInt64();
        long count = (long)reader.Varint();
        Collection collection;
        void* structure;
        switch (((DataType)head.Type, (DataEncoding)head.Encoding))
        {
            case (DataType.Hash or DataType.Set, DataEncoding.HashTable):
                KeyTable* table = KeyTable.Create(_heap);
                structure = table;
                collection = new Collection { Type = (DataType)head.Type, Table = table, Missing = count };
                break;
            case (DataType.SortedSet, DataEncoding.SortedTree):
            case (DataType.Hash, DataEncoding.ExpiringTable):
                var sorted = (SortedSetStructure*)_heap.Alloc((nuint)sizeof(SortedSetStructure));
                sorted->Members = KeyTable.Create(_heap);
                sorted->Tree = SortedTree.Create(_heap);
                structure = sorted;
                collection = new Collection { Type = (DataType)head.Type, Table = sorted->Members, Tree = sorted->Tree, Missing = count };
                break;
            case (DataType.List, DataEncoding.Quicklist):
                Quicklist* list = Quicklist.Create(_heap);
                structure = list;
                collection = new Collection { Type = DataType.List, List = list, Missing = count };
                break;
            default:
                throw new SnapshotFormatException($"a collection of type {head.Type} cannot be held as {head.Encoding}");
        }

        byte* record = NewRecord(head, Record.PointerLength);
        Record.SetNativePointer(record, structure);
        Put(head, record);
        if (count <= 0)
        {
            throw new SnapshotFormatException("a collection has no elements");
        }

        if (!_open.TryAdd(id, collection))
        {
            throw new SnapshotFormatException("two collections have the same id");
        }
    }

    private Collection Find(ulong id)
    {
        if (_last is null || _lastId != id)
        {
            _last = _open.TryGetValue(id, out Collection? found) ? found : throw new SnapshotFormatException("elements of a collection that is not known");
            _lastId = id;
        }

        return _last;
    }

    private void Added(ulong id, Collection collection, long count)
    {
        collection.Missing -= count;
        if (collection.Missing < 0)
        {
            throw new SnapshotFormatException("a collection has more elements than it said");
        }

        if (collection.Missing == 0)
        {
            _open.Remove(id);
            _last = null;
        }
    }

    private void ReadElements(ref SnapshotReader reader, bool expires)
    {
        ulong id = reader.UInt64(), count = reader.Varint();
        Collection collection = Find(id);
        if (collection.Table == null || count > long.MaxValue)
        {
            throw new SnapshotFormatException("elements of a list");
        }

        if (expires && (collection.Type != DataType.Hash || collection.Tree == null))
        {
            throw new SnapshotFormatException("elements that cannot expire do");
        }

        for (ulong i = 0; i < count; i++)
        {
            byte* name = reader.Bytes(out int nameLength);
            byte* value = reader.Bytes(out int length);
            if (collection.Type == DataType.Set ? length != 0 : collection.Type == DataType.SortedSet && length != sizeof(double))
            {
                throw new SnapshotFormatException("an element's value is of the wrong length");
            }

            long expireAt = expires ? (long)reader.UInt64() : 0;
            ulong hash = _heap.Hash(name, nameLength);
            if (collection.Table->Find(hash, name, nameLength) != null)
            {
                throw new SnapshotFormatException("an element is there twice");
            }

            byte* element = Effects.CreateElement(_keyspace, null, name, nameLength, length);
            Buffer.MemoryCopy(value, Record.ValueBytes(element, out _), length, length);
            if (expires)
            {
                element = Record.WithExpire(_heap, element, true);
                Record.SetExpireAt(element, expireAt);
            }
            else if (collection.Type == DataType.SortedSet)
            {
                SortedSetValue.SetScore(element, Effects.Unsigned(SortedSetValue.ScoreOf(element))); // files of before kept the sign of a zero
            }

            collection.Table->Insert(_heap, hash, element);
            if (collection.Tree != null && (expires || collection.Type == DataType.SortedSet))
            {
                collection.Tree->Insert(_heap, expires ? expireAt : SortedSetValue.ScoreOf(element), element);
            }
        }

        Added(id, collection, (long)count);
    }

    private void ReadNode(ref SnapshotReader reader)
    {
        ulong id = reader.UInt64();
        bool plain = reader.Byte() != 0;
        ulong count = reader.Varint();
        byte* data = reader.Bytes(out int length);
        Collection collection = Find(id);
        bool fits = plain ? count == 1 : length >= Pack.HeaderSize && Pack.Validate(data, length) && (ulong)Pack.Count(data, length) == count;
        if (collection.List == null || !fits || count == 0)
        {
            throw new SnapshotFormatException("a list's node is damaged");
        }

        if (plain)
        {
            collection.List->AppendPlain(_heap, data, length);
        }
        else
        {
            collection.List->AppendPack(_heap, data, length);
        }

        Added(id, collection, (long)count);
    }

    // ------------------------------------------------------------------ streams

    private void ReadStream(ref SnapshotReader reader)
    {
        Head head = ReadHead(ref reader);
        ulong id = reader.UInt64();
        long count = (long)reader.Varint();
        StreamStructure* stream = StreamStructure.Create(_heap);
        byte* record = NewRecord(head, Record.PointerLength);
        Record.SetNativePointer(record, stream);
        Put(head, record);
        if ((DataType)head.Type != DataType.Stream || (DataEncoding)head.Encoding != DataEncoding.Stream || count < 0)
        {
            throw new SnapshotFormatException("a stream is none");
        }

        stream->LastId = ReadId(ref reader);
        stream->MaxDeletedId = ReadId(ref reader);
        stream->EntriesAdded = reader.UInt64();
        var collection = new Collection { Type = DataType.Stream, Stream = stream, Consumers = [], Missing = count };
        for (ulong groups = reader.Varint(); groups > 0; groups--)
        {
            ReadGroup(ref reader, collection);
        }

        if (count > 0 && !_open.TryAdd(id, collection))
        {
            throw new SnapshotFormatException("two collections have the same id");
        }
    }

    private void ReadGroup(ref SnapshotReader reader, Collection collection)
    {
        byte* name = reader.Bytes(out int nameLength);
        StreamId last = ReadId(ref reader);
        StreamGroup* group = collection.Stream->AddGroup(_heap, new ReadOnlySpan<byte>(name, nameLength), last, (long)reader.UInt64());
        if (group == null)
        {
            throw new SnapshotFormatException("a stream's group is there twice");
        }

        var consumers = new Dictionary<ulong, nint>();
        for (ulong count = reader.Varint(); count > 0; count--)
        {
            ulong slot = reader.Varint();
            name = reader.Bytes(out nameLength);
            StreamConsumer* consumer = group->AddConsumer(_heap, new ReadOnlySpan<byte>(name, nameLength), (long)reader.UInt64());
            if (consumer == null || !consumers.TryAdd(slot, (nint)consumer))
            {
                throw new SnapshotFormatException("a group's consumer is there twice");
            }

            consumer->ActiveMs = (long)reader.UInt64();
        }

        // Groups come in the order of their names, in which the stream has them.
        collection.Consumers!.Add(consumers);
        if (collection.Stream->Groups[collection.Consumers.Count - 1] != group)
        {
            throw new SnapshotFormatException("a stream's groups are not in order");
        }
    }

    private static StreamId ReadId(ref SnapshotReader reader)
    {
        ulong ms = reader.UInt64();
        return new StreamId(ms, reader.UInt64());
    }

    private void ReadStreamNode(ref SnapshotReader reader)
    {
        ulong id = reader.UInt64();
        StreamId nodeId = ReadId(ref reader);
        byte* data = reader.Bytes(out int length);
        Collection collection = Find(id);
        StreamStructure* stream = collection.Stream;
        if (stream == null || !StreamNodeCursor.Validate(data, length, nodeId))
        {
            throw new SnapshotFormatException("a stream's node is damaged");
        }

        IdCursor before = stream->Nodes.Last();
        bool follows = !before.IsValid
            || (StreamNode.TryLastId(before.Block->Data, before.Block->Length, before.Id, out StreamId last) && last < nodeId);
        if (!follows || !StreamNode.TryLastId(data, length, nodeId, out StreamId end) || end > stream->LastId)
        {
            throw new SnapshotFormatException("a stream's nodes are not in order");
        }

        stream->AppendNode(_heap, nodeId, data, length);
        if (stream->FirstId.IsZero)
        {
            stream->FindFirstId();
        }

        Added(id, collection, 1);
    }

    private void ReadPending(ref SnapshotReader reader)
    {
        ulong id = reader.UInt64(), group = reader.Varint(), count = reader.Varint();
        Collection collection = Find(id);
        if (collection.Stream == null || group >= (ulong)collection.Stream->GroupCount || count > int.MaxValue)
        {
            throw new SnapshotFormatException("pending entries of a group that is not there");
        }

        Dictionary<ulong, nint> consumers = collection.Consumers![(int)group];
        StreamGroup* to = collection.Stream->Groups[group];
        for (ulong i = 0; i < count; i++)
        {
            StreamId entry = ReadId(ref reader);
            long delivered = (long)reader.UInt64();
            ulong deliveries = reader.Varint(), slot = reader.Varint();
            if (to->Pending.Find(entry).IsValid || !consumers.TryGetValue(slot, out nint consumer))
            {
                throw new SnapshotFormatException("an entry is pending twice, or with nobody");
            }

            to->Assign(_heap, entry, (StreamConsumer*)consumer, delivered, deliveries);
        }

        Added(id, collection, (long)count);
    }
}
