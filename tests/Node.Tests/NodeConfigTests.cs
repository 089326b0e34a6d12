using System.Text;
using Leither.MmDb.Configuration;
using Leither.Node.Configuration;
using Leither.Node.Logging;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

public sealed class NodeConfigTests
{
    private static NodeConfig Load(params string[] arguments) => NodeConfig.Load(arguments, () => Stream.Null);

    [Fact]
    public void Without_arguments_a_node_serves_port_4800_and_logs_every_second()
    {
        NodeConfig config = Load();
        Assert.Equal(4800, config.Listen.Port);
        Assert.Equal(["*", "-::*"], config.Listen.Bind);
        Assert.Equal("yes", config.Settings.Show(ConfigKeys.ProtectedMode));
        Assert.Equal("yes", config.Settings.Show(ConfigKeys.AppendOnly));
        Assert.Equal("everysec", config.Settings.Show(ConfigKeys.AppendFsync));
        Assert.Equal(DataFolder.Default, config.DataFolder);
        Assert.Equal("127.0.0.1", config.LocalHost);
        Assert.Null(config.File);
    }

    [Fact]
    public void Arguments_win_over_the_standard_input_and_that_over_the_file()
    {
        using TempDir folder = new();
        string file = folder.File("redis.conf");
        File.WriteAllText(file, "port 1\nhz 11\ntimeout 5\ninclude " + folder.File("conf.d/*.conf") + "\n");
        Directory.CreateDirectory(folder.File("conf.d"));
        File.WriteAllText(folder.File("conf.d/b.conf"), "maxmemory 2mb");
        File.WriteAllText(folder.File("conf.d/a.conf"), "maxmemory 1mb");
        NodeConfig config = NodeConfig.Load([file, "--port", "3", "-"], () => new MemoryStream(Encoding.ASCII.GetBytes("port 2\nhz 12\n")));
        Assert.Equal(3, config.Listen.Port);
        Assert.Equal(12, config.Settings.Get(ConfigKeys.Hz));
        Assert.Equal(5, config.Settings.Get(ConfigKeys.Timeout));
        Assert.Equal(2 << 20, config.Settings.Get(ConfigKeys.MaxMemory));
        Assert.Equal(file, config.File);
    }

    [Fact]
    public void The_short_options_may_stand_anywhere()
    {
        using TempDir folder = new();
        string file = folder.File("my.conf");
        File.WriteAllText(file, "port 1\ndir /nowhere\n");
        NodeConfig config = Load("-p", "7001", "--data", folder.Path, file, "--requirepass", "-p");
        Assert.Equal(7001, config.Listen.Port);
        Assert.Equal(folder.Path, config.DataFolder);
        Assert.Equal(file, config.File);
        Assert.Equal("-p", config.Settings.Get(ConfigKeys.RequirePass));
    }

    [Fact]
    public void Losing_data_is_allowed_for_one_start_by_hand_only()
    {
        Assert.False(Load().AllowsDataLossAfterCorruption);
        NodeConfig config = Load("--port", "1", "--allow-data-loss-after-corruption", "--hz", "11");
        Assert.True(config.AllowsDataLossAfterCorruption);
        Assert.Equal((1, 11), (config.Settings.Get(ConfigKeys.Port), config.Settings.Get(ConfigKeys.Hz)));
    }

    [Fact]
    public void A_log_file_that_cannot_be_written_is_told_at_once()
    {
        using TempDir folder = new();
        NodeConfig config = Load("--data", folder.Path, "--logfile", "no/such/folder.log");
        Assert.StartsWith("Can't open the log file: ", Assert.Throws<IOException>(() => config.Configure(new(TimeProvider.System, null))).Message, StringComparison.Ordinal);
        NodeLog log = new(TimeProvider.System, null);
        Load("--data", folder.Path, "--logfile", "node.log", "--loglevel", "warning").Configure(log);
        log.Notice("unsaid");
        log.Warning("said");
        Assert.Matches($"^{Environment.ProcessId}:M \\d\\d [A-Z][a-z][a-z] \\d{{4}} \\d\\d:\\d\\d:\\d\\d\\.\\d{{3}} # said\n$", File.ReadAllText(folder.File("node.log")));
    }

    [Fact]
    public void Text_beyond_ASCII_survives()
    {
        using TempDir folder = new();
        string path = folder.File("données 数据");
        NodeConfig config = Load("--dir", path, "--requirepass", "пароль");
        Assert.Equal(path, config.DataFolder);
        Assert.Equal("пароль", ConfigText.ToText(config.Settings.Get(ConfigKeys.RequirePass)));
    }

    [Fact]
    public void A_missing_file_and_a_wrong_argument_are_told()
    {
        Assert.StartsWith("Fatal error, can't open config file '/nowhere/x.conf': ", Assert.Throws<IOException>(() => Load("/nowhere/x.conf")).Message, StringComparison.Ordinal);
        Assert.Equal("Bad directive or wrong number of arguments", Assert.Throws<ConfigException>(() => Load("--nonsense", "1")).Error);
        Assert.Equal("wrong number of arguments", Assert.Throws<ConfigException>(() => Load("--port")).Error);
    }

    [Theory]
    [InlineData("*", "127.0.0.1")]
    [InlineData("-::*", "::1")]
    [InlineData("10.1.2.3 127.0.0.1", "10.1.2.3")]
    [InlineData("", "127.0.0.1")]
    public void Commands_reach_the_node_where_it_listens(string bind, string host) => Assert.Equal(host, Load("--bind", bind).LocalHost);

    [Fact]
    public void A_data_folder_has_one_node_at_a_time()
    {
        using TempDir folder = new();
        string path = folder.File("deep/data");
        RunningNode node = new(Environment.ProcessId, "127.0.0.1", 4801, "/tmp/s", "1.2.3");
        using (DataFolder held = DataFolder.Open(path))
        {
            held.Announce(node);
            Assert.Equal(node, DataFolder.Find(path));
            string message = Assert.Throws<DataFolderException>(() => DataFolder.Open(path)).Message;
            Assert.Contains($"in use by another node (process {Environment.ProcessId}", message, StringComparison.Ordinal);
        }

        Assert.Null(DataFolder.Find(path));
        using DataFolder again = DataFolder.Open(path);
        Assert.Equal(path, again.Path);
    }

    [Fact]
    public void A_data_folder_that_cannot_be_made_is_told()
    {
        using TempDir folder = new();
        File.WriteAllText(folder.File("file"), "");
        Assert.Contains("cannot be used", Assert.Throws<DataFolderException>(() => DataFolder.Open(folder.File("file/data"))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_torn_announcement_is_none()
    {
        using TempDir folder = new();
        File.WriteAllText(folder.File("node.json"), "{\"pid\":1,");
        Assert.Null(DataFolder.Find(folder.Path));
        File.WriteAllText(folder.File("node.json"), "[]");
        Assert.Null(DataFolder.Find(folder.Path));
    }
}
