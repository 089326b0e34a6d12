using System.Buffers.Binary;
using System.Security.Cryptography;
using Leither.Ipfs.Car;
using Leither.Ipfs.DagCbor;
using Leither.Ipfs.DagPb;
using Leither.Ipfs.Multiformats;
using Xunit;

namespace Leither.Ipfs.Tests.Car;

public sealed class CarTests
{
    // A root { link: <raw "leaf"> } and the leaf, as @ipld/car 5.4 writes them.
    private const string JsHeader = "3aa265726f6f747381d82a58250001711220a29d4668fa264381556290ffca174b26463dcbbe06267ebcac7974d045bf46fb6776657273696f6e01";
    private const string JsRoot = "5301711220a29d4668fa264381556290ffca174b26463dcbbe06267ebcac7974d045bf46fba1646c696e6bd82a582500015512209f91161f43433e49a6de6db680d79f60159f2e4ac9172621a12846428158440b";
    private const string JsLeaf = "28015512209f91161f43433e49a6de6db680d79f60159f2e4ac9172621a12846428158440b6c656166";
    private const string JsCar = JsHeader + JsRoot + JsLeaf;

    // A header of version 1 without roots.
    private const string NoRoots = "11a265726f6f7473806776657273696f6e01";

    private static readonly Cid _leaf = Cid.Of(Multicodec.Raw, "leaf"u8);

    /// <summary>The CAR that the specification describes as "carv1-basic": its contents, places and sum are published.</summary>
    [Fact]
    public void The_published_basic_CAR_of_version_1()
    {
        byte[] cccc = "cccc"u8.ToArray(), bbbb = "bbbb"u8.ToArray(), aaaa = "aaaa"u8.ToArray();
        byte[] first = new PbNode([new(Cid.Of(Multicodec.Raw, aaaa), "cat", 4)]).Encode();
        byte[] second = new PbNode([new(Cid.Of(Multicodec.Raw, bbbb), "dog", 4), new(V0(first), "first", 51)]).Encode();
        byte[] third = new PbNode([new(Cid.Of(Multicodec.Raw, cccc), "bear", 4), new(V0(second), "second", 149)]).Encode();
        byte[] blip = Named(V0(third), "blip"), limbo = Named(null, "limbo");
        (Cid Cid, byte[] Block, int Offset, string Name)[] blocks =
        [
            (Cid.Of(Multicodec.DagCbor, blip), blip, 100, "bafyreihyrpefhacm6kkp4ql6j6udakdit7g3dmkzfriqfykhjw6cad5lrm"),
            (V0(third), third, 192, "QmNX6Tffavsya4xgBi2VJQnSuqy9GsxongxZZ9uZBqp16d"),
            (Cid.Of(Multicodec.Raw, cccc), cccc, 325, "bafkreifw7plhl6mofk6sfvhnfh64qmkq73oeqwl6sloru6rehaoujituke"),
            (V0(second), second, 366, "QmWXZxVQ9yZfhQxLD35eDR8LiMRsYtHxYqTFCBbJoiJVys"),
            (Cid.Of(Multicodec.Raw, bbbb), bbbb, 496, "bafkreiebzrnroamgos2adnbpgw5apo3z4iishhbdx77gldnbk57d4zdio4"),
            (V0(first), first, 537, "QmdwjhxpxzcMsR3qUuj7vUL8pbA7MgR3GAxWi2GLHjsKCT"),
            (Cid.Of(Multicodec.Raw, aaaa), aaaa, 619, "bafkreidbxzk2ryxwwtqxem4l3xyyjvw35yu4tcct4cqeqxwo47zhxgxqwq"),
            (Cid.Of(Multicodec.DagCbor, limbo), limbo, 660, "bafyreidj5idub6mapiupjwjsyyxhyhedxycv4vihfsicm2vt46o7morwlm"),
        ];
        var stream = new MemoryStream();
        CarWriter writer = CarWriter.Create(stream, blocks[0].Cid, blocks[7].Cid);
        foreach ((Cid cid, byte[] block, _, string name) in blocks)
        {
            Assert.Equal(name, cid.ToString());
            writer.Write(cid, block);
        }

        writer.Complete();
        Assert.Equal(715, stream.Length);
        Assert.Equal("543ff9c45bbcb5c439e8f8683115cf97fc5de6bb14175a749055304427c33c2e", Hex.Text(SHA256.HashData(stream.ToArray())));

        CarReader reader = CarReader.Open(new MemoryStream(stream.ToArray()));
        Assert.Equal((1, 2), (reader.Version, reader.Roots.Count));
        Assert.Equal([blocks[0].Cid, blocks[7].Cid], reader.Roots);
        foreach ((Cid cid, byte[] block, int offset, _) in blocks)
        {
            Assert.True(reader.Read());
            Assert.Equal((cid, offset), (reader.Cid, reader.Offset));
            Assert.Equal(block, reader.Block.ToArray());
        }

        Assert.False(reader.Read());
        Assert.False(reader.Read());

        static byte[] Named(Cid? link, string name)
        {
            var node = new DagCborWriter();
            node.WriteMapStart(2);
            node.WriteKey("link"u8);
            if (link is { } cid)
            {
                node.WriteCid(cid);
            }
            else
            {
                node.WriteNull();
            }

            node.WriteKey("name"u8);
            node.WriteText(name);
            return node.ToArray();
        }
    }

