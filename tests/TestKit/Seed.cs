// Random tests draw from a seed that is printed when they fail and can be given back: LEITHER_SEED=123.

using System.Globalization;
using System.Security.Cryptography;

namespace Leither.TestKit;

/// <summary>Where a random test's chance comes from.</summary>
public static class Seed
{
    /// <summary>The environment's LEITHER_SEED; without it a fresh one in long runs, and always the same in others, whose result must not change by chance.</summary>
    public static int OfRun() =>
        int.TryParse(Environment.GetEnvironmentVariable("LEITHER_SEED"), NumberStyles.Integer, CultureInfo.InvariantCulture, out int seed) ? seed
        : IsLong ? RandomNumberGenerator.GetInt32(int.MaxValue)
        : 1;

    /// <summary>Runs a body; a failure names the seed that brings it back.</summary>
    public static void Run(Action<Random> body)
    {
        int seed = OfRun();
        try
        {
            body(new Random(seed));
        }
        catch (Exception e)
        {
            throw new InvalidOperationException($"Failed with LEITHER_SEED={seed}: {e.Message}", e);
        }
    }

    /// <summary>Runs a body that waits; a failure names the seed that brings it back.</summary>
    public static async Task RunAsync(Func<Random, Task> body)
    {
        int seed = OfRun();
        try
        {
            await body(new Random(seed));
        }
        catch (Exception e)
        {
            throw new InvalidOperationException($"Failed with LEITHER_SEED={seed}: {e.Message}", e);
        }
    }

    /// <summary>Whether the long runs are wanted (LEITHER_LONG=1, set by ./test --long).</summary>
    public static bool IsLong => Environment.GetEnvironmentVariable("LEITHER_LONG") is "1" or "true";
}
