using System.Text;
using Leither.Ipfs.Multiformats;
using Leither.TestKit;
using Xunit;

namespace Leither.Ipfs.Tests.Multiformats;

public sealed class MultibaseTests
{
    // "yes mani !" without, with one and with two zero bytes in front: the strings of the multibase specification's tests; then the empty string
    // and one byte. All as js-multiformats encodes them.
    [Theory]
    [InlineData(MultibaseEncoding.Base16, "f796573206d616e692021", "f00796573206d616e692021", "f0000796573206d616e692021", "f", "f66")]
    [InlineData(MultibaseEncoding.Base16Upper, "F796573206D616E692021", "F00796573206D616E692021", "F0000796573206D616E692021", "F", "F66")]
    [InlineData(MultibaseEncoding.Base32, "bpfsxgidnmfxgsibb", "bab4wk4zanvqw42jaee", "baaahszltebwwc3tjeaqq", "b", "bmy")]
    [InlineData(MultibaseEncoding.Base32Upper, "BPFSXGIDNMFXGSIBB", "BAB4WK4ZANVQW42JAEE", "BAAAHSZLTEBWWC3TJEAQQ", "B", "BMY")]
    [InlineData(MultibaseEncoding.Base32Pad, "cpfsxgidnmfxgsibb", "cab4wk4zanvqw42jaee======", "caaahszltebwwc3tjeaqq====", "c", "cmy======")]
    [InlineData(MultibaseEncoding.Base32PadUpper, "CPFSXGIDNMFXGSIBB", "CAB4WK4ZANVQW42JAEE======", "CAAAHSZLTEBWWC3TJEAQQ====", "C", "CMY======")]
    [InlineData(MultibaseEncoding.Base32Hex, "vf5in683dc5n6i811", "v01smasp0dlgmsq9044", "v0007ipbj41mm2rj940gg", "v", "vco")]
    [InlineData(MultibaseEncoding.Base32HexUpper, "VF5IN683DC5N6I811", "V01SMASP0DLGMSQ9044", "V0007IPBJ41MM2RJ940GG", "V", "VCO")]
    [InlineData(MultibaseEncoding.Base32HexPad, "tf5in683dc5n6i811", "t01smasp0dlgmsq9044======", "t0007ipbj41mm2rj940gg====", "t", "tco======")]
    [InlineData(MultibaseEncoding.Base32HexPadUpper, "TF5IN683DC5N6I811", "T01SMASP0DLGMSQ9044======", "T0007IPBJ41MM2RJ940GG====", "T", "TCO======")]
    [InlineData(MultibaseEncoding.Base36, "k2lcpzo5yikidynfl", "k02lcpzo5yikidynfl", "k002lcpzo5yikidynfl", "k", "k2u")]
    [InlineData(MultibaseEncoding.Base36Upper, "K2LCPZO5YIKIDYNFL", "K02LCPZO5YIKIDYNFL", "K002LCPZO5YIKIDYNFL", "K", "K2U")]
    [InlineData(MultibaseEncoding.Base58Btc, "z7paNL19xttacUY", "z17paNL19xttacUY", "z117paNL19xttacUY", "z", "z2m")]
    [InlineData(MultibaseEncoding.Base64, "meWVzIG1hbmkgIQ", "mAHllcyBtYW5pICE", "mAAB5ZXMgbWFuaSAh", "m", "mZg")]
    [InlineData(MultibaseEncoding.Base64Pad, "MeWVzIG1hbmkgIQ==", "MAHllcyBtYW5pICE=", "MAAB5ZXMgbWFuaSAh", "M", "MZg==")]
    [InlineData(MultibaseEncoding.Base64Url, "ueWVzIG1hbmkgIQ", "uAHllcyBtYW5pICE", "uAAB5ZXMgbWFuaSAh", "u", "uZg")]
    [InlineData(MultibaseEncoding.Base64UrlPad, "UeWVzIG1hbmkgIQ==", "UAHllcyBtYW5pICE=", "UAAB5ZXMgbWFuaSAh", "U", "UZg==")]
    public void Published_vectors(MultibaseEncoding encoding, string plain, string oneZero, string twoZeros, string empty, string f)
    {
        (string Content, string Text)[] vectors =
            [("yes mani !", plain), ("\0yes mani !", oneZero), ("\0\0yes mani !", twoZeros), ("", empty), ("f", f)];
        foreach ((string content, string text) in vectors)
        {
            byte[] bytes = Encoding.Latin1.GetBytes(content);
            Assert.Equal(text, Multibase.Encode(encoding, bytes));
            Assert.Equal(text[1..], Multibase.EncodeBare(encoding, bytes));
            Assert.True(Multibase.TryDecode(text, out byte[]? decoded, out MultibaseEncoding found));
            Assert.Equal(encoding, found);
            Assert.Equal(bytes, decoded);
        }
    }

