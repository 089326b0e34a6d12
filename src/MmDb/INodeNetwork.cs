// The network as commands see it: what they ask of it, in terms of ids, addresses and blocks, with neither sockets nor libp2p behind the words. The program
// gives the server one (Server.Network). Everything that waits is a task, for CommandContext.AsideAsync; nothing here is called back on the loop thread.

using System.Net;
using Leither.Ipfs.Content;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;

namespace Leither.MmDb;

/// <summary>The peers of this node, and what they have. Any thread.</summary>
/// <remarks>It starts when it is first needed. What goes wrong with peers is an <see cref="IOException"/>.</remarks>
public interface INodeNetwork
{
    /// <summary>Whether this node takes part at all (<c>swarm</c>).</summary>
    bool IsOn { get; }

    /// <summary>Who this node is to other peers.</summary>
    PeerId Id { get; }

    /// <summary>The node's id.</summary>
    LeitherId NodeId { get; }

    /// <summary>What it has done; null: it was not needed yet.</summary>
    NetworkFigures? Figures { get; }

    /// <summary>
    /// Begins to read content: from the store, and what is not there from peers. With nobody to ask, what is not there is missing at once.
    /// </summary>
    /// <param name="limit">How long one block may take; null: as long as the setting says.</param>
    /// <param name="cancellation">Ends waiting.</param>
    IContentRead OpenRead(TimeSpan? limit = null, CancellationToken cancellation = default);

    /// <summary>Where this node listens, in the words of the settings: an address may mean "any".</summary>
    IReadOnlyList<Multiaddr> Listening { get; }

    /// <summary>Where this node can be reached, as it tells others.</summary>
    Task<IReadOnlyList<Multiaddr>> AddressesAsync();

    /// <summary>What this node, or a peer that it knows, is.</summary>
    Task<SwarmIdentity?> DescribeAsync(PeerId? peer = null);

    /// <summary>The connections.</summary>
    Task<IReadOnlyList<SwarmConnection>> ConnectionsAsync();

    /// <summary>The known peers that have addresses, and these.</summary>
    Task<IReadOnlyList<SwarmPeer>> KnownPeersAsync();

    /// <summary>Connects with whoever is at an address, and returns who it is.</summary>
    Task<PeerId> ConnectAsync(Multiaddr address, CancellationToken cancellation = default);

    /// <summary>Ends all connections with a peer; false if there is none.</summary>
    Task<bool> DisconnectAsync(PeerId peer);

    /// <summary>The DHT, and its names.</summary>
    INodeRouting Routing { get; }

    /// <summary>Networks that are neither dialled nor let in. The first call reads a file.</summary>
    /// <exception cref="IOException">It cannot be read.</exception>
    IReadOnlyList<IPNetwork> Filters { get; }

    /// <summary>Adds a filter, durably, and ends the connections that it is about; false if there was such a one.</summary>
    Task<bool> AddFilterAsync(IPNetwork network);

    /// <summary>Takes a filter away, durably; false if there is none.</summary>
    Task<bool> RemoveFilterAsync(IPNetwork network);
}

/// <summary>What a peer says of itself.</summary>
/// <param name="Id">Its id.</param>
/// <param name="PublicKey">Its public key's protobuf; empty where it is not known.</param>
/// <param name="Addresses">Where it is.</param>
/// <param name="Agent">The program.</param>
/// <param name="ProtocolVersion">The network; empty where it is not known.</param>
/// <param name="Protocols">What it speaks.</param>
public sealed record SwarmIdentity(
    PeerId Id, byte[] PublicKey, IReadOnlyList<Multiaddr> Addresses, string Agent, string ProtocolVersion, IReadOnlyList<string> Protocols);

/// <summary>A connection with a peer.</summary>
/// <param name="Peer">The peer.</param>
/// <param name="Address">Its end.</param>
/// <param name="IsInbound">Whether it was the one who connected.</param>
/// <param name="RoundTrip">The last round trip that was measured; zero before.</param>
/// <param name="Streams">How many streams are open.</param>
/// <param name="Agent">The program that the peer is; empty where it has not said.</param>
public sealed record SwarmConnection(PeerId Peer, Multiaddr Address, bool IsInbound, TimeSpan RoundTrip, int Streams, string Agent);

/// <summary>A known peer.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Addresses">Where it may be.</param>
/// <param name="IsConnected">Whether there is a connection.</param>
public sealed record SwarmPeer(PeerId Id, IReadOnlyList<Multiaddr> Addresses, bool IsConnected);

/// <summary>What the network has done and holds.</summary>
public sealed record NetworkFigures
{
    /// <summary>Connections.</summary>
    public int Connections { get; init; }

    /// <summary>Peers that are connected.</summary>
    public int Peers { get; init; }

    /// <summary>Peers that are known.</summary>
    public int KnownPeers { get; init; }

    /// <summary>Open streams.</summary>
    public int Streams { get; init; }

    /// <summary>Bytes of blocks that peers got.</summary>
    public long BlockBytesSent { get; init; }

    /// <summary>Bytes of wanted blocks that came.</summary>
    public long BlockBytesReceived { get; init; }

    /// <summary>Blocks that are being asked for.</summary>
    public int WantedBlocks { get; init; }

    /// <summary>off, client or server.</summary>
    public string DhtMode { get; init; } = "off";

    /// <summary>Peers in the routing table.</summary>
    public int DhtPeers { get; init; }

    /// <summary>Records kept for others.</summary>
    public long DhtRecords { get; init; }
}
