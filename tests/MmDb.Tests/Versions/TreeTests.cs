// The state tree: whatever way of changes leads to some content, the tree is the one that is built of that content at once; comparing two
// gives what differs; nodes keep to their sizes. Random tests run on a model, a sorted dictionary.

using System.Text;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Versions.Tree;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Versions;

public sealed class TreeTests : IDisposable
{
    private readonly MemoryBlockstore _blocks = new();
    private readonly NodeStore _store;

    public TreeTests() => _store = new NodeStore(_blocks);

    public void Dispose() => _blocks.Dispose();

    [Theory]
    [InlineData("", 0, 0xEF46DB3751D8E999)]
    [InlineData("a", 0, 0xD24EC4F1A98C6E5B)]
    [InlineData("abc", 0, 0x44BC2CF5AD770999)]
    [InlineData("Nobody inspects the spammish repetition", 0, 0xFBCEA83C8A378BF1)]
    public void XXH64_gives_the_published_values(string text, ulong seed, ulong expected) =>
        Assert.Equal(expected, XxHash64.Compute(Encoding.ASCII.GetBytes(text), seed));

    [Fact]
    public void Any_way_of_changes_gives_the_tree_of_the_content() => Seed.Run(random =>
    {
        int rounds = Seed.IsLong ? 300 : 12;
        for (int round = 0; round < rounds; round++)
        {
            var model = new SortedDictionary<byte[], byte[]>(ByteStringComparer.Order);
            TreeRoot root = TreeRoot.Empty;
            var editor = new TreeEditor(_store);
            int space = 1 << random.Next(3, 14);
            for (int step = 0; step < 25; step++)
            {
                var edits = new TreeEdits();
                var named = new HashSet<byte[]>(ByteStringComparer.Instance);
                bool mostlyDeletes = random.Next(4) == 0;
                for (int count = 1 << random.Next(12); count > 0; count--)
                {
                    byte[] key = Key(random, space);
                    if (!named.Add(key))
                    {
                        continue;
                    }

                    if (random.Next(10) < (mostlyDeletes ? 9 : 2))
                    {
                        model.Remove(key);
                        edits.Delete(key);
                    }
                    else
                    {
                        model[key] = Item(key, random.Next(20) == 0 ? random.Next(2000) : random.Next(60), random);
                        edits.Put(key, model[key]);
                    }
                }

                edits.Sort();
                root = editor.Apply(root, edits);
                Assert.Equal(Build(model), root);
            }
        }
    });

    [Fact]
    public void Comparing_two_trees_gives_the_keys_that_differ() => Seed.Run(random =>
    {
        for (int round = 0; round < 60; round++)
        {
            var a = new SortedDictionary<byte[], byte[]>(ByteStringComparer.Order);
            for (int i = random.Next(5000); i > 0; i--)
            {
                byte[] key = Key(random, 20_000);
                a[key] = Item(key, random.Next(60), random);
            }

            var b = new SortedDictionary<byte[], byte[]>(a, ByteStringComparer.Order);
            for (int i = random.Next(300); i > 0; i--)
            {
                byte[] key = Key(random, 20_000);
                if (random.Next(2) == 0)
                {
                    b.Remove(key);
                }
                else
                {
                    b[key] = Item(key, random.Next(60), random);
                }
            }

            byte[] from = random.Next(2) == 0 ? [] : Key(random, 20_000);
            var expected = a.Keys.Union(b.Keys, ByteStringComparer.Instance).Where(k => k.AsSpan().SequenceCompareTo(from) >= 0)
                .Where(k => !(a.TryGetValue(k, out byte[]? x) && b.TryGetValue(k, out byte[]? y) && x.AsSpan().SequenceEqual(y)))
                .Order(ByteStringComparer.Order).Select(k => Text(k, a.GetValueOrDefault(k), b.GetValueOrDefault(k)));
            IEnumerable<string> found = TreeDiff.Compare(_store, Build(a), Build(b), from)
                .Select(static c => Text(c.Key.ToArray(), c.Old.IsEmpty ? null : c.Old.ToArray(), c.New.IsEmpty ? null : c.New.ToArray()));
            Assert.Equal(expected, found);
        }

        static string Text(byte[] key, byte[]? old, byte[]? current) =>
            $"{Convert.ToHexString(key)} {(old is null ? "-" : Convert.ToHexString(old))} {(current is null ? "-" : Convert.ToHexString(current))}";
    });

    [Fact]
    public void A_cursor_finds_keys_and_places()
    {
        var model = new SortedDictionary<byte[], byte[]>(ByteStringComparer.Order);
        for (int i = 0; i < 5000; i++)
        {
            byte[] key = Encoding.ASCII.GetBytes($"key:{i * 2:D6}");
            model[key] = Item(key, 30, new Random(i));
        }

        TreeRoot root = Build(model);
        Assert.Equal(5000, root.Weight);
        byte[][] keys = [.. model.Keys];
        var cursor = new TreeCursor(_store, TreeKind.Map, root.Root);
        for (int i = 0; i < keys.Length; i++)
        {
            Assert.True(cursor.Seek(keys[i]));
            Assert.Equal(keys[i], cursor.Node.Key(cursor.Index).ToArray());
            Assert.True(cursor.Seek(Encoding.ASCII.GetBytes($"key:{(i * 2) - 1:D6}")));
            Assert.Equal(keys[i], cursor.Node.Key(cursor.Index).ToArray());
            Assert.True(cursor.SeekOffset(i, out long within));
            Assert.Equal(0, within);
            Assert.Equal(keys[i], cursor.Node.Key(cursor.Index).ToArray());
        }

        Assert.False(cursor.Seek("z"u8));
        Assert.False(cursor.SeekOffset(5000, out _));
        cursor.First();
        int count = 1;
        while (cursor.Next())
        {
            Assert.Equal(keys[count++], cursor.Node.Key(cursor.Index).ToArray());
        }

        Assert.Equal(5000, count);
    }

