// What replicas and those who ask like them get, without sockets. How real servers follow each other is in tests/redis-compat/ReplicationTests.cs.

using System.Text;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests;

public sealed class ReplicationTests
{
    [Fact]
    public void Who_wants_a_file_only_gets_it_once_however_slowly_it_reads()
    {
        using var db = new InProcess();
        db.Prepare("SET k v");
        InProcess.Client asking = db.Connect();
        Assert.Equal("+OK", asking.Run("REPLCONF rdb-only 1"));
        asking.Send(Quoting.Split("SYNC"));
        CronUntil(db, () => asking.IsClosed);
        long length = asking.Output.Length;
        Assert.NotEqual(0, length);
        db.Server.Cron(db.Clock.NowMs);
        db.Prepare("SET k w");
        Assert.Equal(length, asking.Output.Length);
    }

    [Fact]
    public void What_scripts_change_reaches_replicas_command_by_command()
    {
        using var db = new InProcess();
        InProcess.Client replica = Follow(db);
        db.Prepare("EVAL \"redis.call('SET', KEYS[1], 1)\" 1 a");
        Assert.Equal(["SELECT 0", "SET a 1"], Stream(replica));
        db.Prepare("EVAL \"redis.call('GET', 'a') redis.call('INCRBYFLOAT', 'a', 1) return redis.call('EXPIRE', 'a', 10)\" 0");
        Assert.Equal(["MULTI", "SET a 2 KEEPTTL", $"PEXPIREAT a {db.Clock.NowMs + 10_000}", "EXEC"], Stream(replica));
        db.Prepare("MULTI", "EVAL \"redis.call('SADD', 's', 'x')\" 0", "EXEC", "EVAL \"return redis.call('SPOP', 's')\" 0", "EVAL \"return redis.call('SPOP', 's')\" 0");
        Assert.Equal(["SADD s x", "SREM s x"], Stream(replica));
        db.Prepare("EVAL \"redis.call('SELECT', 3) redis.call('SET', 'b', 1)\" 0", "SET c 1");
        Assert.Equal(["SELECT 3", "SET b 1", "SELECT 0", "SET c 1"], Stream(replica));
    }

    [Fact]
    public void What_a_transaction_wrote_reaches_replicas_at_COMMIT_as_what_the_keys_hold_then()
    {
        using var db = new InProcess();
        db.Prepare("SET a 1", "SET read 1", "HSET h f v");
        InProcess.Client replica = Follow(db);
        db.Prepare("BEGIN", "GET read", "DEL a", "SET b 1", "INCR b", "EXPIRE h 10", "SELECT 2", "SADD s x", "SELECT 0");
        Assert.Empty(Stream(replica));
        db.Prepare("COMMIT");
        string[] stream = [.. Stream(replica)];
        Assert.Equal(["SELECT 0", "MULTI", "DEL a", "RESTORE b 0", $"RESTORE h {db.Clock.NowMs + 10_000}", "SELECT 2", "RESTORE s 0", "EXEC"],
            stream.Select(static words => words.StartsWith("RESTORE", StringComparison.Ordinal) ? string.Join(' ', words.Split(' ')[..3]) : words));
        Assert.EndsWith(" REPLACE", stream[3], StringComparison.Ordinal);
        Assert.EndsWith(" REPLACE ABSTTL", stream[4], StringComparison.Ordinal);
        db.Prepare("BEGIN", "SET b 2", "ROLLBACK");
        Assert.Empty(Stream(replica));
    }

    [Fact]
    public void Commands_that_Redis_does_not_know_reach_replicas_as_commands_that_it_knows()
    {
        using var db = new InProcess(recording: true);
        db.Prepare("HSET h f v", "RPUSH l x", "SADD s x", "ZADD z 1 x");
        InProcess.Client replica = Follow(db);
        db.Prepare("HCLEAR h", "LCLEAR l", "SMCLEAR s none", "ZMCLEAR z", "ZADDWITHSEQ z a b");
        Assert.Equal(["SELECT 0", "DEL h", "DEL l", "DEL s", "DEL z", "ZADD z 9 a 9 b"], Stream(replica));
    }