    /// <summary>The data of the specification's "carv2-basic", in a version 2 around it.</summary>
    [Fact]
    public void The_published_basic_CAR_of_version_2()
    {
        byte[] fish = "fish"u8.ToArray(), lobster = "lobster"u8.ToArray();
        byte[] fishmonger = new PbNode([new(Cid.Of(Multicodec.Raw, fish), "fishmonger", 4)]).Encode();
        byte[] barreleye = new PbNode([new(V0(fishmonger), "barreleye", 58), new(Cid.Of(Multicodec.Raw, lobster), "\U0001F421", 7)]).Encode();
        byte[] root = new PbNode([new(V0(barreleye), "\U0001F364", 164)]).Encode();
        Assert.Equal("QmfEoLyB5NndqeKieExd1rtJzTduQUPEV8TwAYcUiy3H5Z", V0(root).ToString());
        var stream = new MemoryStream();
        CarWriter writer = CarWriter.CreateV2(stream, V0(root));
        writer.Write(V0(root), root);
        writer.Write(V0(barreleye), barreleye);
        writer.Write(V0(fishmonger), fishmonger);
        writer.Write(Cid.Of(Multicodec.Raw, fish), fish);
        writer.Write(Cid.Of(Multicodec.Raw, lobster), lobster);
        writer.Complete();
        byte[] car = stream.ToArray();
        Assert.Equal("0aa16776657273696f6e02", Hex.Text(car.AsSpan(0, 11)));
        Assert.Equal((51L, 448L, 499L), (Number(27), Number(35), Number(43)));
        Assert.Equal("14b3a143890753d227c3ea1f70f44ffbd7da36ea8b43612fdeeee5942e69ff54", Hex.Text(SHA256.HashData(car.AsSpan(51, 448))));

        // The index: one function, one width, 200 bytes; the offsets are those that are published, less the 51 bytes in front.
        ReadOnlySpan<byte> index = car.AsSpan(499);
        Assert.Equal("8108" + "01000000" + "1200000000000000" + "01000000" + "28000000" + "c800000000000000", Hex.Text(index[..30]));
        int[] offsets = [455 - 51, 414 - 51, 325 - 51, 190 - 51, 108 - 51];
        Cid[] cids = [Cid.Of(Multicodec.Raw, lobster), Cid.Of(Multicodec.Raw, fish), V0(fishmonger), V0(barreleye), V0(root)];
        for (int i = 0; i < 5; i++)
        {
            ReadOnlySpan<byte> entry = index.Slice(30 + i * 40, 40);
            Assert.Equal(Hex.Text(cids[i].Multihash.ToArray().AsSpan(2)), Hex.Text(entry[..32]));
            Assert.Equal(offsets[i], BinaryPrimitives.ReadInt64LittleEndian(entry[32..]));
        }

        Assert.Equal(230, index.Length);

        CarReader reader = CarReader.Open(new MemoryStream(car));
        Assert.Equal(2, reader.Version);
        Assert.Equal([V0(root)], reader.Roots);
        int count = 0;
        for (; reader.Read(); count++)
        {
            Assert.Contains(reader.Cid, cids);
            Assert.Contains((int)reader.Offset, offsets);
        }

        Assert.Equal(5, count);

        long Number(int at) => BinaryPrimitives.ReadInt64LittleEndian(car.AsSpan(at));
    }

