using System.Security.Cryptography;
using Leither.Ipfs.Keys;
using Xunit;

namespace Leither.Ipfs.Tests.Keys;

public sealed class PeerKeyTests
{
    private const string Rsa =
        "080012a60430820222300d06092a864886f70d01010105000382020f003082020a0282020100e1beab071d08200bde24eef00d049449b07770ff9910257b2d7d5dda242ce8f0e2f12e1af4b32d9efd2c" +
        "090f66b0f29986dbb645dae9880089704a94e5066d594162ae6ee8892e6ec70701db0a6c445c04778eb3de1293aa1a23c3825b85c6620a2bc3f82f9b0c309bc0ab3aeb1873282bebd3da03c33e76c21e" +
        "9beb172fd44c9e43be32e2c99827033cf8d0f0c606f4579326c930eb4e854395ad941256542c793902185153c474bed109d6ff5141ebf9cd256cf58893a37f83729f97e7cb435ec679d2e33901d27bb3" +
        "5aa0d7e20561da08885ef0abbf8e2fb48d6a5487047a9ecb1ad41fa7ed84f6e3e8ecd5d98b3982d2a901b4454991766da295ab78822add5612a2df83bcee814cf50973e80d7ef38111b1bd87da2ae924" +
        "38a2c8cbcc70b31ee319939a3b9c761dbc13b5c086d6b64bf7ae7dacc14622375d92a8ff9af7eb962162bbddebf90acb32adb5e4e4029f1c96019949ecfbfeffd7ac1e3fbcc6b6168c34be3d5a2e5999" +
        "fcbb39bba7adbca78eab09b9bc39f7fa4b93411f4cc175e70c0a083e96bfaefb04a9580b4753c1738a6a760ae1afd851a1a4bdad231cf56e9284d832483df215a46c1c21bdf0c6cfe951c18f1ee4078c" +
        "79c13d63edb6e14feaeffabc90ad317e4875fe648101b0864097e998f0ca3025ef9638cd2b0caecd3770ab54a1d9c6ca959b0f5dcbc90caeefc4135baca6fd475224269bbe1b0203010001";

    private const string Ecdsa = "0803125b3059301306072a8648ce3d020106082a8648ce3d03010703420004de3d300fa36ae0e8f5d530899d83abab44abf3161f162a4bc901d8e6ecda020e"
        + "8b6d5f8da30525e71d6851510c098e5c47c646a597fb4dcec034e9f77c409e62";

    private const string EcdsaPrivate = "307702010104203E5B1FE9712E6C314942A750BD67485DE3C1EFE85B1BFB520AE8F9AE3DFA4A4CA00A06082A8648CE3D030107A14403420004"
        + "DE3D300FA36AE0E8F5D530899D83ABAB44ABF3161F162A4BC901D8E6ECDA020E8B6D5F8DA30525E71D6851510C098E5C47C646A597FB4DCEC034E9F77C409E62";

    private const string Secp256k1 = "08021221037777e994e452c21604f91de093ce415f5432f701dd8cd1a7a6fea0e630bfca99";
    private const string Secp256k1Private = "53DADF1D5A164D6B4ACDB15E24AA4C5B1D3461BDBD42ABEDB0A4404D56CED8FB";
    private const string Ed25519 = "080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e";

    private static readonly byte[] _message = "libp2p-tls-handshake:"u8.ToArray();

    /// <summary>The keys of the specification's test vectors.</summary>
    [Theory]
    [InlineData(KeyType.Rsa, Rsa)]
    [InlineData(KeyType.Ed25519, Ed25519)]
    [InlineData(KeyType.Secp256k1, Secp256k1)]
    [InlineData(KeyType.Ecdsa, Ecdsa)]
    public void Published_keys_are_read(KeyType type, string hex)
    {
        Assert.True(PeerKey.TryFromProtobuf(Hex.Bytes(hex), out PeerKey? key));
        Assert.Equal(type, key.Type);
        Assert.Equal(hex, Hex.Text(key.Protobuf));
        Assert.Equal(PeerId.Of(Hex.Bytes(hex)), key.PeerId);
        Assert.Equal(type is KeyType.Ed25519 or KeyType.Secp256k1, PeerKey.TryFromPeerId(key.PeerId, out PeerKey? inId));
        Assert.True(inId == null || inId.Equals(key));
        Assert.False(key.Verify(_message, new byte[64]));
        Assert.False(key.Verify(_message, []));
    }

