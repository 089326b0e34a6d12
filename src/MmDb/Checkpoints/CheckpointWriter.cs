using Leither.Ipfs.Files;
using Leither.MmDb.Log;

namespace Leither.MmDb.Checkpoints;

/// <summary>
/// Writes one checkpoint: chunks go to a temporary file, and when all of them are there and synced the file gets its name.
/// </summary>
internal sealed unsafe class CheckpointWriter : SnapshotThread
{
    /// <summary>Bytes that wait for the disk beyond which the snapshot should rest.</summary>
    private const long BehindBytes = 16 << 20;

    private readonly IFolder _files;
    private readonly CheckpointHeader _header;
    private readonly WriteLog? _log;
    private long _keys = -1;

    /// <param name="files">Where it goes.</param>
    /// <param name="header">What it begins with.</param>
    /// <param name="log">The log whose entries it holds the outcome of; null: there is none.</param>
    public CheckpointWriter(IFolder files, CheckpointHeader header, WriteLog? log = null)
        : base("checkpoint", BehindBytes)
    {
        _files = files;
        _header = header;
        _log = log;
        Start();
    }

    /// <summary>The checkpoint, when it is done.</summary>
    public CheckpointInfo? Result { get; private set; }

    /// <summary>Says that all chunks were given, and how many keys are in them.</summary>
    public void Complete(long keys)
    {
        _keys = keys;
        Complete();
    }

    /// <inheritdoc/>
    protected override void Work()
    {
        string name = CheckpointFormat.FileName(_header.Position), temporary = name + CheckpointFormat.TemporarySuffix;
        // Left over from a checkpoint at the same place that was not finished.
        _files.Delete(temporary);
        try
        {
            long bytes;
            using (IFile file = _files.Create(temporary))
            {
                bytes = WriteAll(file);
                if (bytes > 0)
                {
                    file.Sync();
                }
            }

            if (bytes == 0)
            {
                _files.Delete(temporary);
                return;
            }

            // A checkpoint is not durable before the log is up to there: else a loss of power left a log with a gap, which nobody who follows it could close. Where the
            // log's disk fails a checkpoint is all the better.
            _ = _log?.Sync(_header.Position.Sequence);
            _files.Rename(temporary, name);
            _files.SyncDirectory();
            Result = new CheckpointInfo(name, _header.Position, _header.Time, _header.BegunMs, _header.Keys, bytes);
        }
        catch (IOException)
        {
            TryDelete(temporary);
            throw;
        }
    }

    private void TryDelete(string temporary)
    {
        try
        {
            _files.Delete(temporary);
        }
        catch (DiskException)
        {
            // What failed before is what is told; the next start deletes it.
        }
    }

    /// <summary>Writes the file; returns its length, or 0 when it was abandoned.</summary>
    private long WriteAll(IFile file)
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

        if (IsAbandoned)
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
}
