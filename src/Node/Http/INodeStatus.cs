namespace Leither.Node.Http;

/// <summary>What the status page shows.</summary>
/// <param name="Version">The product's version.</param>
/// <param name="Uptime">How long the node runs.</param>
/// <param name="ConnectedClients">RESP clients connected.</param>
/// <param name="Keys">Keys in all databases.</param>
/// <param name="UsedMemoryBytes">Memory used by data.</param>
public sealed record NodeStatus(string Version, TimeSpan Uptime, int ConnectedClients, long Keys, long UsedMemoryBytes);

/// <summary>Where the status page learns about the node. Asked on any thread.</summary>
public interface INodeStatus
{
    /// <summary>The state as of now.</summary>
    Task<NodeStatus> ReadAsync(CancellationToken cancellation);
}
