using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Leither.MmDb;

/// <summary>
/// What a snapshot says, as a stream of pieces in no particular order, except that a collection's piece comes before its elements
/// and that a list's nodes follow each other. The numbers and layouts are stored in checkpoints.
/// </summary>
/// <remarks>
/// <code>
/// head        type and encoding (1 byte), 1 if it expires, LRU (3 bytes), varint key length, key, [i64 expiry, Unix milliseconds]
/// Value       varint database, head, varint length, the value's bytes as they are held
/// Collection  varint database, head, u64 id, varint count of elements
/// Elements    u64 id, varint n, n times: varint length, field or member, varint length, value (a score's 8 bytes; a set's are none)
/// Node        u64 id, 1 if plain, varint count, varint length, a pack (or one element's bytes)
/// Stream      varint database, head, u64 id, varint count of nodes and pending entries that follow, last id, largest deleted id, u64 added,
///             varint groups, each: name, last id, u64 read, varint consumers, each: varint slot, name, u64 seen, u64 active
/// StreamNode  u64 id, node's id, varint length, a pack
/// Pending     u64 id, varint group, varint n, n times: id, u64 delivered, varint deliveries, varint slot of its consumer
/// ExpiringElements  as Elements, and an i64 behind each value: when that field expires, Unix milliseconds
/// Function    varint length, a library's name, varint length, its source
/// Files       varint length, the root of the files: a CID in binary
/// NewElement  u64 id, varint length, field or member
/// </code>
/// An id of a stream's entry is two u64, a name a varint length and the bytes.
/// An id is unique among the collections that still lack elements, and no longer.
/// </remarks>
internal enum SnapshotPiece : byte
{
    /// <summary>A key with its whole value.</summary>
    Value = 1,
    /// <summary>A key whose value follows in elements or nodes.</summary>
    Collection = 2,
    /// <summary>Elements of a big hash, set or sorted set.</summary>
    Elements = 3,
    /// <summary>A node of a big list.</summary>
    Node = 4,
    /// <summary>A stream, whose nodes and pending entries follow.</summary>
    Stream = 5,
    /// <summary>A node of a stream.</summary>
    StreamNode = 6,
    /// <summary>Pending entries of a stream's group.</summary>
    Pending = 7,
    /// <summary>Fields of a big hash that expire.</summary>
    ExpiringElements = 8,
    /// <summary>A function library.</summary>
    Function = 9,
    /// <summary>An element of a big hash, set or sorted set that there was not when the snapshot began. Only snapshots of changes have such; never stored.</summary>
    NewElement = 10,
    /// <summary>The root of a MiMei's files, where it has any.</summary>
    Files = 11,
}

/// <summary>Receives a snapshot's pieces, whole ones in each chunk, and does with them in the background what it likes.</summary>
internal interface ISnapshotSink
{
    /// <summary>A chunk with room for so many bytes of pieces at least.</summary>
    SnapshotChunk Rent(long bytes);

    /// <summary>Takes a chunk over; the snapshot forgets it.</summary>
    void Take(SnapshotChunk chunk);
}

/// <summary>A block of native memory with pieces, and some room in front of them for the sink's own header.</summary>
internal sealed unsafe class SnapshotChunk
{
    /// <summary>Room in front of the pieces.</summary>
    public const int HeaderRoom = 16;

    /// <summary>What a chunk usually has room for.</summary>
    public const int UsualCapacity = 256 * 1024;

    private readonly byte* _base;

    /// <summary>A chunk with room for so many bytes of pieces.</summary>
    public SnapshotChunk(long capacity)
    {
        Capacity = capacity;
        _base = (byte*)NativeMemory.Alloc((nuint)(HeaderRoom + capacity));
    }

    /// <summary>Room for pieces.</summary>
    public long Capacity { get; }
    /// <summary>Bytes of pieces in it.</summary>
    public long Length { get; set; }
    /// <summary>The room in front.</summary>
    public byte* Header => _base;
    /// <summary>The pieces.</summary>
    public byte* Data => _base + HeaderRoom;

    /// <summary>Gives the memory back.</summary>
    public void Free() => NativeMemory.Free(_base);
}

/// <summary>Writes pieces into chunks.</summary>
internal sealed unsafe class SnapshotWriter(ISnapshotSink sink)
{
    private SnapshotChunk? _chunk;

    /// <summary>Room for a piece of at most so many bytes.</summary>
    public byte* Reserve(long bytes)
    {
        if (_chunk is null || _chunk.Capacity - _chunk.Length < bytes)
        {
            Flush();
            _chunk = sink.Rent(Math.Max(bytes, SnapshotChunk.UsualCapacity));
        }

        return _chunk.Data + _chunk.Length;
    }

    /// <summary>Ends a piece that was written from <see cref="Reserve"/>'s place up to here.</summary>
    public void Commit(byte* end) => _chunk!.Length = end - _chunk.Data;

    /// <summary>Hands over what there is.</summary>
    public void Flush()
    {
        if (_chunk is { } chunk)
        {
            _chunk = null;
            sink.Take(chunk);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static byte* Varint(byte* to, ulong value)
    {
        while (value >= 0x80)
        {
            *to++ = (byte)(value | 0x80);
            value >>= 7;
        }

        *to++ = (byte)value;
        return to;
    }

    public static byte* UInt64(byte* to, ulong value)
    {
        BinaryPrimitives.WriteUInt64LittleEndian(new Span<byte>(to, 8), value);
        return to + 8;
    }

    public static byte* Bytes(byte* to, byte* bytes, long length)
    {
        to = Varint(to, (ulong)length);
        Buffer.MemoryCopy(bytes, to, length, length);
        return to + length;
    }
}

/// <summary>The bytes of a snapshot are not such: damaged where a checksum did not notice, or of a newer version.</summary>
internal sealed class SnapshotFormatException(string message) : IOException(message);

/// <summary>Takes pieces off a chunk's bytes; every length is checked.</summary>
internal unsafe ref struct SnapshotReader(byte* data, long length)
{
    private byte* _next = data;
    private readonly byte* _end = data + length;

    public readonly bool AtEnd => _next >= _end;

    /// <summary>Where it stands.</summary>
    public readonly byte* Next => _next;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public byte Byte()
    {
        Need(1);
        return *_next++;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong Varint()
    {
        ulong value = Byte();
        return value < 0x80 ? value : LongVarint(value);
    }

    private ulong LongVarint(ulong value)
    {
        value &= 0x7F;
        for (int shift = 7; shift < 70; shift += 7)
        {
            byte b = Byte();
            value |= (ulong)(b & 0x7F) << shift;
            if (b < 0x80)
            {
                return value;
            }
        }

        throw new SnapshotFormatException("a number is longer than ten bytes");
    }

    public ulong UInt64()
    {
        Need(8);
        ulong value = BinaryPrimitives.ReadUInt64LittleEndian(new ReadOnlySpan<byte>(_next, 8));
        _next += 8;
        return value;
    }

    public uint UInt24()
    {
        Need(3);
        uint value = _next[0] | ((uint)_next[1] << 8) | ((uint)_next[2] << 16);
        _next += 3;
        return value;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public byte* Bytes(out int length)
    {
        ulong wanted = Varint();
        if (wanted > (ulong)(_end - _next) || wanted > int.MaxValue)
        {
            throw new SnapshotFormatException($"{wanted} bytes are said to follow where {_end - _next} do");
        }

        length = (int)wanted;
        byte* start = _next;
        _next += length;
        return start;
    }

    private readonly void Need(long count)
    {
        if (_end - _next < count)
        {
            throw new SnapshotFormatException("a piece ends early");
        }
    }
}
