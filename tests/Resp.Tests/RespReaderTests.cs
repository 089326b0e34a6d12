using System.Text;
using Leither.TestKit;
using Xunit;

namespace Leither.Resp.Tests;

public sealed unsafe class RespReaderTests
{
    /// <summary>Replies (as Latin-1), and what they say in the notation of <see cref="Describe"/>.</summary>
    public static TheoryData<string, string> Replies { get; } = new()
    {
        { "+OK\r\n", "SimpleString OK" },
        { "+\r\n", "SimpleString " },
        { "-ERR no\r\n", "Error ERR no" },
        { ":0\r\n", "Integer 0" },
        { ":-9223372036854775808\r\n", "Integer -9223372036854775808" },
        { ":+5\r\n", "Integer 5" },
        { "$5\r\nhe\r\no\r\n", "BulkString he\r\no" },
        { "$0\r\n\r\n", "BulkString " },
        { "$-1\r\n", "BulkString null" },
        { "*-1\r\n", "Array null" },
        { "_\r\n", "Null null" },
        { "*0\r\n", "Array []" },
        { "*3\r\n:1\r\n$-1\r\n*1\r\n+a\r\n", "Array [Integer 1, BulkString null, Array [SimpleString a]]" },
        { "%2\r\n+a\r\n:1\r\n+b\r\n*0\r\n", "Map [SimpleString a, Integer 1, SimpleString b, Array []]" },
        { "~2\r\n#t\r\n#f\r\n", "Set [Boolean 1, Boolean 0]" },
        { ">2\r\n$7\r\nmessage\r\n_\r\n", "Push [BulkString message, Null null]" },
        { ",1.5\r\n", "Double 1.5" },
        { ",-inf\r\n", "Double -Infinity" },
        { ",nan\r\n", "Double NaN" },
        { ",10\r\n", "Double 10" },
        { ",1e+20\r\n", "Double 1E+20" },
        { "(-3492890328409238509324850943850943825024385\r\n", "BigNumber -3492890328409238509324850943850943825024385" },
        { "=15\r\ntxt:Some string\r\n", "Verbatim txt:Some string" },
        { "=4\r\nmkd:\r\n", "Verbatim mkd:" },
        { "!8\r\nERR a\r\nb\r\n", "BulkError ERR a\r\nb" },
        { "|1\r\n+ttl\r\n:3\r\n$1\r\nv\r\n", "{SimpleString ttl, Integer 3} BulkString v" },
        { "*2\r\n|1\r\n+ttl\r\n:3\r\n:1\r\n:2\r\n", "Array [{SimpleString ttl, Integer 3} Integer 1, Integer 2]" },
    };

    private static string Describe(RespReply reply)
    {
        string attributes = reply.Attributes.Count == 0 ? "" : "{" + string.Join(", ", reply.Attributes.Select(Describe)) + "} ";
        string value = reply.Type switch
        {
            _ when reply.IsNull => "null",
            RespType.Integer or RespType.Boolean => FormattableString.Invariant($"{reply.Integer}"),
            RespType.Double => FormattableString.Invariant($"{reply.Double}"),
            RespType.Verbatim => reply.Format + ":" + Feeding.Text(reply.Bytes),
            RespType.Array or RespType.Map or RespType.Set or RespType.Push => "[" + string.Join(", ", reply.Elements.Select(Describe)) + "]",
            _ => Feeding.Text(reply.Bytes),
        };
        return attributes + reply.Type + " " + value;
    }

    private static ReadStatus Read(byte[] bytes, out string description, out int consumed)
    {
        using var memory = new GuardedMemory(Math.Max(bytes.Length, 1));
        var reader = new RespReader(new ReadOnlySpan<byte>(memory.Place(bytes), bytes.Length));
        ReadStatus status = RespReply.TryRead(ref reader, out RespReply? reply);
        description = reply == null ? "" : Describe(reply);
        consumed = reader.Consumed;
        return status;
    }

