using Leither.MmDb.Memory;
using Leither.TestKit;
using Xunit;
using Record = Leither.MmDb.Memory.Record;

namespace Leither.MmDb.Tests.Memory;

public sealed unsafe class RecordTests
{
    [Theory]
    [InlineData(0, false, 0)]
    [InlineData(0, true, 0)]
    [InlineData(1, false, 1)]
    [InlineData(16, false, 32)]
    [InlineData(16, true, 32)]
    [InlineData(255, true, 4096)]
    [InlineData(256, false, 4096)]
    [InlineData(256, true, 0)]
    [InlineData(70_000, true, 100)]
    [InlineData(5_000_000, false, 8)]
    public void Every_field_keeps_its_own_value(int keyLength, bool hasExpire, int valueLength)
    {
        using var heap = new NativeHeap(1);
        byte[] key = Filled(keyLength, 7);
        byte* record = Create(heap, key, 5, 11, hasExpire, valueLength);
        Assert.Equal(0u, Record.Lru(record));
        Assert.Equal(0, Record.SnapshotEpoch(record));
        Record.ValueSpan(record).Fill(9);
        if (hasExpire)
        {
            Record.SetExpireAt(record, long.MinValue + 3);
        }
        Record.SetLru(record, 0xABCDEF);
        Record.SetSnapshotEpoch(record, 2);

        Check(record);
        Record.SetLru(record, 0xABCDEF);
        Record.SetType(record, 5, 11);
        Record.SetEncoding(record, 11);
        Record.SetSnapshotEpoch(record, 3);
        Record.SetSnapshotEpoch(record, 2);
        Check(record);

        Record.Free(heap, record);
        Assert.Equal(0, heap.UsedBytes);

        void Check(byte* r)
        {
            Assert.Equal(5, Record.Type(r));
            Assert.Equal(11, Record.Encoding(r));
            Assert.Equal(hasExpire, Record.HasExpire(r));
            Assert.False(Record.Outside(r));
            Assert.Equal(keyLength, Record.KeyLength(r));
            Assert.True(Record.KeySpan(r).SequenceEqual(key));
            Assert.Equal(0xABCDEFu, Record.Lru(r));
            Assert.Equal(2, Record.SnapshotEpoch(r));
            Assert.Equal(valueLength, Record.ValueLength(r));
            Assert.Equal(-1, Record.ValueSpan(r).IndexOfAnyExcept((byte)9));
            Assert.Equal(Record.SizeFor(keyLength, hasExpire, valueLength), Record.SizeOf(r));
            if (hasExpire)
            {
                Assert.Equal(long.MinValue + 3, Record.ExpireAt(r));
            }
        }
    }

    [Fact]
    public void A_short_key_costs_eight_bytes_of_header() => Assert.Equal((nuint)56, Record.SizeFor(16, false, 32));

    [Fact]
    public void Resizing_the_value_and_changing_the_expiry_keep_all_else() => Seed.Run(random =>
    {
        using var heap = new NativeHeap(1);
        foreach (int keyLength in new[] { 0, 3, 255, 256, 9000 })
        {
            byte[] key = Filled(keyLength, 5);
            byte* record = Create(heap, key, 1, 2, false, 0);
            Record.SetLru(record, 123456);
            Record.SetSnapshotEpoch(record, 1);
            byte[] value = [];
            for (int step = 0; step < 2000; step++)
            {
                if (random.Next(3) == 0)
                {
                    bool expire = random.Next(2) == 0;
                    record = Record.WithExpire(heap, record, expire);
                    Assert.Equal(expire, Record.HasExpire(record));
                    if (expire)
                    {
                        Record.SetExpireAt(record, step);
                    }
                }
                else
                {
                    int length = random.Next(random.Next(2) == 0 ? 100 : Record.MaxInlineValue + 1);
                    bool stays = Record.FitsInPlace(record, length);
                    byte* moved = Record.ResizeValue(heap, record, length);
                    Assert.True(!stays || moved == record);
                    record = moved;
                    int common = Math.Min(length, value.Length);
                    Assert.True(Record.ValueSpan(record)[..common].SequenceEqual(value.AsSpan(0, common)));
                    value = new byte[length];
                    random.NextBytes(value);
                    value.CopyTo(Record.ValueSpan(record));
                }
                Assert.True(Record.KeySpan(record).SequenceEqual(key));
                Assert.True(Record.ValueSpan(record).SequenceEqual(value));
                Assert.Equal(123456u, Record.Lru(record));
                Assert.Equal(1, Record.SnapshotEpoch(record));
                Assert.Equal(1, Record.Type(record));
                Assert.Equal(2, Record.Encoding(record));
                Assert.Equal((long)NativeHeap.RoundUp(Record.SizeOf(record)), heap.UsedBytes);
            }
            Record.Free(heap, record);
            Assert.Equal(0, heap.UsedBytes);
        }
    });

