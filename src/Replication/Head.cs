// A head: how far a log goes, signed. It is all that makes bytes of a log trustworthy: through its link to the node before and the digest of the running
// segment it covers every byte from the log's first to the place that it names.

using System.Security.Cryptography;
using Leither.Ipfs;
using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;
using Leither.MmDb.Writers;

namespace Leither.Replication;

/// <summary>
/// The place that a log has come to, signed by who writes it. As a block it is a map of DAG-CBOR that anybody can check.
/// </summary>
/// <remarks>
/// <code>
/// to           the last entry that ends before the place
/// mid          the MiMei's id, 20 bytes
/// sig          the writer's signature (Ed25519) over "leither-head-1:" and the block without this field
/// from         the entry that the running segment begins or goes on with; where there is none, the one that the next will begin with
/// prev         link to the node of the segment before (SegmentNode), or null
/// time         the hybrid time of the newest entry
/// epoch        the epoch of the running segment, or of the one before
/// digest       SHA-256 of the covered bytes of the running segment
/// format       1
/// length       how many bytes of the running segment are covered, its header included; 0: the log was cut, and there is none
/// offset       how many bytes of the entry "from" lie in segments before
/// synced       the last entry that was durable where it was written
/// writer       the writer's public key, 32 bytes
/// generation   how often the epoch's tail had been written again
/// </code>
/// The fields stand as DAG-CBOR sorts them. Of one writer's heads in one epoch and generation each covers all that the ones before it cover: two of which
/// neither does are proof of two histories (<see cref="Equivocation"/>).
/// </remarks>
public sealed record Head
{
    /// <summary>The format that is written, and the only one there is.</summary>
    public const int Format = 1;

    /// <summary>More than a head ever has.</summary>
    public const int MaxBytes = 512;

    private const int FieldCount = 14;

    /// <summary>What is signed begins with it, so that it is nothing else.</summary>
    private static ReadOnlySpan<byte> SignaturePrefix => "leither-head-1:"u8;

    /// <summary>The MiMei.</summary>
    public required LeitherId Mid { get; init; }

    /// <summary>Who writes: a public key, 32 bytes.</summary>
    public required ReadOnlyMemory<byte> Writer { get; init; }

    /// <summary>The running segment.</summary>
    public required SegmentStart Segment { get; init; }

    /// <summary>How many bytes of it are covered; 0: the log was cut.</summary>
    public required long Length { get; init; }

    /// <summary>SHA-256 of those bytes.</summary>
    public required ReadOnlyMemory<byte> Digest { get; init; }

    /// <summary>The node of the segment before; none: there is none.</summary>
    public Cid Previous { get; init; }

    /// <summary>The last entry that ends before the place.</summary>
    public required ulong To { get; init; }

    /// <summary>The hybrid time of the newest entry.</summary>
    public required ulong Time { get; init; }

    /// <summary>The last entry that was durable at the writer.</summary>
    public required ulong Synced { get; init; }

    /// <summary>The block that this was read from or signed to; empty where neither was done.</summary>
    public ReadOnlyMemory<byte> Block { get; private init; }

    /// <summary>The place.</summary>
    public LogPlace Place => new(Segment, Length);

    /// <summary>The last entry, with its epoch.</summary>
    public Position Position => new(Segment.Epoch, To);

    /// <summary>Which writer's epochs these are: it counts the takeovers.</summary>
    public uint Term => WriterCertificate.TermOf(Segment.Epoch);

    /// <summary>Whether no segment is running.</summary>
    public bool IsCut => Length == 0;

    /// <summary>Signs it.</summary>
    public Head Sign(PrivateKey writer) => this with { Block = SignedMap.Sign(SignaturePrefix, Write, writer) };

    /// <summary>Reads a head's block and checks that the writer whom it names signed it. Whether that writer may write in that epoch is another question.</summary>
    /// <exception cref="MalformedBlockException">It is none, of another MiMei, of a newer format, or not so signed.</exception>
    public static Head Decode(ReadOnlyMemory<byte> block, LeitherId mid)
    {
        Head head = Read(block.Span, out byte[] signature);
        if (head.Mid != mid)
        {
            throw new MalformedBlockException($"The head is one of the MiMei {head.Mid}, not of {mid}.");
        }

        return PublicKey.TryCreate(head.Writer.Span, out PublicKey? writer) && SignedMap.Verify(SignaturePrefix, head.Write, signature, writer)
            ? head with { Block = block }
            : throw new MalformedBlockException("The head was not signed by the writer whom it names.");
    }

