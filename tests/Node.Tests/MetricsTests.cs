using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Leither.Node.Http;
using Leither.Node.Logging;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

public sealed partial class MetricsTests : IDisposable
{
    private readonly TempDir _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_node_tells_its_figures_its_health_and_where_neither_is_for_strangers()
    {
        int port = Ports.Free();
        using Process node = LeitherProgram.Start("run", "-p", $"{port}", "--data", _folder.File("node"), "--log-format", "json", "--loglevel", "verbose", "--latency-monitor-threshold", "1");
        Task<string> log = node.StandardOutput.ReadToEndAsync();
        try
        {
            Wait.Until(() => Answers(port));
            using RespClient client = RespClient.Connect(port);
            client.Call("SET", "a", "1");
            client.Call("GET", "none");
            client.Call("NOSUCH");
            client.Call("MIMEI", "CREATE", "DB", "MARK", "one");
            using HttpClient http = new() { BaseAddress = new Uri($"http://127.0.0.1:{port}") };
            Assert.Equal("{\"status\":\"ok\"}\n", await http.GetStringAsync("/health"));
            using HttpResponseMessage answer = await http.GetAsync("/metrics");
            Assert.Equal("text/plain; version=0.0.4; charset=utf-8", answer.Content.Headers.ContentType!.ToString());
            Dictionary<string, double> figures = Parse(await answer.Content.ReadAsStringAsync());
            Assert.Equal(1, figures["leither_database_keys{database=\"db0\"}"]);
            Assert.Equal(1, figures["leither_command_duration_seconds_count{command=\"set\"}"]);
            Assert.Equal(1, figures["leither_errors_total{error=\"ERR\"}"]);
            Assert.Equal(2, figures["leither_mimei"]);
            Assert.Equal(1, figures["leither_log_ok"]);
            Assert.Equal(1, figures["leither_keyspace_misses_total"]);
            Assert.Contains(figures.Keys, static k => k.StartsWith("leither_mimei_keys{mid=\"", StringComparison.Ordinal));
            Assert.Contains(figures.Keys, static k => k.StartsWith("leither_command_duration_seconds{command=\"set\",quantile=\"0.99\"}", StringComparison.Ordinal));
            Dictionary<string, double> later = Parse(await http.GetStringAsync("/metrics"));

            // Looking changes nothing.
            Assert.Equal(figures["leither_commands_processed_total"], later["leither_commands_processed_total"]);
            foreach ((string name, double value) in figures.Where(static f => f.Key.Contains("_total", StringComparison.Ordinal)))
            {
                Assert.True(later[name] >= value, name);
            }

            foreach (string path in (string[])["/metrics", "/health"])
            {
                using HttpRequestMessage foreign = new(HttpMethod.Get, path);
                foreign.Headers.Add("Origin", "http://example.com");
                using HttpResponseMessage refused = await http.SendAsync(foreign);
                Assert.Equal(HttpStatusCode.Forbidden, refused.StatusCode);
                using HttpRequestMessage rebound = new(HttpMethod.Get, path);
                rebound.Headers.Host = "example.com";
                using HttpResponseMessage refusedToo = await http.SendAsync(rebound);
                Assert.Equal(HttpStatusCode.Forbidden, refusedToo.StatusCode);
            }
        }
        finally
        {
            node.Kill();
            await node.WaitForExitAsync();
        }

        string[] lines = [.. (await log).Split('\n').Where(static l => l.StartsWith('{'))];
        Assert.NotEmpty(lines);
        foreach (string line in lines)
        {
            JsonObject entry = JsonNode.Parse(line)!.AsObject();
            Assert.Equal(["time", "level", "pid", "msg"], entry.Select(static p => p.Key));
            Assert.True(DateTimeOffset.TryParse(entry["time"]!.GetValue<string>(), CultureInfo.InvariantCulture, out _));
        }
    }

    [Fact]
    public async Task LATENCY_tells_of_requests_for_content_that_took_long()
    {
        using LeitherServer server = LeitherServer.StartNew("--latency-monitor-threshold", "1", "--swarm", "no");
        using RespClient client = server.Connect();

        // So much takes longer than a millisecond to verify and send on any machine.
        byte[] content = new byte[32 << 20];
        new Random(1).NextBytes(content);
        string cid = client.Call(["IPFS"u8.ToArray(), "ADD"u8.ToArray(), content]).Text;
        using HttpClient http = new() { BaseAddress = new Uri($"http://127.0.0.1:{server.Port}") };
        await http.GetStringAsync("/health");
        Assert.DoesNotContain("gateway-request", Events(), StringComparison.Ordinal);
        Assert.Equal(content, await http.GetByteArrayAsync($"/ipfs/{cid}"));
        Wait.Until(() => Events().Contains("gateway-request", StringComparison.Ordinal));

        string Events() => string.Join(' ', client.Call("LATENCY", "LATEST").Items.Select(static e => e.Items[0].Text));
    }

