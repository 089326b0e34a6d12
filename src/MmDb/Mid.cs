using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using Leither.Ipfs.Multiformats;

namespace Leither.MmDb;

/// <summary>
/// The id of a MiMei, for life: the first 20 bytes of the SHA-256 of its info block (<see cref="MimeiInfo"/>). Written in base64url, 27 characters,
/// case-sensitive, and the first may be '-'; file names are in base32, which needs no letter case.
/// </summary>
public readonly struct Mid : IEquatable<Mid>
{
    /// <summary>How many bytes it has.</summary>
    public const int Length = 20;

    /// <summary>How many characters it is written in.</summary>
    public const int TextLength = 27;

    /// <summary>How many characters its file name has.</summary>
    public const int FileNameLength = 32;

    private readonly Bytes _bytes;

    /// <summary>The id with these bytes.</summary>
    public Mid(ReadOnlySpan<byte> bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(bytes.Length, Length);
        bytes.CopyTo(_bytes);
    }

    /// <summary>The id that an info block certifies.</summary>
    public static Mid Of(ReadOnlySpan<byte> infoBlock)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(infoBlock, hash);
        return new Mid(hash[..Length]);
    }

    /// <summary>Its bytes.</summary>
    [UnscopedRef]
    public ReadOnlySpan<byte> Span => _bytes;

    /// <summary>Reads an id as people write it.</summary>
    public static bool TryParse(ReadOnlySpan<char> text, out Mid mid) => TryParse(MultibaseEncoding.Base64Url, text, TextLength, out mid);

    /// <summary>As the other, from ASCII.</summary>
    public static bool TryParse(ReadOnlySpan<byte> text, out Mid mid)
    {
        Span<char> characters = stackalloc char[TextLength];
        mid = default;
        return text.Length == TextLength && TryParse(characters[..Encoding.Latin1.GetChars(text, characters)], out mid);
    }

    /// <summary>Reads the name of a folder.</summary>
    public static bool TryParseFileName(ReadOnlySpan<char> name, out Mid mid) =>
        TryParse(MultibaseEncoding.Base32, name, FileNameLength, out mid) && name.SequenceEqual(mid.FileName);

    /// <summary>Its name where letter case may not count.</summary>
    public string FileName => Multibase.EncodeBare(MultibaseEncoding.Base32, Span);

    /// <inheritdoc/>
    public override string ToString() => Multibase.EncodeBare(MultibaseEncoding.Base64Url, Span);

    /// <inheritdoc/>
    public bool Equals(Mid other) => Span.SequenceEqual(other.Span);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is Mid other && Equals(other);

    /// <summary>Bytes of a cryptographic hash are as good as any other.</summary>
    public override int GetHashCode() => MemoryMarshal.Read<int>(Span);

    /// <summary>Whether they are the same.</summary>
    public static bool operator ==(Mid left, Mid right) => left.Equals(right);

    /// <summary>Whether they differ.</summary>
    public static bool operator !=(Mid left, Mid right) => !left.Equals(right);

    private static bool TryParse(MultibaseEncoding encoding, ReadOnlySpan<char> text, int length, out Mid mid)
    {
        mid = default;
        if (text.Length != length || !Multibase.TryDecodeBare(encoding, text, out byte[]? bytes) || bytes.Length != Length)
        {
            return false;
        }

        mid = new Mid(bytes);
        return true;
    }

    [InlineArray(Length)]
    private struct Bytes
    {
        private byte _first;
    }
}
