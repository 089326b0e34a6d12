// Proof that a writer signed two histories. Whoever has it can check it with nothing but the MiMei's author and the writers' certificates.

using System.Security.Cryptography;
using Leither.Ipfs;
using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;
using Leither.MmDb.Writers;

namespace Leither.Replication;

/// <summary>
/// Two heads of one writer, epoch and generation, of which neither covers what the other does; or two certificates for one term.
/// </summary>
/// <remarks>
/// <code>
/// a        the block of the head that shows less, or of a certificate
/// b        the block of the other
/// nodes    [block, …]: from b's link to the node before, back to the segment that a's place lies in; empty where both heads are in one segment
/// data     the bytes of that segment as b has them, or null where a's place and b's are the same
/// format   1
/// </code>
/// </remarks>
public sealed record Equivocation
{
    private const int Format = 1;

    /// <summary>The most nodes between the two.</summary>
    public const int MaxNodes = 4096;

    /// <summary>More than a proof ever has.</summary>
    public const int MaxBytes = 3 << 20;

    /// <summary>The head that shows less, or a certificate.</summary>
    public required ReadOnlyMemory<byte> A { get; init; }

    /// <summary>The other.</summary>
    public required ReadOnlyMemory<byte> B { get; init; }

    /// <summary>Nodes that lead from <see cref="B"/> back to where <see cref="A"/>'s place lies, the newest first.</summary>
    public IReadOnlyList<ReadOnlyMemory<byte>> Nodes { get; init; } = [];

    /// <summary>The bytes of that segment, as <see cref="B"/> has them.</summary>
    public ReadOnlyMemory<byte> Data { get; init; }

    /// <summary>The epoch in which there are two histories; of two certificates the first epoch of their term.</summary>
    public ulong Epoch { get; private init; }

    /// <summary>The last entry that both have for sure; they may part further on. 0: that is not known.</summary>
    public ulong Common { get; private init; }

    /// <summary>Whether of an epoch there are two histories: of two certificates' term all that is written in it is doubtful.</summary>
    public bool Covers(ulong epoch) => IsOfCertificates ? WriterCertificate.TermOf(epoch) == WriterCertificate.TermOf(Epoch) : epoch == Epoch;

    private bool IsOfCertificates => IsMapOf(A.Span, 8);

    /// <summary>The block's name.</summary>
    public Cid Cid => Cid.Of(Multicodec.DagCbor, Encode());

    /// <summary>The block.</summary>
    public byte[] Encode()
    {
        var cbor = new DagCborWriter();
        cbor.WriteMapStart(5);
        cbor.WriteKey("a"u8);
        cbor.WriteBytes(A.Span);
        cbor.WriteKey("b"u8);
        cbor.WriteBytes(B.Span);
        cbor.WriteKey("data"u8);
        if (Data.IsEmpty)
        {
            cbor.WriteNull();
        }
        else
        {
            cbor.WriteBytes(Data.Span);
        }

        cbor.WriteKey("nodes"u8);
        cbor.WriteArrayStart(Nodes.Count);
        foreach (ReadOnlyMemory<byte> node in Nodes)
        {
            cbor.WriteBytes(node.Span);
        }

        cbor.WriteKey("format"u8);
        cbor.WriteInt64(Format);
        return cbor.ToArray();
    }

    /// <summary>Reads a block and checks that it proves what it is there to prove.</summary>
    /// <exception cref="MalformedBlockException">It does not.</exception>
    public static Equivocation Decode(ReadOnlySpan<byte> block, LeitherId mid, PublicKey author)
    {
        if (block.Length > MaxBytes)
        {
            throw new MalformedBlockException($"A proof has at most {MaxBytes} bytes.");
        }

        var reader = new DagCborReader(block);
        reader.ReadMapStart(5);
        reader.ReadKey("a"u8);
        byte[] a = reader.ReadBytes().ToArray();
        reader.ReadKey("b"u8);
        byte[] b = reader.ReadBytes().ToArray();
        reader.ReadKey("data"u8);
        byte[] data = reader.TryReadNull() ? [] : reader.ReadBytes().ToArray();
        reader.ReadKey("nodes"u8);
        var nodes = new ReadOnlyMemory<byte>[reader.ReadArrayStart()];
        for (int i = 0; i < nodes.Length; i++)
        {
            nodes[i] = reader.ReadBytes().ToArray();
        }

        reader.ReadKey("format"u8);
        bool isKnown = reader.ReadInt64() == Format;
        reader.End();
        return isKnown && nodes.Length <= MaxNodes
            ? new Equivocation { A = a, B = b, Nodes = nodes, Data = data }.Check(mid, author)
            : throw new MalformedBlockException("It is no proof of two histories that this version knows.");
    }

