using System.Text;
using Leither.MmDb.Memory;
using Leither.TestKit;
using Xunit;
using Record = Leither.MmDb.Memory.Record;

namespace Leither.MmDb.Tests.Memory;

public sealed unsafe class KeyTableTests
{
    /// <summary>An empty table: its struct of 48 bytes and a bucket.</summary>
    private const long EmptyBytes = 48 + 64;

    [Fact]
    public void An_empty_table_is_one_bucket()
    {
        using var heap = new NativeHeap(1);
        KeyTable* table = KeyTable.Create(heap);
        Assert.Equal(0, table->Count);
        Assert.Equal(heap.UsedBytes, table->MemoryBytes);
        Assert.Equal(EmptyBytes, table->MemoryBytes);
        var found = default(NativeList<nint>);
        Assert.Equal(0ul, table->ScanBucket(0, ref found));
        Assert.Equal(0, found.Count);
        var random = new FastRandom(1);
        Assert.True(table->Random(ref random) == null);
        table->Prefetch(ulong.MaxValue);
        table->PrefetchRecord(ulong.MaxValue);
        found.Dispose();
        KeyTable.Destroy(heap, table);
        Assert.Equal(0, heap.UsedBytes);
    }

    [Theory]
    [InlineData(10, 0)]
    [InlineData(300, 0)]
    [InlineData(3_000, 0)]
    [InlineData(60_000, 0)]
    [InlineData(60_000, 60_000)]
    [InlineData(60_000, 2_000)]
    [InlineData(300, 20_000)]
    public void Random_use_agrees_with_a_dictionary(int keys, int expected) => Seed.Run(random =>
    {
        using var world = new World((ulong)random.NextInt64(), expected);
        int steps = 250_000;
        for (int step = 0; step < steps; step++)
        {
            // Waves: mostly inserting, then mostly removing, down to nothing.
            bool growing = step / (steps / 5) % 2 == 0;
            string key = "key:" + random.Next(keys);
            int choice = random.Next(10);
            bool present = world.Model.ContainsKey(key);
            Assert.Equal(present, world.Find(key) != null);
            if (choice < 6)
            {
                if (present != growing)
                {
                    world.Toggle(key);
                }
            }
            else if (choice < 8)
            {
                world.Toggle(key);
            }
            else if (present)
            {
                world.Replace(key);
            }
            if (step % (steps / 50) == 0)
            {
                world.CheckAll();
            }
        }
        world.CheckAll();
        foreach (string key in world.Model.Keys.ToArray())
        {
            world.Toggle(key);
        }
        Assert.Equal(EmptyBytes, world.Table->MemoryBytes);
        world.CheckAll();
    });

    [Fact]
    public void A_slot_returned_by_insert_is_the_records() => Seed.Run(random =>
    {
        using var world = new World((ulong)random.NextInt64());
        for (int i = 0; i < 20_000; i++)
        {
            ulong* slot = world.Toggle("k" + i);
            Assert.Equal(world.Model["k" + i], (nint)KeyTable.Get(slot));
        }
    });

    [Fact]
    public void Keys_of_every_length_are_told_apart() => Seed.Run(random =>
    {
        using var world = new World((ulong)random.NextInt64());
        for (int length = 0; length < 600; length++)
        {
            world.Toggle(new string('x', length));
            world.Toggle(new string('x', length) + "y");
        }
        world.Toggle(new string('z', 1_000_000));
        world.CheckAll();
        Assert.True(world.Find(new string('z', 999_999)) == null);
    });

    [Fact]
    public void Keys_that_come_and_go_in_hash_order_are_held_in_bounded_memory() => Seed.Run(random =>
    {
        using var world = new World((ulong)random.NextInt64());
        string[] keys = [.. Enumerable.Range(0, 100_000).Select(i => "key:" + i).OrderBy(world.HashOf)];
        foreach (string key in keys)
        {
            world.Toggle(key);
        }
        world.CheckAll();
        Assert.InRange(world.Table->MemoryBytes, 0, keys.Length * 36);
        foreach (string key in keys[..90_000])
        {
            world.Toggle(key);
        }
        world.CheckAll();
        foreach (string key in keys[90_000..])
        {
            world.Toggle(key);
        }
        Assert.Equal(EmptyBytes, world.Table->MemoryBytes);
    });

