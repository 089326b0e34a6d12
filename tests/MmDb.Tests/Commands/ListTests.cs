using System.Globalization;
using System.Text;
using Leither.MmDb.Values;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Commands;

public sealed class ListTests : IDisposable
{
    private readonly InProcess _db = new();

    public void Dispose() => _db.Dispose();

    [Theory]
    [InlineData("LPUSH l x y", ":5")]
    [InlineData("RPUSH new x", ":1")]
    [InlineData("LPUSH text x", "-WRONGTYPE Operation against a key holding the wrong kind of value")]
    [InlineData("LPUSHX none x", ":0")]
    [InlineData("RPUSHX l x", ":4")]
    [InlineData("LPOP l", "\"a\"")]
    [InlineData("RPOP l", "\"c\"")]
    [InlineData("LPOP l 2", "[\"a\", \"b\"]")]
    [InlineData("RPOP l 9", "[\"c\", \"b\", \"a\"]")]
    [InlineData("LPOP l 0", "[]")]
    [InlineData("LPOP none", "nil")]
    [InlineData("LPOP none 1", "nil-array")]
    [InlineData("LPOP l -1", "-ERR value is out of range, must be positive")]
    [InlineData("LPOP l 1 2", "-ERR wrong number of arguments for 'lpop' command")]
    [InlineData("LLEN l", ":3")]
    [InlineData("LLEN none", ":0")]
    [InlineData("LRANGE l 0 -1", "[\"a\", \"b\", \"c\"]")]
    [InlineData("LRANGE l -2 9", "[\"b\", \"c\"]")]
    [InlineData("LRANGE l 2 1", "[]")]
    [InlineData("LRANGE none 0 -1", "[]")]
    [InlineData("LINDEX l -1", "\"c\"")]
    [InlineData("LINDEX l 3", "nil")]
    [InlineData("LINDEX l x", "-ERR value is not an integer or out of range")]
    [InlineData("LSET l 1 z", "+OK")]
    [InlineData("LSET l 3 z", "-ERR index out of range")]
    [InlineData("LSET none 0 z", "-ERR no such key")]
    [InlineData("LINSERT l BEFORE b z", ":4")]
    [InlineData("LINSERT l AFTER none z", ":-1")]
    [InlineData("LINSERT none AFTER b z", ":0")]
    [InlineData("LINSERT l AT b z", "-ERR syntax error")]
    [InlineData("LREM l 0 b", ":1")]
    [InlineData("LREM l 0 none", ":0")]
    [InlineData("LTRIM l 1 1", "+OK")]
    [InlineData("LPOS l c", ":2")]
    [InlineData("LPOS l none", "nil")]
    [InlineData("LPOS l c COUNT 0", "[:2]")]
    [InlineData("LPOS l c RANK 0", "-ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list")]
    [InlineData("LPOS l c COUNT -1", "-ERR COUNT can't be negative")]
    [InlineData("LPOS l c MAXLEN -1", "-ERR MAXLEN can't be negative")]
    [InlineData("LPOS l c MAXLEN 2", "nil")]
    [InlineData("LMOVE l l LEFT RIGHT", "\"a\"")]
    [InlineData("LMOVE l other RIGHT LEFT", "\"c\"")]
    [InlineData("LMOVE l text LEFT LEFT", "-WRONGTYPE Operation against a key holding the wrong kind of value")]
    [InlineData("LMOVE none other LEFT LEFT", "nil")]
    [InlineData("RPOPLPUSH l l", "\"c\"")]
    [InlineData("LMPOP 2 none l LEFT COUNT 2", "[\"l\", [\"a\", \"b\"]]")]
    [InlineData("LMPOP 1 none LEFT", "nil-array")]
    [InlineData("LMPOP 0 l LEFT", "-ERR numkeys should be greater than 0")]
    [InlineData("LMPOP 1 l UP", "-ERR syntax error")]
    [InlineData("LMPOP 1 l LEFT COUNT 0", "-ERR count should be greater than 0")]
    [InlineData("BLPOP none l 0", "[\"l\", \"a\"]")]
    [InlineData("BRPOP l 1", "[\"l\", \"c\"]")]
    [InlineData("BLPOP l -1", "-ERR timeout is negative")]
    [InlineData("BLPOP l x", "-ERR timeout is not a float or out of range")]
    [InlineData("BLMPOP 1 1 l RIGHT", "[\"l\", [\"c\"]]")]
    public void A_command_on_a_list_replies_as_in_Redis(string command, string reply)
    {
        _db.Prepare("RPUSH l a b c", "SET text x");
        Assert.Equal(reply, _db.Run(command));
    }

