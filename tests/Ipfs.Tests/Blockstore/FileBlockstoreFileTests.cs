using System.Buffers;
using System.Text;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Files;
using Leither.Ipfs.Multiformats;
using Leither.TestKit;
using Xunit;

namespace Leither.Ipfs.Tests.Blockstore;

/// <summary>What <see cref="FileBlockstore"/> does with its files: formats, damage, failures, costs.</summary>
public sealed class FileBlockstoreFileTests
{
    private static readonly FileBlockstoreOptions _small = new() { MaxPackBytes = 16384, BufferBytes = 4096, MaxRecentBlocks = 20, Salt = static () => 0x5eed };

    // Each flush writes an index file.
    private static readonly FileBlockstoreOptions _eager = new() { MaxRecentBlocks = 1, Salt = static () => 0x5eed };

    [Fact]
    public void The_bytes_of_a_pack_are_frozen()
    {
        var disk = new SimulatedDisk(0);
        using (var store = new FileBlockstore(disk, _small))
        {
            (Cid cid, byte[] data) = Blocks.Text("Hello, block");
            store.Put(cid, data);
            store.Put(Cid.Of(Multicodec.DagCbor, [0xa0]), [0xa0]);
            store.Delete(cid);
            store.Flush();
        }
        Golden(
            "4c65695061636b0a0100000001000000 0000000000000000 ed5e0000 0000000000000000000000000000000000000000000000000000000000000000 38f2bad5"
            + "0cb101240c0000001bfc130f 015512204d89c58ae91e82892f0c09f2e2002c4f799b1b9183b7bef5447183e444ee9e40 48656c6c6f2c20626c6f636b"
            + "0cb1012401000000d4872a38 01711220c19a797fa1fd590cd2e5b42d1cf5f246e29b91684e2f87404b81dc345c7a56a0 a0"
            + "0cb10224000000009b51da95 015512204d89c58ae91e82892f0c09f2e2002c4f799b1b9183b7bef5447183e444ee9e40",
            disk.Content("00000001.pack"));
    }

    [Fact]
    public void The_bytes_of_an_index_are_frozen()
    {
        var disk = new SimulatedDisk(0);
        using (var store = new FileBlockstore(disk, _small))
        {
            foreach ((Cid cid, byte[] data) in Many(100)) store.Put(cid, data);
            store.Put(Cid.Create(Multicodec.Raw, Multihash.Sha512([1])), [1]);
            store.Put(Cid.CreateV0(Multihash.Sha256([2])), [2]);
            store.Delete(Many(1)[0].Cid);
            store.Flush();
        }
        byte[] index = disk.Content("00000001.index");
        Golden("4c6569496e64780a 01000000 01000000 0000000000000000 a636000001000000 02000000 02000000 6600000000000000 02000000 1c524a3e 01000000 8a1ff01f", index.AsSpan(0, 64));
        Golden("4c62b3b4 29000000 0000000001000000 046e60352dad847a69499143cfd04d808bd947e1e8c241db7aae1638ee9d2cf4 01000000 b90c0000 47000000 01240000", index.AsSpan(4096, 16 + 48));
        Assert.Equal("d51ae16e1108f9e2f5c4231035fc9fdc4c6fdba67f653255b568a596fe08130c", Hash(index));
    }

