using System.Buffers.Binary;
using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Multiformats;

namespace Leither.MmDb.Versions.Tree;

/// <summary>A child of a node: where it is, the last key below it (maps), and its weight.</summary>
internal readonly record struct TreeChild(byte[] LastKey, Cid Link, long Weight)
{
    /// <summary>What decides whether the node above ends behind it.</summary>
    public ulong Hash(TreeKind kind, int level)
    {
        if (kind == TreeKind.Map)
        {
            return XxHash64.Compute(LastKey, (ulong)level);
        }

        Span<byte> link = stackalloc byte[Cid.MaxLength];
        return XxHash64.Compute(link[..Link.Write(link)], (ulong)level);
    }

    /// <summary>Writes it as an item.</summary>
    public void Write(TreeKind kind, DagCborWriter writer)
    {
        writer.WriteArrayStart(kind == TreeKind.Map ? 3 : 2);
        if (kind == TreeKind.Map)
        {
            writer.WriteBytes(LastKey);
        }

        writer.WriteCid(Link);
        writer.WriteInt64(Weight);
    }
}

/// <summary>Cuts the items of one level, given in order, into nodes, and stores them.</summary>
internal sealed class LevelWriter(NodeStore store, TreeKind kind, int level)
{
    /// <summary>Room in front of the items for the node's own head: an array head of up to 5 bytes and a level of up to 2.</summary>
    private const int HeadRoom = 8;

    private byte[] _buffer = [];
    private int _end = HeadRoom;
    private int _count;
    private long _weight;
    private int _last;
    private NodeBoundary _boundary;

    /// <summary>Items that are in no node yet.</summary>
    public int Pending => _count;

    /// <summary>The items that are in no node yet, one behind the other.</summary>
    public ReadOnlySpan<byte> PendingItems => _buffer.AsSpan(HeadRoom, _end - HeadRoom);

    /// <summary>The level: 0 for leaves.</summary>
    public int Level => level;

    /// <summary>Takes the next item. True: a node ends behind it, so <see cref="End"/> comes next.</summary>
    /// <param name="item">Its bytes.</param>
    /// <param name="weight">1 for what leaves hold.</param>
    /// <param name="hash">What decides whether the node ends.</param>
    public bool Add(ReadOnlySpan<byte> item, long weight, ulong hash)
    {
        Append(item);
        _count++;
        _weight += weight;
        return _boundary.EndsBehind(hash, item.Length, level);
    }

    /// <summary>Takes the next item of a leaf.</summary>
    /// <param name="key">Its key in a map, itself in a sequence.</param>
    /// <param name="item">Its bytes.</param>
    public bool AddToLeaf(ReadOnlySpan<byte> key, ReadOnlySpan<byte> item) => Add(item, 1, XxHash64.Compute(key, 0));

    /// <summary>Takes items behind none of which the node ends, but perhaps the last one, as is known.</summary>
    /// <param name="items">The items, one behind the other.</param>
    /// <param name="last">Where the last of them begins.</param>
    /// <param name="count">How many.</param>
    /// <param name="weight">What they weigh.</param>
    public void Pass(ReadOnlySpan<byte> items, int last, int count, long weight)
    {
        Append(items);
        _last += last;
        _count += count;
        _weight += weight;
        _boundary.Pass(count, items.Length);
    }

    /// <summary>Ends the node: stores it and begins another.</summary>
    public TreeChild End()
    {
        int start = HeadRoom;
        if (level < 24)
        {
            _buffer[--start] = (byte)level;
        }
        else
        {
            _buffer[--start] = (byte)level;
            _buffer[--start] = 0x18;
        }

        start = WriteArrayHeadBefore(start, _count + 1);
        byte[] lastKey = kind == TreeKind.Map ? TreeNode.KeyOf(_buffer.AsSpan(_last, _end - _last)).ToArray() : [];
        TreeChild child = new(lastKey, store.WriteNode(kind, level, _buffer.AsSpan(start, _end - start)), _weight);
        Clear();
        return child;
    }

    /// <summary>Forgets what is in no node yet.</summary>
    public void Clear()
    {
        _end = HeadRoom;
        _count = 0;
        _weight = 0;
        _boundary = default;
    }

    private void Append(ReadOnlySpan<byte> bytes)
    {
        if (_buffer.Length - _end < bytes.Length)
        {
            Array.Resize(ref _buffer, (int)Math.Max(_end + (long)bytes.Length, Math.Max(2 * NodeBoundary.MinBytes, _buffer.Length * 2L)));
        }

        bytes.CopyTo(_buffer.AsSpan(_end));
        _last = _end;
        _end += bytes.Length;
    }

    /// <summary>The head of a CBOR array, right before a place.</summary>
    private int WriteArrayHeadBefore(int start, int count)
    {
        const byte array = 0x80;
        switch (count)
        {
            case < 24:
                _buffer[--start] = (byte)(array | count);
                return start;
            case <= byte.MaxValue:
                _buffer[--start] = (byte)count;
                _buffer[--start] = array | 24;
                return start;
            case <= ushort.MaxValue:
                BinaryPrimitives.WriteUInt16BigEndian(_buffer.AsSpan(start -= 2), (ushort)count);
                _buffer[--start] = array | 25;
                return start;
            default:
                BinaryPrimitives.WriteUInt32BigEndian(_buffer.AsSpan(start -= 4), (uint)count);
                _buffer[--start] = array | 26;
                return start;
        }
    }
}
