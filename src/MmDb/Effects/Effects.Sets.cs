namespace Leither.MmDb;

/// <content>Effects on Sets.</content>
public sealed unsafe partial class Effects
{
    private bool ApplySet(ref EffectReader reader, EffectTag tag)
    {
        return false;
    }
}
