// leither swarm … as a process against real nodes that are each other's peers, and the SWARM commands beneath it.

using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

public sealed class SwarmCommandTests : IDisposable
{
    private readonly LeitherServer _one = LeitherServer.StartNew();
    private readonly LeitherServer _other = LeitherServer.StartNew();

    public void Dispose()
    {
        _one.Dispose();
        _other.Dispose();
    }

    [Fact]
    public void Two_nodes_meet_on_the_port_that_speaks_RESP_and_one_reads_the_others_content()
    {
        using RespClient one = _one.Connect(), other = _other.Connect();
        JsonElement id = Json(_one, "id");
        string peer = id.GetProperty("peer").GetString()!, node = id.GetProperty("node").GetString()!;
        Assert.StartsWith("12D3KooW", peer, StringComparison.Ordinal);
        Assert.Equal(27, node.Length);
        string text = Swarm(_one, "id").Output;
        Assert.Contains(peer, text, StringComparison.Ordinal);
        Assert.Contains(node, text, StringComparison.Ordinal);
        byte[] content = new byte[3_000_000];
        new Random(1).NextBytes(content);
        string cid = one.Call("IPFS", "ADD", System.Text.Encoding.Latin1.GetString(content)).Text;
        Assert.Contains("is not here", other.Call("IPFS", "CAT", cid).Text, StringComparison.Ordinal);

        (int code, string output, string error) = Swarm(_other, "connect", LocalOf(_one));
        Assert.Equal((0, $"connected {peer}\n"), (code, output));
        Assert.Contains("swarm peers", error, StringComparison.Ordinal);
        Assert.Equal(one.Call("IPFS", "CAT", cid).Bytes, other.Call("IPFS", "CAT", cid).Bytes);
        Assert.Equal(cid, other.Call("IPFS", "PIN", "ADD", cid).Text);
        JsonElement[] peers = [.. Json(_other, "peers").GetProperty("peers").EnumerateArray()];
        Assert.Equal((1, peer, "out"), (peers.Length, peers[0].GetProperty("peer").GetString(), peers[0].GetProperty("direction").GetString()));
        Assert.StartsWith("leither/", peers[0].GetProperty("agent").GetString(), StringComparison.Ordinal);
        Assert.Contains(Json(_other, "id").GetProperty("peer").GetString()!, Swarm(_one, "peers").Output, StringComparison.Ordinal);
        Assert.Contains($"{peer}  connected\n", Swarm(_other, "addrs").Output, StringComparison.Ordinal);
        Assert.Contains("/ipfs/bitswap/1.2.0", Swarm(_other, "id", peer).Output, StringComparison.Ordinal);
        Assert.Contains("connected_peers:1\r\n", other.Call("INFO", "network").Text, StringComparison.Ordinal);
        Assert.Contains($"bitswap_bytes_received:{3_000_000 / 1_000_000}", other.Call("INFO", "network").Text, StringComparison.Ordinal);

        Assert.Equal((0, $"disconnected {peer}\n"), Swarm(_other, "disconnect", peer).Short);
        // A lookup of the DHT that the meeting began may connect again.
        Wait.Until(() => Swarm(_other, "disconnect", peer).Short == (0, $"{peer} was not connected\n"));
        Wait.Until(() => Swarm(_other, "peers").Short == (0, "No peer is connected.\n"));
        // Where it is, is known still.
        Assert.Equal((0, $"connected {peer}\n"), Swarm(_other, "connect", peer).Short);
    }

    [Fact]
    public void A_folder_is_gotten_and_pinned_from_another_node()
    {
        using var folder = new TempDir("swarm");
        byte[] big = new byte[2_000_000];
        new Random(3).NextBytes(big);
        Directory.CreateDirectory(folder.File("in/sub"));
        File.WriteAllBytes(folder.File("in/big"), big);
        for (int i = 0; i < 100; i++) File.WriteAllText(folder.File($"in/sub/{i}"), $"{i}");
        string cid = LeitherProgram.Run("ipfs", "add", "-q", folder.File("in"), "--data", _one.DataDir).Output.Trim();
        Swarm(_other, "connect", LocalOf(_one));
        LeitherProgram.Result got = LeitherProgram.Run("ipfs", "get", cid, "-o", folder.File("out"), "--data", _other.DataDir);
        Assert.Equal((0, ""), (got.Code, got.Error));
        Assert.Equal(big, File.ReadAllBytes(folder.File("out/big")));
        Assert.Equal("99", File.ReadAllText(folder.File("out/sub/99")));
        using LeitherServer third = LeitherServer.StartNew();
        Swarm(third, "connect", LocalOf(_other));
        using RespClient client = third.Connect();
        Assert.Equal(cid, client.Call("IPFS", "PIN", "ADD", cid).Text);
        client.Call("CONFIG", "SET", "swarm", "no");
        Assert.Equal("42", client.Call("IPFS", "CAT", $"{cid}/sub/42").Text);
    }