    [Theory]
    [InlineData("f796573206D616e692021")]
    [InlineData("F796573206d616E692021")]
    [InlineData("bPFsxgidNMfxgsibb")]
    [InlineData("Bpfsxgidnmfxgsibb")]
    [InlineData("cPFSXGIDnmfxgsibb")]
    [InlineData("vF5in683dc5N6i811")]
    [InlineData("Tf5in683dc5n6i811")]
    [InlineData("k2LCPzo5yikidynfl")]
    [InlineData("K2lcpzo5yikidynfl")]
    public void Bases_of_one_case_are_read_in_either(string text)
    {
        Assert.True(Multibase.TryDecode(text, out byte[]? bytes, out _));
        Assert.Equal("yes mani !"u8.ToArray(), bytes);
    }

    [Theory]
    [InlineData("")]
    [InlineData("0")]
    [InlineData("9573277761329450583662625")]
    [InlineData("é796573")]
    [InlineData("f7")]
    [InlineData("f7g")]
    [InlineData("f７9")]
    [InlineData("f79 ")]
    [InlineData("bmz")] // bits that no encoder leaves
    [InlineData("bm")]
    [InlineData("bmya")]
    [InlineData("bmy======")] // padding where there is none
    [InlineData("cmy")]
    [InlineData("cmy=====")]
    [InlineData("cmy=======")]
    [InlineData("cmy==============")]
    [InlineData("c========")]
    [InlineData("cm=y=====")]
    [InlineData("b1")]
    [InlineData("mZh")]
    [InlineData("mZ")]
    [InlineData("mZg==")]
    [InlineData("MZg")]
    [InlineData("MZg=")]
    [InlineData("MZg===")]
    [InlineData("M====")]
    [InlineData("m__4")]
    [InlineData("u//4")]
    [InlineData("z0")]
    [InlineData("zI")]
    [InlineData("zl")]
    [InlineData("k-")]
    public void What_no_encoder_writes_is_refused(string text) => Assert.False(Multibase.TryDecode(text, out _, out _));

    [Fact]
    public void Dividing_bases_are_bounded()
    {
        string text = new('z', 2000);
        Assert.False(Multibase.TryDecode(text, out _, out _));
        Assert.Throws<ArgumentException>(() => Multibase.Encode(MultibaseEncoding.Base58Btc, new byte[Multibase.MaxDividedLength + 1]));
        byte[] largest = new byte[Multibase.MaxDividedLength];
        Array.Fill(largest, (byte)0xFF);
        foreach (MultibaseEncoding encoding in new[] { MultibaseEncoding.Base58Btc, MultibaseEncoding.Base36 })
        {
            Assert.True(Multibase.TryDecode(Multibase.Encode(encoding, largest), out byte[]? bytes, out _));
            Assert.Equal(largest, bytes);
        }
    }

    /// <summary>In bases 36 and 58 a zero byte in front is a character of its own: such text has as many bytes as characters.</summary>
    [Fact]
    public void Zero_bytes_in_front_come_back_from_every_base()
    {
        foreach (MultibaseEncoding encoding in Enum.GetValues<MultibaseEncoding>().Where(static e => e != MultibaseEncoding.None))
        {
            for (int zeros = 0; zeros <= 40; zeros++)
            {
                foreach (byte[] bytes in (byte[][])[new byte[zeros], [.. new byte[zeros], 1]])
                {
                    Assert.True(Multibase.TryDecode(Multibase.Encode(encoding, bytes), out byte[]? decoded, out _), $"{zeros} zeros of {bytes.Length} bytes, {encoding}");
                    Assert.Equal(bytes, decoded);
                }
            }
        }

        byte[] most = new byte[Multibase.MaxDividedLength];
        Assert.True(Multibase.TryDecode(Multibase.Encode(MultibaseEncoding.Base58Btc, most), out byte[]? all, out _));
        Assert.Equal(most, all);
        Assert.False(Multibase.TryDecode(Multibase.Encode(MultibaseEncoding.Base58Btc, most) + "1", out _, out _));
    }

    [Fact]
    public void Random_bytes_come_back_from_every_base() => Seed.Run(random =>
    {
        for (int i = 0; i < 200; i++)
        {
            var bytes = new byte[random.Next(100)];
            random.NextBytes(bytes);
            bytes.AsSpan(0, Math.Min(bytes.Length, random.Next(4))).Clear();
            foreach (MultibaseEncoding encoding in Enum.GetValues<MultibaseEncoding>())
            {
                if (encoding == MultibaseEncoding.None)
                {
                    continue;
                }

                string text = Multibase.Encode(encoding, bytes);
                Assert.True(text.Length - 1 <= Multibase.MaxEncodedLength(encoding, bytes.Length));
                Assert.True(Multibase.TryDecode(text, out byte[]? decoded, out _));
                Assert.Equal(bytes, decoded);
            }
        }
    });
}
