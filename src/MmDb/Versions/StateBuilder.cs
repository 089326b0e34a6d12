using System.Buffers.Binary;
using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Values;
using Leither.MmDb.Versions.Tree;

namespace Leither.MmDb.Versions;

/// <summary>
/// Makes a state's trees from a snapshot's pieces, which come in no order: sorts them, then builds key by key. Either from a snapshot of
/// everything, or from the state before and what changed since. Memory is bounded, whatever the size of the data.
/// </summary>
/// <remarks>Everything but <see cref="Take"/> runs in the background; so does that, in the thread that the chunks were handed to.</remarks>
internal sealed unsafe class StateBuilder : IDisposable
{
    /// <summary>The first byte of a head's payload that is the key's item already: a string that is stored as it is. Others have their piece's kind there.</summary>
    private const byte ReadyItem = 0;

    /// <summary>Changes of one database that are gathered before they are applied to its tree.</summary>
    private const long EditBytes = 64 << 20;

    private readonly NodeStore _store;
    private readonly ValueAssembler _assembler;
    private readonly RunSorter _pieces;
    private readonly StateChanges? _changes;
    private readonly Dictionary<ulong, Collection> _open = [];
    private readonly List<(byte[] Name, byte[] Code)> _functions = [];
    private Cid _files;
    private readonly byte[] _treeKey = new byte[StateFormat.LongName];
    private FragmentKey _key = new();
    private uint _order;
    private byte[] _element = [];
    private int _elementBytes;

    /// <summary>A builder without pieces.</summary>
    /// <param name="store">Where blocks go.</param>
    /// <param name="folder">Where temporary files go.</param>
    /// <param name="changes">What changed since the state before; null: the pieces are all there is.</param>
    public StateBuilder(NodeStore store, string folder, StateChanges? changes = null)
    {
        _store = store;
        _assembler = new ValueAssembler(store);
        _pieces = new RunSorter(folder);
        _changes = changes;
    }

    /// <summary>A collection that lacks fragments.</summary>
    private sealed class Collection(byte[] group, DataType type)
    {
        public byte[] Group => group;
        public DataType Type => type;
        public ulong Nodes { get; set; }
    }

    /// <inheritdoc/>
    public void Dispose() => _pieces.Dispose();

    // ------------------------------------------------------------------ pieces in

    /// <summary>Takes a chunk's pieces; the chunk may go then. The changes must be complete: they tell which database is which.</summary>
    public void Take(SnapshotChunk chunk)
    {
        var reader = new SnapshotReader(chunk.Data, chunk.Length);
        while (!reader.AtEnd)
        {
            var piece = (SnapshotPiece)reader.Byte();
            switch (piece)
            {
                case SnapshotPiece.Value:
                case SnapshotPiece.Collection:
                case SnapshotPiece.Stream:
                    TakeHead(piece, ref reader);
                    break;
                case SnapshotPiece.Elements:
                    TakeElements(ref reader, expire: false);
                    break;
                case SnapshotPiece.ExpiringElements:
                    TakeElements(ref reader, expire: true);
                    break;
                case SnapshotPiece.NewElement:
                    _key.SetGroup(_open[reader.UInt64()].Group);
                    _key.SetElement(StateFormat.TreeKey(ReadName(ref reader), _treeKey), _order++);
                    _pieces.Add(_key.Bytes, 0);
                    break;
                case SnapshotPiece.Node:
                    TakeListNode(ref reader);
                    break;
                case SnapshotPiece.StreamNode:
                    TakeStreamNode(ref reader);
                    break;
                case SnapshotPiece.Pending:
                    TakePending(ref reader);
                    break;
                case SnapshotPiece.Function:
                    _functions.Add((ReadName(ref reader).ToArray(), ReadName(ref reader).ToArray()));
                    break;
                case SnapshotPiece.Files:
                    _files = Cid.TryRead(ReadName(ref reader), out Cid root) ? root : throw new SnapshotFormatException("the root of the files is no CID");
                    break;
                default:
                    throw new SnapshotFormatException("a piece is of a kind that states do not know");
            }
        }
    }

