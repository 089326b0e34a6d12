using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Multiformats;

namespace Leither.MmDb.Versions.Tree;

/// <summary>What a tree sorts by.</summary>
internal enum TreeKind
{
    /// <summary>By key: every item is an array that begins with its key, a byte string, and keys rise bytewise.</summary>
    Map,

    /// <summary>By position: items are what they are.</summary>
    Sequence,
}

/// <summary>
/// A node of a state tree, decoded. It is a DAG-CBOR array: the level (0 for leaves), then the items. The items of a node above the leaves
/// are its children: <c>[last key, link, weight]</c> in maps, <c>[link, weight]</c> in sequences, where weight counts the items
/// (of a blob: the bytes) below.
/// </summary>
/// <remarks>
/// <para>Decoding notes where items begin and no more, in one pass: making a version decodes every leaf that changed, so this pass is much of what it costs.
/// Keys and children are read where they lie.</para>
/// <para>One that was made without bytes can be loaded again and again (<see cref="Load"/>), and then takes no new memory.</para>
/// </remarks>
internal sealed unsafe class TreeNode : IBufferWriter<byte>
{
    /// <summary>The highest level there can be: a tree has at least two children to a node.</summary>
    public const int MaxLevel = 63;

    /// <summary>Arrays in arrays that are passed without a reader.</summary>
    private const int UsualDepth = 6;

    /// <summary>The usual form of a link, as DAG-CBOR has it: tag 42, a byte string, 00, and the 36 bytes of a CID by SHA-256.</summary>
    private const int LinkHeadBytes = 9, LinkBytes = LinkHeadBytes + 32;

    private byte[] _data;
    private int[] _offsets = [];
    private int _length, _count;

    /// <summary>A node that holds nothing until <see cref="Load"/>.</summary>
    public TreeNode()
        : this([])
    {
    }

    private TreeNode(byte[] data)
    {
        _data = data;
        _length = data.Length;
    }

    /// <summary>Which block it was read from, or written to; none where that was not said.</summary>
    public Cid Link { get; private set; }

    /// <summary>What the tree sorts by.</summary>
    public TreeKind Kind { get; private set; }
    /// <summary>0: a leaf.</summary>
    public int Level { get; private set; }
    /// <summary>Items in it.</summary>
    public int Count => _count;
    /// <summary>Its items, one behind the other.</summary>
    public ReadOnlySpan<byte> Items => _data.AsSpan(_offsets[0], _length - _offsets[0]);

    /// <summary>Decodes a block.</summary>
    /// <exception cref="TreeFormatException">It is no node of such a tree.</exception>
    public static TreeNode Decode(TreeKind kind, byte[] block, Cid link = default)
    {
        var node = new TreeNode(block) { Link = link };
        node.Scan(kind);
        return node;
    }

    /// <summary>Becomes another node. What it gave of the one before is good no more.</summary>
    /// <exception cref="MissingBlockException">It is not here.</exception>
    /// <exception cref="TreeFormatException">It is no node of such a tree.</exception>
    public void Load(NodeStore store, TreeKind kind, in Cid link)
    {
        _length = _count = 0;
        Link = default;
        if (!store.Blocks.TryGet(link, this))
        {
            throw new MissingBlockException(link);
        }

        Scan(kind);
        Link = link;
    }

    /// <summary>An item as it is stored.</summary>
    public ReadOnlySpan<byte> Item(int index) => _data.AsSpan(_offsets[index], _offsets[index + 1] - _offsets[index]);

    /// <summary>Where an item lies in the block.</summary>
    public ReadOnlyMemory<byte> ItemMemory(int index) => _data.AsMemory(_offsets[index], _offsets[index + 1] - _offsets[index]);

    /// <summary>The key of an item of a map; of a child, the last key below it.</summary>
    public ReadOnlySpan<byte> Key(int index)
    {
        (int start, int length) = KeyAt(_offsets[index]);
        return _data.AsSpan(start, length);
    }

    /// <summary>Where a key lies in the block.</summary>
    public ReadOnlyMemory<byte> KeyMemory(int index)
    {
        (int start, int length) = KeyAt(_offsets[index]);
        return _data.AsMemory(start, length);
    }

    /// <summary>The last key in it.</summary>
    public ReadOnlySpan<byte> LastKey => Key(Count - 1);

    /// <summary>The link to a child, and what it weighs.</summary>
    public (Cid Link, long Weight) Child(int index)
    {
        // [key, link, weight] or [link, weight], in the usual forms.
        int at = _offsets[index], end = _offsets[index + 1];
        bool isMap = Kind == TreeKind.Map;
        if (_data[at] == (isMap ? 0x83 : 0x82))
        {
            if (isMap)
            {
                (int key, int length) = KeyAt(at);
                at = key + length;
            }
            else
            {
                at++;
            }

            ReadOnlySpan<byte> rest = _data.AsSpan(at, end - at);
            if (rest.Length > LinkBytes && IsUsualLink(rest))
            {
                var weight = new DagCborReader(rest[LinkBytes..]);
                return (Cid.OfSha256(rest[6], rest[LinkHeadBytes..LinkBytes]), Weigh(weight.ReadUInt64()));
            }
        }

        var reader = new DagCborReader(Item(index));
        int fields = reader.ReadArrayStart();
        if (isMap)
        {
            reader.ReadBytes();
            fields--;
        }

        Cid link = reader.ReadCid();
        ulong weighs = reader.ReadUInt64();
        return fields == 2 ? (link, Weigh(weighs)) : throw new TreeFormatException("a child in the state tree has other fields than it should");
    }

