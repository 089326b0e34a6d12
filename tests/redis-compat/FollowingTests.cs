// Who follows whom, in every pairing of Leither and redis-server: all that commands do arrives, whatever happens on the way (cuts in the
// middle of the first copy, killed processes, a backlog too small), and the settings and commands around it do what Redis's do.

using System.Globalization;
using System.Text.RegularExpressions;
using Leither.TestKit;
using Xunit;

namespace Leither.RedisCompat;

public sealed class FollowingTests
{
    private static readonly string[] Debug = ["--enable-debug-command", "yes"];

    /// <summary>Who leads, who follows.</summary>
    public static TheoryData<string, string> Pairs => new() { { "leither", "redis" }, { "redis", "leither" }, { "leither", "leither" } };

    [Theory]
    [MemberData(nameof(Pairs))]
    public void Random_commands_of_every_family_leave_the_same_on_both(string master, string replica) => Seed.Run(random =>
    {
        using ServerProcess leader = Start(master, "--repl-diskless-sync-delay", "0");
        using ServerProcess follower = Start(replica, "--replicaof", $"127.0.0.1 {leader.Port}");
        using RespClient there = leader.Connect(), here = follower.Connect();
        AwaitUp(there, here);
        for (int round = 0; round < (Seed.IsLong ? 100 : 6); round++)
        {
            there.Call("FLUSHALL");
            there.Call("FUNCTION", "FLUSH");
            var generator = new CommandGenerator(random, withNewer: false);
            List<string[]> commands = generator.Draw(2_500);
            // What a script that is cut off or refused leaves is another test's matter; waits for ever would not end.
            bool sorting = round % 2 == 0;
            foreach (string[][] batch in commands.Where(c => c[0] is not ("REPLICAOF" or "CLIENT" or "DEBUG") && Arrives(c, master) && (master == replica || IsClearToSort(c, sorting))).Chunk(100))
            {
                foreach (string[] command in batch)
                {
                    there.Queue(CommandGenerator.Bytes(command));
                }

                there.Flush();
                foreach (string[] _ in batch)
                {
                    there.Read();
                }
            }

            there.Call("DISCARD");
            SameData.Await(there, here, () => follower.Log, signsOfZero: master == replica);
        }
    });

    /// <summary>
    /// Whether all that a command does reaches a replica: Redis does not tell its own that a consumer reads again what it had (how often and when changes), nor of the
    /// key that a BITFIELD, by itself or in a script, makes whose only change would overflow; and none takes how much a group has read once that went over the greatest number.
    /// </summary>
    private static bool Arrives(string[] command, string master)
    {
        int streams = Array.IndexOf(command, "STREAMS") + 1;
        bool readsAgain = command[0] == "XREADGROUP" && streams > 0 && command[(streams + ((command.Length - streams) / 2))..].Any(static id => id != ">");
        bool mayOverflow = command.Contains("BITFIELD") && command.Contains("FAIL", StringComparer.OrdinalIgnoreCase);
        return !(master == "redis" && (readsAgain || mayOverflow)) && !(command.Contains("ENTRIESREAD") && command.Contains(long.MaxValue.ToString(CultureInfo.InvariantCulture)));
    }

    /// <summary>SORT … STORE comes as the command that it is, and hangs at Redis on what went before: a round has either what it stores or what spoils that.</summary>
    private static bool IsClearToSort(string[] command, bool sorting) =>
        sorting ? !KnownDifferences.SpoilsSort(command) : !(command[0] == "SORT" && command.Contains("STORE"));

