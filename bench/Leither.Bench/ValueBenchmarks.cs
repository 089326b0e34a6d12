using System.Text;
using BenchmarkDotNet.Attributes;
using Leither.MmDb.Memory;
using Leither.MmDb.Values;

namespace Leither.Bench;

/// <summary>A pack as a hash of ten fields: what HGET and HSET do to a small hash.</summary>
public unsafe class PackBenchmarks
{
    private readonly byte[] _last = Encoding.ASCII.GetBytes("field:9");
    private readonly byte[] _value = Encoding.ASCII.GetBytes("value of 16 byte");
    private NativeHeap _heap = null!;
    private byte* _pack;
    private int _length;

    [GlobalSetup]
    public void Setup()
    {
        _heap = new NativeHeap(1);
        _pack = _heap.Alloc(1024);
        _length = Pack.Initialize(_pack);
        for (int i = 0; i < 10; i++)
        {
            _length = Pack.Append(_pack, _length, Encoding.ASCII.GetBytes($"field:{i}").AsSpan());
            _length = Pack.Append(_pack, _length, _value.AsSpan());
        }
    }

    [GlobalCleanup]
    public void Cleanup() => _heap.Dispose();

    [Benchmark]
    public int Find_the_last_of_ten_fields() => Pack.Find(_pack, _length, (ReadOnlySpan<byte>)_last, 1);

    [Benchmark]
    public int Replace_a_value_of_equal_size()
    {
        int field = Pack.Find(_pack, _length, (ReadOnlySpan<byte>)_last, 1);
        return _length = Pack.Replace(_pack, _length, Pack.Next(_pack, _length, field), (ReadOnlySpan<byte>)_value);
    }

    [Benchmark]
    public int Append_and_delete()
    {
        int entry = _length;
        _length = Pack.Append(_pack, _length, (ReadOnlySpan<byte>)_value);
        return _length = Pack.Delete(_pack, _length, entry);
    }
}

/// <summary>An intset of 512 integers.</summary>
public unsafe class IntSetBenchmarks
{
    private NativeHeap _heap = null!;
    private FastRandom _random = new(1);
    private byte* _set;
    private int _length;

    [GlobalSetup]
    public void Setup()
    {
        _heap = new NativeHeap(1);
        _set = _heap.Alloc(8192);
        _length = IntSet.Initialize(_set);
        for (int i = 0; i < 512; i++)
        {
            _length = IntSet.Add(_set, _length, i * 100);
        }
    }

    [GlobalCleanup]
    public void Cleanup() => _heap.Dispose();

    [Benchmark]
    public int Find() => IntSet.Find(_set, _length, _random.Below(51_200));
}

/// <summary>A sorted set's order, of 100,000 members that change their scores; the number of members never changes.</summary>
public unsafe class SortedTreeBenchmarks
{
    private const int Members = 100_000;

    private readonly double[] _scores = new double[Members];
    private readonly nint[] _records = new nint[Members];
    private NativeHeap _heap = null!;
    private FastRandom _random = new(1);
    private SortedTree* _tree;

    /// <summary>All scores equal is the worst case: the order is that of the members.</summary>
    [Params(false, true)]
    public bool EqualScores { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        _heap = new NativeHeap(1);
        _tree = SortedTree.Create(_heap);
        for (int i = 0; i < Members; i++)
        {
            fixed (byte* member = Encoding.ASCII.GetBytes($"member:{i * 7919L % Members:d10}"))
            {
                _records[i] = (nint)Record.Create(_heap, member, 17, 0, 0, false, sizeof(double));
            }

            _scores[i] = EqualScores ? 0 : _random.NextDouble();
            _tree->Insert(_heap, _scores[i], (byte*)_records[i]);
        }
    }

    [GlobalCleanup]
    public void Cleanup() => _heap.Dispose();

    [Benchmark]
    public void Remove_and_insert()
    {
        int i = _random.Below(Members);
        _tree->Remove(_heap, _scores[i], (byte*)_records[i]);
        _scores[i] = EqualScores ? 0 : _random.NextDouble();
        _tree->Insert(_heap, _scores[i], (byte*)_records[i]);
    }

    [Benchmark]
    public void Update_to_a_near_score()
    {
        int i = _random.Below(Members);
        double score = EqualScores ? 0 : _scores[i] + 0.00001;
        _tree->Update(_heap, _scores[i], score, (byte*)_records[i]);
        _scores[i] = score;
    }

    [Benchmark]
    public long Rank()
    {
        int i = _random.Below(Members);
        return _tree->Rank(_scores[i], Record.KeySpan((byte*)_records[i]));
    }

    [Benchmark]
    public double Ten_entries_from_a_rank()
    {
        double sum = 0;
        SortedTreeCursor cursor = _tree->At(_random.Below(Members - 10));
        for (int i = 0; i < 10; i++, cursor.MoveNext())
        {
            sum += cursor.Score;
        }

        return sum;
    }
}

/// <summary>A list as a queue and a stack, of 1,000 elements that stay as many.</summary>
public unsafe class QuicklistBenchmarks
{
    private const int Elements = 1000;

    private readonly byte[] _element = Encoding.ASCII.GetBytes("element of 24 characters");
    private readonly NodeLimit _limit = PackedThresholds.Default.ListNodeLimit;
    private NativeHeap _heap = null!;
    private FastRandom _random = new(1);
    private Quicklist* _list;

    [GlobalSetup]
    public void Setup()
    {
        _heap = new NativeHeap(1);
        _list = Quicklist.Create(_heap);
        for (int i = 0; i < Elements; i++)
        {
            _list->PushTail(_heap, _limit, _element);
        }
    }

    [GlobalCleanup]
    public void Cleanup() => _heap.Dispose();

    [Benchmark]
    public void Push_tail_and_pop_head()
    {
        _list->PushTail(_heap, _limit, _element);
        _list->PopHead(_heap);
    }

    [Benchmark]
    public void Push_head_and_pop_tail()
    {
        _list->PushHead(_heap, _limit, _element);
        _list->PopTail(_heap);
    }

    [Benchmark]
    public void Push_and_pop_at_the_head()
    {
        _list->PushHead(_heap, _limit, _element);
        _list->PopHead(_heap);
    }

    [Benchmark]
    public bool At() => _list->At(_random.Below(Elements)).IsValid;
}
