namespace Leither.MmDb.Values;

/// <summary>A range of scores, as ZRANGEBYSCORE names it: either end may be infinite and either may be excluded.</summary>
public readonly record struct ScoreRange(double Min, bool MinExclusive, double Max, bool MaxExclusive)
{
    /// <summary>Whether no score can be in it.</summary>
    public bool IsEmpty => Min > Max || (Min == Max && (MinExclusive || MaxExclusive));

    /// <summary>Whether the score is in it.</summary>
    public bool Contains(double score) => IsAboveMin(score) && IsBelowMax(score);

    /// <summary>Whether the score is not before the range.</summary>
    public bool IsAboveMin(double score) => MinExclusive ? score > Min : score >= Min;

    /// <summary>Whether the score is not after the range.</summary>
    public bool IsBelowMax(double score) => MaxExclusive ? score < Max : score <= Max;
}

/// <summary>What one end of a <see cref="LexRange"/> is.</summary>
public enum LexBoundKind : byte
{
    /// <summary>"-": before every member.</summary>
    Lowest,

    /// <summary>"[member" or "(member".</summary>
    Member,

    /// <summary>"+": after every member.</summary>
    Highest,
}

/// <summary>One end of a range of members, as ZRANGEBYLEX names it. It borrows the member's bytes.</summary>
public readonly ref struct LexBound
{
    private LexBound(LexBoundKind kind, ReadOnlySpan<byte> member, bool inclusive)
    {
        Kind = kind;
        Member = member;
        Inclusive = inclusive;
    }

    /// <summary>What the bound is.</summary>
    public LexBoundKind Kind { get; }

    /// <summary>The member, of a bound that is one.</summary>
    public ReadOnlySpan<byte> Member { get; }

    /// <summary>Whether the member itself is within.</summary>
    public bool Inclusive { get; }

    /// <summary>"-".</summary>
    public static LexBound Lowest => new(LexBoundKind.Lowest, default, false);

    /// <summary>"+".</summary>
    public static LexBound Highest => new(LexBoundKind.Highest, default, false);

    /// <summary>"[member" or "(member".</summary>
    public static LexBound At(ReadOnlySpan<byte> member, bool inclusive) => new(LexBoundKind.Member, member, inclusive);

    /// <summary>Reads "-", "+", "[member" or "(member"; false if it is none of them.</summary>
    public static bool TryParse(ReadOnlySpan<byte> text, out LexBound bound)
    {
        bound = default;
        switch (text)
        {
            case [(byte)'-']:
                bound = Lowest;
                return true;
            case [(byte)'+']:
                bound = Highest;
                return true;
            case [(byte)'[' or (byte)'(', .. var member]:
                bound = At(member, text[0] == '[');
                return true;
            default:
                return false;
        }
    }

    /// <summary>Where a member lies: negative before this bound's member, positive after it.</summary>
    internal int Compare(ReadOnlySpan<byte> member) => Kind switch
    {
        LexBoundKind.Lowest => 1,
        LexBoundKind.Highest => -1,
        _ => member.SequenceCompareTo(Member),
    };
}

/// <summary>A range of members with equal scores, as ZRANGEBYLEX names it.</summary>
public readonly ref struct LexRange(LexBound min, LexBound max)
{
    /// <summary>The lower end.</summary>
    public LexBound Min { get; } = min;

    /// <summary>The upper end.</summary>
    public LexBound Max { get; } = max;

    /// <summary>Whether no member can be in it.</summary>
    public bool IsEmpty
    {
        get
        {
            if (Min.Kind == LexBoundKind.Highest || Max.Kind == LexBoundKind.Lowest)
            {
                return true;
            }

            if (Min.Kind == LexBoundKind.Lowest || Max.Kind == LexBoundKind.Highest)
            {
                return false;
            }

            int order = Min.Member.SequenceCompareTo(Max.Member);
            return order > 0 || (order == 0 && !(Min.Inclusive && Max.Inclusive));
        }
    }

    /// <summary>Whether the member is in it.</summary>
    public bool Contains(ReadOnlySpan<byte> member) => IsAboveMin(member) && IsBelowMax(member);

    /// <summary>Whether the member is not before the range.</summary>
    public bool IsAboveMin(ReadOnlySpan<byte> member) => Min.Compare(member) > (Min.Inclusive ? -1 : 0);

    /// <summary>Whether the member is not after the range.</summary>
    public bool IsBelowMax(ReadOnlySpan<byte> member) => Max.Compare(member) < (Max.Inclusive ? 1 : 0);
}
