using System.Text;
using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Xunit;
using Record = Leither.MmDb.Memory.Record;

namespace Leither.MmDb.Tests.Values;

public sealed unsafe class SortedTreeTests : IDisposable
{
    private readonly NativeHeap _heap = new(1);
    private readonly List<Entry> _model = [];
    private SortedTree* _tree;

    public void Dispose() => _heap.Dispose();

    [Fact]
    public void An_empty_tree_answers_everything_with_nothing()
    {
        Create(4, 4);
        Assert.Equal(0, _tree->Count);
        Assert.False(_tree->First().IsValid);
        Assert.False(_tree->Last().IsValid);
        Assert.False(_tree->At(0).IsValid);
        Assert.Equal(-1, _tree->Rank(1, "a"u8));
        Assert.Equal(0, _tree->CountBelow(double.PositiveInfinity, true));
        Assert.Equal(0, _tree->CountBelow("a"u8, true));
        _tree->RemoveRange(_heap, 0, 10);
        _tree->CheckInvariants();
        Destroy();
    }

    [Theory]
    [InlineData(1, 4, 4, 0)]
    [InlineData(2, 4, 4, 3)]
    [InlineData(3, 5, 6, 20)]
    [InlineData(4, 8, 4, 1)]
    [InlineData(5, 16, 5, 1_000_000)]
    [InlineData(6, SortedTree.MaxLeafCapacity, SortedTree.MaxInnerCapacity, 50)]
    public void Random_edits_give_the_same_as_a_sorted_list(int seed, int leafCapacity, int innerCapacity, int distinctScores)
    {
        Random random = new(seed);
        Create(leafCapacity, innerCapacity);
        bool growing = true;
        for (int step = 0; step < 12_000; step++)
        {
            growing = growing ? _model.Count < 1200 : _model.Count < 3;
            Step(random, growing, distinctScores);
            if (step % 8 == 0 || _model.Count < 30)
            {
                _tree->CheckInvariants();
            }

            AssertQueries(random, distinctScores);
            if (step % 500 == 0)
            {
                AssertSame();
            }
        }

        AssertSame();
        Destroy();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Insertions_in_order_leave_full_leaves(bool ascending)
    {
        Create(SortedTree.MaxLeafCapacity, SortedTree.MaxInnerCapacity);
        const int Many = 100_000;
        for (int i = 0; i < Many; i++)
        {
            _tree->Insert(_heap, ascending ? i : -i, NewRecord(Name(i)));
        }

        _tree->CheckInvariants();
        Assert.Equal(Many, _tree->Count);
        Assert.InRange(_tree->SizeBytes / (double)Many, 16, 18);
    }

    [Fact]
    public void Insertions_at_random_take_less_than_24_bytes_each()
    {
        const int Seed = 5;
        Random random = new(Seed);
        Create(SortedTree.MaxLeafCapacity, SortedTree.MaxInnerCapacity);
        const int Many = 200_000;
        for (int i = 0; i < Many; i++)
        {
            _tree->Insert(_heap, random.NextDouble(), NewRecord(Name(i)));
        }

        _tree->CheckInvariants();
        Assert.InRange(_tree->SizeBytes / (double)Many, 16, 24);
    }

    [Fact]
    public void Infinities_and_zeros_are_ordered_as_numbers()
    {
        Create(4, 4);
        double[] scores = [double.NegativeInfinity, double.MinValue, -1, -double.Epsilon, -0.0, 0.0, double.Epsilon, 1, double.MaxValue, double.PositiveInfinity];
        for (int i = scores.Length - 1; i >= 0; i--)
        {
            Insert(scores[i], Name(i));
        }

        AssertSame();
        Assert.Equal(9, _tree->Rank(double.PositiveInfinity, "m00000009"u8));
        Assert.Equal(4, _tree->CountBelow(0.0, false));
        Assert.Equal(6, _tree->CountBelow(-0.0, true));
        Assert.Equal((1L, 9L), _tree->Ranks(new ScoreRange(double.NegativeInfinity, true, double.PositiveInfinity, true)));
        Assert.Equal((0L, 10L), _tree->Ranks(new ScoreRange(double.NegativeInfinity, false, double.PositiveInfinity, false)));
        Destroy();
    }

    [Fact]
    public void Lex_ranges_have_Redis_s_bounds()
    {
        Create(4, 4);
        foreach (char c in "abcdefghijklmnopqrstuvwxyz")
        {
            Insert(0, [(byte)c]);
        }

        AssertLex("-", "+", 0, 26);
        AssertLex("[b", "[d", 1, 4);
        AssertLex("(b", "(d", 2, 3);
        AssertLex("-", "(a", 0, 0);
        AssertLex("[bb", "+", 2, 26);
        AssertLex("(z", "+", 26, 26);
        AssertLex("+", "-", 26, 26);
        AssertLex("[d", "[b", 3, 3);
        AssertLex("[", "[b", 0, 2);
        Assert.False(LexBound.TryParse("b"u8, out _));
        Assert.False(LexBound.TryParse(""u8, out _));
        Assert.False(LexBound.TryParse("--"u8, out _));
        Destroy();
    }

    [Fact]
    public void A_tree_is_destroyed_in_slices()
    {
        Create(4, 4);
        for (int i = 0; i < 5000; i++)
        {
            _tree->Insert(_heap, i * 7919 % 5000, NewRecord(Name(i)));
        }

        for (SortedTreeCursor cursor = _tree->First(); cursor.IsValid; cursor.MoveNext())
        {
            Record.Free(_heap, cursor.Record);
        }

        int slices = 1;
        while (!SortedTree.DestroySome(_heap, _tree, 10))
        {
            slices++;
        }

        Assert.InRange(slices, 100, 500);
        Assert.Equal(0, _heap.UsedBytes);
    }

    [Fact]
    public void Relocation_moves_what_lies_in_sparse_memory()
    {
        List<nint> holes = [];
        Create(SortedTree.MaxLeafCapacity, SortedTree.MaxInnerCapacity);
        for (int i = 0; i < 20_000; i++)
        {
            Insert(i * 7919 % 20_000, Name(i));
            if (i % 5 == 0)
            {
                holes.Add((nint)_heap.Alloc(1024));
                holes.Add((nint)_heap.Alloc(2048));
            }
        }

        for (int i = 0; i < holes.Count; i++)
        {
            _heap.Free((byte*)holes[i], i % 2 == 0 ? 1024u : 2048u);
        }

        Assert.True(_heap.BeginCompaction());
        _tree = SortedTree.Relocate(_heap, _tree);
        _heap.EndCompaction();
        AssertSame();
        Destroy();
    }

    private static byte[] Name(int i) => Encoding.ASCII.GetBytes($"m{i:d8}");

    private void AssertLex(string min, string max, long from, long to)
    {
        Assert.True(LexBound.TryParse(Encoding.ASCII.GetBytes(min), out LexBound lower));
        Assert.True(LexBound.TryParse(Encoding.ASCII.GetBytes(max), out LexBound upper));
        LexRange range = new(lower, upper);
        Assert.Equal((from, to), _tree->Ranks(range));
        if (range.IsEmpty)
        {
            Assert.Equal(from, to);
        }

        for (int i = 0; i < 26; i++)
        {
            Assert.Equal(i >= from && i < to, range.Contains([(byte)('a' + i)]));
        }
    }

    private void Step(Random random, bool growing, int distinctScores)
    {
        double score = distinctScores == 0 ? 1 : random.Next(-distinctScores, distinctScores);
        int at = _model.Count == 0 ? 0 : random.Next(_model.Count);
        switch (random.Next(100))
        {
            case 0 when _model.Count > 0:
                int count = random.Next(_model.Count) / (growing ? 8 : 2);
                RemoveRange(at, count);
                break;
            case < 25 when _model.Count > 0:
                Entry entry = _model[at];
                score = distinctScores == 0 || random.Next(2) == 0 ? score : entry.Score + random.Next(-1, 2);
                Assert.True(_tree->Update(_heap, entry.Score, score, (byte*)entry.Record));
                _model.RemoveAt(at);
                Add(entry with { Score = score });
                break;
            case < 35 when _model.Count > 0:
                entry = _model[at];
                byte* moved = NewRecord(entry.Member);
                Assert.False(_tree->ReplaceRecord(entry.Score + 0.5, (byte*)entry.Record, moved));
                Assert.True(_tree->ReplaceRecord(entry.Score, (byte*)entry.Record, moved));
                Record.Free(_heap, (byte*)entry.Record);
                _model[at] = entry with { Record = (nint)moved };
                break;
            case < 45 when _model.Count > 0:
                entry = _model[at];
                Assert.False(_tree->Remove(_heap, entry.Score + 0.5, (byte*)entry.Record));
                Assert.True(_tree->Remove(_heap, entry.Score, (byte*)entry.Record));
                Record.Free(_heap, (byte*)entry.Record);
                _model.RemoveAt(at);
                break;
            case < 90 when !growing && _model.Count > 0:
                RemoveRange(at, 1 + random.Next(3));
                break;
            default:
                byte[] member = random.Next(3) == 0 ? PackTests.RandomValue(random, 40) : Name(random.Next(1_000_000));
                if (!_model.Exists(e => e.Member.AsSpan().SequenceEqual(member)))
                {
                    Insert(score, member);
                }

                break;
        }
    }

    private void AssertQueries(Random random, int distinctScores)
    {
        int at = random.Next(_model.Count + 2) - 1;
        SortedTreeCursor cursor = _tree->At(at);
        Assert.Equal(at >= 0 && at < _model.Count, cursor.IsValid);
        if (cursor.IsValid)
        {
            Assert.Equal(_model[at].Record, (nint)cursor.Record);
            Assert.Equal(at, _tree->Rank(_model[at].Score, _model[at].Member));
            Assert.Equal(-1, _tree->Rank(_model[at].Score + 0.25, _model[at].Member));
        }

        double score = random.Next(-distinctScores - 1, distinctScores + 2) + (random.Next(3) * 0.5);
        Assert.Equal(CountModel(e => e.Score < score), _tree->CountBelow(score, false));
        Assert.Equal(CountModel(e => e.Score <= score), _tree->CountBelow(score, true));
        if (distinctScores == 0)
        {
            byte[] member = cursor.IsValid && random.Next(2) == 0 ? _model[at].Member : Name(random.Next(1_000_000));
            Assert.Equal(CountModel(e => e.Member.AsSpan().SequenceCompareTo(member) < 0), _tree->CountBelow(member, false));
            Assert.Equal(CountModel(e => e.Member.AsSpan().SequenceCompareTo(member) <= 0), _tree->CountBelow(member, true));
        }
    }

    private long CountModel(Predicate<Entry> below)
    {
        int end = _model.FindIndex(e => !below(e));
        return end < 0 ? _model.Count : end;
    }

    private void AssertSame()
    {
        _tree->CheckInvariants();
        Assert.Equal(_model.Count, _tree->Count);
        SortedTreeCursor cursor = _tree->First();
        foreach (Entry entry in _model)
        {
            Assert.Equal(entry.Score, cursor.Score);
            Assert.Equal(entry.Record, (nint)cursor.Record);
            cursor.MoveNext();
        }

        Assert.False(cursor.IsValid);
        cursor = _tree->Last();
        for (int i = _model.Count - 1; i >= 0; i--)
        {
            Assert.Equal(_model[i].Record, (nint)cursor.Record);
            cursor.MovePrevious();
        }

        Assert.False(cursor.IsValid);
    }

    private void Create(int leafCapacity, int innerCapacity) => _tree = SortedTree.Create(_heap, leafCapacity, innerCapacity);

    private void Destroy()
    {
        foreach (Entry entry in _model)
        {
            Record.Free(_heap, (byte*)entry.Record);
        }

        SortedTree.Destroy(_heap, _tree);
        Assert.Equal(0, _heap.UsedBytes);
    }

    private byte* NewRecord(byte[] member)
    {
        fixed (byte* key = member)
        {
            return Record.Create(_heap, key, member.Length, 0, 0, false, sizeof(double));
        }
    }

    private void Insert(double score, byte[] member)
    {
        byte* record = NewRecord(member);
        _tree->Insert(_heap, score, record);
        Add(new Entry(score, member, (nint)record));
    }

    private void Add(Entry entry)
    {
        int at = _model.BinarySearch(entry);
        Assert.True(at < 0);
        _model.Insert(~at, entry);
    }

    // The records go first: removing a range must not look at them.
    private void RemoveRange(int at, int count)
    {
        int removed = Math.Min(count, _model.Count - at);
        foreach (Entry entry in _model.GetRange(at, removed))
        {
            byte* record = (byte*)entry.Record;
            new Span<byte>(record, (int)Record.SizeOf(record)).Fill(0xEE);
            _heap.Free(record, Record.SizeFor(entry.Member.Length, false, sizeof(double)));
        }

        _tree->RemoveRange(_heap, at, count);
        _model.RemoveRange(at, removed);
    }

    private sealed record Entry(double Score, byte[] Member, nint Record) : IComparable<Entry>
    {
        public int CompareTo(Entry? other)
        {
            int order = Score < other!.Score ? -1 : Score > other.Score ? 1 : 0;
            return order != 0 ? order : Member.AsSpan().SequenceCompareTo(other.Member);
        }
    }
}
