using System.Net;
using System.Net.Sockets;
using System.Text;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p.Identify;
using Leither.Libp2p.Peers;
using Leither.Libp2p.Ping;
using Leither.Libp2p.Transport;
using Leither.TestKit;
using Xunit;

namespace Leither.Libp2p.Tests;

public sealed class HostTests
{
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(30);
    private static readonly IPEndPoint _anyPort = new(IPAddress.Loopback, 0);

    [Fact]
    public async Task Two_hosts_meet_identify_and_ping()
    {
        await using var one = new TestHost();
        await using var other = new TestHost();
        Multiaddr address = other.Host.Listen(_anyPort);
        Multiaddr back = one.Host.Listen(_anyPort);
        PeerConnection connection = await one.Host.ConnectAsync(address.WithPeer(other.Host.Id)).WaitAsync(_patience);
        Assert.Equal(other.Host.Id, connection.Peer);
        Assert.False(connection.IsInbound);
        PeerIdentity identity = (await connection.Identified.WaitAsync(_patience))!;
        Assert.Equal("leither/0.1.0", identity.Agent);
        Assert.Equal("ipfs/0.1.0", identity.ProtocolVersion);
        Assert.Contains(PingProtocol.Id, identity.Protocols);
        Assert.Contains(address, identity.Addresses);
        Assert.Equal(connection.LocalAddress, identity.ObservedAddress);
        Assert.Equal([address], identity.Record!.Addresses);
        Assert.True(await PingProtocol.PingAsync(connection).WaitAsync(_patience) > TimeSpan.Zero);
        Assert.Contains(address, one.Host.Peers.GetAddresses(other.Host.Id));
        await UntilAsync(() => other.Host.Peers.GetAddresses(one.Host.Id).Contains(back));
        Assert.True(other.Host.TryGetConnection(one.Host.Id, out PeerConnection? inbound));
        Assert.True(inbound.IsInbound);
        // What stands is used again.
        Assert.Same(connection, await one.Host.ConnectAsync(other.Host.Id));
        await connection.CloseAsync().WaitAsync(_patience);
        await UntilAsync(() => other.Host.Connections.Count == 0 && one.Host.Connections.Count == 0);
    }

    [Fact]
    public async Task IPv6_works_as_well()
    {
        if (!Socket.OSSupportsIPv6)
        {
            return;
        }

        await using var one = new TestHost();
        await using var other = new TestHost();
        Multiaddr address;
        try
        {
            address = other.Host.Listen(new IPEndPoint(IPAddress.IPv6Loopback, 0));
        }
        catch (SocketException)
        {
            // The machine has no IPv6.
            return;
        }

        Assert.StartsWith("/ip6/::1/tcp/", address.ToString(), StringComparison.Ordinal);
        PeerConnection connection = await one.Host.ConnectAsync(address).WaitAsync(_patience);
        Assert.Equal(other.Host.Id, connection.Peer);
    }

    [Fact]
    public async Task A_protocol_is_spoken_over_many_streams()
    {
        await using var one = new TestHost();
        await using var other = new TestHost();
        other.Host.Handle("/echo/1", (stream, cancellation) => stream.CopyToAsync(stream, cancellation));
        PeerConnection connection = await one.Host.ConnectAsync(other.Host.Listen(_anyPort)).WaitAsync(_patience);
        await Task.WhenAll(Enumerable.Range(0, 40).Select(async i =>
        {
            byte[] sent = new byte[100_000 * (i % 3) + i];
            new Random(i).NextBytes(sent);
            await using PeerStream stream = i % 2 == 0 ? connection.OpenStream("/echo/1") : await connection.OpenStreamAsync(["/none/1", "/echo/1"]);
            Assert.Equal("/echo/1", stream.Protocol);
            Task writing = Task.Run(async () =>
            {
                await stream.WriteAsync(sent);
                stream.CompleteWrites();
            });
            var received = new MemoryStream();
            await stream.CopyToAsync(received).WaitAsync(_patience);
            await writing;
            Assert.Equal(sent, received.ToArray());
        }));
        await UntilAsync(() => connection.StreamCount == 0);
    }

