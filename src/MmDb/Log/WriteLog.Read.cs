namespace Leither.MmDb.Log;

// Reading what was written while writing goes on: segments that a reader still needs are kept.
public sealed unsafe partial class WriteLog
{
    private readonly List<LogReader> _readers = [];

    /// <summary>
    /// Begins reading entries that were written: those after <paramref name="after"/>, up to <paramref name="last"/> or <see cref="WrittenSequence"/>, whichever comes
    /// first. Null: some of them are not there any more. Dispose of the reader soon; segments wait for it. (Any thread.)
    /// </summary>
    public LogReader? Read(ulong after, ulong last = ulong.MaxValue)
    {
        lock (_gate)
        {
            int first = _segments.Count - 1;
            while (first >= 0 && (_segments[first].Header.FirstSequence > after + 1 || (_segments[first].Header.FirstSequence == after + 1 && _segments[first].Header.EntryOffset != 0)))
            {
                first--;
            }

            if (first < 0 || after > _writtenSequence)
            {
                return null;
            }

            var parts = new List<LogReader.Part>();
            for (int i = first; i < _segments.Count; i++)
            {
                Segment segment = _segments[i];
                parts.Add(new LogReader.Part(() => NameOf(segment), segment.Header, segment.Length));
            }

            var reader = new LogReader(_files, parts, after, Math.Min(last, _writtenSequence), Forget);
            _readers.Add(reader);
            return reader;
        }
    }

    /// <summary>Begins reading all whole entries there are; null: there are none.</summary>
    public LogReader? ReadAll()
    {
        ulong after;
        lock (_gate)
        {
            if (_segments.Count == 0)
            {
                return null;
            }

            // Of an entry that goes on in the first segment the beginning is not there any more.
            SegmentHeader first = _segments[0].Header;
            after = first.EntryOffset == 0 ? first.FirstSequence - 1 : first.FirstSequence;
        }

        return Read(after);
    }

    /// <summary>A file that was prepared gets its name in the background.</summary>
    private string NameOf(Segment segment)
    {
        lock (_gate)
        {
            return segment.Name;
        }
    }

    private void Forget(LogReader reader)
    {
        lock (_gate)
        {
            _readers.Remove(reader);
        }
    }

    /// <summary>The last entry that nobody reads, or keeps, any more. (Under the gate.)</summary>
    private ulong Unread(ulong sequence)
    {
        foreach (LogReader reader in _readers)
        {
            sequence = Math.Min(sequence, reader.After);
        }

        foreach (Kept kept in _kept)
        {
            sequence = Math.Min(sequence, kept.Sequence == 0 ? 0 : kept.Sequence - 1);
        }

        return sequence;
    }
}
