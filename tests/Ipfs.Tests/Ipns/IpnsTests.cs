using System.Security.Cryptography;
using System.Text;
using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Ipns;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.TestKit;
using Xunit;

namespace Leither.Ipfs.Tests.Ipns;

public sealed class IpnsTests : IDisposable
{
    private static readonly DateTimeOffset _now = new(2026, 1, 2, 3, 4, 5, TimeSpan.Zero);

    private readonly PrivateKey _key = PrivateKey.FromSeed(Enumerable.Range(0, 32).Select(i => (byte)i).ToArray());

    public void Dispose() => _key.Dispose();

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_record_says_what_was_put_in_and_belongs_to_its_name(bool isLegacy)
    {
        IpnsRecord made = IpnsRecord.Create(_key, "/ipfs/bafkqaddwgevxmmraojswg33smq", 7, _now.AddHours(1), TimeSpan.FromSeconds(60), isLegacy);
        IpnsRecord record = IpnsRecord.ReadValid(_key.PublicKey.PeerId, made.Bytes, _now);
        Assert.Equal("/ipfs/bafkqaddwgevxmmraojswg33smq", record.Value);
        Assert.Equal((7UL, _now.AddHours(1), TimeSpan.FromSeconds(60)), (record.Sequence, record.Validity, record.Ttl));
        Assert.Equal("2026-01-02T04:04:05.000000000Z", record.ValidityText);
        Assert.Equal(IpnsRefusal.Expired, Refusal(_key.PublicKey.PeerId, made.Bytes, _now.AddHours(1)));
        using var other = PrivateKey.Generate();
        Assert.Equal(IpnsRefusal.Signature, Refusal(other.PublicKey.PeerId, made.Bytes, _now));
    }

    [Fact]
    public void A_name_is_written_and_read_in_base36()
    {
        PeerId name = _key.PublicKey.PeerId;
        string text = IpnsRecord.NameText(name);
        Assert.StartsWith("k51", text, StringComparison.Ordinal);
        foreach (string form in (string[])[text, "/ipns/" + text, name.ToString()])
        {
            Assert.True(IpnsRecord.TryParseName(form, out PeerId read));
            Assert.Equal(name, read);
        }

        Assert.True(IpnsRecord.TryParseRoutingKey(IpnsRecord.RoutingKey(name), out PeerId routed));
        Assert.Equal(name, routed);
        Assert.False(IpnsRecord.TryParseRoutingKey("/pk/"u8, out _));
    }

    [Fact]
    public void No_byte_of_a_record_can_be_changed()
    {
        byte[] bytes = IpnsRecord.Create(_key, "/ipfs/bafkqaddwgevxmmraojswg33smq", 1, _now.AddHours(1)).Bytes.ToArray();
        int ignored = 0;
        for (int i = 0; i < bytes.Length; i++)
        {
            byte[] changed = [.. bytes];
            changed[i] ^= 1;
            if (Refusal(_key.PublicKey.PeerId, changed, _now) is null) ignored++;
        }

        Assert.Equal(64, ignored); // the old signature, which proves nothing
    }