    /// <summary>Which of two heads shows more: by epoch, generation, segment, length.</summary>
    public int CompareTo(Head? other) => other is null ? 1 : Compare(Place, other.Place);

    /// <summary>Which of two places comes later in what one writer says.</summary>
    public static int Compare(in LogPlace a, in LogPlace b)
    {
        int order = a.Segment.Epoch.CompareTo(b.Segment.Epoch);
        order = order != 0 ? order : a.Segment.Generation.CompareTo(b.Segment.Generation);
        order = order != 0 ? order : a.Segment.First.CompareTo(b.Segment.First);
        order = order != 0 ? order : a.Segment.Offset.CompareTo(b.Segment.Offset);
        return order != 0 ? order : a.Length.CompareTo(b.Length);
    }

    private void Write(DagCborWriter writer, ReadOnlySpan<byte> signature)
    {
        writer.WriteMapStart(signature.IsEmpty ? FieldCount - 1 : FieldCount);
        writer.WriteKey("to"u8);
        writer.WriteUInt64(To);
        writer.WriteKey("mid"u8);
        writer.WriteBytes(Mid.ToArray());
        if (!signature.IsEmpty)
        {
            writer.WriteKey("sig"u8);
            writer.WriteBytes(signature);
        }

        writer.WriteKey("from"u8);
        writer.WriteUInt64(Segment.First);
        writer.WriteKey("prev"u8);
        writer.WriteCidOrNull(Previous);

        writer.WriteKey("time"u8);
        writer.WriteUInt64(Time);
        writer.WriteKey("epoch"u8);
        writer.WriteUInt64(Segment.Epoch);
        writer.WriteKey("digest"u8);
        writer.WriteBytes(Digest.Span);
        writer.WriteKey("format"u8);
        writer.WriteInt64(Format);
        writer.WriteKey("length"u8);
        writer.WriteInt64(Length);
        writer.WriteKey("offset"u8);
        writer.WriteUInt64(Segment.Offset);
        writer.WriteKey("synced"u8);
        writer.WriteUInt64(Synced);
        writer.WriteKey("writer"u8);
        writer.WriteBytes(Writer.Span);
        writer.WriteKey("generation"u8);
        writer.WriteUInt64(Segment.Generation);
    }

    private static Head Read(ReadOnlySpan<byte> block, out byte[] signature)
    {
        if (block.Length > MaxBytes)
        {
            throw new MalformedBlockException($"A head has at most {MaxBytes} bytes.");
        }

        var reader = new DagCborReader(block);
        reader.ReadMapStart(FieldCount);
        reader.ReadKey("to"u8);
        ulong to = reader.ReadUInt64();
        reader.ReadKey("mid"u8);
        var mid = new LeitherId(reader.ReadBytes(LeitherId.Length));
        reader.ReadKey("sig"u8);
        signature = reader.ReadBytes(Ed25519.SignatureLength).ToArray();
        reader.ReadKey("from"u8);
        ulong from = reader.ReadUInt64();
        reader.ReadKey("prev"u8);
        Cid previous = reader.ReadCidOrNull();
        reader.ReadKey("time"u8);
        ulong time = reader.ReadUInt64();
        reader.ReadKey("epoch"u8);
        ulong epoch = reader.ReadUInt64();
        reader.ReadKey("digest"u8);
        byte[] digest = reader.ReadBytes(SHA256.HashSizeInBytes).ToArray();
        reader.ReadKey("format"u8);
        if (reader.ReadInt64() is var format and not Format)
        {
            throw new MalformedBlockException($"The head is of format {format}, which this version does not know.");
        }

        reader.ReadKey("length"u8);
        long length = reader.ReadInt64();
        reader.ReadKey("offset"u8);
        ulong offset = reader.ReadUInt64();
        reader.ReadKey("synced"u8);
        ulong synced = reader.ReadUInt64();
        reader.ReadKey("writer"u8);
        byte[] writer = reader.ReadBytes(Ed25519.PublicKeyLength).ToArray();
        reader.ReadKey("generation"u8);
        ulong generation = reader.ReadUInt64();
        reader.End();
        bool isSound = length is >= 0 and <= LogOptions.MaxSegmentBytes && generation <= uint.MaxValue && from > 0 && to < ulong.MaxValue && from <= to + 1
            && (length > 0 || (from == to + 1 && offset == 0));
        return !isSound ? throw new MalformedBlockException("It is no head of a log.") : new Head
        {
            Mid = mid,
            Writer = writer,
            Segment = new SegmentStart(epoch, (uint)generation, from, offset),
            Length = length,
            Digest = digest,
            Previous = previous,
            To = to,
            Time = time,
            Synced = synced,
        };
    }
}
