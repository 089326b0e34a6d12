using System.Buffers;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;
using Leither.MmDb.Versions;

namespace Leither.Replication;

/// <summary>What a <see cref="Replica"/> needs of a MiMei's log, its versions and its keyspace: WriteLog, SegmentChain, VersionList and MimeiCopy behind one face.</summary>
/// <remarks>
/// <para>Questions are answered at once, from memory or from files that the system usually has in its cache; the replica's thread may wait for the disk, a
/// MiMei's own thread never does for the replica.</para>
/// <para>Changes are begun, in the order of the calls, and end with <see cref="Replica.Completed"/> under the operation's number: from the replica's thread, never
/// from within the call. At most <see cref="ReplicaOptions.MaxUnappliedBytes"/> are under way.</para>
/// </remarks>
public interface IReplicaStore
{
    // ------------------------------------------------------------------ what is here

    /// <summary>How far the log is: of a copy what was appended, of a writer what was written. Its Segment is default and its Length 0 while there is none.</summary>
    LogEnd End { get; }

    /// <summary>The segments whose bytes are here, oldest first, with the bytes that were written of each.</summary>
    IReadOnlyList<LogPlace> Places { get; }

    /// <summary>Both at one moment. Another thread writes the log: of two questions the second may be answered of another than the first.</summary>
    LogExtent Extent { get; }

    /// <summary>Reads bytes of a segment, as many as there are, up to the size of the span; -1: the segment is gone.</summary>
    int ReadSegment(in SegmentStart segment, long offset, Span<byte> to);

    /// <summary>The newest sealed segment; null: there is none. Where the chain was begun behind a version, that version's segment at least.</summary>
    SealedSegment? Newest { get; }

    /// <summary>The sealed segment in which an entry ends; null: there is none.</summary>
    SealedSegment? Find(ulong sequence);

    /// <summary>The sealed segment whose node has this name; null: there is none.</summary>
    SealedSegment? FindNode(in Cid cid);

    /// <summary>The versions, oldest first.</summary>
    IReadOnlyList<ListedVersion> Versions { get; }

    /// <summary>The version that is released; 0: none.</summary>
    ulong Released { get; }

    /// <summary>About how many bytes the newest version's state has.</summary>
    long StateBytes { get; }

    /// <summary>Whether a block of a version, a state, or the log is here.</summary>
    bool HasBlock(in Cid cid);

    /// <summary>Gives a block of a version, a state or the log (a node, a segment's data); false: it is not here.</summary>
    bool TryGetBlock(in Cid cid, IBufferWriter<byte> destination);

    /// <summary>A finished segment was hashed, from the store's own bytes: who seals it need not do so again.</summary>
    void Hashed(in SegmentStart segment, long length, in Cid data);

    // ------------------------------------------------------------------ changes of a copy

    /// <summary>
    /// Appends verified bytes (whole groups; at offset 0 a segment's header before them) and applies their entries. <paramref name="offset"/> is where the copy's
    /// segment ends; a new segment means that the one before is finished.
    /// </summary>
    void Append(long operation, in SegmentStart segment, long offset, ReadOnlyMemory<byte> bytes);

    /// <summary>The running segment is finished; none is running then.</summary>
    void Cut(long operation);

    /// <summary>
    /// Takes entries back: the log ends at <paramref name="place"/> then (a length of 0: before everything), what was behind it is kept aside, the keyspace is as it was
    /// there. Completes with <see cref="StoreResult.IsMissing"/>, nothing done, where that state cannot be made any more.
    /// </summary>
    void GoBack(long operation, in LogPlace place);

    /// <summary>
    /// Makes a version, all of whose blocks were put, the keyspace, in place of what was; the log begins behind it. What was in the log before is kept aside unless the
    /// version holds it.
    /// </summary>
    /// <param name="operation">The operation's number.</param>
    /// <param name="block">The version's block.</param>
    /// <param name="version">The version.</param>
    /// <param name="segment">The node of the segment at whose end it was made; null: the log begins behind it. Its generation and length are not known.</param>
    void Load(long operation, in Cid block, MimeiVersion version, SealedSegment? segment);

    /// <summary>
    /// Takes all there is back, also where the log's beginning is gone: log, keyspace and list of versions are empty then, and what was in the log is kept aside.
    /// </summary>
    void Empty(long operation);

    /// <summary>
    /// Takes a version that was made at an entry that is applied: its state is made here too and held against what is signed
    /// (<see cref="StoreResult.IsMismatch"/>), and it is listed, in the place of one of its number that was made before it.
    /// </summary>
    void Adopt(long operation, in Cid block, ReadOnlyMemory<byte> bytes, MimeiVersion version);

    /// <summary>A version begins at an entry; called before what follows that entry is appended. It does not complete.</summary>
    void MarkVersion(ulong number, in Position at);

    /// <summary>A version of this number was signed: should this node write one day, its own come after it, whether that one is here or not. It does not complete.</summary>
    void PassVersion(ulong number);

    /// <summary>Keeps a verified block of a version, a state or a file. It stays, with all it leads to, until <see cref="EndPuts"/>.</summary>
    void Put(long operation, in Cid cid, ReadOnlyMemory<byte> bytes);

    /// <summary>Of what was put nothing stays any more but what versions lead to. It does not complete.</summary>
    void EndPuts();

    // ------------------------------------------------------------------ writing and not

    /// <summary>
    /// The copy becomes the writer's log: no segment is running (<see cref="LogEnd.IsCut"/>), and what is written from now on stands in a new epoch. Completes with
    /// <see cref="LogUndoneException"/>, nothing done, where the keyspace has entries that the log gave up: it goes back to <see cref="End"/> first.
    /// After any other <see cref="IOException"/> it may be half done: it is asked for again before anything else of the log is.
    /// </summary>
    void Promote(long operation, ulong epoch);

    /// <summary>The writer's log becomes a copy: nothing more is accepted from clients.</summary>
    void Demote(long operation);

    /// <summary>Keeps what the replica must know after a restart; completes once it is durable.</summary>
    /// <param name="operation">The operation's number.</param>
    /// <param name="facts">All of it; it takes the place of what was kept before.</param>
    /// <param name="isUrgent">Whether it is to be durable at once: something waits for it (an epoch, a certificate, a proof). Otherwise a second late will do.</param>
    void Save(long operation, ReplicaFacts facts, bool isUrgent);
}

/// <summary>How an operation of <see cref="IReplicaStore"/> ended.</summary>
public readonly record struct StoreResult
{
    /// <summary>What went wrong; null: nothing. After a failure nothing, or all of it, may have been done: <see cref="IReplicaStore.End"/> tells.</summary>
    public Exception? Failure { get; init; }

    /// <summary>Going back, adopting: that state cannot be made here.</summary>
    public bool IsMissing { get; init; }

    /// <summary>
    /// A change to another state (<see cref="IReplicaStore.Load"/>, <see cref="IReplicaStore.Empty"/>) failed halfway: nothing else is done before one of these comes to its end.
    /// </summary>
    public bool IsHalfDone { get; init; }

    /// <summary>Adopting: the state here is another than the signed one.</summary>
    public bool IsMismatch { get; init; }
}