    [Fact]
    public void Ed25519_signatures_are_verified()
    {
        using var key = PrivateKey.Generate();
        Check(PeerKey.Of(key.PublicKey), key.Sign(_message));
        Assert.True(PeerKey.TryFromProtobuf(key.PublicKey.Protobuf, out PeerKey? read));
        Assert.Equal(PeerKey.Of(key.PublicKey), read);
        Assert.Equal(key.PublicKey.PeerId, read.PeerId);
    }

    [Fact]
    public void ECDSA_signatures_are_verified()
    {
        using var key = ECDsa.Create();
        key.ImportECPrivateKey(Convert.FromHexString(EcdsaPrivate), out _);
        Assert.True(PeerKey.TryFromProtobuf(Hex.Bytes(Ecdsa), out PeerKey? read));
        Check(read, key.SignData(_message, HashAlgorithmName.SHA256, DSASignatureFormat.Rfc3279DerSequence));
    }

    [Fact]
    public void Secp256k1_signatures_are_verified()
    {
        Assert.True(PeerKey.TryFromProtobuf(Hex.Bytes(Secp256k1), out PeerKey? read));
        using var key = ECDsa.Create(new ECParameters { Curve = ECCurve.CreateFromValue("1.3.132.0.10"), D = Convert.FromHexString(Secp256k1Private) });
        Check(read, key.SignData(_message, HashAlgorithmName.SHA256, DSASignatureFormat.Rfc3279DerSequence));
        // Keys with either half of the curve.
        for (int i = 0; i < 8; i++)
        {
            using var fresh = ECDsa.Create(ECCurve.CreateFromValue("1.3.132.0.10"));
            ECPoint point = fresh.ExportParameters(false).Q;
            byte[] protobuf = [0x08, 0x02, 0x12, 0x21, (byte)(2 + (point.Y![31] & 1)), .. point.X!];
            Assert.True(PeerKey.TryFromProtobuf(protobuf, out PeerKey? other));
            Check(other, fresh.SignData(_message, HashAlgorithmName.SHA256, DSASignatureFormat.Rfc3279DerSequence));
        }
    }

    [Fact]
    public void RSA_signatures_are_verified()
    {
        using var key = RSA.Create(2048);
        byte[] data = key.ExportSubjectPublicKeyInfo();
        byte[] protobuf = [0x08, 0x00, 0x12, (byte)(data.Length | 0x80), (byte)(data.Length >> 7), .. data];
        Assert.True(PeerKey.TryFromProtobuf(protobuf, out PeerKey? read));
        Check(read, key.SignData(_message, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1));
        Assert.False(PeerKey.TryFromPeerId(read.PeerId, out _));
        Assert.False(PeerKey.TryFromProtobuf([.. protobuf, 0], out _));
    }

    [Fact]
    public void Weak_and_oversized_keys_are_refused()
    {
        using var weak = RSA.Create(1024);
        byte[] data = weak.ExportSubjectPublicKeyInfo();
        Assert.False(PeerKey.TryFromProtobuf([0x08, 0x00, 0x12, (byte)(data.Length | 0x80), (byte)(data.Length >> 7), .. data], out _));
        Assert.False(PeerKey.TryFromProtobuf([0x08, 0x00, 0x12, 0x80, 0x20, .. new byte[4096]], out _));
    }

    [Theory]
    [InlineData("")]
    [InlineData("08041200")]
    [InlineData("08021221047777e994e452c21604f91de093ce415f5432f701dd8cd1a7a6fea0e630bfca99")] // neither half
    [InlineData("08021221020000000000000000000000000000000000000000000000000000000000000005")] // not on the curve
    [InlineData("0802122102fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f")] // x = p
    [InlineData("0803125b00000000")]
    [InlineData("0800120430003000")]
    public void What_is_no_key_is_refused(string hex) => Assert.False(PeerKey.TryFromProtobuf(Hex.Bytes(hex), out _));

    private static void Check(PeerKey key, byte[] signature)
    {
        Assert.True(key.Verify(_message, signature));
        Assert.False(key.Verify([.. _message, 0], signature));
        Assert.False(key.Verify(_message, signature.AsSpan()[..^1]));
        signature[^1] ^= 1;
        Assert.False(key.Verify(_message, signature));
    }
}
