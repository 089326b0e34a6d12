using System.Net;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Content;
using Leither.Ipfs.Files;
using Leither.MmDb;
using Leither.MmDb.Configuration;
using Leither.Node.Configuration;
using Leither.Node.Http;
using Leither.Node.Http.Gateway;
using Leither.Node.Http.Page;
using Leither.Node.Logging;
using Leither.Node.Network;
using Leither.Node.Replication;
using Leither.Node.Storage;
using Leither.Node.Transport;
using Leither.Node.Transport.Tls;

namespace Leither.Node;

/// <summary>Puts a node together: its MiMei, the server around it, the port, and what stops it.</summary>
public sealed class NodeHost : INodeStatus, IDisposable
{
    private static readonly TimeSpan _tlsDelay = TimeSpan.FromMilliseconds(300);

    private readonly NodeConfig _config;
    private readonly DataFolder _folder;
    private readonly NodeLog _log;
    private readonly MimeiFolders _mimeis;
    private readonly Server _server;
    private readonly ITransport _transport;
    private readonly HttpGateway _http;
    private readonly LocalClients _localClients;
    private readonly OomScore _oomScore;
    private readonly FileBlockstore _blocks;
    private readonly ContentRepo _content;
    private readonly NodeNetwork _network;
    private readonly TlsAcceptor _tls;
    private readonly ReplicationService _replication;

    /// <summary>Creates a node from its configuration; nothing listens yet.</summary>
    public NodeHost(NodeConfig config, DataFolder folder, NodeLog log)
    {
        _config = config;
        _folder = folder;
        _log = log;
        _mimeis = new MimeiFolders(folder.Path, config, log);
        _mimeis.Recovers = mid => ReplicationService.Recovers(_mimeis, mid, config.Settings);
        Mimei mimei = _mimeis.OpenDefault();
        LimitClients();
        _server = new Server(mimei, SettingsBinding.ServerOptions(config.Settings), TimeProvider.System, config.Settings, _mimeis)
        {
            ConfigFile = config.File ?? "",
        };
        _blocks = new FileBlockstore(Path.Combine(folder.Path, "ipfs", "blocks"));
        _server.Content = _content = new ContentRepo(new WatchedBlockstore(_blocks, cid => _network?.Added(cid)), new DiskFolder(Path.Combine(folder.Path, "ipfs")));
        _server.Network = _network = new NodeNetwork(_mimeis.Keys.Node, _content, Path.Combine(folder.Path, "swarm"), config.Settings, log);
        _server.Replicas = _replication = new ReplicationService(_server, _mimeis, _network, log);
        _localClients = new LocalClients(_server, action => _transport!.Post(action));
        _http = new HttpGateway(this, log, new IpfsGateway(_network.PublicBlocks, cancellation => _network.OpenRead(cancellation: cancellation), new NetworkNames(_network.Routing), log: log))
        {
            Peers = () => _network.AcceptsOnThePort ? _network.AcceptAsync : null,
            Clients = _localClients,
            Shown = new ShownFiles(_server),
        };
        _oomScore = new OomScore(log);
        _tls = new TlsAcceptor(config.Settings, folder.Path, log, TimeProvider.System);
        if (_tls.Reload() is { } error)
        {
            throw new IOException(error);
        }

        PortHandler port = new(new SessionHandler(_server, () => _transport!.Stop(), log) { LocalClients = _localClients }, _http.Take, () => _network.AcceptsOnThePort ? _network.Accept : null, log)
        {
            Tls = _tls,
            Https = _http.Take,
        };
        _transport = TransportFactory.Create(port, log);
        _server.WakeWithin = _transport.TickWithin;
        _server.RunNestedTurn = _transport.CanNest ? _transport.RunNestedTurn : null;
        _server.Post = _transport.Post;
        _server.Warn = log.Warning;
        _server.Transport = () =>
        {
            TransportCounters counters = _transport.Counters;
            return new LoopCounters(counters.Reads, counters.Writes, counters.Turns, counters.BusyMicroseconds);
        };
        _server.Connector = _transport;
        if (config.Settings.Get(ConfigKeys.OutboundNetworks) is { Count: > 0 } allowed)
        {
            IPNetwork[] networks = [.. allowed.Select(static text => PeerAddress.TryParseNetwork(text, out IPNetwork network) ? network : default)];
            _transport.MayReach = address => networks.Any(n => n.Contains(address));
        }

        _server.WorkFolder = folder.Path;
        DeleteLeftovers(folder.Path);
        if (config.Settings.Get(ConfigKeys.ReplicaOf) is { Host.Length: > 0 } source)
        {
            _server.Follow(source);
        }

        _server.ProgramVersion = ProductVersion.Text;
        _server.NodeId = _mimeis.Keys.Node.PublicKey.Id;
        _server.Users.Load();
        _server.Passports.Load();
        LimitInput();
        FollowSettings();
        _ = AdjustOomScore();
    }