    [Fact]
    public void Keys_crowded_on_one_hash_prefix_are_held_and_given_back()
    {
        // 13 equal top bits: more than the directory may grow for so few keys, so that one segment holds them all.
        using var world = new World(99);
        var keys = new List<string>();
        for (int i = 0; keys.Count < 1500; i++)
        {
            string key = i.ToString("x", System.Globalization.CultureInfo.InvariantCulture);
            if (world.HashOf(key) >> 51 == 77)
            {
                keys.Add(key);
            }
        }
        keys.ForEach(key => world.Toggle(key));
        world.CheckAll();
        world.CheckRandomReachesAll();
        Assert.InRange(world.Table->MemoryBytes, 0, keys.Count * 100);
        foreach (string key in keys)
        {
            world.Replace(key);
        }
        keys.ForEach(key => world.Toggle(key));
        world.CheckAll();
        Assert.Equal(EmptyBytes, world.Table->MemoryBytes);
    }

    [Fact]
    public void A_record_is_found_by_its_address()
    {
        using var world = new World(3);
        for (int i = 0; i < 5000; i++)
        {
            world.Toggle("k" + i);
        }
        KeyTable* index = KeyTable.Create(world.Heap);
        for (int i = 0; i < 5000; i += 2)
        {
            index->Insert(world.Heap, world.HashOf("k" + i), (byte*)world.Model["k" + i]);
        }
        for (int i = 0; i < 5000; i++)
        {
            var record = (byte*)world.Model["k" + i];
            ulong* slot = index->FindPointer(world.HashOf("k" + i), record);
            Assert.Equal(i % 2 == 0, slot != null);
            Assert.True(slot == null || KeyTable.Get(slot) == record);
        }
        KeyTable.Destroy(world.Heap, index);
    }

    [Fact]
    public void SCAN_returns_every_record_that_stays_whatever_grows_and_shrinks_meanwhile() => Seed.Run(random =>
    {
        for (int round = 0; round < (Seed.IsLong ? 300 : 10); round++)
        {
            using var world = new World((ulong)random.NextInt64());
            var staying = new HashSet<nint>();
            int stayingCount = random.Next(1, 3000);
            for (int i = 0; i < stayingCount; i++)
            {
                world.Toggle("stay:" + i);
                staying.Add(world.Model["stay:" + i]);
            }
            var passing = new List<string>();
            int next = 0;
            int wave = random.Next(1, 4000);
            bool growing = random.Next(2) == 0;
            for (int i = random.Next(20_000); i > 0; i--)
            {
                passing.Add("pass:" + next);
                world.Toggle("pass:" + next++);
            }
            var seen = default(NativeList<nint>);
            ulong cursor = 0;
            int steps = 0;
            do
            {
                seen.Clear();
                cursor = random.Next(2) == 0 ? world.Table->ScanBucket(cursor, ref seen) : Slots(world, cursor, ref seen);
                foreach (nint record in seen.Span)
                {
                    staying.Remove(record);
                }
                if (random.Next(20) == 0)
                {
                    for (int i = random.Next(wave); i > 0; i--)
                    {
                        if (growing)
                        {
                            passing.Add("pass:" + next);
                            world.Toggle("pass:" + next++);
                        }
                        else if (passing.Count > 0)
                        {
                            int at = random.Next(passing.Count);
                            world.Toggle(passing[at]);
                            passing[at] = passing[^1];
                            passing.RemoveAt(passing.Count - 1);
                        }
                    }
                    growing = passing.Count == 0 || (passing.Count < 40_000 && (random.Next(4) == 0 ? !growing : growing));
                }
                Assert.True(++steps < 1_000_000);
            }
            while (cursor != 0);
            Assert.Empty(staying);
            seen.Dispose();
        }

        static ulong Slots(World world, ulong cursor, ref NativeList<nint> seen)
        {
            ulong next = world.Table->ScanSlots(cursor, ref seen);
            foreach (ref nint slot in seen.Span)
            {
                slot = (nint)KeyTable.Get((ulong*)slot);
            }
            return next;
        }
    });

    [Fact]
    public void SCAN_of_a_table_at_rest_returns_every_record_once_from_any_number_as_cursor()
    {
        using var world = new World(5);
        for (int i = 0; i < 10_000; i++)
        {
            world.Toggle("k" + i);
        }
        var seen = default(NativeList<nint>);
        ulong cursor = 0;
        do
        {
            cursor = world.Table->ScanBucket(cursor, ref seen);
        }
        while (cursor != 0);
        Assert.Equal(10_000, seen.Count);
        Assert.Equal(10_000, seen.Span.ToArray().Distinct().Count());
        foreach (ulong odd in new[] { ulong.MaxValue, ulong.MaxValue >> 16, 1UL << 48, 12345UL })
        {
            seen.Clear();
            Assert.True(world.Table->ScanBucket(odd, ref seen) < 1UL << 48);
        }
        seen.Dispose();
    }

