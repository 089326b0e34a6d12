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
internal unsafe struct ScoredSource
{
    private readonly byte* _record;
    private readonly byte* _bytes;
    private readonly int _length;

    public ScoredSource(byte* record, double weight)
    {
        _record = record;
        Weight = weight;
        if (record == null)
        {
            return;
        }

        switch (Type)
        {
            case DataType.SortedSet:
                Count = new SortedSetValue(record).Count;
                break;
            case DataType.Set when Encoding == DataEncoding.HashTable:
                Count = Record.NativePointer<KeyTable>(record)->Count;
                break;
            default:
                _bytes = Record.ValueBytes(record, out long length);
                _length = (int)length;
                Count = Encoding == DataEncoding.IntSet ? IntSet.Count(_bytes, _length) : Pack.Count(_bytes, _length);
                break;
        }
    }

    /// <summary>What the scores are multiplied by.</summary>
    public double Weight { get; }

    /// <summary>Number of members.</summary>
    public long Count { get; }

    private readonly DataType Type => (DataType)Record.Type(_record);

    private readonly DataEncoding Encoding => (DataEncoding)Record.Encoding(_record);

    /// <summary>Whether a record holds a sorted set or a set.</summary>
    public static bool CanBe(byte* record) => Record.Type(record) is (int)DataType.SortedSet or (int)DataType.Set;

    /// <summary>Whether this is the value of the same key.</summary>
    public readonly bool IsSameAs(in ScoredSource other) => _record == other._record;

    /// <summary>The score of a member; false if it is not there.</summary>
    public readonly bool TryScore(NativeHeap heap, in ScoredMember member, out double score)
    {
        score = 1;
        if (Count == 0)
        {
            return false;
        }

        if (Type == DataType.SortedSet)
        {
            return new SortedSetValue(_record).TryScore(heap, member.Member, member.Length, out score);
        }

        return Encoding switch
        {
            DataEncoding.HashTable => Record.NativePointer<KeyTable>(_record)->Find(heap.Hash(member.Member, member.Length), member.Member, member.Length) != null,
            DataEncoding.IntSet => PackValue.TryParseInteger(member.Span, out long integer) && IntSet.Contains(_bytes, _length, integer),
            _ => Pack.Find(_bytes, _length, new PackValue(member.Span)) != Pack.None,
        };
    }

    /// <summary>Reads the members one after another. Dispose of it.</summary>
    public readonly Reader Read() => new(this);

    /// <summary>Where reading has come to.</summary>
    public ref struct Reader
    {
        private readonly ScoredSource _source;
        private readonly bool _isSortedSet;
        private SortedSetCursor _cursor;
        private NativeList<nint> _bucket;
        private int _next; // of the bucket, the intset's indexes or the pack's offsets
        private ulong _position; // in the table; 0 also means its end
        private bool _started;

        internal Reader(ScoredSource source)
        {
            _source = source;
            _isSortedSet = source.Count != 0 && source.Type == DataType.SortedSet;
            if (_isSortedSet)
            {
                _cursor = new SortedSetValue(source._record).At(0);
            }
            else if (source.Count != 0 && source.Encoding == DataEncoding.Pack)
            {
                _next = Pack.HeaderSize;
            }
        }

        /// <summary>The next member; false at the end.</summary>
        /// <param name="scratch">Room for an integer's digits; the member may lie there.</param>
        /// <param name="member">Receives the member.</param>
        public bool Next(byte* scratch, out ScoredMember member)
        {
            member = new ScoredMember { Score = 1 };
            if (_source.Count == 0)
            {
                return false;
            }

            if (_isSortedSet)
            {
                if (!_cursor.IsValid)
                {
                    return false;
                }

                member = _cursor.Current(scratch);
                _cursor.MoveNext();
                return true;
            }

            switch (_source.Encoding)
            {
                case DataEncoding.HashTable:
                    return NextOfTable(ref member);
                case DataEncoding.IntSet:
                    if (_next >= _source.Count)
                    {
                        return false;
                    }

                    member.Member = scratch;
                    member.Length = Resp.RespInteger.Format(IntSet.At(_source._bytes, _next++), scratch);
                    return true;
                default:
                    if (_next >= _source._length)
                    {
                        return false;
                    }

                    if (Pack.Get(_source._bytes, _next, out member.Member, out member.Length, out long integer))
                    {
                        member.Member = scratch;
                        member.Length = Resp.RespInteger.Format(integer, scratch);
                    }

                    _next = Pack.Skip(_source._bytes, _next, 1);
                    return true;
            }
        }

        public void Dispose() => _bucket.Dispose();

        private bool NextOfTable(ref ScoredMember member)
        {
            while (_next >= _bucket.Count)
            {
                if (_started && _position == 0)
                {
                    return false;
                }

                _started = true;
                _bucket.Clear();
                _next = 0;
                _position = Record.NativePointer<KeyTable>(_source._record)->ScanBucket(_position, ref _bucket);
            }

            byte* record = (byte*)_bucket[_next++];
            member.Member = Record.Key(record);
            member.Length = Record.KeyLength(record);
            return true;
        }
    }
}
