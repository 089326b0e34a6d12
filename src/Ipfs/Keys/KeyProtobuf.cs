namespace Leither.Ipfs.Keys;

/// <summary>
/// Keys as libp2p writes them: a protobuf of type and data, in its one canonical encoding, since peer ids are made of it. For an Ed25519 key that is
/// <c>08 01</c>, <c>12 &lt;length&gt;</c> and the data, nothing else.
/// https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md
/// </summary>
internal static class KeyProtobuf
{
    public const int HeaderLength = 4;

    // Field 1, a varint; field 2, bytes.
    private const byte TypeTag = 0x08, DataTag = 0x12;

    public static void WriteHeader(Span<byte> destination, int dataLength)
    {
        destination[0] = TypeTag;
        destination[1] = (byte)KeyType.Ed25519;
        destination[2] = DataTag;
        destination[3] = checked((byte)dataLength);
    }

    /// <summary>The data of an Ed25519 key; false for anything else.</summary>
    public static bool TryRead(ReadOnlySpan<byte> protobuf, out ReadOnlySpan<byte> data)
    {
        data = default;
        if (protobuf.Length < HeaderLength || protobuf[0] != TypeTag || protobuf[1] != (byte)KeyType.Ed25519
            || protobuf[2] != DataTag || protobuf[3] > 0x7F || protobuf[3] != protobuf.Length - HeaderLength)
        {
            return false;
        }

        data = protobuf[HeaderLength..];
        return true;
    }
}
