// MIGRATE: keys move between Leither and Redis in every direction, with the same replies whoever is asked; and whatever
// happens on the way, no key is lost and none is in two places without an error that says so.

using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Leither.TestKit;
using Xunit;

namespace Leither.RedisCompat;

public sealed class MigrateTests
{
    /// <summary>Who sends, who receives. Redis to Redis is the judge: the same promises hold there.</summary>
    public static TheoryData<string, string> Directions => new()
    {
        { "redis", "redis" },
        { "redis", "leither" },
        { "leither", "redis" },
        { "leither", "leither" },
    };

    [Theory]
    [MemberData(nameof(Directions))]
    public void Every_option_and_every_refusal_is_as_in_Redis(string from, string to)
    {
        using ServerProcess source = Start(from), target = Start(to);
        using RespClient here = source.Connect(), there = target.Connect();

        Assert.Equal("NOKEY", Migrate(here, target, "none"));
        Assert.Equal("NOKEY", Migrate(here, target, "", "KEYS", "none", "nor this"));
        Assert.Equal("ERR When using MIGRATE KEYS option, the key argument must be set to the empty string", Migrate(here, target, "a", "KEYS", "b"));
        Assert.Equal("ERR syntax error", Migrate(here, target, "a", "AUTH"));
        Assert.Equal("ERR syntax error", Migrate(here, target, "a", "AUTH2", "user"));
        Assert.Equal("ERR syntax error", Migrate(here, target, "a", "SOMEHOW"));
        Assert.Equal("ERR value is not an integer or out of range", here.Call("MIGRATE", "127.0.0.1", "1", "a", "0", "soon").Text);
        Assert.Equal("ERR value is not an integer or out of range", here.Call("MIGRATE", "127.0.0.1", "1", "a", "nowhere", "10").Text);

        here.Call("SET", "a", "1");
        Assert.Equal("OK", Migrate(here, target, "a"));
        Assert.Equal(0, here.Call("EXISTS", "a").Integer);
        Assert.Equal("1", there.Call("GET", "a").Text);

        here.Call("SET", "a", "2", "EX", "1000");
        const string taken = "ERR Target instance replied with error: BUSYKEY Target key name already exists.";
        Assert.Equal(taken, Migrate(here, target, "a"));
        Assert.Equal("2", here.Call("GET", "a").Text);
        Assert.Equal("1", there.Call("GET", "a").Text);
        Assert.Equal("OK", Migrate(here, target, "a", "COPY", "REPLACE"));
        Assert.Equal("2", here.Call("GET", "a").Text);
        Assert.Equal("2", there.Call("GET", "a").Text);
        Assert.InRange(there.Call("TTL", "a").Integer, 900, 1000);

        // Those that fit go, the one that does not stays, and the error says so.
        here.Call("MSET", "b", "3", "c", "4");
        Assert.Equal(taken, Migrate(here, target, "", "KEYS", "b", "a", "absent", "c"));
        Assert.Equal(["a"], here.Call("KEYS", "*").Items.Select(static k => k.Text));
        Assert.Equal(["a", "b", "c"], there.Call("KEYS", "*").Items.Select(static k => k.Text).Order());

        // Named twice it is moved once.
        here.Call("SET", "d", "5");
        Assert.Equal("OK", Migrate(here, target, "", "REPLACE", "KEYS", "d", "d"));
        Assert.Equal(0, here.Call("EXISTS", "d").Integer);
        Assert.Equal("5", there.Call("GET", "d").Text);

        // Another database, and one that is not there; the connection stays as the next one wants it.
        here.Call("MSET", "e", "6", "f", "7");
        Assert.Equal("OK", Migrate(here, target, "e", database: "9"));
        Assert.Equal("ERR Target instance replied with error: ERR DB index is out of range", Migrate(here, target, "f", database: "99"));
        Assert.Equal("7", here.Call("GET", "f").Text);
        Assert.Equal("OK", Migrate(here, target, "f"));
        Assert.Equal("7", there.Call("GET", "f").Text);
        there.Call("SELECT", "9");
        Assert.Equal("6", there.Call("GET", "e").Text);
    }

