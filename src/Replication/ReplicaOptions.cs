using Leither.Ipfs.Keys;
using Leither.MmDb;

namespace Leither.Replication;

/// <summary>What a <see cref="Replica"/> is told when it is made.</summary>
public sealed class ReplicaOptions
{
    /// <summary>The MiMei.</summary>
    public required MimeiInfo Info { get; init; }

    /// <summary>Whether versions lead to files: blocks that no log carries.</summary>
    public bool HasFiles => Info.Type == MimeiType.Files;

    /// <summary>This node.</summary>
    public required PeerId Node { get; init; }

    /// <summary>Signs heads while this node writes; null: it cannot write.</summary>
    public PrivateKey? WriterKey { get; init; }

    /// <summary>What was kept of the time before; null: nothing.</summary>
    public ReplicaFacts? Facts { get; init; }

    /// <summary>Whether to follow at all: false for a node that only serves what it has.</summary>
    public bool Follows { get; init; } = true;

    /// <summary>The most streams of followers.</summary>
    public int MaxFollowers { get; init; } = 256;

    /// <summary>The most streams of sources.</summary>
    public int MaxSources { get; init; } = 8;

    /// <summary>A follower that is further behind is not given the tail (<see cref="LogProtocol.MaxTailBytes"/>).</summary>
    public int MaxTailBytes { get; init; } = LogProtocol.MaxTailBytes;

    /// <summary>Bytes that came and are not verified, of one source; more than it sends before a head.</summary>
    public int MaxUnverifiedBytes { get; init; } = 2 * LogProtocol.MaxTailBytes;

    /// <summary>Verified bytes that the store was given and has not applied.</summary>
    public int MaxUnappliedBytes { get; init; } = 16 << 20;

    /// <summary>Blocks that one source may be asked for at a time.</summary>
    public int BlockWindow { get; init; } = 64;

    /// <summary>A source that owes something and sends nothing for so long is left for another.</summary>
    public int StallMs { get; init; } = 5000;

    /// <summary>How long it may be until what a source owes is here, while parts of its messages come.</summary>
    public int MessageMs { get; init; } = 60_000;

    /// <summary>A stream on which nothing was heard for so long is asked whether it lives; after twice that it is closed.</summary>
    public int SilenceMs { get; init; } = 10_000;

    /// <summary>Whom a returning writer asks for its own tail: once all of these have answered, and it is level, it waits no longer.</summary>
    public IReadOnlyCollection<PeerId> RecoverFrom { get; init; } = [];

    /// <summary>How long a returning writer looks for its own tail among followers when none of them shows it.</summary>
    public int RecoverMs { get; init; } = 3000;

    /// <summary>How long at most it goes on when one does, and the tail comes.</summary>
    public int RecoverAtMostMs { get; init; } = 60_000;
}
