using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;

namespace Leither.Libp2p.KadDht;

/// <summary>What this node itself provides, and when each key is to be told anew: earliest first, whatever their number.</summary>
internal sealed class OwnRecords(IKadStore? store)
{
    private const byte NameTag = (byte)'o';

    private readonly Dictionary<KadKey, (byte[] Key, DateTimeOffset Next)> _keys = [];

    // May name keys at times that no longer hold; those are passed over.
    private readonly PriorityQueue<KadKey, DateTimeOffset> _due = new();

    /// <summary>Whether a store names anything that is to be told anew.</summary>
    public static bool IsIn(IKadStore store) => store.Load().Any(static entry => entry.Key is [NameTag, _, ..]);

    public int Count => _keys.Count;

    public IEnumerable<byte[]> Keys => _keys.Values.Select(static own => own.Key);

    public bool Contains(ReadOnlySpan<byte> key) => _keys.Count > 0 && _keys.ContainsKey(KadKey.Of(key));

    public void Set(byte[] key, DateTimeOffset next)
    {
        Schedule(key, next);
        if (store != null)
        {
            Span<byte> value = stackalloc byte[8];
            BinaryPrimitives.WriteInt64LittleEndian(value, next.ToUnixTimeMilliseconds());
            store.Put([NameTag, .. key], value);
        }
    }

    public bool Remove(byte[] key)
    {
        store?.Delete([NameTag, .. key]);
        return _keys.Remove(KadKey.Of(key));
    }

    /// <summary>A key whose time has come: whoever takes it sets the next time.</summary>
    public bool TryGetDue(DateTimeOffset now, [NotNullWhen(true)] out byte[]? key)
    {
        while (_due.TryPeek(out KadKey at, out DateTimeOffset when) && when <= now)
        {
            _due.Dequeue();
            if (_keys.TryGetValue(at, out (byte[] Key, DateTimeOffset Next) own) && own.Next == when)
            {
                key = own.Key;
                return true;
            }
        }

        key = null;
        return false;
    }

    /// <summary>Reads back what was kept; false where it is something else.</summary>
    public bool Load(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, DateTimeOffset latest)
    {
        if (name.Length < 2 || name[0] != NameTag || value.Length != 8)
        {
            return false;
        }

        // A clock that went wrong once must not put it off for years.
        long next = Math.Clamp(BinaryPrimitives.ReadInt64LittleEndian(value), 0, latest.ToUnixTimeMilliseconds());
        Schedule(name[1..].ToArray(), DateTimeOffset.FromUnixTimeMilliseconds(next));
        return true;
    }

    private void Schedule(byte[] key, DateTimeOffset next)
    {
        var at = KadKey.Of(key);
        _keys[at] = (key, next);
        _due.Enqueue(at, next);
    }
}
