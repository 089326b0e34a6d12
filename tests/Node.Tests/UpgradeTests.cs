// Data folders that older versions of the program left behind (fixtures/README.md), opened by that of today. Each was filled by:
//
//   SET string value; SET number 41; INCR number; SET expires later EXAT 4102444800; HSET hash f1 v1 f2 v2; RPUSH list a b c; SADD set x y z; SADD ints 1 2 3; ZADD zset 1 one 2.5 two
//   XADD stream 1-1 f v; XGROUP CREATE stream group 0; XREADGROUP GROUP group c STREAMS stream >; PFADD hll a b c; SETBIT bits 100 1; GEOADD geo 13.361389 38.115556 Palermo
//   in database 3: SET other-db 1
//   EVAL "for i=1,600 do redis.call('HSET','bighash','field:'..i,'v'..i) redis.call('ZADD','bigzset',i,'m'..i) redis.call('SADD','bigset','m'..i) redis.call('RPUSH','biglist',string.rep('x',30)..i) end" 0
//   FUNCTION LOAD "#!lua name=lib\nredis.register_function('f', function(keys, args) return 'called' end)"
//   SAVE; SET after-save yes; DEL ints
// and those with versions then by:
//   MIMEI BACKUP MEMO first; SET string changed; MIMEI BACKUP; SET string last; MIMEI CREATE DB MARK shop; MIMEI NAME shop MID; MIMEI OPEN shop; SET in-shop 1

// A process is waited for beside its output.
#pragma warning disable xUnit1031
using System.Diagnostics;
using System.Formats.Tar;
using System.IO.Compression;
using System.Net.Sockets;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

public sealed class UpgradeTests
{
    [Theory]
    [InlineData("one-mimei", false)]
    [InlineData("one-mimei-killed", false)]
    [InlineData("versions", true)]
    [InlineData("versions-killed", true)]
    [InlineData("network", true)]
    public void What_an_older_version_wrote_is_there_and_goes_on(string name, bool hasVersions)
    {
        using TempDir folder = new();
        string data = folder.File("data");
        Unpack(name, data);
        if (hasVersions)
        {
            // The doctor looks at it as it is. A folder of a version with one MiMei has no MiMei to look at before it is taken over.
            LeitherProgram.Result well = LeitherProgram.Run("doctor", "--data", data);
            Assert.Contains("2 MiMei", well.Output, StringComparison.Ordinal);
            Assert.DoesNotContain("PROBLEM  Integrity", well.Output, StringComparison.Ordinal);
        }

        // Twice: what it makes of it is what it opens next time.
        for (int start = 0; start < 2; start++)
        {
            using Process node = Start(data, out int port, out Task<string> log);
            try
            {
                using RespClient client = RespClient.Connect(port);
                client.Call("CLIENT", "SETNAME", "test");
                string Ask(params string[] words) => Flat(client.Call(words));
                Assert.Equal(hasVersions ? "last" : "value", Ask("GET", "string"));
                Assert.Equal("42", Ask("GET", "number"));
                Assert.Equal("4102444800", Ask("EXPIRETIME", "expires"));
                Assert.Equal("v1 v2", Ask("HMGET", "hash", "f1", "f2"));
                Assert.Equal("a b c", Ask("LRANGE", "list", "0", "-1"));
                Assert.Equal("1 1 1", Ask("SMISMEMBER", "set", "x", "y", "z"));
                Assert.Equal("0", Ask("EXISTS", "ints"));
                Assert.Equal("one 1 two 2.5", Ask("ZRANGE", "zset", "0", "-1", "WITHSCORES"));
                Assert.Equal("1-1 f v", Ask("XRANGE", "stream", "-", "+"));
                Assert.Equal("1 1-1 1-1 c 1", Ask("XPENDING", "stream", "group"));
                Assert.Equal("3", Ask("PFCOUNT", "hll"));
                Assert.Equal("1", Ask("GETBIT", "bits", "100"));
                Assert.StartsWith("13.36138", Ask("GEOPOS", "geo", "Palermo"), StringComparison.Ordinal);
                Assert.Equal("600 v600", $"{Ask("HLEN", "bighash")} {Ask("HGET", "bighash", "field:600")}");
                Assert.Equal("599", Ask("ZRANK", "bigzset", "m600"));
                Assert.Equal("600 1", $"{Ask("SCARD", "bigset")} {Ask("SISMEMBER", "bigset", "m600")}");
                Assert.Equal("600 " + new string('x', 30) + "600", $"{Ask("LLEN", "biglist")} {Ask("LINDEX", "biglist", "-1")}");
                Assert.Equal("called", Ask("FCALL", "f", "0"));
                Assert.Equal("yes", Ask("GET", "after-save"));
                Assert.Equal("OK", Ask("SELECT", "3"));
                Assert.Equal("1", Ask("GET", "other-db"));
                Assert.Equal("OK", Ask("SELECT", "0"));
                Assert.Equal($"{start + 1}", Ask("INCR", "starts"));

                // Its history goes on, and holds together.
                int versions = hasVersions ? 2 : 0;
                Assert.Equal($"{versions + start + 1}", Ask("MIMEI", "BACKUP"));
                if (hasVersions)
                {
                    Assert.Equal("OK", Ask("MIMEI", "OPEN", "default", "VERSION", "1"));
                    Assert.Equal("value", Ask("GET", "string"));
                    Assert.Equal("OK", Ask("MIMEI", "OPEN", "shop"));
                    Assert.Equal("1", Ask("GET", "in-shop"));
                    Assert.Equal("OK", Ask("MIMEI", "OPEN", "default"));
                }

                LeitherProgram.Result check = LeitherProgram.Run("mimei", "check", "--data", data, "--json");
                Assert.True(check.Code == 0, check.Output + check.Error);
            }
            finally
            {
                LeitherProgram.Run("stop", "--data", data);
                if (!node.WaitForExit(Wait.Limit)) node.Kill();
                Assert.DoesNotContain("damaged", log.GetAwaiter().GetResult(), StringComparison.Ordinal);
            }
        }
    }

