// Work that is one thread's at a time, and that many bring: whoever brings it may do it, which is sooner done than to wake another thread.

using System.Diagnostics;
using System.Runtime.ExceptionServices;

namespace Leither.Node.Replication;

/// <summary>Has something done once more whenever that is wanted, by one thread at a time. Any thread.</summary>
/// <param name="work">What is done. It sees to everything that was brought before it was wanted.</param>
internal sealed class SerialWork(Action work) : IThreadPoolWorkItem
{
    /// <summary>What took so long is the pool's from then on, until it took less: who brings it has something else to do, and whoever waits for that need not wait for a disk.</summary>
    private static readonly long _long = Stopwatch.Frequency / 50;

    private int _wanted = 1; // how often since it was begun the last time; 0: nobody is at it. Nothing is done before it begins.
    private volatile bool _isLong;

    /// <summary>Has it done for the first time, by a thread of the pool.</summary>
    public void Begin() => ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);

    /// <summary>Has it done by a thread of the pool, unless somebody is at it, who will do it again then.</summary>
    public void Wake()
    {
        if (Interlocked.Increment(ref _wanted) == 1) Begin();
    }

    /// <summary>Does it, unless somebody is at it, who will do it again then, or it took long the last time. What is wanted meanwhile a thread of the pool does.</summary>
    public void WakeHere()
    {
        if (Interlocked.Increment(ref _wanted) != 1) return;
        if (_isLong || !IsDone(rethrows: false)) Begin();
    }

    // Whatever wanted it while it was done has it done again.
    void IThreadPoolWorkItem.Execute()
    {
        while (!IsDone(rethrows: true))
        {
        }
    }

    /// <summary>Does it; whether nobody wanted it meanwhile.</summary>
    private bool IsDone(bool rethrows)
    {
        int wanted = Volatile.Read(ref _wanted);
        long began = Stopwatch.GetTimestamp();
        try
        {
            work();
        }
        catch (Exception e) when (!rethrows)
        {
            // Nobody expected that, and who brought the work least of all: it ends the process as it does on any thread, or the work would stand still with nobody the wiser.
            ThreadPool.UnsafeQueueUserWorkItem(static problem => problem.Throw(), ExceptionDispatchInfo.Capture(e), preferLocal: false);
        }

        _isLong = Stopwatch.GetTimestamp() - began > _long;
        return Interlocked.Add(ref _wanted, -wanted) == 0;
    }
}
