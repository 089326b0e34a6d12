using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Leither.MmDb.Memory;

/// <summary>
/// The block of a string value too long to lie in its record: length, capacity, then the bytes. The capacity may exceed
/// the length, so that APPEND and SETRANGE do not move a long value each time. The record holds its address
/// (<see cref="Record.Outside"/>).
/// </summary>
[StructLayout(LayoutKind.Sequential)]
public unsafe struct LargeValue
{
    /// <summary>Size of the two fields before the bytes.</summary>
    public const int HeaderSize = 16;

    /// <summary>Bytes of the value.</summary>
    public ulong Length;

    /// <summary>Bytes there is room for.</summary>
    public ulong Capacity;

    /// <summary>Makes a value of the given length, bytes not cleared, with room for exactly that or a little more.</summary>
    /// <param name="heap">Heap to take it from.</param>
    /// <param name="length">Length of the value.</param>
    /// <returns>The value.</returns>
    /// <exception cref="NativeMemoryExhaustedException">The system has no more memory.</exception>
    public static LargeValue* Create(NativeHeap heap, ulong length) => Create(heap, length, length);

    /// <summary>Makes a value of the given length, bytes not cleared, with room for more.</summary>
    /// <param name="heap">Heap to take it from.</param>
    /// <param name="length">Length of the value.</param>
    /// <param name="capacity">Bytes to make room for, at least <paramref name="length"/>.</param>
    /// <returns>The value.</returns>
    /// <exception cref="NativeMemoryExhaustedException">The system has no more memory.</exception>
    public static LargeValue* Create(NativeHeap heap, ulong length, ulong capacity)
    {
        capacity = FitCapacity(capacity);
        var value = (LargeValue*)heap.Alloc((nuint)capacity + HeaderSize);
        value->Length = length;
        value->Capacity = capacity;
        return value;
    }

    /// <summary>Frees a value.</summary>
    /// <param name="heap">Heap it was taken from.</param>
    /// <param name="value">The value.</param>
    public static void Free(NativeHeap heap, LargeValue* value) => heap.Free((byte*)value, BlockSize(value));

    /// <summary>Changes the capacity, keeping the bytes; the length is cut if it exceeds the new capacity.</summary>
    /// <param name="heap">Heap it was taken from.</param>
    /// <param name="value">The value.</param>
    /// <param name="capacity">Bytes to have room for.</param>
    /// <returns>Where the value is now.</returns>
    /// <exception cref="NativeMemoryExhaustedException">The system has no more memory; the value is unchanged.</exception>
    public static LargeValue* Resize(NativeHeap heap, LargeValue* value, ulong capacity)
    {
        capacity = FitCapacity(capacity);
        value = (LargeValue*)heap.Resize((byte*)value, BlockSize(value), (nuint)capacity + HeaderSize);
        value->Capacity = capacity;
        value->Length = Math.Min(value->Length, capacity);
        return value;
    }

    /// <summary>Moves a value that lies in a slab being emptied.</summary>
    /// <param name="heap">Heap it was taken from.</param>
    /// <param name="value">The value.</param>
    /// <returns>Where the value is now.</returns>
    public static LargeValue* Relocate(NativeHeap heap, LargeValue* value)
    {
        nuint size = BlockSize(value);
        if (!heap.IsEvacuating((byte*)value, size))
        {
            return value;
        }
        byte* moved = heap.Alloc(size);
        NativeMemory.Copy(value, moved, size);
        heap.Free((byte*)value, size);
        return (LargeValue*)moved;
    }

    /// <summary>First byte of the value.</summary>
    /// <param name="value">The value.</param>
    /// <returns>Address of the bytes.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static byte* Bytes(LargeValue* value) => (byte*)value + HeaderSize;

    /// <summary>Size of the block that holds a value, as given to the heap.</summary>
    /// <param name="value">The value.</param>
    /// <returns>Bytes.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static nuint BlockSize(LargeValue* value) => (nuint)value->Capacity + HeaderSize;

    /// <summary>A slab block is used to its end: the rounding becomes slack instead of waste.</summary>
    private static ulong FitCapacity(ulong capacity) =>
        capacity + HeaderSize <= NativeHeap.MaxSlabBlock ? NativeHeap.RoundUp((nuint)capacity + HeaderSize) - HeaderSize : capacity;
}
