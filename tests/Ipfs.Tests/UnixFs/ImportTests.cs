using System.Text;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.DagPb;
using Leither.Ipfs.Multiformats;
using Leither.Ipfs.UnixFs;
using Leither.TestKit;
using Xunit;

namespace Leither.Ipfs.Tests.UnixFs;

public sealed class ImportTests
{
    [Theory]
    [InlineData("", "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH", "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku")]
    [InlineData("hello world\n", "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o", "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4")]
    [InlineData("hello world", "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD", "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e")]
    public void Small_files_have_the_CIDs_that_everybody_gives_them(string content, string v0, string v1)
    {
        Assert.Equal(v0, Add(UnixFsProfile.V0, content).Cid.ToString());
        Assert.Equal(v1, Add(UnixFsProfile.V1, content).Cid.ToString());
    }

    // Kubo's vectors for IPIP-0499: one node as full as can be, and one chunk more.
    [Theory]
    [InlineData(44544, "QmUbBALi174SnogsUzLpYbD4xPiBSFANF4iztWCsHbMKh2")]
    [InlineData(44800, "QmepeWtdmS1hHXx1oZXsPUv6bMrfRRKfZcoPPU4eEfjnbf")]
    public void A_file_of_the_old_profile_grows_a_level_where_Kubos_does(int kibibytes, string cid)
    {
        using var content = new SeededBytes("v0-seed", kibibytes * 1024L);
        ImportedNode node = new UnixFsImporter(null, UnixFsProfile.V0).AddFile(content);
        Assert.Equal(cid, node.Cid.ToString());
        Assert.Equal((ulong)kibibytes * 1024, node.FileSize);
    }

    [Theory]
    [InlineData(1024, "bafybeihmf37wcuvtx4hpu7he5zl5qaf2ineo2lqlfrapokkm5zzw7zyhvm")]
    [InlineData(1025, "bafybeihmzokxxjqwxjcryerhp5ezpcog2wcawfryb2xm64xiakgm4a5jue")]
    public void A_file_of_the_new_profile_grows_a_level_where_Kubos_does(int mebibytes, string cid)
    {
        if (!Seed.IsLong) return; // a GiB takes seconds
        using var content = new SeededBytes("v1-2025-seed", (long)mebibytes << 20);
        Assert.Equal(cid, new UnixFsImporter(null, UnixFsProfile.V1).AddFile(content).Cid.ToString());
    }

    // Kubo's vectors for IPIP-0499: directories of exactly the largest size that is not sharded, and of one byte more.
    [Theory]
    [InlineData("unixfs-v0-2015", 4096, 30, 30, "QmX5GtRk3TSSEHtdrykgqm4eqMEn3n2XhfkFAis5fjyZmN", UnixFsType.Directory)]
    [InlineData("unixfs-v0-2015", 4033, 31, 31, "QmeMiJzmhpJAUgynAcxTQYek5PPKgdv3qEvFsdV3XpVnvP", UnixFsType.HamtShard)]
    [InlineData("unixfs-v1-2025", 4766, 11, 21, "bafybeic3h7rwruealwxkacabdy45jivq2crwz6bufb5ljwupn36gicplx4", UnixFsType.Directory)]
    [InlineData("unixfs-v1-2025", 4766, 11, 22, "bafybeiegvuterwurhdtkikfhbxcldohmxp566vpjdofhzmnhv6o4freidu", UnixFsType.HamtShard)]
    public void A_directory_is_sharded_where_Kubo_shards_it(string name, int count, int length, int lastLength, string cid, UnixFsType type)
    {
        UnixFsProfile profile = UnixFsProfile.Find(name)!;
        using var store = new MemoryBlockstore();
        var importer = new UnixFsImporter(store, profile);
        ImportedNode file = importer.AddFile(new MemoryStream("x"u8.ToArray()));
        string[] names = [.. SeededBytes.Names("hamt-" + name, count, length, lastLength)];
        ImportedNode directory = importer.AddDirectory([.. names.Select(n => new NewEntry(n, file.Cid, file.Tsize))]);
        Assert.Equal(cid, directory.Cid.ToString());
        UnixFsNode node = UnixFsNode.Load(store, directory.Cid);
        Assert.Equal(type, node.Type);
        Assert.Equal(node.TotalSize, directory.Tsize);
        Assert.Equal(names.Order(StringComparer.Ordinal), UnixFsDirectory.List(store, node).Select(e => e.Name).Order(StringComparer.Ordinal));
        Assert.All(names, n => Assert.True(UnixFsDirectory.TryFind(store, node, n, out UnixFsLink found) && found.Cid == file.Cid && found.Name == n));
        Assert.False(UnixFsDirectory.TryFind(store, node, "absent", out _));
    }

