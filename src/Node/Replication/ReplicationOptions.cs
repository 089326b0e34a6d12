namespace Leither.Node.Replication;

/// <summary>The limits of following and being followed: each has its name here and nowhere else.</summary>
internal sealed record ReplicationOptions
{
    /// <summary>Streams of the log protocol that peers may have open, all together.</summary>
    public int MaxStreams { get; init; } = 2048;

    /// <summary>Of them, on one connection.</summary>
    public int MaxStreamsPerConnection { get; init; } = 64;

    /// <summary>Nodes that may follow one MiMei here. Who comes after is told who they are, and follows one of them.</summary>
    public int MaxFollowers { get; init; } = 512;

    /// <summary>Messages of one peer that wait to be worked on; it is not read from meanwhile.</summary>
    public int MaxWaitingMessages { get; init; } = 16;

    /// <summary>Bytes for one peer that wait to be sent before nothing more is made for it.</summary>
    public int MaxUnsentBytes { get; init; } = 1 << 20;

    /// <summary>Sources of one MiMei that are asked at a time.</summary>
    public int MaxSources { get; init; } = 4;

    /// <summary>How long the other side may take to answer the first message.</summary>
    public TimeSpan HelloTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long a piece of what is sent (<see cref="Leither.Replication.LogProtocol.MaxPieceBytes"/>) may take; who reads more slowly is given up.</summary>
    public TimeSpan SendTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>The first pause before a MiMei's sources are looked for again.</summary>
    public TimeSpan FirstPause { get; init; } = TimeSpan.FromMilliseconds(250);

    /// <summary>Up to what that grows.</summary>
    public TimeSpan LongestPause { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How many providers the network is asked for.</summary>
    public int MaxProviders { get; init; } = 20;

    /// <summary>How long the network may take to name providers.</summary>
    public TimeSpan FindTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a takeover waits for what the writer before still has.</summary>
    public TimeSpan TakeoverTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long the end of the node waits for followers to be told.</summary>
    public TimeSpan StopTimeout { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>How long the network's record of a MiMei's newest version is good.</summary>
    public TimeSpan NameLifetime { get; init; } = TimeSpan.FromHours(168);

    /// <summary>Bytes of blocks of a MiMei that is read from afar that are held.</summary>
    public long RemoteCacheBytes { get; init; } = 64 << 20;
}
