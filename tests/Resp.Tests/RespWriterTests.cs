using System.Runtime.InteropServices;
using System.Text;
using Leither.TestKit;
using Xunit;

namespace Leither.Resp.Tests;

public sealed unsafe class RespWriterTests
{
    /// <summary>What is written, and its bytes in RESP2 and in RESP3.</summary>
    private static readonly (string Name, Action<RespWriter> Write, string Resp2, string Resp3)[] Golden =
    [
        ("Ok", w => w.Ok(), "+OK\r\n", "+OK\r\n"),
        ("Pong", w => w.Pong(), "+PONG\r\n", "+PONG\r\n"),
        ("Queued", w => w.Queued(), "+QUEUED\r\n", "+QUEUED\r\n"),
        ("Simple", w => w.Simple("string"u8), "+string\r\n", "+string\r\n"),
        ("Simple of two lines", w => w.Simple("a\r\nb"u8), "+a  b\r\n", "+a  b\r\n"),
        ("Error", w => w.Error("ERR no such key"u8), "-ERR no such key\r\n", "-ERR no such key\r\n"),
        ("Error of two lines", w => w.Error("\r\nERR a\r\nb\nc\r\n"u8), "-ERR a  b c\r\n", "-ERR a  b c\r\n"),
        ("Integer 0", w => w.Integer(0), ":0\r\n", ":0\r\n"),
        ("Integer 9", w => w.Integer(9), ":9\r\n", ":9\r\n"),
        ("Integer 10", w => w.Integer(10), ":10\r\n", ":10\r\n"),
        ("Integer 12345", w => w.Integer(12345), ":12345\r\n", ":12345\r\n"),
        ("Integer -1", w => w.Integer(-1), ":-1\r\n", ":-1\r\n"),
        ("Integer least", w => w.Integer(long.MinValue), ":-9223372036854775808\r\n", ":-9223372036854775808\r\n"),
        ("Integer most", w => w.Integer(long.MaxValue), ":9223372036854775807\r\n", ":9223372036854775807\r\n"),
        ("Bulk", w => w.Bulk("hello"u8), "$5\r\nhello\r\n", "$5\r\nhello\r\n"),
        ("Bulk empty", w => w.Bulk(""u8), "$0\r\n\r\n", "$0\r\n\r\n"),
        ("Bulk slice", w => WriteSlice(w), "$12\r\nhello\r\nworld\r\n", "$12\r\nhello\r\nworld\r\n"),
        ("Bulk in parts", w => { w.BeginBulk(4); w.Raw("ab"u8); w.Raw("cd"u8); w.EndBulk(); }, "$4\r\nabcd\r\n", "$4\r\nabcd\r\n"),
        ("BulkInteger", w => w.BulkInteger(-123), "$4\r\n-123\r\n", "$4\r\n-123\r\n"),
        ("BulkDouble", w => w.BulkDouble(1.5), "$3\r\n1.5\r\n", "$3\r\n1.5\r\n"),
        ("Null", w => w.Null(), "$-1\r\n", "_\r\n"),
        ("NullArray", w => w.NullArray(), "*-1\r\n", "_\r\n"),
        ("EmptyArray", w => w.EmptyArray(), "*0\r\n", "*0\r\n"),
        ("Array 3", w => w.Array(3), "*3\r\n", "*3\r\n"),
        ("Array 1000", w => w.Array(1000), "*1000\r\n", "*1000\r\n"),
        ("Map", w => w.Map(7), "*14\r\n", "%7\r\n"),
        ("Set", w => w.Set(2), "*2\r\n", "~2\r\n"),
        ("Push", w => w.Push(3), "*3\r\n", ">3\r\n"),
        ("Boolean true", w => w.Boolean(true), ":1\r\n", "#t\r\n"),
        ("Boolean false", w => w.Boolean(false), ":0\r\n", "#f\r\n"),
        ("Double", w => w.Double(3.25), "$4\r\n3.25\r\n", ",3.25\r\n"),
        ("Double whole", w => w.Double(10), "$2\r\n10\r\n", ",10\r\n"),
        ("Double infinite", w => w.Double(double.NegativeInfinity), "$4\r\n-inf\r\n", ",-inf\r\n"),
        ("Double long", w => w.Double(-2.2250738585072014e-308), "$24\r\n-2.2250738585072014e-308\r\n", ",-2.2250738585072014e-308\r\n"),
        ("BigNumber", w => w.BigNumber("1234567999999999999999999999999999999"u8), "$37\r\n1234567999999999999999999999999999999\r\n", "(1234567999999999999999999999999999999\r\n"),
        ("Verbatim", w => w.Verbatim("txt"u8, "Some string"u8), "$11\r\nSome string\r\n", "=15\r\ntxt:Some string\r\n"),
        ("Raw", w => w.Raw("*1\r\n:1\r\n"u8), "*1\r\n:1\r\n", "*1\r\n:1\r\n"),
        ("Deferred array", w => { long mark = w.BeginDeferred(); w.Integer(1); w.Integer(2); w.EndDeferredArray(mark, 2); }, "*2\r\n:1\r\n:2\r\n", "*2\r\n:1\r\n:2\r\n"),
        ("Deferred empty array", w => w.EndDeferredArray(w.BeginDeferred(), 0), "*0\r\n", "*0\r\n"),
        ("Deferred map", w => { long mark = w.BeginDeferred(); w.Bulk("a"u8); w.Integer(1); w.EndDeferredMap(mark, 1); }, "*2\r\n$1\r\na\r\n:1\r\n", "%1\r\n$1\r\na\r\n:1\r\n"),
        ("Deferred set", w => { long mark = w.BeginDeferred(); w.Bulk("a"u8); w.EndDeferredSet(mark, 1); }, "*1\r\n$1\r\na\r\n", "~1\r\n$1\r\na\r\n"),
        ("Deferred in deferred", Nested, "*2\r\n*12\r\n" + Ones + ":5\r\n", "*2\r\n%6\r\n" + Ones + ":5\r\n"),
    ];

