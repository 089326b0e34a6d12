using Leither.MmDb.Configuration;
using Xunit;

namespace Leither.Node.Tests;

public sealed class ConfigTextTests
{
    [Theory]
    [InlineData("a  b\tc", "a|b|c")]
    [InlineData("a \"b c\" 'd e'", "a|b c|d e")]
    [InlineData("a \"\"", "a|")]
    [InlineData("a \"\\x41\\n\\q\" 'it\\'s' 'a\\n'", "a|A\nq|it's|a\\n")]
    [InlineData("x\"y z\"", "xy z")]
    [InlineData("a \"b\"c", null)]
    [InlineData("a \"b", null)]
    [InlineData("a 'b", null)]
    [InlineData("a \"b\\\"", null)]
    [InlineData("", "")]
    public void A_line_is_split_by_the_rules_of_redis(string line, string? expected)
    {
        List<string>? words = ConfigText.Split(line);
        Assert.Equal(expected, words is null ? null : string.Join('|', words));
    }

    [Fact]
    public void What_is_quoted_is_split_back_into_the_same()
    {
        string all = string.Concat(Enumerable.Range(0, 256).Select(c => (char)c));
        Assert.Equal([all, "next"], ConfigText.Split(ConfigText.Quote(all) + " next"));
    }

    [Fact]
    public void A_file_is_read_line_by_line_and_later_lines_win()
    {
        ConfigSettings settings = new();
        ConfigLoader loader = new(settings, name => name == "more.conf" ? "hz 50\nrdbcompression no\n" : throw new InvalidOperationException(name), "Leither test");
        loader.Load("""
            # a comment
            port 7000

            MAXMEMORY 2gb
            save 900 1
            save 300 10
            include more.conf
            port 7001
            client-output-buffer-limit normal 1mb 0 0
            client-output-buffer-limit pubsub 2mb 0 0
            requirepass "a b\x00c"
            list-max-ziplist-value 64
            slaveof 127.0.0.1 6379
            """);

        Assert.Equal(7001, settings.Get(ConfigKeys.Port));
        Assert.Equal(2L << 30, settings.Get(ConfigKeys.MaxMemory));
        Assert.Equal("900 1 300 10", settings.Show(ConfigKeys.Save));
        Assert.Equal(50, settings.Get(ConfigKeys.Hz));
        Assert.Equal(
            "normal 1048576 0 0 slave 268435456 67108864 60 pubsub 2097152 0 0", settings.Show(ConfigKeys.ClientOutputBufferLimit));
        Assert.Equal("a b\0c", settings.Get(ConfigKeys.RequirePass));
        Assert.Equal(["rdbcompression"], loader.WithoutMeaning);
    }

    [Theory]
    [InlineData("port", "wrong number of arguments")]
    [InlineData("port 1 2", "wrong number of arguments")]
    [InlineData("port x", "argument couldn't be parsed into an integer")]
    [InlineData("port 70000", "argument must be between 0 and 65535 inclusive")]
    [InlineData("nonsense 1", "Bad directive or wrong number of arguments")]
    [InlineData("include", "Bad directive or wrong number of arguments")]
    [InlineData("save 1", "Invalid save parameters")]
    [InlineData("logfile \"x", "Unbalanced quotes in configuration line")]
    [InlineData("appendfsync often", "argument(s) must be one of the following: everysec, always, no")]
    [InlineData("unixsocketperm 999", "argument couldn't be parsed as an octal number")]
    [InlineData("unixsocketperm 1777", "argument must be between 0 and 777 inclusive")]
    [InlineData("rename-command FLUSHALL \"\"", "rename-command is not supported")]
    [InlineData("user alice onn", "Error in user declaration 'onn': Syntax error")]
    public void A_wrong_line_is_named_with_its_place(string line, string error)
    {
        ConfigLoader loader = new(new ConfigSettings(), _ => "", "Leither 9.9");
        ConfigException e = Assert.Throws<ConfigException>(() => loader.Load("hz 10\n" + line));
        Assert.Equal($"\n*** FATAL CONFIG FILE ERROR (Leither 9.9) ***\nReading the configuration file, at line 2\n>>> '{line}'\n{error}", e.Message);
    }

