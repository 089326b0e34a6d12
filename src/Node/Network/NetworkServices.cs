using Leither.Libp2p;
using Leither.Libp2p.AutoNat;
using Leither.Libp2p.Bitswap;
using Leither.Libp2p.Ipns;
using Leither.Libp2p.KadDht;
using Leither.Libp2p.Mdns;

namespace Leither.Node.Network;

/// <summary>What runs while a node is part of a network.</summary>
/// <param name="Host">Its connections.</param>
/// <param name="Dht">Its part of the DHT; null: the setting says off.</param>
/// <param name="Bitswap">Blocks, in and out.</param>
public sealed record NetworkServices(Host Host, KademliaDht? Dht, BitswapExchange Bitswap)
{
    /// <summary>Finds out whether the node can be reached.</summary>
    public required AutoNatClient Reachability { get; init; }

    /// <summary>Helps others to find that out.</summary>
    public required AutoNatServer AutoNat { get; init; }

    /// <summary>Finds peers on the local network; null: the setting says no.</summary>
    public MdnsDiscovery? Mdns { get; init; }

    /// <summary>Keeps in touch.</summary>
    public required KnownPeers Known { get; init; }

    /// <summary>Names; null where there is no DHT.</summary>
    public required IpnsNames? Names { get; init; }
}
