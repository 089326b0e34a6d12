// Transactions over real sockets: time limits, lost connections, kills, and many clients at once.

using System.Globalization;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

public sealed class InteractiveTransactionTests
{
    [Fact]
    public void A_lost_connection_rolls_back_and_a_late_client_learns_that_its_time_is_over()
    {
        using LeitherServer server = LeitherServer.StartNew();
        using RespClient client = server.Connect(), late = server.Connect();
        using (RespClient lost = server.Connect())
        {
            lost.Call("BEGIN");
            lost.Call("SET", "a", "lost");
        }

        Assert.Equal("OK", late.Call("BEGIN", "1").Text);
        late.Call("SET", "a", "late");
        Wait.Until(() => late.Call("SET", "b", "late").Text.StartsWith("ABORTED the transaction's 1 milliseconds are over", StringComparison.Ordinal));
        Assert.StartsWith("ABORTED", late.Call("COMMIT").Text, StringComparison.Ordinal);
        Wait.Until(() => client.Call("CLIENT", "LIST").Text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length == 2);
        Assert.Equal(0, client.Call("DBSIZE").Integer);
    }

    [Fact]
    public void What_was_committed_outlives_a_kill_as_a_whole_and_what_was_not_is_gone()
    {
        using LeitherServer server = LeitherServer.StartNew("--appendfsync", "always");
        using (RespClient client = server.Connect(), open = server.Connect())
        {
            foreach (string[] command in (string[][])[["BEGIN"], ["SET", "a", "1"], ["RPUSH", "l", "x", "y"], ["COMMIT"]])
            {
                client.Call(command);
            }

            open.Call("BEGIN");
            open.Call("SET", "a", "2");
            server.Kill();
        }

        server.Start();
        using RespClient again = server.Connect();
        Assert.Equal("1", again.Call("GET", "a").Text);
        Assert.Equal(2, again.Call("LLEN", "l").Integer);
    }

    [Fact]
    public void Many_clients_that_move_between_accounts_lose_nothing() => Seed.Run(random =>
    {
        using LeitherServer server = LeitherServer.StartNew();
        const int accounts = 10, clients = 6;
        using RespClient control = server.Connect();
        for (int i = 0; i < accounts; i++)
        {
            control.Call("SET", $"account:{i}", "100");
        }

        int[] seeds = [.. Enumerable.Range(0, clients).Select(_ => random.Next())];
        int[] committed = new int[clients];
        Task[] tasks = [.. seeds.Select((seed, who) => Task.Run(() =>
        {
            var own = new Random(seed);
            using RespClient client = server.Connect();
            while (committed[who] < 30)
            {
                string from = $"account:{own.Next(accounts)}", to = $"account:{own.Next(accounts)}";
                Assert.Equal("OK", client.Call("BEGIN").Text);
                string balance = client.Call("GET", from).Text;
                bool moved = !balance.StartsWith("ABORTED", StringComparison.Ordinal)
                    && !client.Call("SET", from, (long.Parse(balance, CultureInfo.InvariantCulture) - 1).ToString(CultureInfo.InvariantCulture)).Text.StartsWith("ABORTED", StringComparison.Ordinal)
                    && !client.Call("INCR", to).Text.StartsWith("ABORTED", StringComparison.Ordinal);
                committed[who] += client.Call("COMMIT").Text == "OK" && moved ? 1 : 0;
            }
        }))];
        Task.WaitAll(tasks);
        long sum = Enumerable.Range(0, accounts).Sum(i => long.Parse(control.Call("GET", $"account:{i}").Text, CultureInfo.InvariantCulture));
        Assert.Equal(accounts * 100, sum);
    });
}
