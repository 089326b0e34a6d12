using System.Buffers.Binary;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs;

/// <summary>What of protobuf the records of IPFS need. https://protobuf.dev/programming-guides/encoding/</summary>
internal static class Protobuf
{
    /// <summary>The most bytes that a varint takes: one more than those of multiformats, since all 64 bits are used.</summary>
    public const int MaxVarint = 10;

    /// <summary>How many bytes a number takes.</summary>
    public static int VarintLength(ulong value) => value <= Varint.MaxValue ? Varint.Length(value) : MaxVarint;

    /// <summary>Writes a number and returns where it ends.</summary>
    public static int WriteVarint(Span<byte> destination, int at, ulong value)
    {
        for (; value >= 0x80; value >>= 7) destination[at++] = (byte)(value | 0x80);
        destination[at++] = (byte)value;
        return at;
    }

    /// <summary>Writes a field of bytes.</summary>
    public static void WriteBytes(List<byte> destination, byte tag, ReadOnlySpan<byte> bytes)
    {
        WriteNumber(destination, tag, (ulong)bytes.Length);
        destination.AddRange(bytes);
    }

    /// <summary>Writes a field of a number.</summary>
    public static void WriteNumber(List<byte> destination, byte tag, ulong value)
    {
        Span<byte> bytes = stackalloc byte[1 + MaxVarint];
        bytes[0] = tag;
        destination.AddRange(bytes[..WriteVarint(bytes, 1, value)]);
    }
}

/// <summary>Reads a message field by field. Numbers are in their shortest form; lengths are compared with what is left.</summary>
/// <param name="message">The message.</param>
/// <param name="refuse">Makes the exception that says what is wrong.</param>
internal ref struct ProtobufReader(ReadOnlySpan<byte> message, Func<string, Exception> refuse)
{
    private readonly ReadOnlySpan<byte> _message = message;
    private int _at;

    public readonly bool IsAtEnd => _at == _message.Length;

    /// <summary>Reads what begins a field: its number and kind; false at the end.</summary>
    public bool TryReadTag(out ulong tag)
    {
        tag = 0;
        if (IsAtEnd) return false;
        tag = ReadVarint();
        return true;
    }

    public ulong ReadVarint()
    {
        ulong value = 0;
        for (int i = 0; i < Protobuf.MaxVarint && _at < _message.Length; i++)
        {
            byte b = _message[_at++];
            value |= (ulong)(b & 0x7F) << (7 * i);
            if (b < 0x80)
            {
                return (i == Protobuf.MaxVarint - 1 && b > 1) || (b == 0 && i > 0) ? throw refuse("a number that is longer than it needs to be, or than 64 bits") : value;
            }
        }

        throw refuse("a number is cut off, or longer than 64 bits");
    }

    /// <summary>Reads where a field of bytes lies.</summary>
    public (int Start, int Length) ReadRange()
    {
        ulong length = ReadVarint();
        if (length > (ulong)(_message.Length - _at)) throw refuse("a length exceeds the bytes that are left");
        int start = _at;
        _at += (int)length;
        return (start, (int)length);
    }

    public ReadOnlySpan<byte> ReadBytes()
    {
        (int start, int length) = ReadRange();
        return _message.Slice(start, length);
    }

    public uint ReadFixed32()
    {
        if (_message.Length - _at < 4) throw refuse("four bytes are cut off");
        uint value = BinaryPrimitives.ReadUInt32LittleEndian(_message[_at..]);
        _at += 4;
        return value;
    }

    /// <summary>Leaves out a field that is not known.</summary>
    public void Skip(ulong tag)
    {
        switch (tag & 7)
        {
            case 0:
                ReadVarint();
                break;
            case 1 when _message.Length - _at >= 8:
                _at += 8;
                break;
            case 2:
                ReadRange();
                break;
            case 5:
                ReadFixed32();
                break;
            default:
                throw refuse($"a field of kind {tag & 7}, or one that is cut off");
        }
    }
}
