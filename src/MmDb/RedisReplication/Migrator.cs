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
    /// <summary>Its wait: who was unblocked meanwhile may wait for something else.</summary>
    public required BlockedState Wait { get; init; }
    /// <summary>The MiMei that the keys are in.</summary>
    public required Mimei Mimei { get; init; }
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
    public byte[][] Credentials { get; init; } = [];
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
            link.HearAfterScript();
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
internal sealed unsafe class MigrationLink(Server server, string host, int port) : IDisposable
{
    private const int MaxRounds = 100;

    /// <summary>Replies are words and errors: what is longer comes from something else.</summary>
    private const int MaxReplyBytes = 64 * 1024;

    private const string NotConnected = "IOERR error or timeout connecting to the client";
    private const string NotWritten = "IOERR error or timeout writing to target instance";
    private const string NotRead = "IOERR error or timeout reading to target instance";

    private readonly Queue<Migration> _queue = new();
    private readonly Queue<Sent> _sent = new();
    private readonly List<byte[]> _changed = [];
    private readonly List<byte[]> _vanished = [];
    private readonly HashSet<byte[]> _moved = new(ByteStringComparer.Instance);
    private Line? _line;
    private bool _mayRetry;
    private Migration? _current;
    private string? _refusal;
    private bool _isRefusedWhole;
    private bool? _isHere;
    private long _selected = -1;
    private int _rounds;
    private bool _anyReply;

    /// <summary>What a reply will belong to: a key and what of it was sent; no key: AUTH, SELECT or DEL.</summary>
    private readonly record struct Sent(byte[]? Key, ulong Checksum, long ExpireAt);

    /// <summary>One connection. What still happens on one that was given up is nobody's.</summary>
    private sealed class Line(MigrationLink link) : IOutboundHandler
    {
        private bool _waitsForScript;

        public IOutboundConnection? Connection { get; private set; }

        public void Close()
        {
            link._line = link._line == this ? null : link._line;
            Connection?.Close();
        }

        public void OnConnected(IOutboundConnection connection)
        {
            if (link._line != this)
            {
                connection.Close();
                return;
            }

            Connection = connection;
            link.Connected();
        }

        public long OnReceive(byte* data, long length)
        {
            if (link._line != this)
            {
                return length;
            }

            if (link.IsScriptBusy)
            {
                // No key leaves in the middle of a script.
                _waitsForScript = true;
                Connection!.Pause();
                return 0;
            }

            return link.Receive(data, length);
        }

        /// <summary>Whether something waited, which is presented now.</summary>
        public bool HearAfterScript()
        {
            if (!_waitsForScript)
            {
                return false;
            }

            _waitsForScript = false;
            Connection!.Resume();
            return true;
        }

        public void OnClosed(OutboundEnd end, string reason)
        {
            if (link._line == this)
            {
                link._line = null;
                link.Closed(end);
            }
        }
    }

    /// <summary>Whether nothing is under way.</summary>
    public bool IsIdle => _current is null && _queue.Count == 0;

    /// <summary>When something last happened, in Unix milliseconds.</summary>
    public long UsedMs { get; private set; } = server.NowMs;

    /// <summary>The MiMei that the keys of the migration under way are in; it is held until that is over.</summary>
    private Mimei Mimei => _current!.Mimei;

    private Keyspace Keyspace => Mimei.Keyspace;

    /// <inheritdoc/>
    public void Dispose() => _line?.Close();

    /// <summary>Begins a migration, or puts it behind those under way.</summary>
    public void Begin(Migration migration)
    {
        migration.Mimei.Hold();
        _queue.Enqueue(migration);
        Next();
    }

    private bool IsScriptBusy => server.Scripts.IsBusy;

    /// <summary>Looks at what arrived while a script ran.</summary>
    public void HearAfterScript()
    {
        if (!IsScriptBusy && _line?.HearAfterScript() == true)
        {
            UsedMs = server.NowMs;
        }
    }

    /// <summary>Ends the migration under way if nothing moved for its time.</summary>
    public void GiveUpIfLate(long nowMs)
    {
        if (_current is { } migration && nowMs - UsedMs > migration.TimeoutMs)
        {
            bool wasConnected = _line?.Connection is not null;
            _line?.Close();
            Finish(wasConnected ? NotRead : NotConnected);
        }
    }

    private void Next()
    {
        if (_current is not null || !_queue.TryDequeue(out _current))
        {
            return;
        }

        UsedMs = server.NowMs;
        _mayRetry = true;
        _refusal = null;
        _isRefusedWhole = false;
        _isHere = null;
        _rounds = 0;
        _anyReply = false;
        Start();
    }

