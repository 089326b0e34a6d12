using System.Globalization;
using System.Text;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Commands;

public sealed class StringTests : IDisposable
{
    private readonly InProcess _db = new();

    public void Dispose() => _db.Dispose();

    [Theory]
    [InlineData("SET k v", "+OK")]
    [InlineData("set k v nx", "nil")]
    [InlineData("set other v nx", "+OK")]
    [InlineData("set other v xx", "nil")]
    [InlineData("set k v xx get", "\"old\"")]
    [InlineData("set k v nx get", "\"old\"")]
    [InlineData("set other v get", "nil")]
    [InlineData("set k v nx xx", "-ERR syntax error")]
    [InlineData("set k v ex", "-ERR syntax error")]
    [InlineData("set k v ex 10 px 10", "-ERR syntax error")]
    [InlineData("set k v keepttl ex 10", "-ERR syntax error")]
    [InlineData("set k v persist", "-ERR syntax error")]
    [InlineData("set k v ex 10 ex 20", "+OK")]
    [InlineData("set k v ex 0", "-ERR invalid expire time in 'set' command")]
    [InlineData("set k v px -1", "-ERR invalid expire time in 'set' command")]
    [InlineData("set k v ex 9223372036854775807", "-ERR invalid expire time in 'set' command")]
    [InlineData("set k v px 9223372036854775807", "-ERR invalid expire time in 'set' command")]
    [InlineData("set k v exat x", "-ERR value is not an integer or out of range")]
    [InlineData("setex k 0 v", "-ERR invalid expire time in 'setex' command")]
    [InlineData("psetex k 10 v", "+OK")]
    [InlineData("getset k new", "\"old\"")]
    [InlineData("getex k ex 0", "-ERR invalid expire time in 'getex' command")]
    [InlineData("getex k keepttl", "-ERR syntax error")]
    [InlineData("getex none ex 0", "nil")]
    public void SET_and_its_company_reply_as_Redis_does(string command, string reply)
    {
        _db.Run("SET k old");
        Assert.Equal(reply, _db.Run(command));
    }

    [Fact]
    public void SET_drops_the_expiry_unless_told_to_keep_it()
    {
        _db.Prepare("SET k v EX 100", "SET k w KEEPTTL");
        Assert.Equal(100_000, ExpiresIn("k"));
        _db.Prepare("SET k v");
        Assert.Equal(-1, ExpiresIn("k"));
        _db.Prepare("GETEX k PX 5000");
        Assert.Equal(5000, ExpiresIn("k"));
        _db.Prepare("GETEX k PERSIST");
        Assert.Equal(-1, ExpiresIn("k"));
    }

    [Fact]
    public void A_key_expires_at_its_instant_and_is_then_deleted_with_an_event()
    {
        _db.Prepare("SET k v PX 10");
        _db.ListenToEvents(KeyspaceEvents.All);
        _db.Clock.Advance(9);
        Assert.Equal("\"v\"", _db.Run("GET k"));
        _db.Clock.Advance(1);
        Assert.Equal("nil", _db.Run("GET k"));
        Assert.Equal(["expired k"], _db.Events);
        Assert.Equal(0, _db.Keyspace.Databases[0].Count);
    }

    [Theory]
    [InlineData("INCR k", ":1")]
    [InlineData("SETNX k v", ":1")]
    [InlineData("APPEND k ab", ":2")]
    [InlineData("SETRANGE k 2 x", ":3")]
    [InlineData("INCRBYFLOAT k 1.5", "\"1.5\"")]
    [InlineData("GETSET k v", "nil")]
    [InlineData("SET k v GET", "nil")]
    [InlineData("MSETNX k v", ":1")]
    public void An_expired_key_counts_as_missing_for_every_write(string command, string reply)
    {
        _db.Prepare("SET k 41 PX 10");
        _db.Clock.Advance(10);
        Assert.Equal(reply, _db.Run(command));
        Assert.Equal(-1, ExpiresIn("k"));
    }

    [Fact]
    public void GETEX_with_an_instant_that_has_passed_deletes_the_key()
    {
        _db.Prepare("SET k v");
        _db.ListenToEvents(KeyspaceEvents.All);
        Assert.Equal("\"v\"", _db.Run("GETEX k PXAT 1"));
        Assert.Equal("nil", _db.Run("GET k"));
        Assert.Equal(["del k"], _db.Events);
    }

    [Fact]
    public void Events_of_strings_are_those_of_Redis()
    {
        _db.ListenToEvents();
        _db.Prepare("SET k 1 EX 10", "INCR k", "INCRBYFLOAT k 0.5", "APPEND k x", "SETRANGE k 0 y", "GETDEL k", "MSET a 1 b 2", "MSETNX c 3", "GETSET a 2", "GET none");
        Assert.Equal(
            [
                "new k", "set k", "expire k", "incrby k", "incrbyfloat k", "append k", "setrange k", "del k", "new a", "set a", "new b", "set b",
                "new c", "set c", "set a", "keymiss none",
            ],
            _db.Events);
    }

