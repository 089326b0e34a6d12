using Leither.MmDb.Memory;
using Leither.MmDb.Values;

namespace Leither.MmDb.Rdb;

/// <summary>
/// Writes a snapshot as an RDB file. Big collections come in parts that others may stand between, and must be whole
/// in RDB: their parts are kept until the last one is there.
/// </summary>
#pragma warning disable CA1001 // what it writes into belongs to its thread, which disposes of it at the end
internal sealed unsafe class RdbSnapshotWriter : SnapshotThread
#pragma warning restore CA1001
{
    private const long BehindBytes = 16 << 20;
    private const long FlushBytes = 1 << 20;
    private const ulong FirstInstant = 1;

    private readonly string _file;
    private readonly (string Name, string Value)[] _fields;
    private readonly bool _hasKeys;
    private readonly Dictionary<ulong, Collection> _open = [];
    private readonly RdbBuffer _out = new();
    private ulong _crc;
    private int _database = -1;

    /// <summary>Begins a file.</summary>
    /// <param name="file">Where it goes.</param>
    /// <param name="fields">What stands at its beginning: name and value.</param>
    /// <param name="hasKeys">Whether keys are written; otherwise only what is said about the file.</param>
    public RdbSnapshotWriter(string file, (string Name, string Value)[] fields, bool hasKeys = true)
        : base("rdb", BehindBytes)
    {
        _file = file;
        _fields = fields;
        _hasKeys = hasKeys;
        Start();
    }

    /// <summary>A collection that lacks elements.</summary>
    private sealed class Collection
    {
        public required RdbBuffer Head { get; init; }
        public required RdbBuffer Body { get; init; }
        public required DataType Type { get; init; }
        public required int Database { get; init; }
        public long Missing { get; set; }
        public long Nodes { get; set; }
        public bool MayExpire { get; init; }
        public RdbStreamWriter? Stream { get; init; }
    }

    /// <inheritdoc/>
    protected override void Work()
    {
        try
        {
            using var stream = new FileStream(_file, FileMode.Create, FileAccess.Write, FileShare.Read, 0);
            WriteHead();
            while (Next() is { } chunk)
            {
                try
                {
                    Write(chunk);
                }
                finally
                {
                    GiveBack(chunk);
                }

                if (_out.Length > FlushBytes)
                {
                    Flush(stream);
                }
            }

            if (!IsAbandoned)
            {
                _out.Byte(RdbFormat.Eof);
                Flush(stream);
                _out.UInt64(_crc);
                Flush(stream);
            }
        }
        finally
        {
            _out.Dispose();
            foreach (Collection collection in _open.Values)
            {
                collection.Head.Dispose();
                collection.Body.Dispose();
                collection.Stream?.Dispose();
            }
        }
    }

    private void Flush(FileStream stream)
    {
        _crc = Crc64.Compute(_crc, _out.Data, _out.Length);
        stream.Write(new ReadOnlySpan<byte>(_out.Data, checked((int)_out.Length)));
        _out.Clear();
    }

    private void WriteHead()
    {
        _out.Raw("REDIS00"u8);
        _out.Raw(System.Text.Encoding.ASCII.GetBytes(RdbFormat.WrittenVersion.ToString("00", System.Globalization.CultureInfo.InvariantCulture)));
        foreach ((string name, string value) in _fields)
        {
            _out.Byte(RdbFormat.Aux);
            _out.String(System.Text.Encoding.UTF8.GetBytes(name));
            _out.String(System.Text.Encoding.UTF8.GetBytes(value));
        }
    }

    // ------------------------------------------------------------------ pieces

    private void Write(SnapshotChunk chunk)
    {
        var reader = new SnapshotReader(chunk.Data, chunk.Length);
        while (!reader.AtEnd)
        {
            var piece = (SnapshotPiece)reader.Byte();
            if (!_hasKeys && piece != SnapshotPiece.Function)
            {
                // Functions come first.
                return;
            }

            switch (piece)
            {
                case SnapshotPiece.Function:
                    ReadName(ref reader);
                    _out.Byte(RdbFormat.Function2);
                    _out.String(ReadName(ref reader));
                    break;
                case SnapshotPiece.Files:
                    ReadName(ref reader); // Redis has none
                    break;
                case SnapshotPiece.ExpiringElements:
                    AddElements(ref reader, expire: true);
                    break;
                case SnapshotPiece.Value:
                    WriteValue(ref reader);
                    break;
                case SnapshotPiece.Collection:
                    OpenCollection(ref reader);
                    break;
                case SnapshotPiece.Elements:
                    AddElements(ref reader, expire: false);
                    break;
                case SnapshotPiece.Node:
                    AddNode(ref reader);
                    break;
                case SnapshotPiece.Stream:
                    OpenStream(ref reader);
                    break;
                case SnapshotPiece.StreamNode:
                    AddStreamNode(ref reader);
                    break;
                case SnapshotPiece.Pending:
                    AddPending(ref reader);
                    break;
                default:
                    throw new SnapshotFormatException("a piece is of a kind that RDB output does not know");
            }
        }
    }

    /// <summary>Writes what stands before a value: expiry, type, name. Tells the type and layout.</summary>
    private static int ReadHead(ref SnapshotReader reader, RdbBuffer to, out DataType type, out DataEncoding encoding)
    {
        int database = (int)reader.Varint();
        byte kind = reader.Byte();
        type = (DataType)(kind & 15);
        encoding = (DataEncoding)(kind >> 4);
        bool expires = reader.Byte() != 0;
        reader.UInt24();
        byte* name = reader.Bytes(out int nameLength);
        if (expires)
        {
            to.Byte(RdbFormat.ExpireTimeMs);
            to.UInt64(reader.UInt64());
        }

        to.Type(RdbValueWriter.TypeOf(type, encoding));
        to.String(name, nameLength);
        return database;
    }

    private void Select(int database)
    {
        if (_database != database)
        {
            _database = database;
            _out.Byte(RdbFormat.SelectDb);
            _out.Count((ulong)database);
        }
    }

    private void WriteValue(ref SnapshotReader reader)
    {
        // The database stands before the rest, which goes to the output directly.
        SnapshotReader ahead = reader;
        Select((int)ahead.Varint());
        ReadHead(ref reader, _out, out DataType type, out DataEncoding encoding);
        byte* bytes = reader.Bytes(out int length);
        RdbValueWriter.WriteCompact(_out, type, encoding, bytes, length);
    }

    private void OpenCollection(ref SnapshotReader reader)
    {
        var head = new RdbBuffer();
        int database = ReadHead(ref reader, head, out DataType type, out DataEncoding encoding);
        ulong id = reader.UInt64();
        long count = (long)reader.Varint();
        bool mayExpire = encoding == DataEncoding.ExpiringTable;
        if (mayExpire)
        {
            // Instants count from here, and 0 means never.
            head.UInt64(FirstInstant);
        }

        if (type != DataType.List)
        {
            head.Count((ulong)count);
        }

        _open.Add(id, new Collection { Head = head, Body = new RdbBuffer(), Type = type, Database = database, Missing = count, MayExpire = mayExpire });
    }

    private void AddElements(ref SnapshotReader reader, bool expire)
    {
        ulong id = reader.UInt64();
        long count = (long)reader.Varint();
        Collection collection = _open[id];
        for (long i = 0; i < count; i++)
        {
            byte* name = reader.Bytes(out int nameLength);
            byte* value = reader.Bytes(out int length);
            if (collection.MayExpire)
            {
                collection.Body.Count(expire ? reader.UInt64() : 0);
            }

            RdbValueWriter.WriteElement(collection.Body, collection.Type, name, nameLength, value, length);
        }

        Added(id, collection, count);
    }

    private static StreamId ReadId(ref SnapshotReader reader) => new(reader.UInt64(), reader.UInt64());

    private static ReadOnlySpan<byte> ReadName(ref SnapshotReader reader)
    {
        byte* name = reader.Bytes(out int length);
        return new ReadOnlySpan<byte>(name, length);
    }

    private void OpenStream(ref SnapshotReader reader)
    {
        var head = new RdbBuffer();
        int database = ReadHead(ref reader, head, out DataType type, out _);
        ulong id = reader.UInt64();
        long missing = (long)reader.Varint();
        var stream = new RdbStreamWriter { LastId = ReadId(ref reader), MaxDeletedId = ReadId(ref reader), EntriesAdded = reader.UInt64() };
        for (ulong groups = reader.Varint(); groups > 0; groups--)
        {
            ReadOnlySpan<byte> group = ReadName(ref reader);
            stream.AddGroup(group, ReadId(ref reader), (long)reader.UInt64());
            for (ulong consumers = reader.Varint(); consumers > 0; consumers--)
            {
                uint slot = (uint)reader.Varint();
                ReadOnlySpan<byte> consumer = ReadName(ref reader);
                stream.AddConsumer(slot, consumer, (long)reader.UInt64(), (long)reader.UInt64());
            }
        }

        var collection = new Collection { Head = head, Body = new RdbBuffer(), Type = type, Database = database, Missing = missing, Stream = stream };
        _open.Add(id, collection);
        Added(id, collection, 0);
    }

    private void AddStreamNode(ref SnapshotReader reader)
    {
        ulong id = reader.UInt64();
        StreamId nodeId = ReadId(ref reader);
        byte* data = reader.Bytes(out int length);
        Collection collection = _open[id];
        collection.Stream!.AddNode(nodeId, data, length);
        Added(id, collection, 1);
    }

    private void AddPending(ref SnapshotReader reader)
    {
        ulong id = reader.UInt64();
        int group = (int)reader.Varint();
        long count = (long)reader.Varint();
        Collection collection = _open[id];
        for (long i = 0; i < count; i++)
        {
            StreamId entry = ReadId(ref reader);
            long delivered = (long)reader.UInt64();
            ulong deliveries = reader.Varint();
            collection.Stream!.AddPending(group, entry, delivered, deliveries, (uint)reader.Varint());
        }

        Added(id, collection, count);
    }

    private void AddNode(ref SnapshotReader reader)
    {
        ulong id = reader.UInt64();
        bool plain = reader.Byte() != 0;
        long count = (long)reader.Varint();
        byte* data = reader.Bytes(out int length);
        Collection collection = _open[id];
        RdbValueWriter.WriteNode(collection.Body, plain, data, length);
        collection.Nodes++;
        Added(id, collection, count);
    }

    private void Added(ulong id, Collection collection, long count)
    {
        collection.Missing -= count;
        if (collection.Missing > 0)
        {
            return;
        }

        _open.Remove(id);
        Select(collection.Database);
        _out.Raw(collection.Head.Data, collection.Head.Length);
        if (collection.Type == DataType.List)
        {
            _out.Count((ulong)collection.Nodes);
        }

        _out.Raw(collection.Body.Data, collection.Body.Length);
        collection.Stream?.Write(_out);
        collection.Stream?.Dispose();
        collection.Head.Dispose();
        collection.Body.Dispose();
    }
}
