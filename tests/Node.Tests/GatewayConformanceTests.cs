// What gateway-conformance asks of a gateway (https://github.com/ipfs/gateway-conformance), asked of ours with its fixtures.

using System.Formats.Tar;
using System.Text;
using Leither.Ipfs.DagPb;
using Leither.Ipfs.Multiformats;
using Leither.Ipfs.UnixFs;
using Xunit;

namespace Leither.Node.Tests;

public sealed class GatewayConformanceTests : IDisposable
{
    private const string Immutable = "public, max-age=29030400, immutable";
    private const string PageCache = "public, max-age=604800, stale-while-revalidate=2678400";
    private const string Absent = "QmYzfKSE55XCjD1MW128RfciAf2DViABhEiXfgVFMabSjN";

    private readonly GatewayHost _host = new();

    public void Dispose() => _host.DisposeAsync().AsTask().GetAwaiter().GetResult();

    [Fact]
    public async Task A_directory_is_listed()
    {
        Cid root = _host.Load("dir_listing-fixtures.car");
        Cid file = _host.Find(root, "ą", "ę", "file-źł.txt");
        Answer top = await _host.GetAsync($"/ipfs/{root}/");
        Assert.Contains("Index of", top.Text, StringComparison.Ordinal);
        Assert.DoesNotContain(">..</a>", top.Text, StringComparison.Ordinal);

        Answer redirect = await _host.GetAsync($"/ipfs/{root}/ą/ę");
        Assert.Equal(301, redirect.Status);
        Assert.Equal($"/ipfs/{root}/%C4%85/%C4%99/", redirect["Location"]);

        Answer page = await _host.GetAsync($"/ipfs/{root}/ą/ę/");
        Assert.Contains("\"DirIndex-", page["ETag"], StringComparison.Ordinal);
        foreach (string part in (string[])[
            $"/ipfs/<a href=\"/ipfs/{root}\">{root}</a>/<a href=\"/ipfs/{root}/%C4%85\">ą</a>/<a href=\"/ipfs/{root}/%C4%85/%C4%99\">ę</a>",
            $"<a href=\"/ipfs/{root}/%C4%85/%C4%99/..\">..</a>",
            $"<a href=\"/ipfs/{root}/%C4%85/%C4%99/file-%C5%BA%C5%82.txt\">file-źł.txt</a>",
            $"<a class=\"ipfs-hash\" translate=\"no\" href=\"/ipfs/{file}?filename=file-%C5%BA%C5%82.txt\""])
        {
            Assert.Contains(part, page.Text, StringComparison.Ordinal);
        }

        Assert.Equal(404, (await _host.GetAsync($"/ipfs/{root}/i-do-not-exist")).Status);
        Answer sub = await _host.GetAsync("/ą/ę", $"Host: {root}.ipfs.localhost");
        Assert.Equal((301, "/%C4%85/%C4%99/"), (sub.Status, sub["Location"]));
        page = await _host.GetAsync("/ą/ę/", $"Host: {root}.ipfs.localhost:{_host.Port}");
        foreach (string part in (string[])[
            $"/ipfs/<a href=\"//localhost:{_host.Port}/ipfs/{root}\">{root}</a>/<a href=\"//localhost:{_host.Port}/ipfs/{root}/%C4%85\">ą</a>/",
            "<a href=\"/%C4%85/%C4%99/..\">..</a>",
            "<a href=\"/%C4%85/%C4%99/file-%C5%BA%C5%82.txt\">file-źł.txt</a>",
            $"<a class=\"ipfs-hash\" translate=\"no\" href=\"//localhost:{_host.Port}/ipfs/{file}?filename="])
        {
            Assert.Contains(part, page.Text, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Caches_are_told_what_they_need()
    {
        Cid root = _host.Load("gateway-cache-fixtures.car");
        Cid[] roots = [root, _host.Find(root, "root2"), _host.Find(root, "root2", "root3"), _host.Find(root, "root2", "root3", "root4"), _host.Find(root, "root2", "root3", "root4", "index.html")];
        Answer listing = await _host.GetAsync($"/ipfs/{root}/root2/root3/");
        Assert.Equal(
            (200, $"/ipfs/{root}/root2/root3/", string.Join(',', roots[..3]), PageCache),
            (listing.Status, listing["X-Ipfs-Path"], listing["X-Ipfs-Roots"], listing["Cache-Control"]));
        Assert.Matches($"DirIndex-.*_CID-{roots[2]}", listing["ETag"]);
        Answer index = await _host.GetAsync($"/ipfs/{root}/root2/root3/root4/");
        Assert.Equal(
            (200, $"/ipfs/{root}/root2/root3/root4/", string.Join(',', roots[..4]), Immutable, $"\"{roots[3]}\"", "hello\n"),
            (index.Status, index["X-Ipfs-Path"], index["X-Ipfs-Roots"], index["Cache-Control"], index["ETag"], index.Text));
        Answer file = await _host.GetAsync($"/ipfs/{root}/root2/root3/root4/index.html");
        Assert.Equal(
            (200, string.Join(',', roots), Immutable, $"\"{roots[4]}\""),
            (file.Status, file["X-Ipfs-Roots"], file["Cache-Control"], file["ETag"]));
        Answer raw = await _host.GetAsync($"/ipfs/{root}/root2/root3/root4/?format=raw");
        Assert.Equal((200, Immutable), (raw.Status, raw["Cache-Control"]));
        Assert.Equal(_host.Block(roots[3]), raw.Body);

        foreach (string method in (string[])["HEAD", "GET"])
        {
            Assert.Equal(200, (await _host.AskAsync(method, $"/ipfs/{root}/root2/root3/root4/?format=raw", "Cache-Control: only-if-cached")).Status);
            Assert.Equal(412, (await _host.AskAsync(method, $"/ipfs/{Absent}", "Cache-Control: only-if-cached")).Status);
        }

        Assert.Empty(_host.Network.Asked);
        string path = $"/ipfs/{root}/root2/root3/root4/";
        foreach ((string asked, string tag, int status) in ((string, string, int)[])[
            (path + "index.html", $"\"{roots[4]}\"", 304), (path, $"\"{roots[3]}\"", 304), (path + "index.html", $"\"fakeEtag1\", \"fakeEtag2\", \"{roots[4]}\"", 304),
            (path + "index.html", $"W/\"{roots[4]}\"", 304), (path + "index.html", "*", 304), (path + "index.html", "\"another\"", 200), (path + "index.html", $"{roots[4]}", 200),
            ($"/ipfs/{root}/root2/root3/", listing["ETag"], 304), ($"/ipfs/{root}/root2/root3/", "W/" + listing["ETag"], 304)])
        {
            Answer answer = await _host.GetAsync(asked, $"If-None-Match: {tag}");
            Assert.Equal(status, answer.Status);
            if (status == 304) Assert.Empty(answer.Body);
        }
    }

    [Fact]
    public async Task Names_are_served_for_as_long_as_their_records_say()
    {
        Cid root = _host.Load("gateway-cache-fixtures.car");
        string key = _host.Names.AddFixture("gateway-cache-k51qzi5uqu5dlxdsdu5fpuu7h69wu4ohp32iwm9pdt9nq3y5rpn3ln9j12zfhe.ipns-record");
        Cid[] roots = [root, _host.Find(root, "root2"), _host.Find(root, "root2", "root3"), _host.Find(root, "root2", "root3", "root4"), _host.Find(root, "root2", "root3", "root4", "index.html")];
        Answer listing = await _host.GetAsync($"/ipns/{key}/root2/root3/");
        Assert.Equal((200, $"/ipns/{key}/root2/root3/", string.Join(',', roots[..3])), (listing.Status, listing["X-Ipfs-Path"], listing["X-Ipfs-Roots"]));
        Assert.Matches("^public, max-age=\\d+$", listing["Cache-Control"]);
        Answer index = await _host.GetAsync($"/ipns/{key}/root2/root3/root4/");
        Assert.Equal((200, string.Join(',', roots[..4]), $"\"{roots[3]}\""), (index.Status, index["X-Ipfs-Roots"], index["ETag"]));
        Assert.Equal(304, (await _host.GetAsync($"/ipns/{key}/root2/root3/root4/index.html", $"If-None-Match: \"{roots[4]}\"")).Status);
        Assert.Equal(_host.Block(roots[3]), (await _host.GetAsync($"/ipns/{key}/root2/root3/root4/?format=raw")).Body);
        Assert.Equal(200, (await _host.GetAsync("/root2/root3/", $"Host: {key}.ipns.localhost")).Status);

        string sub = _host.Names.AddFixture("gateway-cache-k51qzi5uqu5djokp3m1keo36hoxtd6u3a1d2rg1camf6al7p3huy63dojlm57c.ipns-record");
        Answer below = await _host.GetAsync($"/ipns/{sub}/root3/root4/index.html");
        Assert.Equal((200, "hello\n"), (below.Status, below.Text));
    }

    [Theory]
    [InlineData("k51qzi5uqu5dm4tm0wt8srkg9h9suud4wuiwjimndrkydqm81cqtlb5ak6p7ku_v1", false)]
    [InlineData("k51qzi5uqu5dlmit2tuwdvnx4sbnyqgmvbxftl0eo3f33wwtb9gr7yozae9kpw_v1-v2-broken-v1-value", false)]
    [InlineData("k51qzi5uqu5diamp7qnnvs1p1gzmku3eijkeijs3418j23j077zrkok63xdm8c_v1-v2-broken-signature-v2", false)]
    [InlineData("k51qzi5uqu5dilgf7gorsh9vcqqq4myo6jd4zmqkuy9pxyxi5fua3uf7axph4y_v1-v2-broken-signature-v1", true)]
    [InlineData("k51qzi5uqu5dlkw8pxuw9qmqayfdeh4kfebhmreauqdc6a7c3y7d5i9fi8mk9w_v1-v2", true)]
    [InlineData("k51qzi5uqu5dit2ku9mutlfgwyz8u730on38kd10m97m36bjt66my99hb6103f_v2", true)]
    public async Task Only_records_that_are_signed_as_they_must_be_count(string file, bool isValid)
    {
        string name = _host.Names.AddFixture($"ipns_records-{file}.ipns-record");
        Answer answer = await _host.GetAsync($"/ipns/{name}");
        if (!isValid)
        {
            Assert.InRange(answer.Status, 500, 599);
            return;
        }

        Assert.Equal(200, answer.Status);
        foreach ((string query, string header) in ((string, string)[])[("?format=ipns-record", "X-None: 0"), ("", "Accept: application/vnd.ipfs.ipns-record")])
        {
            Answer record = await _host.GetAsync($"/ipns/{name}{query}", header);
            Assert.Equal(GatewayHost.ReadFixture($"ipns_records-{file}.ipns-record"), record.Body);
            Assert.Equal("application/vnd.ipfs.ipns-record", record["Content-Type"]);
            Assert.Contains("attachment;", record["Content-Disposition"], StringComparison.Ordinal);
            Assert.StartsWith("public, max-age=1800", record["Cache-Control"], StringComparison.Ordinal);
        }

        Answer named = await _host.GetAsync($"/ipns/{name}?format=ipns-record&filename=testтест.ipns-record");
        Assert.Equal("attachment; filename=\"test____.ipns-record\"; filename*=UTF-8''test%D1%82%D0%B5%D1%81%D1%82.ipns-record", named["Content-Disposition"]);
        Assert.Equal(400, (await _host.GetAsync($"/ipns/{name}/below?format=ipns-record")).Status);
        Assert.Equal(400, (await _host.GetAsync("/ipfs/bafkqaaa?format=ipns-record")).Status);
    }

    [Theory]
    [InlineData("12D3KooWRBy97UB99e3J6hiPesre1MZeuNQvfan4gBziswrRJsNK", "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8")]
    [InlineData("QmcJM7PRfkSbcM5cf1QugM5R37TLRKyJGgBEhXjLTB8uA2", "k2k4r8ol4m8kkcqz509c1rcjwunebj02gcnm5excpx842u736nja8ger")]
    public async Task Other_forms_of_a_name_lead_to_the_usual_one(string name, string usual)
    {
        Answer answer = await _host.GetAsync($"/ipns/{name}/root2/");
        Assert.Equal((302, $"/ipns/{usual}/root2/"), (answer.Status, answer["Location"]));
    }

    [Fact]
    public async Task A_symbolic_link_is_its_target()
    {
        Cid root = _host.Load("path_gateway_unixfs-symlink.car");
        Answer listing = await _host.GetAsync($"/ipfs/{root}/");
        Assert.Contains(">foo<", listing.Text, StringComparison.Ordinal);
        Assert.Contains(">bar<", listing.Text, StringComparison.Ordinal);
        Assert.Equal(_host.Block(root), (await _host.GetAsync($"/ipfs/{root}?format=raw")).Body);
        Answer link = await _host.GetAsync($"/ipfs/{root}/bar");
        Assert.Equal((200, "foo"), (link.Status, link.Text));
    }

    [Fact]
    public async Task Ranges_of_files_are_served()
    {
        Cid root = _host.Load("path_gateway_unixfs-dir-with-files.car");
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

        Cid partial = _host.Load("trustless_gateway_car-file-3k-and-3-blocks-missing-block.car");
        foreach ((string range, string content) in ((string, string)[])[("bytes=997-1000", "bytes 997-1000/3072"), ("bytes=2200-2201", "bytes 2200-2201/3072")])
        {
            Answer part = await _host.GetAsync($"/ipfs/{partial}", $"Range: {range}");
            Assert.Equal((206, content), (part.Status, part["Content-Range"]));
        }

        Cid encoded = _host.Load("path_gateway_unixfs-dir-with-percent-encoded-filename.car");
        Answer file = await _host.GetAsync($"/ipfs/{encoded}/Portugal%252C+España=Peninsula%20Ibérica.txt");
        Assert.Equal(200, file.Status);
        Assert.Equal(_host.Block(_host.Find(encoded, "Portugal%2C+España=Peninsula Ibérica.txt")), file.Body);
    }

    [Fact]
    public async Task A_block_is_given_as_it_is()
    {
        Cid root = _host.Load("gateway-raw-block.car");
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
        Answer named = await _host.GetAsync($"/ipfs/{root}/dir/ascii.txt?filename=foobar.bin", "Accept: application/vnd.ipld.raw");
        Assert.Equal("attachment; filename=\"foobar.bin\"", named["Content-Disposition"]);
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
            Answer answer = await _host.AskAsync(method, "/ipfs/bafkqabtimvwgy3yk");
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
        Cid root = _host.Load("path_gateway_dag-gateway-json-cbor.car");
        Cid json = _host.Find(root, "ą", "ę", "t.json"), text = _host.Find(root, "ą", "ę", "file-źł.txt");
        foreach ((string query, string accept) in ((string, string)[])[("", "*/*"), ("", "application/json"), ("?format=json", "application/vnd.ipld.raw")])
        {
            Answer answer = await _host.GetAsync($"/ipfs/{json}{query}", $"Accept: {accept}");
            Assert.Equal((200, "application/json"), (answer.Status, answer["Content-Type"]));
        }

        Cid dagJson = _host.Load("path_gateway_dag-dag-json-traversal.car"), dagCbor = _host.Load("path_gateway_dag-dag-cbor-traversal.car");
        foreach (string path in (string[])[$"/ipfs/{text}?format=dag-json", $"/ipfs/{text}?format=dag-cbor", $"/ipfs/{text}?format=json", $"/ipfs/{dagJson}?format=dag-cbor", $"/ipfs/{dagCbor}?format=dag-json"])
        {
            Assert.Equal(406, (await _host.GetAsync(path)).Status);
        }

        Assert.Equal(406, (await _host.GetAsync($"/ipfs/{text}", "Accept: application/vnd.ipld.dag-json")).Status);
        foreach ((string format, string disposition) in ((string, string)[])[("json", "inline"), ("cbor", "attachment")])
        {
            Cid plain = _host.Load($"path_gateway_dag-plain-{format}.car");
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
                $"attachment; filename=\"foobar.{format}\"",
                (await _host.GetAsync($"/ipfs/{dag}?filename=foobar.{format}&download=true", $"Accept: application/vnd.ipld.dag-{format}"))["Content-Disposition"]);
            Answer page = await _host.GetAsync($"/ipfs/{dag}/", "Accept: text/html");
            Assert.Equal((200, "", PageCache), (page.Status, page["Content-Disposition"], page["Cache-Control"]));
            Assert.Contains("DagIndex-", page["ETag"], StringComparison.Ordinal);
            Assert.Contains("text/html", page["Content-Type"], StringComparison.Ordinal);
            Assert.Contains("</html>", page.Text, StringComparison.Ordinal);

            Assert.Equal(501, (await _host.GetAsync($"/ipfs/{dag}/foo?format=dag-{format}")).Status);
            Assert.Equal(404, (await _host.GetAsync($"/ipfs/{dag}/foo/i-do-not-exist")).Status);
            Answer below = await _host.GetAsync($"/ipfs/{dag}/foo/link/bar?format=dag-{format}");
            Assert.Equal(200, below.Status);
            if (format == "json") Assert.Equal("{\"hello\":\"this is not a link\"}", below.Text.Replace(": ", ":", StringComparison.Ordinal));
            else Assert.Equal(Convert.FromHexString("A16568656C6C6F7274686973206973206E6F742061206C696E6B"), below.Body);
        }

        foreach ((string key, Cid dag, string format) in ((string, Cid, string)[])[
            ("k51qzi5uqu5dhjghbwdvbo6mi40htrq6e2z4pwgp15pgv3ho1azvidttzh8yy2", dagJson, "json"), ("k51qzi5uqu5dghjous0agrwavl8vzl64xckoqzwqeqwudfr74kfd11zcyk3b7l", dagCbor, "cbor")])
        {
            _host.Names.AddFixture($"path_gateway_dag-{key}.ipns-record");
            Answer answer = await _host.GetAsync($"/ipns/{key}", $"Accept: application/vnd.ipld.dag-{format}");
            Assert.Equal((200, $"\"{dag}.dag-{format}\""), (answer.Status, answer["ETag"]));
            Assert.Equal(_host.Block(dag), answer.Body);
        }
    }

    [Fact]
    public async Task Directories_and_files_come_as_TAR()
    {
        Cid root = _host.Load("path_gateway_tar-fixtures.car");
        Cid file = _host.Find(root, "ą", "ę", "file-źł.txt");
        foreach ((string query, string accept) in ((string, string)[])[("?format=tar", "*/*"), ("", "application/x-tar")])
        {
            Answer answer = await _host.GetAsync($"/ipfs/{file}{query}", $"Accept: {accept}");
            Assert.Equal((200, "application/x-tar", $"W/\"{file}.x-tar\""), (answer.Status, answer["Content-Type"], answer["ETag"]));
            Assert.Contains("attachment;", answer["Content-Disposition"], StringComparison.Ordinal);
            Assert.Equal("I am a txt file on path with utf8\n", Untar(answer.Body)[file.ToString()]);
        }

        Assert.Equal("I am a txt file on path with utf8\n", Untar((await _host.GetAsync($"/ipfs/{root}?format=tar")).Body)[$"{root}/ą/ę/file-źł.txt"]);
        Answer named = await _host.GetAsync($"/ipfs/{root}?format=tar&filename=testтест.tar");
        Assert.Equal("attachment; filename=\"test____.tar\"; filename*=UTF-8''test%D1%82%D0%B5%D1%81%D1%82.tar", named["Content-Disposition"]);
        Cid outside = _host.Load("path_gateway_tar-outside-root.car"), inside = _host.Load("path_gateway_tar-inside-root.car");
        Assert.InRange((await _host.GetAsync($"/ipfs/{outside}?format=tar")).Status, 400, 599);
        Assert.Contains($"{inside}/foobar/file", Untar((await _host.GetAsync($"/ipfs/{inside}?format=tar")).Body).Keys);
    }

    [Fact]
    public async Task CARs_hold_the_way_and_what_is_asked_for()
    {
        Cid two = _host.Load("trustless_gateway_car-subdir-with-two-single-block-files.car");
        Cid subdir = _host.Find(two, "subdir"), ascii = _host.Find(two, "subdir", "ascii.txt");
        Cid hamt = _host.Load("trustless_gateway_car-single-layer-hamt-with-multi-block-files.car");
        Cid mixed = _host.Load("trustless_gateway_car-subdir-with-mixed-block-files.car");
        Cid mixedDir = _host.Find(mixed, "subdir"), mixedAscii = _host.Find(mixed, "subdir", "ascii.txt"), multi = _host.Find(mixed, "subdir", "multiblock.txt");
        Cid[] chunks = Links(multi);
        Cid cbor = _host.Load("trustless_gateway_car-dir-with-dag-cbor-with-links.car");
        Cid document = _host.Find(cbor, "document"), single = _host.Find(cbor, "document", "files", "single");
        Cid missing = _host.Load("trustless_gateway_car-file-3k-and-3-blocks-missing-block.car");
        string multiPath = $"/ipfs/{multi}?dag-scope=entity&entity-bytes=";
        foreach ((string path, Cid[] blocks) in ((string, Cid[])[])[
            ($"/ipfs/{two}/subdir/ascii.txt?", [two, subdir, ascii]),
            ($"/ipfs/{hamt}/685.txt?", [.. Way(hamt, "685.txt"), .. Tree(_host.Find(hamt, "685.txt"))]),
            ($"/ipfs/{document}/files/single?", [document, single]),
            ($"/ipfs/{two}/subdir?dag-scope=block", [two, subdir]),
            ($"/ipfs/{two}/subdir/ascii.txt?dag-scope=block", [two, subdir, ascii]),
            ($"/ipfs/{hamt}/1.txt?dag-scope=block", [.. Way(hamt, "1.txt"), _host.Find(hamt, "1.txt")]),
            ($"/ipfs/{two}?dag-scope=entity", [two]),
            ($"/ipfs/{hamt}?dag-scope=entity", Shards(hamt)),
            ($"/ipfs/{hamt}?dag-scope=entity&entity-bytes=0:*", Shards(hamt)),
            ($"/ipfs/{mixed}/subdir/ascii.txt?dag-scope=entity", [mixed, mixedDir, mixedAscii]),
            ($"/ipfs/{mixed}/subdir/multiblock.txt?dag-scope=entity", [mixed, mixedDir, multi, .. chunks]),
            ($"/ipfs/{cbor}/document?dag-scope=entity", [cbor, document]),
            ($"/ipfs/{mixed}/subdir?dag-scope=all", [mixed, .. Tree(mixedDir)]),
            ($"/ipfs/{mixed}/subdir/multiblock.txt?dag-scope=all", [mixed, mixedDir, multi, .. chunks]),
            ($"/ipfs/{missing}?dag-scope=entity&entity-bytes=0:1000", [missing, Cid.Parse("QmPKt7ptM2ZYSGPUc8PmPT2VBkLDK3iqpG9TBJY7PCE9rF")]),
            ($"/ipfs/{missing}?dag-scope=entity&entity-bytes=2200:*", [missing, Cid.Parse("QmWXY482zQdwecnfBsj78poUUuPXvyw2JAFAEMw4tzTavV")]),
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
        Cid root = _host.Load("trustless_gateway_car-dir-with-duplicate-files.car");
        Cid ascii = _host.Find(root, "ascii.txt"), hello = _host.Find(root, "hello.txt"), multi = _host.Find(root, "multiblock.txt");
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

        Assert.Empty((await _host.GetAsync("/ipfs/bafkqaf3imvwgy3zaneqgc3janfxgy2lomvscay3jmqfa", "Accept: application/vnd.ipld.car; dups=y")).CarBlocks());
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
