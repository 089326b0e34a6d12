// The author's second device takes over writing.

using Leither.TestKit;
using Xunit;

namespace Leither.ReplicationNetwork;

public sealed class TakeoverTests
{
    [Fact]
    public void The_old_writer_is_fenced_when_its_link_is_healed_and_its_later_writes_are_a_fork() => Seed.Run(random =>
    {
        using Network network = Network.Create();
        using Node home = Node.Start(network, Places.Home), cloud = Node.Start(network, Places.Cloud), phone = Node.Start(network, Places.Phone);
        using RespClient client = home.Connect();
        Bulk.Set(client, random, 0, 1000, 100);
        client.Call("SET", "who", "both");
        string mid = home.Mid;
        home.Publish();
        cloud.Provide(mid, home);
        phone.Provide(mid, cloud, home);
        Same.Await(mid, home, cloud, phone);

        network[Places.Home].Cut();
        Assert.Equal("OK", client.Call("SET", "who", "home").Text);
        Assert.Equal("OK", client.Call("SET", "only home", "knows").Text);
        cloud.RunCommand("mimei", "takeover", mid, "--key", Path.Combine(home.Folder, "keys", "author.key"));
        using (RespClient taken = cloud.Open(mid))
        {
            Assert.Equal("OK", taken.Call("SET", "who", "cloud").Text);
            Bulk.Set(taken, random, 0, 100, 100);
        }

        Same.Await(mid, cloud, phone);
        Assert.Equal("home", client.Call("GET", "who").Text);

        network[Places.Home].Heal();
        Wait.Until(() => client.Call("SET", "who", "home again").Text.StartsWith("READONLY", StringComparison.Ordinal), () => Same.Describe(home, mid));
        Same.Await(mid, cloud, home, phone);
        Assert.Equal("cloud", Same.Get(home, mid, "who"));
        Assert.Equal("", Same.Get(home, mid, "only home"));

        // What it still wrote can be looked at.
        string fork = home.Ask("MIMEI", "LIST").Items.SelectMany(static m => m.Items).Select(static i => i.Text).First(name => name != mid && name.Length == 27 && Same.Get(home, name, "only home") == "knows");
        Assert.NotEqual(mid, fork);

        // Who is certified stays so over a restart of all.
        home.Restart();
        cloud.Restart();
        phone.Restart();
        using RespClient again = cloud.Open(mid);
        Assert.Equal("OK", again.Call("SET", "who", "cloud still").Text);
        Same.Await(mid, cloud, home, phone);
    });
}
