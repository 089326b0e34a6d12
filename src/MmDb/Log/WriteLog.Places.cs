using Leither.Ipfs.Files;
using Leither.Ipfs.Multiformats;

namespace Leither.MmDb.Log;

// The log as bytes, for those who copy it: where it ends, what there is of it, and the bytes themselves, read from the files while they are written.
// A segment that holds nothing but its header does not count: a later start may begin it anew, with another salt.
public sealed unsafe partial class WriteLog
{
    /// <summary>So many segments are kept open for reading.</summary>
    private const int MaxOpenForReading = 4;

    private readonly List<(Segment Segment, IFile File)> _open = []; // most lately used last
    private readonly Lock _readGate = new(); // before _gate
    private readonly List<Kept> _kept = [];
    private long _toldWritten;
    private ulong _time, _writtenTime;

    /// <summary>Called by the log's thread when more was written than the last time, or the log was cut; a copy calls it when it took bytes. Must be cheap.</summary>
    public Action? Written { get; set; }

    /// <summary>How far the log is written. (Any thread.)</summary>
    /// <exception cref="IOException">All segments were trimmed, and their nodes cannot be read.</exception>
    public LogEnd WrittenEnd
    {
        get
        {
            lock (_gate)
            {
                if (FindEnd() is { } end) return end;
            }

            return Extent.End;
        }
    }

    /// <summary>How far the log is written and what is there of it, at one moment. (Any thread that may wait for the disk.)</summary>
    /// <exception cref="IOException">The nodes cannot be read.</exception>
    public LogExtent Extent
    {
        get
        {
            MeasureAll();
            while (true)
            {
                SealedSegment? newest = _chain?.Newest;
                LogEnd end;
                lock (_gate)
                {
                    if (FindEnd() is { } found) return new LogExtent(found, FindPlaces());
                    end = new LogEnd(newest?.Start ?? default, newest?.Length ?? 0, true, _writtenSequence, _syncedSequence, _writtenTime);
                }

                // What was sealed since may have been trimmed since.
                if (_chain?.Newest?.Cid == newest?.Cid) return new LogExtent(end, []);
            }
        }
    }

    /// <summary>The end of the newest segment that holds anything; null: there is none, or how long one is that recovery did not read is not known. (Under _gate.)</summary>
    private LogEnd? FindEnd()
    {
        for (int i = _segments.Count - 1; i >= 0 && !_segments[i].MayBeLonger; i--)
        {
            Segment segment = _segments[i];
            if (segment.Length > LogFormat.SegmentHeaderBytes)
            {
                return new LogEnd(segment.Start, segment.Length, segment != _current, _writtenSequence, _syncedSequence, _writtenTime);
            }
        }

        return null;
    }

    /// <summary>The segments whose bytes are there. (Under _gate.)</summary>
    private List<LogPlace> FindPlaces()
    {
        var places = new List<LogPlace>(_segments.Count);
        foreach (Segment segment in _segments)
        {
            // From before a segment that cannot be read nobody gets any further.
            if (segment.MayBeLonger) places.Clear();
            else if (IsThere(segment)) places.Add(new LogPlace(segment.Start, segment.Length));
        }

        return places;
    }

    /// <summary>Of a segment that recovery did not read, the length is known once the nodes are read.</summary>
    private void MeasureAll()
    {
        if (_chain is { IsLoaded: false }) LoadChain();
    }

    /// <summary>
    /// The segments whose bytes are there, oldest first, each going on where the one before ends, with how much was written of each. (Any thread that may wait for the disk.)
    /// </summary>
    /// <exception cref="IOException">The nodes cannot be read.</exception>
    public IReadOnlyList<LogPlace> Places
    {
        get
        {
            MeasureAll();
            lock (_gate) return FindPlaces();
        }
    }

