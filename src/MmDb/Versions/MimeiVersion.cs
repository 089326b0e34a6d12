using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;
using Leither.MmDb.Writers;

namespace Leither.MmDb.Versions;

/// <summary>
/// A version of a MiMei: its state and its place in the log, signed by the author or by whom he let write. As a block it is a map of DAG-CBOR that anybody can read and check.
/// </summary>
/// <remarks>
/// <code>
/// log      [writer's public key (32 bytes), epoch, sequence, link to the node of the segment it lies in, or null]: the last entry that is in it
/// mid      the MiMei's id, 20 bytes
/// sig      signature (Ed25519) over "leither-version-1:" and the block without this field
/// memo     text
/// prev     link to the version before, or null
/// time     the hybrid time of the last entry: where its clock stands
/// state    link (StateFormat.cs)
/// format   1
/// created  Unix milliseconds
/// version  1, 2, 3 …
/// </code>
/// The author's signature is good for any version. That of another is good where the author's certificate says that he is the writer of the term that the epoch belongs to,
/// and the log's writer in the block is he (<see cref="WriterCertificate"/>).
/// </remarks>
public sealed record MimeiVersion
{
    /// <summary>The format that is written, and the only one there is.</summary>
    public const int Format = 1;

    /// <summary>The most bytes that a memo may have.</summary>
    public const int MaxMemoBytes = 4096;

    /// <summary>A longer block is none.</summary>
    internal const int MaxBlockBytes = 2 * MaxMemoBytes;

    /// <summary>What is signed begins with it, so that it is nothing else.</summary>
    private static ReadOnlySpan<byte> SignaturePrefix => "leither-version-1:"u8;

    /// <summary>The MiMei.</summary>
    public required LeitherId Mid { get; init; }
    /// <summary>Its number.</summary>
    public required ulong Number { get; init; }
    /// <summary>The version before; none: it is the first, or those before were deleted.</summary>
    public Cid Previous { get; init; }
    /// <summary>What the databases hold.</summary>
    public required Cid State { get; init; }
    /// <summary>Who wrote the log: a public key, 32 bytes.</summary>
    public required ReadOnlyMemory<byte> Writer { get; init; }
    /// <summary>The last entry that is in it.</summary>
    public required Position Position { get; init; }
    /// <summary>The node of the segment that the entry lies in (<see cref="SegmentNode"/>); none where there is no log, or none that is sealed.</summary>
    public Cid Segment { get; init; }
    /// <summary>The hybrid time of that entry (<see cref="HybridClock"/>).</summary>
    public required ulong Time { get; init; }
    /// <summary>When it was made, in Unix milliseconds.</summary>
    public required long CreatedMs { get; init; }
    /// <summary>What its author says of it.</summary>
    public string Memo { get; init; } = "";

    /// <summary>The instant that its clock stands at, in Unix milliseconds.</summary>
    public long TimeMs => HybridClock.ToMilliseconds(Time);

    /// <summary>The block, signed.</summary>
    public byte[] Sign(PrivateKey key) => SignedMap.Sign(SignaturePrefix, Write, key);

    /// <summary>Reads a version's block, and checks that who signed it may make versions. This alone decides whether a block is taken for a version, wherever it comes from.</summary>
    /// <exception cref="MimeiException">It is none, of another MiMei, of a newer format, or signed by nobody who may.</exception>
    public static MimeiVersion Decode(ReadOnlySpan<byte> block, WriterSet writers)
    {
        LeitherId mid = writers.Mid;
        MimeiVersion version;
        byte[] signature;
        try
        {
            version = Read(block, out signature);
        }
        catch (DagCborException e)
        {
            throw new MimeiException($"ERR the block is no version of a MiMei: {e.Message}", e);
        }

        if (version.Mid != mid)
        {
            throw new MimeiException($"ERR version {version.Number} is one of the MiMei {version.Mid}, not of {mid}");
        }

        if (SignedMap.Verify(SignaturePrefix, version.Write, signature, writers.Author))
        {
            return version;
        }

        uint term = WriterCertificate.TermOf(version.Position.Epoch);
        if (term == 0)
        {
            throw new MimeiException($"ERR version {version.Number} was not signed by the author of the MiMei {mid}");
        }

        if (writers.Find(term) is not { } certificate)
        {
            throw new MimeiException(
                $"ERR version {version.Number} was not signed by the author of the MiMei {mid}, and no certificate of his is known that lets somebody else write in term {term}");
        }

        return version.Writer.Span.SequenceEqual(certificate.Writer.Span) && PublicKey.TryCreate(certificate.Writer.Span, out PublicKey? writer)
            && SignedMap.Verify(SignaturePrefix, version.Write, signature, writer) ? version
            : throw new MimeiException($"ERR version {version.Number} was signed neither by the author of the MiMei {mid} nor by whom he let write in term {term}");
    }

