using System.Runtime.InteropServices;
using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Memory;
using Leither.MmDb.Rdb;
using Leither.MmDb.Values;
using Leither.MmDb.Versions.Tree;
using Leither.Resp;

namespace Leither.MmDb.Versions;

/// <summary>What a state has under one key: its name, expiry, kind, and the place of its value in the item.</summary>
internal readonly ref struct StateItem
{
    private readonly ReadOnlySpan<byte> _item;
    private readonly int _valueAt;

    /// <summary>Reads an item of a database's tree.</summary>
    /// <exception cref="TreeFormatException">It is none.</exception>
    public StateItem(NodeStore store, ReadOnlySpan<byte> item)
    {
        _item = item;
        try
        {
            var reader = new DagCborReader(item);
            int fields = reader.ReadArrayStart();
            ReadOnlySpan<byte> key = reader.ReadBytes();
            _valueAt = reader.Position;
            Kind = StateKind.String;
            if (reader.Peek() == DagCborKind.Array)
            {
                DagCborReader value = reader;
                int parts = value.ReadArrayStart();
                long first = value.ReadInt64();
                bool isBlob = parts == 2 && first > StateFormat.MaxInlineString;
                Kind = isBlob ? StateKind.String : (StateKind)first;
                if (!isBlob && (first is < (int)StateKind.List or > (int)StateKind.Stream || parts != (Kind == StateKind.Stream ? 6 : 2)))
                {
                    throw new TreeFormatException("a value of the state is of no kind that is known");
                }
            }

            reader.Skip();
            if (fields > 2 && !reader.TryReadNull())
            {
                ExpireAt = reader.ReadInt64();
            }

            Name = fields > 3 ? StateReader.ReadString(store, ref reader) : key;
            if (fields is < 2 or > 4 || StateFormat.LongName <= key.Length != fields > 3)
            {
                throw new TreeFormatException("an item of the state has other fields than it should");
            }
        }
        catch (DagCborException e)
        {
            throw new TreeFormatException($"an item of the state is damaged: {e.Message}");
        }
    }

    /// <summary>The key's name.</summary>
    public ReadOnlySpan<byte> Name { get; }
    /// <summary>When it expires, in Unix milliseconds; 0: never.</summary>
    public long ExpireAt { get; }
    /// <summary>What it is.</summary>
    public StateKind Kind { get; }

    /// <summary>A reader that stands at the value.</summary>
    public DagCborReader Value => new(_item[_valueAt..]);
}

/// <summary>
/// Reads values out of a state, as RDB payloads (type and value): what <see cref="Effects.Restore(in Key, long, byte*, long)"/> takes. All of a value
/// is read, so a big one costs what it is.
/// </summary>
internal sealed unsafe class StateReader(NodeStore store) : IDisposable
{
    /// <summary>Entries and bytes of the nodes that a stream is put together of.</summary>
    private const int StreamNodeEntries = 100, StreamNodeBytes = 4096;

    private readonly RdbBuffer _payload = new();

    /// <summary>Reads an item's value; good until the next one.</summary>
    /// <exception cref="TreeFormatException">It is damaged.</exception>
    /// <exception cref="MissingBlockException">A block of it is not here.</exception>
    public byte* Payload(in StateItem item, out long length)
    {
        _payload.Clear();
        try
        {
            DagCborReader value = item.Value;
            Write(item.Kind, ref value);
        }
        catch (DagCborException e)
        {
            throw new TreeFormatException($"a value of the state is damaged: {e.Message}");
        }

        length = _payload.Length;
        return _payload.Data;
    }

    /// <inheritdoc/>
    public void Dispose() => _payload.Dispose();

    /// <summary>Reads a string of the format whole.</summary>
    public static byte[] ReadString(NodeStore store, ref DagCborReader reader)
    {
        if (reader.Peek() == DagCborKind.Bytes)
        {
            return reader.ReadBytes().ToArray();
        }

        reader.ReadArrayStart(2);
        long length = reader.ReadInt64();
        Cid link = reader.ReadCid();
        if (length is < 0 or > RdbFormat.MaxStringBytes)
        {
            throw new TreeFormatException($"a string of {length} bytes is in the state; the longest there can be has {RdbFormat.MaxStringBytes}");
        }

        var bytes = new byte[length];
        int read = 0;
        Blob.Read(store, link, length, chunk =>
        {
            chunk.CopyTo(bytes.AsSpan(read));
            read += chunk.Length;
        });
        return bytes;
    }

