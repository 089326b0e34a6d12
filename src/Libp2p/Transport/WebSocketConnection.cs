// libp2p over WebSocket: the bytes of a connection in binary messages, whose boundaries mean nothing. https://github.com/libp2p/specs/tree/master/websockets
//
// Who listens is an HTTP server elsewhere (the node's port); it hands an accepted WebSocket over. Dialling goes straight to an address that was looked up and
// filtered before: no proxy, no redirect and no other name leads anywhere else.

using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Net.WebSockets;
using System.Runtime.CompilerServices;
using Leither.Ipfs.Multiformats;

namespace Leither.Libp2p.Transport;

/// <summary>A connection over WebSocket. Takes the WebSocket over.</summary>
public sealed class WebSocketConnection : RawConnection
{
    /// <summary>How long saying goodbye may take.</summary>
    private static readonly TimeSpan _closeTimeout = TimeSpan.FromSeconds(1);

    /// <summary>The most kilobytes of headers that a server answers with.</summary>
    private const int MaxHeaderKilobytes = 16;

    private readonly WebSocket _socket;
    private volatile bool _ending;
    private bool _ended;

    /// <summary>Takes a WebSocket that is open.</summary>
    public WebSocketConnection(WebSocket socket, Multiaddr localAddress, Multiaddr remoteAddress)
    {
        _socket = socket;
        LocalAddress = localAddress;
        RemoteAddress = remoteAddress;
    }

    /// <inheritdoc/>
    public override Multiaddr LocalAddress { get; }

    /// <inheritdoc/>
    public override Multiaddr RemoteAddress { get; }

    /// <summary>The address of an end of a WebSocket.</summary>
    public static Multiaddr AddressOf(IPEndPoint endPoint) => Multiaddr.Of(endPoint).Encapsulate(Multiaddr.Parse("/ws"));

    /// <summary>Connects to a listener.</summary>
    /// <param name="target">Where.</param>
    /// <param name="validation">Who decides about a server's certificate; null: the machine's authorities.</param>
    /// <param name="cancellationToken">Gives up.</param>
    internal static async Task<WebSocketConnection> ConnectAsync(DialTarget target, RemoteCertificateValidationCallback? validation, CancellationToken cancellationToken)
    {
        IPEndPoint? local = null;
        using var handler = new SocketsHttpHandler
        {
            UseProxy = false,
            UseCookies = false,
            AllowAutoRedirect = false,
            MaxResponseHeadersLength = MaxHeaderKilobytes,
            ConnectCallback = async (_, cancellation) =>
            {
                // A client of HTTP would try once more where a server hangs up without an answer.
                if (local != null)
                {
                    throw new IOException("The server ended the connection without an answer.");
                }

                var socket = new Socket(target.EndPoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
                try
                {
                    await socket.ConnectAsync(target.EndPoint, cancellation).ConfigureAwait(false);
                    local = (IPEndPoint)socket.LocalEndPoint!;
                    return new NetworkStream(socket, ownsSocket: true);
                }
                catch
                {
                    socket.Dispose();
                    throw;
                }
            },
        };
        if (validation != null)
        {
            handler.SslOptions.RemoteCertificateValidationCallback = validation;
        }

        // Disposed of when the WebSocket stands: that leaves the connection alone.
        using var invoker = new HttpMessageInvoker(handler, disposeHandler: false);
        var client = new ClientWebSocket();
        try
        {
            client.Options.KeepAliveInterval = TimeSpan.Zero;
            await client.ConnectAsync(UriOf(target), invoker, cancellationToken).ConfigureAwait(false);
            return new WebSocketConnection(client, AddressOf(local!), target.Address);
        }
        catch (Exception e)
        {
            client.Dispose();
            // What went wrong beneath (refused, a bad certificate) says more than that it did.
            throw e is WebSocketException ? new IOException(e.InnerException is HttpRequestException { InnerException: { } inner } ? inner.Message : e.InnerException?.Message ?? e.Message, e) : e;
        }
    }

    /// <inheritdoc/>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public override async ValueTask<int> ReceiveAsync(Memory<byte> destination, CancellationToken cancellationToken = default)
    {
        while (!_ended)
        {
            ValueWebSocketReceiveResult result;
            try
            {
                result = await _socket.ReceiveAsync(destination, cancellationToken).ConfigureAwait(false);
            }
            catch (Exception e) when (_ending && e is not OutOfMemoryException)
            {
                // Woken by End.
                _ended = true;
                return 0;
            }
            catch (WebSocketException e)
            {
                throw new IOException(e.Message, e);
            }

            if (result.MessageType == WebSocketMessageType.Close)
            {
                _ended = true;
            }
            else if (result.MessageType == WebSocketMessageType.Text)
            {
                throw Libp2pException.Violation("WebSocket: text where bytes belong.");
            }
            else if (result.Count > 0 || destination.IsEmpty)
            {
                return result.Count;
            }
        }

        return 0;
    }

    /// <inheritdoc/>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    public override async ValueTask SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken = default)
    {
        try
        {
            await _socket.SendAsync(bytes, WebSocketMessageType.Binary, WebSocketMessageFlags.EndOfMessage, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception e) when (e is WebSocketException or InvalidOperationException)
        {
            throw new IOException(e.Message, e);
        }
    }

    /// <inheritdoc/>
    public override void End()
    {
        if (!_ending)
        {
            _ending = true;
            _ = CloseAsync();
        }
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        _ending = true;
        _socket.Abort();
        _socket.Dispose();
    }

    private static Uri UriOf(DialTarget target)
    {
        // The zone of an address is this machine's own matter.
        var ip = new IPAddress(target.EndPoint.Address.GetAddressBytes());
        string host = target.ServerName ?? (ip.AddressFamily == AddressFamily.InterNetworkV6 ? $"[{ip}]" : ip.ToString());
        string scheme = target.Transport == DialTransport.SecureWebSocket ? "wss" : "ws";
        return Uri.TryCreate($"{scheme}://{host}:{target.EndPoint.Port}/", UriKind.Absolute, out Uri? uri) ? uri
            : throw new Libp2pException(Libp2pError.DialFailed, $"{target.Address}: '{host}' is no name of a host.");
    }

    /// <summary>Says goodbye, which a browser wants to hear, and then ends.</summary>
    private async Task CloseAsync()
    {
        using var limit = new CancellationTokenSource(_closeTimeout);
        try
        {
            await _socket.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, null, limit.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is WebSocketException or InvalidOperationException or OperationCanceledException or IOException)
        {
            // Gone already, or not listening any more.
        }

        _socket.Abort();
    }
}
