// Home, cloud and phone: each may feed the next, and what is there is served whoever else is gone.

using Leither.TestKit;
using Xunit;

namespace Leither.ReplicationNetwork;

public sealed class ChainTests
{
    [Fact]
    public void The_cloud_serves_the_phone_while_home_is_cut_off() => Seed.Run(random =>
    {
        using Network network = Network.Create();
        using Node home = Node.Start(network, Places.Home), cloud = Node.Start(network, Places.Cloud), phone = Node.Start(network, Places.Phone);
        using RespClient client = home.Connect();
        Bulk.Set(client, random, 0, 2000, 100);
        home.Publish();
        cloud.Provide(home.Mid, home);
        Same.AwaitVersion(home.Mid, home, cloud);
        client.Call("SET", "greeting", "hello");
        Same.Await(home.Mid, home, cloud);

        network[Places.Home].Cut();
        client.Call("SET", "greeting", "unheard");
        phone.Provide(home.Mid, cloud);
        Same.Await(home.Mid, cloud, phone);
        Assert.Equal("hello", Same.Get(phone, home.Mid, "greeting"));

        // And without the cloud it still has what it has.
        network[Places.Home].Heal();
        Wait.Until(() => Same.Get(phone, home.Mid, "greeting") == "unheard", () => Same.Describe(cloud, home.Mid) + Same.Describe(phone, home.Mid));
        cloud.Kill();
        Assert.Equal("unheard", Same.Get(phone, home.Mid, "greeting"));
        cloud.Start();
        Bulk.Set(client, random, 0, 2000, 100);
        Same.AwaitVersion(home.Mid, home, cloud, phone);
    });

    [Fact]
    public void A_phone_with_two_sources_goes_on_with_the_other_when_one_is_gone() => Seed.Run(random =>
    {
        using Network network = Network.Create();
        using Node home = Node.Start(network, Places.Home), cloud = Node.Start(network, Places.Cloud), phone = Node.Start(network, Places.Phone);
        using RespClient client = home.Connect();
        Bulk.Set(client, random, 0, 2000, 100);
        home.Publish();
        cloud.Provide(home.Mid, home);
        phone.Provide(home.Mid, home, cloud);
        Same.Await(home.Mid, home, cloud, phone);
        cloud.Kill();
        client.Call("SET", "greeting", "hello");
        Same.Await(home.Mid, home, phone);
        cloud.Start();
        Same.Await(home.Mid, home, cloud);
        home.Kill();
        Same.Await(home.Mid, cloud, phone);
        home.Start();
        Assert.Equal("OK", home.Ask("SET", "greeting", "again").Text);
        Same.AwaitVersion(home.Mid, home, cloud, phone);
    });

    [Fact]
    public void Two_nodes_back_each_other_up() => Seed.Run(random =>
    {
        using Network network = Network.Create();
        using Node home = Node.Start(network, Places.Home), cloud = Node.Start(network, Places.Cloud);
        home.Publish();
        cloud.Publish();
        cloud.Provide(home.Mid, home);
        home.Provide(cloud.Mid, cloud);
        string mine = home.Mid, yours = cloud.Mid;
        for (int round = 0; round < 2; round++)
        {
            using (RespClient onHome = home.Open(mine), onCloud = cloud.Open(yours))
            {
                Bulk.Set(onHome, random, 0, 1000, 100);
                Bulk.Set(onCloud, random, 500, 1000, 100);
                Assert.Equal("OK", onHome.Call("SET", "whose", "home").Text);
                Assert.Equal("OK", onCloud.Call("SET", "whose", "cloud").Text);
            }

            Same.AwaitVersion(mine, home, cloud);
            Same.AwaitVersion(yours, cloud, home);
            Assert.Equal("home", Same.Get(cloud, mine, "whose"));
            Assert.Equal("cloud", Same.Get(home, yours, "whose"));
            using (RespClient copy = home.Open(yours))
            {
                Assert.StartsWith("READONLY", copy.Call("SET", "whose", "mine").Text, StringComparison.Ordinal);
            }

            home.Kill();
            home.Start();
        }
    });
}
