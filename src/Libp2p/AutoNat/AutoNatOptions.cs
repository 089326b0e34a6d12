namespace Leither.Libp2p.AutoNat;

/// <summary>How a node finds out whether it can be reached, how it helps others to, and the limits of both.</summary>
public sealed record AutoNatOptions
{
    /// <summary>How long after the start the first peer is asked.</summary>
    public TimeSpan FirstPause { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>How long between two questions while it is not known.</summary>
    public TimeSpan ShortPause { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long between two questions once it is known.</summary>
    public TimeSpan LongPause { get; init; } = TimeSpan.FromMinutes(15);

    /// <summary>How many more peers must say one thing than the other before it is believed.</summary>
    public int Confidence { get; init; } = 3;

    /// <summary>How long a peer may take for its answer: it dials meanwhile.</summary>
    public TimeSpan AnswerTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How many of this node's addresses are sent.</summary>
    public int MaxAddresses { get; init; } = 16;

    /// <summary>How many of another node's addresses are dialled.</summary>
    public int MaxDialled { get; init; } = 8;

    /// <summary>How long dialling for another node may take.</summary>
    public TimeSpan DialTimeout { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>In this time…</summary>
    public TimeSpan ServePeriod { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>…so many questions are answered by dialling,</summary>
    public int MaxServed { get; init; } = 30;

    /// <summary>and so many of one IP address (a /64 network of IPv6).</summary>
    public int MaxServedPerIp { get; init; } = 3;

    /// <summary>For how many nodes addresses are dialled at once; others are refused.</summary>
    public int MaxServing { get; init; } = 4;

    /// <summary>Whether addresses of private networks count: for tests, and for networks that have no others.</summary>
    public bool PrivateAddresses { get; init; }
}
