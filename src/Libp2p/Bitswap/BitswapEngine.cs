// Bitswap without sockets, clock or threads: it is stepped by messages and ticks; what is to be sent is taken from it.
//
// Getting. Wants belong to sessions: blocks that are wanted together are likely to lie together, so a session asks the peers that had something for it before.
//
//   no peer known ─► want-have to everybody connected ─► HAVE ─► want-block to one of them, the one that will be quickest
//        └──► after a moment: providers are looked for                    ├─► block: checked, handed over; everybody else is told that it is no longer wanted
//                                                                         ├─► DONT_HAVE, disconnected, stalled: the next peer
//                                                                         └─► nobody left: everybody is asked again, providers are looked for again
//
// One peer at a time is asked for a block, so a block comes twice only where a peer was given up and answers after all.
//
// Serving. From one source and nothing else. Whoever was sent least since it began to want is served next, a message at a time, so a peer that wants much or
// reads slowly takes nothing from others. What a peer can make us keep is bounded by MaxWantsPerPeer.

using System.Diagnostics.CodeAnalysis;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;

namespace Leither.Libp2p.Bitswap;

/// <summary>A message to be sent; the blocks are read by whoever sends it.</summary>
internal sealed record BitswapSend(PeerId To, BitswapVersion Version, BitswapMessage Message, IReadOnlyList<Cid> Blocks);

/// <summary>The engine. One thread at a time.</summary>
/// <param name="options">The limits.</param>
/// <param name="length">How many bytes a block has that may be served; null if it is not here.</param>
internal sealed class BitswapEngine(BitswapOptions options, Func<Cid, int?> length)
{
    /// <summary>How many entries a message of ours has at most.</summary>
    private const int MaxEntriesPerMessage = 1024;

    /// <summary>How many other peers of a session are asked whether they have a block too.</summary>
    private const int MaxProbes = 3;

    private readonly Dictionary<PeerId, BitswapPeer> _peers = [];
    private readonly Dictionary<Multihash, BitswapWant> _wants = [];
    private readonly HashSet<BitswapSession> _sessions = [];
    private readonly HashSet<BitswapPeer> _ready = [];
    private readonly Queue<Cid> _searches = new();
    private long _turn;
    private long _servingBytes;
    private DateTimeOffset _now;

    /// <summary>How many blocks are wanted.</summary>
    public int WantCount => _wants.Count;

    public IEnumerable<Cid> Wanted => _wants.Values.Select(want => want.Cid);

    public int PeerCount => _peers.Count;

    /// <summary>How many bytes of blocks are on their way to others.</summary>
    public long ServingBytes => _servingBytes;

    public bool TryGetPeer(PeerId id, [NotNullWhen(true)] out BitswapPeer? peer) => _peers.TryGetValue(id, out peer);

    /// <summary>A peer that speaks Bitswap is connected.</summary>
    public void Connected(PeerId id, BitswapVersion version, DateTimeOffset now)
    {
        _now = now;
        if (_peers.TryGetValue(id, out BitswapPeer? known))
        {
            known.Version = version;
            return;
        }

        var peer = new BitswapPeer(id, version) { Turn = _turn };
        _peers.Add(id, peer);
        // Whoever comes is asked for what nobody is sending.
        foreach (BitswapWant want in _wants.Values.Where(want => want.IsActive && want.AskedPeer == null))
        {
            Probe(want, peer);
        }

        PumpAll();
    }

    /// <summary>It is gone.</summary>
    public void Disconnected(PeerId id, DateTimeOffset now)
    {
        _now = now;
        if (!_peers.Remove(id, out BitswapPeer? peer))
        {
            return;
        }

        _ready.Remove(peer);
        _servingBytes -= peer.ServingBytes;
        foreach (Multihash hash in peer.Asked.Keys.ToArray())
        {
            GiveUp(_wants[hash], peer);
        }

        foreach (BitswapWant want in _wants.Values)
        {
            want.Haves.Remove(peer);
            want.Probed.Remove(peer);
            want.Session.Peers.Remove(peer);
        }

        PumpAll();
    }

    /// <summary>A block is wanted; <paramref name="got"/> is told once.</summary>
    public BitswapWaiter Want(BitswapSession session, Cid cid, Action<ReadOnlyMemory<byte>> got, DateTimeOffset now)
    {
        _now = now;
        Multihash hash = cid.Multihash;
        if (!_wants.TryGetValue(hash, out BitswapWant? want))
        {
            want = new BitswapWant(cid, session);
            _wants.Add(hash, want);
            session.Waiting.AddLast(want);
            _sessions.Add(session);
        }

        var waiter = new BitswapWaiter(want, got);
        want.Waiters.Add(waiter);
        Pump(session);
        return waiter;
    }

