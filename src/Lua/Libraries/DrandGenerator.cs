namespace Leither.Lua;

/// <summary>The 48-bit linear congruential generator of drand48, seeded as Redis seeds it: the same seed gives the same sequence everywhere.</summary>
internal sealed class DrandGenerator
{
    private const ulong Mask = (1UL << 48) - 1;
    private ulong _x = 0x1234ABCD330E;

    public void Seed(int seed) => _x = (((ulong)(uint)seed << 16) | 0x330E) & Mask;

    /// <summary>31 random bits.</summary>
    public int Next()
    {
        _x = ((_x * 0x5DEECE66D) + 0xB) & Mask;
        return (int)(_x >> 17);
    }
}
