using System.Diagnostics.CodeAnalysis;
using Leither.MmDb.Commands;
using Leither.MmDb.Log;

namespace Leither.MmDb;

/// <summary>
/// What the sessions of one node share: the command table, the default MiMei, the registry of clients, counters and the clock.
/// It knows no sockets: the node presents received bytes to <see cref="Dispatcher"/> and sends what lands in each session's output.
/// </summary>
public sealed unsafe class Server : IDisposable
{
    private long _nextSessionId = 1;

    /// <summary>A server around its default MiMei.</summary>
    /// <param name="mimei">Where a connection starts.</param>
    /// <param name="options">Settings.</param>
    /// <param name="time">The clock.</param>
    public Server(Mimei mimei, ServerOptions options, TimeProvider time)
    {
        Mimei = mimei;
        Options = options;
        Time = time;
        StartedMs = time.GetUtcNow().ToUnixTimeMilliseconds();
        Commands = new CommandTable(CommandList.All());
        Blocking = new Blocking(this);
        Dispatcher = new Dispatcher(this);
        mimei.Keyspace.NowMs = StartedMs;
    }

    /// <summary>The default MiMei.</summary>
    public Mimei Mimei { get; }
    /// <summary>Settings.</summary>
    public ServerOptions Options { get; }
    /// <summary>The clock.</summary>
    public TimeProvider Time { get; }
    /// <summary>All commands.</summary>
    public CommandTable Commands { get; }
    /// <summary>Runs what clients send.</summary>
    public Dispatcher Dispatcher { get; }
    /// <summary>Clients that wait on keys.</summary>
    public Blocking Blocking { get; }
    /// <summary>Counters.</summary>
    public ServerStats Stats { get; } = new();
    /// <summary>All sessions by id, in the order in which they came.</summary>
    public SortedDictionary<long, Session> Sessions { get; } = [];
    /// <summary>When it started, in Unix milliseconds.</summary>
    public long StartedMs { get; }
    /// <summary>Asked for by SHUTDOWN or a signal: the node stops at the end of the turn.</summary>
    public ShutdownRequest? Shutdown { get; set; }

    /// <summary>The clock's reading now, in Unix milliseconds.</summary>
    public long NowMs => Time.GetUtcNow().ToUnixTimeMilliseconds();

    /// <summary>Makes the session of a new connection.</summary>
    public Session Open(IClientConnection connection)
    {
        var session = new Session(_nextSessionId++, connection, Mimei, NowMs)
        {
            IsAuthenticated = Options.RequirePass.Length == 0,
        };
        session.IsRefused = Options.ProtectedMode && Options.RequirePass.Length == 0 && !connection.IsLocal;
        Sessions.Add(session.Id, session);
        Stats.ConnectionsReceived++;
        return session;
    }

    /// <summary>Forgets a session whose connection ended.</summary>
    public void Close(Session session)
    {
        if (Sessions.Remove(session.Id))
        {
            Blocking.Remove(session);
            Transactions.Unwatch(session);
            session.Mimei.PubSub.RemoveAll(session);
            session.Parser.Dispose();
            session.IsClosing = true;
        }
    }

    /// <summary>The log's one write for everything that this turn changed; replies may leave after it.</summary>
    public void EndTurn()
    {
        if (Mimei.Log is { HasUnwritten: true } log)
        {
            log.Flush();
        }
    }

    /// <summary>Until when commands are held back, in Unix milliseconds (CLIENT PAUSE); 0: they are not.</summary>
    public long PausedUntilMs { get; private set; }

    /// <summary>Holds back the commands of all clients until an instant (CLIENT PAUSE), or lets them go on (0).</summary>
    public void Pause(long untilMs, bool writesOnly)
    {
        PausedUntilMs = untilMs;
        PausesWritesOnly = writesOnly;
        if (untilMs == 0)
        {
            foreach (Session session in Sessions.Values)
            {
                if (session.IsPaused)
                {
                    session.IsPaused = false;
                    session.Connection.Resume();
                }
            }
        }
    }

    /// <summary>Whether only writes are held back.</summary>
    public bool PausesWritesOnly { get; private set; }

    /// <summary>Whether a session's commands are held back at present; if so, its input is presented again later.</summary>
    internal bool IsPausedFor(Session session)
    {
        if (PausedUntilMs == 0 || PausesWritesOnly || session.IsMonitor)
        {
            return false;
        }

        session.IsPaused = true;
        session.Connection.Pause();
        return true;
    }

