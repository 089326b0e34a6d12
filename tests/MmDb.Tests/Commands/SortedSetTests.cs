using Leither.TestKit;
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

    [Theory]
    [InlineData("ZPOPMIN z", "[\"a\", \"1\"]")]
    [InlineData("ZPOPMAX z 2", "[\"10\", \"3.5\", \"c\", \"2\"]")]
    [InlineData("ZPOPMIN z 0", "[]")]
    [InlineData("ZPOPMIN none", "[]")]
    [InlineData("ZPOPMIN z 1 2", "-ERR syntax error")]
    [InlineData("ZPOPMIN z -1", "-ERR value is out of range, must be positive")]
    [InlineData("ZPOPMIN z x", "-ERR value is out of range, must be positive")]
    [InlineData("ZMPOP 2 none z MIN COUNT 2", "[\"z\", [[\"a\", \"1\"], [\"b\", \"2\"]]]")]
    [InlineData("ZMPOP 1 none MAX", "nil-array")]
    [InlineData("ZMPOP 0 z MIN", "-ERR numkeys should be greater than 0")]
    [InlineData("ZMPOP 1 z MIN COUNT 0", "-ERR count should be greater than 0")]
    [InlineData("ZMPOP 1 z MIN COUNT 1 COUNT 1", "-ERR syntax error")]
    [InlineData("ZMPOP 2 z MIN", "-ERR syntax error")]
    [InlineData("BZPOPMAX none z 0", "[\"z\", \"10\", \"3.5\"]")]
    [InlineData("BZPOPMIN z -1", "-ERR timeout is negative")]
    [InlineData("BZMPOP 0 1 z MIN", "[\"z\", [[\"a\", \"1\"]]]")]
    [InlineData("ZUNION 2 z y WITHSCORES", "[\"a\", \"1\", \"b\", \"2\", \"d\", \"4\", \"c\", \"5\", \"10\", \"8.5\"]")]
    [InlineData("ZUNION 2 z y WEIGHTS 2 0 AGGREGATE MAX WITHSCORES", "[\"d\", \"0\", \"a\", \"2\", \"b\", \"4\", \"c\", \"4\", \"10\", \"7\"]")]
    [InlineData("ZINTER 2 z y WITHSCORES", "[\"c\", \"5\", \"10\", \"8.5\"]")]
    [InlineData("ZINTER 2 z y AGGREGATE MIN WITHSCORES", "[\"c\", \"2\", \"10\", \"3.5\"]")]
    [InlineData("ZINTER 2 z none", "[]")]
    [InlineData("ZINTER 2 z s WITHSCORES", "[\"c\", \"3\", \"10\", \"4.5\"]")]
    [InlineData("ZDIFF 2 z y WITHSCORES", "[\"a\", \"1\", \"b\", \"2\"]")]
    [InlineData("ZDIFF 2 z z", "[]")]
    [InlineData("ZDIFF 1 z WEIGHTS 1", "-ERR syntax error")]
    [InlineData("ZINTERCARD 2 z y", ":2")]
    [InlineData("ZINTERCARD 2 z y LIMIT 1", ":1")]
    [InlineData("ZINTERCARD 2 z y LIMIT -1", "-ERR LIMIT can't be negative")]
    [InlineData("ZUNION 0 z", "-ERR at least 1 input key is needed for 'zunion' command")]
    [InlineData("ZUNION 3 z y", "-ERR syntax error")]
    [InlineData("ZUNION 2 z k", "-WRONGTYPE Operation against a key holding the wrong kind of value")]
    [InlineData("ZUNION 1 z WEIGHTS a", "-ERR weight value is not a float")]
    [InlineData("ZUNION 1 z AGGREGATE avg", "-ERR syntax error")]
    [InlineData("ZUNIONSTORE d 2 z y", ":5")]
    [InlineData("ZUNIONSTORE z 2 z y WITHSCORES", "-ERR syntax error")]
    [InlineData("ZINTERSTORE y 2 z s WEIGHTS 1 10", ":2")]
    [InlineData("ZDIFFSTORE y 2 z z", ":0")]
    [InlineData("ZRANDMEMBER none", "nil")]
    [InlineData("ZRANDMEMBER none 2", "[]")]
    [InlineData("ZRANDMEMBER z 9 WITHSCORES", "[\"a\", \"1\", \"b\", \"2\", \"c\", \"2\", \"10\", \"3.5\"]")]
    [InlineData("ZRANDMEMBER z -9223372036854775808", "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807")]
    [InlineData("ZRANDMEMBER z 4611686018427387904 WITHSCORES", "-ERR value is out of range")]
    [InlineData("ZRANDMEMBER z 1 SCORES", "-ERR syntax error")]
    [InlineData("ZSCAN none 0", "[\"0\", []]")]
    [InlineData("ZSCAN z 0 MATCH b COUNT 100", "[\"0\", [\"b\", \"2\"]]")]
    [InlineData("ZSCAN z x", "-ERR invalid cursor")]
    public void Members_are_popped_combined_and_drawn_as_in_Redis(string command, string reply)
    {
        foreach (string limit in (string[])["128", "1"])
        {
            using var db = new InProcess();
            db.Prepare($"CONFIG SET zset-max-listpack-entries {limit}", "ZADD z 1 a 2 b 2 c 3.5 10", "ZADD y 3 c 4 d 5 10", "SADD s c 10", "SET k v");
            Assert.Equal(reply, db.Run(command));
        }
    }

    [Fact]
    public void RESP3_gets_doubles_and_pairs()
    {
        _db.Run("HELLO 3");
        _db.Prepare("ZADD z 1 a 2.5 b inf c");
        Assert.Equal(",2.5", _db.Run("ZSCORE z b"));
        Assert.Equal("[[\"b\", ,2.5], [\"c\", ,inf]]", _db.Run("ZRANGE z 1 -1 WITHSCORES"));
        Assert.Equal("[:0, ,1]", _db.Run("ZRANK z a WITHSCORE"));
        Assert.Equal("_", _db.Run("ZRANK z x WITHSCORE"));
        Assert.Equal("[[\"a\", ,1], [\"b\", ,2.5], [\"c\", ,inf]]", _db.Run("ZUNION 1 z WITHSCORES"));
        Assert.Equal("[[\"a\", ,1], [\"b\", ,2.5], [\"c\", ,inf]]", _db.Run("ZRANDMEMBER z 3 WITHSCORES"));
        Assert.Equal("[\"0\", [\"b\", \"2.5\"]]", _db.Run("ZSCAN z 0 MATCH b"));
        Assert.Equal("[\"a\", ,1]", _db.Run("ZPOPMIN z"));
        Assert.Equal("[[\"b\", ,2.5]]", _db.Run("ZPOPMIN z 1"));
        Assert.Equal("[\"z\", \"c\", ,inf]", _db.Run("BZPOPMIN z 0"));
    }

    [Fact]
    public void A_sorted_set_is_packed_up_to_the_thresholds_and_never_goes_back()
    {
        _db.Prepare("CONFIG SET zset-max-listpack-entries 3", "CONFIG SET zset-max-listpack-value 5", "ZADD z 1 a 2 b 3 c");
        Assert.Equal("\"listpack\"", _db.Run("OBJECT ENCODING z"));
        _db.Prepare("ZADD z 0 d");
        Assert.Equal("\"skiplist\"", _db.Run("OBJECT ENCODING z"));
        Assert.Equal("[\"d\", \"a\", \"b\", \"c\"]", _db.Run("ZRANGE z 0 -1"));
        _db.Prepare("ZREM z a b c", "ZADD v 1 long", "ZADD v 1 longer", "ZADD w 1 longer", "ZADD x 1 a 2 a 3 a 4 a", "ZUNIONSTORE y 1 x", "COPY z zz");
        Assert.Equal("\"skiplist\"", _db.Run("OBJECT ENCODING z"));
        Assert.Equal("\"skiplist\"", _db.Run("OBJECT ENCODING zz"));
        Assert.Equal("\"skiplist\"", _db.Run("OBJECT ENCODING v"));
        Assert.Equal("\"skiplist\"", _db.Run("OBJECT ENCODING w"));
        Assert.Equal("\"skiplist\"", _db.Run("OBJECT ENCODING x"));
        Assert.Equal("\"listpack\"", _db.Run("OBJECT ENCODING y"));
        Assert.Equal("[\"d\", \"0\"]", _db.Run("ZRANGE zz 0 -1 WITHSCORES"));
    }

    [Fact]
    public void SORT_sees_the_same_in_both_layouts()
    {
        var big = new KeyspaceOptions();
        big.Packed.ZsetMaxListpackEntries = 0;
        using var unpacked = new InProcess(big);
        string[] commands = ["ZADD z -1.5 a 2 10 0.1 9 inf b", "SORT z ALPHA", "SORT z BY nosort"];
        foreach (string command in commands)
        {
            string reply = _db.Run(command);
            Assert.DoesNotContain("-ERR", reply, StringComparison.Ordinal);
            Assert.Equal(reply, unpacked.Run(command));
        }
    }

    [Fact]
    public void Infinities_that_cancel_out_count_as_zero_in_combinations()
    {
        _db.Prepare("ZADD a inf m 0 n", "ZADD b -inf m 1 n");
        Assert.Equal("[\"m\", \"0\", \"n\", \"1\"]", _db.Run("ZUNION 2 a b WITHSCORES"));
        Assert.Equal("[\"m\", \"0\", \"n\", \"1\"]", _db.Run("ZINTER 2 a b WITHSCORES"));
        Assert.Equal("[\"m\", \"0\", \"n\", \"0\"]", _db.Run("ZUNION 1 a WEIGHTS 0 WITHSCORES"));
    }

    [Fact]
    public void Scores_keep_every_bit()
    {
        string[] scores = ["-inf", "-1.7976931348623157e+308", "-0.1", "5e-324", "0.1", "2251799813685249.5", "9007199254740993", "1e+100", "inf"];
        foreach (string limit in (string[])["128", "1"])
        {
            using var db = new InProcess();
            db.Prepare($"CONFIG SET zset-max-listpack-entries {limit}");
            db.Prepare([.. scores.Select(static (s, i) => $"ZADD z {s} m{i}")]);
            Assert.Equal("[\"m0\", \"-inf\", \"m1\", \"-1.7976931348623157e+308\", \"m2\", \"-0.1\", \"m3\", \"5e-324\", \"m4\", \"0.1\", "
                + "\"m5\", \"2251799813685249.5\", \"m6\", \"9007199254740992\", \"m7\", \"1e+100\", \"m8\", \"inf\"]", db.Run("ZRANGE z 0 -1 WITHSCORES"));
        }
    }

    [Fact]
    public void A_score_of_zero_has_no_sign_however_the_sorted_set_is_encoded()
    {
        string? other = null;
        foreach (string limit in (string[])["128", "1"])
        {
            using var db = new InProcess(recording: true);
            db.Prepare($"CONFIG SET zset-max-listpack-entries {limit}");
            db.Prepare("ZADD z -0 a 0 b 1 c", "ZADD z 0 a", "ZADD z -0 c", "ZUNIONSTORE u 1 z WEIGHTS -1", "ZADD u 5 a", "ZADD u -0 a", "COPY u copy", "SADD s x y", "ZUNIONSTORE v 2 s z WEIGHTS -0 -1");
            Assert.Equal("[\"a\", \"0\", \"b\", \"0\", \"c\", \"0\"]", db.Run("ZRANGE z 0 -1 WITHSCORES"));
            Assert.Equal("[\"a\", \"0\", \"b\", \"0\", \"c\", \"0\"]", db.Run("ZRANGE u 0 -1 WITHSCORES"));
            Assert.DoesNotContain("-0", db.Run("ZRANGE v 0 -1 WITHSCORES"), StringComparison.Ordinal);
            string contents = db.Contents();
            Assert.Equal(other ??= contents, contents);
            using InProcess replayed = db.Replay();
            Assert.Equal(contents, replayed.Contents());
        }
    }

    [Fact]
    public void Changes_are_told_with_the_events_of_Redis()
    {
        _db.ListenToEvents(KeyspaceEvents.All);
        _db.Prepare(
            "ZADD z 1 a 2 b", "ZADD z 1 a", "ZADD z XX 1 c", "ZINCRBY z 1 a", "ZINCRBY z 0 a", "ZREM z x", "ZREM z a b",
            "ZADD z 1 a 2 b 3 c 4 d", "ZREMRANGEBYSCORE z 9 10", "ZREMRANGEBYSCORE z 1 1", "ZREMRANGEBYRANK z 0 0", "ZPOPMAX z", "ZPOPMIN z",
            "ZADD z 1 a", "ZUNIONSTORE d 1 z", "ZINTERSTORE d 2 z none", "ZDIFFSTORE d 2 z z", "ZRANGESTORE d z 0 -1", "ZRANGESTORE d z 5 9", "ZREMRANGEBYLEX z - +");
        Assert.Equal(
            ["zadd z", "zincr z", "zrem z", "del z", "zadd z", "zremrangebyscore z", "zremrangebyrank z", "zpopmax z", "zpopmin z", "del z",
                "zadd z", "zunionstore d", "del d", "zrangestore d", "del d", "zremrangebylex z", "del z"], _db.Events);
    }

    [Fact]
    public void What_changes_nothing_is_not_recorded()
    {
        _db.Prepare("ZADD z 1 a 2 b");
        long applied = _db.Keyspace.Effects.Applied;
        long dirty = _db.Keyspace.Dirty;
        _db.Prepare(
            "ZADD z 1 a", "ZADD z NX 5 a 6 b", "ZADD z XX 5 c", "ZADD z GT 0 a", "ZINCRBY z 0 a", "ZREM z x", "ZREMRANGEBYRANK z 5 9", "ZREMRANGEBYSCORE z 5 9",
            "ZREMRANGEBYLEX z (b [c", "ZPOPMIN z 0", "ZPOPMIN none", "ZUNIONSTORE d 1 none", "ZRANGESTORE d none 0 -1", "ZADD none XX 1 a");
        Assert.Equal(applied, _db.Keyspace.Effects.Applied);
        Assert.Equal(dirty, _db.Keyspace.Dirty);
    }

    [Fact]
    public void A_store_drops_the_expiry_and_the_type_of_its_destination()
    {
        _db.Prepare("SET d x EX 100", "ZADD z 1 a", "ZUNIONSTORE d 1 z");
        Assert.Equal(":-1", _db.Run("TTL d"));
        _db.Prepare("SET e x EX 100", "ZRANGESTORE e z 0 -1");
        Assert.Equal("+zset :-1", _db.Run("TYPE e") + " " + _db.Run("TTL e"));
    }

    [Fact]
    public void Waiting_clients_are_served_in_the_order_of_their_coming()
    {
        InProcess.Client first = _db.Connect(), second = _db.Connect(), third = _db.Connect();
        Assert.Equal("(none)", first.Run("BZPOPMIN z 0"));
        Assert.Equal("(none)", second.Run("BZMPOP 0 2 y z MAX COUNT 5"));
        Assert.Equal("(none)", third.Run("BZPOPMAX z 0.5"));
        _db.Prepare("SET y x", "DEL y", "ZADD z 1 a 2 b 3 c");
        Assert.Equal("[\"z\", \"a\", \"1\"]", first.Take());
        Assert.Equal("[\"z\", [[\"c\", \"3\"], [\"b\", \"2\"]]]", second.Take());
        Assert.Null(third.Take());
        _db.Prepare("ZADD y 1 m", "ZUNIONSTORE z 1 y");
        Assert.Equal("[\"z\", \"m\", \"1\"]", third.Take());
        Assert.Equal(":0", _db.Run("EXISTS z"));
        Assert.Equal("+OK +QUEUED [nil-array]", string.Join(' ', _db.Run("MULTI"), _db.Run("BZPOPMIN z 0"), _db.Run("EXEC")));
    }

    [Fact]
    public void ZSCAN_meets_every_member_that_stays()
    {
        _db.Prepare([.. Enumerable.Range(0, 1000).Select(static i => $"ZADD z {i}.5 m{i}")]);
        var seen = new HashSet<string>();
        string cursor = "0";
        do
        {
            string reply = _db.Run($"ZSCAN z {cursor} COUNT 20");
            cursor = reply.Split('"')[1];
            foreach (string member in reply.Split('"').Where(static w => w.StartsWith('m')))
            {
                seen.Add(member);
            }
        }
        while (cursor != "0");
        Assert.Equal(1000, seen.Count);
    }

    [Fact]
    public void Random_members_are_all_met_and_distinct_where_asked()
    {
        foreach (string limit in (string[])["128", "1"])
        {
            using var db = new InProcess();
            db.Prepare($"CONFIG SET zset-max-listpack-entries {limit}");
            db.Prepare([.. Enumerable.Range(0, 50).Select(static i => $"ZADD z {i} {i}")]);
            var met = new HashSet<string>();
            for (int i = 0; i < 1000; i++)
            {
                met.Add(db.Run("ZRANDMEMBER z"));
            }

            Assert.Equal(50, met.Count);
            foreach (int count in (int[])[1, 2, 10, 16, 17, 49, 50])
            {
                string[] words = [.. db.Run($"ZRANDMEMBER z {count}").Trim('[', ']').Split(", ")];
                Assert.Equal(count, words.Distinct().Count());
            }

            Assert.Equal(70, db.Run("ZRANDMEMBER z -70").Split(", ").Length);
        }
    }

    [Fact]
    public void A_replayed_log_gives_the_same_sorted_sets() => Seed.Run(static random =>
    {
        var options = new KeyspaceOptions();
        options.Packed.ZsetMaxListpackEntries = 8;
        using var db = new InProcess(options, recording: true);
        for (int i = 0; i < 3000; i++)
        {
            db.Run(RandomCommand(random));
        }

        string contents = db.Contents();
        using InProcess replayed = db.Replay();
        Assert.Equal(contents, replayed.Contents());
    });

    [Fact]
    public void Random_commands_reply_the_same_in_both_layouts() => Seed.Run(static random =>
    {
        var big = new KeyspaceOptions();
        big.Packed.ZsetMaxListpackEntries = 0;
        using var packed = new InProcess();
        using var unpacked = new InProcess(big);
        for (int i = 0; i < 3000; i++)
        {
            string command = RandomCommand(random);
            Assert.Equal(command + " " + packed.Run(command), command + " " + unpacked.Run(command));
        }

        Assert.Equal(packed.Contents(), unpacked.Contents());
    });

    private static string RandomCommand(Random random)
    {
        string Key() => "k" + random.Next(4);
        string Member() => random.Next(3) == 0 ? random.Next(20).ToString() : "m" + random.Next(20);
        string Score() => random.Next(6) switch { 0 => "inf", 1 => "-2.25", 2 => (random.Next(100) / 8.0).ToString(System.Globalization.CultureInfo.InvariantCulture), _ => random.Next(10).ToString() };
        string[] conditions = ["", "NX ", "XX ", "GT ", "LT ", "XX GT ", "XX LT "];
        return random.Next(16) switch
        {
            0 or 1 or 2 or 3 => $"ZADD {Key()} {conditions[random.Next(7)]}CH {string.Join(' ', Enumerable.Range(0, random.Next(1, 5)).Select(_ => Score() + " " + Member()))}",
            4 => $"ZINCRBY {Key()} {Score()} {Member()}",
            5 => $"ZREM {Key()} {Member()} {Member()}",
            6 => $"ZREMRANGEBYRANK {Key()} {random.Next(-5, 5)} {random.Next(-5, 5)}",
            7 => $"ZREMRANGEBYSCORE {Key()} ({Score()} {Score()}",
            8 => $"ZPOPMIN {Key()} {random.Next(4)}",
            9 => $"ZPOPMAX {Key()}",
            10 => $"ZUNIONSTORE {Key()} 3 {Key()} {Key()} {Key()} WEIGHTS 1 0.1 3",
            11 => $"ZINTERSTORE {Key()} 2 {Key()} {Key()} AGGREGATE MAX",
            12 => $"ZDIFFSTORE {Key()} 2 {Key()} {Key()}",
            13 => $"ZRANGESTORE {Key()} {Key()} {random.Next(-9, 9)} {random.Next(-9, 9)}{(random.Next(2) == 0 ? " REV" : "")}",
            14 => $"ZRANGE {Key()} {Score()} ({Score()} BYSCORE LIMIT {random.Next(3)} {random.Next(-1, 4)}{(random.Next(2) == 0 ? " REV" : "")} WITHSCORES",
            _ => $"ZRANK {Key()} {Member()} WITHSCORE",
        };
    }
}
