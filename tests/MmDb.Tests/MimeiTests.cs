// Many MiMei on one server: what they are called, how a connection gets to one, and that none sees another.

using System.Text;
using Leither.Ipfs.Keys;
using Leither.MmDb.Configuration;
using Leither.MmDb.Log;
using Xunit;

namespace Leither.MmDb.Tests;

public sealed class MimeiTests : IDisposable
{
    private readonly FolderMimeiStore _store;
    private readonly InProcess _db;

    public MimeiTests()
    {
        _db = FolderMimeiStore.Serve(out _store);
    }

    public void Dispose()
    {
        _db.Server.Mimeis.CloseLogs();
        _db.Dispose();
        _store.Dispose();
    }

    [Fact]
    public void An_info_block_and_its_id_are_what_they_are_for_ever()
    {
        var info = new MimeiInfo(_store.Author, "RXN74QNeiY08LRSaoeQhx3nOLTC", "txt", "märk", MimeiType.Database);
        Assert.Equal(
            "a563617070781b52584e3734514e65695930384c5253616f65516878336e4f4c54436365787463747874646d61726b656dc3a4726b647479706562646266617574686f725824"
            + "080112200102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20",
            Convert.ToHexStringLower(info.Encode()));
        Assert.Equal(LeitherId.Of(info.Encode()), info.Id);
        Assert.Equal("BdbJbQCKyY5PZNIPuaQBhjOB1fg", info.Id.ToString());
        Assert.Equal(info with { Author = default }, MimeiInfo.Decode(info.Encode(), info.Id) with { Author = default });
        Assert.Equal("file", MimeiInfo.WordOf(MimeiType.Files));
    }

    [Fact]
    public void The_info_of_another_certifies_nothing()
    {
        var info = new MimeiInfo(_store.Author, "", "", "a", MimeiType.Database);
        LeitherId other = (info with { Mark = "b" }).Id;
        Assert.Contains("is damaged", Assert.Throws<MimeiException>(() => MimeiInfo.Decode(info.Encode(), other)).Message, StringComparison.Ordinal);
        byte[] more = [.. info.Encode(), 0];
        Assert.Throws<MimeiException>(() => MimeiInfo.Decode(more, LeitherId.Of(more)));
    }

    [Fact]
    public void CREATE_gives_the_same_id_for_the_same_words_and_a_new_one_each_time_for_the_mark_auto()
    {
        string first = Word(_db.Run("MIMEI CREATE DB MARK one"));
        Assert.Equal(LeitherId.TextLength, first.Length);
        Assert.Equal(new MimeiInfo(_store.Author, "", "", "one", MimeiType.Database).Id.ToString(), first);
        Assert.Equal(first, Word(_db.Run("MIMEI CREATE db mark one RIGHT 7")));
        string[] others =
        [
            Word(_db.Run("MIMEI CREATE DB")), Word(_db.Run("MIMEI CREATE DB MARK one APP x")), Word(_db.Run("MIMEI CREATE DB MARK one EXT x")),
            Word(_db.Run("MIMEI CREATE DB MARK {{auto}}")), Word(_db.Run("MIMEI CREATE DB MARK {{auto}}")),
        ];
        Assert.Equal(6, others.Append(first).Distinct().Count());
        Assert.Equal(7, _db.Server.Mimeis.All.Count);
    }

    [Theory]
    [InlineData("MIMEI", "-ERR wrong number of arguments for 'mimei' command")]
    [InlineData("MIMEI NOSUCH", "-ERR unknown subcommand 'NOSUCH'. Try MIMEI HELP.")]
    [InlineData("MIMEI CREATE", "-ERR wrong number of arguments for 'mimei|create' command")]
    [InlineData("MIMEI CREATE TABLE", "-ERR syntax error")]
    [InlineData("MIMEI CREATE DB MARK", "-ERR syntax error")]
    [InlineData("MIMEI CREATE DB SIZE 3", "-ERR syntax error")]
    [InlineData("MIMEI CREATE DB RIGHT x", "-ERR value is not an integer or out of range")]
    [InlineData("MIMEI CREATE DB MARK \"\\xff\"", "-ERR mark, app and ext are texts in UTF-8 of up to 255 bytes")]
    [InlineData("MIMEI OPEN", "-ERR wrong number of arguments for 'mimei|open' command")]
    [InlineData("MIMEI OPEN nosuch", "-ERR no such MiMei 'nosuch'")]
    [InlineData("MIMEI OPEN nosuch VERSION", "-ERR syntax error")]
    [InlineData("MIMEI OPEN nosuch VERSION first", "-ERR syntax error")]
    [InlineData("MIMEI OPEN nosuch AT yesterday", "-ERR syntax error")]
    [InlineData("MIMEI INFO AAAAAAAAAAAAAAAAAAAAAAAAAAB", "-ERR no such MiMei 'AAAAAAAAAAAAAAAAAAAAAAAAAAB'")]
    [InlineData("MIMEI NAME a nosuch", "-ERR no such MiMei 'nosuch'")]
    [InlineData("MIMEI NAME a ''", "-ERR no MiMei is named 'a'")]
    public void Errors_say_what_is_wrong(string command, string error) => Assert.Equal(error, _db.Run(command));

