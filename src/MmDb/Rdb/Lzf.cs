using System.Numerics;
using System.Runtime.CompilerServices;

namespace Leither.MmDb.Rdb;

/// <summary>
/// LZF, the compression of strings in RDB: runs of literal bytes, and references to what came up to 8 KiB before.
/// </summary>
/// <remarks>
/// <code>
/// 000nnnnn                      n + 1 literal bytes follow
/// nnnooooo oooooooo             n + 2 bytes (n from 1 to 6) as they stand o + 1 bytes before
/// 111ooooo nnnnnnnn oooooooo    n + 9 bytes as they stand o + 1 bytes before
/// </code>
/// </remarks>
internal static unsafe class Lzf
{
    /// <summary>No input can become more than so many times its length.</summary>
    public const int MaxExpansion = 88;

    private const int MinHashBits = 6, MaxHashBits = 14;
    private const int MaxLiterals = 32, MaxOffset = 1 << 13, MaxMatch = 264;

    /// <summary>Compresses; gives the length, or 0 if that would be more than <paramref name="room"/>.</summary>
    public static int Compress(byte* from, int length, byte* to, int room)
    {
        if (length < 4)
        {
            return 0;
        }

        // Where three bytes were last met, plus one; a short input does with a short table.
        int bits = Math.Clamp(BitOperations.Log2((uint)length) + 1, MinHashBits, MaxHashBits);
        int* seen = stackalloc int[1 << bits];
        int at = 0, literals = 0, written = 0;
        while (at < length)
        {
            int match = 0, offset = 0;
            if (at + 3 <= length - 1)
            {
                uint next = (uint)(from[at] << 16 | from[at + 1] << 8 | from[at + 2]);
                ref int slot = ref seen[(next * 2654435761) >> (32 - bits)];
                int candidate = slot - 1;
                slot = at + 1;
                offset = at - candidate - 1;
                if (candidate >= 0 && offset < MaxOffset
                    && from[candidate] == from[at] && from[candidate + 1] == from[at + 1] && from[candidate + 2] == from[at + 2])
                {
                    int most = Math.Min(MaxMatch, length - at);
                    match = 3;
                    while (match < most && from[candidate + match] == from[at + match])
                    {
                        match++;
                    }
                }
            }

            if (match == 0)
            {
                literals++;
                at++;
                if (literals == MaxLiterals && !FlushLiterals(from, at, ref literals, to, room, ref written))
                {
                    return 0;
                }

                continue;
            }

            if (!FlushLiterals(from, at, ref literals, to, room, ref written) || written + 3 > room)
            {
                return 0;
            }

            int count = match - 2;
            if (count < 7)
            {
                to[written++] = (byte)(count << 5 | offset >> 8);
            }
            else
            {
                to[written++] = (byte)(7 << 5 | offset >> 8);
                to[written++] = (byte)(count - 7);
            }

            to[written++] = (byte)offset;
            at += match;
        }

        return FlushLiterals(from, at, ref literals, to, room, ref written) ? written : 0;
    }

    private static bool FlushLiterals(byte* from, int at, ref int literals, byte* to, int room, ref int written)
    {
        if (literals == 0)
        {
            return true;
        }

        if (written + 1 + literals > room)
        {
            return false;
        }

        to[written++] = (byte)(literals - 1);
        Unsafe.CopyBlockUnaligned(to + written, from + at - literals, (uint)literals);
        written += literals;
        literals = 0;
        return true;
    }

    /// <summary>Decompresses; false unless the input makes exactly <paramref name="length"/> bytes.</summary>
    public static bool Decompress(byte* from, long fromLength, byte* to, long length)
    {
        long written = 0;
        for (long at = 0; at < fromLength;)
        {
            int control = from[at++];
            if (control < MaxLiterals)
            {
                int literals = control + 1;
                if (literals > fromLength - at || literals > length - written)
                {
                    return false;
                }

                Unsafe.CopyBlockUnaligned(to + written, from + at, (uint)literals);
                at += literals;
                written += literals;
                continue;
            }

            int count = control >> 5;
            if (at + (count == 7 ? 2 : 1) > fromLength)
            {
                return false;
            }

            count += count == 7 ? from[at++] : 0;
            count += 2;
            long source = written - ((control & 0x1F) << 8 | from[at++]) - 1;
            if (source < 0 || count > length - written)
            {
                return false;
            }

            // Source and destination may overlap: that is how runs are written.
            for (; count > 0; count--)
            {
                to[written++] = to[source++];
            }
        }

        return written == length;
    }
}
