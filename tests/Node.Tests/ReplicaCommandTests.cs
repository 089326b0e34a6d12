// leither mimei publish … takeover as a process: what people read, what programs read, and what is sent to the node, whose replies a test gives.

using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Leither.Ipfs.Keys;
using Leither.MmDb.Log;
using Leither.MmDb.Writers;
using Leither.Replication;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

public sealed class ReplicaCommandTests : IDisposable
{
    private const string Mid = "33Cv1x-3lXdjdU2wWQRT4pqp25A", Peer = "12D3KooWQYV9dGMFoRzNStwpXztXaBUjtPqi6aU76ZgUriHhKust", Address = $"/ip4/10.0.0.1/tcp/4800/p2p/{Peer}";

    private readonly ScriptedNode _node = new();

    public void Dispose() => _node.Dispose();

    [Fact]
    public void Publish_prints_the_id_where_it_may_be_had_and_what_another_node_is_told()
    {
        _node.Reply("MIMEI PUBLISH", Map(
            ("mid", Mid), ("version", 2), ("cid", "bafyversion"), ("term", 1), ("epoch", 1), ("sequence", 40), ("name", "k51name"), ("told", 3), ("eol", "2026-11-29T00:00:00Z"),
            ("addresses", new[] { $"/ip4/127.0.0.1/tcp/4800/p2p/{Peer}", Address })));
        (int code, string output, string error) = Run("publish", "diary");
        Assert.Equal(0, code);
        Assert.Equal($"published {Mid}  version 2  bafyversion  position 1.1:40\nname k51name  told 3 peers, good until 2026-11-29T00:00:00Z\nat   /ip4/127.0.0.1/tcp/4800/p2p/{Peer}\nat   {Address}\n", output);
        Assert.Contains($"Next: leither mimei provide {Mid} --from {Address}      (on another node)\n", error, StringComparison.Ordinal);
        Assert.Equal(("bafyversion", 3), (Json("publish", "diary").GetProperty("cid").GetString(), Json("publish", "diary").GetProperty("told").GetInt32()));
        Assert.Contains("for 2 users and not for everybody; nothing is announced\n", Run("publish", "diary", "--to", Peer, "--to", Mid).Output, StringComparison.Ordinal);
        Assert.Contains($"MIMEI PUBLISH diary TO {Peer} {Mid}", _node.Received);
        Assert.Equal(2, Run("publish").Code);
    }

    [Fact]
    public void Provide_and_sync_tell_how_far_it_is_and_what_can_be_done_with_it()
    {
        _node.Reply("MIMEI PROVIDE", Synced(level: 1));
        _node.Reply("MIMEI SYNC", Synced(level: 1));
        (int code, string output, string error) = Run("provide", Mid, "--from", Address);
        Assert.Equal(0, code);
        Assert.Matches($@"^provides {Mid}  no version yet  position 1:12  4\.1 kB from 3 nodes  [\d.]+ s\n$", output);
        Assert.Contains($"Next: redis-cli -p {_node.Port} --user default@{Mid} --pass ''\n      leither mimei cid {Mid} -p {_node.Port}\n", error, StringComparison.Ordinal);
        Assert.Equal(0, Run("sync", Mid, "--from", Address, "--from", "nas:4801", "--follow").Code);
        Assert.Equal((12, true), (Json("sync", Mid).GetProperty("sequence").GetInt32(), Json("sync", Mid).GetProperty("level").GetBoolean()));
        Assert.Contains($"MIMEI PROVIDE {Mid} FROM {Address}", _node.Received);
        Assert.Contains($"MIMEI SYNC {Mid} FROM {Address} nas:4801 FOLLOW", _node.Received);
        Assert.Contains($"MIMEI SYNC {Mid}", _node.Received);

        _node.Reply("MIMEI SYNC", Synced(level: 0));
        _node.Reply("MIMEI PROVIDE", Synced(level: 0));
        (code, _, error) = Run("sync", Mid);
        Assert.Equal((1, $"It is not level with the others yet, and goes on from here with: leither mimei sync {Mid} -p {_node.Port}\n"), (code, error));
        Assert.EndsWith("It is not level with the others yet, and goes on.\n", Run("provide", Mid).Output, StringComparison.Ordinal);
        _node.Reply("MIMEI SYNC", "-ERR no node that has it can be reached\r\n");
        Assert.Equal((1, "", "No node that has it can be reached\n"), Run("sync", Mid));
    }

