using System.Security.Cryptography;
using Leither.Ipfs.Keys;
using Leither.TestKit;
using Xunit;

namespace Leither.Ipfs.Tests.Keys;

/// <summary>The RFCs' vectors, over every implementation that there is here.</summary>
public sealed class Curve25519Tests
{
    // L, the order of the group, lowest byte first.
    private const string Order = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

    public static TheoryData<string> Implementations { get; } = OpenSslCurve25519.IsAvailable ? ["OpenSSL", "Bouncy Castle"] : ["Bouncy Castle"];

    private static ICurve25519 Named(string name) => name == "OpenSSL" ? new OpenSslCurve25519() : new ManagedCurve25519();

    [Fact]
    public void Linux_signs_with_OpenSSL()
    {
        Assert.Equal(OpenSslCurve25519.IsAvailable ? "OpenSSL" : "Bouncy Castle", Curve25519.Default.Name);
        Assert.True(OpenSslCurve25519.IsAvailable || !OperatingSystem.IsLinux(), "libcrypto.so.3 is missing");
    }

    /// <summary>RFC 8032, section 7.1: tests 1, 2, 3 and SHA(abc).</summary>
    [Theory]
    [MemberData(nameof(Implementations))]
    public void Ed25519_vectors(string implementation)
    {
        (string Seed, string PublicKey, string Message, string Signature)[] vectors =
        [
            ("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"),
            ("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"),
            ("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"),
            ("833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42", "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
                "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704"),
        ];
        foreach ((string seed, string publicKey, string message, string signature) in vectors)
        {
            using PrivateKey key = PrivateKey.FromSeed(Hex.Bytes(seed), Named(implementation));
            Assert.Equal(publicKey, Hex.Text(key.PublicKey.Bytes));
            Assert.Equal(signature, Hex.Text(key.Sign(Hex.Bytes(message))));
            Assert.True(key.PublicKey.Verify(Hex.Bytes(message), Hex.Bytes(signature)));
            Assert.False(key.PublicKey.Verify([.. Hex.Bytes(message), 0], Hex.Bytes(signature)));
        }
    }

    /// <summary>RFC 7748, section 5.2.</summary>
    [Theory]
    [MemberData(nameof(Implementations))]
    public void X25519_vectors(string implementation)
    {
        (string Scalar, string Point, string Result)[] vectors =
        [
            ("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4", "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
                "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"),
            ("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d", "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
                "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"),
        ];
        foreach ((string scalar, string point, string result) in vectors)
        {
            Assert.Equal(result, Agree(implementation, Hex.Bytes(scalar), Hex.Bytes(point)));
        }

        // The same function over and over: the result becomes the scalar, the scalar the point.
        byte[] k = new byte[32], u = new byte[32];
        k[0] = u[0] = 9;
        for (int i = 1; i <= 1000; i++)
        {
            (k, u) = (Hex.Bytes(Agree(implementation, k, u)), k);
            if (i == 1)
            {
                Assert.Equal("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079", Hex.Text(k));
            }
        }

        Assert.Equal("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51", Hex.Text(k));
    }

    /// <summary>RFC 7748, section 6.1.</summary>
    [Theory]
    [MemberData(nameof(Implementations))]
    public void X25519_agreement(string implementation)
    {
        using X25519Key alice = X25519Key.Create(Hex.Bytes("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"), Named(implementation));
        using X25519Key bob = X25519Key.Create(Hex.Bytes("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"), Named(implementation));
        Assert.Equal("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a", Hex.Text(alice.PublicKey));
        Assert.Equal("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f", Hex.Text(bob.PublicKey));
        byte[] secret = new byte[32];
        Assert.True(alice.TryAgree(bob.PublicKey, secret));
        Assert.Equal("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742", Hex.Text(secret));
        Assert.True(bob.TryAgree(alice.PublicKey, secret));
        Assert.Equal("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742", Hex.Text(secret));
    }

