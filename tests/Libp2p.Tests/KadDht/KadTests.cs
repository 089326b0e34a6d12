using System.Net;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p.KadDht;
using Leither.TestKit;
using Xunit;
using Xunit.Abstractions;

namespace Leither.Libp2p.Tests.KadDht;

public sealed class KadTests(ITestOutputHelper output)
{
    private static readonly DateTimeOffset _now = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);
    private static readonly Multiaddr _address = Multiaddr.Parse("/ip4/1.2.3.4/tcp/4001");

    private readonly Random _random = NewRandom(output);

    [Fact]
    public void Messages_are_read_as_they_were_written()
    {
        KadPeer one = Peer(), other = new(KadNetwork.NewId(_random), []);
        var message = new KadMessage
        {
            Type = KadMessageType.GetProviders,
            Key = [1, 2, 3],
            Record = new KadRecord([1, 2, 3], [4, 5], "2026-01-01T00:00:00Z"),
            CloserPeers = [one, other],
            Providers = [one],
        };
        var read = KadMessage.Read(message.ToArray());
        Assert.Equal(message.Type, read.Type);
        Assert.Equal(message.Key, read.Key);
        Assert.Equal(message.Record.Value, read.Record!.Value);
        Assert.Equal(message.Record.TimeReceived, read.Record.TimeReceived);
        Assert.Equal([one.Id, other.Id], read.CloserPeers.Select(peer => peer.Id));
        Assert.Equal([_address], read.CloserPeers[0].Addresses);
        Assert.Equal(one.Id, Assert.Single(read.Providers).Id);
    }

    [Fact]
    public void The_bytes_of_a_message_are_those_of_the_specification() =>
        Assert.Equal("0804500012" + "03010203", Hex.Text(new KadMessage { Type = KadMessageType.FindNode, Key = [1, 2, 3] }.ToArray()));

    [Fact]
    public void Malformed_messages_are_refused_and_nothing_else_happens()
    {
        byte[] good = new KadMessage { Type = KadMessageType.PutValue, Key = [1], Record = new KadRecord([1], [2]), CloserPeers = [Peer(), Peer()], Providers = [Peer()] }.ToArray();
        for (int i = 0; i < 20_000; i++)
        {
            byte[] bytes = i % 3 == 0 ? new byte[_random.Next(100)] : [.. good];
            if (i % 3 == 0)
            {
                _random.NextBytes(bytes);
            }

            for (int change = _random.Next(4); change > 0 && bytes.Length > 0; change--)
            {
                bytes[_random.Next(bytes.Length)] = (byte)_random.Next(256);
            }

            bytes = i % 5 == 0 ? bytes[.._random.Next(bytes.Length + 1)] : bytes;
            try
            {
                KadMessage read = KadMessage.Read(bytes);
                Assert.InRange(read.CloserPeers.Count, 0, KadMessage.MaxCloserPeers);
                _ = read.ToArray();
            }
            catch (Libp2pException e)
            {
                Assert.Equal(Libp2pError.ProtocolViolation, e.Error);
            }
        }
    }

    [Fact]
    public void Of_a_huge_reply_little_is_kept()
    {
        byte[] empty = [.. Enumerable.Repeat<byte[]>([0x42, 0x00], 1_000_000).SelectMany(bytes => bytes)];
        Assert.Empty(KadMessage.Read([0x08, 0x04, .. empty]).CloserPeers);
        byte[] many = new KadMessage { Type = KadMessageType.FindNode, CloserPeers = [.. Enumerable.Range(0, 5000).Select(_ => Peer())] }.ToArray();
        Assert.Equal(KadMessage.MaxCloserPeers, KadMessage.Read(many).CloserPeers.Count);
        byte[] addresses = new KadMessage { Type = KadMessageType.FindNode, CloserPeers = [new KadPeer(KadNetwork.NewId(_random), [.. Enumerable.Repeat(_address, 500)])] }.ToArray();
        Assert.Equal(KadMessage.MaxAddresses, Assert.Single(KadMessage.Read(addresses).CloserPeers).Addresses.Count);
        Assert.Throws<Libp2pException>(() => KadMessage.Read(new KadMessage { Type = KadMessageType.FindNode, Key = new byte[KadMessage.MaxKeyLength + 1] }.ToArray()));
    }

    [Fact]
    public void The_table_names_the_nearest_of_all_that_it_holds()
    {
        KadPeer self = Peer();
        var table = new RoutingTable(self.Key, 20, TimeSpan.FromMinutes(10));
        for (int i = 0; i < 3000; i++)
        {
            table.Seen(Peer(), null, _now, out _);
        }

        KadPeer[] all = [.. table.Peers];
        Assert.InRange(all.Length, 100, 300);
        for (int i = 0; i < 200; i++)
        {
            KadKey target = i == 0 ? self.Key : i % 3 == 0 ? all[i % all.Length].Key : Peer().Key;
            int count = _random.Next(1, 50);
            Assert.Equal(all.OrderBy(peer => target.DistanceTo(peer.Key)).Take(count), table.Closest(target, count));
        }
    }

    [Fact]
    public void Whoever_answers_keeps_its_place_and_the_dead_give_theirs_up()
    {
        KadPeer self = Peer();
        var table = new RoutingTable(self.Key, 2, TimeSpan.FromMinutes(10));
        KadPeer[] far = [.. Enumerable.Range(0, 100).Select(_ => Peer()).Where(peer => self.Key.CommonPrefix(peer.Key) == 0).Take(5)];
        Assert.True(table.Seen(far[0], null, _now, out _));
        Assert.True(table.Seen(far[1], null, _now.AddMinutes(1), out _));
        Assert.False(table.Seen(far[2], null, _now.AddMinutes(2), out KadPeer? doubtful));
        Assert.Null(doubtful);
        Assert.False(table.Seen(far[3], null, _now.AddMinutes(15), out doubtful));
        Assert.Same(far[0], doubtful);
        // It is asked once; and it answers.
        table.Seen(far[4], null, _now.AddMinutes(15), out doubtful);
        Assert.Null(doubtful);
        Assert.True(table.Seen(far[0], null, _now.AddMinutes(15), out _));
        table.Seen(far[4], null, _now.AddMinutes(16), out doubtful);
        Assert.Same(far[1], doubtful);
        table.Failed(far[1]);
        Assert.Equal([far[0].Id, far[4].Id], table.Peers.Select(peer => peer.Id));
    }

    [Fact]
    public void One_network_gets_few_places()
    {
        KadPeer self = Peer();
        var table = new RoutingTable(self.Key, 20, TimeSpan.FromMinutes(10));
        for (int i = 0; i < 2000; i++)
        {
            table.Seen(Peer(), new IPAddress(new byte[] { 8, 8, (byte)i, (byte)(i >> 8) }), _now, out _);
        }

        Assert.Equal(RoutingTable.MaxPerGroup, table.Count);
        Assert.All(Enumerable.Range(0, 20), i => Assert.InRange(table.CountInBucket(i), 0, RoutingTable.MaxPerGroupInBucket));
        // Neighbours on a local network are no such party.
        table.Seen(Peer(), IPAddress.Parse("192.168.1.1"), _now, out _);
        for (int i = 0; i < 50; i++)
        {
            table.Seen(Peer(), IPAddress.Loopback, _now, out _);
        }

        Assert.True(table.Count > RoutingTable.MaxPerGroup + 30);
    }

    [Fact]
    public void Nobody_provides_for_others_or_from_nowhere()
    {
        var node = new KadNode(KadNetwork.NewId(_random), new KadOptions(), _random, _now);
        KadPeer honest = Peer(), other = Peer();
        byte[] key = [1, 2, 3];
        Assert.Null(node.Answer(honest.Id, null, new KadMessage { Type = KadMessageType.AddProvider, Key = key, Providers = [other] }, _now));
        node.Answer(honest.Id, null, new KadMessage { Type = KadMessageType.AddProvider, Key = key, Providers = [new KadPeer(honest.Id, [])] }, _now);
        Assert.Equal(0, node.Providers.Count);
        node.Answer(honest.Id, null, new KadMessage { Type = KadMessageType.AddProvider, Key = key, Providers = [other, honest] }, _now);
        Assert.Equal(honest.Id, Assert.Single(node.Answer(other.Id, null, new KadMessage { Type = KadMessageType.GetProviders, Key = key }, _now)!.Providers).Id);
        Assert.Empty(node.Answer(other.Id, null, new KadMessage { Type = KadMessageType.GetProviders, Key = key }, _now.AddHours(48))!.Providers);
    }

    [Fact]
    public void A_crowd_from_one_network_does_not_push_others_out()
    {
        var options = new KadOptions { MaxProvidersPerKey = 50 };
        var store = new ProviderStore(Peer().Key, options, null);
        KadPeer[] honest = [.. Enumerable.Range(0, 20).Select(_ => Peer())];
        for (int i = 0; i < honest.Length; i++)
        {
            Assert.True(store.Add([7], honest[i], new IPAddress(new byte[] { 20, (byte)i, 1, 1 }), _now));
        }

        for (int i = 0; i < 5000; i++)
        {
            store.Add([7], Peer(), IPAddress.Parse("66.66.1.1"), _now);
        }

        var late = Peer();
        Assert.True(store.Add([7], late, IPAddress.Parse("30.1.1.1"), _now));
        List<KadPeer> found = store.Get([7], 1000, _now);
        Assert.Equal(50, found.Count);
        Assert.Equal(late.Id, found[0].Id);
        Assert.All(honest, peer => Assert.Contains(found, other => other.Id == peer.Id));
    }

    [Fact]
    public void Floods_of_records_are_bounded_and_the_nearest_stay()
    {
        KadPeer self = Peer();
        var options = new KadOptions { MaxProviders = 1000, MaxProvidersPerPeer = 300, MaxValueBytes = 100_000 };
        var store = new ProviderStore(self.Key, options, null);
        byte[][] keys = [.. Enumerable.Range(0, 5000).Select(i => BitConverter.GetBytes(i))];
        foreach (byte[] key in keys)
        {
            store.Add(key, Peer(), null, _now);
        }

        Assert.Equal(1000, store.Count);
        Assert.All(keys.OrderBy(key => self.Key.DistanceTo(KadKey.Of(key))).Take(1000), key => Assert.Single(store.Get(key, 10, _now)));
        KadPeer greedy = Peer();
        store = new ProviderStore(self.Key, options, null);
        foreach (byte[] key in keys)
        {
            store.Add(key, greedy, null, _now);
        }

        Assert.Equal(300, store.Count);
        store.Expire(_now.AddHours(48));
        Assert.Equal((0, 0), (store.Count, store.Keys));

        var node = new KadNode(self.Id, options, _random, _now);
        for (int i = 0; i < 500; i++)
        {
            byte[] seed = new byte[32];
            _random.NextBytes(seed);
            using var key = PrivateKey.FromSeed(seed);
            node.Values.Put([.. "/pk/"u8, .. key.PublicKey.PeerId.ToArray()], key.PublicKey.Protobuf.ToArray(), _now);
            Assert.InRange(node.Values.Bytes, 0, options.MaxValueBytes);
        }

        Assert.InRange(node.Values.Count, 200, 400);
    }

    [Fact]
    public void What_is_held_for_others_survives_a_restart_until_it_ends()
    {
        var kept = new MemoryKadStore();
        PeerId self = KadNetwork.NewId(_random);
        var node = new KadNode(self, new KadOptions(), _random, _now, store: kept);
        KadPeer provider = Peer();
        node.Answer(provider.Id, null, new KadMessage { Type = KadMessageType.AddProvider, Key = [5], Providers = [provider] }, _now);
        using var key = PrivateKey.FromSeed(new byte[32]);
        byte[] pk = [.. "/pk/"u8, .. key.PublicKey.PeerId.ToArray()];
        Assert.True(node.Values.Put(pk, key.PublicKey.Protobuf.ToArray(), _now));
        kept.Put([1, 2], [3]);
        kept.Put([(byte)'p', 200, 1], new byte[20]);

        node = new KadNode(self, new KadOptions(), _random, _now.AddHours(47), store: kept);
        Assert.Equal([_address], Assert.Single(node.Providers.Get([5], 10, _now.AddHours(47))).Addresses);
        Assert.True(node.Values.TryGet(pk, _now.AddHours(47), out _));
        node.Providers.Expire(_now.AddHours(48));
        node.Values.Expire(_now.AddHours(48));
        Assert.Equal((0, 0), (node.Providers.Count, node.Values.Count));
        // What ended, and what is no record, goes from the store too.
        Assert.Empty(kept.Load());
    }

    [Fact]
    public void What_ended_while_the_node_was_off_goes_from_the_store()
    {
        var kept = new MemoryKadStore();
        PeerId self = KadNetwork.NewId(_random);
        var node = new KadNode(self, new KadOptions(), _random, _now, store: kept);
        KadPeer provider = Peer();
        node.Answer(provider.Id, null, new KadMessage { Type = KadMessageType.AddProvider, Key = [5], Providers = [provider] }, _now);
        using var key = PrivateKey.FromSeed(new byte[32]);
        Assert.True(node.Values.Put([.. "/pk/"u8, .. key.PublicKey.PeerId.ToArray()], key.PublicKey.Protobuf.ToArray(), _now));
        Assert.Equal(2, kept.Load().Count());
        node = new KadNode(self, new KadOptions(), _random, _now.AddHours(48), store: kept);
        Assert.Equal((0, 0), (node.Providers.Count, node.Values.Count));
        Assert.Empty(kept.Load());
    }

    [Fact]
    public void What_this_node_provides_is_told_anew_after_a_restart_a_few_at_a_time()
    {
        var kept = new MemoryKadStore();
        var options = new KadOptions();
        PeerId self = KadNetwork.NewId(_random);
        var node = new KadNode(self, options, _random, _now, store: kept);
        byte[][] keys = [.. Enumerable.Range(0, 50).Select(i => BitConverter.GetBytes(i))];
        foreach (byte[] key in keys)
        {
            node.BeginProvide(key, _now);
        }

        // Nobody was there to be told: that is tried again soon.
        Assert.True(node.Unprovide(keys[0]));
        Assert.False(node.Unprovide(keys[0]));
        node = new KadNode(self, options, _random, _now, store: kept);
        Assert.Equal(keys[1..].Select(Convert.ToHexString).Order(), node.Provided.Select(Convert.ToHexString).Order());
        KadPeer peer = Peer();
        DateTimeOffset later = _now + options.RetryInterval;
        node.Seen(peer, null, later);
        var told = new Dictionary<string, int>();
        for (int second = 0; second < 200; second++)
        {
            later = later.AddSeconds(1);
            node.Tick(later);
            int begun = 0;
            while (node.TryTake(out KadSend send))
            {
                begun += send.Message.Type == KadMessageType.FindNode && send.Message.Key.Length == 4 ? 1 : 0;
                Assert.InRange(begun, 0, options.MaxRepublishing);
                if (send.Message.Type == KadMessageType.AddProvider)
                {
                    told[Convert.ToHexString(send.Message.Key)] = told.GetValueOrDefault(Convert.ToHexString(send.Message.Key)) + 1;
                }

                node.Reply(send.Id, send.HasReply ? new KadMessage { Type = send.Message.Type, Key = send.Message.Key } : null, null, later);
            }
        }

        Assert.Equal(keys[1..].Select(Convert.ToHexString).Order(), told.Keys.Order());
        Assert.All(told.Values, times => Assert.Equal(1, times));
        // And again within 22 hours, not all at the same moment.
        node = new KadNode(self, options, _random, later, store: kept);
        node.Seen(peer, null, later);
        node.Tick(later.AddHours(19));
        while (node.TryTake(out KadSend send))
        {
            Assert.NotEqual(4, send.Message.Key.Length);
            node.Failed(send.Id, later.AddHours(19));
        }

        node.Seen(peer, null, later.AddHours(22));
        node.Tick(later.AddHours(22));
        Assert.True(node.TryTake(out _));
    }

    [Fact]
    public void Peers_that_were_known_are_asked_after_a_restart_and_those_that_answer_are_in_the_table_again()
    {
        var kept = new MemoryKadStore();
        PeerId self = KadNetwork.NewId(_random);
        var node = new KadNode(self, new KadOptions(), _random, _now, store: kept);
        KadPeer[] peers = [.. Enumerable.Range(0, 60).Select(_ => Peer())];
        foreach (KadPeer peer in peers)
        {
            node.Seen(peer, null, _now);
        }

        HashSet<PeerId> known = [.. node.Table.Peers.Select(peer => peer.Id)];
        node.Tick(_now.AddMinutes(10));
        // Whoever was seen alone since is no reason to forget them.
        node = new KadNode(self, new KadOptions(), _random, _now, store: kept);
        node.SavePeers(_now);
        node = new KadNode(self, new KadOptions(), _random, _now, store: kept);
        Assert.Equal(0, node.Table.Count);
        var asked = new HashSet<PeerId>();
        for (int second = 1; second < 100; second++)
        {
            node.Tick(_now.AddSeconds(second));
            while (node.TryTake(out KadSend send))
            {
                Assert.Equal([_address], send.To.Addresses);
                if (asked.Add(send.To.Id) && asked.Count % 2 == 0)
                {
                    node.Reply(send.Id, new KadMessage { Type = send.Message.Type, Key = send.Message.Key }, null, _now.AddSeconds(second));
                }
                else
                {
                    node.Failed(send.Id, _now.AddSeconds(second));
                }
            }
        }

        Assert.Subset(known, asked);
        Assert.Equal(known.Count, asked.Count);
        Assert.InRange(node.Table.Count, 1, asked.Count / 2);
    }

    [Fact]
    public void Whatever_stands_in_the_store_a_node_begins()
    {
        for (int i = 0; i < 3000; i++)
        {
            var kept = new MemoryKadStore();
            for (int entry = 0; entry < 5; entry++)
            {
                byte[] name = new byte[_random.Next(1, 60)], value = new byte[_random.Next(80)];
                _random.NextBytes(name);
                _random.NextBytes(value);
                name[0] = "pvor"u8[_random.Next(4)];
                name = name[0] == (byte)'r' ? [(byte)'r'] : name;
                kept.Put(name, value);
            }

            var node = new KadNode(KadNetwork.NewId(_random), new KadOptions(), _random, _now, store: kept);
            node.Tick(_now.AddDays(3));
            Assert.Equal((0, 0), (node.Providers.Count, node.Values.Count));
        }
    }

    [Fact]
    public void Local_addresses_are_no_news_in_the_open_network()
    {
        var node = new KadNode(KadNetwork.NewId(_random), new KadOptions { PublicAddressesOnly = true }, _random, _now);
        var peer = new KadPeer(KadNetwork.NewId(_random), [Multiaddr.Parse("/ip4/192.168.1.5/tcp/4001"), _address, Multiaddr.Parse("/ip4/127.0.0.1/tcp/4001"), Multiaddr.Parse("/ip6/fd00::1/tcp/1")]);
        node.Seen(peer, null, _now);
        Assert.Equal([_address], Assert.Single(node.Answer(Peer().Id, null, new KadMessage { Type = KadMessageType.FindNode, Key = [1] }, _now)!.CloserPeers).Addresses);
    }

    private static Random NewRandom(ITestOutputHelper output)
    {
        int seed = Seed.OfRun();
        output.WriteLine($"LEITHER_SEED={seed}");
        return new Random(seed);
    }

    private KadPeer Peer() => new(KadNetwork.NewId(_random), [_address]);
}
