// leither dht … and leither ipfs name … as processes against real nodes that are each other's peers, and the commands beneath them.

using System.Text.Json;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

public sealed class DhtCommandTests : IDisposable
{
    private readonly LeitherServer _one = LeitherServer.StartNew();
    private readonly LeitherServer _other = LeitherServer.StartNew();

    public void Dispose()
    {
        _one.Dispose();
        _other.Dispose();
    }

    [Fact]
    public void What_one_node_provides_is_found_by_another_and_told_anew_after_a_restart()
    {
        using RespClient other = _other.Connect();
        string cid;
        using (RespClient one = _one.Connect())
        {
            cid = one.Call("IPFS", "ADD", "hello").Text;
            Assert.StartsWith("ERR no peer of the DHT is known", one.Call("DHT", "FINDPROVS", cid).Text, StringComparison.Ordinal);
        }

        string peer = Meet();
        string cold = other.Call("IPFS", "ADD", "never provided").Text;
        Assert.Empty(other.Call("DHT", "FINDPROVS", cold).Items);
        Assert.Equal((0, "Nobody who was asked knows a provider.\n"), Short(Run(_other, "dht", "findprovs", cold)));

        (int code, string output, _) = Run(_one, "dht", "provide", cid);
        Assert.Equal((0, $"provided {cid}  told 1 peer\n"), (code, output));
        JsonElement found = Json(_other, "dht", "findprovs", cid).GetProperty("providers");
        Assert.Equal(peer, Assert.Single(found.EnumerateArray()).GetProperty("peer").GetString());
        Assert.NotEqual(0, found[0].GetProperty("addresses").GetArrayLength());
        Assert.Contains(peer, Run(_other, "dht", "findprovs", cid, "-n", "1").Output, StringComparison.Ordinal);
        Assert.Contains("is not here", Run(_one, "dht", "provide", "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o").Error, StringComparison.Ordinal);
        Assert.Equal(1, Json(_one, "dht", "provided").GetProperty("provided").GetArrayLength());

        // The one that provides, and the one that holds its record, remember.
        _one.Kill();
        _one.Start();
        Assert.Equal(1, Json(_one, "dht", "provided").GetProperty("provided").GetArrayLength());
        _other.Stop();
        _other.Start();
        using RespClient again = _other.Connect();
        Assert.Equal(peer, Assert.Single(again.Call("DHT", "FINDPROVS", cid, "COUNT", "1").Items)[0].Text);

        Assert.Equal((0, $"unprovided {cid}\n"), Short(Run(_one, "dht", "unprovide", cid)));
        _one.Kill();
        _one.Start();
        Assert.Equal((0, $"{cid} was not provided\n"), Short(Run(_one, "dht", "unprovide", cid)));
        Assert.Equal((0, ""), Short(Run(_one, "dht", "provided")));
    }

    [Fact]
    public void A_name_that_one_node_publishes_leads_another_to_the_content()
    {
        string peer = Meet();
        using RespClient one = _one.Connect(), other = _other.Connect();
        string first = one.Call("IPFS", "ADD", "one").Text, second = one.Call("IPFS", "ADD", "two").Text;
        Assert.Equal((0, "Nothing is published.\n"), Short(Run(_one, "ipfs", "name", "ls")));
        JsonElement published = Json(_one, "ipfs", "name", "publish", first, "--lifetime", "2d", "--ttl", "1m");
        string name = published.GetProperty("name").GetString()!;
        Assert.StartsWith("k51", name, StringComparison.Ordinal);
        Assert.Equal(("/ipfs/" + first, 1, 60, 1), (published.GetProperty("value").GetString(), published.GetProperty("sequence").GetInt32(), published.GetProperty("ttl").GetInt32(), published.GetProperty("stored").GetInt32()));
        Assert.Equal((0, $"/ipfs/{first}\n"), Short(Run(_other, "ipfs", "name", "resolve", name)));
        Assert.Equal($"/ipfs/{first}/a", other.Call("IPFS", "NAME", "RESOLVE", $"/ipns/{peer}/a").Text);
        Assert.Equal((0, $"/ipfs/{first}\n"), Short(Run(_one, "ipfs", "name", "resolve")));

        // Whoever reads by name reads what it stands for: over RESP, on the command line, over HTTP.
        Assert.Equal("one", other.Call("IPFS", "CAT", "/ipns/" + name).Text);
        Assert.Equal((0, "one"), Short(Run(_other, "ipfs", "cat", "/ipns/" + peer)));
        using (var http = new HttpClient())
        {
            using HttpResponseMessage answer = http.Send(new HttpRequestMessage(HttpMethod.Get, new Uri($"http://127.0.0.1:{_other.Port}/ipns/{name}")));
            using var body = new StreamReader(answer.Content.ReadAsStream());
            Assert.Equal("one", body.ReadToEnd());
        }

        Assert.Contains($"published /ipns/{name} -> /ipfs/{second}\n", Run(_one, "ipfs", "name", "publish", "/ipfs/" + second).Output, StringComparison.Ordinal);
        // What was found a moment ago is believed, unless it is not wanted.
        Assert.Equal("/ipfs/" + first, other.Call("IPFS", "NAME", "RESOLVE", name).Text);
        Assert.Equal("/ipfs/" + second, other.Call("IPFS", "NAME", "RESOLVE", name, "NOCACHE").Text);

        byte[] record = other.Call("DHT", "GET", "/ipns/" + name).Bytes!;
        Assert.Equal(record, Convert.FromBase64String(Json(_other, "dht", "get", "/ipns/" + peer).GetProperty("value").GetString()!));
        string file = Path.Combine(_other.DataDir, "record");
        File.WriteAllBytes(file, record);
        Assert.Equal((0, $"stored /ipns/{name}  told 1 peer\n"), Short(Run(_other, "dht", "put", "/ipns/" + name, file)));
        record[^1] ^= 1;
        File.WriteAllBytes(file, record);
        Assert.Contains("not one that may stand under the key", Run(_other, "dht", "put", "/ipns/" + name, file).Error, StringComparison.Ordinal);

        // Published still after a crash, with the same number, and then no more.
        _one.Kill();
        _one.Start();
        JsonElement listed = Assert.Single(Json(_one, "ipfs", "name", "ls").GetProperty("names").EnumerateArray());
        Assert.Equal((2, "/ipfs/" + second), (listed.GetProperty("sequence").GetInt32(), listed.GetProperty("value").GetString()));
        Assert.Equal((0, "It is no longer renewed; what was published ends by itself.\n"), Short(Run(_one, "ipfs", "name", "rm")));
        Assert.Equal((0, "It was not published here.\n"), Short(Run(_one, "ipfs", "name", "rm", name)));
    }

