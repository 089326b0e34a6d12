// Compares servers side by side: the same load, in turns (A B C A B C …), medians, ratios to redis-server.
// The table goes to standard output; what happens meanwhile to standard error. bench/README.md says what is measured.

using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace Leither.Compare;

internal static class Program
{
    private const int Connections = 50;

    private static readonly List<Row> Rows = [];
    private static string[] names = ["redis", "garnet", "leither"];
    private static string only = "";
    private static bool quick;
    private static bool json;
    private static string logging = "both";
    private static int[] pipelines = [1, 16, 64];
    private static int rounds = 3;
    private static int warmth;

    private sealed record Row(string Work, string Unit, Dictionary<string, double> Values, bool LessIsBetter = true, string Target = "");

    private static int Main(string[] args)
    {
        for (int i = 0; i < args.Length; i++)
        {
            switch (args[i])
            {
                case "--quick": quick = true; break;
                case "--json": json = true; break;
                case "--all-cpus": Server.IsPinned = false; break;
                case "--only" when i + 1 < args.Length: only = args[++i]; break;
                case "--servers" when i + 1 < args.Length: names = args[++i].Split(','); break;
                case "--log" when i + 1 < args.Length: logging = args[++i]; break;
                case "--rounds" when i + 1 < args.Length: rounds = int.Parse(args[++i], CultureInfo.InvariantCulture); break;
                case "--pipeline" when i + 1 < args.Length: pipelines = [.. args[++i].Split(',').Select(p => int.Parse(p, CultureInfo.InvariantCulture))]; break;
                default:
                    Console.Error.WriteLine("""
                        leither-compare [--quick] [--only WORK] [--servers redis,garnet,leither] [--log on|off|both] [--pipeline 1,16,64] [--rounds 3] [--all-cpus] [--json]

                          --quick    everything once, with small loads: under three minutes
                          --all-cpus servers and load may use every processor; otherwise servers have the first one, and load the second
                          --only     what contains this text: a work ("GET", "ZADD", ...), "memory", "churn", "pause", "start", "versions", "history", "steady", "gateway", "replication"
                        """);
                    return args[i] is "--help" or "-h" ? 0 : 2;
            }
        }

        if (quick) rounds = 1;
        warmth = quick ? 1 : 4;
        if (Server.IsPinned) Native.PinThisThread(Environment.ProcessorCount > 1 ? 1 : 0);
        if (logging is "both" or "on") Throughput(log: true);
        if (logging is "off" || (logging == "both" && !quick)) Throughput(log: false);
        if (Wanted("memory")) Memory();
        if (Wanted("churn")) Churn();
        if (Wanted("start")) StartUp();
        if (Wanted("pause")) Pause();
        if (Wanted("versions")) Versions();
        if (Wanted("history")) History();
        if (Wanted("steady")) Steady();
        if (Wanted("gateway")) Gateway();
        if (Wanted("replication")) Replication();
        Print();
        return 0;
    }

    private static bool Wanted(string work) => only.Length == 0 || work.Contains(only, StringComparison.OrdinalIgnoreCase);

