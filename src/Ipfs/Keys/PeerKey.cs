// Who a peer is: a public key of any kind that libp2p knows. Nodes made in the last years have Ed25519 keys; older ones RSA, some secp256k1 or ECDSA, and
// their records and handshakes are checked here. Leither itself signs with Ed25519 only, hence no private keys of the other kinds.
//
//   RSA         data = SubjectPublicKeyInfo (DER)      signature = RSASSA-PKCS1-v1_5 over SHA-256
//   Ed25519     data = 32 bytes                        signature = 64 bytes (RFC 8032)
//   secp256k1   data = compressed point, 33 bytes      signature = DER of (r, s) over SHA-256
//   ECDSA       data = SubjectPublicKeyInfo (DER)      signature = DER of (r, s) over SHA-256
//
// https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md

using System.Diagnostics.CodeAnalysis;
using System.Numerics;
using System.Security.Cryptography;
using Leither.Ipfs.Multiformats;
using Org.BouncyCastle.Asn1.X9;
using Org.BouncyCastle.Crypto.Parameters;
using Org.BouncyCastle.Crypto.Signers;

namespace Leither.Ipfs.Keys;

/// <summary>The public key of a peer, of any of the four kinds. Equal when its bytes are; safe for any number of threads.</summary>
public abstract class PeerKey : IEquatable<PeerKey>
{
    /// <summary>The longest protobuf that is read: an RSA key of <see cref="MaxRsaBits"/> and its frame.</summary>
    public const int MaxProtobufLength = 2048;

    /// <summary>RSA keys below this are broken.</summary>
    public const int MinRsaBits = 2048;

    /// <summary>RSA keys above this only cost time.</summary>
    public const int MaxRsaBits = 8192;

    private readonly byte[] _protobuf;

    private PeerKey(KeyType type, byte[] protobuf)
    {
        Type = type;
        _protobuf = protobuf;
        PeerId = PeerId.Of(protobuf);
    }

    /// <summary>The kind of key.</summary>
    public KeyType Type { get; }

    /// <summary>The key in libp2p's protobuf.</summary>
    public ReadOnlySpan<byte> Protobuf => _protobuf;

    /// <summary>The peer's id.</summary>
    public PeerId PeerId { get; }

    /// <summary>An Ed25519 key as the key of a peer.</summary>
    public static PeerKey Of(PublicKey key) => new Ed25519PeerKey(key);

    /// <summary>The key of a peer whose id holds it whole.</summary>
    public static bool TryFromPeerId(PeerId id, [NotNullWhen(true)] out PeerKey? key)
    {
        key = null;
        Span<byte> protobuf = stackalloc byte[PeerId.MaxLength];
        return id.Multihash.Code == Multicodec.Identity && TryFromProtobuf(protobuf[..id.Multihash.CopyDigest(protobuf)], out key);
    }

    /// <summary>Reads a key from libp2p's protobuf, in its one encoding; false if it is no usable key.</summary>
    public static bool TryFromProtobuf(ReadOnlySpan<byte> protobuf, [NotNullWhen(true)] out PeerKey? key)
    {
        key = null;
        if (protobuf.Length is < 4 or > MaxProtobufLength || protobuf[0] != 0x08 || protobuf[1] > (byte)KeyType.Ecdsa || protobuf[2] != 0x12
            || !Varint.TryRead(protobuf[3..], out ulong length, out int used) || length != (ulong)(protobuf.Length - 3 - used))
        {
            return false;
        }

        ReadOnlySpan<byte> data = protobuf[(3 + used)..];
        key = (KeyType)protobuf[1] switch
        {
            KeyType.Ed25519 => PublicKey.TryCreate(data, out PublicKey? ed25519) ? new Ed25519PeerKey(ed25519) : null,
            KeyType.Rsa => RsaPeerKey.Create(data, protobuf),
            KeyType.Ecdsa => EcdsaPeerKey.Create(data, protobuf),
            _ => Secp256k1PeerKey.Create(data, protobuf),
        };
        return key != null;
    }

    /// <summary>Whether the signature of this message was made with this key.</summary>
    public abstract bool Verify(ReadOnlySpan<byte> message, ReadOnlySpan<byte> signature);

