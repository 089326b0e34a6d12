using Leither.MmDb.Values;

namespace Leither.MmDb;

/// <content>What the effects on collections share.</content>
public sealed unsafe partial class Effects
{
    /// <summary>A deep copy of a big collection's structure.</summary>
    private void* CopyStructure(DataEncoding encoding, void* structure) => encoding switch
    {
        DataEncoding.Quicklist => CopyQuicklist((Quicklist*)structure),
        _ => throw new InvalidOperationException($"{encoding} has no structure of its own"),
    };
}
