using System.Diagnostics;
using Leither.MmDb.Memory;

namespace Leither.MmDb;

/// <summary>
/// Keeps memory below maxmemory, which is for all MiMei of a node together; who needs room makes it among its own keys. It takes keys out, by the chosen policy, until it is. Policies that compare keys do so among a few drawn at
/// random, and keep the best candidates of earlier draws in a pool, as Redis does: nearly as good as a true order, and free of its cost.
/// </summary>
/// <remarks>
/// Evicted keys are deleted by effects in entries of the keyspace's own, before the command that needs the room, and only by the writer.
/// Big values are freed in slices; what still waits to be freed is freed first, before another key is chosen.
/// </remarks>
internal sealed unsafe class Eviction(Keyspace keyspace)
{
    private const int PoolSize = 16;

    /// <summary>The clock is read, and the time limit heeded, every so many keys.</summary>
    private const int KeysPerClockReading = 16;

    private static readonly TimeSpan _freeingSlice = TimeSpan.FromMilliseconds(0.1);

    private readonly KeyBuffer _key = new();
    private readonly Candidate[] _pool = [.. Enumerable.Range(0, PoolSize).Select(static _ => new Candidate())];
    private NativeList<nint> _sample;
    private int _count;
    private int _nextDatabase;
    private EvictionPolicy _poolPolicy;

    /// <summary>A key that was drawn: the higher the score, the sooner it goes. It may be gone, or be another key of that name, since.</summary>
    private sealed class Candidate
    {
        public ulong Score { get; set; }
        public int Database { get; set; }
        public byte[] Name { get; set; } = [];
        public int Length { get; set; }
    }

    /// <summary>Whether more memory is in use than maxmemory allows and something can be done about it.</summary>
    public bool IsNeeded => IsOver && keyspace.IsWriter && !keyspace.IsFrozen && keyspace.Options.Policy != EvictionPolicy.NoEviction;

    private bool IsOver => keyspace.Options.MaxMemory != 0 && keyspace.UsedBytes + keyspace.OthersUsedBytes > keyspace.Options.MaxMemory;

    /// <summary>
    /// Evicts until memory is below the limit or the time that one command may spend on it is over (the rest follows with the next command
    /// or slice). False when nothing is left that may go.
    /// </summary>
    public bool MakeRoom()
    {
        if (!IsOver || !keyspace.IsWriter || keyspace.IsFrozen)
        {
            return true;
        }

        Database before = keyspace.Effects.Database;
        bool done = Evict();
        keyspace.Effects.Use(before);
        return done;
    }

    private bool Evict()
    {
        if (keyspace.Options.Policy == EvictionPolicy.NoEviction)
        {
            return false;
        }

        long started = Stopwatch.GetTimestamp();
        TimeSpan limit = TimeLimit(keyspace.Options.EvictionTenacity);
        for (int evicted = 1; IsOver; evicted++)
        {
            if (keyspace.LazyFree.Step(_freeingSlice))
            {
                if (Stopwatch.GetElapsedTime(started) > limit)
                {
                    break;
                }

                continue;
            }

            if (!IsOver)
            {
                break;
            }

            if (!EvictOne())
            {
                // What a running snapshot holds back comes free when it is done.
                return keyspace.LazyFree.PendingCount > 0;
            }

            bool isHeldBack = keyspace.Snapshot is not null && keyspace.LazyFree.PendingCount > 0;
            if (isHeldBack || (evicted % KeysPerClockReading == 0 && Stopwatch.GetElapsedTime(started) > limit))
            {
                break;
            }
        }

        return true;
    }

    /// <summary>maxmemory-eviction-tenacity: up to 10 it grows evenly to half a millisecond, then by 15 % each; 100 knows no limit.</summary>
    private static TimeSpan TimeLimit(int tenacity) => tenacity switch
    {
        <= 10 => TimeSpan.FromMicroseconds(50 * tenacity),
        < 100 => TimeSpan.FromMicroseconds(500 * Math.Pow(1.15, tenacity - 10)),
        _ => TimeSpan.MaxValue,
    };

