// The DHT with js-libp2p's: each asks the other, each is asked, servers and clients.

using System.Net;
using System.Text.Json;
using Leither.Ipfs.Ipns;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p;
using Leither.Libp2p.KadDht;
using Xunit;
using Xunit.Abstractions;

namespace Leither.P2pInterop;

public sealed class HeliaDhtTests(ITestOutputHelper output)
{
    private static readonly TimeSpan _patience = TimeSpan.FromMinutes(1);

    [Theory]
    [InlineData(KadMode.Client)]
    [InlineData(KadMode.Server)]
    public async Task Ours_stores_with_js_servers_and_finds_there(KadMode mode) => await RunAsync(jsServes: true, [mode, KadMode.Client], async (nodes, js) =>
    {
        (P2pNode one, P2pNode other) = (nodes[0], nodes[1]);
        await BootstrapAsync(nodes, js.Address);

        // Providers.
        var content = Cid.Of(Multicodec.Raw, "provided by ours"u8);
        Assert.True(await one.Dht!.ProvideAsync(content.Multihash).WaitAsync(_patience) >= 1, $"{one.Dht.TableCount} in the table, {js.Id} serves");
        KadPeer provider = Assert.Single(await ProvidersAsync(other, content));
        Assert.Equal(one.Host.Id, provider.Id);
        Assert.Contains(one.Address.WithoutPeer()!, provider.Addresses.Select(address => address.WithoutPeer()));
        JsonElement told = (await js.AskAsync($"providers {content} 1")).GetProperty("providers")[0];
        Assert.Equal(one.Host.Id.ToString(), told.GetProperty("id").GetString());

        // Peers.
        KadPeer? found = await other.Dht!.FindPeerAsync(one.Host.Id).WaitAsync(_patience);
        Assert.Contains(one.Address.WithoutPeer()!, found!.Addresses.Select(address => address.WithoutPeer()));

        // Values: an IPNS record, and a newer one in its place; a public key.
        using var key = PrivateKey.Generate();
        byte[] routingKey = IpnsRecord.RoutingKey(key.PublicKey.PeerId);
        byte[] first = Record(key, content, 1), second = Record(key, content, 2);
        Assert.True(await one.Dht.PutValueAsync(routingKey, first).WaitAsync(_patience) >= 1);
        Assert.Equal(first, await other.Dht.GetValueAsync(routingKey).WaitAsync(_patience));
        Assert.True(await one.Dht.PutValueAsync(routingKey, second).WaitAsync(_patience) >= 1);
        Assert.Equal(second, await other.Dht.GetValueAsync(routingKey).WaitAsync(_patience));
        Assert.Equal($"/ipfs/{content}", (await js.AskAsync($"resolve {IpnsRecord.NameText(key.PublicKey.PeerId)}")).GetProperty("value").GetString());
        Assert.Null(await other.Dht.GetValueAsync(IpnsRecord.RoutingKey(other.Host.Id)).WaitAsync(_patience));
    });

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Js_stores_with_our_servers_and_finds_there(bool jsServes) => await RunAsync(jsServes, [KadMode.Server, KadMode.Server, KadMode.Client], async (nodes, js) =>
    {
        (P2pNode one, P2pNode other, P2pNode asker) = (nodes[0], nodes[1], nodes[2]);
        await other.Dht!.BootstrapAsync([one.Address]).WaitAsync(_patience);
        await js.AskAsync($"connect {one.Address}");
        await js.AskAsync($"connect {other.Address}");
        if (jsServes)
        {
            await one.KnowAsync(js.Id).WaitAsync(_patience);
        }

        // A client is asked nothing, so it has no place in the table.
        Assert.Equal(jsServes, one.Dht!.Table.Any(peer => peer.Id == js.Id));
        await asker.Dht!.BootstrapAsync([one.Address]).WaitAsync(_patience);

        // Providers.
        var content = Cid.Of(Multicodec.Raw, "provided by js"u8);
        JsonElement provided = await js.AskAsync($"provide {content}");
        Assert.True(provided.GetProperty("told").GetInt32() >= 2, provided.ToString());
        KadPeer provider = Assert.Single(await ProvidersAsync(asker, content));
        Assert.Equal(js.Id, provider.Id);
        Assert.Contains(js.Address.WithoutPeer()!, provider.Addresses.Select(address => address.WithoutPeer()));
        Assert.Equal(1, one.Dht.ProviderRecordCount);
        var ours = Cid.Of(Multicodec.Raw, "provided by ours"u8);
        Assert.True(await other.Dht.ProvideAsync(ours.Multihash).WaitAsync(_patience) >= 1);
        Assert.Equal(other.Host.Id.ToString(), (await js.AskAsync($"providers {ours} 1")).GetProperty("providers")[0].GetProperty("id").GetString());

        // Peers, each of the other kind.
        JsonElement found = await js.AskAsync($"findpeer {other.Host.Id}");
        Assert.Contains(other.Address.WithoutPeer()!.ToString(), found.GetProperty("addresses").EnumerateArray().Select(address => address.GetString()!.Replace($"/p2p/{other.Host.Id}", "", StringComparison.Ordinal)));
        Assert.Contains(js.Address.WithoutPeer()!, (await asker.Dht.FindPeerAsync(js.Id).WaitAsync(_patience))!.Addresses.Select(address => address.WithoutPeer()));

        // Values: put and got by js; its IPNS record, renewed, is resolved by ours, and ours by js.
        using var key = PrivateKey.Generate();
        string routingKey = Convert.ToHexStringLower(IpnsRecord.RoutingKey(key.PublicKey.PeerId));
        byte[] record = Record(key, content, 7);
        JsonElement put = await js.AskAsync($"put {routingKey} {Convert.ToHexStringLower(record)}");
        Assert.True(put.GetProperty("told").GetInt32() >= 2, put.ToString());
        Assert.Equal(record, await asker.Dht.GetValueAsync(Convert.FromHexString(routingKey)).WaitAsync(_patience));
        Assert.Equal(Convert.ToHexStringLower(record), (await js.AskAsync($"get {routingKey}")).GetProperty("value").GetString());
        Assert.Equal($"/ipfs/{content}", (await js.AskAsync($"resolve {IpnsRecord.NameText(key.PublicKey.PeerId)}")).GetProperty("value").GetString());

        string name = (await js.AskAsync($"publish name {content} 3")).GetProperty("name").GetString()!;
        Assert.True(IpnsRecord.TryParseName(name, out PeerId id), name);
        byte[] published = (await asker.Dht.GetValueAsync(IpnsRecord.RoutingKey(id)).WaitAsync(_patience))!;
        var read = IpnsRecord.ReadValid(id, published, DateTimeOffset.UtcNow);
        Assert.Equal($"/ipfs/{content}", read.Value);
        Assert.Equal(3u, read.Sequence);
    });

