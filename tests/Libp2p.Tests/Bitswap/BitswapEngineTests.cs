using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p.Bitswap;
using Leither.Libp2p.Tests.KadDht;
using Leither.TestKit;
using Xunit;

namespace Leither.Libp2p.Tests.Bitswap;

public sealed class BitswapEngineTests
{
    private DateTimeOffset _now = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    [Fact]
    public void Messages_are_read_as_they_were_written()
    {
        byte[] data = [1, 2, 3];
        Cid one = Cid.Of(Multicodec.Raw, data), zero = Cid.CreateV0(Multihash.Sha256("x"u8));
        var message = new BitswapMessage
        {
            IsFull = true,
            Wants = [new WantEntry(one, 5, false, true, true), new WantEntry(zero, 1, true, false, false)],
            Presences = [new Presence(one, true), new Presence(zero, false)],
            Blocks = [new ReceivedBlock(one, data)],
            PendingBytes = 7,
        };
        var read = BitswapMessage.Read(message.ToArray(BitswapVersion.V1_2)!);
        Assert.True(read.IsFull);
        Assert.Equal(message.Wants, read.Wants);
        Assert.Equal(message.Presences, read.Presences);
        Assert.Equal(one, Assert.Single(read.Blocks).Cid);
        Assert.Equal(data, read.Blocks[0].Data.ToArray());
        Assert.Equal(7, read.PendingBytes);

        // Older versions: no presence, and at last no prefix.
        read = BitswapMessage.Read(message.ToArray(BitswapVersion.V1_1)!);
        Assert.Equal([message.Wants[1]], read.Wants);
        Assert.Empty(read.Presences);
        Assert.Equal(one, Assert.Single(read.Blocks).Cid);
        read = BitswapMessage.Read(message.ToArray(BitswapVersion.V1_0)!);
        Assert.Equal(one.Multihash, Assert.Single(read.Blocks).Cid.Multihash);
        Assert.Null(new BitswapMessage { Presences = [new Presence(one, true)] }.ToArray(BitswapVersion.V1_1));
    }

    [Fact]
    public void Malformed_messages_are_refused_and_blocks_are_never_misnamed() => Seed.Run(random =>
    {
        byte[] data = new byte[50];
        var cid = Cid.Of(Multicodec.Raw, data);
        byte[] good = new BitswapMessage { Wants = [new WantEntry(cid, 1, false, true, true)], Presences = [new Presence(cid, true)], Blocks = [new ReceivedBlock(cid, data)] }
            .ToArray(BitswapVersion.V1_2)!;
        for (int i = 0; i < 20_000; i++)
        {
            byte[] bytes = i % 3 == 0 ? new byte[random.Next(150)] : [.. good];
            if (i % 3 == 0)
            {
                random.NextBytes(bytes);
            }

            for (int change = random.Next(4); change > 0 && bytes.Length > 0; change--)
            {
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            }

            try
            {
                foreach (ReceivedBlock block in BitswapMessage.Read(i % 5 == 0 ? bytes[..random.Next(bytes.Length + 1)] : bytes).Blocks)
                {
                    Assert.True(block.Cid.Verify(block.Data.Span));
                }
            }
            catch (Libp2pException e)
            {
                Assert.Equal(Libp2pError.ProtocolViolation, e.Error);
            }
        }

        byte[] many = [.. Enumerable.Repeat<byte[]>([0x0A, 0x00], 100_000).SelectMany(bytes => bytes)];
        Assert.Empty(BitswapMessage.Read(many).Wants);
        Assert.Throws<Libp2pException>(() => BitswapMessage.Read(
            new BitswapMessage { Blocks = [new ReceivedBlock(cid, new byte[BitswapMessage.MaxBlockLength + 1])] }.ToArray(BitswapVersion.V1_2)));
    });

