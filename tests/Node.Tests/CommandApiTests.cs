using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Leither.Ipfs.Keys;
using Leither.MmDb.Passports;
using Leither.Node.Http.Page;
using Leither.TestKit;
using Microsoft.AspNetCore.Http;
using Xunit;

namespace Leither.Node.Tests;

/// <summary>A node for all tests of a class.</summary>
public sealed class SharedNode : IDisposable
{
    private readonly TempDir _folder = new();
    private readonly Process _process;

    public SharedNode()
    {
        Port = Ports.Free();
        _process = LeitherProgram.Start("run", "-p", $"{Port}", "--data", Folder);
        _process.OutputDataReceived += static (_, _) => { };
        _process.BeginOutputReadLine();
        Wait.Until(Answers);
    }

    public int Port { get; }

    public string Folder => _folder.File("node");

    public void Dispose()
    {
        _process.Kill();
        _process.WaitForExit();
        _process.Dispose();
        _folder.Dispose();
    }

    private bool Answers()
    {
        try
        {
            using RespClient client = RespClient.Connect(Port);
            return client.Call("PING").Text == "PONG";
        }
        catch (SocketException)
        {
            return false;
        }
    }
}

public sealed partial class CommandApiTests(SharedNode node) : IClassFixture<SharedNode>, IDisposable
{
    private readonly HttpClient _http = new() { BaseAddress = new Uri($"http://127.0.0.1:{node.Port}") };

    public void Dispose() => _http.Dispose();

    [Fact]
    public async Task Each_command_has_its_reply_in_its_place()
    {
        using JsonDocument answer = await RunAsync("""
            {"commands": [["SET", "place:a", "héllo 世界"], ["GET", "place:a"], ["GET", "place:none"], ["LPUSH", "place:a", 1], ["NOSUCH"],
              ["SET", "place:b", {"base64": "/wCA"}], ["GET", "place:b"], ["SET", "place:n", 9007199254740993], ["INCR", "place:n"], ["DBSIZE", "x"],
              ["RPUSH", "place:l", "a", {"base64": "/w=="}], ["LRANGE", "place:l", 0, -1], ["DEL", "place:a", "place:b", "place:n", "place:l"]]}
            """);
        Assert.Equal(
            """["OK","héllo 世界",null,{"error":"WRONGTYPE Operation against a key holding the wrong kind of value"},{"error":"ERR unknown command 'NOSUCH', with args beginning with: "}"""
            + ""","OK",{"base64":"/wCA"},"OK","9007199254740994",{"error":"ERR wrong number of arguments for 'dbsize' command"},2,["a",{"base64":"/w=="}],4]""",
            answer.RootElement.GetProperty("replies").GetRawText());
    }

    [Fact]
    public async Task A_request_works_where_it_says_and_nowhere_else()
    {
        using (JsonDocument made = await RunAsync("""{"commands": [["MIMEI", "CREATE", "DB", "MARK", "where"]]}"""))
        {
            string mid = made.RootElement.GetProperty("replies")[0].GetString()!;
            Assert.Equal("""["OK",1,"OK"]""", await RepliesAsync($$"""{"mimei": "{{mid}}", "commands": [["SET", "k", "one"], ["MIMEI", "BACKUP", "MEMO", "a b"], ["SET", "k", "two"]]}"""));
            Assert.StartsWith("[\"one\",{\"error\":\"READONLY ", await RepliesAsync($$"""{"mimei": "{{mid}}", "version": "1", "commands": [["GET", "k"], ["SET", "k", "three"]]}"""), StringComparison.Ordinal);
            Assert.Equal("""["OK"]""", await RepliesAsync($$"""{"mimei": "{{mid}}", "database": 3, "commands": [["SET", "k", "in 3"]]}"""));
            Assert.Equal("""["two",["0",[[0,"k","changed","string"],[3,"k","added","string"]]]]""", await RepliesAsync($$"""{"mimei": "{{mid}}", "commands": [["GET", "k"], ["MIMEI", "DIFF", 1, "cur"]]}"""));
        }

        Assert.Equal("[null]", await RepliesAsync("""{"commands": [["GET", "k"]]}"""));
        await RefusedAsync(HttpStatusCode.BadRequest, "no such MiMei", """{"mimei": "nowhere", "commands": [["FLUSHALL"]]}""");
        await RefusedAsync(HttpStatusCode.BadRequest, "DB index", """{"database": 99, "commands": [["FLUSHALL"]]}""");
    }

