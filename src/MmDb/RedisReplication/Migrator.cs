using System.Globalization;
using System.Text;
using Leither.MmDb.Memory;
using Leither.MmDb.Rdb;
using Leither.Resp;

namespace Leither.MmDb.RedisReplication;

/// <summary>A MIGRATE under way: what its client asked for.</summary>
internal sealed class Migration
{
    /// <summary>The client, which waits.</summary>
    public required Session Session { get; init; }
    /// <summary>The database that the keys are in.</summary>
    public required int Database { get; init; }
    /// <summary>The database that they go to.</summary>
    public required long TargetDatabase { get; init; }
    /// <summary>The keys.</summary>
    public required byte[][] Keys { get; init; }
    /// <summary>They stay here too.</summary>
    public bool Copies { get; init; }
    /// <summary>They take the places of keys that are there.</summary>
    public bool Replaces { get; init; }
    /// <summary>What to log in with; empty: nothing.</summary>
    public string[] Credentials { get; init; } = [];
    /// <summary>Milliseconds without progress after which it is given up.</summary>
    public required long TimeoutMs { get; init; }
}

/// <summary>
/// Moves keys to other servers (MIGRATE) without anybody but the asking client waiting: others go on, and may change a key that is on its way. So a
/// key goes here only if it still is what was sent; one that changed is sent again.
/// </summary>
/// <remarks>Connections stay open for ten seconds after their last use, sixty-four at most, as in Redis.</remarks>
internal sealed class Migrator(Server server) : IDisposable
{
    private const int MaxLinks = 64;
    private const long IdleMs = 10_000;

    private readonly Dictionary<string, MigrationLink> _links = [];

    /// <summary>Connections that are open.</summary>
    public int LinkCount => _links.Count;

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (MigrationLink link in _links.Values)
        {
            link.Dispose();
        }

        _links.Clear();
    }

    /// <summary>Begins a migration, after those to the same server that are under way.</summary>
    public void Begin(Migration migration, string host, int port)
    {
        string name = string.Create(CultureInfo.InvariantCulture, $"{host}:{port}");
        if (!_links.TryGetValue(name, out MigrationLink? link))
        {
            if (_links.Count >= MaxLinks && _links.FirstOrDefault(static l => l.Value.IsIdle) is { Key: { } idle } unused)
            {
                unused.Value.Dispose();
                _links.Remove(idle);
            }

            _links.Add(name, link = new MigrationLink(server, host, port));
        }

        link.Begin(migration);
        server.WakeWithin?.Invoke(migration.TimeoutMs);
    }

    /// <summary>Gives up what takes too long, and closes what nobody used lately. Returns in how many milliseconds it wants to be called again.</summary>
    public int Step(long nowMs)
    {
        if (_links.Count == 0)
        {
            return int.MaxValue;
        }

        foreach ((string name, MigrationLink link) in _links.ToArray())
        {
            link.GiveUpIfLate(nowMs);
            if (link.IsIdle && nowMs - link.UsedMs > IdleMs)
            {
                link.Dispose();
                _links.Remove(name);
            }
        }

        return 100;
    }
}

/// <summary>The connection to one server that keys are moved to; one migration after another.</summary>
internal sealed unsafe class MigrationLink(Server server, string host, int port) : IOutboundHandler, IDisposable
{
    private const int MaxRounds = 100;

    private readonly Queue<Migration> _queue = new();
    private readonly Queue<Sent> _sent = new();
    private readonly List<byte[]> _changed = [];
    private readonly List<byte[]> _vanished = [];
    private IOutboundConnection? _connection;
    private bool _isConnecting, _isFresh, _isDisposed;
    private Migration? _current;
    private string? _refusal;
    private long _selected = -1;
    private int _rounds;
    private bool _anyReply;

    /// <summary>What a reply will belong to: a key and what of it was sent; no key: AUTH, SELECT or DEL.</summary>
    private readonly record struct Sent(byte[]? Key, ulong Checksum, long ExpireAt);

    /// <summary>Whether nothing is under way.</summary>
    public bool IsIdle => _current is null && _queue.Count == 0;

