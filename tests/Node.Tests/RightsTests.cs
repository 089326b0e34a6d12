// Rights on MiMei, by every way into a node: what has no right is refused, what has it is served, and a change is felt at once. Real processes.

using System.Net;
using System.Text.Json;
using Leither.Ipfs.Keys;
using Leither.MmDb.Passports;
using Leither.Node.Replication;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

public sealed class RightsTests
{
    [Theory]
    [InlineData("")]
    [InlineData("/ws")]
    public void A_node_follows_what_its_user_may_read_and_no_more_once_he_may_not(string transport)
    {
        using LeitherServer home = Start(), friend = Start();
        using RespClient owner = home.Connect(), client = friend.Connect();
        string mid = owner.Call("MIMEI", "ID").Items[0].Text, user = AuthorOf(client), address = AddressOf(home, transport);
        owner.Call("SET", "key", "1");

        // Something else is public, so that the protocol is spoken.
        Assert.Equal("OK", owner.Call("MIMEI", "RIGHT", "SET", owner.Call("MIMEI", "CREATE", "DB", "MARK", "other").Text, "EVERYONE", "read").Text);
        Assert.Equal("OK", owner.Call("MIMEI", "RIGHT", "SET", mid, "USER", user, "write", "backup").Text);
        Assert.Contains(ReplicationService.NotFoundText, Provide(client, mid, address), StringComparison.Ordinal);
        Assert.Equal("OK", owner.Call("MIMEI", "RIGHT", "SET", mid, "USER", user, "read").Text);
        Assert.Equal("", Provide(client, mid, address));
        using RespClient reader = friend.Connect();
        Assert.Equal("OK", reader.Call("MIMEI", "OPEN", mid).Text);
        Wait.Until(() => reader.Call("GET", "key") is { IsNull: false, Text: "1" });
        Assert.Equal(1, owner.Call("MIMEI", "RIGHT", "DEL", mid, "USER", user).Integer);
        Wait.Until(() => owner.Call("MIMEI", "FOLLOWERS", mid).Items.Length == 0);
        owner.Call("SET", "key", "2");
        using LeitherServer stranger = Start();
        using RespClient other = stranger.Connect();
        Assert.Contains(ReplicationService.NotFoundText, Provide(other, mid, address), StringComparison.Ordinal);
        Assert.Equal("1", reader.Call("GET", "key").Text);
    }

