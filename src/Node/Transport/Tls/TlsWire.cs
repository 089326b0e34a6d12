using System.Buffers;
using System.Net.Sockets;
using System.Threading.Tasks.Sources;
using Leither.Resp;

namespace Leither.Node.Transport.Tls;

/// <summary>
/// The sealed side of a TLS connection, as the stream beneath <see cref="System.Net.Security.SslStream"/>. It has three lives, one after the other:
/// <list type="number">
/// <item>the handshake: the loop feeds what it receives, a thread of the pool reads it; what is written there is taken by the loop;</item>
/// <item>in the loop: fed and read on the loop thread, whose feeding runs what waits for it before it returns; writing appends to the output buffer;</item>
/// <item>detached: it reads and writes a socket that left the loop, after what was fed before.</item>
/// </list>
/// At most one read waits at a time: that is SslStream's own rule.
/// </summary>
internal sealed class TlsWire(RespWriter sealedOutput) : Stream, IValueTaskSource<int>
{
    private readonly object _gate = new();
    private ManualResetValueTaskSourceCore<int> _waiter;
    private Memory<byte> _wanted;
    private bool _isWaiting, _isEnded, _isInLoop;
    private Exception? _broken;
    private byte[]? _fed;
    private int _fedStart, _fedEnd;
    private ArrayBufferWriter<byte>? _written;
    private byte[]? _unsent;
    private NetworkStream? _socket;

    /// <summary>Whether bytes are there that nobody has read.</summary>
    public bool HasFed
    {
        get
        {
            lock (_gate) return _fedEnd > _fedStart;
        }
    }

    public override bool CanRead => true;

    public override bool CanWrite => true;

    public override bool CanSeek => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <summary>Called by the handshake, once for what was written since <see cref="TakeWritten"/> was last called.</summary>
    public required Action Written { get; init; }

    /// <summary>The handshake is over: from now on everything happens on the loop thread.</summary>
    public void EnterLoop()
    {
        lock (_gate) _isInLoop = true;
    }

    /// <summary>What was received, for whoever reads.</summary>
    public void Feed(ReadOnlySpan<byte> received)
    {
        int given;
        lock (_gate)
        {
            given = _isWaiting ? Math.Min(received.Length, _wanted.Length) : 0;
            received[..given].CopyTo(_wanted.Span);
            Keep(received[given..]);
            if (!_isWaiting) return;
            _isWaiting = false;
            _wanted = default;
        }

        _waiter.SetResult(given);
    }

    /// <summary>Nothing more comes.</summary>
    public void End()
    {
        lock (_gate)
        {
            _isEnded = true;
            if (!_isWaiting) return;
            _isWaiting = false;
        }

        _waiter.SetResult(0);
    }

    /// <summary>The connection is given up: whoever reads or will read gets the error.</summary>
    public void Abort(Exception why)
    {
        lock (_gate)
        {
            _broken ??= why;
            if (!_isWaiting) return;
            _isWaiting = false;
        }

        _waiter.SetException(why);
    }

    /// <summary>Moves what the handshake wrote to the output buffer. On the loop thread.</summary>
    public void TakeWritten()
    {
        lock (_gate)
        {
            if (_written is null) return;
            sealedOutput.Raw(_written.WrittenSpan);
            _written = null;
        }
    }

    /// <summary>Reads and writes a socket from now on. Nobody may be reading.</summary>
    public void Detach(Socket socket)
    {
        if (sealedOutput.Length > 0)
        {
            _unsent = sealedOutput.Span.ToArray();
            sealedOutput.Release();
        }

        _socket = new NetworkStream(socket, ownsSocket: true);
    }

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        lock (_gate)
        {
            if (_fedEnd > _fedStart) return ValueTask.FromResult(TakeFed(buffer.Span));
            if (_broken is not null) return ValueTask.FromException<int>(_broken);
            if (_isEnded) return ValueTask.FromResult(0);
            if (_socket is not null) return _socket.ReadAsync(buffer, cancellationToken);
            _waiter.Reset();
            _waiter.RunContinuationsAsynchronously = !_isInLoop;
            _wanted = buffer;
            _isWaiting = true;
            return new ValueTask<int>(this, _waiter.Version);
        }
    }

    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (_socket is null)
        {
            Write(buffer.Span);
            return;
        }

        if (_unsent is { } first)
        {
            _unsent = null;
            await _socket.WriteAsync(first, cancellationToken);
        }

        await _socket.WriteAsync(buffer, cancellationToken);
    }

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        if (_isInLoop)
        {
            sealedOutput.Raw(buffer);
            return;
        }

        bool isFirst;
        lock (_gate)
        {
            isFirst = _written is null;
            _written ??= new ArrayBufferWriter<byte>(buffer.Length);
            _written.Write(buffer);
        }

        if (isFirst) Written();
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public override void Flush()
    {
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    int IValueTaskSource<int>.GetResult(short token) => _waiter.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<int>.GetStatus(short token) => _waiter.GetStatus(token);

    void IValueTaskSource<int>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _waiter.OnCompleted(continuation, state, token, flags);

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _socket?.Dispose();
            lock (_gate) ReturnFed();
        }

        base.Dispose(disposing);
    }

    private void Keep(ReadOnlySpan<byte> rest)
    {
        if (rest.IsEmpty) return;
        int have = _fedEnd - _fedStart;
        if (_fed is null || _fedEnd + rest.Length > _fed.Length)
        {
            byte[] room = ArrayPool<byte>.Shared.Rent(have + rest.Length);
            _fed.AsSpan(_fedStart, have).CopyTo(room);
            ReturnFed();
            _fed = room;
            _fedEnd = have;
        }

        rest.CopyTo(_fed.AsSpan(_fedEnd));
        _fedEnd += rest.Length;
    }

    private int TakeFed(Span<byte> buffer)
    {
        int length = Math.Min(buffer.Length, _fedEnd - _fedStart);
        _fed.AsSpan(_fedStart, length).CopyTo(buffer);
        _fedStart += length;
        if (_fedStart == _fedEnd) ReturnFed();
        return length;
    }

    private void ReturnFed()
    {
        if (_fed is not null) ArrayPool<byte>.Shared.Return(_fed);
        _fed = null;
        _fedStart = _fedEnd = 0;
    }
}
