// Bytes as text, with a first character that names the alphabet. Two kinds of base: those whose digit is a whole number of bits
// (16, 32, 64; RFC 4648) stream bit by bit; 36 and 58 are one long division, quadratic in the length, so their length is bounded.
// Decoding is strict where two texts could mean the same bytes: bits left over are zero, padding is exactly there or exactly not.
// Letter case is the one freedom that the multibase table leaves to readers: bases 16, 32 and 36 are read in either.

using System.Diagnostics.CodeAnalysis;

namespace Leither.Ipfs.Multiformats;

/// <summary>
/// The alphabets of multibase that Leither reads and writes; the value is the prefix character.
/// https://github.com/multiformats/multibase/blob/master/multibase.csv
/// </summary>
public enum MultibaseEncoding : byte
{
    /// <summary>No encoding.</summary>
    None = 0,

    /// <summary>Hexadecimal.</summary>
    Base16 = (byte)'f',

    /// <summary>Hexadecimal in capitals.</summary>
    Base16Upper = (byte)'F',

    /// <summary>RFC 4648 base 32 without padding: how a CID of version 1 is written.</summary>
    Base32 = (byte)'b',

    /// <summary>RFC 4648 base 32 in capitals, without padding.</summary>
    Base32Upper = (byte)'B',

    /// <summary>RFC 4648 base 32 with padding.</summary>
    Base32Pad = (byte)'c',

    /// <summary>RFC 4648 base 32 in capitals, with padding.</summary>
    Base32PadUpper = (byte)'C',

    /// <summary>RFC 4648 base 32 in the order of hexadecimal, without padding.</summary>
    Base32Hex = (byte)'v',

    /// <summary>RFC 4648 base 32 in the order of hexadecimal, in capitals, without padding.</summary>
    Base32HexUpper = (byte)'V',

    /// <summary>RFC 4648 base 32 in the order of hexadecimal, with padding.</summary>
    Base32HexPad = (byte)'t',

    /// <summary>RFC 4648 base 32 in the order of hexadecimal, in capitals, with padding.</summary>
    Base32HexPadUpper = (byte)'T',

    /// <summary>Digits and letters: how an IPNS name fits a DNS label.</summary>
    Base36 = (byte)'k',

    /// <summary>Digits and capitals.</summary>
    Base36Upper = (byte)'K',

    /// <summary>The alphabet of Bitcoin addresses: peer ids and CIDs of version 0.</summary>
    Base58Btc = (byte)'z',

    /// <summary>RFC 4648 base 64 without padding.</summary>
    Base64 = (byte)'m',

    /// <summary>RFC 4648 base 64 with padding.</summary>
    Base64Pad = (byte)'M',

    /// <summary>RFC 4648 base 64 for addresses and file names, without padding: ids of nodes, users and MiMei.</summary>
    Base64Url = (byte)'u',

    /// <summary>RFC 4648 base 64 for addresses and file names, with padding.</summary>
    Base64UrlPad = (byte)'U',
}

/// <summary>Bytes as self-describing text. https://github.com/multiformats/multibase</summary>
public static class Multibase
{
    /// <summary>The most bytes that a base 36 or 58 text may hold: its cost grows with the square of its length.</summary>
    public const int MaxDividedLength = 1024;

    /// <summary>Writes <paramref name="bytes"/> with the character in front that names the encoding.</summary>
    public static string Encode(MultibaseEncoding encoding, ReadOnlySpan<byte> bytes) => Encode(encoding, bytes, prefix: true);

    /// <summary>Writes <paramref name="bytes"/> without the character that names the encoding.</summary>
    public static string EncodeBare(MultibaseEncoding encoding, ReadOnlySpan<byte> bytes) => Encode(encoding, bytes, prefix: false);

    /// <summary>The most characters that <see cref="TryEncodeBare"/> writes for so many bytes.</summary>
    public static int MaxEncodedLength(MultibaseEncoding encoding, int byteCount)
    {
        Alphabet alphabet = Alphabet.Of(encoding);
        // A byte is 1.55 digits of base 36 and 1.37 of base 58.
        return alphabet.Bits == 0 ? checked(byteCount * 8 / 5 + 1)
            : checked((byteCount + alphabet.GroupBytes - 1) / alphabet.GroupBytes * alphabet.GroupDigits);
    }

