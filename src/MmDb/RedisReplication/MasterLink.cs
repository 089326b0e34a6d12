using System.Diagnostics;
using System.Globalization;
using System.Text;
using Leither.MmDb.Configuration;
using Leither.MmDb.Rdb;
using Leither.Resp;

namespace Leither.MmDb.RedisReplication;

/// <summary>
/// The link to a Redis server that this one follows: it introduces itself, gets everything (or, after a cut, only what it lacks), and
/// then runs the commands that the master sends. What arrives first goes to a file, and is loaded from there in slices.
/// </summary>
/// <remarks>
/// <code>
/// Waiting → Connecting → Introducing → Asking ─ FULLRESYNC → Receiving → Loading → Following
///    ↑                                   └───── CONTINUE ─────────────────────────────↑
///    └──────── whenever the connection ends
/// </code>
/// </remarks>
internal sealed unsafe class MasterLink : IOutboundHandler, IDisposable
{
    private const long RetryMs = 1000;
    private const int MaxLineBytes = 1024;
    private const int IdLength = 40;
    private const int EofMarkBytes = 40;
    private const int KeysAtOnce = 128;

    private static readonly long _sliceTicks = Stopwatch.Frequency / 200;

    private readonly Server _server;
    private readonly Replicator _replication;
    private readonly Queue<string[]> _introduction = new();
    private SilentConnection _silent = new();
    private Session? _session;
    private IOutboundConnection? _connection;
    private State _state = State.Waiting;
    private long _lastHeardMs, _lastSentMs, _retryAtMs, _downSinceMs;
    private bool _isAskedForPlace, _waitsForScript;
    private string _unreachable = "";
    private string _fullId = "";
    private long _fullOffset, _fileLeft;
    private byte[]? _eofMark;
    private string _file = "";
    private FileStream? _stream;
    private RdbFile? _rdb;
    private RdbImporter? _importer;
    private bool _isDisposed, _hasStream;

    /// <summary>A link that is not made yet.</summary>
    /// <param name="server">The server that follows.</param>
    /// <param name="replication">Its replication.</param>
    /// <param name="host">The master's host.</param>
    /// <param name="port">The master's port.</param>
    /// <param name="previous">The link that this one takes the place of; null: the server was a master.</param>
    public MasterLink(Server server, Replicator replication, string host, int port, MasterLink? previous)
    {
        _server = server;
        _replication = replication;
        Host = host;
        Port = port;
        _downSinceMs = server.NowMs;
        if (previous is null)
        {
            // A master that becomes a replica may go on from where it was: its stream may be the new master's past.
            _hasStream = replication.Backlog is not null;
        }
        else if (previous._hasStream)
        {
            // Who is asked next may hand on the same stream, which says its database and the beginning of a transaction only once.
            _hasStream = true;
            (_session, previous._session) = (previous._session, null);
            (_silent, previous._silent) = (previous._silent, _silent);
            _session?.Parser.Reset();
        }
    }

    private enum State
    {
        Waiting,
        Connecting,
        Introducing,
        Asking,
        Receiving,
        Loading,
        Following,
    }

    /// <summary>The master's host.</summary>
    public string Host { get; }
    /// <summary>The master's port.</summary>
    public int Port { get; }
    /// <summary>Whether it follows at present.</summary>
    public bool IsUp => _state == State.Following;
    /// <summary>Whether everything is being loaded.</summary>
    public bool IsLoading => _state == State.Loading;
    /// <summary>Whether everything is on its way.</summary>
    public bool IsSynchronizing => _state is State.Receiving or State.Loading;
    /// <summary>Seconds since the master was heard of; -1: there is no link.</summary>
    public long SecondsSinceHeard => _connection is null ? -1 : (_server.NowMs - _lastHeardMs) / 1000;
    /// <summary>Seconds since the link went down.</summary>
    public long DownSeconds => (_server.NowMs - _downSinceMs) / 1000;

    /// <summary>What ROLE calls the state.</summary>
    public string StateName => _state switch
    {
        State.Waiting => "connect",
        State.Connecting => "connecting",
        State.Introducing or State.Asking => "handshake",
        State.Receiving or State.Loading => "sync",
        _ => "connected",
    };

