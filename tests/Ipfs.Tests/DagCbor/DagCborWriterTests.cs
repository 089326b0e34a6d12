using System.Globalization;
using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Multiformats;
using Xunit;

namespace Leither.Ipfs.Tests.DagCbor;

public sealed class DagCborWriterTests
{
    [Theory]
    [MemberData(nameof(DagCborVectors.All), MemberType = typeof(DagCborVectors))]
    public void Scalars_are_written_as_other_implementations_write_them(string name, string hex, string cid)
    {
        var writer = new DagCborWriter();
        int space = name.IndexOf(' ', StringComparison.Ordinal);
        string value = name[(space + 1)..];
        switch (space < 0 ? name : name[..space])
        {
            case "int":
                Int128 number = Int128.Parse(value, CultureInfo.InvariantCulture);
                writer.WriteInteger(number);
                if (number >= long.MinValue && number <= long.MaxValue)
                {
                    Assert.Equal(hex, Written(w => w.WriteInt64((long)number)));
                }

                if (number >= 0)
                {
                    Assert.Equal(hex, Written(w => w.WriteUInt64((ulong)number)));
                }

                break;
            case "float": writer.WriteDouble(double.Parse(value, CultureInfo.InvariantCulture)); break;
            case "text":
                writer.WriteText(value);
                Assert.Equal(hex, Written(w => w.WriteText(System.Text.Encoding.UTF8.GetBytes(value))));
                break;
            case "bytes": writer.WriteBytes(value.Length == 0 ? [] : Array.ConvertAll(value.Split(','), byte.Parse)); break;
            case "cid": writer.WriteCid(Cid.Parse(value)); break;
            case "null": writer.WriteNull(); break;
            case "true": writer.WriteBoolean(true); break;
            case "false": writer.WriteBoolean(false); break;
            case "array-empty": writer.WriteArrayStart(0); break;
            case "map-empty": writer.WriteMapStart(0); break;
            default: writer.WriteEncoded(Hex.Bytes(hex)); break;
        }

        Assert.Equal(hex, Hex.Text(writer.Written));
        Assert.Equal(cid, writer.ToCid().ToString());
    }

    [Fact]
    public void Maps_are_written_in_the_order_of_their_keys()
    {
        var writer = new DagCborWriter(1);
        writer.WriteMapStart(9);
        (string Key, int Value)[] pairs = [("", 0), ("a", 1), ("b", 2), ("e", -1), ("dd", 3), ("ccc", 4), ("bbbb", 5), ("aaaaaa", 6), ("aaaaab", 7)];
        foreach ((string key, int value) in pairs)
        {
            writer.WriteKey(System.Text.Encoding.UTF8.GetBytes(key));
            if (value >= 0)
            {
                writer.WriteInt64(value);
                continue;
            }

            writer.WriteMapStart(3);
            writer.WriteKey("a"u8);
            writer.WriteBoolean(true);
            writer.WriteKey("c"u8);
            writer.WriteNull();
            writer.WriteKey("bb"u8);
            writer.WriteArrayStart(0);
        }

        Assert.Equal("bafyreidh7sxbyk2i4khc5aejuksleanubxl6jll22ip7xq3fk7fqzpapam", writer.ToCid().ToString());
    }

    [Fact]
    public void What_the_format_forbids_cannot_be_written()
    {
        Misuse<InvalidOperationException>(w => { w.WriteNull(); w.WriteNull(); });
        Misuse<InvalidOperationException>(w => { w.WriteArrayStart(1); w.WriteNull(); w.WriteNull(); });
        Misuse<InvalidOperationException>(w => { w.WriteMapStart(1); w.WriteNull(); });
        Misuse<InvalidOperationException>(w => w.WriteKey("a"u8));
        Misuse<InvalidOperationException>(w => { w.WriteArrayStart(1); w.WriteKey("a"u8); });
        Misuse<InvalidOperationException>(w => { w.WriteMapStart(1); w.WriteKey("a"u8); w.WriteKey("b"u8); });
        Misuse<InvalidOperationException>(w => { w.WriteMapStart(2); w.WriteKey("b"u8); w.WriteNull(); w.WriteKey("a"u8); });
        Misuse<InvalidOperationException>(w => { w.WriteMapStart(2); w.WriteKey("b"u8); w.WriteNull(); w.WriteKey("b"u8); });
        Misuse<InvalidOperationException>(w => { w.WriteMapStart(2); w.WriteKey("bb"u8); w.WriteNull(); w.WriteKey("c"u8); });
        Misuse<InvalidOperationException>(w => { w.WriteArrayStart(2); w.WriteNull(); _ = w.Written; });
        Misuse<InvalidOperationException>(w => _ = w.Written);
        Misuse<InvalidOperationException>(w =>
        {
            for (int i = 0; i <= DagCborReader.MaxDepth; i++)
            {
                w.WriteArrayStart(1);
            }
        });
        Misuse<ArgumentOutOfRangeException>(w => w.WriteArrayStart(-1));
        Misuse<ArgumentOutOfRangeException>(w => w.WriteDouble(double.NaN));
        Misuse<ArgumentOutOfRangeException>(w => w.WriteDouble(double.NegativeInfinity));
        Misuse<ArgumentOutOfRangeException>(w => w.WriteInteger((Int128)ulong.MaxValue + 1));
        Misuse<ArgumentOutOfRangeException>(w => w.WriteInteger(-2 - (Int128)ulong.MaxValue));
        Misuse<ArgumentException>(w => w.WriteText([0xFF]));
        Misuse<ArgumentException>(w => w.WriteText("\uD800"));
        Misuse<ArgumentException>(w => { w.WriteMapStart(1); w.WriteKey([0xC3]); });
        Misuse<ArgumentException>(w => w.WriteCid(default));

        static void Misuse<T>(Action<DagCborWriter> write)
            where T : Exception => Assert.ThrowsAny<T>(() => write(new DagCborWriter()));
    }

    [Fact]
    public void A_cleared_writer_writes_again_without_allocating()
    {
        var writer = new DagCborWriter();
        Cid link = Cid.Of(Multicodec.Raw, "x"u8);
        Write(writer, link);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 1000; i++)
        {
            writer.Clear();
            Write(writer, link);
        }

        Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 10_000);
        DagCborReader.Validate(writer.Written);

        static void Write(DagCborWriter writer, Cid link)
        {
            writer.WriteMapStart(3);
            writer.WriteKey("a"u8);
            writer.WriteText("some text");
            writer.WriteKey("b"u8);
            writer.WriteArrayStart(2);
            writer.WriteCid(link);
            writer.WriteDouble(0.5);
            writer.WriteKey("c"u8);
            writer.WriteBytes("some bytes"u8);
        }
    }

    [Fact]
    public void Encoded_values_are_taken_over()
    {
        Assert.Equal("83810041a1f5", Written(w =>
        {
            w.WriteArrayStart(3);
            w.WriteEncoded([0x81, 0x00, 0x41, 0xA1], 2);
            w.WriteBoolean(true);
        }));
    }

    private static string Written(Action<DagCborWriter> write)
    {
        var writer = new DagCborWriter();
        write(writer);
        return Hex.Text(writer.Written);
    }
}
