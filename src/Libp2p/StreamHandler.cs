namespace Leither.Libp2p;

/// <summary>
/// Speaks a protocol on a stream that a peer opened. The stream is disposed of when the task is done, and reset when it fails. The token is cancelled when
/// the host stops.
/// </summary>
public delegate Task StreamHandler(PeerStream stream, CancellationToken cancellationToken);

/// <summary>How many streams of a protocol peers may have open.</summary>
public sealed record ProtocolLimits
{
    /// <summary>The defaults.</summary>
    public static ProtocolLimits Default { get; } = new();

    /// <summary>Of all peers together.</summary>
    public int MaxStreams { get; init; } = 4096;

    /// <summary>On one connection.</summary>
    public int MaxStreamsPerConnection { get; init; } = 128;
}
