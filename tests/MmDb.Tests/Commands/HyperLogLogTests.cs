using System.Globalization;
using System.Text;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Commands;

public sealed class HyperLogLogTests : IDisposable
{
    private readonly InProcess _db = new();

    public void Dispose() => _db.Dispose();

    [Fact]
    public void Adding_replies_whether_a_register_changed_and_counting_estimates()
    {
        Assert.Equal(":1", _db.Run("PFADD h"));
        Assert.Equal(":0", _db.Run("PFADD h"));
        Assert.Equal(":0", _db.Run("PFCOUNT h"));
        Assert.Equal(":1", _db.Run("PFADD h a b c"));
        Assert.Equal(":0", _db.Run("PFADD h a b c"));
        Assert.Equal(":3", _db.Run("PFCOUNT h"));
        Assert.Equal(":0", _db.Run("PFCOUNT none"));
        Assert.Equal(":0", _db.Run("PFCOUNT none none"));
    }

    [Fact]
    public void Bytes_are_those_of_Redis_and_frozen()
    {
        _db.Prepare("PFADD h a b c");
        Assert.Equal("\"HYLL\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x80`\\xf3\\x80P\\xb1\\x84K\\xfb\\x80BZ\"", _db.Run("GET h"));
        _db.Prepare("PFCOUNT h");
        Assert.Equal("\"HYLL\\x01\\x00\\x00\\x00\\x03\\x00\\x00\\x00\\x00\\x00\\x00\\x00`\\xf3\\x80P\\xb1\\x84K\\xfb\\x80BZ\"", _db.Run("GET h"));
        Assert.Equal("\"raw\"", _db.Run("OBJECT ENCODING h"));
    }

    [Theory]
    [InlineData(100)]
    [InlineData(10_000)]
    [InlineData(100_000)]
    public void Estimates_are_within_a_few_standard_errors(int elements)
    {
        for (int i = 0; i < elements; i += 100)
        {
            _db.Run([.. new[] { "PFADD", "h" }.Concat(Enumerable.Range(i, 100).Select(n => $"element {n}")).Select(Encoding.ASCII.GetBytes)]);
        }

        long estimate = long.Parse(_db.Run("PFCOUNT h")[1..], CultureInfo.InvariantCulture);
        Assert.InRange(estimate, elements * 0.95, elements * 1.05);
        Assert.Equal($":{estimate}", _db.Run("PFCOUNT h h none"));
    }

    [Fact]
    public void A_sparse_one_becomes_dense_at_the_limit_that_is_set_and_says_the_same()
    {
        _db.Keyspace.Options.HllSparseMaxBytes = 30;
        _db.Prepare("PFADD h a b", "PFADD copy a b");
        Assert.Equal("+sparse", _db.Run("PFDEBUG ENCODING h"));
        _db.Prepare("PFADD h c d e f");
        Assert.Equal("+dense", _db.Run("PFDEBUG ENCODING h"));
        Assert.Equal(":12304", _db.Run("STRLEN h"));
        Assert.Equal(":6", _db.Run("PFCOUNT h"));
        Assert.Equal("-ERR HLL encoding is not sparse", _db.Run("PFDEBUG DECODE h"));
        Assert.Equal(":1", _db.Run("PFDEBUG TODENSE copy"));
        Assert.Equal(":0", _db.Run("PFDEBUG TODENSE copy"));
        Assert.Equal(":2", _db.Run("PFCOUNT copy"));
    }

    [Fact]
    public void Merging_keeps_the_largest_registers_and_is_dense_as_soon_as_one_source_is()
    {
        _db.Prepare("PFADD a 1 2 3", "PFADD b 3 4 5", "PFMERGE d a b none");
        Assert.Equal(":5", _db.Run("PFCOUNT d"));
        Assert.Equal("+sparse", _db.Run("PFDEBUG ENCODING d"));
        _db.Prepare("PFDEBUG TODENSE a", "PFMERGE d a");
        Assert.Equal("+dense", _db.Run("PFDEBUG ENCODING d"));
        Assert.Equal(":5", _db.Run("PFCOUNT d"));
        Assert.Equal("+OK", _db.Run("PFMERGE new"));
        Assert.Equal(":0", _db.Run("PFCOUNT new"));
    }

