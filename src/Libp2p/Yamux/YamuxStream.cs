// One stream of a session. Two parties meet here under its lock: the application, which reads and writes, and the session, whose receiver brings data and
// whose sender comes for a frame when it is the stream's turn.
//
// Reading: data goes straight into the memory of a reader that waits, otherwise into segments of pooled memory, at most as much as the window that
// the other side was given. What was read is given back as credit once it is half a window; while that happens faster than a few round trips,
// the window is what limits the link, and it grows.
//
// Writing: the writer's memory is copied when the sender has room for a frame, and the write is complete when all of it was copied. So nothing queues
// up beyond what the writer itself holds, and streams take turns frame by frame.

using System.Buffers;
using System.Threading.Tasks.Sources;

namespace Leither.Libp2p.Yamux;

/// <summary>A stream of a <see cref="YamuxSession"/>.</summary>
internal sealed class YamuxStream : PeerStream, IValueTaskSource<int>, IValueTaskSource
{
    private const int MinSegment = 4 * 1024;
    private const int MaxSegment = 64 * 1024;

    private readonly YamuxSession _session;
    private readonly Lock _gate = new();

    // Reading.
    private readonly Queue<byte[]> _segments = new();
    private byte[] _lastSegment = [];
    private int _firstStart;
    private int _lastEnd;
    private long _unread;
    private long _receiveWindow = YamuxOptions.InitialWindow;
    private int _windowSize = YamuxOptions.InitialWindow;
    private long _consumed;
    private long _lastCredit;
    private Memory<byte> _readBuffer;
    private bool _readPending;
    private ManualResetValueTaskSourceCore<int> _readSource = new() { RunContinuationsAsynchronously = true };
    private CancellationTokenRegistration _readCancellation;

    // Writing.
    private ReadOnlyMemory<byte> _writeBuffer;
    private bool _writePending;
    private bool _writeBegun;
    private ManualResetValueTaskSourceCore<bool> _writeSource = new() { RunContinuationsAsynchronously = true };
    private CancellationTokenRegistration _writeCancellation;
    private long _sendWindow = YamuxOptions.InitialWindow;

    // What the sender is to say for this stream when its turn comes.
    private byte[] _prefix = [];
    private YamuxFlags _flags;
    private uint _credit;
    private bool _finWanted;
    private bool _resetWanted;

    private bool _localEnded;
    private bool _remoteEnded;
    private bool _disposed;
    private Libp2pException? _failure;

    internal YamuxStream(YamuxSession session, uint id, bool isInbound)
    {
        _session = session;
        Id = id;
        IsInbound = isInbound;
        // Said with the first frame.
        _flags = isInbound ? YamuxFlags.Ack : YamuxFlags.Syn;
        _lastCredit = session.Now;
    }

    /// <inheritdoc/>
    public override bool HasInput
    {
        get
        {
            lock (_gate)
            {
                return _unread > 0;
            }
        }
    }

    /// <summary>Its number in the session.</summary>
    internal uint Id { get; }

    /// <summary>Whether the other side opened it.</summary>
    internal bool IsInbound { get; }

    /// <summary>Whether it waits for its turn to send. Under the session's lock.</summary>
    internal bool IsQueued { get; set; }

    /// <summary>Whether the session no longer knows it, and whether its place among the inbound ones was given back. Under the session's lock.</summary>
    internal bool IsForgotten { get; set; }

    /// <summary>Whether the application is done with it. Under the session's lock.</summary>
    internal bool IsReleased { get; set; }

    /// <summary>Whether the other side took it. Under the session's lock.</summary>
    internal bool IsAcknowledged { get; set; }

    /// <summary>The window in bytes, as far as it has grown.</summary>
    internal int WindowSize => Volatile.Read(ref _windowSize);

    /// <inheritdoc/>
    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        int count = 0;
        bool scheduled;
        ValueTask<int> result;
        lock (_gate)
        {
            if (_readPending)
            {
                throw new InvalidOperationException("A read is under way.");
            }

            ObjectDisposedException.ThrowIf(_disposed, this);
            if (_unread > 0)
            {
                count = Take(buffer.Span);
                scheduled = Credit(count);
                result = new ValueTask<int>(count);
            }
            else if (_remoteEnded)
            {
                return new ValueTask<int>(0);
            }
            else if (_failure != null)
            {
                throw Failure();
            }
            else if (cancellationToken.IsCancellationRequested)
            {
                return ValueTask.FromCanceled<int>(cancellationToken);
            }
            else
            {
                _readPending = true;
                _readBuffer = buffer;
                _readSource.Reset();
                if (cancellationToken.CanBeCanceled)
                {
                    // Under the lock, so that nothing completes the read before there is something to take back.
                    _readCancellation = cancellationToken.UnsafeRegister(static (stream, token) => ((YamuxStream)stream!).CancelRead(token), this);
                }

                // Whoever opened it and only listens has to be heard of.
                scheduled = _flags != YamuxFlags.None || _prefix.Length > 0;
                result = new ValueTask<int>(this, _readSource.Version);
            }
        }

