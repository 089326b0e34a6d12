// leither lapp … as a process against a real node: an app from its folder to the browser, with the node's own keys and with passports.

using System.Text.Json;
using Leither.Ipfs.Multiformats;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

public sealed class LappCommandTests(SharedNode node) : IClassFixture<SharedNode>, IDisposable
{
    private readonly TempDir _folder = new("lapp");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void An_app_is_uploaded_kept_released_and_opens_in_a_browser()
    {
        WriteApp("chess", "first");
        LeitherProgram.Result uploaded = Lapp("uploadapp", "-i", F("chess"));
        Assert.Equal(0, uploaded.Code);
        Assert.Matches(@"^mid= \S{27}\ncid= Qm\S{44}  2 files  14 B  [\d.]+ s\n$", uploaded.Output);
        string mid = uploaded.Output[5..32];
        Assert.Contains($"Next: leither lapp backup {mid} --data {node.Folder}\n      leither lapp release {mid} last --data", uploaded.Error, StringComparison.Ordinal);
        Assert.Equal(0, LeitherProgram.Run("mimei", "name", mid, "chess", "--data", node.Folder).Code);

        LeitherProgram.Result kept = Lapp("backup", "chess", "--memo", "it begins");
        Assert.Equal(0, kept.Code);
        Assert.Matches(@"^Version 1 of chess  [\d.]+ s\n$", kept.Output);
        Assert.Contains("leither lapp release chess 1 --data", kept.Error, StringComparison.Ordinal);

        // The same folder's name is the same app.
        WriteApp("chess", "second");
        JsonElement again = Json("uploadapp", "-i", F("chess"));
        Assert.Equal((mid, 2, 15), (again.GetProperty("mid").GetString(), again.GetProperty("files").GetInt32(), again.GetProperty("bytes").GetInt64()));
        Assert.Equal(2, Json("backup", "chess").GetProperty("version").GetInt32());

        LeitherProgram.Result released = Lapp("release", "chess", "1");
        Assert.Equal((0, "The release of chess is version 1\nThe public does not see it yet: everyone must be allowed to read it, which mimei publish does\n"), released.Short);
        Assert.Contains($"Next: leither mimei publish chess --data {node.Folder}\n", released.Error, StringComparison.Ordinal);
        JsonElement one = Json("showapp", "chess");
        Assert.Equal((mid, "chess", "chess", false), (one.GetProperty("mid").GetString(), one.GetProperty("name").GetString(), one.GetProperty("mark").GetString(), one.GetProperty("public").GetBoolean()));
        Assert.Equal((1, 2, 0), (VersionOf(one, "release"), VersionOf(one, "newest"), VersionOf(one, "cur")));
        Assert.Equal(CidOf(one, "newest"), CidOf(one, "cur"));
        Assert.Equal(again.GetProperty("cid").GetString(), CidOf(one, "cur"));
        Assert.NotEqual(CidOf(one, "release"), CidOf(one, "cur"));
        Assert.Equal(["", "it begins"], one.GetProperty("versions").EnumerateArray().Select(static v => v.GetProperty("memo").GetString()));
        Assert.Empty(one.GetProperty("urls").EnumerateArray());

        Assert.Equal(0, LeitherProgram.Run("mimei", "publish", "chess", "--data", node.Folder).Code);
        released = Lapp("release", "chess", "1");
        Assert.Equal((0, "The release of chess is version 1\n"), released.Short);
        Assert.True(Json("release", "chess", "1").GetProperty("public").GetBoolean());
        one = Json("showapp", "chess");
        string url = Assert.Single(one.GetProperty("urls").EnumerateArray()).GetString()!;
        Assert.Equal($"http://{Cid.Parse(CidOf(one, "release")).ToV1()}.ipfs.localhost:{node.Port}/", url);
        Assert.Equal("<p>first</p>", Page(new Uri(url).Host));

        LeitherProgram.Result shown = Lapp("showapp", "chess");
        Assert.Equal(0, shown.Code);
        Assert.Contains($"App mid= {mid}\nName    : chess\n", shown.Output, StringComparison.Ordinal);
        Assert.Contains($"Release : version 1  {CidOf(one, "release")}  ", shown.Output, StringComparison.Ordinal);
        Assert.Contains($"Public  : yes\nDomains : none\nOpens   : {url}\n", shown.Output, StringComparison.Ordinal);
        JsonElement listed = Assert.Single(Json("showapp").GetProperty("apps").EnumerateArray(), a => a.GetProperty("mid").GetString() == mid);
        Assert.Equal((2, 1, CidOf(one, "release"), true), (
            listed.GetProperty("newest").GetInt32(), listed.GetProperty("released").GetInt32(), listed.GetProperty("cid").GetString(), listed.GetProperty("public").GetBoolean()));
        Assert.Matches($@"\nchess +{mid} +chess +2 +1 +\d+ B +yes", Lapp("showapp").Output);

        // Back to the first, and away with the second.
        Assert.Equal((0, "chess is as at version 1\n"), Lapp("restore", "chess", "release").Short);
        Assert.Equal(CidOf(one, "release"), CidOf(Json("showapp", "chess"), "cur"));
        Assert.Equal((0, "Deleted 1 version of chess\n"), Lapp("delvers", "chess", "2").Short);
        Assert.Equal(1, Json("showapp", "chess").GetProperty("versions").GetArrayLength());
        Assert.Equal((0, "chess has no released version: the newest is shown\n"), Lapp("release", "chess", "none").Short);
        Assert.Equal(JsonValueKind.Null, Json("showapp", "chess").GetProperty("release").ValueKind);
    }

