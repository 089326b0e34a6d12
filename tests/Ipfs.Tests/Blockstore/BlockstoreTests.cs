using System.Buffers;
using System.Collections.Concurrent;
using System.Text;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Multiformats;
using Leither.TestKit;
using Xunit;

namespace Leither.Ipfs.Tests.Blockstore;

/// <summary>What every store promises. Each implementation runs it: see the classes that derive from this one.</summary>
public abstract class BlockstoreTests
{
    /// <summary>A fresh, empty store.</summary>
    protected abstract IBlockstore Create();

    [Fact]
    public void What_is_got_is_what_was_put()
    {
        using IBlockstore store = Create();
        for (int length = 0; length < 5000; length += 1 + length / 3)
        {
            (Cid cid, byte[] data) = Blocks.Raw(length, seed: length);
            Assert.True(store.Put(cid, data));
            Assert.Equal(data, store.Get(cid));
        }
        store.Flush();
        for (int length = 0; length < 5000; length += 1 + length / 3)
        {
            (Cid cid, byte[] data) = Blocks.Raw(length, seed: length);
            Assert.Equal(data, store.Get(cid));
            Assert.True(store.TryGetLength(cid, out int found));
            Assert.Equal(length, found);
        }
    }

    [Fact]
    public void The_largest_block_is_taken_and_a_larger_one_refused()
    {
        using IBlockstore store = Create();
        byte[] data = new byte[BlockLimits.MaxBlockBytes];
        Cid cid = Cid.Of(Multicodec.Raw, data);
        store.Put(cid, data);
        Assert.Equal(data, store.Get(cid));
        store.Flush();
        Assert.Equal(data, store.Get(cid));
        Assert.Throws<ArgumentException>(() => store.Put(cid, new byte[BlockLimits.MaxBlockBytes + 1]));
    }

    [Fact]
    public void What_is_not_there_is_not_found()
    {
        using IBlockstore store = Create();
        (Cid cid, _) = Blocks.Raw(100, 1);
        (Cid other, byte[] otherData) = Blocks.Raw(100, 2);
        store.Put(other, otherData);
        Assert.False(store.Has(cid));
        Assert.False(store.TryGetLength(cid, out _));
        Assert.False(store.TryGet(cid, new ArrayBufferWriter<byte>()));
        Assert.Null(store.Get(cid));
        Assert.False(store.Delete(cid));
        Assert.False(store.Has(default));
        Assert.False(store.TryGet(default, new ArrayBufferWriter<byte>()));
        Assert.Throws<ArgumentException>(() => store.Put(default, otherData));
    }

    [Fact]
    public void A_block_that_is_there_is_not_written_again()
    {
        using IBlockstore store = Create();
        (Cid cid, byte[] data) = Blocks.Raw(1000, 1);
        Assert.True(store.Put(cid, data));
        Assert.False(store.Put(cid, data));
        store.Flush();
        long bytes = store.Figures.TotalBytes;
        Assert.False(store.Put(cid, data));
        store.Flush();
        Assert.Equal(bytes, store.Figures.TotalBytes);
        Assert.Equal(1, store.Figures.Blocks);
    }

    [Fact]
    public void A_block_is_found_whatever_codec_and_version_its_CID_has()
    {
        using IBlockstore store = Create();
        byte[] data = [0xa0];
        Multihash hash = Multihash.Sha256(data);
        store.Put(Cid.Create(Multicodec.DagCbor, hash), data);
        Assert.True(store.Has(Cid.CreateV0(hash)));
        Assert.Equal(data, store.Get(Cid.Create(Multicodec.Raw, hash)));
        Assert.Equal(data, store.Get(Cid.CreateV0(hash)));
        Assert.Equal(Cid.Create(Multicodec.DagCbor, hash), Assert.Single(store.Cids()));
    }

