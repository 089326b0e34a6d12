using System.Diagnostics;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Leither.MmDb.Memory;

/// <summary>
/// Hash table from keys to <see cref="Record"/>s, in native memory: extendible hashing (Fagin, Nievergelt, Pippenger and Strong,
/// 1979) with cache-line buckets. It serves databases, the expires index, big hashes, sets and sorted sets.
/// </summary>
/// <remarks>
/// <para>The order of everything is the order of hashes. From the top bit down, a hash is read as</para>
/// <code>
/// | directory: global depth bits                       |
/// | segment: its local depth bits | bucket: 0 to 6 bits | ...            | tag: low 16 bits |
/// |&lt;---------------- 48 bits: the position, which is the SCAN cursor --------------------&gt;|
/// </code>
/// <para>
/// A bucket is 64 bytes: seven slots and a link. A slot is a tag (16 bits) over a record's address (48 bits); 0 is empty.
/// A segment is 1 to 64 buckets; only a table's single segment has fewer than 64. The directory has one entry for each value of
/// the top bits of the hash, and the entry says everything about the segment, so that a lookup is: entry, bucket, record.
/// </para>
/// <code>
/// entry  | 63..58 shift that brings the bucket number to bit 6 | 57..48 count | 47..6 address | 5..0 buckets - 1 |
/// </code>
/// <para>What must stay true:</para>
/// <list type="bullet">
/// <item>Doubling or splitting a segment turns each bucket into two neighbours, halving and merging do the opposite. So "every record
/// below this position has been returned" survives any of them, which is SCAN's guarantee.</item>
/// <item>In every bucket of a chain (a bucket and its overflow buckets) the slots in use come first, and none is free anywhere
/// but in the first overflow bucket, or in the bucket itself while it has none. So inserting and removing look at two lines at most.</item>
/// <item>The count stands in the segment's first directory entry only. At 1023 it sticks (only crowded segments that cannot
/// split get there) until the segment is counted again.</item>
/// <item>No step moves more than one segment's records, except that the directory doubles and halves as a whole.</item>
/// <item>The tables of one heap use the heap's hash seed; a record's hash is that of its key.</item>
/// </list>
/// <para>The struct lives in the heap and is used by pointer. Slot pointers are valid until the next insert or removal.</para>
/// </remarks>
[StructLayout(LayoutKind.Sequential)]
public unsafe partial struct KeyTable
{
    private const int SlotsPerBucket = 7;
    private const int LinkIndex = 7;
    private const int BucketBytes = 64;
    private const int MaxBucketBits = 6;
    private const int SegmentBytes = BucketBytes << MaxBucketBits;
    internal const int TagBits = 16;
    private const int PositionBits = 64 - TagBits;
    private const int MaxCount = 1023;
    private const int CountShift = 48;
    private const int ShiftShift = 58;

    /// <summary>Shift of a segment that is one bucket at local depth 0; each bit of depth takes one off.</summary>
    private const int MaxShift = 58;
    private const ulong CountOne = 1UL << CountShift;
    private const ulong CountMask = (ulong)MaxCount << CountShift;
    private const ulong RecordMask = (1UL << PositionBits) - 1;
    private const ulong SegmentMask = RecordMask & ~63UL;

    /// <summary>A table made for more records than 2^20 segments hold grows into them.</summary>
    private const int MaxPresizedDepth = 20;

    /// <summary>Random tries before an exact, slower choice.</summary>
    private const int MaxRandomTries = 96;

    private ulong* _directory;
    private long _count;

    /// <summary>63 - global depth: with one more shift by 1, the number of bits above the directory index (a shift by 64 is none).</summary>
    private int _directoryShift;

    /// <summary>Segments whose local depth is the global depth: while there is one, the directory cannot halve.</summary>
    private int _deepSegments;
    private int _segments;
    private int _overflowBuckets;

    /// <summary>Longest chain there has been, in overflow buckets: bounds the positions that <see cref="Random"/> draws from.</summary>
    private int _maxOverflow;

    /// <summary>The directory of a table with one segment.</summary>
    private ulong _single;

    /// <summary>Records in the table.</summary>
    public readonly long Count => _count;

