// What the core sees of a MiMei: its log, the nodes of its segments, its versions and, of one that follows, the copy that everything goes into.
//
// Questions are answered on the replica's thread, from memory or from files. Changes go to the copy, which does them in order on the loop's thread; what came of one
// is told to the replica, on its own thread, under the operation's number.

using System.Buffers;
using System.Collections.Concurrent;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Multiformats;
using Leither.MmDb;
using Leither.MmDb.Log;
using Leither.MmDb.Replication;
using Leither.MmDb.Versions;
using Leither.Replication;
using Listed = Leither.Replication.ListedVersion;

namespace Leither.Node.Replication;

/// <summary>The store of a MiMei's replica.</summary>
/// <param name="mimei">The MiMei, loaded as long as this is used.</param>
/// <param name="completed">Takes an operation's end, on any thread.</param>
/// <param name="save">Keeps the core's facts.</param>
/// <param name="onLoop">Does something on the loop's thread.</param>
internal sealed class ReplicaStore(
    Mimei mimei, Action<long, StoreResult> completed, Action<ReplicaFacts, bool, Action> save, Action<Action> onLoop) : IReplicaStore, IBlockSource, IDisposable
{
    private static readonly LogEnd _nothing = new(default, 0, true, 0, 0, 0);

    private readonly ConcurrentDictionary<Cid, Position> _positions = new();
    private readonly Lock _gate = new();
    private (IReadOnlyList<MmDb.Versions.ListedVersion> All, IReadOnlyList<Listed> Listed) _listed = ([], []); // the replica's thread only
    private IDisposable? _protection;
    private long _bytes, _blocks;

    /// <summary>Bytes that came and were kept.</summary>
    public long BytesKept => Interlocked.Read(ref _bytes);

    /// <summary>Blocks that came and were kept.</summary>
    public long BlocksKept => Interlocked.Read(ref _blocks);

    public LogEnd End => Log?.WrittenEnd ?? _nothing;

    public IReadOnlyList<LogPlace> Places => Log?.Places ?? [];

    public LogExtent Extent => Log?.Extent ?? new LogExtent(_nothing, []);

    public SealedSegment? Newest => Log?.Chain?.Newest;

    public IReadOnlyList<Listed> Versions
    {
        get
        {
            if (mimei.Versions is not { } versions) return [];
            IReadOnlyList<MmDb.Versions.ListedVersion> all = versions.List.All;
            (IReadOnlyList<MmDb.Versions.ListedVersion> All, IReadOnlyList<Listed> Listed) last = _listed;
            if (ReferenceEquals(last.All, all)) return last.Listed;
            var listed = new List<Listed>(all.Count);
            foreach (MmDb.Versions.ListedVersion version in all)
            {
                // One that cannot be read is none that others could be given.
                if (PositionOf(versions, version) is { } position) listed.Add(new Listed(version.Number, version.Block, position));
            }

            _listed = (all, listed);
            return listed;
        }
    }

    public ulong Released => mimei.Versions?.List.Released ?? 0;

    public long StateBytes => mimei.Versions is { } versions && versions.List.Last.Number > 0 ? Math.Min(versions.Blocks.Figures.TotalBytes, Math.Max(mimei.Keyspace.UsedBytes, 1)) : 0;

    /// <summary>The newest version; its number is 0 where there is none.</summary>
    public (ulong Number, Cid Block) NewestVersion => mimei.Versions?.List.Last is { Number: > 0 } last ? (last.Number, last.Block) : default;

    private WriteLog? Log => mimei.Copy?.Log ?? mimei.Log;

    public int ReadSegment(in SegmentStart segment, long offset, Span<byte> to) => Log?.ReadSegment(segment, offset, to) ?? -1;

    /// <summary>No entry from there on is trimmed as long as what is returned is held; null: there is no log.</summary>
    public IDisposable? Keep(ulong sequence) => Log?.Keep(sequence);

    public SealedSegment? Find(ulong sequence) => Log?.Chain?.Find(sequence);

    public SealedSegment? FindNode(in Cid cid) => Log?.Chain?.FindNode(cid);

    public bool HasBlock(in Cid cid) => Log?.Chain?.Has(cid) == true || mimei.Versions?.Blocks.Has(cid) == true;

    public bool TryGetBlock(in Cid cid, IBufferWriter<byte> destination)
    {
        try
        {
            return Log?.Chain?.TryGet(cid, destination) == true || mimei.Versions?.Blocks.TryGet(cid, destination) == true;
        }
        catch (BlockCorruptedException)
        {
            // It is as good as missing for others; who reads it here is told.
            return false;
        }
    }

    public void Hashed(in SegmentStart segment, long length, in Cid data) => Log?.OfferDigest(segment, length, data);

    // ------------------------------------------------------------------ as a source of blocks that anybody may read

    bool IBlockSource.Has(in Cid cid) => HasBlock(cid);

    bool IBlockSource.TryGetLength(in Cid cid, out int length)
    {
        length = 0;
        return Log?.Chain?.TryGetLength(cid, out length) == true || mimei.Versions?.Blocks.TryGetLength(cid, out length) == true;
    }

    bool IBlockSource.TryGet(in Cid cid, IBufferWriter<byte> destination) => TryGetBlock(cid, destination);

    IEnumerable<Cid> IBlockSource.Cids() => (Log?.Chain?.Cids() ?? []).Concat(mimei.Versions?.Blocks.Cids() ?? []);

    // ------------------------------------------------------------------ changes

    public void Append(long operation, in SegmentStart segment, long offset, ReadOnlyMemory<byte> bytes)
    {
        int length = bytes.Length;
        Copy(operation)?.Append(bytes, problem =>
        {
            if (problem is null) Interlocked.Add(ref _bytes, length);
            Complete(operation, problem);
        });
    }

    public void Cut(long operation) => Copy(operation)?.Cut(problem => Complete(operation, problem));

    public void GoBack(long operation, in LogPlace place) => Copy(operation)?.GoBack(
        place, (back, problem) => completed(operation, new StoreResult { Failure = problem, IsMissing = back is { NeedsVersion: true } }));

    public void Load(long operation, in Cid block, MimeiVersion version, SealedSegment? segment) => Copy(operation)?.Load(block, segment, problem => Changed(operation, problem));

    public void Empty(long operation) => Copy(operation)?.Empty(problem => Changed(operation, problem));

    public void Adopt(long operation, in Cid block, ReadOnlyMemory<byte> bytes, MimeiVersion version) => Copy(operation)?.AdoptVersion(
        block, bytes,
        (check, problem) => completed(
            operation, new StoreResult { Failure = problem, IsMismatch = problem is null && check == StateCheck.Different, IsMissing = problem is null && check == StateCheck.Unknown }));

    public void MarkVersion(ulong number, in Position at) => mimei.Copy?.MarkVersion(number, at);

    public void PassVersion(ulong number)
    {
        try
        {
            mimei.Versions?.List.Pass(number);
        }
        catch (Exception e) when (e is IOException or MimeiException)
        {
            // What cannot be listed cannot be made either.
        }
    }

    public void Put(long operation, in Cid cid, ReadOnlyMemory<byte> bytes)
    {
        try
        {
            IBlockstore blocks = mimei.Versions!.Blocks;
            // Nothing leads to it before the version that it belongs to is here.
            lock (_gate) _protection ??= blocks.ProtectPuts();
            if (blocks.Put(cid, bytes.Span))
            {
                Interlocked.Add(ref _bytes, bytes.Length);
                Interlocked.Increment(ref _blocks);
            }

            completed(operation, default);
        }
        catch (IOException e)
        {
            completed(operation, new StoreResult { Failure = e });
        }
    }

    public void EndPuts() => EndProtection();

    public void Promote(long operation, ulong epoch) => Copy(operation)?.Promote(epoch, problem => Complete(operation, problem));

    public void Demote(long operation) => onLoop(() =>
    {
        if (mimei.Copy is not null) completed(operation, default);
        else MimeiCopy.Demote(mimei, keepsFork: true, (_, problem) => Complete(operation, problem));
    });

    public void Save(long operation, ReplicaFacts facts, bool isUrgent)
    {
        try
        {
            // What is written, and signed as a version, is held against them as long as it is here.
            mimei.Versions!.Writers.Keep(facts.Certificates);
        }
        catch (IOException e)
        {
            completed(operation, new StoreResult { Failure = e });
            return;
        }

        save(facts, isUrgent, () => completed(operation, default));
    }

    public void Dispose() => EndProtection();

    private void EndProtection()
    {
        lock (_gate)
        {
            _protection?.Dispose();
            _protection = null;
        }
    }

    private void Changed(long operation, Exception? problem) =>
        completed(operation, new StoreResult { Failure = problem, IsHalfDone = problem is not null && mimei.Copy is { IsBetweenStates: true } });

    private void Complete(long operation, Exception? problem) => completed(operation, new StoreResult { Failure = problem });

    /// <summary>The copy; null, and the operation failed, where it is none.</summary>
    private MimeiCopy? Copy(long operation)
    {
        if (mimei.Copy is { } copy) return copy;
        completed(operation, new StoreResult { Failure = new CopyException("the MiMei is written here") });
        return null;
    }

    private Position? PositionOf(Versioner versions, in MmDb.Versions.ListedVersion version)
    {
        if (_positions.TryGetValue(version.Block, out Position position)) return position;
        try
        {
            position = versions.Read(version.Number).Position;
        }
        catch (Exception e) when (e is IOException or MimeiException)
        {
            return null;
        }

        return _positions.GetOrAdd(version.Block, position);
    }
}
