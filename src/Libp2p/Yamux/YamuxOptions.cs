namespace Leither.Libp2p.Yamux;

/// <summary>The limits of one connection's streams. Each bounds what the other side can make this node hold.</summary>
public sealed record YamuxOptions
{
    /// <summary>What each side may send on a new stream before it is given more: the specification's.</summary>
    public const int InitialWindow = 256 * 1024;

    /// <summary>The defaults.</summary>
    public static YamuxOptions Default { get; } = new();

    /// <summary>How far a stream's window grows while its reader keeps up. Filling a link of 1 Gbit/s and 100 ms takes 12.5 MB.</summary>
    public int MaxWindow { get; init; } = 16 * 1024 * 1024;

    /// <summary>How much all windows of a connection together may grow beyond their beginnings.</summary>
    public long MaxWindowGrowth { get; init; } = 32 * 1024 * 1024;

    /// <summary>What a connection holds for its readers. A stream that takes it beyond is reset.</summary>
    public long MaxBufferedBytes { get; init; } = 48 * 1024 * 1024;

    /// <summary>Streams that the other side has open, handlers at work on them included. More are reset.</summary>
    public int MaxInboundStreams { get; init; } = 256;

    /// <summary>Streams that were opened here and not acknowledged: the specification's backlog.</summary>
    public int MaxUnacknowledgedStreams { get; init; } = 256;

    /// <summary>Refused streams in <see cref="RefusalPeriod"/>. Who tries more is dropped.</summary>
    public int MaxRefusedStreams { get; init; } = 1024;

    /// <summary>The period over which refused streams are counted.</summary>
    public TimeSpan RefusalPeriod { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Answers that wait to be sent, since the other side asks and does not read. Beyond it is dropped.</summary>
    public int MaxPendingAnswers { get; init; } = 1024;

    /// <summary>After so much silence the other side is asked whether it is there.</summary>
    public TimeSpan KeepAliveInterval { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>After so much more it is taken to be gone.</summary>
    public TimeSpan KeepAliveTimeout { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>How long a stream that was disposed of waits for the other side to end it too.</summary>
    public TimeSpan LingerTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long what is still to be sent may take once the connection is being closed.</summary>
    public TimeSpan CloseTimeout { get; init; } = TimeSpan.FromSeconds(5);
}
