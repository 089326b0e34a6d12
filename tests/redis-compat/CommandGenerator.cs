// Draws random commands: every data command of Redis, on few keys so that they meet, with arguments that are mostly
// sensible and sometimes hostile. Whatever it draws must have one right outcome: nothing expires by the clock
// (times are far off, or past), no two relative times are equal, no value grows without bound.

using System.Globalization;
using System.Text;

namespace Leither.RedisCompat;

/// <summary>A source of random commands.</summary>
public sealed partial class CommandGenerator
{
    private static readonly string[] HostileNumbers =
    [
        "9223372036854775807", "-9223372036854775808", "9223372036854775808", "-9223372036854775809", "", " 1", "1 ", "+1", "01", "-0",
        "1.5", "abc", "1e3", "inf", "-inf", "nan", "2147483648", "-2147483649", "4294967296", "0x10", "\0", "--1",
    ];

    private static readonly string[] Scores =
    [
        "0", "1", "-1", "2", "3", "5", "10", "1.5", "-2.25", "0.1", "1e3", "3.0", "inf", "-inf", "+inf", "1e308", "-1e308", "1e-5", "123456789012",
        "9007199254740993", "17179869184.5", "0.30000000000000004", "5e-324",
    ];

    private static readonly string[] Words =
    [
        "a", "b", "c", "d", "e", "f", "aa", "ab", "foo", "bar", "hello", "1", "2", "3", "10", "-5", "07", "1.5", "", "\x01\0", "\xff\xfe", "A", "with space", "n\nl",
        "127", "128", "-32769", "70000", "8388608", "2147483648", "9223372036854775807", "-9223372036854775808", "3.0e2",
    ];

    private static readonly string[] AllKeys =
        [.. "s0 s1 s2 s3 l0 l1 l2 h0 h1 h2 e0 e1 e2 e3 z0 z1 z2 z3 x0 x1 x2 t0 t1 t2".Split(' ')];

    private readonly Random random;
    private readonly (int Weight, Func<string[]> Draw)[] families;
    private readonly int totalWeight;
    private readonly bool withNewer;
    private int relativeTimes;

    /// <param name="random">Where chance comes from.</param>
    /// <param name="withNewer">Whether the judge knows what came with Redis 7.2.</param>
    public CommandGenerator(Random random, bool withNewer)
    {
        this.random = random;
        this.withNewer = withNewer;
        families =
        [
            (22, String), (5, Bit), (4, HyperLogLog), (4, Geo), (14, List), (12, Hash), (14, Set), (22, SortedSet), (18, Stream), (10, Keyspace), (4, Expiry), (3, Sort), (3, Scan), (4, Script), (1, Broken),
        ];
        totalWeight = families.Sum(f => f.Weight);
    }

    /// <summary>A run of commands to be played from an empty server.</summary>
    public List<string[]> Draw(int count)
    {
        var commands = new List<string[]>(count);
        while (commands.Count < count)
        {
            int dice = random.Next(100);
            if (dice < 3) Transaction(commands);
            else if (dice < 5) RandomPick(commands);
            else commands.Add(One());
        }

        return commands;
    }

    private void Transaction(List<string[]> commands)
    {
        if (random.Next(3) == 0)
        {
            commands.Add(["WATCH", AnyKey(), AnyKey()]);
            if (random.Next(2) == 0) commands.Add(One());
            if (random.Next(10) == 0) commands.Add(["UNWATCH"]);
        }

        commands.Add(["MULTI"]);
        for (int i = random.Next(7); i > 0; i--) commands.Add(random.Next(10) == 0 ? Blocking() : One());
        commands.Add([random.Next(6) == 0 ? "DISCARD" : "EXEC"]);
        if (random.Next(4) == 0) commands.Add(["SELECT", "0"]);
    }

    // Picks at random are preceded by what there is to pick from, so that they can be checked (see Comparison).
    private void RandomPick(List<string[]> commands)
    {
        string count = random.Next(8) == 0 ? Pick("9223372036854775807", "-9223372036854775808", "abc", "", "1.5") : random.Next(-6, 12).ToString(CultureInfo.InvariantCulture);
        bool bare = random.Next(4) == 0;
        switch (random.Next(5))
        {
            case 0:
                string set = Key('e');
                commands.Add(["SMEMBERS", set]);
                commands.Add(bare ? ["SRANDMEMBER", set] : ["SRANDMEMBER", set, count]);
                break;
            case 1:
                string hash = Key('h');
                commands.Add(["HGETALL", hash]);
                commands.Add(bare ? ["HRANDFIELD", hash] : random.Next(2) == 0 ? ["HRANDFIELD", hash, count] : ["HRANDFIELD", hash, count, "WITHVALUES"]);
                break;
            case 2:
                string sorted = Key('z');
                commands.Add(["ZRANGE", sorted, "0", "-1", "WITHSCORES"]);
                commands.Add(bare ? ["ZRANDMEMBER", sorted] : random.Next(2) == 0 ? ["ZRANDMEMBER", sorted, count] : ["ZRANDMEMBER", sorted, count, "WITHSCORES"]);
                break;
            case 3:
                commands.Add(["KEYS", "*"]);
                commands.Add(["RANDOMKEY"]);
                break;
            default:
                string popped = Key('e');
                commands.Add(["SMEMBERS", popped]);
                commands.Add(bare ? ["SPOP", popped] : ["SPOP", popped, count]);
                break;
        }
    }

