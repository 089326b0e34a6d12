using System.Text;
using Leither.Ipfs;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Log;

/// <summary>A log that is copied: the same bytes, the same nodes.</summary>
public sealed unsafe class LogCopyTests : IDisposable
{
    private static readonly SegmentOrigin _origin = new(LeitherId.Of("MiMei"u8), new byte[32]);

    private readonly SimulatedDisk _there = new(1), _here = new(2);
    private readonly LogWorker _worker = LogWorker.Manual(), _copyWorker = LogWorker.Manual();
    private readonly List<WriteLog> _opened = [];
    private uint _salt;

    public void Dispose() => _opened.ForEach(static log => log.Dispose());

    [Fact]
    public void A_copy_has_the_same_bytes_entries_and_nodes()
    {
        WriteLog source = OpenSource(), copy = OpenCopy();
        var follower = new LogFollower(copy, new Random(1));
        for (int i = 0; i < 400; i++)
        {
            Append(source, i % 50 == 0 ? new string('x', 20_000 + i) : $"entry {i}");
            source.Flush();
            if (i % 100 == 99) source.Cut();
            if (i % 7 == 0) Assert.True(follower.CatchUp(source));
            if (i % 13 == 0) RunBoth();
        }

        Assert.True(follower.CatchUp(source));
        AssertSame(source, copy);
        Assert.Equal(400, follower.Applied.Count);
        Assert.Equal(source.LastSequence, copy.LastSequence);
        Assert.Equal(source.LastPosition, copy.LastPosition);
        Assert.Equal(source.WrittenEnd.Place, copy.WrittenEnd.Place);
        Assert.Equal(source.WrittenEnd.LastTime, copy.WrittenEnd.LastTime);
        Assert.Equal(source.Seal(400)?.Cid, copy.Seal(400)?.Cid);
    }

    [Fact]
    public void What_a_log_tells_of_its_end_and_its_segments_is_of_one_moment_however_fast_it_grows()
    {
        for (int life = 0; life < 30; life++)
        {
            using WriteLog log = WriteLog.Open(new SimulatedDisk(life), Options(LogWorker.Manual()), 0, null);
            using var looks = new ManualResetEventSlim();
            bool isOver = false;
            string? problem = null;
            var reader = new Thread(() =>
            {
                looks.Set();
                while (!Volatile.Read(ref isOver) && problem is null)
                {
                    (LogEnd end, IReadOnlyList<LogPlace> places) = log.Extent;
                    // Who has nothing yet has no entry, and what was written last is in the last segment.
                    bool isSame = places.Count == 0 ? end is { Segment.IsSegment: false, WrittenSequence: 0 } : places[^1] == end.Place && end.WrittenSequence >= end.Segment.First;
                    if (!isSame) problem = $"{end} with {string.Join(", ", places)}";
                }
            });
            reader.Start();
            looks.Wait();
            for (int i = 0; i < 300 && problem is null; i++)
            {
                Append(log, "entry");
                log.Flush();
                if (i % 3 == 0) log.Cut();
            }

            Volatile.Write(ref isOver, true);
            reader.Join();
            Assert.Null(problem);
        }
    }

    [Fact]
    public void A_copy_that_was_closed_goes_on_where_it_was()
    {
        WriteLog source = OpenSource(), copy = OpenCopy();
        List<byte[]> applied = [];
        for (int i = 0; i < 30; i++)
        {
            for (int j = 0; j < 10; j++) Append(source, $"entry {i} {j}");
            source.Flush();
            Assert.True(new LogFollower(copy, new Random(i)) { Applied = applied }.CatchUp(source));
            copy.Close();
            copy = OpenCopy(copy.LastPosition);
            Assert.Equal((ulong)applied.Count, copy.LastSequence);
        }

        AssertSame(source, copy);
    }

    [Fact]
    public void A_large_entry_is_given_once_and_whole_also_when_the_copy_was_closed_in_the_middle_of_it()
    {
        WriteLog source = OpenSource(), copy = OpenCopy();
        byte[] value = new byte[100_000];
        new Random(1).NextBytes(value);
        source.Begin(7);
        for (int at = 0; at < value.Length; at += 4000)
        {
            source.Write(value.AsSpan(at, 4000));
            Assert.True(new LogFollower(copy, new Random(at)).CatchUp(source));
            Assert.Equal(0ul, copy.LastSequence);
            copy.Close();
            copy = OpenCopy();
        }

        source.End();
        source.Flush();
        var follower = new LogFollower(copy, new Random(1));
        Assert.True(follower.CatchUp(source));
        Assert.Equal(value, Assert.Single(follower.Applied)[10..]);
        AssertSame(source, copy);
        Assert.True(copy.Places.Count > 20);
    }

    [Fact]
    public void The_mark_of_a_clean_end_is_part_of_the_bytes()
    {
        WriteLog copy = OpenCopy();
        var follower = new LogFollower(copy, new Random(1));
        for (int life = 0; life < 4; life++)
        {
            WriteLog source = OpenSource();
            if (life != 2) Append(source, $"life {life}");
            source.Flush();
            Assert.True(follower.CatchUp(source));
            source.Close();
        }

        WriteLog last = OpenSource();
        Assert.True(follower.CatchUp(last));
        Assert.Equal(1ul, last.Epoch);
        Assert.Equal(3, follower.Applied.Count);
        AssertSame(last, copy);
    }

