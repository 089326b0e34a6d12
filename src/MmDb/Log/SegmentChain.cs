// The sealed segments of a log, and the file that remembers them.
//
//   chain file   ┌──────────────┬────────┬────────┬─────┐      header   0  8  magic "LeithSeg"
//                │ header, 16 B │ record │ record │  …  │               8  2  version, 1
//                └──────────────┴────────┴────────┴─────┘                10  2  flags; 1: there are nodes before the first, and they were never here
//                                                                      12  4  0
//                                                              record   0  4  length of the node
//                                                                       4  4  CRC-32C of the rest of the record
//                                                                       8  4  length of the segment's data
//                                                                      12  4  generation of its file
//                                                                      16  …  the node's block (SegmentNode.cs)
//
// It is derived from the segment files as long as these are there, and all that is left of them once they are trimmed: some 220 bytes for a
// segment, so a log of a terabyte has a chain of 220 MB. So it is appended to without a sync; it is durable before a version that links to
// its newest node is listed, and before a segment file that it names is deleted.

using System.Buffers;
using System.Buffers.Binary;
using System.Security.Cryptography;
using Leither.Ipfs;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Files;
using Leither.Ipfs.Multiformats;

namespace Leither.MmDb.Log;

/// <summary>
/// The sealed segments of one log, oldest first, each linked to the one before by its node: the log as content-addressed blocks. The nodes are all
/// here; the data of those segments that are still there is read from their files, where it is anyway. What is read is verified.
/// </summary>
/// <remarks>Any thread may read; the log alone adds (<c>WriteLog.Seal.cs</c>), behind its own lock.</remarks>
public sealed class SegmentChain : IBlockSource
{
    private const string ChainFile = "chain", NewChainFile = "chain.new";
    private const ulong Magic = 0x6765_5368_7469_654C; // "LeithSeg"
    private const ushort Version = 1;
    private const int HeaderBytes = 16, RecordHeaderBytes = 16, FlagsOffset = 10;
    private const ushort FlagFloor = 1;

    /// <summary>Of so many segments it is remembered what others hashed.</summary>
    private const int MaxOffered = 16;

    /// <summary>A chain of more bytes is not read: that of a log of four terabytes.</summary>
    private const long MaxFileBytes = 1 << 30;

    private readonly IFolder _files;
    private readonly SegmentOrigin _origin;
    private readonly Action _load;
    private readonly Func<SealedSegment, bool> _isThere;
    private readonly Lock _gate = new();
    private volatile bool _isLoaded;
    private List<SealedSegment> _segments = [];
    private Dictionary<Multihash, (SealedSegment Segment, bool IsData)>? _blocks;

    // The file: its valid bytes; whether it has to be written anew before anything is appended; whether a sync of it would prove nothing (a failed one, of
    // this process or one before, may have called pages clean that never got to the disk); and whether all of it is durable.
    private long _fileLength;
    private bool _isTorn, _isSuspect, _isSynced = true;

    // Whether the nodes before the first one were never here.
    private volatile bool _hasFloor;

    // What others hashed of segments that are not sealed yet.
    private readonly List<(SegmentStart Segment, long Length, Cid Data)> _offered = [];

    internal SegmentChain(IFolder files, SegmentOrigin origin, Action load, Func<SealedSegment, bool> isThere)
    {
        _files = files;
        _origin = origin;
        _load = load;
        _isThere = isThere;
    }

    /// <summary>The MiMei and the writer.</summary>
    public SegmentOrigin Origin => _origin;

    /// <summary>All sealed segments, oldest first.</summary>
    /// <exception cref="IOException">They cannot be read.</exception>
    public IReadOnlyList<SealedSegment> Segments
    {
        get
        {
            EnsureLoaded();
            lock (_gate)
            {
                return [.. _segments];
            }
        }
    }

    /// <summary>The newest sealed segment; null: there is none.</summary>
    /// <exception cref="IOException">They cannot be read.</exception>
    public SealedSegment? Newest
    {
        get
        {
            EnsureLoaded();
            lock (_gate)
            {
                return _segments is [.., var last] ? last : null;
            }
        }
    }

