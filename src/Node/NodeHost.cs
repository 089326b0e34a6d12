using System.Security.Cryptography;
using Leither.MmDb;
using Leither.MmDb.Configuration;
using Leither.MmDb.Log;
using Leither.MmDb.Values;
using Leither.Node.Configuration;
using Leither.Node.Http;
using Leither.Node.Logging;
using Leither.Node.Transport;

namespace Leither.Node;

/// <summary>Puts a node together: its MiMei, the server around it, the port, and what stops it.</summary>
public sealed class NodeHost : INodeStatus, IDisposable
{
    private readonly NodeConfig _config;
    private readonly DataFolder _folder;
    private readonly NodeLog _log;
    private readonly Server _server;
    private readonly ITransport _transport;
    private readonly HttpGateway _http;

    /// <summary>Creates a node from its configuration; nothing listens yet.</summary>
    public NodeHost(NodeConfig config, DataFolder folder, NodeLog log)
    {
        _config = config;
        _folder = folder;
        _log = log;
        KeyspaceOptions keyspaceOptions = new()
        {
            Databases = (int)config.Settings.Get(ConfigKeys.Databases),
            Packed = PackedThresholds.Default,
        };
        ulong seed = BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(sizeof(ulong)));
        Mimei mimei = new("default", new Keyspace(keyspaceOptions, seed));
        if (config.Settings.Get(ConfigKeys.AppendOnly))
        {
            mimei.Log = OpenLog(mimei.Keyspace);
        }

        ServerOptions serverOptions = new();
        _server = new Server(mimei, serverOptions, TimeProvider.System);
        _http = new HttpGateway(this, log);
        _transport = TransportFactory.Create(new PortHandler(new SessionHandler(_server, () => _transport!.Stop()), _http.Take, log), log);
        new EngineSettings(config.Settings, keyspaceOptions, serverOptions, _transport, log).Bind();
        config.Settings.OnChange(() => Relisten("Failed to bind to specified addresses."), ConfigKeys.Bind);
        config.Settings.OnChange(() => Relisten("Unable to listen on this port. Check server logs."), ConfigKeys.Port);
        config.Settings.OnChange(KeepFolder, ConfigKeys.Directory);
    }

    private WriteLog OpenLog(Keyspace keyspace)
    {
        var files = new LogFiles(Path.Combine(_folder.Path, "log"));
        WriteLog opened = Persistence.Recover(keyspace, files, new LogOptions { Fsync = Fsync() });
        _log.Notice($"Log: {opened.Recovery}");
        _config.Settings.OnChange(
            () =>
            {
                opened.Fsync = Fsync();
                return null;
            },
            ConfigKeys.AppendFsync);
        return opened;
    }

    private FsyncPolicy Fsync() => _config.Settings.Show(ConfigKeys.AppendFsync) switch
    {
        "always" => FsyncPolicy.Always,
        "no" => FsyncPolicy.No,
        _ => FsyncPolicy.EverySecond,
    };

    /// <summary>The TCP port listened on, or 0.</summary>
    public int Port => _transport.BoundPort;

    /// <summary>Opens the port, and says so in the data folder.</summary>
    /// <exception cref="ListenException">It cannot be opened.</exception>
    public void Listen()
    {
        _transport.Listen(_config.Listen);
        string? socket = _config.Listen.UnixSocket;
        _folder.Announce(new RunningNode(
            Environment.ProcessId, _config.LocalHost, Port, socket is null ? null : Path.GetFullPath(socket), ProductVersion.Text));
    }

    /// <summary>Serves until asked to stop; returns the exit code.</summary>
    public int Run()
    {
        _log.Notice("Ready to accept connections");
        _transport.Run();
        _server.Mimei.Log?.Close();
        return 0;
    }

    /// <summary>Stops the node as SHUTDOWN does. From any thread.</summary>
    public void RequestShutdown(ShutdownRequest request) => _transport.Post(() => _server.Shutdown ??= request);

    /// <inheritdoc/>
    public Task<NodeStatus> ReadAsync(CancellationToken cancellation)
    {
        TaskCompletionSource<NodeStatus> read = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _transport.Post(() => read.SetResult(Status()));
        return read.Task.WaitAsync(cancellation);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _http.DisposeAsync().AsTask().GetAwaiter().GetResult();
        _transport.Dispose();
        _server.Dispose();
    }

    private NodeStatus Status()
    {
        Keyspace keyspace = _server.Mimei.Keyspace;
        return new NodeStatus(
            ProductVersion.Text,
            TimeSpan.FromMilliseconds(_server.NowMs - _server.StartedMs),
            _server.Sessions.Count,
            keyspace.Databases.Sum(d => d.Count),
            keyspace.UsedBytes);
    }

    private string? Relisten(string error)
    {
        try
        {
            Listen();
            return null;
        }
        catch (ListenException e)
        {
            _log.Warning(e.Message);
            return error;
        }
    }

    /// <summary>Everything a running node has lies in its folder.</summary>
    private string? KeepFolder()
    {
        string wanted = Path.GetFullPath(ConfigText.ToText(_config.Settings.Get(ConfigKeys.Directory)));
        return wanted == _folder.Path ? null : "the data folder of a running node cannot change";
    }
}
