// A digest that says which function made it: varint code, varint length, digest. SHA-256, what nearly all content uses, lies inline; the
// rest (identity, SHA-512, functions that Leither cannot compute but may meet in a foreign link) holds an array.
// https://github.com/multiformats/multihash

using System.Security.Cryptography;

namespace Leither.Ipfs.Multiformats;

/// <summary>A self-describing hash. Two are equal when their bytes are.</summary>
public readonly struct Multihash : IEquatable<Multihash>
{
    /// <summary>
    /// The most bytes that a digest may have, that of identity too: the bound that Kubo sets ("verifcid"), so nothing larger could be
    /// passed on anyway.
    /// </summary>
    public const int MaxDigestLength = 128;

    /// <summary>The most bytes that a multihash takes: its code, its length, its digest.</summary>
    public const int MaxLength = Varint.MaxLength + 2 + MaxDigestLength;

    private readonly Digest256 _sha256;
    private readonly byte[]? _other;
    private readonly ulong _code;

    /// <summary>Names the function that made a digest. The digest is copied.</summary>
    /// <exception cref="ArgumentException">The digest is longer than <see cref="MaxDigestLength"/>, or the code than a varint.</exception>
    public Multihash(ulong code, ReadOnlySpan<byte> digest)
    {
        if (digest.Length > MaxDigestLength || code > Varint.MaxValue)
        {
            throw new ArgumentException($"A digest of {digest.Length} bytes by 0x{code:x}; the limits are {MaxDigestLength} bytes and 63 bits.");
        }

        _code = code;
        if (IsInline(code, digest.Length))
        {
            _sha256 = new Digest256(digest);
        }
        else
        {
            _other = digest.ToArray();
        }
    }

    internal Multihash(ulong code, Digest256 sha256, byte[]? other)
    {
        _code = code;
        _sha256 = sha256;
        _other = other;
    }

    /// <summary>The function, such as <see cref="Multicodec.Sha256"/>.</summary>
    public ulong Code => _code;

    /// <summary>How many bytes the digest has.</summary>
    public int DigestLength => _other?.Length ?? (_code == Multicodec.Sha256 ? Digest256.Length : 0);

    /// <summary>How many bytes the multihash takes.</summary>
    public int Length => Varint.Length(_code) + Varint.Length((ulong)DigestLength) + DigestLength;

    internal Digest256 Inline => _sha256;

    internal byte[]? Other => _other;

    /// <summary>The SHA-256 multihash of <paramref name="content"/>.</summary>
    public static Multihash Sha256(ReadOnlySpan<byte> content)
    {
        Span<byte> digest = stackalloc byte[Digest256.Length];
        SHA256.HashData(content, digest);
        return new Multihash(Multicodec.Sha256, digest);
    }

    /// <summary>The SHA-512 multihash of <paramref name="content"/>.</summary>
    public static Multihash Sha512(ReadOnlySpan<byte> content)
    {
        Span<byte> digest = stackalloc byte[SHA512.HashSizeInBytes];
        SHA512.HashData(content, digest);
        return new Multihash(Multicodec.Sha512, digest);
    }

    /// <summary>The multihash that carries <paramref name="content"/> itself.</summary>
    /// <exception cref="ArgumentException">The content is longer than <see cref="MaxDigestLength"/>.</exception>
    public static Multihash Identity(ReadOnlySpan<byte> content) => new(Multicodec.Identity, content);

    /// <summary>Whether Leither computes this function, and so can check content against it.</summary>
    public static bool CanVerify(ulong code) => code is Multicodec.Sha256 or Multicodec.Sha512 or Multicodec.Identity;

    /// <summary>Whether the digest is that of <paramref name="content"/>. False as well for functions that Leither does not compute, and for truncated digests.</summary>
    public bool Verify(ReadOnlySpan<byte> content)
    {
        switch (_code)
        {
            case Multicodec.Sha256 when _other == null:
                Span<byte> sha256 = stackalloc byte[Digest256.Length];
                SHA256.HashData(content, sha256);
                return new Digest256(sha256).Equals(_sha256);
            case Multicodec.Sha512:
                Span<byte> sha512 = stackalloc byte[SHA512.HashSizeInBytes];
                SHA512.HashData(content, sha512);
                return sha512.SequenceEqual(_other);
            case Multicodec.Identity:
                return content.SequenceEqual(_other);
            default:
                return false;
        }
    }

    /// <summary>Reads the multihash at the beginning of <paramref name="source"/>; what follows it is left alone.</summary>
    public static bool TryRead(ReadOnlySpan<byte> source, out Multihash multihash, out int used)
    {
        multihash = default;
        used = 0;
        if (!Varint.TryRead(source, out ulong code, out int codeLength) || !Varint.TryRead(source[codeLength..], out ulong length, out int lengthLength))
        {
            return false;
        }

        ReadOnlySpan<byte> rest = source[(codeLength + lengthLength)..];
        if (length > MaxDigestLength || length > (ulong)rest.Length)
        {
            return false;
        }

        multihash = new Multihash(code, rest[..(int)length]);
        used = codeLength + lengthLength + (int)length;
        return true;
    }

    /// <summary>Writes the multihash and returns how many bytes that took. The caller has seen to the room: <see cref="Length"/>.</summary>
    public int Write(Span<byte> destination)
    {
        int at = Varint.Write(destination, _code);
        at += Varint.Write(destination[at..], (ulong)DigestLength);
        return at + CopyDigest(destination[at..]);
    }

    /// <summary>Copies the digest alone and returns how many bytes that took.</summary>
    public int CopyDigest(Span<byte> destination)
    {
        if (IsInline(_code, DigestLength))
        {
            _sha256.CopyTo(destination);
            return Digest256.Length;
        }

        _other.CopyTo(destination);
        return DigestLength;
    }

    /// <summary>The multihash's bytes.</summary>
    public byte[] ToArray()
    {
        byte[] bytes = new byte[Length];
        Write(bytes);
        return bytes;
    }

    /// <inheritdoc/>
    public bool Equals(Multihash other) =>
        _code == other._code && _sha256.Equals(other._sha256) && DigestLength == other.DigestLength && _other.AsSpan().SequenceEqual(other._other);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is Multihash other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => CidHash.Of(_code, in _sha256, DigestLength == 0 ? [] : _other);

    /// <summary>Whether two are the same hash.</summary>
    public static bool operator ==(Multihash left, Multihash right) => left.Equals(right);

    /// <summary>Whether two differ.</summary>
    public static bool operator !=(Multihash left, Multihash right) => !left.Equals(right);

    /// <summary>The bytes in hexadecimal.</summary>
    public override string ToString() => Convert.ToHexStringLower(ToArray());

    /// <summary>Whether a digest lies in four words and not in an array.</summary>
    internal static bool IsInline(ulong code, int digestLength) => code == Multicodec.Sha256 && digestLength == Digest256.Length;
}
