using System.Globalization;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests;

public sealed class ExpiryAndEvictionTests
{
    /// <summary>Calls the periodic work until it finds nothing more to do at once.</summary>
    private static void RunCron(InProcess db)
    {
        for (int i = 0; i < 1000; i++)
        {
            db.Server.Cron(db.Clock.NowMs);
        }
    }

    [Fact]
    public void Expired_keys_that_nobody_asks_for_are_deleted_in_the_background()
    {
        using var db = new InProcess();
        db.Prepare("SET lives v", "SET later v PX 100000");
        for (int i = 0; i < 2000; i++)
        {
            db.Run($"SELECT {i % 3}");
            db.Run($"SET k{i} v PX {1 + (i % 50)}");
        }

        db.ListenToEvents(KeyspaceEvents.Expired);
        db.Clock.Advance(50);
        RunCron(db);
        Assert.Equal(2000, db.Events.Count);
        Assert.Equal(2000, db.Keyspace.Stats.ExpiredKeys);
        Assert.Equal(2, db.Keyspace.Databases[0].Count);
        Assert.Equal(0, db.Keyspace.Databases[1].Count);
        Assert.InRange(db.Keyspace.Databases[0].AverageTtlMs, 1, 100_000);
    }

    [Fact]
    public void Nothing_expires_in_the_background_while_it_is_off_or_on_a_follower()
    {
        using var db = new InProcess();
        db.Prepare("SET k v PX 1");
        db.Clock.Advance(1);
        db.Keyspace.ActiveExpireEnabled = false;
        RunCron(db);
        db.Keyspace.ActiveExpireEnabled = true;
        db.Keyspace.IsWriter = false;
        RunCron(db);
        Assert.Equal("nil", db.Run("GET k"));
        Assert.Equal(1, db.Keyspace.Databases[0].Count);
        db.Keyspace.IsWriter = true;
        RunCron(db);
        Assert.Equal(0, db.Keyspace.Databases[0].Count);
    }

    [Fact]
    public void What_expired_in_the_background_is_in_the_log() => Seed.Run(static random =>
    {
        using var db = new InProcess(recording: true);
        for (int i = 0; i < 1000; i++)
        {
            db.Run($"SET k{random.Next(500)} {new string('v', random.Next(200))} PX {random.Next(1, 2000)}");
            db.Clock.Advance(random.Next(3));
            db.Server.Cron(db.Clock.NowMs);
        }

        string contents = db.Contents();
        using InProcess replayed = db.Replay();
        Assert.Equal(contents, replayed.Contents());
        Assert.True(db.Keyspace.Stats.ExpiredKeys > 0);
    });

    [Theory]
    [InlineData(EvictionPolicy.AllKeysLru)]
    [InlineData(EvictionPolicy.AllKeysLfu)]
    [InlineData(EvictionPolicy.AllKeysRandom)]
    [InlineData(EvictionPolicy.VolatileLru)]
    [InlineData(EvictionPolicy.VolatileLfu)]
    [InlineData(EvictionPolicy.VolatileRandom)]
    [InlineData(EvictionPolicy.VolatileTtl)]
    public void Memory_stays_below_its_limit_under_every_policy(EvictionPolicy policy)
    {
        using var db = new InProcess();
        db.Keyspace.Options.Policy = policy;
        db.Keyspace.Options.MaxMemory = db.Keyspace.UsedBytes + 300_000;
        db.Keyspace.Options.EvictionTenacity = 100;
        db.ListenToEvents(KeyspaceEvents.Evicted);
        string value = new('v', 500);
        for (int i = 0; i < 2000; i++)
        {
            Assert.Equal("+OK", db.Run($"SET k{i} {value} EX {1000 + i}"));
        }

        Assert.InRange(db.Keyspace.UsedBytes, 0, db.Keyspace.Options.MaxMemory + 10_000);
        Assert.Equal(db.Events.Count, db.Keyspace.Stats.EvictedKeys);
        Assert.Equal(2000 - db.Events.Count, db.Keyspace.Databases[0].Count);
        Assert.InRange(db.Events.Count, 1000, 1900);
    }

    [Fact]
    public void Volatile_policies_leave_persistent_keys_alone_and_refuse_writes_when_only_those_are_left()
    {
        using var db = new InProcess();
        db.Keyspace.Options.Policy = EvictionPolicy.VolatileLru;
        string value = new('v', 1000);
        for (int i = 0; i < 100; i++)
        {
            db.Prepare($"SET stays{i} {value}", $"SET goes{i} {value} EX 100");
        }

        db.Keyspace.Options.EvictionTenacity = 100;
        db.Keyspace.Options.MaxMemory = 1;
        Assert.Equal("-OOM command not allowed when used memory > 'maxmemory'.", db.Run("SET more v"));
        Assert.Equal(100, db.Keyspace.Databases[0].Count);
        Assert.Equal($"\"{value}\"", db.Run("GET stays99"));
        Assert.Equal(":1", db.Run("DEL stays99"));
    }

