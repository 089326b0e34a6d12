using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;

namespace Leither.Libp2p.KadDht;

/// <summary>
/// The values that are kept for others: valid when they came, checked again when they are asked for, and never replaced by older ones. Bounded in bytes; beyond
/// that the farthest go.
/// </summary>
internal sealed class ValueStore(KadKey self, KadOptions options, RecordRules rules, IKadStore? store)
{
    /// <summary>The longest value: an IPNS record's limit, and enough for any public key.</summary>
    public const int MaxValueLength = 10 << 10;

    /// <summary>What an entry takes beside its key and its value, about.</summary>
    private const int EntryOverhead = 256;

    private const byte NameTag = (byte)'v';

    private readonly Dictionary<KadKey, Entry> _entries = [];
    private readonly SortedSet<KadKey> _byDistance = [];

    public int Count => _entries.Count;

    /// <summary>What is counted against the limit.</summary>
    public long Bytes { get; private set; }

    /// <summary>Keeps a value; false if it is not valid, older than what is here, or there is no room.</summary>
    public bool Put(byte[] key, byte[] value, DateTimeOffset now)
    {
        if (key.Length > KadMessage.MaxKeyLength || !rules.IsValid(key, value, now)
            || (TryGet(key, now, out byte[]? known) && rules.Compare(key, value, known) < 0) || !Keep(KadKey.Of(key), key, value, now))
        {
            return false;
        }

        if (store != null)
        {
            byte[] kept = new byte[8 + value.Length];
            BinaryPrimitives.WriteInt64LittleEndian(kept, now.ToUnixTimeMilliseconds());
            value.CopyTo(kept, 8);
            store.Put([NameTag, .. key], kept);
        }

        return true;
    }

    /// <summary>A value that is still valid.</summary>
    public bool TryGet(ReadOnlySpan<byte> key, DateTimeOffset now, [NotNullWhen(true)] out byte[]? value)
    {
        value = null;
        var at = KadKey.Of(key);
        if (!_entries.TryGetValue(at, out Entry? entry))
        {
            return false;
        }

        if (now - entry.Received >= options.ValueLifetime || !rules.IsValid(entry.Key, entry.Value, now))
        {
            Remove(at, entry);
            return false;
        }

        value = entry.Value;
        return true;
    }

    /// <summary>Drops what is too old. What ended by itself goes when it is asked for.</summary>
    public void Expire(DateTimeOffset now)
    {
        foreach ((KadKey at, Entry entry) in _entries.ToArray())
        {
            if (now - entry.Received >= options.ValueLifetime)
            {
                Remove(at, entry);
            }
        }
    }

    /// <summary>Reads back a value that was kept; false where it is none, is too old or finds no room. Whether it is still valid is seen when it is asked for.</summary>
    public bool Load(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, DateTimeOffset now)
    {
        if (name.Length is < 2 or > 1 + KadMessage.MaxKeyLength || name[0] != NameTag || value.Length is < 8 or > 8 + MaxValueLength)
        {
            return false;
        }

        long received = BinaryPrimitives.ReadInt64LittleEndian(value);
        return received > (now - options.ValueLifetime).ToUnixTimeMilliseconds() && received <= now.ToUnixTimeMilliseconds()
            && Keep(KadKey.Of(name[1..]), name[1..].ToArray(), value[8..].ToArray(), DateTimeOffset.FromUnixTimeMilliseconds(received));
    }

    private bool Keep(KadKey at, byte[] key, byte[] value, DateTimeOffset received)
    {
        if (_entries.TryGetValue(at, out Entry? old))
        {
            Remove(at, old);
        }

        long size = key.Length + value.Length + EntryOverhead;
        while (Bytes + size > options.MaxValueBytes)
        {
            if (_byDistance.Count == 0 || at.DistanceTo(self).CompareTo(_byDistance.Max) >= 0)
            {
                return false;
            }

            KadKey farthest = _byDistance.Max.DistanceTo(self);
            Remove(farthest, _entries[farthest]);
        }

        _entries.Add(at, new Entry(key, value, received));
        _byDistance.Add(at.DistanceTo(self));
        Bytes += size;
        return true;
    }

    private void Remove(KadKey at, Entry entry)
    {
        _entries.Remove(at);
        _byDistance.Remove(at.DistanceTo(self));
        Bytes -= entry.Key.Length + entry.Value.Length + EntryOverhead;
        store?.Delete([NameTag, .. entry.Key]);
    }

    private sealed record Entry(byte[] Key, byte[] Value, DateTimeOffset Received);
}
