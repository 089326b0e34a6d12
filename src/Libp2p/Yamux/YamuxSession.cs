// Many streams in one connection. https://github.com/libp2p/specs/blob/master/yamux/README.md
//
//   receiver   one loop: takes decrypted pieces from the channel and hands their contents to the streams. It waits for nobody: a stream always has room for
//              what its window allows, and answers are only noted down.
//   sender     runs when something is to be sent, on the thread that brings it: control frames first, then the streams that are ready, in turn, one frame
//              each, written straight into the channel's output buffer. One at a time; while it runs others only join the queue.
//   Tick       what time brings: keep-alive, streams that the other side does not end, a close that takes too long. The owner calls it about once a second.
//
// Locks: a stream's lock is never taken under the session's. The other way round it may be.

namespace Leither.Libp2p.Yamux;

/// <summary>One side of a connection's streams.</summary>
internal sealed class YamuxSession
{
    /// <summary>The protocol's id.</summary>
    public const string Id = "/yamux/1.0.0";

    /// <summary>Less room than this in an output frame is left empty: pieces of data would become too small.</summary>
    private const int MinRoom = 2048;

    /// <summary>How many round trips half a window may take to be read before the window is taken to be what limits the stream.</summary>
    private const int FastRoundTrips = 4;

    /// <summary>Round trips below this say more about scheduling than about the link.</summary>
    private static readonly TimeSpan _minRoundTrip = TimeSpan.FromMilliseconds(2);

