using System.Buffers.Text;
using System.Runtime.InteropServices;
using Leither.Resp;

namespace Leither.MmDb.Values;

/// <summary>The id of a stream's entry: a Unix time in milliseconds and a number within it. Ids are ordered, and only ascend.</summary>
/// <param name="Ms">Milliseconds.</param>
/// <param name="Seq">Number within the millisecond.</param>
[StructLayout(LayoutKind.Sequential)]
public readonly record struct StreamId(ulong Ms, ulong Seq) : IComparable<StreamId>
{
    /// <summary>Longest text of an id.</summary>
    public const int MaxText = 41;

    // Redis reads ids from a buffer of this size.
    private const int MaxInput = 127;

    /// <summary>0-0, which no entry has.</summary>
    public static StreamId Min => default;

    /// <summary>The largest id.</summary>
    public static StreamId Max => new(ulong.MaxValue, ulong.MaxValue);

    /// <summary>Whether it is 0-0.</summary>
    public bool IsZero => (Ms | Seq) == 0;

    /// <summary>Whether one comes before another.</summary>
    public static bool operator <(StreamId a, StreamId b) => a.Ms < b.Ms || (a.Ms == b.Ms && a.Seq < b.Seq);

    /// <summary>Whether one comes after another.</summary>
    public static bool operator >(StreamId a, StreamId b) => b < a;

    /// <summary>Whether one does not come after another.</summary>
    public static bool operator <=(StreamId a, StreamId b) => !(b < a);

    /// <summary>Whether one does not come before another.</summary>
    public static bool operator >=(StreamId a, StreamId b) => !(a < b);

    /// <inheritdoc/>
    public int CompareTo(StreamId other) => this < other ? -1 : this > other ? 1 : 0;

    /// <summary>The id after this one; false if this is the largest.</summary>
    public bool TryNext(out StreamId next)
    {
        // The result may go to where this id is.
        bool exists = this != Max;
        next = Seq != ulong.MaxValue ? new StreamId(Ms, Seq + 1) : new StreamId(Ms + 1, 0);
        return exists;
    }

    /// <summary>The id before this one; false if this is 0-0.</summary>
    public bool TryPrevious(out StreamId previous)
    {
        bool exists = !IsZero;
        previous = Seq != 0 ? new StreamId(Ms, Seq - 1) : new StreamId(Ms - 1, ulong.MaxValue);
        return exists;
    }

    /// <summary>Writes the id as "ms-seq"; gives the length.</summary>
    public int Format(Span<byte> text)
    {
        _ = Utf8Formatter.TryFormat(Ms, text, out int length);
        text[length++] = (byte)'-';
        _ = Utf8Formatter.TryFormat(Seq, text[length..], out int rest);
        return length + rest;
    }

    /// <summary>Reads "ms-seq" or "ms", whose number is then <paramref name="missing"/>; also "-" and "+" unless <paramref name="strict"/>.</summary>
    public static bool TryParse(Slice text, ulong missing, bool strict, out StreamId id) => TryParse(text, missing, strict, mayOpen: false, out id, out _);

    /// <summary>As the other overload; also "ms-*", whose number is to be chosen (<paramref name="isOpen"/>).</summary>
    public static bool TryParseOpen(Slice text, out StreamId id, out bool isOpen) => TryParse(text, 0, strict: true, mayOpen: true, out id, out isOpen);

    private static bool TryParse(Slice text, ulong missing, bool strict, bool mayOpen, out StreamId id, out bool isOpen)
    {
        id = default;
        isOpen = false;
        if (text.Length > MaxInput)
        {
            return false;
        }

        // As in Redis, the text ends at a zero byte.
        ReadOnlySpan<byte> span = text.Span;
        int zero = span.IndexOf((byte)0);
        span = zero < 0 ? span : span[..zero];
        if (span.Length == 1 && span[0] is (byte)'-' or (byte)'+')
        {
            id = span[0] == '-' ? Min : Max;
            return !strict;
        }

        int dash = span.IndexOf((byte)'-');
        ReadOnlySpan<byte> head = dash < 0 ? span : span[..dash];
        if (!TryParseNumber(head, out ulong ms))
        {
            return false;
        }

        if (dash < 0)
        {
            id = new StreamId(ms, missing);
            return true;
        }

        ReadOnlySpan<byte> tail = span[(dash + 1)..];
        isOpen = mayOpen && tail.Length == 1 && tail[0] == '*';
        ulong seq = 0;
        if (!isOpen && !TryParseNumber(tail, out seq))
        {
            return false;
        }

        id = new StreamId(ms, seq);
        return true;
    }

    /// <summary>
    /// Reads a number as Redis does: a canonical integer that is not negative, or else whatever C's strtoull takes, which is white space,
    /// a sign (a minus negates modulo 2^64) and leading zeros.
    /// </summary>
    private static bool TryParseNumber(ReadOnlySpan<byte> text, out ulong value)
    {
        value = 0;
        if (text.Length == 0 || (PackValue.TryParseInteger(text, out long canonical) && canonical < 0))
        {
            return false;
        }

        int at = 0;
        while (at < text.Length && text[at] is (byte)' ' or (>= 9 and <= 13))
        {
            at++;
        }

        bool negative = at < text.Length && text[at] == '-';
        if (at < text.Length && text[at] is (byte)'-' or (byte)'+')
        {
            at++;
        }

        if (at == text.Length)
        {
            return false;
        }

        for (; at < text.Length; at++)
        {
            uint digit = (uint)(text[at] - '0');
            if (digit > 9 || value > (ulong.MaxValue - digit) / 10)
            {
                return false;
            }

            value = (value * 10) + digit;
        }

        value = negative ? 0 - value : value;
        return true;
    }

    /// <inheritdoc/>
    public override string ToString() => $"{Ms}-{Seq}";
}
