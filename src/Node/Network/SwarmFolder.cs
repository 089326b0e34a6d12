// What of the swarm outlives the node, in DIR/swarm: text, a line each, so that people can read it.
//
//   filters    networks that nothing is exchanged with:  10.0.0.0/8
//   peers      where peers were that we were connected with, the latest first:  /ip4/10.0.0.7/tcp/4800/p2p/12D3Koo…
//
// Each file is replaced whole, by one rename. Filters are a wish and durable when they are acknowledged; a line that is none stops the start of the network, since a
// filter must not be lost in silence. Peers are hearsay: what cannot be read is left out.

using System.Net;
using System.Text;
using Leither.Ipfs.Files;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Configuration;

namespace Leither.Node.Network;

/// <summary>The files of the swarm. One thread at a time.</summary>
internal sealed class SwarmFolder(string path)
{
    /// <summary>How many peers are remembered.</summary>
    public const int MaxPeers = 1024;

    /// <summary>How many addresses of each.</summary>
    public const int MaxAddresses = 8;

    private const string FiltersFile = "filters", PeersFile = "peers";

    public List<IPNetwork> LoadFilters()
    {
        List<IPNetwork> filters = [];
        foreach (string line in Lines(FiltersFile))
        {
            filters.Add(PeerAddress.TryParseNetwork(line, out IPNetwork network) ? network
                : throw new IOException($"{Path.Combine(path, FiltersFile)} has a line that is no network: '{line}'. Correct it or take it away"));
        }

        return filters;
    }

    public void SaveFilters(IEnumerable<IPNetwork> filters) => Save(FiltersFile, filters.Select(static f => f.ToString()));

    public List<(PeerId Peer, List<Multiaddr> Addresses)> LoadPeers()
    {
        List<(PeerId Peer, List<Multiaddr> Addresses)> peers = [];
        foreach (string line in Lines(PeersFile))
        {
            if (!Multiaddr.TryParse(line, out Multiaddr? address) || !address.TryGetPeerId(out PeerId peer) || address.WithoutPeer() is not { } where) continue;
            if (peers.Count == 0 || peers[^1].Peer != peer)
            {
                if (peers.Count == MaxPeers) break;
                peers.Add((peer, []));
            }

            if (peers[^1].Addresses.Count < MaxAddresses) peers[^1].Addresses.Add(where);
        }

        return peers;
    }

    public void SavePeers(IEnumerable<(PeerId Peer, List<Multiaddr> Addresses)> peers) =>
        Save(PeersFile, peers.Take(MaxPeers).SelectMany(static known => known.Addresses.Take(MaxAddresses).Select(address => address.WithPeer(known.Peer).ToString())));

    private IEnumerable<string> Lines(string name)
    {
        string file = Path.Combine(path, name);
        return File.Exists(file) ? File.ReadLines(file, Encoding.ASCII).Select(static line => line.Trim()).Where(static line => line.Length > 0 && line[0] != '#') : [];
    }

    private void Save(string name, IEnumerable<string> lines)
    {
        var folder = DiskFolder.Make(path);
        string temporary = name + ".new";
        using (var file = new FileStream(folder.FullName(temporary), FileMode.Create, FileAccess.Write))
        {
            file.Write(Encoding.ASCII.GetBytes(string.Concat(lines.Select(static line => line + "\n"))));
            file.Flush(flushToDisk: true);
        }

        folder.Rename(temporary, name);
        folder.SyncDirectory();
    }
}
