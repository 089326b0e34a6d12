using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using Leither.Ipfs.Multiformats;
using Leither.TestKit;
using Xunit;

namespace Leither.Ipfs.Tests.Multiformats;

public sealed class CidTests
{
    private const string HelloDigest = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";
    private const string HelloSha512 =
        "309ecc489c12d6eb4cc40f50c902f2b4d0ed77ee511a7c7a9bcd3ca86d4cd86f989dd35bc5ff499670da34255b45b0cfd830e81f605dcf7dc5542e93ae9cd76f";

    private static ReadOnlySpan<byte> Hello => "hello world"u8;

    // As js-multiformats writes them: text in base32 (base58btc for version 0), bytes, and where given the text in other bases.
    [Theory]
    [InlineData("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e", "01551220" + HelloDigest, 1, 0x55, 0x12,
        "zb2rhj7crUKTQYRGCRATFaQ6YFLTde2YzdqbbhAASkL9uRDXn", "uAVUSILlNJ7mTTT4IpS5S19p9q_rEhO_jelOA7pCI96zi783p", "k2cwued9o1pvrt3q271rrqbo49x30tbxwpoeaq75z14e5ui2rzygpbe1")]
    [InlineData("QmaozNR7DZHQK1ZcU9p7QdrshMvXqWK6gpu5rmrkPdT3L4", "1220" + HelloDigest, 0, 0x70, 0x12)]
    [InlineData("bafybeifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e", "01701220" + HelloDigest, 1, 0x70, 0x12,
        "zdj7WhuEjrB52m1BisYCtmjH1hSKa7yZ3jEZ9JcXaFRD51wVz", "uAXASILlNJ7mTTT4IpS5S19p9q_rEhO_jelOA7pCI96zi783p", "k2jmtxvzdh31wdobmmkk6r1ort6878dnwbztw7afic4arrehud5eg4q1")]
    [InlineData("bafyreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e", "01711220" + HelloDigest, 1, 0x71, 0x12,
        "zdpuAxtn9ETwkv4bBn55v9dYSLvTsBABZvB7GvJAsiGoZJGEt", "uAXESILlNJ7mTTT4IpS5S19p9q_rEhO_jelOA7pCI96zi783p", "k2jvsla0bqzjgjrr3dt98n2ngojwe4xq6zhl4zx7v1uyn8md2gazp4h5")]
    [InlineData("bafzaac3imvwgy3zao5xxe3de", "0172000b68656c6c6f20776f726c64", 1, 0x72, 0x00,
        "z3M2Ru4F8jhHLY48aM74F", "uAXIAC2hlbGxvIHdvcmxk", "kflectc09rmtz49fpg85dno")]
    [InlineData("bafkrgqbqt3gerhas23vuzrapkdeqf4vu2dwxp3srdj6hvg6nhsug2tgyn6mj3u23yx7utftq3i2ckw2fwdh5qmhid5qf3t35yvkc5e5ottlw6", "01551340" + HelloSha512, 1, 0x55, 0x13,
        "zB7NCdng5WffuNCgHu4PhDj7nbtuVrhPc2pMhanNxYKRsECdjX9nd44g6CRu2xNrj2bG2NNaTsveL5zDGWhbfiug3VekW", null, "kf1siqaer0xfbvuf9vqmiwwkuzgmbd4gsr16fl4s9ptulstqt8pyfn1fxehj9y96k6brezkn35xqbngtchiz8j23osgl6gmrom9fynkvj")]
    [InlineData("bafkqaaa", "01550000", 1, 0x55, 0x00, "z2yYDV", "uAVUAAA", "kdaznk")]
    [InlineData("baguqfiheaiqaobyha4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4dqoby", "01a902a0e402200707070707070707070707070707070707070707070707070707070707070707", 1, 0x129, 0xb220,
        "z25sX6LgHoXmYaFiWkQUjBsEVGn5JSBmK29d9rL4Qeh179tTMvde2i", "uAakCoOQCIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH", "ktcwjr2drpffb08so3jjr29anoqxag1agb8g58j3hq3n72erysl5l6lvkavb")]
    public void Vectors(string text, string hex, int version, long codec, long hash, string? base58 = null, string? base64Url = null, string? base36 = null)
    {
        byte[] bytes = Hex.Bytes(hex);
        Cid cid = Cid.Parse(text);
        Assert.Equal((version, (ulong)codec, (ulong)hash), (cid.Version, cid.Codec, cid.HashFunction));
        Assert.Equal(text, cid.ToString());
        Assert.Equal(bytes, cid.ToArray());
        Assert.Equal(bytes.Length, cid.Length);
        Assert.True(Cid.TryRead([.. bytes, 0x55], out Cid read, out int used));
        Assert.Equal(bytes.Length, used);
        Assert.Equal(cid, read);
        Assert.Equal(cid.GetHashCode(), read.GetHashCode());
        Assert.Equal(cid.Multihash, read.Multihash);
        Assert.False(Cid.TryRead([.. bytes, 0x55], out _));
        for (int length = 0; length < bytes.Length; length++)
        {
            Assert.False(Cid.TryRead(bytes.AsSpan(0, length), out _, out _));
            Assert.False(cid.TryWrite(new byte[length], out _));
        }

        foreach ((MultibaseEncoding encoding, string? other) in new[] { (MultibaseEncoding.Base58Btc, base58), (MultibaseEncoding.Base64Url, base64Url), (MultibaseEncoding.Base36, base36) })
        {
            if (other != null)
            {
                Assert.Equal(other, cid.ToString(encoding));
                Assert.Equal(cid, Cid.Parse(other));
            }
        }

        if (version == 1)
        {
            Assert.Equal("f" + hex, cid.ToString(MultibaseEncoding.Base16));
        }
    }

