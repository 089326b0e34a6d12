using System.Buffers.Text;
using System.Runtime.CompilerServices;

namespace Leither.MmDb.Values;

/// <summary>
/// A compact sequence of byte strings: the layout of small hashes (field, value, …), sets, lists and sorted sets
/// (member, score, …), and of the nodes of a quicklist.
/// </summary>
/// <remarks>
/// <code>
/// pack   = [count u16] entry*            65535 = that many or more: count by walking
/// entry  = encoding [bytes] back-length
///
/// 0nnnnnnn                    integer 0..127             11110001 + 2 bytes   integer, 16 bits
/// 10llllll + bytes            string up to 63 bytes      11110010 + 3 bytes   integer, 24 bits
/// 110nnnnn + 1 byte           integer, 13 bits           11110011 + 4 bytes   integer, 32 bits
/// 1110llll + 1 byte + bytes   string up to 4095 bytes    11110100 + 8 bytes   integer, 64 bits
/// 11110000 + 4 bytes + bytes  longer string
/// </code>
/// Entries are those of Redis's listpack, byte for byte (https://github.com/antirez/listpack): integers of 16 bits and more
/// and the 32-bit length are little endian, the 13- and 12-bit forms big endian. The back length is the size of what precedes
/// it in the entry, in groups of 7 bits that are read backwards, so a pack can be walked from either end.
///
/// <para>A pack lives in memory that somebody else owns. It is named by (data, length), an entry by its offset in it
/// (<see cref="None"/> is no entry). Edits happen in place and give the new length; the caller makes sure that the memory
/// has room (<see cref="EntrySize(ReadOnlySpan{byte})"/> says how much an entry needs).</para>
///
/// <para>What must stay true: every value is in its shortest encoding, and a string that is a canonical integer is stored
/// as that integer. Finding compares encoded bytes and relies on it; <see cref="Validate"/> checks it.</para>
/// </remarks>
public static unsafe class Pack
{
    /// <summary>Bytes before the first entry; the length of an empty pack.</summary>
    public const int HeaderSize = 2;

    /// <summary>No entry: what reads give at either end, and when nothing is found.</summary>
    public const int None = -1;

    /// <summary>The longest string that an entry can hold here.</summary>
    public const int MaxStringLength = 1 << 30;

    /// <summary>
    /// What a Redis listpack of the same entries has more: a longer header and an end mark. Redis's size limits speak of that.
    /// </summary>
    public const int ListpackOverhead = 5;

    internal const byte String6 = 0x80;
    internal const byte Integer13 = 0xC0;
    internal const byte String12 = 0xE0;
    internal const byte String32 = 0xF0;
    internal const byte Integer16 = 0xF1;
    internal const byte Integer24 = 0xF2;
    internal const byte Integer32 = 0xF3;
    internal const byte Integer64 = 0xF4;

    private const int Saturated = ushort.MaxValue;

    /// <summary>Makes the memory an empty pack; gives its length.</summary>
    public static int Initialize(byte* data)
    {
        WriteCount(data, 0);
        return HeaderSize;
    }

    /// <summary>Number of entries.</summary>
    public static int Count(byte* data, int length)
    {
        int count = *(ushort*)data;
        return count != Saturated ? count : Walk(data, length);
    }

    /// <summary>Whether there are no entries.</summary>
    public static bool IsEmpty(int length) => length <= HeaderSize;

    /// <summary>The first entry.</summary>
    public static int First(byte* data, int length) => length > HeaderSize ? HeaderSize : None;

    /// <summary>The last entry.</summary>
    public static int Last(byte* data, int length) => Previous(data, length);

    /// <summary>The entry after <paramref name="entry"/>.</summary>
    public static int Next(byte* data, int length, int entry)
    {
        int next = entry + SizeAt(data + entry);
        return next < length ? next : None;
    }

