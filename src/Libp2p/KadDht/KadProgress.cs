namespace Leither.Libp2p.KadDht;

/// <summary>How far a search is, for whoever watches it. Any thread.</summary>
public sealed class KadProgress
{
    private volatile KadQuery? _query;

    /// <summary>How many peers were asked.</summary>
    public int Asked => _query?.Lookup.Asked ?? 0;

    /// <summary>How many providers were found, or valid values came, or peers took what is to be stored.</summary>
    public int Found => _query is not { } query ? 0 : query.Kind switch
    {
        KadQueryKind.FindProviders => query.Providers.Count,
        KadQueryKind.GetValue => query.Values,
        KadQueryKind.FindPeer => query.FoundPeer == null ? 0 : 1,
        _ => query.Stored,
    };

    internal void Follow(KadQuery query) => _query = query;
}
