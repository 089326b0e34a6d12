using System.Diagnostics;
using System.Globalization;
using System.Text;
using Leither.MmDb.Commands;
using Leither.MmDb.Configuration;
using Leither.MmDb.Rdb;
using Leither.Resp;

namespace Leither.MmDb.RedisReplication;

/// <summary>
/// Replication as Redis does it: real Redis servers follow this one, and this one follows a Redis server (<see cref="MasterLink"/>).
/// </summary>
/// <remarks>
/// A replica that comes first gets a snapshot as an RDB file, written and sent while clients go on, and then the stream of commands since the
/// snapshot's place (<see cref="CommandFeed"/>). One that was cut off goes on from where it was, as long as the backlog holds that
/// place. A place is an id, drawn at every start and promotion, and an offset in bytes. A server that follows another one hands that one's
/// stream on as it is, so that places mean the same everywhere. A Redis server holds what one MiMei holds, so all this is about the default one.
/// </remarks>
internal sealed unsafe class Replicator : IDisposable
{
    private const int SendChunkBytes = 256 * 1024;

    /// <summary>So much of a snapshot waits in a replica's output at most.</summary>
    private const long MaxWaitingBytes = 1 << 20;

    /// <summary>Of those who left, so many are remembered.</summary>
    private const int MaxFormerReplicas = 128;

    private static readonly long _sliceTicks = Stopwatch.Frequency / 2000;

    private readonly Server _server;
    private readonly List<Session> _replicas = [];
    private readonly List<Session> _waitingForAcknowledgement = [];
    private readonly List<(string Name, long LastMs)> _former = [];
    private CommandFeed? _feed;
    private ReplicationBacklog? _backlog;
    private Snapshot? _snapshot;
    private RdbSnapshotWriter? _writer;
    private string _snapshotFile = "";
    private long _noReplicasSinceMs, _lastPingMs, _lastNewlineMs;
    private long _unfedOffset;
    private int _files;

    public Replicator(Server server)
    {
        _server = server;
        Id = server.RunId;
        server.Settings.OnChange(
            () =>
            {
                _backlog?.Resize(BacklogSize);
                return null;
            },
            ConfigKeys.ReplBacklogSize);
    }

    /// <summary>The data.</summary>
    public Keyspace Keyspace => _server.DefaultMimei.Keyspace;

    /// <summary>The configuration.</summary>
    public ConfigSettings Settings => _server.Settings;

    /// <summary>The stream's id (master_replid).</summary>
    public string Id { get; set; }
    /// <summary>The id of the stream that this one continues, up to <see cref="SecondOffset"/>.</summary>
    public string SecondId { get; private set; } = new('0', 40);
    /// <summary>Up to which offset the stream of <see cref="SecondId"/> is this one; -1: there is none.</summary>
    public long SecondOffset { get; private set; } = -1;
    /// <summary>The stream's offset: bytes in it so far.</summary>
    public long Offset => _backlog?.End ?? _unfedOffset;
    /// <summary>The backlog; null while nobody ever followed.</summary>
    public ReplicationBacklog? Backlog => _backlog;
    /// <summary>The connections by which replicas came.</summary>
    public IReadOnlyList<Session> Replicas => _replicas;
    /// <summary>Who was a replica since the server started, as far as they were told apart, and when they were last seen, in Unix milliseconds; the latest last.</summary>
    public IReadOnlyList<(string Name, long LastMs)> FormerReplicas => _former;
    /// <summary>The link to the master; null when this server is one.</summary>
    public MasterLink? Master { get; private set; }
    /// <summary>Full and partial synchronisations given, and those that could not be partial.</summary>
    public (long Full, long PartialOk, long PartialRefused) Syncs { get; set; }

    /// <summary>Whether what a session does concerns replication: it is the default MiMei that replicas follow, and that follows a master.</summary>
    public bool Concerns(Session session) => session.Mimei == _server.DefaultMimei;

    private long BacklogSize => Math.Max(16 * 1024, _server.Settings.Get(ConfigKeys.ReplBacklogSize));

    /// <inheritdoc/>
    public void Dispose()
    {
        Master?.Dispose();
        CancelSnapshot();
        foreach (Session session in _replicas)
        {
            session.Replica?.Dispose();
        }

        Keyspace.Feed = null;
        _feed?.Dispose();
        _backlog?.Dispose();
    }

