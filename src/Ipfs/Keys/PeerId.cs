using System.Diagnostics.CodeAnalysis;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.Keys;

/// <summary>
/// The name of a libp2p peer: a multihash of its public key's protobuf, and the protobuf itself ("identity") where that has at most 42 bytes, as for
/// Ed25519. https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md
/// </summary>
public readonly struct PeerId : IEquatable<PeerId>
{
    /// <summary>The longest protobuf that is its own peer id.</summary>
    public const int MaxIdentityLength = 42;

    /// <summary>The most bytes that a peer id takes.</summary>
    public const int MaxLength = 2 + MaxIdentityLength;

    private readonly bool _isSet;

    private PeerId(Multihash multihash)
    {
        Multihash = multihash;
        _isSet = true;
    }

    /// <summary>Whether this is no peer id at all: a default value.</summary>
    public bool IsNone => !_isSet;

    /// <summary>The multihash, which is the peer id in binary.</summary>
    public Multihash Multihash { get; }

    /// <summary>The peer id of the peer whose public key has this protobuf.</summary>
    public static PeerId Of(ReadOnlySpan<byte> publicKeyProtobuf) =>
        new(publicKeyProtobuf.Length <= MaxIdentityLength ? Multihash.Identity(publicKeyProtobuf) : Multihash.Sha256(publicKeyProtobuf));

    /// <summary>Reads a peer id's bytes.</summary>
    public static bool TryRead(ReadOnlySpan<byte> bytes, out PeerId id)
    {
        bool read = Multihash.TryRead(bytes, out Multihash multihash, out int used) && used == bytes.Length;
        return TryCreate(read ? multihash : default, out id);
    }

    /// <summary>Reads a peer id's text: base58btc ("12D3Koo…", "Qm…"), or a CID of the codec libp2p-key.</summary>
    public static bool TryParse([NotNullWhen(true)] string? text, out PeerId id)
    {
        id = default;
        if (string.IsNullOrEmpty(text) || text.Length > Cid.MaxTextLength)
        {
            return false;
        }

        // A multihash begins with 00 (a "1") or with 12 20 ("Qm"), a CID's text with its multibase: none is either.
        if (text[0] == '1' || text.StartsWith("Qm", StringComparison.Ordinal))
        {
            Span<byte> bytes = stackalloc byte[MaxLength];
            return Multibase.TryDecodeBare(MultibaseEncoding.Base58Btc, text, bytes, out int length) && TryRead(bytes[..length], out id);
        }

        return Cid.TryParse(text, out Cid cid) && cid.Codec == Multicodec.Libp2pKey && TryCreate(cid.Multihash, out id);
    }

    /// <summary>The public key, where the id holds it whole.</summary>
    public bool TryGetPublicKey([NotNullWhen(true)] out PublicKey? publicKey)
    {
        publicKey = null;
        Span<byte> protobuf = stackalloc byte[MaxLength];
        return Multihash.Code == Multicodec.Identity && PublicKey.TryFromProtobuf(protobuf[..Multihash.CopyDigest(protobuf)], out publicKey);
    }

    /// <summary>Whether a public key is that of this peer.</summary>
    public bool Matches(PublicKey publicKey) => _isSet && publicKey.PeerId == this;

    /// <summary>The id as a CID, as IPNS and DNS names want it.</summary>
    public Cid ToCid() => Cid.Create(Multicodec.Libp2pKey, Multihash);

    /// <summary>The id's bytes.</summary>
    public byte[] ToArray() => _isSet ? Multihash.ToArray() : [];

    /// <summary>The id in base58btc.</summary>
    public override string ToString() => Multibase.EncodeBare(MultibaseEncoding.Base58Btc, ToArray());

    /// <inheritdoc/>
    public bool Equals(PeerId other) => _isSet == other._isSet && Multihash.Equals(other.Multihash);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is PeerId other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => Multihash.GetHashCode();

    /// <summary>Whether two are the same peer.</summary>
    public static bool operator ==(PeerId left, PeerId right) => left.Equals(right);

    /// <summary>Whether two differ.</summary>
    public static bool operator !=(PeerId left, PeerId right) => !left.Equals(right);

    private static bool TryCreate(Multihash multihash, out PeerId id)
    {
        bool fits = multihash.Code switch
        {
            Multicodec.Identity => multihash.DigestLength is > 0 and <= MaxIdentityLength,
            Multicodec.Sha256 => multihash.DigestLength == Digest256.Length,
            _ => false,
        };
        id = fits ? new PeerId(multihash) : default;
        return fits;
    }
}
