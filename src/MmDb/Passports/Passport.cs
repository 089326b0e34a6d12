using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;
using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;

namespace Leither.MmDb.Passports;

/// <summary>
/// A passport (通行证, .ppt): the signed statement of an issuer that a subject may, for some time, do something in a MiMei, on one node or on any.
/// </summary>
/// <remarks>
/// As a block it is a map of DAG-CBOR that anybody can read and check:
/// <code>
/// end      Unix seconds from which it is over
/// mid      the MiMei, 20 bytes; null: whatever is the node's own (its default one)
/// sig      the issuer's signature (Ed25519) over "leither-passport-1:" and the block without this field
/// from     Unix seconds from which it holds
/// keys     [patterns of keys, as ACL has them]
/// node     the node on which it holds, 20 bytes; null: any
/// proof    whether who shows it has to prove that he is the subject
/// format   1
/// issuer   public key, 32 bytes
/// rights   [words of PassportRights]
/// serial   16 bytes, by which it is revoked
/// subject  public key, 32 bytes
/// </code>
/// In text, as AUTH and files have it, it is <c>ppt1.</c> and the block in base64url; with a proof behind it, a dot and a signature, in base64url too, over
/// "leither-passport-proof-1:", the node's challenge (32 bytes), the node's id (20) and the SHA-256 of the block. A challenge is good for one try, so what was overheard is good for none.
/// Without a proof whoever has the text has the right: then its node and its end are what bounds the harm.
/// </remarks>
public sealed record Passport
{
    /// <summary>The format that is written, and the only one there is.</summary>
    public const int Format = 1;

    /// <summary>A longer block is none.</summary>
    public const int MaxBlockBytes = 4096;

    /// <summary>A longer text is none.</summary>
    public const int MaxTextBytes = (MaxBlockBytes / 3 * 4) + 256;

    /// <summary>Bytes of a serial number.</summary>
    public const int SerialLength = 16;

    /// <summary>Bytes of a challenge.</summary>
    public const int ChallengeLength = 32;

    /// <summary>The most patterns of keys.</summary>
    public const int MaxKeys = 64;

    /// <summary>The longest pattern.</summary>
    public const int MaxKeyBytes = 256;

    private const string TextPrefix = "ppt1.";

    private static ReadOnlySpan<byte> SignaturePrefix => "leither-passport-1:"u8;

    private static ReadOnlySpan<byte> ProofPrefix => "leither-passport-proof-1:"u8;

    /// <summary>Who says so.</summary>
    public required PublicKey Issuer { get; init; }

    /// <summary>Of whom.</summary>
    public required PublicKey Subject { get; init; }

    /// <summary>The MiMei; null: the node's default one.</summary>
    public LeitherId? Mid { get; init; }

    /// <summary>The node; null: any.</summary>
    public LeitherId? Node { get; init; }

    /// <summary>From when on it holds, in Unix seconds.</summary>
    public required long From { get; init; }

    /// <summary>From when on it is over, in Unix seconds.</summary>
    public required long End { get; init; }

    /// <summary>What the subject may do.</summary>
    public required PassportRights Rights { get; init; }

    /// <summary>With which keys, as patterns of ACL; byte strings.</summary>
    public IReadOnlyList<string> Keys { get; init; } = ["*"];

    /// <summary>Whether the subject's key has to answer a challenge.</summary>
    public bool NeedsProof { get; init; }

    /// <summary>Whether it only says who somebody is: what he may do each MiMei's list of rights says.</summary>
    public bool IsLogin => Rights == PassportRights.Login;

    /// <summary>What it is called.</summary>
    public byte[] Serial { get; init; } = RandomNumberGenerator.GetBytes(SerialLength);

    /// <summary>What it is called, in text: hexadecimal.</summary>
    public string SerialText => Convert.ToHexStringLower(Serial);

    /// <summary>The block, signed.</summary>
    /// <exception cref="ArgumentException">It says what a passport cannot say, or the key is another's.</exception>
    public byte[] Sign(PrivateKey issuer)
    {
        if (!issuer.PublicKey.Equals(Issuer)) throw new ArgumentException("The key is not the issuer's");
        if (Refusal() is { } refusal) throw new ArgumentException(refusal);
        DagCborWriter writer = new();
        Write(writer, default);
        byte[] signature = issuer.Sign([.. SignaturePrefix, .. writer.Written]);
        writer.Clear();
        Write(writer, signature);
        return writer.ToArray();
    }

