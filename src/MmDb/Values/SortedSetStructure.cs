using System.Runtime.InteropServices;
using Leither.MmDb.Memory;

namespace Leither.MmDb.Values;

/// <summary>
/// A big sorted set: a table of members, whose records hold the score as their 8-byte value, and a tree of the same records in
/// order of score and member. A big hash of which fields may expire is the same: a table of all fields, and a tree of those whose
/// records hold an expiry, which is their score.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
public unsafe struct SortedSetStructure
{
    /// <summary>Member to score.</summary>
    public KeyTable* Members;
    /// <summary>The order.</summary>
    public SortedTree* Tree;
}
