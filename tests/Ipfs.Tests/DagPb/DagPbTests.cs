using Leither.Ipfs.DagPb;
using Leither.Ipfs.Multiformats;
using Xunit;

namespace Leither.Ipfs.Tests.DagPb;

public sealed class DagPbTests
{
    private const string Link = "0a09015500050001020304";

    private static readonly Cid _cid = Cid.Parse("bafkqabiaaebagba");

    [Theory]
    [MemberData(nameof(DagPbVectors.All), MemberType = typeof(DagPbVectors))]
    public void Vectors_are_read_and_written_again_as_the_same_bytes(string name, string hex, string cid)
    {
        byte[] block = Hex.Bytes(hex);
        Assert.Equal(cid, Cid.Of(Multicodec.DagPb, block).ToString());
        PbNode node = PbNode.Decode(block, out bool isCanonical);
        Assert.True(isCanonical, name);
        Assert.Equal(hex, Hex.Text(node.Encode()));
        var links = new List<Cid>();
        Links.AddTo(links, Multicodec.DagPb, block);
        Assert.Equal(node.Links.Count, links.Count);
    }

    [Fact]
    public void A_node_is_written_with_its_links_sorted_by_name_and_equal_names_as_given()
    {
        Cid other = Cid.Parse("QmQg1v4o9xdT3Q14wh4S7dxZkDjyZ9ssFzFzyep1YrVJBY");
        var node = new PbNode([new(_cid, "foo", 3), new(other, "bar", 300), new(_cid, "é"), new(_cid, "b"), new(other, "foo"), new(_cid)], [8, 1]);
        Assert.Equal("bafybeibtyy2sf22rwqw44iwzizomlqexg4llp2pgns7fgbgoh4mvmokyhi", Cid.Of(Multicodec.DagPb, node.Encode()).ToString());
        PbNode read = PbNode.Decode(node.Encode());
        Assert.Equal([null, "b", "bar", "foo", "foo", "é"], read.Links.Select(link => link.Name));
        Assert.Equal(new PbLink(_cid, "foo", 3), read.Links[3]);
        Assert.Equal([8, 1], read.Data);
    }

    [Fact]
    public void Names_are_sorted_as_bytes_and_not_as_UTF_16()
    {
        // U+FB01 comes before U+1F600 in UTF-8, and behind it in UTF-16.
        PbNode read = PbNode.Decode(new PbNode([new(_cid, "\U0001F600"), new(_cid, "\uFB01")]).Encode(), out bool isCanonical);
        Assert.True(isCanonical);
        Assert.Equal(["\uFB01", "\U0001F600"], read.Links.Select(link => link.Name));
    }

    [Theory]
    [InlineData("0a0101" + "120b" + Link)] // data first, as go-ipfs wrote it
    [InlineData("0a00" + "120b" + Link)]
    [InlineData("120e" + Link + "120162" + "120e" + Link + "120161")] // unsorted
    [InlineData("120e" + Link + "120161" + "120b" + Link)]
    public void Other_orders_that_exist_are_read_as_they_stand_and_are_not_canonical(string hex)
    {
        byte[] block = Hex.Bytes(hex);
        PbNode node = PbNode.Decode(block, out bool isCanonical);
        Assert.False(isCanonical);
        Assert.NotEqual(block, node.Encode());
        var links = new List<Cid>();
        Links.AddTo(links, Multicodec.DagPb, block);
        Assert.All(links, link => Assert.Equal(_cid, link));
        Assert.Equal(node.Links.Count, links.Count);
    }

    [Theory]
    [InlineData("1200", "a link without a hash")]
    [InlineData("12000a050001020304", "a link without a hash, and data")]
    [InlineData("12020a00", "an empty hash")]
    [InlineData("12021200", "a name and no hash")]
    [InlineData("120b1209736f6d65206e616d65", "a name and no hash")]
    [InlineData("12021800", "a size and no hash")]
    [InlineData("120318f207", "a size and no hash")]
    [InlineData("120b" + Link + "0a0101" + "120b" + Link, "data between links")]
    [InlineData("0a01010a0101", "data twice")]
    [InlineData("120b" + Link + "0a01010a0101", "data twice")]
    [InlineData("1216" + Link + Link, "a hash twice")]
    [InlineData("1211" + Link + "120161120161", "a name twice")]
    [InlineData("120f" + Link + "18011801", "a size twice")]
    [InlineData("120d" + "1200" + Link, "a name before the hash")]
    [InlineData("1210" + Link + "1801120161", "a size before the name")]
    [InlineData("120d" + Link + "2000", "an unknown field of a link")]
    [InlineData("1a00", "an unknown field")]
    [InlineData("1000", "another wire type for links")]
    [InlineData("0801", "another wire type for data")]
    [InlineData("120d" + Link + "1a00", "another wire type for a size")]
    [InlineData("120e" + Link + "188000", "a size longer than it needs to be")]
    [InlineData("1216" + Link + "18ffffffffffffffffff01", "a size beyond 63 bits")]
    [InlineData("0a8000", "a length longer than it needs to be")]
    [InlineData("128b00" + Link, "a length longer than it needs to be")]
    [InlineData("0a02ff", "data cut off")]
    [InlineData("0affffffffffffffff7f", "a length that cannot be")]
    [InlineData("12ffffffffffffffff7f", "a length that cannot be")]
    [InlineData("120c" + Link, "a link cut off")]
    [InlineData("120a0a08015500050001020304", "a CID cut off")]
    [InlineData("120c0a0a01550005000102030400", "a CID and more")]
    [InlineData("12", "nothing behind a tag")]
    [InlineData("0a", "nothing behind a tag")]
    [InlineData("ff", "no tag")]
    [InlineData("00", "field 0")]
    public void Malformed_blocks_are_refused(string hex, string why)
    {
        byte[] block = Hex.Bytes(hex);
        Assert.Throws<DagPbException>(() => PbNode.Decode(block));
        var exception = Assert.Throws<DagPbException>(() => Links.AddTo([], Multicodec.DagPb, block));
        Assert.InRange(exception.Position, 0, block.Length);
        Assert.NotEmpty(why);
    }

    [Fact]
    public void A_name_that_is_not_UTF_8_is_refused_as_text_but_its_link_is_found()
    {
        byte[] block = Hex.Bytes("120e" + Link + "1201ff");
        Assert.Throws<DagPbException>(() => PbNode.Decode(block));
        var links = new List<Cid>();
        Links.AddTo(links, Multicodec.DagPb, block);
        Assert.Equal([_cid], links);
    }

    [Fact]
    public void A_node_that_has_no_encoding_is_not_written()
    {
        Assert.Throws<InvalidOperationException>(() => new PbNode([new(default)]).Encode());
        Assert.Throws<InvalidOperationException>(() => new PbNode([new(_cid, null, ulong.MaxValue)]).Encode());
    }
}
