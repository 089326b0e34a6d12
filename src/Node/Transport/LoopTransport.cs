using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Leither.MmDb;
using Leither.Node.Logging;
using Leither.Node.Transport.Tls;
using Leither.Resp;

namespace Leither.Node.Transport;

/// <summary>
/// The rules of the loop, shared by all transports; what differs is only how readiness is learned and bytes are moved.
/// <para>What must stay true:</para>
/// <list type="bullet">
/// <item>the handler runs on the loop thread only, and is never called from within one of its own calls;</item>
/// <item>nothing is sent between the first byte presented in a turn and <see cref="IConnectionHandler.EndTurn"/>;</item>
/// <item>the loop thread never blocks but in <see cref="WaitForEvents"/>;</item>
/// <item>a handle is closed only outside the dispatch of events, so an event never meets a reused descriptor.</item>
/// </list>
/// </summary>
public abstract unsafe class LoopTransport : ITransport
{
    /// <summary>The shared receive buffer. Most input is received, executed and forgotten in it.</summary>
    internal const int ReceiveBufferBytes = 64 * 1024;

    /// <summary>At most so much is received into a private buffer at once, so that a bulk upload leaves turns to others.</summary>
    private const int PrivateReceiveBytes = 256 * 1024;

    /// <summary>A paused connection is read this far, to see it close; then its peer has to wait.</summary>
    private const int PausedInputBytes = 64 * 1024;

    /// <summary>How long a turn whose output must not leave waits to ask again.</summary>
    private const int HeldOutputMs = 10;

    /// <summary>One turn in so many is timed.</summary>
    private const int TimedTurns = 16;

    /// <summary>How long accepting rests after the system ran out of descriptors or memory.</summary>
    private const int AcceptRestMs = 100;

    private readonly ConcurrentQueue<Action> _posted = new();
    private byte* _receiveBuffer = (byte*)NativeMemory.AlignedAlloc(ReceiveBufferBytes, 64);
    private readonly List<Connection> _closeLater = [];
    private byte* _nestedBuffer;
    private List<Connection> _nestedSends = [];
    private List<Connection> _sends = [];
    private List<Connection> _sending = [];
    private readonly List<Connection> _resumes = [];
    private List<Connection> _unread = [], _reading = [];
    private byte* _sealedBuffer;
    private List<Connection> _closes = [];
    private List<Connection> _closing = [];
    private long _lastConnectionId;
    private long _reads, _writes, _turns, _busy, _turnStarted;
    private long _nextTickMs;
    private long _acceptAgainMs = long.MaxValue;
    private volatile bool _stopping;
    private bool _outputHeld;
    private bool _disposed;

    private protected LoopTransport(IConnectionHandler handler, NodeLog log)
    {
        Handler = handler;
        Log = log;
        NowMs = Environment.TickCount64;
    }

    /// <inheritdoc/>
    public long MaxInputBytes { get; set; } = 1L << 30;

    /// <inheritdoc/>
    public TransportCounters Counters => new(_reads, _writes, _turns, (long)(_busy * (1e6 / Stopwatch.Frequency)));

    /// <inheritdoc/>
    public long NowMs { get; private set; }

    /// <inheritdoc/>
    public abstract int BoundPort { get; }

    /// <inheritdoc/>
    public abstract IReadOnlyList<IPEndPoint> BoundEndPoints { get; }

    /// <summary>What runs on top.</summary>
    protected IConnectionHandler Handler { get; }

    /// <summary>Where trouble is told.</summary>
    protected NodeLog Log { get; }

    /// <inheritdoc/>
    public abstract void Listen(ListenOptions options);

    /// <inheritdoc/>
    public void Post(Action action)
    {
        _posted.Enqueue(action);
        Wake();
    }

    /// <inheritdoc/>
    public Func<IPAddress, bool>? MayReach { get; set; }

    /// <inheritdoc/>
    public void Connect(string host, int port, int timeoutMs, IOutboundHandler handler)
    {
        var attempt = new ConnectAttempt(this, host, port, handler);
        Task.Run(attempt.Run);
        Task.Delay(timeoutMs).ContinueWith(_ => Post(attempt.GiveUp), TaskScheduler.Default);
    }

