// A signed pointer to content that whoever has the key can renew. https://specs.ipfs.tech/ipns/ipns-record/
//
//   IpnsEntry { bytes value = 1; bytes signatureV1 = 2; validityType = 3; bytes validity = 4; uint64 sequence = 5; uint64 ttl = 6;
//               bytes pubKey = 7; bytes signatureV2 = 8; bytes data = 9 }
//   data      = DAG-CBOR { TTL, Value, Sequence, Validity, ValidityType }
//
// Only what stands in data is signed by what is checked (signatureV2, over "ipns-signature:" and data) and only that is used. The first six fields
// repeat it for old readers; where they stand they must say the same. A name is the hash of a public key, so a record proves by itself that it
// belongs to the name: by a key in the name (Ed25519), or by one in the record whose hash is the name (RSA and others).

using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;
using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.Ipns;

/// <summary>Why a record is refused.</summary>
public enum IpnsRefusal
{
    /// <summary>It has more than 10 KiB.</summary>
    TooLarge,

    /// <summary>It is none.</summary>
    Malformed,

    /// <summary>It lacks the second signature, or what that signs.</summary>
    Unsigned,

    /// <summary>There is no public key in it nor in the name, or it is not the name's.</summary>
    Key,

    /// <summary>The signature is not that of the key.</summary>
    Signature,

    /// <summary>What it repeats for old readers is not what is signed.</summary>
    Contradiction,

    /// <summary>Its time is over.</summary>
    Expired,
}

/// <summary>A record that is refused.</summary>
public sealed class IpnsException : MalformedBlockException
{
    /// <summary>Says why.</summary>
    public IpnsException(IpnsRefusal refusal, string message)
        : base($"IPNS record: {message}") => Refusal = refusal;

    /// <summary>Why.</summary>
    public IpnsRefusal Refusal { get; }
}

/// <summary>A record of IPNS. What it says is signed; by whom, <see cref="Verify"/> tells.</summary>
public sealed class IpnsRecord
{
    /// <summary>The most bytes that a record may have.</summary>
    public const int MaxBytes = 10 << 10;

    /// <summary>How long a record should be believed without looking again, where its maker does not say.</summary>
    public static readonly TimeSpan DefaultTtl = TimeSpan.FromMinutes(5);

    /// <summary>How long a record is good, where its maker does not say: DHT servers keep none for longer.</summary>
    public static readonly TimeSpan DefaultLifetime = TimeSpan.FromHours(48);

    private const byte ValueTag = 0x0A, SignatureV1Tag = 0x12, ValidityTypeTag = 0x18, ValidityTag = 0x22, SequenceTag = 0x28, TtlTag = 0x30, PublicKeyTag = 0x3A,
        SignatureV2Tag = 0x42, DataTag = 0x4A;

    private readonly byte[] _bytes, _data, _signature, _publicKey;
    private readonly bool _hasLegacy, _isConsistent;

