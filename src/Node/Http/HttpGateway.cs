using System.Net.Sockets;
using System.Threading.Channels;
using Leither.Libp2p.Transport;
using Leither.MmDb;
using Leither.Node.Http.Gateway;
using Leither.Node.Http.Page;
using Leither.Node.Logging;
using Leither.Node.Transport.Tls;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Leither.Node.Http;

/// <summary>
/// HTTP on the one port: sockets that turned out to speak it are handed over, with the bytes they already sent, to a Kestrel in
/// this process. It starts with the first of them: loading it costs more than all the rest of the node's start.
/// </summary>
public sealed class HttpGateway : IAsyncDisposable
{
    /// <summary>Connections that wait for Kestrel to take them; more are turned away.</summary>
    private const int MaxWaiting = 1024;

    /// <summary>Connections at a time; more are turned away.</summary>
    private const int MaxConnections = 4096;

    /// <summary>How long a request's line and headers may take to come.</summary>
    private static readonly TimeSpan _headersLimit = TimeSpan.FromSeconds(10);

    /// <summary>How long a connection may be silent between requests, or before its first one over HTTP/2.</summary>
    private static readonly TimeSpan _silenceLimit = TimeSpan.FromSeconds(30);

    /// <summary>How long requests under way get to finish when the node stops.</summary>
    private static readonly TimeSpan _stopLimit = TimeSpan.FromSeconds(2);

    private readonly INodeStatus _status;
    private readonly NodeLog _log;
    private readonly IpfsGateway? _content;
    private readonly Channel<HandedConnection> _http1 = Channel.CreateBounded<HandedConnection>(MaxWaiting);
    private readonly Channel<HandedConnection> _http2 = Channel.CreateBounded<HandedConnection>(MaxWaiting);
    private readonly object _gate = new();
    private readonly CancellationTokenSource _stopping = new();
    private Task<KestrelServer>? _server;

    /// <summary>Creates the gateway; nothing is started.</summary>
    /// <param name="status">Tells of the node.</param>
    /// <param name="log">Where is told what goes wrong.</param>
    /// <param name="content">Serves content; null: there is none.</param>
    public HttpGateway(INodeStatus status, NodeLog log, IpfsGateway? content = null)
    {
        _content = content;
        _status = status;
        _log = log;
    }

    /// <summary>Who takes over the connections of peers that come over WebSocket, until they end; null: they are turned away.</summary>
    public Func<Func<RawConnection, Task>?> Peers { get; init; } = static () => null;

    /// <summary>Runs commands of requests; null: none are.</summary>
    internal LocalClients? Clients { get; init; }

    /// <summary>What hosts' names show of MiMei; null: nothing.</summary>
    internal ShownFiles? Shown { get; init; }

    /// <summary>Whether an HTTP request was ever seen.</summary>
    public bool IsStarted => _server is not null;

    /// <summary>Takes over a connection. Returns at once; on any thread.</summary>
    /// <param name="socket">The socket, owned from now on.</param>
    /// <param name="received">What was received from it.</param>
    public void Take(Socket socket, byte[] received) => Take(new HandedConnection(socket, null, received));

    /// <summary>Takes over a connection over TLS, likewise.</summary>
    /// <param name="connection">The connection, owned from now on.</param>
    /// <param name="received">What was received from it, opened.</param>
    public void Take(SecureConnection connection, byte[] received) => Take(new HandedConnection(null, connection, received));