    /// <summary>
    /// One connect. It waits in a thread of the pool, with the plain blocking call: a socket that was used asynchronously stays tied to the
    /// runtime's own event loop, and could not be taken into this one.
    /// </summary>
    private sealed class ConnectAttempt(LoopTransport transport, string host, int port, IOutboundHandler handler)
    {
        private bool _isOver;

        public void Run()
        {
            Socket socket = new(SocketType.Stream, ProtocolType.Tcp);
            try
            {
                // What was looked at is what is connected to: a name that is asked for twice may mean two things.
                IPAddress[] addresses = Dns.GetHostAddresses(host);
                if (transport.MayReach is { } mayReach)
                {
                    addresses = [.. addresses.Where(a => mayReach(a.IsIPv4MappedToIPv6 ? a.MapToIPv4() : a))];
                }

                if (addresses.Length == 0)
                {
                    socket.Dispose();
                    transport.Post(() => Fail(OutboundEnd.Unreachable, $"{host} is in none of the networks that outbound-networks names"));
                    return;
                }

                socket.Connect(addresses, port);
                socket.NoDelay = true;
                socket.Blocking = false;
                // Here, where it is no more than a connect that failed: a socket that was reset meanwhile has no other end.
                PeerNames names = new(Listener.Show((IPEndPoint)socket.RemoteEndPoint!), Listener.Show((IPEndPoint)socket.LocalEndPoint!), false, false);
                transport.Post(() => Succeed(socket, names));
            }
            catch (SocketException e)
            {
                socket.Dispose();
                OutboundEnd end = e.SocketErrorCode is SocketError.ConnectionRefused or SocketError.ConnectionReset ? OutboundEnd.Refused : OutboundEnd.Unreachable;
                transport.Post(() => Fail(end, e.Message));
            }
        }

        public void GiveUp() => Fail(OutboundEnd.Unreachable, "it took too long to connect");

        private void Fail(OutboundEnd end, string reason)
        {
            if (!_isOver)
            {
                _isOver = true;
                handler.OnClosed(end, reason);
            }
        }

        private void Succeed(Socket socket, in PeerNames names)
        {
            if (_isOver || transport._stopping)
            {
                socket.Dispose();
                return;
            }

            if (transport.Adopt(socket, names) is not { } connection)
            {
                Fail(OutboundEnd.Unreachable, "the event loop takes no more connections");
                return;
            }

            _isOver = true;
            connection.Protocol = PortProtocol.Resp;
            var outbound = new OutboundConnection(connection, handler);
            connection.Session = outbound;
            handler.OnConnected(outbound);
        }
    }

    /// <inheritdoc/>
    public void Stop()
    {
        _stopping = true;
        Wake();
    }

    /// <inheritdoc/>
    public void Run()
    {
        StartAccepting();
        while (!_stopping)
        {
            WaitForEvents(NextTimeoutMs());
            ReadQueued();
            EndTurn();
            if (++_turns % TimedTurns == 0)
            {
                _busy += (Stopwatch.GetTimestamp() - _turnStarted) * TimedTurns;
            }
        }

        CloseEverything();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        DisposeCore();
        NativeMemory.AlignedFree(_receiveBuffer);
        NativeMemory.AlignedFree(_nestedBuffer);
        NativeMemory.Free(_sealedBuffer);
        GC.SuppressFinalize(this);
    }

    /// <inheritdoc/>
    public virtual bool CanNest => false;

    /// <inheritdoc/>
    public void RunNestedTurn()
    {
        // Who has had a reply in the outer turn does not wait for the command that runs: its end may be that client's to command (SCRIPT KILL).
        if (_sends.Count > 0 && !_outputHeld && Handler.SettleReplies())
        {
            SendSettled();
        }

        byte* buffer = _receiveBuffer;
        List<Connection> sends = _sends;
        _nestedBuffer = _nestedBuffer == null ? (byte*)NativeMemory.AlignedAlloc(ReceiveBufferBytes, 64) : _nestedBuffer;
        _receiveBuffer = _nestedBuffer;
        _sends = _nestedSends;
        try
        {
            WaitForEvents(0);
            ReadQueued();
            CloseQueued();
            SendQueued();
        }
        finally
        {
            _nestedSends = _sends;
            _sends = sends;
            _receiveBuffer = buffer;
        }
    }

