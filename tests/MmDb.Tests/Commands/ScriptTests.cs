using System.Text;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Commands;

public sealed class ScriptTests : IDisposable
{
    private const string Library = "#!lua name=lib\\nredis.register_function('f', function(keys, args) return redis.call('SET', keys[1], args[1]) end)";

    private readonly InProcess _db = new();

    public void Dispose() => _db.Dispose();

    [Theory]
    [InlineData("EVAL \"return redis.call('INCR', KEYS[1])\" 1 n", ":1")]
    [InlineData("EVAL \"return {1, 'two', {3}, false}\" 0", "[:1, \"two\", [:3], nil]")]
    [InlineData("EVAL \"return cjson.encode({KEYS, ARGV})\" 1 a b", "\"[[\\\"a\\\"],[\\\"b\\\"]]\"")]
    [InlineData("EVAL \"x = 1\" 0", "-ERR user_script:1: Attempt to modify a readonly table script: 7caf6056913504f0508c65faf2dc3f94ff65bcfd, on @user_script:1.")]
    [InlineData("EVAL_RO \"return redis.call('SET', 'k', 1)\" 0", "-ERR Write commands are not allowed from read-only scripts. script: 7ae2e16d78f4a72a5d7d2bd7ce9e2bd1e2bf8ec8, on @user_script:1.")]
    [InlineData("EVALSHA ffffffffffffffffffffffffffffffffffffffff 0", "-NOSCRIPT No matching script. Please use EVAL.")]
    [InlineData("FCALL nosuch 0", "-ERR Function not found")]
    [InlineData("SCRIPT KILL", "-NOTBUSY No scripts in execution right now.")]
    public void Replies_are_those_of_Redis(string command, string reply)
    {
        string actual = _db.Run(command);
        // The digest is that of the text, and not what this test is about.
        Assert.Equal(WithoutDigest(reply), WithoutDigest(actual));
    }

    private static string WithoutDigest(string reply) => System.Text.RegularExpressions.Regex.Replace(reply, "[0-9a-f]{40}", "digest");

    [Fact]
    public void All_that_a_script_changes_is_one_entry_of_the_log()
    {
        using var db = new InProcess(recording: true);
        ulong before = db.Server.DefaultMimei.Log!.LastSequence;
        db.Run("EVAL \"for i = 1, 50 do redis.call('SET', 'k' .. i, i) redis.call('LPUSH', 'l', i) end redis.call('SELECT', 2) redis.call('SET', 'there', 1)\" 0");
        Assert.Equal(before + 1, db.Server.DefaultMimei.Log!.LastSequence);
        string contents = db.Contents();
        using InProcess replayed = db.Replay();
        Assert.Equal(contents, replayed.Contents());
    }

    [Fact]
    public void While_writes_are_paused_scripts_run_that_say_they_do_not_write()
    {
        InProcess.Client other = _db.Connect();
        Assert.Equal("+OK", other.Run("MULTI"));
        Assert.Equal("+QUEUED", other.Run("EVAL \"#!lua\\nreturn 7\" 0"));
        _db.Prepare(
            "FUNCTION LOAD \"#!lua name=l\\nredis.register_function{function_name='reads', callback=function() return 'read' end, flags={'no-writes'}}\"",
            "CLIENT PAUSE 100000 WRITE");
        Assert.Equal(":2", _db.Run("EVAL \"#!lua flags=no-writes\\nreturn 2\" 0"));
        string digest = _db.Run("SCRIPT LOAD \"#!lua flags=no-writes\\nreturn 3\"").Trim('"');
        Assert.Equal(":3", _db.Run($"EVALSHA {digest.ToUpperInvariant()} 0"));
        Assert.Equal(":4", _db.Run("EVAL_RO \"return 4\" 0"));
        Assert.Equal("\"read\"", _db.Run("FCALL reads 0"));
        _db.Prepare("MULTI", "EVAL \"#!lua flags=no-writes\\nreturn 5\" 0");
        Assert.Equal("[:5]", _db.Run("EXEC"));
        Assert.Equal("(none)", _db.Run("EVAL \"return 6\" 0"));
        Assert.Equal("(none)", other.Run("EXEC"));
        Assert.Equal("+OK", _db.Connect().Run("CLIENT UNPAUSE"));
        Assert.Equal(":6", _db.Default.Take());
        Assert.Equal("[:7]", other.Take());
    }

