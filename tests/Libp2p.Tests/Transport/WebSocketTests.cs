using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Net.WebSockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p.Ping;
using Leither.Libp2p.Transport;
using Leither.TestKit;
using Xunit;

namespace Leither.Libp2p.Tests.Transport;

public sealed class WebSocketTests
{
    private const string Peer = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";
    private static readonly TimeSpan _patience = TestHost.Patience;

    [Fact]
    public async Task Hosts_meet_over_WebSocket_and_echo_megabytes()
    {
        await using var one = new TestHost();
        await using var other = new TestHost();
        other.Host.Handle("/echo/1", (stream, cancellation) => stream.CopyToAsync(stream, cancellation));
        using WebSocketServer server = other.ListenWebSocket();
        Multiaddr address = WebSocketConnection.AddressOf(server.EndPoint);
        PeerConnection connection = await one.Host.ConnectAsync(address.WithPeer(other.Host.Id)).WaitAsync(_patience);
        Assert.Equal(other.Host.Id, connection.Peer);
        Assert.Equal(address, connection.RemoteAddress);
        Assert.True(await PingProtocol.PingAsync(connection).WaitAsync(_patience) > TimeSpan.Zero);
        await EchoAsync(connection, 5_000_000);
        Assert.True(other.Host.TryGetConnection(one.Host.Id, out PeerConnection? inbound));
        Assert.Equal(connection.LocalAddress, inbound.RemoteAddress);
        Assert.Equal(connection.LocalAddress, (await connection.Identified.WaitAsync(_patience))!.ObservedAddress);

        // An end is told as one, not as a failure, in both directions.
        await connection.CloseAsync().WaitAsync(_patience);
        Assert.Equal(Libp2pError.ConnectionClosed, (await inbound.Closed.WaitAsync(_patience)).Error);
        await TestHost.UntilAsync(() => other.Host.Connections.Count == 0 && one.Host.Connections.Count == 0);
        connection = await one.Host.ConnectAsync(address).WaitAsync(_patience);
        await TestHost.UntilAsync(() => other.Host.TryGetConnection(one.Host.Id, out inbound));
        await inbound!.CloseAsync().WaitAsync(_patience);
        Assert.Equal(Libp2pError.ConnectionClosed, (await connection.Closed.WaitAsync(_patience)).Error);
    }

    [Fact]
    public async Task WebSocket_over_TLS_asks_for_the_servers_name_and_judges_its_certificate()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=localhost", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName("localhost");
        request.CertificateExtensions.Add(names.Build());
        using X509Certificate2 certificate = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        SslPolicyErrors errors = default;
        await using var other = new TestHost();
        using WebSocketServer server = other.ListenWebSocket(certificate);
        await using var trusting = new TestHost(new HostOptions
        {
            CertificateValidation = (_, _, _, found) =>
            {
                errors = found;
                return (found & SslPolicyErrors.RemoteCertificateNameMismatch) == 0;
            },
        });
        foreach (string text in new[] { $"/dns4/localhost/tcp/{server.EndPoint.Port}/wss", $"/ip4/127.0.0.1/tcp/{server.EndPoint.Port}/tls/sni/localhost/ws" })
        {
            PeerConnection connection = await trusting.Host.ConnectAsync(Multiaddr.Parse(text)).WaitAsync(_patience);
            Assert.Equal(other.Host.Id, connection.Peer);
            Assert.Contains($"Host: localhost:{server.EndPoint.Port}", server.LastRequest, StringComparison.Ordinal);
            Assert.Equal(SslPolicyErrors.RemoteCertificateChainErrors, errors);
            await connection.CloseAsync().WaitAsync(_patience);
        }

