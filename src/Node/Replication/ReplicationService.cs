// MiMei that live on several nodes: which of this node's are published, provided or followed, and who does what for each.
//
//  - Nothing runs, and nobody is spoken to, before a MiMei has anything to do with other nodes: published, provided, or asked for.
//  - What was decided is in each MiMei's folder (SharingFacts) before it is done. So what was provided is followed again after a restart.
//  - Who may have a MiMei is a matter of its rights (MimeiRights): publishing gives the right to read, and whoever gives that otherwise has published.
//  - Each MiMei that has to do with others has one MimeiReplica, which is loaded as long as it is here.
//  - Decisions about one MiMei come one after another; what waits for peers waits outside.

using System.Collections.Concurrent;
using Leither.Ipfs.Files;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p;
using Leither.MmDb;
using Leither.MmDb.Configuration;
using Leither.MmDb.Log;
using Leither.MmDb.Replication;
using Leither.MmDb.Rights;
using Leither.MmDb.Versions;
using Leither.MmDb.Writers;
using Leither.Node.Logging;
using Leither.Node.Network;
using Leither.Node.Storage;
using Leither.Replication;

namespace Leither.Node.Replication;

/// <summary>MiMei among nodes. Any thread.</summary>
internal sealed partial class ReplicationService : INodeReplication, IAsyncDisposable
{
    /// <summary>What a peer is told of a MiMei that is not here, or not for it: the two look alike.</summary>
    internal const string NotFoundText = "there is no such MiMei here";

    /// <summary>How often is looked whether one is used no more that was used a moment ago.</summary>
    private const int UnloadTries = 20;

    private static readonly TimeSpan _unloadPause = TimeSpan.FromMilliseconds(20);
    private static readonly string _boot = ReadBoot();

    private readonly Server _server;
    private readonly MimeiFolders _folders;
    private readonly NodeNetwork _network;
    private readonly NodeLog _log;
    private readonly ConcurrentDictionary<LeitherId, MimeiReplica> _replicas = new();
    private readonly ConcurrentDictionary<LeitherId, SemaphoreSlim> _deciding = new();
    private readonly ConcurrentDictionary<PeerId, LeitherId> _names = new();
    private readonly CancellationTokenSource _stopping = new();
    private Task _beginning = Task.CompletedTask;
    private bool _isStopped;

    /// <summary>Makes it; nothing runs yet.</summary>
    public ReplicationService(Server server, MimeiFolders folders, NodeNetwork network, NodeLog log, ReplicationOptions? options = null)
    {
        _server = server;
        _folders = folders;
        _network = network;
        _log = log;
        Options = options ?? new ReplicationOptions();
        network.Prepare = host =>
        {
            if (!_replicas.IsEmpty) Speak(host);
        };
        network.NameKeys = name => _names.TryGetValue(name, out LeitherId mid) ? folders.Keys.NameKey(mid) : null;
    }

    /// <summary>The limits.</summary>
    public ReplicationOptions Options { get; }

    /// <summary>The node's network.</summary>
    public NodeNetwork Network => _network;

    /// <summary>The node's keys.</summary>
    public NodeKeys Keys => _folders.Keys;

    /// <summary>Has replicas looked after in time.</summary>
    public ReplicaClock Clock { get; } = new();

    /// <summary>The server.</summary>
    public Server Server => _server;

    /// <summary>Where trouble is told.</summary>
    public NodeLog Log => _log;

    /// <summary>The boot of the machine on which this process runs; empty where it does not say.</summary>
    public static string Boot => _boot;

    /// <summary>How much of a log stays for followers that are behind.</summary>
    public long LogMaxBytes => _server.Settings.Get(ConfigKeys.ReplicationLogMax);

    /// <summary>How long a writer that may have lost something looks for it; 0: it does not.</summary>
    public int RecoverMs => (int)(1000 * _server.Settings.Get(ConfigKeys.ReplicationRecoverTimeout));

    /// <summary>Cancelled when the node stops.</summary>
    public CancellationToken Stopping => _stopping.Token;