    [Theory]
    [InlineData(5, 0)]
    [InlineData(40, 0)]
    [InlineData(2_000, 0)]
    [InlineData(10_000, 0)]
    [InlineData(10_000, 9)]
    public void Random_draws_every_record_equally_often(int keys, int thinTenths)
    {
        using var world = new World(11);
        for (int i = 0; i < keys; i++)
        {
            world.Toggle("k" + i);
        }
        // Segments of different fullness and depth: one half of the hash space is thinned out.
        for (int i = 0; i < keys; i++)
        {
            if (world.HashOf("k" + i) >> 63 == 1 && i % 10 < thinTenths)
            {
                world.Toggle("k" + i);
            }
        }
        int count = world.Model.Count;
        int perRecord = count < 1000 ? 20_000 : 100;
        var drawn = world.Model.Values.ToDictionary(r => r, _ => 0);
        var random = new FastRandom(2024);
        for (int i = 0; i < count * perRecord; i++)
        {
            drawn[(nint)world.Table->Random(ref random)]++;
        }
        double chiSquare = drawn.Values.Sum(n => (n - perRecord) * (double)(n - perRecord) / perRecord);
        double freedom = count - 1;
        // Chi-square is near to normal for many records, and for few has a longer tail upwards.
        Assert.InRange(chiSquare, freedom - (4 * Math.Sqrt(2 * freedom)), freedom + (4 * Math.Sqrt(2 * freedom)) + 8);
    }

    [Fact]
    public void Draining_takes_every_record_in_slices_and_leaves_a_table_that_works() => Seed.Run(random =>
    {
        using var world = new World((ulong)random.NextInt64());
        for (int i = 0; i < 50_000; i++)
        {
            world.Toggle("k" + i);
        }
        var taken = default(NativeList<nint>);
        ulong cursor = 0;
        int before = 0;
        do
        {
            cursor = world.Table->Drain(world.Heap, cursor, ref taken);
            Assert.InRange(taken.Count - before, 0, 600);
            Assert.Equal(50_000 - taken.Count, world.Table->Count);
            before = taken.Count;
        }
        while (cursor != 0);
        Assert.Equal(world.Model.Values.Order(), taken.Span.ToArray().Order());
        foreach (nint record in taken.Span)
        {
            Record.Free(world.Heap, (byte*)record);
        }
        world.Model.Clear();
        taken.Dispose();
        Assert.Equal(EmptyBytes, world.Table->MemoryBytes);
        world.Toggle("again");
        world.CheckAll();
    });

    [Fact]
    public void Compaction_moves_records_and_the_tables_own_blocks() => Seed.Run(random =>
    {
        using var world = new World((ulong)random.NextInt64());
        for (int i = 0; i < 200_000; i++)
        {
            world.Toggle("k" + i);
        }
        for (int i = 0; i < 200_000; i++)
        {
            if (random.Next(10) != 0)
            {
                world.Toggle("k" + i);
            }
        }
        var slots = default(NativeList<nint>);
        int rounds = 0;
        while (world.Heap.BeginCompaction())
        {
            Assert.True(++rounds < 100);
            world.Table = KeyTable.Relocate(world.Heap, world.Table);
            ulong cursor = 0;
            do
            {
                slots.Clear();
                world.Table->RelocateBucket(world.Heap, cursor);
                cursor = world.Table->ScanSlots(cursor, ref slots);
                foreach (nint slot in slots.Span)
                {
                    byte* old = KeyTable.Get((ulong*)slot);
                    byte* moved = Record.Relocate(world.Heap, old);
                    if (moved != old)
                    {
                        KeyTable.Set((ulong*)slot, moved);
                        world.Model[Encoding.ASCII.GetString(Record.KeySpan(moved))] = (nint)moved;
                    }
                }
            }
            while (cursor != 0);
            world.Heap.EndCompaction();
        }
        slots.Dispose();
        Assert.True(rounds > 0);
        world.CheckAll();
        // A mebibyte of empty slabs is kept for reuse.
        Assert.InRange(world.Heap.ResidentBytes - (1 << 20), 0, 1.3 * world.Heap.UsedBytes);
    });

