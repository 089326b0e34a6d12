// Peers that mean harm, at every layer, beside one that does not: it notices nothing, they are dropped, and what they can make a node hold stays within its limits.

using System.Net;
using System.Net.Sockets;
using System.Text;
using Google.Protobuf;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p.Bitswap;
using Leither.Libp2p.Identify;
using Leither.Libp2p.KadDht;
using Leither.Libp2p.Multistream;
using Leither.Libp2p.Noise;
using Leither.Libp2p.Noise.Messages;
using Leither.Libp2p.Ping;
using Leither.Libp2p.Transport;
using Leither.Libp2p.Yamux;
using Leither.TestKit;
using Xunit;

namespace Leither.Libp2p.Tests;

public sealed class HostileTests
{
    private const string Header = "\x13/multistream/1.0.0\n";

    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(60);
    private static readonly string[] _protocols = [.. BitswapExchange.Protocols, KadOptions.LeitherProtocol, IdentifyProtocol.Id, IdentifyProtocol.PushId, PingProtocol.Id, "/none"];

    [Fact]
    public async Task Junk_at_the_door_is_turned_away() => await Seed.RunAsync(async random =>
    {
        await using var scene = await Scene.CreateAsync();
        for (int i = 0; i < 100; i++)
        {
            using Socket socket = await scene.KnockAsync();
            // A port scanner, a negotiation that breaks off, one that goes wrong, a handshake that does.
            string said = i % 4 == 0 ? "" : i % 4 == 1 ? Header : i % 4 == 2 ? Header + "\x07/noise\n" : Header + "\x07/noise\n\0\x20";
            byte[] bytes = [.. Encoding.Latin1.GetBytes(said), .. Junk(random, 400)];
            if (random.Next(3) == 0)
            {
                bytes[random.Next(bytes.Length)] = 0xff;
            }

            await TryAsync(async () =>
            {
                await socket.SendAsync(bytes);
                socket.Shutdown(SocketShutdown.Send);
                while (await socket.ReceiveAsync(new byte[1000]) > 0)
                {
                }
            });
        }

        await scene.AssertUnnoticedAsync();
    });

    [Fact]
    public async Task Who_seals_junk_or_breaks_the_multiplexer_is_dropped() => await Seed.RunAsync(async random =>
    {
        await using var scene = await Scene.CreateAsync();
        for (int i = 0; i < 40; i++)
        {
            using var key = PrivateKey.Generate();
            using var security = new NoiseSecurity(key, YamuxSession.Id);
            using Socket socket = await scene.KnockAsync();
            using var raw = new TcpConnection(socket);
            using var input = new InputBuffer(raw);
            await MultistreamSelect.DialAsync(input, [NoiseSecurity.Id], default);
            using NoiseChannel channel = await security.DialAsync(raw, input, null, default).WaitAsync(_patience);
            await TryAsync(async () =>
            {
                if (i % 4 == 0)
                {
                    // A frame that nobody sealed.
                    await raw.SendAsync(Junk(random, 200));
                }

                for (int frame = 0; frame < 50; frame++)
                {
                    byte[] bytes = new byte[12 + random.Next(0, 200)];
                    new YamuxHeader((YamuxType)random.Next(0, 5), (YamuxFlags)random.Next(0, 16), (uint)random.Next(0, 6), (uint)(bytes.Length - 12)).Write(bytes);
                    if (random.Next(8) == 0)
                    {
                        bytes[random.Next(12)] = (byte)random.Next(256);
                    }

                    await channel.WriteAsync(bytes);
                }

                // And this no multiplexer survives: another version.
                await channel.WriteAsync(new byte[] { 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0 });
                socket.Shutdown(SocketShutdown.Send);
                while (await channel.ReadAsync(new byte[1000]).AsTask().WaitAsync(_patience) > 0)
                {
                }
            });
        }

        await scene.AssertUnnoticedAsync();
    });

