using Leither.TestKit;

namespace Leither.Simulation;

/// <summary>Which stories are played, and which of them ended badly.</summary>
internal static class Seeds
{
    /// <summary>Plays every so-manyth of the seeds 1 to <paramref name="count"/> (in long runs <paramref name="longCount"/>), or of those that LEITHER_SEED names: n, or n-m.</summary>
    public static void Run(int count, int longCount, int shard, int shards, Action<int> play)
    {
        (int first, int last) = Seed.Named ?? (1, Seed.IsLong ? longCount : count);
        var failed = new SortedDictionary<int, Exception>();
        for (int seed = first + shard; seed <= last; seed += shards)
        {
            try
            {
                play(seed);
            }
            catch (InvalidOperationException e)
            {
                failed.Add(seed, e);
            }
        }

        if (failed.Count > 0)
        {
            throw new InvalidOperationException($"Of the seeds {first}-{last} failed {string.Join(", ", failed.Keys)}. The first:\n{failed.First().Value.Message}", failed.First().Value);
        }
    }
}
