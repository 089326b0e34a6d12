// A snapshot is what the keyspace was when it began, whatever clients do while it is taken. Random writes of all types run between its
// slices; what comes out is loaded into a second server and compared with what the first one held at the start.

using System.Text;
using Leither.Ipfs.Files;
using Leither.MmDb.Checkpoints;
using Leither.MmDb.Log;
using Leither.MmDb.Memory;
using Leither.MmDb.Tests.Log;
using Leither.MmDb.Values;
using Leither.TestKit;
using Xunit;
using Xunit.Abstractions;

namespace Leither.MmDb.Tests.Checkpoints;

public sealed unsafe class SnapshotTests(ITestOutputHelper output)
{
    /// <summary>A few lives; hundreds in long runs.</summary>
    public static TheoryData<int> Seeds => new(Enumerable.Range(1, Seed.IsLong ? 90 : 4));

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Random_writes_between_the_slices_do_not_show_in_a_snapshot(int seed)
    {
        output.WriteLine($"seed {seed}");
        using var db = new InProcess(SmallThresholds());
        var life = new RandomLife(db, seed);
        life.Run(2000);
        var random = new Random(seed);
        int cancelled = 0, taken = 0;
        for (int round = 0; round < 8; round++)
        {
            // Some that are too big to be captured with their keys.
            db.Prepare("SELECT 0", "DEL k0 k1 k2 k3");
            for (int i = 0; i < 400; i++)
            {
                db.Prepare($"HSET k0 e{i} {i}", $"SADD k1 e{i}", $"ZADD k2 {i * 7 % 100} e{i}", $"RPUSH k3 e{i}");
            }

            var disk = new SimulatedDisk(seed);
            string expected = db.Contents();
            long startMs = db.Clock.NowMs;
            CheckpointWriter writer = NewWriter(disk, db.Keyspace, (ulong)round);
            Snapshot snapshot = Snapshot.Begin(db.Keyspace, writer);
            bool cancels = random.Next(3) == 0;
            int slices = 0;
            bool done = false;
            while (!done)
            {
                life.Run(random.Next(20));
                int element = random.Next(400);
                db.Run($"HSET k0 e{element} changed");
                db.Run($"SREM k1 e{element}");
                db.Run($"ZADD k2 {element} e{element}");
                db.Run("LPOP k3 2");
                if (cancels && ++slices == 5)
                {
                    done = snapshot.Cancel();
                    continue;
                }

                done = snapshot.Step(0);
            }

            Assert.Null(db.Keyspace.Snapshot);
            if (cancels && slices >= 5)
            {
                cancelled++;
                writer.Abandon();
                writer.Wait();
                Assert.Empty(disk.Names);
                continue;
            }

            taken++;
            Assert.Equal(snapshot.KeyCount, snapshot.CapturedKeys);
            writer.Complete(snapshot.CapturedKeys);
            writer.Wait();
            Assert.Null(writer.Error);
            AssertLoads(disk, writer.Result!, expected, startMs);
        }

        output.WriteLine($"{taken} taken, {cancelled} cancelled");
        RunDown(db);
    }

    [Fact]
    public void A_mark_left_by_cancelled_snapshots_is_never_taken_for_the_next_ones()
    {
        var random = new Random(7);
        var epochs = new SnapshotEpochs();
        var marks = new int[50];
        int cancelledAtOnce = 0, refused = 0;
        for (int round = 0; round < 2000; round++)
        {
            int epoch = epochs.Next();
            Assert.InRange(epoch, 1, 3);
            Assert.DoesNotContain(epoch, marks);
            bool cancels = random.Next(2) == 0;
            for (int i = 0; i < marks.Length; i++)
            {
                if (cancels && i == marks.Length / 2)
                {
                    break;
                }

                marks[random.Next(2) == 0 ? i : random.Next(marks.Length)] = epoch;
            }

            if (cancels && epochs.MayCancel(epoch))
            {
                cancelledAtOnce++;
                epochs.Cancelled(epoch);
                continue;
            }

            refused += cancels ? 1 : 0;
            for (int i = 0; i < marks.Length; i++)
            {
                marks[i] = marks[i] != 0 && random.Next(10) == 0 ? 0 : epoch;
            }

            epochs.Completed(epoch);
        }

        Assert.True(cancelledAtOnce > 100 && refused > 100, $"{cancelledAtOnce} {refused}");
    }

