// Publish and subscribe, keyspace events and MONITOR.

using Xunit;

namespace Leither.MmDb.Tests.Commands;

public sealed class PubSubTests
{
    [Fact]
    public void A_message_reaches_who_subscribed_by_name_and_by_pattern()
    {
        using var db = new InProcess();
        InProcess.Client named = db.Connect(), matching = db.Connect();
        Assert.Equal("[\"subscribe\", \"news\", :1]", named.Run("SUBSCRIBE news"));
        Assert.Equal("[\"psubscribe\", \"n*\", :1]", matching.Run("PSUBSCRIBE n*"));
        Assert.Equal(":2", db.Run("PUBLISH news hello"));
        Assert.Equal("[\"message\", \"news\", \"hello\"]", named.Take());
        Assert.Equal("[\"pmessage\", \"n*\", \"news\", \"hello\"]", matching.Take());
        Assert.Equal(":0", db.Run("PUBLISH other hello"));
    }

    [Fact]
    public void RESP2_subscribers_may_only_manage_subscriptions()
    {
        using var db = new InProcess();
        InProcess.Client client = db.Connect();
        client.Run("SUBSCRIBE c");
        Assert.Equal(
            "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context", client.Run("GET a"));
        Assert.Equal("[\"pong\", \"\"]", client.Run("PING"));
        Assert.Equal("[\"unsubscribe\", \"c\", :0]", client.Run("UNSUBSCRIBE"));
        Assert.Equal("+PONG", client.Run("PING"));
        Assert.Equal("[\"unsubscribe\", nil, :0]", client.Run("UNSUBSCRIBE"));
    }

    [Fact]
    public void RESP3_subscribers_get_pushes_and_run_any_command()
    {
        using var db = new InProcess();
        InProcess.Client client = db.Connect();
        client.Run("HELLO 3");
        Assert.Equal(">[\"subscribe\", \"c\", :1]", client.Run("SUBSCRIBE c"));
        Assert.Equal("_", client.Run("GET a"));
        db.Run("PUBLISH c hello");
        Assert.Equal(">[\"message\", \"c\", \"hello\"]", client.Take());
    }

    [Fact]
    public void A_RESP3_client_that_publishes_to_itself_gets_the_reply_first()
    {
        using var db = new InProcess();
        db.Run("HELLO 3");
        db.Run("SUBSCRIBE c");
        Assert.Equal(":1", db.Run("PUBLISH c hello"));
        Assert.Equal(">[\"message\", \"c\", \"hello\"]", db.Default.Take());
        db.Run("MULTI");
        db.Run("PUBLISH c again");
        Assert.Equal("[:1]", db.Run("EXEC"));
        Assert.Equal(">[\"message\", \"c\", \"again\"]", db.Default.Take());
    }

    [Fact]
    public void Shard_channels_are_apart_from_channels()
    {
        using var db = new InProcess();
        InProcess.Client client = db.Connect();
        Assert.Equal("[\"ssubscribe\", \"c\", :1]", client.Run("SSUBSCRIBE c"));
        Assert.Equal(":0", db.Run("PUBLISH c no"));
        Assert.Equal(":1", db.Run("SPUBLISH c yes"));
        Assert.Equal("[\"smessage\", \"c\", \"yes\"]", client.Take());
        Assert.Equal("[\"c\"]", db.Run("PUBSUB SHARDCHANNELS"));
        Assert.Equal("[\"c\", :1]", db.Run("PUBSUB SHARDNUMSUB c"));
        Assert.Equal("[\"sunsubscribe\", \"c\", :0]", client.Run("SUNSUBSCRIBE c"));
        Assert.Equal("[]", db.Run("PUBSUB SHARDCHANNELS"));
    }

    [Fact]
    public void PUBSUB_counts_channels_subscribers_and_patterns_and_forgets_closed_clients()
    {
        using var db = new InProcess();
        InProcess.Client client = db.Connect();
        client.Run("SUBSCRIBE a");
        client.Run("SUBSCRIBE a");
        client.Run("PSUBSCRIBE p*");
        Assert.Equal("[\"a\", :1, \"b\", :0]", db.Run("PUBSUB NUMSUB a b"));
        Assert.Equal(":1", db.Run("PUBSUB NUMPAT"));
        Assert.Equal("[\"a\"]", db.Run("PUBSUB CHANNELS a*"));
        db.Server.Close(client.Session);
        Assert.Equal("[]", db.Run("PUBSUB CHANNELS"));
        Assert.Equal(":0", db.Run("PUBSUB NUMPAT"));
    }

