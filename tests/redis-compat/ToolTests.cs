// Redis's own tools, redis-cli and redis-benchmark, against Leither: each way of using them that talks to a server.

using System.Diagnostics;
using System.Globalization;
using System.Text;
using Leither.TestKit;
using Xunit;

namespace Leither.RedisCompat;

public sealed class ToolTests : IClassFixture<ToolTests.Filled>
{
    private readonly Filled _filled;

    public ToolTests(Filled filled) => _filled = filled;

    /// <summary>A server with keys of every type.</summary>
    public sealed class Filled : IDisposable
    {
        public Filled()
        {
            Server = LeitherServer.StartNew(["--maxmemory-policy", "allkeys-lfu", "--maxmemory", "100mb"]);
            var commands = new StringBuilder();
            for (int i = 0; i < 500; i++)
            {
                commands.Append(CultureInfo.InvariantCulture, $"SET key:{i} {new string('v', i)}\nRPUSH list {i}\nSADD set {i}\nZADD zset {i} {i}\nHSET hash {i} {i}\n");
            }

            commands.Append("XADD stream * f v\n");
            commands.Replace("SET key:0 \n", "SET key:0 \"\"\n");
            Printed = Shell($"redis-cli -p {Server.Port} --pipe", commands.ToString());
        }

        public LeitherServer Server { get; }

        public string Printed { get; }

        public void Dispose() => Server.Dispose();
    }

    private string Cli(string arguments, string input = "") => Shell($"redis-cli -p {_filled.Server.Port} {arguments}", input);

    [Fact]
    public void Redis_cli_pipe_reports_every_reply()
    {
        Assert.Contains("errors: 0, replies: 2501", _filled.Printed, StringComparison.Ordinal);
        Assert.Contains("errors: 1, replies: 2", Cli("--pipe -n 3", "SELECT 3\r\nLPUSH\r\n"), StringComparison.Ordinal);
    }

    [Fact]
    public void Redis_cli_scan_finds_every_key_once()
    {
        string[] keys = Cli("--scan --pattern key:*").Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(Enumerable.Range(0, 500).Select(i => $"key:{i}").Order(StringComparer.Ordinal), keys.Order(StringComparer.Ordinal));
    }