    [Fact]
    public void Nodes_are_of_about_four_kilobytes_and_never_of_more_than_their_limit()
    {
        var model = new SortedDictionary<byte[], byte[]>(ByteStringComparer.Order);
        for (int i = 0; i < 100_000; i++)
        {
            byte[] key = Encoding.ASCII.GetBytes($"key:{i:D12}");
            model[key] = Item(key, 32, new Random(i));
        }

        Build(model);
        long[] sizes = [.. _blocks.Cids().Select(c => (long)_blocks.Get(c)!.Length)];
        Assert.InRange(sizes.Average(), 3000, 5000);
        Assert.InRange(sizes.Max(), 4096, NodeBoundary.MaxBytes + 100);
        Assert.InRange(sizes.Count(static s => s is < 1500 or > 8000) / (double)sizes.Length, 0, 0.06);
    }

    [Fact]
    public void A_list_of_equal_elements_is_a_few_blocks()
    {
        TreeRoot root = List(Enumerable.Repeat("the same element"u8.ToArray(), 200_000));
        Assert.Equal(200_000, root.Weight);
        Assert.InRange(_blocks.Figures.Blocks, 1, 40);
        TreeRoot changed = List(Enumerable.Range(0, 200_001).Select(static i => i == 100_000 ? "another"u8.ToArray() : "the same element"u8.ToArray()));
        Assert.NotEqual(root.Root, changed.Root);
        Assert.InRange(_blocks.Figures.Blocks, 1, 80);
    }

    [Fact]
    public void An_element_put_into_a_list_makes_a_few_blocks_new()
    {
        byte[][] elements = [.. Enumerable.Range(0, 100_000).Select(static i => Encoding.ASCII.GetBytes($"element {i * 7919 % 100_003}"))];
        List(elements);
        long before = _blocks.Figures.Blocks;
        foreach (int place in (int[])[0, 50_000, 100_000])
        {
            List([.. elements[..place], "new"u8.ToArray(), .. elements[place..]]);
            Assert.InRange(_blocks.Figures.Blocks - before, 1, 12);
            before = _blocks.Figures.Blocks;
        }
    }

    [Fact]
    public void A_blob_comes_back_and_a_change_in_it_makes_a_few_chunks_new() => Seed.Run(random =>
    {
        foreach (int length in (int[])[0, 1, 4095, 4096, 4097, 65_536, 65_537, 3_000_000])
        {
            byte[] bytes = new byte[length];
            random.NextBytes(bytes);
            Assert.Equal(bytes, ReadBlob(Blob.Write(_store, bytes), length));
        }

        byte[] large = new byte[2_000_000];
        random.NextBytes(large);
        Blob.Write(_store, large);
        long before = _blocks.Figures.Blocks;
        byte[] shifted = [.. large[..1_000_000], 1, 2, 3, .. large[1_000_000..]];
        Assert.Equal(shifted, ReadBlob(Blob.Write(_store, shifted), shifted.Length));
        Assert.InRange(_blocks.Figures.Blocks - before, 1, 8);
        Assert.Throws<TreeFormatException>(() => ReadBlob(Blob.Write(_store, shifted), 1000));
        Assert.Throws<TreeFormatException>(() => ReadBlob(Blob.Write(_store, shifted), 3_000_000));
    });

    [Fact]
    public void Blocks_that_are_no_nodes_are_refused()
    {
        foreach (string hex in (string[])["", "80", "8100", "8200", "820001", "83004161", "830081416181416100", "8300814162814161", "82184081 4161", "8218404161"])
        {
            Assert.Throws<TreeFormatException>(() => TreeNode.Decode(TreeKind.Map, Convert.FromHexString(hex.Replace(" ", "", StringComparison.Ordinal))));
        }

        Assert.Throws<MissingBlockException>(() => _store.Read(TreeKind.Map, Cid.Of(Multicodec.DagCbor, "x"u8)));
    }

    private byte[] ReadBlob(in Cid link, int length)
    {
        var read = new List<byte>();
        Blob.Read(_store, link, length, chunk => read.AddRange(chunk));
        return [.. read];
    }

    private TreeRoot List(IEnumerable<byte[]> elements)
    {
        var builder = new TreeBuilder(_store, TreeKind.Sequence);
        var item = new DagCborWriter();
        foreach (byte[] element in elements)
        {
            item.Clear();
            item.WriteBytes(element);
            builder.Add(item.Written, item.Written);
        }

        return builder.Finish();
    }

    private TreeRoot Build(SortedDictionary<byte[], byte[]> model)
    {
        var builder = new TreeBuilder(_store, TreeKind.Map);
        foreach ((byte[] key, byte[] item) in model)
        {
            builder.Add(key, item);
        }

        return builder.Finish();
    }

    private static byte[] Key(Random random, int space) => Encoding.ASCII.GetBytes($"key:{random.Next(space)}");

    private static byte[] Item(byte[] key, int length, Random random)
    {
        byte[] value = new byte[length];
        random.NextBytes(value);
        var writer = new DagCborWriter();
        writer.WriteArrayStart(2);
        writer.WriteBytes(key);
        writer.WriteBytes(value);
        return writer.ToArray();
    }
}
