using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p.Names;
using Leither.Libp2p.Transport;
using Leither.TestKit;
using Xunit;

namespace Leither.Libp2p.Tests.Names;

public sealed class DnsTests
{
    private const string A = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";
    private const string B = "QmNnooDu7bfjPFoTZYxMNLWUQJyrVwtbZg5gBMjTezGAJN";
    private static readonly PeerId _peerA = PeerId.TryParse(A, out PeerId id) ? id : throw new FormatException(A);
    private static readonly TimeSpan _patience = TestHost.Patience;

    [Fact]
    public void A_message_reads_as_it_was_written()
    {
        var message = new DnsMessage
        {
            Id = 0x1234,
            IsResponse = true,
            IsAuthoritative = true,
            RecursionDesired = true,
            ResponseCode = 3,
            Questions = [new DnsQuestion("a.example", DnsType.Txt), new DnsQuestion("_p2p._udp.local", DnsType.Ptr, WantsUnicast: true)],
            Answers =
            [
                new DnsRecord("a.example", DnsType.CName) { Ttl = 60, Target = "b.example" },
                new DnsRecord("b.example", DnsType.Txt) { Ttl = 0x01020304, Texts = ["x"], IsUnique = true },
            ],
            Additionals = [new DnsRecord("b.example", DnsType.Ptr) { Target = "c.example" }],
        };
        DnsMessage read = DnsMessage.Read(message.ToArray());
        Assert.Equal((message.Id, message.IsResponse, message.IsAuthoritative, message.RecursionDesired, message.ResponseCode),
            (read.Id, read.IsResponse, read.IsAuthoritative, read.RecursionDesired, read.ResponseCode));
        Assert.Equal(message.Questions, read.Questions);
        Assert.Equal(message.Answers.Select(Text), read.Answers.Select(Text));
        Assert.Equal(message.Additionals.Select(Text), read.Additionals.Select(Text));
        read = DnsMessage.Read(new DnsMessage { Answers = [new DnsRecord("a", DnsType.Txt) { Texts = ["one", new string('x', 255), "ü"] }] }.ToArray());
        Assert.Equal(["one", new string('x', 255), "ü"], read.Answers[0].Texts);
    }

    [Fact]
    public void Pointers_lead_back_and_names_are_in_lower_case()
    {
        byte[] bytes = Message(answers: 2, "\u0003WWW\u0007Example\0\0\u0010\0\u0001\0\0\0\0\0\u0003\u0002hi\u0001a\u00C0\u0010\0\u000C\0\u0001\0\0\0\0\0\u0002\u00C0\u000C");
        DnsMessage message = DnsMessage.Read(bytes);
        Assert.Equal("www.example", message.Answers[0].Name);
        Assert.Equal(["hi"], message.Answers[0].Texts);
        Assert.Equal("a.example", message.Answers[1].Name);
        Assert.Equal("www.example", message.Answers[1].Target);
        Assert.Equal("a", DnsMessage.Read(Message(1, "\0\0\u000C\0\u0001\0\0\0\0\0\u0003\u0001a\0")).Answers[0].Target);
        Assert.Equal(@"living room.a\.b", DnsMessage.Read(Message(1, "\u000Bliving room\u0003a.b\0\0\u000C\0\u0001\0\0\0\0\0\u0002\u00C0\u000C")).Answers[0].Name);
    }

    [Theory]
    [InlineData("")]
    [InlineData("\u0003ww")]
    [InlineData("\0\0\u0010\0\u0001\0\0\0\0\0\u0003\u0003hi")]
    [InlineData("\0\0\u0010\0\u0001\0\0\0\0\0\u0003\u0002h")]
    [InlineData("\0\0\u0010\0\u0001\0\0\0\0\0\0")]
    [InlineData("\u00C0\u000C\0\u0010\0\u0001\0\0\0\0\0\u0002\u0001h")]
    [InlineData("\u0001a\u00C0\u000C\0\u0010\0\u0001\0\0\0\0\0\u0002\u0001h")]
    [InlineData("\u00C0\0\0\u0010\0\u0001\0\0\0\0\0\u0002\u0001h")]
    [InlineData("\u0040aa\0\0\u0010\0\u0001\0\0\0\0\0\u0002\u0001h")]
    [InlineData("\0\0\u000C\0\u0001\0\0\0\0\0\u0004\u0001a\0x")]
    public void What_is_no_message_is_refused(string body) => Assert.Throws<Libp2pException>(() => DnsMessage.Read(Message(1, body)));

