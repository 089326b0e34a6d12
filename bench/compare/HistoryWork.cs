// History: what a hundred versions take on the disk and give back, beside a git repository of the same data; and what making versions does to the latency of
// clients that write at a steady rate.

using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;

namespace Leither.Compare;

/// <summary>Many versions of one MiMei.</summary>
internal sealed class HistoryWork(Server server, int keys)
{
    private const double Mega = 1e6;

    /// <summary>What a history takes.</summary>
    /// <param name="FirstMb">The first version.</param>
    /// <param name="AllMb">All of them.</param>
    /// <param name="LeftMb">What is left when nine of ten were deleted and their blocks collected.</param>
    /// <param name="BackupMs">One version, on average.</param>
    public readonly record struct Taken(double FirstMb, double AllMb, double LeftMb, double BackupMs);

    /// <summary>Versions, each after changes to one percent of the keys.</summary>
    /// <param name="versions">How many.</param>
    /// <param name="neighbours">Whether the keys that change follow each other; otherwise they are anywhere.</param>
    public Taken Run(int versions, bool neighbours)
    {
        ulong first = Backup();
        double one = Stored();
        var clock = new Stopwatch();
        for (int i = 1; i < versions; i++)
        {
            ulong? from = neighbours ? (ulong)Random.Shared.Next(keys - (keys / 100)) : null;
            new LoadGenerator().Run(server.Port, Works.Fresh(keys, from), 1, 64, keys / 100, seed: (ulong)Random.Shared.NextInt64());
            clock.Start();
            Backup();
            clock.Stop();
        }

        double all = Stored();
        // The newest tenth stays.
        string old = string.Join(' ', Enumerable.Range(0, versions * 9 / 10).Select(i => (first + (ulong)i).ToString(CultureInfo.InvariantCulture)));
        Expect(server.Call($"MIMEI DELVERS {old}"));
        return new Taken(one / Mega, all / Mega, Settled() / Mega, clock.Elapsed.TotalMilliseconds / (versions - 1));
    }

    private ulong Backup() => ulong.Parse(Expect(server.Call("MIMEI BACKUP")).AsSpan(1), CultureInfo.InvariantCulture);

    private static string Expect(string reply) => reply.StartsWith('-') ? throw new InvalidOperationException(reply.Trim()) : reply.Trim();

    /// <summary>Bytes of blocks, when collection is through.</summary>
    private double Settled()
    {
        double last = Stored();
        for (int quiet = 0; quiet < 20;)
        {
            Thread.Sleep(250);
            double now = Stored();
            quiet = now == last ? quiet + 1 : 0;
            last = now;
        }

        return last;
    }

    private double Stored() => new DirectoryInfo(server.Folder).EnumerateFiles("*", SearchOption.AllDirectories)
        .Where(static f => f.Directory!.Name == "blocks").Sum(static f => f.Exists ? f.Length : 0);
}

/// <summary>A git repository of the same data: lines of key and value in order, in files of so many lines as a leaf of the state has.</summary>
internal sealed class GitWork(string folder, int keys)
{
    private const int KeysInFile = 64;

    private readonly byte[][] _values = [.. Enumerable.Range(0, keys).Select(static _ => Draw())];

    /// <summary>Milliseconds for the first commit and for one after changes to one percent of the keys, MB as written and after <c>git gc</c>. Null: there is no git.</summary>
    public (double FirstMs, double Ms, double FirstMb, double Mb, double PackedMb)? Run(int versions, bool neighbours)
    {
        try
        {
            Git("init -q");
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return null;
        }

        for (int file = 0; file * KeysInFile < keys; file++) WriteFile(file);
        var clock = Stopwatch.StartNew();
        Commit();
        double first = clock.Elapsed.TotalMilliseconds, firstMb = Stored();
        clock.Reset();
        for (int i = 1; i < versions; i++)
        {
            var touched = new HashSet<int>();
            int from = Random.Shared.Next(keys - (keys / 100));
            for (int n = 0; n < keys / 100; n++)
            {
                int key = neighbours ? from + n : Random.Shared.Next(keys);
                _values[key] = Draw();
                touched.Add(key / KeysInFile);
            }

            foreach (int file in touched) WriteFile(file);
            clock.Start();
            Commit();
            clock.Stop();
        }

        double loose = Stored();
        Git("gc -q");
        return (first, clock.Elapsed.TotalMilliseconds / (versions - 1), firstMb, loose, Stored());
    }

    private void Commit()
    {
        Git("add -A");
        Git("-c user.name=a -c user.email=a@b -c gc.auto=0 commit -q -m version");
    }

    private void WriteFile(int file)
    {
        string path = Path.Combine(folder, (file / 256).ToString("x3", CultureInfo.InvariantCulture), (file % 256).ToString("x2", CultureInfo.InvariantCulture));
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        using FileStream stream = File.Create(path);
        for (int key = file * KeysInFile; key < Math.Min(keys, (file + 1) * KeysInFile); key++)
        {
            stream.Write(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"key:{key:D12} ")));
            stream.Write(_values[key]);
            stream.WriteByte((byte)'\n');
        }
    }

    private static byte[] Draw()
    {
        var value = new byte[32];
        Random.Shared.GetItems("abcdefghijklmnop"u8, value);
        return value;
    }

    private void Git(string arguments)
    {
        using Process git = Process.Start(new ProcessStartInfo("git", arguments) { WorkingDirectory = folder, RedirectStandardOutput = true })!;
        git.StandardOutput.ReadToEnd();
        git.WaitForExit();
    }

    private double Stored() => new DirectoryInfo(Path.Combine(folder, ".git")).EnumerateFiles("*", SearchOption.AllDirectories)
        // A file of a repository takes whole blocks of the disk.
        .Sum(static f => Math.Ceiling(f.Length / 4096.0) * 4096) / 1e6;
}