    [Fact]
    public void After_a_new_epoch_the_copy_goes_back_and_what_it_had_is_kept_aside()
    {
        WriteLog copy = OpenCopy();
        var follower = new LogFollower(copy, new Random(1));
        for (int life = 0; life < 30; life++)
        {
            using WriteLog source = OpenSource();
            for (int i = 0; i < 20; i++) Append(source, $"life {life} {i}");
            source.WaitSynced(source.LastSequence);
            SimulatedDisk before = _there.Copy();
            for (int i = 0; i < 20; i++) Append(source, new string('u', 300));
            source.Flush();
            Assert.True(follower.CatchUp(source));
            Assert.Equal((ulong)(life * 20) + 40, copy.LastSequence);

            // The writer starts again, and what it had not synced is gone.
            source.Dispose();
            foreach (string name in _there.Names.ToArray()) _there.Remove(name);
            foreach (string name in before.Names) _there.Put(name, before.Content(name));
        }

        WriteLog last = OpenSource();
        Append(last, "end");
        last.Flush();
        Assert.True(follower.CatchUp(last));
        Assert.Equal(30, follower.WentBack);
        Assert.Equal(601, follower.Applied.Count);
        Assert.DoesNotContain(follower.Applied, static e => e.AsSpan(10).IndexOf("uuu"u8) >= 0);
        AssertSame(last, copy);
        string[] undone = [.. _here.Names.Where(static n => n.StartsWith("undone-", StringComparison.Ordinal))];
        Assert.Equal(WriteLog.MaxUndoneFiles, undone.Length);
        Assert.Contains("uuu", Encoding.Latin1.GetString(_here.Content(undone[^1])), StringComparison.Ordinal);
        copy.Close();
        Assert.Equal(601ul, OpenCopy().LastSequence);
    }

    [Fact]
    public void What_was_applied_beyond_a_log_that_lost_its_end_is_not_given_again()
    {
        WriteLog source = OpenSource(), copy = OpenCopy(new Position(1, 5));
        for (int i = 0; i < 8; i++) Append(source, $"{i}");
        source.Flush();
        var follower = new LogFollower(copy, new Random(1)) { Applied = [.. Enumerable.Range(0, 5).Select(static _ => Array.Empty<byte>())] };
        Assert.True(follower.CatchUp(source));
        Assert.Equal(8, follower.Applied.Count);
        Assert.Equal(8ul, copy.LastSequence);
    }

    [Fact]
    public void An_epoch_that_begins_before_what_was_applied_is_refused_until_the_owner_went_back()
    {
        WriteLog source = OpenSource(), copy = OpenCopy(new Position(1, 5));
        for (int i = 0; i < 3; i++) Append(source, $"{i}");
        source.Flush();
        source.Dispose();
        source = OpenSource();
        Append(source, "other");
        source.Flush();
        byte[] first = Bytes(source, source.Places[0]), second = Bytes(source, source.Places[1]);
        Assert.Equal(first.Length, copy.Append(first, Nothing));
        Assert.Equal(new Position(2, 4), Assert.Throws<LogUndoneException>(() => copy.Append(second, Nothing)).Next);
        copy.GoBack(copy.WrittenEnd.Place);
        int given = 0;
        Assert.Equal(second.Length, copy.Append(second, (_, _, _) => given++));
        Assert.Equal(1, given);
    }

    [Fact]
    public void What_was_applied_of_an_epoch_that_the_writer_lost_whole_is_undone_also_where_a_failed_disk_left_nothing_of_it()
    {
        WriteLog source = OpenSource(), copy = OpenCopy();
        var follower = new LogFollower(copy, new Random(1));
        for (int i = 0; i < 3; i++) Append(source, $"lost {i}");
        source.Flush();
        Assert.True(follower.CatchUp(source));
        _here.Fails = static operation => operation == "sync";
        Assert.False(copy.WaitSynced(3));
        _here.Fails = static _ => false;
        copy.Tick(0);
        copy.Tick(10_000);
        Assert.Equal(0ul, copy.LastSequence);

        byte[] begun = _there.Content("00000001-0000000000000001.seg");
        source.Dispose();
        _there.Put("00000001-0000000000000001.seg", [.. begun[..128], .. new byte[begun.Length - 128]]);
        source = OpenSource();
        for (int i = 0; i < 4; i++) Append(source, $"kept {i}");
        source.Flush();
        Assert.True(follower.CatchUp(source));
        Assert.Equal(["kept 0", "kept 1", "kept 2", "kept 3"], follower.Applied.Select(static e => Encoding.UTF8.GetString(e.AsSpan(10))));
        AssertSame(source, copy);
    }

    [Fact]
    public void A_full_disk_takes_the_rest_when_it_has_room_again()
    {
        WriteLog source = OpenSource(), copy = OpenCopy();
        for (int i = 0; i < 100; i++)
        {
            Append(source, new string('x', 100));
            source.Flush();
        }

        _here.Capacity = 6000;
        var follower = new LogFollower(copy, new Random(1));
        Assert.False(follower.CatchUp(source));
        Assert.False(follower.CatchUp(source));
        Assert.Equal(LogState.Full, copy.State);
        Assert.Contains("space", copy.Error.Text, StringComparison.Ordinal);
        _here.Capacity = long.MaxValue;
        Assert.True(follower.CatchUp(source));
        Assert.Equal(LogState.Open, copy.State);
        AssertSame(source, copy);
    }

    [Fact]
    public void After_a_failed_sync_the_copy_gives_up_what_was_not_durable_and_takes_it_again()
    {
        WriteLog source = OpenSource(), copy = OpenCopy();
        var follower = new LogFollower(copy, new Random(1));
        Append(source, "durable");
        source.Flush();
        Assert.True(follower.CatchUp(source));
        Assert.True(copy.WaitSynced(1));
        for (int i = 0; i < 100; i++) Append(source, new string('x', 100));
        source.Flush();
        Assert.True(follower.CatchUp(source));
        _here.Fails = static operation => operation == "sync";
        Assert.False(copy.WaitSynced(101));
        Assert.Equal(LogState.Failed, copy.State);
        Assert.Throws<Leither.Ipfs.Files.DiskException>(() => copy.Append([1], Nothing));
        int dropped = 0;
        copy.DroppedBack = () => dropped++;
        _here.Fails = static _ => false;
        copy.Tick(0);
        copy.Tick(10_000);
        Assert.Equal(1, dropped);
        Assert.Equal((1ul, 1ul), (copy.LastSequence, copy.SyncedSequence));
        Assert.True(follower.CatchUp(source));
        Assert.True(copy.WaitSynced(101));
        Assert.Equal(101, follower.Applied.Count);
        AssertSame(source, copy);
    }