    /// <summary>Sends what is queued, but for the connection whose command runs: what it has of its reply is not all.</summary>
    private void SendSettled()
    {
        int kept = 0;
        for (int i = 0; i < _sends.Count; i++)
        {
            Connection connection = _sends[i];
            if (connection.IsPresenting)
            {
                _sends[kept++] = connection;
                continue;
            }

            connection.IsSendQueued = false;
            if (!connection.IsGone && !connection.IsCloseQueued)
            {
                SendOutput(connection);
            }
        }

        _sends.RemoveRange(kept, _sends.Count - kept);
    }

    internal long NextConnectionId() => ++_lastConnectionId;

    internal void QueueSend(Connection connection) => _sends.Add(connection);

    internal void QueueResume(Connection connection) => _resumes.Add(connection);

    /// <summary>It has input that lies here already, so that no event is going to tell of it.</summary>
    internal void QueueUnread(Connection connection)
    {
        if (!connection.IsUnreadQueued)
        {
            connection.IsUnreadQueued = true;
            _unread.Add(connection);
        }
    }

    /// <summary>What the socket of a TLS connection has, in a buffer that holds it until the next call.</summary>
    internal long ReceiveSealed(Connection connection, out byte* data)
    {
        if (_sealedBuffer == null)
        {
            _sealedBuffer = (byte*)NativeMemory.Alloc(ReceiveBufferBytes);
        }

        data = _sealedBuffer;
        return Receive(connection, data, ReceiveBufferBytes);
    }

    internal void QueueClose(Connection connection)
    {
        if (!connection.IsCloseQueued)
        {
            connection.IsCloseQueued = true;
            _closes.Add(connection);
        }
    }

    internal Socket DetachHandle(Connection connection)
    {
        Socket socket = Detach(connection);
        connection.IsGone = true;
        return socket;
    }

    /// <summary>Outcome of a receive or send that moved nothing since it would have had to wait.</summary>
    internal const long WouldBlock = -1;

    /// <summary>Outcome of a receive or send on a connection that is broken.</summary>
    internal const long Broken = -2;

    /// <summary>Waits at most so long (-1: for ever), dispatches what happened to the members below, and calls <see cref="BeginTurn"/> first.</summary>
    private protected abstract void WaitForEvents(int timeoutMs);

    /// <summary>Ends a wait, from any thread.</summary>
    private protected abstract void Wake();

    /// <summary>Listeners start, or start again, to accept.</summary>
    private protected abstract void StartAccepting();

    private protected abstract void StopAccepting();

    /// <summary>Bytes received, 0 at the end of the stream, <see cref="WouldBlock"/> or <see cref="Broken"/>.</summary>
    private protected abstract long Receive(Connection connection, byte* buffer, long length);

    /// <summary>Bytes sent, <see cref="WouldBlock"/> or <see cref="Broken"/>.</summary>
    private protected abstract long Send(Connection connection, byte* data, long length);

    /// <summary>Readiness to read is to be told or not.</summary>
    private protected abstract void WatchReadable(Connection connection, bool watch);

    /// <summary>Readiness to write is to be told or not.</summary>
    private protected abstract void WatchWritable(Connection connection, bool watch);

    private protected abstract void CloseHandle(Connection connection);

    /// <summary>Takes a connected socket, which does not block, into the loop; null: the loop takes no more, and the socket is closed.</summary>
    private protected abstract Connection? Adopt(Socket socket, in PeerNames names);

    private protected abstract Socket Detach(Connection connection);

    private protected abstract IEnumerable<Connection> Connections { get; }

    private protected abstract void DisposeCore();

