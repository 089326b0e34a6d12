using System.Text;
using Leither.MmDb.Commands;
using Leither.MmDb.Configuration;
using Leither.MmDb.Memory;
using Leither.MmDb.Rdb;
using Leither.MmDb.Values;

namespace Leither.MmDb;

/// <summary>
/// What a session does between BEGIN and COMMIT. Its commands run at once, in a view: a small keyspace of its own, into which a key is copied when it is first
/// asked for. Effects there change the copies and are written down; COMMIT applies them to the MiMei as one entry, if every key that was touched
/// is still what it was.
/// </summary>
/// <remarks>
/// <para>What must stay true:</para>
/// <list type="bullet">
/// <item>Every key that the transaction has looked at or changed is watched, as by WATCH. Once one of them has changed it can never commit, so the next command is refused:
/// whatever commands saw together did exist together.</item>
/// <item>Nothing that can fail stands between the check at COMMIT and the end of the last effect.</item>
/// <item>Names alone (KEYS, SCAN, KEYSCAN, RANDOMKEY, DBSIZE) are not watched: a key that appears meanwhile is no conflict.</item>
/// </list>
/// </remarks>
internal sealed unsafe class InteractiveTransaction : IDisposable
{
    /// <summary>The longest time that one may be given, in milliseconds: a day.</summary>
    public const long MostMs = 24 * 60 * 60 * 1000;

    /// <summary>What a touched key costs beside its name: its watch, and its place in tables.</summary>
    internal const int TouchedBytes = 256;

    private const int EventBytes = 64;

    private readonly Server _server;
    private readonly Session _session;
    private readonly TransactionSource _source;
    private readonly RdbBuffer _effects = new();
    private readonly List<(KeyspaceEvents Kind, byte[] Name, int Database, byte[] Key)> _events = [];
    private readonly long _timeMs, _deadlineMs, _limit, _maxElements;
    private long _eventBytes;
    private byte[]? _problem;

    private InteractiveTransaction(Server server, Session session, long timeMs)
    {
        _server = server;
        _session = session;
        Keyspace live = session.Mimei.Keyspace;
        _timeMs = timeMs;
        _deadlineMs = live.NowMs + timeMs;
        _limit = server.Settings.Get(ConfigKeys.TransactionMaxMemory);
        _maxElements = server.Settings.Get(ConfigKeys.TransactionMaxElements);
        var view = new Keyspace(live.Options, live.HashSeed) { IsWriter = live.IsWriter, NowMs = live.NowMs };
        view.Random = new FastRandom(live.Random.Next());
        _source = new TransactionSource(this, session, live, view);
        view.Source = _source;
        view.ChangeListeners = 1; // the source, which is told what was written
        view.Effects.RecordTo(_effects);
        view.EventSink = NoteEvent;
        View = view;
    }

    /// <summary>What its commands see; null once it cannot go on.</summary>
    public Keyspace? View { get; private set; }

    /// <summary>A command runs in it: it must not go away meanwhile.</summary>
    public bool IsInUse { get; set; }

    /// <summary>Why nothing more can be done in it but to end it; null: all is well.</summary>
    public byte[]? Problem => _problem;

    /// <summary>What it holds.</summary>
    public long Bytes => View is { } view ? view.UsedBytes + _effects.Length + _eventBytes + _source.TouchedBytes : 0;

    /// <summary>Whether a collection of so many elements may be copied into it: others wait meanwhile. If not, it cannot go on.</summary>
    public bool MayCopy(long elements)
    {
        if (_problem is null && elements > _maxElements)
        {
            _problem = Encoding.ASCII.GetBytes(
                $"ABORTED the transaction would copy a collection of {elements} elements, which is more than transaction-max-elements ({_maxElements}); nothing was done, ROLLBACK ends it");
        }

        return _problem is null;
    }

    /// <summary>Whether so much more may be copied into it; if not, it cannot go on.</summary>
    public bool HasRoomFor(long bytes)
    {
        if (_problem is null && Bytes + bytes > _limit)
        {
            _problem = Encoding.ASCII.GetBytes(
                $"ABORTED the transaction would hold more than transaction-max-memory ({_limit} bytes) of values; nothing was done, ROLLBACK ends it");
        }

        return _problem is null;
    }

    /// <summary>Begins one for a session.</summary>
    public static void Begin(Server server, Session session, long timeMs)
    {
        var transaction = new InteractiveTransaction(server, session, timeMs);
        session.Interactive = transaction;
        server.Interactive.Add(transaction);
    }

