using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Leither.Node.Logging;

namespace Leither.Node.Transport;

/// <summary>
/// The portable transport. <see cref="SocketAsyncEventArgs"/> only tell readiness, with receives of zero bytes; the loop thread
/// then moves the bytes itself, without blocking. So idle connections hold no buffers here either, and the rules of the loop
/// are the same as on Linux.
/// </summary>
public sealed unsafe class SocketTransport : LoopTransport
{
    /// <summary>What a slow reader is sent at once; the kernel holds a copy meanwhile.</summary>
    private const int SlowSendBytes = 64 * 1024;

    private readonly object _gate = new();
    private readonly ConcurrentDictionary<long, SocketConnection> _connections = new();
    private List<Action> _ready = [];
    private List<Action> _dispatching = [];
    private List<Listener> _listeners = [];
    private readonly Dictionary<Listener, Acceptor> _acceptors = [];
    private bool _woken;
    private bool _accepting;
    private int _keepAliveSeconds;

    /// <summary>Creates the transport; it has no listener yet.</summary>
    public SocketTransport(IConnectionHandler handler, NodeLog log) : base(handler, log)
    {
    }

    /// <inheritdoc/>
    public override int BoundPort => Listener.PortOf(_listeners);

    /// <inheritdoc/>
    public override IReadOnlyList<IPEndPoint> BoundEndPoints => Listener.EndPointsOf(_listeners);

    /// <inheritdoc/>
    public override void Listen(ListenOptions options)
    {
        List<Listener> opened = Listener.Open(options, _listeners, Log);
        Listener.CloseAllBut(opened, _listeners);
        foreach (Listener gone in _listeners.Where(l => !opened.Contains(l)))
        {
            _acceptors.Remove(gone);
        }

        _listeners = opened;
        _keepAliveSeconds = options.KeepAliveSeconds;
        if (_accepting)
        {
            StartAccepting();
        }
    }

    private protected override IEnumerable<Connection> Connections => _connections.Values;

    private protected override void WaitForEvents(int timeoutMs)
    {
        lock (_gate)
        {
            if (_ready.Count == 0 && !_woken && timeoutMs != 0)
            {
                Monitor.Wait(_gate, timeoutMs);
            }

            _woken = false;
            (_ready, _dispatching) = (_dispatching, _ready);
        }

        BeginTurn();
        foreach (Action happened in _dispatching)
        {
            happened();
        }

        _dispatching.Clear();
    }

    private protected override void Wake()
    {
        lock (_gate)
        {
            _woken = true;
            Monitor.Pulse(_gate);
        }
    }

    /// <summary>A completion, on whatever thread, becomes an event of the loop.</summary>
    private void Happened(Action dispatch)
    {
        lock (_gate)
        {
            _ready.Add(dispatch);
            Monitor.Pulse(_gate);
        }
    }

    private protected override void StartAccepting()
    {
        _accepting = true;
        foreach (Listener listener in _listeners)
        {
            if (!_acceptors.TryGetValue(listener, out Acceptor? acceptor))
            {
                _acceptors.Add(listener, acceptor = new Acceptor(this, listener));
            }

            acceptor.Start();
        }
    }

    /// <summary>An accept that is under way still completes; none is started after it.</summary>
    private protected override void StopAccepting() => _accepting = false;

    private void Accepted(Acceptor acceptor)
    {
        Socket? socket = acceptor.AcceptSocket;
        SocketError error = acceptor.SocketError;
        if (!_listeners.Contains(acceptor.Listener))
        {
            socket?.Dispose();
            return;
        }

        if (error == SocketError.Success)
        {
            AddConnection(acceptor.Listener, socket!);
        }
        else if (error is SocketError.TooManyOpenSockets or SocketError.NoBufferSpaceAvailable)
        {
            OnAcceptExhausted(error.ToString());
        }
        else if (error is not (SocketError.ConnectionAborted or SocketError.ConnectionReset))
        {
            Log.Warning($"Accepting a client connection: {error}");
        }

        if (_accepting)
        {
            acceptor.Start();
        }
    }

    private void AddConnection(Listener listener, Socket socket)
    {
        PeerNames names;
        try
        {
            names = Prepare(listener, socket);
        }
        catch (SocketException)
        {
            // Gone before it was looked at.
            socket.Dispose();
            return;
        }

        SocketConnection connection = new(this, names, socket);
        _connections[connection.Id] = connection;
        OnAccepted(connection);
        connection.AwaitReadable();
    }

    private protected override Connection? Adopt(Socket socket, in PeerNames names)
    {
        SocketConnection connection = new(this, names, socket);
        _connections[connection.Id] = connection;
        connection.AwaitReadable();
        return connection;
    }

