using System.Runtime.CompilerServices;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Commands;
using Leither.MmDb.Memory;
using Leither.MmDb.Values;

namespace Leither.MmDb;

/// <summary>
/// The data of one MiMei: sixteen databases in one native heap, the clock and chance that its commands see, and what hangs on
/// its keys (expiry, eviction, blocked and watching clients). Everything runs behind the MiMei's gate, one command after another.
/// </summary>
/// <remarks>
/// Reads hide expired keys and note them; the keyspace deletes them afterwards in entries of its own. Only a writer does so:
/// a follower hides, and waits for the writer's effect.
/// </remarks>
public sealed unsafe class Keyspace : IDisposable
{
    /// <summary>How many databases there are unless the configuration says otherwise.</summary>
    public const int DefaultDatabaseCount = 16;

    /// <summary>At most so many expired keys are remembered during one command; the others wait for the next meeting.</summary>
    private const int MaxNotedExpired = 256;

    private readonly List<(Database Database, byte[] Key, bool IsMiss)> _noted = [];
    private readonly List<(Database Database, byte[] Key, byte[] Field)> _notedFields = [];
    private readonly List<(Database Database, byte[] Key)> _ready = [];
    private readonly HashSet<byte[]>[] _readySet;

    /// <summary>An empty keyspace.</summary>
    /// <param name="options">Settings that may change while it runs.</param>
    /// <param name="seed">Seeds the hash function and the keyspace's chance; secret, so that nobody can aim at one bucket.</param>
    public Keyspace(KeyspaceOptions options, ulong seed)
    {
        Options = options;
        HashSeed = seed;
        Random = new FastRandom(seed ^ 0x9E3779B97F4A7C15);
        Heap = new NativeHeap(seed);
        Databases = new Database[options.Databases];
        _readySet = new HashSet<byte[]>[options.Databases];
        for (int i = 0; i < Databases.Length; i++)
        {
            Databases[i] = new Database(this, i);
            _readySet[i] = new HashSet<byte[]>(ByteStringComparer.Instance);
        }

        LazyFree = new LazyFree(this);
        Expiry = new Expiry(this);
        FieldExpiry = new FieldExpiry(this);
        Eviction = new Eviction(this);
        Compactor = new Compactor(this);
        Effects = new Effects(this);
    }

    /// <summary>The only way to change anything in it.</summary>
    public Effects Effects { get; }
    /// <summary>Its databases by number.</summary>
    public Database[] Databases { get; }
    /// <summary>Where all its keys and values are.</summary>
    public NativeHeap Heap { get; private set; }
    /// <summary>Settings.</summary>
    public KeyspaceOptions Options { get; }
    /// <summary>Counters.</summary>
    public KeyspaceStats Stats { get; } = new();
    /// <summary>Removed values that are freed in slices.</summary>
    public LazyFree LazyFree { get; private set; }
    /// <summary>Looks for expired keys that nobody asks for.</summary>
    internal Expiry Expiry { get; }
    /// <summary>Knows which hashes have fields that expire, and deletes those that are due.</summary>
    internal FieldExpiry FieldExpiry { get; }
    /// <summary>Keeps memory below maxmemory.</summary>
    internal Eviction Eviction { get; }
    /// <summary>Gives memory back after many deletions.</summary>
    internal Compactor Compactor { get; private set; }
    /// <summary>The function libraries that belong to the data.</summary>
    public Scripting.FunctionCatalog Functions { get; } = new();
    /// <summary>The root of the files that a MiMei of files holds; none: it holds none. (Reading it is for any thread; changing it goes by <see cref="MmDb.Effects.SetFiles"/>.)</summary>
    public Cid Files
    {
        get => _files is Cid root ? root : default;
        internal set => _files = value.IsNone ? null : value;
    }

    private volatile object? _files; // a boxed CID: it is longer than what is written at once
    /// <summary>The keyspace's chance.</summary>
    public FastRandom Random;
    /// <summary>The seed of all key hashes.</summary>
    public ulong HashSeed { get; }
    /// <summary>The one clock reading of the running command, script or EXEC: Unix milliseconds. Of a version, always the same.</summary>
    public long NowMs
    {
        get;
        set => field = StandsAtMs == 0 ? value : StandsAtMs;
    }