    /// <summary>Checks that it proves two histories.</summary>
    /// <exception cref="MalformedBlockException">It does not.</exception>
    public Equivocation Check(LeitherId mid, PublicKey author)
    {
        // What cannot be kept and read again is none either. (Each block stands behind a few bytes of its own.)
        long length = A.Length + B.Length + (long)Data.Length + Nodes.Sum(static n => n.Length + 8L) + 64;
        if (A.Span.SequenceEqual(B.Span) || length > MaxBytes)
        {
            throw NoProof();
        }

        return IsOfCertificates ? CheckCertificates(mid, author) : CheckHeads(mid);
    }

    private Equivocation CheckCertificates(LeitherId mid, PublicKey author)
    {
        WriterCertificate a = WriterCertificate.Decode(A, mid, author), b = WriterCertificate.Decode(B, mid, author);
        return a.Term == b.Term ? this with { Epoch = a.Epoch, Common = Math.Min(a.After.Sequence, b.After.Sequence) } : throw NoProof();
    }

    private Equivocation CheckHeads(LeitherId mid)
    {
        Head a = Head.Decode(A, mid), b = Head.Decode(B, mid);
        if (!a.Writer.Span.SequenceEqual(b.Writer.Span) || a.Segment.Epoch != b.Segment.Epoch || a.Segment.Generation != b.Segment.Generation || a.CompareTo(b) > 0)
        {
            throw NoProof();
        }

        // Where both go on behind the same node it is sure that they have all before it in common.
        Equivocation proof = this with { Epoch = a.Segment.Epoch }, after = proof with { Common = a.Segment.First - 1 };
        if (a.Segment == b.Segment)
        {
            bool differ = a.Previous != b.Previous || (a.Length == b.Length && (!a.Digest.Span.SequenceEqual(b.Digest.Span) || a.To != b.To));
            if (!differ && !a.IsCut)
            {
                // B has the same bytes at A's length, or it does not: its bytes tell.
                differ = Data.Length == b.Length && Hashes(Data.Span, b.Digest.Span) && !Hashes(Data.Span[..(int)a.Length], a.Digest.Span);
            }

            return !differ ? throw NoProof() : a.Previous == b.Previous ? after : proof;
        }

        // Back from B to where A's place lies.
        Cid link = b.Previous;
        SegmentStart next = b.Segment;
        foreach (ReadOnlyMemory<byte> block in Nodes)
        {
            if (link.IsNone || !link.Verify(block.Span))
            {
                throw NoProof();
            }

            SegmentNode node = SegmentNode.Decode(block.Span);
            int order = node.From != a.Segment.First ? node.From.CompareTo(a.Segment.First) : node.Offset.CompareTo(a.Segment.Offset);
            if (order < 0)
            {
                break;
            }

            if (order == 0)
            {
                // The same beginning: another node before, or other bytes.
                bool differ = node.Previous != a.Previous
                    || (!a.IsCut && node.Data.Verify(Data.Span) && (Data.Length < a.Length || !Hashes(Data.Span[..(int)a.Length], a.Digest.Span)));
                return !differ ? throw NoProof() : a.Previous == node.Previous ? after : proof;
            }

            next = new SegmentStart(node.Epoch, 0, node.From, node.Offset);
            link = node.Previous;
        }

        // B's history has no segment that begins where A's does: one spans the place, or there is none at all.
        bool hasPassed = Nodes.Count > 0 && SegmentNode.Decode(Nodes[^1].Span) is var last && (last.From < a.Segment.First || (last.From == a.Segment.First && last.Offset < a.Segment.Offset));
        bool isSpanned = (next.First, next.Offset).CompareTo((a.Segment.First, a.Segment.Offset)) > 0 && (hasPassed || link.IsNone);

        // After a cut A's next segment is B's, where B goes on from the same node.
        return isSpanned ? proof : throw NoProof();
    }

    private static bool Hashes(ReadOnlySpan<byte> bytes, ReadOnlySpan<byte> digest)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(bytes, hash);
        return hash.SequenceEqual(digest);
    }

    private static bool IsMapOf(ReadOnlySpan<byte> block, int count) => block.Length > 0 && block[0] == 0xA0 + count;

    private static MalformedBlockException NoProof() => new("It proves nothing.");
}