    [Theory]
    [MemberData(nameof(Pairs))]
    public void Groups_functions_scripts_and_transactions_arrive(string master, string replica)
    {
        using ServerProcess leader = Start(master, "--repl-diskless-sync-delay", "0");
        using ServerProcess follower = Start(replica, "--replicaof", $"127.0.0.1 {leader.Port}");
        using RespClient there = leader.Connect(), here = follower.Connect();
        AwaitUp(there, here);
        const string library = "#!lua name=lib\nredis.register_function('put', function(k, a) redis.call('SET', k[1], a[1]); return redis.call('INCR', 'calls') end)";
        string[][] commands =
        [
            ["FUNCTION", "LOAD", library],
            ["FCALL", "put", "1", "by:function", "x"],
            ["EVAL", "for i=1,3 do redis.call('RPUSH', KEYS[1], i) end redis.call('SET', 't', redis.call('TIME')[1]) redis.call('SET', 'r', tostring(math.random()))", "1", "by:script"],
            ["EVAL", "redis.call('SET', 'left', 1) error('stops here')", "0"],
            ["EVAL", "redis.call('SELECT', 4) redis.call('SET', 'in:4', 1)", "0"],
            ["EVAL", "redis.call('SADD', KEYS[1], 'a', 'b', 'c', 'd') return redis.call('SPOP', KEYS[1], 2)", "1", "popped"],
            ["XADD", "x", "*", "f", "1"], ["XADD", "x", "5-*", "f", "0"], ["XADD", "x", "*", "f", "2"], ["XADD", "x", "*", "f", "3"], ["XADD", "x", "*", "f", "4"],
            ["XGROUP", "CREATE", "x", "g", "0"], ["XGROUP", "CREATE", "x", "late", "$", "ENTRIESREAD", "2"], ["XGROUP", "CREATE", "made", "g", "0", "MKSTREAM"],
            ["XREADGROUP", "GROUP", "g", "alice", "COUNT", "2", "STREAMS", "x", ">"],
            ["XREADGROUP", "GROUP", "g", "bob", "COUNT", "1", "STREAMS", "x", ">"],
            ["XREADGROUP", "GROUP", "late", "bob", "NOACK", "COUNT", "1", "STREAMS", "x", ">"],
            ["XREADGROUP", "GROUP", "g", "alice", "STREAMS", "x", "0"],
            ["XAUTOCLAIM", "x", "g", "carol", "0", "0", "COUNT", "1"],
            ["XGROUP", "CREATECONSUMER", "x", "g", "dave"], ["XGROUP", "DELCONSUMER", "x", "g", "bob"],
            ["XTRIM", "x", "MAXLEN", "=", "3"], ["XSETID", "x", "99999999999999-0", "ENTRIESADDED", "50", "MAXDELETEDID", "7-0"],
            ["MULTI"], ["SET", "m1", "1"], ["SELECT", "2"], ["SET", "m2", "2"], ["SELECT", "0"], ["INCR", "m1"], ["EXEC"],
            ["SET", "moved", "1"], ["MOVE", "moved", "3"], ["SET", "copied", "1", "EX", "1000"], ["COPY", "copied", "copied", "DB", "5"], ["SWAPDB", "5", "6"],
            ["SET", "e1", "1", "PX", "1"], ["SET", "e2", "1", "EX", "1000", "GET"], ["GETEX", "e2", "PX", "500000"], ["SET", "e3", "v"], ["EXPIRE", "e3", "100", "NX"], ["EXPIRE", "e3", "50", "GT"],
            ["SET", "e4", "v", "KEEPTTL"], ["EXPIREAT", "e4", "1"], ["SETNX", "e4", "again"], ["GETSET", "e4", "new"], ["APPEND", "e4", "er"], ["SETRANGE", "e4", "10", "z"],
            ["SORT", "by:script", "DESC", "STORE", "sorted"], ["GEOADD", "geo", "13.361389", "38.115556", "Palermo", "15.087269", "37.502669", "Catania"],
            ["GEOSEARCHSTORE", "near", "geo", "FROMLONLAT", "15", "37", "BYRADIUS", "200", "km", "STOREDIST"],
            ["PFADD", "hll", "a", "b", "c"], ["PFMERGE", "hll2", "hll"], ["PFCOUNT", "hll", "hll2"], ["BITFIELD", "bits", "INCRBY", "u8", "0", "100"], ["BITOP", "NOT", "not", "bits"],
            ["ZADD", "z", "1", "a", "2", "b", "3", "c"], ["ZMPOP", "1", "z", "MAX", "COUNT", "2"], ["ZADD", "z", "GT", "CH", "9", "a"], ["ZINCRBY", "z", "1.1", "a"],
            ["LMPOP", "1", "by:script", "LEFT"], ["HSET", "h", "f", "10.5"], ["HINCRBYFLOAT", "h", "f", "0.1"], ["INCRBYFLOAT", "float", "3.3e2"],
            ["FUNCTION", "LOAD", library.Replace("lib", "lib2").Replace("put", "put2")], ["FUNCTION", "DELETE", "lib"],
            ["FLUSHDB", "ASYNC"], ["SET", "after", "flush"], ["EVAL", "return redis.call('SET', 'x', 1)", "0"],
        ];
        foreach (string[] command in commands)
        {
            there.Call(command);
        }

        SameData.Await(there, here);

        // The same from the first copy: a new follower gets the state, not the stream.
        there.Call("XADD", "x2", "1-1", "f", "v");
        there.Call("XGROUP", "CREATE", "x2", "g", "0");
        there.Call("XREADGROUP", "GROUP", "g", "c", "STREAMS", "x2", ">");
        using ServerProcess late = Start(replica, "--replicaof", $"127.0.0.1 {leader.Port}");
        using RespClient third = late.Connect();
        AwaitUp(there, third);
        SameData.Await(there, third);
        SameData.Await(there, here);
    }

