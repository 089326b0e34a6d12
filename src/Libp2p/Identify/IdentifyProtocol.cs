// Peers tell each other who they are once a connection stands (identify), and again when that changes (identify push): the same message, read by whoever opened
// the stream, or by the other side. https://github.com/libp2p/specs/blob/master/identify/README.md
//
// A large message is sent in two, since older readers take 2 KiB or 4 KiB: what matters most first, the signed record behind it. Messages are merged
// as protobufs are, up to the end of the stream.

using Google.Protobuf;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p.Peers;
using Leither.Libp2p.Records;

namespace Leither.Libp2p.Identify;

/// <summary>Identify and identify push.</summary>
internal static class IdentifyProtocol
{
    public const string Id = "/ipfs/id/1.0.0";
    public const string PushId = "/ipfs/id/push/1.0.0";

    /// <summary>The most bytes of a message, as go-libp2p has it.</summary>
    public const int MaxMessageLength = 8 * 1024;

    /// <summary>How many messages are merged.</summary>
    public const int MaxMessages = 10;

    private const int MaxFirstLength = 2 * 1024;
    private const int MaxTextLength = 256;

    /// <summary>Says who we are, and ends our direction.</summary>
    public static async Task SendAsync(PeerStream stream, Host host, CancellationToken cancellationToken)
    {
        Messages.Identify message = Describe(host, stream.Connection!);
        if (message.CalculateSize() > MaxFirstLength)
        {
            ByteString record = message.SignedPeerRecord;
            message.ClearSignedPeerRecord();
            await LengthPrefixed.WriteAsync(stream, message.ToByteArray(), cancellationToken).ConfigureAwait(false);
            message = new Messages.Identify { SignedPeerRecord = record };
        }

        await LengthPrefixed.WriteAsync(stream, message.ToByteArray(), cancellationToken).ConfigureAwait(false);
        // Not in one frame: js-libp2p drops what comes together with a stream's end while it still reads which protocol was agreed upon.
        stream.CompleteWrites();
    }

    /// <summary>Reads what the other side says of itself, and notes it.</summary>
    public static async Task<PeerIdentity> ReceiveAsync(PeerStream stream, Host host, CancellationToken cancellationToken)
    {
        var message = new Messages.Identify();
        for (int i = 0; i < MaxMessages; i++)
        {
            byte[]? bytes = await LengthPrefixed.ReadAsync(stream, MaxMessageLength, cancellationToken).ConfigureAwait(false);
            if (bytes == null)
            {
                break;
            }

            try
            {
                message.MergeFrom(bytes);
            }
            catch (InvalidProtocolBufferException e)
            {
                throw new Libp2pException(Libp2pError.ProtocolViolation, "Identify: a message that is none.", e);
            }
        }

        PeerConnection connection = stream.Connection!;
        if (message.HasPublicKey && !message.PublicKey.Span.SequenceEqual(connection.Key.Protobuf))
        {
            throw Libp2pException.Violation("Identify: another key than the connection's.");
        }

        return Note(message, connection, host);
    }

    private static PeerIdentity Note(Messages.Identify message, PeerConnection connection, Host host)
    {
        PeerRecord? record = PeerRecord.TryOpenFrom(connection.Key, message.SignedPeerRecord.Span, out PeerRecord? opened) && opened.Peer == connection.Peer ? opened : null;
        var identity = new PeerIdentity
        {
            Agent = Shorten(message.AgentVersion),
            ProtocolVersion = Shorten(message.ProtocolVersion),
            Addresses = [.. Addresses(message.ListenAddrs)],
            Protocols = [.. message.Protocols.Where(protocol => protocol.Length is > 0 and <= MaxTextLength).Distinct().Take(PeerStore.MaxProtocols)],
            ObservedAddress = Multiaddr.TryRead(message.ObservedAddr.Span, out Multiaddr? observed) ? observed : null,
            Record = record,
        };
        host.Peers.SetIdentity(connection.Key, identity.Agent);
        host.Peers.SetProtocols(connection.Peer, identity.Protocols);
        if (record == null || !host.Peers.TryAddRecord(record, PeerStore.RecentlyConnectedTtl))
        {
            host.Peers.AddAddresses(connection.Peer, identity.Addresses, PeerStore.RecentlyConnectedTtl);
        }

        return identity;
    }

    private static IEnumerable<Multiaddr> Addresses(IEnumerable<ByteString> all)
    {
        foreach (ByteString bytes in all.Take(PeerRecord.MaxAddresses))
        {
            if (Multiaddr.TryRead(bytes.Span, out Multiaddr? address))
            {
                yield return address;
            }
        }
    }

    private static string Shorten(string text) => text.Length <= MaxTextLength ? text : text[..MaxTextLength];

    private static Messages.Identify Describe(Host host, PeerConnection connection)
    {
        IReadOnlyList<Multiaddr> addresses = host.Addresses;
        var message = new Messages.Identify
        {
            AgentVersion = host.Options.Agent,
            ProtocolVersion = host.Options.ProtocolVersion,
            PublicKey = ByteString.CopyFrom(host.Identity.PublicKey.Protobuf),
            ObservedAddr = ByteString.CopyFrom(connection.RemoteAddress.Bytes),
            SignedPeerRecord = ByteString.CopyFrom(host.SignedRecord()),
        };
        message.ListenAddrs.Add(addresses.Select(address => ByteString.CopyFrom(address.Bytes)));
        message.Protocols.Add(host.Protocols);
        return message;
    }
}
