using Leither.Ipfs.Ipns;
using Leither.Ipfs.Keys;

namespace Leither.Node.Http.Gateway;

/// <summary>Finds what an IPNS name points to.</summary>
public interface INameResolver
{
    /// <summary>The newest record of a name that can be found, verified; null: there is none.</summary>
    /// <exception cref="IpnsException">What was found is no valid record.</exception>
    /// <exception cref="IOException">Nobody could be asked, or nobody answered.</exception>
    Task<IpnsRecord?> ResolveAsync(PeerId name, CancellationToken cancellation);
}
