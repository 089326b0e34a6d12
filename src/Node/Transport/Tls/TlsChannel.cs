// TLS on a connection of the loop.
//
//   socket ──recv──► TlsWire ──► SslStream ──► the connection's input, as if it had been received so
//   socket ◄──send── Sealed ◄─── SslStream ◄── the connection's output, at the end of the turn
//
// The socket never leaves the loop, and no thread stands between it and the session. SslStream is used as an engine that is fed: its asynchronous calls go on where the
// loop feeds TlsWire, and end there. Only the handshake, which costs a signature, runs on the pool.
// What must stay true: while it is open nothing here is called but on the loop thread; no read is under way while input is presented, so that the stream can be handed over then.

using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography;
using Leither.Resp;

namespace Leither.Node.Transport.Tls;

/// <summary>TLS on one connection of the loop.</summary>
[SuppressMessage("Design", "CA1001", Justification = "Release, or who runs the handshake, disposes of the stream, and that of the wire; the view holds nothing.")]
internal sealed class TlsChannel
{
    /// <summary>Output is sealed no further ahead of the kernel than this.</summary>
    private const int MaxSealedBytes = 256 * 1024;

    /// <summary>Sealed at once: four records.</summary>
    private const int SealBytes = 64 * 1024;

    private readonly TlsAcceptor _acceptor;
    private readonly LoopTransport _transport;
    private readonly Connection _connection;
    private readonly TlsWire _wire;
    private readonly SslStream _ssl;
    private readonly NativeView _view = new();
    private ValueTask<int> _ready;
    private long _handshakeBytes;
    private bool _isAwaiting, _isHandshaking = true, _isOver;

    public TlsChannel(TlsAcceptor acceptor, LoopTransport transport, Connection connection)
    {
        _acceptor = acceptor;
        _transport = transport;
        _connection = connection;
        _wire = new TlsWire(Sealed) { Written = () => _transport.Post(SendHandshake) };
        _ssl = new SslStream(_wire, leaveInnerStreamOpen: false);
    }

    /// <summary>Whether the handshake is over and nothing has gone wrong since.</summary>
    public bool IsOpen { get; private set; }

    /// <summary>What is to be sent.</summary>
    public RespWriter Sealed { get; } = new();

    /// <summary>Begins the handshake.</summary>
    public void Begin() => Task.Run(HandshakeAsync);

    /// <summary>Takes what was received while the handshake goes on; false: that is more than a handshake needs.</summary>
    public unsafe bool FeedHandshake(byte* data, long length)
    {
        _handshakeBytes += length;
        if (_handshakeBytes > TlsAcceptor.MaxHandshakeBytes)
        {
            return false;
        }

        _wire.Feed(new ReadOnlySpan<byte>(data, (int)length));
        return true;
    }

    /// <summary>The peer closed while the handshake went on.</summary>
    public void EndHandshake() => _wire.End();

    /// <summary>Receives and opens: the outcome is that of a plain receive.</summary>
    public unsafe long Receive(byte* buffer, long length)
    {
        try
        {
            while (true)
            {
                // Reading nothing ends when there is something, and holds no buffer of ours until then.
                if (!_isAwaiting)
                {
#pragma warning disable CA2012 // taken once, when it has ended; nothing is allocated while a connection waits
                    _ready = _ssl.ReadAsync(Memory<byte>.Empty);
#pragma warning restore CA2012
                    _isAwaiting = true;
                }

                if (_ready.IsCompleted)
                {
                    _isAwaiting = false;
                    _ = _ready.GetAwaiter().GetResult();
                    return Open(buffer, length);
                }

                long received = _transport.ReceiveSealed(_connection, out byte* data);
                if (received < 0)
                {
                    return received;
                }

                if (received == 0)
                {
                    _wire.End();
                }
                else
                {
                    _wire.Feed(new ReadOnlySpan<byte>(data, (int)received));
                }
            }
        }
        catch (Exception e) when (IsOfThePeer(e))
        {
            IsOpen = false;
            return LoopTransport.Broken;
        }
    }

    /// <summary>Seals output, as far as there is room; false: the connection is broken.</summary>
    public unsafe bool TrySeal(RespWriter output)
    {
        if (_isHandshaking)
        {
            return true;
        }

        try
        {
            while (output.Length > 0 && Sealed.Length < MaxSealedBytes && IsOpen)
            {
                int length = (int)Math.Min(output.Length, SealBytes);
                Finish(_ssl.WriteAsync(_view.Over(output.Data, length)));
                output.Consume(length);
            }

            return IsOpen || Sealed.Length > 0;
        }
        catch (Exception e) when (IsOfThePeer(e))
        {
            IsOpen = false;
            return false;
        }
    }