    /// <summary>Writes <paramref name="bytes"/> without the character that names the encoding; false if there is no room.</summary>
    public static bool TryEncodeBare(MultibaseEncoding encoding, ReadOnlySpan<byte> bytes, Span<char> destination, out int written)
    {
        Alphabet alphabet = Alphabet.Of(encoding);
        return alphabet.Bits == 0 ? TryEncodeDivided(alphabet, bytes, destination, out written) : TryEncodeBits(alphabet, bytes, destination, out written);
    }

    /// <summary>Reads text whose first character names its encoding.</summary>
    public static bool TryDecode(ReadOnlySpan<char> text, [NotNullWhen(true)] out byte[]? bytes, out MultibaseEncoding encoding)
    {
        encoding = MultibaseEncoding.None;
        bytes = null;
        if (text.IsEmpty || !IsKnown(text[0]))
        {
            return false;
        }

        encoding = (MultibaseEncoding)text[0];
        return TryDecodeBare(encoding, text[1..], out bytes);
    }

    /// <summary>Reads text in a known encoding, without the character that names it.</summary>
    public static bool TryDecodeBare(MultibaseEncoding encoding, ReadOnlySpan<char> text, [NotNullWhen(true)] out byte[]? bytes)
    {
        bytes = null;
        // No base packs more than six bits in a character; but where one is divided, a leading zero digit is a byte.
        byte[] room = new byte[Alphabet.Of(encoding).Bits == 0 ? Math.Min(text.Length, MaxDividedLength) : text.Length - text.Length / 4];
        if (!TryDecodeBare(encoding, text, room, out int written))
        {
            return false;
        }

        bytes = written == room.Length ? room : room[..written];
        return true;
    }

    /// <summary>
    /// Reads text in a known encoding, without the character that names it, into <paramref name="destination"/>; false if it is malformed
    /// or does not fit.
    /// </summary>
    public static bool TryDecodeBare(MultibaseEncoding encoding, ReadOnlySpan<char> text, Span<byte> destination, out int written)
    {
        Alphabet alphabet = Alphabet.Of(encoding);
        return alphabet.Bits == 0 ? TryDecodeDivided(alphabet, text, destination, out written) : TryDecodeBits(alphabet, text, destination, out written);
    }

    /// <summary>Whether a text's first character names an encoding that is read here.</summary>
    internal static bool IsKnown(char prefix) => prefix < 128 && Alphabet.IsKnown((MultibaseEncoding)prefix);

    private static string Encode(MultibaseEncoding encoding, ReadOnlySpan<byte> bytes, bool prefix)
    {
        int length = MaxEncodedLength(encoding, bytes.Length) + 1;
        Span<char> text = length <= 256 ? stackalloc char[256] : new char[length];
        text[0] = (char)encoding;
        if (!TryEncodeBare(encoding, bytes, text[1..], out int written))
        {
            throw new ArgumentException($"{bytes.Length} bytes are too many for {encoding}; it takes {MaxDividedLength}.", nameof(bytes));
        }

        return new string(prefix ? text[..(written + 1)] : text.Slice(1, written));
    }

    private static bool TryEncodeBits(Alphabet alphabet, ReadOnlySpan<byte> bytes, Span<char> destination, out int written)
    {
        written = 0;
        int bits = alphabet.Bits;
        long length = ((long)bytes.Length * 8 + bits - 1) / bits;
        long padded = alphabet.Padded ? (length + alphabet.GroupDigits - 1) / alphabet.GroupDigits * alphabet.GroupDigits : length;
        if (padded > destination.Length)
        {
            return false;
        }

        string digits = alphabet.Digits;
        uint waiting = 0;
        int count = 0, at = 0;
        foreach (byte b in bytes)
        {
            waiting = waiting << 8 | b;
            count += 8;
            while (count >= bits)
            {
                count -= bits;
                destination[at++] = digits[(int)(waiting >> count) & alphabet.Mask];
            }
        }

        if (count > 0)
        {
            destination[at++] = digits[(int)(waiting << bits - count) & alphabet.Mask];
        }

        destination[at..(int)padded].Fill('=');
        written = (int)padded;
        return true;
    }

