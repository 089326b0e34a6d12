// leither import into the data folder of a node that does not run.

using System.Text;
using Leither.Ipfs.Files;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Replication;
using Leither.Node.Replication;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

public sealed class LocalImportTests : IDisposable
{
    private readonly LeitherServer _server = LeitherServer.StartNew();
    private readonly TempDir _folder = new("import");
    private readonly string _commands, _mimei;

    public LocalImportTests()
    {
        using (RespClient client = _server.Connect())
        {
            Assert.Equal("OK", client.Call("SET", "here", "1").Text);
        }

        _server.Stop();
        _mimei = Directory.GetDirectories(Path.Combine(_server.DataDir, "mimei")).Single();
        _commands = _folder.File("appendonly.aof");
        File.WriteAllText(_commands, "*3\r\n$3\r\nSET\r\n$5\r\nthere\r\n$1\r\n2\r\n");
    }

    public void Dispose()
    {
        _server.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public void Nothing_is_imported_before_followers_were_asked_for_what_a_loss_of_power_took()
    {
        // The machine was started anew while the log was open for writing, and somebody followed it.
        ReplicaState state = new(null, "the boot before", [Multiaddr.Parse("/ip4/127.0.0.1/tcp/1")]);
        state.Save(_mimei);
        string before = Contents();
        LeitherProgram.Result refused = Import();
        Assert.Equal(1, refused.Code);
        Assert.Contains("lost its power", refused.Error, StringComparison.Ordinal);
        Assert.Contains("leither run", refused.Error, StringComparison.Ordinal);
        Assert.Equal(before, Contents());

        // Who does not want that it looks gets what is here.
        Assert.Equal(0, Import(("LEITHER_REPLICATION_RECOVER_TIMEOUT", "0")).Code);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void What_ended_on_this_boot_of_the_machine_or_was_followed_by_nobody_is_imported_into(bool isThisBoot)
    {
        new ReplicaState(null, isThisBoot ? ReplicationService.Boot : "the boot before", isThisBoot ? [Multiaddr.Parse("/ip4/127.0.0.1/tcp/1")] : []).Save(_mimei);
        LeitherProgram.Result imported = Import();
        Assert.True(imported.Code == 0, imported.Error);
        _server.Start();
        using RespClient client = _server.Connect();
        Assert.Equal("1", client.Call("GET", "here").Text);
        Assert.Equal("2", client.Call("GET", "there").Text);
    }

    [Fact]
    public void Nothing_is_imported_into_what_is_written_elsewhere()
    {
        CopyFile.Create(new DiskFolder(_mimei));
        string before = Contents();
        LeitherProgram.Result refused = Import();
        Assert.Equal(1, refused.Code);
        Assert.Contains("another node", refused.Error, StringComparison.Ordinal);
        Assert.Equal(before, Contents());
    }

    private LeitherProgram.Result Import(params (string Name, string Value)[] environment) =>
        LeitherProgram.Run(environment.ToDictionary(static e => e.Name, static e => e.Value), "import", _commands, "--data", _server.DataDir);

    /// <summary>All files of the MiMei, with what is in them.</summary>
    private string Contents()
    {
        var all = new StringBuilder();
        foreach (string file in Directory.GetFiles(_mimei, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal))
        {
            all.Append(file).Append(' ').Append(Convert.ToHexString(System.Security.Cryptography.SHA256.HashData(File.ReadAllBytes(file)))).Append('\n');
        }

        return all.ToString();
    }
}