    /// <inheritdoc/>
    public void Dispose()
    {
        _isDisposed = true;
        _connection?.Close();
        DropTransfer();
        DropSession();
        _silent.Dispose();
    }

    /// <summary>Connects.</summary>
    public void Start()
    {
        _state = State.Connecting;
        _lastHeardMs = _server.NowMs;
        _server.Connector!.Connect(Host, Port, TimeoutMs, this);
    }

    private int TimeoutMs => (int)Math.Min(int.MaxValue, _server.Settings.Get(ConfigKeys.ReplTimeout) * 1000);

    /// <summary>Periodic work. Returns in how many milliseconds it wants to be called again.</summary>
    public int Step(long nowMs)
    {
        if (_waitsForScript && !_server.Scripts.IsBusy)
        {
            _waitsForScript = false;
            _lastHeardMs = nowMs;
            _connection?.Resume();
        }

        switch (_state)
        {
            case State.Waiting when nowMs >= _retryAtMs:
                Start();
                break;
            case State.Loading:
                if (nowMs - _lastSentMs >= 1000)
                {
                    // The master drops who says nothing for too long.
                    _lastSentMs = nowMs;
                    _connection?.Output.Raw("\n"u8);
                    _connection?.SendOutput();
                }

                Load();
                return 0;
            case State.Following when nowMs - _lastSentMs >= 1000:
                Acknowledge();
                break;
        }

        if (_connection is { } connection && nowMs - _lastHeardMs > TimeoutMs)
        {
            _server.Warn?.Invoke("MASTER timeout: no data nor PING received...");
            connection.Close();
        }

        return 100;
    }

    /// <summary>Ends the connection, which is then made again; false: there is none.</summary>
    public bool Cut()
    {
        _connection?.Close();
        return _connection is not null;
    }

    /// <summary>The master wants to know how far this server is (REPLCONF GETACK). It is told after what came with the question.</summary>
    public void AskForPlace() => _isAskedForPlace = true;

    /// <summary>Tells the master how far this server is.</summary>
    private void Acknowledge()
    {
        if (_connection is not null && _state == State.Following)
        {
            _lastSentMs = _server.NowMs;
            string offset = _replication.Offset.ToString(CultureInfo.InvariantCulture);
            Send(_server.DefaultMimei.Log is { } log && log.SyncedSequence >= log.LastSequence
                ? ["REPLCONF", "ACK", offset, "FACK", offset]
                : ["REPLCONF", "ACK", offset]);
        }
    }

    // ------------------------------------------------------------------ the connection

    /// <inheritdoc/>
    public void OnConnected(IOutboundConnection connection)
    {
        _unreachable = "";
        if (_isDisposed)
        {
            connection.Close();
            return;
        }

        _connection = connection;
        _lastHeardMs = _server.NowMs;
        _state = State.Introducing;
        _introduction.Clear();
        string password = _server.Settings.Get(ConfigKeys.MasterAuth), user = _server.Settings.Get(ConfigKeys.MasterUser);
        _introduction.Enqueue(["PING"]);
        if (password.Length > 0)
        {
            _introduction.Enqueue(user.Length > 0 ? ["AUTH", user, password] : ["AUTH", password]);
        }

        long port = _server.Settings.Get(ConfigKeys.ReplicaAnnouncePort);
        _introduction.Enqueue(["REPLCONF", "listening-port", (port != 0 ? port : _server.Settings.Get(ConfigKeys.Port)).ToString(CultureInfo.InvariantCulture)]);
        if (_server.Settings.Get(ConfigKeys.ReplicaAnnounceIp) is { Length: > 0 } address)
        {
            _introduction.Enqueue(["REPLCONF", "ip-address", address]);
        }

        _introduction.Enqueue(["REPLCONF", "capa", "eof", "capa", "psync2"]);
        Send(_introduction.Peek());
    }

