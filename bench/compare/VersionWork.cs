// Versions: what MIMEI BACKUP takes after so many changes, what it stores, what clients feel of it, and what opening and comparing take; beside
// redis-server's BGSAVE, which writes everything each time.

using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Leither.Compare;

/// <summary>Measures versions on a running node, and snapshots on a running redis-server.</summary>
internal sealed class VersionWork(Server server, int keys, int rounds)
{
    /// <summary>What one snapshot took.</summary>
    /// <param name="Ms">Until it was made.</param>
    /// <param name="CpuMs">Processor time of the server meanwhile, that of answering the probe included.</param>
    /// <param name="NewMb">What it stored, in MB.</param>
    /// <param name="LongestMs">The longest that a client which asks one GET after another had to wait.</param>
    public readonly record struct Taken(double Ms, double CpuMs, double NewMb, double LongestMs);

    /// <summary>A snapshot after so many changes, each time; medians.</summary>
    /// <param name="changes">Keys set before each, at random places; 0: none.</param>
    /// <param name="neighbours">Whether the keys follow each other.</param>
    public Taken Snapshot(int changes, bool neighbours = false)
    {
        var taken = new List<Taken>();
        for (int round = 0; round < rounds; round++)
        {
            if (changes > 0)
            {
                Work work = Works.Fresh(keys, neighbours ? (ulong)Random.Shared.Next(keys - changes) : null);
                new LoadGenerator().Run(server.Port, work, 1, 16, changes, seed: (ulong)Random.Shared.NextInt64());
            }

            taken.Add(One());
        }

        return new Taken(Median(taken, t => t.Ms), Median(taken, t => t.CpuMs), Median(taken, t => t.NewMb), Median(taken, t => t.LongestMs));
    }

    /// <summary>Milliseconds that an inline command takes on a connection of its own, after others.</summary>
    public double Time(params string[] commands)
    {
        using var client = new Client(server.Port);
        var clock = Stopwatch.StartNew();
        foreach (string command in commands)
        {
            string reply = client.Call(command);
            if (reply.StartsWith('-'))
            {
                throw new InvalidOperationException($"{command}: {reply.Trim()}");
            }
        }

        return clock.Elapsed.TotalMilliseconds;
    }

    private Taken One()
    {
        bool isRedis = server.Name == "redis";
        using var stop = new CancellationTokenSource();
        double longest = 0;
        var probe = new Thread(() =>
        {
            using var client = new Client(server.Port);
            while (!stop.IsCancellationRequested)
            {
                long sent = Stopwatch.GetTimestamp();
                client.Call("GET key:" + Random.Shared.Next(keys).ToString("D12", CultureInfo.InvariantCulture));
                longest = Math.Max(longest, Stopwatch.GetElapsedTime(sent).TotalMilliseconds);
            }
        });
        probe.Start();
        Thread.Sleep(50);
        long before = Stored();
        double cpu = server.CpuSeconds();
        var clock = Stopwatch.StartNew();
        using (var client = new Client(server.Port))
        {
            string reply = client.Call(isRedis ? "BGSAVE" : "MIMEI BACKUP");
            if (reply.StartsWith('-'))
            {
                throw new InvalidOperationException(reply.Trim());
            }

            while (isRedis && server.Info("persistence", "rdb_bgsave_in_progress") != 0)
            {
                Thread.Sleep(1);
            }
        }

        double ms = clock.Elapsed.TotalMilliseconds;
        cpu = server.CpuSeconds() - cpu;
        stop.Cancel();
        probe.Join();
        return new Taken(ms, cpu * 1000, (isRedis ? Stored() : Stored() - before) / 1e6, longest);
    }

    /// <summary>Bytes of blocks, or of the snapshot.</summary>
    private long Stored() => new DirectoryInfo(server.Folder).EnumerateFiles("*", SearchOption.AllDirectories)
        .Where(f => f.Directory!.Name == "blocks" || f.Extension == ".rdb").Sum(static f => f.Exists ? f.Length : 0);

    private static double Median(List<Taken> taken, Func<Taken, double> value)
    {
        double[] sorted = [.. taken.Select(value).Order()];
        return sorted[sorted.Length / 2];
    }

    /// <summary>One connection that sends a command and waits for its reply's first line.</summary>
    private sealed class Client : IDisposable
    {
        private readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true, ReceiveTimeout = 600_000 };
        private readonly byte[] _buffer = new byte[1 << 20];

        public Client(int port) => _socket.Connect(IPAddress.Loopback, port);

        public string Call(string command)
        {
            _socket.Send(Encoding.ASCII.GetBytes(command + "\r\n"));
            int got = 0;
            do
            {
                int more = _socket.Receive(_buffer.AsSpan(got), SocketFlags.None);
                got += more > 0 ? more : throw new IOException("closed");
            }
            while (_buffer[got - 1] != '\n');
            return Encoding.ASCII.GetString(_buffer, 0, got);
        }

        public void Dispose() => _socket.Dispose();
    }
}
