// Whom this node knows, so arranged that it knows many nearby and some everywhere: 256 buckets, one for each number of leading bits that a peer's place shares
// with ours, of at most k peers each.
//
//  - Only peers that answered us, or came to us and said that they serve, are put in; hearsay is not.
//  - Who is here and answers stays: long-lived peers are the reliable ones, and no flood of newcomers displaces them. A newcomer to a full bucket waits in
//    its reserve; the peer longest unheard of is then asked whether it lives, and only if not, it is replaced.
//  - One owner of addresses (see IpGroup) gets few places, in a bucket and in all, so that renting one network is not enough to surround a node.

using System.Diagnostics.CodeAnalysis;
using System.Net;
using Leither.Ipfs.Keys;

namespace Leither.Libp2p.KadDht;

/// <summary>The routing table.</summary>
internal sealed class RoutingTable(KadKey self, int bucketSize, TimeSpan checkAfter)
{
    public const int MaxPerGroup = 10;
    public const int MaxPerGroupInBucket = 3;

    private readonly Bucket?[] _buckets = new Bucket?[KadKey.Bits];
    private readonly Dictionary<KadKey, Entry> _entries = [];
    private readonly Dictionary<ulong, int> _groups = [];

    // Where the nearest are sorted: one lookup asks for them some thirty times.
    private KadKey[] _distances = new KadKey[64];
    private KadPeer[] _found = new KadPeer[64];
    private int _deepest = -1;

    /// <summary>How many peers are in it.</summary>
    public int Count => _entries.Count;

    /// <summary>From this bucket on all hold together no more than one does: looking for ourselves refreshes them.</summary>
    public int RefreshDepth
    {
        get
        {
            int deeper = 0;
            for (int index = KadKey.Bits; index > 0; index--)
            {
                deeper += CountInBucket(index - 1);
                if (deeper > bucketSize)
                {
                    return index;
                }
            }

            return 0;
        }
    }

    public IEnumerable<KadPeer> Peers => _entries.Values.Select(entry => entry.Peer);

    /// <summary>Those heard of since a moment and where they are, those longest in the table first: the ones likeliest to be there tomorrow.</summary>
    public IEnumerable<KadPeer> Good(DateTimeOffset since) =>
        _entries.Values.Where(entry => entry.LastSeen >= since && entry.Peer.Addresses.Count > 0).OrderBy(entry => entry.FirstSeen).Select(entry => entry.Peer);

    public bool Contains(KadPeer peer) => _entries.ContainsKey(peer.Key);

    public int CountInBucket(int index) => _buckets[index]?.Entries.Count ?? 0;

    public bool TryGet(PeerId id, [NotNullWhen(true)] out KadPeer? peer)
    {
        peer = _entries.TryGetValue(KadKey.Of(id.ToArray()), out Entry? entry) ? entry.Peer : null;
        return peer != null;
    }

    /// <summary>
    /// A peer was heard of first hand. Where its bucket is full, <paramref name="doubtful"/> is the peer in it that should be asked whether it lives.
    /// </summary>
    /// <returns>Whether it is in the table now.</returns>
    public bool Seen(KadPeer peer, IPAddress? address, DateTimeOffset now, out KadPeer? doubtful)
    {
        doubtful = null;
        if (peer.Key.Equals(self))
        {
            return false;
        }

        if (_entries.TryGetValue(peer.Key, out Entry? known))
        {
            known.LastSeen = now;
            known.IsDoubted = false;
            if (peer.Addresses.Count > 0 && !ReferenceEquals(peer, known.Peer))
            {
                known.Peer = peer;
            }

            return true;
        }

        int index = self.CommonPrefix(peer.Key);
        Bucket bucket = _buckets[index] ??= new Bucket();
        var entry = new Entry(peer, bucket, IpGroup.Of(address), now);
        if (bucket.Entries.Count < bucketSize)
        {
            _deepest = Math.Max(_deepest, index);
            return TryAdd(entry);
        }

        int waiting = bucket.Reserve.FindIndex(other => other.Key.Equals(entry.Key));
        if (waiting >= 0)
        {
            bucket.Reserve.RemoveAt(waiting);
        }

        if (bucket.Reserve.Count >= bucketSize)
        {
            bucket.Reserve.RemoveAt(0);
        }

        bucket.Reserve.Add(entry);
        Entry oldest = bucket.Entries[0];
        foreach (Entry other in bucket.Entries)
        {
            oldest = other.LastSeen < oldest.LastSeen ? other : oldest;
        }

        // One at a time: its answer or its silence decides.
        if (now - oldest.LastSeen >= checkAfter && !oldest.IsDoubted)
        {
            oldest.IsDoubted = true;
            doubtful = oldest.Peer;
        }

        return false;
    }

