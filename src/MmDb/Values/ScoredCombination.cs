using Leither.MmDb.Memory;

namespace Leither.MmDb.Values;

/// <summary>
/// The union, intersection or difference of sorted sets and sets, worked out aside: the sources stay as they are, and must, as
/// long as the result is used.
/// </summary>
/// <remarks>
/// The result is the same on every node, to the last bit of every score: scores are combined in the order of the sources'
/// sizes (equal ones in the order given), whatever layouts they have.
/// </remarks>
internal unsafe ref struct ScoredCombination(Keyspace keyspace, SetOperation operation, ScoreAggregate aggregate)
{
    private readonly NativeHeap _heap = keyspace.Heap;
    private NativeList<ScoredSource> _sources;
    private NativeList<ScoredMember> _items;
    private NativeList<nint> _owned; // blocks of digits, or records of the union's members
    private KeyTable* _members; // of the union

    /// <summary>Number of members of the result.</summary>
    public readonly long Count => _items.Count;

    /// <summary>The result, ascending by score, then by member.</summary>
    public readonly ScoredMember* Items => _items.Items;

    /// <summary>Adds a source: a sorted set's or set's record, or null for a missing key.</summary>
    public void Add(byte* record, double weight) => _sources.Add(new ScoredSource(keyspace, record, weight));

    /// <summary>Works the result out, up to so many members (0: all); with a limit it is not the first ones that are found.</summary>
    public void Run(long limit = 0)
    {
        if (operation == SetOperation.Union)
        {
            SortSources();
            Unite();
        }
        else
        {
            if (operation == SetOperation.Intersection)
            {
                SortSources();
            }

            Filter(limit);
        }

        _items.Span.Sort(default(Order));
    }

    public void Dispose()
    {
        foreach (nint block in _owned.Span)
        {
            if (_members != null)
            {
                Record.FreeShell(_heap, (byte*)block);
            }
            else
            {
                _heap.Free((byte*)block, PackValue.MaxIntegerDigits);
            }
        }

        if (_members != null)
        {
            KeyTable.Destroy(_heap, _members);
        }

        _sources.Dispose();
        _items.Dispose();
        _owned.Dispose();
    }

    /// <summary>Smallest first; sources of equal size keep their order.</summary>
    private readonly void SortSources()
    {
        Span<ScoredSource> sources = _sources.Span;
        for (int i = 1; i < sources.Length; i++)
        {
            ScoredSource source = sources[i];
            int to = i;
            for (; to > 0 && sources[to - 1].Count > source.Count; to--)
            {
                sources[to] = sources[to - 1];
            }

            sources[to] = source;
        }
    }

    private void Unite()
    {
        _members = KeyTable.Create(_heap);
        byte* scratch = stackalloc byte[PackValue.MaxIntegerDigits];
        foreach (ref ScoredSource source in _sources.Span)
        {
            using ScoredSource.Reader reader = source.Read();
            while (reader.Next(scratch, out ScoredMember member))
            {
                double score = Number(source.Weight * member.Score);
                ulong hash = _heap.Hash(member.Member, member.Length);
                ulong* slot = _members->Find(hash, member.Member, member.Length);
                if (slot != null)
                {
                    byte* known = KeyTable.Get(slot);
                    SortedSetValue.SetScore(known, Combine(SortedSetValue.ScoreOf(known), score));
                    continue;
                }

                byte* record = Record.Create(_heap, member.Member, member.Length, 0, 0, hasExpire: false, sizeof(double));
                SortedSetValue.SetScore(record, score);
                _owned.Add((nint)record);
                _members->Insert(_heap, hash, record);
            }
        }

        foreach (nint record in _owned.Span)
        {
            _items.Add(new ScoredMember
            {
                Score = SortedSetValue.ScoreOf((byte*)record),
                Member = Record.Key((byte*)record),
                Length = Record.KeyLength((byte*)record),
            });
        }
    }

    /// <summary>The members of the first source that are in all the others, or in none of them.</summary>
    private void Filter(long limit)
    {
        byte* scratch = stackalloc byte[PackValue.MaxIntegerDigits];
        Span<ScoredSource> sources = _sources.Span;
        using ScoredSource.Reader reader = sources[0].Read();
        while (reader.Next(scratch, out ScoredMember member))
        {
            double score = operation == SetOperation.Intersection ? Number(sources[0].Weight * member.Score) : member.Score;
            bool stays = true;
            for (int i = 1; i < sources.Length && stays; i++)
            {
                double other = member.Score;
                bool found = sources[i].IsSameAs(sources[0]) || sources[i].TryScore(_heap, member, out other);
                stays = found == (operation == SetOperation.Intersection);
                if (found && stays)
                {
                    score = Combine(score, sources[i].Weight * other);
                }
            }

            if (!stays)
            {
                continue;
            }

            if (member.Member == scratch)
            {
                byte* digits = _heap.Alloc(PackValue.MaxIntegerDigits);
                new ReadOnlySpan<byte>(scratch, member.Length).CopyTo(new Span<byte>(digits, PackValue.MaxIntegerDigits));
                _owned.Add((nint)digits);
                member.Member = digits;
            }

            member.Score = score;
            _items.Add(member);
            if (_items.Count == limit)
            {
                break;
            }
        }
    }

    private readonly double Combine(double a, double b) => aggregate switch
    {
        ScoreAggregate.Sum => Number(a + b),
        ScoreAggregate.Min => b < a ? b : a,
        _ => b > a ? b : a,
    };

    /// <summary>As Redis has it: what is no number (inf - inf, 0 × inf) is 0.</summary>
    private static double Number(double value) => double.IsNaN(value) ? 0 : value;

    private readonly struct Order : IComparer<ScoredMember>
    {
        public int Compare(ScoredMember x, ScoredMember y)
        {
            return x.Score < y.Score ? -1 : x.Score > y.Score ? 1 : x.Span.SequenceCompareTo(y.Span);
        }
    }
}
