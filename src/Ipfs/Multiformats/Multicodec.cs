namespace Leither.Ipfs.Multiformats;

/// <summary>The codes of the multicodec table that Leither uses. https://github.com/multiformats/multicodec/blob/master/table.csv</summary>
public static class Multicodec
{
    /// <summary>A hash function that is none: the "digest" is the content itself.</summary>
    public const ulong Identity = 0x00;

    /// <summary>The hash function SHA-256.</summary>
    public const ulong Sha256 = 0x12;

    /// <summary>The hash function SHA-512.</summary>
    public const ulong Sha512 = 0x13;

    /// <summary>Content in CBOR: one block, which links to nothing.</summary>
    public const ulong Cbor = 0x51;

    /// <summary>Content that is plain bytes.</summary>
    public const ulong Raw = 0x55;

    /// <summary>Content in DAG-PB: the files and folders of IPFS.</summary>
    public const ulong DagPb = 0x70;

    /// <summary>Content in DAG-CBOR.</summary>
    public const ulong DagCbor = 0x71;

    /// <summary>A libp2p public key, in its protobuf encoding.</summary>
    public const ulong Libp2pKey = 0x72;

    /// <summary>Content in DAG-JSON.</summary>
    public const ulong DagJson = 0x0129;

    /// <summary>Content in JSON: one block, which links to nothing.</summary>
    public const ulong Json = 0x0200;

    /// <summary>A CAR index: digests by width, sorted.</summary>
    public const ulong CarIndexSorted = 0x0400;

    /// <summary>A CAR index: multihash codes, digests by width, sorted.</summary>
    public const ulong CarMultihashIndexSorted = 0x0401;
}
