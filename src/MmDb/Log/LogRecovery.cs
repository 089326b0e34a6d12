using System.Globalization;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Leither.Ipfs.Files;

namespace Leither.MmDb.Log;

/// <summary>
/// Opening a log: finds the segments that count, gives their entries to a visitor, and cuts off what a crash left behind.
/// </summary>
/// <remarks>
/// <para>What a crash can leave: groups that were written but not synced may be whole, missing in part (pages that never reached the disk
/// read as zeros, also in front of pages that did), or missing altogether. Such a tail is cut: nobody was promised that it is durable.</para>
/// <para>What a crash cannot leave: damage in front of something that was synced. Every group and segment header names the last entry known
/// to be synced when it was written, and a later epoch or generation vouches for all before it; when one of these vouches for an entry that
/// cannot be read, or when unreadable bytes do not look like lost pages, the log is corrupt, and opening it fails with the place.</para>
/// </remarks>
internal sealed unsafe class LogRecovery : IDisposable
{
    private const int SectorBytes = 512;

    private readonly IFolder _files;
    private readonly bool _allowLoss, _isCopy;
    private readonly Position _checkpoint;
    private readonly EntryVisitor? _visitor;

    // Segments in the order in which they are read, and those that others took the place of.
    private readonly List<Found> _chain = [];
    private readonly List<string> _superseded = [], _empty = [];
    private readonly List<(string Name, bool IsUndone)> _afterEnd = [];

    // The file being read, and the large entry being put together.
    private byte* _file;
    private long _fileCapacity;
    private byte* _large;
    private long _largeCapacity;

    // The next group must begin with this entry, at this offset of it; a large entry not yet complete began at _largeSegment, _largeAt.
    private ulong _sequence;
    private ulong _offset;
    private int _largeSegment;
    private long _largeAt;
    private bool _cleanEnd;

    private long _replayedEntries, _replayedBytes;
    private ulong _lastTime;
    private string? _corruption;
    private string? _cutFile;
    private long _cutOffset, _cutBytes;
    private int _cutWholeGroups;

    public LogRecovery(IFolder files, bool allowLoss, Position checkpoint, EntryVisitor? visitor, bool isCopy)
    {
        _isCopy = isCopy;
        _files = files;
        _allowLoss = allowLoss;
        _checkpoint = checkpoint;
        _visitor = visitor;
    }

    /// <summary>A segment file that was found.</summary>
    public sealed class Found
    {
        public required string Name;
        public required SegmentHeader Header;
        public bool HeaderIsBad;

        /// <summary>Whether its groups were looked at, so that its length is theirs; those that lie below the checkpoint are not.</summary>
        public bool WasRead;

        /// <summary>What the file holds, and how much of it is groups that count (header included).</summary>
        public long FileLength, Length;

        /// <summary>The last entry that ends in it, and the last of which it holds any part.</summary>
        public ulong LastSequence, LastTouched;

        public ulong First => Header.FirstSequence;
    }

    public IReadOnlyList<Found> Chain => _chain;

    /// <summary>Files to delete once the new segment is durable.</summary>
    public IEnumerable<string> Superseded => _superseded.Concat(_empty);

    /// <summary>Whether the last thing in it is the mark of a clean end.</summary>
    public bool CleanEnd => _cleanEnd;

    /// <summary>Whether there was no log at all, nor a checkpoint.</summary>
    public bool IsNew { get; private set; }

    public ulong LastSequence => _sequence - 1;

    /// <summary>Of a copy: how many bytes of the next entry are there.</summary>
    public ulong PartOffset => _offset;

    /// <summary>
    /// Of a copy: the files behind its end, newest first, and whether they hold whole groups, which are kept for a while. They go in this order: whenever it is interrupted,
    /// what is left begins where the log does.
    /// </summary>
    public IReadOnlyList<(string Name, bool IsUndone)> AfterEnd => _afterEnd;

    public ulong LastTime => _lastTime;

    public ulong MaxEpoch { get; private set; }

    /// <summary>The last entry known to be durable, whatever the system's cache held when the files were read.</summary>
    public ulong Vouched { get; private set; }

    /// <summary>The largest number among the names of prepared files.</summary>
    public int PreparedFiles { get; private set; }

