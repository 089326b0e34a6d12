using System.Collections.Concurrent;
using Leither.Ipfs;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p;
using Leither.Libp2p.KadDht;
using Leither.MmDb;
using Leither.MmDb.Configuration;
using Leither.MmDb.Log;
using Leither.MmDb.Versions;
using Leither.MmDb.Writers;
using Leither.Node.Network;
using Leither.Replication;

namespace Leither.Node.Replication;

// Asking other nodes what they have, answering them, and taking over from them.
internal sealed partial class ReplicationService
{
    /// <summary>Nodes that are asked at a time.</summary>
    private const int MaxAsked = 8;

    /// <summary>What a node said.</summary>
    /// <param name="Peer">Which.</param>
    /// <param name="Addresses">Where it is.</param>
    /// <param name="Welcome">What it has; null: it gives nothing.</param>
    /// <param name="Head">How far its log goes; null: it showed no head that is signed.</param>
    /// <param name="Problem">Why it said nothing.</param>
    /// <param name="Shares">Whether it shares any MiMei: who follows one, and no more, does not.</param>
    private sealed record Answer(PeerId Peer, IReadOnlyList<Multiaddr> Addresses, Welcome? Welcome, Head? Head, string? Problem, bool Shares = true);

    /// <inheritdoc/>
    public async Task<IReadOnlyList<MimeiProvider>> FindProvidersAsync(LeitherId mid, CancellationToken cancellation = default)
    {
        NetworkServices services = await _network.StartAsync().WaitAsync(cancellation).ConfigureAwait(false);
        var providers = new List<MimeiProvider>();
        if (_replicas.TryGetValue(mid, out MimeiReplica? own) && !own.IsIdle)
        {
            (ulong number, Cid block) = own.NewestVersion;
            providers.Add(new MimeiProvider(services.Host.Id, services.Host.Addresses, number, block, own.Position, own.IsWriter, IsThis: true, null));
        }

        foreach (Answer answer in await AskAllAsync(mid, await NearAsync(mid, [], services, cancellation).ConfigureAwait(false), services, cancellation).ConfigureAwait(false))
        {
            if (!answer.Shares) continue;
            Leither.Replication.ListedVersion newest = answer.Welcome is { Versions.Count: > 0 } welcome ? welcome.Versions[^1] : default;
            providers.Add(new MimeiProvider(
                answer.Peer, answer.Addresses, newest.Number, newest.Block, answer.Head?.Position ?? newest.Position, answer.Welcome is { IsWriter: true }, IsThis: false, answer.Problem));
        }

        return providers;
    }

    /// <inheritdoc/>
    public async Task<MimeiStanding> CompareAsync(LeitherId mid, CancellationToken cancellation = default)
    {
        IReadOnlyList<MimeiProvider> providers;
        try
        {
            providers = await FindProvidersAsync(mid, cancellation).ConfigureAwait(false);
        }
        catch (IOException)
        {
            // Without a network there is what is here.
            providers = [];
        }

        MimeiReplica? replica = _replicas.GetValueOrDefault(mid);
        (ulong number, Cid block) = replica?.NewestVersion ?? default;
        Position position = replica?.Position ?? default;
        bool isHere = await OnLoopAsync(() => _server.Mimeis.TryFind(mid, out _)).ConfigureAwait(false);
        if (replica is null && isHere)
        {
            (number, block, position) = await OnLoopAsync(() =>
                _server.Mimeis.TryFind(mid, out MimeiEntry? entry) && entry.Loaded is { } mimei
                    ? (mimei.Versions?.List.Last.Number ?? 0, mimei.Versions?.List.Last.Block ?? default, mimei.Log?.LastPosition ?? default) : default).ConfigureAwait(false);
        }

        MimeiInfo info = isHere ? _folders.ReadInfo(mid) : await AskInfoAsync(mid, [], cancellation).ConfigureAwait(false);
        MimeiProvider? newest = providers.Where(static p => !p.IsThis && p.Problem is null).OrderBy(static p => p.Position.Epoch).ThenBy(static p => p.Position.Sequence).ThenBy(static p => p.Version).LastOrDefault();
        MimeiProvider? sameVersion = providers.FirstOrDefault(p => !p.IsThis && p.Problem is null && p.Version == number && number > 0 && p.Block != block);
        string? conflict = replica?.Status.Proof ?? (sameVersion is null ? null : $"version {number} is {block} here and {sameVersion.Block} at {sameVersion.Peer}");
        return new MimeiStanding(info, number, block, position, newest?.Version ?? 0, newest?.Block ?? default, newest?.Position ?? default, conflict, providers, replica?.Status);
    }

