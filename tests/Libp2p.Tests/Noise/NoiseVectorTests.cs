using Leither.Ipfs.Keys;
using Leither.Libp2p.Noise;
using Xunit;

namespace Leither.Libp2p.Tests.Noise;

/// <summary>The handshake and what follows it, byte for byte as other implementations make them: vectors published with cacophony and snow.</summary>
public sealed class NoiseVectorTests
{
    [Theory]
    [InlineData("4a6f686e2047616c74",
        "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1", "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a",
        "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893", "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b",
        "c8e5f64e846193be2a834104c2a009868d6c9f3bd3c186299888b488b2f1f58e",
        "4c756477696720766f6e204d69736573 ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c79444c756477696720766f6e204d69736573\n"
        + "4d757272617920526f746862617264 95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f14480884381cbad1f276e038c48378ffce2b65285e08d6b68aaa3629a5a8639392490e5b9"
        + "bd5269c2f1e4f488ed8831161f19b7815528f8982ffe09be9b5c412f8a0db50f8814c7194e83f23dbd8d162c9326ad\n"
        + "462e20412e20486179656b c7195ffacac1307ff99046f219750fc47693e23c3cb08b89c2af808b444850a80ae475b9df0f169ae80a89be0865b57f58c9fea0d4ec82a286427402f113e4b6"
        + "ae769a1d95941d49b25030\n"
        + "4361726c204d656e676572 96763ed773f8e47bb3712f0e29b3060ffc956ffc146cee53d5e1df\n"
        + "4a65616e2d426170746973746520536179 3e40f15f6f3a46ae446b253bf8b1d9ffb6ed9b174d272328ff91a7e2e5c79c07f5\n"
        + "457567656e2042f6686d20766f6e2042617765726b eb3f3515110702e047a6c9da4478b6ead94873c11c0f2d710ddb3f09fce024b3a58502ae3f")]
    [InlineData("5468657265206973206e6f20726967687420616e642077726f6e672e2054686572652773206f6e6c792066756e20616e6420626f72696e672e",
        "7dec208517a3b81a2861d7a71266d5d6dc944c5a8816634a86fe63198a0148ee", "a32daf21e93c0131495ce1d903181fde81cc46937daaeb990bae7c992709421e",
        "4d0aed5098e3b4ef20357e9f686ce66204c792b358da2e475017d6c485304881", "4eece0f195d026db035ff987597c429d3ad3bcc2944df37d649528951b2a27c5",
        "",
        "d03c489139e645d0711a3c9e810d776b46a84912463fafa87b884eebf242dc34 f9fa868ba97ab8a2686deccfaad5a484ee10a5bb85e3d1dce015a84797f92818d03c489139e645d0711a3c9e810d776b46a84912463fafa87b884eebf242dc34\n"
        + "d8190a92f7dc0c93dbea9118ba8055751fb7c6590c416ffbd419964132b99a85 8c4e6fdb7d09d501a86f7eca5c234522751706ed409182c05cdf5f827d4dae47b81c6c5f43b025692c24391eefee725c"
        + "17d8cb0fbe3e4abb8aedf42c4fd2592d4ea48ac08989d6ae8b4adae08b2c34087c808c7aa55a63c02b0fab9e930612336bd43eaea04d3c670a0a146691aa9cc9d357872320dc735dbc48580cffb553db\n"
        + "77891b19dcb92ef7c055b672c4a5aa7fdf1c84146b8b303459022729473ce254 933ca6b5ed60df3df66121f0ab49a09e49efa45c613a86a3cecbf4c535cef2f8"
        + "3f72b42837b18e3572f2fdc2b74c331e2368a545cef54bdca081678ab0e9dd5348122459e0c034c851984d88ce610963d43cde6cfe73a67fbd5a63e8bfca96d0\n"
        + "d7efdf988072881941db045a42882433817555128fbf5663e56081712ec7d212 54ef0ff0629e1aaa7685a2806ab111cba76b52331f2642276736f415868eacb69ab2577f3bda0cbf72f879685f6ed25f\n"
        + "dd7bf01a588bafb52c6cfba952e5d8fe35cc2b3f92b4730ae2474615157345ce 356be70f110306d5c699bb834bb9d58d909e325924dfbec972e406e6f294dc63e1daebefe8a62a334facc8048ab4ad66")]
    public void Noise_XX_25519_ChaChaPoly_SHA256(string prologue, string initiatorStatic, string initiatorEphemeral, string responderStatic, string responderEphemeral, string hash, string messages)
    {
        using var keyOfInitiator = X25519Key.Create(Hex.Bytes(initiatorStatic));
        using var keyOfResponder = X25519Key.Create(Hex.Bytes(responderStatic));
        using var initiator = new NoiseHandshake(true, keyOfInitiator, Hex.Bytes(prologue), X25519Key.Create(Hex.Bytes(initiatorEphemeral)));
        using var responder = new NoiseHandshake(false, keyOfResponder, Hex.Bytes(prologue), X25519Key.Create(Hex.Bytes(responderEphemeral)));
        (string Payload, string CipherText)[] lines = [.. messages.Split('\n').Select(line => line.Split(' ')).Select(pair => (pair[0], pair[1]))];
        for (int i = 0; i < 3; i++)
        {
            (NoiseHandshake from, NoiseHandshake to) = i % 2 == 0 ? (initiator, responder) : (responder, initiator);
            byte[] message = new byte[1024];
            int length = from.WriteMessage(Hex.Bytes(lines[i].Payload), message);
            Assert.Equal(lines[i].CipherText, Hex.Text(message.AsSpan(0, length)));
            byte[] payload = new byte[1024];
            int payloadLength = to.ReadMessage(message.AsSpan(0, length), payload);
            Assert.Equal(lines[i].Payload, Hex.Text(payload.AsSpan(0, payloadLength)));
        }

        Assert.True(initiator.IsComplete && responder.IsComplete);
        Assert.Equal(keyOfInitiator.PublicKey.ToArray(), responder.RemoteStatic.ToArray());
        Assert.Equal(keyOfResponder.PublicKey.ToArray(), initiator.RemoteStatic.ToArray());
        Assert.Equal(Hex.Text(responder.HandshakeHash), Hex.Text(initiator.HandshakeHash));
        if (hash.Length > 0)
        {
            Assert.Equal(hash, Hex.Text(initiator.HandshakeHash));
        }

        (NoiseCipher Send, NoiseCipher Receive) one = initiator.Split(), other = responder.Split();
        for (int i = 3; i < lines.Length; i++)
        {
            (NoiseCipher seal, NoiseCipher open) = i % 2 == 0 ? (one.Send, other.Receive) : (other.Send, one.Receive);
            byte[] frame = [.. Hex.Bytes(lines[i].Payload), .. new byte[NoiseCipher.TagLength]];
            seal.Seal(frame);
            Assert.Equal(lines[i].CipherText, Hex.Text(frame));
            Assert.True(open.TryOpen(frame));
            Assert.Equal(lines[i].Payload, Hex.Text(frame.AsSpan(0, frame.Length - NoiseCipher.TagLength)));
        }
    }