    /// <summary>It is no longer wanted.</summary>
    public void Cancel(BitswapWaiter waiter, DateTimeOffset now)
    {
        _now = now;
        if (waiter.Want.Waiters.Remove(waiter) && waiter.Want.Waiters.Count == 0)
        {
            End(waiter.Want, from: null);
            Pump(waiter.Want.Session);
        }
    }

    /// <summary>Blocks came into the source: those who wait for them get them.</summary>
    public void Available(IEnumerable<Cid> cids, DateTimeOffset now)
    {
        _now = now;
        foreach (Cid cid in cids)
        {
            foreach (BitswapPeer peer in _peers.Values)
            {
                if (peer.Wants.TryGetValue(cid.Multihash, out WantEntry entry))
                {
                    Serve(peer, entry);
                }
            }
        }
    }

    /// <summary>A message came from a peer.</summary>
    public void Receive(PeerId from, BitswapMessage message, DateTimeOffset now)
    {
        _now = now;
        if (!_peers.TryGetValue(from, out BitswapPeer? peer))
        {
            return;
        }

        foreach (ReceivedBlock block in message.Blocks)
        {
            Take(peer, block);
        }

        foreach (Presence presence in message.Presences)
        {
            Take(peer, presence);
        }

        if (message.IsFull)
        {
            peer.Wants.Clear();
            peer.Queued.Clear();
            peer.Tasks.Clear();
            peer.Presences.Clear();
        }

        foreach (WantEntry entry in message.Wants)
        {
            Take(peer, entry);
        }

        PumpAll();
    }

    /// <summary>Time has passed.</summary>
    public void Tick(DateTimeOffset now)
    {
        _now = now;
        foreach (BitswapPeer peer in _peers.Values)
        {
            if (peer.Asked.Count == 0)
            {
                continue;
            }

            // What was asked while it was sending waits for its turn there: the clock runs from its last block.
            foreach ((Multihash hash, DateTimeOffset asked) in peer.Asked.ToArray())
            {
                DateTimeOffset since = asked > peer.LastProgress ? asked : peer.LastProgress;
                if (now - since >= options.StallTimeout)
                {
                    peer.Stalled(options.StallTimeout);
                    GiveUp(_wants[hash], peer);
                }
            }
        }

        // What was given up goes to the next peer first; the rest is for what has none.
        PumpAll();
        foreach (BitswapWant want in _sessions.SelectMany(session => session.Unasked))
        {
            if (now >= want.NextBroadcast)
            {
                want.Tried.Clear();
                want.Probed.Clear();
                Broadcast(want);
            }

            if (now >= want.NextSearch && now >= want.Session.NextSearch)
            {
                // What is wanted together lies together: a search now and then serves all of the session.
                want.Session.NextSearch = now + options.SearchDelay;
                want.NextSearch = now + options.RebroadcastInterval;
                _searches.Enqueue(want.Cid);
            }
        }

        PumpAll();
    }

