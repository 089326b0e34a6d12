// Random tests draw from a seed that is printed when they fail and can be given back: LEITHER_SEED=123, or 100-199 where a test plays many.

using System.Globalization;
using System.Security.Cryptography;

namespace Leither.TestKit;

/// <summary>A random life of something, played from a seed.</summary>
public interface ISeededLife
{
    /// <summary>What happened so far.</summary>
    string Story { get; }

    /// <summary>Plays it; it throws where a promise is broken.</summary>
    void Run();
}

/// <summary>Where a random test's chance comes from.</summary>
public static class Seed
{
    /// <summary>The seeds that the environment's LEITHER_SEED names: n, or n-m; null: none.</summary>
    /// <exception cref="FormatException">It is neither.</exception>
    public static (int First, int Last)? Named
    {
        get
        {
            if (Environment.GetEnvironmentVariable("LEITHER_SEED") is not { Length: > 0 } named)
            {
                return null;
            }

            // The first character may be the sign of a seed.
            int dash = named.IndexOf('-', 1);
            int first = int.Parse(dash < 0 ? named : named[..dash], CultureInfo.InvariantCulture);
            return (first, dash < 0 ? first : int.Parse(named[(dash + 1)..], CultureInfo.InvariantCulture));
        }
    }

    /// <summary>The (first) one that LEITHER_SEED names; without it a fresh one in long runs, and always the same in others, whose result must not change by chance.</summary>
    public static int OfRun() => Named?.First ?? (IsLong ? RandomNumberGenerator.GetInt32(int.MaxValue) : 1);

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

    /// <summary>Plays lives, so many from the run's seed on, or those that LEITHER_SEED names; a failure names the seed that brings it back, and tells the life's story.</summary>
    /// <param name="count">How many, unless seeds are named.</param>
    /// <param name="kind">What is said of them where one fails.</param>
    /// <param name="make">Makes the life of a seed.</param>
    public static void RunLives(int count, string kind, Func<int, ISeededLife> make)
    {
        (int First, int Last)? named = Named;
        int first = OfRun();
        for (int i = 0; i < (named is { } range ? range.Last - range.First + 1 : count); i++)
        {
            RunLife(unchecked(first + i), kind, make);
        }
    }

    /// <summary>Plays the life of one seed, as <see cref="RunLives"/> does.</summary>
    public static void RunLife(int seed, string kind, Func<int, ISeededLife> make)
    {
        ISeededLife life = make(seed);
        try
        {
            life.Run();
        }
        catch (Exception e)
        {
            throw new InvalidOperationException($"Failed with LEITHER_SEED={seed} ({kind}): {e.Message}\n{life.Story}", e);
        }
    }

    /// <summary>Whether the long runs are wanted (LEITHER_LONG=1, set by ./test --long).</summary>
    public static bool IsLong => Environment.GetEnvironmentVariable("LEITHER_LONG") is "1" or "true";
}