    [Theory]
    [InlineData("RENAME big other")]
    [InlineData("MOVE big 3")]
    [InlineData("COPY big other")]
    [InlineData("COPY big big DB 2")]
    [InlineData("DEL big")]
    [InlineData("UNLINK big")]
    [InlineData("SET big x")]
    [InlineData("FLUSHALL")]
    [InlineData("SWAPDB 0 1")]
    [InlineData("PEXPIRE big 1")]
    public void A_collection_that_is_half_captured_may_go_anywhere(string command)
    {
        foreach (string type in (string[])["hash", "set", "zset", "list"])
        {
            using var db = new InProcess(SmallThresholds());
            for (int i = 0; i < 900; i++)
            {
                db.Prepare(type switch
                {
                    "hash" => $"HSET big field:{i} value:{i}",
                    "set" => $"SADD big member:{i}",
                    "zset" => $"ZADD big {i * 7 % 1000} member:{i}",
                    _ => $"RPUSH big element:{i}",
                });
            }

            string expected = db.Contents();
            long startMs = db.Clock.NowMs;
            var disk = new SimulatedDisk(1);
            CheckpointWriter writer = NewWriter(disk, db.Keyspace, 1);
            Snapshot snapshot = Snapshot.Begin(db.Keyspace, writer);
            for (int i = 0; i < 2; i++)
            {
                Assert.False(snapshot.Step(0));
            }

            db.Prepare(command);
            db.Clock.Advance(10);
            for (int i = 0; i < 900; i += 3)
            {
                db.Run(type switch
                {
                    "hash" => $"HSET big field:{i} changed",
                    "set" => $"SREM big member:{i}",
                    "zset" => $"ZADD big {i} member:{i}",
                    _ => $"LSET big {i} changed",
                });
                db.Run(type switch
                {
                    "hash" => $"HDEL other field:{i}",
                    "set" => $"SADD other more:{i}",
                    "zset" => $"ZREM other member:{i}",
                    _ => "LPOP other",
                });
            }

            while (!snapshot.Step(0))
            {
            }

            writer.Complete(snapshot.CapturedKeys);
            writer.Wait();
            Assert.Null(writer.Error);
            AssertLoads(disk, writer.Result!, expected, startMs);
            RunDown(db);
        }
    }

    [Fact]
    public void Encodings_and_idle_times_survive()
    {
        using var db = new InProcess();
        db.Prepare("SET int 12345", "SET embstr abc", $"SET raw {new string('x', 60)}", "APPEND short abc", $"SET long {new string('y', 9000)}",
            "RPUSH list a b 3", "SADD intset 1 2 3", "SADD small a b", "HSET hash f v", "ZADD zset 1.5 m", "SELECT 9", "SET far away", "PEXPIRE far 100000", "SELECT 0");
        for (int i = 0; i < 600; i++)
        {
            db.Prepare($"HSET bighash f{i} {i}", $"SADD bigset m{i}", $"ZADD bigzset {i}.5 m{i}", $"RPUSH biglist {new string('e', 40)}{i}");
        }

        db.Prepare($"HSET hash2 f {new string('z', 5000)}", $"RPUSH biglist {new string('p', 20000)}");
        db.Clock.Advance(5000);
        using InProcess loaded = Loaded(db);
        foreach (string key in (string[])["int", "embstr", "raw", "short", "long", "list", "intset", "small", "hash", "zset", "bighash", "bigset", "bigzset", "biglist", "hash2"])
        {
            Assert.Equal(db.Run($"OBJECT ENCODING {key}"), loaded.Run($"OBJECT ENCODING {key}"));
            Assert.Equal(db.Run($"OBJECT IDLETIME {key}"), loaded.Run($"OBJECT IDLETIME {key}"));
        }
    }

    internal static KeyspaceOptions SmallThresholds()
    {
        var options = new KeyspaceOptions { StreamNodeMaxEntries = 4, StreamNodeMaxBytes = 300 };
        options.Packed.HashMaxListpackEntries = 8;
        options.Packed.SetMaxIntsetEntries = 8;
        options.Packed.SetMaxListpackEntries = 8;
        options.Packed.ZsetMaxListpackEntries = 8;
        options.Packed.ListMaxListpackSize = 4;
        return options;
    }

    internal static CheckpointWriter NewWriter(IFolder files, Keyspace keyspace, ulong sequence) => new(
        files, new CheckpointHeader(new Position(1, sequence), 5, 6, keyspace.Databases.Length, keyspace.Databases.Sum(static d => d.Count)));

    /// <summary>A second server with what a snapshot of the first holds.</summary>
    internal static InProcess Loaded(InProcess db)
    {
        var disk = new SimulatedDisk(1);
        CheckpointWriter writer = NewWriter(disk, db.Keyspace, 1);
        Snapshot snapshot = Snapshot.Begin(db.Keyspace, writer);
        Assert.True(snapshot.Step(long.MaxValue));
        writer.Complete(snapshot.CapturedKeys);
        writer.Wait();
        Assert.Null(writer.Error);
        return AssertLoads(disk, writer.Result!, db.Contents(), db.Clock.NowMs, keep: true)!;
    }

    private static InProcess? AssertLoads(IFolder disk, CheckpointInfo checkpoint, string expected, long nowMs, bool keep = false)
    {
        var loaded = new InProcess(SmallThresholds(), seed: 99);
        loaded.Clock.Advance(nowMs - loaded.Clock.NowMs);
        CheckpointInfo info = CheckpointLoader.Load(disk, checkpoint.Name, loaded.Keyspace);
        Assert.Equal(checkpoint, info);
        Assert.Equal(expected, loaded.Contents());
        if (keep)
        {
            return loaded;
        }

        RunDown(loaded);
        loaded.Dispose();
        return null;
    }

