using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Leither.Resp;

/// <summary>
/// Reads the commands of one connection out of its receive buffer: arrays of bulk strings, or inline commands as people
/// type them. What is accepted, what is skipped and what is refused, with which text, is that of Redis 7.2.
/// </summary>
/// <remarks>
/// <para>
/// Two ways through. A command that lies whole in the buffer, with fewer than a hundred arguments, takes the fast way, which
/// writes slices straight into the <see cref="ArgBuffer"/> and keeps no state. Anything else takes the resumable way,
/// which remembers what it understood, so no byte is looked at twice however small the pieces are in which it arrives.
/// </para>
/// <para>
/// What is remembered are offsets from the command's first byte. Between calls the caller may therefore move the buffer, and
/// drop the bytes before <c>position</c>; it must keep those from <c>position</c> on.
/// </para>
/// <para>
/// As in Redis, the line feed after a carriage return and the two bytes after an argument are not compared with anything, and a NUL
/// byte where a line end is looked for hides all that follows it.
/// </para>
/// </remarks>
public sealed unsafe class RequestParser : IDisposable
{
    // Kept between incomplete commands: half a kilobyte. A longer list is freed with its command.
    private const int KeptArguments = 32;

    // "*1\r\n$0\r\n\r\n" and "$0\r\n\r\n": the fast way may look at so many bytes before it knows more.
    private const int ShortestCommand = 10;
    private const int ShortestArgument = 6;

    // The first four bytes of a header with zeros for digits, as a little-endian word.
    private const uint CountOneDigit = 0x0A0D_302A;     // *0\r\n
    private const uint CountTwoDigits = 0x0D30_302A;    // *00\r
    private const uint BulkOneDigit = 0x0A0D_3024;      // $0\r\n
    private const uint BulkTwoDigits = 0x0D30_3024;     // $00\r
    private const uint NoDigits = uint.MaxValue;

    private readonly RespLimits _limits;
    private Argument* _arguments;
    private int _argumentCount;
    private int _argumentCapacity;
    private int _remaining;
    private Stage _stage;
    private long _offset;
    private long _scanned;
    private long _bulkLength = -1;
    private byte[]? _error;

    // An argument already read: where it begins, counted from the command's first byte.
    private struct Argument
    {
        public long Offset;
        public int Length;
    }

    private enum Stage : byte
    {
        // Nothing of the next command has been looked at.
        Start,
        // In an inline command; _scanned bytes of it hold no line end.
        Inline,
        // In the line that says how many arguments there are.
        Count,
        // Between or in arguments: _offset is the first byte not understood yet.
        Arguments,
    }

    /// <summary>A parser at the start of a connection.</summary>
    public RequestParser(RespLimits? limits = null) => _limits = limits ?? RespLimits.Default;

    /// <summary>
    /// Whether the connection still has to authenticate, so that its commands must be short. While it is set, execute each
    /// command before parsing the next: that one may follow an AUTH.
    /// </summary>
    public bool AuthenticationRequired { get; set; }

    /// <summary>
    /// After <see cref="ParseStatus.Incomplete"/>: how many more bytes the argument that is arriving needs, its line end
    /// included, so that a receive buffer can be sized exactly; 0 when that is not known.
    /// </summary>
    public long BytesWanted { get; private set; }

    /// <summary>
    /// How many bytes of a command that is not whole yet are understood, so that what waits beyond them is the argument that is arriving.
    /// </summary>
    public long UnderstoodBytes => _stage == Stage.Arguments ? _offset : 0;

    /// <summary>After <see cref="ParseStatus.Error"/>: what was wrong, as Redis says it, without the <c>-ERR </c> before it.</summary>
    public ReadOnlySpan<byte> Error => _error;

