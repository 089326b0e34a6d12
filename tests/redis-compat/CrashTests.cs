// A real process is killed at random moments under load. What was acknowledged must be there after the restart, in the
// order it was written, and what was half done must not. A killed process takes nothing with it that it has written to
// the file, so the promise is the same for every appendfsync: a reply leaves only after the write.

using System.Diagnostics;
using System.Globalization;
using Leither.TestKit;
using Xunit;

namespace Leither.RedisCompat;

public sealed class CrashTests
{
    private const int Writers = 4;
    private const int BatchSize = 40;
    private const int Slots = 16;

    [Theory]
    [InlineData("always", false)]
    [InlineData("everysec", false)]
    [InlineData("no", false)]
    [InlineData("everysec", true)]
    [InlineData("always", true)]
    public void Nothing_acknowledged_is_lost_when_the_process_is_killed(string appendfsync, bool whileSaving) => Seed.Run(random =>
    {
        using LeitherServer server = LeitherServer.StartNew("--appendfsync", appendfsync);
        Writer[] writers = [.. Enumerable.Range(0, Writers).Select(i => new Writer(i))];
        int kills = Seed.IsLong ? 60 : 2;
        for (int kill = 0; kill < kills; kill++)
        {
            using var stop = new CancellationTokenSource();
            Task[] loads = [.. writers.Select((writer, i) => Load(server.Port, writer, random.Next(), stop.Token))];
            Task saving = whileSaving ? Save(server.Port, stop.Token) : Task.CompletedTask;
            // However slow the machine is, the kill meets a load; when within it, chance decides.
            long[] before = [.. writers.Select(static w => w.Acknowledged)];
            Wait.Until(() => writers.Zip(before).All(static w => w.First.Acknowledged > w.Second) || loads.Any(static l => l.IsCompleted));
            Thread.Sleep(random.Next(20, 700));
            server.Kill();
            stop.Cancel();
            Task.WaitAll([.. loads, saving]);

            server.Start();
            using RespClient client = server.Connect();
            foreach (Writer writer in writers) Check(client, writer, $"kill {kill + 1} with appendfsync {appendfsync}");
        }

        Assert.All(writers, static w => Assert.True(w.Acknowledged > 0, "No load reached the server before it was killed"));
    });

    // One connection's operations: number i sets one of its slots to i, appends i to its list, and in one transaction
    // adds 1 to two counters.
    private sealed class Writer(int id)
    {
        private long _acknowledged;

        public long Next;

        /// <summary>Counted by the load, watched by the test.</summary>
        public long Acknowledged { get => Volatile.Read(ref _acknowledged); set => Volatile.Write(ref _acknowledged, value); }

        public string Key(string name) => $"{name}:{id}";
    }

    private static Task Load(int port, Writer writer, int seed, CancellationToken stop) => Task.Factory.StartNew(
        () =>
        {
            var random = new Random(seed);
            try
            {
                using RespClient client = RespClient.Connect(port);
                while (!stop.IsCancellationRequested)
                {
                    int count = random.Next(1, BatchSize);
                    for (int i = 0; i < count; i++)
                    {
                        string number = writer.Next.ToString(CultureInfo.InvariantCulture);
                        client.Queue("SET", writer.Key($"slot{writer.Next % Slots}"), number);
                        client.Queue("RPUSH", writer.Key("list"), number);
                        client.Queue("MULTI");
                        client.Queue("INCR", writer.Key("one"));
                        client.Queue("INCR", writer.Key("other"));
                        client.Queue("EXEC");
                        writer.Next++;
                    }

                    client.Flush();
                    for (int i = 0; i < count; i++)
                    {
                        for (int reply = 0; reply < 6; reply++)
                        {
                            RespValue value = client.Read();
                            if (value.IsError) throw new InvalidOperationException($"The load was refused: {value}");
                        }

                        writer.Acknowledged++;
                    }
                }
            }
            catch (Exception e) when (e is IOException or System.Net.Sockets.SocketException)
            {
                // The server was killed: what this test is about.
            }
        },
        CancellationToken.None,
        TaskCreationOptions.LongRunning,
        TaskScheduler.Default);

    private static Task Save(int port, CancellationToken stop) => Task.Factory.StartNew(
        () =>
        {
            try
            {
                using RespClient client = RespClient.Connect(port);
                while (!stop.IsCancellationRequested)
                {
                    client.Call("BGSAVE");
                    Thread.Sleep(5);
                }
            }
            catch (Exception e) when (e is IOException or System.Net.Sockets.SocketException)
            {
                // As above.
            }
        },
        CancellationToken.None,
        TaskCreationOptions.LongRunning,
        TaskScheduler.Default);

    private static void Check(RespClient client, Writer writer, string when)
    {
        RespValue list = client.Call("LRANGE", writer.Key("list"), "0", "-1");
        long length = list.Items.Length;
        string who = $"{writer.Key("list")} after {when}";
        Assert.True(length >= writer.Acknowledged, $"{who}: {writer.Acknowledged} operations were acknowledged, {length} are there");
        Assert.True(length <= writer.Next, $"{who}: {writer.Next} operations were sent, {length} are there");
        for (int i = 0; i < length; i++)
        {
            if (list[i].Integer != i) Assert.Fail($"{who}: element {i} is {list[i].Integer}");
        }

        // The next operation's SET comes before its RPUSH: it may be there already.
        for (int slot = 0; slot < Slots; slot++)
        {
            RespValue value = client.Call("GET", writer.Key($"slot{slot}"));
            long last = LastOf(slot, length);
            long lastWithNext = LastOf(slot, length + 1);
            long actual = value.IsNull ? -1 : value.Integer;
            Assert.True(actual == last || actual == lastWithNext, $"{who}: slot {slot} is {actual}, not {last}");
        }

        long one = Counter(client, writer.Key("one"));
        long other = Counter(client, writer.Key("other"));
        Assert.True(one == other, $"{who}: half a transaction is there: {one} and {other}");
        Assert.True(one == length || one == length - 1, $"{who}: {one} transactions with {length} operations");

        // Go on from what is there, so that numbers and counters keep in step.
        if (one == length - 1)
        {
            client.Call("MULTI");
            client.Call("INCR", writer.Key("one"));
            client.Call("INCR", writer.Key("other"));
            Assert.False(client.Call("EXEC").IsError);
        }

        writer.Next = length;
        writer.Acknowledged = length;
    }

    private static long LastOf(int slot, long operations)
    {
        long last = ((operations - 1) / Slots * Slots) + slot;
        if (last >= operations) last -= Slots;
        return operations == 0 || last < 0 ? -1 : last;
    }

    private static long Counter(RespClient client, string key)
    {
        RespValue value = client.Call("GET", key);
        return value.IsNull ? 0 : value.Integer;
    }
}
