// MiMei of files: what they hold, in versions.

using System.Text;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Car;
using Leither.Ipfs.Multiformats;
using Leither.Ipfs.UnixFs;
using Leither.MmDb.Versions;
using Leither.MmDb.Versions.Tree;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Versions;

public sealed class FilesTests : IDisposable
{
    private readonly VersionFixture _fixture = new(type: MimeiType.Files, store: static clock => new FolderMimeiStore(clock));

    public void Dispose() => _fixture.Dispose();

    [Fact]
    public void What_is_added_is_what_it_holds_and_a_backup_makes_it_a_version()
    {
        Assert.StartsWith("-ERR the MiMei holds no files yet", _fixture.Run("MIMEI GET"), StringComparison.Ordinal);
        Assert.Equal(CidOf("one").ToString(), Unquote(_fixture.Run("MIMEI ADD one")));
        Assert.Equal(":1", _fixture.Run("MIMEI BACKUP"));
        _fixture.Run("MIMEI ADD two");
        Assert.Equal("\"two\"", _fixture.Run("MIMEI GET"));
        Assert.Equal("\"w\"", _fixture.Run("MIMEI GET '' OFFSET 1 COUNT 1"));
        Assert.Equal(":2", _fixture.Run("MIMEI BACKUP"));
        InProcess.Client client = _fixture.Db.Connect();
        Assert.Equal("+OK", client.RunToEnd($"MIMEI OPEN {_fixture.Info.Id} VERSION 1"));
        Assert.Equal("\"one\"", client.RunToEnd("MIMEI GET"));
        Assert.StartsWith("-READONLY", client.RunToEnd("MIMEI ADD three"), StringComparison.Ordinal);
        Assert.Equal("+OK", _fixture.Run("MIMEI RESTORE 1"));
        Assert.Equal("\"one\"", _fixture.Run("MIMEI GET"));
        Assert.Equal("\"two\"", Opened("AT 2").RunToEnd("MIMEI GET"));
    }

    [Fact]
    public void A_state_without_files_has_the_bytes_that_it_always_had_and_one_with_files_links_to_their_root()
    {
        using var blocks = new MemoryBlockstore();
        var store = new NodeStore(blocks);
        Assert.Equal("a366666f726d617401696461746162617365738069" + "66756e6374696f6e7380", Convert.ToHexStringLower(blocks.Get(StateRoot.Empty.Write(store))!));
        Cid root = CidOf("one"), state = (StateRoot.Empty with { Files = root }).Write(store);
        Assert.Equal(root, StateRoot.Read(store, state).Files);
        Assert.Equal(
            "a46566696c6573d82a5823" + "00" + Convert.ToHexStringLower(root.ToArray()) + "66666f726d617401696461746162617365738069" + "66756e6374696f6e7380",
            Convert.ToHexStringLower(blocks.Get(state)!));
        var links = new List<Cid>();
        MimeiVersion.AddLinks(state, blocks.Get(state)!, links);
        Assert.Equal([root], links);
    }

    [Theory]
    [InlineData("SET a 1")]
    [InlineData("FLUSHALL")]
    [InlineData("HCLEAR h")]
    [InlineData("PFADD p a")]
    [InlineData("EVAL \"return redis.call('SET', 'a', '1')\" 0")]
    [InlineData("FUNCTION LOAD \"#!lua name=lib\\nredis.register_function('f', function() return 1 end)\"")]
    public void Keys_are_not_for_it(string command)
    {
        Assert.StartsWith("-WRONGTYPE this MiMei holds files, and no keys", _fixture.Run(command), StringComparison.Ordinal);
        Assert.Equal(":0", _fixture.Run("DBSIZE"));
    }

