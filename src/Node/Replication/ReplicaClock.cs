// The thread that looks after replicas when it is time: ticks of the core, and a log that grew. A timer for each would wake three threads each time (its own, one of the pool
// that does the work, one more that finds nothing left to do), and that some hundred times a second while somebody follows.
//
// It does the work itself where one alone is due. While that takes long others may become due: then another thread takes the clock over, and who was at it goes when he is done.

using System.Diagnostics;

namespace Leither.Node.Replication;

/// <summary>What a <see cref="ReplicaClock"/> looks after.</summary>
internal interface IClocked
{
    /// <summary>When it is to be looked after; <see cref="long.MaxValue"/>: nobody said. The clock's.</summary>
    long DueAt { get; set; }

    /// <summary>It is time. Called by the clock's thread, which has nothing else to do at the moment, or has (<paramref name="isAlone"/>: false) and is not to be held up.</summary>
    void Due(bool isAlone);
}

/// <summary>Has replicas looked after when it is time. Any thread.</summary>
internal sealed class ReplicaClock : IDisposable
{
    /// <summary>How long one may be looked after before somebody sees to it that others are.</summary>
    private static readonly TimeSpan _patience = TimeSpan.FromMilliseconds(50);

    private readonly Lock _gate = new();
    private readonly AutoResetEvent _sooner = new(false);
    private readonly Timer _watch;
    private readonly List<IClocked> _waiting = []; // those whose time is known
    private Thread? _thread; // who has the clock
    private IClocked? _lookedAfter; // by that thread itself
    private long _wakesAt = long.MaxValue, _lookedAfterSince;
    private bool _isWatched, _isStopped;

    public ReplicaClock() => _watch = new Timer(static clock => ((ReplicaClock)clock!).Watched(), this, Timeout.Infinite, Timeout.Infinite);

    /// <summary>The time: <see cref="Stopwatch"/>'s.</summary>
    public static long Now => Stopwatch.GetTimestamp();

    /// <summary>A replica is to be looked after at a time, or sooner.</summary>
    public void Wake(IClocked replica, long at)
    {
        lock (_gate)
        {
            if (_isStopped || replica.DueAt <= at) return;
            if (replica.DueAt == long.MaxValue) _waiting.Add(replica);
            replica.DueAt = at;
            if (_lookedAfter is { } other && other != replica) Watch();
            if (_thread is null)
            {
                Begin();
            }
            else if (at < _wakesAt)
            {
                _wakesAt = at;
                _sooner.Set();
            }
        }
    }

    /// <summary>A replica is gone.</summary>
    public void Forget(IClocked replica)
    {
        lock (_gate)
        {
            _waiting.Remove(replica);
            replica.DueAt = long.MaxValue;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            if (_isStopped) return;
            _isStopped = true;
            _watch.Dispose();
            if (_thread is null) _sooner.Dispose();
            else _sooner.Set();
        }
    }

    private void Begin()
    {
        _thread = new Thread(Run) { Name = "replicas", IsBackground = true };
        _thread.Start();
    }

    private void Run()
    {
        List<IClocked> due = [];
        while (true)
        {
            int waitMs;
            lock (_gate)
            {
                if (_thread != Thread.CurrentThread) return; // another has the clock
                _lookedAfter = null;
                if (_isStopped) break;
                long now = Now;
                _wakesAt = long.MaxValue;
                for (int i = _waiting.Count - 1; i >= 0; i--)
                {
                    IClocked replica = _waiting[i];
                    if (replica.DueAt > now)
                    {
                        _wakesAt = Math.Min(_wakesAt, replica.DueAt);
                        continue;
                    }

                    replica.DueAt = long.MaxValue;
                    _waiting.RemoveAt(i);
                    due.Add(replica);
                }

                waitMs = _wakesAt == long.MaxValue ? Timeout.Infinite : (int)Math.Min(int.MaxValue, ((_wakesAt - now) * 1000 / Stopwatch.Frequency) + 1);
                // While it works it does not wait: who wants to be woken sooner finds it looking again.
                if (due.Count > 0) _wakesAt = long.MinValue;
                if (due.Count == 1)
                {
                    (_lookedAfter, _lookedAfterSince) = (due[0], now);
                    if (_waiting.Count > 0) Watch();
                }
            }

            if (due.Count == 0)
            {
                _sooner.WaitOne(waitMs);
                continue;
            }

            // One is done here; of several each may take as long as its disk does.
            foreach (IClocked replica in due) replica.Due(isAlone: due.Count == 1);
            due.Clear();
        }

        _sooner.Dispose();
    }

    /// <summary>Somebody waits while another is looked after: it is seen to it that this does not take long.</summary>
    private void Watch()
    {
        if (_isWatched) return;
        _isWatched = true;
        _watch.Change(_patience, Timeout.InfiniteTimeSpan);
    }

    private void Watched()
    {
        lock (_gate)
        {
            _isWatched = false;
            if (_isStopped || _lookedAfter is null || _waiting.Count == 0) return;
            if (Stopwatch.GetElapsedTime(_lookedAfterSince) < _patience)
            {
                Watch();
                return;
            }

            _lookedAfter = null;
            Begin();
        }
    }
}