    /// <summary>The sealed segment in which an entry ends; null: there is none.</summary>
    /// <exception cref="IOException">They cannot be read.</exception>
    public SealedSegment? Find(ulong sequence)
    {
        EnsureLoaded();
        lock (_gate)
        {
            int low = 0, high = _segments.Count;
            while (low < high)
            {
                int middle = (low + high) / 2;
                if (_segments[middle].Node.To < sequence)
                {
                    low = middle + 1;
                }
                else
                {
                    high = middle;
                }
            }

            return low < _segments.Count && _segments[low].Node.From <= sequence ? _segments[low] : null;
        }
    }

    /// <summary>Whether it begins with a node that links to one which was never here: the log began at a version.</summary>
    /// <exception cref="IOException">The nodes cannot be read.</exception>
    public bool HasFloor
    {
        get
        {
            EnsureLoaded();
            return _hasFloor;
        }
    }

    /// <summary>Whether the file of a segment is there, and not trimmed.</summary>
    public bool IsThere(SealedSegment segment) => _isThere(segment);

    // ------------------------------------------------------------------ as blocks

    /// <summary>The segment whose node has this name; null: there is none. (Any thread.)</summary>
    public SealedSegment? FindNode(in Cid cid) => TryFind(cid, out SealedSegment segment, out bool isData) && !isData ? segment : null;

    /// <inheritdoc/>
    public bool Has(in Cid cid) => TryFind(cid, out SealedSegment segment, out bool isData) && (!isData || _isThere(segment));

    /// <inheritdoc/>
    public bool TryGetLength(in Cid cid, out int length)
    {
        length = 0;
        if (!TryFind(cid, out SealedSegment segment, out bool isData) || (isData && !_isThere(segment)))
        {
            return false;
        }

        length = isData ? segment.Length : segment.Node.Encode().Length;
        return true;
    }

    /// <inheritdoc/>
    public bool TryGet(in Cid cid, IBufferWriter<byte> destination)
    {
        if (!TryFind(cid, out SealedSegment segment, out bool isData))
        {
            return false;
        }

        if (!isData)
        {
            destination.Write(segment.Node.Encode());
            return true;
        }

        if (!_isThere(segment))
        {
            return false;
        }

        Span<byte> bytes = destination.GetSpan(segment.Length)[..segment.Length];
        int read;
        try
        {
            using IFile file = _files.Open(segment.FileName);
            read = file.Read(0, bytes);
        }
        catch (DiskException)
        {
            if (!_isThere(segment))
            {
                return false; // trimmed meanwhile
            }

            throw;
        }

        if (read < bytes.Length || !segment.Node.Data.Verify(bytes))
        {
            throw new BlockCorruptedException(
                segment.Node.Data, _files.FullName(segment.FileName), 0, read < bytes.Length ? "the file ends before the block does" : "the hash of what lies there is another");
        }

        destination.Advance(bytes.Length);
        return true;
    }

    /// <inheritdoc/>
    public IEnumerable<Cid> Cids()
    {
        foreach (SealedSegment segment in Segments)
        {
            yield return segment.Cid;
            if (_isThere(segment))
            {
                yield return segment.Node.Data;
            }
        }
    }

    private bool TryFind(in Cid cid, out SealedSegment segment, out bool isData)
    {
        (segment, isData) = (null!, false);
        if (cid.IsNone)
        {
            return false;
        }

        EnsureLoaded();
        lock (_gate)
        {
            if (_blocks is null)
            {
                _blocks = [];
                foreach (SealedSegment each in _segments)
                {
                    Name(each);
                }
            }

            if (!_blocks.TryGetValue(cid.Multihash, out (SealedSegment Segment, bool IsData) found))
            {
                return false;
            }

            (segment, isData) = found;
            return true;
        }
    }

    private void Name(SealedSegment segment)
    {
        _blocks![segment.Cid.Multihash] = (segment, false);
        _blocks[segment.Node.Data.Multihash] = (segment, true);
    }

    private void EnsureLoaded()
    {
        if (!_isLoaded)
        {
            _load();
        }
    }

    // ------------------------------------------------------------------ for the log, one call at a time

    /// <summary>The length of what is none of the log's segments any more.</summary>
    internal const long LeftOver = -1;