    [Fact]
    public void Other_hash_functions_are_kept_apart_and_those_that_cannot_be_checked_are_refused()
    {
        using IBlockstore store = Create();
        byte[] data = Encoding.UTF8.GetBytes("content");
        Cid sha512 = Cid.Create(Multicodec.Raw, Multihash.Sha512(data));
        Assert.True(store.Put(sha512, data));
        Assert.Equal(data, store.Get(sha512));
        Assert.False(store.Has(Cid.Of(Multicodec.Raw, data)));
        Assert.True(store.Put(Cid.Of(Multicodec.Raw, data), data));
        Assert.Equal(2, store.Cids().Count());
        Cid blake3 = Cid.Create(Multicodec.Raw, new Multihash(0x1e, new byte[32]));
        Assert.Throws<ArgumentException>(() => store.Put(blake3, data));
        Assert.False(store.Has(blake3));
    }

    [Fact]
    public void An_identity_CID_holds_its_content_and_is_never_stored()
    {
        using IBlockstore store = Create();
        byte[] data = Encoding.UTF8.GetBytes("small");
        Cid cid = Cid.Create(Multicodec.Raw, Multihash.Identity(data));
        Assert.True(store.Has(cid));
        Assert.Equal(data, store.Get(cid));
        Assert.False(store.Put(cid, data));
        Assert.False(store.Delete(cid));
        Assert.Empty(store.Cids());
    }

    [Fact]
    public void A_deleted_block_is_gone_until_it_is_put_again()
    {
        using IBlockstore store = Create();
        (Cid cid, byte[] data) = Blocks.Raw(100, 1);
        store.Put(cid, data);
        Assert.True(store.Delete(cid));
        Assert.False(store.Has(cid));
        Assert.False(store.Delete(cid));
        Assert.Empty(store.Cids());
        store.Flush();
        Assert.Null(store.Get(cid));
        Assert.True(store.Put(cid, data));
        Assert.Equal(data, store.Get(cid));
        Assert.Equal(1, store.Figures.Blocks);
    }

    [Fact]
    public void All_CIDs_are_listed_once()
    {
        using IBlockstore store = Create();
        var all = new HashSet<Cid>();
        for (int i = 0; i < 3000; i++)
        {
            byte[] data = BitConverter.GetBytes(i);
            Cid cid = (i % 4) switch
            {
                0 => Cid.Of(Multicodec.Raw, data),
                1 => Cid.Of(Multicodec.DagCbor, data),
                2 => Cid.CreateV0(Multihash.Sha256(data)),
                _ => Cid.Create(0x0129, Multihash.Sha512(data)),
            };
            all.Add(cid);
            store.Put(cid, data);
            if (i % 700 == 0) store.Flush();
        }
        List<Cid> listed = [.. store.Cids()];
        Assert.Equal(all.Count, listed.Count);
        Assert.True(all.SetEquals(listed));
    }

    [Fact]
    public void A_collection_keeps_what_roots_lead_to_and_nothing_else()
    {
        using IBlockstore store = Create();
        Tree kept = Tree.Make(store, seed: 1, depth: 3, fanout: 5), gone = Tree.Make(store, seed: 2, depth: 3, fanout: 5);
        using BlockCollection collection = store.Collect(Options(purge: true, kept.Root));
        collection.Run();
        foreach (Cid cid in kept.All) Assert.Equal(kept.Data(cid), store.Get(cid));
        foreach (Cid cid in gone.All.Except(kept.All)) Assert.False(store.Has(cid));
        Assert.Equal(kept.All.Count, collection.Report.LiveBlocks);
        Assert.Equal(kept.All.Count, store.Figures.Blocks);
        Assert.Equal(0, collection.Report.MissingBlocks);
    }

    [Fact]
    public void A_collection_without_roots_empties_the_store()
    {
        using IBlockstore store = Create();
        Tree.Make(store, seed: 1, depth: 3, fanout: 5);
        store.Collect(Options(purge: true)).Run();
        Assert.Empty(store.Cids());
        Assert.Equal(0, store.Figures.Blocks);
        (Cid cid, byte[] data) = Blocks.Raw(100, 1);
        Assert.True(store.Put(cid, data));
        store.Flush();
        Assert.Equal(data, store.Get(cid));
    }

