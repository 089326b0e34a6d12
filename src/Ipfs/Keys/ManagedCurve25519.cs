using System.Security.Cryptography;
using BouncyEd25519 = Org.BouncyCastle.Math.EC.Rfc8032.Ed25519;
using BouncyX25519 = Org.BouncyCastle.Math.EC.Rfc7748.X25519;

namespace Leither.Ipfs.Keys;

/// <summary>The curve functions of Bouncy Castle: its arithmetic on plain arrays, so that secrets lie where we put them.</summary>
internal sealed class ManagedCurve25519 : ICurve25519
{
    public string Name => "Bouncy Castle";

    public IEd25519Signer CreateSigner(ReadOnlySpan<byte> seed) => new Signer(Curve25519.CopySecret(seed));

    public IEd25519Verifier CreateVerifier(ReadOnlySpan<byte> publicKey) => new Verifier(publicKey.ToArray());

    public IX25519Agreement CreateAgreement(ReadOnlySpan<byte> privateKey) => new Agreement(Curve25519.CopySecret(privateKey));

    private sealed class Signer : IEd25519Signer
    {
        private readonly byte[] _seed;
        private readonly byte[] _publicKey = new byte[Ed25519.PublicKeyLength];

        public Signer(byte[] seed)
        {
            _seed = seed;
            BouncyEd25519.GeneratePublicKey(seed, 0, _publicKey, 0);
        }

        public void CopyPublicKey(Span<byte> destination) => _publicKey.CopyTo(destination);

        public void Sign(ReadOnlySpan<byte> message, Span<byte> signature)
        {
            byte[] result = new byte[Ed25519.SignatureLength];
            BouncyEd25519.Sign(_seed, 0, _publicKey, 0, message.ToArray(), 0, message.Length, result, 0);
            result.CopyTo(signature);
        }

        public void Dispose() => CryptographicOperations.ZeroMemory(_seed);
    }

    private sealed class Verifier(byte[] publicKey) : IEd25519Verifier
    {
        public bool Verify(ReadOnlySpan<byte> message, ReadOnlySpan<byte> signature) =>
            BouncyEd25519.Verify(signature.ToArray(), 0, publicKey, 0, message.ToArray(), 0, message.Length);
    }

    private sealed class Agreement(byte[] privateKey) : IX25519Agreement
    {
        public void CopyPublicKey(Span<byte> destination)
        {
            byte[] result = new byte[X25519Key.Length];
            BouncyX25519.ScalarMultBase(privateKey, 0, result, 0);
            result.CopyTo(destination);
        }

        public bool TryAgree(ReadOnlySpan<byte> otherPublicKey, Span<byte> secret)
        {
            byte[] result = Curve25519.CopySecret(stackalloc byte[X25519Key.Length]);
            bool agreed = BouncyX25519.CalculateAgreement(privateKey, 0, otherPublicKey.ToArray(), 0, result, 0);
            result.CopyTo(secret);
            CryptographicOperations.ZeroMemory(result);
            return agreed;
        }

        public void Dispose() => CryptographicOperations.ZeroMemory(privateKey);
    }
}
