namespace Leither.MmDb.Commands;

/// <summary>
/// The count of SRANDMEMBER, HRANDFIELD and ZRANDMEMBER: so many different elements, or, below zero, so many draws.
/// </summary>
internal static class RandomCount
{
    /// <summary>Up to this multiple of the count a collection is gone through from end to end, rather than drawn from until enough differ.</summary>
    public const int WalkFactor = 3;

    /// <summary>Reads the count, or replies the error.</summary>
    public static bool TryRead(CommandContext c, int index, out long count)
    {
        if (!c.TryLong(index, out count))
        {
            return false;
        }

        if (count != long.MinValue)
        {
            return true;
        }

        c.Error($"ERR value is out of range, value must between {-long.MaxValue} and {long.MaxValue}");
        return false;
    }

    /// <summary>
    /// Whether to draw once more. A count below zero can ask for more than any memory holds: now and then the client's output is held
    /// against its limit, which ends the connection when it is over.
    /// </summary>
    public static bool MayDraw(CommandContext c, long left)
    {
        if ((left & 1023) == 0)
        {
            c.Server.CloseIfOverLimit(c.Session, c.NowMs);
        }

        return left > 0 && !c.Session.IsClosing;
    }
}

/// <summary>
/// Chooses so many of a run of elements, each subset with equal chances, in one pass and without memory (selection sampling, Knuth
/// volume 2, 3.4.2, algorithm S).
/// </summary>
internal struct Selection(long total, long wanted)
{
    private long _left = total;

    /// <summary>How many are still to be chosen.</summary>
    public long Wanted { get; private set; } = wanted;

    /// <summary>Whether the next element is chosen.</summary>
    public bool Takes(ref Memory.FastRandom random)
    {
        if ((long)random.Below((ulong)_left--) >= Wanted)
        {
            return false;
        }

        Wanted--;
        return true;
    }
}
