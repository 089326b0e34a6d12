// Reads DAG-CBOR value by value, and nothing but DAG-CBOR: for each value there is exactly one encoding, and any other is refused
// (https://ipld.io/specs/codecs/dag-cbor/spec/, "Strictness"). So whatever was read and is written again gives the same bytes, and the same CID.
//
// Bytes may come from anyone. A length or count is compared with the bytes that are left before anything is done with it; nothing is allocated but
// strings that are asked for; nesting is bounded; every refusal is a DagCborException. Containers end by themselves with their last item: a
// caller that takes more than is there, or another kind, gets the same exception, so checks of a schema need no code of their own.

using System.Buffers.Binary;
using System.Text;
using System.Text.Unicode;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.DagCbor;

/// <summary>A strict reader of one DAG-CBOR block. After an exception it is of no further use.</summary>
public ref struct DagCborReader
{
    /// <summary>How deep arrays and maps may lie in each other.</summary>
    public const int MaxDepth = Nesting.MaxDepth;

    private readonly ReadOnlySpan<byte> _bytes;
    private Nesting _nesting;
    private int _position;

    /// <summary>Begins at the first byte of a block.</summary>
    public DagCborReader(ReadOnlySpan<byte> block)
    {
        _bytes = block;
        _nesting = Nesting.Root;
    }

    /// <summary>How many bytes have been read.</summary>
    public readonly int Position => _position;

    /// <summary>How many arrays and maps the next item lies in.</summary>
    public readonly int Depth => _nesting.Depth;

    /// <summary>Whether the next item is a map's key, which only <see cref="ReadKey()"/> takes.</summary>
    public readonly bool IsKeyNext => _nesting.IsKeyNext;

    /// <summary>Checks that the value was read whole and that nothing follows it.</summary>
    public readonly void End()
    {
        if (_nesting.Remaining != 0)
        {
            throw Refuse("the value has not been read to its end");
        }

        if (_position != _bytes.Length)
        {
            throw Refuse($"{_bytes.Length - _position} bytes follow the value");
        }
    }

    /// <summary>Checks that a block is DAG-CBOR from its first byte to its last.</summary>
    /// <exception cref="DagCborException">It is not.</exception>
    public static void Validate(ReadOnlySpan<byte> block)
    {
        var reader = new DagCborReader(block);
        reader.Skip();
        reader.End();
    }

    /// <summary>What kind the next value is. A key counts as text; see <see cref="IsKeyNext"/>.</summary>
    public readonly DagCborKind Peek()
    {
        if (_nesting.Remaining == 0)
        {
            return DagCborKind.End;
        }

        byte first = First();
        return (first >> 5) switch
        {
            0 or 1 => DagCborKind.Integer,
            2 => DagCborKind.Bytes,
            3 => DagCborKind.Text,
            4 => DagCborKind.Array,
            5 => DagCborKind.Map,
            6 => DagCborKind.Link,
            _ => first switch
            {
                Wire.False or Wire.True => DagCborKind.Boolean,
                Wire.Null => DagCborKind.Null,
                Wire.Float64 => DagCborKind.Float,
                _ => throw Refuse($"0x{first:x2} is no value of DAG-CBOR"),
            },
        };
    }

    /// <summary>Reads an integer that is not negative.</summary>
    public ulong ReadUInt64()
    {
        TakeValue();
        ulong value = ReadHead(Wire.Unsigned, "an unsigned integer");
        Finish();
        return value;
    }

    /// <summary>Reads an integer of signed 64 bits.</summary>
    public long ReadInt64()
    {
        int start = _position;
        Int128 value = ReadInteger();
        return value >= long.MinValue && value <= long.MaxValue ? (long)value : throw Refuse("the integer exceeds 64 bits", start);
    }

    /// <summary>Reads an integer of signed 32 bits.</summary>
    public int ReadInt32()
    {
        int start = _position;
        Int128 value = ReadInteger();
        return value >= int.MinValue && value <= int.MaxValue ? (int)value : throw Refuse("the integer exceeds 32 bits", start);
    }

    /// <summary>Reads any integer: −2^64 … 2^64 − 1.</summary>
    public Int128 ReadInteger()
    {
        TakeValue();
        bool negative = First() >> 5 == Wire.Negative;
        ulong value = ReadHead(negative ? Wire.Negative : Wire.Unsigned, "an integer");
        Finish();
        return negative ? -1 - (Int128)value : value;
    }

    /// <summary>Reads a byte string: a part of the block itself.</summary>
    public ReadOnlySpan<byte> ReadBytes()
    {
        TakeValue();
        ReadOnlySpan<byte> bytes = ReadString(Wire.Bytes, "a byte string");
        Finish();
        return bytes;
    }

    /// <summary>Reads a byte string of a given length.</summary>
    public ReadOnlySpan<byte> ReadBytes(int expectedLength)
    {
        int start = _position;
        ReadOnlySpan<byte> bytes = ReadBytes();
        return bytes.Length == expectedLength ? bytes : throw Refuse($"{bytes.Length} bytes where {expectedLength} belong", start);
    }

    /// <summary>Reads text as UTF-8: a part of the block itself, checked.</summary>
    public ReadOnlySpan<byte> ReadTextBytes()
    {
        TakeValue();
        ReadOnlySpan<byte> text = ReadUtf8();
        Finish();
        return text;
    }

    /// <summary>Reads text.</summary>
    public string ReadText() => Encoding.UTF8.GetString(ReadTextBytes());

    /// <summary>Reads the start of an array and returns how many values follow as its elements.</summary>
    public int ReadArrayStart()
    {
        TakeValue();
        ulong count = ReadHead(Wire.Array, "an array");
        return Enter(count, itemsEach: 1);
    }

    /// <summary>Reads the start of an array that has so many elements.</summary>
    public void ReadArrayStart(int expectedCount)
    {
        int start = _position;
        int count = ReadArrayStart();
        if (count != expectedCount)
        {
            throw Refuse($"an array of {count} elements where {expectedCount} belong", start);
        }
    }

    /// <summary>Reads the start of a map and returns how many pairs of key and value follow.</summary>
    public int ReadMapStart()
    {
        TakeValue();
        ulong count = ReadHead(Wire.Map, "a map");
        return Enter(count, itemsEach: 2);
    }

    /// <summary>Reads the start of a map that has so many pairs.</summary>
    public void ReadMapStart(int expectedCount)
    {
        int start = _position;
        int count = ReadMapStart();
        if (count != expectedCount)
        {
            throw Refuse($"a map of {count} pairs where {expectedCount} belong", start);
        }
    }

    /// <summary>Reads a map's key, as UTF-8: a part of the block itself.</summary>
    public ReadOnlySpan<byte> ReadKey()
    {
        if (!_nesting.IsKeyNext)
        {
            throw Refuse("a map's key belongs here");
        }

        _nesting.Take();
        int start = _position;
        ReadOnlySpan<byte> key = ReadUtf8();
        if (_nesting.HasKey && Wire.CompareKeys(_bytes.Slice(_nesting.KeyStart, _nesting.KeyLength), key) is var order && order >= 0)
        {
            throw Refuse(order == 0 ? "a map's key stands twice" : "a map's keys are out of order", start);
        }

        _nesting.SetKey(_position - key.Length, key.Length);
        return key;
    }

    /// <summary>Reads a map's key that must be the given one.</summary>
    public void ReadKey(ReadOnlySpan<byte> expected)
    {
        int start = _position;
        if (!ReadKey().SequenceEqual(expected))
        {
            throw Refuse($"the key '{Encoding.UTF8.GetString(expected)}' belongs here", start);
        }
    }

    /// <summary>Reads a map's key if it is the given one; otherwise, or where the map has ended, nothing is read.</summary>
    public bool TryReadKey(ReadOnlySpan<byte> key)
    {
        if (!_nesting.IsKeyNext)
        {
            return false;
        }

        DagCborReader ahead = this;
        if (!ahead.ReadKey().SequenceEqual(key))
        {
            return false;
        }

        this = ahead;
        return true;
    }

    /// <summary>Reads a link.</summary>
    public Cid ReadCid()
    {
        TakeValue();
        int start = _position;
        if (_bytes.Length - start < 2 || _bytes[start] != Wire.Tag || _bytes[start + 1] != Wire.CidTag)
        {
            throw Refuse("a link belongs here; its tag, 42, is the only one");
        }

        _position += 2;
        ReadOnlySpan<byte> bytes = ReadString(Wire.Bytes, "a link's byte string");
        if (bytes.IsEmpty || bytes[0] != Wire.IdentityMultibase)
        {
            throw Refuse("a link's bytes begin with 0x00", start);
        }

        if (!Cid.TryRead(bytes[1..], out Cid cid))
        {
            throw Refuse("a link that is no CID", start);
        }

        Finish();
        return cid;
    }

    /// <summary>Reads false or true.</summary>
    public bool ReadBoolean()
    {
        TakeValue();
        byte first = First();
        if (first is not (Wire.False or Wire.True))
        {
            throw Refuse("a boolean belongs here");
        }

        _position++;
        Finish();
        return first == Wire.True;
    }

    /// <summary>Reads null.</summary>
    public void ReadNull()
    {
        TakeValue();
        if (First() != Wire.Null)
        {
            throw Refuse("null belongs here");
        }

        _position++;
        Finish();
    }

    /// <summary>Reads null if it is next; otherwise nothing is read.</summary>
    public bool TryReadNull()
    {
        if (_nesting.IsKeyNext || _nesting.Remaining == 0 || First() != Wire.Null)
        {
            return false;
        }

        ReadNull();
        return true;
    }

    /// <summary>Reads a link; none where null is.</summary>
    public Cid ReadCidOrNull() => TryReadNull() ? default : ReadCid();

    /// <summary>Reads a floating-point number. Integers are none: the data model keeps the two apart.</summary>
    public double ReadDouble()
    {
        TakeValue();
        if (First() != Wire.Float64)
        {
            throw Refuse("a floating-point number of 64 bits belongs here");
        }

        if (_bytes.Length - _position < 9)
        {
            throw Refuse("the bytes end inside of a number");
        }

        double value = BinaryPrimitives.ReadDoubleBigEndian(_bytes[(_position + 1)..]);
        if (!double.IsFinite(value))
        {
            throw Refuse("NaN and the infinities have no place in the data model");
        }

        _position += 9;
        Finish();
        return value;
    }

    /// <summary>Reads past a value with all that it contains, checking it as closely as reading would.</summary>
    public void Skip()
    {
        if (_nesting.IsKeyNext)
        {
            throw Refuse("a value is asked for where none belongs");
        }

        // How many values are still to be passed, the one that was asked for included. Keys come on top, each before its value.
        long values = 1;
        while (values > 0)
        {
            if (_nesting.IsKeyNext)
            {
                ReadKey();
                continue;
            }

            values--;
            switch (Peek())
            {
                case DagCborKind.Integer: ReadInteger(); break;
                case DagCborKind.Bytes: ReadBytes(); break;
                case DagCborKind.Text: ReadTextBytes(); break;
                case DagCborKind.Array: values += ReadArrayStart(); break;
                case DagCborKind.Map: values += ReadMapStart(); break;
                case DagCborKind.Link: ReadCid(); break;
                case DagCborKind.Boolean: ReadBoolean(); break;
                case DagCborKind.Null: ReadNull(); break;
                case DagCborKind.Float: ReadDouble(); break;
                default: throw Refuse("a value belongs here");
            }
        }
    }

    /// <summary>Reads past a value as <see cref="Skip"/> does and returns its bytes: an encoding that a writer can take over.</summary>
    public ReadOnlySpan<byte> ReadEncoded()
    {
        int start = _position;
        Skip();
        return _bytes[start.._position];
    }

    private void TakeValue()
    {
        if (_nesting.Remaining == 0 || _nesting.IsKeyNext)
        {
            throw Refuse("a value is asked for where none belongs");
        }

        _nesting.Take();
    }

    private void Finish() => _nesting.LeaveFinished();

    private int Enter(ulong count, int itemsEach)
    {
        // Every item takes a byte at least: a count that the bytes cannot hold is refused here, once for all.
        if (count > (ulong)(_bytes.Length - _position) / (uint)itemsEach)
        {
            throw Refuse("a count exceeds the bytes that are left");
        }

        if (count == 0)
        {
            // An empty one counts as a level too, lest a value be writable but not readable.
            if (_nesting.Depth == MaxDepth)
            {
                throw Refuse($"arrays and maps lie more than {MaxDepth} deep");
            }

            Finish();
            return 0;
        }

        if (!_nesting.TryEnter((int)count * itemsEach, isMap: itemsEach == 2))
        {
            throw Refuse($"arrays and maps lie more than {MaxDepth} deep");
        }

        return (int)count;
    }

    private ReadOnlySpan<byte> ReadUtf8()
    {
        int start = _position;
        ReadOnlySpan<byte> text = ReadString(Wire.Text, "text");
        return Utf8.IsValid(text) ? text : throw Refuse("text that is not UTF-8", start);
    }

    private ReadOnlySpan<byte> ReadString(int major, string what)
    {
        ulong length = ReadHead(major, what);
        if (length > (ulong)(_bytes.Length - _position))
        {
            throw Refuse("a length exceeds the bytes that are left");
        }

        ReadOnlySpan<byte> bytes = _bytes.Slice(_position, (int)length);
        _position += (int)length;
        return bytes;
    }

    /// <summary>The byte that begins the next item.</summary>
    private readonly byte First() => _position < _bytes.Length ? _bytes[_position] : throw Refuse("the bytes end where a value belongs");

    /// <summary>Reads an item's first byte and the argument in or behind it, in its shortest form.</summary>
    private ulong ReadHead(int major, string what)
    {
        byte first = First();
        if (first >> 5 != major)
        {
            throw Refuse($"{what} belongs here");
        }

        int info = first & 0x1F;
        if (info < Wire.OneByte)
        {
            _position++;
            return (ulong)info;
        }

        if (info > Wire.EightBytes)
        {
            throw Refuse("an indefinite or reserved length");
        }

        int size = 1 << (info - Wire.OneByte);
        ReadOnlySpan<byte> rest = _bytes[(_position + 1)..];
        if (rest.Length < size)
        {
            throw Refuse("the bytes end inside of a number");
        }

        (ulong value, ulong least) = size switch
        {
            1 => ((ulong)rest[0], 24UL),
            2 => (BinaryPrimitives.ReadUInt16BigEndian(rest), byte.MaxValue + 1UL),
            4 => (BinaryPrimitives.ReadUInt32BigEndian(rest), ushort.MaxValue + 1UL),
            _ => (BinaryPrimitives.ReadUInt64BigEndian(rest), uint.MaxValue + 1UL),
        };
        if (value < least)
        {
            throw Refuse("a number is longer than it needs to be");
        }

        _position += 1 + size;
        return value;
    }

    private readonly DagCborException Refuse(string why) => new(why, _position);

    private static DagCborException Refuse(string why, int position) => new(why, position);
}
