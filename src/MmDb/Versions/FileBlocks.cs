using Leither.Ipfs;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Multiformats;
using Leither.Ipfs.UnixFs;
using Leither.MmDb.Versions.Tree;

namespace Leither.MmDb.Versions;

/// <summary>
/// The blocks of a MiMei's files: UnixFS, so DAG-PB and raw ones, and nothing else. They lie among those of its versions, with the same rights.
/// </summary>
/// <remarks>https://specs.ipfs.tech/unixfs/</remarks>
internal static class FileBlocks
{
    /// <summary>Sees to it that all blocks of files are in a store, and kept there for a while: those that are not come from elsewhere. (Any thread that may wait.)</summary>
    /// <param name="root">The root of the files.</param>
    /// <param name="blocks">The store.</param>
    /// <param name="loose">Puts into it.</param>
    /// <param name="from">Where those are that it lacks.</param>
    /// <param name="step">Is called for each block; may throw to end it.</param>
    /// <exception cref="MimeiException">They are not files of UnixFS.</exception>
    /// <exception cref="MissingBlockException">A block is nowhere.</exception>
    public static void Bring(in Cid root, IBlockstore blocks, Leither.Ipfs.Content.LooseBlocks loose, IBlockSource from, Action step)
    {
        RequireRoot(root, blocks.Get(root) ?? from.Get(root) ?? throw new MissingBlockException(root));
        if (loose.IsWhole(root))
        {
            return;
        }

        Cid top = root;
        Walk(
            root,
            cid =>
            {
                // What is there and leads to others is put again, and so is the root: then a collection keeps what it leads to.
                bool isHere = blocks.Has(cid);
                if (cid.Codec == Multicodec.Raw && isHere && cid != top)
                {
                    return null;
                }

                byte[] block = (isHere ? blocks.Get(cid) : from.Get(cid)) ?? throw new MissingBlockException(cid);
                loose.Put(cid, block);
                return block;
            },
            step);
    }

    /// <summary>Whether all blocks of files are in a store; those with links are read.</summary>
    /// <exception cref="MimeiException">They are not files of UnixFS.</exception>
    /// <exception cref="MissingBlockException">A block is not there.</exception>
    public static void Check(IBlockSource blocks, in Cid root, Action step)
    {
        RequireRoot(root, blocks.Get(root) ?? throw new MissingBlockException(root));
        Walk(
            root,
            cid => cid.Codec != Multicodec.Raw ? blocks.Get(cid) ?? throw new MissingBlockException(cid) : blocks.Has(cid) ? null : throw new MissingBlockException(cid),
            step);
    }

    /// <summary>Goes through all blocks of files, each that has links once.</summary>
    /// <param name="root">Their root.</param>
    /// <param name="look">Gives a block that may have links, and null of a raw one.</param>
    /// <param name="step">Is called for each.</param>
    private static void Walk(in Cid root, Func<Cid, byte[]?> look, Action step)
    {
        var seen = new HashSet<Cid>();
        var left = new Stack<Cid>();
        var links = new List<Cid>();
        left.Push(root);
        while (left.TryPop(out Cid cid))
        {
            if (cid.Codec != Multicodec.Raw && !seen.Add(cid))
            {
                continue;
            }

            step();
            if (look(cid) is not { } block)
            {
                continue;
            }

            AddLinks(cid, block, links);
            for (int i = links.Count - 1; i >= 0; i--)
            {
                left.Push(links[i]);
            }
        }
    }

    /// <summary>Finds what a block of files links to.</summary>
    /// <exception cref="MimeiException">It is none.</exception>
    public static void AddLinks(in Cid cid, ReadOnlySpan<byte> block, List<Cid> links)
    {
        links.Clear();
        if (cid.Codec == Multicodec.Raw)
        {
            return;
        }

        if (cid.Codec != Multicodec.DagPb)
        {
            throw new MimeiException($"ERR block {cid} is of codec 0x{cid.Codec:x}; a MiMei of files holds files and folders of UnixFS: DAG-PB and raw blocks");
        }

        try
        {
            Links.AddTo(links, cid.Codec, block);
        }
        catch (MalformedBlockException e)
        {
            throw new MimeiException($"ERR block {cid} is malformed: {e.Message}", e);
        }
    }

    /// <summary>Sees to it that a root is a file or a folder.</summary>
    /// <exception cref="MimeiException">It is neither.</exception>
    public static void RequireRoot(in Cid root, byte[] block)
    {
        AddLinks(root, block, []);
        try
        {
            UnixFsNode node = UnixFsNode.Decode(root, block);
            if (node.IsFile || node.IsDirectory)
            {
                return;
            }
        }
        catch (Exception e) when (e is UnixFsException or MalformedBlockException)
        {
            throw new MimeiException($"ERR {root} is neither a file nor a folder of UnixFS: {e.Message}", e);
        }

        throw new MimeiException($"ERR {root} is neither a file nor a folder of UnixFS");
    }
}
