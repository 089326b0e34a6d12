using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Leither.MmDb.Memory;

/// <summary>
/// A growing array outside the collector's memory, for scratch lists (a scan's records, slots to move). Pass it by
/// reference, and dispose of it once; the default value is an empty list.
/// </summary>
/// <typeparam name="T">Item type.</typeparam>
public unsafe struct NativeList<T> : IDisposable
    where T : unmanaged
{
    private const int FirstCapacity = 16;
    private T* _items;
    private int _capacity;

    /// <summary>Items in the list.</summary>
    public int Count { get; private set; }

    /// <summary>First item; moves when the list grows.</summary>
    public readonly T* Items => _items;

    /// <summary>The items.</summary>
    public readonly Span<T> Span => new(_items, Count);

    /// <summary>Item at an index below <see cref="Count"/>.</summary>
    /// <param name="index">The index.</param>
    public readonly ref T this[int index]
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => ref _items[index];
    }

    /// <summary>Appends an item.</summary>
    /// <param name="item">The item.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Add(T item)
    {
        if (Count == _capacity)
        {
            Grow();
        }
        _items[Count++] = item;
    }

    /// <summary>Removes and returns the last item of a list that is not empty.</summary>
    /// <returns>The item.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T RemoveLast() => _items[--Count];

    /// <summary>Empties the list; its memory stays.</summary>
    public void Clear() => Count = 0;

    /// <summary>Shortens the list.</summary>
    /// <param name="count">Items that stay; at most <see cref="Count"/>.</param>
    public void Truncate(int count) => Count = count;

    /// <summary>Frees the memory and leaves an empty list.</summary>
    public void Dispose()
    {
        NativeMemory.Free(_items);
        this = default;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void Grow()
    {
        int capacity = _capacity == 0 ? FirstCapacity : checked(_capacity * 2);
        try
        {
            _items = (T*)NativeMemory.Realloc(_items, (nuint)capacity * (nuint)sizeof(T));
        }
        catch (OutOfMemoryException)
        {
            throw new NativeMemoryExhaustedException((ulong)capacity * (ulong)sizeof(T));
        }
        _capacity = capacity;
    }
}