    [Fact]
    public void A_CID_of_content_is_its_SHA_256_and_verifies_it_alone()
    {
        Cid cid = Cid.Of(Multicodec.Raw, Hello);
        Assert.Equal("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e", cid.ToString());
        Assert.Equal(cid, Cid.OfSha256(Multicodec.Raw, SHA256.HashData(Hello)));
        Assert.Equal(Cid.UsualLength, cid.Length);
        Assert.True(cid.Verify(Hello));
        Assert.False(cid.Verify("hello World"u8));
        Assert.False(cid.Verify([]));
        Assert.False(default(Cid).Verify([]));
    }

    [Fact]
    public void Every_hash_function_that_is_computed_verifies_and_no_other_does()
    {
        foreach (Multihash hash in new[] { Multihash.Sha256(Hello), Multihash.Sha512(Hello), Multihash.Identity(Hello) })
        {
            Assert.True(Multihash.CanVerify(hash.Code));
            Assert.True(hash.Verify(Hello));
            Assert.True(Cid.Create(Multicodec.Raw, hash).Verify(Hello));
            Assert.False(hash.Verify("hello"u8));
        }

        Assert.False(new Multihash(0xb220, SHA256.HashData(Hello)).Verify(Hello));
        Assert.False(new Multihash(Multicodec.Sha256, SHA256.HashData(Hello).AsSpan(0, 20)).Verify(Hello)); // truncated: anyone could find a second one
        Assert.False(new Multihash(Multicodec.Sha256, []).Verify(Hello));
    }

    [Fact]
    public void Equality_is_that_of_the_bytes()
    {
        Multihash hello = Multihash.Sha256(Hello);
        Cid v0 = Cid.CreateV0(hello), v1 = Cid.Create(Multicodec.DagPb, hello);
        Assert.True(v0 != v1);
        Assert.True(v0.ToV1() == v1);
        Assert.Equal(v1, v1.ToV1());
        Cid[] all =
        [
            default, v0, v1, Cid.Create(Multicodec.Raw, hello), Cid.Create(Multicodec.Raw, Multihash.Sha256("other"u8)),
            Cid.Create(Multicodec.Raw, new Multihash(Multicodec.Sha256, new byte[32])), Cid.Create(Multicodec.Raw, new Multihash(Multicodec.Sha256, [])),
            Cid.Create(Multicodec.Raw, new Multihash(Multicodec.Sha256, new byte[31])), Cid.Create(Multicodec.Raw, default),
            Cid.Create(Multicodec.Raw, Multihash.Identity(new byte[32])), Cid.Create(Multicodec.Raw, Multihash.Identity(new byte[31])),
        ];
        for (int i = 0; i < all.Length; i++)
        {
            for (int j = 0; j < all.Length; j++)
            {
                Assert.Equal(i == j, all[i] == all[j]);
                Assert.Equal(i == j, all[i].Equals((object)all[j]));
                Assert.Equal(i == j, all[i].ToArray().AsSpan().SequenceEqual(all[j].ToArray()));
            }

            Assert.True(all[i].IsNone || all[i] == Read(all[i].ToArray()));
        }

        Assert.Equal(default, Multihash.Identity([]));
        Assert.Equal(default(Multihash).GetHashCode(), Multihash.Identity([]).GetHashCode());
        Assert.Equal("", default(Cid).ToString());

        static Cid Read(byte[] bytes) => Cid.TryRead(bytes, out Cid cid) ? cid : default;
    }

