namespace Leither.MmDb.Values;

/// <summary>Brings the first of many items into order and leaves the others: what a query with a limit needs, at the cost of its limit.</summary>
internal static class PartialSort
{
    /// <summary>
    /// After it the first <paramref name="count"/> items are the smallest, in order; the rest are in none. A heap of so many holds the best
    /// seen so far, so that no input makes it slow. The order must tell all items apart for the outcome to depend on nothing else.
    /// </summary>
    public static void Sort<T, TComparer>(Span<T> items, int count, TComparer order)
        where TComparer : struct, IComparer<T>
    {
        if (count < items.Length)
        {
            Span<T> heap = items[..count];
            for (int i = (count / 2) - 1; i >= 0; i--)
            {
                SiftDown(heap, i, order);
            }

            for (int i = count; i < items.Length && count > 0; i++)
            {
                if (order.Compare(items[i], heap[0]) < 0)
                {
                    (heap[0], items[i]) = (items[i], heap[0]);
                    SiftDown(heap, 0, order);
                }
            }
        }

        items[..Math.Min(count, items.Length)].Sort(order);
    }

    private static void SiftDown<T, TComparer>(Span<T> heap, int at, TComparer order)
        where TComparer : struct, IComparer<T>
    {
        T item = heap[at];
        for (int child; (child = (2 * at) + 1) < heap.Length; at = child)
        {
            if (child + 1 < heap.Length && order.Compare(heap[child + 1], heap[child]) > 0)
            {
                child++;
            }

            if (order.Compare(heap[child], item) <= 0)
            {
                break;
            }

            heap[at] = heap[child];
        }

        heap[at] = item;
    }
}
