// Which versions there are: released, deleted, and what becomes of their blocks.

using Leither.Ipfs.Blockstore;
using Leither.MmDb.Versions;
using Leither.MmDb.Versions.Tree;
using Xunit;

namespace Leither.MmDb.Tests.Versions;

public sealed class VersionListTests
{
    [Fact]
    public void RELEASE_says_which_version_release_opens()
    {
        using var fixture = Made(3);
        string open = $"MIMEI OPEN {fixture.Info.Id} VERSION release";
        Assert.StartsWith("-ERR no version is released", fixture.Run(open), StringComparison.Ordinal);
        Assert.Equal("+OK", fixture.Run("MIMEI RELEASE 2"));
        Assert.Matches(""":3,[^[]*"no"\], \["version", :2,[^[]*"yes"\], \["version", :1,[^[]*"no"\]""", fixture.Run("MIMEI VERSIONS"));
        InProcess.Client client = fixture.Db.Connect();
        Assert.Equal("+OK", client.RunToEnd(open));
        Assert.Equal("\"2\"", client.Run("GET n"));
        Assert.StartsWith("-ERR there is no version 9", fixture.Run("MIMEI RELEASE 9"), StringComparison.Ordinal);
        Assert.StartsWith("-ERR a version is a number", fixture.Run("MIMEI RELEASE x"), StringComparison.Ordinal);
        Assert.Equal("+OK", fixture.Run("MIMEI RELEASE ''"));
        Assert.StartsWith("-ERR no version is released", fixture.Run(open), StringComparison.Ordinal);
    }

    [Fact]
    public void DELVERS_takes_versions_and_what_only_they_need()
    {
        using var fixture = Made(5);
        Assert.StartsWith("-ERR there is no version 9", fixture.Run("MIMEI DELVERS 1 9"), StringComparison.Ordinal);
        Assert.Equal(5, fixture.Versions.List.All.Count);
        Assert.Equal("+OK", fixture.Run("MIMEI RELEASE 2"));
        long before = fixture.Blocks.Figures.Blocks;
        Assert.Equal(":3", fixture.Run("MIMEI DELVERS 1 2 3 3"));
        Assert.StartsWith("-ERR no version is released", fixture.Run($"MIMEI OPEN {fixture.Info.Id} VERSION release"), StringComparison.Ordinal);
        fixture.Settle();
        Assert.InRange(fixture.Blocks.Figures.Blocks, 1, before - 9);
        Assert.StartsWith("-ERR there is no version 2", fixture.Run($"MIMEI OPEN {fixture.Info.Id} VERSION 2"), StringComparison.Ordinal);
        fixture.AssertVersion(4, "4");
        fixture.AssertVersion(5, "5");
        Assert.Equal(":6", fixture.Run("MIMEI BACKUP"));
    }

    [Theory]
    [InlineData("4")]
    [InlineData("3 4")]
    [InlineData("1 2 3 4")]
    public void After_the_newest_was_deleted_the_next_BACKUP_has_all_there_is(string deleted)
    {
        using var fixture = Made(4);
        fixture.Db.Prepare("SET before x", "DEL k3");
        Assert.Equal($":{deleted.Split(' ').Length}", fixture.Run($"MIMEI DELVERS {deleted}"));
        fixture.Settle();
        fixture.Db.Prepare("SET after y");
        Assert.Equal(":5", fixture.Run("MIMEI BACKUP"));
        InProcess.Client client = fixture.Db.Connect();
        Assert.Equal("+OK", client.RunToEnd($"MIMEI OPEN {fixture.Info.Id} VERSION 5"));
        Assert.Equal("[\"after\", \"before\", \"k1\", \"k2\", \"k4\", \"n\"]", client.Run("KEYS *"));
        Assert.Equal("\"x\"", client.Run("GET before"));
        using var blocks = new MemoryBlockstore();
        StateRoot expected = StateTests.StateOf(fixture.Db, blocks);
        Assert.Equal(expected.Write(new NodeStore(blocks)), fixture.Versions.Read(5).State);
    }

    [Fact]
    public void A_version_that_somebody_has_open_is_read_on_after_it_was_deleted()
    {
        using var fixture = Made(3);
        InProcess.Client client = fixture.Db.Connect();
        Assert.Equal("+OK", client.RunToEnd($"MIMEI OPEN {fixture.Info.Id} VERSION 2"));
        Assert.Equal(":2", fixture.Run("MIMEI DELVERS 1 2"));
        fixture.Settle();
        Assert.Equal("\"2\"", client.Run("GET n"));
        Assert.Equal("[\"k1\", \"k2\", \"n\"]", client.Run("KEYS *"));
        Assert.Equal(1, fixture.Versions.HeldDeleted);
        InProcess.Client other = fixture.Db.Connect();
        Assert.StartsWith("-ERR there is no version 2", other.RunToEnd($"MIMEI OPEN {fixture.Info.Id} VERSION 2"), StringComparison.Ordinal);
    }

    [Fact]
    public void What_a_node_that_ended_left_uncollected_is_collected_by_the_next()
    {
        using var fixture = Made(3);
        fixture.Run("MIMEI VERSIONS");
        fixture.Versions.Delete(new HashSet<ulong> { 1, 2 });
        long before = fixture.Blocks.Figures.Blocks;
        fixture.Reopen();
        Assert.Single(fixture.Versions.List.All);
        fixture.Settle();
        Assert.InRange(fixture.Blocks.Figures.Blocks, 1, before - 6);
        fixture.AssertVersion(3, "3");
        fixture.Reopen();
        Assert.False(fixture.Versions.List.HasGarbage);
    }

    [Fact]
    public void A_BACKUP_whose_base_is_damaged_is_made_of_all_there_is()
    {
        using var fixture = Made(3);
        fixture.Blocks.Delete(fixture.Versions.Read(3).State);
        fixture.Db.Prepare("SET more x");
        Assert.Equal(":4", fixture.Run("MIMEI BACKUP"));
        fixture.AssertVersion(4, "3");
    }

    /// <summary>A database of so many versions: in each n is its number, and a key was added.</summary>
    private static VersionFixture Made(int versions)
    {
        var fixture = new VersionFixture();
        for (int i = 1; i <= versions; i++)
        {
            fixture.Db.Prepare($"SET n {i}", $"SET k{i} v");
            Assert.Equal($":{i}", fixture.Run("MIMEI BACKUP"));
        }

        return fixture;
    }
}
