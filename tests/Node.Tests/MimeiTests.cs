// Many MiMei on real nodes: what lies on the disk, what a kill leaves, and what many cost.

using System.Globalization;
using Leither.Ipfs.Keys;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

public sealed class MimeiTests
{
    [Fact]
    public void What_was_acknowledged_in_any_MiMei_outlives_a_kill() => Seed.Run(random =>
    {
        using LeitherServer server = LeitherServer.StartNew();
        string[] ids = [.. Enumerable.Range(0, 4).Select(i => Create(server, $"m{i}"))];
        long[] acknowledged = new long[ids.Length];
        for (int kill = 0; kill < 2; kill++)
        {
            long[] before = [.. acknowledged];
            Task[] loads = [.. ids.Select((id, i) => Task.Run(() => Load(server.Port, id, ids[(i + 1) % ids.Length], ref acknowledged[i])))];
            Wait.Until(() => acknowledged.Zip(before).All(static n => Volatile.Read(ref n.First) > n.Second + 50) || loads.Any(static l => l.IsCompleted));
            Thread.Sleep(random.Next(1, 300));
            server.Kill();
            Task.WaitAll(loads);
            server.Start();
            for (int i = 0; i < ids.Length; i++)
            {
                using RespClient client = Connect(server, ids[i]);
                long found = long.Parse(client.Call("GET", "own").Text, CultureInfo.InvariantCulture);

                // The last one may have been done and its reply lost.
                Assert.InRange(found, acknowledged[i], acknowledged[i] + 1);
                acknowledged[i] = found;
                using RespClient next = Connect(server, ids[(i + 1) % ids.Length]);
                Assert.InRange(long.Parse(next.Call("GET", "neighbours").Text, CultureInfo.InvariantCulture), found - 1, found);
                Assert.Equal(2, next.Call("DBSIZE").Integer);
            }
        }

        // Increments a counter in one MiMei and then one in another, by turns, over one connection.
        static void Load(int port, string own, string neighbour, ref long acknowledged)
        {
            try
            {
                using RespClient client = RespClient.Connect(port);
                long n = Volatile.Read(ref acknowledged);
                while (true)
                {
                    foreach (string[] command in (string[][])[["MIMEI", "OPEN", own], ["SET", "own", $"{n + 1}"], ["MIMEI", "OPEN", neighbour], ["SET", "neighbours", $"{n + 1}"]])
                    {
                        Assert.Equal("OK", client.Call(command).Text);
                        if (command[1] == "own")
                        {
                            Volatile.Write(ref acknowledged, ++n);
                            n--;
                        }
                    }

                    n++;
                }
            }
            catch (Exception e) when (e is IOException or System.Net.Sockets.SocketException)
            {
                // It was killed.
            }
        }
    });

    [Fact]
    public void One_that_nobody_uses_is_unloaded_and_loaded_again_over_and_over()
    {
        using LeitherServer server = LeitherServer.StartNew("--mimei-idle-timeout", "1", "--hz", "100");
        string id = Create(server, "a");
        using RespClient watching = server.Connect();
        for (int round = 1; round <= 3; round++)
        {
            using (RespClient client = Connect(server, id))
            {
                Assert.Equal(round, client.Call("INCR", "n").Integer);
                Assert.Equal(round, client.Call("RPUSH", "list", $"{round}").Integer);
            }

            Wait.Until(() => watching.Call("INFO", "mimei").Text.Contains("mimei_open:1\r", StringComparison.Ordinal));
        }

        Assert.Equal("default", watching.Call("MIMEI", "ID")[1].Text);
        server.Restart();
        using RespClient again = Connect(server, id);
        Assert.Equal(4, again.Call("INCR", "n").Integer);
        Assert.DoesNotContain("unclean", server.Log, StringComparison.Ordinal);
    }

    [Fact]
    public void A_thousand_open_ones_take_less_than_100_MB_and_the_start_opens_none()
    {
        const int Count = 1000;
        using LeitherServer server = LeitherServer.StartNew();
        using RespClient client = server.Connect();
        for (int i = 0; i < Count; i++)
        {
            client.Queue("MIMEI", "CREATE", "DB", "MARK", $"{i}");
        }

        client.Flush();
        string[] ids = [.. Enumerable.Range(0, Count).Select(_ => client.Read().Text)];
        long before = Resident(server);
        List<RespClient> clients = [];
        try
        {
            foreach (string id in ids)
            {
                RespClient one = Connect(server, id);
                clients.Add(one);
                Assert.Equal("OK", one.Call("SET", "key", id).Text);
                Assert.Equal(1, one.Call("HSET", "hash", "field", "value").Integer);
            }

            Assert.Contains("mimei_open:1001\r", client.Call("INFO", "mimei").Text, StringComparison.Ordinal);
            Assert.InRange(Resident(server) - before, 0, 100_000_000);
        }
        finally
        {
            clients.ForEach(static one => one.Dispose());
        }

        server.Restart();
        using RespClient again = server.Connect();
        Assert.Contains("mimei_total:1001\r\nmimei_open:1\r", again.Call("INFO", "mimei").Text, StringComparison.Ordinal);
        Assert.Equal(Count + 1, again.Call("MIMEI", "LIST").Items.Length);
        using RespClient some = Connect(server, ids[Count / 2]);
        Assert.Equal(ids[Count / 2], some.Call("GET", "key").Text);
    }

