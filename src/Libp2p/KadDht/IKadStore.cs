namespace Leither.Libp2p.KadDht;

/// <summary>
/// Where the DHT keeps what must outlive the process: records that it holds for others, what it provides itself, whom it knew. Values under names, both bytes.
/// Everything but <see cref="Flush"/> is called under the DHT's lock, so it waits for no disk; what was put and not flushed may be lost.
/// </summary>
public interface IKadStore : IDisposable
{
    /// <summary>Everything that is kept, in no order. While it is being read, things may be put and deleted; it may or may not show that.</summary>
    IEnumerable<KeyValuePair<byte[], byte[]>> Load();

    /// <summary>Keeps something under a name, in place of what was there.</summary>
    void Put(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value);

    /// <summary>Forgets what is kept under a name.</summary>
    void Delete(ReadOnlySpan<byte> name);

    /// <summary>Brings to the disk what was put and deleted. Any thread.</summary>
    /// <param name="durably">Whether it must survive a loss of power when this returns, and not just the end of the process.</param>
    /// <exception cref="IOException">It could not be written; the next call tries again.</exception>
    void Flush(bool durably);
}

/// <summary>A store that ends with the process.</summary>
public sealed class MemoryKadStore : IKadStore
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, (byte[] Name, byte[] Value)> _entries = [];

    /// <inheritdoc/>
    public IEnumerable<KeyValuePair<byte[], byte[]>> Load()
    {
        lock (_gate)
        {
            return [.. _entries.Values.Select(static entry => KeyValuePair.Create(entry.Name, entry.Value))];
        }
    }

    /// <inheritdoc/>
    public void Put(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value)
    {
        lock (_gate)
        {
            _entries[Convert.ToHexString(name)] = (name.ToArray(), value.ToArray());
        }
    }

    /// <inheritdoc/>
    public void Delete(ReadOnlySpan<byte> name)
    {
        lock (_gate)
        {
            _entries.Remove(Convert.ToHexString(name));
        }
    }

    /// <inheritdoc/>
    public void Flush(bool durably)
    {
        // There is nothing that it could be flushed to.
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        // There is nothing to close; the next node in the process may go on with it.
    }
}
