using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Multiformats;
using Xunit;

namespace Leither.Ipfs.Tests.DagCbor;

public sealed class DagCborReaderTests
{
    [Theory]
    [MemberData(nameof(DagCborVectors.All), MemberType = typeof(DagCborVectors))]
    public void Vectors_are_read_and_written_again_as_the_same_bytes(string name, string hex, string cid)
    {
        byte[] block = Hex.Bytes(hex);
        Assert.Equal(cid, Cid.Of(Multicodec.DagCbor, block).ToString());
        DagCborReader.Validate(block);
        Assert.Equal(hex, Hex.Text(DagCborCopy.Of(block)));
        for (int length = 0; length < block.Length; length++)
        {
            Assert.Throws<DagCborException>(() => DagCborReader.Validate(block.AsSpan(0, length)));
            Assert.Throws<DagCborException>(() => DagCborCopy.Of(block.AsSpan(0, length)));
        }

        Assert.Throws<DagCborException>(() => DagCborReader.Validate([.. block, 0xF6]));
        Assert.Throws<DagCborException>(() => DagCborReader.Validate([0x81, .. block, .. block]));
        DagCborReader.Validate([0x82, .. block, .. block]);
        DagCborReader.Validate([0xA1, 0x61, (byte)'k', .. block]);
        Assert.NotEmpty(name);
    }

