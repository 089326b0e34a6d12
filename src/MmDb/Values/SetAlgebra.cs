namespace Leither.MmDb.Values;

/// <summary>
/// The members of an intersection or a difference, one after another: those of one set that pass a test by the others. Nothing is
/// copied, save where a difference has many small sets to subtract: these are united first. Missing keys are default values.
/// </summary>
internal unsafe ref struct SetAlgebra : IDisposable
{
    private readonly Span<SetValue> _others;
    private readonly bool _wantsAll;
    private SetBuilder _united;
    private SetValue _unitedValue;
    private SetValue.Enumerator _members;

    /// <summary>The members of an intersection or difference of sets, whose order in the span is changed.</summary>
    public SetAlgebra(Keyspace keyspace, SetOperation operation, Span<SetValue> sets)
    {
        _wantsAll = operation == SetOperation.Intersection;
        if (_wantsAll ? Misses(sets) : !sets[0].Exists || IndexOfSame(sets[1..], sets[0]) >= 0)
        {
            _members = default(SetValue).Walk();
            return;
        }

        if (_wantsAll)
        {
            // The smallest is walked, and the next smallest refuse most.
            sets.Sort(static (a, b) => a.Count.CompareTo(b.Count));
        }
        else if (sets.Length > 1)
        {
            // The largest refuse most.
            sets[1..].Sort(static (a, b) => CountOf(b).CompareTo(CountOf(a)));
        }

        _members = sets[0].Walk();
        _others = sets[1..];
        if (!_wantsAll && IsCheaperUnited(sets))
        {
            _united = new SetBuilder(keyspace);
            foreach (SetValue set in _others)
            {
                if (set.Exists)
                {
                    _united.AddAll(set);
                }
            }

            _unitedValue = _united.Value;
            _others = default;
        }
    }

    /// <summary>The member.</summary>
    public readonly Element Current => _members.Current;

    /// <summary>Goes to the next member; false at the end.</summary>
    public bool MoveNext()
    {
        while (_members.MoveNext())
        {
            if (Passes(_members.Current))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Frees scratch space.</summary>
    public void Dispose()
    {
        _members.Dispose();
        _united.Dispose();
    }

    /// <summary>Adds the members of all sets to a builder.</summary>
    public static void Unite(ReadOnlySpan<SetValue> sets, ref SetBuilder into)
    {
        foreach (SetValue set in sets)
        {
            if (set.Exists)
            {
                into.AddAll(set);
            }
        }
    }

    private readonly bool Passes(in Element member)
    {
        if (_unitedValue.Exists)
        {
            return !_unitedValue.Contains(member);
        }

        foreach (SetValue other in _others)
        {
            if (other.Exists && other.Contains(member) != _wantsAll)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Whether asking every set for every member is more work than uniting what is subtracted. The former has the better constants.</summary>
    private static bool IsCheaperUnited(ReadOnlySpan<SetValue> sets)
    {
        long asking = 0, uniting = 0;
        foreach (SetValue set in sets)
        {
            if (set.Exists)
            {
                asking += sets[0].Count;
                uniting += set.Count;
            }
        }

        return asking / 2 > uniting;
    }

    private static bool Misses(ReadOnlySpan<SetValue> sets)
    {
        foreach (SetValue set in sets)
        {
            if (!set.Exists)
            {
                return true;
            }
        }

        return false;
    }

    private static int IndexOfSame(ReadOnlySpan<SetValue> sets, in SetValue wanted)
    {
        for (int i = 0; i < sets.Length; i++)
        {
            if (sets[i].IsSame(wanted))
            {
                return i;
            }
        }

        return -1;
    }

    private static long CountOf(in SetValue set) => set.Exists ? set.Count : 0;
}
