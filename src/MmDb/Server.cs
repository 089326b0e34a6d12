using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using Leither.MmDb.Acl;
using Leither.MmDb.Commands;
using Leither.MmDb.Configuration;
using Leither.MmDb.Log;

namespace Leither.MmDb;

/// <summary>
/// What the sessions of one node share: the command table, the MiMei, the registry of clients, counters and the clock.
/// It knows no sockets: the node presents received bytes to <see cref="Dispatcher"/> and sends what lands in each session's output.
/// </summary>
public sealed unsafe partial class Server : IDisposable
{
    private readonly CommandStats[] _commandStats;
    private long _nextSessionId = 1;
    private bool _needsChecks;
    private Dispatcher? _nestedDispatcher;

    // The MiMei that this turn has to do with; the default one always, and first.
    private readonly List<Mimei> _touched = [];

    /// <summary>A server around its default MiMei.</summary>
    /// <param name="mimei">Where a connection starts.</param>
    /// <param name="options">Settings.</param>
    /// <param name="time">The clock.</param>
    /// <param name="settings">The configuration that CONFIG shows and changes; without one it is made from the options.</param>
    /// <param name="store">Where MiMei are kept; without one there is the default one only.</param>
    public Server(Mimei mimei, ServerOptions options, TimeProvider time, ConfigSettings? settings = null, IMimeiStore? store = null)
    {
        DefaultMimei = mimei;
        Options = options;
        Time = time;
        StartedMs = time.GetUtcNow().ToUnixTimeMilliseconds();
        StartUsedBytes = mimei.Keyspace.UsedBytes;
        Commands = CommandTable.Shared;
        _commandStats = new CommandStats[CommandSpec.Count];
        for (int i = 0; i < _commandStats.Length; i++)
        {
            _commandStats[i] = new CommandStats();
        }

        Blocking = new Blocking(this);
        ClientMemory = new ClientMemory(this);
        Dispatcher = new Dispatcher(this);
        mimei.Keyspace.NowMs = StartedMs;
        Mimeis = new MimeiRegistry(this, store);
        Hosts = new HostNames(store?.Folder);
        mimei.IsTouched = true;
        _touched.Add(mimei);
        Monitors = new Monitors(this);
        RunId = DrawId();
        Settings = SettingsBinding.Bind(this, settings);
        Replication = new RedisReplication.Replicator(this);
        Migrator = new RedisReplication.Migrator(this);
        Passports = new Passports.PassportOffice(this);
        Users = new AclUsers(this);
        Scripts = new Scripting.Scripts(this);
        ClientMemory.LimitAsNeeded();
    }

    /// <summary>The MiMei that connections start in; never unloaded.</summary>
    public Mimei DefaultMimei { get; }
    /// <summary>All MiMei of the node.</summary>
    public MimeiRegistry Mimeis { get; }
    /// <summary>The public content of the node, apart from what its MiMei hold; null: it keeps none.</summary>
    public Leither.Ipfs.Content.ContentRepo? Content { get; set; }
    /// <summary>The names of hosts that show MiMei of files to browsers.</summary>
    public HostNames Hosts { get; }
    /// <summary>The network that the node is part of; null: it is alone.</summary>
    public INodeNetwork? Network { get; set; }
    /// <summary>MiMei on several nodes; null: this one is alone.</summary>
    public INodeReplication? Replicas { get; set; }
    /// <summary>Settings.</summary>
    public ServerOptions Options { get; }
    /// <summary>The clock.</summary>
    public TimeProvider Time { get; }
    /// <summary>All commands.</summary>
    public CommandTable Commands { get; }
    /// <summary>Runs what clients send.</summary>
    public Dispatcher Dispatcher { get; private set; }
    /// <summary>Scripts and functions.</summary>
    internal Scripting.Scripts Scripts { get; }
    /// <summary>One turn of the node's loop from within a command that takes long; null: it cannot be entered again.</summary>
    public Action? RunNestedTurn { get; set; }
    /// <summary>Transactions between BEGIN and COMMIT.</summary>
    internal HashSet<InteractiveTransaction> Interactive { get; } = [];
    /// <summary>Clients that wait on keys.</summary>
    public Blocking Blocking { get; }
    /// <summary>Who may log in, and what they may do.</summary>
    public AclUsers Users { get; }
    /// <summary>What clients cost, and its limit.</summary>
    internal ClientMemory ClientMemory { get; }
    /// <summary>Who is let in by a passport.</summary>
    public Passports.PassportOffice Passports { get; }
    /// <summary>The version of the program, as INFO tells it.</summary>
    public string ProgramVersion { get; set; } = "";
    /// <summary>Who this node is.</summary>
    public Leither.Ipfs.Keys.LeitherId NodeId { get; set; }
    /// <summary>Counters.</summary>
    public ServerStats Stats { get; } = new();
    /// <summary>All sessions by id, in the order in which they came.</summary>
    public SortedDictionary<long, Session> Sessions { get; } = [];
    /// <summary>When it started, in Unix milliseconds.</summary>
    public long StartedMs { get; }
    /// <summary>Asked for by SHUTDOWN or a signal: the node stops at the end of the turn.</summary>
    public ShutdownRequest? Shutdown { get; private set; }

