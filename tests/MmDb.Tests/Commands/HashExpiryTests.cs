using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Commands;

public sealed class HashExpiryTests : IDisposable
{
    private readonly InProcess _db = new();

    public void Dispose() => _db.Dispose();

    /// <summary>The same in a pack and in a table.</summary>
    public static TheoryData<int> Layouts => [128, 0];

    private void Use(int maxEntries) => _db.Keyspace.Options.Packed.HashMaxListpackEntries = maxEntries;

    [Theory, MemberData(nameof(Layouts))]
    public void Fields_expire_and_are_hidden_at_once_and_the_hash_goes_with_the_last(int maxEntries)
    {
        Use(maxEntries);
        _db.Prepare("HSET h a 1 b 2 c 3");
        Assert.Equal("[:1, :1, :-2]", _db.Run("HPEXPIRE h 100 FIELDS 3 a b none"));
        Assert.Equal("[:100, :-1, :-2]", _db.Run("HPTTL h FIELDS 3 a c none"));
        Assert.Equal("[:1]", _db.Run("HTTL h FIELDS 1 a"));
        Assert.Equal($"[:{_db.Clock.NowMs + 100}]", _db.Run("HPEXPIRETIME h FIELDS 1 b"));
        _db.Clock.Advance(100);
        Assert.Equal("[:-2, :-1]", _db.Run("HPTTL h FIELDS 2 a c"));
        Assert.Equal("[\"c\", \"3\"]", _db.Run("HGETALL h"));
        Assert.Equal("[\"0\", [\"c\", \"3\"]]", _db.Run("HSCAN h 0"));
        Assert.Equal("[\"0\", [\"c\"]]", _db.Run("HSCAN h 0 NOVALUES"));
        Assert.Equal(":3", _db.Run("HLEN h"));
        Assert.Equal("nil", _db.Run("HGET h a"));
        Assert.Equal(":2", _db.Run("HLEN h"));
        Assert.Equal(":0", _db.Run("HEXISTS h b"));
        Assert.Equal(":1", _db.Run("HLEN h"));
        _db.Prepare("HPEXPIRE h 5 FIELDS 1 c");
        _db.Clock.Advance(5);
        Assert.Equal("nil", _db.Run("HRANDFIELD h"));
        Assert.Equal(":0", _db.Run("EXISTS h"));
        Assert.Equal(3, _db.Keyspace.Stats.ExpiredFields);
    }

    [Theory, MemberData(nameof(Layouts))]
    public void Conditions_decide_by_the_time_that_a_field_has(int maxEntries)
    {
        Use(maxEntries);
        _db.Prepare("HSET h none 1 has 2", "HPEXPIRE h 1000 FIELDS 1 has");
        Assert.Equal("[:0, :0]", _db.Run("HPEXPIRE h 1000 GT FIELDS 2 none has"));
        Assert.Equal("[:0, :1]", _db.Run("HPEXPIRE h 2000 XX FIELDS 2 none has"));
        Assert.Equal("[:1, :0]", _db.Run("HPEXPIRE h 3000 NX FIELDS 2 none has"));
        Assert.Equal("[:1, :0]", _db.Run("HPEXPIRE h 2000 LT FIELDS 2 none has"));
        Assert.Equal("[:1, :0]", _db.Run("HPEXPIRE h 9000 GT FIELDS 2 has has"));
        Assert.Equal("[:1, :1, :-2]", _db.Run("HPERSIST h FIELDS 3 has none missing"));
        Assert.Equal("[:-1]", _db.Run("HPERSIST h FIELDS 1 has"));
        Assert.Equal("[:2, :-2, :2]", _db.Run("HPEXPIREAT h 1 FIELDS 3 has has none"));
        Assert.Equal(":0", _db.Run("EXISTS h"));
    }

