// Who gets the blocks of a MiMei: everybody once it is published, by Bitswap, from the gateway and by the log protocol, and nobody by any of them otherwise.

using System.Buffers;
using System.Net;
using Leither.Ipfs;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p;
using Leither.Libp2p.Bitswap;
using Leither.Node.Replication;
using Leither.Replication;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

public sealed class PublishedBlocksTests
{
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task A_published_MiMei_is_had_by_Bitswap_and_from_the_gateway_and_no_more_once_it_is_private()
    {
        using LeitherServer home = LeitherServer.StartNew("--dht-network", "leither", "--swarm-mdns", "no");
        using RespClient client = home.Connect();
        string mid = client.Call("MIMEI", "ID").Items[0].Text, address = AddressOf(home);
        for (int i = 0; i < 200; i++)
        {
            client.Call("HSET", $"h{i}", "secret", new string((char)('a' + (i % 26)), 200));
        }

        Assert.Equal(1, client.Call("MIMEI", "BACKUP").Integer);
        Cid version = Cid.Parse(Field(client.Call("MIMEI", "VERSIONS", mid)[0], "cid"));

        // Something is public all along: a node that serves nobody proves nothing.
        string other = client.Call("MIMEI", "CREATE", "DB", "MARK", "other").Text;
        using (RespClient open = home.Connect())
        {
            Assert.Equal("OK", open.Call("MIMEI", "OPEN", other).Text);
            open.Call("SET", "a", "1");
            Assert.Equal(1, open.Call("MIMEI", "BACKUP").Integer);
        }

        Assert.False(client.Call("MIMEI", "PUBLISH", other).IsError);
        Cid known = Cid.Parse(Field(client.Call("MIMEI", "VERSIONS", other)[0], "cid"));

        List<Cid> blocks = [version];
        await AssertWithheldAsync(home, address, mid, blocks, known);

        Assert.False(client.Call("MIMEI", "PUBLISH", mid).IsError);
        await using (var stranger = new Stranger())
        {
            await stranger.Host.ConnectAsync(Multiaddr.Parse(address)).WaitAsync(_patience);
            var bytes = new Dictionary<Cid, byte[]>();
            for (int i = 0; i < blocks.Count; i++)
            {
                Cid cid = blocks[i];
                bytes[cid] = (await stranger.Bitswap.GetAsync(cid).WaitAsync(_patience)).ToArray();
                var links = new List<Cid>();
                Links.AddTo(links, cid.Codec, bytes[cid]);
                blocks.AddRange(links.Except(blocks));
                (HttpStatusCode status, byte[] body) = await FromGatewayAsync(home, cid);
                Assert.Equal(HttpStatusCode.OK, status);
                Assert.Equal(bytes[cid], body);
            }

            // The version, its state's nodes, the log's segment and the segment's data.
            Assert.True(blocks.Count >= 4, $"{blocks.Count} blocks");
            Assert.Contains(bytes.Values, static b => b.AsSpan().IndexOf("secret"u8) >= 0);
            Assert.IsType<Welcome>(await AskAsync(stranger.Host, address, mid));
        }

        Assert.Equal(1, client.Call("MIMEI", "UNPUBLISH", mid).Integer);
        await AssertWithheldAsync(home, address, mid, blocks, known);

        // Shared with somebody: for everybody else it is as it was.
        using var friend = PrivateKey.Generate();
        Assert.False(client.Call("MIMEI", "PUBLISH", mid, "TO", friend.PublicKey.PeerId.ToString()).IsError);
        await AssertWithheldAsync(home, address, mid, blocks, known);
        await using (var invited = new Host(friend))
        {
            await invited.ConnectAsync(Multiaddr.Parse(address)).WaitAsync(_patience);
            Welcome welcome = Assert.IsType<Welcome>(await AskAsync(invited, address, mid));
            Assert.False(welcome.IsPublic);
        }

        Assert.Equal(1, client.Call("MIMEI", "UNPUBLISH", mid).Integer);
        await AssertWithheldAsync(home, address, mid, blocks, known);
    }

