using System.Globalization;
using System.Text;
using Leither.TestKit;
using Xunit;

namespace Leither.Resp.Tests;

public sealed unsafe class SliceTests
{
    private delegate bool Reading<T>(Slice slice, out T value);

    // Read from the end of memory, so that a look beyond it is noticed.
    private static T? Read<T>(string text, Reading<T> read) where T : struct
    {
        byte[] bytes = Feeding.Bytes(text);
        using var memory = new GuardedMemory(Math.Max(bytes.Length, 1));
        return read(new Slice(memory.Place(bytes), bytes.Length), out T value) ? value : null;
    }

    [Theory]
    [InlineData("0", 0)]
    [InlineData("1", 1)]
    [InlineData("-1", -1)]
    [InlineData("10", 10)]
    [InlineData("99", 99)]
    [InlineData("123456789", 123456789)]
    [InlineData("9223372036854775807", long.MaxValue)]
    [InlineData("-9223372036854775808", long.MinValue)]
    [InlineData("1000000000000000000", 1000000000000000000)]
    public void A_plain_integer_is_read(string text, long value) =>
        Assert.Equal(value, Read(text, (Slice s, out long v) => s.TryLong(out v)));

    [Theory]
    [InlineData("")]
    [InlineData("-")]
    [InlineData("+")]
    [InlineData("+1")]
    [InlineData("-0")]
    [InlineData("00")]
    [InlineData("01")]
    [InlineData("-01")]
    [InlineData(" 1")]
    [InlineData("1 ")]
    [InlineData("1\0")]
    [InlineData("1.0")]
    [InlineData("1e3")]
    [InlineData("0x1")]
    [InlineData("--1")]
    [InlineData("a")]
    [InlineData("1a")]
    [InlineData("1:")]
    [InlineData("1/")]
    [InlineData("9223372036854775808")]
    [InlineData("-9223372036854775809")]
    [InlineData("9999999999999999999")]
    [InlineData("18446744073709551616")]
    [InlineData("18446744073709551617")]
    [InlineData("99999999999999999999")]
    [InlineData("-99999999999999999999")]
    [InlineData("000000000000000000000000000001")]
    public void What_is_not_written_as_an_integer_is_none(string text) =>
        Assert.Null(Read(text, (Slice s, out long v) => s.TryLong(out v)));

    [Fact]
    public void Every_integer_is_read_as_it_is_written() => Seed.Run(random =>
    {
        Span<byte> text = stackalloc byte[RespInteger.MaxLength];
        for (int i = 0; i < 100_000; i++)
        {
            long value = random.NextInt64(long.MinValue, long.MaxValue) >> random.Next(64);
            int length = RespInteger.Format(value, text);
            Assert.Equal(value.ToString(CultureInfo.InvariantCulture), Encoding.ASCII.GetString(text[..length]));
            Assert.True(RespInteger.TryParse(text[..length], out long back));
            Assert.Equal(value, back);
        }
    });

    [Fact]
    public void Integers_are_written_right_at_every_power_of_ten()
    {
        Span<byte> text = stackalloc byte[RespInteger.MaxLength];
        var values = new List<long> { 0, long.MaxValue, long.MinValue, long.MinValue + 1 };
        for (long power = 1; power > 0 && power <= 1_000_000_000_000_000_000; power *= 10)
            values.AddRange([power - 1, power, power + 1, -power, -power + 1, -power - 1]);
        foreach (long value in values)
            Assert.Equal(value.ToString(CultureInfo.InvariantCulture), Encoding.ASCII.GetString(text[..RespInteger.Format(value, text)]));
    }

    [Theory]
    [InlineData("0", 0UL)]
    [InlineData("18446744073709551615", ulong.MaxValue)]
    [InlineData("007", 7UL)]
    [InlineData("+7", 7UL)]
    [InlineData(" 7", 7UL)]
    [InlineData("-9223372036854775809", 9223372036854775807UL)]
    public void An_unsigned_integer_is_read_as_by_strtoull(string text, ulong value) =>
        Assert.Equal(value, Read(text, (Slice s, out ulong v) => s.TryULong(out v)));

    [Theory]
    [InlineData("")]
    [InlineData(" ")]
    [InlineData("-")]
    [InlineData("-1")]
    [InlineData("1 ")]
    [InlineData("18446744073709551616")]
    [InlineData("99999999999999999999999")]
    [InlineData("a")]
    public void What_strtoull_would_not_read_whole_is_no_unsigned_integer(string text) =>
        Assert.Null(Read(text, (Slice s, out ulong v) => s.TryULong(out v)));

    [Fact]
    public void Smaller_integers_are_read_within_their_range()
    {
        Assert.Equal(int.MaxValue, Read("2147483647", (Slice s, out int v) => s.TryInt(out v)));
        Assert.Equal(int.MinValue, Read("-2147483648", (Slice s, out int v) => s.TryInt(out v)));
        Assert.Null(Read("2147483648", (Slice s, out int v) => s.TryInt(out v)));
        Assert.Equal(uint.MaxValue, Read("4294967295", (Slice s, out uint v) => s.TryUInt(out v)));
        Assert.Null(Read("4294967296", (Slice s, out uint v) => s.TryUInt(out v)));
        Assert.Null(Read("-1", (Slice s, out uint v) => s.TryUInt(out v)));
    }

