namespace Leither.MmDb.Log;

/// <summary>Which segment of a log: where it begins, and in which of the writer's histories. Orders segments as they are read.</summary>
/// <param name="Epoch">The epoch of its entries.</param>
/// <param name="Generation">How often the epoch's tail had been written again when it was begun.</param>
/// <param name="First">The entry that its first group begins or goes on with.</param>
/// <param name="Offset">How many bytes of that entry lie in segments before.</param>
public readonly record struct SegmentStart(ulong Epoch, uint Generation, ulong First, ulong Offset) : IComparable<SegmentStart>
{
    /// <summary>Whether this is a segment's start and not the default value, which is where an empty log stands.</summary>
    public bool IsSegment => First != 0;

    /// <inheritdoc/>
    public int CompareTo(SegmentStart other)
    {
        int order = Epoch.CompareTo(other.Epoch);
        if (order == 0) order = Generation.CompareTo(other.Generation);
        if (order == 0) order = First.CompareTo(other.First);
        return order != 0 ? order : Offset.CompareTo(other.Offset);
    }

    /// <summary>Whether one stands before the other.</summary>
    public static bool operator <(SegmentStart left, SegmentStart right) => left.CompareTo(right) < 0;

    /// <summary>Whether one stands after the other.</summary>
    public static bool operator >(SegmentStart left, SegmentStart right) => left.CompareTo(right) > 0;

    /// <summary>Whether one does not stand after the other.</summary>
    public static bool operator <=(SegmentStart left, SegmentStart right) => left.CompareTo(right) <= 0;

    /// <summary>Whether one does not stand before the other.</summary>
    public static bool operator >=(SegmentStart left, SegmentStart right) => left.CompareTo(right) >= 0;
}

/// <summary>A place in the bytes of a log, always between two groups: the first <paramref name="Length"/> bytes of a segment, and all before it.</summary>
/// <param name="Segment">The segment; the default value: the log holds nothing.</param>
/// <param name="Length">How many bytes of it, header included.</param>
public readonly record struct LogPlace(SegmentStart Segment, long Length);

/// <summary>How far a log is written.</summary>
/// <param name="Segment">The newest segment that holds anything; the default value: there was never one.</param>
/// <param name="Length">Its bytes, header included.</param>
/// <param name="IsCut">Whether it is finished: what comes next begins another.</param>
/// <param name="WrittenSequence">The last entry that was written.</param>
/// <param name="SyncedSequence">The last entry that is durable here.</param>
/// <param name="LastTime">The hybrid time of the newest entry, as far as it is known; 0: it is not.</param>
public sealed record LogEnd(SegmentStart Segment, long Length, bool IsCut, ulong WrittenSequence, ulong SyncedSequence, ulong LastTime)
{
    /// <summary>The same as a place.</summary>
    public LogPlace Place => new(Segment, Length);
}

/// <summary>How far a log is written, and what there is of it, at one moment: another thread writes it, and of two questions the second may be answered of another log than the first.</summary>
/// <param name="End">How far it is written.</param>
/// <param name="Places">The segments whose bytes are there, oldest first, with how much was written of each. The last is the end's, or there is none.</param>
public readonly record struct LogExtent(LogEnd End, IReadOnlyList<LogPlace> Places);
