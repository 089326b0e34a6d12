using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Leither.MmDb.Memory;

/// <summary>
/// All native memory of one MiMei: keys, values, tables. One thread at a time (the MiMei's gate); no locks inside.
/// </summary>
/// <remarks>
/// <para>
/// Small blocks (up to 8192 bytes) live in slabs of 64 KiB, one size class a slab, so freeing and reusing never splits or
/// joins blocks. Slabs are the 32 pieces of a 2 MiB chunk aligned to 2 MiB:
/// </para>
/// <code>
/// chunk  | 32 slab headers of 64 bytes | chunk header | ... 4096 | blocks of slab 0 | slab 1 | slab 2 | ... | slab 31 |
/// </code>
/// <para>
/// The headers stand together and not each at the base of its slab: 64 KiB apart they would all fall into the same set
/// of the processor's caches and push each other out; and whole slabs keep blocks of 4096 bytes (the key table's
/// segments) page-aligned with no rest. A block's header is found from its address alone.
/// </para>
/// <para>
/// A fresh slab hands out blocks from its start upward, so pages never reached are never made resident: a small heap
/// is small. An empty slab serves any class; beyond a reserve the pages of empty slabs go back to the system.
/// A big heap takes its chunks as huge pages, which measured a fifth off each uncached lookup and a quarter off each
/// insertion, and gives up on them chunk by chunk where it returns single slabs.
/// Larger blocks come from malloc, in a list so that <see cref="Dispose"/> finds them.
/// </para>
/// <para>What must stay true: the caller frees with the size it asked for, and never uses a block after that.</para>
/// </remarks>
public sealed unsafe class NativeHeap : IDisposable
{
    /// <summary>Blocks beyond this many bytes come from malloc.</summary>
    public const int MaxSlabBlock = SizeClass.Largest;

    private const nuint ChunkSize = 2 << 20;
    private const nuint SlabSize = 64 << 10;
    private const int SlabsPerChunk = (int)(ChunkSize / SlabSize);
    private const nuint ChunkHeaderSize = VirtualMemory.PageSize;
    private const nuint LargeHeaderSize = 16;

    /// <summary>
    /// Touched bytes of empty slabs that are kept for reuse before pages go back to the system; of a heap with huge pages a
    /// chunk more, so that the rest of the newest one does not count as too much.
    /// </summary>
    private const long MinimumReserveBytes = 1 << 20;

    /// <summary>A heap this big takes its further chunks as huge pages; smaller ones stay exact to the page.</summary>
    private const long HugePagesFromBytes = 16 << 20;

    /// <summary>Empty slabs that must remain elsewhere for an empty chunk to be unmapped.</summary>
    private const int SpareSlabs = 16;

    /// <summary>Most slabs one compaction evacuates: bounds the time of <see cref="BeginCompaction"/>.</summary>
    private const int MaxEvacuatingSlabs = 16384;

    /// <summary>A slab fuller than this many sixteenths is never worth evacuating.</summary>
    private const int SparseSixteenths = 12;

    private readonly Bin* _bins;
    private Chunk* _chunks;
    private Slab* _freeTouched;
    private Slab* _freeFresh;
    private long _freeTouchedBytes;
    private LargeBlock* _large;
    private long _slabUsedBytes;
    private long _largeBytes;
    private long _residentBytes;
    private long _count;
    private int _freeSlabs;
    private int _evacuating;
    private bool _disposed;

    /// <summary>Makes an empty heap. Memory is taken when it is first needed.</summary>
    /// <param name="hashSeed">Secret seed of this MiMei's key hashes: random in production, given in tests.</param>
    public NativeHeap(ulong hashSeed)
    {
        HashSeed = hashSeed;
        _bins = (Bin*)NativeMemory.AllocZeroed(SizeClass.Count, (nuint)sizeof(Bin));
        for (int i = 0; i < SizeClass.Count; i++)
        {
            _bins[i].BlockSize = SizeClass.SizeOf(i);
        }
    }

    /// <summary>Frees what a forgotten heap still holds.</summary>
    ~NativeHeap() => ReleaseAll();

    /// <summary>Seed for <see cref="Hash64"/> of every key table in this heap.</summary>
    public ulong HashSeed { get; }