    public RecoveryReport Report(ulong epoch) => new()
    {
        ReplayedEntries = _replayedEntries,
        ReplayedBytes = _replayedBytes,
        LastSequence = LastSequence,
        LastTime = _lastTime,
        CleanEnd = _cleanEnd,
        Epoch = epoch,
        CutFile = _cutFile,
        CutOffset = _cutOffset,
        CutBytes = _cutBytes,
        CutWholeGroups = _cutWholeGroups,
        Corruption = _corruption,
    };

    public void Dispose()
    {
        NativeMemory.Free(_file);
        NativeMemory.Free(_large);
        _file = _large = null;
    }

    public void Run()
    {
        FindSegments();
        IsNew = _chain.Count == 0 && _checkpoint == default;
        _sequence = _checkpoint.Sequence + 1;
        if (_chain.Count > 0) Replay();
        else _cleanEnd = IsNew;
        Name();
        if (_isCopy) return; // what it lacks comes again from where it is copied
        if (_checkpoint.Epoch > MaxEpoch) (MaxEpoch, _cleanEnd) = (_checkpoint.Epoch, false);
        if (_sequence <= _checkpoint.Sequence)
        {
            // The log ends before the checkpoint: the checkpoint holds more than the log ever got onto the disk.
            _sequence = _checkpoint.Sequence + 1;
            _cleanEnd = false;
        }
    }

    /// <summary>Gives segments that a crash kept from it their names: only now, so that a log that is refused is as it was.</summary>
    private void Name()
    {
        foreach (Found segment in _chain)
        {
            string name = segment.Header.FileName();
            if (segment.Name == name) continue;
            _files.Rename(segment.Name, name);
            segment.Name = name;
        }
    }

    // ---- Which segments there are ------------------------------------------------------------------------------------------------------

    private void FindSegments()
    {
        var found = new List<Found>();
        var rewritten = new List<string>();
        foreach ((string name, _) in _files.List())
        {
            if (HasPrefix(name, LogFormat.PreparedPrefix)) FindPrepared(name, found);
            else if (HasPrefix(name, LogFormat.RewritePrefix)) rewritten.Add(name);
            else if (SegmentHeader.TryParseName(name, out SegmentHeader named)) found.Add(ReadHeader(name, named));
        }
        // A rewritten tail counts when its first segment got its header, or is a segment already: then all of it was complete.
        foreach (string name in rewritten) FindRewritten(name, found, isFirst: true);
        int firsts = found.Count;
        foreach (string name in rewritten) FindRewritten(name, found, isFirst: false, firsts);
        found.Sort(static (a, b) =>
        {
            int order = a.Header.Epoch.CompareTo(b.Header.Epoch);
            if (order == 0) order = a.Header.Generation.CompareTo(b.Header.Generation);
            if (order == 0) order = a.First.CompareTo(b.First);
            return order != 0 ? order : a.Header.EntryOffset.CompareTo(b.Header.EntryOffset);
        });

        foreach (Found segment in found)
        {
            MaxEpoch = Math.Max(MaxEpoch, segment.Header.Epoch);
            // A later epoch or generation takes the place of everything from where it begins.
            while (_chain.Count > 0 && !SameRun(_chain[^1], segment) && Compare(_chain[^1], segment) >= 0)
            {
                _superseded.Add(_chain[^1].Name);
                _chain.RemoveAt(_chain.Count - 1);
            }
            _chain.Add(segment);
        }
    }

    private static bool HasPrefix(string name, string prefix) =>
        name.StartsWith(prefix, StringComparison.Ordinal) && name.EndsWith(LogFormat.SegmentSuffix, StringComparison.Ordinal);

    private static bool SameRun(Found a, Found b) => a.Header.Epoch == b.Header.Epoch && a.Header.Generation == b.Header.Generation;

    private static int Compare(Found a, Found b)
    {
        int order = a.First.CompareTo(b.First);
        return order != 0 ? order : a.Header.EntryOffset.CompareTo(b.Header.EntryOffset);
    }

    private Found ReadHeader(string name, SegmentHeader named)
    {
        byte* bytes = stackalloc byte[LogFormat.SegmentHeaderBytes];
        using IFile file = _files.Open(name);
        var found = new Found { Name = name, Header = named, FileLength = file.Length };
        bool whole = file.Read(0, new Span<byte>(bytes, LogFormat.SegmentHeaderBytes)) == LogFormat.SegmentHeaderBytes;
        if (!whole || !SegmentHeader.TryDecode(bytes, out SegmentHeader header, out ushort version)) found.HeaderIsBad = true;
        else
        {
            if (version != LogFormat.Version) throw Unreadable(name, $"its format version is {version}, and this program knows {LogFormat.Version}");
            if (header.FileName() != name) throw Unreadable(name, $"its header is that of {header.FileName()}; it was renamed");
            found.Header = header;
        }
        return found;

        LogCorruptedException Unreadable(string file, string problem) => new(_files.FullName(file), 0, named.FirstSequence, problem);
    }

