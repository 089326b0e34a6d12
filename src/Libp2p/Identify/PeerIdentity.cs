using Leither.Ipfs.Multiformats;
using Leither.Libp2p.Records;

namespace Leither.Libp2p.Identify;

/// <summary>What a peer says of itself, as far as it is well-formed.</summary>
public sealed record PeerIdentity
{
    /// <summary>The program and its version.</summary>
    public string Agent { get; init; } = "";

    /// <summary>The network that it belongs to.</summary>
    public string ProtocolVersion { get; init; } = "";

    /// <summary>Where it listens.</summary>
    public IReadOnlyList<Multiaddr> Addresses { get; init; } = [];

    /// <summary>What it speaks.</summary>
    public IReadOnlyList<string> Protocols { get; init; } = [];

    /// <summary>The address under which it sees us.</summary>
    public Multiaddr? ObservedAddress { get; init; }

    /// <summary>Its addresses as it signed them.</summary>
    public PeerRecord? Record { get; init; }
}
