// What MIMEI DELVERS and MIMEI CHECK PURGE promise: afterwards no file of the node holds a byte of what was deleted.

using System.Globalization;
using System.Text;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

public sealed class PurgeTests
{
    private const string Secret = "geheimnis-4711";

    [Theory]
    [InlineData("--appendonly", "yes")]
    [InlineData("--appendfsync", "always")]
    [InlineData("--appendonly", "no")]
    public void After_PURGE_no_file_holds_what_was_deleted(params string[] arguments)
    {
        using LeitherServer server = LeitherServer.StartNew(arguments);
        using (RespClient client = server.Connect())
        {
            Write(client);
            Assert.Equal(1, client.Call("MIMEI", "BACKUP").Integer);
            Assert.Equal("OK", client.Call("SAVE").Text);
            client.Call("SET", "between", Secret);
            client.Call("DEL", "between");
            Assert.Equal(2, client.Call("MIMEI", "BACKUP", "MEMO", Secret).Integer);
            Assert.NotEmpty(FilesWithSecret(server));
        }

        // Segments, checkpoints and packs of an earlier life of the node are among them.
        server.Stop();
        server.Start();
        using (RespClient client = server.Connect())
        {
            Delete(client);
            Assert.Equal(3, client.Call("MIMEI", "BACKUP").Integer);
            Assert.Equal(2, client.Call("MIMEI", "DELVERS", "1", "2").Integer);
            RespValue report = client.Call("MIMEI", "CHECK", "PURGE");
            Assert.False(report.IsError, report.ToString());
            Assert.Empty(report[11].Items);
            Assert.Equal("no follower that this node knows of: none follows this MiMei, nor did since the node started", Assert.Single(report[15].Items).Text);
            Assert.Empty(FilesWithSecret(server));
            Assert.Equal("kept", client.Call("GET", "open").Text);
            client.Call("SET", "open", "changed");
        }

        server.Kill();
        server.Start();
        Assert.Empty(FilesWithSecret(server));
        using (RespClient client = server.Connect())
        {
            Assert.Equal(arguments[1] == "no" ? "kept" : "changed", client.Call("GET", "open").Text);
            Assert.Equal(4, client.Call("MIMEI", "BACKUP").Integer);
            Assert.Empty(client.Call("MIMEI", "CHECK")[11].Items);
            string mid = client.Call("MIMEI", "ID")[0].Text;
            Assert.Equal("OK", client.Call("MIMEI", "OPEN", mid, "VERSION", "3").Text);
            Assert.Equal("kept", client.Call("GET", "open").Text);
        }
    }

    [Fact]
    public void PURGE_keeps_what_clients_write_meanwhile()
    {
        using LeitherServer server = LeitherServer.StartNew();
        using RespClient client = server.Connect(), other = server.Connect();
        Write(client);
        for (int i = 0; i < 20_000; i++)
        {
            client.Queue("SET", $"key{i}", new string('v', 100));
        }

        client.Flush();
        for (int i = 0; i < 20_000; i++)
        {
            client.Read();
        }

        Delete(client);
        client.Queue("MIMEI", "CHECK", "PURGE");
        client.Flush();
        long written = 0;
        while (!client.WaitReadable(TimeSpan.Zero))
        {
            Assert.Equal(++written, other.Call("INCR", "counter").Integer);
        }

        RespValue report = client.Read();
        Assert.Empty(report[11].Items);
        Assert.Empty(FilesWithSecret(server));
        server.Kill();
        server.Start();
        using RespClient again = server.Connect();
        Assert.Equal(written.ToString(CultureInfo.InvariantCulture), again.Call("GET", "counter").Text);
        Assert.Equal(20_005, again.Call("DBSIZE").Integer);
    }