    [Theory]
    [InlineData(0, 3, "version 3 there, on its way here", 0)]
    [InlineData(1, 3, "version 2", 2)]
    public void Where_no_version_came_yet_it_is_told_which_there_are(int here, int there, string told, int version)
    {
        _node.Reply("MIMEI PROVIDE", Synced(level: 1));
        _node.Reply("MIMEI SHOW", Shown(here, compare: "net", Map(("last", there), ("cid", "bafynet"), ("term", 0), ("epoch", 1), ("sequence", 44))));
        Assert.Matches($@"^provides {Mid}  {told}  position 1:12  4\.1 kB from 3 nodes  [\d.]+ s\n$", Run("provide", Mid).Output);
        Assert.Equal((version, there), (Json("provide", Mid).GetProperty("version").GetInt32(), Json("provide", Mid).GetProperty("net_version").GetInt32()));
    }

    [Fact]
    public void Unpublish_and_unprovide_tell_whether_there_was_anything_to_end()
    {
        _node.Reply("MIMEI UNPUBLISH", ":1\r\n");
        _node.Reply("MIMEI UNPROVIDE", ":0\r\n");
        Assert.Equal((0, "unpublished diary\n", ""), Run("unpublish", "diary"));
        Assert.Equal((0, "It was not provided.\n", ""), Run("unprovide", Mid));
        Assert.True(Json("unpublish", "diary").GetProperty("unpublished").GetBoolean());
        Assert.False(Json("unprovide", Mid).GetProperty("unprovided").GetBoolean());
    }

    [Fact]
    public void Who_has_it_and_who_follows_are_tables()
    {
        _node.Reply("MIMEI FINDPROVS", Array(
            Map(("peer", Peer), ("node", Mid), ("addresses", new[] { "/ip4/10.0.0.1/tcp/4800", "/ip4/10.0.0.2/tcp/4800" }), ("version", 2), ("cid", "bafy"), ("term", 0), ("epoch", 1), ("sequence", 40), ("writer", 1), ("this", 0), ("problem", "")),
            Map(("peer", "12D3other"), ("node", ""), ("addresses", System.Array.Empty<string>()), ("version", 0), ("cid", ""), ("term", 0), ("epoch", 0), ("sequence", 0), ("writer", 0), ("this", 0), ("problem", "it does not answer"))));
        string[] lines = Run("findprovs", Mid).Output.Split('\n');
        Assert.Matches(@"^Peer +Version +Position +Is +Addresses", lines[0]);
        Assert.Matches($@"^{Peer} +2 +1:40 +writer +/ip4/10\.0\.0\.1/tcp/4800", lines[1]);
        Assert.Matches(@"^ +/ip4/10\.0\.0\.2/tcp/4800", lines[2]);
        Assert.Matches(@"^12D3other +- +- +it does not answer", lines[3]);
        JsonElement found = Json("findprovs", Mid).GetProperty("providers");
        Assert.Equal((2, true, "it does not answer"), (found.GetArrayLength(), found[0].GetProperty("writer").GetBoolean(), found[1].GetProperty("problem").GetString()));
        _node.Reply("MIMEI FINDPROVS", "*0\r\n");
        Assert.Equal((0, "Nobody who was asked knows a provider.\n", ""), Run("findprovs", Mid));

        _node.Reply("MIMEI FOLLOWERS", Array(Follower));
        lines = Run("followers", Mid).Output.Split('\n');
        Assert.Matches(@"^Peer +State +Written +Synced +Lag +Named +Address", lines[0]);
        Assert.Matches($@"^{Peer} +online +1,038 +1,030 +4 +yes +/ip4/10\.0\.0\.2/tcp/4801", lines[1]);
        Assert.Equal(4, Json("followers").GetProperty("followers")[0].GetProperty("lag").GetInt32());

        _node.Reply("MIMEI PROVIDERS", Array(Map(("provider", Peer), ("state", "offline"), ("written", 0), ("synced", 0), ("lag", -1))));
        Assert.Matches($@"^ +0 +0 +- +offline +{Peer}", Run("providers", Mid, "--add", Peer, "--remove", "12D3other").Output.Split('\n')[1]);
        Assert.Equal("offline", Json("providers", Mid).GetProperty("providers")[0].GetProperty("state").GetString());
        Assert.Contains($"MIMEI PROVIDERS {Mid} ADD {Peer}", _node.Received);
        Assert.Contains($"MIMEI PROVIDERS {Mid} DEL 12D3other", _node.Received);
    }

