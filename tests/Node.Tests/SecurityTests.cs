// Ways in, through and around, tried against the real program by those who have no right to them: what they send, what they call things, how slowly they do it.

// A process is waited for beside its output.
#pragma warning disable xUnit1031
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Text;
using System.Text.RegularExpressions;
using Leither.Ipfs.DagPb;
using Leither.Ipfs.Multiformats;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

public sealed class SecurityTests
{
    /// <summary>Commands that make the node speak to others, touch files that the caller names, act in its name, or change who may what.</summary>
    private static readonly string[] _outOfReach =
    [
        "MIGRATE 10.0.0.1 80 k 0 10", "REPLICAOF 10.0.0.1 80", "SLAVEOF 10.0.0.1 80", "FAILOVER TO 10.0.0.1 80", "SWARM CONNECT 10.0.0.1", "SWARM DISCONNECT x", "SWARM FILTERS LIST",
        "MIMEI SYNC x FROM 10.0.0.1", "MIMEI PROVIDE x FROM 10.0.0.1", "MIMEI EXPORT /tmp/x", "MIMEI IMPORT /etc/passwd", "MIMEI PUBLISH x", "MIMEI UNPUBLISH x", "MIMEI UNPROVIDE x",
        "MIMEI TAKEOVER x", "MIMEI PROVIDERS x", "MIMEI CREATE DB", "MIMEI DELVERS 1", "MIMEI CHECK PURGE", "MIMEI NAME a b", "MIMEI DOMAIN LIST", "MIMEI DOMAIN SET a.b x", "MIMEI ADD x", "MIMEI SETCID x", "DHT PUT a b", "DHT PROVIDE x", "DHT UNPROVIDE x",
        "IPFS NAME PUBLISH x", "IPFS REPO GC", "PASSPORT LIST", "PASSPORT REVOKE x", "CONFIG GET *", "CONFIG SET dir /", "CONFIG REWRITE", "ACL LIST", "ACL SETUSER x", "ACL LOAD", "MODULE LOAD /x",
        "SHUTDOWN NOSAVE", "SYNC", "PSYNC ? -1", "SAVE", "BGSAVE", "BGREWRITEAOF", "MONITOR", "SLOWLOG GET", "CLIENT LIST", "CLIENT KILL TYPE normal",
    ];

