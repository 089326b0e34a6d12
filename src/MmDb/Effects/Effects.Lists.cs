namespace Leither.MmDb;

/// <content>Effects on Lists.</content>
public sealed unsafe partial class Effects
{
    private bool ApplyList(ref EffectReader reader, EffectTag tag)
    {
        return false;
    }
}
