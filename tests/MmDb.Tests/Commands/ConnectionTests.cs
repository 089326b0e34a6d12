// The connection: HELLO, AUTH, SELECT, RESET and CLIENT.

using Xunit;

namespace Leither.MmDb.Tests.Commands;

public sealed class ConnectionTests
{
    [Fact]
    public void HELLO_3_switches_the_protocol_and_replies_a_map()
    {
        using var db = new InProcess();
        Assert.StartsWith("%{\"server\": \"redis\", \"version\": \"7.2.6\", \"proto\": :3", db.Run("HELLO 3"), StringComparison.Ordinal);
        Assert.Equal("_", db.Run("GET none"));
        Assert.Equal("-NOPROTO unsupported protocol version", db.Run("HELLO 4"));
        Assert.Equal("-ERR Protocol version is not an integer or out of range", db.Run("HELLO x"));
        Assert.Equal("-ERR Syntax error in HELLO option 'foo'", db.Run("HELLO 3 foo"));
    }

    [Fact]
    public void A_password_keeps_commands_out_until_AUTH_or_HELLO_gives_it()
    {
        using var db = new InProcess();
        Assert.Equal("+OK", db.Run("CONFIG SET requirepass secret"));
        InProcess.Client client = db.Connect();
        Assert.Equal("-NOAUTH Authentication required.", client.Run("GET a"));
        Assert.StartsWith("-NOAUTH HELLO must be called", client.Run("HELLO 3"), StringComparison.Ordinal);
        Assert.Equal("-WRONGPASS invalid username-password pair or user is disabled.", client.Run("AUTH wrong"));
        Assert.Equal("-WRONGPASS invalid username-password pair or user is disabled.", client.Run("AUTH nobody secret"));
        Assert.Equal("+OK", client.Run("AUTH default secret"));
        Assert.Equal("nil", client.Run("GET a"));

        Assert.StartsWith("%{", db.Connect().Run("HELLO 3 AUTH default secret SETNAME me"), StringComparison.Ordinal);
    }

    [Fact]
    public void AUTH_without_a_configured_password_says_so()
    {
        using var db = new InProcess();
        Assert.StartsWith("-ERR AUTH <password> called without any password configured", db.Run("AUTH x"), StringComparison.Ordinal);
        Assert.Equal("+OK", db.Run("AUTH default anything"));
    }

    [Fact]
    public void RESET_brings_everything_back_to_a_new_connection()
    {
        using var db = new InProcess();
        db.Run("HELLO 3");
        db.Prepare("SELECT 3", "CLIENT SETNAME me", "WATCH a", "MULTI");
        Assert.Equal("+RESET", db.Run("RESET"));
        Assert.Equal("nil", db.Run("GET none"));
        Assert.Equal("nil", db.Run("CLIENT GETNAME"));
        Assert.Equal("-ERR EXEC without MULTI", db.Run("EXEC"));
        Assert.Contains(" db=0 ", db.Run("CLIENT INFO"), StringComparison.Ordinal);
    }

    [Fact]
    public void SELECT_refuses_what_is_no_database()
    {
        using var db = new InProcess();
        Assert.Equal("-ERR DB index is out of range", db.Run("SELECT 16"));
        Assert.Equal("-ERR value is not an integer or out of range", db.Run("SELECT abc"));
        Assert.Equal("+OK", db.Run("SELECT 15"));
    }

    [Fact]
    public void CLIENT_REPLY_OFF_and_SKIP_silence_replies_but_not_pushes()
    {
        using var db = new InProcess();
        InProcess.Client client = db.Connect();
        Assert.Equal("(none)", client.Run("CLIENT REPLY SKIP"));
        Assert.Equal("(none)", client.Run("PING"));
        Assert.Equal("+PONG", client.Run("PING"));
        Assert.Equal("(none)", client.Run("CLIENT REPLY OFF"));
        Assert.Equal("(none)", client.Run("PING"));
        Assert.Equal("[\"subscribe\", \"c\", :1]", client.Run("SUBSCRIBE c"));
        db.Run("PUBLISH c hello");
        Assert.Equal("[\"message\", \"c\", \"hello\"]", client.Take());
    }