    [Fact]
    public void Keyspace_events_are_published_on_the_channels_asked_for()
    {
        using var db = new InProcess();
        Assert.Equal("+OK", db.Run("CONFIG SET notify-keyspace-events KE$g"));
        Assert.Equal("[\"notify-keyspace-events\", \"g$KE\"]", db.Run("CONFIG GET notify-keyspace-events"));
        InProcess.Client client = db.Connect();
        client.Run("PSUBSCRIBE __key*");
        db.Run("SET a 1");
        Assert.Equal("[\"pmessage\", \"__key*\", \"__keyspace@0__:a\", \"set\"]", client.Take());
        Assert.Equal("[\"pmessage\", \"__key*\", \"__keyevent@0__:set\", \"a\"]", client.Take());
        db.Run("DEL a");
        Assert.Equal("[\"pmessage\", \"__key*\", \"__keyspace@0__:a\", \"del\"]", client.Take());
        client.Take();
        db.Run("RPUSH l 1");
        Assert.Null(client.Take());
        Assert.StartsWith("-ERR CONFIG SET failed", db.Run("CONFIG SET notify-keyspace-events !"), StringComparison.Ordinal);
    }

    [Fact]
    public void A_subscriber_that_does_not_read_is_closed_at_its_hard_limit()
    {
        using var db = new InProcess();
        db.Run("CONFIG SET client-output-buffer-limit \"pubsub 1000 0 0\"");
        InProcess.Client client = db.Connect();
        client.Run("SUBSCRIBE c");
        db.Run("PUBLISH c " + new string('x', 500));
        Assert.False(client.IsClosed);
        db.Run("PUBLISH c " + new string('x', 500));
        Assert.True(client.IsClosed);
    }

    [Fact]
    public void A_subscriber_above_its_soft_limit_is_closed_when_the_time_is_over()
    {
        using var db = new InProcess();
        db.Run("CONFIG SET client-output-buffer-limit \"pubsub 0 100 5\"");
        InProcess.Client client = db.Connect();
        client.Run("SUBSCRIBE c");
        db.Run("PUBLISH c " + new string('x', 500));
        db.Clock.Advance(5000);
        db.Server.Cron(db.Clock.NowMs);
        Assert.False(client.IsClosed);
        db.Clock.Advance(1001);
        db.Server.Cron(db.Clock.NowMs);
        Assert.True(client.IsClosed);
    }

    [Fact]
    public void MONITOR_shows_commands_after_they_ran_without_secrets()
    {
        using var db = new InProcess();
        InProcess.Client monitor = db.Connect();
        Assert.Equal("+OK", monitor.Run("MONITOR"));
        db.Run("SET a \"b\\n\"");
        Assert.Equal("+1700000000.000000 [0 127.0.0.1:1] \"SET\" \"a\" \"b\\n\"", monitor.Take());
        db.Run("AUTH default x");
        Assert.EndsWith("\"AUTH\" \"(redacted)\" \"(redacted)\"", monitor.Take(), StringComparison.Ordinal);
        db.Run("MIGRATE 127.0.0.1 1 nosuch 0 10 AUTH secret");
        Assert.EndsWith("\"nosuch\" \"0\" \"10\" \"AUTH\" \"(redacted)\"", monitor.Take(), StringComparison.Ordinal);
        db.Run("MIGRATE 127.0.0.1 1 nosuch 0 10 AUTH2 user secret");
        Assert.EndsWith("\"10\" \"AUTH2\" \"(redacted)\" \"(redacted)\"", monitor.Take(), StringComparison.Ordinal);
        db.Run("CONFIG GET port");
        Assert.Null(monitor.Take());
        db.Prepare("MULTI", "SET a c", "EXEC");
        Assert.EndsWith("\"MULTI\"", monitor.Take(), StringComparison.Ordinal);
        Assert.EndsWith("\"SET\" \"a\" \"c\"", monitor.Take(), StringComparison.Ordinal);
        Assert.EndsWith("\"EXEC\"", monitor.Take(), StringComparison.Ordinal);
        Assert.Equal("+RESET", monitor.Run("RESET"));
        db.Run("SET a d");
        Assert.Null(monitor.Take());
    }
}
