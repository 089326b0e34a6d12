using Leither.MmDb.Values;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Values;

public class PartialSortTests
{
    [Fact]
    public void The_places_asked_for_hold_what_a_whole_sort_brings_there() => Seed.Run(static random =>
    {
        for (int round = 0; round < 2_000; round++)
        {
            int[] items = [.. Enumerable.Range(0, random.Next(300)).Select(_ => random.Next(1 + random.Next(500)))];
            int[] sorted = [.. items.Order()];
            int from = random.Next(items.Length + 1), to = random.Next(from, items.Length + 1);
            int[] all = [.. items];
            PartialSort.Sort(all, from, to, default(Ascending));
            Assert.Equal(sorted[from..to], all[from..to]);
            Assert.Equal(sorted, all.Order());
        }
    });

    /// <summary>The adversary of McIlroy, "A Killer Adversary for Quicksort" (1999): it decides what the items are as they are compared.</summary>
    [Fact]
    public void No_input_makes_it_compare_all_with_all()
    {
        const int count = 20_000;
        int[] items = [.. Enumerable.Range(0, count)];
        var adversary = new Adversary(count);
        PartialSort.Sort(items, 0, count, new ByAdversary(adversary));
        Assert.InRange(adversary.Comparisons, 1, 150L * count);
    }

    private readonly struct Ascending : IComparer<int>
    {
        public int Compare(int x, int y) => x.CompareTo(y);
    }

    private readonly struct ByAdversary(Adversary adversary) : IComparer<int>
    {
        public int Compare(int x, int y) => adversary.Compare(x, y);
    }

    private sealed class Adversary(int count)
    {
        private readonly int[] _values = [.. Enumerable.Repeat(count, count)]; // all of them still open
        private int _decided, _candidate;

        public long Comparisons { get; private set; }

        public int Compare(int x, int y)
        {
            Comparisons++;
            if (_values[x] == count && _values[y] == count)
            {
                _values[x == _candidate ? x : y] = _decided++;
            }

            if (_values[x] == count)
            {
                _candidate = x;
            }
            else if (_values[y] == count)
            {
                _candidate = y;
            }

            return _values[x].CompareTo(_values[y]);
        }
    }
}
