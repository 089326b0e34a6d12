// What the specifications of gateways (ipfs/specs, http-gateways) ask of one, of content of every kind that a path can lead to.

using System.Formats.Tar;
using System.Text;
using Leither.Ipfs.DagCbor;
using Leither.Ipfs.DagJson;
using Leither.Ipfs.DagPb;
using Leither.Ipfs.Ipns;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Ipfs.UnixFs;
using Xunit;

namespace Leither.Node.Tests;

public sealed class GatewayContentTests : IDisposable
{
    private const string Immutable = "public, max-age=29030400, immutable";
    private const string PageCache = "public, max-age=604800, stale-while-revalidate=2678400";
    private const string Folder = "ß", Inner = "ж", Note = "note-øå.txt", NoteText = "A note whose path is not ASCII\n";
    private const string FolderEscaped = "%C3%9F", InnerEscaped = "%D0%B6", NoteEscaped = "note-%C3%B8%C3%A5.txt";

    private static readonly Cid _absent = Cid.CreateV0(Multihash.Sha256("nobody has this"u8));
    private static readonly Cid _inline = Cid.Create(Multicodec.Raw, Multihash.Identity("content in its own name"u8));

    private readonly GatewayHost _host = new();

    public void Dispose() => _host.DisposeAsync().AsTask().GetAwaiter().GetResult();

