// Checkpoints as files: their bytes, what happens to damaged ones, and a MiMei that is opened again from checkpoint and log.

using Leither.Ipfs.Files;
using Leither.MmDb.Checkpoints;
using Leither.MmDb.Configuration;
using Leither.MmDb.Log;
using Leither.MmDb.Tests.Log;
using Leither.TestKit;
using Xunit;
using Xunit.Abstractions;

namespace Leither.MmDb.Tests.Checkpoints;

public sealed class CheckpointTests(ITestOutputHelper output) : IDisposable
{
    // The state that the golden file holds, and the file: stored bytes never change their meaning.
    private static readonly string[] _goldenState =
    [
        "SET text hello", "SET number -42", "SET soon x", "PEXPIREAT soon 1800000000000", "RPUSH list a 7", "SADD ints 1 2 3", "ZADD scores 1.5 m",
    ];

    private readonly TempDir _logFolder = new();
    private readonly SimulatedDisk _disk = new(1);
    private readonly List<string> _reports = [];

    public void Dispose() => _logFolder.Dispose();

    [Fact]
    public void The_bytes_of_a_checkpoint_stay_as_they_are()
    {
        using var db = new InProcess();
        db.Prepare(_goldenState);
        CheckpointWriter writer = SnapshotTests.NewWriter(_disk, db.Keyspace, 9);
        Snapshot snapshot = Snapshot.Begin(db.Keyspace, writer);
        Assert.True(snapshot.Step(long.MaxValue));
        writer.Complete(snapshot.CapturedKeys);
        writer.Wait();
        Assert.Equal("checkpoint-1-9.mmc", writer.Result!.Name);
        string bytes = Convert.ToHexStringLower(_disk.Content("checkpoint-1-9.mmc"));
        Assert.True(bytes == Golden.Values, bytes);
    }

    [Fact]
    public void A_checkpoint_with_every_kind_of_piece_is_read()
    {
        _disk.Put("checkpoint-1-1.mmc", Convert.FromHexString(Golden.Pieces));
        using var db = new InProcess();
        CheckpointLoader.Load(_disk, "checkpoint-1-1.mmc", db.Keyspace);
        Assert.Equal("\"v1\"", db.Run("HGET hash f1"));
        Assert.Equal(":2", db.Run("HLEN hash"));
        Assert.Equal(":1", db.Run("SISMEMBER set m1"));
        Assert.Equal("[\"m2\", \"0.5\", \"m1\", \"1.5\"]", db.Run("ZRANGE zset 0 -1 WITHSCORES"));
        Assert.Equal("[\"a\", \"1\", \"b\"]", db.Run("LRANGE list 0 -1"));
        Assert.Equal("\"skiplist\"", db.Run("OBJECT ENCODING zset"));
        Assert.Equal(":4", db.Run("DBSIZE"));
    }