    [Theory, MemberData(nameof(Layouts))]
    public void Writing_a_field_ends_its_time_and_counting_keeps_it(int maxEntries)
    {
        Use(maxEntries);
        _db.Prepare("HSET h a 1 b 2 c 3 d 4", "HPEXPIRE h 50 FIELDS 4 a b c d", "HSET h a 5", "HINCRBY h b 1", "HINCRBYFLOAT h c 0.5");
        Assert.Equal("[:-1, :50, :50, :50]", _db.Run("HPTTL h FIELDS 4 a b c d"));
        _db.Clock.Advance(60);
        Assert.Equal(":7", _db.Run("HINCRBY h b 7"));
        Assert.Equal("\"1\"", _db.Run("HINCRBYFLOAT h c 1"));
        Assert.Equal(":1", _db.Run("HSETNX h d x"));
        Assert.Equal("[:-1, :-1, :-1]", _db.Run("HPTTL h FIELDS 3 b c d"));
    }

    [Fact]
    public void Layouts_have_the_names_of_Redis()
    {
        _db.Prepare("HSET h a 1");
        Assert.Equal("\"listpack\"", _db.Run("OBJECT ENCODING h"));
        _db.Prepare("HEXPIRE h 10 FIELDS 1 a");
        Assert.Equal("\"listpackex\"", _db.Run("OBJECT ENCODING h"));
        _db.Prepare("HSET h b " + new string('x', 100));
        Assert.Equal("\"hashtable\"", _db.Run("OBJECT ENCODING h"));
        Assert.Equal("[:10, :-1]", _db.Run("HTTL h FIELDS 2 a b"));
    }

    [Theory, MemberData(nameof(Layouts))]
    public void Fields_are_read_with_a_new_time_taken_and_written_with_one(int maxEntries)
    {
        Use(maxEntries);
        _db.Prepare("HSET h a 1 b 2");
        Assert.Equal("[\"1\", nil]", _db.Run("HGETEX h PX 100 FIELDS 2 a none"));
        Assert.Equal("[\"1\"]", _db.Run("HGETEX h FIELDS 1 a"));
        Assert.Equal("[:100]", _db.Run("HPTTL h FIELDS 1 a"));
        Assert.Equal("[\"1\"]", _db.Run("HGETEX h PERSIST FIELDS 1 a"));
        Assert.Equal("[:-1]", _db.Run("HPTTL h FIELDS 1 a"));
        Assert.Equal("[\"1\"]", _db.Run("HGETEX h PXAT 1 FIELDS 1 a"));
        Assert.Equal(":0", _db.Run("HEXISTS h a"));

        Assert.Equal(":1", _db.Run("HSETEX h EX 7 FIELDS 2 a x b y"));
        Assert.Equal("[:7, :7]", _db.Run("HTTL h FIELDS 2 a b"));
        Assert.Equal(":0", _db.Run("HSETEX h FNX FIELDS 2 a z c z"));
        Assert.Equal(":0", _db.Run("HSETEX h FXX FIELDS 2 a z c z"));
        Assert.Equal(":1", _db.Run("HSETEX h FXX KEEPTTL FIELDS 1 a z"));
        Assert.Equal("[\"z\", \"y\"]", _db.Run("HMGET h a b"));
        Assert.Equal("[:7]", _db.Run("HTTL h FIELDS 1 a"));
        Assert.Equal(":1", _db.Run("HSETEX h FIELDS 1 a w"));
        Assert.Equal("[:-1]", _db.Run("HTTL h FIELDS 1 a"));

        Assert.Equal("[\"w\", nil, nil]", _db.Run("HGETDEL h FIELDS 3 a a none"));
        Assert.Equal("[\"y\"]", _db.Run("HGETDEL h FIELDS 1 b"));
        Assert.Equal(":0", _db.Run("EXISTS h"));
        Assert.Equal("[nil]", _db.Run("HGETDEL h FIELDS 1 b"));
    }