    /// <summary>Bytes the table takes without its records: struct, directory, segments and overflow buckets, as the heap counts them.</summary>
    public readonly long MemoryBytes
    {
        get
        {
            int depth = GlobalDepth;
            long bytes = (long)NativeHeap.RoundUp((nuint)sizeof(KeyTable)) + ((long)_overflowBuckets * BucketBytes);
            return depth == 0
                ? bytes + (long)NativeHeap.RoundUp(((nuint)(_directory[0] & 63) + 1) * BucketBytes)
                : bytes + ((long)_segments * SegmentBytes) + (long)NativeHeap.RoundUp((nuint)8 << depth);
        }
    }

    private readonly int GlobalDepth => 63 - _directoryShift;

    /// <summary>Makes an empty table of one bucket.</summary>
    /// <param name="heap">Heap to take it from; all later calls get the same one.</param>
    /// <returns>The table.</returns>
    /// <exception cref="NativeMemoryExhaustedException">The system has no more memory.</exception>
    public static KeyTable* Create(NativeHeap heap)
    {
        var table = (KeyTable*)heap.Alloc((nuint)sizeof(KeyTable));
        byte* bucket;
        try
        {
            bucket = heap.AllocZeroed(BucketBytes);
        }
        catch (NativeMemoryExhaustedException)
        {
            heap.Free((byte*)table, (nuint)sizeof(KeyTable));
            throw;
        }
        *table = new KeyTable { _directoryShift = 63, _segments = 1, _deepSegments = 1, _single = Entry(bucket, 0, 0, 0) };
        table->_directory = &table->_single;
        return table;
    }

    /// <summary>Makes an empty table that has the segments which so many records will need, so that bringing them in splits none.</summary>
    /// <param name="heap">Heap to take it from; all later calls get the same one.</param>
    /// <param name="records">How many there will be, roughly.</param>
    /// <returns>The table.</returns>
    /// <exception cref="NativeMemoryExhaustedException">The system has no more memory.</exception>
    public static KeyTable* Create(NativeHeap heap, long records)
    {
        KeyTable* table = Create(heap);
        // About as full as splitting leaves them on average.
        const int recordsInSegment = SlotsPerBucket * 2 / 3 << MaxBucketBits;
        int depth = Math.Min(BitOperations.Log2((ulong)Math.Max(1, records / recordsInSegment)), MaxPresizedDepth);
        if (depth == 0)
        {
            return table;
        }

        ulong* directory;
        int made = 0;
        try
        {
            directory = (ulong*)heap.Alloc((nuint)8 << depth);
        }
        catch (NativeMemoryExhaustedException)
        {
            Destroy(heap, table);
            throw;
        }

        try
        {
            for (; made < 1 << depth; made++)
            {
                directory[made] = Entry(heap.AllocZeroed(SegmentBytes), depth, MaxBucketBits, 0);
            }
        }
        catch (NativeMemoryExhaustedException)
        {
            while (made-- > 0)
            {
                heap.Free(SegmentOf(directory[made]), SegmentBytes);
            }

            heap.Free((byte*)directory, (nuint)8 << depth);
            Destroy(heap, table);
            throw;
        }

        heap.Free(SegmentOf(table->_single), BucketBytes);
        table->_directory = directory;
        table->_directoryShift = 63 - depth;
        table->_segments = table->_deepSegments = 1 << depth;
        return table;
    }

    /// <summary>
    /// Frees a table, not its records: these are the caller's (see <see cref="Drain"/>, which also splits the work into slices).
    /// </summary>
    /// <param name="heap">The table's heap.</param>
    /// <param name="table">The table.</param>
    public static void Destroy(NativeHeap heap, KeyTable* table)
    {
        int depth = table->GlobalDepth;
        ulong entries = 1UL << depth;
        for (ulong i = 0; i < entries;)
        {
            ulong entry = table->_directory[i];
            if (table->_overflowBuckets != 0)
            {
                for (int b = 0; b <= (int)(entry & 63); b++)
                {
                    table->FreeOverflow(heap, BucketAt(entry, b));
                }
            }
            heap.Free(SegmentOf(entry), SegmentSize(entry));
            i += 1UL << (depth - LocalDepth(entry));
        }
        table->FreeDirectory(heap);
        heap.Free((byte*)table, (nuint)sizeof(KeyTable));
    }

    /// <summary>The record in a slot.</summary>
    /// <param name="slot">A slot in use.</param>
    /// <returns>The record.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static byte* Get(ulong* slot) => (byte*)(*slot & RecordMask);