    [Fact]
    public void A_block_is_asked_of_one_peer_and_called_off_at_the_others() => Seed.Run(random =>
    {
        var engine = new BitswapEngine(new BitswapOptions(), _ => null);
        PeerId[] peers = [.. Enumerable.Range(0, 3).Select(_ => KadNetwork.NewId(random))];
        foreach (PeerId peer in peers)
        {
            engine.Connected(peer, BitswapVersion.V1_2, _now);
        }

        byte[] data = [1, 2, 3];
        var cid = Cid.Of(Multicodec.Raw, data);
        byte[]? got = null;
        engine.Want(new BitswapSession(), cid, bytes => got = bytes.ToArray(), _now);
        Dictionary<PeerId, BitswapMessage> sent = Send(engine);
        Assert.Equal(3, sent.Count);
        Assert.All(sent.Values, message => Assert.True(Assert.Single(message.Wants) is { IsHave: true, SendDontHave: true, IsCancel: false }));
        engine.Receive(peers[0], new BitswapMessage { Presences = [new Presence(cid, false)] }, _now);
        engine.Receive(peers[1], new BitswapMessage { Presences = [new Presence(cid, true)] }, _now);
        engine.Receive(peers[2], new BitswapMessage { Presences = [new Presence(cid, true)] }, _now);
        sent = Send(engine);
        Assert.Equal(peers[1], Assert.Single(sent).Key);
        Assert.False(Assert.Single(sent[peers[1]].Wants).IsHave);
        // Something else, under any name, is not taken.
        engine.Receive(peers[1], new BitswapMessage { Blocks = [new ReceivedBlock(Cid.Of(Multicodec.Raw, [9]), new byte[] { 9 })] }, _now);
        Assert.Null(got);
        Assert.True(engine.TryGetPeer(peers[1], out BitswapPeer? first));
        Assert.Equal(1, first.Ledger.UnwantedBlocks);
        engine.Receive(peers[1], new BitswapMessage { Blocks = [new ReceivedBlock(cid, data)] }, _now);
        Assert.Equal(data, got);
        sent = Send(engine);
        Assert.Equal([peers[0], peers[2]], sent.Keys.OrderBy(peer => Array.IndexOf(peers, peer)));
        Assert.All(sent.Values, message => Assert.True(Assert.Single(message.Wants).IsCancel));
        Assert.Equal(0, engine.WantCount);
    });

    [Fact]
    public void A_peer_that_stalls_lacks_it_or_goes_is_passed_over_and_in_the_end_all_are_asked_again() => Seed.Run(random =>
    {
        var options = new BitswapOptions();
        var engine = new BitswapEngine(options, _ => null);
        PeerId[] peers = [.. Enumerable.Range(0, 3).Select(_ => KadNetwork.NewId(random))];
        foreach (PeerId peer in peers)
        {
            engine.Connected(peer, BitswapVersion.V1_2, _now);
        }

        var cid = Cid.Of(Multicodec.Raw, [1]);
        engine.Want(new BitswapSession(), cid, _ => { }, _now);
        Send(engine);
        foreach (PeerId peer in peers)
        {
            engine.Receive(peer, new BitswapMessage { Presences = [new Presence(cid, true)] }, _now);
        }

        PeerId asked = Assert.Single(Send(engine)).Key;
        Assert.Equal(peers[0], asked);
        Tick(engine, options.StallTimeout);
        asked = Assert.Single(Send(engine)).Key;
        Assert.Equal(peers[1], asked);
        engine.Receive(asked, new BitswapMessage { Presences = [new Presence(cid, false)] }, _now);
        asked = Assert.Single(Send(engine)).Key;
        Assert.Equal(peers[2], asked);
        Assert.False(engine.TryTakeSearch(out _));
        engine.Disconnected(asked, _now);
        Assert.Empty(Send(engine));
        Tick(engine, options.RebroadcastInterval);
        Assert.Equal([peers[0], peers[1]], Send(engine).Keys.OrderBy(peer => Array.IndexOf(peers, peer)));
        Tick(engine, options.RebroadcastInterval);
        Assert.True(engine.TryTakeSearch(out Cid search));
        Assert.Equal(cid, search);
    });

