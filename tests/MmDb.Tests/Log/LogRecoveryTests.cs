using System.Text;
using Leither.Ipfs.Files;
using Leither.MmDb.Log;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Log;

/// <summary>What opening makes of damaged logs: each byte cut, each bit flipped, files missing.</summary>
public sealed unsafe class LogRecoveryTests
{
    [Theory]
    [InlineData(FsyncPolicy.Always)]
    [InlineData(FsyncPolicy.EverySecond)]
    public void A_log_cut_at_any_byte_of_its_newest_file_gives_the_whole_groups_before_the_cut(FsyncPolicy policy)
    {
        SimulatedDisk disk = SmallLog(policy, clean: false, out List<string> entries, out List<(string File, long End, int Entries)> groups);
        string newest = groups[^1].File;
        byte[] content = disk.Content(newest);
        long end = groups[^1].End;
        for (int cut = 0; cut <= end; cut++)
        {
            foreach (bool zeros in (bool[])[false, true])
            {
                SimulatedDisk torn = disk.Copy();
                byte[] bytes = zeros ? new byte[content.Length] : new byte[cut];
                content.AsSpan(0, cut).CopyTo(bytes);
                torn.Put(newest, bytes);
                int whole = groups.Where(g => g.File != newest || g.End <= cut).Select(g => g.Entries).DefaultIfEmpty(0).Max();
                (List<string> found, RecoveryReport report) = Read(torn);
                // A group may end in zeros itself: then a cut among them loses nothing.
                if (zeros && found.Count > whole) whole = groups.First(g => g.Entries > whole).Entries;
                Assert.Equal(entries.Take(whole), found);
                Assert.Equal((ulong)whole, report.LastSequence);
                Assert.False(report.CleanEnd);
                Assert.Equal(2ul, report.Epoch);
                AssertContinues(torn, found);
            }
        }
    }

    [Theory]
    [InlineData(FsyncPolicy.Always, true)]
    [InlineData(FsyncPolicy.Always, false)]
    [InlineData(FsyncPolicy.EverySecond, true)]
    [InlineData(FsyncPolicy.EverySecond, false)]
    public void A_bit_flipped_at_any_byte_is_named_as_corruption_unless_it_lies_in_the_last_group(FsyncPolicy policy, bool clean)
    {
        SimulatedDisk disk = SmallLog(policy, clean, out List<string> entries, out List<(string File, long End, int Entries)> groups);
        string newest = groups[^1].File;
        int beforeLast = groups[^2].Entries;
        long lastStart = groups[^2].File == newest ? groups[^2].End : 0;
        foreach (string name in disk.Names)
        {
            for (int at = 0; at < disk.Content(name).Length; at++)
            {
                SimulatedDisk flipped = disk.Copy();
                flipped.FlipBit(name, at, at % 8);
                bool inLast = name == newest && at >= lastStart;
                try
                {
                    (List<string> found, RecoveryReport report) = Read(flipped);
                    if (!inLast) Assert.Equal(entries, found); // in the zeros behind a full segment
                    else Assert.True(found.Count >= beforeLast && found.SequenceEqual(entries.Take(found.Count)), $"{name} {at}");
                    if (found.Count < entries.Count) Assert.NotNull(report.CutFile);
                }
                catch (LogCorruptedException e)
                {
                    Assert.True(!inLast, $"{name} {at} of {lastStart}: {e.Message}");
                    Assert.EndsWith(name, e.File, StringComparison.Ordinal);
                    Assert.True(e.Offset <= at, $"damage at {at} was placed at {e.Offset}");
                    Assert.InRange(e.Sequence, 1ul, (ulong)entries.Count);
                }
            }
        }
    }

    [Fact]
    public void A_missing_segment_is_named_as_corruption()
    {
        SimulatedDisk disk = SmallLog(FsyncPolicy.Always, clean: false, out _, out _);
        string[] names = [.. disk.Names.Where(n => !n.StartsWith("prepared", StringComparison.Ordinal))];
        Assert.True(names.Length >= 4);
        for (int i = 0; i < names.Length - 1; i++)
        {
            SimulatedDisk broken = disk.Copy();
            broken.Remove(names[i]);
            LogCorruptedException e = Assert.Throws<LogCorruptedException>(() => Read(broken));
            Assert.Contains("missing", e.Message);
            Assert.Contains("data-loss", e.Message);
        }
    }

    [Fact]
    public void Corruption_is_passed_over_only_when_asked_for_and_what_is_lost_is_kept_aside()
    {
        SimulatedDisk disk = SmallLog(FsyncPolicy.Always, clean: true, out List<string> entries, out List<(string File, long End, int Entries)> groups);
        (string file, long end, int good) = groups[groups.Count / 2];
        disk.FlipBit(file, end + 40, 3);
        byte[] damaged = (byte[])disk.Content(file).Clone();
        Assert.Throws<LogCorruptedException>(() => Read(disk.Copy()));

        (List<string> found, RecoveryReport report) = Read(disk, allowLoss: true);
        Assert.Equal(entries.Take(good), found);
        Assert.NotNull(report.Corruption);
        Assert.Contains(file, report.Corruption);
        Assert.Equal(2ul, report.Epoch);
        Assert.Equal(damaged.AsSpan((int)end).ToArray(), disk.Content(file + ".lost"));
        Assert.Contains(disk.Names, n => n.EndsWith(".lost", StringComparison.Ordinal) && n != file + ".lost");
        AssertContinues(disk, found);
    }

