// The differential fuzzer: the same random commands go to redis-server and to Leither, in pipelines; every reply and,
// after each round, everything that is stored is compared. A difference is shrunk to the few commands that it needs.
//
// LEITHER_FUZZ_WITHOUT=SORT,COPY leaves commands out (to see what lies behind a known difference).
// LEITHER_SEED=n runs one seed again; LEITHER_LONG=1 runs millions of commands; REDIS_SERVER names another judge.

using System.Globalization;
using System.Text;
using Leither.TestKit;
using Xunit;

namespace Leither.RedisCompat;

public sealed class FuzzTests : IDisposable
{
    private const int RoundLength = 2500;
    private const int Databases = 3;
    private static readonly string[] Settings = ["--enable-debug-command", "yes"];

    private readonly RedisServer redis = RedisServer.StartNew(Settings);
    private readonly LeitherServer leither = LeitherServer.StartNew([.. Settings, "--appendfsync", "no"]);
    private readonly bool judgeIsNewer = !RedisServer.Version.StartsWith("7.0.", StringComparison.Ordinal);

    public void Dispose()
    {
        redis.Dispose();
        leither.Dispose();
    }

    [Fact]
    public void Random_commands_get_the_replies_of_Redis_and_leave_the_same_data()
    {
        int rounds = (Seed.IsLong ? 4_000_000 : 100_000) / RoundLength;
        if (Environment.GetEnvironmentVariable("LEITHER_FUZZ_ROUNDS") is { Length: > 0 } wanted) rounds = int.Parse(wanted, CultureInfo.InvariantCulture);
        int seed = Seed.OfRun();
        for (int round = 0; round < rounds; round++)
        {
            // Each round has a seed of its own, so that one that fails can be run alone.
            int roundSeed = unchecked(seed + (round * 7919)) & int.MaxValue;
            Round plan = DrawRound(new Random(roundSeed));
            if (Play(plan, plan.Commands) is not { } failure) continue;
            List<string[]> minimal = Shrink(plan, plan.Commands[..Math.Min(failure.At + 1, plan.Commands.Count)]);
            if (Play(plan, minimal) is { } last) Assert.Fail(Report(roundSeed, plan, minimal, last));
            Assert.Fail($"It does not happen every time. The first time, at command {failure.At} of the round:\n{Report(roundSeed, plan, [plan.Commands[failure.At]], failure)}");
        }
    }

    private Round DrawRound(Random random)
    {
        int protocol = random.Next(2) == 0 ? 2 : 3;
        string[][] setup = random.Next(3) == 0
            ? []
            :
            [
                ["CONFIG", "SET", "hash-max-listpack-entries", random.Next(1, 12).ToString(CultureInfo.InvariantCulture)],
                ["CONFIG", "SET", "zset-max-listpack-entries", random.Next(1, 12).ToString(CultureInfo.InvariantCulture)],
                ["CONFIG", "SET", "set-max-listpack-entries", random.Next(1, 12).ToString(CultureInfo.InvariantCulture)],
                ["CONFIG", "SET", "set-max-intset-entries", random.Next(1, 20).ToString(CultureInfo.InvariantCulture)],
                ["CONFIG", "SET", "list-max-listpack-size", new[] { "1", "3", "-1", "-2" }[random.Next(4)]],
                ["CONFIG", "SET", "hash-max-listpack-value", random.Next(4, 64).ToString(CultureInfo.InvariantCulture)],
                ["CONFIG", "SET", "stream-node-max-entries", random.Next(0, 8).ToString(CultureInfo.InvariantCulture)],
                ["CONFIG", "SET", "stream-node-max-bytes", new[] { "0", "100", "300", "4096" }[random.Next(4)]],
                ["CONFIG", "SET", "hll-sparse-max-bytes", new[] { "0", "40", "300", "3000" }[random.Next(4)]],
            ];
        bool restart = random.Next(4) == 0;
        bool sorting = random.Next(2) == 0;
        List<string[]> commands = new CommandGenerator(random, judgeIsNewer).Draw(RoundLength);
        if (!sorting) commands.RemoveAll(command => command[0].StartsWith("SORT", StringComparison.Ordinal));
        if (sorting) commands.RemoveAll(KnownDifferences.SpoilsSort);
        // With an older judge a fourth word is a wrong number of arguments already when MULTI queues it: Redis 7.2 added WITHSCORE.
        if (!judgeIsNewer) commands.RemoveAll(command => command.Length > 3 && command[0].ToUpperInvariant() is ("ZRANK" or "ZREVRANK"));
        // And a field named twice counts once towards hash-max-listpack-entries: since Redis 7.2 the words are counted before they are looked at.
        if (!judgeIsNewer) commands.RemoveAll(command => command[0].ToUpperInvariant() is "HSET" or "HMSET" && NamesFieldTwice(command));
        if (Environment.GetEnvironmentVariable("LEITHER_FUZZ_WITHOUT") is { Length: > 0 } without)
        {
            string[] names = without.Split(',');
            commands.RemoveAll(command => names.Contains(command[0], StringComparer.OrdinalIgnoreCase));
        }

        return new Round(protocol, setup, restart, sorting, commands);
    }

