using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Multiformats;
using Xunit;

namespace Leither.Ipfs.Tests;

public sealed class LinksTests
{
    [Fact]
    public void Links_come_in_the_order_in_which_they_stand_repeated_ones_too()
    {
        Cid a = Cid.Of(Multicodec.Raw, "a"u8), b = Cid.Of(Multicodec.DagCbor, "b"u8), c = Cid.CreateV0(Multihash.Sha256("c"u8));
        var writer = new DagCborWriter();
        writer.WriteMapStart(3);
        writer.WriteKey("x"u8);
        writer.WriteCid(b);
        writer.WriteKey("y"u8);
        writer.WriteArrayStart(4);
        writer.WriteBytes([0xD8, 0x2A, 0x41, 0x00]); // bytes that look like a link are none
        writer.WriteCid(a);
        writer.WriteArrayStart(1);
        writer.WriteMapStart(1);
        writer.WriteKey("/"u8);
        writer.WriteCid(c);
        writer.WriteNull();
        writer.WriteKey("z"u8);
        writer.WriteCid(b);
        Assert.Equal([b, a, c, b], Of(Multicodec.DagCbor, writer.Written));
    }

    [Fact]
    public void A_block_may_be_a_link_and_nothing_else()
    {
        Cid a = Cid.Of(Multicodec.Raw, "a"u8);
        var writer = new DagCborWriter();
        writer.WriteCid(a);
        Assert.Equal([a], Of(Multicodec.DagCbor, writer.Written));
    }

    [Fact]
    public void Raw_blocks_and_keys_have_no_links_and_unknown_codecs_are_refused()
    {
        Assert.Empty(Of(Multicodec.Raw, [0xFF, 0xD8, 0x2A]));
        Assert.Empty(Of(Multicodec.Libp2pKey, [0x08, 0x01]));
        Assert.False(Links.CanWalk(0x78));
        Assert.Throws<NotSupportedException>(() => Of(0x78, []));
    }

    private static List<Cid> Of(ulong codec, ReadOnlySpan<byte> block)
    {
        var links = new List<Cid>();
        Links.AddTo(links, codec, block);
        return links;
    }
}