    private string[] One()
    {
        int dice = random.Next(totalWeight);
        foreach ((int weight, Func<string[]> draw) in families)
        {
            dice -= weight;
            if (dice < 0) return draw();
        }

        throw new InvalidOperationException("Weights do not add up");
    }

    private string[] String()
    {
        string k = Key('s');
        return random.Next(20) switch
        {
            0 or 1 => ["SET", k, Value()],
            2 => SetWithOptions(k),
            3 => ["GET", k],
            4 => ["GETSET", k, Value()],
            5 => ["GETDEL", k],
            6 => GetEx(k),
            7 => ["MGET", k, AnyKey(), Key('s')],
            8 => random.Next(2) == 0 ? ["MSET", k, Value(), Key('s'), Value()] : ["MSETNX", k, Value(), AnyKey(), Value()],
            9 => [Pick("INCR", "DECR"), k],
            10 => [Pick("INCRBY", "DECRBY"), k, Number()],
            11 => ["INCRBYFLOAT", k, Float()],
            12 => ["APPEND", k, ShortValue()],
            13 => ["STRLEN", k],
            14 => [Pick("GETRANGE", "SUBSTR"), k, Index(), Index()],
            15 => ["SETRANGE", k, Offset(300), ShortValue()],
            16 => ["SETNX", k, Value()],
            17 => random.Next(3) == 0 ? [Pick("SETEX", "PSETEX"), k, Pick("0", "-1", "abc", "9223372036854775807"), Value()] : ["SETEX", k, RelativeSeconds(), Value()],
            18 => Lcs(k),
            _ => ["SET", k, random.Next(-1000, 1000).ToString(CultureInfo.InvariantCulture)],
        };
    }

    private string[] SetWithOptions(string k)
    {
        var c = new List<string> { "SET", k, Value() };
        for (int i = random.Next(1, 4); i > 0; i--)
        {
            switch (random.Next(7))
            {
                case 0: c.Add("NX"); break;
                case 1: c.Add("XX"); break;
                case 2: c.Add("GET"); break;
                case 3: c.Add("KEEPTTL"); break;
                case 4: c.AddRange(["EX", RelativeSeconds()]); break;
                // SET at a time that has passed leaves a key which DBSIZE counts until the server comes across it: not drawn.
                case 5: c.AddRange(["PXAT", AbsoluteMilliseconds("0", "-1")]); break;
                case 6 when random.Next(4) == 0:
                    // As seconds these two have not passed.
                    string at = Hostile();
                    c.AddRange([at is "2147483648" or "4294967296" ? Pick("EX", "PX", "EXAT") : Pick("EX", "PX", "EXAT", "PXAT"), at]);
                    break;
                default: c.AddRange(["EXAT", AbsoluteSeconds("0", "-1")]); break;
            }
        }

        return [.. c];
    }

    private string[] GetEx(string k) => random.Next(6) switch
    {
        0 => ["GETEX", k],
        1 => ["GETEX", k, "PERSIST"],
        2 => ["GETEX", k, "EX", RelativeSeconds()],
        3 => ["GETEX", k, "PXAT", AbsoluteMilliseconds("1", "0", "-1", "1000")],
        4 => ["GETEX", k, Pick("EX", "PX", "EXAT", "PXAT"), Hostile()],
        _ => ["GETEX", k, Pick("PERSIST", "EX", "KEEPTTL", "XX"), Pick("PERSIST", "1000000", "NX")],
    };

    private string[] Lcs(string k)
    {
        var c = new List<string> { "LCS", k, Key('s') };
        if (random.Next(3) == 0) c.Add("LEN");
        if (random.Next(2) == 0) c.Add("IDX");
        if (random.Next(3) == 0) c.AddRange(["MINMATCHLEN", Count()]);
        if (random.Next(3) == 0) c.Add("WITHMATCHLEN");
        return [.. c];
    }

