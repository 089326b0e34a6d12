namespace Leither.MmDb;

/// <summary>How fast a counter grows: the mean over its last sixteen samples.</summary>
public sealed class RateMeter
{
    private readonly double[] _samples = new double[16];
    private int _next;
    private long _lastCount, _lastMs;

    /// <summary>Growth a second, of late.</summary>
    public double PerSecond
    {
        get
        {
            double sum = 0;
            foreach (double sample in _samples)
            {
                sum += sample;
            }

            return sum / _samples.Length;
        }
    }

    /// <summary>Takes note of what the counter stands at.</summary>
    internal void Sample(long count, long nowMs)
    {
        if (_lastMs != 0 && nowMs > _lastMs)
        {
            _samples[_next] = Math.Max(0, (count - _lastCount) * 1000.0 / (nowMs - _lastMs));
            _next = (_next + 1) % _samples.Length;
        }

        _lastCount = count;
        _lastMs = nowMs;
    }
}