    /// <summary>Whether <see cref="Load"/> was called.</summary>
    internal bool IsLoaded => _isLoaded;

    /// <summary>Where nodes are missing; empty if none are.</summary>
    internal IReadOnlyList<string> Damage { get; private set; } = [];

    /// <summary>
    /// Reads the file, and holds it against the segments that recovery found. What contradicts them (a tail that was cut, or written again) goes, with all
    /// that follows it. What is damaged is made again where the segment files allow it.
    /// </summary>
    /// <param name="present">The log's segments that hold anything, oldest first; whether their length is at most that.</param>
    /// <param name="measure">Finds out the length of one of them, if nothing else tells it.</param>
    /// <param name="last">The last entry that recovery found.</param>
    /// <param name="isCopy">Whether the log ends with that entry for sure: it goes on behind the newest node.</param>
    /// <returns>Of each segment its length, as far as nothing more can be done for it; 0: it is to be sealed; <see cref="LeftOver"/>: it is none of the log any more.</returns>
    internal long[] Load(IReadOnlyList<(SegmentHeader Header, ulong LastSequence, long Length, bool MayBeShorter)> present, Func<int, long> measure, ulong last, bool isCopy)
    {
        var damage = new List<string>();
        List<SealedSegment> found = Read();
        var kept = new List<SealedSegment>(found.Count);
        long[] lengths = new long[present.Count];
        int at = 0, healed = 0;
        foreach (SealedSegment record in found)
        {
            if (record.Node.From > last || (isCopy && record.Node.To > last))
            {
                break;
            }

            // Segments that lie before it, whose records are damaged.
            var missing = new List<SealedSegment>();
            int first = at;
            Cid previous = kept is [.., var before] ? before.Cid : default;
            bool contradicts = false;
            for (; at < present.Count && record.CompareStart(present[at].Header.FirstSequence, present[at].Header.EntryOffset) > 0; at++)
            {
                if (present[at].LastSequence >= record.Node.From && IsLeftOver(present[at], record))
                {
                    lengths[at] = LeftOver;
                    continue;
                }

                contradicts = present[at].LastSequence >= record.Node.From || present[at].Header.Epoch > record.Node.Epoch;
                if (contradicts)
                {
                    break;
                }

                lengths[at] = present[at].MayBeShorter ? measure(at) : present[at].Length;
                missing.Add(Seal(present[at].Header, present[at].LastSequence, lengths[at], previous));
                previous = missing[^1].Cid;
            }

            if (contradicts)
            {
                // What was looked at on the way is not in the chain: it is to be sealed where the chain now ends.
                for (int i = first; i < at; i++) lengths[i] = Math.Min(lengths[i], 0);
                break;
            }

            if (missing.Count > 0 && previous == record.Node.Previous)
            {
                kept.AddRange(missing);
                healed += missing.Count;
            }

            for (; at < present.Count && present[at].Header.FirstSequence <= record.Node.To && IsLeftOver(present[at], record); at++)
            {
                lengths[at] = LeftOver;
            }

            if (at < present.Count && record.CompareStart(present[at].Header.FirstSequence, present[at].Header.EntryOffset) == 0)
            {
                (SegmentHeader header, _, long length, bool mayBeShorter) = present[at];
                if (header.Epoch != record.Node.Epoch || header.Generation != record.Generation || (mayBeShorter ? length < record.Length : length != record.Length))
                {
                    break;
                }

                lengths[at++] = record.Length;
            }
            else if (at < present.Count && record.Node.To >= present[at].Header.FirstSequence)
            {
                break;
            }

            if (kept is [.., var link] ? link.Cid != record.Node.Previous : !record.Node.Previous.IsNone && !_hasFloor)
            {
                damage.Add($"the chain has no node between entries {(kept is [.., var end] ? end.Node.To : 0)} and {record.Node.From}");
            }

            kept.Add(record);
        }

        // What is to be sealed is measured before anything says that the nodes are read: a disk that fails here is asked again.
        for (int i = 0; i < present.Count; i++)
        {
            if (lengths[i] == 0 && present[i].MayBeShorter)
            {
                measure(i);
            }
        }

        _isTorn |= healed > 0 || kept.Count - healed < found.Count;
        lock (_gate)
        {
            _segments = kept;
            _blocks = null;
            Damage = damage;
        }

        _isLoaded = true;
        return lengths;
    }

