using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Keys;

namespace Leither.Replication;

/// <summary>A peer that is no source for a while.</summary>
/// <param name="Peer">Which.</param>
/// <param name="Reason">Why, the last time.</param>
/// <param name="Times">How often lately.</param>
/// <param name="UntilMs">Until when, in the milliseconds of <see cref="Replica.Tick"/>; <see cref="long.MaxValue"/>: for good.</param>
public readonly record struct RefusedPeer(PeerId Peer, FaultReason Reason, int Times, long UntilMs);

/// <summary>What a replica must know after a restart. As a block it is a map of DAG-CBOR.</summary>
/// <remarks>
/// <code>
/// head      the block of the newest head that was seen, or null
/// mode      how it stood: 0 follower, 1 writer
/// epoch     the newest epoch that this node used, or is about to use, as writer
/// proof     the block of an Equivocation, or null
/// format    1
/// refused   [[peer id, reason, times, until], …]
/// certificates [block, …], oldest term first
/// </code>
/// </remarks>
public sealed record ReplicaFacts
{
    private const int Format = 1;

    /// <summary>More than facts ever have.</summary>
    public const int MaxBytes = 4 << 20;

    /// <summary>The newest head that was seen; empty: none.</summary>
    public ReadOnlyMemory<byte> Head { get; init; }

    /// <summary>Whether this node writes.</summary>
    public bool IsWriter { get; init; }

    /// <summary>The newest epoch that this node used, or is about to use, as the writer; after a loss of power it uses none up to it again.</summary>
    public ulong Epoch { get; init; }

    /// <summary>That the writer signed two histories; empty: it did not.</summary>
    public ReadOnlyMemory<byte> Proof { get; init; }

    /// <summary>Peers that are no sources.</summary>
    public IReadOnlyList<RefusedPeer> Refused { get; init; } = [];

    /// <summary>The certificates of the writers, oldest term first.</summary>
    public IReadOnlyList<ReadOnlyMemory<byte>> Certificates { get; init; } = [];

    /// <summary>The block.</summary>
    public byte[] Encode()
    {
        var cbor = new DagCborWriter();
        cbor.WriteMapStart(7);
        cbor.WriteKey("head"u8);
        WriteBlock(cbor, Head);
        cbor.WriteKey("mode"u8);
        cbor.WriteInt64(IsWriter ? 1 : 0);
        cbor.WriteKey("epoch"u8);
        cbor.WriteUInt64(Epoch);
        cbor.WriteKey("proof"u8);
        WriteBlock(cbor, Proof);
        cbor.WriteKey("format"u8);
        cbor.WriteInt64(Format);
        cbor.WriteKey("refused"u8);
        cbor.WriteArrayStart(Refused.Count);
        foreach (RefusedPeer peer in Refused)
        {
            cbor.WriteArrayStart(4);
            cbor.WriteBytes(peer.Peer.ToArray());
            cbor.WriteInt64((int)peer.Reason);
            cbor.WriteInt64(peer.Times);
            cbor.WriteInt64(peer.UntilMs);
        }

        cbor.WriteKey("certificates"u8);
        cbor.WriteArrayStart(Certificates.Count);
        foreach (ReadOnlyMemory<byte> certificate in Certificates)
        {
            cbor.WriteBytes(certificate.Span);
        }

        return cbor.ToArray();
    }

    /// <summary>Reads a block.</summary>
    /// <exception cref="Ipfs.MalformedBlockException">It is none that this version knows.</exception>
    public static ReplicaFacts Decode(ReadOnlySpan<byte> block)
    {
        var reader = new DagCborReader(block);
        reader.ReadMapStart(7);
        reader.ReadKey("head"u8);
        byte[] head = ReadBlock(ref reader);
        reader.ReadKey("mode"u8);
        bool isWriter = reader.ReadInt32() == 1;
        reader.ReadKey("epoch"u8);
        ulong epoch = reader.ReadUInt64();
        reader.ReadKey("proof"u8);
        byte[] proof = ReadBlock(ref reader);
        reader.ReadKey("format"u8);
        if (reader.ReadInt64() is var format and not Format)
        {
            throw new Ipfs.MalformedBlockException($"What is known of a MiMei's copies is of format {format}, which this version does not know.");
        }

        reader.ReadKey("refused"u8);
        var refused = new RefusedPeer[reader.ReadArrayStart()];
        for (int i = 0; i < refused.Length; i++)
        {
            reader.ReadArrayStart(4);
            if (!PeerId.TryRead(reader.ReadBytes(), out PeerId peer))
            {
                throw new Ipfs.MalformedBlockException("A peer that is no source has no peer id.");
            }

            refused[i] = new RefusedPeer(peer, (FaultReason)reader.ReadInt32(), reader.ReadInt32(), reader.ReadInt64());
        }

        reader.ReadKey("certificates"u8);
        var certificates = new ReadOnlyMemory<byte>[reader.ReadArrayStart()];
        for (int i = 0; i < certificates.Length; i++)
        {
            certificates[i] = reader.ReadBytes().ToArray();
        }

        reader.End();
        return new ReplicaFacts { Head = head, IsWriter = isWriter, Epoch = epoch, Proof = proof, Refused = refused, Certificates = certificates };
    }

    private static void WriteBlock(DagCborWriter cbor, ReadOnlyMemory<byte> block)
    {
        if (block.IsEmpty)
        {
            cbor.WriteNull();
        }
        else
        {
            cbor.WriteBytes(block.Span);
        }
    }

    private static byte[] ReadBlock(ref DagCborReader reader) => reader.TryReadNull() ? [] : reader.ReadBytes().ToArray();
}