    private static void Throughput(bool log)
    {
        Works.Measured[] works = [.. Works.Table.Where(w => Wanted(w.Name))];
        if (works.Length == 0) return;
        string mode = log ? "log on" : "log off";
        using var servers = new Servers(names, log);
        foreach (Server server in servers.All)
        {
            Say($"{mode}: loading {server.Name}");
            // What a work stands on may be loaded by one before it in the table.
            foreach (Works.Measured work in Works.Table)
            {
                if (!works.Contains(work) && !works.Any(w => Follows(w.Name, work.Name))) continue;
                foreach ((Work load, long requests) in work.Load) Load(server, load, requests);
            }
        }

        foreach (Works.Measured work in works)
        {
            foreach (int pipeline in pipelines)
            {
                long requests = (pipeline switch { 1 => 60_000, < 32 => 300_000, _ => 500_000 }) / (quick ? 3 : 1);
                if (work.Name.Contains("KiB", StringComparison.Ordinal) && pipeline > 1) requests /= 2;
                if (work.Work.Listeners > 0) requests = requests * 5 / work.Work.Listeners;
                // A managed server compiles its hot code again in its first seconds under load.
                for (int i = 0; i < warmth; i++)
                {
                    foreach (Server server in servers.All)
                    {
                        Refill(server, work, requests);
                        Load(server, work.Work, requests, pipeline);
                    }
                }

                var runs = servers.All.ToDictionary(s => s.Name, _ => new List<(double Cpu, LoadResult Load)>());
                for (int round = 0; round < rounds; round++)
                {
                    foreach (Server server in servers.All)
                    {
                        Refill(server, work, requests);
                        var generator = new LoadGenerator();
                        double before = server.CpuSeconds();
                        LoadResult load = generator.Run(server.Port, work.Work, Connections, pipeline, requests, seed: Draw());
                        double cpu = (server.CpuSeconds() - before) * 1e6 / load.Requests;
                        if (load.Errors > 0) Say($"{server.Name} replied {load.Errors} errors to {work.Name}");
                        runs[server.Name].Add((cpu, load));
                    }
                }

                string label = $"{work.Name}, pipeline {pipeline}, {mode}";
                Add(label, "CPU us/request", runs, r => r.Cpu);
                Add(label, "k requests/s", runs, r => r.Load.PerSecond / 1000, lessIsBetter: false);
                Add(label, "p50 us", runs, r => r.Load.P50);
                Add(label, "p99 us", runs, r => r.Load.P99);
                Add(label, "p99.9 us", runs, r => r.Load.P999);
                Say(label + ": " + string.Join(", ", runs.Select(r => $"{r.Key} {Median(r.Value.Select(v => v.Cpu)):0.00} us")));
            }
        }

        static bool Follows(string work, string loadedBy) => (work, loadedBy) switch
        {
            ("SET 16 B", "GET 16 B") or ("SET 1 KiB", "GET 1 KiB") or ("LPOP", "LPUSH") => true,
            _ => false,
        };
    }

    private static void Memory()
    {
        foreach ((string name, Work load, long requests, long items) in Works.Memory)
        {
            var values = new Dictionary<string, double>();
            foreach (string server in names)
            {
                using var one = new Servers([server], log: false);
                if (one.All.Count == 0) continue;
                Server s = one.All[0];
                long count = quick ? requests / 4 : requests;
                long before = s.Resident();
                Load(s, load, count);
                values[server] = (double)(s.Resident() - before) / (quick ? items / 4 : items);
            }

            Rows.Add(new Row("memory: " + name, "bytes/item", values));
            Say($"memory: {name}: {string.Join(", ", values.Select(v => $"{v.Key} {v.Value:0.0}"))}");
        }
    }

    private static void Churn()
    {
        int keys = quick ? 200_000 : 1_000_000;
        var resized = new Dictionary<string, double>();
        var small = new Dictionary<string, double>();
        foreach (string server in names)
        {
            using var one = new Servers([server], log: false);
            if (one.All.Count == 0) continue;
            Server s = one.All[0];
            resized[server] = ChurnedTo(s, keys, 2048, quick ? 4 : 60);
            small[server] = ChurnedTo(s, keys, 256, quick ? 2 : 30);
        }

        Rows.Add(new Row("churn: values resized at random", "resident/used", resized));
        Rows.Add(new Row("churn: then small ones over them", "resident/used", small));
    }

    private static double ChurnedTo(Server server, int keys, int longest, int seconds)
    {
        new LoadGenerator().Run(server.Port, Works.Churn(keys, longest), Connections, 16, long.MaxValue, TimeSpan.FromSeconds(seconds), Draw());
        // What the server does about it in the background is part of the answer.
        Thread.Sleep(quick ? 500 : 3000);
        long used = server.Info("memory", "used_memory");
        return used == 0 ? 0 : (double)server.Resident() / used;
    }

