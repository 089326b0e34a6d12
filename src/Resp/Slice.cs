using System.Runtime.CompilerServices;
using System.Text;

namespace Leither.Resp;

/// <summary>
/// One argument of a command: bytes that lie in a receive buffer (or in the arena of an <see cref="ArgBuffer"/>).
/// It owns nothing: it is valid until that buffer moves or the arena is cleared.
/// </summary>
/// <remarks>
/// An <see cref="int"/> holds every length, because <see cref="RespLimits.ProtoMaxBulkLength"/> cannot exceed it.
/// </remarks>
public readonly unsafe struct Slice
{
    /// <summary>The first byte. Meaningless when <see cref="Length"/> is 0.</summary>
    public readonly byte* Pointer;

    /// <summary>How many bytes there are.</summary>
    public readonly int Length;

    /// <summary>Names <paramref name="length"/> bytes that begin at <paramref name="pointer"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Slice(byte* pointer, int length)
    {
        Pointer = pointer;
        Length = length;
    }

    /// <summary>The bytes, as a span.</summary>
    public ReadOnlySpan<byte> Span
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => new(Pointer, Length);
    }

    /// <summary>The byte at <paramref name="index"/>, unchecked.</summary>
    public byte this[int index]
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Pointer[index];
    }

    /// <summary>Whether these are exactly the bytes of <paramref name="other"/>.</summary>
    public bool Equals(ReadOnlySpan<byte> other) => Span.SequenceEqual(other);

    /// <summary>
    /// Whether these are the bytes of <paramref name="ascii"/> when the case of ASCII letters does not count: how
    /// command names and options are compared.
    /// </summary>
    public bool EqualsIgnoreCase(ReadOnlySpan<byte> ascii) => Length == ascii.Length && Ascii.EqualsIgnoreCase(Span, ascii);

    /// <summary>
    /// Reads a signed 64-bit integer by Redis's strict rule: an optional minus, then digits without a leading zero,
    /// and nothing else.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryLong(out long value) => RespInteger.TryParse(Pointer, Length, out value);

    /// <summary>Reads a signed 32-bit integer by the rule of <see cref="TryLong"/>.</summary>
    public bool TryInt(out int value)
    {
        bool ok = TryLong(out long wide) && wide is >= int.MinValue and <= int.MaxValue;
        value = ok ? (int)wide : 0;
        return ok;
    }

    /// <summary>Reads an unsigned 32-bit integer by the rule of <see cref="TryLong"/>.</summary>
    public bool TryUInt(out uint value)
    {
        bool ok = TryLong(out long wide) && wide is >= 0 and <= uint.MaxValue;
        value = ok ? (uint)wide : 0;
        return ok;
    }

    /// <summary>
    /// Reads an unsigned 64-bit integer as Redis reads cursors and stream ids: by the rule of <see cref="TryLong"/>, or
    /// else by that of C's <c>strtoull</c> (leading spaces, a sign and leading zeros pass; a minus wraps around).
    /// </summary>
    public bool TryULong(out ulong value) => RespInteger.TryParseUnsigned(Pointer, Length, out value);

    /// <summary>
    /// Reads a double as Redis reads scores and increments: the syntax of C's <c>strtod</c> (decimal, hexadecimal,
    /// <c>inf</c>, <c>infinity</c>) over all bytes; no space before it, no NaN, no overflow, no underflow to zero.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryDouble(out double value) => RespDouble.TryParse(Pointer, Length, out value);

    /// <summary>The bytes as UTF-8 text: for messages, never for comparing.</summary>
    public override string ToString() => Encoding.UTF8.GetString(Span);
}