    [Fact]
    public void ID_tells_what_the_connection_is_bound_to_and_OPEN_binds_it_in_database_0()
    {
        string mid = Create("a", "shop");
        Assert.Equal($"[\"{_db.Server.DefaultMimei.Id}\", \"\", \"cur\", :0]", _db.Run("MIMEI ID"));
        Assert.Equal("+OK", _db.Run("SELECT 3"));
        Assert.Equal("+OK", _db.Run($"MIMEI OPEN {mid}"));
        Assert.Equal($"[\"{mid}\", \"shop\", \"cur\", :0]", _db.Run("MIMEI ID"));
        Assert.Equal("+OK", _db.Run("SELECT 3"));
        Assert.Equal("+OK", _db.Run("MIMEI OPEN shop VERSION CUR"));
        Assert.Equal($"[\"{mid}\", \"shop\", \"cur\", :0]", _db.Run("MIMEI ID"));
        Assert.Contains($" mimei={mid}\\n", _db.Run("CLIENT LIST"), StringComparison.Ordinal);
        Assert.Contains($" mimei={mid}\\n", _db.Run("CLIENT INFO"), StringComparison.Ordinal);
        Assert.Contains($"mimei_id:{mid}\\r\\n", _db.Run("INFO mimei"), StringComparison.Ordinal);
        Assert.Equal("+RESET", _db.Run("RESET"));
        Assert.Equal($"[\"{_db.Server.DefaultMimei.Id}\", \"\", \"cur\", :0]", _db.Run("MIMEI ID"));
    }

    [Fact]
    public void Places_in_history_are_refused_where_there_are_no_versions()
    {
        Create("a", "shop");
        foreach (string place in (string[])["VERSION last", "VERSION release", "VERSION 3", "AT 77", "AT 2026-11-21T12:00:00Z"])
        {
            Assert.Equal("-ERR this server keeps no files, so there are no versions", _db.Run($"MIMEI OPEN shop {place}"));
        }
    }

    [Fact]
    public void OPEN_is_refused_in_transactions_and_scripts_and_ends_what_was_watched()
    {
        Create("a", "shop");
        _db.Prepare("MULTI");
        Assert.Equal("-ERR Command not allowed inside a transaction", _db.Run("MIMEI OPEN shop"));
        Assert.Equal("-EXECABORT Transaction discarded because of previous errors.", _db.Run("EXEC"));
        Assert.Contains("This Redis command is not allowed from script", _db.Run("EVAL \"return redis.call('MIMEI', 'OPEN', 'shop')\" 0"), StringComparison.Ordinal);
        _db.Prepare("MULTI", "AUTH default@shop x");
        Assert.StartsWith("[-ERR the command waits", _db.Run("EXEC"), StringComparison.Ordinal);

        InProcess.Client other = _db.Connect();
        _db.Prepare("SET k 1", "WATCH k");
        Assert.Equal("+OK", other.Run("SET k 2"));
        _db.Prepare("MIMEI OPEN shop", "MULTI", "SET k 3");
        Assert.Equal("[+OK]", _db.Run("EXEC"));
        Assert.Equal("\"2\"", other.Run("GET k"));
    }

    [Fact]
    public void Commands_of_one_pipeline_go_to_the_MiMei_that_each_finds_bound()
    {
        Create("a", "shop");
        _db.Default.SendRaw(Encoding.ASCII.GetBytes("SET k default\r\nMIMEI OPEN shop\r\nSET k shop\r\nRESET\r\nGET k\r\nMIMEI OPEN shop\r\nGET k\r\n"));
        Assert.Equal(["+OK", "+OK", "+OK", "+RESET", "\"default\"", "+OK", "\"shop\""], Enumerable.Range(0, 7).Select(_ => _db.Default.Take()));
    }

