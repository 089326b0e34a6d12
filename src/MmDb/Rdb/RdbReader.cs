using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Leither.Resp;

namespace Leither.MmDb.Rdb;

/// <summary>Room for one string that cannot be read where it lies: it was compressed, or is the digits of an integer.</summary>
internal unsafe struct RdbScratch : IDisposable
{
    private byte* _data;
    private long _capacity;

    /// <summary>So many bytes; those of the last call are gone.</summary>
    public byte* Take(long bytes)
    {
        if (_capacity < bytes)
        {
            NativeMemory.Free(_data);
            _data = null;
            _capacity = Math.Max(bytes, 64);
            _data = (byte*)NativeMemory.Alloc((nuint)_capacity);
        }

        return _data;
    }

    /// <summary>Gives the memory back.</summary>
    public void Dispose()
    {
        NativeMemory.Free(_data);
        this = default;
    }
}

/// <summary>
/// Takes RDB's pieces off bytes that nobody vouches for. What is wrong throws <see cref="RdbFormatException"/>; nothing is
/// ever read beyond the end, and nothing is allocated that the bytes at hand do not account for.
/// </summary>
internal unsafe ref struct RdbReader(byte* data, long length)
{
    private byte* _next = data;
    private readonly byte* _end = data + length;

    /// <summary>Bytes that are left.</summary>
    public readonly long Left => _end - _next;

    /// <summary>The next byte's place.</summary>
    public readonly byte* Next => _next;

    /// <summary>Whether all was read.</summary>
    public readonly bool AtEnd => _next >= _end;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public byte Byte()
    {
        Need(1);
        return *_next++;
    }

    public byte* Raw(long bytes)
    {
        Need(bytes);
        byte* place = _next;
        _next += bytes;
        return place;
    }

    public ulong UInt64() => BinaryPrimitives.ReadUInt64LittleEndian(new ReadOnlySpan<byte>(Raw(8), 8));

    public uint UInt32() => BinaryPrimitives.ReadUInt32LittleEndian(new ReadOnlySpan<byte>(Raw(4), 4));

    /// <summary>A score of the newer kind: eight bytes.</summary>
    public double Double() => BinaryPrimitives.ReadDoubleLittleEndian(new ReadOnlySpan<byte>(Raw(8), 8));

    /// <summary>A score of the older kind: text with its length in one byte, of which three values are no lengths.</summary>
    public double TextDouble()
    {
        byte size = Byte();
        switch (size)
        {
            case 255:
                return double.NegativeInfinity;
            case 254:
                return double.PositiveInfinity;
            case 253:
                return double.NaN;
            default:
                byte* text = Raw(size);
                return RespDouble.TryParse(new ReadOnlySpan<byte>(text, size), out double value)
                    ? value
                    : throw new RdbFormatException("a score is no number");
        }
    }

    /// <summary>A length, or the kind of an encoded string.</summary>
    public ulong Length(out bool isEncoding)
    {
        byte first = Byte();
        isEncoding = false;
        switch (first >> 6)
        {
            case 0:
                return first;
            case 1:
                return (ulong)(first & 0x3F) << 8 | Byte();
            case 3:
                isEncoding = true;
                return (ulong)first & 0x3F;
            default:
                return first switch
                {
                    0x80 => BinaryPrimitives.ReadUInt32BigEndian(new ReadOnlySpan<byte>(Raw(4), 4)),
                    0x81 => BinaryPrimitives.ReadUInt64BigEndian(new ReadOnlySpan<byte>(Raw(8), 8)),
                    _ => throw new RdbFormatException($"a length begins with 0x{first:x2}"),
                };
        }
    }

    /// <summary>A plain length.</summary>
    public ulong Length()
    {
        ulong value = Length(out bool isEncoding);
        return !isEncoding ? value : throw new RdbFormatException("an encoding stands where a length must");
    }

    /// <summary>A number of elements, each of which takes <paramref name="bytesEach"/> bytes at least.</summary>
    public long Count(int bytesEach)
    {
        ulong value = Length();
        return value <= (ulong)Left / (ulong)bytesEach
            ? (long)value
            : throw new RdbFormatException($"{value} elements are said to follow in {Left} bytes");
    }

    /// <summary>A string; where it cannot be read where it lies, it is put into the scratch and good until that is used again.</summary>
    public Slice String(ref RdbScratch scratch)
    {
        ulong value = Length(out bool isEncoding);
        if (!isEncoding)
        {
            CheckLength(value);
            return new Slice(Raw((long)value), (int)value);
        }

        switch (value)
        {
            case 0:
                return Digits((sbyte)Byte(), ref scratch);
            case 1:
                return Digits(BinaryPrimitives.ReadInt16LittleEndian(new ReadOnlySpan<byte>(Raw(2), 2)), ref scratch);
            case 2:
                return Digits(BinaryPrimitives.ReadInt32LittleEndian(new ReadOnlySpan<byte>(Raw(4), 4)), ref scratch);
            case 3:
                ulong compressed = Length(), plain = Length();
                CheckLength(compressed);
                CheckLength(plain);
                byte* from = Raw((long)compressed);
                if (plain > compressed * Lzf.MaxExpansion)
                {
                    throw new RdbFormatException($"{compressed} bytes are said to become {plain}");
                }

                byte* to = scratch.Take((long)plain);
                return Lzf.Decompress(from, (long)compressed, to, (long)plain)
                    ? new Slice(to, (int)plain)
                    : throw new RdbFormatException("a compressed string is damaged");
            default:
                throw new RdbFormatException($"a string has encoding {value}, which is not known");
        }
    }

    private static Slice Digits(long value, ref RdbScratch scratch)
    {
        byte* to = scratch.Take(RespInteger.MaxLength);
        return new Slice(to, RespInteger.Format(value, to));
    }

    private static void CheckLength(ulong length)
    {
        if (length > (ulong)RdbFormat.MaxStringBytes)
        {
            throw new RdbFormatException($"a string of {length} bytes is too long");
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private readonly void Need(long bytes)
    {
        if (_end - _next < bytes)
        {
            throw new RdbFormatException("the bytes end early");
        }
    }
}