    [Theory]
    [MemberData(nameof(Pairs))]
    public void What_blocked_clients_took_and_what_expired_arrives(string master, string replica)
    {
        using ServerProcess leader = Start(master, "--repl-diskless-sync-delay", "0");
        using ServerProcess follower = Start(replica, "--replicaof", $"127.0.0.1 {leader.Port}");
        using RespClient there = leader.Connect(), here = follower.Connect(), blocked = leader.Connect();
        AwaitUp(there, here);
        string[][] waits =
        [
            ["BLPOP", "l", "0"], ["BRPOP", "l", "0"], ["BLMPOP", "0", "2", "k", "l", "LEFT", "COUNT", "2"], ["BLMOVE", "l", "to", "LEFT", "RIGHT", "0"], ["BRPOPLPUSH", "l", "to", "0"],
        ];
        foreach (string[] wait in waits)
        {
            there.Call("DEL", "l");
            Block(there, blocked, wait);
            there.Call("RPUSH", "l", "1", "2", "3");
            blocked.Read();
        }

        foreach (string[] wait in (string[][])[["BZPOPMIN", "z", "0"], ["BZPOPMAX", "z", "0"], ["BZMPOP", "0", "1", "z", "MIN", "COUNT", "5"]])
        {
            there.Call("DEL", "z");
            Block(there, blocked, wait);
            there.Call("ZADD", "z", "1", "a", "2", "b", "3", "c");
            blocked.Read();
        }

        there.Call("XGROUP", "CREATE", "x", "g", "$", "MKSTREAM");
        Block(there, blocked, ["XREADGROUP", "GROUP", "g", "c", "BLOCK", "0", "STREAMS", "x", ">"]);
        there.Call("MULTI");
        there.Call("XADD", "x", "*", "f", "v");
        there.Call("LPUSH", "l", "z");
        there.Call("EXEC");
        blocked.Read();
        for (int i = 0; i < 200; i++)
        {
            there.Call("SET", "e" + Number(i), "v", "PX", Number(1 + (i % 50)));
        }

        SameData.AwaitNothingExpires(there);
        SameData.AwaitNothingExpires(here);
        SameData.Await(there, here);
    }

    [Theory]
    [MemberData(nameof(Pairs))]
    public void Sixty_four_megabytes_in_one_value_arrive_by_copy_and_by_stream(string master, string replica)
    {
        using ServerProcess leader = Start(master, "--repl-diskless-sync-delay", "0", "--client-output-buffer-limit", "replica 0 0 0");
        using RespClient there = leader.Connect();
        byte[] big = new byte[64 << 20];
        new Random(3).NextBytes(big);
        there.Call(["SET"u8.ToArray(), "copied"u8.ToArray(), big]);
        using ServerProcess follower = Start(replica, "--replicaof", $"127.0.0.1 {leader.Port}");
        using RespClient here = follower.Connect();
        AwaitUp(there, here);
        there.Call(["SET"u8.ToArray(), "streamed"u8.ToArray(), big]);
        there.Call("APPEND", "streamed", "tail");
        Wait.Until(() => here.Call("STRLEN", "streamed").Integer == big.Length + 4);
        Assert.Equal(big, here.Call("GET", "copied").Bytes);
        SameData.Await(there, here);
    }