    private string[] Bit()
    {
        string k = Key('s');
        switch (random.Next(7))
        {
            case 0: return ["SETBIT", k, Offset(2000), Pick("0", "1", "1", "2", "abc")];
            case 1: return ["GETBIT", k, Offset(2000)];
            case 2: return random.Next(3) == 0 ? ["BITCOUNT", k] : random.Next(2) == 0 ? ["BITCOUNT", k, Index(), Index()] : ["BITCOUNT", k, Index(), Index(), Pick("BIT", "BYTE", "bit", "X")];
            case 3:
                return random.Next(4) switch
                {
                    0 => ["BITPOS", k, Bit01()],
                    1 => ["BITPOS", k, Bit01(), Index()],
                    2 => ["BITPOS", k, Bit01(), Index(), Index()],
                    _ => ["BITPOS", k, Bit01(), Index(), Index(), Pick("BIT", "BYTE", "X")],
                };
            case 4:
                return random.Next(4) == 0 ? ["BITOP", "NOT", Key('s'), k] : ["BITOP", Pick("AND", "OR", "XOR", "NOT", "FOO"), Key('s'), k, Key('s'), Key('s')];
            default: return BitField(k);
        }

        string Bit01() => random.Next(10) == 0 ? Pick("2", "abc", "-1") : Pick("0", "1");
    }

    private string[] BitField(string k)
    {
        bool readOnly = random.Next(6) == 0;
        var c = new List<string> { readOnly ? "BITFIELD_RO" : "BITFIELD", k };
        for (int i = random.Next(4); i > 0; i--)
        {
            string type = random.Next(12) == 0 ? Pick("u64", "i65", "u0", "x8", "u", "i-1") : Pick("u", "i") + random.Next(1, 64).ToString(CultureInfo.InvariantCulture);
            string offset = random.Next(12) == 0 ? Pick("-1", "abc", "#-1", "#", "4294967296", "#4294967296") : (random.Next(3) == 0 ? "#" : "") + random.Next(60).ToString(CultureInfo.InvariantCulture);
            switch (random.Next(readOnly ? 8 : 4))
            {
                case 1: c.AddRange(["SET", type, offset, Number()]); break;
                case 2: c.AddRange(["INCRBY", type, offset, Number()]); break;
                case 3: c.AddRange(["OVERFLOW", Pick("WRAP", "SAT", "FAIL", "FAIL", "X")]); break;
                default: c.AddRange(["GET", type, offset]); break;
            }
        }

        return [.. c];
    }

    // On keys of their own: what other commands would leave in them, Redis itself takes badly.
    private string[] HyperLogLog()
    {
        string k = HyperLogLogKey();
        return random.Next(12) switch
        {
            0 => ["PFCOUNT", k],
            1 => ["PFCOUNT", HyperLogLogKey(), HyperLogLogKey(), AnyKey()],
            2 or 3 => ["PFMERGE", k, .. Enumerable.Range(0, random.Next(4)).Select(_ => HyperLogLogKey())],
            4 => ["PFDEBUG", Pick("ENCODING", "DECODE", "DECODE", "TODENSE", "X"), k],
            5 or 6 => [Pick("GET", "GET", "STRLEN", "TYPE", "DEL"), k],
            7 => ["COPY", k, HyperLogLogKey(), "REPLACE"],
            8 => ["PFADD", AnyKey(), Element()],
            _ => ["PFADD", k, .. random.Next(4) == 0 ? Integers(1, 30) : Values(0, 10)],
        };
    }

    private string[] Geo()
    {
        string k = GeoKey();
        return random.Next(10) switch
        {
            0 => ["GEOPOS", k, Element(), Element()],
            1 => ["GEOHASH", k, Element(), Element()],
            2 => ["GEODIST", k, Element(), Element(), .. Optional(Unit())],
            3 => ["GEORADIUS", k, Longitude(), Latitude(), Distance(), Unit(), .. GeoOptions(mayStore: true)],
            4 => ["GEORADIUSBYMEMBER", k, Element(), Distance(), Unit(), .. GeoOptions(mayStore: true)],
            5 => ["GEOSEARCH", k, .. GeoArea(), .. GeoOptions(mayStore: false)],
            6 => ["GEOSEARCHSTORE", GeoKey(), k, .. GeoArea(), .. Optional("COUNT", Count()), "ASC"],
            _ => ["GEOADD", k, .. Optional(Pick("NX", "XX", "CH")), .. Enumerable.Range(0, random.Next(1, 6)).SelectMany(_ => new[] { Longitude(), Latitude(), Element() })],
        };
    }

    private string[] GeoArea()
    {
        string[] from = random.Next(2) == 0 ? ["FROMMEMBER", Element()] : ["FROMLONLAT", Longitude(), Latitude()];
        string[] by = random.Next(2) == 0 ? ["BYRADIUS", Distance(), Unit()] : ["BYBOX", Distance(), Distance(), Unit()];
        return random.Next(2) == 0 ? [.. from, .. by] : [.. by, .. from];
    }

