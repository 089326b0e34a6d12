// Replication of MiMei between nodes as commands see it, with neither peers' protocols nor connections behind the words. The program gives the server one
// (Server.Replicas). Everything that waits is a task, for CommandContext.AsideAsync; nothing here is called back on the loop thread.

using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;

namespace Leither.MmDb;

/// <summary>MiMei that live on several nodes. Any thread, unless a member says otherwise.</summary>
/// <remarks>What goes wrong with peers is an <see cref="IOException"/>; what cannot be done a <see cref="MimeiException"/>, whose text is for the client.</remarks>
public interface INodeReplication
{
    /// <summary>
    /// Makes a MiMei of this node known: to everybody, or only to some. Its newest version is told to the network now and from time to time.
    /// </summary>
    /// <param name="mid">The MiMei.</param>
    /// <param name="users">Peer ids, node ids or user ids of who may have it; null: everybody.</param>
    /// <param name="cancellation">Ends waiting for the network; what was decided stays.</param>
    Task<PublishedMimei> PublishAsync(LeitherId mid, IReadOnlyList<string>? users, CancellationToken cancellation = default);

    /// <summary>Gives it to nobody any more who does not have it; false if it was not published.</summary>
    Task<bool> UnpublishAsync(LeitherId mid);

    /// <summary>Who may do what with a MiMei is another: it is given to those who may have it now, and to nobody else any more.</summary>
    Task RightsChangedAsync(LeitherId mid);

    /// <summary>Follows a MiMei for as long as the node lives, and serves it to others.</summary>
    /// <param name="mid">The MiMei; one of this node's own is only told to the network.</param>
    /// <param name="from">Where it may be had, besides what the network says.</param>
    /// <param name="work">Told how far it is.</param>
    /// <param name="cancellation">Ends waiting until it is level; it is followed all the same.</param>
    Task<SyncedMimei> ProvideAsync(LeitherId mid, IReadOnlyList<Multiaddr> from, LongWork work, CancellationToken cancellation = default);

    /// <summary>Follows and announces it no longer; what is here stays. False if it was not provided.</summary>
    Task<bool> UnprovideAsync(LeitherId mid);

    /// <summary>Brings a MiMei here, or what is new of it.</summary>
    /// <param name="mid">The MiMei.</param>
    /// <param name="from">Where it may be had, besides what the network says.</param>
    /// <param name="follow">Whether to go on following until the node ends.</param>
    /// <param name="work">Told how far it is.</param>
    /// <param name="cancellation">Ends it; what has come stays, and the next time goes on from there.</param>
    Task<SyncedMimei> SyncAsync(LeitherId mid, IReadOnlyList<Multiaddr> from, bool follow, LongWork work, CancellationToken cancellation = default);

    /// <summary>Who says to have a MiMei, and what of it.</summary>
    Task<IReadOnlyList<MimeiProvider>> FindProvidersAsync(LeitherId mid, CancellationToken cancellation = default);

    /// <summary>What is here of a MiMei beside what the network has of it.</summary>
    Task<MimeiStanding> CompareAsync(LeitherId mid, CancellationToken cancellation = default);

    /// <summary>
    /// Opens a version of a MiMei that is not here, read block by block as it is needed: a place for sessions, without a copy.
    /// </summary>
    /// <param name="mid">The MiMei.</param>
    /// <param name="place">Which version; as it is now is as its newest version has it.</param>
    /// <param name="cancellation">Ends it.</param>
    /// <exception cref="MimeiException">Nobody who can be reached has it.</exception>
    Task<Mimei> OpenRemoteAsync(LeitherId mid, MimeiPlace place, CancellationToken cancellation = default);

    /// <summary>What is to be signed with the author's key before this node may write a MiMei whose key is elsewhere.</summary>
    Task<byte[]> PrepareTakeoverAsync(LeitherId mid, CancellationToken cancellation = default);

    /// <summary>Makes this node the one that writes a MiMei. The writer before is fenced as soon as it hears of it.</summary>
    /// <param name="mid">The MiMei.</param>
    /// <param name="certificate">The signed certificate; null: this node has the author's key.</param>
    /// <param name="cancellation">Ends waiting for what the writer before still has.</param>
    Task<TakenOver> TakeoverAsync(LeitherId mid, byte[]? certificate, CancellationToken cancellation = default);

    /// <summary>Names providers whose acknowledgements count (<c>WAIT</c>), or no longer, durably.</summary>
    Task NameProvidersAsync(LeitherId mid, IReadOnlyList<string> add, IReadOnlyList<string> remove);

    /// <summary>How a MiMei stands with other nodes; null: it has nothing to do with any. Cheap.</summary>
    ReplicaStatus? Status(LeitherId mid);

    /// <summary>How many named providers have written everything up to a place. Cheap, on the loop thread.</summary>
    int CountWritten(LeitherId mid, Position position);

    /// <summary>How many named providers follow a MiMei's log from this node, and were heard of within so many milliseconds.</summary>
    int CountInTouch(LeitherId mid, long withinMs);

    /// <summary>How many named providers have made everything up to a place durable. Cheap, on the loop thread.</summary>
    int CountSynced(LeitherId mid, Position position);
}

/// <summary>What publishing came to.</summary>
/// <param name="Version">The newest version's number; 0: there is none.</param>
/// <param name="Block">Its block.</param>
/// <param name="Position">How far the log is.</param>
/// <param name="Name">The MiMei's name in IPNS; none where the author's key, which signs for it, is not here.</param>
/// <param name="Stored">How many DHT servers took the record.</param>
/// <param name="ValidUntil">How long it is good without being renewed.</param>
/// <param name="Addresses">Where this node can be reached.</param>
public sealed record PublishedMimei(
    ulong Version, Cid Block, Position Position, PeerId Name, int Stored, DateTimeOffset ValidUntil, IReadOnlyList<Multiaddr> Addresses);