    // The expected bits are glibc's strtod.
    [Theory]
    [InlineData("0", 0x0000000000000000)]
    [InlineData("-0", long.MinValue)]
    [InlineData("1.5", 0x3ff8000000000000)]
    [InlineData("+1.5", 0x3ff8000000000000)]
    [InlineData("1.", 0x3ff0000000000000)]
    [InlineData(".5", 0x3fe0000000000000)]
    [InlineData("00012", 0x4028000000000000)]
    [InlineData("1e3", 0x408f400000000000)]
    [InlineData("1E+3", 0x408f400000000000)]
    [InlineData("1.e-1", 0x3fb999999999999a)]
    [InlineData("0.1", 0x3fb999999999999a)]
    [InlineData("0.30000000000000004", 0x3fd3333333333334)]
    [InlineData("9007199254740993", 0x4340000000000000)]
    [InlineData("123456789012345678901234567890", 0x45f8ee90ff6c373e)]
    [InlineData("1.7976931348623157e308", 0x7fefffffffffffff)]
    [InlineData("1.7976931348623158e308", 0x7fefffffffffffff)]
    [InlineData("4.9e-324", 0x0000000000000001)]
    [InlineData("2.4703282292062328e-324", 0x0000000000000001)]
    [InlineData("0e99999999999999999999", 0x0000000000000000)]
    [InlineData("inf", 0x7ff0000000000000)]
    [InlineData("+inf", 0x7ff0000000000000)]
    [InlineData("-Infinity", unchecked((long)0xfff0000000000000))]
    [InlineData("INFINITY", 0x7ff0000000000000)]
    [InlineData("0x1", 0x3ff0000000000000)]
    [InlineData("0X.8", 0x3fe0000000000000)]
    [InlineData("-0x1.8p1", unchecked((long)0xc008000000000000))]
    [InlineData("0x1.", 0x3ff0000000000000)]
    [InlineData("0x1p-1074", 0x0000000000000001)]
    [InlineData("0x1.8p-1075", 0x0000000000000001)]
    [InlineData("0x1.00000000000008p0", 0x3ff0000000000000)]
    [InlineData("0x1.00000000000018p0", 0x3ff0000000000002)]
    [InlineData("0x1.000000000000080000000000000000001p0", 0x3ff0000000000001)]
    [InlineData("0x1.fffffffffffff7p1023", 0x7fefffffffffffff)]
    [InlineData("0x0p99999999999999999999", 0x0000000000000000)]
    public void A_double_is_read_as_by_strtod(string text, long bits) =>
        Assert.Equal(bits, BitConverter.DoubleToInt64Bits(Read(text, (Slice s, out double v) => s.TryDouble(out v)) ?? double.NaN));

    [Theory]
    [InlineData("")]
    [InlineData(" 1")]
    [InlineData("1 ")]
    [InlineData("\t1")]
    [InlineData("1\0")]
    [InlineData("+")]
    [InlineData("-")]
    [InlineData(".")]
    [InlineData("+.")]
    [InlineData("e5")]
    [InlineData(".e5")]
    [InlineData("1e")]
    [InlineData("1e+")]
    [InlineData("1e5.5")]
    [InlineData("1.5.5")]
    [InlineData("1,5")]
    [InlineData("1_0")]
    [InlineData("++1")]
    [InlineData("+-1")]
    [InlineData("1d")]
    [InlineData("nan")]
    [InlineData("-NaN")]
    [InlineData("nan(1)")]
    [InlineData("infinit")]
    [InlineData("inf ")]
    [InlineData("0x")]
    [InlineData("0x.")]
    [InlineData("0x1p")]
    [InlineData("0x1p+")]
    [InlineData("0x1.1.1")]
    [InlineData("0xg")]
    [InlineData("1e309")]
    [InlineData("-1e309")]
    [InlineData("1.7976931348623159e308")]
    [InlineData("1e99999999999999999999")]
    [InlineData("1e-400")]
    [InlineData("2.4703282292062327e-324")]
    [InlineData("1e-99999999999999999999")]
    [InlineData("0x1p1024")]
    [InlineData("0x1.fffffffffffff8p1023")]
    [InlineData("0x1p-1075")]
    [InlineData("0x1p-99999999999999999999")]
    public void What_strtod_would_not_read_whole_and_in_range_is_no_double(string text) =>
        Assert.Null(Read(text, (Slice s, out double v) => s.TryDouble(out v)));

    [Fact]
    public void Doubles_of_any_length_are_read_right()
    {
        string zeros = new('0', 20_000);
        Assert.Equal(1.0, Read($"0.{zeros}1e20001", (Slice s, out double v) => s.TryDouble(out v)));
        Assert.Equal(1.0, Read($"1{zeros}e-20000", (Slice s, out double v) => s.TryDouble(out v)));
        Assert.Equal(1.0, Read($"0x1{zeros}p-80000", (Slice s, out double v) => s.TryDouble(out v)));
        Assert.Equal(1.0, Read($"0x{zeros}1", (Slice s, out double v) => s.TryDouble(out v)));
        Assert.Equal(1.0 / 3, Read("0." + new string('3', 5000), (Slice s, out double v) => s.TryDouble(out v)));
    }

    [Fact]
    public void Names_are_compared_without_the_case_of_ascii_letters()
    {
        static bool Same(string a, string b)
        {
            byte[] bytes = Feeding.Bytes(a);
            fixed (byte* p = bytes)
                return new Slice(p, bytes.Length).EqualsIgnoreCase(Feeding.Bytes(b));
        }

        Assert.True(Same("GET", "get"));
        Assert.True(Same("", ""));
        Assert.True(Same("ZRANGEBYSCORE", "zRangeByScore"));
        Assert.True(Same("a-1_", "A-1_"));
        Assert.False(Same("GET", "GE"));
        Assert.False(Same("GET", "SET"));
        Assert.False(Same("@", "`"));
        Assert.False(Same("[", "{"));
        Assert.False(Same("\u00E9", "\u00C9"));
    }
}