    /// <summary>
    /// Reads the command that begins at <paramref name="position"/> of <paramref name="buffer"/>.
    /// </summary>
    /// <param name="buffer">The received bytes.</param>
    /// <param name="length">How many there are.</param>
    /// <param name="position">Where to begin. Advanced behind a complete command, and over empty ones, which are skipped.</param>
    /// <param name="args">Where the arguments of a complete command are added.</param>
    /// <param name="firstArg">The index in <paramref name="args"/> of the command's name.</param>
    /// <param name="argCount">How many arguments were added, the name included: at least one when complete.</param>
    public ParseStatus ParseNext(byte* buffer, long length, ref long position, ArgBuffer args, out int firstArg, out int argCount)
    {
        byte* p = buffer + position;
        byte* end = buffer + length;
        if (_stage != Stage.Start || end - p < ShortestCommand)
            goto Resumable;

        uint word = *(uint*)p;
        uint count = OneDigit(word, CountOneDigit);
        if (count - 1 <= 8)
        {
            p += 4;
        }
        else
        {
            count = TwoDigits(word, CountTwoDigits);
            if (count == NoDigits || (count > RespLimits.MaxUnauthenticatedArguments && AuthenticationRequired))
                goto Resumable;
            p += 5;
        }

        Slice* slot = args.Reserve((int)count);
        Slice* lastSlot = slot + count;
        do
        {
            if (end - p < ShortestArgument)
                goto Resumable;
            word = *(uint*)p;
            uint size = OneDigit(word, BulkOneDigit);
            if (size <= 9)
            {
                p += 4;
            }
            else
            {
                size = TwoDigits(word, BulkTwoDigits);
                if (size != NoDigits)
                {
                    p += 5;
                }
                else
                {
                    ulong header = ReadSize(p, end);
                    if (header == 0)
                        goto Resumable;
                    size = (uint)header;
                    p += header >> 32;
                }
            }
            if (end - p < (long)size + 2)
                goto Resumable;
            *slot = new Slice(p, (int)size);
            p += size + 2;
        }
        while (++slot < lastSlot);

        firstArg = args.Count;
        argCount = (int)count;
        args.Advance((int)count);
        position = p - buffer;
        return ParseStatus.Complete;

    Resumable:
        return ParseResumable(buffer, length, ref position, args, out firstArg, out argCount);
    }

    /// <summary>Forgets an incomplete command, as when a connection is reused.</summary>
    public void Reset()
    {
        ReleaseArguments();
        _stage = Stage.Start;
        _error = null;
        BytesWanted = 0;
    }

    /// <summary>Gives all memory back. The parser can be used again.</summary>
    public void Dispose()
    {
        Reset();
        NativeMemory.Free(_arguments);
        _arguments = null;
        _argumentCapacity = 0;
    }

    /// <summary>
    /// The digit in the four bytes "*D\r\n" or "$D\r\n"; more than 9 if they are anything else. One subtraction and one comparison test all four:
    /// what differs from the pattern anywhere but in the digit becomes high bits.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint OneDigit(uint word, uint pattern) => BitOperations.RotateRight(word - pattern, 8);

    /// <summary>The number in the four bytes "*DD\r" or "$DD\r", 10 to 99; <see cref="NoDigits"/> if they are anything else.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint TwoDigits(uint word, uint pattern)
    {
        uint digits = BitOperations.RotateRight(word - pattern, 8);
        return digits <= 0x0909 && (digits & 0xFF) - 1 <= 8 ? (digits & 0xFF) * 10 + (digits >> 8) : NoDigits;
    }

    /// <summary>
    /// Reads "$N\r\n" with one to eight digits, a length that no check refuses. The length of this header in the upper half, N in the lower; or
    /// 0 if it takes a closer look. (An out parameter would keep the caller's loop from holding the size in a register.)
    /// </summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private ulong ReadSize(byte* p, byte* end)
    {
        byte* q = p + 1;
        byte* last = end - q > 9 ? q + 8 : end - 2;
        if (q >= last || *p != '$' || (uint)(*q - '1') > 8)
            return 0;
        uint size = 0;
        do
        {
            size = size * 10 + *q - '0';
        }
        while (++q < last && (uint)(*q - '0') < 10);
        bool plain = *q == '\r' && size <= _limits.ProtoMaxBulkLength && (size <= RespLimits.MaxUnauthenticatedBulkLength || !AuthenticationRequired);
        return plain ? (ulong)(q + 2 - p) << 32 | size : 0;
    }

    private ParseStatus ParseResumable(byte* buffer, long length, ref long position, ArgBuffer args, out int firstArg, out int argCount)
    {
        firstArg = args.Count;
        BytesWanted = 0;
        while (position < length)
        {
            byte* start = buffer + position;
            long available = length - position;
            if (_stage == Stage.Start)
            {
                _stage = *start == '*' ? Stage.Count : Stage.Inline;
                _offset = _scanned = 0;
            }
            long consumed;
            ParseStatus status = _stage == Stage.Inline
                ? ParseInline(start, available, args, out consumed)
                : ParseMultibulk(start, available, args, out consumed);
            if (status != ParseStatus.Complete)
            {
                argCount = 0;
                return status;
            }
            _stage = Stage.Start;
            position += consumed;
            argCount = args.Count - firstArg;
            if (argCount > 0)
                return ParseStatus.Complete;
        }
        argCount = 0;
        return ParseStatus.Incomplete;
    }

