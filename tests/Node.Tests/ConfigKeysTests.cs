using Leither.MmDb.Configuration;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

public sealed class ConfigKeysTests
{
    /// <summary>Where Leither decided otherwise, or where a redis-server made for a test was told otherwise.</summary>
    private static readonly string[] OwnDefaults = ["port", "appendonly", "dir", "bind", "save", "tls-auth-clients"];

    /// <summary>What depends on how Debian built or started its server.</summary>
    private static readonly string[] OfTheBuild = ["tcp-keepalive", "oom-score-adj", "supervised", "logfile", "pidfile"];

    [Fact]
    public void Every_key_of_redis_is_known_with_its_default()
    {
        if (!RedisServer.IsInstalled)
        {
            return;
        }

        using RedisServer redis = RedisServer.StartNew();
        using RespClient client = redis.Connect();
        RespValue[] items = client.Call("CONFIG", "GET", "*").Items;
        ConfigSettings settings = new();
        List<string> different = [];
        for (int i = 0; i < items.Length; i += 2)
        {
            string name = items[i].Text;
            ConfigKey? key = ConfigKeys.Find(name);
            if (key is null)
            {
                different.Add($"{name} is not known");
            }
            else if (!OwnDefaults.Contains(name) && !OfTheBuild.Contains(name) && settings.Show(key) != items[i + 1].Text)
            {
                different.Add($"{name} is '{settings.Show(key)}', in redis '{items[i + 1].Text}'");
            }
        }

        Assert.Empty(different);
    }

    [Theory]
    [InlineData("maxmemory", "100mb")]
    [InlineData("maxmemory", "1k")]
    [InlineData("maxmemory", "18446744073709551615")]
    [InlineData("maxmemory", "-1")]
    [InlineData("maxmemory", "10tb")]
    [InlineData("maxmemory", "1.5gb")]
    [InlineData("maxmemory-clients", "5%")]
    [InlineData("maxmemory-clients", "101%")]
    [InlineData("maxmemory-clients", "-3%")]
    [InlineData("maxmemory-clients", "1gb")]
    [InlineData("maxmemory-samples", "0")]
    [InlineData("maxmemory-samples", "+5")]
    [InlineData("maxmemory-samples", "05")]
    [InlineData("maxmemory-samples", "7")]
    [InlineData("maxmemory-policy", "ALLKEYS-LRU")]
    [InlineData("maxmemory-policy", "none")]
    [InlineData("hz", "0")]
    [InlineData("hz", "5000")]
    [InlineData("hz", "-1")]
    [InlineData("proto-max-bulk-len", "1")]
    [InlineData("list-max-listpack-size", "-5")]
    [InlineData("list-max-ziplist-size", "128")]
    [InlineData("list-max-ziplist-size", "9999999999")]
    [InlineData("hash-max-ziplist-entries", "-1")]
    [InlineData("hash-max-listpack-value", "1mb")]
    [InlineData("appendfsync", "always")]
    [InlineData("appendfsync", "sometimes")]
    [InlineData("protected-mode", "YES")]
    [InlineData("protected-mode", "true")]
    [InlineData("save", "")]
    [InlineData("save", "10 20 30 40")]
    [InlineData("save", "10")]
    [InlineData("save", "0 1")]
    [InlineData("save", "10  20")]
    [InlineData("client-output-buffer-limit", "normal 1mb 2mb 60 slave 3 2 1")]
    [InlineData("client-output-buffer-limit", "replica 1gb 512mb 60")]
    [InlineData("client-output-buffer-limit", "master 0 0 0")]
    [InlineData("client-output-buffer-limit", "normal x 0 0")]
    [InlineData("client-output-buffer-limit", "normal 0 0")]
    [InlineData("client-output-buffer-limit", "pubsub 0 0 -5")]
    [InlineData("notify-keyspace-events", "KEA")]
    [InlineData("notify-keyspace-events", "AKEmn")]
    [InlineData("notify-keyspace-events", "gxE")]
    [InlineData("notify-keyspace-events", "q")]
    [InlineData("notify-keyspace-events", "")]
    [InlineData("oom-score-adj-values", "1 2 3")]
    [InlineData("oom-score-adj-values", "1 2")]
    [InlineData("oom-score-adj-values", "1 2 3000")]
    [InlineData("latency-tracking-info-percentiles", "50.5 99.999 100")]
    [InlineData("latency-tracking-info-percentiles", "")]
    [InlineData("latency-tracking-info-percentiles", "101")]
    [InlineData("latency-tracking-info-percentiles", "x")]
    [InlineData("shutdown-on-sigterm", "nosave now")]
    [InlineData("shutdown-on-sigterm", "save nosave")]
    [InlineData("shutdown-on-sigterm", "later")]
    [InlineData("oom-score-adj", "x")]
    [InlineData("port", "70000")]
    [InlineData("databases", "4")]
    [InlineData("dbfilename", "x.rdb")]
    [InlineData("dir", "/tmp")]
    [InlineData("no-such-key", "1")]
    [InlineData("requirepass", "")]
    [InlineData("timeout", "12abc")]
    [InlineData("maxclients", "0")]
    [InlineData("unixsocketperm", "700")]
    [InlineData("slowlog-log-slower-than", "-2")]
    [InlineData("tracking-table-max-keys", "-7")]
    [InlineData("repl-backlog-size", "0")]
    [InlineData("cluster-announce-hostname", "a_b")]
    [InlineData("proc-title-template", "{nothing}")]
    public void CONFIG_SET_answers_and_leaves_what_redis_does(string key, string value)
    {
        if (!RedisServer.IsInstalled)
        {
            return;
        }

        using RespClient client = Judge.Value.Connect();
        RespValue reply = client.Call("CONFIG", "SET", key, value);
        string expected = reply.IsError ? reply.Text : "OK";
        RespValue[] got = client.Call("CONFIG", "GET", key).Items;
        if (!reply.IsError)
        {
            client.Call("CONFIG", "SET", key, Defaults.First(d => d.Name == key).Value);
        }

        ConfigSettings settings = new();
        string? error = settings.Set([(key, value)], isLocal: true);
        Assert.Equal(expected, error is null ? "OK" : "ERR " + error);
        if (got.Length > 0 && !OwnDefaults.Contains(key) || error is null)
        {
            Assert.Equal(got[1].Text, settings.Match([key], (_, _) => false)[0].Value);
        }
    }