    /// <summary>Ends a session's transaction, if there is one: what was not committed never was.</summary>
    public static void End(Session session)
    {
        if (session.Interactive is not { } transaction)
        {
            return;
        }

        transaction._server.Interactive.Remove(transaction);
        Transactions.Unwatch(session);
        session.QueuedBytes = 0;
        session.TransactionFlags = CommandFlags.None;
        session.Interactive = null;
        if (!transaction.IsInUse)
        {
            transaction.Dispose();
        }
    }

    /// <summary>Frees what it holds if its time is over.</summary>
    public void AbortIfLate(long nowMs)
    {
        if (_problem is null && !IsInUse && nowMs >= _deadlineMs)
        {
            Abort(Encoding.ASCII.GetBytes($"ABORTED the transaction's {_timeMs} milliseconds are over; nothing was done, ROLLBACK ends it"));
        }
    }

    /// <summary>Why a command may not run in it; null: it may. Finds out whether the transaction can still go on.</summary>
    public string? Refusal(CommandSpec spec)
    {
        AbortIfLate(_session.Mimei.Keyspace.NowMs);
        if (_problem is null && _session.WatchBroken)
        {
            Abort(Errors.Conflict.ToArray());
        }

        if (spec.Group == CommandGroup.Mimei && spec.Name is "begin" or "commit" or "rollback")
        {
            return null;
        }

        string? refusal = RefusalOf(spec);
        return refusal is null && _problem is { } problem && !IsOfConnection(spec) ? Encoding.ASCII.GetString(problem) : refusal;
    }

    /// <summary>Why a command can never run between BEGIN and COMMIT; null: it can.</summary>
    public static string? RefusalOf(CommandSpec spec)
    {
        // What reads or writes keys can run in a view. The rest acts on more than keys, or at once, or on other clients.
        bool isOfKeys = (spec.Flags & (CommandFlags.Write | CommandFlags.ReadOnly)) != 0 && (spec.Flags & (CommandFlags.Admin | CommandFlags.NoMulti)) == 0
            && spec.Group != CommandGroup.Scripting && spec.Name is not ("flushall" or "flushdb" or "swapdb" or "migrate" or "zaddwithseq");
        bool isScript = spec.Group == CommandGroup.Scripting
            && spec.Name is "eval" or "eval_ro" or "evalsha" or "evalsha_ro" or "fcall" or "fcall_ro" or "exists" or "load" && spec.Parent?.Name is null or "script";
        return isOfKeys || isScript || IsOfConnection(spec) ? null : $"ERR '{spec.FullName}' is not possible between BEGIN and COMMIT";
    }

    private static bool IsOfConnection(CommandSpec spec) =>
        (spec.Parent ?? spec).Name is "ping" or "echo" or "select" or "quit" or "reset" or "client" or "command" or "time";

    /// <summary>Called after each command. Returns why the transaction can not go on, if that is since this command.</summary>
    public byte[]? EndCommand()
    {
        if (_session.Interactive != this)
        {
            Dispose();
            return null;
        }

        if (View is null)
        {
            return null;
        }

        _session.TransactionFlags = _effects.Length > 0 ? CommandFlags.Write | CommandFlags.DenyOom : CommandFlags.None;
        if (!HasRoomFor(0))
        {
            Abort(_problem!);
            return _problem;
        }

        _session.QueuedBytes = Bytes;
        return null;
    }

    /// <summary>COMMIT: all or nothing. The transaction is over in any case, but where the log has no room: then COMMIT can be tried again.</summary>
    public void Commit(CommandContext c)
    {
        if (_problem is null && (Transactions.HasExpiredWatch(_session) || _source.HasExpiredFields()))
        {
            _problem = Errors.Conflict.ToArray();
        }

        if (_problem is null && _effects.Length > 0 && _session.Mimei.Log is { } log && !log.CanAccept(_effects.Length, out Log.LogError error))
        {
            c.Error(Errors.NotLogged + error.Text);
            return;
        }

        End(_session);
        c.Rebind();
        if (_problem is not null)
        {
            c.Error(_problem);
            return;
        }

        if (_effects.Length > 0)
        {
            Apply(c);
        }

        c.Reply.Ok();
    }

    private void Apply(CommandContext c)
    {
        Keyspace live = c.Keyspace;
        _source.DeleteExpired();

        // What happened is told in the order in which it happened, and once.
        KeyspaceEventSink? sink = live.EventSink;
        live.EventSink = null;
        live.Effects.Commit(_effects.Data, _effects.Length);
        live.EventSink = sink;
        foreach ((KeyspaceEvents kind, byte[] name, int database, byte[] key) in _events)
        {
            fixed (byte* p = key)
            {
                live.Notify(kind, name, live.Databases[database], live.KeyOf(p, key.Length));
            }
        }

        if (live.Feed is { } feed)
        {
            _source.Feed(feed);
        }

        live.Effects.Use(c.Database);
    }