    [Fact]
    public void A_pack_from_the_future_is_refused()
    {
        var disk = new SimulatedDisk(0);
        using (var store = new FileBlockstore(disk, _small))
        {
            store.Put(Many(1)[0].Cid, Many(1)[0].Data);
            store.Flush();
        }
        byte[] pack = disk.Content("00000001.pack");
        pack[8] = 2;
        BitConverter.TryWriteBytes(pack.AsSpan(60), Crc32C.Compute(0, pack.AsSpan(0, 60)));
        disk.Put("00000001.pack", pack);
        using var again = new FileBlockstore(disk, _small);
        Assert.Contains("version 2", Assert.Throws<DiskException>(() => again.Has(Many(1)[0].Cid)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_damaged_block_is_named_with_its_place_and_the_others_stay_readable()
    {
        var disk = new SimulatedDisk(0);
        List<(Cid Cid, byte[] Data)> blocks = Many(100);
        using var store = new FileBlockstore(disk, _small);
        foreach ((Cid cid, byte[] data) in blocks) store.Put(cid, data);
        store.Flush();
        (string file, int at) = Locate(disk, blocks[42].Data);
        disk.FlipBit(file, at + 10, 3);
        var error = Assert.Throws<BlockCorruptedException>(() => store.Get(blocks[42].Cid));
        Assert.Equal((blocks[42].Cid, "/disk/" + file, (long)at), (error.Cid, error.File, error.Offset));
        foreach ((Cid cid, byte[] data) in blocks.Where(b => b.Cid != blocks[42].Cid)) Assert.Equal(data, store.Get(cid));

        // As the message says: delete it and put it again.
        Assert.True(store.Delete(blocks[42].Cid));
        Assert.True(store.Put(blocks[42].Cid, blocks[42].Data));
        Assert.Equal(blocks[42].Data, store.Get(blocks[42].Cid));
    }

    [Fact]
    public void Whatever_bit_of_a_pack_flips_all_blocks_but_one_stay_readable_also_without_an_index() => Seed.Run(random =>
    {
        List<(Cid Cid, byte[] Data)> blocks = Many(60);
        for (int round = 0; round < (Seed.IsLong ? 3000 : 200); round++)
        {
            var disk = new SimulatedDisk(0);
            using (var store = new FileBlockstore(disk, new FileBlockstoreOptions { MaxPackBytes = 8192, Salt = static () => 1 }))
            {
                foreach ((Cid cid, byte[] data) in blocks) store.Put(cid, data);
                store.Close();
            }
            string[] packs = [.. disk.Names.Where(static n => n.EndsWith(".pack", StringComparison.Ordinal))];
            string pack = packs[random.Next(packs.Length)];
            disk.FlipBit(pack, random.Next(disk.Content(pack).Length), random.Next(8));
            bool isWithout = round % 2 == 0;
            if (isWithout)
            {
                foreach (string index in disk.Names.Where(static n => n.EndsWith(".index", StringComparison.Ordinal)).ToArray()) disk.Remove(index);
            }
            using var again = new FileBlockstore(disk, _small);
            int bad = 0;
            foreach ((Cid cid, byte[] data) in blocks)
            {
                try
                {
                    byte[]? found = again.Get(cid);
                    if (found is null) bad++;
                    else Assert.Equal(data, found);
                }
                catch (BlockCorruptedException)
                {
                    bad++;
                }
            }
            Assert.True(bad <= 1, $"{bad} blocks are gone");
            if (isWithout && bad == 1) Assert.Contains(again.Damage, d => d.File.EndsWith(pack, StringComparison.Ordinal));
        }
    });

    [Fact]
    public void A_damaged_or_missing_index_is_made_again() => Seed.Run(random =>
    {
        List<(Cid Cid, byte[] Data)> blocks = Many(300);
        for (int round = 0; round < (Seed.IsLong ? 2000 : 150); round++)
        {
            var disk = new SimulatedDisk(0);
            using (var store = new FileBlockstore(disk, _small))
            {
                for (int i = 0; i < blocks.Count; i++)
                {
                    store.Put(blocks[i].Cid, blocks[i].Data);
                    if (i % 40 == 0) store.Flush();
                }
                store.Delete(blocks[7].Cid);
                store.Close();
            }
            string[] indexes = [.. disk.Names.Where(static n => n.EndsWith(".index", StringComparison.Ordinal))];
            string index = indexes[random.Next(indexes.Length)];
            switch (random.Next(3))
            {
                case 0:
                    disk.Remove(index);
                    break;
                case 1:
                    disk.Put(index, disk.Content(index)[..random.Next(disk.Content(index).Length)]);
                    break;
                default:
                    for (int i = 0; i < 20; i++) disk.FlipBit(index, random.Next(disk.Content(index).Length), random.Next(8));
                    break;
            }
            using var again = new FileBlockstore(disk, _small);
            foreach ((Cid cid, byte[] data) in blocks.OrderBy(_ => random.Next()))
            {
                if (cid == blocks[7].Cid) Assert.False(again.Has(cid));
                else Assert.Equal(data, again.Get(cid));
            }
            Assert.Equal(299, again.Cids().Count());
        }
    });

    /// <summary>After a loss of power an index whose bytes nobody waited for may have its header, and not what is behind it.</summary>
    [Fact]
    public void A_damaged_filter_does_not_end_a_listing() => AssertListedThoughDamaged(4096 * 2 + 5);

    [Fact]
    public void A_damaged_page_does_not_end_a_listing() => AssertListedThoughDamaged(4096 + 20);

    /// <summary>Whichever index a bit is flipped in, the first thing that is asked after the start is what there is.</summary>
    private static void AssertListedThoughDamaged(int at)
    {
        List<(Cid Cid, byte[] Data)> blocks = Many(5);
        for (int index = 1; index <= 3; index++)
        {
            var disk = new SimulatedDisk(0);
            using (var store = new FileBlockstore(disk, _eager))
            {
                for (int i = 0; i < 3; i++)
                {
                    store.Put(blocks[i].Cid, blocks[i].Data);
                    store.Flush();
                }
            }
            string name = $"0000000{index}.index";
            Assert.Equal(4096 * 2 + 64 + 8, disk.Content(name).Length);
            disk.FlipBit(name, at, 1);
            using var again = new FileBlockstore(disk, _eager);
            Assert.Equal(blocks.Take(3).Select(static b => b.Cid.ToString()).Order(), again.Cids().Select(static c => c.ToString()).Order());
        }
    }

    [Fact]
    public void A_torn_tail_is_cut_off_and_reported()
    {
        List<(Cid Cid, byte[] Data)> blocks = Many(30);
        var disk = new SimulatedDisk(0);
        using (var store = new FileBlockstore(disk, new FileBlockstoreOptions()))
        {
            foreach ((Cid cid, byte[] data) in blocks) store.Put(cid, data);
            store.Flush();
        }
        byte[] pack = disk.Content("00000001.pack");
        int last = 12 + 36 + blocks[^1].Data.Length;
        disk.Put("00000001.pack", pack[..^5]);
        using var again = new FileBlockstore(disk);
        Assert.False(again.Has(blocks[^1].Cid));
        Assert.Equal(29, again.Figures.Blocks);
        BlockDamage damage = Assert.Single(again.Damage);
        Assert.Equal(("/disk/00000001.pack", (long)(pack.Length - last), (long)(last - 5), true), (damage.File, damage.Offset, damage.Length, damage.IsTornTail));
        Assert.True(again.Put(blocks[^1].Cid, blocks[^1].Data));
        again.Flush();
        foreach ((Cid cid, byte[] data) in blocks) Assert.Equal(data, again.Get(cid));
    }

    [Fact]
    public void A_thousand_puts_cost_few_writes_and_one_sync()
    {
        var disk = new SimulatedDisk(0);
        using var store = new FileBlockstore(disk);
        foreach ((Cid cid, byte[] data) in Many(1000)) store.Put(cid, data);
        store.Flush();
        Assert.Equal(1, disk.Calls["sync"]);
        Assert.Equal(1, disk.Calls["sync directory"]);
        Assert.True(disk.Calls["write"] <= 3, $"{disk.Calls["write"]} writes");
        store.Flush();
        foreach ((Cid cid, byte[] data) in Many(1000)) store.Put(cid, data);
        store.Flush();
        Assert.Equal(1, disk.Calls["sync"]);
    }

    [Fact]
    public void After_a_failed_sync_the_blocks_are_written_to_another_file()
    {
        var disk = new SimulatedDisk(0);
        List<(Cid Cid, byte[] Data)> blocks = Many(50);
        using (var store = new FileBlockstore(disk))
        {
            foreach ((Cid cid, byte[] data) in blocks) store.Put(cid, data);
            disk.Fails = static operation => operation == "sync";
            Assert.Throws<DiskException>(store.Flush);
            disk.Fails = static _ => false;
            foreach ((Cid cid, byte[] data) in blocks) Assert.Equal(data, store.Get(cid));
            store.Flush();
            Assert.Contains("00000002.pack", disk.Names);
        }
        disk.LosePower();
        using var again = new FileBlockstore(disk);
        foreach ((Cid cid, byte[] data) in blocks) Assert.Equal(data, again.Get(cid));
    }

    [Fact]
    public void A_full_disk_refuses_a_put_and_loses_none()
    {
        var disk = new SimulatedDisk(0) { Capacity = 10_000 };
        List<(Cid Cid, byte[] Data)> blocks = Many(200), taken = [];
        using var store = new FileBlockstore(disk, _small);
        bool wasRefused = false;
        foreach ((Cid cid, byte[] data) in blocks)
        {
            try
            {
                store.Put(cid, data);
                taken.Add((cid, data));
            }
            catch (DiskException e)
            {
                Assert.True(e.IsFull);
                wasRefused = true;
            }
        }
        Assert.True(wasRefused);
        Assert.True(Assert.Throws<DiskException>(store.Flush).IsFull);
        foreach ((Cid cid, byte[] data) in taken) Assert.Equal(data, store.Get(cid));
        disk.Capacity = long.MaxValue;
        store.Flush();
        disk.LosePower();
        using var again = new FileBlockstore(disk, _small);
        foreach ((Cid cid, byte[] data) in taken) Assert.Equal(data, again.Get(cid));
    }

    [Fact]
    public void A_reader_goes_on_while_the_pack_it_reads_is_deleted()
    {
        using var folder = new TempDir("blocks");
        using var store = new FileBlockstore(folder.Path);
        (Cid cid, byte[] data) = Blocks.Raw(5000, 1);
        store.Put(cid, data);
        store.Close();
        using var again = new FileBlockstore(folder.Path);
        // The place is known when room is asked for, and the file not read yet.
        var reader = new Interrupted(() => again.Collect(new CollectionOptions { Roots = static () => [], Links = Blocks.Links, Purge = true }).Run());
        Assert.True(again.TryGet(cid, reader));
        Assert.Equal(data, reader.Bytes);
        Assert.False(again.Has(cid));
        Assert.Empty(Directory.GetFiles(folder.Path, "*.pack"));
    }

    [Fact]
    public void A_purge_leaves_no_byte_of_a_secret_in_any_file()
    {
        using var folder = new TempDir("blocks");
        using var store = new FileBlockstore(folder.Path, new FileBlockstoreOptions { MaxPackBytes = 256 << 10 });
        byte[] secret = Encoding.UTF8.GetBytes("the launch code is 00000000, and nobody may ever know");
        Cid secretCid = Cid.Of(Multicodec.Raw, secret);
        Tree kept = Tree.Make(store, seed: 1, depth: 3, fanout: 10);
        store.Put(secretCid, secret);
        store.Flush();
        Tree kept2 = Tree.Make(store, seed: 2, depth: 3, fanout: 10);
        store.Flush();
        CollectionOptions Options(bool purge) => new() { Roots = () => [kept.Root, kept2.Root], Links = Blocks.Links, Purge = purge };
        store.Collect(Options(purge: false)).Run();
        Assert.True(Holds(folder, secret), "a collection does not write everything anew for one block");
        store.Collect(Options(purge: true)).Run();
        Assert.False(Holds(folder, secret));
        byte[] digest = new byte[32];
        secretCid.Multihash.CopyDigest(digest);
        Assert.False(Holds(folder, digest));
        foreach (Tree tree in new[] { kept, kept2 })
        {
            foreach (Cid cid in tree.All) Assert.Equal(tree.Data(cid), store.Get(cid));
        }

        static bool Holds(TempDir folder, byte[] bytes) => Directory.GetFiles(folder.Path).Any(f => File.ReadAllBytes(f).AsSpan().IndexOf(bytes) >= 0);
    }

    [Fact]
    public void Space_comes_back_and_small_packs_are_made_one()
    {
        var disk = new SimulatedDisk(0);
        using var store = new FileBlockstore(disk, new FileBlockstoreOptions { MaxPackBytes = 64 << 10 });
        var trees = new List<Tree>();
        for (int i = 0; i < 40; i++)
        {
            trees.Add(Tree.Make(store, 100 + i, depth: 2, fanout: 6));
            store.Flush();
        }
        long before = store.Figures.TotalBytes;
        trees.RemoveRange(4, 36);
        for (int i = 0; i < 20; i++)
        {
            trees.Add(Tree.Make(store, 1000 + i, depth: 1, fanout: 1));
            using BlockCollection collection = store.Collect(new CollectionOptions { Roots = () => trees.Select(static t => t.Root), Links = Blocks.Links });
            collection.Run();
        }
        BlockstoreFigures figures = store.Figures;
        Assert.True(figures.TotalBytes < before / 5, $"{figures.TotalBytes} of {before}");
        Assert.True(figures.Packs <= 12, $"{figures.Packs} packs");
        foreach (Tree tree in trees)
        {
            foreach (Cid cid in tree.All) Assert.Equal(tree.Data(cid), store.Get(cid));
        }
    }

    [Fact]
    public void What_was_deleted_stays_so_where_its_pack_cannot_be_deleted_and_some_indexes_are_merged()
    {
        using FileBlockstore store = WithUndeletablePack(out SimulatedDisk disk, out Cid deleted);
        store.Put(Many(3)[2].Cid, Many(3)[2].Data);
        store.Flush();
        // The newest four are one now: the index of the deletion is among them, that of the block is not.
        Assert.Equal(["00000001.index", "00000006.index"], disk.Names.Where(static n => n.EndsWith(".index", StringComparison.Ordinal)));
        Assert.False(store.Has(deleted));
        store.Dispose();
        using var again = new FileBlockstore(disk, _eager);
        Assert.False(again.Has(deleted));
    }

    [Fact]
    public void What_was_deleted_stays_so_where_its_pack_cannot_be_deleted_and_an_index_is_made_again()
    {
        using FileBlockstore store = WithUndeletablePack(out SimulatedDisk disk, out Cid deleted);
        disk.FlipBit("00000002.index", 4096 + 20, 1);
        Assert.False(store.Has(deleted));
        Assert.DoesNotContain("00000002.index", disk.Names);
        store.Dispose();
        using var again = new FileBlockstore(disk, _eager);
        Assert.False(again.Has(deleted));
    }

    [Fact]
    public void What_a_collection_could_not_delete_can_be_deleted()
    {
        var disk = new SimulatedDisk(0);
        using (var store = new FileBlockstore(disk, _eager))
        {
            store.Put(Many(1)[0].Cid, Many(1)[0].Data);
            store.Flush();
            disk.Fails = static operation => operation == "delete";
            Assert.Throws<DiskException>(store.Collect(Purge()).Run);
            Assert.Equal(store.Has(Many(1)[0].Cid), store.Delete(Many(1)[0].Cid));
            store.Flush();
        }
        using var again = new FileBlockstore(disk, _eager);
        Assert.False(again.Has(Many(1)[0].Cid));
        disk.Heal();
        again.Collect(Purge()).Run();
        Assert.DoesNotContain(disk.Names, static n => n.EndsWith(".pack", StringComparison.Ordinal));
    }

    [Fact]
    public void What_is_put_again_stays_whatever_came_of_a_deletion_that_failed()
    {
        var disk = new SimulatedDisk(0);
        (Cid cid, byte[] data) = Many(1)[0];
        using (var store = new FileBlockstore(new LostReplies(disk), _eager))
        {
            store.Put(cid, data);
            store.Flush();
            Assert.Throws<DiskException>(store.Collect(Purge()).Run);
            Assert.DoesNotContain("00000001.pack", disk.Names);
            store.Put(cid, data);
            store.Flush();
            Assert.Equal(data, store.Get(cid));
        }
        using var again = new FileBlockstore(disk, _eager);
        Assert.Equal(data, again.Get(cid));
    }

    [Fact]
    public void What_was_deleted_stays_so_where_the_record_that_says_so_is_damaged() => Seed.Run(static random =>
    {
        List<(Cid Cid, byte[] Data)> blocks = [.. Enumerable.Range(0, 6).Select(static i => Blocks.Raw(1000, i))];
        (Cid deleted, _) = blocks[0];
        for (int round = 0; round < 40; round++)
        {
            var disk = new SimulatedDisk(0);
            var options = new FileBlockstoreOptions { MaxPackBytes = 4096, BufferBytes = 512, MaxRecentBlocks = 1 };
            using (var store = new FileBlockstore(disk, options))
            {
                foreach ((Cid cid, byte[] data) in blocks.Take(3)) store.Put(cid, data); // they fill the first pack
                store.Flush();
                store.Put(blocks[3].Cid, blocks[3].Data);
                store.Delete(deleted);
                store.Put(blocks[4].Cid, blocks[4].Data);
                store.Flush();
                byte[] name = new byte[deleted.Length];
                deleted.Write(name);
                int record = disk.Content("00000002.pack").AsSpan().IndexOf(name) - PackFormat.RecordHeaderBytes;
                disk.FlipBit("00000002.pack", record + random.Next(PackFormat.RecordHeaderBytes + name.Length), random.Next(8));

                // One of three in the first pack is of no use, which is let be; in the second it is one of two.
                store.Collect(new CollectionOptions { Roots = () => [blocks[1].Cid, blocks[2].Cid, blocks[4].Cid], Links = Blocks.Links, MaxDeadShare = 0.4 }).Run();
                Assert.Contains("00000001.pack", disk.Names);
                Assert.DoesNotContain("00000002.pack", disk.Names);
                Assert.False(store.Has(deleted));
                Assert.Equal(blocks[4].Data, store.Get(blocks[4].Cid));
            }
            using var again = new FileBlockstore(disk, options);
            Assert.False(again.Has(deleted));
        }
    });

    [Fact]
    public void A_collection_has_the_room_of_what_is_dead_for_what_it_copies()
    {
        var disk = new SimulatedDisk(0);
        using var store = new FileBlockstore(disk, new FileBlockstoreOptions { MaxPackBytes = 4096, BufferBytes = 512, MaxRecentBlocks = 1 });
        List<(Cid Cid, byte[] Data)> blocks = [.. Enumerable.Range(0, 14).Select(static i => Blocks.Raw(1000, i))]; // three a pack
        foreach ((Cid cid, byte[] data) in blocks) store.Put(cid, data);
        store.Flush();
        disk.Capacity -= disk.FreeBytes;
        store.Collect(Purge(blocks[0].Cid, blocks[3].Cid)).Run();
        Assert.Equal(blocks[0].Data, store.Get(blocks[0].Cid));
        Assert.Equal(blocks[3].Data, store.Get(blocks[3].Cid));
        Assert.Equal(2, store.Cids().Count());
    }

    /// <summary>A store whose first pack, which holds a block and says that it was deleted, nobody needs any more, and cannot be deleted.</summary>
    private static FileBlockstore WithUndeletablePack(out SimulatedDisk disk, out Cid deleted)
    {
        disk = new SimulatedDisk(0);
        var store = new FileBlockstore(disk, _eager);
        List<(Cid Cid, byte[] Data)> blocks = Many(3);
        store.Put(blocks[0].Cid, blocks[0].Data);
        store.Flush();
        deleted = blocks[0].Cid;
        store.Delete(deleted);
        store.Flush();
        store.Put(blocks[1].Cid, blocks[1].Data);
        store.Flush();
        Assert.Equal(["00000001.index", "00000001.pack", "00000002.index", "00000003.index"], disk.Names);
        disk.Fails = static operation => operation == "delete";
        Assert.Throws<DiskException>(store.Collect(Purge(blocks[1].Cid)).Run);
        disk.Heal();
        Assert.Contains("00000001.pack", disk.Names);
        return store;
    }

    private static CollectionOptions Purge(params Cid[] kept) => new() { Roots = () => kept, Links = Blocks.Links, Purge = true };

    /// <summary>A folder that deletes packs, and says that it could not.</summary>
    private sealed class LostReplies(IFolder disk) : IFolder
    {
        public long FreeBytes => disk.FreeBytes;

        public IReadOnlyList<(string Name, long Length)> List() => disk.List();

        public IFile Open(string name) => disk.Open(name);

        public IFile Create(string name) => disk.Create(name);

        public void Rename(string from, string to) => disk.Rename(from, to);

        public void Delete(string name)
        {
            disk.Delete(name);
            if (name.EndsWith(".pack", StringComparison.Ordinal)) throw new DiskException("delete", name, "Input/output error", isFull: false);
        }

        public void SyncDirectory() => disk.SyncDirectory();

        public string FullName(string name) => disk.FullName(name);
    }

    [Fact]
    public void Index_files_stay_few()
    {
        var disk = new SimulatedDisk(0);
        using var store = new FileBlockstore(disk, new FileBlockstoreOptions { MaxRecentBlocks = 8 });
        List<(Cid Cid, byte[] Data)> blocks = Many(3000);
        int most = 0;
        for (int i = 0; i < blocks.Count; i++)
        {
            store.Put(blocks[i].Cid, blocks[i].Data);
            if (i % 10 == 0) store.Flush();
            most = Math.Max(most, store.Figures.Indexes);
        }
        Assert.True(most <= 24, $"{most} index files");
        foreach ((Cid cid, byte[] data) in blocks) Assert.Equal(data, store.Get(cid));
        while (!store.Maintain(TimeSpan.Zero))
        {
        }
        Assert.True(store.Figures.Indexes < 8, $"{store.Figures.Indexes} index files");
        Assert.Equal(3000, store.Figures.Blocks);
        foreach ((Cid cid, byte[] data) in blocks) Assert.Equal(data, store.Get(cid));
    }

    [Fact]
    public void A_store_that_was_closed_is_opened_without_reading_its_packs()
    {
        var disk = new SimulatedDisk(0);
        using (var store = new FileBlockstore(disk))
        {
            foreach ((Cid cid, byte[] data) in Many(5000)) store.Put(cid, data);
            store.Close();
        }
        disk.Calls.Clear();
        using var again = new FileBlockstore(disk);
        Assert.Empty(disk.Calls);
        Assert.True(again.Has(Many(1)[0].Cid));
        Assert.True(disk.Calls["read"] <= 6, $"{disk.Calls["read"]} reads");
        Assert.Equal(5000, again.Figures.Blocks);
        // And goes on with the pack it has.
        (Cid more, byte[] moreData) = Blocks.Raw(100, -1);
        again.Put(more, moreData);
        again.Flush();
        Assert.Equal(1, again.Figures.Packs);
    }

    [Fact]
    public void An_idle_store_costs_a_few_kilobytes_and_no_file_handle()
    {
        var disk = new SimulatedDisk(0);
        var stores = new List<FileBlockstore>();
        List<(Cid Cid, byte[] Data)> blocks = Many(50);
        using (var first = new FileBlockstore(disk))
        {
            foreach ((Cid cid, byte[] data) in blocks) first.Put(cid, data);
            first.Close();
        }
        const int count = 1000;
        long before = GC.GetTotalMemory(true);
        for (int i = 0; i < count; i++)
        {
            var store = new FileBlockstore(disk);
            Assert.Equal(blocks[i % 50].Data, store.Get(blocks[i % 50].Cid));
            store.Trim();
            stores.Add(store);
        }
        Assert.Equal(0, disk.OpenHandles);
        long each = (GC.GetTotalMemory(true) - before) / count;
        Assert.True(each < 4000, $"{each} bytes each");
        foreach (FileBlockstore store in stores)
        {
            Assert.Equal(blocks[1].Data, store.Get(blocks[1].Cid));
            store.Dispose();
        }
    }

    [Fact]
    public void A_store_of_many_packs_keeps_few_of_them_open()
    {
        var disk = new SimulatedDisk(0);
        List<(Cid Cid, byte[] Data)> blocks = Many(400);
        var options = new FileBlockstoreOptions { MaxPackBytes = 100, BufferBytes = 1000 };
        using (var store = new FileBlockstore(disk, options))
        {
            foreach ((Cid cid, byte[] data) in blocks) store.Put(cid, data);
            store.Flush();
            foreach ((Cid cid, byte[] data) in blocks) Assert.Equal(data, store.Get(cid));
        }
        using var again = new FileBlockstore(disk, options);
        foreach ((Cid cid, byte[] data) in blocks)
        {
            Assert.Equal(data, again.Get(cid));
            Assert.True(disk.OpenHandles <= 130, $"{disk.OpenHandles} open files");
        }
        Assert.Equal(400, again.Figures.Packs);
    }

    [Fact]
    public void An_index_that_goes_while_the_store_is_opened_is_not_missed()
    {
        var disk = new SimulatedDisk(0);
        List<(Cid Cid, byte[] Data)> blocks = Many(40);
        using (var store = new FileBlockstore(disk, new FileBlockstoreOptions { MaxRecentBlocks = 8 }))
        {
            foreach ((Cid cid, byte[] data) in blocks) store.Put(cid, data);
            store.Flush();
        }
        using var again = new FileBlockstore(new LateDeletions(disk), new FileBlockstoreOptions());
        foreach ((Cid cid, byte[] data) in blocks) Assert.Equal(data, again.Get(cid));
    }

    /// <summary>A folder that at first lists a file which is deleted by then.</summary>
    private sealed class LateDeletions(IFolder disk) : IFolder
    {
        private bool _hasListed;

        public long FreeBytes => disk.FreeBytes;

        public IReadOnlyList<(string Name, long Length)> List()
        {
            if (_hasListed) return disk.List();
            _hasListed = true;
            return [.. disk.List(), ("000000ff.index", 1 << 20)];
        }

        public IFile Open(string name) => disk.Open(name);

        public IFile Create(string name) => disk.Create(name);

        public void Rename(string from, string to) => disk.Rename(from, to);

        public void Delete(string name) => disk.Delete(name);

        public void SyncDirectory() => disk.SyncDirectory();

        public string FullName(string name) => disk.FullName(name);
    }

    [Fact]
    public void Trimming_and_merging_disturb_nobody() => Seed.Run(random =>
    {
        using var folder = new TempDir("blocks");
        using var store = new FileBlockstore(folder.Path, new FileBlockstoreOptions { MaxPackBytes = 32768, BufferBytes = 4096, MaxRecentBlocks = 8 });
        List<(Cid Cid, byte[] Data)> blocks = Many(400);
        using var stop = new CancellationTokenSource();
        int put = 0;
        Task[] tasks =
        [
            Until(() =>
            {
                store.Trim();
                Thread.Sleep(1);
            }),
            Until(() => store.Maintain(TimeSpan.Zero)),
            Until(() => Assert.True(store.Cids().Count() >= Math.Min(1, put - 1))),
            .. Enumerable.Range(0, 2).Select(i =>
            {
                var own = new Random(random.Next());
                return Until(() =>
                {
                    int upTo = Volatile.Read(ref put);
                    if (upTo == 0) return;
                    (Cid cid, byte[] data) = blocks[own.Next(upTo)];
                    Assert.Equal(data, store.Get(cid));
                });
            }),
        ];
        try
        {
            for (int i = 0; i < blocks.Count && !tasks.Any(static t => t.IsFaulted); i++)
            {
                store.Put(blocks[i].Cid, blocks[i].Data);
                Volatile.Write(ref put, i + 1);
                if (i % 3 == 0) store.Flush();
            }
        }
        finally
        {
            stop.Cancel();
            Task.WaitAll(tasks);
        }
        Assert.Equal(400, store.Cids().Count());
        Assert.Equal(400, store.Figures.Blocks);

        Task Until(Action action) => Task.Run(() =>
        {
            while (!stop.IsCancellationRequested) action();
        });
    });

    [Fact]
    public void A_store_that_is_never_used_makes_no_file()
    {
        using var folder = new TempDir("blocks");
        using var store = new FileBlockstore(folder.File("none"));
        Assert.False(store.Has(Many(1)[0].Cid));
        store.Flush();
        store.Collect(new CollectionOptions { Roots = static () => [], Links = Blocks.Links, Purge = true }).Run();
        store.Close();
        Assert.False(Directory.Exists(folder.File("none")));
        Assert.Throws<ObjectDisposedException>(() => store.Has(Many(1)[0].Cid));
    }

    [Fact]
    public void A_collection_stops_at_a_damaged_node_rather_than_lose_what_it_links_to()
    {
        var disk = new SimulatedDisk(0);
        using var store = new FileBlockstore(disk);
        (Cid leaf, byte[] leafData) = Blocks.Raw(100, 1);
        (Cid node, byte[] nodeData) = Blocks.Node([leaf], Encoding.UTF8.GetBytes("node"));
        store.Put(leaf, leafData);
        store.Put(node, nodeData);
        store.Flush();
        (string file, int at) = Locate(disk, nodeData);
        disk.FlipBit(file, at + 38, 1);
        Assert.Throws<BlockCorruptedException>(() => store.Collect(new CollectionOptions { Roots = () => [node], Links = Blocks.Links, Purge = true }).Run());
        Assert.Equal(leafData, store.Get(leaf));
    }

    [Fact]
    public void A_reachable_leaf_that_is_damaged_is_reported_and_its_file_kept_unless_purged()
    {
        var disk = new SimulatedDisk(0);
        using var store = new FileBlockstore(disk);
        List<(Cid Cid, byte[] Data)> blocks = Many(20);
        foreach ((Cid cid, byte[] data) in blocks) store.Put(cid, data);
        store.Flush();
        (string file, int at) = Locate(disk, blocks[3].Data);
        disk.FlipBit(file, at, 1);
        // Another's header is damaged too; the index still knows where it lies.
        (string file2, int at2) = Locate(disk, blocks[5].Data);
        disk.FlipBit(file2, at2 - 45, 1);
        BlockCollection Collect(bool purge)
        {
            BlockCollection collection = store.Collect(new CollectionOptions { Roots = () => blocks.Take(8).Select(static b => b.Cid), Links = Blocks.Links, Purge = purge });
            collection.Run();
            return collection;
        }
        Assert.Contains(blocks[3].Cid.ToString(), Assert.Single(Collect(purge: false).Report.Damage).Problem, StringComparison.Ordinal);
        Assert.Contains(file, disk.Names);
        Assert.Throws<BlockCorruptedException>(() => store.Get(blocks[3].Cid));
        Assert.Single(Collect(purge: true).Report.Damage);
        Assert.DoesNotContain(file, disk.Names);
        Assert.False(store.Has(blocks[3].Cid));
        foreach (int i in new[] { 0, 1, 2, 4, 5, 6, 7 }) Assert.Equal(blocks[i].Data, store.Get(blocks[i].Cid));
    }

    [Fact]
    public void Blocks_of_other_files_are_read_through_an_overlay_and_not_written_again()
    {
        using var folder = new TempDir("blocks");
        byte[] segment = new byte[10_000];
        new Random(1).NextBytes(segment);
        File.WriteAllBytes(folder.File("segment"), [9, 9, 9, .. segment]);
        Cid cid = Cid.Of(Multicodec.Raw, segment);
        var files = new FileBlockSource();
        files.Add(cid, folder.File("segment"), 3, segment.Length);
        using IBlockstore store = new OverlayBlockstore(new FileBlockstore(folder.File("blocks")), files);
        Assert.False(store.Put(cid, segment));
        Assert.Equal(segment, store.Get(cid));
        (Cid node, byte[] nodeData) = Blocks.Node(cid);
        Assert.True(store.Put(node, nodeData));
        using BlockCollection collection = store.Collect(new CollectionOptions { Roots = () => [node], Links = Blocks.Links, Purge = true });
        collection.Run();
        Assert.Equal(0, collection.Report.MissingBlocks);
        Assert.Equal([cid, node], store.Cids().OrderBy(static c => c.Codec));
        Assert.True(store.Figures.TotalBytes < 10_000);

        File.WriteAllBytes(folder.File("segment"), [8, 8, 9, 9, .. segment]);
        Assert.Equal(cid, Assert.Throws<BlockCorruptedException>(() => store.Get(cid)).Cid);
        File.Delete(folder.File("segment"));
        Assert.Throws<DiskException>(() => store.Get(cid));
        Assert.True(files.Remove(cid));
        Assert.False(store.Has(cid));
    }

    [Fact]
    public void A_reachable_block_found_in_an_overlay_keeps_what_it_links_to()
    {
        using var beneath = new MemoryBlockstore();
        using IBlockstore store = new OverlayBlockstore(new MemoryBlockstore(), beneath);
        (Cid leaf, byte[] leafData) = Blocks.Raw(100, 1);
        (Cid node, byte[] nodeData) = Blocks.Node(leaf);
        beneath.Put(node, nodeData);
        store.Put(leaf, leafData);
        store.Collect(new CollectionOptions { Roots = () => [node], Links = Blocks.Links, Purge = true }).Run();
        Assert.Equal(leafData, store.Get(leaf));
    }

    private static List<(Cid Cid, byte[] Data)> Many(int count)
    {
        var list = new List<(Cid, byte[])>(count);
        for (int i = 0; i < count; i++) list.Add(Blocks.Raw(40 + i % 300, seed: i));
        return list;
    }

    private static (string File, int Offset) Locate(SimulatedDisk disk, byte[] data)
    {
        foreach (string name in disk.Names)
        {
            int at = disk.Content(name).AsSpan().IndexOf(data);
            if (at >= 0) return (name, at);
        }
        throw new InvalidOperationException("The block is in no file.");
    }

    private static void Golden(string expected, ReadOnlySpan<byte> actual) =>
        Assert.Equal(expected.Replace(" ", "", StringComparison.Ordinal), Convert.ToHexStringLower(actual));

    private static string Hash(byte[] bytes) => Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(bytes));

    /// <summary>Does something just before it gives room.</summary>
    private sealed class Interrupted(Action action) : IBufferWriter<byte>
    {
        private readonly ArrayBufferWriter<byte> _bytes = new();
        private bool _done;

        public byte[] Bytes => _bytes.WrittenSpan.ToArray();

        public void Advance(int count) => _bytes.Advance(count);

        public Memory<byte> GetMemory(int sizeHint = 0) => _bytes.GetMemory(sizeHint);

        public Span<byte> GetSpan(int sizeHint = 0)
        {
            if (!_done) action();
            _done = true;
            return _bytes.GetSpan(sizeHint);
        }
    }
}
