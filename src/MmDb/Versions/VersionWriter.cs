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
/// Makes one version in a thread of its own: reads off the log what changed, takes what the snapshot gives, builds the state's trees, waits until the
/// log is durable as far, signs, and writes. Nothing of it waits at the gate.
/// </summary>
internal sealed unsafe class VersionWriter : ISnapshotSink, IDisposable
{
    /// <summary>What waits in memory before the snapshot rests.</summary>
    private const long BehindBytes = 32 << 20;

    private readonly Func<StateRoot, StateAt> _make;
    private readonly NodeStore _store;
    private readonly LogReader? _log;
    private readonly StateRoot? _old;
    private readonly string _folder;
    private readonly Action _wake;
    private readonly Thread _thread;
    private readonly object _lock = new();
    private readonly Queue<SnapshotChunk> _queue = new();
    private long _waiting;
    private bool _complete, _abandoned;
    private volatile bool _done;
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
    {
        _make = make;
        _store = store;
        _folder = folder;
        _log = log;
        _old = old;
        _wake = wake;
        _thread = new Thread(() => Run(databases)) { IsBackground = true, Name = "version" };
        _thread.Start();
    }

    /// <summary>Whether the thread is through.</summary>
    public bool IsDone => _done;

    /// <summary>What it made; null: nothing yet, or something went wrong.</summary>
    public StateAt? Result { get; private set; }

    /// <summary>What went wrong; null if nothing has.</summary>
    public Exception? Error { get; private set; }

    /// <summary>What changed, as soon as that is known; null before, and where the snapshot has everything.</summary>
    public StateChanges? Changes => _ready;

    /// <summary>Whether so much waits that the snapshot should rest.</summary>
    public bool IsBehind => Volatile.Read(ref _waiting) > BehindBytes;

    /// <inheritdoc/>
    public SnapshotChunk Rent(long bytes) => new(bytes);

    /// <inheritdoc/>
    public void Take(SnapshotChunk chunk)
    {
        lock (_lock)
        {
            if (_done)
            {
                chunk.Free();
                return;
            }

            _queue.Enqueue(chunk);
            _waiting += chunk.Length;
            Monitor.PulseAll(_lock);
        }
    }

    /// <summary>Says that all chunks were given.</summary>
    public void Complete()
    {
        lock (_lock)
        {
            _complete = true;
            Monitor.PulseAll(_lock);
        }
    }

    /// <summary>Says that the version is not wanted any more.</summary>
    public void Abandon()
    {
        lock (_lock)
        {
            _abandoned = true;
            Monitor.PulseAll(_lock);
        }
    }

    /// <summary>Waits until it is done.</summary>
    public void Wait() => _thread.Join();

    private void Run(int databases)
    {
        try
        {
            StateChanges? changes = _changes = _log is null ? null : new StateChanges(databases, _folder);
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
                    lock (_lock)
                    {
                        _waiting -= chunk.Length;
                    }

                    chunk.Free();
                }
            }

            if (!Volatile.Read(ref _abandoned))
            {
                Result = _make(builder.Finish(_old));
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or MimeiException or OutOfMemoryException or Memory.NativeMemoryExhaustedException)
        {
            Error = e;
            _log?.Dispose();
        }
        finally
        {
            Drop();
        }

        _wake();
    }

    private SnapshotChunk? Next()
    {
        lock (_lock)
        {
            while (!_abandoned)
            {
                if (_queue.TryDequeue(out SnapshotChunk? chunk))
                {
                    return chunk;
                }

                if (_complete)
                {
                    return null;
                }

                Monitor.Wait(_lock);
            }

            return null;
        }
    }

    /// <summary>What was not taken is freed; the snapshot may give more before it is told.</summary>
    private void Drop()
    {
        lock (_lock)
        {
            while (_queue.TryDequeue(out SnapshotChunk? chunk))
            {
                chunk.Free();
            }

            _waiting = 0;
            _done = true;
        }
    }

    /// <summary>Gives it up, if it is not done, and lets go of what changed, which the snapshot must not read any more.</summary>
    public void Dispose()
    {
        Abandon();
        Wait();
        _changes?.Dispose();
    }
}