    // ------------------------------------------------------------------ the stream

    /// <summary>Bytes of the stream: they go to the backlog and to all who follow.</summary>
    public void Emit(byte* bytes, long length)
    {
        if (_backlog is null)
        {
            _unfedOffset += length;
            return;
        }

        _backlog.Append(bytes, length);
        foreach (Session session in _replicas.Count == 0 ? [] : _replicas.ToArray())
        {
            Replica replica = session.Replica!;
            if (replica.WantsFileOnly)
            {
                continue;
            }

            if (replica.State == ReplicaState.Online)
            {
                session.Output.Raw(bytes, length);
                _server.Pushed(session);
            }
            else if (replica.State is ReplicaState.Writing or ReplicaState.Sending)
            {
                replica.Held.Raw(bytes, length);
                _server.CloseIfOverLimit(session, Keyspace.NowMs);
            }
        }
    }

    private void Emit(ReadOnlySpan<byte> bytes)
    {
        fixed (byte* p = bytes)
        {
            Emit(p, bytes.Length);
        }
    }

    /// <summary>Whether there are replicas that follow or will.</summary>
    private bool HasReplicas => _replicas.Count > 0;

    private void EnsureFeed()
    {
        _backlog ??= new ReplicationBacklog(BacklogSize, _unfedOffset);
        UseFeed();
    }

    /// <summary>A replica hands on what it gets; only a master makes a stream of its own.</summary>
    private void UseFeed()
    {
        bool wanted = _backlog is not null && Master is null;
        if (wanted)
        {
            _feed ??= new CommandFeed(this);
        }

        Keyspace.Feed = wanted ? _feed : null;
        _server.WatchAsNeeded();
        _server.CheckAsNeeded();
    }

    // ------------------------------------------------------------------ replicas come and go

    /// <summary>PSYNC (or SYNC): a replica asks for the stream from a place on, or for everything.</summary>
    public void Synchronize(Session session, string? id, long offset)
    {
        Replica replica = session.Replica ??= new Replica();
        replica.AcknowledgedMs = Keyspace.NowMs;
        if (id is not null && TryContinue(session, replica, id, offset))
        {
            return;
        }

        replica.IsOld = id is null;
        replica.State = ReplicaState.Waiting;
        Add(session);
        EnsureFeed();
        Syncs = Syncs with { Full = Syncs.Full + 1 };
        Step(Keyspace.NowMs);
        _server.WakeWithin?.Invoke(0);
    }

    private bool TryContinue(Session session, Replica replica, string id, long offset)
    {
        bool isOurs = id == Id || (id == SecondId && offset <= SecondOffset);
        if (!isOurs || _backlog is null || !_backlog.Holds(offset))
        {
            if (id != "?")
            {
                Syncs = Syncs with { PartialRefused = Syncs.PartialRefused + 1 };
            }

            return false;
        }

        replica.State = ReplicaState.Online;
        Add(session);
        session.Output.Raw(Encoding.ASCII.GetBytes(replica.KnowsPsync2 ? $"+CONTINUE {Id}\r\n" : "+CONTINUE\r\n"));
        _backlog.CopyFrom(offset, session.Output);
        Syncs = Syncs with { PartialOk = Syncs.PartialOk + 1 };
        return true;
    }

    private void Add(Session session)
    {
        if (!_replicas.Contains(session))
        {
            _replicas.Add(session);
        }
    }

    private void Remember(string name)
    {
        _former.RemoveAll(f => f.Name == name);
        if (_former.Count == MaxFormerReplicas)
        {
            _former.RemoveAt(0);
        }

        _former.Add((name, Keyspace.NowMs));
    }

    /// <summary>A connection ended.</summary>
    public void Remove(Session session)
    {
        _waitingForAcknowledgement.Remove(session);
        if (session.Replica is { } replica)
        {
            if (_replicas.Remove(session))
            {
                Remember(NameOf(session));
            }

            replica.Dispose();
            session.Replica = null;
            _noReplicasSinceMs = Keyspace.NowMs;
            if (_snapshot is not null && !_replicas.Exists(static r => r.Replica!.State == ReplicaState.Writing))
            {
                CancelSnapshot();
            }
        }
    }

