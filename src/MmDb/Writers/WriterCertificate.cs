using Leither.Ipfs;
using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;

namespace Leither.MmDb.Writers;

/// <summary>
/// The author's word that another key writes a MiMei from now on: it begins a new term, and fences whoever wrote before.
/// </summary>
/// <remarks>
/// <code>
/// mid      the MiMei's id, 20 bytes
/// sig      the author's signature (Ed25519) over "leither-writer-1:" and the block without this field
/// node     the peer id of the node that writes
/// after    [epoch, sequence]: what the writer before wrote up to here is kept; the new writer has at least that
/// epoch    the first epoch of the term: its high half counts the takeovers, its low half is 1
/// author   the author's public key, 32 bytes
/// format   1
/// writer   the writer's public key, 32 bytes
/// </code>
/// Without any certificate the author's key writes, in epochs of term 0. Two certificates for one term are proof of two histories.
/// </remarks>
public sealed record WriterCertificate
{
    /// <summary>The format that is written, and the only one there is.</summary>
    public const int Format = 1;

    /// <summary>More than a certificate ever has.</summary>
    public const int MaxBytes = 512;

    private const int FieldCount = 8;

    private const byte MapOfEight = 0xA8;

    private static ReadOnlySpan<byte> SignaturePrefix => "leither-writer-1:"u8;

    /// <summary>The MiMei.</summary>
    public required LeitherId Mid { get; init; }

    /// <summary>The author's public key, 32 bytes.</summary>
    public required ReadOnlyMemory<byte> Author { get; init; }

    /// <summary>The key that signs heads from now on, 32 bytes.</summary>
    public required ReadOnlyMemory<byte> Writer { get; init; }

    /// <summary>The node that writes.</summary>
    public required PeerId Node { get; init; }

    /// <summary>The first epoch of the term.</summary>
    public required ulong Epoch { get; init; }

    /// <summary>The new writer has everything up to here.</summary>
    public required Position After { get; init; }

    /// <summary>The block that this was read from or signed to; empty where neither was done.</summary>
    public ReadOnlyMemory<byte> Block { get; private init; }

    /// <summary>How many takeovers there were, this one included.</summary>
    public uint Term => TermOf(Epoch);

    /// <summary>The term that an epoch belongs to.</summary>
    public static uint TermOf(ulong epoch) => (uint)(epoch >> 32);

    /// <summary>The first epoch of a term.</summary>
    public static ulong FirstEpochOf(uint term) => ((ulong)term << 32) | 1;

    /// <summary>What the author signs, for a key that is elsewhere: <see cref="WithSignature"/> takes the signature.</summary>
    public byte[] ToBeSigned() => SignedMap.ToBeSigned(SignaturePrefix, Write);

    /// <summary>Reads what <see cref="ToBeSigned"/> gave, so that who signs can see what it is.</summary>
    /// <exception cref="MalformedBlockException">It is none, or of a newer format.</exception>
    public static WriterCertificate ReadUnsigned(ReadOnlySpan<byte> bytes) =>
        bytes.StartsWith(SignaturePrefix) ? Read(bytes[SignaturePrefix.Length..], isSigned: false, out _) : throw new MalformedBlockException("It is no certificate of a writer.");

    /// <summary>Puts the author's signature over <see cref="ToBeSigned"/> to it.</summary>
    public WriterCertificate WithSignature(ReadOnlySpan<byte> signature) => this with { Block = SignedMap.Encode(Write, signature) };

    /// <summary>Whether a block may be one: a map of its fields, with this one first. (Neither a version nor a block of a state is such a map.)</summary>
    internal static bool IsPossible(in Cid cid, ReadOnlySpan<byte> block) =>
        cid.Codec == Multicodec.DagCbor && block.Length <= MaxBytes && block is [MapOfEight, 0x63, (byte)'m', (byte)'i', (byte)'d', ..];