    [Fact]
    public async Task What_the_peer_does_not_speak_shows_at_the_latest_when_reading()
    {
        await using var one = new TestHost();
        await using var other = new TestHost();
        PeerConnection connection = await one.Host.ConnectAsync(other.Host.Listen(_anyPort)).WaitAsync(_patience);
        PeerStream stream = connection.OpenStream("/none/1");
        await stream.WriteAsync(new byte[10]);
        Libp2pException e = await Assert.ThrowsAsync<Libp2pException>(async () => await stream.ReadAsync(new byte[1]).AsTask().WaitAsync(_patience));
        Assert.Equal(Libp2pError.UnsupportedProtocol, e.Error);
        e = await Assert.ThrowsAsync<Libp2pException>(() => connection.OpenStreamAsync(["/none/1", "/none/2"]).WaitAsync(_patience));
        Assert.Equal(Libp2pError.UnsupportedProtocol, e.Error);
        Assert.True(await PingProtocol.PingAsync(connection).WaitAsync(_patience) > TimeSpan.Zero);
    }

    [Fact]
    public async Task A_handler_that_fails_resets_its_stream_and_nothing_else()
    {
        await using var one = new TestHost();
        await using var other = new TestHost();
        var told = new TaskCompletionSource<(string Protocol, Exception Failure)>();
        other.Host.HandlerFailed += (protocol, failure) => told.TrySetResult((protocol, failure));
        other.Host.Handle("/broken/1", (_, _) => throw new InvalidOperationException("a mistake"));
        PeerConnection connection = await one.Host.ConnectAsync(other.Host.Listen(_anyPort)).WaitAsync(_patience);
        PeerStream stream = connection.OpenStream("/broken/1");
        await Assert.ThrowsAsync<Libp2pException>(async () => await stream.ReadAsync(new byte[1]).AsTask().WaitAsync(_patience));
        Assert.Equal("/broken/1", (await told.Task.WaitAsync(_patience)).Protocol);
        Assert.True(await PingProtocol.PingAsync(connection).WaitAsync(_patience) > TimeSpan.Zero);
    }

    [Fact]
    public async Task Streams_of_a_protocol_are_limited()
    {
        await using var one = new TestHost();
        await using var other = new TestHost();
        var release = new TaskCompletionSource();
        other.Host.Handle("/slow/1", async (stream, cancellation) =>
        {
            await stream.WriteAsync(new byte[1], cancellation);
            await release.Task;
        }, new ProtocolLimits { MaxStreamsPerConnection = 2 });
        PeerConnection connection = await one.Host.ConnectAsync(other.Host.Listen(_anyPort)).WaitAsync(_patience);
        PeerStream[] streams = [.. Enumerable.Range(0, 2).Select(_ => connection.OpenStream("/slow/1"))];
        foreach (PeerStream stream in streams)
        {
            Assert.Equal(1, await stream.ReadAsync(new byte[1]).AsTask().WaitAsync(_patience));
        }

        await Assert.ThrowsAsync<Libp2pException>(async () => await connection.OpenStream("/slow/1").ReadAsync(new byte[1]).AsTask().WaitAsync(_patience));
        release.SetResult();
    }

    [Fact]
    public async Task A_socket_accepted_elsewhere_is_taken_over_with_what_was_read()
    {
        await using var one = new TestHost();
        await using var other = new TestHost();
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(_anyPort);
        listener.Listen();
        var address = Multiaddr.Of((IPEndPoint)listener.LocalEndPoint!);
        other.Host.Announce(address);
        Task<PeerConnection> dialing = one.Host.ConnectAsync(address);
        Socket accepted = await listener.AcceptAsync();
        byte[] sniffed = new byte[20];
        int read = 0;
        while (read < sniffed.Length)
        {
            read += await accepted.ReceiveAsync(sniffed.AsMemory(read));
        }

        Assert.Equal("\x13/multistream/1.0.0\n", Encoding.ASCII.GetString(sniffed));
        PeerConnection? inbound = await other.Host.AcceptAsync(accepted, sniffed).WaitAsync(_patience);
        Assert.Equal(one.Host.Id, inbound!.Peer);
        PeerConnection outbound = await dialing.WaitAsync(_patience);
        Assert.Contains(address, (await outbound.Identified.WaitAsync(_patience))!.Addresses);
    }

    [Fact]
    public async Task Another_peer_at_the_address_is_refused()
    {
        await using var one = new TestHost();
        await using var other = new TestHost();
        using var stranger = PrivateKey.Generate();
        Multiaddr address = other.Host.Listen(_anyPort).WithPeer(stranger.PublicKey.PeerId);
        Libp2pException e = await Assert.ThrowsAsync<Libp2pException>(() => one.Host.ConnectAsync(address).WaitAsync(_patience));
        Assert.Equal(Libp2pError.WrongPeer, e.Error);
        e = await Assert.ThrowsAsync<Libp2pException>(() => one.Host.ConnectAsync(address).WaitAsync(_patience));
        Assert.Equal(Libp2pError.BackingOff, e.Error);
        await UntilAsync(() => other.Host.Connections.Count == 0);
    }

