namespace Leither.Libp2p.KadDht;

/// <summary>Whether a node answers others' questions.</summary>
public enum KadMode
{
    /// <summary>It serves once it is known that it can be reached from everywhere.</summary>
    Auto,

    /// <summary>It asks only.</summary>
    Client,

    /// <summary>It asks and answers.</summary>
    Server,
}

/// <summary>The DHT's settings and limits: each has its name here. The defaults are the specification's, or go-libp2p's where it leaves them open.</summary>
public sealed record KadOptions
{
    /// <summary>The protocol of the open IPFS network.</summary>
    public const string IpfsProtocol = "/ipfs/kad/1.0.0";

    /// <summary>The protocol of a network of Leither nodes alone.</summary>
    public const string LeitherProtocol = "/leither/kad/1.0.0";

    /// <summary>Which network it is.</summary>
    public string Protocol { get; init; } = IpfsProtocol;

    /// <summary>Whether it answers.</summary>
    public KadMode Mode { get; init; } = KadMode.Auto;

    /// <summary>Leaves out addresses that cannot be reached from everywhere: for the open network, where others' local addresses lead astray.</summary>
    public bool PublicAddressesOnly { get; init; }

    /// <summary>k: how many peers hold a record, are named in a reply and fill a bucket.</summary>
    public int K { get; init; } = 20;

    /// <summary>α: how many peers a lookup asks at a time.</summary>
    public int Alpha { get; init; } = 10;

    /// <summary>β: how many of the nearest must have answered.</summary>
    public int Beta { get; init; } = 3;

    /// <summary>How many answers with a value are enough.</summary>
    public int Quorum { get; init; } = 16;

    /// <summary>How long a peer may take to answer, dialling included.</summary>
    public TimeSpan RequestTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long a lookup may take; then what was found is the result.</summary>
    public TimeSpan LookupTimeout { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>How often a bucket is refreshed in which nothing else was looked for.</summary>
    public TimeSpan RefreshInterval { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>How long a peer is taken to be alive without a word from it.</summary>
    public TimeSpan CheckAfter { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>How long others' provider records are kept.</summary>
    public TimeSpan ProviderLifetime { get; init; } = TimeSpan.FromHours(48);

    /// <summary>How often our own are told anew.</summary>
    public TimeSpan RepublishInterval { get; init; } = TimeSpan.FromHours(22);

    /// <summary>When that is tried again where nobody took it.</summary>
    public TimeSpan RetryInterval { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>How many of our own are told anew at a time.</summary>
    public int MaxRepublishing { get; init; } = 4;

    /// <summary>How often it is written down who is in the routing table.</summary>
    public TimeSpan SavePeersInterval { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>How long others' values are kept.</summary>
    public TimeSpan ValueLifetime { get; init; } = TimeSpan.FromHours(48);

    /// <summary>How many provider records are kept for others, in all.</summary>
    public int MaxProviders { get; init; } = 100_000;

    /// <summary>How many of them for one key.</summary>
    public int MaxProvidersPerKey { get; init; } = 256;

    /// <summary>How many of them from one peer.</summary>
    public int MaxProvidersPerPeer { get; init; } = 20_000;

    /// <summary>How many bytes of values are kept for others.</summary>
    public long MaxValueBytes { get; init; } = 64 << 20;

    /// <summary>How many lookups run at a time; others wait.</summary>
    public int MaxLookups { get; init; } = 16;
}
