// Nodes that follow a writer, beside replicas of redis-server: how long a write takes until it can be read there, what following costs the writer, how fast a follower
// takes writes, how long it takes to have everything, what coming back moves, and what a tree of followers costs its root. Writers have the first processor; who follows, and load, the second.

using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Leither.Compare;

/// <summary>Measures replication.</summary>
internal sealed class ReplicationWork(string[] names, int rounds, bool quick, Action<string> say)
{
    private const int Connections = 50;

    /// <summary>A line of the table.</summary>
    public sealed record Figure(string Work, string Unit, Dictionary<string, double> Values, string Target = "");

    private readonly List<Figure> figures = [];
    private readonly int keys = quick ? 100_000 : 1_000_000;

    /// <summary>Measures everything; what cannot be is said and left out.</summary>
    public IReadOnlyList<Figure> Run()
    {
        foreach ((string what, Action measure) in (ReadOnlySpan<(string, Action)>)[("lag", Lag), ("cost", Cost), ("sync", Sync), ("return", Return), ("tree", Tree)])
        {
            try
            {
                say($"replication: {what}");
                measure();
            }
            catch (Exception e) when (e is InvalidOperationException or IOException or TimeoutException or SocketException)
            {
                say($"replication: {what} left out: {e.Message}");
            }
        }

        return figures;
    }

    // ------------------------------------------------------------------ until it can be read

    private void Lag()
    {
        const int perSecond = 10_000;
        int seconds = quick ? 3 : 10;
        using var groups = new Groups(names.Select(static n => new Group(n)));
        foreach (Group group in groups.All) group.Follow(group.Writer);
        var taken = names.ToDictionary(static n => n, static _ => new List<(double P50, double P99)>());
        for (int round = -1; round < rounds; round++)
        {
            foreach (Group group in groups.All)
            {
                (double P50, double P99) lag = new LagProbe(group, perSecond).Run(seconds);
                say($"replication: {group.Name}: p50 {lag.P50:0.00} ms, p99 {lag.P99:0.00} ms{(round < 0 ? ", unmeasured" : "")}");
                if (round >= 0) taken[group.Name].Add(lag);
            }
        }

        string row = $"from write to readable on a follower, {perSecond / 1000} k writes/s";
        figures.Add(new Figure(row, "p50 ms", taken.ToDictionary(static t => t.Key, static t => Median(t.Value.Select(static v => v.P50))), "5"));
        figures.Add(new Figure(row, "p99 ms", taken.ToDictionary(static t => t.Key, static t => Median(t.Value.Select(static v => v.P99))), "25"));
    }

    // ------------------------------------------------------------------ what it costs

    private void Cost()
    {
        long requests = quick ? 500_000 : 3_000_000;
        // What follows and what is followed is compiled again when it has run for a while: until then a request costs up to twice as much.
        int unmeasured = quick ? 6 : 2;
        string[] shapes = ["nobody follows", "one follows", "one follows, and one follows that one"];
        using var groups = new Groups(names.SelectMany(name => shapes.Select((_, followers) => (Name: name, followers))).Select(static g => new Group(g.Name)));
        for (int i = 0; i < groups.All.Count; i++)
        {
            Server source = groups.All[i].Writer;
            for (int follower = 0; follower < i % shapes.Length; follower++) source = groups.All[i].Follow(source);
        }

        var cpu = new Dictionary<(string, int), List<double>>();
        var rate = new Dictionary<(string, int), List<double>>();
        for (int round = -unmeasured; round < rounds; round++)
        {
            for (int i = 0; i < groups.All.Count; i++)
            {
                Group group = groups.All[i];
                double before = group.Writer.CpuSeconds(), threads = group.Writer.MainCpuSeconds();
                var clock = Stopwatch.StartNew();
                new LoadGenerator().Run(group.Writer.Port, Works.SetWork("key:", keys, 16), Connections, 64, requests, seed: (ulong)Random.Shared.NextInt64());
                group.Level();
                double perSecond = requests / clock.Elapsed.TotalSeconds, each = (group.Writer.CpuSeconds() - before) * 1e6 / requests;
                double main = (group.Writer.MainCpuSeconds() - threads) * 1e6 / requests;
                say($"replication: {group.Name}, {shapes[i % shapes.Length]}: {each:0.000} us, of that {main:0.000} of the thread that executes, {perSecond / 1000:0} k/s{(round < 0 ? ", unmeasured" : "")}");
                if (round < 0) continue;
                Add(cpu, (group.Name, i % shapes.Length), each);
                Add(rate, (group.Name, i % shapes.Length), perSecond / 1000);
            }
        }

        for (int shape = 0; shape < shapes.Length; shape++)
        {
            figures.Add(new Figure($"SET 16 B, pipeline 64, {shapes[shape]}", "writer's CPU us/request", names.ToDictionary(static n => n, n => Median(cpu[(n, shape)]))));
        }

        figures.Add(new Figure("SET 16 B, pipeline 64: the first follower", "% more CPU on the writer", names.ToDictionary(static n => n, n => More(n, 1, 0)), "30"));
        figures.Add(new Figure("SET 16 B, pipeline 64: a follower of the follower", "% more CPU on the writer", names.ToDictionary(static n => n, n => More(n, 2, 1)), "5"));
        figures.Add(new Figure("SET 16 B, pipeline 64, until the follower has it", "k writes/s", names.ToDictionary(static n => n, n => Median(rate[(n, 1)])), "300"));

        double More(string name, int shape, int than) => ((Median(cpu[(name, shape)]) / Median(cpu[(name, than)])) - 1) * 100;
        static void Add<TKey>(Dictionary<TKey, List<double>> to, TKey key, double value) where TKey : notnull
        {
            if (!to.TryGetValue(key, out List<double>? values)) to.Add(key, values = []);
            values.Add(value);
        }
    }

