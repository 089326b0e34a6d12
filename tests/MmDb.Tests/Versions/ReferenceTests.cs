// MIMEI REF: what is referred to is kept, by hand and by rule, and who refers to it is told.

using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Configuration;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Versions;

public sealed class ReferenceTests
{
    [Fact]
    public void Their_bytes_stay_as_they_are()
    {
        var mid = new LeitherId(Convert.FromHexString("000102030405060708090a0b0c0d0e0f10111213"));
        Cid cid = Cid.Of(Multicodec.Raw, "hello"u8);
        MimeiReference[] references = [new(mid, 0, default), new(mid, 300, default), new(default, 0, cid)];
        byte[] encoded = MimeiReference.Encode(references);
        Assert.Equal(
            "a2647265667383" + "8254000102030405060708090a0b0c0d0e0f1011121300" + "8254000102030405060708090a0b0c0d0e0f1011121319012c"
            + "d82a582500015512202cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" + "66666f726d617401",
            Convert.ToHexStringLower(encoded));
        Assert.Equal(references, MimeiReference.Decode(encoded));
        Assert.Throws<DagCborException>(() => MimeiReference.Decode(encoded.AsSpan()[..^1]));
        Assert.Equal([$"{mid}", $"{mid}/300", $"{cid}"], references.Select(static r => r.ToString()));
    }

    [Fact]
    public void A_block_that_is_referred_to_is_kept_by_collections_and_its_version_is_not_deleted()
    {
        using var fixture = new VersionFixture(store: static clock => new FolderMimeiStore(clock));
        fixture.Db.Prepare("SET n 1");
        fixture.Run("MIMEI BACKUP");
        fixture.Db.Prepare("SET n 2");
        fixture.Run("MIMEI BACKUP");
        Cid state = fixture.Versions.Read(1).State, version = fixture.Versions.List.Find(2);
        Assert.Equal(":2", fixture.Run($"MIMEI REF ADD {state} {version}"));
        Assert.Equal(":0", fixture.Run($"MIMEI REF ADD {state}"));
        Assert.StartsWith($"-ERR version 2 is referred to as {version} by the MiMei itself", fixture.Run("MIMEI DELVERS 2"), StringComparison.Ordinal);
        Assert.Equal(":1", fixture.Run("MIMEI DELVERS 1"));
        fixture.Settle();
        Assert.True(fixture.Blocks.Has(state));
        Assert.Equal(":1", fixture.Run($"MIMEI REF DEL {state}"));
        fixture.Run("MIMEI CHECK PURGE");
        Assert.False(fixture.Blocks.Has(state));
        Assert.Contains(version.ToString(), fixture.Run("MIMEI REF LIST"), StringComparison.Ordinal);
        Assert.DoesNotContain(state.ToString(), fixture.Run("MIMEI REF LIST"), StringComparison.Ordinal);
    }

    [Fact]
    public void A_version_that_is_referred_to_outlives_the_retention_rule()
    {
        using var fixture = new VersionFixture(store: static clock => new FolderMimeiStore(clock));
        fixture.AutoBackup = [new SavePoint(60, 1)];
        fixture.Retention = [new SavePoint(60, 60)];
        for (int i = 1; i <= 4; i++)
        {
            fixture.Db.Prepare($"SET n {i}");
            fixture.Db.Clock.Advance(61_000);
            fixture.Settle();
            if (i == 1)
            {
                Assert.Equal(":1", fixture.Run($"MIMEI REF ADD {fixture.Info.Id}/1"));
            }
        }

        fixture.Settle();
        Assert.False(fixture.Versions.List.Find(1).IsNone);
        Assert.True(fixture.Versions.List.Find(2).IsNone);
    }

    [Theory]
    [InlineData("MIMEI REF", "-ERR wrong number of arguments for 'mimei|ref' command")]
    [InlineData("MIMEI REF ADD", "-ERR syntax error")]
    [InlineData("MIMEI REF FORGET x", "-ERR syntax error")]
    [InlineData("MIMEI REF LIST a b", "-ERR syntax error")]
    [InlineData("MIMEI REF LIST nobody", "-ERR no such MiMei 'nobody'")]
    [InlineData("MIMEI REF ADD nobody", "-ERR no such MiMei 'nobody', and it is no CID")]
    [InlineData("MIMEI REF ADD nobody/0", "-ERR a reference to a version ends in its number: mid/3")]
    [InlineData("MIMEI REF ADD bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy", "-ERR this MiMei has no block bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy")]
    public void What_cannot_be_referred_to_is_refused(string command, string error)
    {
        using var fixture = new VersionFixture(store: static clock => new FolderMimeiStore(clock));
        Assert.Equal(error, fixture.Run(command));
        Assert.Equal("[]", fixture.Run("MIMEI REF LIST"));
    }
}
