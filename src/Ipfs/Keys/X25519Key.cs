using System.Security.Cryptography;

namespace Leither.Ipfs.Keys;

/// <summary>A private key of X25519 (RFC 7748), for agreeing on a secret in handshakes. Overwritten when it is disposed of.</summary>
public sealed class X25519Key : IDisposable
{
    /// <summary>How many bytes a private key, a public key and a secret have.</summary>
    public const int Length = 32;

    private readonly IX25519Agreement _agreement;
    private readonly byte[] _publicKey = new byte[Length];
    private bool _disposed;

    private X25519Key(ReadOnlySpan<byte> privateKey, ICurve25519 curve)
    {
        _agreement = curve.CreateAgreement(privateKey);
        _agreement.CopyPublicKey(_publicKey);
    }

    /// <summary>The public key, to be sent to the other side.</summary>
    public ReadOnlySpan<byte> PublicKey => _publicKey;

    /// <summary>Makes a new key.</summary>
    public static X25519Key Generate()
    {
        Span<byte> privateKey = stackalloc byte[Length];
        RandomNumberGenerator.Fill(privateKey);
        X25519Key key = Create(privateKey);
        CryptographicOperations.ZeroMemory(privateKey);
        return key;
    }

    /// <summary>Takes the 32 bytes that the key is made of.</summary>
    /// <exception cref="ArgumentException">They are not 32.</exception>
    public static X25519Key Create(ReadOnlySpan<byte> privateKey) => Create(privateKey, Curve25519.Default);

    /// <summary>
    /// The secret that both sides come to, in the first 32 bytes of <paramref name="secret"/>. False if the other's key has not 32 bytes, or is one that
    /// leads to the same secret whatever our own (RFC 7748, section 6.1): then no secret is shared, and the handshake ends.
    /// </summary>
    public bool TryAgree(ReadOnlySpan<byte> otherPublicKey, Span<byte> secret)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        return otherPublicKey.Length == Length && _agreement.TryAgree(otherPublicKey, secret[..Length]);
    }

    /// <summary>Overwrites the key.</summary>
    public void Dispose()
    {
        _disposed = true;
        _agreement.Dispose();
    }

    internal static X25519Key Create(ReadOnlySpan<byte> privateKey, ICurve25519 curve) =>
        privateKey.Length == Length ? new X25519Key(privateKey, curve) : throw new ArgumentException($"An X25519 key has {Length} bytes, not {privateKey.Length}.", nameof(privateKey));
}
