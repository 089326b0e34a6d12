using Leither.Ipfs.Keys;
using Leither.Libp2p.Noise;
using Leither.Libp2p.Transport;
using Leither.TestKit;
using Xunit;

namespace Leither.Libp2p.Tests.Noise;

public sealed class NoiseChannelTests
{
    [Fact]
    public async Task Both_sides_know_each_other_and_agree_on_a_multiplexer()
    {
        await using var pair = await Pair.CreateAsync(["/yamux/1.0.0"], ["/mplex/6.7.0", "/yamux/1.0.0"]);
        Assert.Equal(pair.DialerIdentity.PublicKey.PeerId, pair.Listener.RemoteKey.PeerId);
        Assert.Equal(pair.ListenerIdentity.PublicKey.PeerId, pair.Dialer.RemoteKey.PeerId);
        Assert.Equal("/yamux/1.0.0", pair.Dialer.Muxer);
        Assert.Equal("/yamux/1.0.0", pair.Listener.Muxer);
    }

    [Fact]
    public async Task Without_a_common_multiplexer_it_is_left_to_negotiation()
    {
        await using var pair = await Pair.CreateAsync(["/yamux/1.0.0"], []);
        Assert.Null(pair.Dialer.Muxer);
        Assert.Null(pair.Listener.Muxer);
    }

    [Fact]
    public async Task Another_peer_than_the_one_dialled_is_refused()
    {
        using var stranger = PrivateKey.Generate();
        Libp2pException e = await Assert.ThrowsAsync<Libp2pException>(() => Pair.CreateAsync([], [], expected: stranger.PublicKey.PeerId));
        Assert.Equal(Libp2pError.WrongPeer, e.Error);
    }

    [Fact]
    public async Task Bytes_of_any_number_arrive_in_both_directions()
    {
        await using var pair = await Pair.CreateAsync([], []);
        foreach (int length in new[] { 1, 2, 100, 65517, 65518, 65519, 131_036, 300_000 })
        {
            foreach ((NoiseChannel from, NoiseChannel to) in new[] { (pair.Dialer, pair.Listener), (pair.Listener, pair.Dialer) })
            {
                byte[] sent = new byte[length];
                new Random(length).NextBytes(sent);
                Task sending = from.WriteAsync(sent).AsTask();
                byte[] received = new byte[length];
                await LengthPrefixed.ReadExactlyAsync(to, received);
                await sending;
                Assert.Equal(sent, received);
                Assert.False(to.HasInput);
            }
        }
    }

    [Fact]
    public async Task The_end_is_told_from_a_cut()
    {
        await using (var pair = await Pair.CreateAsync([], []))
        {
            pair.Dialer.Connection.Dispose();
            Assert.True((await pair.Listener.ReceiveAsync()).IsEmpty);
        }

        await using (var pair = await Pair.CreateAsync([], []))
        {
            await pair.Dialer.Connection.SendAsync(new byte[] { 0, 40, 1, 2, 3 });
            pair.Dialer.Connection.Dispose();
            Libp2pException e = await Assert.ThrowsAsync<Libp2pException>(async () => await pair.Listener.ReceiveAsync());
            Assert.Equal(Libp2pError.ConnectionClosed, e.Error);
        }
    }

    [Theory]
    [InlineData(new byte[] { 0, 0 })]
    [InlineData(new byte[] { 0, 3, 1, 2, 3 })]
    [InlineData(new byte[] { 0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 })]
    public async Task A_frame_that_the_other_side_did_not_seal_ends_it(byte[] forged)
    {
        await using var pair = await Pair.CreateAsync([], []);
        await pair.Dialer.Connection.SendAsync(forged);
        Libp2pException e = await Assert.ThrowsAsync<Libp2pException>(async () => await pair.Listener.ReceiveAsync());
        Assert.Equal(Libp2pError.ProtocolViolation, e.Error);
    }

