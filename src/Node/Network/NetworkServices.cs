using Leither.Libp2p;
using Leither.Libp2p.Bitswap;
using Leither.Libp2p.Ipns;
using Leither.Libp2p.KadDht;

namespace Leither.Node.Network;

/// <summary>What runs while a node is part of a network.</summary>
/// <param name="Host">Its connections.</param>
/// <param name="Dht">Its part of the DHT; null: the setting says off.</param>
/// <param name="Bitswap">Blocks, in and out.</param>
public sealed record NetworkServices(Host Host, KademliaDht? Dht, BitswapExchange Bitswap)
{
    /// <summary>Keeps in touch.</summary>
    public required KnownPeers Known { get; init; }

    /// <summary>Names; null where there is no DHT.</summary>
    public required IpnsNames? Names { get; init; }
}