    /// <summary>When something last happened, in Unix milliseconds.</summary>
    public long UsedMs { get; private set; } = server.NowMs;

    private Keyspace Keyspace => server.Mimei.Keyspace;

    /// <inheritdoc/>
    public void Dispose()
    {
        _isDisposed = true;
        _connection?.Close();
    }

    /// <summary>Begins a migration, or puts it behind those under way.</summary>
    public void Begin(Migration migration)
    {
        _queue.Enqueue(migration);
        Next();
    }

    /// <summary>Ends the migration under way if nothing moved for its time.</summary>
    public void GiveUpIfLate(long nowMs)
    {
        if (_current is { } migration && nowMs - UsedMs > migration.TimeoutMs)
        {
            bool wasConnecting = _connection is null;
            _connection?.Close();
            _connection = null;
            Finish(wasConnecting ? "IOERR error or timeout connecting to the client" : "IOERR error or timeout reading to target instance");
        }
    }

    private void Next()
    {
        if (_current is not null || !_queue.TryDequeue(out _current))
        {
            return;
        }

        UsedMs = server.NowMs;
        _refusal = null;
        _rounds = 0;
        _anyReply = false;
        Start();
    }

    private void Start()
    {
        _sent.Clear();
        if (_connection is null)
        {
            if (!_isConnecting)
            {
                _isConnecting = true;
                _isFresh = true;
                _selected = -1;
                server.Connector!.Connect(host, port, (int)Math.Min(int.MaxValue, _current!.TimeoutMs), this);
            }

            return;
        }

        Send(_current!.Keys, _current.Replaces, introduces: true);
    }

    /// <inheritdoc/>
    public void OnConnected(IOutboundConnection connection)
    {
        _isConnecting = false;
        if (_isDisposed || _current is null)
        {
            connection.Close();
            return;
        }

        _connection = connection;
        UsedMs = server.NowMs;
        Send(_current.Keys, _current.Replaces, introduces: true);
    }

    /// <inheritdoc/>
    public void OnClosed(string reason)
    {
        bool wasConnecting = _isConnecting;
        _isConnecting = false;
        _connection = null;
        if (_current is null)
        {
            return;
        }

        if (!wasConnecting && !_isFresh && !_anyReply)
        {
            // It had been open for a while, and nobody was there any more.
            Start();
            return;
        }

        Finish(wasConnecting ? "IOERR error or timeout connecting to the client" : "IOERR error or timeout reading to target instance");
    }

    /// <inheritdoc/>
    public long OnReceive(byte* data, long length)
    {
        var reader = new RespReader(new ReadOnlySpan<byte>(data, checked((int)length)));
        long consumed = 0;
        while (RespReply.TryRead(ref reader, out RespReply? reply) == ReadStatus.Complete)
        {
            consumed = reader.Consumed;
            UsedMs = server.NowMs;
            _anyReply = true;
            if (_sent.TryDequeue(out Sent sent))
            {
                Take(sent, reply!);
            }
        }

        if (_current is not null && _sent.Count == 0)
        {
            RoundIsOver();
        }

        return consumed;
    }

    private void Take(Sent sent, RespReply reply)
    {
        if (reply.IsError)
        {
            _refusal ??= $"ERR Target instance replied with error: {reply.Text}";
            _selected = -1;
            return;
        }

        if (sent.Key is null || _refusal is not null || _current!.Copies)
        {
            return;
        }

        lock (server.Mimei.Gate)
        {
            Keyspace.NowMs = server.NowMs;
            DeleteIfSame(sent);
        }
    }

    /// <summary>The key arrived: it goes here, unless it changed since it was sent.</summary>
    private void DeleteIfSame(Sent sent)
    {
        Database database = Keyspace.Databases[_current!.Database];
        fixed (byte* p = sent.Key)
        {
            Key key = Keyspace.KeyOf(p, sent.Key!.Length);
            byte* record = database.Peek(key);
            if (record == null)
            {
                _vanished.Add(sent.Key);
                return;
            }

            using var payload = new RdbBuffer();
            Commands.DumpCommands.WritePayload(Keyspace, record, payload);
            if (ChecksumOf(payload) != sent.Checksum || ExpireAtOf(record) != sent.ExpireAt)
            {
                _changed.Add(sent.Key);
                return;
            }

            Effects effects = Keyspace.Effects;
            effects.Use(database);
            effects.Delete(key);
            effects.EndEntry();
            Keyspace.Feed?.Deleted(database, key);
            Keyspace.Notify(KeyspaceEvents.Generic, "del"u8, database, key);
            server.Blocking.ServeReady(Keyspace);
        }
    }

