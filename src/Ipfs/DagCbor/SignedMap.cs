using Leither.Ipfs.Keys;

namespace Leither.Ipfs.DagCbor;

/// <summary>
/// A map of DAG-CBOR with a signature among its fields: it is made over a prefix, so that what is signed is nothing else, and the map without that field. Since a map
/// has one encoding, whoever checks writes it again.
/// </summary>
public static class SignedMap
{
    /// <summary>Writes the map: with the signature, or without its field where that is empty.</summary>
    public delegate void WriteFields(DagCborWriter writer, ReadOnlySpan<byte> signature);

    /// <summary>What the signature is made over.</summary>
    public static byte[] ToBeSigned(ReadOnlySpan<byte> prefix, WriteFields write)
    {
        var writer = new DagCborWriter();
        write(writer, default);
        return [.. prefix, .. writer.Written];
    }

    /// <summary>The block with a signature that was made.</summary>
    public static byte[] Encode(WriteFields write, ReadOnlySpan<byte> signature)
    {
        var writer = new DagCborWriter();
        write(writer, signature);
        return writer.ToArray();
    }

    /// <summary>The block, signed.</summary>
    public static byte[] Sign(ReadOnlySpan<byte> prefix, WriteFields write, PrivateKey key) => Encode(write, key.Sign(ToBeSigned(prefix, write)));

    /// <summary>Whether a key signed it.</summary>
    public static bool Verify(ReadOnlySpan<byte> prefix, WriteFields write, ReadOnlySpan<byte> signature, PublicKey key) => key.Verify(ToBeSigned(prefix, write), signature);
}
