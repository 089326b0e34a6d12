using System.Buffers.Binary;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb.Rdb;

/// <summary>
/// Walks the compact containers that RDB holds as strings: listpack, and the older ziplist and zipmap. Every byte is checked as
/// it is met, lengths and back links too, so a container that was walked to its end is sound all through.
/// </summary>
/// <remarks>
/// <code>
/// listpack  u32 total bytes, u16 count, entries, 0xFF                entries as in <see cref="Pack"/>
/// ziplist   u32 total bytes, u32 tail offset, u16 count, entries, 0xFF
///           entry: length of the entry before (1 byte, or 0xFE and 4), encoding, bytes
/// zipmap    count, (length, field, length, free, value, free bytes)…, 0xFF        length: 1 byte, or 0xFE and 4
/// </code>
/// </remarks>
internal unsafe ref struct RdbContainer
{
    private const byte End = 0xFF, Large = 0xFE;
    private const int ListpackHeader = 6, ZiplistHeader = 10;
    private const int Unknown = ushort.MaxValue;

    private readonly Kind _kind;
    private readonly byte* _data;
    private readonly byte* _end;
    private byte* _next;
    private byte* _last;
    private readonly int _declared;
    private long _count;
    private bool _isValue;

    private RdbContainer(Kind kind, Slice bytes, int headerBytes, int declared)
    {
        _kind = kind;
        _data = bytes.Pointer;
        _end = bytes.Pointer + bytes.Length - 1;
        _next = bytes.Pointer + headerBytes;
        _declared = declared;
    }

    private enum Kind
    {
        Listpack,
        Ziplist,
        Zipmap,
    }

    /// <summary>The entry that was read.</summary>
    public Element Current { get; private set; }

    /// <summary>Entries read so far.</summary>
    public readonly long Count => _count;

    public static RdbContainer Listpack(Slice bytes)
    {
        CheckEnds(bytes, ListpackHeader, "listpack");
        return new RdbContainer(Kind.Listpack, bytes, ListpackHeader, BinaryPrimitives.ReadUInt16LittleEndian(bytes.Span[4..]));
    }

    public static RdbContainer Ziplist(Slice bytes)
    {
        CheckEnds(bytes, ZiplistHeader, "ziplist");
        return new RdbContainer(Kind.Ziplist, bytes, ZiplistHeader, BinaryPrimitives.ReadUInt16LittleEndian(bytes.Span[8..]));
    }

    public static RdbContainer Zipmap(Slice bytes)
    {
        if (bytes.Length < 2 || bytes.Pointer[bytes.Length - 1] != End)
        {
            throw new RdbFormatException("a zipmap has no end");
        }

        return new RdbContainer(Kind.Zipmap, bytes, 1, bytes.Pointer[0] < Large ? bytes.Pointer[0] * 2 : Unknown);
    }

    private static void CheckEnds(Slice bytes, int headerBytes, string what)
    {
        if (bytes.Length < headerBytes + 1
            || BinaryPrimitives.ReadUInt32LittleEndian(bytes.Span) != (uint)bytes.Length
            || bytes.Pointer[bytes.Length - 1] != End)
        {
            throw new RdbFormatException($"a {what} is not as long as it says");
        }
    }

    /// <summary>Reads the next entry; false at the end, where the container turned out sound.</summary>
    public bool MoveNext()
    {
        if (_next >= _end)
        {
            Finish();
            return false;
        }

        switch (_kind)
        {
            case Kind.Listpack:
                ReadListpackEntry();
                break;
            case Kind.Ziplist:
                ReadZiplistEntry();
                break;
            default:
                ReadZipmapString();
                break;
        }

        _count++;
        return true;
    }

    private readonly void Finish()
    {
        bool complete = _next == _end && (_declared == Unknown || _declared == _count);
        if (_kind == Kind.Ziplist)
        {
            uint tail = BinaryPrimitives.ReadUInt32LittleEndian(new ReadOnlySpan<byte>(_data + 4, 4));
            complete &= tail == (uint)((_last == null ? _next : _last) - _data);
        }

        if (!complete || _isValue)
        {
            throw new RdbFormatException("a container does not hold as many entries as it says");
        }
    }

    private readonly void Need(byte* from, long bytes)
    {
        if (_end - from < bytes)
        {
            throw new RdbFormatException("an entry goes over the end of its container");
        }
    }

    // ------------------------------------------------------------------ listpack

    private void ReadListpackEntry()
    {
        byte* p = _next;
        byte lead = *p;
        int head = lead switch
        {
            < Pack.Integer13 => 1,
            < Pack.String32 => 2,
            Pack.String32 => 5,
            Pack.Integer16 => 3,
            Pack.Integer24 => 4,
            Pack.Integer32 => 5,
            Pack.Integer64 => 9,
            _ => throw new RdbFormatException($"a listpack entry begins with 0x{lead:x2}"),
        };
        Need(p, head);
        long payload = lead switch
        {
            >= Pack.String6 and < Pack.Integer13 => lead & 0x3F,
            >= Pack.String12 and < Pack.String32 => ((lead & 0x0F) << 8) | p[1],
            Pack.String32 => *(uint*)(p + 1),
            _ => 0,
        };
        Need(p, head + payload);
        int encoded = head + (int)payload, back = Pack.BackLengthSize(encoded);
        Need(p, encoded + back);
        byte* expected = stackalloc byte[5];
        Pack.WriteBackLength(expected, encoded);
        if (!new ReadOnlySpan<byte>(expected, back).SequenceEqual(new ReadOnlySpan<byte>(p + encoded, back)))
        {
            throw new RdbFormatException("a listpack entry's back length is wrong");
        }

        Current = Element.OfPack(p, 0);
        _next = p + encoded + back;
    }

    // ------------------------------------------------------------------ ziplist

    private void ReadZiplistEntry()
    {
        byte* p = _next;
        long before = *p;
        int size = 1;
        if (before == Large)
        {
            Need(p, 5);
            before = BinaryPrimitives.ReadUInt32LittleEndian(new ReadOnlySpan<byte>(p + 1, 4));
            size = 5;
        }

        if (before != (_last == null ? 0 : p - _last))
        {
            throw new RdbFormatException("a ziplist entry's back link is wrong");
        }

        byte* entry = p;
        p += size;
        Need(p, 1);
        byte lead = *p;
        if (lead < 0xC0)
        {
            int head = (lead >> 6) switch { 0 => 1, 1 => 2, _ => 5 };
            Need(p, head);
            long length = head switch
            {
                1 => lead & 0x3F,
                2 => ((lead & 0x3F) << 8) | p[1],
                _ => BinaryPrimitives.ReadUInt32BigEndian(new ReadOnlySpan<byte>(p + 1, 4)),
            };
            Need(p, head + length);
            Current = new Element(p + head, length);
            _next = p + head + length;
        }
        else
        {
            int bytes = lead switch { 0xC0 => 2, 0xD0 => 4, 0xE0 => 8, 0xF0 => 3, 0xFE => 1, >= 0xF1 and <= 0xFD => 0, _ => -1 };
            if (bytes < 0)
            {
                throw new RdbFormatException($"a ziplist entry has encoding 0x{lead:x2}");
            }

            Need(p, 1 + bytes);
            var content = new ReadOnlySpan<byte>(p + 1, bytes);
            Current = new Element(bytes switch
            {
                0 => (lead & 0x0F) - 1,
                1 => (sbyte)p[1],
                2 => BinaryPrimitives.ReadInt16LittleEndian(content),
                3 => (p[1] << 8 | p[2] << 16 | p[3] << 24) >> 8,
                4 => BinaryPrimitives.ReadInt32LittleEndian(content),
                _ => BinaryPrimitives.ReadInt64LittleEndian(content),
            });
            _next = p + 1 + bytes;
        }

        _last = entry;
    }

    // ------------------------------------------------------------------ zipmap

    private void ReadZipmapString()
    {
        byte* p = _next;
        long length = *p;
        int size = 1;
        if (length == Large)
        {
            Need(p, 5);
            length = BinaryPrimitives.ReadUInt32LittleEndian(new ReadOnlySpan<byte>(p + 1, 4));
            size = 5;
        }

        p += size;
        int free = 0;
        if (_isValue)
        {
            Need(p, 1);
            free = *p++;
        }

        Need(p, length + free);
        Current = new Element(p, length);
        _next = p + length + free;
        _isValue = !_isValue;
    }
}
