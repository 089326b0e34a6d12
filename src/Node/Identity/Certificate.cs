using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;

namespace Leither.Node.Identity;

/// <summary>
/// The signed statement of an issuer that a public key is somebody's: what people exchange before they write passports for each other. (It has nothing to do with the X.509
/// certificates of TLS.) One that the key itself signed says only what its owner calls himself.
/// </summary>
/// <remarks>
/// As a block a map of DAG-CBOR, in text <c>cert1.</c> and the block in base64url:
/// <code>
/// end      Unix seconds from which it is over
/// sig      the issuer's signature (Ed25519) over "leither-certificate-1:" and the block without this field
/// from     Unix seconds from which it holds
/// name     text
/// format   1
/// issuer   public key, 32 bytes
/// serial   16 bytes
/// subject  public key, 32 bytes
/// </code>
/// </remarks>
internal sealed record Certificate
{
    /// <summary>The most bytes of a name.</summary>
    public const int MaxNameBytes = 255;

    private const int Format = 1, MaxBlockBytes = 1024, SerialLength = 16;
    private const string TextPrefix = "cert1.";

    private static ReadOnlySpan<byte> SignaturePrefix => "leither-certificate-1:"u8;

    /// <summary>Who says so.</summary>
    public required PublicKey Issuer { get; init; }

    /// <summary>Whose key it is.</summary>
    public required PublicKey Subject { get; init; }

    /// <summary>What the subject is called.</summary>
    public required string Name { get; init; }

    /// <summary>From when on it holds, in Unix seconds.</summary>
    public required long From { get; init; }

    /// <summary>From when on it is over, in Unix seconds.</summary>
    public required long End { get; init; }

    /// <summary>What it is called.</summary>
    public byte[] Serial { get; init; } = RandomNumberGenerator.GetBytes(SerialLength);

    /// <summary>Whether a text looks like one.</summary>
    public static bool IsText(string text) => text.StartsWith(TextPrefix, StringComparison.Ordinal);

    /// <summary>The text, signed.</summary>
    public string Sign(PrivateKey issuer)
    {
        DagCborWriter writer = new();
        Write(writer, default);
        byte[] signature = issuer.Sign([.. SignaturePrefix, .. writer.Written]);
        writer.Clear();
        Write(writer, signature);
        return TextPrefix + Multibase.EncodeBare(MultibaseEncoding.Base64Url, writer.Written);
    }

    /// <summary>Reads a text and checks its signature.</summary>
    public static bool TryRead(string text, [NotNullWhen(true)] out Certificate? certificate)
    {
        certificate = null;
        if (!IsText(text) || !Multibase.TryDecodeBare(MultibaseEncoding.Base64Url, text.AsSpan(TextPrefix.Length), out byte[]? block) || block.Length > MaxBlockBytes) return false;
        Certificate read;
        byte[] signature;
        try
        {
            var reader = new DagCborReader(block);
            reader.ReadMapStart(8);
            reader.ReadKey("end"u8);
            long end = reader.ReadInt64();
            reader.ReadKey("sig"u8);
            signature = reader.ReadBytes(Ed25519.SignatureLength).ToArray();
            reader.ReadKey("from"u8);
            long from = reader.ReadInt64();
            reader.ReadKey("name"u8);
            string name = reader.ReadText();
            reader.ReadKey("format"u8);
            if (reader.ReadInt64() != Format) return false;
            reader.ReadKey("issuer"u8);
            bool areKeys = PublicKey.TryCreate(reader.ReadBytes(Ed25519.PublicKeyLength), out PublicKey? issuer);
            reader.ReadKey("serial"u8);
            byte[] serial = reader.ReadBytes(SerialLength).ToArray();
            reader.ReadKey("subject"u8);
            areKeys &= PublicKey.TryCreate(reader.ReadBytes(Ed25519.PublicKeyLength), out PublicKey? subject);
            reader.End();
            if (!areKeys || System.Text.Encoding.UTF8.GetByteCount(name) > MaxNameBytes) return false;
            read = new Certificate { Issuer = issuer!, Subject = subject!, Name = name, From = from, End = end, Serial = serial };
        }
        catch (DagCborException)
        {
            return false;
        }

        DagCborWriter unsigned = new();
        read.Write(unsigned, default);
        certificate = read.Issuer.Verify([.. SignaturePrefix, .. unsigned.Written], signature) ? read : null;
        return certificate is not null;
    }

    private void Write(DagCborWriter writer, ReadOnlySpan<byte> signature)
    {
        writer.WriteMapStart(signature.IsEmpty ? 7 : 8);
        writer.WriteKey("end"u8);
        writer.WriteInt64(End);
        if (!signature.IsEmpty)
        {
            writer.WriteKey("sig"u8);
            writer.WriteBytes(signature);
        }

        writer.WriteKey("from"u8);
        writer.WriteInt64(From);
        writer.WriteKey("name"u8);
        writer.WriteText(Name);
        writer.WriteKey("format"u8);
        writer.WriteInt64(Format);
        writer.WriteKey("issuer"u8);
        writer.WriteBytes(Issuer.Bytes);
        writer.WriteKey("serial"u8);
        writer.WriteBytes(Serial);
        writer.WriteKey("subject"u8);
        writer.WriteBytes(Subject.Bytes);
    }
}
