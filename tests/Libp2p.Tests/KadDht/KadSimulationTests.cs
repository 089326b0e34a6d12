using Leither.Ipfs.Ipns;
using Leither.Ipfs.Keys;
using Leither.Libp2p.KadDht;
using Leither.TestKit;
using Xunit;
using Xunit.Abstractions;

namespace Leither.Libp2p.Tests.KadDht;

public sealed class KadSimulationTests(ITestOutputHelper output)
{
    /// <summary>A few hundred show what is wrong; ten thousand show that it scales.</summary>
    private static int Size => Seed.IsLong ? 10_000 : 400;

    [Fact]
    public void A_network_finds_peers_in_few_hops_and_records_under_churn() => Seed.Run(random =>
    {
        var network = new KadNetwork(random, new KadOptions { Mode = KadMode.Server, RefreshInterval = TimeSpan.FromMinutes(60) });
        while (network.Nodes.Count < Size)
        {
            for (int i = 0; i < 20; i++)
            {
                network.Join();
            }

            network.RunFor(TimeSpan.FromSeconds(1));
        }

        network.RunFor(TimeSpan.FromMinutes(2));
        output.WriteLine($"{network.Nodes.Count} nodes, {network.Messages} messages to come together, tables of {network.Nodes.Average(node => node.Node.Table.Count):0} peers");

        // Lookups find the nearest, in few hops.
        var hops = new List<int>();
        var asked = new List<int>();
        int exact = 0;
        for (int i = 0; i < 200; i++)
        {
            byte[] key = new byte[34];
            random.NextBytes(key);
            KadQuery query = network.Run(network.AnyNode(), (node, now) => node.BeginClosest(key, now));
            hops.Add(query.Lookup.Hops);
            asked.Add(query.Lookup.Asked);
            var target = KadKey.Of(key);
            PeerId nearest = network.Nodes.MinBy(node => target.DistanceTo(node.Node.Key))!.Id;
            exact += query.Lookup.Closest.First().Id == nearest ? 1 : 0;
        }

        hops.Sort();
        asked.Sort();
        output.WriteLine($"hops: median {hops[100]}, most {hops[^1]}; asked: median {asked[100]}, most {asked[^1]}; the very nearest found {exact} of 200");
        Assert.InRange(hops[100], 1, 5);
        Assert.InRange(exact, 196, 200);
        long[] sizes = [.. Enumerable.Range(0, 51).Select(_ => network.AnyNode().Node.NetworkSize).Order()];
        output.WriteLine($"estimated size: {sizes[0]} to {sizes[^1]}, median {sizes[25]}");
        Assert.InRange(sizes[25], Size / 2, Size * 2);

        // 100 records, then an hour in which three in ten go and as many come.
        var keys = new List<byte[]>();
        for (int i = 0; i < 100; i++)
        {
            byte[] key = new byte[34];
            random.NextBytes(key);
            keys.Add(key);
            Assert.InRange(network.Run(network.AnyNode(), (node, now) => node.BeginProvide(key, now)).Stored, network.Options.K / 2, network.Options.K);
        }

        int changes = Size * 3 / 10;
        int hits = 0, lookups = 0;
        for (int i = 0; i < changes; i++)
        {
            network.RunFor(TimeSpan.FromHours(1) / changes);
            network.Kill(network.AnyNode());
            network.Join();
            if (i * 600L / changes != (i + 1) * 600L / changes)
            {
                byte[] key = keys[random.Next(keys.Count)];
                KadQuery query = network.Run(network.AnyNode(), (node, now) => node.BeginFindProviders(key, 1, now));
                lookups++;
                hits += query.Providers.Count > 0 ? 1 : 0;
            }
        }

        output.WriteLine($"{hits} of {lookups} found while {changes} nodes came and went; {network.Messages} messages in all");
        Assert.True(hits >= 0.99 * lookups, $"{hits} of {lookups}");
    });

    [Fact]
    public void Records_are_found_with_half_of_the_nodes_dead_and_renewed_before_they_end() => Seed.Run(random =>
    {
        var network = new KadNetwork(random, new KadOptions { Mode = KadMode.Server, RefreshInterval = TimeSpan.FromHours(6) });
        for (int i = 0; i < 120; i++)
        {
            network.Join();
            network.RunFor(TimeSpan.FromMilliseconds(200));
        }

        network.RunFor(TimeSpan.FromMinutes(1));
        SimulatedNode provider = network.AnyNode();
        byte[] key = [0x12, 0x20, .. new byte[32]];
        network.Run(provider, (node, now) => node.BeginProvide(key, now));
        foreach (SimulatedNode node in network.Nodes.Where(node => node != provider).OrderBy(_ => random.Next()).Take(60).ToArray())
        {
            network.Kill(node);
        }

        foreach (SimulatedNode node in network.Nodes.ToArray())
        {
            KadQuery query = network.Run(node, (n, now) => n.BeginFindProviders(key, 5, now));
            Assert.True(node == provider || query.Providers.Any(peer => peer.Id == provider.Id));
        }

        // Three days later it is still provided, and after that no longer.
        network.RunFor(TimeSpan.FromHours(72));
        SimulatedNode asker = network.Nodes.First(node => node != provider);
        Assert.Contains(network.Run(asker, (n, now) => n.BeginFindProviders(key, 5, now)).Providers, peer => peer.Id == provider.Id);
        provider.Node.Unprovide(key);
        network.RunFor(TimeSpan.FromHours(49));
        Assert.Empty(network.Run(asker, (n, now) => n.BeginFindProviders(key, 5, now)).Providers);
        Assert.Equal(0, network.Nodes.Sum(node => node.Node.Providers.Count));
    });

