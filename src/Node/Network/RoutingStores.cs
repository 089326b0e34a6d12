using Leither.Ipfs.Files;
using Leither.Libp2p.Ipns;
using Leither.Libp2p.KadDht;

namespace Leither.Node.Network;

/// <summary>
/// What of the DHT outlives the node, in DIR/swarm: <c>dht</c>, records held for others, what is provided and who was known; <c>names</c>, what is published. One
/// thread at a time: open or not.
/// </summary>
internal sealed class RoutingStores(string path) : IDisposable
{
    private const string RecordsFile = "dht", NamesFile = "names";

    private readonly Lock _gate = new();
    private DiskKadStore? _records, _names;

    public (IKadStore Records, IKadStore Names) Open()
    {
        lock (_gate)
        {
            var folder = new DiskFolder(path);
            _records = new DiskKadStore(folder, RecordsFile);
            _names = new DiskKadStore(folder, NamesFile);
            return (_records, _names);
        }
    }

    /// <summary>Whether the network would forget something of ours, were we not in it.</summary>
    public bool HoldAnythingOfOurs()
    {
        lock (_gate)
        {
            // Where they are open we are in it, or will be.
            if (_records is not null) return false;
            var folder = new DiskFolder(path);
            using var names = new DiskKadStore(folder, NamesFile);
            if (names.Count > 0) return true;
            using var records = new DiskKadStore(folder, RecordsFile);
            return KademliaDht.ProvidesAnything(records);
        }
    }

    /// <summary>Closes them; they can be opened again.</summary>
    public void Close()
    {
        lock (_gate)
        {
            _records?.Dispose();
            _names?.Dispose();
            (_records, _names) = (null, null);
        }
    }

    public void Dispose() => Close();
}
