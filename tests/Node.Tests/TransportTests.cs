// The client is synchronous; where both directions must move, the sender runs beside the test and is joined at its end.
#pragma warning disable xUnit1031
using System.Net;
using System.Net.Sockets;
using System.Text;
using Leither.Node.Logging;
using Leither.Node.Transport;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

/// <summary>The rules of every transport.</summary>
public abstract class TransportTests(string kind)
{
    private MiniServer Start(ListenOptions? listen = null) => new(kind, listen);

    [Fact]
    public void A_command_gets_its_reply()
    {
        using MiniServer server = Start();
        using RespClient client = server.Connect();
        Assert.Equal("PONG", client.Call("PING").Text);
        Assert.Equal("hello", client.Call("ECHO", "hello").Text);
    }

    [Fact]
    public void A_client_that_sends_one_byte_at_a_time_is_served()
    {
        using MiniServer server = Start();
        using RespClient slow = server.Connect();
        using RespClient other = server.Connect();
        foreach (byte b in "*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\nPING\r\n"u8)
        {
            slow.SendRaw([b]);
            Assert.Equal("PONG", other.Call("PING").Text);
        }

        Assert.Equal("hello", slow.Read().Text);
        Assert.Equal("PONG", slow.Read().Text);
    }

    [Fact]
    public void A_pipeline_of_a_megabyte_is_answered_in_order()
    {
        using MiniServer server = Start();
        using RespClient client = server.Connect();
        const int count = 30_000;
        Task send = Task.Run(() =>
        {
            for (int i = 0; i < count; i++)
            {
                client.Queue("ECHO", $"message number {i}");
            }

            client.Flush();
        });
        for (int i = 0; i < count; i++)
        {
            Assert.Equal($"message number {i}", client.Read().Text);
        }

        send.Wait();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(16 * 1024)]
    [InlineData(64 * 1024 - 30)]
    [InlineData(64 * 1024)]
    [InlineData(1024 * 1024 + 7)]
    [InlineData(20 * 1024 * 1024)]
    public void A_value_of_any_size_comes_and_goes_whole(int size)
    {
        using MiniServer server = Start();
        using RespClient client = server.Connect();
        string value = string.Create(size, 7, (chars, seed) =>
        {
            for (int i = 0; i < chars.Length; i++)
            {
                chars[i] = (char)('a' + ((i * 31L + seed) % 26));
            }
        });
        Task send = Task.Run(() =>
        {
            client.Queue("ECHO", value);
            client.Queue("PING");
            client.Flush();
        });
        Assert.True(value == client.Read().Text);
        Assert.Equal("PONG", client.Read().Text);
        send.Wait();
        server.Until(s => s.Connections[0].InputCapacity == 0);
    }

    [Fact]
    public void A_big_argument_is_received_into_a_buffer_of_its_size()
    {
        using MiniServer server = Start();
        using RespClient client = server.Connect();
        const int size = 100 * 1024 * 1024;
        client.SendRaw($"*2\r\n$3\r\nLEN\r\n${size}\r\n");
        byte[] piece = new byte[1 << 20];
        for (int sent = 0; sent < size; sent += piece.Length)
        {
            client.SendRaw(piece);
        }

        server.Until(s => s.Connections.Any(c => c.InputLength >= size));
        Assert.InRange(server.Ask(s => s.Connections[0].InputCapacity), size, size + 1024);
        client.SendRaw("\r\n");
        Assert.Equal(size, client.Read().Integer);
        server.Until(s => s.Connections[0].InputCapacity == 0);
    }

    [Fact]
    public void No_reply_leaves_while_the_handler_holds_them_and_all_leave_after()
    {
        using MiniServer server = Start();
        using RespClient client = server.Connect();
        using RespClient other = server.Connect();
        Assert.Equal("PONG", client.Call("PING").Text);
        server.Ask(s => s.MaySend = false);
        client.SendRaw("ECHO 1\r\nQUIT\r\n");
        other.SendRaw("ECHO 2\r\n");
        server.Until(s => s.Connections.Count(c => c.OutputMemory > 0) == 2);
        long turns = server.Ask(s => s.Turns);
        server.Until(s => s.Turns > turns + 3);
        Assert.False(client.WaitReadable(TimeSpan.Zero) || other.WaitReadable(TimeSpan.Zero));
        server.Ask(s => s.MaySend = true);
        Assert.Equal("1", client.Read().Text);
        Assert.Equal("OK", client.Read().Text);
        Assert.True(client.IsClosedByServer());
        Assert.Equal("2", other.Read().Text);
    }

