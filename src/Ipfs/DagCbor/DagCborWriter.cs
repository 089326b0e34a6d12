// Writes the one DAG-CBOR encoding of a value (https://ipld.io/specs/codecs/dag-cbor/spec/). What the format forbids cannot be written: numbers are
// as short as can be, and keys out of order, too many or too few items, NaN or text that is not UTF-8 are refused at once. Such a refusal is a
// mistake of the caller's (InvalidOperationException, ArgumentException): nothing here depends on bytes from outside.
//
// One writer is meant to be used again and again: Clear keeps the buffer, and then writing allocates nothing.

using System.Buffers.Binary;
using System.Diagnostics;
using System.Text;
using System.Text.Unicode;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.DagCbor;

/// <summary>A writer of DAG-CBOR into a buffer of its own, which grows.</summary>
public sealed class DagCborWriter
{
    // A first byte and eight more.
    private const int MaxHeadLength = 9;

    private byte[] _bytes;
    private int _length;
    private Nesting _nesting = Nesting.Root;

    /// <summary>A writer with room for so many bytes to begin with.</summary>
    public DagCborWriter(int capacity = 256) => _bytes = new byte[Math.Max(capacity, MaxHeadLength)];

    /// <summary>How many bytes have been written.</summary>
    public int Length => _length;

    /// <summary>Whether one whole value has been written.</summary>
    public bool IsComplete => _nesting.Remaining == 0;

    /// <summary>The value's bytes, until the writer is written to or cleared.</summary>
    /// <exception cref="InvalidOperationException">The value is not complete.</exception>
    public ReadOnlySpan<byte> Written =>
        IsComplete ? _bytes.AsSpan(0, _length) : throw new InvalidOperationException($"{_nesting.Remaining} items are missing at depth {_nesting.Depth}.");

    /// <summary>The bytes so far, whether or not the value is complete.</summary>
    public ReadOnlySpan<byte> WrittenSoFar => _bytes.AsSpan(0, _length);

    /// <summary>Forgets what was written and keeps the buffer.</summary>
    public void Clear()
    {
        _length = 0;
        _nesting = Nesting.Root;
    }

    /// <summary>The value's bytes, copied.</summary>
    public byte[] ToArray() => Written.ToArray();

    /// <summary>The value's CID: version 1, SHA-256.</summary>
    public Cid ToCid() => Cid.Of(Multicodec.DagCbor, Written);

    /// <summary>Writes an integer.</summary>
    public void WriteInt64(long value)
    {
        TakeValue();
        if (value >= 0)
        {
            WriteHead(Wire.Unsigned, (ulong)value);
        }
        else
        {
            WriteHead(Wire.Negative, (ulong)~value);
        }

        _nesting.LeaveFinished();
    }

    /// <summary>Writes an integer.</summary>
    public void WriteUInt64(ulong value)
    {
        TakeValue();
        WriteHead(Wire.Unsigned, value);
        _nesting.LeaveFinished();
    }

    /// <summary>Writes an integer: −2^64 … 2^64 − 1.</summary>
    public void WriteInteger(Int128 value)
    {
        if (value > ulong.MaxValue || ~value > ulong.MaxValue)
        {
            throw new ArgumentOutOfRangeException(nameof(value), value, "CBOR's integers have 64 bits and a sign.");
        }

        TakeValue();
        if (value >= 0)
        {
            WriteHead(Wire.Unsigned, (ulong)value);
        }
        else
        {
            WriteHead(Wire.Negative, (ulong)~value);
        }

        _nesting.LeaveFinished();
    }

    /// <summary>Writes a byte string.</summary>
    public void WriteBytes(ReadOnlySpan<byte> bytes)
    {
        TakeValue();
        WriteString(Wire.Bytes, bytes);
        _nesting.LeaveFinished();
    }

    /// <summary>Writes text that is UTF-8 already.</summary>
    public void WriteText(ReadOnlySpan<byte> utf8)
    {
        CheckUtf8(utf8);
        TakeValue();
        WriteString(Wire.Text, utf8);
        _nesting.LeaveFinished();
    }

    /// <summary>Writes text.</summary>
    public void WriteText(ReadOnlySpan<char> text)
    {
        int length = StrictUtf8.Encoding.GetByteCount(text);
        TakeValue();
        WriteHead(Wire.Text, (ulong)length);
        StrictUtf8.Encoding.GetBytes(text, Reserve(length));
        _length += length;
        _nesting.LeaveFinished();
    }

    /// <summary>Begins an array: as many values follow as its elements, and with the last it ends.</summary>
    public void WriteArrayStart(int count) => Enter(Wire.Array, count, itemsEach: 1);

    /// <summary>Begins a map: as many pairs of <see cref="WriteKey(ReadOnlySpan{byte})"/> and a value follow, and with the last it ends.</summary>
    public void WriteMapStart(int count) => Enter(Wire.Map, count, itemsEach: 2);

    /// <summary>Writes a map's key, UTF-8. Keys come shorter before longer, then in the order of their bytes.</summary>
    /// <exception cref="InvalidOperationException">No key belongs here, or this one not behind the last.</exception>
    public void WriteKey(ReadOnlySpan<byte> utf8)
    {
        if (!_nesting.IsKeyNext)
        {
            throw new InvalidOperationException("A key is written where none belongs.");
        }

        CheckUtf8(utf8);
        if (_nesting.HasKey && Wire.CompareKeys(_bytes.AsSpan(_nesting.KeyStart, _nesting.KeyLength), utf8) >= 0)
        {
            throw new InvalidOperationException($"The key '{Encoding.UTF8.GetString(utf8)}' does not belong behind the one before.");
        }

        _nesting.Take();
        WriteString(Wire.Text, utf8);
        _nesting.SetKey(_length - utf8.Length, utf8.Length);
    }

