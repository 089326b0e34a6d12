using Leither.MmDb.Memory;

namespace Leither.MmDb;

/// <summary>What records carry for eviction: 24 bits, either the second of the last use or, under an LFU policy, an access frequency.</summary>
/// <remarks>A frequency is 16 bits of minutes, when it was last brought up to date, over 8 bits of a logarithmic counter.</remarks>
internal static unsafe class AccessStamp
{
    /// <summary>New keys begin with some credit, or they would be evicted before they can earn any.</summary>
    private const byte InitialFrequency = 5;

    private const uint Mask = 0xFFFFFF;

    /// <summary>The stamp of a new record.</summary>
    public static uint New(Keyspace keyspace) => keyspace.Options.UsesLfu ? Minutes(keyspace.NowMs) | InitialFrequency : Seconds(keyspace.NowMs);

    /// <summary>The stamp of a record that is used once more.</summary>
    public static uint Used(Keyspace keyspace, byte* record) => keyspace.Options.UsesLfu ? MoreFrequent(keyspace, record) : Seconds(keyspace.NowMs);

    /// <summary>Gives a record the idle time (seconds) or the frequency that it had elsewhere, where the policy goes by that; negative: none is known.</summary>
    public static void Set(Keyspace keyspace, byte* record, long idleSeconds, long frequency)
    {
        if (keyspace.Options.UsesLfu)
        {
            if (frequency >= 0)
            {
                Record.SetLru(record, Minutes(keyspace.NowMs) | (uint)frequency);
            }
        }
        else if (idleSeconds >= 0)
        {
            Record.SetLru(record, (Seconds(keyspace.NowMs) - (uint)Math.Min(idleSeconds, Mask)) & Mask);
        }
    }

    /// <summary>Seconds since a record was last used.</summary>
    public static uint IdleSeconds(Keyspace keyspace, byte* record) => (Seconds(keyspace.NowMs) - Record.Lru(record)) & Mask;

    /// <summary>The frequency counter of a record as it stands now: it falls by one in each decay period without use.</summary>
    public static uint Frequency(Keyspace keyspace, byte* record)
    {
        uint stamp = Record.Lru(record), counter = stamp & 0xFF;
        int decay = keyspace.Options.LfuDecayMinutes;
        uint elapsed = ((Minutes(keyspace.NowMs) >> 8) - (stamp >> 8)) & 0xFFFF;
        uint periods = decay == 0 ? 0 : elapsed / (uint)decay;
        return periods > counter ? 0 : counter - periods;
    }

    /// <summary>The counter grows with a probability that falls as it rises, so that 8 bits reach to millions of uses.</summary>
    private static uint MoreFrequent(Keyspace keyspace, byte* record)
    {
        uint counter = Frequency(keyspace, record);
        if (counter < 255)
        {
            double over = counter > InitialFrequency ? counter - InitialFrequency : 0;
            if (keyspace.Random.NextDouble() < 1.0 / ((over * keyspace.Options.LfuLogFactor) + 1))
            {
                counter++;
            }
        }

        return Minutes(keyspace.NowMs) | counter;
    }

    private static uint Seconds(long nowMs) => (uint)(nowMs / 1000) & Mask;

    private static uint Minutes(long nowMs) => (uint)(nowMs / 60_000 & 0xFFFF) << 8;
}
