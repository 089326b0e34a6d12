using System.Runtime.CompilerServices;
using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Leither.MmDb.Versions.Tree;
using Leither.Resp;

namespace Leither.MmDb.Versions;

/// <summary>
/// Makes the stored form of one key after the other (StateFormat.cs) from what a snapshot has of it, given in the order of
/// <see cref="FragmentKey"/>. One key's big collection may also come as its old form and the elements that changed.
/// </summary>
internal sealed unsafe class ValueAssembler(NodeStore store)
{
    private static readonly byte[] _emptyArray = [0x80];

    private readonly DagCborWriter _value = new(), _item = new(), _string = new();
    private readonly TreeEdits _edits = new();
    private readonly TreeBuilder _map = new(store, TreeKind.Map), _list = new(store, TreeKind.Sequence), _inner = new(store, TreeKind.Map);
    private readonly TreeEditor _editor = new(store);
    private readonly byte[] _treeKey = new byte[StateFormat.LongName];
    private DataType _type;
    private DataEncoding _encoding;
    private byte[] _name = [];
    private int _nameLength;
    private long _expireAt;
    private bool _isChange, _isOpen;
    private StreamHead? _stream;

    /// <summary>What is known of a stream as a whole.</summary>
    private sealed class StreamHead
    {
        public StreamId LastId, MaxDeletedId;
        public ulong EntriesAdded;
        public readonly List<Group> Groups = [];
        public byte[]? Entries;
        public int PendingGroup = -1;
    }

    private sealed class Group(byte[] name, StreamId lastId, long entriesRead)
    {
        public byte[] Name => name;
        public StreamId LastId => lastId;
        public long EntriesRead => entriesRead;
        public readonly List<(byte[] Name, long SeenMs, long ActiveMs)> Consumers = [];
        public readonly Dictionary<uint, byte[]> Slots = [];
        public byte[]? Pending;
    }

    /// <summary>Whether it takes the elements that changed rather than all of them; then <see cref="Finish"/> needs the key's old form.</summary>
    public bool TakesChanges => _isChange;

    /// <summary>Begins with a key's head: what a snapshot's piece has of it from the key's type on, and for small values the value.</summary>
    /// <param name="head">The payload of a <see cref="FragmentKind.Head"/>.</param>
    /// <param name="isWhole">Whether all elements follow, not only those that changed.</param>
    public void Begin(ReadOnlySpan<byte> head, bool isWhole)
    {
        fixed (byte* p = head)
        {
            var reader = new SnapshotReader(p, head.Length);
            var piece = (SnapshotPiece)reader.Byte();
            byte kind = reader.Byte();
            _type = (DataType)(kind & 15);
            _encoding = (DataEncoding)(kind >> 4);
            bool expires = reader.Byte() != 0;
            reader.UInt24();
            byte* name = reader.Bytes(out _nameLength);
            if (_name.Length < _nameLength)
            {
                _name = new byte[Math.Max(_nameLength, 256)];
            }

            new ReadOnlySpan<byte>(name, _nameLength).CopyTo(_name);
            _expireAt = expires ? (long)reader.UInt64() : 0;
            _value.Clear();
            _isOpen = true;
            _isChange = false;
            switch (piece)
            {
                case SnapshotPiece.Value:
                    byte* bytes = reader.Bytes(out int length);
                    WriteCompact(bytes, length);
                    _isOpen = false;
                    break;
                case SnapshotPiece.Stream:
                    BeginStream(ref reader);
                    break;
                default:
                    _isChange = !isWhole && _type != DataType.List;
                    _edits.Clear();
                    break;
            }
        }
    }

    /// <summary>The next element of a hash, set or sorted set.</summary>
    /// <param name="payload">What a snapshot has of it: name, value, and 0 or when it expires.</param>
    public void Element(ReadOnlySpan<byte> payload)
    {
        fixed (byte* p = payload)
        {
            var reader = new SnapshotReader(p, payload.Length);
            byte* name = reader.Bytes(out int nameLength);
            byte* value = reader.Bytes(out int length);
            long expireAt = (long)reader.UInt64();
            var field = new ReadOnlySpan<byte>(name, nameLength);
            ReadOnlySpan<byte> key = _type switch
            {
                DataType.Hash => Field(field, new ReadOnlySpan<byte>(value, length), expireAt),
                DataType.Set => Member(field),
                _ => Scored(field, Unsafe.ReadUnaligned<double>(value)),
            };
            if (_isChange)
            {
                _edits.Put(key, _item.Written);
            }
            else
            {
                _map.Add(key, _item.Written);
            }
        }
    }