    /// <summary>Reads the clock for the turn.</summary>
    private protected void BeginTurn()
    {
        NowMs = Environment.TickCount64;
        if ((_turns + 1) % TimedTurns == 0)
        {
            _turnStarted = Stopwatch.GetTimestamp();
        }
    }

    private protected void OnAccepted(Connection connection) => Handler.OnOpen(connection);

    /// <summary>The system has no room for another connection: those who wait stay in the backlog for a while.</summary>
    private protected void OnAcceptExhausted(string why)
    {
        Log.Warning($"Accepting a client connection: {why}. Accepting rests for {AcceptRestMs} ms; raise the limit of open files or lower maxclients");
        StopAccepting();
        _acceptAgainMs = NowMs + AcceptRestMs;
    }

    private protected void OnReadable(Connection connection)
    {
        if (connection.IsClosing || connection.IsGone || connection.IsPresenting)
        {
            return;
        }

        if (connection.Tls is { IsOpen: false } handshake)
        {
            ReceiveHandshake(connection, handshake);
            return;
        }

        if (connection.IsPaused)
        {
            ReceiveWhilePaused(connection);
            return;
        }

        long have = connection.InputLength;
        long wanted = connection.InputWanted;
        byte* buffer = _receiveBuffer;
        long room;
        if (wanted > ReceiveBufferBytes || have > ReceiveBufferBytes / 2)
        {
            if (!TryReserve(connection, wanted > have ? wanted : Math.Max(have * 2, ReceiveBufferBytes)))
            {
                return;
            }

            buffer = connection.Input;
            room = Math.Min(connection.InputCapacity - have, PrivateReceiveBytes);
        }
        else
        {
            if (have > 0)
            {
                Buffer.MemoryCopy(connection.Input, buffer, ReceiveBufferBytes, have);
            }

            room = ReceiveBufferBytes - have;
        }

        long received = Take(connection, buffer + have, room);
        if (received <= 0)
        {
            EndOfInput(connection, received);
            return;
        }

        connection.LastInteractionMs = NowMs;
        _reads++;
        connection.BytesReceived += received;
        Present(connection, buffer, have + received);
    }

    private long Take(Connection connection, byte* buffer, long length) =>
        connection.Tls is { } tls ? tls.Receive(buffer, length) : Receive(connection, buffer, length);

    private void ReceiveHandshake(Connection connection, TlsChannel handshake)
    {
        long received = ReceiveSealed(connection, out byte* data);
        if (received > 0)
        {
            connection.LastInteractionMs = NowMs;
            connection.BytesReceived += received;
            if (!handshake.FeedHandshake(data, received))
            {
                Log.Verbose($"Closing {connection.RemoteAddress}: it sent more than a TLS handshake needs");
                connection.Close(afterOutput: false);
            }
        }
        else if (received != WouldBlock)
        {
            handshake.EndHandshake();
            connection.Close(afterOutput: false);
        }
    }

    /// <summary>Receives from those whose input lies here already.</summary>
    private void ReadQueued()
    {
        if (_unread.Count == 0)
        {
            return;
        }

        (_unread, _reading) = (_reading, _unread);
        foreach (Connection connection in _reading)
        {
            connection.IsUnreadQueued = false;
            if (connection.IsPresenting)
            {
                // Its command runs, while others have a turn.
                QueueUnread(connection);
            }
            else
            {
                OnReadable(connection);
            }
        }

        _reading.Clear();
    }

    private protected void OnWritable(Connection connection)
    {
        if (connection.IsAwaitingWritable && !connection.IsGone && !connection.IsPresenting)
        {
            connection.SendOutput();
        }
    }

    /// <summary>The peer is gone in both directions.</summary>
    private protected static void OnHangUp(Connection connection)
    {
        // One whose command runs, while others have a turn, is told of later.
        if (!connection.IsPresenting)
        {
            connection.Close(afterOutput: false);
        }
    }

    private void Present(Connection connection, byte* data, long length)
    {
        long consumed = 0;
        if (length >= connection.InputWanted)
        {
            connection.BytesWanted = 0;
            connection.IsPresenting = true;
            consumed = Handler.OnReceive(connection, data, length);
            connection.IsPresenting = false;
            connection.InputWanted = connection.BytesWanted > 0 ? length - consumed + connection.BytesWanted : 0;
        }

        Keep(connection, data, length, consumed);
        if (connection.InputLength > 0)
        {
            Handler.OnKept(connection);
        }
    }

