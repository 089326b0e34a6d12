using System.Net;
using System.Net.Sockets;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p.KadDht;
using Leither.Libp2p.Mdns;
using Leither.Libp2p.Names;
using Leither.Libp2p.PrivateNetworks;
using Leither.TestKit;
using Xunit;

namespace Leither.Libp2p.Tests.Mdns;

public sealed class MdnsTests
{
    private const string Service = "_p2p._udp.local";
    private static readonly IPAddress _sender = IPAddress.Parse("192.168.1.7");
    private static readonly PeerId _one = NewPeer();
    private static readonly PeerId _other = NewPeer();

    [Fact]
    public void A_question_is_answered_with_addresses_on_the_local_network()
    {
        var one = new MdnsProtocol(_one, null, loopback: false);
        var other = new MdnsProtocol(_other, null, loopback: false);
        Multiaddr[] addresses = [Address("/ip4/127.0.0.1/tcp/4800"), Address("/ip4/192.168.1.7/tcp/4800"), Address("/ip6/fd00::7/tcp/4800/ws"), Address("/dns4/a.example/tcp/1")];
        DnsMessage question = DnsMessage.Read(other.Question().ToArray());
        DnsMessage answer = DnsMessage.Read(one.Answer(question, addresses)!.ToArray());
        Assert.True(answer.IsResponse);
        Assert.Equal(Service, Assert.Single(answer.Answers).Name);
        Assert.Equal($"{one.Name}.{Service}", answer.Answers[0].Target);
        Assert.Equal([$"dnsaddr=/ip4/192.168.1.7/tcp/4800/p2p/{_one}", $"dnsaddr=/ip6/fd00::7/tcp/4800/ws/p2p/{_one}"], Assert.Single(answer.Additionals).Texts);
        KadPeer found = Assert.Single(other.Read(answer, _sender));
        Assert.Equal(_one, found.Id);
        Assert.Equal(["/ip4/192.168.1.7/tcp/4800", "/ip6/fd00::7/tcp/4800/ws"], found.Addresses.Select(a => a.ToString()));
        // Oneself is no news; a question is no answer, nor an answer a question.
        Assert.Empty(one.Read(answer, _sender));
        Assert.Empty(other.Read(question, _sender));
        Assert.Null(one.Answer(answer, addresses));
        // Nothing to say, or nothing new.
        Assert.Null(one.Answer(question, [Address("/ip4/127.0.0.1/tcp/4800")]));
        Assert.Null(one.Answer(question with { Answers = answer.Answers }, addresses));
        Assert.Null(one.Answer(new DnsMessage { Questions = [new DnsQuestion("_other._tcp.local", DnsType.Ptr)] }, addresses));
        // Tools ask step by step.
        Assert.Equal(Service, Assert.Single(one.Answer(new DnsMessage { Questions = [new DnsQuestion("_services._dns-sd._udp.local", DnsType.Ptr)] }, addresses)!.Answers).Target);
        Assert.Equal(2, Assert.Single(one.Answer(new DnsMessage { Questions = [new DnsQuestion($"{one.Name}.{Service}", DnsType.Txt)] }, addresses)!.Answers).Texts.Count);
    }

    [Fact]
    public void Whoever_answers_sends_nobody_out_of_the_local_network()
    {
        var one = new MdnsProtocol(_one, null, loopback: false);
        Assert.Equal(["/ip4/10.0.0.1/tcp/1", "/ip4/8.8.4.4/tcp/1"], Read("8.8.4.4", "/ip4/10.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/1", "/ip4/8.8.8.8/tcp/1", "/ip4/8.8.4.4/tcp/1", "/dns4/a.example/tcp/1", "/ip4/10.0.0.1/udp/1"));
        Assert.Empty(Read("10.0.0.1", "/ip4/10.0.0.1/tcp/1/p2p/" + _one + "/p2p-circuit"));
        Assert.Equal(MdnsProtocol.MaxAddresses, Read("10.0.0.1", [.. Enumerable.Range(1, 200).Select(i => $"/ip4/10.0.0.1/tcp/{i}")]).Count);
        PeerId[] many = [.. Enumerable.Range(0, 20).Select(_ => NewPeer())];
        Assert.Equal(MdnsProtocol.MaxPeers, one.Read(Message([.. many.Select(peer => $"dnsaddr=/ip4/10.0.0.1/tcp/1/p2p/{peer}")]), _sender).Count);
        Assert.Empty(one.Read(Message(["dnsaddr=", "dnsaddr=/ip4/10.0.0.1/tcp/1", "x", "dnsaddr=/nonsense"]), _sender));

        List<string> Read(string sender, params string[] addresses) =>
            [.. one.Read(Message([.. addresses.Select(address => $"dnsaddr={address}/p2p/{_other}")]), IPAddress.Parse(sender)).SelectMany(peer => peer.Addresses).Select(a => a.ToString())];
    }