    /// <inheritdoc/>
    public void OnClosed(OutboundEnd end, string reason)
    {
        _connection = null;
        _waitsForScript = false;
        if (_isDisposed)
        {
            return;
        }

        if (_state == State.Following)
        {
            _server.Warn?.Invoke($"Connection with master lost: {reason}");
            _downSinceMs = _server.NowMs;
        }
        else if (_state == State.Connecting && _unreachable != reason)
        {
            // It is tried again each second: once is enough for each reason.
            _server.Warn?.Invoke($"Following {Host}:{Port}: it cannot be reached: {reason}");
            _unreachable = reason;
        }

        DropTransfer();
        _session?.Parser.Reset();
        _state = State.Waiting;
        _retryAtMs = _server.NowMs + RetryMs;
    }

    private void Fail(string problem)
    {
        _server.Warn?.Invoke($"Following {Host}:{Port}: {problem}");
        _connection?.Close();
    }

    private void Send(string[] words)
    {
        RespWriter output = _connection!.Output;
        output.Array(words.Length);
        foreach (string word in words)
        {
            output.Bulk(Encoding.Latin1.GetBytes(word));
        }

        _connection.SendOutput();
    }

    /// <inheritdoc/>
    public long OnReceive(byte* data, long length)
    {
        _lastHeardMs = _server.NowMs;
        if (_server.Scripts.IsBusy)
        {
            // Other clients are told that it is busy; the stream waits, since nothing of it may be refused.
            _waitsForScript = true;
            _connection?.Pause();
            return 0;
        }

        long consumed = 0;
        while (consumed < length && !_isDisposed && _connection is not null)
        {
            long step = _state switch
            {
                State.Introducing or State.Asking => TakeLine(data + consumed, length - consumed),
                State.Receiving => TakeFile(data + consumed, length - consumed),
                State.Following => TakeStream(data + consumed, length - consumed),
                _ => 0,
            };
            if (step == 0)
            {
                break;
            }

            consumed += step;
        }

        return consumed;
    }

    // ------------------------------------------------------------------ introduction

    private long TakeLine(byte* data, long length)
    {
        int end = new ReadOnlySpan<byte>(data, (int)Math.Min(length, MaxLineBytes)).IndexOf((byte)'\n');
        if (end < 0)
        {
            if (length >= MaxLineBytes)
            {
                Fail("the master does not speak Redis's protocol");
            }

            return 0;
        }

        string line = Encoding.Latin1.GetString(data, end).TrimEnd('\r');
        if (line.Length > 0)
        {
            if (_state == State.Introducing)
            {
                TakeIntroductionReply(line);
            }
            else
            {
                TakeAnswer(line);
            }
        }

        return end + 1;
    }

    private void TakeIntroductionReply(string line)
    {
        string[] sent = _introduction.Dequeue();
        bool isRefused = line[0] == '-';
        bool matters = sent[0] == "AUTH" || (sent[0] == "PING" && !line.StartsWith("-NOAUTH", StringComparison.Ordinal)
            && !line.StartsWith("-NOPERM", StringComparison.Ordinal) && !line.StartsWith("-ERR operation not permitted", StringComparison.Ordinal));
        if (isRefused && matters)
        {
            Fail($"the master refused {sent[0]}: {line[1..]}");
            return;
        }

        if (_introduction.TryPeek(out string[]? next))
        {
            Send(next);
            return;
        }

        _state = State.Asking;
        string place = (_replication.Offset + 1).ToString(CultureInfo.InvariantCulture);
        Send(_replication.Failover is { IsHandedOver: true } ? ["PSYNC", _replication.Id, place, "FAILOVER"]
            : _hasStream ? ["PSYNC", _replication.Id, place]
            : ["PSYNC", "?", "-1"]);
    }