    private ParseStatus ParseMultibulk(byte* start, long available, ArgBuffer args, out long consumed)
    {
        consumed = 0;
        if (_stage == Stage.Count)
        {
            long lineEnd = FindLineEnd(start, available, lineStart: 0, (byte)'\r');
            if (lineEnd < 0)
                return available > RespLimits.MaxInlineLength ? Fail("Protocol error: too big mbulk count string"u8) : ParseStatus.Incomplete;
            if (lineEnd + 2 > available)
                return ParseStatus.Incomplete;
            if (!RespInteger.TryParse(start + 1, (int)lineEnd - 1, out long count) || count > RespLimits.MaxArguments)
                return Fail("Protocol error: invalid multibulk length"u8);
            if (count > RespLimits.MaxUnauthenticatedArguments && AuthenticationRequired)
                return Fail("Protocol error: unauthenticated multibulk length"u8);
            _remaining = (int)Math.Max(count, 0);
            _offset = _scanned = lineEnd + 2;
            _bulkLength = -1;
            _argumentCount = 0;
            _stage = Stage.Arguments;
        }

        for (; _remaining > 0; _remaining--)
        {
            if (_bulkLength < 0)
            {
                long lineEnd = FindLineEnd(start, available, _offset, (byte)'\r');
                if (lineEnd < 0)
                    return available - _offset > RespLimits.MaxInlineLength ? Fail("Protocol error: too big bulk count string"u8) : ParseStatus.Incomplete;
                if (lineEnd + 2 > available)
                    return ParseStatus.Incomplete;
                if (start[_offset] != '$')
                    return FailExpectedBulk(start[_offset]);
                if (!RespInteger.TryParse(start + _offset + 1, (int)(lineEnd - _offset - 1), out long size) || size < 0 || size > _limits.ProtoMaxBulkLength)
                    return Fail("Protocol error: invalid bulk length"u8);
                if (size > RespLimits.MaxUnauthenticatedBulkLength && AuthenticationRequired)
                    return Fail("Protocol error: unauthenticated bulk length"u8);
                _offset = lineEnd + 2;
                _bulkLength = size;
            }
            long missing = _offset + _bulkLength + 2 - available;
            if (missing > 0)
            {
                BytesWanted = missing;
                return ParseStatus.Incomplete;
            }
            if (_argumentCount == _argumentCapacity)
                GrowArguments();
            _arguments[_argumentCount++] = new Argument { Offset = _offset, Length = (int)_bulkLength };
            _offset += _bulkLength + 2;
            _scanned = _offset;
            _bulkLength = -1;
        }

        Slice* slot = args.Reserve(_argumentCount);
        for (int i = 0; i < _argumentCount; i++)
            slot[i] = new Slice(start + _arguments[i].Offset, _arguments[i].Length);
        args.Advance(_argumentCount);
        ReleaseArguments();
        consumed = _offset;
        return ParseStatus.Complete;
    }

    private ParseStatus ParseInline(byte* start, long available, ArgBuffer args, out long consumed)
    {
        consumed = 0;
        long lineFeed = FindLineEnd(start, available, lineStart: 0, (byte)'\n');
        if (lineFeed < 0)
            return available > RespLimits.MaxInlineLength ? Fail("Protocol error: too big inline request"u8) : ParseStatus.Incomplete;
        consumed = lineFeed + 1;
        int lineLength = (int)lineFeed - (lineFeed > 0 && start[lineFeed - 1] == '\r' ? 1 : 0);
        return InlineArguments.TrySplit(start, lineLength, args) ? ParseStatus.Complete : Fail("Protocol error: unbalanced quotes in request"u8);
    }

    /// <summary>
    /// Where the line that begins at <paramref name="lineStart"/> ends, or -1. Looks on where the last call stopped, and no further than a
    /// line may be long, so that the answer does not depend on how the bytes were cut.
    /// </summary>
    private long FindLineEnd(byte* start, long available, long lineStart, byte terminator)
    {
        long limit = Math.Min(available, lineStart + RespLimits.MaxInlineLength + 1);
        if (_scanned >= limit)
            return -1;
        int index = new ReadOnlySpan<byte>(start + _scanned, (int)(limit - _scanned)).IndexOfAny(terminator, (byte)0);
        _scanned = index < 0 ? limit : _scanned + index;
        return index < 0 || start[_scanned] == 0 ? -1 : _scanned;
    }

    private ParseStatus Fail(ReadOnlySpan<byte> text)
    {
        _error = text.ToArray();
        return ParseStatus.Error;
    }

    private ParseStatus FailExpectedBulk(byte got)
    {
        Fail("Protocol error: expected '$', got '?'"u8);
        // An error reply is one line, so a line end in it becomes a space.
        _error![^2] = got is (byte)'\r' or (byte)'\n' ? (byte)' ' : got;
        return ParseStatus.Error;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void GrowArguments()
    {
        int capacity = (int)Math.Clamp(_argumentCapacity * 2L, KeptArguments, RespLimits.MaxArguments);
        _arguments = (Argument*)NativeMemory.Realloc(_arguments, (nuint)capacity * (nuint)sizeof(Argument));
        _argumentCapacity = capacity;
    }

    private void ReleaseArguments()
    {
        _argumentCount = 0;
        if (_argumentCapacity <= KeptArguments)
            return;
        NativeMemory.Free(_arguments);
        _arguments = null;
        _argumentCapacity = 0;
    }
}
