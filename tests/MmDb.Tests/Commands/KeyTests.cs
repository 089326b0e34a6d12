using System.Globalization;
using System.Text;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Commands;

public sealed class KeyTests : IDisposable
{
    private readonly InProcess _db = new();

    public void Dispose() => _db.Dispose();

    [Theory]
    [InlineData("DEL a b none a", ":2")]
    [InlineData("UNLINK a none", ":1")]
    [InlineData("EXISTS a a none", ":2")]
    [InlineData("TOUCH a b none", ":2")]
    [InlineData("TYPE a", "+string")]
    [InlineData("TYPE none", "+none")]
    [InlineData("KEYS a", "[\"a\"]")]
    [InlineData("KEYS none", "[]")]
    [InlineData("KEYS [a-b]", "[\"a\", \"b\"]")]
    [InlineData("RENAME none b", "-ERR no such key")]
    [InlineData("RENAME a a", "+OK")]
    [InlineData("RENAMENX a a", ":0")]
    [InlineData("RENAMENX a b", ":0")]
    [InlineData("RENAMENX a c", ":1")]
    [InlineData("RENAME a b", "+OK")]
    [InlineData("COPY a b", ":0")]
    [InlineData("COPY a c", ":1")]
    [InlineData("COPY a b REPLACE", ":1")]
    [InlineData("COPY a a", "-ERR source and destination objects are the same")]
    [InlineData("COPY a a DB 1", ":1")]
    [InlineData("COPY a b DB 16", "-ERR DB index is out of range")]
    [InlineData("COPY a b DB 2147483648", "-ERR value is out of range, value must between -2147483648 and 2147483647")]
    [InlineData("COPY a b REPLACED", "-ERR syntax error")]
    [InlineData("COPY none c", ":0")]
    [InlineData("MOVE a 1", ":1")]
    [InlineData("MOVE a 0", "-ERR source and destination objects are the same")]
    [InlineData("MOVE a x", "-ERR value is not an integer or out of range")]
    [InlineData("MOVE none 1", ":0")]
    [InlineData("SCAN x", "-ERR invalid cursor")]
    [InlineData("SCAN 0 COUNT 0", "-ERR syntax error")]
    [InlineData("SCAN 0 COUNT", "-ERR syntax error")]
    [InlineData("SCAN 0 TYPE list", "[\"0\", []]")]
    [InlineData("OBJECT ENCODING a", "\"int\"")]
    [InlineData("OBJECT ENCODING b", "\"embstr\"")]
    [InlineData("OBJECT ENCODING none", "nil")]
    [InlineData("OBJECT REFCOUNT a", ":2147483647")]
    [InlineData("OBJECT REFCOUNT b", ":1")]
    [InlineData("OBJECT FREQ a", "-ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.")]
    public void Commands_for_keys_reply_as_in_Redis(string command, string reply)
    {
        _db.Prepare("SET a 1", "SET b text");
        string actual = _db.Run(command);
        Assert.Equal(reply, command.StartsWith("KEYS [", StringComparison.Ordinal) && actual == "[\"b\", \"a\"]" ? "[\"a\", \"b\"]" : actual);
    }

