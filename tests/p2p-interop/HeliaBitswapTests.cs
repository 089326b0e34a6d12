// Blocks from Helia and to Helia, over Bitswap. Random content is made on one side and named on the other by what came.

using System.Text.Json;
using Leither.Ipfs.Multiformats;
using Leither.Ipfs.UnixFs;
using Leither.Libp2p.Bitswap;
using Leither.TestKit;
using Xunit;
using Xunit.Abstractions;

namespace Leither.P2pInterop;

public sealed class HeliaBitswapTests(ITestOutputHelper output)
{
    private static readonly TimeSpan _patience = TimeSpan.FromMinutes(2);

    private static int FileBytes => Seed.IsLong ? 100_000_000 : 20_000_000;

    private static int FileCount => Seed.IsLong ? 10_000 : 2_000;

    [Theory]
    [InlineData("unixfs-v0-2015")]
    [InlineData("unixfs-v1-2025")]
    public async Task A_large_file_comes_from_Helia(string profile) => await RunAsync(async (node, helia) =>
    {
        await node.Host.ConnectAsync(helia.Address).WaitAsync(_patience);
        JsonElement added = await helia.AskAsync($"add {FileBytes} {profile}");
        Cid cid = CidOf(added);
        Assert.True(await node.FetchAsync(cid).WaitAsync(_patience) >= FileBytes);
        using var content = new UnixFsStream(node.Store, cid);
        Assert.Equal(added.GetProperty("sha256").GetString(), P2pNode.Sha256(content));
        // The same content and profile give the same name here.
        content.Position = 0;
        Assert.Equal(cid, new UnixFsImporter(null, UnixFsProfile.Find(profile)!).AddFile(content).Cid);
    });

    [Theory]
    [InlineData("unixfs-v0-2015")]
    [InlineData("unixfs-v1-2025")]
    public async Task A_large_file_goes_to_Helia(string profile) => await RunAsync(async (node, helia) =>
    {
        byte[] content = new byte[FileBytes];
        new Random(Seed.OfRun()).NextBytes(content);
        Cid cid = new UnixFsImporter(node.Store, UnixFsProfile.Find(profile)!).AddFile(new MemoryStream(content)).Cid;
        await helia.AskAsync($"connect {node.Address}");
        JsonElement read = await helia.AskAsync($"cat {cid}");
        Assert.Equal(content.Length, read.GetProperty("bytes").GetInt32());
        Assert.Equal(P2pNode.Sha256(new MemoryStream(content)), read.GetProperty("sha256").GetString());
    });

    [Theory]
    [InlineData("unixfs-v0-2015")]
    [InlineData("unixfs-v1-2025")]
    public async Task A_directory_of_many_small_files_comes_from_Helia(string profile) => await RunAsync(async (node, helia) =>
    {
        await node.Host.ConnectAsync(helia.Address).WaitAsync(_patience);
        Cid cid = CidOf(await helia.AskAsync($"adddir {FileCount} {profile}"));
        await node.FetchAsync(cid).WaitAsync(_patience);
        Assert.Equal(AddFiles(new UnixFsImporter(null, UnixFsProfile.Find(profile)!)), cid);
        int count = 0;
        foreach (UnixFsLink entry in UnixFsDirectory.List(node.Store, UnixFsNode.Load(node.Store, cid)))
        {
            using var reader = new StreamReader(new UnixFsStream(node.Store, entry.Cid));
            Assert.Equal($"file {entry.Name}", await reader.ReadToEndAsync());
            count++;
        }

        Assert.Equal(FileCount, count);
    });

    [Theory]
    [InlineData("unixfs-v0-2015")]
    [InlineData("unixfs-v1-2025")]
    public async Task A_directory_of_many_small_files_goes_to_Helia(string profile) => await RunAsync(async (node, helia) =>
    {
        Cid cid = AddFiles(new UnixFsImporter(node.Store, UnixFsProfile.Find(profile)!));
        await helia.AskAsync($"connect {node.Address}");
        Assert.Equal(FileCount, (await helia.AskAsync($"dir {cid}")).GetProperty("right").GetInt32());
    });

    [Fact]
    public async Task What_neither_side_has_ends_in_time() => await RunAsync(async (node, helia) =>
    {
        var absent = Cid.Of(Multicodec.Raw, "nowhere"u8);
        await node.Host.ConnectAsync(helia.Address).WaitAsync(_patience);
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(1));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => node.Bitswap.GetAsync(absent, limit.Token).WaitAsync(_patience));
        Assert.Empty(node.Bitswap.Wanted);
        await Assert.ThrowsAsync<InvalidOperationException>(() => helia.AskAsync($"block {absent} 1"));
        // Both go on, and what comes later is sent to whoever still waits.
        byte[] late = [1, 2, 3];
        var cid = Cid.Of(Multicodec.Raw, late);
        Task<JsonElement> waiting = helia.AskAsync($"block {cid} 60");
        while (node.Bitswap.GetLedger(helia.Id).Wants == 0)
        {
            await Task.Delay(20);
        }

        node.Store.Put(cid, late);
        node.Bitswap.NotifyAvailable([cid]);
        Assert.Equal(late.Length, (await waiting.WaitAsync(_patience)).GetProperty("bytes").GetInt32());
    });

    private static Cid CidOf(JsonElement answer) => Cid.Parse(answer.GetProperty("cid").GetString()!);

    private static Cid AddFiles(UnixFsImporter importer) => importer.AddDirectory([.. Enumerable.Range(0, FileCount).Select(i =>
    {
        ImportedNode file = importer.AddFile(new MemoryStream(System.Text.Encoding.UTF8.GetBytes($"file {i}")));
        return new NewEntry($"{i}", file.Cid, file.Tsize);
    })]).Cid;

    private async Task RunAsync(Func<P2pNode, JsPeer, Task> body)
    {
        if (!JsPeer.IsInstalled)
        {
            output.WriteLine("Left out: Helia is not installed (./test does that).");
            return;
        }

        await using var node = new P2pNode();
        using JsPeer helia = await JsPeer.StartHeliaAsync();
        await body(node, helia);
    }
}
