namespace Leither.MmDb.Log;

/// <summary>A place in a log: the entry <paramref name="Sequence"/> as the writer's <paramref name="Epoch"/> tells it.</summary>
/// <remarks>
/// Sequences count 1, 2, 3 … through all epochs; 0 is the place before the first entry. A writer that cannot be sure that it still has
/// every entry it ever wrote opens a new epoch, so the same pair never names two different entries.
/// </remarks>
/// <param name="Epoch">The epoch that the entry was written in; the first is 1.</param>
/// <param name="Sequence">The entry's number; the first is 1.</param>
public readonly record struct Position(ulong Epoch, ulong Sequence)
{
    /// <inheritdoc/>
    public override string ToString() => $"{Epoch}:{Sequence}";
}