/// <summary>What bringing a MiMei here came to.</summary>
/// <param name="Position">How far it is here.</param>
/// <param name="Version">The newest version that is here; 0: none.</param>
/// <param name="Bytes">Bytes that came for it.</param>
/// <param name="Blocks">Blocks that came.</param>
/// <param name="Sources">From how many nodes.</param>
/// <param name="IsLevel">Whether it has all that the sources have.</param>
public sealed record SyncedMimei(Position Position, ulong Version, long Bytes, long Blocks, int Sources, bool IsLevel);

/// <summary>A node that says to have a MiMei.</summary>
/// <param name="Peer">Its id.</param>
/// <param name="Addresses">Where it is.</param>
/// <param name="Version">The newest version that it has; 0: none, or it did not say.</param>
/// <param name="Block">That version's block.</param>
/// <param name="Position">How far its log is.</param>
/// <param name="IsWriter">Whether it is who writes.</param>
/// <param name="IsThis">Whether it is this node.</param>
/// <param name="Problem">Why it could not be asked; null: it could.</param>
public sealed record MimeiProvider(
    PeerId Peer, IReadOnlyList<Multiaddr> Addresses, ulong Version, Cid Block, Position Position, bool IsWriter, bool IsThis, string? Problem);

/// <summary>A MiMei here beside the same one elsewhere.</summary>
/// <param name="Info">What it is.</param>
/// <param name="Local">The newest version here; 0: none, or it is not here.</param>
/// <param name="LocalBlock">Its block.</param>
/// <param name="LocalPosition">How far it is here.</param>
/// <param name="Remote">The newest version that others have.</param>
/// <param name="RemoteBlock">Its block.</param>
/// <param name="RemotePosition">How far others are.</param>
/// <param name="Conflict">What contradicts what; null: nothing.</param>
/// <param name="Providers">Whom it was asked of.</param>
/// <param name="Status">How it stands; null: it has nothing to do with other nodes.</param>
public sealed record MimeiStanding(
    MimeiInfo Info, ulong Local, Cid LocalBlock, Position LocalPosition, ulong Remote, Cid RemoteBlock, Position RemotePosition, string? Conflict,
    IReadOnlyList<MimeiProvider> Providers, ReplicaStatus? Status);

/// <summary>What taking over came to.</summary>
/// <param name="Epoch">The epoch that this node writes in.</param>
/// <param name="After">The last entry of the writer before that is kept.</param>
/// <param name="Before">Who wrote before, if that is known.</param>
public sealed record TakenOver(ulong Epoch, Position After, PeerId? Before);

/// <summary>What a node does with a MiMei.</summary>
public enum ReplicaRole
{
    /// <summary>It writes.</summary>
    Writer,

    /// <summary>It follows.</summary>
    Follower,

    /// <summary>It has what it once had.</summary>
    Idle,
}

/// <summary>How a MiMei stands with other nodes.</summary>
public sealed record ReplicaStatus
{
    /// <summary>What this node does with it.</summary>
    public ReplicaRole Role { get; init; }

    /// <summary>Whether this node follows it for good, and tells the network.</summary>
    public bool IsProvided { get; init; }

    /// <summary>The node that writes, if it is known.</summary>
    public PeerId? Writer { get; init; }

    /// <summary>Where that is, if it is known.</summary>
    public IReadOnlyList<Multiaddr> WriterAddresses { get; init; } = [];

    /// <summary>Whom it follows at present; null: nobody.</summary>
    public PeerId? Source { get; init; }

    /// <summary>Whether it has all that its source has.</summary>
    public bool IsLevel { get; init; }

    /// <summary>What it is about, in a word or a sentence: why it does not follow, say.</summary>
    public string State { get; init; } = "";

    /// <summary>How far it is.</summary>
    public Position Position { get; init; }

    /// <summary>The newest signed place that it knows of.</summary>
    public Position Head { get; init; }

    /// <summary>Milliseconds since its source was last heard; -1: there is none.</summary>
    public long SilentMs { get; init; } = -1;

    /// <summary>Bytes of log and blocks that came.</summary>
    public long BytesReceived { get; init; }

    /// <summary>Bytes that went to others.</summary>
    public long BytesSent { get; init; }

    /// <summary>Entries that a writer took back since the node began.</summary>
    public long Undone { get; init; }

    /// <summary>Bytes that were refused, for they did not fit what is signed.</summary>
    public long Refused { get; init; }

    /// <summary>That the writer signed two histories: where they part. Null: it did not.</summary>
    public string? Proof { get; init; }

    /// <summary>Who follows this node.</summary>
    public IReadOnlyList<FollowerStatus> Followers { get; init; } = [];

    /// <summary>Whose acknowledgements count.</summary>
    public IReadOnlyList<string> Named { get; init; } = [];
}

/// <summary>A node that follows this one.</summary>
/// <param name="Peer">Its id.</param>
/// <param name="Address">Where it is.</param>
/// <param name="Epoch">The epoch that it is in.</param>
/// <param name="Written">The last entry that it wrote.</param>
/// <param name="Synced">The last entry that is durable there.</param>
/// <param name="IsNamed">Whether its acknowledgements count.</param>
/// <param name="State">catch-up or online.</param>
/// <param name="SilentMs">Milliseconds since it was last heard.</param>
public sealed record FollowerStatus(PeerId Peer, Multiaddr? Address, ulong Epoch, ulong Written, ulong Synced, bool IsNamed, string State, long SilentMs);
