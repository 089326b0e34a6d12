using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Leither.MmDb.Memory;

/// <summary>How a table grows, shrinks, is drained and is moved. Each step moves the records of one segment (two when merging).</summary>
public unsafe partial struct KeyTable
{
    /// <summary>Records per bucket on average at which a segment grows. At 6 of 7 slots a quarter of the chains overflow.</summary>
    private const int GrowLoad = 6;

    /// <summary>Two neighbour segments merge when they hold no more than this together: two thirds of what would split them again.</summary>
    private const int MergeLimit = GrowLoad * 64 * 2 / 3;

    /// <summary>Directory entries there may be for each record. Only keys crowded on a few hash prefixes need more than 1/100.</summary>
    private const long MaxEntriesPerRecord = 4;

    /// <summary>Buckets between reading a record's address and reading its key while rehashing.</summary>
    private const int PrefetchDistance = 4;

    /// <summary>
    /// Takes all records of the segment at a position out of the table, so that a big table is emptied in slices: call until it
    /// returns 0, and free the records. What is inserted meanwhile behind the position may stay.
    /// </summary>
    /// <param name="heap">The table's heap.</param>
    /// <param name="cursor">0 to start, then what the last step returned.</param>
    /// <param name="into">Receives the records, some 400 at most unless keys are crowded; they are the caller's.</param>
    /// <returns>The next position, or 0 at the end.</returns>
    public ulong Drain(NativeHeap heap, ulong cursor, ref NativeList<nint> into)
    {
        EntryAtCursor(cursor, out ulong hash);
        ulong* first = FirstEntry(hash);
        ulong entry = *first;
        long before = into.Count;
        for (int b = 0; b <= (int)(entry & 63); b++)
        {
            ulong* head = BucketAt(entry, b);
            for (ulong* bucket = head; bucket != null; bucket = (ulong*)bucket[LinkIndex])
            {
                for (int i = 0; i < SlotsPerBucket && bucket[i] != 0; i++)
                {
                    into.Add((nint)(bucket[i] & RecordMask));
                }
            }
            FreeOverflow(heap, head);
        }
        NativeMemory.Clear(SegmentOf(entry), SegmentSize(entry));
        *first &= ~CountMask;
        _count -= into.Count - before;
        ulong next = NextCursor(cursor, LocalDepth(entry));
        Shrink(heap, hash);
        return next;
    }

    /// <summary>
    /// Moves the table's own blocks at a position (the segment, its overflow buckets) out of slabs that are being emptied. Call it
    /// before <see cref="ScanSlots"/> at the same cursor, when compacting.
    /// </summary>
    /// <param name="heap">The table's heap.</param>
    /// <param name="cursor">The position.</param>
    public void RelocateBucket(NativeHeap heap, ulong cursor)
    {
        EntryAtCursor(cursor, out ulong hash);
        ulong* first = FirstEntry(hash);
        ulong entry = *first;
        nuint size = SegmentSize(entry);
        if (heap.IsEvacuating(SegmentOf(entry), size))
        {
            byte* moved = heap.Alloc(size);
            NativeMemory.Copy(SegmentOf(entry), moved, size);
            heap.Free(SegmentOf(entry), size);
            entry = (entry & ~SegmentMask) | (ulong)moved;
            WriteEntry(first, entry);
        }
        ulong* link = BucketOf(entry, hash) + LinkIndex;
        for (; *link != 0; link = (ulong*)*link + LinkIndex)
        {
            var overflow = (byte*)*link;
            if (heap.IsEvacuating(overflow, BucketBytes))
            {
                byte* moved = heap.Alloc(BucketBytes);
                NativeMemory.Copy(overflow, moved, BucketBytes);
                heap.Free(overflow, BucketBytes);
                *link = (ulong)moved;
            }
        }
    }