    /// <summary>Moves what is not consumed to the start of the private buffer.</summary>
    private void Keep(Connection connection, byte* data, long length, long consumed)
    {
        long rest = length - consumed;
        if (rest == 0 || connection.IsClosing)
        {
            connection.ReleaseInput();
            return;
        }

        if (rest > MaxInputBytes)
        {
            Log.Warning($"Closing client that reached max query buffer length: id={connection.Id} addr={connection.RemoteAddress} qbuf={rest}");
            connection.ReleaseInput();
            connection.Close(afterOutput: false);
            return;
        }

        if (data == _receiveBuffer)
        {
            if (!TryReserve(connection, rest))
            {
                return;
            }

            Buffer.MemoryCopy(data + consumed, connection.Input, connection.InputCapacity, rest);
        }
        else if (consumed > 0)
        {
            Buffer.MemoryCopy(data + consumed, connection.Input, connection.InputCapacity, rest);
            if (connection.InputCapacity > ReceiveBufferBytes && rest < connection.InputCapacity / 4)
            {
                connection.ShrinkInput(rest);
            }
        }

        connection.SetInputLength(rest);
    }

    private bool TryReserve(Connection connection, long capacity)
    {
        try
        {
            connection.ReserveInput(capacity);
            return true;
        }
        catch (OutOfMemoryException)
        {
            Log.Warning($"No memory for {capacity} bytes of input: closing client id={connection.Id} addr={connection.RemoteAddress}");
            connection.Close(afterOutput: false);
            return false;
        }
    }

    private void ReceiveWhilePaused(Connection connection)
    {
        long have = connection.InputLength;
        if (have >= PausedInputBytes)
        {
            connection.IsReadStopped = true;
            WatchReadable(connection, false);
            return;
        }

        long received = Take(connection, _receiveBuffer, PausedInputBytes - have);
        if (received <= 0)
        {
            EndOfInput(connection, received);
            return;
        }

        connection.LastInteractionMs = NowMs;
        _reads++;
        connection.BytesReceived += received;
        if (TryReserve(connection, have + received))
        {
            Buffer.MemoryCopy(_receiveBuffer, connection.Input + have, received, received);
            connection.SetInputLength(have + received);
        }
    }

    /// <summary>
    /// At the end of the stream the client is closed. What is pending for it may still be wanted by a peer that only closed its
    /// sending half; a client that waits for something (BLPOP) must not be given it any more.
    /// </summary>
    private static void EndOfInput(Connection connection, long outcome)
    {
        if (outcome == 0)
        {
            connection.Close(afterOutput: connection.Output.Length > 0 && !connection.IsPaused);
        }
        else if (outcome == Broken)
        {
            connection.Close(afterOutput: false);
        }
    }

    /// <inheritdoc/>
    public void TickWithin(long milliseconds) => _nextTickMs = Math.Min(_nextTickMs, Environment.TickCount64 + Math.Max(0, milliseconds));

    private int NextTimeoutMs()
    {
        if ((_sends.Count > 0 && !_outputHeld) || _resumes.Count + _closes.Count + _unread.Count > 0 || !_posted.IsEmpty)
        {
            return 0;
        }

        long wait = Math.Min(_nextTickMs, _acceptAgainMs) - Environment.TickCount64;
        return (int)Math.Clamp(wait, 0, _outputHeld ? HeldOutputMs : int.MaxValue);
    }

    private void EndTurn()
    {
        // Work posted meanwhile by these waits for the next turn: a poster that posts again must not hold the loop.
        for (int count = _posted.Count; count > 0 && _posted.TryDequeue(out Action? action); count--)
        {
            action();
        }

        if (NowMs >= _nextTickMs)
        {
            _nextTickMs = NowMs + Math.Max(1, Handler.Tick(NowMs));
        }

        if (NowMs >= _acceptAgainMs)
        {
            _acceptAgainMs = long.MaxValue;
            StartAccepting();
        }

        ResumeQueued();
        CloseQueued();
        _outputHeld = !Handler.EndTurn();
        if (!_outputHeld)
        {
            SendQueued();
        }
    }

