using System.Globalization;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Commands;

public sealed class SortTests : IDisposable
{
    private readonly InProcess _db = new();

    public void Dispose() => _db.Dispose();

    [Theory]
    [InlineData("SORT l", "[\"1\", \"2\", \"3\", \"10\"]")]
    [InlineData("SORT l DESC", "[\"10\", \"3\", \"2\", \"1\"]")]
    [InlineData("SORT l ALPHA", "[\"1\", \"10\", \"2\", \"3\"]")]
    [InlineData("SORT l LIMIT 1 2", "[\"2\", \"3\"]")]
    [InlineData("SORT l LIMIT -5 2", "[\"1\", \"2\"]")]
    [InlineData("SORT l LIMIT 9 2", "[]")]
    [InlineData("SORT l LIMIT 1 -1", "[\"2\", \"3\", \"10\"]")]
    [InlineData("SORT l LIMIT 0 0", "[]")]
    [InlineData("SORT l BY nosort", "[\"3\", \"1\", \"10\", \"2\"]")]
    [InlineData("SORT l BY nosort DESC LIMIT 1 2", "[\"10\", \"1\"]")]
    [InlineData("SORT l BY w_*", "[\"10\", \"3\", \"2\", \"1\"]")]
    [InlineData("SORT l BY w_* DESC GET # GET w_*", "[\"1\", \"4\", \"2\", \"3\", \"3\", \"2\", \"10\", nil]")]
    [InlineData("SORT l BY h_*->f GET h_*->g", "[nil, nil, nil, \"x\"]")]
    [InlineData("SORT l BY h_*->f ALPHA", "[\"3\", \"10\", \"2\", \"1\"]")]
    [InlineData("SORT l GET fixed", "[nil, nil, nil, nil]")]
    [InlineData("SORT s", "[\"1\", \"2\", \"3\"]")]
    [InlineData("SORT z BY nosort", "[\"c\", \"b\", \"a\"]")]
    [InlineData("SORT z BY nosort DESC LIMIT 0 2", "[\"a\", \"b\"]")]
    [InlineData("SORT z", "-ERR One or more scores can't be converted into double")]
    [InlineData("SORT z ALPHA", "[\"a\", \"b\", \"c\"]")]
    [InlineData("SORT none", "[]")]
    [InlineData("SORT none STORE d", ":0")]
    [InlineData("SORT w_1", "-WRONGTYPE Operation against a key holding the wrong kind of value")]
    [InlineData("SORT l LIMIT 1", "-ERR syntax error")]
    [InlineData("SORT l LIMIT a b", "-ERR value is not an integer or out of range")]
    [InlineData("SORT_RO l STORE d", "-ERR syntax error")]
    [InlineData("SORT_RO l", "[\"1\", \"2\", \"3\", \"10\"]")]
    public void SORT_replies_as_in_Redis(string command, string reply)
    {
        _db.Prepare("RPUSH l 3 1 10 2", "SADD s 3 1 2", "ZADD z 1 c 2 b 3 a", "MSET w_1 4 w_2 3 w_3 2", "HSET h_1 f 9 g x", "HSET h_2 f 5");
        Assert.Equal(reply, _db.Run(command));
    }

    [Fact]
    public void STORE_may_name_the_list_that_is_sorted()
    {
        _db.Prepare("RPUSH l 3 1 2", "SET w 1", "EXPIRE l 100");
        _db.ListenToEvents(KeyspaceEvents.All);
        Assert.Equal(":3", _db.Run("SORT l STORE l"));
        Assert.Equal("[\"1\", \"2\", \"3\"]", _db.Run("LRANGE l 0 -1"));
        Assert.Equal(":-1", _db.Run("TTL l"));
        Assert.Equal(":6", _db.Run("SORT l GET # GET none_* STORE w"));
        Assert.Equal("[\"1\", \"\", \"2\", \"\", \"3\", \"\"]", _db.Run("LRANGE w 0 -1"));
        Assert.Equal(":0", _db.Run("SORT none STORE w"));
        Assert.Equal(":0", _db.Run("EXISTS w"));
        Assert.Equal(["sortstore l", "sortstore w", "del w"], _db.Events);
    }

    [Fact]
    public void SORT_orders_as_a_simple_sort_would() => Seed.Run(random =>
    {
        var values = new List<double>();
        for (int i = 0; i < 2000; i++)
        {
            double value = Math.Round((random.NextDouble() - 0.5) * 1e6, random.Next(6));
            values.Add(value);
            _db.Run($"RPUSH l {value.ToString(CultureInfo.InvariantCulture)}");
        }

        values.Sort();
        string reply = _db.Run("SORT l");
        double[] sorted = [.. reply.Trim('[', ']').Split(", ").Select(static v => double.Parse(v.Trim('"'), CultureInfo.InvariantCulture))];
        Assert.Equal(values, sorted);
    });

    [Fact]
    public void What_SORT_stored_is_in_the_log() => Seed.Run(static random =>
    {
        using var db = new InProcess(recording: true);
        for (int i = 0; i < 300; i++)
        {
            db.Run($"RPUSH l{random.Next(3)} {random.Next(1000)}");
            db.Run($"SORT l{random.Next(3)} LIMIT 0 {random.Next(200)} STORE l{random.Next(3)}");
        }

        string contents = db.Contents();
        using InProcess replayed = db.Replay();
        Assert.Equal(contents, replayed.Contents());
    });
}
