using System.Globalization;
using System.Text;
using Leither.TestKit;
using Xunit;

namespace Leither.Resp.Tests;

public sealed class RespDoubleTests
{
    private static string Format(double value)
    {
        Span<byte> text = stackalloc byte[RespDouble.MaxLength];
        return Encoding.ASCII.GetString(text[..RespDouble.Format(value, text)]);
    }

    // Every text here is what Redis 7.2 replies for the value.
    [Theory]
    [InlineData(0.0, "0")]
    [InlineData(-0.0, "-0")]
    [InlineData(1.0, "1")]
    [InlineData(-17.0, "-17")]
    [InlineData(1.1, "1.1")]
    [InlineData(-1.1, "-1.1")]
    [InlineData(0.1, "0.1")]
    [InlineData(3.14, "3.14")]
    [InlineData(0.30000000000000004, "0.30000000000000004")]
    [InlineData(1.0 / 3, "0.3333333333333333")]
    [InlineData(100.5, "100.5")]
    [InlineData(123456.789, "123456.789")]
    [InlineData(12345.678901234, "1.2345678901234e+4")]
    [InlineData(123.4567891, "123.4567891")]
    [InlineData(1e15, "1000000000000000")]
    [InlineData(1e17, "100000000000000000")]
    [InlineData(4611686018427387904.0, "4611686018427387904")]
    [InlineData(-4611686018427387904.0, "-4611686018427387904")]
    [InlineData(9.2233720368547758e18, "9223372036854776000")]
    [InlineData(1e19, "1e+19")]
    [InlineData(1e20, "1e+20")]
    [InlineData(-1e20, "-1e+20")]
    [InlineData(1.5e20, "1.5e+20")]
    [InlineData(1e100, "1e+100")]
    [InlineData(1.2345678901234566e+25, "1.2345678901234566e+25")]
    [InlineData(1.2345678901234567e+23, "123456789012345670000000")]
    [InlineData(1.7976931348623157e308, "1.7976931348623157e+308")]
    [InlineData(0.00001, "0.00001")]
    [InlineData(0.000001, "0.000001")]
    [InlineData(1e-7, "1e-7")]
    [InlineData(1.5e-7, "1.5e-7")]
    [InlineData(-1.5e-10, "-1.5e-10")]
    [InlineData(1e-100, "1e-100")]
    [InlineData(5e-324, "5e-324")]
    [InlineData(2.2250738585072014e-308, "2.2250738585072014e-308")]
    [InlineData(1.0001, "1.0001")]
    [InlineData(0.5, "0.5")]
    [InlineData(1234567.125, "1234567.125")]
    [InlineData(double.PositiveInfinity, "inf")]
    [InlineData(double.NegativeInfinity, "-inf")]
    [InlineData(double.NaN, "nan")]
    public void A_double_is_written_as_Redis_writes_it(double value, string text) => Assert.Equal(text, Format(value));

    [Fact]
    public void Every_double_is_read_back_as_itself_and_in_as_few_digits_as_can_be() => Seed.Run(random =>
    {
        for (int i = 0; i < 50_000; i++)
        {
            double value = (i % 4) switch
            {
                0 => BitConverter.Int64BitsToDouble(random.NextInt64(long.MinValue, long.MaxValue)),
                1 => random.Next() / Math.Pow(10, random.Next(10)),
                2 => random.NextDouble() * Math.Pow(10, random.Next(-10, 25)),
                _ => Math.Round(random.NextDouble() * 100_000, random.Next(8)),
            };
            if (double.IsNaN(value))
                continue;
            string text = Format(value);
            Assert.True(RespDouble.TryParse(Encoding.ASCII.GetBytes(text), out double back), text);
            Assert.Equal(BitConverter.DoubleToInt64Bits(value), BitConverter.DoubleToInt64Bits(back));

            // .NET's own text has the fewest digits too, laid out differently; integers are written out.
            if (value != Math.Truncate(value))
                Assert.Equal(Digits(value.ToString(CultureInfo.InvariantCulture)), Digits(text));
        }
    });

    private static string Digits(string text) =>
        new string(text.TakeWhile(c => c is not ('e' or 'E')).Where(char.IsAsciiDigit).ToArray()).Trim('0');
}
