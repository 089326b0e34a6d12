using System.Globalization;
using Leither.Node.Logging;

namespace Leither.Node;

/// <summary>What the values of <c>oom-score-adj-values</c> mean.</summary>
internal enum OomScoreMode
{
    /// <summary>Nothing: the process keeps the score it was started with.</summary>
    No,
    /// <summary>They are added to that score.</summary>
    Relative,
    /// <summary>They are the score.</summary>
    Absolute,
}

/// <summary>How readily Linux ends this process when memory runs out (<c>oom-score-adj</c>). Elsewhere it does nothing.</summary>
internal sealed class OomScore(NodeLog log)
{
    private const string File = "/proc/self/oom_score_adj";
    private const int Least = -1000, Most = 1000;

    private int? _atStart;

    /// <summary>Sets the score. False: the system does not allow it.</summary>
    public bool Apply(OomScoreMode mode, long value)
    {
        if (!OperatingSystem.IsLinux() || (mode == OomScoreMode.No && _atStart is null))
        {
            return true;
        }

        try
        {
            _atStart ??= int.Parse(System.IO.File.ReadAllText(File), CultureInfo.InvariantCulture);
            long score = mode switch
            {
                OomScoreMode.Relative => _atStart.Value + value,
                OomScoreMode.Absolute => value,
                _ => _atStart.Value,
            };
            System.IO.File.WriteAllText(File, Math.Clamp(score, Least, Most).ToString(CultureInfo.InvariantCulture));
            _atStart = mode == OomScoreMode.No ? null : _atStart;
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            log.Warning($"Unable to write oom_score_adj: {e.Message}");
            return false;
        }
    }
}