    [Fact]
    public void A_list_grows_into_a_quicklist_and_shrinks_back_at_half_the_limit()
    {
        string element = new('x', 1000);
        for (int i = 0; i < 8; i++)
        {
            _db.Prepare($"RPUSH l {element}");
            Assert.Equal("\"listpack\"", _db.Run("OBJECT ENCODING l"));
        }

        _db.Prepare($"RPUSH l {element}");
        Assert.Equal("\"quicklist\"", _db.Run("OBJECT ENCODING l"));
        _db.Prepare("LPOP l 4");
        Assert.Equal("\"quicklist\"", _db.Run("OBJECT ENCODING l"));
        _db.Prepare("RPOP l");
        Assert.Equal("\"listpack\"", _db.Run("OBJECT ENCODING l"));
        Assert.Equal(":4", _db.Run("LLEN l"));
    }

    [Fact]
    public void A_waiting_client_is_served_by_a_push_in_the_order_of_coming()
    {
        InProcess.Client first = _db.Connect(), second = _db.Connect();
        Assert.Equal("(none)", first.Run("BLPOP a b 0"));
        Assert.Equal("(none)", second.Run("BLPOP b 0"));
        _db.Prepare("RPUSH b 1 2 3");
        Assert.Equal("[\"b\", \"1\"]", first.Take());
        Assert.Equal("[\"b\", \"2\"]", second.Take());
        Assert.Equal("[\"3\"]", _db.Run("LRANGE b 0 -1"));
    }

    [Fact]
    public void A_chain_of_BLMOVE_carries_an_element_to_its_end()
    {
        InProcess.Client first = _db.Connect(), second = _db.Connect(), last = _db.Connect();
        second.Run("BLMOVE b c LEFT RIGHT 0");
        first.Run("BLMOVE a b LEFT RIGHT 0");
        last.Run("BLPOP c 0");
        _db.Prepare("RPUSH a x");
        Assert.Equal("\"x\"", first.Take());
        Assert.Equal("\"x\"", second.Take());
        Assert.Equal("[\"c\", \"x\"]", last.Take());
    }

    [Fact]
    public void A_wait_ends_with_a_null_array_at_its_time()
    {
        InProcess.Client waiting = _db.Connect();
        waiting.Run("BLPOP a 2");
        _db.Clock.Advance(1999);
        _db.Server.Cron(_db.Clock.NowMs);
        Assert.Null(waiting.Take());
        _db.Clock.Advance(2);
        _db.Server.Cron(_db.Clock.NowMs);
        Assert.Equal("nil-array", waiting.Take());
    }

    [Fact]
    public void A_blocking_pop_in_a_transaction_does_not_wait()
    {
        _db.Prepare("MULTI", "BLPOP none 0");
        Assert.Equal("[nil-array]", _db.Run("EXEC"));
    }

    [Fact]
    public void A_push_inside_a_transaction_serves_after_the_whole_of_it()
    {
        InProcess.Client waiting = _db.Connect();
        waiting.Run("BLPOP a 0");
        _db.Prepare("MULTI", "RPUSH a 1", "LPUSH a 0", "EXEC");
        Assert.Equal("[\"a\", \"0\"]", waiting.Take());
    }

    [Fact]
    public void A_flush_frees_many_small_structures_among_other_keys()
    {
        // Small big-layout collections are freed at once while the keys of their bucket are being walked.
        _db.Keyspace.Options.Packed.ListMaxListpackSize = 1;
        _db.Keyspace.Options.Packed.HashMaxListpackEntries = 0;
        for (int i = 0; i < 2000; i++)
        {
            _db.Prepare($"RPUSH l{i} a b c", $"HSET h{i} a 1 b 2 c 3", $"SET s{i} x");
        }

        _db.Prepare("FLUSHALL");
        while (_db.Keyspace.LazyFree.Step(TimeSpan.FromSeconds(1)))
        {
        }

        Assert.Equal(0, _db.Keyspace.LazyFree.PendingCount);
        _db.Prepare("SET a 1");
        Assert.Equal("\"1\"", _db.Run("GET a"));
    }