    [Fact]
    public void A_copy_becomes_the_writer_and_the_writer_a_copy()
    {
        byte[] alice = Enumerable.Repeat((byte)1, 32).ToArray(), bob = Enumerable.Repeat((byte)2, 32).ToArray();
        const ulong term = 1ul << 32;
        var origin = _origin with { Writers = epoch => epoch < term ? alice : bob };
        WriteLog source = Opened(WriteLog.Open(_there, Options(_worker) with { Origin = origin }, 0, null));
        WriteLog copy = Opened(WriteLog.OpenCopy(_here, Options(_copyWorker) with { Origin = origin }, default, null));
        var follower = new LogFollower(copy, new Random(1));
        for (int i = 0; i < 100; i++) Append(source, $"alice {i}");
        source.Flush();
        source.Begin(1);
        source.Write(new byte[20_000]); // and it never ends
        Assert.True(follower.CatchUp(source));
        source.Dispose();

        WriteLog writer = Opened(copy.Promote(term));
        Assert.Equal(new Position(term, 100), writer.LastPosition);
        Assert.False(writer.IsCopy);
        for (int i = 0; i < 100; i++) Append(writer, $"bob {i}");
        writer.Flush();
        writer.Cut();
        Assert.Equal(bob, writer.Seal(200)!.Node.Writer.ToArray());

        WriteLog again = Opened(WriteLog.OpenCopy(_there, Options(_worker) with { Origin = origin }, new Position(1, 100), null));
        var back = new LogFollower(again, new Random(1)) { Applied = [.. follower.Applied] };
        Assert.True(back.CatchUp(writer));
        Assert.Equal(200, back.Applied.Count);
        AssertSame(writer, again);
        Assert.Equal([alice[0], bob[0]], again.Chain!.Segments.Select(static s => s.Node.Writer.Span[0]).Distinct());
        Assert.Equal(0ul, again.Chain.Segments[0].Node.From - 1);

        // What it was told to begin with stays: the next start is of the same term.
        writer.Close();
        using WriteLog restarted = WriteLog.Open(_here, Options(_copyWorker) with { Origin = origin, FirstEpoch = term }, 0, null);
        Assert.Equal(new Position(term, 200), restarted.LastPosition);
    }

    [Fact]
    public void A_copy_that_a_disk_keeps_from_becoming_the_writer_becomes_it_when_it_is_asked_again()
    {
        WriteLog source = OpenSource(), copy = OpenCopy();
        var follower = new LogFollower(copy, new Random(1));
        for (int i = 0; i < 100; i++) Append(source, new string('x', 100));
        source.Flush();
        Assert.True(follower.CatchUp(source));

        // A sync fails: it is a copy still, which takes again what was not durable.
        _here.Fails = static operation => operation == "sync";
        Assert.Throws<Leither.Ipfs.Files.DiskException>(() => copy.Promote(2));
        _here.Fails = static _ => false;
        copy.Tick(0);
        copy.Tick(10_000);
        Assert.True(follower.CatchUp(source));
        AssertSame(source, copy);

        // There is no room for what the writer begins with.
        Assert.True(copy.WaitSynced(100));
        _here.Capacity = 0;
        Assert.Throws<Leither.Ipfs.Files.DiskException>(() => copy.Promote(2));
        Assert.Throws<Leither.Ipfs.Files.DiskException>(() => copy.Promote(2));
        _here.Capacity = long.MaxValue;
        WriteLog writer = Opened(copy.Promote(2));
        Assert.Equal(new Position(2, 100), writer.LastPosition);
        Append(writer, "written here");
        writer.Flush();
        Assert.Equal(101ul, writer.WrittenSequence);
    }

    /// <summary>A disk that fills takes a part of what is brought. That part is in no state, though its groups may be whole.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void What_a_full_disk_took_of_what_a_copy_was_brought_is_not_of_the_log_that_it_goes_on_to_write(bool isNextSegment)
    {
        WriteLog source = OpenSource(), copy = OpenCopy();
        var follower = new LogFollower(copy, new Random(1));
        for (int i = 0; i < 10; i++) Append(source, $"entry {i}");
        source.Flush();
        Assert.True(follower.CatchUp(source));
        long had = isNextSegment ? 0 : copy.WrittenEnd.Length;
        if (isNextSegment) source.Cut();
        for (int i = 0; i < 12; i++)
        {
            Append(source, new string('y', 100));
            source.Flush();
        }

        LogPlace newest = source.Places[^1];
        byte[] bytes = new byte[newest.Length - had];
        Assert.Equal(bytes.Length, source.ReadSegment(newest.Segment, had, bytes));
        _here.Capacity -= _here.FreeBytes - 1000;
        Assert.Throws<Leither.Ipfs.Files.DiskException>(() => copy.Append(bytes, follower.Apply));

        _here.Capacity = long.MaxValue;
        WriteLog writer = Opened(copy.Promote(2));
        Assert.Equal(10ul, writer.LastSequence);
        Append(writer, "written here");
        writer.Flush();
        writer.Close();
        var found = new List<string>();
        using WriteLog again = WriteLog.Open(_here, Options(_copyWorker), 0, (_, entry, length) => found.Add(Encoding.UTF8.GetString(entry + 10, (int)length - 10)));
        Assert.Equal([.. Enumerable.Range(0, 10).Select(static i => $"entry {i}"), "written here"], found);
    }