    private PeerNames Prepare(Listener listener, Socket socket)
    {
        socket.Blocking = false;
        if (listener.UnixPath is not null)
        {
            return PeerNames.Unix(listener.UnixPath);
        }

        socket.NoDelay = true;
        if (_keepAliveSeconds > 0)
        {
            socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, _keepAliveSeconds);
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, Math.Max(1, _keepAliveSeconds / 3));
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, 3);
        }

        IPEndPoint remote = (IPEndPoint)socket.RemoteEndPoint!;
        return new PeerNames(Listener.Show(remote), Listener.Show((IPEndPoint)socket.LocalEndPoint!), false, IPAddress.IsLoopback(remote.Address));
    }

    private protected override long Receive(Connection connection, byte* buffer, long length)
    {
        Socket socket = ((SocketConnection)connection).Socket;
        int received = socket.Receive(new Span<byte>(buffer, (int)length), SocketFlags.None, out SocketError error);
        return Outcome(received, error);
    }

    private protected override long Send(Connection connection, byte* data, long length)
    {
        SocketConnection socketConnection = (SocketConnection)connection;
        if (socketConnection.IsSending)
        {
            return WouldBlock;
        }

        int sent = socketConnection.Socket.Send(new ReadOnlySpan<byte>(data, (int)Math.Min(length, 1 << 30)), SocketFlags.None, out SocketError error);
        return Outcome(sent, error);
    }

    private static long Outcome(int count, SocketError error) => error switch
    {
        SocketError.Success => count,
        SocketError.WouldBlock or SocketError.Interrupted or SocketError.IOPending => WouldBlock,
        _ => Broken,
    };

    private protected override void WatchReadable(Connection connection, bool watch)
    {
        if (watch)
        {
            ((SocketConnection)connection).AwaitReadable();
        }
    }

    private protected override void WatchWritable(Connection connection, bool watch)
    {
        if (watch)
        {
            ((SocketConnection)connection).SendSlowly();
        }
    }

    private protected override void CloseHandle(Connection connection)
    {
        _connections.TryRemove(connection.Id, out _);
        ((SocketConnection)connection).Dispose();
    }

    private protected override Socket Detach(Connection connection)
    {
        _connections.TryRemove(connection.Id, out _);
        return ((SocketConnection)connection).Socket;
    }

    private protected override void DisposeCore()
    {
        Listener.CloseAllBut([], _listeners);
        _listeners = [];
        foreach (SocketConnection connection in _connections.Values)
        {
            CloseHandle(connection);
            connection.ReleaseBuffers();
        }
    }

    /// <summary>Accepts on one listener, one connection after the other.</summary>
    private sealed class Acceptor : SocketAsyncEventArgs
    {
        private readonly SocketTransport _transport;
        private bool _underWay;

        public Acceptor(SocketTransport transport, Listener listener)
        {
            _transport = transport;
            Listener = listener;
        }

        public Listener Listener { get; }

        public void Start()
        {
            if (_underWay)
            {
                return;
            }

            _underWay = true;
            AcceptSocket = null;
            try
            {
                if (!Listener.Socket.AcceptAsync(this))
                {
                    OnCompleted(this);
                }
            }
            catch (ObjectDisposedException)
            {
                // The listener was replaced meanwhile.
            }
        }

        protected override void OnCompleted(SocketAsyncEventArgs e) => _transport.Happened(() =>
        {
            _underWay = false;
            _transport.Accepted(this);
        });
    }

    private sealed class SocketConnection : Connection, IDisposable
    {
        private readonly SocketTransport _transport;
        private readonly Waiter _readable;
        private Waiter? _writable;

        public SocketConnection(SocketTransport transport, in PeerNames names, Socket socket) : base(transport, names)
        {
            _transport = transport;
            Socket = socket;
            Descriptor = (int)(socket.Handle & int.MaxValue);
            _readable = new Waiter(this, c => c.Readable());
        }

        public override int Descriptor { get; }

        public Socket Socket { get; }

        public bool IsSending => _writable is { UnderWay: true };

        public void AwaitReadable()
        {
            if (!IsGone && !IsClosing && !IsReadStopped && !_readable.UnderWay)
            {
                _readable.Start(Socket, receive: true, 0);
            }
        }

        /// <summary>Sends a copy of the next bytes, however long it takes: the only portable way to learn when the kernel takes more.</summary>
        public void SendSlowly()
        {
            if (IsSending)
            {
                return;
            }

            _writable ??= new Waiter(this, c => c.Sent());
            int length = (int)Math.Min(WireOutput.Length, SlowSendBytes);
            _writable.Reserve(length);
            new ReadOnlySpan<byte>(WireOutput.Data, length).CopyTo(_writable.Buffer);
            _writable.Start(Socket, receive: false, length);
        }

        private void Readable()
        {
            _transport.OnReadable(this);
            AwaitReadable();
        }

        private void Sent()
        {
            Waiter writable = _writable!;
            if (writable.SocketError != SocketError.Success)
            {
                Close(afterOutput: false);
                return;
            }

            LastInteractionMs = _transport.NowMs;
            BytesSent += writable.BytesTransferred;
            WireOutput.Consume(writable.BytesTransferred);
            if (WireOutput.Length > SlowSendBytes)
            {
                SendSlowly();
                return;
            }

            writable.SetBuffer(null, 0, 0);
            IsAwaitingWritable = false;
            SendOutput();
        }

        public void Dispose()
        {
            Socket.Dispose();
            _readable.Dispose();
            _writable?.Dispose();
        }

        /// <summary>One receive or send under way; its completion becomes an event of the loop.</summary>
        private sealed class Waiter : SocketAsyncEventArgs
        {
            private readonly SocketConnection _connection;
            private readonly Action<SocketConnection> _happened;
            private readonly Action _dispatch;

            public Waiter(SocketConnection connection, Action<SocketConnection> happened) : base(true)
            {
                _connection = connection;
                _happened = happened;
                _dispatch = Dispatch;
            }

            public bool UnderWay { get; private set; }

            public void Reserve(int length)
            {
                if (Buffer is null || Buffer.Length < length)
                {
                    SetBuffer(GC.AllocateUninitializedArray<byte>(length), 0, length);
                }
            }

            public void Start(Socket socket, bool receive, int length)
            {
                UnderWay = true;
                if (!receive)
                {
                    SetBuffer(0, length);
                }

                bool pending = receive ? socket.ReceiveAsync(this) : socket.SendAsync(this);
                if (!pending)
                {
                    OnCompleted(this);
                }
            }

            protected override void OnCompleted(SocketAsyncEventArgs e) => _connection._transport.Happened(_dispatch);

            private void Dispatch()
            {
                UnderWay = false;
                if (!_connection.IsGone)
                {
                    _happened(_connection);
                }
            }
        }
    }
}
