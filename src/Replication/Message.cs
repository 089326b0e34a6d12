// What follower and source say to each other. F→S: by the follower, who opened the stream; S→F: by the source.

using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;
using Leither.MmDb.Writers;

namespace Leither.Replication;

/// <summary>A message of the log protocol; <see cref="MessageCodec"/> has its bytes.</summary>
/// <remarks>Memory in a message that was decoded is a part of its frame.</remarks>
public abstract record Message
{
    private protected Message()
    {
    }

    /// <summary>About how many bytes it takes on the stream.</summary>
    public virtual int ApproximateBytes => 64;
}

/// <summary>F→S, the first message: who asks for what, and what it has.</summary>
/// <param name="Format">The protocol's format (<see cref="LogProtocol.Format"/>).</param>
/// <param name="Mid">The MiMei.</param>
/// <param name="Have">The last entry that it has; sequence 0: nothing.</param>
/// <param name="Place">Where its log ends; null: it has none.</param>
/// <param name="Chain">Its newest nodes, the newest first.</param>
/// <param name="Follow">Whether it means to stay.</param>
/// <param name="Term">The newest term that it has a certificate for.</param>
/// <param name="Proof">For a MiMei that only some may have: the signature of a user's key; empty: none.</param>
public sealed record Hello(
    int Format, LeitherId Mid, Position Have, LogPlace? Place, IReadOnlyList<Cid> Chain, bool Follow, uint Term, ReadOnlyMemory<byte> Proof) : Message;

/// <summary>A version as a list names it.</summary>
/// <param name="Number">Its number.</param>
/// <param name="Block">Its block.</param>
/// <param name="Position">The last entry that is in it.</param>
public readonly record struct ListedVersion(ulong Number, Cid Block, Position Position);

/// <summary>S→F, the answer: what there is.</summary>
/// <param name="Info">The MiMei's info block, whose hash is its id.</param>
/// <param name="Certificates">The certificates of its writers, oldest term first.</param>
/// <param name="Head">How far its log goes: the block of a <see cref="Replication.Head"/>; empty: no head is here.</param>
/// <param name="Versions">Its newest versions, oldest first.</param>
/// <param name="Released">The version that is released; 0: none.</param>
/// <param name="Floor">The first entry that can be had from the log here.</param>
/// <param name="LogBytes">About how many bytes of log there are after what the follower has.</param>
/// <param name="StateBytes">About how many bytes the newest version's state has.</param>
/// <param name="IsWriter">Whether it is the node that writes.</param>
/// <param name="IsPublic">Whether everybody may have it there: who provides what only some may have does not tell the network.</param>
public sealed record Welcome(
    ReadOnlyMemory<byte> Info, IReadOnlyList<ReadOnlyMemory<byte>> Certificates, ReadOnlyMemory<byte> Head, IReadOnlyList<ListedVersion> Versions, ulong Released,
    ulong Floor, long LogBytes, long StateBytes, bool IsWriter, bool IsPublic = false) : Message;

/// <summary>Why something ends.</summary>
public enum ByeCode : byte
{
    /// <summary>The node stops, or wants no more.</summary>
    Closing = 0,

    /// <summary>There is none, or it may not be had: the two look alike.</summary>
    NotFound = 1,

    /// <summary>The format is not known.</summary>
    Format = 2,

    /// <summary>Too many follow already.</summary>
    Busy = 3,

    /// <summary>The log is not here any more from where the follower is: it is to come anew.</summary>
    Behind = 4,

    /// <summary>What came contradicts the protocol, a hash or a signature.</summary>
    Fault = 5,

    /// <summary>Nothing came for too long.</summary>
    Stalled = 6,

    /// <summary>What is here changed so much that the follower is to come anew.</summary>
    Changed = 7,
}

/// <summary>S→F: nothing is given; the stream ends.</summary>
/// <param name="Code">Why.</param>
/// <param name="Text">For people.</param>
public sealed record Refused(ByeCode Code, string Text) : Message;

/// <summary>F→S: asks for nodes, from one back towards the log's beginning.</summary>
/// <param name="Newest">The node to begin with.</param>
/// <param name="Until">Nodes whose entries all lie at or below this one are not needed.</param>
/// <param name="Max">How many at most.</param>
public sealed record GetNodes(Cid Newest, ulong Until, int Max) : Message;

/// <summary>S→F: nodes, each linked to by the one before it; fewer than asked for where the chain ends here. Empty: the first is not here.</summary>
/// <param name="Blocks">The blocks of <see cref="SegmentNode"/>s.</param>
public sealed record Nodes(IReadOnlyList<ReadOnlyMemory<byte>> Blocks) : Message
{
    /// <inheritdoc/>
    public override int ApproximateBytes => 16 + (Blocks.Count * 256);
}

/// <summary>F→S: asks for blocks: segments, nodes, versions, states, proofs of this MiMei.</summary>
/// <param name="Cids">Which.</param>
public sealed record Get(IReadOnlyList<Cid> Cids) : Message;

