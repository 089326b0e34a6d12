using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Multiformats;

namespace Leither.MmDb.Versions;

/// <content>Making the list of versions again.</content>
public sealed partial class Versioner
{
    /// <summary>Makes a list of versions that is lost or damaged again, of what lies in the store. Null: there was nothing to do; otherwise what was done. (Any thread.)</summary>
    /// <exception cref="IOException">The disk failed.</exception>
    internal string? RepairList()
    {
        string problem = "is missing";
        try
        {
            if (List.IsStored)
            {
                return null;
            }
        }
        catch (MimeiException e)
        {
            problem = $"is damaged ({e.Message})";
        }

        var found = new Dictionary<ulong, (Cid Block, MimeiVersion Version)>();
        foreach (Cid cid in Blocks.Cids())
        {
            if (TryReadVersion(cid) is { } version && !(found.TryGetValue(version.Number, out (Cid Block, MimeiVersion Version) other) && other.Version.CreatedMs >= version.CreatedMs))
            {
                found[version.Number] = (cid, version);
            }
        }

        if (found.Count == 0 && problem == "is missing")
        {
            return null;
        }

        // Whether they are of the log that is here is not known any more: the next one is made of all there is.
        var list = new VersionList(_options.Files, found.Select(static v => new ListedVersion(v.Key, v.Value.Block, IsOwn: false)));
        lock (_openGate)
        {
            _list = list;
        }

        return $"the list of versions {problem}; it was made again of the {found.Count} versions whose blocks are here: which one was released is lost, and what was "
            + "deleted lately may be back (MIMEI RELEASE, MIMEI DELVERS)";
    }

    private MimeiVersion? TryReadVersion(in Cid cid)
    {
        try
        {
            return cid.Codec == Multicodec.DagCbor && Blocks.TryGetLength(cid, out int length) && length <= MimeiVersion.MaxBlockBytes
                && Blocks.Get(cid) is { } block && MimeiVersion.IsPossible(cid, block) ? MimeiVersion.Decode(block, Writers) : null;
        }
        catch (Exception e) when (e is MimeiException or BlockCorruptedException)
        {
            // No version of this MiMei, or none any more.
            return null;
        }
    }
}