    [Fact]
    public void Nor_in_a_transaction()
    {
        InProcess.Client client = _fixture.Db.Connect();
        Assert.Equal("+OK", client.Run("MULTI"));
        Assert.StartsWith("-WRONGTYPE this MiMei holds files", client.Run("SET a 1"), StringComparison.Ordinal);
        Assert.StartsWith("-EXECABORT", client.Run("EXEC"), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("MIMEI ADD x")]
    [InlineData("MIMEI SETCID bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e")]
    [InlineData("MIMEI GET")]
    [InlineData("MIMEI LS")]
    [InlineData("MIMEI STAT")]
    public void Files_are_not_for_a_database(string command)
    {
        using var fixture = new VersionFixture();
        Assert.StartsWith("-WRONGTYPE this MiMei holds a database, and no files", fixture.Run(command), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("MIMEI ADD x PROFILE no", "-ERR no such profile. Those that there are: unixfs-v0-2015, unixfs-v1-2025")]
    [InlineData("MIMEI ADD x PROFILE", "-ERR syntax error")]
    [InlineData("MIMEI GET '' OFFSET x", "-ERR value is not an integer or out of range")]
    [InlineData("MIMEI GET '' SKIP 1", "-ERR syntax error")]
    [InlineData("MIMEI LS a b", "-ERR syntax error")]
    [InlineData("MIMEI LS", "-ERR '' is a file, not a directory")]
    [InlineData("MIMEI GET nosuch", "-ERR 'nosuch' cannot be in")]
    [InlineData("MIMEI BLOCK PUT x", "-ERR unknown subcommand or wrong number of arguments for 'BLOCK'")]
    [InlineData("MIMEI BLOCK GET x", "-ERR not a CID")]
    [InlineData("MIMEI BLOCK MPUT bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e", "-ERR")]
    [InlineData("MIMEI BLOCK MPUT bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e hello", "-ERR bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e is not the name of these bytes")]
    [InlineData("MIMEI SETCID nosuch", "-ERR")]
    [InlineData("MIMEI SETCID bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e", "-ERR")]
    public void Errors_say_what_is_wrong(string command, string error)
    {
        _fixture.Run("MIMEI ADD one");
        Assert.StartsWith(error, _fixture.Run(command), StringComparison.Ordinal);
        Assert.Equal("\"one\"", _fixture.Run("MIMEI GET"));
    }

    [Fact]
    public void A_folder_is_put_block_by_block_and_then_named()
    {
        Cid root = Put(("index.html", "<p>"), ("docs/a.txt", "a"), ("docs/b.txt", "bb"));
        Assert.Equal(root.ToString(), Unquote(_fixture.Run($"MIMEI SETCID {root}")));
        Assert.Equal("\"bb\"", _fixture.Run("MIMEI GET docs/b.txt"));
        Assert.Equal("\"bb\"", _fixture.Run("MIMEI GET /docs/b.txt"));
        Assert.StartsWith("-ERR 'docs' is a directory, not a file", _fixture.Run("MIMEI GET docs"), StringComparison.Ordinal);
        Assert.StartsWith("-ERR", _fixture.Run("MIMEI GET docs/c.txt"), StringComparison.Ordinal);
        Assert.StartsWith($"[[\"a.txt\", \"{CidOf("a")}\", \"file\", :1, ", _fixture.Run("MIMEI LS docs"), StringComparison.Ordinal);
        Assert.Contains("\"directory\"", _fixture.Run("MIMEI STAT"), StringComparison.Ordinal);
        Assert.StartsWith("[\"cid\"", _fixture.Run("MIMEI STAT index.html").Replace('{', '['), StringComparison.Ordinal);
    }

    [Fact]
    public void Content_of_which_a_block_is_missing_is_not_what_it_holds()
    {
        _fixture.Run("MIMEI ADD one");
        Cid root = Put(("index.html", "<p>"), ("docs/a.txt", "a"));
        _fixture.Versions.Loose.Remove(CidOf("a"));
        Assert.StartsWith("-ERR block", _fixture.Run($"MIMEI SETCID {root}"), StringComparison.Ordinal);
        Assert.Equal("\"one\"", _fixture.Run("MIMEI GET"));
    }

    [Fact]
    public void What_is_no_UnixFS_is_not_what_it_holds()
    {
        byte[] cbor = [0x80];
        Cid cid = Cid.Of(Multicodec.DagCbor, cbor);
        _fixture.Versions.Loose.Put(cid, cbor);
        Assert.StartsWith($"-ERR block {cid} is of codec 0x71; a MiMei of files holds files and folders of UnixFS", _fixture.Run($"MIMEI SETCID {cid}"), StringComparison.Ordinal);
        byte[] damaged = [0xff];
        cid = Cid.Of(Multicodec.DagPb, damaged);
        _fixture.Versions.Loose.Put(cid, damaged);
        Assert.StartsWith($"-ERR block {cid} is malformed", _fixture.Run($"MIMEI SETCID {cid}"), StringComparison.Ordinal);
    }

    [Fact]
    public void Versions_are_compared_by_path()
    {
        _fixture.Run($"MIMEI SETCID {Put(("a", "1"), ("b/c", "2"), ("b/d", "3"), ("e/f", "4"), ("same/x", "5"))}");
        _fixture.Run("MIMEI BACKUP");
        _fixture.Run($"MIMEI SETCID {Put(("a", "1"), ("b/c", "9"), ("b/g/h", "6"), ("e", "7"), ("same/x", "5"))}");
        _fixture.Run("MIMEI BACKUP");
        const string all = "[:0, \"b/c\", \"changed\", \"file\"], [:0, \"b/d\", \"removed\", \"file\"], [:0, \"b/g\", \"added\", \"directory\"], "
            + "[:0, \"b/g/h\", \"added\", \"file\"], [:0, \"e\", \"changed\", \"file\"], [:0, \"e/f\", \"removed\", \"file\"]";
        Assert.Equal($"[\"0\", [{all}]]", _fixture.Run("MIMEI DIFF 1 2"));
        Assert.Equal("[\"0\", []]", _fixture.Run("MIMEI DIFF 2 cur"));
        Assert.Equal("[\"0\", [[:0, \"b/c\", \"changed\", \"file\"]]]", _fixture.Run("MIMEI DIFF 1 2 MATCH *c"));
        string cursor = "0";
        var found = new List<string>();
        do
        {
            string reply = _fixture.Run($"MIMEI DIFF 1 2 COUNT 1 CURSOR {cursor}");
            cursor = reply[2..reply.IndexOf('"', 2)];
            found.Add(reply[(reply.IndexOf("[[", 1, StringComparison.Ordinal) + 1)..^2]);
        }
        while (cursor != "0");
        Assert.Equal(all, string.Join(", ", found));
    }

    [Fact]
    public void Collections_keep_what_versions_hold_and_what_it_holds_now_and_free_the_rest()
    {
        Cid first = Put(("a", "1"), ("b", "2")), second = Put(("a", "1"), ("b", "3")), third = Put(("c", "4"));
        _fixture.Run($"MIMEI SETCID {first}");
        _fixture.Run("MIMEI BACKUP");
        _fixture.Run($"MIMEI SETCID {second}");
        _fixture.Run("MIMEI BACKUP");
        _fixture.Run($"MIMEI SETCID {third}");
        _fixture.Versions.Loose.Dispose(); // as after ten minutes
        Assert.Equal(":1", _fixture.Run("MIMEI DELVERS 1"));
        _fixture.Settle();
        Assert.Contains("\"problems\", []", _fixture.Run("MIMEI CHECK PURGE"), StringComparison.Ordinal);
        Assert.False(_fixture.Blocks.Has(first));
        Assert.False(_fixture.Blocks.Has(CidOf("2")));
        Assert.All([second, third, CidOf("1"), CidOf("3"), CidOf("4")], cid => Assert.True(_fixture.Blocks.Has(cid)));
        Assert.Equal("\"4\"", _fixture.Run("MIMEI GET c"));
    }

    [Fact]
    public void A_check_finds_a_file_of_which_a_block_is_gone()
    {
        _fixture.Run($"MIMEI SETCID {Put(("a", "1"))}");
        _fixture.Run("MIMEI BACKUP");
        Assert.DoesNotContain(CidOf("1").ToString(), _fixture.Run("MIMEI CHECK"), StringComparison.Ordinal);
        _fixture.Blocks.Delete(CidOf("1"));
        Assert.Contains(CidOf("1").ToString(), _fixture.Run("MIMEI CHECK"), StringComparison.Ordinal);
    }

    [Fact]
    public void A_version_is_not_made_of_files_that_are_not_all_here()
    {
        _fixture.Db.Keyspace.Effects.SetFiles(CidOf("elsewhere"));
        _fixture.Db.Keyspace.Effects.EndEntry();
        Assert.StartsWith("-ERR the files that the MiMei holds now are not all here (block", _fixture.Run("MIMEI BACKUP"), StringComparison.Ordinal);
        _fixture.Run("MIMEI ADD one");
        Assert.Equal(":1", _fixture.Run("MIMEI BACKUP"));
    }

    [Fact]
    public void It_is_exported_and_imported_with_its_files_and_forked_with_them()
    {
        using InProcess db = FolderMimeiStore.Serve(out FolderMimeiStore files, _fixture.Author);
        using FolderMimeiStore store = files;
        InProcess.Client client = db.Default;
        _fixture.Run($"MIMEI SETCID {Put(("a", "1"), ("b/c", "2"))}");
        _fixture.Run("MIMEI BACKUP");
        using var folder = new TempDir();
        string path = Path.Combine(folder.Path, "x.car");
        Assert.StartsWith("{", _fixture.Run($"MIMEI EXPORT {path}").Replace('[', '{'), StringComparison.Ordinal);
        Assert.DoesNotContain("ERR", client.RunToEnd($"MIMEI IMPORT {path}"), StringComparison.Ordinal);
        Assert.Equal("+OK", client.RunToEnd($"MIMEI OPEN {_fixture.Info.Id}"));
        Assert.Equal("\"2\"", client.RunToEnd("MIMEI GET b/c"));
        string fork = Unquote(client.RunToEnd("MIMEI FORK"));
        Assert.Equal("+OK", client.RunToEnd($"MIMEI OPEN {fork}"));
        Assert.Equal("\"2\"", client.RunToEnd("MIMEI GET b/c"));
        Assert.Equal(":1", client.RunToEnd("MIMEI BACKUP"));
    }

    [Fact]
    public void What_comes_in_a_file_is_imported_whole_and_as_files_or_not_at_all()
    {
        using InProcess db = FolderMimeiStore.Serve(out FolderMimeiStore files);
        using FolderMimeiStore store = files;
        _fixture.Run($"MIMEI SETCID {Put(("a", "1"), ("b/c", "2"))}");
        _fixture.Run("MIMEI BACKUP");
        using var folder = new TempDir();
        string path = Path.Combine(folder.Path, "x.car"), changed = Path.Combine(folder.Path, "y.car");
        _fixture.Run($"MIMEI EXPORT {path}");
        var blocks = new Dictionary<Cid, byte[]>();
        Cid root;
        using (FileStream file = File.OpenRead(path))
        {
            CarReader car = CarReader.Open(file);
            root = Assert.Single(car.Roots);
            while (car.Read())
            {
                blocks[car.Cid] = car.Block.ToArray();
            }
        }

        // Whichever block is missing.
        foreach (Cid missing in blocks.Keys.Except([root]))
        {
            Write(root, blocks.Where(b => b.Key != missing));
            Assert.StartsWith("-ERR", db.Default.RunToEnd($"MIMEI IMPORT {changed}"), StringComparison.Ordinal);
            Assert.Empty(store.Folders);
        }

        // Signed by the author, and no files.
        byte[] cbor = [0x80], text = "a file"u8.ToArray();
        foreach ((byte[] block, ulong codec, string refusal) in ((byte[], ulong, string)[])[(cbor, Multicodec.DagCbor, "is of codec 0x71"), (text, Multicodec.DagPb, "is malformed")])
        {
            using var made = new MemoryBlockstore();
            Cid top = Cid.Of(codec, block);
            Cid state = (StateRoot.Empty with { Files = top }).Write(new NodeStore(made));
            byte[] version = (_fixture.Versions.Read(1) with { State = state }).Sign(_fixture.Author);
            Cid signed = Cid.Of(Multicodec.DagCbor, version);
            Write(signed, [.. blocks, new(top, block), new(state, made.Get(state)!), new(signed, version)]);
            string reply = db.Default.RunToEnd($"MIMEI IMPORT {changed}");
            Assert.Contains($"block {top} is not of files", reply, StringComparison.Ordinal);
            Assert.Contains(refusal, reply, StringComparison.Ordinal);
            Assert.Empty(store.Folders);
        }

        Write(root, blocks);
        Assert.DoesNotContain("ERR", db.Default.RunToEnd($"MIMEI IMPORT {changed}"), StringComparison.Ordinal);

        void Write(Cid top, IEnumerable<KeyValuePair<Cid, byte[]>> all)
        {
            using FileStream file = File.Create(changed);
            CarWriter car = CarWriter.Create(file, [top]);
            foreach ((Cid cid, byte[] block) in all)
            {
                car.Write(cid, block);
            }

            car.Complete();
        }
    }

    private InProcess.Client Opened(string place)
    {
        InProcess.Client client = _fixture.Db.Connect();
        Assert.Equal("+OK", client.RunToEnd($"MIMEI OPEN {_fixture.Info.Id} {place}"));
        return client;
    }

    /// <summary>Puts the blocks of a folder, as a client does; gives its root.</summary>
    private Cid Put(params (string Path, string Content)[] files)
    {
        using var folder = new TempDir();
        foreach ((string path, string content) in files)
        {
            string at = Path.Combine(folder.Path, path);
            Directory.CreateDirectory(Path.GetDirectoryName(at)!);
            File.WriteAllText(at, content);
        }

        using var blocks = new MemoryBlockstore();
        Cid root = new UnixFsImporter(blocks, UnixFsProfile.V0).AddPath(folder.Path).Cid;
        InProcess.Client client = _fixture.Db.Connect();
        foreach (Cid cid in blocks.Cids())
        {
            byte[][] words = ["MIMEI"u8.ToArray(), "BLOCK"u8.ToArray(), "MPUT"u8.ToArray(), Encoding.ASCII.GetBytes(cid.ToString()), blocks.Get(cid)!];
            Assert.StartsWith(":", client.RunToEnd(words), StringComparison.Ordinal);
        }

        return root;
    }

    private static Cid CidOf(string content) => new UnixFsImporter(null, UnixFsProfile.V0).AddFile(new MemoryStream(Encoding.UTF8.GetBytes(content))).Cid;

    private static string Unquote(string reply) => reply.Trim('"');
}
