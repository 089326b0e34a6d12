// A payload that its maker signed, for one purpose. What is signed is the purpose (domain), the payload's type and the payload, each behind its length, so
// that a signature made for one thing never fits another. https://github.com/libp2p/specs/blob/master/RFC/0002-signed-envelopes.md

using System.Diagnostics.CodeAnalysis;
using System.Text;
using Google.Protobuf;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p.Records.Messages;

namespace Leither.Libp2p.Records;

/// <summary>A signed payload whose signature was checked.</summary>
public sealed class SignedEnvelope
{
    /// <summary>The most bytes that are read.</summary>
    public const int MaxLength = 64 * 1024;

    private readonly byte[] _payloadType;
    private readonly byte[] _payload;

    private SignedEnvelope(PeerKey key, byte[] payloadType, byte[] payload)
    {
        Key = key;
        _payloadType = payloadType;
        _payload = payload;
    }

    /// <summary>Who signed.</summary>
    public PeerKey Key { get; }

    /// <summary>What the payload is: a multicodec as a rule.</summary>
    public ReadOnlySpan<byte> PayloadType => _payloadType;

    /// <summary>What was signed.</summary>
    public ReadOnlySpan<byte> Payload => _payload;

    /// <summary>Signs a payload for a purpose and gives the envelope's bytes.</summary>
    public static byte[] Seal(PrivateKey key, string domain, ReadOnlySpan<byte> payloadType, ReadOnlySpan<byte> payload) => new Envelope
    {
        PublicKey = ByteString.CopyFrom(key.PublicKey.Protobuf),
        PayloadType = ByteString.CopyFrom(payloadType),
        Payload = ByteString.CopyFrom(payload),
        Signature = ByteString.CopyFrom(key.Sign(Signed(domain, payloadType, payload))),
    }.ToByteArray();

    /// <summary>Reads an envelope and checks its signature for a purpose; false if either is not right.</summary>
    public static bool TryOpen(ReadOnlySpan<byte> bytes, string domain, [NotNullWhen(true)] out SignedEnvelope? envelope) => TryOpen(bytes, domain, null, out envelope);

    /// <summary>The same, but what claims to be signed with a key whose owner has said it is taken without looking at the signature.</summary>
    internal static bool TryOpen(ReadOnlySpan<byte> bytes, string domain, PeerKey? proven, [NotNullWhen(true)] out SignedEnvelope? envelope)
    {
        envelope = null;
        if (bytes.Length > MaxLength)
        {
            return false;
        }

        Envelope message;
        try
        {
            message = Envelope.Parser.WithDiscardUnknownFields(true).ParseFrom(bytes);
        }
        catch (InvalidProtocolBufferException)
        {
            return false;
        }

        PeerKey? key = proven != null && message.PublicKey.Span.SequenceEqual(proven.Protobuf) ? proven : null;
        if (key != null || (PeerKey.TryFromProtobuf(message.PublicKey.Span, out key)
            && key.Verify(Signed(domain, message.PayloadType.Span, message.Payload.Span), message.Signature.Span)))
        {
            envelope = new SignedEnvelope(key, message.PayloadType.ToByteArray(), message.Payload.ToByteArray());
        }

        return envelope != null;
    }

    private static byte[] Signed(string domain, ReadOnlySpan<byte> payloadType, ReadOnlySpan<byte> payload)
    {
        byte[] purpose = Encoding.UTF8.GetBytes(domain);
        byte[] signed = new byte[3 * Varint.MaxLength + purpose.Length + payloadType.Length + payload.Length];
        int at = Write(signed, 0, purpose);
        at = Write(signed, at, payloadType);
        at = Write(signed, at, payload);
        return signed[..at];
    }

    private static int Write(byte[] signed, int at, ReadOnlySpan<byte> field)
    {
        at += Varint.Write(signed.AsSpan(at), (ulong)field.Length);
        field.CopyTo(signed.AsSpan(at));
        return at + field.Length;
    }
}
