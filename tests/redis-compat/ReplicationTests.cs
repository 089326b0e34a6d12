// Real redis-servers follow Leither, and Leither follows them: under load, with cut links and partial resynchronisation, the data ends up equal.

using System.Diagnostics;
using System.Globalization;
using Leither.TestKit;
using Xunit;

namespace Leither.RedisCompat;

public sealed class ReplicationTests
{
    [Fact]
    public void A_redis_server_follows_Leither_through_cut_links() => Seed.Run(random =>
    {
        using LeitherServer leither = LeitherServer.StartNew("--enable-debug-command", "yes", "--repl-backlog-size", "10mb");
        using RespClient master = leither.Connect();
        Samples.Populate(master, seed: 1);
        using RedisServer redis = RedisServer.StartNew("--enable-debug-command", "yes", "--replicaof", $"127.0.0.1 {leither.Port}");
        using RespClient replica = redis.Connect();
        Write(master, random, 2_000);
        SameData.Await(master, replica);
        for (int cut = 0; cut < 3; cut++)
        {
            replica.Call("CLIENT", "KILL", "TYPE", "master");
            Write(master, random, 2_000);
        }

        SameData.Await(master, replica);
        Assert.Equal(1, master.Call("WAIT", "1", "50000").Integer);
        Assert.Equal("OK", master.Call("SET", "last", "word").Text);
        Assert.Equal(1, master.Call("WAIT", "1", "50000").Integer);
        Assert.Equal("word", replica.Call("GET", "last").Text);
        Assert.Equal("master", master.Call("ROLE")[0].Text);
    });

    [Theory]
    [InlineData("yes")]
    [InlineData("no")]
    public void Leither_follows_a_redis_server_through_cut_links_and_is_promoted(string diskless) => Seed.Run(random =>
    {
        using RedisServer redis = RedisServer.StartNew(
            "--enable-debug-command", "yes", "--repl-backlog-size", "10mb", "--repl-diskless-sync", diskless, "--repl-diskless-sync-delay", "0", "--requirepass", "secret");
        using RespClient master = redis.Connect();
        master.Call("AUTH", "secret");
        Samples.Populate(master, seed: 2);
        using LeitherServer leither = LeitherServer.StartNew("--enable-debug-command", "yes", "--masterauth", "secret");
        using RespClient replica = leither.Connect();
        Assert.Equal("OK", replica.Call("REPLICAOF", "127.0.0.1", redis.Port.ToString(CultureInfo.InvariantCulture)).Text);
        Write(master, random, 2_000);
        SameData.Await(master, replica);
        Assert.StartsWith("READONLY", replica.Call("SET", "a", "b").Text, StringComparison.Ordinal);
        Assert.Equal("slave", replica.Call("ROLE")[0].Text);
        for (int cut = 0; cut < 3; cut++)
        {
            master.Call("CLIENT", "KILL", "TYPE", "replica");
            Write(master, random, 2_000);
        }

        SameData.Await(master, replica);
        Assert.Contains("sync_full:1", master.Call("INFO", "stats").Text, StringComparison.Ordinal);

        // What expires would do so between the digests. Two keys live long.
        SameData.AwaitNothingExpires(master, but: 2);
        SameData.AwaitNothingExpires(replica, but: 2);
        SameData.Await(master, replica);
        string digest = replica.Call("DEBUG", "DIGEST").Text;
        Assert.Equal("OK", replica.Call("REPLICAOF", "NO", "ONE").Text);
        Assert.Equal(digest, replica.Call("DEBUG", "DIGEST").Text);
        leither.Kill();
        leither.Start();
        using RespClient again = leither.Connect();
        Assert.Equal(digest, again.Call("DEBUG", "DIGEST").Text);
        Assert.Equal("OK", again.Call("SET", "a", "b").Text);
    });

    [Fact]
    public void Keys_migrate_between_Leither_and_Redis_both_ways()
    {
        using RedisServer redis = RedisServer.StartNew("--enable-debug-command", "yes");
        using LeitherServer leither = LeitherServer.StartNew("--enable-debug-command", "yes");
        using RespClient onRedis = redis.Connect();
        using RespClient onLeither = leither.Connect();
        Samples.Populate(onLeither, seed: 5);
        string digest = onLeither.Call("DEBUG", "DIGEST").Text;
        Migrate(onLeither, redis.Port);
        Assert.Equal(0, onLeither.Call("DBSIZE").Integer);
        Assert.Equal(digest, onRedis.Call("DEBUG", "DIGEST").Text);
        Migrate(onRedis, leither.Port);
        Assert.Equal(digest, onLeither.Call("DEBUG", "DIGEST").Text);

        onRedis.Call("SET", "str:short", "taken");
        string port = redis.Port.ToString(CultureInfo.InvariantCulture);
        Assert.Equal("ERR Target instance replied with error: BUSYKEY Target key name already exists.", onLeither.Call("MIGRATE", "127.0.0.1", port, "str:short", "0", "50000").Text);
        Assert.Equal("OK", onLeither.Call("MIGRATE", "127.0.0.1", port, "str:short", "0", "50000", "COPY", "REPLACE").Text);
        Assert.Equal(1, onLeither.Call("EXISTS", "str:short").Integer);
        Assert.Equal("NOKEY", onLeither.Call("MIGRATE", "127.0.0.1", port, "none", "0", "50000").Text);
        Assert.StartsWith("IOERR", onLeither.Call("MIGRATE", "127.0.0.1", "1", "str:short", "0", "50000").Text, StringComparison.Ordinal);
    }

