// The DHT's one message, for requests and replies alike. https://github.com/libp2p/specs/tree/master/kad-dht#rpc-messages
//
//   Message { type = 1, key = 2, record = 3 { key = 1, value = 2, timeReceived = 5 }, closerPeers = 8, providerPeers = 9, clusterLevel = 10 }
//   Peer    { id = 1, addrs = 2 (repeated), connection = 3 }
//
// Read with limits of its own, so that a message costs memory in proportion to what is kept of it: peers, addresses and keys beyond them are passed over, since
// other programs send more than we want to know; what is no message at all is an error.

using Leither.Ipfs;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;

namespace Leither.Libp2p.KadDht;

/// <summary>What a message asks for or answers.</summary>
internal enum KadMessageType
{
    PutValue = 0,
    GetValue = 1,
    AddProvider = 2,
    GetProviders = 3,
    FindNode = 4,
    Ping = 5,
}

/// <summary>A value and its key.</summary>
internal sealed record KadRecord(byte[] Key, byte[] Value, string TimeReceived = "");

/// <summary>A message.</summary>
internal sealed record KadMessage
{
    /// <summary>The longest message that is read: what go-libp2p's hosts send at most.</summary>
    public const int MaxLength = 4 << 20;

    /// <summary>The longest request: a value with its key, or a provider with its addresses.</summary>
    public const int MaxRequestLength = 64 << 10;

    public const int MaxKeyLength = 512;
    public const int MaxCloserPeers = 64;
    public const int MaxProviders = 256;
    public const int MaxAddresses = 16;

    private const byte TypeTag = 0x08, KeyTag = 0x12, RecordTag = 0x1A, CloserTag = 0x42, ProviderTag = 0x4A, ClusterTag = 0x50;
    private const byte RecordKeyTag = 0x0A, RecordValueTag = 0x12, RecordTimeTag = 0x2A;
    private const byte PeerIdTag = 0x0A, PeerAddressTag = 0x12, PeerConnectionTag = 0x18;

    public required KadMessageType Type { get; init; }

    public byte[] Key { get; init; } = [];

    public KadRecord? Record { get; init; }

    public IReadOnlyList<KadPeer> CloserPeers { get; init; } = [];

    public IReadOnlyList<KadPeer> Providers { get; init; } = [];

    /// <summary>Reads a message.</summary>
    /// <exception cref="Libp2pException">It is none.</exception>
    public static KadMessage Read(ReadOnlySpan<byte> bytes)
    {
        var reader = new ProtobufReader(bytes, Refuse);
        ulong type = 0;
        byte[] key = [];
        KadRecord? record = null;
        List<KadPeer>? closer = null, providers = null;
        while (reader.TryReadTag(out ulong tag))
        {
            switch (tag)
            {
                case TypeTag:
                    type = reader.ReadVarint();
                    break;
                case KeyTag:
                    key = ReadKey(reader.ReadBytes());
                    break;
                case RecordTag:
                    record = ReadRecord(reader.ReadBytes());
                    break;
                case CloserTag:
                    ReadPeer(reader.ReadBytes(), closer ??= [], MaxCloserPeers);
                    break;
                case ProviderTag:
                    ReadPeer(reader.ReadBytes(), providers ??= [], MaxProviders);
                    break;
                default:
                    reader.Skip(tag);
                    break;
            }
        }

        return type > (ulong)KadMessageType.Ping ? throw Refuse($"a message of type {type}")
            : new KadMessage { Type = (KadMessageType)type, Key = key, Record = record, CloserPeers = closer ?? [], Providers = providers ?? [] };
    }

