using System.Text;
using Leither.Ipfs.Files;
using Leither.MmDb.Log;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Log;

/// <summary>What the log promises while it is open.</summary>
public sealed unsafe class WriteLogTests
{
    private readonly SimulatedDisk _disk = new(0);
    private readonly LogWorker _worker = LogWorker.Manual();
    private long _now = 1_000;

    [Theory]
    [InlineData(FsyncPolicy.Always)]
    [InlineData(FsyncPolicy.EverySecond)]
    [InlineData(FsyncPolicy.No)]
    public void On_a_real_disk_entries_come_back_in_order_after_clean_ends_and_crashes(FsyncPolicy policy)
    {
        using var directory = new TempDir();
        var options = new LogOptions { Fsync = policy, SegmentBytes = 8192 };
        var files = DiskFolder.Make(Path.Combine(directory.Path, "log"));
        var expected = new List<string>();
        for (int round = 0; round < 4; round++)
        {
            var replayed = new List<string>();
            using WriteLog log = WriteLog.Open(files, options, 0ul, (sequence, entry, length) =>
            {
                replayed.Add(Text(entry, length));
                Assert.Equal((ulong)replayed.Count, sequence);
            });
            Assert.Equal(expected, replayed);
            Assert.Equal(round == 3 ? 2ul : 1ul, log.Epoch);
            for (int i = 0; i < 500; i++)
            {
                expected.Add($"entry {round}/{i} {new string('x', i % 97 * (i % 50 == 0 ? 300 : 1))}");
                Append(log, expected[^1]);
                if (i % 16 == 15) log.Flush();
            }
            log.Flush();
            Assert.Null(log.BackgroundError);
            if (round != 2) log.Close();
        }
    }

    [Fact]
    public void With_everysec_the_background_syncs_on_its_own()
    {
        using var directory = new TempDir();
        using WriteLog log = WriteLog.Open(DiskFolder.Make(directory.Path), new LogOptions { Fsync = FsyncPolicy.EverySecond }, 0ul, null);
        for (ulong round = 1; round <= 2; round++)
        {
            Append(log, "entry");
            log.Flush();
            Assert.Equal(round, log.WrittenSequence);
            Wait.Until(() => log.SyncedSequence >= round);
            Assert.Equal(round, log.SyncedSequence);
        }
    }

    [Fact]
    public void A_real_file_that_cannot_be_had_is_an_error_with_operation_file_and_reason()
    {
        using var directory = new TempDir();
        var files = DiskFolder.Make(directory.Path);
        DiskException e = Assert.Throws<DiskException>(() => files.Open("missing.seg"));
        Assert.Equal("open", e.Operation);
        Assert.Equal(directory.File("missing.seg"), e.File);
        Assert.False(e.IsFull);
        files.Create("a").Dispose();
        Assert.Throws<DiskException>(() => files.Create("a"));
        files.Rename("a", "b");
        Assert.Equal(["b"], files.List().Select(static f => f.Name));
        files.Delete("b");
        files.Delete("b");
        Assert.Empty(files.List());
        Assert.True(files.FreeBytes > 0);
        using IFile file = files.Create("c");
        file.Allocate(10_000);
        Assert.Equal(10_000, file.Length);
        file.Truncate(3);
        byte* bytes = stackalloc byte[10];
        Assert.Equal(3, file.Read(0, new Span<byte>(bytes, 10)));
    }

    [Fact]
    public void A_turn_of_64_entries_is_one_write_and_with_always_one_sync()
    {
        using WriteLog log = Open(FsyncPolicy.Always, 1 << 20);
        (int writes, int syncs) = (Calls("write"), Calls("sync"));
        for (int i = 0; i < 64; i++) Append(log, $"entry {i}");
        Assert.True(log.HasUnwritten);
        log.Flush();
        Assert.False(log.HasUnwritten);
        Assert.Equal((writes + 1, syncs + 1), (Calls("write"), Calls("sync")));
        Assert.Equal(64ul, log.AcknowledgeableSequence);
        log.Flush();
        Assert.Equal((writes + 1, syncs + 1), (Calls("write"), Calls("sync")));
    }