    /// <summary>Points a slot to another place of the same record (it has moved), or to another record with an equal key.</summary>
    /// <param name="slot">A slot in use.</param>
    /// <param name="record">The record.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Set(ulong* slot, byte* record) => *slot = (*slot & ~RecordMask) | (ulong)record;

    /// <summary>Asks the processor for the bucket of a hash. First of two steps ahead of a lookup.</summary>
    /// <param name="hash">The hash.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly void Prefetch(ulong hash) => Bytes.Prefetch(BucketOf(EntryOf(hash), hash));

    /// <summary>
    /// Asks the processor for the record (its first two lines) that a lookup of this hash will look at, by the tags in its bucket.
    /// Second step, some commands after <see cref="Prefetch"/>.
    /// </summary>
    /// <param name="hash">The hash.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly void PrefetchRecord(ulong hash)
    {
        ulong* bucket = BucketOf(EntryOf(hash), hash);
        uint hits = TagHits(bucket, hash);
        if (hits != 0)
        {
            var record = (byte*)(bucket[BitOperations.TrailingZeroCount(hits)] & RecordMask);
            Bytes.Prefetch(record);
            Bytes.Prefetch(record + 64);
        }
        else
        {
            Bytes.Prefetch((void*)bucket[LinkIndex]);
        }
    }

    /// <summary>Looks a key up.</summary>
    /// <param name="hash">Its hash.</param>
    /// <param name="key">First byte of the key.</param>
    /// <param name="length">Its length.</param>
    /// <returns>The slot of its record, or null.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly ulong* Find(ulong hash, byte* key, int length)
    {
        ulong* bucket = BucketOf(EntryOf(hash), hash);
        do
        {
            for (uint hits = TagHits(bucket, hash); hits != 0; hits &= hits - 1)
            {
                ulong* slot = bucket + BitOperations.TrailingZeroCount(hits);
                var record = (byte*)(*slot & RecordMask);
                // An empty slot has tag 0, as one hash in 65536 has.
                if (record != null && Record.KeyEquals(record, key, length))
                {
                    return slot;
                }
            }
            bucket = (ulong*)bucket[LinkIndex];
        }
        while (bucket != null);
        return null;
    }

    /// <summary>Looks for the slot that holds exactly this record, by address: the expires index knows records of another table.</summary>
    /// <param name="hash">Hash of the record's key.</param>
    /// <param name="record">The record.</param>
    /// <returns>Its slot, or null.</returns>
    public readonly ulong* FindPointer(ulong hash, byte* record)
    {
        ulong word = Slot(hash, record);
        for (ulong* bucket = BucketOf(EntryOf(hash), hash); bucket != null; bucket = (ulong*)bucket[LinkIndex])
        {
            for (int i = 0; i < SlotsPerBucket; i++)
            {
                if (bucket[i] == word)
                {
                    return bucket + i;
                }
            }
        }
        return null;
    }

    /// <summary>Adds a record whose key is not in the table.</summary>
    /// <param name="heap">The table's heap.</param>
    /// <param name="hash">Hash of the record's key.</param>
    /// <param name="record">The record.</param>
    /// <returns>Its slot.</returns>
    /// <exception cref="NativeMemoryExhaustedException">The system has no more memory; the table is unchanged.</exception>
    public ulong* Insert(NativeHeap heap, ulong hash, byte* record)
    {
        Debug.Assert(((ulong)record & ~RecordMask) == 0, "addresses have 48 bits");
        ulong* first = FirstEntry(hash);
        if (CountIn(*first) >= Limit(*first) && TryGrow(heap, hash))
        {
            first = FirstEntry(hash);
        }
        ulong* slot = Place(BucketOf(*first, hash), Slot(hash, record), heap, null);
        if ((*first & CountMask) != CountMask)
        {
            *first += CountOne;
        }
        _count++;
        return slot;
    }

