// Waiting for what another process or thread brings about: looked at again and again up to a limit that only a failure reaches. No
// test sleeps for a time in which something "should" have happened: a busy machine takes longer than anybody thinks.

using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace Leither.TestKit;

/// <summary>Waits that end.</summary>
public static class Wait
{
    /// <summary>How long anything may take before its test fails: far more than it needs.</summary>
    public static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);

    /// <summary>Waits until something is so.</summary>
    /// <param name="condition">Is asked until it holds.</param>
    /// <param name="seen">What a failure shows beside the condition.</param>
    /// <param name="text">The condition as it stands in the code.</param>
    /// <exception cref="TimeoutException">It never came to be.</exception>
    public static void Until(Func<bool> condition, Func<string>? seen = null, [CallerArgumentExpression(nameof(condition))] string text = "")
    {
        if (!Comes(condition))
        {
            throw new TimeoutException($"Not within {Limit.TotalSeconds} s: {text}\n{seen?.Invoke()}");
        }
    }

    /// <summary>Whether something comes to be so within the limit.</summary>
    public static bool Comes(Func<bool> condition)
    {
        long start = Stopwatch.GetTimestamp();
        for (int asked = 0; !condition(); asked++)
        {
            if (Stopwatch.GetElapsedTime(start) > Limit)
            {
                return false;
            }

            // Most of it is there at once; what is not leaves the processor to those who bring it about.
            if (asked < 50)
            {
                Thread.Yield();
            }
            else
            {
                Thread.Sleep(asked < 500 ? 1 : 10);
            }
        }

        return true;
    }
}