    private static bool TryDecodeBits(Alphabet alphabet, ReadOnlySpan<char> text, Span<byte> destination, out int written)
    {
        written = 0;
        if (alphabet.Padded)
        {
            if (text.Length % alphabet.GroupDigits != 0)
            {
                return false;
            }

            // A group's last byte leaves fewer than a group's digits empty, so padding never fills a group; what remains is checked below.
            int end = text.Length;
            while (end > 0 && text[end - 1] == '=')
            {
                end--;
            }

            if (text.Length - end >= alphabet.GroupDigits)
            {
                return false;
            }

            text = text[..end];
        }

        int bits = alphabet.Bits;
        uint waiting = 0;
        int count = 0, at = 0;
        foreach (char c in text)
        {
            int digit = alphabet.ValueOf(c);
            if (digit < 0)
            {
                return false;
            }

            waiting = waiting << bits | (uint)digit;
            count += bits;
            if (count >= 8)
            {
                count -= 8;
                if (at == destination.Length)
                {
                    return false;
                }

                destination[at++] = (byte)(waiting >> count);
            }
        }

        // A whole digit left over carries nothing, and bits left over would be lost: neither was written by an encoder.
        if (count >= bits || (waiting & (1u << count) - 1) != 0)
        {
            return false;
        }

        written = at;
        return true;
    }

    private static bool TryEncodeDivided(Alphabet alphabet, ReadOnlySpan<byte> bytes, Span<char> destination, out int written)
    {
        written = 0;
        if (bytes.Length > MaxDividedLength)
        {
            return false;
        }

        // A leading zero byte is one leading zero digit; the rest is one number, built digit by digit, lowest first.
        int zeros = 0;
        while (zeros < bytes.Length && bytes[zeros] == 0)
        {
            zeros++;
        }

        Span<byte> number = stackalloc byte[MaxDividedLength * 8 / 5 + 1];
        int length = 0;
        uint radix = (uint)alphabet.Digits.Length;
        foreach (byte b in bytes[zeros..])
        {
            uint carry = b;
            for (int i = 0; i < length; i++)
            {
                carry += (uint)number[i] << 8;
                (carry, uint digit) = Math.DivRem(carry, radix);
                number[i] = (byte)digit;
            }

            while (carry != 0)
            {
                (carry, uint digit) = Math.DivRem(carry, radix);
                number[length++] = (byte)digit;
            }
        }

        if (zeros + length > destination.Length)
        {
            return false;
        }

        destination[..zeros].Fill(alphabet.Digits[0]);
        for (int i = 0; i < length; i++)
        {
            destination[zeros + i] = alphabet.Digits[number[length - 1 - i]];
        }

        written = zeros + length;
        return true;
    }

    private static bool TryDecodeDivided(Alphabet alphabet, ReadOnlySpan<char> text, Span<byte> destination, out int written)
    {
        written = 0;
        if (text.Length > MaxDividedLength * 8 / 5 + 1)
        {
            return false;
        }

        int zeros = 0;
        while (zeros < text.Length && text[zeros] == alphabet.Digits[0])
        {
            zeros++;
        }

        Span<byte> number = stackalloc byte[MaxDividedLength];
        int length = 0;
        uint radix = (uint)alphabet.Digits.Length;
        foreach (char c in text[zeros..])
        {
            int digit = alphabet.ValueOf(c);
            if (digit < 0)
            {
                return false;
            }

            uint carry = (uint)digit;
            for (int i = 0; i < length; i++)
            {
                carry += number[i] * radix;
                number[i] = (byte)carry;
                carry >>= 8;
            }

            if (carry != 0)
            {
                if (length == number.Length)
                {
                    return false;
                }

                number[length++] = (byte)carry;
            }
        }

        if (zeros + length > Math.Min(destination.Length, MaxDividedLength))
        {
            return false;
        }

        destination[..zeros].Clear();
        for (int i = 0; i < length; i++)
        {
            destination[zeros + i] = number[length - 1 - i];
        }

        written = zeros + length;
        return true;
    }

