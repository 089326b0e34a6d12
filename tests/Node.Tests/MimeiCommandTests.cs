// leither mimei … as a process against real nodes: what people read, what programs read, and what is said where something is wrong.

using System.Text.Json;
using System.Text.RegularExpressions;
using Leither.Ipfs.Keys;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

public sealed class MimeiCommandTests
{
    [Fact]
    public void Create_makes_one_prints_its_id_and_says_what_comes_next()
    {
        using LeitherServer server = LeitherServer.StartNew();
        (int code, string output, string error) = Mimei(server, "create", "-m", "diary", "-a", "app", "-e", "ext", "--right", "7276704", "-n", "diary");
        Assert.Equal(0, code);
        string mid = Regex.Match(output, @"^mid= (\S{27})\n$").Groups[1].Value;
        Assert.True(LeitherId.TryParse(mid, out _));
        Assert.Contains($"Next: redis-cli -p {server.Port} --user default@diary --pass ''\n", error, StringComparison.Ordinal);
        Assert.Contains($"leither mimei show diary --data {server.DataDir}\n", error, StringComparison.Ordinal);

        JsonElement again = Json(server, "create", "-t", "db", "-m", "diary", "-a", "app", "-e", "ext");
        Assert.Equal((mid, "diary"), (again.GetProperty("mid").GetString(), again.GetProperty("name").GetString()));
        Assert.NotEqual(Json(server, "create", "-m", "{{auto}}").GetProperty("mid").GetString(), Json(server, "create", "-m", "{{auto}}").GetProperty("mid").GetString());

        (code, output, error) = Mimei(server, "create", "-t", "table");
        Assert.Equal((2, ""), (code, output));
        Assert.StartsWith("A MiMei is of type db or file, not 'table'.\nUsage: leither mimei create", error, StringComparison.Ordinal);
        (code, _, error) = Mimei(server, "create", "-m", "other", "-n", "diary");
        Assert.Equal(1, code);
        Assert.Contains($"is made, but has no name: The name 'diary' is that of MiMei {mid}", error, StringComparison.Ordinal);
    }

    [Fact]
    public void List_and_name_show_and_change_what_the_MiMei_of_a_node_are_called()
    {
        using LeitherServer server = LeitherServer.StartNew();
        Call(server, "SET", "a", "1");
        string mid = Json(server, "create", "-m", "x").GetProperty("mid").GetString()!;
        Assert.Equal((0, $"{mid} is called one.two\n"), Mimei(server, "name", mid, "one.two").Short);
        string[] lines = Mimei(server, "list").Output.Split('\n');
        Assert.Matches(@"^Name +MiMei +Loaded +Keys +Disk", lines[0]);
        Assert.Matches(@"^default +\S{27} +yes +1 +[\d.]+ k?M?B", lines[1]);
        Assert.Matches($@"^one\.two +{mid} +(yes|no) +0 +", lines[2]);

        JsonElement[] all = [.. Json(server, "list").GetProperty("mimeis").EnumerateArray()];
        Assert.Equal(["default", "one.two"], all.Select(static m => m.GetProperty("name").GetString()));
        Assert.Equal(mid, all[1].GetProperty("mid").GetString());
        Assert.Equal((1, true), (all[0].GetProperty("keys").GetInt32(), all[0].GetProperty("open").GetBoolean()));
        Assert.True(all[0].GetProperty("disk").GetInt64() > 0);

        JsonElement named = Json(server, "name", "--remove", "one.two");
        Assert.Equal((mid, ""), (named.GetProperty("mid").GetString(), named.GetProperty("name").GetString()));
        Assert.Equal(1, Mimei(server, "show", "one.two").Code);
        Assert.Equal(2, Mimei(server, "name", "one.two").Code);
        Assert.Contains("A name has up to 64 letters", Mimei(server, "name", mid, "no spaces").Error, StringComparison.Ordinal);
    }