    [Theory]
    [MemberData(nameof(Directions))]
    public void It_logs_in_as_told(string from, string to)
    {
        using ServerProcess source = Start(from), target = Start(to, "--requirepass", "secret");
        using RespClient here = source.Connect(), there = target.Connect();
        there.Call("AUTH", "secret");
        there.Call("ACL", "SETUSER", "mover", "on", ">own", "~*", "+restore", "+select");
        here.Call("MSET", "a", "1", "b", "2");
        Assert.Equal("ERR Target instance replied with error: NOAUTH Authentication required.", Migrate(here, target, "a"));
        Assert.StartsWith("ERR Target instance replied with error: WRONGPASS ", Migrate(here, target, "a", "AUTH", "guess"), StringComparison.Ordinal);
        Assert.StartsWith("ERR Target instance replied with error: WRONGPASS ", Migrate(here, target, "a", "AUTH2", "mover", "secret"), StringComparison.Ordinal);
        Assert.Equal(2, here.Call("EXISTS", "a", "b").Integer);
        Assert.Equal("OK", Migrate(here, target, "a", "AUTH", "secret"));
        Assert.Equal("OK", Migrate(here, target, "b", "AUTH2", "mover", "own"));
        Assert.Equal(2, there.Call("EXISTS", "a", "b").Integer);
    }

    [Theory]
    [InlineData("redis")]
    [InlineData("leither")]
    public void Neither_MONITOR_nor_SLOWLOG_shows_its_passwords(string kind)
    {
        using ServerProcess source = Start(kind, "--slowlog-log-slower-than", "0");
        using RespClient here = source.Connect(), monitor = source.Connect();
        monitor.Call("MONITOR");
        here.Call("SET", "a", "1");
        here.Call("MIGRATE", "127.0.0.1", "1", "", "0", "10", "AUTH", "word1", "KEYS", "AUTH", "kept");
        here.Call("MIGRATE", "127.0.0.1", "1", "a", "0", "10", "COPY", "AUTH2", "name2", "word2");
        here.Call("ECHO", "end");
        var seen = new StringBuilder();
        string line;
        do
        {
            seen.AppendLine(line = monitor.Read().Text);
        }
        while (!line.Contains("\"end\"", StringComparison.Ordinal));
        seen.AppendLine(here.Call("SLOWLOG", "GET", "-1").ToString());
        Assert.DoesNotContain("word", seen.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain("name2", seen.ToString(), StringComparison.Ordinal);
        Assert.Contains("\"AUTH\" \"(redacted)\" \"KEYS\" \"AUTH\" \"kept\"", seen.ToString(), StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Directions))]
    public void A_server_that_is_gone_stopped_or_came_back_costs_no_key(string from, string to)
    {
        using ServerProcess source = Start(from), target = Start(to, "--appendonly", "yes");
        using RespClient here = source.Connect();
        here.Call("MSET", "a", "1", "b", "2", "c", "3");
        Assert.Equal("IOERR error or timeout connecting to the client", here.Call("MIGRATE", "nowhere.invalid", "1", "a", "0", "50000").Text);
        Assert.Equal("IOERR error or timeout writing to target instance", here.Call("MIGRATE", "127.0.0.1", "1", "a", "0", "1000").Text);
        Assert.Equal("OK", Migrate(here, target, "a"));

        // The connection that was kept is dead, and a new one is made.
        target.Restart();
        Assert.Equal("OK", Migrate(here, target, "b"));

        using RespClient there = target.Connect();
        there.Call("CLIENT", "PAUSE", "100000", "WRITE");
        Assert.Equal("IOERR error or timeout reading to target instance", Migrate(here, target, "c", timeout: "1000"));
        Assert.Equal("3", here.Call("GET", "c").Text);
        there.Call("CLIENT", "UNPAUSE");
        Assert.Equal(2, there.Call("EXISTS", "a", "b").Integer);
        Assert.Equal("OK", Migrate(here, target, "c", "REPLACE"));
        Assert.Equal("3", there.Call("GET", "c").Text);
    }

