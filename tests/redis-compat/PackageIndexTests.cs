// Real data: Debian's package index, loaded as the README's example does it (examples/debian-packages), into Leither and
// into redis-server. Leither is killed and started again; then every key must hold what redis-server's holds.

using System.Diagnostics;
using System.Globalization;
using System.Text;
using Leither.TestKit;
using Xunit;

namespace Leither.RedisCompat;

public sealed class PackageIndexTests
{
    private const int SyntheticPackages = 20_000;

    [Fact]
    public void The_package_index_survives_a_kill_and_equals_the_same_load_in_Redis()
    {
        using var folder = new TempDir("packages");
        string commands = folder.File("commands.resp");
        string script = Path.Combine(Transcript.Folder, "../../examples/debian-packages/to-resp");
        Shell($"{script} > {commands} 2>/dev/null || true");
        if (!File.Exists(commands) || new FileInfo(commands).Length < 1_000_000)
        {
            // No package index on this machine: one of the same shape.
            string packages = folder.File("Packages");
            WriteSyntheticIndex(packages);
            Shell($"{script} {packages} > {commands}");
        }

        using RedisServer redis = RedisServer.StartNew();
        using LeitherServer leither = LeitherServer.StartNew();
        foreach (ServerProcess server in new ServerProcess[] { redis, leither })
        {
            string printed = Shell($"redis-cli -p {server.Port} --pipe < {commands}");
            Assert.Contains("errors: 0", printed, StringComparison.Ordinal);
        }

        leither.Kill();
        leither.Start();

        using RespClient onRedis = redis.Connect();
        using RespClient onLeither = leither.Connect();
        Assert.Equal(onRedis.Call("DBSIZE"), onLeither.Call("DBSIZE"));
        string[] keys = [.. onRedis.Call("KEYS", "*").Items.Select(k => k.Text)];
        foreach (string[] some in keys.Chunk(500))
        {
            RespValue[] types = Ask(onRedis, some.Select(key => new[] { "TYPE", key }));
            string[][] reads = [.. some.Zip(types, (key, type) => type.Text switch
            {
                "hash" => new[] { "HGETALL", key },
                "set" => ["SMEMBERS", key],
                "zset" => ["ZRANGE", key, "0", "-1", "WITHSCORES"],
                _ => ["TYPE", key],
            })];
            RespValue[] expected = Ask(onRedis, reads);
            RespValue[] actual = Ask(onLeither, reads);
            for (int i = 0; i < reads.Length; i++)
            {
                byte[][] command = CommandGenerator.Bytes(reads[i]);
                RespValue a = Normalizer.Normalize(command, expected[i]);
                RespValue b = Normalizer.Normalize(command, actual[i]);
                if (!a.Equals(b)) Assert.Fail($"{Comparison.Show(reads[i])}\nredis: {a}\nleither: {b}");
            }
        }

        // The README's questions.
        foreach (string question in new[]
        {
            "ZREVRANGE by-size 0 9 WITHSCORES", "ZCOUNT by-size 100000 +inf", "SCARD needed-by:libc6", "SINTER needed-by:perl needed-by:python3",
            "SORT deps:git BY pkg:*->size GET # GET pkg:*->size DESC", "SINTERCARD 2 section:games needed-by:libsdl2-2.0-0",
        })
        {
            byte[][] command = Quoting.Split(question);
            Assert.Equal(Normalizer.Normalize(command, onRedis.Call(command)).ToString(), Normalizer.Normalize(command, onLeither.Call(command)).ToString());
        }
    }

    private static RespValue[] Ask(RespClient client, IEnumerable<string[]> commands)
    {
        int count = 0;
        foreach (string[] command in commands)
        {
            client.Queue(command);
            count++;
        }

        client.Flush();
        return [.. Enumerable.Range(0, count).Select(_ => client.Read())];
    }

    private static void WriteSyntheticIndex(string path)
    {
        var random = new Random(1);
        string[] sections = ["games", "libs", "devel", "net", "python", "doc"];
        using var writer = new StreamWriter(path, false, new UTF8Encoding(false)) { NewLine = "\n" };
        for (int i = 0; i < SyntheticPackages; i++)
        {
            string name = i switch { 0 => "libc6", 1 => "perl", 2 => "python3", 3 => "git", 4 => "libsdl2-2.0-0", _ => $"package-{i}" };
            writer.WriteLine($"Package: {name}");
            writer.WriteLine(string.Create(CultureInfo.InvariantCulture, $"Version: {random.Next(9)}.{random.Next(30)}-{random.Next(5)}"));
            writer.WriteLine($"Section: {sections[random.Next(sections.Length)]}");
            writer.WriteLine("Maintainer: Jos\u00e9 Example <jose@example.org>");
            writer.WriteLine(string.Create(CultureInfo.InvariantCulture, $"Installed-Size: {(int)Math.Exp(random.NextDouble() * 14)}"));
            int dependencies = random.Next(8);
            if (dependencies > 0)
            {
                writer.WriteLine("Depends: " + string.Join(", ", Enumerable.Range(0, dependencies)
                    .Select(_ => random.Next(4) switch { 0 => "libc6 (>= 2.36)", 1 => "perl:any | python3", _ => $"package-{random.Next(SyntheticPackages)}" })));
            }

            writer.WriteLine($"Description: what {name} is for");
            writer.WriteLine();
        }
    }

    private static string Shell(string command)
    {
        using Process process = Process.Start(new ProcessStartInfo("sh", ["-c", command]) { RedirectStandardOutput = true })!;
        string printed = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return printed;
    }
}