    [Theory]
    [MemberData(nameof(Replies))]
    public void A_reply_is_read_when_it_is_whole_and_waits_until_then(string bytes, string meaning)
    {
        byte[] input = Feeding.Bytes(bytes);
        Assert.Equal(ReadStatus.Complete, Read(input, out string description, out int consumed));
        Assert.Equal((meaning, input.Length), (description, consumed));
        Assert.Equal(ReadStatus.Complete, Read([.. input, .. "+next"u8], out description, out consumed));
        Assert.Equal((meaning, input.Length), (description, consumed));
        for (int length = 0; length < input.Length; length++)
        {
            Assert.Equal(ReadStatus.Incomplete, Read(input[..length], out _, out consumed));
            Assert.Equal(0, consumed);
        }
    }

    [Theory]
    [InlineData("?\r\n")]
    [InlineData("\r\n")]
    [InlineData("PING\r\n")]
    [InlineData("+a\rb")]
    [InlineData("+a\nb\r\n")]
    [InlineData(":\r\n")]
    [InlineData(":a\r\n")]
    [InlineData(":1.5\r\n")]
    [InlineData(":01\r\n")]
    [InlineData(":+-1\r\n")]
    [InlineData(":9223372036854775808\r\n")]
    [InlineData("$\r\n")]
    [InlineData("$-2\r\n")]
    [InlineData("$+1\r\na\r\n")]
    [InlineData("$2147483648\r\n")]
    [InlineData("$9223372036854775807\r\n")]
    [InlineData("$1\r\nabc")]
    [InlineData("$1\r\na\rb")]
    [InlineData("!-1\r\n")]
    [InlineData("=-1\r\n")]
    [InlineData("=3\r\ntxt\r\n")]
    [InlineData("=5\r\ntxt-a\r\n")]
    [InlineData("*-2\r\n")]
    [InlineData("*x\r\n")]
    [InlineData("*4294967296\r\n")]
    [InlineData("*9223372036854775807\r\n")]
    [InlineData("%-1\r\n")]
    [InlineData("%1073741824\r\n")]
    [InlineData("_a\r\n")]
    [InlineData("#x\r\n")]
    [InlineData("#tt\r\n")]
    [InlineData("#\r\n")]
    [InlineData(",\r\n")]
    [InlineData(",1,5\r\n")]
    [InlineData(", 1\r\n")]
    [InlineData("(\r\n")]
    [InlineData("(-\r\n")]
    [InlineData("(1.5\r\n")]
    [InlineData("*2\r\n:1\r\n:x\r\n")]
    public void What_is_not_the_protocol_is_refused(string bytes) =>
        Assert.Equal(ReadStatus.Malformed, Read(Feeding.Bytes(bytes), out _, out _));

    [Fact]
    public void A_line_that_does_not_end_within_64_KiB_is_refused()
    {
        byte[] line = Feeding.Bytes("+" + new string('a', RespLimits.MaxInlineLength));
        Assert.Equal(ReadStatus.Incomplete, Read(line[..^1], out _, out _));
        Assert.Equal(ReadStatus.Malformed, Read(line, out _, out _));
    }

