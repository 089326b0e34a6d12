using System.Net.Security;
using Leither.Libp2p.Names;
using Leither.Libp2p.PrivateNetworks;
using Leither.Libp2p.Yamux;

namespace Leither.Libp2p;

/// <summary>What a host says of itself, and its limits: each has its name here and nowhere else.</summary>
public sealed record HostOptions
{
    /// <summary>The program and its version, as other peers see it.</summary>
    public string Agent { get; init; } = "leither/0.1.0";

    /// <summary>The network, as other peers see it.</summary>
    public string ProtocolVersion { get; init; } = "ipfs/0.1.0";

    /// <summary>More connections than this, and idle ones are closed until <see cref="LowWater"/>.</summary>
    public int HighWater { get; init; } = 192;

    /// <summary>Down to where idle connections are closed.</summary>
    public int LowWater { get; init; } = 128;

    /// <summary>Connections younger than this are not closed for being idle.</summary>
    public TimeSpan GracePeriod { get; init; } = TimeSpan.FromSeconds(20);

    /// <summary>All connections together. Beyond it nobody is let in.</summary>
    public int MaxConnections { get; init; } = 1024;

    /// <summary>Connections with one peer.</summary>
    public int MaxConnectionsPerPeer { get; init; } = 8;

    /// <summary>Connections that come from one IP address (a /64 network of IPv6), this machine's own left out.</summary>
    public int MaxConnectionsPerIp { get; init; } = 32;

    /// <summary>Connections that are being let in.</summary>
    public int MaxPendingInbound { get; init; } = 128;

    /// <summary>Connections that are being dialled.</summary>
    public int MaxPendingOutbound { get; init; } = 128;

    /// <summary>How many of a peer's addresses are tried.</summary>
    public int MaxDialAddresses { get; init; } = 16;

    /// <summary>After so long without an answer the peer's next address is tried as well.</summary>
    public TimeSpan DialStagger { get; init; } = TimeSpan.FromMilliseconds(250);

    /// <summary>How long one address may take, from the socket to the multiplexer.</summary>
    public TimeSpan DialTimeout { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>How long letting somebody in may take, from the socket to the multiplexer.</summary>
    public TimeSpan UpgradeTimeout { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>How long the other side may take to say which protocol it wants on a stream.</summary>
    public TimeSpan NegotiationTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long the other side may take to say who it is.</summary>
    public TimeSpan IdentifyTimeout { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>How many peers are remembered.</summary>
    public int MaxKnownPeers { get; init; } = 16 * 1024;

    /// <summary>How names in addresses are looked up.</summary>
    public DnsOptions Dns { get; init; } = new();

    /// <summary>The key of the private network that the host belongs to: it meets members of that network and nobody else. Null: the open network.</summary>
    public SwarmKey? SwarmKey { get; init; }

    /// <summary>Who decides about the certificates of WebSocket servers; null: the machine's authorities.</summary>
    internal RemoteCertificateValidationCallback? CertificateValidation { get; init; }

    /// <summary>The limits of a connection's streams.</summary>
    internal YamuxOptions Yamux { get; init; } = YamuxOptions.Default;
}