    [Fact]
    public async Task Whatever_a_stranger_sends_ends_the_handshake_and_nothing_else() => await Seed.RunAsync(async random =>
    {
        using var identity = PrivateKey.Generate();
        using var security = new NoiseSecurity(identity, "/yamux/1.0.0");
        for (int i = 0; i < 300; i++)
        {
            (MemoryConnection dialer, MemoryConnection listener) = MemoryConnection.CreatePair();
            using var input = new InputBuffer(listener);
            byte[] junk = new byte[random.Next(0, 400)];
            random.NextBytes(junk);
            if (junk.Length > 2 && random.Next(4) > 0)
            {
                // A first message of the right length, so that the second step is reached.
                junk[0] = 0;
                junk[1] = 32;
            }

            await dialer.SendAsync(junk);
            dialer.Dispose();
            await Assert.ThrowsAnyAsync<IOException>(() => security.ListenAsync(listener, input, CancellationToken.None));
            listener.Dispose();
        }
    });

    [Fact]
    public async Task A_changed_handshake_fails_on_both_sides()
    {
        using var identity = PrivateKey.Generate();
        using var security = new NoiseSecurity(identity, "/yamux/1.0.0");
        using var key = X25519Key.Generate();
        for (int at = 0; at < 40; at++)
        {
            (MemoryConnection dialer, MemoryConnection listener) = MemoryConnection.CreatePair();
            using var input = new InputBuffer(listener);
            Task<NoiseChannel> listening = security.ListenAsync(listener, input, CancellationToken.None);
            using var handshake = new NoiseHandshake(isInitiator: true, key);
            byte[] message = new byte[1000];
            int length = handshake.WriteMessage([], message);
            await dialer.SendAsync(new byte[] { 0, (byte)length }.Concat(message.Take(length)).ToArray());
            using var back = new InputBuffer(dialer);
            Assert.True(await back.FillAsync(2));
            int answer = (back.Buffered.Span[0] << 8) + back.Buffered.Span[1];
            Assert.True(await back.FillAsync(2 + answer));
            byte[] theirs = back.Buffered[2..(2 + answer)].ToArray();
            byte[] changed = [.. theirs];
            changed[at * 5 % changed.Length] ^= 0x04;
            using (var copy = new NoiseHandshake(isInitiator: true, key))
            {
                copy.WriteMessage([], message);
                Assert.Throws<Libp2pException>(() => copy.ReadMessage(changed, message));
            }

            handshake.ReadMessage(theirs, message);
            length = handshake.WriteMessage([1, 2, 3], message);
            message[at % length] ^= 0x10;
            await dialer.SendAsync(new byte[] { 0, (byte)length }.Concat(message.Take(length)).ToArray());
            Libp2pException e = await Assert.ThrowsAsync<Libp2pException>(() => listening);
            Assert.Equal(Libp2pError.HandshakeFailed, e.Error);
            dialer.Dispose();
            listener.Dispose();
        }
    }

    private sealed class Pair : IAsyncDisposable
    {
        public required NoiseChannel Dialer { get; init; }

        public required NoiseChannel Listener { get; init; }

        public required PrivateKey DialerIdentity { get; init; }

        public required PrivateKey ListenerIdentity { get; init; }

        public static async Task<Pair> CreateAsync(string[] dialerMuxers, string[] listenerMuxers, PeerId? expected = null)
        {
            (MemoryConnection dialer, MemoryConnection listener) = MemoryConnection.CreatePair();
            var one = PrivateKey.Generate();
            var other = PrivateKey.Generate();
            using var dialing = new NoiseSecurity(one, dialerMuxers);
            using var listening = new NoiseSecurity(other, listenerMuxers);
            Task<NoiseChannel> accepted = listening.ListenAsync(listener, new InputBuffer(listener), CancellationToken.None);
            try
            {
                NoiseChannel dialed = await dialing.DialAsync(dialer, new InputBuffer(dialer), expected ?? other.PublicKey.PeerId, CancellationToken.None);
                return new Pair { Dialer = dialed, Listener = await accepted, DialerIdentity = one, ListenerIdentity = other };
            }
            catch
            {
                dialer.Dispose();
                await Assert.ThrowsAnyAsync<IOException>(() => accepted);
                throw;
            }
        }

        public ValueTask DisposeAsync()
        {
            Dialer.Connection.Dispose();
            Listener.Connection.Dispose();
            Dialer.Dispose();
            Listener.Dispose();
            DialerIdentity.Dispose();
            ListenerIdentity.Dispose();
            return default;
        }
    }
}