    // Distances are stored as scores, which 7.0 writes otherwise: those are not drawn.
    private string[] GeoOptions(bool mayStore)
    {
        var c = new List<string>();
        for (int i = random.Next(4); i > 0; i--) c.AddRange(random.Next(7) switch { 0 => ["WITHDIST"], 1 => ["WITHHASH"], 2 => ["WITHCOORD"], 3 => ["COUNT", Count()], 4 when mayStore => ["STORE", GeoKey()], 5 => ["DESC"], _ => new[] { "ASC" } });
        return [.. c];
    }

    private string GeoKey() => random.Next(15) == 0 ? AnyKey() : Pick("g0", "g1", "g2");

    private string Longitude() => random.Next(30) == 0 ? Pick("181", "abc", "-180", "180") : random.Next(3) == 0 ? Decimal(-180, 180) : Decimal(5, 15);

    private string Latitude() => random.Next(30) == 0 ? Pick("86", "abc", "-85.05112878") : random.Next(3) == 0 ? Decimal(-85, 85) : Decimal(45, 55);

    private string Distance() => random.Next(30) == 0 ? Pick("-1", "abc", "0") : Decimal(0, random.Next(3) == 0 ? 20_000 : 600);

    private string Unit() => random.Next(30) == 0 ? "yd" : Pick("km", "km", "mi", "m", "FT");

    private string Decimal(double from, double to) => (from + (random.NextDouble() * (to - from))).ToString("R", CultureInfo.InvariantCulture);

    private string HyperLogLogKey() => Pick("p0", "p1", "p2");

    private string[] List()
    {
        string k = Key('l');
        return random.Next(20) switch
        {
            0 or 1 or 2 or 3 => [Pick("LPUSH", "RPUSH"), k, .. Values(1, 8)],
            4 => [Pick("LPUSHX", "RPUSHX"), k, .. Values(1, 3)],
            5 => [Pick("LPOP", "RPOP"), k],
            6 => [Pick("LPOP", "RPOP"), k, Count()],
            7 => ["LLEN", k],
            8 => ["LRANGE", k, Index(), Index()],
            9 => ["LRANGE", k, "0", "-1"],
            10 => ["LINDEX", k, Index()],
            // Within any list: one that is out of range may still turn Redis's list into a quicklist before it fails.
            11 => ["LSET", k, Pick("0", "-1"), Value()],
            12 => ["LINSERT", k, Pick("BEFORE", "AFTER", "after", "X"), Element(), Value()],
            13 => ["LREM", k, Index(), Element()],
            14 => ["LTRIM", k, Index(), random.Next(3) == 0 ? Index() : "-1"],
            15 or 16 => LPos(k),
            17 => ["LMOVE", k, Key('l'), Pick("LEFT", "RIGHT"), Pick("LEFT", "RIGHT", "RIGHT", "X")],
            18 => ["RPOPLPUSH", k, Key('l')],
            _ => MPop("LMPOP", 'l', Pick("LEFT", "RIGHT", "RIGHT", "MIN")),
        };
    }

    private string[] LPos(string k)
    {
        var c = new List<string> { "LPOS", k, Element() };
        if (random.Next(2) == 0) c.AddRange(["RANK", random.Next(10) == 0 && withNewer ? Hostile() : random.Next(-3, 4).ToString(CultureInfo.InvariantCulture)]);
        if (random.Next(2) == 0) c.AddRange(["COUNT", Count()]);
        if (random.Next(3) == 0) c.AddRange(["MAXLEN", Count()]);
        return [.. c];
    }

    private string[] MPop(string command, char type, string where)
    {
        var c = new List<string> { command };
        int keys = random.Next(1, 4);
        c.Add(random.Next(15) == 0 ? Hostile() : keys.ToString(CultureInfo.InvariantCulture));
        for (int i = 0; i < keys; i++) c.Add(Key(type));
        c.Add(where);
        if (random.Next(2) == 0) c.AddRange(["COUNT", Count()]);
        return [.. c];
    }

    private string[] Hash()
    {
        string k = Key('h');
        return random.Next(15) switch
        {
            0 or 1 or 2 => ["HSET", k, .. Pairs(1, 6)],
            3 => ["HMSET", k, .. Pairs(1, 3)],
            4 => ["HSETNX", k, Element(), Value()],
            5 => ["HGET", k, Element()],
            6 => ["HMGET", k, Element(), Element(), Element()],
            7 => ["HGETALL", k],
            8 => ["HDEL", k, Element(), Element()],
            9 => [Pick("HLEN", "HKEYS", "HVALS"), k],
            10 => ["HEXISTS", k, Element()],
            11 => ["HSTRLEN", k, Element()],
            12 => ["HINCRBY", k, Element(), Number()],
            13 => ["HINCRBYFLOAT", k, Element(), Float()],
            _ => ["HDEL", k, .. Values(1, 10)],
        };
    }

