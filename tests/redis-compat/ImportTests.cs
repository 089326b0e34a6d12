// What Redis kept in files comes in whole: an RDB file, append-only files with and without RDB at their beginning.

using System.Diagnostics;
using System.Text.Json;
using Leither.TestKit;
using Xunit;

namespace Leither.RedisCompat;

public sealed class ImportTests
{
    [Fact]
    public void A_dump_rdb_fills_a_data_folder_and_a_running_node()
    {
        using RedisServer redis = RedisServer.StartNew("--enable-debug-command", "yes");
        using RespClient onRedis = redis.Connect();
        Samples.Populate(onRedis, seed: 1);
        onRedis.Call("SELECT", "9");
        onRedis.Call("SET", "elsewhere", "x");
        string digest = onRedis.Call("DEBUG", "DIGEST").Text;
        Assert.Equal("OK", onRedis.Call("SAVE").Text);
        string dump = Path.Combine(redis.DataDir, "dump.rdb");

        using LeitherServer leither = LeitherServer.StartNew("--enable-debug-command", "yes");
        leither.Stop();
        JsonElement result = Import(dump, "--data", leither.DataDir, "--json");
        leither.Start();
        using (RespClient client = leither.Connect())
        {
            Assert.Equal(digest, client.Call("DEBUG", "DIGEST").Text);
            Assert.Equal(client.Call("DBSIZE").Integer + 1, result.GetProperty("keys").GetInt64());
            client.Call("FLUSHALL");
        }

        Import(dump, "--to", $"127.0.0.1:{leither.Port}", "--json");
        using RespClient again = leither.Connect();
        Assert.Equal(digest, again.Call("DEBUG", "DIGEST").Text);

        again.Call("SET", "str:short", "mine");
        JsonElement kept = Import(dump, "--to", $"127.0.0.1:{leither.Port}", "--keep-existing", "--json");
        Assert.Equal(0, kept.GetProperty("keys").GetInt64());
        Assert.Equal("mine", again.Call("GET", "str:short").Text);
    }

    [Theory]
    [InlineData("yes")]
    [InlineData("no")]
    public void Append_only_files_fill_a_data_folder(string preamble)
    {
        using RedisServer redis = RedisServer.StartNew(
            "--enable-debug-command", "yes", "--appendonly", "yes", "--aof-use-rdb-preamble", preamble, "--aof-timestamp-enabled", "yes", "--appendfsync", "always");
        using RespClient onRedis = redis.Connect();
        Samples.Populate(onRedis, seed: 4);
        onRedis.Call("BGREWRITEAOF");
        Wait.Until(() => onRedis.Call("INFO", "persistence").Text is var info
            && info.Contains("aof_rewrite_in_progress:0", StringComparison.Ordinal) && info.Contains("aof_rewrite_scheduled:0", StringComparison.Ordinal));

        onRedis.Call("INCRBYFLOAT", "float", "0.1");
        onRedis.Call("SPOP", "set:big", "100");
        onRedis.Call("SET", "gone", "soon", "PX", "1");
        onRedis.Call("MULTI");
        onRedis.Call("SELECT", "3");
        onRedis.Call("LPUSH", "l", "a", "b");
        onRedis.Call("EXEC");
        onRedis.Call("SELECT", "0");
        Wait.Until(() => onRedis.Call("EXISTS", "gone").Integer == 0);

        string digest = onRedis.Call("DEBUG", "DIGEST").Text;
        redis.Kill();
        File.AppendAllText(Directory.GetFiles(Path.Combine(redis.DataDir, "appendonlydir"), "*.incr.aof").Last(), "*3\r\n$3\r\nSET\r\n$3\r\ncut");

        using LeitherServer leither = LeitherServer.StartNew("--enable-debug-command", "yes");
        leither.Stop();
        JsonElement result = Import(redis.DataDir, "--data", leither.DataDir, "--json");
        Assert.Equal(20, result.GetProperty("bytes_of_a_command_cut_off").GetInt64());
        leither.Start();
        using RespClient client = leither.Connect();
        Assert.Equal(digest, client.Call("DEBUG", "DIGEST").Text);
    }

    [Fact]
    public void A_damaged_file_is_an_error_that_says_where()
    {
        using var folder = new TempDir("damaged");
        string file = folder.File("dump.rdb");
        File.WriteAllBytes(file, [.. "REDIS0009"u8, 0, 1, (byte)'k', 0xC7, 1]);
        (int exitCode, string printed) = Run(file, "--data", folder.File("data"), "--json");
        Assert.Equal(1, exitCode);
        Assert.Contains("At byte", printed, StringComparison.Ordinal);
    }

    private static JsonElement Import(params string[] arguments)
    {
        (int exitCode, string printed) = Run(arguments);
        Assert.True(exitCode == 0, printed);
        return JsonDocument.Parse(printed).RootElement;
    }

    private static (int ExitCode, string Printed) Run(params string[] arguments)
    {
        string[] command = [.. LeitherServer.Program(), "import", .. arguments];
        using Process process = Process.Start(new ProcessStartInfo(command[0], command[1..]) { RedirectStandardOutput = true })!;
        string printed = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, printed);
    }
}
