using System.Runtime.CompilerServices;
using Leither.MmDb.Memory;

namespace Leither.MmDb.Values;

/// <summary>A member and its score, on their way in or out. The bytes belong to somebody else.</summary>
public unsafe struct ScoredMember
{
    /// <summary>The score; never NaN.</summary>
    public double Score;
    /// <summary>First byte of the member.</summary>
    public byte* Member;
    /// <summary>Length of the member.</summary>
    public int Length;

    /// <summary>The member.</summary>
    public readonly ReadOnlySpan<byte> Span => new(Member, Length);
}

/// <summary>
/// What can be asked of a sorted set, small (<see cref="SortedSetPack"/>) or big (<see cref="SortedSetStructure"/>). It looks at
/// the record that it was made from and is good until that changes.
/// </summary>
public readonly unsafe struct SortedSetValue
{
    private readonly byte* _pack;
    private readonly int _length;
    private readonly SortedSetStructure* _structure;

    /// <summary>The sorted set that a record of that type holds.</summary>
    public SortedSetValue(byte* record)
    {
        if (Record.Encoding(record) == (int)DataEncoding.SortedTree)
        {
            _structure = Record.NativePointer<SortedSetStructure>(record);
        }
        else
        {
            _pack = Record.ValueBytes(record, out long length);
            _length = (int)length;
        }
    }

    /// <summary>Whether it is a small one, in one pack.</summary>
    public bool IsPacked => _structure == null;

    /// <summary>The structure of a big one.</summary>
    internal SortedSetStructure* Structure => _structure;

    /// <summary>Number of members.</summary>
    public long Count => IsPacked ? Pack.Count(_pack, _length) / 2 : _structure->Tree->Count;

    /// <summary>The score of a member; false if it is not there.</summary>
    /// <param name="heap">The heap that the sorted set lives in.</param>
    /// <param name="member">First byte of the member.</param>
    /// <param name="length">Its length.</param>
    /// <param name="score">Receives the score.</param>
    public bool TryScore(NativeHeap heap, byte* member, int length, out double score)
    {
        if (IsPacked)
        {
            return SortedSetPack.Find(_pack, _length, new ReadOnlySpan<byte>(member, length), out score) != Pack.None;
        }

        ulong* slot = _structure->Members->Find(heap.Hash(member, length), member, length);
        score = slot == null ? 0 : ScoreOf(KeyTable.Get(slot));
        return slot != null;
    }

    /// <summary>The rank of a member (0 is the smallest) and its score; -1 if it is not there.</summary>
    /// <param name="heap">The heap that the sorted set lives in.</param>
    /// <param name="member">First byte of the member.</param>
    /// <param name="length">Its length.</param>
    /// <param name="score">Receives the score.</param>
    public long Rank(NativeHeap heap, byte* member, int length, out double score)
    {
        if (!IsPacked)
        {
            return TryScore(heap, member, length, out score) ? _structure->Tree->Rank(score, new ReadOnlySpan<byte>(member, length)) : -1;
        }

        int found = SortedSetPack.Find(_pack, _length, new ReadOnlySpan<byte>(member, length), out score);
        long rank = found == Pack.None ? -1 : 0;
        for (int entry = Pack.HeaderSize; entry < found; rank++)
        {
            entry = Pack.Skip(_pack, entry, 2);
        }

        return rank;
    }

    /// <summary>The ranks that a range of scores covers: from the first up to, not including, the second.</summary>
    public (long From, long To) Ranks(in ScoreRange range) => IsPacked ? SortedSetPack.Ranks(_pack, _length, range) : _structure->Tree->Ranks(range);

    /// <summary>The ranks that a range of members covers, where all scores are equal.</summary>
    public (long From, long To) Ranks(in LexRange range) => IsPacked ? SortedSetPack.Ranks(_pack, _length, range) : _structure->Tree->Ranks(range);

    /// <summary>A cursor on the member of this rank; not valid if there is none.</summary>
    public SortedSetCursor At(long rank)
    {
        if (!IsPacked)
        {
            return new SortedSetCursor(_structure->Tree->At(rank));
        }

        return new SortedSetCursor(_pack, _length, rank < 0 ? Pack.None : Pack.At(_pack, _length, 2 * rank));
    }

    /// <summary>A member drawn with equal chances. The sorted set is not empty.</summary>
    /// <param name="random">Where chance comes from.</param>
    /// <param name="scratch">Room for an integer's digits (<see cref="PackValue.MaxIntegerDigits"/>).</param>
    public ScoredMember Random(ref FastRandom random, byte* scratch)
    {
        if (!IsPacked)
        {
            byte* record = _structure->Members->Random(ref random);
            return new ScoredMember { Score = ScoreOf(record), Member = Record.Key(record), Length = Record.KeyLength(record) };
        }

        return At((long)random.Below((ulong)Count)).Current(scratch);
    }

    /// <summary>The score that a member's record of a big sorted set holds.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static double ScoreOf(byte* record) => Unsafe.ReadUnaligned<double>(Record.Value(record));

    /// <summary>Sets the score that a member's record of a big sorted set holds.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static void SetScore(byte* record, double score) => Unsafe.WriteUnaligned(Record.Value(record), score);
}

/// <summary>A place in a sorted set; good until that changes.</summary>
public unsafe struct SortedSetCursor
{
    private readonly byte* _pack;
    private readonly int _length;
    private int _entry;
    private SortedTreeCursor _tree;

    internal SortedSetCursor(SortedTreeCursor tree) => _tree = tree;

    internal SortedSetCursor(byte* pack, int length, int entry)
    {
        _pack = pack;
        _length = length;
        _entry = entry;
    }

    /// <summary>Whether there is a member here; false beyond either end.</summary>
    public readonly bool IsValid => _pack != null ? _entry != Pack.None : _tree.IsValid;

    /// <summary>The score.</summary>
    public readonly double Score => _pack != null ? SortedSetPack.ScoreAt(_pack, _entry + Pack.SizeOf(_pack, _entry)) : _tree.Score;

    /// <summary>The member: true when it is held as an integer, else it is the bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly bool Get(out byte* member, out int length, out long integer)
    {
        if (_pack != null)
        {
            return Pack.Get(_pack, _entry, out member, out length, out integer);
        }

        byte* record = _tree.Record;
        member = Record.Key(record);
        length = Record.KeyLength(record);
        integer = 0;
        return false;
    }

    /// <summary>Member and score.</summary>
    /// <param name="scratch">Room for an integer's digits (<see cref="PackValue.MaxIntegerDigits"/>).</param>
    public readonly ScoredMember Current(byte* scratch)
    {
        if (Get(out byte* member, out int length, out long integer))
        {
            member = scratch;
            length = Resp.RespInteger.Format(integer, scratch);
        }

        return new ScoredMember { Score = Score, Member = member, Length = length };
    }

    /// <summary>Goes to the next larger member.</summary>
    public void MoveNext()
    {
        if (_pack == null)
        {
            _tree.MoveNext();
            return;
        }

        int next = Pack.Skip(_pack, _entry, 2);
        _entry = next < _length ? next : Pack.None;
    }

    /// <summary>Goes to the next smaller member.</summary>
    public void MovePrevious()
    {
        if (_pack == null)
        {
            _tree.MovePrevious();
            return;
        }

        int score = Pack.Previous(_pack, _entry);
        _entry = score == Pack.None ? Pack.None : Pack.Previous(_pack, score);
    }
}