    private string[] Set()
    {
        string k = Key('e');
        return random.Next(16) switch
        {
            0 or 1 or 2 => ["SADD", k, .. random.Next(2) == 0 ? Values(1, 8) : Integers(1, 12)],
            3 => ["SREM", k, .. random.Next(2) == 0 ? Values(1, 8) : Integers(1, 12)],
            4 => ["SMEMBERS", k],
            5 => ["SCARD", k],
            6 => ["SISMEMBER", k, Element()],
            7 => ["SMISMEMBER", k, Element(), Element()],
            8 => ["SMOVE", k, Key('e'), Element()],
            9 => ["SPOP", k, "1000000"],
            10 or 11 => [Pick("SINTER", "SUNION", "SDIFF"), .. Keys('e', 1, 4)],
            12 or 13 => [Pick("SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE"), Key('e'), .. Keys('e', 1, 4)],
            14 => SInterCard("SINTERCARD", 'e'),
            _ => ["SADD", k, .. Integers(1, 30)],
        };
    }

    private string[] SInterCard(string command, char type)
    {
        string[] keys = Keys(type, 1, 3);
        string number = random.Next(15) == 0 ? Hostile() : keys.Length.ToString(CultureInfo.InvariantCulture);
        return random.Next(2) == 0 ? [command, number, .. keys] : [command, number, .. keys, "LIMIT", Count()];
    }

    private string[] SortedSet()
    {
        string k = Key('z');
        return random.Next(29) switch
        {
            28 => random.Next(8) == 0 ? ["RPUSH", "w0", Element()] : ["ZADD", LexKey(), .. Enumerable.Range(0, random.Next(1, 8)).SelectMany(_ => new[] { "0", Element() })],
            0 or 1 or 2 => ["ZADD", k, .. ScoredMembers(1, 8)],
            3 or 4 => ZAddWithOptions(k),
            5 => ["ZINCRBY", k, Score(), Element()],
            6 => ["ZREM", k, .. Values(1, 5)],
            7 => ["ZSCORE", k, Element()],
            8 => ["ZMSCORE", k, Element(), Element()],
            9 => withNewer && random.Next(2) == 0 ? [Pick("ZRANK", "ZREVRANK"), k, Element(), "WITHSCORE"] : [Pick("ZRANK", "ZREVRANK"), k, Element()],
            10 => ["ZCARD", k],
            11 => ["ZCOUNT", k, ScoreBound(), ScoreBound()],
            12 => ["ZLEXCOUNT", LexKey(), LexBound(), LexBound()],
            13 or 14 or 15 => ZRange(k, null),
            16 => ZRange(k, Key('z')),
            17 => [Pick("ZRANGEBYSCORE", "ZREVRANGEBYSCORE"), k, ScoreBound(), ScoreBound(), .. Optional("WITHSCORES"), .. Limit()],
            18 => [Pick("ZRANGEBYLEX", "ZREVRANGEBYLEX"), LexKey(), LexBound(), LexBound(), .. Limit()],
            19 => ["ZREVRANGE", k, Index(), Index(), .. Optional("WITHSCORES")],
            20 => random.Next(3) switch
            {
                0 => ["ZREMRANGEBYRANK", k, Index(), Index()],
                1 => ["ZREMRANGEBYSCORE", k, ScoreBound(), ScoreBound()],
                _ => ["ZREMRANGEBYLEX", LexKey(), LexBound(), LexBound()],
            },
            21 => random.Next(2) == 0 ? [Pick("ZPOPMIN", "ZPOPMAX"), k] : [Pick("ZPOPMIN", "ZPOPMAX"), k, Count()],
            22 => MPop("ZMPOP", 'z', Pick("MIN", "MAX", "MAX", "LEFT")),
            23 or 24 => ZCombine(store: false),
            25 or 26 => ZCombine(store: true),
            _ => SInterCard("ZINTERCARD", 'z'),
        };
    }

    private string[] ZAddWithOptions(string k)
    {
        var c = new List<string> { "ZADD", k };
        for (int i = random.Next(1, 4); i > 0; i--) c.Add(Pick("NX", "XX", "GT", "LT", "CH", "INCR", "CH", "X"));
        c.AddRange(ScoredMembers(1, c.Contains("INCR") && random.Next(5) > 0 ? 2 : 5));
        return [.. c];
    }

