// Compaction moves records, tables and structures while commands run. A server without it gets the same commands and must hold the same.

using Leither.MmDb.Tests.Checkpoints;
using Xunit;
using Xunit.Abstractions;

namespace Leither.MmDb.Tests;

public sealed class CompactorTests(ITestOutputHelper output)
{
    [Fact]
    public void After_deletions_memory_goes_back()
    {
        using var db = new InProcess(SnapshotTests.SmallThresholds());
        var random = new Random(1);
        output.WriteLine("seed 1");
        Fill(db, 150_000, random);
        Compact(db);
        for (int i = 0; i < 150_000; i++)
        {
            if (random.Next(10) != 0)
            {
                db.Run($"DEL key:{i}");
            }
        }

        db.Prepare("SELECT 0");
        long before = db.Keyspace.Heap.ResidentBytes;
        string expected = db.Contents();
        Compact(db);
        output.WriteLine($"used {db.Keyspace.Heap.UsedBytes}, resident {before} then {db.Keyspace.Heap.ResidentBytes}, rounds {db.Keyspace.Compactor.Rounds}");
        Assert.Equal(expected, db.Contents());
        Assert.True(db.Keyspace.Compactor.Rounds > 0);
        Assert.True(db.Keyspace.Heap.ResidentBytes <= (db.Keyspace.Heap.UsedBytes * 14 / 10) + (4 << 20), "memory was kept");
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Commands_between_the_slices_do_what_they_do_without_compaction(int seed)
    {
        output.WriteLine($"seed {seed}");
        using var db = new InProcess(SnapshotTests.SmallThresholds());
        using var plain = new InProcess(SnapshotTests.SmallThresholds());
        long rounds = 0;
        for (int round = 0; round < 2; round++)
        {
            foreach (InProcess each in (InProcess[])[db, plain])
            {
                var random = new Random(seed + round);
                new RandomLife(each, seed + round).Run(1500);
                each.Prepare("SELECT 0");
                Fill(each, 60_000, random);
                for (int i = 0; i < 60_000; i++)
                {
                    if (random.Next(8) != 0)
                    {
                        each.Run($"DEL key:{i}");
                    }
                }
            }

            var life = new RandomLife(db, round);
            var same = new RandomLife(plain, round);
            for (int i = 0; i < 400; i++)
            {
                db.Keyspace.Compactor.Step(TimeSpan.Zero);
                life.Run(3);
                same.Run(3);
            }

            Compact(db);
            plain.Clock.Advance(20_000);
            rounds = db.Keyspace.Compactor.Rounds;
            db.Prepare("SELECT 0");
            plain.Prepare("SELECT 0");
            Assert.Equal(plain.Contents(), db.Contents());
        }

        output.WriteLine($"{rounds} rounds");
        Assert.True(rounds > 0);
    }

    private static void Fill(InProcess db, int keys, Random random)
    {
        for (int i = 0; i < keys; i++)
        {
            string value = new('v', random.Next(100));
            db.Run(random.Next(13) switch
            {
                0 => $"SET key:{i} {value} PX 100000000",
                1 => $"HSET big:hash:{i % 5} field:{i} {value}",
                2 => $"ZADD big:zset:{i % 5} {i * 31 % 1009} member:{i}",
                3 => $"SADD big:set:{i % 5} member:{i}",
                4 => $"RPUSH big:list:{i % 5} element:{i}",
                5 => $"RPUSH key:{i} a b c d e f g h {value}",
                6 => $"ZADD key:{i} 1 a 2 b 3 c 4 d 5 e 6 f 7 g 8 h 9 i 10 j",
                8 => $"HSETEX big:times:{i % 5} PX {100_000_000 + i} FIELDS 1 field:{i} {value}",
                7 => $"HSET key:{i} a 1 b 2 c 3 d 4 e 5 f 6 g 7 h 8 i 9 j 10",
                _ => $"SET key:{i} {value}x",
            });
        }
    }

    private static void Compact(InProcess db)
    {
        while (db.Keyspace.LazyFree.Step(TimeSpan.FromSeconds(1)))
        {
        }

        db.Clock.Advance(20_000);
        db.Keyspace.NowMs = db.Clock.NowMs;
        while (db.Keyspace.Compactor.Step(TimeSpan.FromMilliseconds(1)))
        {
        }
    }
}
