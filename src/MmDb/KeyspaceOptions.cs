using Leither.MmDb.Values;

namespace Leither.MmDb;

/// <summary>maxmemory-policy.</summary>
public enum EvictionPolicy
{
    /// <summary>Writes are refused.</summary>
    NoEviction,
    /// <summary>The key that was not used for longest.</summary>
    AllKeysLru,
    /// <summary>The key used least often.</summary>
    AllKeysLfu,
    /// <summary>Any key.</summary>
    AllKeysRandom,
    /// <summary>As <see cref="AllKeysLru"/>, among keys with an expiry.</summary>
    VolatileLru,
    /// <summary>As <see cref="AllKeysLfu"/>, among keys with an expiry.</summary>
    VolatileLfu,
    /// <summary>As <see cref="AllKeysRandom"/>, among keys with an expiry.</summary>
    VolatileRandom,
    /// <summary>The key that expires first.</summary>
    VolatileTtl,
}

/// <summary>A keyspace's settings; CONFIG SET changes them while it runs.</summary>
public sealed class KeyspaceOptions
{
    /// <summary>Number of databases.</summary>
    public int Databases { get; init; } = Keyspace.DefaultDatabaseCount;
    /// <summary>The limit of memory in bytes; 0: none.</summary>
    public long MaxMemory { get; set; }
    /// <summary>What to do at the limit.</summary>
    public EvictionPolicy Policy { get; set; }
    /// <summary>Keys looked at for each eviction.</summary>
    public int MaxMemorySamples { get; set; } = 5;
    /// <summary>How hard eviction works per command, 0 to 100.</summary>
    public int EvictionTenacity { get; set; } = 10;
    /// <summary>lfu-log-factor.</summary>
    public int LfuLogFactor { get; set; } = 10;
    /// <summary>lfu-decay-time, in minutes.</summary>
    public int LfuDecayMinutes { get; set; } = 1;
    /// <summary>Effort of active expiry, 1 to 10.</summary>
    public int ActiveExpireEffort { get; set; } = 1;
    /// <summary>When small collections become big ones.</summary>
    public PackedThresholds Packed = PackedThresholds.Default;
    /// <summary>hll-sparse-max-bytes: the longest sparse HyperLogLog.</summary>
    public long HllSparseMaxBytes { get; set; } = 3000;
    /// <summary>stream-node-max-bytes; 0: no limit.</summary>
    public long StreamNodeMaxBytes { get; set; } = 4096;
    /// <summary>stream-node-max-entries; 0: no limit.</summary>
    public long StreamNodeMaxEntries { get; set; } = 100;
    /// <summary>Keyspace events that somebody asked for.</summary>
    public KeyspaceEvents NotifyEvents { get; set; }
    /// <summary>proto-max-bulk-len, which is also the longest string.</summary>
    public long MaxStringBytes { get; set; } = 512L << 20;
    /// <summary>The running client asked for NO-TOUCH.</summary>
    internal bool SuppressTouch { get; set; }
    /// <summary>Whether records carry frequencies instead of times of use.</summary>
    public bool UsesLfu => Policy is EvictionPolicy.AllKeysLfu or EvictionPolicy.VolatileLfu;
}
