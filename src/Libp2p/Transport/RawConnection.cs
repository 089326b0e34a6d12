using Leither.Ipfs.Multiformats;

namespace Leither.Libp2p.Transport;

/// <summary>
/// A connection before anything is spoken on it: a TCP socket, or memory in tests. One receiver and one sender at a time. Disposing ends both
/// directions at once and fails what is under way.
/// </summary>
public abstract class RawConnection : IDisposable
{
    /// <summary>This end.</summary>
    public abstract Multiaddr LocalAddress { get; }

    /// <summary>The other end.</summary>
    public abstract Multiaddr RemoteAddress { get; }

    /// <summary>Receives some bytes; 0 when the other side has ended. Into no room at all: waits until there is something to receive.</summary>
    public abstract ValueTask<int> ReceiveAsync(Memory<byte> destination, CancellationToken cancellationToken = default);

    /// <summary>Sends all of the bytes.</summary>
    public abstract ValueTask SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken = default);

    /// <summary>
    /// Ends both directions and wakes whoever receives or sends, who then disposes of it. Meant for ends that are no failure: where it can be done, a receiver
    /// meets the end of its input and no exception.
    /// </summary>
    public virtual void End() => Dispose();

    /// <inheritdoc/>
    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Ends both directions.</summary>
    protected abstract void Dispose(bool disposing);
}