    /// <summary>The message's bytes.</summary>
    public byte[] ToArray()
    {
        var bytes = new List<byte>(64 + 160 * (CloserPeers.Count + Providers.Count));
        Protobuf.WriteNumber(bytes, TypeTag, (ulong)Type);
        // Old programs want it: everything else is "cluster level" 0.
        Protobuf.WriteNumber(bytes, ClusterTag, 0);
        if (Key.Length > 0)
        {
            Protobuf.WriteBytes(bytes, KeyTag, Key);
        }

        if (Record != null)
        {
            var record = new List<byte>(Record.Value.Length + Record.Key.Length + 64);
            Protobuf.WriteBytes(record, RecordKeyTag, Record.Key);
            Protobuf.WriteBytes(record, RecordValueTag, Record.Value);
            if (Record.TimeReceived.Length > 0)
            {
                Protobuf.WriteBytes(record, RecordTimeTag, System.Text.Encoding.ASCII.GetBytes(Record.TimeReceived));
            }

            Protobuf.WriteBytes(bytes, RecordTag, [.. record]);
        }

        WritePeers(bytes, CloserTag, CloserPeers);
        WritePeers(bytes, ProviderTag, Providers);
        return [.. bytes];
    }

    private static byte[] ReadKey(ReadOnlySpan<byte> key) => key.Length <= MaxKeyLength ? key.ToArray() : throw Refuse($"a key of {key.Length} bytes");

    private static KadRecord ReadRecord(ReadOnlySpan<byte> bytes)
    {
        var reader = new ProtobufReader(bytes, Refuse);
        byte[] key = [];
        ReadOnlySpan<byte> value = default;
        ReadOnlySpan<byte> time = default;
        while (reader.TryReadTag(out ulong tag))
        {
            switch (tag)
            {
                case RecordKeyTag:
                    key = ReadKey(reader.ReadBytes());
                    break;
                case RecordValueTag:
                    value = reader.ReadBytes();
                    break;
                case RecordTimeTag:
                    time = reader.ReadBytes();
                    break;
                default:
                    reader.Skip(tag);
                    break;
            }
        }

        return value.Length > ValueStore.MaxValueLength ? throw Refuse($"a value of {value.Length} bytes")
            : new KadRecord(key, value.ToArray(), time.Length <= 64 ? System.Text.Encoding.ASCII.GetString(time) : "");
    }

    private static void ReadPeer(ReadOnlySpan<byte> bytes, List<KadPeer> peers, int max)
    {
        if (peers.Count >= max)
        {
            return;
        }

        var reader = new ProtobufReader(bytes, Refuse);
        PeerId id = default;
        List<Multiaddr>? addresses = null;
        while (reader.TryReadTag(out ulong tag))
        {
            switch (tag)
            {
                case PeerIdTag:
                    _ = PeerId.TryRead(reader.ReadBytes(), out id);
                    break;
                case PeerAddressTag:
                    ReadOnlySpan<byte> address = reader.ReadBytes();
                    // Addresses of transports that are not known here are many, and of no use.
                    if ((addresses?.Count ?? 0) < MaxAddresses && Multiaddr.TryRead(address, out Multiaddr? read))
                    {
                        (addresses ??= []).Add(read);
                    }

                    break;
                default:
                    reader.Skip(tag);
                    break;
            }
        }

        if (!id.IsNone)
        {
            peers.Add(new KadPeer(id, addresses ?? (IReadOnlyList<Multiaddr>)[]));
        }
    }

    private static void WritePeers(List<byte> bytes, byte tag, IReadOnlyList<KadPeer> peers)
    {
        var one = new List<byte>(256);
        foreach (KadPeer peer in peers)
        {
            one.Clear();
            Protobuf.WriteBytes(one, PeerIdTag, peer.Id.ToArray());
            foreach (Multiaddr address in peer.Addresses.Take(MaxAddresses))
            {
                Protobuf.WriteBytes(one, PeerAddressTag, address.Bytes);
            }

            // Whether we are connected with it is nobody's business.
            Protobuf.WriteNumber(one, PeerConnectionTag, 0);
            Protobuf.WriteBytes(bytes, tag, System.Runtime.InteropServices.CollectionsMarshal.AsSpan(one));
        }
    }

    private static Libp2pException Refuse(string why) => Libp2pException.Violation($"DHT: {why}.");
}