    [Fact]
    public void Without_eviction_writes_that_need_memory_are_refused()
    {
        using var db = new InProcess();
        db.Prepare("SET k v");
        db.Keyspace.Options.MaxMemory = 1;
        Assert.Equal("-OOM command not allowed when used memory > 'maxmemory'.", db.Run("SET k w"));
        Assert.Equal("\"v\"", db.Run("GET k"));
        db.Keyspace.Options.MaxMemory = 0;
        Assert.Equal("+OK", db.Run("SET k w"));
    }

    [Fact]
    public void The_least_recently_used_keys_go_first()
    {
        using var db = new InProcess();
        db.Keyspace.Options.Policy = EvictionPolicy.AllKeysLru;
        db.Keyspace.Options.EvictionTenacity = 100;
        string value = new('v', 500);
        for (int i = 0; i < 1000; i++)
        {
            db.Run($"SET k{i} {value}");
        }

        db.Clock.Advance(100_000);
        for (int i = 0; i < 500; i++)
        {
            db.Run($"GET k{i}");
        }

        db.Clock.Advance(10_000);
        db.ListenToEvents(KeyspaceEvents.Evicted);
        db.Keyspace.Options.MaxMemory = db.Keyspace.UsedBytes - 100_000;
        db.Run("SET last v");
        int[] evicted = [.. db.Events.Select(static e => int.Parse(e.Split('k')[1], CultureInfo.InvariantCulture))];
        Assert.InRange(evicted.Length, 100, 300);
        Assert.True(evicted.Count(static i => i >= 500) >= evicted.Length * 95 / 100, "nearly all of them were among those not used");
    }

    [Fact]
    public void The_keys_that_expire_first_go_first()
    {
        using var db = new InProcess();
        db.Keyspace.Options.Policy = EvictionPolicy.VolatileTtl;
        db.Keyspace.Options.EvictionTenacity = 100;
        string value = new('v', 500);
        for (int i = 0; i < 1000; i++)
        {
            db.Run($"SET k{i} {value} EX {(i < 500 ? 10_000 : 100)}");
        }

        db.ListenToEvents(KeyspaceEvents.Evicted);
        db.Keyspace.Options.MaxMemory = db.Keyspace.UsedBytes - 100_000;
        db.Run("SET last v");
        int[] evicted = [.. db.Events.Select(static e => int.Parse(e.Split('k')[1], CultureInfo.InvariantCulture))];
        Assert.InRange(evicted.Length, 100, 300);
        Assert.True(evicted.Count(static i => i >= 500) >= evicted.Length * 95 / 100, "nearly all of them were among those with little time left");
    }

    [Fact]
    public void Frequencies_rise_with_use_and_decay_with_time()
    {
        using var db = new InProcess();
        db.Keyspace.Options.Policy = EvictionPolicy.AllKeysLfu;
        db.Prepare("SET k v");
        Assert.Equal(":5", db.Run("OBJECT FREQ k"));
        for (int i = 0; i < 1000; i++)
        {
            db.Run("GET k");
        }

        int used = Frequency(db);
        Assert.InRange(used, 10, 60);
        db.Clock.Advance(5 * 60_000);
        Assert.Equal(used - 5, Frequency(db));
        Assert.StartsWith("-ERR An LFU maxmemory policy is selected", db.Run("OBJECT IDLETIME k"), StringComparison.Ordinal);
    }

    [Fact]
    public void Evicted_keys_are_deleted_in_the_log_too()
    {
        using var db = new InProcess(recording: true);
        db.Keyspace.Options.Policy = EvictionPolicy.AllKeysRandom;
        db.Keyspace.Options.EvictionTenacity = 100;
        db.Keyspace.Options.MaxMemory = db.Keyspace.UsedBytes + 100_000;
        for (int i = 0; i < 1000; i++)
        {
            db.Run($"SELECT {i % 2}");
            db.Run($"SET k{i} {new string('v', 300)}");
        }

        string contents = db.Contents();
        using InProcess replayed = db.Replay();
        Assert.Equal(contents, replayed.Contents());
        Assert.InRange(db.Keyspace.Databases[1].Count, 1, 300);
    }

    private static int Frequency(InProcess db) => int.Parse(db.Run("OBJECT FREQ k")[1..], CultureInfo.InvariantCulture);

    [Fact]
    public void A_key_found_expired_has_expired_before_it_is_missed()
    {
        using var db = new InProcess();
        db.Prepare("SET k v PX 10");
        db.ListenToEvents();
        db.Clock.Advance(20);
        Assert.Equal("nil", db.Run("GET k"));
        Assert.Equal("nil", db.Run("GET k"));
        Assert.Equal("nil", db.Run("OBJECT ENCODING k"));
        Assert.Equal(["expired k", "keymiss k", "keymiss k"], db.Events);
    }
}