    /// <summary>Ends all replicas' connections: they come again, and learn where they stand.</summary>
    internal void CloseReplicas()
    {
        foreach (Session session in _replicas.ToArray())
        {
            session.CloseNow();
            Remove(session);
        }
    }

    /// <summary>REPLCONF ACK: a replica says how far it is.</summary>
    public void Acknowledge(Session session, long offset, long syncedOffset)
    {
        if (session.Replica is not { } replica)
        {
            return;
        }

        replica.AcknowledgedOffset = Math.Max(replica.AcknowledgedOffset, offset);
        replica.SyncedOffset = Math.Max(replica.SyncedOffset, syncedOffset);
        replica.AcknowledgedMs = Keyspace.NowMs;
        if (Failover is not null)
        {
            _server.WakeWithin?.Invoke(0);
        }

        ServeWaiting();
    }

    /// <summary>Whether a client waits for the disk.</summary>
    public bool AwaitsDisk => _waitingForAcknowledgement.Exists(static s => s.Blocked is { WaitsForDisk: true });

    /// <summary>Somebody has more than before, or it is safe: those who waited for that go on.</summary>
    public void ServeWaiting()
    {
        foreach (Session waiting in _waitingForAcknowledgement.Count == 0 ? [] : _waitingForAcknowledgement.ToArray())
        {
            if (waiting.Blocked?.IsSatisfied?.Invoke() == true)
            {
                _waitingForAcknowledgement.Remove(waiting);
                _server.Blocking.TimeOut(waiting);
            }
            else if (waiting.Blocked is null)
            {
                _waitingForAcknowledgement.Remove(waiting);
            }
        }
    }

    /// <summary>Replicas that have everything up to an offset.</summary>
    public int CountAt(long offset) => _replicas.Count(r => r.Replica!.State == ReplicaState.Online && r.Replica.AcknowledgedOffset >= offset);

    /// <summary>Replicas whose append-only files have everything up to an offset on disk.</summary>
    public int CountSyncedAt(long offset) => _replicas.Count(r => r.Replica!.State == ReplicaState.Online && r.Replica.SyncedOffset >= offset);

    /// <summary>A session waits until replicas and providers have said enough; Redis replicas, which must be, are asked now.</summary>
    public void AwaitAcknowledgements(Session session)
    {
        _waitingForAcknowledgement.Add(session);
        if (_feed is not null && Keyspace.Feed is not null && Concerns(session))
        {
            Emit("*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n"u8);
        }
    }

    /// <summary>Whether so many replicas are in touch as writes ask for (min-replicas-to-write).</summary>
    public bool HasEnoughReplicas
    {
        get
        {
            long wanted = _server.Settings.Get(ConfigKeys.MinReplicasToWrite), maxLag = _server.Settings.Get(ConfigKeys.MinReplicasMaxLag);
            return wanted == 0 || maxLag == 0 || Master is not null || GoodReplicas >= wanted;
        }
    }

    /// <summary>Why clients may not write at present; empty: they may.</summary>
    public ReadOnlySpan<byte> WriteRefusal => Master is not null
        ? _server.Settings.Get(ConfigKeys.ReplicaReadOnly) ? Errors.ReadOnly : default
        : HasEnoughReplicas ? default : Errors.NoReplicas;

    /// <summary>Whether its data may be old, and the configuration says that nobody is to see it then (replica-serve-stale-data).</summary>
    public bool IsStale => Master is { IsUp: false } && !_server.Settings.Get(ConfigKeys.ReplicaServeStaleData);

    /// <summary>Replicas, and providers whose acknowledgements count (MIMEI PROVIDERS), that were heard of lately.</summary>
    public int GoodReplicas
    {
        get
        {
            long maxLag = _server.Settings.Get(ConfigKeys.MinReplicasMaxLag) * 1000;
            return _replicas.Count(r => r.Replica!.State == ReplicaState.Online && _server.NowMs - HeardMs(r) <= maxLag)
                + (_server.Replicas?.CountInTouch(_server.DefaultMimei.Id, maxLag) ?? 0);
        }
    }

    /// <summary>When a replica was last heard of. While it loads it says nothing but that it lives: empty lines.</summary>
    public static long HeardMs(Session session) => Math.Max(session.Replica!.AcknowledgedMs, session.LastInteractionMs);

    // ------------------------------------------------------------------ following another server

