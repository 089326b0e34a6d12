using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.Keys;

/// <summary>
/// The id of a user, a node or a MiMei: the first 20 bytes of the SHA-256 of what it names (a public key's protobuf, a MiMei's info), in text 27
/// characters of base64url. It may begin with <c>-</c> and is case-sensitive, so folders are named by <see cref="ToBase32"/>.
/// </summary>
public readonly struct LeitherId : IEquatable<LeitherId>
{
    /// <summary>How many bytes an id has.</summary>
    public const int Length = 20;

    /// <summary>How many characters its text has.</summary>
    public const int TextLength = 27;

    // In memory order: only copied and compared.
    private readonly ulong _w0, _w1;
    private readonly uint _w2;

    /// <summary>Takes an id's 20 bytes.</summary>
    /// <exception cref="ArgumentException">They are not 20.</exception>
    public LeitherId(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length != Length)
        {
            throw new ArgumentException($"An id has {Length} bytes, not {bytes.Length}.", nameof(bytes));
        }

        _w0 = MemoryMarshal.Read<ulong>(bytes);
        _w1 = MemoryMarshal.Read<ulong>(bytes[8..]);
        _w2 = MemoryMarshal.Read<uint>(bytes[16..]);
    }

    /// <summary>The id of what these bytes say.</summary>
    public static LeitherId Of(ReadOnlySpan<byte> named)
    {
        Span<byte> digest = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(named, digest);
        return new LeitherId(digest[..Length]);
    }

    /// <summary>Reads an id's text.</summary>
    /// <exception cref="FormatException">It is none.</exception>
    public static LeitherId Parse(ReadOnlySpan<char> text) => TryParse(text, out LeitherId id) ? id : throw new FormatException($"An id has {TextLength} characters of base64url.");

    /// <summary>Reads an id's text.</summary>
    public static bool TryParse(ReadOnlySpan<char> text, out LeitherId id) => TryDecode(MultibaseEncoding.Base64Url, text, TextLength, out id);

    /// <summary>Reads the name that <see cref="ToBase32"/> gives.</summary>
    public static bool TryParseBase32(ReadOnlySpan<char> text, out LeitherId id) => TryDecode(MultibaseEncoding.Base32, text, Length * 8 / 5, out id);

    /// <summary>Copies the id's 20 bytes.</summary>
    public void CopyTo(Span<byte> destination)
    {
        MemoryMarshal.Write(destination, _w0);
        MemoryMarshal.Write(destination[8..], _w1);
        MemoryMarshal.Write(destination[16..], _w2);
    }

    /// <summary>The id's 20 bytes.</summary>
    public byte[] ToArray()
    {
        byte[] bytes = new byte[Length];
        CopyTo(bytes);
        return bytes;
    }

    /// <summary>A name for files and folders: 32 characters, lower case, no sign.</summary>
    public string ToBase32() => Multibase.EncodeBare(MultibaseEncoding.Base32, ToArray());

    /// <summary>The id's text.</summary>
    public override string ToString() => Multibase.EncodeBare(MultibaseEncoding.Base64Url, ToArray());

    /// <inheritdoc/>
    public bool Equals(LeitherId other) => _w0 == other._w0 && _w1 == other._w1 && _w2 == other._w2;

    /// <inheritdoc/>
    public override bool Equals([NotNullWhen(true)] object? obj) => obj is LeitherId other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(_w0, _w1, _w2);

    /// <summary>Whether two are the same id.</summary>
    public static bool operator ==(LeitherId left, LeitherId right) => left.Equals(right);

    /// <summary>Whether two differ.</summary>
    public static bool operator !=(LeitherId left, LeitherId right) => !left.Equals(right);

    private static bool TryDecode(MultibaseEncoding encoding, ReadOnlySpan<char> text, int length, out LeitherId id)
    {
        Span<byte> bytes = stackalloc byte[Length];
        bool read = text.Length == length && Multibase.TryDecodeBare(encoding, text, bytes, out int written) && written == Length;
        id = read ? new LeitherId(bytes) : default;
        return read;
    }
}
