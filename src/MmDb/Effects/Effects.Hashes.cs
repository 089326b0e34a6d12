namespace Leither.MmDb;

/// <content>Effects on Hashs.</content>
public sealed unsafe partial class Effects
{
    private bool ApplyHash(ref EffectReader reader, EffectTag tag)
    {
        return false;
    }
}
