// MIMEI CHECK: finds nothing in what this program wrote, finds everything that is not as it would have written it, and repairs what can be repaired.

using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Tests.Checkpoints;
using Leither.MmDb.Versions;
using Leither.MmDb.Versions.Tree;
using Leither.TestKit;
using Xunit;
using Xunit.Abstractions;

namespace Leither.MmDb.Tests.Versions;

public sealed class CheckTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void CHECK_finds_nothing_in_the_versions_of_a_random_life(int seed)
    {
        output.WriteLine($"seed {seed}");
        using var fixture = new VersionFixture(SnapshotTests.SmallThresholds());
        var life = new RandomLife(fixture.Db, seed);
        var long1 = new string('n', 600);
        fixture.Db.Prepare($"SET {long1} v", $"SET big {new string('b', 300_000)}", $"HSET h {long1} v f {new string('c', 5000)}", $"SADD s {long1}");
        for (int i = 0; i < (Seed.IsLong ? 40 : 5); i++)
        {
            life.Run(1 << (i * 2 % 12));
            Assert.Equal($":{i + 1}", fixture.Run("MIMEI BACKUP"));
        }

        string report = fixture.Run("MIMEI CHECK");
        Assert.EndsWith("\"problems\", []]", report, StringComparison.Ordinal);
        Assert.Matches($"""^\["versions", :{(Seed.IsLong ? 40 : 5)}, "blocks", :[1-9]\d*, "bytes", :[1-9]\d*,""", report);
    }

    [Fact]
    public void CHECK_names_a_block_that_is_missing_and_the_versions_before_need_not_be_there()
    {
        using VersionFixture fixture = Made();
        Assert.Equal(":1", fixture.Run("MIMEI DELVERS 1"));
        fixture.Settle();
        Assert.EndsWith("\"problems\", []]", fixture.Run("MIMEI CHECK"), StringComparison.Ordinal);
        Cid state = fixture.Versions.Read(2).State;
        fixture.Blocks.Delete(state);
        Assert.Contains($"version 2: block {state} is missing. Bring the block back with MIMEI IMPORT from an export or from a copy of the folder, or MIMEI DELVERS 2", fixture.Run("MIMEI CHECK"), StringComparison.Ordinal);
    }

    [Fact]
    public void CHECK_makes_a_lost_or_damaged_list_again()
    {
        using VersionFixture fixture = Made();
        string list = Path.Combine(fixture.Folder, "versions");
        for (int i = 0; i < 2; i++)
        {
            if (i == 0)
            {
                File.Delete(list);
            }
            else
            {
                File.WriteAllBytes(list, [1, 2, 3]);
            }

            fixture.Reopen();
            Assert.Contains("it was made again of the 2 versions", fixture.Run("MIMEI CHECK"), StringComparison.Ordinal);
            Assert.EndsWith("\"problems\", []]", fixture.Run("MIMEI CHECK"), StringComparison.Ordinal);
            fixture.AssertVersion(1, "1");
            fixture.AssertVersion(2, "2");
        }

        fixture.Db.Prepare("SET n 3");
        Assert.Equal(":3", fixture.Run("MIMEI BACKUP"));
        fixture.AssertVersion(3, "3");
    }

    [Fact]
    public void A_state_that_is_not_as_it_would_be_written_is_found()
    {
        // A leaf that ends where its content does not say so, under a root that knows nothing of it.
        using var blocks = new MemoryBlockstore();
        var store = new NodeStore(blocks);
        var writer = new LevelWriter(store, TreeKind.Map, 0);
        var parent = new LevelWriter(store, TreeKind.Map, 1);
        var item = new Leither.Ipfs.DagCbor.DagCborWriter();
        for (int leaf = 0; leaf < 2; leaf++)
        {
            byte[] key = [(byte)('a' + leaf)];
            item.Clear();
            item.WriteArrayStart(2);
            item.WriteBytes(key);
            item.WriteBytes("v"u8);
            writer.AddToLeaf(key, item.Written);
            TreeChild child = writer.End();
            item.Clear();
            child.Write(TreeKind.Map, item);
            parent.Add(item.Written, child.Weight, child.Hash(TreeKind.Map, 1));
        }

        TreeChild root = parent.End();
        Cid state = new StateRoot(new Dictionary<int, TreeRoot> { [0] = new(root.Link, 2) }, []).Write(store);
        var found = new List<string>();
        new StateChecker(blocks, (_, _, what) => found.Add(what), static () => { }).Check(state);
        Assert.Equal(["is not cut where its content says"], found);
    }

    private static VersionFixture Made()
    {
        var fixture = new VersionFixture();
        for (int i = 1; i <= 2; i++)
        {
            fixture.Db.Prepare($"SET n {i}", $"SET k{i} v");
            Assert.Equal($":{i}", fixture.Run("MIMEI BACKUP"));
        }

        return fixture;
    }
}
