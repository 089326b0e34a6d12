using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb.Rdb;

/// <summary>RDB bytes on their way out: native memory that grows, and the pieces of which everything in RDB is made.</summary>
internal sealed unsafe class RdbBuffer : IDisposable
{
    /// <summary>Shorter strings are not worth compressing.</summary>
    private const int MinCompressed = 21;

    private const int FirstCapacity = 512;

    private byte* _data;
    private long _capacity;
    private byte* _scratch;
    private int _scratchCapacity;

    /// <summary>Whether strings are compressed (rdbcompression).</summary>
    public bool Compresses { get; set; } = true;

    /// <summary>First byte.</summary>
    public byte* Data => _data;

    /// <summary>Bytes written.</summary>
    public long Length { get; private set; }

    /// <summary>Forgets the bytes; the memory stays.</summary>
    public void Clear() => Length = 0;

    /// <inheritdoc/>
    public void Dispose()
    {
        NativeMemory.Free(_data);
        NativeMemory.Free(_scratch);
        _data = _scratch = null;
        _capacity = _scratchCapacity = 0;
        Length = 0;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private byte* Take(long bytes)
    {
        if (_capacity - Length < bytes)
        {
            Grow(bytes);
        }

        byte* place = _data + Length;
        Length += bytes;
        return place;
    }

    private void Grow(long bytes)
    {
        _capacity = Math.Max(Math.Max(FirstCapacity, _capacity * 2), Length + bytes);
        _data = (byte*)NativeMemory.Realloc(_data, (nuint)_capacity);
    }

    public void Byte(byte value) => *Take(1) = value;

    public void Type(RdbType type) => *Take(1) = (byte)type;

    public void UInt16(ushort value) => BinaryPrimitives.WriteUInt16LittleEndian(new Span<byte>(Take(2), 2), value);

    public void UInt32(uint value) => BinaryPrimitives.WriteUInt32LittleEndian(new Span<byte>(Take(4), 4), value);

    public void UInt64(ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(new Span<byte>(Take(8), 8), value);

    public void Double(double value) => BinaryPrimitives.WriteDoubleLittleEndian(new Span<byte>(Take(8), 8), value);

    public void Raw(byte* bytes, long length)
    {
        byte* place = Take(length);
        Buffer.MemoryCopy(bytes, place, length, length);
    }

    public void Raw(ReadOnlySpan<byte> bytes) => bytes.CopyTo(new Span<byte>(Take(bytes.Length), bytes.Length));

    public void Count(ulong length)
    {
        if (length < 1 << 6)
        {
            Byte((byte)length);
        }
        else if (length < 1 << 14)
        {
            byte* p = Take(2);
            p[0] = (byte)(0x40 | length >> 8);
            p[1] = (byte)length;
        }
        else if (length <= uint.MaxValue)
        {
            byte* p = Take(5);
            p[0] = 0x80;
            BinaryPrimitives.WriteUInt32BigEndian(new Span<byte>(p + 1, 4), (uint)length);
        }
        else
        {
            byte* p = Take(9);
            p[0] = 0x81;
            BinaryPrimitives.WriteUInt64BigEndian(new Span<byte>(p + 1, 8), length);
        }
    }

    /// <summary>A string: as an integer where its digits are one, compressed where that helps.</summary>
    public void String(byte* bytes, long length)
    {
        if (length <= 11 && RespInteger.TryParse(bytes, (int)length, out long integer) && Integer(integer))
        {
            return;
        }

        if (length >= MinCompressed && length <= int.MaxValue && Compresses && Compressed(bytes, (int)length))
        {
            return;
        }

        Count((ulong)length);
        Raw(bytes, length);
    }

    public void String(ReadOnlySpan<byte> bytes)
    {
        fixed (byte* p = bytes)
        {
            String(p, bytes.Length);
        }
    }

    /// <summary>A string that is the digits of an integer.</summary>
    public void StringOfInteger(long integer)
    {
        if (!Integer(integer))
        {
            byte* digits = stackalloc byte[RespInteger.MaxLength];
            int length = RespInteger.Format(integer, digits);
            Count((ulong)length);
            Raw(digits, length);
        }
    }

    /// <summary>The string that an element is.</summary>
    public void String(in Element element)
    {
        if (element.IsInteger)
        {
            StringOfInteger(element.Integer);
        }
        else
        {
            String(element.Bytes, element.Length);
        }
    }

    private bool Integer(long value)
    {
        byte* p;
        if (value == (sbyte)value)
        {
            p = Take(2);
            p[0] = 0xC0;
            p[1] = (byte)value;
        }
        else if (value == (short)value)
        {
            p = Take(3);
            p[0] = 0xC1;
            BinaryPrimitives.WriteInt16LittleEndian(new Span<byte>(p + 1, 2), (short)value);
        }
        else if (value == (int)value)
        {
            p = Take(5);
            p[0] = 0xC2;
            BinaryPrimitives.WriteInt32LittleEndian(new Span<byte>(p + 1, 4), (int)value);
        }
        else
        {
            return false;
        }

        return true;
    }

    private bool Compressed(byte* bytes, int length)
    {
        int room = length - 4;
        if (_scratchCapacity < room)
        {
            _scratchCapacity = Math.Max(room, 4096);
            _scratch = (byte*)NativeMemory.Realloc(_scratch, (nuint)_scratchCapacity);
        }

        int compressed = Lzf.Compress(bytes, length, _scratch, room);
        if (compressed == 0)
        {
            return false;
        }

        Byte(0xC3);
        Count((ulong)compressed);
        Count((ulong)length);
        Raw(_scratch, compressed);
        return true;
    }

    /// <summary>A pack as the listpack of the same entries, in a string.</summary>
    public void Listpack(byte* pack, int length)
    {
        int size = length - Pack.HeaderSize + ListpackHeaderBytes + 1;
        byte* listpack = (byte*)NativeMemory.Alloc((nuint)size);
        BinaryPrimitives.WriteInt32LittleEndian(new Span<byte>(listpack, 4), size);
        listpack[4] = pack[0];
        listpack[5] = pack[1];
        Unsafe.CopyBlockUnaligned(listpack + ListpackHeaderBytes, pack + Pack.HeaderSize, (uint)(length - Pack.HeaderSize));
        listpack[size - 1] = 0xFF;
        String(listpack, size);
        NativeMemory.Free(listpack);
    }

    private const int ListpackHeaderBytes = 6;

    /// <summary>What ends a DUMP payload.</summary>
    public void Footer()
    {
        UInt16(RdbFormat.WrittenVersion);
        UInt64(Crc64.Compute(0, _data, Length));
    }
}
