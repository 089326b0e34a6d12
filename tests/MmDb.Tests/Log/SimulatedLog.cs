using Leither.MmDb.Log;

namespace Leither.MmDb.Tests.Log;

/// <summary>What the random lives of logs have in common.</summary>
internal static class SimulatedLog
{
    /// <summary>Options of any kind, of a log that is nobody's.</summary>
    public static LogOptions Options(Random random, LogWorker worker)
    {
        uint salt = 0;
        return new LogOptions
        {
            SegmentBytes = 4096 << random.Next(3),
            Fsync = (FsyncPolicy)random.Next(3),
            RetainedTailBytes = random.Next(2) == 0 ? 8192 : 64 << 20,
            RetryInterval = TimeSpan.FromMilliseconds(10),
            IsThrifty = random.Next(2) == 0,
            Worker = worker,
            Salt = () => ++salt,
        };
    }

    /// <summary>The size of an entry: most are small, some larger than a segment.</summary>
    public static int EntryBytes(Random random) => random.Next(12) switch
    {
        0 => random.Next(30_000),
        1 => random.Next(4000),
        _ => random.Next(200),
    };
}
