// A MiMei in memory, for many nodes: real segment headers and nodes, entries of a few bytes, and a state that is a hash over the entries applied, with the root of files that
// the last such entry says. It checks what a store can check: that entries come once, in order, and are ones that somebody who may write has written, and that all that a
// version leads to is here when it is listed.

using System.Buffers;
using System.Buffers.Binary;
using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;
using Leither.MmDb.Versions;
using Leither.Replication;
using ListedVersion = Leither.Replication.ListedVersion;

namespace Leither.Simulation;

/// <summary>Something that must never happen has happened.</summary>
public sealed class ViolationException(string message) : Exception(message);

/// <summary>Entries that were written by somebody who may, and when.</summary>
public sealed class History
{
    private readonly Dictionary<(ulong Epoch, ulong Sequence), List<ulong>> _written = [];

    /// <summary>Whether there may be two entries of one number: writers that lie.</summary>
    public bool MayFork { get; set; }

    public void Wrote(ulong epoch, ulong sequence, ulong hash)
    {
        if (!_written.TryGetValue((epoch, sequence), out List<ulong>? known))
        {
            _written.Add((epoch, sequence), [hash]);
        }
        else if (!known.Contains(hash))
        {
            if (!MayFork)
            {
                throw new ViolationException($"entry {epoch:x}:{sequence} was written twice");
            }

            known.Add(hash);
        }
    }

    /// <summary>An entry is lost that nobody but its writer can have had.</summary>
    public void Forget(ulong epoch, ulong sequence) => _written.Remove((epoch, sequence));

    /// <summary>What was written in an epoch is gone, and nobody was ever shown any of it.</summary>
    public void Forget(ulong epoch)
    {
        foreach ((ulong Epoch, ulong Sequence) entry in _written.Keys.Where(e => e.Epoch == epoch).ToArray())
        {
            _written.Remove(entry);
        }
    }

    public bool Has(ulong epoch, ulong sequence, ulong hash) => _written.TryGetValue((epoch, sequence), out List<ulong>? known) && known.Contains(hash);
}

public sealed unsafe class SimStore(LeitherId mid, Func<ulong, byte[]> writerOf, History history, Random random) : ISimStore
{
    private sealed class Segment
    {
        public required SegmentStart Start;
        public required uint Crc;
        public List<byte> Bytes = [];
        public ulong To;
        public SealedSegment? Sealed;
    }

    private readonly record struct Entry(ulong Epoch, ulong Hash, ulong State, Cid Files, int EndOffset);

    private static readonly byte[] _setsFiles = "sets files: "u8.ToArray();

    private readonly List<Segment> _segments = [];
    private readonly List<SealedSegment> _chain = [];
    private readonly List<Entry> _entries = [];
    private readonly Dictionary<Cid, byte[]> _blocks = [];
    private readonly HashSet<Cid> _puts = [];
    private ListedVersion[] _versions = [];
    private readonly Dictionary<ulong, (ulong Sequence, ulong State, Cid Files)> _marks = [];
    private ulong _base, _baseState, _synced, _writeEpoch;
    private Cid _baseFiles;
    private uint _salt = 1;
    private int _failures;
    private bool _hasSyncFailed, _isHalfWriter;

    private (ulong Number, ulong Sequence, ulong State, Cid Files)? _begun;

    public Queue<(long Operation, Func<StoreResult?> Run)> Pending { get; } = [];

    public Action<long, StoreResult>? Ended { get; set; }

    public bool IsWriter { get; private set; }

    public bool IsCut { get; private set; }

    public bool IsFull { get; set; }

    /// <summary>Whether its disk has no room for another version.</summary>
    public bool TakesNoVersions { get; set; }

    public ReplicaFacts? Facts { get; private set; }

    public int SegmentBytes { get; init; } = 2000;

    public ulong Last => _base + (ulong)_entries.Count;

    public string State => StateNow.ToString("x", System.Globalization.CultureInfo.InvariantCulture);

    private ulong StateNow => _entries.Count == 0 ? _baseState : _entries[^1].State;