    /// <summary>The MiMei that a block says to be a version of, which nobody has checked; null: it is no version.</summary>
    internal static LeitherId? MidOf(ReadOnlySpan<byte> block)
    {
        try
        {
            return Read(block, out _).Mid;
        }
        catch (Exception e) when (e is DagCborException or MimeiException)
        {
            return null;
        }
    }

    /// <summary>
    /// Adds what a block of versions and states leads to, among the blocks that are stored for versions. A version does not lead to the one before it: that
    /// may have been deleted, and what is listed is reached by the list. Nor to its segment: the log's blocks are its files (<see cref="SegmentChain"/>), kept
    /// and trimmed by rules of their own.
    /// </summary>
    internal static void AddLinks(in Cid cid, ReadOnlySpan<byte> block, List<Cid> links)
    {
        if (!IsPossible(cid, block))
        {
            Leither.Ipfs.Links.AddTo(links, cid.Codec, block);
            return;
        }

        MimeiVersion version;
        try
        {
            version = Read(block, out _);
        }
        catch (Exception e) when (e is DagCborException or MimeiException)
        {
            Leither.Ipfs.Links.AddTo(links, cid.Codec, block);
            return;
        }

        links.Add(version.State);
    }

    /// <summary>Whether a block may be a version: a map of its fields. (No block of a state is such a map.)</summary>
    internal static bool IsPossible(in Cid cid, ReadOnlySpan<byte> block) => cid.Codec == Multicodec.DagCbor && block is [MapOfTen, ..];

    private const byte MapOfTen = 0xAA;

    private void Write(DagCborWriter writer, ReadOnlySpan<byte> signature)
    {
        writer.WriteMapStart(signature.IsEmpty ? 9 : 10);
        writer.WriteKey("log"u8);
        writer.WriteArrayStart(4);
        writer.WriteBytes(Writer.Span);
        writer.WriteUInt64(Position.Epoch);
        writer.WriteUInt64(Position.Sequence);
        writer.WriteCidOrNull(Segment);
        writer.WriteKey("mid"u8);
        writer.WriteBytes(Mid.ToArray());
        if (!signature.IsEmpty)
        {
            writer.WriteKey("sig"u8);
            writer.WriteBytes(signature);
        }

        writer.WriteKey("memo"u8);
        writer.WriteText(Memo);
        writer.WriteKey("prev"u8);
        writer.WriteCidOrNull(Previous);
        writer.WriteKey("time"u8);
        writer.WriteUInt64(Time);
        writer.WriteKey("state"u8);
        writer.WriteCid(State);
        writer.WriteKey("format"u8);
        writer.WriteInt64(Format);
        writer.WriteKey("created"u8);
        writer.WriteInt64(CreatedMs);
        writer.WriteKey("version"u8);
        writer.WriteUInt64(Number);
    }

    private static MimeiVersion Read(ReadOnlySpan<byte> block, out byte[] signature)
    {
        var reader = new DagCborReader(block);
        reader.ReadMapStart(10);
        reader.ReadKey("log"u8);
        reader.ReadArrayStart(4);
        byte[] writer = reader.ReadBytes(Ed25519.PublicKeyLength).ToArray();
        var position = new Position(reader.ReadUInt64(), reader.ReadUInt64());
        Cid segment = reader.ReadCidOrNull();
        reader.ReadKey("mid"u8);
        var mid = new LeitherId(reader.ReadBytes(LeitherId.Length));
        reader.ReadKey("sig"u8);
        signature = reader.ReadBytes(Ed25519.SignatureLength).ToArray();
        reader.ReadKey("memo"u8);
        string memo = reader.ReadText();
        reader.ReadKey("prev"u8);
        Cid previous = reader.ReadCidOrNull();
        reader.ReadKey("time"u8);
        ulong time = reader.ReadUInt64();
        reader.ReadKey("state"u8);
        Cid state = reader.ReadCid();
        reader.ReadKey("format"u8);
        if (reader.ReadInt64() is var format and not Format)
        {
            throw new MimeiException($"ERR the version is of format {format}, which this node does not know");
        }

        reader.ReadKey("created"u8);
        long created = reader.ReadInt64();
        reader.ReadKey("version"u8);
        ulong number = reader.ReadUInt64();
        reader.End();
        return new MimeiVersion
        {
            Mid = mid,
            Number = number,
            Previous = previous,
            State = state,
            Writer = writer,
            Position = position,
            Segment = segment,
            Time = time,
            CreatedMs = created,
            Memo = memo,
        };
    }
}