    [Fact]
    public void What_anyone_called_something_ends_no_line_and_labels_are_bounded()
    {
        MimeiFigures[] mimeis = [.. Enumerable.Range(0, 3 * Metrics.MaxMimei).Select(static i => new MimeiFigures($"mid{i}", "a\"} 1\nleither_forged 1\\\r\t", i, i, i))];
        string errors = string.Concat(Enumerable.Range(0, 1000).Select(static i => $"errorstat_E{i}:count=1\r\n"));
        string text = Metrics.Write(new NodeFigures($"# Errorstats\r\n{errors}redis_version:7\r\nrole:master\r\nused_memory:5\r\nnot_a_line\r\n", "1.0", mimeis, 3, 4));
        Dictionary<string, double> figures = Parse(text);
        Assert.DoesNotContain("leither_forged", figures.Keys);
        Assert.Equal(Metrics.MaxMimei, figures.Keys.Count(static k => k.StartsWith("leither_mimei_keys{", StringComparison.Ordinal)));
        Assert.InRange(figures.Keys.Count(static k => k.StartsWith("leither_errors_total{", StringComparison.Ordinal)), 1, 100);
        Assert.Equal(4, figures["leither_tls_handshakes_total{outcome=\"refused\"}"]);
        Assert.Equal(5, figures["leither_memory_used_bytes"]);
    }

