using System.Net;
using System.Text;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.TestKit;
using Xunit;

namespace Leither.Ipfs.Tests.Multiformats;

public sealed class MultiaddrTests
{
    private const string Peer = "12D3KooWCryG7Mon9orvQxcS1rYZjotPgpwoJNHHKcLLfE4Hf5mV";

    /// <summary>Text and bytes as go-multiaddr's tests and the specification have them.</summary>
    [Theory]
    [InlineData("/ip4/127.0.0.1/udp/1234", "047f000001910204d2")]
    [InlineData("/ip4/127.0.0.1/tcp/4321", "047f0000010610e1")]
    [InlineData("/ip4/127.0.0.1/udp/1234/ip4/127.0.0.1/tcp/4321", "047f000001910204d2047f0000010610e1")]
    [InlineData("/onion/aaimaq4ygg2iegci:80", "bc030010c0439831b48218480050")]
    [InlineData("/onion3/vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd:1234", "bd03adadec040be047f9658668b11a504f3155001f231a37f54c4476c07fb4cc139ed7e30304d2")]
    [InlineData("/ip6zone/eth0/ip6/::1", "2a04657468302900000000000000000000000000000001")]
    [InlineData("/ip4/127.0.0.1/p2p/QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC", "047f000001a503221220d52ebb89d85b02a284948203a62ff28389c57c9f42beec4ec20db76a68911c0b")]
    [InlineData("/unix/a/b/c/d/e", "90030a2f612f622f632f642f65")]
    [InlineData("/ip4/192.0.2.0/ipcidr/24", "04c00002002b18")]
    public void Published_vectors(string text, string hex)
    {
        var address = Multiaddr.Parse(text);
        Assert.Equal(hex, Hex.Text(address.Bytes));
        Assert.True(Multiaddr.TryRead(Hex.Bytes(hex), out Multiaddr? read));
        Assert.Equal(text, read.ToString());
        Assert.Equal(address, read);
        Assert.Equal(address.GetHashCode(), read.GetHashCode());
    }

    [Theory]
    [InlineData("/ip4/1.2.3.4")]
    [InlineData("/ip6/2601:9:4f81:9700:803e:ca65:66e8:c21/udp/1234/quic-v1")]
    [InlineData("/ip6/2001:db8::/ipcidr/32")]
    [InlineData("/ip6/::ffff:127.0.0.1/tcp/111")]
    [InlineData("/ip6zone/x%y/ip6/fe80::1/udp/1234/quic")]
    [InlineData("/onion/timaq4ygg2iegci7:80/http")]
    [InlineData("/udp/0")]
    [InlineData("/sctp/65535")]
    [InlineData("/udp/1234/utp")]
    [InlineData("/tcp/1234/tls/http")]
    [InlineData("/tcp/1234/https")]
    [InlineData("/dns4/example.com/tcp/443/wss/p2p/" + Peer)]
    [InlineData("/dnsaddr/bootstrap.libp2p.io/p2p/QmNnooDu7bfjPFoTZYxMNLWUQJyrVwtbZg5gBMjTezGAJN")]
    [InlineData("/ip4/127.0.0.1/tcp/443/tls/sni/example.com/http/http-path/foo")]
    [InlineData("/http-path/tmp%2Fbar")]
    [InlineData("/ip4/127.0.0.1/udp/1234/quic-v1/webtransport/certhash/uEiDDq4_xNyDorZBH3TlGazyJdOWSwvo4PUo5YHFMrvDE8g")]
    [InlineData("/ip4/1.2.3.4/tcp/4001/p2p/" + Peer + "/p2p-circuit/p2p/QmbHVEEepCi7rn7VL7Exxpd2Ci9NNB6ifvqwhsrbRMgQFP")]
    [InlineData("/p2p/QmbHVEEepCi7rn7VL7Exxpd2Ci9NNB6ifvqwhsrbRMgQFP/unix/a/b/c")]
    public void Text_comes_back(string text)
    {
        var address = Multiaddr.Parse(text);
        Assert.Equal(text, address.ToString());
        Assert.True(Multiaddr.TryRead(address.Bytes, out Multiaddr? read));
        Assert.Equal(text, read.ToString());
    }

    [Theory]
    [InlineData("/ip4/127.0.0.1/tcp/1234/", "/ip4/127.0.0.1/tcp/1234")]
    [InlineData("/ipfs/QmbHVEEepCi7rn7VL7Exxpd2Ci9NNB6ifvqwhsrbRMgQFP", "/p2p/QmbHVEEepCi7rn7VL7Exxpd2Ci9NNB6ifvqwhsrbRMgQFP")]
    [InlineData("/p2p/bafzaajaiaejcalj543iwv2d7pkjt7ykvefrkfu7qjfi6sduakhso4lay6abn2d5u", "/p2p/12D3KooWCryG7Mon9orvQxcS1rYZjotPgpwoJNHHKcLLfE4Hf5mV")]
    [InlineData("/ip6/2001:DB8:0:0:0:0:0:1", "/ip6/2001:db8::1")]
    public void What_is_equal_is_written_in_one_way(string text, string canonical) => Assert.Equal(canonical, Multiaddr.Parse(text).ToString());