    /// <summary>A head as the assembler takes it: the piece's kind, then what follows the database.</summary>
    private void TakeHead(SnapshotPiece piece, ref SnapshotReader reader)
    {
        int database = (int)reader.Varint();
        byte* start = reader.Next;
        byte kind = reader.Byte();
        bool expires = reader.Byte() != 0;
        reader.UInt24();
        byte* name = reader.Bytes(out int nameLength);
        ulong expireAt = expires ? reader.UInt64() : 0;
        _key.SetGroup(_changes?.LogicalDatabase(database) ?? database, StateFormat.TreeKey(new ReadOnlySpan<byte>(name, nameLength), _treeKey));
        if (piece == SnapshotPiece.Value)
        {
            byte* value = reader.Bytes(out int valueLength);
            if ((DataType)(kind & 15) == DataType.String && nameLength < StateFormat.LongName && valueLength <= StateFormat.MaxInlineString)
            {
                byte* scratch = stackalloc byte[Element.ScratchSize];
                ReadOnlySpan<byte> text = (DataEncoding)(kind >> 4) == DataEncoding.Int
                    ? new Element(System.Runtime.CompilerServices.Unsafe.ReadUnaligned<long>(value)).Text(scratch).Span
                    : new ReadOnlySpan<byte>(value, valueLength);
                TakeString(new ReadOnlySpan<byte>(name, nameLength), text, (long)expireAt);
                return;
            }
        }
        else
        {
            // Ids are used again only when nothing more of the collection before comes.
            ulong id = reader.UInt64();
            _open[id] = new Collection(_key.Group.ToArray(), (DataType)(kind & 15));
            reader.Varint();
            if (piece == SnapshotPiece.Stream)
            {
                SkipStream(ref reader);
            }
        }

        _key.SetKind(FragmentKind.Head);
        int length = (int)(reader.Next - start);
        Span<byte> payload = _pieces.Add(_key.Bytes, 1 + length);
        payload[0] = (byte)piece;
        new ReadOnlySpan<byte>(start, length).CopyTo(payload[1..]);
    }

    /// <summary>Most keys: the item is written at once (StateFormat.cs), and is not looked at again.</summary>
    private void TakeString(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, long expireAt)
    {
        _key.SetKind(FragmentKind.Head);
        int bytes = 2 + HeadBytes((ulong)name.Length) + name.Length + HeadBytes((ulong)value.Length) + value.Length + (expireAt > 0 ? HeadBytes((ulong)expireAt) : 0);
        if (expireAt < 0)
        {
            bytes += HeadBytes((ulong)~expireAt);
        }

        fixed (byte* payload = _pieces.Add(_key.Bytes, bytes))
        {
            byte* to = payload;
            *to++ = ReadyItem;
            *to++ = expireAt != 0 ? (byte)0x83 : (byte)0x82;
            to = WriteHead(to, 0x40, (ulong)name.Length);
            name.CopyTo(new Span<byte>(to, name.Length));
            to = WriteHead(to + name.Length, 0x40, (ulong)value.Length);
            value.CopyTo(new Span<byte>(to, value.Length));
            to += value.Length;
            if (expireAt != 0)
            {
                WriteHead(to, expireAt > 0 ? (byte)0 : (byte)0x20, (ulong)(expireAt > 0 ? expireAt : ~expireAt));
            }
        }
    }

    private static int HeadBytes(ulong argument) => argument switch
    {
        < 24 => 1,
        <= byte.MaxValue => 2,
        <= ushort.MaxValue => 3,
        <= uint.MaxValue => 5,
        _ => 9,
    };

    /// <summary>Writes the head of a CBOR item in its shortest form.</summary>
    private static byte* WriteHead(byte* to, byte major, ulong argument)
    {
        int bytes = HeadBytes(argument);
        if (bytes == 1)
        {
            *to = (byte)(major | argument);
            return to + 1;
        }

        *to++ = (byte)(major | (bytes == 2 ? 24 : bytes == 3 ? 25 : bytes == 5 ? 26 : 27));
        for (int shift = 8 * (bytes - 2); shift >= 0; shift -= 8)
        {
            *to++ = (byte)(argument >> shift);
        }

        return to;
    }