    private static void StartUp()
    {
        int keys = quick ? 200_000 : 1_000_000;
        var accept = new Dictionary<string, double>();
        var resident = new Dictionary<string, double>();
        var restart = new Dictionary<string, double>();
        var saved = new Dictionary<string, double>();
        foreach (string name in names)
        {
            using var one = new Servers([name], log: true);
            if (one.All.Count == 0) continue;
            Server s = one.All[0];
            accept[name] = one.StartTimes[0].TotalSeconds;
            Thread.Sleep(1000);
            resident[name] = s.Resident() / 1048576.0;
            Load(s, Works.Strings(32), keys);
            Thread.Sleep(1500);
            s.Stop();
            var clock = Stopwatch.StartNew();
            try
            {
                s.Start();
                restart[name] = clock.Elapsed.TotalSeconds;
                string size = s.Call("DBSIZE").Trim();
                if (size != $":{keys}") Say($"{name} has {size} of {keys} keys after its restart");
                if (name != "leither") continue;
                s.Call("SAVE");
                s.Stop();
                clock.Restart();
                s.Start();
                saved[name] = clock.Elapsed.TotalSeconds;
            }
            catch (Exception e) when (e is InvalidOperationException or TimeoutException)
            {
                Say($"{name} did not start again: {e.Message}");
            }
        }

        Rows.Add(new Row("fresh start", "s until it answers", accept));
        Rows.Add(new Row("fresh start", "MiB resident", resident));
        Rows.Add(new Row($"start with {keys / 1000} k keys in the log", "s until it answers", restart));
        Rows.Add(new Row($"start with {keys / 1000} k keys in a checkpoint", "s until it answers", saved));
    }

    private static void Pause()
    {
        int keys = quick ? 500_000 : 5_000_000;
        var p999 = new Dictionary<string, double>();
        var longest = new Dictionary<string, double>();
        var growing = new Dictionary<string, double>();
        foreach (string name in names)
        {
            using var one = new Servers([name], log: true);
            if (one.All.Count == 0) continue;
            Server s = one.All[0];
            growing[name] = new LoadGenerator().Run(s.Port, Works.Strings(32), Connections, 16, keys).Max / 1000;
            // What a managed server compiles in its first seconds is not a pause of its data.
            new LoadGenerator().Run(s.Port, Works.Mixed(keys, 32), Connections, 1, long.MaxValue, TimeSpan.FromSeconds(quick ? 1 : 8), Draw());
            LoadResult load = new LoadGenerator().Run(s.Port, Works.Mixed(keys, 32), Connections, 1, long.MaxValue, TimeSpan.FromSeconds(quick ? 3 : 15), Draw());
            p999[name] = load.P999;
            longest[name] = load.Max / 1000;
        }

        string label = $"pause: {keys / 1_000_000.0:0.#} M keys, GET and SET";
        Rows.Add(new Row(label, "p99.9 us", p999));
        Rows.Add(new Row(label, "longest ms", longest));
        Rows.Add(new Row($"pause: growing to {keys / 1_000_000.0:0.#} M keys, pipeline 16", "longest ms", growing));
    }

