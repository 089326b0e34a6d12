using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using System.Runtime.CompilerServices;
using Leither.Ipfs.Multiformats;

namespace Leither.Libp2p.Transport;

/// <summary>Two connections in one process that are each other's other end. What is sent and not yet received is bounded, as in a socket.</summary>
public sealed class MemoryConnection : RawConnection
{
    private const int BufferedBytes = 256 * 1024;

    private readonly PipeReader _input;
    private readonly PipeWriter _output;
    private readonly Lock _gate = new();
    private bool _receiving;
    private bool _closed;

    private MemoryConnection(PipeReader input, PipeWriter output, Multiaddr local, Multiaddr remote)
    {
        _input = input;
        _output = output;
        LocalAddress = local;
        RemoteAddress = remote;
    }

    /// <inheritdoc/>
    public override Multiaddr LocalAddress { get; }

    /// <inheritdoc/>
    public override Multiaddr RemoteAddress { get; }

    /// <summary>Makes both ends.</summary>
    public static (MemoryConnection Dialer, MemoryConnection Listener) CreatePair()
    {
        var options = new PipeOptions(pauseWriterThreshold: BufferedBytes, resumeWriterThreshold: BufferedBytes / 2, useSynchronizationContext: false);
        var there = new Pipe(options);
        var back = new Pipe(options);
        Multiaddr dialer = Multiaddr.Of(new IPEndPoint(IPAddress.Loopback, 1));
        Multiaddr listener = Multiaddr.Of(new IPEndPoint(IPAddress.Loopback, 2));
        return (new MemoryConnection(back.Reader, there.Writer, dialer, listener), new MemoryConnection(there.Reader, back.Writer, listener, dialer));
    }

    /// <inheritdoc/>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public override async ValueTask<int> ReceiveAsync(Memory<byte> destination, CancellationToken cancellationToken = default)
    {
        lock (_gate)
        {
            if (_closed)
            {
                throw Closed();
            }

            _receiving = true;
        }

        try
        {
            ReadResult result = await _input.ReadAsync(cancellationToken).ConfigureAwait(false);
            ReadOnlySequence<byte> some = result.Buffer.Slice(0, Math.Min(result.Buffer.Length, destination.Length));
            int count = (int)some.Length;
            some.CopyTo(destination.Span);
            _input.AdvanceTo(some.End);
            return result.IsCanceled ? throw Closed() : count;
        }
        finally
        {
            lock (_gate)
            {
                _receiving = false;
                if (_closed)
                {
                    _input.Complete();
                }
            }
        }
    }

    /// <inheritdoc/>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    public override async ValueTask SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken = default)
    {
        FlushResult result;
        try
        {
            result = await _output.WriteAsync(bytes, cancellationToken).ConfigureAwait(false);
        }
        catch (InvalidOperationException e)
        {
            throw new IOException("This end is closed.", e);
        }

        if (result.IsCompleted || result.IsCanceled)
        {
            throw new IOException("The other end is closed.");
        }
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        _output.Complete();
        _output.CancelPendingFlush();
        lock (_gate)
        {
            _closed = true;
            if (_receiving)
            {
                // Completing under a receiver would take its bytes away: it is woken, and completes.
                _input.CancelPendingRead();
            }
            else
            {
                _input.Complete();
            }
        }
    }

    private static IOException Closed() => new("This end is closed.");
}