    /// <summary>
    /// Whether a file that recovery did not read is what a tail was that had to be written again: its deletion did not get to the disk, and those that took its
    /// place were trimmed since.
    /// </summary>
    private static bool IsLeftOver(in (SegmentHeader Header, ulong LastSequence, long Length, bool MayBeShorter) present, SealedSegment record) =>
        present.MayBeShorter && present.Header.Epoch == record.Node.Epoch && present.Header.Generation < record.Generation;

    /// <summary>Hashes a finished segment, and adds it.</summary>
    internal void Add(in SegmentHeader header, ulong lastSequence, long length)
    {
        SealedSegment segment = Seal(header, lastSequence, length, _segments is [.., var last] ? last.Cid : default);
        if (_isTorn || _fileLength == 0)
        {
            WriteAnew([.. _segments, segment]);
        }
        else
        {
            byte[] record = Encode(segment);
            using IFile file = _files.Open(ChainFile);
            _isSynced = false;
            file.WriteAll(_fileLength, record);
            _fileLength += record.Length;
        }

        lock (_gate)
        {
            _segments.Add(segment);
            if (_blocks is not null)
            {
                Name(segment);
            }
        }
    }

    /// <summary>The newest node of a segment that ends where another begins.</summary>
    internal SealedSegment? Before(ulong from, ulong offset)
    {
        lock (_gate) return _segments.FindLast(s => s.CompareStart(from, offset) < 0);
    }

    /// <summary>Takes a segment's node out, and all that follow it.</summary>
    internal void CutFrom(in SegmentStart start)
    {
        SegmentStart from = start;
        int keep = _segments.FindIndex(s => s.Start >= from);
        if (keep < 0) return;
        List<SealedSegment> kept = _segments[..keep];
        WriteAnew(kept);
        Replace(kept);
    }

    /// <summary>Forgets all nodes but one, with which it begins, durably; null: all.</summary>
    internal void BeginAt(SealedSegment? segment)
    {
        (_hasFloor, bool had) = (segment is { Node.Previous.IsNone: false }, _hasFloor);
        List<SealedSegment> segments = segment is null ? [] : [segment];
        try
        {
            WriteAnew(segments);
        }
        catch (DiskException)
        {
            _hasFloor = had;
            throw;
        }

        _isLoaded = true;
        Damage = [];
        Replace(segments);
    }

    /// <summary>Adds nodes from before the first, each the one that the one after it links to.</summary>
    internal int AddOlder(IReadOnlyList<ReadOnlyMemory<byte>> blocks)
    {
        if (!_hasFloor || _segments is not [var oldest, ..] || blocks.Count == 0)
        {
            return 0;
        }

        var older = new List<SealedSegment>();
        SegmentNode after = oldest.Node;
        foreach (ReadOnlyMemory<byte> block in blocks)
        {
            var node = SegmentNode.Decode(block.Span);
            var cid = Cid.Of(Multicodec.DagCbor, block.Span);
            if (cid != after.Previous || node.Mid != _origin.Mid || node.To + 1 != after.From || node.Epoch > after.Epoch)
            {
                throw new MalformedBlockException($"It is not the node of the segment before entry {after.From}.");
            }

            older.Add(new SealedSegment(cid, node, 0, 0));
            after = node;
        }

        older.Reverse();
        older.AddRange(_segments);
        (_hasFloor, bool had) = (!older[0].Node.Previous.IsNone, _hasFloor);
        try
        {
            WriteAnew(older);
        }
        catch (DiskException)
        {
            _hasFloor = had;
            throw;
        }

        Replace(older);
        return blocks.Count;
    }

    private void Replace(List<SealedSegment> segments)
    {
        lock (_gate)
        {
            _segments = segments;
            _blocks = null;
        }
    }

    /// <summary>Remembers what somebody hashed.</summary>
    internal void OfferDigest(in SegmentStart segment, long length, in Cid data)
    {
        lock (_gate)
        {
            if (_offered.Count == MaxOffered) _offered.RemoveAt(0);
            _offered.Add((segment, length, data));
        }
    }