    [Fact]
    public void What_a_script_changed_before_it_failed_stays()
    {
        using var db = new InProcess(recording: true);
        Assert.StartsWith("-ERR user_script:1: no", db.Run("EVAL \"redis.call('SET', 'k', 1) error('no')\" 0"), StringComparison.Ordinal);
        using InProcess replayed = db.Replay();
        Assert.Equal("\"1\"", replayed.Run("GET k"));
    }

    [Fact]
    public void Function_libraries_come_back_from_the_log()
    {
        using var db = new InProcess(recording: true);
        Assert.Equal("\"lib\"", db.Run($"FUNCTION LOAD \"{Library}\""));
        Assert.Equal("\"other\"", db.Run($"FUNCTION LOAD \"{Library.Replace("name=lib", "name=other").Replace("'f'", "'g'")}\""));
        Assert.Equal("+OK", db.Run("FUNCTION DELETE other"));
        using InProcess replayed = db.Replay();
        Assert.Equal("-ERR Function not found", replayed.Run("FCALL g 1 k v"));
        Assert.Equal("+OK", replayed.Run("FCALL f 1 k v"));
        Assert.Equal("\"v\"", replayed.Run("GET k"));
    }

    [Fact]
    public void A_dump_of_functions_brings_them_back_and_a_damaged_one_does_not()
    {
        _db.Prepare($"FUNCTION LOAD \"{Library}\"");
        byte[] dump = Bytes(_db.Run("FUNCTION DUMP"));
        Assert.Equal("-ERR Library lib already exists", Restore(dump, null));
        _db.Prepare("FUNCTION FLUSH");
        Assert.Equal("+OK", Restore(dump, null));
        Assert.Equal("+OK", _db.Run("FCALL f 1 k v"));
        Assert.Equal("+OK", Restore(dump, "REPLACE"));
        Assert.Equal("+OK", Restore(dump, "FLUSH"));
        Seed.Run(random =>
        {
            for (int i = 0; i < 300; i++)
            {
                byte[] damaged = dump[..random.Next(dump.Length)];
                Assert.StartsWith("-ERR", Restore(damaged, null), StringComparison.Ordinal);
                damaged = [.. dump];
                damaged[random.Next(dump.Length)] ^= (byte)(1 << random.Next(8));
                Assert.StartsWith("-ERR", Restore(damaged, null), StringComparison.Ordinal);
            }
        });
    }

    private string Restore(byte[] dump, string? policy) => policy is null
        ? _db.Run(["FUNCTION"u8.ToArray(), "RESTORE"u8.ToArray(), dump])
        : _db.Run(["FUNCTION"u8.ToArray(), "RESTORE"u8.ToArray(), dump, Encoding.ASCII.GetBytes(policy)]);

    private static byte[] Bytes(string quoted)
    {
        Assert.StartsWith("\"", quoted, StringComparison.Ordinal);
        return Quoting.Split(quoted)[0];
    }

    [Fact]
    public void Scripts_do_not_see_what_other_scripts_did()
    {
        _db.Run("EVAL \"KEYS.x = 1 ARGV[5] = 2 redis.setresp(3)\" 0");
        Assert.Equal("[nil, nil]", _db.Run("EVAL \"return {KEYS.x or false, ARGV[5] or false}\" 0"));
    }

    [Fact]
    public void Hostile_scripts_leave_the_server_alive()
    {
        foreach (string script in (string[])
            [
                "return ('x'):rep(2^31 - 1)", "local t = {} while true do t[#t + 1] = ('x'):rep(1e7) end", "local function f() return f() + 1 end return f()",
                "return cjson.decode(('['):rep(1e6))",
                "return redis.call(unpack({}, 1, 7000))", "return {pcall(redis.call)}", "return redis.call('SET', 'k', setmetatable({}, {__tostring = error}))",
                "return coroutine.wrap(function() return redis.call('PING') end)()", "error(setmetatable({}, {__index = error}))", "return setmetatable({}, {__index = error})",
            ])
        {
            _db.Run(["EVAL"u8.ToArray(), Encoding.ASCII.GetBytes(script), "0"u8.ToArray()]);
            Assert.Equal("+PONG", _db.Run("PING"));
            Assert.Equal(":1", _db.Run("EVAL \"return 1\" 0"));
        }
    }
}