    [Fact]
    public async Task Records_that_are_older_or_unsigned_are_taken_by_neither() => await RunAsync(jsServes: true, [KadMode.Server], async (nodes, js) =>
    {
        P2pNode node = nodes[0];
        await BootstrapAsync(nodes, js.Address);
        await js.AskAsync($"connect {node.Address}");
        using var key = PrivateKey.Generate();
        byte[] routingKey = IpnsRecord.RoutingKey(key.PublicKey.PeerId);
        var content = Cid.Of(Multicodec.Raw, "x"u8);
        byte[] newer = Record(key, content, 5);
        await js.AskAsync($"put {Convert.ToHexStringLower(routingKey)} {Convert.ToHexStringLower(newer)}");
        Assert.Equal(newer, await node.Dht!.GetValueAsync(routingKey).WaitAsync(_patience));
        await Assert.ThrowsAsync<ArgumentException>(() => node.Dht.PutValueAsync(routingKey, Record(key, content, 4)));

        // js puts what it is told to, and keeps it itself: a record that was changed, and one that is not the name's.
        byte[] changed = [.. newer];
        changed[^1] ^= 1;
        foreach (byte[] wrong in new[] { changed, Record(node.Host.Identity, content, 9) })
        {
            await js.AskAsync($"put {Convert.ToHexStringLower(routingKey)} {Convert.ToHexStringLower(wrong)}");
            Assert.Equal(newer, await node.Dht.GetValueAsync(routingKey).WaitAsync(_patience));
        }

        Assert.Equal(1, node.Dht.ValueCount);
    });

    [Fact]
    public async Task What_Helia_needs_it_finds_by_our_DHT_and_gets_from_ours() => await RunAsync(jsServes: false, [KadMode.Server, KadMode.Client], async (nodes, js) =>
    {
        (P2pNode server, P2pNode provider) = (nodes[0], nodes[1]);
        byte[] data = [1, 2, 3, 4, 5];
        var cid = Cid.Of(Multicodec.Raw, data);
        provider.Store.Put(cid, data);
        await provider.Dht!.BootstrapAsync([server.Address]).WaitAsync(_patience);
        Assert.Equal(1, await provider.Dht.ProvideAsync(cid.Multihash).WaitAsync(_patience));
        await js.AskAsync($"connect {server.Address}");
        Assert.Equal(data.Length, (await js.AskAsync($"cat {cid}")).GetProperty("bytes").GetInt32());

        // And the other way round.
        string added = (await js.AskAsync("add 100000 unixfs-v1-2025")).GetProperty("cid").GetString()!;
        await js.AskAsync($"provide {added}");
        await using var asker = new P2pNode(KadMode.Client);
        await asker.Dht!.BootstrapAsync([server.Address]).WaitAsync(_patience);
        Assert.Equal(100_000, await asker.FetchAsync(Cid.Parse(added)).WaitAsync(_patience));
    });

    private static byte[] Record(PrivateKey key, Cid content, ulong sequence) =>
        IpnsRecord.Create(key, $"/ipfs/{content}", sequence, DateTimeOffset.UtcNow.AddHours(1)).Bytes.ToArray();

    private static async Task BootstrapAsync(P2pNode[] nodes, Multiaddr address)
    {
        foreach (P2pNode node in nodes)
        {
            await node.Dht!.BootstrapAsync([address]).WaitAsync(_patience);
        }
    }

    private static async Task<List<KadPeer>> ProvidersAsync(P2pNode node, Cid cid)
    {
        var found = new List<KadPeer>();
        await foreach (KadPeer peer in node.Dht!.FindProvidersAsync(cid.Multihash).WithCancellation(new CancellationTokenSource(_patience).Token))
        {
            found.Add(peer);
        }

        return found;
    }

    private async Task RunAsync(bool jsServes, KadMode[] modes, Func<P2pNode[], JsPeer, Task> body)
    {
        if (!JsPeer.IsInstalled)
        {
            output.WriteLine("Left out: js-libp2p is not installed (./test does that).");
            return;
        }

        P2pNode[] nodes = [.. modes.Select(mode => new P2pNode(mode))];
        try
        {
            using JsPeer js = await JsPeer.StartHeliaAsync(KadOptions.LeitherProtocol, jsServes);
            await body(nodes, js);
        }
        finally
        {
            foreach (P2pNode node in nodes)
            {
                await node.DisposeAsync();
            }
        }
    }
}