    [Fact]
    public void A_writer_that_lost_its_end_takes_its_own_bytes_back_and_begins_no_epoch_before() => Seed.Run(random =>
    {
        for (int round = 0; round < 50; round++)
        {
            var disk = new SimulatedDisk(round);
            using WriteLog source = WriteLog.Open(disk, Options(_worker), 0, null);
            using WriteLog copy = WriteLog.OpenCopy(new SimulatedDisk(round), Options(_copyWorker), default, null);
            int entries = random.Next(1, 200);
            for (int i = 0; i < entries; i++) Append(source, new string('e', random.Next(1, 200)));
            source.Flush();
            RunBoth();
            Assert.True(new LogFollower(copy, random).CatchUp(source));

            // The newest file ends anywhere: perhaps with its header.
            string newest = disk.Names.Last(name => SegmentHeader.TryParseName(name, out _) && disk.Content(name).AsSpan(LogFormat.SegmentHeaderBytes).ContainsAnyExcept((byte)0));
            byte[] content = disk.Content(newest);
            int end = content.AsSpan().LastIndexOfAnyExcept((byte)0) + 1;
            byte[] lost = content[..Math.Max(LogFormat.SegmentHeaderBytes, end - random.Next(1, 2 * end))];
            var left = new SimulatedDisk(round);
            foreach (string name in disk.Names) left.Put(name, name == newest ? lost : disk.Content(name));

            using WriteLog again = WriteLog.OpenCopy(left, Options(_worker), default, null, wasWritten: true);
            Assert.True(again.LastSequence < (ulong)entries);
            Assert.True(new LogFollower(again, random) { Applied = [.. Enumerable.Repeat(Array.Empty<byte>(), (int)again.LastSequence)] }.CatchUp(copy));
            Assert.Equal(copy.Places, again.Places);
            foreach (LogPlace place in copy.Places)
            {
                byte[] there = new byte[place.Length], here = new byte[place.Length];
                Assert.Equal(there.Length, copy.ReadSegment(place.Segment, 0, there));
                Assert.Equal(here.Length, again.ReadSegment(place.Segment, 0, here));
                Assert.Equal(there, here);
            }

            using WriteLog writer = again.Promote(2);
            Assert.Equal(new Position(2, (ulong)entries), writer.LastPosition with { Epoch = writer.Epoch });
        }
    });

    [Fact]
    public void What_a_writer_had_synced_and_is_damaged_is_no_loss_of_power()
    {
        WriteLog source = OpenSource();
        for (int i = 0; i < 20; i++)
        {
            Append(source, $"entry {i}");
            source.WaitSynced(source.LastSequence);
        }

        source.Close();
        string file = _there.Names.First(static name => SegmentHeader.TryParseName(name, out _));
        _there.FlipBit(file, LogFormat.SegmentHeaderBytes + 60, 3);
        Assert.Throws<LogCorruptedException>(() => WriteLog.OpenCopy(_there, Options(_worker), default, null, wasWritten: true));
    }

    [Fact]
    public void The_mark_behind_a_checkpoints_last_entry_outlives_a_killed_process_and_then_a_loss_of_power()
    {
        WriteLog source = OpenSource();
        Append(source, "an entry");
        source.WaitSynced(source.LastSequence);
        WriteLog copy = OpenCopy();
        var random = new Random(1);
        Assert.True(new LogFollower(copy, random).CatchUp(source));
        Assert.True(copy.WaitSynced(copy.LastSequence));
        Position checkpoint = copy.LastPosition;

        // The source ends in good order, and goes on in another segment: its mark is the copy's last bytes when its process is killed.
        source.Close();
        _there.Kill();
        source = OpenSource();
        Append(source, "another entry");
        source.Flush();
        Assert.True(new LogFollower(copy, random) { Applied = [[]] }.CatchUp(source));
        LogPlace marked = copy.Places[0];
        _here.Kill();
        copy.Dispose();

        copy = OpenCopy(checkpoint);
        Assert.Equal(marked, copy.Places[0]);
        _here.LosePower();
        copy.Dispose();

        copy = OpenCopy(checkpoint);
        Assert.Equal(marked, copy.Places[0]);
    }

