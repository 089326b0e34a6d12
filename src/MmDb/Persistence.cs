using Leither.Ipfs.Files;
using Leither.MmDb.Checkpoints;
using Leither.MmDb.Log;

namespace Leither.MmDb;

/// <summary>
/// Brings a MiMei back from its folder: the newest checkpoint, then the log after it, every entry through the same door as
/// when it was made; then starts recording.
/// </summary>
public static unsafe class Persistence
{
    /// <summary>
    /// Loads the newest checkpoint that can be used, replays the log after it into the keyspace, and lets the keyspace record from there on.
    /// A damaged checkpoint costs nothing as long as the one before it and the log still give the same state.
    /// </summary>
    /// <param name="keyspace">Empty.</param>
    /// <param name="checkpoints">The folder of checkpoints; null: there are none.</param>
    /// <param name="files">The log's folder; null: there is none.</param>
    /// <param name="options">The log's settings.</param>
    /// <returns>The log, which the MiMei owns, and what was found.</returns>
    /// <exception cref="CheckpointCorruptedException">A checkpoint is damaged, and what is left does not reach as far as it did.</exception>
    /// <exception cref="LogCorruptedException">The log is damaged in the middle; the message says what to do.</exception>
    /// <exception cref="UnknownEffectException">An entry was written by a newer version.</exception>
    public static RecoveredState Recover(Keyspace keyspace, IFolder? checkpoints, IFolder? files, LogOptions options)
    {
        var damaged = new List<CheckpointCorruptedException>();
        Position newest = default;
        CheckpointInfo? checkpoint = checkpoints is null ? null : LoadNewest(keyspace, checkpoints, damaged, out newest);
        WriteLog? log = files is null ? null : Replay(keyspace, files, options, checkpoint, damaged);
        keyspace.Dirty = 0;
        Position position = log?.LastPosition ?? checkpoint?.Position ?? default;
        if (damaged.Count > 0 && position.Sequence < newest.Sequence)
        {
            log?.Dispose();
            keyspace.Effects.RecordTo(null, default);
            throw Lost(damaged[0], $"what is left ends with entry {position.Sequence}", null);
        }

        return new RecoveredState(log, checkpoint, position, damaged);
    }

    /// <summary>
    /// Brings a copy of what is written elsewhere back, which records nothing. Where a version was about to take the place of what there was, and was durable, it does now;
    /// so does nothing where that was.
    /// </summary>
    /// <param name="keyspace">Empty.</param>
    /// <param name="files">Where it lies.</param>
    /// <param name="wasWritten">It was written here until now (<see cref="WriteLog.OpenCopy"/>).</param>
    /// <exception cref="CheckpointCorruptedException">A checkpoint is damaged, and what is left does not give a state.</exception>
    /// <exception cref="LogCorruptedException">The log does not go on from the checkpoint.</exception>
    /// <exception cref="MimeiException">It is damaged; the text says how.</exception>
    /// <exception cref="UnknownEffectException">An entry was written by a newer version.</exception>
    public static RecoveredState RecoverCopy(Keyspace keyspace, Replication.MimeiFiles files, bool wasWritten = false)
    {
        var damaged = new List<CheckpointCorruptedException>();
        Replication.CopyChange? unfinished = Replication.CopyFile.IsIn(files.Folder) ? Replication.CopyFile.Unfinished(files.Folder) : null;
        if (unfinished is not null)
        {
            CheckpointFiles.DeleteOthers(files.Folder, unfinished.Segment is null ? null : unfinished.Position);
            WriteLog.Empty(files.Log, unfinished.Position.Sequence);
            if (unfinished.UndoneVersions.Count > 0)
            {
                new Versions.VersionList(files.Folder).Remove(unfinished.UndoneVersions);
            }
        }

        CheckpointInfo? checkpoint = LoadNewest(keyspace, files.Folder, damaged, out _);
        if (checkpoint is null && damaged.Count > 0)
        {
            throw Lost(damaged[0], "there is no other", null);
        }

        keyspace.IsWriter = false;
        ulong time = checkpoint?.Time ?? 0;
        WriteLog log = WriteLog.OpenCopy(files.Log, files.LogOptions, checkpoint?.Position ?? default, (sequence, entry, length) => ReplayEntry(keyspace, sequence, entry, length), wasWritten);
        if (unfinished is not null)
        {
            try
            {
                log.BeginCopyAt(unfinished.Segment, unfinished.Position.Sequence);
                Replication.CopyFile.End(files.Folder);
            }
            catch
            {
                log.Dispose();
                throw;
            }
        }

        keyspace.Effects.Follow(Math.Max(log.Recovery.LastTime, time));
        keyspace.Dirty = 0;
        Position position = checkpoint is { } loaded && loaded.Position.Sequence > log.LastSequence ? loaded.Position : log.LastPosition;
        return new RecoveredState(log, checkpoint, position, damaged);
    }

