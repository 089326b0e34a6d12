// Values go from Leither to redis-server and back in DUMP's format, in every type and layout, and arrive whole.

using System.Globalization;
using Leither.TestKit;
using Xunit;

namespace Leither.RedisCompat;

public sealed class DumpRestoreTests
{
    [Fact]
    public void Every_type_in_every_layout_goes_from_Redis_to_Leither_and_back()
    {
        using RedisServer redis = RedisServer.StartNew("--enable-debug-command", "yes");
        using LeitherServer leither = LeitherServer.StartNew("--enable-debug-command", "yes");
        using RespClient onRedis = redis.Connect();
        using RespClient onLeither = leither.Connect();
        Samples.Populate(onRedis, seed: 1);
        RespValue digest = onRedis.Call("DEBUG", "DIGEST");

        Carry(onRedis, onLeither);
        Assert.Equal(digest.Text, onLeither.Call("DEBUG", "DIGEST").Text);
        string[] keys = [.. onRedis.Call("KEYS", "*").Items.Select(k => k.Text)];
        foreach (string key in keys.Where(k => !k.StartsWith("set:small", StringComparison.Ordinal)))
        {
            Assert.Equal(onRedis.Call("OBJECT", "ENCODING", key).Text, OlderName(onLeither.Call("OBJECT", "ENCODING", key).Text, key));
        }

        onRedis.Call("FLUSHALL");
        Carry(onLeither, onRedis);
        Assert.Equal(digest.Text, onRedis.Call("DEBUG", "DIGEST").Text);
    }

    [Fact]
    public void Values_made_here_are_what_Redis_restores()
    {
        using RedisServer redis = RedisServer.StartNew("--sanitize-dump-payload", "yes", "--enable-debug-command", "yes");
        using LeitherServer leither = LeitherServer.StartNew("--enable-debug-command", "yes");
        using RespClient onRedis = redis.Connect();
        using RespClient onLeither = leither.Connect();
        Samples.Populate(onLeither, seed: 2);
        Carry(onLeither, onRedis);
        Assert.Equal(onLeither.Call("DEBUG", "DIGEST").Text, onRedis.Call("DEBUG", "DIGEST").Text);
    }

    [Theory]
    [InlineData("--list-compress-depth", "1")]
    [InlineData("--rdbcompression", "no")]
    [InlineData("--hash-max-listpack-entries", "100000")]
    [InlineData("--list-max-listpack-size", "3")]
    [InlineData("--set-max-intset-entries", "100000")]
    public void Layouts_of_another_configuration_come_in_too(string key, string value)
    {
        using RedisServer redis = RedisServer.StartNew(key, value, "--enable-debug-command", "yes");
        using LeitherServer leither = LeitherServer.StartNew("--enable-debug-command", "yes");
        using RespClient onRedis = redis.Connect();
        using RespClient onLeither = leither.Connect();
        Samples.Populate(onRedis, seed: 3);
        Carry(onRedis, onLeither);
        Assert.Equal(onRedis.Call("DEBUG", "DIGEST").Text, onLeither.Call("DEBUG", "DIGEST").Text);
    }

    private static void Carry(RespClient from, RespClient to)
    {
        foreach (RespValue key in from.Call("KEYS", "*").Items)
        {
            RespValue payload = from.Call(["DUMP"u8.ToArray(), key.Bytes!]);
            string expireAt = Math.Max(0, from.Call("PEXPIRETIME", key.Text).Integer).ToString(CultureInfo.InvariantCulture);
            RespValue reply = to.Call(["RESTORE"u8.ToArray(), key.Bytes!, System.Text.Encoding.ASCII.GetBytes(expireAt), payload.Bytes!, "ABSTTL"u8.ToArray()]);
            Assert.True(reply.Text == "OK", $"{key.Text}: {reply}");
        }
    }

    private static string OlderName(string encoding, string key) => key.StartsWith("list", StringComparison.Ordinal) ? "quicklist" : encoding;
}

/// <summary>Keys of every type in every layout.</summary>
internal static class Samples
{
    public static void Populate(RespClient client, int seed)
    {
        var random = new Random(seed);
        Do(client, "SET", "str:empty", "");
        Do(client, "SET", "str:short", "hello");
        Do(client, "SET", "str:compressible", string.Concat(Enumerable.Repeat("leither and redis ", 500)));
        Do(client, "SET", "str:runs", new string('a', 3000) + new string('b', 100));
        Do(client, "SET", "str:random", Text(random, 20_000));
        foreach (string number in (string[])["0", "-1", "127", "-129", "32767", "-32769", "2147483647", "-2147483649", "9223372036854775807", "007", "1.5"])
        {
            Do(client, "SET", "int:" + number, number);
        }

        Fill(client, "RPUSH", "list:small", 20, i => [Mixed(i)]);
        Fill(client, "RPUSH", "list:big", 5_000, i => [Mixed(i) + new string('x', i % 90)]);
        Fill(client, "RPUSH", "list:long", 5, _ => [Text(random, 9_000)]);
        Fill(client, "SADD", "set:ints16", 100, i => [Number(i * 3)]);
        Fill(client, "SADD", "set:ints64", 400, i => [Number(i * 7_000_000_000L)]);
        Fill(client, "SADD", "set:small", 50, i => [Mixed(i)]);
        Fill(client, "SADD", "set:big", 3_000, i => [Mixed(i)]);
        Fill(client, "HSET", "hash:small", 50, i => ["f" + Number(i), Mixed(i)]);
        Fill(client, "HSET", "hash:long", 10, i => [Mixed(i), new string('v', 100 + i)]);
        Fill(client, "HSET", "hash:big", 3_000, i => ["field" + Number(i), Mixed(i)]);
        Fill(client, "ZADD", "zset:small", 60, i => [Score(i), Mixed(i)]);
        Fill(client, "ZADD", "zset:big", 3_000, i => [Score(i), "member" + Number(i)]);
        Do(client, "ZADD", "zset:edges", "-inf", "a", "inf", "b", "0", "c", "1e300", "d", "5e-324", "e", "0.1", "f", "-3", "7");
        Do(client, "PEXPIREAT", "str:short", "33177117420000");
        Do(client, "EXPIRE", "hash:big", "100000");
    }

    private static void Fill(RespClient client, string command, string key, int count, Func<int, string[]> item)
    {
        for (int from = 0; from < count; from += 100)
        {
            Do(client, [command, key, .. Enumerable.Range(from, Math.Min(100, count - from)).SelectMany(item)]);
        }
    }

    private static void Do(RespClient client, params string[] command)
    {
        RespValue reply = client.Call(command);
        Assert.False(reply.IsError, reply.ToString());
    }

    private static string Mixed(int i) => i % 3 == 0 ? Number((i * 31) - 50) : "member-" + Number(i);

    private static string Number(long value) => value.ToString(CultureInfo.InvariantCulture);

    private static string Score(int i) => (i / 7.0).ToString("R", CultureInfo.InvariantCulture);

    private static string Text(Random random, int length) => string.Create(length, random, static (text, random) =>
    {
        for (int i = 0; i < text.Length; i++)
        {
            text[i] = (char)random.Next(256);
        }
    });
}