    private string[] ZRange(string k, string? store)
    {
        var c = new List<string> { store is null ? "ZRANGE" : "ZRANGESTORE" };
        if (store is not null) c.Add(store);
        int by = random.Next(3);
        c.Add(by == 2 ? LexKey() : k);
        c.AddRange(by switch { 0 => [Index(), Index()], 1 => [ScoreBound(), ScoreBound(), "BYSCORE"], _ => [LexBound(), LexBound(), "BYLEX"] });
        if (random.Next(3) == 0) c.Add("REV");
        if (random.Next(3) == 0 && (store is null || random.Next(10) == 0)) c.Add("WITHSCORES");
        if (random.Next(15) == 0) c.Add(Pick("BYSCORE", "X"));
        if (by > 0 || random.Next(10) == 0) c.AddRange(Limit());
        return [.. c];
    }

    private string[] ZCombine(bool store)
    {
        string[] keys = [.. Enumerable.Range(0, random.Next(1, 4)).Select(_ => random.Next(4) == 0 ? Key('e') : Key('z'))];
        string operation = Pick("ZUNION", "ZINTER", "ZDIFF");
        var c = new List<string> { store ? operation + "STORE" : operation };
        if (store) c.Add(Key('z'));
        c.Add(random.Next(20) == 0 ? Hostile() : keys.Length.ToString(CultureInfo.InvariantCulture));
        c.AddRange(keys);
        if (operation != "ZDIFF" || random.Next(10) == 0)
        {
            if (random.Next(2) == 0)
            {
                c.Add("WEIGHTS");
                foreach (string _ in keys) c.Add(random.Next(15) == 0 ? Hostile() : Pick("1", "2", "0", "-1", "0.5", "inf"));
            }

            if (random.Next(2) == 0) c.AddRange(["AGGREGATE", Pick("SUM", "MIN", "MAX", "max", random.Next(5) == 0 ? "X" : "SUM")]);
        }

        if (!store && random.Next(2) == 0) c.Add("WITHSCORES");
        return [.. c];
    }

    private string[] Keyspace()
    {
        string k = AnyKey();
        switch (random.Next(18))
        {
            case 0: return [Pick("DEL", "UNLINK"), k, AnyKey()];
            case 1: return [Pick("EXISTS", "TOUCH"), k, AnyKey(), k];
            case 2: return ["TYPE", k];
            case 3: return [Pick("RENAME", "RENAMENX"), k, Related(k)];
            case 4: return ["COPY", k, Related(k), .. Optional("REPLACE")];
            case 5: return ["COPY", k, Related(k), "DB", Database(), .. Optional("REPLACE")];
            case 6: return ["MOVE", k, Database()];
            case 7: return ["SELECT", Database()];
            case 8: return random.Next(3) == 0 ? ["SWAPDB", Database(), Database()] : ["DBSIZE"];
            case 9: return random.Next(60) == 0 ? [Pick("FLUSHDB", "FLUSHALL")] : ["DBSIZE"];
            case 10: return ["KEYS", Pick("*", "s*", "[lh]?", "?[0-1]", "z[^1]", "nothing", "\\s0")];
            case 11 or 12 or 13 or 14 or 15: return ["OBJECT", "ENCODING", k];
            case 16: return ["SELECT", "0"];
            default: return ["DEL", k];
        }
    }

    private string[] Expiry()
    {
        string k = AnyKey();
        string[] option = random.Next(3) == 0 ? [Pick("NX", "XX", "GT", "LT", "gt", "X")] : random.Next(12) == 0 ? [Pick("NX", "GT", "XX"), Pick("LT", "GT", "XX")] : [];
        return random.Next(10) switch
        {
            0 or 1 => ["EXPIRE", k, RelativeSeconds(), .. option],
            2 => ["PEXPIREAT", k, AbsoluteMilliseconds("1", "0", "-1", "1000"), .. option],
            3 => ["EXPIREAT", k, AbsoluteSeconds("1", "0", "-1", "1000"), .. option],
            4 => random.Next(2) == 0
                ? [Pick("EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT"), k, Hostile()]
                : [Pick("EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT"), k, Pick("0", "-1"), .. option],
            5 => ["PERSIST", k],
            6 => ["TTL", k],
            7 => ["PTTL", k],
            8 => ["PEXPIRETIME", k],
            _ => ["EXPIRETIME", k],
        };
    }