    [Theory]
    [InlineData("BLPOP k 0")]
    [InlineData("XREAD BLOCK 0 STREAMS k $")]
    [InlineData("WAIT 1 0")]
    [InlineData("SUBSCRIBE c")]
    [InlineData("psubscribe c")]
    [InlineData("MONITOR")]
    [InlineData("PSYNC ? -1")]
    [InlineData("CLIENT REPLY OFF")]
    [InlineData("client tracking on")]
    [InlineData("HELLO 3")]
    [InlineData("AUTH a b")]
    [InlineData("QUIT")]
    public async Task What_waits_or_goes_on_cannot_be_had(string command)
    {
        string words = string.Join("\", \"", command.Split(' '));
        await RefusedAsync(HttpStatusCode.BadRequest, "cannot be had over HTTP", $$"""{"commands": [["SET", "refused", "1"], ["{{words}}"]]}""");
        Assert.Equal("[null]", await RepliesAsync("""{"commands": [["GET", "refused"]]}"""));
    }

    [Theory]
    [InlineData("Origin", "http://example.com")]
    [InlineData("Origin", "null")]
    [InlineData("Origin", "http://localhost:1")]
    [InlineData("Sec-Fetch-Site", "cross-site")]
    [InlineData("Sec-Fetch-Site", "same-site")]
    [InlineData("Host", "example.com")]
    [InlineData("Host", "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy.ipfs.localhost")]
    public async Task Other_sites_are_refused_before_anything_runs(string header, string value)
    {
        using HttpRequestMessage request = Request("""{"commands": [["SET", "stranger", "1"]]}""");
        if (header == "Host")
        {
            request.Headers.Host = value;
        }
        else
        {
            request.Headers.Add(header, value);
        }

        using HttpResponseMessage response = await _http.SendAsync(request);
        Assert.False(response.IsSuccessStatusCode);
        // Content, which has hosts of its own, is for all.
        Assert.True(value.EndsWith(".ipfs.localhost", StringComparison.Ordinal) || !response.Headers.Contains("Access-Control-Allow-Origin"));
        Assert.Equal("[null]", await RepliesAsync("""{"commands": [["GET", "stranger"]]}"""));
    }

    [Fact]
    public async Task A_browser_that_asks_whether_another_site_may_is_told_no()
    {
        using HttpRequestMessage preflight = new(HttpMethod.Options, "/api/command");
        preflight.Headers.Add("Origin", "http://example.com");
        preflight.Headers.Add("Access-Control-Request-Method", "POST");
        using HttpResponseMessage response = await _http.SendAsync(preflight);
        Assert.Equal(HttpStatusCode.Forbidden, response.StatusCode);
        Assert.DoesNotContain(response.Headers, static h => h.Key.StartsWith("Access-Control", StringComparison.OrdinalIgnoreCase));
    }

    [Theory]
    [InlineData("GET", "application/json", HttpStatusCode.MethodNotAllowed)]
    [InlineData("PUT", "application/json", HttpStatusCode.MethodNotAllowed)]
    [InlineData("POST", "text/plain", HttpStatusCode.UnsupportedMediaType)]
    [InlineData("POST", "application/x-www-form-urlencoded", HttpStatusCode.UnsupportedMediaType)]
    [InlineData("POST", "multipart/form-data", HttpStatusCode.UnsupportedMediaType)]
    public async Task Only_JSON_that_is_posted_is_read(string method, string type, HttpStatusCode expected)
    {
        using HttpRequestMessage request = new(new HttpMethod(method), "/api/command");
        if (method != "GET")
        {
            request.Content = new StringContent("""{"commands": [["SET", "form", "1"]]}""", Encoding.UTF8, type);
        }

        using HttpResponseMessage response = await _http.SendAsync(request);
        Assert.Equal(expected, response.StatusCode);
        Assert.Equal("[null]", await RepliesAsync("""{"commands": [["GET", "form"]]}"""));
    }

    [Theory]
    [InlineData("{")]
    [InlineData("[]")]
    [InlineData("{}")]
    [InlineData("""{"commands": []}""")]
    [InlineData("""{"commands": [[]]}""")]
    [InlineData("""{"commands": ["PING"]}""")]
    [InlineData("""{"commands": [["GET", true]]}""")]
    [InlineData("""{"commands": [["GET", {"base64": "no!"}]]}""")]
    [InlineData("""{"commands": [["GET", "\ud800"]]}""")]
    [InlineData("""{"mimei": "\udc00", "commands": [["PING"]]}""")]
    [InlineData("""{"commands": [["GET", {"\ud800": "a"}]]}""")]
    [InlineData("""{"mimei": 5, "commands": [["PING"]]}""")]
    [InlineData("""{"version": "1", "commands": [["PING"]]}""")]
    [InlineData("""{"database": "a", "commands": [["PING"]]}""")]
    [InlineData("""{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":1}}}}}}}}}""")]
    public Task What_is_no_request_is_said_to_be_none(string body) => RefusedAsync(HttpStatusCode.BadRequest, "", body);

