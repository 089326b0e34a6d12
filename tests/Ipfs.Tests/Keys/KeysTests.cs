using System.Reflection;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Xunit;

namespace Leither.Ipfs.Tests.Keys;

public sealed class KeysTests
{
    /// <summary>Keys of three seeds with their names, as @libp2p/crypto and @libp2p/peer-id give them.</summary>
    [Theory]
    [InlineData("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV", "bafzaajaiaejcbv22taayfmikw7kux7wtzfsaooqo4fzphwvgems26aq2nd3qoui2",
        "k51qzi5uqu5dljtg5upm7x7ugan9lql3ewyknv4r4mhhkwzn8n7cnbd1unfwgq", "a6RRjw1cfyKdMO3hIL7Y0gJ_MKg")]
    [InlineData("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "12D3KooWDwTirQce1RRKnasT5fPVFgzXCy6SiRgSwrwPGLC7zE91", "bafzaajaiaejcapkac7b6qq4jlkjlocvhjunx5pe4tawm6lwes2gmbtkv6evpizqm",
        "k51qzi5uqu5dhpjot0f7ncinr7yh3njwtxy129qjgpbdu9rydw02vtek4g2ubw", "NdXXLUux5NQ39niPjIv7b-DVi2c")]
    [InlineData("7e0830617c4a7de83925dfb2694556b12936c477a0e1feb2e148ec9da60fee7d", "1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e",
        "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq", "bafzaajaiaejcahwr5d5ofrfbis4l5d6uwr57hu5tjodrypfm6yaq6dsc2r2pzyt6",
        "k51qzi5uqu5dgy8qsq67hbz73jqkw87l3fgf4a91qb0d9b5173tir7n4vxk1oe", "mQ9_xDDOKy75dnQx_vMDLhmNRek")]
    public void Encodings_and_names(string seed, string publicKey, string peerId, string cid, string base36, string id)
    {
        string protobuf = "08011240" + seed + publicKey;
        Assert.True(PrivateKey.TryFromProtobuf(Hex.Bytes(protobuf), out PrivateKey? key));
        using (key)
        {
            byte[] written = new byte[PrivateKey.ProtobufLength];
            key.CopyProtobuf(written);
            Assert.Equal(protobuf, Hex.Text(written));
            byte[] copied = new byte[Ed25519.SeedLength];
            key.CopySeed(copied);
            Assert.Equal(seed, Hex.Text(copied));
            Assert.Equal("08011220" + publicKey, Hex.Text(key.PublicKey.Protobuf));
            Assert.Equal(peerId, key.PublicKey.PeerId.ToString());
            Assert.Equal(peerId, key.PublicKey.ToString());
            Assert.Equal(cid, key.PublicKey.PeerId.ToCid().ToString());
            Assert.Equal(base36, key.PublicKey.PeerId.ToCid().ToString(MultibaseEncoding.Base36));
            Assert.Equal(id, key.PublicKey.Id.ToString());

            Assert.True(PublicKey.TryFromProtobuf(key.PublicKey.Protobuf, out PublicKey? read));
            Assert.Equal(key.PublicKey, read);
            Assert.Equal(key.PublicKey.GetHashCode(), read.GetHashCode());
            foreach (string text in new[] { peerId, cid, base36 })
            {
                Assert.True(PeerId.TryParse(text, out PeerId parsed), text);
                Assert.Equal(key.PublicKey.PeerId, parsed);
                Assert.Equal(key.PublicKey.PeerId.GetHashCode(), parsed.GetHashCode());
                Assert.True(parsed.Matches(key.PublicKey));
                Assert.True(parsed.TryGetPublicKey(out PublicKey? inId));
                Assert.Equal(key.PublicKey, inId);
            }
        }

        Assert.True(PrivateKey.TryFromProtobuf(Hex.Bytes("08011260" + seed + publicKey + publicKey), out PrivateKey? old));
        old.Dispose();
        Assert.False(PrivateKey.TryFromProtobuf(Hex.Bytes("08011260" + seed + publicKey + seed), out _));
        Assert.False(PrivateKey.TryFromProtobuf(Hex.Bytes("08011240" + seed + seed), out _));
        Assert.False(PrivateKey.TryFromProtobuf(Hex.Bytes("08011220" + seed), out _));
    }

    [Theory]
    [InlineData("")]
    [InlineData("0801")]
    [InlineData("08011200")]
    [InlineData("08001220" + Key)] // RSA
    [InlineData("08021220" + Key)]
    [InlineData("0880001220" + Key)]
    [InlineData("08011220" + Key + "00")]
    [InlineData("0801121f" + Key)]
    [InlineData("080112a000" + Key)]
    [InlineData("1220" + Key + "0801")]
    [InlineData("080112200000000000000000000000000000000000000000000000000000000000000000")]
    public void A_public_key_has_one_encoding(string hex) => Assert.False(PublicKey.TryFromProtobuf(Hex.Bytes(hex), out _));

    private const string Key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

    [Fact]
    public void Peer_ids_of_long_keys_are_hashes()
    {
        PeerId id = PeerId.Of(new byte[43]);
        Assert.StartsWith("Qm", id.ToString());
        Assert.True(PeerId.TryParse(id.ToString(), out PeerId read));
        Assert.Equal(id, read);
        Assert.False(id.TryGetPublicKey(out _));
        Assert.True(PeerId.TryParse("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N", out read)); // the specification's example
        Assert.Equal("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N", read.ToString());
        Assert.True(PeerId.TryRead(read.ToArray(), out PeerId again));
        Assert.Equal(read, again);
    }

