using Leither.Ipfs.Keys;
using Leither.Libp2p.Transport;

namespace Leither.Libp2p;

/// <summary>
/// A connection whose other side is known and which nobody else can read. It receives pieces of plain text where they were decrypted, and is sent
/// to by writing into its output buffer, where they are encrypted: no copies beyond that. One receiver and one sender at a time.
/// </summary>
public abstract class SecureChannel : IByteChannel, IDisposable
{
    /// <summary>Names what both sides proved and agreed upon.</summary>
    protected SecureChannel(RawConnection connection, PeerKey remoteKey, string? muxer)
    {
        Connection = connection;
        RemoteKey = remoteKey;
        Muxer = muxer;
    }

    /// <summary>What it stands on.</summary>
    public RawConnection Connection { get; }

    /// <summary>Who the other side is.</summary>
    public PeerKey RemoteKey { get; }

    /// <summary>The multiplexer that was agreed upon in the handshake; null if that is still to be negotiated.</summary>
    public string? Muxer { get; }

    /// <inheritdoc/>
    public abstract bool HasInput { get; }

    /// <summary>How many bytes came from the other side, encrypted.</summary>
    public abstract long ReceivedBytes { get; }

    /// <summary>Receives the next piece, which is valid until the next call; empty when the other side has ended.</summary>
    public abstract ValueTask<ReadOnlyMemory<byte>> ReceiveAsync(CancellationToken cancellationToken = default);

    /// <summary>Room for at least so many bytes in the frame that is being written, beginning another if needed; empty if the buffer is full and has to be flushed.</summary>
    public abstract Span<byte> GetSpan(int minLength);

    /// <summary>So many bytes of the room were written.</summary>
    public abstract void Advance(int count);

    /// <summary>Whether something was written and not flushed.</summary>
    public abstract bool HasOutput { get; }

    /// <summary>Encrypts and sends what was written.</summary>
    public abstract ValueTask FlushAsync(CancellationToken cancellationToken = default);

    /// <summary>Gives the empty output buffer back: nothing is to be sent for now.</summary>
    public abstract void ReleaseOutput();

    /// <inheritdoc/>
    public abstract ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default);

    /// <inheritdoc/>
    public async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        while (!buffer.IsEmpty)
        {
            int count = Write(buffer.Span);
            buffer = buffer[count..];
            await FlushAsync(cancellationToken).ConfigureAwait(false);
        }

        int Write(ReadOnlySpan<byte> bytes)
        {
            Span<byte> room = GetSpan(1);
            int count = Math.Min(room.Length, bytes.Length);
            bytes[..count].CopyTo(room);
            Advance(count);
            return count;
        }
    }

    /// <summary>Gives back what the receiver holds. The receiver and the sender have stopped.</summary>
    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Gives back what is held.</summary>
    protected abstract void Dispose(bool disposing);
}