    [Fact]
    public void A_slow_reader_costs_only_its_own_memory()
    {
        using MiniServer server = Start();
        using RespClient slow = server.Connect();
        using RespClient other = server.Connect();
        const int big = 40 * 1024 * 1024;
        slow.SendRaw($"BIG {big}\r\nPING\r\n");
        server.Until(s => s.Connections.Any(c => c.OutputMemory > 1024 * 1024));
        for (int i = 0; i < 100; i++)
        {
            Assert.Equal("PONG", other.Call("PING").Text);
        }

        Assert.Equal(1, server.Ask(s => s.Connections.Count(c => c.OutputMemory > 0)));
        Assert.Equal(big, slow.Read().Text.Length);
        Assert.Equal("PONG", slow.Read().Text);
        server.Until(s => s.Connections.All(c => c.OutputMemory == 0));
    }

    [Fact]
    public void A_slow_reader_that_goes_away_is_closed()
    {
        using MiniServer server = Start();
        using (RespClient slow = server.Connect())
        {
            slow.SendRaw("BIG 40000000\r\n");
            server.Until(s => s.Connections.Count == 1 && s.Connections[0].OutputMemory > 0);
        }

        server.Until(s => s.Closed == 1);
    }

    [Fact]
    public void A_client_that_closes_its_sending_half_still_gets_its_replies()
    {
        using MiniServer server = Start();
        using RespClient client = server.Connect();
        client.SendRaw("PING\r\nBIG 5000000\r\n");
        client.Socket.Shutdown(SocketShutdown.Send);
        Assert.Equal("PONG", client.Read().Text);
        Assert.Equal(5_000_000, client.Read().Text.Length);
        Assert.True(client.IsClosedByServer());
        server.Until(s => s.Closed == 1);
    }

    [Fact]
    public void Nothing_is_executed_after_a_close_and_the_replies_before_it_arrive()
    {
        using MiniServer server = Start();
        using RespClient client = server.Connect();
        client.SendRaw("PING\r\nBIG 3000000\r\nQUIT\r\nPING\r\n");
        Assert.Equal("PONG", client.Read().Text);
        Assert.Equal(3_000_000, client.Read().Text.Length);
        Assert.Equal("OK", client.Read().Text);
        Assert.True(client.IsClosedByServer());
    }

    [Fact]
    public void A_close_at_once_sends_nothing_more()
    {
        using MiniServer server = Start();
        using RespClient client = server.Connect();
        client.SendRaw("PING\r\nDIE\r\n");
        Assert.True(client.IsClosedByServer());
        server.Until(s => s.Closed == 1 && s.Connections.Count == 0);
    }

    [Fact]
    public void A_reply_may_be_pushed_by_another_connection()
    {
        using MiniServer server = Start();
        using RespClient listener = server.Connect();
        Assert.Equal("PONG", listener.Call("PING").Text);
        using RespClient speaker = server.Connect();
        for (int i = 0; i < 100; i++)
        {
            Assert.Equal("OK", speaker.Call("PUSH", $"news {i}").Text);
            Assert.Equal($"news {i}", listener.Read().Text);
        }
    }

    [Fact]
    public void A_paused_connection_executes_nothing_until_it_is_resumed()
    {
        using MiniServer server = Start();
        using RespClient waiting = server.Connect();
        using RespClient other = server.Connect();
        waiting.SendRaw("PING\r\nWAIT\r\nECHO kept\r\n");
        Assert.Equal("PONG", waiting.Read().Text);
        waiting.SendRaw("ECHO later\r\n");
        server.Until(s => s.Connections.Any(c => c.IsPaused && c.InputLength == "ECHO kept\r\nECHO later\r\n".Length));
        Assert.False(waiting.WaitReadable(TimeSpan.Zero));
        Assert.Equal(1, other.Call("WAKE").Integer);
        Assert.Equal("woken", waiting.Read().Text);
        Assert.Equal("kept", waiting.Read().Text);
        Assert.Equal("later", waiting.Read().Text);
        Assert.Equal("PONG", waiting.Call("PING").Text);
    }

    [Fact]
    public void Connections_that_wake_each_other_are_all_served()
    {
        using MiniServer server = Start();
        RespClient[] chain = [.. Enumerable.Range(0, 20).Select(_ => server.Connect())];
        foreach (RespClient client in chain)
        {
            client.SendRaw("WAIT\r\nWAKE\r\nPING\r\n");
        }

        server.Until(s => s.Connections.Count == 20 && s.Connections.All(c => c.IsPaused && c.InputLength > 0));
        using RespClient first = server.Connect();
        Assert.Equal(20, first.Call("WAKE").Integer);
        foreach (RespClient client in chain)
        {
            Assert.Equal("woken", client.Read().Text);
            Assert.Equal(0, client.Read().Integer);
            Assert.Equal("PONG", client.Read().Text);
            client.Dispose();
        }
    }