    [Theory]
    [InlineData("HEXPIRE h 1 FIELD 1 a", "-ERR Mandatory argument FIELDS is missing or not at the right position")]
    [InlineData("HEXPIRE h 1 FIELDS 0 a", "-ERR Parameter `numFields` should be greater than 0")]
    [InlineData("HEXPIRE h 1 FIELDS 2 a", "-ERR The `numfields` parameter must match the number of arguments")]
    [InlineData("HEXPIRE h -1 FIELDS 1 a", "-ERR invalid expire time, must be >= 0")]
    [InlineData("HEXPIRE h x FIELDS 1 a", "-ERR value is not an integer or out of range")]
    [InlineData("HEXPIRE h 9223372036854775807 FIELDS 1 a", "-ERR invalid expire time in 'hexpire' command")]
    [InlineData("HPEXPIREAT h 70368744177664 FIELDS 1 a", "-ERR invalid expire time in 'hpexpireat' command")]
    [InlineData("HTTL h FIELDS x a", "-ERR Number of fields must be a positive integer")]
    [InlineData("HTTL s FIELDS 1 a", "-WRONGTYPE Operation against a key holding the wrong kind of value")]
    [InlineData("HTTL none FIELDS 2 a b", "[:-2, :-2]")]
    [InlineData("HPERSIST none FIELDS 1 a", "[:-2]")]
    [InlineData("HEXPIRE none 1 FIELDS 1 a", "[:-2]")]
    [InlineData("HGETEX h EX 1 PX 1 FIELDS 1 a", "-ERR Only one of EX, PX, EXAT, PXAT or PERSIST arguments can be specified")]
    [InlineData("HGETEX h BOGUS FIELDS 1 a", "-ERR unknown argument: BOGUS")]
    [InlineData("HSETEX h FNX FXX FIELDS 1 a b", "-ERR Only one of FXX or FNX arguments can be specified")]
    [InlineData("HSETEX h EX 60 KEEPTTL FIELDS 1 a b", "-ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified")]
    [InlineData("HSETEX h FIELDS abc a b", "-ERR invalid number of fields")]
    [InlineData("HSETEX h FIELDS 2 a b", "-ERR wrong number of arguments for 'hsetex' command")]
    [InlineData("SSCAN s2 0 NOVALUES", "-ERR NOVALUES option can only be used in HSCAN")]
    public void Arguments_that_are_wrong_get_the_errors_of_Redis(string command, string reply)
    {
        _db.Prepare("HSET h a 1", "SET s x", "SADD s2 a");
        Assert.Equal(reply, _db.Run(command));
    }

    [Theory, MemberData(nameof(Layouts))]
    public void Events_tell_what_happens_to_fields(int maxEntries)
    {
        Use(maxEntries);
        _db.ListenToEvents(KeyspaceEvents.All);
        _db.Prepare("HSET h a 1 b 2 c 3", "HPEXPIRE h 10 FIELDS 2 a b", "HPERSIST h FIELDS 1 b", "HPEXPIREAT h 1 FIELDS 1 b");
        Expire(20);
        _db.Prepare("HPEXPIRE h 0 FIELDS 1 c");
        Assert.Equal(["hset h", "hexpire h", "hpersist h", "hdel h", "hexpired h", "hdel h", "del h"], _db.Events);
    }