    [Fact]
    public void A_lost_page_in_front_of_later_pages_is_a_torn_tail_when_none_of_it_was_synced()
    {
        var disk = new SimulatedDisk(0);
        var options = new LogOptions { SegmentBytes = 1 << 16, Fsync = FsyncPolicy.EverySecond, Worker = LogWorker.Manual() };
        var expected = new List<string>();
        WriteLog log = WriteLog.Open(disk, options, 0ul, null);
        for (int i = 0; i < 300; i++)
        {
            Append(log, $"entry {i} {new string('x', 60)}");
            log.Flush();
            if (i == 99) Assert.True(log.WaitSynced(100));
        }
        log.Dispose();
        disk.Kill();

        // Page 4 holds none of the first hundred, page 1 does.
        string name = Assert.Single(disk.Names);
        SimulatedDisk torn = disk.Copy();
        byte[] bytes = torn.Content(name);
        bytes.AsSpan(4 * 4096, 4096).Clear();
        torn.Put(name, bytes);
        (List<string> found, RecoveryReport report) = Read(torn);
        Assert.InRange(found.Count, 100, 299);
        Assert.True(report.CutWholeGroups > 10);
        Assert.Contains("lost pages", report.ToString());
        AssertContinues(torn, found);

        SimulatedDisk broken = disk.Copy();
        bytes = broken.Content(name);
        bytes.AsSpan(4096, 4096).Clear();
        broken.Put(name, bytes);
        Assert.Contains("had been synced", Assert.Throws<LogCorruptedException>(() => Read(broken)).Message);
    }

    [Fact]
    public void A_value_that_holds_a_copy_of_the_log_is_not_taken_for_it()
    {
        var disk = new SimulatedDisk(0);
        uint salt = 0;
        var options = new LogOptions { SegmentBytes = 1 << 20, Fsync = FsyncPolicy.EverySecond, Worker = LogWorker.Manual(), Salt = () => ++salt };
        WriteLog log = WriteLog.Open(disk, options, 0ul, null);
        for (int i = 0; i < 50; i++)
        {
            Append(log, $"entry {i}");
            log.Flush();
        }
        log.Close();
        byte[] copy = disk.Content("00000001-0000000000000001.seg");

        log = WriteLog.Open(disk, options, 0ul, null);
        log.Begin(1);
        log.Write(copy);
        log.End();
        log.Flush();
        log.Dispose();
        disk.Kill();
        string newest = disk.Names.Last(n => n.StartsWith('0'));
        byte[] bytes = disk.Content(newest);
        bytes[140] ^= 1; // the group that holds the copy is torn
        disk.Put(newest, bytes);
        (List<string> found, RecoveryReport report) = Read(disk);
        Assert.Equal(50, found.Count);
        Assert.NotNull(report.CutFile);
    }

    [Fact]
    public void An_epoch_goes_on_after_a_clean_end_and_ends_with_an_unclean_one()
    {
        var disk = new SimulatedDisk(0);
        ulong epoch = 1, sequence = 0;
        // Clean ends, with and without entries; then crashes, with and without.
        foreach ((int entries, bool clean) in ((int, bool)[])[(0, true), (0, true), (3, true), (0, true), (2, false), (0, false), (0, true), (0, true), (1, true), (0, false), (1, false)])
        {
            WriteLog log = WriteLog.Open(disk, new LogOptions { SegmentBytes = 4096, Worker = LogWorker.Manual() }, 0ul, null);
            Assert.True(epoch == log.Epoch, $"{log.Epoch} instead of {epoch}: {log.Recovery}, {string.Join(' ', disk.Names)}");
            Assert.Equal(sequence, log.LastSequence);
            for (int i = 0; i < entries; i++) Append(log, "x");
            Assert.Equal(new Position(epoch, sequence += (ulong)entries), log.LastPosition);
            log.Flush();
            if (clean) log.Close();
            else
            {
                log.Dispose();
                disk.Kill();
                epoch++;
            }
            Assert.True(disk.Names.Count() <= 8, string.Join(' ', disk.Names));
        }
    }

    [Fact]
    public void A_log_that_ends_before_its_checkpoint_goes_on_after_it_in_a_new_epoch()
    {
        SimulatedDisk disk = SmallLog(FsyncPolicy.Always, clean: true, out List<string> entries, out _);
        ulong checkpoint = (ulong)entries.Count + 10;
        WriteLog log = WriteLog.Open(disk, new LogOptions { Worker = LogWorker.Manual() }, new Position(4, checkpoint), (_, _, _) => Assert.Fail("nothing lies after it"));
        Assert.Equal(5ul, log.Epoch);
        Assert.Equal(checkpoint, log.LastSequence);
        Append(log, "after");
        log.Close();
        (List<string> found, _) = Read(disk, startAfter: checkpoint);
        Assert.Equal(["after"], found);
        // With an older checkpoint entries are missing, and that is said.
        Assert.Throws<LogCorruptedException>(() => Read(disk));
    }

