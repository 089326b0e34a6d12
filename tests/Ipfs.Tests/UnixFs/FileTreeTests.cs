using System.Text;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.DagPb;
using Leither.Ipfs.Multiformats;
using Leither.Ipfs.UnixFs;
using Leither.TestKit;
using Xunit;

namespace Leither.Ipfs.Tests.UnixFs;

public sealed class FileTreeTests : IDisposable
{
    private readonly MemoryBlockstore _store = new();
    private readonly FileTree _tree;

    public FileTreeTests() => _tree = new FileTree(_store, UnixFsProfile.V0);

    public void Dispose() => _store.Dispose();

    [Fact]
    public void A_new_tree_is_the_empty_folder() => Assert.Equal("QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn", _tree.Flush().ToString());

    [Fact]
    public void What_is_written_has_the_CIDs_that_importing_gives()
    {
        _tree.MakeDirectory("/a/b", parents: true);
        Write("/a/b/hello.txt", "hello world\n");
        Assert.Equal("QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o", _tree.Stat("/a/b/hello.txt").Cid.ToString());
        var importer = new UnixFsImporter(_store, UnixFsProfile.V0);
        ImportedNode file = importer.AddFile(new MemoryStream("hello world\n"u8.ToArray()));
        ImportedNode b = importer.AddDirectory([new NewEntry("hello.txt", file.Cid, file.Tsize)]);
        ImportedNode a = importer.AddDirectory([new NewEntry("b", b.Cid, b.Tsize)]);
        Assert.Equal(importer.AddDirectory([new NewEntry("a", a.Cid, a.Tsize)]).Cid, _tree.Flush());
        Assert.Equal("hello world\n", Read(new FileTree(_store, UnixFsProfile.V0, _tree.Flush()), "/a/b/hello.txt"));
    }

    [Fact]
    public void Bytes_are_written_in_the_middle_behind_the_end_and_instead()
    {
        Write("/f", "0123456789");
        _tree.Write("/f", Content("AB"), new FileWriteOptions { Offset = 3 });
        Assert.Equal("012AB56789", Read("/f"));
        _tree.Write("/f", Content("!"), new FileWriteOptions { Offset = 12 });
        Assert.Equal("012AB56789\0\0!", Read("/f"));
        _tree.Write("/f", Content("new"), new FileWriteOptions { Truncate = true });
        Assert.Equal("new", Read("/f"));
        _tree.Write("/f", Content("x"), new FileWriteOptions { Truncate = true, Offset = 2 });
        Assert.Equal("\0\0x", Read("/f"));
    }

    [Fact]
    public void Things_are_copied_moved_and_removed()
    {
        _tree.MakeDirectory("/a");
        Write("/a/f", "f");
        _tree.Copy("/a", "/b");
        Write("/b/g", "g");
        Assert.Equal(["f"], _tree.List("/a").Select(e => e.Name));
        Assert.Equal(["f", "g"], _tree.List("/b").Select(e => e.Name));
        _tree.Move("/b/g", "/a");
        _tree.Move("/a/g", "/a/h");
        Assert.Equal(["f", "h"], _tree.List("/a").Select(e => e.Name));
        _tree.Move("/a/f", "/a/h");
        Assert.Equal("f", Read("/a/h"));
        _tree.Move("/a", "/b/");
        Assert.Equal(["b"], _tree.List("/").Select(e => e.Name));
        Assert.Equal(["a", "f"], _tree.List("/b").Select(e => e.Name));
        Assert.Throws<UnixFsPathException>(() => _tree.Remove("/b"));
        _tree.Remove("/b/f");
        _tree.Remove("/b", recursive: true);
        Assert.Equal("QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn", _tree.Flush().ToString());
    }

    [Fact]
    public void What_makes_no_sense_is_refused_and_changes_nothing()
    {
        Write("/f", "f");
        _tree.MakeDirectory("/d");
        Cid before = _tree.Flush();
        Action[] mistakes =
        [
            () => _tree.MakeDirectory("/d"), () => _tree.MakeDirectory("/f"), () => _tree.MakeDirectory("/x/y"), () => _tree.MakeDirectory("/f/y", parents: true), () => _tree.MakeDirectory("/"),
            () => _tree.Write("/x", Content("")), () => _tree.Write("/d", Content("")), () => _tree.Write("/", Content("")), () => _tree.Write("/f/x", Content(""), new FileWriteOptions { Create = true }),
            () => _tree.Read("/d"), () => _tree.Read("/x"), () => _tree.Stat("/x"), () => _tree.List("/x"), () => _tree.Read("/../f"),
            () => _tree.Copy("/x", "/y"), () => _tree.Copy("/d", "/f"), () => _tree.Copy("/", "/d"), () => _tree.Move("/d", "/d/e"), () => _tree.Move("/", "/d"), () => _tree.Move("/x", "/y"),
            () => _tree.Remove("/x"), () => _tree.Remove("/"), () => _tree.Remove("/d"),
        ];
        foreach (Action mistake in mistakes) Assert.Throws<UnixFsPathException>(mistake);
        _tree.Move("/f", "/f");
        Assert.Equal(before, _tree.Flush());
    }