    private static bool NamesFieldTwice(string[] command)
    {
        string[] fields = [.. command.Skip(2).Where((_, at) => at % 2 == 0)];
        return fields.Distinct(StringComparer.Ordinal).Count() < fields.Length;
    }

    private sealed record Round(int Protocol, string[][] Setup, bool Restart, bool Sorting, List<string[]> Commands);

    private sealed record Fact(string What, long Expires);

    private sealed record Failure(int At, string What);

    // Plays commands on both servers from empty. Null when they agree throughout.
    private Failure? Play(Round plan, List<string[]> commands)
    {
        int at = 0;
        try
        {
            if (!leither.IsRunning) leither.Start();
            using RespClient onRedis = Prepare(redis, plan);
            using RespClient onLeither = Prepare(leither, plan);
            var comparison = new Comparison(judgeIsNewer, plan.Sorting);
            bool inTransaction = false;
            int next = 0;
            while (next < commands.Count)
            {
                var batch = new List<int>();
                bool random = false;
                for (; next < commands.Count && batch.Count < 100 && !random; next++)
                {
                    string[] command = commands[next];
                    if (command[0] == "MULTI") inTransaction = true;
                    if (command[0] is "EXEC" or "DISCARD") inTransaction = false;
                    random = IsRandom(command);
                    if (random && inTransaction)
                    {
                        // A pick that a transaction hides cannot be checked or undone.
                        random = false;
                        continue;
                    }

                    onRedis.Queue(CommandGenerator.Bytes(command));
                    onLeither.Queue(CommandGenerator.Bytes(command));
                    batch.Add(next);
                }

                onRedis.Flush();
                onLeither.Flush();
                RespValue[] expected = [.. batch.Select(_ => onRedis.Read())];
                for (int i = 0; i < batch.Count; i++)
                {
                    at = batch[i];
                    RespValue reply = onLeither.Read();
                    if (comparison.Difference(commands[at], expected[i], reply) is { } what) return new Failure(at, what);
                    if (commands[at][0] == "SPOP" && !expected[i].Equals(reply)) Reconcile(onLeither, commands[at][1], expected[i], reply);
                }
            }

            Fact[] after = Dump(onRedis, plan);
            if (FirstDifference(after, Dump(onLeither, plan)) is { } stored) return new Failure(commands.Count - 1, "stored data differ:\n" + stored);
            if (plan.Restart)
            {
                leither.Kill();
                leither.Start();
                using RespClient restarted = leither.Connect();
                if (plan.Protocol == 3) restarted.Call("HELLO", "3");
                if (FirstDifference(after, Dump(restarted, plan)) is { } restored) return new Failure(commands.Count - 1, "stored data differ after a kill and a restart:\n" + restored);
            }

            return null;
        }
        catch (Exception e) when (e is IOException or System.Net.Sockets.SocketException)
        {
            string log = leither.Log;
            return new Failure(at, $"{e.Message}\n{(log.Length > 4000 ? log[^4000..] : log)}");
        }
    }

    private static RespClient Prepare(ServerProcess server, Round plan)
    {
        RespClient client = server.Connect();
        client.Call("FLUSHALL");
        foreach ((string name, string value) in new[]
        {
            ("hash-max-listpack-entries", "128"), ("zset-max-listpack-entries", "128"), ("set-max-listpack-entries", "128"),
            ("set-max-intset-entries", "512"), ("list-max-listpack-size", "-2"), ("hash-max-listpack-value", "64"),
            ("hll-sparse-max-bytes", "3000"), ("stream-node-max-entries", "100"), ("stream-node-max-bytes", "4096"),
        })
        {
            client.Call("CONFIG", "SET", name, value);
        }

        foreach (string[] command in plan.Setup) client.Call(command);
        if (plan.Protocol == 3) client.Call("HELLO", "3");
        return client;
    }

    /// <summary>Whether a command draws, so that two servers may reply differently.</summary>
    public static bool IsRandom(string[] command) =>
        (command[0] == "SPOP" && !(command.Length > 2 && command[2] == "1000000")) || command[0] is "SRANDMEMBER" or "HRANDFIELD" or "ZRANDMEMBER" or "RANDOMKEY";

    // Both popped members of their own choice: the second server gives back its and takes out the first one's.
    private static void Reconcile(RespClient client, string key, RespValue wanted, RespValue popped)
    {
        string[] wantedMembers = Members(wanted);
        string[] poppedMembers = Members(popped);
        string[] back = [.. poppedMembers.Except(wantedMembers, StringComparer.Ordinal)];
        string[] gone = [.. wantedMembers.Except(poppedMembers, StringComparer.Ordinal)];
        if (back.Length > 0) client.Call(["SADD", key, .. back]);
        if (gone.Length > 0) client.Call(["SREM", key, .. gone]);

        static string[] Members(RespValue reply) => reply.IsAggregate ? [.. reply.Items.Select(i => i.Text)] : reply.IsNull ? [] : [reply.Text];
    }