    /// <summary>An element that changed is not there any more.</summary>
    public void ElementGone(ReadOnlySpan<byte> treeKey) => _edits.Delete(treeKey);

    /// <summary>The next node of a list.</summary>
    /// <param name="payload">Whether it is one element, and its bytes.</param>
    public void ListNode(ReadOnlySpan<byte> payload)
    {
        fixed (byte* p = payload)
        {
            AddNode(p + 1, payload.Length - 1, isPlain: *p != 0);
        }
    }

    /// <summary>The next node of a stream.</summary>
    /// <param name="nodeId">Its id.</param>
    /// <param name="payload">The pack.</param>
    public void StreamNode(StreamId nodeId, ReadOnlySpan<byte> payload)
    {
        fixed (byte* data = payload)
        {
            var walk = new StreamNodeWalk(nodeId, data, payload.Length);
            Span<byte> id = stackalloc byte[StateFormat.IdBytes];
            Span<byte> digits = stackalloc byte[PackValue.MaxIntegerDigits];
            while (walk.MoveNext())
            {
                StateFormat.WriteId(walk.Id, id);
                _item.Clear();
                _item.WriteArrayStart(1 + (2 * walk.FieldCount));
                _item.WriteBytes(id);
                StreamFields fields = walk.Fields;
                while (fields.MoveNext())
                {
                    WriteString(_item, fields.Field(digits));
                    WriteString(_item, fields.Value(digits));
                }

                _map.Add(id, _item.Written);
            }
        }
    }

    /// <summary>The next pending entry of a stream's group.</summary>
    public void Pending(int group, StreamId entry, long deliveredMs, ulong deliveries, uint consumer)
    {
        StreamHead stream = _stream!;
        if (stream.PendingGroup != group)
        {
            EndPending(stream);
            stream.PendingGroup = group;
        }

        Span<byte> id = stackalloc byte[StateFormat.IdBytes];
        StateFormat.WriteId(entry, id);
        _item.Clear();
        _item.WriteArrayStart(4);
        _item.WriteBytes(id);
        WriteString(_item, stream.Groups[group].Slots[consumer]);
        _item.WriteInt64(deliveredMs);
        _item.WriteUInt64(deliveries);
        _inner.Add(id, _item.Written);
    }

    /// <summary>Ends the key.</summary>
    /// <param name="old">Its old form, where only changes came; empty: it was not there.</param>
    /// <param name="to">Gets the item.</param>
    /// <returns>Whether there is an item: a collection without elements is none.</returns>
    public bool Finish(ReadOnlySpan<byte> old, DagCborWriter to)
    {
        if (_isOpen && !FinishCollection(old))
        {
            return false;
        }

        ReadOnlySpan<byte> name = _name.AsSpan(0, _nameLength);
        bool isLong = name.Length >= StateFormat.LongName;
        to.Clear();
        to.WriteArrayStart(isLong ? 4 : _expireAt != 0 ? 3 : 2);
        to.WriteBytes(StateFormat.TreeKey(name, _treeKey));
        to.WriteEncoded(_value.Written);
        WriteExpiryAndName(to, name, _expireAt);
        return true;
    }

    private bool FinishCollection(ReadOnlySpan<byte> old)
    {
        StateKind kind = KindOf(_type);
        if (_stream is { } stream)
        {
            FinishStream(stream);
            _stream = null;
            return true;
        }

        _value.WriteArrayStart(2);
        _value.WriteInt64((int)kind);
        if (_type == DataType.List)
        {
            return FinishTree(_list, _value);
        }

        return _isChange ? FinishChange(kind, old) : FinishTree(_map, _value);
    }

    /// <summary>Ends a collection: inline or as a tree. False: it is empty.</summary>
    private static bool FinishTree(TreeBuilder builder, DagCborWriter to)
    {
        bool isEmpty = builder.IsEmpty;
        if (!builder.TryFinishInline(StateFormat.MaxInlineCollection, to))
        {
            to.WriteCid(builder.Finish().Root);
        }

        return !isEmpty;
    }

