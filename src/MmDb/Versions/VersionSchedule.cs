using Leither.MmDb.Configuration;

namespace Leither.MmDb.Versions;

/// <summary>When versions are made without being asked for, and how long such are kept.</summary>
internal static class VersionSchedule
{
    /// <summary>The memo of versions that were not asked for; retention concerns these alone.</summary>
    public const string Memo = "auto";

    /// <summary>Whether a version is due.</summary>
    /// <param name="points">After so many seconds, if there were so many changes (<c>auto-backup</c>).</param>
    /// <param name="sinceMs">Milliseconds since the last version, or since the MiMei was opened.</param>
    /// <param name="changes">Changes since.</param>
    public static bool IsDue(IReadOnlyList<SavePoint> points, long sinceMs, long changes)
    {
        foreach (SavePoint point in points)
        {
            if (changes >= Math.Max(1, point.Changes) && sinceMs >= point.Seconds * 1000)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>
    /// The versions that need not be kept any more. Of those made by themselves each rule keeps, up to its age, the newest in each of its periods; what is older than
    /// all rules goes. The newest version and the released one stay.
    /// </summary>
    /// <param name="rules">Ages and periods in seconds (<c>backup-retention</c>); a period of 0 keeps all. None: all are kept.</param>
    /// <param name="versions">The versions, oldest first.</param>
    /// <param name="released">The number of the released one; 0: none.</param>
    /// <param name="nowMs">Unix milliseconds.</param>
    public static HashSet<ulong> Expired(IReadOnlyList<SavePoint> rules, IReadOnlyList<MimeiVersion> versions, ulong released, long nowMs)
    {
        var expired = new HashSet<ulong>();
        if (rules.Count == 0)
        {
            return expired;
        }

        SavePoint[] byAge = [.. rules.OrderBy(static r => r.Seconds)];
        var lastPeriod = new long?[byAge.Length];
        for (int i = versions.Count - 2; i >= 0; i--)
        {
            MimeiVersion version = versions[i];
            if (version.Memo != Memo || version.Number == released)
            {
                continue;
            }

            int rule = Array.FindIndex(byAge, r => nowMs - version.CreatedMs <= r.Seconds * 1000);
            if (rule < 0)
            {
                expired.Add(version.Number);
                continue;
            }

            long every = byAge[rule].Changes * 1000;
            if (every > 0 && lastPeriod[rule] is { } last && last == version.CreatedMs / every)
            {
                expired.Add(version.Number);
            }

            lastPeriod[rule] = every > 0 ? version.CreatedMs / every : null;
        }

        return expired;
    }
}
