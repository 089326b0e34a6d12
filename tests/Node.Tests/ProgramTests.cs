// A process is waited for beside its output.
#pragma warning disable xUnit1031
using System.Diagnostics;
using System.Net.Sockets;
using Leither.Node.CommandLine;
using Leither.Resp;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

/// <summary>The program as a process.</summary>
public sealed class ProgramTests
{
    [Fact]
    public void A_node_runs_answers_commands_of_the_command_line_and_stops_on_SIGTERM()
    {
        using LeitherServer server = LeitherServer.StartNew("--hz", "20", "--io-threads", "4");
        (int code, string output, string _) = Leither("--data", server.DataDir, "SET", "greeting", "hello world");
        Assert.Equal((0, "OK\n"), (code, output));
        Assert.Equal((0, "hello world\n"), Leither("--data", server.DataDir, "GET", "greeting").Short);
        (code, output, _) = Leither("--data", server.DataDir, "NONSENSE", "--help");
        Assert.Equal(1, code);
        Assert.StartsWith("ERR unknown command 'NONSENSE', with args beginning with: '--help'", output, StringComparison.Ordinal);

        server.Stop();
        Assert.Contains("Accepted, but without meaning here: io-threads", server.Log, StringComparison.Ordinal);
        Assert.Contains("Received SIGTERM, scheduling shutdown...", server.Log, StringComparison.Ordinal);
        Assert.Contains("ready to exit, bye bye...", server.Log, StringComparison.Ordinal);
        (code, _, string error) = Leither("--data", server.DataDir, "PING");
        Assert.Equal(1, code);
        Assert.StartsWith($"No node runs on the data folder {server.DataDir}", error, StringComparison.Ordinal);
    }