    [Fact]
    public async Task Malformed_messages_of_every_protocol_end_their_stream_and_nothing_else() => await Seed.RunAsync(async random =>
    {
        await using var scene = await Scene.CreateAsync();
        await using var attacker = new Peer();
        PeerConnection connection = await attacker.Host.ConnectAsync(scene.Address).WaitAsync(_patience);
        Cid cid = Cid.Of(Multicodec.Raw, "x"u8);
        byte[] bitswap = new BitswapMessage
        {
            Wants = [new WantEntry(cid, 1, false, true, true)],
            Presences = [new Presence(cid, true)],
            Blocks = [new ReceivedBlock(cid, "x"u8.ToArray())],
        }.ToArray(BitswapVersion.V1_2)!;
        byte[] kad = new KadMessage
        {
            Type = KadMessageType.AddProvider,
            Key = cid.Multihash.ToArray(),
            Providers = [new KadPeer(attacker.Host.Id, attacker.Host.Addresses)],
            Record = new KadRecord([1], [2]),
        }.ToArray();
        for (int i = 0; i < 400; i++)
        {
            string protocol = _protocols[random.Next(_protocols.Length)];
            byte[] message = [.. random.Next(2) == 0 ? bitswap : kad];
            for (int changes = random.Next(4); changes > 0; changes--)
            {
                message[random.Next(message.Length)] = (byte)random.Next(256);
            }

            byte[] sent = random.Next(5) switch
            {
                0 => [.. Enumerable.Repeat((byte)0xff, 50)], // a varint without end
                1 => [0xff, 0xff, 0xff, 0xff, 0x07, 1, 2, 3], // 2 GiB
                2 => [0xff, 0xff, 0xff, 0x01, 1, 2, 3], // 4 MiB, which does not come
                3 => Junk(random, 300),
                _ => [(byte)(message.Length & 0x7f | 0x80), (byte)(message.Length >> 7), .. message],
            };
            PeerStream stream = connection.OpenStream(protocol);
            await using (stream)
            {
                await TryAsync(async () =>
                {
                    await stream.WriteAsync(sent);
                    stream.CompleteWrites();
                    while (await stream.ReadAsync(new byte[4000]).AsTask().WaitAsync(_patience) > 0)
                    {
                    }
                });
            }
        }

        Assert.False(connection.Closed.IsCompleted);
        Assert.True(await PingProtocol.PingAsync(connection).WaitAsync(_patience) > TimeSpan.Zero);
        Assert.InRange(scene.Dht.ProviderRecordCount, 0, 400);
        await attacker.DisposeAsync();
        await scene.AssertUnnoticedAsync();
    });

    [Fact]
    public async Task A_flood_of_streams_is_refused_and_then_ended()
    {
        await using var scene = await Scene.CreateAsync();
        using var key = PrivateKey.Generate();
        using var security = new NoiseSecurity(key, YamuxSession.Id);
        using Socket socket = await scene.KnockAsync();
        using var raw = new TcpConnection(socket);
        using var input = new InputBuffer(raw);
        await MultistreamSelect.DialAsync(input, [NoiseSecurity.Id], default);
        using NoiseChannel channel = await security.DialAsync(raw, input, null, default).WaitAsync(_patience);
        // The node takes it for a peer, and asks it to identify itself.
        Wait.Until(() => scene.Host.TryGetConnection(key.PublicKey.PeerId, out PeerConnection? known) && known.StreamCount > 0);
        int most = 1;
        bool isDropped = await TryAsync(async () =>
        {
            for (uint id = 1; ; id += 2)
            {
                byte[] open = new byte[12];
                new YamuxHeader(YamuxType.Data, YamuxFlags.Syn, id, 0).Write(open);
                await channel.WriteAsync(open).AsTask().WaitAsync(_patience);
                most = scene.Host.TryGetConnection(key.PublicKey.PeerId, out PeerConnection? connection) ? Math.Max(most, connection.StreamCount) : most;
            }
        });
        Assert.True(isDropped);
        // Beside identify, which the node opens itself.
        Assert.InRange(most, 1, YamuxOptions.Default.MaxInboundStreams + 1);
        await scene.AssertUnnoticedAsync();
    }

