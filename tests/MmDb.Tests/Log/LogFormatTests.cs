using System.Text;
using Leither.Ipfs.Files;
using Leither.MmDb.Log;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Log;

/// <summary>What is stored is frozen: these bytes only grow in number.</summary>
public sealed unsafe class LogFormatTests
{
    [Fact]
    public void CRC_32C_matches_the_published_check_values()
    {
        Assert.Equal(0xE3069283u, Crc(Encoding.ASCII.GetBytes("123456789")));
        Assert.Equal(0x8A9136AAu, Crc(new byte[32]));
        Assert.Equal(0x62A8AB43u, Crc([.. Enumerable.Repeat((byte)0xFF, 32)]));
        Assert.Equal(0x46DD794Eu, Crc([.. Enumerable.Range(0, 32).Select(i => (byte)i)]));
        Assert.Equal(0x113FDB5Cu, Crc([.. Enumerable.Range(0, 32).Select(i => (byte)(31 - i))]));
    }

    [Fact]
    public void CRC_32C_of_any_length_is_that_of_its_parts_in_turn()
    {
        byte[] bytes = new byte[70_000];
        new Random(1).NextBytes(bytes);
        foreach (int length in (int[])[0, 1, 7, 8, 9, 63, 64, 65, 500, 767, 768, 769, 1023, 4095, 8191, 24_576, 24_577, 70_000])
        {
            uint byByte = 0xFFFFFFFF;
            for (int i = 0; i < length; i++)
            {
                byByte ^= bytes[i];
                for (int bit = 0; bit < 8; bit++) byByte = (byByte & 1) != 0 ? byByte >> 1 ^ 0x82F63B78 : byByte >> 1;
            }
            fixed (byte* p = bytes)
            {
                Assert.Equal(~byByte, Crc32C.Compute(0, p, length));
                uint inParts = Crc32C.Compute(0, p, length / 3);
                Assert.Equal(~byByte, Crc32C.Compute(inParts, p + length / 3, length - length / 3));
            }
        }
    }

    [Fact]
    public void A_segment_with_two_entries_a_large_one_and_a_clean_end_is_these_bytes()
    {
        var disk = new SimulatedDisk(0);
        var options = new LogOptions { SegmentBytes = 4096, Fsync = FsyncPolicy.Always, Worker = LogWorker.Manual(), Salt = static () => 0x01020304 };
        using (WriteLog log = WriteLog.Open(disk, options, 0ul, null))
        {
            Append(log, 0x1111222233334444, "one");
            Append(log, 0x1111222233334445, "second");
            log.Flush();
            Append(log, 0x1111222233334446, new string('x', 1100));
            log.Close();
        }

        byte[] file = disk.Content(Assert.Single(disk.Names));
        string golden = string.Concat(
            "4C656974684C6F67", "0100", "0000", "00000000", "0100000000000000", "0100000000000000", // magic, version, generation, epoch, first
            new string('0', 64), new string('0', 64),                                               // writer, previous digest
            "0000000000000000", "0000000000000000", "0000000000000000", "04030201", "9FB11D59",     // offset, previous epoch, synced, salt, CRC
            "4C670100", "25000000", "9C92B375", "02000000", "0100000000000000", "0000000000000000", // Whole, 37 bytes, 2 entries from 1
            "0D000000", "0100", "4444333322221111", "6F6E65",
            "10000000", "0100", "4544333322221111", "7365636F6E64");
        Assert.Equal(golden, Convert.ToHexString(file.AsSpan(0, golden.Length / 2)));
    }

    [Fact]
    public void A_file_name_tells_epoch_first_sequence_and_only_where_needed_offset_and_generation()
    {
        foreach ((SegmentHeader header, string name) in ((SegmentHeader, string)[])
        [
            (new SegmentHeader { Epoch = 1, FirstSequence = 0x65 }, "00000001-0000000000000065.seg"),
            (new SegmentHeader { Epoch = 0x1ABCDEF01, FirstSequence = 1 }, "1abcdef01-0000000000000001.seg"),
            (new SegmentHeader { Epoch = 2, FirstSequence = 3, EntryOffset = 0xFF00 }, "00000002-0000000000000003-000000000000ff00.seg"),
            (new SegmentHeader { Epoch = 2, FirstSequence = 3, Generation = 17 }, "00000002-0000000000000003-g11.seg"),
            (new SegmentHeader { Epoch = 2, FirstSequence = 3, EntryOffset = 1, Generation = 1 }, "00000002-0000000000000003-0000000000000001-g1.seg"),
        ])
        {
            Assert.Equal(name, header.FileName());
            Assert.True(SegmentHeader.TryParseName(name, out SegmentHeader parsed));
            Assert.Equal(header, parsed);
        }
        foreach (string name in (string[])["", ".seg", "1-1.seg", "00000001.seg", "00000001-0000000000000065", "00000001-0000000000000065.seg.lost",
            "00000001-000000000000006G.seg", "00000001-0000000000000065-g0.seg", "00000001-0000000000000065-0000000000000000.seg"])
        {
            Assert.False(SegmentHeader.TryParseName(name, out _), name);
        }
    }

    [Fact]
    public void The_clock_never_repeats_nor_steps_back_and_refuses_one_that_is_a_minute_ahead()
    {
        var clock = new HybridClock();
        ulong first = clock.Next(1_000);
        Assert.Equal(1_000, HybridClock.ToMilliseconds(first));
        Assert.Equal(first + 1, clock.Next(1_000));
        Assert.Equal(first + 2, clock.Next(500));
        Assert.Equal(HybridClock.FromMilliseconds(1_001), clock.Next(1_001));
        for (int i = 0; i < 70_000; i++) Assert.True(clock.Next(1_001) > clock.Last - 1);
        Assert.Equal(1_002, HybridClock.ToMilliseconds(clock.Last));

        ulong last = clock.Last;
        Assert.False(clock.TryObserve(HybridClock.FromMilliseconds(1_001 + 60_001), 1_001));
        Assert.Equal(last, clock.Last);
        Assert.True(clock.TryObserve(HybridClock.FromMilliseconds(1_001 + 60_000), 1_001));
        Assert.Equal(HybridClock.FromMilliseconds(61_001) + 1, clock.Next(1_001));
        Assert.True(new HybridClock(77).Next(0) == 78);
    }

    private static void Append(WriteLog log, ulong time, string body)
    {
        log.Begin(time);
        log.Write(Encoding.ASCII.GetBytes(body));
        log.End();
    }

    private static uint Crc(byte[] bytes)
    {
        fixed (byte* p = bytes) return Crc32C.Compute(0, p, bytes.Length);
    }
}
