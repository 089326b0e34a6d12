using System.Diagnostics;
using System.Numerics;

namespace Leither.Ipfs.Multiformats;

/// <summary>What reading an unsigned varint came to.</summary>
public enum VarintStatus
{
    /// <summary>It was read.</summary>
    Complete,

    /// <summary>The bytes end before it does.</summary>
    Incomplete,

    /// <summary>It is longer than nine bytes, or longer than its value needs.</summary>
    Invalid,
}

/// <summary>
/// The unsigned varint of multiformats: seven bits a byte, lowest first, the high bit set on all but the last byte; at most nine
/// bytes, so 63 bits; one encoding for each value. https://github.com/multiformats/unsigned-varint
/// </summary>
public static class Varint
{
    /// <summary>The most bytes that a varint takes ("Practical maximum of 9 bytes").</summary>
    public const int MaxLength = 9;

    /// <summary>The largest value that nine bytes hold.</summary>
    public const ulong MaxValue = long.MaxValue;

    /// <summary>How many bytes <paramref name="value"/> takes.</summary>
    public static int Length(ulong value) => (BitOperations.Log2(value | 1) + 7) / 7;

    /// <summary>Writes <paramref name="value"/> and returns how many bytes that took. The caller has seen to the room.</summary>
    public static int Write(Span<byte> destination, ulong value)
    {
        Debug.Assert(value <= MaxValue);
        int length = 0;
        while (value >= 0x80)
        {
            destination[length++] = (byte)(value | 0x80);
            value >>= 7;
        }

        destination[length] = (byte)value;
        return length + 1;
    }

    /// <summary>Reads the varint at the beginning of <paramref name="source"/>; what follows it is left alone.</summary>
    public static VarintStatus Read(ReadOnlySpan<byte> source, out ulong value, out int used)
    {
        value = 0;
        used = 0;
        int limit = Math.Min(source.Length, MaxLength);
        for (int i = 0; i < limit; i++)
        {
            byte b = source[i];
            value |= (ulong)(b & 0x7F) << (7 * i);
            if (b < 0x80)
            {
                // A last byte of zero adds nothing to the bytes before it: the same value has a shorter form.
                if (b == 0 && i > 0)
                {
                    value = 0;
                    return VarintStatus.Invalid;
                }

                used = i + 1;
                return VarintStatus.Complete;
            }
        }

        value = 0;
        return limit == MaxLength ? VarintStatus.Invalid : VarintStatus.Incomplete;
    }

    /// <summary>Reads the varint at the beginning of <paramref name="source"/>; false if it is not there whole and in its one form.</summary>
    public static bool TryRead(ReadOnlySpan<byte> source, out ulong value, out int used) =>
        Read(source, out value, out used) == VarintStatus.Complete;
}