    /// <summary>Bytes in use: the class sizes of slab blocks and, for large blocks, their size and 16 bytes of header.</summary>
    public long UsedBytes => _slabUsedBytes + _largeBytes;

    /// <summary>
    /// Bytes of memory this heap keeps resident: every slab page from which a block was ever handed out and that has not
    /// gone back to the system, one page for each chunk's headers, all of a chunk of huge pages, and the large blocks. What malloc
    /// rounds up is not in it; where the kernel has no huge page to give, it is up to one chunk too much.
    /// </summary>
    public long ResidentBytes => _residentBytes + _largeBytes;

    /// <summary>Blocks in use.</summary>
    public long AllocatedCount => _count;

    /// <summary>What a block of this size really takes, as <see cref="UsedBytes"/> counts it.</summary>
    /// <param name="size">Requested size in bytes.</param>
    /// <returns>The size of its class, or for a large block its size and header.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static nuint RoundUp(nuint size) =>
        size <= MaxSlabBlock ? SizeClass.SizeOf(SizeClass.Of((uint)size)) : size + LargeHeaderSize;

    /// <summary>Hash of a key under this heap's seed.</summary>
    /// <param name="key">First byte of the key.</param>
    /// <param name="length">Its length.</param>
    /// <returns>The hash that key tables of this heap go by.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong Hash(byte* key, int length) => Hash64.Compute(key, length, HashSeed);

    /// <summary>Takes a block; its bytes are not cleared. Aligned to 8, and to 64 where the size's class is a multiple of 64.</summary>
    /// <param name="size">Bytes needed.</param>
    /// <returns>The block.</returns>
    /// <exception cref="NativeMemoryExhaustedException">The system has no more memory.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public byte* Alloc(nuint size) => size <= MaxSlabBlock ? AllocSmall(SizeClass.Of((uint)size)) : AllocLarge(size);

    /// <summary>Takes a block and clears it.</summary>
    /// <param name="size">Bytes needed.</param>
    /// <returns>The block, all zero.</returns>
    /// <exception cref="NativeMemoryExhaustedException">The system has no more memory.</exception>
    public byte* AllocZeroed(nuint size)
    {
        byte* p = Alloc(size);
        NativeMemory.Clear(p, size);
        return p;
    }

    /// <summary>Gives a block back.</summary>
    /// <param name="p">The block.</param>
    /// <param name="size">The size it was asked for with (any size of the same class will do).</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Free(byte* p, nuint size)
    {
        if (size <= MaxSlabBlock)
        {
            FreeSmall(p, (uint)size);
        }
        else
        {
            FreeLarge(p, size);
        }
    }

    /// <summary>
    /// Changes a block's size, keeping its contents up to the smaller of both. Stays in place when both sizes round to the same.
    /// </summary>
    /// <param name="p">The block.</param>
    /// <param name="oldSize">The size it has.</param>
    /// <param name="newSize">The size it shall have.</param>
    /// <returns>Where the block is now.</returns>
    /// <exception cref="NativeMemoryExhaustedException">The system has no more memory; the old block is unchanged.</exception>
    public byte* Resize(byte* p, nuint oldSize, nuint newSize)
    {
        if (RoundUp(oldSize) == RoundUp(newSize))
        {
            return p;
        }
        if (oldSize > MaxSlabBlock && newSize > MaxSlabBlock)
        {
            return ResizeLarge(p, oldSize, newSize);
        }
        byte* moved = Alloc(newSize);
        NativeMemory.Copy(p, moved, oldSize < newSize ? oldSize : newSize);
        Free(p, oldSize);
        return moved;
    }

