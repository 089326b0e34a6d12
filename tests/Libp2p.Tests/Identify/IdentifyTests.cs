using System.Net;
using Google.Protobuf;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p.Identify;
using Leither.Libp2p.Peers;
using Leither.Libp2p.Ping;
using Leither.Libp2p.Records;
using Leither.TestKit;
using Xunit;

namespace Leither.Libp2p.Tests.Identify;

/// <summary>What a peer says of itself is what a stranger says: it is believed within bounds, or not at all, and the connection goes on.</summary>
public sealed class IdentifyTests
{
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task What_is_claimed_is_bounded()
    {
        var message = new Libp2p.Identify.Messages.Identify { AgentVersion = new string('a', 3000), ObservedAddr = ByteString.CopyFrom(1, 2, 3) };
        message.Protocols.Add(Enumerable.Range(0, 300).Select(i => $"/p/{i}"));
        message.Protocols.Add("");
        for (int i = 0; i < 100; i++)
        {
            message.ListenAddrs.Add(ByteString.CopyFrom(Multiaddr.Parse($"/ip4/1.2.3.4/tcp/{i + 1}").Bytes));
            message.ListenAddrs.Add(ByteString.CopyFrom(0xff, 0xff));
        }

        (PeerIdentity? identity, Host host, PeerId peer) = await MeetAsync(Prefixed(message.ToByteArray()));
        Assert.Equal(256, identity!.Agent.Length);
        Assert.Equal(PeerStore.MaxProtocols, identity.Protocols.Count);
        Assert.True(identity.Addresses.Count is > 0 and <= PeerRecord.MaxAddresses);
        Assert.Null(identity.ObservedAddress);
        Assert.True(host.Peers.GetAddresses(peer).Count <= PeerStore.MaxAddresses);
        await host.DisposeAsync();
    }

    [Fact]
    public async Task Another_key_or_somebody_elses_record_is_not_believed()
    {
        using var stranger = PrivateKey.Generate();
        var message = new Libp2p.Identify.Messages.Identify { PublicKey = ByteString.CopyFrom(stranger.PublicKey.Protobuf) };
        (PeerIdentity? identity, Host host, _) = await MeetAsync(Prefixed(message.ToByteArray()));
        Assert.Null(identity);
        await host.DisposeAsync();

        byte[] record = new PeerRecord(stranger.PublicKey.PeerId, 1, [Multiaddr.Parse("/ip4/1.2.3.4/tcp/1")]).Seal(stranger);
        message = new Libp2p.Identify.Messages.Identify { SignedPeerRecord = ByteString.CopyFrom(record) };
        (identity, host, _) = await MeetAsync(Prefixed(message.ToByteArray()));
        Assert.Null(identity!.Record);
        Assert.Empty(host.Peers.GetAddresses(stranger.PublicKey.PeerId));
        await host.DisposeAsync();
    }

    [Fact]
    public async Task Messages_are_merged_up_to_the_end()
    {
        var first = new Libp2p.Identify.Messages.Identify { AgentVersion = "one" };
        var second = new Libp2p.Identify.Messages.Identify { ProtocolVersion = "two" };
        (PeerIdentity? identity, Host host, _) = await MeetAsync([.. Prefixed(first.ToByteArray()), .. Prefixed(second.ToByteArray())]);
        Assert.Equal("one", identity!.Agent);
        Assert.Equal("two", identity.ProtocolVersion);
        await host.DisposeAsync();
    }

    [Fact]
    public async Task Whatever_is_said_the_connection_goes_on() => await Seed.RunAsync(async random =>
    {
        for (int i = 0; i < 40; i++)
        {
            byte[] junk = new byte[random.Next(0, 20_000)];
            random.NextBytes(junk);
            if (i % 2 == 0)
            {
                junk = Prefixed(junk[..Math.Min(junk.Length, 8000)]);
            }

            (_, Host host, _) = await MeetAsync(junk);
            await host.DisposeAsync();
        }
    });

    private static byte[] Prefixed(byte[] message)
    {
        byte[] prefix = new byte[5];
        return [.. prefix.AsSpan(0, Varint.Write(prefix, (ulong)message.Length)), .. message];
    }

    /// <summary>A host meets a peer that says these bytes of itself; what it makes of them. Afterwards they can still speak.</summary>
    private static async Task<(PeerIdentity? Identity, Host Host, PeerId Peer)> MeetAsync(byte[] said)
    {
        var key = PrivateKey.Generate();
        var otherKey = PrivateKey.Generate();
        var host = new Host(key);
        await using var other = new Host(otherKey);
        other.Handle(IdentifyProtocol.Id, async (stream, cancellation) => await stream.WriteAsync(said, cancellation));
        PeerConnection connection = await host.ConnectAsync(other.Listen(new IPEndPoint(IPAddress.Loopback, 0))).WaitAsync(_patience);
        PeerIdentity? identity = await connection.Identified.WaitAsync(_patience);
        Assert.True(await PingProtocol.PingAsync(connection).WaitAsync(_patience) > TimeSpan.Zero);
        return (identity, host, otherKey.PublicKey.PeerId);
    }
}