    /// <summary>Ends a collection of which only changes came. One that was of another kind has nothing left of what it was.</summary>
    private bool FinishChange(StateKind kind, ReadOnlySpan<byte> old)
    {
        _edits.Sort();
        TreeRoot root = TreeRoot.Empty;
        if (!old.IsEmpty)
        {
            var reader = new DagCborReader(old);
            reader.ReadArrayStart();
            reader.ReadBytes();
            if (reader.Peek() == DagCborKind.Array && reader.ReadArrayStart() == 2 && reader.Peek() == DagCborKind.Integer && reader.ReadInt32() == (int)kind)
            {
                if (reader.Peek() == DagCborKind.Array)
                {
                    return MergeInline(ref reader);
                }

                root = new TreeRoot(reader.ReadCid(), 0);
            }
        }

        root = _editor.Apply(root, _edits);
        if (root.IsEmpty)
        {
            return false;
        }

        TreeNode node = store.Read(TreeKind.Map, root.Root);
        if (node.Level == 0 && node.Items.Length <= StateFormat.MaxInlineCollection)
        {
            _value.WriteArrayStart(node.Count);
            _value.WriteEncoded(node.Items, node.Count);
        }
        else
        {
            _value.WriteCid(root.Root);
        }

        return true;
    }

    private bool MergeInline(ref DagCborReader reader)
    {
        int next = 0;
        for (int count = reader.ReadArrayStart(); count > 0; count--)
        {
            ReadOnlySpan<byte> item = reader.ReadEncoded();
            ReadOnlySpan<byte> key = ItemKey(item);
            int order = 1;
            while (next < _edits.Count && (order = _edits.Key(next).SequenceCompareTo(key)) <= 0)
            {
                AddEdit(next++);
                if (order == 0)
                {
                    break;
                }
            }

            if (order != 0)
            {
                _map.Add(key, item);
            }
        }

        while (next < _edits.Count)
        {
            AddEdit(next++);
        }

        return FinishTree(_map, _value);
    }

    private void AddEdit(int index)
    {
        if (!_edits.IsDelete(index))
        {
            _map.Add(_edits.Key(index), _edits.Item(index));
        }
    }

    private static ReadOnlySpan<byte> ItemKey(ReadOnlySpan<byte> item)
    {
        var reader = new DagCborReader(item);
        reader.ReadArrayStart();
        return reader.ReadBytes();
    }

    // ------------------------------------------------------------------ small values

    private static StateKind KindOf(DataType type) => type switch
    {
        DataType.List => StateKind.List,
        DataType.Set => StateKind.Set,
        DataType.SortedSet => StateKind.SortedSet,
        DataType.Hash => StateKind.Hash,
        DataType.Stream => StateKind.Stream,
        _ => StateKind.String,
    };

    /// <summary>A value that its record holds as bytes.</summary>
    private void WriteCompact(byte* bytes, int length)
    {
        byte* scratch = stackalloc byte[Values.Element.ScratchSize];
        if (_type == DataType.String)
        {
            WriteString(_value, _encoding == DataEncoding.Int ? new Element(Unsafe.ReadUnaligned<long>(bytes)).Text(scratch).Span : new ReadOnlySpan<byte>(bytes, length));
            return;
        }

        _value.WriteArrayStart(2);
        _value.WriteInt64((int)KindOf(_type));
        if (_type == DataType.List)
        {
            AddNode(bytes, length, isPlain: false);
            FinishTree(_list, _value);
            return;
        }

        _edits.Clear();
        byte* second = stackalloc byte[Values.Element.ScratchSize];
        switch (_type)
        {
            case DataType.Set when _encoding == DataEncoding.IntSet:
                for (int i = 0; i < IntSet.Count(bytes, length); i++)
                {
                    Note(Member(new Element(IntSet.At(bytes, i)).Text(scratch).Span));
                }

                break;
            case DataType.Set:
                for (int entry = Pack.HeaderSize; entry < length; entry = Pack.Skip(bytes, entry, 1))
                {
                    Note(Member(Values.Element.OfPack(bytes, entry).Text(scratch).Span));
                }

                break;
            case DataType.Hash:
                bool mayExpire = _encoding == DataEncoding.ExpiringPack;
                for (int entry = Pack.HeaderSize; entry < length; entry = Pack.Skip(bytes, entry, mayExpire ? 3 : 2))
                {
                    Slice field = Values.Element.OfPack(bytes, entry).Text(scratch), value = Values.Element.OfPack(bytes, Pack.Skip(bytes, entry, 1)).Text(second);
                    Note(Field(field.Span, value.Span, mayExpire ? HashValue.InstantAt(bytes, entry) : 0));
                }

                break;
            default:
                for (SortedSetCursor cursor = new(bytes, length, Pack.HeaderSize); cursor.IsValid; cursor.MoveNext())
                {
                    ScoredMember member = cursor.Current(scratch);
                    Note(Scored(new ReadOnlySpan<byte>(member.Member, member.Length), member.Score));
                }

                break;
        }

        _edits.Sort();
        for (int i = 0; i < _edits.Count; i++)
        {
            _map.Add(_edits.Key(i), _edits.Item(i));
        }

        FinishTree(_map, _value);
    }

