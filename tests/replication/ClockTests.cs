// Clocks that are hours apart: the writer's decides what expires; the order of entries is that of the log; who takes over goes on from where the log's time is.

using Leither.TestKit;
using Xunit;

namespace Leither.ReplicationNetwork;

public sealed class ClockTests
{
    [Theory]
    [InlineData(+5)]
    [InlineData(-5)]
    public void Nodes_whose_clocks_are_hours_apart_hold_the_same(int hours) => Seed.Run(random =>
    {
        TimeSpan offset = TimeSpan.FromHours(hours);
        using Network network = Network.Create();
        using Node home = Node.Start(network, Places.Home), cloud = Node.Start(network, Places.Cloud, offset);
        home.Publish();
        cloud.Provide(home.Mid, home);
        using RespClient client = home.Connect();
        Bulk.Set(client, random, 0, 500, 50);
        client.Call("SET", "soon", "gone", "PX", "50");
        client.Call("SET", "later", "there", "EX", "36000");
        for (int i = 0; i < 100; i++) client.Call("XADD", "stream", "*", "n", "1");
        Wait.Until(() => client.Call("EXISTS", "soon").Integer == 0);
        // The state, which knows no clock: an hour here is not an hour there, and nobody but the writer lets anything expire.
        Same.AwaitVersion(home.Mid, home, cloud);
        Assert.Equal("there", Same.Get(cloud, home.Mid, "later"));
        cloud.Kill();
        cloud.ClockOffset = -offset;
        cloud.Start();
        client.Call("SET", "after", "all");
        Same.AwaitVersion(home.Mid, home, cloud);
    });
}
