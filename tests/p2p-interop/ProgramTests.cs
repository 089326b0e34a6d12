// The program itself with Helia: on its one port, over TCP and WebSocket, by its command line.

using System.Diagnostics;
using System.Security.Cryptography;
using System.Text.Json;
using Leither.TestKit;
using Xunit;
using Xunit.Abstractions;

namespace Leither.P2pInterop;

public sealed class ProgramTests(ITestOutputHelper output)
{
    private const string Dht = "/leither/kad/1.0.0";

    private static int FileBytes => Seed.IsLong ? 100_000_000 : 10_000_000;

    [Theory]
    [InlineData("")]
    [InlineData("/ws")]
    public async Task Helia_dials_the_nodes_port_and_gets_what_ipfs_add_added(string transport) => await RunAsync("none", async (leither, helia) =>
    {
        using var folder = new TempDir("interop");
        byte[] content = new byte[FileBytes];
        new Random(Seed.OfRun()).NextBytes(content);
        await File.WriteAllBytesAsync(folder.File("file"), content);
        foreach (string profile in new[] { "unixfs-v0-2015", "unixfs-v1-2025" })
        {
            string cid = (await CommandAsync(leither, "ipfs", "add", "--profile", profile, folder.File("file"))).Split('\n')[^1].Split(' ')[^1];
            string dialed = (await helia.AskAsync($"connect /ip4/127.0.0.1/tcp/{leither.Port}{transport}")).GetProperty("peer").GetString()!;
            Assert.Contains(dialed, await CommandAsync(leither, "swarm", "id"), StringComparison.Ordinal);
            JsonElement read = await helia.AskAsync($"cat {cid}");
            Assert.Equal(content.Length, read.GetProperty("bytes").GetInt32());
            Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(content)), read.GetProperty("sha256").GetString());
        }

        Assert.Contains(helia.Id.ToString(), await CommandAsync(leither, "swarm", "peers"), StringComparison.Ordinal);
    });

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task The_node_dials_Helia_and_gets_what_that_has(int transport) => await RunAsync("none", async (leither, helia) =>
    {
        using var folder = new TempDir("interop");
        await CommandAsync(leither, "swarm", "connect", helia.Addresses[transport].ToString());
        JsonElement added = await helia.AskAsync($"add {FileBytes} unixfs-v1-2025");
        await CommandAsync(leither, "ipfs", "get", added.GetProperty("cid").GetString()!, "-o", folder.File("file"));
        using FileStream got = File.OpenRead(folder.File("file"));
        Assert.Equal(added.GetProperty("sha256").GetString(), P2pNode.Sha256(got));
    });

    [Fact]
    public async Task A_node_that_knows_another_one_finds_in_the_DHT_what_Helia_provides() => await RunAsync(Dht, async (leither, helia) =>
    {
        using var asker = LeitherServer.StartNew("--swarm-bootstrap", $"/ip4/127.0.0.1/tcp/{leither.Port}");
        using var folder = new TempDir("interop");
        await helia.AskAsync($"connect /ip4/127.0.0.1/tcp/{leither.Port}");
        JsonElement added = await helia.AskAsync($"add {FileBytes} unixfs-v0-2015");
        string cid = added.GetProperty("cid").GetString()!;
        Assert.InRange((await helia.AskAsync($"provide {cid}")).GetProperty("told").GetInt32(), 1, 2);
        await CommandAsync(asker, "ipfs", "get", cid, "-o", folder.File("file"));
        using FileStream got = File.OpenRead(folder.File("file"));
        Assert.Equal(added.GetProperty("sha256").GetString(), P2pNode.Sha256(got));
    });

    private static async Task<string> CommandAsync(LeitherServer leither, params string[] arguments)
    {
        string[] program = LeitherServer.Program();
        using Process process = Process.Start(new ProcessStartInfo(program[0], [.. program[1..], "--data", leither.DataDir, .. arguments])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        process.StandardInput.Close();
        Task<string> error = process.StandardError.ReadToEndAsync();
        string printed = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync().WaitAsync(TimeSpan.FromMinutes(2));
        Assert.True(process.ExitCode == 0, $"{string.Join(' ', arguments)}: {printed}{await error}");
        return printed.Trim();
    }

    private async Task RunAsync(string dht, Func<LeitherServer, JsPeer, Task> body)
    {
        if (!JsPeer.IsInstalled)
        {
            output.WriteLine("Left out: Helia is not installed (./test does that).");
            return;
        }

        using var leither = LeitherServer.StartNew("--dht-mode", "dhtserver");
        using JsPeer helia = await JsPeer.StartHeliaAsync(dht);
        await body(leither, helia);
    }
}
