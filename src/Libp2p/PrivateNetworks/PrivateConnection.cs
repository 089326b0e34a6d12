// A connection of a private network: each side sends 24 random bytes, and all that follows is combined with the key stream that they and the swarm key give.
// Who has another key reads noise, and comes no further than the first message of what is spoken inside, which has its own encryption and
// its own authentication. https://github.com/libp2p/specs/blob/master/pnet/Private-Networks-PSK-V1.md

using System.Buffers;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p.Transport;

namespace Leither.Libp2p.PrivateNetworks;

/// <summary>A connection within a private network. Takes the connection beneath over.</summary>
internal sealed class PrivateConnection : RawConnection
{
    private const int MaxPieceLength = 64 * 1024;

    private readonly RawConnection _inner;
    private readonly XSalsa20 _send;
    private readonly XSalsa20 _receive;

    // What came behind the other side's nonce.
    private ReadOnlyMemory<byte> _ahead;

    private PrivateConnection(RawConnection inner, XSalsa20 send, XSalsa20 receive, ReadOnlyMemory<byte> ahead)
    {
        _inner = inner;
        _send = send;
        _receive = receive;
        _ahead = ahead;
    }

    public override Multiaddr LocalAddress => _inner.LocalAddress;

    public override Multiaddr RemoteAddress => _inner.RemoteAddress;

    /// <summary>Exchanges nonces on a connection of which some bytes may have been read. Where it fails, the connection stays the caller's.</summary>
    public static async Task<PrivateConnection> EstablishAsync(RawConnection inner, SwarmKey key, ReadOnlyMemory<byte> alreadyRead, CancellationToken cancellationToken)
    {
        // At once: the other side may wait for ours before it says anything.
        byte[] ours = RandomNumberGenerator.GetBytes(XSalsa20.NonceLength);
        await inner.SendAsync(ours, cancellationToken).ConfigureAwait(false);
        byte[] theirs = new byte[XSalsa20.NonceLength];
        int have = Math.Min(theirs.Length, alreadyRead.Length);
        alreadyRead[..have].CopyTo(theirs);
        while (have < theirs.Length)
        {
            int received = await inner.ReceiveAsync(theirs.AsMemory(have), cancellationToken).ConfigureAwait(false);
            have += received > 0 ? received : throw new Libp2pException(Libp2pError.ConnectionClosed, "The connection ended within the nonce of a private network.");
        }

        if (ours.AsSpan().SequenceEqual(theirs))
        {
            // Both directions would have one key stream, which gives away what they say.
            throw new Libp2pException(Libp2pError.HandshakeFailed, "The other side sent our nonce back.");
        }

        return new PrivateConnection(inner, new XSalsa20(key.Secret, ours), new XSalsa20(key.Secret, theirs), alreadyRead[Math.Min(alreadyRead.Length, theirs.Length)..].ToArray());
    }

    public override ValueTask<int> ReceiveAsync(Memory<byte> destination, CancellationToken cancellationToken = default)
    {
        if (_ahead.IsEmpty)
        {
            return ReceiveMoreAsync(destination, cancellationToken);
        }

        int count = Math.Min(_ahead.Length, destination.Length);
        _receive.Transform(_ahead.Span[..count], destination.Span);
        _ahead = _ahead[count..];
        return new ValueTask<int>(count);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    public override async ValueTask SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken = default)
    {
        byte[] buffer = ArrayPool<byte>.Shared.Rent(Math.Min(bytes.Length, MaxPieceLength));
        try
        {
            while (!bytes.IsEmpty)
            {
                int count = Math.Min(bytes.Length, MaxPieceLength);
                _send.Transform(bytes.Span[..count], buffer);
                await _inner.SendAsync(buffer.AsMemory(0, count), cancellationToken).ConfigureAwait(false);
                bytes = bytes[count..];
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    public override void End() => _inner.End();

    protected override void Dispose(bool disposing) => _inner.Dispose();

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<int> ReceiveMoreAsync(Memory<byte> destination, CancellationToken cancellationToken)
    {
        int count = await _inner.ReceiveAsync(destination, cancellationToken).ConfigureAwait(false);
        _receive.Transform(destination.Span[..count], destination.Span);
        return count;
    }
}
