namespace Leither.Libp2p;

/// <summary>
/// Bytes in both directions, in order: what protocols are negotiated on, whether a bare connection, a secured one or a stream in it. One reader
/// and one writer at a time.
/// </summary>
public interface IByteChannel
{
    /// <summary>Whether a read would find bytes without waiting.</summary>
    bool HasInput { get; }

    /// <summary>Reads some bytes; 0 when the other side has ended.</summary>
    ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default);

    /// <summary>Sends all of the bytes.</summary>
    ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default);
}
