namespace Leither.MmDb;

/// <summary>The channels of one MiMei: who subscribed to what, by name, by pattern and by shard channel.</summary>
public sealed class PubSub(Mimei mimei)
{
    /// <summary>The MiMei whose channels these are.</summary>
    public Mimei Mimei { get; } = mimei;

    /// <summary>Ends all subscriptions of a session.</summary>
    public void RemoveAll(Session session)
    {
        session.Channels = null;
        session.Patterns = null;
        session.ShardChannels = null;
    }
}