    [Fact]
    public void An_app_is_shown_under_the_domains_that_it_is_given()
    {
        WriteApp("shown", "shown");
        WriteApp("other", "other");
        string mid = Json("uploadapp", "-i", F("shown")).GetProperty("mid").GetString()!, other = Json("uploadapp", "-i", F("other")).GetProperty("mid").GetString()!;
        Lapp("backup", mid);
        Lapp("backup", other);
        Assert.Equal((0, $"No domain shows {mid}\n"), Lapp("setdomain", mid).Short);
        LeitherProgram.Result set = Lapp("setdomain", mid, "a.localhost");
        Assert.Equal((0, $"a.localhost shows {mid}  http://a.localhost:{node.Port}/\nThe public does not see it yet: everyone must be allowed to read it, which mimei publish does\n"), set.Short);
        Assert.Contains($"Next: leither mimei publish {mid} --data", set.Error, StringComparison.Ordinal);
        LeitherProgram.Run("mimei", "publish", mid, "--data", node.Folder);
        Assert.Equal("<p>shown</p>", Page("a.localhost"));
        JsonElement two = Json("setdomain", mid, "b.example.org");
        Assert.Equal(["a.localhost", "b.example.org"], two.GetProperty("domains").EnumerateArray().Select(static d => d.GetString()));
        Assert.Equal([$"http://a.localhost:{node.Port}/", $"http://b.example.org:{node.Port}/"], two.GetProperty("urls").EnumerateArray().Select(static d => d.GetString()));
        Assert.Contains($"Domains : a.localhost b.example.org\nOpens   : http://a.localhost:{node.Port}/\nOpens   : http://b.example.org:{node.Port}/\nOpens   : http://b", Lapp("showapp", mid).Output, StringComparison.Ordinal);

        // One that shows another is taken from it, and told; and is not taken away by mistake.
        Assert.StartsWith($"b.example.org shows {other}  (and no longer {mid})  ", Lapp("setdomain", other, "b.example.org").Output, StringComparison.Ordinal);
        LeitherProgram.Result wrong = Lapp("setdomain", mid, "--remove", "b.example.org");
        Assert.Equal(new(1, "", $"b.example.org is no domain of {mid}, but of {other}\n"), wrong);
        Assert.Equal((0, $"a.localhost no longer shows {mid}\n"), Lapp("setdomain", mid, "--remove", "a.localhost").Short);
        Assert.Empty(Json("setdomain", mid).GetProperty("domains").EnumerateArray());
        Assert.Equal(2, Lapp("setdomain", mid, "http://a.localhost/").Code);
        Assert.Equal(2, Lapp("setdomain", mid, "a", "--remove", "b").Code);
        Assert.Equal(2, Lapp("setdomain").Code);
    }

