using Leither.MmDb.Log;

namespace Leither.MmDb;

/// <summary>
/// One MiMei of type database: what one Redis server holds. It has one keyspace, one log and one gate; its commands run one after
/// another, which makes the log's order total and MULTI trivial. Different ones do not know of each other.
/// </summary>
public sealed class Mimei : IDisposable
{
    /// <summary>A MiMei around a keyspace.</summary>
    /// <param name="name">Its name on this node.</param>
    /// <param name="keyspace">Its data, loaded already.</param>
    public Mimei(string name, Keyspace keyspace)
    {
        Name = name;
        Keyspace = keyspace;
        PubSub = new PubSub(this);
        Tracking = new Tracking(this);
    }

    /// <summary>Its name on this node.</summary>
    public string Name { get; }
    /// <summary>Whose sessions use it; null before there is one.</summary>
    internal Server? Server { get; set; }
    /// <summary>This turn has to do with it: see <see cref="Server.Touch"/>.</summary>
    internal bool IsTouched { get; set; }
    /// <summary>Sessions that are bound to it, and whatever else needs it loaded.</summary>
    internal int Holders { get; private set; }
    /// <summary>Its data.</summary>
    public Keyspace Keyspace { get; }
    /// <summary>Its channels.</summary>
    public PubSub PubSub { get; }
    /// <summary>Whose caches hold which of its keys.</summary>
    public Tracking Tracking { get; }
    /// <summary>Its function libraries, compiled; null until they are first needed.</summary>
    internal Scripting.FunctionLibraries? Functions { get; set; }
    /// <summary>Its log; null when the node runs without one (appendonly no).</summary>
    public WriteLog? Log { get; set; }
    /// <summary>Makes checkpoints; null when the node keeps no files.</summary>
    public ICheckpointer? Checkpointer { get; set; }
    /// <summary>
    /// Taken once for a batch of commands, and for each slice of background work. An I/O thread never waits for it: it tries, and
    /// comes back to the connection later.
    /// </summary>
    public Lock Gate { get; } = new();

    /// <summary>Somebody needs it loaded.</summary>
    internal void Hold() => Holders++;

    /// <summary>Ends one <see cref="Hold"/>.</summary>
    internal void Release() => Holders--;

    /// <inheritdoc/>
    public void Dispose()
    {
        Functions?.Dispose();
        PubSub.Dispose();
        Tracking.Dispose();
        (Checkpointer as IDisposable)?.Dispose();
        Log?.Dispose();
        Keyspace.Dispose();
    }
}