    private void NoteEvent(KeyspaceEvents kind, ReadOnlySpan<byte> name, int database, ReadOnlySpan<byte> key)
    {
        // A miss is no change, and a copy is no new key.
        if (kind != KeyspaceEvents.KeyMiss && !_source.IsFetching)
        {
            _events.Add((kind, name.ToArray(), database, key.ToArray()));
            _eventBytes += EventBytes + name.Length + key.Length;
        }
    }

    private void Abort(byte[] problem)
    {
        _problem = problem;
        Dispose();
        _session.Interactive = this; // which sees the MiMei again
        _session.QueuedBytes = 0;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (View is { } view)
        {
            View = null;
            KeyspaceStats stats = _session.Mimei.Keyspace.Stats;
            stats.KeyspaceHits += view.Stats.KeyspaceHits;
            stats.KeyspaceMisses += view.Stats.KeyspaceMisses;
            view.Dispose();
            _effects.Dispose();
            _events.Clear();
        }
    }
}

/// <summary>What lies below a transaction's view: the MiMei's keys, but those that the transaction has touched, which are in the view or gone.</summary>
internal sealed unsafe class TransactionSource(InteractiveTransaction transaction, Session session, Keyspace live, Keyspace view) : KeySource
{
    /// <summary>Of a big collection so many elements are measured to tell how large a copy will be.</summary>
    private const int Samples = 16;

    private readonly Dictionary<byte[], Touched>?[] _touched = new Dictionary<byte[], Touched>?[live.Databases.Length];

    private sealed class Touched
    {
        /// <summary>Of a hash with fields that expire, how many there were; -1: it is no such hash.</summary>
        public required long LiveFields { get; init; }
        public bool IsWritten { get; set; }
    }

    /// <inheritdoc/>
    public override bool IsChangeable => true;

    /// <summary>A copy is being made, which is no change.</summary>
    public bool IsFetching { get; private set; }

    /// <summary>What it takes to know the touched keys.</summary>
    public long TouchedBytes { get; private set; }

    /// <summary>Looks at every touched key of the database.</summary>
    public override long Count(int database)
    {
        Database below = live.Databases[database];
        long count = below.Count + view.Databases[database].Keys->Count;
        foreach (byte[] name in _touched[database]?.Keys ?? Enumerable.Empty<byte[]>())
        {
            count -= below.Holds(name) ? 1 : 0;
        }

        return count;
    }

    /// <inheritdoc/>
    public override byte* Fetch(Database database, in Key key)
    {
        if (IsTouched(database.Index, key.Span))
        {
            return null;
        }

        Database below = live.Databases[database.Index];
        byte* record = below.Peek(key);
        if (record != null && !transaction.MayCopy(ElementsOf(record)))
        {
            return null;
        }

        if (!transaction.HasRoomFor((record == null ? 0 : ValueSize.Of(record, Samples)) + key.Length + InteractiveTransaction.TouchedBytes))
        {
            // What the command now makes of it is not kept, nor replied.
            return null;
        }

        Transactions.Watch(session, below, key);
        Dictionary<byte[], Touched> touched = _touched[database.Index] ??= new(ByteStringComparer.Instance);
        touched.Add(key.ToArray(), new Touched { LiveFields = LiveFields(live, record) });
        TouchedBytes += key.Length + InteractiveTransaction.TouchedBytes;
        if (record == null)
        {
            return null;
        }

        IsFetching = true;
        byte* copy = view.Effects.Fetched(database, key, record);
        IsFetching = false;
        return copy;
    }

    /// <inheritdoc/>
    public override void Changed(Database database, in Key key)
    {
        if (!IsFetching && _touched[database.Index]?.GetAlternateLookup<ReadOnlySpan<byte>>().TryGetValue(key.Span, out Touched? touched) == true)
        {
            touched.IsWritten = true;
        }
    }

    /// <inheritdoc/>
    public override IEnumerable<SourceKey> Walk(int database, long from) => throw new NotSupportedException("A transaction's keys are walked in hash order.");

    /// <inheritdoc/>
    public override IEnumerable<SourceKey> WalkFrom(int database, byte[] begin) => Walk(database, 0);