    /// <summary>The root of its files; none: there are none.</summary>
    public Cid Files => _entries.Count == 0 ? _baseFiles : _entries[^1].Files;

    public IEnumerable<ulong> NotWhole => _versions.Where(v => !IsWhole(v.Block)).Select(static v => v.Number);

    public int BlockCount => _blocks.Count;

    public ulong Epoch => _segments.Count > 0 ? _segments[^1].Start.Epoch : _chain.Count > 0 ? _chain[^1].Node.Epoch : 0;

    public ulong Synced => _synced;

    public ulong TakenBack { get; private set; }

    public Position Position => new(Epoch, Last);

    public bool MayHaveLost => true;

    public bool HasEntry(ulong epoch, ulong sequence, ulong hash) =>
        sequence <= _base || (sequence <= Last && _entries[(int)(sequence - _base - 1)] is var entry && entry.Hash == hash && entry.Epoch == epoch);

    // ------------------------------------------------------------------ what is here

    public LogEnd End
    {
        get
        {
            if (_segments.Count == 0)
            {
                return new LogEnd(default, 0, true, Last, Math.Min(_synced, Last), Last);
            }

            Segment last = _segments[^1];
            return new LogEnd(last.Start, last.Bytes.Count, IsCut, Last, Math.Min(_synced, Last), Last);
        }
    }

    public LogExtent Extent => new(End, Places);

    public IReadOnlyList<LogPlace> Places => [.. _segments.Select(static s => new LogPlace(s.Start, s.Bytes.Count))];

    public int ReadSegment(in SegmentStart segment, long offset, Span<byte> to)
    {
        SegmentStart start = segment;
        Segment? found = _segments.Find(s => s.Start == start);
        if (found is null || offset > found.Bytes.Count)
        {
            return -1;
        }

        long readable = !_hasSyncFailed || found.To <= _synced ? found.Bytes.Count : found.Start.First > _synced ? 0 : _entries[(int)(_synced - _base - 1)].EndOffset;
        if (offset >= readable)
        {
            return 0;
        }

        int length = (int)Math.Min(to.Length, readable - offset);
        System.Runtime.InteropServices.CollectionsMarshal.AsSpan(found.Bytes).Slice((int)offset, length).CopyTo(to);
        return length;
    }

    public SealedSegment? Newest => _chain.Count == 0 ? null : _chain[^1];

    public SealedSegment? Find(ulong sequence) => _chain.Find(s => s.Node.From <= sequence && s.Node.To >= sequence);

    public SealedSegment? FindNode(in Cid cid)
    {
        foreach (SealedSegment segment in _chain)
        {
            if (segment.Cid == cid)
            {
                return segment;
            }
        }

        return null;
    }

    public IReadOnlyList<ListedVersion> Versions => _versions;

    public ulong Released => 0;

    public long StateBytes => _versions.Length == 0 ? 0 : 2500;

    public void Hashed(in SegmentStart segment, long length, in Cid data)
    {
    }

    /// <summary>How often it was asked whether a block is here.</summary>
    public long Lookups { get; private set; }

    /// <summary>Whether it lists versions of which not all can be read.</summary>
    public bool ListsAnything { get; set; }

    public bool HasBlock(in Cid cid)
    {
        Lookups++;
        return _blocks.ContainsKey(cid);
    }

    public bool TryGetBlock(in Cid cid, IBufferWriter<byte> destination)
    {
        if (_blocks.TryGetValue(cid, out byte[]? block))
        {
            destination.Write(block);
            return true;
        }

        foreach (SealedSegment segment in _chain)
        {
            if (segment.Cid == cid)
            {
                destination.Write(segment.Node.Encode());
                return true;
            }

            if (segment.Node.Data == cid && _segments.Find(s => s.Sealed == segment) is { } data)
            {
                destination.Write(data.Bytes.ToArray());
                return true;
            }
        }

        return false;
    }

    // ------------------------------------------------------------------ changes