    [Fact]
    public void The_empty_directory_is_the_one_that_everybody_has()
    {
        Assert.Equal("QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn", new UnixFsImporter(null, UnixFsProfile.V0).AddDirectory([]).Cid.ToString());
        Assert.Equal("bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354", new UnixFsImporter(null, UnixFsProfile.V1).AddDirectory([]).Cid.ToString());
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(7)]
    public void The_number_of_threads_makes_no_difference(int threads)
    {
        UnixFsProfile profile = UnixFsProfile.V1 with { ChunkBytes = 100, MaxLinks = 3 };
        for (int length = 0; length < 3000; length += 50)
        {
            byte[] bytes = Bytes(length);
            using var store = new MemoryBlockstore();
            ImportedNode one = new UnixFsImporter(store, profile, new UnixFsImportOptions { Threads = 1 }).AddFile(new MemoryStream(bytes));
            ImportedNode node = new UnixFsImporter(null, profile, new UnixFsImportOptions { Threads = threads }).AddFile(new Dribble(bytes));
            Assert.Equal(one, node);
            using var file = new UnixFsStream(store, node.Cid);
            using var read = new MemoryStream();
            file.CopyTo(read);
            Assert.Equal(bytes, read.ToArray());
            Assert.Equal(length, file.Length);
            Assert.Equal(UnixFsNode.Load(store, node.Cid).TotalSize, node.Tsize);
        }
    }

    [Fact]
    public void Attributes_belong_to_the_root_and_a_raw_leaf_is_wrapped_to_have_some()
    {
        using var store = new MemoryBlockstore();
        var time = new UnixTime(-1, 500);
        foreach (UnixFsProfile profile in UnixFsProfile.All)
        {
            var importer = new UnixFsImporter(store, profile with { ChunkBytes = 10 });
            foreach (int length in (int[])[0, 5, 10, 11, 35])
            {
                UnixFsNode node = UnixFsNode.Load(store, importer.AddFile(new MemoryStream(Bytes(length)), 0x1ED, time).Cid);
                Assert.Equal((0x1EDu, time, (ulong)length, Multicodec.DagPb), (node.Data.Mode!.Value, node.Data.Mtime!.Value, node.FileSize, node.Cid.Codec));
                if (node.Links.Count > 0) Assert.Null(UnixFsNode.Load(store, node.Links[0].Cid).Data.Mode);
                using var file = new UnixFsStream(store, node);
                byte[] read = new byte[length];
                file.ReadExactly(read);
                Assert.Equal(Bytes(length), read);
            }
        }
    }