    [Fact]
    public void Keys_expiry_scripts_and_flushes_stay_where_they_are()
    {
        Create("a", "shop");
        InProcess.Client shop = Client("shop");
        _db.Prepare("SET k default", "SELECT 2", "SET two 1", "SELECT 0");
        Assert.Equal("nil", shop.Run("GET k"));
        Assert.Equal(":1", shop.Run("EVAL \"return redis.call('INCR', KEYS[1])\" 1 n"));
        Assert.Equal("nil", _db.Run("GET n"));
        Assert.Equal("+OK", shop.Run("SET k shop PX 50"));
        _db.Clock.Advance(100);
        Assert.Equal("nil", shop.Run("GET k"));
        Assert.Equal("\"default\"", _db.Run("GET k"));
        Assert.Equal("+OK", shop.Run("FLUSHALL"));
        Assert.Equal(":0", shop.Run("DBSIZE"));
        Assert.Equal(":1", _db.Run("DBSIZE"));
        Assert.Contains("db2:keys=1", _db.Run("INFO keyspace"), StringComparison.Ordinal);
        Assert.DoesNotContain("db2", shop.Run("INFO keyspace"), StringComparison.Ordinal);
    }

    [Fact]
    public void Functions_belong_to_a_MiMei()
    {
        Create("a", "shop");
        InProcess.Client shop = Client("shop");
        Assert.Equal("\"lib\"", shop.Run("FUNCTION LOAD \"#!lua name=lib\\nredis.register_function('f', function(keys) return redis.call('INCR', keys[1]) end)\""));
        Assert.Equal("\"lib\"", _db.Run("FUNCTION LOAD \"#!lua name=lib\\nredis.register_function('g', function() return 'default' end)\""));
        Assert.Equal(":1", shop.Run("FCALL f 1 n"));
        Assert.Equal("\"default\"", _db.Run("FCALL g 0"));
        Assert.Equal("-ERR Function not found", _db.Run("FCALL f 1 n"));
        Assert.Equal("+OK", _db.Run("FUNCTION FLUSH"));
        Assert.Equal(":2", shop.Run("FCALL f 1 n"));
    }

    [Fact]
    public void Channels_belong_to_a_MiMei_and_leaving_it_ends_subscriptions()
    {
        Create("a", "shop");
        _db.Prepare("CONFIG SET notify-keyspace-events KEA");
        InProcess.Client shop = Client("shop"), listener = Client("shop");
        listener.Run("HELLO 3");
        listener.Run("SUBSCRIBE news");
        listener.Run("PSUBSCRIBE *");
        Assert.Equal(":0", _db.Run("PUBLISH news default"));
        Assert.Equal(":2", shop.Run("PUBLISH news shop"));
        Assert.Equal(">[\"message\", \"news\", \"shop\"]", listener.Take());
        Assert.Equal(">[\"pmessage\", \"*\", \"news\", \"shop\"]", listener.Take());
        Assert.Equal("+OK", _db.Run("SET k 1"));
        Assert.Null(listener.Take());
        Assert.Equal("+OK", shop.Run("SET k 1"));
        Assert.Contains("__keyspace@0__:k", listener.Take(), StringComparison.Ordinal);
        while (listener.Take() is not null)
        {
        }

        Assert.Equal("+RESET", listener.Run("RESET"));
        Assert.Equal(":0", shop.Run("PUBLISH news shop"));
        Assert.Equal("[]", shop.Run("PUBSUB CHANNELS"));
    }

    [Fact]
    public void Clients_that_wait_are_served_from_their_own_MiMei()
    {
        Create("a", "shop");
        InProcess.Client waiting = Client("shop"), shop = Client("shop");
        Assert.Equal("(none)", waiting.Run("BLPOP q 0"));
        Assert.Equal(":1", _db.Run("RPUSH q default"));
        Assert.Null(waiting.Take());
        Assert.Equal(":1", shop.Run("RPUSH q shop"));
        Assert.Equal("[\"q\", \"shop\"]", waiting.Take());
        Assert.Equal(":1", _db.Run("LLEN q"));

        Assert.Equal("(none)", waiting.Run("BLPOP q 1"));
        _db.Clock.Advance(1100);
        _db.Server.Cron(_db.Clock.NowMs);
        Assert.Equal("nil-array", waiting.Take());
    }