    [Fact]
    public async Task Who_proves_somebody_elses_identity_is_refused()
    {
        await using var scene = await Scene.CreateAsync();
        using var claimed = PrivateKey.Generate();
        using var own = PrivateKey.Generate();
        using var key = X25519Key.Generate();
        // A signature of another key, of another static key, none, and a key of no kind.
        byte[] prefix = [.. "noise-libp2p-static-key:"u8];
        (byte[] Key, byte[] Signature)[] claims =
        [
            (claimed.PublicKey.Protobuf.ToArray(), own.Sign([.. prefix, .. key.PublicKey])),
            (own.PublicKey.Protobuf.ToArray(), own.Sign([.. prefix, .. new byte[32]])),
            (own.PublicKey.Protobuf.ToArray(), own.Sign([.. key.PublicKey])),
            (own.PublicKey.Protobuf.ToArray(), []),
            ([8, 9, 18, 1, 1], own.Sign([.. prefix, .. key.PublicKey])),
        ];
        foreach ((byte[] identity, byte[] signature) in claims)
        {
            byte[] payload = new NoiseHandshakePayload { IdentityKey = ByteString.CopyFrom(identity), IdentitySig = ByteString.CopyFrom(signature) }.ToByteArray();

            // It dials.
            using Socket socket = await scene.KnockAsync();
            using var raw = new TcpConnection(socket);
            using var input = new InputBuffer(raw);
            await MultistreamSelect.DialAsync(input, [NoiseSecurity.Id], default);
            using (var handshake = new NoiseHandshake(isInitiator: true, key))
            {
                await SendAsync(raw, handshake, []);
                await ReceiveAsync(input, handshake);
                await SendAsync(raw, handshake, payload);
            }

            Assert.False(await input.FillAsync(1).AsTask().WaitAsync(_patience));

            // It is dialled.
            using var listener = new TcpListener(IPAddress.Loopback, 0);
            listener.Start();
            Task serving = Task.Run(async () =>
            {
                using var accepted = new TcpConnection(await listener.AcceptSocketAsync());
                using var received = new InputBuffer(accepted);
                await MultistreamSelect.ListenAsync(received, static id => id == NoiseSecurity.Id);
                using var handshake = new NoiseHandshake(isInitiator: false, key);
                await ReceiveAsync(received, handshake);
                await SendAsync(accepted, handshake, payload);
                Assert.False(await received.FillAsync(1).AsTask().WaitAsync(_patience));
            });
            Libp2pException e = await Assert.ThrowsAsync<Libp2pException>(() => scene.Host.ConnectAsync(Multiaddr.Of((IPEndPoint)listener.LocalEndpoint)).WaitAsync(_patience));
            Assert.Equal(Libp2pError.HandshakeFailed, e.Error);
            await TryAsync(() => serving.WaitAsync(_patience));
        }

        Assert.False(scene.Host.TryGetConnection(claimed.PublicKey.PeerId, out _));
        await scene.AssertUnnoticedAsync();
    }

