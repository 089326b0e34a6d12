// Noise as libp2p uses it. The static key of the handshake is not the identity: it is signed by it, in the payload of the message that carries it, so that the
// identity key may be of any kind and is used once a process. Messages of the handshake stand behind their length, two bytes, highest first.
// The payloads also name multiplexers, which saves the round trips of negotiating one afterwards.
// https://github.com/libp2p/specs/blob/master/noise/README.md

using System.Buffers;
using System.Buffers.Binary;
using Google.Protobuf;
using Leither.Ipfs.Keys;
using Leither.Libp2p.Noise.Messages;
using Leither.Libp2p.Transport;

namespace Leither.Libp2p.Noise;

/// <summary>Secures connections with an identity. Safe for any number of threads.</summary>
public sealed class NoiseSecurity : IDisposable
{
    /// <summary>The protocol's id.</summary>
    public const string Id = "/noise";

    private const int LengthLength = 2;

    private readonly X25519Key _static = X25519Key.Generate();
    private readonly string[] _muxers;
    private readonly byte[] _payload;

    /// <summary>Proves this identity, and offers these multiplexers, best first.</summary>
    public NoiseSecurity(PrivateKey identity, params string[] muxers)
    {
        _muxers = muxers;
        var payload = new NoiseHandshakePayload
        {
            IdentityKey = ByteString.CopyFrom(identity.PublicKey.Protobuf),
            IdentitySig = ByteString.CopyFrom(identity.Sign(Signed(_static.PublicKey))),
            Extensions = new NoiseExtensions(),
        };
        payload.Extensions.StreamMuxers.Add(muxers);
        _payload = payload.ToByteArray();
    }

    /// <summary>Makes the handshake on a connection that this side opened, with this peer if one is named.</summary>
    public async Task<NoiseChannel> DialAsync(RawConnection connection, InputBuffer input, PeerId? expected, CancellationToken cancellationToken)
    {
        using var handshake = new NoiseHandshake(isInitiator: true, _static);
        await SendAsync(connection, handshake, [], cancellationToken).ConfigureAwait(false);
        byte[] theirs = await ReceiveAsync(input, handshake, cancellationToken).ConfigureAwait(false);
        (PeerKey key, IReadOnlyList<string> offered) = Verify(theirs, handshake, expected);
        await SendAsync(connection, handshake, _payload, cancellationToken).ConfigureAwait(false);
        return Finish(connection, input, handshake, key, _muxers.FirstOrDefault(offered.Contains));
    }

    /// <summary>Makes the handshake on a connection that the other side opened.</summary>
    public async Task<NoiseChannel> ListenAsync(RawConnection connection, InputBuffer input, CancellationToken cancellationToken)
    {
        using var handshake = new NoiseHandshake(isInitiator: false, _static);
        await ReceiveAsync(input, handshake, cancellationToken).ConfigureAwait(false);
        await SendAsync(connection, handshake, _payload, cancellationToken).ConfigureAwait(false);
        byte[] theirs = await ReceiveAsync(input, handshake, cancellationToken).ConfigureAwait(false);
        (PeerKey key, IReadOnlyList<string> offered) = Verify(theirs, handshake, expected: null);
        // Both sides take the dialer's first that the listener has.
        return Finish(connection, input, handshake, key, offered.FirstOrDefault(_muxers.Contains));
    }

    /// <summary>Overwrites the static key. No handshake is under way.</summary>
    public void Dispose() => _static.Dispose();

    private static byte[] Signed(ReadOnlySpan<byte> staticKey) => [.. "noise-libp2p-static-key:"u8, .. staticKey];

    private static NoiseChannel Finish(RawConnection connection, InputBuffer input, NoiseHandshake handshake, PeerKey key, string? muxer)
    {
        (NoiseCipher send, NoiseCipher receive) = handshake.Split();
        return new NoiseChannel(connection, input, key, muxer, send, receive);
    }

    private static (PeerKey Key, IReadOnlyList<string> Muxers) Verify(byte[] payload, NoiseHandshake handshake, PeerId? expected)
    {
        NoiseHandshakePayload message;
        try
        {
            message = NoiseHandshakePayload.Parser.WithDiscardUnknownFields(true).ParseFrom(payload);
        }
        catch (InvalidProtocolBufferException e)
        {
            throw new Libp2pException(Libp2pError.HandshakeFailed, "Noise: a payload that is no payload.", e);
        }

        if (!PeerKey.TryFromProtobuf(message.IdentityKey.Span, out PeerKey? key))
        {
            throw new Libp2pException(Libp2pError.HandshakeFailed, "Noise: the other side shows no usable identity key.");
        }

        // Before the signature: whoever is not meant need not be verified.
        if (expected is { } peer && key.PeerId != peer)
        {
            throw new Libp2pException(Libp2pError.WrongPeer, $"{key.PeerId} answered where {peer} was expected.");
        }

        if (!key.Verify(Signed(handshake.RemoteStatic), message.IdentitySig.Span))
        {
            throw new Libp2pException(Libp2pError.HandshakeFailed, $"Noise: whoever claims to be {key.PeerId} does not prove it.");
        }

        return (key, message.Extensions?.StreamMuxers ?? []);
    }

    private static async ValueTask SendAsync(RawConnection connection, NoiseHandshake handshake, byte[] payload, CancellationToken cancellationToken)
    {
        byte[] buffer = ArrayPool<byte>.Shared.Rent(LengthLength + NoiseHandshake.MaxOverhead + payload.Length);
        try
        {
            int length = handshake.WriteMessage(payload, buffer.AsSpan(LengthLength));
            BinaryPrimitives.WriteUInt16BigEndian(buffer, (ushort)length);
            await connection.SendAsync(buffer.AsMemory(0, LengthLength + length), cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private static async ValueTask<byte[]> ReceiveAsync(InputBuffer input, NoiseHandshake handshake, CancellationToken cancellationToken)
    {
        if (await input.FillAsync(LengthLength, cancellationToken).ConfigureAwait(false))
        {
            int length = BinaryPrimitives.ReadUInt16BigEndian(input.Buffered.Span);
            if (await input.FillAsync(LengthLength + length, cancellationToken).ConfigureAwait(false))
            {
                byte[] payload = new byte[length];
                int payloadLength = handshake.ReadMessage(input.Buffered.Span.Slice(LengthLength, length), payload);
                input.Consume(LengthLength + length);
                return payload[..payloadLength];
            }
        }

        throw new Libp2pException(Libp2pError.ConnectionClosed, "Noise: the connection ended within the handshake.");
    }
}