    private static void SkipStream(ref SnapshotReader reader)
    {
        const int numbers = 5;
        for (int i = 0; i < numbers; i++)
        {
            reader.UInt64();
        }

        for (ulong groups = reader.Varint(); groups > 0; groups--)
        {
            ReadName(ref reader);
            reader.UInt64();
            reader.UInt64();
            reader.UInt64();
            for (ulong consumers = reader.Varint(); consumers > 0; consumers--)
            {
                reader.Varint();
                ReadName(ref reader);
                reader.UInt64();
                reader.UInt64();
            }
        }
    }

    private void TakeElements(ref SnapshotReader reader, bool expire)
    {
        Collection collection = _open[reader.UInt64()];
        _key.SetGroup(collection.Group);
        for (ulong count = reader.Varint(); count > 0; count--)
        {
            byte* start = reader.Next;
            byte* name = reader.Bytes(out int nameLength);
            reader.Bytes(out _);
            int length = (int)(reader.Next - start);
            ulong expireAt = expire ? reader.UInt64() : 0;
            _key.SetElement(StateFormat.TreeKey(new ReadOnlySpan<byte>(name, nameLength), _treeKey), _order++);
            Span<byte> payload = _pieces.Add(_key.Bytes, length + sizeof(ulong));
            new ReadOnlySpan<byte>(start, length).CopyTo(payload);
            BinaryPrimitives.WriteUInt64LittleEndian(payload[length..], expireAt);
        }
    }

    private void TakeListNode(ref SnapshotReader reader)
    {
        Collection collection = _open[reader.UInt64()];
        byte isPlain = reader.Byte();
        reader.Varint();
        ReadOnlySpan<byte> data = ReadName(ref reader);
        _key.SetGroup(collection.Group);
        _key.SetOrder(FragmentKind.ListNode, collection.Nodes++);
        Span<byte> payload = _pieces.Add(_key.Bytes, 1 + data.Length);
        payload[0] = isPlain;
        data.CopyTo(payload[1..]);
    }

    private void TakeStreamNode(ref SnapshotReader reader)
    {
        Collection collection = _open[reader.UInt64()];
        ulong ms = reader.UInt64(), seq = reader.UInt64();
        _key.SetGroup(collection.Group);
        _key.SetOrder(FragmentKind.StreamNode, ms, seq);
        _pieces.Add(_key.Bytes, ReadName(ref reader));
    }

    private void TakePending(ref SnapshotReader reader)
    {
        Collection collection = _open[reader.UInt64()];
        ulong group = reader.Varint();
        _key.SetGroup(collection.Group);
        for (ulong count = reader.Varint(); count > 0; count--)
        {
            ulong ms = reader.UInt64(), seq = reader.UInt64();
            byte* start = reader.Next;
            reader.UInt64();
            reader.Varint();
            reader.Varint();
            _key.SetOrder(FragmentKind.Pending, group, ms, seq);
            _pieces.Add(_key.Bytes, new ReadOnlySpan<byte>(start, (int)(reader.Next - start)));
        }
    }

    private static ReadOnlySpan<byte> ReadName(ref SnapshotReader reader)
    {
        byte* name = reader.Bytes(out int length);
        return new ReadOnlySpan<byte>(name, length);
    }

    // ------------------------------------------------------------------ trees out

    /// <summary>Builds the state from all pieces. Its blocks are in the store, not yet flushed.</summary>
    /// <param name="old">The state before, where there are changes.</param>
    public StateRoot Finish(StateRoot? old = null)
    {
        _open.Clear();
        _pieces.Sort();
        Dictionary<int, TreeRoot> databases = _changes is null ? BuildAll() : ApplyChanges(_changes, old ?? StateRoot.Empty);
        return new StateRoot(databases, _functions) { Files = _files };
    }