    [Fact]
    public void Show_has_all_facts_and_takes_the_default_MiMei_where_none_is_named()
    {
        using LeitherServer server = LeitherServer.StartNew();
        Call(server, "SET", "a", "1");
        (int code, string output, string error) = Mimei(server, "show");
        Assert.Equal(0, code);
        Assert.Contains("Next: leither mimei backup --data", error, StringComparison.Ordinal);
        string[] facts = ["MiMeiShow mid= ", "Name    : default", "Type    : db", "Author  : ", "AppType : ", "Ext     : ", "Mark    : ", "Create  : 2", "Right   : 0", "Keys    : 1",
            "Clients : ", "Memory  : ", "Disk    : ", "Write   : yes", "from local      no version yet", "from net        not asked: it is not published", "position        1:1", "conflict        no conflict", "compare version only this node has it"];
        string[] lines = output.TrimEnd('\n').Split('\n');
        Assert.Equal(facts.Length, lines.Length);
        Assert.All(facts.Zip(lines), static pair => Assert.StartsWith(pair.First, pair.Second, StringComparison.Ordinal));

        Mimei(server, "backup");
        string cid = Json(server, "backup").GetProperty("cid").GetString()!;
        Assert.Contains($"from local      2  {cid}   last 2\n", Mimei(server, "show", "default").Output, StringComparison.Ordinal);
        JsonElement shown = Json(server, "show");
        Assert.Equal(lines[0]["MiMeiShow mid= ".Length..], shown.GetProperty("mid").GetString());
        Assert.Equal(("default", "db", 1, JsonValueKind.Null), (
            shown.GetProperty("name").GetString(), shown.GetProperty("type").GetString(), shown.GetProperty("keys").GetInt32(), shown.GetProperty("net").ValueKind));
        Assert.True(LeitherId.TryParse(shown.GetProperty("author").GetString()!, out _));
        Assert.Equal((2, 2, 0, cid), (
            shown.GetProperty("local").GetProperty("versions").GetInt32(), shown.GetProperty("local").GetProperty("last").GetInt32(),
            shown.GetProperty("local").GetProperty("release").GetInt32(), shown.GetProperty("local").GetProperty("cid").GetString()));
    }

    [Fact]
    public void Backup_makes_versions_that_versions_lists_and_any_client_can_open()
    {
        using LeitherServer server = LeitherServer.StartNew();
        Assert.Equal((0, "No version yet\n"), Mimei(server, "versions").Short);
        Assert.Equal(0, Json(server, "versions").GetProperty("versions").GetArrayLength());
        Call(server, "SET", "greeting", "hello");
        (int code, string output, string error) = Mimei(server, "backup", "--memo", "@first, 第一");
        Assert.Equal(0, code);
        Assert.Matches(@"^Version 1 of default  b[a-z2-7]{50,}  [\d.]+ s\n$", output);
        Assert.StartsWith($"Next: redis-cli -p {server.Port} --user default@default/1 --pass ''\n      leither mimei diff 1 cur --data ", error, StringComparison.Ordinal);
        Call(server, "SET", "greeting", "goodbye");
        JsonElement made = Json(server, "backup", "default");
        Assert.Equal((2, "", false), (made.GetProperty("version").GetInt32(), made.GetProperty("memo").GetString(), made.GetProperty("released").GetBoolean()));

        string[] lines = Mimei(server, "versions").Output.Split('\n');
        Assert.Matches(@"^Version +Made +Released +CID +Memo", lines[0]);
        Assert.Matches($@"^ +2 +20\d\d-\S+ \S+ +{made.GetProperty("cid").GetString()}", lines[1]);
        Assert.Matches(@"^ +1 +20\d\d-\S+ \S+ +b\S+ +@first, 第一", lines[2]);
        JsonElement[] versions = [.. Json(server, "versions", "default").GetProperty("versions").EnumerateArray()];
        Assert.Equal([2, 1], versions.Select(static v => v.GetProperty("version").GetInt32()));
        Assert.Equal("@first, 第一", versions[1].GetProperty("memo").GetString());
        Assert.Equal(made.GetProperty("cid").GetString(), versions[0].GetProperty("cid").GetString());
        Assert.Equal(made.GetProperty("created").GetString(), versions[0].GetProperty("created").GetString());

        using RespClient old = server.Connect();
        Assert.Equal("OK", old.Call("AUTH", "default@default/1", "").Text);
        Assert.Equal("hello", old.Call("GET", "greeting").Text);
    }

