using Leither.MmDb.Memory;

namespace Leither.MmDb;

/// <summary>What records carry for eviction: 24 bits, either the second of the last use or an access frequency.</summary>
internal static unsafe class Eviction
{
    private const byte InitialFrequency = 5;

    /// <summary>The stamp of a new record under an LFU policy: 16 bits of minutes, 8 bits of a logarithmic counter.</summary>
    public static uint FirstFrequency(Keyspace keyspace) => Minutes(keyspace.NowMs) | InitialFrequency;

    /// <summary>The stamp after one more use: the counter decays with time and grows with a probability that falls as it rises.</summary>
    public static uint TouchedFrequency(Keyspace keyspace, byte* record)
    {
        uint counter = DecayedFrequency(keyspace, record);
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

    /// <summary>The counter of a record as it stands now.</summary>
    public static uint DecayedFrequency(Keyspace keyspace, byte* record)
    {
        uint stamp = Record.Lru(record), counter = stamp & 0xFF;
        int decay = keyspace.Options.LfuDecayMinutes;
        uint elapsed = ((Minutes(keyspace.NowMs) - stamp) >> 8) & 0xFFFF;
        uint periods = decay == 0 ? 0 : elapsed / (uint)decay;
        return periods > counter ? 0 : counter - periods;
    }

    /// <summary>Seconds since a record was last used.</summary>
    public static long IdleSeconds(Keyspace keyspace, byte* record) => (keyspace.NowMs / 1000 - Record.Lru(record)) & 0xFFFFFF;

    private static uint Minutes(long nowMs) => (uint)(nowMs / 60_000 & 0xFFFF) << 8;
}