    [Theory]
    [InlineData("", "nothing at all")]
    [InlineData("1800", "a number that would fit its first byte")]
    [InlineData("1817", "a number that would fit its first byte")]
    [InlineData("190000", "a number in two bytes that needs none")]
    [InlineData("1900ff", "a number in two bytes that needs one")]
    [InlineData("1a0000ffff", "a number in four bytes that needs two")]
    [InlineData("1b00000000ffffffff", "a number in eight bytes that needs four")]
    [InlineData("3817", "a negative number that would fit its first byte")]
    [InlineData("3900ff", "a negative number in two bytes that needs one")]
    [InlineData("580161", "a length that would fit its first byte")]
    [InlineData("780161", "a length that would fit its first byte")]
    [InlineData("980100", "a count that would fit its first byte")]
    [InlineData("b801616100", "a count that would fit its first byte")]
    [InlineData("1c", "reserved")]
    [InlineData("1d", "reserved")]
    [InlineData("1e", "reserved")]
    [InlineData("1f", "indefinite")]
    [InlineData("5f4161ff", "indefinite bytes")]
    [InlineData("7f6161ff", "indefinite text")]
    [InlineData("9f00ff", "indefinite array")]
    [InlineData("bf616100ff", "indefinite map")]
    [InlineData("ff", "break")]
    [InlineData("f7", "undefined")]
    [InlineData("f0", "a simple value")]
    [InlineData("f820", "a simple value in two bytes")]
    [InlineData("f814", "false in two bytes")]
    [InlineData("f93800", "half precision")]
    [InlineData("fa3f000000", "single precision")]
    [InlineData("f97e00", "NaN, half")]
    [InlineData("f97c00", "infinity, half")]
    [InlineData("fb7ff8000000000000", "NaN")]
    [InlineData("fb7ff0000000000001", "NaN, signalling")]
    [InlineData("fb7ff0000000000000", "infinity")]
    [InlineData("fbfff0000000000000", "minus infinity")]
    [InlineData("61ff", "not UTF-8")]
    [InlineData("62c328", "not UTF-8")]
    [InlineData("63eda080", "half a surrogate pair in UTF-8")]
    [InlineData("62c080", "a zero in two bytes of UTF-8")]
    [InlineData("a10000", "a key that is a number")]
    [InlineData("a1416100", "a key that is bytes")]
    [InlineData("a1f600", "a key that is null")]
    [InlineData("a161ff00", "a key that is not UTF-8")]
    [InlineData("a2616100616100", "a key twice")]
    [InlineData("a3636261720363666f6f0163666f6f02", "a key twice: codec-fixtures/negative-fixtures")]
    [InlineData("a2616200616100", "keys out of order")]
    [InlineData("a262616100616200", "the longer key first")]
    [InlineData("a1616183a2626161006161000000", "keys out of order, within")]
    [InlineData("c000", "tag 0")]
    [InlineData("c11a514b67b0", "tag 1: a time")]
    [InlineData("c249010000000000000000", "tag 2: a big number")]
    [InlineData("d82b4100", "tag 43")]
    [InlineData("d9002a4a00015500050001020304", "tag 42 longer than it needs to be")]
    [InlineData("d82a", "a link without a CID")]
    [InlineData("d82a00", "a link that is a number")]
    [InlineData("d82a6161", "a link that is text")]
    [InlineData("d82a40", "an empty link")]
    [InlineData("d82a4100", "a link without a CID")]
    [InlineData("d82a49015500050001020304", "a link without its prefix")]
    [InlineData("d82a4a01015500050001020304", "a link of another prefix")]
    [InlineData("d82a4b0001550005000102030400", "a CID and more")]
    [InlineData("d82a4900015500050001020304", "a cut CID")]
    [InlineData("d82ad82a4a00015500050001020304", "two tags")]
    [InlineData("d82a5f4a00015500050001020304ff", "a link of indefinite length")]
    [InlineData("9b0000000100000000", "an array that cannot be there")]
    [InlineData("9bffffffffffffffff", "an array that cannot be there")]
    [InlineData("bb8000000000000000", "a map whose number of items overflows")]
    [InlineData("bbffffffffffffffff", "a map that cannot be there")]
    [InlineData("5bffffffffffffffff", "bytes that cannot be there")]
    [InlineData("7b7fffffffffffffff61", "text that cannot be there")]
    [InlineData("9affffffff00", "an array that cannot be there")]
    [InlineData("0000", "two values")]
    public void What_is_not_canonical_is_refused(string hex, string why)
    {
        byte[] block = Hex.Bytes(hex);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Throws<DagCborException>(() => DagCborReader.Validate(block));
        Assert.Throws<DagCborException>(() => DagCborCopy.Of(block));
        Assert.Throws<DagCborException>(() =>
        {
            foreach (Cid link in Links.Of(Multicodec.DagCbor, block))
            {
                Assert.False(link.IsNone);
            }
        });
        Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 1 << 20, why);
    }

    [Fact]
    public void Integers_beyond_the_asked_size_are_refused()
    {
        Assert.Equal(ulong.MaxValue, new DagCborReader(Hex.Bytes("1bffffffffffffffff")).ReadUInt64());
        Assert.Throws<DagCborException>(() => new DagCborReader(Hex.Bytes("1b8000000000000000")).ReadInt64());
        Assert.Throws<DagCborException>(() => new DagCborReader(Hex.Bytes("3b8000000000000000")).ReadInt64());
        Assert.Throws<DagCborException>(() => new DagCborReader(Hex.Bytes("20")).ReadUInt64());
        Assert.Throws<DagCborException>(() => new DagCborReader(Hex.Bytes("1a80000000")).ReadInt32());
        Assert.Throws<DagCborException>(() => new DagCborReader(Hex.Bytes("3a80000000")).ReadInt32());
        Assert.Equal(long.MinValue, new DagCborReader(Hex.Bytes("3b7fffffffffffffff")).ReadInt64());
        Assert.Equal(int.MinValue, new DagCborReader(Hex.Bytes("3a7fffffff")).ReadInt32());
        Assert.Equal(-1 - (Int128)ulong.MaxValue, new DagCborReader(Hex.Bytes("3bffffffffffffffff")).ReadInteger());
    }

    [Fact]
    public void Asking_for_another_kind_than_is_there_is_refused()
    {
        string[] values = ["00", "20", "41a1", "6161", "8100", "a1616100", "d82a4a00015500050001020304", "f4", "f6", "fb3fe0000000000000"];
        for (int i = 0; i < values.Length; i++)
        {
            byte[] block = Hex.Bytes(values[i]);
            int taken = 0;
            Try(r => r.ReadUInt64());
            Try(r => r.ReadInteger());
            Try(r => r.ReadBytes());
            Try(r => r.ReadTextBytes());
            Try(r => r.ReadArrayStart());
            Try(r => r.ReadMapStart());
            Try(r => r.ReadCid());
            Try(r => r.ReadBoolean());
            Try(r => r.ReadNull());
            Try(r => r.ReadDouble());
            Assert.Equal(i == 0 ? 2 : 1, taken);
            Assert.Throws<DagCborException>(() => { var reader = new DagCborReader(block); reader.ReadKey(); });

            void Try(Read read)
            {
                try
                {
                    read(new DagCborReader(block));
                    taken++;
                }
                catch (DagCborException)
                {
                }
            }
        }
    }

    private delegate void Read(DagCborReader reader);

    [Fact]
    public void A_schema_is_read_in_a_few_calls_and_everything_unexpected_is_refused()
    {
        Assert.Equal(("x", 7, true), Read("a36161617862626207636f7074f5"));
        Assert.Equal(("x", 7, false), Read("a26161617862626207"));
        Assert.Throws<DagCborException>(() => Read("a16161617862626207")); // a pair fewer than is read
        Assert.Throws<DagCborException>(() => Read("a26162617862626207")); // another key
        Assert.Throws<DagCborException>(() => Read("a26161617862626361")); // another kind
        Assert.Throws<DagCborException>(() => Read("a36161617862626207636f7078f5")); // a key too many
        Assert.Throws<DagCborException>(() => Read("a46161617862626207636f7074f5646d6f7265f6")); // a pair too many

        static (string, int, bool) Read(string hex)
        {
            var reader = new DagCborReader(Hex.Bytes(hex));
            reader.ReadMapStart();
            reader.ReadKey("a"u8);
            string a = reader.ReadText();
            reader.ReadKey("bbb"u8[..2]);
            int b = reader.ReadInt32();
            bool option = reader.TryReadKey("opt"u8) && reader.ReadBoolean();
            reader.End();
            return (a, b, option);
        }
    }

    [Fact]
    public void Counts_and_lengths_can_be_demanded()
    {
        Assert.Throws<DagCborException>(() => new DagCborReader(Hex.Bytes("820000")).ReadArrayStart(3));
        Assert.Throws<DagCborException>(() => new DagCborReader(Hex.Bytes("a0")).ReadMapStart(1));
        Assert.Throws<DagCborException>(() => { var reader = new DagCborReader(Hex.Bytes("41a1")); reader.ReadBytes(2); });
        var pair = new DagCborReader(Hex.Bytes("8241a1f6"));
        pair.ReadArrayStart(2);
        Assert.False(pair.TryReadNull());
        Assert.Equal([0xA1], pair.ReadBytes(1).ToArray());
        Assert.True(pair.TryReadNull());
        Assert.False(pair.TryReadNull());
        pair.End();
    }

    [Fact]
    public void Nothing_can_be_read_behind_the_end_and_nothing_left_before_it()
    {
        Assert.Throws<DagCborException>(() => { var reader = new DagCborReader([0x00]); reader.ReadUInt64(); reader.ReadUInt64(); });
        Assert.Throws<DagCborException>(() => { var reader = new DagCborReader([0x00]); reader.Skip(); reader.Skip(); });
        Assert.Throws<DagCborException>(() => { var reader = new DagCborReader([0x82, 0x00, 0x00]); reader.ReadArrayStart(); reader.ReadUInt64(); reader.End(); });
        Assert.Throws<DagCborException>(() => { var reader = new DagCborReader([0xA1, 0x61, 0x61, 0x00]); reader.ReadMapStart(); reader.Skip(); });
        Assert.Throws<DagCborException>(() => { var reader = new DagCborReader([0xA1, 0x61, 0x61, 0x00]); reader.ReadMapStart(); reader.ReadText(); });
        Assert.Throws<DagCborException>(() => { var reader = new DagCborReader([0xA1, 0x61, 0x61, 0x00]); reader.ReadMapStart(); reader.ReadKey(); reader.ReadKey(); });
        var empty = new DagCborReader([0x82, 0x80, 0xA0]);
        Assert.Equal(2, empty.ReadArrayStart());
        Assert.Equal(0, empty.ReadArrayStart());
        Assert.Equal(1, empty.Depth);
        Assert.Equal(0, empty.ReadMapStart());
        Assert.Equal(0, empty.Depth);
        Assert.Equal(DagCborKind.End, empty.Peek());
        empty.End();
    }

    [Fact]
    public void A_value_within_is_passed_over_or_taken_as_bytes()
    {
        var reader = new DagCborReader(Hex.Bytes("a2616182a161620061636162f6"));
        reader.ReadMapStart(2);
        reader.ReadKey("a"u8);
        Assert.Equal("82a16162006163", Hex.Text(reader.ReadEncoded()));
        reader.ReadKey("b"u8);
        reader.ReadNull();
        reader.End();
    }

    [Fact]
    public void Depth_is_bounded_for_reader_and_writer_alike()
    {
        Assert.Throws<DagCborException>(() => DagCborReader.Validate(Nested(DagCborReader.MaxDepth + 1)));
        Assert.Throws<DagCborException>(() => DagCborReader.Validate(Nested(1_000_000)));
        DagCborReader.Validate(Nested(DagCborReader.MaxDepth));
        Assert.Equal(Nested(DagCborReader.MaxDepth), DagCborCopy.Of(Nested(DagCborReader.MaxDepth)));
        var maps = new byte[3 * 1000 + 1];
        for (int i = 0; i < maps.Length - 1; i += 3)
        {
            (maps[i], maps[i + 1], maps[i + 2]) = (0xA1, 0x61, 0x61);
        }

        Assert.Throws<DagCborException>(() => DagCborReader.Validate(maps));

        // As deep as can be, the innermost empty.
        static byte[] Nested(int depth)
        {
            var block = new byte[depth];
            Array.Fill(block, (byte)0x81);
            block[^1] = 0x80;
            return block;
        }
    }

    [Fact]
    public void Wide_blocks_are_read_without_allocating()
    {
        var writer = new DagCborWriter();
        writer.WriteArrayStart(1000);
        for (int i = 0; i < 1000; i++)
        {
            writer.WriteArrayStart(3);
            writer.WriteBytes(BitConverter.GetBytes(i));
            writer.WriteCid(Cid.Of(Multicodec.Raw, BitConverter.GetBytes(i)));
            writer.WriteMapStart(1);
            writer.WriteKey("n"u8);
            writer.WriteInt64(-i);
        }

        byte[] block = writer.ToArray();
        DagCborReader.Validate(block);
        long before = GC.GetAllocatedBytesForCurrentThread();
        DagCborReader.Validate(block);
        int links = 0;
        foreach (Cid link in Links.Of(Multicodec.DagCbor, block))
        {
            links += link.Length == Cid.UsualLength ? 1 : 0;
        }

        Assert.Equal(1000, links);
        Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 10_000);
    }
}