    private Dictionary<int, TreeRoot> BuildAll()
    {
        var databases = new Dictionary<int, TreeRoot>();
        var builder = new TreeBuilder(_store, TreeKind.Map);
        var item = new DagCborWriter();
        bool more = _pieces.MoveNext();
        int database = more ? FragmentKey.Database(_pieces.Key) : 0;
        while (more)
        {
            int number = FragmentKey.Database(_pieces.Key);
            if (number != database)
            {
                databases[database] = builder.Finish();
                database = number;
            }

            ReadOnlySpan<byte> payload = _pieces.Payload;
            if (payload[0] == ReadyItem)
            {
                builder.Add(TreeNode.KeyOf(payload[1..]), payload[1..]);
                more = _pieces.MoveNext();
                continue;
            }

            ReadOnlySpan<byte> key = _pieces.Key;
            int groupLength = FragmentKey.GroupLength(key);
            _key.SetGroup(key[..groupLength]);
            _assembler.Begin(_pieces.Payload, isWhole: true);
            while ((more = _pieces.MoveNext()) && _pieces.Key.StartsWith(_key.Group))
            {
                Feed(_pieces.Key, _key.Group.Length, _pieces.Payload);
            }

            if (_assembler.Finish(default, item))
            {
                builder.Add(TreeKey(_key.Group), item.Written);
            }
        }

        if (!builder.IsEmpty)
        {
            databases[database] = builder.Finish();
        }

        return databases;
    }

    private void Feed(ReadOnlySpan<byte> key, int groupLength, ReadOnlySpan<byte> payload)
    {
        switch (FragmentKey.Kind(key, groupLength))
        {
            case FragmentKind.Element:
                _assembler.Element(payload);
                break;
            case FragmentKind.ListNode:
                _assembler.ListNode(payload);
                break;
            case FragmentKind.StreamNode:
                _assembler.StreamNode(StateFormat.ReadId(key[(groupLength + 1)..]), payload);
                break;
            default:
                ReadOnlySpan<byte> order = key[(groupLength + 1)..];
                fixed (byte* p = payload)
                {
                    var reader = new SnapshotReader(p, payload.Length);
                    long delivered = (long)reader.UInt64();
                    ulong deliveries = reader.Varint();
                    int group = (int)BinaryPrimitives.ReadUInt64BigEndian(order);
                    _assembler.Pending(group, StateFormat.ReadId(order[sizeof(ulong)..]), delivered, deliveries, (uint)reader.Varint());
                }

                break;
        }
    }

    private ReadOnlySpan<byte> TreeKey(ReadOnlySpan<byte> group) => _treeKey.AsSpan(0, FragmentKey.TreeKey(group, _treeKey));

    /// <summary>
    /// Goes through the changed keys and the pieces side by side. Pieces of keys that are not among the changed ones changed only after the
    /// position of the state: they are as they were.
    /// </summary>
    private Dictionary<int, TreeRoot> ApplyChanges(StateChanges changes, StateRoot old)
    {
        var databases = new Dictionary<int, TreeRoot>();
        var editor = new TreeEditor(_store);
        var edits = new TreeEdits();
        var item = new DagCborWriter();
        RunSorter touched = changes.Touched;
        touched.Rewind();
        bool moreTouched = touched.MoveNext(), morePieces = _pieces.MoveNext();
        foreach ((int logical, int number) in changes.Databases)
        {
            TreeRoot before = changes.IsCleared(logical) ? TreeRoot.Empty : old.Database(logical), root = before;
            TreeCursor? cursor = before.IsEmpty ? null : new TreeCursor(_store, TreeKind.Map, before.Root);
            while (moreTouched && FragmentKey.Database(touched.Key) <= logical)
            {
                if (FragmentKey.Database(touched.Key) < logical)
                {
                    moreTouched = touched.MoveNext();
                    continue;
                }

                // The first fragment of a key says that it changed.
                _key.SetGroup(touched.Key[..FragmentKey.GroupLength(touched.Key)]);
                while (morePieces && _pieces.Key.SequenceCompareTo(_key.Group) < 0)
                {
                    morePieces = _pieces.MoveNext();
                }

                bool isThere = morePieces && _pieces.Key.StartsWith(_key.Group);
                bool isWhole = false;
                while (moreTouched && touched.Key.StartsWith(_key.Group) && FragmentKey.Kind(touched.Key, _key.Group.Length) != FragmentKind.Element)
                {
                    isWhole |= FragmentKey.Kind(touched.Key, _key.Group.Length) == FragmentKind.TouchedWhole;
                    moreTouched = touched.MoveNext();
                }

                ReadOnlySpan<byte> treeKey = TreeKey(_key.Group);
                bool isReady = isThere && _pieces.Payload[0] == ReadyItem;
                bool makesItem = !isReady && isThere && Assemble(touched, ref moreTouched, ref morePieces, isWhole, cursor, treeKey, item);
                while (moreTouched && touched.Key.StartsWith(_key.Group))
                {
                    moreTouched = touched.MoveNext();
                }

                if (isReady)
                {
                    edits.Put(treeKey, _pieces.Payload[1..]);
                    morePieces = _pieces.MoveNext();
                }
                else if (makesItem)
                {
                    edits.Put(treeKey, item.Written);
                }
                else
                {
                    edits.Delete(treeKey);
                }

                if (edits.Bytes > EditBytes)
                {
                    root = editor.Apply(root, edits);
                    edits.Clear();
                }
            }

            root = editor.Apply(root, edits);
            edits.Clear();
            if (!root.IsEmpty)
            {
                databases[number] = root;
            }
        }

        return databases;
    }

