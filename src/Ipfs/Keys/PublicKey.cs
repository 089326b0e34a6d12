using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;

namespace Leither.Ipfs.Keys;

/// <summary>An Ed25519 public key: who signed, and who a peer is. Equal when its bytes are; safe for any number of threads.</summary>
public sealed class PublicKey : IEquatable<PublicKey>
{
    /// <summary>How many bytes the key takes in libp2p's protobuf.</summary>
    public const int ProtobufLength = KeyProtobuf.HeaderLength + Ed25519.PublicKeyLength;

    private readonly byte[] _protobuf;
    private readonly ICurve25519 _curve;
    private IEd25519Verifier? _verifier;

    internal PublicKey(ReadOnlySpan<byte> key, ICurve25519 curve)
    {
        _protobuf = new byte[ProtobufLength];
        KeyProtobuf.WriteHeader(_protobuf, Ed25519.PublicKeyLength);
        key.CopyTo(_protobuf.AsSpan(KeyProtobuf.HeaderLength));
        _curve = curve;
    }

    /// <summary>The kind of key.</summary>
    public KeyType Type => KeyType.Ed25519;

    /// <summary>The key's 32 bytes.</summary>
    public ReadOnlySpan<byte> Bytes => _protobuf.AsSpan(KeyProtobuf.HeaderLength);

    /// <summary>The key in libp2p's protobuf.</summary>
    public ReadOnlySpan<byte> Protobuf => _protobuf;

    /// <summary>The libp2p peer id, "12D3Koo…".</summary>
    public PeerId PeerId => PeerId.Of(_protobuf);

    /// <summary>The id of the user or node whose key this is: 27 characters.</summary>
    public LeitherId Id => LeitherId.Of(_protobuf);

    /// <summary>Takes the 32 bytes of a key; false if no honest maker of keys made them (<see cref="Ed25519.IsUsable"/>).</summary>
    public static bool TryCreate(ReadOnlySpan<byte> key, [NotNullWhen(true)] out PublicKey? publicKey) => TryCreate(key, Curve25519.Default, out publicKey);

    /// <summary>Reads a key from libp2p's protobuf; false if it is no usable key, or of another type.</summary>
    public static bool TryFromProtobuf(ReadOnlySpan<byte> protobuf, [NotNullWhen(true)] out PublicKey? publicKey)
    {
        publicKey = null;
        return KeyProtobuf.TryRead(protobuf, out ReadOnlySpan<byte> data) && TryCreate(data, out publicKey);
    }

    /// <summary>Whether the signature of this message was made with this key. One of another length was not.</summary>
    public bool Verify(ReadOnlySpan<byte> message, ReadOnlySpan<byte> signature)
    {
        // Two threads may both make one; either will do.
        _verifier ??= _curve.CreateVerifier(Bytes);
        return signature.Length == Ed25519.SignatureLength && _verifier.Verify(message, signature);
    }

    /// <inheritdoc/>
    public bool Equals(PublicKey? other) => other != null && _protobuf.AsSpan().SequenceEqual(other._protobuf);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as PublicKey);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        var hash = default(HashCode);
        hash.AddBytes(Bytes);
        return hash.ToHashCode();
    }

    /// <summary>The peer id.</summary>
    public override string ToString() => PeerId.ToString();

    internal static bool TryCreate(ReadOnlySpan<byte> key, ICurve25519 curve, [NotNullWhen(true)] out PublicKey? publicKey)
    {
        publicKey = Ed25519.IsUsable(key) ? new PublicKey(key, curve) : null;
        return publicKey != null;
    }
}
