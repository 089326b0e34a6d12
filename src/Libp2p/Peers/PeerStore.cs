// What is known of peers: where they are, until when that is believed, what they speak, which key they have. All of it is hearsay except for what a peer signed,
// and anyone can make up peers by the million: so the store is bounded, and who was not heard of for longest goes first. Connected peers stay.

using System.Diagnostics.CodeAnalysis;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p.Records;

namespace Leither.Libp2p.Peers;

/// <summary>The known peers. Safe for any number of threads.</summary>
public sealed class PeerStore
{
    /// <summary>How many addresses of one peer are kept: those believed for longest.</summary>
    public const int MaxAddresses = 32;

    /// <summary>How many protocols of one peer are kept.</summary>
    public const int MaxProtocols = 128;

    /// <summary>For addresses that somebody else told.</summary>
    public static readonly TimeSpan TemporaryTtl = TimeSpan.FromMinutes(2);

    /// <summary>For addresses that the peer told itself, once it is gone.</summary>
    public static readonly TimeSpan RecentlyConnectedTtl = TimeSpan.FromMinutes(30);

    /// <summary>For addresses that the user configured.</summary>
    public static readonly TimeSpan PermanentTtl = TimeSpan.FromDays(365 * 100);

    private readonly TimeProvider _time;
    private readonly int _maxPeers;
    private readonly Lock _gate = new();
    private readonly Dictionary<PeerId, LinkedListNode<Entry>> _entries = [];

    // The one that was heard of last stands last.
    private readonly LinkedList<Entry> _byAge = new();

    /// <summary>Makes an empty store.</summary>
    public PeerStore(TimeProvider? time = null, int maxPeers = 16 * 1024)
    {
        _time = time ?? TimeProvider.System;
        _maxPeers = maxPeers;
    }

    /// <summary>How many peers are known.</summary>
    public int Count
    {
        get
        {
            lock (_gate)
            {
                return _entries.Count;
            }
        }
    }

    /// <summary>Notes where a peer may be. An address that is known is believed for the longer of both times.</summary>
    public void AddAddresses(PeerId peer, IEnumerable<Multiaddr> addresses, TimeSpan ttl)
    {
        DateTimeOffset until = _time.GetUtcNow() + ttl;
        lock (_gate)
        {
            AddAddresses(Touch(peer), addresses, until);
        }
    }

    /// <summary>Takes what a peer signed about itself; false if something newer is known.</summary>
    public bool TryAddRecord(PeerRecord record, TimeSpan ttl)
    {
        DateTimeOffset until = _time.GetUtcNow() + ttl;
        lock (_gate)
        {
            Entry entry = Touch(record.Peer);
            if (record.Sequence < entry.Sequence)
            {
                return false;
            }

            // What it signs takes the place of what it signed before.
            entry.Sequence = record.Sequence;
            entry.Addresses.RemoveAll(known => known.IsCertified);
            AddAddresses(entry, record.Addresses, until, certified: true);
            return true;
        }
    }

    /// <summary>Where a peer may be, signed addresses first.</summary>
    public IReadOnlyList<Multiaddr> GetAddresses(PeerId peer)
    {
        DateTimeOffset now = _time.GetUtcNow();
        lock (_gate)
        {
            return _entries.TryGetValue(peer, out LinkedListNode<Entry>? node)
                ? [.. node.Value.Addresses.Where(known => known.Until > now || node.Value.IsConnected).OrderByDescending(known => known.IsCertified).Select(known => known.Address)]
                : [];
        }
    }

    /// <summary>The peers that have addresses which are believed, with these, as they are in <see cref="GetAddresses"/>.</summary>
    public IReadOnlyList<(PeerId Peer, IReadOnlyList<Multiaddr> Addresses)> All()
    {
        PeerId[] peers;
        lock (_gate)
        {
            peers = [.. _entries.Keys];
        }

        return [.. peers.Select(peer => (peer, GetAddresses(peer))).Where(known => known.Item2.Count > 0)];
    }

    /// <summary>Forgets where a peer is.</summary>
    public void ClearAddresses(PeerId peer)
    {
        lock (_gate)
        {
            if (_entries.TryGetValue(peer, out LinkedListNode<Entry>? node))
            {
                node.Value.Addresses.Clear();
            }
        }
    }

    /// <summary>Notes what a peer speaks, in place of what was known.</summary>
    public void SetProtocols(PeerId peer, IEnumerable<string> protocols)
    {
        lock (_gate)
        {
            Touch(peer).Protocols = [.. protocols.Take(MaxProtocols)];
        }
    }

    /// <summary>What a peer speaks, as far as it said.</summary>
    public IReadOnlyCollection<string> GetProtocols(PeerId peer)
    {
        lock (_gate)
        {
            return _entries.TryGetValue(peer, out LinkedListNode<Entry>? node) ? node.Value.Protocols : [];
        }
    }