    [Fact]
    public void Only_one_collection_runs_at_a_time_and_one_that_is_given_up_loses_nothing()
    {
        using IBlockstore store = Create();
        Tree tree = Tree.Make(store, seed: 1, depth: 3, fanout: 5);
        for (int steps = 0; steps < 200; steps += 7)
        {
            using BlockCollection collection = store.Collect(Options(purge: true, tree.Root));
            Assert.Throws<InvalidOperationException>(() => store.Collect(Options(purge: false)));
            for (int i = 0; i < steps; i++) collection.Step(TimeSpan.Zero);
        }
        foreach (Cid cid in tree.All) Assert.Equal(tree.Data(cid), store.Get(cid));
    }

    [Fact]
    public void What_is_put_while_a_collection_runs_is_kept_with_all_it_links_to()
    {
        // At every moment of a collection in turn: the child is there, unreachable; a new parent comes.
        for (int moment = 0; moment < 60; moment++)
        {
            using IBlockstore store = Create();
            (Cid child, byte[] childData) = Blocks.Raw(300, 1);
            (Cid again, byte[] againData) = Blocks.Raw(300, 2);
            Tree other = Tree.Make(store, seed: 3, depth: 2, fanout: 3);
            store.Put(child, childData);
            store.Put(again, againData);
            store.Flush();
            using BlockCollection collection = store.Collect(Options(purge: true, other.Root));
            for (int i = 0; i < moment; i++) collection.Step(TimeSpan.Zero);
            (Cid parent, byte[] parentData) = Blocks.Node(child);
            bool keptInTime = collection.Keep(child);
            store.Put(parent, parentData);
            store.Put(again, againData);
            collection.Run();
            Assert.Equal(parentData, store.Get(parent));
            Assert.Equal(againData, store.Get(again));
            if (keptInTime) Assert.Equal(childData, store.Get(child));
            foreach (Cid cid in other.All) Assert.Equal(other.Data(cid), store.Get(cid));
        }
    }

    [Fact]
    public void What_is_put_under_protection_is_a_root_of_collections_that_begin_meanwhile()
    {
        using IBlockstore store = Create();
        Tree before = Tree.Make(store, seed: 1, depth: 2, fanout: 4);
        Tree tree;
        (Cid parent, byte[] parentData) = Blocks.Node(before.Root);
        using (store.ProtectPuts())
        {
            tree = Tree.Make(store, seed: 2, depth: 2, fanout: 4);
            store.Put(parent, parentData);
            store.Flush();
            store.Collect(Options(purge: true)).Run();
        }
        foreach (Cid cid in tree.All) Assert.Equal(tree.Data(cid), store.Get(cid));
        foreach (Cid cid in before.All) Assert.Equal(before.Data(cid), store.Get(cid));
        store.Collect(Options(purge: true)).Run();
        Assert.Empty(store.Cids());
    }

    [Fact]
    public void A_root_that_appears_while_a_collection_marks_is_kept()
    {
        using IBlockstore store = Create();
        Tree first = Tree.Make(store, seed: 1, depth: 2, fanout: 4), second = Tree.Make(store, seed: 2, depth: 2, fanout: 4);
        var roots = new List<Cid> { first.Root };
        using BlockCollection collection = store.Collect(new CollectionOptions { Roots = () => roots.ToArray(), Links = Blocks.Links, Purge = true });
        collection.Step(TimeSpan.Zero);
        collection.Step(TimeSpan.Zero);
        roots.Add(second.Root);
        collection.Run();
        foreach (Tree tree in new[] { first, second })
        {
            foreach (Cid cid in tree.All) Assert.Equal(tree.Data(cid), store.Get(cid));
        }
    }

