using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Leither.Resp;

/// <summary>
/// The replies of one connection: RESP2 or RESP3 on one side, bytes waiting to be sent on the other. It is the buffer itself, so a
/// reply is written once, where it will be sent from.
/// </summary>
/// <remarks>
/// <para>
/// Nothing is held until the first write. The first 16 KiB are a chunk of <see cref="ChunkPool.Shared"/>, up to 128 KiB one of
/// <see cref="ChunkPool.Large"/>, given back when all is sent; a buffer beyond that is allocated for itself, doubling, and then freed.
/// </para>
/// <code>
///  base        start             cursor            end
///   |   sent    |  waiting to go   |      free      |
/// </code>
/// <para>Constants are written as little-endian words, and the words may reach beyond the reply: into free room that was asked for.</para>
/// </remarks>
public sealed unsafe class RespWriter : IDisposable
{
    // A prefix, 19 digits and a sign, CR LF; and CR LF again behind a bulk string.
    private const int HeaderRoom = 32;

    private byte* _cursor;
    private byte* _end;
    private byte* _start;
    private byte* _base;
    private long _consumed;

    /// <summary>A writer for the given version of the protocol, 2 or 3.</summary>
    public RespWriter(int version = 2) => Version = version;

    /// <summary>The protocol that this connection speaks: 2, or 3 after HELLO 3.</summary>
    public int Version { get; set; }

