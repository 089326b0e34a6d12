using System.Numerics;

namespace Leither.MmDb.Values;

/// <summary>
/// Brings some places of many items into order and leaves the others: what a query with a limit needs, at the cost of its limit. It is the quicksort of Bentley and McIlroy
/// ("Engineering a Sort Function", 1993) that goes only where those places are. Redis takes that one, too: which of several equal items come first, and are stored, is the
/// same there, so that either can follow the other.
/// </summary>
internal static class PartialSort
{
    /// <summary>After it the items at the places from <paramref name="from"/> up to <paramref name="to"/> (not included) are those that a whole sort brings there, in order.</summary>
    public static void Sort<T, TComparer>(Span<T> items, int from, int to, TComparer order)
        where TComparer : struct, IComparer<T> =>
        Sort(items, from, to, order, 4 * BitOperations.Log2((uint)items.Length + 1));

    private static void Sort<T, TComparer>(Span<T> items, int from, int to, TComparer order, int splits)
        where TComparer : struct, IComparer<T>
    {
        while (true)
        {
            int count = items.Length;
            if (count < 7)
            {
                for (int i = 1; i < count; i++)
                {
                    for (int j = i; j > 0 && order.Compare(items[j - 1], items[j]) > 0; j--)
                    {
                        (items[j - 1], items[j]) = (items[j], items[j - 1]);
                    }
                }

                return;
            }

            if (splits-- == 0)
            {
                items.Sort(order); // items laid out so that no split halves them
                return;
            }

            int pivot = Pivot(items, order);
            (items[0], items[pivot]) = (items[pivot], items[0]);

            // What is equal to the pivot gathers at both ends, what is smaller and what is greater between.
            int lowEquals = 1, left = 1, right = count - 1, highEquals = count - 1, compared;
            while (true)
            {
                for (; left <= right && (compared = order.Compare(items[left], items[0])) <= 0; left++)
                {
                    if (compared == 0)
                    {
                        (items[lowEquals], items[left]) = (items[left], items[lowEquals]);
                        lowEquals++;
                    }
                }

                for (; left <= right && (compared = order.Compare(items[right], items[0])) >= 0; right--)
                {
                    if (compared == 0)
                    {
                        (items[right], items[highEquals]) = (items[highEquals], items[right]);
                        highEquals--;
                    }
                }

                if (left > right)
                {
                    break;
                }

                (items[left], items[right]) = (items[right], items[left]);
                left++;
                right--;
            }

            // The equal ones go into the middle.
            int smaller = left - lowEquals, greater = highEquals - right;
            Exchange(items, 0, left, Math.Min(lowEquals, smaller));
            Exchange(items, left, count, Math.Min(greater, count - 1 - highEquals));
            if (from < smaller && to > 0)
            {
                Sort(items[..smaller], from, to, order, splits);
            }

            if (to <= count - greater)
            {
                return;
            }

            items = items[(count - greater)..];
            from -= count - greater;
            to -= count - greater;
        }
    }

    /// <summary>Where the item is that the others are held against: the middle one, of few; of more the median of three, or of three such medians.</summary>
    private static int Pivot<T, TComparer>(ReadOnlySpan<T> items, TComparer order)
        where TComparer : struct, IComparer<T>
    {
        int count = items.Length, first = 0, middle = count / 2, last = count - 1;
        if (count == 7)
        {
            return middle;
        }

        if (count > 40)
        {
            int eighth = count / 8;
            first = Median(items, first, first + eighth, first + (2 * eighth), order);
            middle = Median(items, middle - eighth, middle, middle + eighth, order);
            last = Median(items, last - (2 * eighth), last - eighth, last, order);
        }

        return Median(items, first, middle, last, order);
    }

    private static int Median<T, TComparer>(ReadOnlySpan<T> items, int a, int b, int c, TComparer order)
        where TComparer : struct, IComparer<T> =>
        order.Compare(items[a], items[b]) < 0
            ? order.Compare(items[b], items[c]) < 0 ? b : order.Compare(items[a], items[c]) < 0 ? c : a
            : order.Compare(items[b], items[c]) > 0 ? b : order.Compare(items[a], items[c]) < 0 ? a : c;

    /// <summary>Exchanges so many items from a place on with as many before another.</summary>
    private static void Exchange<T>(Span<T> items, int at, int end, int count)
    {
        for (int i = 0; i < count; i++)
        {
            (items[at + i], items[end - count + i]) = (items[end - count + i], items[at + i]);
        }
    }
}
