using Leither.Ipfs.Files;
using Leither.MmDb.Log;

namespace Leither.MmDb.Checkpoints;

/// <summary>
/// Writes one checkpoint in a thread of its own: chunks come in from the snapshot, go to a temporary file, and when all of them
/// are there and synced the file gets its name. It never touches the keyspace.
/// </summary>
/// <remarks>What goes wrong is kept in <see cref="Error"/>; from then on chunks are only freed.</remarks>
internal sealed unsafe class CheckpointWriter : ISnapshotSink
{
    /// <summary>Bytes that wait for the disk beyond which the snapshot should rest.</summary>
    private const long BehindBytes = 16 << 20;

    private const int MaxSpare = 16;

    private readonly IFolder _files;
    private readonly CheckpointHeader _header;
    private readonly Thread _thread;
    private readonly object _lock = new();
    private readonly Queue<SnapshotChunk> _queue = new();
    private readonly Stack<SnapshotChunk> _spare = new();
    private long _waiting;
    private long _keys = -1;
    private bool _abandoned;
    private volatile bool _done;

    public CheckpointWriter(IFolder files, CheckpointHeader header)
    {
        _files = files;
        _header = header;
        _thread = new Thread(Run) { IsBackground = true, Name = "checkpoint" };
        _thread.Start();
    }

    /// <summary>Whether the thread is through: there is a checkpoint, or an error, or it was abandoned.</summary>
    public bool IsDone => _done;

    /// <summary>What went wrong; null if nothing has.</summary>
    public Exception? Error { get; private set; }

    /// <summary>The checkpoint, when it is done.</summary>
    public CheckpointInfo? Result { get; private set; }

    /// <summary>Whether so much waits for the disk that the snapshot should rest.</summary>
    public bool IsBehind => Volatile.Read(ref _waiting) > BehindBytes;

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
            _queue.Enqueue(chunk);
            _waiting += chunk.Length;
            Monitor.PulseAll(_lock);
        }
    }

    /// <summary>Says that all chunks were given, and how many keys are in them.</summary>
    public void Complete(long keys)
    {
        lock (_lock)
        {
            _keys = keys;
            Monitor.PulseAll(_lock);
        }
    }

    /// <summary>Says that no checkpoint is wanted any more; the temporary file goes.</summary>
    public void Abandon()
    {
        lock (_lock)
        {
            _abandoned = true;
            Monitor.PulseAll(_lock);
        }
    }

    /// <summary>Waits until it is no longer behind, or done.</summary>
    public void WaitForDisk()
    {
        lock (_lock)
        {
            while (_waiting > BehindBytes && !_done)
            {
                Monitor.Wait(_lock);
            }
        }
    }

    /// <summary>Waits until it is done.</summary>
    public void Wait() => _thread.Join();

    private void Run()
    {
        string name = CheckpointFormat.FileName(_header.Position), temporary = name + CheckpointFormat.TemporarySuffix;
        bool remove = false;
        try
        {
            // Left over from a checkpoint at the same place that was not finished.
            _files.Delete(temporary);
            long bytes;
            using (IFile file = _files.Create(temporary))
            {
                remove = true;
                bytes = WriteAll(file, temporary);
                if (bytes > 0)
                {
                    file.Sync();
                }
            }

            if (bytes > 0)
            {
                _files.Rename(temporary, name);
                remove = false;
                _files.SyncDirectory();
                Result = new CheckpointInfo(name, _header.Position, _header.Time, _header.BegunMs, _header.Keys, bytes);
            }
        }
        catch (IOException e)
        {
            Error = e;
        }

        if (remove)
        {
            try
            {
                _files.Delete(temporary);
            }
            catch (IOException e)
            {
                Error ??= e;
            }
        }

        FreeAll();
    }

    /// <summary>Writes the file; returns its length, or 0 when it was abandoned.</summary>
    private long WriteAll(IFile file, string name)
    {
        byte* small = stackalloc byte[CheckpointFormat.HeaderBytes];
        _header.Encode(small);
        uint seed = *(uint*)(small + CheckpointFormat.HeaderBytes - 4);
        long at = Write(file, 0, small, CheckpointFormat.HeaderBytes);
        uint number = 0;
        while (Next() is { } chunk)
        {
            CheckpointFormat.SealChunk(chunk.Header, (uint)chunk.Length, number++, CheckpointFormat.PiecesKind, seed);
            try
            {
                at = Write(file, at, chunk.Header, CheckpointFormat.ChunkHeaderBytes + chunk.Length);
            }
            finally
            {
                GiveBack(chunk);
            }
        }

        if (_abandoned)
        {
            return 0;
        }

        if (_keys != _header.Keys)
        {
            throw new IOException($"the snapshot has {_keys} keys where there were {_header.Keys}");
        }

        byte* end = small;
        *(long*)(end + CheckpointFormat.ChunkHeaderBytes) = _keys;
        *(long*)(end + CheckpointFormat.ChunkHeaderBytes + 8) = at - CheckpointFormat.HeaderBytes - ((long)number * CheckpointFormat.ChunkHeaderBytes);
        CheckpointFormat.SealChunk(end, CheckpointFormat.EndBytes, number, CheckpointFormat.EndKind, seed);
        return Write(file, at, end, CheckpointFormat.ChunkHeaderBytes + CheckpointFormat.EndBytes);
    }

    private static long Write(IFile file, long at, byte* bytes, long length)
    {
        const int Most = 1 << 20;
        while (length > 0)
        {
            int written = file.Write(at, new ReadOnlySpan<byte>(bytes, (int)Math.Min(length, Most)));
            at += written;
            bytes += written;
            length -= written;
        }

        return at;
    }

    /// <summary>The next chunk; null when all were written or none is wanted.</summary>
    private SnapshotChunk? Next()
    {
        lock (_lock)
        {
            while (_queue.Count == 0 && _keys < 0 && !_abandoned)
            {
                Monitor.Wait(_lock);
            }

            return _abandoned || _queue.Count == 0 ? null : _queue.Dequeue();
        }
    }

    private void GiveBack(SnapshotChunk chunk)
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

    /// <summary>Frees what comes until nothing more can: after an error the snapshot may not know of it yet.</summary>
    private void FreeAll()
    {
        lock (_lock)
        {
            // The snapshot looks at this behind the gate; whatever it still hands over is freed here.
            _done = Error is not null || Result is not null || _abandoned;
            while (true)
            {
                while (_queue.TryDequeue(out SnapshotChunk? chunk))
                {
                    _waiting -= chunk.Length;
                    chunk.Free();
                }

                Monitor.PulseAll(_lock);
                if (_keys >= 0 || _abandoned)
                {
                    break;
                }

                Monitor.Wait(_lock);
            }

            while (_spare.TryPop(out SnapshotChunk? chunk))
            {
                chunk.Free();
            }
        }
    }
}
