using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;

namespace Leither.Libp2p.Bitswap;

/// <summary>What is known of a connected peer: what it wants, what is to be told to it, how well it serves.</summary>
internal sealed class BitswapPeer(PeerId id, BitswapVersion version)
{
    /// <summary>How much of a new measurement counts.</summary>
    private const double Weight = 0.2;

    /// <summary>Who has not answered yet is tried after those who have, not never.</summary>
    private static readonly TimeSpan _unknownLatency = TimeSpan.FromMilliseconds(200);

    public PeerId Id { get; } = id;

    public BitswapVersion Version { get; set; } = version;

    /// <summary>What it wants of us.</summary>
    public Dictionary<Multihash, WantEntry> Wants { get; } = [];

    /// <summary>Blocks to be sent to it, in order; those no longer in the set were called off.</summary>
    public Queue<Cid> Tasks { get; } = new();

    public HashSet<Multihash> Queued { get; } = [];

    /// <summary>What it is to be told about our wants.</summary>
    public Dictionary<Multihash, WantEntry> Changes { get; } = [];

    /// <summary>What it is to be told about what is here.</summary>
    public Dictionary<Multihash, Presence> Presences { get; } = [];

    /// <summary>What we have told it that we want, and have not called off.</summary>
    public HashSet<Multihash> Told { get; } = [];

    /// <summary>Which blocks it was asked for, and when.</summary>
    public Dictionary<Multihash, DateTimeOffset> Asked { get; } = [];

    /// <summary>Whether a message is on its way to it.</summary>
    public bool IsBusy { get; set; }

    /// <summary>How many bytes of blocks that message has.</summary>
    public long ServingBytes { get; set; }

    /// <summary>Whose is least is served next: grows with what it is sent.</summary>
    public long Turn { get; set; }

    /// <summary>When it last sent a wanted block.</summary>
    public DateTimeOffset LastProgress { get; set; } = DateTimeOffset.MinValue;

    public TimeSpan Latency { get; private set; } = _unknownLatency;

    public BitswapLedger Ledger { get; set; }

    public bool HasSomethingToSay => Changes.Count > 0 || Presences.Count > 0 || Queued.Count > 0;

    /// <summary>About how long a further block would take from it.</summary>
    public double Cost => Latency.TotalSeconds * (1 + Asked.Count);

    public void Measured(TimeSpan took) => Latency = (1 - Weight) * Latency + Weight * took;

    /// <summary>It let us wait: others come first from now on.</summary>
    public void Stalled(TimeSpan waited) => Latency = Latency > waited ? Latency : waited;
}