    [Fact]
    public void A_CAR_that_JavaScript_wrote_is_read_and_written_the_same()
    {
        CarReader reader = CarReader.Open(new MemoryStream(Hex.Bytes(JsCar)));
        var copy = new MemoryStream();
        CarWriter writer = CarWriter.Create(copy, reader.Roots);
        while (reader.Read())
        {
            writer.Write(reader.Cid, reader.Block.Span);
        }

        writer.Complete();
        Assert.Equal(2, writer.BlockCount);
        Assert.Equal(JsCar, Hex.Text(copy.ToArray()));
        Assert.Equal([Cid.Of(Multicodec.DagCbor, Hex.Bytes(JsRoot).AsSpan(1 + Cid.UsualLength))], reader.Roots);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(100_000)]
    public async Task Blocks_of_all_sizes_come_back_however_the_bytes_arrive(int atOnce)
    {
        var random = new Random(5);
        var blocks = new List<(Cid Cid, byte[] Block)>();
        foreach (int length in atOnce == 1 ? [0, 1, 100, 70_000] : (int[])[0, 1, 60_000, 65_536, 70_000, CarFormat.MaxBlockLength, 3, 5000, 65_500, 40])
        {
            byte[] block = new byte[length];
            random.NextBytes(block);
            blocks.Add((Cid.Of(Multicodec.Raw, block), block));
        }

        blocks.Add(blocks[1]); // twice is allowed
        blocks.Add((Cid.Create(Multicodec.Raw, Multihash.Identity("inline"u8)), "inline"u8.ToArray()));
        blocks.Add((Cid.Create(Multicodec.Raw, Multihash.Sha512("sha-512"u8)), "sha-512"u8.ToArray()));
        foreach (int version in new[] { 1, 2 })
        {
            foreach (bool asynchronously in new[] { false, true })
            {
                var stream = new MemoryStream();
                stream.Write("in front"u8); // a CAR may begin anywhere in a stream
                CarWriter writer = version == 1 ? CarWriter.Create(stream, blocks[0].Cid) : CarWriter.CreateV2(stream, blocks[0].Cid);
                foreach ((Cid cid, byte[] block) in blocks)
                {
                    if (asynchronously)
                    {
                        await writer.WriteAsync(cid, block);
                    }
                    else
                    {
                        writer.Write(cid, block);
                    }
                }

                if (asynchronously)
                {
                    await writer.CompleteAsync();
                }
                else
                {
                    writer.Complete();
                }

                Assert.Equal(stream.Length, stream.Position);
                Assert.Throws<ObjectDisposedException>(() => writer.Write(blocks[0].Cid, blocks[0].Block));
                var source = new DribblingStream(stream.ToArray()[8..], atOnce);
                CarReader reader = asynchronously ? await CarReader.OpenAsync(source) : CarReader.Open(source);
                Assert.Equal(version, reader.Version);
                foreach ((Cid cid, byte[] block) in blocks)
                {
                    Assert.True(asynchronously ? await reader.ReadAsync() : reader.Read());
                    Assert.Equal(cid, reader.Cid);
                    Assert.True(reader.Block.Span.SequenceEqual(block));
                }

                Assert.False(asynchronously ? await reader.ReadAsync() : reader.Read());
            }
        }
    }

    [Fact]
    public void Roots_and_blocks_may_be_none()
    {
        CarReader reader = CarReader.Open(new MemoryStream(Hex.Bytes(NoRoots)));
        Assert.Empty(reader.Roots);
        Assert.False(reader.Read());
        var stream = new MemoryStream();
        CarWriter.Create(stream).Complete();
        Assert.Equal(NoRoots, Hex.Text(stream.ToArray()));
        stream = new MemoryStream();
        CarWriter.CreateV2(stream).Complete();
        Assert.Equal("8108" + "00000000", Hex.Text(stream.ToArray().AsSpan(51 + 18)));
    }

    [Fact]
    public void Data_of_a_version_2_is_found_by_its_offset_and_ends_by_its_size()
    {
        byte[] data = Hex.Bytes(JsCar);
        foreach (int padding in new[] { 0, 1, 1413, 200_000 })
        {
            // Behind the data stand bytes that would be blocks, were the size not heeded.
            byte[] car = [.. V2(51 + padding, data.Length, 0), .. new byte[padding], .. data, .. Hex.Bytes(JsLeaf)];
            CarReader reader = CarReader.Open(new DribblingStream(car, 1000));
            Assert.True(reader.Read());
            Assert.Equal(59, reader.Offset);
            Assert.True(reader.Read());
            Assert.Equal(_leaf, reader.Cid);
            Assert.False(reader.Read());
        }
    }

