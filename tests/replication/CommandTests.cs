// All that commands can do to data, by chance, on the writer; followers, which see only effects, come to the same digest and the same state CID.

using System.Globalization;
using Leither.RedisCompat;
using Leither.TestKit;
using Xunit;

namespace Leither.ReplicationNetwork;

public sealed class CommandTests
{
    private const int Round = 2500;

    private static readonly string[] Library =
    [
        "#!lua name=lib\nredis.register_function('put', function(k, a) return redis.call('SET', k[1], a[1]) end)",
        "#!lua name=lib\nredis.register_function('put', function(k, a) redis.call('RPUSH', k[1], a[1], a[1]) return redis.call('EXPIRE', k[1], 100000) end)",
        "#!lua name=other\nredis.register_function{function_name='add', callback=function(k, a) return redis.call('INCRBY', k[1], 3) end}",
    ];

    [Fact]
    public void Followers_come_to_the_same_state_whatever_was_done_to_the_writer() => Seed.Run(random =>
    {
        using Network network = Network.Create();
        // Thresholds of encodings are a node's own.
        using Node home = Node.Start(network, Places.Home),
            cloud = Node.Start(network, Places.Cloud, "--hash-max-listpack-entries", "3", "--set-max-listpack-entries", "2", "--zset-max-listpack-entries", "4", "--list-max-listpack-size", "2"),
            phone = Node.Start(network, Places.Phone);
        home.Publish();
        cloud.Provide(home.Mid, home);
        phone.Provide(home.Mid, cloud);
        for (int round = 0; round < (Seed.IsLong ? 200 : 6); round++)
        {
            using RespClient client = home.Connect();
            List<string[]> commands = new CommandGenerator(random, withNewer: true).Draw(Round);
            for (int i = 0; i < Round / 10; i++) commands.Insert(random.Next(commands.Count), Further(random));
            for (int at = 0; at < commands.Count; at += 100)
            {
                int count = Math.Min(100, commands.Count - at);
                for (int i = 0; i < count; i++) client.Queue(CommandGenerator.Bytes(commands[at + i]));
                client.Flush();
                for (int i = 0; i < count; i++) client.Read();
            }

            client.Call("DISCARD");
            if (round % 3 == 1) cloud.Kill();
            if (round % 3 == 1) cloud.Start();
            if (round % 2 == 0) Same.AwaitVersion(home.Mid, home, cloud, phone);
            else Same.Await(home.Mid, home, cloud, phone);
        }

        home.Restart();
        Same.Await(home.Mid, home, cloud, phone);
    });

    /// <summary>What the generator, whose commands have one outcome on any server, leaves out: what goes by the clock, functions, whole databases.</summary>
    private static string[] Further(Random random)
    {
        string key = "shlezxt"[random.Next(7)] + random.Next(3).ToString(CultureInfo.InvariantCulture), time = random.Next(1, 40).ToString(CultureInfo.InvariantCulture);
        return random.Next(16) switch
        {
            0 or 1 => ["PEXPIRE", key, time],
            2 => ["SET", $"s{random.Next(3)}", "value", "PX", time],
            3 => ["GETEX", key, "PX", time],
            4 => ["FUNCTION", "LOAD", "REPLACE", Library[random.Next(Library.Length)]],
            5 => ["FCALL", "put", "1", key, "word"],
            6 => ["FCALL", "add", "1", $"s{random.Next(3)}"],
            7 when random.Next(4) == 0 => ["FUNCTION", "FLUSH"],
            8 when random.Next(8) == 0 => ["FLUSHALL"],
            9 when random.Next(8) == 0 => ["FLUSHDB", "ASYNC"],
            10 when random.Next(3) == 0 => ["SWAPDB", "0", "1"],
            11 => ["XADD", $"x{random.Next(3)}", "*", "field", time],
            12 => ["EVAL", "for i = 1, 20 do redis.call('HSET', KEYS[1], i, ARGV[1] .. i) end return redis.call('PEXPIRE', KEYS[1], 100000 + ARGV[1])", "1", $"h{random.Next(3)}", time],
            13 => ["SPOP", $"e{random.Next(3)}", "2"],
            14 => ["HPEXPIRE", $"h{random.Next(3)}", time, "FIELDS", "1", "a"],
            15 => ["MOVE", key, "1"],
            _ => ["SETRANGE", $"s{random.Next(3)}", random.Next(20_000).ToString(CultureInfo.InvariantCulture), "far"],
        };
    }
}