/// <summary>
/// Clients that write at a steady rate whatever the server does (an open loop): what is due is sent, answered before or not, and a write's latency counts from when it
/// was due. One thread, so that it competes with the server as little as may be.
/// </summary>
internal sealed unsafe class SteadyWrites(Server server, int keys, int perSecond)
{
    private const int Connections = 10, TicksPerSecond = 1000, ReplyBytes = 5;

    private sealed class Client(int fd)
    {
        public readonly int Fd = fd;

        /// <summary>Ticks that were sent whole, and those that were answered.</summary>
        public int Sent, Answered;

        /// <summary>Bytes of the first tick not sent whole, and of the first not answered whole.</summary>
        public int SentBytes, AnsweredBytes;
    }

    /// <summary>Latencies in milliseconds at some seconds' worth of writes: 99 of 100 are below the first, all below the second.</summary>
    /// <param name="seconds">How long.</param>
    /// <param name="backupEverySeconds">How often a version is made meanwhile; 0: never.</param>
    public (double P99, double Longest, int Versions) Run(int seconds, int backupEverySeconds)
    {
        int versions = 0;
        using var stop = new CancellationTokenSource();
        var backups = new Thread(() =>
        {
            while (!stop.Token.WaitHandle.WaitOne(TimeSpan.FromSeconds(backupEverySeconds)))
            {
                string reply = server.Call("MIMEI BACKUP");
                if (reply.StartsWith(':')) versions++;
            }
        });
        if (backupEverySeconds > 0) backups.Start();

        double[] latencies = Send(seconds * TicksPerSecond);
        stop.Cancel();
        if (backupEverySeconds > 0) backups.Join();
        Array.Sort(latencies);
        return (latencies[latencies.Length * 99 / 100], latencies[^1], versions);
    }

    private double[] Send(int ticks)
    {
        int batch = perSecond / TicksPerSecond / Connections, epoll = Native.epoll_create1(0);
        var clients = new Client[Connections];
        for (int i = 0; i < Connections; i++)
        {
            clients[i] = new Client(Native.Connect(server.Port));
            var wanted = new Native.EpollEvent(Native.EpollIn, i);
            _ = Native.epoll_ctl(epoll, Native.EpollAdd, clients[i].Fd, &wanted);
        }

        // Made before, so that the load costs the machine little.
        byte[][] requests = [.. Enumerable.Range(0, 100_000).Select(_ => Encoding.ASCII.GetBytes(string.Concat(Enumerable.Range(0, batch).Select(_ => string.Create(
            CultureInfo.InvariantCulture,
            $"*3\r\n$3\r\nSET\r\n$16\r\nkey:{Random.Shared.Next(keys):D12}\r\n$32\r\n{Random.Shared.NextInt64():x16}{Random.Shared.NextInt64():x16}\r\n")))))];
        var latencies = new double[ticks * Connections];
        int measured = 0;
        byte* input = stackalloc byte[1 << 16];
        Native.EpollEvent* events = stackalloc Native.EpollEvent[Connections];
        long start = Stopwatch.GetTimestamp(), perTick = Stopwatch.Frequency / TicksPerSecond;
        while (measured < latencies.Length)
        {
            int due = (int)Math.Min(ticks, 1 + ((Stopwatch.GetTimestamp() - start) / perTick));
            for (int i = 0; i < Connections; i++)
            {
                SendDue(clients[i], i, due);
            }

            int ready = Native.epoll_wait(epoll, events, Connections, 1);
            long now = Stopwatch.GetTimestamp();
            for (int e = 0; e < ready; e++)
            {
                Client client = clients[events[e].Index];
                nint got = Native.recv(client.Fd, input, 1 << 16, 0);
                if (got <= 0) throw new IOException("The server closed a connection");
                for (client.AnsweredBytes += (int)got; client.AnsweredBytes >= batch * ReplyBytes; client.AnsweredBytes -= batch * ReplyBytes)
                {
                    latencies[measured++] = (now - (start + (client.Answered++ * perTick))) * 1000.0 / Stopwatch.Frequency;
                }
            }
        }

        foreach (Client client in clients) _ = Native.close(client.Fd);
        _ = Native.close(epoll);
        return latencies;

        void SendDue(Client client, int index, int due)
        {
            while (client.Sent < due)
            {
                byte[] request = requests[((client.Sent * Connections) + index) % requests.Length];
                fixed (byte* bytes = request)
                {
                    nint sent = Native.send(client.Fd, bytes + client.SentBytes, (nuint)(request.Length - client.SentBytes), Native.NoSignal);
                    if (sent < 0 && Marshal.GetLastPInvokeError() != Native.Again) throw new IOException("The server closed a connection");
                    client.SentBytes += (int)Math.Max(0, sent);
                }

                if (client.SentBytes < request.Length) return;
                client.SentBytes = 0;
                client.Sent++;
            }
        }
    }
}
