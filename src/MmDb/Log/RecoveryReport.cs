using System.Globalization;
using System.Text;

namespace Leither.MmDb.Log;

/// <summary>What opening a log found and did.</summary>
public sealed record RecoveryReport
{
    /// <summary>Entries given to the visitor.</summary>
    public long ReplayedEntries { get; init; }

    /// <summary>Their bytes.</summary>
    public long ReplayedBytes { get; init; }

    /// <summary>The last entry found (or the checkpoint's, when the log holds nothing newer).</summary>
    public ulong LastSequence { get; init; }

    /// <summary>The hybrid time of the last entry replayed; 0 when none was.</summary>
    public ulong LastTime { get; init; }

    /// <summary>Whether the log had been closed in good order; otherwise a new epoch was opened.</summary>
    public bool CleanEnd { get; init; }

    /// <summary>The epoch that new entries are written in.</summary>
    public ulong Epoch { get; init; }

    /// <summary>The file whose torn tail was cut off; null when there was none.</summary>
    public string? CutFile { get; init; }

    /// <summary>Where in that file the cut was made.</summary>
    public long CutOffset { get; init; }

    /// <summary>Bytes that were cut off, in this file and later ones, without the zeros of preallocated space.</summary>
    public long CutBytes { get; init; }

    /// <summary>Whole groups among them that lay behind pages which a crash had kept from the disk.</summary>
    public int CutWholeGroups { get; init; }

    /// <summary>Corruption that was passed over because the options allow losing data; null when there was none.</summary>
    public string? Corruption { get; init; }

    /// <summary>One line for the node's own log.</summary>
    public override string ToString()
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"{ReplayedEntries} entries ({ReplayedBytes} bytes) replayed, last {Epoch}:{LastSequence}");
        if (!CleanEnd) text.Append(", after an unclean end");
        if (CutFile is not null) text.Append(CultureInfo.InvariantCulture, $"; torn tail of {CutBytes} bytes cut off {CutFile} at offset {CutOffset}");
        if (CutWholeGroups > 0) text.Append(CultureInfo.InvariantCulture, $" (with {CutWholeGroups} whole groups behind lost pages)");
        if (Corruption is not null) text.Append(CultureInfo.InvariantCulture, $"; DATA LOST: {Corruption}");
        return text.ToString();
    }
}

/// <summary>The log is damaged where a crash cannot have done it: something that had been synced is wrong or missing.</summary>
public sealed class LogCorruptedException : IOException
{
    /// <summary>Names the place, what is wrong there, and what to do.</summary>
    public LogCorruptedException(string file, long offset, ulong sequence, string problem)
        : base($"The log is corrupt at {file}, offset {offset}, entry {sequence}: {problem}. Nothing was changed. Restore the file from a copy, or "
            + "start once with --allow-data-loss-after-corruption: entries from this one on are then dropped, their bytes kept in *.lost files.")
    {
        File = file;
        Offset = offset;
        Sequence = sequence;
        Problem = problem;
    }

    private LogCorruptedException(string message, string file, long offset, ulong sequence, string problem)
        : base(message)
    {
        File = file;
        Offset = offset;
        Sequence = sequence;
        Problem = problem;
    }

    /// <summary>What a source sent to be copied does not continue the log.</summary>
    internal static LogCorruptedException OfSource(string file, long offset, ulong sequence, string problem) =>
        new($"What was sent does not continue the log at {file}, offset {offset}, entry {sequence}: {problem}.", file, offset, sequence, problem);

    /// <summary>The damaged (or missing) file.</summary>
    public string File { get; }

    /// <summary>Where in it the damage begins.</summary>
    public long Offset { get; }

    /// <summary>The first entry that cannot be read.</summary>
    public ulong Sequence { get; }

    /// <summary>What is wrong there.</summary>
    public string Problem { get; }
}

/// <summary>The log of a copy goes on before what its owner has: a new epoch undid that, or its disk gave it up.</summary>
public sealed class LogUndoneException : IOException
{
    /// <summary>Names what comes next, and what there is.</summary>
    public LogUndoneException(Position next, ulong have)
        : base($"The log goes on with entry {next}, and what was applied ends with entry {have}: it has to be given up back to there.")
    {
        Next = next;
        Have = have;
    }

    /// <summary>The entry that the log goes on with.</summary>
    public Position Next { get; }

    /// <summary>The last entry that was applied.</summary>
    public ulong Have { get; }
}

/// <summary>Receives the entries of a log in order; the bytes are gone when it returns.</summary>
public unsafe delegate void EntryVisitor(ulong sequence, byte* entry, long length);

/// <summary>One segment file of a log, for those who seal, replicate or list them.</summary>
/// <param name="Name">The file's name in the log's directory.</param>
/// <param name="Epoch">The epoch of its entries.</param>
/// <param name="FirstSequence">The entry that its first group begins or goes on with.</param>
/// <param name="LastSequence">The last entry that ends in it; one less than the first when none does.</param>
/// <param name="Length">Its written bytes.</param>
/// <param name="IsFinished">Whether no more will be written to it and all of it is synced: its bytes are final.</param>
public readonly record struct SegmentDescription(string Name, ulong Epoch, ulong FirstSequence, ulong LastSequence, long Length, bool IsFinished);
