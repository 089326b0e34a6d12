// MIMEI EXPORT: a CAR whose blocks are enough to check and to read the versions, and none twice.

using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Car;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Versions;
using Leither.MmDb.Writers;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Versions;

public sealed class ExportTests
{
    [Fact]
    public void EXPORT_writes_all_that_the_versions_need_and_each_block_once()
    {
        using var fixture = new VersionFixture();
        for (int i = 1; i <= 4; i++)
        {
            fixture.Db.Prepare($"SET n {i}", $"SET big{i} {new string((char)('a' + i), 200_000)}", $"HSET h f{i} v");
            Assert.Equal($":{i}", fixture.Run("MIMEI BACKUP"));
        }

        fixture.Run("MIMEI DELVERS 1");
        fixture.Settle();
        using var folder = new TempDir();
        string path = Path.Combine(folder.Path, "versions.car");
        Assert.Matches("""^\["versions", :2, "blocks", :\d+, "bytes", :\d+\]$""", fixture.Run($"MIMEI EXPORT {path} VERSION 4 VERSION 2"));
        using var blocks = new MemoryBlockstore();
        using (FileStream file = File.OpenRead(path))
        {
            CarReader car = CarReader.Open(file);
            Assert.Equal([fixture.Versions.List.Find(4), fixture.Versions.List.Find(2)], car.Roots);
            Assert.True(car.Read());
            Assert.Equal(fixture.Info.Id, LeitherId.Of(car.Block.Span));
            Assert.True(car.Read());
            Assert.Equal(car.Roots[0], car.Cid);
            do
            {
                Assert.True(blocks.Put(car.Cid, car.Block.Span), $"{car.Cid} is there twice");
            }
            while (car.Read());
        }

        foreach (ulong number in (ulong[])[4, 2])
        {
            MimeiVersion version = MimeiVersion.Decode(blocks.Get(fixture.Versions.List.Find(number))!, new WriterSet(fixture.Info.Id, fixture.Author.PublicKey));
            Assert.Equal(number, version.Number);
            var problems = new List<string>();
            new StateChecker(blocks, (cid, _, what) => problems.Add($"{cid} {what}"), static () => { }).Check(version.State);
            Assert.Empty(problems);
        }
    }

    [Fact]
    public void EXPORT_writes_over_no_file_and_leaves_none_behind_that_is_not_whole()
    {
        using var fixture = new VersionFixture();
        using var folder = new TempDir();
        string path = Path.Combine(folder.Path, "versions.car");
        Assert.StartsWith("-ERR there is no version yet", fixture.Run($"MIMEI EXPORT {path}"), StringComparison.Ordinal);
        fixture.Db.Prepare("SET n 1");
        fixture.Run("MIMEI BACKUP");
        Assert.StartsWith("-ERR there is no version 2", fixture.Run($"MIMEI EXPORT {path} VERSION 2"), StringComparison.Ordinal);
        Cid state = fixture.Versions.Read(1).State;
        byte[] block = fixture.Blocks.Get(state)!;
        fixture.Blocks.Delete(state);
        Assert.Contains("is missing", fixture.Run($"MIMEI EXPORT {path}"), StringComparison.Ordinal);
        Assert.Empty(Directory.EnumerateFileSystemEntries(folder.Path));
        fixture.Blocks.Put(state, block);
        Assert.StartsWith("[\"versions\", :1", fixture.Run($"MIMEI EXPORT {path}"), StringComparison.Ordinal);
        Assert.StartsWith($"-ERR {path} is there already", fixture.Run($"MIMEI EXPORT {path}"), StringComparison.Ordinal);
        Assert.Equal("-ERR syntax error", fixture.Run($"MIMEI EXPORT {path}2 VERSION"));
    }
}
