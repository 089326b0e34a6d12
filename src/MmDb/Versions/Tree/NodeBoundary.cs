using System.Numerics;

namespace Leither.MmDb.Versions.Tree;

/// <summary>
/// Decides where the nodes of a tree end, from what is in them alone: equal content has equal nodes, whatever order it was written in, and
/// after a change the nodes soon end where they did before.
/// </summary>
/// <remarks>
/// <para>A node ends behind an item with a probability that rises with the node's size, so that sizes lie close together around
/// 4 KiB (a Weibull distribution of shape 4, as in Dolt's key splitter: https://www.dolthub.com/blog/2022-06-27-prolly-chunker/). With s
/// and e the bytes of items before and behind the item, and h the hash of its key under the level as seed, as a fraction of 2^64,
/// it ends where <c>(e^4 - s^4) / 4096^4 > -ln h</c>; never below 512 bytes, always at 16 KiB, and above the leaves never with one item alone.</para>
/// <para>It is part of the stored format, so everything is done in integers, alike on every machine.</para>
/// </remarks>
internal struct NodeBoundary
{
    /// <summary>No node ends below so many bytes of items.</summary>
    public const int MinBytes = 512;

    /// <summary>Every node ends at so many bytes of items.</summary>
    public const int MaxBytes = 16 * 1024;

    /// <summary>Fraction bits of logarithms.</summary>
    private const int FractionBits = 16;

    /// <summary>4096^4 = 2^48: what the fourth powers are divided by, less the fraction bits that stay.</summary>
    private const int ScaleShift = 48 - FractionBits;

    /// <summary>ln 2 with 16 fraction bits.</summary>
    private const ulong Ln2 = 45426;

    private const int TableBits = 8;

    /// <summary>log2(1 + i/256), with 16 fraction bits.</summary>
    private static readonly ushort[] Log2Table = MakeLog2Table();

    private int _bytes;
    private int _items;

    /// <summary>Takes the next item; true if the node ends behind it. Then the next item begins another node.</summary>
    /// <param name="hash">The hash of what decides: <see cref="XxHash64"/> of a key, or of an element, with the level as seed.</param>
    /// <param name="itemBytes">Bytes of the item.</param>
    /// <param name="level">0 for leaves.</param>
    public bool EndsBehind(ulong hash, int itemBytes, int level)
    {
        int start = _bytes, end = start + itemBytes;
        _bytes = end;
        _items++;
        bool ends = end >= MinBytes && (_items > 1 || level == 0) && (end >= MaxBytes || (FourthPower(end) - FourthPower(start)) >> ScaleShift > MinusLn(hash));
        if (ends)
        {
            this = default;
        }

        return ends;
    }

    /// <summary>Takes items behind none of which the node ends, as is known.</summary>
    public void Pass(int items, int bytes)
    {
        _items += items;
        _bytes += bytes;
    }

    /// <summary>-ln((h + 1) / 2^64), with 16 fraction bits.</summary>
    private static ulong MinusLn(ulong hash)
    {
        int zeros = BitOperations.LeadingZeroCount(hash | 1);
        ulong mantissa = (hash | 1) << zeros;
        ulong minusLog2 = ((ulong)(zeros + 1) << FractionBits) - Log2Table[(mantissa >> (63 - TableBits)) & ((1 << TableBits) - 1)];
        return (minusLog2 * Ln2) >> FractionBits;
    }

    private static ulong FourthPower(int bytes)
    {
        ulong square = (ulong)bytes * (ulong)bytes;
        return square * square;
    }

    /// <summary>Logarithms bit by bit: squaring a number between 1 and 2 doubles its logarithm, and what passes 2 is the next bit.</summary>
    private static ushort[] MakeLog2Table()
    {
        var table = new ushort[1 << TableBits];
        for (int i = 0; i < table.Length; i++)
        {
            ulong x = (1UL << 31) + ((ulong)i << (31 - TableBits));
            int log = 0;
            for (int bit = 0; bit < FractionBits; bit++)
            {
                x = (x * x) >> 31;
                log <<= 1;
                if (x >= 1UL << 32)
                {
                    x >>= 1;
                    log |= 1;
                }
            }

            table[i] = (ushort)log;
        }

        return table;
    }
}