    private void Start()
    {
        _sent.Clear();
        if (_line is null)
        {
            _line = new Line(this);
            _selected = -1;
            server.Connector!.Connect(host, port, (int)Math.Min(int.MaxValue, _current!.TimeoutMs), _line);
        }
        else
        {
            Send(_current!.Keys, _current.Replaces, introduces: true);
        }
    }

    private void Connected()
    {
        UsedMs = server.NowMs;
        Send(_current!.Keys, _current.Replaces, introduces: true);
    }

    private void Closed(OutboundEnd end)
    {
        if (_current is null)
        {
            return;
        }

        if (end == OutboundEnd.Ended && _mayRetry && !_anyReply)
        {
            // It may have been open for a while, and nobody there any more.
            _mayRetry = false;
            Start();
            return;
        }

        Finish(end switch
        {
            OutboundEnd.Ended => NotRead,
            OutboundEnd.Refused => NotWritten,
            _ => NotConnected,
        });
    }

    private long Receive(byte* data, long length)
    {
        var reader = new RespReader(new ReadOnlySpan<byte>(data, checked((int)length)));
        long consumed = 0;
        ReadStatus status;
        while ((status = RespReply.TryRead(ref reader, out RespReply? reply)) == ReadStatus.Complete)
        {
            consumed = reader.Consumed;
            UsedMs = server.NowMs;
            _anyReply = true;
            if (_sent.TryDequeue(out Sent sent))
            {
                Take(sent, reply!);
            }
        }

        if (status == ReadStatus.Malformed || length - consumed > MaxReplyBytes)
        {
            _line!.Close();
            if (_current is not null)
            {
                Finish(NotRead);
            }

            return length;
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
            _isRefusedWhole |= sent.Key is null;
            _selected = -1;
            return;
        }

        if (sent.Key is null || _isRefusedWhole || _current!.Copies)
        {
            return;
        }

        lock (Mimei.Gate)
        {
            server.Touch(Mimei);
            Keyspace.NowMs = server.NowMs;
            if (!Keyspace.IsWriter)
            {
                _refusal ??= "READONLY You can't write against a read only replica.";
            }
            else if (_isHere ??= IsHere())
            {
                _refusal ??= "ERR Target instance is the source: the keys are where they belong";
            }
            else
            {
                DeleteIfSame(sent);
            }
        }
    }

    /// <summary>Whether keys that go to the target arrive where they came from: moving them would end in deleting them.</summary>
    private bool IsHere()
    {
        if (_current!.TargetDatabase != _current.Database)
        {
            return false;
        }

        string address = _line!.Connection!.LocalAddress;
        foreach (Session session in server.Sessions.Values)
        {
            if (session.Connection.RemoteAddress == address && session.Mimei == Mimei)
            {
                return true;
            }
        }

        return false;
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
                // What was named twice went with its first reply.
                if (!_moved.Contains(sent.Key))
                {
                    _vanished.Add(sent.Key);
                }

                return;
            }

            using var payload = new RdbBuffer();
            Commands.DumpCommands.WritePayload(Keyspace, record, payload);
            if (ChecksumOf(payload) != sent.Checksum || ExpireAtOf(record) != sent.ExpireAt)
            {
                _changed.Add(sent.Key);
                return;
            }

            _moved.Add(sent.Key);
            Effects effects = Keyspace.Effects;
            effects.Use(database);
            effects.Delete(key);
            effects.EndEntry();
            Keyspace.Feed?.Deleted(database, key, lazily: null);
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
        bool isAwaited = session.Blocked == _current.Wait;
        _current.Mimei.Release();
        _current = null;
        _sent.Clear();
        _changed.Clear();
        _vanished.Clear();
        _moved.Clear();
        if (isAwaited && !session.IsClosing)
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
        RespWriter output = _line!.Connection!.Output;
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

        lock (Mimei.Gate)
        {
            server.Touch(Mimei);
            Keyspace.NowMs = server.NowMs;
            foreach (byte[] name in keys)
            {
                Restore(output, name, replaces);
            }
        }

        _line.Connection.SendOutput();
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
            foreach (byte[] word in _current.Credentials)
            {
                output.Bulk(word);
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

            long expireAt = ExpireAtOf(record);
            if (expireAt != 0 && expireAt < Keyspace.NowMs)
            {
                return;
            }

            using var payload = new RdbBuffer();
            Commands.DumpCommands.WritePayload(Keyspace, record, payload);
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