    /// <summary>Items (of a blob: bytes) in it and below.</summary>
    public long Weight => WeightOf(0, Count);

    /// <summary>What some of its items weigh.</summary>
    /// <param name="first">The first of them.</param>
    /// <param name="end">The one behind the last.</param>
    public long WeightOf(int first, int end)
    {
        if (Level == 0)
        {
            return end - first;
        }

        long weight = 0;
        for (int i = first; i < end; i++)
        {
            weight += Child(i).Weight;
        }

        return weight;
    }

    /// <summary>Some of its items, one behind the other.</summary>
    public ReadOnlySpan<byte> ItemsOf(int first, int end) => _data.AsSpan(_offsets[first], _offsets[end] - _offsets[first]);

    /// <summary>The first item, from one on, whose key is not below one; <see cref="Count"/> if all are.</summary>
    public int Find(ReadOnlySpan<byte> key, int from = 0)
    {
        int low = from, high = Count;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            if (Key(middle).SequenceCompareTo(key) < 0)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low;
    }

    /// <summary>The key of an item of a map, given by itself.</summary>
    public static ReadOnlySpan<byte> KeyOf(ReadOnlySpan<byte> item)
    {
        int start = Head(item, 0, out _);
        start = Head(item, start, out int length);
        return item.Slice(start, length);
    }

    // ------------------------------------------------------------------ decoding

    /// <inheritdoc/>
    void IBufferWriter<byte>.Advance(int count) => _length += count;

    /// <inheritdoc/>
    Memory<byte> IBufferWriter<byte>.GetMemory(int sizeHint) => throw new NotSupportedException();

    /// <inheritdoc/>
    Span<byte> IBufferWriter<byte>.GetSpan(int sizeHint)
    {
        if (_data.Length - _length < Math.Max(sizeHint, 1))
        {
            Array.Resize(ref _data, Math.Max(_length + Math.Max(sizeHint, 1), Math.Max(2 * _data.Length, NodeBoundary.MaxBytes + (NodeBoundary.MaxBytes / 8))));
        }

        return _data.AsSpan(_length);
    }

    private void Scan(TreeKind kind)
    {
        try
        {
            Kind = kind;
            var reader = new DagCborReader(_data.AsSpan(0, _length));
            int count = reader.ReadArrayStart() - 1;
            ulong level = reader.ReadUInt64();
            if (count < 1 || level > MaxLevel)
            {
                throw new TreeFormatException("a node of the state tree has no items, or lies too high");
            }

            Level = (int)level;
            if (_offsets.Length <= count)
            {
                _offsets = new int[count + 1];
            }

            _count = count;
            fixed (byte* data = _data)
            fixed (int* offsets = _offsets)
            {
                int end = ScanItems(data, reader.Position, _length, offsets, count, kind == TreeKind.Map);
                if (end != _length)
                {
                    throw new TreeFormatException($"{_length - end} bytes follow a node of the state tree");
                }
            }
        }
        catch (DagCborException e)
        {
            _count = 0;
            throw new TreeFormatException($"a node of the state tree is no sound DAG-CBOR: {e.Message}");
        }
    }

    /// <summary>Notes where items begin, and sees to it that they are sound and, in a map, that their keys rise. Gives where the last one ends.</summary>
    private static int ScanItems(byte* data, int at, int end, int* offsets, int count, bool isMap)
    {
        byte* before = null;
        int beforeBytes = 0;
        for (int i = 0; i < count; i++)
        {
            offsets[i] = at;
            if (!isMap)
            {
                at = Pass(data, at, end);
                continue;
            }

            int fields, length;
            if (at < end && data[at] is >= 0x81 and < 0x98)
            {
                fields = data[at++] - 0x80;
            }
            else
            {
                var reader = new DagCborReader(new ReadOnlySpan<byte>(data + at, end - at));
                fields = reader.ReadArrayStart();
                at += reader.Position;
            }

            if (fields == 0)
            {
                throw new TreeFormatException("an item of the state tree has no key");
            }

            if (end - at >= 2 && data[at] is >= 0x40 and < 0x58)
            {
                length = data[at++] - 0x40;
            }
            else if (end - at >= 2 && data[at] == 0x58 && data[at + 1] >= 24)
            {
                length = data[at + 1];
                at += 2;
            }
            else
            {
                var reader = new DagCborReader(new ReadOnlySpan<byte>(data + at, end - at));
                length = reader.ReadBytes().Length;
                at += reader.Position - length;
            }

            if (length > end - at)
            {
                throw new TreeFormatException("a node of the state tree ends within a key");
            }

            if (before != null && new ReadOnlySpan<byte>(before, beforeBytes).SequenceCompareTo(new ReadOnlySpan<byte>(data + at, length)) >= 0)
            {
                throw new TreeFormatException("the keys of a node of the state tree do not rise");
            }

            before = data + at;
            beforeBytes = length;
            at += length;
            for (int field = 1; field < fields; field++)
            {
                at = Pass(data, at, end);
            }
        }

        offsets[count] = at;
        return at;
    }