    [Theory]
    [InlineData("SET k 12345678901234567890", "embstr")]
    [InlineData("SET k 1234567890", "int")]
    [InlineData("SET k 01", "embstr")]
    [InlineData("SET k aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "embstr")]
    [InlineData("SET k aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "raw")]
    [InlineData("APPEND k 1", "int")]
    [InlineData("APPEND old 1", "raw")]
    [InlineData("SETRANGE k 0 a", "raw")]
    [InlineData("INCRBYFLOAT k 1", "embstr")]
    [InlineData("INCR k", "int")]
    [InlineData("SETBIT k 0 1", "raw")]
    [InlineData("SETBIT old 7 1", "raw")]
    [InlineData("BITFIELD old SET u8 0 49", "raw")]
    public void Strings_report_the_encoding_that_Redis_would_choose(string command, string encoding)
    {
        _db.Prepare("SET old 1", command);
        Assert.Equal($"\"{encoding}\"", _db.Run($"OBJECT ENCODING {(command.Contains("old", StringComparison.Ordinal) ? "old" : "k")}"));
    }

    [Fact]
    public void RENAME_COPY_and_MOVE_take_the_expiry_along()
    {
        _db.Prepare("SET a v PX 5000", "SET b w", "RENAME a b", "COPY b c", "MOVE b 3");
        Assert.Equal(":5000", _db.Run("PTTL c"));
        Assert.Equal(":-2", _db.Run("PTTL b"));
        _db.Prepare("SELECT 3");
        Assert.Equal(":5000", _db.Run("PTTL b"));
    }

    [Fact]
    public void Events_of_keys_are_those_of_Redis()
    {
        _db.ListenToEvents();
        _db.Prepare("SET a 1", "RENAME a b", "COPY b c DB 2", "MOVE b 1", "DEL a", "SELECT 1", "EXPIRE b 10", "PERSIST b", "EXPIRE b -1");
        Assert.Equal(
            [
                "new a", "set a", "new b", "rename_from a", "rename_to b", "new c@2", "copy_to c@2", "new b@1", "move_from b", "move_to b@1",
                "expire b@1", "persist b@1", "del b@1",
            ],
            _db.Events);
    }

    [Theory]
    [InlineData("EXPIRE p 100", ":1", 100_000)]
    [InlineData("EXPIRE p 100 NX", ":1", 100_000)]
    [InlineData("EXPIRE p 100 XX", ":0", -1)]
    [InlineData("EXPIRE p 100 GT", ":0", -1)]
    [InlineData("EXPIRE p 100 LT", ":1", 100_000)]
    [InlineData("EXPIRE e 100 NX", ":0", 50_000)]
    [InlineData("EXPIRE e 100 XX GT", ":1", 100_000)]
    [InlineData("EXPIRE e 100 LT", ":0", 50_000)]
    [InlineData("PEXPIRE e 50000 GT", ":0", 50_000)]
    [InlineData("PEXPIRE e 10 LT", ":1", 10)]
    [InlineData("EXPIRE e 0", ":1", -2)]
    [InlineData("EXPIREAT e 1", ":1", -2)]
    [InlineData("PEXPIREAT e 1700000000001", ":1", 1)]
    [InlineData("EXPIRE e 9223372036854775807", "-ERR invalid expire time in 'expire' command", 50_000)]
    [InlineData("PEXPIRE e 9223372036854775807", "-ERR invalid expire time in 'pexpire' command", 50_000)]
    [InlineData("EXPIRE e -9223372036854775808", "-ERR invalid expire time in 'expire' command", 50_000)]
    [InlineData("EXPIRE e 1 NX GT", "-ERR NX and XX, GT or LT options at the same time are not compatible", 50_000)]
    [InlineData("EXPIRE e 1 GT LT", "-ERR GT and LT options at the same time are not compatible", 50_000)]
    [InlineData("EXPIRE e 1 AB", "-ERR Unsupported option AB", 50_000)]
    [InlineData("EXPIRE e x", "-ERR value is not an integer or out of range", 50_000)]
    [InlineData("PERSIST e", ":1", -1)]
    [InlineData("PERSIST p", ":0", -1)]
    public void EXPIRE_heeds_its_conditions(string command, string reply, long left)
    {
        _db.Prepare("SET p v", "SET e v EX 50");
        Assert.Equal(reply, _db.Run(command));
        Assert.Equal($":{left}", _db.Run($"PTTL {command.Split(' ')[1]}"));
    }

    [Fact]
    public void TTL_rounds_to_the_nearest_second()
    {
        _db.Prepare("SET k v PX 1499");
        Assert.Equal(":1", _db.Run("TTL k"));
        _db.Prepare("SET k v PX 1500");
        Assert.Equal(":2", _db.Run("TTL k"));
        Assert.Equal(":1700000002", _db.Run("EXPIRETIME k"));
        Assert.Equal(":1700000001500", _db.Run("PEXPIRETIME k"));
    }

    [Fact]
    public void SCAN_returns_every_key_that_stays_while_others_come_and_go() => Seed.Run(random =>
    {
        const int stays = 500;
        for (int i = 0; i < stays; i++)
        {
            _db.Run($"SET stay:{i} v");
        }

        var seen = new HashSet<string>();
        string cursor = "0";
        int other = 0;
        do
        {
            string reply = _db.Run($"SCAN {cursor} COUNT {random.Next(1, 40)}");
            foreach (string word in reply.Split('"'))
            {
                if (word.StartsWith("stay:", StringComparison.Ordinal))
                {
                    seen.Add(word);
                }
            }

            cursor = reply.Split('"')[1];
            for (int i = random.Next(200); i > 0; i--)
            {
                _db.Run(random.Next(3) == 0 ? $"DEL other:{random.Next(other + 1)}" : $"SET other:{other++} v");
            }
        }
        while (cursor != "0");
        Assert.Equal(stays, seen.Count);
    });

    [Fact]
    public void SCAN_and_KEYS_and_RANDOMKEY_hide_what_has_expired()
    {
        for (int i = 0; i < 200; i++)
        {
            _db.Run($"SET gone:{i} v PX 1");
        }

        _db.Prepare("SET here v");
        _db.Clock.Advance(1);
        Assert.Equal("[\"here\"]", _db.Run("KEYS *"));
        Assert.Equal("[\"0\", []]", _db.Run("SCAN 0 COUNT 1000 TYPE list MATCH gone:1"));
        Assert.Equal(200, _db.Keyspace.Databases[0].Count);
        Assert.Equal("\"here\"", _db.Run("RANDOMKEY"));
        Assert.Equal("[\"0\", [\"here\"]]", _db.Run("SCAN 0 COUNT 1000"));
        Assert.Equal("[\"0\", []]", _db.Run("SCAN 0 COUNT 1000 MATCH gone*"));
        Assert.Equal(1, _db.Keyspace.Databases[0].Count);
        _db.Prepare("DEL here");
        Assert.Equal("nil", _db.Run("RANDOMKEY"));
    }

    [Fact]
    public void OBJECT_IDLETIME_counts_seconds_since_the_last_use()
    {
        _db.Prepare("SET k v");
        _db.Clock.Advance(7_000);
        Assert.Equal(":1", _db.Run("EXISTS k"));
        Assert.Equal(":7", _db.Run("OBJECT IDLETIME k"));
        _db.Prepare("GET k");
        Assert.Equal(":0", _db.Run("OBJECT IDLETIME k"));
        _db.Clock.Advance(3_000);
        _db.Prepare("SET k w");
        Assert.Equal(":0", _db.Run("OBJECT IDLETIME k"));
    }

    [Theory]
    [InlineData("*", "anything", true)]
    [InlineData("h?llo", "hello", true)]
    [InlineData("h*llo", "heeeello", true)]
    [InlineData("h[ae]llo", "hillo", false)]
    [InlineData("h[^e]llo", "hallo", true)]
    [InlineData("h[a-c]llo", "hbllo", true)]
    [InlineData("h[c-a]llo", "hbllo", true)]
    [InlineData("h[\\]]llo", "h]llo", true)]
    [InlineData("h\\*llo", "h*llo", true)]
    [InlineData("h\\*llo", "hxllo", false)]
    [InlineData("a[b", "ab", true)]
    [InlineData("a[", "ab", false)]
    [InlineData("a\\", "a\\", true)]
    [InlineData("", "", true)]
    [InlineData("*", "", false)]
    [InlineData("a**", "a", true)]
    [InlineData("a*b*c", "aXbYc", true)]
    [InlineData("a*b*c", "aXcYb", false)]
    [InlineData("HELLO", "hello", false)]
    public void Patterns_match_as_in_Redis(string pattern, string text, bool matches) =>
        Assert.Equal(matches, GlobPattern.Matches(Encoding.Latin1.GetBytes(pattern), Encoding.Latin1.GetBytes(text)));

    [Fact]
    public void A_pattern_of_many_stars_takes_no_exponential_time()
    {
        byte[] pattern = Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat("a*", 500)) + "b");
        Assert.False(GlobPattern.Matches(pattern, Encoding.ASCII.GetBytes(new string('a', 5000))));
        Assert.True(GlobPattern.Matches("HE*O"u8, "hello"u8, ignoreCase: true));
    }

    [Fact]
    public void Random_commands_replayed_from_the_log_make_the_same_contents() => Seed.Run(static random =>
    {
        using var db = new InProcess(recording: true);
        for (int i = 0; i < 3000; i++)
        {
            string key = "k" + random.Next(12).ToString(CultureInfo.InvariantCulture), other = "k" + random.Next(12).ToString(CultureInfo.InvariantCulture);
            db.Run(random.Next(12) switch
            {
                0 or 1 => $"SET {key} {new string('v', random.Next(5000))}",
                2 => $"SET {key} {random.Next()} PX {random.Next(1, 100)}",
                3 => $"RENAME {key} {other}",
                4 => $"RENAMENX {key} {other}",
                5 => $"COPY {key} {other} DB {random.Next(3)} REPLACE",
                6 => $"MOVE {key} {random.Next(3)}",
                7 => $"EXPIRE {key} {random.Next(-1, 3)} GT",
                8 => $"PEXPIRE {key} {random.Next(-5, 100)}",
                9 => $"PERSIST {key}",
                10 => $"DEL {key} {other}",
                _ => $"SELECT {random.Next(3)}",
            });
            db.Clock.Advance(random.Next(3));
        }

        string contents = db.Contents();
        using InProcess replayed = db.Replay();
        Assert.Equal(contents, replayed.Contents());
    });

    [Fact]
    public void FLUSHALL_frees_the_small_collections_among_many_keys()
    {
        // Small tables are freed at once, while the walk through the database's own table is under way.
        for (int i = 0; i < 300; i++)
        {
            _db.Run($"SADD set{i} a b c {new string('x', 100)} d e f");
            _db.Run($"HSET hash{i} f v g {new string('y', 100)}");
            _db.Run($"SET string{i} value");
        }

        Assert.Equal("+OK", _db.Run("FLUSHALL"));
        Wait.Until(() =>
        {
            _db.Clock.Advance(100);
            _db.Server.Cron(_db.Clock.NowMs);
            return _db.Keyspace.LazyFree.PendingCount == 0;
        });
        Assert.Equal(":0", _db.Run("DBSIZE"));
        Assert.Equal("+OK", _db.Run("SET a b"));
    }
}
