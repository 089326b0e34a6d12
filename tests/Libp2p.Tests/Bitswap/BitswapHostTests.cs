using System.Net;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p.Bitswap;
using Leither.Libp2p.KadDht;
using Leither.TestKit;
using Xunit;

namespace Leither.Libp2p.Tests.Bitswap;

public sealed class BitswapHostTests
{
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(100);

    [Fact]
    public async Task Three_nodes_exchange_ten_megabytes() => await Seed.RunAsync(async random =>
    {
        await using var one = new Node();
        await using var two = new Node();
        await using var three = new Node();
        await one.Host.ConnectAsync(two.Address).WaitAsync(_patience);
        await one.Host.ConnectAsync(three.Address).WaitAsync(_patience);
        await two.Host.ConnectAsync(three.Address).WaitAsync(_patience);
        Node[] nodes = [one, two, three];
        var all = new Dictionary<Cid, byte[]>();
        // Most blocks are with one node, some with two.
        for (int total = 0; total < 10_000_000;)
        {
            byte[] data = new byte[total == 0 ? BitswapMessage.MaxBlockLength : random.Next(1, 400_000)];
            random.NextBytes(data);
            total += data.Length;
            var cid = Cid.Of(Multicodec.Raw, data);
            all.Add(cid, data);
            nodes[random.Next(3)].Store.Put(cid, data);
            nodes[random.Next(3)].Store.Put(cid, data);
        }

        await Task.WhenAll(nodes.Select(async node =>
        {
            BitswapFetch fetch = node.Exchange.NewFetch();
            await Task.WhenAll(all.Where(pair => !node.Store.Has(pair.Key)).ToArray().Select(async pair =>
            {
                ReadOnlyMemory<byte> got = await fetch.GetAsync(pair.Key);
                Assert.True(got.Span.SequenceEqual(pair.Value));
                node.Store.Put(pair.Key, got.Span);
                node.Exchange.NotifyAvailable([pair.Key]);
            }));
        })).WaitAsync(_patience);
        Assert.All(nodes, node => Assert.Equal(all.Count, node.Store.Cids().Count()));
        Assert.All(nodes, node => Assert.Empty(node.Exchange.Wanted));
        long sent = nodes.Sum(node => nodes.Sum(other => node.Exchange.GetLedger(other.Host.Id).BytesReceived));
        Assert.InRange(sent, 1, 2 * all.Values.Sum(data => (long)data.Length));
    });

    [Fact]
    public async Task Absent_content_ends_when_the_caller_says_so_and_nothing_is_left()
    {
        await using var one = new Node();
        await using var two = new Node();
        await one.Host.ConnectAsync(two.Address).WaitAsync(_patience);
        using var limit = new CancellationTokenSource(TimeSpan.FromMilliseconds(300));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => one.Exchange.GetAsync(Cid.Of(Multicodec.Raw, "nowhere"u8), limit.Token).WaitAsync(_patience));
        Assert.Empty(one.Exchange.Wanted);
        await Assert.ThrowsAsync<NotSupportedException>(() => one.Exchange.GetAsync(Cid.Create(Multicodec.Raw, new Multihash(0x1e, new byte[32]))));
        // A name that holds its content needs nobody.
        Assert.Equal("abc"u8.ToArray(), (await one.Exchange.GetAsync(Cid.Create(Multicodec.Raw, Multihash.Identity("abc"u8)))).ToArray());
    }

    [Fact]
    public async Task A_peer_that_stalls_is_passed_over_and_one_that_lies_is_not_believed()
    {
        byte[] data = new byte[100_000];
        new Random(1).NextBytes(data);
        var cid = Cid.Of(Multicodec.Raw, data);
        await using var one = new Node(new BitswapOptions { StallTimeout = TimeSpan.FromMilliseconds(500), RebroadcastInterval = TimeSpan.FromSeconds(2) });
        using var key = PrivateKey.Generate();
        await using var liar = new Host(key);
        var asked = new TaskCompletionSource();
        // Says that it has everything at once, sends something else, and then nothing.
        liar.Handle(BitswapExchange.Protocols[0], async (stream, cancellation) =>
        {
            while (await LengthPrefixed.ReadAsync(stream, BitswapMessage.MaxLength, cancellation) is { } bytes)
            {
                foreach (WantEntry want in BitswapMessage.Read(bytes).Wants)
                {
                    var reply = new BitswapMessage { Presences = want.IsHave ? [new Presence(want.Cid, true)] : [], Blocks = [new ReceivedBlock(want.Cid, new byte[1000])] };
                    await using PeerStream back = stream.Connection!.OpenStream(BitswapExchange.Protocols[0]);
                    await LengthPrefixed.WriteAsync(back, reply.ToArray(BitswapVersion.V1_2)!, cancellation);
                    if (!want.IsHave)
                    {
                        asked.TrySetResult();
                    }
                }
            }
        });
        await one.Host.ConnectAsync(liar.Listen(new IPEndPoint(IPAddress.Loopback, 0)).WithPeer(liar.Id)).WaitAsync(_patience);
        Task<ReadOnlyMemory<byte>> getting = one.Exchange.GetAsync(cid);
        await asked.Task.WaitAsync(_patience);
        await using var honest = new Node();
        honest.Store.Put(cid, data);
        await one.Host.ConnectAsync(honest.Address).WaitAsync(_patience);
        Assert.Equal(data, (await getting.WaitAsync(_patience)).ToArray());
        Assert.True(one.Exchange.GetLedger(liar.Id) is { UnwantedBlocks: > 0, BlocksReceived: 0 });
    }

    [Fact]
    public async Task Providers_are_found_in_the_DHT()
    {
        byte[] data = [1, 2, 3, 4];
        var cid = Cid.Of(Multicodec.Raw, data);
        await using var hub = new Node(dht: true);
        await using var provider = new Node(dht: true);
        await using var asker = new Node(dht: true);
        provider.Store.Put(cid, data);
        await provider.Dht!.BootstrapAsync([hub.Address]).WaitAsync(_patience);
        Assert.True(await provider.Dht.ProvideAsync(cid.Multihash).WaitAsync(_patience) > 0);
        await asker.Dht!.BootstrapAsync([hub.Address]).WaitAsync(_patience);
        Assert.Equal(data, (await asker.Exchange.GetAsync(cid).WaitAsync(_patience)).ToArray());
    }

    private sealed class Node : IAsyncDisposable
    {
        private readonly PrivateKey _key = PrivateKey.Generate();

        public Node(BitswapOptions? options = null, bool dht = false)
        {
            Host = new Host(_key);
            Address = Host.Listen(new IPEndPoint(IPAddress.Loopback, 0)).WithPeer(Host.Id);
            Dht = dht ? new KademliaDht(Host, new KadOptions { Protocol = KadOptions.LeitherProtocol, Mode = KadMode.Server }) : null;
            Exchange = new BitswapExchange(Host, Store, options, Dht);
        }

        public Host Host { get; }

        public Multiaddr Address { get; }

        public MemoryBlockstore Store { get; } = new();

        public KademliaDht? Dht { get; }

        public BitswapExchange Exchange { get; }

        public async ValueTask DisposeAsync()
        {
            await Exchange.DisposeAsync();
            if (Dht != null)
            {
                await Dht.DisposeAsync();
            }

            await Host.DisposeAsync();
            Store.Dispose();
            _key.Dispose();
        }
    }
}
