namespace Leither.Libp2p;

/// <summary>
/// A stream within a connection to a peer: what a protocol is spoken on. Each direction ends by itself; disposing ends ours and stops reading, so
/// whoever wants the other side's answer reads to its end first. One reader and one writer at a time; asynchronous only.
/// A cancelled read loses nothing. A cancelled write of which a part has gone resets the stream.
/// </summary>
public abstract class PeerStream : Stream, IByteChannel
{
    /// <summary>The protocol that is spoken on it.</summary>
    public string Protocol { get; internal set; } = "";

    /// <summary>The connection that it belongs to; null where there is a multiplexer alone.</summary>
    public PeerConnection? Connection { get; internal set; }

    /// <inheritdoc/>
    public abstract bool HasInput { get; }

    /// <inheritdoc/>
    public override bool CanRead => true;

    /// <inheritdoc/>
    public override bool CanWrite => true;

    /// <inheritdoc/>
    public override bool CanSeek => false;

    /// <inheritdoc/>
    public override long Length => throw new NotSupportedException();

    /// <inheritdoc/>
    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    /// <summary>Ends our direction: the other side reads to here and then meets the end.</summary>
    public abstract void CompleteWrites();

    /// <summary>Gives up both directions; the other side's reads and writes fail.</summary>
    public abstract void Reset();

    /// <inheritdoc/>
    public abstract override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default);

    /// <inheritdoc/>
    public abstract override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default);

    /// <inheritdoc/>
    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    /// <inheritdoc/>
    public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    /// <summary>What was written is on its way already.</summary>
    public override void Flush()
    {
    }

    /// <inheritdoc/>
    public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>Not supported: a thread would wait for a peer.</summary>
    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException("Streams of peers are read asynchronously.");

    /// <summary>Not supported: a thread would wait for a peer.</summary>
    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException("Streams of peers are written asynchronously.");

    /// <summary>Not supported.</summary>
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    /// <summary>Not supported.</summary>
    public override void SetLength(long value) => throw new NotSupportedException();
}
