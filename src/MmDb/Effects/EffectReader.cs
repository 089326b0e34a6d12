using System.Buffers.Binary;
using Leither.MmDb.Log;

namespace Leither.MmDb;

/// <summary>An entry whose bytes are not what this version writes: damaged, or made by a newer version.</summary>
public sealed class UnknownEffectException(string message) : IOException(message);

/// <summary>Takes the parts of an entry's effects off its bytes; every length is checked.</summary>
internal unsafe ref struct EffectReader(byte* bytes, long length)
{
    private byte* _next = bytes;
    private readonly byte* _end = bytes + length;

    /// <summary>Whether all was read.</summary>
    public readonly bool AtEnd => _next >= _end;

    public byte Byte()
    {
        Need(1);
        return *_next++;
    }

    public ulong Varint()
    {
        ulong value = 0;
        for (int shift = 0; shift < 70; shift += 7)
        {
            byte b = Byte();
            value |= (ulong)(b & 0x7F) << shift;
            if (b < 0x80)
            {
                return value;
            }
        }

        throw new UnknownEffectException("a number in the entry is longer than ten bytes");
    }

    public int Int32()
    {
        ulong value = Varint();
        return value <= int.MaxValue ? (int)value : throw new UnknownEffectException("a number in the entry is too large");
    }

    /// <summary>A byte or bit offset within a value; no value reaches further than 2^40.</summary>
    public long Offset()
    {
        ulong value = Varint();
        return value < 1UL << 40 ? (long)value : throw new UnknownEffectException("an offset in the entry is too large");
    }

    public long Zigzag()
    {
        ulong value = Varint();
        return (long)(value >> 1) ^ -(long)(value & 1);
    }

    public long Int64()
    {
        Need(8);
        long value = BinaryPrimitives.ReadInt64LittleEndian(new ReadOnlySpan<byte>(_next, 8));
        _next += 8;
        return value;
    }

    public double Double() => BitConverter.Int64BitsToDouble(Int64());

    public byte* Bytes(out int length)
    {
        length = Int32();
        Need(length);
        byte* start = _next;
        _next += length;
        return start;
    }

    public Key Key(Keyspace keyspace)
    {
        byte* name = Bytes(out int length);
        return keyspace.KeyOf(name, length);
    }

    private readonly void Need(long count)
    {
        if (_end - _next < count)
        {
            throw new UnknownEffectException("the entry ends in the middle of an effect");
        }
    }
}
