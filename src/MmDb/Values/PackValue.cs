using System.Buffers.Binary;
using System.Runtime.CompilerServices;

namespace Leither.MmDb.Values;

/// <summary>
/// A value on its way into a <see cref="Pack"/>: its encoding is decided once, here, and then serves finding,
/// sizing and writing alike. It borrows the bytes it was made from.
/// </summary>
/// <remarks>
/// Every value has exactly one encoding (the shortest), so two entries are equal if and only if their bytes are.
/// </remarks>
public readonly ref struct PackValue
{
    /// <summary>Longest decimal form of a 64-bit integer, with its sign.</summary>
    public const int MaxIntegerDigits = 20;

    // The entry is: Lead, then TailSize low bytes of Tail (little endian), then Bytes (strings only), then the back length.
    internal readonly ulong Tail;
    internal readonly byte Lead;
    internal readonly byte TailSize;

    /// <summary>The string's bytes; empty when the value is an integer.</summary>
    public readonly ReadOnlySpan<byte> Bytes;

    /// <summary>Whether the value is a canonical integer, which is stored in binary.</summary>
    public readonly bool IsInteger;

    /// <summary>The integer, when <see cref="IsInteger"/>.</summary>
    public readonly long Integer;

    /// <summary>Bytes that the entry takes in a pack.</summary>
    public readonly int Size;

    /// <summary>Encodes a byte string; one that is a canonical integer becomes that integer.</summary>
    public PackValue(ReadOnlySpan<byte> bytes)
    {
        if (TryParseInteger(bytes, out long integer))
        {
            this = new PackValue(integer);
            return;
        }

        Bytes = bytes;
        int length = bytes.Length;
        if (length < 64)
        {
            Lead = (byte)(Pack.String6 | length);
            Size = length + 2;
            return;
        }

        if (length < 4096)
        {
            Lead = (byte)(Pack.String12 | (length >> 8));
            Tail = (byte)length;
            TailSize = 1;
        }
        else
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThan(length, Pack.MaxStringLength, nameof(bytes));
            Lead = Pack.String32;
            Tail = (uint)length;
            TailSize = 4;
        }

        int encoded = 1 + TailSize + length;
        Size = encoded + Pack.BackLengthSize(encoded);
    }

    /// <summary>Encodes an integer.</summary>
    public PackValue(long integer)
    {
        Integer = integer;
        IsInteger = true;
        if ((ulong)integer < 128)
        {
            Lead = (byte)integer;
        }
        else if (integer is >= -4096 and < 4096)
        {
            Lead = (byte)(Pack.Integer13 | ((integer >> 8) & 0x1F));
            Tail = (byte)integer;
            TailSize = 1;
        }
        else if (integer == (short)integer)
        {
            Lead = Pack.Integer16;
            Tail = (ushort)integer;
            TailSize = 2;
        }
        else if (integer is >= -(1 << 23) and < (1 << 23))
        {
            Lead = Pack.Integer24;
            Tail = (ulong)integer & 0xFFFFFF;
            TailSize = 3;
        }
        else if (integer == (int)integer)
        {
            Lead = Pack.Integer32;
            Tail = (uint)integer;
            TailSize = 4;
        }
        else
        {
            Lead = Pack.Integer64;
            Tail = (ulong)integer;
            TailSize = 8;
        }

        Size = 2 + TailSize;
    }

    /// <summary>Encodes a byte string.</summary>
    public static implicit operator PackValue(ReadOnlySpan<byte> bytes) => new(bytes);

    /// <summary>Encodes an integer.</summary>
    public static implicit operator PackValue(long integer) => new(integer);

    /// <summary>
    /// Reads a canonical integer: the text that printing the number gives back, so no plus sign, no leading zero, no "-0".
    /// </summary>
    public static bool TryParseInteger(ReadOnlySpan<byte> text, out long value)
    {
        value = 0;
        if ((uint)(text.Length - 1) >= MaxIntegerDigits)
        {
            return false;
        }

        byte first = text[0];
        uint digit = (uint)(first - '0');
        if (digit > 9)
        {
            return first == '-' && TryParseNegative(text, out value);
        }

        if (digit == 0 || text.Length == 1)
        {
            value = digit;
            return text.Length == 1;
        }

        if (!TryParseDigits(text, out ulong magnitude) || magnitude > long.MaxValue)
        {
            return false;
        }

        value = (long)magnitude;
        return true;
    }

    private static bool TryParseNegative(ReadOnlySpan<byte> text, out long value)
    {
        value = 0;
        if (text.Length < 2 || text[1] == '0' || !TryParseDigits(text[1..], out ulong magnitude) || magnitude > 1UL << 63)
        {
            return false;
        }

        value = (long)(0 - magnitude);
        return true;
    }

    // At most 20 digits come here. Nineteen cannot overflow; the twentieth is checked.
    private static bool TryParseDigits(ReadOnlySpan<byte> digits, out ulong value)
    {
        value = 0;
        for (int i = 0; i < digits.Length; i++)
        {
            uint digit = (uint)(digits[i] - '0');
            if (digit > 9 || (i == 19 && value > (ulong.MaxValue - digit) / 10))
            {
                return false;
            }

            value = (value * 10) + digit;
        }

        return true;
    }

    /// <summary>Writes the entry and gives its size, which is <see cref="Size"/>.</summary>
    internal unsafe int Write(byte* destination)
    {
        byte* p = destination;
        *p++ = Lead;
        ulong tail = Tail;
        for (int i = 0; i < TailSize; i++, tail >>= 8)
        {
            *p++ = (byte)tail;
        }

        if (Bytes.Length != 0)
        {
            Bytes.CopyTo(new Span<byte>(p, Bytes.Length));
            p += Bytes.Length;
        }

        Pack.WriteBackLength(p, (int)(p - destination));
        return Size;
    }

    /// <summary>Whether the entry at <paramref name="entry"/>, whose lead byte is known to be equal, has this value.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal unsafe bool EqualsAfterLead(byte* entry)
    {
        byte* p = entry + 1;
        if (TailSize != 0)
        {
            ulong tail = Tail;
            for (int i = 0; i < TailSize; i++, tail >>= 8)
            {
                if (*p++ != (byte)tail)
                {
                    return false;
                }
            }
        }

        return Bytes.Length == 0 || Bytes.SequenceEqual(new ReadOnlySpan<byte>(p, Bytes.Length));
    }
}