    private IpnsRecord(ReadOnlySpan<byte> bytes)
    {
        _bytes = bytes.ToArray();
        var reader = new ProtobufReader(bytes, static why => new IpnsException(IpnsRefusal.Malformed, why));
        ReadOnlySpan<byte> value = default, validity = default, publicKey = default, signatureV1 = default, signatureV2 = default, data = default;
        ulong validityType = 0, sequence = 0, ttl = 0;
        int seen = 0;
        while (reader.TryReadTag(out ulong tag))
        {
            if (tag >> 3 is >= 1 and <= 9)
            {
                int field = 1 << (int)(tag >> 3);
                if ((seen & field) != 0) throw new IpnsException(IpnsRefusal.Malformed, "a field stands twice");
                seen |= field;
            }

            switch (tag)
            {
                case ValueTag:
                    value = reader.ReadBytes();
                    break;
                case SignatureV1Tag:
                    signatureV1 = reader.ReadBytes();
                    break;
                case ValidityTypeTag:
                    validityType = reader.ReadVarint();
                    break;
                case ValidityTag:
                    validity = reader.ReadBytes();
                    break;
                case SequenceTag:
                    sequence = reader.ReadVarint();
                    break;
                case TtlTag:
                    ttl = reader.ReadVarint();
                    break;
                case PublicKeyTag:
                    publicKey = reader.ReadBytes();
                    break;
                case SignatureV2Tag:
                    signatureV2 = reader.ReadBytes();
                    break;
                case DataTag:
                    data = reader.ReadBytes();
                    break;
                default:
                    reader.Skip(tag);
                    break;
            }
        }

        if (signatureV2.IsEmpty || data.IsEmpty) throw new IpnsException(IpnsRefusal.Unsigned, "it has no signature of the second kind; the first proves nothing");
        _data = data.ToArray();
        _signature = signatureV2.ToArray();
        _publicKey = publicKey.ToArray();

        ReadOnlySpan<byte> signedValidity = ReadData(data, out byte[] signedValue, out ulong signedSequence, out ulong signedTtl);
        ValueBytes = signedValue;
        Sequence = signedSequence;
        TtlNanoseconds = signedTtl;
        ValidityText = Encoding.ASCII.GetString(signedValidity);
        Validity = ParseTime(ValidityText);
        _hasLegacy = !signatureV1.IsEmpty || !value.IsEmpty;
        _isConsistent = value.SequenceEqual(signedValue) && validity.SequenceEqual(signedValidity) && validityType == 0 && sequence == signedSequence && ttl == signedTtl;
    }

    /// <summary>The record's bytes.</summary>
    public ReadOnlySpan<byte> Bytes => _bytes;

    /// <summary>What it points to, as it stands there: nearly always the text of a path.</summary>
    public ReadOnlyMemory<byte> ValueBytes { get; }

    /// <summary>
    /// The path that it points to: "/ipfs/…", "/ipns/…". Old records hold a CID without a path; empty where it is nothing that can be followed.
    /// </summary>
    public string Value
    {
        get
        {
            string text = Encoding.UTF8.GetString(ValueBytes.Span);
            if (text.StartsWith('/')) return text;
            if (Cid.TryRead(ValueBytes.Span, out Cid cid) || Cid.TryParse(text, out cid)) return $"/ipfs/{cid.ToV1()}";
            return "";
        }
    }

    /// <summary>Which of its maker's records it is, counted from 0.</summary>
    public ulong Sequence { get; }

    /// <summary>When its time is over; times that .NET does not know are the last that it does.</summary>
    public DateTimeOffset Validity { get; }

    /// <summary>When its time is over, to the nanosecond, as it stands there.</summary>
    public string ValidityText { get; }

    /// <summary>How long it should be believed without looking again, in nanoseconds.</summary>
    public ulong TtlNanoseconds { get; }

    /// <summary>How long it should be believed without looking again.</summary>
    public TimeSpan Ttl => TimeSpan.FromTicks((long)Math.Min(TtlNanoseconds / 100, long.MaxValue));

