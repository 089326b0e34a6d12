using System.Text;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.DagCbor;
using Leither.Ipfs.DagPb;
using Leither.Ipfs.Multiformats;
using Leither.Ipfs.UnixFs;
using Leither.TestKit;
using Xunit;

namespace Leither.Ipfs.Tests.UnixFs;

public sealed class ExportTests : IDisposable
{
    private readonly MemoryBlockstore _store = new();

    public void Dispose() => _store.Dispose();

    [Theory]
    [InlineData("unixfs-v0-2015")]
    [InlineData("unixfs-v1-2025")]
    public void Any_range_of_a_file_is_read_without_what_lies_before_it(string name)
    {
        UnixFsProfile profile = UnixFsProfile.Find(name)! with { ChunkBytes = 64, MaxLinks = 4 };
        byte[] bytes = new byte[64 * 50 + 13];
        Seed.Run(random => random.NextBytes(bytes));
        Cid cid = new UnixFsImporter(_store, profile).AddFile(new MemoryStream(bytes)).Cid;
        using var file = new UnixFsStream(_store, cid);
        byte[] read = new byte[bytes.Length];
        Seed.Run(random =>
        {
            for (int i = 0; i < 2000; i++)
            {
                int from = random.Next(bytes.Length + 20), length = random.Next(300);
                file.Position = from;
                int got = file.Read(read, 0, length);
                Assert.Equal(bytes.Skip(from).Take(length), read.Take(got));
            }
        });

        var needed = new CountingSource(_store);
        using var sought = new UnixFsStream(needed, cid);
        sought.Seek(-1, SeekOrigin.End);
        Assert.Equal(bytes[^1], sought.ReadByte());
        Assert.Equal(-1, sought.ReadByte());
        Assert.Equal(4, needed.Loads); // three levels and a leaf
    }

    [Fact]
    public void A_part_that_is_not_here_is_named_and_others_are_read()
    {
        byte[] bytes = [.. Enumerable.Range(0, 100).Select(i => (byte)i)];
        Cid cid = new UnixFsImporter(_store, UnixFsProfile.V1 with { ChunkBytes = 10, MaxLinks = 20 }).AddFile(new MemoryStream(bytes)).Cid;
        Cid lost = UnixFsNode.Load(_store, cid).Links[3].Cid;
        _store.Delete(lost);
        using var file = new UnixFsStream(_store, cid);
        Assert.Equal(lost, Assert.Throws<BlockMissingException>(() => file.CopyTo(Stream.Null)).Cid);
        file.Position = 40;
        Assert.Equal(40, file.ReadByte());
    }

    [Fact]
    public void Sizes_that_disagree_are_refused_where_they_are_met()
    {
        Cid leaf = Put(Multicodec.Raw, [1, 2, 3]);
        Refused(File(3, [3, 0], leaf, leaf), null); // what is said to be empty is never looked at
        Refused(File(4, [4], leaf), "3 bytes of a file where");
        Refused(File(2, [2], leaf), "3 bytes of a file where");
        Refused(File(5, [3], leaf), "said to have 5 bytes");
        Refused(File(3, [3], leaf, leaf), "2 links, but 1 block sizes");
        Refused(File(ulong.MaxValue - 1, [ulong.MaxValue, ulong.MaxValue], leaf, leaf), "63 bits");
        Refused(File(3, [3], new UnixFsImporter(_store, UnixFsProfile.V1).AddDirectory([]).Cid), "is a Directory");
        Refused(Node([new PbLink(leaf, "name", 3)], new UnixFsData { Type = UnixFsType.File, FileSize = 3, BlockSizes = [3] }), "has a name");
        Refused(Put(Multicodec.DagPb, new PbNode([], null).Encode()), "no data");
        Refused(Put(Multicodec.DagPb, new PbNode([], [8, 9]).Encode()), "type 9");
        Refused(Put(Multicodec.DagCbor, [0xA0]), "codec 0x71");
    }

