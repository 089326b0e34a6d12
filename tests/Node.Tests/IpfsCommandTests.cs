// leither ipfs … as a process against real nodes, and the IPFS commands beneath it.

using System.Text;
using System.Text.Json;
using Leither.Ipfs.Multiformats;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

public sealed class IpfsCommandTests : IDisposable
{
    private const string Hello = "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o";

    private readonly LeitherServer _server = LeitherServer.StartNew();
    private readonly TempDir _folder = new("ipfs");

    public void Dispose()
    {
        _server.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public void A_file_goes_in_and_out_again_and_its_CID_is_last_on_its_line()
    {
        File.WriteAllText(_folder.File("hello.txt"), "hello world\n");
        (int code, string output, string error) = Ipfs("add", _folder.File("hello.txt"));
        Assert.Equal((0, $"added hello.txt  12 B  {Hello}\n"), (code, output));
        Assert.Contains($"leither ipfs get {Hello}", error, StringComparison.Ordinal);
        Assert.Equal((0, "hello world\n"), Ipfs("cat", Hello).Short);
        Assert.Equal((0, "o w"), Ipfs("cat", "/ipfs/" + Hello, "--offset", "4", "--length", "3").Short);
        Assert.Equal((0, "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4\n"), Ipfs("add", "-q", "-n", "--profile", "unixfs-v1-2025", _folder.File("hello.txt")).Short);
        Assert.Equal((0, $"{Hello} recursive\n"), Ipfs("pin", "ls").Short);
        Assert.Equal(0, Ipfs("get", Hello, "-o", _folder.File("out")).Code);
        Assert.Equal("hello world\n", File.ReadAllText(_folder.File("out")));
        Assert.Contains("is there already", Ipfs("get", Hello, "-o", _folder.File("out")).Error, StringComparison.Ordinal);
    }

    [Fact]
    public void A_folder_of_many_files_goes_in_and_out_again()
    {
        byte[] big = new byte[3_000_000];
        new Random(1).NextBytes(big);
        Directory.CreateDirectory(_folder.File("in/sub"));
        File.WriteAllBytes(_folder.File("in/big"), big);
        File.CreateSymbolicLink(_folder.File("in/link"), "big");
        for (int i = 0; i < 300; i++) File.WriteAllText(_folder.File($"in/sub/{i}"), $"{i}");
        JsonElement added = Json("add", _folder.File("in")).GetProperty("added")[0];
        string cid = added.GetProperty("cid").GetString()!;
        JsonElement[] entries = [.. Json("ls", cid).GetProperty("entries").EnumerateArray()];
        Assert.Equal(["big file", "link symlink", "sub directory"], entries.Select(static e => $"{e.GetProperty("name")} {e.GetProperty("type")}"));
        Assert.Equal(3_000_000, entries[0].GetProperty("size").GetInt64());
        Assert.Equal(0, Ipfs("get", $"/ipfs/{cid}", "-o", _folder.File("out")).Code);
        Assert.Equal(big, File.ReadAllBytes(_folder.File("out/big")));
        Assert.Equal("big", new FileInfo(_folder.File("out/link")).LinkTarget);
        Assert.Equal("299", File.ReadAllText(_folder.File("out/sub/299")));
        Assert.Equal(cid, Json("add", _folder.File("out")).GetProperty("added")[0].GetProperty("cid").GetString());
        Assert.Equal((0, "7"), Ipfs("cat", $"{cid}/sub/7").Short);
        Assert.Equal((1, "There is no 'none' in"), (Ipfs("cat", $"{cid}/none").Code, Ipfs("cat", $"{cid}/none").Error[..21]));
    }

    [Fact]
    public void What_is_pinned_outlives_a_collection_and_a_crash_and_the_rest_goes()
    {
        using RespClient client = _server.Connect();
        string kept = client.Call("IPFS", "ADD", "kept").Text;
        string tree = client.Call("IPFS", "FILES", "WRITE", "/a/b", "tree", "CREATE", "PARENTS").Text;
        string loose = client.Call("IPFS", "ADD", "loose", "NOPIN").Text;
        Assert.Equal("loose", client.Call("IPFS", "CAT", loose).Text);
        _server.Kill();
        _server.Start();
        using RespClient again = _server.Connect();
        again.Call("IPFS", "REPO", "GC", "PURGE");
        Assert.Equal("kept", again.Call("IPFS", "CAT", kept).Text);
        Assert.Equal("tree", again.Call("IPFS", "FILES", "READ", "/a/b").Text);
        Assert.Equal(tree, again.Call("IPFS", "FILES", "FLUSH").Text);
        Assert.Contains("is not here", again.Call("IPFS", "CAT", loose).Text, StringComparison.Ordinal);
        Assert.Equal(kept, again.Call("IPFS", "PIN", "RM", kept).Text);
        again.Call("IPFS", "REPO", "GC", "PURGE");
        Assert.Contains("is not here", again.Call("IPFS", "CAT", kept).Text, StringComparison.Ordinal);
        Assert.Contains("is not pinned", again.Call("IPFS", "PIN", "RM", kept).Text, StringComparison.Ordinal);
    }

    [Fact]
    public void Blocks_and_values_are_put_shown_and_found_by_their_paths()
    {
        using RespClient client = _server.Connect();
        string file = client.Call("IPFS", "BLOCK", "PUT", "bytes").Text;
        Assert.Equal("5", client.Call("IPFS", "BLOCK", "STAT", file).Text);
        string map = client.Call("IPFS", "DAG", "PUT", $$"""{"list":[1,{"/":"{{file}}"}]}""").Text;
        Assert.Equal($$"""{"list":[1,{"/":"{{file}}"}]}""", client.Call("IPFS", "DAG", "GET", map).Text);
        Assert.Equal("1", client.Call("IPFS", "DAG", "GET", map + "/list/0").Text);
        Assert.Equal("bytes", client.Call("IPFS", "CAT", map + "/list/1").Text);
        Assert.Equal(file, client.Call("IPFS", "RESOLVE", map + "/list/1").Text);
        client.Call("IPFS", "PIN", "ADD", map);
        Assert.Contains("is kept by the pin", client.Call("IPFS", "BLOCK", "RM", file).Text, StringComparison.Ordinal);
        Assert.Contains("is not the name of these bytes", client.Call("IPFS", "BLOCK", "PUT", "other", "CID", file).Text, StringComparison.Ordinal);
        Assert.Equal(file, client.Call("IPFS", "PIN", "LS", file).Items[0][0].Text);
    }

    [Fact]
    public void A_collection_tells_what_it_left_behind_and_a_purge_leaves_nothing()
    {
        using RespClient client = _server.Connect();
        string kept = client.Call("IPFS", "ADD", new string('k', 200_000)).Text;
        string gone = client.Call("IPFS", "ADD", "gone").Text;
        client.Call("IPFS", "PIN", "RM", gone);
        Dictionary<string, long> first = Figures(client.Call("IPFS", "REPO", "GC"));
        Assert.True(first["dead"] > 0 && first["freed"] == 0 && first["left"] == first["dead"], string.Join(' ', first));
        Assert.Equal("gone", client.Call("IPFS", "CAT", gone).Text);
        Assert.Equal(first["left"], Figures(client.Call("IPFS", "REPO", "STAT"))["dead"]);
        Dictionary<string, long> second = Figures(client.Call("IPFS", "REPO", "GC", "PURGE"));
        Assert.True(second["freed"] > 0 && second["left"] == 0 && second["live"] == first["live"], string.Join(' ', second));
        Assert.True(client.Call("IPFS", "CAT", gone).IsError);
        Assert.Equal(200_000, client.Call("IPFS", "CAT", kept).Text.Length);

        static Dictionary<string, long> Figures(RespValue reply) => reply.Items.Chunk(2).ToDictionary(static p => p[0].Text, static p => long.Parse(p[1].Text, System.Globalization.CultureInfo.InvariantCulture));
    }

    [Fact]
    public void Many_blocks_are_put_and_read_by_one_command_all_of_them_or_none()
    {
        using RespClient client = _server.Connect();
        byte[][] blocks = [.. Enumerable.Range(0, 300).Select(static i => Encoding.ASCII.GetBytes(new string('x', i * 10) + i))];
        string[] cids = [.. blocks.Select(static b => Cid.Of(Multicodec.Raw, b).ToString())];
        byte[][] command = [.. Words("IPFS", "BLOCK", "MPUT"), .. cids.Zip(blocks).SelectMany(static p => new[] { Encoding.ASCII.GetBytes(p.First), p.Second })];
        byte[][] wrong = [.. command];
        wrong[^1] = [1];
        Assert.Contains("is not the name of these bytes", client.Call(wrong).Text, StringComparison.Ordinal);
        Assert.True(client.Call("IPFS", "BLOCK", "GET", cids[0]).IsError);
        Assert.Equal("300", client.Call(command).Text);
        Assert.Equal("0", client.Call(command).Text);

        string absent = Cid.Of(Multicodec.Raw, [7, 7]).ToString();
        RespValue[] read = client.Call(["IPFS", "BLOCK", "MGET", cids[5], absent, .. cids[100..]]).Items;
        Assert.Equal(202, read.Length);
        Assert.Equal(Encoding.ASCII.GetString(blocks[5]), read[0].Text);
        Assert.True(read[1].IsNull);
        Assert.Equal(Encoding.ASCII.GetString(blocks[299]), read[^1].Text);
        foreach (string[] bad in (string[][])[["MPUT"], ["MPUT", cids[0]], ["MPUT", "x", "y"], ["MGET"], ["MGET", "x"], ["MGET", .. Enumerable.Repeat(cids[0], 1025)]])
        {
            Assert.True(client.Call(["IPFS", "BLOCK", .. bad]).IsError, string.Join(' ', bad));
        }

        Assert.Equal("PONG", client.Call("PING").Text);

        static byte[][] Words(params string[] words) => [.. words.Select(Encoding.ASCII.GetBytes)];
    }

    [Fact]
    public void What_is_wrong_is_replied_and_the_node_goes_on()
    {
        using RespClient client = _server.Connect();
        string[][] commands =
        [
            ["CAT", "none"], ["CAT", "/ipfs/" + Hello], ["LS", "bafkqaaa"], ["BLOCK", "GET", "x"], ["BLOCK", "GET", "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4"],
            ["BLOCK", "PUT", "x", "CODEC", "y"], ["DAG", "PUT", "{"], ["DAG", "PUT", """{"/":1}"""], ["DAG", "GET", "bafkqaaa/x"], ["PIN", "ADD", Hello], ["PIN", "RM", Hello],
            ["ADD", "x", "PROFILE", "y"], ["IMPORT", "/none"], ["FILES", "RM", "/none"], ["FILES", "READ", "/"], ["FILES", "WRITE", "/x/../..", "x", "CREATE"], ["FILES", "CP", "/ipfs/x", "/y"],
            ["FILES", "WRITE", "/far", "x", "CREATE", "OFFSET", "1099511627775"], ["REPO", "X"], ["CAT", "bafkqaaa", "OFFSET", "-1"], ["STAT", "bafyqaaa"], ["CAT", "bafyqaaa"],
        ];
        foreach (string[] command in commands) Assert.True(client.Call(["IPFS", .. command]).IsError, string.Join(' ', command));
        Assert.Equal("PONG", client.Call("PING").Text);
        Assert.Equal(2, Ipfs("cat").Code);
        Assert.Equal(2, Ipfs("pin", "x").Code);
        Assert.Equal(1, Ipfs("add", "/none").Code);
        Assert.Equal(0, Ipfs("add", "--help").Code);
    }

    private LeitherProgram.Result Ipfs(params string[] words) => LeitherProgram.Run(["ipfs", .. words, "--data", _server.DataDir]);

    private JsonElement Json(params string[] words)
    {
        LeitherProgram.Result result = Ipfs([.. words, "--json"]);
        Assert.True(result.Code == 0, result.Output + result.Error);
        return JsonDocument.Parse(result.Output).RootElement;
    }
}