    /// <summary>Whether somebody hashed all of a segment.</summary>
    internal bool IsOffered(in SegmentStart segment, long length)
    {
        SegmentStart start = segment;
        lock (_gate) return _offered.Exists(o => o.Segment == start && o.Length == length);
    }

    private Cid TakeOffered(in SegmentHeader header, long length)
    {
        SegmentStart start = header.Start;
        lock (_gate)
        {
            int at = _offered.FindIndex(o => o.Segment == start && o.Length == length);
            if (at < 0) return default;
            Cid data = _offered[at].Data;
            _offered.RemoveAt(at);
            return data;
        }
    }

    /// <summary>Makes all of the chain durable.</summary>
    internal void Sync()
    {
        if (_isTorn || (_isSuspect && !_isSynced))
        {
            WriteAnew(_segments);
        }
        else if (!_isSynced)
        {
            try
            {
                using IFile file = _files.Open(ChainFile);
                file.Sync();
                _isSynced = true;
            }
            catch (DiskException)
            {
                _isSuspect = true;
                throw;
            }
        }
    }

    private SealedSegment Seal(in SegmentHeader header, ulong lastSequence, long length, in Cid previous)
    {
        var node = new SegmentNode
        {
            Mid = _origin.Mid,
            Writer = _origin.WriterOf(header.Epoch),
            Epoch = header.Epoch,
            From = header.FirstSequence,
            Offset = header.EntryOffset,
            To = lastSequence,
            Previous = previous,
            Data = TakeOffered(header, length) is { IsNone: false } offered ? offered : Hash(header.FileName(), length),
        };
        return new SealedSegment(Cid.Of(Multicodec.DagCbor, node.Encode()), node, header.Generation, (int)length);
    }

    /// <summary>The name of a file's first bytes as a block.</summary>
    private Cid Hash(string name, long length)
    {
        const int pieceBytes = 64 << 10;
        byte[] piece = ArrayPool<byte>.Shared.Rent(pieceBytes);
        try
        {
            using IFile file = _files.Open(name);
            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            for (long at = 0; at < length;)
            {
                int count = file.Read(at, piece.AsSpan(0, (int)Math.Min(pieceBytes, length - at)));
                if (count == 0)
                {
                    throw new LogCorruptedException(_files.FullName(name), at, 0, "the file became shorter");
                }

                hash.AppendData(piece.AsSpan(0, count));
                at += count;
            }

            Span<byte> digest = stackalloc byte[SHA256.HashSizeInBytes];
            hash.GetCurrentHash(digest);
            return Cid.OfSha256(Multicodec.Raw, digest);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(piece);
        }
    }

    // ------------------------------------------------------------------ the file