    public void Append(long operation, in SegmentStart segment, long offset, ReadOnlyMemory<byte> bytes)
    {
        SegmentStart start = segment;
        byte[] copy = bytes.ToArray();
        int failures = _failures;
        Pending.Enqueue((operation, () =>
        {
            if (IsFull)
            {
                _failures++;
                return new StoreResult { Failure = new IOException("No space left on device") };
            }

            if (_failures != failures)
            {
                return new StoreResult { Failure = new IOException("this does not continue the log: what comes before it was not taken") };
            }

            Take(start, offset, copy);
            return default(StoreResult);
        }
        ));
    }

    public void Cut(long operation) => Pending.Enqueue((operation, () =>
    {
        IsCut = _segments.Count > 0;
        return default(StoreResult);
    }
    ));

    public void GoBack(long operation, in LogPlace place)
    {
        LogPlace to = place;
        Pending.Enqueue((operation, () => _hasSyncFailed
            ? new StoreResult { Failure = new IOException("Input/output error") }
            : new StoreResult { IsMissing = !TryGoBack(to) }));
    }

    public void Load(long operation, in Cid block, MimeiVersion version, SealedSegment? segment)
    {
        Cid cid = block;
        Pending.Enqueue((operation, () =>
        {
            if (IsFull)
            {
                return new StoreResult { Failure = new IOException("No space left on device") };
            }

            (ulong sequence, ulong state, Cid files) = ReadState(version.State);
            if (sequence != version.Position.Sequence)
            {
                throw new ViolationException("a version's state is another");
            }

            TakenBack += Last > sequence ? Last - sequence : 0;
            _segments.Clear();
            _chain.Clear();
            _entries.Clear();
            (_base, _baseState, _baseFiles, _synced, IsCut) = (sequence, state, files, sequence, true);
            if (segment is not null)
            {
                _chain.Add(segment);
            }

            RemoveVersions(v => v.Number >= version.Number);
            List(version, cid);
            return default(StoreResult);
        }
        ));
    }

    public void Empty(long operation) => Pending.Enqueue((operation, () =>
    {
        if (IsFull || _hasSyncFailed)
        {
            return new StoreResult { Failure = new IOException(IsFull ? "No space left on device" : "Input/output error") };
        }

        ThrowIfHalfWriter();
        Clear();
        return default(StoreResult);
    }
    ));

    public void Adopt(long operation, in Cid block, ReadOnlyMemory<byte> bytes, MimeiVersion version)
    {
        Cid cid = block;
        byte[] copy = bytes.ToArray();
        Pending.Enqueue((operation, () =>
        {
            if (TakesNoVersions)
            {
                return new StoreResult { Failure = new IOException("No space left on device") };
            }

            ulong sequence = version.Position.Sequence;
            if (!_marks.TryGetValue(version.Number, out (ulong Sequence, ulong State, Cid Files) mark) || mark.Sequence != sequence)
            {
                if (sequence < _base || sequence > Last)
                {
                    return new StoreResult { IsMissing = true };
                }

                mark = sequence == _base ? (sequence, _baseState, _baseFiles) : (sequence, _entries[(int)(sequence - _base - 1)].State, _entries[(int)(sequence - _base - 1)].Files);
            }

            if (MakeState(mark.Sequence, mark.State, mark.Files) != version.State)
            {
                return new StoreResult { IsMismatch = true };
            }

            if (_versions.Any(v => v.Number == version.Number && (v.Position.Epoch, v.Position.Sequence).CompareTo((version.Position.Epoch, sequence)) >= 0))
            {
                return new StoreResult { Failure = new InvalidOperationException($"there are two versions {version.Number}") };
            }

            _blocks[cid] = copy;
            RemoveVersions(v => v.Number == version.Number);
            List(version, cid);
            return default(StoreResult);
        }
        ));
    }

    public void MarkVersion(ulong number, in Position at)
    {
        ulong sequence = at.Sequence;
        Pending.Enqueue((0, () =>
        {
            if (sequence == Last)
            {
                _marks[number] = (sequence, StateNow, Files);
            }

            return default(StoreResult);
        }
        ));
    }

    public void PassVersion(ulong number)
    {
    }