    [Theory]
    [InlineData("")]
    [InlineData("1220")]
    [InlineData("00701220" + HelloDigest)] // version 0 is never spelled out
    [InlineData("02551220" + HelloDigest)] // reserved versions
    [InlineData("03551220" + HelloDigest)]
    [InlineData("8100551220" + HelloDigest)]
    [InlineData("01d5001220" + HelloDigest)] // codec longer than needed
    [InlineData("0155920020" + HelloDigest)] // hash function longer than needed
    [InlineData("015512a000" + HelloDigest)] // length longer than needed
    [InlineData("01551221" + HelloDigest)] // a byte short
    [InlineData("015500ffffffffffffffff7f")]
    [InlineData("01ffffffffffffffffff01")]
    public void Malformed_bytes_are_refused(string hex) => Assert.False(Cid.TryRead(Hex.Bytes(hex), out _, out _));

    [Fact]
    public void Digests_are_bounded()
    {
        byte[] bytes = [1, 0x55, 0, 0x80, 0x01, .. new byte[129]];
        Assert.True(Cid.TryRead(bytes, out Cid cid, out int used));
        Assert.Equal(bytes.Length - 1, used);
        Assert.Equal(cid, Cid.Parse(cid.ToString(MultibaseEncoding.Base16)));
        bytes[3] = 0x81;
        Assert.False(Cid.TryRead(bytes, out _, out _));
        Assert.Throws<ArgumentException>(() => Multihash.Identity(new byte[129]));
    }

    [Theory]
    [InlineData("")]
    [InlineData("b")]
    [InlineData("z")]
    [InlineData("QmaozNR7DZHQK1ZcU9p7QdrshMvXqWK6gpu5rmrkPdT3L")]
    [InlineData("QmaozNR7DZHQK1ZcU9p7QdrshMvXqWK6gpu5rmrkPdT3L44")]
    [InlineData("QmaozNR7DZHQK1ZcU9p7QdrshMvXqWK6gpu5rmrkPdT3L0")]
    [InlineData("zQmaozNR7DZHQK1ZcU9p7QdrshMvXqWK6gpu5rmrkPdT3L4")] // version 0 behind a multibase prefix
    [InlineData("f1220" + HelloDigest)]
    [InlineData("01551220" + HelloDigest)] // no prefix
    [InlineData("f01551220" + HelloDigest + "00")]
    [InlineData(" bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e")]
    [InlineData("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e ")]
    [InlineData("/ipfs/bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e")]
    [InlineData("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5f")] // left-over bits
    public void Malformed_text_is_refused(string text)
    {
        Assert.False(Cid.TryParse(text, out _));
        Assert.Throws<FormatException>(() => Cid.Parse(text));
    }

    [Fact]
    public void Very_long_text_is_refused_at_once()
    {
        Assert.False(Cid.TryParse("z" + new string('2', 10_000_000), out _));
        Assert.Throws<FormatException>(() => Cid.Parse("b" + new string('a', 10_000_000)));
    }

    [Fact]
    public void The_usual_CID_takes_no_heap()
    {
        Assert.False(RuntimeHelpers.IsReferenceOrContainsReferences<Digest256>());
        byte[] bytes = Cid.Of(Multicodec.DagCbor, Hello).ToArray(), room = new byte[Cid.MaxLength];
        Round(bytes, room); // once for the compiler
        long before = GC.GetAllocatedBytesForCurrentThread();
        int hash = 0;
        for (int i = 0; i < 1000; i++)
        {
            hash ^= Round(bytes, room);
        }

        Assert.Equal(0, hash);
        // Not a byte a round; the runtime itself may take a few while it compiles.
        Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 10_000);

        static int Round(byte[] bytes, byte[] room)
        {
            Cid.TryRead(bytes, out Cid cid);
            Cid made = Cid.Of(cid.Codec, Hello);
            return made.Equals(cid) && made.Verify(Hello) && made.TryWrite(room, out int written) && written == Cid.UsualLength ? made.GetHashCode() : throw new InvalidOperationException();
        }
    }

    [Fact]
    public void Random_CIDs_come_back_from_bytes_and_text() => Seed.Run(random =>
    {
        for (int i = 0; i < 500; i++)
        {
            var digest = new byte[random.Next(3) == 0 ? 32 : random.Next(Multihash.MaxDigestLength + 1)];
            random.NextBytes(digest);
            ulong function = random.Next(3) == 0 ? Multicodec.Sha256 : (ulong)random.NextInt64(0, (long)uint.MaxValue + 1) >> random.Next(32);
            Cid cid = Cid.Create((ulong)random.NextInt64() >> random.Next(63), new Multihash(function, digest));
            Assert.True(Cid.TryRead(cid.ToArray(), out Cid read));
            Assert.Equal(cid, read);
            Assert.Equal(cid.GetHashCode(), read.GetHashCode());
            Assert.Equal(cid, Cid.Parse(cid.ToString()));
            Assert.Equal(digest.Length, read.Multihash.DigestLength);
            Assert.Equal(read.Multihash, cid.Multihash);
        }
    });
}