    /// <summary>Takes a record out; the record itself is the caller's.</summary>
    /// <param name="heap">The table's heap.</param>
    /// <param name="hash">Hash of the record's key.</param>
    /// <param name="slot">Its slot.</param>
    public void Remove(NativeHeap heap, ulong hash, ulong* slot)
    {
        ulong* first = FirstEntry(hash);
        ulong* bucket = BucketOf(*first, hash);
        ulong* last = (ulong*)bucket[LinkIndex];
        bool emptied = false;
        if (last == null)
        {
            int used = UsedSlots(bucket);
            *slot = bucket[used - 1];
            bucket[used - 1] = 0;
            emptied = used == 1;
        }
        else
        {
            int used = UsedSlots(last);
            *slot = last[used - 1];
            last[used - 1] = 0;
            if (used == 1)
            {
                bucket[LinkIndex] = last[LinkIndex];
                heap.Free((byte*)last, BucketBytes);
                _overflowBuckets--;
            }
        }
        _count--;
        ulong count = *first & CountMask;
        if (count != CountMask)
        {
            *first -= CountOne;
            // Sparse enough to think of merging; not at every single removal.
            if (count <= (MergeLimit + 1) * CountOne && (count & (7 * CountOne)) == CountOne)
            {
                Shrink(heap, hash);
            }
        }
        else if (emptied)
        {
            Recount(first);
            Shrink(heap, hash);
        }
    }

    /// <summary>
    /// One step of a scan: appends all records of the bucket at a position. Every record that is in the table from the first step
    /// to the last is returned at least once, whatever is inserted and removed between the steps.
    /// </summary>
    /// <param name="cursor">0 to start, then what the last step returned. Any number is safe.</param>
    /// <param name="into">Receives the records.</param>
    /// <returns>The next position, or 0 at the end.</returns>
    public readonly ulong ScanBucket(ulong cursor, ref NativeList<nint> into)
    {
        ulong entry = EntryAtCursor(cursor, out ulong hash);
        for (ulong* bucket = BucketOf(entry, hash); bucket != null; bucket = (ulong*)bucket[LinkIndex])
        {
            for (int i = 0; i < SlotsPerBucket && bucket[i] != 0; i++)
            {
                into.Add((nint)(bucket[i] & RecordMask));
            }
        }
        return NextCursor(cursor, BucketDepth(entry));
    }

    /// <summary>
    /// As <see cref="ScanBucket"/>, but appends the slots, so that records can be replaced in place (compaction, capture).
    /// They are valid until the next insert or removal.
    /// </summary>
    /// <param name="cursor">0 to start, then what the last step returned.</param>
    /// <param name="into">Receives the addresses of slots.</param>
    /// <returns>The next position, or 0 at the end.</returns>
    public readonly ulong ScanSlots(ulong cursor, ref NativeList<nint> into)
    {
        ulong entry = EntryAtCursor(cursor, out ulong hash);
        for (ulong* bucket = BucketOf(entry, hash); bucket != null; bucket = (ulong*)bucket[LinkIndex])
        {
            for (int i = 0; i < SlotsPerBucket && bucket[i] != 0; i++)
            {
                into.Add((nint)(bucket + i));
            }
        }
        return NextCursor(cursor, BucketDepth(entry));
    }

    /// <summary>A record drawn with equal chances, or null if the table is empty.</summary>
    /// <param name="random">Where chance comes from.</param>
    /// <returns>The record.</returns>
    public readonly byte* Random(ref FastRandom random)
    {
        if (_count == 0)
        {
            return null;
        }
        // A directory entry is drawn, and kept in proportion to its segment's count over the entries the segment has; then
        // a bucket and a position in its chain, until one is in use: all records of the segment are equally likely.
        const int CountBound = 512;
        int depth = GlobalDepth;
        int tries = MaxRandomTries;
        while (--tries >= 0)
        {
            ulong index = depth == 0 ? 0 : random.Next() >> (64 - depth);
            int spread = depth - LocalDepth(_directory[index]);
            ulong entry = _directory[index >> spread << spread];
            int count = CountIn(entry);
            if (depth != 0)
            {
                if (count > CountBound)
                {
                    break;
                }
                if (random.Below((ulong)CountBound << spread) >= (ulong)count)
                {
                    continue;
                }
            }
            int positions = SlotsPerBucket * (1 + _maxOverflow);
            for (; tries >= 0; tries--)
            {
                ulong* bucket = BucketAt(entry, random.Below((int)(entry & 63) + 1));
                int position = random.Below(positions);
                for (; position >= SlotsPerBucket && bucket != null; position -= SlotsPerBucket)
                {
                    bucket = (ulong*)bucket[LinkIndex];
                }
                if (bucket != null && bucket[position] != 0)
                {
                    return (byte*)(bucket[position] & RecordMask);
                }
            }
        }
        return RecordNumber((long)random.Below((ulong)_count));
    }

