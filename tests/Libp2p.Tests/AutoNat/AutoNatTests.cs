using System.Net;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p.AutoNat;
using Leither.TestKit;
using Xunit;

namespace Leither.Libp2p.Tests.AutoNat;

public sealed class AutoNatTests
{
    private static readonly TimeSpan _patience = TestHost.Patience;
    private static readonly AutoNatOptions _local = new() { PrivateAddresses = true, MaxServedPerIp = 100, FirstPause = TimeSpan.FromDays(1) };

    [Fact]
    public void Messages_read_as_they_were_written()
    {
        using var key = PrivateKey.Generate();
        PeerId peer = key.PublicKey.PeerId;
        Multiaddr address = Multiaddr.Parse("/ip4/1.2.3.4/tcp/1");
        var question = AutoNatMessage.Read(new AutoNatMessage { Peer = peer, Addresses = [address, address] }.ToArray());
        Assert.Equal(peer, question.Peer);
        Assert.Equal([address, address], question.Addresses);
        Assert.Null(question.Status);
        var answer = AutoNatMessage.Read(new AutoNatMessage { Status = AutoNatStatus.Ok, StatusText = "well", Dialled = address }.ToArray());
        Assert.Equal((AutoNatStatus.Ok, "well", address), (answer.Status!.Value, answer.StatusText, answer.Dialled));
        // As the specification's schema has it.
        Assert.Equal(AutoNatStatus.DialError, AutoNatMessage.Read(Convert.FromHexString("08011a020864")).Status);
    }

    [Fact]
    public void Damaged_messages_are_refused_or_read_and_nothing_else()
    {
        int seed = Seed.OfRun();
        var random = new Random(seed);
        using var key = PrivateKey.Generate();
        byte[][] good =
        [
            new AutoNatMessage { Peer = key.PublicKey.PeerId, Addresses = [.. Enumerable.Range(1, 20).Select(i => Multiaddr.Parse($"/ip4/1.2.3.4/tcp/{i}"))] }.ToArray(),
            new AutoNatMessage { Status = AutoNatStatus.DialRefused, StatusText = "no", Dialled = Multiaddr.Parse("/ip4/1.2.3.4/tcp/1") }.ToArray(),
        ];
        for (int i = 0; i < 20_000; i++)
        {
            byte[] bytes = [.. good[i % 2].Take(random.Next(4) == 0 ? random.Next(good[i % 2].Length) : int.MaxValue)];
            for (int flips = random.Next(4); flips > 0 && bytes.Length > 0; flips--)
            {
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            }

            try
            {
                _ = AutoNatMessage.Read(bytes);
            }
            catch (Libp2pException)
            {
            }
            catch (Exception e)
            {
                throw new InvalidOperationException($"LEITHER_SEED={seed}: {Convert.ToHexString(bytes)}", e);
            }
        }
    }

    [Fact]
    public async Task Who_is_reached_by_three_peers_is_public()
    {
        await using var one = new TestHost();
        Multiaddr address = one.Host.Listen(TestHost.AnyPort);
        await using var client = new AutoNatClient(one.Host, _local);
        Reachability told = Reachability.Unknown;
        client.Changed += now => told = now;
        Assert.False(await client.AskAsync(default));
        TestHost[] others = await ConnectAsync(one, 3);
        _ = others.Select(other => new AutoNatServer(other.Host, _local)).ToArray();
        await TestHost.UntilAsync(() => one.Host.Connections.All(connection => one.Host.Peers.GetProtocols(connection.Peer).Contains(AutoNatServer.Id)));
        for (int i = 0; i < 3; i++)
        {
            Assert.Equal(Reachability.Unknown, client.Reachability);
            Assert.True(await client.AskAsync(default).WaitAsync(_patience));
        }

        Assert.Equal(Reachability.Public, client.Reachability);
        Assert.Equal(Reachability.Public, told);
        Assert.Equal([address], one.Host.Addresses);
        // The dials that it took are over, and the connections that stood stand.
        await TestHost.UntilAsync(() => one.Host.Connections.Count == 3 && others.All(other => other.Host.Connections.Count == 1));
        foreach (TestHost other in others)
        {
            await other.DisposeAsync();
        }
    }

    [Fact]
    public async Task Who_is_reached_by_nobody_is_private()
    {
        await using var one = new TestHost();
        await using var client = new AutoNatClient(one.Host, _local);
        TestHost[] others = await ConnectAsync(one, 3);
        _ = others.Select(other => new AutoNatServer(other.Host, _local)).ToArray();
        // It claims to listen where nobody does.
        one.Host.Announce(Multiaddr.Parse($"/ip4/127.0.0.1/tcp/{Ports.Free()}"));
        await TestHost.UntilAsync(() => one.Host.Connections.All(connection => one.Host.Peers.GetProtocols(connection.Peer).Contains(AutoNatServer.Id)));
        for (int i = 0; i < 3; i++)
        {
            Assert.True(await client.AskAsync(default).WaitAsync(_patience));
        }

        Assert.Equal(Reachability.Private, client.Reachability);
        foreach (TestHost other in others)
        {
            await other.DisposeAsync();
        }
    }

