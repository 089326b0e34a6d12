// A follower's disk is full: it says so, serves what it has, and goes on by itself when there is room.

using Leither.TestKit;
using Xunit;

namespace Leither.ReplicationNetwork;

public sealed class DiskTests
{
    [Fact]
    public void A_follower_without_room_says_so_and_goes_on_when_there_is_some() => Seed.Run(random =>
    {
        SmallDisk disk;
        try
        {
            disk = new SmallDisk(24);
        }
        catch (InvalidOperationException e)
        {
            Notes.Say($"no full disk: {e.Message}");
            return;
        }

        using (disk)
        {
            using Network network = Network.Create();
            using Node home = Node.Start(network, Places.Home), cloud = Node.Start(network, Places.Cloud, default, Path.Combine(disk.Path, "data"));
            home.Publish();
            cloud.Provide(home.Mid, home);
            using RespClient client = home.Connect();
            client.Call("SET", "early", "bird");
            Wait.Until(() => Same.Get(cloud, home.Mid, "early") == "bird");
            Bulk.Set(client, random, 0, 60_000, 600);
            client.Call("SET", "late", "worm");

            Wait.Until(
                () => cloud.Ask("MIMEI", "SHOW", home.Mid).ToString().Contains("No space left", StringComparison.OrdinalIgnoreCase),
                () => Same.Describe(cloud, home.Mid));
            Assert.Equal("bird", Same.Get(cloud, home.Mid, "early"));
            Assert.NotEqual("worm", Same.Get(cloud, home.Mid, "late"));

            disk.Grow(400);
            Same.Await(home.Mid, home, cloud);
            cloud.Kill();
            cloud.Start();
            Same.AwaitVersion(home.Mid, home, cloud);
        }
    });
}
