using System.Globalization;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Commands;

public sealed class InteractiveTransactionTests : IDisposable
{
    private const string Conflict = "-ABORTED a key that the transaction touched was changed by another client; nothing was done, begin again";

    private readonly InProcess _db = new(recording: true);
    private readonly InProcess.Client _other;

    public InteractiveTransactionTests() => _other = _db.Connect();

    public void Dispose() => _db.Dispose();

    private ulong Entries => _db.Server.DefaultMimei.Log!.LastSequence;

    [Fact]
    public void A_transaction_sees_its_own_writes_and_nobody_else_does_before_COMMIT()
    {
        _db.Prepare("SET a 1", "RPUSH l x y");
        Assert.Equal("+OK", _db.Run("BEGIN"));
        Assert.Equal(":2", _db.Run("INCR a"));
        Assert.Equal(":3", _db.Run("RPUSH l z"));
        Assert.Equal("\"2\"", _db.Run("GET a"));
        Assert.Equal("""["x", "y", "z"]""", _db.Run("LRANGE l 0 -1"));
        Assert.Equal("\"1\"", _other.Run("GET a"));
        Assert.Equal(":2", _other.Run("LLEN l"));
        Assert.Equal("+OK", _db.Run("COMMIT"));
        Assert.Equal("\"2\"", _other.Run("GET a"));
        Assert.Equal(":3", _other.Run("LLEN l"));
    }

    [Fact]
    public void COMMIT_is_one_entry_of_the_log_and_replay_gives_the_same()
    {
        _db.Prepare("SET a 1", "HSET h f v");
        ulong before = Entries;
        _db.Prepare("BEGIN", "INCR a", "SELECT 3", "SET b x", "XADD s * f v", "SELECT 0", "HSET h g w", "DEL a", "ZADD z 1 m", "COPY h k DB 5", "MOVE h 7");
        Assert.Equal(before, Entries);
        _db.Prepare("COMMIT");
        Assert.Equal(before + 1, Entries);
        string contents = _db.Contents();
        Assert.Contains("3 \"b\"", contents, StringComparison.Ordinal);
        Assert.Contains("7 \"h\"", contents, StringComparison.Ordinal);
        using InProcess replayed = _db.Replay();
        Assert.Equal(contents, replayed.Contents());
    }

    [Fact]
    public void ROLLBACK_and_a_lost_connection_leave_nothing_behind()
    {
        _db.Prepare("SET a 1");
        string contents = _db.Contents();
        ulong before = Entries;
        _db.Prepare("BEGIN", "INCR a", "SET b 1", "ROLLBACK");
        Assert.Equal("\"1\"", _db.Run("GET a"));
        _other.Run("BEGIN");
        _other.Run("SET a 5");
        _db.Server.Close(_other.Session);
        Assert.Equal(contents, _db.Contents());
        Assert.Equal(before, Entries);
        Assert.Empty(_db.Server.Interactive);
        Assert.Equal(0, _db.Keyspace.ChangeListeners);
    }

    [Theory]
    [InlineData("GET a", "SET a 2")]
    [InlineData("SET a 9", "DEL a")]
    [InlineData("EXISTS none", "SET none 1")]
    [InlineData("HGET h f", "HSET h g 1")]
    [InlineData("SET none 1", "SET none 2")]
    [InlineData("SINTERSTORE d s1 s2", "SADD s2 x")]
    [InlineData("EVAL \"return redis.call('get', 'a')\" 0", "APPEND a x")]
    [InlineData("GET a", "FLUSHALL")]
    [InlineData("GET a", "SWAPDB 0 1")]
    [InlineData("RENAME a b", "SET b 1")]
    public void COMMIT_fails_when_a_touched_key_was_changed_by_another(string inside, string outside)
    {
        _db.Prepare("SET a 1", "HSET h f 1", "SADD s1 x", "BEGIN", inside, "SET mine 1");
        _other.Run(outside);
        string contents = _db.Contents();
        Assert.Equal(Conflict, _db.Run("COMMIT"));
        Assert.Equal(contents, _db.Contents());
        Assert.Equal("-ERR COMMIT without BEGIN", _db.Run("COMMIT"));
    }

