// The name of content: which codec reads it, and its hash. https://github.com/multiformats/cid
//
//   version 0:  <sha2-256 multihash, 34 bytes>                               text: base58btc, 46 characters "Qm…"
//   version 1:  <varint 1> <varint codec> <multihash>                        text: multibase, by default base32 "b…"
//
// Nearly all are version 1 with SHA-256: 36 bytes, held inline, nothing on the heap. What differs holds an array.

using System.Diagnostics.CodeAnalysis;

namespace Leither.Ipfs.Multiformats;

/// <summary>A content identifier. A value; two are equal when their bytes are, so a version 0 and a version 1 of the same content differ.</summary>
public readonly struct Cid : IEquatable<Cid>
{
    /// <summary>The most bytes that a CID takes.</summary>
    public const int MaxLength = 1 + Varint.MaxLength + Multihash.MaxLength;

    /// <summary>The most characters that a CID's text takes: hexadecimal and its prefix.</summary>
    public const int MaxTextLength = 1 + 2 * MaxLength;

    /// <summary>How many bytes a version 1 CID takes whose hash is SHA-256 and whose codec is below 128, as all of Leither's are.</summary>
    public const int UsualLength = 36;

    private const int V0Length = 34;
    private const int V0TextLength = 46;

    private readonly Digest256 _sha256;
    private readonly byte[]? _other;
    private readonly ulong _codec;
    private readonly uint _hashCode;
    private readonly Form _form;

    private Cid(Form form, ulong codec, Multihash multihash)
    {
        _form = form;
        _codec = codec;
        _sha256 = multihash.Inline;
        if (Multihash.IsInline(multihash.Code, multihash.DigestLength))
        {
            _hashCode = (uint)Multicodec.Sha256;
        }
        else if (multihash.Code <= uint.MaxValue)
        {
            _hashCode = (uint)multihash.Code;
            _other = multihash.Other ?? [];
        }
        else
        {
            throw new ArgumentException($"Hash function 0x{multihash.Code:x}: no code of the multicodec table is that large.");
        }
    }

    private enum Form : byte
    {
        None,
        V0,
        V1,
    }

    /// <summary>Whether this is no CID at all: a default value.</summary>
    public bool IsNone => _form == Form.None;

    /// <summary>0 or 1.</summary>
    public int Version => _form == Form.V0 ? 0 : 1;

    /// <summary>What the content is written in, such as <see cref="Multicodec.DagCbor"/>.</summary>
    public ulong Codec => _codec;

    /// <summary>The hash function, such as <see cref="Multicodec.Sha256"/>.</summary>
    public ulong HashFunction => _hashCode;

    /// <summary>The hash of the content.</summary>
    public Multihash Multihash => new(_hashCode, _sha256, _other);

    /// <summary>How many bytes the CID takes.</summary>
    public int Length => _form switch
    {
        Form.V1 => 1 + Varint.Length(_codec) + Multihash.Length,
        Form.V0 => V0Length,
        _ => 0,
    };

    /// <summary>The version 1 CID of content: its SHA-256.</summary>
    public static Cid Of(ulong codec, ReadOnlySpan<byte> content) => Create(codec, Multihash.Sha256(content));

    /// <summary>The version 1 CID of content whose SHA-256 is known.</summary>
    public static Cid OfSha256(ulong codec, ReadOnlySpan<byte> digest) =>
        digest.Length == Digest256.Length ? Create(codec, new Multihash(Multicodec.Sha256, digest)) : throw new ArgumentException("A SHA-256 has 32 bytes.", nameof(digest));

    /// <summary>A version 1 CID.</summary>
    public static Cid Create(ulong codec, Multihash multihash) =>
        codec <= Varint.MaxValue ? new Cid(Form.V1, codec, multihash) : throw new ArgumentOutOfRangeException(nameof(codec));

    /// <summary>A version 0 CID: DAG-PB content with a whole SHA-256.</summary>
    public static Cid CreateV0(Multihash multihash) =>
        Multihash.IsInline(multihash.Code, multihash.DigestLength) ? new Cid(Form.V0, Multicodec.DagPb, multihash)
        : throw new ArgumentException("A CID of version 0 holds a SHA-256 and nothing else.", nameof(multihash));

    /// <summary>The version 1 CID of the same content.</summary>
    public Cid ToV1() => _form == Form.V0 ? new Cid(Form.V1, _codec, Multihash) : this;

    /// <summary>Whether this is the name of <paramref name="content"/>. False as well for hash functions that Leither does not compute.</summary>
    public bool Verify(ReadOnlySpan<byte> content) => _form != Form.None && Multihash.Verify(content);

    /// <summary>
    /// Reads the CID at the beginning of <paramref name="source"/>; what follows it is left alone. Its form tells where it ends, so CIDs can
    /// stand in front of other bytes, as in a CAR.
    /// </summary>
    public static bool TryRead(ReadOnlySpan<byte> source, out Cid cid, out int used)
    {
        cid = default;
        used = 0;
        if (source.Length >= V0Length && source[0] == Multicodec.Sha256 && source[1] == Digest256.Length)
        {
            cid = new Cid(Form.V0, Multicodec.DagPb, new Multihash(Multicodec.Sha256, source[2..V0Length]));
            used = V0Length;
            return true;
        }

        // 0x12 cannot begin a version 1; other versions are reserved.
        if (source.IsEmpty || source[0] != 1
            || !Varint.TryRead(source[1..], out ulong codec, out int codecLength)
            || !Multihash.TryRead(source[(1 + codecLength)..], out Multihash multihash, out int hashLength)
            || multihash.Code > uint.MaxValue)
        {
            return false;
        }

        cid = new Cid(Form.V1, codec, multihash);
        used = 1 + codecLength + hashLength;
        return true;
    }

    /// <summary>Reads bytes that are one CID and nothing else.</summary>
    public static bool TryRead(ReadOnlySpan<byte> source, out Cid cid)
    {
        if (TryRead(source, out cid, out int used) && used == source.Length)
        {
            return true;
        }

        cid = default;
        return false;
    }

    /// <summary>Writes the CID; false if there is no room. None writes nothing.</summary>
    public bool TryWrite(Span<byte> destination, out int written)
    {
        written = 0;
        if (destination.Length < Length)
        {
            return false;
        }

        written = Write(destination);
        return true;
    }

    /// <summary>Writes the CID and returns how many bytes that took. The caller has seen to the room: <see cref="Length"/>.</summary>
    public int Write(Span<byte> destination)
    {
        int at = 0;
        if (_form == Form.V1)
        {
            destination[0] = 1;
            at = 1 + Varint.Write(destination[1..], _codec);
        }

        return _form == Form.None ? 0 : at + Multihash.Write(destination[at..]);
    }

    /// <summary>The CID's bytes.</summary>
    public byte[] ToArray()
    {
        byte[] bytes = new byte[Length];
        Write(bytes);
        return bytes;
    }

    /// <summary>Reads a CID's text.</summary>
    /// <exception cref="FormatException">It is none.</exception>
    public static Cid Parse(ReadOnlySpan<char> text) =>
        TryParse(text, out Cid cid) ? cid
        : throw new FormatException($"Not a CID: {(text.Length <= MaxTextLength ? text.ToString() : $"{text.Length} characters")}");

    /// <summary>Reads a CID's text: version 0 in base58btc, version 1 in any multibase.</summary>
    public static bool TryParse([NotNullWhen(true)] string? text, out Cid cid) => TryParse(text.AsSpan(), out cid);

    /// <summary>Reads a CID's text: version 0 in base58btc, version 1 in any multibase.</summary>
    public static bool TryParse(ReadOnlySpan<char> text, out Cid cid)
    {
        cid = default;
        if (text.Length is < 2 or > MaxTextLength)
        {
            return false;
        }

        Span<byte> bytes = stackalloc byte[MaxLength];
        if (text.Length == V0TextLength && text[0] == 'Q' && text[1] == 'm')
        {
            return Multibase.TryDecodeBare(MultibaseEncoding.Base58Btc, text, bytes, out int length) && TryRead(bytes[..length], out cid);
        }

        // A version 0 has no multibase form: one that stands behind a prefix is refused, as the specification's decoder does.
        if (Multibase.IsKnown(text[0])
            && Multibase.TryDecodeBare((MultibaseEncoding)text[0], text[1..], bytes, out int written)
            && TryRead(bytes[..written], out Cid read)
            && read._form == Form.V1)
        {
            cid = read;
            return true;
        }

        return false;
    }

    /// <summary>The text that is usual for the version: base58btc for 0, base32 for 1.</summary>
    public override string ToString() =>
        _form == Form.V0 ? Encode(MultibaseEncoding.Base58Btc, prefix: false) : ToString(MultibaseEncoding.Base32);

    /// <summary>The text in another multibase. A version 0 has but one text.</summary>
    public string ToString(MultibaseEncoding encoding) => _form switch
    {
        Form.V1 => Encode(encoding, prefix: true),
        Form.V0 when encoding == MultibaseEncoding.Base58Btc => ToString(),
        Form.V0 => throw new InvalidOperationException("A CID of version 0 is written in base58btc; take ToV1() for another base."),
        _ => "",
    };

    /// <inheritdoc/>
    public bool Equals(Cid other) =>
        _sha256.Equals(other._sha256) && _codec == other._codec && _form == other._form && _hashCode == other._hashCode
        && (_other == other._other || (_other != null && other._other != null && _other.AsSpan().SequenceEqual(other._other)));

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is Cid other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => CidHash.Of(_codec, in _sha256, _other);

    /// <summary>Whether two are the same CID.</summary>
    public static bool operator ==(Cid left, Cid right) => left.Equals(right);

    /// <summary>Whether two differ.</summary>
    public static bool operator !=(Cid left, Cid right) => !left.Equals(right);

    private string Encode(MultibaseEncoding encoding, bool prefix)
    {
        Span<byte> bytes = stackalloc byte[MaxLength];
        bytes = bytes[..Write(bytes)];
        return prefix ? Multibase.Encode(encoding, bytes) : Multibase.EncodeBare(encoding, bytes);
    }
}