    [Fact]
    public void Who_administers_nothing_sends_the_node_nowhere_and_to_no_file()
    {
        using LeitherServer server = LeitherServer.StartNew();
        using RespClient owner = server.Connect();
        Assert.Equal("OK", owner.Call("ACL", "SETUSER", "low", "on", ">x", "~*", "&*", "+@all", "-@admin", "-@dangerous").Text);
        foreach (string command in _outOfReach)
        {
            using RespClient low = server.Connect();
            Assert.Equal("OK", low.Call("AUTH", "low", "x").Text);
            Assert.StartsWith("NOPERM", low.Call(command.Split(' ')).Text, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void MIGRATE_and_REPLICAOF_reach_the_networks_that_the_configuration_names_and_no_others()
    {
        using Socket inner = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        inner.Bind(new IPEndPoint(IPAddress.Any, 0));
        inner.Listen();
        string port = $"{((IPEndPoint)inner.LocalEndPoint!).Port}";
        using (LeitherServer server = LeitherServer.StartNew("--outbound-networks", "192.0.2.0/24"))
        {
            using RespClient client = server.Connect();
            client.Call("SET", "k", "v");
            foreach (string host in (string[])["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0.0.0.0", "::ffff:127.0.0.1", "::1", "10.0.0.1"])
            {
                Assert.StartsWith("IOERR", client.Call("MIGRATE", host, port, "k", "0", "10000").Text, StringComparison.Ordinal);
            }

            Assert.Contains("can't set immutable config", client.Call("CONFIG", "SET", "outbound-networks", "0.0.0.0/0").Text, StringComparison.Ordinal);
            Assert.Equal("OK", client.Call("REPLICAOF", "127.0.0.1", port).Text);
            server.AwaitLog("outbound-networks");
            Assert.Equal("v", client.Call("GET", "k").Text);
        }

        Assert.False(inner.Poll(0, SelectMode.SelectRead), "somebody connected");
        using (LeitherServer server = LeitherServer.StartNew("--outbound-networks", "192.0.2.0/24 127.0.0.0/8"))
        {
            using RespClient client = server.Connect();
            client.Call("SET", "k", "v");
            client.Queue("MIGRATE", "localhost", port, "k", "0", "10000");
            client.Flush();
            using Socket reached = inner.Accept();
            reached.Close(0);
            Assert.StartsWith("IOERR", client.Read().Text, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Clients_that_reset_what_they_began_take_nobody_with_them()
    {
        using LeitherServer server = LeitherServer.StartNew();
        using RespClient other = server.Connect();
        foreach (string first in (string[])["GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x13/multistream/1.0.0\n", "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"])
        {
            byte[] bytes = Encoding.Latin1.GetBytes(first);
            for (int i = 0; i < 60; i++)
            {
                using (Socket plain = Reach(server.Port))
                {
                    plain.Send(bytes);
                }

                if (i % 2 == 1 || bytes[0] == 0x13) continue;
                using Socket socket = Reach(server.Port);
                using SslStream tls = new(new NetworkStream(socket), false, static (_, _, _, _) => true);
                tls.AuthenticateAsClient("localhost");
                tls.Write(bytes);
                socket.Close(0);
            }

            Assert.Equal("PONG", other.Call("PING").Text);
        }

        // Closing it says nothing of an end: it is a reset.
        static Socket Reach(int port)
        {
            Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { LingerState = new LingerOption(true, 0) };
            socket.Connect(IPAddress.Loopback, port);
            return socket;
        }
    }

    private const string Host = "Host: localhost\r\n", Second = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

    /// <summary>Requests of which some proxy could think that they end elsewhere than the node does; behind each stands another one, for whoever is fooled.</summary>
    [Fact]
    public void Where_a_request_ends_is_certain_or_it_is_refused_and_the_last_one()
    {
        using LeitherServer server = LeitherServer.StartNew();
        foreach (string request in (string[])[
            $"GET /health HTTP/1.1\r\n{Host}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            $"POST /health HTTP/1.1\r\n{Host}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            $"GET /health HTTP/1.1\r\n{Host}Content-Length: 0\r\nContent-Length: 5\r\n\r\n",
            $"GET /health HTTP/1.1\r\n{Host}Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
            $"GET /health HTTP/1.1\r\n{Host}Content-Length: 0, 5\r\n\r\n",
            $"GET /health HTTP/1.1\r\n{Host}Content-Length: 0x0\r\n\r\n",
            $"GET /health HTTP/1.1\r\n{Host}Content-Length: 99999999999999999999\r\n\r\n",
            $"GET /health HTTP/1.1\n{Host}\r\n",
            $"GET /health HTTP/1.1\r\n{Host}X: y\nZ: 1\r\n\r\n",
            $"GET /health HTTP/1.1\r\n{Host}X: a\r\n b\r\n\r\n",
            $"GET /health HTTP/1.1\r\n{Host} X: a\r\n\r\n",
            $"GET /health HTTP/1.1\r\n{Host}X : a\r\n\r\n",
            $"GET /health HTTP/1.1\r\n{Host}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
            $"GET /health HTTP/1.1\r\n{Host}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            $"GET /health HTTP/1.1\r\n{Host}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
            $"GET /health HTTP/1.1\r\n{Host}Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            $"GET /health HTTP/1.1\r\n{Host}Transfer-Encoding: \u000bchunked\r\n\r\n0\r\n\r\n",
            $"GET /health HTTP/1.0\r\n{Host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            $"GET /health HTTP/1.1\r\n{Host}X: a\0b\r\n\r\n",
            $"GET /health HTTP/1.1\r\n{Host}Host: example.com\r\n\r\n",
            "GET /health HTTP/1.1\r\n\r\n",
            $"GET http://example.com/health HTTP/1.1\r\n{Host}\r\n",
            $"CONNECT 10.0.0.1:22 HTTP/1.1\r\n{Host}\r\n",
        ])
        {
            string answer = Exchange(server.Port, request + Second);
            Assert.True(answer.StartsWith("HTTP/1.1 400 ", StringComparison.Ordinal), $"{request}\n=> {answer}");
            Assert.True(Regex.Count(answer, "HTTP/1\\.1 ") == 1, $"{request}\n=> {answer}");
        }

        // What is whole and right is answered, and what stands behind a body is nobody's.
        foreach (string request in (string[])[
            $"GET /health HTTP/1.1\r\n{Host}Content-Length: +5\r\n\r\nabcde",
            $"POST /health HTTP/1.1\r\n{Host}Content-Length: 5\r\n\r\nabcde",
            $"POST /health HTTP/1.1\r\n{Host}Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
            $"POST /health HTTP/1.1\r\n{Host}Transfer-Encoding: chunked\r\n\r\n5;x=\nabcde\r\n0\r\n\r\n",
            $"POST /health HTTP/1.1\r\n{Host}Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
            $"POST /health HTTP/1.1\r\n{Host}Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n\r\n",
        ])
        {
            string answer = Exchange(server.Port, request + Second);
            Assert.True(Regex.Count(answer, "HTTP/1\\.1 ") <= 1, $"{request}\n=> {answer}");
        }

        Assert.Equal(2, Regex.Count(Exchange(server.Port, $"GET /health HTTP/1.1\r\n{Host}\r\n{Second}"), "HTTP/1\\.1 200 "));
    }

    [Fact]
    public void Nothing_that_a_page_elsewhere_can_send_is_a_command()
    {
        using LeitherServer server = LeitherServer.StartNew();
        const string command = "\r\nSET pwned 1\r\n*3\r\n$3\r\nSET\r\n$5\r\npwned\r\n$1\r\n1\r\n";
        foreach (string sent in (string[])[
            $"POST / HTTP/1.1\r\nHost: 127.0.0.1:{server.Port}\r\nOrigin: http://example.com\r\nContent-Type: text/plain\r\nContent-Length: {command.Length}\r\n\r\n{command}",
            $"POST / HTTP/1.1\r\nHost: rebound.example.com\r\nContent-Length: {command.Length}\r\n\r\n{command}",
            $"POST /{new string('a', 20_000)} HTTP/1.1\r\n{Host}\r\n{command}",
            $"POST /{new string('a', 70_000)} HTTP/1.1\r\n{Host}\r\n{command}",
            $"POST /{new string('a', 300_000)} HTTP/1.1\r\n{Host}\r\n{command}",
            $"GET / HTTP/1.1\r\n{Host}Connection: close\r\nX: {new string('a', 70_000)}\r\n\r\n{command}",
            $"GET / HTTP/1.1\r\n{Host}{command}",
            $"GET / HTTP/1.1\r\n{Host}\r\n{command}",
            $"POST / HTTP/9.9\r\n{Host}\r\n{command}",
            $"POST / \r\n{Host}\r\n{command}",
            $"PUT / FTP\r\nHost: x\r\n{command}",
            $"OPTIONS * HTTP/1.1\r\n{Host}Access-Control-Request-Method: POST\r\nOrigin: http://example.com\r\nConnection: close\r\n\r\n{command}",
            $"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{command}",
        ])
        {
            string answer = Exchange(server.Port, sent);
            Assert.DoesNotContain("Access-Control-Allow", answer, StringComparison.OrdinalIgnoreCase);
            Assert.DoesNotContain("\n+OK", answer, StringComparison.Ordinal);
        }

        using RespClient client = server.Connect();
        Assert.Equal(0, client.Call("EXISTS", "pwned").Integer);
    }

    [Fact]
    public void Who_is_slow_or_stops_in_the_middle_keeps_nobody_waiting_and_is_let_go()
    {
        using LeitherServer server = LeitherServer.StartNew("--timeout", "2");
        string[] halves =
        [
            "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000000\r\nabc", "*1", "PIN", "GET / HT", $"GET / HTTP/1.1\r\n{Host}X: y", $"POST / HTTP/1.1\r\n{Host}Content-Length: 1000000\r\n\r\na",
            "\u0016\u0003\u0001", "\u0013/multistream/1.0.", "PRI * HTTP/2.0\r\n\r\nSM", "",
        ];
        List<RespClient> slow = [];
        try
        {
            for (int i = 0; i < 30 * halves.Length; i++)
            {
                RespClient one = server.Connect();
                one.SendRaw(halves[i % halves.Length]);
                slow.Add(one);
            }

            using RespClient client = server.Connect();
            Assert.Equal("OK", client.Call("SET", "a", "1").Text);
            Assert.StartsWith("HTTP/1.1 200 ", Exchange(server.Port, Second), StringComparison.Ordinal);

            // What was announced costs nothing before it comes.
            Assert.InRange(Resident(server.ProcessId), 1, 300L << 20);
            foreach (RespClient one in slow)
            {
                Wait.Until(() => IsEnded(one.Socket));
            }

            Assert.StartsWith("HTTP/1.1 200 ", Exchange(server.Port, Second), StringComparison.Ordinal);
        }
        finally
        {
            foreach (RespClient one in slow) one.Dispose();
        }
    }

    [Fact]
    public void What_is_huge_is_refused_before_it_takes_memory()
    {
        using LeitherServer server = LeitherServer.StartNew("--requirepass", "x");
        long before = Resident(server.ProcessId);
        foreach ((string sent, string expected) in ((string, string)[])[
            ("*1000000\r\n", "-ERR Protocol error: unauthenticated multibulk length"),
            ("*2\r\n$4\r\nAUTH\r\n$100000000\r\n", "-ERR Protocol error: unauthenticated bulk length"),
            ("*99999999999999999999\r\n", "-ERR Protocol error"),
            ("*1\r\n$-5\r\n", "-ERR Protocol error: invalid bulk length"),
            (new string('a', 200_000), "-ERR Protocol error: too big inline request"),
            ($"GET /{new string('a', 20_000)} HTTP/1.1\r\n{Host}\r\n", "HTTP/1.1 414 "),
            ($"GET / HTTP/1.1\r\n{Host}X: {new string('a', 60_000)}\r\n\r\n", "HTTP/1.1 431 "),
            ($"GET / HTTP/1.1\r\n{Host}{string.Concat(Enumerable.Range(0, 500).Select(static i => $"X{i}: a\r\n"))}\r\n", "HTTP/1.1 431 "),
            ($"POST / HTTP/1.1\r\n{Host}Content-Length: 1000000000000\r\n\r\nx", "HTTP/1.1 4"),
        ])
        {
            string answer = Exchange(server.Port, sent);
            Assert.True(answer.StartsWith(expected, StringComparison.Ordinal), $"{sent[..Math.Min(sent.Length, 60)]}\n=> {answer}");
        }

        using RespClient client = server.Connect();
        Assert.Equal("OK", client.Call("AUTH", "x").Text);
        client.SendRaw("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n");
        using RespClient other = server.Connect();
        other.Call("AUTH", "x");
        Assert.StartsWith("HTTP/1.1 4", Exchange(server.Port, $"GET /ipfs/{new string('b', 4000)} HTTP/1.1\r\n{Host}Connection: close\r\n\r\n"), StringComparison.Ordinal);
        Assert.Equal(0, other.Call("EXISTS", "k").Integer);

        // Beside what HTTP takes when it is first used.
        Assert.InRange(Resident(server.ProcessId) - before, long.MinValue, 100L << 20);
    }

    /// <summary>Subscriptions, streams and ends of connections have replies of their own; an export would write a file.</summary>
    private static readonly HashSet<string> _notAskedForLines =
        ["shutdown", "monitor", "sync", "psync", "subscribe", "psubscribe", "ssubscribe", "unsubscribe", "punsubscribe", "sunsubscribe", "quit", "replconf", "mimei|export", "client|reply"];

    [Fact]
    public void No_reply_has_lines_that_a_client_put_there()
    {
        using LeitherServer server = LeitherServer.StartNew("--enable-debug-command", "yes");
        using RespClient asking = server.Connect();
        List<string> names = [];
        foreach (RespValue spec in asking.Call("COMMAND").Items)
        {
            names.Add(spec.Items[0].Text);
            names.AddRange(spec.Items[9].Items.Select(static s => s.Items[0].Text));
        }

        const string evil = "x\r\n+INJECTED\r\n-ERR x\r\n";
        foreach (string name in names.Where(static n => !_notAskedForLines.Contains(n)).Append("nosuch" + evil).Append("mimei|" + evil).Append("client|" + evil).Append("debug|" + evil))
        {
            for (int more = 0; more < 5; more++)
            {
                using RespClient client = server.Connect();
                client.ReadTimeout = TimeSpan.FromSeconds(20);
                client.Queue([.. name.Split('|'), .. Enumerable.Repeat(evil, more)]);
                client.Queue("ECHO", "token");
                client.Flush();
                try
                {
                    _ = client.Read();
                    string next = client.Read().Text;
                    Assert.True(next is "token" or "QUEUED", $"{name} with {more}: {next}");
                }
                catch (RespConnectionException e) when (e.InnerException is not SocketException { SocketErrorCode: SocketError.TimedOut or SocketError.WouldBlock })
                {
                    // It ended the connection.
                }
            }
        }

        foreach (string script in (string[])["return redis.error_reply(ARGV[1])", "return {err=ARGV[1]}", "return {ok=ARGV[1]}", "return redis.status_reply(ARGV[1])", "error(ARGV[1])", "error({err=ARGV[1]})", "return redis.pcall(ARGV[1])", "redis.call('x', ARGV[1])"])
        {
            asking.Queue("EVAL", script, "0", evil);
            asking.Queue("ECHO", "token");
            asking.Flush();
            _ = asking.Read();
            Assert.Equal("token", asking.Read().Text);
        }
    }

    [Fact]
    public void Names_lead_to_no_place_in_the_file_system_and_into_no_line_of_a_file()
    {
        using LeitherServer server = LeitherServer.StartNew();
        string[] evil = ["../../evil", "..", ".", "/etc/passwd", "a/b", "a\r\nb", "a\nport 1", "\0", "", "-x", new string('a', 10_000), "%2e%2e%2f", "a\u001b[2J"];
        using (RespClient client = server.Connect())
        {
            string mid = client.Call("MIMEI", "CREATE", "DB", "MARK", "one").Text;
            foreach (string name in evil)
            {
                _ = client.Call("MIMEI", "NAME", name, mid);
                _ = client.Call("MIMEI", "CREATE", "DB", "MARK", name);
                _ = client.Call("MIMEI", "CREATE", "DB", "MARK", "m", "APP", name, "EXT", name);
                _ = client.Call("MIMEI", "BACKUP", "MEMO", name);
                if (name != "..") Assert.True(client.Call("MIMEI", "IMPORT", name).IsError);
                _ = client.Call("ACL", "SETUSER", name);
                _ = client.Call("CLIENT", "SETNAME", name);
            }

            foreach ((string key, string value) in ((string, string)[])[("dir", "/tmp"), ("dbfilename", "../x"), ("dbfilename", "x"), ("aclfile", "/tmp/x"), ("logfile", "/tmp/x"), ("unixsocket", "/tmp/x"), ("appendfilename", "../x"), ("appenddirname", "../x")])
            {
                Assert.True(client.Call("CONFIG", "SET", key, value).IsError, key);
            }
        }

        foreach (string path in Directory.EnumerateFileSystemEntries(Path.Combine(server.DataDir, "mimei")))
        {
            Assert.Matches("^[a-z2-7]{32}$", Path.GetFileName(path));
        }

        server.Stop();
        server.Start();
        using RespClient again = server.Connect();
        Assert.False(again.Call("MIMEI", "LIST").IsError);
        Assert.Equal("PONG", again.Call("PING").Text);
    }

    [Fact]
    public void A_folder_from_the_network_has_no_names_that_lead_out_of_where_it_is_put()
    {
        using LeitherServer server = LeitherServer.StartNew();
        using RespClient client = server.Connect();
        using TempDir folder = new();
        string file = client.Call("IPFS", "BLOCK", "PUT", "evil", "CODEC", "raw").Text;
        Assert.True(Cid.TryParse(file, out Cid cid), file);
        foreach (string name in (string[])["../evil", "..", ".", "/evil", "a/../../evil", "", "a\0b"])
        {
            byte[] block = new PbNode([new PbLink(cid, name, 4)], [8, 1]).Encode();
            string directory = client.Call([.. ((string[])["IPFS", "BLOCK", "PUT"]).Select(Encoding.ASCII.GetBytes), block, "CODEC"u8.ToArray(), "dag-pb"u8.ToArray()]).Text;
            Assert.True(Cid.TryParse(directory, out _), directory);
            string to = folder.File("to");
            LeitherProgram.Result got = LeitherProgram.Run("ipfs", "get", directory, "-o", to, "--data", server.DataDir);
            Assert.True(got.Code != 0, $"'{name}': {got.Output}");
            Assert.False(File.Exists(folder.File("evil")));
            Assert.True(!Directory.Exists(to) || !Directory.EnumerateFileSystemEntries(to).Any());
        }
    }

    [Fact]
    public void Guesses_are_slowed_down_whatever_way_they_come_and_the_owner_gets_in()
    {
        using LeitherServer server = LeitherServer.StartNew("--requirepass", "a secret");
        string[][] ways = [["AUTH", "wrong"], ["AUTH", "default", "wrong"], ["HELLO", "3", "AUTH", "default", "wrong"], ["AUTH", "default@default", "wrong"], ["AUTH", "passport", "ppt1.x"]];
        List<string> replies = [];
        for (int i = 0; i < 100; i++)
        {
            // A new connection each time, as guessers do.
            using RespClient guesser = server.Connect();
            replies.Add(guesser.Call(ways[i % ways.Length]).Text);
        }

        Assert.StartsWith("WRONGPASS", replies[0], StringComparison.Ordinal);
        Assert.Contains(replies, static r => r.StartsWith("ERR too many failed logins", StringComparison.Ordinal));
        Wait.Until(() =>
        {
            using RespClient owner = server.Connect();
            return owner.Call("AUTH", "a secret").Text == "OK";
        });
    }

    [Fact]
    public void A_password_is_shown_to_nobody_who_asks_and_what_was_shown_can_be_set_again()
    {
        using TempDir folder = new();
        string file = folder.File("leither.conf");
        File.WriteAllText(file, "requirepass first-secret\nmasterauth second-secret\n");
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        int port = Ports.Free();
        using System.Diagnostics.Process node = LeitherProgram.Start("run", file, "-p", $"{port}", "--data", folder.File("data"), "--loglevel", "debug");
        Task<string> log = node.StandardOutput.ReadToEndAsync();
        try
        {
            Wait.Until(() => LeitherProgram.Run("--data", folder.File("data"), "PING").Output.Contains("PONG", StringComparison.Ordinal));
            using RespClient client = RespClient.Connect(port), watching = RespClient.Connect(port);
            client.Call("AUTH", "first-secret");
            watching.Call("AUTH", "first-secret");
            client.Call("CONFIG", "SET", "slowlog-log-slower-than", "0");
            RespValue[] all = client.Call("CONFIG", "GET", "*").Items;
            string[] pairs = [.. all.Select(static v => v.Text)];
            Assert.Equal("********", pairs[Array.IndexOf(pairs, "requirepass") + 1]);
            Assert.Equal("********", pairs[Array.IndexOf(pairs, "masterauth") + 1]);
            Assert.Equal("", client.Call("CONFIG", "GET", "tls-key-file-pass").Items[1].Text);

            // A tool that writes back what it read changes nothing.
            Assert.Equal("OK", client.Call("CONFIG", "SET", "requirepass", "********", "masterauth", "********").Text);
            using (RespClient another = RespClient.Connect(port))
            {
                Assert.Equal("OK", another.Call("AUTH", "first-secret").Text);
            }

            Assert.Equal("OK", watching.Call("MONITOR").Text);
            client.Call("AUTH", "default", "first-secret");
            client.Call("ACL", "SETUSER", "ada", "on", ">third-secret", "~*", "+@all");
            client.Call("CONFIG", "SET", "masterauth", "fourth-secret");
            client.Call("MIGRATE", "127.0.0.1", "1", "none", "0", "10", "AUTH2", "ada", "third-secret");
            client.Call("HELLO", "2", "AUTH", "ada", "third-secret");
            client.Call("PING", "last");
            string seen = "";
            while (!seen.Contains("last", StringComparison.Ordinal)) seen += watching.Read().Text + "\n";
            string shown = seen + Flat(client.Call("SLOWLOG", "GET", "100")) + Flat(client.Call("ACL", "LIST")) + Flat(client.Call("CLIENT", "LIST")) + client.Call("INFO", "everything").Text
                + Flat(client.Call("ACL", "LOG")) + Flat(client.Call("CONFIG", "GET", "*"));
            Assert.DoesNotContain("-secret", shown, StringComparison.Ordinal);

            // What is written for the next start has them, for its owner alone.
            Assert.Equal("OK", client.Call("CONFIG", "SET", "requirepass", "a\nport 1\r\n\"x").Text);
            Assert.Equal("OK", client.Call("CONFIG", "REWRITE").Text);
            string written = File.ReadAllText(file);
            Assert.Contains("masterauth", written, StringComparison.Ordinal);
            Assert.Contains("fourth-secret", written, StringComparison.Ordinal);
            Assert.DoesNotContain("\nport 1\r", written, StringComparison.Ordinal);
            if (!OperatingSystem.IsWindows()) Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(file));
        }
        finally
        {
            node.Kill();
            node.WaitForExit();
        }

        Assert.DoesNotContain("-secret", log.GetAwaiter().GetResult(), StringComparison.Ordinal);
    }

    private static string Flat(RespValue value) => value.IsAggregate ? string.Join(' ', value.Items.Select(Flat)) : value.Text;

    private static bool IsEnded(Socket socket)
    {
        try
        {
            return socket.Poll(0, SelectMode.SelectRead) && (socket.Available == 0 || socket.Receive(new byte[65536]) == 0);
        }
        catch (SocketException)
        {
            return true;
        }
    }

    private static long Resident(int pid)
    {
        using System.Diagnostics.Process process = System.Diagnostics.Process.GetProcessById(pid);
        return process.WorkingSet64;
    }

    /// <summary>What a server says to some bytes until it ends the connection.</summary>
    private static string Exchange(int port, string sent)
    {
        using RespClient client = RespClient.Connect(port);
        Socket socket = client.Socket;
        StringBuilder answer = new();
        try
        {
            client.SendRaw(sent);
            byte[] buffer = new byte[65536];
            while (socket.Receive(buffer) is > 0 and var length) answer.Append(Encoding.Latin1.GetString(buffer, 0, length));
        }
        catch (SocketException e) when (e.SocketErrorCode is not (SocketError.TimedOut or SocketError.WouldBlock))
        {
            // Cut off: what came until then counts.
        }

        return answer.ToString();
    }
}