    [Fact]
    public void Diff_lists_what_differs_and_restore_brings_it_back()
    {
        using LeitherServer server = LeitherServer.StartNew();
        Call(server, "MSET", "same", "1", "changed", "1", "removed", "1");
        Mimei(server, "backup");
        Call(server, "SET", "changed", "2");
        Call(server, "DEL", "removed");
        using (RespClient client = server.Connect())
        {
            client.Call(["SADD"u8.ToArray(), "added 键"u8.ToArray(), "1"u8.ToArray()]);
            client.Call("SELECT", "3");
            client.Call(["SET"u8.ToArray(), [0xff, 0x0a], "1"u8.ToArray()]);
        }

        Mimei(server, "backup");
        (int code, string output, string error) = Mimei(server, "diff", "1", "2");
        Assert.Equal(0, code);
        string[] lines = output.TrimEnd('\n').Split('\n');
        Assert.Equal("Change   Type    Db  Key", lines[0]);
        Assert.Equal(
            ["added    set      0  added 键", "added    string   3  \"\\xff\\n\"", "changed  string   0  changed", "removed  string   0  removed"],
            lines[1..^1].Order(StringComparer.Ordinal));
        Assert.Equal("2 added, 1 removed, 1 changed", lines[^1]);
        Assert.Contains("leither mimei restore 1 --data", error, StringComparison.Ordinal);
        Assert.Equal((0, "No difference\n"), Mimei(server, "diff", "last", "cur").Short);
        Assert.EndsWith("0 added, 1 removed, 0 changed\n", Mimei(server, "diff", "default", "1", "2", "--match", "rem*").Output, StringComparison.Ordinal);

        JsonElement diff = Json(server, "diff", "1", "2");
        Assert.Equal((2, 1, 1), (diff.GetProperty("added").GetInt32(), diff.GetProperty("removed").GetInt32(), diff.GetProperty("changed").GetInt32()));
        JsonElement[] changes = [.. diff.GetProperty("changes").EnumerateArray()];
        Assert.Equal("set", changes.Single(static c => c.TryGetProperty("key", out JsonElement key) && key.GetString() == "added 键").GetProperty("type").GetString());
        JsonElement binary = changes.Single(static c => c.TryGetProperty("key_base64", out _));
        Assert.Equal(("/wo=", 3), (binary.GetProperty("key_base64").GetString(), binary.GetProperty("database").GetInt32()));

        Assert.Equal((0, "default is as at version 1\n"), Mimei(server, "restore", "1").Short);
        Assert.Equal((0, "No difference\n"), Mimei(server, "diff", "1", "cur").Short);
        Assert.Equal(2, Json(server, "restore", "default", "last").GetProperty("version").GetInt32());
        Assert.Equal((0, "No difference\n"), Mimei(server, "diff", "2", "cur").Short);
    }

    [Fact]
    public void A_diff_of_many_keys_is_read_page_by_page()
    {
        const int Count = 2500;
        using LeitherServer server = LeitherServer.StartNew();
        Mimei(server, "backup");
        using (RespClient client = server.Connect())
        {
            for (int i = 0; i < Count; i++)
            {
                client.Queue("SET", $"key{i}", "1");
            }

            client.Flush();
            for (int i = 0; i < Count; i++)
            {
                client.Read();
            }
        }

        JsonElement diff = Json(server, "diff", "1", "cur");
        Assert.Equal(Count, diff.GetProperty("added").GetInt32());
        Assert.Equal(Count, diff.GetProperty("changes").EnumerateArray().Select(static c => c.GetProperty("key").GetString()).Distinct().Count());
    }

