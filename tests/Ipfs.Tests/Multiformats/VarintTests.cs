using Leither.Ipfs.Multiformats;
using Xunit;

namespace Leither.Ipfs.Tests.Multiformats;

public sealed class VarintTests
{
    // The examples of the unsigned-varint specification, and the edges.
    [Theory]
    [InlineData(0, "00")]
    [InlineData(1, "01")]
    [InlineData(127, "7f")]
    [InlineData(128, "8001")]
    [InlineData(255, "ff01")]
    [InlineData(300, "ac02")]
    [InlineData(16383, "ff7f")]
    [InlineData(16384, "808001")]
    [InlineData((1L << 56) - 1, "ffffffffffffff7f")]
    [InlineData(1L << 56, "808080808080808001")]
    [InlineData(long.MaxValue, "ffffffffffffffff7f")]
    public void A_value_has_one_encoding_and_waits_until_it_is_whole(long value, string hex)
    {
        byte[] bytes = Hex.Bytes(hex);
        var room = new byte[Varint.MaxLength];
        Assert.Equal(bytes.Length, Varint.Write(room, (ulong)value));
        Assert.Equal(bytes, room[..bytes.Length]);
        Assert.Equal(bytes.Length, Varint.Length((ulong)value));
        Assert.Equal(VarintStatus.Complete, Varint.Read([.. bytes, 0xFF], out ulong read, out int used));
        Assert.Equal(((ulong)value, bytes.Length), (read, used));
        for (int length = 0; length < bytes.Length; length++)
        {
            Assert.Equal(VarintStatus.Incomplete, Varint.Read(bytes.AsSpan(0, length), out _, out _));
        }
    }

    [Theory]
    [InlineData("8000")]
    [InlineData("8100")]
    [InlineData("808000")]
    [InlineData("80808080808080808001")]
    [InlineData("ffffffffffffffffff01")]
    [InlineData("ffffffffffffffffff")]
    public void Longer_than_needed_and_longer_than_nine_bytes_are_refused(string hex) =>
        Assert.Equal(VarintStatus.Invalid, Varint.Read(Hex.Bytes(hex), out _, out _));

    [Fact]
    public void Lengths_are_right_at_every_power_of_two()
    {
        var room = new byte[Varint.MaxLength];
        for (int bit = 0; bit < 63; bit++)
        {
            foreach (ulong value in new[] { (1UL << bit) - 1, 1UL << bit, (1UL << bit) + 1 })
            {
                int length = Varint.Write(room, value);
                Assert.Equal(length, Varint.Length(value));
                Assert.True(Varint.TryRead(room, out ulong read, out int used));
                Assert.Equal((value, length), (read, used));
            }
        }
    }
}