    [Fact]
    public void A_passport_with_the_right_to_write_uploads_into_the_MiMei_that_it_is_for()
    {
        string mid = LeitherProgram.Run("mimei", "create", "-t", "file", "-m", "given", "--json", "--data", node.Folder).Output.Split('"')[3];
        string database = LeitherProgram.Run("mimei", "create", "-m", "given", "--json", "--data", node.Folder).Output.Split('"')[3];
        Assert.Equal(0, Lpki("genkey", F("dev.key")).Code);
        Assert.Equal(0, Lpki("genpk", F("dev.key"), F("dev.pub")).Code);
        Sign("write", mid, "write");
        Sign("proved", mid, "write", "--proof");
        Sign("read", mid, "read");
        Sign("both", mid, "read,write,versions");
        Sign("database", database, "read,write");
        Sign("default", null, "read,write");
        WriteApp("app", "from afar");
        string[] there = ["-n", $"127.0.0.1:{node.Port}"];

        // Nothing else that would open a node is shown to this one.
        Dictionary<string, string> password = new() { ["REDISCLI_AUTH"] = "another node's" };
        LeitherProgram.Result uploaded = LeitherProgram.Run(password, ["lapp", "uploadapp", "-i", F("app"), "-p", F("write.ppt"), .. there]);
        Assert.Equal(0, uploaded.Code);
        Assert.StartsWith($"mid= {mid}\ncid= ", uploaded.Output, StringComparison.Ordinal);
        Assert.Contains($"Next: leither lapp backup {mid} -p {F("write.ppt")} -n 127.0.0.1:{node.Port}\n", uploaded.Error, StringComparison.Ordinal);
        Assert.Equal("<p>from afar</p>", LeitherProgram.Run("mimei", "get", mid, "index.html", "--data", node.Folder).Output);

        WriteApp("app", "proved");
        LeitherProgram.Result unproved = Lapp("uploadapp", "-i", F("app"), "-p", F("proved.ppt"));
        Assert.Equal(2, unproved.Code);
        Assert.Contains("asks for a proof. Name the private key of", unproved.Error, StringComparison.Ordinal);
        Assert.Equal(0, Lapp("uploadapp", "-i", F("app"), mid, "-p", F("proved.ppt"), "-k", F("dev.key")).Code);
        Assert.Equal("<p>proved</p>", LeitherProgram.Run("mimei", "get", mid, "index.html", "--data", node.Folder).Output);

        // What it does not let do is not done.
        LeitherProgram.Result refused = Lapp("uploadapp", "-i", F("app"), "-p", F("read.ppt"));
        Assert.Equal((1, ""), refused.Short);
        Assert.StartsWith("NOPERM", refused.Error, StringComparison.Ordinal);
        Assert.StartsWith("NOPERM", Lapp("backup", "-p", F("write.ppt")).Error, StringComparison.Ordinal);
        Assert.StartsWith("NOPERM", Lapp("uploadapp", "-i", F("app"), database, "-p", F("write.ppt")).Error, StringComparison.Ordinal);
        LeitherProgram.Result wrong = Lapp("uploadapp", "-i", F("app"), "-p", F("database.ppt"));
        Assert.Equal(1, wrong.Code);
        Assert.Contains("holds a database", wrong.Error, StringComparison.Ordinal);
        Assert.Equal(2, Lapp("uploadapp", "-i", F("app"), "-p", F("default.ppt")).Code);
        Assert.Equal(2, Lapp("uploadapp", "-i", F("app"), "-m", "new", "-p", F("write.ppt")).Code);
        Assert.Equal(new(1, "", $"{F("dev.pub")} is no passport\n"), Lapp("uploadapp", "-i", F("app"), "-p", F("dev.pub")));
        Assert.Equal(new(1, "", $"{F("none.ppt")} cannot be read: there is no such file\n"), Lapp("uploadapp", "-i", F("app"), "-p", F("none.ppt")));
        Assert.Equal(1, Json("backup", "-p", F("both.ppt")).GetProperty("version").GetInt32());

        Assert.Equal(0, LeitherProgram.Run("--data", node.Folder, "PASSPORT", "REVOKE", File.ReadAllText(F("write.ppt")).Trim()).Code);
        Assert.Equal(new(1, "", "The passport was revoked\n"), Lapp("uploadapp", "-i", F("app"), "-p", F("write.ppt")));
    }