    [Fact]
    public void A_folder_of_a_version_with_one_MiMei_is_taken_over_wherever_a_crash_interrupts_it()
    {
        using LeitherServer server = LeitherServer.StartNew();
        using (RespClient client = server.Connect())
        {
            client.Call("SET", "saved", "1");
            Assert.Equal("OK", client.Call("SAVE").Text);
            client.Call("SET", "logged", "1");
        }

        server.Stop();
        string mimei = Directory.GetDirectories(Path.Combine(server.DataDir, "mimei")).Single();
        string[] checkpoints = [.. Directory.GetFiles(mimei, "checkpoint-*").Select(Path.GetFileName)!];
        foreach ((bool log, bool saved, bool keys) in ((bool, bool, bool)[])[(true, true, false), (true, false, true), (false, true, true)])
        {
            if (log)
            {
                Directory.Move(Path.Combine(mimei, "log"), Path.Combine(server.DataDir, "log"));
            }

            if (saved)
            {
                Array.ForEach(checkpoints, name => File.Move(Path.Combine(mimei, name), Path.Combine(server.DataDir, name)));
            }

            if (!keys)
            {
                Directory.Delete(Path.Combine(server.DataDir, "keys"), recursive: true);
                Directory.Delete(Path.Combine(server.DataDir, "mimei"), recursive: true);
                File.Delete(Path.Combine(server.DataDir, "mimei.list"));
            }

            server.Start();
            mimei = Directory.GetDirectories(Path.Combine(server.DataDir, "mimei")).Single();
            using RespClient client = server.Connect();
            Assert.Equal(["1", "1"], client.Call("MGET", "saved", "logged").Items.Select(static v => v.Text));
            Assert.Equal("default", client.Call("MIMEI", "ID")[1].Text);
            server.AwaitLog("its log and checkpoints are now in");
            Assert.False(Directory.Exists(Path.Combine(server.DataDir, "log")));
            client.Dispose();
            server.Stop();
        }

        server.Start();
        Assert.DoesNotContain("its log and checkpoints are now in", server.Log, StringComparison.Ordinal);
        server.Stop();
        Directory.CreateDirectory(Path.Combine(server.DataDir, "log"));
        Assert.Contains("has one already", Assert.Throws<InvalidOperationException>(server.Start).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Keys_are_the_owners_alone_and_are_never_replaced()
    {
        using LeitherServer server = LeitherServer.StartNew();
        string folder = Path.Combine(server.DataDir, "keys"), author = Path.Combine(folder, "author.key");
        using (RespClient client = server.Connect())
        {
            string id = client.Call("MIMEI", "ID")[0].Text;
            Assert.True(LeitherId.TryParse(id, out LeitherId parsed));
            Assert.True(Directory.Exists(Path.Combine(server.DataDir, "mimei", parsed.ToBase32())));
        }

        if (!OperatingSystem.IsWindows())
        {
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute, File.GetUnixFileMode(folder));
            foreach (string file in Directory.GetFiles(folder))
            {
                Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(file));
            }

            server.Stop();
            File.SetUnixFileMode(author, UnixFileMode.UserRead | UnixFileMode.GroupRead);
            server.Start();
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(author));
            server.AwaitLog("author.key was open to other users of this machine (mode 440)");
        }