    [Fact]
    public void What_nobody_connected_has_is_searched_for_and_asked_of_whoever_comes() => Seed.Run(random =>
    {
        var engine = new BitswapEngine(new BitswapOptions(), _ => null);
        var cid = Cid.Of(Multicodec.Raw, [1]);
        BitswapWaiter waiter = engine.Want(new BitswapSession(), cid, _ => { }, _now);
        Tick(engine, TimeSpan.Zero);
        Assert.True(engine.TryTakeSearch(out _));
        PeerId peer = KadNetwork.NewId(random);
        engine.Connected(peer, BitswapVersion.V1_0, _now);
        Assert.False(Assert.Single(Send(engine)[peer].Wants).IsHave);
        engine.Cancel(waiter, _now);
        Assert.True(Assert.Single(Send(engine)[peer].Wants).IsCancel);
        Assert.Equal(0, engine.WantCount);
    });

    [Fact]
    public void Blocks_are_spread_over_the_peers_of_a_session_and_more_are_asked_of_the_quick() => Seed.Run(random =>
    {
        var engine = new BitswapEngine(new BitswapOptions { MaxActiveWants = 50 }, _ => null);
        PeerId quick = KadNetwork.NewId(random), slow = KadNetwork.NewId(random);
        engine.Connected(quick, BitswapVersion.V1_2, _now);
        engine.Connected(slow, BitswapVersion.V1_2, _now);
        var session = new BitswapSession();
        int got = 0;
        var data = new Dictionary<Cid, byte[]>();
        for (int i = 0; i < 500; i++)
        {
            byte[] block = BitConverter.GetBytes(i);
            var cid = Cid.Of(Multicodec.Raw, block);
            data.Add(cid, block);
            engine.Want(session, cid, _ => got++, _now);
        }

        var due = new PriorityQueue<(PeerId, BitswapMessage), DateTimeOffset>();
        var served = new Dictionary<PeerId, int> { [quick] = 0, [slow] = 0 };
        for (int step = 0; step < 20_000 && got < data.Count; step++)
        {
            foreach ((PeerId peer, BitswapMessage message) in Send(engine))
            {
                TimeSpan each = TimeSpan.FromMilliseconds(peer == quick ? 5 : 50);
                DateTimeOffset at = _now;
                foreach (WantEntry want in message.Wants.Where(want => !want.IsCancel))
                {
                    at += each;
                    served[peer] += want.IsHave ? 0 : 1;
                    due.Enqueue((peer, want.IsHave ? new BitswapMessage { Presences = [new Presence(want.Cid, true)] }
                        : new BitswapMessage { Blocks = [new ReceivedBlock(want.Cid, data[want.Cid])] }), at);
                }
            }

            _now += TimeSpan.FromMilliseconds(1);
            while (due.TryPeek(out (PeerId Peer, BitswapMessage Message) next, out DateTimeOffset at) && at <= _now)
            {
                due.Dequeue();
                engine.Receive(next.Peer, next.Message, _now);
            }
        }

        Assert.Equal(data.Count, got);
        Assert.True(served[quick] > 2 * served[slow], $"{served[quick]} and {served[slow]}");
        Assert.InRange(served[quick] + served[slow], data.Count, data.Count + data.Count / 20);
    });

