// INFO, COMMAND, CONFIG, DEBUG, MEMORY, SLOWLOG, LATENCY and the commands for whole databases.

using Leither.MmDb.Commands;
using Xunit;

namespace Leither.MmDb.Tests.Commands;

public sealed class ServerTests
{
    [Fact]
    public void INFO_gives_the_usual_sections_or_those_asked_for()
    {
        using var db = new InProcess();
        db.Prepare("SET a 1 EX 100", "SELECT 3", "SET b 1");
        string usual = db.Run("INFO");
        foreach (string title in (string[])["Server", "Clients", "Memory", "Persistence", "Stats", "Replication", "CPU", "Modules", "Errorstats", "Cluster", "Keyspace"])
        {
            Assert.Contains($"# {title}\\r\\n", usual, StringComparison.Ordinal);
        }

        Assert.DoesNotContain("# Commandstats", usual, StringComparison.Ordinal);
        Assert.Contains("db0:keys=1,expires=1,avg_ttl=", usual, StringComparison.Ordinal);
        Assert.Contains("db3:keys=1,expires=0,avg_ttl=0", usual, StringComparison.Ordinal);
        string two = db.Run("INFO commandstats CLUSTER");
        Assert.Contains("cmdstat_set:calls=2,", two, StringComparison.Ordinal);
        Assert.Contains("cluster_enabled:0", two, StringComparison.Ordinal);
        Assert.DoesNotContain("# Server", two, StringComparison.Ordinal);
        Assert.Contains("# Latencystats", db.Run("INFO everything"), StringComparison.Ordinal);
        Assert.Equal("\"\"", db.Run("INFO nothing"));
    }

    [Fact]
    public void INFO_counts_calls_failures_and_rejections_and_RESETSTAT_forgets_them()
    {
        using var db = new InProcess();
        db.Prepare("SET a x");
        db.Run("INCR a");
        db.Run("SET a");
        db.Run("NOSUCH");
        string info = db.Run("INFO all");
        Assert.Matches("cmdstat_incr:calls=1,usec=[0-9]+,usec_per_call=[0-9.]+,rejected_calls=0,failed_calls=1", info);
        Assert.Matches("cmdstat_set:calls=1,usec=[0-9]+,usec_per_call=[0-9.]+,rejected_calls=1,failed_calls=0", info);
        Assert.Contains("errorstat_ERR:count=3", info, StringComparison.Ordinal);
        Assert.Contains("total_error_replies:3", info, StringComparison.Ordinal);
        Assert.Matches(@"latency_percentiles_usec_set:p50=[0-9.]+,p99=[0-9.]+,p99\.9=[0-9.]+", info);
        Assert.Equal("+OK", db.Run("CONFIG RESETSTAT"));
        Assert.DoesNotContain("cmdstat_set", db.Run("INFO commandstats"), StringComparison.Ordinal);
    }

    [Fact]
    public void COMMAND_tells_of_every_command_by_its_spec()
    {
        using var db = new InProcess();
        Assert.Equal($":{db.Server.Commands.All.Count}", db.Run("COMMAND COUNT"));
        Assert.StartsWith("[[\"get\", :2, [+readonly, +fast], :1, :1, :1, [+@read, +@string, +@fast], [], [[\"flags\", [+RO, +access]", db.Run("COMMAND INFO get"), StringComparison.Ordinal);
        Assert.Equal("[nil]", db.Run("COMMAND INFO nosuch"));
        Assert.StartsWith("[\"config|get\", [\"summary\", \"Returns the effective values of configuration parameters.\"", db.Run("COMMAND DOCS config|get"), StringComparison.Ordinal);
        Assert.Equal("[\"subscribe\"]", db.Run("COMMAND LIST FILTERBY PATTERN subscrib?"));
        Assert.Contains("\"publish\"", db.Run("COMMAND LIST FILTERBY ACLCAT pubsub"), StringComparison.Ordinal);
        Assert.Equal("[]", db.Run("COMMAND LIST FILTERBY MODULE none"));
    }

    [Fact]
    public void Every_command_has_a_summary_a_group_and_answers_INFO_and_DOCS()
    {
        using var db = new InProcess();
        foreach (CommandSpec spec in db.Server.Commands.All)
        {
            Assert.NotEqual("", spec.Summary);
            Assert.NotEmpty(AclCategories.Of(spec));
            Assert.StartsWith($"[[\"{spec.Name}\"", db.Run($"COMMAND INFO {spec.Name}"), StringComparison.Ordinal);
            Assert.StartsWith($"[\"{spec.Name}\"", db.Run($"COMMAND DOCS {spec.Name}"), StringComparison.Ordinal);
            foreach (CommandSpec sub in spec.Subcommands)
            {
                Assert.NotEqual("", sub.Summary);
                Assert.True(sub.Accepts(sub.Arity < 0 ? -sub.Arity : sub.Arity));
            }
        }
    }