    /// <summary>The configuration.</summary>
    public ConfigSettings Settings { get; }
    /// <summary>More of a command came in that is not whole yet.</summary>
    public void Kept(Session session) => ClientMemory.Count(session);

    /// <summary>Has something done on the loop thread, from any thread; null: there is no other thread.</summary>
    public Action<Action>? Post { get; set; }

    /// <summary>
    /// Does on another thread what waits for the disk, and then the rest on the loop thread: with the outcome, or with what went wrong, a
    /// <see cref="MimeiException"/> or an <see cref="IOException"/>. Where there is no other thread, at once.
    /// </summary>
    internal Task<T?> RunAside<T>(Func<T> work, Action<T?, Exception?> done)
    {
        if (Post is not { } post)
        {
            (T? made, Exception? problem) = Try(work);
            done(made, problem);
            return Task.FromResult(made);
        }

        return Task.Run(() =>
        {
            try
            {
                (T? made, Exception? problem) = Try(work);
                post(() => done(made, problem));
                return made;
            }
            catch (Exception e)
            {
                // A mistake of ours: it ends the node, as it would have on the loop thread.
                post(() => System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(e));
                throw;
            }
        });
    }

    /// <summary>As <see cref="RunAside"/>, for what waits for the network: no thread waits with it.</summary>
    internal void RunAsideAsync<T>(Func<Task<T>> work, Action<T?, Exception?> done)
    {
        if (Post is not { } post)
        {
            (T? made, Exception? problem) = AsyncWork.TryAsync(work).GetAwaiter().GetResult();
            done(made, problem);
            return;
        }

        _ = Task.Run(() => AsyncWork.RunAsync(work, done, post));
    }

    private static (T?, Exception?) Try<T>(Func<T> work)
    {
        try
        {
            return (work(), null);
        }
        catch (Exception e) when (e is MimeiException or IOException)
        {
            return (default, e);
        }
        catch (Exception e) when (e is UnauthorizedAccessException or Memory.NativeMemoryExhaustedException)
        {
            return (default, new IOException(e.Message, e));
        }
    }