    [Fact]
    public void Who_wants_much_takes_nothing_from_others_and_is_bounded() => Seed.Run(random =>
    {
        var options = new BitswapOptions { MaxMessageBytes = 100_000, MaxWantsPerPeer = 200 };
        var engine = new BitswapEngine(options, _ => 40_000);
        PeerId greedy = KadNetwork.NewId(random), modest = KadNetwork.NewId(random);
        engine.Connected(greedy, BitswapVersion.V1_2, _now);
        engine.Connected(modest, BitswapVersion.V1_2, _now);
        Cid[] cids = [.. Enumerable.Range(0, 1000).Select(i => Cid.Of(Multicodec.Raw, BitConverter.GetBytes(i)))];
        engine.Receive(greedy, Wants(cids), _now);
        Assert.True(engine.TryGetPeer(greedy, out BitswapPeer? peer));
        Assert.Equal(200, peer.Wants.Count);
        for (int i = 0; i < 10; i++)
        {
            Assert.Equal(2, TakeOne(engine).Blocks.Count);
        }

        engine.Receive(modest, Wants(cids[^4..]), _now);
        var order = new List<PeerId>();
        for (int i = 0; i < 4; i++)
        {
            order.Add(TakeOne(engine).To);
        }

        Assert.Equal(2, order.Count(to => to == modest));
        // Called off: nothing more.
        engine.Receive(greedy, new BitswapMessage { Wants = [.. cids.Select(cid => new WantEntry(cid, 1, true, false, false))] }, _now);
        Assert.Empty(Send(engine));
        Assert.Empty(peer.Wants);

        // Wanting and calling off without end takes no memory.
        for (int i = 0; i < 5000; i++)
        {
            engine.Receive(greedy, Wants([cids[i % 100]]), _now);
            engine.Receive(greedy, new BitswapMessage { Wants = [new WantEntry(cids[i % 100], 1, true, false, false)] }, _now);
        }

        Assert.InRange(peer.Tasks.Count, 0, 2 * options.MaxWantsPerPeer + 1);
    });

    [Fact]
    public void Presence_is_told_and_what_comes_later_is_sent_to_those_who_wait() => Seed.Run(random =>
    {
        var here = new Dictionary<Cid, int>();
        var engine = new BitswapEngine(new BitswapOptions(), cid => here.TryGetValue(cid, out int size) ? size : null);
        PeerId peer = KadNetwork.NewId(random);
        engine.Connected(peer, BitswapVersion.V1_2, _now);
        Cid[] cids = [.. Enumerable.Range(0, 5).Select(i => Cid.Of(Multicodec.Raw, BitConverter.GetBytes(i)))];
        here[cids[0]] = 5000;
        here[cids[1]] = 100;
        here[cids[4]] = BitswapMessage.MaxBlockLength + 1;
        engine.Receive(peer, new BitswapMessage { Wants = [.. cids.Select(cid => new WantEntry(cid, 1, false, true, cid != cids[3]))] }, _now);
        Assert.True(engine.TryTake(out BitswapSend? send));
        Assert.Equal([new Presence(cids[0], true), new Presence(cids[2], false), new Presence(cids[4], false)], send.Message.Presences);
        // So small that asking twice would cost more.
        Assert.Equal([cids[1]], send.Blocks);
        engine.Sent(peer, 100, 1, _now);
        here[cids[3]] = 5000;
        engine.Available([cids[3], cids[2]], _now);
        Assert.True(engine.TryTake(out send));
        Assert.Equal([new Presence(cids[3], true)], send.Message.Presences);
        Assert.Empty(send.Blocks);
    });

    private static BitswapMessage Wants(IEnumerable<Cid> cids) => new() { Wants = [.. cids.Select(cid => new WantEntry(cid, 1, false, false, true))] };

    private BitswapSend TakeOne(BitswapEngine engine)
    {
        Assert.True(engine.TryTake(out BitswapSend? send));
        engine.Sent(send.To, 0, 0, _now);
        return send;
    }

    private void Tick(BitswapEngine engine, TimeSpan time)
    {
        _now += time;
        engine.Tick(_now);
    }

    private Dictionary<PeerId, BitswapMessage> Send(BitswapEngine engine)
    {
        var sent = new Dictionary<PeerId, BitswapMessage>();
        while (engine.TryTake(out BitswapSend? send))
        {
            sent.Add(send.To, send.Message);
        }

        foreach (PeerId peer in sent.Keys)
        {
            engine.Sent(peer, 0, 0, _now);
        }

        return sent;
    }
}
