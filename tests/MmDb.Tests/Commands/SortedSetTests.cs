using Xunit;

namespace Leither.MmDb.Tests.Commands;

public sealed class SortedSetTests : IDisposable
{
    private readonly InProcess _db = new();

    public void Dispose() => _db.Dispose();

    [Theory]
    [InlineData("ZADD z 1 a", ":0")]
    [InlineData("ZADD z CH 1.5 a 2 b 7 x", ":2")]
    [InlineData("ZADD z NX 9 a 4 d", ":1")]
    [InlineData("ZADD z XX CH 9 a 4 d", ":1")]
    [InlineData("ZADD z XX GT CH 0 a 5 b", ":1")]
    [InlineData("ZADD z LT CH 0 a 5 b 9 n", ":2")]
    [InlineData("ZADD z INCR 5 a", "\"6\"")]
    [InlineData("ZADD z NX INCR 5 a", "nil")]
    [InlineData("ZADD z XX INCR 5 n", "nil")]
    [InlineData("ZADD z GT INCR -5 a", "nil")]
    [InlineData("ZADD none XX 1 a", ":0")]
    [InlineData("ZADD none XX INCR 1 a", "nil")]
    [InlineData("ZADD z NX XX 1 a", "-ERR XX and NX options at the same time are not compatible")]
    [InlineData("ZADD z GT LT 1 a", "-ERR GT, LT, and/or NX options at the same time are not compatible")]
    [InlineData("ZADD z NX GT 1 a", "-ERR GT, LT, and/or NX options at the same time are not compatible")]
    [InlineData("ZADD z INCR 1 a 2 b", "-ERR INCR option supports a single increment-element pair")]
    [InlineData("ZADD z 1 a 2", "-ERR syntax error")]
    [InlineData("ZADD z NX 1", "-ERR syntax error")]
    [InlineData("ZADD z nan a", "-ERR value is not a valid float")]
    [InlineData("ZADD z 1 a x b", "-ERR value is not a valid float")]
    [InlineData("ZADD s 1 a", "-WRONGTYPE Operation against a key holding the wrong kind of value")]
    [InlineData("ZINCRBY z 1.5 b", "\"3.5\"")]
    [InlineData("ZINCRBY z inf b", "\"inf\"")]
    [InlineData("ZINCRBY i -inf p", "-ERR resulting score is not a number (NaN)")]
    [InlineData("ZREM z a x c", ":2")]
    [InlineData("ZREM none a", ":0")]
    [InlineData("ZCARD z", ":3")]
    [InlineData("ZCARD none", ":0")]
    [InlineData("ZSCORE z b", "\"2\"")]
    [InlineData("ZSCORE z x", "nil")]
    [InlineData("ZMSCORE z a x c", "[\"1\", nil, \"3\"]")]
    [InlineData("ZMSCORE none a", "[nil]")]
    [InlineData("ZRANK z c", ":2")]
    [InlineData("ZREVRANK z c", ":0")]
    [InlineData("ZRANK z c WITHSCORE", "[:2, \"3\"]")]
    [InlineData("ZRANK z x", "nil")]
    [InlineData("ZRANK z x WITHSCORE", "nil-array")]
    [InlineData("ZRANK z c WITHSCORES", "-ERR syntax error")]
    [InlineData("ZRANK z c WITHSCORE x", "-ERR wrong number of arguments for 'zrank' command")]
    public void Members_are_added_removed_and_looked_at_as_in_Redis(string command, string reply)
    {
        foreach (string limit in (string[])["128", "1"])
        {
            using var db = new InProcess();
            db.Prepare($"CONFIG SET zset-max-listpack-entries {limit}", "ZADD z 1 a 2 b 3 c", "SET s x", "ZADD i inf p");
            Assert.Equal(limit == "1" ? "\"skiplist\"" : "\"listpack\"", db.Run("OBJECT ENCODING z"));
            Assert.Equal(reply, db.Run(command));
        }
    }

