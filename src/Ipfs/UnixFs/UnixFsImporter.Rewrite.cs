using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.UnixFs;

// Writing into a file costs what is written: chunks that it does not touch, and nodes over such chunks alone, are linked as they are and never read. Chunks
// have one size, so what lies behind the written bytes is cut where it was, and the file is the same as if all of it had been imported anew.
//
// That holds where the file was cut in that way itself. Whether it was shows on the way from the root to the places where the old and the new meet; what
// is linked whole is not looked into. A file that was cut otherwise, or not all of it, is read and cut from there on.
public sealed partial class UnixFsImporter
{
    /// <summary>How a file was cut, as far as its root shows; null where it was cut in no way that is known here, or is one leaf.</summary>
    internal static UnixFsProfile? ProfileOf(IBlockSource source, UnixFsNode file, UnixFsProfile likely)
    {
        if (file.Links.Count == 0) return null;
        foreach (UnixFsProfile cut in (UnixFsProfile[])[likely, UnixFsProfile.V0, UnixFsProfile.V1, UnixFsProfile.V0 with { ChunkBytes = UnixFsProfile.V1.ChunkBytes }])
        {
            int height = HeightOf(cut, (long)file.FileSize);
            if (!IsRegular(cut, file, height, (long)file.FileSize)) continue;
            Cid leaf = file.Links[0].Cid;
            for (int at = height - 1; at > 0; at--)
            {
                UnixFsNode below = UnixFsNode.Load(source, leaf);
                if (below.Links.Count == 0) return null;
                leaf = below.Links[0].Cid;
            }

            return cut with { CidVersion = file.Cid.Version, HasRawLeaves = leaf.Codec == Multicodec.Raw };
        }

        return null;
    }

    /// <summary>A file that was cut as this importer does it, with other bytes in it.</summary>
    internal ImportedNode Rewrite(IBlockSource source, UnixFsNode old, FileSplice content, uint? mode, UnixTime? mtime)
    {
        long size = (long)old.FileSize, chunk = Profile.ChunkBytes;
        long from = Math.Min(content.Offset, size) / chunk * chunk;
        if (!IsCutAt(source, old, from)) from = 0;
        var tree = new Tree(this, mode, mtime);
        int height = HeightOf(Profile, size);
        Link(source, tree, old, height, 0, 0, from, isLast: false);
        content.SkipTo(from);
        AddLeaves(tree, new Queue<(byte[], int)>(), content, () => content.IsBehind && content.Place < size && IsCutAt(source, old, content.Place));
        if (content.Place < size) Link(source, tree, old, height, 0, content.Place, size, isLast: true);
        return tree.Finish();
    }

    /// <summary>The levels above the leaves; one at least.</summary>
    private static int HeightOf(UnixFsProfile cut, long bytes)
    {
        int height = 1;
        for (long leaves = (bytes + cut.ChunkBytes - 1) / cut.ChunkBytes; leaves > cut.MaxLinks; leaves = (leaves + cut.MaxLinks - 1) / cut.MaxLinks) height++;
        return height;
    }

    /// <summary>How many bytes a whole node has below it that stands so high; a leaf stands at 0.</summary>
    private static long BytesAt(UnixFsProfile cut, int height)
    {
        long bytes = cut.ChunkBytes;
        for (; height > 0 && bytes < long.MaxValue / cut.MaxLinks; height--) bytes *= cut.MaxLinks;
        return height > 0 ? long.MaxValue : bytes;
    }

    /// <summary>Whether a node is one that this cut gives, as far as it shows.</summary>
    private static bool IsRegular(UnixFsProfile cut, UnixFsNode node, int height, long bytes)
    {
        if (!node.IsFile || (long)node.FileSize != bytes || !node.Data.Data.IsEmpty || node.Links.Count == 0) return false;
        long each = BytesAt(cut, height - 1);
        if (node.Links.Count != (bytes - 1) / each + 1) return false;
        for (int i = 0; i < node.Links.Count; i++)
        {
            if (node.Data.BlockSizes[i] != (ulong)Math.Min(each, bytes - i * each)) return false;
        }

        return true;
    }

    /// <summary>Whether a leaf begins, or the file ends, at a place, and all nodes on the way there are as this cut gives them.</summary>
    private bool IsCutAt(IBlockSource source, UnixFsNode file, long place)
    {
        long size = (long)file.FileSize, start = 0, bytes = size;
        if (place % Profile.ChunkBytes != 0) return false;
        UnixFsNode node = file;
        for (int height = HeightOf(Profile, size); IsRegular(Profile, node, height, bytes); height--)
        {
            long each = BytesAt(Profile, height - 1);
            if (height == 1 || (place - start) % each == 0) return true;
            int child = (int)((place - start) / each);
            if (child >= node.Links.Count) return false;
            start += child * each;
            bytes = (long)node.Data.BlockSizes[child];
            node = UnixFsNode.Load(source, node.Links[child].Cid);
        }

        return false;
    }

    /// <summary>Adds what a node has between two places, both of them where a leaf begins or the file ends, with as few nodes as it takes.</summary>
    private void Link(IBlockSource source, Tree tree, UnixFsNode node, int height, long start, long from, long to, bool isLast)
    {
        long each = BytesAt(Profile, height - 1);
        for (int i = 0; i < node.Links.Count; i++)
        {
            long begin = start + i * each, end = begin + (long)node.Data.BlockSizes[i];
            if (end <= from || begin >= to) continue;

            // The last node of a level may have less than others, and stays as it is where nothing comes behind it.
            if (begin >= from && end <= to && (end - begin == each || (isLast && end == to)))
            {
                tree.AddWhole(height - 1, new ImportedNode(node.Links[i].Cid, node.Links[i].Tsize ?? 0, (ulong)(end - begin)));
                continue;
            }

            UnixFsNode below = UnixFsNode.Load(source, node.Links[i].Cid);
            if (height == 1 || !IsRegular(Profile, below, height - 1, end - begin)) throw new UnixFsException(below.Cid, "it is not what its parent promises");
            Link(source, tree, below, height - 1, begin, from, to, isLast);
        }
    }
}
