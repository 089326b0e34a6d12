// Damaged RDB and append-only files and RESTORE payloads, from sound ones of every layout that any Redis wrote: each is an error of Redis's or
// a sound value, quickly, in bounded memory, and the server goes on. Checksums are made right again, so that what is behind them is met.

using System.Globalization;
using System.Text;
using Leither.TestKit;
using Xunit;

namespace Leither.RedisCompat;

public sealed class MalformedTests
{
    private static readonly string[] Settings = ["--enable-debug-command", "yes"];

    [Fact]
    public void Every_layout_of_every_version_is_what_Redis_makes_of_it()
    {
        using RedisServer redis = RedisServer.StartNew(Settings);
        using LeitherServer leither = LeitherServer.StartNew(Settings);
        using RespClient there = redis.Connect(), here = leither.Connect();
        foreach ((string name, byte[] value) in RdbLayouts.All())
        {
            Assert.True(Restore(here, name, RdbLayouts.Payload(value)).Text == "OK", name);
            if (value[0] > 19)
            {
                // Newer than the judge: what is made of it here is dumped as the judge knows it, if it can be.
                Assert.NotEqual(0, here.Call("EXISTS", name).Integer);
                continue;
            }

            Assert.True(Restore(there, name, RdbLayouts.Payload(value, version: 10)).Text == "OK", name);
            Assert.True(there.Call("DEBUG", "DIGEST-VALUE", name).Equals(here.Call("DEBUG", "DIGEST-VALUE", name)), name);
        }
    }

    [Fact]
    public void Mutated_payloads_are_an_error_or_a_sound_value() => Seed.Run(random =>
    {
        using LeitherServer leither = LeitherServer.StartNew([.. Settings, "--proto-max-bulk-len", "64mb"]);
        using RespClient client = leither.Connect();
        Samples.Populate(client, random.Next());
        client.Call("XADD", "stream", "1-1", "f", "v", "g", "w");
        client.Call("XGROUP", "CREATE", "stream", "g", "0");
        client.Call("XREADGROUP", "GROUP", "g", "c", "STREAMS", "stream", ">");
        List<byte[]> values = [.. RdbLayouts.All().Select(static l => l.Value)];
        foreach (RespValue key in client.Call("KEYS", "*").Items.OrderBy(static k => k.Text, StringComparer.Ordinal))
        {
            byte[] dumped = client.Call(["DUMP"u8.ToArray(), key.Bytes!]).Bytes!;
            if (dumped.Length < 30_000)
            {
                values.Add(dumped[..^10]);
            }
        }

        client.Call("FLUSHALL");
        // A hash whose fields all have expired would otherwise go by itself, between what is asked of it and of its copy.
        client.Call("DEBUG", "SET-ACTIVE-EXPIRE", "0");
        long accepted = 0;
        for (int round = 0; round < (Seed.IsLong ? 5_000 : 40); round++)
        {
            foreach (byte[] value in values)
            {
                byte[] mutated = Mutate(random, value);
                RespValue reply = Restore(client, "x", RdbLayouts.Payload(mutated));
                if (reply.Text != "OK")
                {
                    Assert.Equal("ERR Bad data format", reply.Text);
                    continue;
                }

                accepted++;
                Use(client, mutated);
            }
        }

        Assert.NotEqual(0, accepted);
        Assert.InRange(PeakKilobytes(leither), 1, 600 * 1024);
    });

    [Fact]
    public void Lengths_beyond_the_bytes_cost_no_memory()
    {
        using LeitherServer leither = LeitherServer.StartNew(Settings);
        using RespClient client = leither.Connect();
        client.Call("PING");
        byte[][] lengths =
        [
            [0x81, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], [0x81, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], [0x80, 0xFF, 0xFF, 0xFF, 0xFF], [0x80, 0x1F, 0xFF, 0xFF, 0xFF],
            [0xC3, 5, 0x80, 0x1F, 0xFF, 0xFF, 0xFF], [0x81, 0x20, 0, 0, 0, 0, 0, 0, 1],
        ];
        foreach ((string name, byte[] value) in RdbLayouts.All())
        {
            for (int at = 1; at < value.Length; at++)
            {
                foreach (byte[] length in lengths)
                {
                    // In place of the byte, and before it.
                    foreach (int skipped in (int[])[0, 1])
                    {
                        RespValue reply = Restore(client, "x", RdbLayouts.Payload([.. value[..at], .. length, .. value[(at + skipped)..]]));
                        Assert.True(reply.Text is "OK" or "ERR Bad data format", $"{name} at {at}: {reply}");
                    }
                }
            }
        }

        Assert.InRange(PeakKilobytes(leither), 1, 300 * 1024);
    }

