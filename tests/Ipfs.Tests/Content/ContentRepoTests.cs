using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Content;
using Leither.Ipfs.Files;
using Leither.Ipfs.Multiformats;
using Leither.Ipfs.UnixFs;
using Leither.TestKit;
using Xunit;

namespace Leither.Ipfs.Tests.Content;

public sealed class ContentRepoTests : IDisposable
{
    private readonly TempDir _folder = new("content");
    private ContentRepo _repo;

    public ContentRepoTests() => _repo = Open();

    public void Dispose()
    {
        _repo.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public void A_collection_keeps_what_is_pinned_and_the_tree_and_nothing_else()
    {
        Cid kept = Add(1), direct = Add(2), loose = Add(3), file = Add(4);
        Assert.True(_repo.Pin(kept, PinKind.Recursive));
        Assert.False(_repo.Pin(kept, PinKind.Recursive));
        _repo.Pin(direct, PinKind.Direct);
        _repo.Files.Link(file, "/file");
        _repo.FlushFiles();
        _repo.Collect();
        Assert.Equal(5, _repo.Reachable(kept).Count());
        Assert.Single(_repo.Reachable(direct));
        Assert.Empty(_repo.Reachable(loose));
        Assert.Equal(5, _repo.Reachable(file).Count());

        Assert.True(_repo.Unpin(kept));
        Assert.False(_repo.Unpin(kept));
        _repo.Files.Remove("/file");
        _repo.FlushFiles();
        _repo.Collect(purge: true);
        Assert.Empty(_repo.Reachable(kept));
        Assert.Empty(_repo.Reachable(file));
        Assert.Single(_repo.Reachable(direct));
    }

    [Fact]
    public void A_tree_that_changed_and_is_not_flushed_is_kept_too()
    {
        Cid file = Add(1);
        _repo.Files.Link(file, "/file");
        _repo.Collect();
        Assert.Equal(5, _repo.Reachable(file).Count());
    }

    [Fact]
    public void Pins_and_the_tree_are_there_after_a_restart()
    {
        Cid one = Add(1), two = Add(2), three = Add(3);
        _repo.Pin(one, PinKind.Recursive);
        _repo.Pin(two, PinKind.Direct);
        _repo.Pin(two, PinKind.Recursive);
        _repo.Pin(three, PinKind.Direct);
        _repo.Unpin(three);
        _repo.Files.MakeDirectory("/d");
        Cid root = _repo.FlushFiles();
        Reopen();
        Assert.Equal([(one, PinKind.Recursive), (two, PinKind.Recursive)], _repo.Pins.Select(p => (p.Key, p.Value)).Order(Comparer<(Cid, PinKind)>.Create((a, b) => a.Item1 == one ? -1 : 1)));
        Assert.Equal(root, _repo.FlushFiles());
        Assert.Equal(["d"], _repo.Files.List("/").Select(e => e.Name));
        Assert.Equal(new PinnedBy(PinKind.Recursive, one), _repo.FindPin(UnixFsNode.Load(_repo.Blocks, one).Links[2].Cid));
        Assert.Null(_repo.FindPin(three));
    }

    [Fact]
    public void What_is_not_here_whole_cannot_be_pinned()
    {
        Cid cid = Add(1);
        Cid lost = UnixFsNode.Load(_repo.Blocks, cid).Links[1].Cid;
        _repo.Blocks.Delete(lost);
        Assert.Equal(lost, Assert.Throws<BlockMissingException>(() => _repo.Pin(cid, PinKind.Recursive)).Cid);
        Assert.True(_repo.Pin(cid, PinKind.Direct));
        Assert.Equal([(cid, PinKind.Direct)], _repo.Pins.Select(p => (p.Key, p.Value)));
    }

    [Fact]
    public void Many_changes_leave_a_short_file()
    {
        Cid cid = Add(1);
        for (int i = 0; i < 700; i++)
        {
            _repo.Pin(cid, PinKind.Direct);
            _repo.Unpin(cid);
        }

        _repo.Pin(cid, PinKind.Direct);
        Assert.InRange(new FileInfo(_folder.File("roots")).Length, 1, 100_000);
        Reopen();
        Assert.Single(_repo.Pins);
    }

    [Fact]
    public void A_torn_last_line_is_cut_off_and_other_damage_stops_the_start()
    {
        Cid one = Add(1), two = Add(2);
        _repo.Pin(one, PinKind.Direct);
        _repo.Pin(two, PinKind.Direct);
        _repo.Blocks.Flush();
        _repo.Dispose();
        string path = _folder.File("roots");
        byte[] whole = File.ReadAllBytes(path);
        File.WriteAllBytes(path, whole[..^5]);
        _repo = Open();
        Assert.Equal([one], _repo.Pins.Select(p => p.Key));
        Assert.True(_repo.Pin(two, PinKind.Direct));
        _repo.Dispose();
        Assert.Equal(whole, File.ReadAllBytes(path));

        whole[30] ^= 1;
        File.WriteAllBytes(path, whole);
        Assert.Contains("line 2", Assert.Throws<IOException>(Open).Message, StringComparison.Ordinal);
        whole[30] ^= 1;
        File.WriteAllBytes(path, whole);
        _repo = Open();
    }

    [Fact]
    public void Loose_blocks_are_kept_for_a_while_also_those_that_are_not_what_they_say()
    {
        Cid raw = Cid.Of(Multicodec.Raw, [1]), broken = Cid.Of(Multicodec.DagPb, [2]);
        _repo.Loose.Put(raw, [1]);
        _repo.Loose.Put(broken, [2]);
        _repo.Collect();
        Assert.True(_repo.Blocks.Has(raw) && _repo.Blocks.Has(broken));
    }

    [Fact]
    public void What_was_put_loose_is_pinned_when_all_of_it_is_here_whatever_the_order_and_not_otherwise()
    {
        var made = new MemoryBlockstore();
        Cid root = new UnixFsImporter(made, UnixFsProfile.V0 with { ChunkBytes = 10 }).AddFile(new MemoryStream([.. Enumerable.Range(0, 40).Select(i => (byte)i)])).Cid;
        Cid[] leaves = [.. UnixFsNode.Load(made, root).Links.Select(l => l.Cid)];
        Assert.Equal(4, leaves.Length);

        Put(root); // before its leaves, of which one is missing
        foreach (Cid leaf in leaves[1..]) Put(leaf);
        Assert.Equal(leaves[0], Assert.Throws<BlockMissingException>(() => _repo.Pin(root, PinKind.Recursive)).Cid);

        Put(leaves[0]);
        Put(root); // again, when all that it leads to was put
        Assert.True(_repo.Loose.Remove(leaves[2]));
        Assert.False(_repo.Loose.Remove(leaves[2]));
        Assert.Equal(leaves[2], Assert.Throws<BlockMissingException>(() => _repo.Pin(root, PinKind.Recursive)).Cid);

        foreach (Cid leaf in leaves) Put(leaf);
        Put(root);
        Assert.True(_repo.Pin(root, PinKind.Recursive));
        Reopen();
        _repo.Collect();
        Assert.Equal(5, _repo.Reachable(root).Count());

        void Put(Cid cid) => _repo.Loose.Put(cid, made.Get(cid)!);
    }

    private void Reopen()
    {
        _repo.Blocks.Flush();
        _repo.Dispose();
        _repo = Open();
    }

    private ContentRepo Open() => new(new FileBlockstore(_folder.File("blocks")), new DiskFolder(_folder.Path));

    private Cid Add(int seed)
    {
        byte[] bytes = new byte[40];
        new Random(seed).NextBytes(bytes);
        return new UnixFsImporter(_repo.Blocks, UnixFsProfile.V1 with { ChunkBytes = 10 }).AddFile(new MemoryStream(bytes)).Cid;
    }
}