        server.Stop();
        string key = File.ReadAllText(author);
        File.WriteAllText(author, key[..40]);
        Assert.Contains("author.key is not a private key", Assert.Throws<InvalidOperationException>(server.Start).Message, StringComparison.Ordinal);
        File.WriteAllText(author, key);
        server.Start();
    }

    [Fact]
    public void One_whose_making_was_interrupted_is_none_and_is_made_by_the_next_try()
    {
        using LeitherServer server = LeitherServer.StartNew();
        string id = Create(server, "a");
        Assert.True(LeitherId.TryParse(id, out LeitherId parsed));
        server.Kill();
        string info = Path.Combine(server.DataDir, "mimei", parsed.ToBase32(), "info");
        File.Move(info, info + ".new");
        server.Start();
        using RespClient client = server.Connect();
        Assert.StartsWith($"ERR MiMei {id} cannot be had", client.Call("MIMEI", "OPEN", id).Text, StringComparison.Ordinal); // nor from another node
        Assert.Single(client.Call("MIMEI", "LIST").Items);
        Assert.Equal(id, Create(server, "a"));
        Assert.Equal("OK", client.Call("MIMEI", "OPEN", id).Text);
        Assert.Equal("OK", client.Call("SET", "k", "v").Text);
    }

    [Fact]
    public void A_damaged_one_is_refused_at_its_opening_and_the_default_one_at_the_start()
    {
        using LeitherServer server = LeitherServer.StartNew();
        string id = Create(server, "a"), first;
        Assert.True(LeitherId.TryParse(id, out LeitherId parsed));
        string folder = Path.Combine(server.DataDir, "mimei", parsed.ToBase32());
        using (RespClient client = server.Connect())
        {
            first = client.Call("MIMEI", "ID")[0].Text;
            File.WriteAllBytes(Path.Combine(folder, "info"), [0xA0]);
            Assert.StartsWith($"ERR the info block of MiMei {id} is damaged", client.Call("MIMEI", "OPEN", id).Text, StringComparison.Ordinal);
            Assert.StartsWith($"ERR the info block of MiMei {id} is damaged", client.Call("AUTH", $"default@{id}", "any").Text, StringComparison.Ordinal);
            Directory.Delete(folder, recursive: true);
            Assert.StartsWith("ERR ", client.Call("MIMEI", "OPEN", id).Text, StringComparison.Ordinal);
            Assert.Equal(first, client.Call("MIMEI", "ID")[0].Text);
        }

        server.Stop();
        Assert.True(LeitherId.TryParse(first, out parsed));
        File.WriteAllBytes(Path.Combine(server.DataDir, "mimei", parsed.ToBase32(), "info"), [0xA0]);
        Assert.Contains($"the info block of MiMei {first} is damaged", Assert.Throws<InvalidOperationException>(server.Start).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Names_outlive_restarts_and_a_torn_list()
    {
        using LeitherServer server = LeitherServer.StartNew();
        string id = Create(server, "a");
        using (RespClient client = server.Connect())
        {
            Assert.Equal("OK", client.Call("MIMEI", "NAME", "shop", id).Text);
            Assert.Equal("OK", client.Call("MIMEI", "NAME", "main", "default").Text);
        }

        server.Kill();
        File.AppendAllText(Path.Combine(server.DataDir, "mimei.list"), $"{id} created=1 right=0 keys=0 na");
        server.Start();
        using (RespClient client = Connect(server, "shop"))
        {
            Assert.Equal(id, client.Call("MIMEI", "ID")[0].Text);
            Assert.Equal("OK", client.Call("MIMEI", "NAME", "bank", "shop").Text);
        }

        server.Restart();
        using RespClient again = Connect(server, "bank");
        Assert.Equal(id, again.Call("MIMEI", "ID")[0].Text);
        Assert.Equal("main", server.Connect().Call("MIMEI", "ID")[1].Text);
    }

    [Theory]
    [InlineData("SAVE")]
    [InlineData("PING")]
    public void A_scan_goes_on_after_a_restart(string before)
    {
        const int Count = 1000;
        using LeitherServer server = LeitherServer.StartNew();
        HashSet<string> seen = [];
        string cursor = "0";
        using (RespClient client = server.Connect())
        {
            for (int i = 0; i < Count; i++)
            {
                Assert.Equal("OK", client.Call("SET", $"key:{i}", "v").Text);
            }

            while (seen.Count < Count / 2)
            {
                cursor = Scan(client);
            }

            client.Call(before);
        }

        server.Restart();
        using RespClient again = server.Connect();
        while (cursor != "0")
        {
            cursor = Scan(again);
        }

        Assert.Equal(Count, seen.Count);

        string Scan(RespClient client)
        {
            RespValue reply = client.Call("SCAN", cursor);
            foreach (RespValue key in reply[1].Items)
            {
                Assert.True(seen.Add(key.Text));
            }

            return reply[0].Text;
        }
    }

    [Fact]
    public void Appendfsync_changes_for_all_that_are_open()
    {
        using LeitherServer server = LeitherServer.StartNew();
        using RespClient client = Connect(server, Create(server, "a"));
        Assert.Equal("OK", client.Call("CONFIG", "SET", "appendfsync", "always").Text);
        Assert.Equal("OK", client.Call("SET", "k", "v").Text);
        Assert.Equal("[1, 0]", $"[{string.Join(", ", client.Call("WAITAOF", "1", "0", "0").Items.Select(static v => v.Integer))}]");
    }

    private static string Create(LeitherServer server, string mark)
    {
        using RespClient client = server.Connect();
        return client.Call("MIMEI", "CREATE", "DB", "MARK", mark).Text;
    }

    private static RespClient Connect(LeitherServer server, string idOrName)
    {
        RespClient client = server.Connect();
        Assert.Equal("OK", client.Call("AUTH", $"default@{idOrName}", "any").Text);
        return client;
    }

    private static long Resident(LeitherServer server) =>
        File.ReadLines($"/proc/{server.ProcessId}/status").First(static l => l.StartsWith("VmRSS:", StringComparison.Ordinal)) is var line
            ? long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) * 1024 : 0;
}