    public void Put(long operation, in Cid cid, ReadOnlyMemory<byte> bytes)
    {
        Cid name = cid;
        byte[] copy = bytes.ToArray();
        if (!name.Verify(copy))
        {
            throw new ViolationException("a block that nobody verified");
        }

        Pending.Enqueue((operation, () =>
        {
            if (IsFull)
            {
                return new StoreResult { Failure = new IOException("No space left on device") };
            }

            _blocks[name] = copy;
            _puts.Add(name);
            return default(StoreResult);
        }
        ));
    }

    public void EndPuts() => _puts.Clear();

    public void Promote(long operation, ulong epoch) => Pending.Enqueue((operation, () =>
    {
        if (IsFull)
        {
            _isHalfWriter = true;
            return new StoreResult { Failure = new IOException("No space left on device") };
        }

        _isHalfWriter = false;
        (IsWriter, _writeEpoch, IsCut) = (true, epoch, _segments.Count > 0);
        return default(StoreResult);
    }
    ));

    public void Demote(long operation) => Pending.Enqueue((operation, () =>
    {
        IsWriter = false;
        return default(StoreResult);
    }
    ));

    public void Save(long operation, ReplicaFacts facts, bool isUrgent) => Pending.Enqueue((operation, () =>
    {
        // As it comes back from a disk.
        Facts = ReplicaFacts.Decode(facts.Encode());
        return default(StoreResult);
    }
    ));

    // ------------------------------------------------------------------ the writer's own

    /// <summary>The log of a new MiMei, or of one that ended cleanly, is written on in the epoch that it was in.</summary>
    public void OpenAsWriter(ulong epoch) => (IsWriter, _writeEpoch, _isHalfWriter) = (true, epoch, false);

    public ulong WriteEpoch => _writeEpoch;

    /// <summary>A copy again, as a node that starts opens it until it is told otherwise.</summary>
    public void OpenAsCopy() => (IsWriter, _isHalfWriter) = (false, false);

    /// <summary>Whether some of what it writes sets files.</summary>
    public bool WritesFiles { get; init; }

    /// <summary>Sets the root of its files, and puts their blocks.</summary>
    public (ulong Epoch, ulong Sequence, ulong Hash) SetFiles(in Cid root, IEnumerable<(Cid Cid, byte[] Bytes)> blocks)
    {
        foreach ((Cid cid, byte[] bytes) in blocks)
        {
            _blocks[cid] = bytes;
        }

        return Write([.. _setsFiles, .. root.ToArray()]);
    }

    public IEnumerable<(ulong Epoch, ulong Sequence, ulong Hash)> Write(Random random)
    {
        // (Who took over before the files of the one before were here sets others.)
        if (WritesFiles && (random.Next(4) == 0 || !HasFiles))
        {
            var files = SimFiles.Some(random);
            return [SetFiles(files.Root, files.Blocks)];
        }

        byte[] payload = new byte[random.Next(4) == 0 ? random.Next(300) : random.Next(8, 40)];
        random.NextBytes(payload);
        return [Write(payload)];
    }

    private (ulong Epoch, ulong Sequence, ulong Hash) Write(byte[] payload)
    {
        if (_segments.Count == 0 || IsCut || _segments[^1].Start.Epoch != _writeEpoch || _segments[^1].Bytes.Count + payload.Length + 12 > SegmentBytes)
        {
            BeginSegment(new SegmentStart(_writeEpoch, Generation, Last + 1, 0));
        }

        Segment segment = _segments[^1];
        byte[] group = new byte[12 + payload.Length];
        BinaryPrimitives.WriteInt32LittleEndian(group, payload.Length);
        BinaryPrimitives.WriteUInt64LittleEndian(group.AsSpan(4), Last + 1);
        payload.CopyTo(group.AsSpan(12));
        ulong hash = Mix(_writeEpoch, payload);
        history.Wrote(_writeEpoch, Last + 1, hash);
        segment.Bytes.AddRange(group);
        AddEntry(segment, hash, payload);
        return (_writeEpoch, Last, hash);
    }

    /// <summary>A sync fails: what is not durable cannot be read any more, and the log takes and gives back nothing.</summary>
    public void FailSync() => _hasSyncFailed = true;

