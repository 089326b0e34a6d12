using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;

namespace Leither.MmDb;

/// <summary>
/// What a MiMei refers to, so that it is kept: another MiMei, of which at least one version stays; a version of one, which stays; or a block among its own versions' blocks,
/// which stays with all that it leads to.
/// </summary>
/// <remarks>
/// In the MiMei's folder they are a block of DAG-CBOR, <c>{ refs: [[mid, version] | link …], format: 1 }</c>, in the order in which they came: the mid as its 20
/// bytes, version 0 for the MiMei as a whole.
/// </remarks>
/// <param name="Mid">The MiMei; none of a block.</param>
/// <param name="Version">Its version; 0: as a whole.</param>
/// <param name="Block">The block; none of a MiMei.</param>
public readonly record struct MimeiReference(LeitherId Mid, ulong Version, Cid Block)
{
    /// <summary>How many a MiMei may have.</summary>
    public const int MaxCount = 1000;

    private const int Format = 1;

    /// <summary>Whether it is one to a block.</summary>
    public bool IsBlock => !Block.IsNone;

    /// <inheritdoc/>
    public override string ToString() => IsBlock ? Block.ToString()
        : Version == 0 ? Mid.ToString() : string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{Mid}/{Version}");

    /// <summary>Encodes those of a MiMei.</summary>
    public static byte[] Encode(IReadOnlyCollection<MimeiReference> references)
    {
        var writer = new DagCborWriter();
        writer.WriteMapStart(2);
        writer.WriteKey("refs"u8);
        writer.WriteArrayStart(references.Count);
        foreach (MimeiReference reference in references)
        {
            if (reference.IsBlock)
            {
                writer.WriteCid(reference.Block);
                continue;
            }

            writer.WriteArrayStart(2);
            writer.WriteBytes(reference.Mid.ToArray());
            writer.WriteUInt64(reference.Version);
        }

        writer.WriteKey("format"u8);
        writer.WriteInt64(Format);
        return writer.ToArray();
    }

    /// <summary>Decodes those of a MiMei.</summary>
    /// <exception cref="DagCborException">They are damaged, or of a newer format.</exception>
    public static IReadOnlyList<MimeiReference> Decode(ReadOnlySpan<byte> block)
    {
        var references = new List<MimeiReference>();
        var reader = new DagCborReader(block);
        reader.ReadMapStart(2);
        reader.ReadKey("refs"u8);
        for (int count = reader.ReadArrayStart(); count > 0; count--)
        {
            if (reader.Peek() == DagCborKind.Link)
            {
                references.Add(new MimeiReference(default, 0, reader.ReadCid()));
                continue;
            }

            reader.ReadArrayStart(2);
            references.Add(new MimeiReference(new LeitherId(reader.ReadBytes(LeitherId.Length)), reader.ReadUInt64(), default));
        }

        reader.ReadKey("format"u8);
        if (reader.ReadInt64() is var format and not Format)
        {
            throw new DagCborException($"they are of format {format}, which this version does not know", reader.Position);
        }

        reader.End();
        return references;
    }
}
