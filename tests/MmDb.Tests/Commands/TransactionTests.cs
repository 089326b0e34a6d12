// MULTI, EXEC, DISCARD, WATCH and UNWATCH, with Redis's rules on errors.

using Xunit;

namespace Leither.MmDb.Tests.Commands;

public sealed class TransactionTests
{
    [Fact]
    public void EXEC_runs_what_was_queued_and_an_error_at_run_time_stops_nothing()
    {
        using var db = new InProcess();
        db.Prepare("SET s text", "MULTI");
        Assert.Equal("+QUEUED", db.Run("INCR n"));
        Assert.Equal("+QUEUED", db.Run("INCR s"));
        Assert.Equal("+QUEUED", db.Run("INCR n"));
        Assert.Equal("[:1, -ERR value is not an integer or out of range, :2]", db.Run("EXEC"));
    }

    [Fact]
    public void An_error_while_queueing_aborts_EXEC()
    {
        using var db = new InProcess();
        db.Prepare("MULTI");
        Assert.StartsWith("-ERR unknown command", db.Run("NOSUCH"), StringComparison.Ordinal);
        Assert.Equal("+QUEUED", db.Run("SET a 1"));
        Assert.Equal("-EXECABORT Transaction discarded because of previous errors.", db.Run("EXEC"));
        Assert.Equal("nil", db.Run("GET a"));
    }

    [Fact]
    public void An_EXEC_with_arguments_discards_the_transaction_and_says_why()
    {
        using var db = new InProcess();
        db.Prepare("MULTI", "SET a 1");
        Assert.Equal("-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command", db.Run("EXEC now"));
        Assert.Equal("-ERR EXEC without MULTI", db.Run("EXEC"));
    }

    [Fact]
    public void MULTI_does_not_nest_and_WATCH_does_not_go_inside()
    {
        using var db = new InProcess();
        db.Prepare("MULTI");
        Assert.Equal("-ERR MULTI calls can not be nested", db.Run("MULTI"));
        Assert.Equal("-ERR WATCH inside MULTI is not allowed", db.Run("WATCH a"));
        Assert.Equal("-ERR Command not allowed inside a transaction", db.Run("SAVE"));
        Assert.Equal("-EXECABORT Transaction discarded because of previous errors.", db.Run("EXEC"));
    }

    [Fact]
    public void DISCARD_forgets_the_queue()
    {
        using var db = new InProcess();
        db.Prepare("MULTI", "SET a 1");
        Assert.Equal("+OK", db.Run("DISCARD"));
        Assert.Equal("nil", db.Run("GET a"));
        Assert.Equal("-ERR DISCARD without MULTI", db.Run("DISCARD"));
    }

    [Fact]
    public void A_watched_key_that_changes_makes_EXEC_reply_null()
    {
        using var db = new InProcess();
        db.Prepare("SET a 1", "WATCH a");
        db.Connect().Run("SET a 2");
        db.Prepare("MULTI", "SET a 3");
        Assert.Equal("nil-array", db.Run("EXEC"));
        Assert.Equal("\"2\"", db.Run("GET a"));
        db.Prepare("MULTI", "SET a 3");
        Assert.Equal("[+OK]", db.Run("EXEC"));
    }

    [Fact]
    public void UNWATCH_forgets_what_changed()
    {
        using var db = new InProcess();
        db.Prepare("WATCH a");
        db.Connect().Run("SET a 2");
        db.Prepare("UNWATCH", "MULTI", "SET a 3");
        Assert.Equal("[+OK]", db.Run("EXEC"));
    }

    [Fact]
    public void A_watched_key_that_expires_without_anybody_meeting_it_makes_EXEC_reply_null()
    {
        using var db = new InProcess();
        db.Prepare("SET a 1 PX 100", "WATCH a");
        db.Clock.Advance(200);
        db.Prepare("MULTI", "PING");
        Assert.Equal("nil-array", db.Run("EXEC"));
    }

    [Fact]
    public void A_key_that_had_expired_when_it_was_watched_may_be_deleted()
    {
        using var db = new InProcess();
        db.Prepare("SET a 1 PX 100");
        db.Clock.Advance(200);
        db.Prepare("WATCH a");
        Assert.Equal("nil", db.Connect().Run("GET a"));
        db.Prepare("MULTI", "PING");
        Assert.Equal("[+PONG]", db.Run("EXEC"));
    }

    [Theory]
    [InlineData("FLUSHALL")]
    [InlineData("FLUSHDB")]
    [InlineData("SWAPDB 0 1")]
    public void Emptying_or_swapping_a_database_breaks_watches_on_keys_that_exist(string command)
    {
        using var db = new InProcess();
        db.Prepare("SET a 1", "WATCH a");
        db.Connect().Run(command);
        db.Prepare("MULTI", "PING");
        Assert.Equal("nil-array", db.Run("EXEC"));
        db.Prepare("WATCH none");
        db.Connect().Run("FLUSHALL");
        db.Prepare("MULTI", "PING");
        Assert.Equal("[+PONG]", db.Run("EXEC"));
    }

    [Fact]
    public void A_swap_that_brings_an_expired_key_in_place_of_none_is_no_change()
    {
        using var db = new InProcess();
        db.Prepare("SET x foo PX 1", "SELECT 1", "WATCH x");
        db.Clock.Advance(2);
        db.Prepare("SWAPDB 0 1", "MULTI", "PING");
        Assert.Equal("[+PONG]", db.Run("EXEC"));
        db.Prepare("SET x bar PX 1", "SELECT 0", "SET x foo PX 1");
        db.Clock.Advance(2);
        db.Prepare("WATCH x", "SWAPDB 0 1", "MULTI", "PING");
        Assert.Equal("[+PONG]", db.Run("EXEC"));
    }

    [Fact]
    public void A_blocking_command_in_EXEC_replies_as_if_its_time_were_over()
    {
        using var db = new InProcess();
        db.Prepare("MULTI", "BLPOP l 0", "RPUSH l a", "BLPOP l 0");
        Assert.Equal("[nil-array, :1, [\"l\", \"a\"]]", db.Run("EXEC"));
    }

    [Fact]
    public void SELECT_in_a_transaction_holds_for_what_follows_and_after_it()
    {
        using var db = new InProcess();
        db.Prepare("MULTI", "SELECT 2", "SET a 1");
        Assert.Equal("[+OK, +OK]", db.Run("EXEC"));
        Assert.Equal("\"1\"", db.Run("GET a"));
        db.Prepare("SELECT 0");
        Assert.Equal("nil", db.Run("GET a"));
    }

    [Fact]
    public void Beyond_maxmemory_writes_are_refused_when_queued_and_EXEC_says_why()
    {
        using var db = new InProcess();
        db.Prepare("MULTI", "SET a 1");
        db.Connect().Run("CONFIG SET maxmemory 1");
        Assert.Equal("-EXECABORT Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'.", db.Run("EXEC"));
        db.Prepare("MULTI");
        Assert.Equal("-OOM command not allowed when used memory > 'maxmemory'.", db.Run("GET a"));
        Assert.Equal("-EXECABORT Transaction discarded because of previous errors.", db.Run("EXEC"));
    }
}