    [Fact]
    public void The_newest_of_several_values_is_found_and_older_ones_are_put_right() => Seed.Run(random =>
    {
        var network = new KadNetwork(random, new KadOptions { Mode = KadMode.Server, RefreshInterval = TimeSpan.FromHours(6) });
        for (int i = 0; i < 80; i++)
        {
            network.Join();
            network.RunFor(TimeSpan.FromMilliseconds(200));
        }

        network.RunFor(TimeSpan.FromMinutes(1));
        byte[] seed = new byte[32];
        random.NextBytes(seed);
        using var key = PrivateKey.FromSeed(seed);
        byte[] name = IpnsRecord.RoutingKey(key.PublicKey.PeerId);
        byte[] Record(ulong sequence, TimeSpan lifetime) =>
            IpnsRecord.Create(key, $"/ipfs/bafkqaa{sequence}", sequence, network.Now + lifetime).Bytes.ToArray();

        byte[] first = Record(1, TimeSpan.FromHours(24));
        byte[] second = Record(2, TimeSpan.FromHours(24));
        Assert.InRange(network.Run(network.AnyNode(), (node, now) => node.BeginPutValue(name, first, now)).Stored, 15, 20);
        // Half of the holders miss the second.
        SimulatedNode[] holders = [.. network.Nodes.Where(node => node.Node.Values.Count > 0)];
        foreach (SimulatedNode holder in holders.Take(holders.Length / 2))
        {
            Assert.True(holder.Node.Values.Put(name, second, network.Now));
            Assert.False(holder.Node.Values.Put(name, first, network.Now));
        }

        KadQuery query = network.Run(network.AnyNode(), (node, now) => node.BeginGetValue(name, 100, now));
        Assert.Equal(second, query.Value);
        network.RunFor(TimeSpan.FromSeconds(5));
        HashSet<PeerId> nearest = [.. query.Lookup.Closest.Select(peer => peer.Id)];
        Assert.All(holders.Where(holder => nearest.Contains(holder.Id)), holder =>
        {
            Assert.True(holder.Node.Values.TryGet(name, network.Now, out byte[]? value));
            Assert.Equal(second, value);
        });
        // Quorum: fewer answers do.
        Assert.InRange(network.Run(network.Nodes.First(node => node.Node.Values.Count == 0), (node, now) => node.BeginGetValue(name, 3, now)).Values, 3, 12);

        // Unsigned, strangers' and ended ones are put nowhere.
        SimulatedNode any = network.AnyNode();
        byte[] forged = [.. second];
        forged[^1] ^= 1;
        Assert.Throws<ArgumentException>(() => any.Node.BeginPutValue(name, forged, network.Now));
        Assert.Throws<ArgumentException>(() => any.Node.BeginPutValue([.. "/other/x"u8], second, network.Now));
        Assert.Null(any.Node.Answer(any.Id, null, new KadMessage { Type = KadMessageType.PutValue, Key = name, Record = new KadRecord(name, forged) }, network.Now));
        network.RunFor(TimeSpan.FromHours(25));
        Assert.Null(network.Run(any, (node, now) => node.BeginGetValue(name, 16, now)).Value);

        // Public keys stand under their ids.
        byte[] publicKey = key.PublicKey.Protobuf.ToArray();
        byte[] pk = [.. "/pk/"u8, .. key.PublicKey.PeerId.ToArray()];
        Assert.InRange(network.Run(any, (node, now) => node.BeginPutValue(pk, publicKey, now)).Stored, 10, 20);
        Assert.Equal(publicKey, network.Run(network.AnyNode(), (node, now) => node.BeginGetValue(pk, 16, now)).Value);
        Assert.Throws<ArgumentException>(() => any.Node.BeginPutValue([.. "/pk/"u8, .. any.Id.ToArray()], publicKey, network.Now));
    });

    [Fact]
    public void A_peer_that_invents_ever_nearer_ones_leads_nowhere_for_long() => Seed.Run(random =>
    {
        var options = new KadOptions();
        DateTimeOffset now = DateTimeOffset.UnixEpoch.AddYears(50);
        var node = new KadNode(KadNetwork.NewId(random), options, random, now);
        KadPeer Invented() => new(KadNetwork.NewId(random), [Leither.Ipfs.Multiformats.Multiaddr.Parse("/ip4/9.9.9.9/tcp/1")]);
        node.Seen(Invented(), null, now);
        KadQuery query = node.BeginClosest([1, 2, 3], now);
        int sent = 0;
        while (node.TryTake(out KadSend send))
        {
            sent++;
            Assert.InRange(query.Lookup.InFlight, 1, options.Alpha);
            // Each of them answers with many more.
            node.Reply(send.Id, new KadMessage { Type = send.Message.Type, Key = send.Message.Key, CloserPeers = [.. Enumerable.Range(0, 60).Select(_ => Invented())] }, null, now);
        }

        Assert.True(query.IsEnded);
        Assert.InRange(sent, 1, Lookup.MaxAsked);
    });
}