    [Theory]
    [InlineData("")]
    [InlineData("1")]
    [InlineData("11")]
    [InlineData("12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5p")]
    [InlineData("12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pVV")]
    [InlineData("12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5p0")]
    [InlineData("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e")] // a CID of something else
    [InlineData("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5")]
    public void What_is_no_peer_id_is_refused(string text) => Assert.False(PeerId.TryParse(text, out _));

    [Fact]
    public void No_peer_id_is_nobody()
    {
        Assert.True(default(PeerId).IsNone);
        Assert.NotEqual(default, PeerId.Of([1]));
        Assert.False(PeerId.TryRead([], out _));
        Assert.False(PeerId.TryRead([0, 0], out _));
        Assert.False(PeerId.TryRead([0, 43, .. new byte[43]], out _));
        Assert.Equal("", default(PeerId).ToString());
        Assert.False(default(PeerId).TryGetPublicKey(out _));
    }

    [Fact]
    public void Generated_keys_differ_and_sign()
    {
        using PrivateKey a = PrivateKey.Generate(), b = PrivateKey.Generate();
        Assert.NotEqual(a.PublicKey, b.PublicKey);
        Assert.True(a.PublicKey.Verify("x"u8, a.Sign("x"u8)));
        Assert.False(b.PublicKey.Verify("x"u8, a.Sign("x"u8)));
        using X25519Key c = X25519Key.Generate(), d = X25519Key.Generate();
        byte[] cd = new byte[32], dc = new byte[32];
        Assert.True(c.TryAgree(d.PublicKey, cd) && d.TryAgree(c.PublicKey, dc));
        Assert.Equal(cd, dc);
    }

    [Fact]
    public void A_disposed_key_is_overwritten_and_signs_no_more()
    {
        PrivateKey key = PrivateKey.Generate();
        var seed = (byte[])typeof(PrivateKey).GetField("_seed", BindingFlags.NonPublic | BindingFlags.Instance)!.GetValue(key)!;
        Assert.Contains(seed, b => b != 0);
        byte[] signature = key.Sign("x"u8);
        key.Dispose();
        key.Dispose();
        Assert.All(seed, b => Assert.Equal(0, b));
        Assert.Throws<ObjectDisposedException>(() => key.Sign("x"u8));
        Assert.Throws<ObjectDisposedException>(() => key.CopySeed(new byte[32]));
        Assert.True(key.PublicKey.Verify("x"u8, signature)); // the public half lives on
        X25519Key agreeing = X25519Key.Generate();
        agreeing.Dispose();
        Assert.Throws<ObjectDisposedException>(() => agreeing.TryAgree(new byte[32], new byte[32]));
    }

    [Fact]
    public void Seeds_of_another_length_are_refused()
    {
        Assert.Throws<ArgumentException>(() => PrivateKey.FromSeed(new byte[31]));
        Assert.Throws<ArgumentException>(() => PrivateKey.FromSeed(new byte[64]));
        Assert.Throws<ArgumentException>(() => X25519Key.Create(new byte[31]));
    }

    [Fact]
    public void Keys_are_used_by_many_threads_at_once()
    {
        using PrivateKey key = PrivateKey.Generate();
        Parallel.For(0, 200, i =>
        {
            byte[] message = BitConverter.GetBytes(i);
            Assert.True(key.PublicKey.Verify(message, key.Sign(message)));
        });
    }

    [Fact]
    public void Ids_come_back_from_text_and_from_folder_names()
    {
        LeitherId id = LeitherId.Parse("NdXXLUux5NQ39niPjIv7b-DVi2c");
        Assert.Equal(LeitherId.TextLength, id.ToString().Length);
        Assert.Equal(id, new LeitherId(id.ToArray()));
        Assert.Equal(id.GetHashCode(), new LeitherId(id.ToArray()).GetHashCode());
        Assert.Equal(32, id.ToBase32().Length);
        Assert.True(LeitherId.TryParseBase32(id.ToBase32(), out LeitherId fromFolder));
        Assert.Equal(id, fromFolder);
        Assert.NotEqual(id, LeitherId.Of("x"u8));
        Assert.True(LeitherId.TryParse(new LeitherId(Hex.Bytes("f800000000000000000000000000000000000000")).ToString(), out LeitherId dash));
        Assert.StartsWith("-", dash.ToString());
    }

    [Theory]
    [InlineData("")]
    [InlineData("NdXXLUux5NQ39niPjIv7b-DVi2")]
    [InlineData("NdXXLUux5NQ39niPjIv7b-DVi2cA")]
    [InlineData("NdXXLUux5NQ39niPjIv7b-DVi2d")] // left-over bits: a second text of the same id
    [InlineData("NdXXLUux5NQ39niPjIv7b+DVi2c")]
    [InlineData("NdXXLUux5NQ39niPjIv7b-DVi2=")]
    public void What_is_no_id_is_refused(string text)
    {
        Assert.False(LeitherId.TryParse(text, out _));
        Assert.Throws<FormatException>(() => LeitherId.Parse(text));
    }
}
