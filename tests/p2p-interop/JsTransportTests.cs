// Ours with js-libp2p over WebSocket, and within a private network, each dialling the other.

using System.Net;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p;
using Leither.Libp2p.PrivateNetworks;
using Leither.Libp2p.Transport;
using Leither.TestKit;
using Xunit;
using Xunit.Abstractions;

namespace Leither.P2pInterop;

public sealed class JsTransportTests(ITestOutputHelper output)
{
    private const string Echo = "/echo/1.0.0";
    private const int FiveMegabytes = 5_000_000;

    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(60);

    [Fact]
    public Task Ours_and_js_meet_over_WebSocket() => RunAsync(null);

    [Fact]
    public Task Ours_and_js_meet_within_a_private_network() => RunAsync(SwarmKey.Generate());

    [Fact]
    public async Task Js_with_another_key_is_a_stranger()
    {
        if (IsLeftOut()) return;
        using var folder = new TempDir();
        using JsPeer js = await StartAsync(folder, SwarmKey.Generate());
        var quick = new HostOptions { DialTimeout = TimeSpan.FromSeconds(3) };
        using var key = PrivateKey.Generate();
        foreach (SwarmKey? ours in new[] { null, SwarmKey.Generate() })
        {
            await using var host = new Host(key, quick with { SwarmKey = ours });
            await Assert.ThrowsAsync<Libp2pException>(() => host.ConnectAsync(js.Address).WaitAsync(_patience));
        }
    }

    private static Task<JsPeer> StartAsync(TempDir folder, SwarmKey? key)
    {
        if (key == null) return JsPeer.StartAsync(["transports.js"]);
        string file = Path.Combine(folder.Path, "swarm.key");
        File.WriteAllText(file, key.ToFile());
        return JsPeer.StartAsync(["transports.js", file]);
    }

    private async Task RunAsync(SwarmKey? swarmKey)
    {
        if (IsLeftOut()) return;
        using var folder = new TempDir();
        using var key = PrivateKey.Generate();
        await using var host = new Host(key, new HostOptions { SwarmKey = swarmKey });
        host.Handle(Echo, (stream, cancellation) => stream.CopyToAsync(stream, cancellation));
        Multiaddr tcp = host.Listen(new IPEndPoint(IPAddress.Loopback, 0));
        using var server = new WebSocketServer(async (socket, local, remote) =>
        {
            using var raw = new WebSocketConnection(socket, WebSocketConnection.AddressOf(local), WebSocketConnection.AddressOf(remote));
            if (await host.AcceptAsync(raw) is { } connection) await connection.Closed;
        });
        using JsPeer js = await StartAsync(folder, swarmKey);
        foreach (Multiaddr address in js.Addresses)
        {
            // What it said of itself would lead there over TCP again.
            host.Peers.ClearAddresses(js.Id);
            PeerConnection connection = await host.ConnectAsync(address).WaitAsync(_patience);
            Assert.Equal(address.WithoutPeer(), connection.RemoteAddress);
            Assert.StartsWith("js-libp2p/", (await connection.Identified.WaitAsync(_patience))!.Agent, StringComparison.Ordinal);
            byte[] sent = new byte[FiveMegabytes];
            new Random(1).NextBytes(sent);
            await using (PeerStream stream = connection.OpenStream(Echo))
            {
                Task writing = Task.Run(async () =>
                {
                    await stream.WriteAsync(sent);
                    stream.CompleteWrites();
                });
                byte[] received = new byte[sent.Length];
                await stream.ReadExactlyAsync(received).AsTask().WaitAsync(_patience);
                await writing;
                Assert.True(sent.AsSpan().SequenceEqual(received));
            }

            await connection.CloseAsync().WaitAsync(_patience);
            await NobodyAsync(host, js);
        }

        foreach (Multiaddr address in new[] { tcp, WebSocketConnection.AddressOf(server.EndPoint) })
        {
            Assert.True((await js.AskAsync($"echo {address.WithPeer(host.Id)} {FiveMegabytes}")).GetProperty("same").GetBoolean());
            PeerConnection connection = Assert.Single(host.Connections);
            Assert.Equal(address.Has(MultiaddrProtocol.Ws), connection.RemoteAddress.Has(MultiaddrProtocol.Ws));
            await connection.CloseAsync().WaitAsync(_patience);
            await NobodyAsync(host, js);
        }
    }

    /// <summary>Waits until both have seen the end of their connection.</summary>
    private static async Task NobodyAsync(Host host, JsPeer js)
    {
        using var patience = new CancellationTokenSource(_patience);
        while (host.Connections.Count > 0 || (await js.AskAsync("peers")).GetProperty("peers").GetArrayLength() > 0)
        {
            await Task.Delay(20, patience.Token);
        }
    }

    private bool IsLeftOut()
    {
        if (!JsPeer.IsInstalled) output.WriteLine("Left out: js-libp2p is not installed (./test does that).");
        return !JsPeer.IsInstalled;
    }
}