    /// <summary>Nobody gets any of it, and what is not for him looks to him as what is not there.</summary>
    private static async Task AssertWithheldAsync(LeitherServer home, string address, string mid, List<Cid> blocks, Cid known)
    {
        await using var stranger = new Stranger();
        await stranger.Host.ConnectAsync(Multiaddr.Parse(address)).WaitAsync(_patience);
        using var enough = new CancellationTokenSource();
        Cid none = Cid.Of(Multicodec.Raw, "nobody has this"u8);
        Task<ReadOnlyMemory<byte>>[] asked = [.. blocks.Append(none).Select(cid => stranger.Bitswap.GetAsync(cid, enough.Token))];
        // What was asked for afterwards is there: so what was asked for before will not come.
        Assert.True(known.Verify((await stranger.Bitswap.GetAsync(known).WaitAsync(_patience)).Span));
        await Task.Delay(200);
        Assert.All(asked, static task => Assert.False(task.IsCompletedSuccessfully));
        await enough.CancelAsync();
        await Task.WhenAll(asked).ContinueWith(static _ => { }, TaskScheduler.Default);
        Assert.All(asked, static task => Assert.True(task.IsCanceled));

        foreach (Cid cid in blocks)
        {
            (HttpStatusCode status, byte[] body) = await FromGatewayAsync(home, cid);
            (HttpStatusCode absent, byte[] text) = await FromGatewayAsync(home, none);
            Assert.Equal(absent, status);
            Assert.Equal(System.Text.Encoding.UTF8.GetString(text).Replace(none.ToString(), cid.ToString(), StringComparison.Ordinal), System.Text.Encoding.UTF8.GetString(body));
        }

        Refused refused = Assert.IsType<Refused>(await AskAsync(stranger.Host, address, mid));
        Assert.Equal(refused, await AskAsync(stranger.Host, address, LeitherId.Of("nobody's"u8).ToString()));
        Assert.Equal(ByeCode.NotFound, refused.Code);
    }

    private static async Task<(HttpStatusCode Status, byte[] Body)> FromGatewayAsync(LeitherServer server, Cid cid)
    {
        using var http = new HttpClient();
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri($"http://127.0.0.1:{server.Port}/ipfs/{cid}?format=raw"));
        request.Headers.Add("Cache-Control", "only-if-cached"); // what is not here is not looked for
        using HttpResponseMessage response = await http.SendAsync(request).WaitAsync(_patience);
        return (response.StatusCode, await response.Content.ReadAsByteArrayAsync());
    }

    /// <summary>What a node answers to somebody who asks for a MiMei.</summary>
    private static async Task<Message?> AskAsync(Host host, string address, string mid)
    {
        PeerConnection connection = await host.ConnectAsync(Multiaddr.Parse(address)).WaitAsync(_patience);
        await using PeerStream stream = connection.OpenStream(LogProtocol.Name);
        var bytes = new ArrayBufferWriter<byte>();
        MessageCodec.Encode(new Hello(LogProtocol.Format, LeitherId.Parse(mid), default, null, [], false, 0, default), bytes);
        await stream.WriteAsync(bytes.WrittenMemory);
        using var reader = new MessageReader(stream);
        using var limit = new CancellationTokenSource(_patience);
        return (await reader.ReadAsync(limit.Token))?.Message;
    }

    private static string AddressOf(LeitherServer server)
    {
        using RespClient client = server.Connect();
        return $"/ip4/127.0.0.1/tcp/{server.Port}/p2p/{Field(client.Call("SWARM", "ID"), "peer")}";
    }

    private static string Field(RespValue map, string name)
    {
        int at = Array.FindIndex(map.Items, item => !item.IsAggregate && !item.IsNull && item.Text == name);
        Assert.True(at >= 0, $"no {name} in {map}");
        return map.Items[at + 1].Text;
    }

    /// <summary>A node that has nothing, and that nobody knows.</summary>
    private sealed class Stranger : IAsyncDisposable
    {
        private readonly PrivateKey _key = PrivateKey.Generate();
        private readonly MemoryBlockstore _blocks = new();

        public Stranger()
        {
            Host = new Host(_key);
            Bitswap = new BitswapExchange(Host, _blocks);
        }

        public Host Host { get; }

        public BitswapExchange Bitswap { get; }

        public async ValueTask DisposeAsync()
        {
            await Bitswap.DisposeAsync();
            await Host.DisposeAsync();
            _blocks.Dispose();
            _key.Dispose();
        }
    }
}
