using System.Net;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p.Peers;
using Leither.Libp2p.Records;
using Leither.Libp2p.Tests.Yamux;
using Leither.TestKit;
using Xunit;

namespace Leither.Libp2p.Tests;

public sealed class PeersTests
{
    private static readonly Multiaddr _a = Multiaddr.Parse("/ip4/1.2.3.4/tcp/1");
    private static readonly Multiaddr _b = Multiaddr.Parse("/ip4/1.2.3.4/tcp/2");

    [Fact]
    public void Addresses_are_believed_for_their_time()
    {
        var time = new ManualTime();
        var store = new PeerStore(time);
        PeerId peer = NewPeer();
        store.AddAddresses(peer, [_a.WithPeer(peer), _b, _b.WithPeer(NewPeer())], TimeSpan.FromSeconds(10));
        store.AddAddresses(peer, [_b], TimeSpan.FromSeconds(20));
        Assert.Equal([_a, _b], store.GetAddresses(peer));
        time.Advance(TimeSpan.FromSeconds(15));
        Assert.Equal([_b], store.GetAddresses(peer));
        store.SetConnected(peer, true);
        time.Advance(TimeSpan.FromDays(1));
        store.Expire();
        Assert.Contains(_b, store.GetAddresses(peer));
        store.SetConnected(peer, false);
        time.Advance(TimeSpan.FromMinutes(29));
        Assert.Contains(_b, store.GetAddresses(peer));
        time.Advance(TimeSpan.FromMinutes(2));
        store.Expire();
        Assert.Equal(0, store.Count);
    }

    [Fact]
    public void The_store_is_bounded_and_keeps_who_is_connected()
    {
        var store = new PeerStore(new ManualTime(), maxPeers: 100);
        PeerId first = NewPeer();
        store.SetConnected(first, true);
        for (int i = 0; i < 1000; i++)
        {
            store.AddAddresses(Fake(i), [_a], PeerStore.TemporaryTtl);
        }

        Assert.Equal(100, store.Count);
        store.AddAddresses(first, Enumerable.Range(1, 500).Select(i => Multiaddr.Parse($"/ip4/1.2.3.4/tcp/{i}")), PeerStore.TemporaryTtl);
        Assert.Equal(PeerStore.MaxAddresses, store.GetAddresses(first).Count);
        Assert.Equal([_a], store.GetAddresses(Fake(999)));
        Assert.Empty(store.GetAddresses(Fake(0)));
    }

    [Fact]
    public void Signed_records_come_first_and_older_ones_are_refused()
    {
        using var key = PrivateKey.Generate();
        PeerId peer = key.PublicKey.PeerId;
        var store = new PeerStore(new ManualTime());
        store.AddAddresses(peer, [_a], PeerStore.TemporaryTtl);
        Assert.True(store.TryAddRecord(new PeerRecord(peer, 5, [_b]), PeerStore.TemporaryTtl));
        Assert.Equal([_b, _a], store.GetAddresses(peer));
        Assert.False(store.TryAddRecord(new PeerRecord(peer, 4, [Multiaddr.Parse("/ip4/9.9.9.9/tcp/9")]), PeerStore.TemporaryTtl));
        Assert.True(store.TryAddRecord(new PeerRecord(peer, 6, []), PeerStore.TemporaryTtl));
        Assert.Equal([_a], store.GetAddresses(peer));
    }

    [Fact]
    public void A_record_comes_back_as_it_was_signed()
    {
        using var key = PrivateKey.Generate();
        var record = new PeerRecord(key.PublicKey.PeerId, 42, [_a, _b]);
        byte[] bytes = record.Seal(key);
        Assert.True(PeerRecord.TryOpen(bytes, out PeerRecord? opened));
        Assert.Equal(record.Peer, opened.Peer);
        Assert.Equal(42u, opened.Sequence);
        Assert.Equal([_a, _b], opened.Addresses);
        // For another purpose it is not signed, nor by somebody else.
        Assert.False(SignedEnvelope.TryOpen(bytes, "other", out _));
        using var stranger = PrivateKey.Generate();
        Assert.False(PeerRecord.TryOpen(record.Seal(stranger), out _));
        Assert.False(PeerRecord.TryOpen(SignedEnvelope.Seal(key, PeerRecord.Domain, [1], [2]), out _));
    }

