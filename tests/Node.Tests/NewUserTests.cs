// The commands that users of Leither know, in the order in which they meet them, on a machine that has none of it yet.

using System.Net.Sockets;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

public sealed partial class NewUserTests : IDisposable
{
    private readonly TempDir _folder = new();
    private readonly List<string> _nodes = [];

    public void Dispose()
    {
        foreach (string data in _nodes) LeitherProgram.Run("stop", "--data", data);
        _folder.Dispose();
    }

    [Fact]
    public async Task Somebody_who_has_read_the_first_page_gets_through_all_of_it()
    {
        int port = Ports.Free(), other = Ports.Free();
        string home = _folder.File("home"), cloud = _folder.File("cloud");
        _nodes.AddRange([home, cloud]);

        // Two nodes, the second told of the first.
        Assert.Contains("leither.conf", Done(home, "init", "-p", $"{port}"), StringComparison.Ordinal);
        Done(home, "run", "-d");
        Done(cloud, "init", "-p", $"{other}", "-b", $"127.0.0.1:{port}");
        Done(cloud, "run", "-d");
        Assert.Contains($"{port}", Done(home, "status", "--json"), StringComparison.Ordinal);
        Assert.Equal(LeitherProgram.Run("--version").Output.Trim(), $"Leither {JsonNode.Parse(Done(home, "status", "--json"))!["version"]}");

        // Who is who.
        string peer = PeerId().Match(Done(home, "swarm", "id")).Value;
        Assert.NotEqual("", peer);
        Assert.Contains($"/tcp/{port}", Done(home, "swarm", "local"), StringComparison.Ordinal);
        Wait.Until(() => Done(cloud, "swarm", "peers").Contains(peer, StringComparison.Ordinal));
        Done(home, "swarm", "addrs");
        Done(home, "swarm", "filters");
        Done(cloud, "swarm", "connect", $"/ip4/127.0.0.1/tcp/{port}/p2p/{peer}");
        Wait.Until(() => LeitherProgram.Run("--data", cloud, "dht", "findpeer", peer).Output.Contains($"/tcp/{port}", StringComparison.Ordinal));

        // Files, and a browser that shows them.
        string file = _folder.File("hello.txt");
        File.WriteAllText(file, "hello world\n");
        string cid = Done(home, "ipfs", "add", file).Trim().Split(' ')[^1];
        Assert.Equal("QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o", cid);
        using (HttpClient http = new())
        {
            Assert.Equal("hello world\n", await http.GetStringAsync(new Uri($"http://127.0.0.1:{port}/ipfs/{cid}")));
            Assert.Equal("hello world\n", await http.GetStringAsync(new Uri($"http://127.0.0.1:{other}/ipfs/{cid}")));
        }

        Done(home, "dht", "provide", cid);
        Wait.Until(() => LeitherProgram.Run("--data", cloud, "dht", "findprovs", cid).Output.Contains(peer, StringComparison.Ordinal));

        // A MiMei, its versions, and the other node.
        string mid = Mid().Match(Done(home, "mimei", "create", "-t", "db", "-m", "shop")).Value;
        Assert.Equal(27, mid.Length);
        using (RespClient client = RespClient.Connect(port))
        {
            client.Call("MIMEI", "OPEN", mid);
            client.Call("SET", "greeting", "hello");
            Done(home, "mimei", "backup", mid);
            client.Call("SET", "greeting", "goodbye");
            Done(home, "mimei", "backup", mid);
            Done(home, "mimei", "restore", mid, "1");
            Assert.Equal("hello", client.Call("GET", "greeting").Text);
        }

        Done(home, "mimei", "release", mid, "1");
        Done(home, "mimei", "delvers", mid, "2");
        Done(home, "mimei", "publish", mid);
        Assert.Matches(" version [0-9]+ ", Done(cloud, "mimei", "provide", mid));
        Wait.Until(() => LeitherProgram.Run("--data", home, "mimei", "findprovs", mid).Output.Split('\n').Count(static l => l.Contains("/tcp/", StringComparison.Ordinal)) >= 2
            || LeitherProgram.Run("--data", home, "mimei", "followers", mid).Output.Contains("12D3Koo", StringComparison.Ordinal));
        Done(cloud, "mimei", "sync", mid);
        Assert.Equal(Done(home, "mimei", "cid", mid), Done(cloud, "mimei", "cid", mid));
        string shown = Done(cloud, "mimei", "show", mid);
        foreach (string word in (string[])["Author", "Mark", "shop", mid]) Assert.Contains(word, shown, StringComparison.OrdinalIgnoreCase);

        // Keys and passports, from one user to another.
        foreach (string name in (string[])["me", "friend"])
        {
            Done(home, "lpki", "genkey", _folder.File(name + ".key"));
            Done(home, "lpki", "genpk", _folder.File(name + ".key"));
        }

        Done(home, "lpki", "gencert", _folder.File("me.key"), _folder.File("me.cert"), "--name", "me");
        Done(home, "lpki", "genpkcert", _folder.File("me.key"), _folder.File("friend.pub"), _folder.File("friend.cert"), "--name", "friend");
        Done(home, "lpki", "signppt", _folder.File("friend.pub"), _folder.File("friend.ppt"), "--data", home, "-m", mid);
        Done(home, "lpki", "verifyppt", _folder.File("friend.ppt"));
        Assert.Equal("passport", JsonNode.Parse(Done(home, "lpki", "show", _folder.File("friend.ppt"), "--json"))!["kind"]!.GetValue<string>());
        using (RespClient friend = RespClient.Connect(port))
        {
            Assert.Equal("OK", friend.Call("AUTH", "passport", File.ReadAllText(_folder.File("friend.ppt")).Trim()).Text);
            Assert.Equal("hello", friend.Call("GET", "greeting").Text);
        }

        File.WriteAllText(_folder.File("greet.lua"), "return redis.call('GET', KEYS[1]) .. ' ' .. ARGV[1]");
        Assert.Equal("hello world", Done(home, "lpki", "runscript", _folder.File("greet.lua"), "greeting", ",", "world", "--data", home, "-m", mid).Trim());
        Assert.Equal(0, LeitherProgram.Run("doctor", "--data", home).Code);
        Done(cloud, "stop");
        Done(home, "stop");
        Assert.Throws<SocketException>(() => RespClient.Connect(port).Dispose());
    }

