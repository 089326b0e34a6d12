// leither mimei add, setcid, get, ls … as a process against a real node: what goes in comes out, in any version, and what is wrong is said.

using System.Diagnostics;
using System.Text;
using System.Text.Json;
using Leither.Ipfs.DagPb;
using Leither.Ipfs.Multiformats;
using Leither.Ipfs.UnixFs;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

public sealed class MimeiFilesTests(SharedNode node) : IClassFixture<SharedNode>, IDisposable
{
    private const string Hello = "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o";

    private readonly TempDir _folder = new("files");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_MiMei_of_files_is_made_and_says_how_to_fill_it()
    {
        LeitherProgram.Result made = Mimei("create", "-t", "file", "-m", "made", "-n", "made");
        Assert.Equal(0, made.Code);
        Assert.Matches(@"^mid= \S{27}\n$", made.Output);
        Assert.Contains("leither mimei add made FILE", made.Error, StringComparison.Ordinal);
        JsonElement again = Json("create", "-t", "FILE", "-m", "made");
        Assert.Equal((made.Output[5..32], "made"), (again.GetProperty("mid").GetString(), again.GetProperty("name").GetString()));
        Assert.NotEqual(made.Output[5..32], Json("create", "-m", "made").GetProperty("mid").GetString());
        Assert.Equal("file", Json("show", "made").GetProperty("type").GetString());

        LeitherProgram.Result empty = Mimei("get", "made");
        Assert.Equal((1, ""), empty.Short);
        Assert.Contains("holds no files yet", empty.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_goes_in_becomes_a_version_and_comes_out_again()
    {
        Make("file");
        File.WriteAllText(F("hello.txt"), "hello world\n");
        LeitherProgram.Result added = Mimei("add", "file", F("hello.txt"), "--memo", "the first");
        Assert.Equal((0, $"cid= {Hello} ver= 1\n"), added.Short);
        Assert.StartsWith("Next: leither mimei get file --version 1 -o OUT --data", added.Error, StringComparison.Ordinal);
        Assert.Equal(new(0, "hello world\n", ""), Mimei("get", "file"));
        Assert.Equal(0, Mimei("get", "file", "-o", F("out.txt")).Code);
        Assert.Equal("hello world\n", File.ReadAllText(F("out.txt")));
        Assert.Equal("the first", Json("versions", "file").GetProperty("versions")[0].GetProperty("memo").GetString());

        // Nothing is overwritten.
        LeitherProgram.Result twice = Mimei("get", "file", "-o", F("hello.txt"));
        Assert.Equal(1, twice.Code);
        Assert.Contains("is there already", twice.Error, StringComparison.Ordinal);

        // None of it is among what everybody may have.
        using RespClient client = RespClient.Connect(node.Port);
        Assert.True(client.Call("IPFS", "BLOCK", "STAT", Hello).IsError);
    }

    [Fact]
    public void A_file_without_a_byte_one_of_three_megabytes_and_what_is_piped_in_come_out_as_they_went_in()
    {
        Make("sizes");
        File.WriteAllBytes(F("empty"), []);
        Assert.EndsWith(" ver= 1\n", Mimei("add", "sizes", F("empty")).Output, StringComparison.Ordinal);
        Assert.Equal(new(0, "", ""), Mimei("get", "sizes"));
        Assert.Equal(0, Mimei("get", "sizes", "-o", F("empty.out")).Code);
        Assert.Empty(File.ReadAllBytes(F("empty.out")));

        byte[] big = new byte[3_000_000];
        new Random(1).NextBytes(big);
        File.WriteAllBytes(F("big"), big);
        JsonElement added = Json("add", "sizes", F("big"), "--profile", "unixfs-v1-2025");
        Assert.Equal((2, 1, 3_000_000), (added.GetProperty("version").GetInt32(), added.GetProperty("files").GetInt32(), added.GetProperty("bytes").GetInt64()));
        Assert.StartsWith("bafy", added.GetProperty("cid").GetString(), StringComparison.Ordinal);
        JsonElement got = Json("get", "sizes", "-o", F("big.out"));
        Assert.Equal((added.GetProperty("mid").GetString(), added.GetProperty("cid").GetString(), F("big.out"), 1, 3_000_000), (
            got.GetProperty("mid").GetString(), got.GetProperty("cid").GetString(), got.GetProperty("path").GetString(), got.GetProperty("files").GetInt32(), got.GetProperty("bytes").GetInt64()));
        Assert.Equal(big, File.ReadAllBytes(F("big.out")));

        string[] shell = ["-c", """printf 'hello world\n' | "$0" "$@" """, Path.Combine(AppContext.BaseDirectory, "leither"), "mimei", "add", "sizes", "-", "--data", node.Folder];
        using Process piped = Process.Start(new ProcessStartInfo("/bin/sh", shell) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        Assert.Equal($"cid= {Hello} ver= 3\n", piped.StandardOutput.ReadToEnd());
        piped.WaitForExit();
    }

    [Fact]
    public void A_folder_goes_in_with_all_that_is_in_it_and_comes_out_again()
    {
        Make("folder");
        Directory.CreateDirectory(F("in/sub/empty"));
        File.WriteAllText(F("in/sub/a.txt"), "a");
        File.WriteAllText(F("in/.hidden"), "not for others");
        File.WriteAllText(F("outside"), "not in it");
        File.CreateSymbolicLink(F("in/link"), "../outside");
        JsonElement added = Json("add", "folder", F("in"));
        Assert.Equal((1, 2), (added.GetProperty("version").GetInt32(), added.GetProperty("files").GetInt32()));
        Assert.Equal(["link symlink", "sub directory"], Entries("ls", "folder"));
        Assert.Equal(["a.txt file", "empty directory"], Entries("ls", "folder", "sub", "--version", "1"));
        Assert.Equal(["a.txt file", "empty directory"], Entries("get", "folder", "/sub/"));
        Assert.Equal(new(0, "a", ""), Mimei("get", "folder", "sub/a.txt"));

        LeitherProgram.Result listed = Mimei("get", "folder");
        Assert.Equal(0, listed.Code);
        Assert.Matches("^CID +Size +Name", listed.Output);
        Assert.Contains($"leither mimei get folder -o OUT --data {node.Folder}\n", listed.Error, StringComparison.Ordinal);

        JsonElement got = Json("get", "folder", "-o", F("out"));
        Assert.Equal((2, 1), (got.GetProperty("files").GetInt32(), got.GetProperty("bytes").GetInt32()));
        Assert.Equal(["link", "sub"], Directory.EnumerateFileSystemEntries(F("out")).Select(static p => Path.GetFileName(p)).Order());
        Assert.Equal("../outside", new FileInfo(F("out/link")).LinkTarget);
        Assert.Equal("a", File.ReadAllText(F("out/sub/a.txt")));
        Assert.True(Directory.Exists(F("out/sub/empty")));
        Assert.Equal(1, Mimei("get", "folder", "-o", F("out")).Code);

        Assert.Equal([".hidden file", "link symlink", "sub directory"], Entries("ls", "folder", "--version", $"{Json("add", "folder", F("in"), "--hidden").GetProperty("version")}"));
    }

    [Fact]
    public void Each_version_holds_what_there_was_then()
    {
        Make("versions");
        File.WriteAllText(F("a"), "first");
        Mimei("add", "versions", F("a"));
        File.WriteAllText(F("a"), "second");
        Assert.EndsWith(" ver= 2\n", Mimei("add", "versions", F("a")).Output, StringComparison.Ordinal);
        File.WriteAllText(F("a"), "third");
        Assert.Matches(@"^cid= \S+\n$", Mimei("add", "versions", F("a"), "--no-backup").Output);
        Assert.Equal(new(0, "first", ""), Mimei("get", "versions", "--version", "1"));
        Assert.Equal(new(0, "second", ""), Mimei("get", "versions", "--version", "last"));
        Assert.Equal(new(0, "third", ""), Mimei("get", "versions"));
        Assert.Equal(new(0, "third", ""), Mimei("get", "versions", "--version", "cur"));
        Assert.Equal((0, "The release of versions is version 1\n"), Mimei("release", "versions", "1").Short);
        Assert.Equal(new(0, "first", ""), Mimei("get", "versions", "--version", "release"));
        Assert.Equal(0, Mimei("restore", "versions", "1").Code);
        Assert.Equal(new(0, "first", ""), Mimei("get", "versions"));

        LeitherProgram.Result none = Mimei("get", "versions", "--version", "9");
        Assert.Equal((1, ""), none.Short);
        Assert.Equal(2, Mimei("get", "versions", "--version", "newest").Code);
        Assert.Contains("leither mimei get versions --version 3 -o OUT", Mimei("backup", "versions").Error, StringComparison.Ordinal);
    }

    [Fact]
    public void What_a_CID_names_becomes_what_a_MiMei_holds()
    {
        string mid = Make("cid");
        Directory.CreateDirectory(F("public/sub"));
        File.WriteAllText(F("public/sub/hello.txt"), "hello world\n");
        string cid = LeitherProgram.Run("ipfs", "add", "-q", F("public"), "--data", node.Folder).Output.Trim();
        LeitherProgram.Result set = Mimei("setcid", "cid", $"/ipfs/{cid}/sub/hello.txt", "--memo", "from there");
        Assert.Equal((0, "ver= 1\n"), set.Short);
        Assert.Equal(new(0, "hello world\n", ""), Mimei("get", "cid"));
        JsonElement next = Json("setcid", "cid", cid);
        Assert.Equal((mid, cid, 2), (next.GetProperty("mid").GetString(), next.GetProperty("cid").GetString(), next.GetProperty("version").GetInt32()));
        Assert.Equal(["sub directory"], Entries("ls", "cid"));
        Assert.Equal((0, $"cid= {Hello}\n"), Mimei("setcid", "cid", Hello, "--no-backup").Short);
        Assert.Equal(0, Json("setcid", "cid", Hello, "--no-backup").GetProperty("version").GetInt32());
        Assert.Equal(["", "from there"], Json("versions", "cid").GetProperty("versions").EnumerateArray().Select(static v => v.GetProperty("memo").GetString()));

        // What lies there is the MiMei's own, whatever becomes of the public one.
        Assert.Equal(0, LeitherProgram.Run("ipfs", "pin", "rm", cid, "--data", node.Folder).Code);
        Assert.Equal(0, LeitherProgram.Run("ipfs", "repo", "gc", "--purge", "--data", node.Folder).Code);
        Assert.Equal(new(0, "hello world\n", ""), Mimei("get", "cid"));
    }

    [Fact]
    public void Differences_of_versions_are_told_by_their_paths()
    {
        Make("diff");
        Directory.CreateDirectory(F("in/sub"));
        File.WriteAllText(F("in/same"), "1");
        File.WriteAllText(F("in/changed"), "1");
        Mimei("add", "diff", F("in"));
        File.WriteAllText(F("in/changed"), "2");
        File.WriteAllText(F("in/sub/added"), "2");
        Mimei("add", "diff", F("in"));
        string[] lines = Mimei("diff", "diff", "1", "2").Output.TrimEnd('\n').Split('\n');
        Assert.Equal(["Change   Type       Path", "changed  file       changed", "added    file       sub/added", "1 added, 0 removed, 1 changed"], lines);
        Assert.Equal(["changed", "sub/added"], Json("diff", "diff", "1", "2").GetProperty("changes").EnumerateArray().Select(static c => c.GetProperty("key").GetString()));
    }

    [Fact]
    public void What_is_wrong_is_said_and_nothing_is_changed()
    {
        Make("wrong");
        File.WriteAllText(F("a"), "a");
        Mimei("add", "wrong", F("a"));
        foreach (string[] words in (string[][])[["add"], ["add", "wrong"], ["add", "wrong", F("a"), F("a")], ["setcid", "wrong"], ["get"], ["get", "wrong", "a", "b"], ["ls"], ["add", "wrong", F("a"), "--profile", "none"], ["get", "wrong", "-o", ".."]])
        {
            Assert.True(Mimei(words).Code == 2, string.Join(' ', words));
        }

        Assert.Equal(new(1, "", $"{F("none")} cannot be read: there is no such file\n"), Mimei("add", "wrong", F("none")));
        Assert.Equal(1, Mimei("setcid", "wrong", "none").Code);
        Assert.Equal(1, Mimei("get", "wrong", "none").Code);
        Assert.Equal(1, Mimei("ls", "wrong").Code);
        Assert.Contains("No such MiMei 'none'", Mimei("add", "none", F("a")).Error, StringComparison.Ordinal);
        Assert.Contains("holds a database", Mimei("add", "default", F("a")).Error, StringComparison.Ordinal);
        Assert.Contains("holds a database", Mimei("get", "default").Error, StringComparison.Ordinal);
        File.CreateSymbolicLink(F("loop"), F("loop"));
        LeitherProgram.Result loop = Mimei("add", "wrong", F("loop"));
        Assert.Equal((1, ""), loop.Short);
        Assert.Single(loop.Error.TrimEnd().Split('\n'));
        JsonElement failed = JsonDocument.Parse(Mimei("add", "wrong", F("none"), "--json").Output).RootElement;
        Assert.Equal($"{F("none")} cannot be read: there is no such file", failed.GetProperty("error").GetString());
        Assert.Equal(new(0, "a", ""), Mimei("get", "wrong"));
        Assert.Equal(1, Json("versions", "wrong").GetProperty("versions").GetArrayLength());
    }

    [Fact]
    public void Blocks_that_were_asked_for_ahead_and_are_not_read_confuse_nothing()
    {
        using RespClient client = RespClient.Connect(node.Port);
        (Cid leaf, byte[] leafBlock) = Block([], new UnixFsData { Type = UnixFsType.File, Data = "leaf"u8.ToArray(), FileSize = 4 }.Encode());
        (Cid nothing, byte[] nothingBlock) = Block([], new UnixFsData { Type = UnixFsType.File, FileSize = 0 }.Encode());
        (Cid root, byte[] rootBlock) = Block([new PbLink(leaf, "", 4), new PbLink(nothing, "", 4)], new UnixFsData { Type = UnixFsType.File, FileSize = 4, BlockSizes = [4, 0] }.Encode());
        string mid = Make("ahead");
        client.Call("MIMEI", "OPEN", mid);
        RespValue put = client.Call([.. Words("MIMEI", "BLOCK", "MPUT"), .. Pair(leaf, leafBlock), .. Pair(nothing, nothingBlock), .. Pair(root, rootBlock)]);
        Assert.False(put.IsError, put.Text);
        Assert.Equal(0, Mimei("setcid", mid, root.ToString()).Code);
        JsonElement got = Json("get", mid, "-o", F("ahead"));
        Assert.Equal((mid, "leaf"), (got.GetProperty("mid").GetString(), File.ReadAllText(F("ahead"))));
    }

    [Fact]
    public void No_name_or_link_that_somebody_made_leads_out_of_the_folder_that_was_asked_for()
    {
        using RespClient client = RespClient.Connect(node.Port);
        byte[] content = new UnixFsData { Type = UnixFsType.File, Data = "evil"u8.ToArray(), FileSize = 4 }.Encode();
        (Cid file, byte[] fileBlock) = Block([], content);
        (Cid link, byte[] linkBlock) = Block([], new UnixFsData { Type = UnixFsType.Symlink, Data = Encoding.UTF8.GetBytes(_folder.Path) }.Encode());
        (Cid sub, byte[] subBlock) = Block([new PbLink(file, "evil.txt", 4)], Folder());
        string mid = Make("evil");
        int number = 0;
        foreach ((PbLink[] entries, bool isWritten) in ((PbLink[], bool)[])[
            ([new PbLink(file, "../evil.txt", 4)], false), ([new PbLink(file, "..", 4)], false), ([new PbLink(file, "/tmp/evil.txt", 4)], false),
            ([new PbLink(link, "up", 4), new PbLink(sub, "up", 4)], false), ([new PbLink(link, "up", 4), new PbLink(file, "b", 4)], true)])
        {
            (Cid root, byte[] rootBlock) = Block(entries, Folder());
            client.Call("MIMEI", "OPEN", mid);
            RespValue put = client.Call([.. Words("MIMEI", "BLOCK", "MPUT"), .. Pair(file, fileBlock), .. Pair(link, linkBlock), .. Pair(sub, subBlock), .. Pair(root, rootBlock)]);
            Assert.False(put.IsError, put.Text);
            string output = F($"{number++}/out");
            Directory.CreateDirectory(Path.GetDirectoryName(output)!);
            LeitherProgram.Result set = Mimei("setcid", mid, root.ToString());
            LeitherProgram.Result got = Mimei("get", mid, "-o", output);
            Assert.Equal((0, isWritten ? 0 : 1), (set.Code, got.Code));
            Assert.DoesNotContain(Directory.EnumerateFileSystemEntries(_folder.Path), static p => p.EndsWith("evil.txt", StringComparison.Ordinal));
            Assert.Equal(Directory.Exists(output) ? [output] : [], Directory.EnumerateFileSystemEntries(Path.GetDirectoryName(output)!));
            if (isWritten)
            {
                Assert.Equal((_folder.Path, "evil"), (new FileInfo(Path.Combine(output, "up")).LinkTarget, File.ReadAllText(Path.Combine(output, "b"))));
            }
        }

        static byte[] Folder() => new UnixFsData { Type = UnixFsType.Directory }.Encode();
    }

    private static (Cid Cid, byte[] Bytes) Block(PbLink[] links, byte[] data)
    {
        byte[] block = new PbNode(links, data).Encode();
        return (Cid.Of(Multicodec.DagPb, block), block);
    }

    private static byte[][] Words(params string[] words) => [.. words.Select(Encoding.ASCII.GetBytes)];

    private static byte[][] Pair(Cid cid, byte[] block) => [Encoding.ASCII.GetBytes(cid.ToString()), block];

    private string F(string name) => _folder.File(name);

    /// <summary>Makes a MiMei of files and gives its id.</summary>
    private string Make(string name) => Json("create", "-t", "file", "-m", name, "-n", name).GetProperty("mid").GetString()!;

    private string[] Entries(params string[] words) => [.. Json(words).GetProperty("entries").EnumerateArray().Select(static e => $"{e.GetProperty("name")} {e.GetProperty("type")}")];

    private LeitherProgram.Result Mimei(params string[] words) => LeitherProgram.Run(["mimei", .. words, "--data", node.Folder]);

    private JsonElement Json(params string[] words)
    {
        LeitherProgram.Result result = Mimei([.. words, "--json"]);
        Assert.True(result.Code == 0, result.Output + result.Error);
        return JsonDocument.Parse(result.Output).RootElement;
    }
}