    [Fact]
    public void redis_cli_fetches_an_rdb_file_that_redis_server_loads()
    {
        using LeitherServer leither = LeitherServer.StartNew("--enable-debug-command", "yes");
        using RespClient onLeither = leither.Connect();
        Samples.Populate(onLeither, seed: 6);
        using RedisServer redis = RedisServer.StartNew("--enable-debug-command", "yes");
        redis.Stop();
        using Process cli = Process.Start("redis-cli", ["-p", leither.Port.ToString(CultureInfo.InvariantCulture), "--rdb", Path.Combine(redis.DataDir, "dump.rdb")]);
        Assert.True(cli.WaitForExit(Wait.Limit));
        Assert.Equal(0, cli.ExitCode);
        redis.Start();
        using RespClient onRedis = redis.Connect();
        Assert.Equal(onLeither.Call("DEBUG", "DIGEST").Text, onRedis.Call("DEBUG", "DIGEST").Text);
    }

    private static void Migrate(RespClient from, int port)
    {
        string[] keys = [.. from.Call("KEYS", "*").Items.Select(static k => k.Text)];
        RespValue reply = from.Call(["MIGRATE", "127.0.0.1", port.ToString(CultureInfo.InvariantCulture), "", "0", "50000", "KEYS", .. keys]);
        Assert.True(reply.Text == "OK", reply.ToString());
    }

    /// <summary>Commands whose outcome depends on time and chance among them: what arrives must be the outcome.</summary>
    private static void Write(RespClient client, Random random, int count)
    {
        for (int i = 0; i < count; i++)
        {
            string key = "k" + random.Next(300).ToString(CultureInfo.InvariantCulture), n = i.ToString(CultureInfo.InvariantCulture);
            string[] command = random.Next(20) switch
            {
                0 => ["SET", key, n],
                1 => ["INCRBYFLOAT", "float" + n[0], "0.37"],
                2 => ["RPUSH", "l" + key, n, new string('x', random.Next(100))],
                3 => ["LPOP", "l" + key],
                4 => ["SADD", "s" + key, n, "m" + n[0]],
                5 => ["SPOP", "s" + key],
                6 => ["HSET", "h" + key, "f" + random.Next(200), n],
                7 => ["HDEL", "h" + key, "f" + random.Next(200)],
                8 => ["ZADD", "z" + key, random.NextDouble().ToString("R", CultureInfo.InvariantCulture), "m" + random.Next(100)],
                9 => ["ZPOPMIN", "z" + key],
                10 => ["SET", "e" + key, n, "PX", random.Next(1, 500).ToString(CultureInfo.InvariantCulture)],
                11 => ["PEXPIRE", key, random.Next(1, 1000).ToString(CultureInfo.InvariantCulture)],
                12 => ["GETEX", key, "PERSIST"],
                // A wait that times out takes redis-server a tenth of a second.
                13 when i % 5 == 0 => ["BLMOVE", "l" + key, "l2" + key, "LEFT", "RIGHT", "0.001"],
                13 => ["LMOVE", "l" + key, "l2" + key, "LEFT", "RIGHT"],
                14 => ["LINSERT", "l" + key, "BEFORE", n, "ins"],
                15 => ["SUNIONSTORE", "u" + key, "s" + key, "sk1"],
                16 => ["ZUNIONSTORE", "zu" + key, "2", "z" + key, "zk1", "WEIGHTS", "2", "0.5"],
                17 => ["RENAME", key, "k" + random.Next(300)],
                18 => ["XADD", "x" + key, "MAXLEN", "~", "20", "*", "a", n],
                _ => ["DEL", key],
            };
            client.Queue(command);
            client.Flush();
            client.Read();
            if (i % 100 == 0)
            {
                client.Call("MULTI");
                client.Call("APPEND", key, "zz");
                client.Call("LPUSH", "ml", n);
                client.Call("LTRIM", "ml", "0", "50");
                client.Call("EXEC");
                client.Call("SELECT", random.Next(3).ToString(CultureInfo.InvariantCulture));
            }
        }

        client.Call("SELECT", "0");
    }
}