    /// <summary>Asks the node to call <see cref="Cron"/> in so many milliseconds at the latest; null: it calls often enough.</summary>
    public Action<long>? WakeWithin { get; set; }
    /// <summary>What carries the connections has done so much; null: nobody counts.</summary>
    public Func<LoopCounters>? Transport { get; set; }
    /// <summary>Is told when a log takes no more writes, and when it does again; null: nobody wants to know.</summary>
    public Action<Mimei>? LogStateChanged { get; set; }
    /// <summary>Takes warnings for the node's log; null: they are dropped.</summary>
    public Action<string>? Warn { get; set; }
    /// <summary>Periodic work that nobody waits for rests (DEBUG PAUSE-CRON).</summary>
    internal bool IsCronPaused { get; set; }
    /// <summary>RESTORE takes payloads whatever their checksum says (DEBUG SET-SKIP-CHECKSUM-VALIDATION), for tests of what damaged ones do.</summary>
    internal bool SkipsChecksums { get; set; }
    /// <summary>Bytes of memory that were in use when it was made.</summary>
    internal long StartUsedBytes { get; }
    /// <summary>The configuration file that CONFIG REWRITE writes; empty: none was given.</summary>
    public string ConfigFile { get; set; } = "";
    /// <summary>What INFO calls run_id: drawn at every start.</summary>
    public string RunId { get; }
    private long _pausedUntilMs;
    private bool _pausesWritesOnly, _pausesForFailover;

    /// <summary>Replication with Redis servers, in both directions.</summary>
    internal RedisReplication.Replicator Replication { get; }
    /// <summary>Moves keys to other servers.</summary>
    internal RedisReplication.Migrator Migrator { get; }
    /// <summary>Makes connections to other servers; null: this one makes none.</summary>
    public IConnector? Connector { get; set; }
    /// <summary>Where files are kept that are needed for a while; null: the system's place for such.</summary>
    public string? WorkFolder { get; set; }
    /// <summary>Clients that see every command (MONITOR).</summary>
    internal Monitors Monitors { get; }
    /// <summary>Commands that took long.</summary>
    internal SlowLog SlowLog { get; } = new();
    /// <summary>Events that took long.</summary>
    internal LatencyMonitor Latency { get; } = new();

    /// <summary>Named providers have acknowledged more than before: clients that wait for that (WAIT, WAITAOF) go on. On the loop thread.</summary>
    public void Acknowledged() => Replication.ServeWaiting();

    /// <summary>Follows another server from now on, as REPLICAOF does.</summary>
    public void Follow(ReplicaSource source) => Replication.Follow(source.Host, source.Port);

    /// <summary>Forty hexadecimal digits by chance.</summary>
    internal string DrawId()
    {
        Span<byte> id = stackalloc byte[20];
        for (int i = 0; i < id.Length; i++)
        {
            id[i] = (byte)DefaultMimei.Keyspace.Random.Below(256);
        }

        return Convert.ToHexStringLower(id);
    }

    /// <summary>The clock's reading now, in Unix milliseconds.</summary>
    public long NowMs => Time.GetUtcNow().ToUnixTimeMilliseconds();

    /// <summary>The clock's reading of late, for what may be old by a round of the periodic work: Unix milliseconds.</summary>
    internal long ClockMs => DefaultMimei.Keyspace.NowMs;

    /// <summary>All that INFO says of the default MiMei and of the node. On the loop thread.</summary>
    public string Describe()
    {
        lock (DefaultMimei.Gate)
        {
            DefaultMimei.Keyspace.NowMs = NowMs;
            return InfoCommands.Everything(this);
        }
    }

    /// <summary>Makes the session of a new connection.</summary>
    public Session Open(IClientConnection connection)
    {
        var session = new Session(_nextSessionId++, connection, DefaultMimei, NowMs) { User = Users.Default, ReplyPeakMs = ClientMemory.ReplyPeakMs };
        Users.LogOut(session);
        Sessions.Add(session.Id, session);
        DefaultMimei.Hold();
        Stats.ConnectionsReceived++;
        return session;
    }

    /// <summary>Makes the session that carries a source's stream. It is no client: nobody sees it, and nobody closes it but who made it.</summary>
    internal Session OpenSource(IClientConnection connection)
    {
        var session = new Session(_nextSessionId++, connection, DefaultMimei, NowMs) { User = AclUser.MakeDefault(), IsSource = true, IsLoggedIn = true };
        return session;
    }

    /// <summary>Makes a session for what scripts call. Nobody sees it.</summary>
    internal Session OpenScriptSession(IClientConnection connection) =>
        new(_nextSessionId++, connection, DefaultMimei, NowMs) { User = Users.Default, IsLoggedIn = true, IsScript = true };