    /// <summary>Follows another server from now on (REPLICAOF host port).</summary>
    public void Follow(string host, int port)
    {
        if (Master is { } now && now.Host == host && now.Port == port)
        {
            return;
        }

        _server.Settings.Put(ConfigKeys.ReplicaOf, new ReplicaSource(host, port));
        _feed?.Drop();
        MasterLink? previous = Master;
        Master = new MasterLink(_server, this, host, port, previous);
        previous?.Dispose();
        Keyspace.IsWriter = false;
        CloseReplicas();
        UseFeed();
        foreach (Session session in _server.Sessions.Values.ToArray())
        {
            if (session.Blocked is not null && Concerns(session))
            {
                _server.Blocking.Fail(session, "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"u8);
            }
        }

        Master.Start();
    }

    /// <summary>Is a master from now on (REPLICAOF NO ONE). Who followed the old stream may go on with this one.</summary>
    public void Promote()
    {
        if (Master is not { } master)
        {
            return;
        }

        _server.Settings.Put(ConfigKeys.ReplicaOf, ReplicaSource.None);
        master.Dispose();
        Master = null;
        Keyspace.IsWriter = true;
        SecondId = Id;
        SecondOffset = Offset + 1;
        Id = _server.DrawId();
        _feed?.Reselect();
        UseFeed();
        CloseReplicas();
    }

    /// <summary>The stream is another one from here on: a master's, of which this server has just got everything.</summary>
    public void AdoptStream(string id, long offset)
    {
        Id = id;
        SecondId = new string('0', 40);
        SecondOffset = -1;
        _unfedOffset = offset;
        _backlog?.Dispose();
        _backlog = new ReplicationBacklog(BacklogSize, offset);
        CloseReplicas();
    }

    /// <summary>The master goes on under another id.</summary>
    public void RenameStream(string id)
    {
        if (id != Id)
        {
            SecondId = Id;
            SecondOffset = Offset + 1;
            Id = id;
            CloseReplicas();
        }
    }

    // ------------------------------------------------------------------ handing the part over (FAILOVER)

    /// <summary>The failover under way; null: there is none.</summary>
    public Failover? Failover { get; private set; }

    /// <summary>What is known of the replica that listens there; null: there is none.</summary>
    public Replica? FindReplica(string host, long port) => _replicas.Find(r => AddressOf(r) is var at && at.Address == host && at.Port == port)?.Replica;

    /// <summary>Writes wait from now on; once the target (or, where none is named, whichever replica comes first) has everything, it is asked to take over.</summary>
    public void BeginFailover(ReplicaSource? target, long deadlineMs, bool forces)
    {
        _server.Warn?.Invoke($"FAILOVER requested to {(target is { } to ? $"{to.Host}:{to.Port}" : "any replica")}.");
        Failover = new Failover { Target = target, DeadlineMs = deadlineMs, Forces = forces };
        _server.PauseForFailover(true);
        _server.WakeWithin?.Invoke(0);
    }

    /// <summary>Gives a failover up: this server is a master as before.</summary>
    public void AbortFailover(string reason)
    {
        _server.Warn?.Invoke($"Aborting failover: {reason}");
        bool wasHandedOver = Failover is { IsHandedOver: true };
        EndFailover();
        if (wasHandedOver)
        {
            Promote();
        }
    }

    /// <summary>The failover is over: the target took over, or it was given up.</summary>
    public void EndFailover()
    {
        Failover = null;
        _server.PauseForFailover(false);
        _server.WakeWithin?.Invoke(0);
    }

    private void StepFailover(long nowMs)
    {
        if (Failover is not { IsHandedOver: false } failover)
        {
            return;
        }

        ReplicaSource? heir = null;
        if (failover.DeadlineMs != 0 && nowMs >= failover.DeadlineMs)
        {
            heir = failover.Forces ? failover.Target : null;
            if (heir is null)
            {
                AbortFailover("Replica never caught up before timeout");
                return;
            }
        }
        else
        {
            Session? ready = _replicas.Find(r => r.Replica is { State: ReplicaState.Online } replica && replica.AcknowledgedOffset == Offset
                && (failover.Target is not { } target || AddressOf(r) == (target.Host, target.Port)));
            if (ready is null)
            {
                return;
            }

            (string address, int port) = AddressOf(ready);
            heir = new ReplicaSource(address, port);
        }

        failover.IsHandedOver = true;
        _server.Warn?.Invoke($"Failing over to {heir.Host}:{heir.Port}.");
        Follow(heir.Host, heir.Port);
    }

