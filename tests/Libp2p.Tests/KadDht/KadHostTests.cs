using System.Net;
using Leither.Ipfs.Ipns;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p.KadDht;
using Leither.TestKit;
using Xunit;
using Xunit.Abstractions;

namespace Leither.Libp2p.Tests.KadDht;

public sealed class KadHostTests(ITestOutputHelper output)
{
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(120);

    private static KadOptions Options => new() { Protocol = KadOptions.LeitherProtocol, Mode = KadMode.Server };

    [Fact]
    public async Task Every_record_is_found_from_every_node_with_half_of_them_dead()
    {
        int size = Seed.IsLong ? 50 : 20;
        var nodes = new List<DhtHost>();
        try
        {
            for (int i = 0; i < size; i++)
            {
                nodes.Add(new DhtHost(Options));
            }

            for (int i = 1; i < size; i++)
            {
                await nodes[i].Dht.BootstrapAsync([nodes[0].Address]).WaitAsync(_patience);
            }

            Multihash[] contents = [.. Enumerable.Range(0, size).Select(i => Multihash.Sha256(BitConverter.GetBytes(i)))];
            await Task.WhenAll(nodes.Select(async (node, i) => Assert.InRange(await node.Dht.ProvideAsync(contents[i]), Math.Min(size - 1, 20) / 2, 20))).WaitAsync(_patience);
            byte[][] records = [.. nodes.Select(node => IpnsRecord.Create(node.Key, "/ipfs/bafkqaa", 1, DateTimeOffset.UtcNow.AddHours(1)).Bytes.ToArray())];
            await Task.WhenAll(nodes.Select(async (node, i) => Assert.InRange(await node.Dht.PutValueAsync(IpnsRecord.RoutingKey(node.Host.Id), records[i]), Math.Min(size - 1, 20) / 2, 20))).WaitAsync(_patience);

            int seed = Seed.OfRun();
            output.WriteLine($"LEITHER_SEED={seed}");
            var random = new Random(seed);
            DhtHost[] dead = [.. nodes.OrderBy(_ => random.Next()).Take(size / 2)];
            foreach (DhtHost node in dead)
            {
                await node.DisposeAsync();
            }

            DhtHost[] alive = [.. nodes.Except(dead)];
            await Task.WhenAll(alive.Select(async asker =>
            {
                for (int i = 0; i < size; i++)
                {
                    var found = new List<PeerId>();
                    await foreach (KadPeer peer in asker.Dht.FindProvidersAsync(contents[i], 1))
                    {
                        found.Add(peer.Id);
                    }

                    if (nodes[i] != asker)
                    {
                        Assert.Equal([nodes[i].Host.Id], found);
                    }

                    Assert.Equal(records[i], await asker.Dht.GetValueAsync(IpnsRecord.RoutingKey(nodes[i].Host.Id), 1));
                }

                Assert.NotNull(await asker.Dht.FindPeerAsync(alive[0] == asker ? alive[1].Host.Id : alive[0].Host.Id));
            })).WaitAsync(_patience);
        }
        finally
        {
            foreach (DhtHost node in nodes)
            {
                await node.DisposeAsync();
            }
        }
    }

    [Fact]
    public async Task A_client_asks_and_is_not_asked()
    {
        await using var server = new DhtHost(Options);
        await using var other = new DhtHost(Options);
        await using var client = new DhtHost(Options with { Mode = KadMode.Client });
        await other.Dht.BootstrapAsync([server.Address]).WaitAsync(_patience);
        await client.Dht.BootstrapAsync([server.Address]).WaitAsync(_patience);
        Assert.False(client.Dht.IsServer);
        var content = Multihash.Sha256("x"u8);
        Assert.InRange(await client.Dht.ProvideAsync(content).WaitAsync(_patience), 1, 2);
        Assert.DoesNotContain(server.Dht.Table, peer => peer.Id == client.Host.Id);
        var found = new List<PeerId>();
        await foreach (KadPeer peer in other.Dht.FindProvidersAsync(content))
        {
            found.Add(peer.Id);
        }

        Assert.Equal([client.Host.Id], found);
        // It serves once it can be reached, where it decides by itself.
        await using var automatic = new DhtHost(Options with { Mode = KadMode.Auto });
        automatic.Dht.SetReachable(false);
        Assert.False(automatic.Dht.IsServer);
        automatic.Dht.SetReachable(true);
        Assert.True(automatic.Dht.IsServer);
        Assert.Contains(KadOptions.LeitherProtocol, automatic.Host.Protocols);
    }

    [Fact]
    public async Task Junk_and_huge_requests_end_their_stream_and_nothing_else()
    {
        await using var server = new DhtHost(Options);
        await using var client = new DhtHost(Options);
        PeerConnection connection = await client.Host.ConnectAsync(server.Address).WaitAsync(_patience);
        int seed = Seed.OfRun();
        output.WriteLine($"LEITHER_SEED={seed}");
        var random = new Random(seed);
        for (int i = 0; i < 100; i++)
        {
            await using PeerStream stream = connection.OpenStream(KadOptions.LeitherProtocol);
            byte[] junk = new byte[random.Next(1, 200)];
            random.NextBytes(junk);
            if (i % 4 == 0)
            {
                // A length of 2 GiB, or one without end.
                junk = i % 8 == 0 ? [0xFF, 0xFF, 0xFF, 0xFF, 0x07, 1, 2] : [.. Enumerable.Repeat((byte)0xFF, 40)];
            }

            try
            {
                await stream.WriteAsync(junk);
                stream.CompleteWrites();
                while (await stream.ReadAsync(new byte[100]).AsTask().WaitAsync(_patience) > 0)
                {
                }
            }
            catch (Libp2pException)
            {
            }
        }

        var content = Multihash.Sha256("y"u8);
        await client.Dht.BootstrapAsync([server.Address]).WaitAsync(_patience);
        Assert.Equal(1, await client.Dht.ProvideAsync(content).WaitAsync(_patience));
        Assert.Equal(1, server.Dht.ProviderRecordCount);
    }

    private sealed class DhtHost : IAsyncDisposable
    {
        private bool _disposed;

        public DhtHost(KadOptions options)
        {
            Host = new Host(Key);
            Address = Host.Listen(new IPEndPoint(IPAddress.Loopback, 0)).WithPeer(Host.Id);
            Dht = new KademliaDht(Host, options);
        }

        public PrivateKey Key { get; } = PrivateKey.Generate();

        public Host Host { get; }

        public Multiaddr Address { get; }

        public KademliaDht Dht { get; }

        public async ValueTask DisposeAsync()
        {
            if (!_disposed)
            {
                _disposed = true;
                await Dht.DisposeAsync();
                await Host.DisposeAsync();
                Key.Dispose();
            }
        }
    }
}