    /// <summary>The instant at which the clock stands, in Unix milliseconds; 0: it goes.</summary>
    public long StandsAtMs
    {
        get;
        set
        {
            field = value;
            NowMs = value;
        }
    }

    /// <summary>Where keys come from that are not held yet; null: all are held.</summary>
    internal KeySource? Source { get; set; }
    /// <summary>Changes since the last checkpoint.</summary>
    public long Dirty { get; set; }
    /// <summary>Whether this node decides on expiry and eviction; a follower does not.</summary>
    public bool IsWriter { get; set; } = true;
    /// <summary>
    /// What runs comes from the source of a stream (the master, an append-only file), for which everything it has not deleted is there, expired or not.
    /// </summary>
    internal bool FollowsSource { get; set; }
    /// <summary>Bytes that other keyspaces use of what maxmemory allows all together.</summary>
    internal long OthersUsedBytes { get; set; }
    /// <summary>Nothing expires and nothing is evicted at present (CLIENT PAUSE).</summary>
    public bool IsFrozen { get; set; }
    /// <summary>What Redis replicas are fed with, while there is anybody to feed; otherwise null.</summary>
    internal RedisReplication.CommandFeed? Feed { get; set; }
    /// <summary>The snapshot under way, or null: a value about to change is captured for it first.</summary>
    internal Snapshot? Snapshot { get; set; }
    /// <summary>The marks of snapshots.</summary>
    internal SnapshotEpochs SnapshotEpochs { get; private set; } = new();
    /// <summary>Whether expired keys are looked for in the background (DEBUG SET-ACTIVE-EXPIRE).</summary>
    public bool ActiveExpireEnabled { get; set; } = true;

    /// <summary>What has to be told of changed keys: keys under WATCH, and client-side caches as a whole. 0: a change concerns nobody.</summary>
    internal int ChangeListeners { get; set; }
    /// <summary>Client-side caches; null while there are none.</summary>
    internal Tracking? Tracking { get; set; }

    /// <summary>Raised for keyspace events: class, name, database, key. Null while nobody asked for any.</summary>
    public KeyspaceEventSink? EventSink { get; set; }

    /// <summary>Hashes a key's name.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Key KeyOf(byte* name, int length) => new(name, length, Hash64.Compute(name, length, HashSeed));

    /// <summary>Whether a record that has an expiry is past it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal bool IsExpired(byte* record) => Record.ExpireAt(record) <= NowMs && !FollowsSource;

    /// <summary>
    /// Whether an instant of expiry has passed already, so that setting it means deleting. Where somebody else decides on expiry it never has:
    /// his deletion follows.
    /// </summary>
    internal bool IsPast(long instant) => instant <= NowMs && IsWriter && !FollowsSource;

    /// <summary>Idle time or frequency of a record that was used.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void Touch(byte* record)
    {
        if (!Options.SuppressTouch)
        {
            uint stamp = AccessStamp.Used(this, record);
            if (Record.Lru(record) != stamp)
            {
                Record.SetLru(record, stamp);
            }
        }
    }

    /// <summary>Remembers an expired key that a command met, to be deleted when the command is done.</summary>
    internal void NoteExpired(Database database, in Key key)
    {
        if (IsWriter && !IsFrozen && _noted.Count < MaxNotedExpired)
        {
            _noted.Add((database, key.ToArray(), false));
        }
    }

    /// <summary>Whether a key that was missed has just been found expired: then its miss is told after its end, as it would be if that came at once.</summary>
    internal bool WillTellOfMiss(Database database, in Key key)
    {
        if (_noted.Count == 0 || (Options.NotifyEvents & KeyspaceEvents.KeyMiss) == 0
            || _noted[^1] is not { IsMiss: false } last || last.Database != database || !key.Span.SequenceEqual(last.Key))
        {
            return false;
        }

        _noted[^1] = (database, last.Key, true);
        return true;
    }

