using System.Text;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p.PrivateNetworks;
using Leither.Libp2p.Tests.Transport;
using Leither.Libp2p.Transport;
using Leither.TestKit;
using Org.BouncyCastle.Crypto.Engines;
using Org.BouncyCastle.Crypto.Parameters;
using Xunit;

namespace Leither.Libp2p.Tests.PrivateNetworks;

public sealed class PrivateNetworkTests
{
    private static readonly TimeSpan _patience = TestHost.Patience;

    [Fact]
    public void XSalsa20_gives_the_published_stream()
    {
        // NaCl's test "stream3".
        byte[] key = Convert.FromHexString("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389");
        byte[] nonce = Convert.FromHexString("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37");
        byte[] stream = new byte[32];
        new XSalsa20(key, nonce).Transform(stream, stream);
        Assert.Equal("eea6a7251c1e72916d11c2cb214d3c252539121d8e234e652d651fa4c8cff880", Convert.ToHexStringLower(stream));
    }

    [Fact]
    public void XSalsa20_agrees_with_another_implementation_in_pieces_of_any_length()
    {
        int seed = Seed.OfRun();
        var random = new Random(seed);
        byte[] key = new byte[32], nonce = new byte[24];
        random.NextBytes(key);
        random.NextBytes(nonce);
        var theirs = new XSalsa20Engine();
        theirs.Init(true, new ParametersWithIV(new KeyParameter(key), nonce));
        var ours = new XSalsa20(key, nonce);
        for (int i = 0; i < 200; i++)
        {
            byte[] text = new byte[random.Next(2000)];
            random.NextBytes(text);
            byte[] expected = new byte[text.Length];
            theirs.ProcessBytes(text, 0, text.Length, expected, 0);
            ours.Transform(text, text);
            Assert.True(expected.AsSpan().SequenceEqual(text), $"LEITHER_SEED={seed}");
        }
    }

    [Theory]
    [InlineData("/key/swarm/psk/1.0.0/\n/base16/\n0001020304050607080910111213141516171819202122232425262728293031\n")]
    [InlineData("/key/swarm/psk/1.0.0/\r\n/base16/\r\n0001020304050607080910111213141516171819202122232425262728293031")]
    [InlineData("/key/swarm/psk/1.0.0/\n/base64/\nAAECAwQFBgcICRAREhMUFRYXGBkgISIjJCUmJygpMDE=\n")]
    public void Swarm_keys_are_read_in_their_encodings(string file)
    {
        SwarmKey key = SwarmKey.Parse(Encoding.ASCII.GetBytes(file));
        Assert.Equal("0001020304050607080910111213141516171819202122232425262728293031", Convert.ToHexStringLower(key.Secret));
        Assert.Equal(key.Fingerprint, SwarmKey.Parse(Encoding.ASCII.GetBytes(key.ToFile())).Fingerprint);
        Assert.Equal(key.Fingerprint, SwarmKey.Parse([.. "/key/swarm/psk/1.0.0/\n/bin/\n"u8, .. key.Secret]).Fingerprint);
        Assert.NotEqual(key.Fingerprint, SwarmKey.Generate().Fingerprint);
    }

    [Theory]
    [InlineData("")]
    [InlineData("/key/swarm/psk/2.0.0/\n/base16/\n0001020304050607080910111213141516171819202122232425262728293031\n")]
    [InlineData("/key/swarm/psk/1.0.0/\n/base32/\n0001020304050607080910111213141516171819202122232425262728293031\n")]
    [InlineData("/key/swarm/psk/1.0.0/\n/base16/\n00010203\n")]
    [InlineData("/key/swarm/psk/1.0.0/\n/base16/\nsecret\n")]
    [InlineData("/key/swarm/psk/1.0.0/\n/base64/\n*\n")]
    [InlineData("/key/swarm/psk/1.0.0/\n/bin/\nshort")]
    public void What_is_no_swarm_key_is_refused_without_quoting_it(string file)
    {
        FormatException e = Assert.Throws<FormatException>(() => SwarmKey.Parse(Encoding.ASCII.GetBytes(file)));
        Assert.DoesNotContain("secret", e.Message, StringComparison.Ordinal);
        Assert.Throws<FormatException>(() => SwarmKey.Parse(new byte[SwarmKey.MaxFileLength + 1]));
    }

