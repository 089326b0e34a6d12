using Leither.Ipfs.Multiformats;
using Xunit;

namespace Leither.MmDb.Tests.Commands;

/// <summary>Nodes that follow, where Redis's tools look for replicas and for what takes long.</summary>
public sealed class FollowersAmongClientsTests
{
    [Fact]
    public void CLIENT_LIST_shows_nodes_that_follow_as_replicas()
    {
        using var db = new InProcess();
        var nodes = new FakeReplication();
        nodes.Statuses[db.Server.DefaultMimei.Id] = new ReplicaStatus
        {
            Role = ReplicaRole.Writer,
            Followers = [new FollowerStatus(FakeReplication.Peer, Multiaddr.Parse("/ip4/10.0.0.2/tcp/4801"), 1, 5, 5, true, "online", 1500)],
        };
        db.Server.Replicas = nodes;
        string follower = $"addr=10.0.0.2:4801 laddr= fd=-1 name={FakeReplication.Peer} age=0 idle=1 flags=S ";
        Assert.Contains(follower, db.Run("CLIENT LIST"), StringComparison.Ordinal);
        Assert.Contains(follower, db.Run("CLIENT LIST TYPE replica"), StringComparison.Ordinal);
        Assert.DoesNotContain(follower, db.Run("CLIENT LIST TYPE normal"), StringComparison.Ordinal);
        Assert.DoesNotContain(follower, db.Run("CLIENT LIST ID 0"), StringComparison.Ordinal);
        nodes.Statuses.Clear();
        Assert.Equal("\"\"", db.Run("CLIENT LIST TYPE replica"));
    }
}