    [Fact]
    public async Task Blocks_of_versions_are_given_by_HTTP_and_Bitswap_as_long_as_everyone_may_read_the_MiMei()
    {
        using LeitherServer home = Start(), other = Start();
        using RespClient owner = home.Connect(), client = other.Connect();
        using var http = new HttpClient();
        string mid = owner.Call("MIMEI", "ID").Items[0].Text;
        owner.Call("SET", "key", "1");
        owner.Call("MIMEI", "BACKUP");
        string cid = Field(owner.Call("MIMEI", "VERSIONS").Items[0], "cid");
        client.Call("CONFIG", "SET", "ipfs-fetch-timeout", "2");
        Assert.False(client.Call("SWARM", "CONNECT", AddressOf(home, "")).IsError);
        Assert.Equal(HttpStatusCode.PreconditionFailed, await Ask());
        Assert.True(client.Call("IPFS", "BLOCK", "GET", cid).IsError);

        // Who may do something else, or may read alone, opens it to nobody.
        Assert.Equal("OK", owner.Call("MIMEI", "RIGHT", "SET", mid, "EVERYONE", "messages").Text);
        Assert.Equal("OK", owner.Call("MIMEI", "RIGHT", "SET", mid, "USER", AuthorOf(client), "all").Text);
        Assert.Equal(HttpStatusCode.PreconditionFailed, await Ask());
        Assert.Equal("OK", owner.Call("MIMEI", "RIGHT", "SET", mid, "EVERYONE", "read").Text);
        Wait.Until(() => Ask().GetAwaiter().GetResult() == HttpStatusCode.OK);
        Assert.Equal(1, owner.Call("MIMEI", "RIGHT", "DEL", mid, "EVERYONE").Integer);
        Wait.Until(() => Ask().GetAwaiter().GetResult() == HttpStatusCode.PreconditionFailed);
        Assert.True(client.Call("IPFS", "BLOCK", "GET", cid).IsError);
        Assert.Equal("OK", owner.Call("MIMEI", "RIGHT", "SET", mid, "EVERYONE", "read").Text);
        Wait.Until(() => !client.Call("IPFS", "BLOCK", "GET", cid).IsError);

        async Task<HttpStatusCode> Ask()
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, $"http://127.0.0.1:{home.Port}/ipfs/{cid}?format=raw");
            request.Headers.Add("Cache-Control", "only-if-cached");
            using HttpResponseMessage answer = await http.SendAsync(request);
            return answer.StatusCode;
        }
    }

    [Fact]
    public void Rights_outlive_the_node_and_damaged_ones_let_nobody_in()
    {
        using LeitherServer server = Start();
        string mid, user = LeitherId.Of("a user"u8).ToString();
        using (RespClient owner = server.Connect())
        {
            mid = owner.Call("MIMEI", "ID").Items[0].Text;
            Assert.Equal("OK", owner.Call("MIMEI", "RIGHT", "SET", mid, "USER", user, "read", "grant").Text);
            Assert.Equal("OK", owner.Call("MIMEI", "RIGHT", "SET", mid, "EVERYONE", "read").Text);
        }

        server.Kill();
        server.Start();
        using (RespClient owner = server.Connect())
        {
            Assert.Equal(["read", "grant"], RightsOf(owner, mid, user));
            Assert.Equal("1", Field(owner.Call("MIMEI", "SHOW", mid), "public"));
        }

        server.Stop();
        string file = Path.Combine(server.DataDir, "mimei", LeitherId.Parse(mid).ToBase32(), "rights");
        byte[] bytes = File.ReadAllBytes(file);
        bytes[^1] ^= 1;
        File.WriteAllBytes(file, bytes);
        server.Start();
        using (RespClient owner = server.Connect())
        {
            Assert.Equal([], RightsOf(owner, mid, user));
            Assert.Equal("0", Field(owner.Call("MIMEI", "SHOW", mid), "public"));
            server.AwaitLog(file);
            Assert.Equal("OK", owner.Call("MIMEI", "RIGHT", "SET", mid, "USER", user, "read").Text);
        }
    }

    [Fact]
    public void What_an_older_version_shared_is_shared_with_the_same_people()
    {
        using LeitherServer server = Start();
        string mid, user = LeitherId.Of("a user"u8).ToString();
        using (RespClient owner = server.Connect()) mid = owner.Call("MIMEI", "ID").Items[0].Text;
        server.Stop();
        string folder = Path.Combine(server.DataDir, "mimei", LeitherId.Parse(mid).ToBase32());
        CheckedFile.Write(folder, SharingFacts.FileName, SharingFactsTests.OldFacts(isPublic: false, user));
        server.Start();
        for (int i = 0; i < 2; i++)
        {
            using RespClient owner = server.Connect();
            Assert.Equal(["read"], RightsOf(owner, mid, user));
            Assert.Equal("0", Field(owner.Call("MIMEI", "SHOW", mid), "public"));
            Assert.False(owner.Call("MIMEI", "PROVIDERS", mid, "ADD", LeitherId.Of("a node"u8).ToString()).IsError); // writes that file anew
            server.Restart();
        }
    }

    [Fact]
    public void From_elsewhere_a_user_does_over_RESP_what_the_MiMei_lets_him_and_the_default_user_nothing()
    {
        using LeitherServer server = Start();
        using PrivateKey ann = PrivateKey.Generate();
        using RespClient owner = server.Connect(), client = server.Connect();
        string mid = owner.Call("MIMEI", "ID").Items[0].Text, other = owner.Call("MIMEI", "CREATE", "DB", "MARK", "other").Text;
        owner.Call("SET", "key", "1");
        Assert.StartsWith("WRONGPASS no MiMei here", LogIn(client, ann), StringComparison.Ordinal);
        owner.Call("MIMEI", "RIGHT", "SET", mid, "USER", ann.PublicKey.Id.ToString(), "read");
        Assert.Equal("OK", LogIn(client, ann));
        Assert.Equal("1", client.Call("GET", "key").Text);
        foreach (string[] refused in (string[][])[["SET", "key", "2"], ["MIMEI", "OPEN", other], ["MIMEI", "BACKUP"], ["MIMEI", "PUBLISH", mid], ["CONFIG", "GET", "*"]])
        {
            Assert.StartsWith("NOPERM", client.Call(refused).Text, StringComparison.Ordinal);
        }

        owner.Call("MIMEI", "RIGHT", "SET", mid, "USER", ann.PublicKey.Id.ToString(), "read", "write", "backup");
        Assert.Equal("OK", client.Call("SET", "key", "2").Text);
        Assert.Equal(1, client.Call("MIMEI", "BACKUP").Integer);
    }

    [Fact]
    public void The_command_line_shows_and_changes_rights()
    {
        using LeitherServer server = Start();
        string user = LeitherId.Of("a user"u8).ToString(), friend = LeitherId.Of("a friend"u8).ToString();
        string[] lines = Mimei(server, "right", "get", "default").Output.Split('\n');
        Assert.StartsWith("Rights to default, mask 0", lines[0], StringComparison.Ordinal);
        Assert.Matches("^Who +Rights +Users", lines[1]);
        Assert.Matches(@"^owner +all +\S{27}", lines[2]);
        Assert.Matches("^everyone +none", lines[3]);
        Assert.Equal(0, Mimei(server, "right", "set", "default", "user", user, "read", "write").Code);
        Assert.Equal(0, Mimei(server, "group", "add", "default", "family", friend).Code);
        string output = Mimei(server, "right", "set", "default", "group", "family", "read").Output;
        Assert.Matches($"group family +read +{friend}", output);
        Assert.Matches($"user +read write +{user}", output);
        Assert.Equal((0, $"{friend} may: read\n"), Mimei(server, "right", "get", "default", friend).Short);
        Assert.Contains("\nRight   : 0\n", Mimei(server, "show", "default").Output, StringComparison.Ordinal);

        JsonElement json = Json(server, "right", "set", "default", "everyone", "messages");
        Assert.Equal((32, "messages"), (json.GetProperty("mask").GetInt32(), json.GetProperty("everyone")[0].GetString()));
        Assert.Equal((user, "write"), (json.GetProperty("members")[0].GetProperty("user").GetString(), json.GetProperty("members")[0].GetProperty("rights")[1].GetString()));
        Assert.Contains("\nRight   : 32\n", Mimei(server, "show", "default").Output, StringComparison.Ordinal);
        Assert.Equal((0, "Group other is deleted\n"), (Mimei(server, "group", "add", "default", "other").Code, Mimei(server, "group", "del", "default", "other").Output.Split('\n')[0] + "\n"));
        Assert.Equal("default has no group other", Mimei(server, "group", "list", "default", "other").Output.Split('\n')[0]);
        json = Json(server, "group", "del", "default", "family");
        Assert.Equal((1, 0), (json.GetProperty("changed").GetInt32(), json.GetProperty("groups").GetArrayLength()));
        Assert.Empty(Json(server, "right", "del", "default", "user", user).GetProperty("members").EnumerateArray());
        foreach (string[] wrong in (string[][])[["right"], ["right", "get"], ["right", "see", "default"], ["right", "set", "default"], ["right", "get", "default", user, "x"], ["group", "add", "default"], ["group", "x", "default"]])
        {
            Assert.Equal(2, Mimei(server, wrong).Code);
        }

        (int code, _, string error) = Mimei(server, "right", "set", "default", "everyone", "fly");
        Assert.Equal(1, code);
        Assert.Contains("'fly' is no right", error, StringComparison.Ordinal);
    }

    private static LeitherServer Start() => LeitherServer.StartNew("--dht-network", "leither", "--swarm-mdns", "no");

    private static LeitherProgram.Result Mimei(LeitherServer server, params string[] words) => LeitherProgram.Run([.. (string[])["mimei", .. words, "--data", server.DataDir]]);

    private static JsonElement Json(LeitherServer server, params string[] words)
    {
        LeitherProgram.Result result = Mimei(server, [.. words, "--json"]);
        Assert.True(result.Code == 0, result.Error);
        return JsonDocument.Parse(result.Output).RootElement;
    }

    private static string AuthorOf(RespClient client) => Field(client.Call("MIMEI", "SHOW"), "author");

    private static string AddressOf(LeitherServer server, string transport)
    {
        using RespClient client = server.Connect();
        return $"/ip4/127.0.0.1/tcp/{server.Port}{transport}/p2p/{Field(client.Call("SWARM", "ID"), "peer")}";
    }

    /// <summary>Why it cannot be had; empty: it came.</summary>
    private static string Provide(RespClient client, string mid, string address)
    {
        RespValue provided = client.Call("MIMEI", "PROVIDE", mid, "FROM", address);
        return provided.IsError ? provided.Text : "";
    }

    private static string[] RightsOf(RespClient client, string mid, string user) =>
        [.. client.Call("MIMEI", "RIGHT", "GET", mid, "USER", user).Items[5].Items.Select(static r => r.Text)];

    private static string LogIn(RespClient client, PrivateKey user)
    {
        RespValue challenge = client.Call("PASSPORT", "CHALLENGE");
        Passport passport = new() { Issuer = user.PublicKey, Subject = user.PublicKey, From = 0, End = long.MaxValue, Rights = PassportRights.Login, NeedsProof = true };
        return client.Call("AUTH", "passport", Passport.ToText(passport.Sign(user), user, Convert.FromHexString(challenge.Items[0].Text), LeitherId.Parse(challenge.Items[1].Text))).Text;
    }

    private static string Field(RespValue map, string name)
    {
        int at = Array.FindIndex(map.Items, item => !item.IsAggregate && !item.IsNull && item.Text == name);
        Assert.True(at >= 0, $"no {name} in {map}");
        return map.Items[at + 1].Text;
    }
}
