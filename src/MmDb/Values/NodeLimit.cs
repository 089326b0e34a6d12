namespace Leither.MmDb.Values;

/// <summary>
/// How large one node of a list may grow, in Redis's meaning of list-max-listpack-size: -1 … -5 are 4, 8, 16, 32, 64 KiB,
/// a positive number is entries (and then at most 8 KiB, unless it is a single entry).
/// </summary>
/// <remarks>Sizes are those of Redis's listpack, so that a list changes its encoding where it does in Redis.</remarks>
public readonly struct NodeLimit
{
    /// <summary>Elements of 1 GiB and more have a plain node unless a DEBUG command says otherwise.</summary>
    public const long DefaultPackedThreshold = 1L << 30;

    private const long SafetyBytes = 8192;

    // What Redis reserves for an entry's encoding when it decides whether a value still fits.
    private const int EntryEstimate = 8;

    /// <summary>The limit that a setting stands for.</summary>
    public NodeLimit(int listMaxListpackSize, long packedThreshold = DefaultPackedThreshold)
    {
        if (listMaxListpackSize >= 0)
        {
            MaxBytes = long.MaxValue;
            MaxEntries = Math.Max(listMaxListpackSize, 1);
        }
        else
        {
            MaxBytes = 4096L << (int)(Math.Min(-(long)listMaxListpackSize, 5) - 1);
            MaxEntries = long.MaxValue;
        }

        PackedThreshold = Math.Min(packedThreshold, DefaultPackedThreshold);
    }

    /// <summary>Largest size in bytes; <see cref="long.MaxValue"/> when the limit is one of entries.</summary>
    public long MaxBytes { get; }

    /// <summary>Most entries; <see cref="long.MaxValue"/> when the limit is one of bytes.</summary>
    public long MaxEntries { get; }

    /// <summary>Elements of this size and more have a node without a pack.</summary>
    public long PackedThreshold { get; }

    /// <summary>Whether an element of this many bytes is kept in a plain node.</summary>
    public bool IsLarge(long elementBytes) => elementBytes >= PackedThreshold;

    /// <summary>Whether a Redis listpack of this size and count would be beyond the limit.</summary>
    public bool IsExceededBy(long listpackBytes, long entries) =>
        MaxBytes != long.MaxValue ? listpackBytes > MaxBytes : listpackBytes > SafetyBytes || entries > MaxEntries;

    /// <summary>Whether a pack may take one more entry of this many bytes.</summary>
    public bool Allows(int packLength, int count, int elementBytes) =>
        !IsExceededBy((long)packLength + Pack.ListpackOverhead + elementBytes + EntryEstimate, count + 1L);

    /// <summary>Whether two neighbouring packs may become one.</summary>
    public bool AllowsMerge(int packLength, int count, int otherLength, int otherCount) =>
        !IsExceededBy((long)packLength + otherLength - Pack.HeaderSize + Pack.ListpackOverhead, (long)count + otherCount);
}