    [Fact]
    public void A_name_of_many_pointers_ends()
    {
        // In the data of a record of no known type each label points to the one before; the name of the next record begins at the last of them.
        byte[] Chain(int labels)
        {
            var chain = new StringBuilder("\u0001a\0");
            const int First = 12 + 11;
            int last = First;
            for (int i = 1; i < labels; i++)
            {
                int here = First + chain.Length;
                chain.Append("\u0001a").Append((char)(0xC0 | (last >> 8))).Append((char)(last & 0xFF));
                last = here;
            }

            return Message(2, $"\0\0\u0063\0\u0001\0\0\0\0{(char)(chain.Length >> 8)}{(char)(chain.Length & 0xFF)}{chain}{(char)(0xC0 | (last >> 8))}{(char)(last & 0xFF)}\0\u0010\0\u0001\0\0\0\0\0\u0002\u0001h");
        }

        Assert.Equal(string.Join('.', Enumerable.Repeat('a', 127)), DnsMessage.Read(Chain(127)).Answers[0].Name);
        Assert.Throws<Libp2pException>(() => DnsMessage.Read(Chain(128)));
        Assert.Throws<Libp2pException>(() => DnsMessage.Read(Chain(1000)));
        byte[] bytes = Message(0, "");
        BinaryPrimitives.WriteUInt16BigEndian(bytes.AsSpan(6), ushort.MaxValue);
        Assert.Throws<Libp2pException>(() => DnsMessage.Read(bytes));
    }

    [Fact]
    public void Damaged_messages_are_refused_or_read_and_nothing_else()
    {
        int seed = Seed.OfRun();
        var random = new Random(seed);
        byte[] good = new DnsMessage
        {
            Questions = [new DnsQuestion("_p2p._udp.local", DnsType.Ptr)],
            Answers = [new DnsRecord("_p2p._udp.local", DnsType.Ptr) { Target = "x._p2p._udp.local" }],
            Additionals = [new DnsRecord("x._p2p._udp.local", DnsType.Txt) { Texts = ["dnsaddr=/ip4/1.2.3.4/tcp/1/p2p/" + A, "x"] }, new DnsRecord("x", DnsType.Ptr) { Target = "y" }],
        }.ToArray();
        int refused = 0;
        for (int i = 0; i < 20_000; i++)
        {
            byte[] bytes = [.. good.Take(random.Next(8) == 0 ? random.Next(good.Length + 1) : good.Length)];
            for (int flips = random.Next(6); flips > 0 && bytes.Length > 0; flips--)
            {
                bytes[random.Next(bytes.Length)] = random.Next(3) == 0 ? (byte)(0xC0 | random.Next(2)) : (byte)random.Next(256);
            }

            try
            {
                DnsMessage read = DnsMessage.Read(bytes);
                Assert.True(read.Answers.Count + read.Additionals.Count <= DnsMessage.MaxRecords, $"LEITHER_SEED={seed}");
            }
            catch (Libp2pException)
            {
                refused++;
            }
            catch (Exception e)
            {
                throw new InvalidOperationException($"LEITHER_SEED={seed}: {Convert.ToHexString(bytes)}", e);
            }
        }

        Assert.InRange(refused, 1000, 19_999);
    }

    [Fact]
    public void Name_servers_are_read_from_resolv_conf() => Assert.Equal(["192.0.2.1:53", "[2001:db8::1]:53", "[fe80::1%2]:53"],
        DnsClient.ReadServers(["# nameserver 1.1.1.1", "search example", "nameserver 192.0.2.1", " nameserver\t2001:db8::1 # second", "nameserver fe80::1%2", "nameserver", "nameserver nowhere"])
            .Select(server => server.ToString()));

    [Fact]
    public async Task Dnsaddr_leads_to_the_peers_addresses_and_no_others()
    {
        using var server = new NameServer(new()
        {
            ["_dnsaddr.boot.example"] =
            [
                $"dnsaddr=/ip4/192.0.2.1/tcp/4001/p2p/{A}", $"dnsaddr=/ip4/192.0.2.2/tcp/4001/p2p/{B}", "dnsaddr=/ip4/192.0.2.3/tcp/4001", "dnsaddr=nonsense", "v=spf1",
                $"dnsaddr=/dnsaddr/next.example/p2p/{A}", $"dnsaddr=/ip4/192.0.2.1/udp/4001/quic-v1/p2p/{A}",
            ],
            ["_dnsaddr.next.example"] = [$"dnsaddr=/ip6/2001:db8::1/tcp/443/wss/p2p/{A}", $"dnsaddr=/dnsaddr/next.example/p2p/{A}"],
        });
        var resolver = new AddressResolver(new DnsOptions { Servers = [server.EndPoint] });
        List<DialTarget> found = await resolver.ResolveAsync([Multiaddr.Parse("/dnsaddr/boot.example"), Multiaddr.Parse("/ip4/192.0.2.9/tcp/1")], _peerA, default).WaitAsync(_patience);
        Assert.Equal(["/ip4/192.0.2.1/tcp/4001", "/ip6/2001:db8::1/tcp/443/wss"], found.Select(target => target.Address.ToString()));
        Assert.All(found, target => Assert.Equal(_peerA, target.Peer));
        // Its own name over and over is followed only so far.
        Assert.InRange(server.Queries, 2, 1 + new DnsOptions().MaxDepth);
        found = await resolver.ResolveAsync([Multiaddr.Parse("/dnsaddr/boot.example")], null, default).WaitAsync(_patience);
        Assert.Equal(4, found.Count);
        Assert.Empty(await resolver.ResolveAsync([Multiaddr.Parse("/dnsaddr/none.example")], null, default).WaitAsync(_patience));
    }