    /// <summary>The node serves: what was published and provided before is so again, in the background.</summary>
    public void Begin() => _beginning = Task.Run(BeginAsync);

    /// <inheritdoc/>
    public async Task<PublishedMimei> PublishAsync(LeitherId mid, IReadOnlyList<string>? users, CancellationToken cancellation = default)
    {
        string[]? ids = users is null ? null : [.. users.Select(static u => MimeiCaller.Normalize(u) ?? throw new MimeiException($"ERR '{u}' is neither a peer id nor the id of a node or a user"))];
        await ChangeAsync(mid, static facts => facts).ConfigureAwait(false); // what cannot be given is not promised
        await GiveAsync(mid, rights => ids is null ? rights.Published() : rights.SharedWith(ids)).ConfigureAwait(false);
        MimeiReplica replica = await ChangeAsync(mid, static facts => facts).ConfigureAwait(false);
        NetworkServices services = await _network.StartAsync().WaitAsync(cancellation).ConfigureAwait(false);
        await replica.WaitServableAsync(cancellation).ConfigureAwait(false);
        int stored = await AnnounceAsync(replica, cancellation).ConfigureAwait(false);
        (ulong number, Cid block) = replica.NewestVersion;
        return new PublishedMimei(
            number, block, replica.Position, NameOf(replica) ?? default, stored, DateTimeOffset.UtcNow + Options.NameLifetime,
            services.Host.Addresses);
    }

    /// <inheritdoc/>
    public async Task<bool> UnpublishAsync(LeitherId mid)
    {
        if (!(await RightsOfAsync(mid).ConfigureAwait(false)).IsShared) return false;
        await GiveAsync(mid, static rights => rights.Unpublished()).ConfigureAwait(false);
        MimeiReplica replica = await ChangeAsync(mid, static facts => facts).ConfigureAwait(false);
        await WithdrawAsync(replica).ConfigureAwait(false);
        return true;
    }

    /// <inheritdoc/>
    public async Task RightsChangedAsync(LeitherId mid)
    {
        MimeiRights rights = await RightsOfAsync(mid).ConfigureAwait(false);
        if (!rights.IsShared && !_replicas.ContainsKey(mid)) return;
        MimeiReplica replica;
        try
        {
            replica = await ChangeAsync(mid, static facts => facts).ConfigureAwait(false);
        }
        catch (MimeiException e)
        {
            // The rights are what they are; that they cannot be used from other nodes is this node's matter.
            _log.Warning($"MiMei {mid} is not shared with other nodes: {e.Message}");
            return;
        }

        _ = Task.Run(() => rights.IsPublic ? AnnounceQuietlyAsync(replica) : WithdrawQuietlyAsync(replica), CancellationToken.None);
    }

    /// <inheritdoc/>
    public async Task<SyncedMimei> ProvideAsync(LeitherId mid, IReadOnlyList<Multiaddr> from, LongWork work, CancellationToken cancellation = default)
    {
        bool? isPublic = await BringAsync(mid, from, work, cancellation).ConfigureAwait(false);
        // Who provides serves: that is what it is for. But what only some may have is theirs here too, and the network is not told.
        await GiveAsync(mid, rights => isPublic ?? (rights.IsPublic || !rights.IsShared) ? rights.Published() : rights.Hidden()).ConfigureAwait(false);
        MimeiReplica replica = await ChangeAsync(mid, facts => facts with { IsProvided = true, From = Merge(from, facts.From) }).ConfigureAwait(false);
        replica.Follow(from);
        await replica.WaitServableAsync(cancellation).ConfigureAwait(false);
        SyncedMimei synced = await replica.WaitLevelAsync(work, withVersions: false, cancellation).ConfigureAwait(false);
        _ = Task.Run(() => AnnounceQuietlyAsync(replica), CancellationToken.None);
        return synced;
    }