    /// <summary>The disk works again: a copy gives up what was not durable.</summary>
    public void Mend()
    {
        _hasSyncFailed = false;
        Truncate(_synced);
    }

    public void Sync()
    {
        if (_hasSyncFailed)
        {
            return;
        }

        _synced = Last;
        for (int i = 0; i < _segments.Count - (IsCut ? 0 : 1); i++)
        {
            Seal(_segments[i]);
        }
    }

    private uint Generation => _segments is [.., var last] && last.Start.Epoch == _writeEpoch ? last.Start.Generation : 0;

    public bool RewriteTail()
    {
        if (!IsWriter || _synced >= Last || _entries[(int)(_synced - _base)].Epoch != _writeEpoch)
        {
            return false;
        }

        var tail = new List<(byte[] Group, ulong Hash, bool BeginsSegment)>(); // groups with their 12 bytes before the payload
        foreach (Segment segment in _segments)
        {
            int from = 128;
            for (ulong sequence = Math.Max(segment.Start.First, _base + 1); sequence <= segment.To; sequence++)
            {
                Entry entry = _entries[(int)(sequence - _base - 1)];
                if (sequence > _synced)
                {
                    tail.Add(([.. segment.Bytes[from..entry.EndOffset]], entry.Hash, tail.Count == 0 || sequence == segment.Start.First));
                }

                from = entry.EndOffset;
            }
        }

        (uint generation, bool wasCut) = (Generation + 1, IsCut);
        Truncate(_synced);
        foreach ((byte[] group, ulong hash, bool begins) in tail)
        {
            if (begins)
            {
                BeginSegment(new SegmentStart(_writeEpoch, generation, Last + 1, 0));
            }

            _segments[^1].Bytes.AddRange(group);
            AddEntry(_segments[^1], hash, group.AsSpan(12));
        }

        (IsCut, _synced) = (wasCut, Last);
        return true;
    }

    public bool HasFiles => Files.IsNone || Reach([Files]).All(_blocks.ContainsKey);

    public (ulong Number, Position At)? BeginVersion(ulong number)
    {
        if (!ListsAnything && !HasFiles)
        {
            return null;
        }

        IsCut = _segments.Count > 0;
        _begun = (number, Last, StateNow, Files);
        return (number, new Position(_writeEpoch, Last));
    }

    public bool EndVersion(PrivateKey writer, long nowMs)
    {
        if (_begun is not var (number, sequence, state, files) || Last < sequence)
        {
            return false;
        }

        Sync();
        _begun = null;
        Cid root = MakeState(sequence, state, files);
        SealedSegment? segment = Find(sequence);
        MimeiVersion version = new MimeiVersion
        {
            Mid = mid,
            Number = number,
            State = root,
            Writer = writerOf(_writeEpoch),
            Position = new Position(_writeEpoch, sequence),
            Segment = segment?.Cid ?? default,
            Time = sequence,
            CreatedMs = nowMs,
        };
        byte[] block = version.Sign(writer);
        Cid cid = Cid.Of(Multicodec.DagCbor, block);
        _blocks[cid] = block;
        List(version, cid);
        return true;
    }

    public void Trim(int keep)
    {
        while (_segments.Count > keep && _segments[0].Sealed is not null && _segments[0].To < _synced)
        {
            ulong to = _segments[0].To;
            (_baseState, _baseFiles) = (_entries[(int)(to - _base - 1)].State, _entries[(int)(to - _base - 1)].Files);
            _entries.RemoveRange(0, (int)(to - _base));
            _base = to;
            _segments.RemoveAt(0);
        }
    }

    // ------------------------------------------------------------------ what may happen to a node

    public void Close() => Sync();

    public void Kill()
    {
        Pending.Clear();
        _puts.Clear();
        IsFull = false;
    }