    [Fact]
    public void A_folder_that_others_made_with_names_that_are_none_is_shown_and_not_opened()
    {
        Cid file = new UnixFsImporter(_store, UnixFsProfile.V1).AddFile(Content("x")).Cid;
        byte[] block = new PbNode([new PbLink(file, "..", 1)], new UnixFsData { Type = UnixFsType.Directory }.Encode()).Encode();
        var folder = Cid.Of(Multicodec.DagPb, block);
        _store.Put(folder, block);
        _tree.Link(folder, "/odd");
        Assert.Throws<UnixFsException>(() => _tree.List("/odd"));
        Assert.Throws<UnixFsException>(() => Write("/odd/x", "x"));
        _tree.Flush();
        Assert.Equal(folder, _tree.Stat("/odd").Cid);
        Assert.Throws<UnixFsPathException>(() => _tree.Write("/far", Content("x"), new FileWriteOptions { Create = true, Offset = FileTree.MaxGapBytes + 1 }));
    }

    [Theory]
    [InlineData(0, false)]
    [InlineData(1, true)]
    public void Writing_into_a_file_gives_what_importing_all_of_it_anew_gives(int version, bool rawLeaves) => Seed.Run(random =>
    {
        UnixFsProfile profile = UnixFsProfile.V0 with { CidVersion = version, HasRawLeaves = rawLeaves, ChunkBytes = 10, MaxLinks = 3 };
        var tree = new FileTree(_store, profile);
        byte[] model = new byte[random.Next(400)];
        random.NextBytes(model);
        tree.Write("/f", new MemoryStream(model), new FileWriteOptions { Create = true });
        for (int i = 0; i < 50; i++)
        {
            byte[] bytes = new byte[random.Next(1, random.Next(2) == 0 ? 12 : 120)];
            random.NextBytes(bytes);
            int offset = random.Next(3) == 0 ? model.Length : random.Next(model.Length + 40);
            if (model.Length < offset + bytes.Length) Array.Resize(ref model, offset + bytes.Length);
            bytes.CopyTo(model, offset);
            tree.Write("/f", new MemoryStream(bytes), new FileWriteOptions { Offset = offset });
            Assert.Equal(new UnixFsImporter(null, profile).AddFile(new MemoryStream(model)), new ImportedNode(tree.Stat("/f").Cid, tree.Stat("/f").TotalSize, tree.Stat("/f").Size));
            using UnixFsStream read = tree.Read("/f");
            byte[] all = new byte[model.Length];
            read.ReadExactly(all);
            Assert.Equal(model, all);
        }
    });

    [Fact]
    public void Writing_a_little_into_a_large_file_touches_only_that()
    {
        using var store = new MemoryBlockstore();
        byte[] bytes = new byte[200 << 18];
        new Random(1).NextBytes(bytes);
        foreach (UnixFsProfile profile in UnixFsProfile.All)
        {
            Cid file = new UnixFsImporter(store, profile).AddFile(new MemoryStream(bytes)).Cid;
            var tree = new FileTree(store, UnixFsProfile.V0);
            tree.Link(file, "/f");
            tree.Flush();
            long before = store.Figures.Blocks;
            tree.Write("/f", new MemoryStream([1, 2, 3]), new FileWriteOptions { Offset = 77 << 18 });
            Assert.InRange(store.Figures.Blocks - before, 2, 4);
            byte[] changed = [.. bytes];
            new byte[] { 1, 2, 3 }.CopyTo(changed, 77 << 18);
            Assert.Equal(new UnixFsImporter(null, profile).AddFile(new MemoryStream(changed)).Cid, tree.Stat("/f").Cid);
        }
    }

    [Fact]
    public void A_file_that_was_cut_in_no_known_way_can_be_written_into()
    {
        Cid odd = new UnixFsImporter(_store, UnixFsProfile.V0 with { ChunkBytes = 7, MaxLinks = 5 }).AddFile(Content(new string('a', 500))).Cid;
        _tree.Link(odd, "/f");
        _tree.Write("/f", Content("xyz"), new FileWriteOptions { Offset = 250 });
        using UnixFsStream read = _tree.Read("/f");
        using var text = new StreamReader(read);
        Assert.Equal(new string('a', 250) + "xyz" + new string('a', 247), text.ReadToEnd());
    }

    [Fact]
    public void Any_changes_leave_what_a_plain_model_has()
    {
        Seed.Run(random =>
        {
            var model = new SortedDictionary<string, string>(StringComparer.Ordinal);
            for (int i = 0; i < 500; i++)
            {
                string path = $"/{random.Next(3)}/{random.Next(4)}";
                switch (random.Next(4))
                {
                    case 0 when model.ContainsKey(path):
                        _tree.Remove(path);
                        model.Remove(path);
                        break;
                    case 1 when model.TryGetValue(path, out string? old):
                        string to = $"/{random.Next(3)}/{random.Next(4)}";
                        _tree.MakeDirectory(to[..2], parents: true);
                        _tree.Move(path, to);
                        model.Remove(path);
                        model[to] = old;
                        break;
                    case 2:
                        _tree.Flush();
                        break;
                    default:
                        string content = new((char)('a' + random.Next(26)), random.Next(5));
                        Write(path, content);
                        model[path] = content;
                        break;
                }
            }

            var reopened = new FileTree(_store, UnixFsProfile.V0, _tree.Flush());
            Assert.Equal(model.Keys, reopened.List("/").SelectMany(d => reopened.List("/" + d.Name).Select(f => $"/{d.Name}/{f.Name}")));
            Assert.All(model, pair => Assert.Equal(pair.Value, Read(reopened, pair.Key)));
        });
    }

    private static MemoryStream Content(string text) => new(Encoding.UTF8.GetBytes(text));

    private void Write(string path, string text) => _tree.Write(path, Content(text), new FileWriteOptions { Create = true, Truncate = true, Parents = true });

    private string Read(string path) => Read(_tree, path);

    private static string Read(FileTree tree, string path)
    {
        using UnixFsStream file = tree.Read(path);
        using var reader = new StreamReader(file);
        return reader.ReadToEnd();
    }
}