    [Fact]
    public void Show_of_a_copy_names_the_writer_and_what_differs()
    {
        _node.Reply("MIMEI SHOW", Shown(here: 1, compare: "net", Map(("last", 3), ("cid", "bafynet"), ("term", 0), ("epoch", 1), ("sequence", 44))));
        _node.Reply("MIMEI INFO", Map(
            ("mid", Mid), ("created", "2022-10-06T06:22:57Z"), ("right", "7276704"), ("open", 1), ("clients", 2), ("keys", 9), ("memory", 70000), ("disk", 1000), ("writable", 0),
            ("references", System.Array.Empty<string>()), ("referrers", System.Array.Empty<string>())));
        (int code, string output, string error) = Run("show", Mid);
        Assert.Equal(0, code);
        foreach (string line in (string[])[
            $"MiMeiShow mid= {Mid}", "Write   : no, another node writes it", "Shared  : with everybody", "Provided: yes", $"Writer  : {Peer}  {Address}", $"Follows : {Peer}, 4 entries behind",
            $"Follower: {Peer}  online, 4 entries behind, named", "Undone  : 1 entry that the writer took back; kept aside beside the log", "Refused : 512 B that did not fit what is signed",
            "from local      2  bafylocal   last 2   release 1", "from net        3  bafynet   last 3", "state           bafystate   of version 2", "position        1:40   net 1:44",
            "conflict        no conflict", "compare version net version is newer than local"])
        {
            Assert.Contains(line + "\n", output, StringComparison.Ordinal);
        }

        Assert.Contains($"Next: leither mimei cid {Mid} -p {_node.Port}\n", error, StringComparison.Ordinal);
        JsonElement json = Json("show", Mid);
        Assert.Equal(("follower", "bafystate", 44, false, "net", false, 1), (
            json.GetProperty("role").GetString(), json.GetProperty("local").GetProperty("state").GetString(), json.GetProperty("net").GetProperty("sequence").GetInt32(),
            json.GetProperty("conflict").GetBoolean(), json.GetProperty("compare").GetString(), json.GetProperty("writable").GetBoolean(), json.GetProperty("followers").GetArrayLength()));
    }

    [Fact]
    public void Show_of_one_that_is_elsewhere_says_how_to_bring_it_here()
    {
        _node.Reply("MIMEI SHOW", Shown(here: 0, compare: "only-net", Map(("last", 3), ("cid", "bafynet"), ("term", 0), ("epoch", 1), ("sequence", 44))));
        (int code, string output, string error) = Run("show", Mid);
        Assert.Equal(0, code);
        Assert.Contains("from local      not on this node\n", output, StringComparison.Ordinal);
        Assert.DoesNotContain("Keys    :", output, StringComparison.Ordinal);
        Assert.StartsWith($"Next: leither mimei sync {Mid}", error, StringComparison.Ordinal);
        Assert.False(Json("show", Mid).GetProperty("here").GetBoolean());
    }

    [Fact]
    public void Takeover_signs_the_certificate_here_and_sends_no_key()
    {
        using TempDir folder = new();
        using PrivateKey author = PrivateKey.FromSeed(Enumerable.Repeat((byte)7, 32).ToArray()), other = PrivateKey.FromSeed(new byte[32]);
        string file = Write(folder, "author.key", author), wrong = Write(folder, "other.key", other);
        LeitherId mid = LeitherId.Parse(Mid);
        var asked = new WriterCertificate
        {
            Mid = mid,
            Author = author.PublicKey.Bytes.ToArray(),
            Writer = other.PublicKey.Bytes.ToArray(),
            Node = other.PublicKey.PeerId,
            Epoch = WriterCertificate.FirstEpochOf(1),
            After = new Position(1, 40),
        };
        _node.Reply($"MIMEI TAKEOVER {Mid} PREPARE", Bulk(asked.ToBeSigned()));
        _node.Reply("MIMEI TAKEOVER", Map(("mid", Mid), ("term", 1), ("epoch", 1), ("after", MapValue.Of(("term", 0), ("epoch", 1), ("sequence", 40))), ("before", Peer)));
        (int code, string output, _) = Run("takeover", Mid, "--key", file);
        Assert.Equal((0, $"took over {Mid}  term 1, after 1:40  before: {Peer}\n"), (code, output));
        byte[][] sent = _node.Words.Last(static w => w.Length == 5);
        Assert.Equal(asked.Epoch, WriterCertificate.Decode(sent[4], mid, author.PublicKey).Epoch);
        Assert.DoesNotContain(_node.Words.SelectMany(static w => w), word => word.AsSpan().IndexOf(Enumerable.Repeat((byte)7, 32).ToArray()) >= 0);

        // Nothing is signed but what it should be.
        Assert.Equal((1, "", $"{wrong} is not the key of the author of {Mid}\n"), Run("takeover", Mid, "--key", wrong));
        string none = Path.Combine(folder.Path, "none");
        Assert.Equal(1, Run("takeover", Mid, "--key", none).Code);
        File.WriteAllText(none, "no key");
        Assert.Equal((1, "", $"{none} is not a private key\n"), Run("takeover", Mid, "--key", none));
        _node.Reply($"MIMEI TAKEOVER {Mid} PREPARE", Bulk((asked with { Mid = LeitherId.Of("another"u8) }).ToBeSigned()));
        Assert.Contains("so it is not signed", Run("takeover", Mid, "--key", file).Error, StringComparison.Ordinal);
        _node.Reply($"MIMEI TAKEOVER {Mid} PREPARE", Bulk("leither-version-1:anything"u8.ToArray()));
        Assert.Contains("is no certificate, so it is not signed", Run("takeover", Mid, "--key", file).Error, StringComparison.Ordinal);

        Assert.Equal(0, Run("takeover", Mid).Code);
        _node.Reply("MIMEI TAKEOVER", "-ERR the key is not here. MIMEI TAKEOVER mid PREPARE gives what is to be signed\r\n");
        Assert.Equal((1, "", $"The key of the author of {Mid} is not on this node.\nWith a copy of it: leither mimei takeover {Mid} --key FILE -p {_node.Port}\n"), Run("takeover", Mid));
        Assert.Equal($"MIMEI TAKEOVER {Mid}", _node.Received[^1]);
    }