    [Theory]
    [InlineData("SET h 12", "PFADD h a", "-WRONGTYPE Key is not a valid HyperLogLog string value.")]
    [InlineData("SET h HYLL", "PFCOUNT h", "-WRONGTYPE Key is not a valid HyperLogLog string value.")]
    [InlineData("SET h \"HYLL\\x02\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x80\"", "PFCOUNT h", "-WRONGTYPE Key is not a valid HyperLogLog string value.")]
    [InlineData("SET h \"HYLL\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x80\"", "PFADD h a", "-WRONGTYPE Key is not a valid HyperLogLog string value.")]
    [InlineData("RPUSH h a", "PFADD h a", "-WRONGTYPE Operation against a key holding the wrong kind of value")]
    [InlineData("RPUSH h a", "PFMERGE d h", "-WRONGTYPE Operation against a key holding the wrong kind of value")]
    [InlineData("SET h \"HYLL\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x80\"", "PFADD h a", "-INVALIDOBJ Corrupted HLL object detected")]
    [InlineData("SET h \"HYLL\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x80A\"", "PFCOUNT h", "-INVALIDOBJ Corrupted HLL object detected")]
    [InlineData("SET h \"HYLL\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x80A\"", "PFMERGE d h", "-INVALIDOBJ Corrupted HLL object detected")]
    [InlineData("SET h \"HYLL\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x80\\x80A\"", "PFDEBUG TODENSE h", "-INVALIDOBJ Corrupted HLL object detected")]
    [InlineData("PFADD h a", "PFDEBUG NOTHING h", "-ERR Unknown PFDEBUG subcommand 'NOTHING'")]
    [InlineData("PFADD h a", "PFDEBUG GETREG none", "-ERR The specified key does not exist")]
    public void What_is_none_gets_the_error_of_Redis(string setUp, string command, string error)
    {
        _db.Prepare(setUp);
        Assert.Equal(error, _db.Run(command));
    }

    [Fact]
    public void Hostile_bytes_never_crash_and_are_left_as_they_are_by_reads() => Seed.Run(random =>
    {
        for (int round = 0; round < 300; round++)
        {
            byte[] value = [.. "HYLL"u8, (byte)random.Next(3), .. Bytes(random, 11), .. Bytes(random, random.Next(5) == 0 ? 12288 : random.Next(200))];
            _db.Run([.. Words("SET", "h"), value]);
            _db.Run("PFCOUNT h h");
            _db.Default.Send(Words("GET", "h"));
            Assert.Equal(value, _db.Default.TakeReply()!.Bytes.ToArray());
            _db.Run(random.Next(4) switch { 0 => "PFADD h a b c d e f g", 1 => "PFMERGE h h x", 2 => "PFDEBUG GETREG h", _ => "PFCOUNT h" });
            _db.Run("PFDEBUG DECODE h");
            _db.Run("PFCOUNT h");
        }
    });

    [Fact]
    public void Changes_are_told_and_the_estimate_is_no_event()
    {
        _db.ListenToEvents();
        _db.Prepare("PFADD h a", "PFADD h a", "PFCOUNT h", "PFMERGE d h");
        Assert.Equal(["new h", "pfadd h", "keymiss d", "new d", "pfadd d"], _db.Events);
    }

    [Fact]
    public void Replaying_the_log_gives_the_same_bytes() => Seed.Run(random =>
    {
        using var db = new InProcess(recording: true);
        for (int i = 0; i < 1500; i++)
        {
            string key = $"h{random.Next(5)}";
            db.Keyspace.Options.HllSparseMaxBytes = random.Next(3) == 0 ? 100 : 3000;
            db.Run(random.Next(9) switch
            {
                0 => $"PFCOUNT {key}",
                1 => $"PFMERGE {key} h{random.Next(5)} h{random.Next(5)}",
                2 => random.Next(5) == 0 ? $"PFDEBUG TODENSE {key}" : $"DEL {key}",
                3 => $"APPEND {key} x",
                4 => $"PEXPIRE {key} {random.Next(50, 200)}",
                _ => "PFADD " + key + string.Concat(Enumerable.Range(0, random.Next(20)).Select(_ => $" e{random.Next(3000)}")),
            });
            db.Clock.Advance(random.Next(2));
        }

        string contents = db.Contents();
        using InProcess replayed = db.Replay();
        Assert.Equal(contents, replayed.Contents());
    });

    private static byte[] Bytes(Random random, int count)
    {
        byte[] bytes = new byte[count];
        random.NextBytes(bytes);
        return bytes;
    }

    private static byte[][] Words(params string[] words) => [.. words.Select(Encoding.Latin1.GetBytes)];
}
