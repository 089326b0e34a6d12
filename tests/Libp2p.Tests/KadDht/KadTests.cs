using System.Net;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p.KadDht;
using Leither.TestKit;
using Xunit;

namespace Leither.Libp2p.Tests.KadDht;

public sealed class KadTests
{
    private static readonly DateTimeOffset _now = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);
    private static readonly Multiaddr _address = Multiaddr.Parse("/ip4/1.2.3.4/tcp/4001");

    private readonly Random _random = new(Seed.OfRun());

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
        Assert.Equal(2, kept.Load().Count());
    }

    [Fact]
    public void Local_addresses_are_no_news_in_the_open_network()
    {
        var node = new KadNode(KadNetwork.NewId(_random), new KadOptions { PublicAddressesOnly = true }, _random, _now);
        var peer = new KadPeer(KadNetwork.NewId(_random), [Multiaddr.Parse("/ip4/192.168.1.5/tcp/4001"), _address, Multiaddr.Parse("/ip4/127.0.0.1/tcp/4001"), Multiaddr.Parse("/ip6/fd00::1/tcp/1")]);
        node.Seen(peer, null, _now);
        Assert.Equal([_address], Assert.Single(node.Answer(Peer().Id, null, new KadMessage { Type = KadMessageType.FindNode, Key = [1] }, _now)!.CloserPeers).Addresses);
    }

    private KadPeer Peer() => new(KadNetwork.NewId(_random), [_address]);

    private sealed class MemoryKadStore : IKadStore
    {
        private readonly Dictionary<string, byte[]> _values = [];

        public IEnumerable<KeyValuePair<byte[], byte[]>> Load() => _values.Select(pair => KeyValuePair.Create(Convert.FromHexString(pair.Key), pair.Value));

        public void Put(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value) => _values[Convert.ToHexString(name)] = value.ToArray();

        public void Delete(ReadOnlySpan<byte> name) => _values.Remove(Convert.ToHexString(name));
    }
}
