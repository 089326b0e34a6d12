using Leither.Ipfs.Content;
using Leither.Ipfs.Ipns;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p.Ipns;
using Leither.Libp2p.KadDht;
using Leither.MmDb;

namespace Leither.Node.Network;

/// <summary>The node's part of the DHT, as commands see it. Any thread.</summary>
internal sealed class NodeRouting(NodeNetwork network, ContentRepo content) : INodeRouting
{
    public async Task<RoutedPeer?> FindPeerAsync(PeerId peer, RoutingWatch? watch = null, CancellationToken cancellation = default)
    {
        NetworkServices services = await network.StartAsync().ConfigureAwait(false);
        if (peer == network.Id) return new RoutedPeer(peer, services.Host.Addresses);
        KademliaDht dht = DhtOf(services);
        return await dht.FindPeerAsync(peer, Follow(watch), cancellation).ConfigureAwait(false) is { } found ? new RoutedPeer(found.Id, found.Addresses)
            : dht.TableCount > 0 ? null : throw Alone();
    }

    public async Task<IReadOnlyList<RoutedPeer>> FindProvidersAsync(Multihash content, int max, RoutingWatch? watch = null, CancellationToken cancellation = default)
    {
        KademliaDht dht = await DhtAsync().ConfigureAwait(false);
        var found = new List<RoutedPeer>();
        await foreach (KadPeer peer in dht.FindProvidersAsync(content, max, Follow(watch), cancellation).ConfigureAwait(false))
        {
            found.Add(new RoutedPeer(peer.Id, peer.Addresses));
        }

        return found.Count > 0 || dht.TableCount > 0 ? found : throw Alone();
    }

    public async Task<int> ProvideAsync(Cid cid, RoutingWatch? watch = null, CancellationToken cancellation = default)
    {
        KademliaDht dht = await DhtAsync().ConfigureAwait(false);
        // Others would come for it in vain.
        if (!content.Blocks.Has(cid)) throw new IOException($"{cid} is not here: IPFS PIN ADD keeps it here first");
        return await dht.ProvideAsync(cid.Multihash, Follow(watch), cancellation).ConfigureAwait(false);
    }

    public async Task<bool> UnprovideAsync(Multihash content) => await (await DhtAsync().ConfigureAwait(false)).UnprovideAsync(content).ConfigureAwait(false);

    public async Task<IReadOnlyList<Multihash>> ProvidedAsync() =>
        [.. (await DhtAsync().ConfigureAwait(false)).Provided.Select(static key => Multihash.TryRead(key, out Multihash hash, out int length) && length == key.Length ? hash : default).Where(static hash => hash.DigestLength > 0)];

    public async Task<byte[]?> GetValueAsync(byte[] key, int? quorum, RoutingWatch? watch = null, CancellationToken cancellation = default)
    {
        KademliaDht dht = await DhtAsync().ConfigureAwait(false);
        return await dht.GetValueAsync(key, quorum, Follow(watch), cancellation).ConfigureAwait(false) ?? (dht.TableCount > 0 ? null : throw Alone());
    }

    public async Task<int> PutValueAsync(byte[] key, byte[] value, RoutingWatch? watch = null, CancellationToken cancellation = default)
    {
        KademliaDht dht = await DhtAsync().ConfigureAwait(false);
        try
        {
            return await dht.PutValueAsync(key, value, Follow(watch), cancellation).ConfigureAwait(false);
        }
        catch (ArgumentException e)
        {
            throw new IOException(Plain(e), e);
        }
    }

    public async Task<long> NetworkSizeAsync()
    {
        KademliaDht dht = await DhtAsync().ConfigureAwait(false);
        return dht.NetworkSize;
    }

    public async Task<PublishedPath> PublishNameAsync(string path, TimeSpan? lifetime, TimeSpan? ttl, CancellationToken cancellation = default)
    {
        IpnsNames names = await NamesAsync().ConfigureAwait(false);
        try
        {
            (IpnsRecord record, int stored) = await names.PublishAsync(network.Identity, path, lifetime, ttl, cancellation).ConfigureAwait(false);
            return new PublishedPath(network.Id, record, stored, names.Published.FirstOrDefault(p => p.Name == network.Id)?.Next ?? record.Validity);
        }
        catch (ArgumentException e)
        {
            throw new IOException(Plain(e), e);
        }
    }

    public async Task<bool> UnpublishNameAsync(PeerId name) => await (await NamesAsync().ConfigureAwait(false)).UnpublishAsync(name).ConfigureAwait(false);

    public async Task<IReadOnlyList<PublishedPath>> PublishedNamesAsync() =>
        [.. (await NamesAsync().ConfigureAwait(false)).Published.Select(static name => new PublishedPath(name.Name, name.Record, name.Stored, name.Next))];

    public async Task<string> ResolveNameAsync(string path, bool recursive, bool useCache, CancellationToken cancellation = default) =>
        (await (await NamesAsync().ConfigureAwait(false)).ResolveAsync(path, recursive, useCache, cancellation).ConfigureAwait(false)).Path;

    public async Task<IpnsRecord?> FindNameAsync(PeerId name, bool useCache = true, CancellationToken cancellation = default) =>
        await (await NamesAsync().ConfigureAwait(false)).ResolveAsync(name, useCache, cancellation).ConfigureAwait(false);

    private static KadProgress? Follow(RoutingWatch? watch)
    {
        if (watch is null) return null;
        var progress = new KadProgress();
        watch.Look = () => (progress.Asked, progress.Found);
        return progress;
    }

    private static KademliaDht DhtOf(NetworkServices services) =>
        services.Dht ?? throw new IOException("this node takes no part in the DHT: the setting dht-mode is off");

    private static IOException Alone() => new("no peer of the DHT is known: SWARM CONNECT connects with one");

    /// <summary>What .NET adds to the message of an argument is for programmers.</summary>
    private static string Plain(ArgumentException e) => e.ParamName is { } name ? e.Message.Replace($" (Parameter '{name}')", "", StringComparison.Ordinal) : e.Message;

    private async Task<KademliaDht> DhtAsync() => DhtOf(await network.StartAsync().ConfigureAwait(false));

    private async Task<IpnsNames> NamesAsync()
    {
        NetworkServices services = await network.StartAsync().ConfigureAwait(false);
        _ = DhtOf(services);
        return services.Names!;
    }
}
