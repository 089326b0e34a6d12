using Leither.MmDb.Log;

namespace Leither.MmDb;

/// <summary>
/// Brings a MiMei back from its folder: the newest checkpoint, then the log after it, every entry through the same door as
/// when it was made; then starts recording.
/// </summary>
public static unsafe class Persistence
{
    /// <summary>Opens a MiMei's log, replays it into an empty keyspace, and lets the keyspace record from there on.</summary>
    /// <param name="keyspace">Empty.</param>
    /// <param name="files">The log's folder.</param>
    /// <param name="options">The log's settings.</param>
    /// <returns>The log, which the MiMei owns; its <see cref="WriteLog.Recovery"/> says what was found.</returns>
    /// <exception cref="LogCorruptedException">The log is damaged in the middle; the message says what to do.</exception>
    /// <exception cref="UnknownEffectException">An entry was written by a newer version.</exception>
    public static WriteLog Recover(Keyspace keyspace, ILogFiles files, LogOptions options)
    {
        // While replaying nobody decides on expiry: the log says what expired and when.
        keyspace.IsWriter = false;
        WriteLog log = WriteLog.Open(files, options, 0, (sequence, entry, length) => ReplayEntry(keyspace, sequence, entry, length));
        keyspace.IsWriter = true;
        keyspace.Dirty = 0;
        keyspace.Effects.RecordTo(log, new HybridClock(log.Recovery.LastTime));
        return log;
    }

    private static void ReplayEntry(Keyspace keyspace, ulong sequence, byte* entry, long length)
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

        keyspace.NowMs = HybridClock.ToMilliseconds(BitConverter.ToUInt64(new ReadOnlySpan<byte>(entry + 2, 8)));
        keyspace.Effects.Replay(entry + body, length - body);
    }
}