    // ------------------------------------------------------------------ everything from nothing

    private void Sync()
    {
        using var groups = new Groups(names.Select(static n => new Group(n)));
        foreach (Group group in groups.All) new LoadGenerator().Run(group.Writer.Port, Works.Fresh(keys, from: 0), Connections, 64, keys);
        Measure("from its log");
        foreach (Group group in groups.All.Where(static g => !g.IsRedis)) group.Ask(group.Writer, "MIMEI", "BACKUP");
        Measure("from its version");

        void Measure(string from)
        {
            var taken = names.ToDictionary(static n => n, static _ => new List<double>());
            for (int round = 0; round < rounds; round++)
            {
                foreach (Group group in groups.All)
                {
                    Server follower = group.Add();
                    var clock = Stopwatch.StartNew();
                    group.Begin(follower, group.Writer.Port);
                    group.Await(follower, keys);
                    taken[group.Name].Add(clock.Elapsed.TotalSeconds);
                    say($"replication: {group.Name}, {from}: {clock.Elapsed.TotalSeconds:0.00} s");
                    group.Remove(follower);
                }
            }

            figures.Add(new Figure(
                $"{keys / 1000} k keys of 16 + 32 bytes from nothing, {from}", "s", taken.ToDictionary(static t => t.Key, static t => Median(t.Value)),
                taken.TryGetValue("redis", out List<double>? redis) ? $"{Median(redis):0.00} (Redis)" : ""));
        }
    }

    // ------------------------------------------------------------------ coming back

    private void Return()
    {
        if (!names.Contains("leither")) return;
        using var group = new Group("leither", "--swarm-announce", "/ip4/127.0.0.1/tcp/1");
        using var proxy = new CountingProxy(group.Writer.Port);
        new LoadGenerator().Run(group.Writer.Port, Works.Fresh(keys, from: 0), Connections, 64, keys);
        Server follower = group.Add();
        group.Begin(follower, proxy.Port);
        group.Await(follower, keys);
        double all = proxy.All;
        follower.Stop();
        new LoadGenerator().Run(group.Writer.Port, Works.Fresh(keys), Connections, 64, keys / 100, seed: (ulong)Random.Shared.NextInt64());
        long before = proxy.All;
        var clock = Stopwatch.StartNew();
        follower.Start();
        group.Level();
        double seconds = clock.Elapsed.TotalSeconds, moved = proxy.All - before;
        const string row = "coming back after changes to 1 % of the keys";
        figures.Add(new Figure(row, "MB moved", new() { ["leither"] = moved / 1e6 }));
        figures.Add(new Figure(row, "% of what everything moved", new() { ["leither"] = moved * 100 / all }, "2"));
        figures.Add(new Figure(row, "s, the start of the node included", new() { ["leither"] = seconds }));
    }

    // ------------------------------------------------------------------ a tree

