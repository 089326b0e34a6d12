using System.Runtime.InteropServices;

namespace Leither.MmDb.Values;

/// <summary>
/// The longest common subsequence of two strings (LCS), by the textbook's table: cell (i, j) holds the length of the longest one of
/// the first i and the first j bytes. Walked from the end, it gives the runs that the strings share, last run first.
/// </summary>
internal unsafe struct CommonSubsequence(byte* a, long lengthA, byte* b, long lengthB, uint* table)
{
    private readonly long _row = lengthB + 1;
    private long _i = lengthA;
    private long _j = lengthB;

    /// <summary>Fills the table of (lengthA + 1) × (lengthB + 1) cells, which the caller has bounded and frees with <see cref="NativeMemory"/>.</summary>
    public static uint* Table(byte* a, long lengthA, byte* b, long lengthB)
    {
        long row = lengthB + 1;
        var table = (uint*)NativeMemory.AllocZeroed((nuint)((lengthA + 1) * row), sizeof(uint));
        for (long i = 1; i <= lengthA; i++)
        {
            uint* above = table + ((i - 1) * row), here = above + row;
            byte c = a[i - 1];
            for (long j = 1; j <= lengthB; j++)
            {
                here[j] = c == b[j - 1] ? above[j - 1] + 1 : Math.Max(above[j], here[j - 1]);
            }
        }

        return table;
    }

    /// <summary>The run before those that were given: where it starts in either string, and its length. False when there is none.</summary>
    public bool Next(out long startA, out long startB, out long length)
    {
        length = 0;
        while (_i > 0 && _j > 0)
        {
            if (a[_i - 1] == b[_j - 1])
            {
                _i--;
                _j--;
                length++;
            }
            else if (length > 0)
            {
                break;
            }
            else if (table[((_i - 1) * _row) + _j] > table[(_i * _row) + _j - 1])
            {
                _i--;
            }
            else
            {
                _j--;
            }
        }

        startA = _i;
        startB = _j;
        return length > 0;
    }

    /// <summary>Writes the subsequence itself, whose length is the table's last cell.</summary>
    public void CopyTo(byte* destination, uint length)
    {
        byte* end = destination + length;
        while (Next(out long startA, out _, out long run))
        {
            end -= run;
            Buffer.MemoryCopy(a + startA, end, run, run);
        }
    }
}