    [Fact]
    public void What_a_key_becomes_on_its_way_arrives_and_others_go_on_meanwhile()
    {
        using ServerProcess source = Start("leither"), target = Start("redis");
        using RespClient mover = source.Connect(), here = source.Connect(), there = target.Connect();
        here.Call("MSET", "changed", "1", "gone", "2", "same", "3");
        there.Call("CLIENT", "PAUSE", "100000", "WRITE");
        mover.Queue("MIGRATE", "127.0.0.1", Number(target.Port), "", "0", "50000", "KEYS", "changed", "gone", "same");
        mover.Flush();
        Wait.Until(() => here.Call("INFO", "clients").Text.Contains("blocked_clients:1", StringComparison.Ordinal));

        Assert.Equal("OK", here.Call("SET", "changed", "now").Text);
        Assert.Equal(1, here.Call("DEL", "gone").Integer);
        there.Call("CLIENT", "UNPAUSE");
        Assert.Equal("OK", mover.Read().Text);
        Assert.Equal(0, here.Call("DBSIZE").Integer);
        Assert.Equal("now", there.Call("GET", "changed").Text);
        Assert.Equal("3", there.Call("GET", "same").Text);
        Assert.Equal(2, there.Call("DBSIZE").Integer);
    }

    [Fact]
    public void Keys_that_migrate_to_where_they_are_stay()
    {
        using ServerProcess source = Start("leither");
        using RespClient here = source.Connect();
        here.Call("SET", "a", "1");
        Assert.StartsWith("ERR Target instance replied with error: BUSYKEY", Migrate(here, source, "a"), StringComparison.Ordinal);
        Assert.StartsWith("ERR ", Migrate(here, source, "a", "REPLACE"), StringComparison.Ordinal);
        Assert.Equal("1", here.Call("GET", "a").Text);
        Assert.Equal("OK", Migrate(here, source, "a", database: "3"));
        Assert.Equal(0, here.Call("EXISTS", "a").Integer);
        here.Call("SELECT", "3");
        Assert.Equal("1", here.Call("GET", "a").Text);
    }

    [Fact]
    public void Who_was_unblocked_gets_no_second_reply()
    {
        using ServerProcess source = Start("leither"), target = Start("redis");
        using RespClient mover = source.Connect(), here = source.Connect(), there = target.Connect();
        string id = mover.Call("CLIENT", "ID").Text;
        here.Call("SET", "a", "1");
        there.Call("CLIENT", "PAUSE", "100000", "WRITE");
        mover.Queue("MIGRATE", "127.0.0.1", Number(target.Port), "a", "0", "50000");
        mover.Flush();
        Wait.Until(() => here.Call("CLIENT", "UNBLOCK", id).Integer == 1);

        Assert.StartsWith("IOERR", mover.Read().Text, StringComparison.Ordinal);
        mover.Queue("BLPOP", "list", "0");
        mover.Flush();
        there.Call("CLIENT", "UNPAUSE");
        Wait.Until(() => here.Call("EXISTS", "a").Integer == 0);

        here.Call("RPUSH", "list", "x");
        Assert.Equal("x", mover.Read()[1].Text);
    }

    [Fact]
    public void No_key_leaves_in_the_middle_of_a_script()
    {
        using ServerProcess source = Start("leither", "--busy-reply-threshold", "10"), target = Start("redis");
        using RespClient mover = source.Connect(), here = source.Connect(), running = source.Connect(), there = target.Connect();
        here.Call("SET", "a", "1");
        there.Call("CLIENT", "PAUSE", "100000", "WRITE");
        mover.Queue("MIGRATE", "127.0.0.1", Number(target.Port), "a", "0", "50000");
        mover.Flush();
        Wait.Until(() => there.Call("INFO", "clients").Text.Contains("blocked_clients:1", StringComparison.Ordinal));
        running.Queue("EVAL", "local before = redis.call('EXISTS', 'a') local from = os.clock() while os.clock() - from < 1 do end return {before, redis.call('EXISTS', 'a')}", "0");
        running.Flush();
        Wait.Until(() => here.Call("EXISTS", "a").Text.StartsWith("BUSY", StringComparison.Ordinal));
        there.Call("CLIENT", "UNPAUSE");
        Wait.Until(() =>
        {
            // A turn in which the target's reply could come in.
            here.Call("PING");
            return running.WaitReadable(TimeSpan.Zero);
        });
        Assert.Equal([1, 1], running.Read().Items.Select(static i => i.Integer));
        Assert.Equal("OK", mover.Read().Text);
        Assert.Equal(0, here.Call("EXISTS", "a").Integer);
        Assert.Equal("1", there.Call("GET", "a").Text);
    }

