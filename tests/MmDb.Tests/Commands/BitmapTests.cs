using Xunit;

namespace Leither.MmDb.Tests.Commands;

public sealed class BitmapTests : IDisposable
{
    private readonly InProcess _db = new();

    public void Dispose() => _db.Dispose();

    [Theory]
    [InlineData("SETBIT k 7 1", ":0")]
    [InlineData("SETBIT s 1 0", ":1")]
    [InlineData("SETBIT k -1 1", "-ERR bit offset is not an integer or out of range")]
    [InlineData("SETBIT k 4294967296 1", "-ERR bit offset is not an integer or out of range")]
    [InlineData("SETBIT k 1 2", "-ERR bit is not an integer or out of range")]
    [InlineData("GETBIT s 100000", ":0")]
    [InlineData("GETBIT n 2", ":1")]
    [InlineData("BITCOUNT s", ":26")]
    [InlineData("BITCOUNT s 0 0", ":4")]
    [InlineData("BITCOUNT s 5 30 BIT", ":17")]
    [InlineData("BITCOUNT s -2 -1 BYTE", ":7")]
    [InlineData("BITCOUNT s 0", "-ERR syntax error")]
    [InlineData("BITCOUNT none 0", ":0")]
    [InlineData("BITCOUNT s 0 0 WORD", "-ERR syntax error")]
    [InlineData("BITCOUNT s -1 -2 WORD", ":0")]
    [InlineData("BITPOS ones 0", ":24")]
    [InlineData("BITPOS ones 0 1", ":24")]
    [InlineData("BITPOS ones 0 0 -1", ":-1")]
    [InlineData("BITPOS ones 1 1", ":8")]
    [InlineData("BITPOS ones 1 3", ":-1")]
    [InlineData("BITPOS s 1 7 15 BIT", ":9")]
    [InlineData("BITPOS s 0 9 10 BIT", ":-1")]
    [InlineData("BITPOS s 0 9 11 BIT", ":11")]
    [InlineData("BITPOS none 0", ":0")]
    [InlineData("BITPOS none 1", ":-1")]
    [InlineData("BITPOS s 2", "-ERR The bit argument must be 1 or 0.")]
    public void Bits_are_set_counted_and_found_as_in_Redis(string command, string reply)
    {
        _db.Prepare("SET s foobar", "SET n 42", "SET ones \"\\xff\\xff\\xff\"");
        Assert.Equal(reply, _db.Run(command));
    }

    [Theory]
    [InlineData("AND", "\"`bc`ab\"")]
    [InlineData("OR", "\"goofev\"")]
    [InlineData("XOR", "\"\\a\\r\\x0c\\x06\\x04\\x14\"")]
    public void BITOP_combines_strings(string operation, string result)
    {
        _db.Prepare("SET a foobar", "SET b abcdef");
        Assert.Equal(":6", _db.Run($"BITOP {operation} d a b"));
        Assert.Equal(result, _db.Run("GET d"));
        Assert.Equal(":6", _db.Run($"BITOP {operation} a a b"));
        Assert.Equal(result, _db.Run("GET a"));
    }

    [Fact]
    public void BITOP_counts_what_is_missing_as_zeros_and_deletes_an_empty_result()
    {
        _db.Prepare("SET a ab", "SET d x");
        _db.ListenToEvents(KeyspaceEvents.All);
        Assert.Equal(":2", _db.Run("BITOP OR o none a"));
        Assert.Equal("\"ab\"", _db.Run("GET o"));
        Assert.Equal(":2", _db.Run("BITOP AND o a none"));
        Assert.Equal("\"\\x00\\x00\"", _db.Run("GET o"));
        Assert.Equal(":2", _db.Run("BITOP NOT o a"));
        Assert.Equal("\"\\x9e\\x9d\"", _db.Run("GET o"));
        Assert.Equal(":0", _db.Run("BITOP OR d none"));
        Assert.Equal(":0", _db.Run("EXISTS d"));
        Assert.Equal(":0", _db.Run("BITOP OR d none"));
        Assert.Equal("-ERR BITOP NOT must be called with a single source key.", _db.Run("BITOP NOT d a a"));
        Assert.Equal("-ERR syntax error", _db.Run("BITOP NAND d a a"));
        Assert.Equal(["set o", "set o", "set o", "del d"], _db.Events);
    }

    [Theory]
    [InlineData("BITFIELD k", "[]")]
    [InlineData("BITFIELD k INCRBY i5 100 1 GET u4 0", "[:1, :0]")]
    [InlineData("BITFIELD k SET i8 0 -1 GET u8 0 GET i4 4 INCRBY u2 100 1", "[:0, :255, :-1, :1]")]
    [InlineData("BITFIELD k OVERFLOW SAT SET u8 0 300 GET u8 0 SET i8 8 -300 GET i8 8", "[:0, :255, :0, :-128]")]
    [InlineData("BITFIELD k OVERFLOW WRAP SET u8 0 257 INCRBY u8 0 -2", "[:0, :255]")]
    [InlineData("BITFIELD k OVERFLOW FAIL INCRBY u2 0 4 GET u2 0", "[nil, :0]")]
    [InlineData("BITFIELD k SET i64 0 9223372036854775807 INCRBY i64 0 1 OVERFLOW FAIL INCRBY i64 0 -1", "[:0, :-9223372036854775808, nil]")]
    [InlineData("BITFIELD k OVERFLOW SAT SET u63 #1 -1 GET u63 63", "[:0, :9223372036854775807]")]
    [InlineData("BITFIELD k GET u64 0", "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.")]
    [InlineData("BITFIELD k GET i65 0", "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.")]
    [InlineData("BITFIELD k GET i8 -1", "-ERR bit offset is not an integer or out of range")]
    [InlineData("BITFIELD k SET i8 0", "-ERR syntax error")]
    [InlineData("BITFIELD k OVERFLOW none SET i8 0 1", "-ERR Invalid OVERFLOW type specified")]
    [InlineData("BITFIELD_RO k GET i8 0", "[:0]")]
    [InlineData("BITFIELD_RO k SET i8 0 1", "-ERR BITFIELD_RO only supports the GET subcommand")]
    public void BITFIELD_reads_sets_and_adds_with_every_overflow_rule(string command, string reply) => Assert.Equal(reply, _db.Run(command));

    [Fact]
    public void BITFIELD_that_fails_still_makes_room_for_its_field()
    {
        Assert.Equal("[nil]", _db.Run("BITFIELD k OVERFLOW FAIL INCRBY u4 20 100"));
        Assert.Equal(":3", _db.Run("STRLEN k"));
    }

    [Fact]
    public void Bits_that_stay_as_they_are_are_no_change()
    {
        _db.Prepare("SETBIT k 7 1");
        long applied = _db.Keyspace.Effects.Applied;
        _db.ListenToEvents();
        _db.Prepare("SETBIT k 7 1", "BITFIELD k SET u8 0 1", "BITFIELD k GET u8 0");
        Assert.Empty(_db.Events);
        Assert.Equal(applied, _db.Keyspace.Effects.Applied);
    }
}