    private void Tree()
    {
        if (!names.Contains("leither")) return;
        const int followers = 20, children = 2;
        using var group = new Group("leither", "--swarm-announce", "/ip4/127.0.0.1/tcp/1");
        using var proxy = new CountingProxy(group.Writer.Port);
        var all = new List<Server>();
        for (int i = 0; i < followers; i++)
        {
            Server follower = group.Add();
            // Two follow the writer, two each of those, and so on.
            group.Begin(follower, i < children ? proxy.Port : all[(i / children) - 1].Port, i < children ? group.Writer : all[(i / children) - 1]);
            all.Add(follower);
        }

        group.Level();
        long before = proxy.Sent;
        int requests = quick ? 50_000 : 300_000;
        long log = LogBytes(group.Writer);
        new LoadGenerator().Run(group.Writer.Port, Works.Fresh(keys, from: 0), Connections, 64, requests);
        var clock = Stopwatch.StartNew();
        group.Level();
        double sent = proxy.Sent - before;
        log = LogBytes(group.Writer) - log;
        string row = $"{followers} followers in a tree, {children} of the writer's own, {requests / 1000} k writes";
        figures.Add(new Figure(row, "MB of log", new() { ["leither"] = log / 1e6 }));
        figures.Add(new Figure(row, "MB that the writer sent", new() { ["leither"] = sent / 1e6 }));
        figures.Add(new Figure(row, "times the log", new() { ["leither"] = sent / log }, $"{children}"));
        figures.Add(new Figure(row, "s until all have the last", new() { ["leither"] = clock.Elapsed.TotalSeconds }));
    }

    /// <summary>Bytes that were written to a log: files are prepared at full size, their last part is what it says.</summary>
    private static long LogBytes(Server server)
    {
        string info = server.Call("INFO persistence");
        int at = info.IndexOf("aof_current_size:", StringComparison.Ordinal);
        return at < 0 ? 0 : long.Parse(info.AsSpan(at + 17, info.IndexOf('\r', at) - at - 17), CultureInfo.InvariantCulture);
    }