    /// <inheritdoc/>
    public override int SortedBytes => 0;

    /// <inheritdoc/>
    public override void Dispose()
    {
        // What lies below is not its own.
    }

    /// <summary>
    /// One step of a walk through the keys of both. Tables of one seed have one order, so a cursor means the same place in both.
    /// </summary>
    public ulong ScanBucket(Database database, ulong cursor, ref NativeList<nint> records)
    {
        NativeList<nint> bucket = default;
        ulong next = live.Databases[database.Index].Keys->ScanBucket(cursor, ref bucket);
        foreach (nint record in bucket.Span)
        {
            if (!IsTouched(database.Index, Record.KeySpan((byte*)record)))
            {
                records.Add(record);
            }
        }

        ulong own = cursor;
        do
        {
            bucket.Clear();
            own = database.Keys->ScanBucket(own, ref bucket);
            foreach (nint record in bucket.Span)
            {
                ulong position = view.KeyOf(Record.Key((byte*)record), Record.KeyLength((byte*)record)).Hash >> KeyTable.TagBits;
                if (position >= cursor && (next == 0 || position < next))
                {
                    records.Add(record);
                }
            }
        }
        while (own != 0 && (next == 0 || own < next));
        bucket.Dispose();
        return next;
    }

    /// <summary>A key of both drawn at random; null if none was met.</summary>
    public byte* Random(Database database, ref FastRandom random)
    {
        const int tries = 100;
        KeyTable* below = live.Databases[database.Index].Keys;
        ulong own = (ulong)database.Keys->Count, all = own + (ulong)below->Count;
        for (int i = 0; i < tries && all > 0; i++)
        {
            if (random.Below(all) < own)
            {
                return database.Keys->Random(ref random);
            }

            byte* record = below->Random(ref random);
            if (record != null && !IsTouched(database.Index, Record.KeySpan(record)))
            {
                return record;
            }
        }

        return null;
    }

    /// <summary>Whether a field of a touched hash has expired since it was copied: nobody may have met it yet, but it is gone.</summary>
    public bool HasExpiredFields()
    {
        for (int i = 0; i < _touched.Length; i++)
        {
            foreach ((byte[] name, Touched touched) in _touched[i] ?? [])
            {
                if (touched.LiveFields < 0)
                {
                    continue;
                }

                fixed (byte* p = name)
                {
                    if (LiveFields(live, live.Databases[i].Peek(live.KeyOf(p, name.Length))) != touched.LiveFields)
                    {
                        return true;
                    }
                }
            }
        }

        return false;
    }

    /// <summary>Deletes those of the touched keys that have expired but are still there, in entries of their own: in the view they were not.</summary>
    public void DeleteExpired()
    {
        for (int i = 0; i < _touched.Length; i++)
        {
            Database below = live.Databases[i];
            foreach (byte[] name in _touched[i]?.Keys ?? Enumerable.Empty<byte[]>())
            {
                fixed (byte* p = name)
                {
                    if (below.HoldsExpired(name))
                    {
                        live.Effects.Use(below);
                        live.Effects.Expire(live.KeyOf(p, name.Length), live.NowMs);
                        live.Effects.EndEntry();
                    }
                }
            }
        }
    }

    /// <summary>Replicas get what the written keys hold now.</summary>
    public void Feed(RedisReplication.CommandFeed feed)
    {
        for (int i = 0; i < _touched.Length; i++)
        {
            foreach ((byte[] name, Touched touched) in _touched[i] ?? [])
            {
                if (touched.IsWritten)
                {
                    fixed (byte* p = name)
                    {
                        feed.Written(live.Databases[i], live.KeyOf(p, name.Length));
                    }
                }
            }
        }
    }

    private bool IsTouched(int database, ReadOnlySpan<byte> name) => _touched[database]?.GetAlternateLookup<ReadOnlySpan<byte>>().ContainsKey(name) == true;

    private long ElementsOf(byte* record) => (DataType)Record.Type(record) switch
    {
        DataType.List => new ListValue(record).Count,
        DataType.Set => new SetValue(live, record).Count,
        DataType.Hash => new HashValue(live, record).Count,
        DataType.SortedSet => new SortedSetValue(record).Count,
        DataType.Stream => new StreamValue(record).Count,
        _ => 1,
    };

    private static long LiveFields(Keyspace keyspace, byte* record)
    {
        if (record == null || Record.Type(record) != (int)DataType.Hash)
        {
            return -1;
        }

        var hash = new HashValue(keyspace, record);
        return hash.MayExpire ? hash.LiveCount : -1;
    }
}
