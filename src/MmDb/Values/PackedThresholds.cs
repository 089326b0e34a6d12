namespace Leither.MmDb.Values;

/// <summary>
/// Up to which size collections keep their compact layout: the settings of the same names in Redis, with the defaults of Redis 7.2.
/// </summary>
public struct PackedThresholds
{
    /// <summary>hash-max-listpack-entries: fields of a hash that stays one pack.</summary>
    public int HashMaxListpackEntries;

    /// <summary>hash-max-listpack-value: longest field or value of a hash that stays one pack.</summary>
    public int HashMaxListpackValue;

    /// <summary>set-max-intset-entries: members of a set of integers that stays an intset.</summary>
    public int SetMaxIntsetEntries;

    /// <summary>set-max-listpack-entries: members of a set that stays one pack.</summary>
    public int SetMaxListpackEntries;

    /// <summary>set-max-listpack-value: longest member of a set that stays one pack.</summary>
    public int SetMaxListpackValue;

    /// <summary>zset-max-listpack-entries: members of a sorted set that stays one pack.</summary>
    public int ZsetMaxListpackEntries;

    /// <summary>zset-max-listpack-value: longest member of a sorted set that stays one pack.</summary>
    public int ZsetMaxListpackValue;

    /// <summary>list-max-listpack-size: see <see cref="NodeLimit"/>.</summary>
    public int ListMaxListpackSize;

    /// <summary>list-compress-depth: kept for those who read it; nodes are not compressed.</summary>
    public int ListCompressDepth;

    /// <summary>DEBUG QUICKLIST-PACKED-THRESHOLD: elements from this size on are kept apart, in a node without a pack.</summary>
    public long QuicklistPackedThreshold;

    /// <summary>Redis 7.2's defaults.</summary>
    public static PackedThresholds Default => new()
    {
        HashMaxListpackEntries = 128,
        HashMaxListpackValue = 64,
        SetMaxIntsetEntries = 512,
        SetMaxListpackEntries = 128,
        SetMaxListpackValue = 64,
        ZsetMaxListpackEntries = 128,
        ZsetMaxListpackValue = 64,
        ListMaxListpackSize = -2,
        ListCompressDepth = 0,
        QuicklistPackedThreshold = NodeLimit.DefaultPackedThreshold,
    };

    /// <summary>The limit of one node of a list under these settings.</summary>
    public readonly NodeLimit ListNodeLimit => new(ListMaxListpackSize, QuicklistPackedThreshold);
}