    [Theory]
    [InlineData("", "nothing at all")]
    [InlineData("00", "no header")]
    [InlineData("8000", "a length longer than it needs to be")]
    [InlineData("ffffffffffffffffff01", "a length beyond nine bytes")]
    [InlineData("ffffffffffffffff7f", "a header that cannot be")]
    [InlineData("818040", "a header over the limit")]
    [InlineData("e0e0e0e0a706", "a header over the limit")]
    [InlineData("11a265726f6f7473806776657273696f6e", "a header cut off")]
    [InlineData("11", "a header cut off")]
    [InlineData("80", "a length cut off")]
    [InlineData("01f6", "a header that is null")]
    [InlineData("0aa16776657273696f6e01", "no list of roots")]
    [InlineData("0aa16776657273696f6e02", "a version 2 cut off")]
    [InlineData("0ba16776657273696f6e182a", "version 42")]
    [InlineData("11a265726f6f7473806776657273696f6e02", "version 2 with roots")]
    [InlineData("11a265726f6f7473f66776657273696f6e01", "roots that are null")]
    [InlineData("12a265726f6f747381006776657273696f6e01", "a root that is a number")]
    [InlineData("11a26776657273696f6e0165726f6f747380", "keys out of order")]
    [InlineData("13a365726f6f7473806776657273696f6e016178f6", "a key too many")]
    [InlineData("12a265726f6f7473806776657273696f6e0100", "more than a header")]
    public void Malformed_headers_are_refused(string hex, string why)
    {
        Assert.Throws<CarException>(() => CarReader.Open(new MemoryStream(Hex.Bytes(hex))));
        Assert.NotEmpty(why);
    }

    [Theory]
    [InlineData("00", "an empty entry")]
    [InlineData("80", "a length cut off")]
    [InlineData("8000", "a length longer than it needs to be")]
    [InlineData("ffffffffffffffffff01", "a length beyond nine bytes")]
    [InlineData("ffffffffffffffff7f", "a block that cannot be")]
    [InlineData("a6818001", "a block over the limit")]
    [InlineData("e0e0e0e0a706", "a block over the limit")]
    [InlineData("28015512209f91161f43433e49a6de6db680d79f60159f2e4ac9172621a12846428158440b6c6561", "a block cut off")]
    [InlineData("28015512209f91161f43433e49a6de6db680d79f60159f2e4ac9172621a12846428158440b6c656167", "another block than its CID names")]
    [InlineData("27015512209f91161f43433e49a6de6db680d79f60159f2e4ac9172621a12846428158440b6c6561", "another block than its CID names")]
    [InlineData("24015512209f91161f43433e49a6de6db680d79f60159f2e4ac9172621a12846428158440b", "a block that is missing")]
    [InlineData("23015512209f91161f43433e49a6de6db680d79f60159f2e4ac9172621a12846428158440b", "a CID that reaches beyond its entry")]
    [InlineData("0402551200", "a CID of version 2")]
    [InlineData("0101", "a CID cut off")]
    [InlineData("0501550001ff", "another block than the CID holds")]
    [InlineData("290155a0e402209f91161f43433e49a6de6db680d79f60159f2e4ac9172621a12846428158440b6c65616600", "a hash function that nobody here knows")]
    [InlineData("1c015512149f91161f43433e49a6de6db680d79f60159f2e4a6c656166", "a truncated hash")]
    public void Malformed_blocks_are_refused_and_never_given_out(string hex, string why)
    {
        byte[] good = Hex.Bytes(JsCar);
        byte[] bytes = [.. good, .. Hex.Bytes(hex)];
        CarReader reader = CarReader.Open(new MemoryStream(bytes));
        Assert.True(reader.Read());
        Assert.True(reader.Read());
        var exception = Assert.Throws<CarException>(() => reader.Read());
        Assert.True(exception.Position == good.Length, why);

        // The same at the end of a version 2's data, also when the data ends inside of it.
        byte[] v2 = [.. V2(51, bytes.Length, 0), .. bytes];
        reader = CarReader.Open(new DribblingStream(v2, 1));
        Assert.True(reader.Read() && reader.Read());
        Assert.Throws<CarException>(() => reader.Read());
    }