    /// <summary>Notes a peer's key and the program that it says it is.</summary>
    public void SetIdentity(PeerKey key, string? agent)
    {
        lock (_gate)
        {
            Entry entry = Touch(key.PeerId);
            entry.Key = key;
            entry.Agent = agent ?? entry.Agent;
        }
    }

    /// <summary>A peer's key, from its id or from what was learnt.</summary>
    public bool TryGetKey(PeerId peer, [NotNullWhen(true)] out PeerKey? key)
    {
        if (PeerKey.TryFromPeerId(peer, out key))
        {
            return true;
        }

        lock (_gate)
        {
            key = _entries.TryGetValue(peer, out LinkedListNode<Entry>? node) ? node.Value.Key : null;
            return key != null;
        }
    }

    /// <summary>The program that a peer says it is.</summary>
    public string? GetAgent(PeerId peer)
    {
        lock (_gate)
        {
            return _entries.TryGetValue(peer, out LinkedListNode<Entry>? node) ? node.Value.Agent : null;
        }
    }

    /// <summary>Connected peers are not forgotten; what they said of themselves is believed for a while after they are gone.</summary>
    public void SetConnected(PeerId peer, bool connected)
    {
        DateTimeOffset until = _time.GetUtcNow() + RecentlyConnectedTtl;
        lock (_gate)
        {
            Entry entry = Touch(peer);
            if (entry.IsConnected && !connected)
            {
                entry.Addresses = [.. entry.Addresses.Select(known => known.Until < until ? known with { Until = until } : known)];
            }

            entry.IsConnected = connected;
        }
    }

    /// <summary>Forgets what is no longer believed. Called now and then.</summary>
    public void Expire()
    {
        DateTimeOffset now = _time.GetUtcNow();
        lock (_gate)
        {
            for (LinkedListNode<Entry>? node = _byAge.First; node != null;)
            {
                LinkedListNode<Entry>? next = node.Next;
                if (!node.Value.IsConnected)
                {
                    node.Value.Addresses.RemoveAll(known => known.Until <= now);
                    if (node.Value.Addresses.Count == 0)
                    {
                        Remove(node);
                    }
                }

                node = next;
            }
        }
    }

    private static void AddAddresses(Entry entry, IEnumerable<Multiaddr> addresses, DateTimeOffset until, bool certified = false)
    {
        foreach (Multiaddr given in addresses.Take(PeerRecord.MaxAddresses))
        {
            // Kept without the peer at the end, which is said already; an address that ends with another peer is not this one's.
            if (given.TryGetPeerId(out PeerId named) && named != entry.Peer)
            {
                continue;
            }

            if (given.WithoutPeer() is not { } address)
            {
                continue;
            }

            int known = entry.Addresses.FindIndex(a => a.Address.Equals(address));
            if (known >= 0)
            {
                Known old = entry.Addresses[known];
                entry.Addresses[known] = old with { Until = old.Until > until ? old.Until : until, IsCertified = old.IsCertified || certified };
            }
            else if (entry.Addresses.Count < MaxAddresses)
            {
                entry.Addresses.Add(new Known(address, until, certified));
            }
            else
            {
                int first = 0;
                for (int i = 1; i < entry.Addresses.Count; i++)
                {
                    first = entry.Addresses[i].Until < entry.Addresses[first].Until ? i : first;
                }

                if (entry.Addresses[first].Until < until)
                {
                    entry.Addresses[first] = new Known(address, until, certified);
                }
            }
        }
    }

    private Entry Touch(PeerId peer)
    {
        if (_entries.TryGetValue(peer, out LinkedListNode<Entry>? node))
        {
            _byAge.Remove(node);
            _byAge.AddLast(node);
            return node.Value;
        }

        if (_entries.Count >= _maxPeers)
        {
            for (LinkedListNode<Entry>? oldest = _byAge.First; oldest != null; oldest = oldest.Next)
            {
                if (!oldest.Value.IsConnected)
                {
                    Remove(oldest);
                    break;
                }
            }
        }

        node = _byAge.AddLast(new Entry(peer));
        _entries.Add(peer, node);
        return node.Value;
    }

    private void Remove(LinkedListNode<Entry> node)
    {
        _byAge.Remove(node);
        _entries.Remove(node.Value.Peer);
    }

    private sealed record Known(Multiaddr Address, DateTimeOffset Until, bool IsCertified);

    private sealed class Entry(PeerId peer)
    {
        public PeerId Peer { get; } = peer;

        public List<Known> Addresses { get; set; } = [];

        public IReadOnlyCollection<string> Protocols { get; set; } = [];

        public PeerKey? Key { get; set; }

        public string? Agent { get; set; }

        public ulong Sequence { get; set; }

        public bool IsConnected { get; set; }
    }
}