    public ulong LosePower()
    {
        Kill();
        ulong last = Last, kept = _synced >= last ? last : _synced + (ulong)random.NextInt64((long)(last - _synced) + 1);
        for (ulong lost = kept + 1; lost <= last; lost++)
        {
            // Of an epoch that is not durably known to be used nothing was signed, so nobody else has any of it.
            if (_entries[(int)(lost - _base - 1)].Epoch is var epoch && IsWriter && epoch > (Facts?.Epoch ?? 0))
            {
                history.Forget(epoch, lost);
            }
        }

        Truncate(kept);
        IsCut = _segments is [.., { Sealed: not null }]; // as a log that is opened finds it
        return last - kept;
    }

    // ------------------------------------------------------------------ inside

    private void ThrowIfHalfWriter()
    {
        if (_isHalfWriter)
        {
            throw new ViolationException("a copy is changed that was about to become the writer's log");
        }
    }

    private void Take(SegmentStart start, long offset, byte[] bytes)
    {
        ThrowIfHalfWriter();
        int at = 0;
        if (offset == 0)
        {
            fixed (byte* from = bytes)
            {
                if (bytes.Length < 128 || !SegmentHeader.TryDecode(from, out SegmentHeader header, out _) || header.Epoch != start.Epoch || header.FirstSequence != start.First
                    || header.Generation != start.Generation)
                {
                    throw new ViolationException("a segment without its header");
                }

                if (start.First != Last + 1)
                {
                    throw new ViolationException($"a segment that begins with {start.First} behind entry {Last}");
                }

                SealCurrent();
                _segments.Add(new Segment { Start = start, Crc = header.Crc, To = Last });
                IsCut = false;
            }

            _segments[^1].Bytes.AddRange(bytes.AsSpan(0, 128));
            at = 128;
        }
        else if (_segments.Count == 0 || _segments[^1].Start != start || _segments[^1].Bytes.Count != offset || IsCut)
        {
            throw new ViolationException($"bytes for {start} at {offset}, and the log ends at {End}");
        }

        Segment segment = _segments[^1];
        if (segment.Sealed is not null)
        {
            throw new ViolationException($"bytes for {start} at {offset}, which is sealed");
        }

        while (at < bytes.Length)
        {
            if (bytes.Length - at < 12)
            {
                throw new ViolationException("a part of a group");
            }

            int length = BinaryPrimitives.ReadInt32LittleEndian(bytes.AsSpan(at));
            ulong sequence = BinaryPrimitives.ReadUInt64LittleEndian(bytes.AsSpan(at + 4));
            if (length < 0 || length > bytes.Length - at - 12)
            {
                throw new ViolationException("a part of a group");
            }

            if (sequence != Last + 1)
            {
                throw new ViolationException($"entry {sequence} was applied behind entry {Last}");
            }

            ulong hash = Mix(start.Epoch, bytes.AsSpan(at + 12, length));
            if (!history.Has(start.Epoch, sequence, hash))
            {
                throw new ViolationException($"entry {start.Epoch:x}:{sequence} was applied, and nobody wrote it");
            }

            segment.Bytes.AddRange(bytes.AsSpan(at, 12 + length));
            AddEntry(segment, hash, bytes.AsSpan(at + 12, length));
            at += 12 + length;
        }
    }

    private void BeginSegment(SegmentStart start)
    {
        SealCurrent();
        var header = new SegmentHeader { Epoch = start.Epoch, FirstSequence = start.First, Generation = start.Generation, Salt = ++_salt, PreviousEpoch = Epoch };
        byte[] bytes = new byte[128];
        fixed (byte* to = bytes)
        {
            header.Encode(to);
        }

        _segments.Add(new Segment { Start = start, Crc = header.Crc, Bytes = [.. bytes], To = Last });
        IsCut = false;
    }

    // The background seals sooner or later: here sometimes at once, sometimes with the next sync.
    private void SealCurrent()
    {
        if (_segments.Count > 0 && random.Next(2) == 0)
        {
            foreach (Segment segment in _segments)
            {
                Seal(segment);
            }
        }
    }

