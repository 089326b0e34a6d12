using System.Text;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.DagPb;

/// <summary>One link of a node. Without a name and with an empty one are two things on the wire.</summary>
/// <param name="Hash">What it points to.</param>
/// <param name="Name">Its name, such as that of a file in a folder.</param>
/// <param name="Tsize">The size of all that it leads to; a claim, not a fact.</param>
public sealed record PbLink(Cid Hash, string? Name = null, ulong? Tsize = null);

/// <summary>A DAG-PB node in memory. <see cref="DagPbReader"/> draws the format.</summary>
public sealed class PbNode
{
    private static readonly UTF8Encoding _utf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>A node of links and, unless null, data. The links are taken as they are and sorted when they are written.</summary>
    public PbNode(IReadOnlyList<PbLink> links, byte[]? data = null)
    {
        Links = links;
        Data = data;
    }

    /// <summary>The links, in the order in which they were read or given.</summary>
    public IReadOnlyList<PbLink> Links { get; }

    /// <summary>The node's own bytes. None and empty are two things on the wire.</summary>
    public byte[]? Data { get; }

    /// <summary>Reads a block. Links keep their order; data may stand before them, as the specification asks of readers.</summary>
    /// <exception cref="DagPbException">It is not DAG-PB.</exception>
    public static PbNode Decode(ReadOnlySpan<byte> block) => Decode(block, out _);

    /// <summary>Reads a block and tells whether <see cref="Encode"/> gives the same bytes.</summary>
    /// <exception cref="DagPbException">It is not DAG-PB.</exception>
    public static PbNode Decode(ReadOnlySpan<byte> block, out bool isCanonical)
    {
        var links = new List<PbLink>();
        var reader = new DagPbReader(block);
        while (reader.TryReadLink(out DagPbLink link))
        {
            links.Add(new PbLink(link.Hash, link.HasName ? ReadName(link.Name) : null, link.Tsize));
        }

        isCanonical = reader.IsCanonical;
        return new PbNode(links, reader.HasData ? reader.Data.ToArray() : null);
    }

    /// <summary>The node's one encoding: links in the order of their names' bytes (equal names in the order given), then the data.</summary>
    public byte[] Encode()
    {
        var names = new byte[Links.Count][];
        var order = new int[Links.Count];
        int length = 0;
        for (int i = 0; i < order.Length; i++)
        {
            order[i] = i;
            names[i] = Links[i].Name is { } name ? _utf8.GetBytes(name) : [];
            length += FieldLength(LinkLength(Links[i], names[i]));
        }

        Array.Sort(order, (a, b) => names[a].AsSpan().SequenceCompareTo(names[b]) is var byName && byName != 0 ? byName : a.CompareTo(b));
        length += Data == null ? 0 : FieldLength(Data.Length);
        byte[] bytes = new byte[length];
        int at = 0;
        foreach (int i in order)
        {
            PbLink link = Links[i];
            bytes[at++] = DagPbReader.LinksTag;
            at += Varint.Write(bytes.AsSpan(at), (ulong)LinkLength(link, names[i]));
            bytes[at++] = DagPbReader.HashTag;
            at += Varint.Write(bytes.AsSpan(at), (ulong)link.Hash.Length);
            at += link.Hash.Write(bytes.AsSpan(at));
            if (link.Name != null)
            {
                bytes[at++] = DagPbReader.NameTag;
                WriteBytes(names[i]);
            }

            if (link.Tsize is { } size)
            {
                bytes[at++] = DagPbReader.TsizeTag;
                at += Varint.Write(bytes.AsSpan(at), size);
            }
        }

        if (Data != null)
        {
            bytes[at++] = DagPbReader.DataTag;
            WriteBytes(Data);
        }

        return bytes;

        void WriteBytes(byte[] field)
        {
            at += Varint.Write(bytes.AsSpan(at), (ulong)field.Length);
            field.CopyTo(bytes.AsSpan(at));
            at += field.Length;
        }
    }

    private static int LinkLength(PbLink link, byte[] name)
    {
        if (link.Hash.IsNone || link.Tsize > Varint.MaxValue)
        {
            throw new InvalidOperationException($"The link '{link.Name}' has no hash, or a size beyond 63 bits.");
        }

        return FieldLength(link.Hash.Length)
            + (link.Name == null ? 0 : FieldLength(name.Length))
            + (link.Tsize is { } size ? 1 + Varint.Length(size) : 0);
    }

    /// <summary>A tag, a length and as many bytes.</summary>
    private static int FieldLength(int length) => checked(1 + Varint.Length((ulong)length) + length);

    private static string ReadName(ReadOnlySpan<byte> name)
    {
        try
        {
            return _utf8.GetString(name);
        }
        catch (DecoderFallbackException)
        {
            throw new DagPbException("a link's name is not UTF-8", 0);
        }
    }
}