    [Fact]
    public void Who_says_who_he_is_does_what_the_MiMei_lets_him()
    {
        WriteApp("group", "one");
        string mid = Json("uploadapp", "-i", F("group")).GetProperty("mid").GetString()!;
        Assert.Equal(0, Lpki("genkey", F("me.key")).Code);
        string id = JsonDocument.Parse(Lpki("genpk", F("me.key"), F("me.pub"), "--json").Output).RootElement.GetProperty("id").GetString()!;
        Assert.Equal(0, Lpki("signppt", F("me.pub"), F("me.ppt"), "-k", F("me.key"), "-r", "login", "--proof").Code);
        Assert.Equal(0, LeitherProgram.Run("mimei", "right", "set", mid, "user", id, "read", "write", "backup", "publish", "--data", node.Folder).Code);
        string[] me = ["-p", F("me.ppt"), "-k", F("me.key"), "-n", $"127.0.0.1:{node.Port}"];
        WriteApp("group", "two");
        Assert.Equal(2, Lapp(["uploadapp", "-i", F("group"), .. me]).Code);
        Assert.Equal(0, Lapp(["uploadapp", "-i", F("group"), mid, .. me]).Code);
        Assert.Equal(0, Lapp(["backup", mid, .. me]).Code);
        LeitherProgram.Result released = Lapp(["release", mid, "last", .. me]);
        Assert.Equal(0, released.Code);
        Assert.Contains($"Next: leither mimei publish {mid}      (its owner, on the node)\n", released.Error, StringComparison.Ordinal);
        JsonElement shown = JsonDocument.Parse(Lapp(["showapp", mid, "--json", .. me]).Output).RootElement;
        Assert.Equal((1, JsonValueKind.Null), (VersionOf(shown, "release"), shown.GetProperty("domains").ValueKind));
        Assert.Single(JsonDocument.Parse(Lapp(["showapp", "--json", .. me]).Output).RootElement.GetProperty("apps").EnumerateArray(), a => a.GetProperty("mid").GetString() == mid);
        Assert.StartsWith("NOPERM", Lapp(["setdomain", mid, "c.localhost", .. me]).Error, StringComparison.Ordinal);
        Assert.Equal(0, Lapp(["restore", mid, "1", .. me]).Code);
        Assert.Equal(0, Lapp(["release", mid, "none", .. me]).Code);
    }

    [Fact]
    public void An_app_that_holds_nothing_yet_is_shown_so()
    {
        Assert.Equal(0, LeitherProgram.Run("mimei", "create", "-t", "file", "-m", "nothing", "-n", "nothing", "--data", node.Folder).Code);
        Assert.Contains("Holds   : nothing\nRelease : none\nPublic  : no\n", Lapp("showapp", "nothing").Output, StringComparison.Ordinal);
        Assert.Contains("leither lapp uploadapp -i DIR nothing --data", Lapp("showapp", "nothing").Error, StringComparison.Ordinal);
        Assert.Equal(JsonValueKind.Null, Json("showapp", "nothing").GetProperty("cur").ValueKind);
        Lapp("backup", "nothing");
        Lapp("release", "nothing", "1");
        LeitherProgram.Run("mimei", "publish", "nothing", "--data", node.Folder);
        Assert.Equal((1, ""), (VersionOf(Json("showapp", "nothing"), "release"), CidOf(Json("showapp", "nothing"), "release")));
        Assert.Contains("Release : version 1  nothing\nPublic  : yes\nDomains : none\nVersion", Lapp("showapp", "nothing").Output, StringComparison.Ordinal);
        Assert.Matches(@"\nnothing +\S{27} +nothing +1 +1 +- +yes", Lapp("showapp").Output);
    }

