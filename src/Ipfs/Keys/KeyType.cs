namespace Leither.Ipfs.Keys;

/// <summary>The kinds of keys of libp2p, by their numbers on the wire. https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md</summary>
public enum KeyType
{
    /// <summary>Of old nodes.</summary>
    Rsa = 0,

    /// <summary>The one in use.</summary>
    Ed25519 = 1,

    /// <summary>Of nodes near to blockchains.</summary>
    Secp256k1 = 2,

    /// <summary>Hardly used.</summary>
    Ecdsa = 3,
}