    [Fact]
    public async Task Bytes_that_are_no_text_are_not_taken_for_one()
    {
        using HttpRequestMessage request = Request("");
        request.Content = new ByteArrayContent([.. "{\"commands\": [[\"GET\", \""u8, 0xFF, .. "\"]]}"u8]);
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        using HttpResponseMessage response = await _http.SendAsync(request);
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        Assert.Contains("unknown command", await RepliesAsync("""{"commands": [[""], ["", ""]]}"""), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Requests_and_replies_are_bounded()
    {
        await RefusedAsync(HttpStatusCode.RequestEntityTooLarge, "bytes", $$"""{"commands": [["SET", "large", "{{new string('x', 1 << 20)}}"]]}""");
        using (HttpRequestMessage chunked = Request($$"""{"commands": [["SET", "large", "{{new string('x', 1 << 20)}}"]]}"""))
        {
            chunked.Headers.TransferEncodingChunked = true;
            using HttpResponseMessage response = await _http.SendAsync(chunked);
            Assert.Equal(HttpStatusCode.RequestEntityTooLarge, response.StatusCode);
        }

        string commands = string.Join(',', Enumerable.Repeat("[\"PING\"]", 1001));
        await RefusedAsync(HttpStatusCode.BadRequest, "1000", $$"""{"commands": [{{commands}}]}""");
        Assert.Equal("[1000000]", await RepliesAsync("""{"commands": [["SETRANGE", "big", 999999, "x"]]}"""));
        string reads = string.Join(',', Enumerable.Repeat("[\"GET\",\"big\"]", 20));
        await RefusedAsync(HttpStatusCode.RequestEntityTooLarge, "more than", $$"""{"commands": [{{reads}}, ["SET", "after", "1"]]}""");
        Assert.Equal("[null,1]", await RepliesAsync("""{"commands": [["GET", "after"], ["DEL", "big"]]}"""));
    }

    [Fact]
    public async Task A_request_is_a_client_that_is_gone_with_it()
    {
        using RespClient resp = RespClient.Connect(node.Port);
        using JsonDocument answer = await RunAsync("""{"commands": [["CLIENT", "LIST"]]}""");
        Assert.Matches(@"addr=127\.0\.0\.1:\d+ .* user=default ", answer.RootElement.GetProperty("replies")[0].GetString()!);
        await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => RepliesAsync("""{"commands": [["PING"], ["MIMEI", "LIST"]]}""")));
        Assert.Single(resp.Call("CLIENT", "LIST").Text.Trim().Split('\n'));
    }

    [Fact]
    public async Task Whoever_asks_has_the_rights_of_the_login_in_the_header()
    {
        using RespClient resp = RespClient.Connect(node.Port);
        resp.Call("SET", "ann:1", "hers");
        resp.Call("SET", "bob:1", "his");
        Assert.Equal("OK", resp.Call([.. new[] { "ACL", "SETUSER", "ann", "on", ">s:ecret é", "~ann:*", "+get", "+set" }.Select(Encoding.UTF8.GetBytes)]).Text);
        try
        {
            const string Body = """{"commands": [["GET", "ann:1"], ["GET", "bob:1"], ["DEL", "ann:1"]]}""";
            using HttpRequestMessage request = Request(Body, Basic("ann:s:ecret é"));
            using HttpResponseMessage response = await _http.SendAsync(request);
            Assert.Matches("""^\{"replies":\["hers",\{"error":"NOPERM [^"]*"\},\{"error":"NOPERM [^"]*"\}\]\}$""", await response.Content.ReadAsStringAsync());
            await RefusedAsync(HttpStatusCode.Unauthorized, "WRONGPASS", Body, Basic("ann:wrong"));
            await RefusedAsync(HttpStatusCode.Unauthorized, "WRONGPASS", Body, Basic("nobody:x"));
            await RefusedAsync(HttpStatusCode.Unauthorized, "WRONGPASS", Body, new AuthenticationHeaderValue("Passport", "ppt1.forged"));
            await RefusedAsync(HttpStatusCode.BadRequest, "Authorization", Body, new AuthenticationHeaderValue("Digest", "a"));
            await RefusedAsync(HttpStatusCode.BadRequest, "Authorization", Body, new AuthenticationHeaderValue("Basic", "!"));
            await RefusedAsync(HttpStatusCode.Forbidden, "NOPERM", """{"mimei": "default", "commands": [["GET", "bob:1"]]}""", Basic("ann:s:ecret é"));

            // What is not in the header is nobody's.
            Assert.Equal("""["hers","his"]""", await RepliesAsync("""{"commands": [["GET", "ann:1"], ["GET", "bob:1"]]}"""));
        }
        finally
        {
            resp.Call("ACL", "DELUSER", "ann");
        }
    }

    [Fact]
    public async Task Where_a_password_is_needed_nothing_is_told_without_it()
    {
        using RespClient resp = RespClient.Connect(node.Port);
        Assert.Equal("OK", resp.Call("CONFIG", "SET", "requirepass", "p").Text);
        try
        {
            await RefusedAsync(HttpStatusCode.Unauthorized, "NOAUTH", """{"commands": [["PING"], ["INFO"]]}""");
            await RefusedAsync(HttpStatusCode.Unauthorized, "NOAUTH", """{"mimei": "default", "commands": [["DBSIZE"]]}""");
            using HttpRequestMessage right = Request("""{"commands": [["PING"]]}""", Basic(":p"));
            using HttpResponseMessage welcome = await _http.SendAsync(right);
            Assert.Equal("""{"replies":["PONG"]}""", await welcome.Content.ReadAsStringAsync());
        }
        finally
        {
            Assert.Equal("OK", resp.Call("CONFIG", "SET", "requirepass", "").Text);
        }
    }

