namespace Leither.MmDb;

/// <summary>
/// A view of the whole keyspace at one position, taken while clients go on: a value about to change is captured first, and the
/// rest is captured slice by slice. Checkpoints, RDB output and versions are written from it.
/// </summary>
internal sealed unsafe class Snapshot
{
    /// <summary>The mark of records that were captured, or made after it began (2 bits).</summary>
    public required int Epoch { get; init; }

    /// <summary>Captures what a record holds before it changes.</summary>
    public void BeforeChange(Database database, byte* record) => throw new NotSupportedException();

    /// <summary>Captures an element of a big collection before it changes or goes.</summary>
    public void BeforeElement(void* structure, byte* element) => throw new NotSupportedException();
}