    [Fact]
    public void Files_that_include_each_other_are_refused()
    {
        ConfigLoader loader = new(new ConfigSettings(), _ => "include again.conf", "Leither test");
        Assert.Equal("Files include each other without end", Assert.Throws<ConfigException>(() => loader.Load("include again.conf")).Error);
    }

    [Theory]
    [InlineData("", null, false, "")]
    [InlineData("redis.conf", "redis.conf", false, "")]
    [InlineData("redis.conf|--port|1|--hz|5", "redis.conf", false, "port \"1\" \nhz \"5\" ")]
    [InlineData("--port 1|--hz|5", null, false, "port 1 \nhz \"5\" ")]
    [InlineData("--save||--port|1", null, false, "save \"\" \nport \"1\" ")]
    [InlineData("--save|--port|1", null, false, "save \"\"\nport \"1\" ")]
    [InlineData("--port|1|--save", null, false, "port \"1\" \nsave \"\"")]
    [InlineData("--save|900|1|300|10", null, false, "save \"900\" \"1\" \"300\" \"10\" ")]
    [InlineData("--requirepass|--secret|--port|1", null, false, "requirepass \"--secret\" \nport \"1\" ")]
    [InlineData("-|--port|1", null, true, "port \"1\" ")]
    [InlineData("--port|1|-", null, true, "port \"1\" ")]
    [InlineData("--requirepass|-|--port|1", null, false, "requirepass \"-\" \nport \"1\" ")]
    public void Arguments_become_lines_behind_the_file(string arguments, string? file, bool fromStandardInput, string options)
    {
        ConfigArguments parsed = ConfigArguments.Parse(arguments.Length == 0 ? [] : arguments.Split('|'));
        Assert.Equal(new ConfigArguments(file, fromStandardInput, options), parsed);
    }

    [Fact]
    public void A_rewritten_file_keeps_comments_and_order_and_says_what_holds_now()
    {
        const string old = """
            # my node
            port 7000
              # indented
            save 900 1
            save 300 10
            save 60 1000
            maxmemory 1gb
            nonsense here
            include more.conf
            bind 127.0.0.1


            # the end
            """;
        ConfigSettings settings = new();
        // The nonsense stands for a line of another product, which a rewrite keeps as a comment.
        new ConfigLoader(settings, _ => "", "test").Load(
            old.Replace("nonsense here", "", StringComparison.Ordinal).Replace("include more.conf", "", StringComparison.Ordinal));
        Assert.Null(settings.Set([("save", "100 5"), ("maxmemory", "1536mb"), ("hz", "20"), ("requirepass", "a \"b\""), ("bind", "* -::*")], true));
        string rewritten = ConfigRewriter.Rewrite(old, settings, []);
        Assert.Equal(
            """
            # my node
            port 7000
            # indented
            save 100 5

            maxmemory 1536mb
            # ??? nonsense here
            include more.conf

            # the end
            # Generated by CONFIG REWRITE
            hz 20
            requirepass "a \"b\""

            """,
            rewritten);

        Assert.Equal(rewritten, ConfigRewriter.Rewrite(rewritten, settings, []));
        ConfigSettings again = new();
        new ConfigLoader(again, _ => "", "test").Load(rewritten);
        foreach (ConfigKey key in ConfigKeys.All)
        {
            Assert.Equal(settings.Show(key), again.Show(key));
        }
    }

    [Fact]
    public void Every_value_that_is_not_the_default_survives_a_rewrite()
    {
        ConfigSettings settings = new();
        new ConfigLoader(settings, _ => "", "test").Load("""
            unixsocketperm 770
            maxmemory-clients 25%
            client-output-buffer-limit replica 1gb 3 60
            notify-keyspace-events AKEm
            latency-tracking-info-percentiles 1.5 2
            oom-score-adj-values 1 2 3
            replicaof 10.0.0.1 6379
            shutdown-on-sigterm nosave now
            save ""
            bind ""
            unixsocket "/tmp/a b"
            slave-priority 7
            """);
        ConfigSettings again = new();
        new ConfigLoader(again, _ => "", "test").Load(ConfigRewriter.Rewrite("", settings, []));
        foreach (ConfigKey key in ConfigKeys.All)
        {
            Assert.Equal(settings.Show(key), again.Show(key));
        }
    }
}