    /// <summary>
    /// Starts a compaction: chooses sparse slabs whose blocks all fit into the room of the others, and closes them to new blocks.
    /// The caller then moves every block for which <see cref="IsEvacuating"/> says so (allocate, copy, point to the copy, free),
    /// in as many steps as it likes, and calls <see cref="EndCompaction"/>. At most 64 MiB of slabs at a time.
    /// </summary>
    /// <returns>False if nothing is worth moving; no compaction has begun then.</returns>
    public bool BeginCompaction()
    {
        if (_evacuating != 0)
        {
            throw new InvalidOperationException("A compaction is under way.");
        }
        const int Levels = 16;
        // Per class and sixteenth of fullness: slabs, their blocks in use, and the room they have.
        var slabs = stackalloc long[SizeClass.Count * Levels];
        var used = stackalloc long[SizeClass.Count * Levels];
        var room = stackalloc long[SizeClass.Count * Levels];
        new Span<long>(slabs, SizeClass.Count * Levels).Clear();
        new Span<long>(used, SizeClass.Count * Levels).Clear();
        new Span<long>(room, SizeClass.Count * Levels).Clear();
        for (Chunk* chunk = _chunks; chunk != null; chunk = chunk->Next)
        {
            var slab = (Slab*)chunk->Base;
            for (int i = 0; i < SlabsPerChunk; i++, slab++)
            {
                if (slab->State != SlabState.Partial)
                {
                    continue;
                }
                int capacity = slab->Capacity(_bins);
                int at = (slab->Class * Levels) + (int)((long)slab->Used * Levels / capacity);
                slabs[at]++;
                used[at] += slab->Used;
                room[at] += capacity - slab->Used;
            }
        }
        // From the sparsest up, as long as the survivors fit into the room that remains: all slabs below a level, and some of it.
        var limit = stackalloc int[SizeClass.Count];
        var quota = stackalloc long[SizeClass.Count];
        for (int c = 0; c < SizeClass.Count; c++)
        {
            long survivors = 0;
            long left = 0;
            for (int level = 0; level < Levels; level++)
            {
                left += room[(c * Levels) + level];
            }
            limit[c] = 0;
            quota[c] = 0;
            for (int level = 0; level < SparseSixteenths; level++)
            {
                int at = (c * Levels) + level;
                limit[c] = level;
                quota[c] = slabs[at];
                if (survivors + used[at] > left - room[at])
                {
                    quota[c] = (left - survivors) * slabs[at] / (used[at] + room[at]);
                    break;
                }
                survivors += used[at];
                left -= room[at];
            }
        }
        for (Chunk* chunk = _chunks; chunk != null; chunk = chunk->Next)
        {
            var slab = (Slab*)chunk->Base;
            for (int i = 0; i < SlabsPerChunk && _evacuating < MaxEvacuatingSlabs; i++, slab++)
            {
                if (slab->State != SlabState.Partial)
                {
                    continue;
                }
                int level = (int)((long)slab->Used * Levels / slab->Capacity(_bins));
                if (level < limit[slab->Class] || (level == limit[slab->Class] && --quota[slab->Class] >= 0))
                {
                    Unlink(ref _bins[slab->Class].Head, slab);
                    slab->State = SlabState.Evacuating;
                    _evacuating++;
                }
            }
        }
        return _evacuating != 0;
    }

    /// <summary>Whether a block lies in a slab that is being emptied, so that moving it helps. One load; false for large blocks.</summary>
    /// <param name="p">The block.</param>
    /// <param name="size">Its size, which tells large blocks apart.</param>
    /// <returns>True if the block should move.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool IsEvacuating(byte* p, nuint size) => size <= MaxSlabBlock && SlabOf(p)->State == SlabState.Evacuating;

    /// <summary>Ends a compaction: slabs that were not emptied serve again.</summary>
    public void EndCompaction()
    {
        if (_evacuating == 0)
        {
            return;
        }
        for (Chunk* chunk = _chunks; chunk != null; chunk = chunk->Next)
        {
            var slab = (Slab*)chunk->Base;
            for (int i = 0; i < SlabsPerChunk; i++, slab++)
            {
                if (slab->State == SlabState.Evacuating)
                {
                    slab->State = SlabState.Partial;
                    Link(ref _bins[slab->Class].Head, slab);
                }
            }
        }
        _evacuating = 0;
    }