    /// <summary>The TCP port listened on, or 0.</summary>
    public int Port => _transport.BoundPort;

    /// <summary>Opens the port, and says so in the data folder.</summary>
    /// <exception cref="ListenException">It cannot be opened.</exception>
    public void Listen()
    {
        _transport.Listen(_config.Listen);
        _network.ListensAt(_transport.BoundEndPoints);
        string? socket = _config.Listen.UnixSocket;
        _folder.Announce(new RunningNode(
            Environment.ProcessId, _config.LocalHost, Port, socket is null ? null : Path.GetFullPath(socket), ProductVersion.Text));
    }

    /// <summary>Reads anew what lies in files beside the configuration: certificates. From any thread.</summary>
    public void Reload() => Task.Run(() =>
    {
        // Why it failed, if it did, was told.
        if (_tls.Reload() is null)
        {
            _log.Notice("Certificates are read anew");
        }
    });

    /// <summary>The first answers go before.</summary>
    private async Task PrepareTlsAsync(CancellationToken ended)
    {
        await Task.Delay(_tlsDelay, ended).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (!ended.IsCancellationRequested) _tls.Prepare();
    }

    /// <summary>Serves until asked to stop; returns the exit code.</summary>
    public int Run()
    {
        _log.Notice("Ready to accept connections");
        _network.Begin();
        _replication.Begin();
        using var ended = new CancellationTokenSource();
        _ = PrepareTlsAsync(ended.Token);
        _transport.Run();
        ended.Cancel();
        _localClients.Close();
        // Followers are told before the logs end.
        _replication.StopAsync().GetAwaiter().GetResult();
        _server.Mimeis.CloseLogs();
        return 0;
    }

    /// <summary>Stops the node as SHUTDOWN does. From any thread.</summary>
    public void RequestShutdown(ShutdownRequest request) => _transport.Post(() =>
    {
        lock (_server.DefaultMimei.Gate)
        {
            // What the log holds needs no checkpoint, unless one is asked for.
            _ = _server.Stop(_server.DefaultMimei.Log is null ? request : request with { Save = request.Save ?? false });
        }
    });

    /// <inheritdoc/>
    public void Dispose()
    {
        _replication.DisposeAsync().AsTask().GetAwaiter().GetResult();
        _http.DisposeAsync().AsTask().GetAwaiter().GetResult();
        _network.DisposeAsync().AsTask().GetAwaiter().GetResult();
        _transport.Dispose();
        _server.Dispose();
        _mimeis.Dispose();
        CloseContent();
    }

    /// <summary>What was pinned is safe already; closing well saves the next start from reading what is not indexed.</summary>
    private void CloseContent()
    {
        try
        {
            _blocks.Close();
        }
        catch (IOException e)
        {
            _log.Warning($"Public content was not closed well: {e.Message}");
        }

        _content.Dispose();
    }

    /// <summary>Snapshots for replicas, and of masters, that an end without notice left.</summary>
    private static void DeleteLeftovers(string folder)
    {
        foreach (string pattern in (string[])["replica-*.rdb", "master-*.rdb"])
        {
            foreach (string file in Directory.EnumerateFiles(folder, pattern))
            {
                File.Delete(file);
            }
        }
    }

    /// <inheritdoc/>
    public Task<NodeFigures?> ReadFiguresAsync(CancellationToken cancellation) => AskLoop<NodeFigures?>(Figures, cancellation);

    /// <inheritdoc/>
    public void NoteRequest(TimeSpan took) => _server.NoteLatency("gateway-request", took);

    /// <inheritdoc/>
    public async Task<IReadOnlyList<string>> ReadProblemsAsync(CancellationToken cancellation)
    {
        List<string> problems = await AskLoop(Problems, cancellation);
        try
        {
            // Below this a log soon has no room left, and refuses writes.
            if (new DriveInfo(_folder.Path).AvailableFreeSpace is var free && free < LeastFreeBytes)
            {
                problems.Add($"the disk of the data folder is nearly full: {free >> 20} MiB are left");
            }
        }
        catch (IOException e)
        {
            problems.Add($"the disk of the data folder cannot be asked: {e.Message}");
        }

        return problems;
    }

    private const long LeastFreeBytes = 64 << 20;

    private Task<T> AskLoop<T>(Func<T> question, CancellationToken cancellation)
    {
        TaskCompletionSource<T> answer = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _transport.Post(() =>
        {
            try
            {
                answer.SetResult(question());
            }
            catch (Exception e)
            {
                // It belongs to who asked, not to the loop.
                answer.SetException(e);
            }
        });
        return answer.Task.WaitAsync(cancellation);
    }