    [Fact]
    public void A_folder_that_is_no_app_and_a_command_line_that_says_nothing_are_told()
    {
        Directory.CreateDirectory(F("empty"));
        File.WriteAllText(F("file"), "");
        LeitherProgram.Result without = Lapp("uploadapp", "-i", F("empty"));
        Assert.Equal(new(1, "", $"{F("empty")} holds no index.html, which is what a browser opens first\nWhere it needs none: --no-index\n"), without);
        Assert.Equal(0, Lapp("uploadapp", "-i", F("empty"), "--no-index").Code);
        Assert.Equal(new(1, "", $"{F("none")} cannot be read: there is no such file\n"), Lapp("uploadapp", "-i", F("none")));
        Assert.Equal(new(1, "", $"{F("file")} is a file; an app is a folder with an index.html in it\n"), Lapp("uploadapp", "-i", F("file")));
        Assert.Equal($"{F("none")} cannot be read: there is no such file", JsonDocument.Parse(Lapp("uploadapp", "-i", F("none"), "--json").Output).RootElement.GetProperty("error").GetString());
        foreach (string[] words in (string[][])[
            ["uploadapp"], ["uploadapp", "-i", F("empty"), "a", "b"], ["uploadapp", "-i", F("empty"), "a", "-m", "b"], ["uploadapp", "-i", F("empty"), "-k", F("file")],
            ["uploadapp", "-i", F("empty"), "-n", "here:1", "--port", "1"], ["uploadapp", "-n", "not a host"], ["showapp", "-p", "4800"], ["backup"], ["release"], ["release", "1"], ["restore", "1"], ["delvers", "1"], ["delvers", "a"],
            ["showapp", "a", "b"]])
        {
            LeitherProgram.Result misused = Lapp(words);
            Assert.True(misused.Code == 2, $"{string.Join(' ', words)}: {misused.Code} {misused.Error}");
        }

        LeitherProgram.Result database = Lapp("backup", "default");
        Assert.Equal(1, database.Code);
        Assert.StartsWith("default is a database and no app: those are MiMei of files\n", database.Error, StringComparison.Ordinal);
        Assert.Equal(1, Lapp("showapp", "none").Code);
        Assert.Equal(new(1, "", "No node answers at 127.0.0.1:1\n"), LeitherProgram.Run("lapp", "showapp", "-n", "127.0.0.1:1"));
        foreach (string verb in (string[])["uploadapp", "backup", "release", "restore", "delvers", "showapp", "setdomain"])
        {
            LeitherProgram.Result help = LeitherProgram.Run("lapp", verb, "--help");
            Assert.Equal(0, help.Code);
            Assert.Contains("-p, --ppt FILE", help.Output, StringComparison.Ordinal);
            Assert.Contains($"Examples:\n  leither lapp {verb}", help.Output, StringComparison.Ordinal);
        }
    }

    private static int VersionOf(JsonElement app, string which) => app.GetProperty(which).GetProperty("version").GetInt32();

    private static string CidOf(JsonElement app, string which) => app.GetProperty(which).GetProperty("cid").GetString()!;

    /// <summary>What a browser gets that opens a host's first page.</summary>
    private string Page(string host)
    {
        using HttpClient http = new() { BaseAddress = new Uri($"http://127.0.0.1:{node.Port}") };
        using HttpRequestMessage request = new(HttpMethod.Get, "/") { Headers = { Host = $"{host}:{node.Port}" } };
        using HttpResponseMessage response = http.Send(request);
        using StreamReader page = new(response.Content.ReadAsStream());
        return page.ReadToEnd();
    }

    private void WriteApp(string name, string text)
    {
        Directory.CreateDirectory(F($"{name}/js"));
        File.WriteAllText(F($"{name}/index.html"), $"<p>{text}</p>");
        File.WriteAllText(F($"{name}/js/app.js"), "go");
        File.WriteAllText(F($"{name}/.secret"), "not for others");
    }

    private void Sign(string name, string? mid, string rights, params string[] more) =>
        Assert.Equal(0, Lpki(["signppt", F("dev.pub"), F($"{name}.ppt"), "--data", node.Folder, "-r", rights, .. mid is null ? [] : (string[])["-m", mid], .. more]).Code);

    private string F(string name) => _folder.File(name);

    private static LeitherProgram.Result Lpki(params string[] words) => LeitherProgram.Run(["lpki", .. words]);

    private LeitherProgram.Result Lapp(params string[] words) => LeitherProgram.Run(["lapp", .. words, .. words.Contains("-n") ? [] : (string[])["--data", node.Folder]]);

    private JsonElement Json(params string[] words)
    {
        LeitherProgram.Result result = Lapp([.. words, "--json"]);
        Assert.True(result.Code == 0, result.Output + result.Error);
        return JsonDocument.Parse(result.Output).RootElement;
    }
}