    /// <summary>Frees everything at once: the unloading of a MiMei.</summary>
    public void Dispose()
    {
        ReleaseAll();
        GC.SuppressFinalize(this);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Slab* SlabOf(byte* p) =>
        (Slab*)(((nuint)p & ~(ChunkSize - 1)) + ((((nuint)p & (ChunkSize - 1)) >> 16) * (nuint)sizeof(Slab)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private byte* AllocSmall(int sizeClass)
    {
        Bin* bin = _bins + sizeClass;
        Slab* slab = bin->Head;
        if (slab == null)
        {
            slab = Open(sizeClass);
        }
        byte* p = slab->FreeList;
        if (p != null)
        {
            slab->FreeList = *(byte**)p;
        }
        else
        {
            p = slab->Fresh;
            slab->Fresh = p + bin->BlockSize;
            if (slab->Fresh > slab->Touched)
            {
                Touch(slab);
            }
        }
        slab->Used++;
        _slabUsedBytes += bin->BlockSize;
        _count++;
        if (slab->FreeList == null && slab->Fresh > slab->LastFresh)
        {
            Unlink(ref bin->Head, slab);
            slab->State = SlabState.Full;
        }
        return p;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void FreeSmall(byte* p, uint size)
    {
        Slab* slab = SlabOf(p);
        Debug.Assert(slab->State != SlabState.Free && slab->Class == SizeClass.Of(size), "freed with another size than it was taken with");
        *(byte**)p = slab->FreeList;
        slab->FreeList = p;
        _slabUsedBytes -= _bins[slab->Class].BlockSize;
        _count--;
        if (--slab->Used == 0 || slab->State == SlabState.Full)
        {
            AfterFree(slab);
        }
    }

    /// <summary>A slab has become empty, or is no longer full.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void AfterFree(Slab* slab)
    {
        if (slab->Used != 0)
        {
            slab->State = SlabState.Partial;
            Link(ref _bins[slab->Class].Head, slab);
            return;
        }
        if (slab->State == SlabState.Partial)
        {
            Unlink(ref _bins[slab->Class].Head, slab);
        }
        else if (slab->State == SlabState.Evacuating)
        {
            _evacuating--;
        }
        slab->State = SlabState.Free;
        _freeTouchedBytes += slab->TouchedBytes;
        Link(ref _freeTouched, slab);
        TrimReserve();
        _freeSlabs++;
        Chunk* chunk = Chunk.Of(slab);
        if (++chunk->FreeSlabs == SlabsPerChunk)
        {
            ReleaseIfSpare(chunk);
        }
    }

    /// <summary>Gives pages of empty slabs back beyond the reserve, at most two slabs at a time: the reserve shrinks with the heap.</summary>
    private void TrimReserve()
    {
        for (int i = 0; i < 2 && _freeTouchedBytes > ReserveBytes; i++)
        {
            Slab* slab = _freeTouched;
            Chunk* chunk = Chunk.Of(slab);
            if (chunk->HugePages)
            {
                VirtualMemory.AvoidHugePages(chunk->Base, ChunkSize);
                chunk->HugePages = false;
            }
            long touched = slab->TouchedBytes;
            if (!VirtualMemory.Discard(slab->Base, (nuint)touched))
            {
                return;
            }
            Unlink(ref _freeTouched, slab);
            _freeTouchedBytes -= touched;
            _residentBytes -= touched;
            slab->Touched = slab->Base;
            Link(ref _freeFresh, slab);
        }
    }

    private long ReserveBytes => Math.Max(
        _residentBytes >> 4,
        _residentBytes < HugePagesFromBytes ? MinimumReserveBytes : MinimumReserveBytes + (long)ChunkSize);

    /// <summary>A slab for a class that has no room: an empty one, touched before if there is one, or the first of a new chunk.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private Slab* Open(int sizeClass)
    {
        Slab* slab = _freeTouched;
        if (slab != null)
        {
            Unlink(ref _freeTouched, slab);
            _freeTouchedBytes -= slab->TouchedBytes;
        }
        else
        {
            if (_freeFresh == null)
            {
                AddChunk(SizeClass.SizeOf(sizeClass));
                return Open(sizeClass);
            }
            slab = _freeFresh;
            Unlink(ref _freeFresh, slab);
        }
        Chunk.Of(slab)->FreeSlabs--;
        _freeSlabs--;
        slab->Class = sizeClass;
        slab->FreeList = null;
        slab->Used = 0;
        slab->Fresh = slab->Base;
        slab->LastFresh = slab->End - _bins[sizeClass].BlockSize;
        slab->State = SlabState.Partial;
        Link(ref _bins[sizeClass].Head, slab);
        return slab;
    }

    private void AddChunk(ulong requestedBytes)
    {
        byte* hint = _chunks == null ? null : _chunks->Base - ChunkSize;
        byte* memory = VirtualMemory.MapAligned(ChunkSize, hint);
        if (memory == null)
        {
            throw new NativeMemoryExhaustedException(requestedBytes);
        }
        var chunk = (Chunk*)(memory + (SlabsPerChunk * sizeof(Slab)));
        bool hugePages = _residentBytes >= HugePagesFromBytes && VirtualMemory.PreferHugePages(memory, ChunkSize);
        *chunk = new Chunk { Base = memory, Next = _chunks, FreeSlabs = SlabsPerChunk, HugePages = hugePages };
        if (_chunks != null)
        {
            _chunks->Previous = chunk;
        }
        _chunks = chunk;
        _residentBytes += (long)ChunkHeaderSize;
        _freeSlabs += SlabsPerChunk;
        for (int i = SlabsPerChunk - 1; i >= 0; i--)
        {
            Slab* slab = (Slab*)memory + i;
            *slab = new Slab { State = SlabState.Free };
            if (hugePages)
            {
                // The first touch of one page makes all of them resident.
                slab->Touched = slab->End;
                _residentBytes += slab->TouchedBytes;
                _freeTouchedBytes += slab->TouchedBytes;
                Link(ref _freeTouched, slab);
            }
            else
            {
                slab->Touched = slab->Base;
                Link(ref _freeFresh, slab);
            }
        }
    }

    /// <summary>Unmaps a chunk that is empty, unless too little else is empty: then it would soon be mapped again.</summary>
    private void ReleaseIfSpare(Chunk* chunk)
    {
        if (_freeSlabs - SlabsPerChunk < SpareSlabs)
        {
            return;
        }
        _freeSlabs -= SlabsPerChunk;
        var slab = (Slab*)chunk->Base;
        for (int i = 0; i < SlabsPerChunk; i++, slab++)
        {
            if (slab->TouchedBytes != 0)
            {
                _freeTouchedBytes -= slab->TouchedBytes;
                _residentBytes -= slab->TouchedBytes;
                Unlink(ref _freeTouched, slab);
            }
            else
            {
                Unlink(ref _freeFresh, slab);
            }
        }
        if (chunk->Previous != null)
        {
            chunk->Previous->Next = chunk->Next;
        }
        else
        {
            _chunks = chunk->Next;
        }
        if (chunk->Next != null)
        {
            chunk->Next->Previous = chunk->Previous;
        }
        _residentBytes -= (long)ChunkHeaderSize;
        VirtualMemory.Release(chunk->Base, ChunkSize);
    }

    /// <summary>Blocks of this slab reach pages for the first time.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void Touch(Slab* slab)
    {
        var touched = (byte*)(((nuint)slab->Fresh + VirtualMemory.PageSize - 1) & ~(VirtualMemory.PageSize - 1));
        _residentBytes += touched - slab->Touched;
        slab->Touched = touched;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private byte* AllocLarge(nuint size)
    {
        LargeBlock* block;
        try
        {
            block = (LargeBlock*)NativeMemory.Alloc(checked(size + LargeHeaderSize));
        }
        catch (Exception e) when (e is OutOfMemoryException or OverflowException)
        {
            throw new NativeMemoryExhaustedException(size);
        }
        LinkLarge(block);
        _largeBytes += (long)(size + LargeHeaderSize);
        _count++;
        return (byte*)block + LargeHeaderSize;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void FreeLarge(byte* p, nuint size)
    {
        var block = (LargeBlock*)(p - LargeHeaderSize);
        UnlinkLarge(block);
        NativeMemory.Free(block);
        _largeBytes -= (long)(size + LargeHeaderSize);
        _count--;
    }

    private byte* ResizeLarge(byte* p, nuint oldSize, nuint newSize)
    {
        var block = (LargeBlock*)(p - LargeHeaderSize);
        UnlinkLarge(block);
        try
        {
            // Blocks this big are moved by the kernel's page tables, not copied.
            block = (LargeBlock*)NativeMemory.Realloc(block, checked(newSize + LargeHeaderSize));
        }
        catch (Exception e) when (e is OutOfMemoryException or OverflowException)
        {
            throw new NativeMemoryExhaustedException(newSize);
        }
        finally
        {
            LinkLarge(block);
        }
        _largeBytes += (long)newSize - (long)oldSize;
        return (byte*)block + LargeHeaderSize;
    }

    private void LinkLarge(LargeBlock* block)
    {
        block->Next = _large;
        block->Previous = null;
        if (_large != null)
        {
            _large->Previous = block;
        }
        _large = block;
    }

    private void UnlinkLarge(LargeBlock* block)
    {
        if (block->Previous != null)
        {
            block->Previous->Next = block->Next;
        }
        else
        {
            _large = block->Next;
        }
        if (block->Next != null)
        {
            block->Next->Previous = block->Previous;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Link(ref Slab* head, Slab* slab)
    {
        slab->Next = head;
        slab->Previous = null;
        if (head != null)
        {
            head->Previous = slab;
        }
        head = slab;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Unlink(ref Slab* head, Slab* slab)
    {
        if (slab->Previous != null)
        {
            slab->Previous->Next = slab->Next;
        }
        else
        {
            head = slab->Next;
        }
        if (slab->Next != null)
        {
            slab->Next->Previous = slab->Previous;
        }
    }

    private void ReleaseAll()
    {
        if (_disposed)
        {
            return;
        }
        _disposed = true;
        for (Chunk* chunk = _chunks; chunk != null;)
        {
            Chunk* next = chunk->Next;
            VirtualMemory.Release(chunk->Base, ChunkSize);
            chunk = next;
        }
        for (LargeBlock* block = _large; block != null;)
        {
            LargeBlock* next = block->Next;
            NativeMemory.Free(block);
            block = next;
        }
        NativeMemory.Free(_bins);
        _chunks = null;
        _large = null;
        _freeTouched = _freeFresh = null;
        _slabUsedBytes = _largeBytes = _residentBytes = _count = 0;
    }

    private enum SlabState
    {
        /// <summary>No block in use; any class may take it.</summary>
        Free,

        /// <summary>Has room, and stands in its class's list.</summary>
        Partial,

        /// <summary>Has no room, and stands in no list.</summary>
        Full,

        /// <summary>Is being emptied: has room, but stands in no list.</summary>
        Evacuating,
    }

    private struct Bin
    {
        public Slab* Head;
        public uint BlockSize;
    }

    /// <summary>A slab's header: one cache line, the n-th of its chunk for the n-th slab.</summary>
    [StructLayout(LayoutKind.Sequential, Size = 64)]
    private struct Slab
    {
        public byte* FreeList;
        public byte* Fresh;
        public byte* LastFresh;
        public byte* Touched;
        public Slab* Next;
        public Slab* Previous;
        public int Class;
        public int Used;
        public SlabState State;

        /// <summary>Where the blocks start.</summary>
        public readonly byte* Base
        {
            get
            {
                byte* start = Start;
                return ((nuint)start & (ChunkSize - 1)) == 0 ? start + ChunkHeaderSize : start;
            }
        }

        public readonly byte* End => Start + SlabSize;

        public readonly long TouchedBytes => Touched - Base;

        private readonly byte* Start
        {
            get
            {
                nuint self = (nuint)Unsafe.AsPointer(ref Unsafe.AsRef(in this));
                nuint chunk = self & ~(ChunkSize - 1);
                return (byte*)(chunk + (((self - chunk) / (nuint)sizeof(Slab)) * SlabSize));
            }
        }

        public readonly int Capacity(Bin* bins) => (int)((uint)(End - Base) / bins[Class].BlockSize);
    }

    /// <summary>A chunk's own header, behind those of its slabs.</summary>
    private struct Chunk
    {
        public byte* Base;
        public Chunk* Next;
        public Chunk* Previous;
        public int FreeSlabs;
        public bool HugePages;

        public static Chunk* Of(Slab* slab) => (Chunk*)(((nuint)slab & ~(ChunkSize - 1)) + (nuint)(SlabsPerChunk * sizeof(Slab)));
    }

    private struct LargeBlock
    {
        public LargeBlock* Next;
        public LargeBlock* Previous;
    }
}
