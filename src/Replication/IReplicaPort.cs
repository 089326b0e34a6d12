using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;
using Leither.MmDb.Writers;

namespace Leither.Replication;

/// <summary>What a <see cref="Replica"/> needs of the network and of the node around it. Nothing here waits, nor calls back into the replica from within.</summary>
public interface IReplicaPort
{
    /// <summary>
    /// Sends a message on a stream. Messages of one stream arrive in order, or the stream ends. What a message refers to is another's once this returns: it is encoded here.
    /// </summary>
    void Send(long stream, Message message);

    /// <summary>
    /// How many more bytes the stream takes without growing a queue; 0 or less: none at present, and <see cref="Replica.Writable"/> follows once it does. Bulk is sent
    /// only while there is room; what is sent in spite of that is small, and bounded by what was asked for.
    /// </summary>
    int Room(long stream);

    /// <summary>Ends a stream after what was sent. <see cref="Replica.Disconnected"/> need not follow.</summary>
    void Close(long stream);

    /// <summary>Whether a peer may have this MiMei; of no peer, and without a proof: whether everybody may.</summary>
    bool MayRead(PeerId peer, ReadOnlySpan<byte> proof);

    /// <summary>The proof that a source at this peer wants to see; empty: none.</summary>
    ReadOnlyMemory<byte> ProofFor(PeerId peer);

    /// <summary>Something that people or counters want to know.</summary>
    void Report(ReplicaEvent happened);
}

/// <summary>Something that a replica tells of.</summary>
public abstract record ReplicaEvent
{
    private protected ReplicaEvent()
    {
    }
}

/// <summary>Entries were taken back, here, since the writer opened a new epoch or generation below them.</summary>
/// <param name="After">The last entry that was kept.</param>
/// <param name="Last">The last entry that was taken back.</param>
/// <param name="Entries">How many.</param>
public sealed record EntriesUndone(Position After, Position Last, ulong Entries) : ReplicaEvent;

/// <summary>The writer signed two histories. Nothing more of that epoch is followed.</summary>
/// <param name="Proof">The proof.</param>
public sealed record HistoryForked(Equivocation Proof) : ReplicaEvent;

/// <summary>A peer is not used as a source for a while, or for good.</summary>
/// <param name="Peer">Which.</param>
/// <param name="Reason">Why.</param>
/// <param name="Text">For people.</param>
/// <param name="UntilMs">Until when; <see cref="long.MaxValue"/>: for good.</param>
public sealed record PeerRefused(PeerId Peer, FaultReason Reason, string Text, long UntilMs) : ReplicaEvent;

/// <summary>Everything that the sources have is here, and applied.</summary>
/// <param name="Position">The last entry.</param>
public sealed record BecameLevel(Position Position) : ReplicaEvent;

/// <summary>This node wrote, and learned that another does now.</summary>
/// <param name="Certificate">Who, and since when.</param>
public sealed record WriterFenced(WriterCertificate Certificate) : ReplicaEvent;

/// <summary>This node writes from now on.</summary>
/// <param name="Epoch">The epoch.</param>
/// <param name="After">The last entry before.</param>
/// <param name="Abandoned">Entries that were signed here once and could not be had again; 0: none that anybody told of.</param>
public sealed record BecameWriter(ulong Epoch, Position After, ulong Abandoned) : ReplicaEvent;

/// <summary>A version's signed state is not the one here.</summary>
/// <param name="Number">The version.</param>
/// <param name="Block">Its block.</param>
public sealed record StateDiffers(ulong Number, Cid Block) : ReplicaEvent;

/// <summary>A version cannot be read, whoever gives it: a block that it leads to is malformed, or of a kind that is not known here.</summary>
/// <param name="Number">The version.</param>
/// <param name="Block">Its block.</param>
/// <param name="Text">For people.</param>
public sealed record VersionMalformed(ulong Number, Cid Block, string Text) : ReplicaEvent;

/// <summary>A source showed less than was signed and seen before.</summary>
/// <param name="Peer">Which.</param>
/// <param name="Shown">What it showed.</param>
/// <param name="Seen">What was seen.</param>
public sealed record OldHeadShown(PeerId Peer, Position Shown, Position Seen) : ReplicaEvent;

/// <summary>Following stopped, and is tried again.</summary>
/// <param name="Failure">Why.</param>
public sealed record StoreFailed(Exception Failure) : ReplicaEvent;