    /// <summary>A block as text.</summary>
    public static string ToText(ReadOnlySpan<byte> block) => TextPrefix + Multibase.EncodeBare(MultibaseEncoding.Base64Url, block);

    /// <summary>A block as text, with a proof that who sends it has the subject's key.</summary>
    public static string ToText(ReadOnlySpan<byte> block, PrivateKey subject, ReadOnlySpan<byte> challenge, LeitherId node) =>
        $"{ToText(block)}.{Multibase.EncodeBare(MultibaseEncoding.Base64Url, subject.Sign(ProofOf(block, challenge, node)))}";

    /// <summary>Takes a text apart; neither part is checked yet. False: it is no passport's.</summary>
    public static bool TryParse(ReadOnlySpan<char> text, [NotNullWhen(true)] out byte[]? block, out byte[]? proof)
    {
        block = proof = null;
        text = text.Trim();
        if (text.Length > MaxTextBytes || !text.StartsWith(TextPrefix, StringComparison.Ordinal)) return false;
        text = text[TextPrefix.Length..];
        int dot = text.IndexOf('.');
        if (!TryDecode(dot < 0 ? text : text[..dot], out block) || block.Length > MaxBlockBytes) return false;
        return dot < 0 || (TryDecode(text[(dot + 1)..], out proof) && proof.Length == Ed25519.SignatureLength);
    }

    /// <summary>Reads a block and checks its signature. False: it is no passport, or a forged one.</summary>
    public static bool TryRead(ReadOnlySpan<byte> block, [NotNullWhen(true)] out Passport? passport, out PassportRefusal refusal)
    {
        passport = null;
        refusal = PassportRefusal.Malformed;
        if (block.Length > MaxBlockBytes) return false;
        Passport read;
        byte[] signature;
        try
        {
            if (Read(block, out signature) is not { } any) return false;
            read = any;
        }
        catch (Exception e) when (e is DagCborException or ArgumentException)
        {
            return false;
        }

        DagCborWriter unsigned = new();
        read.Write(unsigned, default);
        refusal = PassportRefusal.Forged;
        if (!read.Issuer.Verify([.. SignaturePrefix, .. unsigned.Written], signature)) return false;
        passport = read;
        refusal = PassportRefusal.None;
        return true;
    }

    /// <summary>Whether a proof answers a challenge.</summary>
    public bool IsProved(ReadOnlySpan<byte> block, ReadOnlySpan<byte> proof, ReadOnlySpan<byte> challenge, LeitherId node) =>
        Subject.Verify(ProofOf(block, challenge, node), proof);

    private static byte[] ProofOf(ReadOnlySpan<byte> block, ReadOnlySpan<byte> challenge, LeitherId node) =>
        [.. ProofPrefix, .. challenge, .. node.ToArray(), .. SHA256.HashData(block)];

    /// <summary>One text for one block: what would be written otherwise is none.</summary>
    private static bool TryDecode(ReadOnlySpan<char> text, [NotNullWhen(true)] out byte[]? bytes) =>
        Multibase.TryDecodeBare(MultibaseEncoding.Base64Url, text, out bytes) && text.SequenceEqual(Multibase.EncodeBare(MultibaseEncoding.Base64Url, bytes));

    private string? Refusal() =>
        From < 0 || End <= From ? "The end has to come after the beginning"
        : Rights.HasFlag(PassportRights.Login) && !(Rights == PassportRights.Login && NeedsProof && Issuer.Equals(Subject) && Keys is ["*"])
            ? "The right 'login' comes alone, with all keys, and its subject issues and proves it"
        : Rights == PassportRights.None ? "A passport without rights is none"
        : Keys.Count > MaxKeys ? $"A passport has at most {MaxKeys} patterns of keys"
        : Keys.Any(static k => k.Length is 0 or > MaxKeyBytes || k.Any(static c => c is <= ' ' or > '\xFF')) ? $"A pattern of keys has 1 to {MaxKeyBytes} bytes and no blanks"
        : Serial.Length != SerialLength ? $"A serial number has {SerialLength} bytes"
        : Rights.HasFlag(PassportRights.Versions) && !Keys.Contains("*") ? "The right 'versions' shows all keys, so it comes with all keys"
        : null;