    [Fact]
    public void A_folder_is_imported_with_its_links_and_without_what_is_hidden()
    {
        using var folder = new TempDir("unixfs");
        Directory.CreateDirectory(folder.File("a/b/empty"));
        File.WriteAllText(folder.File("a/hello.txt"), "hello world\n");
        File.WriteAllText(folder.File("a/b/ü"), "x");
        File.WriteAllText(folder.File("a/.hidden"), "h");
        File.CreateSymbolicLink(folder.File("a/link"), "../outside");
        using var store = new MemoryBlockstore();
        var added = new List<string>();
        var importer = new UnixFsImporter(store, UnixFsProfile.V0, new UnixFsImportOptions { Added = (path, _) => added.Add(path) });
        ImportedNode root = importer.AddPath(folder.File("a") + "/");
        Assert.Equal(["a/b/empty", "a/b/ü", "a/b", "a/hello.txt", "a/link", "a"], added);
        Assert.Equal(13UL, root.FileSize - 10); // the link's target counts as its content
        Assert.Equal("QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o", UnixFsPath.Resolve(store, $"/ipfs/{root.Cid}/b/../hello.txt").Cid.ToString());
        Assert.Equal("../outside", UnixFsNode.Load(store, UnixFsPath.Resolve(store, $"{root.Cid}/link").Cid).Target);
        Assert.Throws<UnixFsPathException>(() => UnixFsPath.Resolve(store, $"{root.Cid}/.hidden"));
        Assert.NotEqual(root.Cid, new UnixFsImporter(store, UnixFsProfile.V0, new UnixFsImportOptions { IncludeHidden = true }).AddPath(folder.File("a")).Cid);

        new UnixFsExporter(store).Write(root.Cid, folder.File("out"));
        Assert.Equal("hello world\n", File.ReadAllText(folder.File("out/hello.txt")));
        Assert.Equal("../outside", new FileInfo(folder.File("out/link")).LinkTarget);
        Assert.True(Directory.Exists(folder.File("out/b/empty")));
        Assert.Equal(root.Cid, importer.AddPath(folder.File("out")).Cid);
        Assert.Throws<IOException>(() => new UnixFsExporter(store).Write(root.Cid, folder.File("out")));
    }

    [Fact]
    public void Modes_and_times_go_into_a_folder_and_out_again()
    {
        if (OperatingSystem.IsWindows()) return;
        using var folder = new TempDir("unixfs");
        Directory.CreateDirectory(folder.File("a"));
        File.WriteAllText(folder.File("a/run"), "#!");
        File.SetUnixFileMode(folder.File("a/run"), (UnixFileMode)0x1E8);
        File.SetLastWriteTimeUtc(folder.File("a/run"), new DateTime(2001, 2, 3, 4, 5, 6, 700, DateTimeKind.Utc));
        using var store = new MemoryBlockstore();
        var importer = new UnixFsImporter(store, UnixFsProfile.V1, new UnixFsImportOptions { PreserveMode = true, PreserveMtime = true });
        new UnixFsExporter(store).Write(importer.AddPath(folder.File("a")).Cid, folder.File("b"));
        Assert.Equal((UnixFileMode)0x1E8, File.GetUnixFileMode(folder.File("b/run")));
        Assert.Equal(new DateTime(2001, 2, 3, 4, 5, 6, 700, DateTimeKind.Utc), File.GetLastWriteTimeUtc(folder.File("b/run")));
    }

    [Fact]
    public void Names_that_lead_elsewhere_or_stand_twice_make_no_directory()
    {
        var importer = new UnixFsImporter(null, UnixFsProfile.V1);
        Cid cid = Cid.Parse("bafkqaaa");
        foreach (string name in (string[])["", ".", "..", "a/b", "a\0b"]) Assert.Throws<ArgumentException>(() => importer.AddDirectory([new NewEntry(name, cid, 0)]));
        Assert.Throws<ArgumentException>(() => importer.AddDirectory([new NewEntry("a", cid, 0), new NewEntry("a", cid, 0)]));
    }

    private static ImportedNode Add(UnixFsProfile profile, string content) =>
        new UnixFsImporter(null, profile).AddFile(new MemoryStream(Encoding.UTF8.GetBytes(content)));

    private static byte[] Bytes(int length)
    {
        byte[] bytes = new byte[length];
        new Random(length).NextBytes(bytes);
        return bytes;
    }

    /// <summary>A stream that gives less than it is asked for.</summary>
    private sealed class Dribble(byte[] bytes) : MemoryStream(bytes)
    {
        public override int Read(Span<byte> buffer) => base.Read(buffer[..Math.Min(buffer.Length, 7)]);

        public override int Read(byte[] buffer, int offset, int count) => base.Read(buffer, offset, Math.Min(count, 7));
    }
}
