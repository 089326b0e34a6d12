// A node is killed in the middle of BACKUP, of DELVERS and of the collection that follows. Afterwards every version of the list opens, CHECK finds
// nothing, and the data is what was acknowledged.

using System.Globalization;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

public sealed class VersionCrashTests
{
    private const int Keys = 3000;

    [Fact]
    public void Versions_are_whole_or_not_there_after_a_kill() => Seed.Run(random =>
    {
        using LeitherServer server = LeitherServer.StartNew();
        long acknowledged = 0;
        for (int kill = 0; kill < (Seed.IsLong ? 100 : 3); kill++)
        {
            long before = acknowledged;
            int port = server.Port, seed = random.Next();
            Task load = Task.Run(() => Load(port, seed, ref acknowledged));
            Wait.Until(() => Volatile.Read(ref acknowledged) > before || load.IsCompleted);
            Thread.Sleep(random.Next(1, 200));
            server.Kill();
            load.Wait();
            server.Start();
            using RespClient client = server.Connect();
            long round = client.Call("GET", "round").IsNull ? 0 : client.Call("GET", "round").Integer;
            Assert.InRange(round, acknowledged, acknowledged + 1);
            acknowledged = round;
            RespValue report = client.Call("MIMEI", "CHECK");
            Assert.False(report.IsError, report.ToString());
            Assert.Empty(report[11].Items);
            string mid = client.Call("MIMEI", "ID")[0].Text;
            foreach (RespValue version in client.Call("MIMEI", "VERSIONS").Items)
            {
                string number = version[1].Integer.ToString(CultureInfo.InvariantCulture);
                using RespClient past = server.Connect();
                Assert.Equal("OK", past.Call("MIMEI", "OPEN", mid, "VERSION", number).Text);
                Assert.Equal(version[9].Text, past.Call("GET", "round").Text);
                Assert.Equal(past.Call("DBSIZE").Integer, past.Call("KEYS", "*").Items.Length);
            }
        }
    });

    [Fact]
    public void A_MiMei_is_imported_or_not_there_after_a_kill() => Seed.Run(random =>
    {
        using LeitherServer author = LeitherServer.StartNew(), other = LeitherServer.StartNew();
        using (RespClient client = author.Connect())
        {
            for (int i = 0; i < 50_000; i++)
            {
                client.Queue("SET", $"key{random.Next()}", new string('v', random.Next(100)));
            }

            client.Flush();
            for (int i = 0; i < 50_000; i++)
            {
                client.Read();
            }

            client.Call("MIMEI", "BACKUP");
        }

        string file = Path.Combine(author.DataDir, "all.car"), mid;
        using (RespClient client = author.Connect())
        {
            mid = client.Call("MIMEI", "ID")[0].Text;
            Assert.False(client.Call("MIMEI", "EXPORT", file).IsError);
        }

        long keys = 0;
        for (int kill = 0; kill < (Seed.IsLong ? 50 : 4); kill++)
        {
            using (RespClient client = other.Connect())
            {
                client.Queue("MIMEI", "IMPORT", file);
                client.Flush();
                Thread.Sleep(random.Next(10, 600));
            }

            // The client is gone: what it wanted is given up, or was done already; and then the node is killed.
            Thread.Sleep(random.Next(3));
            other.Kill();
            other.Start();
            using RespClient after = other.Connect();
            Assert.DoesNotContain(Directory.EnumerateDirectories(Path.Combine(other.DataDir, "mimei")), static d => d.Contains("draft", StringComparison.Ordinal));
            if (after.Call("MIMEI", "OPEN", mid).IsError)
            {
                Assert.Single(after.Call("MIMEI", "LIST").Items);
                continue;
            }

            Assert.Empty(after.Call("MIMEI", "CHECK")[11].Items);
            keys = after.Call("DBSIZE").Integer;
        }

        using RespClient last = other.Connect();
        Assert.False(last.Call("MIMEI", "IMPORT", file).IsError);
        Assert.Equal("OK", last.Call("MIMEI", "OPEN", mid).Text);
        using RespClient first = author.Connect();
        Assert.Equal(first.Call("DBSIZE").Integer, last.Call("DBSIZE").Integer);
        Assert.True(keys == 0 || keys == last.Call("DBSIZE").Integer);
    });

    /// <summary>Changes some keys, makes a version whose memo is the round, and deletes old ones, until the node is gone.</summary>
    private static void Load(int port, int seed, ref long acknowledged)
    {
        var random = new Random(seed);
        try
        {
            using RespClient client = RespClient.Connect(port);
            while (true)
            {
                string round = (Volatile.Read(ref acknowledged) + 1).ToString(CultureInfo.InvariantCulture);
                for (int i = 0; i < 200; i++)
                {
                    client.Call("SET", $"key{random.Next(Keys)}", new string('v', random.Next(200)));
                }

                Assert.Equal("OK", client.Call("SET", "round", round).Text);
                Interlocked.Increment(ref acknowledged);
                Assert.False(client.Call("MIMEI", "BACKUP", "MEMO", round).IsError);
                RespValue versions = client.Call("MIMEI", "VERSIONS");
                if (versions.Items.Length > 4)
                {
                    string oldest = versions.Items[^1][1].Integer.ToString(CultureInfo.InvariantCulture), newest = versions.Items[0][1].Integer.ToString(CultureInfo.InvariantCulture);
                    Assert.False((random.Next(3) == 0 ? client.Call("MIMEI", "DELVERS", oldest, newest) : client.Call("MIMEI", "DELVERS", oldest)).IsError);
                }
            }
        }
        catch (Exception e) when (e is IOException or System.Net.Sockets.SocketException)
        {
            // It was killed.
        }
    }
}