    [Theory]
    [InlineData("9223372036854775807", "INCR k", "-ERR increment or decrement would overflow")]
    [InlineData("-9223372036854775808", "DECR k", "-ERR increment or decrement would overflow")]
    [InlineData("0", "DECRBY k -9223372036854775808", "-ERR decrement would overflow")]
    [InlineData("-1", "INCRBY k -9223372036854775807", ":-9223372036854775808")]
    [InlineData("01", "INCR k", "-ERR value is not an integer or out of range")]
    [InlineData("' 1'", "INCR k", "-ERR value is not an integer or out of range")]
    [InlineData("1", "INCRBY k 1.0", "-ERR value is not an integer or out of range")]
    [InlineData("10", "DECRBY k 3", ":7")]
    public void Integers_are_64_bits_and_strict(string value, string command, string reply)
    {
        _db.Prepare($"SET k {value}");
        Assert.Equal(reply, _db.Run(command));
    }

    [Theory]
    [InlineData("10.50", "0.1", "\"10.6\"")]
    [InlineData("5.0e3", "2.0e2", "\"5200\"")]
    [InlineData("0.1", "0.2", "\"0.3\"")]
    [InlineData("1", "1e-17", "\"1.00000000000000001\"")]
    [InlineData("1", "1e-18", "\"1\"")]
    [InlineData("3", "-1.1", "\"1.9\"")]
    [InlineData("-1", "1", "\"0\"")]
    [InlineData("0", "-1e-30", "\"0\"")]
    [InlineData("0x10", "0x.8p1", "\"17\"")]
    [InlineData("1e18", "1", "\"1000000000000000001\"")]
    [InlineData("1e19", "1", "\"10000000000000000001\"")]
    [InlineData("1e20", "1", "\"100000000000000000000\"")]
    [InlineData("1", "inf", "-ERR increment would produce NaN or Infinity")]
    [InlineData("1", "nan", "-ERR value is not a valid float")]
    [InlineData("1", "1e5000", "-ERR value is not a valid float")]
    [InlineData("1", "1e-5000", "-ERR value is not a valid float")]
    [InlineData("1", "' 1'", "-ERR value is not a valid float")]
    [InlineData("1", "1x", "-ERR value is not a valid float")]
    [InlineData("1", "", "-ERR wrong number of arguments for 'incrbyfloat' command")]
    [InlineData("abc", "1", "-ERR value is not a valid float")]
    [InlineData("1e4932", "1e4932", "-ERR increment would produce NaN or Infinity")]
    public void INCRBYFLOAT_computes_with_the_80_bits_of_Redis(string value, string increment, string reply)
    {
        _db.Prepare($"SET k {value}");
        Assert.Equal(reply, _db.Run($"INCRBYFLOAT k {increment}"));
    }

    [Fact]
    public void APPEND_and_SETRANGE_grow_a_string_through_all_its_layouts()
    {
        var expected = new StringBuilder("12");
        _db.Prepare("SET k 12 EX 100");
        for (int i = 0; i < 300; i++)
        {
            string part = new((char)('a' + (i % 26)), i);
            expected.Append(part);
            _db.Run([.. Words("APPEND", "k", part)]);
        }

        Assert.Equal($"\"{expected}\"", _db.Run("GET k"));
        Assert.Equal($":{expected.Length}", _db.Run("STRLEN k"));
        _db.Prepare($"SETRANGE k {expected.Length + 3} end");
        Assert.Equal("\"\\x00\\x00\\x00end\"", _db.Run("GETRANGE k -6 -1"));
        Assert.Equal(100_000, ExpiresIn("k"));
        _db.Prepare("SET k v");
        Assert.Equal("\"v\"", _db.Run("GET k"));
    }