    [Fact]
    public void A_CAR_that_is_cut_anywhere_but_between_blocks_is_refused()
    {
        byte[] car = Hex.Bytes(JsCar);
        int[] between = [JsHeader.Length / 2, (JsHeader + JsRoot).Length / 2, car.Length];
        for (int length = 0; length <= car.Length; length++)
        {
            byte[] cut = car[..length];
            if (between.Contains(length))
            {
                ReadAll(cut);
            }
            else
            {
                Assert.Throws<CarException>(() => ReadAll(cut));
            }

            // A version 2 knows how much there should be.
            byte[] v2 = [.. V2(51, car.Length, 0), .. cut];
            if (length < car.Length)
            {
                Assert.Throws<CarException>(() => ReadAll(v2));
                byte[] shorter = [.. V2(51, length, 0), .. car];
                if (!between.Contains(length))
                {
                    Assert.Throws<CarException>(() => ReadAll(shorter));
                }
            }
        }

        Assert.Throws<CarException>(() => ReadAll([.. V2(51, car.Length, 0).AsSpan(0, 50)]));
    }

    [Theory]
    [InlineData(0, 448, 0)]
    [InlineData(50, 448, 0)] // within the header
    [InlineData(51, 0, 0)] // no room for a header
    [InlineData(51, -1, 0)]
    [InlineData(-1, 448, 0)]
    [InlineData(51, long.MaxValue, 0)]
    [InlineData(long.MaxValue, 448, 0)]
    [InlineData(51, 448, 498)] // an index within the data
    [InlineData(51, 448, 1)]
    public void Places_in_a_version_2_that_do_not_fit_together_are_refused(long offset, long size, long index)
    {
        byte[] car = [.. V2(offset, size, index), .. new byte[600]];
        Assert.Throws<CarException>(() => CarReader.Open(new MemoryStream(car)));
    }

    [Fact]
    public void A_version_2_within_a_version_2_is_refused()
    {
        byte[] inner = [.. V2(51, Hex.Bytes(JsCar).Length, 0), .. Hex.Bytes(JsCar)];
        byte[] car = [.. V2(51, inner.Length, 0), .. inner];
        Assert.Throws<CarException>(() => CarReader.Open(new MemoryStream(car)));
    }

    [Fact]
    public void Claimed_lengths_reserve_no_more_than_the_largest_block()
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        byte[] car = [.. Hex.Bytes(NoRoots), 0x80, 0x80, 0x80, 0x01]; // 2 MiB that do not come
        for (int i = 0; i < 5; i++)
        {
            CarReader reader = CarReader.Open(new MemoryStream(car));
            Assert.Throws<CarException>(() => reader.Read());
        }

        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 5 * (CarFormat.MaxBlockLength + 500_000L));
    }

    [Fact]
    public void What_no_reader_would_take_is_not_written()
    {
        CarWriter writer = CarWriter.Create(new MemoryStream(), _leaf);
        Assert.Throws<ArgumentException>(() => writer.Write(_leaf, new byte[CarFormat.MaxBlockLength + 1]));
        Assert.Throws<ArgumentException>(() => writer.Write(default, "leaf"u8));
        Assert.Throws<ArgumentException>(() => CarWriter.Create(new MemoryStream(), default(Cid)));
        Assert.Throws<ArgumentException>(() => CarWriter.CreateV2(new DribblingStream([], 1), _leaf));
        var many = new Cid[CarFormat.MaxHeaderLength / 40];
        Array.Fill(many, _leaf);
        Assert.Throws<ArgumentException>(() => CarWriter.Create(new MemoryStream(), many));
        Cid[] largest = many[..20_000];
        var stream = new MemoryStream();
        CarWriter.Create(stream, largest).Complete();
        Assert.Equal(largest, CarReader.Open(new MemoryStream(stream.ToArray())).Roots);
    }

    private static Cid V0(byte[] block) => Cid.CreateV0(Multihash.Sha256(block));

    private static byte[] V2(long offset, long size, long index)
    {
        byte[] prefix = new byte[51];
        Hex.Bytes("0aa16776657273696f6e02").CopyTo(prefix, 0);
        BinaryPrimitives.WriteInt64LittleEndian(prefix.AsSpan(27), offset);
        BinaryPrimitives.WriteInt64LittleEndian(prefix.AsSpan(35), size);
        BinaryPrimitives.WriteInt64LittleEndian(prefix.AsSpan(43), index);
        return prefix;
    }

    private static void ReadAll(byte[] car)
    {
        CarReader reader = CarReader.Open(new MemoryStream(car));
        while (reader.Read())
        {
            Assert.True(reader.Cid.Verify(reader.Block.Span));
        }
    }
}