    /// <summary>
    /// Reads bytes of a segment as they lie in its file, as far as they are written. (Any thread that may wait for the disk.)
    /// </summary>
    /// <returns>How many were read; 0: no more are written; -1: the segment is not there, or has not as many (any more): it was trimmed, or cut away.</returns>
    /// <exception cref="DiskException">The file cannot be read.</exception>
    public int ReadSegment(in SegmentStart segment, long offset, Span<byte> to)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        MeasureAll();
        lock (_readGate)
        {
            CloseUnread();
            Segment? found;
            long length;
            lock (_gate)
            {
                if (_phase == Phase.Closed) return -1;
                found = FindSegment(segment);
                if (found is null || !IsThere(found)) return -1;
                // After a failure what is not synced may not be what was written.
                length = _phase == Phase.Open ? found.Length : Math.Min(found.Length, found.SyncedLength);
                if (offset > length) return offset > found.Length ? -1 : 0;
                to = to[..(int)Math.Min(to.Length, length - offset)];
            }

            if (to.IsEmpty) return 0;
            int read = OpenForReading(found).Read(offset, to);
            lock (_gate) return found.IsGone || read < to.Length || found.Length < offset + read ? -1 : read;
        }
    }

    /// <summary>As long as what is returned is held, no entry from <paramref name="sequence"/> on is trimmed. (Any thread.)</summary>
    public IDisposable Keep(ulong sequence)
    {
        var kept = new Kept(this, sequence);
        lock (_gate) _kept.Add(kept);
        return kept;
    }

    /// <summary>
    /// Whoever hashes the running segment anyway tells the name of all of it as a block, so that sealing does not hash it again. Of a few segments that is remembered; a
    /// wrong one makes a wrong chain. (Any thread.)
    /// </summary>
    public void OfferDigest(in SegmentStart segment, long length, in Cid data)
    {
        if (_chain is null) return;
        _chain.OfferDigest(segment, length, data);
        _worker.WantSeal();
    }

    /// <summary>Whether a segment holds anything, and how much is known; that of a damaged one may not be.</summary>
    private static bool IsThere(Segment segment) => segment.Length > LogFormat.SegmentHeaderBytes && !segment.MayBeLonger;

    /// <summary>The segment that begins there. (Under _gate.)</summary>
    private Segment? FindSegment(in SegmentStart start)
    {
        // The order of starts is that of the list: a later epoch or generation never begins before an earlier one.
        int low = 0, high = _segments.Count - 1;
        while (low <= high)
        {
            int middle = (low + high) / 2;
            int order = _segments[middle].Start.CompareTo(start);
            if (order == 0) return _segments[middle];
            if (order < 0) low = middle + 1;
            else high = middle - 1;
        }
        return null;
    }

    private IFile OpenForReading(Segment segment)
    {
        int at = _open.FindIndex(open => open.Segment == segment);
        if (at >= 0)
        {
            (Segment, IFile File) open = _open[at];
            _open.RemoveAt(at);
            _open.Add(open);
            return open.File;
        }

        const int attempts = 3;
        for (int attempt = 1; ; attempt++)
        {
            try
            {
                IFile file = _files.Open(attempt == 2 ? segment.Header.FileName() : NameOf(segment));
                if (_open.Count == MaxOpenForReading)
                {
                    _open[0].File.Dispose();
                    _open.RemoveAt(0);
                }
                _open.Add((segment, file));
                return file;
            }
            catch (DiskException) when (attempt < attempts)
            {
                // It is getting its final name, of which it is not told before the file has it.
            }
        }
    }

    /// <summary>Lets go of files of segments that are no more, which take space as long as they are open. (Under _readGate.)</summary>
    private void CloseUnread()
    {
        for (int i = _open.Count - 1; i >= 0; i--)
        {
            if (!_open[i].Segment.IsGone) continue;
            _open[i].File.Dispose();
            _open.RemoveAt(i);
        }
    }

    /// <summary>Takes segments out of the list. (Under _gate.)</summary>
    private void RemoveSegments(int index, int count)
    {
        for (int i = index; i < index + count; i++) _segments[i].IsGone = true;
        _segments.RemoveRange(index, count);
        _settled = _sealedSegments = 0;
    }

    private void TellWritten()
    {
        if (Written is not { } told || _toldWritten == _written) return;
        _toldWritten = _written;
        told();
    }

    private sealed class Kept(WriteLog log, ulong sequence) : IDisposable
    {
        public ulong Sequence => sequence;

        public void Dispose()
        {
            lock (log._gate) log._kept.Remove(this);
        }
    }
}