    [Theory]
    [InlineData("ZRANGE z 0 -1", "[\"a\", \"b\", \"c\", \"10\"]")]
    [InlineData("ZRANGE z -3 2 WITHSCORES", "[\"b\", \"2\", \"c\", \"2\"]")]
    [InlineData("ZRANGE z 0 1 REV", "[\"10\", \"c\"]")]
    [InlineData("ZRANGE z 2 1", "[]")]
    [InlineData("ZRANGE z 4 9", "[]")]
    [InlineData("ZRANGE none 0 -1", "[]")]
    [InlineData("ZRANGE z (1 2 BYSCORE", "[\"b\", \"c\"]")]
    [InlineData("ZRANGE z +inf (1 BYSCORE REV LIMIT 1 2 WITHSCORES", "[\"c\", \"2\", \"b\", \"2\"]")]
    [InlineData("ZRANGE z - [b BYLEX", "[\"a\", \"b\"]")]
    [InlineData("ZRANGE z 0 -1 LIMIT 0 1", "-ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX")]
    [InlineData("ZRANGE z - + BYLEX WITHSCORES", "-ERR syntax error, WITHSCORES not supported in combination with BYLEX")]
    [InlineData("ZRANGE z a 1", "-ERR value is not an integer or out of range")]
    [InlineData("ZRANGE z a 1 BYSCORE", "-ERR min or max is not a float")]
    [InlineData("ZRANGE z a + BYLEX", "-ERR min or max not valid string range item")]
    [InlineData("ZRANGE z 0 -1 BYRANK", "-ERR syntax error")]
    [InlineData("ZREVRANGE z 0 0 WITHSCORES", "[\"10\", \"3.5\"]")]
    [InlineData("ZREVRANGE z 0 0 REV", "-ERR syntax error")]
    [InlineData("ZRANGEBYSCORE z -inf +inf LIMIT 1 -1", "[\"b\", \"c\", \"10\"]")]
    [InlineData("ZRANGEBYSCORE z -inf +inf LIMIT -1 2", "[]")]
    [InlineData("ZRANGEBYSCORE z 1e400 +inf", "[]")]
    [InlineData("ZREVRANGEBYSCORE z 2 1", "[\"c\", \"b\", \"a\"]")]
    [InlineData("ZREVRANGEBYSCORE z (2 1", "[\"a\"]")]
    [InlineData("ZRANGEBYLEX l [b (d", "[\"b\", \"c\"]")]
    [InlineData("ZREVRANGEBYLEX l + (b LIMIT 0 1", "[\"d\"]")]
    [InlineData("ZRANGEBYLEX l + -", "[]")]
    [InlineData("ZCOUNT z 2 2", ":2")]
    [InlineData("ZCOUNT z (2 +inf", ":1")]
    [InlineData("ZLEXCOUNT l - +", ":4")]
    [InlineData("ZLEXCOUNT l (a [c", ":2")]
    [InlineData("ZREMRANGEBYRANK z 0 -2", ":3")]
    [InlineData("ZREMRANGEBYSCORE z 2 (3.5", ":2")]
    [InlineData("ZREMRANGEBYLEX l (a (d", ":2")]
    [InlineData("ZRANGESTORE d z 0 1", ":2")]
    [InlineData("ZRANGESTORE d none 0 1", ":0")]
    [InlineData("ZRANGESTORE d z 0 1 WITHSCORES", "-ERR syntax error")]
    public void Ranges_are_those_of_Redis_in_both_layouts(string command, string reply)
    {
        foreach (string limit in (string[])["128", "1"])
        {
            using var db = new InProcess();
            db.Prepare($"CONFIG SET zset-max-listpack-entries {limit}", "ZADD z 1 a 2 b 2 c 3.5 10", "ZADD l 0 a 0 b 0 c 0 d");
            Assert.Equal(reply, db.Run(command));
        }
    }
}
