using Leither.Ipfs;
using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;

namespace Leither.MmDb.Log;

/// <summary>Whose log it is, and who writes it: what the nodes of its segments say.</summary>
/// <param name="Mid">The MiMei.</param>
/// <param name="Writer">The writer's public key (Ed25519), 32 bytes.</param>
public sealed record SegmentOrigin(LeitherId Mid, ReadOnlyMemory<byte> Writer)
{
    /// <summary>The writer's key of each epoch, where there were several; called by any thread. Null: <see cref="Writer"/> wrote all of them.</summary>
    public Func<ulong, ReadOnlyMemory<byte>>? Writers { get; init; }

    /// <summary>The key of who wrote the entries of an epoch.</summary>
    public ReadOnlyMemory<byte> WriterOf(ulong epoch) => Writers is null ? Writer : Writers(epoch);
}

/// <summary>
/// What a sealed segment of a log is, to everybody: one block of DAG-CBOR that links to the segment's bytes and to the node of the segment before.
/// Whoever has the newest node can find and check all of the log.
/// </summary>
/// <remarks>
/// <code>
/// to       the last entry that ends in it; one less than from when none does
/// mid      the MiMei's id, 20 bytes
/// data     link to the segment file's bytes, a raw block (LogFormat.cs draws it)
/// from     the entry that its first group begins or goes on with
/// prev     link to the node of the segment before, or null
/// epoch    the epoch of its entries
/// format   1
/// offset   how many bytes of the entry "from" lie in segments before
/// writer   the writer's public key, 32 bytes
/// </code>
/// The fields stand as DAG-CBOR sorts them. A version links to one of these, and is signed: so the signature holds for all of the log up to there.
/// </remarks>
public sealed record SegmentNode
{
    /// <summary>The format that is written, and the only one there is.</summary>
    public const int Format = 1;

    /// <summary>More than a node ever has.</summary>
    internal const int MaxBytes = 512;

    private const int FieldCount = 9;

    /// <summary>The MiMei.</summary>
    public required LeitherId Mid { get; init; }
    /// <summary>Who wrote it: a public key, 32 bytes.</summary>
    public required ReadOnlyMemory<byte> Writer { get; init; }
    /// <summary>The epoch of its entries.</summary>
    public required ulong Epoch { get; init; }
    /// <summary>The entry that its first group begins or goes on with.</summary>
    public required ulong From { get; init; }
    /// <summary>How many bytes of that entry lie in segments before.</summary>
    public required ulong Offset { get; init; }
    /// <summary>The last entry that ends in it.</summary>
    public required ulong To { get; init; }
    /// <summary>The node of the segment before; none: it is the first.</summary>
    public Cid Previous { get; init; }
    /// <summary>The bytes of its file.</summary>
    public required Cid Data { get; init; }

    /// <summary>The block.</summary>
    public byte[] Encode()
    {
        var writer = new DagCborWriter();
        writer.WriteMapStart(FieldCount);
        writer.WriteKey("to"u8);
        writer.WriteUInt64(To);
        writer.WriteKey("mid"u8);
        writer.WriteBytes(Mid.ToArray());
        writer.WriteKey("data"u8);
        writer.WriteCid(Data);
        writer.WriteKey("from"u8);
        writer.WriteUInt64(From);
        writer.WriteKey("prev"u8);
        writer.WriteCidOrNull(Previous);

        writer.WriteKey("epoch"u8);
        writer.WriteUInt64(Epoch);
        writer.WriteKey("format"u8);
        writer.WriteInt64(Format);
        writer.WriteKey("offset"u8);
        writer.WriteUInt64(Offset);
        writer.WriteKey("writer"u8);
        writer.WriteBytes(Writer.Span);
        return writer.ToArray();
    }

    /// <summary>Reads a node's block.</summary>
    /// <exception cref="MalformedBlockException">It is none, or of a newer format.</exception>
    public static SegmentNode Decode(ReadOnlySpan<byte> block)
    {
        var reader = new DagCborReader(block);
        reader.ReadMapStart(FieldCount);
        reader.ReadKey("to"u8);
        ulong to = reader.ReadUInt64();
        reader.ReadKey("mid"u8);
        var mid = new LeitherId(reader.ReadBytes(LeitherId.Length));
        reader.ReadKey("data"u8);
        Cid data = reader.ReadCid();
        reader.ReadKey("from"u8);
        ulong from = reader.ReadUInt64();
        reader.ReadKey("prev"u8);
        Cid previous = reader.ReadCidOrNull();
        reader.ReadKey("epoch"u8);
        ulong epoch = reader.ReadUInt64();
        reader.ReadKey("format"u8);
        long format = reader.ReadInt64();
        reader.ReadKey("offset"u8);
        ulong offset = reader.ReadUInt64();
        reader.ReadKey("writer"u8);
        byte[] writer = reader.ReadBytes(Ed25519.PublicKeyLength).ToArray();
        reader.End();
        if (format != Format || from == 0 || to + 1 < from)
        {
            throw new MalformedBlockException(format != Format ? $"The segment's node is of format {format}, which this version does not know." : "It is no node of a segment.");
        }

        return new SegmentNode { Mid = mid, Writer = writer, Epoch = epoch, From = from, Offset = offset, To = to, Previous = previous, Data = data };
    }
}

/// <summary>A segment that was sealed.</summary>
/// <param name="Cid">The name of its node.</param>
/// <param name="Node">Its node.</param>
/// <param name="Generation">How often the epoch's tail had been rewritten when it was begun: with the node's fields, it names the file.</param>
/// <param name="Length">The bytes of its data.</param>
public sealed record SealedSegment(Cid Cid, SegmentNode Node, uint Generation, int Length)
{
    /// <summary>Where it begins.</summary>
    public SegmentStart Start => new(Node.Epoch, Generation, Node.From, Node.Offset);

    /// <summary>The name of its file.</summary>
    internal string FileName => new SegmentHeader { Epoch = Node.Epoch, FirstSequence = Node.From, EntryOffset = Node.Offset, Generation = Generation }.FileName();

    /// <summary>Where it begins, compared with another place.</summary>
    internal int CompareStart(ulong from, ulong offset) => Node.From != from ? Node.From.CompareTo(from) : Node.Offset.CompareTo(offset);
}