    [Fact]
    public void Missing_blocks_are_counted_and_looked_for_elsewhere()
    {
        using IBlockstore store = Create();
        using var elsewhere = new MemoryBlockstore();
        (Cid leaf, byte[] leafData) = Blocks.Raw(100, 1);
        (Cid middle, byte[] middleData) = Blocks.Node(leaf);
        (Cid nowhere, _) = Blocks.Raw(100, 2);
        (Cid root, byte[] rootData) = Blocks.Node(middle, nowhere);
        store.Put(leaf, leafData);
        store.Put(root, rootData);
        elsewhere.Put(middle, middleData);
        using BlockCollection collection = store.Collect(new CollectionOptions { Roots = () => [root], Links = Blocks.Links, Purge = true, Elsewhere = elsewhere });
        collection.Run();
        Assert.Equal(leafData, store.Get(leaf));
        Assert.Equal(1, collection.Report.MissingBlocks);
        Assert.Equal(2, store.Figures.Blocks);
    }

    [Fact]
    public void A_block_named_by_two_codecs_is_walked_by_the_one_that_has_links()
    {
        using IBlockstore store = Create();
        (Cid leaf, byte[] leafData) = Blocks.Raw(100, 1);
        (Cid node, byte[] nodeData) = Blocks.Node(leaf);
        store.Put(leaf, leafData);
        store.Put(node, nodeData);
        Cid asRaw = Cid.Create(Multicodec.Raw, node.Multihash);
        store.Collect(Options(purge: true, asRaw, node)).Run();
        Assert.Equal(leafData, store.Get(leaf));
    }

    [Fact]
    public void Readers_and_writers_go_on_while_collections_run() => Seed.Run(random =>
    {
        using IBlockstore store = Create();
        var trees = new ConcurrentDictionary<int, Tree>();
        for (int i = 0; i < 6; i++) trees[i] = Tree.Make(store, seed: i, depth: 2, fanout: 8);
        using var stop = new CancellationTokenSource();
        var tasks = new List<Task>();
        int rounds = Seed.IsLong ? 200 : 15, seeds = random.Next();
        for (int reader = 0; reader < 2; reader++)
        {
            var own = new Random(random.Next());
            tasks.Add(Task.Run(() =>
            {
                while (!stop.IsCancellationRequested)
                {
                    if (!trees.TryGetValue(own.Next(4), out Tree? tree)) continue; // the first four are never given up
                    Cid cid = tree.All[own.Next(tree.All.Count)];
                    Assert.Equal(tree.Data(cid), store.Get(cid));
                    Assert.True(store.Has(cid));
                }
            }));
        }
        for (int writer = 0; writer < 2; writer++)
        {
            int number = 4 + writer;
            tasks.Add(Task.Run(() =>
            {
                for (int n = 0; !stop.IsCancellationRequested; n++)
                {
                    // A version replaces another, as a collection may find at any moment.
                    Tree tree;
                    using (store.ProtectPuts())
                    {
                        tree = Tree.Make(store, unchecked(seeds + n % 40 + 1000 * number), depth: 2, fanout: 8);
                        trees[number] = tree;
                    }
                    store.Flush();
                    foreach (Cid cid in tree.All) Assert.Equal(tree.Data(cid), store.Get(cid));
                }
            }));
        }
        try
        {
            for (int round = 0; round < rounds && !tasks.Exists(static t => t.IsFaulted); round++)
            {
                using BlockCollection collection = store.Collect(new CollectionOptions
                {
                    Roots = () => trees.Values.Select(static t => t.Root).ToArray(),
                    Links = Blocks.Links,
                    Purge = round % 2 == 0,
                });
                while (!collection.Step(TimeSpan.FromMilliseconds(1))) Thread.Yield();
                Assert.Equal(0, collection.Report.MissingBlocks);
            }
        }
        finally
        {
            stop.Cancel();
            Task.WaitAll([.. tasks]);
        }
        foreach (Tree tree in trees.Values)
        {
            foreach (Cid cid in tree.All) Assert.Equal(tree.Data(cid), store.Get(cid));
        }
    });

    private protected static CollectionOptions Options(bool purge, params Cid[] roots) =>
        new() { Roots = () => roots, Links = Blocks.Links, Purge = purge };
}

/// <summary>The suite over <see cref="MemoryBlockstore"/>.</summary>
public sealed class MemoryBlockstoreTests : BlockstoreTests
{
    protected override IBlockstore Create() => new MemoryBlockstore();
}