        if (scheduled)
        {
            _session.Schedule(this);
        }

        return result;
    }

    /// <inheritdoc/>
    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        ValueTask result;
        lock (_gate)
        {
            if (_writePending)
            {
                throw new InvalidOperationException("A write is under way.");
            }

            ObjectDisposedException.ThrowIf(_disposed, this);
            if (_failure != null)
            {
                throw Failure();
            }

            if (_finWanted || _localEnded)
            {
                throw new InvalidOperationException("This direction was ended.");
            }

            if (cancellationToken.IsCancellationRequested)
            {
                return ValueTask.FromCanceled(cancellationToken);
            }

            if (buffer.IsEmpty)
            {
                return default;
            }

            _writePending = true;
            _writeBegun = false;
            _writeBuffer = buffer;
            _writeSource.Reset();
            if (cancellationToken.CanBeCanceled)
            {
                _writeCancellation = cancellationToken.UnsafeRegister(static (stream, token) => ((YamuxStream)stream!).CancelWrite(token), this);
            }

            result = new ValueTask(this, _writeSource.Version);
        }

        _session.Schedule(this);
        return result;
    }

    /// <inheritdoc/>
    public override void CompleteWrites()
    {
        lock (_gate)
        {
            if (_finWanted || _localEnded || _failure != null)
            {
                return;
            }

            _finWanted = true;
        }

        _session.Schedule(this);
    }

    /// <inheritdoc/>
    public override void Reset() => Fail(new Libp2pException(Libp2pError.StreamReset, "The stream was reset here."), tellOther: true);

    /// <summary>Bytes, less than a kilobyte and a half, that go before all others, with the first of them.</summary>
    internal void Precede(byte[] prefix)
    {
        lock (_gate)
        {
            _prefix = prefix;
        }
    }

    /// <summary>Sends what goes ahead without waiting for more to go with it.</summary>
    internal void SendAhead()
    {
        lock (_gate)
        {
            if (_prefix.Length == 0)
            {
                return;
            }
        }

        _session.Schedule(this);
    }

    /// <summary>Brings bytes from the other side. Its window was charged by <see cref="TryReceive"/>.</summary>
    internal void OnData(ReadOnlySpan<byte> bytes)
    {
        bool scheduled = false;
        bool flooded = false;
        lock (_gate)
        {
            // Nobody reads it any more. It is not given back as credit either, so this ends by itself.
            if (_disposed || _failure != null)
            {
                return;
            }

            if (_readPending && !_readBuffer.IsEmpty)
            {
                int count = Math.Min(bytes.Length, _readBuffer.Length);
                bytes[..count].CopyTo(_readBuffer.Span);
                bytes = bytes[count..];
                scheduled = Credit(count);
                CompleteRead(count);
            }

            if (!bytes.IsEmpty)
            {
                flooded = !TryKeep(bytes);
                if (_readPending && !flooded)
                {
                    CompleteRead(0);
                }
            }
        }

        if (flooded)
        {
            Fail(new Libp2pException(Libp2pError.LimitExceeded, "The connection holds too much that is not read."), tellOther: true);
        }
        else if (scheduled)
        {
            _session.Schedule(this);
        }
    }

    /// <summary>Charges the window with what is announced; false if it is more than was granted.</summary>
    internal bool TryReceive(uint length)
    {
        lock (_gate)
        {
            if (length > _receiveWindow)
            {
                return false;
            }

            _receiveWindow -= length;
            return !_remoteEnded;
        }
    }

    /// <summary>The other side grants more; false if that is more than a window can be.</summary>
    internal bool TryGrant(uint length)
    {
        lock (_gate)
        {
            if (_sendWindow + length > uint.MaxValue)
            {
                return false;
            }

            _sendWindow += length;
            if (!_writePending)
            {
                return true;
            }
        }

        _session.Schedule(this);
        return true;
    }

    /// <summary>The other side's direction ended.</summary>
    internal void OnFin()
    {
        bool done;
        lock (_gate)
        {
            _remoteEnded = true;
            if (_readPending)
            {
                CompleteRead(0);
            }

            done = _localEnded;
        }

        if (done)
        {
            _session.Forget(this);
        }
    }

    /// <summary>Ends both directions: reads and writes fail with this.</summary>
    internal void Fail(Libp2pException failure, bool tellOther)
    {
        bool scheduled = false;
        lock (_gate)
        {
            if (_failure != null || (_localEnded && _remoteEnded))
            {
                return;
            }

            _failure = failure;
            _finWanted = false;
            if (tellOther)
            {
                // Given up here. What arrived before the other side gave up is still there to be read.
                DropSegments();
            }

            if (_readPending)
            {
                FailRead(failure);
            }

            if (_writePending)
            {
                FailWrite(failure);
            }

            // Of a stream that was never announced nothing needs to be said.
            if (tellOther && (_flags & YamuxFlags.Syn) == 0)
            {
                _resetWanted = scheduled = true;
            }
        }

        _session.Forget(this);
        if (scheduled)
        {
            _session.Schedule(this);
        }
    }

    /// <summary>
    /// Writes what is to be said next, at most one piece of data, and returns how many bytes that took. <paramref name="more"/>: there is more that could go at once.
    /// </summary>
    internal int WriteFrames(Span<byte> room, out bool more)
    {
        int at = 0;
        bool done = false;
        lock (_gate)
        {
            more = false;
            if (_resetWanted)
            {
                _resetWanted = false;
                new YamuxHeader(YamuxType.WindowUpdate, YamuxFlags.Rst, Id, 0).Write(room);
                return YamuxHeader.Size;
            }

            if (_failure != null)
            {
                return 0;
            }

            if (_credit > 0)
            {
                new YamuxHeader(YamuxType.WindowUpdate, TakeFlags(), Id, _credit).Write(room);
                _credit = 0;
                at = YamuxHeader.Size;
            }

            // What goes ahead is short, and goes with the first bytes if there are any yet.
            int ahead = _prefix.Length;
            int count = _writePending ? (int)Math.Min(Math.Min(_writeBuffer.Length, _sendWindow - ahead), room.Length - at - YamuxHeader.Size - ahead) : 0;
            if (count + ahead > 0)
            {
                YamuxFlags flags = TakeFlags();
                if (_finWanted && count == _writeBuffer.Length)
                {
                    flags |= YamuxFlags.Fin;
                    _finWanted = false;
                    _localEnded = true;
                }

                new YamuxHeader(YamuxType.Data, flags, Id, (uint)(ahead + count)).Write(room[at..]);
                at += YamuxHeader.Size;
                _prefix.CopyTo(room[at..]);
                at += ahead;
                _prefix = [];
                _writeBuffer.Span[..count].CopyTo(room[at..]);
                at += count;
                _sendWindow -= ahead + count;
                _writeBuffer = _writeBuffer[count..];
                _writeBegun |= count > 0;
                if (_writePending && _writeBuffer.IsEmpty)
                {
                    CompleteWrite();
                }

                more = _writePending && _sendWindow > 0;
            }

            bool finNow = _finWanted && !_writePending;
            if (_flags != YamuxFlags.None || finNow)
            {
                YamuxFlags flags = TakeFlags();
                if (finNow)
                {
                    flags |= YamuxFlags.Fin;
                    _finWanted = false;
                    _localEnded = true;
                }

                if (room.Length - at < YamuxHeader.Size)
                {
                    // Said next time.
                    _finWanted = finNow;
                    _localEnded &= !finNow;
                    _flags = flags & ~YamuxFlags.Fin;
                    more = true;
                }
                else
                {
                    new YamuxHeader(YamuxType.WindowUpdate, flags, Id, 0).Write(room[at..]);
                    at += YamuxHeader.Size;
                }
            }

            done = _localEnded && _remoteEnded;
        }

        if (done)
        {
            _session.Forget(this);
        }

        return at;
    }

    /// <summary>Whether the other side has not ended a stream that this side is done with.</summary>
    internal bool IsLingering()
    {
        lock (_gate)
        {
            return _failure == null && !_remoteEnded;
        }
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        base.Dispose(disposing);
        if (!disposing)
        {
            return;
        }

        bool resets = false;
        bool lingers = false;
        bool scheduled = false;
        lock (_gate)
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
            DropSegments();
            if (_readPending)
            {
                FailRead(new ObjectDisposedException(nameof(YamuxStream)));
            }

            if (_writePending)
            {
                resets = true;
            }
            else if (_failure == null)
            {
                // An end is answered with an end, which other implementations wait for.
                scheduled = !_localEnded;
                _finWanted = scheduled;
                lingers = !_remoteEnded;
            }
        }

        if (resets)
        {
            Reset();
        }
        else if (scheduled)
        {
            _session.Schedule(this);
        }

        _session.Release(this, lingers);
    }

    /// <inheritdoc/>
    int IValueTaskSource<int>.GetResult(short token)
    {
        // Outside of the lock: waits for a cancellation that is just running.
        _readCancellation.Dispose();
        return _readSource.GetResult(token);
    }

    /// <inheritdoc/>
    ValueTaskSourceStatus IValueTaskSource<int>.GetStatus(short token) => _readSource.GetStatus(token);

    /// <inheritdoc/>
    void IValueTaskSource<int>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _readSource.OnCompleted(continuation, state, token, flags);

    /// <inheritdoc/>
    void IValueTaskSource.GetResult(short token)
    {
        _writeCancellation.Dispose();
        _writeSource.GetResult(token);
    }

    /// <inheritdoc/>
    ValueTaskSourceStatus IValueTaskSource.GetStatus(short token) => _writeSource.GetStatus(token);

    /// <inheritdoc/>
    void IValueTaskSource.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _writeSource.OnCompleted(continuation, state, token, flags);

    private Libp2pException Failure() => new(_failure!.Error, _failure.Message, _failure);

    private YamuxFlags TakeFlags()
    {
        YamuxFlags flags = _flags;
        _flags = YamuxFlags.None;
        return flags;
    }

    private void CompleteRead(int count)
    {
        _readPending = false;
        _readBuffer = default;
        _readSource.SetResult(count);
    }

    private void FailRead(Exception failure)
    {
        _readPending = false;
        _readBuffer = default;
        _readSource.SetException(failure);
    }

    private void CompleteWrite()
    {
        _writePending = false;
        _writeBuffer = default;
        _writeSource.SetResult(true);
    }

    private void FailWrite(Exception failure)
    {
        _writePending = false;
        _writeBuffer = default;
        _writeSource.SetException(failure);
    }

    private void CancelRead(CancellationToken token)
    {
        lock (_gate)
        {
            if (_readPending)
            {
                FailRead(new OperationCanceledException(token));
            }
        }
    }

    private void CancelWrite(CancellationToken token)
    {
        bool torn;
        lock (_gate)
        {
            if (!_writePending)
            {
                return;
            }

            torn = _writeBegun;
            FailWrite(new OperationCanceledException(token));
        }

        // Half a message was sent: whatever followed would be read as its rest.
        if (torn)
        {
            Reset();
        }
    }

    /// <summary>Notes what was read; true if credit is to be sent.</summary>
    private bool Credit(int count)
    {
        _consumed += count;
        if (_consumed < _windowSize / 2 || _remoteEnded || _failure != null)
        {
            return false;
        }

        long now = _session.Now;
        if (_windowSize < _session.Options.MaxWindow && _session.IsFast(now - _lastCredit))
        {
            int grown = (int)Math.Min(2L * _windowSize, _session.Options.MaxWindow);
            if (_session.TryGrow(grown - _windowSize))
            {
                _consumed += grown - _windowSize;
                _windowSize = grown;
            }
        }

        _lastCredit = now;
        _credit += (uint)_consumed;
        _receiveWindow += _consumed;
        _consumed = 0;
        return true;
    }

    private bool TryKeep(ReadOnlySpan<byte> bytes)
    {
        _unread += bytes.Length;
        while (!bytes.IsEmpty)
        {
            int room = _lastSegment.Length - _lastEnd;
            if (room == 0)
            {
                _lastSegment = ArrayPool<byte>.Shared.Rent(Math.Clamp(bytes.Length, MinSegment, MaxSegment));
                _lastEnd = 0;
                if (_segments.Count == 0)
                {
                    _firstStart = 0;
                }

                _segments.Enqueue(_lastSegment);
                if (!_session.TryHold(_lastSegment.Length))
                {
                    return false;
                }

                continue;
            }

            int count = Math.Min(room, bytes.Length);
            bytes[..count].CopyTo(_lastSegment.AsSpan(_lastEnd));
            _lastEnd += count;
            bytes = bytes[count..];
        }

        return true;
    }

    private int Take(Span<byte> destination)
    {
        int taken = 0;
        while (!destination.IsEmpty && _unread > 0)
        {
            byte[] first = _segments.Peek();
            int end = ReferenceEquals(first, _lastSegment) ? _lastEnd : first.Length;
            int count = Math.Min(end - _firstStart, destination.Length);
            first.AsSpan(_firstStart, count).CopyTo(destination);
            destination = destination[count..];
            _firstStart += count;
            _unread -= count;
            taken += count;
            if (_firstStart == end)
            {
                DropFirst();
            }
        }

        return taken;
    }

    private void DropFirst()
    {
        byte[] first = _segments.Dequeue();
        if (ReferenceEquals(first, _lastSegment))
        {
            _lastSegment = [];
            _lastEnd = 0;
        }

        _firstStart = 0;
        _session.LetGo(first.Length);
        ArrayPool<byte>.Shared.Return(first);
    }

    private void DropSegments()
    {
        while (_segments.Count > 0)
        {
            DropFirst();
        }

        _unread = 0;
    }
}