    /// <summary>The connection ends: tells the peer so, if all that was sealed is sent (<see cref="Sealed"/> then has the notice).</summary>
    public void Close()
    {
        if (!_isOver && IsOpen && Sealed.Length == 0)
        {
            try
            {
                Task notice = _ssl.ShutdownAsync();
                Finish(new ValueTask(notice));
            }
            catch (Exception e) when (IsOfThePeer(e))
            {
                Sealed.Release();
            }
        }

        IsOpen = false;
    }

    /// <summary>Gives everything up. The socket is the transport's, unless it was handed over.</summary>
    public void Release()
    {
        Sealed.Release();
        if (_isOver)
        {
            return;
        }

        _isOver = true;
        IsOpen = false;
        if (_isHandshaking)
        {
            // Who runs it disposes of it.
            _wire.Abort(new IOException("The connection was closed"));
        }
        else
        {
            _ssl.Dispose();
        }
    }

    /// <summary>Hands the stream over to a protocol that lives elsewhere, with a socket that left the loop; null: the client has reset it, and it is closed.</summary>
    public SecureConnection? Detach(Socket socket)
    {
        _isOver = true;
        IsOpen = false;
        try
        {
            EndPoint? remote = socket.RemoteEndPoint, local = socket.LocalEndPoint;
            _wire.Detach(socket);
            return new SecureConnection(_ssl, remote, local);
        }
        catch (Exception e) when (e is SocketException or IOException)
        {
            // There is no other end any more.
            socket.Dispose();
            _ssl.Dispose();
            return null;
        }
    }

    private async Task HandshakeAsync()
    {
        string? error = null;
        try
        {
            SslServerAuthenticationOptions options = _acceptor.Options();
            using Timer limit = new(static wire => ((TlsWire)wire!).Abort(new IOException("it took too long")), _wire, TlsAcceptor.HandshakeLimit, Timeout.InfiniteTimeSpan);
            await _ssl.AuthenticateAsServerAsync(options);
        }
        catch (Exception e) when (IsOfThePeer(e) || e is CryptographicException or UnauthorizedAccessException)
        {
            error = (e.InnerException ?? e).Message;
        }

        _transport.Post(() => EndHandshake(error));
    }

    private void EndHandshake(string? error)
    {
        _isHandshaking = false;
        _acceptor.Ended(error is null);
        if (_isOver || _connection.IsGone)
        {
            _ssl.Dispose();
            return;
        }

        if (error is not null)
        {
            _acceptor.Log.Verbose($"Error accepting a client connection: {error} (addr={_connection.RemoteAddress} laddr={_connection.LocalAddress})");
            _connection.Close(afterOutput: true); // an alert may be on its way
            return;
        }

        _wire.EnterLoop();
        IsOpen = true;

        // The client's first command may have come with the last bytes of the handshake.
        _transport.QueueUnread(_connection);
        _connection.SendOutput();
    }

    private void SendHandshake()
    {
        if (!_isOver && !_connection.IsGone)
        {
            _wire.TakeWritten();
            _connection.SendOutput();
        }
    }

    private unsafe long Open(byte* buffer, long length)
    {
        int wanted = (int)Math.Min(length, int.MaxValue);
        ValueTask<int> read = _ssl.ReadAsync(_view.Over(buffer, wanted));
        if (!read.IsCompleted)
        {
            // It would write into a buffer that is somebody else's by then.
            throw new InvalidOperationException("TLS data that was there is not there any more");
        }

        int opened = read.GetAwaiter().GetResult();

        // What lies in here already is no event of the loop's.
        if (opened == wanted || (opened > 0 && _wire.HasFed))
        {
            _transport.QueueUnread(_connection);
        }

        return opened;
    }

    /// <summary>Whatever writes into a buffer ends at once.</summary>
    private static void Finish(ValueTask write)
    {
        if (!write.IsCompleted)
        {
            throw new InvalidOperationException("TLS output waits, with nothing to wait for");
        }

        write.GetAwaiter().GetResult();
    }

    private static bool IsOfThePeer(Exception e) => e is IOException or AuthenticationException or InvalidOperationException or NotSupportedException or System.ComponentModel.Win32Exception;

    /// <summary>Native memory as what streams take, for one call at a time.</summary>
    private sealed unsafe class NativeView : System.Buffers.MemoryManager<byte>
    {
        private byte* _start;
        private int _length;

        public Memory<byte> Over(byte* start, int length)
        {
            _start = start;
            _length = length;
            return CreateMemory(length);
        }

        public override Span<byte> GetSpan() => new(_start, _length);

        public override System.Buffers.MemoryHandle Pin(int elementIndex = 0) => new(_start + elementIndex);

        public override void Unpin()
        {
        }

        protected override void Dispose(bool disposing)
        {
        }
    }
}

/// <summary>A TLS connection that left the loop after its handshake, and whom it connects.</summary>
/// <param name="Stream">The opened side.</param>
/// <param name="Remote">The other end; a Unix socket has no address.</param>
/// <param name="Local">This end.</param>
public sealed record SecureConnection(SslStream Stream, EndPoint? Remote, EndPoint? Local);