    [Fact]
    public void Log_lists_the_entries_of_the_log()
    {
        using LeitherServer server = LeitherServer.StartNew();
        Call(server, "SET", "a", "1");
        Call(server, "MSET", "b", "1", "c", "1", "d", "1", "e", "1");
        string[] lines = Mimei(server, "log").Output.TrimEnd('\n').Split('\n');
        Assert.Matches("^Entry +Time +Bytes +Effects", lines[0]);
        Assert.Matches(@"^ +\d+ +20\S+ \S+ +\d+ +string-set b, string-set c, string-set d and 1 more", lines[^1]);
        JsonElement[] entries = [.. Json(server, "log", "default", "--count", "2").GetProperty("entries").EnumerateArray()];
        Assert.Equal([1, 4], entries.Select(static e => e.GetProperty("effects").GetArrayLength()));
        JsonElement effect = entries[0].GetProperty("effects")[0];
        Assert.Equal(("string-set", 0, "a"), (effect.GetProperty("effect").GetString(), effect.GetProperty("database").GetInt32(), effect.GetProperty("key").GetString()));
        long first = entries[0].GetProperty("sequence").GetInt64();
        JsonElement[] from = [.. Json(server, "log", "--from", $"{first}", "--count", "1").GetProperty("entries").EnumerateArray()];
        Assert.Equal(first, Assert.Single(from).GetProperty("sequence").GetInt64());
        (int code, _, string error) = Mimei(server, "log", "--count", "many");
        Assert.Equal(2, code);
        Assert.StartsWith("--count takes a number from 1 on, not 'many'\n", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Fork_makes_a_MiMei_of_a_version()
    {
        using LeitherServer server = LeitherServer.StartNew();
        Call(server, "SET", "a", "1");
        Mimei(server, "backup");
        Call(server, "SET", "a", "2");
        string old = Regex.Match(Mimei(server, "fork", "1", "-n", "old").Output, @"^mid= (\S{27})\n$").Groups[1].Value;
        JsonElement now = Json(server, "fork", "default");
        Assert.Equal("cur", now.GetProperty("version").GetString());
        foreach ((string place, string expected) in ((string, string)[])[("old", "1"), (old, "1"), (now.GetProperty("mid").GetString()!, "2")])
        {
            using RespClient client = server.Connect();
            Assert.Equal("OK", client.Call("MIMEI", "OPEN", place).Text);
            Assert.Equal(expected, client.Call("GET", "a").Text);
        }
    }

    [Fact]
    public void Release_names_a_version_and_delvers_deletes_some()
    {
        using LeitherServer server = LeitherServer.StartNew();
        for (int i = 1; i <= 4; i++)
        {
            Call(server, "SET", "n", $"{i}");
            Mimei(server, "backup");
        }

        (int code, string output, string error) = Mimei(server, "release", "2");
        Assert.Equal((0, "The release of default is version 2\n"), (code, output));
        Assert.Contains("--user default@default/release", error, StringComparison.Ordinal);
        Assert.Equal(2, Json(server, "show").GetProperty("local").GetProperty("release").GetInt32());
        Assert.Equal(4, Json(server, "release", "default", "last").GetProperty("release").GetInt32());
        Assert.Matches(@"\n +3 +\S+ \S+ +b", Mimei(server, "versions").Output);
        Assert.Matches(@"^[^\n]+\n +4 +\S+ \S+ +release +b", Mimei(server, "versions").Output);
        Assert.Equal((0, "default has no released version\n"), Mimei(server, "release", "none").Short);
        Assert.Equal((0, "Deleted 2 versions of default\n"), Mimei(server, "delvers", "1", "3").Short);
        Assert.Equal(1, Json(server, "delvers", "default", "2").GetProperty("deleted").GetInt32());
        Assert.Equal([4], Json(server, "versions").GetProperty("versions").EnumerateArray().Select(static v => v.GetProperty("version").GetInt32()));
        Assert.Equal(1, Mimei(server, "release", "9").Code);
        Assert.Equal(2, Mimei(server, "delvers", "default").Code);
    }

    [Fact]
    public void Check_verifies_all_and_export_writes_a_file()
    {
        using LeitherServer server = LeitherServer.StartNew();
        Call(server, "SET", "a", "1");
        Mimei(server, "backup");
        Call(server, "SET", "a", "2");
        Mimei(server, "backup");
        (int code, string output, _) = Mimei(server, "check");
        Assert.Equal(0, code);
        Assert.Matches(@"^2 versions, \d+ blocks, [\d.]+ k?B; 2 log segments \(0 trimmed\) in [\d.]+ s\nNo problem\n$", output);
        JsonElement check = Json(server, "check", "default", "--purge");
        Assert.Equal((2, 0), (check.GetProperty("versions").GetInt32(), check.GetProperty("problems").GetArrayLength()));
        Assert.True(check.TryGetProperty("freed", out _));

        string file = Path.Combine(server.DataDir, "all.car");
        Assert.StartsWith($"{file}: 2 versions, ", Mimei(server, "export", file).Output, StringComparison.Ordinal);
        Assert.True(File.Exists(file));
        string one = Path.Combine(server.DataDir, "one.car");
        JsonElement made = Json(server, "export", "default", one, "1");
        Assert.Equal((1, one), (made.GetProperty("versions").GetInt32(), made.GetProperty("file").GetString()));
        Assert.Equal(1, Mimei(server, "export", one, "9").Code);
    }

    [Fact]
    public void Import_brings_a_MiMei_to_another_node_where_it_can_be_read_and_forked()
    {
        using LeitherServer author = LeitherServer.StartNew(), other = LeitherServer.StartNew();
        Call(author, "SET", "a", "1");
        Mimei(author, "backup");
        string file = Path.Combine(author.DataDir, "all.car");
        Assert.Contains("1 version, ", Mimei(author, "export", file).Output, StringComparison.Ordinal);
        Call(author, "SET", "a", "2");
        Mimei(author, "backup");
        string newer = Path.Combine(author.DataDir, "newer.car");
        Mimei(author, "export", newer);

        string mid = Json(author, "show").GetProperty("mid").GetString()!;
        (int code, string output, string error) = Mimei(other, "import", file, "-n", "theirs");
        Assert.Equal(0, code);
        Assert.Matches($@"^mid= {mid}\n1 version added, \d+ blocks, [\d.]+ k?B in [\d.]+ s\nIts author's key is not on this node", output);
        Assert.Contains("leither mimei fork theirs -n NAME --data", error, StringComparison.Ordinal);
        JsonElement again = Json(other, "import", newer);
        Assert.Equal((mid, "theirs", false, false, 2, 1, 1, 0), (
            again.GetProperty("mid").GetString(), again.GetProperty("name").GetString(), again.GetProperty("new").GetBoolean(), again.GetProperty("writable").GetBoolean(),
            again.GetProperty("newest").GetInt32(), again.GetProperty("added").GetInt32(), again.GetProperty("present").GetInt32(), again.GetProperty("leftout").GetInt32()));
        using (RespClient client = other.Connect())
        {
            Assert.Equal("OK", client.Call("MIMEI", "OPEN", "theirs").Text);
            Assert.Equal("2", client.Call("GET", "a").Text);
            Assert.StartsWith("READONLY", client.Call("SET", "a", "3").Text, StringComparison.Ordinal);
        }

        other.Kill();
        Directory.CreateDirectory(Path.Combine(other.DataDir, "mimei", "draft-0123", "blocks"));
        other.Start();
        Assert.False(Directory.Exists(Path.Combine(other.DataDir, "mimei", "draft-0123")));
        Assert.Equal((0, "No difference\n"), Mimei(other, "diff", "theirs", "2", "cur").Short);
        Assert.Equal(1, Mimei(other, "import", Path.Combine(author.DataDir, "none.car")).Code);
        Assert.Equal(2, Mimei(other, "import", file, "one").Code);
        Assert.Equal(2, Json(author, "import", newer).GetProperty("present").GetInt32());
    }

    [Fact]
    public void What_is_proposed_after_looking_at_a_copys_versions_works_on_a_copy()
    {
        using LeitherServer author = LeitherServer.StartNew(), other = LeitherServer.StartNew();
        Call(author, "SET", "a", "1");
        Mimei(author, "backup");
        Call(author, "SET", "a", "2");
        Mimei(author, "backup");
        string file = Path.Combine(author.DataDir, "all.car");
        Mimei(author, "export", file);
        Assert.Contains("leither mimei restore 2 --data", Mimei(author, "versions").Error, StringComparison.Ordinal);
        Assert.Contains("leither mimei restore 1 --data", Mimei(author, "diff", "1", "2").Error, StringComparison.Ordinal);

        Mimei(other, "import", file, "-n", "theirs");
        foreach ((string[] words, string version) in ((string[], string)[])[(["versions", "theirs"], "2"), (["diff", "theirs", "1", "2"], "1")])
        {
            (int code, _, string error) = Mimei(other, words);
            Assert.Equal(0, code);
            Assert.DoesNotContain("restore", error, StringComparison.Ordinal);
            Assert.Contains($"leither mimei fork theirs {version} -n NAME --data", error, StringComparison.Ordinal);
            Assert.Equal(0, Mimei(other, "fork", "theirs", version, "-n", "mine" + version).Code);
        }

        using RespClient client = other.Connect();
        Assert.Equal("OK", client.Call("MIMEI", "OPEN", "mine1").Text);
        Assert.Equal("1", client.Call("GET", "a").Text);
        Assert.Equal("OK", client.Call("SET", "a", "3").Text);
    }

    [Fact]
    public void Import_brings_back_blocks_that_were_damaged()
    {
        using LeitherServer author = LeitherServer.StartNew(), other = LeitherServer.StartNew();
        Call(author, "SET", "a", "1");
        Mimei(author, "backup");
        string file = Path.Combine(author.DataDir, "all.car");
        Mimei(author, "export", file);
        string mid = Json(other, "import", file, "-n", "theirs").GetProperty("mid").GetString()!;
        other.Stop();
        string pack = Directory.EnumerateFiles(Path.Combine(other.DataDir, "mimei", LeitherId.Parse(mid).ToBase32(), "blocks")).MaxBy(static f => new FileInfo(f).Length)!;
        byte[] bytes = File.ReadAllBytes(pack);
        for (int i = 100; i < bytes.Length; i += 10)
        {
            bytes[i] ^= 1;
        }

        File.WriteAllBytes(pack, bytes);
        other.Start();
        using RespClient client = other.Connect();
        Assert.Equal("OK", client.Call("MIMEI", "OPEN", "theirs").Text);
        Assert.Contains("can be read: ", client.Call("GET", "a").Text, StringComparison.Ordinal);
        Assert.Contains("MIMEI IMPORT from an export brings blocks back", client.Call("MIMEI", "FORK").Text, StringComparison.Ordinal);
        Assert.Equal(0, Mimei(other, "import", file).Code);
        Assert.Equal("1", client.Call("GET", "a").Text);
        Assert.Equal(0, Mimei(other, "check", "theirs").Code);
    }

    [Fact]
    public void A_lost_MiMei_comes_back_with_its_versions_and_goes_on_where_its_authors_key_is()
    {
        using LeitherServer server = LeitherServer.StartNew();
        string mid = Json(server, "create", "-m", "diary", "-n", "diary").GetProperty("mid").GetString()!;
        using (RespClient client = server.Connect())
        {
            client.Call("MIMEI", "OPEN", "diary");
            client.Call("SET", "a", "1");
            client.Call("SET", "short", "1", "PX", "1");
        }

        Mimei(server, "backup", "diary");
        string file = Path.Combine(server.DataDir, "diary.car");
        Mimei(server, "export", "diary", file);
        server.Stop();
        Directory.Delete(Path.Combine(server.DataDir, "mimei", LeitherId.Parse(mid).ToBase32()), recursive: true);
        server.Start();
        Assert.StartsWith($"mid= {mid}\n1 version added", Mimei(server, "import", file).Output, StringComparison.Ordinal);
        using (RespClient client = server.Connect())
        {
            Assert.Equal("OK", client.Call("MIMEI", "OPEN", "diary").Text);
            Assert.Equal("1", client.Call("GET", "a").Text);
            client.Call("SET", "a", "2");
        }

        Assert.Equal(2, Json(server, "backup", "diary").GetProperty("version").GetInt32());
        server.Kill();
        server.Start();
        Assert.Contains("0 added", Mimei(server, "diff", "diary", "1", "cur").Output, StringComparison.Ordinal);
        Assert.Equal((0, "No difference\n"), Mimei(server, "diff", "diary", "2", "cur").Short);
        Assert.Contains("No problem", Mimei(server, "check", "diary").Output, StringComparison.Ordinal);
    }

    [Fact]
    public void Ref_keeps_what_a_MiMei_refers_to_also_over_a_start()
    {
        using LeitherServer server = LeitherServer.StartNew();
        Mimei(server, "create", "-m", "photos", "-n", "photos");
        string diary = Json(server, "create", "-m", "diary", "-n", "diary").GetProperty("mid").GetString()!;
        string photos = Json(server, "show", "photos").GetProperty("mid").GetString()!;
        for (int i = 0; i < 3; i++)
        {
            Mimei(server, "backup", "photos");
        }

        Assert.Equal((0, "It refers to nothing\n"), Mimei(server, "ref", "list", "diary").Short);
        JsonElement added = Json(server, "ref", "add", "diary", "photos", "photos/2");
        Assert.Equal(2, added.GetProperty("changed").GetInt32());
        Assert.Equal([photos, $"{photos}/2"], added.GetProperty("references").EnumerateArray().Select(static r => r.GetProperty("reference").GetString()));
        Assert.Contains("has no version 9", Mimei(server, "ref", "add", "diary", "photos/9").Error, StringComparison.Ordinal);
        server.Kill();
        server.Start();
        Assert.Equal([photos, $"{photos}/2"], Json(server, "show", "diary").GetProperty("references").EnumerateArray().Select(static r => r.GetString()));
        Assert.Equal([diary], Json(server, "show", "photos").GetProperty("referrers").EnumerateArray().Select(static r => r.GetString()));
        Assert.Contains($"Version 2 is referred to by MiMei {diary} (diary)", Mimei(server, "delvers", "photos", "2").Error, StringComparison.Ordinal);
        Assert.Equal(0, Mimei(server, "delvers", "photos", "1", "3").Code);
        Assert.StartsWith("1 reference deleted\n", Mimei(server, "ref", "del", "diary", "photos/2").Output, StringComparison.Ordinal);
        Assert.Contains("at least one version stays", Mimei(server, "delvers", "photos", "2").Error, StringComparison.Ordinal);
        Assert.Equal(1, Json(server, "ref", "del", "diary", photos).GetProperty("changed").GetInt32());
        Assert.Equal(0, Mimei(server, "delvers", "photos", "2").Code);
        Assert.Equal(1, Mimei(server, "ref", "add", "diary", "nobody").Code);
        Assert.Equal(2, Mimei(server, "ref", "add", "diary").Code);
        Assert.Equal(2, Mimei(server, "ref", "forget", "diary").Code);
    }

    [Fact]
    public void An_id_that_begins_with_a_dash_is_taken_as_it_is()
    {
        using LeitherServer server = LeitherServer.StartNew();
        using RespClient client = server.Connect();
        string mid = "";
        for (int i = 0; !mid.StartsWith('-'); i++)
        {
            Assert.True(i < 10_000);
            mid = client.Call("MIMEI", "CREATE", "DB", "MARK", $"{i}").Text;
        }

        Assert.Equal(mid, Json(server, "show", mid).GetProperty("mid").GetString());
        Assert.StartsWith($"MiMeiShow mid= {mid}\n", LeitherProgram.Run("--data", server.DataDir, "mimei", "show", mid).Output, StringComparison.Ordinal);
        Assert.Equal(1, Json(server, "backup", mid, "--memo", "-m").GetProperty("version").GetInt32());
        Assert.Equal((0, "No difference\n"), Mimei(server, "diff", mid, "1", "cur").Short);
        Assert.Equal(0, Mimei(server, "name", mid, "dash").Code);
        (int code, _, string error) = Mimei(server, "show", "-x");
        Assert.Equal(2, code);
        Assert.StartsWith("There is no option -x, and it is no id of a MiMei.\nUsage: leither mimei show [MID]\n", error, StringComparison.Ordinal);

        // Letters of options at the head of an id mean nothing.
        string unknown = "-pnmtae" + new string('A', 20);
        Assert.StartsWith($"MiMei {unknown} cannot be had", Mimei(server, "versions", unknown).Error, StringComparison.Ordinal);
    }

    [Fact]
    public void What_cannot_be_done_is_explained()
    {
        using LeitherServer server = LeitherServer.StartNew("--appendfsync", "no");
        (int code, string output, string error) = Mimei(server, "versions", "nobody");
        Assert.Equal((1, ""), (code, output));
        Assert.Equal($"No such MiMei 'nobody'\nThose that there are: leither mimei list --data {server.DataDir}\n", error);
        (code, output, error) = Mimei(server, "show", "nobody", "--json");
        Assert.Equal((1, ""), (code, error));
        Assert.StartsWith("No such MiMei 'nobody'", JsonDocument.Parse(output).RootElement.GetProperty("error").GetString(), StringComparison.Ordinal);
        foreach (string[] wrong in (string[][])[["restore", "7"], ["diff", "1", "2"], ["fork", "3"], ["restore", "last"], ["diff", "x", "cur", "--json"]])
        {
            (code, output, error) = Mimei(server, wrong);
            Assert.Equal(1, code);
            Assert.Contains("version", error + output, StringComparison.Ordinal);
        }

        foreach (string[] wrong in (string[][])[["restore"], ["restore", "a", "b", "c"], ["diff", "1"], ["nonsense"], ["list", "x"], ["log", "--from"]])
        {
            (code, output, error) = Mimei(server, wrong);
            Assert.Equal((2, ""), (code, output));
            Assert.Contains("--help", error, StringComparison.Ordinal);
        }

        int port = server.Port;
        Assert.Equal(0, LeitherProgram.Run("mimei", "list", "-p", $"{port}").Code);
        Call(server, "CONFIG", "SET", "requirepass", "secret");
        // Who can read the node's keys needs no password.
        Assert.Equal(0, Mimei(server, "list").Code);
        (code, _, error) = LeitherProgram.Run("mimei", "list", "-p", $"{port}");
        Assert.Equal(1, code);
        Assert.Contains("REDISCLI_AUTH", error, StringComparison.Ordinal);
        server.Stop();
        Assert.Equal(
            (1, $"No node runs on the data folder {server.DataDir}.\nStart one with: leither run --data {server.DataDir}\n"),
            (Mimei(server, "list").Code, Mimei(server, "list").Error));
        (code, _, error) = LeitherProgram.Run("mimei", "list", "-p", $"{port}");
        Assert.Equal((1, $"No node runs on port {port} of this machine.\nStart one with: leither run -p {port}\n"), (code, error));
    }

    [Fact]
    public void Every_command_has_help_with_its_JSON_and_examples()
    {
        string[] commands = ["create", "list", "show", "name", "backup", "versions", "diff", "log", "restore", "fork", "release", "delvers", "check", "export", "import", "ref"];
        string all = LeitherProgram.Run("mimei", "--help").Output;
        foreach (string command in commands)
        {
            Assert.Contains($"\n  {command} ", all, StringComparison.Ordinal);
            (int code, string output, _) = LeitherProgram.Run("mimei", command, "--help");
            Assert.Equal(0, code);
            Assert.Contains($"Usage:\n  leither mimei {command}", output, StringComparison.Ordinal);
            Assert.Contains("\n  -p, --port PORT ", output, StringComparison.Ordinal);
            Assert.DoesNotContain("--version ", output, StringComparison.Ordinal);
            Assert.Contains("JSON (--json):\n  {", output, StringComparison.Ordinal);
            Assert.Contains($"Examples:\n  leither mimei {command}", output, StringComparison.Ordinal);
        }
    }

    private static LeitherProgram.Result Mimei(LeitherServer server, params string[] words) => LeitherProgram.Run(["mimei", .. words, "--data", server.DataDir]);

    private static JsonElement Json(LeitherServer server, params string[] words)
    {
        (int code, string output, string error) = Mimei(server, [.. words, "--json"]);
        Assert.Equal((0, ""), (code, error));
        return JsonDocument.Parse(output).RootElement;
    }

    private static void Call(LeitherServer server, params string[] words)
    {
        using RespClient client = server.Connect();
        Assert.False(client.Call(words).IsError);
    }
}
