using System.Runtime.InteropServices;

namespace Leither.Resp;

/// <summary>
/// Native blocks of one size that connections borrow while bytes are under way, so that an idle connection holds none. The block
/// returned last is lent first: it is the one still in the processor's cache.
/// </summary>
public sealed unsafe class ChunkPool
{
    /// <summary>The size of a chunk: 16 KiB.</summary>
    public const int ChunkSize = 16 * 1024;

    /// <summary>The size of a large chunk: 128 KiB, for the replies to a long pipeline.</summary>
    public const int LargeChunkSize = 128 * 1024;

    /// <summary>How many unused chunks the shared pool keeps: 8 MiB. Beyond that they are freed.</summary>
    public const int SharedCapacity = 512;

    /// <summary>How many unused large chunks are kept: 16 MiB.</summary>
    public const int LargeCapacity = 128;

    /// <summary>The pool of the process.</summary>
    public static ChunkPool Shared { get; } = new(SharedCapacity);

    /// <summary>The process's pool of large chunks.</summary>
    public static ChunkPool Large { get; } = new(LargeCapacity, LargeChunkSize);

    private readonly Lock _gate = new();
    private readonly int _capacity, _chunkSize;
    private byte* _top;
    private int _pooled;
    private int _lent;

    /// <summary>A pool that keeps at most <paramref name="capacity"/> unused chunks of <paramref name="chunkSize"/> bytes.</summary>
    public ChunkPool(int capacity, int chunkSize = ChunkSize)
    {
        _capacity = capacity;
        _chunkSize = chunkSize;
    }

    /// <summary>How many chunks wait to be lent.</summary>
    public int Pooled => Volatile.Read(ref _pooled);

    /// <summary>How many chunks are lent.</summary>
    public int Lent => Volatile.Read(ref _lent);

    /// <summary>Lends a chunk; its content is arbitrary.</summary>
    public byte* Rent()
    {
        lock (_gate)
        {
            _lent++;
            byte* chunk = _top;
            if (chunk != null)
            {
                // An unused chunk begins with the address of the one below it.
                _top = *(byte**)chunk;
                _pooled--;
                return chunk;
            }
        }
        return (byte*)NativeMemory.Alloc((nuint)_chunkSize);
    }

    /// <summary>Takes back a chunk that <see cref="Rent"/> lent.</summary>
    public void Return(byte* chunk)
    {
        lock (_gate)
        {
            _lent--;
            if (_pooled < _capacity)
            {
                *(byte**)chunk = _top;
                _top = chunk;
                _pooled++;
                return;
            }
        }
        NativeMemory.Free(chunk);
    }

    /// <summary>Frees every unused chunk.</summary>
    public void Trim()
    {
        byte* chunk;
        lock (_gate)
        {
            chunk = _top;
            _top = null;
            _pooled = 0;
        }
        while (chunk != null)
        {
            byte* below = *(byte**)chunk;
            NativeMemory.Free(chunk);
            chunk = below;
        }
    }
}