    [Fact]
    public async Task A_host_dials_by_names_of_each_kind()
    {
        await using var other = new TestHost();
        Assert.True(other.Host.Listen(TestHost.AnyPort).TryGetTcp(out IPEndPoint? listening));
        using WebSocketServer webSocket = other.ListenWebSocket();
        using var server = new NameServer(new() { ["_dnsaddr.here.example"] = [$"dnsaddr=/dns4/localhost/tcp/{listening.Port}/p2p/{other.Host.Id}"] });
        foreach (string address in new[] { $"/dns4/localhost/tcp/{listening.Port}", $"/dns/localhost/tcp/{listening.Port}", $"/dns4/localhost/tcp/{webSocket.EndPoint.Port}/ws", "/dnsaddr/here.example" })
        {
            await using var one = new TestHost(new HostOptions { Dns = new DnsOptions { Servers = [server.EndPoint] } });
            Assert.Equal(other.Host.Id, (await one.Host.ConnectAsync(Multiaddr.Parse($"{address}/p2p/{other.Host.Id}")).WaitAsync(_patience)).Peer);
            await using var two = new TestHost(new HostOptions { Dns = new DnsOptions { Servers = [server.EndPoint] } });
            Assert.Equal(other.Host.Id, (await two.Host.ConnectAsync(Multiaddr.Parse(address)).WaitAsync(_patience)).Peer);
        }

        // A name does not lead around a filter.
        await using var filtered = new TestHost();
        filtered.Host.Filters.Add(IPNetwork.Parse("127.0.0.0/8"));
        Libp2pException e = await Assert.ThrowsAsync<Libp2pException>(() => filtered.Host.ConnectAsync(Multiaddr.Parse($"/dns4/localhost/tcp/{listening.Port}")).WaitAsync(_patience));
        Assert.Equal(Libp2pError.AddressFiltered, e.Error);
        e = await Assert.ThrowsAsync<Libp2pException>(() => filtered.Host.ConnectAsync(Multiaddr.Parse("/dns4/no.such.name.invalid/tcp/1")).WaitAsync(_patience));
        Assert.Equal(Libp2pError.DialFailed, e.Error);
    }

    [Fact]
    public async Task A_long_answer_is_asked_for_again_over_TCP_and_a_forged_one_is_passed_over()
    {
        string[] texts = [.. Enumerable.Range(0, 60).Select(i => $"dnsaddr=/ip4/192.0.2.{i}/tcp/4001/p2p/{A}")];
        using var server = new NameServer(new() { ["long.example"] = texts, ["alias.example"] = ["CNAME long.example"] });
        var client = new DnsClient(new DnsOptions { Servers = [server.EndPoint] });
        Assert.Equal(texts, await client.QueryTextAsync("LONG.example", default).WaitAsync(_patience));
        Assert.Equal(texts, await client.QueryTextAsync("alias.example", default).WaitAsync(_patience));
        Assert.Empty(await client.QueryTextAsync("none.example", default).WaitAsync(_patience));
        server.Forge = true;
        Assert.Equal(texts, await client.QueryTextAsync("long.example", default).WaitAsync(_patience));
        await Assert.ThrowsAsync<Libp2pException>(() => client.QueryTextAsync("a..b", default));
        await Assert.ThrowsAsync<Libp2pException>(() => client.QueryTextAsync(new string('a', 64), default));
    }

    [Fact]
    public async Task A_server_that_is_silent_is_given_up_and_the_next_one_asked()
    {
        using var silent = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        silent.Bind(TestHost.AnyPort);
        using var server = new NameServer(new() { ["a.example"] = ["x"] });
        var options = new DnsOptions { Servers = [(IPEndPoint)silent.LocalEndPoint!, server.EndPoint], ServerTimeout = TimeSpan.FromMilliseconds(200), Rounds = 1 };
        Assert.Equal(["x"], await new DnsClient(options).QueryTextAsync("a.example", default).WaitAsync(_patience));
        var hopeless = new DnsClient(options with { Servers = [(IPEndPoint)silent.LocalEndPoint!] });
        Libp2pException e = await Assert.ThrowsAsync<Libp2pException>(() => hopeless.QueryTextAsync("a.example", default).WaitAsync(_patience));
        Assert.Equal(Libp2pError.Timeout, e.Error);
    }