    [Fact]
    public async Task A_directory_is_listed()
    {
        Cid root = AddTree();
        Cid file = _host.Find(root, Folder, Inner, Note);
        Answer top = await _host.GetAsync($"/ipfs/{root}/");
        Assert.Contains("Index of", top.Text, StringComparison.Ordinal);
        Assert.DoesNotContain(">..</a>", top.Text, StringComparison.Ordinal);

        Answer redirect = await _host.GetAsync($"/ipfs/{root}/{Folder}/{Inner}");
        Assert.Equal(301, redirect.Status);
        Assert.Equal($"/ipfs/{root}/{FolderEscaped}/{InnerEscaped}/", redirect["Location"]);

        Answer page = await _host.GetAsync($"/ipfs/{root}/{Folder}/{Inner}/");
        Assert.Contains("\"DirIndex-", page["ETag"], StringComparison.Ordinal);
        foreach (string part in (string[])[
            $"/ipfs/<a href=\"/ipfs/{root}\">{root}</a>/<a href=\"/ipfs/{root}/{FolderEscaped}\">{Folder}</a>/<a href=\"/ipfs/{root}/{FolderEscaped}/{InnerEscaped}\">{Inner}</a>",
            $"<a href=\"/ipfs/{root}/{FolderEscaped}/{InnerEscaped}/..\">..</a>",
            $"<a href=\"/ipfs/{root}/{FolderEscaped}/{InnerEscaped}/{NoteEscaped}\">{Note}</a>",
            $"<a class=\"ipfs-hash\" translate=\"no\" href=\"/ipfs/{file}?filename={NoteEscaped}\""])
        {
            Assert.Contains(part, page.Text, StringComparison.Ordinal);
        }

        Assert.Equal(404, (await _host.GetAsync($"/ipfs/{root}/i-do-not-exist")).Status);
        Answer sub = await _host.GetAsync($"/{Folder}/{Inner}", $"Host: {root}.ipfs.localhost");
        Assert.Equal((301, $"/{FolderEscaped}/{InnerEscaped}/"), (sub.Status, sub["Location"]));
        page = await _host.GetAsync($"/{Folder}/{Inner}/", $"Host: {root}.ipfs.localhost:{_host.Port}");
        foreach (string part in (string[])[
            $"/ipfs/<a href=\"//localhost:{_host.Port}/ipfs/{root}\">{root}</a>/<a href=\"//localhost:{_host.Port}/ipfs/{root}/{FolderEscaped}\">{Folder}</a>/",
            $"<a href=\"/{FolderEscaped}/{InnerEscaped}/..\">..</a>",
            $"<a href=\"/{FolderEscaped}/{InnerEscaped}/{NoteEscaped}\">{Note}</a>",
            $"<a class=\"ipfs-hash\" translate=\"no\" href=\"//localhost:{_host.Port}/ipfs/{file}?filename="])
        {
            Assert.Contains(part, page.Text, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Caches_are_told_what_they_need()
    {
        Cid root = AddNested();
        Cid[] roots = [root, _host.Find(root, "one"), _host.Find(root, "one", "two"), _host.Find(root, "one", "two", "three"), _host.Find(root, "one", "two", "three", "index.html")];
        Answer listing = await _host.GetAsync($"/ipfs/{root}/one/two/");
        Assert.Equal(
            (200, $"/ipfs/{root}/one/two/", string.Join(',', roots[..3]), PageCache),
            (listing.Status, listing["X-Ipfs-Path"], listing["X-Ipfs-Roots"], listing["Cache-Control"]));
        Assert.Matches($"DirIndex-.*_CID-{roots[2]}", listing["ETag"]);
        Answer index = await _host.GetAsync($"/ipfs/{root}/one/two/three/");
        Assert.Equal(
            (200, $"/ipfs/{root}/one/two/three/", string.Join(',', roots[..4]), Immutable, $"\"{roots[3]}\"", "a page\n"),
            (index.Status, index["X-Ipfs-Path"], index["X-Ipfs-Roots"], index["Cache-Control"], index["ETag"], index.Text));
        Answer file = await _host.GetAsync($"/ipfs/{root}/one/two/three/index.html");
        Assert.Equal(
            (200, string.Join(',', roots), Immutable, $"\"{roots[4]}\""),
            (file.Status, file["X-Ipfs-Roots"], file["Cache-Control"], file["ETag"]));
        Answer raw = await _host.GetAsync($"/ipfs/{root}/one/two/three/?format=raw");
        Assert.Equal((200, Immutable), (raw.Status, raw["Cache-Control"]));
        Assert.Equal(_host.Block(roots[3]), raw.Body);

        foreach (string method in (string[])["HEAD", "GET"])
        {
            Assert.Equal(200, (await _host.AskAsync(method, $"/ipfs/{root}/one/two/three/?format=raw", "Cache-Control: only-if-cached")).Status);
            Assert.Equal(412, (await _host.AskAsync(method, $"/ipfs/{_absent}", "Cache-Control: only-if-cached")).Status);
        }

        Assert.Empty(_host.Network.Asked);
        string path = $"/ipfs/{root}/one/two/three/";
        foreach ((string asked, string tag, int status) in ((string, string, int)[])[
            (path + "index.html", $"\"{roots[4]}\"", 304), (path, $"\"{roots[3]}\"", 304), (path + "index.html", $"\"one\", \"other\", \"{roots[4]}\"", 304),
            (path + "index.html", $"W/\"{roots[4]}\"", 304), (path + "index.html", "*", 304), (path + "index.html", "\"another\"", 200), (path + "index.html", $"{roots[4]}", 200),
            ($"/ipfs/{root}/one/two/", listing["ETag"], 304), ($"/ipfs/{root}/one/two/", "W/" + listing["ETag"], 304)])
        {
            Answer answer = await _host.GetAsync(asked, $"If-None-Match: {tag}");
            Assert.Equal(status, answer.Status);
            if (status == 304) Assert.Empty(answer.Body);
        }
    }

    [Fact]
    public async Task Names_are_served_for_as_long_as_their_records_say()
    {
        Cid root = AddNested();
        string key = AddName(1, $"/ipfs/{root}");
        Cid[] roots = [root, _host.Find(root, "one"), _host.Find(root, "one", "two"), _host.Find(root, "one", "two", "three"), _host.Find(root, "one", "two", "three", "index.html")];
        Answer listing = await _host.GetAsync($"/ipns/{key}/one/two/");
        Assert.Equal((200, $"/ipns/{key}/one/two/", string.Join(',', roots[..3])), (listing.Status, listing["X-Ipfs-Path"], listing["X-Ipfs-Roots"]));
        Assert.Matches("^public, max-age=\\d+$", listing["Cache-Control"]);
        Answer index = await _host.GetAsync($"/ipns/{key}/one/two/three/");
        Assert.Equal((200, string.Join(',', roots[..4]), $"\"{roots[3]}\""), (index.Status, index["X-Ipfs-Roots"], index["ETag"]));
        Assert.Equal(304, (await _host.GetAsync($"/ipns/{key}/one/two/three/index.html", $"If-None-Match: \"{roots[4]}\"")).Status);
        Assert.Equal(_host.Block(roots[3]), (await _host.GetAsync($"/ipns/{key}/one/two/three/?format=raw")).Body);
        Assert.Equal(200, (await _host.GetAsync("/one/two/", $"Host: {key}.ipns.localhost")).Status);

        string sub = AddName(2, $"/ipfs/{root}/one");
        Answer below = await _host.GetAsync($"/ipns/{sub}/two/three/index.html");
        Assert.Equal((200, "a page\n"), (below.Status, below.Text));
    }

    [Theory]
    [InlineData("the first signature alone", IpnsRefusal.Unsigned)]
    [InlineData("a first value that is another", IpnsRefusal.Contradiction)]
    [InlineData("a second signature that is none", IpnsRefusal.Signature)]
    [InlineData("a first signature that is none", null)]
    [InlineData("both signatures", null)]
    [InlineData("the second signature alone", null)]
    public async Task Only_records_that_are_signed_as_they_must_be_count(string kind, IpnsRefusal? refusal)
    {
        using PrivateKey key = Key(3);
        string name = IpnsRecord.NameText(key.PublicKey.PeerId);
        byte[] bytes = Record(key, kind);
        _host.Names.Add(name, bytes);
        Answer answer = await _host.GetAsync($"/ipns/{name}");
        if (refusal is not null)
        {
            Assert.Equal(refusal, Assert.Throws<IpnsException>(() => IpnsRecord.ReadValid(key.PublicKey.PeerId, bytes, DateTimeOffset.UtcNow)).Refusal);
            Assert.InRange(answer.Status, 500, 599);
            return;
        }

        Assert.Equal((200, "content in its own name"), (answer.Status, answer.Text));
        foreach ((string query, string header) in ((string, string)[])[("?format=ipns-record", "X-None: 0"), ("", "Accept: application/vnd.ipfs.ipns-record")])
        {
            Answer record = await _host.GetAsync($"/ipns/{name}{query}", header);
            Assert.Equal(bytes, record.Body);
            Assert.Equal("application/vnd.ipfs.ipns-record", record["Content-Type"]);
            Assert.Contains("attachment;", record["Content-Disposition"], StringComparison.Ordinal);
            Assert.StartsWith("public, max-age=1800", record["Cache-Control"], StringComparison.Ordinal);
        }

        Answer named = await _host.GetAsync($"/ipns/{name}?format=ipns-record&filename=recordимя.ipns-record");
        Assert.Equal("attachment; filename=\"record___.ipns-record\"; filename*=UTF-8''record%D0%B8%D0%BC%D1%8F.ipns-record", named["Content-Disposition"]);
        Assert.Equal(400, (await _host.GetAsync($"/ipns/{name}/below?format=ipns-record")).Status);
        Assert.Equal(400, (await _host.GetAsync("/ipfs/bafkqaaa?format=ipns-record")).Status);
    }

    [Theory]
    [InlineData("12D3KooWBXu3uGPMkjjxViK6autSnFH5QaKJgTwW8CaSxYSD6yYL", "k51qzi5uqu5dgtgtu4q6glho451dtw7ty67h3e0ov4bhe44yojukcnh44rpzz5")]
    [InlineData("QmUZi89Ph8EyUxeeFGBXQjMNEQby3zjYt5q7zXqaeiF4YD", "k2k4r8lq0830zl3ax1rjxd111p65i0ouned2xetb1uvauy0xa3rwoece")]
    public async Task Other_forms_of_a_name_lead_to_the_usual_one(string name, string usual)
    {
        Answer answer = await _host.GetAsync($"/ipns/{name}/one/");
        Assert.Equal((302, $"/ipns/{usual}/one/"), (answer.Status, answer["Location"]));
    }

    [Fact]
    public async Task A_symbolic_link_is_its_target()
    {
        var importer = new UnixFsImporter(_host.Store, UnixFsProfile.V0);
        Cid note = _host.AddFile("content\n"u8.ToArray(), UnixFsProfile.V0), link = importer.AddSymlink("note.txt").Cid;
        Cid root = importer.AddDirectory([new NewEntry("note.txt", note, 16), new NewEntry("way", link, 14)]).Cid;
        Answer listing = await _host.GetAsync($"/ipfs/{root}/");
        Assert.Contains(">note.txt<", listing.Text, StringComparison.Ordinal);
        Assert.Contains(">way<", listing.Text, StringComparison.Ordinal);
        Assert.Equal(_host.Block(root), (await _host.GetAsync($"/ipfs/{root}?format=raw")).Body);
        Answer target = await _host.GetAsync($"/ipfs/{root}/way");
        Assert.Equal((200, "note.txt"), (target.Status, target.Text));
    }

    [Fact]
    public async Task Ranges_of_files_are_served()
    {
        Cid root = _host.AddDirectory(("ascii.txt", _host.AddFile("thirty-one bytes of plain text\n"u8.ToArray())));
        string path = $"/ipfs/{root}/ascii.txt";
        byte[] all = (await _host.GetAsync(path)).Body;
        Assert.Equal(31, all.Length);
        Assert.Equal("bytes", (await _host.GetAsync(path))["Accept-Ranges"]);
        foreach ((string range, string content, byte[] bytes) in ((string, string, byte[])[])[
            ("bytes=6-16", "bytes 6-16/31", all[6..17]), ("bytes=-3", "bytes 28-30/31", all[28..]), ("bytes=30-", "bytes 30-30/31", all[30..]), ("bytes=0-99", "bytes 0-30/31", all)])
        {
            Answer part = await _host.GetAsync(path, $"Range: {range}");
            Assert.Equal((206, content), (part.Status, part["Content-Range"]));
            Assert.Equal(bytes, part.Body);
        }

        Answer several = await _host.GetAsync(path, "Range: bytes=6-16,0-4");
        Assert.Equal(206, several.Status);
        Assert.StartsWith("multipart/byteranges; boundary=", several["Content-Type"], StringComparison.Ordinal);
        foreach (string part in (string[])["Content-Range: bytes 6-16/31", Encoding.ASCII.GetString(all[6..17]), "Content-Range: bytes 0-4/31", Encoding.ASCII.GetString(all[..5])])
        {
            Assert.Contains(part, several.Text, StringComparison.Ordinal);
        }

        Answer none = await _host.GetAsync(path, "Range: bytes=31-40");
        Assert.Equal((416, "bytes */31"), (none.Status, none["Content-Range"]));

        Cid partial = AddFileWithHole();
        foreach ((string range, string content) in ((string, string)[])[("bytes=997-1000", "bytes 997-1000/3072"), ("bytes=2200-2201", "bytes 2200-2201/3072")])
        {
            Answer part = await _host.GetAsync($"/ipfs/{partial}", $"Range: {range}");
            Assert.Equal((206, content), (part.Status, part["Content-Range"]));
        }

        Cid encoded = _host.AddDirectory(("half%2F+niño=all of it.txt", _host.AddFile("its name has a percent sign\n"u8.ToArray())));
        Answer file = await _host.GetAsync($"/ipfs/{encoded}/half%252F+niño=all%20of%20it.txt");
        Assert.Equal(200, file.Status);
        Assert.Equal(_host.Block(_host.Find(encoded, "half%2F+niño=all of it.txt")), file.Body);
    }

    [Fact]
    public async Task A_block_is_given_as_it_is()
    {
        Cid root = _host.AddDirectory(("dir", _host.AddDirectory(("ascii.txt", _host.AddFile("a block of a file\n"u8.ToArray())))));
        Cid dir = _host.Find(root, "dir"), file = _host.Find(root, "dir", "ascii.txt");
        foreach (string path in (string[])[$"/ipfs/{root}/dir", $"/ipfs/{dir}"])
        {
            Assert.Equal(_host.Block(dir), (await _host.GetAsync(path + "?format=raw")).Body);
            Answer accepted = await _host.GetAsync(path, "Accept: application/vnd.ipld.raw");
            Assert.Equal(_host.Block(dir), accepted.Body);
            Assert.Equal(path + "?format=raw", accepted["Content-Location"]);
        }

        Answer part = await _host.GetAsync($"/ipfs/{root}/dir", "Accept: application/vnd.ipld.raw", "Range: bytes=6-16");
        Assert.Equal((206, "application/vnd.ipld.raw"), (part.Status, part["Content-Type"]));
        Assert.Equal(_host.Block(dir)[6..17], part.Body);
        Answer answer = await _host.GetAsync($"/ipfs/{root}/dir/ascii.txt", "Accept: application/vnd.ipld.raw");
        Assert.Equal(
            ("application/vnd.ipld.raw", _host.Block(file).Length.ToString(System.Globalization.CultureInfo.InvariantCulture), "nosniff", Immutable, $"/ipfs/{root}/dir/ascii.txt"),
            (answer["Content-Type"], answer["Content-Length"], answer["X-Content-Type-Options"], answer["Cache-Control"], answer["X-Ipfs-Path"]));
        Assert.Equal($"attachment; filename=\"{file}.bin\"", answer["Content-Disposition"]);
        Assert.Contains(root.ToString(), answer["X-Ipfs-Roots"], StringComparison.Ordinal);
        Answer named = await _host.GetAsync($"/ipfs/{root}/dir/ascii.txt?filename=other.bin", "Accept: application/vnd.ipld.raw");
        Assert.Equal("attachment; filename=\"other.bin\"", named["Content-Disposition"]);
        Assert.Equal("application/vnd.ipld.raw", (await _host.GetAsync($"/ipfs/{dir}?format=raw", "Accept: application/vnd.ipld.car"))["Content-Type"]);
        Assert.StartsWith("application/vnd.ipld.car", (await _host.GetAsync($"/ipfs/{dir}?format=car", "Accept: application/vnd.ipld.raw"))["Content-Type"], StringComparison.Ordinal);
        Assert.Equal((200, 0), ((await _host.GetAsync("/ipfs/bafkqaaa?format=raw")).Status, (await _host.GetAsync("/ipfs/bafkqaaa?format=raw")).Body.Length));
        Assert.Empty((await _host.GetAsync("/ipfs/bafkqaaa?format=car")).CarBlocks());
        Assert.Equal(200, (await _host.AskAsync("HEAD", "/ipfs/bafkqaaa?format=car")).Status);
    }

    [Fact]
    public async Task Any_page_may_read_content()
    {
        foreach (string method in (string[])["GET", "OPTIONS"])
        {
            Answer answer = await _host.AskAsync(method, $"/ipfs/{_inline}");
            Assert.Equal("*", answer["Access-Control-Allow-Origin"]);
            foreach ((string header, string[] has) in ((string, string[])[])[
                ("Access-Control-Allow-Methods", ["GET", "HEAD", "OPTIONS"]), ("Access-Control-Allow-Headers", ["Content-Type", "Range", "User-Agent", "X-Requested-With"]),
                ("Access-Control-Expose-Headers", ["Content-Range", "Content-Length", "X-Ipfs-Path", "X-Ipfs-Roots", "X-Chunked-Output", "X-Stream-Output"])])
            {
                Assert.All(has, value => Assert.Contains(value, answer[header].Split(", ")));
            }
        }
    }

    [Fact]
    public async Task Files_of_JSON_and_blocks_of_JSON_and_CBOR_are_told_apart()
    {
        Cid root = AddTree();
        Cid json = _host.Find(root, Folder, Inner, "plain.json"), text = _host.Find(root, Folder, Inner, Note);
        foreach ((string query, string accept) in ((string, string)[])[("", "*/*"), ("", "application/json"), ("?format=json", "application/vnd.ipld.raw")])
        {
            Answer answer = await _host.GetAsync($"/ipfs/{json}{query}", $"Accept: {accept}");
            Assert.Equal((200, "application/json"), (answer.Status, answer["Content-Type"]));
        }

        Cid dagJson = AddChain(Multicodec.DagJson), dagCbor = AddChain(Multicodec.DagCbor);
        foreach (string path in (string[])[$"/ipfs/{text}?format=dag-json", $"/ipfs/{text}?format=dag-cbor", $"/ipfs/{text}?format=json", $"/ipfs/{dagJson}?format=dag-cbor", $"/ipfs/{dagCbor}?format=dag-json"])
        {
            Assert.Equal(406, (await _host.GetAsync(path)).Status);
        }

        Assert.Equal(406, (await _host.GetAsync($"/ipfs/{text}", "Accept: application/vnd.ipld.dag-json")).Status);
        foreach ((string format, string disposition) in ((string, string)[])[("json", "inline"), ("cbor", "attachment")])
        {
            Cid plain = format == "json"
                ? _host.AddBlock(Multicodec.Json, "{ \"kind\": \"plain JSON\" }\n"u8.ToArray())
                : _host.AddBlock(Multicodec.Cbor, [0xA1, 0x64, .. "kind"u8, 0x6A, .. "plain CBOR"u8]);
            foreach ((string query, string accept) in ((string, string)[])[("", "*/*"), ($"?format={format}", "*/*"), ("", $"application/{format}")])
            {
                Answer answer = await _host.GetAsync($"/ipfs/{plain}{query}", $"Accept: {accept}");
                Assert.Equal((200, $"application/{format}", $"{disposition}; filename=\"{plain}.{format}\""), (answer.Status, answer["Content-Type"], answer["Content-Disposition"]));
                Assert.Equal(_host.Block(plain), answer.Body);
                Assert.Equal(_host.Block(plain)[1..3], (await _host.GetAsync($"/ipfs/{plain}{query}", $"Accept: {accept}", "Range: bytes=1-2")).Body);
            }

            Cid dag = format == "json" ? dagJson : dagCbor;
            foreach ((string query, string accept, string type) in ((string, string, string)[])[
                ("", "*/*", "vnd.ipld.dag-" + format), ($"?format=dag-{format}", "*/*", "vnd.ipld.dag-" + format), ("", $"application/vnd.ipld.dag-{format}", "vnd.ipld.dag-" + format),
                ($"?format={format}", "*/*", format), ("", $"application/{format}", format)])
            {
                Answer answer = await _host.GetAsync($"/ipfs/{dag}{query}", $"Accept: {accept}");
                Assert.Equal((200, "application/" + type, Immutable, $"{disposition}; filename=\"{dag}.{format}\""), (answer.Status, answer["Content-Type"], answer["Cache-Control"], answer["Content-Disposition"]));
                Assert.Equal(_host.Block(dag), answer.Body);
                if (type != format) Assert.Equal($"\"{dag}.dag-{format}\"", answer["ETag"]);
                Answer head = await _host.AskAsync("HEAD", $"/ipfs/{dag}{query}", $"Accept: {accept}");
                Assert.Equal((answer["Content-Type"], answer["Content-Length"], answer["ETag"], 0), (head["Content-Type"], head["Content-Length"], head["ETag"], head.Body.Length));
            }

            Assert.Equal(
                $"attachment; filename=\"other.{format}\"",
                (await _host.GetAsync($"/ipfs/{dag}?filename=other.{format}&download=true", $"Accept: application/vnd.ipld.dag-{format}"))["Content-Disposition"]);
            Answer page = await _host.GetAsync($"/ipfs/{dag}/", "Accept: text/html");
            Assert.Equal((200, "", PageCache), (page.Status, page["Content-Disposition"], page["Cache-Control"]));
            Assert.Contains("DagIndex-", page["ETag"], StringComparison.Ordinal);
            Assert.Contains("text/html", page["Content-Type"], StringComparison.Ordinal);
            Assert.Contains("</html>", page.Text, StringComparison.Ordinal);

            Assert.Equal(501, (await _host.GetAsync($"/ipfs/{dag}/shelf?format=dag-{format}")).Status);
            Assert.Equal(404, (await _host.GetAsync($"/ipfs/{dag}/shelf/i-do-not-exist")).Status);
            Answer below = await _host.GetAsync($"/ipfs/{dag}/shelf/book/last?format=dag-{format}");
            Assert.Equal(200, below.Status);
            if (format == "json") Assert.Equal("{\"text\":\"end of the way\"}", below.Text);
            else Assert.Equal(Convert.FromHexString("A164746578746E656E64206F662074686520776179"), below.Body);
        }

        foreach ((byte seed, Cid dag, string format) in ((byte, Cid, string)[])[(4, dagJson, "json"), (5, dagCbor, "cbor")])
        {
            string key = AddName(seed, $"/ipfs/{dag}");
            Answer answer = await _host.GetAsync($"/ipns/{key}", $"Accept: application/vnd.ipld.dag-{format}");
            Assert.Equal((200, $"\"{dag}.dag-{format}\""), (answer.Status, answer["ETag"]));
            Assert.Equal(_host.Block(dag), answer.Body);
        }
    }

    [Fact]
    public async Task Directories_and_files_come_as_TAR()
    {
        Cid root = AddTree();
        Cid file = _host.Find(root, Folder, Inner, Note);
        foreach ((string query, string accept) in ((string, string)[])[("?format=tar", "*/*"), ("", "application/x-tar")])
        {
            Answer answer = await _host.GetAsync($"/ipfs/{file}{query}", $"Accept: {accept}");
            Assert.Equal((200, "application/x-tar", $"W/\"{file}.x-tar\""), (answer.Status, answer["Content-Type"], answer["ETag"]));
            Assert.Contains("attachment;", answer["Content-Disposition"], StringComparison.Ordinal);
            Assert.Equal(NoteText, Untar(answer.Body)[file.ToString()]);
        }

        Assert.Equal(NoteText, Untar((await _host.GetAsync($"/ipfs/{root}?format=tar")).Body)[$"{root}/{Folder}/{Inner}/{Note}"]);
        Answer named = await _host.GetAsync($"/ipfs/{root}?format=tar&filename=recordимя.tar");
        Assert.Equal("attachment; filename=\"record___.tar\"; filename*=UTF-8''record%D0%B8%D0%BC%D1%8F.tar", named["Content-Disposition"]);
        Cid any = _host.AddFile("may be anywhere\n"u8.ToArray());
        Cid outside = AddUnsafeDirectory(("../above", any), ("beside", any));
        Cid inside = _host.AddDirectory(("folder", _host.AddDirectory(("deeper", AddUnsafeDirectory(("../file", any))))));
        Assert.InRange((await _host.GetAsync($"/ipfs/{outside}?format=tar")).Status, 400, 599);
        Assert.Contains($"{inside}/folder/file", Untar((await _host.GetAsync($"/ipfs/{inside}?format=tar")).Body).Keys);
    }

    [Fact]
    public async Task CARs_hold_the_way_and_what_is_asked_for()
    {
        Cid asciiFile = _host.AddFile("plain text\n"u8.ToArray()), helloFile = _host.AddFile("good day\n"u8.ToArray()), multi = AddMultiBlockFile();
        Cid two = _host.AddDirectory(("subdir", _host.AddDirectory(("ascii.txt", asciiFile), ("hello.txt", helloFile))));
        Cid subdir = _host.Find(two, "subdir"), ascii = _host.Find(two, "subdir", "ascii.txt");
        Cid hamt = AddShardedDirectory(multi);
        (string flat, string deep) = (NameAt(hamt, 1), NameAt(hamt, 2));
        Cid mixed = _host.AddDirectory(("subdir", _host.AddDirectory(("ascii.txt", asciiFile), ("hello.txt", helloFile), ("multiblock.txt", multi))));
        Cid mixedDir = _host.Find(mixed, "subdir"), mixedAscii = _host.Find(mixed, "subdir", "ascii.txt");
        Cid[] chunks = Links(multi);
        Cid document = AddDocument(helloFile, multi), cbor = _host.AddDirectory(("document", document)), single = _host.Find(cbor, "document", "files", "one");
        Cid missing = AddFileWithHole();
        Cid[] parts = Links(missing);
        string multiPath = $"/ipfs/{multi}?dag-scope=entity&entity-bytes=";
        foreach ((string path, Cid[] blocks) in ((string, Cid[])[])[
            ($"/ipfs/{two}/subdir/ascii.txt?", [two, subdir, ascii]),
            ($"/ipfs/{hamt}/{deep}?", [.. Way(hamt, deep), .. Tree(_host.Find(hamt, deep))]),
            ($"/ipfs/{document}/files/one?", [document, single]),
            ($"/ipfs/{two}/subdir?dag-scope=block", [two, subdir]),
            ($"/ipfs/{two}/subdir/ascii.txt?dag-scope=block", [two, subdir, ascii]),
            ($"/ipfs/{hamt}/{deep}?dag-scope=block", [.. Way(hamt, deep), _host.Find(hamt, deep)]),
            ($"/ipfs/{hamt}/{flat}?dag-scope=block", [hamt, _host.Find(hamt, flat)]),
            ($"/ipfs/{two}?dag-scope=entity", [two]),
            ($"/ipfs/{hamt}?dag-scope=entity", Shards(hamt)),
            ($"/ipfs/{hamt}?dag-scope=entity&entity-bytes=0:*", Shards(hamt)),
            ($"/ipfs/{mixed}/subdir/ascii.txt?dag-scope=entity", [mixed, mixedDir, mixedAscii]),
            ($"/ipfs/{mixed}/subdir/multiblock.txt?dag-scope=entity", [mixed, mixedDir, multi, .. chunks]),
            ($"/ipfs/{cbor}/document?dag-scope=entity", [cbor, document]),
            ($"/ipfs/{mixed}/subdir?dag-scope=all", [mixed, .. Tree(mixedDir)]),
            ($"/ipfs/{mixed}/subdir/multiblock.txt?dag-scope=all", [mixed, mixedDir, multi, .. chunks]),
            ($"/ipfs/{missing}?dag-scope=entity&entity-bytes=0:1000", [missing, parts[0]]),
            ($"/ipfs/{missing}?dag-scope=entity&entity-bytes=2200:*", [missing, parts[2]]),
            ($"/ipfs/{mixed}/subdir/multiblock.txt?dag-scope=entity&entity-bytes=0:*", [mixed, mixedDir, multi, .. chunks]),
            (multiPath + "512:*", [multi, .. chunks[2..]]),
            (multiPath + "512:1023", [multi, .. chunks[2..4]]),
            (multiPath + "512:-256", [multi, .. chunks[2..4]]),
            (multiPath + "-5:*", [multi, .. chunks[3..]]),
            (multiPath + "-9999:*", [multi, .. chunks]),
            (multiPath + "-9999:-3", [multi, .. chunks[..4]]),
            (multiPath + "0:0", [multi, chunks[0]])])
        {
            foreach ((string query, string accept) in ((string, string)[])[("&format=car", "*/*"), ("", "application/vnd.ipld.car")])
            {
                Answer answer = await _host.GetAsync(path + query, $"Accept: {accept}");
                Assert.True(answer.Status == 200, $"{path}: {answer}");
                Assert.Equal(blocks.Select(static cid => cid.ToString()), answer.CarBlocks());
                Assert.Equal(("nosniff", "none"), (answer["X-Content-Type-Options"], answer["Accept-Ranges"]));
                Assert.StartsWith("application/vnd.ipld.car; version=1; order=dfs; dups=n", answer["Content-Type"], StringComparison.Ordinal);
                Assert.Matches("^attachment; filename=\".*\\.car\"$", answer["Content-Disposition"]);
                Assert.NotEqual("", answer["ETag"]);
            }
        }

        Assert.Equal(404, (await _host.GetAsync($"/ipfs/{two}/subdir/i-do-not-exist?format=car")).Status);
        foreach (string wrong in (string[])["dag-scope=some", "dag-scope=entity&entity-bytes=5", "dag-scope=entity&entity-bytes=5:2", "dag-scope=entity&entity-bytes=99999:*", "car-dups=x"])
        {
            Assert.Equal(400, (await _host.GetAsync($"/ipfs/{multi}?format=car&{wrong}")).Status);
        }

        Assert.Equal(406, (await _host.GetAsync($"/ipfs/{multi}?format=car&car-version=2")).Status);
        Assert.Equal(406, (await _host.GetAsync($"/ipfs/{multi}", "Accept: application/vnd.ipld.car; order=bfs")).Status);
    }

    [Fact]
    public async Task CARs_have_blocks_once_or_as_often_as_they_are_linked()
    {
        Cid ascii = _host.AddFile("plain text\n"u8.ToArray()), hello = _host.AddFile("good day\n"u8.ToArray()), multi = AddMultiBlockFile();
        Cid root = _host.AddDirectory(("ascii-copy.txt", ascii), ("ascii.txt", ascii), ("hello.txt", hello), ("multiblock.txt", multi));
        string[] once = [.. new[] { root, ascii, hello, multi }.Concat(Links(multi)).Select(static cid => cid.ToString())];
        string[] twice = [.. new[] { root, ascii, ascii, hello, multi }.Concat(Links(multi)).Select(static cid => cid.ToString())];
        foreach ((string query, string accept, string dups) in ((string, string, string)[])[
            ("", "application/vnd.ipld.car; version=1; order=dfs; dups=y", "y"), ("", "application/vnd.ipld.car; version=1; order=dfs; dups=n", "n"),
            ("", "application/vnd.ipld.car; version=1; order=unk", "n"), ("?format=car", "application/vnd.ipld.car; version=1; order=dfs; dups=y", "y"),
            ("?format=car&car-order=dfs", "application/vnd.ipld.car; order=unk", "n"), ("?format=car&car-dups=y", "application/vnd.ipld.car; dups=n", "y")])
        {
            Answer answer = await _host.GetAsync($"/ipfs/{root}{query}", $"Accept: {accept}");
            Assert.Equal((200, $"application/vnd.ipld.car; version=1; order=dfs; dups={dups}"), (answer.Status, answer["Content-Type"]));
            Assert.Equal(dups == "y" ? twice : once, answer.CarBlocks());
        }

        Assert.Empty((await _host.GetAsync($"/ipfs/{_inline}", "Accept: application/vnd.ipld.car; dups=y")).CarBlocks());
    }

    private static Dictionary<string, string> Untar(byte[] bytes)
    {
        var files = new Dictionary<string, string>();
        using var reader = new TarReader(new MemoryStream(bytes));
        while (reader.GetNextEntry() is { } entry)
        {
            using var text = new StreamReader(entry.DataStream ?? Stream.Null);
            files[entry.Name.TrimEnd('/')] = text.ReadToEnd();
        }

        return files;
    }

    /// <summary>One of the tests' keys, which are always the same.</summary>
    private static PrivateKey Key(byte seed) => PrivateKey.FromSeed(Enumerable.Repeat(seed, Ed25519.SeedLength).ToArray());

    /// <summary>A record of a key for <see cref="_inline"/>, made well or badly.</summary>
    private static byte[] Record(PrivateKey key, string kind)
    {
        const int Value = 1, SignatureV1 = 2, SignatureV2 = 8, Data = 9;
        DateTimeOffset validity = new(2120, 1, 2, 3, 4, 5, TimeSpan.Zero);
        byte[] whole = Make($"/ipfs/{_inline}", isLegacy: true);
        SortedDictionary<int, byte[]> fields = Fields(whole), other = Fields(Make($"/ipfs/{_absent}", isLegacy: true));
        switch (kind)
        {
            case "both signatures":
                return whole;
            case "the second signature alone":
                return Make($"/ipfs/{_inline}", isLegacy: false);
            case "the first signature alone":
                fields.Remove(SignatureV2);
                fields.Remove(Data);
                break;
            case "a first value that is another":
                // Both are signed well, and by the same key.
                (fields[Value], fields[SignatureV1]) = (other[Value], other[SignatureV1]);
                break;
            case "a second signature that is none":
                fields[SignatureV2] = [SignatureV2 << 3 | 2, 12, .. "no signature"u8];
                break;
            case "a first signature that is none":
                fields[SignatureV1] = [SignatureV1 << 3 | 2, 12, .. "no signature"u8];
                break;
            default:
                throw new ArgumentException($"There is no kind '{kind}'", nameof(kind));
        }

        return [.. fields.Values.SelectMany(static field => field)];

        byte[] Make(string value, bool isLegacy) => IpnsRecord.Create(key, value, 0, validity, TimeSpan.FromMinutes(30), isLegacy).Bytes.ToArray();
    }

    /// <summary>The fields of a record by their numbers, each with its tag and length.</summary>
    private static SortedDictionary<int, byte[]> Fields(byte[] record)
    {
        var fields = new SortedDictionary<int, byte[]>();
        for (int at = 0; at < record.Length;)
        {
            int start = at, tag = record[at++];
            at += ValueLength(record.AsSpan(at), tag);
            fields[tag >> 3] = record[start..at];
        }

        return fields;

        static int ValueLength(ReadOnlySpan<byte> field, int tag)
        {
            Assert.True(Varint.TryRead(field, out ulong number, out int used));
            return (tag & 7) == 2 ? used + (int)number : used;
        }
    }

    private string AddName(byte seed, string value)
    {
        using PrivateKey key = Key(seed);
        return _host.Names.Add(key, value);
    }

    /// <summary>Folders of files, whose names have to be escaped in URLs.</summary>
    private Cid AddTree()
    {
        Cid inner = _host.AddDirectory((Note, _host.AddFile(Encoding.UTF8.GetBytes(NoteText))), ("plain.json", _host.AddFile("{ \"kind\": \"a file\" }\n"u8.ToArray())));
        return _host.AddDirectory(("top.txt", _host.AddFile("A file at the top\n"u8.ToArray())), (Folder, _host.AddDirectory((Inner, inner))));
    }

    /// <summary>Folders in each other, a page in the last.</summary>
    private Cid AddNested()
    {
        Cid at = _host.AddDirectory(("index.html", _host.AddFile("a page\n"u8.ToArray())));
        foreach (string name in (string[])["three", "two", "one"]) at = _host.AddDirectory((name, at));
        return at;
    }

    /// <summary>Blocks of maps that lead from one to the next, at shelf/book and at last.</summary>
    private Cid AddChain(ulong codec)
    {
        var writer = new DagCborWriter();
        writer.WriteMapStart(1);
        writer.WriteKey("text"u8);
        writer.WriteText("end of the way"u8);
        Cid end = Add();
        writer.WriteMapStart(1);
        writer.WriteKey("last"u8);
        writer.WriteCid(end);
        Cid middle = Add();
        writer.WriteMapStart(1);
        writer.WriteKey("shelf"u8);
        writer.WriteMapStart(2);
        writer.WriteKey("book"u8);
        writer.WriteCid(middle);
        writer.WriteKey("count"u8);
        writer.WriteInt64(10);
        return Add();

        Cid Add()
        {
            byte[] cbor = writer.ToArray();
            writer.Clear();
            return _host.AddBlock(codec, codec == Multicodec.DagJson ? DagJson.FromCbor(cbor, []) : cbor);
        }
    }

    /// <summary>A block of a map with files in it.</summary>
    private Cid AddDocument(Cid one, Cid many)
    {
        var writer = new DagCborWriter();
        writer.WriteMapStart(2);
        writer.WriteKey("kind"u8);
        writer.WriteText("document"u8);
        writer.WriteKey("files"u8);
        writer.WriteMapStart(2);
        writer.WriteKey("one"u8);
        writer.WriteCid(one);
        writer.WriteKey("many"u8);
        writer.WriteCid(many);
        return _host.AddBlock(Multicodec.DagCbor, writer.ToArray());
    }

    /// <summary>A directory with names that no importer takes.</summary>
    private Cid AddUnsafeDirectory(params (string Name, Cid Cid)[] entries) =>
        _host.AddBlock(Multicodec.DagPb, new PbNode([.. entries.Select(static e => new PbLink(e.Cid, e.Name, 16))], new UnixFsData { Type = UnixFsType.Directory }.Encode()).Encode());

    /// <summary>1026 bytes in five blocks: four of 256 bytes and one of two.</summary>
    private Cid AddMultiBlockFile()
    {
        byte[] bytes = new byte[1026];
        new Random(5).NextBytes(bytes);
        return _host.AddFile(bytes, UnixFsProfile.V1 with { ChunkBytes = 256 });
    }

    /// <summary>3072 bytes in three blocks, of which that in the middle is not there.</summary>
    private Cid AddFileWithHole()
    {
        byte[] bytes = new byte[3072];
        new Random(6).NextBytes(bytes);
        Cid file = _host.AddFile(bytes, UnixFsProfile.V0 with { ChunkBytes = 1024 });
        _host.Store.Delete(Links(file)[1]);
        return file;
    }

    /// <summary>A sharded directory, some of whose entries lie in its first block and others one below.</summary>
    private Cid AddShardedDirectory(Cid file) =>
        new UnixFsImporter(_host.Store, UnixFsProfile.V1 with { ShardBytes = 0 }).AddDirectory([.. Enumerable.Range(0, 300).Select(i => new NewEntry($"{i}.txt", file, 1300))]).Cid;

    /// <summary>A name of a sharded directory that is so many shards away.</summary>
    private string NameAt(Cid directory, int shards) =>
        UnixFsDirectory.List(_host.Store, UnixFsNode.Load(_host.Store, directory)).First(entry => Way(directory, entry.Name).Count == shards).Name;

    private Cid[] Links(Cid cid) => [.. PbNode.Decode(_host.Block(cid)).Links.Select(static link => link.Hash)];

    private IEnumerable<Cid> Tree(Cid cid) => cid.Codec == Multicodec.Raw ? [cid] : Links(cid).SelectMany(Tree).Prepend(cid);

    private Cid[] Shards(Cid cid) => [.. UnixFsDirectory.ShardsBelow(UnixFsNode.Load(_host.Store, cid)).SelectMany(Shards).Prepend(cid)];

    /// <summary>The shards on the way to a name.</summary>
    private List<Cid> Way(Cid shard, string name)
    {
        PbNode node = PbNode.Decode(_host.Block(shard));
        List<Cid> way = [shard];
        if (node.Links.Any(link => link.Name!.Length > 2 && link.Name[2..] == name)) return way;
        foreach (Cid below in UnixFsDirectory.ShardsBelow(UnixFsNode.Load(_host.Store, shard)))
        {
            if (Way(below, name) is { Count: > 0 } rest) return [shard, .. rest];
        }

        return [];
    }
}