    [Fact]
    public void Transactions_are_broken_by_changes_in_their_own_MiMei_only()
    {
        Create("a", "shop");
        InProcess.Client watching = Client("shop"), shop = Client("shop");
        watching.Run("WATCH k");
        Assert.Equal("+OK", _db.Run("SET k 1"));
        watching.Run("MULTI");
        watching.Run("PING");
        Assert.Equal("[+PONG]", watching.Run("EXEC"));
        watching.Run("WATCH k");
        Assert.Equal("+OK", shop.Run("SET k 1"));
        watching.Run("MULTI");
        watching.Run("PING");
        Assert.Equal("nil-array", watching.Run("EXEC"));
    }

    [Fact]
    public void Caches_are_told_of_changes_in_their_own_MiMei_only()
    {
        Create("a", "shop");
        InProcess.Client cache = Client("shop"), prefixes = Client("shop"), shop = Client("shop");
        foreach (InProcess.Client client in (InProcess.Client[])[cache, prefixes])
        {
            client.Run("HELLO 3");
        }

        Assert.Equal("+OK", cache.Run("CLIENT TRACKING ON"));
        Assert.Equal("+OK", prefixes.Run("CLIENT TRACKING ON BCAST PREFIX k"));
        Assert.Equal("_", cache.Run("GET k"));
        Assert.Equal("+OK", _db.Run("SET k 1"));
        Assert.Equal("+OK", _db.Run("FLUSHALL"));
        Assert.Null(cache.Take());
        Assert.Null(prefixes.Take());
        Assert.Equal("+OK", shop.Run("SET k 1"));
        Assert.Equal(">[\"invalidate\", [\"k\"]]", cache.Take());
        Assert.Equal(">[\"invalidate\", [\"k\"]]", prefixes.Take());
        Assert.Equal("+OK", cache.Run($"MIMEI OPEN {_db.Server.DefaultMimei.Id}"));
        Assert.Equal("[\"off\"]", Flags(cache.Run("CLIENT TRACKINGINFO")));
        Assert.Equal("+OK", shop.Run("SET k 2"));
        Assert.Null(cache.Take());

        static string Flags(string info) => info[(info.IndexOf(": ~", StringComparison.Ordinal) + 3)..(info.IndexOf(']', StringComparison.Ordinal) + 1)];
    }

    [Fact]
    public void MONITOR_shows_what_is_done_in_its_own_MiMei()
    {
        Create("a", "shop");
        InProcess.Client monitor = Client("shop"), shop = Client("shop");
        Assert.Equal("+OK", monitor.Run("MONITOR"));
        _db.Run("SET secret 1");
        Assert.Null(monitor.Take());
        shop.Run("SET k 1");
        Assert.Contains("\"SET\" \"k\" \"1\"", monitor.Take(), StringComparison.Ordinal);
    }

    [Fact]
    public void A_user_name_with_a_MiMei_behind_it_logs_in_and_binds()
    {
        string mid = Create("a", "shop");
        _db.Prepare("ACL SETUSER ann on >pw +@all ~* &*", "ACL SETUSER ann@office on >office +@all ~* &*", "ACL SETUSER bob on >pw +@all -@connection +auth +get ~*");
        InProcess.Client client = _db.Connect();
        Assert.Equal("+OK", client.Run($"AUTH ann@{mid} pw"));
        Assert.Contains(mid, client.Run("MIMEI ID"), StringComparison.Ordinal);
        Assert.Equal("\"ann\"", client.Run("ACL WHOAMI"));
        Assert.Equal("+RESET", client.Run("RESET"));
        Assert.StartsWith("%{\"server\": \"redis\"", client.Run("HELLO 3 AUTH ann@shop/cur pw SETNAME me"), StringComparison.Ordinal);
        Assert.Contains("\"shop\"", client.Run("MIMEI ID"), StringComparison.Ordinal);
        Assert.Equal("\"me\"", client.Run("CLIENT GETNAME"));
        client.Run("RESET");
        Assert.Equal("-WRONGPASS invalid username-password pair or user is disabled.", client.Run("AUTH ann@shop wrong"));
        Assert.Equal("-WRONGPASS invalid username-password pair or user is disabled.", client.Run("AUTH nobody@shop pw"));
        Assert.Equal("-WRONGPASS invalid username-password pair or user is disabled.", client.Run("AUTH nobody@nosuch pw"));
        Assert.Equal("-ERR no such MiMei 'nosuch'", client.Run("AUTH ann@nosuch pw"));
        Assert.Equal("-ERR no such MiMei 'shop/first'", client.Run("AUTH ann@shop/first pw"));
        Assert.Equal("-ERR this server keeps no files, so there are no versions", client.Run("AUTH ann@shop/last pw"));
        Assert.Equal("-NOPERM User bob has no permissions to run the 'mimei|open' command", client.Run("AUTH bob@shop pw"));
        Assert.Equal("\"default\"", client.Run("ACL WHOAMI"));

        // Of that name there is a user.
        Assert.Equal("+OK", client.Run("AUTH ann@office office"));
        Assert.Equal("\"ann@office\"", client.Run("ACL WHOAMI"));

        // A URL may name no user.
        Assert.Equal("+OK", client.Run("AUTH @shop x"));
        Assert.Equal("\"default\"", client.Run("ACL WHOAMI"));
        Assert.Contains("\"shop\"", client.Run("MIMEI ID"), StringComparison.Ordinal);
    }