    private static string Text(DnsRecord record) => $"{record.Name} {record.Type} {record.Ttl} {record.IsUnique} {record.Target} {string.Join('|', record.Texts)}";

    private static byte[] Message(int answers, string body)
    {
        byte[] bytes = [.. new byte[12], .. Encoding.Latin1.GetBytes(body)];
        BinaryPrimitives.WriteUInt16BigEndian(bytes.AsSpan(6), (ushort)answers);
        return bytes;
    }

    /// <summary>A name server on loopback that knows TXT records.</summary>
    private sealed class NameServer : IDisposable
    {
        private const int MaxDatagram = 1232;

        private readonly Dictionary<string, string[]> _texts;
        private readonly Socket _udp = new(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        private readonly TcpListener _tcp;
        private int _queries;

        public NameServer(Dictionary<string, string[]> texts)
        {
            _texts = texts;
            // One port for both; the other kind may be taken, then the next is tried.
            while (true)
            {
                _tcp = new TcpListener(IPAddress.Loopback, 0);
                _tcp.Start();
                try
                {
                    _udp.Bind(_tcp.LocalEndpoint);
                    break;
                }
                catch (SocketException)
                {
                    _tcp.Dispose();
                }
            }

            _ = ServeDatagramsAsync();
            _ = ServeStreamsAsync();
        }

        public IPEndPoint EndPoint => (IPEndPoint)_tcp.LocalEndpoint;

        public int Queries => Volatile.Read(ref _queries);

        public bool Forge { get; set; }

        public void Dispose()
        {
            _udp.Dispose();
            _tcp.Dispose();
        }

        private byte[] Answer(ReadOnlySpan<byte> bytes, int maxLength)
        {
            Interlocked.Increment(ref _queries);
            DnsMessage query = DnsMessage.Read(bytes);
            string name = query.Questions[0].Name;
            var answers = new List<DnsRecord>();
            if (_texts.TryGetValue(name, out string[]? texts) && texts[0].StartsWith("CNAME ", StringComparison.Ordinal))
            {
                answers.Add(new DnsRecord(name, DnsType.CName) { Target = texts[0][6..] });
                name = texts[0][6..];
                texts = _texts[name];
            }

            answers.AddRange((texts ?? []).Select(text => new DnsRecord(name, DnsType.Txt) { Texts = [text[..(text.Length / 2)], text[(text.Length / 2)..]] }));
            DnsMessage answer = query with { IsResponse = true, Answers = answers, Additionals = [], MaxAnswerLength = 0, ResponseCode = answers.Count > 0 ? 0 : 3 };
            byte[] whole = answer.ToArray();
            return whole.Length <= maxLength ? whole : (answer with { Answers = [], IsTruncated = true }).ToArray();
        }

        private async Task ServeDatagramsAsync()
        {
            byte[] buffer = new byte[4096];
            try
            {
                while (true)
                {
                    SocketReceiveFromResult received = await _udp.ReceiveFromAsync(buffer, new IPEndPoint(IPAddress.Any, 0));
                    byte[] answer = Answer(buffer.AsSpan(0, received.ReceivedBytes), MaxDatagram);
                    if (Forge)
                    {
                        byte[] forged = [.. answer];
                        forged[0] ^= 1;
                        await _udp.SendToAsync(forged, received.RemoteEndPoint);
                        await _udp.SendToAsync(new byte[3], received.RemoteEndPoint);
                    }

                    await _udp.SendToAsync(answer, received.RemoteEndPoint);
                }
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
            }
        }

        private async Task ServeStreamsAsync()
        {
            try
            {
                while (true)
                {
                    using Socket socket = await _tcp.AcceptSocketAsync();
                    using var stream = new NetworkStream(socket);
                    byte[] prefix = new byte[2];
                    await stream.ReadExactlyAsync(prefix);
                    byte[] query = new byte[BinaryPrimitives.ReadUInt16BigEndian(prefix)];
                    await stream.ReadExactlyAsync(query);
                    byte[] answer = Answer(query, ushort.MaxValue);
                    BinaryPrimitives.WriteUInt16BigEndian(prefix, (ushort)answer.Length);
                    await stream.WriteAsync(new ReadOnlyMemory<byte>([.. prefix, .. answer]));
                }
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException or IOException)
            {
            }
        }
    }
}
