// Who says that it has what: records that this node keeps for others, each a key, a peer and an end. Anybody may send any number of them, so:
//
//  - A peer speaks for itself alone, and for so many keys.
//  - A key has so many providers. When it is full, the owner of addresses (see IpGroup) that has most of them gives one up for somebody who has fewer: a crowd
//    from one network displaces itself.
//  - All together are so many. Beyond that the keys go that are farthest from us, which others are nearer to and hold as well.

using System.Buffers.Binary;
using System.Net;
using Leither.Ipfs;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;

namespace Leither.Libp2p.KadDht;

/// <summary>The provider records that are kept for others.</summary>
internal sealed class ProviderStore
{
    private const byte NameTag = (byte)'p';

    private readonly KadKey _self;
    private readonly KadOptions _options;
    private readonly IKadStore? _store;
    private readonly Dictionary<KadKey, Holders> _keys = [];
    private readonly SortedSet<KadKey> _byDistance = [];
    private readonly Dictionary<PeerId, int> _perPeer = [];

    public ProviderStore(KadKey self, KadOptions options, IKadStore? store)
    {
        _self = self;
        _options = options;
        _store = store;
    }

    /// <summary>How many records there are.</summary>
    public int Count { get; private set; }

    /// <summary>How many keys they are for.</summary>
    public int Keys => _keys.Count;

    /// <summary>Notes that a peer provides a key; false if there is no room for that.</summary>
    public bool Add(ReadOnlySpan<byte> key, KadPeer peer, IPAddress? address, DateTimeOffset now) =>
        Add(key.ToArray(), peer, IpGroup.Of(address), now + _options.ProviderLifetime, isNew: true);

    /// <summary>Who provides a key, those who said so last first.</summary>
    public List<KadPeer> Get(ReadOnlySpan<byte> key, int max, DateTimeOffset now)
    {
        var found = new List<KadPeer>();
        if (_keys.TryGetValue(KadKey.Of(key), out Holders? holders))
        {
            for (int i = holders.Records.Count - 1; i >= 0 && found.Count < max; i--)
            {
                if (holders.Records[i].Expires > now)
                {
                    found.Add(holders.Records[i].Peer);
                }
            }
        }

        return found;
    }

    /// <summary>Drops what has ended.</summary>
    public void Expire(DateTimeOffset now)
    {
        foreach ((KadKey at, Holders holders) in _keys.ToArray())
        {
            for (int i = holders.Records.Count - 1; i >= 0; i--)
            {
                if (holders.Records[i].Expires <= now)
                {
                    RemoveAt(at, holders, i);
                }
            }
        }
    }

    /// <summary>Reads back a record that was kept; false where it is none, has ended or finds no room.</summary>
    public bool Load(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, DateTimeOffset now)
    {
        if (name.Length < 3 || name[0] != NameTag || name.Length < 2 + name[1] || !PeerId.TryRead(name[(2 + name[1])..], out PeerId peer) || value.Length < 16)
        {
            return false;
        }

        long expires = BinaryPrimitives.ReadInt64LittleEndian(value);
        ulong group = BinaryPrimitives.ReadUInt64LittleEndian(value[8..]);
        var addresses = new List<Multiaddr>();
        for (ReadOnlySpan<byte> rest = value[16..]; rest.Length >= 2;)
        {
            int length = BinaryPrimitives.ReadUInt16LittleEndian(rest);
            if (length > rest.Length - 2)
            {
                break;
            }

            if (Multiaddr.TryRead(rest.Slice(2, length), out Multiaddr? address))
            {
                addresses.Add(address);
            }

            rest = rest[(2 + length)..];
        }

        // Nor does one live longer than it may, should the clock have been wrong when it came.
        return expires > now.ToUnixTimeMilliseconds() && expires <= (now + _options.ProviderLifetime).ToUnixTimeMilliseconds()
            && Add(name.Slice(2, name[1]).ToArray(), new KadPeer(peer, addresses), group, DateTimeOffset.FromUnixTimeMilliseconds(expires), isNew: false);
    }

