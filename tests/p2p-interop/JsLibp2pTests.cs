// Ours with js-libp2p, over real sockets, each dialling the other. Where npm's packages are not installed, a test says so and is left out.

using System.Net;
using System.Text.Json;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p;
using Leither.Libp2p.Identify;
using Leither.Libp2p.Ping;
using Xunit;
using Xunit.Abstractions;

namespace Leither.P2pInterop;

public sealed class JsLibp2pTests(ITestOutputHelper output)
{
    private const string Echo = "/echo/1.0.0";
    private const int TenMegabytes = 10_000_000;

    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task Ours_dials_identifies_pings_and_sends_ten_megabytes_both_ways() => await RunAsync(async (host, js) =>
    {
        PeerConnection connection = await host.ConnectAsync(js.Address).WaitAsync(_patience);
        Assert.True(js.Address.TryGetPeerId(out PeerId peer));
        Assert.Equal(peer, connection.Peer);
        PeerIdentity identity = (await connection.Identified.WaitAsync(_patience))!;
        Assert.StartsWith("js-libp2p/", identity.Agent, StringComparison.Ordinal);
        Assert.Contains(Echo, identity.Protocols);
        Assert.Equal(connection.LocalAddress, identity.ObservedAddress!.WithoutPeer());
        Assert.Contains(js.Address.WithoutPeer(), identity.Record!.Addresses.Select(address => address.WithoutPeer()));
        Assert.True(await PingProtocol.PingAsync(connection).WaitAsync(_patience) > TimeSpan.Zero);

        byte[] sent = new byte[TenMegabytes];
        new Random(1).NextBytes(sent);
        await using PeerStream stream = connection.OpenStream(Echo);
        Task writing = Task.Run(async () =>
        {
            await stream.WriteAsync(sent);
            stream.CompleteWrites();
        });
        byte[] received = new byte[sent.Length];
        await stream.ReadExactlyAsync(received).AsTask().WaitAsync(_patience);
        Assert.Equal(0, await stream.ReadAsync(new byte[1]).AsTask().WaitAsync(_patience));
        await writing;
        Assert.True(sent.AsSpan().SequenceEqual(received));
    });

    [Fact]
    public async Task Ours_opens_many_streams_and_what_js_does_not_speak_is_told() => await RunAsync(async (host, js) =>
    {
        PeerConnection connection = await host.ConnectAsync(js.Address).WaitAsync(_patience);
        await Task.WhenAll(Enumerable.Range(0, 30).Select(async i =>
        {
            byte[] sent = new byte[10_000 * i];
            new Random(i).NextBytes(sent);
            await using PeerStream stream = await connection.OpenStreamAsync(["/none/1.0.0", Echo]);
            Task writing = Task.Run(async () =>
            {
                await stream.WriteAsync(sent);
                stream.CompleteWrites();
            });
            var received = new MemoryStream();
            await stream.CopyToAsync(received).WaitAsync(_patience);
            await writing;
            Assert.True(sent.AsSpan().SequenceEqual(received.ToArray()));
        }));
        Libp2pException e = await Assert.ThrowsAsync<Libp2pException>(() => connection.OpenStreamAsync(["/none/1.0.0"]).WaitAsync(_patience));
        Assert.Equal(Libp2pError.UnsupportedProtocol, e.Error);
        await using PeerStream lazy = connection.OpenStream("/none/1.0.0");
        e = await Assert.ThrowsAsync<Libp2pException>(() => lazy.ReadAsync(new byte[1]).AsTask().WaitAsync(_patience));
        Assert.Equal(Libp2pError.UnsupportedProtocol, e.Error);
        Assert.True(await PingProtocol.PingAsync(connection).WaitAsync(_patience) > TimeSpan.Zero);
    });

    [Fact]
    public async Task Js_dials_identifies_pings_and_sends_ten_megabytes_both_ways() => await RunAsync(async (host, js) =>
    {
        Multiaddr address = host.Addresses[0].WithPeer(host.Id);
        JsonElement identity = await js.AskAsync($"identify {address}");
        Assert.Equal(host.Id.ToString(), identity.GetProperty("peer").GetString());
        Assert.Equal("leither/0.1.0", identity.GetProperty("agent").GetString());
        Assert.Equal("ipfs/0.1.0", identity.GetProperty("protocolVersion").GetString());
        Assert.Contains(Echo, identity.GetProperty("protocols").EnumerateArray().Select(protocol => protocol.GetString()));
        // js verified our signature on it.
        Assert.Equal(host.Addresses[0].ToString(), identity.GetProperty("record").GetProperty("addresses")[0].GetString());
        Assert.True(host.TryGetConnection(js.Address.TryGetPeerId(out PeerId peer) ? peer : default, out PeerConnection? connection));
        Assert.Equal(connection.RemoteAddress.ToString(), identity.GetProperty("observed").GetString());
        Assert.StartsWith("js-libp2p/", (await connection.Identified.WaitAsync(_patience))!.Agent, StringComparison.Ordinal);
        Assert.True((await js.AskAsync($"ping {address}")).GetProperty("milliseconds").GetDouble() >= 0);
        JsonElement echo = await js.AskAsync($"echo {address} {TenMegabytes}");
        Assert.True(echo.GetProperty("same").GetBoolean(), echo.ToString());
        Assert.Equal(TenMegabytes, echo.GetProperty("received").GetInt32());
        Assert.True((await js.AskAsync($"streams {address} 30")).GetProperty("same").GetBoolean());
        await js.AskAsync($"hangup {address}");
        await connection.Closed.WaitAsync(_patience);
    });

    private async Task RunAsync(Func<Host, JsPeer, Task> body)
    {
        if (!JsPeer.IsInstalled)
        {
            output.WriteLine("Left out: js-libp2p is not installed (./test does that).");
            return;
        }

        using var key = PrivateKey.Generate();
        await using var host = new Host(key);
        host.Handle(Echo, (stream, cancellation) => stream.CopyToAsync(stream, cancellation));
        host.Listen(new IPEndPoint(IPAddress.Loopback, 0));
        using JsPeer js = await JsPeer.StartAsync();
        await body(host, js);
    }
}