    /// <summary>
    /// Lets other clients have a turn while a script runs. What the running command needs of the dispatcher, the clock and the keyspace stays as it is.
    /// </summary>
    internal void EnterLoop(Mimei mimei)
    {
        if (RunNestedTurn is not { } turn)
        {
            return;
        }

        Keyspace keyspace = mimei.Keyspace;
        Dispatcher outer = Dispatcher;
        Session? running = Running;
        long now = keyspace.NowMs;
        bool follows = keyspace.FollowsSource, suppresses = keyspace.Options.SuppressTouch;
        Dispatcher = _nestedDispatcher ??= new Dispatcher(this);
        try
        {
            turn();
        }
        finally
        {
            Dispatcher = outer;
            Running = running;
            keyspace.NowMs = now;
            keyspace.FollowsSource = follows;
            keyspace.Options.SuppressTouch = suppresses;
        }
    }

    /// <summary>Forgets a session whose connection ended.</summary>
    public void Close(Session session)
    {
        if (Sessions.Remove(session.Id))
        {
            ClientMemory.Forget(session);
            Replication.Remove(session);
            Blocking.Remove(session);
            LetGo(session);
            session.Mimei.Release();
            StopMonitoring(session);
            PostponedCount -= session.Postponed is null ? 0 : 1;
            session.Postponed = null;
            Stats.BytesSent += session.Output.BytesWritten;
            session.Parser.Dispose();
            session.IsClosing = true;
        }
    }

    /// <summary>Binds a session to another MiMei: it begins there in database 0, and what it watched, subscribed to and tracked in the old one ends.</summary>
    internal void Bind(Session session, Mimei mimei)
    {
        if (session.Mimei != mimei)
        {
            LetGo(session);
            session.Mimei.Release();
            mimei.Hold();
            session.Mimei = mimei;
        }

        Transactions.Unwatch(session);
        session.DatabaseIndex = 0;
        Users.Adapt(session);
    }

    /// <summary>Ends all that ties a session to its MiMei but the session itself.</summary>
    private static void LetGo(Session session)
    {
        InteractiveTransaction.End(session);
        Transactions.Unwatch(session);
        session.Mimei.PubSub.RemoveAll(session);
        session.Mimei.Tracking.Disable(session, isGone: true);
    }

    /// <summary>This turn has to do with a MiMei: what it logs is written before any reply leaves.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void Touch(Mimei mimei)
    {
        if (!mimei.IsTouched)
        {
            Mimeis.TurnBegins(mimei);
            mimei.IsTouched = true;
            _touched.Add(mimei);
        }
    }

    /// <summary>Background work of a MiMei has something for the loop thread: it gets its slices soon.</summary>
    internal void Tend(Mimei mimei)
    {
        Touch(mimei);
        WakeWithin?.Invoke(0);
    }

    /// <summary>The counters of a command in this server.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal CommandStats StatsOf(CommandSpec spec) => _commandStats[spec.Id];

    /// <summary>All counters back to zero (CONFIG RESETSTAT).</summary>
    internal void ResetStatistics()
    {
        Stats.Reset();
        Stats.BytesSent -= BytesWritten;
        ClientMemory.EvictedClients = 0;
        foreach (Mimei mimei in Mimeis.Open)
        {
            mimei.Keyspace.Stats.Reset();
            mimei.Keyspace.LazyFree.ResetStatistics();
        }

        Replication.Syncs = default;
        foreach (CommandSpec spec in Commands.All)
        {
            StatsOf(spec).Reset();
            foreach (CommandSpec sub in spec.Subcommands)
            {
                StatsOf(sub).Reset();
            }
        }
    }

    /// <summary>Bytes written for clients since the start, sent or about to be.</summary>
    internal long BytesWritten
    {
        get
        {
            long bytes = Stats.BytesSent;
            foreach (Session session in Sessions.Values)
            {
                bytes += session.Output.BytesWritten;
            }

            return bytes;
        }
    }