/// <summary>F→S: asks for a segment's block of which the beginning is here.</summary>
/// <param name="Cid">Which.</param>
/// <param name="From">How many bytes are here; where the block is no longer, all of it comes.</param>
public sealed record GetRest(Cid Cid, int From) : Message;

/// <summary>S→F: a block, or a piece of one; pieces come in order, and not mixed with those of another.</summary>
/// <param name="Cid">Its name.</param>
/// <param name="Total">How long it is.</param>
/// <param name="Offset">Where the piece begins.</param>
/// <param name="Bytes">The piece.</param>
public sealed record Block(Cid Cid, int Total, int Offset, ReadOnlyMemory<byte> Bytes) : Message
{
    /// <inheritdoc/>
    public override int ApproximateBytes => 64 + Bytes.Length;
}

/// <summary>S→F: blocks that are not here.</summary>
/// <param name="Cids">Which.</param>
public sealed record Missing(IReadOnlyList<Cid> Cids) : Message;

/// <summary>F→S: asks for all bytes of the log from a place on, and what is said of them. It replaces what was asked for before.</summary>
/// <param name="Place">The place; a length of 0 with a segment that does not exist yet: the next one.</param>
/// <param name="Turn">Told again with the bytes that are the answer: what was asked for before may still be on its way.</param>
public sealed record Follow(LogPlace Place, uint Turn) : Message;

/// <summary>S→F: bytes of the log. Where the segment is another, the one before has ended.</summary>
/// <param name="Turn">What they answer.</param>
/// <param name="Segment">The segment.</param>
/// <param name="Offset">Where in its file they begin.</param>
/// <param name="Bytes">The bytes, as they stand there.</param>
public sealed record Tail(uint Turn, SegmentStart Segment, long Offset, ReadOnlyMemory<byte> Bytes) : Message
{
    /// <inheritdoc/>
    public override int ApproximateBytes => 64 + Bytes.Length;
}

/// <summary>S→F: the newest head lies too far on for the tail (<see cref="LogProtocol.MaxTailBytes"/>): what is before it is to be fetched as segments.</summary>
/// <param name="Turn">What it answers.</param>
/// <param name="Signed">The block of that <see cref="Head"/>.</param>
public sealed record TailEnds(uint Turn, ReadOnlyMemory<byte> Signed) : Message
{
    /// <inheritdoc/>
    public override int ApproximateBytes => 16 + Signed.Length;
}

/// <summary>S→F: a head, after the bytes that it covers.</summary>
/// <param name="Signed">The block of a <see cref="Head"/>.</param>
public sealed record HeadTold(ReadOnlyMemory<byte> Signed) : Message
{
    /// <inheritdoc/>
    public override int ApproximateBytes => 16 + Signed.Length;
}

/// <summary>S→F: a version begins at a place, where the log is cut; it comes before what follows that place.</summary>
/// <param name="Number">The version that is being made.</param>
/// <param name="Position">The last entry that will be in it.</param>
public sealed record Mark(ulong Number, Position Position) : Message;

/// <summary>S→F: a version is there.</summary>
/// <param name="Number">Its number.</param>
/// <param name="Cid">Its block's name.</param>
/// <param name="Block">Its block.</param>
public sealed record VersionTold(ulong Number, Cid Cid, ReadOnlyMemory<byte> Block) : Message
{
    /// <inheritdoc/>
    public override int ApproximateBytes => 64 + Block.Length;
}

/// <summary>Both: a writer's certificate. A source tells of new ones, a follower of those that its source does not have.</summary>
/// <param name="Signed">The block of a <see cref="WriterCertificate"/>.</param>
public sealed record CertificateTold(ReadOnlyMemory<byte> Signed) : Message
{
    /// <inheritdoc/>
    public override int ApproximateBytes => 16 + Signed.Length;
}

/// <summary>S→F: entries were taken back here, by a new epoch or generation. No bytes come until the follower asks anew.</summary>
/// <param name="After">The last entry that was kept.</param>
/// <param name="Entries">How many were taken back.</param>
public sealed record UndoneTold(Position After, ulong Entries) : Message;

/// <summary>Both: the writer signed two histories; whoever wants to see asks for the block.</summary>
/// <param name="Cid">The block of an <see cref="Equivocation"/>.</param>
public sealed record ProofTold(Cid Cid) : Message;

/// <summary>F→S: how far the follower is.</summary>
/// <param name="Epoch">The epoch of its last entry.</param>
/// <param name="Written">The last entry that is written there, and applied.</param>
/// <param name="Synced">The last entry that is durable there.</param>
public sealed record Ack(ulong Epoch, ulong Written, ulong Synced) : Message;

/// <summary>Both: asks whether the other is there, or answers that.</summary>
/// <param name="IsAnswer">Whether it answers.</param>
public sealed record Beat(bool IsAnswer) : Message;

/// <summary>Both: the last message.</summary>
/// <param name="Code">Why.</param>
/// <param name="Text">For people.</param>
public sealed record Bye(ByeCode Code, string Text) : Message;