    /// <summary>Signs it.</summary>
    public WriterCertificate Sign(PrivateKey author) => WithSignature(author.Sign(ToBeSigned()));

    /// <summary>Reads a certificate's block, and checks that the author signed it.</summary>
    /// <exception cref="MalformedBlockException">It is none, of another MiMei, of a newer format, or not signed by the author.</exception>
    public static WriterCertificate Decode(ReadOnlyMemory<byte> block, LeitherId mid, PublicKey author)
    {
        WriterCertificate certificate = Read(block.Span, isSigned: true, out byte[] signature);
        if (certificate.Mid != mid)
        {
            throw new MalformedBlockException($"The certificate is one for the MiMei {certificate.Mid}, not for {mid}.");
        }

        return certificate.Author.Span.SequenceEqual(author.Bytes) && author.Verify(certificate.ToBeSigned(), signature)
            ? certificate with { Block = block }
            : throw new MalformedBlockException("The certificate was not signed by the MiMei's author.");
    }

    private void Write(DagCborWriter writer, ReadOnlySpan<byte> signature)
    {
        writer.WriteMapStart(signature.IsEmpty ? FieldCount - 1 : FieldCount);
        writer.WriteKey("mid"u8);
        writer.WriteBytes(Mid.ToArray());
        if (!signature.IsEmpty)
        {
            writer.WriteKey("sig"u8);
            writer.WriteBytes(signature);
        }

        writer.WriteKey("node"u8);
        writer.WriteBytes(Node.ToArray());
        writer.WriteKey("after"u8);
        writer.WriteArrayStart(2);
        writer.WriteUInt64(After.Epoch);
        writer.WriteUInt64(After.Sequence);
        writer.WriteKey("epoch"u8);
        writer.WriteUInt64(Epoch);
        writer.WriteKey("author"u8);
        writer.WriteBytes(Author.Span);
        writer.WriteKey("format"u8);
        writer.WriteInt64(Format);
        writer.WriteKey("writer"u8);
        writer.WriteBytes(Writer.Span);
    }

    private static WriterCertificate Read(ReadOnlySpan<byte> block, bool isSigned, out byte[] signature)
    {
        if (block.Length > MaxBytes)
        {
            throw new MalformedBlockException($"A certificate has at most {MaxBytes} bytes.");
        }

        signature = [];
        var reader = new DagCborReader(block);
        reader.ReadMapStart(isSigned ? FieldCount : FieldCount - 1);
        reader.ReadKey("mid"u8);
        var mid = new LeitherId(reader.ReadBytes(LeitherId.Length));
        if (isSigned)
        {
            reader.ReadKey("sig"u8);
            signature = reader.ReadBytes(Ed25519.SignatureLength).ToArray();
        }

        reader.ReadKey("node"u8);
        bool isPeer = PeerId.TryRead(reader.ReadBytes(), out PeerId node);
        reader.ReadKey("after"u8);
        reader.ReadArrayStart(2);
        var after = new Position(reader.ReadUInt64(), reader.ReadUInt64());
        reader.ReadKey("epoch"u8);
        ulong epoch = reader.ReadUInt64();
        reader.ReadKey("author"u8);
        byte[] author = reader.ReadBytes(Ed25519.PublicKeyLength).ToArray();
        reader.ReadKey("format"u8);
        if (reader.ReadInt64() is var format and not Format)
        {
            throw new MalformedBlockException($"The certificate is of format {format}, which this version does not know.");
        }

        reader.ReadKey("writer"u8);
        byte[] writer = reader.ReadBytes(Ed25519.PublicKeyLength).ToArray();
        reader.End();
        if (!isPeer || TermOf(epoch) == 0 || (uint)epoch != 1 || TermOf(after.Epoch) >= TermOf(epoch))
        {
            throw new MalformedBlockException("It is no certificate of a writer.");
        }

        return new WriterCertificate { Mid = mid, Author = author, Writer = writer, Node = node, Epoch = epoch, After = after };
    }
}
