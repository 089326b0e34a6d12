using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;

namespace Leither.MmDb.Tests;

/// <summary>The other nodes, as a test says that they are. What commands ask is noted down.</summary>
internal sealed class FakeReplication : INodeReplication
{
    /// <summary>What was asked, a line each.</summary>
    public List<string> Asked { get; } = [];

    public Dictionary<LeitherId, ReplicaStatus> Statuses { get; } = [];

    public List<MimeiProvider> Providers { get; } = [];

    /// <summary>How far each named provider has written and synced.</summary>
    public List<(Position Written, Position Synced)> Named { get; } = [];

    public MimeiStanding? Standing { get; set; }

    /// <summary>What happens in the place of an answer.</summary>
    public Exception? Problem { get; set; }

    public Func<CancellationToken, Task<Mimei>>? OpenRemote { get; set; }

    public Task<PublishedMimei> PublishAsync(LeitherId mid, IReadOnlyList<string>? users, CancellationToken cancellation = default) => Answer(
        $"publish {mid} {(users is null ? "all" : string.Join(' ', users))}",
        new PublishedMimei(3, Block, new Position(2, 7), Peer, 5, DateTimeOffset.FromUnixTimeSeconds(1_700_000_000), [Multiaddr.Parse("/ip4/10.0.0.1/tcp/4800")]));

    public Task<bool> UnpublishAsync(LeitherId mid) => Answer($"unpublish {mid}", true);

    public Task RightsChangedAsync(LeitherId mid) => Answer($"rights {mid}", true);

    public Task<SyncedMimei> ProvideAsync(LeitherId mid, IReadOnlyList<Multiaddr> from, LongWork work, CancellationToken cancellation = default) =>
        Answer($"provide {mid} [{string.Join(' ', from)}] {work.What}", Synced);

    public Task<bool> UnprovideAsync(LeitherId mid) => Answer($"unprovide {mid}", false);

    public Task<SyncedMimei> SyncAsync(LeitherId mid, IReadOnlyList<Multiaddr> from, bool follow, LongWork work, CancellationToken cancellation = default) =>
        Answer($"sync {mid} [{string.Join(' ', from)}] {(follow ? "follow" : "once")}", Synced);

    public Task<IReadOnlyList<MimeiProvider>> FindProvidersAsync(LeitherId mid, CancellationToken cancellation = default) => Answer<IReadOnlyList<MimeiProvider>>($"findprovs {mid}", Providers);

    public Task<MimeiStanding> CompareAsync(LeitherId mid, CancellationToken cancellation = default) => Answer($"compare {mid}", Standing!);

    public Task<Mimei> OpenRemoteAsync(LeitherId mid, MimeiPlace place, CancellationToken cancellation = default)
    {
        Asked.Add($"open {mid} {place}");
        return Problem is null ? OpenRemote!(cancellation) : Task.FromException<Mimei>(Problem);
    }

    public Task<byte[]> PrepareTakeoverAsync(LeitherId mid, CancellationToken cancellation = default) => Answer($"prepare {mid}", "to be signed"u8.ToArray());

    public Task<TakenOver> TakeoverAsync(LeitherId mid, byte[]? certificate, CancellationToken cancellation = default) =>
        Answer($"takeover {mid} {(certificate is null ? "own key" : System.Text.Encoding.ASCII.GetString(certificate))}", new TakenOver((1UL << 32) | 1, new Position(4, 99), Peer));

    public Task NameProvidersAsync(LeitherId mid, IReadOnlyList<string> add, IReadOnlyList<string> remove) => Answer($"name {mid} +[{string.Join(' ', add)}] -[{string.Join(' ', remove)}]", true);

    public ReplicaStatus? Status(LeitherId mid) => Statuses.GetValueOrDefault(mid);

    public int CountInTouch(LeitherId mid, long withinMs) => Named.Count;

    public int CountWritten(LeitherId mid, Position position) => Named.Count(n => n.Written.Sequence >= position.Sequence);

    public int CountSynced(LeitherId mid, Position position) => Named.Count(n => n.Synced.Sequence >= position.Sequence);

    public static PeerId Peer { get; } = PrivateKey.FromSeed(new byte[32]).PublicKey.PeerId;

    public static Cid Block { get; } = Cid.Of(Multicodec.DagCbor, "a version"u8);

    private static SyncedMimei Synced => new(new Position(1, 12), 2, 4096, 7, 3, true);

    private Task<T> Answer<T>(string asked, T answer)
    {
        Asked.Add(asked);
        return Problem is null ? Task.FromResult(answer) : Task.FromException<T>(Problem);
    }
}