    [Fact]
    public void Peers_are_found_and_what_nobody_knows_is_an_error()
    {
        string peer = Meet();
        string stranger = "12D3KooWQYV9dGMFoRzNStwpXztXaBUjtPqi6aU76ZgUriHhKust";
        Assert.EndsWith($"/p2p/{peer}\n", Run(_other, "dht", "findpeer", peer).Output, StringComparison.Ordinal);
        Assert.Equal(peer, Json(_other, "dht", "findpeer", peer).GetProperty("peer").GetString());
        (int code, _, string error) = Run(_other, "dht", "findpeer", stranger);
        Assert.Equal((1, $"No peer that was asked knows {stranger}\n"), (code, error));
        Assert.Contains("No peer that was asked has a value", Run(_other, "dht", "get", "/ipns/" + stranger).Error, StringComparison.Ordinal);
        Assert.Contains("Nobody who was asked knows", Run(_other, "ipfs", "name", "resolve", stranger).Error, StringComparison.Ordinal);
        Assert.Equal((0, "1\n"), Short(Run(_other, "dht", "networksize")));
        Assert.Equal(2, Run(_other, "dht", "findpeer").Code);
        Assert.Equal(2, Run(_other, "ipfs", "name", "publish", "/ipfs/x", "--ttl", "soon").Code);
        Assert.Equal(1, Run(_other, "ipfs", "name", "publish", "/ipfs/x").Code);
        Assert.Equal(1, Run(_other, "dht", "get", "/nothing").Code);
        foreach (string[] help in (string[][])[["dht"], ["dht", "findprovs"], ["dht", "put"], ["ipfs", "name"]])
        {
            (code, string output, _) = Run(_other, [.. help, "--help"]);
            Assert.Equal(0, code);
            Assert.Contains("Usage:", output, StringComparison.Ordinal);
        }

        using RespClient other = _other.Connect();
        Assert.Equal("ERR not the id of a peer", other.Call("DHT", "FINDPEER", "x").Text);
        Assert.Equal("ERR not a CID", other.Call("DHT", "FINDPROVS", "x").Text);
        Assert.Equal("ERR a number from 1 to 1000 is wanted", other.Call("DHT", "FINDPROVS", "bafkqaaa", "COUNT", "0").Text);
        Assert.Equal("ERR not a key: /ipns/NAME or /pk/PEERID", other.Call("DHT", "PUT", "x", "y").Text);
        Assert.Contains(other.Call("DHT", "HELP").Items, line => line.Text.StartsWith("FINDPROVS", StringComparison.Ordinal));
        Assert.Equal("OK", other.Call("CONFIG", "SET", "swarm", "no").Text);
        Assert.Contains("the network is off", other.Call("DHT", "NETWORKSIZE").Text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_folder_is_no_value_and_is_said_to_be_one()
    {
        (int code, _, string error) = Run(_one, "dht", "put", "/ipns/12D3KooWQYV9dGMFoRzNStwpXztXaBUjtPqi6aU76ZgUriHhKust", _one.DataDir);
        Assert.Equal((1, $"{_one.DataDir} is a folder; what is wanted is a file\n"), (code, error));
        (code, _, error) = Run(_one, "ipfs", "block", "put", _one.DataDir);
        Assert.Equal((1, $"{_one.DataDir} is a folder; what is wanted is a file\n"), (code, error));
    }

    private string Meet()
    {
        using RespClient one = _one.Connect(), other = _other.Connect();
        string address = one.Call("SWARM", "LOCAL").Items.Select(static a => a.Text).First(static a => a.Contains("/ip4/127.0.0.1/tcp/", StringComparison.Ordinal) && !a.Contains("/ws", StringComparison.Ordinal));
        string peer = other.Call("SWARM", "CONNECT", address).Text;
        Wait.Until(() => one.Call("INFO", "network").Text.Contains("dht_peers:1", StringComparison.Ordinal) && other.Call("INFO", "network").Text.Contains("dht_peers:1", StringComparison.Ordinal));
        return peer;
    }

    private static (int, string) Short((int Code, string Output, string Error) ran) => (ran.Code, ran.Output);

    private static JsonElement Json(LeitherServer node, params string[] words)
    {
        (int code, string output, string error) = Run(node, [.. words, "--json"]);
        Assert.True(code == 0, error);
        return JsonDocument.Parse(output).RootElement;
    }

    private static (int Code, string Output, string Error) Run(LeitherServer node, params string[] words)
    {
        LeitherProgram.Result result = LeitherProgram.Run([.. words, "--data", node.DataDir]);
        return (result.Code, result.Output, result.Error);
    }
}
