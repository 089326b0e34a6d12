namespace Leither.Node.Http.Gateway;

/// <summary>The limits of the gateway.</summary>
public sealed record GatewayOptions
{
    /// <summary>How long a name may take to be resolved. How long a block may take is the network's to say.</summary>
    public TimeSpan NameLimit { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How many entries one page of a directory shows.</summary>
    public int EntriesPerPage { get; init; } = 500;

    /// <summary>How many ranges one response may have; a request for more gets the whole.</summary>
    public int MaxRanges { get; init; } = 16;

    /// <summary>How many blocks of a file are asked for ahead of the one that is needed, where they come from the network.</summary>
    public int ReadAhead { get; init; } = 32;

    /// <summary>How many names may lead to another name before content is reached.</summary>
    public int MaxNameSteps { get; init; } = 8;

    /// <summary>How many blocks a CAR without duplicates may have: each is remembered while it is sent, some 40 bytes.</summary>
    public int MaxCarBlocks { get; init; } = 16 << 20;

    /// <summary>How many links that are still to be followed are remembered while a CAR is sent.</summary>
    public int MaxCarLinks { get; init; } = 1 << 20;
}
