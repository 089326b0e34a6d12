// The receiving side of a connection with what has arrived and is not yet consumed. It belongs to the connection from its first byte on, so that nothing
// is lost when one protocol hands over to the next: what the port's sniffer read, what came behind the negotiation, a frame's first half.
//
// An idle connection holds no memory: once all is consumed and the last receive was small, the buffer goes back to the pool while waiting.

using System.Buffers;
using System.Net.Sockets;
using System.Runtime.CompilerServices;

namespace Leither.Libp2p.Transport;

/// <summary>A connection whose input is buffered. One reader at a time.</summary>
public sealed class InputBuffer : IByteChannel, IDisposable
{
    /// <summary>Room for the longest Noise frame and most of the next one.</summary>
    public const int Capacity = 128 * 1024;

    /// <summary>Less than this in one receive: nothing is flowing, and waiting costs no buffer.</summary>
    private const int TrickleLength = 4096;

    private readonly RawConnection _connection;
    private byte[]? _buffer;
    private int _start;
    private int _end;
    private bool _ended;
    private bool _trickles = true;
    private bool _disposed;
    private long _received;

    /// <summary>Buffers a connection of which some bytes have been read already.</summary>
    public InputBuffer(RawConnection connection, ReadOnlySpan<byte> alreadyRead = default)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(alreadyRead.Length, Capacity);
        _connection = connection;
        if (!alreadyRead.IsEmpty)
        {
            _buffer = ArrayPool<byte>.Shared.Rent(Capacity);
            alreadyRead.CopyTo(_buffer);
            _end = alreadyRead.Length;
        }
    }

    /// <summary>What has arrived and is not consumed.</summary>
    public Memory<byte> Buffered => _buffer.AsMemory(_start, _end - _start);

    /// <inheritdoc/>
    public bool HasInput => _end > _start;

    /// <summary>How many bytes came from the connection.</summary>
    public long ReceivedBytes => Volatile.Read(ref _received);

    /// <summary>Gives up the first bytes of what has arrived.</summary>
    public void Consume(int count)
    {
        _start += count;
        if (_start == _end)
        {
            _start = _end = 0;
        }
    }

    /// <summary>Waits until so many bytes have arrived; false if the other side ends before.</summary>
    public ValueTask<bool> FillAsync(int count, CancellationToken cancellationToken = default) =>
        _end - _start >= count ? new ValueTask<bool>(true) : ReceiveAsync(count, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
        HasInput ? new ValueTask<int>(Take(buffer)) : WaitAndTakeAsync(buffer, cancellationToken);

    /// <inheritdoc/>
    public ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) => _connection.SendAsync(buffer, cancellationToken);

    /// <summary>Gives the buffer back; the reader has stopped.</summary>
    public void Dispose()
    {
        _disposed = true;
        Release();
    }

    private int Take(Memory<byte> buffer)
    {
        int count = Math.Min(buffer.Length, _end - _start);
        _buffer.AsSpan(_start, count).CopyTo(buffer.Span);
        Consume(count);
        return count;
    }

    private async ValueTask<int> WaitAndTakeAsync(Memory<byte> buffer, CancellationToken cancellationToken) =>
        await ReceiveAsync(1, cancellationToken).ConfigureAwait(false) ? Take(buffer) : 0;

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<bool> ReceiveAsync(int count, CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        while (_end - _start < count)
        {
            if (_ended)
            {
                return false;
            }

            if (_end == _start && _trickles)
            {
                Release();
                if (!await TryWaitAsync(cancellationToken).ConfigureAwait(false))
                {
                    _ended = true;
                    return false;
                }
            }

            _buffer ??= ArrayPool<byte>.Shared.Rent(Capacity);
            if (_start > 0)
            {
                // What is left is the beginning of a frame, moved to the front so that the rest of it fits behind.
                _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
                _end -= _start;
                _start = 0;
            }

            int received = await _connection.ReceiveAsync(_buffer.AsMemory(_end, Capacity - _end), cancellationToken).ConfigureAwait(false);
            _trickles = received < TrickleLength;
            _ended = received == 0;
            _end += received;
            Volatile.Write(ref _received, _received + received);
        }

        return true;
    }

    /// <summary>
    /// Waits until something can be received. A connection that breaks while nothing is under way has ended: told here, where it is met, since on its
    /// way up an exception would be thrown again at each of the layers, for each of thousands of connections that go.
    /// </summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<bool> TryWaitAsync(CancellationToken cancellationToken)
    {
        try
        {
            await _connection.ReceiveAsync(Memory<byte>.Empty, cancellationToken).ConfigureAwait(false);
            return true;
        }
        catch (Exception e) when (e is SocketException or IOException or ObjectDisposedException)
        {
            return false;
        }
    }

    private void Release()
    {
        if (_buffer != null)
        {
            ArrayPool<byte>.Shared.Return(_buffer);
            _buffer = null;
        }

        _start = _end = 0;
    }
}
