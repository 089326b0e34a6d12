using System.Buffers;
using System.Text;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.DagPb;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.UnixFs;

/// <summary>One link of a UnixFS node as it stands in its block.</summary>
/// <param name="Name">Its name; empty where there is none.</param>
/// <param name="Cid">What it leads to.</param>
/// <param name="Tsize">The size of all that it leads to, as its maker claims.</param>
public readonly record struct UnixFsLink(string Name, Cid Cid, ulong? Tsize);

/// <summary>
/// A block as a part of a file system: a raw one is a file, one of DAG-PB says what it is. Decoding checks what the block shows by itself; what it
/// says of others shows when they are read.
/// </summary>
public sealed class UnixFsNode
{
    private static readonly UTF8Encoding _utf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    private UnixFsNode(Cid cid, UnixFsData data, IReadOnlyList<UnixFsLink> links, int blockBytes)
    {
        Cid = cid;
        Data = data;
        Links = links;
        BlockBytes = blockBytes;
    }

    /// <summary>The block.</summary>
    public Cid Cid { get; }

    /// <summary>What it says of itself.</summary>
    public UnixFsData Data { get; }

    /// <summary>What it links to, in the order of the block.</summary>
    public IReadOnlyList<UnixFsLink> Links { get; }

    /// <summary>How many bytes the block has.</summary>
    public int BlockBytes { get; }

    /// <summary>What it is.</summary>
    public UnixFsType Type => Data.Type;

    /// <summary>Whether it is a file.</summary>
    public bool IsFile => Data.IsFile;

    /// <summary>Whether it is a directory, sharded or not.</summary>
    public bool IsDirectory => Data.IsDirectory;

    /// <summary>How many bytes the file has; of a link, its target.</summary>
    public ulong FileSize => Data.FileSize ?? (ulong)Data.Data.Length;

    /// <summary>What its maker claims that it takes with all that it leads to.</summary>
    public ulong TotalSize
    {
        get
        {
            ulong total = (ulong)BlockBytes;
            foreach (UnixFsLink link in Links) total = unchecked(total + (link.Tsize ?? 0)); // a claim: nothing depends on it
            return total;
        }
    }

    /// <summary>Where a symbolic link leads.</summary>
    /// <exception cref="UnixFsException">It is none, or not text.</exception>
    public string Target => Type == UnixFsType.Symlink ? ReadText(Cid, Data.Data.Span, "the target of a link") : throw new UnixFsException(Cid, "it is no symbolic link");

    /// <summary>Reads a block.</summary>
    /// <exception cref="BlockMissingException">It is not there.</exception>
    /// <exception cref="UnixFsException">It is none of UnixFS.</exception>
    public static UnixFsNode Load(IBlockSource source, in Cid cid) => Decode(cid, source.Get(cid) ?? throw new BlockMissingException(cid));

    /// <summary>Reads a block whose bytes are known. The node keeps parts of them.</summary>
    /// <exception cref="MalformedBlockException">It is none of UnixFS.</exception>
    public static UnixFsNode Decode(in Cid cid, ReadOnlyMemory<byte> block)
    {
        if (cid.Codec == Multicodec.Raw)
        {
            return new UnixFsNode(cid, new UnixFsData { Type = UnixFsType.File, Data = block, FileSize = (ulong)block.Length }, [], block.Length);
        }

        if (cid.Codec != Multicodec.DagPb)
        {
            throw new UnixFsException(cid, $"codec 0x{cid.Codec:x} is none of files and directories");
        }

        List<UnixFsLink>? links = null;
        var reader = new DagPbReader(block.Span);
        while (reader.TryReadLink(out DagPbLink link))
        {
            (links ??= []).Add(new UnixFsLink(link.Name.IsEmpty ? "" : ReadText(cid, link.Name, "a name"), link.Hash, link.Tsize));
        }

        UnixFsData data;
        try
        {
            // The message lies in the block: finding where takes no copy.
            int start = reader.HasData ? OffsetOf(block.Span, reader.Data) : throw new UnixFsException(cid, "it has no data");
            data = UnixFsData.Decode(block.Slice(start, reader.Data.Length));
        }
        catch (UnixFsException e) when (e.Cid.IsNone)
        {
            throw new UnixFsException(cid, e.Message);
        }

        var node = new UnixFsNode(cid, data, links ?? (IReadOnlyList<UnixFsLink>)[], block.Length);
        node.Check();
        return node;
    }

    /// <summary>The same node with its data in memory of its own.</summary>
    internal UnixFsNode Detached() => new(
        Cid,
        new UnixFsData
        {
            Type = Data.Type,
            Data = Data.Data.ToArray(),
            FileSize = Data.FileSize,
            BlockSizes = Data.BlockSizes,
            HashType = Data.HashType,
            Fanout = Data.Fanout,
            Mode = Data.Mode,
            Mtime = Data.Mtime,
        },
        Links,
        BlockBytes);

    private void Check()
    {
        switch (Type)
        {
            case UnixFsType.File or UnixFsType.Raw:
                if (Data.BlockSizes.Count != Links.Count)
                {
                    throw new UnixFsException(Cid, $"{Links.Count} links, but {Data.BlockSizes.Count} block sizes");
                }

                ulong total = (ulong)Data.Data.Length;
                for (int i = 0; i < Links.Count; i++)
                {
                    if (Links[i].Name.Length > 0) throw new UnixFsException(Cid, "a part of a file has a name");
                    total += Data.BlockSizes[i];
                    if (total < Data.BlockSizes[i] || total > long.MaxValue) throw new UnixFsException(Cid, "the file would be longer than 63 bits can say");
                }

                if ((Data.FileSize ?? 0) != total)
                {
                    throw new UnixFsException(Cid, $"the file is said to have {Data.FileSize ?? 0} bytes, but its parts have {total}");
                }

                break;

            case UnixFsType.Symlink when Links.Count > 0:
                throw new UnixFsException(Cid, "a symbolic link has links of its own");
        }
    }

    private static int OffsetOf(ReadOnlySpan<byte> block, ReadOnlySpan<byte> part)
    {
        block.Overlaps(part, out int offset);
        return part.IsEmpty ? 0 : offset;
    }

    private static string ReadText(Cid cid, ReadOnlySpan<byte> bytes, string what)
    {
        try
        {
            return _utf8.GetString(bytes);
        }
        catch (DecoderFallbackException)
        {
            throw new UnixFsException(cid, $"{what} is not UTF-8");
        }
    }
}
