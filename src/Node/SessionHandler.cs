using Leither.MmDb;
using Leither.MmDb.Log;
using Leither.Node.Http.Page;
using Leither.Node.Logging;
using Leither.Node.Transport;
using Leither.Resp;

namespace Leither.Node;

/// <summary>Carries sessions over connections: what arrives goes to the dispatcher, what it replies goes back.</summary>
public sealed unsafe class SessionHandler : IConnectionHandler
{
    private readonly Server _server;
    private readonly Action _stop;
    private readonly NodeLog _log;

    /// <summary>Creates the handler.</summary>
    /// <param name="server">The sessions' server.</param>
    /// <param name="stop">Called once when a client or signal asked to shut down and the turn is over.</param>
    /// <param name="log">Where trouble is told.</param>
    public SessionHandler(Server server, Action stop, NodeLog log)
    {
        _server = server;
        _stop = stop;
        _log = log;
        _server.LogStateChanged = TellLogState;
    }

    /// <inheritdoc/>
    public void OnOpen(Connection connection)
    {
        if (_server.Sessions.Count >= _server.Options.MaxClients)
        {
            _server.Stats.ConnectionsRejected++;
            connection.Output.Error("ERR max number of clients reached"u8);
            connection.Close(afterOutput: true);
            return;
        }

        connection.Session = _server.Open(new ClientConnection(connection));
    }

    /// <inheritdoc/>
    public long OnReceive(Connection connection, byte* data, long length)
    {
        if (connection.Session is not Session session)
        {
            return connection.Session is OutboundConnection outbound ? outbound.Handler.OnReceive(data, length) : length;
        }

        long consumed = _server.Dispatcher.Execute(session, data, length);
        connection.BytesWanted = session.Parser.BytesWanted;
        return consumed;
    }

    /// <inheritdoc/>
    public void OnKept(Connection connection)
    {
        if (connection.Session is Session session)
        {
            _server.Kept(session);
        }
    }

    /// <inheritdoc/>
    public void OnClose(Connection connection)
    {
        if (connection.Session is Session session)
        {
            _server.Close(session);
        }
        else if (connection.Session is OutboundConnection outbound)
        {
            outbound.Handler.OnClosed(OutboundEnd.Ended, "the connection ended");
        }
    }

    /// <summary>Clients without connections, whose replies leave at the end of a turn like those of others; null: there are none.</summary>
    internal LocalClients? LocalClients { get; init; }

    /// <inheritdoc/>
    public bool EndTurn()
    {
        bool mayLeave = _server.EndTurn();
        LocalClients?.EndTurn(mayLeave);
        if (_server.Shutdown is not null)
        {
            _stop();
        }

        return mayLeave;
    }

    /// <inheritdoc/>
    public bool SettleReplies() => _server.SettleReplies();

    /// <inheritdoc/>
    public int Tick(long nowMs) => _server.Cron(_server.NowMs);

    private void TellLogState(Mimei mimei)
    {
        string whose = mimei == _server.DefaultMimei ? "The log" : $"The log of MiMei {mimei.Id}";
        if (mimei.Log is not { } log || log.State == LogState.Open)
        {
            _log.Notice($"{whose} takes writes again");
        }
        else
        {
            _log.Warning($"{whose} takes no writes until its disk does: {log.Error.Text}");
        }
    }

    /// <summary>A connection as its session sees it.</summary>
    private sealed class ClientConnection(Connection connection) : IClientConnection
    {
        public string RemoteAddress => connection.RemoteAddress;
        public string LocalAddress => connection.LocalAddress;
        public long Descriptor => connection.Descriptor;
        public bool IsLocal => connection.IsLocal;
        public bool IsUnixSocket => connection.IsUnix;
        public RespWriter Output => connection.Output;
        public long InputBytes => connection.InputLength;
        public long InputCapacity => connection.InputCapacity;
        public void SendOutput() => connection.SendOutput();
        public void Close(bool afterOutput) => connection.Close(afterOutput);
        public void Pause() => connection.Pause();
        public void Resume() => connection.Resume();
    }
}
