using System.Security.Cryptography;

namespace Leither.MmDb.Log;

/// <summary>When written entries are forced to the disk (Redis's <c>appendfsync</c>).</summary>
public enum FsyncPolicy
{
    /// <summary>Before <see cref="WriteLog.Flush"/> returns: nothing acknowledged is ever lost.</summary>
    Always,

    /// <summary>Each second, in the background: at most about a second is lost.</summary>
    EverySecond,

    /// <summary>When the system likes to, though each segment once it is finished.</summary>
    No,
}

/// <summary>Whether the log takes entries.</summary>
public enum LogState
{
    /// <summary>It does.</summary>
    Open,

    /// <summary>The disk is full: entries that need new space are refused until there is some again.</summary>
    Full,

    /// <summary>A write or sync failed: entries are refused until what was not synced stands in a new file.</summary>
    Failed,

    /// <summary>It was closed.</summary>
    Closed,
}

/// <summary>Why an entry cannot be accepted.</summary>
/// <param name="State">The state behind it.</param>
/// <param name="Text">The system's words, such as "No space left on device".</param>
public readonly record struct LogError(LogState State, string Text);

/// <summary>How a log is kept.</summary>
public sealed record LogOptions
{
    /// <summary>The smallest legal <see cref="SegmentBytes"/>.</summary>
    public const int MinSegmentBytes = 4096;

    /// <summary>The largest legal <see cref="SegmentBytes"/>; a longer file is not one of ours.</summary>
    public const int MaxSegmentBytes = 256 << 20;

    /// <summary>The largest size of a segment file, header included.</summary>
    public int SegmentBytes { get; init; } = 1 << 20;

    /// <summary>When entries are synced; can be changed later through <see cref="WriteLog.Fsync"/>.</summary>
    public FsyncPolicy Fsync { get; init; } = FsyncPolicy.EverySecond;

    /// <summary>How many written but not yet synced bytes are kept in memory, to be written again should their sync fail. What is
    /// beyond is read back from the file then, and checked.</summary>
    public long RetainedTailBytes { get; init; } = 64 << 20;

    /// <summary>
    /// For logs of which there may be many at a time: a new one has no file before its first entry, and none takes a file ahead before the current one
    /// is half full.
    /// </summary>
    public bool IsThrifty { get; init; }

    /// <summary>Whose log it is: then its segments are sealed (<see cref="SegmentChain"/>). Null: they are not.</summary>
    public SegmentOrigin? Origin { get; init; }

    /// <summary>A writer's entries are of this epoch at least: that of its term, once it took over writing. Its segments say so from the first one on.</summary>
    public ulong FirstEpoch { get; init; }

    /// <summary>How long after a failure the log waits before it tries the disk again.</summary>
    public TimeSpan RetryInterval { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>
    /// Start although the log is corrupt, losing the entries from the first bad one on. The lost bytes are kept in files named
    /// <c>*.lost</c>. Never set without a person's explicit wish.
    /// </summary>
    public bool AllowDataLossAfterCorruption { get; init; }

    /// <summary>The threads that sync, prepare and seal files.</summary>
    public LogWorker Worker { get; init; } = LogWorker.Shared;

    /// <summary>Draws the salt of a segment.</summary>
    public Func<uint> Salt { get; init; } = static () => (uint)RandomNumberGenerator.GetInt32(int.MinValue, int.MaxValue);
}