    /// <summary>Versions of Leither beside the snapshots of Redis, which write everything each time.</summary>
    private static void Versions()
    {
        int keys = quick ? 100_000 : 1_000_000;
        (string Label, int Changes, bool Neighbours)[] steps =
            [("nothing changed", 0, false), ("1,000 random keys changed", 1000, false), ("100,000 random keys changed", 100_000, false), ("10,000 neighbours changed", 10_000, true)];
        var rows = new Dictionary<(string, string), Dictionary<string, double>>();
        void Note(string work, string unit, string name, double value)
        {
            if (!rows.TryGetValue((work, unit), out Dictionary<string, double>? values)) rows.Add((work, unit), values = []);
            values[name] = value;
        }

        foreach (string name in names.Where(static n => n != "garnet"))
        {
            using var one = new Servers([name], log: true);
            if (one.All.Count == 0) continue;
            Server s = one.All[0];
            Load(s, Works.Fresh(keys, from: 0), keys);
            var work = new VersionWork(s, keys, 1);
            void Show(string label, VersionWork.Taken taken)
            {
                string row = $"versions: {label}";
                Note(row, "ms", name, taken.Ms);
                Note(row, "CPU ms", name, taken.CpuMs);
                Note(row, "new MB", name, taken.NewMb);
                Note(row, "longest GET ms", name, taken.LongestMs);
            }

            Show($"the first, of {keys / 1000} k keys", work.Snapshot(0));
            new VersionWork(s, keys, quick ? 2 : 12).Snapshot(1000); // what is compiled on the way
            foreach ((string label, int changes, bool neighbours) in steps) Show(label, new VersionWork(s, keys, quick ? 3 : 9).Snapshot(changes, neighbours));
            if (name == "leither")
            {
                const string row = "versions: opening, comparing";
                string mid = s.Call("MIMEI ID").Split("\r\n")[2];
                Note(row, "MIMEI OPEN and the first GET, ms", name, work.Time($"MIMEI OPEN {mid} VERSION 2", "GET key:000000000077"));
                Note(row, "MIMEI DIFF, 1,000 changes apart, ms", name, work.Time("MIMEI DIFF 4 5 COUNT 100000"));
                new LoadGenerator().Run(s.Port, Works.Field(keys), 1, 64, keys);
                var hash = new VersionWork(s, keys, 1);
                hash.Snapshot(0);
                s.Call("HSET one field:000000000077 changed");
                Note(row, $"one field of a hash of {keys / 1000} k changed, new KB", name, hash.Snapshot(0).NewMb * 1000);
            }
        }

        foreach (((string work, string unit), Dictionary<string, double> values) in rows) Rows.Add(new Row(work, unit, values));
    }

    private static void History()
    {
        int keys = quick ? 100_000 : 1_000_000, versions = quick ? 20 : 100, commits = quick ? 3 : 10;
        foreach (bool neighbours in (bool[])[true, false])
        {
            string row = $"history: {(neighbours ? "neighbours" : "random keys")}";
            var rows = new Dictionary<string, Dictionary<string, double>>();
            void Note(string unit, string name, double value)
            {
                if (!rows.TryGetValue(unit, out Dictionary<string, double>? values)) rows.Add(unit, values = []);
                values[name] = value;
            }

            if (names.Contains("leither"))
            {
                using var one = new Servers(["leither"], log: true);
                Load(one.All[0], Works.Fresh(keys, from: 0), keys);
                HistoryWork.Taken taken = new HistoryWork(one.All[0], keys).Run(versions, neighbours);
                Note("MB, the first version", "leither", taken.FirstMb);
                Note($"MB, {versions} versions", "leither", taken.AllMb);
                Note($"{versions} versions over one", "leither", taken.AllMb / taken.FirstMb);
                Note($"MB, {versions * 9 / 10} of them deleted", "leither", taken.LeftMb);
                Note("ms a version, 1 % changed", "leither", taken.BackupMs);
                Note("MB a version", "leither", (taken.AllMb - taken.FirstMb) / (versions - 1));
            }

            DirectoryInfo folder = Directory.CreateTempSubdirectory("compare-git-");
            if (new GitWork(folder.FullName, keys).Run(commits, neighbours) is { } git)
            {
                Note("MB, the first version", "git", git.FirstMb);
                Note("ms a version, 1 % changed", "git", git.Ms);
                Note("MB a version", "git", (git.Mb - git.FirstMb) / (commits - 1));
                Note($"MB, {commits} commits after gc", "git", git.PackedMb);
                Note("ms, the first version", "git", git.FirstMs);
            }

            folder.Delete(recursive: true);
            foreach ((string unit, Dictionary<string, double> values) in rows) Rows.Add(new Row(row, unit, values));
        }
    }