    [Fact]
    public void After_a_conflict_every_command_is_refused_so_that_what_was_seen_together_existed_together()
    {
        _db.Prepare("SET a 1", "SET b 1", "BEGIN", "GET a");
        _other.Run("MSET a 2 b 2");
        Assert.Equal(Conflict, _db.Run("GET b"));
        Assert.Equal("+PONG", _db.Run("PING"));
        Assert.Equal(Conflict, _db.Run("SET c 1"));
        Assert.Equal("-ERR BEGIN calls can not be nested", _db.Run("BEGIN"));
        Assert.Equal("+OK", _db.Run("ROLLBACK"));
        Assert.Equal("\"2\"", _db.Run("GET b"));
    }

    [Fact]
    public void Changes_of_keys_that_were_not_touched_are_no_conflict()
    {
        _db.Prepare("SET a 1", "SET b 1", "BEGIN", "INCR a");
        _other.Run("INCR b");
        Assert.Equal("\"2\"", _db.Run("GET b"));
        Assert.Equal("+OK", _db.Run("COMMIT"));
    }

    [Fact]
    public void A_transaction_whose_time_is_over_is_rolled_back()
    {
        _db.Prepare("BEGIN 50", "SET a 1");
        _db.Clock.Advance(60);
        const string late = "-ABORTED the transaction's 50 milliseconds are over; nothing was done, ROLLBACK ends it";
        Assert.Equal(late, _db.Run("GET a"));
        Assert.Equal(late, _db.Run("COMMIT"));
        Assert.Equal("nil", _db.Run("GET a"));
        Assert.Equal("-ERR timeout is out of range", _db.Run("BEGIN 0"));
        Assert.Equal("-ERR wrong number of arguments for 'begin' command", _db.Run("BEGIN 1 2"));
    }

