// Ed25519 (RFC 8032) and X25519 (RFC 7748) are what libp2p signs and agrees on keys with, and .NET 10 has neither. Two implementations stand behind
// one interface and pass the same vectors: OpenSSL's libcrypto, which .NET itself loads on Linux, and Bouncy Castle in managed code elsewhere,
// about half as fast. Callers use PrivateKey, PublicKey and X25519Key, which check lengths and points before anything comes here.

using System.Runtime.InteropServices;

namespace Leither.Ipfs.Keys;

/// <summary>An implementation of the two curve functions. Its objects may be used by several threads at once.</summary>
internal interface ICurve25519
{
    string Name { get; }

    IEd25519Signer CreateSigner(ReadOnlySpan<byte> seed);

    IEd25519Verifier CreateVerifier(ReadOnlySpan<byte> publicKey);

    IX25519Agreement CreateAgreement(ReadOnlySpan<byte> privateKey);
}

/// <summary>A private key for signing. Disposing of it overwrites what it holds.</summary>
internal interface IEd25519Signer : IDisposable
{
    void CopyPublicKey(Span<byte> destination);

    void Sign(ReadOnlySpan<byte> message, Span<byte> signature);
}

/// <summary>A public key for verifying.</summary>
internal interface IEd25519Verifier
{
    bool Verify(ReadOnlySpan<byte> message, ReadOnlySpan<byte> signature);
}

/// <summary>A private key for agreeing on a secret. Disposing of it overwrites what it holds.</summary>
internal interface IX25519Agreement : IDisposable
{
    void CopyPublicKey(Span<byte> destination);

    /// <summary>False if the other's key leads to the all-zero secret, whatever our own (RFC 7748, section 6.1).</summary>
    bool TryAgree(ReadOnlySpan<byte> otherPublicKey, Span<byte> secret);
}

/// <summary>Which implementation is used.</summary>
internal static class Curve25519
{
    /// <summary>libcrypto where it loads and knows both functions, else the managed one.</summary>
    public static ICurve25519 Default { get; } = OpenSslCurve25519.IsAvailable ? new OpenSslCurve25519() : new ManagedCurve25519();

    /// <summary>Memory for a secret: the collector does not move it, so overwriting it leaves no copy behind.</summary>
    public static byte[] CopySecret(ReadOnlySpan<byte> secret)
    {
        byte[] copy = GC.AllocateUninitializedArray<byte>(secret.Length, pinned: true);
        secret.CopyTo(copy);
        return copy;
    }

    /// <summary>A pointer that is never null, also to no bytes: C code may object to null whatever the length.</summary>
    public static ref byte Reference(ReadOnlySpan<byte> bytes) =>
        ref bytes.IsEmpty ? ref MemoryMarshal.GetArrayDataReference(_one) : ref MemoryMarshal.GetReference(bytes);

    private static readonly byte[] _one = new byte[1];
}