    [Fact]
    public async Task A_passport_that_asks_for_a_proof_lets_in_who_answers_the_challenge_once_until_he_leaves()
    {
        using RespClient resp = RespClient.Connect(node.Port);
        using PrivateKey key = PrivateKey.Generate(), other = PrivateKey.Generate();
        string mid = resp.Call("MIMEI", "CREATE", "DB", "MARK", "proved").Text;
        Assert.Equal("OK", resp.Call("MIMEI", "RIGHT", "SET", mid, "USER", key.PublicKey.Id.ToString(), "read").Text);
        long now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        Passport passport = new() { Issuer = key.PublicKey, Subject = key.PublicKey, From = now - 60, End = now + 3600, Rights = PassportRights.Login, NeedsProof = true };
        byte[] block = passport.Sign(key);
        string text = Passport.ToText(block), ask = $$"""{"mimei": "{{mid}}", "commands": [["MIMEI", "ID"], ["SET", "a", "1"]]}""";
        await RefusedAsync(HttpStatusCode.Unauthorized, "asks for a proof", ask, new AuthenticationHeaderValue("Passport", text));
        using JsonDocument asked = await LoginAsync($$"""{"passport": " {{text}}\n"}""");
        string challenge = asked.RootElement.GetProperty("challenge").GetString()!;
        LeitherId self = LeitherId.Parse(asked.RootElement.GetProperty("node").GetString()!);
        string Answer(PrivateKey by) => Passport.ToText(block, by, Convert.FromHexString(challenge), self);

        // Another's answer is none, and spends the challenge.
        Assert.Equal("WRONGPASS", await LoginErrorAsync($$"""{"passport": "{{Answer(other)}}", "challenge": "{{challenge}}"}"""));
        Assert.Equal("WRONGPASS", await LoginErrorAsync($$"""{"passport": "{{Answer(key)}}", "challenge": "{{challenge}}"}"""));
        Assert.Equal("WRONGPASS", await LoginErrorAsync($$"""{"passport": "{{Answer(key)}}"}"""));
        Assert.Equal("WRONGPASS", await LoginErrorAsync("""{"passport": "ppt1.nothing"}"""));
        using (JsonDocument again = await LoginAsync($$"""{"passport": "{{text}}"}"""))
        {
            challenge = again.RootElement.GetProperty("challenge").GetString()!;
        }

        using JsonDocument proved = await LoginAsync($$"""{"passport": "{{Answer(key)}}", "challenge": "{{challenge}}"}""");
        AuthenticationHeaderValue token = new("Bearer", proved.RootElement.GetProperty("token").GetString());
        using (HttpRequestMessage request = Request(ask, token))
        using (HttpResponseMessage response = await _http.SendAsync(request))
        {
            Assert.Matches($$"""^\{"replies":\[\["{{mid}}",.*\],\{"error":"NOPERM [^"]*"\}\]\}$""", await response.Content.ReadAsStringAsync());
        }

        // The lists of rights are asked each time; a token is for no other passport, and ends when its bearer leaves.
        Assert.Equal(1, resp.Call("MIMEI", "RIGHT", "DEL", mid, "USER", key.PublicKey.Id.ToString()).Integer);
        await RefusedAsync(HttpStatusCode.Unauthorized, "no MiMei here gives this user a right", ask, token);
        Assert.Equal("OK", resp.Call("MIMEI", "RIGHT", "SET", mid, "USER", key.PublicKey.PeerId.ToString(), "read").Text);
        using (HttpRequestMessage request = Request(ask, token))
        using (HttpResponseMessage response = await _http.SendAsync(request))
        {
            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        }

        using (HttpRequestMessage leave = Request("""{"logout": true}""", token))
        {
            leave.RequestUri = new Uri("/api/login", UriKind.Relative);
            using HttpResponseMessage left = await _http.SendAsync(leave);
            Assert.Equal(HttpStatusCode.OK, left.StatusCode);
        }

        await RefusedAsync(HttpStatusCode.Unauthorized, "this sign-in is over", ask, token);
        await RefusedAsync(HttpStatusCode.Unauthorized, "this sign-in is over", ask, new AuthenticationHeaderValue("Bearer", "made up"));

        // One without a proof needs no token.
        Passport plain = new() { Issuer = other.PublicKey, Subject = key.PublicKey, From = now - 60, End = now + 3600, Rights = PassportRights.Read };
        using JsonDocument none = await LoginAsync($$"""{"passport": "{{Passport.ToText(plain.Sign(other))}}"}""");
        Assert.Empty(none.RootElement.EnumerateObject());
    }