    private readonly SecureChannel _channel;
    private readonly Action<YamuxStream> _onStream;
    private readonly TimeProvider _time;
    private readonly bool _isDialer;
    private readonly Lock _gate = new();
    private readonly Dictionary<uint, YamuxStream> _streams = [];
    private readonly Queue<YamuxStream> _ready = new();
    private readonly Queue<YamuxHeader> _answers = new();
    private readonly Queue<(YamuxStream Stream, long Deadline)> _lingering = new();
    private readonly TaskCompletionSource<Libp2pException> _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);

    // The receiver's: a header that is arriving, and the data that follows one.
    private readonly byte[] _header = new byte[YamuxHeader.Size];
    private int _headerLength;
    private uint _payloadLeft;
    private bool _payloadEnds;
    private YamuxStream? _payloadStream;

    private uint _nextId;
    private int _inbound;
    private int _unacknowledged;
    private long _refusedSince;
    private int _refused;
    private long _growth;
    private long _held;
    private bool _sending;
    private bool _receiving;
    private bool _remoteGoingAway;
    private bool _ended;
    private Libp2pException? _closing;
    private YamuxGoAway _closeCode;
    private bool _goAwaySent;
    private long _closeDeadline;
    private TaskCompletionSource<TimeSpan>? _ping;
    private uint _pingId;
    private bool _pingWanted;
    private long _pingSent;
    private TimeSpan _roundTrip;
    private long _lastReceivedBytes;
    private long _lastReceived;

    /// <summary>Takes a channel over. <paramref name="onStream"/> is told of streams that the other side opens; it is called by the receiver and may not wait.</summary>
    public YamuxSession(SecureChannel channel, bool isDialer, Action<YamuxStream> onStream, YamuxOptions? options = null, TimeProvider? time = null)
    {
        _channel = channel;
        _isDialer = isDialer;
        _onStream = onStream;
        Options = options ?? YamuxOptions.Default;
        _time = time ?? TimeProvider.System;
        // The dialer's streams have odd numbers, the listener's even ones.
        _nextId = isDialer ? 1u : 2u;
        _lastReceived = _refusedSince = _time.GetTimestamp();
    }

    /// <summary>Completes when the session has ended, with the reason.</summary>
    public Task<Libp2pException> Completion => _completion.Task;

    /// <summary>The limits.</summary>
    public YamuxOptions Options { get; }

    /// <summary>How many streams there are.</summary>
    public int StreamCount
    {
        get
        {
            lock (_gate)
            {
                return _streams.Count;
            }
        }
    }

    /// <summary>Whether it takes no new streams: it has ended, is about to, or the other side is.</summary>
    public bool IsEnding
    {
        get
        {
            lock (_gate)
            {
                return _ended || _closing != null || _remoteGoingAway;
            }
        }
    }

    /// <summary>What is held for readers, in bytes.</summary>
    public long HeldBytes => Volatile.Read(ref _held);

    /// <summary>The last round trip that was measured; zero before.</summary>
    public TimeSpan RoundTrip
    {
        get
        {
            lock (_gate)
            {
                return _roundTrip;
            }
        }
    }

    internal long Now => _time.GetTimestamp();

    /// <summary>Begins to receive.</summary>
    public void Start()
    {
        lock (_gate)
        {
            _receiving = true;
        }

        _ = ReceiveAsync();
    }

    /// <summary>Opens a stream. The other side hears of it with the first bytes that are written, or when something is read.</summary>
    /// <exception cref="Libp2pException">The connection is ending, or the other side has too many streams to answer already.</exception>
    public YamuxStream OpenStream()
    {
        lock (_gate)
        {
            if (_ended || _closing != null || _remoteGoingAway)
            {
                throw new Libp2pException(Libp2pError.ConnectionClosed, "The connection is ending; it takes no new streams.");
            }

            if (_unacknowledged >= Options.MaxUnacknowledgedStreams)
            {
                throw new Libp2pException(Libp2pError.LimitExceeded, $"{_unacknowledged} streams wait for the other side to answer.");
            }

            if (_nextId > uint.MaxValue - 2)
            {
                throw new Libp2pException(Libp2pError.LimitExceeded, "The connection has used up its stream numbers.");
            }

            var stream = new YamuxStream(this, _nextId, isInbound: false);
            _nextId += 2;
            _streams.Add(stream.Id, stream);
            _unacknowledged++;
            return stream;
        }
    }

    /// <summary>Asks whether the other side is there, and how long the way is.</summary>
    public Task<TimeSpan> PingAsync()
    {
        Task<TimeSpan> result;
        lock (_gate)
        {
            if (_ended)
            {
                return Task.FromException<TimeSpan>(new Libp2pException(Libp2pError.ConnectionClosed, "The connection has ended."));
            }

            if (_ping != null)
            {
                return _ping.Task;
            }

            _ping = new TaskCompletionSource<TimeSpan>(TaskCreationOptions.RunContinuationsAsynchronously);
            _pingWanted = true;
            result = _ping.Task;
        }

        Send();
        return result;
    }

    /// <summary>Sends what is ready to be sent and the notice that this is the end, then ends. Streams that are open fail.</summary>
    public Task CloseAsync()
    {
        Close(YamuxGoAway.Normal, new Libp2pException(Libp2pError.ConnectionClosed, "The connection was closed here."));
        return Completion;
    }

    /// <summary>Ends at once.</summary>
    public void Abort(Libp2pException reason) => End(reason);

    /// <summary>What time brings.</summary>
    public void Tick()
    {
        long now = Now;
        Libp2pException? over = null;
        bool asks = false;
        List<YamuxStream>? overdue = null;
        lock (_gate)
        {
            if (_ended)
            {
                return;
            }

            long received = _channel.ReceivedBytes;
            if (received != _lastReceivedBytes)
            {
                _lastReceivedBytes = received;
                _lastReceived = now;
            }

            TimeSpan silence = _time.GetElapsedTime(_lastReceived, now);
            if (_closing != null && now >= _closeDeadline)
            {
                over = _closing;
            }
            else if (silence >= Options.KeepAliveInterval + Options.KeepAliveTimeout)
            {
                over = new Libp2pException(Libp2pError.Timeout, $"Nothing was heard for {silence.TotalSeconds:0} s.");
            }
            else
            {
                asks = silence >= Options.KeepAliveInterval && _ping == null;
            }

            while (_lingering.TryPeek(out (YamuxStream Stream, long Deadline) oldest) && (oldest.Stream.IsForgotten || now >= oldest.Deadline))
            {
                _lingering.Dequeue();
                if (!oldest.Stream.IsForgotten)
                {
                    (overdue ??= []).Add(oldest.Stream);
                }
            }
        }

        if (over != null)
        {
            End(over);
            return;
        }

        if (asks)
        {
            // Any answer ends the silence.
            _ = PingAsync();
        }

        foreach (YamuxStream stream in overdue ?? [])
        {
            if (stream.IsLingering())
            {
                stream.Reset();
            }
        }
    }

    /// <summary>A stream has something to say.</summary>
    internal void Schedule(YamuxStream stream)
    {
        lock (_gate)
        {
            if (_ended)
            {
                return;
            }

            if (!stream.IsQueued)
            {
                stream.IsQueued = true;
                _ready.Enqueue(stream);
            }
        }

        Send();
    }

    /// <summary>A stream has ended in both directions.</summary>
    internal void Forget(YamuxStream stream)
    {
        lock (_gate)
        {
            if (!stream.IsForgotten)
            {
                stream.IsForgotten = true;
                _streams.Remove(stream.Id);
                if (!stream.IsInbound && !stream.IsAcknowledged)
                {
                    stream.IsAcknowledged = true;
                    _unacknowledged--;
                }

                _growth -= stream.WindowSize - YamuxOptions.InitialWindow;
                FreePlace(stream);
            }
        }
    }

    /// <summary>The application is done with a stream; <paramref name="lingers"/> if the other side is not.</summary>
    internal void Release(YamuxStream stream, bool lingers)
    {
        lock (_gate)
        {
            if (!stream.IsReleased)
            {
                stream.IsReleased = true;
                FreePlace(stream);
                if (lingers && !stream.IsForgotten && !_ended)
                {
                    _lingering.Enqueue((stream, Now + (long)(Options.LingerTimeout.TotalSeconds * _time.TimestampFrequency)));
                }
            }
        }
    }

    /// <summary>Whether reading half a window took so little time that the window was what kept the sender waiting.</summary>
    internal bool IsFast(long ticks)
    {
        TimeSpan roundTrip;
        bool asks;
        lock (_gate)
        {
            roundTrip = _roundTrip;
            asks = roundTrip == TimeSpan.Zero && _ping == null && !_ended;
            if (asks)
            {
                // Measured when it is first wanted; it leaves with the credit that is about to be sent.
                _ping = new TaskCompletionSource<TimeSpan>(TaskCreationOptions.RunContinuationsAsynchronously);
                _pingWanted = true;
            }
        }

        TimeSpan limit = FastRoundTrips * (roundTrip > _minRoundTrip ? roundTrip : _minRoundTrip);
        return TimeSpan.FromSeconds((double)ticks / _time.TimestampFrequency) < limit;
    }

    internal bool TryGrow(int bytes)
    {
        lock (_gate)
        {
            if (_growth + bytes > Options.MaxWindowGrowth || _ended)
            {
                return false;
            }

            _growth += bytes;
            return true;
        }
    }

    internal bool TryHold(int bytes) => Interlocked.Add(ref _held, bytes) <= Options.MaxBufferedBytes;

    internal void LetGo(int bytes) => Interlocked.Add(ref _held, -bytes);

    /// <summary>An inbound stream's place is free once it has ended and its handler is done: both, so that opening and resetting in a row makes no pile of handlers.</summary>
    private void FreePlace(YamuxStream stream)
    {
        if (stream.IsInbound && stream.IsForgotten && stream.IsReleased)
        {
            _inbound--;
        }
    }

    private async Task ReceiveAsync()
    {
        try
        {
            while (true)
            {
                ReadOnlyMemory<byte> text = await _channel.ReceiveAsync().ConfigureAwait(false);
                if (text.IsEmpty)
                {
                    End(new Libp2pException(Libp2pError.ConnectionClosed, "The other side closed the connection."));
                    break;
                }

                Process(text.Span);
            }
        }
        catch (Libp2pException e) when (e.Error is Libp2pError.ProtocolViolation or Libp2pError.LimitExceeded)
        {
            Close(YamuxGoAway.ProtocolError, e);
        }
        catch (Libp2pException e)
        {
            End(e);
        }
        catch (Exception e)
        {
            // A socket's end in any of its ways.
            End(new Libp2pException(Libp2pError.ConnectionClosed, e.Message, e));
        }

        StopReceiving();
    }

    private void StopReceiving()
    {
        bool last;
        lock (_gate)
        {
            _receiving = false;
            last = _ended && !_sending;
        }

        if (last)
        {
            Free();
        }
    }

    private void Process(ReadOnlySpan<byte> text)
    {
        while (!text.IsEmpty)
        {
            if (_payloadLeft > 0)
            {
                int count = (int)Math.Min(_payloadLeft, (uint)text.Length);
                _payloadStream?.OnData(text[..count]);
                text = text[count..];
                _payloadLeft -= (uint)count;
                if (_payloadLeft == 0)
                {
                    FinishPayload();
                }

                continue;
            }

            ReadOnlySpan<byte> header = text;
            int taken = YamuxHeader.Size;
            if (_headerLength > 0 || text.Length < YamuxHeader.Size)
            {
                // A header in pieces: frames of the channel below end where they like.
                taken = Math.Min(YamuxHeader.Size - _headerLength, text.Length);
                text[..taken].CopyTo(_header.AsSpan(_headerLength));
                _headerLength += taken;
                if (_headerLength < YamuxHeader.Size)
                {
                    return;
                }

                _headerLength = 0;
                header = _header;
            }

            text = text[taken..];
            if (!YamuxHeader.TryRead(header, out YamuxHeader frame))
            {
                throw Libp2pException.Violation("Yamux: a frame of another version.");
            }

            OnFrame(frame);
        }
    }

    private void FinishPayload()
    {
        YamuxStream? stream = _payloadStream;
        _payloadStream = null;
        if (_payloadEnds)
        {
            stream?.OnFin();
        }
    }

    private void OnFrame(YamuxHeader frame)
    {
        switch (frame.Type)
        {
            case YamuxType.Data:
            case YamuxType.WindowUpdate:
                OnStreamFrame(frame);
                break;
            case YamuxType.Ping:
                OnPing(frame);
                break;
            case YamuxType.GoAway:
                lock (_gate)
                {
                    _remoteGoingAway = true;
                }

                break;
            default:
                throw Libp2pException.Violation("Yamux: a frame of an unknown type.");
        }
    }

    private void OnStreamFrame(YamuxHeader frame)
    {
        if (frame.Stream == 0)
        {
            throw Libp2pException.Violation("Yamux: a stream without a number.");
        }

        YamuxStream? stream;
        if ((frame.Flags & YamuxFlags.Syn) != 0)
        {
            stream = Accept(frame.Stream);
        }
        else
        {
            lock (_gate)
            {
                // What is unknown was given up here while this was on its way.
                if (_streams.TryGetValue(frame.Stream, out stream) && (frame.Flags & YamuxFlags.Ack) != 0 && !stream.IsInbound && !stream.IsAcknowledged)
                {
                    stream.IsAcknowledged = true;
                    _unacknowledged--;
                }
            }
        }

        if ((frame.Flags & YamuxFlags.Rst) != 0)
        {
            stream?.Fail(new Libp2pException(Libp2pError.StreamReset, "The other side reset the stream."), tellOther: false);
            stream = null;
        }

        bool ends = (frame.Flags & YamuxFlags.Fin) != 0;
        if (frame.Type == YamuxType.WindowUpdate)
        {
            if (stream != null && !stream.TryGrant(frame.Length))
            {
                throw Libp2pException.Violation("Yamux: a window beyond 4 GiB.");
            }

            if (ends)
            {
                stream?.OnFin();
            }
        }
        else
        {
            if (frame.Length > 0 && stream != null && !stream.TryReceive(frame.Length))
            {
                throw Libp2pException.Violation("Yamux: more data than the window allows, or after the end.");
            }

            _payloadLeft = frame.Length;
            _payloadEnds = ends;
            _payloadStream = stream;
            if (frame.Length == 0)
            {
                FinishPayload();
            }
        }
    }

    private YamuxStream? Accept(uint id)
    {
        YamuxStream stream;
        bool answers = false;
        lock (_gate)
        {
            if ((id & 1) == (_isDialer ? 1u : 0u) || _streams.ContainsKey(id))
            {
                throw Libp2pException.Violation("Yamux: a stream with a number that is not its opener's, or in use.");
            }

            if (_inbound < Options.MaxInboundStreams && _closing == null && !_ended)
            {
                stream = new YamuxStream(this, id, isInbound: true);
                _streams.Add(id, stream);
                _inbound++;
            }
            else
            {
                CountRefusal();
                Answer(new YamuxHeader(YamuxType.WindowUpdate, YamuxFlags.Rst, id, 0));
                answers = true;
                stream = null!;
            }
        }

        if (answers)
        {
            Send();
            return null;
        }

        _onStream(stream);
        return stream;
    }

    private void CountRefusal()
    {
        long now = Now;
        if (_time.GetElapsedTime(_refusedSince, now) > Options.RefusalPeriod)
        {
            _refusedSince = now;
            _refused = 0;
        }

        if (++_refused > Options.MaxRefusedStreams)
        {
            throw new Libp2pException(Libp2pError.LimitExceeded, "Yamux: a flood of streams.");
        }
    }

    private void OnPing(YamuxHeader frame)
    {
        if ((frame.Flags & YamuxFlags.Syn) != 0)
        {
            lock (_gate)
            {
                Answer(new YamuxHeader(YamuxType.Ping, YamuxFlags.Ack, 0, frame.Length));
            }

            Send();
            return;
        }

        TaskCompletionSource<TimeSpan>? ping = null;
        TimeSpan roundTrip = default;
        lock (_gate)
        {
            if (_ping != null && !_pingWanted && frame.Length == _pingId)
            {
                ping = _ping;
                _ping = null;
                _pingId++;
                // At least a tick, since zero means that nothing was measured.
                _roundTrip = roundTrip = TimeSpan.FromTicks(Math.Max(1, _time.GetElapsedTime(_pingSent).Ticks));
            }
        }

        ping?.SetResult(roundTrip);
    }

    private void Answer(YamuxHeader answer)
    {
        if (_answers.Count >= Options.MaxPendingAnswers)
        {
            throw new Libp2pException(Libp2pError.LimitExceeded, "Yamux: the other side asks and does not read the answers.");
        }

        _answers.Enqueue(answer);
    }

    /// <summary>Runs the sender unless it is running.</summary>
    private void Send()
    {
        lock (_gate)
        {
            if (_sending || _ended)
            {
                return;
            }

            _sending = true;
        }

        _ = SendAsync();
    }

    private async Task SendAsync()
    {
        Libp2pException? failure = null;
        try
        {
            bool borrowed = true;
            while (true)
            {
                Fill();
                if (_channel.HasOutput)
                {
                    await _channel.FlushAsync().ConfigureAwait(false);
                    if (borrowed && HasMore())
                    {
                        // The thread is somebody's who wanted to send one thing; the rest goes on without it.
                        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
                        borrowed = false;
                    }

                    continue;
                }

                if (TryStopSending(out failure))
                {
                    break;
                }
            }
        }
        catch (Exception e)
        {
            failure = e as Libp2pException ?? new Libp2pException(Libp2pError.ConnectionClosed, e.Message, e);
        }

        if (failure != null)
        {
            End(failure);
            bool last;
            lock (_gate)
            {
                _sending = false;
                last = !_receiving;
            }

            if (last)
            {
                Free();
            }
        }
    }

    private bool HasMore()
    {
        lock (_gate)
        {
            return !_ended && (_ready.Count > 0 || _answers.Count > 0);
        }
    }

    /// <summary>Stops if there is nothing to send; <paramref name="failure"/> is set if that was the last thing to do.</summary>
    private bool TryStopSending(out Libp2pException? failure)
    {
        failure = null;
        lock (_gate)
        {
            if (_ended)
            {
                // The end was told by somebody else; this was the last user but perhaps the receiver.
                failure = _closing ?? new Libp2pException(Libp2pError.ConnectionClosed, "The connection has ended.");
                return true;
            }

            if (_ready.Count > 0 || _answers.Count > 0 || _pingWanted || (_closing != null && !_goAwaySent))
            {
                return false;
            }

            _channel.ReleaseOutput();
            if (_closing != null)
            {
                failure = _closing;
                return true;
            }

            _sending = false;
            return true;
        }
    }

    /// <summary>Writes frames until the output buffer is full or nothing is ready.</summary>
    private void Fill()
    {
        while (true)
        {
            Span<byte> room = _channel.GetSpan(MinRoom);
            if (room.IsEmpty)
            {
                return;
            }

            YamuxStream? stream = null;
            int written = 0;
            lock (_gate)
            {
                if (_ended)
                {
                    return;
                }

                if (_answers.TryDequeue(out YamuxHeader answer))
                {
                    answer.Write(room);
                    written = YamuxHeader.Size;
                }
                else if (_pingWanted)
                {
                    _pingWanted = false;
                    _pingSent = Now;
                    new YamuxHeader(YamuxType.Ping, YamuxFlags.Syn, 0, _pingId).Write(room);
                    written = YamuxHeader.Size;
                }
                else if (_ready.TryDequeue(out stream))
                {
                    stream.IsQueued = false;
                }
                else if (_closing != null && !_goAwaySent)
                {
                    _goAwaySent = true;
                    new YamuxHeader(YamuxType.GoAway, YamuxFlags.None, 0, (uint)_closeCode).Write(room);
                    written = YamuxHeader.Size;
                }
                else
                {
                    return;
                }
            }

            bool more = false;
            if (stream != null)
            {
                written = stream.WriteFrames(room, out more);
            }

            _channel.Advance(written);
            if (more)
            {
                lock (_gate)
                {
                    if (!stream!.IsQueued)
                    {
                        stream.IsQueued = true;
                        _ready.Enqueue(stream);
                    }
                }
            }
        }
    }

    /// <summary>The receiver and the sender have stopped.</summary>
    private void Free()
    {
        _channel.Connection.Dispose();
        _channel.Dispose();
    }

    private void Close(YamuxGoAway code, Libp2pException reason)
    {
        lock (_gate)
        {
            if (_closing != null || _ended)
            {
                return;
            }

            _closing = reason;
            _closeCode = code;
            _closeDeadline = Now + (long)(Options.CloseTimeout.TotalSeconds * _time.TimestampFrequency);
        }

        Send();
    }

    private void End(Libp2pException reason)
    {
        YamuxStream[] streams;
        TaskCompletionSource<TimeSpan>? ping;
        bool last;
        lock (_gate)
        {
            if (_ended)
            {
                return;
            }

            _ended = true;
            streams = [.. _streams.Values];
            ping = _ping;
            _ping = null;
            _ready.Clear();
            _answers.Clear();
            _lingering.Clear();
            last = !_receiving && !_sending;
        }

        // Wakes the receiver and the sender.
        _channel.Connection.End();
        foreach (YamuxStream stream in streams)
        {
            stream.Fail(new Libp2pException(reason.Error, reason.Message, reason), tellOther: false);
        }

        if (ping != null)
        {
            ping.SetException(reason);
            // Seen, also where nobody waits for it.
            _ = ping.Task.Exception;
        }

        if (last)
        {
            Free();
        }

        _completion.TrySetResult(reason);
    }
}