    [Fact]
    public void Replicas_and_the_log_see_keys_leave()
    {
        using LeitherServer source = LeitherServer.StartNew("--notify-keyspace-events", "KA");
        using ServerProcess target = Start("redis"), replica = Start("redis", "--replicaof", $"127.0.0.1 {source.Port}");
        using RespClient here = source.Connect(), there = replica.Connect(), listener = source.Connect();
        here.Call("MSET", "a", "1", "b", "2");
        Wait.Until(() => there.Call("DBSIZE").Integer == 2);
        listener.Call("SUBSCRIBE", "__keyspace@0__:a");
        Assert.Equal("OK", Migrate(here, target, "a"));
        Assert.Equal("del", listener.Read()[2].Text);
        Assert.Equal(1, here.Call("WAIT", "1", "50000").Integer);
        Assert.Equal(["b"], there.Call("KEYS", "*").Items.Select(static k => k.Text));
        source.Kill();
        source.Start();
        using RespClient again = source.Connect();
        Assert.Equal(["b"], again.Call("KEYS", "*").Items.Select(static k => k.Text));
    }

    [Theory]
    [InlineData("HTTP/1.1 200 OK\r\n\r\n")]
    [InlineData("$-2\r\n")]
    [InlineData("*9223372036854775807\r\n")]
    [InlineData("+OK")]
    [InlineData("")]
    public void A_target_that_talks_nonsense_gets_no_key_and_an_IOERR(string said)
    {
        using ServerProcess source = Start("leither");
        using RespClient here = source.Connect();
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var answering = new Thread(() =>
        {
            // It may be asked a second time.
            for (int i = 0; i < 2; i++)
            {
                try
                {
                    using Socket socket = listener.AcceptSocket();
                    socket.Receive(new byte[4096]);
                    socket.Send(Encoding.ASCII.GetBytes(said));
                }
                catch (Exception e) when (e is SocketException or InvalidOperationException)
                {
                    return;
                }
            }
        });
        answering.Start();
        here.Call("SET", "a", "1");
        Assert.Equal(
            "IOERR error or timeout reading to target instance",
            here.Call("MIGRATE", "127.0.0.1", Number(((IPEndPoint)listener.LocalEndpoint).Port), "a", "0", "5000").Text);
        Assert.Equal("1", here.Call("GET", "a").Text);
        listener.Stop();
        answering.Join();
    }

    [Theory]
    [MemberData(nameof(Directions))]
    public void Big_values_and_many_keys_move_at_once(string from, string to)
    {
        using ServerProcess source = Start(from), target = Start(to);
        using RespClient here = source.Connect(), there = target.Connect();
        byte[] big = new byte[32 << 20];
        new Random(7).NextBytes(big);
        here.Call(["SET"u8.ToArray(), "big"u8.ToArray(), big]);
        string[] keys = [.. Enumerable.Range(0, 10_000).Select(static i => "k" + Number(i))];
        foreach (string[] some in keys.Chunk(1000))
        {
            here.Call(["MSET", .. some.SelectMany(static k => new[] { k, k })]);
        }

        RespValue reply = here.Call(["MIGRATE", "127.0.0.1", Number(target.Port), "", "0", "50000", "KEYS", "big", .. keys]);
        Assert.True(reply.Text == "OK", reply.ToString());
        Assert.Equal(0, here.Call("DBSIZE").Integer);
        Assert.Equal(10_001, there.Call("DBSIZE").Integer);
        Assert.Equal("k77", there.Call("GET", "k77").Text);
        Assert.Equal(big, there.Call("GET", "big").Bytes);
    }

    private static ServerProcess Start(string kind, params string[] arguments) =>
        kind == "redis" ? RedisServer.StartNew(arguments) : LeitherServer.StartNew(arguments);

    private static string Migrate(RespClient client, ServerProcess to, string key, params string[] options) => Migrate(client, to, key, options, "0", "50000");

    private static string Migrate(RespClient client, ServerProcess to, string key, string[]? options = null, string database = "0", string timeout = "50000") =>
        client.Call(["MIGRATE", "127.0.0.1", Number(to.Port), key, database, timeout, .. options ?? []]).Text;

    private static string Number(long value) => value.ToString(CultureInfo.InvariantCulture);
}