    [Fact]
    public void A_checkpoint_cut_at_any_byte_or_with_any_byte_changed_is_refused_and_changes_nothing()
    {
        using var db = new InProcess(SnapshotTests.SmallThresholds());
        new RandomLife(db, 1).Run(60);
        db.Prepare("RPUSH list a b c d e f g h", "SADD set a b c d e f g h i j", "ZADD zset 1 a 2 b 3 c 4 d 5 e 6 f 7 g 8 h 9 i");
        CheckpointWriter writer = SnapshotTests.NewWriter(_disk, db.Keyspace, 1);
        Snapshot snapshot = Snapshot.Begin(db.Keyspace, writer);
        snapshot.Step(long.MaxValue);
        writer.Complete(snapshot.CapturedKeys);
        writer.Wait();
        string name = writer.Result!.Name;
        byte[] whole = _disk.Content(name);
        using var other = new InProcess(seed: 5);
        other.Prepare("SET here yes");
        string contents = other.Contents();
        var random = new Random(1);
        int step = Math.Max(1, whole.Length / 700);
        for (int at = 0; at < whole.Length; at += step)
        {
            byte[] damaged = [.. whole];
            damaged[at] ^= (byte)(1 << random.Next(8));
            _disk.Put(name, damaged);
            Assert.Throws<CheckpointCorruptedException>(() => CheckpointLoader.Load(_disk, name, other.Keyspace));
            _disk.Put(name, whole[..at]);
            Assert.Throws<CheckpointCorruptedException>(() => CheckpointLoader.Load(_disk, name, other.Keyspace));
        }

        _disk.Put(name, [.. whole, 0]);
        Assert.Throws<CheckpointCorruptedException>(() => CheckpointLoader.Load(_disk, name, other.Keyspace));
        Assert.Equal(contents, other.Contents());
        _disk.Put(name, whole);
        CheckpointLoader.Load(_disk, name, other.Keyspace);
        Assert.Equal(db.Contents(), other.Contents());
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Whatever_happened_a_restart_from_checkpoint_and_log_gives_the_same(int seed)
    {
        output.WriteLine($"seed {seed}");
        var random = new Random(seed);
        string expected = "";
        long nowMs = 0;
        for (int start = 0; start < 12; start++)
        {
            using InProcess db = Open(seed: (ulong)(seed * 100 + start), nowMs);
            Assert.Equal(expected, db.Contents());
            ICheckpointer checkpointer = db.Server.DefaultMimei.Checkpointer!;
            var life = new RandomLife(db, seed * 100 + start);
            for (int i = random.Next(12); i >= 0; i--)
            {
                life.Run(random.Next(200));
                switch (random.Next(6))
                {
                    case 0:
                        Assert.Null(checkpointer.Save());
                        break;
                    case 1 when !checkpointer.IsRunning:
                        Assert.Null(checkpointer.Start());
                        break;
                    case 2:
                        expected = db.Contents();
                        Assert.Null(checkpointer.Reload());
                        Assert.Equal(expected, db.Contents());
                        break;
                    default:
                        checkpointer.Step(db.Clock.NowMs);
                        break;
                }
            }

            db.Run("SELECT 0");
            expected = db.Contents();
            nowMs = db.Clock.NowMs;
            Kill(db, clean: random.Next(2) == 0);
            List<(string Name, Position Position)> made = CheckpointFiles.List(_disk);
            if (made.Count == CheckpointFiles.Kept && random.Next(3) == 0)
            {
                // The newest goes bad: the one before and the log give the same.
                _disk.FlipBit(made[0].Name, random.Next(_disk.Content(made[0].Name).Length), random.Next(8));
            }
        }
    }

    [Fact]
    public void A_damaged_checkpoint_whose_state_cannot_be_had_otherwise_stops_the_start()
    {
        using (InProcess db = Open(keepLogBytes: 0))
        {
            for (int i = 0; i < 1000; i++)
            {
                db.Prepare($"SET key:{i} {i}");
            }

            Assert.Equal("+OK", db.Run("SAVE"));
            Kill(db, clean: true);
        }

        Directory.Delete(_logFolder.Path, recursive: true);
        Directory.CreateDirectory(_logFolder.Path);
        string name = Assert.Single(CheckpointFiles.List(_disk)).Name;
        _disk.FlipBit(name, 100, 3);
        var error = Assert.Throws<CheckpointCorruptedException>(() => Open());
        Assert.Contains(name, error.Message, StringComparison.Ordinal);
        _disk.FlipBit(name, 100, 3);
        using InProcess again = Open();
        Assert.Equal(":1000", again.Run("DBSIZE"));
    }

    [Fact]
    public void BGSAVE_in_a_transaction_holds_all_of_it()
    {
        using InProcess db = Open();
        db.Prepare("MULTI", "SET a 1", "BGSAVE", "SET b 2");
        Assert.Equal("[+OK, +Background saving started, +OK]", db.Run("EXEC"));
        Finish(db);
        using var loaded = new InProcess();
        CheckpointLoader.Load(_disk, Assert.Single(CheckpointFiles.List(_disk)).Name, loaded.Keyspace);
        Assert.Equal("[\"1\", \"2\"]", loaded.Run("MGET a b"));
    }

    [Theory]
    [InlineData("create")]
    [InlineData("write")]
    [InlineData("sync")]
    [InlineData("rename")]
    [InlineData("sync directory")]
    public void A_failing_disk_is_reported_and_the_next_checkpoint_succeeds(string operation)
    {
        using InProcess db = Open();
        ICheckpointer checkpointer = db.Server.DefaultMimei.Checkpointer!;
        new RandomLife(db, 3).Run(1000);
        _disk.Fails = o => o == operation;
        Assert.StartsWith("-ERR ", db.Run("SAVE"), StringComparison.Ordinal);
        Assert.False(checkpointer.LastSucceeded);
        for (int i = 0; i < 4; i++)
        {
            Assert.Equal("+Background saving started", db.Run("BGSAVE"));
            new RandomLife(db, i).Run(50);
            Finish(db);
            Assert.False(checkpointer.LastSucceeded);
        }

        _disk.Fails = static _ => false;
        Assert.Equal("+OK", db.Run("SAVE"));
        Assert.True(checkpointer.LastSucceeded);
        string expected = db.Contents();
        long nowMs = db.Clock.NowMs;
        Kill(db, clean: false);
        using InProcess again = Open(seed: 4, nowMs);
        Assert.Equal(expected, again.Contents());
    }

    [Fact]
    public void Without_a_log_writes_are_refused_while_checkpoints_fail_unless_the_settings_allow_them()
    {
        const string refused = "-MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that may modify the data set are disabled, "
            + "because this instance is configured to report errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). "
            + "Please check the Redis logs for details about the RDB error.";
        using InProcess db = Open(keepsLog: false);
        db.Prepare("SET k v");
        _disk.Fails = static o => o == "write";
        db.Prepare("BGSAVE");
        Finish(db);
        Assert.Equal(refused, db.Run("SET k w"));
        Assert.StartsWith(refused, db.Run("EVAL \"return redis.call('SET', 'k', 'w')\" 0"), StringComparison.Ordinal);
        Assert.Equal("\"v\"", db.Run("GET k"));
        db.Prepare("CONFIG SET stop-writes-on-bgsave-error no", "SET k 1", "CONFIG SET stop-writes-on-bgsave-error yes");
        Assert.Equal(refused, db.Run("SET k w"));
        db.Prepare("CONFIG SET save \"\"", "SET k 2", "CONFIG SET save \"1 1\"");
        Assert.Equal(refused, db.Run("SET k w"));
        _disk.Fails = static _ => false;
        db.Prepare("BGSAVE");
        Finish(db);
        Assert.Equal("+OK", db.Run("SET k w"));
    }

    [Fact]
    public void The_log_and_the_save_points_make_checkpoints_and_the_log_stays_bounded()
    {
        using InProcess db = Open(logBytes: 300_000, keepLogBytes: 0);
        ICheckpointer checkpointer = db.Server.DefaultMimei.Checkpointer!;
        for (int i = 0; i < 4000; i++)
        {
            db.Prepare($"SET key:{i % 20} {new string('x', 1000)}");
            if (i % 50 == 0)
            {
                // A segment that the disk has not taken whole stays until a later checkpoint.
                Wait.Until(() => db.Server.DefaultMimei.Log!.Segments.SkipLast(1).All(static s => s.IsFinished));
                Finish(db);
            }
        }

        Assert.InRange(checkpointer.Count, 5, 14);
        Assert.InRange(db.Server.DefaultMimei.Log!.TotalBytes, 0, 1_200_000);
        Assert.Equal(CheckpointFiles.Kept, CheckpointFiles.List(_disk).Count);

        Finish(db);
        long count = checkpointer.Count;
        db.Prepare("SET one more");
        db.Clock.Advance(3_600_001);
        Finish(db);
        Assert.Equal(count + 1, checkpointer.Count);
        db.Clock.Advance(3_600_001);
        Finish(db);
        Assert.Equal(count + 1, checkpointer.Count);
    }

    [Fact]
    public void Without_a_log_checkpoints_are_numbered_on_and_outlast_what_log_there_was()
    {
        using (InProcess db = Open())
        {
            db.Prepare("SET logged 1", "SET logged 2");
            Kill(db, clean: true);
        }

        for (int start = 1; start <= 3; start++)
        {
            using InProcess db = Open(keepsLog: false);
            db.Prepare("SET unlogged " + start);
            Assert.Equal("+OK", db.Run("SAVE"));
            db.Prepare("SET unlogged lost");
        }

        using InProcess last = Open();
        Assert.Equal("[\"2\", \"3\"]", last.Run("MGET logged unlogged"));
        last.Prepare("SET logged 3");
        Kill(last, clean: true);
        using InProcess again = Open();
        Assert.Equal("[\"3\", \"3\"]", again.Run("MGET logged unlogged"));
    }

    [Fact]
    public void A_percentage_of_zero_makes_no_checkpoint_for_the_logs_sake()
    {
        using InProcess db = Open(logBytes: 1000, logPercent: 0);
        for (int i = 0; i < 100; i++)
        {
            db.Prepare($"SET key {new string('x', 1000)}");
            Finish(db);
        }

        Assert.Equal(0, db.Server.DefaultMimei.Checkpointer!.Count);
    }

    private InProcess Open(ulong seed = 42, long nowMs = 0, long logBytes = 1 << 20, long keepLogBytes = 1 << 20, bool keepsLog = true, long logPercent = 100) => new(
        SnapshotTests.SmallThresholds(), seed, open: db =>
        {
            db.Clock.Advance(nowMs == 0 ? 0 : nowMs - db.Clock.NowMs);
            var options = new LogOptions { Fsync = FsyncPolicy.No, SegmentBytes = 128 << 10 };
            RecoveredState state = Persistence.Recover(db.Keyspace, _disk, DiskFolder.Make(_logFolder.Path), options);
            if (keepsLog)
            {
                db.Server.DefaultMimei.Log = state.Log;
            }
            else
            {
                state.Log!.Close();
                db.Keyspace.Effects.RecordTo(null, default);
            }

            db.Server.DefaultMimei.Checkpointer = new Checkpointer(db.Server.DefaultMimei, _disk, state, db.Clock, new CheckpointerOptions
            {
                SavePoints = static () => [new SavePoint(3600, 1)],
                LogBytes = () => logBytes,
                LogPercent = () => logPercent,
                KeepLogBytes = keepLogBytes,
                Report = _reports.Add,
            });
        });

    /// <summary>Ends a process: in good order, or as a crash does.</summary>
    private static void Kill(InProcess db, bool clean)
    {
        Mimei mimei = db.Server.DefaultMimei;
        (mimei.Checkpointer as IDisposable)!.Dispose();
        if (clean)
        {
            mimei.Log!.Close();
        }
        else
        {
            mimei.Log!.Dispose();
        }

        mimei.Log = null;
        mimei.Keyspace.Effects.RecordTo(null, default);
    }

    /// <summary>Runs the periodic work until no checkpoint is being made.</summary>
    private static void Finish(InProcess db)
    {
        Wait.Until(() =>
        {
            db.Server.Cron(db.Clock.NowMs);
            return !db.Server.DefaultMimei.Checkpointer!.IsRunning;
        });
        db.Server.EndTurn();
    }
}

/// <summary>Files of version 1.</summary>
internal static class Golden
{
    public const string Values =
        "4c6569746843686b01004000100000000100000000000000090000000000000005000000000000000600000000000000060000000000000000000000" +
        "67416f1d860000000a78711a00000000010000000100100000f15304746578740568656c6c6f0100200000f153066e756d62657208d6ffffffffffff" +
        "ff0100100100f15304736f6f6e00505c18a301000001780100310000f153046c69737407020081610207010100620000f15304696e74730702010002" +
        "0003000100330000f1530673636f726573100200816d028900000000000000f83f0a10000000fa372923010000000200000006000000000000008600" +
        "000000000000";

    public const string Pieces =
        "4c6569746843686b01004000100000000100000000000000010000000000000005000000000000000600000000000000040000000000000000000000" +
        "164205e470000000e01e0707000000000100000002004400010203046861736801000000000000000202004200010203037365740200000000000000" +
        "010301000000000000000102663102763102007300010203047a73657403000000000000000203030000000000000002026d3108000000000000f83f" +
        "026d3208000000000000e03f510000001cc28a9f010000000100000003020000000000000001026d3100030100000000000000010266320002005100" +
        "010203046c697374040000000000000003040400000000000000000207020081610201010404000000000000000101016210000000061a97f9020000" +
        "00020000000400000000000000c100000000000000";
}