    [Fact]
    public void A_tree_that_goes_on_down_is_given_up()
    {
        Cid cid = Put(Multicodec.Raw, [7]);
        for (int i = 0; i < UnixFsStream.MaxDepth - 1; i++) cid = File(1, [1], cid);
        using (var file = new UnixFsStream(_store, cid)) Assert.Equal(7, file.ReadByte());
        Refused(File(1, [1], cid), "deep");
    }

    [Fact]
    public void A_file_of_a_petabyte_made_of_few_blocks_is_sought_in_no_time()
    {
        Cid cid = Put(Multicodec.Raw, new byte[1024]);
        ulong size = 1024;
        for (int i = 0; i < 4; i++)
        {
            Cid child = cid;
            ulong childSize = size;
            cid = File(childSize * 1000, [.. Enumerable.Repeat(childSize, 1000)], [.. Enumerable.Repeat(child, 1000)]);
            size *= 1000;
        }

        using var file = new UnixFsStream(_store, cid);
        Assert.Equal(1024L * 1000 * 1000 * 1000 * 1000, file.Length);
        file.Seek(-10, SeekOrigin.End);
        Assert.Equal(10, file.Read(new byte[100]));
    }

    [Fact]
    public void A_directory_whose_names_repeat_or_lead_elsewhere_is_not_written()
    {
        using var folder = new TempDir("unixfs");
        Cid file = Put(Multicodec.Raw, "x"u8.ToArray());
        int at = 0;
        foreach (string name in (string[])["..", ".", "a/b", "", "a\0", "/etc/x"])
        {
            Cid directory = Node([new PbLink(file, name, 1)], new UnixFsData { Type = UnixFsType.Directory });
            Assert.Throws<UnixFsException>(() => new UnixFsExporter(_store).Write(directory, folder.File($"out{at++}")));
        }

        Cid twice = Node([new PbLink(file, "b", 1), new PbLink(file, "a", 1), new PbLink(file, "a", 1)], new UnixFsData { Type = UnixFsType.Directory });
        Assert.Throws<UnixFsException>(() => UnixFsDirectory.List(_store, UnixFsNode.Load(_store, twice)).Count());
        Assert.Throws<UnixFsException>(() => new UnixFsExporter(_store).Write(twice, folder.File("twice")));
        Assert.Equal(file, UnixFsPath.Resolve(_store, $"{twice}/a").Cid);
    }

    [Fact]
    public void Nothing_is_written_through_a_link()
    {
        using var folder = new TempDir("unixfs");
        Directory.CreateDirectory(folder.File("outside"));
        Cid link = new UnixFsImporter(_store, UnixFsProfile.V1).AddSymlink(folder.File("outside")).Cid;
        Cid inner = Node([new PbLink(Put(Multicodec.Raw, "x"u8.ToArray()), "evil", 1)], new UnixFsData { Type = UnixFsType.Directory });
        Cid root = Put(Multicodec.DagPb, new PbNode([new PbLink(link, "d", 1), new PbLink(inner, "d", 1)], new UnixFsData { Type = UnixFsType.Directory }.Encode()).Encode());
        Assert.Throws<UnixFsException>(() => new UnixFsExporter(_store).Write(root, folder.File("out")));
        Assert.Empty(Directory.GetFileSystemEntries(folder.File("outside")));

        System.IO.File.CreateSymbolicLink(folder.File("dangling"), folder.File("outside/made"));
        Assert.Throws<IOException>(() => new UnixFsExporter(_store).Write(Put(Multicodec.Raw, [1]), folder.File("dangling")));
        Assert.Empty(Directory.GetFileSystemEntries(folder.File("outside")));
    }