    [Fact]
    public void What_lies_in_a_MiMei_is_not_given_to_peers()
    {
        using RespClient one = _one.Connect(), other = _other.Connect();
        one.Call("SET", "secret", new string('x', 100_000));
        one.Call("MIMEI", "BACKUP");
        string state = one.Call("MIMEI", "VERSIONS")[0].Items.Select(static v => v.Text).First(static v => v.StartsWith("baf", StringComparison.Ordinal));
        Swarm(_other, "connect", LocalOf(_one));
        other.Call("CONFIG", "SET", "ipfs-fetch-timeout", "1");
        Assert.Contains("no peer gave it within 1 s", other.Call("IPFS", "BLOCK", "GET", state).Text, StringComparison.Ordinal);
    }

    [Fact]
    public void Filters_end_connections_keep_peers_out_and_outlive_the_node()
    {
        Swarm(_other, "connect", LocalOf(_one));
        Assert.Equal((0, "added 2 filters\n"), Swarm(_one, "filters", "add", "0.0.0.0/0", "::/0").Short);
        using RespClient other = _other.Connect();
        Wait.Until(() => other.Call("SWARM", "PEERS").Items.Length == 0);
        Assert.Equal(1, Swarm(_other, "connect", LocalOf(_one)).Code);
        _one.Kill();
        _one.Start();
        Assert.Equal((0, "0.0.0.0/0\n::/0\n"), Swarm(_one, "filters").Short);
        Assert.Equal(1, Swarm(_other, "connect", LocalOf(_one)).Code);
        Assert.Equal((0, "removed 1 filter\n"), Swarm(_one, "filters", "rm", "0.0.0.0/0").Short);
        Assert.Equal(0, Swarm(_other, "connect", LocalOf(_one)).Code);
        Assert.Equal("::/0", Json(_one, "filters").GetProperty("filters")[0].GetString());
    }