    private void TakeAnswer(string line)
    {
        string[] words = line.Split(' ');
        if (_replication.Failover is not null && words[0] is not ("-NOMASTERLINK" or "-LOADING"))
        {
            if (line[0] != '+')
            {
                _replication.AbortFailover($"Failover target rejected psync request: {line}");
                return;
            }

            _replication.EndFailover();
        }

        switch (words[0])
        {
            case "+CONTINUE" when !_hasStream:
                Fail("the master goes on with a stream of which this server has nothing");
                break;
            case "+FULLRESYNC" when words.Length == 3 && words[1].Length == IdLength && long.TryParse(words[2], NumberStyles.None, CultureInfo.InvariantCulture, out long offset):
                _fullId = words[1];
                _fullOffset = offset;
                BeginTransfer();
                break;
            case "+CONTINUE":
                if (words.Length > 1 && words[1].Length == IdLength)
                {
                    _replication.RenameStream(words[1]);
                }

                _server.Warn?.Invoke("Successful partial resynchronization with master.");
                Follow();
                break;
            default:
                // Busy, loading, or without a master itself: later.
                Fail($"the master answers PSYNC with: {line}");
                break;
        }
    }

    private void Follow()
    {
        _state = State.Following;
        _session ??= _server.OpenSource(_silent);
        // While everything was loaded, nobody listened.
        _lastHeardMs = _server.NowMs;
        Acknowledge();
    }

    // ------------------------------------------------------------------ the first copy

    private void BeginTransfer()
    {
        _hasStream = false;
        _state = State.Receiving;
        _fileLeft = -1;
        _eofMark = null;
        _file = Path.Combine(_server.WorkFolder ?? Path.GetTempPath(), $"master-{Environment.ProcessId}.rdb");
        try
        {
            // What arrives is written as it is: nothing waits in memory that a full disk would refuse later, when the file is closed.
            _stream = new FileStream(_file, FileMode.Create, FileAccess.ReadWrite, FileShare.Read, bufferSize: 0);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Fail($"what the master sends cannot be kept: {e.Message}");
        }
    }

    private long TakeFile(byte* data, long length)
    {
        if (_stream is null)
        {
            // There is no place for it: the connection is ending.
            return length;
        }

        if (_fileLeft < 0 && _eofMark is null)
        {
            return TakeFileHead(data, length);
        }

        try
        {
            return _eofMark is null ? TakeSized(data, length) : TakeMarked(data, length);
        }
        catch (IOException e)
        {
            Fail($"what the master sends cannot be kept: {e.Message}");
            return length;
        }
    }

    private long TakeFileHead(byte* data, long length)
    {
        int end = new ReadOnlySpan<byte>(data, (int)Math.Min(length, MaxLineBytes)).IndexOf((byte)'\n');
        if (end < 0)
        {
            if (length >= MaxLineBytes)
            {
                Fail("instead of its data the master sends something else");
            }

            return 0;
        }

        string line = Encoding.Latin1.GetString(data, end).TrimEnd('\r');
        if (line.StartsWith("$EOF:", StringComparison.Ordinal) && line.Length == 5 + EofMarkBytes)
        {
            _eofMark = Encoding.Latin1.GetBytes(line[5..]);
        }
        else if (line.Length > 1 && line[0] == '$' && long.TryParse(line[1..], NumberStyles.None, CultureInfo.InvariantCulture, out long size))
        {
            _fileLeft = size;
        }
        else if (line.Length > 0)
        {
            Fail($"instead of its data the master sends: {line}");
        }

        return end + 1;
    }

    private long TakeSized(byte* data, long length)
    {
        long taken = Math.Min(length, _fileLeft);
        _stream!.Write(new ReadOnlySpan<byte>(data, (int)taken));
        _fileLeft -= taken;
        if (_fileLeft == 0)
        {
            BeginLoading();
        }

        return taken;
    }

    /// <summary>The file ends with the mark; as much as may be the mark's beginning waits for what follows.</summary>
    private long TakeMarked(byte* data, long length)
    {
        var bytes = new ReadOnlySpan<byte>(data, (int)length);
        int mark = bytes.IndexOf(_eofMark);
        if (mark >= 0)
        {
            _stream!.Write(bytes[..mark]);
            BeginLoading();
            return mark + EofMarkBytes;
        }

        int taken = Math.Max(0, bytes.Length - EofMarkBytes + 1);
        _stream!.Write(bytes[..taken]);
        return taken;
    }

