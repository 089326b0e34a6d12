// What replicas and those who ask like them get, without sockets. How real servers follow each other is in tests/redis-compat/ReplicationTests.cs.

using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests;

public sealed class ReplicationTests
{
    [Fact]
    public void Who_wants_a_file_only_gets_it_once_however_slowly_it_reads()
    {
        using var db = new InProcess();
        db.Prepare("SET k v");
        InProcess.Client asking = db.Connect();
        Assert.Equal("+OK", asking.Run("REPLCONF rdb-only 1"));
        asking.Send(Quoting.Split("SYNC"));
        Assert.True(SpinWait.SpinUntil(
            () =>
            {
                db.Server.Cron(db.Clock.NowMs);
                return asking.IsClosed;
            },
            TimeSpan.FromSeconds(30)));
        long length = asking.Output.Length;
        Assert.NotEqual(0, length);
        db.Server.Cron(db.Clock.NowMs);
        db.Prepare("SET k w");
        Assert.Equal(length, asking.Output.Length);
    }
}
