using Leither.Node.Replication;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

public sealed class ReplicaClockTests
{
    [Fact]
    public void One_replica_that_takes_long_holds_up_no_other()
    {
        using var clock = new ReplicaClock();
        using var over = new ManualResetEventSlim();
        using var began = new ManualResetEventSlim();
        int fast = 0, slow = 0;
        var held = new Clocked(_ =>
        {
            slow++;
            began.Set();
            over.Wait();
        });
        Clocked? other = null;
        other = new Clocked(_ =>
        {
            fast++;
            clock.Wake(other!, ReplicaClock.Now);
        });
        try
        {
            clock.Wake(held, ReplicaClock.Now);
            began.Wait();
            // It became due while another was looked after, and does so again and again.
            clock.Wake(other, ReplicaClock.Now);
            Wait.Until(() => Volatile.Read(ref fast) > 10);
            Assert.Equal(1, slow);
        }
        finally
        {
            over.Set();
        }

        // Who was held up is looked after as any other.
        clock.Wake(held, ReplicaClock.Now);
        Wait.Until(() => Volatile.Read(ref slow) == 2);
        int before = Volatile.Read(ref fast);
        Wait.Until(() => Volatile.Read(ref fast) > before);
    }

    [Fact]
    public void One_that_was_waiting_when_another_began_to_take_long_is_looked_after_in_time()
    {
        using var clock = new ReplicaClock();
        using var over = new ManualResetEventSlim();
        int fast = 0;
        var other = new Clocked(_ => fast++);
        var held = new Clocked(_ => over.Wait());
        try
        {
            clock.Wake(other, ReplicaClock.Now + (System.Diagnostics.Stopwatch.Frequency / 5));
            clock.Wake(held, ReplicaClock.Now);
            Wait.Until(() => Volatile.Read(ref fast) == 1);
        }
        finally
        {
            over.Set();
        }
    }

    [Fact]
    public void Whatever_was_to_be_looked_after_is_however_many_threads_say_so() => Seed.Run(random =>
    {
        using var clock = new ReplicaClock();
        const int replicas = 5, threads = 4, each = 4000;
        long[] brought = new long[replicas], seen = new long[replicas];
        var all = new Clocked[replicas];
        for (int i = 0; i < replicas; i++)
        {
            int at = i, slow = random.Next(200, 400);
            all[i] = new Clocked(_ =>
            {
                // What was brought before it was said is to be seen.
                Volatile.Write(ref seen[at], Interlocked.Read(ref brought[at]));
                if (at == 0 && Volatile.Read(ref seen[at]) % slow == 0) Thread.Sleep(60);
            });
        }

        Thread[] bring = [.. Enumerable.Range(0, threads).Select(_ => random.Next()).Select(seed => new Thread(() =>
        {
            var own = new Random(seed);
            for (int i = 0; i < each; i++)
            {
                int at = own.Next(replicas);
                Interlocked.Increment(ref brought[at]);
                clock.Wake(all[at], ReplicaClock.Now + own.Next(-100_000, 3_000_000));
                if (own.Next(50) == 0) Thread.Sleep(own.Next(3));
            }
        }))];
        foreach (Thread thread in bring) thread.Start();
        foreach (Thread thread in bring) thread.Join();
        Wait.Until(() => Enumerable.Range(0, replicas).All(i => Volatile.Read(ref seen[i]) == brought[i]), () => $"{string.Join(' ', seen)} of {string.Join(' ', brought)}");
    });

    private sealed class Clocked(Action<bool> due) : IClocked
    {
        public long DueAt { get; set; } = long.MaxValue;

        public void Due(bool isAlone) => due(isAlone);
    }
}