    // ------------------------------------------------------------------ periodic work

    /// <summary>Snapshots, sending them, pings. Returns in how many milliseconds it wants to be called again.</summary>
    public int Step(long nowMs)
    {
        int next = int.MaxValue;
        StepFailover(nowMs);
        if (Master is not null)
        {
            next = Master.Step(nowMs);
        }

        if (_backlog is null)
        {
            return next;
        }

        next = Math.Min(next, StepSnapshot());
        bool anySending = false;
        for (int i = _replicas.Count - 1; i >= 0; i--)
        {
            Session session = _replicas[i];
            if (session.Replica!.State == ReplicaState.Sending && !session.IsClosing)
            {
                Send(session, session.Replica);
                anySending |= session.Replica?.State == ReplicaState.Sending;
            }
        }

        Ping(nowMs);
        DropSilent(nowMs);
        long ttl = _server.Settings.Get(ConfigKeys.ReplBacklogTtl);
        if (!HasReplicas && Master is null && ttl != 0 && nowMs - _noReplicasSinceMs > ttl * 1000)
        {
            // A stream that nobody could continue is another one.
            _unfedOffset = Offset;
            _backlog.Dispose();
            _backlog = null;
            Id = _server.DrawId();
            SecondOffset = -1;
            UseFeed();
        }

        return Math.Min(next, anySending ? 1 : HasReplicas ? 100 : int.MaxValue);
    }

    private void Ping(long nowMs)
    {
        // A ping would move the offset that a failover waits for.
        if (Keyspace.Feed is not null && HasReplicas && Failover is null && nowMs - _lastPingMs >= _server.Settings.Get(ConfigKeys.ReplPingReplicaPeriod) * 1000)
        {
            _lastPingMs = nowMs;
            if (_replicas.Exists(static r => r.Replica!.State == ReplicaState.Online))
            {
                Emit("*1\r\n$4\r\nPING\r\n"u8);
            }
        }

        if (nowMs - _lastNewlineMs >= 1000)
        {
            _lastNewlineMs = nowMs;
            foreach (Session session in _replicas)
            {
                if (session.Replica!.State is ReplicaState.Waiting or ReplicaState.Writing)
                {
                    // It knows from this that it is not forgotten.
                    session.Output.Raw("\n"u8);
                    session.Connection.SendOutput();
                }
            }
        }
    }

    private void DropSilent(long nowMs)
    {
        long timeout = _server.Settings.Get(ConfigKeys.ReplTimeout) * 1000;
        foreach (Session session in _replicas.ToArray())
        {
            if (session.Replica is { State: ReplicaState.Online, IsOld: false } && nowMs - HeardMs(session) > timeout)
            {
                _server.Warn?.Invoke($"Disconnecting timedout replica (streaming sync): {NameOf(session)}");
                session.CloseNow();
            }
        }
    }

    private int StepSnapshot()
    {
        if (_snapshot is { } snapshot)
        {
            if (_writer!.IsBehind)
            {
                return 2;
            }

            if (!snapshot.Step(Stopwatch.GetTimestamp() + _sliceTicks))
            {
                return 0;
            }

            _snapshot = null;
            _writer.Complete();
        }

        if (_writer is { } writer)
        {
            if (!writer.IsDone)
            {
                return 1;
            }

            writer.Wait();
            _writer = null;
            SnapshotIsWritten(writer);
        }

        if (_replicas.Exists(static r => r.Replica!.State == ReplicaState.Waiting))
        {
            // Another snapshot (a checkpoint) may run: then this one is next.
            return Keyspace.Snapshot is null && _server.DefaultMimei.Log is not { InEntry: true } ? BeginSnapshot() : 1;
        }

        return int.MaxValue;
    }

