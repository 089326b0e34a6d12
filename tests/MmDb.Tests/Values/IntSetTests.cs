using System.Runtime.InteropServices;
using Leither.MmDb.Values;
using Xunit;

namespace Leither.MmDb.Tests.Values;

public sealed unsafe class IntSetTests : IDisposable
{
    private readonly byte* _data = (byte*)NativeMemory.Alloc(1 << 16);
    private int _length;

    public IntSetTests() => _length = IntSet.Initialize(_data);

    public void Dispose() => NativeMemory.Free(_data);

    [Fact]
    public void A_wider_integer_widens_the_set_at_either_end()
    {
        SortedSet<long> model = [];
        foreach (long value in (long[])[5, -3, 32767, -32768, 0, 32768, 7, -40000, int.MaxValue, int.MinValue, 1L << 40, -(1L << 50), long.MaxValue, long.MinValue])
        {
            Assert.Equal(IntSet.SizeWith(_data, _length, value), _length = IntSet.Add(_data, _length, value));
            Assert.Equal(_length, IntSet.Add(_data, _length, value));
            model.Add(value);
            AssertSame(model);
        }
    }

    [Theory]
    [InlineData(1, 16)]
    [InlineData(2, 32)]
    [InlineData(3, 64)]
    public void Random_edits_give_the_same_as_a_sorted_set(int seed, int bits)
    {
        Random random = new(seed);
        SortedSet<long> model = [];
        for (int step = 0; step < 15_000; step++)
        {
            int shift = random.Next(64 - bits, 64);
            long value = random.NextInt64(long.MinValue, long.MaxValue) >> shift;
            if (random.Next(3) == 0 && model.Count > 0)
            {
                value = IntSet.At(_data, random.Next(model.Count));
            }

            Assert.Equal(model.Contains(value), IntSet.Contains(_data, _length, value));
            if (random.Next(100) < (model.Count < 500 ? 60 : 30))
            {
                _length = IntSet.Add(_data, _length, value);
                model.Add(value);
            }
            else
            {
                _length = IntSet.Remove(_data, _length, value);
                model.Remove(value);
            }

            if (step % 32 == 0)
            {
                AssertSame(model);
            }
        }
    }

    [Fact]
    public void Validate_of_hostile_bytes_never_reads_beyond_them()
    {
        Random random = new(7);
        using GuardedMemory memory = new(4096);
        for (int round = 0; round < 20_000; round++)
        {
            int length = random.Next(60);
            byte* data = memory.Last(length);
            random.NextBytes(new Span<byte>(data, length));
            if (length > 0 && random.Next(4) != 0)
            {
                *data = (byte)(1 << random.Next(4));
            }

            if (IntSet.Validate(data, length))
            {
                for (int i = 0; i < IntSet.Count(data, length); i++)
                {
                    Assert.Equal(i, IntSet.Find(data, length, IntSet.At(data, i)));
                }
            }
        }
    }

    private void AssertSame(SortedSet<long> model)
    {
        Assert.True(IntSet.Validate(_data, _length));
        Assert.Equal(model.Count, IntSet.Count(_data, _length));
        int index = 0;
        foreach (long value in model)
        {
            Assert.Equal(value, IntSet.At(_data, index));
            Assert.Equal(index++, IntSet.Find(_data, _length, value));
        }
    }
}