    private const string Ones = ":1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n";

    private static void Nested(RespWriter writer)
    {
        long outer = writer.BeginDeferred();
        long inner = writer.BeginDeferred();
        for (int i = 0; i < 12; i++)
            writer.Integer(1);
        writer.EndDeferredMap(inner, 6);
        writer.Integer(5);
        writer.EndDeferredArray(outer, 2);
    }

    private static void WriteSlice(RespWriter writer)
    {
        fixed (byte* p = "hello\r\nworld"u8)
        {
            writer.Bulk(new Slice(p, 12));
        }
    }

    public static TheoryData<string> GoldenNames { get; } = [.. Golden.Select(sample => sample.Name)];

    [Theory]
    [MemberData(nameof(GoldenNames))]
    public void A_reply_has_these_bytes_in_either_version(string name)
    {
        (_, Action<RespWriter> write, string resp2, string resp3) = Golden.Single(sample => sample.Name == name);
        foreach ((int version, string expected) in new[] { (2, resp2), (3, resp3) })
        {
            using var writer = new RespWriter(version);
            write(writer);
            Assert.Equal(expected, Feeding.Text(writer.Span));
            Assert.Equal(expected.Length, writer.BytesWritten);
        }
    }

    [Theory]
    [MemberData(nameof(GoldenNames))]
    public void A_reply_is_the_same_at_every_place_of_a_chunk(string name)
    {
        // The chunk's last bytes are where a missing check would write beyond it, or lose what was there.
        (_, Action<RespWriter> write, _, string expected) = Golden.Single(sample => sample.Name == name);
        for (int before = ChunkPool.ChunkSize - 120; before <= ChunkPool.ChunkSize + 1; before++)
        {
            using var writer = new RespWriter(3);
            writer.Raw(Enumerable.Repeat((byte)'.', before).ToArray());
            write(writer);
            Assert.Equal(before + expected.Length, writer.Length);
            Assert.Equal(expected, Feeding.Text(writer.Span[before..]));
            Assert.False(writer.Span[..before].ContainsAnyExcept((byte)'.'));
        }
    }

    [Fact]
    public void An_attribute_exists_in_RESP3_only()
    {
        using var writer = new RespWriter(3);
        writer.Attribute(1);
        Assert.Equal("|1\r\n", Feeding.Text(writer.Span));
        writer.Version = 2;
        Assert.Throws<InvalidOperationException>(() => writer.Attribute(1));
    }

    [Fact]
    public void A_verbatim_string_needs_a_format_of_three_letters()
    {
        using var writer = new RespWriter(3);
        Assert.Throws<ArgumentException>(() => writer.Verbatim("text"u8, "x"u8));
        Assert.Equal(0, writer.Length);
    }

    [Fact]
    public void Random_writing_and_sending_keeps_every_byte_in_order() => Seed.Run(random =>
    {
        for (int run = 0; run < (Seed.IsLong ? 2_000 : 30); run++)
        {
            using var writer = new RespWriter(random.Next(2, 4));
            var waiting = new MemoryStream();
            var expected = new List<byte>();
            long total = 0;
            for (int step = 0; step < 200; step++)
            {
                switch (random.Next(8))
                {
                    case 0:
                        long count = random.NextInt64(expected.Count + 1L);
                        writer.Consume(count);
                        expected.RemoveRange(0, (int)count);
                        break;
                    case 1:
                        int kept = random.Next(expected.Count + 1);
                        total -= expected.Count - kept;
                        writer.Truncate(kept);
                        expected.RemoveRange(kept, expected.Count - kept);
                        break;
                    case 2:
                        byte[] large = new byte[random.Next(100_000)];
                        random.NextBytes(large);
                        writer.Bulk(large);
                        byte[] header = Feeding.Bytes($"${large.Length}\r\n");
                        expected.AddRange([.. header, .. large, .. "\r\n"u8]);
                        total += header.Length + large.Length + 2;
                        break;
                    case 3:
                        long mark = writer.BeginDeferred();
                        byte[] inner = new byte[random.Next(2000)];
                        random.NextBytes(inner);
                        fixed (byte* p = inner)
                            writer.Raw(p, inner.Length);
                        writer.EndDeferredArray(mark, inner.Length);
                        byte[] outer = Feeding.Bytes($"*{inner.Length}\r\n");
                        expected.AddRange([.. outer, .. inner]);
                        total += outer.Length + inner.Length;
                        break;
                    case 4:
                        long number = random.NextInt64(long.MinValue, long.MaxValue) >> random.Next(64);
                        writer.Integer(number);
                        byte[] line = Feeding.Bytes($":{number}\r\n");
                        expected.AddRange(line);
                        total += line.Length;
                        break;
                    case 5:
                        int room = random.Next(500);
                        new Span<byte>(writer.Reserve(room), room).Fill((byte)'r');
                        writer.Advance(room);
                        expected.AddRange(Enumerable.Repeat((byte)'r', room));
                        total += room;
                        break;
                    default:
                        writer.Ok();
                        expected.AddRange("+OK\r\n"u8);
                        total += 5;
                        break;
                }
                Assert.Equal(expected.Count, writer.Length);
                Assert.Equal(total, writer.BytesWritten);
                Assert.True(writer.Span.SequenceEqual(CollectionsMarshal.AsSpan(expected)));
            }
        }
    });