    [Fact]
    public void PURGE_names_the_replicas_that_follow_or_followed()
    {
        using LeitherServer server = LeitherServer.StartNew();
        using RespClient client = server.Connect();
        client.Call("SET", "a", "b");
        string port;
        using (LeitherServer replica = LeitherServer.StartNew("--replicaof", $"127.0.0.1 {server.Port}"))
        {
            port = replica.Port.ToString(CultureInfo.InvariantCulture);
            Wait.Until(() => client.Call("INFO", "replication").Text.Contains("state=online", StringComparison.Ordinal));
            Assert.Equal($"the Redis replica 127.0.0.1:{port}, which follows this MiMei", Assert.Single(client.Call("MIMEI", "CHECK", "PURGE")[15].Items).Text);
        }

        Wait.Until(() => client.Call("INFO", "replication").Text.Contains("connected_slaves:0", StringComparison.Ordinal));
        Assert.StartsWith(
            $"the Redis replica 127.0.0.1:{port}, which followed this MiMei until 20", Assert.Single(client.Call("MIMEI", "CHECK", "PURGE")[15].Items).Text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_version_ends_a_segment_and_many_small_ones_leave_few_files()
    {
        using LeitherServer server = LeitherServer.StartNew();
        using RespClient client = server.Connect();
        for (int i = 1; i <= 300; i++)
        {
            client.Call("INCR", "n");
            Assert.Equal(i, client.Call("MIMEI", "BACKUP").Integer);
        }

        client.Call("SAVE");
        client.Call("INCR", "n");
        client.Call("SAVE");
        RespValue report = client.Call("MIMEI", "CHECK");
        Assert.Empty(report[11].Items);
        Assert.Equal(300, report[7].Integer);
        Assert.InRange(report[9].Integer, 150, 300);
        Wait.Until(() => Directory.EnumerateFiles(server.DataDir, "*.seg", SearchOption.AllDirectories).Count() < 150);
        Assert.Single(Directory.EnumerateFiles(server.DataDir, "chain", SearchOption.AllDirectories));
    }

    private static void Write(RespClient client)
    {
        client.Call("SET", "open", "kept");
        client.Call("SET", Secret, "a key");
        client.Call("SET", "string", Secret);
        client.Call("SET", "large", Secret + new string('x', 300_000));
        client.Call("SET", "shorter", "long " + Secret);
        client.Call("RPUSH", "list", "a", Secret, "b");
        client.Call("HSET", "hash", "field", Secret, Secret, "value");
        client.Call("HSET", "hash2", "field", Secret, "other", "value");
        client.Call("SADD", "set", "a", Secret);
        client.Call("ZADD", "zset", "1", "a", "2", Secret);
        client.Call("XADD", "stream", "1-1", "f", Secret);
        client.Call("XADD", "stream", "1-2", "f", "v");
        client.Call("XADD", "stream2", "1-1", "f", Secret);
    }

    private static void Delete(RespClient client)
    {
        client.Call("DEL", Secret, "string", "large", "list", "hash", "set", "zset", "stream2");
        client.Call("SET", "shorter", "s");
        client.Call("HDEL", "hash2", "field");
        client.Call("XDEL", "stream", "1-1");
    }

    private static string[] FilesWithSecret(LeitherServer server)
    {
        var found = new List<string>();
        foreach (string file in Directory.EnumerateFiles(server.DataDir, "*", SearchOption.AllDirectories))
        {
            string text = new FileInfo(file) is { Exists: true, Length: > 0 } ? Encoding.Latin1.GetString(Read(file)) : "";
            if (text.IndexOf(Secret, StringComparison.Ordinal) is var at and >= 0)
            {
                found.Add($"{Path.GetFileName(file)}: {RespValue.Quote(Encoding.Latin1.GetBytes(text[Math.Max(0, at - 20)..(at + Secret.Length)]))}");
            }
        }

        return [.. found];
    }

    /// <summary>The node has it open, and may delete it.</summary>
    private static byte[] Read(string file)
    {
        try
        {
            using var stream = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            byte[] bytes = new byte[stream.Length];
            return bytes[..stream.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false)];
        }
        catch (FileNotFoundException)
        {
            return [];
        }
    }
}
