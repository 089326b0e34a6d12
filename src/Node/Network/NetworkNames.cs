using Leither.Ipfs.Ipns;
using Leither.Ipfs.Keys;
using Leither.MmDb;
using Leither.Node.Http.Gateway;

namespace Leither.Node.Network;

/// <summary>Names for the gateway, from the network that the node is part of.</summary>
internal sealed class NetworkNames(INodeRouting routing) : INameResolver
{
    public Task<IpnsRecord?> ResolveAsync(PeerId name, CancellationToken cancellation) => routing.FindNameAsync(name, useCache: true, cancellation);
}
