namespace Leither.Ipfs.DagPb;

/// <summary>Bytes are not DAG-PB.</summary>
public sealed class DagPbException : MalformedBlockException
{
    /// <summary>Says what is wrong at which byte.</summary>
    public DagPbException(string message, int position)
        : base($"DAG-PB, byte {position}: {message}") => Position = position;

    /// <summary>The byte at which it was found.</summary>
    public int Position { get; }
}