    /// <summary>The entry before <paramref name="entry"/>; given the pack's length, the last one.</summary>
    public static int Previous(byte* data, int entry)
    {
        if (entry <= HeaderSize)
        {
            return None;
        }

        byte* p = data + entry - 1;
        uint length = 0;
        for (int shift = 0; ; shift += 7, p--)
        {
            length |= (uint)(*p & 127) << shift;
            if (*p < 128)
            {
                break;
            }
        }

        return (int)(p - data) - (int)length;
    }

    /// <summary>The entry at an index: 0 is the first, -1 the last. Walks from the nearer end.</summary>
    public static int At(byte* data, int length, long index)
    {
        int count = Count(data, length);
        if (index < 0)
        {
            index += count;
        }

        if ((ulong)index >= (ulong)count)
        {
            return None;
        }

        if (index <= count / 2)
        {
            return Skip(data, HeaderSize, (int)index);
        }

        int entry = length;
        for (long i = count; i > index; i--)
        {
            entry = Previous(data, entry);
        }

        return entry;
    }

    /// <summary>The offset that lies <paramref name="entries"/> entries after <paramref name="from"/>; they must exist.</summary>
    public static int Skip(byte* data, int from, int entries)
    {
        for (; entries > 0; entries--)
        {
            from += SizeAt(data + from);
        }

        return from;
    }

    /// <summary>Bytes that the entry takes.</summary>
    public static int SizeOf(byte* data, int entry) => SizeAt(data + entry);

    /// <summary>Bytes that an entry of this string would take.</summary>
    public static int EntrySize(ReadOnlySpan<byte> value) => new PackValue(value).Size;

    /// <summary>Bytes that an entry of this integer would take.</summary>
    public static int EntrySize(long value) => new PackValue(value).Size;

    /// <summary>Reads an entry; true when it is an integer, else it is the string at <paramref name="bytes"/>.</summary>
    public static bool Get(byte* data, int entry, out byte* bytes, out int length, out long integer)
    {
        byte* p = data + entry;
        byte lead = *p;
        integer = 0;
        if (lead is >= String6 and < Integer13)
        {
            bytes = p + 1;
            length = lead & 0x3F;
            return false;
        }

        if (lead is >= String12 and < String32)
        {
            bytes = p + 2;
            length = ((lead & 0x0F) << 8) | p[1];
            return false;
        }

        if (lead == String32)
        {
            bytes = p + 5;
            length = *(int*)(p + 1);
            return false;
        }

        bytes = null;
        length = 0;
        integer = ReadInteger(p);
        return true;
    }

    /// <summary>Overwrites what an entry holds with what says nothing but the size it takes: zeros, or the largest integer of that size.</summary>
    public static void Wipe(byte* data, int entry)
    {
        byte* p = data + entry;
        if (!Get(data, entry, out byte* bytes, out int length, out _))
        {
            new Span<byte>(bytes, length).Clear();
            return;
        }

        if (*p < String6)
        {
            *p = 0;
        }
        else if (*p < String12)
        {
            (p[0], p[1]) = (Integer13 | 0x0F, 0xFF);
        }
        else
        {
            int size = *p == Integer64 ? sizeof(long) : *p - Integer16 + sizeof(short);
            new Span<byte>(p + 1, size - 1).Fill(0xFF);
            p[size] = 0x7F;
        }
    }

    /// <summary>Reads an entry as an integer, if it is stored as one.</summary>
    public static bool TryGetInteger(byte* data, int entry, out long integer) => Get(data, entry, out _, out _, out integer);

    /// <summary>
    /// The entry's bytes as the client knows them: in the pack itself, or, for an integer, printed into
    /// <paramref name="scratch"/> (at least <see cref="PackValue.MaxIntegerDigits"/> bytes).
    /// </summary>
    public static ReadOnlySpan<byte> ToSpan(byte* data, int entry, Span<byte> scratch)
    {
        if (!Get(data, entry, out byte* bytes, out int length, out long integer))
        {
            return new ReadOnlySpan<byte>(bytes, length);
        }

        bool written = Utf8Formatter.TryFormat(integer, scratch, out int digits);
        return written ? scratch[..digits] : throw new ArgumentException("The scratch space is too short for an integer.", nameof(scratch));
    }