    private void Note(ReadOnlySpan<byte> treeKey) => _edits.Put(treeKey, _item.Written);

    private void AddNode(byte* bytes, int length, bool isPlain)
    {
        if (isPlain)
        {
            AddToList(new ReadOnlySpan<byte>(bytes, length));
            return;
        }

        byte* scratch = stackalloc byte[Values.Element.ScratchSize];
        for (int entry = Pack.HeaderSize; entry < length; entry = Pack.Skip(bytes, entry, 1))
        {
            AddToList(Values.Element.OfPack(bytes, entry).Text(scratch).Span);
        }
    }

    private void AddToList(ReadOnlySpan<byte> element)
    {
        _item.Clear();
        WriteString(_item, element);
        _list.Add(_item.Written, _item.Written);
    }

    // ------------------------------------------------------------------ items: they are left in _item, and the key is given back

    private ReadOnlySpan<byte> Member(ReadOnlySpan<byte> member)
    {
        bool isLong = member.Length >= StateFormat.LongName;
        ReadOnlySpan<byte> key = StateFormat.TreeKey(member, _treeKey);
        _item.Clear();
        _item.WriteArrayStart(isLong ? 2 : 1);
        _item.WriteBytes(key);
        if (isLong)
        {
            WriteString(_item, member);
        }

        return key;
    }

    private ReadOnlySpan<byte> Scored(ReadOnlySpan<byte> member, double score)
    {
        bool isLong = member.Length >= StateFormat.LongName;
        ReadOnlySpan<byte> key = StateFormat.TreeKey(member, _treeKey);
        Span<byte> bytes = stackalloc byte[StateFormat.ScoreBytes];
        StateFormat.WriteScore(score, bytes);
        _item.Clear();
        _item.WriteArrayStart(isLong ? 3 : 2);
        _item.WriteBytes(key);
        _item.WriteBytes(bytes);
        if (isLong)
        {
            WriteString(_item, member);
        }

        return key;
    }

    private ReadOnlySpan<byte> Field(ReadOnlySpan<byte> field, ReadOnlySpan<byte> value, long expireAt)
    {
        ReadOnlySpan<byte> key = StateFormat.TreeKey(field, _treeKey);
        _item.Clear();
        _item.WriteArrayStart(field.Length >= StateFormat.LongName ? 4 : expireAt != 0 ? 3 : 2);
        _item.WriteBytes(key);
        WriteString(_item, value);
        WriteExpiryAndName(_item, field, expireAt);
        return key;
    }

    private void WriteExpiryAndName(DagCborWriter to, ReadOnlySpan<byte> name, long expireAt)
    {
        bool isLong = name.Length >= StateFormat.LongName;
        if (expireAt != 0)
        {
            to.WriteInt64(expireAt);
        }
        else if (isLong)
        {
            to.WriteNull();
        }

        if (isLong)
        {
            WriteString(to, name);
        }
    }

    private void WriteString(DagCborWriter to, ReadOnlySpan<byte> bytes) => WriteString(store, to, bytes);

    /// <summary>Writes a string of the format: its bytes, or a blob.</summary>
    public static void WriteString(NodeStore store, DagCborWriter to, ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length <= StateFormat.MaxInlineString)
        {
            to.WriteBytes(bytes);
            return;
        }