    [Fact]
    public void CONFIG_SET_of_many_keys_changes_all_or_none()
    {
        ConfigSettings settings = new();
        List<string> told = [];
        settings.OnChange(() => { told.Add("memory"); return null; }, ConfigKeys.MaxMemory, ConfigKeys.MaxMemorySamples);
        settings.OnChange(() => { told.Add("port"); return "Unable to listen on this port. Check server logs."; }, ConfigKeys.Port);

        Assert.Equal(
            "CONFIG SET failed (possibly related to argument 'hz') - argument couldn't be parsed into an integer",
            settings.Set([("maxmemory", "1mb"), ("hz", "x")], true));
        Assert.Equal(0, settings.Get(ConfigKeys.MaxMemory));
        Assert.Empty(told);

        Assert.Equal(
            "CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this port. Check server logs.",
            settings.Set([("maxmemory", "1mb"), ("maxmemory-samples", "6"), ("port", "1")], true));
        Assert.Equal(0, settings.Get(ConfigKeys.MaxMemory));
        Assert.Equal(ConfigKeys.DefaultPort, settings.Get(ConfigKeys.Port));
        Assert.Equal(["memory", "port", "memory", "port"], told);

        told.Clear();
        Assert.Null(settings.Set([("maxmemory", "1mb"), ("hz", "10")], true));
        Assert.Equal(1 << 20, settings.Get(ConfigKeys.MaxMemory));
        Assert.Equal(["memory"], told);

        Assert.Equal(
            "CONFIG SET failed (possibly related to argument 'HZ') - duplicate parameter",
            settings.Set([("hz", "1"), ("HZ", "2")], true));
    }

    [Fact]
    public void Protected_keys_open_to_whom_the_configuration_says()
    {
        ConfigSettings settings = new();
        string refused = "CONFIG SET failed (possibly related to argument 'dbfilename') - can't set protected config";
        Assert.Equal(refused, settings.Set([("dbfilename", "a")], isLocal: true));
        new ConfigLoader(settings, _ => "", "test").Load("enable-protected-configs local");
        Assert.Equal(refused, settings.Set([("dbfilename", "a")], isLocal: false));
        Assert.Null(settings.Set([("dbfilename", "a")], isLocal: true));
    }

    [Fact]
    public void CONFIG_GET_finds_names_older_names_and_hidden_keys_by_their_full_name_only()
    {
        ConfigSettings settings = new();
        bool Starts(string pattern, string name) => name.StartsWith(pattern.TrimEnd('*'), StringComparison.OrdinalIgnoreCase);
        Assert.Equal(
            [("replica-announce-ip", ""), ("replica-announce-port", "0"), ("replica-announced", "yes")],
            settings.Match(["replica-announce*"], Starts).Order());
        Assert.Equal([("slave-announce-ip", ""), ("slave-announce-port", "0")], settings.Match(["slave-announce*"], Starts).Order());
        Assert.Empty(settings.Match(["watchdog*"], Starts));
        Assert.Equal([("watchdog-period", "0")], settings.Match(["watchdog-period"], Starts));
        Assert.Equal([("HZ", "10")], settings.Match(["HZ", "hz"], Starts));
    }

    private static readonly Lazy<RedisServer> Judge = new(() =>
    {
        RedisServer server = RedisServer.StartNew();
        AppDomain.CurrentDomain.ProcessExit += (_, _) => server.Dispose();
        return server;
    });

    private static IEnumerable<(string Name, string Value)> Defaults => new ConfigSettings().Match(["*"], (_, _) => true);
}