    [Fact]
    public async Task A_node_that_cannot_do_its_work_says_what_is_wrong()
    {
        FailingStatus status = new();
        HttpGateway gateway = new(status, NodeLog.None);
        await using (gateway)
        {
            using MiniServer server = new(OperatingSystem.IsLinux() ? "epoll" : "socket", wrap: inner => new Transport.PortHandler(inner, gateway.Take, () => null, NodeLog.None));
            using HttpClient http = new() { BaseAddress = new Uri($"http://127.0.0.1:{server.Port}") };
            using HttpResponseMessage failing = await http.GetAsync("/health");
            Assert.Equal((HttpStatusCode.ServiceUnavailable, "{\"status\":\"failing\",\"problems\":[\"the log takes no writes\"]}\n"), (failing.StatusCode, await failing.Content.ReadAsStringAsync()));
            using HttpResponseMessage none = await http.GetAsync("/metrics");
            Assert.Equal(HttpStatusCode.NotFound, none.StatusCode);
            status.IsBusy = true;
            using HttpResponseMessage busy = await http.GetAsync("/health");
            Assert.Equal(HttpStatusCode.ServiceUnavailable, busy.StatusCode);
            Assert.Contains("busy", await busy.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("/../../etc/passwd")]
    [InlineData("/ipfs/../../../etc/passwd")]
    [InlineData("/%2e%2e/%2e%2e/etc/passwd")]
    [InlineData("/..%2f..%2fetc/passwd")]
    [InlineData("/metrics/../../etc/passwd")]
    [InlineData("/%00/etc/passwd")]
    [InlineData("/a%0d%0aSet-Cookie:%20x=1")]
    [InlineData("/ipfs/a%0d%0aSet-Cookie:%20x=1")]
    [InlineData("/ipns/localhost%0d%0aX-Injected:1/?filename=a%0d%0aX-Injected:%201")]
    public async Task Paths_lead_nowhere_else_and_end_no_header(string path)
    {
        string answer = await RawAsync($"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        Assert.Matches("^HTTP/1\\.1 (3|4)[0-9][0-9] ", answer);
        Assert.DoesNotContain("root:", answer, StringComparison.Ordinal);
        Assert.DoesNotMatch("(?m)^(Set-Cookie|X-Injected):", answer);
    }

    [Theory]
    [InlineData("GET / HTTP/1.1\r\nHost: localhost\r\nX: a\rX-Injected: 1\r\nConnection: close\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nHost: a b\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nHost: localhost\r\nHost: example.com\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n")]
    public async Task Requests_that_could_mean_two_things_mean_none(string request)
    {
        string answer = await RawAsync(request);
        Assert.StartsWith("HTTP/1.1 4", answer, StringComparison.Ordinal);
        Assert.DoesNotContain("X-Injected", answer, StringComparison.Ordinal);
        Assert.True(Regex.Count(answer, "HTTP/1.1 ") <= 1, answer);
    }

    [Fact]
    public async Task Headers_without_end_are_cut_off()
    {
        string answer = await RawAsync("GET / HTTP/1.1\r\nHost: localhost\r\n" + string.Concat(Enumerable.Range(0, 2000).Select(static i => $"X-{i}: {new string('a', 100)}\r\n")));
        Assert.True(answer.Length == 0 || answer.StartsWith("HTTP/1.1 431", StringComparison.Ordinal), answer);
    }

    [Fact]
    public void A_message_is_one_entry_whatever_it_quotes()
    {
        StringWriter console = new();
        NodeLog log = new(TimeProvider.System, console) { Level = NodeLogLevel.Debug };
        log.Warning("said: x\r\n1:M 01 Jan 2026 00:00:00.000 * forged\u001b[2J");
        string[] lines = console.ToString().TrimEnd('\n').Split('\n');
        Assert.Equal(2, lines.Length);
        Assert.StartsWith("    ", lines[1], StringComparison.Ordinal);
        Assert.DoesNotContain('\u001b', console.ToString());
        log.Format = NodeLogFormat.Json;
        console.GetStringBuilder().Clear();
        log.Warning("said: \"x\"\r\n{\"level\":\"forged\"}");
        Assert.Equal("said: \"x\"\r\n{\"level\":\"forged\"}", JsonNode.Parse(Assert.Single(console.ToString().TrimEnd('\n').Split('\n')))!["msg"]!.GetValue<string>());
    }

    /// <summary>What a server of its own answers to some bytes, up to the end of the connection or of the answer.</summary>
    private static async Task<string> RawAsync(string request)
    {
        HttpGateway gateway = new(new FailingStatus(), NodeLog.None);
        await using (gateway)
        {
            using MiniServer server = new(OperatingSystem.IsLinux() ? "epoll" : "socket", wrap: inner => new Transport.PortHandler(inner, gateway.Take, () => null, NodeLog.None));
            using Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            await socket.ConnectAsync(IPAddress.Loopback, server.Port);
            StringBuilder answer = new();
            try
            {
                await socket.SendAsync(Encoding.Latin1.GetBytes(request));
                using CancellationTokenSource limit = new(Wait.Limit);
                byte[] buffer = new byte[65536];
                while (await socket.ReceiveAsync(buffer, limit.Token) is > 0 and var length) answer.Append(Encoding.Latin1.GetString(buffer, 0, length));
            }
            catch (SocketException)
            {
                // Cut off.
            }

            return answer.ToString();
        }
    }

    private static bool Answers(int port)
    {
        try
        {
            using RespClient client = RespClient.Connect(port);
            return client.Call("PING").Text == "PONG";
        }
        catch (SocketException)
        {
            return false;
        }
    }

    /// <summary>Reads the text format, and takes nothing that is not in it.</summary>
    private static Dictionary<string, double> Parse(string text)
    {
        Assert.EndsWith("\n", text, StringComparison.Ordinal);
        Assert.DoesNotContain('\r', text);
        Dictionary<string, double> samples = [];
        HashSet<string> families = [];
        string family = "", type = "", described = "";
        foreach (string line in text[..^1].Split('\n'))
        {
            if (line.StartsWith("# HELP ", StringComparison.Ordinal))
            {
                Match help = HelpLine().Match(line);
                Assert.True(help.Success, line);
                described = help.Groups[1].Value;
                Assert.True(families.Add(described), $"{described} twice");
            }
            else if (line.StartsWith("# TYPE ", StringComparison.Ordinal))
            {
                Match typed = TypeLine().Match(line);
                Assert.True(typed.Success, line);
                (family, type) = (typed.Groups[1].Value, typed.Groups[2].Value);
                Assert.Equal(described, family);
                Assert.Equal(type == "counter", family.EndsWith("_total", StringComparison.Ordinal));
            }
            else
            {
                Match sample = SampleLine().Match(line);
                Assert.True(sample.Success, line);
                string name = sample.Groups[1].Value;
                Assert.True(name == family || (type == "summary" && (name == family + "_sum" || name == family + "_count")), line);
                double value = double.Parse(sample.Groups[^1].Value, NumberStyles.Float, CultureInfo.InvariantCulture);
                Assert.True(type != "counter" || value >= 0, line);
                Assert.True(samples.TryAdd(line[..line.LastIndexOf(' ')], value), $"{line} twice");
            }
        }

        return samples;
    }

    [GeneratedRegex(@"^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) [^\n]+$")]
    private static partial Regex HelpLine();

    [GeneratedRegex("^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|summary)$")]
    private static partial Regex TypeLine();

    [GeneratedRegex("""^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"(?:,[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*")*\})? (-?[0-9.]+(?:[eE][+-]?[0-9]+)?|NaN|[+-]Inf)$""")]
    private static partial Regex SampleLine();

    private sealed class FailingStatus : INodeStatus
    {
        public bool IsBusy { get; set; }

        public Task<IReadOnlyList<string>> ReadProblemsAsync(CancellationToken cancellation) =>
            IsBusy ? new TaskCompletionSource<IReadOnlyList<string>>().Task : Task.FromResult<IReadOnlyList<string>>(["the log takes no writes"]);
    }
}