    [Fact]
    public void Turning_a_list_of_one_element_keeps_its_expiry()
    {
        _db.Prepare("RPUSH l a", "EXPIRE l 1000", "LMOVE l l LEFT RIGHT");
        Assert.Equal(":1000", _db.Run("TTL l"));
        Assert.Equal("[\"a\"]", _db.Run("LRANGE l 0 -1"));
    }

    [Theory]
    [InlineData(-2)]
    [InlineData(3)]
    [InlineData(1)]
    public void Random_commands_match_a_managed_list_and_their_log_replays_to_the_same(int nodeSize)
    {
        int seed = Seed.OfRun();
        var random = new Random(seed);
        var options = new KeyspaceOptions { Packed = PackedThresholds.Default };
        options.Packed.ListMaxListpackSize = nodeSize;
        using var db = new InProcess(options, recording: true);
        var model = new List<string>();
        for (int i = 0; i < 4000; i++)
        {
            string value = random.Next(4) == 0 ? new string((char)('a' + random.Next(3)), random.Next(300)) : random.Next(20).ToString(CultureInfo.InvariantCulture);
            int at = random.Next(-model.Count - 1, model.Count + 2);
            switch (random.Next(9))
            {
                case 0 or 1:
                    model.Insert(0, value);
                    db.Run(Words("LPUSH", "l", value));
                    break;
                case 2 or 3:
                    model.Add(value);
                    db.Run(Words("RPUSH", "l", value));
                    break;
                case 4 when model.Count > 0:
                    model.RemoveAt(0);
                    db.Run("LPOP l");
                    break;
                case 5 when model.Count > 0 && at >= -model.Count && at < model.Count:
                    model[at < 0 ? at + model.Count : at] = value;
                    db.Run(Words("LSET", "l", at.ToString(CultureInfo.InvariantCulture), value));
                    break;
                case 6:
                    int found = model.IndexOf(value);
                    if (found >= 0)
                    {
                        model.Insert(found + 1, "new");
                    }

                    db.Run(Words("LINSERT", "l", "AFTER", value, "new"));
                    break;
                case 7:
                    for (int n = 0; n < 2 && model.LastIndexOf(value) is >= 0 and var last; n++)
                    {
                        model.RemoveAt(last);
                    }

                    db.Run(Words("LREM", "l", "-2", value));
                    break;
                case 8 when model.Count > 40:
                    model.RemoveRange(30, model.Count - 30);
                    model.RemoveRange(0, 2);
                    db.Run("LTRIM l 2 29");
                    break;
            }

            if (i % 50 == 0)
            {
                Assert.True($"[{string.Join(", ", model.Select(static e => RespValue.Quote(Encoding.Latin1.GetBytes(e))))}]" == db.Run("LRANGE l 0 -1"), $"seed {seed}, step {i}");
            }
        }

        string contents = db.Contents();
        using InProcess replayed = db.Replay();
        Assert.True(contents == replayed.Contents(), $"replayed otherwise, seed {seed}");
    }

    private static List<byte[]> Words(params string[] words) => [.. words.Select(Encoding.Latin1.GetBytes)];

    [Fact]
    public void LSET_in_a_full_pack_makes_it_a_quicklist()
    {
        using var db = new InProcess();
        db.Prepare("CONFIG SET list-max-listpack-size 3", "RPUSH l a b c");
        Assert.Equal("\"listpack\"", db.Run("OBJECT ENCODING l"));
        db.Prepare("LSET l 0 x");
        Assert.Equal("\"quicklist\"", db.Run("OBJECT ENCODING l"));
        Assert.Equal("[\"x\", \"b\", \"c\"]", db.Run("LRANGE l 0 -1"));
    }
}