    [Fact]
    public void A_writer_holds_memory_only_while_bytes_wait()
    {
        using var writer = new RespWriter();
        Assert.Equal(0, writer.Capacity);
        int lent = ChunkPool.Shared.Lent;
        writer.Ok();
        Assert.Equal(ChunkPool.ChunkSize, writer.Capacity);
        Assert.Equal(lent + 1, ChunkPool.Shared.Lent);
        writer.Consume(3);
        Assert.Equal(ChunkPool.ChunkSize, writer.Capacity);
        writer.Consume(2);
        Assert.Equal(0, writer.Capacity);
        Assert.Equal(lent, ChunkPool.Shared.Lent);
        Assert.Equal(5, writer.BytesWritten);
        writer.Release();
        Assert.Equal(5, writer.BytesWritten);
    }

    [Fact]
    public void A_large_buffer_is_a_large_chunk_is_exact_for_a_large_value_and_goes_back_to_the_system()
    {
        using var writer = new RespWriter();
        int lent = ChunkPool.Shared.Lent, lentLarge = ChunkPool.Large.Lent;
        byte[] value = new byte[10_000];
        writer.Bulk(value);
        writer.Bulk(value);
        Assert.Equal(ChunkPool.LargeChunkSize, writer.Capacity);
        Assert.Equal(lent, ChunkPool.Shared.Lent);
        Assert.Equal(lentLarge + 1, ChunkPool.Large.Lent);
        byte[] large = new byte[1_000_000];
        long length = writer.Length;
        writer.Bulk(large);
        Assert.InRange(writer.Capacity, length + large.Length, length + large.Length + 64);
        Assert.Equal(lentLarge, ChunkPool.Large.Lent);
        writer.Consume(writer.Length);
        Assert.Equal(0, writer.Capacity);
        Assert.Equal(lent, ChunkPool.Shared.Lent);
    }

    [Fact]
    public void A_slow_reader_does_not_make_the_buffer_grow_beyond_what_waits()
    {
        using var writer = new RespWriter();
        byte[] value = new byte[1000];
        for (int i = 0; i < 4; i++)
            writer.Bulk(value);
        for (int i = 0; i < 10_000; i++)
        {
            writer.Bulk(value);
            writer.Consume(1009);
        }
        Assert.Equal(ChunkPool.ChunkSize, writer.Capacity);
    }

    [Fact]
    public void A_pool_lends_the_chunk_returned_last_and_keeps_no_more_than_its_capacity()
    {
        var pool = new ChunkPool(2);
        byte* a = pool.Rent(), b = pool.Rent(), c = pool.Rent();
        Assert.Equal((3, 0), (pool.Lent, pool.Pooled));
        pool.Return(a);
        pool.Return(b);
        pool.Return(c);
        Assert.Equal((0, 2), (pool.Lent, pool.Pooled));
        Assert.True(pool.Rent() == b);
        Assert.True(pool.Rent() == a);
        pool.Return(a);
        pool.Return(b);
        pool.Trim();
        Assert.Equal((0, 0), (pool.Lent, pool.Pooled));
    }

    [Fact]
    public void A_pool_may_be_used_by_many_threads()
    {
        var pool = new ChunkPool(64);
        Parallel.For(0, 8, thread =>
        {
            for (int i = 0; i < 2_000; i++)
            {
                byte* chunk = pool.Rent();
                *(long*)chunk = thread;
                *(long*)(chunk + ChunkPool.ChunkSize - 8) = thread;
                Assert.Equal(thread, *(long*)chunk);
                Assert.Equal(thread, *(long*)(chunk + ChunkPool.ChunkSize - 8));
                pool.Return(chunk);
            }
        });
        Assert.Equal(0, pool.Lent);
        pool.Trim();
    }
}