    /// <summary>A prepared file is a segment when it has a segment's header: the crash came before it was renamed (<see cref="Name"/>). Else it is empty.</summary>
    private void FindPrepared(string name, List<Found> found)
    {
        ReadOnlySpan<char> number = name.AsSpan(LogFormat.PreparedPrefix.Length, name.Length - LogFormat.PreparedPrefix.Length - LogFormat.SegmentSuffix.Length);
        if (int.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out int n)) PreparedFiles = Math.Max(PreparedFiles, n);

        byte* bytes = stackalloc byte[LogFormat.SegmentHeaderBytes];
        using IFile file = _files.Open(name);
        bool whole = file.Read(0, new Span<byte>(bytes, LogFormat.SegmentHeaderBytes)) == LogFormat.SegmentHeaderBytes;
        if (!whole || !SegmentHeader.TryDecode(bytes, out SegmentHeader header, out ushort version))
        {
            RequireNoGroups(name);
            _empty.Add(name);
            return;
        }
        if (version != LogFormat.Version)
        {
            throw new LogCorruptedException(_files.FullName(name), 0, header.FirstSequence, $"its format version is {version}, and this program knows {LogFormat.Version}");
        }
        found.Add(new Found { Name = name, Header = header, FileLength = file.Length });
    }

    private void FindRewritten(string name, List<Found> found, bool isFirst, int firsts = 0)
    {
        if (isFirst != name.EndsWith("-1" + LogFormat.SegmentSuffix, StringComparison.Ordinal)) return;
        byte* bytes = stackalloc byte[LogFormat.SegmentHeaderBytes];
        using IFile file = _files.Open(name);
        bool whole = file.Read(0, new Span<byte>(bytes, LogFormat.SegmentHeaderBytes)) == LogFormat.SegmentHeaderBytes;
        if (whole && SegmentHeader.TryDecode(bytes, out SegmentHeader header, out _))
        {
            var segment = new Found { Name = name, Header = header, FileLength = file.Length };
            if (isFirst || found.Take(firsts).Any(first => SameRun(first, segment) && Compare(first, segment) < 0))
            {
                found.Add(segment);
                return;
            }
        }
        _empty.Add(name);
    }

    /// <summary>Makes sure that a prepared file whose header cannot be read never got a group.</summary>
    private void RequireNoGroups(string name)
    {
        var file = new Found { Name = name, Header = default, HeaderIsBad = true };
        Load(file);
        (int groups, _) = Scan(file, 0, out long first);
        if (groups > 0) throw new LogCorruptedException(_files.FullName(name), 0, 0, $"its header is damaged, and {groups} whole groups follow, the first at {first}");
    }

    // ---- Replay ------------------------------------------------------------------------------------------------------------------------

    private void Replay()
    {
        // Everything a start needs lies in or after the last segment that begins at or before the first entry needed.
        ulong needed = _checkpoint.Sequence + 1;
        int start = _chain.Count - 1;
        while (start > 0 && (_chain[start].First > needed || _chain[start].First == needed && _chain[start].Header.EntryOffset != 0)) start--;
        for (int i = 0; i < start; i++)
        {
            _chain[i].Length = _chain[i].FileLength;
            _chain[i].LastSequence = _chain[i + 1].First - 1;
        }
        Found first = _chain[start];
        _sequence = first.First;
        _offset = first.Header.EntryOffset;
        if (first.First > needed || first.First == needed && _offset != 0)
        {
            string problem = $"entries from {needed} to {first.First - (_offset == 0 ? 1u : 0u)} are missing: the log begins here";
            if (_isCopy) throw new LogCorruptedException(_files.FullName(first.Name), 0, needed, problem);
            if (IsUnsyncedFrom(needed)) CutAll(needed);
            else Corrupt(start, 0, needed, problem);
            return;
        }

        for (int i = start; i < _chain.Count; i++)
        {
            if (ReplaySegment(i)) continue;
            if (_isCopy) ReadNewest();
            return;
        }
        if (_offset != 0 && !_isCopy) Cut(_largeSegment, _largeAt, 0);
    }

    /// <summary>
    /// Whether a loss of power can have taken the log's beginning. Where all up to the checkpoint was trimmed, the first segment behind it may be a prepared file that got
    /// neither its header nor its name onto the disk, while later ones did. Then nothing says of an entry behind the checkpoint that it was synced.
    /// </summary>
    private bool IsUnsyncedFrom(ulong needed)
    {
        // A later epoch vouches for all before it, and there is only the checkpoint to tell whether this is one.
        SegmentHeader first = _chain[0].Header;
        if (_empty.Count == 0 || first.Epoch != _checkpoint.Epoch || first.PreviousEpoch != first.Epoch) return false;
        // So does a later generation, and its first header says it: but of whole entries alone. Whether one begins in the middle of the entry needed, which may be synced, no header
        // tells; a prepared file is never the first of such a one.
        if (first.Generation != 0 && first.FirstSequence == needed && !HasPrefix(_chain[0].Name, LogFormat.PreparedPrefix)) return false;
        foreach (Found segment in _chain)
        {
            if (!SameRun(_chain[0], segment)) return false;
            if (segment.HeaderIsBad) continue;
            Load(segment);
            (_, ulong vouched) = Scan(segment, LogFormat.SegmentHeaderBytes, out _);
            if (Math.Max(vouched, segment.Header.SyncedSequence) >= needed) return false;
        }
        return true;
    }

    /// <summary>The log ends before the segments that were found.</summary>
    private void CutAll(ulong needed)
    {
        _cutFile = _files.FullName(_chain[0].Name);
        foreach (Found segment in _chain)
        {
            _cutBytes += ContentLength(segment, 0);
            _superseded.Add(segment.Name);
        }
        _chain.Clear();
        (_sequence, _offset, _cleanEnd) = (needed, 0, false);
    }

    /// <summary>A copy goes on in its newest segment, so that one is read, also where it lies below the checkpoint.</summary>
    private void ReadNewest()
    {
        while (_chain.Count > 0 && !_chain[^1].WasRead)
        {
            (_sequence, _offset) = (_chain[^1].First, _chain[^1].Header.EntryOffset);
            if (ReplaySegment(_chain.Count - 1)) return;
        }
    }

    /// <summary>Reads one segment; false when the log was cut in it and ends there.</summary>
    private bool ReplaySegment(int index)
    {
        Found segment = _chain[index];
        Found? next = index + 1 < _chain.Count ? _chain[index + 1] : null;
        Load(segment);
        segment.WasRead = true;
        segment.LastSequence = _sequence - 1;
        _cleanEnd = false;

        long at = LogFormat.SegmentHeaderBytes;
        if (segment.HeaderIsBad) return Damaged(index, 0);
        if (segment.First != _sequence || segment.Header.EntryOffset != _offset)
        {
            // Only the first segment that is read, and every one after another, gets here; a gap was found at the end of the one before.
            return Corrupt(index, 0, _sequence, $"it begins with entry {segment.First} where {_sequence} must follow");
        }

        Vouched = Math.Max(Vouched, segment.Header.SyncedSequence);
        if (index > 0 && !SameRun(_chain[index - 1], segment)) Vouched = Math.Max(Vouched, segment.First - 1);
        uint seed = segment.Header.Crc;
        while (Group.TryRead(_file + at, segment.FileLength - at, seed, out Group group))
        {
            // Where the next segment begins this one ends; but the mark of a clean end stays, so that what was finished is never changed.
            if (Reached(next) && (group.Kind != GroupKind.End || group.FirstSequence != _sequence)) break;
            if (group.FirstSequence != _sequence || !FitsOffset(group))
            {
                return Corrupt(index, at, _sequence, $"a valid group begins with entry {group.FirstSequence} where {_sequence} must follow");
            }
            _cleanEnd = group.Kind == GroupKind.End;
            Vouched = Math.Max(Vouched, group.SyncedSequence);
            if (group.Kind == GroupKind.Whole)
            {
                if (!ReplayWhole(group)) return Corrupt(index, at, _sequence, "a group's checksum is right, but not its entries' lengths");
            }
            else if (group.Kind != GroupKind.End) ReplayPart(group, index, at);
            at += group.TotalBytes;
        }
        segment.Length = at;
        segment.LastSequence = _sequence - 1;
        segment.LastTouched = _offset == 0 ? _sequence - 1 : _sequence;
        if (next is null ? IsZero(at, segment.FileLength) : Reached(next)) return true;
        return Damaged(index, at);
    }

    /// <summary>Whether everything before the next segment has been read.</summary>
    private bool Reached(Found? next) => next is not null && next.First == _sequence && next.Header.EntryOffset == _offset;

    private bool FitsOffset(in Group group) => group.Kind switch
    {
        GroupKind.Middle => group.PartOffset == _offset && _offset > 0,
        GroupKind.Last => group.PartOffset == _offset,
        _ => group.PartOffset == 0 && _offset == 0,
    };

    private bool ReplayWhole(in Group group)
    {
        // Lengths first, entries then: none is applied from a group that does not hold together.
        if (!group.HoldsTogether()) return false;

        byte* at = group.Payload;
        for (uint i = 0; i < group.EntryCount; i++)
        {
            uint length = Unsafe.ReadUnaligned<uint>(at);
            Visit(at + LogFormat.LengthPrefixBytes, length);
            at += LogFormat.LengthPrefixBytes + length;
        }
        return true;
    }

    private void ReplayPart(in Group group, int index, long at)
    {
        if (_offset == 0) (_largeSegment, _largeAt) = (index, at);
        long bytes = group.PayloadBytes - LogFormat.PartOffsetBytes;
        long total = (long)_offset + bytes;
        bool wanted = _sequence > _checkpoint.Sequence && _visitor is not null;
        if (wanted)
        {
            if (total > _largeCapacity)
            {
                // Large blocks grow in place or by remapping, so growing costs little; an eighth more than needed at most lies idle.
                _largeCapacity = Math.Max(total + total / 8, 4 * LogOptions.MinSegmentBytes);
                _large = (byte*)NativeMemory.Realloc(_large, (nuint)_largeCapacity);
            }
            Buffer.MemoryCopy(group.Payload + LogFormat.PartOffsetBytes, _large + _offset, bytes, bytes);
        }
        _offset = (ulong)total;
        if (group.Kind != GroupKind.Last) return;
        _offset = 0;
        Visit(_large, total);
        NativeMemory.Free(_large);
        _large = null;
        _largeCapacity = 0;
    }

    private void Visit(byte* entry, long length)
    {
        ulong sequence = _sequence++;
        if (sequence <= _checkpoint.Sequence) return;
        _replayedEntries++;
        _replayedBytes += length;
        if (_visitor is null) return;
        _lastTime = Unsafe.ReadUnaligned<ulong>(entry + 2);
        _visitor(sequence, entry, length);
    }

    private void Load(Found segment)
    {
        using IFile file = _files.Open(segment.Name);
        segment.FileLength = file.Length;
        if (segment.FileLength > LogOptions.MaxSegmentBytes)
        {
            throw new LogCorruptedException(_files.FullName(segment.Name), 0, segment.First, "it is longer than any segment can be");
        }
        if (segment.FileLength > _fileCapacity)
        {
            NativeMemory.Free(_file);
            _fileCapacity = segment.FileLength;
            _file = (byte*)NativeMemory.Alloc((nuint)_fileCapacity);
        }
        segment.FileLength = file.Read(0, new Span<byte>(_file, (int)segment.FileLength));
    }

    private bool IsZero(long from, long to) => to <= from || !new ReadOnlySpan<byte>(_file + from, (int)(to - from)).ContainsAnyExcept((byte)0);

    // ---- Torn or corrupt? --------------------------------------------------------------------------------------------------------------

    /// <summary>
    /// What begins at <paramref name="at"/> cannot be read. Decides whether a crash can have left it so: then the log is cut there, else it is
    /// corrupt. Always false: the log ends here.
    /// </summary>
    private bool Damaged(int index, long at)
    {
        if (_isCopy) return CutCopy(index, at, at >= _chain[index].FileLength ? "it ends too early" : "it cannot be read");
        Found segment = _chain[index];
        ulong lost = _sequence;

        (int laterGroups, ulong vouched) = Scan(segment, at + 1, out long firstLater);
        // Lost pages read as zeros up to the end of a sector, or the file's length was lost with them; anything else was written like that, and
        // did not come from a crash. When a segment is missing, a prepared file may be it: one whose header and whose new name did not get to the disk.
        bool lostPages = segment.FileLength < LogFormat.SegmentHeaderBytes || LooksLost(at, firstLater < 0 ? segment.FileLength : firstLater)
            || at > 0 && firstLater < 0 && _empty.Count > 0 && IsZero(at, segment.FileLength);

        // Later segments.
        for (int i = index + 1; i < _chain.Count; i++)
        {
            Found later = _chain[i];
            if (!SameRun(segment, later)) vouched = Math.Max(vouched, later.First - 1);
            if (later.HeaderIsBad) continue;
            vouched = Math.Max(vouched, later.Header.SyncedSequence);
            Load(later);
            (int groups, ulong byGroups) = Scan(later, LogFormat.SegmentHeaderBytes, out _);
            laterGroups += groups;
            vouched = Math.Max(vouched, byGroups);
        }
        Load(segment);

        bool isLast = laterGroups == 0 && index == _chain.Count - 1;
        string problem = at >= segment.FileLength ? "it ends too early, or the segment that must follow is missing"
            : segment.HeaderIsBad ? "the segment's header is damaged"
            : "a group is damaged";
        if (vouched >= lost) return Corrupt(index, at, lost, $"{problem}, though what was there had been synced (up to entry {vouched})");
        if (!isLast && !lostPages) return Corrupt(index, at, lost, $"{problem}, and {laterGroups} whole groups follow");
        Cut(index, at, laterGroups);
        return false;
    }

    private bool TryReadLater(byte* at, long available, ReadOnlySpan<uint> seeds, out Group group)
    {
        group = default;
        if (Unsafe.ReadUnaligned<ushort>(at) != LogFormat.GroupMagic) return false;
        // A client may have written the magic many times; a plausible sequence is cheaper to check than a checksum.
        ulong sequence = Unsafe.ReadUnaligned<ulong>(at + 16);
        if (_sequence != 0 && (sequence < _sequence || sequence - _sequence > LogOptions.MaxSegmentBytes)) return false;
        foreach (uint seed in seeds)
        {
            if (Group.TryRead(at, available, seed, out group)) return true;
        }
        return false;
    }

    /// <summary>Looks for whole groups anywhere from an offset of the loaded segment on: how many there are, what they vouch for, and where
    /// the first is (-1: nowhere).</summary>
    private (int Groups, ulong Vouched) Scan(Found segment, long from, out long first)
    {
        // Under a damaged header their seed is what the header holds or what it should hold.
        ReadOnlySpan<uint> seeds = !segment.HeaderIsBad ? [segment.Header.Crc]
            : segment.FileLength < LogFormat.SegmentHeaderBytes ? []
            : [Unsafe.ReadUnaligned<uint>(_file + 124), Crc32C.Compute(0, _file, 124)];
        first = -1;
        int groups = 0;
        ulong vouched = 0;
        for (long i = from; i + LogFormat.GroupHeaderBytes <= segment.FileLength;)
        {
            if (!TryReadLater(_file + i, segment.FileLength - i, seeds, out Group group))
            {
                i++;
                continue;
            }
            if (first < 0) first = i;
            groups++;
            vouched = Math.Max(vouched, group.SyncedSequence);
            i += group.TotalBytes;
        }
        return (groups, vouched);
    }

    /// <summary>Whether some sector between the two offsets ends in zeros as far back as the damage or 64 bytes.</summary>
    private bool LooksLost(long from, long to)
    {
        for (long end = (from / SectorBytes + 1) * SectorBytes; end <= to; end += SectorBytes)
        {
            if (IsZero(Math.Max(from, end - 64), end)) return true;
        }
        return false;
    }

    /// <summary>The log ends at an offset of a segment: what follows was torn by a crash.</summary>
    private void Cut(int index, long at, int wholeGroups)
    {
        if (_offset != 0)
        {
            // A large entry that never got its last part goes as a whole, with the segments that its parts lie in.
            (index, at) = (_largeSegment, _largeAt);
            _offset = 0;
        }
        Found segment = _chain[index];
        _cutFile = _files.FullName(segment.Name);
        _cutOffset = at;
        _cutWholeGroups = wholeGroups;
        for (int i = _chain.Count - 1; i > index; i--)
        {
            _cutBytes += ContentLength(_chain[i], 0);
            _superseded.Add(_chain[i].Name);
        }
        _chain.RemoveRange(index + 1, _chain.Count - index - 1);
        _cutBytes += ContentLength(segment, at);
        _cleanEnd = false;
        if (_cutBytes == 0) _cutFile = null;
        if (at <= LogFormat.SegmentHeaderBytes)
        {
            _superseded.Add(segment.Name);
            _chain.RemoveAt(index);
            return;
        }
        // The file itself is cut when the new segment stands.
        segment.Length = at;
        segment.LastSequence = _sequence - 1;
    }

    /// <summary>
    /// A copy ends before the first thing that cannot be read, whatever it is: what its groups say to be durable is so at the writer, and all of it can be had again. Whole
    /// groups behind it are kept aside. Always false.
    /// </summary>
    private bool CutCopy(int index, long at, string problem)
    {
        Found segment = _chain[index];
        Load(segment);
        (int groups, _) = segment.FileLength > at ? Scan(segment, Math.Max(at, LogFormat.SegmentHeaderBytes), out _) : (0, 0);
        (_cutFile, _cutOffset, _cutWholeGroups) = (_files.FullName(segment.Name), at, groups);
        _cutBytes = ContentLength(segment, at);
        int keep = at > LogFormat.SegmentHeaderBytes ? index + 1 : index;
        for (int i = _chain.Count - 1; i >= keep; i--)
        {
            if (i > index) _cutBytes += ContentLength(_chain[i], 0);
            _afterEnd.Add((_chain[i].Name, _chain[i].FileLength > LogFormat.SegmentHeaderBytes && (i > index || groups > 0)));
        }
        _chain.RemoveRange(keep, _chain.Count - keep);
        _cleanEnd = false;
        if (_cutBytes == 0) _cutFile = null;
        else if (groups > 0) _corruption = $"{_cutFile}, offset {at}, entry {_sequence}: {problem}, and {groups} whole groups follow. It is taken again";
        if (keep > index)
        {
            segment.Length = at;
            segment.LastSequence = _sequence - 1;
        }
        return false;
    }

    /// <summary>The bytes from an offset on, without the zeros at the end.</summary>
    private long ContentLength(Found segment, long from)
    {
        Load(segment);
        if (segment.FileLength <= from) return 0;
        return new ReadOnlySpan<byte>(_file + from, (int)(segment.FileLength - from)).LastIndexOfAnyExcept((byte)0) + 1;
    }

    /// <summary>The log is corrupt: says so, or, when losing data was allowed, keeps the bytes aside and ends the log there.</summary>
    private bool Corrupt(int index, long at, ulong sequence, string problem)
    {
        if (_isCopy) return CutCopy(index, at, problem);
        Found segment = _chain[index];
        var exception = new LogCorruptedException(_files.FullName(segment.Name), at, sequence, problem);
        if (!_allowLoss) throw exception;
        _corruption = exception.Message;
        if (_offset != 0)
        {
            (index, at) = (_largeSegment, _largeAt);
            _offset = 0;
        }
        for (int i = _chain.Count - 1; i > index; i--) SetAside(_chain[i].Name);
        _chain.RemoveRange(index + 1, _chain.Count - index - 1);
        segment = _chain[index];
        if (at <= LogFormat.SegmentHeaderBytes)
        {
            SetAside(segment.Name);
            _chain.RemoveAt(index);
        }
        else
        {
            Load(segment);
            using (IFile lost = _files.Create(LostName(segment.Name)))
            {
                lost.WriteAll(0, new ReadOnlySpan<byte>(_file + at, (int)(segment.FileLength - at)));
                lost.Sync();
            }
            using (IFile file = _files.Open(segment.Name))
            {
                file.Truncate(at);
                file.Sync();
            }
            segment.FileLength = segment.Length = at;
            segment.LastSequence = _sequence - 1;
        }
        _files.SyncDirectory();
        _cleanEnd = false;
        return false;
    }

    private void SetAside(string name) => _files.Rename(name, LostName(name));

    private string LostName(string name)
    {
        HashSet<string> names = [.. _files.List().Select(static f => f.Name)];
        for (int i = 0; ; i++)
        {
            string lost = i == 0 ? name + LogFormat.SetAsideSuffix : string.Create(CultureInfo.InvariantCulture, $"{name}.{i}{LogFormat.SetAsideSuffix}");
            if (!names.Contains(lost)) return lost;
        }
    }
}