    [Fact]
    public async Task Who_wants_everything_and_reads_nothing_holds_one_message_and_others_are_served()
    {
        await using var scene = await Scene.CreateAsync();
        Cid[] cids = [.. Enumerable.Range(0, 40).Select(i =>
        {
            byte[] data = new byte[1 << 20];
            new Random(i).NextBytes(data);
            var cid = Cid.Of(Multicodec.Raw, data);
            scene.Store.Put(cid, data);
            return cid;
        })];
        var attackers = new List<Peer>();
        try
        {
            for (int i = 0; i < 6; i++)
            {
                var attacker = new Peer();
                attackers.Add(attacker);
                attacker.Host.Handle(BitswapExchange.Protocols[0], static (_, cancellation) => Task.Delay(Timeout.Infinite, cancellation));
                PeerConnection connection = await attacker.Host.ConnectAsync(scene.Address).WaitAsync(_patience);
                await connection.Identified.WaitAsync(_patience);
                PeerStream stream = connection.OpenStream(BitswapExchange.Protocols[0]);
                // More wants than are kept.
                for (int message = 0; message < 3; message++)
                {
                    WantEntry[] wants = [.. cids.Select(cid => new WantEntry(cid, 1, false, false, true)),
                        .. Enumerable.Range(0, 1000).Select(n => new WantEntry(Cid.Of(Multicodec.Raw, BitConverter.GetBytes(1000 * message + n)), 1, false, false, false))];
                    await LengthPrefixed.WriteAsync(stream, new BitswapMessage { Wants = [.. wants] }.ToArray(BitswapVersion.V1_2)!).AsTask().WaitAsync(_patience);
                }
            }

            BitswapFetch fetch = scene.Bystander.Bitswap.NewFetch();
            await Task.WhenAll(cids.Select(async cid => Assert.True(cid.Verify((await fetch.GetAsync(cid)).Span)))).WaitAsync(_patience);
            var limits = new BitswapOptions();
            Assert.InRange(scene.Bitswap.ServingBytes, 0, attackers.Count * 2L * limits.MaxMessageBytes);
            Assert.All(attackers, attacker => Assert.InRange(scene.Bitswap.GetLedger(attacker.Host.Id).Wants, 0, limits.MaxWantsPerPeer));
        }
        finally
        {
            foreach (Peer attacker in attackers)
            {
                await attacker.DisposeAsync();
            }
        }

        await scene.AssertUnnoticedAsync();
    }

    [Fact]
    public async Task Long_messages_that_do_not_come_delay_those_of_the_same_connection_alone()
    {
        await using var scene = await Scene.CreateAsync();
        await using var attacker = new Peer();
        PeerConnection connection = await attacker.Host.ConnectAsync(scene.Address).WaitAsync(_patience);
        var streams = new List<PeerStream>();
        for (int i = 0; i < 60; i++)
        {
            PeerStream stream = await connection.OpenStreamAsync([BitswapExchange.Protocols[0]]).WaitAsync(_patience);
            await stream.WriteAsync(new byte[] { 0xff, 0xff, 0xff, 0x01, 1, 2, 3 });
            streams.Add(stream);
        }

        // What is short is taken on its other streams, and the bystander's long ones as ever.
        byte[] data = new byte[1_500_000];
        var cid = Cid.Of(Multicodec.Raw, data);
        scene.Bystander.Store.Put(cid, data);
        Assert.Equal(data.Length, (await scene.Bitswap.GetAsync(cid).WaitAsync(_patience)).Length);
        await using PeerStream last = connection.OpenStream(BitswapExchange.Protocols[0]);
        await LengthPrefixed.WriteAsync(last, new BitswapMessage { Wants = [new WantEntry(Cid.Of(Multicodec.Raw, "y"u8), 1, false, false, false)] }.ToArray(BitswapVersion.V1_2)!);
        while (scene.Bitswap.GetLedger(attacker.Host.Id).Wants == 0)
        {
            await Task.Delay(5);
        }

        foreach (PeerStream stream in streams)
        {
            stream.Reset();
        }

        await attacker.DisposeAsync();
        await scene.AssertUnnoticedAsync();
    }

    private static byte[] Junk(Random random, int max)
    {
        byte[] junk = new byte[random.Next(1, max)];
        random.NextBytes(junk);
        return junk;
    }

    /// <summary>Does what may fail because the other side ends it; whether that happened.</summary>
    private static async Task<bool> TryAsync(Func<Task> attack)
    {
        try
        {
            await attack();
            return false;
        }
        catch (Exception e) when (e is IOException or SocketException)
        {
            return true;
        }
    }

    private static async Task SendAsync(TcpConnection raw, NoiseHandshake handshake, byte[] payload)
    {
        byte[] message = new byte[2 + NoiseHandshake.MaxOverhead + payload.Length];
        int length = handshake.WriteMessage(payload, message.AsSpan(2));
        (message[0], message[1]) = ((byte)(length >> 8), (byte)length);
        await raw.SendAsync(message.AsMemory(0, 2 + length));
    }