    [Fact]
    public void A_long_value_lies_outside_and_is_freed_with_its_record()
    {
        using var heap = new NativeHeap(1);
        byte* record = Create(heap, Filled(16, 1), 0, 0, true, Record.PointerLength);
        LargeValue* value = LargeValue.Create(heap, 100_000, 150_000);
        Record.SetOutsideValue(record, value);
        Assert.True(Record.Outside(record));
        Assert.Equal((nint)value, (nint)Record.OutsideValue(record));
        new Span<byte>(LargeValue.Bytes(value), 100_000).Fill(3);
        value = LargeValue.Resize(heap, value, 1_000_000);
        Record.SetOutsideValue(record, value);
        Assert.Equal(1_000_000ul, value->Capacity);
        byte* bytes = Record.ValueBytes(record, out long length);
        Assert.Equal(100_000, length);
        Assert.Equal(-1, new Span<byte>(bytes, (int)length).IndexOfAnyExcept((byte)3));
        Assert.Equal(heap.UsedBytes, Record.MemoryBytes(record));
        value = LargeValue.Resize(heap, value, 50);
        Record.SetOutsideValue(record, value);
        Assert.Equal(value->Capacity, value->Length);
        Record.Free(heap, record);
        Assert.Equal(0, heap.UsedBytes);
    }

    [Fact]
    public void A_native_pointer_is_eight_bytes_of_value()
    {
        using var heap = new NativeHeap(1);
        byte* record = Create(heap, Filled(5, 1), 2, 3, false, Record.PointerLength);
        KeyTable* table = KeyTable.Create(heap);
        Record.SetNativePointer(record, table);
        Assert.False(Record.Outside(record));
        Assert.Equal((nint)table, (nint)Record.NativePointer<KeyTable>(record));
        KeyTable.Destroy(heap, table);
        Record.Free(heap, record);
        Assert.Equal(0, heap.UsedBytes);
    }

    [Fact]
    public void A_key_of_512_MB_is_a_key()
    {
        if (!Seed.IsLong)
        {
            return; // Half a minute of page faults on a small machine: ./test --long.
        }
        using var heap = new NativeHeap(1);
        const int Length = 512 << 20;
        byte* key = heap.AllocZeroed(Length);
        key[Length - 1] = 1;
        byte* record = Record.Create(heap, key, Length, 0, 0, true, 10);
        Assert.Equal(Length, Record.KeyLength(record));
        KeyTable* table = KeyTable.Create(heap);
        ulong hash = heap.Hash(key, Length);
        table->Insert(heap, hash, record);
        Assert.True(table->Find(hash, key, Length) != null);
        key[5] = 1;
        Assert.True(table->Find(hash, key, Length) == null);
    }

    private static byte* Create(NativeHeap heap, byte[] key, int type, int encoding, bool hasExpire, int valueLength)
    {
        fixed (byte* p = key)
        {
            return Record.Create(heap, p, key.Length, type, encoding, hasExpire, valueLength);
        }
    }

    private static byte[] Filled(int length, int step)
    {
        var bytes = new byte[length];
        for (int i = 0; i < length; i++)
        {
            bytes[i] = (byte)(i * step);
        }
        return bytes;
    }
}