    /// <inheritdoc/>
    public async Task<byte[]> PrepareTakeoverAsync(LeitherId mid, CancellationToken cancellation = default)
    {
        MimeiReplica replica = await ReadyToTakeOverAsync(mid, cancellation).ConfigureAwait(false);
        return NextCertificate(replica).ToBeSigned();
    }

    /// <inheritdoc/>
    public async Task<TakenOver> TakeoverAsync(LeitherId mid, byte[]? certificate, CancellationToken cancellation = default)
    {
        MimeiReplica replica = await ReadyToTakeOverAsync(mid, cancellation).ConfigureAwait(false);
        PeerId? before = replica.Status.Writer;
        WriterCertificate signed;
        if (certificate is null)
        {
            if (!IsOwn(mid)) throw new MimeiException("ERR the key of the MiMei's author is not on this node. MIMEI TAKEOVER mid PREPARE gives what is to be signed with it");
            signed = NextCertificate(replica).Sign(Keys.Author);
        }
        else
        {
            try
            {
                signed = WriterCertificate.Decode(certificate, mid, _folders.ReadInfo(mid).ReadAuthorKey());
            }
            catch (MalformedBlockException e)
            {
                throw new MimeiException($"ERR the certificate does not fit: {e.Message}", e);
            }

            if (!signed.Writer.Span.SequenceEqual(Keys.Author.PublicKey.Bytes)) throw new MimeiException("ERR the certificate is for another writer's key, not for that of this node's user");
        }

        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation, _stopping.Token);
        limit.CancelAfter(Options.TakeoverTimeout);
        try
        {
            BecameWriter became = await replica.TakeOverAsync(signed, limit.Token).ConfigureAwait(false);
            return new TakenOver(became.Epoch, became.After, before);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested && !_stopping.IsCancellationRequested)
        {
            throw new IOException($"the takeover is not done after {Options.TakeoverTimeout.TotalSeconds:0} s; MIMEI SHOW {mid} tells when it is");
        }
    }

    /// <inheritdoc/>
    public async Task<Mimei> OpenRemoteAsync(LeitherId mid, MimeiPlace place, CancellationToken cancellation = default)
    {
        IReadOnlyList<(MimeiInfo Info, Answer Answer)> all = await AskForAsync(mid, [], cancellation).ConfigureAwait(false);
        Exception? problem = null;
        foreach ((MimeiInfo info, Answer answer) in all)
        {
            if (Listed(answer.Welcome!, place) is not { } listed) continue;
            try
            {
                return await OpenAsync(info, answer, listed).ConfigureAwait(false);
            }
            catch (Exception e) when (e is IOException or MimeiException)
            {
                problem ??= e; // another one may give what it lists
            }
        }

        throw problem ?? new MimeiException(place.Kind switch
        {
            _ when all.All(static one => one.Answer.Welcome!.Versions.Count == 0) => $"ERR MiMei {mid} has no version yet that could be read from afar; MIMEI SYNC {mid} brings what it holds",
            MimeiPlaceKind.Release => $"ERR no version of MiMei {mid} is released",
            _ => $"ERR no node that can be reached has version {place} of MiMei {mid}; MIMEI FINDPROVS {mid} lists who has which",
        });

        async Task<Mimei> OpenAsync(MimeiInfo info, Answer answer, Leither.Replication.ListedVersion listed)
        {
            // The signature on the version, of the author or of whom he let write, is what is trusted, and all blocks hang on it.
            WriterSet writers = WritersOf(info, mid, answer.Welcome!);
            var blocks = new RemoteBlocks((asked, ended) => OpenSourceAsync(mid, answer, asked, ended), Options.RemoteCacheBytes, TimeSpan.FromSeconds(_server.Settings.Get(ConfigKeys.FetchTimeout)));
            try
            {
                await blocks.FetchAsync(listed.Block, cancellation).ConfigureAwait(false);
                MimeiVersion version = MimeiVersion.Decode(blocks.Blocks.Get(listed.Block)!, writers);
                if (version.Number != listed.Number) throw new IOException($"{answer.Peer} lists version {version.Number} of MiMei {mid} as version {listed.Number}");
                return await RemoteMimei.OpenAsync(mid, version, blocks.Blocks, blocks.FetchAsync, _server.DefaultMimei.Keyspace, blocks, cancellation).ConfigureAwait(false);
            }
            catch
            {
                blocks.Dispose();
                throw;
            }
        }
    }

    /// <summary>What a node lists as a version; null: it has none such.</summary>
    private static Leither.Replication.ListedVersion? Listed(Welcome welcome, MimeiPlace place)
    {
        if (place.Kind is MimeiPlaceKind.Current or MimeiPlaceKind.Last) return welcome.Versions is [.., var newest] ? newest : null;
        ulong number = place.Kind == MimeiPlaceKind.Release ? welcome.Released : place.Number;
        return welcome.Versions.Where(v => v.Number == number).Cast<Leither.Replication.ListedVersion?>().FirstOrDefault();
    }

    /// <summary>A stream to a node that gives a MiMei: who gave it first, or any other that was not asked.</summary>
    private async Task<RemoteBlocks.Source?> OpenSourceAsync(LeitherId mid, Answer first, IReadOnlySet<PeerId> asked, CancellationToken cancellation)
    {
        NetworkServices services = await _network.StartAsync().WaitAsync(cancellation).ConfigureAwait(false);
        if (!asked.Contains(first.Peer) && await TryOpenAsync(first.Peer, first.Addresses).ConfigureAwait(false) is { } again) return again;
        foreach (IGrouping<string, Multiaddr> one in (await NearAsync(mid, [], services, cancellation).ConfigureAwait(false)).GroupBy(static a => a.TryGetPeerId(out PeerId peer) ? peer.ToString() : ""))
        {
            if (PeerId.TryParse(one.Key, out PeerId peer) && !asked.Contains(peer) && peer != first.Peer && peer != services.Host.Id && await TryOpenAsync(peer, [.. one]).ConfigureAwait(false) is { } other) return other;
        }

        return null;

        async Task<RemoteBlocks.Source?> TryOpenAsync(PeerId peer, IReadOnlyList<Multiaddr> addresses)
        {
            PeerStream? stream = null;
            MessageReader? reader = null;
            try
            {
                PeerConnection connection = await services.Host.ConnectAsync(peer, addresses.Select(static a => a.WithoutPeer()).OfType<Multiaddr>(), cancellation).ConfigureAwait(false);
                stream = await connection.OpenStreamAsync([LogProtocol.Name], cancellation).ConfigureAwait(false);
                reader = new MessageReader(stream);
                await SendAsync(stream, Question(mid, peer), cancellation).ConfigureAwait(false);
                if (await reader.ReadAsync(cancellation).ConfigureAwait(false) is var (message, _) && message is Welcome) return new RemoteBlocks.Source(peer, stream, reader);
            }
            catch (IOException)
            {
                // Another one may give it.
            }

            stream?.Reset();
            reader?.Dispose();
            return null;
        }
    }

    /// <summary>The replica of a MiMei that follows another node, with all that can be had.</summary>
    private async Task<MimeiReplica> ReadyToTakeOverAsync(LeitherId mid, CancellationToken cancellation)
    {
        MimeiReplica replica = await ChangeAsync(mid, static facts => facts).ConfigureAwait(false);
        if (replica.IsWriter) throw new MimeiException($"ERR MiMei {mid} is written here already");
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation, _stopping.Token);
        limit.CancelAfter(Options.TakeoverTimeout);
        try
        {
            await replica.WaitLevelAsync(new LongWork("takeover", 0), withVersions: false, limit.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is MimeiException or IOException || (e is OperationCanceledException && !cancellation.IsCancellationRequested && !_stopping.IsCancellationRequested))
        {
            // Who wrote before may be gone for good: that is what a takeover is for. What is here is kept.
        }

        return replica;
    }

    private WriterCertificate NextCertificate(MimeiReplica replica) => new()
    {
        Mid = replica.Mid,
        Author = _folders.ReadInfo(replica.Mid).ReadAuthorKey().Bytes.ToArray(),
        Writer = Keys.Author.PublicKey.Bytes.ToArray(),
        Node = _network.Id,
        Epoch = WriterCertificate.FirstEpochOf(Math.Max(replica.Certificate?.Term ?? 0, WriterCertificate.TermOf(replica.HeadSeen.Epoch)) + 1),
        After = replica.Position,
    };

    /// <summary>Who may write a MiMei, by what a node showed of it.</summary>
    private static WriterSet WritersOf(MimeiInfo info, LeitherId mid, Welcome welcome)
    {
        var writers = new WriterSet(mid, info.ReadAuthorKey());
        foreach (ReadOnlyMemory<byte> certificate in welcome.Certificates)
        {
            try
            {
                writers.Add(certificate, out _);
            }
            catch (MalformedBlockException)
            {
                // What it was to show is not trusted then.
            }
        }

        return writers;
    }

    // ------------------------------------------------------------------ asking

    /// <summary>Where a MiMei may be: what was named, who is connected with it, and whom the network names.</summary>
    private async Task<List<Multiaddr>> NearAsync(LeitherId mid, IReadOnlyList<Multiaddr> from, NetworkServices services, CancellationToken cancellation)
    {
        var near = new List<Multiaddr>(from);
        if (_replicas.TryGetValue(mid, out MimeiReplica? replica))
        {
            near.AddRange(replica.Facts.From);
            ReplicaStatus status = replica.Status;
            foreach (PeerId peer in status.Followers.Select(static f => f.Peer).Append(status.Source ?? default).Append(status.Writer ?? default).Where(static p => !p.IsNone).Distinct())
            {
                near.AddRange(services.Host.Peers.GetAddresses(peer).Select(address => address.WithPeer(peer)));
            }
        }

        if (services.Dht is { TableCount: > 0 } dht)
        {
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation, _stopping.Token);
            limit.CancelAfter(Options.FindTimeout);
            try
            {
                await foreach (KadPeer peer in dht.FindProvidersAsync(MidRouting.KeyOf(mid), Options.MaxProviders, limit.Token).ConfigureAwait(false))
                {
                    IReadOnlyList<Multiaddr> addresses = peer.Addresses.Count > 0 ? peer.Addresses : services.Host.Peers.GetAddresses(peer.Id);
                    near.AddRange(addresses.Select(address => address.WithPeer(peer.Id)));
                }
            }
            catch (OperationCanceledException) when (!cancellation.IsCancellationRequested && !_stopping.IsCancellationRequested)
            {
                // Who was found in time is asked.
            }
        }

        return near;
    }

    private async Task<IReadOnlyList<Answer>> AskAllAsync(LeitherId mid, IReadOnlyList<Multiaddr> addresses, NetworkServices services, CancellationToken cancellation)
    {
        var answers = new ConcurrentDictionary<PeerId, Answer>();
        using var slots = new SemaphoreSlim(MaxAsked);
        await Task.WhenAll(addresses.GroupBy(static a => a.TryGetPeerId(out PeerId peer) ? peer.ToString() : a.ToString()).Select(async one =>
        {
            await slots.WaitAsync(cancellation).ConfigureAwait(false);
            try
            {
                if (await AskAsync(mid, [.. one], services, cancellation).ConfigureAwait(false) is { } answer) answers[answer.Peer] = answer;
            }
            finally
            {
                slots.Release();
            }
        })).ConfigureAwait(false);
        return [.. answers.Values.OrderBy(static a => a.Problem is not null).ThenBy(static a => a.Peer.ToString(), StringComparer.Ordinal)];
    }

    /// <summary>Asks one node what it has; null: it is this one, or nobody knows who it is.</summary>
    private async Task<Answer?> AskAsync(LeitherId mid, IReadOnlyList<Multiaddr> addresses, NetworkServices services, CancellationToken cancellation)
    {
        PeerId peer = default;
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation, _stopping.Token);
        limit.CancelAfter(Options.HelloTimeout);
        try
        {
            PeerConnection connection;
            if (addresses[0].TryGetPeerId(out peer))
            {
                if (peer == services.Host.Id) return null;
                connection = await services.Host.ConnectAsync(peer, addresses.Select(static a => a.WithoutPeer()).OfType<Multiaddr>(), limit.Token).ConfigureAwait(false);
            }
            else
            {
                connection = await services.Host.ConnectAsync(addresses[0], limit.Token).ConfigureAwait(false);
                peer = connection.Peer;
            }

            PeerStream stream = await connection.OpenStreamAsync([LogProtocol.Name], limit.Token).ConfigureAwait(false);
            await using (stream.ConfigureAwait(false))
            {
                using var reader = new MessageReader(stream);
                await SendAsync(stream, Question(mid, peer), limit.Token).ConfigureAwait(false);
                Message? said = (await reader.ReadAsync(limit.Token).ConfigureAwait(false))?.Message;
                await SendAsync(stream, new Bye(ByeCode.Closing, ""), limit.Token).ConfigureAwait(false);
                return said switch
                {
                    Welcome welcome => new Answer(peer, addresses, welcome, HeadOf(welcome, mid), null),
                    Refused refused => new Answer(peer, addresses, null, null, refused.Text),
                    _ => new Answer(peer, addresses, null, null, "it answered with something else"),
                };
            }
        }
        catch (Libp2pException e) when (e.Error == Libp2pError.UnsupportedProtocol)
        {
            return new Answer(peer, addresses, null, null, "it shares no MiMei with other nodes", Shares: false);
        }
        catch (Exception e) when (e is IOException || (e is OperationCanceledException && !cancellation.IsCancellationRequested && !_stopping.IsCancellationRequested))
        {
            return peer.IsNone ? null : new Answer(peer, addresses, null, null, e is IOException ? e.Message : "it did not answer in time");
        }
    }

    private Hello Question(LeitherId mid, PeerId peer) =>
        new(LogProtocol.Format, mid, default, null, [], Follow: false, 0, UserProof.Make(Keys.Author, _network.Id, peer, mid, DateTimeOffset.UtcNow.ToUnixTimeMilliseconds()));

    /// <summary>The head that a node showed, if it is signed by whom it names. (Who that is decides nothing here.)</summary>
    private static Head? HeadOf(Welcome welcome, LeitherId mid)
    {
        try
        {
            return welcome.Head.IsEmpty ? null : Head.Decode(welcome.Head, mid);
        }
        catch (MalformedBlockException)
        {
            return null;
        }
    }

    /// <summary>What a MiMei that is not here is: from the first who says it, for it certifies itself.</summary>
    private async Task<MimeiInfo> AskInfoAsync(LeitherId mid, IReadOnlyList<Multiaddr> from, CancellationToken cancellation) => (await AskOneAsync(mid, from, cancellation).ConfigureAwait(false)).Info;

    private async Task<(MimeiInfo Info, Answer Answer)> AskOneAsync(LeitherId mid, IReadOnlyList<Multiaddr> from, CancellationToken cancellation) =>
        (await AskForAsync(mid, from, cancellation).ConfigureAwait(false))[0];

    /// <summary>Who has a MiMei, whoever has most of it first, and none of it forged: at least one.</summary>
    /// <exception cref="MimeiException">Nobody who can be reached has it.</exception>
    private async Task<IReadOnlyList<(MimeiInfo Info, Answer Answer)>> AskForAsync(LeitherId mid, IReadOnlyList<Multiaddr> from, CancellationToken cancellation)
    {
        NetworkServices services = await _network.StartAsync().WaitAsync(cancellation).ConfigureAwait(false);
        // Those who were named are asked first: the network need not know of it.
        if (from.Count > 0 && Sound(await AskAllAsync(mid, from, services, cancellation).ConfigureAwait(false)) is { Count: > 0 } named) return named;
        IReadOnlyList<Answer> answers = await AskAllAsync(mid, await NearAsync(mid, from, services, cancellation).ConfigureAwait(false), services, cancellation).ConfigureAwait(false);
        if (Sound(answers) is { Count: > 0 } found) return found;
        string why = answers.FirstOrDefault(static a => a.Problem is not null) is { } answer ? $": {answer.Peer} says {answer.Problem}" : from.Count == 0 && answers.Count == 0 ? ": the network names nobody who has it" : "";
        throw new MimeiException($"ERR MiMei {mid} cannot be had{why}");

        List<(MimeiInfo, Answer)> Sound(IReadOnlyList<Answer> answers)
        {
            var sound = new List<(MimeiInfo, Answer)>();
            foreach (Answer answer in answers.Where(static a => a.Welcome is not null).OrderByDescending(static a => a.Head?.Position.Sequence ?? 0))
            {
                try
                {
                    sound.Add((MimeiInfo.Decode(answer.Welcome!.Info.Span, mid), answer));
                }
                catch (MimeiException)
                {
                    // Another one may tell the truth.
                }
            }

            return sound;
        }
    }

    internal static async Task SendAsync(PeerStream stream, Message message, CancellationToken cancellation)
    {
        var bytes = new System.Buffers.ArrayBufferWriter<byte>();
        MessageCodec.Encode(message, bytes);
        await stream.WriteAsync(bytes.WrittenMemory, cancellation).ConfigureAwait(false);
    }

    // ------------------------------------------------------------------ answering

    private async Task ServeAsync(PeerStream stream, CancellationToken cancellation)
    {
        using var reader = new MessageReader(stream);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation, _stopping.Token);
        limit.CancelAfter(Options.HelloTimeout);
        Message? first;
        try
        {
            first = (await reader.ReadAsync(limit.Token).ConfigureAwait(false))?.Message;
        }
        catch (Exception e) when (e is IOException or OperationCanceledException)
        {
            stream.Reset();
            return;
        }

        if (first is not Hello hello || stream.Connection is not { } connection)
        {
            stream.Reset();
            return;
        }

        if (!_replicas.TryGetValue(hello.Mid, out MimeiReplica? replica))
        {
            // As one that the peer may not have.
            await SendAsync(stream, new Refused(ByeCode.NotFound, NotFoundText), limit.Token).ConfigureAwait(false);
            return;
        }

        await replica.ServeAsync(stream, connection.Peer, reader, hello).ConfigureAwait(false);
    }
}