    private void Write(StateKind kind, ref DagCborReader value)
    {
        if (kind == StateKind.String)
        {
            _payload.Type(RdbType.String);
            WriteString(ref value);
            return;
        }

        value.ReadArrayStart();
        value.ReadInt64();
        switch (kind)
        {
            case StateKind.List:
                _payload.Type(RdbType.List);
                Items(TreeKind.Sequence, ref value, static (ref DagCborReader item, StateReader self) => self.WriteString(ref item));
                break;
            case StateKind.Set:
                _payload.Type(RdbType.Set);
                Items(TreeKind.Map, ref value, static (ref DagCborReader item, StateReader self) =>
                {
                    int fields = item.ReadArrayStart();
                    self.WriteName(ref item, fields == 2);
                });
                break;
            case StateKind.SortedSet:
                _payload.Type(RdbType.SortedSet2);
                Items(TreeKind.Map, ref value, static (ref DagCborReader item, StateReader self) =>
                {
                    int fields = item.ReadArrayStart();
                    ReadOnlySpan<byte> key = item.ReadBytes();
                    double score = StateFormat.ReadScore(item.ReadBytes(StateFormat.ScoreBytes));
                    if (fields == 3)
                    {
                        self.WriteString(ref item);
                    }
                    else
                    {
                        self._payload.String(key);
                    }

                    self._payload.Double(score);
                });
                break;
            case StateKind.Hash:
                // Instants count from 0: one more than each, and 0 is none.
                _payload.Type(RdbType.HashMetadata);
                _payload.UInt64(0);
                Items(TreeKind.Map, ref value, static (ref DagCborReader item, StateReader self) => self.WriteField(ref item));
                break;
            default:
                WriteStream(ref value);
                break;
        }
    }

    private delegate void ItemReader(ref DagCborReader item, StateReader self);

    /// <summary>Writes the count of a collection's items, then each.</summary>
    private void Items(TreeKind kind, ref DagCborReader reader, ItemReader write)
    {
        if (reader.Peek() == DagCborKind.Array)
        {
            int count = reader.ReadArrayStart();
            _payload.Count((ulong)count);
            for (; count > 0; count--)
            {
                write(ref reader, this);
            }

            return;
        }

        Cid root = reader.ReadCid();
        _payload.Count((ulong)store.Read(kind, root).Weight);
        Walk(kind, root, write);
    }

    private void Walk(TreeKind kind, in Cid root, ItemReader read)
    {
        var cursor = new TreeCursor(store, kind, root);
        cursor.First();
        do
        {
            var item = new DagCborReader(cursor.Item);
            read(ref item, this);
        }
        while (cursor.Next());
    }

    private void WriteString(ref DagCborReader reader)
    {
        if (reader.Peek() == DagCborKind.Bytes)
        {
            _payload.String(reader.ReadBytes());
        }
        else
        {
            _payload.String(ReadString(store, ref reader));
        }
    }

    private void WriteName(ref DagCborReader item, bool isLong)
    {
        ReadOnlySpan<byte> key = item.ReadBytes();
        if (isLong)
        {
            WriteString(ref item);
        }
        else
        {
            _payload.String(key);
        }
    }

    private void WriteField(ref DagCborReader item)
    {
        int fields = item.ReadArrayStart();
        ReadOnlySpan<byte> key = item.ReadBytes();
        DagCborReader value = item;
        item.Skip();
        long expireAt = fields > 2 && !item.TryReadNull() ? item.ReadInt64() : 0;
        _payload.Count(expireAt == 0 ? 0 : (ulong)expireAt + 1);
        if (fields > 3)
        {
            WriteString(ref item);
        }
        else
        {
            _payload.String(key);
        }

        WriteString(ref value);
    }

    // ------------------------------------------------------------------ streams