    /// <summary>By index: what one resumed connection does may resume another, which then belongs to this turn too.</summary>
    private void ResumeQueued()
    {
        for (int i = 0; i < _resumes.Count; i++)
        {
            Connection connection = _resumes[i];
            connection.IsResumeQueued = false;
            if (connection.IsPaused || connection.IsClosing || connection.IsGone)
            {
                continue;
            }

            if (connection.IsReadStopped)
            {
                connection.IsReadStopped = false;
                WatchReadable(connection, true);
                if (connection.IsSecure)
                {
                    QueueUnread(connection);
                }
            }

            if (connection.InputLength > 0)
            {
                Present(connection, connection.Input, connection.InputLength);
            }
        }

        _resumes.Clear();
    }

    private void SendQueued()
    {
        (_sends, _sending) = (_sending, _sends);
        foreach (Connection connection in _sending)
        {
            connection.IsSendQueued = false;
            if (!connection.IsGone && !connection.IsCloseQueued)
            {
                SendOutput(connection);
            }
        }

        _sending.Clear();
    }

    private void SendOutput(Connection connection)
    {
        RespWriter output = connection.WireOutput;
        if (connection.Tls is { } tls && !tls.TrySeal(connection.Output))
        {
            connection.Close(afterOutput: false);
            return;
        }

        if (output.Length > 0)
        {
            long sent = Send(connection, output.Data, output.Length);
            if (sent == Broken)
            {
                connection.Close(afterOutput: false);
                return;
            }

            if (sent > 0)
            {
                connection.LastInteractionMs = NowMs;
                _writes++;
                connection.BytesSent += sent;
                output.Consume(sent);
            }
        }

        if (output.Length == 0 && connection.Tls is { IsOpen: true } && connection.Output.Length > 0)
        {
            // More than is sealed at once; others have a turn first.
            connection.SendOutput();
            return;
        }

        if (output.Length == 0)
        {
            if (connection.IsAwaitingWritable)
            {
                connection.IsAwaitingWritable = false;
                WatchWritable(connection, false);
            }

            if (connection.CloseAfterOutput)
            {
                QueueClose(connection);
            }
        }
        else if (!connection.IsAwaitingWritable || connection.IsClosing)
        {
            // One that is closing is from now on watched for this alone: its input would be ready for ever.
            connection.IsAwaitingWritable = true;
            WatchWritable(connection, true);
        }
    }

    private void CloseQueued()
    {
        while (_closes.Count > 0)
        {
            (_closes, _closing) = (_closing, _closes);
            foreach (Connection connection in _closing)
            {
                if (connection.IsPresenting)
                {
                    // Its buffers are in use: the outer turn closes it.
                    _closeLater.Add(connection);
                    continue;
                }

                if (!connection.IsGone)
                {
                    SayGoodbye(connection);
                    CloseHandle(connection);
                    connection.IsGone = true;
                }

                Handler.OnClose(connection);
                connection.ReleaseBuffers();
            }

            _closing.Clear();
        }

        _closes.AddRange(_closeLater);
        _closeLater.Clear();
    }

    /// <summary>A TLS client is told that what it got is all, as far as the socket takes that at once.</summary>
    private void SayGoodbye(Connection connection)
    {
        if (connection.Tls is { } tls)
        {
            tls.Close();
            if (tls.Sealed.Length > 0)
            {
                _ = Send(connection, tls.Sealed.Data, tls.Sealed.Length);
            }
        }
    }

    private void CloseEverything()
    {
        if (!_outputHeld)
        {
            foreach (Connection connection in Connections.ToArray())
            {
                connection.SendOutput();
            }

            SendQueued();
        }

        foreach (Connection connection in Connections.ToArray())
        {
            connection.Close(afterOutput: false);
            QueueClose(connection);
        }

        CloseQueued();
    }
}
