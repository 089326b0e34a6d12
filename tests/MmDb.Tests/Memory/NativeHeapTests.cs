using System.Runtime.InteropServices;
using Leither.MmDb.Memory;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Memory;

public sealed unsafe class NativeHeapTests
{
    [Fact]
    public void Every_size_rounds_up_to_the_next_class_by_at_most_an_eighth()
    {
        for (int c = 1; c < SizeClass.Count; c++)
        {
            if (SizeClass.SizeOf(c) <= SizeClass.Largest)
            {
                Assert.True(SizeClass.SizeOf(c) > SizeClass.SizeOf(c - 1));
                Assert.Equal(0u, SizeClass.SizeOf(c) % 8);
            }
        }
        for (uint size = 0; size <= SizeClass.Largest; size++)
        {
            int c = SizeClass.Of(size);
            Assert.InRange(c, 0, SizeClass.Count - 1);
            uint rounded = SizeClass.SizeOf(c);
            Assert.True(rounded >= size, $"{size} -> {rounded}");
            Assert.True(c == 0 || SizeClass.SizeOf(c - 1) < size, $"{size} fits a smaller class");
            Assert.True(size < 64 || rounded - size <= size / 8, $"{size} -> {rounded}");
        }
        Assert.Equal((uint)SizeClass.Largest, SizeClass.SizeOf(SizeClass.Of(SizeClass.Largest)));
    }

    [Fact]
    public void Blocks_of_powers_of_two_are_aligned_to_cache_lines()
    {
        using var heap = new NativeHeap(1);
        foreach (nuint size in new nuint[] { 64, 128, 256, 512, 1024, 2048, 4096, 8192 })
        {
            for (int i = 0; i < 100; i++)
            {
                Assert.Equal((nuint)0, (nuint)heap.Alloc(size) % 64);
            }
        }
    }

    [Fact]
    public void Random_use_keeps_every_block_intact_and_counts_truthfully() => Seed.Run(random =>
    {
        using var heap = new NativeHeap(1);
        var blocks = new List<Block>();
        long expectedUsed = 0;
        for (int step = 0; step < 1_000_000; step++)
        {
            // Waves, so that slabs fill up and become empty again.
            bool growing = step / 100_000 % 2 == 0;
            int choice = random.Next(10);
            if (blocks.Count == 0 || choice < (growing ? 6 : 3))
            {
                nuint size = RandomSize(random);
                var block = new Block(heap.Alloc(size), size, (byte)step);
                block.Fill();
                expectedUsed += (long)NativeHeap.RoundUp(size);
                blocks.Add(block);
                continue;
            }
            int at = random.Next(blocks.Count);
            Block old = blocks[at];
            old.Check(old.Size);
            if (choice == 9)
            {
                nuint size = RandomSize(random);
                var resized = new Block(heap.Resize(old.Address, old.Size, size), size, old.Pattern);
                resized.Check(Math.Min(size, old.Size));
                resized.Fill();
                blocks[at] = resized;
                expectedUsed += (long)NativeHeap.RoundUp(size) - (long)NativeHeap.RoundUp(old.Size);
            }
            else
            {
                blocks[at] = blocks[^1];
                blocks.RemoveAt(blocks.Count - 1);
                heap.Free(old.Address, old.Size);
                expectedUsed -= (long)NativeHeap.RoundUp(old.Size);
            }
            if (step % 1000 == 0)
            {
                Assert.Equal(expectedUsed, heap.UsedBytes);
                Assert.Equal(blocks.Count, heap.AllocatedCount);
                Assert.True(heap.ResidentBytes >= heap.UsedBytes);
            }
        }
        foreach (Block block in blocks)
        {
            block.Check(block.Size);
            heap.Free(block.Address, block.Size);
        }
        Assert.Equal(0, heap.UsedBytes);
        Assert.Equal(0, heap.AllocatedCount);
        Assert.InRange(heap.ResidentBytes, 0, 2 << 20);
    });

    [Fact]
    public void A_small_heap_takes_little_memory()
    {
        using var heap = new NativeHeap(1);
        Assert.Equal(0, heap.ResidentBytes);
        heap.Alloc(50);
        Assert.InRange(heap.ResidentBytes, 1, 8192);
    }

    [Fact]
    public void Freed_memory_goes_back_to_the_system_and_can_be_used_again()
    {
        using var heap = new NativeHeap(1);
        const int Count = 1_000_000;
        var blocks = new nint[Count];
        for (int round = 0; round < 2; round++)
        {
            for (int i = 0; i < Count; i++)
            {
                var p = heap.Alloc(56);
                *(long*)p = i;
                blocks[i] = (nint)p;
            }
            Assert.InRange(heap.ResidentBytes, Count * 56L, Count * 57L);
            for (int i = 0; i < Count; i++)
            {
                Assert.Equal(i, *(long*)blocks[i]);
                heap.Free((byte*)blocks[i], 56);
            }
            Assert.Equal(0, heap.UsedBytes);
            Assert.InRange(heap.ResidentBytes, 0, OperatingSystem.IsLinux() ? 8 << 20 : long.MaxValue);
        }
    }

