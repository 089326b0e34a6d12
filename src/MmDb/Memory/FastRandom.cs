using System.Numerics;
using System.Runtime.CompilerServices;

namespace Leither.MmDb.Memory;

/// <summary>
/// A small, fast generator (xoroshiro128++) for sampling keys. Same seed, same numbers; never for anything secret.
/// Pass it by reference: a copy repeats what the original draws.
/// </summary>
public struct FastRandom
{
    private ulong _a;
    private ulong _b;

    /// <summary>Makes a generator.</summary>
    /// <param name="seed">Any number; it comes from outside, so that runs can be repeated.</param>
    public FastRandom(ulong seed)
    {
        _a = Scramble(ref seed);
        _b = Scramble(ref seed);
    }

    /// <summary>The next 64 bits.</summary>
    /// <returns>A uniform number.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong Next()
    {
        ulong a = _a, b = _b;
        ulong result = BitOperations.RotateLeft(a + b, 17) + a;
        b ^= a;
        _a = BitOperations.RotateLeft(a, 49) ^ b ^ (b << 21);
        _b = BitOperations.RotateLeft(b, 28);
        return result;
    }

    /// <summary>A number from 0 up to, not including, <paramref name="bound"/>. (The bias of at most bound/2^64 is beyond notice.)</summary>
    /// <param name="bound">At least 1.</param>
    /// <returns>The number.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong Below(ulong bound) => Math.BigMul(Next(), bound, out _);

    /// <summary>A number from 0 up to, not including, <paramref name="bound"/>.</summary>
    /// <param name="bound">At least 1.</param>
    /// <returns>The number.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Below(int bound) => (int)Below((ulong)bound);

    /// <summary>A number from 0 up to, not including, 1.</summary>
    /// <returns>The number, of 53 random bits.</returns>
    public double NextDouble() => (Next() >> 11) * (1.0 / (1UL << 53));

    private static ulong Scramble(ref ulong state)
    {
        ulong z = state += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