    /// <inheritdoc/>
    public bool Equals(PeerKey? other) => other != null && _protobuf.AsSpan().SequenceEqual(other._protobuf);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as PeerKey);

    /// <inheritdoc/>
    public override int GetHashCode() => PeerId.GetHashCode();

    /// <summary>The peer id.</summary>
    public override string ToString() => PeerId.ToString();

    private sealed class Ed25519PeerKey(PublicKey key) : PeerKey(KeyType.Ed25519, key.Protobuf.ToArray())
    {
        public override bool Verify(ReadOnlySpan<byte> message, ReadOnlySpan<byte> signature) => key.Verify(message, signature);
    }

    private sealed class RsaPeerKey : PeerKey
    {
        private readonly byte[] _subjectPublicKeyInfo;

        private RsaPeerKey(ReadOnlySpan<byte> data, ReadOnlySpan<byte> protobuf)
            : base(KeyType.Rsa, protobuf.ToArray())
        {
            _subjectPublicKeyInfo = data.ToArray();
        }

        public static RsaPeerKey? Create(ReadOnlySpan<byte> data, ReadOnlySpan<byte> protobuf)
        {
            try
            {
                using RSA? rsa = Import(data);
                return rsa == null ? null : new RsaPeerKey(data, protobuf);
            }
            catch (CryptographicException)
            {
                return null;
            }
        }

        // A key of the operating system for each call: it is not safe for several threads, and such peers are few.
        public override bool Verify(ReadOnlySpan<byte> message, ReadOnlySpan<byte> signature)
        {
            using RSA rsa = Import(_subjectPublicKeyInfo)!;
            return rsa.VerifyData(message, signature, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        }

        private static RSA? Import(ReadOnlySpan<byte> data)
        {
            RSA rsa = RSA.Create();
            try
            {
                rsa.ImportSubjectPublicKeyInfo(data, out int read);
                if (read == data.Length && rsa.KeySize is >= MinRsaBits and <= MaxRsaBits)
                {
                    return rsa;
                }

                rsa.Dispose();
                return null;
            }
            catch
            {
                rsa.Dispose();
                throw;
            }
        }
    }

    private sealed class EcdsaPeerKey : PeerKey
    {
        private readonly byte[] _subjectPublicKeyInfo;

        private EcdsaPeerKey(ReadOnlySpan<byte> data, ReadOnlySpan<byte> protobuf)
            : base(KeyType.Ecdsa, protobuf.ToArray())
        {
            _subjectPublicKeyInfo = data.ToArray();
        }

        public static EcdsaPeerKey? Create(ReadOnlySpan<byte> data, ReadOnlySpan<byte> protobuf)
        {
            try
            {
                using ECDsa key = ECDsa.Create();
                key.ImportSubjectPublicKeyInfo(data, out int read);
                return read == data.Length && key.KeySize is 256 or 384 or 521 ? new EcdsaPeerKey(data, protobuf) : null;
            }
            catch (CryptographicException)
            {
                return null;
            }
        }

        public override bool Verify(ReadOnlySpan<byte> message, ReadOnlySpan<byte> signature)
        {
            using ECDsa key = ECDsa.Create();
            key.ImportSubjectPublicKeyInfo(_subjectPublicKeyInfo, out _);
            try
            {
                return key.VerifyData(message, signature, HashAlgorithmName.SHA256, DSASignatureFormat.Rfc3279DerSequence);
            }
            catch (CryptographicException)
            {
                // Not DER.
                return false;
            }
        }
    }

    private sealed class Secp256k1PeerKey : PeerKey
    {
        private const int CompressedLength = 33;

        // p = 2^256 - 2^32 - 977; the curve is y² = x³ + 7. SEC 2, section 2.4.1.
        private static readonly BigInteger _p = BigInteger.Pow(2, 256) - BigInteger.Pow(2, 32) - 977;

        /// <summary>Where the operating system's library lacks the curve (macOS), Bouncy Castle has it.</summary>
        private static readonly bool _inSystem = IsInSystem();

        private readonly ECPoint _point;

        private Secp256k1PeerKey(ECPoint point, ReadOnlySpan<byte> protobuf)
            : base(KeyType.Secp256k1, protobuf.ToArray())
        {
            _point = point;
        }

        public static Secp256k1PeerKey? Create(ReadOnlySpan<byte> data, ReadOnlySpan<byte> protobuf)
        {
            if (data.Length != CompressedLength || data[0] is not (2 or 3))
            {
                return null;
            }

            var x = new BigInteger(data[1..], isUnsigned: true, isBigEndian: true);
            if (x >= _p)
            {
                return null;
            }

            // p = 3 mod 4, so a root of a square is its (p + 1) / 4th power.
            BigInteger square = (BigInteger.ModPow(x, 3, _p) + 7) % _p;
            BigInteger y = BigInteger.ModPow(square, (_p + 1) / 4, _p);
            if (BigInteger.ModPow(y, 2, _p) != square)
            {
                return null;
            }

            if (y.IsEven != (data[0] == 2))
            {
                y = _p - y;
            }

            byte[] yBytes = new byte[32];
            byte[] shortest = y.ToByteArray(isUnsigned: true, isBigEndian: true);
            shortest.CopyTo(yBytes, yBytes.Length - shortest.Length);
            return new Secp256k1PeerKey(new ECPoint { X = data[1..].ToArray(), Y = yBytes }, protobuf);
        }

        public override bool Verify(ReadOnlySpan<byte> message, ReadOnlySpan<byte> signature)
        {
            if (!_inSystem)
            {
                return VerifyManaged(message, signature);
            }

            using ECDsa key = ECDsa.Create(new ECParameters { Curve = ECCurve.CreateFromValue(Oid), Q = _point });
            try
            {
                return key.VerifyData(message, signature, HashAlgorithmName.SHA256, DSASignatureFormat.Rfc3279DerSequence);
            }
            catch (CryptographicException)
            {
                return false;
            }
        }

        private const string Oid = "1.3.132.0.10";

        private bool VerifyManaged(ReadOnlySpan<byte> message, ReadOnlySpan<byte> signature)
        {
            X9ECParameters curve = Org.BouncyCastle.Asn1.Sec.SecNamedCurves.GetByName("secp256k1");
            var domain = new ECDomainParameters(curve.Curve, curve.G, curve.N, curve.H);
            var signer = new DsaDigestSigner(new ECDsaSigner(), new Org.BouncyCastle.Crypto.Digests.Sha256Digest());
            signer.Init(false, new ECPublicKeyParameters(curve.Curve.DecodePoint([4, .. _point.X!, .. _point.Y!]), domain));
            signer.BlockUpdate(message.ToArray(), 0, message.Length);
            return signer.VerifySignature(signature.ToArray());
        }

        private static bool IsInSystem()
        {
            try
            {
                using ECDsa key = ECDsa.Create(ECCurve.CreateFromValue(Oid));
                return key.KeySize == 256;
            }
            catch (Exception e) when (e is CryptographicException or PlatformNotSupportedException)
            {
                return false;
            }
        }
    }
}