    [Fact]
    public void Records_of_RSA_keys_carry_them()
    {
        using RSA rsa = RSA.Create(2048);
        byte[] info = rsa.ExportSubjectPublicKeyInfo();
        byte[] key = [0x08, 0x00, 0x12, .. Length(info.Length), .. info];
        PeerId name = PeerId.Of(key);
        byte[] data = Data();
        byte[] signature = rsa.SignData([.. "ipns-signature:"u8, .. data], HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        byte[] record = [0x3A, .. Length(key.Length), .. key, 0x42, .. Length(signature.Length), .. signature, 0x4A, .. Length(data.Length), .. data];
        Assert.Equal("/ipfs/x", IpnsRecord.ReadValid(name, record, _now).Value);
        Assert.Equal(IpnsRefusal.Key, Refusal(_key.PublicKey.PeerId, record, _now));
        Assert.Equal(IpnsRefusal.Key, Refusal(name, record.AsSpan(3 + key.Length), _now));
    }

    [Theory]
    [InlineData(KeyType.Secp256k1)]
    [InlineData(KeyType.Ecdsa)]
    public void Records_of_keys_on_other_curves_are_checked(KeyType type)
    {
        using ECDsa ecdsa = ECDsa.Create(type == KeyType.Ecdsa ? ECCurve.NamedCurves.nistP256 : ECCurve.CreateFromFriendlyName("secp256k1"));
        ECPoint point = ecdsa.ExportParameters(false).Q;
        byte[] info = type == KeyType.Ecdsa ? ecdsa.ExportSubjectPublicKeyInfo() : [(byte)(2 + (point.Y![31] & 1)), .. point.X!];
        byte[] key = [0x08, (byte)type, 0x12, .. Length(info.Length), .. info];
        byte[] data = Data();
        byte[] signature = ecdsa.SignData([.. "ipns-signature:"u8, .. data], HashAlgorithmName.SHA256, DSASignatureFormat.Rfc3279DerSequence);
        byte[] record = [0x3A, .. Length(key.Length), .. key, 0x42, .. Length(signature.Length), .. signature, 0x4A, .. Length(data.Length), .. data];
        Assert.Equal("/ipfs/x", IpnsRecord.ReadValid(PeerId.Of(key), record, _now).Value);
        data[^1] ^= 1;
        record[^1] ^= 1;
        Assert.NotNull(Refusal(PeerId.Of(key), record, _now));
    }

    [Fact]
    public void The_higher_sequence_counts_then_the_longer_life_then_the_bytes()
    {
        IpnsRecord first = Make(1, 10), longer = Make(1, 11), second = Make(2, 5);
        Assert.True(second.CompareTo(longer) > 0 && longer.CompareTo(first) > 0 && first.CompareTo(second) < 0 && first.CompareTo(first) == 0);
        IpnsRecord twin = IpnsRecord.Create(_key, "/ipfs/b", 1, _now.AddHours(10));
        Assert.Equal(-Math.Sign(twin.CompareTo(first)), Math.Sign(first.CompareTo(twin)));
        Assert.NotEqual(0, twin.CompareTo(first));

        IpnsRecord Make(ulong sequence, int hours) => IpnsRecord.Create(_key, "/ipfs/a", sequence, _now.AddHours(hours));
    }

    [Fact]
    public void What_is_too_large_unsigned_or_contradicts_itself_is_refused()
    {
        PeerId name = _key.PublicKey.PeerId;
        Assert.Equal(IpnsRefusal.TooLarge, Refusal(name, new byte[IpnsRecord.MaxBytes + 1], _now));
        Assert.Equal(IpnsRefusal.Unsigned, Refusal(name, [], _now));
        Assert.Equal(IpnsRefusal.Malformed, Refusal(name, [0x0A, 0x05], _now));
        Assert.Equal(IpnsRefusal.Malformed, Refusal(name, Sign([0xA0]), _now));
        Assert.Equal(IpnsRefusal.Malformed, Refusal(name, Sign(Data(type: 1)), _now));
        Assert.Equal(IpnsRefusal.Malformed, Refusal(name, Sign(Data(validity: "tomorrow")), _now));
        Assert.Equal(IpnsRefusal.Malformed, Refusal(name, Sign(Data(validity: "2030-01-01T00:00:00")), _now));
        Assert.Null(Refusal(name, Sign(Data(validity: "2030-01-01T00:00:00Z")), _now));
        Assert.Null(Refusal(name, Sign(Data(validity: "2030-01-01T01:00:00.123456789+01:00")), _now));
        Assert.Equal(IpnsRefusal.Contradiction, Refusal(name, [0x0A, 1, (byte)'/', .. Sign(Data())], _now));
        Assert.Throws<ArgumentException>(() => IpnsRecord.Create(_key, "/" + new string('x', IpnsRecord.MaxBytes), 0, _now));
    }

    [Fact]
    public void Damaged_records_are_refused_and_nothing_else_happens()
    {
        byte[] bytes = IpnsRecord.Create(_key, "/ipfs/bafkqaddwgevxmmraojswg33smq", 1, _now.AddHours(1)).Bytes.ToArray();
        Seed.Run(random =>
        {
            for (int i = 0; i < 5000; i++)
            {
                byte[] damaged = bytes[..random.Next(bytes.Length)];
                for (int n = random.Next(1, 5); n > 0 && damaged.Length > 0; n--) damaged[random.Next(damaged.Length)] = (byte)random.Next(256);
                Assert.NotNull(Refusal(_key.PublicKey.PeerId, damaged, _now));
            }
        });
    }

    private static IpnsRefusal? Refusal(PeerId name, ReadOnlySpan<byte> bytes, DateTimeOffset now)
    {
        try
        {
            IpnsRecord.ReadValid(name, bytes, now);
            return null;
        }
        catch (IpnsException e)
        {
            return e.Refusal;
        }
    }

    private byte[] Sign(byte[] data) => [0x42, 64, .. _key.Sign([.. "ipns-signature:"u8, .. data]), 0x4A, .. Length(data.Length), .. data];

    private static byte[] Data(ulong type = 0, string validity = "2030-01-01T00:00:00.000000001Z")
    {
        var writer = new DagCborWriter();
        writer.WriteMapStart(6);
        writer.WriteKey("TTL"u8);
        writer.WriteUInt64(1);
        writer.WriteKey("_own"u8);
        writer.WriteNull();
        writer.WriteKey("Value"u8);
        writer.WriteBytes("/ipfs/x"u8);
        writer.WriteKey("Sequence"u8);
        writer.WriteUInt64(3);
        writer.WriteKey("Validity"u8);
        writer.WriteBytes(Encoding.ASCII.GetBytes(validity));
        writer.WriteKey("ValidityType"u8);
        writer.WriteUInt64(type);
        return writer.ToArray();
    }

    private static byte[] Length(int length)
    {
        byte[] bytes = new byte[Varint.Length((ulong)length)];
        Varint.Write(bytes, (ulong)length);
        return bytes;
    }
}
