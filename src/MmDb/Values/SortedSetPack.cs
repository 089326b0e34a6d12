using System.Buffers.Binary;
using Leither.MmDb.Memory;

namespace Leither.MmDb.Values;

/// <summary>
/// A small sorted set: a <see cref="Pack"/> of member, score, member, score, …, ascending by score, then by member bytes.
/// </summary>
/// <remarks>
/// A whole score is an integer entry, any other a string entry of a zero byte and the double's eight bytes (the zero byte keeps
/// it from ever looking like an integer), so that comparing scores never parses text. What must stay true besides the order:
/// no member stands twice, no score is NaN. As in Redis, -0 becomes 0 here; unlike there, also in a <see cref="SortedSetStructure"/>.
/// </remarks>
internal static unsafe class SortedSetPack
{
    /// <summary>Bytes that <see cref="ScoreValue"/> borrows.</summary>
    public const int ScoreScratch = 9;

    /// <summary>Beyond so many bytes a sorted set is never packed, whatever the configured limits are.</summary>
    public const int MaxBytes = 1 << 30;

    private const double MaxWhole = 1L << 62;

    /// <summary>The entry that a score becomes.</summary>
    public static PackValue ScoreValue(double score, byte* scratch)
    {
        if (Math.Abs(score) <= MaxWhole && (long)score == score)
        {
            return new PackValue((long)score);
        }

        scratch[0] = 0;
        BinaryPrimitives.WriteDoubleLittleEndian(new Span<byte>(scratch + 1, sizeof(double)), score);
        return new PackValue(new ReadOnlySpan<byte>(scratch, ScoreScratch));
    }

    /// <summary>The score that stands at an entry.</summary>
    public static double ScoreAt(byte* data, int entry) => Pack.Get(data, entry, out byte* bytes, out _, out long integer)
        ? integer
        : BinaryPrimitives.ReadDoubleLittleEndian(new ReadOnlySpan<byte>(bytes + 1, sizeof(double)));

    /// <summary>Bytes that a member and its score would take.</summary>
    public static int PairSize(ReadOnlySpan<byte> member, double score)
    {
        byte* scratch = stackalloc byte[ScoreScratch];
        return new PackValue(member).Size + ScoreValue(score, scratch).Size;
    }

    /// <summary>Adds a member with its score at the end; the memory has room.</summary>
    public static int Append(byte* data, int length, ReadOnlySpan<byte> member, double score)
    {
        byte* scratch = stackalloc byte[ScoreScratch];
        length = Pack.Append(data, length, new PackValue(member));
        return Pack.Append(data, length, ScoreValue(score, scratch));
    }

    /// <summary>Adds a member with its score before an entry (or at the end, given the length); the memory has room.</summary>
    public static int Insert(byte* data, int length, int entry, ReadOnlySpan<byte> member, double score)
    {
        byte* scratch = stackalloc byte[ScoreScratch];
        var value = new PackValue(member);
        length = Pack.InsertBefore(data, length, entry, value);
        return Pack.InsertBefore(data, length, entry + value.Size, ScoreValue(score, scratch));
    }

    /// <summary>The entry before which a member with this score belongs, or the length: at the end.</summary>
    public static int Position(byte* data, int length, ReadOnlySpan<byte> member, double score)
    {
        int entry = Pack.HeaderSize;
        while (entry < length)
        {
            int scoreEntry = entry + Pack.SizeOf(data, entry);
            double other = ScoreAt(data, scoreEntry);
            if (other > score || (other == score && Pack.Compare(data, entry, member) > 0))
            {
                break;
            }

            entry = scoreEntry + Pack.SizeOf(data, scoreEntry);
        }

        return entry;
    }

    /// <summary>The entry of a member, or <see cref="Pack.None"/>; its score too.</summary>
    public static int Find(byte* data, int length, ReadOnlySpan<byte> member, out double score)
    {
        int entry = Pack.Find(data, length, new PackValue(member), skip: 1);
        score = entry == Pack.None ? 0 : ScoreAt(data, entry + Pack.SizeOf(data, entry));
        return entry;
    }

    /// <summary>The ranks that a range of scores covers: from the first up to, not including, the second.</summary>
    public static (long From, long To) Ranks(byte* data, int length, in ScoreRange range)
    {
        long rank = 0, from = -1;
        for (int entry = Pack.HeaderSize; entry < length; rank++)
        {
            int scoreEntry = entry + Pack.SizeOf(data, entry);
            double score = ScoreAt(data, scoreEntry);
            if (from < 0 && range.IsAboveMin(score))
            {
                from = rank;
            }

            if (!range.IsBelowMax(score))
            {
                break;
            }

            entry = scoreEntry + Pack.SizeOf(data, scoreEntry);
        }

        return from < 0 ? (rank, rank) : (from, rank);
    }

    /// <summary>The ranks that a range of members covers, where all scores are equal.</summary>
    public static (long From, long To) Ranks(byte* data, int length, in LexRange range)
    {
        Span<byte> scratch = stackalloc byte[PackValue.MaxIntegerDigits];
        long rank = 0, from = -1;
        for (int entry = Pack.HeaderSize; entry < length; rank++)
        {
            ReadOnlySpan<byte> member = Pack.ToSpan(data, entry, scratch);
            bool above = range.IsAboveMin(member);
            if (from < 0 && above)
            {
                from = rank;
            }

            if (from >= 0 && !range.IsBelowMax(member))
            {
                break;
            }

            entry = Pack.Skip(data, entry, 2);
        }

        return from < 0 ? (rank, rank) : (from, rank);
    }
}
