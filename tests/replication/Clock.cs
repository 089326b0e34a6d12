// A clock of its own for a node. A time namespace moves only the clocks that count from the start of the machine, so the time of day is moved by a few lines of C that are
// preloaded into the process (clock.c).

using System.Globalization;

namespace Leither.ReplicationNetwork;

/// <summary>The time of day of a process.</summary>
internal static class Clock
{
    private static readonly Lazy<string> Library = new(() =>
    {
        string path = Path.Combine(AppContext.BaseDirectory, "clock.so");
        // Built beside its place and then moved there, so that nobody loads half of it.
        string draft = $"{path}.{Environment.ProcessId}";
        Machine.Run("gcc", "-shared", "-fPIC", "-O2", "-o", draft, Path.Combine(AppContext.BaseDirectory, "clock.c"), "-ldl");
        File.Move(draft, path, overwrite: true);
        return path;
    });

    /// <summary>What stands before a command whose clock is to be away from the machine's.</summary>
    public static IReadOnlyList<string> Moved(TimeSpan offset) =>
        offset == default ? [] : ["env", $"LD_PRELOAD={Library.Value}", $"LEITHER_CLOCK_OFFSET={((long)offset.TotalSeconds).ToString(CultureInfo.InvariantCulture)}"];
}