    /// <summary>
    /// Stops the node at the end of the turn, as SHUTDOWN asks, after a checkpoint where one is wanted. Null, or why it goes on.
    /// </summary>
    public string? Stop(ShutdownRequest request)
    {
        bool save = request.Save ?? Settings.Get(ConfigKeys.Save).Count > 0;
        foreach (Mimei mimei in save ? Mimeis.Open : [])
        {
            if ((mimei == DefaultMimei || mimei.Keyspace.Dirty > 0) && mimei.Checkpointer?.Save() is { } error && !request.Force)
            {
                Warn?.Invoke($"Error trying to save the DB, can't exit: {error}");
                return error;
            }
        }

        Shutdown = request;
        return null;
    }

    /// <summary>
    /// One write for each log to which this turn has added. True: replies may leave. False: some log is behind, because its disk fails; what this
    /// turn and those after it reply waits until that log is as safe as the configuration says.
    /// </summary>
    public bool EndTurn()
    {
        for (int i = 0; i < _touched.Count; i++)
        {
            Mimei mimei = _touched[i];
            mimei.Keyspace.Feed?.EndUnit();
            mimei.Tracking.EndTurn();
        }

        if (ClientMemory.IsLimited)
        {
            ClientMemory.Evict();
        }

        bool mayLeave = true;
        for (int i = _touched.Count - 1; i >= 0; i--)
        {
            Mimei mimei = _touched[i];
            if (mimei.Log is { } log)
            {
                if (log.HasUnwritten)
                {
                    long began = BeginPart();
                    log.Flush();
                    _ = EndPart(log.Fsync == MmDb.Log.FsyncPolicy.Always ? "aof-fsync-always" : "aof-write", began);
                }

                if (log.AcknowledgeableSequence < log.LastSequence)
                {
                    mayLeave = false;
                    continue;
                }
            }

            if (i > 0)
            {
                mimei.IsTouched = false;
                _touched.RemoveAt(i);
                Mimeis.TurnEnded(mimei);
            }
        }

        Mimeis.TurnEnded();
        return mayLeave;
    }

    /// <summary>
    /// Writes to the logs what commands of this turn have done that are through, while another one, a script, is not: whoever sent them is not to wait for it.
    /// </summary>
    /// <returns>Whether their replies may leave.</returns>
    public bool SettleReplies()
    {
        foreach (Mimei mimei in _touched)
        {
            if (mimei.Log is { } log)
            {
                if (log.HasUnwritten)
                {
                    long began = BeginPart();
                    log.Flush();
                    _ = EndPart(log.Fsync == MmDb.Log.FsyncPolicy.Always ? "aof-fsync-always" : "aof-write", began);
                }

                if (log.AcknowledgeableSequence < log.LastSequence)
                {
                    return false;
                }
            }
        }

        return true;
    }

    /// <summary>Until when commands are held back, in Unix milliseconds (CLIENT PAUSE, FAILOVER); 0: they are not.</summary>
    public long PausedUntilMs => _pausesForFailover ? long.MaxValue : _pausedUntilMs;

    /// <summary>Whether only writes are held back.</summary>
    public bool PausesWritesOnly => _pausedUntilMs == 0 || _pausesWritesOnly;

    /// <summary>Commands that are held back.</summary>
    internal int PostponedCount { get; private set; }

    /// <summary>Holds back the commands of all clients until an instant (CLIENT PAUSE). Nothing expires and nothing is evicted meanwhile.</summary>
    public void Pause(long untilMs, bool writesOnly)
    {
        // A second pause may prolong the first one and widen it, never the contrary.
        _pausesWritesOnly = writesOnly && PausesWritesOnly;
        _pausedUntilMs = Math.Max(_pausedUntilMs, untilMs);
        PauseIsChanged();
        WakeWithin?.Invoke(untilMs - NowMs);
    }

