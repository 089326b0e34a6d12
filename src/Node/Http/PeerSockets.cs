using System.Net;
using System.Net.WebSockets;
using Leither.Libp2p.Transport;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.WebSockets;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Leither.Node.Http;

/// <summary>
/// Peers that come over WebSocket: a request for <c>/</c> that wants to become one is a peer's connection, anything else is the application's. A page of any
/// origin may try, as any program may: who it is has to be proved inside.
/// </summary>
internal sealed class PeerSockets : IHttpApplication<HttpContext>
{
    private readonly IHttpApplication<HttpContext> _application;
    private readonly Func<Func<RawConnection, Task>?> _peers;
    private readonly CancellationToken _stopping;
    private readonly WebSocketMiddleware _webSockets;

    /// <summary>Stands before an application.</summary>
    /// <param name="application">Who answers everything else.</param>
    /// <param name="peers">Who takes a peer's connection over, until it ends; null: peers are turned away.</param>
    /// <param name="stopping">Ends the connections.</param>
    public PeerSockets(IHttpApplication<HttpContext> application, Func<Func<RawConnection, Task>?> peers, CancellationToken stopping)
    {
        _application = application;
        _peers = peers;
        _stopping = stopping;
        // Yamux has pings of its own.
        _webSockets = new WebSocketMiddleware(AcceptAsync, Options.Create(new WebSocketOptions { KeepAliveInterval = TimeSpan.Zero }), NullLoggerFactory.Instance);
    }

    /// <inheritdoc/>
    public HttpContext CreateContext(IFeatureCollection contextFeatures) => _application.CreateContext(contextFeatures);

    /// <inheritdoc/>
    public void DisposeContext(HttpContext context, Exception? exception) => _application.DisposeContext(context, exception);

    /// <inheritdoc/>
    public Task ProcessRequestAsync(HttpContext context) =>
        !RequestFraming.IsCertain(context) ? PlainText.AnswerAsync(context, StatusCodes.Status400BadRequest, "Where this request ends is not certain.")
        : context.Request.Path == "/" && HttpMethods.IsGet(context.Request.Method) && context.Request.Headers.Upgrade.Contains("websocket", StringComparer.OrdinalIgnoreCase)
            ? _webSockets.Invoke(context) : _application.ProcessRequestAsync(context);

    private async Task AcceptAsync(HttpContext context)
    {
        if (!context.WebSockets.IsWebSocketRequest)
        {
            context.Response.StatusCode = StatusCodes.Status400BadRequest;
            return;
        }

        // Over a Unix socket nobody has an address, which peers must have.
        ConnectionInfo connection = context.Connection;
        if (_peers() is not { } peers || connection.RemoteIpAddress is not { } remote || connection.LocalIpAddress is not { } local)
        {
            context.Response.StatusCode = StatusCodes.Status403Forbidden;
            return;
        }

        using WebSocket socket = await context.WebSockets.AcceptWebSocketAsync();
        using var raw = new WebSocketConnection(
            socket, WebSocketConnection.AddressOf(new IPEndPoint(local, connection.LocalPort)), WebSocketConnection.AddressOf(new IPEndPoint(remote, connection.RemotePort)));
        using CancellationTokenRegistration stop = _stopping.Register(raw.Dispose);
        await peers(raw);
    }
}
