// MiMei of files on a real node: who gets what they hold, under which names, and what a restart and a kill leave.

using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Leither.Ipfs.Multiformats;
using Leither.Ipfs.UnixFs;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

public sealed class FilesOfMimeiTests
{
    [Fact]
    public async Task A_host_shows_the_released_files_to_everybody_once_everybody_may_read_them()
    {
        using LeitherServer node = LeitherServer.StartNew("--dht-network", "leither", "--swarm-mdns", "no");
        using RespClient client = node.Connect();
        string mid = Create(client, "app");
        Cid first = Add(client, "<h1>one</h1>");
        Assert.Equal("OK", client.Call("MIMEI", "DOMAIN", "SET", "app.example.com", mid).Text);
        await AssertShownAsync(node, "app.example.com", HttpStatusCode.Forbidden, $"MIMEI PUBLISH {mid}");
        Assert.False(client.Call("MIMEI", "PUBLISH", mid).IsError);
        await AssertShownAsync(node, "app.example.com", HttpStatusCode.NotFound, "has no version yet");
        Assert.Equal(1, client.Call("MIMEI", "BACKUP").Integer);
        await AssertShownAsync(node, "app.example.com", HttpStatusCode.OK, "<h1>one</h1>");
        await AssertShownAsync(node, "other.example.com", HttpStatusCode.Forbidden, "under a name of it");

        // The newest, until one is released.
        Add(client, "<h1>two</h1>");
        await AssertShownAsync(node, "app.example.com", HttpStatusCode.OK, "<h1>one</h1>");
        Assert.Equal(2, client.Call("MIMEI", "BACKUP").Integer);
        await AssertShownAsync(node, "APP.example.com", HttpStatusCode.OK, "<h1>two</h1>");
        Assert.Equal("OK", client.Call("MIMEI", "RELEASE", "1").Text);
        await AssertShownAsync(node, "app.example.com", HttpStatusCode.OK, "<h1>one</h1>");

        // Public by its CID, too.
        await AssertShownAsync(node, "localhost", HttpStatusCode.OK, "<h1>one</h1>", $"/ipfs/{first}");
        Assert.Equal(1, client.Call("MIMEI", "UNPUBLISH", mid).Integer);
        await AssertShownAsync(node, "app.example.com", HttpStatusCode.Forbidden, $"MIMEI PUBLISH {mid}");
        using var message = new HttpRequestMessage(HttpMethod.Get, $"http://127.0.0.1:{node.Port}/ipfs/{first}") { Headers = { { "Cache-Control", "only-if-cached" } } };
        using var http = new HttpClient();
        using HttpResponseMessage answer = await http.SendAsync(message);
        Assert.Equal(HttpStatusCode.PreconditionFailed, answer.StatusCode);
    }

    [Fact]
    public async Task A_page_that_a_host_shows_reads_nothing_of_the_nodes_own()
    {
        using LeitherServer node = LeitherServer.StartNew();
        using RespClient client = node.Connect();
        string mid = Create(client, "app");
        Add(client, "page");
        client.Call("MIMEI", "BACKUP");
        client.Call("MIMEI", "PUBLISH", mid);
        client.Call("MIMEI", "DOMAIN", "SET", "app.localhost", mid);
        foreach (string path in (string[])["/metrics", "/health", "/ipfs/bafkqaaa", "/api", "/../metrics"])
        {
            (HttpStatusCode status, string body) = await GetAsync(node, "app.localhost", path);
            Assert.True(status is HttpStatusCode.NotFound or HttpStatusCode.BadRequest, $"{path}: {status} {body}");
        }

        using var http = new HttpClient();
        using var message = new HttpRequestMessage(HttpMethod.Get, $"http://127.0.0.1:{node.Port}/metrics") { Headers = { { "Origin", $"http://app.localhost:{node.Port}" } } };
        using HttpResponseMessage answer = await http.SendAsync(message);
        Assert.Equal(HttpStatusCode.Forbidden, answer.StatusCode);
    }

    [Fact]
    public void What_it_holds_outlives_a_restart_and_a_kill()
    {
        using LeitherServer node = LeitherServer.StartNew("--appendfsync", "always");
        string mid;
        using (RespClient client = node.Connect())
        {
            mid = Create(client, "kept");
            Add(client, "one");
            Assert.Equal(1, client.Call("MIMEI", "BACKUP").Integer);
            Add(client, "two");
        }

        node.Kill();
        node.Restart();
        using (RespClient client = node.Connect())
        {
            Assert.Equal("OK", client.Call("MIMEI", "OPEN", mid).Text);
            Assert.Equal("two", client.Call("MIMEI", "GET").Text);
            Assert.Equal("OK", client.Call("MIMEI", "OPEN", mid, "VERSION", "1").Text);
            Assert.Equal("one", client.Call("MIMEI", "GET").Text);
            Assert.Equal("OK", client.Call("MIMEI", "OPEN", mid).Text);
            Assert.Equal(2, client.Call("MIMEI", "BACKUP").Integer);
            Assert.Equal("OK", client.Call("SAVE").Text);
        }

        node.Stop();
        node.Restart();
        using (RespClient client = node.Connect())
        {
            Assert.Equal("OK", client.Call("MIMEI", "OPEN", mid).Text);
            Assert.Equal("two", client.Call("MIMEI", "GET").Text);
            Assert.Empty(Fields(client.Call("MIMEI", "CHECK"))["problems"].Items);
        }
    }

