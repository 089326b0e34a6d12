using System.Buffers.Binary;
using System.Text;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Log;

/// <summary>Cutting a log and sealing its segments into linked blocks.</summary>
public sealed class SegmentChainTests
{
    private static readonly SegmentOrigin _origin = new(new LeitherId([.. Enumerable.Range(1, LeitherId.Length).Select(static i => (byte)i)]), Enumerable.Repeat((byte)0xAB, 32).ToArray());

    private readonly SimulatedDisk _disk = new(0);
    private readonly LogWorker _worker = LogWorker.Manual();

    [Fact]
    public void A_node_is_these_bytes_and_has_this_name()
    {
        var first = new SegmentNode
        {
            Mid = _origin.Mid,
            Writer = _origin.Writer,
            Epoch = 2,
            From = 1,
            Offset = 0,
            To = 1000,
            Data = Cid.Of(Multicodec.Raw, "data"u8),
        };
        string golden = "A9" // a map of nine
            + "62746F" + "1903E8"
            + "636D6964" + "540102030405060708090A0B0C0D0E0F1011121314"
            + "6464617461" + "D82A582500015512203A6EB0790F39AC87C94F3856B2DD2C5D110E6811602261A9A923D3BB23ADC8B7"
            + "6466726F6D" + "01"
            + "6470726576" + "F6"
            + "6565706F6368" + "02"
            + "66666F726D6174" + "01"
            + "666F6666736574" + "00"
            + "66777269746572" + "5820" + string.Concat(Enumerable.Repeat("AB", 32));
        Assert.Equal(golden, Convert.ToHexString(first.Encode()));
        Cid name = Cid.Of(Multicodec.DagCbor, first.Encode());
        Assert.Equal("bafyreifrekqoatpm7tjqw54gqy7xxwzmpmfjvaerdoqzpfkjje4cnbgcyy", name.ToString());
        Assert.Equal(first.Encode(), SegmentNode.Decode(first.Encode()).Encode());
        SegmentNode second = first with { From = 1001, Offset = 77, To = 1000, Previous = name };
        Assert.Equal("bafyreicmpsbkdwpzzxuoziw7pyhu4mx24zmcq72mhfpf57qsy4zrdmmynm", Cid.Of(Multicodec.DagCbor, second.Encode()).ToString());
        Assert.Equal(name, SegmentNode.Decode(second.Encode()).Previous);
    }

    [Fact]
    public void A_chain_file_is_these_bytes()
    {
        using (WriteLog log = Open())
        {
            Append(log, "one");
            log.Cut();
            log.Seal(1);
        }

        byte[] file = _disk.Content("chain");
        Assert.Equal("4C65697468536567" + "0100" + "000000000000", Convert.ToHexString(file.AsSpan(0, 16)));
        int node = BinaryPrimitives.ReadInt32LittleEndian(file.AsSpan(16));
        Assert.Equal(file.Length, 32 + node);
        Assert.Equal(Crc32COf([.. file[16..20], .. file[24..]]), BinaryPrimitives.ReadUInt32LittleEndian(file.AsSpan(20)));
        Assert.Equal((long)_disk.Content("00000001-0000000000000001.seg").Length, BinaryPrimitives.ReadInt64LittleEndian(file.AsSpan(24)));
        Assert.Equal(1ul, SegmentNode.Decode(file.AsSpan(32)).To);
    }

    [Fact]
    public void A_sealed_segment_file_is_the_block_and_the_chain_serves_it()
    {
        using WriteLog log = Open();
        for (int i = 0; i < 300; i++)
        {
            Append(log, $"entry {i}");
            log.Flush();
            _worker.Run();
        }

        IReadOnlyList<SealedSegment> sealedOnes = log.Chain!.Segments;
        Assert.True(sealedOnes.Count > 2);
        foreach (SealedSegment segment in sealedOnes)
        {
            byte[] file = _disk.Content(segment.FileName);
            Assert.Equal(Cid.Of(Multicodec.Raw, file), segment.Node.Data);
            Assert.Equal(file, log.Chain.Get(segment.Node.Data));
            Assert.Equal(segment.Node.Encode(), log.Chain.Get(segment.Cid));
            Assert.True(log.Chain.TryGetLength(segment.Cid, out int length) && length == segment.Node.Encode().Length);
        }

        Assert.Equal(sealedOnes.Count * 2, log.Chain.Cids().Count());
        _disk.FlipBit(sealedOnes[0].FileName, 200, 3);
        Assert.Throws<BlockCorruptedException>(() => log.Chain.Get(sealedOnes[0].Node.Data));
    }

    [Fact]
    public void A_cut_ends_a_segment_only_if_it_holds_something_and_leaves_no_empty_file()
    {
        using WriteLog log = Open();
        log.Cut();
        Assert.Equal(1, log.SegmentCount);
        Append(log, "one");
        log.Cut();
        log.Cut();
        Assert.Equal(log.Seal(1)!.Cid, log.Chain!.Newest!.Cid);
        Assert.Equal(1, log.SegmentCount);
        Assert.True(log.CanAccept(100, out _));
        Append(log, "two");
        log.Cut();
        Assert.Equal(2, log.SegmentCount);
        SealedSegment second = log.Seal(2)!;
        Assert.Equal((2ul, 2ul, 0ul), (second.Node.From, second.Node.To, second.Node.Offset));
        log.Close();
        Assert.DoesNotContain(_disk.Names, static n => n.StartsWith("prepared", StringComparison.Ordinal));
        using WriteLog again = Open();
        Assert.True(again.Recovery.CleanEnd);
        Assert.Equal(1ul, again.Epoch);
        _worker.Run();
        Assert.Equal(second.Cid, again.Chain!.Newest!.Cid);
    }

