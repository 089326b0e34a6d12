using System.Globalization;
using System.Text;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Commands;

public sealed class SetTests : IDisposable
{
    private const string WrongType = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    private readonly InProcess _db = new();

    public void Dispose() => _db.Dispose();

    [Theory]
    [InlineData("SADD s a d e d", ":2")]
    [InlineData("SADD s a b", ":0")]
    [InlineData("SADD new x", ":1")]
    [InlineData("SADD text x", WrongType)]
    [InlineData("SREM s a none a", ":1")]
    [InlineData("SREM s a b c", ":3")]
    [InlineData("SREM n 2 x 9", ":1")]
    [InlineData("SREM none a", ":0")]
    [InlineData("SREM text a", WrongType)]
    [InlineData("SMEMBERS s", "[\"a\", \"b\", \"c\"]")]
    [InlineData("SMEMBERS n", "[\"1\", \"2\", \"3\"]")]
    [InlineData("SMEMBERS none", "[]")]
    [InlineData("SMEMBERS text", WrongType)]
    [InlineData("SISMEMBER s a", ":1")]
    [InlineData("SISMEMBER s x", ":0")]
    [InlineData("SISMEMBER n 1", ":1")]
    [InlineData("SISMEMBER n 01", ":0")]
    [InlineData("SISMEMBER none a", ":0")]
    [InlineData("SMISMEMBER s a x b", "[:1, :0, :1]")]
    [InlineData("SMISMEMBER none a x", "[:0, :0]")]
    [InlineData("SMISMEMBER text a x", WrongType)]
    [InlineData("SCARD s", ":3")]
    [InlineData("SCARD none", ":0")]
    [InlineData("SMOVE s n a", ":1")]
    [InlineData("SMOVE s n x", ":0")]
    [InlineData("SMOVE s s a", ":1")]
    [InlineData("SMOVE s s x", ":0")]
    [InlineData("SMOVE none text a", ":0")]
    [InlineData("SMOVE s text a", WrongType)]
    [InlineData("SMOVE text s a", WrongType)]
    [InlineData("SPOP none", "nil")]
    [InlineData("SPOP none 1", "[]")]
    [InlineData("SPOP s 0", "[]")]
    [InlineData("SPOP s 5", "[\"a\", \"b\", \"c\"]")]
    [InlineData("SPOP s -1", "-ERR value is out of range, must be positive")]
    [InlineData("SPOP s x", "-ERR value is out of range, must be positive")]
    [InlineData("SPOP s 1 2", "-ERR syntax error")]
    [InlineData("SRANDMEMBER none", "nil")]
    [InlineData("SRANDMEMBER none 2", "[]")]
    [InlineData("SRANDMEMBER s 0", "[]")]
    [InlineData("SRANDMEMBER s 5", "[\"a\", \"b\", \"c\"]")]
    [InlineData("SRANDMEMBER s x", "-ERR value is not an integer or out of range")]
    [InlineData("SRANDMEMBER s -9223372036854775808", "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807")]
    [InlineData("SRANDMEMBER s 1 2", "-ERR syntax error")]
    [InlineData("SINTER s t", "[\"b\", \"c\"]")]
    [InlineData("SINTER s none", "[]")]
    [InlineData("SINTER s none text", WrongType)]
    [InlineData("SINTER n m", "[\"2\", \"3\"]")]
    [InlineData("SINTERCARD 2 s t", ":2")]
    [InlineData("SINTERCARD 2 s t LIMIT 1", ":1")]
    [InlineData("SINTERCARD 2 s t LIMIT 0", ":2")]
    [InlineData("SINTERCARD 0 s", "-ERR numkeys should be greater than 0")]
    [InlineData("SINTERCARD x s", "-ERR numkeys should be greater than 0")]
    [InlineData("SINTERCARD 3 s t", "-ERR Number of keys can't be greater than number of args")]
    [InlineData("SINTERCARD 2 s t LIMIT -1", "-ERR LIMIT can't be negative")]
    [InlineData("SINTERCARD 2 s t LIMIT", "-ERR syntax error")]
    [InlineData("SINTERCARD 1 s t", "-ERR syntax error")]
    [InlineData("SUNION s t", "[\"a\", \"b\", \"c\", \"d\"]")]
    [InlineData("SUNION none none", "[]")]
    [InlineData("SUNION s text", WrongType)]
    [InlineData("SDIFF s t", "[\"a\"]")]
    [InlineData("SDIFF s s", "[]")]
    [InlineData("SDIFF none s", "[]")]
    [InlineData("SDIFF s none", "[\"a\", \"b\", \"c\"]")]
    [InlineData("SDIFF n s", "[\"1\", \"2\", \"3\"]")]
    [InlineData("SINTERSTORE d s t", ":2")]
    [InlineData("SINTERSTORE s s none", ":0")]
    [InlineData("SINTERSTORE text s t", ":2")]
    [InlineData("SINTERSTORE d s text", WrongType)]
    [InlineData("SUNIONSTORE d s t", ":4")]
    [InlineData("SUNIONSTORE s s t", ":4")]
    [InlineData("SUNIONSTORE d none", ":0")]
    [InlineData("SDIFFSTORE d s t", ":1")]
    [InlineData("SDIFFSTORE s s s", ":0")]
    [InlineData("SSCAN s 0", "[\"0\", [\"a\", \"b\", \"c\"]]")]
    [InlineData("SSCAN n 0 MATCH [2-9]", "[\"0\", [\"2\", \"3\"]]")]
    [InlineData("SSCAN none 0", "[\"0\", []]")]
    [InlineData("SSCAN s -x", "-ERR invalid cursor")]
    public void Commands_for_sets_reply_as_in_Redis(string command, string reply)
    {
        _db.Prepare("SADD s a b c", "SADD t b c d", "SADD n 3 1 2", "SADD m 4 3 2", "SET text t");
        Assert.Equal(reply, _db.Run(command));
    }