    [Theory]
    [InlineData("SET a b", "[\"a\"]")]
    [InlineData("MSET a 1 b 2", "[\"a\", \"b\"]")]
    [InlineData("BITOP AND d a b", "[\"d\", \"a\", \"b\"]")]
    [InlineData("LMPOP 2 a b LEFT", "[\"a\", \"b\"]")]
    [InlineData("PING", "-ERR The command has no key arguments")]
    [InlineData("NOSUCH a", "-ERR Invalid command specified")]
    [InlineData("GET a b", "-ERR Invalid number of arguments specified for command")]
    [InlineData("LMPOP x a LEFT", "-ERR Invalid arguments specified for command")]
    public void COMMAND_GETKEYS_finds_keys_by_key_specs(string command, string keys)
    {
        using var db = new InProcess();
        Assert.Equal(keys, db.Run("COMMAND GETKEYS " + command));
    }

    [Fact]
    public void CONFIG_SET_takes_effect_at_once_and_all_or_nothing()
    {
        using var db = new InProcess();
        Assert.Equal("+OK", db.Run("CONFIG SET maxmemory 100mb hash-max-listpack-entries 7"));
        Assert.Equal(100 << 20, db.Keyspace.Options.MaxMemory);
        Assert.Equal(7, db.Keyspace.Options.Packed.HashMaxListpackEntries);
        Assert.StartsWith("-ERR CONFIG SET failed (possibly related to argument 'maxmemory-samples')", db.Run("CONFIG SET maxmemory 1 maxmemory-samples 0"), StringComparison.Ordinal);
        Assert.Equal(100 << 20, db.Keyspace.Options.MaxMemory);
        Assert.Equal("-ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'", db.Run("CONFIG SET nosuch 1"));
        Assert.Equal("[\"maxmemory\", \"104857600\"]", db.Run("CONFIG GET maxmemory"));
        Assert.Equal("-ERR The server is running without a config file", db.Run("CONFIG REWRITE"));
    }

    [Fact]
    public void CONFIG_REWRITE_keeps_the_file_and_writes_what_changed()
    {
        using var db = new InProcess();
        using var folder = new TestKit.TempDir();
        string file = Path.Combine(folder.Path, "redis.conf");
        File.WriteAllText(file, "# mine\nmaxmemory 1gb\n");
        db.Server.ConfigFile = file;
        db.Prepare("CONFIG SET maxmemory 2gb", "CONFIG REWRITE");
        Assert.StartsWith("# mine\nmaxmemory 2gb\n", File.ReadAllText(file), StringComparison.Ordinal);
    }

    [Fact]
    public void DEBUG_is_refused_unless_the_configuration_allows_it()
    {
        using var db = new InProcess();
        Assert.StartsWith("-ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\"", db.Run("DEBUG SLEEP 0"), StringComparison.Ordinal);
    }

    [Fact]
    public void DEBUG_DIGEST_of_a_sorted_set_is_the_same_in_both_layouts()
    {
        using var db = WithDebug();
        db.Prepare("ZADD z -1.5 a 2 10 0.1 9 inf b");
        string packed = db.Run("DEBUG DIGEST-VALUE z");
        db.Prepare("CONFIG SET zset-max-listpack-entries 0", "ZADD z 1 c", "ZREM z c");
        Assert.Equal(packed, db.Run("DEBUG DIGEST-VALUE z"));
        Assert.Equal("\"skiplist\"", db.Run("OBJECT ENCODING z"));
    }

    [Fact]
    public void DEBUG_DIGEST_is_that_of_Redis_for_the_same_data()
    {
        using var db = WithDebug();
        Assert.Equal("+" + new string('0', 40), db.Run("DEBUG DIGEST"));
        db.Prepare("SET a b", "SET n 12 EX 100", "RPUSH l 1 2 abc", "SELECT 3", "SET z 1");
        Assert.Equal("+205dbb85bc130f1ddd317635ec792e2bc132e2fc", db.Run("DEBUG DIGEST"));
        db.Prepare("SELECT 0");
        Assert.Equal(
            "[+b78559cd22bce6e6df712eb99ce7f3b08e8f8f1f, +83df3a94c43338a2db2a05ddb5dbb794b842c619, +d3650d11ca0e37b74e568c9b808493c811cee5da, +0000000000000000000000000000000000000000]",
            db.Run("DEBUG DIGEST-VALUE a n l none"));
    }