    [Fact]
    public void CLIENT_KILL_by_id_ends_another_connection_at_once()
    {
        using var db = new InProcess();
        InProcess.Client client = db.Connect();
        Assert.Equal(":1", db.Run($"CLIENT KILL ID {client.Session.Id}"));
        Assert.True(client.IsClosed);
        Assert.DoesNotContain($"id={client.Session.Id} ", db.Run("CLIENT LIST"), StringComparison.Ordinal);
        Assert.Equal(":0", db.Run($"CLIENT KILL ID {client.Session.Id}"));
        Assert.Equal("-ERR No such client", db.Run("CLIENT KILL 1.2.3.4:5"));
        Assert.Equal("-ERR syntax error", db.Run("CLIENT KILL ID 5 SKIPME"));
        Assert.Equal("-ERR No such user 'x'", db.Run("CLIENT KILL USER x"));
    }

    [Fact]
    public void CLIENT_SETINFO_and_SETNAME_take_printable_text_only()
    {
        using var db = new InProcess();
        Assert.Equal("+OK", db.Run("CLIENT SETINFO lib-name redis-cs"));
        Assert.Equal("+OK", db.Run("CLIENT SETINFO LIB-VER 1.0"));
        Assert.Contains("lib-name=redis-cs lib-ver=1.0", db.Run("CLIENT LIST"), StringComparison.Ordinal);
        Assert.Equal("-ERR lib-name cannot contain spaces, newlines or special characters.", db.Run("CLIENT SETINFO lib-name \"a b\""));
        Assert.Equal("-ERR Unrecognized option 'x'", db.Run("CLIENT SETINFO x 1"));
        Assert.Equal("-ERR Client names cannot contain spaces, newlines or special characters.", db.Run("CLIENT SETNAME \"a b\""));
    }

    [Fact]
    public void CLIENT_PAUSE_WRITE_holds_writes_back_and_lets_reads_through()
    {
        using var db = new InProcess();
        Assert.Equal("+OK", db.Run("CLIENT PAUSE 1000 WRITE"));
        InProcess.Client reader = db.Connect(), writer = db.Connect();
        Assert.Equal("nil", reader.Run("GET a"));
        Assert.Equal("(none)", writer.Run("SET a 1"));
        Assert.Equal("(none)", writer.Run("GET a"));
        Assert.Contains("blocked_clients:1", db.Run("INFO clients"), StringComparison.Ordinal);
        Assert.Equal("+OK", db.Run("CLIENT UNPAUSE"));
        Assert.Equal("+OK", writer.Take());
        Assert.Equal("\"1\"", writer.Take());
    }

    [Fact]
    public void CLIENT_PAUSE_ends_by_itself()
    {
        using var db = new InProcess();
        db.Run("CLIENT PAUSE 100");
        InProcess.Client client = db.Connect();
        Assert.Equal("(none)", client.Run("PING"));
        db.Clock.Advance(99);
        Assert.Equal(1, db.Server.Cron(db.Clock.NowMs));
        Assert.Null(client.Take());
        db.Clock.Advance(1);
        db.Server.Cron(db.Clock.NowMs);
        Assert.Equal("+PONG", client.Take());
    }

    [Fact]
    public void CLIENT_UNBLOCK_ends_a_wait_with_the_timeout_reply_or_an_error()
    {
        using var db = new InProcess();
        InProcess.Client client = db.Connect();
        Assert.Equal("(none)", client.Run("BLPOP l 0"));
        Assert.Equal(":1", db.Run($"CLIENT UNBLOCK {client.Session.Id}"));
        Assert.Equal("nil-array", client.Take());
        Assert.Equal("(none)", client.Run("BLPOP l 0"));
        Assert.Equal(":1", db.Run($"CLIENT UNBLOCK {client.Session.Id} ERROR"));
        Assert.Equal("-UNBLOCKED client unblocked via CLIENT UNBLOCK", client.Take());
        Assert.Equal(":0", db.Run($"CLIENT UNBLOCK {client.Session.Id}"));
    }

    [Fact]
    public void An_idle_client_is_closed_after_the_configured_time()
    {
        using var db = new InProcess();
        db.Run("CONFIG SET timeout 10");
        InProcess.Client idle = db.Connect(), subscribed = db.Connect();
        subscribed.Run("SUBSCRIBE c");
        db.Clock.Advance(11_000);
        db.Server.Cron(db.Clock.NowMs);
        Assert.True(idle.IsClosed);
        Assert.False(subscribed.IsClosed);
    }
}
