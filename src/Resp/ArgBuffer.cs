using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Leither.Resp;

/// <summary>
/// The arguments of a batch of commands, one after another in native memory, reused from batch to batch. A command is
/// a range of indexes: the array moves when it grows, so keep indexes and not pointers while parsing goes on.
/// </summary>
/// <remarks>
/// Arguments lie in the receive buffer. Those of quoted inline commands do not exist there (their escapes are
/// resolved), so they live in an arena of this object until <see cref="Clear"/>.
/// </remarks>
public sealed unsafe class ArgBuffer : IDisposable
{
    // 128 KiB of slices: more than a full receive buffer of ordinary commands has. What exceeds it is given back by Clear.
    private const int KeptCapacity = 8192;
    private const int ArenaBlockSize = 4096;

    private Slice* _items;
    private int _count;
    private int _capacity;
    private ArenaBlock* _arena;

    private struct ArenaBlock
    {
        public ArenaBlock* Next;
        public nuint Used;
        public nuint Size;
    }

    /// <summary>How many arguments there are.</summary>
    public int Count
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _count;
    }

    /// <summary>The first argument. Moves when arguments are added.</summary>
    public Slice* Pointer
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _items;
    }

    /// <summary>The argument at <paramref name="index"/>, unchecked.</summary>
    public Slice this[int index]
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _items[index];
    }

    /// <summary>Appends an argument.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Add(Slice item)
    {
        *Reserve(1) = item;
        _count++;
    }

    /// <summary>
    /// Makes room for <paramref name="count"/> more arguments and returns where they go; <see cref="Advance"/> adds them.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Slice* Reserve(int count)
    {
        if (_capacity - _count < count)
            Grow(count);
        return _items + _count;
    }

    /// <summary>Adds <paramref name="count"/> arguments that were written where <see cref="Reserve"/> said.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Advance(int count) => _count += count;

    /// <summary>Forgets the arguments from <paramref name="count"/> on.</summary>
    public void Truncate(int count) => _count = Math.Min(_count, count);

    /// <summary>Forgets all arguments and everything in the arena; keeps a modest amount of memory for the next batch.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Clear()
    {
        _count = 0;
        if (_arena != null || _capacity > KeptCapacity)
            Shrink();
    }

    /// <summary>Memory of <paramref name="size"/> bytes that stays in place until <see cref="Clear"/>.</summary>
    public byte* Allocate(int size)
    {
        ArenaBlock* block = _arena;
        if (block == null || block->Size - block->Used < (nuint)size)
        {
            nuint blockSize = (nuint)Math.Max(size, ArenaBlockSize);
            block = (ArenaBlock*)NativeMemory.Alloc((nuint)sizeof(ArenaBlock) + blockSize);
            block->Next = _arena;
            block->Used = 0;
            block->Size = blockSize;
            _arena = block;
        }
        byte* result = (byte*)(block + 1) + block->Used;
        block->Used += (nuint)size;
        return result;
    }

    /// <summary>Gives all memory back. The object can be used again.</summary>
    public void Dispose()
    {
        FreeArena();
        NativeMemory.Free(_items);
        _items = null;
        _count = _capacity = 0;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void Grow(int count)
    {
        int needed = checked(_count + count);
        int capacity = (int)Math.Clamp((long)_capacity * 2, Math.Max(needed, 64), int.MaxValue);
        _items = (Slice*)NativeMemory.Realloc(_items, (nuint)capacity * (nuint)sizeof(Slice));
        _capacity = capacity;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void Shrink()
    {
        FreeArena();
        if (_capacity <= KeptCapacity)
            return;
        NativeMemory.Free(_items);
        _items = null;
        _capacity = 0;
    }

    private void FreeArena()
    {
        while (_arena != null)
        {
            ArenaBlock* next = _arena->Next;
            NativeMemory.Free(_arena);
            _arena = next;
        }
    }
}