    /// <summary>Ends the pause of CLIENT PAUSE now; what was held back runs when the running command is done.</summary>
    internal void EndPause()
    {
        _pausedUntilMs = 0;
        _pausesWritesOnly = false;
        PauseIsChanged();
    }

    /// <summary>Holds back writes, until it is told otherwise, for a failover: its replica is to have everything.</summary>
    internal void PauseForFailover(bool pauses)
    {
        _pausesForFailover = pauses;
        PauseIsChanged();
    }

    private void PauseIsChanged()
    {
        foreach (Mimei mimei in Mimeis.Open)
        {
            mimei.Keyspace.IsFrozen = PausedUntilMs != 0;
        }

        CheckAsNeeded();
    }

    private void EndPauseIfDue(long nowMs)
    {
        if (_pausedUntilMs != 0 && _pausedUntilMs <= nowMs)
        {
            EndPause();
        }

        if (PausedUntilMs == 0 && PostponedCount > 0)
        {
            RunPostponed();
        }
    }

    /// <summary>Runs what a pause that is over has held back, and lets its clients go on.</summary>
    internal void RunPostponed()
    {
        foreach (Session session in PostponedCount == 0 ? [] : Sessions.Values.ToArray())
        {
            // One of them may be a new CLIENT PAUSE.
            if (session.Postponed is { } command && PausedUntilMs == 0)
            {
                session.Postponed = null;
                PostponedCount--;
                Dispatcher.RunPostponed(session, command);
                session.Connection.Resume();
            }
        }
    }

    /// <summary>Keeps a command until the pause is over, and with it all that its client sends after it.</summary>
    internal void Postpone(Session session, QueuedCommand command)
    {
        session.Postponed = command;
        PostponedCount++;
        session.Connection.Pause();
    }

    /// <summary>Whether every command needs the seldom checks.</summary>
    internal bool NeedsChecks => _needsChecks || DefaultMimei.Keyspace.Options.MaxMemory != 0;

    /// <summary>MiMei of which clients keep caches.</summary>
    internal int TrackedMimei { get; set; }

    /// <summary>Decides on <see cref="NeedsChecks"/> again.</summary>
    internal void CheckAsNeeded() => _needsChecks = PausedUntilMs != 0 || Replication is { Master: not null } || TrackedMimei > 0 || Scripts is { IsBusy: true };

    /// <summary>Whether each command is looked at by itself; otherwise those that are quick by nature are timed now and then.</summary>
    internal bool WatchesEveryCommand { get; private set; }

    /// <summary>Decides on <see cref="WatchesEveryCommand"/> again, after what it depends on has changed.</summary>
    internal void WatchAsNeeded() =>
        WatchesEveryCommand = Monitors.Count > 0 || DefaultMimei.Keyspace.Feed is not null || Options.SlowLogMicroseconds is >= 0 and < 1000 || Options.LatencyThresholdMs > 0;

    /// <summary>Shows every command to a session from now on.</summary>
    internal void StartMonitoring(Session session)
    {
        session.IsMonitor = true;
        Monitors.Add(session);
        WatchAsNeeded();
    }

    /// <summary>Ends <see cref="StartMonitoring"/>.</summary>
    internal void StopMonitoring(Session session)
    {
        if (session.IsMonitor)
        {
            session.IsMonitor = false;
            Monitors.Remove(session);
            WatchAsNeeded();
        }
    }

    /// <summary>Whether a session may use DEBUG.</summary>
    internal bool AllowsDebug(Session session) => Settings.Show(ConfigKeys.EnableDebugCommand) switch
    {
        "yes" => true,
        "local" => session.Connection.IsLocal,
        _ => false,
    };

    /// <summary>Takes note of how long a command that a script called took; the slow log sees the script as a whole.</summary>
    internal void TimedInScript(CommandSpec spec, long elapsed, int weight)
    {
        CommandStats stats = StatsOf(spec);
        stats.Ticks += elapsed * weight;
        if (Options.TracksLatency)
        {
            long nanoseconds = Stopwatch.Frequency == 1_000_000_000 ? elapsed : (long)(elapsed * 1e9 / Stopwatch.Frequency);
            (stats.Latency ??= new LatencyHistogram()).Record(nanoseconds, weight);
        }
    }