    // Everything stored, by typed reads, one line a fact.
    private Fact[] Dump(RespClient client, Round plan)
    {
        var facts = new List<Fact>();
        if (client.Call("PING").IsError) throw new RespConnectionException("No PONG at the end of a round");
        client.Call("DISCARD");
        for (int db = 0; db < Databases; db++)
        {
            client.Call("SELECT", db.ToString(CultureInfo.InvariantCulture));
            string[] keys = [.. client.Call("KEYS", "*").Items.Select(k => k.Text).Order(StringComparer.Ordinal)];
            foreach (string key in keys)
            {
                string type = client.Call("TYPE", key).Text;
                string[] read = type switch
                {
                    "string" => ["GET", key],
                    "list" => ["LRANGE", key, "0", "-1"],
                    "hash" => ["HGETALL", key],
                    "set" => ["SMEMBERS", key],
                    "stream" => ["XINFO", "STREAM", key, "FULL", "COUNT", "0"],
                    _ => ["ZRANGE", key, "0", "-1", "WITHSCORES"],
                };
                string encoding = client.Call("OBJECT", "ENCODING", key).Text;
                if ((!judgeIsNewer && type is "set" or "list" or "zset") || (plan.Sorting && type == "zset")) encoding = "any";
                // A restart may choose the encoding afresh, as loading a file does in Redis.
                if (plan.Restart) encoding = "any";
                long expires = client.Call("PEXPIRETIME", key).Integer;
                RespValue content = Normalizer.Normalize(CommandGenerator.Bytes(read), client.Call(read));
                if (type == "stream") content = StreamReplies.WithoutTimes(judgeIsNewer ? content : StreamReplies.Older(content));
                facts.Add(new Fact($"db {db} {RespValue.Quote(Encoding.Latin1.GetBytes(key))} {type} {encoding}\n{WithDoubles(type, content)}", expires));
            }

            // What has expired goes within a moment.
            string size = "";
            _ = Wait.Comes(() => (size = client.Call("DBSIZE").Text) == $"{keys.Length}");
            facts.Add(new Fact($"db {db}: {size} keys", 0));
        }

        return [.. facts];
    }

    // Scores by value: how 7.0 prints them differs, and the sign of a zero (see KnownDifferences).
    private static object WithDoubles(string type, RespValue content) => type != "zset" ? content : string.Join('\n', content.ToString().Split('\n')
        .Select(line => double.TryParse(line.Trim().Trim('"', ','), NumberStyles.Float, CultureInfo.InvariantCulture, out double d) ? (d + 0.0).ToString("R", CultureInfo.InvariantCulture) : line));

    // Relative times were turned into instants by two clocks.
    private static string? FirstDifference(Fact[] redis, Fact[] leither)
    {
        for (int i = 0; i < Math.Max(redis.Length, leither.Length); i++)
        {
            Fact a = i < redis.Length ? redis[i] : new Fact("(nothing)", 0);
            Fact b = i < leither.Length ? leither[i] : new Fact("(nothing)", 0);
            bool sameExpiry = a.Expires == b.Expires || (a.Expires > 0 && b.Expires > 0 && Math.Abs(a.Expires - b.Expires) < 120_000);
            if (a.What == b.What && sameExpiry) continue;
            return $"  redis:\n{Clip(a)}\n  leither:\n{Clip(b)}";
        }

        return null;

        static string Clip(Fact fact) => $"    expires {fact.Expires}, {(fact.What.Length > 3000 ? fact.What[..3000] + "..." : fact.What)}";
    }

    // Delta debugging: leaves out ever smaller runs of commands as long as some difference remains.
    private List<string[]> Shrink(Round plan, List<string[]> commands)
    {
        var clock = System.Diagnostics.Stopwatch.StartNew();
        TimeSpan limit = TimeSpan.FromSeconds(60);
        int piece = Math.Max(1, commands.Count / 2);
        while (clock.Elapsed < limit)
        {
            bool shrunk = false;
            for (int from = 0; from < commands.Count && clock.Elapsed < limit;)
            {
                List<string[]> without = [.. commands[..from], .. commands[Math.Min(from + piece, commands.Count)..]];
                if (without.Count > 0 && Play(plan, without) is { } failure)
                {
                    commands = without[..Math.Min(failure.At + 1, without.Count)];
                    shrunk = true;
                }
                else
                {
                    from += piece;
                }
            }

            if (piece == 1 && !shrunk) break;
            if (!shrunk || piece > commands.Count) piece = Math.Max(1, piece / 2);
        }

        return commands;
    }

    private static string Report(int seed, Round plan, List<string[]> commands, Failure failure)
    {
        var text = new StringBuilder();
        text.Append("LEITHER_SEED=").Append(seed).AppendLine(" LEITHER_FUZZ_ROUNDS=1");
        text.Append('@').Append(plan.Protocol).AppendLine();
        foreach (string[] command in plan.Setup) text.Append("> ").AppendLine(Comparison.Show(command));
        foreach (string[] command in commands) text.Append("> ").AppendLine(Comparison.Show(command));
        return text.AppendLine(failure.What).ToString();
    }
}
