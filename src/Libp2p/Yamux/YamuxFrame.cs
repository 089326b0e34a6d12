// Every frame begins with twelve bytes:
//
//    0        1       2        4                8                 12
//    ├────────┼───────┼────────┼────────────────┼─────────────────┤
//    │version │ type  │ flags  │ stream         │ length          │ highest byte first
//
// and only Data is followed by more: so many bytes. https://github.com/libp2p/specs/blob/master/yamux/README.md

using System.Buffers.Binary;

namespace Leither.Libp2p.Yamux;

/// <summary>What a frame is.</summary>
internal enum YamuxType : byte
{
    /// <summary>Bytes of a stream follow.</summary>
    Data = 0,

    /// <summary>The other side may send so much more on a stream.</summary>
    WindowUpdate = 1,

    /// <summary>A question whether the other side is there (SYN), or the answer (ACK).</summary>
    Ping = 2,

    /// <summary>The connection ends; no new streams.</summary>
    GoAway = 3,
}

/// <summary>What else a frame says.</summary>
[Flags]
internal enum YamuxFlags : ushort
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>The stream begins.</summary>
    Syn = 1,

    /// <summary>The stream is taken.</summary>
    Ack = 2,

    /// <summary>The sender's direction ends.</summary>
    Fin = 4,

    /// <summary>The stream is given up.</summary>
    Rst = 8,
}

/// <summary>Why a connection ends, as said to the other side.</summary>
internal enum YamuxGoAway : uint
{
    /// <summary>It is done with.</summary>
    Normal = 0,

    /// <summary>The other side broke the protocol.</summary>
    ProtocolError = 1,

    /// <summary>This side failed.</summary>
    InternalError = 2,
}

/// <summary>A frame's first twelve bytes.</summary>
internal readonly record struct YamuxHeader(YamuxType Type, YamuxFlags Flags, uint Stream, uint Length)
{
    public const int Size = 12;

    /// <summary>Reads a header; false for a version that is not known.</summary>
    public static bool TryRead(ReadOnlySpan<byte> bytes, out YamuxHeader header)
    {
        header = new YamuxHeader((YamuxType)bytes[1], (YamuxFlags)BinaryPrimitives.ReadUInt16BigEndian(bytes[2..]),
            BinaryPrimitives.ReadUInt32BigEndian(bytes[4..]), BinaryPrimitives.ReadUInt32BigEndian(bytes[8..]));
        return bytes[0] == 0;
    }

    /// <summary>Writes the header.</summary>
    public void Write(Span<byte> destination)
    {
        destination[0] = 0;
        destination[1] = (byte)Type;
        BinaryPrimitives.WriteUInt16BigEndian(destination[2..], (ushort)Flags);
        BinaryPrimitives.WriteUInt32BigEndian(destination[4..], Stream);
        BinaryPrimitives.WriteUInt32BigEndian(destination[8..], Length);
    }
}
