using Leither.MmDb.Memory;

namespace Leither.MmDb.Values;

/// <summary>How sets are combined. The numbers are logged.</summary>
public enum SetOperation : byte
{
    /// <summary>What is in any.</summary>
    Union = 0,
    /// <summary>What is in all.</summary>
    Intersection = 1,
    /// <summary>What is in the first and in no other.</summary>
    Difference = 2,
}

/// <summary>What becomes of the scores of a member that stands in several sorted sets. The numbers are logged.</summary>
public enum ScoreAggregate : byte
{
    /// <summary>Their sum.</summary>
    Sum = 0,
    /// <summary>The lowest.</summary>
    Min = 1,
    /// <summary>The highest.</summary>
    Max = 2,
}

/// <summary>A sorted set or a set (whose members all have the score 1), as input of a combination; nothing, if the key is missing.</summary>
internal readonly unsafe struct ScoredSource
{
    private readonly byte* _record;
    private readonly bool _isSortedSet;
    private readonly SortedSetValue _sortedSet;
    private readonly SetValue _set;

    public ScoredSource(Keyspace keyspace, byte* record, double weight)
    {
        _record = record;
        Weight = weight;
        if (record == null)
        {
            return;
        }

        _isSortedSet = Record.Type(record) == (int)DataType.SortedSet;
        if (_isSortedSet)
        {
            _sortedSet = new SortedSetValue(record);
            Count = _sortedSet.Count;
        }
        else
        {
            _set = new SetValue(keyspace, record);
            Count = _set.Count;
        }
    }

    /// <summary>What the scores are multiplied by.</summary>
    public double Weight { get; }

    /// <summary>Number of members.</summary>
    public long Count { get; }

    /// <summary>Whether a record holds a sorted set or a set.</summary>
    public static bool CanBe(byte* record) => Record.Type(record) is (int)DataType.SortedSet or (int)DataType.Set;

    /// <summary>Whether this is the value of the same key.</summary>
    public bool IsSameAs(in ScoredSource other) => _record == other._record;

    /// <summary>The score of a member; false if it is not there.</summary>
    public bool TryScore(NativeHeap heap, in ScoredMember member, out double score)
    {
        score = 1;
        return Count != 0 && (_isSortedSet
            ? _sortedSet.TryScore(heap, member.Member, member.Length, out score)
            : _set.Contains(member.Member, member.Length));
    }

    /// <summary>Reads the members one after another. Dispose of it.</summary>
    public Reader Read() => new(this);

    /// <summary>Where reading has come to.</summary>
    public ref struct Reader
    {
        private readonly ScoredSource _source;
        private SortedSetCursor _cursor;
        private SetValue.Enumerator _walk;

        internal Reader(ScoredSource source)
        {
            _source = source;
            if (source._isSortedSet)
            {
                _cursor = source._sortedSet.At(0);
            }
            else if (source.Count != 0)
            {
                _walk = source._set.Walk();
            }
        }

        /// <summary>The next member; false at the end.</summary>
        /// <param name="scratch">Room for an integer's digits (<see cref="PackValue.MaxIntegerDigits"/>); the member may lie there.</param>
        /// <param name="member">Receives the member.</param>
        public bool Next(byte* scratch, out ScoredMember member)
        {
            member = default;
            if (_source.Count == 0)
            {
                return false;
            }

            if (_source._isSortedSet)
            {
                if (!_cursor.IsValid)
                {
                    return false;
                }

                member = _cursor.Current(scratch);
                _cursor.MoveNext();
                return true;
            }

            if (!_walk.MoveNext())
            {
                return false;
            }

            Resp.Slice text = _walk.Current.Text(scratch);
            member = new ScoredMember { Score = 1, Member = text.Pointer, Length = text.Length };
            return true;
        }

        public void Dispose() => _walk.Dispose();
    }
}