    [Fact]
    public async Task Dials_fail_with_their_reason()
    {
        await using var one = new TestHost();
        using var stranger = PrivateKey.Generate();
        PeerId peer = stranger.PublicKey.PeerId;
        Assert.Equal(Libp2pError.DialFailed, (await Assert.ThrowsAsync<Libp2pException>(() => one.Host.ConnectAsync(peer).WaitAsync(_patience))).Error);
        Assert.Equal(Libp2pError.DialFailed, (await Assert.ThrowsAsync<Libp2pException>(() => one.Host.ConnectAsync(one.Host.Id).WaitAsync(_patience))).Error);
        using var closed = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        closed.Bind(_anyPort);
        var nobody = Multiaddr.Of((IPEndPoint)closed.LocalEndPoint!);
        Assert.Equal(Libp2pError.DialFailed, (await Assert.ThrowsAsync<Libp2pException>(() => one.Host.ConnectAsync(peer, [nobody]).WaitAsync(_patience))).Error);
        one.Host.Filters.Add(IPNetwork.Parse("127.0.0.0/8"));
        Assert.Equal(Libp2pError.AddressFiltered, (await Assert.ThrowsAsync<Libp2pException>(() => one.Host.ConnectAsync(peer, [nobody]).WaitAsync(_patience))).Error);
        Assert.Equal(Libp2pError.DialFailed,
            (await Assert.ThrowsAsync<Libp2pException>(() => one.Host.ConnectAsync(Multiaddr.Parse("/ip4/1.2.3.4/udp/4001/quic-v1")).WaitAsync(_patience))).Error);
    }

    [Fact]
    public async Task One_good_address_among_bad_ones_is_enough()
    {
        await using var one = new TestHost();
        await using var other = new TestHost();
        Multiaddr good = other.Host.Listen(_anyPort);
        using var closed = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        closed.Bind(_anyPort);
        // Listens and says nothing.
        using var silent = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        silent.Bind(_anyPort);
        silent.Listen();
        PeerConnection connection = await one.Host.ConnectAsync(other.Host.Id,
            [Multiaddr.Of((IPEndPoint)silent.LocalEndPoint!), Multiaddr.Of((IPEndPoint)closed.LocalEndPoint!), good]).WaitAsync(_patience);
        Assert.Equal(good, connection.RemoteAddress);
        await UntilAsync(() => one.Host.Connections.Count == 1);
    }