    private void WriteStream(ref DagCborReader value)
    {
        _payload.Type(RdbType.StreamListpacks3);
        using var stream = new RdbStreamWriter();
        using (var nodes = new StreamNodes(stream))
        {
            Each(TreeKind.Map, ref value, (ref DagCborReader item, StateReader _) => nodes.Add(store, ref item));
            nodes.End();
        }

        stream.LastId = StateFormat.ReadId(value.ReadBytes(StateFormat.IdBytes));
        stream.MaxDeletedId = StateFormat.ReadId(value.ReadBytes(StateFormat.IdBytes));
        stream.EntriesAdded = value.ReadUInt64();
        int groups = 0;
        Each(TreeKind.Map, ref value, (ref DagCborReader item, StateReader _) =>
        {
            int fields = item.ReadArrayStart();
            byte[] name = item.ReadBytes().ToArray();
            StreamId lastId = StateFormat.ReadId(item.ReadBytes(StateFormat.IdBytes));
            long read = item.ReadInt64();
            DagCborReader consumers = item;
            item.Skip();
            DagCborReader pending = item;
            item.Skip();
            stream.AddGroup(fields == 6 ? ReadString(store, ref item) : name, lastId, read);
            var slots = new Dictionary<byte[], uint>(ByteStringComparer.Instance);
            Each(TreeKind.Map, ref consumers, (ref DagCborReader consumer, StateReader _) =>
            {
                int parts = consumer.ReadArrayStart();
                byte[] key = consumer.ReadBytes().ToArray();
                long seen = consumer.ReadInt64(), active = consumer.ReadInt64();
                key = parts == 4 ? ReadString(store, ref consumer) : key;
                var slot = (uint)slots.Count;
                slots.Add(key, slot);
                stream.AddConsumer(slot, key, seen, active);
            });
            int group = groups++;
            Each(TreeKind.Map, ref pending, (ref DagCborReader entry, StateReader _) =>
            {
                entry.ReadArrayStart(4);
                StreamId id = StateFormat.ReadId(entry.ReadBytes(StateFormat.IdBytes));
                byte[] consumer = ReadString(store, ref entry);
                long delivered = entry.ReadInt64();
                ulong deliveries = entry.ReadUInt64();
                stream.AddPending(group, id, delivered, deliveries, slots.TryGetValue(consumer, out uint slot)
                    ? slot
                    : throw new TreeFormatException("an entry of a stream is pending with a consumer that is not there"));
            });
        });
        stream.Write(_payload, withActive: true);
    }

    private void Each(TreeKind kind, ref DagCborReader reader, ItemReader read)
    {
        if (reader.Peek() == DagCborKind.Array)
        {
            for (int count = reader.ReadArrayStart(); count > 0; count--)
            {
                read(ref reader, this);
            }

            return;
        }

        Walk(kind, reader.ReadCid(), read);
    }

    /// <summary>Puts a stream's entries together to nodes.</summary>
    private sealed class StreamNodes(RdbStreamWriter stream) : IDisposable
    {
        private readonly List<byte[]> _words = [];
        private NativeList<byte> _room;
        private int _length, _entries;
        private StreamId _nodeId;

        public void Add(NodeStore store, ref DagCborReader item)
        {
            int count = item.ReadArrayStart() - 1;
            StreamId id = StateFormat.ReadId(item.ReadBytes(StateFormat.IdBytes));
            if (count % 2 != 0)
            {
                throw new TreeFormatException("an entry of a stream has a field without a value");
            }

            _words.Clear();
            int bytes = Values.StreamNode.CountSlack + (Values.StreamNode.FixedWords * Values.StreamNode.WordOverhead);
            for (int i = 0; i < count; i++)
            {
                byte[] word = ReadString(store, ref item);
                _words.Add(word);
                bytes = checked(bytes + word.Length + Values.StreamNode.WordOverhead);
            }

            if (_entries >= StreamNodeEntries || (_entries > 0 && _length + bytes > StreamNodeBytes))
            {
                End();
            }

            // The node's first entry gives it its id and its master's fields.
            Slice* slices = (Slice*)NativeMemory.Alloc((nuint)count + 1, (nuint)sizeof(Slice));
            try
            {
                byte* words = Room(_length + (2 * bytes), bytes);
                for (int i = 0; i < count; i++)
                {
                    _words[i].CopyTo(new Span<byte>(words, _words[i].Length));
                    slices[i] = new Slice(words, _words[i].Length);
                    words += _words[i].Length;
                }

                byte* node = _room.Items;
                if (_entries++ == 0)
                {
                    _nodeId = id;
                    _length = Values.StreamNode.Begin(node, slices, count);
                }

                _length = Values.StreamNode.Append(node, _length, Values.StreamNode.ReadMaster(node), _nodeId, id, slices, count);
            }
            finally
            {
                NativeMemory.Free(slices);
            }
        }

        public void End()
        {
            if (_entries > 0)
            {
                stream.AddNode(_nodeId, _room.Items, _length);
            }

            _entries = _length = 0;
        }

        public void Dispose() => _room.Dispose();

        /// <summary>Room for the node, and behind it for an entry's words: the place of these.</summary>
        private byte* Room(int node, int words)
        {
            while (_room.Count < node + words)
            {
                _room.Add(0);
            }

            return _room.Items + node;
        }
    }
}