    [Fact]
    public void A_million_keys_of_16_and_32_bytes_take_at_most_82_bytes_each()
    {
        using var heap = new NativeHeap(77);
        KeyTable* table = KeyTable.Create(heap);
        byte* key = stackalloc byte[16];
        double worst = 0;
        const int Keys = 1_000_000;
        for (int i = 0; i < Keys; i++)
        {
            i.TryFormat(new Span<byte>(key, 16), out _, "key:000000000000");
            byte* record = Record.Create(heap, key, 16, 0, 0, false, 32);
            table->Insert(heap, heap.Hash(key, 16), record);
            if (i >= 100_000)
            {
                worst = Math.Max(worst, (double)heap.UsedBytes / (i + 1));
            }
        }
        Assert.InRange((double)heap.UsedBytes / Keys, 70, 82);
        Assert.InRange((double)heap.ResidentBytes / Keys, 70, 82);
        Assert.InRange(worst, 0, 82);
        Assert.Equal(heap.UsedBytes, table->MemoryBytes + (Keys * 56L));
    }

    /// <summary>A table beside the dictionary that says what it must hold. The record's 8-byte value repeats its hash.</summary>
    private sealed class World : IDisposable
    {
        public readonly NativeHeap Heap;
        public readonly Dictionary<string, nint> Model = [];
        public KeyTable* Table;
        private FastRandom _random;

        public World(ulong seed, long expected = 0)
        {
            Heap = new NativeHeap(seed);
            Table = KeyTable.Create(Heap, expected);
            _random = new FastRandom(seed);
        }

        public ulong HashOf(string key)
        {
            fixed (byte* p = Encoding.ASCII.GetBytes(key + "\0"))
            {
                return Heap.Hash(p, key.Length);
            }
        }

        public ulong* Find(string key)
        {
            fixed (byte* p = Encoding.ASCII.GetBytes(key + "\0"))
            {
                ulong hash = Heap.Hash(p, key.Length);
                Table->Prefetch(hash);
                Table->PrefetchRecord(hash);
                return Table->Find(hash, p, key.Length);
            }
        }

        public ulong* Toggle(string key)
        {
            ulong hash = HashOf(key);
            if (Model.Remove(key, out nint record))
            {
                ulong* slot = Find(key);
                Assert.Equal(record, (nint)KeyTable.Get(slot));
                Table->Remove(Heap, hash, slot);
                Record.Free(Heap, (byte*)record);
                return null;
            }
            byte* created = Create(key, hash);
            Model[key] = (nint)created;
            return Table->Insert(Heap, hash, created);
        }

        public void Replace(string key)
        {
            ulong* slot = Find(key);
            Record.Free(Heap, KeyTable.Get(slot));
            byte* created = Create(key, HashOf(key));
            KeyTable.Set(slot, created);
            Model[key] = (nint)created;
        }

        public void CheckAll()
        {
            Assert.Equal(Model.Count, Table->Count);
            long records = 0;
            foreach ((string key, nint record) in Model)
            {
                ulong* slot = Find(key);
                Assert.True(slot != null, key);
                Assert.Equal(record, (nint)KeyTable.Get(slot));
                Assert.Equal(HashOf(key), *(ulong*)Record.Value((byte*)record));
                records += (long)NativeHeap.RoundUp(Record.SizeOf((byte*)record));
            }
            Assert.Equal(Heap.UsedBytes, records + Table->MemoryBytes);
            var seen = default(NativeList<nint>);
            ulong cursor = 0;
            do
            {
                cursor = Table->ScanBucket(cursor, ref seen);
            }
            while (cursor != 0);
            Assert.Equal(Model.Values.Order(), seen.Span.ToArray().Order());
            seen.Dispose();
            for (int i = 0; i < 10 && Model.Count > 0; i++)
            {
                byte* drawn = Table->Random(ref _random);
                Assert.Equal((nint)drawn, Model[Encoding.ASCII.GetString(Record.KeySpan(drawn))]);
            }
        }

        public void CheckRandomReachesAll()
        {
            var missing = Model.Values.ToHashSet();
            for (int i = 0; i < Model.Count * 30; i++)
            {
                missing.Remove((nint)Table->Random(ref _random));
            }
            Assert.Empty(missing);
        }

        public void Dispose()
        {
            foreach (nint record in Model.Values)
            {
                Record.Free(Heap, (byte*)record);
            }
            KeyTable.Destroy(Heap, Table);
            Assert.Equal(0, Heap.UsedBytes);
            Assert.Equal(0, Heap.AllocatedCount);
            Heap.Dispose();
        }

        private byte* Create(string key, ulong hash)
        {
            fixed (byte* p = Encoding.ASCII.GetBytes(key + "\0"))
            {
                byte* record = Record.Create(Heap, p, key.Length, 1, 2, false, 8);
                *(ulong*)Record.Value(record) = hash;
                return record;
            }
        }
    }
}
