using System.Diagnostics;
using Leither.MmDb.Memory;

namespace Leither.MmDb;

/// <summary>
/// Looks for expired keys that nobody asks for, in slices: the index of expiring keys is walked round by round, and a database is left
/// when few of the keys last looked at had expired. So memory held by dead keys stays within a share that the effort setting chooses,
/// whatever the number of keys.
/// </summary>
/// <remarks>As everywhere, what is deleted is deleted by an effect in an entry of the keyspace's own, and only by the writer.</remarks>
internal sealed unsafe class Expiry(Keyspace keyspace)
{
    /// <summary>Milliseconds to rest after a slice that was not enough: with slices of 1 ms, expiry takes a quarter of the time at most.</summary>
    public const int RestMs = 3;

    /// <summary>Keys of one round at effort 1, and more of them for each further one.</summary>
    private const int KeysPerRound = 20, KeysPerEffort = 5;

    /// <summary>Share of expired keys among those looked at, in percent, that is left alone at effort 1; each further one takes 1 off.</summary>
    private const int AcceptableStalePercent = 10;

    /// <summary>Empty buckets are cheap to look at but not free.</summary>
    private const int BucketsPerKey = 20;

    /// <summary>The weight of a new sample in the running estimate of stale keys, and one over that of an average time to live.</summary>
    private const double StaleWeight = 0.05;
    private const int TtlWeight = 50;

    private readonly KeyBuffer _key = new();
    private NativeList<nint> _bucket;
    private int _next;

    /// <summary>One slice of about so long. True when there is probably more to do: come back after <see cref="RestMs"/>.</summary>
    public bool Step(TimeSpan budget)
    {
        if (!keyspace.ActiveExpireEnabled || !keyspace.IsWriter || keyspace.IsFrozen)
        {
            return false;
        }

        long started = Stopwatch.GetTimestamp(), deadline = started + (long)(budget.TotalSeconds * Stopwatch.Frequency);
        bool moreFields = keyspace.FieldExpiry.Step(budget / 2);
        int effort = Math.Clamp(keyspace.Options.ActiveExpireEffort, 1, 10) - 1;
        int keys = KeysPerRound + (KeysPerEffort * effort), acceptable = AcceptableStalePercent - effort;
        long sampled = 0, expired = 0;
        bool isOver = false;
        for (int i = 0; i < keyspace.Databases.Length && !isOver; i++)
        {
            Database database = keyspace.Databases[_next];
            while (database.Expires->Count > 0 && !isOver)
            {
                (int looked, int gone) = Round(database, keys);
                sampled += looked;
                expired += gone;
                if (looked > 0 && gone * 100 <= looked * acceptable)
                {
                    break;
                }

                isOver = Stopwatch.GetTimestamp() > deadline;
            }

            if (!isOver)
            {
                _next = (_next + 1) % keyspace.Databases.Length;
            }
        }

        KeyspaceStats stats = keyspace.Stats;
        double stale = sampled == 0 ? 0 : 100.0 * expired / sampled;
        stats.ExpiredStalePercent = (stale * StaleWeight) + (stats.ExpiredStalePercent * (1 - StaleWeight));
        stats.ExpireCycleTicks += Stopwatch.GetTimestamp() - started;
        stats.ExpiredTimeCapReached += isOver ? 1 : 0;
        return isOver || moreFields;
    }

    /// <summary>Looks at some keys from where the last round ended, at most to the end of the index; deletes the expired ones.</summary>
    private (int Looked, int Expired) Round(Database database, int keys)
    {
        int looked = 0, expired = 0, living = 0;
        long ttl = 0;
        for (int buckets = keys * BucketsPerKey; buckets > 0 && looked < keys; buckets--)
        {
            _bucket.Clear();
            ulong cursor = database.Expires->ScanBucket(database.ExpireCursor, ref _bucket);
            database.ExpireCursor = cursor;
            foreach (nint pointer in _bucket.Span)
            {
                byte* record = (byte*)pointer;
                looked++;
                if (keyspace.IsExpired(record))
                {
                    keyspace.Effects.Use(database);
                    keyspace.Effects.Expire(_key.Copy(keyspace, record), keyspace.NowMs);
                    keyspace.Effects.EndEntry();
                    expired++;
                }
                else
                {
                    ttl += Record.ExpireAt(record) - keyspace.NowMs;
                    living++;
                }
            }

            if (cursor == 0)
            {
                break;
            }
        }

        if (living > 0)
        {
            long mean = ttl / living;
            database.AverageTtlMs = database.AverageTtlMs == 0 ? mean : (database.AverageTtlMs / TtlWeight * (TtlWeight - 1)) + (mean / TtlWeight);
        }

        return (looked, expired);
    }
}