    [Fact]
    public async Task What_enough_voters_reached_is_announced_until_nobody_does()
    {
        await using var one = new TestHost();
        await using var client = new AutoNatClient(one.Host, _local);
        Multiaddr outside = Multiaddr.Parse("/ip4/1.2.3.4/tcp/4800");
        client.Count(1, true, outside);
        client.Count(1, true, outside);
        client.Count(1, true, outside);
        Assert.Equal(Reachability.Unknown, client.Reachability);
        client.Count(2, true, Multiaddr.Parse("/ip4/1.2.3.4/tcp/1"));
        client.Count(3, true, outside);
        Assert.Equal(Reachability.Public, client.Reachability);
        Assert.Empty(one.Host.Addresses);
        client.Count(4, true, outside);
        Assert.Equal([outside], one.Host.Addresses);
        for (ulong i = 5; i < 9; i++)
        {
            // Some doubt changes nothing.
            Assert.Equal(Reachability.Public, client.Reachability);
            client.Count(i, false, null);
        }

        for (ulong i = 9; client.Reachability == Reachability.Public; i++)
        {
            Assert.True(i < 20);
            client.Count(i, false, null);
        }

        Assert.Equal(Reachability.Private, client.Reachability);
        Assert.Empty(one.Host.Addresses);
    }

    [Fact]
    public async Task Nobody_else_is_dialled_and_nobody_too_often()
    {
        await using var one = new TestHost();
        await using var other = new TestHost();
        Multiaddr address = one.Host.Listen(TestHost.AnyPort);
        Multiaddr there = other.Host.Listen(TestHost.AnyPort);
        using (new AutoNatServer(other.Host, _local with { MaxServedPerIp = 2 }))
        {
            PeerConnection connection = await one.Host.ConnectAsync(there).WaitAsync(_patience);
            // Another address than the one that is seen, another peer, a relay, nothing at all.
            Assert.Equal(AutoNatStatus.DialRefused, await AskAsync(connection, one.Host.Id, Multiaddr.Parse("/ip4/127.0.0.2/tcp/1"), Multiaddr.Parse("/dns4/localhost/tcp/1"), Multiaddr.Parse("/ip4/127.0.0.1/udp/1")));
            Assert.Equal(AutoNatStatus.DialRefused, await AskAsync(connection, one.Host.Id, Multiaddr.Parse($"/ip4/127.0.0.1/tcp/1/p2p/{other.Host.Id}/p2p-circuit")));
            Assert.Equal(AutoNatStatus.DialRefused, await AskAsync(connection, one.Host.Id, address.WithPeer(other.Host.Id)));
            Assert.Equal(AutoNatStatus.BadRequest, await AskAsync(connection, other.Host.Id, address));
            Assert.Equal(AutoNatStatus.DialRefused, await AskAsync(connection, one.Host.Id));
            // Who answers is somebody else.
            Assert.Equal(AutoNatStatus.DialError, await AskAsync(connection, one.Host.Id, there));
            Assert.Equal(AutoNatStatus.Ok, await AskAsync(connection, one.Host.Id, there, address));
            Assert.Equal(AutoNatStatus.DialRefused, await AskAsync(connection, one.Host.Id, address));
        }

        await using var third = new TestHost();
        using (new AutoNatServer(third.Host))
        {
            // Without the setting for tests, this machine's own addresses are not the world's.
            PeerConnection connection = await one.Host.ConnectAsync(third.Host.Listen(TestHost.AnyPort)).WaitAsync(_patience);
            Assert.Equal(AutoNatStatus.DialRefused, await AskAsync(connection, one.Host.Id, address));
        }
    }

    private static async Task<AutoNatStatus?> AskAsync(PeerConnection connection, PeerId peer, params Multiaddr[] addresses)
    {
        await using PeerStream stream = connection.OpenStream(AutoNatServer.Id);
        await LengthPrefixed.WriteAsync(stream, new AutoNatMessage { Peer = peer, Addresses = addresses }.ToArray());
        byte[]? answer = await LengthPrefixed.ReadAsync(stream, AutoNatMessage.MaxLength).AsTask().WaitAsync(_patience);
        return AutoNatMessage.Read(answer).Status;
    }

    private static async Task<TestHost[]> ConnectAsync(TestHost one, int count)
    {
        TestHost[] others = [.. Enumerable.Range(0, count).Select(_ => new TestHost())];
        foreach (TestHost other in others)
        {
            PeerConnection connection = await one.Host.ConnectAsync(other.Host.Listen(TestHost.AnyPort)).WaitAsync(_patience);
            await connection.Identified.WaitAsync(_patience);
        }

        return others;
    }
}
