using System.Net;

namespace Leither.Libp2p.Names;

/// <summary>How names in addresses are looked up, and the limits of it.</summary>
public sealed record DnsOptions
{
    /// <summary>The name servers that are asked for TXT records; null: those of this machine.</summary>
    public IReadOnlyList<IPEndPoint>? Servers { get; init; }

    /// <summary>How long one server may take for one question.</summary>
    public TimeSpan ServerTimeout { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>How often all servers are asked before a question is given up.</summary>
    public int Rounds { get; init; } = 2;

    /// <summary>How long all that the addresses of one peer need may take together.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(8);

    /// <summary>How many steps <c>/dnsaddr</c> may lead from one name to the next.</summary>
    public int MaxDepth { get; init; } = 4;

    /// <summary>How many names are looked up for the addresses of one peer.</summary>
    public int MaxLookups { get; init; } = 32;

    /// <summary>How many addresses of one name are taken.</summary>
    public int MaxAddressesPerName { get; init; } = 32;
}