    [Fact]
    public void A_value_that_ends_anywhere_is_an_error()
    {
        using LeitherServer leither = LeitherServer.StartNew(Settings);
        using RespClient client = leither.Connect();
        foreach ((string name, byte[] value) in RdbLayouts.All())
        {
            for (int length = 0; length < value.Length; length++)
            {
                RespValue reply = Restore(client, "x", RdbLayouts.Payload(value[..length]));
                Assert.True(reply.Text == "ERR Bad data format", $"{name} of {length} bytes: {reply}");
            }
        }

        Assert.Equal("ERR DUMP payload version or checksum are wrong", client.Call("RESTORE", "x", "0", "short").Text);
        Assert.Equal("ERR DUMP payload version or checksum are wrong", Restore(client, "x", RdbLayouts.Payload([0, 1, (byte)'a'], version: 999)).Text);
    }

    private static byte[] Mutate(Random random, byte[] value)
    {
        byte[] mutated = [.. value];
        for (int i = random.Next(1, 5); i > 0; i--)
        {
            int at = random.Next(mutated.Length);
            switch (random.Next(6))
            {
                case 0:
                    mutated[at] ^= (byte)(1 << random.Next(8));
                    break;
                case 1:
                    mutated = [.. mutated[..at], (byte)random.Next(256), .. mutated[at..]];
                    break;
                case 2 when mutated.Length > 2:
                    mutated = [.. mutated[..at], .. mutated[(at + 1)..]];
                    break;
                case 3:
                    int from = random.Next(mutated.Length), length = random.Next(Math.Min(40, mutated.Length - from));
                    mutated = [.. mutated[..at], .. mutated[from..(from + length)], .. mutated[at..]];
                    break;
                case 4:
                    mutated[at] = (byte[])[0, 1, 0x7F, 0x80, 0x81, 0xC0, 0xC3, 0xF4, 0xFE, 0xFF] is var edges ? edges[random.Next(10)] : (byte)0;
                    break;
                default:
                    mutated[at] = (byte)random.Next(256);
                    break;
            }
        }

        return mutated;
    }

    /// <summary>What was let in can be read, dumped, restored, changed and deleted like any other value.</summary>
    private static void Use(RespClient client, byte[] value)
    {
        byte[] again = client.Call("DUMP", "x").Bytes!;
        RespValue copied = client.Call(["RESTORE"u8.ToArray(), "y"u8.ToArray(), "0"u8.ToArray(), again, "REPLACE"u8.ToArray()]);
        Assert.True(copied.Text == "OK", $"What {Convert.ToHexString(value)} became is not restored from its dump {Convert.ToHexString(again)}: {copied}");
        Assert.True(Seen(client, "x") == Seen(client, "y"), $"What {Convert.ToHexString(value)} became differs from its copy {Convert.ToHexString(again)}");
        string[][] uses =
        [
            ["LPUSH", "x", "v"], ["LREM", "x", "0", "2"], ["LINDEX", "x", "-1"], ["SADD", "x", "1234567"], ["SREM", "x", "one"], ["SPOP", "x"], ["HSET", "x", "f", "w"], ["HGETALL", "x"],
            ["HEXPIRE", "x", "100", "FIELDS", "1", "g"], ["ZADD", "x", "3", "a"], ["ZRANGE", "x", "0", "-1", "WITHSCORES"], ["ZPOPMIN", "x"], ["XADD", "x", "*", "f", "v"], ["XREVRANGE", "x", "+", "-"],
            ["XINFO", "STREAM", "x", "FULL"], ["XREADGROUP", "GROUP", "group", "consumer", "STREAMS", "x", "0"], ["XAUTOCLAIM", "x", "group", "other", "0", "0"], ["XTRIM", "x", "MAXLEN", "1"],
            ["APPEND", "x", "more"], ["COPY", "x", "z", "REPLACE"], ["OBJECT", "ENCODING", "x"], ["MEMORY", "USAGE", "x"],
        ];
        foreach (string[] use in uses)
        {
            client.Queue(use);
        }

        client.Flush();
        foreach (string[] _ in uses)
        {
            client.Read();
        }
    }

    /// <summary>A digest counts fields that have expired until they are removed, which may come between: of hashes, what clients see is compared.</summary>
    private static string Seen(RespClient client, string key) => client.Call("TYPE", key).Text == "hash"
        ? string.Join(' ', client.Call("HGETALL", key).Items.Chunk(2).Select(static pair => $"{pair[0]} {pair[1]}").Order(StringComparer.Ordinal))
        : client.Call("DEBUG", "DIGEST-VALUE", key)[0].Text;

    private static RespValue Restore(RespClient client, string key, byte[] payload) =>
        client.Call(["RESTORE"u8.ToArray(), Encoding.Latin1.GetBytes(key), "0"u8.ToArray(), payload, "REPLACE"u8.ToArray()]);

    private static long PeakKilobytes(ServerProcess server) =>
        long.Parse(File.ReadLines($"/proc/{server.ProcessId}/status").First(static l => l.StartsWith("VmHWM", StringComparison.Ordinal)).Split((char[])[' ', '\t'], StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture);
}