    [Fact]
    public async Task Members_meet_over_TCP_and_WebSocket()
    {
        var key = SwarmKey.Generate();
        await using var one = new TestHost(new HostOptions { SwarmKey = key });
        await using var other = new TestHost(new HostOptions { SwarmKey = key });
        other.Host.Handle("/echo/1", (stream, cancellation) => stream.CopyToAsync(stream, cancellation));
        using WebSocketServer server = other.ListenWebSocket();
        foreach (Multiaddr address in new[] { other.Host.Listen(TestHost.AnyPort), WebSocketConnection.AddressOf(server.EndPoint) })
        {
            PeerConnection connection = await one.Host.ConnectAsync(address).WaitAsync(_patience);
            await WebSocketTests.EchoAsync(connection, 3_000_000);
            await connection.CloseAsync().WaitAsync(_patience);
            await TestHost.UntilAsync(() => other.Host.Connections.Count == 0);
        }
    }

    [Fact]
    public async Task Who_has_another_key_or_none_does_not_come_in()
    {
        var quick = new HostOptions { DialTimeout = TimeSpan.FromSeconds(2), UpgradeTimeout = TimeSpan.FromSeconds(2) };
        await using var member = new TestHost(quick with { SwarmKey = SwarmKey.Generate() });
        await using var stranger = new TestHost(quick with { SwarmKey = SwarmKey.Generate() });
        await using var open = new TestHost(quick);
        Multiaddr address = member.Host.Listen(TestHost.AnyPort);
        await Assert.ThrowsAsync<Libp2pException>(() => stranger.Host.ConnectAsync(address).WaitAsync(_patience));
        await Assert.ThrowsAsync<Libp2pException>(() => open.Host.ConnectAsync(address).WaitAsync(_patience));
        await Assert.ThrowsAsync<Libp2pException>(() => member.Host.ConnectAsync(open.Host.Listen(TestHost.AnyPort)).WaitAsync(_patience));
        Assert.Empty(member.Host.Connections);
    }

    [Fact]
    public async Task What_was_read_before_is_part_of_the_stream()
    {
        var key = SwarmKey.Generate();
        int seed = Seed.OfRun();
        var random = new Random(seed);
        for (int i = 0; i < 20; i++)
        {
            (MemoryConnection dialer, MemoryConnection listener) = MemoryConnection.CreatePair();
            Task<PrivateConnection> dialing = PrivateConnection.EstablishAsync(dialer, key, default, default);
            byte[] read = new byte[random.Next(24)];
            for (int have = 0; have < read.Length;)
            {
                have += await listener.ReceiveAsync(read.AsMemory(have));
            }

            using PrivateConnection there = await PrivateConnection.EstablishAsync(listener, key, read, default);
            using PrivateConnection here = await dialing.WaitAsync(_patience);
            byte[] sent = new byte[random.Next(100_000) + 1];
            random.NextBytes(sent);
            Task sending = here.SendAsync(sent).AsTask();
            byte[] received = new byte[sent.Length];
            for (int have = 0; have < received.Length;)
            {
                have += await there.ReceiveAsync(received.AsMemory(have));
            }

            await sending;
            Assert.True(sent.AsSpan().SequenceEqual(received), $"LEITHER_SEED={seed}");
        }
    }

    [Fact]
    public async Task A_nonce_that_comes_back_is_refused()
    {
        (MemoryConnection dialer, MemoryConnection listener) = MemoryConnection.CreatePair();
        Task<PrivateConnection> dialing = PrivateConnection.EstablishAsync(dialer, SwarmKey.Generate(), default, default);
        byte[] nonce = new byte[24];
        Assert.Equal(24, await listener.ReceiveAsync(nonce));
        await listener.SendAsync(nonce);
        Libp2pException e = await Assert.ThrowsAsync<Libp2pException>(() => dialing.WaitAsync(_patience));
        Assert.Equal(Libp2pError.HandshakeFailed, e.Error);
        dialer.Dispose();
        listener.Dispose();
    }
}