    private void RoundIsOver()
    {
        if (_refusal is not null || (_changed.Count == 0 && _vanished.Count == 0))
        {
            Finish(_refusal);
            return;
        }

        if (++_rounds > MaxRounds)
        {
            Finish("IOERR keys changed faster than they could be sent");
            return;
        }

        byte[][] changed = [.. _changed], vanished = [.. _vanished];
        Send(changed, replaces: true, introduces: false, vanished);
    }

    private void Finish(string? error)
    {
        Session session = _current!.Session;
        _current = null;
        _sent.Clear();
        _changed.Clear();
        _vanished.Clear();
        _isFresh = false;
        if (session.Blocked is not null && !session.IsClosing)
        {
            if (error is null)
            {
                session.Output.Ok();
            }
            else
            {
                byte[] text = Encoding.Latin1.GetBytes(error);
                session.Output.Error(text);
                server.Stats.CountError(text);
            }

            server.Blocking.Remove(session);
            session.Connection.SendOutput();
        }

        Next();
    }

    // ------------------------------------------------------------------ sending

    private void Send(byte[][] keys, bool replaces, bool introduces, byte[][]? vanished = null)
    {
        RespWriter output = _connection!.Output;
        _changed.Clear();
        _vanished.Clear();
        if (introduces)
        {
            Introduce(output);
        }

        foreach (byte[] name in vanished ?? [])
        {
            output.Array(2);
            output.Bulk("DEL"u8);
            output.Bulk(name);
            _sent.Enqueue(default);
        }

        lock (server.Mimei.Gate)
        {
            Keyspace.NowMs = server.NowMs;
            foreach (byte[] name in keys)
            {
                Restore(output, name, replaces);
            }
        }

        _connection.SendOutput();
        if (_sent.Count == 0)
        {
            RoundIsOver();
        }
    }

    private void Introduce(RespWriter output)
    {
        if (_current!.Credentials.Length > 0)
        {
            output.Array(_current.Credentials.Length + 1);
            output.Bulk("AUTH"u8);
            foreach (string word in _current.Credentials)
            {
                output.Bulk(Encoding.Latin1.GetBytes(word));
            }

            _sent.Enqueue(default);
        }

        if (_selected != _current.TargetDatabase)
        {
            _selected = _current.TargetDatabase;
            output.Array(2);
            output.Bulk("SELECT"u8);
            output.BulkInteger(_selected);
            _sent.Enqueue(default);
        }
    }

    private void Restore(RespWriter output, byte[] name, bool replaces)
    {
        Database database = Keyspace.Databases[_current!.Database];
        fixed (byte* p = name)
        {
            byte* record = database.Peek(Keyspace.KeyOf(p, name.Length));
            if (record == null)
            {
                return;
            }

            using var payload = new RdbBuffer();
            Commands.DumpCommands.WritePayload(Keyspace, record, payload);
            long expireAt = ExpireAtOf(record);
            output.Array(replaces ? 5 : 4);
            output.Bulk("RESTORE"u8);
            output.Bulk(name);
            output.BulkInteger(expireAt == 0 ? 0 : Math.Max(1, expireAt - Keyspace.NowMs));
            output.Bulk(payload.Data, payload.Length);
            if (replaces)
            {
                output.Bulk("REPLACE"u8);
            }

            _sent.Enqueue(new Sent(name, ChecksumOf(payload), expireAt));
        }
    }

    private static ulong ChecksumOf(RdbBuffer payload) => System.Runtime.CompilerServices.Unsafe.ReadUnaligned<ulong>(payload.Data + payload.Length - sizeof(ulong));

    private static long ExpireAtOf(byte* record) => Record.HasExpire(record) ? Record.ExpireAt(record) : 0;
}