    /// <summary>Goes past a value: where it ends.</summary>
    private static int Pass(byte* data, int at, int end)
    {
        int next = PassUsual(data, at, end, UsualDepth);
        if (next >= 0)
        {
            return next;
        }

        var reader = new DagCborReader(new ReadOnlySpan<byte>(data + at, end - at));
        reader.Skip();
        return at + reader.Position;
    }

    /// <summary>Goes past a value of the forms that are usual in states: where it ends. -1: it is something else, or not sound, which a reader will tell.</summary>
    private static int PassUsual(byte* data, int at, int end, int depth)
    {
        int left = end - at;
        if (left <= 0)
        {
            return -1;
        }

        int first = data[at];
        long next;
        switch (first)
        {
            case < 0x18:
            case >= 0x20 and < 0x38:
            case 0xF6:
                return at + 1;
            case 0x18:
                return left >= 2 && data[at + 1] >= 24 ? at + 2 : -1;
            case 0x19:
                return left >= 3 && data[at + 1] != 0 ? at + 3 : -1;
            case 0x1A:
                return left >= 5 && (data[at + 1] | data[at + 2]) != 0 ? at + 5 : -1;
            case 0x1B:
                return left >= 9 && Unsafe.ReadUnaligned<uint>(data + at + 1) != 0 ? at + 9 : -1;
            case >= 0x40 and < 0x58:
                next = (long)at + 1 + (first - 0x40);
                return next <= end ? (int)next : -1;
            case 0x58:
                next = left >= 2 && data[at + 1] >= 24 ? (long)at + 2 + data[at + 1] : long.MaxValue;
                return next <= end ? (int)next : -1;
            case 0x59:
                next = left >= 3 && data[at + 1] != 0 ? (long)at + 3 + ((data[at + 1] << 8) | data[at + 2]) : long.MaxValue;
                return next <= end ? (int)next : -1;
            case 0xD8:
                return left >= LinkBytes && IsUsualLink(new ReadOnlySpan<byte>(data + at, LinkBytes)) ? at + LinkBytes : -1;
            case >= 0x80 and < 0x98 when depth > 0:
                at++;
                for (int items = first - 0x80; items > 0 && at >= 0; items--)
                {
                    at = PassUsual(data, at, end, depth - 1);
                }

                return at;
            case 0x98 when depth > 0 && left >= 2 && data[at + 1] >= 24:
                int many = data[at + 1];
                at += 2;
                for (; many > 0 && at >= 0; many--)
                {
                    at = PassUsual(data, at, end, depth - 1);
                }

                return at;
            default:
                return -1;
        }
    }

    /// <summary>A link to raw bytes, DAG-PB or DAG-CBOR by SHA-256, version 1.</summary>
    private static bool IsUsualLink(ReadOnlySpan<byte> bytes) =>
        BinaryPrimitives.ReadUInt32BigEndian(bytes) == 0xD82A5825 && bytes[4] == 0 && bytes[5] == 1 && bytes[6] < 0x80 && bytes[7] == 0x12 && bytes[8] == 0x20;

    private static long Weigh(ulong weight) => weight <= long.MaxValue ? (long)weight : throw new TreeFormatException("a child in the state tree weighs too much");

    private (int Start, int Length) KeyAt(int item)
    {
        ReadOnlySpan<byte> data = _data;
        int at = Head(data, item, out _);
        at = Head(data, at, out int length);
        return (at, length);
    }

    /// <summary>Goes past the head of an array or a byte string, which is known to be sound.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int Head(ReadOnlySpan<byte> data, int at, out int argument)
    {
        argument = data[at] & 0x1F;
        return argument < 24 ? at + 1 : LongHead(data, at, out argument);
    }

    private static int LongHead(ReadOnlySpan<byte> data, int at, out int argument)
    {
        switch (data[at] & 0x1F)
        {
            case 24:
                argument = data[at + 1];
                return at + 2;
            case 25:
                argument = BinaryPrimitives.ReadUInt16BigEndian(data[(at + 1)..]);
                return at + 3;
            default:
                argument = BinaryPrimitives.ReadInt32BigEndian(data[(at + 1)..]);
                return at + 5;
        }
    }
}

/// <summary>A block is not what the state tree says it is: whoever made it did not follow the format.</summary>
public sealed class TreeFormatException(string message) : IOException(message);