    /// <summary>One key of which there are pieces: from all of its value, or from its old form and the elements that changed.</summary>
    private bool Assemble(
        RunSorter touched, ref bool moreTouched, ref bool morePieces, bool isWhole, TreeCursor? cursor, ReadOnlySpan<byte> treeKey, DagCborWriter item)
    {
        _assembler.Begin(_pieces.Payload, isWhole);
        bool takesChanges = _assembler.TakesChanges;
        bool wasThere = takesChanges && cursor is not null && cursor.Seek(treeKey) && cursor.Node.Key(cursor.Index).SequenceEqual(treeKey);
        ReadOnlySpan<byte> old = wasThere ? cursor!.Item : default;
        morePieces = _pieces.MoveNext();
        int groupLength = _key.Group.Length;
        Span<byte> room = stackalloc byte[StateFormat.LongName];
        bool isElement = false;
        while (morePieces && _pieces.Key.StartsWith(_key.Group))
        {
            // Of an element the first state counts, and an empty one says that there was none.
            ReadOnlySpan<byte> key = _pieces.Key;
            bool isNext = !isElement || !FragmentKey.WithoutOrder(key).SequenceEqual(_element.AsSpan(0, _elementBytes));
            isElement = FragmentKey.Kind(key, groupLength) == FragmentKind.Element;
            if (isElement)
            {
                KeepElement(FragmentKey.WithoutOrder(key));
            }

            // What the snapshot has of elements that did not change is as it was.
            if (isNext && !(isElement && _pieces.Payload.IsEmpty) && (!takesChanges || GoTo(touched, ref moreTouched, groupLength, room)))
            {
                Feed(_pieces.Key, groupLength, _pieces.Payload);
            }

            morePieces = _pieces.MoveNext();
        }

        if (takesChanges)
        {
            _elementBytes = 0;
            GoTo(touched, ref moreTouched, groupLength, room);
        }

        return _assembler.Finish(old, item);
    }

    private void KeepElement(ReadOnlySpan<byte> key)
    {
        if (_element.Length < key.Length)
        {
            _element = new byte[2 * key.Length];
        }

        key.CopyTo(_element);
        _elementBytes = key.Length;
    }

    /// <summary>
    /// Goes on among the changed elements of a key to that of the piece, or to the end: those passed have no piece, so they are gone. True: the piece's
    /// element is among them.
    /// </summary>
    private bool GoTo(RunSorter touched, ref bool moreTouched, int groupLength, Span<byte> room)
    {
        ReadOnlySpan<byte> piece = _element.AsSpan(0, _elementBytes);
        for (; moreTouched && touched.Key.StartsWith(_key.Group); moreTouched = touched.MoveNext())
        {
            int order = piece.IsEmpty ? -1 : touched.Key.SequenceCompareTo(piece);
            if (order > 0)
            {
                return false;
            }

            if (order == 0)
            {
                moreTouched = touched.MoveNext();
                return true;
            }

            _assembler.ElementGone(room[..FragmentKey.Element(touched.Key, groupLength, room)]);
        }

        return false;
    }
}