    /// <summary>As <see cref="NoteExpired"/>, of a field of a hash.</summary>
    internal void NoteExpiredField(Database database, in Key key, ReadOnlySpan<byte> field)
    {
        if (IsWriter && !IsFrozen && _notedFields.Count < MaxNotedExpired)
        {
            _notedFields.Add((database, key.ToArray(), field.ToArray()));
        }
    }

    /// <summary>Deletes, in entries of the keyspace's own, the expired keys and fields that the last command met.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void DeleteNotedExpired()
    {
        if (_noted.Count > 0 || _notedFields.Count > 0)
        {
            DeleteNotedSlow();
        }
    }

    private void DeleteNotedSlow()
    {
        foreach ((Database database, byte[] name, bool isMiss) in _noted)
        {
            fixed (byte* p = name)
            {
                Key key = KeyOf(p, name.Length);
                ulong* slot = database.FindSlot(key);
                if (slot != null && Record.HasExpire(KeyTable.Get(slot)) && IsExpired(KeyTable.Get(slot)))
                {
                    Effects.Use(database);
                    Effects.Expire(key, NowMs);
                    Effects.EndEntry();
                }

                if (isMiss)
                {
                    Notify(KeyspaceEvents.KeyMiss, "keymiss"u8, database, key);
                }
            }
        }

        _noted.Clear();
        foreach ((Database database, byte[] name, byte[] field) in _notedFields)
        {
            fixed (byte* p = name, f = field)
            {
                var item = new Resp.Slice(f, field.Length);
                Effects.Use(database);
                Effects.HashExpireFields(KeyOf(p, name.Length), NowMs, &item, 1);
                Effects.EndEntry();
            }
        }

        _notedFields.Clear();
    }

    /// <summary>Notes that a key on which clients may wait has got something for them.</summary>
    internal void SignalReady(Database database, in Key key)
    {
        if (database.Waiting.Count == 0)
        {
            return;
        }

        var waiting = database.Waiting.GetAlternateLookup<ReadOnlySpan<byte>>();
        if (waiting.TryGetValue(key.Span, out byte[]? name, out _) && _readySet[database.Index].Add(name))
        {
            _ready.Add((database, name));
        }
    }

    /// <summary>Whether some key may serve a waiting client.</summary>
    internal bool HasReady => _ready.Count > 0;

    /// <summary>Takes the keys that became ready, in order.</summary>
    internal List<(Database Database, byte[] Key)> TakeReady()
    {
        List<(Database, byte[])> taken = [.. _ready];
        _ready.Clear();
        foreach (HashSet<byte[]> set in _readySet)
        {
            set.Clear();
        }

        return taken;
    }

    /// <summary>Tells of a keyspace event; cheap while nobody listens.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Notify(KeyspaceEvents kind, ReadOnlySpan<byte> name, Database database, in Key key)
    {
        if ((Options.NotifyEvents & kind) != 0)
        {
            EventSink?.Invoke(kind, name, database.Index, key.Span);
        }
    }

    /// <summary>Evicts until memory is below the limit; false when that cannot be reached.</summary>
    internal bool MakeRoom() => Heap.UsedBytes + OthersUsedBytes <= Options.MaxMemory || Eviction.MakeRoom();

    /// <summary>Bytes in use: values, keys and tables.</summary>
    public long UsedBytes => Heap.UsedBytes;