    private static void Steady()
    {
        int keys = quick ? 100_000 : 1_000_000, seconds = quick ? 4 : 20, perSecond = 50_000;
        using var one = new Servers(["leither"], log: true);
        Load(one.All[0], Works.Fresh(keys, from: 0), keys);
        one.All[0].Call("MIMEI BACKUP");
        var work = new SteadyWrites(one.All[0], keys, perSecond);
        work.Run(seconds / 2, 2); // what is compiled on the way
        var without = new List<(double P99, double Longest, int Versions)>();
        var with = new List<(double P99, double Longest, int Versions)>();
        for (int round = 0; round < rounds; round++)
        {
            without.Add(work.Run(seconds, 0));
            with.Add(work.Run(seconds, 2));
        }

        string row = $"steady: {perSecond / 1000} k writes/s";
        Rows.Add(new Row(row, "p99 ms without versions", One(without, r => r.P99)));
        Rows.Add(new Row(row, "p99 ms, a version each 2 s", One(with, r => r.P99)));
        Rows.Add(new Row(row, "p99 with over without", new() { ["leither"] = with.Zip(without).Select(p => p.First.P99 / p.Second.P99).Order().ElementAt(rounds / 2) }));
        Rows.Add(new Row(row, "longest ms without versions", One(without, r => r.Longest)));
        Rows.Add(new Row(row, "longest ms, a version each 2 s", One(with, r => r.Longest)));
        Rows.Add(new Row(row, "versions made", One(with, r => r.Versions)));

        static Dictionary<string, double> One(List<(double P99, double Longest, int Versions)> runs, Func<(double P99, double Longest, int Versions), double> value) =>
            new() { ["leither"] = Median(runs.Select(value)) };
    }

    private static void Gateway()
    {
        if (!names.Contains("leither")) return;
        using var one = new Servers(["leither"], log: false);
        var work = new GatewayWork(one.All[0]);
        foreach (string profile in (string[])["unixfs-v0-2015", "unixfs-v1-2025"])
        {
            string small = "/ipfs/" + work.Add(1024, profile), large = "/ipfs/" + work.Add(100_000_000, profile);
            string sort = profile == "unixfs-v1-2025" ? "v1" : "v0";
            Measure($"gateway: file of 1 KiB, {sort}", small, 50, bytes: 0);
            Measure($"gateway: file of 100 MB, {sort}", large, 1, bytes: 100_000_000);
        }

        Measure("gateway: /health", "/health", 50, bytes: 0);

        void Measure(string row, string path, int connections, long bytes)
        {
            var time = TimeSpan.FromSeconds(quick ? 2 : 5);
            for (int i = 0; i < warmth; i++) work.Run(path, connections, time); // what is compiled on the way
            var taken = new List<GatewayWork.Taken>();
            for (int round = 0; round < rounds; round++) taken.Add(work.Run(path, connections, time));
            double scale = bytes > 0 ? bytes / 1e6 : 1;
            Rows.Add(new Row(row, bytes > 0 ? "MB/s" : "requests/s", new() { ["leither"] = Median(taken.Select(t => t.PerSecond * scale)) }, LessIsBetter: false));
            Rows.Add(new Row(row, bytes > 0 ? "MB per CPU second" : "requests per CPU second", new() { ["leither"] = Median(taken.Select(t => scale / t.CpuSecondsEach)) }, LessIsBetter: false));
        }
    }

    /// <summary>What a node that follows costs and how far behind it is, beside a replica of Redis.</summary>
    private static void Replication()
    {
        var work = new ReplicationWork([.. names.Where(static n => n != "garnet")], rounds, quick, Say);
        foreach (ReplicationWork.Figure figure in work.Run()) Rows.Add(new Row("replication: " + figure.Work, figure.Unit, figure.Values, Target: figure.Target));
    }