    private void BeginLoading()
    {
        _state = State.Loading;
        _connection!.Pause();
        _stream!.Position = 0;
        _lastSentMs = _server.NowMs;
        DropSession();
        DropData();
        try
        {
            _rdb = new RdbFile(_stream);
            _importer = new RdbImporter(_replication.Keyspace) { KeepsExpired = true };
        }
        catch (Exception e) when (e is RdbFormatException or IOException)
        {
            Fail($"the master's data cannot be loaded: {e.Message}");
        }

        _server.WakeWithin?.Invoke(0);
    }

    /// <summary>All that was here goes: keys, functions, and what clients have of them.</summary>
    private void DropData()
    {
        Mimei mimei = _server.DefaultMimei;
        lock (mimei.Gate)
        {
            Effects effects = mimei.Keyspace.Effects;
            effects.FlushAll();
            effects.FunctionFlush();
            effects.EndEntry();
            mimei.Tracking.Flushed();
        }
    }

    private void Load()
    {
        if (_rdb is null)
        {
            return;
        }

        long deadline = Stopwatch.GetTimestamp() + _sliceTicks;
        _replication.Keyspace.FollowsSource = true;
        try
        {
            do
            {
                for (int i = 0; i < KeysAtOnce; i++)
                {
                    switch (_rdb.Read())
                    {
                        case RdbItem.End:
                            FinishLoading();
                            return;
                        case RdbItem.Function:
                            LoadFunction(_rdb.FunctionSource);
                            break;
                        default:
                            _importer!.Import(_rdb);
                            break;
                    }
                }
            }
            while (Stopwatch.GetTimestamp() < deadline);
        }
        catch (Exception e) when (e is RdbFormatException or IOException)
        {
            Fail($"the master's data cannot be loaded: {e.Message}");
            DropTransfer();
        }
        finally
        {
            _replication.Keyspace.FollowsSource = false;
        }
    }

    private void LoadFunction(ReadOnlySpan<byte> source)
    {
        _session ??= _server.OpenSource(_silent);
        using var request = new RespWriter();
        request.Array(4);
        request.Bulk("FUNCTION"u8);
        request.Bulk("LOAD"u8);
        request.Bulk("REPLACE"u8);
        request.Bulk(source);
        _server.Dispatcher.Execute(_session, request.Data, request.Length);
        DropReplies();
    }

    private void FinishLoading()
    {
        _server.Warn?.Invoke($"MASTER <-> REPLICA sync: Finished with success, {_importer!.Imported} keys");
        DropTransfer();
        _hasStream = true;
        _replication.AdoptStream(_fullId, _fullOffset);
        Follow();
        _connection!.Resume();
    }

    private void DropTransfer()
    {
        _rdb?.Dispose();
        _importer?.Dispose();
        _rdb = null;
        _importer = null;
        if (_stream is { } stream)
        {
            _stream = null;
            stream.Dispose();
            File.Delete(_file);
        }
    }

    // ------------------------------------------------------------------ the stream

    private long TakeStream(byte* data, long length)
    {
        long consumed = _server.Dispatcher.Execute(_session!, data, length);
        _replication.Emit(data, consumed);
        DropReplies();
        if (_isAskedForPlace)
        {
            _isAskedForPlace = false;
            Acknowledge();
        }

        if (_session is { LacksWrites: true })
        {
            // The log took it not, so it is not here. What follows would build on it.
            _hasStream = false;
            DropSession();
            Fail("what the master sends cannot be logged, so everything is asked for again");
            return length;
        }

        if (_session is { IsClosing: true })
        {
            // What was said cannot be understood, and where to go on is not known: everything is asked for again.
            _hasStream = false;
            DropSession();
            Fail("the master's stream is damaged");
            return length;
        }

        return consumed;
    }

    private void DropSession()
    {
        _session?.Parser.Dispose();
        _session = null;
    }

    private void DropReplies()
    {
        RespWriter output = _silent.Output;
        if (output.Length == 0)
        {
            return;
        }

        var reader = new RespReader(output.Span);
        while (RespReply.TryRead(ref reader, out RespReply? reply) == ReadStatus.Complete)
        {
            if (reply!.IsError)
            {
                _server.Warn?.Invoke($"== CRITICAL == A command of the master's stream was refused here: {reply.Text}");
            }
        }

        output.Release();
    }
}