    /// <summary>A peer did not answer: it gives its place to whoever in the reserve was heard of last.</summary>
    public void Failed(KadPeer peer)
    {
        if (!_entries.Remove(peer.Key, out Entry? entry))
        {
            return;
        }

        Bucket bucket = entry.Bucket;
        bucket.Entries.Remove(entry);
        if (entry.Group != IpGroup.None && --_groups[entry.Group] == 0)
        {
            _groups.Remove(entry.Group);
        }

        while (bucket.Reserve.Count > 0 && bucket.Entries.Count < bucketSize)
        {
            Entry next = bucket.Reserve[^1];
            bucket.Reserve.RemoveAt(bucket.Reserve.Count - 1);
            _ = TryAdd(next);
        }
    }

    /// <summary>The peers nearest to a place, nearest first.</summary>
    public List<KadPeer> Closest(KadKey target, int count, PeerId except = default)
    {
        // Those that share as many bits with us as the target does are nearer to it than all others; next come those that share more, all at once; then those
        // that share ever fewer.
        int middle = Math.Min(self.CommonPrefix(target), KadKey.Bits - 1);
        var closest = new List<KadPeer>(count);
        Add(middle, middle);
        Add(middle + 1, _deepest);
        for (int i = middle - 1; i >= 0 && closest.Count < count; i--)
        {
            Add(i, i);
        }

        return closest;

        void Add(int first, int last)
        {
            int found = 0;
            for (int i = first; i <= last && closest.Count < count; i++)
            {
                if (_buckets[i] is not { } bucket)
                {
                    continue;
                }

                foreach (Entry entry in bucket.Entries)
                {
                    if (found == _distances.Length)
                    {
                        Array.Resize(ref _distances, 2 * found);
                        Array.Resize(ref _found, 2 * found);
                    }

                    _distances[found] = target.DistanceTo(entry.Key);
                    _found[found++] = entry.Peer;
                }
            }

            Array.Sort(_distances, _found, 0, found);
            for (int i = 0; i < found && closest.Count < count; i++)
            {
                if (except.IsNone || _found[i].Id != except)
                {
                    closest.Add(_found[i]);
                }
            }
        }
    }

    /// <summary>A lookup went to a bucket: it needs no refresh for a while.</summary>
    public void Touch(KadKey target, DateTimeOffset now)
    {
        int index = Math.Min(self.CommonPrefix(target), KadKey.Bits - 1);
        (_buckets[index] ??= new Bucket()).Refreshed = now;
    }

    /// <summary>Whether nothing was looked for in a bucket since a moment.</summary>
    public bool IsStale(int index, DateTimeOffset since) => (_buckets[index]?.Refreshed ?? DateTimeOffset.MinValue) < since;

    private bool TryAdd(Entry entry)
    {
        if (entry.Group != IpGroup.None)
        {
            int all = _groups.GetValueOrDefault(entry.Group);
            if (all >= MaxPerGroup || entry.Bucket.Entries.Count(other => other.Group == entry.Group) >= MaxPerGroupInBucket)
            {
                return false;
            }

            _groups[entry.Group] = all + 1;
        }

        entry.Bucket.Entries.Add(entry);
        _entries.Add(entry.Peer.Key, entry);
        return true;
    }

    private sealed class Bucket
    {
        public List<Entry> Entries { get; } = [];

        public List<Entry> Reserve { get; } = [];

        public DateTimeOffset Refreshed { get; set; } = DateTimeOffset.MinValue;
    }

    private sealed class Entry(KadPeer peer, Bucket bucket, ulong group, DateTimeOffset now)
    {
        public KadKey Key { get; } = peer.Key;

        public KadPeer Peer { get; set; } = peer;

        public Bucket Bucket { get; } = bucket;

        public ulong Group { get; } = group;

        public DateTimeOffset FirstSeen { get; } = now;

        public DateTimeOffset LastSeen { get; set; } = now;

        public bool IsDoubted { get; set; }
    }
}
