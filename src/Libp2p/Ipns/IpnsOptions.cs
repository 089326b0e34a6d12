using Leither.Ipfs.Ipns;

namespace Leither.Libp2p.Ipns;

/// <summary>The settings and limits of names: each has its name here.</summary>
public sealed record IpnsOptions
{
    /// <summary>How long a record is good.</summary>
    public TimeSpan Lifetime { get; init; } = IpnsRecord.DefaultLifetime;

    /// <summary>How long it should be believed without looking again.</summary>
    public TimeSpan Ttl { get; init; } = IpnsRecord.DefaultTtl;

    /// <summary>The longest lifetime that may be asked for.</summary>
    public TimeSpan MaxLifetime { get; init; } = TimeSpan.FromDays(365);

    /// <summary>How often our records are put anew: whoever held one goes, and others are nearer now. Signed anew they are when half of their time is over.</summary>
    public TimeSpan RepublishInterval { get; init; } = TimeSpan.FromHours(4);

    /// <summary>When that is tried again where nobody took it.</summary>
    public TimeSpan RetryInterval { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>How long one lookup may take.</summary>
    public TimeSpan LookupTimeout { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>How many names may lead to one another.</summary>
    public int MaxDepth { get; init; } = 32;

    /// <summary>How many records that were found are remembered.</summary>
    public int MaxCached { get; init; } = 1024;

    /// <summary>How many answers with a record are enough; null: what the DHT takes to be enough.</summary>
    public int? Quorum { get; init; }
}