    /// <summary>Whether every command needs the seldom checks.</summary>
    internal bool NeedsChecks => false;

    /// <summary>Whether each command is timed by itself; otherwise those that are quick by nature are not timed at all.</summary>
    internal bool TimesEveryCommand => Options.SlowLogMicroseconds is >= 0 and < 1000;

    /// <summary>Takes note of how long a command took.</summary>
    internal void Timed(Session session, CommandSpec spec, Resp.Slice* args, int count, long elapsed)
    {
        spec.Stats.Ticks += elapsed;
    }

    /// <summary>Whether a write can be logged; otherwise the error that refuses it before it runs.</summary>
    internal bool LogAccepts(Session session, Resp.Slice* args, int count, [NotNullWhen(false)] out string? refusal)
    {
        refusal = null;
        if (session.Mimei.Log is not { } log)
        {
            return true;
        }

        long bytes = 0;
        for (int i = 0; i < count; i++)
        {
            bytes += args[i].Length;
        }

        if (log.CanAccept(bytes, out LogError error))
        {
            return true;
        }

        refusal = $"MISCONF Errors writing to the AOF file: {error.Text}";
        return false;
    }

    /// <summary>Tells a client from elsewhere that protected mode keeps it out, and ends its connection.</summary>
    internal void RefuseProtected(Session session)
    {
        session.Output.Error(Errors.ProtectedMode);
        Stats.CountError(Errors.ProtectedMode);
        session.CloseAfterReply();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Dispatcher.Dispose();
        Mimei.Dispose();
    }
}

/// <summary>How the server was asked to stop.</summary>
/// <param name="Save">Make a checkpoint first: null leaves it to the configuration.</param>
/// <param name="Now">Do not wait for anybody.</param>
/// <param name="Force">Stop even if saving fails.</param>
public sealed record ShutdownRequest(bool? Save, bool Now, bool Force);

/// <summary>The server's settings that the dispatcher and sessions read on every command; CONFIG SET changes them.</summary>
public sealed class ServerOptions
{
    /// <summary>requirepass; empty: none.</summary>
    public string RequirePass { get; set; } = "";
    /// <summary>protected-mode.</summary>
    public bool ProtectedMode { get; set; } = true;
    /// <summary>maxclients.</summary>
    public int MaxClients { get; set; } = 10000;
    /// <summary>Seconds after which idle clients are closed; 0: never.</summary>
    public int IdleTimeoutSeconds { get; set; }
    /// <summary>slowlog-log-slower-than, in microseconds; negative: off.</summary>
    public long SlowLogMicroseconds { get; set; } = 10_000;
    /// <summary>The port it serves.</summary>
    public int Port { get; set; } = 4800;
    /// <summary>Redis's version whose behaviour is matched; clients read it in HELLO and INFO.</summary>
    public const string RedisVersion = "7.2.6";
}

/// <summary>Counters of the server for INFO.</summary>
public sealed class ServerStats
{
    private readonly Dictionary<string, long> _errors = [];

    /// <summary>Connections accepted.</summary>
    public long ConnectionsReceived { get; set; }
    /// <summary>Connections refused for maxclients.</summary>
    public long ConnectionsRejected { get; set; }
    /// <summary>Commands run.</summary>
    public long CommandsProcessed { get; set; }
    /// <summary>Bytes received.</summary>
    public long BytesReceived { get; set; }
    /// <summary>Bytes sent.</summary>
    public long BytesSent { get; set; }
    /// <summary>Error replies.</summary>
    public long ErrorReplies { get; private set; }
    /// <summary>Error replies by their first word, for INFO errorstats.</summary>
    public IReadOnlyDictionary<string, long> Errors => _errors;

    /// <summary>Counts an error reply by its first word.</summary>
    public void CountError(ReadOnlySpan<byte> text)
    {
        ErrorReplies++;
        int end = text.IndexOf((byte)' ');
        string word = System.Text.Encoding.UTF8.GetString(end < 0 ? text : text[..end]);
        _errors[word] = _errors.GetValueOrDefault(word) + 1;
    }

    /// <summary>Back to zero (CONFIG RESETSTAT).</summary>
    public void Reset()
    {
        ConnectionsReceived = ConnectionsRejected = CommandsProcessed = BytesReceived = BytesSent = ErrorReplies = 0;
        _errors.Clear();
    }
}