    [Fact]
    public void The_periodic_work_frees_what_a_late_transaction_holds_before_its_client_comes_again()
    {
        _db.Prepare("BEGIN 50", "SET a 1");
        _db.Clock.Advance(60);
        _db.Server.Cron(_db.Clock.NowMs);
        Assert.Equal(0, _db.Default.Session.QueuedBytes);
        Assert.Same(_db.Keyspace, _db.Default.Session.Keyspace);
        Assert.StartsWith("-ABORTED", _db.Run("COMMIT"), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("MULTI")]
    [InlineData("WATCH a")]
    [InlineData("UNWATCH")]
    [InlineData("FLUSHALL")]
    [InlineData("SWAPDB 0 1")]
    [InlineData("SUBSCRIBE c")]
    [InlineData("PUBLISH c m")]
    [InlineData("MIMEI LIST")]
    [InlineData("CONFIG GET maxmemory")]
    [InlineData("SCRIPT FLUSH")]
    [InlineData("FUNCTION FLUSH")]
    [InlineData("ZADDWITHSEQ z m")]
    [InlineData("HELLO 3")]
    [InlineData("AUTH x")]
    [InlineData("MONITOR")]
    public void What_acts_on_more_than_keys_is_refused_and_the_transaction_goes_on(string command)
    {
        _db.Prepare("BEGIN", "SET a 1");
        string name = command.StartsWith("CONFIG", StringComparison.Ordinal) || command.StartsWith("MIMEI", StringComparison.Ordinal)
            || command.StartsWith("SCRIPT", StringComparison.Ordinal) || command.StartsWith("FUNCTION", StringComparison.Ordinal)
            ? string.Join('|', command.Split(' ')[..2]) : command.Split(' ')[0];
        Assert.Equal($"-ERR '{name.ToLowerInvariant()}' is not possible between BEGIN and COMMIT", _db.Run(command));
        Assert.Equal("+OK", _db.Run("COMMIT"));
        Assert.Equal("\"1\"", _db.Run("GET a"));
    }

    [Fact]
    public void A_script_runs_in_the_view_and_may_not_do_what_the_transaction_may_not()
    {
        _db.Prepare("SET a 1", "BEGIN");
        Assert.Equal(":2", _db.Run("EVAL \"return redis.call('incr', KEYS[1])\" 1 a"));
        Assert.StartsWith("-ERR 'flushall' is not possible between BEGIN and COMMIT", _db.Run("EVAL \"return redis.call('flushall')\" 0"), StringComparison.Ordinal);
        Assert.Equal("\"1\"", _other.Run("GET a"));
        Assert.Equal("+OK", _db.Run("COMMIT"));
        Assert.Equal("\"2\"", _other.Run("GET a"));
    }

    [Fact]
    public void BEGIN_is_refused_in_MULTI_and_nests_not()
    {
        _db.Prepare("MULTI");
        Assert.Equal("-ERR Command not allowed inside a transaction", _db.Run("BEGIN"));
        Assert.StartsWith("-EXECABORT", _db.Run("EXEC"), StringComparison.Ordinal);
        Assert.Equal("-ERR ROLLBACK without BEGIN", _db.Run("ROLLBACK"));
        _db.Prepare("BEGIN");
        Assert.Equal("-ERR BEGIN calls can not be nested", _db.Run("BEGIN"));
    }

    [Fact]
    public void Keys_watched_before_BEGIN_count_as_touched()
    {
        _db.Prepare("WATCH a", "BEGIN", "SET b 1");
        _other.Run("SET a 1");
        Assert.Equal(Conflict, _db.Run("COMMIT"));
    }

    [Fact]
    public void Walks_show_the_MiMei_as_the_transaction_sees_it()
    {
        var expected = new SortedSet<string>(StringComparer.Ordinal);
        for (int i = 0; i < 500; i++)
        {
            _db.Run($"SET k{i} v");
        }

        _db.Prepare("BEGIN");
        for (int i = 0; i < 500; i += 3)
        {
            _db.Run($"DEL k{i}");
        }

        for (int i = 490; i < 700; i++)
        {
            _db.Run($"SET k{i} w");
        }

        for (int i = 0; i < 700; i++)
        {
            if (i % 3 != 0 || i >= 490)
            {
                expected.Add($"k{i}");
            }
        }

        Assert.Equal($":{expected.Count}", _db.Run("DBSIZE"));
        Assert.Equal(expected, Names("KEYS *"));
        Assert.Equal(expected, Names("KEYSCAN \"\" COUNT 1000"));
        var scanned = new List<string>();
        string cursor = "0";
        do
        {
            _db.Default.Send(Quoting.Split($"SCAN {cursor} COUNT 7"));
            Resp.RespReply reply = _db.Default.TakeReply()!;
            cursor = reply.Elements[0].Text;
            scanned.AddRange(reply.Elements[1].Elements.Select(static key => key.Text));
        }
        while (cursor != "0");
        Assert.Equal(expected, scanned.ToHashSet(StringComparer.Ordinal).Order(StringComparer.Ordinal));
        Assert.Equal(expected.Count, scanned.Count);
        for (int i = 0; i < 100; i++)
        {
            Assert.Contains(_db.Run("RANDOMKEY").Trim('"'), expected);
        }

        Assert.Equal(":500", _other.Run("DBSIZE"));
    }

    [Fact]
    public void Blocking_commands_do_not_wait_inside_and_clients_that_wait_are_served_at_COMMIT()
    {
        _other.Send(Quoting.Split("BLPOP l 0"));
        _db.Prepare("BEGIN", "RPUSH l x");
        Assert.Null(_other.Take());
        Assert.Equal("nil-array", _db.Run("BLPOP none 0"));
        Assert.Equal("+OK", _db.Run("COMMIT"));
        Assert.Equal("""["l", "x"]""", _other.Take());
    }

    [Fact]
    public void Keyspace_events_are_told_at_COMMIT_in_their_order_and_once()
    {
        _db.ListenToEvents();
        _db.Prepare("SET a 1");
        _db.Events.Clear();
        _db.Prepare("BEGIN", "GET a", "INCR a", "SET b 1", "EXPIRE b 100", "DEL a", "LPUSH l x");
        Assert.Empty(_db.Events);
        _db.Prepare("COMMIT");
        Assert.Equal(["incrby a", "new b", "set b", "expire b", "del a", "new l", "lpush l"], _db.Events);
    }

    [Fact]
    public void A_touched_key_that_expires_is_a_conflict_and_one_that_had_expired_is_not_there()
    {
        _db.Prepare("SET a 1 PX 100", "SET gone 1 PX 10");
        _db.Clock.Advance(20);
        _db.Prepare("BEGIN");
        Assert.Equal("nil", _db.Run("GET gone"));
        Assert.Equal(":1", _db.Run("INCR gone"));
        Assert.Equal("+OK", _db.Run("COMMIT"));
        Assert.Equal("\"1\"", _db.Run("GET gone"));
        Assert.Equal(":-1", _db.Run("TTL gone"));

        _db.Prepare("BEGIN", "GET a", "SET b 1");
        _db.Clock.Advance(100);
        Assert.Equal(Conflict, _db.Run("COMMIT"));
        Assert.Equal("nil", _db.Run("GET b"));
    }

    [Fact]
    public void A_field_that_expires_in_a_touched_hash_is_a_conflict()
    {
        _db.Prepare("HSET h f 1 g 2", "HPEXPIRE h 50 FIELDS 1 f", "BEGIN", "HGET h g", "SET b 1");
        _db.Clock.Advance(60);
        Assert.Equal(Conflict, _db.Run("COMMIT"));
    }

    [Fact]
    public void What_expires_inside_stays_expired()
    {
        _db.Prepare("BEGIN", "SET a 1 PX 10", "APPEND a 2");
        _db.Clock.Advance(20);
        Assert.Equal("nil", _db.Run("GET a"));
        Assert.Equal(":1", _db.Run("APPEND a x"));
        _db.Prepare("SET b 1 PX 10", "APPEND b 2");
        _db.Clock.Advance(20);
        _db.Prepare("COMMIT");
        Assert.Equal("\"x\"", _db.Run("GET a"));
        Assert.Equal("nil", _db.Run("GET b"));
    }

    [Fact]
    public void A_transaction_holds_no_more_than_it_may_and_what_it_saw_beyond_is_not_replied()
    {
        _db.Prepare("CONFIG SET transaction-max-memory 65536", $"SET small x", $"SET big {new string('x', 100_000)}");
        _db.Prepare("BEGIN", "GET small");
        Assert.StartsWith("-ABORTED the transaction would hold more than transaction-max-memory (65536 bytes)", _db.Run("STRLEN big"), StringComparison.Ordinal);
        Assert.StartsWith("-ABORTED", _db.Run("COMMIT"), StringComparison.Ordinal);
        _db.Prepare("BEGIN");
        Assert.StartsWith("-ABORTED", _db.Run($"SET mine {new string('y', 100_000)}"), StringComparison.Ordinal);
        Assert.Equal("+OK", _db.Run("ROLLBACK"));
        Assert.Equal(":100000", _db.Run("STRLEN big"));
        Assert.Equal("nil", _db.Run("GET mine"));
    }

    [Theory]
    [InlineData("RPUSH c", "LLEN c")]
    [InlineData("SADD c", "SCARD c")]
    [InlineData("HSET c", "HLEN c")]
    [InlineData("XADD c *", "XLEN c")]
    public void A_collection_that_is_too_large_to_copy_is_refused(string add, string look)
    {
        _db.Prepare("CONFIG SET transaction-max-elements 5");
        for (int i = 0; i < 6; i++)
        {
            _db.Prepare(add.StartsWith('H') || add.StartsWith('X') ? $"{add} {i} v" : $"{add} {i}");
        }

        _db.Prepare("BEGIN");
        Assert.StartsWith("-ABORTED the transaction would copy a collection of 6 elements, which is more than transaction-max-elements (5)", _db.Run(look), StringComparison.Ordinal);
        Assert.Equal("+OK", _db.Run("ROLLBACK"));
        Assert.Equal(":6", _db.Run(look));
    }

    [Fact]
    public void Values_of_every_layout_are_copied_and_committed()
    {
        _db.Prepare("CONFIG SET transaction-max-memory 64mb");
        for (int i = 0; i < 2000; i++)
        {
            _db.Run($"RPUSH list {i}");
            _db.Run($"HSET hash f{i} {i}");
            _db.Run($"SADD set m{i}");
            _db.Run($"SADD ints {i}");
            _db.Run($"ZADD zset {i} m{i}");
            _db.Run($"XADD stream {i + 1}-0 f {i}");
            _db.Run($"HSET times f{i} {i}");
        }

        _db.Prepare("XGROUP CREATE stream g 0", "XREADGROUP GROUP g c COUNT 10 STREAMS stream >", "HPEXPIRE times 100000 FIELDS 2 f1 f2", $"SET big {new string('x', 50_000)}");
        string[] writes =
        [
            "LPOP list 3", "HDEL hash f1", "HSET hash f2 x", "SREM set m1", "SADD ints x", "ZINCRBY zset 2.5 m7", "XADD stream 5000-0 a b", "XACK stream g 1-0",
            "HPERSIST times FIELDS 1 f1", "HDEL times f9", "APPEND big y", "RENAME set other", "SUNIONSTORE union other ints", "ZUNIONSTORE zu 1 zset", "LMOVE list list2 RIGHT LEFT", "SORT list2 STORE sorted",
        ];
        using var plain = new InProcess();
        _db.Prepare(["BEGIN", .. writes]);
        string[] asSeen = [.. new[] { "LRANGE list 0 -1", "HGET hash f2", "SCARD other", "ZSCORE zset m7", "XLEN stream", "HLEN times", "STRLEN big", "SCARD union" }.Select(_db.Run)];
        _db.Prepare("COMMIT");
        Assert.Equal(asSeen, new[] { "LRANGE list 0 -1", "HGET hash f2", "SCARD other", "ZSCORE zset m7", "XLEN stream", "HLEN times", "STRLEN big", "SCARD union" }.Select(_db.Run));
        string contents = _db.Contents();
        using InProcess replayed = _db.Replay();
        Assert.Equal(contents, replayed.Contents());
    }

    [Fact]
    public void Committed_transactions_are_as_if_run_one_after_another_in_the_order_of_their_commits() => Seed.Run(random =>
    {
        using var db = new InProcess(recording: true);
        using var model = new InProcess();
        InProcess.Client[] clients = [.. Enumerable.Range(0, 4).Select(_ => db.Connect())];
        var pending = new List<(string Command, string Reply)>?[clients.Length];
        int committed = 0, aborted = 0;
        for (int step = 0; step < 6000; step++)
        {
            int who = random.Next(clients.Length);
            if (pending[who] is not { } done)
            {
                if (random.Next(3) == 0)
                {
                    string alone = RandomCommand(random);
                    Assert.Equal(model.Run(alone), clients[who].Run(alone));
                }
                else
                {
                    Assert.Equal("+OK", clients[who].Run("BEGIN"));
                    pending[who] = [];
                }
            }
            else if (random.Next(6) == 0)
            {
                pending[who] = null;
                if (random.Next(5) == 0)
                {
                    Assert.Equal("+OK", clients[who].Run("ROLLBACK"));
                    continue;
                }

                string reply = clients[who].Run("COMMIT");
                if (reply == Conflict)
                {
                    aborted++;
                    continue;
                }

                Assert.Equal("+OK", reply);
                committed++;
                foreach ((string command, string was) in done)
                {
                    Assert.Equal($"{command}: {was}", $"{command}: {model.Run(command)}");
                }
            }
            else
            {
                string command = RandomCommand(random), reply = clients[who].Run(command);
                if (reply == Conflict)
                {
                    aborted++;
                    pending[who] = null;
                    Assert.Equal("+OK", clients[who].Run("ROLLBACK"));
                }
                else
                {
                    done.Add((command, reply));
                }
            }
        }

        Assert.True(committed > 100 && aborted > 50, string.Create(CultureInfo.InvariantCulture, $"{committed} committed, {aborted} aborted"));
        foreach (InProcess.Client client in clients)
        {
            client.Run("ROLLBACK");
        }

        string contents = db.Contents();
        Assert.Equal(model.Contents(), contents);
        Assert.Equal(0, db.Keyspace.ChangeListeners);
        using InProcess replayed = db.Replay();
        Assert.Equal(contents, replayed.Contents());
    });

    private static string RandomCommand(Random random)
    {
        string S() => $"s{random.Next(12)}";
        string L() => $"l{random.Next(6)}";
        string H() => $"h{random.Next(6)}";
        string U() => $"u{random.Next(6)}";
        string Z() => $"z{random.Next(6)}";
        int n = random.Next(20);
        return random.Next(22) switch
        {
            0 => $"SET {S()} {n}",
            1 => $"INCR {S()}",
            2 => $"GET {S()}",
            3 => $"APPEND {S()} {n}",
            4 => $"DEL {S()} {L()}",
            5 => $"RPUSH {L()} {n}",
            6 => $"LPOP {L()}",
            7 => $"LRANGE {L()} 0 -1",
            8 => $"LMOVE {L()} {L()} LEFT RIGHT",
            9 => $"HSET {H()} f{n} {n}",
            10 => $"HDEL {H()} f{n}",
            11 => $"HINCRBY {H()} f{n} 3",
            12 => $"HGET {H()} f{n}",
            13 => $"SADD {U()} {n}",
            14 => $"SUNIONSTORE {U()} {U()} {U()}",
            15 => $"SMOVE {U()} {U()} {n}",
            16 => $"ZADD {Z()} {random.Next(9)} m{n}",
            17 => $"ZPOPMIN {Z()}",
            18 => $"ZRANGE {Z()} 0 -1 WITHSCORES",
            19 => $"RENAME {S()} {S()}",
            20 => $"COPY {H()} {H()} REPLACE",
            _ => $"HLEN {H()}",
        };
    }

    private IEnumerable<string> Names(string command)
    {
        _db.Default.Send(Quoting.Split(command));
        return _db.Default.TakeReply()!.Elements.Select(static key => key.Text).Order(StringComparer.Ordinal);
    }
}