    /// <summary>The points of small order: whatever the private key, the secret would be zero.</summary>
    [Theory]
    [MemberData(nameof(Implementations))]
    public void X25519_refuses_keys_that_share_no_secret(string implementation)
    {
        using X25519Key key = X25519Key.Create(RandomNumberGenerator.GetBytes(32), Named(implementation));
        byte[] secret = new byte[32];
        foreach (string point in (string[])
            [
                "0000000000000000000000000000000000000000000000000000000000000000", "0100000000000000000000000000000000000000000000000000000000000000",
                "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800", "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
                "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            ])
        {
            Assert.False(key.TryAgree(Hex.Bytes(point), secret), point);
        }

        Assert.False(key.TryAgree(new byte[31], secret));
        Assert.False(key.TryAgree(new byte[33], secret));
    }

    [Theory]
    [MemberData(nameof(Implementations))]
    public void A_signature_has_one_form_and_one_length(string implementation)
    {
        using PrivateKey key = PrivateKey.FromSeed(new byte[32], Named(implementation));
        byte[] message = "message"u8.ToArray(), signature = key.Sign(message);
        Assert.True(key.PublicKey.Verify(message, signature));
        Assert.False(key.PublicKey.Verify(message, signature.AsSpan(0, 63)));
        Assert.False(key.PublicKey.Verify(message, [.. signature, 0]));
        Assert.False(key.PublicKey.Verify(message, []));
        Assert.False(key.PublicKey.Verify(message, new byte[64]));
        for (int bit = 0; bit < 512; bit++)
        {
            signature[bit >> 3] ^= (byte)(1 << (bit & 7));
            Assert.False(key.PublicKey.Verify(message, signature));
            signature[bit >> 3] ^= (byte)(1 << (bit & 7));
        }

        // S + L is the same number modulo L; taking it would give every signature a second form.
        byte[] order = Hex.Bytes(Order), other = (byte[])signature.Clone();
        int carry = 0;
        for (int i = 0; i < 32; i++)
        {
            carry += other[32 + i] + order[i];
            other[32 + i] = (byte)carry;
            carry >>= 8;
        }

        Assert.Equal(0, carry);
        Assert.False(key.PublicKey.Verify(message, other));
    }

    [Fact]
    public void Public_keys_that_no_honest_maker_makes_are_refused()
    {
        foreach (string y in (string[])
            [
                "0000000000000000000000000000000000000000000000000000000000000000", "0100000000000000000000000000000000000000000000000000000000000000",
                "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
                "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // -1: the last of small order
                "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // p: 0 in another form
                "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            ])
        {
            byte[] key = Hex.Bytes(y);
            Assert.False(PublicKey.TryCreate(key, out _), y);
            key[31] |= 0x80;
            Assert.False(PublicKey.TryCreate(key, out _), y);
        }

        Assert.False(PublicKey.TryCreate(new byte[31], out _));
        Assert.False(PublicKey.TryCreate(new byte[33], out _));
        Assert.False(PublicKey.TryCreate([], out _));
        Assert.True(PublicKey.TryCreate(Hex.Bytes("ebffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"), out _));
    }

    [Theory]
    [MemberData(nameof(Implementations))]
    public void Bytes_that_are_no_point_verify_nothing(string implementation)
    {
        // y = 2 has no x on the curve.
        byte[] key = new byte[32];
        key[0] = 2;
        Assert.True(PublicKey.TryCreate(key, Named(implementation), out PublicKey? publicKey));
        Assert.False(publicKey.Verify("message"u8, new byte[64]));
        byte[] signature = new byte[64];
        signature[0] = 1;
        Assert.False(publicKey.Verify("message"u8, signature));
    }

    [Fact]
    public void Implementations_agree_on_random_keys_and_messages() => Seed.Run(random =>
    {
        ICurve25519 managed = new ManagedCurve25519(), other = Curve25519.Default;
        for (int i = 0; i < (Seed.IsLong ? 2000 : 40); i++)
        {
            byte[] seed = new byte[32], message = new byte[random.Next(300)], point = new byte[32];
            random.NextBytes(seed);
            random.NextBytes(message);
            random.NextBytes(point);
            using PrivateKey a = PrivateKey.FromSeed(seed, managed), b = PrivateKey.FromSeed(seed, other);
            Assert.Equal(a.PublicKey, b.PublicKey);
            byte[] signature = a.Sign(message);
            Assert.Equal(signature, b.Sign(message));
            Assert.True(a.PublicKey.Verify(message, signature) && b.PublicKey.Verify(message, signature));
            signature[random.Next(64)] ^= (byte)(1 << random.Next(8));
            Assert.False(a.PublicKey.Verify(message, signature) || b.PublicKey.Verify(message, signature));
            Assert.Equal(Agree("Bouncy Castle", seed, point), Agree(other.Name, seed, point));

            // Points that are no one's public key, and signatures that nobody made: both say no.
            if (PublicKey.TryCreate(point, managed, out PublicKey? foreign))
            {
                PublicKey.TryCreate(point, other, out PublicKey? same);
                Assert.False(foreign.Verify(message, signature) || same!.Verify(message, signature));
            }
        }
    });

    private static string Agree(string implementation, byte[] scalar, byte[] point)
    {
        using X25519Key key = X25519Key.Create(scalar, Named(implementation));
        byte[] secret = new byte[32];
        Assert.True(key.TryAgree(point, secret));
        return Hex.Text(secret);
    }
}
