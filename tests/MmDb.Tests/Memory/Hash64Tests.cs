using System.Numerics;
using Leither.MmDb.Memory;
using Leither.MmDb.Tests.Values;
using Xunit;

namespace Leither.MmDb.Tests.Memory;

public sealed unsafe class Hash64Tests
{
    [Fact]
    public void Zeros_of_every_length_differ()
    {
        var seen = new HashSet<ulong>();
        byte* zeros = stackalloc byte[300];
        new Span<byte>(zeros, 300).Clear();
        for (int length = 0; length <= 300; length++)
        {
            Assert.True(seen.Add(Hash64.Compute(zeros, length, 7)), $"length {length}");
        }
    }

    [Fact]
    public void Every_bit_of_key_and_seed_flips_about_half_of_the_hash()
    {
        var random = new Random(42);
        byte* key = stackalloc byte[100];
        foreach (int length in new[] { 1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 20, 31, 32, 33, 40, 48, 49, 64, 65, 100 })
        {
            int bits = length * 8;
            for (int bit = 0; bit < bits + 64; bit++)
            {
                const int Trials = 64;
                int flipped = 0;
                for (int trial = 0; trial < Trials; trial++)
                {
                    random.NextBytes(new Span<byte>(key, length));
                    ulong seed = (ulong)random.NextInt64();
                    ulong before = Hash64.Compute(key, length, seed);
                    if (bit < bits)
                    {
                        key[bit / 8] ^= (byte)(1 << (bit % 8));
                    }
                    else
                    {
                        seed ^= 1UL << (bit - bits);
                    }
                    flipped += BitOperations.PopCount(before ^ Hash64.Compute(key, length, seed));
                }
                // 4096 fair coins: 2048 with a deviation of 32.
                Assert.InRange(flipped, 2048 - 220, 2048 + 220);
            }
        }
    }

    [Fact]
    public void Top_middle_and_low_bits_of_numbered_keys_are_uniform()
    {
        const int Keys = 1 << 20;
        const int Cells = 1 << 12;
        byte* key = stackalloc byte[24];
        foreach (int shift in new[] { 52, 40, 28, 4, 0 })
        {
            var counts = new int[Cells];
            for (int i = 0; i < Keys; i++)
            {
                i.TryFormat(new Span<byte>(key, 24), out int length, "key:000000000000");
                counts[(Hash64.Compute(key, length, 12345) >> shift) & (Cells - 1)]++;
            }
            double expected = (double)Keys / Cells;
            double chiSquare = counts.Sum(c => (c - expected) * (c - expected) / expected);
            Assert.InRange(chiSquare, Cells - (6 * Math.Sqrt(2 * Cells)), Cells + (6 * Math.Sqrt(2 * Cells)));
        }
    }

    [Fact]
    public void No_byte_beyond_the_key_is_read()
    {
        using var memory = new GuardedMemory(256);
        for (int length = 0; length <= 256; length++)
        {
            var key = new Span<byte>(memory.Last(length), length);
            key.Fill(3);
            fixed (byte* p = key)
            {
                ulong hash = Hash64.Compute(p, length, 1);
                var copy = new byte[length + 1];
                key.CopyTo(copy);
                copy[length] = 99;
                fixed (byte* q = copy)
                {
                    Assert.Equal(hash, Hash64.Compute(q, length, 1));
                    Assert.True(Bytes.Equal(p, q, length));
                    if (length > 0)
                    {
                        q[length / 2]++;
                        Assert.False(Bytes.Equal(p, q, length));
                        q[length / 2]--;
                        q[length - 1]++;
                        Assert.False(Bytes.Equal(p, q, length));
                        q[length - 1]--;
                        q[0]++;
                        Assert.False(Bytes.Equal(p, q, length));
                    }
                }
            }
        }
    }
}