    [Theory, MemberData(nameof(Layouts))]
    public void Fields_that_nobody_asks_for_are_deleted_wherever_their_hash_went(int maxEntries)
    {
        Use(maxEntries);
        _db.Prepare(
            "HSET h a 1 b 2", "HPEXPIRE h 10 FIELDS 1 a", "COPY h copied", "RENAME h renamed", "HSET m a 1", "HPEXPIRE m 10 FIELDS 1 a", "MOVE m 1",
            "HSET gone a 1", "HPEXPIRE gone 10 FIELDS 1 a", "SET gone x", "HSET kept a 1", "HPEXPIRE kept 10 FIELDS 1 a", "HPERSIST kept FIELDS 1 a",
            "HSET later a 1", "HPEXPIRE later 10 FIELDS 1 a", "HPEXPIRE later 1000 FIELDS 1 a");
        _db.Run("SWAPDB 1 2");
        Expire(20);
        Assert.Equal((3, 0L), ((int)_db.Keyspace.Stats.ExpiredFields, _db.Keyspace.Databases[2].Count));
        Assert.Equal(":1", _db.Run("HLEN copied"));
        Assert.Equal(":1", _db.Run("HLEN renamed"));
        Assert.Equal(":1", _db.Run("HLEN kept"));
        Assert.Equal(":1", _db.Run("HLEN later"));
        Expire(1000);
        Assert.Equal(":0", _db.Run("EXISTS later"));
    }

    [Fact]
    public void Deleting_due_fields_costs_by_their_number_and_not_by_those_held()
    {
        for (int i = 0; i < 20_000; i += 100)
        {
            string fields = string.Join(' ', Enumerable.Range(i, 100));
            _db.Prepare("HSET h " + string.Join(' ', Enumerable.Range(i, 100).Select(n => $"{n} v")), $"HPEXPIRE h {(i == 300 ? 10 : 1_000_000)} FIELDS 100 {fields}");
        }

        long before = _db.Keyspace.Effects.Applied;
        Expire(20);
        Assert.Equal(":19900", _db.Run("HLEN h"));
        Assert.InRange(_db.Keyspace.Effects.Applied - before, 1, 10);
    }

    [Fact]
    public void Dumped_hashes_are_restored_with_the_times_of_their_fields()
    {
        foreach (int maxEntries in new[] { 128, 0 })
        {
            Use(maxEntries);
            _db.Prepare("DEL h r", "HSET h a 1 b 22 c 3", "HPEXPIRE h 1000 FIELDS 2 a b", "HPEXPIRE h 500 FIELDS 1 a");
            _db.Default.Send([.. "DUMP h".Split(' ').Select(System.Text.Encoding.ASCII.GetBytes)]);
            byte[] payload = _db.Default.TakeReply()!.Bytes.ToArray();
            Assert.Equal("+OK", _db.Run([.. "RESTORE r 0".Split(' ').Select(System.Text.Encoding.ASCII.GetBytes), payload]));
            Assert.Equal("[:500, :1000, :-1]", _db.Run("HPTTL r FIELDS 3 a b c"));
            Assert.Equal("[\"1\", \"22\", \"3\"]", _db.Run("HMGET r a b c"));
            Assert.Equal(_db.Run("DEBUG DIGEST-VALUE h"), _db.Run("DEBUG DIGEST-VALUE r"));
            Expire(600);
            Assert.Equal("[nil, \"22\", \"3\"]", _db.Run("HMGET r a b c"));
        }
    }

    /// <summary>As in Redis: a field is there until it is removed, and until then the key exists, is sent to replicas and moves to other servers.</summary>
    [Theory, MemberData(nameof(Layouts))]
    public void A_hash_whose_fields_have_expired_can_be_restored_from_its_dump_until_they_are_removed(int maxEntries)
    {
        Use(maxEntries);
        foreach (string expired in new[] { "1 a", "2 a b" })
        {
            _db.Prepare("FLUSHALL", "HSET h a 1 b 2", $"HPEXPIRE h 100 FIELDS {expired}");
            byte[] before = Dump();
            _db.Clock.Advance(100);
            byte[] payload = Dump();
            Assert.Equal(before, payload);
            Assert.Equal("+OK", _db.Run([.. "RESTORE r 0".Split(' ').Select(System.Text.Encoding.ASCII.GetBytes), payload]));
            Assert.Equal(_db.Run("DEBUG DIGEST-VALUE h"), _db.Run("DEBUG DIGEST-VALUE r"));
            Assert.Equal(_db.Run("HGETALL h"), _db.Run("HGETALL r"));
            Expire(1);
            Assert.Equal(expired == "1 a" ? ":2" : ":0", _db.Run("EXISTS h r"));
            Assert.Equal("nil", _db.Run("HGET r a"));
        }

        byte[] Dump()
        {
            _db.Default.Send([.. "DUMP h".Split(' ').Select(System.Text.Encoding.ASCII.GetBytes)]);
            return _db.Default.TakeReply()!.Bytes.ToArray();
        }
    }