    private void Take(HandedConnection connection)
    {
        // Kestrel takes either version on an endpoint, never both; HTTP/2's preface tells them apart, within TLS as without.
        Channel<HandedConnection> handed = connection.Received.AsSpan().StartsWith("PRI"u8) ? _http2 : _http1;
        if (!handed.Writer.TryWrite(connection))
        {
            _log.Verbose("Closing an HTTP connection: too many wait");
            connection.Dispose();
            return;
        }

        lock (_gate)
        {
            _server ??= Task.Run(StartAsync);
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        _http1.Writer.TryComplete();
        _http2.Writer.TryComplete();
        await _stopping.CancelAsync();
        if (_server is not null)
        {
            using CancellationTokenSource limit = new(_stopLimit);
            KestrelServer server = await _server;
            await server.StopAsync(limit.Token);
            server.Dispose();
        }

        while (_http1.Reader.TryRead(out HandedConnection waiting) || _http2.Reader.TryRead(out waiting))
        {
            waiting.Dispose();
        }

        _stopping.Dispose();
    }

    private async Task<KestrelServer> StartAsync()
    {
        try
        {
            // A line ends as the standard says, and not where a proxy in between may not see its end.
            AppContext.SetSwitch("Microsoft.AspNetCore.Server.Kestrel.DisableHttp1LineFeedTerminators", true);
            KestrelServerOptions options = new() { AddServerHeader = false };
            options.Limits.MaxConcurrentConnections = MaxConnections;
            options.Limits.RequestHeadersTimeout = _headersLimit;
            options.Limits.KeepAliveTimeout = _silenceLimit;
            options.Listen(new HandoffPlace("http1", _http1.Reader), listen => listen.Protocols = HttpProtocols.Http1);
            options.Listen(new HandoffPlace("http2", _http2.Reader), listen => listen.Protocols = HttpProtocols.Http2);
            KestrelServer server = new(Options.Create(options), new HandoffListenerFactory(), NullLoggerFactory.Instance);
            await server.StartAsync(new PeerSockets(new NodeApplication(_status, Clients, _content, Shown, _log), Peers, _stopping.Token), CancellationToken.None);
            _log.Verbose("HTTP is served");
            return server;
        }
        catch (Exception e)
        {
            // Nobody awaits this task before the node stops, so the reason is told here.
            _log.Warning($"HTTP could not be started: {e.Message}");
            throw;
        }
    }
}

/// <summary>A socket, or what TLS made of one, with the bytes that were read from it.</summary>
internal readonly record struct HandedConnection(Socket? Socket, SecureConnection? Secure, byte[] Received) : IDisposable
{
    public void Dispose()
    {
        Socket?.Dispose();
        Secure?.Stream.Dispose();
    }
}

/// <summary>Stands for an address where Kestrel asks for one: a queue of handed connections.</summary>
internal sealed class HandoffPlace(string name, ChannelReader<HandedConnection> handed) : System.Net.EndPoint
{
    public ChannelReader<HandedConnection> Handed => handed;

    public override string ToString() => name;
}

/// <summary>Makes Kestrel listen on the queues of handed connections.</summary>
internal sealed class HandoffListenerFactory : IConnectionListenerFactory, IConnectionListenerFactorySelector
{
    public bool CanBind(System.Net.EndPoint endpoint) => endpoint is HandoffPlace;

    public ValueTask<IConnectionListener> BindAsync(System.Net.EndPoint endpoint, CancellationToken cancellationToken = default) =>
        ValueTask.FromResult<IConnectionListener>(new HandoffListener((HandoffPlace)endpoint));
}

/// <summary>Accepts what the port handed over.</summary>
internal sealed class HandoffListener(HandoffPlace place) : IConnectionListener
{
    /// <summary>What a response may have ready while its client still reads.</summary>
    private const int MaxWriteBuffer = 512 * 1024;

    // What a socket brings is worked on where its arrival was noticed, on the pool's threads: handing it from one queue to the next took longer than answering.
    private readonly SocketConnectionContextFactory _contexts = new(
        new SocketConnectionFactoryOptions { MaxWriteBufferSize = MaxWriteBuffer, UnsafePreferInlineScheduling = true }, NullLogger.Instance);
    private readonly CancellationTokenSource _unbound = new();

    public System.Net.EndPoint EndPoint => place;

    public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
    {
        using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _unbound.Token);
        while (true)
        {
            HandedConnection next;
            try
            {
                next = await place.Handed.ReadAsync(either.Token);
            }
            catch (Exception e) when (e is OperationCanceledException or ChannelClosedException)
            {
                return null;
            }

            try
            {
                ConnectionContext context = next.Secure is { } secure ? new SecureContext(secure) : _contexts.Create(next.Socket!);
                context.Transport = new ReplayedPipe(next.Received, context.Transport);
                return context;
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // The client is gone already.
                next.Dispose();
            }
        }
    }

    public ValueTask UnbindAsync(CancellationToken cancellationToken = default)
    {
        _unbound.Cancel();
        return ValueTask.CompletedTask;
    }

    public ValueTask DisposeAsync()
    {
        _unbound.Dispose();
        _contexts.Dispose();
        return ValueTask.CompletedTask;
    }
}