    [Fact]
    public void A_count_promises_nothing_so_a_huge_one_waits_without_memory()
    {
        byte[] bytes = Feeding.Bytes("*500000000\r\n*500000000\r\n*500000000\r\n");
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Equal(ReadStatus.Incomplete, Read(bytes, out _, out _));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 10_000);
    }

    [Fact]
    public void A_reply_nested_too_deep_is_refused()
    {
        static byte[] Nest(int depth) => Feeding.Bytes(string.Concat(Enumerable.Repeat("*1\r\n", depth - 1)) + ":1\r\n");
        Assert.Equal(ReadStatus.Complete, Read(Nest(RespLimits.MaxReplyDepth), out _, out _));
        Assert.Equal(ReadStatus.Malformed, Read(Nest(RespLimits.MaxReplyDepth + 1), out _, out _));
        Assert.Equal(ReadStatus.Malformed, Read(Nest(1_000_000), out _, out _));

        // Going over it needs no depth.
        var reader = new RespReader(Nest(1_000_000));
        Assert.Equal(ReadStatus.Complete, reader.TrySkip());
        Assert.Equal(4_000_000, reader.Consumed);
    }

    [Fact]
    public void Random_bytes_are_never_read_beyond_their_end() => Seed.Run(random =>
    {
        string[] words = ["*", "%", "~", ">", "|", "$", "=", "!", "+", "-", ":", ",", "#t", "_", "(", "\r\n", "\r", "1", "2", "5", "-1", "txt:", "a", "\0", "\u00FF", "*2\r\n", "$1\r\na\r\n", ":1\r\n"];
        for (int i = 0; i < (Seed.IsLong ? 500_000 : 20_000); i++)
        {
            byte[] bytes = Feeding.Bytes(string.Concat(Enumerable.Range(0, random.Next(1, 15)).Select(_ => words[random.Next(words.Length)])));
            ReadStatus status = Read(bytes, out _, out int consumed);
            Assert.True(status == ReadStatus.Complete ? consumed > 0 : consumed == 0);
        }
    });

    [Fact]
    public void What_the_writer_writes_the_reader_reads()
    {
        using var writer = new RespWriter(3);
        writer.Array(11);
        writer.Ok();
        writer.Error("ERR x"u8);
        writer.Integer(-7);
        writer.Bulk("b"u8);
        writer.Null();
        writer.Map(1);
        writer.Bulk("k"u8);
        writer.Double(0.1);
        writer.Set(1);
        writer.Boolean(true);
        writer.Push(1);
        writer.BigNumber("123"u8);
        writer.Verbatim("txt"u8, "v"u8);
        writer.EmptyArray();
        writer.Attribute(1);
        writer.Bulk("a"u8);
        writer.Integer(1);
        writer.Bulk("z"u8);
        Assert.Equal(ReadStatus.Complete, Read(writer.Span.ToArray(), out string description, out int consumed));
        Assert.Equal(writer.Length, consumed);
        Assert.Equal("Array [SimpleString OK, Error ERR x, Integer -7, BulkString b, Null null, Map [BulkString k, Double 0.1], Set [Boolean 1], Push [BigNumber 123], Verbatim txt:v, Array [], {BulkString a, Integer 1} BulkString z]", description);
    }

    [Fact]
    public void Elements_are_read_one_by_one_without_allocating()
    {
        byte[] bytes = Feeding.Bytes("*2\r\n%1\r\n+a\r\n,2.5\r\n$-1\r\n");
        long before = GC.GetAllocatedBytesForCurrentThread();
        var reader = new RespReader(bytes);
        bool ok = reader.TryRead() == ReadStatus.Complete && reader.Type == RespType.Array && reader.ElementCount == 2 && reader.IsAggregate
            && reader.TryRead() == ReadStatus.Complete && reader.Type == RespType.Map && reader.ElementCount == 2
            && reader.TryRead() == ReadStatus.Complete && reader.Text.SequenceEqual("a"u8)
            && reader.TryRead() == ReadStatus.Complete && reader.Double == 2.5
            && reader.TryRead() == ReadStatus.Complete && reader.IsNull && !reader.IsError
            && reader.TryRead() == ReadStatus.Incomplete && reader.Consumed == bytes.Length;
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.True(ok);
    }

    [Fact]
    public void A_reply_is_shown_as_text()
    {
        byte[] bytes = Encoding.ASCII.GetBytes("*6\r\n+OK\r\n:1\r\n_\r\n-ERR x\r\n#t\r\n%1\r\n+a\r\n~1\r\n,1.5\r\n");
        var reader = new RespReader(bytes);
        Assert.Equal(ReadStatus.Complete, RespReply.TryRead(ref reader, out RespReply? reply));
        Assert.Equal("[OK, 1, (nil), (error) ERR x, (true), {a: [1.5]}]", reply!.ToString());
    }
}