    [Fact]
    public void Shards_that_contradict_themselves_are_refused()
    {
        Cid file = Put(Multicodec.Raw, "x"u8.ToArray());
        string name = "470.txt"; // the specification's example: places 00 and then 6E
        Cid Shard(byte[] field, ulong fanout, params PbLink[] links) => Node(links, new UnixFsData { Type = UnixFsType.HamtShard, Data = field, HashType = 0x22, Fanout = fanout });
        byte[] Field(int place)
        {
            byte[] field = new byte[32];
            field[31 - place / 8] = (byte)(1 << (place % 8));
            return field;
        }

        Cid good = Shard(Field(0), 256, new PbLink(Shard(Field(0x6E), 256, new PbLink(file, "6E" + name, 1)), "00", 1));
        UnixFsLink entry = Assert.Single(UnixFsDirectory.List(_store, UnixFsNode.Load(_store, good)));
        Assert.Equal((name, file), (entry.Name, entry.Cid));
        Assert.Equal(file, UnixFsPath.Resolve(_store, $"{good}/{name}").Cid);

        foreach (Cid bad in (Cid[])[
            Shard(Field(1), 256, new PbLink(file, "01" + name, 1)), // not where the name belongs
            Shard(Field(1), 256, new PbLink(file, "00" + name, 1)), // the field says otherwise
            Shard([], 256, new PbLink(file, "00" + name, 1)),
            Shard(new byte[33], 256),
            Shard(Field(0), 256, new PbLink(file, "zz" + name, 1)),
            Shard(Field(0), 256, new PbLink(file, "", 1)),
            Shard(Field(0), 2048, new PbLink(file, "00" + name, 1)),
            Shard(Field(0), 255, new PbLink(file, "00" + name, 1)),
            Shard(Field(0), 256, new PbLink(Shard([], 256), "00", 1)), // empty below
            Shard(Field(0), 256, new PbLink(Shard([1], 8, new PbLink(file, "0" + name, 1)), "00", 1)),
            Shard(Field(0), 256, new PbLink(file, "00", 1)), // a file where a shard belongs
            Node([], new UnixFsData { Type = UnixFsType.HamtShard, HashType = 0x12, Fanout = 256 })])
        {
            Assert.Throws<UnixFsException>(() => UnixFsDirectory.List(_store, UnixFsNode.Load(_store, bad)).Count());
        }
    }

    [Fact]
    public void Paths_lead_through_DAG_CBOR_into_directories()
    {
        var importer = new UnixFsImporter(_store, UnixFsProfile.V1);
        Cid file = Put(Multicodec.Raw, "x"u8.ToArray());
        Cid directory = importer.AddDirectory([new NewEntry("f", file, 1)]).Cid;
        var writer = new DagCborWriter();
        writer.WriteMapStart(2);
        writer.WriteKey("n"u8);
        writer.WriteInt64(5);
        writer.WriteKey("list"u8);
        writer.WriteArrayStart(2);
        writer.WriteNull();
        writer.WriteCid(directory);
        Cid root = writer.ToCid();
        _store.Put(root, writer.Written);

        ResolvedPath found = UnixFsPath.Resolve(_store, $"/ipfs/{root}/list/1/f");
        Assert.Equal(file, found.Cid);
        Assert.Equal([root, directory, file], found.Roots);
        Assert.Equal(["n"], UnixFsPath.Resolve(_store, $"{root}/n").Rest);
        Assert.Equal(directory, UnixFsPath.Resolve(_store, $"{root}/list/1").Cid);
        Assert.True(Assert.Throws<UnixFsPathException>(() => UnixFsPath.Resolve(_store, $"{root}/list/2")).IsMissing);
        Assert.False(Assert.Throws<UnixFsPathException>(() => UnixFsPath.Resolve(_store, $"{root}/n/x")).IsMissing);
        Assert.False(Assert.Throws<UnixFsPathException>(() => UnixFsPath.Resolve(_store, $"{root}/list/1/f/x")).IsMissing);
        Assert.Throws<UnixFsPathException>(() => UnixFsPath.Resolve(_store, $"{root}/../x"));
        Assert.Throws<UnixFsPathException>(() => UnixFsPath.Parse("/ipfs/none"));
    }