    [Fact]
    public void A_challenge_can_be_answered_once_in_time_for_its_passport_and_from_where_it_was_asked_for()
    {
        ManualClock clock = new();
        PageLogins logins = new(clock);
        string first = logins.Challenge("ppt1.a", ""), second = logins.Challenge("ppt1.a", "");
        Assert.NotEqual(first, second);
        Assert.Null(logins.Take(first, "ppt1.b", ""));
        Assert.Null(logins.Take(first, "ppt1.a", "192.0.2.1"));
        Assert.Equal(first, Convert.ToHexStringLower(logins.Take(first.ToUpperInvariant(), "ppt1.a", "")!));
        Assert.Null(logins.Take(first, "ppt1.a", ""));
        Assert.Null(logins.Take("zz", "ppt1.a", ""));
        Assert.Null(logins.Take(new string('0', first.Length), "ppt1.a", ""));
        for (int i = 0; i < second.Length; i++)
        {
            char other = second[i] == '0' ? '1' : '0';
            Assert.Null(logins.Take($"{second[..i]}{other}{second[(i + 1)..]}", "ppt1.a", ""));
        }

        // Another node's, or what this one gave before it was started anew.
        Assert.Null(new PageLogins(clock).Take(second, "ppt1.a", ""));
        string given = logins.Challenge("ppt1.a", "");
        logins.GiveBack(logins.Take(given, "ppt1.a", "")!);
        Assert.NotNull(logins.Take(given, "ppt1.a", ""));
        clock.Advance(PageLogins.ChallengeLife);
        Assert.Null(logins.Take(second, "ppt1.a", ""));
    }

    [Fact]
    public void Nobody_keeps_others_from_signing_in_by_asking_or_by_answering_often()
    {
        ManualClock clock = new();
        PageLogins logins = new(clock);
        string honest = logins.Challenge("ppt1.honest", "");
        for (int i = 0; i < 100_000; i++)
        {
            _ = logins.Challenge("ppt1.flood", "");
        }

        Assert.NotNull(logins.Take(honest, "ppt1.honest", ""));

        // More answers than are remembered: older challenges end, none is good again, and new ones are.
        clock.Advance(TimeSpan.FromMilliseconds(1));
        string answered = logins.Challenge("ppt1.flood", "");
        Assert.NotNull(logins.Take(answered, "ppt1.flood", ""));
        for (int i = 0; i < 2 * PageLogins.MostAnswered; i++)
        {
            clock.Advance(TimeSpan.FromMilliseconds(1));
            Assert.NotNull(logins.Take(logins.Challenge("ppt1.flood", ""), "ppt1.flood", ""));
        }

        Assert.Null(logins.Take(answered, "ppt1.flood", ""));
        Assert.Null(logins.Take(honest, "ppt1.honest", ""));
        Assert.NotNull(logins.Take(logins.Challenge("ppt1.honest", ""), "ppt1.honest", ""));
    }

    [Fact]
    public void Tokens_end_and_are_bounded_and_who_signs_in_often_ends_his_own()
    {
        ManualClock clock = new();
        PageLogins logins = new(clock);
        TokenHolder ann = TokenHolder.Known("ann"), bob = TokenHolder.Known("bob");
        string token = logins.Keep("ppt1.a", ann);
        Assert.Equal("ppt1.a", logins.Find(token));
        clock.Advance(PageLogins.TokenLife);
        Assert.Null(logins.Find(token));
        token = logins.Keep("ppt1.b", ann);
        string first = logins.Keep("ppt1.c", bob), last = first;
        for (int i = 0; i < PageLogins.MostTokens; i++)
        {
            last = logins.Keep("ppt1.c", bob);
        }

        Assert.Null(logins.Find(first));
        Assert.Equal("ppt1.c", logins.Find(last));
        Assert.Equal("ppt1.b", logins.Find(token));
    }

    [Fact]
    public void Of_two_who_have_as_many_tokens_the_one_who_signs_in_again_ends_his_own()
    {
        PageLogins logins = new(new ManualClock());
        TokenHolder ann = TokenHolder.Known("ann"), bob = TokenHolder.Known("bob");
        List<string> hers = [], his = [];
        for (int i = 0; i < PageLogins.MostTokens / 2; i++)
        {
            hers.Add(logins.Keep("ppt1.a", ann));
            his.Add(logins.Keep("ppt1.b", bob));
        }

        his.Add(logins.Keep("ppt1.b", bob));
        Assert.Null(logins.Find(his[0]));
        Assert.All(hers, token => Assert.NotNull(logins.Find(token)));
        hers.Add(logins.Keep("ppt1.a", ann));
        Assert.Null(logins.Find(hers[0]));
        Assert.All(hers[1..].Concat(his[1..]), token => Assert.NotNull(logins.Find(token)));

        // Where nobody has more than one, the oldest of all goes, so that whoever comes is let in.
        logins = new PageLogins(new ManualClock());
        string[] all = [.. Enumerable.Range(0, PageLogins.MostTokens + 1).Select(i => logins.Keep("ppt1.x", TokenHolder.Known($"{i}")))];
        Assert.Null(logins.Find(all[0]));
        Assert.All(all[1..], token => Assert.NotNull(logins.Find(token)));
    }