    [Theory]
    [MemberData(nameof(Pairs))]
    public void Killed_followers_and_leaders_come_back_to_the_same_data(string master, string replica) => Seed.Run(random =>
    {
        using ServerProcess leader = Start(master, "--repl-diskless-sync-delay", "0", "--appendonly", "yes", "--appendfsync", "always");
        using ServerProcess follower = Start(replica, "--replicaof", $"127.0.0.1 {leader.Port}", "--appendonly", "yes");
        for (int round = 0; round < 3; round++)
        {
            using RespClient there = leader.Connect();
            Write(there, random, 3_000);
            follower.Kill();
            Write(there, random, 500);
            follower.Start();
            Write(there, random, 500);
            using RespClient here = follower.Connect();
            Write(there, random, 500);
            leader.Kill();
            leader.Start();
            using RespClient again = leader.Connect();
            Write(again, random, 200);
            AwaitUp(again, here);
            SameData.Await(again, here);
        }
    });

    [Theory]
    [InlineData("leither", "redis", "yes")]
    [InlineData("redis", "leither", "yes")]
    [InlineData("redis", "leither", "no")]
    [InlineData("leither", "leither", "yes")]
    public void A_copy_that_is_cut_in_the_middle_begins_again(string master, string replica, string diskless)
    {
        using ServerProcess leader = Start(master, "--repl-diskless-sync-delay", "0", "--repl-diskless-sync", diskless);
        using RespClient there = leader.Connect();
        byte[] noise = new byte[1 << 20];
        new Random(1).NextBytes(noise);
        for (int i = 0; i < 60; i++)
        {
            there.Call(["SET"u8.ToArray(), System.Text.Encoding.ASCII.GetBytes("k" + Number(i)), noise]);
        }

        using ServerProcess follower = Start(replica);
        using RespClient here = follower.Connect();
        here.Call("SET", "own", "goes");
        here.Call("REPLICAOF", "127.0.0.1", Number(leader.Port));
        for (int cut = 0; cut < 4; cut++)
        {
            Wait.Until(() => there.Call("INFO", "replication").Text.Contains("connected_slaves:1", StringComparison.Ordinal));
            there.Call("CLIENT", "KILL", "TYPE", "replica");
            there.Call("SET", "cut", Number(cut));
        }

        AwaitUp(there, here);
        SameData.Await(there, here);
        Assert.Equal(0, here.Call("EXISTS", "own").Integer);
    }