    [Fact]
    public void DEBUG_PROTOCOL_replies_each_type()
    {
        using var db = WithDebug();
        db.Run("HELLO 3");
        Assert.Equal("%{:0: #f, :1: #t, :2: #f}", db.Run("DEBUG PROTOCOL map"));
        Assert.Equal("~[:0, :1, :2]", db.Run("DEBUG PROTOCOL set"));
        Assert.Equal("\"Some real reply following the push reply\"", db.Run("DEBUG PROTOCOL push"));
        Assert.Equal(">[\"server-cpu-usage\", :42]", db.Default.Take());
        Assert.Equal("-FOO bar", db.Run("DEBUG ERROR \"FOO bar\""));
        Assert.StartsWith("-ERR DEBUG SEGFAULT is refused", db.Run("DEBUG SEGFAULT"), StringComparison.Ordinal);
    }

    [Fact]
    public void MEMORY_USAGE_grows_with_the_value()
    {
        using var db = new InProcess();
        db.Prepare("SET small x", "SET big " + new string('x', 100_000));
        Assert.InRange(long.Parse(db.Run("MEMORY USAGE small")[1..], null), 16, 100);
        Assert.InRange(long.Parse(db.Run("MEMORY USAGE big")[1..], null), 100_000, 120_000);
        Assert.Equal("nil", db.Run("MEMORY USAGE none"));
        Assert.Equal("-ERR syntax error", db.Run("MEMORY USAGE small SAMPLES -1"));
        Assert.StartsWith("[\"peak.allocated\", :", db.Run("MEMORY STATS"), StringComparison.Ordinal);
    }

    [Fact]
    public void SLOWLOG_keeps_the_newest_slow_commands_shortened()
    {
        using var db = new InProcess();
        db.Prepare("CONFIG SET slowlog-log-slower-than 0 slowlog-max-len 2");
        db.Run("SLOWLOG RESET");
        db.Run("SET a " + new string('x', 200));
        Assert.Contains($"\"{new string('x', 128)}... (72 more bytes)\"", db.Run("SLOWLOG GET 1"), StringComparison.Ordinal);
        db.Run("AUTH default secret");
        Assert.DoesNotContain("secret", db.Run("SLOWLOG GET -1"), StringComparison.Ordinal);
        Assert.Equal(":2", db.Run("SLOWLOG LEN"));
        Assert.Equal("-ERR count should be greater than or equal to -1", db.Run("SLOWLOG GET -2"));
    }

    [Fact]
    public void LATENCY_HISTOGRAM_counts_every_call()
    {
        using var db = new InProcess();
        for (int i = 0; i < 10; i++)
        {
            db.Prepare("SET a 1");
        }

        Assert.StartsWith("[\"set\", [\"calls\", :10, \"histogram_usec\", [", db.Run("LATENCY HISTOGRAM set"), StringComparison.Ordinal);
        Assert.Equal("[]", db.Run("LATENCY HISTOGRAM nosuch"));
    }

    [Fact]
    public void FLUSHALL_and_FLUSHDB_empty_and_are_replayed()
    {
        using var db = new InProcess(recording: true);
        db.Prepare("SET a 1", "SELECT 1", "SET b 1", "FLUSHDB ASYNC", "SET c 1", "SELECT 2", "SET d 1", "SWAPDB 1 2");
        Assert.Equal("-ERR syntax error", db.Run("FLUSHALL NOW"));
        Assert.Equal("-ERR invalid first DB index", db.Run("SWAPDB x 1"));
        string contents = db.Contents();
        using InProcess replayed = db.Replay();
        Assert.Equal(contents, replayed.Contents());
        Assert.Equal("+OK", replayed.Run("FLUSHALL SYNC"));
        Assert.Equal(":0", replayed.Run("DBSIZE"));
    }

    [Fact]
    public void SHUTDOWN_asks_the_node_to_stop()
    {
        using var db = new InProcess();
        Assert.Equal("-ERR syntax error", db.Run("SHUTDOWN SAVE NOSAVE"));
        Assert.Equal("-ERR No shutdown in progress.", db.Run("SHUTDOWN ABORT"));
        Assert.Equal("(none)", db.Run("SHUTDOWN NOSAVE"));
        Assert.Equal(new ShutdownRequest(false, false, false), db.Server.Shutdown);
    }

    [Fact]
    public void ACL_knows_the_one_user_and_the_categories()
    {
        using var db = new InProcess();
        Assert.Equal("\"default\"", db.Run("ACL WHOAMI"));
        Assert.Equal("[\"user default on nopass sanitize-payload ~* &* +@all\"]", db.Run("ACL LIST"));
        Assert.StartsWith("[\"keyspace\", \"read\", \"write\"", db.Run("ACL CAT"), StringComparison.Ordinal);
        Assert.Contains("\"client|kill\"", db.Run("ACL CAT dangerous"), StringComparison.Ordinal);
    }

