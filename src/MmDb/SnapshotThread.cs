using Leither.MmDb.Memory;

namespace Leither.MmDb;

/// <summary>
/// A thread that makes something of a snapshot: a checkpoint, an RDB file, a version. Chunks come in from behind the gate, wait in a queue, and are taken
/// one after the other. It never touches the keyspace.
/// </summary>
/// <remarks>What goes wrong is kept in <see cref="Error"/>; the snapshot may not know of it yet, so from then on chunks are only freed.</remarks>
internal abstract class SnapshotThread : ISnapshotSink
{
    private const int MaxSpare = 16;

    private readonly Thread _thread;
    private readonly long _behindBytes;
    private readonly object _lock = new();
    private readonly Queue<SnapshotChunk> _queue = new();
    private readonly Stack<SnapshotChunk> _spare = new();
    private long _waiting;
    private bool _complete, _abandoned;
    private volatile bool _done;

    /// <summary>Names the thread, which the heir starts when all of it is there.</summary>
    /// <param name="name">The thread's name.</param>
    /// <param name="behindBytes">How much may wait before the snapshot rests.</param>
    protected SnapshotThread(string name, long behindBytes)
    {
        _behindBytes = behindBytes;
        _thread = new Thread(Run) { IsBackground = true, Name = name };
    }

    /// <summary>Whether the thread is through: it made what it was to make, failed, or was abandoned.</summary>
    public bool IsDone => _done;

    /// <summary>What went wrong; null if nothing has.</summary>
    public Exception? Error { get; private set; }

    /// <summary>Whether so much waits that the snapshot should rest.</summary>
    public bool IsBehind => Volatile.Read(ref _waiting) > _behindBytes;

    /// <summary>Whether it is not wanted any more.</summary>
    protected bool IsAbandoned => Volatile.Read(ref _abandoned);

    /// <inheritdoc/>
    public SnapshotChunk Rent(long bytes)
    {
        lock (_lock)
        {
            if (bytes <= SnapshotChunk.UsualCapacity && _spare.TryPop(out SnapshotChunk? chunk))
            {
                chunk.Length = 0;
                return chunk;
            }
        }

        return new SnapshotChunk(bytes);
    }

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
    public void Complete() => Say(ref _complete);

    /// <summary>Says that what it makes is not wanted any more.</summary>
    public void Abandon() => Say(ref _abandoned);

    /// <summary>Waits until it is no longer behind, or done.</summary>
    public void WaitUntilNotBehind()
    {
        lock (_lock)
        {
            while (_waiting > _behindBytes && !_done)
            {
                Monitor.Wait(_lock);
            }
        }
    }

    /// <summary>Waits until it is done.</summary>
    public void Wait() => _thread.Join();

    /// <summary>Starts the thread.</summary>
    protected void Start() => _thread.Start();

    /// <summary>The thread: takes all chunks (<see cref="Next"/>), gives each back, and makes what it is to make.</summary>
    protected abstract void Work();

    /// <summary>The thread is through.</summary>
    protected virtual void Ended()
    {
    }

    /// <summary>The next chunk; null when there was the last one, or none is wanted any more. (Its thread.)</summary>
    protected SnapshotChunk? Next()
    {
        lock (_lock)
        {
            while (_queue.Count == 0 && !_complete && !_abandoned)
            {
                Monitor.Wait(_lock);
            }

            return _abandoned || _queue.Count == 0 ? null : _queue.Dequeue();
        }
    }

    /// <summary>What was in a chunk is not needed any more. (Its thread.)</summary>
    protected void GiveBack(SnapshotChunk chunk)
    {
        lock (_lock)
        {
            _waiting -= chunk.Length;
            Monitor.PulseAll(_lock);
            if (chunk.Capacity == SnapshotChunk.UsualCapacity && _spare.Count < MaxSpare)
            {
                _spare.Push(chunk);
                return;
            }
        }

        chunk.Free();
    }

    private void Say(ref bool what)
    {
        lock (_lock)
        {
            what = true;
            Monitor.PulseAll(_lock);
        }
    }

    private void Run()
    {
        BackgroundPriority.Lower();
        try
        {
            Work();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or MimeiException or OutOfMemoryException or NativeMemoryExhaustedException)
        {
            Error = e;
        }
        finally
        {
            Close();
        }

        Ended();
    }

    private void Close()
    {
        lock (_lock)
        {
            _done = true;
            while (_queue.TryDequeue(out SnapshotChunk? chunk))
            {
                chunk.Free();
            }

            while (_spare.TryPop(out SnapshotChunk? chunk))
            {
                chunk.Free();
            }

            _waiting = 0;
            Monitor.PulseAll(_lock);
        }
    }
}