    [Fact]
    public void Replay_begins_after_the_checkpoint_wherever_it_lies()
    {
        SimulatedDisk disk = SmallLog(FsyncPolicy.Always, clean: true, out List<string> entries, out _);
        for (int i = 0; i <= entries.Count; i++)
        {
            (List<string> found, RecoveryReport report) = Read(disk.Copy(), startAfter: (ulong)i);
            Assert.Equal(entries.Skip(i), found);
            Assert.True(report.CleanEnd);
        }
    }

    [Fact]
    public void Files_of_others_in_the_directory_are_left_alone()
    {
        SimulatedDisk disk = SmallLog(FsyncPolicy.Always, clean: true, out List<string> entries, out _);
        disk.Put("LOCK", [1, 2, 3]);
        disk.Put("notes.seg.txt", [4]);
        (List<string> found, _) = Read(disk);
        Assert.Equal(entries, found);
        Assert.Equal([1, 2, 3], disk.Content("LOCK"));
        Assert.Equal([4], disk.Content("notes.seg.txt"));
    }

    [Fact]
    public void A_file_of_a_later_format_is_refused_and_kept()
    {
        SimulatedDisk disk = SmallLog(FsyncPolicy.Always, clean: true, out _, out _);
        string name = disk.Names.First();
        byte[] bytes = disk.Content(name);
        bytes[8] = 2;
        fixed (byte* p = bytes) BitConverter.TryWriteBytes(bytes.AsSpan(124), Crc32C.Compute(0, p, 124));
        disk.Put(name, bytes);
        Assert.Contains("format version is 2", Assert.Throws<LogCorruptedException>(() => Read(disk)).Message);
    }

    /// <summary>Forty entries, one of them over several segments, in groups of up to three. Also says where each group ends, and how many entries
    /// are complete by then.</summary>
    private static SimulatedDisk SmallLog(FsyncPolicy policy, bool clean, out List<string> entries, out List<(string File, long End, int Entries)> groups)
    {
        var disk = new SimulatedDisk(0);
        uint salt = 7;
        var options = new LogOptions { SegmentBytes = 4096, Fsync = policy, Worker = LogWorker.Manual(), Salt = () => ++salt };
        entries = [];
        using (WriteLog log = WriteLog.Open(disk, options, 0ul, null))
        {
            for (int i = 0; i < 40; i++)
            {
                string text = $"entry {i} " + new string((char)('a' + i % 26), i == 20 ? 6000 : i * 37 % 400);
                entries.Add(text);
                Append(log, text);
                if (i % 3 == 0) log.Flush();
                options.Worker.Run();
            }
            log.Flush();
            options.Worker.Run();
            if (clean) log.Close();
        }
        disk.Kill();

        groups = [];
        int complete = 0;
        foreach (string name in disk.Names.Where(n => n.StartsWith('0')))
        {
            fixed (byte* file = disk.Content(name))
            {
                Assert.True(SegmentHeader.TryDecode(file, out SegmentHeader header, out _));
                long at = LogFormat.SegmentHeaderBytes, length = disk.Content(name).Length;
                while (Group.TryRead(file + at, length - at, header.Crc, out Group group))
                {
                    at += group.TotalBytes;
                    complete += (int)group.EntryCount;
                    groups.Add((name, at, complete));
                }
            }
        }
        Assert.Equal(entries.Count, complete);
        return disk;
    }

    /// <summary>After recovery the log takes entries, and the next start finds all of them.</summary>
    private static void AssertContinues(SimulatedDisk disk, List<string> before)
    {
        var options = new LogOptions { SegmentBytes = 4096, Worker = LogWorker.Manual() };
        using (WriteLog log = WriteLog.Open(disk, options, 0ul, null))
        {
            Append(log, "further");
            log.Close();
        }
        (List<string> found, RecoveryReport report) = Read(disk);
        Assert.Equal([.. before, "further"], found);
        Assert.True(report.CleanEnd);
    }

    private static (List<string> Entries, RecoveryReport Report) Read(SimulatedDisk disk, bool allowLoss = false, ulong startAfter = 0)
    {
        var found = new List<string>();
        var options = new LogOptions { SegmentBytes = 4096, Worker = LogWorker.Manual(), AllowDataLossAfterCorruption = allowLoss };
        using WriteLog log = WriteLog.Open(disk, options, startAfter, (sequence, entry, length) =>
        {
            Assert.Equal(startAfter + (ulong)found.Count + 1, sequence);
            found.Add(Encoding.ASCII.GetString(entry + 10, (int)length - 10));
        });
        disk.Kill();
        return (found, log.Recovery);
    }

    private static void Append(WriteLog log, string text)
    {
        log.Begin((ulong)text.Length);
        log.Write(Encoding.ASCII.GetBytes(text));
        log.End();
    }
}