    [Fact]
    public void RESP3_replies_sets()
    {
        _db.Prepare("HELLO 3", "SADD s a b");
        Assert.Equal("~[\"a\", \"b\"]", _db.Run("SMEMBERS s"));
        Assert.Equal("~[]", _db.Run("SMEMBERS none"));
        Assert.Equal("~[\"a\", \"b\"]", _db.Run("SINTER s s"));
        Assert.Equal("~[]", _db.Run("SINTER s none"));
        Assert.Equal("~[\"a\", \"b\"]", _db.Run("SUNION s"));
        Assert.Equal("~[]", _db.Run("SDIFF none"));
        Assert.Equal("[\"a\", \"b\"]", _db.Run("SRANDMEMBER s 2"));
        Assert.Equal("~[\"a\", \"b\"]", _db.Run("SPOP s 3"));
        Assert.Equal("_", _db.Run("SPOP s"));
    }

    [Theory]
    [InlineData(512, "", "intset")]
    [InlineData(513, "", "hashtable")]
    [InlineData(128, "x", "listpack")]
    [InlineData(129, "x", "hashtable")]
    public void A_set_changes_its_encoding_where_Redis_does(int members, string prefix, string encoding)
    {
        for (int i = 0; i < members; i++)
        {
            Assert.Equal(":1", _db.Run($"SADD s {prefix}{i}"));
        }

        Assert.Equal($":{members}", _db.Run("SCARD s"));
        Assert.Equal($"\"{encoding}\"", _db.Run("OBJECT ENCODING s"));
    }

