using System.Net.Sockets;
using Leither.Node.Logging;

namespace Leither.Node.Transport;

/// <summary>
/// Stands on the one port: looks at the first bytes of each connection and lets RESP through to its handler, hands HTTP on with
/// its socket, and turns away what is recognised but not served.
/// </summary>
public sealed unsafe class PortHandler : IConnectionHandler
{
    private readonly IConnectionHandler _resp;
    private readonly Action<Socket, byte[]> _http;
    private readonly NodeLog _log;

    /// <summary>Creates the handler.</summary>
    /// <param name="resp">Is told of all connections, and gets the input of those that speak RESP.</param>
    /// <param name="http">Takes over the socket of a connection that speaks HTTP, with the bytes already received.</param>
    /// <param name="log">Where refusals are told.</param>
    public PortHandler(IConnectionHandler resp, Action<Socket, byte[]> http, NodeLog log)
    {
        _resp = resp;
        _http = http;
        _log = log;
    }

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
            case PortProtocol.Resp:
                return _resp.OnReceive(connection, data, length);
            case PortProtocol.Http:
                byte[] received = new ReadOnlySpan<byte>(data, checked((int)length)).ToArray();
                _http(connection.Detach(), received);
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

    private static string Name(PortProtocol protocol) => protocol == PortProtocol.Tls ? "TLS" : "libp2p";
}
