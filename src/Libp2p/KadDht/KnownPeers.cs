using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;

namespace Leither.Libp2p.KadDht;

/// <summary>
/// Whom this node knew before it was restarted. They are hearsay until they answer, so they are not put into the table but asked. One record holds all of them:
/// { length of id, id, number of addresses, { length, address }… }…
/// </summary>
internal sealed class KnownPeers(IKadStore? store)
{
    /// <summary>How many are written down.</summary>
    public const int MaxPeers = 256;

    /// <summary>How many addresses of each.</summary>
    public const int MaxAddresses = 4;

    /// <summary>Who was not heard of for so long is not written down.</summary>
    public static readonly TimeSpan MaxSilence = TimeSpan.FromHours(24);

    private const int MaxAddressLength = 512;

    private static readonly byte[] _name = [(byte)'r'];

    private readonly Queue<KadPeer> _toAsk = new();

    /// <summary>The next to be asked, each once.</summary>
    public bool TryTake([NotNullWhen(true)] out KadPeer? peer) => _toAsk.TryDequeue(out peer);

    public void Save(IEnumerable<KadPeer> peers)
    {
        if (store == null)
        {
            return;
        }

        var bytes = new List<byte>(8 << 10);
        foreach (KadPeer peer in peers.Take(MaxPeers))
        {
            byte[] id = peer.Id.ToArray();
            Multiaddr[] addresses = [.. peer.Addresses.Where(static address => address.Bytes.Length <= MaxAddressLength).Take(MaxAddresses)];
            bytes.Add((byte)id.Length);
            bytes.AddRange(id);
            bytes.Add((byte)addresses.Length);
            foreach (Multiaddr address in addresses)
            {
                bytes.Add((byte)address.Bytes.Length);
                bytes.Add((byte)(address.Bytes.Length >> 8));
                bytes.AddRange(address.Bytes);
            }
        }

        // Who is alone at the moment goes on remembering whom it knew when it was not.
        if (bytes.Count > 0)
        {
            store.Put(_name, System.Runtime.InteropServices.CollectionsMarshal.AsSpan(bytes));
        }
    }

    /// <summary>Reads back what was kept; false where it is something else. What cannot be read of it ends it.</summary>
    public bool Load(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value)
    {
        if (!name.SequenceEqual(_name))
        {
            return false;
        }

        while (value.Length > 0 && _toAsk.Count < MaxPeers && TryCut(ref value, value[0], 1, out ReadOnlySpan<byte> bytes) && PeerId.TryRead(bytes, out PeerId id) && value.Length > 0)
        {
            int count = value[0];
            value = value[1..];
            var addresses = new List<Multiaddr>();
            while (count-- > 0 && value.Length >= 2 && TryCut(ref value, BinaryPrimitives.ReadUInt16LittleEndian(value), 2, out ReadOnlySpan<byte> written))
            {
                if (Multiaddr.TryRead(written, out Multiaddr? address) && addresses.Count < MaxAddresses)
                {
                    addresses.Add(address);
                }
            }

            if (addresses.Count > 0)
            {
                _toAsk.Enqueue(new KadPeer(id, addresses));
            }
        }

        return true;
    }

    private static bool TryCut(ref ReadOnlySpan<byte> bytes, int length, int head, out ReadOnlySpan<byte> cut)
    {
        cut = default;
        if (length > bytes.Length - head)
        {
            return false;
        }

        cut = bytes.Slice(head, length);
        bytes = bytes[(head + length)..];
        return true;
    }
}
