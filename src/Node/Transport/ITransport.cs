using System.Net;
using Leither.MmDb;
using Leither.Node.Logging;

namespace Leither.Node.Transport;

/// <summary>Where to listen, in the words of the configuration.</summary>
/// <param name="Bind">Addresses as <c>bind</c> takes them: <c>*</c>, <c>::*</c>, names or addresses; a leading <c>-</c> marks an optional one.</param>
/// <param name="Port">The TCP port; 0 listens on none.</param>
/// <param name="UnixSocket">Path of a Unix socket, or null.</param>
/// <param name="UnixSocketPermissions">Mode bits of the Unix socket; 0 leaves what the umask gives.</param>
/// <param name="Backlog">Length of the queue of connections that wait to be accepted.</param>
/// <param name="KeepAliveSeconds">Seconds of silence after which TCP probes a peer; 0 turns probing off.</param>
/// <param name="MorePort">One more TCP port; 0 is none.</param>
public sealed record ListenOptions(
    IReadOnlyList<string> Bind,
    int Port,
    string? UnixSocket = null,
    int UnixSocketPermissions = 0,
    int Backlog = 511,
    int KeepAliveSeconds = 300,
    int MorePort = 0);

/// <summary>
/// Sockets in, sockets out: accepts connections and runs an <see cref="IConnectionHandler"/> on one loop thread.
/// Two implementations keep the same rules under one test suite: <see cref="EpollTransport"/> (Linux) and
/// <see cref="SocketTransport"/> (everywhere).
/// </summary>
public interface ITransport : IConnector, IDisposable
{
    /// <summary>
    /// Opens the listeners, in place of those open before; these stay when it fails. Before <see cref="Run"/>, or on the loop thread.
    /// </summary>
    /// <exception cref="ListenException">A listener that was not optional could not be opened.</exception>
    void Listen(ListenOptions options);

    /// <summary>The TCP port really listened on (of interest where port 0 was bound for a test), or 0.</summary>
    int BoundPort { get; }

    /// <summary>The TCP addresses really listened on.</summary>
    IReadOnlyList<IPEndPoint> BoundEndPoints { get; }

    /// <summary>Runs the loop on the calling thread until <see cref="Stop"/>.</summary>
    void Run();

    /// <summary>Ends the loop after its current turn, from any thread. Connections get what is pending for them, as far as it goes at once, and are closed.</summary>
    void Stop();

    /// <summary>Runs something on the loop thread, within its next turn. From any thread.</summary>
    void Post(Action action);

    /// <summary>Calls <see cref="IConnectionHandler.Tick"/> in so many milliseconds at the latest. On the loop thread.</summary>
    void TickWithin(long milliseconds);

    /// <summary>Whether a turn can run inside another one.</summary>
    bool CanNest { get; }

    /// <summary>
    /// One turn, without waiting, from within a call of the handler that takes long: other connections are served, and what this turn replies is
    /// sent at once. The connection that is being served is left alone.
    /// </summary>
    void RunNestedTurn();

    /// <summary>The longest unconsumed input a connection may pile up before it is closed (<c>client-query-buffer-limit</c>).</summary>
    long MaxInputBytes { get; set; }

    /// <summary>Which addresses <see cref="IConnector.Connect"/> may reach, whatever name they were found by; null: any. Called by any thread.</summary>
    Func<IPAddress, bool>? MayReach { get; set; }

    /// <summary>What it has done so far.</summary>
    TransportCounters Counters { get; }

    /// <summary>Monotonic milliseconds as of the current turn.</summary>
    long NowMs { get; }
}

/// <summary>What a transport has done so far.</summary>
/// <param name="Reads">Receives that brought something.</param>
/// <param name="Writes">Sends that took something.</param>
/// <param name="Turns">Turns of the loop.</param>
/// <param name="BusyMicroseconds">Time in turns, waiting for events not counted; one turn in a few is timed and stands for the others.</param>
public readonly record struct TransportCounters(long Reads, long Writes, long Turns, long BusyMicroseconds);

/// <summary>A listener could not be opened. The message says which and why.</summary>
public sealed class ListenException : Exception
{
    /// <summary>Creates the exception.</summary>
    public ListenException(string message, Exception? inner = null) : base(message, inner)
    {
    }
}

/// <summary>Chooses the transport of this machine.</summary>
public static class TransportFactory
{
    /// <summary>epoll on Linux, the portable one elsewhere.</summary>
    public static ITransport Create(IConnectionHandler handler, NodeLog log) =>
        OperatingSystem.IsLinux() ? new EpollTransport(handler, log) : new SocketTransport(handler, log);
}
