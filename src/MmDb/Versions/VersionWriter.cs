using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;
using Leither.MmDb.Versions.Tree;

namespace Leither.MmDb.Versions;

/// <summary>The state of a MiMei at a position.</summary>
/// <param name="State">Its roots.</param>
/// <param name="Link">Its block.</param>
/// <param name="Position">The last entry that is in it.</param>
/// <param name="Applied">What <see cref="Effects.Applied"/> was then.</param>
/// <param name="Version">The version that was made of it; null: none was asked for.</param>
internal sealed record StateAt(StateRoot State, Cid Link, Position Position, long Applied, MimeiVersion? Version);

/// <summary>
/// Makes one version: reads off the log what changed, takes what the snapshot gives, builds the state's trees, waits until the
/// log is durable as far, signs, and writes. Nothing of it waits at the gate.
/// </summary>
internal sealed unsafe class VersionWriter : SnapshotThread, IDisposable
{
    /// <summary>What waits in memory before the snapshot rests.</summary>
    private const long BehindBytes = 32 << 20;

    private readonly Func<StateRoot, StateAt> _make;
    private readonly NodeStore _store;
    private readonly LogReader? _log;
    private readonly StateRoot? _old;
    private readonly string _folder;
    private readonly Action _wake;
    private readonly int _databases;
    private volatile StateChanges? _ready;
    private StateChanges? _changes;

    /// <summary>Begins.</summary>
    /// <param name="store">Where the blocks go; used by this thread alone until it is done.</param>
    /// <param name="folder">Where temporary files go.</param>
    /// <param name="log">The entries since the state before; null: the snapshot has everything. The writer disposes of it.</param>
    /// <param name="old">The state before.</param>
    /// <param name="databases">How many databases there are.</param>
    /// <param name="make">Stores the state, and what else is wanted of it.</param>
    /// <param name="wake">Is called, by this thread, when there is something new to see.</param>
    public VersionWriter(
        NodeStore store, string folder, LogReader? log, StateRoot? old, int databases, Func<StateRoot, StateAt> make, Action wake)
        : base("version", BehindBytes)
    {
        _make = make;
        _store = store;
        _folder = folder;
        _log = log;
        _old = old;
        _wake = wake;
        _databases = databases;
        Start();
    }

    /// <summary>What it made; null: nothing yet, or something went wrong.</summary>
    public StateAt? Result { get; private set; }

    /// <summary>What changed, as soon as that is known; null before, and where the snapshot has everything.</summary>
    public StateChanges? Changes => _ready;

    /// <inheritdoc/>
    protected override void Work()
    {
        StateChanges? changes = _changes = _log is null ? null : new StateChanges(_databases, _folder);
        if (changes is not null)
        {
            using (_log)
            {
                _log!.Run((_, entry, length) => changes.Add(entry + LogFormat.EntryHeaderBytes, length - LogFormat.EntryHeaderBytes));
            }

            changes.End();
            _ready = changes;
            _wake();
        }

        using var builder = new StateBuilder(_store, _folder, changes);
        while (Next() is { } chunk)
        {
            try
            {
                builder.Take(chunk);
            }
            finally
            {
                GiveBack(chunk);
            }
        }

        if (!IsAbandoned)
        {
            Result = _make(builder.Finish(_old));
        }
    }

    /// <inheritdoc/>
    protected override void Ended()
    {
        _log?.Dispose();
        _wake();
    }

    /// <summary>Gives it up, if it is not done, and lets go of what changed, which the snapshot must not read any more.</summary>
    public void Dispose()
    {
        Abandon();
        Wait();
        _changes?.Dispose();
    }
}