    [Theory]
    [MemberData(nameof(Pairs))]
    public void A_short_cut_costs_a_part_and_a_long_one_everything(string master, string replica)
    {
        using ServerProcess leader = Start(master, "--repl-diskless-sync-delay", "0", "--repl-backlog-size", "16kb");
        using ServerProcess follower = Start(replica, "--replicaof", $"127.0.0.1 {leader.Port}");
        using RespClient there = leader.Connect(), here = follower.Connect();
        AwaitUp(there, here);
        there.Call("SET", "a", "1");
        SameData.Await(there, here);
        there.Call("CLIENT", "KILL", "TYPE", "replica");
        there.Call("SET", "a", "2");
        AwaitUp(there, here);
        SameData.Await(there, here);
        Assert.Contains("sync_full:1", there.Call("INFO", "stats").Text, StringComparison.Ordinal);
        Assert.Contains("sync_partial_ok:1", there.Call("INFO", "stats").Text, StringComparison.Ordinal);

        // In one transaction with the cut, the follower cannot come back before the backlog has run over.
        there.Queue("CLIENT", "KILL", "TYPE", "replica");
        there.Queue("SET", "a", new string('x', 40_000));
        there.Queue("SET", "b", new string('y', 40_000));
        there.Flush();
        for (int i = 0; i < 3; i++)
        {
            there.Read();
        }

        AwaitUp(there, here);
        SameData.Await(there, here);
        Assert.Contains("sync_full:2", there.Call("INFO", "stats").Text, StringComparison.Ordinal);
        Assert.Contains("sync_partial_err:1", there.Call("INFO", "stats").Text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_chain_of_three_hands_the_stream_on_and_outlives_its_head()
    {
        using ServerProcess head = Start("redis", "--repl-diskless-sync-delay", "0");
        using ServerProcess middle = Start("leither", "--replicaof", $"127.0.0.1 {head.Port}");
        using RespClient first = head.Connect(), second = middle.Connect();
        AwaitUp(first, second);
        using ServerProcess tail = Start("redis", "--replicaof", $"127.0.0.1 {middle.Port}");
        using RespClient third = tail.Connect();
        AwaitUp(second, third);
        Write(first, new Random(5), 1_000);
        SameData.Await(first, second);
        SameData.Await(first, third);
        Assert.Equal(Field(first, "master_replid"), Field(third, "master_replid"));

        // The middle becomes the head, and its follower goes on without a copy.
        head.Kill();
        Assert.Equal("OK", second.Call("REPLICAOF", "NO", "ONE").Text);
        second.Call("SET", "new", "head");
        SameData.Await(second, third);
        Assert.Contains("sync_full:1", second.Call("INFO", "stats").Text, StringComparison.Ordinal);
        Assert.NotEqual(new string('0', 40), Field(second, "master_replid2"));
    }

    [Theory]
    [MemberData(nameof(Pairs))]
    public void ROLE_and_INFO_say_what_Redis_says(string master, string replica)
    {
        using ServerProcess leader = Start(master, "--repl-diskless-sync-delay", "0", "--min-replicas-to-write", "1");
        using ServerProcess follower = Start(replica, "--replicaof", $"127.0.0.1 {leader.Port}");
        using ServerProcess judge = Start("redis", "--min-replicas-to-write", "1"), judgesFollower = Start("redis", "--replicaof", $"127.0.0.1 {judge.Port}");
        using RespClient there = leader.Connect(), here = follower.Connect(), judged = judge.Connect(), judgedHere = judgesFollower.Connect();
        AwaitUp(there, here);
        AwaitUp(judged, judgedHere);
        Assert.Equal(Names(judged), Names(there));
        Assert.Equal(Names(judgedHere), Names(here));
        there.Call("SET", "a", "b");
        SameData.Await(there, here);
        Wait.Until(() => there.Call("ROLE") is var role && role[2].Items.Length == 1 && role[1].Text == role[2][0][2].Text);
        Assert.Equal(["127.0.0.1", Number(follower.Port)], there.Call("ROLE")[2][0].Items.Take(2).Select(static i => i.Text));
        Assert.Equal(["slave", "127.0.0.1", Number(leader.Port), "connected"], here.Call("ROLE").Items.Take(4).Select(static i => i.Text));
        Assert.Equal(Field(there, "master_replid"), Field(here, "master_replid"));
        Assert.Matches($"slave0:ip=127.0.0.1,port={follower.Port},state=online,offset=[0-9]+,lag=[0-9]+\r\n", there.Call("INFO", "replication").Text);
        Assert.Contains(" flags=S ", there.Call("CLIENT", "LIST", "TYPE", "replica").Text, StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Pairs))]
    public void Settings_decide_what_is_written_and_read_where(string master, string replica)
    {
        using ServerProcess leader = Start(master, "--repl-diskless-sync-delay", "0");
        using ServerProcess follower = Start(replica, "--replicaof", $"127.0.0.1 {leader.Port}");
        using RespClient there = leader.Connect(), here = follower.Connect();
        AwaitUp(there, here);
        Assert.Equal("READONLY You can't write against a read only replica.", here.Call("SET", "a", "b").Text);
        Assert.Equal("READONLY You can't write against a read only replica.", here.Call("EVAL", "return redis.pcall('SET', 'a', 'b').err", "0") is { IsError: true } e ? e.Text : here.Call("EVAL", "return redis.pcall('SET', 'a', 'b').err", "0").Text);
        Assert.Equal("OK", here.Call("CONFIG", "SET", "replica-read-only", "no").Text);
        Assert.Equal("OK", here.Call("SET", "own", "b").Text);
        Assert.Equal("b", here.Call("GET", "own").Text);
        Assert.Equal(0, there.Call("EXISTS", "own").Integer);
        here.Call("CONFIG", "SET", "replica-read-only", "yes");

        there.Call("CONFIG", "SET", "min-replicas-to-write", "2");
        Assert.Equal("NOREPLICAS Not enough good replicas to write.", there.Call("SET", "a", "b").Text);
        there.Call("CONFIG", "SET", "min-replicas-to-write", "1");
        Assert.Equal("OK", there.Call("SET", "a", "b").Text);
        AwaitValue(here, "a", "b");

        here.Call("CONFIG", "SET", "replica-serve-stale-data", "no");
        Assert.Equal("b", here.Call("GET", "a").Text);
        leader.Kill();
        Wait.Until(() => here.Call("GET", "a").Text == "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.");
        Assert.Contains("master_link_status:down", here.Call("INFO", "replication").Text, StringComparison.Ordinal);
        here.Call("CONFIG", "SET", "replica-serve-stale-data", "yes");
        Assert.Equal("b", here.Call("GET", "a").Text);
        Assert.Equal("OK", here.Call("REPLICAOF", "NO", "ONE").Text);
        Assert.Equal("OK", here.Call("SET", "a", "c").Text);
    }

    [Theory]
    [MemberData(nameof(Pairs))]
    public void WAIT_counts_who_has_it(string master, string replica)
    {
        using ServerProcess leader = Start(master, "--repl-diskless-sync-delay", "0");
        using ServerProcess follower = Start(replica, "--replicaof", $"127.0.0.1 {leader.Port}");
        using RespClient there = leader.Connect(), here = follower.Connect();
        AwaitUp(there, here);
        for (int i = 0; i < 20; i++)
        {
            there.Call("INCR", "n");
            Assert.Equal(1, there.Call("WAIT", "1", "50000").Integer);
            Assert.Equal(Number(i + 1), here.Call("GET", "n").Text);
        }

        Assert.Equal(1, there.Call("WAIT", "2", "50").Integer);
        Assert.StartsWith("ERR WAIT cannot be used with replica instances.", here.Call("WAIT", "1", "1").Text, StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Pairs))]
    public void FAILOVER_hands_the_part_over_without_a_lost_write(string master, string replica)
    {
        using ServerProcess leader = Start(master, "--repl-diskless-sync-delay", "0");
        using ServerProcess follower = Start(replica);
        using RespClient there = leader.Connect(), here = follower.Connect(), writer = leader.Connect();
        Assert.Equal("ERR FAILOVER requires connected replicas.", there.Call("FAILOVER").Text);
        Assert.Equal("ERR No failover in progress.", there.Call("FAILOVER", "ABORT").Text);
        Assert.Equal("ERR FAILOVER timeout must be greater than 0", there.Call("FAILOVER", "TIMEOUT", "0").Text);
        Assert.Equal("ERR syntax error", there.Call("FAILOVER", "TO", "host").Text);
        here.Call("REPLICAOF", "127.0.0.1", Number(leader.Port));
        AwaitUp(there, here);
        Assert.Equal("ERR FAILOVER target HOST and PORT is not a replica.", there.Call("FAILOVER", "TO", "127.0.0.1", "1").Text);
        Assert.Equal("ERR FAILOVER with force option requires both a timeout and target HOST and IP.", there.Call("FAILOVER", "TO", "127.0.0.1", Number(follower.Port), "FORCE").Text);
        Assert.Equal("ERR FAILOVER is not valid when server is a replica.", here.Call("FAILOVER").Text);
        Assert.Equal("ERR PSYNC FAILOVER can't be sent to a master.", writer.Call("PSYNC", "x", "1", "FAILOVER").Text);
        for (int i = 0; i < 500; i++)
        {
            there.Call("RPUSH", "l", Number(i));
        }

        Assert.Equal("OK", there.Call("FAILOVER", "TO", "127.0.0.1", Number(follower.Port), "TIMEOUT", "50000").Text);
        Wait.Until(() => Field(here, "role") == "master" && Field(there, "role") == "slave");
        AwaitUp(here, there);
        Assert.Equal("no-failover", Field(there, "master_failover_state"));
        Assert.Equal(500, here.Call("LLEN", "l").Integer);
        Assert.StartsWith("READONLY", there.Call("SET", "a", "b").Text, StringComparison.Ordinal);
        here.Call("SET", "a", "b");
        SameData.Await(here, there);
        Assert.Contains("sync_full:0", here.Call("INFO", "stats").Text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_failover_that_cannot_be_is_given_up_and_writes_go_on()
    {
        using ServerProcess leader = Start("leither");
        using ServerProcess follower = Start("redis", "--replicaof", $"127.0.0.1 {leader.Port}");
        using RespClient there = leader.Connect(), here = follower.Connect(), writer = leader.Connect();
        AwaitUp(there, here);
        follower.Freeze();
        there.Call("SET", "a", "1");
        Assert.Equal("OK", there.Call("FAILOVER").Text);
        Assert.Equal("waiting-for-sync", Field(there, "master_failover_state"));
        Assert.Equal("ERR FAILOVER already in progress.", there.Call("FAILOVER").Text);
        Assert.Equal("ERR REPLICAOF not allowed while failing over.", there.Call("REPLICAOF", "NO", "ONE").Text);
        writer.Queue("SET", "a", "2");
        writer.Flush();
        Assert.Equal("1", there.Call("GET", "a").Text);
        Assert.Equal("OK", there.Call("FAILOVER", "ABORT").Text);
        Assert.Equal("OK", writer.Read().Text);
        Assert.Equal("OK", there.Call("FAILOVER", "TIMEOUT", "100").Text);
        Assert.Equal("OK", there.Call("SET", "a", "3").Text);
        Assert.Equal("master", Field(there, "role"));
        follower.Thaw();
        AwaitValue(here, "a", "3");
    }

    [Fact]
    public void A_pause_holds_neither_the_masters_stream_nor_what_replicas_say()
    {
        using ServerProcess leader = Start("redis", "--repl-diskless-sync-delay", "0");
        using ServerProcess follower = Start("leither", "--replicaof", $"127.0.0.1 {leader.Port}");
        using RespClient there = leader.Connect(), here = follower.Connect();
        AwaitUp(there, here);
        here.Call("CLIENT", "PAUSE", "100000", "WRITE");
        there.Call("SET", "a", "1");
        there.Call("INCR", "a");
        AwaitValue(here, "a", "2");
        here.Call("CLIENT", "UNPAUSE");
        SameData.Await(there, here);
    }

    [Theory]
    [InlineData("leither")]
    [InlineData("redis")]
    public void A_busy_script_holds_the_masters_stream_and_nothing_of_it_is_lost(string replica)
    {
        using ServerProcess leader = Start("redis", "--repl-diskless-sync-delay", "0");
        using ServerProcess follower = Start(replica, "--replicaof", $"127.0.0.1 {leader.Port}", "--busy-reply-threshold", "10");
        using RespClient there = leader.Connect(), here = follower.Connect(), running = follower.Connect();
        AwaitUp(there, here);
        there.Call("SET", "n", "0");
        AwaitValue(here, "n", "0");
        running.Queue("EVAL", "while true do end", "0");
        running.Flush();
        Wait.Until(() => here.Call("GET", "n").Text.StartsWith("BUSY", StringComparison.Ordinal));
        for (int i = 0; i < 10; i++)
        {
            there.Call("INCR", "n");
            // Each is a turn in which the stream could come in.
            here.Call("PING");
        }

        Assert.Equal("OK", here.Call("SCRIPT", "KILL").Text);
        Assert.True(running.Read().IsError);
        AwaitValue(here, "n", "10");
        SameData.Await(there, here);
    }

    [Theory]
    [InlineData("leither")]
    [InlineData("redis")]
    public void Who_was_answered_in_the_turn_in_which_a_script_began_does_not_wait_for_its_end(string kind)
    {
        using ServerProcess server = Start(kind, "--busy-reply-threshold", "10", "--appendonly", "yes");
        using RespClient running = server.Connect();
        RespClient[] others = [.. Enumerable.Range(0, 10).Select(_ => server.Connect())];
        foreach (RespClient other in others.Append(running)) Assert.Equal("PONG", other.Call("PING").Text);
        // All of it lies there when the server goes on: one turn.
        server.Freeze();
        foreach (RespClient other in others)
        {
            other.Queue("INCR", "n");
            other.Flush();
        }

        running.Queue("EVAL", "while true do end", "0");
        running.Flush();
        server.Thaw();
        foreach (RespClient other in others) Assert.Matches("^([0-9]+|BUSY .*)$", other.Read().Text);
        RespClient first = others[0];
        Wait.Until(() => first.Call("SCRIPT", "KILL").Text == "OK");
        Assert.True(running.Read().IsError);
        foreach (RespClient other in others) other.Dispose();
    }

    [Fact]
    public void Sentinel_and_cluster_are_refused_in_words()
    {
        using ServerProcess leither = Start("leither");
        using RespClient client = leither.Connect();
        Assert.StartsWith("ERR unknown command 'SENTINEL'", client.Call("SENTINEL", "MASTERS").Text, StringComparison.Ordinal);
        Assert.Equal("ERR This instance has cluster support disabled", client.Call("CLUSTER", "NODES").Text);
    }

    private static ServerProcess Start(string kind, params string[] arguments) =>
        kind == "redis" ? RedisServer.StartNew([.. Debug, .. arguments]) : LeitherServer.StartNew([.. Debug, .. arguments]);

    private static string Number(long value) => value.ToString(CultureInfo.InvariantCulture);

    private static string Field(RespClient client, string name) =>
        Regex.Match(client.Call("INFO", "replication").Text, $"^{name}:([^\r]*)", RegexOptions.Multiline).Groups[1].Value;

    private static string[] Names(RespClient client) =>
        [.. client.Call("INFO", "replication").Text.Split("\r\n").Where(static l => l.Contains(':', StringComparison.Ordinal)).Select(static l => l.Split(':')[0])];

    /// <summary>Waits until both say that the replica follows: each learns it at a moment of its own.</summary>
    private static void AwaitUp(RespClient master, RespClient replica) => Wait.Until(
        () => Field(replica, "master_link_status") == "up" && Regex.Matches(master.Call("INFO", "replication").Text, ",state=([a-z_]+),") is { Count: > 0 } states && states.All(static s => s.Groups[1].Value == "online"),
        () => $"{master.Call("INFO", "replication").Text}\n{replica.Call("INFO", "replication").Text}");

    private static void AwaitValue(RespClient client, string key, string value) => Wait.Until(() => client.Call("GET", key).Text == value);

    private static void Block(RespClient control, RespClient client, string[] command)
    {
        client.Queue(command);
        client.Flush();
        Wait.Until(() => control.Call("INFO", "clients").Text.Contains("blocked_clients:1", StringComparison.Ordinal));
    }

    private static void Write(RespClient client, Random random, int count)
    {
        for (int i = 0; i < count; i++)
        {
            string key = "k" + Number(random.Next(200)), n = Number(random.Next(1000));
            client.Queue(random.Next(6) switch
            {
                0 => ["SET", key, n],
                1 => ["RPUSH", "l" + key, n],
                2 => ["ZADD", "z" + key, n, n],
                3 => ["HSET", "h" + key, n, n],
                4 => ["DEL", key, "l" + key],
                _ => ["SADD", "s" + key, n],
            });
        }

        client.Flush();
        for (int i = 0; i < count; i++)
        {
            client.Read();
        }
    }
}