    [Fact]
    public async Task Several_who_want_a_peer_share_one_connection()
    {
        await using var one = new TestHost();
        await using var other = new TestHost();
        Multiaddr address = other.Host.Listen(_anyPort);
        PeerConnection[] all = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => Task.Run(() => one.Host.ConnectAsync(other.Host.Id, [address])))).WaitAsync(_patience);
        Assert.Single(all.Distinct());
    }

    [Fact]
    public async Task Filtered_networks_are_not_let_in()
    {
        await using var one = new TestHost();
        await using var other = new TestHost();
        other.Host.Filters.Add(IPNetwork.Parse("127.0.0.0/8"));
        Multiaddr address = other.Host.Listen(_anyPort);
        await Assert.ThrowsAsync<Libp2pException>(() => one.Host.ConnectAsync(address).WaitAsync(_patience));
        Assert.True(other.Host.Filters.Remove(IPNetwork.Parse("127.0.0.0/8")));
        await using var third = new TestHost();
        Assert.Equal(other.Host.Id, (await third.Host.ConnectAsync(address).WaitAsync(_patience)).Peer);
    }

    [Fact]
    public async Task Connections_are_limited_in_all_and_per_peer()
    {
        await using var other = new TestHost(new HostOptions { MaxConnections = 3, MaxConnectionsPerPeer = 2 });
        Multiaddr address = other.Host.Listen(_anyPort);
        await using var one = new TestHost();
        for (int i = 0; i < 2; i++)
        {
            await one.Host.ConnectAsync(address).WaitAsync(_patience);
        }

        await UntilAsync(() => other.Host.Connections.Count == 2);
        PeerConnection tooMany = await one.Host.ConnectAsync(address).WaitAsync(_patience);
        await tooMany.Closed.WaitAsync(_patience);
        Assert.Equal(2, other.Host.Connections.Count);
        await using var third = new TestHost();
        await third.Host.ConnectAsync(address).WaitAsync(_patience);
        await UntilAsync(() => other.Host.Connections.Count == 3);
        await using var fourth = new TestHost();
        await Assert.ThrowsAsync<Libp2pException>(() => fourth.Host.ConnectAsync(address).WaitAsync(_patience));
        Assert.Equal(3, other.Host.Connections.Count);
    }

    [Fact]
    public async Task Idle_connections_are_closed_beyond_the_high_water_mark_and_protected_ones_stay()
    {
        await using var other = new TestHost(new HostOptions { HighWater = 3, LowWater = 2, GracePeriod = TimeSpan.Zero });
        Multiaddr address = other.Host.Listen(_anyPort);
        var hosts = new List<TestHost>();
        for (int i = 0; i < 6; i++)
        {
            hosts.Add(new TestHost());
            other.Host.Protect(hosts[0].Host.Id, "test");
            await hosts[i].Host.ConnectAsync(address).WaitAsync(_patience);
        }

        await UntilAsync(() => other.Host.Connections.Count <= 3);
        Assert.True(other.Host.TryGetConnection(hosts[0].Host.Id, out _));
        foreach (TestHost host in hosts)
        {
            await host.DisposeAsync();
        }
    }

    [Fact]
    public async Task A_change_is_pushed_to_those_who_are_connected()
    {
        await using var one = new TestHost();
        await using var other = new TestHost();
        PeerConnection connection = await one.Host.ConnectAsync(other.Host.Listen(_anyPort)).WaitAsync(_patience);
        await connection.Identified.WaitAsync(_patience);
        Assert.DoesNotContain("/new/1", one.Host.Peers.GetProtocols(other.Host.Id));
        await UntilAsync(() => other.Host.Peers.GetProtocols(one.Host.Id).Count > 0);
        other.Host.Handle("/new/1", (_, _) => Task.CompletedTask);
        await UntilAsync(() => one.Host.Peers.GetProtocols(other.Host.Id).Contains("/new/1"));
    }

    [Fact]
    public async Task Strangers_that_stall_or_babble_are_dropped_in_time() => await Seed.RunAsync(async random =>
    {
        await using var other = new TestHost(new HostOptions { UpgradeTimeout = TimeSpan.FromMilliseconds(200), MaxPendingInbound = 10 });
        Multiaddr address = other.Host.Listen(_anyPort);
        Assert.True(address.TryGetTcp(out IPEndPoint? endPoint));
        for (int i = 0; i < 40; i++)
        {
            using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            await socket.ConnectAsync(endPoint);
            byte[] junk = new byte[random.Next(0, 300)];
            random.NextBytes(junk);
            await socket.SendAsync(i % 2 == 0 ? junk : [.. Encoding.ASCII.GetBytes("\x13/multistream/1.0.0\n\x07/noise\n"), .. junk]);
            // The end, or a reset; an answer to the header may come before.
            byte[] buffer = new byte[100];
            try
            {
                while (await socket.ReceiveAsync(buffer).WaitAsync(_patience) > 0)
                {
                }
            }
            catch (SocketException)
            {
            }
        }

        Assert.Empty(other.Host.Connections);
        await using var one = new TestHost();
        Assert.Equal(other.Host.Id, (await one.Host.ConnectAsync(address).WaitAsync(_patience)).Peer);
    });

    [Fact]
    public async Task Connections_over_memory_are_connections()
    {
        await using var other = new TestHost();
        (MemoryConnection dialer, MemoryConnection listener) = MemoryConnection.CreatePair();
        Task<PeerConnection?> accepting = other.Host.AcceptAsync(listener);
        dialer.Dispose();
        Assert.Null(await accepting.WaitAsync(_patience));
    }

    private static async Task UntilAsync(Func<bool> condition)
    {
        using var patience = new CancellationTokenSource(_patience);
        while (!condition())
        {
            await Task.Delay(5, patience.Token);
        }
    }

    private sealed class TestHost : IAsyncDisposable
    {
        private readonly PrivateKey _key = PrivateKey.Generate();

        public TestHost(HostOptions? options = null)
        {
            Host = new Host(_key, options);
        }

        public Host Host { get; }

        public async ValueTask DisposeAsync()
        {
            await Host.DisposeAsync();
            _key.Dispose();
        }
    }
}