    [Fact]
    public void A_paused_connection_whose_client_is_gone_is_closed()
    {
        using MiniServer server = Start();
        using RespClient waiting = server.Connect();
        waiting.SendRaw("WAIT\r\n");
        server.Until(s => s.Connections.Count == 1 && s.Connections[0].IsPaused);
        waiting.Dispose();
        server.Until(s => s.Closed == 1);
    }

    [Fact]
    public void A_paused_connection_holds_back_a_client_that_floods_it()
    {
        using MiniServer server = Start();
        using RespClient waiting = server.Connect();
        using RespClient other = server.Connect();
        waiting.SendRaw("WAIT\r\n");
        const int count = 300_000;
        Task flood = Task.Run(() =>
        {
            byte[] pings = Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat("PING\r\n", 1000)));
            for (int i = 0; i < count / 1000; i++)
            {
                waiting.SendRaw(pings);
            }
        });
        server.Until(s => s.Connections.Any(c => c.IsPaused && c.InputLength > 60_000));
        Assert.Equal("PONG", other.Call("PING").Text);
        Assert.InRange(server.Ask(s => s.Connections.Max(c => c.InputCapacity)), 1, 1 << 20);
        other.Call("WAKE");
        Assert.Equal("woken", waiting.Read().Text);
        for (int i = 0; i < count; i++)
        {
            Assert.Equal("PONG", waiting.Read().Text);
        }

        flood.Wait();
    }

    [Fact]
    public void Input_beyond_the_limit_closes_its_client()
    {
        using MiniServer server = Start();
        server.Ask(s => s.Transport.MaxInputBytes = 200_000);
        using RespClient greedy = server.Connect();
        using RespClient other = server.Connect();
        Assert.ThrowsAny<Exception>(() =>
        {
            greedy.SendRaw("*1000000\r\n");
            string argument = "$1000\r\n" + new string('x', 1000) + "\r\n";
            for (int i = 0; i < 100_000; i++)
            {
                greedy.SendRaw(argument);
            }
        });
        Assert.Equal("PONG", other.Call("PING").Text);
        server.Until(s => s.Closed == 1);
    }

    [Fact]
    public void Thousands_of_idle_connections_hold_no_buffers()
    {
        // Both ends of each are in this process, and others of its tests open files, too.
        int count = Seed.IsLong ? 10_000 : 2_000, others = 1000;
        count = (int)Math.Min(count, (OpenFiles.MakeRoomFor((2 * count) + others) - others) / 2);
        Assert.True(count >= 1000, $"This machine lets a process open files for {count} connections");
        using MiniServer server = Start();
        using RespClient first = server.Connect();
        first.Call("PING");
        long before = ResidentBytes();
        RespClient[] idle = new RespClient[count];
        for (int i = 0; i < count; i++)
        {
            idle[i] = server.Connect();
        }

        foreach (RespClient client in idle)
        {
            client.Queue("PING");
            client.Flush();
        }

        foreach (RespClient client in idle)
        {
            Assert.Equal("PONG", client.Read().Text);
        }

        Assert.Equal(count + 1, first.Call("COUNT").Integer);
        server.Until(s => s.Connections.Sum(c => c.InputCapacity + c.OutputMemory) == 0);
        Assert.True(ResidentBytes() - before < count * 100_000L, "The process has grown by more than its clients' own buffers");
        foreach (RespClient client in idle)
        {
            client.Dispose();
        }

        server.Until(s => s.Closed == count);
        Assert.Equal("PONG", first.Call("PING").Text);
    }

    [Fact]
    public void A_unix_socket_serves_as_well()
    {
        using TempDir folder = new();
        string path = folder.File("s");
        using MiniServer server = Start(new ListenOptions(["127.0.0.1"], Listener.AnyPort, path, 0x1C0 /* 700 */));
        if (!OperatingSystem.IsWindows())
        {
            Assert.Equal((UnixFileMode)0x1C0, File.GetUnixFileMode(path));
        }

        using RespClient client = RespClient.ConnectUnix(path);
        Assert.Equal("PONG", client.Call("PING").Text);
        using RespClient tcp = server.Connect();
        Assert.Equal("PONG", tcp.Call("PING").Text);
        Assert.Equal(
            [(path + ":0", path + ":0", true, true), ("127.0.0.1", $"127.0.0.1:{server.Port}", false, true)],
            server.Ask(s => s.Connections.Select(c => (c.IsUnix ? c.RemoteAddress : c.RemoteAddress.Split(':')[0], c.LocalAddress, c.IsUnix, c.IsLocal)).ToArray()));
    }

    [Fact]
    public void Listeners_can_change_while_connections_stay()
    {
        using MiniServer server = Start();
        using RespClient before = server.Connect();
        Assert.Equal("PONG", before.Call("PING").Text);
        int oldPort = server.Port;
        int newPort = Ports.Free();
        server.Ask(s => { s.Transport.Listen(new ListenOptions(["127.0.0.1"], newPort)); return 0; });
        using RespClient after = RespClient.Connect(newPort);
        Assert.Equal("PONG", after.Call("PING").Text);
        Assert.Equal("PONG", before.Call("PING").Text);
        Assert.ThrowsAny<SocketException>(() => RespClient.Connect(oldPort));
    }

    [Fact]
    public void A_port_in_use_is_refused_and_the_old_listeners_stay()
    {
        using MiniServer server = Start();
        using Socket taken = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        taken.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        taken.Listen();
        int port = ((IPEndPoint)taken.LocalEndPoint!).Port;
        string message = server.Ask(s => Assert.Throws<ListenException>(() => s.Transport.Listen(new ListenOptions(["127.0.0.1"], port))).Message);
        Assert.Equal($"Could not create server TCP listening socket 127.0.0.1:{port}: Address already in use", message);
        using RespClient client = server.Connect();
        Assert.Equal("PONG", client.Call("PING").Text);
    }

    [Fact]
    public void An_optional_address_may_be_missing_another_may_not()
    {
        using MiniServer server = Start(new ListenOptions(["127.0.0.1", "-240.0.0.1"], Listener.AnyPort));
        using RespClient client = server.Connect();
        Assert.Equal("PONG", client.Call("PING").Text);
        Assert.Throws<ListenException>(() => Start(new ListenOptions(["240.0.0.1"], Listener.AnyPort)));
    }

    [Fact]
    public void Work_posted_from_many_threads_runs_on_the_loop()
    {
        using MiniServer server = Start();
        int ran = 0;
        Parallel.For(0, 8, _ =>
        {
            for (int i = 0; i < 1000; i++)
            {
                server.Transport.Post(() => ran++);
            }
        });
        server.Until(_ => ran == 8000);
    }

    [Fact]
    public void Stopping_sends_what_is_pending_and_closes_everything()
    {
        MiniServer server = Start();
        using RespClient client = server.Connect();
        Assert.Equal("PONG", client.Call("PING").Text);
        server.Transport.Post(() =>
        {
            server.Connections[0].Output.Simple("last words"u8);
            server.Transport.Stop();
        });
        Assert.Equal("last words", client.Read().Text);
        Assert.True(client.IsClosedByServer());
        server.Dispose();
    }

    [Fact]
    public void Random_pieces_of_random_commands_are_answered_in_order() => Seed.Run(random =>
    {
        using MiniServer server = Start();
        Task[] clients = [.. Enumerable.Range(0, 4).Select(n => random.Next()).Select(seed => Task.Run(() =>
        {
            Random own = new(seed);
            using RespClient client = server.Connect();
            List<string> expected = [];
            StringBuilder all = new();
            for (int i = 0; i < 300; i++)
            {
                string text = new((char)('a' + own.Next(26)), own.Next(10) == 0 ? own.Next(200_000) : own.Next(100));
                all.Append($"*2\r\n$4\r\nECHO\r\n${text.Length}\r\n{text}\r\n");
                expected.Add(text);
            }

            byte[] bytes = Encoding.ASCII.GetBytes(all.ToString());
            Task send = Task.Run(() =>
            {
                for (int at = 0; at < bytes.Length;)
                {
                    int length = Math.Min(own.Next(1, own.Next(3) == 0 ? 300_000 : 500), bytes.Length - at);
                    client.SendRaw(bytes.AsSpan(at, length));
                    at += length;
                }
            });
            foreach (string text in expected)
            {
                Assert.True(text == client.Read().Text);
            }

            send.Wait();
        }))];
        Task.WaitAll(clients);
    });

    private static long ResidentBytes()
    {
        using System.Diagnostics.Process self = System.Diagnostics.Process.GetCurrentProcess();
        return self.WorkingSet64;
    }
}

public sealed class EpollTransportTests() : TransportTests("epoll");

public sealed class SocketTransportTests() : TransportTests("socket");