    /// <summary>RFC 8439, appendix A.5: the one published vector whose nonce begins with four zero bytes. Both implementations of the cipher.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void ChaCha20_Poly1305_of_RFC_8439(bool managed)
    {
        const string CipherText = """
            64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43eea09ee94e382d26b0bdb7b73c321b0100d4f03b7f355894cf332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c8559797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4b9166c767b804d46a59b5216cde7a4e99040c5a40433225ee282a1b0a06c523eaf4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a6727627097a1049e617d91d361094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c29a6ad5cb4022b02709b
            """;
        byte[] key = Hex.Bytes("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0");
        byte[] associated = Hex.Bytes("f33388860000000000004e91");
        byte[] tag = Hex.Bytes("eead9d67890cbb22392336fea1851f38");
        // The nonce 00000000 0102030405060708 is this counter, lowest byte first.
        const ulong Counter = 0x0807060504030201;
        using ChaChaPoly cipher = managed ? new ChaChaPoly.ManagedCipher(key) : ChaChaPoly.Create(key);
        byte[] text = Hex.Bytes(CipherText.Trim());
        Assert.True(cipher.TryOpen(Counter, associated, text, tag));
        Assert.StartsWith("Internet-Drafts are draft documents valid for a maximum of six months", System.Text.Encoding.UTF8.GetString(text), StringComparison.Ordinal);
        byte[] written = new byte[16];
        cipher.Seal(Counter, associated, text, written);
        Assert.Equal(CipherText.Trim(), Hex.Text(text));
        Assert.Equal(tag, written);
        text[0] ^= 1;
        Assert.False(cipher.TryOpen(Counter, associated, text, tag));
    }

    [Fact]
    public void Both_implementations_of_the_cipher_agree()
    {
        byte[] key = [.. Enumerable.Range(0, 32).Select(i => (byte)i)];
        using var one = ChaChaPoly.Create(key);
        using var other = new ChaChaPoly.ManagedCipher(key);
        for (int length = 0; length < 300; length++)
        {
            byte[] text = [.. Enumerable.Range(0, length).Select(i => (byte)(i * 7))];
            byte[] associated = text[..(length / 3)];
            byte[] sealedText = [.. text], tag = new byte[16], otherTag = new byte[16], otherText = [.. text];
            one.Seal((ulong)length, associated, sealedText, tag);
            other.Seal((ulong)length, associated, otherText, otherTag);
            Assert.Equal(sealedText, otherText);
            Assert.Equal(tag, otherTag);
            Assert.True(other.TryOpen((ulong)length, associated, sealedText, tag));
            Assert.Equal(text, sealedText);
        }
    }
}
