using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;

namespace Leither.Ipfs.Keys;

/// <summary>
/// An Ed25519 private key. Its 32 bytes lie in memory that is never moved and are overwritten when it is disposed of. Safe for any number of threads
/// until then.
/// </summary>
public sealed class PrivateKey : IDisposable
{
    /// <summary>How many bytes the key takes in libp2p's protobuf: the seed and the public key.</summary>
    public const int ProtobufLength = KeyProtobuf.HeaderLength + Ed25519.SeedLength + Ed25519.PublicKeyLength;

    // What go-libp2p wrote once: the public key twice.
    private const int OldDataLength = Ed25519.SeedLength + 2 * Ed25519.PublicKeyLength;

    private readonly byte[] _seed;
    private readonly IEd25519Signer _signer;
    private bool _disposed;

    private PrivateKey(ReadOnlySpan<byte> seed, ICurve25519 curve)
    {
        _seed = Curve25519.CopySecret(seed);
        _signer = curve.CreateSigner(seed);
        Span<byte> publicKey = stackalloc byte[Ed25519.PublicKeyLength];
        _signer.CopyPublicKey(publicKey);
        PublicKey = new PublicKey(publicKey, curve);
    }

    /// <summary>The public key that belongs to it.</summary>
    public PublicKey PublicKey { get; }

    /// <summary>Makes a new key.</summary>
    public static PrivateKey Generate()
    {
        Span<byte> seed = stackalloc byte[Ed25519.SeedLength];
        RandomNumberGenerator.Fill(seed);
        PrivateKey key = FromSeed(seed);
        CryptographicOperations.ZeroMemory(seed);
        return key;
    }

    /// <summary>Takes the 32 bytes that the key is made of.</summary>
    /// <exception cref="ArgumentException">They are not 32.</exception>
    public static PrivateKey FromSeed(ReadOnlySpan<byte> seed) => FromSeed(seed, Curve25519.Default);

    /// <summary>Reads a key from libp2p's protobuf; false if it is none of Ed25519, or its two halves do not belong together.</summary>
    public static bool TryFromProtobuf(ReadOnlySpan<byte> protobuf, [NotNullWhen(true)] out PrivateKey? key)
    {
        key = null;
        if (!KeyProtobuf.TryRead(protobuf, out ReadOnlySpan<byte> data)
            || data.Length is not (Ed25519.SeedLength + Ed25519.PublicKeyLength or OldDataLength))
        {
            return false;
        }

        PrivateKey read = FromSeed(data[..Ed25519.SeedLength]);
        for (int at = Ed25519.SeedLength; at < data.Length; at += Ed25519.PublicKeyLength)
        {
            if (!read.PublicKey.Bytes.SequenceEqual(data.Slice(at, Ed25519.PublicKeyLength)))
            {
                read.Dispose();
                return false;
            }
        }

        key = read;
        return true;
    }

    /// <summary>Signs a message.</summary>
    public byte[] Sign(ReadOnlySpan<byte> message)
    {
        byte[] signature = new byte[Ed25519.SignatureLength];
        Sign(message, signature);
        return signature;
    }

    /// <summary>Signs a message into the first 64 bytes of <paramref name="signature"/>.</summary>
    public void Sign(ReadOnlySpan<byte> message, Span<byte> signature)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        _signer.Sign(message, signature[..Ed25519.SignatureLength]);
    }

    /// <summary>Copies the 32 bytes that the key is made of. Whoever asks for them overwrites them after use.</summary>
    public void CopySeed(Span<byte> destination)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        _seed.CopyTo(destination);
    }

    /// <summary>Writes the key in libp2p's protobuf: <see cref="ProtobufLength"/> bytes. Whoever asks for them overwrites them after use.</summary>
    public void CopyProtobuf(Span<byte> destination)
    {
        KeyProtobuf.WriteHeader(destination, Ed25519.SeedLength + Ed25519.PublicKeyLength);
        CopySeed(destination[KeyProtobuf.HeaderLength..]);
        PublicKey.Bytes.CopyTo(destination[(KeyProtobuf.HeaderLength + Ed25519.SeedLength)..]);
    }

    /// <summary>Overwrites the key.</summary>
    public void Dispose()
    {
        _disposed = true;
        CryptographicOperations.ZeroMemory(_seed);
        _signer.Dispose();
    }

    internal static PrivateKey FromSeed(ReadOnlySpan<byte> seed, ICurve25519 curve) =>
        seed.Length == Ed25519.SeedLength ? new PrivateKey(seed, curve) : throw new ArgumentException($"An Ed25519 seed has {Ed25519.SeedLength} bytes, not {seed.Length}.", nameof(seed));
}