    [Theory]
    [InlineData("SETRANGE k -1 x", "-ERR offset is out of range")]
    [InlineData("SETRANGE k 536870912 x", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)")]
    [InlineData("SETRANGE k 9223372036854775807 xx", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)")]
    [InlineData("SETRANGE k 9223372036854775807 ''", ":5")]
    [InlineData("SETRANGE none 5 ''", ":0")]
    [InlineData("SETRANGE k 1 EY", ":5")]
    [InlineData("GETRANGE k 0 -1", "\"hello\"")]
    [InlineData("GETRANGE k -3 -2", "\"ll\"")]
    [InlineData("GETRANGE k -2 -3", "\"\"")]
    [InlineData("GETRANGE k 3 1", "\"\"")]
    [InlineData("GETRANGE k 4 100", "\"o\"")]
    [InlineData("GETRANGE k 5 100", "\"\"")]
    [InlineData("GETRANGE none 0 -1", "\"\"")]
    [InlineData("SUBSTR k 1 2", "\"el\"")]
    [InlineData("GETRANGE k -9223372036854775808 9223372036854775807", "\"hello\"")]
    [InlineData("STRLEN none", ":0")]
    [InlineData("MGET k none n", "[\"hello\", nil, \"42\"]")]
    [InlineData("GETRANGE n 1 1", "\"2\"")]
    [InlineData("STRLEN n", ":2")]
    [InlineData("APPEND n 3", ":3")]
    [InlineData("MSET a 1 b", "-ERR wrong number of arguments for 'mset' command")]
    [InlineData("MSETNX a 1 k 2", ":0")]
    public void Parts_of_strings_are_read_and_written_as_in_Redis(string command, string reply)
    {
        _db.Prepare("SET k hello", "SET n 42");
        Assert.Equal(reply, _db.Run(command));
    }

    [Theory]
    [InlineData("LCS a b", "\"mytext\"")]
    [InlineData("LCS a b LEN", ":6")]
    [InlineData("LCS a b IDX", "[\"matches\", [[[:4, :7], [:5, :8]], [[:2, :3], [:0, :1]]], \"len\", :6]")]
    [InlineData("LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN", "[\"matches\", [[[:4, :7], [:5, :8], :4]], \"len\", :6]")]
    [InlineData("LCS a b IDX LEN", "-ERR If you want both the length and indexes, please just use IDX.")]
    [InlineData("LCS a none", "\"\"")]
    [InlineData("LCS a b MINMATCHLEN", "-ERR syntax error")]
    public void LCS_gives_the_text_its_length_or_its_places(string command, string reply)
    {
        _db.Prepare("MSET a ohmytext b mynewtext");
        Assert.Equal(reply, _db.Run(command));
    }

    [Fact]
    public void A_command_that_changes_nothing_leaves_no_trace()
    {
        _db.Prepare("SET k v");
        long dirty = _db.Keyspace.Dirty, effects = _db.Keyspace.Effects.Applied;
        foreach (string command in (string[])["SET k w NX", "SETNX k w", "SET none w XX", "MSETNX k 1 j 2", "SETRANGE k 3 ''", "GETDEL none", "INCR k", "GETEX k PERSIST", "GETEX k"])
        {
            _db.Run(command);
        }

        Assert.Equal((dirty, effects), (_db.Keyspace.Dirty, _db.Keyspace.Effects.Applied));
    }

    [Fact]
    public void Random_commands_replayed_from_the_log_make_the_same_contents() => Seed.Run(static random =>
    {
        using var db = new InProcess(recording: true);
        string[] keys = ["a", "b", "c", "d", "e"], operations = ["AND", "OR", "XOR"];
        for (int i = 0; i < 3000; i++)
        {
            string key = keys[random.Next(keys.Length)], other = keys[random.Next(keys.Length)];
            string value = random.Next(4) == 0 ? new string('x', random.Next(6000)) : random.Next(-1000, 1000).ToString(CultureInfo.InvariantCulture);
            string command = random.Next(18) switch
            {
                0 => $"SET {key} {value} PX {random.Next(1, 200)}",
                1 => $"SET {key} {value} KEEPTTL",
                2 => $"MSET {key} {value} {other} {value}",
                3 => $"APPEND {key} {value}",
                4 => $"SETRANGE {key} {random.Next(9000)} {value}",
                5 => $"INCRBY {key} {random.Next(-50, 50)}",
                6 => $"INCRBYFLOAT {key} {random.NextDouble().ToString(CultureInfo.InvariantCulture)}",
                7 => $"GETDEL {key}",
                8 => $"GETEX {key} PX {random.Next(1, 200)}",
                9 => $"GETEX {key} PERSIST",
                10 => $"DEL {key} {other}",
                11 => $"SETBIT {key} {random.Next(40_000)} {random.Next(2)}",
                12 => $"BITOP {operations[random.Next(3)]} {other} {key} {keys[random.Next(keys.Length)]}",
                13 => $"BITOP NOT {other} {key}",
                14 => $"BITFIELD {key} OVERFLOW FAIL INCRBY i{random.Next(1, 65)} {random.Next(3000)} {random.Next(-100, 100)} SET u{random.Next(1, 64)} #{random.Next(100)} {random.Next()}",
                15 => $"GETSET {key} {value}",
                16 => $"SELECT {random.Next(3)}",
                _ => $"GET {key}",
            };
            db.Run(command);
            db.Clock.Advance(random.Next(3));
        }

        string contents = db.Contents();
        using InProcess replayed = db.Replay();
        Assert.Equal(contents, replayed.Contents());
    });

    private long ExpiresIn(string key)
    {
        long at = long.Parse(_db.Run($"PEXPIRETIME {key}")[1..], CultureInfo.InvariantCulture);
        return at < 0 ? at : at - _db.Clock.NowMs;
    }

    private static byte[][] Words(params string[] words) => [.. words.Select(Encoding.Latin1.GetBytes)];
}
