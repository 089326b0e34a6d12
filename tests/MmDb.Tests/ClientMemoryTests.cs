// What clients cost, and maxmemory-clients.

using System.Text;
using Xunit;

namespace Leither.MmDb.Tests;

public sealed class ClientMemoryTests
{
    [Fact]
    public void Who_costs_most_is_disconnected_first_and_who_may_not_be_evicted_stays()
    {
        using var db = new InProcess();
        InProcess.Client small = db.Connect(), large = db.Connect(), kept = db.Connect();
        kept.Run("CLIENT NO-EVICT on");
        foreach ((InProcess.Client client, int bytes) in (ReadOnlySpan<(InProcess.Client, int)>)[(small, 100_000), (large, 300_000), (kept, 900_000)])
        {
            client.SendRaw(Encoding.ASCII.GetBytes($"*2\r\n$3\r\nGET\r\n${bytes}\r\n"));
        }

        Assert.Contains("tot-mem=9", Line(db, kept), StringComparison.Ordinal);
        Assert.Equal("+OK", db.Run("CONFIG SET maxmemory-clients 1200kb"));
        Assert.True(large.IsClosed);
        Assert.False(small.IsClosed);
        Assert.Contains("evicted_clients:1\\r\\n", db.Run("INFO stats"), StringComparison.Ordinal);
        db.Prepare("CLIENT NO-EVICT on", "CONFIG SET maxmemory-clients 1000kb");
        Assert.True(small.IsClosed);
        Assert.False(kept.IsClosed);
        Assert.False(db.Default.IsClosed);
    }

    [Theory]
    [InlineData("MULTI", "SET k ")]
    [InlineData("PING", "WATCH ")]
    [InlineData("HELLO 3", "SUBSCRIBE ")]
    [InlineData("HELLO 3", "PSUBSCRIBE ")]
    [InlineData("HELLO 3", "SSUBSCRIBE ")]
    [InlineData("PING", "CLIENT TRACKING ON BCAST PREFIX ")]
    public void Whatever_a_client_piles_up_counts(string first, string again)
    {
        using var db = new InProcess();
        db.Prepare("CONFIG SET maxmemory-clients 200kb");
        InProcess.Client client = db.Connect();
        client.Run(first);
        int count = 0;
        for (; count < 1000 && !client.IsClosed; count++)
        {
            client.Send(Leither.TestKit.Quoting.Split($"{again}{count:d4}{new string('x', 1000)}"));
            while (client.Take() is { } reply)
            {
                Assert.False(reply.StartsWith('-'), reply);
            }
        }

        Assert.InRange(count, 100, 250);
        Assert.False(db.Default.IsClosed);
    }

    [Fact]
    public void What_is_given_up_counts_no_more()
    {
        using var db = new InProcess();
        string before = Of(db);
        db.Prepare("WATCH a b c", "UNWATCH", "MULTI", "SET a b", "DISCARD", "CLIENT TRACKING ON BCAST PREFIX a PREFIX b", "CLIENT TRACKING OFF");
        db.Run("HELLO 3");
        db.Run("SUBSCRIBE x");
        db.Run("UNSUBSCRIBE x");
        db.Default.Take();
        Assert.Equal(0, db.Default.Session.NamesBytes);
        Assert.Equal(0, db.Default.Session.QueuedBytes);
        Assert.Equal(before, Of(db));
    }

    [Fact]
    public void A_client_that_is_idle_holds_no_receive_buffer_on_its_account()
    {
        using var db = new InProcess();
        InProcess.Client client = db.Connect();
        client.Run("PING");
        Assert.Contains("qbuf=0 qbuf-free=16384 ", Line(db, client), StringComparison.Ordinal);
        db.Clock.Advance(2001);
        Assert.Contains("qbuf=0 qbuf-free=0 ", Line(db, client), StringComparison.Ordinal);
    }

    private static string Of(InProcess db) => db.Run("CLIENT LIST").Split("tot-mem=")[1].Split(' ')[0];

    private static string Line(InProcess db, InProcess.Client client)
    {
        db.Server.DefaultMimei.Keyspace.NowMs = db.Clock.NowMs;
        return db.Run("CLIENT LIST").Split("\\n").Single(line => line.Contains($"id={client.Session.Id} ", StringComparison.Ordinal));
    }
}
