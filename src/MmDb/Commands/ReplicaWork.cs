using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Versions;

namespace Leither.MmDb.Commands;

/// <summary>What commands about several nodes wait for, beside the loop.</summary>
internal static class ReplicaWork
{
    public static async Task<bool> NameAsync(INodeReplication replicas, LeitherId mid, IReadOnlyList<string> add, IReadOnlyList<string> remove)
    {
        await replicas.NameProvidersAsync(mid, add, remove).ConfigureAwait(false);
        return true;
    }

    public static async Task<bool> RightsChangedAsync(INodeReplication replicas, LeitherId mid)
    {
        await replicas.RightsChangedAsync(mid).ConfigureAwait(false);
        return true;
    }

    /// <summary>What others have of a MiMei; or, of one that is here too, why they cannot be asked.</summary>
    public static async Task<(MimeiStanding? Standing, string Problem)> CompareAsync(INodeReplication replicas, LeitherId mid, bool isHere, CancellationToken cancellation)
    {
        try
        {
            return (await replicas.CompareAsync(mid, cancellation).ConfigureAwait(false), "");
        }
        catch (IOException e) when (isHere)
        {
            return (null, e.Message.ReplaceLineEndings(" "));
        }
    }

    public static async Task<bool> FetchAsync(RemoteMimei.Fetch fetch, Cid block, CancellationToken cancellation)
    {
        await fetch(block, cancellation).ConfigureAwait(false);
        return true;
    }
}