    [Fact]
    public void Who_makes_himself_many_keys_ends_the_tokens_of_his_own_address_and_of_no_user_who_is_known()
    {
        PageLogins logins = new(new ManualClock());
        string[] known = [.. Enumerable.Range(0, 100).Select(i => logins.Keep("ppt1.a", TokenHolder.Known($"{i}")))];
        string other = logins.Keep("ppt1.b", TokenHolder.Guest("192.0.2.1", "key"));
        string first = logins.Keep("ppt1.c", TokenHolder.Guest("192.0.2.2", "first")), last = first;
        for (int i = 0; i < 2 * PageLogins.MostTokens; i++)
        {
            last = logins.Keep("ppt1.c", TokenHolder.Guest("192.0.2.2", $"{i}"));
        }

        // Nor does one whose addresses are those of one network.
        for (int i = 0; i < 2 * PageLogins.MostTokens; i++)
        {
            last = logins.Keep("ppt1.c", TokenHolder.Guest($"2001:db8::{i:x}", $"{i}"));
        }

        Assert.Null(logins.Find(first));
        Assert.NotNull(logins.Find(last));
        Assert.All([.. known, other], token => Assert.NotNull(logins.Find(token)));

        // Neither does he with an address for each, as long as all guests together have more than any user.
        for (int i = 0; i < 2 * PageLogins.MostTokens; i++)
        {
            last = logins.Keep("ppt1.c", TokenHolder.Guest($"198.51.100.{i}", $"{i}"));
        }

        Assert.NotNull(logins.Find(last));
        Assert.All(known, token => Assert.NotNull(logins.Find(token)));

        // A user who is known ends a guest's, and his own once he has the most.
        string mine = logins.Keep("ppt1.d", TokenHolder.Known("0"));
        Assert.All(known, token => Assert.NotNull(logins.Find(token)));
        for (int i = 0; i < PageLogins.MostTokens; i++)
        {
            logins.Keep("ppt1.d", TokenHolder.Known("0"));
        }

        Assert.Null(logins.Find(mine));
        Assert.All(known[1..], token => Assert.NotNull(logins.Find(token)));
    }

    [Fact]
    public async Task Whoever_makes_himself_many_keys_where_everyone_may_read_ends_nobody_elses_sign_in()
    {
        using RespClient resp = RespClient.Connect(node.Port);
        using PrivateKey known = PrivateKey.Generate();
        string open = resp.Call("MIMEI", "CREATE", "DB", "MARK", "open to all").Text;
        Assert.Equal("OK", resp.Call("MIMEI", "RIGHT", "SET", open, "EVERYONE", "read").Text);
        try
        {
            Assert.Equal("OK", resp.Call("MIMEI", "RIGHT", "SET", open, "USER", known.PublicKey.Id.ToString(), "read").Text);
            AuthenticationHeaderValue token = await SignInAsync(known, open);
            AuthenticationHeaderValue? first = null;
            for (int i = 0; i < PageLogins.MostTokens; i++)
            {
                using PrivateKey guest = PrivateKey.Generate();
                AuthenticationHeaderValue his = await SignInAsync(guest, open);
                first ??= his;
            }

            string ask = $$"""{"mimei": "{{open}}", "commands": [["PING"]]}""";
            using HttpRequestMessage request = Request(ask, token);
            using HttpResponseMessage response = await _http.SendAsync(request);
            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
            await RefusedAsync(HttpStatusCode.Unauthorized, "this sign-in is over", ask, first);
        }
        finally
        {
            Assert.Equal(1, resp.Call("MIMEI", "RIGHT", "DEL", open, "EVERYONE").Integer);
        }
    }

    /// <summary>Signs in with a key, for a MiMei.</summary>
    private async Task<AuthenticationHeaderValue> SignInAsync(PrivateKey key, string mid)
    {
        long now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        byte[] block = new Passport
        {
            Issuer = key.PublicKey,
            Subject = key.PublicKey,
            Mid = LeitherId.Parse(mid),
            From = now - 60,
            End = now + 3600,
            Rights = PassportRights.Login,
            NeedsProof = true,
        }.Sign(key);
        using JsonDocument asked = await LoginAsync($$"""{"passport": "{{Passport.ToText(block)}}"}""");
        string challenge = asked.RootElement.GetProperty("challenge").GetString()!;
        string answer = Passport.ToText(block, key, Convert.FromHexString(challenge), LeitherId.Parse(asked.RootElement.GetProperty("node").GetString()!));
        using JsonDocument proved = await LoginAsync($$"""{"passport": "{{answer}}", "challenge": "{{challenge}}"}""");
        return new AuthenticationHeaderValue("Bearer", proved.RootElement.GetProperty("token").GetString());
    }

