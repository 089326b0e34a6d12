using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Ipns;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Ipfs.UnixFs;
using Leither.Node.Http.Gateway;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

public sealed class GatewayTests
{
    [Fact]
    public async Task A_directory_of_any_size_is_listed_in_pages_each_entry_once()
    {
        await using var host = new GatewayHost(options: new GatewayOptions { EntriesPerPage = 700 });
        Cid file = host.AddFile("small"u8.ToArray());
        (string Name, Cid Cid)[] entries = [.. Enumerable.Range(0, 6000).Select(i => ($"an entry with a name that is long enough to have the directory sharded, number {i:D5}", file))];
        Cid sharded = host.AddDirectory(entries);
        Assert.Equal(UnixFsType.HamtShard, UnixFsNode.Load(host.Store, sharded).Type);
        Cid plain = host.AddDirectory(entries[..1500]);
        Assert.Equal(UnixFsType.Directory, UnixFsNode.Load(host.Store, plain).Type);
        foreach ((Cid directory, int count) in ((Cid, int)[])[(sharded, 6000), (plain, 1500)])
        {
            var seen = new List<string>();
            string query = "";
            for (int page = 0; page * 700 < count; page++)
            {
                Answer answer = await host.GetAsync($"/ipfs/{directory}/{query}");
                Assert.Equal(200, answer.Status);
                string[] names = [.. answer.Text.Split("<span class=\"name\">").Skip(1).Select(static part => WebUtility.HtmlDecode(part[(part.IndexOf('>', StringComparison.Ordinal) + 1)..part.IndexOf("</a>", StringComparison.Ordinal)]))];
                Assert.Equal(Math.Min(700, count - (page * 700)), names.Length);
                seen.AddRange(names);
                int next = answer.Text.IndexOf("rel=\"next\" href=\"", StringComparison.Ordinal);
                if (next < 0) break;
                query = answer.Text[(next + 17)..].Split('"')[0];
            }

            Assert.Equal(entries[..count].Select(static e => e.Name).Order(StringComparer.Ordinal), seen.Order(StringComparer.Ordinal));
            Assert.Equal(400, (await host.GetAsync($"/ipfs/{directory}/?from=nowhere!")).Status);
        }
    }