    private string[] Sort()
    {
        var c = new List<string> { random.Next(5) == 0 ? "SORT_RO" : "SORT", random.Next(4) switch { 0 => Key('e'), 1 => Key('z'), _ => Key('l') } };
        bool alpha = random.Next(2) == 0;
        bool unsorted = false;
        if (random.Next(3) == 0)
        {
            string by = Pick("nosort", "s*", "*", "h0->*", "h*->a", "z*");
            unsorted = alpha || !by.Contains('*', StringComparison.Ordinal);
            c.AddRange(["BY", by]);
        }

        // In which order an unsorted set comes is its own affair (so are ties between texts, which Redis leaves open):
        // no part of it, and nothing stored from it, is compared.
        if (random.Next(3) == 0 && !unsorted) c.AddRange(["LIMIT", random.Next(-1, 5).ToString(CultureInfo.InvariantCulture), random.Next(-1, 6).ToString(CultureInfo.InvariantCulture)]);
        for (int i = random.Next(3); i > 1; i--) c.AddRange(["GET", Pick("#", "s*", "h*->a", "missing", "*")]);
        if (random.Next(2) == 0) c.Add(Pick("ASC", "DESC", "DESC"));
        if (alpha) c.Add("ALPHA");
        if (random.Next(4) == 0 && !unsorted) c.AddRange(["STORE", Key('l')]);
        return [.. c];
    }

    // Whole iterations only: where a cursor stops is the server's own affair.
    private string[] Scan() => random.Next(5) switch
    {
        0 => ["SCAN", "0", "COUNT", "1000000", .. Optional("MATCH", "s*"), .. Optional("TYPE", Pick("string", "list", "hash", "set", "zset", "stream"))],
        1 => ["HSCAN", Key('h'), "0", "COUNT", "1000000", .. Optional("MATCH", "[a-f]*")],
        2 => ["SSCAN", Key('e'), "0", "COUNT", "1000000", .. Optional("MATCH", "*1*")],
        3 => ["ZSCAN", Key('z'), "0", "COUNT", "1000000", .. Optional("MATCH", "?")],
        _ => [Pick("SCAN", "HSCAN"), .. random.Next(2) == 0 ? new[] { "abc" } : [AnyKey(), "abc"], "COUNT", "0"],
    };

    // A command with an argument lost, doubled or replaced.
    private string[] Broken()
    {
        string[] command = One();
        if (command[0] is "XCLAIM" or "XAUTOCLAIM" or "XPENDING" || command.Contains("*")) return command;
        if (command[0] is "SORT" or "SORT_RO" or "SETRANGE" or "SETBIT" or "BITFIELD" or "SCAN" or "HSCAN" or "SSCAN" or "ZSCAN" or "EXPIRE" or "PEXPIRE" or "SETEX" or "PSETEX" or "SET" or "GETEX" or "SPOP") return command;
        int at = random.Next(1, command.Length + 1);
        return random.Next(3) switch
        {
            0 when at < command.Length => [.. command[..at], .. command[(at + 1)..]],
            1 => [.. command[..at], Pick("X", "1", "WITHSCORES", "LIMIT"), .. command[at..]],
            _ => command[..at],
        };
    }

    // In a transaction these do not wait.
    private string[] Blocking() => random.Next(9) switch
    {
        0 => [Pick("BLPOP", "BRPOP"), .. Keys('l', 1, 3), "0"],
        1 => ["BRPOPLPUSH", Key('l'), Key('l'), "1"],
        2 => ["BLMOVE", Key('l'), Key('l'), Pick("LEFT", "RIGHT"), Pick("LEFT", "RIGHT"), "0.5"],
        3 => [Pick("BZPOPMIN", "BZPOPMAX"), .. Keys('z', 1, 3), "0"],
        4 => ["BLMPOP", "0", .. MPop("LMPOP", 'l', "LEFT")[1..]],
        7 => ["XREAD", "BLOCK", Pick("0", "10", "-1", "abc"), "STREAMS", Key('t'), Pick("$", "0")],
        8 => ["XREADGROUP", "GROUP", GroupName(), ConsumerName(), "BLOCK", "0", "STREAMS", Key('t'), ">"],
        5 => ["BZMPOP", "0", .. MPop("ZMPOP", 'z', "MAX")[1..]],
        _ => [Pick("BLPOP", "BZPOPMIN"), AnyKey(), Pick("-1", "abc", "")],
    };

    private string Pick(params string[] choices) => choices[random.Next(choices.Length)];

    private string AnyKey() => Pick(AllKeys);

    // Mostly a key of the wanted type, sometimes one that holds anything or nothing.
    private string Key(char type) => random.Next(12) == 0 ? AnyKey() : type + random.Next(type is 'l' or 'h' or 't' ? 3 : 4).ToString(CultureInfo.InvariantCulture);

    // Ranges by text mean something only where all scores are equal: these keys are kept so.
    private string LexKey() => Pick("y0", "y1", "y1", "nothing", "w0");

    private string[] Keys(char type, int from, int to) => [.. Enumerable.Range(0, random.Next(from, to)).Select(_ => Key(type))];

    // Types stay mostly where they belong.
    private string Related(string key) => random.Next(8) == 0 ? AnyKey() : Key(key[0]);