    /// <summary>Reads a record, without asking whose it is.</summary>
    /// <exception cref="IpnsException">It is none.</exception>
    public static IpnsRecord Read(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length > MaxBytes) throw new IpnsException(IpnsRefusal.TooLarge, $"{bytes.Length} bytes; the limit is {MaxBytes}");
        try
        {
            return new IpnsRecord(bytes);
        }
        catch (DagCborException e)
        {
            throw new IpnsException(IpnsRefusal.Malformed, e.Message);
        }
    }

    /// <summary>Reads a record and checks that it is one of this name and that its time is not over.</summary>
    /// <exception cref="IpnsException">It is not.</exception>
    public static IpnsRecord ReadValid(PeerId name, ReadOnlySpan<byte> bytes, DateTimeOffset now)
    {
        IpnsRecord record = Read(bytes);
        record.Verify(name, now);
        return record;
    }

    /// <summary>Makes a record and signs it, in both ways.</summary>
    /// <param name="key">The key of the name.</param>
    /// <param name="value">A path: "/ipfs/…", "/ipns/…".</param>
    /// <param name="sequence">One more than that of the record before; 0 for the first.</param>
    /// <param name="validity">When its time is over.</param>
    /// <param name="ttl">How long it should be believed without looking again.</param>
    /// <param name="isLegacy">Whether to repeat for old readers what is signed, with a signature that they check.</param>
    public static IpnsRecord Create(PrivateKey key, string value, ulong sequence, DateTimeOffset validity, TimeSpan? ttl = null, bool isLegacy = true)
    {
        if (!value.StartsWith('/')) throw new ArgumentException($"'{value}' is no path.", nameof(value));
        byte[] valueBytes = Encoding.UTF8.GetBytes(value);
        byte[] validityBytes = Encoding.ASCII.GetBytes(validity.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.fffffff'00Z'", CultureInfo.InvariantCulture));
        ulong ttlNanoseconds = checked((ulong)(ttl ?? DefaultTtl).Ticks * 100);

        var writer = new DagCborWriter();
        writer.WriteMapStart(5);
        writer.WriteKey("TTL"u8);
        writer.WriteUInt64(ttlNanoseconds);
        writer.WriteKey("Value"u8);
        writer.WriteBytes(valueBytes);
        writer.WriteKey("Sequence"u8);
        writer.WriteUInt64(sequence);
        writer.WriteKey("Validity"u8);
        writer.WriteBytes(validityBytes);
        writer.WriteKey("ValidityType"u8);
        writer.WriteUInt64(0);

        var bytes = new List<byte>();
        if (isLegacy)
        {
            Protobuf.WriteBytes(bytes, ValueTag, valueBytes);
            Protobuf.WriteBytes(bytes, SignatureV1Tag, key.Sign([.. valueBytes, .. validityBytes, .. "EOL"u8]));
            Protobuf.WriteNumber(bytes, ValidityTypeTag, 0);
            Protobuf.WriteBytes(bytes, ValidityTag, validityBytes);
            Protobuf.WriteNumber(bytes, SequenceTag, sequence);
            Protobuf.WriteNumber(bytes, TtlTag, ttlNanoseconds);
        }

        Protobuf.WriteBytes(bytes, SignatureV2Tag, key.Sign(Signed(writer.Written)));
        Protobuf.WriteBytes(bytes, DataTag, writer.Written);
        return bytes.Count <= MaxBytes ? Read([.. bytes]) : throw new ArgumentException($"The record would have {bytes.Count} bytes; the limit is {MaxBytes}.", nameof(value));
    }

    /// <summary>Checks that it is a record of this name and that its time is not over.</summary>
    /// <exception cref="IpnsException">It is not.</exception>
    public void Verify(PeerId name, DateTimeOffset now)
    {
        PeerKey? key;
        if (_publicKey.Length > 0)
        {
            if (!PeerKey.TryFromProtobuf(_publicKey, out key)) throw new IpnsException(IpnsRefusal.Key, "its public key is none that can be checked");
            if (!IsOf(key, name)) throw new IpnsException(IpnsRefusal.Key, "its public key is not that of the name");
        }
        else if (!PeerKey.TryFromPeerId(name, out key))
        {
            throw new IpnsException(IpnsRefusal.Key, "there is no public key in it, nor in the name");
        }

        if (!key.Verify(Signed(_data), _signature)) throw new IpnsException(IpnsRefusal.Signature, "the signature is not that of the name's key");
        if (_hasLegacy && !_isConsistent) throw new IpnsException(IpnsRefusal.Contradiction, "what it repeats for old readers is not what is signed");
        if (Validity <= now) throw new IpnsException(IpnsRefusal.Expired, $"its time was over at {ValidityText}");
    }

    /// <summary>
    /// Which of two records of a name counts: the one with the higher sequence, then the one that lasts longer, then the one whose bytes are
    /// greater, so that everybody chooses the same. Both must have been verified. Positive: this one.
    /// </summary>
    public int CompareTo(IpnsRecord other)
    {
        int order = Sequence.CompareTo(other.Sequence);
        if (order == 0) order = Validity.CompareTo(other.Validity);
        return order != 0 ? order : _bytes.AsSpan().SequenceCompareTo(other._bytes);
    }

    /// <summary>The key under which the DHT holds a name's record.</summary>
    public static byte[] RoutingKey(PeerId name) => [.. "/ipns/"u8, .. name.ToArray()];

    /// <summary>The name of a key in the DHT; false if it is no name's.</summary>
    public static bool TryParseRoutingKey(ReadOnlySpan<byte> key, out PeerId name)
    {
        name = default;
        return key.StartsWith("/ipns/"u8) && PeerId.TryRead(key["/ipns/"u8.Length..], out name);
    }

    /// <summary>A name as people write it: a CID of the codec libp2p-key in base36, "k51…".</summary>
    public static string NameText(PeerId name) => name.ToCid().ToString(MultibaseEncoding.Base36);

    /// <summary>Reads a name, also as "/ipns/…" and in the forms of a peer id.</summary>
    public static bool TryParseName([NotNullWhen(true)] string? text, out PeerId name) =>
        PeerId.TryParse(text?.StartsWith("/ipns/", StringComparison.Ordinal) == true ? text["/ipns/".Length..] : text, out name);

    /// <summary>A name may also be the hash of a key that would fit into it: names are compared by what the key hashes to.</summary>
    private static bool IsOf(PeerKey key, PeerId name) =>
        key.PeerId == name || (name.Multihash.Code == Multicodec.Sha256 && name.Multihash == Multihash.Sha256(key.Protobuf));

    private static byte[] Signed(ReadOnlySpan<byte> data) => [.. "ipns-signature:"u8, .. data];

    private static ReadOnlySpan<byte> ReadData(ReadOnlySpan<byte> data, out byte[] value, out ulong sequence, out ulong ttl)
    {
        var reader = new DagCborReader(data);
        byte[]? readValue = null;
        ulong? readSequence = null, readTtl = null, type = null;
        ReadOnlySpan<byte> validity = default;
        for (int pairs = reader.ReadMapStart(); pairs > 0; pairs--)
        {
            ReadOnlySpan<byte> key = reader.ReadKey();
            if (key.SequenceEqual("TTL"u8)) readTtl = reader.ReadUInt64();
            else if (key.SequenceEqual("Value"u8)) readValue = reader.ReadBytes().ToArray();
            else if (key.SequenceEqual("Sequence"u8)) readSequence = reader.ReadUInt64();
            else if (key.SequenceEqual("Validity"u8)) validity = reader.ReadBytes();
            else if (key.SequenceEqual("ValidityType"u8)) type = reader.ReadUInt64();
            else reader.Skip();
        }

        reader.End();
        if (type != 0) throw new IpnsException(IpnsRefusal.Malformed, $"validity of type {type}; the only one is 0, an end");
        if (readValue is null || readSequence is null || readTtl is null) throw new IpnsException(IpnsRefusal.Malformed, "value, sequence or time to live is missing");
        value = readValue;
        sequence = readSequence.Value;
        ttl = readTtl.Value;
        return validity;
    }

    /// <summary>RFC 3339, with up to nine digits of a second; years beyond 9999 do not exist there.</summary>
    private static DateTimeOffset ParseTime(string text)
    {
        // .NET takes seven digits, and cuts none off by itself.
        int dot = text.IndexOf('.', StringComparison.Ordinal), end = dot + 1;
        while (dot > 0 && end < text.Length && char.IsAsciiDigit(text[end])) end++;
        string cut = dot > 0 && end - dot > 8 ? string.Concat(text.AsSpan(0, dot + 8), text.AsSpan(end)) : text;
        string[] formats = ["yyyy-MM-dd'T'HH:mm:ssK", "yyyy-MM-dd'T'HH:mm:ss.FFFFFFFK"];
        return text.Length <= 64 && (text.EndsWith('Z') || (text.Length > 6 && text[^6] is '+' or '-'))
            && DateTimeOffset.TryParseExact(cut, formats, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out DateTimeOffset time)
            ? time
            : throw new IpnsException(IpnsRefusal.Malformed, $"'{text[..Math.Min(text.Length, 64)]}' is no time");
    }
}
