using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using Leither.MmDb;
using Leither.Node.Configuration;

namespace Leither.Node.CommandLine;

/// <summary>
/// <c>leither bench</c>: a quick look at how fast a server answers, Leither or Redis: closed loops of so many connections, each of which sends a pipeline and waits for all its
/// replies. It is no measurement to quote: server and load share the machine. bench/compare is for that.
/// </summary>
internal static class BenchCommand
{
    private const int DefaultConnections = 50, DefaultRequests = 100_000, DefaultKeys = 100_000, DefaultSize = 16;
    private const int BarWidth = 50;

    /// <summary>What all keys begin with that are written here, and taken away at the end.</summary>
    private const string Prefix = "leither-bench:";

    private static readonly (string Name, string[] Words)[] _works =
    [
        ("PING", ["PING"]),
        ("SET", ["SET", "{key}", "{value}"]),
        ("GET", ["GET", "{key}"]),
        ("INCR", ["INCR", "{counter}"]),
        ("HSET", ["HSET", "{hash}", "{field}", "{value}"]),
        ("LPUSH", ["LPUSH", "{list}", "{value}"]),
        ("SADD", ["SADD", "{set}", "{field}"]),
        ("ZADD", ["ZADD", "{zset}", "{number}", "{field}"]),
    ];