        // Under another name, and by the machine's own authorities, it does not pass.
        await Assert.ThrowsAsync<Libp2pException>(() => trusting.Host.ConnectAsync(Multiaddr.Parse($"/ip4/127.0.0.1/tcp/{server.EndPoint.Port}/wss")).WaitAsync(_patience));
        await using var strict = new TestHost();
        Libp2pException e = await Assert.ThrowsAsync<Libp2pException>(() => strict.Host.ConnectAsync(Multiaddr.Parse($"/dns4/localhost/tcp/{server.EndPoint.Port}/wss")).WaitAsync(_patience));
        Assert.Equal(Libp2pError.DialFailed, e.Error);
    }

    [Fact]
    public async Task A_server_that_speaks_something_else_is_a_failed_dial()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var address = Multiaddr.Parse($"/ip4/127.0.0.1/tcp/{((IPEndPoint)listener.LocalEndpoint).Port}/ws");
        foreach (string answer in new[]
        {
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: wrong\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\nX: " + new string('x', 100_000) + "\r\n\r\n",
            "\x13/multistream/1.0.0\n",
            "",
        })
        {
            await using var one = new TestHost();
            Task serving = Task.Run(async () =>
            {
                using Socket socket = await listener.AcceptSocketAsync();
                await socket.ReceiveAsync(new byte[4096]);
                await socket.SendAsync(Encoding.ASCII.GetBytes(answer));
            });
            Libp2pException e = await Assert.ThrowsAsync<Libp2pException>(() => one.Host.ConnectAsync(address).WaitAsync(_patience));
            Assert.Equal(Libp2pError.DialFailed, e.Error);
            await serving.WaitAsync(_patience);
        }
    }

    [Fact]
    public async Task Text_ends_the_connection_and_empty_messages_mean_nothing()
    {
        await using var other = new TestHost();
        using WebSocketServer server = other.ListenWebSocket();
        using var client = new ClientWebSocket();
        await client.ConnectAsync(new Uri($"ws://{server.EndPoint}/"), CancellationToken.None).WaitAsync(_patience);
        byte[] hello = Encoding.ASCII.GetBytes("\x13/multistream/1.0.0\n");
        await client.SendAsync(Array.Empty<byte>(), WebSocketMessageType.Binary, true, CancellationToken.None);
        await client.SendAsync(hello.AsMemory(0, 3), WebSocketMessageType.Binary, false, CancellationToken.None);
        await client.SendAsync(Array.Empty<byte>(), WebSocketMessageType.Binary, true, CancellationToken.None);
        await client.SendAsync(hello.AsMemory(3), WebSocketMessageType.Binary, true, CancellationToken.None);
        byte[] answer = new byte[hello.Length];
        for (int have = 0; have < answer.Length;)
        {
            have += (await client.ReceiveAsync(answer.AsMemory(have), CancellationToken.None).AsTask().WaitAsync(_patience)).Count;
        }

        Assert.Equal(hello, answer);
        await client.SendAsync("\x07/noise\n"u8.ToArray(), WebSocketMessageType.Text, true, CancellationToken.None);
        await Assert.ThrowsAsync<WebSocketException>(async () =>
        {
            while ((await client.ReceiveAsync(answer.AsMemory(), CancellationToken.None).AsTask().WaitAsync(_patience)).MessageType != WebSocketMessageType.Close)
            {
            }
        });
        Assert.Empty(other.Host.Connections);
    }

    [Theory]
    [InlineData("/ip4/1.2.3.4/tcp/80", 0, null)]
    [InlineData("/ip4/1.2.3.4/tcp/80/p2p/" + Peer, 0, null)]
    [InlineData("/ip6zone/3/ip6/fe80::1/tcp/80/ws", 1, null)]
    [InlineData("/ip4/1.2.3.4/tcp/80/ws/p2p/" + Peer, 1, null)]
    [InlineData("/ip4/1.2.3.4/tcp/80/wss", 2, null)]
    [InlineData("/ip4/1.2.3.4/tcp/80/tls/ws", 2, null)]
    [InlineData("/ip4/1.2.3.4/tcp/80/tls/sni/a.example/ws", 2, "a.example")]
    public void What_can_be_dialled(string text, int transport, string? name)
    {
        Assert.True(DialTarget.TryCreate(Multiaddr.Parse(text), null, out DialTarget? target));
        Assert.Equal((DialTransport)transport, target.Transport);
        Assert.Equal(name, target.ServerName);
        Assert.Equal(80, target.EndPoint.Port);
        Assert.Equal(text.EndsWith(Peer, StringComparison.Ordinal), target.Peer != null);
        Assert.False(target.Address.TryGetPeerId(out _));
    }

    [Theory]
    [InlineData("/ip4/1.2.3.4")]
    [InlineData("/ip4/1.2.3.4/udp/80")]
    [InlineData("/ip4/1.2.3.4/udp/80/quic-v1")]
    [InlineData("/ip4/1.2.3.4/tcp/80/tls")]
    [InlineData("/ip4/1.2.3.4/tcp/80/sni/a.example/ws")]
    [InlineData("/ip4/1.2.3.4/tcp/80/tls/wss")]
    [InlineData("/ip4/1.2.3.4/tcp/80/ws/ws")]
    [InlineData("/ip4/1.2.3.4/tcp/80/tcp/80")]
    [InlineData("/ip4/1.2.3.4/tcp/80/http")]
    [InlineData("/ip4/1.2.3.4/tcp/80/p2p/" + Peer + "/p2p-circuit")]
    [InlineData("/ip4/1.2.3.4/tcp/80/p2p/" + Peer + "/p2p-circuit/p2p/" + Peer)]
    [InlineData("/dns4/a.example/tcp/80")]
    [InlineData("/p2p/" + Peer)]
    public void What_cannot_be_dialled_as_it_is(string text) => Assert.False(DialTarget.TryCreate(Multiaddr.Parse(text), null, out _));

    internal static async Task EchoAsync(PeerConnection connection, int length)
    {
        byte[] sent = new byte[length];
        new Random(length).NextBytes(sent);
        await using PeerStream stream = connection.OpenStream("/echo/1");
        Task writing = Task.Run(async () =>
        {
            await stream.WriteAsync(sent);
            stream.CompleteWrites();
        });
        byte[] received = new byte[length];
        await stream.ReadExactlyAsync(received).AsTask().WaitAsync(_patience);
        await writing;
        Assert.True(sent.AsSpan().SequenceEqual(received));
    }
}