    [Fact]
    public void Trimmed_segments_leave_their_nodes_and_nothing_goes_before_it_is_sealed()
    {
        using WriteLog log = Open();
        Append(log, "one");
        log.Cut();
        log.Sync(1);
        log.PerformFileWork();
        log.DropThrough(1, 0);
        Assert.Equal(1, log.SegmentCount);
        Cid first = log.Seal(1)!.Cid;
        log.DropThrough(1, 0);
        Assert.Equal(0, log.SegmentCount);
        _worker.Run();
        Assert.Equal(["chain"], _disk.Names.Where(static n => !n.StartsWith("prepared", StringComparison.Ordinal)));
        SealedSegment sealed1 = log.Chain!.Newest!;
        Assert.False(log.Chain.Has(sealed1.Node.Data));
        Assert.True(log.Chain.Has(first));
        Assert.Null(log.Read(1));
        Append(log, "two");
        log.Cut();
        Assert.Equal(first, log.Seal(2)!.Node.Previous);
    }

    [Fact]
    public void A_damaged_record_is_made_again_from_the_segment_and_what_follows_it_stays()
    {
        var names = new List<Cid>();
        using (WriteLog log = Open())
        {
            for (ulong i = 1; i <= 3; i++)
            {
                Append(log, $"entry {i}");
                log.Cut();
                names.Add(log.Seal(i)!.Cid);
            }

            log.Close();
        }

        _disk.FlipBit("chain", 16 + ((_disk.Content("chain").Length - 16) / 2), 1);
        using WriteLog again = Open();
        _worker.Run();
        Assert.Equal(names, again.Chain!.Segments.Select(static s => s.Cid));
    }

    [Fact]
    public void A_damaged_record_of_a_trimmed_segment_is_told_and_what_follows_it_stays()
    {
        var names = new List<Cid>();
        using (WriteLog log = Open())
        {
            for (ulong i = 1; i <= 3; i++)
            {
                Append(log, $"entry {i}");
                log.Cut();
                names.Add(log.Seal(i)!.Cid);
            }

            log.DropThrough(2, 0);
            _worker.Run();
        }

        _disk.FlipBit("chain", 16 + ((_disk.Content("chain").Length - 16) / 2), 1);
        using WriteLog again = WriteLog.Open(_disk, Options(), new Position(1, 2), null);
        _worker.Run();
        Assert.Equal([names[0], names[2]], again.Chain!.Segments.Select(static s => s.Cid));
        Assert.Equal(["the chain has no node between entries 1 and 3"], again.Chain.Damage);
    }

    [Fact]
    public void Nodes_are_of_what_segments_hold_whichever_read_fails_while_they_are_made_again()
    {
        var names = new List<Cid>();
        using (WriteLog log = Open())
        {
            for (ulong i = 1; i <= 3; i++)
            {
                Append(log, $"entry {i}");
                log.Cut();
                names.Add(log.Seal(i)!.Cid);
            }

            log.Close();
        }

        // A loss of power took back that the files were cut to their lengths, and the chain.
        foreach (string name in _disk.Names.Where(static n => n.EndsWith(".seg", StringComparison.Ordinal)).ToList())
        {
            _disk.Put(name, [.. _disk.Content(name), .. new byte[1000]]);
        }

        _disk.Remove("chain");
        for (int failing = 0, reads = 1; failing < reads; failing++)
        {
            SimulatedDisk disk = _disk.Copy();
            using WriteLog again = WriteLog.Open(disk, Options(), new Position(1, 3), null);
            reads = 0;
            disk.Fails = operation => operation == "read" && reads++ == failing;
            _worker.Run();
            again.Tick(1);
            again.Tick(1_000_000);
            _worker.Run();
            Assert.Null(again.SealError);
            Assert.Equal(names, again.Chain!.Segments.Select(static s => s.Cid).Take(names.Count));
        }
    }

    [Fact]
    public void A_log_that_is_nobodys_has_no_chain()
    {
        using WriteLog log = WriteLog.Open(_disk, new LogOptions { SegmentBytes = 4096, Worker = _worker }, 0ul, null);
        Append(log, "one");
        log.Cut();
        _worker.Run();
        Assert.Null(log.Chain);
        Assert.Null(log.Seal(1));
        Assert.DoesNotContain("chain", _disk.Names);
    }

    private static uint Crc32COf(byte[] bytes) => Leither.Ipfs.Files.Crc32C.Compute(0, bytes);

    private LogOptions Options()
    {
        uint salt = 0;
        return new LogOptions { SegmentBytes = 4096, Worker = _worker, Origin = _origin, Salt = () => ++salt };
    }

    private WriteLog Open() => WriteLog.Open(_disk, Options(), 0ul, null);

    private static void Append(WriteLog log, string text)
    {
        log.Begin(1);
        log.Write(Encoding.UTF8.GetBytes(text));
        log.End();
    }
}