    [Theory]
    [InlineData("ZMPOP 2 max other MIN", "ZPOPMIN max 1")]
    [InlineData("ZMPOP 2 other max MIN COUNT 2", "ZPOPMIN max 2")]
    [InlineData("ZMPOP 2 min max MAX", "ZPOPMAX max 1")]
    [InlineData("BZMPOP 0 2 max other MIN COUNT 2", "ZPOPMIN max 2")]
    [InlineData("BZMPOP 0 2 max min MAX", "ZPOPMAX max 1")]
    public void Replicas_pop_from_the_same_end_whatever_the_keys_are_called(string command, string expected)
    {
        using var db = new InProcess();
        db.Prepare("ZADD max 1 a 2 b 3 c");
        InProcess.Client replica = Follow(db);
        db.Prepare(command);
        Assert.Equal(["SELECT 0", expected], Stream(replica));
    }

    [Fact]
    public void A_snapshot_that_cannot_be_written_or_read_ends_the_replicas_connection_and_is_said()
    {
        using var folder = new TempDir();
        using var db = new InProcess();
        var warnings = new List<string>();
        db.Server.Warn = warnings.Add;
        db.Prepare("SET k v");
        db.Server.WorkFolder = folder.File("missing");
        InProcess.Client replica = db.Connect();
        replica.Send(Quoting.Split("PSYNC ? -1"));
        CronUntil(db, () => replica.IsClosed);
        Assert.Contains(warnings, static w => w.StartsWith("The snapshot for replica ", StringComparison.Ordinal));
        db.Server.Close(replica.Session);

        db.Server.WorkFolder = folder.Path;
        Follow(db);
        Assert.Empty(Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void A_replica_that_loads_for_long_is_not_dropped_as_long_as_it_says_that_it_lives()
    {
        using var db = new InProcess();
        InProcess.Client replica = db.Connect();
        replica.Send(Quoting.Split("PSYNC ? -1"));
        CronUntil(db, () => db.Run("INFO replication").Contains("state=online", StringComparison.Ordinal));
        for (int seconds = 0; seconds < 200; seconds += 50)
        {
            db.Clock.Advance(50_000);
            replica.SendRaw("\n"u8.ToArray());
            db.Server.Cron(db.Clock.NowMs);
            Assert.False(replica.IsClosed);
        }

        db.Clock.Advance(61_000);
        db.Server.Cron(db.Clock.NowMs);
        Assert.True(replica.IsClosed);
    }

    [Theory]
    [InlineData("lazyfree-lazy-server-del", "SPOP k 10")]
    [InlineData("lazyfree-lazy-server-del", "RESTORE k 1 \"\\x00\\xc0\\x01\\n\\x00&x\\xe7\\xb6\\xd1\\x01\\x11\\xfc\" ABSTTL REPLACE")]
    [InlineData("lazyfree-lazy-expire", "EXPIRE k -1")]
    [InlineData("lazyfree-lazy-expire", "EXISTS k")]
    public void Replicas_are_told_to_free_in_the_background_what_the_settings_say(string setting, string command)
    {
        using var db = new InProcess();
        InProcess.Client replica = Follow(db);
        foreach ((string value, string deletion) in (ReadOnlySpan<(string, string)>)[("no", "DEL k"), ("yes", "UNLINK k")])
        {
            db.Prepare($"CONFIG SET {setting} {value}", "SADD k a b", command.StartsWith("EXISTS", StringComparison.Ordinal) ? "PEXPIRE k 10" : "PING");
            db.Clock.Advance(20);
            db.Run(command);
            Assert.Equal(deletion, Stream(replica)[^1]);
        }
    }

    [Fact]
    public void A_key_that_expired_while_its_transaction_ran_serves_nobody()
    {
        using var db = new InProcess();
        InProcess.Client replica = Follow(db), waiting = db.Connect();
        Assert.Equal("(none)", waiting.Run("BRPOP k 0"));
        db.Prepare("MULTI", "RPUSH k hello", "PEXPIRE k 100");
        db.Clock.MsPerReading = 200;
        Assert.Equal("[:1, :1]", db.Run("EXEC"));
        db.Clock.MsPerReading = 0;
        Assert.Null(waiting.Take());
        string[] stream = Stream(replica);
        Assert.Equal(["SELECT 0", "MULTI", "RPUSH k hello"], stream[..3]);
        Assert.Equal(["EXEC", "DEL k"], stream[4..]);
    }

    [Fact]
    public void Without_enough_replicas_no_script_writes()
    {
        using var db = new InProcess();
        db.Prepare("SET x old", "CONFIG SET min-replicas-to-write 1");
        const string Refused = "-NOREPLICAS Not enough good replicas to write.";
        Assert.Equal("\"old\"", db.Run("EVAL \"#!lua flags=no-writes\\nreturn redis.call('GET', 'x')\" 0"));
        Assert.Equal("\"old\"", db.Run("EVAL \"return redis.call('GET', 'x')\" 0"));
        Assert.Equal(Refused, db.Run("EVAL \"#!lua\\nreturn redis.call('GET', 'x')\" 0"));
        Assert.StartsWith(Refused, db.Run("EVAL \"return redis.call('SET', 'x', 'new')\" 0"), StringComparison.Ordinal);
        Assert.Equal("\"old\"", db.Run("GET x"));
    }

    [Fact]
    public void Named_providers_in_touch_are_counted_where_writes_ask_for_replicas()
    {
        using var db = new InProcess();
        var nodes = new FakeReplication();
        db.Server.Replicas = nodes;
        db.Prepare("CONFIG SET min-replicas-to-write 2");
        for (int providers = 0; providers < 4; providers++)
        {
            Assert.Equal(providers < 2 ? "-NOREPLICAS Not enough good replicas to write." : "+OK", db.Run("SET a 1"));
            Assert.Contains($"min_slaves_good_slaves:{providers}\\r\\n", db.Run("INFO replication"), StringComparison.Ordinal);
            nodes.Named.Add(default);
        }

        db.Prepare("CONFIG SET min-replicas-to-write 0");
        Assert.DoesNotContain("min_slaves_good_slaves", db.Run("INFO replication"), StringComparison.Ordinal);
    }

    [Fact]
    public void On_a_replica_scripts_only_read_and_while_its_data_may_be_old_only_if_they_say_so()
    {
        using var db = new InProcess();
        db.Server.Connector = new Unreachable();
        db.Prepare("SET x old", "REPLICAOF 127.0.0.1 1");
        Assert.StartsWith("-READONLY You can't write against a read only replica.", db.Run("EVAL \"return redis.call('SET', 'x', 'new')\" 0"), StringComparison.Ordinal);
        Assert.StartsWith("-READONLY You can't write against a read only replica.", db.Run("EVAL \"#!lua\\nreturn redis.call('GET', 'x')\" 0"), StringComparison.Ordinal);
        Assert.Equal("\"old\"", db.Run("EVAL \"return redis.call('GET', 'x')\" 0"));
        db.Prepare("CONFIG SET replica-serve-stale-data no");
        const string Stale = "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.";
        Assert.Equal(Stale, db.Run("EVAL \"return redis.call('GET', 'x')\" 0"));
        Assert.Equal(Stale, db.Run("EVAL \"#!lua flags=no-writes\\nreturn 1\" 0"));
        Assert.Equal(":1", db.Run("EVAL \"#!lua flags=allow-stale,no-writes\\nreturn 1\" 0"));
        Assert.StartsWith("-ERR Can not execute the command on a stale replica", db.Run("EVAL \"#!lua flags=allow-stale,no-writes\\nreturn redis.call('GET', 'x')\" 0"), StringComparison.Ordinal);
    }

    /// <summary>A client that has come as far as a replica which follows the stream.</summary>
    private static InProcess.Client Follow(InProcess db)
    {
        InProcess.Client replica = db.Connect();
        replica.Send(Quoting.Split("SYNC"));
        CronUntil(db, () => db.Run("INFO replication").Contains("state=online", StringComparison.Ordinal));
        replica.Output.Consume(replica.Output.Length);
        return replica;
    }

    /// <summary>The commands that a replica was sent since it was last asked.</summary>
    private static string[] Stream(InProcess.Client replica)
    {
        var commands = new List<string>();
        while (replica.TakeReply() is { } command)
        {
            commands.Add(string.Join(' ', command.Elements.Select(static word => Encoding.Latin1.GetString(word.Bytes))));
        }

        return [.. commands];
    }

    private static void CronUntil(InProcess db, Func<bool> condition) => Wait.Until(() =>
    {
        db.Server.Cron(db.Clock.NowMs);
        return condition();
    });

    /// <summary>Its connections neither come about nor fail.</summary>
    private sealed class Unreachable : IConnector
    {
        public void Connect(string host, int port, int timeoutMs, IOutboundHandler handler)
        {
        }
    }
}
