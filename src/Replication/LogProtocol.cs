namespace Leither.Replication;

/// <summary>
/// The protocol by which nodes follow a MiMei's log: one stream for each follower and MiMei, opened by the follower. Its name and its limits; the messages
/// are in <c>Message.cs</c>, their bytes in <c>MessageCodec.cs</c>.
/// </summary>
/// <remarks>
/// A frame is an unsigned varint (the bytes that follow), a byte that tells the message's kind, and its body. Every limit here holds for what is sent and for
/// what is taken: a peer that exceeds one is at fault.
/// </remarks>
public static class LogProtocol
{
    /// <summary>As it is agreed on for a stream.</summary>
    public const string Name = "/leither/log/1.0.0";

    /// <summary>The format that a follower's first message names.</summary>
    public const int Format = 1;

    /// <summary>A longer frame is refused before it is read.</summary>
    public const int MaxFrameBytes = 512 << 10;

    /// <summary>The most bytes of a log or of a block in one frame.</summary>
    public const int MaxPieceBytes = 128 << 10;

    /// <summary>As so many bytes of a message have come that is not whole, its stream is one on which something comes.</summary>
    public const int ArrivingBytes = 4 << 10;

    /// <summary>
    /// The most bytes of the tail that come before a head that covers them, no less than two segments have: who is further behind a head takes segments, each of which can be
    /// verified by itself.
    /// </summary>
    public const int MaxTailBytes = 4 << 20;

    /// <summary>A longer block is neither asked for nor taken.</summary>
    public const int MaxBlockBytes = 16 << 20;

    /// <summary>The most nodes in one answer.</summary>
    public const int MaxNodes = 512;

    /// <summary>The most blocks that one message asks for.</summary>
    public const int MaxWants = 64;

    /// <summary>The most blocks that a follower may have asked for and not got.</summary>
    public const int MaxOpenWants = 256;

    /// <summary>The most nodes of its own that a follower names.</summary>
    public const int MaxChain = 16;

    /// <summary>The most versions that a source names, the newest.</summary>
    public const int MaxVersions = 256;

    /// <summary>The most certificates that are kept and told, those of the newest terms.</summary>
    public const int MaxCertificates = 64;

    /// <summary>The most bytes of a user's proof.</summary>
    public const int MaxProofBytes = 1024;

    /// <summary>The most bytes of a text for people.</summary>
    public const int MaxTextBytes = 512;

    /// <summary>A head is signed at most this often, while somebody follows.</summary>
    public const int HeadIntervalMs = 2;

    /// <summary>… or once so many bytes were written since.</summary>
    public const int HeadIntervalBytes = 256 << 10;
}
