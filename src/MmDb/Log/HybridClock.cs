namespace Leither.MmDb.Log;

/// <summary>
/// A hybrid logical clock: 48 bits of Unix milliseconds, then a 16-bit counter, so that times order entries as they were made even when
/// the wall clock stands still or steps back. A plain number that sorts; never used for time to live, which is wall time.
/// </summary>
public struct HybridClock
{
    /// <summary>How far ahead of our wall clock another writer's time may be before it is refused.</summary>
    public static readonly TimeSpan MaxDrift = TimeSpan.FromMinutes(1);

    private const int CounterBits = 16;

    /// <summary>Makes a clock that will only give times after <paramref name="last"/>.</summary>
    public HybridClock(ulong last) => Last = last;

    /// <summary>The newest time given or observed.</summary>
    public ulong Last { get; private set; }

    /// <summary>The next time: later than every one before it, and at or after <paramref name="nowMs"/>.</summary>
    public ulong Next(long nowMs)
    {
        ulong now = FromMilliseconds(nowMs);
        // A full counter carries into the milliseconds: the clock then runs ahead of the wall clock until that catches up.
        return Last = now > Last ? now : Last + 1;
    }

    /// <summary>Takes note of another writer's time, so that what is written next sorts after it; false when it is more than
    /// <see cref="MaxDrift"/> ahead of our wall clock, and then nothing is noted.</summary>
    public bool TryObserve(ulong remote, long nowMs)
    {
        if (ToMilliseconds(remote) > nowMs + (long)MaxDrift.TotalMilliseconds) return false;
        if (remote > Last) Last = remote;
        return true;
    }

    /// <summary>The wall clock part of a time.</summary>
    public static long ToMilliseconds(ulong time) => (long)(time >> CounterBits);

    /// <summary>The first time of a millisecond.</summary>
    public static ulong FromMilliseconds(long unixMs) => (ulong)unixMs << CounterBits;
}
