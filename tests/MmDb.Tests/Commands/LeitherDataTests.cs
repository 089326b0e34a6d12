using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Commands;

/// <summary>Leither's own data commands, of which no Redis can judge.</summary>
public sealed class LeitherDataTests : IDisposable
{
    private readonly InProcess _db = new(recording: true);

    public void Dispose() => _db.Dispose();

    [Theory]
    [InlineData("H", "HSET {0} a 1 b 2", ":2")]
    [InlineData("L", "RPUSH {0} a b c", ":3")]
    [InlineData("S", "SADD {0} a b c d", ":4")]
    [InlineData("Z", "ZADD {0} 1 a", ":1")]
    public void Clearing_drops_collections_of_one_type_and_no_others(string letter, string make, string elements)
    {
        void Make(string key) => _db.Prepare(string.Format(System.Globalization.CultureInfo.InvariantCulture, make, key));
        Make("one");
        Assert.Equal(elements, _db.Run($"{letter}CLEAR one"));
        Assert.Equal(":0", _db.Run($"{letter}CLEAR one"));
        Make("one");
        Make("two");
        _db.Prepare("SET text x");
        const string wrongType = "-WRONGTYPE Operation against a key holding the wrong kind of value";
        Assert.Equal(wrongType, _db.Run($"{letter}CLEAR text"));
        Assert.Equal(wrongType, _db.Run($"{letter}MCLEAR one text two"));
        Assert.Equal(":3", _db.Run("DBSIZE"));
        Assert.Equal(":2", _db.Run($"{letter}MCLEAR one none two one"));
        Assert.Equal("""["text"]""", _db.Run("KEYS *"));
        using InProcess replayed = _db.Replay();
        Assert.Equal("""["text"]""", replayed.Run("KEYS *"));
    }

    [Theory]
    [InlineData("HRANGESCAN h \"\"", """["10", "j", "a", "1", "b", "2", "bb", "3", "c", "4"]""")]
    [InlineData("HRANGESCAN h b", """["b", "2", "bb", "3", "c", "4"]""")]
    [InlineData("HRANGESCAN h b EXCLUSIVE", """["bb", "3", "c", "4"]""")]
    [InlineData("HRANGESCAN h b COUNT 2 INCLUSIVE", """["b", "2", "bb", "3"]""")]
    [InlineData("HRANGESCAN h ab COUNT 1", """["b", "2"]""")]
    [InlineData("HREVSCAN h \"\" COUNT 2", """["c", "4", "bb", "3"]""")]
    [InlineData("HREVSCAN h bb EXCLUSIVE", """["b", "2", "a", "1", "10", "j"]""")]
    [InlineData("HREVSCAN h \"\" MATCH b* COUNT 1", """["bb", "3"]""")]
    [InlineData("HREVSCAN none x", "[]")]
    [InlineData("HREVSCAN text x", "-WRONGTYPE Operation against a key holding the wrong kind of value")]
    [InlineData("HREVSCAN h x COUNT 0", "-ERR count should be greater than 0")]
    [InlineData("HREVSCAN h x TYPE hash", "-ERR syntax error")]
    [InlineData("KEYSCAN \"\"", """["big", "h", "text"]""")]
    [InlineData("KEYSCAN h", """["h", "text"]""")]
    [InlineData("KEYSCAN h EXCLUSIVE", """["text"]""")]
    [InlineData("KEYSCAN \"\" TYPE hash COUNT 1", """["big"]""")]
    [InlineData("KEYSCAN \"\" MATCH *t", """["text"]""")]
    [InlineData("KEYSCAN \"\" TYPE nothing", "[]")]
    public void Ranges_are_scanned_in_the_order_of_bytes(string command, string reply)
    {
        _db.Prepare("HSET h b 2 a 1 c 4 bb 3 10 j", "SET text x", "HSET big f v", "SET gone x PX 1");
        _db.Clock.Advance(5);
        Assert.Equal(reply, _db.Run(command));
    }

    [Fact]
    public void A_big_hash_is_walked_page_by_page_in_both_directions() => Seed.Run(random =>
    {
        string[] fields = [.. Enumerable.Range(0, 3000).Select(_ => $"f{random.Next(1_000_000)}").Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];
        foreach (string field in fields.OrderBy(_ => random.Next()))
        {
            _db.Run($"HSET h {field} v");
        }

        Assert.Equal(fields, Walk("HRANGESCAN"));
        Assert.Equal(fields.Reverse(), Walk("HREVSCAN"));
    });

    [Fact]
    public void ZADDWITHSEQ_scores_with_the_sequence_number_of_its_entry()
    {
        _db.Prepare("SET a 1");
        Assert.Equal(":1", _db.Run("GETLASTSEQ"));
        Assert.Equal(":2", _db.Run("ZADDWITHSEQ z x y"));
        Assert.Equal(":2", _db.Run("GETLASTSEQ"));
        Assert.Equal("""["x", "2", "y", "2"]""", _db.Run("ZRANGE z 0 -1 WITHSCORES"));
        _db.Prepare("MULTI", "SET a 2", "ZADDWITHSEQ z x");
        Assert.Equal("[+OK, :3]", _db.Run("EXEC"));
        Assert.Equal(":3", _db.Run("GETLASTSEQ"));
        Assert.Equal(":4", _db.Run("EVAL \"redis.call('set', 'a', 3) return redis.call('zaddwithseq', 'z', 'w')\" 0"));
        Assert.Equal("""["y", "2", "x", "3", "w", "4"]""", _db.Run("ZRANGE z 0 -1 WITHSCORES"));
        Assert.StartsWith("-WRONGTYPE", _db.Run("ZADDWITHSEQ a x"), StringComparison.Ordinal);
        string contents = _db.Contents();
        using InProcess replayed = _db.Replay();
        Assert.Equal(contents, replayed.Contents());
    }

    [Fact]
    public void Without_a_log_there_are_no_sequence_numbers()
    {
        using var db = new InProcess();
        const string reply = "-ERR this MiMei keeps no log (appendonly no), so there are no sequence numbers";
        Assert.Equal(reply, db.Run("GETLASTSEQ"));
        Assert.Equal(reply, db.Run("ZADDWITHSEQ z m"));
    }

    private List<string> Walk(string command)
    {
        var found = new List<string>();
        while (true)
        {
            _db.Default.Send(Quoting.Split(found.Count == 0 ? $"{command} h \"\" COUNT 100" : $"{command} h {found[^1]} COUNT 100 EXCLUSIVE"));
            string[] page = [.. _db.Default.TakeReply()!.Elements.Where(static (_, i) => i % 2 == 0).Select(static field => field.Text)];
            found.AddRange(page);
            if (page.Length < 100)
            {
                return found;
            }
        }
    }
}