    [Fact]
    public void An_empty_slab_serves_another_class()
    {
        using var heap = new NativeHeap(1);
        var blocks = new List<nint>();
        for (int i = 0; i < 400; i++)
        {
            blocks.Add((nint)heap.Alloc(100));
        }
        long resident = heap.ResidentBytes;
        blocks.ForEach(p => heap.Free((byte*)p, 100));
        for (int i = 0; i < 40; i++)
        {
            heap.Alloc(1000);
        }
        Assert.Equal(resident, heap.ResidentBytes);
    }

    [Fact]
    public void Compaction_empties_sparse_slabs() => Seed.Run(random =>
    {
        using var heap = new NativeHeap(1);
        var live = new List<Block>();
        nuint[] sizes = [24, 56, 200, 1000, 4096];
        var all = new List<Block>();
        for (int i = 0; i < 200_000; i++)
        {
            nuint size = sizes[i % 4 == 3 ? random.Next(sizes.Length) : i % 2];
            var block = new Block(heap.Alloc(size), size, (byte)i);
            block.Fill();
            all.Add(block);
        }
        foreach (Block block in all)
        {
            if (random.Next(10) < 8)
            {
                heap.Free(block.Address, block.Size);
            }
            else
            {
                live.Add(block);
            }
        }
        Assert.True(heap.ResidentBytes > 2 * heap.UsedBytes);
        int rounds = 0;
        while (heap.BeginCompaction())
        {
            Assert.True(++rounds < 100, "compaction does not come to an end");
            for (int i = 0; i < live.Count; i++)
            {
                Block block = live[i];
                if (heap.IsEvacuating(block.Address, block.Size))
                {
                    byte* moved = heap.Alloc(block.Size);
                    Assert.False(heap.IsEvacuating(moved, block.Size));
                    NativeMemory.Copy(block.Address, moved, block.Size);
                    heap.Free(block.Address, block.Size);
                    live[i] = block with { Address = moved };
                }
            }
            heap.EndCompaction();
        }
        Assert.True(rounds > 0);
        Assert.True(heap.ResidentBytes < 1.4 * heap.UsedBytes, $"{heap.ResidentBytes} resident for {heap.UsedBytes}");
        foreach (Block block in live)
        {
            block.Check(block.Size);
            heap.Free(block.Address, block.Size);
        }
        Assert.Equal(0, heap.UsedBytes);
    });

    [Fact]
    public void A_compaction_may_stop_half_way()
    {
        using var heap = new NativeHeap(1);
        var blocks = new nint[50_000];
        for (int i = 0; i < blocks.Length; i++)
        {
            blocks[i] = (nint)heap.Alloc(100);
        }
        for (int i = 0; i < blocks.Length; i++)
        {
            if (i % 8 != 0)
            {
                heap.Free((byte*)blocks[i], 100);
            }
        }
        Assert.True(heap.BeginCompaction());
        Assert.Throws<InvalidOperationException>(() => heap.BeginCompaction());
        heap.EndCompaction();
        for (int i = 0; i < blocks.Length; i += 8)
        {
            Assert.False(heap.IsEvacuating((byte*)blocks[i], 100));
        }
        long resident = heap.ResidentBytes;
        for (int i = 0; i < 20_000; i++)
        {
            heap.Alloc(100);
        }
        Assert.Equal(resident, heap.ResidentBytes);
    }

    [Fact]
    public void A_block_that_cannot_be_had_is_a_typed_exception_and_changes_nothing()
    {
        using var heap = new NativeHeap(1);
        byte* small = heap.Alloc(20_000);
        long used = heap.UsedBytes;
        Assert.Throws<NativeMemoryExhaustedException>(() => heap.Alloc(nuint.MaxValue / 4));
        Assert.Throws<NativeMemoryExhaustedException>(() => heap.Alloc(nuint.MaxValue));
        Assert.Throws<NativeMemoryExhaustedException>(() => heap.Resize(small, 20_000, nuint.MaxValue / 4));
        Assert.Equal(used, heap.UsedBytes);
        heap.Free(small, 20_000);
        Assert.Equal(0, heap.UsedBytes);
    }

    [Fact]
    public void Dispose_frees_everything_at_once_and_twice_is_harmless()
    {
        var heap = new NativeHeap(1);
        for (int i = 0; i < 1000; i++)
        {
            heap.Alloc((nuint)i * 20);
        }
        heap.Dispose();
        heap.Dispose();
        Assert.Equal(0, heap.ResidentBytes);
    }

    private static nuint RandomSize(Random random) => random.Next(100) switch
    {
        0 => (nuint)random.Next(8193, 40_000),
        < 10 => (nuint)random.Next(1, 8193),
        _ => (nuint)random.Next(1, 300),
    };

    private readonly record struct Block(nint Place, nuint Size, byte Pattern)
    {
        public Block(byte* address, nuint size, byte pattern)
            : this((nint)address, size, pattern)
        {
        }

        public byte* Address
        {
            get => (byte*)Place;
            init => Place = (nint)value;
        }

        public void Fill() => new Span<byte>(Address, (int)Size).Fill(Pattern);

        public void Check(nuint size) =>
            Assert.Equal(-1, new Span<byte>(Address, (int)size).IndexOfAnyExcept(Pattern));
    }
}