    [Theory]
    [InlineData("--bigkeys", "string found '\"key:499\"' has 499 bytes", "list found '\"list\"' has 500 items", "hash found '\"hash\"' has 500 fields", "zset found '\"zset\"' has 500 members")]
    [InlineData("--memkeys", "Sampled 505 keys", "Biggest string found '\"key:49", "Biggest   list found '\"list\"' has ")]
    [InlineData("--hotkeys", "Sampled 505 keys", "hot key found with counter: ")]
    public void Redis_cli_samples_the_keyspace(string option, params string[] expected)
    {
        string printed = Cli(option);
        Assert.All(expected, line => Assert.Contains(line, printed, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("--latency")]
    [InlineData("--latency-history -i 1")]
    [InlineData("--stat")]
    public async Task Redis_cli_watches_until_it_is_stopped(string option)
    {
        string[] command = ["-oL", "redis-cli", "-p", _filled.Server.Port.ToString(CultureInfo.InvariantCulture), .. option.Split(' ')];
        using Process cli = Process.Start(new ProcessStartInfo("stdbuf", command) { RedirectStandardOutput = true })!;
        try
        {
            // Headings come before the first figures.
            string? line;
            do
            {
                line = await cli.StandardOutput.ReadLineAsync().WaitAsync(Wait.Limit);
                Assert.NotNull(line);
            }
            while (!line.Any(char.IsAsciiDigit));
            Assert.Matches("^[-0-9.A-Z()+ ]+$", line);
        }
        finally
        {
            cli.Kill();
        }
    }

    [Fact]
    public void Redis_cli_speaks_RESP3_and_prints_raw_csv_and_json()
    {
        Cli("-n 1 RPUSH ab a b");
        Cli("-n 1 HSET h f v");
        Assert.StartsWith("server redis\n", Cli("-3 HELLO 3"), StringComparison.Ordinal);
        Assert.Equal("1) \"a\"\n2) \"b\"\n", Cli("-n 1 --no-raw LRANGE ab 0 -1"));
        Assert.Equal("\"a\",\"b\"\n", Cli("-n 1 --csv LRANGE ab 0 -1"));
        Assert.Equal("a\nb\n", Cli("-n 1 LRANGE ab 0 -1"));
        Assert.Equal("1# \"f\" => \"v\"\n", Cli("-n 1 -3 --no-raw HGETALL h"));
        Assert.Equal("{\"f\":\"v\"}\n", Cli("-n 1 -3 --json HGETALL h"));
        Assert.Equal("OK\n", Cli("-n 1 -x SET given", "by\0tes"));
        Assert.Equal("6\n", Cli("-n 1 STRLEN given"));
    }

    [Fact]
    public void Redis_cli_logs_in_and_repeats_and_ends_with_an_error_code()
    {
        Cli("ACL SETUSER tool on '>pw' '~*' '&*' +@all");
        Assert.Equal("tool\n", Cli("--user tool --pass pw --no-auth-warning ACL WHOAMI"));
        Assert.Equal("1\n2\n3\n", Cli("-n 1 -r 3 INCR repeated"));
        Assert.Contains("exit 1", Cli("-e LPUSH key:1 x; echo exit $?"), StringComparison.Ordinal);
        Assert.Equal("PONG\n15\n", Cli("", "PING\nSELECT 2\nINCRBY n 15\n").Replace("OK\n", "", StringComparison.Ordinal));
    }

    [Fact]
    public void Redis_benchmark_runs_every_test()
    {
        // In a database of its own, the keys that others count stay as they are.
        string printed = Shell($"redis-benchmark -p {_filled.Server.Port} --dbnum 5 -n 200 -c 10 -P 4 -r 100 -d 20 --csv", "");
        string[] tests = [.. printed.Split('\n').Where(line => line.StartsWith('"')).Skip(1).Select(line => line.Split('"')[1])];
        Assert.Equal(
            [
                "PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "LPUSH", "RPUSH", "LPOP", "RPOP", "SADD", "HSET", "SPOP", "ZADD", "ZPOPMIN",
                "LPUSH (needed to benchmark LRANGE)", "LRANGE_100 (first 100 elements)", "LRANGE_300 (first 300 elements)", "LRANGE_500 (first 500 elements)",
                "LRANGE_600 (first 600 elements)", "MSET (10 keys)",
            ],
            tests.Where(t => t != "XADD"));
        Assert.DoesNotContain("rror", printed, StringComparison.Ordinal);
        string threaded = Shell($"redis-benchmark -p {_filled.Server.Port} --dbnum 5 -n 1000 -c 10 --threads 2 -t set,get --csv -3", "");
        Assert.Contains("\"GET\"", threaded, StringComparison.Ordinal);
        Assert.Contains("requests per second", Shell($"redis-benchmark -p {_filled.Server.Port} --dbnum 5 -n 100 -q HSET h:__rand_int__ f v", ""), StringComparison.Ordinal);
    }

    private static string Shell(string command, string input)
    {
        var start = new ProcessStartInfo("/bin/bash", ["-c", $"{{ {command}; }} 2>&1"])
        {
            RedirectStandardOutput = true,
            RedirectStandardInput = true,
            Environment = { ["LC_ALL"] = "C.UTF-8" },
        };
        using Process process = Process.Start(start)!;
        Task<string> printed = process.StandardOutput.ReadToEndAsync();
        process.StandardInput.Write(input);
        process.StandardInput.Close();
        Assert.True(process.WaitForExit(TimeSpan.FromSeconds(60)), $"{command} did not end");
        return printed.Result;
    }
}