    /// <summary>The n-th record in hash order. Steps over segments by their counts.</summary>
    private readonly byte* RecordNumber(long n)
    {
        int depth = GlobalDepth;
        for (ulong i = 0; ;)
        {
            ulong entry = _directory[i];
            i += 1UL << (depth - LocalDepth(entry));
            int count = CountIn(entry);
            if (count < MaxCount && n >= count)
            {
                n -= count;
                continue;
            }
            for (int b = 0; b <= (int)(entry & 63); b++)
            {
                for (ulong* bucket = BucketAt(entry, b); bucket != null; bucket = (ulong*)bucket[LinkIndex])
                {
                    int used = UsedSlots(bucket);
                    if (n < used)
                    {
                        return (byte*)(bucket[n] & RecordMask);
                    }
                    n -= used;
                }
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Slot(ulong hash, byte* record) => (hash << PositionBits) | (ulong)record;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private readonly ulong EntryOf(ulong hash) => _directory[(hash >> 1) >> _directoryShift];

    /// <summary>First directory entry of the segment of a hash: the one that counts.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private readonly ulong* FirstEntry(ulong hash)
    {
        ulong index = (hash >> 1) >> _directoryShift;
        int spread = GlobalDepth - LocalDepth(_directory[index]);
        return _directory + (index >> spread << spread);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong* BucketOf(ulong entry, ulong hash) =>
        (ulong*)((entry & SegmentMask) + ((hash >> (int)(entry >> ShiftShift)) & ((entry & 63) << 6)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong* BucketAt(ulong entry, int bucket) => (ulong*)((entry & SegmentMask) + ((ulong)bucket << 6));

    private static ulong Entry(byte* segment, int localDepth, int bucketBits, int count)
    {
        Debug.Assert(((ulong)segment & ~SegmentMask) == 0, "segments are aligned to cache lines");
        return ((ulong)(MaxShift - localDepth - bucketBits) << ShiftShift) | ((ulong)count << CountShift) | (ulong)segment | ((1UL << bucketBits) - 1);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int BucketDepth(ulong entry) => MaxShift - (int)(entry >> ShiftShift);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int LocalDepth(ulong entry) => BucketDepth(entry) - BitOperations.PopCount(entry & 63);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int CountIn(ulong entry) => (int)(entry >> CountShift) & MaxCount;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static byte* SegmentOf(ulong entry) => (byte*)(entry & SegmentMask);

    private static nuint SegmentSize(ulong entry) => ((nuint)(entry & 63) + 1) * BucketBytes;

    private readonly ulong EntryAtCursor(ulong cursor, out ulong hash)
    {
        hash = cursor << TagBits;
        return EntryOf(hash);
    }

    private static ulong NextCursor(ulong cursor, int depth)
    {
        int width = PositionBits - depth;
        return (((cursor & RecordMask) >> width) + 1) << width & RecordMask;
    }

    /// <summary>Bits of the slots (0 to 6) whose tag is the hash's.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint TagHits(ulong* bucket, ulong hash)
    {
        if (Avx2.IsSupported)
        {
            Vector256<ulong> tag = Vector256.Create(hash & 0xFFFF);
            return (Equal(Avx2.ShiftRightLogical(Avx.LoadVector256(bucket), PositionBits), tag)
                | (Equal(Avx2.ShiftRightLogical(Avx.LoadVector256(bucket + 4), PositionBits), tag) << 4)) & 0x7F;
        }
        uint hits = 0;
        for (int i = 0; i < SlotsPerBucket; i++)
        {
            hits |= ((bucket[i] ^ (hash << PositionBits)) >> PositionBits) == 0 ? 1u << i : 0;
        }
        return hits;
    }

    /// <summary>Slots in use, which are the first ones.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int UsedSlots(ulong* bucket)
    {
        if (Avx2.IsSupported)
        {
            return BitOperations.TrailingZeroCount(
                Equal(Avx.LoadVector256(bucket), Vector256<ulong>.Zero) | (Equal(Avx.LoadVector256(bucket + 4), Vector256<ulong>.Zero) << 4) | 0x80);
        }
        int used = 0;
        while (used < SlotsPerBucket && bucket[used] != 0)
        {
            used++;
        }
        return used;
    }

    /// <summary>Bits of the words that are equal. By AVX2's own instructions: what names none of them is not compiled ahead of time, but at every start.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint Equal(Vector256<ulong> left, Vector256<ulong> right) => (uint)Avx.MoveMask(Avx2.CompareEqual(left, right).AsDouble());
}
