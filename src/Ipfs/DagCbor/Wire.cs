namespace Leither.Ipfs.DagCbor;

/// <summary>The bytes of CBOR (RFC 8949, section 3) that DAG-CBOR leaves in use.</summary>
internal static class Wire
{
    // Major types: the first byte's highest three bits.
    public const int Unsigned = 0, Negative = 1, Bytes = 2, Text = 3, Array = 4, Map = 5;

    // The first byte's lowest five bits: a value below 24, or how many bytes of it follow (1 << (info - 24)).
    public const int OneByte = 24, EightBytes = 27;

    public const byte False = 0xF4, True = 0xF5, Null = 0xF6, Float64 = 0xFB;

    /// <summary>A link: tag 42, then a byte string of the identity multibase's prefix and the CID.</summary>
    public const byte Tag = 0xD8, CidTag = 42, IdentityMultibase = 0;

    /// <summary>The order of a map's keys: that of their encodings, so the shorter first.</summary>
    public static int CompareKeys(ReadOnlySpan<byte> left, ReadOnlySpan<byte> right) =>
        left.Length != right.Length ? left.Length - right.Length : left.SequenceCompareTo(right);
}
