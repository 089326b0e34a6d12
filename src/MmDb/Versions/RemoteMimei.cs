// A MiMei of which nothing is here but its newest version's block: what a session reads of it comes block by block from other nodes, as it is asked for, and the loop
// waits for none of it: a command that meets a block which is not here is run again once it is (Dispatcher).

using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Versions.Tree;

namespace Leither.MmDb.Versions;

/// <summary>Opens versions whose blocks are elsewhere.</summary>
public static class RemoteMimei
{
    /// <summary>Brings a block that is missing into the store.</summary>
    /// <param name="block">Which one.</param>
    /// <param name="cancellation">Ends waiting for it.</param>
    /// <exception cref="IOException">Nobody gives it.</exception>
    public delegate Task Fetch(Cid block, CancellationToken cancellation);

    /// <summary>Opens a version, read-only, as a place for sessions. (Any thread.)</summary>
    /// <param name="mid">The MiMei.</param>
    /// <param name="version">The version: who calls has checked its signature.</param>
    /// <param name="blocks">Where blocks are that came already. Whoever puts one there has checked it.</param>
    /// <param name="fetch">Brings the others there.</param>
    /// <param name="like">A keyspace of this server, whose settings it gets.</param>
    /// <param name="use">Ends with it.</param>
    /// <param name="cancellation">Ends waiting for the first blocks.</param>
    /// <exception cref="IOException">A block cannot be had, or is none.</exception>
    public static async Task<Mimei> OpenAsync(
        LeitherId mid, MimeiVersion version, IBlockstore blocks, Fetch fetch, Keyspace like, IDisposable? use = null, CancellationToken cancellation = default)
    {
        StateRoot root;
        while (true)
        {
            try
            {
                root = StateRoot.Read(new NodeStore(blocks), version.State);
                break;
            }
            catch (MissingBlockException e)
            {
                await fetch(e.Link, cancellation).ConfigureAwait(false);
            }
        }

        var keyspace = new Keyspace(like.Options, like.HashSeed) { IsWriter = false };
        keyspace.Source = new StateSource(new NodeStore(blocks), root, keyspace, use);
        keyspace.StandsAtMs = version.TimeMs;
        foreach ((byte[] name, byte[] code) in root.Functions)
        {
            keyspace.Effects.FunctionLoad(System.Text.Encoding.Latin1.GetString(name), code);
        }

        keyspace.Files = root.Files;
        keyspace.Effects.EndEntry();
        keyspace.Dirty = 0;
        return new Mimei(keyspace, mid)
        {
            Place = new MimeiPlace(MimeiPlaceKind.Version, version.Number),
            PlaceSequence = version.Position.Sequence,
            RemoteState = version.State,
            Fetch = fetch,
            Fetched = blocks,
            HoldsFiles = !root.Files.IsNone,
        };
    }
}