    [Fact]
    public async Task A_request_that_does_not_come_to_its_end_is_ended()
    {
        ManualClock clock = new();
        CommandApi api = new(new LocalClients(null!, static _ => { }), clock);
        DefaultHttpContext context = new();
        context.Request.Method = "POST";
        context.Request.ContentType = "application/json";
        context.Request.Body = new EndlessBody();
        context.Response.Body = new MemoryStream();
        Task answer = api.AnswerAsync(context);
        Assert.False(answer.IsCompleted);
        clock.Advance(TimeSpan.FromMinutes(5));
        await answer;
        Assert.Equal(StatusCodes.Status408RequestTimeout, context.Response.StatusCode);
    }

    /// <summary>A body of which nothing comes.</summary>
    private sealed class EndlessBody : MemoryStream
    {
        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            await Task.Delay(Timeout.Infinite, cancellationToken);
            return 0;
        }
    }

    /// <summary>A clock that a test moves, with its timers.</summary>
    private sealed class ManualClock : TimeProvider
    {
        private readonly List<(DateTimeOffset Due, TimerCallback Work, object? State)> _timers = [];
        private DateTimeOffset _now = DateTimeOffset.UnixEpoch;

        public override DateTimeOffset GetUtcNow() => _now;

        public void Advance(TimeSpan by)
        {
            _now += by;
            foreach ((DateTimeOffset due, TimerCallback work, object? state) in _timers.ToArray())
            {
                if (due <= _now) work(state);
            }

            _timers.RemoveAll(t => t.Due <= _now);
        }

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            if (dueTime != Timeout.InfiniteTimeSpan) _timers.Add((_now + dueTime, callback, state));
            return new Started();
        }

        private sealed class Started : ITimer
        {
            public bool Change(TimeSpan dueTime, TimeSpan period) => true;

            public void Dispose()
            {
            }

            public ValueTask DisposeAsync() => ValueTask.CompletedTask;
        }
    }

    private async Task<JsonDocument> LoginAsync(string body)
    {
        using HttpRequestMessage request = Request(body);
        request.RequestUri = new Uri("/api/login", UriKind.Relative);
        using HttpResponseMessage response = await _http.SendAsync(request);
        string answer = await response.Content.ReadAsStringAsync();
        Assert.True(response.StatusCode == HttpStatusCode.OK, answer);
        return JsonDocument.Parse(answer);
    }

    private async Task<string> LoginErrorAsync(string body)
    {
        using HttpRequestMessage request = Request(body);
        request.RequestUri = new Uri("/api/login", UriKind.Relative);
        using HttpResponseMessage response = await _http.SendAsync(request);
        Assert.Equal(HttpStatusCode.Unauthorized, response.StatusCode);
        using JsonDocument answer = JsonDocument.Parse(await response.Content.ReadAsStringAsync());
        return answer.RootElement.GetProperty("error").GetString()!.Split(' ')[0];
    }

    [Fact]
    public async Task The_log_of_a_MiMei_to_which_nothing_was_written_is_empty()
    {
        using RespClient resp = RespClient.Connect(node.Port);
        string mid = resp.Call("MIMEI", "CREATE", "DB", "MARK", "empty log").Text;
        Assert.Equal("[[]]", await RepliesAsync($$"""{"mimei": "{{mid}}", "commands": [["MIMEI", "LOG"]]}"""));
    }

    [Fact]
    public async Task A_script_without_end_can_be_killed_by_others()
    {
        Task<string> slow = Task.Run(() => RepliesAsync("""{"commands": [["CLIENT", "SETNAME", "doomed"], ["EVAL", "local n = 0; while true do n = n + 1 end", 0]]}""", mayFail: true));
        Wait.Until(() =>
        {
            using RespClient resp = RespClient.Connect(node.Port);
            return resp.Call("SCRIPT", "KILL").Text == "OK";
        });
        Assert.StartsWith("{\"replies\":[\"OK\",{\"error\":\"ERR Script killed", await slow, StringComparison.OrdinalIgnoreCase);
        Assert.Equal("""["PONG"]""", await RepliesAsync("""{"commands": [["PING"]]}"""));
    }

    // ------------------------------------------------------------------ the page's files

    [Fact]
    public async Task The_page_loads_nothing_from_elsewhere_and_runs_nothing_that_is_not_a_file_of_its_own()
    {
        using HttpResponseMessage page = await _http.GetAsync("/");
        string html = await page.Content.ReadAsStringAsync();
        Assert.Equal("text/html; charset=utf-8", page.Content.Headers.ContentType!.ToString());
        string policy = string.Join("; ", page.Headers.GetValues("Content-Security-Policy"));
        foreach (string rule in (string[])["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "require-trusted-types-for 'script'"])
        {
            Assert.Contains(rule, policy, StringComparison.Ordinal);
        }

        Assert.DoesNotContain("unsafe", policy, StringComparison.Ordinal);
        Assert.DoesNotMatch("(?i)<script(?![^>]*src=)|<style|style=|javascript:|\\son[a-z]+=|https?://", html);
        foreach (string path in Paths().Matches(html).Select(static m => "/" + m.Value).Append("/page/api.js").Append("/page/values.js"))
        {
            using HttpResponseMessage file = await _http.GetAsync(path);
            Assert.Equal(HttpStatusCode.OK, file.StatusCode);
            Assert.Equal("nosniff", Assert.Single(file.Headers.GetValues("X-Content-Type-Options")));
            string text = await file.Content.ReadAsStringAsync();
            Assert.DoesNotMatch(@"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|srcdoc|localStorage|document\.cookie", text);
            Assert.DoesNotMatch(@"https?://(?!www\.w3\.org/2000/svg)", text);
        }
    }

    [Fact]
    public async Task A_browser_that_has_the_page_asks_only_whether_it_is_the_same()
    {
        using HttpResponseMessage first = await _http.GetAsync("/page/app.js");
        using HttpRequestMessage again = new(HttpMethod.Get, "/page/app.js");
        again.Headers.IfNoneMatch.Add(first.Headers.ETag!);
        using HttpResponseMessage same = await _http.SendAsync(again);
        Assert.Equal(HttpStatusCode.NotModified, same.StatusCode);
        Assert.Empty(await same.Content.ReadAsByteArrayAsync());
        using HttpRequestMessage compressed = new(HttpMethod.Get, "/page/app.js");
        compressed.Headers.AcceptEncoding.ParseAdd("gzip, br");
        using HttpResponseMessage gzip = await _http.SendAsync(compressed);
        Assert.Equal("gzip", Assert.Single(gzip.Content.Headers.ContentEncoding));
        await using System.IO.Compression.GZipStream opened = new(await gzip.Content.ReadAsStreamAsync(), System.IO.Compression.CompressionMode.Decompress);
        using StreamReader reader = new(opened);
        Assert.Equal(await first.Content.ReadAsStringAsync(), await reader.ReadToEndAsync());
    }

    [Fact]
    public void The_whole_page_is_small() => Assert.InRange(new Http.Page.PageFiles().SentBytes, 10_000, 60_000);

    [Theory]
    [InlineData("/page/")]
    [InlineData("/page/index.html")]
    [InlineData("/page/../page/app.js")]
    [InlineData("/page/%2e%2e/app.js")]
    [InlineData("/page/none.js")]
    public async Task There_are_no_files_but_those(string path)
    {
        using Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { ReceiveTimeout = 30_000 };
        await socket.ConnectAsync(IPAddress.Loopback, node.Port);
        await socket.SendAsync(Encoding.ASCII.GetBytes($"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
        using StreamReader reader = new(new NetworkStream(socket), Encoding.ASCII);
        Assert.StartsWith("HTTP/1.1 404 ", await reader.ReadToEndAsync(), StringComparison.Ordinal);
    }

    // ------------------------------------------------------------------ asking

    private static AuthenticationHeaderValue Basic(string userAndPassword) => new("Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes(userAndPassword)));

    private static HttpRequestMessage Request(string body, AuthenticationHeaderValue? login = null)
    {
        HttpRequestMessage request = new(HttpMethod.Post, "/api/command") { Content = new StringContent(body, Encoding.UTF8, "application/json") };
        request.Headers.Authorization = login;
        return request;
    }

    private async Task<JsonDocument> RunAsync(string body)
    {
        using HttpRequestMessage request = Request(body);
        using HttpResponseMessage response = await _http.SendAsync(request);
        string text = await response.Content.ReadAsStringAsync();
        Assert.True(response.StatusCode == HttpStatusCode.OK, text);
        Assert.Equal("no-store", response.Headers.CacheControl!.ToString());
        return JsonDocument.Parse(text);
    }

    private async Task<string> RepliesAsync(string body, bool mayFail = false)
    {
        if (mayFail)
        {
            using HttpRequestMessage request = Request(body);
            using HttpResponseMessage response = await _http.SendAsync(request);
            return await response.Content.ReadAsStringAsync();
        }

        using JsonDocument answer = await RunAsync(body);
        return answer.RootElement.GetProperty("replies").GetRawText();
    }

    private async Task RefusedAsync(HttpStatusCode status, string why, string body, AuthenticationHeaderValue? login = null)
    {
        using HttpRequestMessage request = Request(body, login);
        using HttpResponseMessage response = await _http.SendAsync(request);
        string text = await response.Content.ReadAsStringAsync();
        Assert.True(response.StatusCode == status, $"{response.StatusCode} {text}");
        using JsonDocument answer = JsonDocument.Parse(text);
        Assert.Contains(why, answer.RootElement.GetProperty("error").GetString()!, StringComparison.Ordinal);
    }

    [GeneratedRegex("(?<=(src|href)=\")[^\"]+")]
    private static partial Regex Paths();
}