    /// <summary>How many bytes wait to be sent.</summary>
    public long Length
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _cursor - _start;
    }

    /// <summary>How many bytes were ever written, sent or not.</summary>
    public long BytesWritten => _consumed + Length;

    /// <summary>The first byte that waits to be sent; moves when more is written.</summary>
    public byte* Data
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _start;
    }

    /// <summary>The bytes that wait, for tests and for pieces known to be small.</summary>
    public ReadOnlySpan<byte> Span => new(_start, checked((int)Length));

    /// <summary>How much memory is held.</summary>
    public long Capacity => _end - _base;

    /// <summary>Makes room for <paramref name="count"/> bytes and returns where they go; <see cref="Advance(int)"/> adds them.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public byte* Reserve(int count) => Reserve((long)count);

    /// <summary>Makes room for <paramref name="count"/> bytes and returns where they go; <see cref="Advance(long)"/> adds them.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public byte* Reserve(long count)
    {
        if (_end - _cursor < count)
            Grow(count);
        return _cursor;
    }

    /// <summary>Adds <paramref name="count"/> bytes that were written where <see cref="Reserve(int)"/> said.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Advance(int count) => _cursor += count;

    /// <summary>Adds <paramref name="count"/> bytes that were written where <see cref="Reserve(long)"/> said.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Advance(long count) => _cursor += count;

    /// <summary>Says that the first <paramref name="count"/> bytes are sent. When none is left, the memory goes back.</summary>
    public void Consume(long count)
    {
        _start += count;
        _consumed += count;
        if (_start == _cursor)
            Release();
    }

    /// <summary>Drops what waits and gives the memory back. The writer can be used again.</summary>
    public void Release()
    {
        if (_base == null)
            return;
        _consumed += Length;
        Free(_base, Capacity);
        _base = _start = _cursor = _end = null;
    }

    /// <summary>As <see cref="Release"/>.</summary>
    public void Dispose() => Release();

    /// <summary>Takes back what was written beyond the first <paramref name="length"/> waiting bytes.</summary>
    public void Truncate(long length)
    {
        if (length < Length)
            _cursor = _start + length;
    }

    /// <summary><c>+OK</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Ok() => Word(0x0A_0D_4B_4F_2B, 5);

    /// <summary><c>+PONG</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Pong() => Word(0x0A_0D_47_4E_4F_50_2B, 7);

    /// <summary><c>+QUEUED</c>: a command was kept for EXEC.</summary>
    public void Queued() => Raw("+QUEUED\r\n"u8);

    /// <summary>A status: one line, so line ends in it become spaces.</summary>
    public void Simple(ReadOnlySpan<byte> text) => Line((byte)'+', text);

    /// <summary>
    /// An error: its code and its text (<c>ERR no such key</c>), without the minus before it. It is one line: line ends around it are
    /// dropped, those in it become spaces.
    /// </summary>
    public void Error(ReadOnlySpan<byte> text) => Line((byte)'-', text.Trim("\r\n"u8));

    /// <summary>An integer.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Integer(long value) => Header((byte)':', value);

    /// <summary>A bulk string.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Bulk(byte* value, long length)
    {
        byte* p = WriteHeader(Reserve(length + HeaderRoom), (byte)'$', length);
        Copy(p, value, length);
        p += length;
        *(ushort*)p = 0x0A0D;
        _cursor = p + 2;
    }

    /// <summary>A bulk string.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Bulk(ReadOnlySpan<byte> value)
    {
        byte* p = WriteHeader(Reserve(value.Length + (long)HeaderRoom), (byte)'$', value.Length);
        value.CopyTo(new Span<byte>(p, value.Length));
        p += value.Length;
        *(ushort*)p = 0x0A0D;
        _cursor = p + 2;
    }

    /// <summary>A bulk string.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Bulk(Slice value) => Bulk(value.Pointer, value.Length);

    /// <summary>An integer as a bulk string.</summary>
    public void BulkInteger(long value)
    {
        byte* text = stackalloc byte[RespInteger.MaxLength];
        Bulk(text, RespInteger.Format(value, text));
    }

    /// <summary>A double as a bulk string, in either version.</summary>
    public void BulkDouble(double value)
    {
        byte* text = stackalloc byte[RespDouble.MaxLength];
        Bulk(text, RespDouble.Format(value, text));
    }

    /// <summary>
    /// The header of a bulk string of <paramref name="length"/> bytes; that many follow by <see cref="Raw(byte*, long)"/> or
    /// <see cref="Reserve(long)"/>, and then <see cref="EndBulk"/>.
    /// </summary>
    public void BeginBulk(long length) => Header((byte)'$', length);

    /// <summary>The line end behind a bulk string that was begun with <see cref="BeginBulk"/>.</summary>
    public void EndBulk()
    {
        *(ushort*)Reserve(2) = 0x0A0D;
        _cursor += 2;
    }

    /// <summary>No value.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Null()
    {
        if (Version == 2)
            Word(0x0A_0D_31_2D_24, 5);
        else
            Word(0x0A_0D_5F, 3);
    }

    /// <summary>No array: in RESP2 another thing than no value.</summary>
    public void NullArray()
    {
        if (Version == 2)
            Word(0x0A_0D_31_2D_2A, 5);
        else
            Word(0x0A_0D_5F, 3);
    }

    /// <summary>An array of no elements.</summary>
    public void EmptyArray() => Word(0x0A_0D_30_2A, 4);

    /// <summary>The header of an array of <paramref name="count"/> elements.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Array(long count) => Header((byte)'*', count);

    /// <summary>The header of a map of <paramref name="count"/> pairs: in RESP2 an array of twice as many.</summary>
    public void Map(long count)
    {
        if (Version == 2)
            Header((byte)'*', count * 2);
        else
            Header((byte)'%', count);
    }

    /// <summary>The header of a set: in RESP2 an array.</summary>
    public void Set(long count) => Header(Version == 2 ? (byte)'*' : (byte)'~', count);

    /// <summary>The header of a push message: in RESP2 an array.</summary>
    public void Push(long count) => Header(Version == 2 ? (byte)'*' : (byte)'>', count);

    /// <summary>The header of <paramref name="count"/> pairs that say something about the reply behind them. RESP3 only.</summary>
    public void Attribute(long count)
    {
        if (Version == 2)
            throw new InvalidOperationException("RESP2 has no attributes: the command must not send one.");
        Header((byte)'|', count);
    }

    /// <summary>A truth value: in RESP2 the integer 1 or 0.</summary>
    public void Boolean(bool value)
    {
        if (Version == 2)
            Word(value ? 0x0A_0D_31_3AUL : 0x0A_0D_30_3AUL, 4);
        else
            Word(value ? 0x0A_0D_74_23UL : 0x0A_0D_66_23UL, 4);
    }

    /// <summary>A double: in RESP2 a bulk string.</summary>
    public void Double(double value)
    {
        if (Version == 2)
        {
            BulkDouble(value);
            return;
        }
        byte* p = Reserve(RespDouble.MaxLength + HeaderRoom);
        *p++ = (byte)',';
        p += RespDouble.Format(value, p);
        *(ushort*)p = 0x0A0D;
        _cursor = p + 2;
    }

    /// <summary>A double that is written already: in RESP2 a bulk string.</summary>
    public void DoubleText(ReadOnlySpan<byte> text)
    {
        if (Version == 2)
        {
            Bulk(text);
        }
        else
        {
            Line((byte)',', text);
        }
    }

    /// <summary>A whole number of any size, as digits: in RESP2 a bulk string.</summary>
    public void BigNumber(ReadOnlySpan<byte> digits)
    {
        if (Version == 2)
            Bulk(digits);
        else
            Line((byte)'(', digits);
    }

    /// <summary>Text with its three-letter format (<c>txt</c>, <c>mkd</c>): in RESP2 a bulk string.</summary>
    public void Verbatim(ReadOnlySpan<byte> format, ReadOnlySpan<byte> text)
    {
        if (Version == 2)
        {
            Bulk(text);
            return;
        }
        if (format.Length != 3)
            throw new ArgumentException("A verbatim string's format has three letters.", nameof(format));
        Header((byte)'=', text.Length + 4L);
        Raw(format);
        Raw(":"u8);
        Raw(text);
        EndBulk();
    }

    /// <summary>Bytes that are protocol already.</summary>
    public void Raw(ReadOnlySpan<byte> bytes)
    {
        byte* p = Reserve((long)bytes.Length);
        bytes.CopyTo(new Span<byte>(p, bytes.Length));
        _cursor = p + bytes.Length;
    }

    /// <summary>Bytes that are protocol already.</summary>
    public void Raw(byte* bytes, long length)
    {
        byte* p = Reserve(length);
        Copy(p, bytes, length);
        _cursor = p + length;
    }

    /// <summary>
    /// Begins an aggregate whose size is not known yet: returns a mark for the EndDeferred method that closes it. Inner ones are closed
    /// before outer ones; what waits is not consumed in between.
    /// </summary>
    public long BeginDeferred() => BytesWritten;

    /// <summary>Makes what was written since <paramref name="mark"/> an array of <paramref name="count"/> elements.</summary>
    public void EndDeferredArray(long mark, long count) => Insert(mark, (byte)'*', count);

    /// <summary>Makes what was written since <paramref name="mark"/> a map of <paramref name="count"/> pairs.</summary>
    public void EndDeferredMap(long mark, long count)
    {
        if (Version == 2)
            Insert(mark, (byte)'*', count * 2);
        else
            Insert(mark, (byte)'%', count);
    }

    /// <summary>Makes what was written since <paramref name="mark"/> a set of <paramref name="count"/> elements.</summary>
    public void EndDeferredSet(long mark, long count) => Insert(mark, Version == 2 ? (byte)'*' : (byte)'~', count);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Word(ulong bytes, int length)
    {
        byte* p = Reserve(8);
        *(ulong*)p = bytes;
        _cursor = p + length;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Header(byte prefix, long number) => _cursor = WriteHeader(Reserve(HeaderRoom), prefix, number);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static byte* WriteHeader(byte* p, byte prefix, long number)
    {
        if ((ulong)number < 10)
        {
            *(uint*)p = 0x0A0D_3000u + prefix + ((uint)number << 8);
            return p + 4;
        }
        *p = prefix;
        p = RespInteger.Append(p + 1, number);
        *(ushort*)p = 0x0A0D;
        return p + 2;
    }

    private void Line(byte prefix, ReadOnlySpan<byte> text)
    {
        byte* p = Reserve(text.Length + (long)HeaderRoom);
        *p++ = prefix;
        var line = new Span<byte>(p, text.Length);
        text.CopyTo(line);
        line.Replace((byte)'\r', (byte)' ');
        line.Replace((byte)'\n', (byte)' ');
        p += text.Length;
        *(ushort*)p = 0x0A0D;
        _cursor = p + 2;
    }

    private void Insert(long mark, byte prefix, long count)
    {
        byte* header = stackalloc byte[HeaderRoom];
        long size = WriteHeader(header, prefix, count) - header;
        Reserve(size);
        byte* at = _start + (mark - _consumed);
        Buffer.MemoryCopy(at, at + size, _end - at - size, _cursor - at);
        Copy(at, header, size);
        _cursor += size;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Copy(byte* destination, byte* source, long length)
    {
        if (length <= int.MaxValue)
            Unsafe.CopyBlockUnaligned(destination, source, (uint)length);
        else
            Buffer.MemoryCopy(source, destination, length, length);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void Grow(long count)
    {
        long length = Length;
        long capacity = Capacity;
        long needed = length + count;
        if (needed <= capacity && length <= capacity / 2)
        {
            // At least half is free or sent: moving what waits to the front costs no more than the sending of it did.
            Buffer.MemoryCopy(_start, _base, capacity, length);
            _start = _base;
            _cursor = _base + length;
            return;
        }

        byte* memory;
        if (needed <= ChunkPool.ChunkSize)
        {
            capacity = ChunkPool.ChunkSize;
            memory = ChunkPool.Shared.Rent();
        }
        else if (needed <= ChunkPool.LargeChunkSize)
        {
            capacity = ChunkPool.LargeChunkSize;
            memory = ChunkPool.Large.Rent();
        }
        else
        {
            capacity = Math.Max(needed, capacity * 2);
            memory = (byte*)NativeMemory.Alloc((nuint)capacity);
        }
        if (_base != null)
        {
            Buffer.MemoryCopy(_start, memory, capacity, length);
            Free(_base, Capacity);
        }
        _base = _start = memory;
        _cursor = memory + length;
        _end = memory + capacity;
    }

    private static void Free(byte* memory, long capacity)
    {
        if (capacity == ChunkPool.ChunkSize)
            ChunkPool.Shared.Return(memory);
        else if (capacity == ChunkPool.LargeChunkSize)
            ChunkPool.Large.Return(memory);
        else
            NativeMemory.Free(memory);
    }
}