    private int BeginSnapshot()
    {
        _feed?.EndUnit();
        _feed?.Reselect();
        bool hasKeys = _replicas.Exists(static r => r.Replica is { State: ReplicaState.Waiting, WantsNoKeys: false });
        _snapshotFile = Path.Combine(_server.WorkFolder ?? Path.GetTempPath(), $"replica-{Environment.ProcessId}-{_files++}.rdb");
        _writer = new RdbSnapshotWriter(_snapshotFile, Fields(), hasKeys);
        _snapshot = Snapshot.Begin(Keyspace, _writer);
        foreach (Session session in _replicas)
        {
            Replica replica = session.Replica!;
            if (replica.State != ReplicaState.Waiting || replica.WantsNoKeys == hasKeys)
            {
                continue;
            }

            replica.State = ReplicaState.Writing;
            replica.AcknowledgedOffset = Offset;
            if (!replica.IsOld)
            {
                session.Output.Raw(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"+FULLRESYNC {Id} {Offset}\r\n")));
                session.Connection.SendOutput();
            }
        }

        return 0;
    }

    private (string, string)[] Fields() =>
    [
        ("redis-ver", ServerOptions.RedisVersion),
        ("redis-bits", "64"),
        ("ctime", (Keyspace.NowMs / 1000).ToString(CultureInfo.InvariantCulture)),
        ("used-mem", Keyspace.UsedBytes.ToString(CultureInfo.InvariantCulture)),
        ("repl-stream-db", "0"),
        ("repl-id", Id),
        ("repl-offset", Offset.ToString(CultureInfo.InvariantCulture)),
        ("aof-base", "0"),
    ];

    private void SnapshotIsWritten(RdbSnapshotWriter writer)
    {
        foreach (Session session in _replicas.ToArray())
        {
            Replica replica = session.Replica!;
            if (replica.State != ReplicaState.Writing)
            {
                continue;
            }

            if (writer.Error is { } error)
            {
                Fail(session, error);
                continue;
            }

            try
            {
                replica.File = new FileStream(_snapshotFile, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, 0);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                Fail(session, e);
                continue;
            }

            replica.State = ReplicaState.Sending;
            session.Output.Raw(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"${replica.File.Length}\r\n")));
            Send(session, replica);
        }

        // Those to whom it is sent hold it open; it goes with the last of them.
        DeleteSnapshotFile();
    }

    private void Fail(Session session, Exception error)
    {
        _server.Warn?.Invoke($"The snapshot for replica {NameOf(session)} failed: {error.Message}");
        session.CloseNow();
    }

    private void DeleteSnapshotFile()
    {
        try
        {
            File.Delete(_snapshotFile);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            _server.Warn?.Invoke($"A snapshot for replicas stays: {e.Message}");
        }
    }

    private void Send(Session session, Replica replica)
    {
        while (session.Output.Length < MaxWaitingBytes)
        {
            byte* place = session.Output.Reserve(SendChunkBytes);
            int read;
            try
            {
                read = replica.File!.Read(new Span<byte>(place, SendChunkBytes));
            }
            catch (IOException e)
            {
                Fail(session, e);
                return;
            }

            session.Output.Advance(read);
            if (read == 0)
            {
                replica.File.Dispose();
                replica.File = null;
                if (replica.WantsFileOnly)
                {
                    replica.State = ReplicaState.Served;
                    session.CloseAfterReply();
                    return;
                }

                replica.State = ReplicaState.Online;
                replica.AcknowledgedMs = Keyspace.NowMs;
                session.Output.Raw(replica.Held.Data, replica.Held.Length);
                replica.Held.Release();
                break;
            }
        }

        session.Connection.SendOutput();
    }

    private void CancelSnapshot()
    {
        if (_snapshot is { } snapshot)
        {
            if (!snapshot.Cancel())
            {
                snapshot.Step(long.MaxValue);
            }

            _snapshot = null;
        }

        if (_writer is { } writer)
        {
            writer.Abandon();
            writer.Wait();
            _writer = null;
            DeleteSnapshotFile();
        }
    }

    /// <summary>How a replica is shown: its address and the port it listens on.</summary>
    public static (string Address, int Port) AddressOf(Session session)
    {
        string remote = session.Connection.RemoteAddress;
        int colon = remote.LastIndexOf(':');
        string address = session.Replica!.Address.Length > 0 ? session.Replica.Address : colon > 0 ? remote[..colon].Trim('[', ']') : remote;
        return (address, session.Replica.Port);
    }

    /// <summary>As <see cref="AddressOf"/>, in one text.</summary>
    public static string NameOf(Session session)
    {
        (string address, int port) = AddressOf(session);
        return $"{address}:{port}";
    }
}