    private bool EvictOne()
    {
        bool volatileOnly = IsVolatile(keyspace.Options.Policy);
        byte* record = keyspace.Options.Policy is EvictionPolicy.AllKeysRandom or EvictionPolicy.VolatileRandom
            ? Draw(volatileOnly, out Database? database)
            : BestOfPool(volatileOnly, out database);
        if (record == null || database is null)
        {
            return false;
        }

        Key key = _key.Copy(keyspace, record);
        keyspace.Effects.Use(database);
        if (Record.HasExpire(record) && keyspace.IsExpired(record))
        {
            keyspace.Effects.Expire(key, keyspace.NowMs);
        }
        else
        {
            keyspace.Effects.Delete(key);
            keyspace.Feed?.Deleted(database, key, Configuration.ConfigKeys.LazyFreeLazyEviction);
            keyspace.Stats.EvictedKeys++;
            keyspace.Notify(KeyspaceEvents.Evicted, "evicted"u8, database, key);
        }

        keyspace.Effects.EndEntry();
        return true;
    }

    private static bool IsVolatile(EvictionPolicy policy) =>
        policy is EvictionPolicy.VolatileLru or EvictionPolicy.VolatileLfu or EvictionPolicy.VolatileRandom or EvictionPolicy.VolatileTtl;

    private static KeyTable* TableOf(Database database, bool volatileOnly) => volatileOnly ? database.Expires : database.Keys;

    /// <summary>Any key of the next database that has one.</summary>
    private byte* Draw(bool volatileOnly, out Database? database)
    {
        Database[] databases = keyspace.Databases;
        for (int i = 0; i < databases.Length; i++)
        {
            database = databases[_nextDatabase];
            _nextDatabase = (_nextDatabase + 1) % databases.Length;
            byte* record = TableOf(database, volatileOnly)->Random(ref keyspace.Random);
            if (record != null)
            {
                return record;
            }
        }

        database = null;
        return null;
    }

    /// <summary>Draws more candidates from every database and takes the best one that is still there.</summary>
    private byte* BestOfPool(bool volatileOnly, out Database? database)
    {
        if (_poolPolicy != keyspace.Options.Policy)
        {
            _poolPolicy = keyspace.Options.Policy;
            _count = 0;
        }

        while (true)
        {
            bool any = false;
            foreach (Database source in keyspace.Databases)
            {
                if (TableOf(source, volatileOnly)->Count > 0)
                {
                    any = true;
                    Fill(source, volatileOnly);
                }
            }

            if (!any)
            {
                database = null;
                return null;
            }

            while (_count > 0)
            {
                Candidate best = _pool[--_count];
                database = keyspace.Databases[best.Database];
                fixed (byte* name = best.Name)
                {
                    ulong* slot = database.FindSlot(keyspace.KeyOf(name, best.Length));
                    if (slot != null && (!volatileOnly || Record.HasExpire(KeyTable.Get(slot))))
                    {
                        return KeyTable.Get(slot);
                    }
                }
            }
        }
    }

    /// <summary>Scores a few keys from a random place of a database on.</summary>
    private void Fill(Database database, bool volatileOnly)
    {
        KeyTable* table = TableOf(database, volatileOnly);
        int wanted = (int)Math.Min(keyspace.Options.MaxMemorySamples, table->Count);
        ulong cursor = keyspace.Random.Next() >> 16;
        _sample.Clear();
        while (_sample.Count < wanted)
        {
            cursor = table->ScanBucket(cursor, ref _sample);
        }

        _sample.Truncate(wanted);
        foreach (nint pointer in _sample.Span)
        {
            Add(database, (byte*)pointer);
        }
    }

    /// <summary>Adds a candidate to the pool, which is in order of score; a full pool loses its lowest for a better one.</summary>
    private void Add(Database database, byte* record)
    {
        ulong score = Score(record);
        int place = 0;
        while (place < _count && _pool[place].Score < score)
        {
            place++;
        }

        Candidate candidate;
        if (_count == PoolSize)
        {
            if (place == 0)
            {
                return;
            }

            candidate = _pool[0];
            Array.Copy(_pool, 1, _pool, 0, --place);
        }
        else
        {
            candidate = _pool[_count];
            Array.Copy(_pool, place, _pool, place + 1, _count - place);
            _count++;
        }

        ReadOnlySpan<byte> name = Record.KeySpan(record);
        if (candidate.Name.Length < name.Length)
        {
            candidate.Name = new byte[Math.Max(name.Length, 64)];
        }

        name.CopyTo(candidate.Name);
        candidate.Length = name.Length;
        candidate.Database = database.Index;
        candidate.Score = score;
        _pool[place] = candidate;
    }

    private ulong Score(byte* record) => keyspace.Options.Policy switch
    {
        EvictionPolicy.VolatileTtl => ulong.MaxValue - (ulong)Record.ExpireAt(record),
        EvictionPolicy.AllKeysLfu or EvictionPolicy.VolatileLfu => 255 - AccessStamp.Frequency(keyspace, record),
        _ => AccessStamp.IdleSeconds(keyspace, record),
    };
}