    [Theory]
    [InlineData("0801", true)]
    [InlineData("08021800", true)]
    [InlineData("080118ff7f", true)]
    [InlineData("0802220203052003", true)] // packed and not
    [InlineData("08014802", true)] // a field of the future
    [InlineData("", false)]
    [InlineData("0a0108", false)]
    [InlineData("0806", false)]
    [InlineData("08010801", false)]
    [InlineData("088100", false)]
    [InlineData("08021880808080808080808080808001", false)]
    [InlineData("080212ff01", false)]
    [InlineData("080238ffffffff10", false)]
    [InlineData("08024200", false)]
    [InlineData("080242070801150000000", false)]
    [InlineData("0802420708011500000000", false)]
    [InlineData("0802420708011501000000", true)]
    [InlineData("08014b", false)]
    public void The_message_is_read_strictly(string hex, bool isGood)
    {
        if (hex.Length % 2 != 0) hex += "0";
        byte[] message = Hex.Bytes(hex);
        if (isGood) UnixFsData.Decode(message);
        else Assert.Throws<UnixFsException>(() => UnixFsData.Decode(message));
    }

    [Fact]
    public void What_is_written_is_read_as_the_same()
    {
        var data = new UnixFsData
        {
            Type = UnixFsType.File,
            Data = "abc"u8.ToArray(),
            FileSize = 1UL << 62,
            BlockSizes = [1, 300, 1UL << 40],
            HashType = 0x22,
            Fanout = 256,
            Mode = uint.MaxValue,
            Mtime = new UnixTime(-5, 999_999_999),
        };
        byte[] bytes = data.Encode();
        UnixFsData read = UnixFsData.Decode(bytes);
        Assert.Equal(bytes, read.Encode());
        Assert.Equal((data.Mode, data.Mtime, data.FileSize), (read.Mode, read.Mtime, read.FileSize));
        Assert.Equal(data.BlockSizes, read.BlockSizes);
    }

    [Fact]
    public void Damaged_blocks_end_in_an_exception_that_says_so_or_in_success()
    {
        byte[] block = _store.Get(new UnixFsImporter(_store, UnixFsProfile.V0 with { ChunkBytes = 20 }).AddFile(new MemoryStream(new byte[100]), 0x1FF, new UnixTime(5, 5)).Cid)!;
        Seed.Run(random =>
        {
            for (int i = 0; i < 20_000; i++)
            {
                byte[] damaged = [.. block];
                for (int n = random.Next(1, 4); n > 0; n--) damaged[random.Next(damaged.Length)] = (byte)random.Next(256);
                try
                {
                    UnixFsNode.Decode(Cid.Of(Multicodec.DagPb, damaged), damaged);
                }
                catch (MalformedBlockException)
                {
                }
            }
        });
    }

    private void Refused(Cid cid, string? why)
    {
        try
        {
            using var file = new UnixFsStream(_store, cid);
            file.CopyTo(Stream.Null);
            Assert.Null(why);
        }
        catch (UnixFsException e)
        {
            Assert.Contains(why ?? "nothing", e.Message, StringComparison.Ordinal);
        }
    }

    private Cid File(ulong size, ulong[] sizes, params Cid[] links) =>
        Node([.. links.Select(c => new PbLink(c, "", 1))], new UnixFsData { Type = UnixFsType.File, FileSize = size, BlockSizes = sizes });

    private Cid Node(PbLink[] links, UnixFsData data) => Put(Multicodec.DagPb, new PbNode(links, data.Encode()).Encode());

    private Cid Put(ulong codec, byte[] block)
    {
        Cid cid = Cid.Of(codec, block);
        _store.Put(cid, block);
        return cid;
    }

    private sealed class CountingSource(IBlockSource source) : IBlockSource
    {
        public int Loads { get; private set; }

        public bool Has(in Cid cid) => source.Has(cid);

        public bool TryGetLength(in Cid cid, out int length) => source.TryGetLength(cid, out length);

        public bool TryGet(in Cid cid, System.Buffers.IBufferWriter<byte> destination)
        {
            Loads++;
            return source.TryGet(cid, destination);
        }

        public IEnumerable<Cid> Cids() => source.Cids();
    }
}