    /// <inheritdoc/>
    public async Task<bool> UnprovideAsync(LeitherId mid)
    {
        if (!FactsOf(mid).IsProvided) return false;
        if (!IsOwn(mid)) await GiveAsync(mid, static rights => rights.Hidden()).ConfigureAwait(false);
        MimeiReplica replica = await ChangeAsync(mid, static facts => facts with { IsProvided = false, From = [] }).ConfigureAwait(false);
        await WithdrawAsync(replica).ConfigureAwait(false);
        await LetGoAsync(replica).ConfigureAwait(false);
        return true;
    }

    /// <inheritdoc/>
    public async Task<SyncedMimei> SyncAsync(LeitherId mid, IReadOnlyList<Multiaddr> from, bool follow, LongWork work, CancellationToken cancellation = default)
    {
        await BringAsync(mid, from, work, cancellation).ConfigureAwait(false);
        MimeiReplica replica = await ChangeAsync(mid, static facts => facts).ConfigureAwait(false);
        replica.Follow(from);
        try
        {
            // (What follows goes on and gets them, what does not would leave them behind.)
            return await replica.WaitLevelAsync(work, withVersions: !follow, cancellation).ConfigureAwait(false);
        }
        finally
        {
            if (!follow) await LetGoAsync(replica).ConfigureAwait(false);
        }
    }

