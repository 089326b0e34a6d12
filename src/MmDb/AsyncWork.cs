using System.Runtime.ExceptionServices;

namespace Leither.MmDb;

/// <summary>Work that waits for the network, beside the loop thread.</summary>
internal static class AsyncWork
{
    /// <summary>Does it, and has the rest done on the loop thread.</summary>
    public static async Task RunAsync<T>(Func<Task<T>> work, Action<T?, Exception?> done, Action<Action> post)
    {
        try
        {
            (T? made, Exception? problem) = await TryAsync(work).ConfigureAwait(false);
            post(() => done(made, problem));
        }
        catch (Exception e)
        {
            // A mistake of ours: it ends the node, as it would have on the loop thread.
            post(() => ExceptionDispatchInfo.Throw(e));
        }
    }

    /// <summary>What it made, or what went wrong as something to reply.</summary>
    public static async Task<(T? Made, Exception? Problem)> TryAsync<T>(Func<Task<T>> work)
    {
        try
        {
            return (await work().ConfigureAwait(false), null);
        }
        catch (Exception e) when (e is MimeiException or IOException)
        {
            return (default, e);
        }
        catch (Exception e) when (e is OperationCanceledException or TimeoutException)
        {
            return (default, new IOException("the network did not answer in time", e));
        }
        catch (Exception e) when (e is UnauthorizedAccessException or NotSupportedException or ObjectDisposedException or Memory.NativeMemoryExhaustedException)
        {
            return (default, new IOException(e.Message, e));
        }
    }
}