    private static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted[sorted.Length / 2];
    }

    // ------------------------------------------------------------------ who is measured

    /// <summary>Groups that start together and end together.</summary>
    private sealed class Groups : IDisposable
    {
        public Groups(IEnumerable<Group> all)
        {
            foreach (Group group in all) All.Add(group);
        }

        public List<Group> All { get; } = [];

        public void Dispose()
        {
            foreach (Group group in All) group.Dispose();
        }
    }

    /// <summary>A writer and those that follow it, of one kind.</summary>
    internal sealed class Group : IDisposable
    {
        private readonly string[] arguments;
        private readonly List<Server> followers = [];
        private readonly string mid = "";
        private long marks;

        public Group(string name, params string[] arguments)
        {
            Name = name;
            this.arguments = name == "redis" ? ["--repl-diskless-sync-delay", "0", "--client-output-buffer-limit", "replica 0 0 0", .. arguments] : arguments;
            Writer = Start(cpu: 0);
            if (IsRedis) return;
            using var session = new Session(Writer.Port);
            mid = session.Call("MIMEI", "ID").Items[0].Text;
            session.Call("MIMEI", "PUBLISH", mid);
        }

        public string Name { get; }

        public Server Writer { get; }

        public bool IsRedis => Name == "redis";

        /// <summary>One that follows nobody yet.</summary>
        public Server Add()
        {
            Server follower = Start(cpu: 1);
            followers.Add(follower);
            return follower;
        }

        public void Remove(Server follower)
        {
            followers.Remove(follower);
            follower.Dispose();
        }

        /// <summary>One that follows another and has all that it has.</summary>
        public Server Follow(Server source)
        {
            Server follower = Add();
            Begin(follower, source.Port, source);
            Level();
            return follower;
        }

        /// <summary>Makes it follow what is behind a port.</summary>
        public void Begin(Server follower, int port, Server? source = null)
        {
            if (IsRedis)
            {
                Ask(follower, "REPLICAOF", "127.0.0.1", port.ToString(CultureInfo.InvariantCulture));
                return;
            }

            using var there = new Session((source ?? Writer).Port);
            string peer = there.Call("SWARM", "ID")["peer"].Text;
            Ask(follower, "MIMEI", "PROVIDE", mid, "FROM", $"/ip4/127.0.0.1/tcp/{port}/p2p/{peer}");
        }

        public Session.Reply Ask(Server server, params string[] words)
        {
            using var session = new Session(server.Port);
            return session.Call(words);
        }

        /// <summary>A connection that reads what is replicated; null: it is not there yet.</summary>
        public Session? TryOpen(Server server)
        {
            var session = new Session(server.Port);
            if (IsRedis || server == Writer || session.TryCall("MIMEI", "OPEN", mid).Text == "OK") return session;
            session.Dispose();
            return null;
        }

        /// <summary>Waits until a follower has so many keys.</summary>
        public void Await(Server follower, long count) => Poll(follower, session => session.TryCall("DBSIZE").Text == count.ToString(CultureInfo.InvariantCulture));

        /// <summary>Writes a word and waits until all followers have it.</summary>
        public void Level()
        {
            string mark = (++marks).ToString(CultureInfo.InvariantCulture);
            Ask(Writer, "SET", "mark", mark);
            foreach (Server follower in followers) Poll(follower, session => session.TryCall("GET", "mark").Text == mark);
            // The number of keys stays what the load made it.
            Ask(Writer, "DEL", "mark");
        }

        private void Poll(Server follower, Func<Session, bool> isThere)
        {
            var clock = Stopwatch.StartNew();
            Session? session = null;
            try
            {
                while (true)
                {
                    session ??= TryOpen(follower);
                    if (session is not null && isThere(session)) return;
                    if (clock.Elapsed.TotalSeconds > 200) throw new TimeoutException($"{Name}: a follower does not come level");
                    Thread.Sleep(1);
                }
            }
            finally
            {
                session?.Dispose();
            }
        }

        private Server Start(int cpu)
        {
            Server server = Server.Prepare(Name, log: true, out string note, arguments) ?? throw new InvalidOperationException(note);
            server.Cpu = cpu;
            try
            {
                server.Start();
                return server;
            }
            catch
            {
                server.Dispose();
                throw;
            }
        }

        public void Dispose()
        {
            Writer.Dispose();
            foreach (Server follower in followers) follower.Dispose();
        }

        /// <summary>The follower that is asked for what was written.</summary>
        public Server First => followers[0];
    }

    /// <summary>
    /// Writes at a steady pace whatever the servers do, every tenth of them to one key, and asks a follower for that key over and over: each value is counted from
    /// when its write was due to when it, or a later one, could be read.
    /// </summary>
    private sealed class LagProbe(Group group, int perSecond)
    {
        private const int Every = 10;

        private long[] due = [];
        private long start;

        public (double P50, double P99) Run(int seconds)
        {
            int writes = perSecond * seconds;
            due = new long[(writes / Every) + 1];
            start = Stopwatch.GetTimestamp() + (Stopwatch.Frequency / 10);
            for (int i = 0; i < due.Length; i++) due[i] = start + (long)((double)i * Every * Stopwatch.Frequency / perSecond);
            // From an earlier run there is a higher number.
            group.Ask(group.Writer, "DEL", "probe");
            group.Level();
            Exception? failure = null;
            var writer = new Thread(() =>
            {
                try
                {
                    Write(writes);
                }
                catch (Exception e) when (e is SocketException or IOException)
                {
                    failure = e;
                }
            });
            writer.Start();
            var taken = new List<double>(due.Length);
            using (Session reader = group.TryOpen(group.First) ?? throw new InvalidOperationException($"{group.Name}: the follower does not open"))
            {
                int seen = -1;
                while (seen < due.Length - 2 && failure is null)
                {
                    string value = reader.Call("GET", "probe").Text;
                    long now = Stopwatch.GetTimestamp();
                    int newest = value.Length == 0 ? -1 : int.Parse(value, CultureInfo.InvariantCulture);
                    for (; seen < newest; seen++) taken.Add((now - due[seen + 1]) * 1000.0 / Stopwatch.Frequency);
                    if ((now - start) / Stopwatch.Frequency > seconds + 60) throw new TimeoutException($"{group.Name}: a follower stays behind");
                    _ = Native.usleep(100);
                }
            }

            writer.Join();
            if (failure is not null) throw new IOException(failure.Message, failure);
            taken.Sort();
            return (taken[taken.Count / 2], taken[(int)(taken.Count * 0.99)]);
        }

        private void Write(int writes)
        {
            using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true, ReceiveTimeout = 30_000 };
            socket.Connect(IPAddress.Loopback, group.Writer.Port);
            var random = new Random();
            byte[] replies = new byte[64 * 1024];
            var batch = new StringBuilder();
            long wanted = 0, got = 0;
            for (int sent = 0; sent < writes;)
            {
                long now = Stopwatch.GetTimestamp();
                int until = (int)Math.Min(writes, Math.Max(0, (double)(now - start) * perSecond / Stopwatch.Frequency) + (now >= start ? 1 : 0));
                batch.Clear();
                for (; sent < until; sent++)
                {
                    if (sent % Every == 0)
                    {
                        string number = (sent / Every).ToString(CultureInfo.InvariantCulture);
                        batch.Append("*3\r\n$3\r\nSET\r\n$5\r\nprobe\r\n$").Append(number.Length).Append("\r\n").Append(number).Append("\r\n");
                    }
                    else
                    {
                        batch.Append("*3\r\n$3\r\nSET\r\n$16\r\nkey:").Append(random.Next(100_000).ToString("D12", CultureInfo.InvariantCulture)).Append("\r\n$32\r\n").Append('x', 32).Append("\r\n");
                    }

                    wanted += 5; // +OK
                }

                if (batch.Length > 0) socket.Send(Encoding.ASCII.GetBytes(batch.ToString()));
                while (socket.Available > 0) got += socket.Receive(replies);
                _ = Native.usleep(100);
            }

            while (got < wanted) got += socket.Receive(replies) is > 0 and var more ? more : throw new IOException("The server closed a connection");
        }
    }
}