    private void Write(DagCborWriter writer, ReadOnlySpan<byte> signature)
    {
        writer.WriteMapStart(signature.IsEmpty ? 11 : 12);
        writer.WriteKey("end"u8);
        writer.WriteInt64(End);
        writer.WriteKey("mid"u8);
        WriteId(writer, Mid);
        if (!signature.IsEmpty)
        {
            writer.WriteKey("sig"u8);
            writer.WriteBytes(signature);
        }

        writer.WriteKey("from"u8);
        writer.WriteInt64(From);
        writer.WriteKey("keys"u8);
        writer.WriteArrayStart(Keys.Count);
        foreach (string key in Keys) writer.WriteBytes(Encoding.Latin1.GetBytes(key));
        writer.WriteKey("node"u8);
        WriteId(writer, Node);
        writer.WriteKey("proof"u8);
        writer.WriteBoolean(NeedsProof);
        writer.WriteKey("format"u8);
        writer.WriteInt64(Format);
        writer.WriteKey("issuer"u8);
        writer.WriteBytes(Issuer.Bytes);
        writer.WriteKey("rights"u8);
        string[] words = PassportRightWords.Of(Rights);
        writer.WriteArrayStart(words.Length);
        foreach (string word in words) writer.WriteText(word);
        writer.WriteKey("serial"u8);
        writer.WriteBytes(Serial);
        writer.WriteKey("subject"u8);
        writer.WriteBytes(Subject.Bytes);
    }

    /// <summary>Null: it says what a passport cannot say.</summary>
    private static Passport? Read(ReadOnlySpan<byte> block, out byte[] signature)
    {
        signature = [];
        var reader = new DagCborReader(block);
        reader.ReadMapStart(12);
        reader.ReadKey("end"u8);
        long end = reader.ReadInt64();
        reader.ReadKey("mid"u8);
        LeitherId? mid = ReadId(ref reader);
        reader.ReadKey("sig"u8);
        signature = reader.ReadBytes(Ed25519.SignatureLength).ToArray();
        reader.ReadKey("from"u8);
        long from = reader.ReadInt64();
        reader.ReadKey("keys"u8);
        int count = reader.ReadArrayStart();
        if (count > MaxKeys) return null;
        string[] keys = new string[count];
        for (int i = 0; i < count; i++) keys[i] = Encoding.Latin1.GetString(reader.ReadBytes());
        reader.ReadKey("node"u8);
        LeitherId? node = ReadId(ref reader);
        reader.ReadKey("proof"u8);
        bool needsProof = reader.ReadBoolean();
        reader.ReadKey("format"u8);
        if (reader.ReadInt64() != Format) return null;
        reader.ReadKey("issuer"u8);
        bool areKeys = PublicKey.TryCreate(reader.ReadBytes(Ed25519.PublicKeyLength), out PublicKey? issuer);
        reader.ReadKey("rights"u8);
        PassportRights rights = PassportRights.None;
        for (int left = reader.ReadArrayStart(); left > 0; left--)
        {
            // A right that is not known must not be overlooked: what it limits or grants, this node cannot tell.
            if (!PassportRightWords.TryParse(reader.ReadText(), out PassportRights right) || rights.HasFlag(right)) return null;
            rights |= right;
        }

        reader.ReadKey("serial"u8);
        byte[] serial = reader.ReadBytes(SerialLength).ToArray();
        reader.ReadKey("subject"u8);
        areKeys &= PublicKey.TryCreate(reader.ReadBytes(Ed25519.PublicKeyLength), out PublicKey? subject);
        reader.End();
        if (!areKeys) return null;
        Passport read = new()
        {
            Issuer = issuer!,
            Subject = subject!,
            Mid = mid,
            Node = node,
            From = from,
            End = end,
            Rights = rights,
            Keys = keys,
            NeedsProof = needsProof,
            Serial = serial,
        };
        return read.Refusal() is null ? read : null;
    }

    private static void WriteId(DagCborWriter writer, LeitherId? id)
    {
        if (id is { } value) writer.WriteBytes(value.ToArray());
        else writer.WriteNull();
    }

    private static LeitherId? ReadId(ref DagCborReader reader) => reader.TryReadNull() ? null : new LeitherId(reader.ReadBytes(LeitherId.Length));
}
