// A version and the log: it ends a segment and links to its node; CHECK follows the chain.

using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;
using Leither.MmDb.Versions;
using Xunit;

namespace Leither.MmDb.Tests.Versions;

public sealed class VersionLogTests
{
    [Fact]
    public void A_version_links_to_the_segment_that_ends_with_its_last_entry()
    {
        using var fixture = new VersionFixture();
        SegmentChain chain = fixture.Db.Server.DefaultMimei.Log!.Chain!;
        for (int i = 1; i <= 3; i++)
        {
            fixture.Db.Prepare($"SET n {i}", $"SET k{i} v");
            fixture.Run("MIMEI BACKUP");
            MimeiVersion version = fixture.Versions.Read((ulong)i);
            SegmentNode node = SegmentNode.Decode(chain.Get(version.Segment));
            Assert.Equal((fixture.Info.Id, version.Position.Sequence), (node.Mid, node.To));
            Assert.Equal(i == 1 ? default : fixture.Versions.Read((ulong)i - 1).Segment, node.Previous);
            Assert.True(node.Data.Verify(chain.Get(node.Data)));
        }

        fixture.Run("MIMEI BACKUP");
        Assert.Equal(fixture.Versions.Read(3).Segment, fixture.Versions.Read(4).Segment);
        Assert.Equal(3, chain.Segments.Count);
    }

    [Fact]
    public void A_version_of_nothing_links_to_no_segment()
    {
        using var fixture = new VersionFixture();
        Assert.Equal(":1", fixture.Run("MIMEI BACKUP"));
        Assert.True(fixture.Versions.Read(1).Segment.IsNone);
    }

    [Fact]
    public void Collections_neither_need_nor_keep_blocks_of_the_log()
    {
        using VersionFixture fixture = Made(3);
        Cid segment = fixture.Versions.Read(3).Segment;
        Assert.Equal(":2", fixture.Run("MIMEI DELVERS 1 2"));
        fixture.Settle();
        Assert.False(fixture.Blocks.Has(segment));
        Assert.EndsWith("\"segments\", :3, \"trimmed\", :0, \"problems\", []]", fixture.Run("MIMEI CHECK"), StringComparison.Ordinal);
    }

    [Fact]
    public void CHECK_tells_trimmed_segments_from_lost_and_damaged_ones()
    {
        using VersionFixture fixture = Made(4);
        WriteLog log = fixture.Db.Server.DefaultMimei.Log!;
        log.DropThrough(fixture.Versions.Read(1).Position.Sequence, 0);
        log.PerformFileWork();
        Assert.EndsWith("\"segments\", :4, \"trimmed\", :1, \"problems\", []]", fixture.Run("MIMEI CHECK"), StringComparison.Ordinal);

        IReadOnlyList<SealedSegment> segments = log.Chain!.Segments;
        string file = log.Files.FullName(segments[1].FileName);
        byte[] bytes = File.ReadAllBytes(file);
        bytes[200] ^= 1;
        File.WriteAllBytes(file, bytes);
        File.Delete(log.Files.FullName(segments[2].FileName));
        string report = fixture.Run("MIMEI CHECK");
        Assert.Contains($"log: the segment of entries {segments[1].Node.From} to {segments[1].Node.To} cannot be read: Block {segments[1].Node.Data} is damaged", report, StringComparison.Ordinal);
        Assert.Contains($"log: the segment of entries {segments[2].Node.From} to {segments[2].Node.To} cannot be read", report, StringComparison.Ordinal);
    }

    private static VersionFixture Made(int count)
    {
        var fixture = new VersionFixture();
        for (int i = 1; i <= count; i++)
        {
            fixture.Db.Prepare($"SET n {i}", $"SET k{i} {new string('v', 100)}");
            fixture.Run("MIMEI BACKUP");
        }

        return fixture;
    }
}