    [Fact]
    public void After_a_kill_it_holds_what_was_acknowledged_and_all_its_files_are_there() => Seed.Run(random =>
    {
        using LeitherServer node = LeitherServer.StartNew();
        string mid;
        using (RespClient client = node.Connect())
        {
            mid = Create(client, "killed");
        }

        long acknowledged = 0;
        for (int kill = 0; kill < (Seed.IsLong ? 100 : 3); kill++)
        {
            long before = acknowledged;
            int port = node.Port, seed = random.Next();
            Task load = Task.Run(() => Load(port, mid, seed, ref acknowledged));
            Wait.Until(() => Volatile.Read(ref acknowledged) > before || load.IsCompleted);
            Thread.Sleep(random.Next(1, 200));
            node.Kill();
            load.Wait();
            node.Start();
            using RespClient client = node.Connect();
            Assert.Equal("OK", client.Call("MIMEI", "OPEN", mid).Text);
            string content = client.Call("MIMEI", "GET").Text;
            long round = long.Parse(content.AsSpan(0, content.IndexOf(' ', StringComparison.Ordinal)), CultureInfo.InvariantCulture);
            Assert.InRange(round, acknowledged, acknowledged + 1);
            acknowledged = round;
            Assert.Empty(Fields(client.Call("MIMEI", "CHECK"))["problems"].Items);
            foreach (RespValue version in client.Call("MIMEI", "VERSIONS").Items)
            {
                using RespClient past = node.Connect();
                Dictionary<string, RespValue> known = Fields(version);
                Assert.Equal("OK", past.Call("MIMEI", "OPEN", mid, "VERSION", known["version"].Integer.ToString(CultureInfo.InvariantCulture)).Text);
                Assert.StartsWith(known["memo"].Text + " ", past.Call("MIMEI", "GET").Text, StringComparison.Ordinal);
            }
        }
    });

    /// <summary>Adds files, each with its number and some blocks, makes versions of them and deletes old ones, until the node is gone.</summary>
    private static void Load(int port, string mid, int seed, ref long acknowledged)
    {
        var random = new Random(seed);
        try
        {
            using RespClient client = RespClient.Connect(port);
            Assert.Equal("OK", client.Call("MIMEI", "OPEN", mid).Text);
            while (true)
            {
                long round = Volatile.Read(ref acknowledged) + 1;
                byte[] filler = new byte[random.Next(600_000)];
                random.NextBytes(filler);
                string content = $"{round} {Convert.ToBase64String(filler)}";
                Assert.False(client.Call("MIMEI", "ADD", content).IsError);
                Volatile.Write(ref acknowledged, round);
                if (random.Next(2) == 0)
                {
                    long made = client.Call("MIMEI", "BACKUP", "MEMO", $"{round}").Integer;
                    if (made > 3 && random.Next(2) == 0)
                    {
                        client.Call("MIMEI", "DELVERS", $"{made - 2}");
                    }
                }
            }
        }
        catch (IOException)
        {
            // It was killed.
        }
        catch (SocketException)
        {
            // It was killed.
        }
    }

    [Fact]
    public void Who_may_only_read_changes_nothing_and_who_may_not_reads_nothing()
    {
        using LeitherServer node = LeitherServer.StartNew();
        using RespClient client = node.Connect();
        string mid = Create(client, "app");
        Add(client, "one");
        Assert.Equal("OK", client.Call("ACL", "SETUSER", "ann", "on", ">x", "~*", "&*", "-@all", "+mimei|open", "+mimei|get", "+mimei|ls", "+mimei|stat").Text);
        using RespClient ann = node.Connect();
        Assert.Equal("OK", ann.Call("AUTH", $"ann@{mid}", "x").Text);
        foreach (string command in (string[])["MIMEI ADD x", "MIMEI SETCID QmRB9w4yy4sZkjAs25wcAoFc2FWSCtv22FdStFoep16oGs", "MIMEI BLOCK GET bafkqaaa", "MIMEI DOMAIN LIST", "MIMEI BACKUP"])
        {
            Assert.StartsWith("NOPERM", ann.Call(command.Split(' ')).Text, StringComparison.Ordinal);
        }
    }

    private static async Task AssertShownAsync(LeitherServer node, string host, HttpStatusCode status, string text, string path = "/")
    {
        (HttpStatusCode found, string body) = await GetAsync(node, host, path);
        Assert.Contains(text, body, StringComparison.Ordinal);
        Assert.Equal(status, found);
    }

    private static async Task<(HttpStatusCode Status, string Body)> GetAsync(LeitherServer node, string host, string path)
    {
        using var handler = new SocketsHttpHandler { AllowAutoRedirect = false };
        using var http = new HttpClient(handler);
        using var message = new HttpRequestMessage(HttpMethod.Get, new Uri($"http://127.0.0.1:{node.Port}{path}", new UriCreationOptions { DangerousDisablePathAndQueryCanonicalization = true })) { Headers = { Host = $"{host}:{node.Port}" } };
        using HttpResponseMessage answer = await http.SendAsync(message);
        return (answer.StatusCode, await answer.Content.ReadAsStringAsync());
    }

    private static string Create(RespClient client, string mark)
    {
        string mid = client.Call("MIMEI", "CREATE", "FILE", "MARK", mark).Text;
        Assert.Equal("OK", client.Call("MIMEI", "OPEN", mid).Text);
        return mid;
    }

    private static Cid Add(RespClient client, string content)
    {
        Cid cid = Cid.Parse(client.Call("MIMEI", "ADD", content).Text);
        Assert.Equal(new UnixFsImporter(null, UnixFsProfile.V0).AddFile(new MemoryStream(Encoding.UTF8.GetBytes(content))).Cid, cid);
        return cid;
    }

    private static Dictionary<string, RespValue> Fields(RespValue map) => map.Items.Chunk(2).ToDictionary(static pair => pair[0].Text, static pair => pair[1]);
}
