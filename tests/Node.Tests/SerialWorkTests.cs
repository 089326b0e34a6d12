using System.Collections.Concurrent;
using Leither.Node.Replication;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

public sealed class SerialWorkTests
{
    [Fact]
    public void Everything_that_is_brought_is_worked_on_by_one_thread_at_a_time_whoever_brings_it() => Seed.Run(random =>
    {
        const int threads = 6, each = 20_000;
        var queue = new ConcurrentQueue<int>();
        int inside = 0, worked = 0, together = 0, pause = random.Next(5000, 20_000);
        var work = new SerialWork(() =>
        {
            if (Interlocked.Increment(ref inside) != 1) together++;
            while (queue.TryDequeue(out _))
            {
                if (++worked % pause == 0) Thread.Sleep(30); // long enough to be the pool's for a while
            }

            Interlocked.Decrement(ref inside);
        });
        Thread[] bring = [.. Enumerable.Range(0, threads).Select(_ => random.Next()).Select(seed => new Thread(() =>
        {
            var own = new Random(seed);
            for (int i = 0; i < each; i++)
            {
                queue.Enqueue(i);
                if (own.Next(2) == 0) work.Wake();
                else work.WakeHere();
                if (own.Next(500) == 0) Thread.Yield();
            }
        }))];
        foreach (Thread thread in bring) thread.Start();
        work.Begin();
        foreach (Thread thread in bring) thread.Join();
        Wait.Until(() => Volatile.Read(ref worked) == threads * each, () => $"{worked} of {threads * each}");
        Assert.Equal(0, together);
    });

    [Fact]
    public void Who_brings_work_that_took_long_the_last_time_does_not_wait_for_it()
    {
        using var goesOn = new SemaphoreSlim(0);
        using var began = new SemaphoreSlim(0);
        var by = new ConcurrentQueue<int>();
        var work = new SerialWork(() =>
        {
            by.Enqueue(Environment.CurrentManagedThreadId);
            began.Release();
            goesOn.Wait();
        });
        work.Begin();
        began.Wait();
        Thread.Sleep(100);
        goesOn.Release();

        // It is at rest now or in a moment; who brings more either leaves it to who is at it, or to the pool.
        for (int i = 0; i < 3; i++)
        {
            var thread = new Thread(work.WakeHere);
            thread.Start();
            thread.Join();
            began.Wait();
            Assert.DoesNotContain(thread.ManagedThreadId, by);
            Thread.Sleep(100);
            goesOn.Release();
        }
    }

    [Fact]
    public void Work_that_was_quick_is_done_by_who_brings_it()
    {
        var by = new ConcurrentQueue<int>();
        using var done = new SemaphoreSlim(0);
        var work = new SerialWork(() =>
        {
            by.Enqueue(Environment.CurrentManagedThreadId);
            done.Release();
        });
        work.Begin();
        done.Wait();
        Wait.Until(() =>
        {
            // (The first thread may not be out of it.)
            work.WakeHere();
            return by.Contains(Environment.CurrentManagedThreadId);
        });
    }
}