    /// <summary>One base: its digits, and what each character is worth.</summary>
    private sealed class Alphabet
    {
        private const string Hex = "0123456789abcdef";
        private const string Rfc32 = "abcdefghijklmnopqrstuvwxyz234567";
        private const string Rfc32Hex = "0123456789abcdefghijklmnopqrstuv";
        private const string Alphanumeric = "0123456789abcdefghijklmnopqrstuvwxyz";
        private const string Bitcoin = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
        private const string Rfc64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        private const string Rfc64Url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

        private static readonly Alphabet?[] _all = All();

        private readonly sbyte[] _values = new sbyte[128];

        private Alphabet(string digits, int bits, bool upper = false, bool padded = false)
        {
            Digits = upper ? digits.ToUpperInvariant() : digits;
            Bits = bits;
            Mask = (1 << bits) - 1;
            Padded = padded;
            (GroupBytes, GroupDigits) = bits switch { 4 => (1, 2), 5 => (5, 8), 6 => (3, 4), _ => (0, 0) };
            Array.Fill(_values, (sbyte)-1);
            bool anyCase = digits.Length <= 36;
            for (int i = 0; i < digits.Length; i++)
            {
                _values[digits[i]] = (sbyte)i;
                if (anyCase)
                {
                    _values[char.ToUpperInvariant(digits[i])] = (sbyte)i;
                }
            }
        }

        public string Digits { get; }

        /// <summary>How many bits a digit carries; 0 where that is no whole number.</summary>
        public int Bits { get; }

        public int Mask { get; }

        public bool Padded { get; }

        /// <summary>Where bytes and digits meet again: 5 bytes are 8 digits of base 32.</summary>
        public int GroupBytes { get; }

        public int GroupDigits { get; }

        public static bool IsKnown(MultibaseEncoding encoding) => (byte)encoding < 128 && _all[(byte)encoding] != null;

        public static Alphabet Of(MultibaseEncoding encoding) =>
            IsKnown(encoding) ? _all[(byte)encoding]! : throw new ArgumentOutOfRangeException(nameof(encoding), encoding, "Unknown encoding.");

        public int ValueOf(char c) => c < 128 ? _values[c] : -1;

        private static Alphabet?[] All()
        {
            var all = new Alphabet?[128];
            Add(MultibaseEncoding.Base16, new(Hex, 4));
            Add(MultibaseEncoding.Base16Upper, new(Hex, 4, upper: true));
            Add(MultibaseEncoding.Base32, new(Rfc32, 5));
            Add(MultibaseEncoding.Base32Upper, new(Rfc32, 5, upper: true));
            Add(MultibaseEncoding.Base32Pad, new(Rfc32, 5, padded: true));
            Add(MultibaseEncoding.Base32PadUpper, new(Rfc32, 5, upper: true, padded: true));
            Add(MultibaseEncoding.Base32Hex, new(Rfc32Hex, 5));
            Add(MultibaseEncoding.Base32HexUpper, new(Rfc32Hex, 5, upper: true));
            Add(MultibaseEncoding.Base32HexPad, new(Rfc32Hex, 5, padded: true));
            Add(MultibaseEncoding.Base32HexPadUpper, new(Rfc32Hex, 5, upper: true, padded: true));
            Add(MultibaseEncoding.Base36, new(Alphanumeric, 0));
            Add(MultibaseEncoding.Base36Upper, new(Alphanumeric, 0, upper: true));
            Add(MultibaseEncoding.Base58Btc, new(Bitcoin, 0));
            Add(MultibaseEncoding.Base64, new(Rfc64, 6));
            Add(MultibaseEncoding.Base64Pad, new(Rfc64, 6, padded: true));
            Add(MultibaseEncoding.Base64Url, new(Rfc64Url, 6));
            Add(MultibaseEncoding.Base64UrlPad, new(Rfc64Url, 6, padded: true));
            return all;

            void Add(MultibaseEncoding encoding, Alphabet alphabet) => all[(byte)encoding] = alphabet;
        }
    }
}
