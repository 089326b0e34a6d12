namespace Leither.MmDb;

/// <content>Effects on SortedSets.</content>
public sealed unsafe partial class Effects
{
    private bool ApplySortedSet(ref EffectReader reader, EffectTag tag)
    {
        return false;
    }
}
