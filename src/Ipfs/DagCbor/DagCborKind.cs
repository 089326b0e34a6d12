namespace Leither.Ipfs.DagCbor;

/// <summary>The kinds of the IPLD data model, as they stand in DAG-CBOR.</summary>
public enum DagCborKind : byte
{
    /// <summary>None: the value that the block is has been read.</summary>
    End,

    /// <summary>Major types 0 and 1: −2^64 … 2^64 − 1.</summary>
    Integer,

    /// <summary>Major type 2.</summary>
    Bytes,

    /// <summary>Major type 3, UTF-8.</summary>
    Text,

    /// <summary>Major type 4.</summary>
    Array,

    /// <summary>Major type 5; keys are text, the shorter before the longer, then by bytes.</summary>
    Map,

    /// <summary>Tag 42: a CID.</summary>
    Link,

    /// <summary>False or true.</summary>
    Boolean,

    /// <summary>Null.</summary>
    Null,

    /// <summary>A finite number of 64 bits.</summary>
    Float,
}