    /// <summary>Number of bytes that <see cref="ToSpan"/> would give.</summary>
    public static int LengthAt(byte* data, int entry)
    {
        if (!Get(data, entry, out _, out int length, out long integer))
        {
            return length;
        }

        Span<byte> scratch = stackalloc byte[PackValue.MaxIntegerDigits];
        _ = Utf8Formatter.TryFormat(integer, scratch, out int digits);
        return digits;
    }

    /// <summary>
    /// The first entry from <paramref name="from"/> on that equals the value; <paramref name="skip"/> entries are passed over
    /// after each one compared (0 for lists and sets, 1 to look at the fields of field-value pairs).
    /// </summary>
    public static int Find(byte* data, int length, int from, in PackValue value, int skip = 0)
    {
        if (from < 0)
        {
            return None;
        }

        byte* p = data + from;
        byte* end = data + length;
        byte lead = value.Lead;
        if (lead is >= String6 + sizeof(uint) and < Integer13)
        {
            // Names of one length mostly differ near their ends: four bytes there tell nearly all of them apart.
            int lastFour = lead - String6 - sizeof(uint);
            uint wanted = Unsafe.ReadUnaligned<uint>(in value.Bytes[lastFour]);
            while (p < end)
            {
                if (*p == lead && *(uint*)(p + 1 + lastFour) == wanted && value.EqualsAfterLead(p))
                {
                    return (int)(p - data);
                }

                p = After(p, skip);
            }

            return None;
        }

        while (p < end)
        {
            if (*p == lead && value.EqualsAfterLead(p))
            {
                return (int)(p - data);
            }

            p = After(p, skip);
        }

        return None;
    }

    /// <summary>The first entry of the whole pack that equals the value, as the other overload.</summary>
    public static int Find(byte* data, int length, in PackValue value, int skip = 0) => Find(data, length, HeaderSize, value, skip);

    /// <summary>Whether the entry has this value.</summary>
    public static bool EntryEquals(byte* data, int entry, in PackValue value) =>
        data[entry] == value.Lead && value.EqualsAfterLead(data + entry);

    /// <summary>Compares the entry's bytes, as the client knows them, with others: the order of sorted set members.</summary>
    public static int Compare(byte* data, int entry, ReadOnlySpan<byte> other)
    {
        Span<byte> scratch = stackalloc byte[PackValue.MaxIntegerDigits];
        return ToSpan(data, entry, scratch).SequenceCompareTo(other);
    }

    /// <summary>Adds an entry at the end.</summary>
    public static int Append(byte* data, int length, in PackValue value)
    {
        AddCount(data, 1);
        return length + value.Write(data + length);
    }

    /// <summary>Adds an entry at the beginning.</summary>
    public static int Prepend(byte* data, int length, in PackValue value) => InsertBefore(data, length, HeaderSize, value);

    /// <summary>Adds an entry before another; given the pack's length as the entry, at the end.</summary>
    public static int InsertBefore(byte* data, int length, int entry, in PackValue value)
    {
        Move(data, length, entry, entry + value.Size);
        value.Write(data + entry);
        AddCount(data, 1);
        return length + value.Size;
    }

    /// <summary>Adds an entry after another.</summary>
    public static int InsertAfter(byte* data, int length, int entry, in PackValue value) =>
        InsertBefore(data, length, entry + SizeAt(data + entry), value);

    /// <summary>Puts a value in the place of an entry, whose offset stays.</summary>
    public static int Replace(byte* data, int length, int entry, in PackValue value)
    {
        int old = SizeAt(data + entry);
        if (old != value.Size)
        {
            Move(data, length, entry + old, entry + value.Size);
        }

        value.Write(data + entry);
        return length - old + value.Size;
    }