    /// <inheritdoc/>
    public async Task NameProvidersAsync(LeitherId mid, IReadOnlyList<string> add, IReadOnlyList<string> remove)
    {
        if (add.FirstOrDefault(static name => MimeiCaller.Normalize(name) is null) is { } none) throw new MimeiException($"ERR '{none}' is neither a peer id nor the id of a node");
        await ChangeAsync(mid, facts =>
        {
            string[] named = [.. facts.Named.Concat(add).Distinct(StringComparer.Ordinal).Except(remove, StringComparer.Ordinal)];
            return named.Length <= SharingFacts.MaxNamed ? facts with { Named = named } : throw new MimeiException($"ERR {SharingFacts.MaxNamed} providers can be named at most");
        }).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public ReplicaStatus? Status(LeitherId mid) => _replicas.TryGetValue(mid, out MimeiReplica? replica) ? replica.Status : null;

    /// <inheritdoc/>
    public int CountWritten(LeitherId mid, Position position) => _replicas.TryGetValue(mid, out MimeiReplica? replica) ? replica.CountNamed(position, synced: false) : 0;

    /// <inheritdoc/>
    public int CountInTouch(LeitherId mid, long withinMs) => _replicas.TryGetValue(mid, out MimeiReplica? replica) ? replica.CountInTouch(withinMs) : 0;

    /// <inheritdoc/>
    public int CountSynced(LeitherId mid, Position position) => _replicas.TryGetValue(mid, out MimeiReplica? replica) ? replica.CountNamed(position, synced: true) : 0;

    /// <summary>Tells followers that the node ends, and ends all streams. The loop need not run any more.</summary>
    public async Task StopAsync()
    {
        if (_isStopped) return;
        _isStopped = true;
        _network.Prepare = null;
        foreach (MimeiReplica replica in _replicas.Values) replica.SayBye();
        Task flushed = Task.WhenAll(_replicas.Values.Select(static r => r.FlushAsync()));
        await Task.WhenAny(flushed, Task.Delay(Options.StopTimeout, CancellationToken.None)).ConfigureAwait(false);
        await _stopping.CancelAsync().ConfigureAwait(false);
        await _beginning.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        foreach (MimeiReplica replica in _replicas.Values) await replica.DisposeAsync().ConfigureAwait(false);
        _replicas.Clear();
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await StopAsync().ConfigureAwait(false);
        Clock.Dispose();
        _stopping.Dispose();
    }

    /// <summary>What was decided about a MiMei.</summary>
    internal SharingFacts FactsOf(LeitherId mid) => _replicas.TryGetValue(mid, out MimeiReplica? replica) ? replica.Facts : SharingFacts.Load(_folders.PathOf(mid));

    /// <summary>Whether this node has the key of whoever made a MiMei.</summary>
    internal bool IsOwn(LeitherId mid) => _folders.ReadInfo(mid).Author.Span.SequenceEqual(_folders.Author.Span);

    /// <summary>Does something on the loop thread.</summary>
    internal Task<T> OnLoopAsync<T>(Func<T> action)
    {
        var done = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        _server.Post!(() =>
        {
            try
            {
                done.SetResult(action());
            }
            catch (Exception e) when (e is MimeiException or IOException)
            {
                done.SetException(e);
            }
        });
        return done.Task.WaitAsync(_stopping.Token);
    }

    private async Task BeginAsync()
    {
        (LeitherId Mid, bool IsShared)[] all;
        try
        {
            all = await OnLoopAsync(() => _server.Mimeis.All.Select(static e => (e.Id, e.Rights.IsShared)).ToArray()).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            return; // the node stops
        }

        foreach ((LeitherId mid, bool isShared) in all)
        {
            try
            {
                // (One that has to recover is a copy until it has, whether it is still shared or not.)
                if (!isShared && !SharingFacts.Load(_folders.PathOf(mid)).IsProvided && !Recovers(_folders, mid, _server.Settings)) continue;
                MimeiReplica replica = await ChangeAsync(mid, static facts => facts).ConfigureAwait(false);
                _ = Task.Run(() => AnnounceQuietlyAsync(replica), CancellationToken.None);
            }
            catch (Exception e) when (e is IOException or MimeiException or UnauthorizedAccessException)
            {
                _log.Warning($"MiMei {mid} is not shared with other nodes: {e.Message}");
            }
            catch (OperationCanceledException)
            {
                return; // the node stops
            }
        }
    }

    private Task<MimeiRights> RightsOfAsync(LeitherId mid) => OnLoopAsync(() => _server.Mimeis.TryFind(mid, out MimeiEntry? entry) ? entry.Rights : MimeiRights.Private);

    /// <summary>Changes who may do what with a MiMei, durably. Whoever calls this has what follows for other nodes done (<see cref="ChangeAsync"/>).</summary>
    /// <exception cref="MimeiException">It is not here.</exception>
    /// <exception cref="IOException">The disk failed.</exception>
    private async Task GiveAsync(LeitherId mid, Func<MimeiRights, MimeiRights> change)
    {
        MimeiEntry entry = await OnLoopAsync(() =>
        {
            if (!_server.Mimeis.TryFind(mid, out MimeiEntry? entry)) throw NotHere(mid);
            _server.Mimeis.ChangeRights(entry, change(entry.Rights));
            return entry;
        }).ConfigureAwait(false);
        await Task.Run(() => _server.Mimeis.KeepRights(entry)).ConfigureAwait(false);
    }

    /// <summary>Changes what is decided about a MiMei, durably, and has it done.</summary>
    private async Task<MimeiReplica> ChangeAsync(LeitherId mid, Func<SharingFacts, SharingFacts> change)
    {
        SemaphoreSlim deciding = _deciding.GetOrAdd(mid, static _ => new SemaphoreSlim(1));
        await deciding.WaitAsync(_stopping.Token).ConfigureAwait(false);
        try
        {
            MimeiReplica replica = await OpenAsync(mid).ConfigureAwait(false);
            SharingFacts facts = change(replica.Facts);
            if (facts != replica.Facts) await Task.Run(() => facts.Save(replica.Folder)).ConfigureAwait(false);
            replica.Decided(facts);
            if (!replica.IsIdle && _network.Services is { } services) Speak(services.Host);
            else if (!replica.IsIdle && _network.IsOn) _ = StartQuietlyAsync();
            return replica;
        }
        finally
        {
            deciding.Release();
        }
    }

    /// <summary>The replica of a MiMei that is here.</summary>
    /// <exception cref="MimeiException">It is not here, or cannot be opened.</exception>
    private async Task<MimeiReplica> OpenAsync(LeitherId mid)
    {
        if (_replicas.TryGetValue(mid, out MimeiReplica? standing)) return standing;
        var loaded = new TaskCompletionSource<Mimei>(TaskCreationOptions.RunContinuationsAsynchronously);
        await OnLoopAsync(() =>
        {
            if (!_server.Mimeis.TryFind(mid, out MimeiEntry? entry)) throw NotHere(mid);
            _server.Mimeis.Acquire(entry, (mimei, problem) =>
            {
                if (mimei is null) loaded.TrySetException(problem!);
                else loaded.TrySetResult(mimei);
            });
            return true;
        }).ConfigureAwait(false);
        Mimei mimei = await loaded.Task.WaitAsync(_stopping.Token).ConfigureAwait(false);
        try
        {
            if (mimei.Versions is null || (mimei.Copy is null && mimei.Log is null))
            {
                throw new MimeiException(IsOwn(mid)
                    ? $"ERR MiMei {mid} keeps no log, which other nodes would follow: appendonly is off"
                    : InUse(mid).Message);
            }

            string folder = _folders.PathOf(mid);
            ReplicaState state = await Task.Run(() => ReplicaState.Load(folder)).ConfigureAwait(false);
            ReplicaMode mode = mimei.Copy is null ? ReplicaMode.Writer : IsRecovering(mimei, folder, state) ? ReplicaMode.Recovering : ReplicaMode.Follower;
            if (mode == ReplicaMode.Recovering)
            {
                _log.Warning($"MiMei {mid} was open when the machine lost its power: for {RecoverMs / 1000} s at least those who followed are asked for what may be lost, and nothing is written");
            }

            // What came with an import counts as what another node told.
            if (mimei.Versions.Writers.Blocks is { Count: > 0 } certificates) state = state with { Core = (state.Core ?? new ReplicaFacts()) with { Certificates = certificates } };
            var replica = new MimeiReplica(this, mimei, folder, SharingFacts.Load(folder), state, mode);
            if (!_replicas.TryAdd(mid, replica)) throw new InvalidOperationException("Two replicas of one MiMei.");
            if (mode == ReplicaMode.Writer) await Task.Run(() => replica.OpenedForWriting(_boot)).ConfigureAwait(false);
            return replica;
        }
        catch
        {
            _server.Post!(() => MimeiRegistry.LetGo(mimei));
            throw;
        }
    }

    /// <summary>
    /// Whether one that is written here is to be a copy until others were asked: a writer that was open when the machine lost its power may have lost what it signed, and
    /// whoever followed has it. That a process ended is no reason, for what it wrote is the system's. Before there is a service.
    /// </summary>
    internal static bool Recovers(MimeiFolders folders, LeitherId mid, ConfigSettings settings)
    {
        if (settings.Get(ConfigKeys.ReplicationRecoverTimeout) == 0) return false;
        try
        {
            ReplicaState state = ReplicaState.Load(folders.PathOf(mid));
            return state.Boot.Length > 0 && state.Boot != _boot && state.Peers.Count > 0;
        }
        catch (IOException)
        {
            // It is told when it is to be shared, which it is not then: so nobody can be asked either.
            return false;
        }
    }

    /// <summary>Whether a copy is its writer's: opened so after a loss of power (then nothing says that it is one), perhaps by a process that ended while it recovered.</summary>
    private bool IsRecovering(Mimei mimei, string folder, ReplicaState state) =>
        _folders.MayHaveWritten(mimei.Versions!.Writers) && (!CopyFile.IsIn(new DiskFolder(folder)) || state.Core is { IsWriter: true });

    /// <summary>Nothing is done for it any more, if nothing else wants it.</summary>
    private async Task LetGoAsync(MimeiReplica replica)
    {
        SemaphoreSlim deciding = _deciding.GetOrAdd(replica.Mid, static _ => new SemaphoreSlim(1));
        await deciding.WaitAsync().ConfigureAwait(false);
        try
        {
            replica.Decided(replica.Facts, isWanted: false);
            if (!replica.IsIdle || replica.IsWriter || !_replicas.TryRemove(replica.Mid, out _)) return;
            await replica.DisposeAsync().ConfigureAwait(false);
            await OnLoopAsync(() =>
            {
                MimeiRegistry.LetGo(replica.Mimei);
                return true;
            }).ConfigureAwait(false);
        }
        finally
        {
            deciding.Release();
        }
    }

    /// <summary>
    /// Makes a MiMei's place here if there is none: what it is comes from a peer, and certifies itself. Returns whether everybody may have it where it was asked for;
    /// null: it is this node's own, or nobody could be asked.
    /// </summary>
    private async Task<bool?> BringAsync(LeitherId mid, IReadOnlyList<Multiaddr> from, LongWork work, CancellationToken cancellation)
    {
        bool isHere = await OnLoopAsync(() => _server.Mimeis.TryFind(mid, out _)).ConfigureAwait(false);
        if (isHere && !IsOwn(mid) && !_replicas.ContainsKey(mid) && !Directory.Exists(Path.Combine(_folders.PathOf(mid), "log")))
        {
            // Its versions came otherwise, and are the beginning of a copy. Until it is one it shows the newest of them: so somebody has to have it first.
            (_, Answer answer) = await AskOneAsync(mid, from, cancellation).ConfigureAwait(false);
            if (!await UnloadAsync(mid, cancellation).ConfigureAwait(false)) throw InUse(mid);
            await Task.Run(() => _folders.CreateCopy(_folders.ReadInfo(mid)), cancellation).ConfigureAwait(false);
            return answer.Welcome!.IsPublic;
        }

        if (!isHere)
        {
            work.Begin("looking for the MiMei", 0);
            (MimeiInfo info, Answer answer) = await AskOneAsync(mid, from, cancellation).ConfigureAwait(false);
            await Task.Run(() => _folders.CreateCopy(info), cancellation).ConfigureAwait(false);
            var record = new MimeiRecord(mid) { CreatedMs = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds(), Author = LeitherId.Of(info.Author.Span) };
            await OnLoopAsync(() => _server.Mimeis.Add(record)).ConfigureAwait(false);
            await Task.Run(() => _folders.Keep(record), cancellation).ConfigureAwait(false);
            return answer.Welcome!.IsPublic;
        }

        if (!CopyFile.IsIn(new DiskFolder(_folders.PathOf(mid)))) return null;
        try
        {
            return (await AskOneAsync(mid, from, cancellation).ConfigureAwait(false)).Answer.Welcome!.IsPublic;
        }
        catch (Exception e) when (e is IOException or MimeiException)
        {
            // It is looked for as long as it is wanted.
            return null;
        }
    }

    /// <summary>A new version of a published MiMei: its name is to stand for it.</summary>
    internal void VersionListed(MimeiReplica replica)
    {
        if (_network.Services is { } services) _ = Task.Run(() => PublishQuietlyAsync(replica, services));
    }

    /// <summary>The machine's boot; empty where it does not say.</summary>
    private static string ReadBoot()
    {
        const string file = "/proc/sys/kernel/random/boot_id";
        return File.Exists(file) ? File.ReadAllText(file).Trim() : "";
    }

    /// <summary>Has one loaded anew the next time; false: it is used.</summary>
    private async Task<bool> UnloadAsync(LeitherId mid, CancellationToken cancellation)
    {
        for (int i = 0; i < UnloadTries; i++)
        {
            if (await OnLoopAsync(() => _server.Mimeis.TryFind(mid, out MimeiEntry? entry) && _server.Mimeis.TryUnload(entry)).ConfigureAwait(false)) return true;
            await Task.Delay(_unloadPause, cancellation).ConfigureAwait(false);
        }

        return false;
    }

    private static MimeiException InUse(LeitherId mid) => new($"ERR MiMei {mid} is here as versions only, and in use; MIMEI PROVIDE follows its author once nobody uses it");

    private static MimeiException NotHere(LeitherId mid) => new($"ERR MiMei {mid} is not here");

    private static List<Multiaddr> Merge(IReadOnlyList<Multiaddr> first, IReadOnlyList<Multiaddr> second) => [.. first.Concat(second).Distinct().Take(SharingFacts.MaxAddresses)];

    // ------------------------------------------------------------------ what the network is told

    /// <summary>The name under which the network finds a MiMei's newest version; null: whoever made it has the key.</summary>
    private PeerId? NameOf(MimeiReplica replica)
    {
        if (!IsOwn(replica.Mid)) return null;
        using PrivateKey key = Keys.NameKey(replica.Mid);
        return key.PublicKey.PeerId;
    }

    /// <summary>Tells the network who has a MiMei that everybody may have, and of our own its newest version; returns how many servers took the first.</summary>
    private async Task<int> AnnounceAsync(MimeiReplica replica, CancellationToken cancellation)
    {
        NetworkServices services = await _network.StartAsync().WaitAsync(cancellation).ConfigureAwait(false);
        if (!replica.Rights.IsPublic || services.Dht is not { } dht) return 0;
        int stored = await dht.ProvideAsync(MidRouting.KeyOf(replica.Mid), cancellation).ConfigureAwait(false);
        await PublishVersionAsync(replica, services, cancellation).ConfigureAwait(false);
        return stored;
    }

    /// <summary>Makes the MiMei's name stand for its newest version.</summary>
    internal async Task PublishVersionAsync(MimeiReplica replica, NetworkServices services, CancellationToken cancellation)
    {
        (_, Cid block) = replica.NewestVersion;
        if (block.IsNone || services.Names is not { } names || !replica.IsWriter || !IsOwn(replica.Mid)) return;
        using PrivateKey key = Keys.NameKey(replica.Mid);
        _names[key.PublicKey.PeerId] = replica.Mid;
        await names.PublishAsync(key, $"/ipfs/{block}", Options.NameLifetime, null, cancellation).ConfigureAwait(false);
    }

    private async Task PublishQuietlyAsync(MimeiReplica replica, NetworkServices services)
    {
        try
        {
            await PublishVersionAsync(replica, services, _stopping.Token).ConfigureAwait(false);
        }
        catch (IOException e)
        {
            _log.Verbose($"The newest version of MiMei {replica.Mid} was not told to the network: {e.Message}");
        }
        catch (OperationCanceledException)
        {
            // The node stops.
        }
    }

    private async Task AnnounceQuietlyAsync(MimeiReplica replica)
    {
        try
        {
            await AnnounceAsync(replica, _stopping.Token).ConfigureAwait(false);
        }
        catch (IOException e)
        {
            // What the DHT did not take it takes when it is renewed.
            _log.Verbose($"MiMei {replica.Mid} was not announced: {e.Message}");
        }
        catch (OperationCanceledException)
        {
            // The node stops.
        }
    }

    private async Task WithdrawQuietlyAsync(MimeiReplica replica)
    {
        try
        {
            await WithdrawAsync(replica).ConfigureAwait(false);
        }
        catch (IOException e)
        {
            // What was announced ends by itself.
            _log.Verbose($"MiMei {replica.Mid} was not withdrawn: {e.Message}");
        }
        catch (OperationCanceledException)
        {
            // The node stops.
        }
    }

    private async Task WithdrawAsync(MimeiReplica replica)
    {
        if (replica.Rights.IsPublic || _network.Services is not { Dht: { } dht } services) return;
        await dht.UnprovideAsync(MidRouting.KeyOf(replica.Mid)).ConfigureAwait(false);
        if (NameOf(replica) is { } name && services.Names is { } names) await names.UnpublishAsync(name).ConfigureAwait(false);
    }

    private async Task StartQuietlyAsync()
    {
        try
        {
            Speak((await _network.StartAsync().ConfigureAwait(false)).Host);
        }
        catch (IOException e)
        {
            _log.Warning($"No other node can be reached: {e.Message}");
        }
    }

    // ------------------------------------------------------------------ the protocol

    private void Speak(Host host)
    {
        if (host.Protocols.Contains(LogProtocol.Name)) return;
        host.Handle(LogProtocol.Name, ServeAsync, new ProtocolLimits { MaxStreams = Options.MaxStreams, MaxStreamsPerConnection = Options.MaxStreamsPerConnection });
    }
}