    [Fact]
    public async Task What_is_not_here_comes_from_the_network()
    {
        await using var host = new GatewayHost();
        byte[] bytes = new byte[5 << 20];
        new Random(3).NextBytes(bytes);
        Cid file = host.AddFile(bytes), directory = host.AddDirectory(("a.bin", file));
        host.Network.TakeAll();
        Answer answer = await host.GetAsync($"/ipfs/{directory}/a.bin");
        Assert.Equal(200, answer.Status);
        Assert.Equal(bytes, answer.Body);

        int all = host.Network.Blocks.Count;
        host.Network.TakeAll();
        Answer part = await host.GetAsync($"/ipfs/{directory}/a.bin", "Range: bytes=5000000-5000003");
        Assert.Equal(bytes[5_000_000..5_000_004], part.Body);
        Assert.True(host.Store.Figures.Blocks < all, $"{host.Store.Figures.Blocks} of {all} blocks for four bytes");

        host.Network.TakeAll();
        Assert.Equal(1 + all, (await host.GetAsync($"/ipfs/{directory}/a.bin?format=car&dag-scope=all")).CarBlocks().Length + 1);
        host.Network.TakeAll();
        Assert.Equal(200, (await host.GetAsync($"/ipfs/{directory}?format=tar")).Status);
        host.Network.TakeAll();
        Assert.Contains("a.bin", (await host.GetAsync($"/ipfs/{directory}/")).Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_nobody_gives_in_time_is_a_504_and_what_nobody_can_be_asked_for_a_404()
    {
        Cid absent = Cid.Parse("bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy");
        await using (var host = new GatewayHost())
        {
            Answer late = await host.GetAsync($"/ipfs/{absent}");
            Assert.Equal((504, "30"), (late.Status, late["Retry-After"]));
            Assert.Contains($"The block {absent} is not here, and no peer gave it within 30 s", late.Text, StringComparison.Ordinal);
            Assert.Equal(504, (await host.GetAsync($"/ipfs/{absent}?format=car")).Status);
            host.Network.HasPeers = false;
            Assert.Equal(404, (await host.GetAsync($"/ipfs/{absent}")).Status);
        }

        await using var alone = new GatewayHost(hasNetwork: false);
        Answer missing = await alone.GetAsync($"/ipfs/{absent}?format=raw");
        Assert.Equal((404, "no-store"), (missing.Status, missing["Cache-Control"]));
    }

    [Fact]
    public async Task A_response_that_cannot_be_finished_is_broken_off()
    {
        await using var host = new GatewayHost();
        byte[] bytes = new byte[5 << 20];
        new Random(4).NextBytes(bytes);
        Cid file = host.AddFile(bytes);
        Cid[] leaves = [.. UnixFsNode.Load(host.Store, file).Links.Select(static link => link.Cid)];
        host.Store.Delete(leaves[^1]);
        foreach (string query in (string[])["?filename=a.mp4", "?format=car", "?format=tar"])
        {
            await Assert.ThrowsAnyAsync<HttpRequestException>(() => host.GetAsync($"/ipfs/{file}{query}"));
        }

        host.Store.Delete(leaves[0]);
        Assert.Equal(504, (await host.GetAsync($"/ipfs/{file}?filename=a.mp4")).Status);
    }

    [Theory]
    [InlineData("/ipfs/nothing", 400, "'nothing' is no CID")]
    [InlineData("/ipfs/QmInvalidCID/a", 400, "invalid path \"/ipfs/QmInvalidCID/a\"")]
    [InlineData("/ipns/a,b", 400, "no IPNS name")]
    [InlineData("/ipns/docs.ipfs.tech/", 501, "DNS")]
    [InlineData("/ipfs/bafkqaaa/below", 404, "no directory")]
    [InlineData("/ipfs/bafkqaaa/%ff", 400, "UTF-8")]
    [InlineData("/ipfs/bafkqaaa?format=pdf", 400, "no format 'pdf'")]
    [InlineData("/ipfs/bagyqqaa", 400, "CID")]
    public async Task What_cannot_be_is_refused_with_a_reason(string path, int status, string reason)
    {
        await using var host = new GatewayHost();
        Answer answer = await host.GetAsync(path);
        Assert.Equal(status, answer.Status);
        Assert.Contains(reason, answer.Text, StringComparison.Ordinal);
        Assert.Equal("text/plain; charset=utf-8", answer["Content-Type"]);
    }

    [Fact]
    public async Task A_block_that_is_not_what_it_should_be_is_a_502()
    {
        await using var host = new GatewayHost();
        byte[] garbage = [0xFF, 1, 2, 3];
        Cid cid = Cid.Of(Multicodec.DagPb, garbage);
        host.Store.Put(cid, garbage);
        Assert.Equal(502, (await host.GetAsync($"/ipfs/{cid}")).Status);
        Assert.Equal(502, (await host.GetAsync($"/ipfs/{cid}/a")).Status);
        Assert.Equal(garbage, (await host.GetAsync($"/ipfs/{cid}?format=raw")).Body);
        Assert.Equal(405, (await host.AskAsync("POST", $"/ipfs/{cid}")).Status);
    }

    [Fact]
    public async Task Content_is_kept_apart_from_the_nodes_own_pages()
    {
        await using var host = new GatewayHost();
        Cid page = host.AddFile("<!doctype html><script>fetch('/')</script>"u8.ToArray());
        Cid site = host.AddDirectory(("index.html", page), ("health", page), ("s.js", host.AddFile("1"u8.ToArray())));

        // At the node's address: in an origin that is nobody's.
        Answer shown = await host.GetAsync($"/ipfs/{site}/");
        Assert.StartsWith("sandbox ", shown["Content-Security-Policy"], StringComparison.Ordinal);
        Assert.DoesNotContain("allow-same-origin", shown["Content-Security-Policy"], StringComparison.Ordinal);
        Assert.Equal(400, (await host.GetAsync($"/ipfs/{site}/s.js", "Service-Worker: script")).Status);

        // A browser at localhost is sent to the content's own origin, where nothing else is.
        string own = $"{site}.ipfs.localhost:{host.Port}";
        Answer sent = await host.GetAsync($"/ipfs/{site}/?a=b", $"Host: localhost:{host.Port}", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document");
        Assert.Equal((307, $"http://{own}/?a=b"), (sent.Status, sent["Location"]));
        Assert.Equal(200, (await host.GetAsync($"/ipfs/{site}/", $"Host: localhost:{host.Port}")).Status);
        Answer isolated = await host.GetAsync("/", $"Host: {own}");
        Assert.Equal((200, ""), (isolated.Status, isolated["Content-Security-Policy"]));
        Assert.Contains("fetch('/')", isolated.Text, StringComparison.Ordinal);
        Assert.Contains("fetch('/')", (await host.GetAsync("/health", $"Host: {own}")).Text, StringComparison.Ordinal);
        Assert.Equal(200, (await host.GetAsync("/s.js", $"Host: {own}", "Service-Worker: script")).Status);
        Assert.Equal(400, (await host.GetAsync("/", $"Host: {new string('b', 64)}.ipfs.localhost")).Status);

        // The node's own pages answer themselves, people and programs.
        foreach ((string[] headers, int status) in ((string[], int)[])[
            ([], 200), (["Sec-Fetch-Site: none"], 200), (["Sec-Fetch-Site: same-origin"], 200), ([$"Origin: http://127.0.0.1:{host.Port}"], 200),
            (["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"], 200), (["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"], 403),
            (["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"], 403), (["Sec-Fetch-Site: same-site"], 403), (["Origin: null"], 403), ([$"Origin: http://{own}"], 403),
            (["Host: evil.example"], 403), (["Host: localhost.evil.example"], 403)])
        {
            foreach (string path in (string[])["/", "/health"])
            {
                Answer answer = await host.GetAsync(path, headers);
                Assert.True(answer.Status == status, $"{path} {string.Join(", ", headers)}: {answer}");
                Assert.Equal("", answer["Access-Control-Allow-Origin"]);
            }
        }

        Assert.Equal(403, (await host.GetAsync($"/ipfs/{site}/", "Host: evil.example")).Status);
    }

    [Fact]
    public async Task No_redirect_leads_to_another_host()
    {
        await using var host = new GatewayHost();
        Cid inner = host.AddDirectory(("x", host.AddFile([1])));
        Cid site = host.AddDirectory(("evil.example", inner));
        using Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { ReceiveTimeout = 30_000 };
        await socket.ConnectAsync(IPAddress.Loopback, host.Port);
        await socket.SendAsync(Encoding.ASCII.GetBytes($"GET //evil.example HTTP/1.1\r\nHost: {site}.ipfs.localhost\r\nConnection: close\r\n\r\n"));
        using var reader = new StreamReader(new NetworkStream(socket), Encoding.ASCII);
        string answer = await reader.ReadToEndAsync();
        Assert.StartsWith("HTTP/1.1 301 ", answer, StringComparison.Ordinal);
        Assert.Contains("\r\nLocation: /evil.example/\r\n", answer, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Names_of_entries_are_text_and_nothing_else()
    {
        await using var host = new GatewayHost();
        Cid file = host.AddFile([1]);
        Cid directory = host.AddDirectory(("<img src=x onerror=alert(1)>", file), ("a\"b'c&d", file), ("100%?#", file));
        Answer page = await host.GetAsync($"/ipfs/{directory}/");
        Assert.DoesNotContain("<img", page.Text, StringComparison.Ordinal);
        Assert.Contains("&lt;img src=x onerror=alert(1)&gt;", page.Text, StringComparison.Ordinal);
        Assert.Contains("default-src 'none'", page["Content-Security-Policy"], StringComparison.Ordinal);
        foreach (string name in (string[])["%3Cimg%20src=x%20onerror=alert(1)%3E", "a%22b'c&d", "100%25%3F%23"]) Assert.Equal(200, (await host.GetAsync($"/ipfs/{directory}/{name}")).Status);
    }

    [Theory]
    [InlineData("a.html", "x", "text/html; charset=utf-8")]
    [InlineData("a.txt", "\u00e9", "text/plain; charset=utf-8")]
    [InlineData("a.js", "x", "text/javascript; charset=utf-8")]
    [InlineData("a.PNG", "x", "image/png")]
    [InlineData("a.json", "{", "application/json")]
    [InlineData("a.svg", "<svg/>", "image/svg+xml")]
    [InlineData("a.wasm", "x", "application/wasm")]
    [InlineData("a", "hello", "text/plain; charset=utf-8")]
    [InlineData("a", "", "text/plain; charset=utf-8")]
    [InlineData("a", "  <!DOCTYPE html><p>", "text/html; charset=utf-8")]
    [InlineData("a", "<?xml version='1.0'?><svg/>", "image/svg+xml")]
    [InlineData("a", "{\"a\": [1, 2]}", "application/json")]
    [InlineData("a", "{not json}", "text/plain; charset=utf-8")]
    [InlineData("a", "%PDF-1.7", "application/pdf")]
    [InlineData("a", "GIF89a", "image/gif")]
    [InlineData("a", "\0\u0001", "application/octet-stream")]
    public void The_type_of_a_file_shows_in_its_name_or_its_first_bytes(string name, string content, string type) =>
        Assert.Equal(type, MediaTypes.Of(name, Encoding.UTF8.GetBytes(content)));

    [Fact]
    public void Text_in_another_encoding_is_not_said_to_be_UTF_8()
    {
        Assert.Equal("text/plain", MediaTypes.Of("a.txt", [0x68, 0xE9, 0x68]));
        Assert.Equal("application/octet-stream", MediaTypes.Of(null, [0x68, 0xE9, 0x68]));
        Assert.Equal("text/plain; charset=utf-8", MediaTypes.Of("a.txt", [0x68, 0xC3]));
    }

    [Theory]
    [InlineData("bytes=0-0", "0-0")]
    [InlineData("bytes=5-", "5-99")]
    [InlineData("bytes=-5", "95-99")]
    [InlineData("bytes=-500", "0-99")]
    [InlineData("bytes= 1 - 2 , 4-4", "1-2 4-4")]
    [InlineData("bytes=90-200,100-", "90-99")]
    [InlineData("bytes=100-", "")]
    [InlineData("bytes=-0", "")]
    [InlineData("bytes=2-1", null)]
    [InlineData("bytes=a-b", null)]
    [InlineData("bytes=", null)]
    [InlineData("lines=0-1", null)]
    [InlineData("bytes=0-99,0-99", null)]
    [InlineData("bytes=0-0,1-1,2-2,3-3,4-4", null)]
    [InlineData("bytes=99999999999999999999-", null)]
    public void A_range_counts_where_it_is_well_formed(string header, string? ranges) =>
        Assert.Equal(ranges, ByteRange.Parse(header, 100, 4) is { } parsed ? string.Join(' ', parsed.Select(static r => $"{r.First}-{r.Last}")) : null);

    [Theory]
    [InlineData("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "", true)]
    [InlineData("*/*", "", false)]
    [InlineData("application/vnd.ipld.car; order=dfs; dups=y", "car", false)]
    [InlineData("text/html;q=0.5, application/vnd.ipld.raw;q=0.6", "raw", false)]
    [InlineData("application/vnd.ipld.raw;q=0, text/html", "", true)]
    [InlineData("image/png", "", false)]
    [InlineData("APPLICATION/JSON", "json", false)]
    [InlineData(";;,,=;q=x", "", false)]
    public void Of_the_types_that_are_known_the_heaviest_is_taken(string accept, string format, bool wantsHtml)
    {
        AcceptedFormat read = AcceptedFormat.FromAccept(accept);
        Assert.Equal((format, wantsHtml), (AcceptedFormat.NameOf(read.Format), read.WantsHtml));
    }

    [Fact]
    public void Whatever_is_sent_is_read_or_refused() => Seed.Run(random =>
    {
        string[] pieces = ["/", "//", "..", ".", "%2F", "%", "%C4%85", "%00", "a", "bafkqaaa", "ipfs", "?", "#", "=", "-", ",", ";", "bytes=", "0", "9", "99999999999999999999", " ", "q=", "*", "text/html", "\"", "W/", ":", "\u0105"];
        for (int i = 0; i < 20_000; i++)
        {
            string text = string.Concat(Enumerable.Range(0, random.Next(12)).Select(_ => pieces[random.Next(pieces.Length)]));
            try
            {
                GatewayTarget target = GatewayTarget.FromPath(GatewayTarget.PathOf($"/ipfs/{text}"));
                Assert.StartsWith("/ipfs/", target.ContentPath, StringComparison.Ordinal);
                Assert.DoesNotContain("..", target.Segments);
                Assert.Equal(target.Segments, GatewayTarget.FromPath($"/ipfs/r{target.EscapedRest}").Segments);
                string host = GatewayTarget.FromSubdomain(false, "r", GatewayTarget.PathOf("/" + text)).HostPath;
                Assert.False(host.StartsWith("//", StringComparison.Ordinal) || !host.StartsWith('/'), host);
            }
            catch (GatewayException e)
            {
                Assert.Equal(400, e.Status);
            }

            int length = random.Next(3) * 50;
            foreach (ByteRange range in ByteRange.Parse("bytes=" + text, length, 4) ?? []) Assert.True(range.First >= 0 && range.Last < length && range.First <= range.Last, text);
            if (ByteRange.TryParseEntityBytes(text, length, out ByteRange? part) && part is { } bytes) Assert.True(bytes.First >= 0 && bytes.Last < length && bytes.First <= bytes.Last, text);
            AcceptedFormat accepted = AcceptedFormat.FromAccept(text);
            _ = AcceptedFormat.Parameter(accepted.Parameters, "order");
            _ = GatewayCall.Matches(text, "\"a\"");
            Assert.True(GatewayCall.DispositionOf("inline", text).All(static c => c is >= ' ' and < '\x7f'));
        }
    });

    [Fact]
    public async Task A_name_is_followed_through_others_and_no_further_than_the_limit()
    {
        await using var host = new GatewayHost(options: new GatewayOptions { MaxNameSteps = 3 });
        Cid file = host.AddFile("found"u8.ToArray()), directory = host.AddDirectory(("a", host.AddDirectory(("b", file))));
        PrivateKey[] keys = [.. Enumerable.Range(0, 5).Select(static _ => PrivateKey.Generate())];
        string[] names = [.. keys.Select(static key => IpnsRecord.NameText(key.PublicKey.PeerId))];
        for (int i = 0; i < 5; i++)
        {
            string value = i == 0 ? $"/ipfs/{directory}/a" : $"/ipns/{names[i - 1]}";
            host.Names.Add(names[i], IpnsRecord.Create(keys[i], value, 1, DateTimeOffset.UtcNow.AddDays(1), TimeSpan.FromSeconds(100 - i)).Bytes.ToArray());
        }

        Answer answer = await host.GetAsync($"/ipns/{names[2]}/b");
        Assert.Equal((200, "found", "public, max-age=98"), (answer.Status, answer.Text, answer["Cache-Control"]));
        Assert.Equal(502, (await host.GetAsync($"/ipns/{names[4]}/b")).Status);
        using PrivateKey unknown = PrivateKey.Generate();
        Assert.Equal(502, (await host.GetAsync($"/ipns/{IpnsRecord.NameText(unknown.PublicKey.PeerId)}")).Status);
        foreach (PrivateKey key in keys) key.Dispose();
    }

    [Fact]
    public async Task Where_files_lie_is_for_the_log_and_for_no_answer()
    {
        await using var host = new GatewayHost(hasNetwork: false, served: new UnreadableSource());
        Answer answer = await host.GetAsync($"/ipfs/{Cid.Of(Multicodec.DagPb, "there"u8)}");
        Assert.Equal(500, answer.Status);
        Assert.DoesNotContain("/home", answer.Text, StringComparison.Ordinal);
        Assert.Contains("/home/ann/blocks cannot be read", host.Log, StringComparison.Ordinal);
    }

    /// <summary>All blocks are there, and the disk gives none of them.</summary>
    private sealed class UnreadableSource : IBlockSource
    {
        public bool Has(in Cid cid) => true;

        public bool TryGetLength(in Cid cid, out int length) => throw new IOException("/home/ann/blocks cannot be read");

        public bool TryGet(in Cid cid, System.Buffers.IBufferWriter<byte> destination) => throw new IOException("/home/ann/blocks cannot be read");

        public IEnumerable<Cid> Cids() => [];
    }

    [Fact]
    public async Task A_client_that_leaves_ends_the_work()
    {
        await using var host = new GatewayHost();
        byte[] bytes = new byte[64 << 20];
        new Random(5).NextBytes(bytes);
        Cid file = host.AddFile(bytes);
        long all = host.Store.Figures.Blocks;
        host.Network.TakeAll();
        using (Stream stream = host.OpenStream($"/ipfs/{file}"))
        {
            byte[] first = new byte[1000];
            await stream.ReadExactlyAsync(first);
            Assert.Equal(bytes[..1000], first);
        }

        Wait.Until(() => host.Network.Ended == 1);
        long fetched = host.Store.Figures.Blocks;
        Assert.True(fetched < all, string.Create(CultureInfo.InvariantCulture, $"all {all} blocks were fetched for nobody"));
    }

    [Fact]
    public async Task Files_of_either_profile_come_out_as_they_went_in()
    {
        await using var host = new GatewayHost();
        foreach (UnixFsProfile profile in (UnixFsProfile[])[UnixFsProfile.V0, UnixFsProfile.V1])
        {
            foreach (int length in (int[])[0, 1, 1000, 262_144, 1_048_576, 1_048_577, 3_000_001])
            {
                byte[] bytes = new byte[length];
                new Random(length).NextBytes(bytes);
                Cid file = host.AddFile(bytes, profile);
                Answer answer = await host.GetAsync($"/ipfs/{file}?filename=a.bin&download=true");
                Assert.Equal((200, "attachment; filename=\"a.bin\"", "application/octet-stream"), (answer.Status, answer["Content-Disposition"], answer["Content-Type"]));
                Assert.Equal(bytes, answer.Body);
                Answer head = await host.AskAsync("HEAD", $"/ipfs/{file}?filename=a.bin");
                Assert.Equal((200, length.ToString(CultureInfo.InvariantCulture), 0), (head.Status, head["Content-Length"], head.Body.Length));
                if (length < 2) continue;
                Answer rest = await host.GetAsync($"/ipfs/{file}", $"Range: bytes={length / 2}-", $"If-Range: \"{file}\"");
                Assert.Equal(206, rest.Status);
                Assert.Equal(bytes[(length / 2)..], rest.Body);
                Assert.Equal(200, (await host.GetAsync($"/ipfs/{file}", "Range: bytes=1-", "If-Range: \"another\"")).Status);
            }
        }
    }
}
