// A process is waited for beside its output.
#pragma warning disable xUnit1031
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Leither.MmDb.Configuration;
using Leither.Node.Configuration;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

/// <summary>The life of a node as people and scripts meet it: init, run, run -d, stop, status, doctor, bench, and the configuration from everywhere it may come.</summary>
public sealed class LifecycleTests
{
    [Fact]
    public void Init_makes_keys_and_a_configuration_that_run_uses()
    {
        using TempDir folder = new();
        int port = Ports.Free();
        (int code, string output, string error) = Leither("init", "-p", $"{port}", "--appendfsync", "always", "-b", "nas.invalid", "--swarm", "no", "--data", folder.File("node"));
        Assert.True(code == 0, error);
        Assert.Contains("Peer id        12D3KooW", output, StringComparison.Ordinal);
        string file = folder.File("node/leither.conf");
        Assert.Contains($"Configuration  {file}", output, StringComparison.Ordinal);
        Assert.Equal(
            [$"port {port}", "appendfsync always", "swarm no", "swarm-bootstrap nas.invalid"],
            File.ReadLines(file).Where(static l => l.Length > 0 && l[0] != '#').OrderBy(static l => l.StartsWith("port", StringComparison.Ordinal) ? 0 : 1).ThenBy(static l => l, StringComparer.Ordinal));
        if (!OperatingSystem.IsWindows())
        {
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(file));
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(folder.File("node/keys/node.key")));
        }

        (code, _, error) = Leither("init", "--data", folder.File("node"));
        Assert.Equal(1, code);
        Assert.StartsWith($"{folder.File("node")} is set up already.", error, StringComparison.Ordinal);

        using Background node = Background.Start(folder.File("node"));
        using RespClient client = RespClient.Connect(port);
        Assert.Equal("always", client.Call("CONFIG", "GET", "appendfsync")[1].Text);
        Assert.Equal("OK", client.Call("CONFIG", "SET", "maxmemory", "1gb").Text);
        Assert.Equal("OK", client.Call("CONFIG", "REWRITE").Text);
        Assert.Contains("maxmemory 1gb", File.ReadAllText(file), StringComparison.Ordinal);
    }

    [Fact]
    public void The_certificate_that_clients_are_told_of_is_there_before_the_first_of_them()
    {
        using TempDir folder = new();
        using Background node = Background.Start(folder.File("node"), "-p", $"{Ports.Free()}");
        Wait.Until(() => File.Exists(folder.File("node/tls/node.crt")));
    }

    [Fact]
    public void Init_refuses_a_value_that_is_wrong_and_makes_nothing()
    {
        using TempDir folder = new();
        (int code, string output, _) = Leither("--data", folder.File("node"), "init", "--maxmemory", "much", "--json");
        Assert.Equal(2, code);
        Assert.Contains("argument must be a memory value", JsonDocument.Parse(output).RootElement.GetProperty("error").GetString(), StringComparison.Ordinal);
        Assert.False(Directory.Exists(folder.File("node")));
    }

    [Theory]
    [InlineData("-p", "abc")]
    [InlineData("-p")]
    [InlineData("--port", "65536")]
    [InlineData("--port", "-1")]
    [InlineData("--bogus", "1")]
    [InlineData("redis.conf")]
    [InlineData("-")]
    public void Init_tells_a_wrong_command_line_with_exit_code_2_and_makes_nothing(params string[] arguments)
    {
        using TempDir folder = new();
        LeitherProgram.Result result = LeitherProgram.Run(new Dictionary<string, string> { ["LEITHER_DATA"] = folder.File("node") }, ["init", .. arguments]);
        Assert.Equal(2, result.Code);
        Assert.NotEmpty(result.Error);
        Assert.False(Directory.Exists(folder.File("node")));
    }

    [Fact]
    public void Init_tells_what_is_wrong_elsewhere_than_on_its_command_line_with_exit_code_1()
    {
        using TempDir folder = new();
        LeitherProgram.Result result = LeitherProgram.Run(new Dictionary<string, string> { ["LEITHER_PORT"] = "abc" }, "init", "--data", folder.File("node"));
        Assert.Equal(1, result.Code);
        Assert.Contains("LEITHER_PORT", result.Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(folder.File("node")));
    }

    [Fact]
    public void The_commented_configuration_has_every_key_at_its_default()
    {
        string text = ConfigReference.WriteFile(new ConfigSettings());
        Assert.DoesNotContain($"\n# ---- {ConfigReference.Unexplained} ----", text, StringComparison.Ordinal);
        Assert.All(text.Split('\n'), static line => Assert.True(line.Length == 0 || line[0] == '#', line));

        using TempDir folder = new();
        HashSet<string> examples = [.. ConfigReference.Sections.SelectMany(static s => s.Entries).Where(static e => e.Example is not null).Select(static e => e.Key.Name)];
        string[] keys = [.. text.Split('\n').Where(static l => l.StartsWith("# ", StringComparison.Ordinal)).Select(static l => l[2..])
            .Where(l => ConfigKeys.Find(l.Split(' ')[0]) is not null && l.Contains(' ', StringComparison.Ordinal) && !examples.Contains(l.Split(' ')[0]))];
        Assert.True(keys.Length > 100);
        File.WriteAllText(folder.File("all.conf"), string.Join('\n', keys));
        NodeConfig config = NodeConfig.Load([folder.File("all.conf"), "--data", folder.Path], static () => Stream.Null);
        ConfigSettings defaults = new();
        Assert.All(ConfigKeys.All.Where(static k => k != ConfigKeys.Directory), key => Assert.Equal((key.Name, defaults.Show(key)), (key.Name, config.Settings.Show(key))));
    }

    [Fact]
    public void A_node_in_the_background_answers_when_run_ends_and_stop_loses_nothing()
    {
        using TempDir folder = new();
        int port = Ports.Free();
        (int code, string output, string error) = Leither("run", "-d", "-p", $"{port}", "--data", folder.Path);
        Assert.True(code == 0, error);
        using (Background node = Background.Of(folder.Path))
        {
            Assert.StartsWith($"Leither runs in the background: process {node.Pid}, port {port}\n", output, StringComparison.Ordinal);
            Assert.Equal($"{node.Pid}", File.ReadAllText(folder.File("leither.pid")).Trim());
            Wait.Until(() => File.ReadAllText(folder.File("leither.log")).Contains("Ready to accept connections", StringComparison.Ordinal));
            if (OperatingSystem.IsLinux())
            {
                // Its own session: what ends a terminal does not end it.
                string[] stat = File.ReadAllText($"/proc/{node.Pid}/stat").Split(") ")[1].Split(' ');
                Assert.Equal($"{node.Pid}", stat[3]);
            }

            using RespClient client = RespClient.Connect(port);
            for (int i = 0; i < 1000; i++)
            {
                client.Queue("SET", $"key:{i}", $"{i}");
            }

            client.Flush();
            for (int i = 0; i < 1000; i++)
            {
                Assert.Equal("OK", client.Read().Text);
            }

            foreach (string[] second in (string[][])[["run", "-d"], ["run"]])
            {
                (code, _, error) = Leither([.. second, "-p", $"{Ports.Free()}", "--data", folder.Path]);
                Assert.Equal(1, code);
                Assert.Contains($"process {node.Pid}", error, StringComparison.Ordinal);
                Assert.Contains($"leither stop --data {folder.Path}", error, StringComparison.Ordinal);
            }

            (code, output, error) = Leither("stop", "--data", folder.Path);
            Assert.True(code == 0, error);
            Assert.StartsWith($"Stopped process {node.Pid}, ", output, StringComparison.Ordinal);
            Assert.ThrowsAny<SocketException>(() => RespClient.Connect(port));
        }

        (code, _, error) = Leither("stop", "--data", folder.Path);
        Assert.Equal((1, $"No node runs on the data folder {folder.Path}\n"), (code, error));
        Assert.False(File.Exists(folder.File("leither.pid")));
        using Background again = Background.Start(folder.Path, "-p", $"{port}");
        using RespClient after = RespClient.Connect(port);
        Assert.Equal(1000, after.Call("DBSIZE").Integer);
    }

    [Fact]
    public void What_keeps_a_node_from_starting_in_the_background_is_told()
    {
        using TempDir folder = new();
        using Socket taken = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        taken.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        taken.Listen();
        int port = ((IPEndPoint)taken.LocalEndPoint!).Port;
        (int code, _, string error) = Leither("run", "-d", "--bind", "127.0.0.1", "-p", $"{port}", "--data", folder.Path);
        Assert.Equal(1, code);
        Assert.Contains("Address already in use", error, StringComparison.Ordinal);
        (code, _, error) = Leither("run", "-d", "-", "--data", folder.Path);
        Assert.Equal(1, code);
        Assert.Contains("takes no configuration from the standard input", error, StringComparison.Ordinal);
    }

    [Fact]
    public void A_typo_in_the_configuration_names_its_line_and_the_nearest_key()
    {
        using TempDir folder = new();
        File.WriteAllText(folder.File("leither.conf"), "# mine\n\nmaxmemroy 1gb\n");
        foreach (string[] run in (string[][])[["run"], ["run", "-d"]])
        {
            (int code, _, string error) = Leither([.. run, "--data", folder.Path]);
            Assert.Equal(1, code);
            Assert.EndsWith("at line 3\n>>> 'maxmemroy 1gb'\nBad directive or wrong number of arguments. Did you mean 'maxmemory'?\n", error, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("apendfsync", "appendfsync")]
    [InlineData("maxmemory_policy", "maxmemory-policy")]
    [InlineData("prot", "port")]
    [InlineData("nonsense", null)]
    [InlineData("x", null)]
    public void The_nearest_key_is_the_one_that_was_meant(string written, string? nearest) => Assert.Equal(nearest, ConfigKeys.Nearest(written)?.Name);

    [Fact]
    public void Arguments_win_over_the_environment_and_that_over_the_file()
    {
        using TempDir folder = new();
        File.WriteAllText(folder.File("leither.conf"), "hz 20\nmaxmemory-policy allkeys-lru\nappendfsync no\n");
        int port = Ports.Free();
        Dictionary<string, string> environment = new()
        {
            ["LEITHER_DATA"] = folder.Path,
            ["LEITHER_PORT"] = $"{port}",
            ["LEITHER_HZ"] = "30",
            ["LEITHER_APPENDFSYNC"] = "always",
            ["LEITHER_SAVE"] = "60 1000",
            ["LEITHER_MAXMEMROY"] = "1gb",
            ["LEITHER_FOR_OTHERS"] = "yes",
        };
        using Process node = LeitherProgram.Start(environment, "run", "--hz", "40");
        try
        {
            Wait.Until(() => DataFolder.Find(folder.Path) is not null);
            using RespClient client = RespClient.Connect(port);
            string Get(string key) => client.Call("CONFIG", "GET", key)[1].Text;
            Assert.Equal(("40", "allkeys-lru", "always", "60 1000"), (Get("hz"), Get("maxmemory-policy"), Get("appendfsync"), Get("save")));
        }
        finally
        {
            node.Kill();
            node.WaitForExit();
        }

        string log = node.StandardOutput.ReadToEnd();
        Assert.Contains("The environment variable LEITHER_MAXMEMROY sets nothing. Did you mean LEITHER_MAXMEMORY?", log, StringComparison.Ordinal);
        Assert.DoesNotContain("LEITHER_FOR_OTHERS", log, StringComparison.Ordinal);

        LeitherProgram.Result refused = LeitherProgram.Run(new Dictionary<string, string> { ["LEITHER_HZ"] = "often" }, "run", "--data", folder.Path);
        Assert.Equal(1, refused.Code);
        Assert.Equal("The environment variable LEITHER_HZ cannot be used: argument couldn't be parsed into an integer\n", refused.Error);
    }

    [Fact]
    public void A_service_manager_is_told_when_the_node_serves_and_when_it_stops()
    {
        if (OperatingSystem.IsWindows())
        {
            return;
        }

        using TempDir folder = new();
        using Socket manager = new(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
        manager.Bind(new UnixDomainSocketEndPoint(folder.File("notify")));
        manager.ReceiveTimeout = 30_000;
        int port = Ports.Free();
        using Process node = LeitherProgram.Start(new Dictionary<string, string> { ["NOTIFY_SOCKET"] = folder.File("notify") }, "run", "-p", $"{port}", "--data", folder.File("data"));
        byte[] message = new byte[256];
        Assert.Equal($"READY=1\nSTATUS=Listening on port {port}", Encoding.UTF8.GetString(message, 0, manager.Receive(message)));
        Assert.Equal(0, Leither("stop", "--data", folder.File("data")).Code);
        Assert.Equal("STOPPING=1", Encoding.UTF8.GetString(message, 0, manager.Receive(message)));
        node.WaitForExit();
        Assert.Equal(0, node.ExitCode);
    }

    [Fact]
    public void Status_tells_what_the_node_has_and_does()
    {
        using LeitherServer server = LeitherServer.StartNew();
        using RespClient client = server.Connect();
        client.Call("SET", "a", "1");
        Assert.Equal(1, client.Call("MIMEI", "BACKUP").Integer);
        string shop = client.Call("MIMEI", "CREATE", "DB", "MARK", "shop").Text;
        (int code, string output, string error) = Leither("status", "--json", "--data", server.DataDir);
        Assert.True(code == 0, error);
        JsonElement status = JsonDocument.Parse(output).RootElement;
        Assert.Equal((server.ProcessId, server.Port, 1), (status.GetProperty("process").GetInt32(), status.GetProperty("port").GetInt32(), status.GetProperty("keys").GetInt32()));
        Assert.StartsWith("12D3KooW", status.GetProperty("peer").GetString(), StringComparison.Ordinal);
        Assert.Equal(2, status.GetProperty("clients").GetInt32());
        JsonElement first = status.GetProperty("mimeis").EnumerateArray().Single(static m => m.GetProperty("name").GetString() == "default");
        Assert.Equal((1, 1), (first.GetProperty("versions").GetInt32(), first.GetProperty("last").GetInt32()));

        foreach (string[] once in (string[][])[["--once"], []])
        {
            (code, output, error) = Leither(["status", "--data", server.DataDir, .. once]);
            Assert.True(code == 0, error);
            Assert.Contains("Commands/s", output, StringComparison.Ordinal);
            Assert.Contains(shop, output, StringComparison.Ordinal);
        }

        server.Stop();
        (code, _, error) = Leither("status", "--data", server.DataDir);
        Assert.Equal(1, code);
        Assert.StartsWith($"No node runs on the data folder {server.DataDir}", error, StringComparison.Ordinal);
    }

    [Fact]
    public void The_doctor_finds_a_node_well()
    {
        using LeitherServer server = LeitherServer.StartNew();
        using RespClient client = server.Connect();
        client.Call("SET", "a", "1");
        client.Call("MIMEI", "BACKUP");
        (int code, string output, string error) = Leither("doctor", "--json", "--data", server.DataDir);
        JsonElement report = JsonDocument.Parse(output).RootElement;
        Assert.True(code == 0 && report.GetProperty("ok").GetBoolean(), output + error);
        Dictionary<string, string> verdicts = report.GetProperty("findings").EnumerateArray().ToDictionary(static f => f.GetProperty("what").GetString()!, static f => f.GetProperty("verdict").GetString()!);
        Assert.All((string[])["Configuration", "Data folder", "Keys", "Port", "Access", "Integrity", "Reachability"], what => Assert.Equal((what, "ok"), (what, verdicts[what])));
        (code, output, _) = Leither("doctor", "--data", server.DataDir);
        Assert.Equal(0, code);
        Assert.Contains("all whole", output, StringComparison.Ordinal);
    }

    [Fact]
    public void The_doctor_names_what_is_wrong_and_what_to_do()
    {
        using TempDir folder = new();
        Directory.CreateDirectory(folder.File("mimei"));
        using Socket taken = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        taken.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        taken.Listen();
        File.WriteAllText(folder.File("leither.conf"), $"bind 127.0.0.1\nport {((IPEndPoint)taken.LocalEndPoint!).Port}\n");
        Dictionary<string, (string Verdict, string Text, string Advice)> found = Doctor(folder.Path, 1);
        Assert.Equal("problem", found["Keys"].Verdict);
        Assert.StartsWith("Restore it from a copy", found["Keys"].Advice, StringComparison.Ordinal);
        Assert.Equal("problem", found["Port"].Verdict);
        Assert.EndsWith("is in use by another program", found["Port"].Text, StringComparison.Ordinal);

        File.WriteAllText(folder.File("leither.conf"), "port 0\n\nprot 1\n");
        found = Doctor(folder.Path, 1);
        Assert.Equal(("problem", $"Change line 3 of {folder.File("leither.conf")}"), (found["Configuration"].Verdict, found["Configuration"].Advice));
        Assert.Contains("Did you mean 'port'?", found["Configuration"].Text, StringComparison.Ordinal);

        File.WriteAllText(folder.File("leither.conf"), "protected-mode no\nport 0\n");
        Assert.Equal("problem", Doctor(folder.Path, 1)["Access"].Verdict);
    }

    [Fact]
    public void A_quick_benchmark_measures_a_server_and_leaves_nothing_in_it()
    {
        using LeitherServer server = LeitherServer.StartNew();
        using RespClient client = server.Connect();
        client.Call("SET", "mine", "1");
        (int code, string output, string error) = Leither("bench", "--data", server.DataDir, "-n", "2000", "-c", "5", "--pipeline", "3", "--keys", "100", "--json");
        Assert.True(code == 0, error);
        JsonElement[] works = [.. JsonDocument.Parse(output).RootElement.GetProperty("works").EnumerateArray()];
        Assert.Equal(["PING", "SET", "GET", "INCR", "HSET", "LPUSH", "SADD", "ZADD"], works.Select(static w => w.GetProperty("work").GetString()));
        Assert.All(works, static work =>
        {
            Assert.Equal(0, work.GetProperty("errors").GetInt32());
            Assert.True(work.GetProperty("per_s").GetDouble() > 0);
            Assert.True(work.GetProperty("p50_us").GetDouble() <= work.GetProperty("p99_us").GetDouble());
            Assert.Equal(1.0, work.GetProperty("histogram").EnumerateArray().Sum(static h => h.GetProperty("share").GetDouble()), 3);
        });
        Assert.Equal(1, client.Call("DBSIZE").Integer);

        // The words of an error are the server's.
        client.Call("SET", "leither-bench:list:000000000000", "no list");
        (code, output, _) = Leither("bench", "--to", $"127.0.0.1:{server.Port}", "-n", "100", "--keys", "1", "--only", "lpush");
        Assert.Equal(0, code);
        Assert.Contains("100 of 100 replies are errors: WRONGTYPE", output, StringComparison.Ordinal);
        Assert.Contains("█", output, StringComparison.Ordinal);
    }

    [Fact]
    public void A_quick_benchmark_without_a_node_starts_one_of_its_own()
    {
        using TempDir folder = new();
        (int code, string output, string error) = Leither("bench", "--data", folder.File("none"), "-n", "200", "--only", "SET");
        Assert.True(code == 0, error);
        Assert.StartsWith("a node of its own, in a temporary folder: 50 connections", output, StringComparison.Ordinal);
        Assert.False(Directory.Exists(folder.File("none")));
        (code, _, error) = Leither("bench", "--to", $"127.0.0.1:{Ports.Free()}", "-n", "10");
        Assert.Equal(1, code);
        Assert.StartsWith("The server does not answer: ", error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("stop", "now")]
    [InlineData("status", "--often")]
    [InlineData("doctor", "quick")]
    [InlineData("bench", "--only", "NOTHING")]
    [InlineData("bench", "-n", "0")]
    [InlineData("bench", "--to", "nowhere")]
    [InlineData("bench", "--to", "nas:65536")]
    [InlineData("import", "dump.rdb", "--to", "nowhere")]
    [InlineData("import", "dump.rdb", "--to", "nas:65536")]
    [InlineData("dht", "findprovs", "bafkqaaa", "-n", "0")]
    [InlineData("dht", "findprovs", "bafkqaaa", "-n", "1001")]
    [InlineData("dht", "findprovs", "bafkqaaa", "-n", "many")]
    [InlineData("dht", "get", "/ipns/k51", "--quorum", "0")]
    [InlineData("ipfs", "cat", "bafkqaaa", "--offset", "-1")]
    [InlineData("ipfs", "cat", "bafkqaaa", "--length", "-1")]
    [InlineData("ipfs", "files", "read", "/a", "--offset", "-1")]
    [InlineData("ipfs", "block", "put", "--codec", "bogus")]
    [InlineData("mimei", "create", "--right", "read")]
    [InlineData("mimei", "create", "--right", "-1")]
    [InlineData("mimei", "create", "--name", "a name")]
    [InlineData("mimei", "list", "-p", "65536")]
    [InlineData("docs")]
    public void A_wrong_command_line_is_told_with_exit_code_2(params string[] arguments)
    {
        (int code, _, string error) = Leither(arguments);
        Assert.Equal(2, code);
        Assert.NotEmpty(error);
    }

    [Theory]
    [InlineData("run")]
    [InlineData("init")]
    [InlineData("stop")]
    [InlineData("status")]
    [InlineData("doctor")]
    [InlineData("bench")]
    [InlineData("docs")]
    public void Each_command_has_help_with_examples_and_exit_codes(string command)
    {
        (int code, string output, _) = Leither(command, "--help");
        Assert.Equal(0, code);
        Assert.All((string[])[$"Usage:\n  leither {command}", "Exit codes:", $"Examples:\n  leither {command}"], part => Assert.Contains(part, output, StringComparison.Ordinal));
    }

    [Fact]
    public void The_pages_in_docs_are_what_the_program_says_of_itself()
    {
        DirectoryInfo? root = new(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(root!.FullName, "Leither.sln")))
        {
            root = root.Parent;
        }

        using TempDir made = new();
        Assert.Equal(0, Leither("docs", made.Path).Code);
        foreach (string page in Directory.GetFiles(made.Path))
        {
            string kept = Path.Combine(root.FullName, "docs", Path.GetFileName(page));
            Assert.True(File.Exists(kept) && File.ReadAllText(page) == File.ReadAllText(kept), $"{kept} is out of date: run ./leither docs docs");
        }
    }

    private static Dictionary<string, (string Verdict, string Text, string Advice)> Doctor(string folder, int expected)
    {
        (int code, string output, string error) = Leither("doctor", "--json", "--data", folder);
        Assert.True(code == expected, output + error);
        return JsonDocument.Parse(output).RootElement.GetProperty("findings").EnumerateArray().ToDictionary(
            static f => f.GetProperty("what").GetString()!, static f => (f.GetProperty("verdict").GetString()!, f.GetProperty("text").GetString()!, f.GetProperty("advice").GetString()!));
    }

    private static LeitherProgram.Result Leither(params string[] arguments) => LeitherProgram.Run(arguments);

    /// <summary>A node in the background, which ends with the test.</summary>
    private sealed class Background : IDisposable
    {
        private readonly string _folder;

        private Background(string folder)
        {
            _folder = folder;
            Pid = DataFolder.Find(folder)!.Pid;
        }

        public int Pid { get; }

        public static Background Start(string folder, params string[] arguments)
        {
            LeitherProgram.Result result = LeitherProgram.Run(["run", "-d", "--data", folder, .. arguments]);
            Assert.True(result.Code == 0, result.Error);
            return new Background(folder);
        }

        public static Background Of(string folder) => new(folder);

        public void Dispose()
        {
            if (DataFolder.IsHeld(_folder))
            {
                Assert.Equal(0, LeitherProgram.Run("stop", "--data", _folder).Code);
            }
        }
    }
}
