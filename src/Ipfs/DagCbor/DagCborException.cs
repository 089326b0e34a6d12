namespace Leither.Ipfs.DagCbor;

/// <summary>Bytes are not the one DAG-CBOR encoding of a value, or not of the value that was expected.</summary>
public sealed class DagCborException : MalformedBlockException
{
    /// <summary>Says what is wrong at which byte.</summary>
    public DagCborException(string message, int position)
        : base($"DAG-CBOR, byte {position}: {message}") => Position = position;

    /// <summary>The byte at which it was found.</summary>
    public int Position { get; }
}
