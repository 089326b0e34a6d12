// A content addressed archive: blocks one behind the other, each with its CID.
//
//   version 1 (https://ipld.io/specs/transport/car/carv1/)
//       <varint length> <header, DAG-CBOR: { roots: [CID, …], version: 1 }>
//       { <varint length of CID and block> <CID> <block> } …                       to the end of the stream
//
//   version 2 (https://ipld.io/specs/transport/car/carv2/): a version 1 within, and an index behind it
//       <pragma, 11 bytes> <characteristics, 16> <data offset, 8> <data size, 8> <index offset, 8, 0 if there is none>
//       … <version 1, at the data offset, of the data size> … <index>
//
//   the index "MultihashIndexSorted" as go-car writes it, all numbers little-endian. The specification's text leaves out the two numbers of buckets and
//   calls the length of a bucket, which is in bytes, a count; what is in use is this:
//       <varint 0x0401> <int32 number of codes>
//           { <uint64 multihash code> <int32 number of widths>
//               { <uint32 width: digest and offset> <uint64 length in bytes> { <digest> <uint64 offset into the data> } … sorted by digest } … } …

using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.Car;

/// <summary>The sizes of a CAR, and its header.</summary>
public static class CarFormat
{
    /// <summary>The largest block that is read or written: what IPFS passes on between nodes (Bitswap's limit).</summary>
    public const int MaxBlockLength = 2 * 1024 * 1024;

    /// <summary>The largest header that is read or written: some 25,000 roots.</summary>
    public const int MaxHeaderLength = 1024 * 1024;

    /// <summary>The largest length that can stand before a block.</summary>
    internal const int MaxSectionLength = Cid.MaxLength + MaxBlockLength;

    /// <summary>What a version 2 has in front of its data at least: pragma and header.</summary>
    internal const int V2PrefixLength = 51;

    /// <summary>Where the four fields of the version 2 header begin.</summary>
    internal const int V2Characteristics = 11, V2DataOffset = 27, V2DataSize = 35, V2IndexOffset = 43;

    /// <summary>A header of version 2 without roots, as a version 1 reader would see it: always these bytes.</summary>
    internal static ReadOnlySpan<byte> V2Pragma => [0x0A, 0xA1, 0x67, (byte)'v', (byte)'e', (byte)'r', (byte)'s', (byte)'i', (byte)'o', (byte)'n', 0x02];

    /// <summary>The header of version 1, without the length that stands before it.</summary>
    /// <exception cref="ArgumentException">There are too many roots.</exception>
    public static byte[] EncodeHeader(IReadOnlyList<Cid> roots)
    {
        var writer = new DagCborWriter();
        writer.WriteMapStart(2);
        writer.WriteKey("roots"u8);
        writer.WriteArrayStart(roots.Count);
        for (int i = 0; i < roots.Count; i++)
        {
            writer.WriteCid(roots[i]);
        }

        writer.WriteKey("version"u8);
        writer.WriteInt64(1);
        return writer.Length <= MaxHeaderLength ? writer.ToArray()
            : throw new ArgumentException($"{roots.Count} roots make a header of {writer.Length} bytes; the limit is {MaxHeaderLength}.", nameof(roots));
    }

    /// <exception cref="DagCborException">It is no header of version 1.</exception>
    internal static List<Cid> DecodeHeader(ReadOnlySpan<byte> header)
    {
        var roots = new List<Cid>();
        var reader = new DagCborReader(header);
        reader.ReadMapStart(2);
        reader.ReadKey("roots"u8);
        int count = reader.ReadArrayStart();
        for (int i = 0; i < count; i++)
        {
            roots.Add(reader.ReadCid());
        }

        reader.ReadKey("version"u8);
        int start = reader.Position;
        if (reader.ReadUInt64() != 1)
        {
            throw new DagCborException("the version is not 1", start);
        }

        reader.End();
        return roots;
    }
}