    [Fact]
    public void Packed_and_big_hashes_say_the_same_and_so_does_the_replayed_log() => Seed.Run(random =>
    {
        using var packed = new InProcess(recording: true);
        using var big = new InProcess(seed: 7);
        using var small = new InProcess(seed: 8);
        big.Keyspace.Options.Packed.HashMaxListpackEntries = 0;
        small.Keyspace.Options.Packed.HashMaxListpackEntries = 6;
        InProcess[] all = [packed, big, small];
        for (int i = 0; i < 4000; i++)
        {
            string command = Draw(random);
            string[] replies = [.. all.Select(db => db.Run(command))];
            Assert.True(replies.All(reply => reply == replies[0]), $"{command}: {string.Join(" / ", replies)}");
            if (random.Next(4) == 0)
            {
                int step = random.Next(30);
                foreach (InProcess db in all)
                {
                    db.Clock.Advance(step);
                    db.Keyspace.NowMs = db.Clock.NowMs;
                    while (db.Keyspace.Expiry.Step(TimeSpan.FromSeconds(1)))
                    {
                    }
                }
            }
        }

        string contents = packed.Contents();
        Assert.Equal(contents, big.Contents());
        Assert.Equal(contents, small.Contents());
        using InProcess replayed = packed.Replay();
        Assert.Equal(contents, replayed.Contents());
    });

    private static string Draw(Random random)
    {
        string key = $"h{random.Next(3)}", other = $"h{random.Next(3)}", field = $"f{random.Next(12)}", second = $"f{random.Next(12)}";
        int ms = random.Next(100);
        return random.Next(22) switch
        {
            0 => $"HPEXPIRE {key} {ms} FIELDS 2 {field} {second}",
            1 => $"HPEXPIRE {key} {ms} {new[] { "NX", "XX", "GT", "LT" }[random.Next(4)]} FIELDS 1 {field}",
            2 => $"HPERSIST {key} FIELDS 2 {field} {second}",
            3 => $"HPTTL {key} FIELDS 2 {field} {second}",
            4 => $"HGETEX {key} PX {ms} FIELDS 2 {field} {second}",
            5 => $"HGETEX {key} PERSIST FIELDS 1 {field}",
            6 => $"HSETEX {key} PX {ms} FIELDS 2 {field} 1 {second} {new string('x', random.Next(100))}",
            7 => $"HSETEX {key} FXX KEEPTTL FIELDS 1 {field} 3",
            8 => $"HGETDEL {key} FIELDS 2 {field} {second}",
            9 => $"HDEL {key} {field} {second}",
            10 => $"HINCRBY {key} {field} 1",
            11 => $"HINCRBYFLOAT {key} {field} 0.5",
            12 => $"HSETNX {key} {field} 5",
            13 => $"COPY {key} {other} REPLACE",
            14 => random.Next(4) == 0 ? $"DEL {key}" : $"RENAME {key} {other}",
            15 => $"HLEN {key}",
            16 => $"HMGET {key} {field} {second}",
            17 => $"HEXISTS {key} {field}",
            18 => $"HSTRLEN {key} {field}",
            _ => $"HSET {key} {field} {random.Next(100)} {second} v",
        };
    }

    private void Expire(int milliseconds)
    {
        _db.Clock.Advance(milliseconds);
        _db.Keyspace.NowMs = _db.Clock.NowMs;
        while (_db.Keyspace.Expiry.Step(TimeSpan.FromSeconds(5)))
        {
        }
    }
}