    private bool Add(byte[] key, KadPeer peer, ulong group, DateTimeOffset expires, bool isNew)
    {
        // The length is one byte of the name under which it is kept; multihashes are shorter.
        if (key.Length is 0 or > byte.MaxValue)
        {
            return false;
        }

        var at = KadKey.Of(key);
        if (_keys.TryGetValue(at, out Holders? holders))
        {
            int known = holders.Records.FindIndex(record => record.Peer.Id == peer.Id);
            if (known >= 0)
            {
                RemoveAt(at, holders, known, forget: false);
            }
            else if (holders.Records.Count >= _options.MaxProvidersPerKey && !TryMakeRoom(at, holders, group))
            {
                return false;
            }
        }

        if (_perPeer.GetValueOrDefault(peer.Id) >= _options.MaxProvidersPerPeer || (Count >= _options.MaxProviders && !TryMakeRoom(at)))
        {
            return false;
        }

        // Making room may have taken the key itself away.
        if (!_keys.TryGetValue(at, out holders))
        {
            _keys.Add(at, holders = new Holders(key));
            _byDistance.Add(at.DistanceTo(_self));
        }

        holders.Records.Add(new ProviderRecord(peer, group, expires));
        _perPeer[peer.Id] = _perPeer.GetValueOrDefault(peer.Id) + 1;
        Count++;
        if (isNew && _store != null)
        {
            _store.Put(Name(key, peer.Id), Value(peer, group, expires));
        }

        return true;
    }

    /// <summary>Room in a key: the oldest record of whoever has most of them, if the newcomer has fewer.</summary>
    private bool TryMakeRoom(KadKey at, Holders holders, ulong group)
    {
        var counts = new Dictionary<ulong, int>();
        foreach (ProviderRecord record in holders.Records)
        {
            counts[record.Group] = counts.GetValueOrDefault(record.Group) + 1;
        }

        (ulong most, int count) = counts.MaxBy(pair => pair.Value);
        if (counts.GetValueOrDefault(group) + 1 >= count)
        {
            return false;
        }

        RemoveAt(at, holders, holders.Records.FindIndex(record => record.Group == most));
        return true;
    }

    /// <summary>Room in all: the key farthest away, if the new one is nearer.</summary>
    private bool TryMakeRoom(KadKey newcomer)
    {
        KadKey farthest = _byDistance.Max;
        if (newcomer.DistanceTo(_self).CompareTo(farthest) >= 0)
        {
            return false;
        }

        KadKey at = farthest.DistanceTo(_self);
        Holders holders = _keys[at];
        for (int i = holders.Records.Count - 1; i >= 0; i--)
        {
            RemoveAt(at, holders, i);
        }

        return true;
    }

    private void RemoveAt(KadKey at, Holders holders, int index, bool forget = true)
    {
        ProviderRecord record = holders.Records[index];
        holders.Records.RemoveAt(index);
        Count--;
        if (--_perPeer[record.Peer.Id] == 0)
        {
            _perPeer.Remove(record.Peer.Id);
        }

        if (holders.Records.Count == 0)
        {
            _keys.Remove(at);
            _byDistance.Remove(at.DistanceTo(_self));
        }

        if (forget)
        {
            _store?.Delete(Name(holders.Key, record.Peer.Id));
        }
    }

    private static byte[] Name(byte[] key, PeerId peer) => [NameTag, (byte)key.Length, .. key, .. peer.ToArray()];

    private static byte[] Value(KadPeer peer, ulong group, DateTimeOffset expires)
    {
        var bytes = new List<byte>(128);
        Span<byte> head = stackalloc byte[16];
        BinaryPrimitives.WriteInt64LittleEndian(head, expires.ToUnixTimeMilliseconds());
        BinaryPrimitives.WriteUInt64LittleEndian(head[8..], group);
        bytes.AddRange(head);
        foreach (Multiaddr address in peer.Addresses)
        {
            bytes.Add((byte)address.Bytes.Length);
            bytes.Add((byte)(address.Bytes.Length >> 8));
            bytes.AddRange(address.Bytes);
        }

        return [.. bytes];
    }

    private sealed class Holders(byte[] key)
    {
        public byte[] Key { get; } = key;

        // The one heard of last stands last.
        public List<ProviderRecord> Records { get; } = [];
    }

    private sealed record ProviderRecord(KadPeer Peer, ulong Group, DateTimeOffset Expires);
}