    [Fact]
    public void The_first_help_names_every_command_on_a_line_of_its_own()
    {
        string help = LeitherProgram.Run("--help").Output;
        Assert.Equal(help, LeitherProgram.Run().Output);
        Assert.Contains("Usage:\n  leither COMMAND …\n", help, StringComparison.Ordinal);
        string[] listed = [.. help.Split("Commands:\n")[1].Split("\n\n")[0].Split('\n')];
        foreach (string command in (string[])["run", "init", "stop", "status", "doctor", "bench", "mimei", "ipfs", "swarm", "dht", "lpki", "import"])
        {
            Assert.Contains(listed, l => l.StartsWith($"  {command} ", StringComparison.Ordinal));
        }

        Assert.All(listed, static l => Assert.StartsWith("  ", l, StringComparison.Ordinal));
    }

    private static string Done(string data, params string[] command)
    {
        LeitherProgram.Result result = LeitherProgram.Run([.. command[..1] is ["lpki"] ? (string[])[] : ["--data", data], .. command]);
        Assert.True(result.Code == 0, $"leither {string.Join(' ', command)}\n{result.Output}{result.Error}");
        Assert.DoesNotContain("   at Leither.", result.Output + result.Error, StringComparison.Ordinal);
        return result.Output;
    }

    [GeneratedRegex("12D3Koo[1-9A-HJ-NP-Za-km-z]+")]
    private static partial Regex PeerId();

    [GeneratedRegex("[A-Za-z0-9_-]{27}")]
    private static partial Regex Mid();
}