    [Fact]
    public void A_second_node_on_a_folder_or_port_does_not_start()
    {
        using LeitherServer server = LeitherServer.StartNew();
        (int code, _, string error) = Leither("run", "-p", "0", "--unixsocket", "s", "--data", server.DataDir);
        Assert.Equal(1, code);
        Assert.Contains($"in use by another node (process {server.ProcessId}", error, StringComparison.Ordinal);

        using TempDir other = new();
        (code, _, error) = Leither("run", "--port", $"{server.Port}", "--bind", "127.0.0.1", "--data", other.Path);
        Assert.Equal(1, code);
        Assert.StartsWith($"Could not create server TCP listening socket 127.0.0.1:{server.Port}: Address already in use", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Clients_beyond_the_limit_of_open_files_wait_until_others_go()
    {
        if (!OperatingSystem.IsLinux())
        {
            return;
        }

        using LeitherServer server = LeitherServer.StartNew();
        using RespClient first = server.Connect();
        Assert.Equal("PONG", first.Call("PING").Text);

        // The runtime ends a process for which it cannot load code, and the last that a first start does needs more. The files that are kept back for it (OpenFiles) are taken away here.
        Wait.Until(() => File.Exists(Path.Combine(server.DataDir, "tls", "node.crt")));
        ulong open = (ulong)Directory.GetFiles($"/proc/{server.ProcessId}/fd").Length;
        ulong[] limit = [open + 5, open + 5];
        Assert.Equal(0, prlimit(server.ProcessId, 7, limit, null));

        // How many fit exactly hangs on the files that the node has open at the moment; twenty do not.
        List<RespClient> others = [.. Enumerable.Range(0, 20).Select(_ => server.Connect())];
        server.AwaitLog("Too many open files. Accepting rests");
        Assert.Equal("PONG", first.Call("PING").Text);

        RespClient waiting = others[^1];
        waiting.Queue("PING");
        waiting.Flush();
        Assert.Equal("PONG", first.Call("PING").Text);
        others.SkipLast(1).ToList().ForEach(c => c.Dispose());
        Assert.Equal("PONG", waiting.Read().Text);
        waiting.Dispose();
    }

    [Fact]
    public void As_many_clients_as_are_said_to_fit_leave_the_node_the_files_that_it_needs()
    {
        if (!OperatingSystem.IsLinux())
        {
            return;
        }

        using TempDir folder = new();
        string path = folder.File("node.sock");
        ProcessStartInfo start = new("sh", ["-c", "ulimit -n 600; exec \"$@\"", "sh", Path.Combine(AppContext.BaseDirectory, "leither"), "run", "--port", "0", "--unixsocket", "node.sock", "--data", folder.Path]);
        using Process node = Process.Start(start)!;
        List<RespClient> clients = [];
        try
        {
            Wait.Until(() => Configuration.DataFolder.Find(folder.Path) is not null);
            clients.Add(RespClient.ConnectUnix(path));
            int fit = int.Parse(clients[0].Call("CONFIG", "GET", "maxclients")[1].Text);
            if (fit > 600)
            {
                return; // Whoever runs this may raise any limit, and the node did.
            }

            while (clients.Count < fit)
            {
                clients.Add(RespClient.ConnectUnix(path));
                Assert.Equal("PONG", clients[^1].Call("PING").Text);
            }

            Assert.True(fit >= 300, $"{fit} clients");
            using RespClient beyond = RespClient.ConnectUnix(path);
            Assert.Equal("ERR max number of clients reached", beyond.Read().Text);
            Assert.InRange(Directory.GetFiles($"/proc/{node.Id}/fd").Length, fit, 600 - 64);
        }
        finally
        {
            clients.ForEach(static c => c.Dispose());
            node.Kill();
            node.WaitForExit();
        }
    }

    [Fact]
    public void A_running_node_moves_to_the_port_that_it_is_told()
    {
        using LeitherServer server = LeitherServer.StartNew();
        using RespClient client = server.Connect();
        int port = Ports.Free();
        Assert.Equal("OK", client.Call("CONFIG", "SET", "port", $"{port}", "tcp-keepalive", "60").Text);
        using RespClient moved = RespClient.Connect(port);
        Assert.Equal("PONG", moved.Call("PING").Text);
        Assert.Equal("PONG", client.Call("PING").Text);
        Assert.Equal((0, "PONG\n"), Leither("--data", server.DataDir, "PING").Short);
        Assert.ThrowsAny<SocketException>(() => server.Connect());

        Assert.Equal(
            "ERR CONFIG SET failed (possibly related to argument 'dir') - can't set protected config",
            client.Call("CONFIG", "SET", "dir", "/tmp").Text);
        using Socket taken = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        taken.Bind(new System.Net.IPEndPoint(System.Net.IPAddress.Any, 0));
        taken.Listen();
        int busy = ((System.Net.IPEndPoint)taken.LocalEndPoint!).Port;
        Assert.Equal(
            "ERR CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this port. Check server logs.",
            client.Call("CONFIG", "SET", "port", $"{busy}").Text);
        Assert.Equal($"{port}", client.Call("CONFIG", "GET", "port")[1].Text);
        Assert.Equal("PONG", moved.Call("PING").Text);
    }

    [Fact]
    public void A_folder_is_free_again_after_a_kill()
    {
        using LeitherServer server = LeitherServer.StartNew();
        server.Kill();
        server.Start();
        using RespClient client = server.Connect();
        Assert.Equal("PONG", client.Call("PING").Text);
    }

    [Fact]
    public void A_node_may_listen_on_a_unix_socket_alone()
    {
        using TempDir folder = new();
        using Process node = Start("run", "--port", "0", "--unixsocket", "node.sock", "--data", folder.Path);
        try
        {
            string path = folder.File("node.sock");
            Wait.Until(() => Configuration.DataFolder.Find(folder.Path) is not null);
            using RespClient client = RespClient.ConnectUnix(path);
            Assert.Equal("PONG", client.Call("PING").Text);
            Assert.Equal((0, "PONG\n"), Leither("--data", folder.Path, "PING").Short);
        }
        finally
        {
            node.Kill();
            node.WaitForExit();
        }
    }

    [Fact]
    public void A_wrong_configuration_is_told_as_redis_tells_it()
    {
        (int code, _, string error) = Leither("run", "--maxmemory", "much");
        Assert.Equal(1, code);
        Assert.Contains("*** FATAL CONFIG FILE ERROR (Leither ", error, StringComparison.Ordinal);
        Assert.EndsWith(">>> 'maxmemory \"much\"'\nargument must be a memory value\n", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Help_and_version_are_there()
    {
        Assert.StartsWith("Leither ", Leither("--version").Output, StringComparison.Ordinal);
        foreach (string[] arguments in (string[][])[[], ["--help"], ["run", "--help"]])
        {
            (int code, string output, _) = Leither(arguments);
            Assert.Equal(0, code);
            Assert.Contains("Usage:", output, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Options_before_a_Redis_command_say_where_and_as_whom_and_what_follows_it_is_the_commands()
    {
        using TempDir folder = new();
        int port = Ports.Free();
        string data = folder.File("node");
        Assert.Equal(0, Leither("run", "-d", "-p", $"{port}", "--data", data).Code);
        try
        {
            Assert.Equal((0, "OK\n"), Leither("-p", $"{port}", "SET", "--user", "a word").Short);
            Assert.Equal((0, "a word\n"), Leither($"--port={port}", "GET", "--user").Short);
            Assert.Equal((0, "OK\n"), Leither("--data", data, "ACL", "SETUSER", "ann", "on", ">secret", "+@all", "~*").Short);
            Dictionary<string, string> right = new() { ["REDISCLI_AUTH"] = "secret" }, wrong = new() { ["REDISCLI_AUTH"] = "wrong" };
            foreach (string[] place in (string[][])[["-p", $"{port}"], ["--data", data]])
            {
                Assert.Equal((0, "ann\n"), LeitherProgram.Run(right, [.. place, "--user", "ann", "ACL", "WHOAMI"]).Short);
                Assert.Equal(0, LeitherProgram.Run(right, [.. place, "--user", "ann", "mimei", "list"]).Code);
            }

            // As nobody else than who was named.
            LeitherProgram.Result refused = LeitherProgram.Run(wrong, "--user", "ann", "-p", $"{port}", "ACL", "WHOAMI");
            Assert.Equal((1, ""), refused.Short);
            Assert.StartsWith("AUTH failed: WRONGPASS", refused.Error, StringComparison.Ordinal);
            Assert.Contains("REDISCLI_AUTH", Leither("--user", "ann", "-p", $"{port}", "ACL", "WHOAMI").Error, StringComparison.Ordinal);

            // A MiMei may be named with the user, as in any client.
            Assert.Equal((0, "OK\n"), Leither("-p", $"{port}", "--user", "default@default", "SET", "greeting", "hello").Short);
            refused = Leither("-p", $"{port}", "--user", "default@nowhere", "GET", "greeting");
            Assert.Equal((1, "", "AUTH failed: ERR no such MiMei 'nowhere'\n"), (refused.Code, refused.Output, refused.Error));

            // Behind the command it is a word of it, and who meant otherwise is told.
            LeitherProgram.Result behind = Leither("-p", $"{port}", "GET", "key", "--user", "ann");
            Assert.Equal((1, "ERR wrong number of arguments for 'get' command\n"), behind.Short);
            Assert.Contains("Options stand before it", behind.Error, StringComparison.Ordinal);

            // What is no option, or has no meaning there, is not passed over: another node would be stopped.
            foreach ((string[] words, string told) in ((string[], string)[])[
                (["--pass", "x", "GET", "a"], "REDISCLI_AUTH"), (["-n", "3", "GET", "a"], "There is no option -n"), (["--json", "mimei", "list"], "There is no option --json"),
                (["-p", $"{port}", "stop"], "--port has no meaning for stop"), (["--user", "ann", "stop"], "--user has no meaning for stop"), (["-p", "x", "GET", "a"], "not 'x'")])
            {
                LeitherProgram.Result result = Leither(words);
                Assert.Equal(2, result.Code);
                Assert.Contains(told, result.Error, StringComparison.Ordinal);
            }

            // Whoever takes a Redis command for one of the program's, or the other way round, is told which there are, whether or not a node runs.
            foreach (string[] place in (string[][])[["-p", $"{port}"], ["--data", folder.File("none")]])
            {
                LeitherProgram.Result typed = Leither([.. place, "apps", "list"]), capital = Leither([.. place, "Status", "--data", data]);
                Assert.Equal((1, 1), (typed.Code, capital.Code));
                Assert.Contains("'apps' is no command of leither's own either; those that there are: leither --help", typed.Error, StringComparison.Ordinal);
                Assert.Contains("Did you mean leither status?", capital.Error, StringComparison.Ordinal);
                Assert.Contains("Options stand before it: leither --data", capital.Error, StringComparison.Ordinal);
                Assert.DoesNotContain("leither's own", Leither([.. place, "GET"]).Error, StringComparison.Ordinal);
            }

            Assert.Contains("Options stand before it", Leither("--help").Output, StringComparison.Ordinal);
        }
        finally
        {
            Leither("stop", "--data", data);
        }
    }

    [Theory]
    [InlineData("+OK\r\n", "OK\n", "OK\n")]
    [InlineData("-ERR no\r\n", "(error) ERR no\n", "ERR no\n")]
    [InlineData(":-5\r\n", "(integer) -5\n", "-5\n")]
    [InlineData("$-1\r\n", "(nil)\n", "\n")]
    [InlineData("$5\r\na\"\n\u0001b\r\n", "\"a\\\"\\n\\x01b\"\n", "a\"\n\u0001b\n")]
    [InlineData("*0\r\n", "(empty array)\n", "\n")]
    [InlineData("*2\r\n$1\r\na\r\n*2\r\n:1\r\n$-1\r\n", "1) \"a\"\n2) 1) (integer) 1\n   2) (nil)\n", "a\n1\n\n")]
    public void Replies_are_printed_as_redis_cli_does(string reply, string forPeople, string bare)
    {
        RespReader reader = new(System.Text.Encoding.Latin1.GetBytes(reply));
        Assert.Equal(ReadStatus.Complete, RespReply.TryRead(ref reader, out RespReply? parsed));
        foreach ((bool people, string expected) in ((bool, string)[])[(true, forPeople), (false, bare)])
        {
            using MemoryStream output = new();
            ReplyPrinter.Print(parsed!, output, people);
            Assert.Equal(expected, System.Text.Encoding.Latin1.GetString(output.ToArray()));
        }
    }

    [System.Runtime.InteropServices.DllImport("libc")]
    private static extern int prlimit(int pid, int resource, ulong[] limit, ulong[]? old);

    private static Process Start(params string[] arguments) => LeitherProgram.Start(arguments);

    private static LeitherProgram.Result Leither(params string[] arguments) => LeitherProgram.Run(arguments);
}
