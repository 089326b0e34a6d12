// From a path to a block: /ipfs/CID/a/b, through directories, shards and the maps and arrays of DAG-CBOR and DAG-JSON. https://specs.ipfs.tech/unixfs/#unixfs-paths
//
// Symbolic links are shown and never followed: nobody agrees on what following them means.

using System.Globalization;
using System.Text;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.UnixFs;

/// <summary>Where a path leads.</summary>
/// <param name="Cid">The block.</param>
/// <param name="Rest">What is left of the path: the way to a value inside a block of DAG-CBOR or DAG-JSON; otherwise empty.</param>
/// <param name="Roots">The block of each name on the way, the first and the last included.</param>
public sealed record ResolvedPath(Cid Cid, IReadOnlyList<string> Rest, IReadOnlyList<Cid> Roots);

/// <summary>Paths of content.</summary>
public static class UnixFsPath
{
    /// <summary>The most names that a path may have.</summary>
    public const int MaxSegments = 1024;

    /// <summary>Reads "/ipfs/CID/a/b", "CID/a/b" or "CID": a CID and the names behind it, of which "." and ".." are gone.</summary>
    /// <exception cref="UnixFsPathException">It begins with no CID, or leads above it.</exception>
    public static (Cid Root, string[] Segments) Parse(string path)
    {
        string rest = path.StartsWith("/ipfs/", StringComparison.Ordinal) ? path["/ipfs/".Length..] : path.StartsWith("ipfs://", StringComparison.Ordinal) ? path["ipfs://".Length..] : path;
        int slash = rest.IndexOf('/', StringComparison.Ordinal);
        if (!Cid.TryParse(slash < 0 ? rest : rest[..slash], out Cid root))
        {
            throw new UnixFsPathException($"'{Shown(path)}' is no path of content: it begins with no CID", isMissing: false);
        }

        return (root, Normalize(slash < 0 ? "" : rest[slash..]));
    }

    /// <summary>The names of a path, of which "." and ".." are gone.</summary>
    /// <exception cref="UnixFsPathException">It leads above its beginning, or has too many names.</exception>
    public static string[] Normalize(string path)
    {
        var names = new List<string>();
        foreach (string name in path.Split('/', StringSplitOptions.RemoveEmptyEntries))
        {
            if (name == ".") continue;
            if (name == "..")
            {
                if (names.Count == 0) throw new UnixFsPathException($"'{Shown(path)}' leads above its root", isMissing: false);
                names.RemoveAt(names.Count - 1);
                continue;
            }

            if (names.Count == MaxSegments) throw new UnixFsPathException($"A path of more than {MaxSegments} names", isMissing: false);
            names.Add(name);
        }

        return [.. names];
    }

    /// <summary>Follows a path's text.</summary>
    /// <exception cref="UnixFsPathException">It leads nowhere.</exception>
    /// <exception cref="BlockMissingException">A block on the way is not there.</exception>
    /// <exception cref="MalformedBlockException">A block on the way is not what it should be.</exception>
    public static ResolvedPath Resolve(IBlockSource source, string path)
    {
        (Cid root, string[] segments) = Parse(path);
        return Resolve(source, root, segments);
    }

    /// <summary>Follows names from a block on. The last block itself is not read.</summary>
    /// <exception cref="UnixFsPathException">They lead nowhere.</exception>
    /// <exception cref="BlockMissingException">A block on the way is not there.</exception>
    /// <exception cref="MalformedBlockException">A block on the way is not what it should be.</exception>
    public static ResolvedPath Resolve(IBlockSource source, in Cid root, IReadOnlyList<string> segments)
    {
        Cid cid = root;
        List<Cid> roots = [root];
        int at = 0;
        while (at < segments.Count)
        {
            if (cid.Codec is Multicodec.DagCbor or Multicodec.DagJson)
            {
                byte[] block = source.Get(cid) ?? throw new BlockMissingException(cid);
                if (cid.Codec == Multicodec.DagJson) block = DagJson.DagJson.ToCbor(block);
                if (!TryFollow(block, cid, segments, ref at, out Cid next)) return new ResolvedPath(cid, [.. segments.Skip(at)], roots);
                cid = next;
            }
            else
            {
                UnixFsNode node = UnixFsNode.Load(source, cid);
                if (!node.IsDirectory)
                {
                    throw new UnixFsPathException($"'{Shown(segments[at])}' cannot be in {cid}, which is no directory", isMissing: false);
                }

                if (!UnixFsDirectory.TryFind(source, node, segments[at], out UnixFsLink entry)) throw Missing(segments[at], cid);
                cid = entry.Cid;
                at++;
            }

            roots.Add(cid);
        }

        return new ResolvedPath(cid, [], roots);
    }

    /// <summary>Follows names inside a block to a link; false where they end at a value of the block, and then nothing is taken.</summary>
    private static bool TryFollow(byte[] block, Cid cid, IReadOnlyList<string> segments, ref int at, out Cid link)
    {
        var reader = new DagCborReader(block);
        for (int i = at; ; i++)
        {
            DagCborKind kind = reader.Peek();
            if (kind == DagCborKind.Link)
            {
                // A block that is nothing but a link leads on by itself; it takes no name.
                link = reader.ReadCid();
                at = i;
                return true;
            }

            if (i == segments.Count)
            {
                reader.Skip();
                link = default;
                return false;
            }

            string name = segments[i];
            switch (kind)
            {
                case DagCborKind.Map:
                    byte[] key = Encoding.UTF8.GetBytes(name);
                    int pairs = reader.ReadMapStart();
                    bool found = false;
                    for (int pair = 0; pair < pairs && !found; pair++)
                    {
                        found = reader.ReadKey().SequenceEqual(key);
                        if (!found) reader.Skip();
                    }

                    if (!found) throw Missing(name, cid);
                    break;

                case DagCborKind.Array:
                    int count = reader.ReadArrayStart();
                    if (!int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out int index) || index >= count) throw Missing(name, cid);
                    for (; index > 0; index--) reader.Skip();
                    break;

                default:
                    throw new UnixFsPathException($"'{Shown(name)}' cannot be in a value of {cid} that is neither map nor array", isMissing: false);
            }
        }
    }

    private static UnixFsPathException Missing(string name, Cid cid) => new($"There is no '{Shown(name)}' in {cid}", isMissing: true);

    private static string Shown(string text) => text.Length <= 200 ? text : text[..200] + "…";
}