    /// <summary>Takes note of how long a command took, on behalf of so many calls.</summary>
    internal void Timed(Session session, CommandSpec spec, Resp.Slice* args, int count, long elapsed, int weight)
    {
        CommandStats stats = StatsOf(spec);
        stats.Ticks += elapsed * weight;
        long nanoseconds = Stopwatch.Frequency == 1_000_000_000 ? elapsed : (long)(elapsed * 1e9 / Stopwatch.Frequency);
        if (Options.TracksLatency)
        {
            (stats.Latency ??= new LatencyHistogram()).Record(nanoseconds, weight);
        }

        if (Options.SlowLogMicroseconds >= 0 && nanoseconds / 1000 >= Options.SlowLogMicroseconds && !spec.Has(CommandFlags.SkipSlowLog))
        {
            SlowLog.Add(session, spec, args, count, NowMs / 1000, nanoseconds / 1000, Options.SlowLogMaxLength);
        }

        if (Options.LatencyThresholdMs > 0 && nanoseconds / 1_000_000 >= Options.LatencyThresholdMs)
        {
            Latency.Add(spec.Has(CommandFlags.Fast) ? "fast-command" : "command", nanoseconds / 1_000_000, NowMs / 1000);
        }
    }

    /// <summary>Whether what the session is bound to can be written to, and the write be logged; otherwise the error that refuses it before it runs.</summary>
    internal bool LogAccepts(Session session, CommandSpec spec, Resp.Slice* args, int count, [NotNullWhen(false)] out string? refusal)
    {
        if (session.Mimei.IsReadOnly)
        {
            refusal = Versions.VersionHistory.WriteRefusal(session.Mimei);
            return false;
        }

        if (session.Mimei.HoldsFiles && spec.Parent != MimeiCommands.Mimei)
        {
            refusal = Errors.HoldsFiles;
            return false;
        }

        refusal = null;
        if (session.Mimei.Log is not { } log)
        {
            // Checkpoints are all that is kept.
            bool mayBeLost = session.Mimei.Checkpointer is { LastSucceeded: false } && !session.IsSource
                && Settings.Get(ConfigKeys.StopWritesOnBgsaveError) && Settings.Get(ConfigKeys.Save).Count > 0;
            refusal = mayBeLost ? Errors.NotSaved : null;
            return !mayBeLost;
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

        refusal = Errors.NotLogged + error.Text;
        return false;
    }

    /// <summary>Decides again whom protected mode keeps out, who must log in, and whose commands are checked, after the configuration or users changed.</summary>
    internal void RefreshSessions()
    {
        foreach (Session session in Sessions.Values)
        {
            Users.Refresh(session);
        }
    }

    /// <summary>Whether protected mode keeps a client out: who shows a passport was let in by someone.</summary>
    internal bool IsRefused(Session session) => Options.ProtectedMode && Users.Default.NeedsNoPassword && !session.Connection.IsLocal && session.User.Serial is null;

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
        Replication.Dispose();
        Migrator.Dispose();
        Dispatcher.Dispose();
        _nestedDispatcher?.Dispose();
        Scripts.Dispose();
        Monitors.Dispose();
        _laterPushes.Dispose();
        Mimeis.Dispose();
    }
}

/// <summary>How the server was asked to stop.</summary>
/// <param name="Save">Make a checkpoint first: null leaves it to the configuration.</param>
/// <param name="Now">Do not wait for anybody.</param>
/// <param name="Force">Stop even if saving fails.</param>
public sealed record ShutdownRequest(bool? Save, bool Now, bool Force);

/// <summary>What the loop that carries the connections has done so far.</summary>
/// <param name="Reads">Receives that brought something.</param>
/// <param name="Writes">Sends that took something.</param>
/// <param name="Turns">Turns.</param>
/// <param name="BusyMicroseconds">Time in turns, waiting not counted.</param>
public readonly record struct LoopCounters(long Reads, long Writes, long Turns, long BusyMicroseconds);