    private static CheckpointInfo? LoadNewest(Keyspace keyspace, IFolder files, List<CheckpointCorruptedException> damaged, out Position newest)
    {
        CheckpointFiles.DeleteTemporary(files);
        List<(string Name, Position Position)> found = CheckpointFiles.List(files);
        newest = found.Count == 0 ? default : found[0].Position;
        foreach ((string name, _) in found)
        {
            try
            {
                return CheckpointLoader.Load(files, name, keyspace);
            }
            catch (CheckpointCorruptedException e)
            {
                damaged.Add(e);
            }
        }

        return null;
    }

    private static WriteLog Replay(Keyspace keyspace, IFolder files, LogOptions options, CheckpointInfo? checkpoint, List<CheckpointCorruptedException> damaged)
    {
        // While replaying nobody decides on expiry: the log says what expired and when.
        keyspace.IsWriter = false;
        try
        {
            Position startAfter = checkpoint?.Position ?? default;
            WriteLog log = WriteLog.Open(files, options, startAfter, (sequence, entry, length) => ReplayEntry(keyspace, sequence, entry, length));
            keyspace.Effects.RecordTo(log, new HybridClock(Math.Max(log.Recovery.LastTime, checkpoint?.Time ?? 0)));
            return log;
        }
        catch (LogCorruptedException e) when (damaged.Count > 0)
        {
            throw Lost(damaged[0], e.Message, e);
        }
        finally
        {
            keyspace.IsWriter = true;
        }
    }

    private static CheckpointCorruptedException Lost(CheckpointCorruptedException damage, string rest, Exception? inner) =>
        new(damage.File, damage.Offset, $"{damage.Problem}; without it the state cannot be had: {rest}. Restore the file from a copy", inner);

    private static void ReplayEntry(Keyspace keyspace, ulong sequence, byte* entry, long length)
    {
        byte* body = BodyOf(sequence, entry, length);
        keyspace.NowMs = HybridClock.ToMilliseconds(BitConverter.ToUInt64(new ReadOnlySpan<byte>(entry + 2, 8)));
        keyspace.Effects.Replay(body, length - (body - entry));
    }

    /// <summary>Where the effects of an entry begin.</summary>
    /// <exception cref="UnknownEffectException">A newer version wrote it.</exception>
    internal static byte* BodyOf(ulong sequence, byte* entry, long length)
    {
        if (length < LogFormat.EntryHeaderBytes || entry[0] != LogFormat.EntryFormat)
        {
            throw new UnknownEffectException($"log entry {sequence} has format {(length > 0 ? entry[0] : 0)}, which this version does not know; a newer one wrote it");
        }

        long body = LogFormat.EntryHeaderBytes;
        if ((entry[1] & LogFormat.HasExtensions) != 0)
        {
            // What a newer version added to an entry and may be skipped: its length in four bytes, then the fields.
            body += 4;
            body += length >= body ? BitConverter.ToUInt32(new ReadOnlySpan<byte>(entry + body - 4, 4)) : 0;
            if (body > length)
            {
                throw new UnknownEffectException($"log entry {sequence} ends in the middle of its extension fields");
            }
        }

        return entry + body;
    }
}

/// <summary>What opening a MiMei gave.</summary>
/// <param name="Log">Its log, which records from now on; null where it has none.</param>
/// <param name="Checkpoint">The checkpoint that was loaded; null: none.</param>
/// <param name="Position">The last entry in its state.</param>
/// <param name="Damaged">Newer checkpoints that could not be used, and were not needed.</param>
public sealed record RecoveredState(WriteLog? Log, CheckpointInfo? Checkpoint, Position Position, IReadOnlyList<CheckpointCorruptedException> Damaged);