    [Fact]
    public void Cid_prints_the_state_of_now_and_nothing_else()
    {
        using LeitherServer one = LeitherServer.StartNew(), other = LeitherServer.StartNew();
        foreach (LeitherServer server in (LeitherServer[])[one, other])
        {
            using RespClient client = server.Connect();
            client.Call("SET", "greeting", "hello");
        }

        (int code, string cid, string error) = LeitherProgram.Run(["mimei", "cid", "--data", one.DataDir]);
        Assert.Equal((0, ""), (code, error));
        Assert.Matches("^bafy[a-z2-7]{50,}\n$", cid);
        Assert.Equal(cid, LeitherProgram.Run(["mimei", "cid", "default", "--data", other.DataDir]).Output);
    }

    [Fact]
    public void Help_of_each_has_its_options_fields_and_examples()
    {
        foreach (string verb in (string[])["publish", "unpublish", "provide", "unprovide", "sync", "findprovs", "followers", "providers", "show", "cid", "takeover"])
        {
            (int code, string output, string error) = LeitherProgram.Run(["mimei", verb, "--help"]);
            Assert.Equal((0, ""), (code, error));
            foreach (string part in (string[])["Usage:\n  leither mimei " + verb, "Options:", "JSON (--json):", "Exit codes:", "Examples:\n  leither mimei " + verb])
            {
                Assert.Contains(part, output, StringComparison.Ordinal);
            }

            Assert.Contains($"\n  {verb} ", LeitherProgram.Run(["mimei", "--help"]).Output, StringComparison.Ordinal);
        }
    }

    // ------------------------------------------------------------------ what they share

    private (int Code, string Output, string Error) Run(params string[] words)
    {
        (int code, string output, string error) = LeitherProgram.Run(["mimei", .. words, "-p", $"{_node.Port}"]);
        return (code, output, error);
    }

    private JsonElement Json(params string[] words)
    {
        (int code, string output, string error) = Run([.. words, "--json"]);
        Assert.Equal((0, ""), (code, error));
        return JsonDocument.Parse(output).RootElement;
    }

    private static string Write(TempDir folder, string name, PrivateKey key)
    {
        byte[] protobuf = new byte[PrivateKey.ProtobufLength];
        key.CopyProtobuf(protobuf);
        string path = Path.Combine(folder.Path, name);
        File.WriteAllText(path, Convert.ToBase64String(protobuf) + "\n");
        return path;
    }

    private static string Follower => Map(
        ("peer", Peer), ("node", Mid), ("address", "/ip4/10.0.0.2/tcp/4801"), ("state", "online"), ("term", 0), ("epoch", 1), ("written", 1038), ("synced", 1030), ("lag", 4), ("named", 1),
        ("silent-ms", 20));

    private static string Synced(int level) => Map(
        ("mid", Mid), ("version", 0), ("term", 0), ("epoch", 1), ("sequence", 12), ("bytes", 4096), ("blocks", 7), ("sources", 3), ("level", level));

