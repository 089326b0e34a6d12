// The DHT and its names as commands see them: what they ask, in terms of ids, keys and paths.

using Leither.Ipfs.Ipns;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;

namespace Leither.MmDb;

/// <summary>Who has what in the network, and what names stand for. Any thread.</summary>
/// <remarks>What goes wrong with peers, and that the DHT is off, is an <see cref="IOException"/>.</remarks>
public interface INodeRouting
{
    /// <summary>Where a peer is; null if nobody knows.</summary>
    Task<RoutedPeer?> FindPeerAsync(PeerId peer, RoutingWatch? watch = null, CancellationToken cancellation = default);

    /// <summary>Who provides content, at most so many.</summary>
    Task<IReadOnlyList<RoutedPeer>> FindProvidersAsync(Multihash content, int max, RoutingWatch? watch = null, CancellationToken cancellation = default);

    /// <summary>Tells the network that this node provides content that it has, now and from time to time until it is taken back; returns how many peers took it.</summary>
    Task<int> ProvideAsync(Cid content, RoutingWatch? watch = null, CancellationToken cancellation = default);

    /// <summary>No longer tells so; false if it did not.</summary>
    Task<bool> UnprovideAsync(Multihash content);

    /// <summary>What this node provides.</summary>
    Task<IReadOnlyList<Multihash>> ProvidedAsync();

    /// <summary>The best value of a key among those of so many peers; null if nobody has one.</summary>
    Task<byte[]?> GetValueAsync(byte[] key, int? quorum, RoutingWatch? watch = null, CancellationToken cancellation = default);

    /// <summary>Stores a value; returns how many peers took it.</summary>
    Task<int> PutValueAsync(byte[] key, byte[] value, RoutingWatch? watch = null, CancellationToken cancellation = default);

    /// <summary>About how many servers the DHT has.</summary>
    Task<long> NetworkSizeAsync();

    /// <summary>Makes the node's own name stand for a path, and goes on doing so.</summary>
    Task<PublishedPath> PublishNameAsync(string path, TimeSpan? lifetime, TimeSpan? ttl, CancellationToken cancellation = default);

    /// <summary>No longer renews a name; false if it was not published here.</summary>
    Task<bool> UnpublishNameAsync(PeerId name);

    /// <summary>What is published here.</summary>
    Task<IReadOnlyList<PublishedPath>> PublishedNamesAsync();

    /// <summary>Where a name, or a path below one, leads.</summary>
    Task<string> ResolveNameAsync(string path, bool recursive, bool useCache, CancellationToken cancellation = default);

    /// <summary>The newest record of a name; null if nobody knows one.</summary>
    Task<IpnsRecord?> FindNameAsync(PeerId name, bool useCache = true, CancellationToken cancellation = default);
}

/// <summary>A peer, and where it is said to be.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Addresses">Where it is said to be: possibly nothing.</param>
public sealed record RoutedPeer(PeerId Id, IReadOnlyList<Multiaddr> Addresses);

/// <summary>What is published under a name.</summary>
/// <param name="Name">The name.</param>
/// <param name="Record">Its newest record.</param>
/// <param name="Stored">How many peers took it just now.</param>
/// <param name="Next">When it is put anew.</param>
public sealed record PublishedPath(PeerId Name, IpnsRecord Record, int Stored, DateTimeOffset Next);

/// <summary>How far a search is, for whoever waits for it.</summary>
public sealed class RoutingWatch
{
    /// <summary>Tells how many peers were asked, and how much was found, or how many took what is stored.</summary>
    public Func<(int Asked, int Found)>? Look { get; set; }

    internal string Describe(string found) => Look?.Invoke() is { } seen ? $"{seen.Asked} peers asked, {seen.Found} {found}" : "";
}