    [Fact]
    public void Who_must_log_in_may_do_so_into_a_MiMei()
    {
        Create("a", "shop");
        _db.Prepare("CONFIG SET requirepass secret");
        InProcess.Client client = _db.Connect();
        Assert.Equal("-NOAUTH Authentication required.", client.Run("MIMEI OPEN shop"));
        Assert.Equal("-WRONGPASS invalid username-password pair or user is disabled.", client.Run("AUTH default@shop wrong"));
        Assert.Equal("-NOAUTH Authentication required.", client.Run("GET k"));
        Assert.Equal("+OK", client.Run("AUTH default@shop secret"));
        Assert.Equal("nil", client.Run("GET k"));
        Assert.Contains("\"shop\"", client.Run("MIMEI ID"), StringComparison.Ordinal);
    }

    [Fact]
    public void A_name_is_that_of_one_and_can_be_taken_away()
    {
        string first = Create("a"), second = Create("b");
        Assert.Equal("+OK", _db.Run($"MIMEI NAME shop {first}"));
        Assert.Equal($"-ERR the name 'shop' is that of MiMei {first}", _db.Run($"MIMEI NAME shop {second}"));
        Assert.Equal("+OK", _db.Run($"MIMEI NAME shop {first}"));
        Assert.Equal("+OK", _db.Run("MIMEI NAME store shop"));
        Assert.Equal("-ERR no such MiMei 'shop'", _db.Run("MIMEI OPEN shop"));
        Assert.Equal("+OK", _db.Run($"MIMEI NAME shop {second}"));
        Assert.Equal("+OK", _db.Run("MIMEI NAME store ''"));
        Assert.Equal("+OK", _db.Run("MIMEI NAME '' shop"));
        Assert.Equal("-ERR no such MiMei 'shop'", _db.Run("MIMEI OPEN shop"));
        Assert.All(_store.List(), static record => Assert.Equal("", record.Name));
        string rule = "-ERR a name has up to 64 letters, digits, '.', '_' and '-', begins with a letter or digit, and is no id";
        foreach (string name in (string[])["-a", ".a", "a@b", "a/b", "a b", "ä", new('a', 65), first, "AAAAAAAAAAAAAAAAAAAAAAAAAAA"])
        {
            Assert.Equal(rule, _db.Run(["MIMEI"u8.ToArray(), "NAME"u8.ToArray(), Encoding.UTF8.GetBytes(name), Encoding.ASCII.GetBytes(first)]));
        }

        Assert.Equal("+OK", _db.Run($"MIMEI NAME {new string('a', 64)} {first}"));
    }

    [Fact]
    public void INFO_and_LIST_tell_of_MiMei_that_are_loaded_and_of_those_that_are_not()
    {
        string mid = Word(_db.Run("MIMEI CREATE DB MARK a APP app EXT ext RIGHT 18446744073709551615"));
        _db.Prepare($"MIMEI NAME shop {mid}");
        InProcess.Client shop = Client("shop");
        shop.Run("MSET a 1 b 2 c 3");
        string info = shop.Run("MIMEI INFO shop");
        Assert.StartsWith($"[\"mid\", \"{mid}\", \"name\", \"shop\", \"type\", \"db\", \"author\", \"{LeitherId.Of(_store.Author.Span)}\", \"app\", \"app\", \"ext\", \"ext\", \"mark\", \"a\", "
            + "\"created\", \"2023-11-14T22:13:20Z\", \"right\", \"18446744073709551615\", \"open\", :1, \"clients\", :1, \"keys\", :3, \"memory\", :", info, StringComparison.Ordinal);
        Assert.Contains($"[\"mid\", \"{mid}\", \"name\", \"shop\", \"open\", :1, \"keys\", :3, \"disk\", :", _db.Run("MIMEI LIST"), StringComparison.Ordinal);
        shop.Dispose();
        Rest(400);
        Assert.Contains("\"open\", :0, \"clients\", :0, \"keys\", :3, \"memory\", :0", _db.Run("MIMEI INFO shop"), StringComparison.Ordinal);
        Assert.Contains($"[\"mid\", \"{mid}\", \"name\", \"shop\", \"open\", :0, \"keys\", :3, \"disk\", :", _db.Run("MIMEI LIST"), StringComparison.Ordinal);
        Assert.Equal(3, _store.List().Single(r => r.Name == "shop").Keys);
    }