    [Fact]
    public void Each_policy_syncs_when_it_says_and_can_be_changed_while_open()
    {
        using WriteLog log = Open(FsyncPolicy.No, 4096);
        Append(log, "one");
        log.Flush();
        _worker.Run();
        Assert.Equal((1ul, 0ul, 1ul), (log.WrittenSequence, log.SyncedSequence, log.AcknowledgeableSequence));

        // A finished segment is synced under any policy.
        for (int i = 0; i < 10; i++) Append(log, new string('x', 900));
        log.Flush();
        _worker.Run();
        Assert.InRange(log.SyncedSequence, 4ul, 10ul);

        log.Fsync = FsyncPolicy.EverySecond;
        _worker.Run();
        Assert.Equal(11ul, log.SyncedSequence);

        log.Fsync = FsyncPolicy.Always;
        Append(log, "last");
        log.Flush();
        Assert.Equal(12ul, log.SyncedSequence);

        log.Fsync = FsyncPolicy.No;
        Append(log, "waited for");
        Assert.True(log.WaitSynced(13));
        Assert.Equal(13ul, log.SyncedSequence);
    }

    [Fact]
    public void Building_and_writing_entries_allocates_nothing()
    {
        using var directory = new TempDir();
        using WriteLog log = WriteLog.Open(DiskFolder.Make(directory.Path), Options(FsyncPolicy.No, 1 << 20), 0ul, null);
        byte[] body = new byte[100];
        Turn();
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 50; i++) Turn();
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());

        void Turn()
        {
            for (int i = 0; i < 64; i++)
            {
                Assert.True(log.CanAccept(100, out _));
                log.Begin(1);
                log.Write(body);
                log.End();
            }
            log.Flush();
        }
    }

    [Fact]
    public void The_next_segment_is_prepared_before_it_is_needed()
    {
        using WriteLog log = Open(FsyncPolicy.EverySecond, 4096);
        for (int i = 0; i < 200; i++)
        {
            int created = Calls("create"), allocated = Calls("allocate");
            Append(log, new string('x', 300));
            log.Flush();
            Assert.Equal((created, allocated), (Calls("create"), Calls("allocate")));
            _worker.Run();
        }
        Assert.True(log.Segments.Count > 10);
    }

    [Fact]
    public void Finished_segments_hold_nothing_but_their_groups_and_are_listed_in_order()
    {
        using WriteLog log = Open(FsyncPolicy.EverySecond, 4096);
        for (int i = 0; i < 100; i++) Append(log, new string('x', 200));
        log.Flush();
        _worker.Run();
        IReadOnlyList<SegmentDescription> segments = log.Segments;
        ulong next = 1;
        foreach (SegmentDescription segment in segments)
        {
            Assert.Equal(next, segment.FirstSequence);
            next = segment.LastSequence + 1;
            Assert.Equal(segment != segments[^1], segment.IsFinished);
            if (segment.IsFinished) Assert.Equal(segment.Length, _disk.Content(segment.Name).Length);
        }
        Assert.Equal(101ul, next);
        Assert.Equal(log.TotalBytes, segments.Sum(s => s.Length));
    }

    [Fact]
    public void Dropping_deletes_whole_segments_below_the_checkpoint_and_keeps_the_bytes_asked_for()
    {
        var options = Options(FsyncPolicy.EverySecond, 4096);
        WriteLog log = WriteLog.Open(_disk, options, 0ul, null);
        for (int i = 0; i < 100; i++) Append(log, new string('x', 200));
        log.Flush();
        _worker.Run();
        log.DropThrough(0, 0);
        Assert.Equal(1ul, log.Segments[0].FirstSequence);
        log.DropThrough(50, 10_000);
        ulong first = log.Segments[0].FirstSequence;
        long kept = log.Segments.Where(s => s.LastSequence <= 50).Sum(s => s.Length);
        Assert.InRange(kept, 1, 10_000);
        log.DropThrough(50, 0);
        Assert.InRange(log.Segments[0].FirstSequence, first + 1, 51ul);
        _worker.Run();
        Assert.Equal(log.Segments.Select(s => s.Name).Order(), _disk.Names.Where(n => n.StartsWith('0')));
        log.Dispose();
        int replayed = 0;
        using WriteLog again = WriteLog.Open(_disk, options, 50, (_, _, _) => replayed++);
        Assert.Equal(50, replayed);
    }

    [Fact]
    public void An_abandoned_entry_leaves_no_trace_and_one_that_was_partly_written_cannot_be_abandoned()
    {
        using WriteLog log = Open(FsyncPolicy.Always, 8192);
        Append(log, "one");
        log.Begin(1);
        log.Write("gone"u8);
        Assert.True(log.InEntry && log.CanAbandon);
        log.Abandon();
        Assert.False(log.InEntry);
        Append(log, "two");
        log.Begin(1);
        log.Write(new byte[20_000]);
        Assert.False(log.CanAbandon);
        Assert.Throws<InvalidOperationException>(log.Abandon);
        Assert.Equal(3ul, log.End());
        log.Close();
        Assert.Equal(["one", "two", new string('\0', 20_000)], Read());
    }

    [Fact]
    public void A_turn_may_be_written_while_an_entry_is_in_progress()
    {
        using WriteLog log = Open(FsyncPolicy.Always, 8192);
        Append(log, "before");
        log.Begin(1);
        log.Write("in "u8);
        log.Flush();
        Assert.Equal(1ul, log.AcknowledgeableSequence);
        log.Write("progress"u8);
        log.Flush();
        log.End();
        log.Flush();
        Assert.Equal(2ul, log.AcknowledgeableSequence);
        log.Close();
        Assert.Equal(["before", "in progress"], Read());
    }

    [Fact]
    public void A_large_entry_goes_to_the_file_while_it_is_built_and_counts_only_when_it_is_whole()
    {
        const int size = 20 << 20;
        byte[] large = new byte[size];
        new Random(3).NextBytes(large);
        var options = Options(FsyncPolicy.EverySecond, 1 << 20);
        WriteLog log = WriteLog.Open(_disk, options, 0ul, null);
        Append(log, "small");
        Assert.True(log.CanAccept(size, out _));
        log.Begin(1);
        fixed (byte* p = large) log.Write(p, size);
        Assert.True(log.TotalBytes > size - (2 << 20), "most of it is in the file");
        log.Flush();
        SimulatedDisk unfinished = _disk.Copy();
        log.End();
        log.Flush();
        SimulatedDisk finished = _disk.Copy();
        log.Dispose();

        Assert.Equal(["small"], Read(unfinished));
        int entries = 0;
        using WriteLog again = WriteLog.Open(finished, options, 0ul, (sequence, entry, length) =>
        {
            entries++;
            if (sequence == 2) Assert.True(new ReadOnlySpan<byte>(entry + 10, (int)length - 10).SequenceEqual(large));
        });
        Assert.Equal(2, entries);
    }

    [Fact]
    public void A_large_entry_is_not_held_in_memory_once_it_is_in_the_file()
    {
        const int size = 20 << 20, retained = 2 << 20;
        byte[] large = new byte[size];
        using WriteLog log = WriteLog.Open(_disk, Options(FsyncPolicy.No, 1 << 20, retained), 0ul, null);
        log.Begin(1);
        fixed (byte* p = large) log.Write(p, size);
        Assert.InRange(log.BufferBytes, 1, retained + (4 << 20));
        log.End();
        log.Flush();
        Assert.InRange(log.BufferBytes, 1, retained + (4 << 20));
    }

    [Fact]
    public void A_full_disk_refuses_before_the_command_runs_and_takes_entries_again_when_there_is_space()
    {
        using WriteLog log = Open(FsyncPolicy.Always, 4096);
        _disk.Capacity = 4 * 4096;
        var expected = new List<string>();
        LogError error;
        while (log.CanAccept(600, out error))
        {
            expected.Add($"{expected.Count} {new string('x', 500)}");
            Append(log, expected[^1]);
            log.Flush();
            Assert.Equal((ulong)expected.Count, log.AcknowledgeableSequence);
        }
        Assert.InRange(expected.Count, 15, 30);
        Assert.Equal((LogState.Full, "No space left on device"), (error.State, error.Text));
        Assert.Equal(LogState.Full, log.State);
        Pass(log);
        Assert.Equal(LogState.Full, log.State);

        _disk.Capacity = long.MaxValue;
        Pass(log);
        Assert.Equal(LogState.Open, log.State);
        Assert.True(log.CanAccept(600, out _));
        expected.Add("after");
        Append(log, "after");
        log.Close();
        Assert.Equal(expected, Read());
        Assert.Equal(1ul, log.Epoch);
    }

    [Fact]
    public void A_large_entry_for_which_there_is_no_space_is_refused_and_takes_none()
    {
        using WriteLog log = Open(FsyncPolicy.Always, 1 << 16);
        _disk.Capacity = 10 << 16;
        Assert.True(log.CanAccept(3 << 16, out _));
        Assert.False(log.CanAccept(20 << 16, out LogError error));
        Assert.Equal(LogState.Full, error.State);
        Assert.True(_disk.FreeBytes >= 7 << 16);
        Assert.True(log.CanAccept(100, out _));
    }

    [Theory]
    [InlineData("write", false)]
    [InlineData("write", true)]
    [InlineData("sync", false)]
    [InlineData("sync", true)]
    public void After_an_error_everything_unsynced_is_written_anew_and_writes_are_refused_until_then(string operation, bool retainLittle)
    {
        LogOptions options = Options(FsyncPolicy.EverySecond, 1 << 14, retainLittle ? 50_000 : 1 << 20);
        using WriteLog log = WriteLog.Open(_disk, options, 0ul, null);
        var expected = new List<string>();
        for (int i = 0; i < 1000; i++)
        {
            expected.Add($"{i} {new string('y', 100)}");
            Append(log, expected[^1]);
            if (i % 10 == 0) log.Flush();
            if (i == 300) _worker.Run();
        }
        log.Flush();
        ulong synced = log.SyncedSequence;
        Assert.Equal(301ul, synced);

        _disk.Fails = o => o == operation;
        expected.Add("last");
        Append(log, "last");
        log.Flush();
        _worker.Run();
        Assert.Equal(LogState.Failed, log.State);
        Assert.False(log.CanAccept(1, out LogError error));
        Assert.Contains("Input/output error", error.Text);
        Assert.Equal(synced, log.SyncedSequence);
        Pass(log);
        Assert.Equal(LogState.Failed, log.State);
        Assert.Equal(synced, log.SyncedSequence);

        _disk.Fails = static _ => false;
        Pass(log);
        if (retainLittle && operation == "sync")
        {
            // The cache still shows what the disk did not take; it is read back, checked and written elsewhere.
            Assert.True(Calls("read") > 0);
        }
        Assert.Equal(LogState.Open, log.State);
        Assert.True(log.CanAccept(1, out _));
        Assert.Equal(1001ul, log.SyncedSequence);
        Assert.Contains(log.Segments, s => s.Name.Contains("-g", StringComparison.Ordinal));

        expected.Add("after");
        Append(log, "after");
        log.Flush();
        Assert.InRange(log.PerformSync(now: false), 0, 1000); // the next second's sync was asked for
        _worker.Run();
        Assert.Equal(1002ul, log.SyncedSequence);
        log.Dispose();
        _disk.LosePower();
        Assert.Equal(expected, Read());
    }

    [Fact]
    public void Each_segment_of_a_tail_written_anew_vouches_for_those_before()
    {
        LogOptions options = Options(FsyncPolicy.EverySecond, 4096, 1 << 20);
        using WriteLog log = WriteLog.Open(_disk, options, 0ul, null);
        _disk.Fails = static o => o == "sync";
        for (int i = 0; i < 100; i++)
        {
            Append(log, new string('x', 300));
            log.Flush();
        }

        _worker.Run();
        Assert.Equal(LogState.Failed, log.State);
        _disk.Fails = static _ => false;
        Pass(log);
        Assert.Equal(100ul, log.SyncedSequence);
        string first = log.Segments.First(static s => s.Name.Contains("-g", StringComparison.Ordinal)).Name;
        log.Dispose();
        _disk.Kill();

        // As a page that never got to the disk would look: but all of it had been synced.
        _disk.Content(first).AsSpan(1024).Clear();
        LogCorruptedException e = Assert.Throws<LogCorruptedException>(() => WriteLog.Open(_disk, options, 0ul, null));
        Assert.Contains(first, e.Message, StringComparison.Ordinal);
        Assert.Contains("had been synced", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void With_always_nothing_is_acknowledged_while_the_disk_fails_and_everything_once_it_works()
    {
        using WriteLog log = Open(FsyncPolicy.Always, 1 << 14);
        Append(log, "one");
        log.Flush();
        _disk.Fails = static o => o == "sync";
        Append(log, "two");
        log.Flush();
        Assert.Equal(1ul, log.AcknowledgeableSequence);
        int syncs = Calls("sync");
        log.Flush();
        Assert.Equal(syncs, Calls("sync")); // never simply tried again
        Assert.False(log.WaitSynced(2));
        _disk.Fails = static _ => false;
        Pass(log);
        Assert.Equal(2ul, log.AcknowledgeableSequence);
    }

    [Fact]
    public void An_entry_that_was_being_built_when_the_disk_failed_is_not_lost()
    {
        using WriteLog log = Open(FsyncPolicy.Always, 1 << 14);
        byte[] large = new byte[200_000];
        new Random(5).NextBytes(large);
        log.Begin(1);
        log.Write(large.AsSpan(0, 50_000));
        _disk.Fails = static o => o is "write";
        log.Write(large.AsSpan(50_000, 100_000));
        Assert.Equal(LogState.Failed, log.State);
        log.Write(large.AsSpan(150_000));
        log.End();
        log.Flush();
        Assert.Equal(0ul, log.AcknowledgeableSequence);
        _disk.Fails = static _ => false;
        Pass(log);
        Assert.Equal(1ul, log.AcknowledgeableSequence);
        log.Close();
        bool same = false;
        using WriteLog again = WriteLog.Open(_disk, Options(FsyncPolicy.Always, 1 << 14), 0ul, (_, entry, length) =>
            same = new ReadOnlySpan<byte>(entry + 10, (int)length - 10).SequenceEqual(large));
        Assert.True(same);
    }

    [Fact]
    public void A_log_that_cannot_be_closed_well_says_so()
    {
        WriteLog log = Open(FsyncPolicy.EverySecond, 4096);
        Append(log, "one");
        _disk.Fails = static o => o == "sync";
        Assert.Throws<DiskException>(log.Close);
        Assert.Equal(LogState.Closed, log.State);
        Assert.False(log.CanAccept(1, out LogError error));
        Assert.Equal(LogState.Closed, error.State);
        Assert.Throws<ObjectDisposedException>(log.Flush);
        Assert.Throws<ObjectDisposedException>(() => log.Begin(1));
    }

    [Fact]
    public void A_log_that_was_busy_gives_back_what_it_had_prepared()
    {
        using WriteLog log = Open(FsyncPolicy.EverySecond, 4096);
        for (int i = 0; i < 500; i++) Append(log, new string('x', 300)); // no background in between: it falls behind
        log.Flush();
        for (int i = 0; i < 20; i++)
        {
            log.Tick(_now += 11_000);
            _worker.Run();
        }
        Assert.InRange(_disk.Names.Count(n => n.StartsWith("prepared", StringComparison.Ordinal)), 0, 1);
    }

    [Fact]
    public void A_failing_rename_or_deletion_endangers_nothing_and_is_tried_again()
    {
        using WriteLog log = Open(FsyncPolicy.EverySecond, 4096);
        _disk.Fails = static o => o is "rename" or "delete" or "truncate";
        for (int i = 0; i < 50; i++) Append(log, new string('x', 300));
        log.Flush();
        _worker.Run();
        Assert.Equal(LogState.Open, log.State);
        Assert.Equal(50ul, log.SyncedSequence);
        Assert.Contains("Input/output error", log.BackgroundError);
        _disk.Fails = static _ => false;
        Pass(log);
        Assert.Null(log.BackgroundError);
        Assert.True(log.Segments[0].IsFinished);
    }

    private int Calls(string operation) => _disk.Calls.GetValueOrDefault(operation);

    [Fact]
    public void A_segment_is_read_in_the_moment_in_which_its_file_gets_its_name()
    {
        Action? renamed = null;
        using WriteLog log = WriteLog.Open(new TellingFolder(_disk, () => renamed?.Invoke()), Options(FsyncPolicy.No, 4096), 0ul, null);
        for (int i = 0; i < 2; i++)
        {
            _worker.Run(); // prepares the next segment
            Append(log, new string('x', 3000));
            log.Flush();
        }

        LogPlace place = log.Places[1];
        var read = new List<int>();
        renamed = () => read.Add(log.ReadSegment(place.Segment, 0, new byte[10]));
        _worker.Run();
        Assert.Equal([10], read);
    }

    /// <summary>A folder that tells when a file has another name.</summary>
    private sealed class TellingFolder(IFolder disk, Action renamed) : IFolder
    {
        public long FreeBytes => disk.FreeBytes;

        public IReadOnlyList<(string Name, long Length)> List() => disk.List();

        public IFile Open(string name) => disk.Open(name);

        public IFile Create(string name) => disk.Create(name);

        public void Rename(string from, string to)
        {
            disk.Rename(from, to);
            renamed();
        }

        public void Delete(string name) => disk.Delete(name);

        public void SyncDirectory() => disk.SyncDirectory();

        public string FullName(string name) => disk.FullName(name);
    }

    /// <summary>Time for one retry goes by.</summary>
    private void Pass(WriteLog log)
    {
        log.Tick(_now += 2_000);
        log.Tick(_now += 2_000);
        _worker.Run();
        log.Tick(_now += 1);
    }

    private WriteLog Open(FsyncPolicy policy, int segmentBytes) => WriteLog.Open(_disk, Options(policy, segmentBytes), 0ul, null);

    private LogOptions Options(FsyncPolicy policy, int segmentBytes, long retained = 64 << 20) =>
        new() { Fsync = policy, SegmentBytes = segmentBytes, RetainedTailBytes = retained, Worker = _worker };

    private List<string> Read(SimulatedDisk? disk = null)
    {
        var found = new List<string>();
        using WriteLog log = WriteLog.Open(disk ?? _disk, Options(FsyncPolicy.No, 4096), 0ul, (_, entry, length) => found.Add(Text(entry, length)));
        return found;
    }

    private static string Text(byte* entry, long length) => Encoding.ASCII.GetString(entry + 10, (int)length - 10);

    private static void Append(WriteLog log, string text)
    {
        log.Begin(1);
        log.Write(Encoding.ASCII.GetBytes(text));
        log.End();
    }
}
