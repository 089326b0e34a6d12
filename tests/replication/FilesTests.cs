// MiMei of files on several nodes, with the very commands of people: who follows one has its files, from whoever has them, and each version of them.

using Leither.TestKit;
using Xunit;

namespace Leither.ReplicationNetwork;

public sealed class FilesTests
{
    [Fact]
    public void Files_are_followed_synced_and_read_from_afar_version_by_version()
    {
        using Network network = Network.Create();
        using Node home = Node.Start(network, Places.Home), cloud = Node.Start(network, Places.Cloud);
        using var folder = new TempDir();
        byte[] big = new byte[3 << 20];
        new Random(1).NextBytes(big);
        Directory.CreateDirectory(folder.File("site/docs"));
        File.WriteAllText(folder.File("site/index.html"), "<h1>one</h1>");
        File.WriteAllText(folder.File("site/docs/same.txt"), "the same");
        File.WriteAllBytes(folder.File("site/big.bin"), big);
        string mid = home.Ask("MIMEI", "CREATE", "FILE", "MARK", "site").Text;
        Assert.Contains("ver= 1", home.RunCommand("mimei", "add", mid, folder.File("site")), StringComparison.Ordinal);
        home.RunCommand("mimei", "publish", mid);

        // Nothing is here but its name.
        cloud.RunCommand("swarm", "connect", home.AddressFor(cloud));
        Assert.Equal("<h1>one</h1>", cloud.RunCommand("mimei", "get", mid, "index.html"));
        AssertSame(cloud, "1");

        // It is followed, while it changes.
        cloud.RunCommand("mimei", "provide", mid, "--from", home.AddressFor(cloud));
        File.WriteAllText(folder.File("site/index.html"), "<h1>two</h1>");
        Assert.Contains("ver= 2", home.RunCommand("mimei", "add", mid, folder.File("site")), StringComparison.Ordinal);
        Wait.Until(() => cloud.RunCommand("mimei", "versions", mid).Contains("\n2 ", StringComparison.Ordinal) || cloud.RunCommand("mimei", "get", mid, "index.html") == "<h1>two</h1>");
        Assert.Equal("<h1>two</h1>", cloud.RunCommand("mimei", "get", mid, "index.html"));
        Assert.Equal("<h1>one</h1>", cloud.RunCommand("mimei", "get", mid, "index.html", "--version", "1"));
        Assert.StartsWith("READONLY", Ask(cloud, "MIMEI", "ADD", "no").Text, StringComparison.Ordinal);

        // Once, from who follows: the author's node is gone.
        home.Stop();
        using Node phone = Node.Start(network, Places.Phone);
        Assert.Contains("version 2", phone.RunCommand("mimei", "sync", mid, "--from", cloud.AddressFor(phone)), StringComparison.Ordinal);
        Assert.Equal("<h1>two</h1>", phone.RunCommand("mimei", "get", mid, "index.html"));
        AssertSame(phone, "2");
        Assert.Equal("<h1>one</h1>", phone.RunCommand("mimei", "get", mid, "index.html", "--version", "1"));
        Assert.Equal(Ask(cloud, "MIMEI", "CID").Text, Ask(phone, "MIMEI", "CID").Text);
        Assert.StartsWith("2 versions", phone.RunCommand("mimei", "check", mid), StringComparison.Ordinal); // a problem ends it with an error

        void AssertSame(Node node, string version)
        {
            string to = folder.File($"from-{node.Place}-{version}");
            node.RunCommand("mimei", "get", mid, "--version", version, "-o", to);
            Assert.Equal(big, File.ReadAllBytes(Path.Combine(to, "big.bin")));
            Assert.Equal("the same", File.ReadAllText(Path.Combine(to, "docs", "same.txt")));
        }

        RespValue Ask(Node node, params string[] command)
        {
            using RespClient client = node.Open(mid);
            return client.Call(command);
        }
    }

    [Fact]
    public void Who_takes_over_goes_on_with_the_files_that_were_backed_up()
    {
        using Network network = Network.Create();
        using Node home = Node.Start(network, Places.Home), cloud = Node.Start(network, Places.Cloud);
        string mid = home.Ask("MIMEI", "CREATE", "FILE", "MARK", "kept").Text;
        using (RespClient client = home.Open(mid))
        {
            client.Call("MIMEI", "ADD", "backed up");
            Assert.Equal(1, client.Call("MIMEI", "BACKUP").Integer);
            home.RunCommand("mimei", "publish", mid);
            cloud.RunCommand("mimei", "provide", mid, "--from", home.AddressFor(cloud));
            Wait.Until(() => cloud.RunCommand("mimei", "get", mid) == "backed up");

            // The log has come, and the file has not.
            Assert.False(client.Call("MIMEI", "ADD", "not backed up").IsError);
            Wait.Until(() => Node.Field(cloud.Ask("MIMEI", "INFO", mid), "mid").Text == mid && Same.Look(home, mid) == Same.Look(cloud, mid));
        }

        Assert.Equal("backed up", cloud.RunCommand("mimei", "get", mid));
        home.Stop();
        cloud.RunCommand("mimei", "takeover", mid, "--key", Path.Combine(home.Folder, "keys", "author.key"));
        using (RespClient client = cloud.Open(mid))
        {
            Wait.Until(() => client.Call("MIMEI", "BACKUP").Text.Contains("are not all here", StringComparison.Ordinal));
            Assert.Equal("OK", client.Call("MIMEI", "RESTORE", "last").Text);
            Assert.Equal("backed up", client.Call("MIMEI", "GET").Text);
            Assert.Equal(2, client.Call("MIMEI", "BACKUP").Integer);
            Assert.False(client.Call("MIMEI", "ADD", "by another").IsError);
            Assert.Equal(3, client.Call("MIMEI", "BACKUP").Integer);
            Assert.Equal("by another", client.Call("MIMEI", "GET").Text);
        }
    }
}