    [Fact]
    public void Redis_replication_is_about_the_default_one()
    {
        Create("a", "shop");
        InProcess.Client shop = Client("shop");
        const string Refusal = "-ERR Redis replication is that of the node's default MiMei, and this connection is bound to another";
        foreach (string command in (string[])["REPLICAOF NO ONE", "REPLICAOF 127.0.0.1 1", "SYNC", "PSYNC ? -1", "FAILOVER"])
        {
            Assert.Equal(Refusal, shop.Run(command));
        }

        Assert.Equal("+OK", shop.Run("SET k v"));
        Assert.Equal(":0", shop.Run("WAIT 0 0"));
        Assert.Equal("+OK", _db.Run("REPLICAOF NO ONE"));
    }

    [Fact]
    public void A_pause_holds_all_of_them_back()
    {
        Create("a", "shop");
        InProcess.Client shop = Client("shop");
        Assert.Equal("+OK", _db.Run("CLIENT PAUSE 1000"));
        Assert.Equal("(none)", shop.Run("SET k v"));
        _db.Clock.Advance(1001);
        _db.Server.Cron(_db.Clock.NowMs);
        Assert.Equal("+OK", shop.Take());
        Assert.Equal("\"v\"", shop.Run("GET k"));
        _db.Server.EndTurn();
        Assert.False(shop.Session.Mimei.Log!.HasUnwritten);
    }

    // ------------------------------------------------------------------ loading and unloading

    [Fact]
    public void One_that_nobody_uses_is_unloaded_and_comes_back_with_everything()
    {
        Create("a", "shop");
        _db.Prepare("CONFIG SET mimei-idle-timeout 60");
        InProcess.Client shop = Client("shop");
        shop.Run("SET k v");
        shop.Run("HSET h f 1");
        shop.Run("SELECT 5");
        shop.Run("SET volatile v PX 30000");
        shop.Run("FUNCTION LOAD \"#!lua name=lib\\nredis.register_function('f', function() return 'f' end)\"");
        Rest(120);
        Assert.Equal(2, _db.Server.Mimeis.Open.Count);
        shop.Dispose();
        Rest(30);
        Assert.Equal(2, _db.Server.Mimeis.Open.Count);
        Rest(60);
        Assert.Single(_db.Server.Mimeis.Open);
        Assert.Equal(1, _store.Opened);
        shop = Client("shop");
        Assert.Equal(2, _store.Opened);
        Assert.Equal("\"v\"", shop.Run("GET k"));
        Assert.Equal("[\"f\", \"1\"]", shop.Run("HGETALL h"));
        Assert.Equal("\"f\"", shop.Run("FCALL f 0"));
        shop.Run("SELECT 5");
        Assert.Equal("nil", shop.Run("GET volatile"));
        Assert.True(_db.Server.Mimeis.TryFind("shop", out MimeiEntry? entry) && entry.Loaded!.Log is { Recovery: { CleanEnd: true, Epoch: 1 } });
    }

    [Theory]
    [InlineData("SUBSCRIBE c")]
    [InlineData("BLPOP q 0")]
    [InlineData("WATCH k")]
    [InlineData("MONITOR")]
    [InlineData("PING")]
    public void One_that_somebody_is_bound_to_stays_loaded(string command)
    {
        Create("a", "shop");
        InProcess.Client client = Client("shop");
        client.Run(command);
        Rest(1000);
        Assert.Equal(2, _db.Server.Mimeis.Open.Count);
        client.Dispose();
        Rest(1000);
        Assert.Single(_db.Server.Mimeis.Open);
    }

    [Fact]
    public void With_0_none_is_ever_unloaded()
    {
        Create("a", "shop");
        _db.Prepare("CONFIG SET mimei-idle-timeout 0");
        Client("shop").Dispose();
        Rest(100_000);
        Assert.Equal(2, _db.Server.Mimeis.Open.Count);
    }

