using Leither.Ipfs.Keys;
using Leither.MmDb.Log;

namespace Leither.MmDb;

/// <summary>
/// One MiMei of type database: what one Redis server holds. It has one keyspace, one log and one gate; its commands run one after
/// another, which makes the log's order total and MULTI trivial. Different ones do not know of each other.
/// </summary>
public sealed class Mimei : IDisposable
{
    /// <summary>A MiMei around a keyspace.</summary>
    /// <param name="keyspace">Its data, loaded already.</param>
    /// <param name="id">Its id.</param>
    public Mimei(Keyspace keyspace, LeitherId id = default)
    {
        Id = id;
        Keyspace = keyspace;
        PubSub = new PubSub(this);
        Tracking = new Tracking(this);
    }

    /// <summary>Its id.</summary>
    public LeitherId Id { get; }
    /// <summary>What the node knows of it; null before it is among those of a node.</summary>
    public MimeiEntry? Entry { get; internal set; }
    /// <summary>The place in its history that this is.</summary>
    public MimeiPlace Place { get; internal set; }
    /// <summary>Of a place in history, the MiMei as it is now; null: this is it.</summary>
    public Mimei? Current { get; internal set; }
    /// <summary>Of a place in history, the sequence number of the last entry that is in it.</summary>
    internal ulong PlaceSequence { get; set; }
    /// <summary>Whose sessions use it; null before there is one.</summary>
    internal Server? Server { get; set; }
    /// <summary>This turn has to do with it: see <see cref="Server.Touch"/>.</summary>
    internal bool IsTouched { get; set; }
    /// <summary>Sessions that are bound to it, and whatever else needs it loaded.</summary>
    internal int Holders { get; private set; }
    /// <summary>It has work for the periodic work, or was just used: see <see cref="MimeiRegistry.Step"/>.</summary>
    internal bool IsActive { get; set; }
    /// <summary>Where it stands among those that are loaded.</summary>
    internal int OpenIndex { get; set; }
    /// <summary>When it was opened, in Unix milliseconds.</summary>
    internal long OpenedMs { get; set; }
    /// <summary>When it was last used, in Unix milliseconds.</summary>
    internal long UsedMs { get; set; }
    /// <summary>What the node was last told of its log's state.</summary>
    internal LogState ToldLogState { get; set; }
    /// <summary>What of its memory is in the count of all.</summary>
    internal long CountedBytes { get; set; }
    /// <summary>Keys in all its databases.</summary>
    public long KeyCount => Keyspace.Databases.Sum(static d => d.Count);
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
    /// <summary>Whether it holds files, and no keys.</summary>
    public bool HoldsFiles { get; internal set; }
    /// <summary>Makes its versions; null where it has none.</summary>
    public Versions.Versioner? Versions { get; set; }
    /// <summary>
    /// Taken once for a batch of commands, and for each slice of background work. An I/O thread never waits for it: it tries, and
    /// comes back to the connection later.
    /// </summary>
    public Lock Gate { get; } = new();

    /// <summary>
    /// What it shows, where it has no data of its own: the state of its newest version. Null: it has, and they are in the keyspace. Of an author whose key is
    /// elsewhere only versions come here.
    /// </summary>
    internal Versions.StateAt? Shown { get; private set; }

    /// <summary>Why none of the versions that it would show can be read; null: it shows one.</summary>
    internal string? ShownProblem { get; private set; }

    /// <summary>What makes it follow a writer elsewhere; null: it does not.</summary>
    public Replication.MimeiCopy? Copy { get; internal set; }

    /// <summary>Where it lies; null: nowhere, or nobody said so.</summary>
    public Replication.MimeiFiles? Files { get; set; }

    /// <summary>Whether writes are refused while it changes from one that is written here to a copy.</summary>
    internal bool IsFenced { get; set; }

    /// <summary>Whether nobody can write to it here: it once was so, is not here, follows a writer elsewhere, came as versions, or only its author and whom he let write to it do.</summary>
    public bool IsReadOnly => Current is not null || IsRemote || Copy is not null || IsFenced || Shown is not null || Versions is { MayWrite: false };

    /// <summary>Whether it is not here: what sessions read of it comes from other nodes, block by block.</summary>
    internal bool IsRemote => Fetch is not null;

    /// <summary>Of one that is not here, brings a block here.</summary>
    internal Leither.MmDb.Versions.RemoteMimei.Fetch? Fetch { get; init; }

    /// <summary>Of one that is not here, the blocks that came.</summary>
    internal Leither.Ipfs.Blockstore.IBlockstore? Fetched { get; init; }

    /// <summary>Of one that is not here, the version that was asked for.</summary>
    internal MimeiPlace Asked { get; set; }

    /// <summary>Of one that is not here, the state that it shows.</summary>
    internal Leither.Ipfs.Multiformats.Cid RemoteState { get; init; }

    /// <summary>Shows the newest of its versions that can be read. (Behind the gate, or before anybody uses it.)</summary>
    public void ShowNewest() => Show(Leither.MmDb.Versions.VersionHistory.Newest(this));

    /// <summary>Verifies every block, hash and signature of all versions, and the log, as MIMEI CHECK does. Nobody else may use the MiMei meanwhile.</summary>
    /// <returns>How many blocks there are and their bytes, and what is wrong.</returns>
    /// <exception cref="IOException">The disk failed.</exception>
    public (long Blocks, long Bytes, IReadOnlyList<string> Problems) CheckAll()
    {
        if (Versions is null)
        {
            return (0, 0, []);
        }

        Log?.Flush();
        Versions.CheckReport report = new Versions.VersionCheck(Versions, Log, new LongWork("check", 0)).Run(null);
        return (report.Blocks, report.Bytes, report.Problems);
    }

    /// <summary>Shows what <see cref="Versions.VersionHistory.Newest"/> found, in the place of what it showed before.</summary>
    internal void Show(Versions.VersionHistory.Found found)
    {
        if (Shown is not null)
        {
            Keyspace.Source?.Dispose();
            Keyspace.Source = null;
            Keyspace.Effects.FunctionFlush();
            Keyspace.Effects.FlushAll();
            Tracking.Flushed();
            Transactions.BreakAll(Keyspace);
        }

        Shown = found.State;
        ShownProblem = found.Problem;
        Keyspace.Source = found.Source(Keyspace);
        foreach ((byte[] name, byte[] code) in found.State.State.Functions)
        {
            Keyspace.Effects.FunctionLoad(System.Text.Encoding.Latin1.GetString(name), code);
        }

        Keyspace.Files = found.State.State.Files;

        // None of it is a change: there is nothing to be saved.
        Keyspace.Effects.EndEntry();
        Keyspace.Dirty = 0;
    }

    /// <summary>Somebody needs it loaded.</summary>
    internal void Hold() => Holders++;

    /// <summary>Ends one <see cref="Hold"/>.</summary>
    internal void Release()
    {
        if (--Holders == 0 && Server is { } server)
        {
            UsedMs = server.ClockMs;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Copy?.Close("the MiMei was closed");
        Functions?.Dispose();
        PubSub.Dispose();
        Tracking.Dispose();
        Versions?.Dispose();
        (Checkpointer as IDisposable)?.Dispose();
        Log?.Dispose();
        Keyspace.Dispose();
    }
}