    private NodeFigures Figures() => new(
        _server.Describe(),
        ProductVersion.Text,
        [
            .. _server.Mimeis.Open.Where(static m => m.Current is null).OrderByDescending(static m => m.Keyspace.UsedBytes).Take(Metrics.MaxMimei)
                .Select(static m => new MimeiFigures(m.Id.ToString(), m.Entry?.Record.Name ?? "", m.KeyCount, m.Keyspace.UsedBytes, m.Log?.TotalBytes ?? 0)),
        ],
        _tls.Accepted,
        _tls.Refused);

    private List<string> Problems()
    {
        List<string> problems = [];
        if (_server.Shutdown is not null)
        {
            problems.Add("the node is stopping");
        }

        foreach (Mimei mimei in _server.Mimeis.Open)
        {
            if (mimei.Log is { State: not MmDb.Log.LogState.Open } log)
            {
                problems.Add($"the log of MiMei {mimei.Id} takes no writes: {log.Error.Text}");
            }
        }

        return problems;
    }

    /// <summary>What CONFIG SET changes in the program; what it changes in the server is tied there.</summary>
    private void FollowSettings()
    {
        ConfigSettings settings = _config.Settings;
        settings.OnChange(() => Relisten("Failed to bind to specified addresses."), ConfigKeys.Bind);
        settings.OnChange(() => Relisten("Unable to listen on this port. Check server logs."), ConfigKeys.Port);
        settings.OnChange(() => Relisten("Failed to set the keepalive. Check server logs."), ConfigKeys.TcpKeepAlive);
        settings.OnChange(() => Relisten("Unable to listen on this port. Check server logs."), ConfigKeys.TlsPort);
        settings.OnChange(
            () => _tls.Reload() is null ? null : "Unable to update TLS configuration. Check server logs.",
            ConfigKeys.TlsCertFile, ConfigKeys.TlsKeyFile, ConfigKeys.TlsKeyFilePassword, ConfigKeys.TlsCaCertFile, ConfigKeys.TlsCaCertDir, ConfigKeys.TlsAuthClients,
            ConfigKeys.TlsProtocols, ConfigKeys.TlsCiphers, ConfigKeys.TlsCipherSuites, ConfigKeys.TlsSessionCaching);
        settings.OnChange(KeepFolder, ConfigKeys.Directory);
        settings.OnChange(FollowFsync, ConfigKeys.AppendFsync);
        settings.OnChange(static () => "the log is turned on or off when the node starts", ConfigKeys.AppendOnly);
        settings.OnChange(CheckClients, ConfigKeys.MaxClients);
        settings.OnChange(LimitInput, ConfigKeys.ClientQueryBufferLimit);
        settings.OnChange(AdjustOomScore, ConfigKeys.OomScoreAdj, ConfigKeys.OomScoreAdjValues);
        settings.OnChange(
            () =>
            {
                _log.Level = (NodeLogLevel)settings.Get(ConfigKeys.LogLevel);
                _log.Format = (NodeLogFormat)settings.Get(ConfigKeys.LogFormat);
                return null;
            },
            ConfigKeys.LogLevel, ConfigKeys.LogFormat);
    }

    private string? FollowFsync()
    {
        foreach (Mimei mimei in _server.Mimeis.Open)
        {
            if (mimei.Log is { } log)
            {
                log.Fsync = _mimeis.Fsync;
            }
        }

        return null;
    }

    private string? LimitInput()
    {
        _transport.MaxInputBytes = (long)Math.Min((ulong)_config.Settings.Get(ConfigKeys.ClientQueryBufferLimit), long.MaxValue);
        return null;
    }

    /// <summary>At start a node makes do with as many clients as the system allows, as Redis does.</summary>
    private void LimitClients()
    {
        long wanted = _config.Settings.Get(ConfigKeys.MaxClients);
        long possible = OpenFiles.MakeRoomFor(wanted);
        if (possible < wanted)
        {
            _log.Warning($"You requested maxclients of {wanted}, but the limit of open files allows {possible}. Raise it with 'ulimit -n'");
            _config.Settings.Put(ConfigKeys.MaxClients, possible);
        }
    }

    private string? AdjustOomScore() =>
        _oomScore.Apply((OomScoreMode)_config.Settings.Get(ConfigKeys.OomScoreAdj), _config.Settings.Get(ConfigKeys.OomScoreAdjValues)[0]) ? null
            : "Failed to apply new oom_score_adj configuration, check server logs.";

    private string? CheckClients()
    {
        long wanted = _config.Settings.Get(ConfigKeys.MaxClients);
        long possible = OpenFiles.MakeRoomFor(wanted);
        return possible < wanted
            ? $"The operating system is not able to handle the specified number of clients, try with {possible}"
            : null;
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