    [Fact]
    public void One_without_a_log_is_unloaded_after_a_checkpoint()
    {
        Create("a", "shop");
        InProcess.Client shop = Client("shop");
        Assert.True(_db.Server.Mimeis.TryFind("shop", out MimeiEntry? entry));
        Mimei mimei = entry.Loaded!;
        mimei.Log!.Close();
        mimei.Log = null;
        mimei.Keyspace.Effects.RecordTo(null, default);
        shop.Run("SET k v");
        shop.Dispose();
        Rest(400);
        TestKit.Wait.Until(() =>
        {
            Rest(10);
            return entry.Loaded is null;
        });
        Assert.Equal("\"v\"", Client("shop").Run("GET k"));
    }

    [Fact]
    public void One_that_was_never_written_has_no_log_file()
    {
        string mid = Create("a", "shop");
        Assert.True(LeitherId.TryParse(mid, out LeitherId id));
        InProcess.Client shop = Client("shop");
        shop.Run("GET k");
        shop.Run("DBSIZE");
        shop.Run("INFO");
        _db.Server.EndTurn();
        string log = Path.Combine(_store.PathOf(id), "log");
        Assert.Empty(Directory.EnumerateFiles(log));
        shop.Dispose();
        Rest(400);
        Assert.Single(_db.Server.Mimeis.Open);
        Assert.Empty(Directory.EnumerateFiles(log));
        shop = Client("shop");
        shop.Run("SET k v");
        Assert.Single(Directory.EnumerateFiles(log));
    }

    [Fact]
    public void A_damaged_one_is_refused_with_the_reason_and_others_go_on()
    {
        string mid = Create("a", "shop");
        Create("b", "bank");
        Assert.True(LeitherId.TryParse(mid, out LeitherId id));
        File.WriteAllBytes(Path.Combine(_store.PathOf(id), "info"), [1, 2, 3]);
        Assert.StartsWith($"-ERR the info block of MiMei {mid} is damaged", _db.Run("MIMEI OPEN shop"), StringComparison.Ordinal);
        Assert.StartsWith($"-ERR the info block of MiMei {mid} is damaged", _db.Run("MIMEI INFO shop"), StringComparison.Ordinal);
        Assert.Equal("+OK", _db.Run("MIMEI OPEN bank"));
    }

    [Fact]
    public void Who_waits_for_one_to_be_loaded_keeps_nobody_else_waiting()
    {
        string mid = Create("a", "shop");
        using var gate = new ManualResetEventSlim();
        using var posted = new System.Collections.Concurrent.BlockingCollection<Action>();
        _store.BeforeOpen = _ => gate.Wait();
        _db.Server.Post = posted.Add;
        InProcess.Client first = _db.Connect(), second = _db.Connect(), gone = _db.Connect(), impatient = _db.Connect();
        first.SendRaw(Encoding.ASCII.GetBytes("PING\r\nMIMEI OPEN shop\r\nSET k v\r\n"));
        Assert.Equal("+PONG", first.Take());
        Assert.Null(first.Take());
        InProcess.Client silent = _db.Connect();
        Assert.Equal("(none)", silent.Run("CLIENT REPLY OFF"));
        Assert.Equal("(none)", silent.Run("MIMEI OPEN shop"));
        Assert.Equal("(none)", second.Run("HELLO 3 AUTH default@shop x"));
        Assert.Equal("(none)", gone.Run("MIMEI OPEN shop"));
        gone.Dispose();
        Assert.Equal("(none)", impatient.Run("MIMEI OPEN shop"));
        Assert.Equal(":1", _db.Run($"CLIENT UNBLOCK {impatient.Session.Id}"));
        Assert.StartsWith("-ERR the client was unblocked", impatient.Take(), StringComparison.Ordinal);
        Assert.Equal("+OK", _db.Run("SET k default"));
        Assert.Contains("blocked_clients:3", _db.Run("INFO clients"), StringComparison.Ordinal);
        gate.Set();
        posted.Take()();
        Assert.Equal("+OK", first.Take());
        Assert.Equal("+OK", first.Take());
        Assert.Null(silent.Take());
        Assert.Equal("+OK", silent.Run("CLIENT REPLY ON"));
        Assert.Contains(mid, silent.Run("MIMEI ID"), StringComparison.Ordinal);
        silent.Dispose();
        Assert.StartsWith("%{\"server\"", second.Take(), StringComparison.Ordinal);
        Assert.Equal("\"v\"", second.Run("GET k"));
        Assert.Equal("\"default\"", impatient.Run("GET k"));
        Assert.Equal(1, _store.Opened);

        // One that is being closed is opened again when that is over.
        first.Dispose();
        second.Dispose();
        Rest(400);
        Assert.Single(_db.Server.Mimeis.Open);
        InProcess.Client third = _db.Connect();
        Assert.Equal("(none)", third.Run($"MIMEI OPEN {mid}"));
        posted.Take()();
        posted.Take()();
        Assert.Equal("+OK", third.Take());
        Assert.Equal("\"v\"", third.Run("GET k"));
        _db.Server.Post = null;
    }