    private string Database() => random.Next(15) == 0 ? Pick("16", "-1", "abc", "") : random.Next(3).ToString(CultureInfo.InvariantCulture);

    private string Hostile() => Pick(HostileNumbers);

    private string Number() => random.Next(12) == 0 ? Hostile() : random.Next(4) == 0 ? Pick(HostileNumbers[..2]) : random.Next(-200, 200).ToString(CultureInfo.InvariantCulture);

    private string Float() => random.Next(10) == 0 ? Hostile() : Pick("1", "-1", "0.1", "0.5", "-2.25", "3.0e2", "1e10", "0", "1234567.891", "1e-5", "100");

    private string Index() => random.Next(20) == 0 ? Hostile() : random.Next(-12, 12).ToString(CultureInfo.InvariantCulture);

    private string Count() => random.Next(15) == 0 ? Hostile() : random.Next(6).ToString(CultureInfo.InvariantCulture);

    private string Offset(int below) => random.Next(15) == 0 ? Pick("-1", "abc", "", "4294967296", "9223372036854775807", "9223372036854775808", "1.5") : random.Next(below).ToString(CultureInfo.InvariantCulture);

    private string Score() => random.Next(25) == 0 ? Pick("nan", "abc", "", " 1", "1e400", "0x1p3") : random.Next(3) == 0 ? Pick(Scores) : random.Next(-5, 6).ToString(CultureInfo.InvariantCulture);

    private string ScoreBound() => random.Next(25) == 0 ? Pick("abc", "(abc", "", "(", "nan") : (random.Next(3) == 0 ? "(" : "") + (random.Next(3) == 0 ? Pick("-inf", "+inf", "inf") : Pick(Scores));

    private string LexBound() => random.Next(25) == 0 ? Pick("a", "", "-x", "++") : random.Next(3) == 0 ? Pick("-", "+") : Pick("[", "(") + Element();

    private string[] Limit() => random.Next(3) > 0 ? [] : random.Next(15) == 0 ? ["LIMIT", Hostile(), "1"] : ["LIMIT", random.Next(-1, 5).ToString(CultureInfo.InvariantCulture), random.Next(-1, 6).ToString(CultureInfo.InvariantCulture)];

    private string[] Optional(params string[] words) => random.Next(2) == 0 ? [] : words;

    private string Element() => random.Next(8) == 0 ? random.Next(-20, 20).ToString(CultureInfo.InvariantCulture) : random.Next(40) == 0 ? LongText(70) : Pick(Words);

    private string Value() => random.Next(30) switch
    {
        0 => LongText(5000),
        1 => LongText(300),
        2 => LongText(70),
        3 => new string('y', random.Next(40, 48)),
        < 10 => random.Next(-100, 100).ToString(CultureInfo.InvariantCulture),
        _ => Pick(Words),
    };

    private string ShortValue() => random.Next(20) == 0 ? LongText(100) : Pick(Words);

    private string LongText(int below)
    {
        int length = random.Next(below);
        return random.Next(2) == 0
            ? new string((char)('a' + random.Next(26)), length)
            : string.Create(length, random, (chars, r) => { foreach (ref char c in chars) c = (char)r.Next(256); });
    }

    private string[] Values(int from, int to) => [.. Enumerable.Range(0, random.Next(from, to)).Select(_ => random.Next(15) == 0 ? Value() : Element())];

    private string[] Integers(int from, int to) => [.. Enumerable.Range(0, random.Next(from, to)).Select(_ => random.Next(-40, 40).ToString(CultureInfo.InvariantCulture))];

    private string[] Pairs(int from, int to) => [.. Enumerable.Range(0, random.Next(from, to)).SelectMany(_ => new[] { Element(), Value() })];

    private string[] ScoredMembers(int from, int to) => [.. Enumerable.Range(0, random.Next(from, to)).SelectMany(_ => new[] { Score(), Element() })];

    // Unique, so that GT and LT never depend on how many milliseconds have passed between two commands.
    private string RelativeSeconds() => (1_000_000 + (++relativeTimes * 997 % 1_000_003 * 100)).ToString(CultureInfo.InvariantCulture);

    private string AbsoluteSeconds(params string[] seldom) => random.Next(6) == 0 ? Pick(seldom) : (33_000_000_000 + random.Next(1_000_000)).ToString(CultureInfo.InvariantCulture);

    private string AbsoluteMilliseconds(params string[] seldom) => random.Next(6) == 0 ? Pick(seldom) : (33_000_000_000_000 + random.Next(1_000_000)).ToString(CultureInfo.InvariantCulture);

    /// <summary>The bytes of drawn arguments: one byte a char.</summary>
    public static byte[][] Bytes(string[] command) => [.. command.Select(Encoding.Latin1.GetBytes)];
}