    private static async Task ReceiveAsync(InputBuffer input, NoiseHandshake handshake)
    {
        Assert.True(await input.FillAsync(2).AsTask().WaitAsync(_patience));
        int length = (input.Buffered.Span[0] << 8) + input.Buffered.Span[1];
        Assert.True(await input.FillAsync(2 + length).AsTask().WaitAsync(_patience));
        handshake.ReadMessage(input.Buffered.Span.Slice(2, length), new byte[length]);
        input.Consume(2 + length);
    }

    /// <summary>A host with all that it speaks.</summary>
    private class Peer : IAsyncDisposable
    {
        private readonly PrivateKey _key = PrivateKey.Generate();
        private bool _isDisposed;

        public Peer()
        {
            Host = new Host(_key);
            Address = Host.Listen(new IPEndPoint(IPAddress.Loopback, 0)).WithPeer(Host.Id);
            Dht = new KademliaDht(Host, new KadOptions { Protocol = KadOptions.LeitherProtocol, Mode = KadMode.Server });
            Bitswap = new BitswapExchange(Host, Store, null, Dht);
        }

        public Host Host { get; }

        public Multiaddr Address { get; }

        public KademliaDht Dht { get; }

        public MemoryBlockstore Store { get; } = new();

        public BitswapExchange Bitswap { get; }

        public virtual async ValueTask DisposeAsync()
        {
            if (!_isDisposed)
            {
                _isDisposed = true;
                await Bitswap.DisposeAsync();
                await Dht.DisposeAsync();
                await Host.DisposeAsync();
                Store.Dispose();
                _key.Dispose();
            }
        }
    }

    /// <summary>Who is attacked, and a bystander with a connection and a stream open.</summary>
    private sealed class Scene : Peer
    {
        private const string Echo = "/echo/1";

        private PeerStream _stream = null!;

        public Peer Bystander { get; } = new();

        public static async Task<Scene> CreateAsync()
        {
            var scene = new Scene();
            scene.Host.Handle(Echo, (stream, cancellation) => stream.CopyToAsync(stream, cancellation));
            PeerConnection connection = await scene.Bystander.Host.ConnectAsync(scene.Address).WaitAsync(_patience);
            await connection.Identified.WaitAsync(_patience);
            scene._stream = connection.OpenStream(Echo);
            await scene.EchoAsync();
            return scene;
        }

        /// <summary>A socket to it.</summary>
        public async Task<Socket> KnockAsync()
        {
            var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            Assert.True(Address.WithoutPeer()!.TryGetTcp(out IPEndPoint? endPoint));
            await socket.ConnectAsync(endPoint);
            return socket;
        }

        /// <summary>The bystander's connection and stream are as they were, and nobody else is left.</summary>
        public async Task AssertUnnoticedAsync()
        {
            await EchoAsync();
            Assert.True(await PingProtocol.PingAsync(_stream.Connection!).WaitAsync(_patience) > TimeSpan.Zero);
            using var patience = new CancellationTokenSource(_patience);
            while (Host.Connections.Any(connection => connection.Peer != Bystander.Host.Id))
            {
                await Task.Delay(5, patience.Token);
            }

            Assert.Single(Host.Connections);
            Assert.False(_stream.Connection!.Closed.IsCompleted);
            // A stream that is kept for the next message may hold an answer that nobody reads.
            while (Host.Connections[0].Session.HeldBytes > 64 * 1024)
            {
                await Task.Delay(5, patience.Token);
            }
        }

        public override async ValueTask DisposeAsync()
        {
            await _stream.DisposeAsync();
            await Bystander.DisposeAsync();
            await base.DisposeAsync();
        }

        private async Task EchoAsync()
        {
            byte[] said = Encoding.UTF8.GetBytes("still there?");
            await _stream.WriteAsync(said).AsTask().WaitAsync(_patience);
            byte[] heard = new byte[said.Length];
            await _stream.ReadExactlyAsync(heard).AsTask().WaitAsync(_patience);
            Assert.Equal(said, heard);
        }
    }
}