    [Fact]
    public void A_thousand_are_open_at_a_time_and_keys_expire_in_each()
    {
        const int Count = 1000;
        for (int i = 0; i < Count; i++)
        {
            Create($"m{i}", $"n{i}");
            using InProcess.Client client = Client($"n{i}");
            Assert.Equal("+OK", client.Run($"SET k {i} PX 3000"));
            Assert.Equal("+OK", client.Run($"SET stays {i}"));
        }

        Assert.Equal(Count + 1, _db.Server.Mimeis.Open.Count);
        Rest(20);
        Assert.All(_db.Server.Mimeis.Open.Skip(1), static mimei => Assert.Equal(1, mimei.KeyCount));
        Rest(400);
        Assert.Single(_db.Server.Mimeis.Open);
        foreach (int i in (int[])[0, 500, 999])
        {
            using InProcess.Client client = Client($"n{i}");
            Assert.Equal($"\"{i}\"", client.Run("GET stays"));
        }
    }

    [Fact]
    public void Maxmemory_is_for_all_together_and_who_writes_makes_room_among_its_own_keys()
    {
        Create("a", "shop");
        InProcess.Client shop = Client("shop");
        for (int i = 0; i < 3000; i++)
        {
            shop.Run($"SET big{i} {new string('x', 1000)}");
        }

        _db.Prepare("CONFIG SET maxmemory 4mb", "CONFIG SET maxmemory-policy allkeys-random");
        for (int i = 0; i < 3000; i++)
        {
            Assert.Equal("+OK", _db.Run($"SET k{i} {new string('x', 1000)}"));
        }

        long used = _db.Server.Mimeis.UsedBytes;
        Assert.InRange(used, 2 << 20, (4 << 20) + 4096);
        Assert.InRange(long.Parse(shop.Run("DBSIZE")[1..], System.Globalization.CultureInfo.InvariantCulture), 2990, 3000);
        Assert.Contains($"used_memory:{_db.Server.Mimeis.UsedBytes}\\r\\n", _db.Run("INFO memory"), StringComparison.Ordinal);
        _db.Prepare("CONFIG SET maxmemory-policy noeviction", "CONFIG SET maxmemory 1mb");
        Assert.Equal("-OOM command not allowed when used memory > 'maxmemory'.", shop.Run("SET one more"));
    }

    // ------------------------------------------------------------------ the log

    [Fact]
    public void A_turn_writes_the_log_of_each_MiMei_that_it_changed()
    {
        Create("a", "shop");
        Create("b", "bank");
        _db.Run("MIMEI OPEN shop");
        WriteLog shop = _db.Default.Session.Mimei.Log!;
        _db.Run("MIMEI OPEN bank");
        WriteLog bank = _db.Default.Session.Mimei.Log!;
        _db.Default.SendRaw(Encoding.ASCII.GetBytes("SET k 1\r\nMIMEI OPEN shop\r\nSET k 1\r\nSET k 2\r\n"));
        Assert.Equal((1ul, 2ul), (bank.LastSequence, shop.LastSequence));
        Assert.Equal((1ul, 2ul), (bank.WrittenSequence, shop.WrittenSequence));
        Assert.False(bank.HasUnwritten || shop.HasUnwritten);
    }

    /// <summary>Time passes, and the periodic work is done as often as the server asks.</summary>
    private void Rest(int seconds)
    {
        int rounds = Math.Min(seconds * 10, 1000);
        for (int i = 0; i < rounds; i++)
        {
            _db.Clock.Advance(seconds * 1000L / rounds);
            _db.Server.Cron(_db.Clock.NowMs);
            _db.Server.EndTurn();
        }
    }

    private string Create(string mark, string? name = null)
    {
        string mid = Word(_db.Run($"MIMEI CREATE DB MARK {mark}"));
        if (name is not null)
        {
            Assert.Equal("+OK", _db.Run($"MIMEI NAME {name} {mid}"));
        }

        return mid;
    }

    private InProcess.Client Client(string name)
    {
        InProcess.Client client = _db.Connect();
        Assert.Equal("+OK", client.Run($"MIMEI OPEN {name}"));
        return client;
    }

    private static string Word(string reply) => reply.Trim('"');
}
