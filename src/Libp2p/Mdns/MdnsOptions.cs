namespace Leither.Libp2p.Mdns;

/// <summary>How peers on the local network are looked for, and the limits of it.</summary>
public sealed record MdnsOptions
{
    /// <summary>The port of multicast DNS.</summary>
    public int Port { get; init; } = 5353;

    /// <summary>The first pause between questions; each is twice as long as the one before.</summary>
    public TimeSpan FirstPause { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>The longest pause between questions.</summary>
    public TimeSpan LongestPause { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>No more than one answer in so long, however many ask.</summary>
    public TimeSpan AnswerPause { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>How many messages a second are looked at.</summary>
    public int MaxMessagesPerSecond { get; init; } = 200;

    /// <summary>How many peers that were found are being connected with at once; others wait until they are found again.</summary>
    public int MaxConnecting { get; init; } = 8;

    /// <summary>Whether peers that are found are connected with.</summary>
    public bool Connect { get; init; } = true;

    /// <summary>Whether this machine itself counts as a network: for tests.</summary>
    public bool Loopback { get; init; }
}