    private static string Shown(int here, string compare, string net) => Map(
        ("mid", Mid), ("name", ""), ("type", "db"), ("author", Mid), ("app", ""), ("ext", ""), ("mark", "m"), ("here", here),
        ("local", MapValue.Of(("versions", here * 2), ("last", here * 2), ("release", here), ("cid", here == 1 ? "bafylocal" : ""), ("state", here == 1 ? "bafystate" : ""), ("term", 0), ("epoch", here), ("sequence", here * 40))),
        ("net", new MapValue(net)), ("net-problem", ""), ("conflict", ""), ("compare", compare), ("role", here == 1 ? "follower" : ""), ("state", ""), ("public", 1),
        ("users", System.Array.Empty<string>()), ("provided", 1), ("writer", Peer), ("writer-addresses", new[] { Address }), ("source", Peer), ("level", 0), ("lag", 4), ("silent-ms", 20),
        ("bytes-received", 1), ("bytes-sent", 2), ("undone", 1), ("refused", 512), ("proof", ""), ("followers", new MapValue(Array(Follower))), ("named", new MapValue("*0\r\n")),
        ("providers", new MapValue("*0\r\n")), ("readonly", here));

    private static string Bulk(byte[] bytes) => $"${bytes.Length}\r\n{Encoding.Latin1.GetString(bytes)}\r\n";

    private static string Bulk(string text) => Bulk(Encoding.UTF8.GetBytes(text));

    private static string Array(params string[] replies) => $"*{replies.Length}\r\n{string.Concat(replies)}";

    private static string Map(params (string Name, object Value)[] fields) => $"*{fields.Length * 2}\r\n{string.Concat(fields.Select(static f => Bulk(f.Name) + f.Value switch
    {
        string text => Bulk(text),
        string[] texts => Array([.. texts.Select(Bulk)]),
        MapValue made => made.Reply,
        _ => $":{f.Value}\r\n",
    }))}";

    /// <summary>A reply within a reply.</summary>
    private sealed record MapValue(string Reply)
    {
        public static MapValue Of(params (string Name, object Value)[] fields) => new(Map(fields));
    }

    /// <summary>A node whose replies a test gives, by how a command begins; the longest that fits is taken.</summary>
    private sealed class ScriptedNode : IDisposable
    {
        private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
        private readonly Dictionary<string, string> _replies = new() { ["MIMEI ID"] = $"*4\r\n{Bulk(Mid)}{Bulk("diary")}{Bulk("cur")}:0\r\n" };
        private readonly List<byte[][]> _words = [];

        public ScriptedNode()
        {
            _listener.Start();
            new Thread(Accept) { IsBackground = true }.Start();
        }

        public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

        public IReadOnlyList<byte[][]> Words
        {
            get
            {
                lock (_words)
                {
                    return [.. _words];
                }
            }
        }

        public IReadOnlyList<string> Received => [.. Words.Select(Text)];

        public void Reply(string command, string reply)
        {
            lock (_words)
            {
                _replies[command] = reply;
            }
        }

        public void Dispose() => _listener.Dispose();

        private static string Text(byte[][] words) => string.Join(' ', words.Select(Encoding.Latin1.GetString));

        private void Accept()
        {
            try
            {
                while (true)
                {
                    TcpClient client = _listener.AcceptTcpClient();
                    new Thread(() => Serve(client)) { IsBackground = true }.Start();
                }
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException or InvalidOperationException)
            {
                // The test is over.
            }
        }

        private void Serve(TcpClient client)
        {
            using (client)
            using (var stream = new BufferedStream(client.GetStream()))
            {
                try
                {
                    while (Line(stream) is { } line)
                    {
                        byte[][] words = new byte[int.Parse(line[1..], System.Globalization.CultureInfo.InvariantCulture)][];
                        for (int i = 0; i < words.Length; i++)
                        {
                            words[i] = new byte[int.Parse(Line(stream)![1..], System.Globalization.CultureInfo.InvariantCulture)];
                            stream.ReadExactly(words[i]);
                            Line(stream);
                        }

                        client.GetStream().Write(Encoding.Latin1.GetBytes(Answer(words)));
                    }
                }
                catch (IOException)
                {
                    // The program has ended.
                }
            }
        }

        private string Answer(byte[][] words)
        {
            lock (_words)
            {
                _words.Add(words);
                string text = Text(words);
                return _replies.Where(r => text.StartsWith(r.Key, StringComparison.Ordinal)).OrderByDescending(static r => r.Key.Length).Select(static r => r.Value).FirstOrDefault()
                    ?? $"-ERR unknown command '{text}'\r\n";
            }
        }

        private static string? Line(Stream stream)
        {
            var line = new StringBuilder();
            for (int next = stream.ReadByte(); next >= 0; next = stream.ReadByte())
            {
                if (next == '\n')
                {
                    return line.ToString().TrimEnd('\r');
                }

                line.Append((char)next);
            }

            return null;
        }
    }
}
