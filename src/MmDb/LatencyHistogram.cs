using System.Numerics;

namespace Leither.MmDb;

/// <summary>
/// How often something took how long, from a nanosecond to a second, to within two percent: 64 steps in each doubling. Longer times
/// count as a second.
/// </summary>
public sealed class LatencyHistogram
{
    private const int StepBits = 6;
    private const int Steps = 1 << StepBits;
    private const long Longest = 1_000_000_000;

    private readonly long[] _counts = new long[IndexOf(Longest) + 1];

    /// <summary>How many times were recorded.</summary>
    public long Count { get; private set; }

    /// <summary>Records a time in nanoseconds, for <paramref name="weight"/> events.</summary>
    public void Record(long nanoseconds, long weight)
    {
        _counts[IndexOf(Math.Clamp(nanoseconds, 1, Longest))] += weight;
        Count += weight;
    }

    /// <summary>Takes over what another one recorded.</summary>
    public void Add(LatencyHistogram other)
    {
        for (int i = 0; i < _counts.Length; i++)
        {
            _counts[i] += other._counts[i];
        }

        Count += other.Count;
    }

    /// <summary>The time that so many percent of the events did not pass, in nanoseconds.</summary>
    public long Percentile(double percent)
    {
        long wanted = Math.Max(1, (long)((percent / 100 * Count) + 0.5)), seen = 0;
        for (int i = 0; i < _counts.Length; i++)
        {
            seen += _counts[i];
            if (seen >= wanted)
            {
                return Highest(i);
            }
        }

        return 0;
    }

    /// <summary>Cumulative counts at doubling times: each pair is a time in microseconds and how many events took no longer.</summary>
    public IEnumerable<(long Microseconds, long Count)> Doublings()
    {
        long seen = 0, shown = 0, limit = 1024;
        int next = 0;
        while (shown < Count)
        {
            int last = Math.Min(IndexOf(Math.Min(limit, Longest)), _counts.Length - 1);
            for (; next <= last; next++)
            {
                seen += _counts[next];
            }

            if (seen > shown)
            {
                shown = seen;
                yield return (Highest(last) / 1000, seen);
            }

            limit *= 2;
        }
    }

    private static int IndexOf(long value)
    {
        int shift = Math.Max(0, BitOperations.Log2((ulong)value) - StepBits);
        return (shift << StepBits) + (int)(value >> shift);
    }

    /// <summary>The longest time that counts at an index.</summary>
    private static long Highest(int index)
    {
        int shift = Math.Max(0, (index >> StepBits) - 1);
        return ((long)(index - (shift << StepBits) + 1) << shift) - 1;
    }
}
