namespace Leither.MmDb;

/// <summary>Events that took longer than latency-monitor-threshold: for each kind the last 160 seconds in which one did.</summary>
internal sealed class LatencyMonitor
{
    private const int MaxSamples = 160;

    private readonly SortedDictionary<string, Series> _events = new(StringComparer.Ordinal);

    /// <summary>The worst of one second.</summary>
    public readonly record struct Sample(long Seconds, long Milliseconds);

    /// <summary>One kind of event.</summary>
    public sealed class Series
    {
        /// <summary>The samples, oldest first.</summary>
        public List<Sample> Samples { get; } = [];
        /// <summary>The worst ever.</summary>
        public long Max { get; set; }
    }

    /// <summary>All kinds that were seen.</summary>
    public IReadOnlyDictionary<string, Series> Events => _events;

    /// <summary>Takes note of an event.</summary>
    public void Add(string kind, long milliseconds, long seconds)
    {
        if (!_events.TryGetValue(kind, out Series? series))
        {
            _events.Add(kind, series = new Series());
        }

        series.Max = Math.Max(series.Max, milliseconds);
        List<Sample> samples = series.Samples;
        if (samples.Count > 0 && samples[^1].Seconds == seconds)
        {
            samples[^1] = new Sample(seconds, Math.Max(samples[^1].Milliseconds, milliseconds));
            return;
        }

        if (samples.Count == MaxSamples)
        {
            samples.RemoveAt(0);
        }

        samples.Add(new Sample(seconds, milliseconds));
    }

    /// <summary>Forgets a kind of event. False: there was none.</summary>
    public bool Reset(string kind) => _events.Remove(kind);

    /// <summary>Forgets everything.</summary>
    public int Reset()
    {
        int count = _events.Count;
        _events.Clear();
        return count;
    }
}
