namespace Leither.Libp2p.Bitswap;

/// <summary>A version of the protocol.</summary>
internal enum BitswapVersion
{
    /// <summary>Blocks without prefix: CIDs of version 0 alone.</summary>
    V1_0,

    /// <summary>Blocks with prefix.</summary>
    V1_1,

    /// <summary>Wants for presence, too.</summary>
    V1_2,
}

/// <summary>Bitswap's settings and limits: each has its name here.</summary>
public sealed record BitswapOptions
{
    /// <summary>How many wants of one peer are kept, as go keeps them. More are passed over.</summary>
    public int MaxWantsPerPeer { get; init; } = 1024;

    /// <summary>How many bytes of blocks go in one message, if it is more than one block.</summary>
    public int MaxMessageBytes { get; init; } = 1 << 20;

    /// <summary>How many bytes of blocks are on their way to all peers together. Who is slow holds no more than its message.</summary>
    public int MaxServingBytes { get; init; } = 64 << 20;

    /// <summary>A block so small is sent at once where only its presence was asked for.</summary>
    public int MaxUnaskedBlockBytes { get; init; } = 1024;

    /// <summary>How many blocks are asked of one peer at a time.</summary>
    public int MaxAskedPerPeer { get; init; } = 64;

    /// <summary>How many wants of a session are worked on at a time; others wait.</summary>
    public int MaxActiveWants { get; init; } = 512;

    /// <summary>How many peers are asked at once whether they have something.</summary>
    public int MaxBroadcast { get; init; } = 128;

    /// <summary>A peer that was asked for blocks and sent none for so long is passed over.</summary>
    public TimeSpan StallTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long connected peers have before providers are looked for.</summary>
    public TimeSpan SearchDelay { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>What was not found is asked for again, of everybody, so often.</summary>
    public TimeSpan RebroadcastInterval { get; init; } = TimeSpan.FromSeconds(15);
}

/// <summary>What was given to and got from a peer.</summary>
public readonly record struct BitswapLedger
{
    /// <summary>Bytes of blocks sent to it.</summary>
    public long BytesSent { get; init; }

    /// <summary>Bytes of wanted blocks that came from it.</summary>
    public long BytesReceived { get; init; }

    /// <summary>Blocks sent to it.</summary>
    public long BlocksSent { get; init; }

    /// <summary>Wanted blocks that came from it.</summary>
    public long BlocksReceived { get; init; }

    /// <summary>Blocks that came from it and were not wanted, or no longer: dropped.</summary>
    public long UnwantedBlocks { get; init; }

    /// <summary>How many blocks it waits for.</summary>
    public int Wants { get; init; }
}
