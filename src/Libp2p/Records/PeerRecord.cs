using System.Diagnostics.CodeAnalysis;
using Google.Protobuf;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;

namespace Leither.Libp2p.Records;

/// <summary>
/// Where a peer says that it can be reached, signed by it, so that others may pass it on. A higher sequence replaces a lower one.
/// https://github.com/libp2p/specs/blob/master/RFC/0003-routing-records.md
/// </summary>
public sealed record PeerRecord(PeerId Peer, ulong Sequence, IReadOnlyList<Multiaddr> Addresses)
{
    /// <summary>What a peer record is signed as.</summary>
    public const string Domain = "libp2p-peer-record";

    /// <summary>How many addresses are taken of a record.</summary>
    public const int MaxAddresses = 64;

    /// <summary>The payload type of a peer record in an envelope.</summary>
    public static ReadOnlySpan<byte> PayloadType => [0x03, 0x01];

    /// <summary>Signs the record and gives the envelope's bytes.</summary>
    public byte[] Seal(PrivateKey key)
    {
        var message = new Messages.PeerRecord { PeerId = ByteString.CopyFrom(Peer.ToArray()), Seq = Sequence };
        message.Addresses.Add(Addresses.Select(address => new Messages.PeerRecord.Types.AddressInfo { Multiaddr = ByteString.CopyFrom(address.Bytes) }));
        return SignedEnvelope.Seal(key, Domain, PayloadType, message.ToByteArray());
    }

    /// <summary>Reads a record out of its envelope; false if the envelope is not right, or not signed by the peer that it is about. Addresses of unknown kinds are left out.</summary>
    public static bool TryOpen(ReadOnlySpan<byte> envelopeBytes, [NotNullWhen(true)] out PeerRecord? record) => TryOpen(envelopeBytes, null, out record);

    /// <summary>
    /// The same for a record that a peer says of itself, over a connection on which it has proven this key. That proves as much as its signature would,
    /// so one that it made is not verified again: this is for our own use, and nobody else could be shown the record.
    /// </summary>
    internal static bool TryOpenFrom(PeerKey proven, ReadOnlySpan<byte> envelopeBytes, [NotNullWhen(true)] out PeerRecord? record) => TryOpen(envelopeBytes, proven, out record);

    private static bool TryOpen(ReadOnlySpan<byte> envelopeBytes, PeerKey? proven, [NotNullWhen(true)] out PeerRecord? record)
    {
        record = null;
        if (!SignedEnvelope.TryOpen(envelopeBytes, Domain, proven, out SignedEnvelope? envelope) || !envelope.PayloadType.SequenceEqual(PayloadType))
        {
            return false;
        }

        Messages.PeerRecord message;
        try
        {
            message = Messages.PeerRecord.Parser.WithDiscardUnknownFields(true).ParseFrom(envelope.Payload);
        }
        catch (InvalidProtocolBufferException)
        {
            return false;
        }

        if (!PeerId.TryRead(message.PeerId.Span, out PeerId peer) || peer != envelope.Key.PeerId)
        {
            return false;
        }

        var addresses = new List<Multiaddr>();
        foreach (Messages.PeerRecord.Types.AddressInfo info in message.Addresses)
        {
            if (addresses.Count < MaxAddresses && Multiaddr.TryRead(info.Multiaddr.Span, out Multiaddr? address))
            {
                addresses.Add(address);
            }
        }

        record = new PeerRecord(peer, message.Seq, addresses);
        return true;
    }
}