    [Theory]
    [InlineData("mimei.list", "leither mimei list 9\n", "a newer version wrote it")]
    [InlineData("keys/author.key", "leither-key-9: x\n", "is not a private key")]
    public void What_a_newer_version_wrote_is_refused_by_name_and_left_as_it_is(string file, string text, string said)
    {
        using TempDir folder = new();
        string data = folder.File("data"), path = Path.Combine(data, file);
        Unpack("network", data);
        File.WriteAllText(path, text);
        LeitherProgram.Result refused = LeitherProgram.Run("run", "--data", data, "-p", $"{Ports.Free()}");
        Assert.Equal(1, refused.Code);
        Assert.Contains(said, refused.Output + refused.Error, StringComparison.Ordinal);
        Assert.Contains(Path.GetFileName(file), refused.Output + refused.Error, StringComparison.Ordinal);
        Assert.Equal(text, File.ReadAllText(path));
    }

    internal static void Unpack(string name, string data)
    {
        Directory.CreateDirectory(data);
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(data, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        using FileStream packed = File.OpenRead(Path.Combine(AppContext.BaseDirectory, "fixtures", $"data-{name}.tar.gz"));
        using GZipStream stream = new(packed, CompressionMode.Decompress);
        TarFile.ExtractToDirectory(stream, data, overwriteFiles: false);
    }

    private static Process Start(string data, out int port, out Task<string> log)
    {
        int at = port = Ports.Free();
        Process node = LeitherProgram.Start("run", "-p", $"{port}", "--data", data);
        log = node.StandardOutput.ReadToEndAsync();
        Task<string> printed = log;
        Wait.Until(() => node.HasExited || Answers(at));
        Assert.False(node.HasExited, node.HasExited ? printed.GetAwaiter().GetResult() + node.StandardError.ReadToEnd() : "");
        return node;
    }

    private static bool Answers(int port)
    {
        try
        {
            using RespClient client = RespClient.Connect(port);
            return client.Call("PING").Text == "PONG";
        }
        catch (SocketException)
        {
            return false;
        }
    }

    private static string Flat(RespValue value) => value.IsAggregate ? string.Join(' ', value.Items.Select(Flat)) : value.Text;
}
