// The thread that looks after replicas when it is time: ticks of the core, and a log that grew. A timer for each would wake three threads each time (its own, one of the pool
// that does the work, one more that finds nothing left to do), and that some hundred times a second while somebody follows.

using System.Diagnostics;

namespace Leither.Node.Replication;

/// <summary>Has replicas looked after when it is time. Any thread.</summary>
internal sealed class ReplicaClock : IDisposable
{
    private readonly Lock _gate = new();
    private readonly AutoResetEvent _sooner = new(false);
    private readonly List<MimeiReplica> _waiting = []; // those whose time is known
    private long _wakesAt = long.MaxValue;
    private bool _isStarted, _isStopped;

    /// <summary>The time: <see cref="Stopwatch"/>'s.</summary>
    public static long Now => Stopwatch.GetTimestamp();

    /// <summary>A replica is to be looked after at a time, or sooner.</summary>
    public void Wake(MimeiReplica replica, long at)
    {
        lock (_gate)
        {
            if (_isStopped || replica.DueAt <= at) return;
            if (replica.DueAt == long.MaxValue) _waiting.Add(replica);
            replica.DueAt = at;
            if (_isStarted && _wakesAt <= at) return;
            _wakesAt = at;
            if (_isStarted)
            {
                _sooner.Set();
                return;
            }

            _isStarted = true;
            new Thread(Run) { Name = "replicas", IsBackground = true }.Start();
        }
    }

    /// <summary>A replica is gone.</summary>
    public void Forget(MimeiReplica replica)
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
            if (_isStarted) _sooner.Set();
            else _sooner.Dispose();
        }
    }

    private void Run()
    {
        List<MimeiReplica> due = [];
        while (true)
        {
            int waitMs;
            lock (_gate)
            {
                if (_isStopped) break;
                long now = Now;
                _wakesAt = long.MaxValue;
                for (int i = _waiting.Count - 1; i >= 0; i--)
                {
                    MimeiReplica replica = _waiting[i];
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
            }

            if (due.Count == 0)
            {
                _sooner.WaitOne(waitMs);
                continue;
            }

            // One is done here; of several each may take as long as its disk does.
            foreach (MimeiReplica replica in due) replica.Due(isAlone: due.Count == 1);
            due.Clear();
        }

        _sooner.Dispose();
    }
}