    /// <summary>Writes a link.</summary>
    public void WriteCid(in Cid cid)
    {
        if (cid.IsNone)
        {
            throw new ArgumentException("A link to nothing; write null.", nameof(cid));
        }

        TakeValue();
        Span<byte> tag = Reserve(2);
        tag[0] = Wire.Tag;
        tag[1] = Wire.CidTag;
        _length += 2;
        int length = cid.Length;
        WriteHead(Wire.Bytes, (ulong)length + 1);
        Span<byte> room = Reserve(length + 1);
        room[0] = Wire.IdentityMultibase;
        _length += 1 + cid.Write(room[1..]);
        _nesting.LeaveFinished();
    }

    /// <summary>Writes false or true.</summary>
    public void WriteBoolean(bool value) => WriteSimple(value ? Wire.True : Wire.False);

    /// <summary>Writes null.</summary>
    public void WriteNull() => WriteSimple(Wire.Null);

    /// <summary>Writes a link; null where there is none.</summary>
    public void WriteCidOrNull(in Cid cid)
    {
        if (cid.IsNone)
        {
            WriteNull();
        }
        else
        {
            WriteCid(cid);
        }
    }

    /// <summary>
    /// Writes a floating-point number. One without a fraction is no integer here, though JavaScript will not see the difference and would
    /// write it back as one.
    /// </summary>
    public void WriteDouble(double value)
    {
        if (!double.IsFinite(value))
        {
            throw new ArgumentOutOfRangeException(nameof(value), value, "NaN and the infinities have no place in the data model.");
        }

        TakeValue();
        Span<byte> room = Reserve(9);
        room[0] = Wire.Float64;
        BinaryPrimitives.WriteDoubleBigEndian(room[1..], value);
        _length += 9;
        _nesting.LeaveFinished();
    }

    /// <summary>Takes over values that are encoded already, such as <see cref="DagCborReader.ReadEncoded"/> returns, as so many elements of an array (or the one value).</summary>
    public void WriteEncoded(ReadOnlySpan<byte> values, int count = 1)
    {
        AssertEncoded(values, count);
        for (int i = 0; i < count; i++)
        {
            TakeValue();
        }

        values.CopyTo(Reserve(values.Length));
        _length += values.Length;
        _nesting.LeaveFinished();
    }

    private void TakeValue()
    {
        if (_nesting.Remaining == 0 || _nesting.IsKeyNext)
        {
            throw new InvalidOperationException(_nesting.Remaining == 0 ? "The value is complete." : "A key belongs here.");
        }

        _nesting.Take();
    }

    private void Enter(int major, int count, int itemsEach)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, int.MaxValue / 2);
        if (_nesting.Depth == Nesting.MaxDepth)
        {
            throw new InvalidOperationException($"Arrays and maps would lie more than {Nesting.MaxDepth} deep.");
        }

        TakeValue();
        WriteHead(major, (ulong)count);
        if (count == 0)
        {
            _nesting.LeaveFinished();
        }
        else
        {
            _nesting.TryEnter(count * itemsEach, isMap: itemsEach == 2);
        }
    }

    private void WriteSimple(byte value)
    {
        TakeValue();
        Reserve(1)[0] = value;
        _length++;
        _nesting.LeaveFinished();
    }

    private void WriteString(int major, ReadOnlySpan<byte> bytes)
    {
        WriteHead(major, (ulong)bytes.Length);
        bytes.CopyTo(Reserve(bytes.Length));
        _length += bytes.Length;
    }

    private void WriteHead(int major, ulong value)
    {
        Span<byte> room = Reserve(MaxHeadLength);
        int first = major << 5;
        if (value < Wire.OneByte)
        {
            room[0] = (byte)(first | (int)value);
            _length++;
        }
        else if (value <= byte.MaxValue)
        {
            room[0] = (byte)(first | Wire.OneByte);
            room[1] = (byte)value;
            _length += 2;
        }
        else if (value <= ushort.MaxValue)
        {
            room[0] = (byte)(first | (Wire.OneByte + 1));
            BinaryPrimitives.WriteUInt16BigEndian(room[1..], (ushort)value);
            _length += 3;
        }
        else if (value <= uint.MaxValue)
        {
            room[0] = (byte)(first | (Wire.OneByte + 2));
            BinaryPrimitives.WriteUInt32BigEndian(room[1..], (uint)value);
            _length += 5;
        }
        else
        {
            room[0] = (byte)(first | Wire.EightBytes);
            BinaryPrimitives.WriteUInt64BigEndian(room[1..], value);
            _length += 9;
        }
    }

    private Span<byte> Reserve(int count)
    {
        if (_bytes.Length - _length < count)
        {
            Array.Resize(ref _bytes, (int)Math.Min(Math.Max((long)_bytes.Length * 2, (long)_length + count), Array.MaxLength));
        }

        return _bytes.AsSpan(_length);
    }

    private static void CheckUtf8(ReadOnlySpan<byte> utf8)
    {
        if (!Utf8.IsValid(utf8))
        {
            throw new ArgumentException("Text that is not UTF-8; write it as bytes.", nameof(utf8));
        }
    }

    [Conditional("DEBUG")]
    private static void AssertEncoded(ReadOnlySpan<byte> values, int count)
    {
        var reader = new DagCborReader([.. Head(count), .. values]);
        reader.Skip();
        reader.End();

        static byte[] Head(int count)
        {
            var writer = new DagCborWriter();
            writer.WriteHead(Wire.Array, (ulong)count);
            return writer.WrittenSoFar.ToArray();
        }
    }

    private static class StrictUtf8
    {
        /// <summary>Half a surrogate pair is an error, never a question mark.</summary>
        public static readonly UTF8Encoding Encoding = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);
    }
}
