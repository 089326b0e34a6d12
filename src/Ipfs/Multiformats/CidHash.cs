using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace Leither.Ipfs.Multiformats;

/// <summary>
/// Hash codes of CIDs and multihashes, for hash tables in this process only. A digest is evenly spread, so one word of it and one
/// multiplication do; the factor is secret, since whoever makes content can try until digests begin alike.
/// </summary>
internal static class CidHash
{
    private static readonly ulong _factor = MemoryMarshal.Read<ulong>(RandomNumberGenerator.GetBytes(8)) | 1;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Of(ulong code, ref readonly Digest256 sha256, byte[]? other) =>
        other == null ? (int)((sha256.FirstWord + code) * _factor >> 32) : OfBytes(code, other);

    private static int OfBytes(ulong code, byte[] bytes)
    {
        var hash = default(HashCode);
        hash.Add(code);
        hash.AddBytes(bytes);
        return hash.ToHashCode();
    }
}