    [Fact]
    public void A_loss_of_power_never_takes_the_mark_of_a_clean_end_and_leaves_what_follows_it()
    {
        var random = new Random(1);
        for (int life = 0; life < 100; life++)
        {
            // The copy has the entry durably; then come the mark behind it and the next segment, at once.
            SimulatedDisk there = new(random.Next()), here = new(random.Next());
            WriteLog source = OpenSource(on: there), copy = OpenCopy(on: here);
            copy.Fsync = FsyncPolicy.No;
            var follower = new LogFollower(copy, random);
            Append(source, "an entry");
            source.Flush();
            Assert.True(follower.CatchUp(source));
            Assert.True(copy.WaitSynced(copy.LastSequence));
            source.Close();
            source = OpenSource(on: there);
            Append(source, "another entry");
            source.Flush();
            Assert.True(follower.CatchUp(source));
            here.LosePower();
            copy.Dispose();

            copy = OpenCopy(on: here);
            IReadOnlyList<LogPlace> places = source.Places;
            Assert.True(copy.Places.Count < 2 || copy.Places[0] == places[0], $"life {life}: {copy.Places[0]} is followed by another, and was {places[0]}");
            Assert.True(new LogFollower(copy, random) { Applied = [.. follower.Applied[..(int)copy.LastSequence]] }.CatchUp(source));
            RunBoth();
            Assert.Equal(places, copy.Places);
            Assert.Equal(source.Chain!.Segments.Select(static s => s.Cid), copy.Chain!.Segments.Select(static s => s.Cid));
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void A_copy_that_ends_while_it_gives_up_what_was_not_durable_can_be_opened(int failing)
    {
        WriteLog source = OpenSource(), copy = OpenCopy();
        for (int i = 0; i < 100; i++)
        {
            Append(source, new string('x', 100));
            source.Flush();
        }

        // It has a segment that is not durable, and the next one could not be begun: that is a file which counts for nothing.
        IReadOnlyList<LogPlace> places = source.Places;
        copy.Append(Bytes(source, places[0]), Nothing);
        byte[] next = Bytes(source, places[1]);
        _here.Fails = static operation => operation == "write";
        Assert.Throws<Leither.Ipfs.Files.DiskException>(() => copy.Append(next, Nothing));
        int deleted = 0;
        _here.Fails = operation => operation == "delete" && ++deleted == failing;
        copy.Tick(1);
        copy.Tick(1_000_000);
        Assert.NotEqual(0, deleted);
        _here.Fails = static _ => false;
        _here.Kill();
        copy.Dispose();

        copy = OpenCopy();
        Assert.True(new LogFollower(copy, new Random(1)) { Applied = [.. Enumerable.Repeat<byte[]>([], (int)copy.LastSequence)] }.CatchUp(source));
        AssertSame(source, copy);
    }

    [Fact]
    public void Whatever_fails_while_a_copy_goes_back_its_nodes_are_those_of_the_source_once_it_has_caught_up()
    {
        WriteLog source = OpenSource();
        for (int i = 0; i < 100; i++)
        {
            Append(source, new string('x', 100));
            source.Flush();
        }

        bool hasFailed = true;
        for (int failing = 0; hasFailed; failing++)
        {
            var disk = new SimulatedDisk(failing);
            WriteLog copy = OpenCopy(on: disk);
            Assert.True(new LogFollower(copy, new Random(1)).CatchUp(source));
            RunBoth();
            int operations = 0;
            disk.Fails = _ => operations++ == failing;
            try
            {
                copy.GoBack(copy.Places[1]);
                hasFailed = false;
            }
            catch (Leither.Ipfs.Files.DiskException)
            {
                copy.Tick(1);
                copy.Tick(1_000_000);
                copy.GiveAfter(copy.LastSequence);
            }

            disk.Fails = static _ => false;
            Assert.True(new LogFollower(copy, new Random(1)) { Applied = [.. Enumerable.Repeat<byte[]>([], (int)copy.LastSequence)] }.CatchUp(source));
            RunBoth();
            Assert.Equal(source.Places, copy.Places);
            Assert.Equal(source.Chain!.Segments.Select(static s => s.Cid), copy.Chain!.Segments.Select(static s => s.Cid));
            copy.Dispose();
        }
    }

    [Fact]
    public void A_copy_whose_start_ends_while_it_takes_away_what_follows_its_end_can_be_opened()
    {
        WriteLog source = OpenSource(), copy = OpenCopy();
        for (int i = 0; i < 100; i++)
        {
            Append(source, new string('x', 100));
            source.Flush();
        }

        Assert.True(new LogFollower(copy, new Random(1)).CatchUp(source));
        copy.Close();

        // A loss of power took the first sectors of the first segment's groups, which others follow, and all groups of the last one.
        string[] names = [.. _here.Names.Where(static n => n.EndsWith(".seg", StringComparison.Ordinal))];
        Assert.True(names.Length > 2);
        _here.Content(names[0]).AsSpan(128, 384).Clear();
        _here.Put(names[^1], _here.Content(names[^1])[..128]);
        bool ended = true;
        for (int failing = 0; ended; failing++)
        {
            SimulatedDisk disk = _here.Copy();
            int changes = 0;
            disk.Fails = operation => operation is "delete" or "rename" && changes++ == failing;
            WriteLog again;
            try
            {
                again = OpenCopy(on: disk);
                ended = false;
            }
            catch (Leither.Ipfs.Files.DiskException)
            {
                disk.Kill();
                disk.Fails = static _ => false;
                again = OpenCopy(on: disk);
            }

            disk.Fails = static _ => false;
            Assert.Equal(0ul, again.LastSequence);
            Assert.True(new LogFollower(again, new Random(1)).CatchUp(source));
            Assert.Equal(source.Places, again.Places);
            again.Dispose();
        }
    }

    [Fact]
    public void A_copy_goes_on_behind_a_version_whose_log_is_not_there()
    {
        WriteLog source = OpenSource(), copy = OpenCopy();
        for (int i = 0; i < 200; i++)
        {
            Append(source, $"entry {i} of the version, and some more");
            source.Flush();
        }

        source.Cut();
        SealedSegment version = source.Seal(200)!;
        var follower = new LogFollower(copy, new Random(1)) { Applied = [.. Enumerable.Range(0, 200).Select(static _ => Array.Empty<byte>())] };
        copy.BeginCopyAt(version, 200);
        Assert.Equal(version.Start, copy.WrittenEnd.Segment);
        Assert.Equal(200ul, copy.SyncedSequence);
        for (int i = 0; i < 200; i++)
        {
            Append(source, $"entry {i} behind it");
            source.Flush();
            if (i % 50 != 0) continue;
            Assert.True(follower.CatchUp(source));
            copy.Close();
            copy = OpenCopy(new Position(1, 200));
            follower = new LogFollower(copy, new Random(i)) { Applied = follower.Applied };
        }

        Assert.True(follower.CatchUp(source));
        RunBoth();
        Assert.True(copy.Chain!.HasFloor);
        Assert.Empty(copy.Chain.Damage);
        Cid[] there = [.. source.Chain!.Segments.Select(static s => s.Cid)], here = [.. copy.Chain.Segments.Select(static s => s.Cid)];
        Assert.Equal(there[^here.Length..], here);
        Assert.True(here.Length is > 2 && here.Length < there.Length);

        // The nodes before come as blocks.
        ReadOnlyMemory<byte>[] older = [.. source.Chain.Segments.SkipLast(here.Length).Reverse().Select(static s => (ReadOnlyMemory<byte>)s.Node.Encode())];
        Assert.Throws<MalformedBlockException>(() => copy.AddOlder(older[1..]));
        Assert.Equal(2, copy.AddOlder(older[..2]));
        Assert.True(copy.Chain.HasFloor);
        Assert.Equal(older.Length - 2, copy.AddOlder(older[2..]));
        Assert.False(copy.Chain.HasFloor);
        copy.Close();
        copy = OpenCopy(new Position(1, 200));
        Assert.Equal(there, copy.Chain!.Segments.Select(static s => s.Cid));
        Assert.Empty(copy.Chain.Damage);
        Assert.Equal(older[0].ToArray(), copy.Chain.Get(Cid.Of(Multicodec.DagCbor, older[0].Span)));
    }

    [Fact]
    public void A_copy_that_a_disk_keeps_from_beginning_at_a_version_calls_nothing_durable_that_may_be_gone()
    {
        WriteLog source = OpenSource(), copy = OpenCopy();
        for (int i = 0; i < 100; i++)
        {
            Append(source, new string('x', 100));
            source.Flush();
        }

        source.Cut();
        SealedSegment segment = source.Seal(100)!;
        var follower = new LogFollower(copy, new Random(1));
        Assert.True(follower.CatchUp(source));
        Assert.True(copy.WaitSynced(100));
        int deleted = 0;
        _here.Fails = operation => operation == "delete" && ++deleted == 2;
        Assert.Throws<Leither.Ipfs.Files.DiskException>(() => copy.BeginCopyAt(segment, 100));
        Assert.Equal(0ul, copy.SyncedSequence);
        copy.BeginCopyAt(segment, 100);
        Assert.Equal(100ul, copy.SyncedSequence);
    }

    [Fact]
    public void A_copy_behind_a_version_can_go_back_to_it_and_no_further()
    {
        WriteLog source = OpenSource(), copy = OpenCopy();
        Append(source, "version");
        source.Cut();
        SealedSegment version = source.Seal(1)!;
        copy.BeginCopyAt(version, 1);
        Append(source, "undone");
        source.Flush();
        Assert.True(new LogFollower(copy, new Random(1)) { Applied = [[]] }.CatchUp(source));
        Assert.Equal(2ul, copy.LastSequence);
        Assert.Throws<ArgumentException>(() => copy.GoBack(default));
        Assert.Throws<ArgumentException>(() => copy.GoBack(copy.WrittenEnd.Place with { Length = 130 }));
        copy.GoBack(new LogPlace(version.Start, version.Length));
        Assert.Equal((1ul, version.Start), (copy.LastSequence, copy.WrittenEnd.Segment));
    }

    [Fact]
    public void A_copy_whose_beginning_is_gone_can_begin_anew_and_keeps_what_it_held()
    {
        WriteLog source = OpenSource(), copy = OpenCopy();
        for (int i = 0; i < 400; i++)
        {
            Append(source, new string('x', 100));
            source.Flush();
            if (i % 50 == 0) source.Cut();
        }

        Assert.True(new LogFollower(copy, new Random(1)).CatchUp(source));
        RunBoth();
        copy.DropThrough(300, 0);
        RunBoth();
        LogPlace[] held = [.. copy.Places];
        byte[][] bytes = [.. held.Select(p => Bytes(copy, p))];
        Assert.True(held[0].Segment.First > 1 && held.Length > 1);
        copy.BeginCopyAt(null);
        Assert.Equal((0ul, 0ul, default, false), (copy.LastSequence, copy.SyncedSequence, copy.WrittenEnd.Place, copy.Chain!.HasFloor));
        Assert.Empty(copy.Chain.Segments);
        string[] undone = [.. _here.Names.Where(static n => n.StartsWith("undone-", StringComparison.Ordinal)).Order(StringComparer.Ordinal)];
        Assert.Equal(held.Length, undone.Length);
        for (int i = 0; i < undone.Length; i++) Assert.True(_here.Content(undone[i]).AsSpan().SequenceEqual(bytes[i]));

        // Another writes from the first entry on.
        var follower = new LogFollower(copy, new Random(2));
        Assert.True(follower.CatchUp(source));
        Assert.Equal(400, follower.Applied.Count);
        copy.Close();
        copy = OpenCopy();
        RunBoth();
        Assert.Equal(source.WrittenEnd.Place, copy.WrittenEnd.Place);
        Assert.Equal(source.Chain!.Segments.Select(static s => s.Cid), copy.Chain!.Segments.Select(static s => s.Cid));
    }

    [Fact]
    public void A_digest_that_is_offered_is_not_computed_again()
    {
        WriteLog source = OpenSource(), copy = OpenCopy();
        Append(source, "entry");
        source.Cut();
        LogPlace place = source.Places[0];
        byte[] bytes = Bytes(source, place);
        Cid digest = Cid.Of(Multicodec.Raw, bytes), another = Cid.Of(Multicodec.Raw, []);
        source.OfferDigest(place.Segment, place.Length, digest);
        copy.Append(bytes, Nothing);
        copy.CutCopy();
        copy.OfferDigest(place.Segment, place.Length - 1, another); // of another length: not this segment's
        copy.OfferDigest(place.Segment, place.Length, digest);
        int before = _there.Calls["read"];
        SealedSegment node = source.Seal(1)!;
        Assert.Equal(before, _there.Calls["read"]);
        Assert.Equal(digest, node.Node.Data);
        Assert.Equal(node.Cid, copy.Seal(1)!.Cid);
        Assert.Equal(bytes, copy.Chain!.Get(node.Node.Data));
    }

    [Fact]
    public void A_segment_is_left_for_a_moment_to_who_hashes_it_anyway_unless_somebody_asks_for_it()
    {
        WriteLog source = OpenSource();
        source.AwaitsDigests = true;
        for (int i = 0; i < 2; i++)
        {
            Append(source, $"entry {i}");
            source.Cut();
        }

        Assert.True(source.Sync(2));
        source.PerformFileWork();
        source.PerformSeal(now: false);
        Assert.Empty(source.Chain!.Segments);
        LogPlace place = source.Places[0];
        byte[] bytes = Bytes(source, place);
        int before = _there.Calls["read"];
        source.OfferDigest(place.Segment, place.Length, Cid.Of(Multicodec.Raw, bytes));
        source.PerformSeal(now: false);
        Assert.Equal(before, _there.Calls["read"]);
        Assert.Equal(1ul, Assert.Single(source.Chain.Segments).Node.To);
        Assert.Equal(2ul, source.Seal(2)!.Node.To);
    }

    [Fact]
    public void What_is_kept_is_not_trimmed_and_what_is_trimmed_is_gone()
    {
        WriteLog source = OpenSource();
        int told = 0;
        source.Written = () => told++;
        for (int i = 0; i < 200; i++)
        {
            Append(source, new string('x', 100));
            source.Flush();
        }

        Assert.Equal(200, told);
        source.Flush();
        Assert.Equal(200, told);
        RunBoth();
        LogPlace first = source.Places[0];
        int open = _there.OpenHandles;
        using (source.Keep(1))
        {
            source.DropThrough(200, 0);
            Assert.Equal(first, source.Places[0]);
            Assert.Equal(10, source.ReadSegment(first.Segment, 0, new byte[10]));
        }

        source.DropThrough(200, 0);
        Assert.Equal(-1, source.ReadSegment(first.Segment, 0, new byte[10]));
        Assert.NotEqual(first, source.Places[0]);
        RunBoth();
        Assert.Equal(open, _there.OpenHandles);
    }

    [Fact]
    public void However_often_starts_are_cut_short_what_they_cut_off_is_shown_to_nobody()
    {
        // The beginning of a large entry fills a segment, which is sealed; the entry never gets its end.
        WriteLog source = OpenSource();
        Append(source, "an entry");
        Assert.True(source.WaitSynced(1));
        Position checkpoint = source.LastPosition;
        source.Begin(2000);
        for (int i = 0; i < 8; i++)
        {
            source.Write(new byte[5000]);
            source.Flush();
        }

        Assert.True(source.WaitSynced(1));
        source.Sync(2);
        RunBoth();
        Assert.NotEmpty(source.Chain!.Segments);
        _there.Kill();
        source.Dispose();
        bool isWhole = false;
        for (int operations = 0; !isWhole; operations++)
        {
            SimulatedDisk there = _there.Copy(), here = new(1);
            there.OperationsLeft = operations;
            try
            {
                OpenAt(there);
                isWhole = true;
            }
            catch (SimulatedDisk.ProcessEndedException)
            {
                // As is wanted.
            }

            there.Kill();
            source = OpenAt(there);
            Append(source, "another entry");
            source.Flush();
            WriteLog copy = OpenCopy(on: here);
            Assert.True(new LogFollower(copy, new Random(1)).CatchUp(source), $"after {operations} operations");
            Assert.Equal(source.Places, copy.Places);
        }

        WriteLog OpenAt(SimulatedDisk there) => Opened(WriteLog.Open(there, Options(_worker), checkpoint, null));
    }

    [Fact]
    public void What_somebody_keeps_counts_among_what_is_kept_anyway()
    {
        WriteLog source = OpenSource();
        for (int i = 0; i < 400; i++)
        {
            Append(source, new string('x', 100));
            source.Flush();
        }

        RunBoth();
        IReadOnlyList<LogPlace> places = source.Places;
        using (source.Keep(places[^3].Segment.First)) source.DropThrough(400, 4 * 4096);
        Assert.Equal(places.TakeLast(5), source.Places);
        using (source.Keep(places[^4].Segment.First)) source.DropThrough(400, 0);
        Assert.Equal(places.TakeLast(4), source.Places);
    }

    [Fact]
    public void Bytes_that_lie_are_refused_and_nothing_is_taken() => Seed.Run(random =>
    {
        WriteLog source = OpenSource();
        for (int i = 0; i < 60; i++)
        {
            Append(source, i % 9 == 0 ? new string('x', 3000) : $"entry {i}");
            if (i % 3 == 0) source.Flush();
        }

        source.Close();
        source = OpenSource();
        Append(source, "after a clean end");
        source.Flush();
        byte[][] segments = [.. source.Places.Select(p => Bytes(source, p))];
        Action<Random, byte[]>[] lies = [FlipBit, Relabel, ForgeGroup, ForgeHeader];
        for (int round = 0; round < (Seed.IsLong ? 200_000 : 3000); round++)
        {
            var disk = new SimulatedDisk(round);
            using WriteLog copy = WriteLog.OpenCopy(disk, Options(_copyWorker), default, null);
            int honest = random.Next(segments.Length), at = 0;
            for (int i = 0; i < honest; i++) Assert.Equal(segments[i].Length, copy.Append(segments[i], Nothing));
            byte[] bytes = segments[honest], lie = (byte[])bytes.Clone();
            if (random.Next(2) == 0)
            {
                at = (int)copy.Append(bytes.AsSpan(0, random.Next(bytes.Length)), Nothing);
                lie = [.. bytes.AsSpan(at)];
            }

            Forge(random, lies, bytes, ref lie, at);
            LogEnd before = copy.WrittenEnd;
            ulong given = copy.LastSequence;
            try
            {
                long taken = copy.Append(lie, (sequence, entry, length) =>
                {
                    Assert.Equal(++given, sequence);
                    Assert.True(length >= 10);
                });
                Assert.InRange(taken, 0, lie.Length);
                Assert.Equal(given, copy.LastSequence);
            }
            catch (Exception e) when (e is LogCorruptedException or LogUndoneException)
            {
                Assert.Equal(before, copy.WrittenEnd);
                Assert.Equal(given, copy.LastSequence);
                for (int i = honest; i < segments.Length; i++, at = 0) Assert.Equal(segments[i].Length - at, copy.Append(segments[i].AsSpan(at), Nothing));
                Assert.Equal(source.LastSequence, copy.LastSequence);
            }

            // Whatever it took, it can be read again, and by a writer.
            ulong last = copy.LastSequence;
            copy.Close();
            using (WriteLog again = WriteLog.OpenCopy(disk, Options(_copyWorker), default, null)) Assert.Equal(last, again.LastSequence);
            using WriteLog writer = WriteLog.Open(disk, Options(_copyWorker), 0, null);
            Assert.Equal(last, writer.LastSequence);
        }
    });

    /// <summary>A group of what is sent says something else, with a checksum that is right; or the segment's header does, and all checksums fit it.</summary>
    private static void Forge(Random random, Action<Random, byte[]>[] lies, byte[] segment, ref byte[] sent, int at)
    {
        Action<Random, byte[]> lie = lies[random.Next(lies.Length)];
        uint seed = BitConverter.ToUInt32(segment, 124);
        int start = at == 0 ? LogFormat.SegmentHeaderBytes : 0;
        if (lie == ForgeHeader && at == 0)
        {
            ForgeHeader(random, sent);
            fixed (byte* header = sent) seed = Crc(header);
            BitConverter.TryWriteBytes(sent.AsSpan(124), seed);
        }
        else if (lie == FlipBit || sent.Length <= start)
        {
            if (sent.Length > 0) FlipBit(random, sent);
            return;
        }

        fixed (byte* bytes = sent)
        {
            var groups = new List<int>();
            for (int i = start; i < sent.Length; i += (int)Group.Trusted(bytes + i).TotalBytes) groups.Add(i);
            int chosen = random.Next(groups.Count);
            for (int i = 0; i < groups.Count; i++)
            {
                int end = i + 1 < groups.Count ? groups[i + 1] : sent.Length;
                byte[] group = sent[groups[i]..end];
                if (i == chosen && lie != ForgeHeader) lie(random, group);
                group.CopyTo(sent, groups[i]);
                uint payload = BitConverter.ToUInt32(sent, groups[i] + 4);
                if (payload <= sent.Length - groups[i] - LogFormat.GroupHeaderBytes) Group.Seal(bytes + groups[i], seed, BitConverter.ToUInt64(sent, groups[i] + 24));
            }
        }
    }

    private static uint Crc(byte* header) => Leither.Ipfs.Files.Crc32C.Compute(0, header, 124);

    private static void FlipBit(Random random, byte[] bytes) => bytes[random.Next(bytes.Length)] ^= (byte)(1 << random.Next(8));

    private static void Relabel(Random random, byte[] group) => group[2] = (byte)random.Next(1, 6);

    private static void ForgeGroup(Random random, byte[] group)
    {
        int[] fields = [4, 12, 16, 24, 32, 36, 40];
        int field = fields[random.Next(fields.Length)];
        if (field >= group.Length) field = 16;
        if (random.Next(2) == 0) group[field] += (byte)random.Next(1, 255);
        else random.NextBytes(group.AsSpan(field, Math.Min(random.Next(1, 9), group.Length - field)));
    }

    private static void ForgeHeader(Random random, byte[] segment)
    {
        int[] fields = [8, 12, 16, 24, 96, 104, 112, 120];
        segment[fields[random.Next(fields.Length)]] += (byte)random.Next(1, 255);
    }

    private static void Nothing(ulong sequence, byte* entry, long length)
    {
    }

    private WriteLog OpenSource(ulong epoch = 0, SimulatedDisk? on = null) => Opened(WriteLog.Open(on ?? _there, Options(_worker) with { FirstEpoch = epoch }, 0, null));

    private WriteLog OpenCopy(Position after = default, EntryVisitor? onEntry = null, SimulatedDisk? on = null) =>
        Opened(WriteLog.OpenCopy(on ?? _here, Options(_copyWorker), after, onEntry));

    private WriteLog Opened(WriteLog log)
    {
        _opened.Add(log);
        return log;
    }

    private LogOptions Options(LogWorker worker) => new() { SegmentBytes = 4096, Worker = worker, Origin = _origin, Salt = () => ++_salt };

    private void RunBoth()
    {
        _worker.Run();
        _copyWorker.Run();
    }

    private static void Append(WriteLog log, string text)
    {
        log.Begin((ulong)log.LastSequence + 1000);
        log.Write(Encoding.UTF8.GetBytes(text));
        log.End();
    }

    private void AssertSame(WriteLog source, WriteLog copy)
    {
        RunBoth();
        Assert.Equal(source.Places, copy.Places);
        foreach (LogPlace place in source.Places) Assert.Equal(Bytes(source, place), Bytes(copy, place));
        Assert.Equal(source.Chain!.Segments.Select(static s => s.Cid), copy.Chain!.Segments.Select(static s => s.Cid));
        foreach (SegmentDescription segment in copy.Segments.Where(static s => s.IsFinished)) Assert.Equal(_there.Content(segment.Name), _here.Content(segment.Name));
    }

    private static byte[] Bytes(WriteLog log, LogPlace place)
    {
        byte[] bytes = new byte[place.Length];
        Assert.Equal(bytes.Length, log.ReadSegment(place.Segment, 0, bytes));
        Assert.Equal(0, log.ReadSegment(place.Segment, place.Length, new byte[1]));
        Assert.Equal(-1, log.ReadSegment(place.Segment, place.Length + 1, new byte[1]));
        return bytes;
    }
}