    /// <summary>Something whose providers should be looked for.</summary>
    public bool TryTakeSearch(out Cid cid)
    {
        while (_searches.TryDequeue(out cid))
        {
            if (_wants.ContainsKey(cid.Multihash))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>The next message to be sent. <see cref="Sent"/> must follow before there is another for the same peer.</summary>
    public bool TryTake([NotNullWhen(true)] out BitswapSend? send)
    {
        while (true)
        {
            BitswapPeer? next = null;
            foreach (BitswapPeer peer in _ready)
            {
                // Words go first; blocks wait while too many are on their way.
                bool canServe = _servingBytes < options.MaxServingBytes || peer.Changes.Count > 0 || peer.Presences.Count > 0;
                if (!peer.IsBusy && canServe && (next == null || peer.Turn < next.Turn))
                {
                    next = peer;
                }
            }

            if (next == null)
            {
                send = null;
                return false;
            }

            send = Compose(next);
            if (!next.HasSomethingToSay)
            {
                _ready.Remove(next);
            }

            if (send != null)
            {
                next.IsBusy = true;
                return true;
            }
        }
    }

    /// <summary>A message has gone, or could not: then what it held is lost, as everything is that was said to that peer.</summary>
    public void Sent(PeerId to, long blockBytes, int blocks, DateTimeOffset now)
    {
        _now = now;
        if (_peers.TryGetValue(to, out BitswapPeer? peer))
        {
            peer.IsBusy = false;
            _servingBytes -= peer.ServingBytes;
            peer.ServingBytes = 0;
            peer.Ledger = peer.Ledger with { BytesSent = peer.Ledger.BytesSent + blockBytes, BlocksSent = peer.Ledger.BlocksSent + blocks };
        }
    }

    private BitswapSend? Compose(BitswapPeer peer)
    {
        var message = new BitswapMessage();
        foreach ((Multihash hash, WantEntry entry) in peer.Changes)
        {
            message.Wants.Add(entry);
            peer.Changes.Remove(hash);
            if (message.Wants.Count >= MaxEntriesPerMessage)
            {
                break;
            }
        }

        foreach ((Multihash hash, Presence presence) in peer.Presences)
        {
            message.Presences.Add(presence);
            peer.Presences.Remove(hash);
            if (message.Presences.Count >= MaxEntriesPerMessage)
            {
                break;
            }
        }

        var blocks = new List<Cid>();
        long bytes = 0;
        while (_servingBytes < options.MaxServingBytes && peer.Tasks.TryPeek(out Cid cid))
        {
            int? size = peer.Queued.Contains(cid.Multihash) ? length(cid) : null;
            if (size is { } known && blocks.Count > 0 && bytes + known > options.MaxMessageBytes)
            {
                break;
            }

            peer.Tasks.Dequeue();
            if (peer.Queued.Remove(cid.Multihash))
            {
                peer.Wants.Remove(cid.Multihash);
            }

            if (size != null)
            {
                blocks.Add(cid);
                bytes += size.Value;
            }
        }

        // Served in turns by bytes; who begins to want again does not get what it could have had.
        _turn = Math.Max(_turn, peer.Turn);
        peer.Turn = Math.Max(peer.Turn, _turn - options.MaxMessageBytes) + bytes;
        peer.ServingBytes = bytes;
        _servingBytes += bytes;
        return message.IsEmpty && blocks.Count == 0 ? null : new BitswapSend(peer.Id, peer.Version, message, blocks);
    }

    private void Take(BitswapPeer peer, in ReceivedBlock block)
    {
        Multihash hash = block.Cid.Multihash;
        if (!_wants.TryGetValue(hash, out BitswapWant? want))
        {
            peer.Asked.Remove(hash);
            peer.Told.Remove(hash);
            peer.Ledger = peer.Ledger with { UnwantedBlocks = peer.Ledger.UnwantedBlocks + 1 };
            return;
        }

        if (peer.Asked.TryGetValue(hash, out DateTimeOffset asked))
        {
            peer.Measured(_now - (asked > peer.LastProgress ? asked : peer.LastProgress));
        }

        peer.LastProgress = _now;
        peer.Ledger = peer.Ledger with { BytesReceived = peer.Ledger.BytesReceived + block.Data.Length, BlocksReceived = peer.Ledger.BlocksReceived + 1 };
        want.Session.Peers.Add(peer);
        BitswapWaiter[] waiters = [.. want.Waiters];
        want.Waiters.Clear();
        End(want, peer);
        foreach (BitswapWaiter waiter in waiters)
        {
            waiter.Got(block.Data);
        }
    }

    private void Take(BitswapPeer peer, in Presence presence)
    {
        if (!_wants.TryGetValue(presence.Cid.Multihash, out BitswapWant? want) || !peer.Told.Contains(presence.Cid.Multihash))
        {
            return;
        }

        if (presence.Has)
        {
            want.Haves.Add(peer);
            want.Tried.Remove(peer.Id);
            want.Session.Peers.Add(peer);
        }
        else
        {
            want.Haves.Remove(peer);
            want.Tried.Add(peer.Id);
            if (want.AskedPeer == peer)
            {
                GiveUp(want, peer);
            }
        }
    }

    private void Take(BitswapPeer peer, in WantEntry entry)
    {
        Multihash hash = entry.Cid.Multihash;
        if (entry.IsCancel)
        {
            peer.Wants.Remove(hash);
            peer.Queued.Remove(hash);
            peer.Presences.Remove(hash);
            return;
        }

        bool isKnown = peer.Wants.TryGetValue(hash, out WantEntry known);
        if (!isKnown && peer.Wants.Count >= options.MaxWantsPerPeer)
        {
            return;
        }

        // A want for a block is not taken back by one for its presence.
        WantEntry kept = isKnown && !known.IsHave ? entry with { IsHave = false } : entry;
        peer.Wants[hash] = kept;
        if (!Serve(peer, kept) && kept.SendDontHave)
        {
            peer.Presences[hash] = new Presence(kept.Cid, false);
            _ready.Add(peer);
        }
    }

    /// <summary>Queues a block or says that it is here; false if it is not.</summary>
    private bool Serve(BitswapPeer peer, in WantEntry entry)
    {
        // Nobody reads from us what nobody could receive.
        if (length(entry.Cid) is not { } size || size > BitswapMessage.MaxBlockLength)
        {
            return false;
        }

        Multihash hash = entry.Cid.Multihash;
        if (entry.IsHave && size > options.MaxUnaskedBlockBytes)
        {
            peer.Presences[hash] = new Presence(entry.Cid, true);
            peer.Wants.Remove(hash);
        }
        else if (peer.Queued.Add(hash))
        {
            // What was called off and is wanted again may stand in the queue already: it goes at its first place, once.
            if (peer.Tasks.Count > 2 * options.MaxWantsPerPeer)
            {
                Cid[] left = [.. peer.Tasks.Where(cid => peer.Queued.Contains(cid.Multihash) && cid.Multihash != hash)];
                peer.Tasks.Clear();
                foreach (Cid cid in left)
                {
                    peer.Tasks.Enqueue(cid);
                }
            }

            peer.Tasks.Enqueue(entry.Cid);
            peer.Presences.Remove(hash);
        }

        _ready.Add(peer);
        return true;
    }

    private void PumpAll()
    {
        foreach (BitswapSession session in _sessions)
        {
            Pump(session);
        }
    }

    /// <summary>Asks for what nobody is asked for yet, as far as there are peers to ask.</summary>
    private void Pump(BitswapSession session)
    {
        while (session.Active < options.MaxActiveWants && session.Waiting.First is { } first)
        {
            session.Waiting.RemoveFirst();
            BitswapWant want = first.Value;
            want.IsActive = true;
            session.Active++;
            session.Unasked.AddLast(want);
        }

        for (LinkedListNode<BitswapWant>? node = session.Unasked.First; node != null;)
        {
            LinkedListNode<BitswapWant>? next = node.Next;
            BitswapWant want = node.Value;
            if (Choose(want, out bool isBusy) is { } peer)
            {
                session.Unasked.Remove(node);
                Ask(want, peer);
            }
            else if (!isBusy && want.NextBroadcast == DateTimeOffset.MinValue)
            {
                Broadcast(want);
                // Where nobody is connected there is nobody to wait for.
                want.NextSearch = _peers.Count == 0 ? _now : _now + options.SearchDelay;
            }

            node = next;
        }
    }

    /// <summary>The peer that will send a block soonest: of those that have it, or else of those that had others of the session.</summary>
    private BitswapPeer? Choose(BitswapWant want, out bool isBusy)
    {
        isBusy = false;
        if (want.Session.Peers.Count == 0 && want.Haves.Count == 0 && _peers.Count == 1)
        {
            // The only one there is need not be asked first whether it has it.
            BitswapPeer only = _peers.Values.First();
            return want.Tried.Contains(only.Id) || only.Asked.Count >= options.MaxAskedPerPeer ? null : only;
        }

        BitswapPeer? best = Best(want.Haves, want, ref isBusy);
        return best ?? (isBusy ? null : Best(want.Session.Peers, want, ref isBusy));
    }

    private BitswapPeer? Best(HashSet<BitswapPeer> peers, BitswapWant want, ref bool isBusy)
    {
        BitswapPeer? best = null;
        foreach (BitswapPeer peer in peers)
        {
            if (want.Tried.Contains(peer.Id))
            {
                continue;
            }

            if (peer.Asked.Count >= options.MaxAskedPerPeer)
            {
                isBusy = true;
            }
            else if (best == null || peer.Cost < best.Cost)
            {
                best = peer;
            }
        }

        return best;
    }

    private void Ask(BitswapWant want, BitswapPeer peer)
    {
        want.AskedPeer = peer;
        peer.Asked[want.Hash] = _now;
        Tell(peer, new WantEntry(want.Cid, 1, IsCancel: false, IsHave: false, SendDontHave: true));
        if (want.Haves.Contains(peer))
        {
            return;
        }

        // It may not have it: so the next ones are known by then.
        foreach (BitswapPeer other in want.Session.Peers.Where(other => other != peer).Take(MaxProbes))
        {
            Probe(want, other);
        }
    }

    private void Probe(BitswapWant want, BitswapPeer peer)
    {
        if (want.Haves.Contains(peer) || !want.Probed.Add(peer))
        {
            return;
        }

        // Old peers cannot say whether they have something: they are simply asked for it.
        Tell(peer, new WantEntry(want.Cid, 1, IsCancel: false, IsHave: peer.Version >= BitswapVersion.V1_2, SendDontHave: true));
    }

    private void Broadcast(BitswapWant want)
    {
        want.NextBroadcast = _now + options.RebroadcastInterval;
        foreach (BitswapPeer peer in _peers.Values.OrderBy(peer => peer.Cost).Take(options.MaxBroadcast))
        {
            Probe(want, peer);
        }
    }

    private void Tell(BitswapPeer peer, in WantEntry entry)
    {
        peer.Changes[entry.Cid.Multihash] = entry;
        peer.Told.Add(entry.Cid.Multihash);
        _ready.Add(peer);
    }

    /// <summary>A peer that was asked for a block will not send it, or not soon.</summary>
    private static void GiveUp(BitswapWant want, BitswapPeer peer)
    {
        peer.Asked.Remove(want.Hash);
        want.Haves.Remove(peer);
        want.Tried.Add(peer.Id);
        if (want.AskedPeer == peer)
        {
            want.AskedPeer = null;
            want.Session.Unasked.AddFirst(want);
        }
    }

    /// <summary>Nobody wants it any more: it came, or was called off.</summary>
    private void End(BitswapWant want, BitswapPeer? from)
    {
        _wants.Remove(want.Hash);
        BitswapSession session = want.Session;
        if (want.IsActive)
        {
            session.Active--;
            session.Unasked.Remove(want);
        }
        else
        {
            session.Waiting.Remove(want);
        }

        foreach (BitswapPeer peer in _peers.Values)
        {
            peer.Asked.Remove(want.Hash);
            if (!peer.Told.Remove(want.Hash))
            {
                continue;
            }

            if (peer == from)
            {
                // It knows, since it sent it.
                peer.Changes.Remove(want.Hash);
                continue;
            }

            peer.Changes[want.Hash] = new WantEntry(want.Cid, 0, IsCancel: true, IsHave: false, SendDontHave: false);
            _ready.Add(peer);
        }

        if (session.Active == 0 && session.Waiting.Count == 0)
        {
            _sessions.Remove(session);
        }
    }
}

/// <summary>Blocks that are wanted together, and who had some of them.</summary>
internal sealed class BitswapSession
{
    public HashSet<BitswapPeer> Peers { get; } = [];

    /// <summary>Wants that are not worked on yet.</summary>
    public LinkedList<BitswapWant> Waiting { get; } = new();

    /// <summary>Wants that nobody is asked to fulfil.</summary>
    public LinkedList<BitswapWant> Unasked { get; } = new();

    /// <summary>How many are worked on.</summary>
    public int Active { get; set; }

    public DateTimeOffset NextSearch { get; set; } = DateTimeOffset.MinValue;
}

/// <summary>A block that is wanted, once, by however many.</summary>
internal sealed class BitswapWant(Cid cid, BitswapSession session)
{
    public Cid Cid { get; } = cid;

    public Multihash Hash { get; } = cid.Multihash;

    public BitswapSession Session { get; } = session;

    public List<BitswapWaiter> Waiters { get; } = [];

    public bool IsActive { get; set; }

    /// <summary>Who was asked for it and has not answered.</summary>
    public BitswapPeer? AskedPeer { get; set; }

    /// <summary>Who said that it has it.</summary>
    public HashSet<BitswapPeer> Haves { get; } = [];

    /// <summary>Who was asked whether it has it.</summary>
    public HashSet<BitswapPeer> Probed { get; } = [];

    /// <summary>Who does not have it, or did not send it.</summary>
    public HashSet<PeerId> Tried { get; } = [];

    public DateTimeOffset NextBroadcast { get; set; } = DateTimeOffset.MinValue;

    public DateTimeOffset NextSearch { get; set; } = DateTimeOffset.MaxValue;
}

/// <summary>Somebody who waits for a block.</summary>
internal sealed class BitswapWaiter(BitswapWant want, Action<ReadOnlyMemory<byte>> got)
{
    public BitswapWant Want { get; } = want;

    public Action<ReadOnlyMemory<byte>> Got { get; } = got;
}
