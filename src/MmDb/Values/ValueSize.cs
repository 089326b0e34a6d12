using Leither.MmDb.Memory;

namespace Leither.MmDb.Values;

/// <summary>How much memory a key and its value take, as the heap counts it (MEMORY USAGE).</summary>
public static unsafe class ValueSize
{
    /// <summary>What a key takes in its database's table: its slot, with the share of free slots and links of a table in use.</summary>
    private const int SlotBytes = 12;

    /// <summary>Bytes of a key and its value. Of big collections so many elements are measured, and the rest taken to be like them.</summary>
    public static long Of(byte* record, long samples)
    {
        long bytes = Own(record) + SlotBytes + (Record.HasExpire(record) ? SlotBytes : 0);
        return bytes + (DataEncoding)Record.Encoding(record) switch
        {
            DataEncoding.Quicklist => Record.NativePointer<Quicklist>(record)->SizeBytes,
            DataEncoding.HashTable => OfTable(Record.NativePointer<KeyTable>(record), samples),
            DataEncoding.SortedTree or DataEncoding.ExpiringTable => OfSortedSet(Record.NativePointer<SortedSetStructure>(record), samples),
            DataEncoding.Stream => Record.NativePointer<StreamStructure>(record)->SizeBytes(samples),
            _ => 0,
        };
    }

    /// <summary>A record with the bytes that it holds outside.</summary>
    private static long Own(byte* record)
    {
        long bytes = (long)NativeHeap.RoundUp(Record.SizeOf(record));
        return Record.Outside(record) ? bytes + (long)NativeHeap.RoundUp(LargeValue.BlockSize(Record.OutsideValue(record))) : bytes;
    }

    private static long OfSortedSet(SortedSetStructure* structure, long samples) =>
        (long)NativeHeap.RoundUp((nuint)sizeof(SortedSetStructure)) + structure->Tree->SizeBytes + OfTable(structure->Members, samples);

    private static long OfTable(KeyTable* table, long samples)
    {
        NativeList<nint> bucket = default;
        long measured = 0, bytes = 0;
        ulong cursor = 0;
        do
        {
            bucket.Clear();
            cursor = table->ScanBucket(cursor, ref bucket);
            foreach (nint element in bucket.Span)
            {
                bytes += Own((byte*)element);
                measured++;
            }
        }
        while (cursor != 0 && measured < samples);
        bucket.Dispose();
        return table->MemoryBytes + (measured == 0 ? 0 : (long)((double)bytes / measured * table->Count));
    }
}
