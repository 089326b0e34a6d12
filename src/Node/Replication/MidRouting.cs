using System.Security.Cryptography;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;

namespace Leither.Node.Replication;

/// <summary>Under which key the network knows who has a MiMei.</summary>
internal static class MidRouting
{
    /// <summary>The SHA-256 of "/leither/mid/" and the id's 20 bytes, as a multihash: any server of a DHT takes it.</summary>
    public static Multihash KeyOf(LeitherId mid)
    {
        ReadOnlySpan<byte> prefix = "/leither/mid/"u8;
        Span<byte> text = stackalloc byte[prefix.Length + LeitherId.Length];
        prefix.CopyTo(text);
        mid.CopyTo(text[prefix.Length..]);
        return Multihash.Sha256(text);
    }
}