    /// <summary>
    /// Takes the contents of another keyspace in the place of its own, at once, and tells all whom that concerns; the other one has what was here, and is to be disposed
    /// of. Both have the same seed and number of databases, and no snapshot runs; nothing of the other one waits to be freed.
    /// </summary>
    internal void Exchange(Keyspace other)
    {
        (Heap, other.Heap) = (other.Heap, Heap);
        (SnapshotEpochs, other.SnapshotEpochs) = (other.SnapshotEpochs, SnapshotEpochs);
        // What they have under way lies in the memory that goes.
        (LazyFree, other.LazyFree) = (new LazyFree(this), new LazyFree(other));
        (Compactor, other.Compactor) = (new Compactor(this), new Compactor(other));
        for (int i = 0; i < Databases.Length; i++)
        {
            Databases[i].SwapTables(other.Databases[i]);
            Databases[i].AverageTtlMs = 0;
            Databases[i].ExpireCursor = 0;
        }

        Functions.Clear();
        foreach ((string name, byte[] code) in other.Functions.Libraries)
        {
            Functions.Set(name, code);
        }

        Files = other.Files;
        Effects.MemoryExchanged();
        other.Effects.MemoryExchanged();
        _noted.Clear();
        _notedFields.Clear();
        Transactions.BreakAll(this);
        Tracking?.Flushed();
        foreach (Database database in Databases)
        {
            foreach (byte[] name in database.Waiting.Keys)
            {
                fixed (byte* p = name)
                {
                    SignalReady(database, KeyOf(p, name.Length));
                }
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Source?.Dispose();
        FieldExpiry.Dispose();
        Heap.Dispose();
    }
}

/// <summary>Receives a keyspace event.</summary>
/// <param name="kind">Its class.</param>
/// <param name="name">Its name ("set", "expired", …).</param>
/// <param name="database">The database number.</param>
/// <param name="key">The key.</param>
public delegate void KeyspaceEventSink(KeyspaceEvents kind, ReadOnlySpan<byte> name, int database, ReadOnlySpan<byte> key);

/// <summary>The classes of notify-keyspace-events.</summary>
[Flags]
public enum KeyspaceEvents
{
    /// <summary>None.</summary>
    None = 0,
    /// <summary>K: on __keyspace@db__ channels.</summary>
    Keyspace = 1 << 0,
    /// <summary>E: on __keyevent@db__ channels.</summary>
    Keyevent = 1 << 1,
    /// <summary>g: generic commands.</summary>
    Generic = 1 << 2,
    /// <summary>$: strings.</summary>
    String = 1 << 3,
    /// <summary>l: lists.</summary>
    List = 1 << 4,
    /// <summary>s: sets.</summary>
    Set = 1 << 5,
    /// <summary>h: hashes.</summary>
    Hash = 1 << 6,
    /// <summary>z: sorted sets.</summary>
    SortedSet = 1 << 7,
    /// <summary>x: expiry.</summary>
    Expired = 1 << 8,
    /// <summary>e: eviction.</summary>
    Evicted = 1 << 9,
    /// <summary>t: streams.</summary>
    Stream = 1 << 10,
    /// <summary>m: misses.</summary>
    KeyMiss = 1 << 11,
    /// <summary>d: modules.</summary>
    Module = 1 << 13,
    /// <summary>n: new keys.</summary>
    New = 1 << 14,
    /// <summary>A: all but misses and new keys.</summary>
    All = Generic | String | List | Set | Hash | SortedSet | Expired | Evicted | Stream | Module,
}

/// <summary>Counters of a keyspace for INFO stats.</summary>
public sealed class KeyspaceStats
{
    /// <summary>Lookups that found a key.</summary>
    public long KeyspaceHits { get; set; }
    /// <summary>Lookups that found none.</summary>
    public long KeyspaceMisses { get; set; }
    /// <summary>Keys that expired.</summary>
    public long ExpiredKeys { get; set; }
    /// <summary>Fields of hashes that expired.</summary>
    public long ExpiredFields { get; set; }
    /// <summary>Keys evicted.</summary>
    public long EvictedKeys { get; set; }
    /// <summary>Times that the expiry cycle ran out of its time.</summary>
    public long ExpiredTimeCapReached { get; set; }
    /// <summary>Time spent looking for expired keys, in ticks of <see cref="System.Diagnostics.Stopwatch"/>.</summary>
    public long ExpireCycleTicks { get; set; }
    /// <summary>Estimated share of expired keys still held, in percent.</summary>
    public double ExpiredStalePercent { get; set; }
    /// <summary>Back to zero (CONFIG RESETSTAT).</summary>
    public void Reset()
    {
        KeyspaceHits = KeyspaceMisses = ExpiredKeys = ExpiredFields = EvictedKeys = ExpiredTimeCapReached = ExpireCycleTicks = 0;
        ExpiredStalePercent = 0;
    }
}
