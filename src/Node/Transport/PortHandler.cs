using System.Net.Sockets;
using Leither.Node.Logging;
using Leither.Node.Transport.Tls;

namespace Leither.Node.Transport;

/// <summary>
/// Stands on the one port: looks at the first bytes of each connection and lets RESP through to its handler, hands HTTP and
/// libp2p on with their sockets, and turns away what is recognised but not served. TLS is begun, and then what is said inside is looked at likewise.
/// </summary>
public sealed unsafe class PortHandler : IConnectionHandler
{
    private readonly IConnectionHandler _resp;
    private readonly Action<Socket, byte[]> _http;
    private readonly Func<Action<Socket, byte[]>?> _libp2p;
    private readonly NodeLog _log;

    /// <summary>Creates the handler.</summary>
    /// <param name="resp">Is told of all connections, and gets the input of those that speak RESP.</param>
    /// <param name="http">Takes over the socket of a connection that speaks HTTP, with the bytes already received.</param>
    /// <param name="libp2p">Who takes over the socket of a peer, likewise; null: peers are turned away.</param>
    /// <param name="log">Where refusals are told.</param>
    public PortHandler(IConnectionHandler resp, Action<Socket, byte[]> http, Func<Action<Socket, byte[]>?> libp2p, NodeLog log)
    {
        _resp = resp;
        _http = http;
        _libp2p = libp2p;
        _log = log;
    }

    /// <summary>What TLS is begun with; null: it is not served.</summary>
    public TlsAcceptor? Tls { get; init; }

    /// <summary>Takes over a connection that speaks HTTP over TLS; null: it is not served.</summary>
    public Action<SecureConnection, byte[]>? Https { get; init; }

    /// <inheritdoc/>
    public void OnOpen(Connection connection) => _resp.OnOpen(connection);

    /// <inheritdoc/>
    public long OnReceive(Connection connection, byte* data, long length)
    {
        if (connection.Protocol == PortProtocol.Resp)
        {
            return _resp.OnReceive(connection, data, length);
        }

        ReadOnlySpan<byte> first = new(data, (int)Math.Min(length, ProtocolSniffer.MaxLineBytes));
        connection.Protocol = ProtocolSniffer.Sniff(first);
        switch (connection.Protocol)
        {
            case PortProtocol.Unknown:
                return 0;
            case PortProtocol.Tls when Tls is not null && !connection.IsSecure:
                connection.BeginTls(Tls, data, length);
                return length;
            case PortProtocol.Resp or PortProtocol.Http when Tls is { IsRequired: true } && !connection.IsSecure && !connection.IsUnix:
                _log.Verbose($"Closing {connection.RemoteAddress}: only TLS is served on this port");
                connection.Close(afterOutput: false);
                return length;
            case PortProtocol.Resp:
                return _resp.OnReceive(connection, data, length);
            case PortProtocol.Http when !connection.IsSecure:
                Hand(connection, data, length, _http);
                return length;
            case PortProtocol.Http when Https is not null:
                byte[] received = new ReadOnlySpan<byte>(data, checked((int)length)).ToArray();
                if (connection.DetachSecure() is { } secure) Https(secure, received);
                return length;
            // Over a Unix socket nobody has an address, which peers must have.
            // Peers have a handshake of their own, and need none around it.
            case PortProtocol.Libp2p when !connection.IsUnix && !connection.IsSecure && _libp2p() is { } peers:
                Hand(connection, data, length, peers);
                return length;
            default:
                _log.Verbose($"Closing {connection.RemoteAddress}: {Name(connection.Protocol)} is not served on this port");
                connection.Close(afterOutput: false);
                return length;
        }
    }

    /// <inheritdoc/>
    public void OnClose(Connection connection) => _resp.OnClose(connection);

    /// <inheritdoc/>
    public bool EndTurn() => _resp.EndTurn();

    /// <inheritdoc/>
    public bool SettleReplies() => _resp.SettleReplies();

    /// <inheritdoc/>
    public int Tick(long nowMs) => _resp.Tick(nowMs);

    private static void Hand(Connection connection, byte* data, long length, Action<Socket, byte[]> to)
    {
        byte[] received = new ReadOnlySpan<byte>(data, checked((int)length)).ToArray();
        to(connection.Detach(), received);
    }

    private static string Name(PortProtocol protocol) => protocol == PortProtocol.Tls ? "TLS" : "libp2p";
}