    private static InProcess WithDebug()
    {
        var db = new InProcess();
        db.Server.Settings.Put(Configuration.ConfigKeys.EnableDebugCommand, 1);
        return db;
    }

    [Fact]
    public void Values_freed_in_the_background_are_counted_one_by_one_and_from_zero_after_RESETSTAT()
    {
        using var db = new InProcess();
        db.Prepare("SADD small a b", $"SADD big {string.Join(' ', Enumerable.Range(0, 1000).Select(static i => "m" + i))}", "UNLINK small big");
        Assert.Contains("lazyfree_pending_objects:1\\r\\nlazyfreed_objects:0", db.Run("INFO memory"), StringComparison.Ordinal);
        FreeAll(db);
        Assert.Contains("lazyfree_pending_objects:0\\r\\nlazyfreed_objects:1", db.Run("INFO memory"), StringComparison.Ordinal);
        db.Prepare("CONFIG RESETSTAT", "MSET a 1 b 1 c 1", "FLUSHDB ASYNC");
        Assert.Contains("lazyfree_pending_objects:3\\r\\nlazyfreed_objects:0", db.Run("INFO memory"), StringComparison.Ordinal);
        FreeAll(db);
        Assert.Contains("lazyfree_pending_objects:0\\r\\nlazyfreed_objects:3", db.Run("INFO memory"), StringComparison.Ordinal);
    }

    private static void FreeAll(InProcess db)
    {
        while (db.Keyspace.LazyFree.PendingCount > 0)
        {
            db.Server.Cron(db.Clock.NowMs);
        }
    }

    [Fact]
    public void DEBUG_RELOAD_NOFLUSH_fails_where_what_is_read_is_there_already()
    {
        using var db = new InProcess();
        db.Server.Settings.Put(Configuration.ConfigKeys.EnableDebugCommand, 1);
        db.Prepare("SET k v");
        Assert.Equal("-ERR Error trying to load the RDB dump, check server logs.", db.Run("DEBUG RELOAD NOFLUSH"));
        Assert.Equal("-ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.", db.Run("DEBUG RELOAD KEEP"));
    }

    [Theory]
    [InlineData("RPUSH l a b c", 3)]
    [InlineData("LPOP list 2", 2)]
    [InlineData("LMPOP 1 list LEFT COUNT 10", 4)]
    [InlineData("LMOVE list other LEFT RIGHT", 1)]
    [InlineData("BLMOVE list list LEFT RIGHT 0", 1)]
    [InlineData("LREM list 0 a", 2)]
    [InlineData("LTRIM list 1 2", 2)]
    [InlineData("LTRIM list 2 1", 4)]
    [InlineData("LSET list 0 x", 1)]
    [InlineData("SORT list ALPHA STORE sorted", 4)]
    [InlineData("RENAME list other", 1)]
    [InlineData("SADD s a b c", 3)]
    [InlineData("GET none", 0)]
    public void Changes_since_the_last_save_are_counted_by_element(string command, long changes)
    {
        using var db = new InProcess();
        db.Prepare("RPUSH list a b a c");
        long before = db.Keyspace.Dirty;
        db.Prepare(command);
        Assert.Equal(changes, db.Keyspace.Dirty - before);
    }

    [Fact]
    public void For_a_script_and_for_an_EXEC_time_stands_still()
    {
        using var db = new InProcess();
        db.Clock.MsPerReading = 1;
        Assert.NotEqual(db.Run("TIME"), db.Run("TIME"));
        Assert.Equal(":1", db.Run("EVAL \"return redis.call('TIME')[2] == redis.call('TIME')[2]\" 0"));
        db.Prepare("MULTI", "TIME", "EVAL \"return redis.call('TIME')\" 0", "TIME");
        string[] times = db.Run("EXEC")[2..^2].Split("], [");
        Assert.Equal(3, times.Length);
        Assert.Single(times.Distinct());
        Assert.NotEqual(times[0], db.Run("TIME").Trim('[', ']'));
    }

    [Fact]
    public void INFO_counts_the_keys_that_clients_wait_on_and_those_whose_loss_wakes_one()
    {
        using var db = new InProcess();
        db.Prepare("XGROUP CREATE s g $ MKSTREAM");
        db.Connect().Run("BLPOP l 0");
        db.Connect().Run("XREADGROUP GROUP g c BLOCK 0 STREAMS s >");
        Assert.Contains("total_blocking_keys:2\\r\\ntotal_blocking_keys_on_nokey:1\\r\\n", db.Run("INFO clients"), StringComparison.Ordinal);
        db.Prepare("DEL s");
        Assert.Contains("total_blocking_keys:1\\r\\ntotal_blocking_keys_on_nokey:0\\r\\n", db.Run("INFO clients"), StringComparison.Ordinal);
    }
}