    [Theory]
    [InlineData("")]
    [InlineData("/")]
    [InlineData("ip4/1.2.3.4")]
    [InlineData("/ip4")]
    [InlineData("/ip4/::1")]
    [InlineData("/ip4/1.2.3")]
    [InlineData("/ip4/1.2.3.4.5")]
    [InlineData("/ip4/01.2.3.4")]
    [InlineData("/ip4/0x7f.0.0.1")]
    [InlineData("/ip4/256.0.0.1")]
    [InlineData("/ip4/::/ipcidr/256")]
    [InlineData("/ip6/1.2.3.4")]
    [InlineData("/ip6/[::1]")]
    [InlineData("/ip6/fe80::1%eth0")]
    [InlineData("/ip6zone/")]
    [InlineData("/ip6zone//ip6/fe80::1")]
    [InlineData("/tcp/65536")]
    [InlineData("/tcp/-1")]
    [InlineData("/tcp/+1")]
    [InlineData("/tcp/080")]
    [InlineData("/tcp/ 80")]
    [InlineData("/quic-v1/65536")]
    [InlineData("/onion/9imaq4ygg2iegci7:80")]
    [InlineData("/onion/aaimaq4ygg2iegci7:80")]
    [InlineData("/onion/timaq4ygg2iegci7:0")]
    [InlineData("/onion/timaq4ygg2iegci7")]
    [InlineData("/onion3/vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd7:80")]
    [InlineData("/udp/1234/sctp")]
    [InlineData("/udp/1234/udt/1234")]
    [InlineData("/ip4/127.0.0.1/udp/1234/quic-v1/webtransport/certhash/b2uaraocy6yrdblb4sfptaddgimjmmp")]
    [InlineData("/ip4/127.0.0.1/p2p/tcp")]
    [InlineData("/unix")]
    [InlineData("/unix/")]
    [InlineData("/ip4/127.0.0.1/tcp/9090/http/p2p-webcrt-direct")]
    [InlineData("/p2p/QmxoHT6iViN5xAjoz1VZ553cL31U9F94ht3QvWR1FrEbZY")]
    [InlineData("/p2p/k2jmtxwoe2phm1hbqp0e7nufqf6umvuu2e9qd7ana7h411a0haqj6i2z")]
    [InlineData("/dns4/a\u001b[2Jb")]
    public void What_is_none_is_refused(string text)
    {
        Assert.False(Multiaddr.TryParse(text, out _));
        Assert.Throws<FormatException>(() => Multiaddr.Parse(text));
    }

    [Theory]
    [InlineData("")]
    [InlineData("04")]
    [InlineData("047f0000")]
    [InlineData("047f00000106")]
    [InlineData("ff")]
    [InlineData("8400" + "7f000001")] // a code longer than it needs to be
    [InlineData("9a06")] // unknown
    [InlineData("3500")] // an empty name
    [InlineData("35012f")] // a slash in a name
    [InlineData("3501ff")] // not UTF-8
    [InlineData("3505616263")] // a length beyond the end
    [InlineData("a503221221c05877cbae039d70a5e600ea02c6f9f2942439285c9e344e26f8d280c850fad6")]
    [InlineData("90030161")] // a path without its slash
    public void Bytes_that_are_none_are_refused(string hex) => Assert.False(Multiaddr.TryRead(Hex.Bytes(hex), out _));

    [Fact]
    public void Length_is_bounded()
    {
        string name = new('a', Multiaddr.MaxLength - 4);
        Assert.True(Multiaddr.TryParse("/dns/" + name, out Multiaddr? longest));
        Assert.True(longest.Bytes.Length <= Multiaddr.MaxLength);
        Assert.False(Multiaddr.TryParse("/dns/" + name + "aa", out _));
        Assert.False(Multiaddr.TryRead([.. longest.Bytes, .. longest.Bytes], out _));
        Assert.Throws<ArgumentException>(() => longest.Encapsulate(longest));
        Assert.False(Multiaddr.TryParse(string.Concat(Enumerable.Repeat("/ws", 100_000)), out _));
    }