    [Fact]
    public void A_changed_record_is_refused() => Seed.Run(random =>
    {
        using var key = PrivateKey.Generate();
        byte[] bytes = new PeerRecord(key.PublicKey.PeerId, 42, [_a, _b]).Seal(key);
        for (int i = 0; i < 1000; i++)
        {
            byte[] changed = [.. bytes];
            changed[random.Next(changed.Length)] ^= (byte)(1 << random.Next(8));
            if (PeerRecord.TryOpen(changed, out PeerRecord? opened))
            {
                // A change that protobuf does not see.
                Assert.Equal([_a, _b], opened.Addresses);
            }

            _ = PeerRecord.TryOpen(changed.AsSpan(0, random.Next(changed.Length)), out _);
        }
    });

    [Theory]
    [InlineData("10.0.0.0/8", "10.0.0.0/8")]
    [InlineData("/ip4/192.168.0.0/ipcidr/16", "192.168.0.0/16")]
    [InlineData("/ip6/fc00::/ipcidr/7", "fc00::/7")]
    public void Filters_are_read(string text, string network)
    {
        Assert.True(AddressFilters.TryParse(text, out IPNetwork read));
        Assert.Equal(IPNetwork.Parse(network), read);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("10.0.0.0/33")]
    [InlineData("/ip4/10.0.0.0")]
    [InlineData("/tcp/1/ipcidr/8")]
    public void What_is_no_filter_is_refused(string? text) => Assert.False(AddressFilters.TryParse(text, out _));

    [Fact]
    public void Filters_deny_their_networks()
    {
        var filters = new AddressFilters();
        filters.Add(IPNetwork.Parse("10.0.0.0/8"));
        filters.Add(IPNetwork.Parse("fc00::/7"));
        Assert.True(filters.IsDenied(IPAddress.Parse("10.1.2.3")));
        Assert.True(filters.IsDenied(IPAddress.Parse("::ffff:10.1.2.3")));
        Assert.True(filters.IsDenied(Multiaddr.Parse("/ip6/fd00::1/tcp/1")));
        Assert.False(filters.IsDenied(Multiaddr.Parse("/dns4/example.com/tcp/1")));
        Assert.True(filters.Remove(IPNetwork.Parse("10.0.0.0/8")));
        Assert.False(filters.Remove(IPNetwork.Parse("10.0.0.0/8")));
        Assert.False(filters.IsDenied(IPAddress.Parse("10.1.2.3")));
    }

    [Fact]
    public void Addresses_that_fail_are_left_alone_for_longer_each_time()
    {
        var time = new ManualTime();
        var backoff = new DialBackoff(time);
        TimeSpan last = TimeSpan.Zero;
        for (int i = 0; i < 10; i++)
        {
            backoff.Failed(_a);
            Assert.False(backoff.IsBlocked(_b));
            TimeSpan pause = TimeSpan.Zero;
            while (backoff.IsBlocked(_a))
            {
                time.Advance(TimeSpan.FromSeconds(1));
                pause += TimeSpan.FromSeconds(1);
            }

            Assert.True(pause >= last && pause <= DialBackoff.Longest + TimeSpan.FromSeconds(1));
            last = pause;
        }

        Assert.True(last > TimeSpan.FromMinutes(4));
        backoff.Failed(_a);
        backoff.Succeeded(_a);
        Assert.False(backoff.IsBlocked(_a));
    }

    private static PeerId NewPeer()
    {
        using var key = PrivateKey.Generate();
        return key.PublicKey.PeerId;
    }

    private static PeerId Fake(int number) => PeerId.Of(BitConverter.GetBytes(number + 1));
}