        to.WriteArrayStart(2);
        to.WriteInt64(bytes.Length);
        to.WriteCid(Blob.Write(store, bytes));
    }

    // ------------------------------------------------------------------ streams

    private void BeginStream(ref SnapshotReader reader)
    {
        reader.UInt64();
        reader.Varint();
        var stream = new StreamHead { LastId = ReadId(ref reader), MaxDeletedId = ReadId(ref reader), EntriesAdded = reader.UInt64() };
        for (ulong groups = reader.Varint(); groups > 0; groups--)
        {
            byte[] groupName = ReadName(ref reader);
            var group = new Group(groupName, ReadId(ref reader), (long)reader.UInt64());
            stream.Groups.Add(group);
            for (ulong consumers = reader.Varint(); consumers > 0; consumers--)
            {
                uint slot = (uint)reader.Varint();
                byte[] name = ReadName(ref reader);
                group.Slots.Add(slot, name);
                group.Consumers.Add((name, (long)reader.UInt64(), (long)reader.UInt64()));
            }
        }

        _stream = stream;
    }

    private static StreamId ReadId(ref SnapshotReader reader) => new(reader.UInt64(), reader.UInt64());

    private static byte[] ReadName(ref SnapshotReader reader)
    {
        byte* name = reader.Bytes(out int length);
        return new ReadOnlySpan<byte>(name, length).ToArray();
    }

    /// <summary>Ends the entries, or those pending with the group before.</summary>
    private void EndPending(StreamHead stream)
    {
        _string.Clear();
        if (stream.PendingGroup < 0)
        {
            FinishTree(_map, _string);
            stream.Entries = _string.ToArray();
        }
        else
        {
            FinishTree(_inner, _string);
            stream.Groups[stream.PendingGroup].Pending = _string.ToArray();
        }
    }

    private void FinishStream(StreamHead stream)
    {
        EndPending(stream);
        Span<byte> id = stackalloc byte[StateFormat.IdBytes];
        _value.WriteArrayStart(6);
        _value.WriteInt64((int)StateKind.Stream);
        _value.WriteEncoded(stream.Entries);
        StateFormat.WriteId(stream.LastId, id);
        _value.WriteBytes(id);
        StateFormat.WriteId(stream.MaxDeletedId, id);
        _value.WriteBytes(id);
        _value.WriteUInt64(stream.EntriesAdded);
        foreach (Group group in stream.Groups.OrderBy(g => TreeKeyOf(g.Name), ByteStringComparer.Order))
        {
            bool isLong = group.Name.Length >= StateFormat.LongName;
            byte[] consumers = Consumers(group);
            _item.Clear();
            _item.WriteArrayStart(isLong ? 6 : 5);
            _item.WriteBytes(StateFormat.TreeKey(group.Name, _treeKey));
            StateFormat.WriteId(group.LastId, id);
            _item.WriteBytes(id);
            _item.WriteInt64(group.EntriesRead);
            _item.WriteEncoded(consumers);
            _item.WriteEncoded(group.Pending ?? _emptyArray);
            if (isLong)
            {
                WriteString(_item, group.Name);
            }

            _map.Add(StateFormat.TreeKey(group.Name, _treeKey), _item.Written);
        }

        FinishTree(_map, _value);
    }

    private byte[] TreeKeyOf(byte[] name) => StateFormat.TreeKey(name, _treeKey).ToArray();

    private byte[] Consumers(Group group)
    {
        foreach ((byte[] name, long seen, long active) in group.Consumers.OrderBy(c => TreeKeyOf(c.Name), ByteStringComparer.Order))
        {
            bool isLong = name.Length >= StateFormat.LongName;
            _item.Clear();
            _item.WriteArrayStart(isLong ? 4 : 3);
            _item.WriteBytes(StateFormat.TreeKey(name, _treeKey));
            _item.WriteInt64(seen);
            _item.WriteInt64(active);
            if (isLong)
            {
                WriteString(_item, name);
            }

            _inner.Add(StateFormat.TreeKey(name, _treeKey), _item.Written);
        }

        _string.Clear();
        FinishTree(_inner, _string);
        return _string.ToArray();
    }
}
