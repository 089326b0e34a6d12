using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Text;
using Leither.MmDb.Passports;
using Leither.TestKit;
using Xunit;

namespace Leither.PageTests;

/// <summary>The page for people, in Debian's Chromium: js/page.js goes through it as they do. Where there is no browser these tests are left out, and say so.</summary>
public sealed class PageTests : IDisposable
{
    private static readonly TimeSpan _patience = TimeSpan.FromMinutes(4);

    private readonly TempDir _folder = new();
    private Process? _node;
    private int _port;

    public void Dispose()
    {
        _node?.Kill();
        _node?.WaitForExit();
        _node?.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public Task The_overview_shows_the_node_as_it_is_while_one_looks() => RunAsync("overview");

    [Fact]
    public Task Keys_are_found_page_by_page_and_values_of_every_type_are_shown() => RunAsync("keys", static client =>
    {
        client.Call("SET", "json", "{\"theme\":\"dark\"}");
        client.Call([.. new[] { "SET", "blob" }.Select(Encoding.ASCII.GetBytes), [0x00, 0x01, 0xff, 0xfe]]);
        client.Call("RPUSH", "queue", "a", "d e");
        client.Call("SADD", "tags", "red", "green");
        client.Call("ZADD", "board", "12", "ann", "7.5", "cid");
        client.Call("XADD", "events", "*", "kind", "click");
        client.Call("XGROUP", "CREATE", "events", "readers", "0");
        client.Call("SET", "session", "1", "EX", "5000");
        client.Call(["RPUSH", "long", .. Enumerable.Range(0, 200).Select(static i => $"item {i}")]);
    });

    [Fact]
    public Task What_is_rare_is_found_what_is_not_seen_is_written_out_and_nothing_cut_is_taken_for_the_whole() => RunAsync("odd", static client =>
    {
        client.Call("EVAL", "for i = 1, 10000 do redis.call('SET', 'filler:' .. i, 'x') end", "0");
        void Set(string key, string value) => client.Call([.. new[] { "SET", key, value }.Select(Encoding.UTF8.GetBytes)]);
        Set("用户:张三", "值");
        Set("new\nline\tkey", "x");
        Set("controls", "a\0b");
        Set("mixed", "one\r\ntwo\nthree");
        client.Call([.. new[] { "HSET", "reversed:h", "a\u202eb", "1" }.Select(Encoding.UTF8.GetBytes)]);
        client.Call("SETRANGE", "large:bytes", "200000", "x");
        client.Call("HSET", "fields", "f", "before");
        client.Call("HEXPIRE", "fields", "5000", "FIELDS", "1", "f");
        client.Call(["HSET", "large:hash", .. Enumerable.Range(0, 3000).SelectMany(static i => new[] { $"f{i:0000}", "1" })]);
        client.Call("MIMEI", "BACKUP");
        client.Call("HSET", "large:hash", "f0007", "2", "f2999", "2");
    });

    [Fact]
    public Task What_is_edited_is_written_and_what_is_deleted_was_asked_about() => RunAsync("editing", static client =>
    {
        client.Call("SET", "edit:s", "one", "EX", "5000");
        client.Call("HSET", "edit:h", "f", "before");
    });

    [Fact]
    public Task What_a_MiMei_of_files_holds_is_browsed_and_its_versions_are_compared() => RunAsync("files", static client =>
    {
        Create("app");
        client.Call("MIMEI", "ADD", "<h1>\nfirst\n</h1>");
        client.Call("MIMEI", "BACKUP");
        client.Call("MIMEI", "ADD", "<h1>\nsecond\n</h1>");
        client.Call("MIMEI", "BACKUP");
        Create("empty");
        Create("folder");
        client.Call("IPFS", "FILES", "WRITE", "/site/docs/a b.txt", "in a folder", "CREATE", "PARENTS");
        client.Call("IPFS", "FILES", "WRITE", "/site/it's.txt", "quoted", "CREATE", "PARENTS");
        string root = client.Call("IPFS", "FILES", "STAT", "/site").Items[1].Text;
        Assert.Equal(root, client.Call("MIMEI", "SETCID", root).Text);

        void Create(string name)
        {
            string mid = client.Call("MIMEI", "CREATE", "FILE", "MARK", name).Text;
            client.Call("MIMEI", "NAME", name, mid);
            client.Call("MIMEI", "OPEN", name);
        }
    });

    [Fact]
    public Task Versions_are_made_compared_browsed_and_brought_back() => RunAsync("versions", static client =>
    {
        client.Call("HSET", "vers:h", "name", "Bob");
        client.Call("SET", "vers:gone", "still here");
    });

    [Fact]
    public Task No_markup_in_data_becomes_part_of_the_page() => RunAsync("markup");

    [Fact]
    public Task Who_is_to_sign_in_does_and_sees_what_the_rights_allow() => RunAsync("login", static client =>
    {
        client.Call("ACL", "SETUSER", "reader", "on", ">r", "~*", "+@read", "+@connection", "+info", "+mimei|id");
        client.Call("ACL", "SETUSER", "some", "on", ">s", "%R~*", "~user:*", "+@read", "+@write", "+@connection", "+info", "+mimei|id");
        client.Call("CONFIG", "SET", "requirepass", "right secret");
    });

    [Fact]
    public async Task A_passport_lets_in()
    {
        await RunAsync(
            "passport",
            client =>
            {
                Assert.Equal(0, Leither("lpki", "genkey", _folder.File("friend.key")));
                Assert.Equal(0, Leither("lpki", "genpk", _folder.File("friend.key"), _folder.File("friend.pub")));
                Assert.Equal(0, Leither("lpki", "signppt", _folder.File("friend.pub"), _folder.File("friend.ppt"), "--data", _folder.File("node"), "-r", "read"));
                client.Call("CONFIG", "SET", "requirepass", "secret");
            },
            () => File.ReadAllText(_folder.File("friend.ppt")).Trim());
    }

    [Fact]
    public async Task A_passport_that_asks_for_a_proof_lets_in_who_proves_it()
    {
        await RunAsync(
            "proof",
            client =>
            {
                Assert.Equal(0, Leither("lpki", "genkey", _folder.File("me.key")));
                Assert.Equal(0, Leither("lpki", "genpk", _folder.File("me.key"), _folder.File("me.pub")));
                Assert.Equal(0, Leither("lpki", "signppt", _folder.File("me.pub"), _folder.File("me.ppt"), "--key", _folder.File("me.key"), "-r", "login", "--proof"));
                string mid = client.Call("MIMEI", "CREATE", "DB", "MARK", "diary").Text;
                Assert.Equal("OK", client.Call("MIMEI", "NAME", "diary", mid).Text);
                Assert.Equal("OK", client.Call("MIMEI", "OPEN", mid).Text);
                Assert.Equal("OK", client.Call("SET", "secret", "between us").Text);
                Assert.True(Passport.TryParse(File.ReadAllText(_folder.File("me.ppt")), out byte[]? block, out _) && Passport.TryRead(block, out Passport? me, out _)
                    && client.Call("MIMEI", "RIGHT", "SET", mid, "USER", me.Subject.Id.ToString(), "read").Text == "OK");
                client.Call("CONFIG", "SET", "requirepass", "secret");
            },
            () => File.ReadAllText(_folder.File("me.ppt")).Trim());
    }

    [Fact]
    public Task A_phone_has_room_for_everything() => RunAsync("phone");

    [Fact]
    public Task Everything_has_a_name_and_is_reached_by_keyboard() => RunAsync("access");

    [Fact]
    public Task It_speaks_Chinese_and_is_dark_where_that_is_wished() => RunAsync("chinese");

    // ------------------------------------------------------------------ how

    private async Task RunAsync(string scenario, Action<RespClient>? prepare = null, Func<string>? passport = null)
    {
        string folder = Path.Combine(SourceFolder(), "js");
        string? chromium = FindProgram("chromium"), node = FindProgram("node");
        if (chromium is null || node is null || !Directory.Exists(Path.Combine(folder, "node_modules", "playwright-core")))
        {
            Notes.Say("The page was not tried in a browser: Chromium, Node or Playwright is missing.");
            return;
        }

        StartNode();
        using (RespClient client = RespClient.Connect(_port))
        {
            client.Call([.. new[] { "SET", "greeting", "hello 世界" }.Select(Encoding.UTF8.GetBytes)]);
            for (int i = 0; i < 140; i++)
            {
                client.Call("HSET", $"user:{i}", "name", $"User {i}", "mail", $"user{i}@example.com");
            }

            client.Call("MIMEI", "BACKUP", "MEMO", "first");
            client.Call("HSET", "user:1", "name", "Ann");
            prepare?.Invoke(client);
        }

        ProcessStartInfo start = new(node, [Path.Combine(folder, "page.js"), $"http://127.0.0.1:{_port}", scenario]) { RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["CHROMIUM"] = chromium;
        start.Environment["PASSPORT"] = passport?.Invoke();
        start.Environment["PASSPORT_FILE"] = _folder.File("me.ppt");
        start.Environment["KEY"] = _folder.File("me.key");
        start.Environment["LEITHER"] = Program;
        using Process browser = Process.Start(start)!;
        Task<string> said = browser.StandardOutput.ReadToEndAsync(), trouble = browser.StandardError.ReadToEndAsync();
        try
        {
            await browser.WaitForExitAsync().WaitAsync(_patience);
        }
        catch (TimeoutException)
        {
            browser.Kill(entireProcessTree: true);
        }

        Assert.True(await said == "done\n", $"{await said}\n{await trouble}");
    }

    private void StartNode()
    {
        _port = Ports.Free();
        _node = Process.Start(new ProcessStartInfo(Program, ["run", "-p", $"{_port}", "--data", _folder.File("node")]) { RedirectStandardOutput = true })!;
        _node.OutputDataReceived += static (_, _) => { };
        _node.BeginOutputReadLine();
        Wait.Until(() =>
        {
            try
            {
                using RespClient client = RespClient.Connect(_port);
                return client.Call("PING").Text == "PONG";
            }
            catch (System.Net.Sockets.SocketException)
            {
                return false;
            }
        });
    }

    private static string Program => Path.Combine(AppContext.BaseDirectory, "leither");

    private static int Leither(params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(Program, arguments) { RedirectStandardOutput = true })!;
        process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode;
    }

    private static string? FindProgram(string name) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator).Select(folder => Path.Combine(folder, name)).FirstOrDefault(File.Exists);

    private static string SourceFolder([CallerFilePath] string file = "") => Path.GetDirectoryName(file)!;
}