    [Fact]
    public void A_node_finds_its_bootstrap_peers_again_whenever_they_are_there()
    {
        using RespClient other = _other.Connect();
        Assert.Equal("OK", other.Call("CONFIG", "SET", "swarm-bootstrap", $"127.0.0.1:{_one.Port}").Text);
        Wait.Until(() => other.Call("SWARM", "PEERS").Items.Length == 1);
        string peer = Json(_other, "id").GetProperty("peer").GetString()!;
        _one.Kill();
        Wait.Until(() => other.Call("SWARM", "PEERS").Items.Length == 0);
        _one.Start();
        using RespClient back = _one.Connect();
        Wait.Until(() => back.Call("SWARM", "PEERS").Items.Any(p => p[1].Text == peer));
        Assert.Contains("is no address of a peer", other.Call("CONFIG", "SET", "swarm-bootstrap", "a b:c/").Text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_node_that_is_told_to_bootstrap_does_so_at_its_start_and_remembers_whom_it_met()
    {
        using LeitherServer third = LeitherServer.StartNew("-b", $"127.0.0.1:{_one.Port}", "--bootstrap", $"127.0.0.1:{_other.Port}");
        using RespClient client = third.Connect();
        // Both have said who they are: the last field names the program.
        Wait.Until(() => client.Call("SWARM", "PEERS").Items.Count(static p => p[11].Text.Length > 0) == 2);
        Assert.Equal($"127.0.0.1:{_one.Port} 127.0.0.1:{_other.Port}", client.Call("CONFIG", "GET", "swarm-bootstrap")[1].Text);
        client.Queue("SHUTDOWN");
        client.Flush();
        string file = Path.Combine(third.DataDir, "swarm", "peers");
        Wait.Until(() => File.Exists(file));
        Assert.Equal(2, File.ReadAllLines(file).Select(static l => l.Split('/')[^1]).Distinct().Count());
    }

    [Fact]
    public void A_node_whose_swarm_is_off_has_no_peers()
    {
        using RespClient one = _one.Connect();
        Swarm(_other, "connect", LocalOf(_one));
        Assert.Equal("OK", one.Call("CONFIG", "SET", "swarm", "no").Text);
        using RespClient other = _other.Connect();
        Wait.Until(() => other.Call("SWARM", "PEERS").Items.Length == 0);
        Assert.Equal(1, Swarm(_other, "connect", $"127.0.0.1:{_one.Port}").Code);
        Assert.Contains("CONFIG SET swarm yes", one.Call("SWARM", "PEERS").Text, StringComparison.Ordinal);
        Assert.Equal(0, Swarm(_one, "id").Code);
        Assert.Equal("OK", one.Call("CONFIG", "SET", "swarm", "yes").Text);
        Assert.Equal(0, Swarm(_other, "connect", $"127.0.0.1:{_one.Port}").Code);
    }

    [Fact]
    public void More_peers_than_allowed_are_not_let_in_and_what_is_no_peer_harms_nothing()
    {
        using LeitherServer small = LeitherServer.StartNew("--swarm-max-connections", "1");
        Assert.Equal(0, Swarm(_one, "connect", $"127.0.0.1:{small.Port}").Code);
        Assert.Equal(1, Swarm(_other, "connect", $"127.0.0.1:{small.Port}").Code);
        byte[] header = "\u0013/multistream/1.0.0\n"u8.ToArray();
        var random = new Random(2);
        for (int i = 0; i < 50; i++)
        {
            using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            socket.Connect(IPAddress.Loopback, small.Port);
            byte[] rest = new byte[random.Next(100)];
            random.NextBytes(rest);
            socket.Send([.. header[..(i % 5 == 0 ? random.Next(1, 20) : 20)], .. rest]);
        }

        using RespClient client = small.Connect();
        Assert.Equal("PONG", client.Call("PING").Text);
        Assert.Single(client.Call("SWARM", "PEERS").Items);
    }

    [Fact]
    public void Who_no_longer_waits_for_a_block_has_it_no_longer_asked_for()
    {
        const string nowhere = "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4";
        Swarm(_other, "connect", LocalOf(_one));
        using RespClient watching = _other.Connect();
        using (RespClient leaving = _other.Connect())
        {
            leaving.Queue("IPFS", "BLOCK", "GET", nowhere);
            leaving.Flush();
            Wait.Until(() => Wanted() == 1);
        }

        Wait.Until(() => Wanted() == 0);
        using RespClient unblocked = _other.Connect();
        string id = unblocked.Call("CLIENT", "ID").Text;
        unblocked.Queue("IPFS", "BLOCK", "GET", nowhere);
        unblocked.Flush();
        Wait.Until(() => Wanted() == 1);
        Assert.Equal("1", watching.Call("CLIENT", "UNBLOCK", id).Text);
        Assert.Contains("unblocked", unblocked.Read().Text, StringComparison.Ordinal);
        Wait.Until(() => Wanted() == 0);

        int Wanted() => int.Parse(watching.Call("INFO", "network").Text.Split("bitswap_wanted_blocks:")[1].Split('\r')[0], System.Globalization.CultureInfo.InvariantCulture);
    }

    [Fact]
    public void Peers_learn_of_addresses_that_are_announced_while_they_are_connected()
    {
        const string address = "/ip4/198.51.100.1/tcp/4800";
        Swarm(_other, "connect", LocalOf(_one));
        using RespClient one = _one.Connect(), other = _other.Connect();
        Assert.Equal("OK", one.Call("CONFIG", "SET", "swarm-announce", address).Text);
        Assert.Contains(one.Call("SWARM", "LOCAL").Items, a => a.Text.StartsWith(address + "/p2p/", StringComparison.Ordinal));
        Wait.Until(() => other.Call("SWARM", "ADDRS").Items.Any(static p => p[2].Items.Any(static a => a.Text == address)));
        Assert.Equal("OK", one.Call("CONFIG", "SET", "swarm-announce", "").Text);
        Assert.DoesNotContain(one.Call("SWARM", "LOCAL").Items, static a => a.Text.StartsWith(address, StringComparison.Ordinal));
        Assert.Equal("OK", one.Call("CONFIG", "SET", "swarm-low-water", "0", "swarm-high-water", "0").Text);
    }

    [Fact]
    public void Filters_that_cannot_be_read_keep_the_node_from_its_peers_and_from_nothing_else()
    {
        _one.Kill();
        Directory.CreateDirectory(Path.Combine(_one.DataDir, "swarm"));
        string file = Path.Combine(_one.DataDir, "swarm", "filters");
        File.WriteAllText(file, "10.0.0.0/8\nsomething else\n");
        File.WriteAllText(Path.Combine(_one.DataDir, "swarm", "peers"), "nonsense\n\u0000\n");
        _one.Start();
        using RespClient client = _one.Connect();
        Assert.Equal("PONG", client.Call("PING").Text);
        Assert.Contains("has a line that is no network: 'something else'", client.Call("SWARM", "PEERS").Text, StringComparison.Ordinal);
        Assert.Contains("has a line that is no network", client.Call("SWARM", "FILTERS").Text, StringComparison.Ordinal);
        Assert.Equal(1, Swarm(_other, "connect", $"127.0.0.1:{_one.Port}").Code);
        File.WriteAllText(file, "10.0.0.0/8\n");
        Assert.Empty(client.Call("SWARM", "PEERS").Items);
        Assert.Equal(0, Swarm(_other, "connect", $"127.0.0.1:{_one.Port}").Code);
    }

    [Fact]
    public void Who_may_not_administer_the_node_may_look_at_its_peers_and_not_change_them()
    {
        using RespClient admin = _one.Connect(), guest = _one.Connect();
        Assert.Equal("OK", admin.Call("ACL", "SETUSER", "guest", "on", "nopass", "+@all", "-@admin").Text);
        guest.Call("AUTH", "guest", "x");
        Assert.False(guest.Call("SWARM", "PEERS").IsError);
        Assert.False(guest.Call("SWARM", "ID").IsError);
        foreach (string[] words in (string[][])[["CONNECT", "127.0.0.1"], ["DISCONNECT", "x"], ["FILTERS", "ADD", "10.0.0.0/8"]])
        {
            Assert.StartsWith("NOPERM", guest.Call(["SWARM", .. words]).Text, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void What_is_wrong_is_replied()
    {
        using RespClient client = _one.Connect();
        foreach (string[] words in (string[][])[["CONNECT", "/ip4/1"], ["CONNECT", "a b"], ["DISCONNECT", "x"], ["FILTERS", "ADD", "10.0.0.0/99"], ["FILTERS", "X"], ["ID", "x"], ["ID", "a", "b"], ["CONNECT", "127.0.0.1:1"]])
        {
            Assert.True(client.Call(["SWARM", .. words]).IsError, string.Join(' ', words));
        }

        Assert.Equal(2, Swarm(_one, "connect").Code);
        Assert.Equal(2, Swarm(_one, "filters", "x").Code);
        Assert.Equal(0, Swarm(_one, "connect", "--help").Code);
        Assert.Contains("disconnect", LeitherProgram.Run("swarm", "--help").Output, StringComparison.Ordinal);
        Assert.Equal((1, "{\"error\":"), (Swarm(_one, "connect", "127.0.0.1:1", "--json").Code, Swarm(_one, "connect", "127.0.0.1:1", "--json").Output[..9]));
    }

    private static LeitherProgram.Result Swarm(LeitherServer node, params string[] words) => LeitherProgram.Run(["swarm", .. words, "--data", node.DataDir]);

    private static string LocalOf(LeitherServer node) => Swarm(node, "local").Output.Split('\n').First(static a => a.StartsWith("/ip4/127.0.0.1/", StringComparison.Ordinal));

    private static JsonElement Json(LeitherServer node, params string[] words)
    {
        LeitherProgram.Result result = Swarm(node, [.. words, "--json"]);
        Assert.True(result.Code == 0, result.Output + result.Error);
        return JsonDocument.Parse(result.Output).RootElement;
    }
}
