using BenchmarkDotNet.Attributes;
using Leither.MmDb.Memory;

namespace Leither.Bench;

/// <summary>
/// Lookups and insertions in a database of a million keys of 16 bytes with values of 32, in random order: far more than the
/// caches hold. State is steady: lookups change nothing, and each insertion is of a key that was just removed.
/// </summary>
[MemoryDiagnoser]
#pragma warning disable CA1001 // Cleanup disposes of the heap: BenchmarkDotNet calls it.
public unsafe class KeyTableBenchmarks
{
    private const int KeyLength = 16;
    private const int ValueLength = 32;

    /// <summary>Commands that the engine parses and prefetches before it executes the first.</summary>
    private const int Batch = 32;

    private NativeHeap _heap = null!;
    private KeyTable* _table;
    private byte* _keys;
    private int _at;

    [Params(1_000_000)]
    public int Keys { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        _heap = new NativeHeap(hashSeed: 42);
        _table = KeyTable.Create(_heap);
        _keys = _heap.Alloc((nuint)Keys * KeyLength);
        for (int i = 0; i < Keys; i++)
        {
            byte* key = _keys + ((long)i * KeyLength);
            i.TryFormat(new Span<byte>(key, KeyLength), out _, "key:000000000000");
            Insert(_heap.Hash(key, KeyLength), key);
        }
        // Benchmarks walk the keys in sequence, so their order is made random once.
        var random = new FastRandom(1);
        for (int i = Keys - 1; i > 0; i--)
        {
            var a = new Span<byte>(_keys + ((long)i * KeyLength), KeyLength);
            var b = new Span<byte>(_keys + ((long)random.Below(i + 1) * KeyLength), KeyLength);
            for (int j = 0; j < KeyLength; j++)
            {
                (a[j], b[j]) = (b[j], a[j]);
            }
        }
    }

    [GlobalCleanup]
    public void Cleanup() => _heap.Dispose();

    [Benchmark(OperationsPerInvoke = Batch)]
    public ulong Hash()
    {
        byte* keys = NextKeys();
        ulong sum = 0;
        for (int i = 0; i < Batch; i++)
        {
            sum += _heap.Hash(keys + (i * KeyLength), KeyLength);
        }
        return sum;
    }

    [Benchmark(OperationsPerInvoke = Batch)]
    public ulong Find()
    {
        byte* keys = NextKeys();
        ulong sum = 0;
        for (int i = 0; i < Batch; i++)
        {
            byte* key = keys + (i * KeyLength);
            sum += *Record.Value(KeyTable.Get(_table->Find(_heap.Hash(key, KeyLength), key, KeyLength)));
        }
        return sum;
    }

    [Benchmark(OperationsPerInvoke = Batch)]
    public ulong FindPrefetched()
    {
        byte* keys = NextKeys();
        ulong* hashes = stackalloc ulong[Batch];
        Prefetch(keys, hashes);
        ulong sum = 0;
        for (int i = 0; i < Batch; i++)
        {
            byte* key = keys + (i * KeyLength);
            sum += *Record.Value(KeyTable.Get(_table->Find(hashes[i], key, KeyLength)));
        }
        return sum;
    }

    [Benchmark(OperationsPerInvoke = Batch)]
    public void RemoveAndInsert()
    {
        byte* keys = NextKeys();
        for (int i = 0; i < Batch; i++)
        {
            byte* key = keys + (i * KeyLength);
            RemoveAndInsert(_heap.Hash(key, KeyLength), key);
        }
    }

    [Benchmark(OperationsPerInvoke = Batch)]
    public void RemoveAndInsertPrefetched()
    {
        byte* keys = NextKeys();
        ulong* hashes = stackalloc ulong[Batch];
        Prefetch(keys, hashes);
        for (int i = 0; i < Batch; i++)
        {
            RemoveAndInsert(hashes[i], keys + (i * KeyLength));
        }
    }

    /// <summary>A table from empty to a thousand keys and back, all growth included; the time is that of one key.</summary>
    [Benchmark(OperationsPerInvoke = 1000)]
    public void GrowFromEmpty()
    {
        KeyTable* table = KeyTable.Create(_heap);
        var records = stackalloc nint[1000];
        for (int i = 0; i < 1000; i++)
        {
            byte* key = _keys + ((long)i * KeyLength);
            byte* record = Record.Create(_heap, key, KeyLength, 0, 0, false, ValueLength);
            records[i] = (nint)record;
            table->Insert(_heap, _heap.Hash(key, KeyLength), record);
        }
        KeyTable.Destroy(_heap, table);
        for (int i = 0; i < 1000; i++)
        {
            Record.Free(_heap, (byte*)records[i]);
        }
    }

    private byte* NextKeys()
    {
        _at = _at + (2 * Batch) > Keys ? 0 : _at + Batch;
        return _keys + ((long)_at * KeyLength);
    }

    private void Prefetch(byte* keys, ulong* hashes)
    {
        for (int i = 0; i < Batch; i++)
        {
            hashes[i] = _heap.Hash(keys + (i * KeyLength), KeyLength);
            _table->Prefetch(hashes[i]);
        }
        for (int i = 0; i < Batch; i++)
        {
            _table->PrefetchRecord(hashes[i]);
        }
    }

    private void RemoveAndInsert(ulong hash, byte* key)
    {
        ulong* slot = _table->Find(hash, key, KeyLength);
        byte* record = KeyTable.Get(slot);
        _table->Remove(_heap, hash, slot);
        Record.Free(_heap, record);
        Insert(hash, key);
    }

    private void Insert(ulong hash, byte* key)
    {
        byte* record = Record.Create(_heap, key, KeyLength, 0, 0, false, ValueLength);
        new Span<byte>(Record.Value(record), ValueLength).Fill(1);
        _table->Insert(_heap, hash, record);
    }
}