    private void Seal(Segment segment)
    {
        if (segment.Sealed is not null)
        {
            return;
        }

        var node = new SegmentNode
        {
            Mid = mid,
            Writer = writerOf(segment.Start.Epoch),
            Epoch = segment.Start.Epoch,
            From = segment.Start.First,
            Offset = 0,
            To = segment.To,
            Previous = _chain.Count == 0 ? default : _chain[^1].Cid,
            Data = Cid.Of(Multicodec.Raw, segment.Bytes.ToArray()),
        };
        segment.Sealed = new SealedSegment(Cid.Of(Multicodec.DagCbor, node.Encode()), node, segment.Start.Generation, segment.Bytes.Count);
        _chain.Add(segment.Sealed);
    }

    private void AddEntry(Segment segment, ulong hash, ReadOnlySpan<byte> payload)
    {
        Cid files = payload.StartsWith(_setsFiles) && Cid.TryRead(payload[_setsFiles.Length..], out Cid root, out _) ? root : Files;
        segment.To = Last + 1;
        _entries.Add(new Entry(segment.Start.Epoch, hash, Mix(StateNow, BitConverter.GetBytes(hash)), files, segment.Bytes.Count));
    }

    /// <summary>Whether states before the one of now can be made: not where no checkpoint lies so far back, and the log not to its beginning.</summary>
    public bool KeepsStates { get; set; } = true;

    private bool TryGoBack(LogPlace place)
    {
        ThrowIfHalfWriter();
        ulong before = Last;
        if (place == default)
        {
            if (_base > 0)
            {
                return false; // its beginning was trimmed, or never here
            }

            Clear();
            return true;
        }

        if (!KeepsStates)
        {
            return false;
        }

        Segment? segment = _segments.Find(s => s.Start == place.Segment);
        if (segment is null)
        {
            // Back to where a version was loaded, or the log was trimmed.
            if (_chain.Find(s => s.Node.Epoch == place.Segment.Epoch && s.Node.From == place.Segment.First) is not { } floor || floor.Node.To != _base)
            {
                return false;
            }

            Truncate(_base);
            _segments.Clear();
            IsCut = true;
        }
        else
        {
            if (place.Length > segment.Bytes.Count)
            {
                throw new ViolationException("back to where the log never was");
            }

            int at = _segments.IndexOf(segment);
            ulong to = segment.Start.First - 1;
            while (to < segment.To && _entries[(int)(to - _base)].EndOffset <= place.Length)
            {
                to++;
            }

            Truncate(to);
            if (_segments.Count != at + 1 || segment.Bytes.Count != place.Length)
            {
                throw new ViolationException("back into the middle of a group");
            }

            IsCut = random.Next(2) == 0 && segment.Sealed is not null;
            if (!IsCut && segment.Sealed is { } changed)
            {
                // It goes on, and will have another node.
                _chain.Remove(changed);
                segment.Sealed = null;
            }
        }

        TakenBack += before - Last;
        RemoveVersions(v => v.Position.Sequence > Last);
        _synced = Math.Min(_synced, Last);
        return true;
    }

    private void Clear()
    {
        TakenBack += Last;
        _segments.Clear();
        _chain.Clear();
        _entries.Clear();
        _versions = [];
        (_base, _baseState, _baseFiles, _synced, IsCut) = (0, 0, default, 0, false);
    }

    // Each list is another, as a node's is.
    private void List(MimeiVersion version, Cid block)
    {
        if (!ListsAnything && !IsWhole(block))
        {
            throw new ViolationException($"version {version.Number} is listed, and not all that it leads to is here");
        }

        _versions = [.. _versions.Append(new ListedVersion(version.Number, block, version.Position)).OrderBy(static v => v.Number)];
    }

    private bool IsWhole(Cid version) => Reach([version]) is var reached && reached.All(_blocks.ContainsKey);

    /// <summary>What leads from some blocks, as far as it is here; of a version its state alone.</summary>
    private HashSet<Cid> Reach(IEnumerable<Cid> from)
    {
        var reached = new HashSet<Cid>();
        var ahead = new Stack<Cid>(from);
        while (ahead.TryPop(out Cid cid))
        {
            if (!reached.Add(cid) || cid.Codec == Multicodec.Raw || !_blocks.TryGetValue(cid, out byte[]? block))
            {
                continue;
            }

            var links = new List<Cid>();
            MimeiVersion.AddLinks(cid, block, links);
            links.ForEach(ahead.Push);
        }

        return reached;
    }