    /// <summary>Removes <paramref name="count"/> entries (or as many as there are) from <paramref name="entry"/> on.</summary>
    public static int Delete(byte* data, int length, int entry, int count = 1)
    {
        int end = entry;
        int removed = 0;
        for (; removed < count && end < length; removed++)
        {
            end += SizeAt(data + end);
        }

        return DeleteBytes(data, length, entry, end, removed);
    }

    /// <summary>Removes <paramref name="count"/> entries from an index on; a negative index counts from the end.</summary>
    public static int DeleteRange(byte* data, int length, long index, int count)
    {
        int entry = At(data, length, index);
        return entry == None || count <= 0 ? length : Delete(data, length, entry, count);
    }

    /// <summary>Removes the bytes from one entry up to another (or the end), which are <paramref name="count"/> entries.</summary>
    public static int DeleteBytes(byte* data, int length, int from, int end, int count)
    {
        Move(data, length, end, from);
        length -= end - from;
        RemoveCount(data, length, count);
        return length;
    }

    /// <summary>Adds all entries of another pack at the end.</summary>
    public static int AppendAll(byte* data, int length, byte* other, int otherLength)
    {
        int count = Count(data, length) + Count(other, otherLength);
        int size = otherLength - HeaderSize;
        Buffer.MemoryCopy(other + HeaderSize, data + length, size, size);
        WriteCount(data, count);
        return length + size;
    }

    /// <summary>
    /// Makes a pack at <paramref name="destination"/> of the bytes from one entry up to another (or the end), which are
    /// <paramref name="count"/> entries; gives its length.
    /// </summary>
    public static int CopyRange(byte* data, int from, int end, int count, byte* destination)
    {
        int size = end - from;
        Buffer.MemoryCopy(data + from, destination + HeaderSize, size, size);
        WriteCount(destination, count);
        return HeaderSize + size;
    }

    /// <summary>
    /// Whether bytes from an untrusted source are a pack: every entry within bounds, in its only encoding, with the right
    /// back length, and the count right. Never reads beyond <paramref name="length"/>.
    /// </summary>
    public static bool Validate(byte* data, int length)
    {
        if (length < HeaderSize)
        {
            return false;
        }

        int count = 0;
        for (int entry = HeaderSize; entry < length; count++)
        {
            int size = ValidateEntry(data + entry, length - entry);
            if (size == 0)
            {
                return false;
            }

            entry += size;
        }

        return *(ushort*)data == Math.Min(count, Saturated);
    }

    /// <summary>Bytes that the back length of an entry takes, whose other bytes are <paramref name="encoded"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static int BackLengthSize(int encoded)
    {
        // Redis's limits, including where they are one lower than 7 bits a byte would allow: entries stay byte for byte the same.
        if (encoded < 128)
        {
            return 1;
        }

        return encoded < 16383 ? 2 : encoded < 2097151 ? 3 : encoded < 268435455 ? 4 : 5;
    }

    internal static void WriteBackLength(byte* p, int encoded)
    {
        if (encoded < 128)
        {
            *p = (byte)encoded;
            return;
        }

        uint rest = (uint)encoded;
        for (int i = BackLengthSize(encoded) - 1; i > 0; i--, rest >>= 7)
        {
            p[i] = (byte)(rest | 128);
        }

        *p = (byte)rest;
    }

    internal static void WriteCount(byte* data, int count) => *(ushort*)data = (ushort)Math.Min(count, Saturated);

    // The entry after this one and as many more.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static byte* After(byte* p, int skip)
    {
        p += SizeAt(p);
        for (; skip > 0; skip--)
        {
            p += SizeAt(p);
        }

        return p;
    }

    // Size of the entry at p. The common short forms first; the rest in one call.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int SizeAt(byte* p)
    {
        uint lead = *p;
        if (lead < Integer13)
        {
            return 2 + (lead < String6 ? 0 : (int)(lead & 0x3F));
        }

        return SizeOfLonger(p);
    }

