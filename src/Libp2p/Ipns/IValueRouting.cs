namespace Leither.Libp2p.Ipns;

/// <summary>Where signed values are put and found by their keys: the DHT.</summary>
public interface IValueRouting
{
    /// <summary>Stores a value; returns how many peers took it.</summary>
    /// <exception cref="ArgumentException">It is not valid, or there is a newer one.</exception>
    Task<int> PutValueAsync(byte[] key, byte[] value, CancellationToken cancellationToken = default);

    /// <summary>The best value of a key among those of so many peers; null if nobody has one.</summary>
    Task<byte[]?> GetValueAsync(byte[] key, int? quorum = null, CancellationToken cancellationToken = default);
}