    [Fact]
    public void A_long_list_of_addresses_is_cut_to_what_a_datagram_holds()
    {
        var one = new MdnsProtocol(_one, SwarmKey.Generate(), loopback: true);
        DnsMessage answer = one.Answer(one.Question(), Enumerable.Range(1, 500).Select(i => Address($"/ip4/10.0.0.1/tcp/{i}")))!;
        Assert.InRange(answer.ToArray().Length, 800, DnsMessage.MaxMulticastLength);
    }

    [Fact]
    public void Private_networks_do_not_hear_of_each_other()
    {
        var key = SwarmKey.Generate();
        var one = new MdnsProtocol(_one, key, loopback: false);
        Multiaddr[] addresses = [Address("/ip4/10.0.0.1/tcp/1")];
        DnsMessage answer = one.Answer(one.Question(), addresses)!;
        Assert.Single(new MdnsProtocol(_other, key, loopback: false).Read(answer, _sender));
        foreach (SwarmKey? another in new[] { null, SwarmKey.Generate() })
        {
            var stranger = new MdnsProtocol(_other, another, loopback: false);
            Assert.Empty(stranger.Read(answer, _sender));
            Assert.Null(one.Answer(stranger.Question(), addresses));
        }
    }

    [Fact]
    public void Damaged_messages_do_no_harm()
    {
        int seed = Seed.OfRun();
        var random = new Random(seed);
        var one = new MdnsProtocol(_one, null, loopback: false);
        var other = new MdnsProtocol(_other, null, loopback: false);
        byte[] good = one.Answer(one.Question(), [Address("/ip4/10.0.0.1/tcp/1"), Address("/ip4/10.0.0.2/tcp/1/ws")])!.ToArray();
        for (int i = 0; i < 20_000; i++)
        {
            byte[] bytes = [.. good];
            for (int flips = random.Next(1, 6); flips > 0; flips--)
            {
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            }

            try
            {
                DnsMessage message = DnsMessage.Read(bytes);
                Assert.True(other.Read(message, _sender).Count <= 2, $"LEITHER_SEED={seed}");
                _ = other.Answer(message, []);
            }
            catch (Libp2pException)
            {
            }
        }
    }

    [Fact]
    public async Task Hosts_on_one_network_find_each_other_and_connect()
    {
        // A port of its own: others on this machine may speak mDNS.
        var options = new MdnsOptions { Port = Ports.Free(), Loopback = true, FirstPause = TimeSpan.FromMilliseconds(200) };
        await using var one = new TestHost();
        await using var other = new TestHost();
        one.Host.Listen(TestHost.AnyPort);
        other.Host.Listen(TestHost.AnyPort);
        var key = SwarmKey.Generate();
        await using var stranger = new TestHost(new HostOptions { SwarmKey = key });
        stranger.Host.Listen(TestHost.AnyPort);
        await using MdnsDiscovery first = new(one.Host, options), third = new(stranger.Host, options);
        var found = new TaskCompletionSource<PeerId>();
        first.PeerFound += (peer, _) => found.TrySetResult(peer);
        await using (var second = new MdnsDiscovery(other.Host, options))
        {
            Assert.Equal(other.Host.Id, await found.Task.WaitAsync(TestHost.Patience));
            await TestHost.UntilAsync(() => one.Host.TryGetConnection(other.Host.Id, out _));
        }

        // Whatever is sent to that port.
        using var noise = new UdpClient(AddressFamily.InterNetwork);
        await noise.SendAsync(new byte[100], new IPEndPoint(IPAddress.Loopback, options.Port));
        Assert.Empty(stranger.Host.Connections);
    }

    private static PeerId NewPeer()
    {
        using var key = PrivateKey.Generate();
        return key.PublicKey.PeerId;
    }

    private static Multiaddr Address(string text) => Multiaddr.Parse(text);

    private static DnsMessage Message(string[] texts) => new() { IsResponse = true, Answers = [new DnsRecord("x." + Service, DnsType.Txt) { Texts = texts }] };
}