    private static byte[] Encode(SealedSegment segment)
    {
        byte[] node = segment.Node.Encode(), record = new byte[RecordHeaderBytes + node.Length];
        BinaryPrimitives.WriteInt32LittleEndian(record, node.Length);
        BinaryPrimitives.WriteInt32LittleEndian(record.AsSpan(8), segment.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(record.AsSpan(12), segment.Generation);
        node.CopyTo(record, RecordHeaderBytes);
        BinaryPrimitives.WriteUInt32LittleEndian(record.AsSpan(4), Checksum(record));
        return record;
    }

    private static uint Checksum(ReadOnlySpan<byte> record) => Crc32C.Compute(Crc32C.Compute(0, record[..4]), record[8..]);

    /// <summary>The records of the file. Those that are damaged are left out; behind the last whole one there may be what a crash left.</summary>
    private List<SealedSegment> Read()
    {
        (_fileLength, _isTorn, _isSuspect, _isSynced, _hasFloor) = (0, false, false, true, false);
        var found = new List<SealedSegment>();
        if (!_files.List().Any(static f => f.Name == ChainFile))
        {
            return found;
        }

        (_isSuspect, _isSynced) = (true, false);
        byte[] bytes;
        using (IFile file = _files.Open(ChainFile))
        {
            long length = file.Length;
            if (length > MaxFileBytes)
            {
                throw new LogCorruptedException(_files.FullName(ChainFile), MaxFileBytes, 0, "it is longer than the chain of any log");
            }

            bytes = new byte[length];
            int read = file.Read(0, bytes);
            bytes = read == bytes.Length ? bytes : bytes[..read];
        }

        if (bytes.Length < HeaderBytes || BinaryPrimitives.ReadUInt64LittleEndian(bytes) != Magic)
        {
            _isTorn = true;
            return found;
        }

        if (BinaryPrimitives.ReadUInt16LittleEndian(bytes.AsSpan(8)) is var version and not Version)
        {
            throw new LogCorruptedException(_files.FullName(ChainFile), 8, 0, $"its format version is {version}, and this program knows {Version}");
        }

        _hasFloor = (BinaryPrimitives.ReadUInt16LittleEndian(bytes.AsSpan(FlagsOffset)) & FlagFloor) != 0;
        int end = HeaderBytes;
        for (int at = HeaderBytes; at < bytes.Length;)
        {
            if (!TryRead(bytes.AsSpan(at), out SealedSegment? segment, out int length))
            {
                at++;
                continue;
            }

            _isTorn |= at > end;
            found.Add(segment!);
            end = at += length;
        }

        _isTorn |= end < bytes.Length;
        _fileLength = end;
        return found;
    }

    private bool TryRead(ReadOnlySpan<byte> bytes, out SealedSegment? segment, out int length)
    {
        (segment, length) = (null, 0);
        if (bytes.Length < RecordHeaderBytes)
        {
            return false;
        }

        int node = BinaryPrimitives.ReadInt32LittleEndian(bytes), data = BinaryPrimitives.ReadInt32LittleEndian(bytes[8..]);
        if (node is <= 0 or > SegmentNode.MaxBytes || node > bytes.Length - RecordHeaderBytes || data < 0)
        {
            return false;
        }

        ReadOnlySpan<byte> record = bytes[..(RecordHeaderBytes + node)], block = record[RecordHeaderBytes..];
        if (BinaryPrimitives.ReadUInt32LittleEndian(record[4..]) != Checksum(record))
        {
            return false;
        }

        try
        {
            SegmentNode decoded = SegmentNode.Decode(block);
            if (decoded.Mid != _origin.Mid)
            {
                return false;
            }

            segment = new SealedSegment(Cid.Of(Multicodec.DagCbor, block), decoded, BinaryPrimitives.ReadUInt32LittleEndian(record[12..]), data);
            length = record.Length;
            return true;
        }
        catch (MalformedBlockException)
        {
            return false;
        }
    }

    /// <summary>Writes all of the chain beside the file, durably, and puts it in its place.</summary>
    private void WriteAnew(IReadOnlyList<SealedSegment> segments)
    {
        const int pieceBytes = 64 << 10;
        var piece = new ArrayBufferWriter<byte>(pieceBytes + SegmentNode.MaxBytes);
        Span<byte> header = piece.GetSpan(HeaderBytes)[..HeaderBytes];
        header.Clear();
        BinaryPrimitives.WriteUInt64LittleEndian(header, Magic);
        BinaryPrimitives.WriteUInt16LittleEndian(header[8..], Version);
        BinaryPrimitives.WriteUInt16LittleEndian(header[FlagsOffset..], _hasFloor ? FlagFloor : (ushort)0);
        piece.Advance(HeaderBytes);
        _files.Delete(NewChainFile);
        _isTorn = true; // until all of this is done
        long length = 0;
        using (IFile file = _files.Create(NewChainFile))
        {
            foreach (SealedSegment segment in segments)
            {
                piece.Write(Encode(segment));
                if (piece.WrittenCount >= pieceBytes)
                {
                    Flush(file);
                }
            }

            Flush(file);
            file.Sync();
        }

        _files.Rename(NewChainFile, ChainFile);
        _files.SyncDirectory();
        (_fileLength, _isTorn, _isSuspect, _isSynced) = (length, false, false, true);

        void Flush(IFile file)
        {
            file.WriteAll(length, piece.WrittenSpan);
            length += piece.WrittenCount;
            piece.ResetWrittenCount();
        }
    }
}