    /// <summary>Lists stay as long as they are.</summary>
    private static void Refill(Server server, Works.Measured work, long requests)
    {
        if (work.Name == "LPOP") new LoadGenerator().Run(server.Port, Works.Table.Single(w => w.Name == "LPUSH").Work, Connections, 64, requests, seed: Draw());
    }

    private static void Load(Server server, Work load, long requests, int pipeline = 64)
    {
        LoadResult result = new LoadGenerator().Run(server.Port, load, Connections, pipeline, requests);
        if (result.Errors > 0) Say($"{server.Name} replied {result.Errors} errors while {load.Name} was loaded");
    }

    private static ulong Draw() => (ulong)Random.Shared.NextInt64();

    private static void Add(string work, string unit, Dictionary<string, List<(double Cpu, LoadResult Load)>> runs, Func<(double Cpu, LoadResult Load), double> value, bool lessIsBetter = true) =>
        Rows.Add(new Row(work, unit, runs.ToDictionary(r => r.Key, r => Median(r.Value.Select(value))), lessIsBetter));

    private static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted.Length % 2 == 1 ? sorted[sorted.Length / 2] : (sorted[(sorted.Length / 2) - 1] + sorted[sorted.Length / 2]) / 2;
    }

    private static void Say(string line) => Console.Error.WriteLine(line);

    private static void Print()
    {
        if (json)
        {
            Console.WriteLine(JsonSerializer.Serialize(Rows.Select(r => new { r.Work, r.Unit, r.Values })));
            return;
        }

        bool hasTargets = Rows.Any(static r => r.Target.Length > 0);
        string[] shown = [.. names.Append("git").Where(n => Rows.Any(r => r.Values.ContainsKey(n)))];
        var lines = new List<string[]> { (string[])["work", "unit", .. shown, .. shown.Where(n => n != "redis").Select(n => n + "/redis"), .. hasTargets ? (string[])["target"] : []] };
        string previous = "";
        foreach (Row row in Rows)
        {
            lines.Add(
            [
                row.Work == previous ? "" : row.Work, row.Unit, .. shown.Select(n => row.Values.TryGetValue(n, out double v) ? Format(v) : "-"),
                .. shown.Where(n => n != "redis").Select(n => row.Values.TryGetValue(n, out double v) && row.Values.TryGetValue("redis", out double r) && r > 0
                    ? (v / r).ToString("0.00", CultureInfo.InvariantCulture) : "-"),
                .. hasTargets ? (string[])[row.Target] : [],
            ]);
            previous = row.Work;
        }

        int[] widths = [.. Enumerable.Range(0, lines[0].Length).Select(c => lines.Max(l => l[c].Length))];
        for (int i = 0; i < lines.Count; i++)
        {
            Console.WriteLine(string.Join("  ", lines[i].Select((cell, c) => c < 2 ? cell.PadRight(widths[c]) : cell.PadLeft(widths[c]))).TrimEnd());
            if (i == 0) Console.WriteLine(string.Join("  ", widths.Select(w => new string('-', w))));
        }
    }

    private static string Format(double value) => value switch
    {
        >= 100 => value.ToString("0", CultureInfo.InvariantCulture),
        >= 10 => value.ToString("0.0", CultureInfo.InvariantCulture),
        _ => value.ToString("0.00", CultureInfo.InvariantCulture),
    };

    /// <summary>Some servers, running.</summary>
    private sealed class Servers : IDisposable
    {
        public List<Server> All { get; } = [];

        public List<TimeSpan> StartTimes { get; } = [];

        public Servers(string[] names, bool log)
        {
            foreach (string name in names)
            {
                if (Server.Prepare(name, log, out string note) is not { } server)
                {
                    Say(note);
                    continue;
                }

                All.Add(server);
                try
                {
                    StartTimes.Add(server.Start());
                }
                catch
                {
                    Dispose();
                    throw;
                }
            }
        }

        public void Dispose()
        {
            foreach (Server server in All) server.Dispose();
        }
    }
}