    private static int SizeOfLonger(byte* p)
    {
        byte lead = *p;
        if (lead < String12)
        {
            return 3;
        }

        if (lead < String32)
        {
            int encoded = 2 + (((lead & 0x0F) << 8) | p[1]);
            return encoded + BackLengthSize(encoded);
        }

        switch (lead)
        {
            case String32:
                int encoded = 5 + *(int*)(p + 1);
                return encoded + BackLengthSize(encoded);
            case Integer16:
                return 4;
            case Integer24:
                return 5;
            case Integer32:
                return 6;
            case Integer64:
                return 10;
            default:
                throw new InvalidOperationException($"A pack holds an entry of unknown encoding {lead:x2}: memory is damaged.");
        }
    }

    private static long ReadInteger(byte* p)
    {
        byte lead = *p;
        if (lead < String6)
        {
            return lead;
        }

        if (lead < String12)
        {
            return ((long)((lead & 0x1F) << 8 | p[1]) << 51) >> 51;
        }

        return lead switch
        {
            Integer16 => *(short*)(p + 1),
            Integer24 => (int)(*(ushort*)(p + 1) << 8 | p[3] << 24) >> 8,
            Integer32 => *(int*)(p + 1),
            Integer64 => *(long*)(p + 1),
            _ => throw new InvalidOperationException($"A pack holds an entry of unknown encoding {lead:x2}: memory is damaged."),
        };
    }

    private static int Walk(byte* data, int length)
    {
        int count = 0;
        for (int entry = HeaderSize; entry < length; count++)
        {
            entry += SizeAt(data + entry);
        }

        return count;
    }

    private static void AddCount(byte* data, int added) => WriteCount(data, *(ushort*)data + added);

    private static void RemoveCount(byte* data, int length, int removed)
    {
        int count = *(ushort*)data;
        WriteCount(data, count == Saturated ? Walk(data, length) : count - removed);
    }

    // Moves everything from one offset to the end of the pack to another offset.
    private static void Move(byte* data, int length, int from, int to)
    {
        int size = length - from;
        if (size > 0)
        {
            Buffer.MemoryCopy(data + from, data + to, size, size);
        }
    }

    // The entry's size, 0 if it is not one. The order of the checks is what keeps reads within the bytes available.
    private static int ValidateEntry(byte* p, int available)
    {
        if (available < 2)
        {
            return 0;
        }

        byte lead = *p;
        int head = lead switch
        {
            < Integer13 => 1,
            < String32 => 2,
            String32 => 5,
            Integer16 => 3,
            Integer24 => 4,
            Integer32 => 5,
            Integer64 => 9,
            _ => 0,
        };
        if (head == 0 || available <= head)
        {
            return 0;
        }

        long payload = lead switch
        {
            >= String6 and < Integer13 => lead & 0x3F,
            >= String12 and < String32 => ((lead & 0x0F) << 8) | p[1],
            String32 => *(uint*)(p + 1),
            _ => 0,
        };
        if (payload > MaxStringLength || head + payload >= available)
        {
            return 0;
        }

        int encoded = head + (int)payload;
        int size = encoded + BackLengthSize(encoded);
        if (size > available)
        {
            return 0;
        }

        byte* backLength = stackalloc byte[5];
        WriteBackLength(backLength, encoded);
        if (!new ReadOnlySpan<byte>(backLength, size - encoded).SequenceEqual(new ReadOnlySpan<byte>(p + encoded, size - encoded)))
        {
            return 0;
        }

        bool isInteger = Get(p, 0, out byte* bytes, out int length, out long integer);
        PackValue value = isInteger ? new PackValue(integer) : new PackValue(new ReadOnlySpan<byte>(bytes, length));
        return value.IsInteger == isInteger && value.Size == size ? size : 0;
    }
}