    /// <summary>The command, for the command line.</summary>
    /// <param name="outer">The options before the command's name.</param>
    public static Command Create(OuterOptions outer)
    {
        MimeiOptions options = new(outer);
        Option<string?> to = MimeiOptions.Address(new("--to") { Description = "A server instead of this machine's node: Leither, Redis, or what speaks its protocol", HelpName = "HOST:PORT" });
        Option<string?> only = new("--only") { Description = $"Works to run, commas between them [default: {string.Join(',', _works.Select(static w => w.Name))}]", HelpName = "WORK,…" };
        Option<long?> connections = MimeiOptions.Number(new("--connections", "-c") { Description = $"Connections [default: {DefaultConnections}]", HelpName = "N" }, 10_000);
        Option<long?> requests = MimeiOptions.Number(new("--requests", "-n") { Description = $"Requests of each work [default: {DefaultRequests}]", HelpName = "N" }, 1_000_000_000);
        Option<long?> pipeline = MimeiOptions.Number(new("--pipeline") { Description = "Requests that are sent before their replies are awaited [default: 1]", HelpName = "N" }, 10_000);
        Option<long?> size = MimeiOptions.Number(new("--size") { Description = $"Bytes of a value [default: {DefaultSize}]", HelpName = "BYTES" }, 1 << 20);
        Option<long?> keys = MimeiOptions.Number(new("--keys") { Description = $"Keys that are drawn from [default: {DefaultKeys}]", HelpName = "N" }, 1_000_000_000);
        MimeiVerb bench = new("bench", "", "Measures quickly how a server answers, and draws its latencies.")
        {
            Of = "",
            Details = $"""
                The server is the node of the data folder; where none runs, a node of its own in a temporary folder. Server and load
                share the machine's processors, so the figures are a hint; a fifth of the requests is sent before and not counted. Keys begin with {Prefix} and are deleted at the end.
                A password is taken from ${NodeClient.PasswordVariable}.
                """,
            Json = """
                {"server": text, "connections": number, "pipeline": number, "size": bytes, "works": [{"work": text, "requests": number, "errors": number, "per_s": number,
                 "p50_us": number, "p90_us": number, "p99_us": number, "p999_us": number, "max_us": number, "histogram": [{"up_to_us": number, "share": number}]}]}
                """,
            Examples = ["bench", "bench --pipeline 16", "bench --to redis.example:6379 --only GET,SET --json"],
        };
        foreach (Option option in (Option[])[options.Data, options.Port, options.User, to, only, connections, requests, pipeline, size, keys, options.Json])
        {
            bench.Options.Add(option);
        }

        bench.SetAction(result =>
        {
            MimeiOutput output = new(result.GetValue(options.Json));
            try
            {
                _ = bench.Words(result, 0, 0);
                string[] names = result.GetValue(only)?.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries) ?? [.. _works.Select(static w => w.Name)];
                if (names.FirstOrDefault(static n => !_works.Any(w => w.Name.Equals(n, StringComparison.OrdinalIgnoreCase))) is { } unknown)
                {
                    throw bench.Misused($"There is no work {unknown}: it is one of {string.Join(", ", _works.Select(static w => w.Name))}");
                }

                Load load = new(
                    (int)(result.GetValue(connections) ?? DefaultConnections), result.GetValue(requests) ?? DefaultRequests, (int)(result.GetValue(pipeline) ?? 1),
                    (int)(result.GetValue(size) ?? DefaultSize), result.GetValue(keys) ?? DefaultKeys, options.PlaceOf(result).User);
                using Target target = Target.Find(options.PlaceOf(result), result.GetValue(to));
                Run(target, load, [.. _works.Where(w => names.Contains(w.Name, StringComparer.OrdinalIgnoreCase))], output);
                return 0;
            }
            catch (CommandLineException e)
            {
                output.Fail(e.Message);
                return e.ExitCode;
            }
            catch (Exception e) when (e is SocketException or InvalidDataException or IOException)
            {
                output.Fail($"The server does not answer: {e.Message}");
                return 1;
            }
        });
        return bench;
    }

    private static void Run(Target target, Load load, (string Name, string[] Words)[] works, MimeiOutput output)
    {
        JsonArray all = [];
        if (!output.AsJson)
        {
            output.Line($"{target.Name}: {load.Connections} connections, pipeline {load.Pipeline}, {MimeiOutput.Number(load.Requests)} requests each, values of {load.Size} bytes");
        }

        try
        {
            foreach ((string name, string[] words) in works)
            {
                // Until it has run for a while, a managed server's code is not what it will be.
                _ = Runner.Run(target, load with { Requests = Math.Max(1, load.Requests / 5) }, words);
                Result result = Runner.Run(target, load, words);
                if (output.AsJson)
                {
                    all.Add((JsonNode)ToJson(name, load, result));
                }
                else
                {
                    Print(output, name, load, result);
                }
            }
        }
        finally
        {
            CleanUp(target, load);
        }

        if (output.AsJson)
        {
            MimeiOutput.Json(new JsonObject { ["server"] = target.Name, ["connections"] = load.Connections, ["pipeline"] = load.Pipeline, ["size"] = load.Size, ["works"] = all });
        }
    }

    private static void Print(MimeiOutput output, string name, Load load, Result result)
    {
        output.Colored("bold", $"\n{name,-6}", string.Create(
            CultureInfo.InvariantCulture,
            $"{result.PerSecond,12:N0} /s   p50 {Us(result, 50)}   p90 {Us(result, 90)}   p99 {Us(result, 99)}   p99.9 {Us(result, 99.9)}   longest {Time(result.MaxNanoseconds / 1000.0)}"));
        if (result.Errors > 0)
        {
            output.Colored("red", "      ", $"{MimeiOutput.Number(result.Errors)} of {MimeiOutput.Number(load.Requests)} replies are errors: {result.FirstError}");
        }

        foreach ((double upTo, double share) in Shares(result.Times))
        {
            // Eighths of a block make a bar finer than characters are.
            int eighths = (int)Math.Round(share * BarWidth * 8);
            string bar = new string('█', eighths / 8) + (eighths % 8 == 0 ? "" : ((char)('█' + 8 - (eighths % 8))).ToString());
            output.Colored("blue", string.Create(CultureInfo.InvariantCulture, $"  {"≤ " + Time(upTo),10}  "), string.Create(CultureInfo.InvariantCulture, $"{share * 100,5:0.0} %  {(bar.Length == 0 ? "▏" : bar)}"));
        }
    }

    /// <summary>The share of requests in each doubling of time.</summary>
    private static IEnumerable<(double UpToUs, double Share)> Shares(LatencyHistogram times)
    {
        long before = 0;
        foreach ((long microseconds, long count) in times.Doublings())
        {
            yield return (microseconds + 1, (count - before) / (double)times.Count);
            before = count;
        }
    }

    private static string Us(Result result, double percentile) => Time(result.Times.Percentile(percentile) / 1000.0);

    private static string Time(double microseconds) => microseconds < 1000 ? string.Create(CultureInfo.InvariantCulture, $"{microseconds:0} µs")
        : string.Create(CultureInfo.InvariantCulture, $"{microseconds / 1000:0.0} ms");

    private static JsonObject ToJson(string name, Load load, Result result)
    {
        JsonArray histogram = [];
        foreach ((double upTo, double share) in Shares(result.Times))
        {
            histogram.Add((JsonNode)new JsonObject { ["up_to_us"] = upTo, ["share"] = Math.Round(share, 5) });
        }

        return new JsonObject
        {
            ["work"] = name,
            ["requests"] = load.Requests,
            ["errors"] = result.Errors,
            ["per_s"] = Math.Round(result.PerSecond),
            ["p50_us"] = Math.Round(result.Times.Percentile(50) / 1000.0, 1),
            ["p90_us"] = Math.Round(result.Times.Percentile(90) / 1000.0, 1),
            ["p99_us"] = Math.Round(result.Times.Percentile(99) / 1000.0, 1),
            ["p999_us"] = Math.Round(result.Times.Percentile(99.9) / 1000.0, 1),
            ["max_us"] = Math.Round(result.MaxNanoseconds / 1000.0, 1),
            ["histogram"] = histogram,
        };
    }

    private static void CleanUp(Target target, Load load)
    {
        using NodeClient client = target.Connect(load.User);
        string cursor = "0";
        do
        {
            client.Send(["SCAN", cursor, "MATCH", Prefix + "*", "COUNT", "1000"]);
            if (client.Read() is not { IsError: false } reply)
            {
                return;
            }

            cursor = reply[0].Text;
            if (reply[1].Elements.Count > 0)
            {
                client.Send(["UNLINK", .. reply[1].Elements.Select(static k => k.Text)]);
                _ = client.Read();
            }
        }
        while (cursor != "0");
    }

    /// <summary>What a run is asked to do.</summary>
    private sealed record Load(int Connections, long Requests, int Pipeline, int Size, long Keys, string? User);

    /// <summary>What a run found.</summary>
    private sealed record Result(LatencyHistogram Times, double PerSecond, long MaxNanoseconds, long Errors, string FirstError);

    /// <summary>The server that is asked; one of its own goes when this is disposed.</summary>
    private sealed class Target : IDisposable
    {
        private readonly RunningNode _node;
        private readonly Process? _own;
        private readonly string? _folder;

        private Target(RunningNode node, string name, Process? own = null, string? folder = null)
        {
            _node = node;
            Name = name;
            _own = own;
            _folder = folder;
        }

        public string Name { get; }

        public static Target Find(NodePlace place, string? to)
        {
            if (to is not null)
            {
                _ = MimeiOptions.TrySplit(to, out string host, out int port);
                return new Target(new RunningNode(0, host, port, null, ""), to);
            }

            if (place.Port is { } own)
            {
                return new Target(new RunningNode(0, IPAddress.Loopback.ToString(), own, null, ""), $"port {own}");
            }

            string folder = place.Folder ?? DataFolder.Default;
            return DataFolder.IsHeld(folder) && DataFolder.Find(folder) is { } node ? new Target(node, $"the node of {Path.GetFullPath(folder)}") : StartOwn();
        }

        /// <summary>A connection, logged in.</summary>
        public NodeClient Connect(string? user)
        {
            NodeClient client = NodeClient.Connect(_node);
            string? password = Environment.GetEnvironmentVariable(NodeClient.PasswordVariable);
            if (user is not null || !string.IsNullOrEmpty(password))
            {
                client.Send(user is null ? ["AUTH", password!] : ["AUTH", user, password ?? ""]);
                if (client.Read() is not { IsError: false })
                {
                    client.Dispose();
                    throw new CommandLineException($"The server lets nobody in with that name and password. Put the password into ${NodeClient.PasswordVariable}");
                }
            }

            return client;
        }

        public void Dispose()
        {
            if (_own is null)
            {
                return;
            }

            _own.Kill();
            _own.WaitForExit();
            _own.Dispose();
            Directory.Delete(_folder!, recursive: true);
        }

        private static Target StartOwn()
        {
            string folder = Directory.CreateTempSubdirectory("leither-bench-").FullName;
            int port;
            using (Socket probe = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp))
            {
                probe.Bind(new IPEndPoint(IPAddress.Loopback, 0));
                port = ((IPEndPoint)probe.LocalEndPoint!).Port;
            }

            string program = Environment.ProcessPath!;
            string[] command = Path.GetFileNameWithoutExtension(program) == "dotnet" ? [Environment.GetCommandLineArgs()[0]] : [];
            ProcessStartInfo start = new(program, [.. command, "run", "--bind", "127.0.0.1", "-p", port.ToString(CultureInfo.InvariantCulture), "--data", folder, "--swarm", "no", "--loglevel", "nothing"])
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            };
            Process node = Process.Start(start)!;
            _ = node.StandardOutput.ReadToEndAsync();
            Task<string> error = node.StandardError.ReadToEndAsync();
            RunningNode? running;
            while ((running = DataFolder.Find(folder)) is null)
            {
                if (node.WaitForExit(TimeSpan.FromMilliseconds(10)))
                {
                    Directory.Delete(folder, recursive: true);
                    throw new CommandLineException($"A node to measure does not start: {error.GetAwaiter().GetResult()}");
                }
            }

            return new Target(running, "a node of its own, in a temporary folder", node, folder);
        }
    }

    /// <summary>One thread that drives its share of the connections.</summary>
    private sealed class Runner
    {
        private readonly List<Connection> _connections = [];
        private readonly Load _load;
        private readonly string[] _words;
        private readonly Random _random;
        private readonly string _value;
        private long _left;

        private Runner(Target target, Load load, string[] words, int connections, long requests, int seed)
        {
            _load = load;
            _words = words;
            _left = requests;
            _random = new Random(seed);
            _value = new string('x', load.Size);
            for (int i = 0; i < connections; i++)
            {
                _connections.Add(new Connection(target.Connect(load.User)));
            }
        }

        private LatencyHistogram Times { get; } = new();

        private long Longest { get; set; }

        private long Errors { get; set; }

        private string FirstError { get; set; } = "";

        private Exception? Failed { get; set; }

        public static Result Run(Target target, Load load, string[] words)
        {
            int threads = Math.Clamp(Environment.ProcessorCount / 2, 1, Math.Min(8, load.Connections));
            Runner[] runners = [.. Enumerable.Range(0, threads).Select(i => new Runner(
                target, load, words, (load.Connections / threads) + (i < load.Connections % threads ? 1 : 0), (load.Requests / threads) + (i < load.Requests % threads ? 1 : 0), i))];
            Stopwatch clock = Stopwatch.StartNew();
            Thread[] running = [.. runners.Select(static r => new Thread(r.Drive) { IsBackground = true, Name = "bench" })];
            foreach (Thread thread in running)
            {
                thread.Start();
            }

            foreach (Thread thread in running)
            {
                thread.Join();
            }

            double seconds = clock.Elapsed.TotalSeconds;
            foreach (Runner runner in runners)
            {
                runner._connections.ForEach(static c => c.Dispose());
            }

            if (runners.FirstOrDefault(static r => r.Failed is not null) is { } failed)
            {
                throw new InvalidDataException(failed.Failed!.Message, failed.Failed);
            }

            LatencyHistogram times = runners[0].Times;
            foreach (Runner other in runners.Skip(1))
            {
                times.Add(other.Times);
            }

            return new Result(times, load.Requests / seconds, runners.Max(static r => r.Longest), runners.Sum(static r => r.Errors), runners.Select(static r => r.FirstError).FirstOrDefault(static e => e.Length > 0) ?? "");
        }

        private void Drive()
        {
            try
            {
                foreach (Connection connection in _connections)
                {
                    Send(connection);
                }

                List<Socket> ready = [];
                Dictionary<Socket, Connection> bySocket = _connections.ToDictionary(static c => c.Socket);
                while (bySocket.Values.Any(static c => c.Awaited > 0))
                {
                    ready.Clear();
                    ready.AddRange(bySocket.Values.Where(static c => c.Awaited > 0).Select(static c => c.Socket));
                    Socket.Select(ready, null, null, TimeSpan.FromSeconds(30));
                    if (ready.Count == 0)
                    {
                        throw new InvalidDataException("no reply came for 30 seconds");
                    }

                    foreach (Socket socket in ready)
                    {
                        Receive(bySocket[socket]);
                    }
                }
            }
            catch (Exception e) when (e is SocketException or InvalidDataException)
            {
                Failed = e;
            }
        }

        private void Receive(Connection connection)
        {
            int replies = connection.Receive(out string? error, out int errors);
            Errors += errors;
            FirstError = FirstError.Length == 0 && error is not null ? error : FirstError;
            connection.Awaited -= replies;
            if (connection.Awaited > 0)
            {
                return;
            }

            long took = (long)((Stopwatch.GetTimestamp() - connection.SentAt) * (1e9 / Stopwatch.Frequency));
            Times.Record(took, connection.Sent);
            Longest = Math.Max(Longest, took);
            Send(connection);
        }

        private void Send(Connection connection)
        {
            int count = (int)Math.Min(_load.Pipeline, _left);
            _left -= count;
            connection.Awaited = connection.Sent = count;
            if (count == 0)
            {
                return;
            }

            StringBuilder request = new();
            for (int i = 0; i < count; i++)
            {
                request.Append(CultureInfo.InvariantCulture, $"*{_words.Length}\r\n");
                foreach (string word in _words)
                {
                    string text = word[0] == '{' ? Draw(word) : word;
                    request.Append(CultureInfo.InvariantCulture, $"${text.Length}\r\n{text}\r\n");
                }
            }

            byte[] bytes = Encoding.ASCII.GetBytes(request.ToString());
            connection.SentAt = Stopwatch.GetTimestamp();
            connection.Client.Send(bytes);
        }

        private string Draw(string what)
        {
            long number = _random.NextInt64(_load.Keys);
            return what switch
            {
                "{value}" => _value,
                "{field}" or "{number}" => number.ToString(CultureInfo.InvariantCulture),
                _ => string.Create(CultureInfo.InvariantCulture, $"{Prefix}{what[1..^1]}:{number:D12}"),
            };
        }
    }

    /// <summary>A connection of the load. Replies are counted, not kept.</summary>
    private sealed class Connection(NodeClient client) : IDisposable
    {
        private readonly byte[] _input = new byte[64 * 1024];
        private int _length;
        private long _skip;

        public NodeClient Client => client;

        public Socket Socket => client.Socket;

        public int Awaited { get; set; }

        public int Sent { get; set; }

        public long SentAt { get; set; }

        /// <summary>Takes what has come; returns how many replies ended in it.</summary>
        public int Receive(out string? error, out int errors)
        {
            (error, errors) = (null, 0);
            int received = Socket.Receive(_input.AsSpan(_length));
            _length += received > 0 ? received : throw new InvalidDataException("it closed the connection");
            int at = 0, replies = 0;
            while (at < _length)
            {
                if (_skip > 0)
                {
                    int skipped = (int)Math.Min(_skip, _length - at);
                    at += skipped;
                    _skip -= skipped;
                    replies += _skip == 0 ? 1 : 0;
                    continue;
                }

                int end = _input.AsSpan(at, _length - at).IndexOf("\r\n"u8);
                if (end < 0)
                {
                    break;
                }

                ReadOnlySpan<byte> line = _input.AsSpan(at, end);
                at += end + 2;
                switch (line.IsEmpty ? (byte)0 : line[0])
                {
                    case (byte)'+' or (byte)':':
                        replies++;
                        break;
                    case (byte)'-':
                        replies++;
                        errors++;
                        error ??= Encoding.UTF8.GetString(line[1..]);
                        break;
                    case (byte)'$' when long.TryParse(line[1..], CultureInfo.InvariantCulture, out long length):
                        _skip = length < 0 ? 0 : length + 2;
                        replies += length < 0 ? 1 : 0;
                        break;
                    default:
                        throw new InvalidDataException("the answer is not RESP");
                }
            }

            _input.AsSpan(at, _length - at).CopyTo(_input);
            _length -= at;
            return replies;
        }

        public void Dispose() => client.Dispose();
    }
}