    [Theory]
    [InlineData("SADD s 1 x", "listpack")]
    [InlineData("SADD s 100000 -100000 9223372036854775807", "intset")]
    [InlineData("SADD s aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "hashtable")]
    [InlineData("SADD s 1 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "hashtable")]
    public void What_is_added_decides_the_encoding(string command, string encoding)
    {
        _db.Prepare(command);
        Assert.Equal($"\"{encoding}\"", _db.Run("OBJECT ENCODING s"));
    }

    [Fact]
    public void A_set_of_more_than_128_integers_becomes_a_table_when_a_word_comes()
    {
        _db.Run("SADD s " + string.Join(' ', Enumerable.Range(0, 128)));
        Assert.Equal("\"intset\"", _db.Run("OBJECT ENCODING s"));
        _db.Prepare("SADD s word");
        Assert.Equal("\"hashtable\"", _db.Run("OBJECT ENCODING s"));
        Assert.Equal(":129", _db.Run("SCARD s"));
        Assert.Equal("[:1, :1, :1, :0]", _db.Run("SMISMEMBER s 0 127 word 128"));
    }

    [Theory]
    [InlineData("SUNIONSTORE d ints", "intset")]
    [InlineData("SUNIONSTORE d ints words", "listpack")]
    [InlineData("SUNIONSTORE d ints big", "hashtable")]
    [InlineData("SINTERSTORE d mixed ints", "intset")]
    [InlineData("SINTERSTORE d big words", "listpack")]
    [InlineData("SDIFFSTORE d mixed ints", "listpack")]
    [InlineData("SDIFFSTORE d big ints", "hashtable")]
    public void What_is_stored_has_the_encoding_that_Redis_gives_it(string command, string encoding)
    {
        _db.Prepare("SADD ints 1 2 3", "SADD words a b m0 m1", "SADD mixed 1 2 x", "SET d text EX 10");
        _db.Run("SADD big " + string.Join(' ', Enumerable.Range(0, 200).Select(static i => "m" + i)));
        _db.Prepare(command);
        Assert.Equal($"\"{encoding}\"", _db.Run("OBJECT ENCODING d"));
        Assert.Equal(":-1", _db.Run("TTL d"));
    }

    [Fact]
    public void Events_are_those_of_Redis()
    {
        _db.Prepare("SADD s a b", "SADD t b", "SADD one x", "HSET h a 1 b 2");
        _db.ListenToEvents(KeyspaceEvents.All | KeyspaceEvents.New);
        _db.Prepare(
            "SADD s a", "SADD s c", "SREM s none", "SMOVE s t c", "SMOVE one t x", "SINTERSTORE d s t", "SINTERSTORE d s none", "SINTERSTORE d s none",
            "SPOP s 1", "SPOP s", "SREM t b x c", "HSET h a 2 z 3", "HSETNX h a 3", "HINCRBY h a 1", "HINCRBYFLOAT h a 1", "HDEL h none", "HDEL h a b z");
        Assert.Equal(
            ["sadd s", "srem s", "sadd t", "srem one", "del one", "sadd t", "new d", "sinterstore d", "del d",
                "spop s", "spop s", "del s", "srem t", "del t", "hset h", "hincrby h", "hincrbyfloat h", "hdel h", "del h"],
            _db.Events);
    }

    [Theory]
    [InlineData(20, "x")]
    [InlineData(20, "")]
    [InlineData(600, "x")]
    public void Every_member_is_drawn_equally_often(int members, string prefix)
    {
        _db.Run("SADD s " + string.Join(' ', Enumerable.Range(0, members).Select(i => prefix + i)));
        foreach (int count in (int[])[1, -7, members / 10, members * 9 / 10])
        {
            var drawn = new Dictionary<string, int>();
            int draws = 0;
            while (draws < members * 200)
            {
                foreach (string member in Words(_db.Run($"SRANDMEMBER s {count}")))
                {
                    drawn[member] = drawn.GetValueOrDefault(member) + 1;
                    draws++;
                }
            }

            double expected = draws / (double)members;
            double chiSquare = Enumerable.Range(0, members).Sum(i => Math.Pow(drawn.GetValueOrDefault(prefix + i) - expected, 2) / expected);

            // The mean is members - 1; six standard deviations above it is beyond chance, and the seed is fixed anyway.
            Assert.InRange(chiSquare, 0, members + (6 * Math.Sqrt(2 * members)));
        }
    }

    [Theory]
    [InlineData(10)]
    [InlineData(300)]
    [InlineData(990)]
    public void SPOP_with_a_count_takes_different_members_and_leaves_the_others(int count)
    {
        foreach (string prefix in (string[])["", "x"])
        {
            _db.Run("SADD s " + string.Join(' ', Enumerable.Range(0, 1000).Select(i => prefix + i)));
            string[] popped = Words(_db.Run($"SPOP s {count}"));
            string[] left = Words(_db.Run("SMEMBERS s"));
            Assert.Equal(count, popped.Length);
            Assert.Equal(1000, popped.Concat(left).Distinct().Count());
            _db.Prepare("DEL s");
        }
    }

    [Fact]
    public void SSCAN_returns_all_members_of_a_big_set()
    {
        _db.Run("SADD s " + string.Join(' ', Enumerable.Range(0, 5000).Select(static i => "m" + i)));
        var seen = new HashSet<string>();
        string cursor = "0";
        do
        {
            string reply = _db.Run($"SSCAN s {cursor} COUNT 100 MATCH m*");
            string[] words = Words(reply);
            cursor = words[0];
            seen.UnionWith(words[1..]);
        }
        while (cursor != "0");
        Assert.Equal(5000, seen.Count);
    }

    [Theory]
    [InlineData("SRANDMEMBER s -9000000000000000000")]
    [InlineData("HRANDFIELD h -4000000000000000000 WITHVALUES")]
    public void A_count_beyond_all_memory_ends_the_connection_at_its_output_limit(string command)
    {
        _db.Prepare("SADD s a", "HSET h f v", "CONFIG SET client-output-buffer-limit \"normal 1mb 0 0\"");
        InProcess.Client greedy = _db.Connect();
        greedy.Send(Quoting.Split(command));
        Assert.True(greedy.IsClosed);
        Assert.Equal(":1", _db.Run("SCARD s"));
    }

    /// <summary>The bulk strings of a reply.</summary>
    private static string[] Words(string reply) => [.. reply.Split('"').Where(static (_, i) => i % 2 == 1)];
}