    /// <summary>A version is deleted here.</summary>
    public void Delete(ulong number) => RemoveVersions(v => v.Number == number);

    /// <summary>What nothing leads to goes: neither a version, nor what was put for one, nor who writes' files.</summary>
    public void Collect()
    {
        HashSet<Cid> needed = Reach([.. _versions.Select(static v => v.Block), .. _puts, .. IsWriter && !Files.IsNone ? [Files] : (Cid[])[]]);
        foreach (Cid cid in _blocks.Keys.Where(c => !needed.Contains(c)).ToArray())
        {
            _blocks.Remove(cid);
        }
    }

    /// <summary>A disk lost it.</summary>
    public void Lose(in Cid cid) => _blocks.Remove(cid);

    private void RemoveVersions(Predicate<ListedVersion> isGone)
    {
        if (_versions.Any(v => isGone(v)))
        {
            _versions = [.. _versions.Where(v => !isGone(v))];
        }
    }

    private void Truncate(ulong last)
    {
        if (last < Last)
        {
            _entries.RemoveRange((int)(last - _base), (int)(Last - last));
        }

        while (_segments.Count > 0 && _segments[^1].Start.First > last)
        {
            if (_segments[^1].Sealed is { } gone)
            {
                _chain.Remove(gone);
            }

            _segments.RemoveAt(_segments.Count - 1);
        }

        if (_segments.Count > 0 && _segments[^1] is var segment && segment.To > last)
        {
            int length = _entries[^1].EndOffset;
            segment.Bytes.RemoveRange(length, segment.Bytes.Count - length);
            segment.To = last;
            if (segment.Sealed is { } changed)
            {
                _chain.Remove(changed);
                segment.Sealed = null;
            }
        }

        RemoveVersions(v => v.Position.Sequence > last);
        _synced = Math.Min(_synced, last);
    }

    private Cid MakeState(ulong sequence, ulong state, in Cid files)
    {
        var cbor = new DagCborWriter();
        var chunks = new List<Cid>();
        for (int i = 0; i < 4; i++)
        {
            byte[] chunk = new byte[500];
            BinaryPrimitives.WriteUInt64LittleEndian(chunk, i < 2 ? (ulong)i : state + (ulong)i);
            Cid cid = Cid.Of(Multicodec.Raw, chunk);
            _blocks[cid] = chunk;
            chunks.Add(cid);
        }

        if (!files.IsNone)
        {
            chunks.Add(files);
        }

        cbor.WriteArrayStart(2 + chunks.Count);
        cbor.WriteUInt64(sequence);
        cbor.WriteUInt64(state);
        foreach (Cid chunk in chunks)
        {
            cbor.WriteCid(chunk);
        }

        byte[] block = cbor.ToArray();
        Cid root = Cid.Of(Multicodec.DagCbor, block);
        _blocks[root] = block;
        return root;
    }

    private (ulong Sequence, ulong State, Cid Files) ReadState(Cid root)
    {
        var reader = new DagCborReader(_blocks.TryGetValue(root, out byte[]? block) ? block : throw new ViolationException("a state without its root"));
        int count = reader.ReadArrayStart();
        ulong sequence = reader.ReadUInt64(), state = reader.ReadUInt64();
        Cid files = default;
        for (int i = 2; i < count; i++)
        {
            Cid cid = reader.ReadCid();
            files = i < 6 ? default : cid;
            if (!_blocks.ContainsKey(cid))
            {
                throw new ViolationException("a state without one of its blocks");
            }
        }

        return (sequence, state, files);
    }

    internal static ulong Mix(ulong seed, ReadOnlySpan<byte> bytes)
    {
        ulong hash = seed ^ 0x9E3779B97F4A7C15;
        foreach (byte b in bytes)
        {
            hash = (hash ^ b) * 0x100000001B3;
            hash ^= hash >> 29;
        }

        return hash;
    }
}