    /// <summary>Nothing is left behind in the heap once everything is deleted.</summary>
    private static void RunDown(InProcess db)
    {
        db.Prepare("FLUSHALL");
        while (db.Keyspace.LazyFree.Step(TimeSpan.FromSeconds(1)))
        {
        }

        long empty = db.Keyspace.Databases.Sum(static d => d.Keys->MemoryBytes + d.Expires->MemoryBytes);
        Assert.Equal(empty, db.Keyspace.Heap.UsedBytes);
    }
}

/// <summary>Random writes of every type, in which keys and elements meet often.</summary>
internal sealed class RandomLife(InProcess db, int seed)
{
    private readonly Random _random = new(seed);

    public void Run(int commands)
    {
        for (int i = 0; i < commands; i++)
        {
            if (_random.Next(40) == 0)
            {
                db.Clock.Advance(_random.Next(200));
            }

            db.Run(Next());
        }
    }

    private string Key() => $"k{_random.Next(60)}";

    private string Element() => _random.Next(3) switch
    {
        0 => $"{_random.Next(100)}",
        1 => $"e{_random.Next(200)}",
        _ => _random.Next(30) == 0 ? new string((char)('a' + _random.Next(26)), _random.Next(6000)) + "." : $"element-{_random.Next(300)}",
    };

    private string Elements(int most, Func<string>? one = null) =>
        string.Join(' ', Enumerable.Range(0, _random.Next(most) + 1).Select(_ => (one ?? Element)()));

    private string Next() => _random.Next(59) switch
    {
        0 => $"SET {Key()} {Element()}",
        > 46 => StreamLife.Next(_random, $"stream{_random.Next(4)}"),
        1 => $"SET {Key()} {Element()} PX {_random.Next(3000) + 1}",
        2 => $"APPEND {Key()} {Element()}",
        3 => $"INCRBY n{_random.Next(10)} {_random.Next(1000)}",
        4 => $"SETRANGE {Key()} {_random.Next(50)} {Element()}",
        5 => $"SETBIT bits{_random.Next(3)} {_random.Next(50000)} {_random.Next(2)}",
        6 => $"DEL {Key()}",
        7 => $"RENAME {Key()} {Key()}",
        8 => $"COPY {Key()} {Key()} REPLACE",
        9 => $"MOVE {Key()} {_random.Next(3)}",
        10 => $"SELECT {_random.Next(3)}",
        11 => _random.Next(8) == 0 ? $"SWAPDB {_random.Next(3)} {_random.Next(3)}" : $"PEXPIRE {Key()} {_random.Next(3000)}",
        12 => _random.Next(60) == 0 ? "FLUSHALL" : _random.Next(30) == 0 ? "FLUSHDB" : $"PERSIST {Key()}",
        13 => $"COPY {Key()} {Key()} DB {_random.Next(3)}",
        14 or 15 => $"RPUSH {Key()} {Elements(12)}",
        16 => $"LPUSH {Key()} {Elements(12)}",
        17 => $"LPOP {Key()} {_random.Next(5)}",
        18 => $"LSET {Key()} {_random.Next(-10, 10)} {Element()}",
        19 => $"LINSERT {Key()} BEFORE {Element()} {Element()}",
        20 => $"LTRIM {Key()} {_random.Next(10)} {_random.Next(-10, 200)}",
        21 => $"LREM {Key()} {_random.Next(-2, 3)} {Element()}",
        22 => $"LMOVE {Key()} {Key()} LEFT RIGHT",
        23 or 24 or 25 => $"SADD {Key()} {Elements(12)}",
        26 => $"SREM {Key()} {Elements(6)}",
        27 => $"SPOP {Key()} {_random.Next(4)}",
        28 => $"SMOVE {Key()} {Key()} {Element()}",
        29 => $"SUNIONSTORE {Key()} {Key()} {Key()}",
        30 or 31 or 32 => $"HSET {Key()} {Elements(12, () => Element() + " " + Element())}",
        33 => $"HDEL {Key()} {Elements(6)}",
        34 => $"HINCRBY {Key()} c{_random.Next(5)} {_random.Next(100)}",
        35 or 36 or 37 => $"ZADD {Key()} {Elements(12, () => $"{_random.Next(1000) / 8.0} {Element()}")}",
        38 => $"ZREM {Key()} {Elements(6)}",
        39 => $"ZINCRBY {Key()} {_random.Next(-50, 50)} {Element()}",
        40 => $"ZREMRANGEBYRANK {Key()} {_random.Next(10)} {_random.Next(20)}",
        41 => $"ZUNIONSTORE {Key()} 2 {Key()} {Key()}",
        42 or 43 => $"HPEXPIRE {Key()} {_random.Next(3000)} FIELDS 3 {Element()} {Element()} c{_random.Next(5)}",
        44 => $"HPERSIST {Key()} FIELDS 2 {Element()} c{_random.Next(5)}",
        45 => $"HSETEX {Key()} PX {_random.Next(3000)} FIELDS 2 {Element()} {Element()} {Element()} {Element()}",
        _ => $"SINTERSTORE {Key()} {Key()} {Key()}",
    };
}
