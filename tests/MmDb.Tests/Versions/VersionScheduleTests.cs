using Leither.Ipfs.Multiformats;
using Leither.MmDb.Configuration;
using Leither.MmDb.Log;
using Leither.MmDb.Versions;
using Xunit;

namespace Leither.MmDb.Tests.Versions;

public sealed class VersionScheduleTests
{
    private const long Hour = 3600, Day = 24 * Hour;

    [Theory]
    [InlineData(0, 5, false)]
    [InlineData(60, 99, false)]
    [InlineData(60, 100, true)]
    [InlineData(3599, 1, false)]
    [InlineData(3600, 1, true)]
    [InlineData(36000, 0, false)]
    public void A_version_is_due_after_a_time_with_changes(long seconds, long changes, bool isDue) =>
        Assert.Equal(isDue, VersionSchedule.IsDue([new SavePoint(3600, 1), new SavePoint(60, 100)], seconds * 1000, changes));

    [Fact]
    public void Of_versions_made_by_themselves_those_stay_that_the_rules_keep()
    {
        // All for a day, one a day for a week, and nothing after that; a version each six hours for twenty days.
        long now = 1_700_000_000_000 / (Day * 1000) * Day * 1000;
        MimeiVersion[] versions = [.. Enumerable.Range(0, 80).Select(i => Version((ulong)i + 1, now - ((79 - i) * 6 * Hour * 1000), i is 3 or 60 ? "asked for" : VersionSchedule.Memo))];
        HashSet<ulong> expired = VersionSchedule.Expired([new SavePoint(7 * Day, Day), new SavePoint(Day, 0)], versions, released: 10, now);
        ulong[] kept = [.. versions.Select(static v => v.Number).Where(n => !expired.Contains(n))];

        // 4 and 61 were asked for, 10 is released; of the last week the last of each day; of the last day all.
        Assert.Equal([4, 10, 55, 59, 61, 63, 67, 71, 75, 76, 77, 78, 79, 80], kept);
        Assert.Empty(VersionSchedule.Expired([], versions, 0, now));
    }

    private static MimeiVersion Version(ulong number, long createdMs, string memo) => new()
    {
        Mid = default,
        Number = number,
        State = Cid.Of(Multicodec.Raw, "x"u8),
        Writer = new byte[32],
        Position = new Position(1, number),
        Time = 0,
        CreatedMs = createdMs,
        Memo = memo,
    };
}
