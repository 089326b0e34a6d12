// What the README shows first: two nodes, one SET, one GET on the other, the same state CID on both, with the very commands of people.

using System.Text.RegularExpressions;
using Leither.TestKit;
using Xunit;

namespace Leither.ReplicationNetwork;

public sealed class FirstScreenTests
{
    [Fact]
    public void What_is_set_on_one_node_is_got_on_the_other()
    {
        using Network network = Network.Create();
        using Node home = Node.Start(network, Places.Home), cloud = Node.Start(network, Places.Cloud);
        Assert.Equal("OK", home.Ask("SET", "greeting", "hello").Text);
        string published = home.RunCommand("mimei", "publish", "default");
        Assert.Contains(home.Mid, published, StringComparison.Ordinal);
        Assert.Matches($"/p2p/{home.Peer}", published);
        cloud.RunCommand("mimei", "provide", home.Mid, "--from", home.AddressFor(cloud));
        using RespClient client = cloud.Connect();
        Assert.Equal("OK", client.Call("AUTH", $"default@{home.Mid}", "").Text);
        Assert.Equal("hello", client.Call("GET", "greeting").Text);

        Assert.Equal("OK", home.Ask("SET", "greeting", "hello again").Text);
        Wait.Until(() => client.Call("GET", "greeting").Text == "hello again");
        Assert.StartsWith("READONLY", client.Call("SET", "greeting", "no").Text, StringComparison.Ordinal);

        Same.AwaitVersion(home.Mid, home, cloud);
        string[] states = [.. new[] { home, cloud }.Select(node => Regex.Match(node.RunCommand("mimei", "show", home.Mid), "bafyrei[a-z2-7]+").Value)];
        Assert.NotEqual("", states[0]);
        Assert.Equal(states[0], states[1]);
    }

    [Fact]
    public void What_is_synced_once_has_its_versions_too()
    {
        using Network network = Network.Create();
        using Node home = Node.Start(network, Places.Home), cloud = Node.Start(network, Places.Cloud);
        home.Ask("SET", "greeting", "hello");
        home.RunCommand("mimei", "backup");
        home.Ask("SET", "greeting", "goodbye");
        home.RunCommand("mimei", "publish", "default");
        Assert.Contains("  version 1  position 1:2  ", cloud.RunCommand("mimei", "sync", home.Mid, "--from", home.AddressFor(cloud)), StringComparison.Ordinal);
        using RespClient client = cloud.Connect();
        Assert.Equal("OK", client.Call("AUTH", $"default@{home.Mid}/1", "").Text);
        Assert.Equal("hello", client.Call("GET", "greeting").Text);

        // Who follows it and does not provide it is no provider, though the writer knows of it.
        cloud.RunCommand("mimei", "sync", home.Mid, "--follow");
        Wait.Until(() => home.RunCommand("mimei", "followers").Contains(cloud.Peer, StringComparison.Ordinal));
        Assert.DoesNotContain(cloud.Peer, home.RunCommand("mimei", "findprovs", home.Mid), StringComparison.Ordinal);
        cloud.RunCommand("mimei", "provide", home.Mid);
        Assert.Contains(cloud.Peer, home.RunCommand("mimei", "findprovs", home.Mid), StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_on_no_disk_here_is_read_from_afar_version_by_version()
    {
        using Network network = Network.Create();
        using Node home = Node.Start(network, Places.Home), cloud = Node.Start(network, Places.Cloud);
        foreach (string greeting in (string[])["hello", "goodbye"])
        {
            home.Ask("SET", "greeting", greeting);
            home.RunCommand("mimei", "backup");
        }

        home.RunCommand("mimei", "publish", "default");
        cloud.RunCommand("swarm", "connect", home.AddressFor(cloud));
        Assert.Equal("hello", Get("/1"));
        Assert.Equal("goodbye", Get("/2"));
        Assert.Equal("goodbye", Get("/last"));
        Assert.Equal("goodbye", Get(""));
        using RespClient client = cloud.Connect();
        Assert.Equal($"ERR no node that can be reached has version 3 of MiMei {home.Mid}; MIMEI FINDPROVS {home.Mid} lists who has which", client.Call("AUTH", $"default@{home.Mid}/3", "").Text);
        Assert.Equal($"ERR no version of MiMei {home.Mid} is released", client.Call("AUTH", $"default@{home.Mid}/release", "").Text);
        home.RunCommand("mimei", "release", "1");
        Assert.Equal("hello", Get("/release"));
        Assert.DoesNotContain(home.Mid, cloud.RunCommand("mimei", "list"), StringComparison.Ordinal);

        // One that the writer has no more is read from who still has it.
        using Node phone = Node.Start(network, Places.Phone);
        phone.RunCommand("mimei", "provide", home.Mid, "--from", home.AddressFor(phone));
        Same.AwaitVersion(home.Mid, home, phone);
        Wait.Until(() => phone.RunCommand("mimei", "versions", home.Mid).Split('\n').Length == home.RunCommand("mimei", "versions").Split('\n').Length);
        home.RunCommand("mimei", "release", "2");
        home.RunCommand("mimei", "delvers", "1");
        Wait.Until(() => cloud.RunCommand("mimei", "findprovs", home.Mid).Contains(phone.Peer, StringComparison.Ordinal));
        Wait.Until(() => Try("/1").Text == "OK");
        Assert.Equal("hello", Get("/1"));

        RespValue Try(string version)
        {
            using RespClient client = cloud.Connect();
            return client.Call("AUTH", $"default@{home.Mid}{version}", "");
        }

        string? Get(string version)
        {
            using RespClient client = cloud.Connect();
            Assert.Equal("OK", client.Call("AUTH", $"default@{home.Mid}{version}", "").Text);
            return client.Call("GET", "greeting").Text;
        }
    }
}