/// <summary>The server's settings that the dispatcher and sessions read on every command; CONFIG SET changes them.</summary>
public sealed class ServerOptions
{
    private OutputBufferLimits _outputLimits = ConfigKeys.ClientOutputBufferLimit.Default;

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
    /// <summary>slowlog-max-len.</summary>
    public long SlowLogMaxLength { get; set; } = 128;
    /// <summary>latency-monitor-threshold, in milliseconds; 0: off.</summary>
    public long LatencyThresholdMs { get; set; }
    /// <summary>latency-tracking.</summary>
    public bool TracksLatency { get; set; } = true;
    /// <summary>latency-tracking-info-percentiles.</summary>
    public IReadOnlyList<double> LatencyPercentiles { get; set; } = [50, 99, 99.9];
    /// <summary>hz: how often a second the periodic work runs.</summary>
    public int Hz { get; set; } = 10;
    /// <summary>client-output-buffer-limit.</summary>
    public OutputBufferLimits OutputLimits
    {
        get => _outputLimits;
        set
        {
            _outputLimits = value;
            OutputAlertBytes = new[] { value.Normal, value.PubSub, value.Replica }
                .SelectMany(static l => new[] { l.HardBytes, l.SoftBytes }).Where(static bytes => bytes > 0).DefaultIfEmpty(long.MaxValue).Min();
        }
    }

    /// <summary>Output below this is within the limits of every class.</summary>
    internal long OutputAlertBytes { get; private set; } = 8L << 20;
    /// <summary>The port it serves.</summary>
    public int Port { get; set; } = 4800;
    /// <summary>Redis's version whose behaviour is matched; clients read it in HELLO and INFO.</summary>
    public const string RedisVersion = "7.2.6";
}

/// <summary>Counters of the server for INFO.</summary>
public sealed class ServerStats
{
    private readonly Dictionary<string, long> _errors = [];

    /// <summary>Clients disconnected for their output (client-output-buffer-limit).</summary>
    public long OutputLimitDisconnections { get; set; }
    /// <summary>Commands a second, of late.</summary>
    public RateMeter Commands { get; } = new();
    /// <summary>Bytes received a second, of late.</summary>
    public RateMeter Input { get; } = new();
    /// <summary>Bytes written a second, of late.</summary>
    public RateMeter Output { get; } = new();
    /// <summary>Turns of the loop a second, of late.</summary>
    public RateMeter Turns { get; } = new();
    /// <summary>Microseconds a second spent in turns, of late.</summary>
    public RateMeter Busy { get; } = new();
    /// <summary>Milliseconds above maxmemory, periods that are over.</summary>
    public long EvictionExceededMs { get; set; }
    /// <summary>Since when memory is above maxmemory, in Unix milliseconds; 0: it is not.</summary>
    public long EvictionExceededSinceMs { get; set; }
    /// <summary>Most bytes of memory that were in use at a time.</summary>
    public long PeakUsedBytes { get; set; }
    /// <summary>Calls of the cron.</summary>
    public long CronCalls { get; set; }
    /// <summary>Rejected logins.</summary>
    public long AuthenticationsDenied { get; set; }
    /// <summary>Commands that users had no right to run.</summary>
    public long CommandsDenied { get; set; }
    /// <summary>Commands refused for a key.</summary>
    public long KeysDenied { get; set; }
    /// <summary>Commands refused for a channel.</summary>
    public long ChannelsDenied { get; set; }
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
        ConnectionsReceived = ConnectionsRejected = CommandsProcessed = BytesReceived = ErrorReplies = 0;
        OutputLimitDisconnections = AuthenticationsDenied = CommandsDenied = KeysDenied = ChannelsDenied = PeakUsedBytes = CronCalls = 0;
        EvictionExceededMs = EvictionExceededSinceMs = 0;
        _errors.Clear();
    }
}