    [Fact]
    public void Parts_are_found()
    {
        var address = Multiaddr.Parse("/ip4/1.2.3.4/tcp/4001/p2p/" + Peer);
        var parts = new List<string>();
        foreach (MultiaddrComponent part in address)
        {
            parts.Add($"{part.Protocol} {part.Text}");
        }

        Assert.Equal(["ip4 1.2.3.4", "tcp 4001", "p2p " + Peer], parts);
        Assert.True(address.TryGetTcp(out IPEndPoint? endPoint));
        Assert.Equal(new IPEndPoint(IPAddress.Parse("1.2.3.4"), 4001), endPoint);
        Assert.True(address.TryGetPeerId(out PeerId id));
        Assert.Equal(Peer, id.ToString());
        Assert.Equal("/ip4/1.2.3.4/tcp/4001", address.WithoutPeer()!.ToString());
        Assert.Equal(address, address.WithoutPeer()!.WithPeer(id));
        Assert.Same(address, address.WithPeer(id));
        Assert.True(address.Has(MultiaddrProtocol.Tcp));
        Assert.False(address.Has(MultiaddrProtocol.Ws));
        Assert.Null(Multiaddr.Parse("/p2p/" + Peer).WithoutPeer());
    }

    [Fact]
    public void Only_plain_TCP_is_TCP()
    {
        Assert.False(Multiaddr.Parse("/ip4/1.2.3.4/tcp/80/ws").TryGetTcp(out _));
        Assert.False(Multiaddr.Parse("/ip4/1.2.3.4/udp/80").TryGetTcp(out _));
        Assert.False(Multiaddr.Parse("/ip4/1.2.3.4").TryGetTcp(out _));
        Assert.False(Multiaddr.Parse("/dns4/a.example/tcp/80").TryGetTcp(out _));
        Assert.False(Multiaddr.Parse("/ip4/1.2.3.4/tcp/4001/p2p/" + Peer + "/p2p-circuit/p2p/" + Peer).TryGetTcp(out _));
        Assert.True(Multiaddr.Parse("/ip6zone/3/ip6/fe80::1/tcp/80").TryGetTcp(out IPEndPoint? endPoint));
        Assert.Equal(3, endPoint.Address.ScopeId);
    }

    [Fact]
    public void The_peer_is_the_last_one()
    {
        var relayed = Multiaddr.Parse("/ip4/1.2.3.4/tcp/4001/p2p/" + Peer + "/p2p-circuit/p2p/QmbHVEEepCi7rn7VL7Exxpd2Ci9NNB6ifvqwhsrbRMgQFP");
        Assert.True(relayed.TryGetPeerId(out PeerId id));
        Assert.Equal("QmbHVEEepCi7rn7VL7Exxpd2Ci9NNB6ifvqwhsrbRMgQFP", id.ToString());
        Assert.Equal("/ip4/1.2.3.4/tcp/4001/p2p/" + Peer + "/p2p-circuit", relayed.WithoutPeer()!.ToString());
        Assert.False(relayed.WithoutPeer()!.TryGetPeerId(out _));
    }

    [Theory]
    [InlineData("127.0.0.1", 80, "/ip4/127.0.0.1/tcp/80")]
    [InlineData("::1", 4800, "/ip6/::1/tcp/4800")]
    [InlineData("::ffff:10.0.0.1", 4800, "/ip4/10.0.0.1/tcp/4800")]
    public void Of_a_socket(string ip, int port, string text) => Assert.Equal(text, Multiaddr.Of(new IPEndPoint(IPAddress.Parse(ip), port)).ToString());

    [Fact]
    public void Whatever_is_read_is_written_again() => Seed.Run(random =>
    {
        byte[][] samples = [.. new[]
        {
            "/ip4/1.2.3.4/tcp/4001/p2p/" + Peer, "/ip6zone/x/ip6/fe80::1/udp/1234/quic-v1/webtransport/certhash/uEiDDq4_xNyDorZBH3TlGazyJdOWSwvo4PUo5YHFMrvDE8g",
            "/dns4/example.com/tcp/443/tls/sni/x/ws", "/unix/a/b", "/http-path/tmp%2Fbar", "/onion/timaq4ygg2iegci7:80",
        }.Select(text => Multiaddr.Parse(text).Bytes.ToArray())];
        for (int i = 0; i < 50_000; i++)
        {
            byte[] bytes = [.. samples[random.Next(samples.Length)]];
            for (int changes = random.Next(1, 4); changes > 0; changes--)
            {
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            }

            bytes = bytes[..random.Next(bytes.Length + 1)];
            if (Multiaddr.TryRead(bytes, out Multiaddr? address))
            {
                Assert.Equal(bytes, address.Bytes.ToArray());
                Assert.True(Multiaddr.TryParse(address.ToString(), out Multiaddr? again), address.ToString());
                Assert.Equal(address, again);
            }

            _ = Multiaddr.TryParse(Encoding.Latin1.GetString(bytes), out _);
        }
    });
}