    /// <summary>Moves the table struct and its directory out of slabs that are being emptied.</summary>
    /// <param name="heap">The table's heap.</param>
    /// <param name="table">The table.</param>
    /// <returns>Where the table is now.</returns>
    public static KeyTable* Relocate(NativeHeap heap, KeyTable* table)
    {
        nuint directorySize = (nuint)8 << table->GlobalDepth;
        if (table->GlobalDepth != 0 && heap.IsEvacuating((byte*)table->_directory, directorySize))
        {
            byte* moved = heap.Alloc(directorySize);
            NativeMemory.Copy(table->_directory, moved, directorySize);
            heap.Free((byte*)table->_directory, directorySize);
            table->_directory = (ulong*)moved;
        }
        if (heap.IsEvacuating((byte*)table, (nuint)sizeof(KeyTable)))
        {
            var moved = (KeyTable*)heap.Alloc((nuint)sizeof(KeyTable));
            *moved = *table;
            if (moved->GlobalDepth == 0)
            {
                moved->_directory = &moved->_single;
            }
            heap.Free((byte*)table, (nuint)sizeof(KeyTable));
            table = moved;
        }
        return table;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int Limit(ulong entry) => (entry & 63) == 0 ? SlotsPerBucket : GrowLoad * ((int)(entry & 63) + 1);

    /// <summary>
    /// Puts a slot word into a chain that may be full: into the bucket, the first overflow bucket, or a new first overflow
    /// bucket, which comes from the spare list while growing and else from the heap.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private ulong* Place(ulong* bucket, ulong word, NativeHeap heap, ulong** spare)
    {
        int used = UsedSlots(bucket);
        if (used < SlotsPerBucket)
        {
            bucket[used] = word;
            return bucket + used;
        }
        return PlaceInOverflow(bucket, word, heap, spare);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private ulong* PlaceInOverflow(ulong* bucket, ulong word, NativeHeap heap, ulong** spare)
    {
        var overflow = (ulong*)bucket[LinkIndex];
        int used = overflow == null ? SlotsPerBucket : UsedSlots(overflow);
        if (used < SlotsPerBucket)
        {
            overflow[used] = word;
            return overflow + used;
        }
        ulong* fresh;
        if (spare != null)
        {
            fresh = *spare;
            *spare = (ulong*)fresh[LinkIndex];
        }
        else
        {
            fresh = (ulong*)heap.Alloc(BucketBytes);
            _overflowBuckets++;
        }
        new Span<ulong>(fresh, LinkIndex).Clear();
        fresh[LinkIndex] = (ulong)overflow;
        fresh[0] = word;
        bucket[LinkIndex] = (ulong)fresh;
        int length = 1;
        for (; overflow != null; overflow = (ulong*)overflow[LinkIndex])
        {
            length++;
        }
        _maxOverflow = Math.Max(_maxOverflow, length);
        return fresh;
    }

    /// <summary>Doubles the single segment, or splits a full one. False if it may not split further; its chains then grow.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool TryGrow(NativeHeap heap, ulong hash)
    {
        ulong* first = FirstEntry(hash);
        ulong entry = *first;
        if ((entry & 63) != 63)
        {
            int bits = BucketDepth(entry) + 1;
            byte* grown = heap.AllocZeroed((nuint)BucketBytes << bits);
            int total = Scatter(heap, entry, Entry(grown, 0, bits, 0), 0, out _);
            *first = Entry(grown, 0, bits, Math.Min(total, MaxCount));
            heap.Free(SegmentOf(entry), SegmentSize(entry));
            return true;
        }
        int localDepth = LocalDepth(entry);
        if (localDepth == GlobalDepth)
        {
            if (BucketDepth(entry) == PositionBits || 2L << localDepth > Math.Max(MaxEntriesPerRecord * _count, 2))
            {
                return false;
            }
            DoubleDirectory(heap);
            first = FirstEntry(hash);
        }
        byte* low = heap.Alloc(SegmentBytes);
        byte* high;
        try
        {
            high = heap.Alloc(SegmentBytes);
        }
        catch (NativeMemoryExhaustedException)
        {
            heap.Free(low, SegmentBytes);
            throw;
        }
        NativeMemory.Clear(low, SegmentBytes);
        NativeMemory.Clear(high, SegmentBytes);
        int half = Scatter(
            heap, entry, Entry(low, localDepth + 1, MaxBucketBits, 0), Entry(high, localDepth + 1, MaxBucketBits, 0), out int highCount);
        int entries = 1 << (GlobalDepth - localDepth);
        WriteEntries(first, entries / 2, Entry(low, localDepth + 1, MaxBucketBits, Math.Min(half, MaxCount)));
        WriteEntries(first + (entries / 2), entries / 2, Entry(high, localDepth + 1, MaxBucketBits, Math.Min(highCount, MaxCount)));
        heap.Free(SegmentOf(entry), SegmentBytes);
        _segments++;
        if (entries == 2)
        {
            _deepSegments += 2;
        }
        return true;
    }

    /// <summary>
    /// Moves all slots of a segment to one that has twice the buckets, or to two. The hashes are computed again from the keys, whose
    /// lines are asked for some buckets ahead. Needs no memory: two halves of a chain never need more overflow buckets than it had.
    /// </summary>
    /// <returns>Records moved to the first.</returns>
    private int Scatter(NativeHeap heap, ulong source, ulong low, ulong high, out int highCount)
    {
        // Of two, the top bit of the bucket number in the source chooses: the first half of the buckets goes to the first.
        int buckets = (int)(source & 63) + 1;
        int boundary = high == 0 ? buckets : buckets / 2;
        int newBit = 63 - BucketDepth(source);
        int lowCount = 0;
        highCount = 0;
        ulong* spare = null;
        var words = stackalloc ulong[SlotsPerBucket];
        var filled = stackalloc int[2];
        for (int b = 0; b < PrefetchDistance && b < buckets; b++)
        {
            PrefetchKeys(BucketAt(source, b));
        }
        for (int b = 0; b < buckets; b++)
        {
            if (b + PrefetchDistance < buckets)
            {
                PrefetchKeys(BucketAt(source, b + PrefetchDistance));
            }
            // All of a bucket goes to two neighbours that are empty until now; the next bit of the hash says to which.
            ulong* pair = b < boundary ? BucketAt(low, 2 * b) : BucketAt(high, 2 * (b - boundary));
            filled[0] = filled[1] = 0;
            ulong* bucket = BucketAt(source, b);
            bool isOverflow = false;
            do
            {
                int used = UsedSlots(bucket);
                var next = (ulong*)bucket[LinkIndex];
                new ReadOnlySpan<ulong>(bucket, used).CopyTo(new Span<ulong>(words, SlotsPerBucket));
                if (isOverflow)
                {
                    bucket[LinkIndex] = (ulong)spare;
                    spare = bucket;
                }
                for (int i = 0; i < used; i++)
                {
                    var record = (byte*)(words[i] & RecordMask);
                    ulong hash = heap.Hash(Record.Key(record), Record.KeyLength(record));
                    int side = (int)(hash >> newBit) & 1;
                    ulong* target = pair + (side * (BucketBytes / sizeof(ulong)));
                    int at = filled[side]++;
                    if (at < SlotsPerBucket)
                    {
                        target[at] = words[i];
                    }
                    else
                    {
                        PlaceInOverflow(target, words[i], heap, &spare);
                    }
                }
                isOverflow = true;
                bucket = next;
            }
            while (bucket != null);
            if (b < boundary)
            {
                lowCount += filled[0] + filled[1];
            }
            else
            {
                highCount += filled[0] + filled[1];
            }
        }
        FreeChain(heap, spare);
        return lowCount;
    }

    private static void PrefetchKeys(ulong* bucket)
    {
        for (int i = 0; i < SlotsPerBucket; i++)
        {
            var record = (byte*)(bucket[i] & RecordMask);
            Bytes.Prefetch(record);
            Bytes.Prefetch(record + 24);
        }
    }

    /// <summary>Merges the segment of a hash with its neighbour while both are sparse, or halves the single one.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void Shrink(NativeHeap heap, ulong hash)
    {
        while (true)
        {
            ulong* first = FirstEntry(hash);
            ulong entry = *first;
            int localDepth = LocalDepth(entry);
            if (localDepth == 0)
            {
                HalveSingle(heap, first);
                return;
            }
            // The neighbour has the other value in the last bit of the local depth.
            int spread = GlobalDepth - localDepth;
            long index = first - _directory;
            long pair = index >> (spread + 1) << (spread + 1);
            ulong* lowFirst = _directory + pair;
            ulong* highFirst = lowFirst + (1L << spread);
            ulong low = *lowFirst, high = *highFirst;
            if (LocalDepth(low) != localDepth || LocalDepth(high) != localDepth || CountIn(low) + CountIn(high) > MergeLimit
                || !TryMerge(heap, low, high, localDepth, out ulong merged))
            {
                return;
            }
            WriteEntries(lowFirst, 2 << spread, merged);
            _segments--;
            if (spread == 0)
            {
                _deepSegments -= 2;
            }
            TrimDirectory(heap);
        }
    }

    private bool TryMerge(NativeHeap heap, ulong low, ulong high, int localDepth, out ulong merged)
    {
        merged = 0;
        ulong* spare = null;
        byte* segment;
        try
        {
            segment = heap.Alloc(SegmentBytes);
        }
        catch (NativeMemoryExhaustedException)
        {
            return false; // Giving memory back is tried again later.
        }
        if (!TryReserve(heap, low, &spare) || !TryReserve(heap, high, &spare))
        {
            FreeChain(heap, spare);
            heap.Free(segment, SegmentBytes);
            return false;
        }
        NativeMemory.Clear(segment, SegmentBytes);
        merged = Entry(segment, localDepth - 1, MaxBucketBits, CountIn(low) + CountIn(high));
        int half = 1 << (MaxBucketBits - 1);
        Gather(heap, low, segment, &spare);
        Gather(heap, high, segment + (half * BucketBytes), &spare);
        FreeChain(heap, spare);
        return true;
    }

    private void HalveSingle(NativeHeap heap, ulong* first)
    {
        ulong entry = *first;
        int buckets = (int)(entry & 63) + 1;
        while (buckets > 1 && CountIn(entry) * 4 <= buckets * GrowLoad)
        {
            buckets /= 2;
            ulong* spare = null;
            byte* segment;
            try
            {
                segment = heap.Alloc((nuint)buckets * BucketBytes);
            }
            catch (NativeMemoryExhaustedException)
            {
                return; // Giving memory back is tried again later.
            }
            if (!TryReserve(heap, entry, &spare))
            {
                FreeChain(heap, spare);
                heap.Free(segment, (nuint)buckets * BucketBytes);
                return;
            }
            NativeMemory.Clear(segment, (nuint)buckets * BucketBytes);
            ulong halved = Entry(segment, 0, BucketDepth(entry) - 1, CountIn(entry));
            Gather(heap, entry, segment, &spare);
            FreeChain(heap, spare);
            *first = entry = halved;
        }
        if (_count == 0)
        {
            _maxOverflow = 0;
        }
    }

    /// <summary>Takes the overflow buckets from the heap that joining each two neighbour buckets of a segment will need.</summary>
    private bool TryReserve(NativeHeap heap, ulong entry, ulong** spare)
    {
        try
        {
            for (int b = 0; b <= (int)(entry & 63); b += 2)
            {
                int used = ChainCount(BucketAt(entry, b)) + ChainCount(BucketAt(entry, b + 1));
                for (; used > SlotsPerBucket; used -= SlotsPerBucket)
                {
                    var fresh = (ulong*)heap.Alloc(BucketBytes);
                    _overflowBuckets++;
                    fresh[LinkIndex] = (ulong)*spare;
                    *spare = fresh;
                }
            }
            return true;
        }
        catch (NativeMemoryExhaustedException)
        {
            return false;
        }
    }

    /// <summary>Joins each two neighbour buckets of a segment into one of the target, and frees the segment.</summary>
    private void Gather(NativeHeap heap, ulong source, byte* target, ulong** spare)
    {
        for (int b = 0; b <= (int)(source & 63); b++)
        {
            ulong* head = BucketAt(source, b);
            var into = (ulong*)(target + ((b >> 1) * BucketBytes));
            for (ulong* bucket = head; bucket != null; bucket = (ulong*)bucket[LinkIndex])
            {
                for (int i = 0; i < SlotsPerBucket && bucket[i] != 0; i++)
                {
                    Place(into, bucket[i], heap, spare);
                }
            }
            FreeOverflow(heap, head);
        }
        heap.Free(SegmentOf(source), SegmentSize(source));
    }

    private void DoubleDirectory(NativeHeap heap)
    {
        int entries = 1 << GlobalDepth;
        var doubled = (ulong*)heap.Alloc((nuint)entries * 16);
        for (int i = 0; i < entries; i++)
        {
            doubled[2 * i] = _directory[i];
            doubled[(2 * i) + 1] = _directory[i];
        }
        FreeDirectory(heap);
        _directory = doubled;
        _directoryShift--;
        _deepSegments = 0;
    }

    /// <summary>Halves the directory when no segment needs its depth and it has grown large for the segments there are.</summary>
    private void TrimDirectory(NativeHeap heap)
    {
        while (GlobalDepth != 0 && _deepSegments == 0 && (_segments == 1 || _segments * 4L <= 1L << GlobalDepth))
        {
            int entries = 1 << (GlobalDepth - 1);
            ulong* halved = &((KeyTable*)Unsafe.AsPointer(ref this))->_single;
            if (entries > 1)
            {
                try
                {
                    halved = (ulong*)heap.Alloc((nuint)entries * 8);
                }
                catch (NativeMemoryExhaustedException)
                {
                    return; // Giving memory back is tried again later.
                }
            }
            int deep = 0;
            for (int i = 0; i < entries; i++)
            {
                ulong entry = halved[i] = _directory[2 * i];
                deep += LocalDepth(entry) == GlobalDepth - 1 ? 1 : 0;
            }
            FreeDirectory(heap);
            _directory = halved;
            _directoryShift++;
            _deepSegments = deep;
        }
    }

    private void FreeDirectory(NativeHeap heap)
    {
        if (GlobalDepth != 0)
        {
            heap.Free((byte*)_directory, (nuint)8 << GlobalDepth);
        }
    }

    /// <summary>Writes the entries of a segment, the count into the first only.</summary>
    private static void WriteEntries(ulong* first, int entries, ulong entry)
    {
        new Span<ulong>(first, entries).Fill(entry & ~CountMask);
        *first = entry;
    }

    private readonly void WriteEntry(ulong* first, ulong entry) =>
        WriteEntries(first, 1 << (GlobalDepth - LocalDepth(entry)), entry);

    private static int ChainCount(ulong* bucket)
    {
        int count = 0;
        for (; bucket != null; bucket = (ulong*)bucket[LinkIndex])
        {
            count += UsedSlots(bucket);
        }
        return count;
    }

    private static void Recount(ulong* first)
    {
        ulong entry = *first;
        int count = 0;
        for (int b = 0; b <= (int)(entry & 63); b++)
        {
            count += ChainCount(BucketAt(entry, b));
        }
        *first = (entry & ~CountMask) | ((ulong)Math.Min(count, MaxCount) << CountShift);
    }

    /// <summary>Frees the overflow buckets of a bucket.</summary>
    private void FreeOverflow(NativeHeap heap, ulong* bucket)
    {
        var overflow = (ulong*)bucket[LinkIndex];
        bucket[LinkIndex] = 0;
        FreeChain(heap, overflow);
    }

    private void FreeChain(NativeHeap heap, ulong* bucket)
    {
        while (bucket != null)
        {
            var next = (ulong*)bucket[LinkIndex];
            heap.Free((byte*)bucket, BucketBytes);
            _overflowBuckets--;
            bucket = next;
        }
    }
}
