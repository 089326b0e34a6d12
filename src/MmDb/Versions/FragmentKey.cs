using System.Buffers.Binary;

namespace Leither.MmDb.Versions;

/// <summary>What a fragment of a key's value is; the order in which fragments of one key are read.</summary>
internal enum FragmentKind : byte
{
    /// <summary>The key changed.</summary>
    Touched = 0,
    /// <summary>The key changed in ways that do not tell of its elements.</summary>
    TouchedWhole = 1,
    /// <summary>What the key holds: its value, or the head of a collection whose fragments follow.</summary>
    Head = 2,
    /// <summary>An element of a hash, set or sorted set.</summary>
    Element = 3,
    /// <summary>A node of a list.</summary>
    ListNode = 4,
    /// <summary>A node of a stream.</summary>
    StreamNode = 5,
    /// <summary>A pending entry of a stream's group.</summary>
    Pending = 6,
}

/// <summary>
/// The keys by which what is known of many values is sorted (<see cref="RunSorter"/>): all of one key together, in the order of the state's trees.
/// Layout: database (4 bytes), the key's name as in the tree, kind, and what orders fragments of that kind.
/// </summary>
/// <remarks>
/// Names end with 00 01, and a 00 in them is written 00 FF: so they are in the order of their bytes, and none is the beginning of another.
/// </remarks>
internal struct FragmentKey()
{
    private const byte Escape = 0, EscapedZero = 0xFF, End = 1;

    private byte[] _bytes = new byte[256];
    private int _groupBytes;
    private int _length;

    /// <summary>The key as it was last made.</summary>
    public readonly ReadOnlySpan<byte> Bytes => _bytes.AsSpan(0, _length);

    /// <summary>The part that all fragments of one key share.</summary>
    public readonly ReadOnlySpan<byte> Group => _bytes.AsSpan(0, _groupBytes);

    /// <summary>Begins with a key of a database.</summary>
    /// <param name="database">Its number.</param>
    /// <param name="treeKey">The key as it stands in the tree.</param>
    public void SetGroup(int database, ReadOnlySpan<byte> treeKey)
    {
        _length = 0;
        BinaryPrimitives.WriteInt32BigEndian(Reserve(sizeof(int)), database);
        _length += sizeof(int);
        Append(treeKey);
        _groupBytes = _length;
    }

    /// <summary>Begins with what <see cref="Group"/> was.</summary>
    public void SetGroup(ReadOnlySpan<byte> group)
    {
        _length = 0;
        group.CopyTo(Reserve(group.Length));
        _length = _groupBytes = group.Length;
    }

    /// <summary>Goes on with a kind.</summary>
    public void SetKind(FragmentKind kind)
    {
        _length = _groupBytes;
        Reserve(1)[0] = (byte)kind;
        _length++;
    }

    /// <summary>Goes on with an element's name: it changed.</summary>
    public void SetElement(ReadOnlySpan<byte> treeKey)
    {
        SetKind(FragmentKind.Element);
        Append(treeKey);
    }

    /// <summary>Goes on with an element's name, and a number: of several states of an element the first counts.</summary>
    public void SetElement(ReadOnlySpan<byte> treeKey, uint order)
    {
        SetElement(treeKey);
        BinaryPrimitives.WriteUInt32BigEndian(Reserve(sizeof(uint)), order);
        _length += sizeof(uint);
    }

    /// <summary>Goes on with numbers that order fragments.</summary>
    public void SetOrder(FragmentKind kind, ulong first, ulong second = 0, ulong third = 0)
    {
        SetKind(kind);
        Span<byte> to = Reserve(3 * sizeof(ulong));
        BinaryPrimitives.WriteUInt64BigEndian(to, first);
        BinaryPrimitives.WriteUInt64BigEndian(to[8..], second);
        BinaryPrimitives.WriteUInt64BigEndian(to[16..], third);
        _length += 3 * sizeof(ulong);
    }

    /// <summary>How many bytes of a fragment's key are its group.</summary>
    public static int GroupLength(ReadOnlySpan<byte> key) => NameEnd(key, sizeof(int));

    /// <summary>The database of a fragment's key.</summary>
    public static int Database(ReadOnlySpan<byte> key) => BinaryPrimitives.ReadInt32BigEndian(key);

    /// <summary>The kind of a fragment.</summary>
    public static FragmentKind Kind(ReadOnlySpan<byte> key, int groupLength) => (FragmentKind)key[groupLength];

    /// <summary>Writes the name that a group is of, as it stands in the tree, to a place of as many bytes as the group; gives its length.</summary>
    public static int TreeKey(ReadOnlySpan<byte> group, Span<byte> to) => Unescape(group[sizeof(int)..], to);

    /// <summary>As <see cref="TreeKey"/>, of an element's fragment.</summary>
    public static int Element(ReadOnlySpan<byte> key, int groupLength, Span<byte> to) => Unescape(key[(groupLength + 1)..], to);

    /// <summary>The part of an element's fragment, which has an order, that all states of the element share.</summary>
    public static ReadOnlySpan<byte> WithoutOrder(ReadOnlySpan<byte> key) => key[..^sizeof(uint)];

    private static int NameEnd(ReadOnlySpan<byte> key, int start)
    {
        while (true)
        {
            int zero = key[start..].IndexOf(Escape);
            start += zero + 2;
            if (key[start - 1] == End)
            {
                return start;
            }
        }
    }

    private static int Unescape(ReadOnlySpan<byte> from, Span<byte> to)
    {
        int length = 0;
        while (true)
        {
            int zero = from.IndexOf(Escape);
            from[..zero].CopyTo(to[length..]);
            length += zero;
            if (from[zero + 1] == End)
            {
                return length;
            }

            to[length++] = 0;
            from = from[(zero + 2)..];
        }
    }

    private void Append(ReadOnlySpan<byte> name)
    {
        Reserve((2 * name.Length) + 2);
        while (true)
        {
            int zero = name.IndexOf(Escape);
            ReadOnlySpan<byte> plain = zero < 0 ? name : name[..zero];
            plain.CopyTo(_bytes.AsSpan(_length));
            _length += plain.Length;
            _bytes[_length++] = Escape;
            if (zero < 0)
            {
                _bytes[_length++] = End;
                return;
            }

            _bytes[_length++] = EscapedZero;
            name = name[(zero + 1)..];
        }
    }

    private Span<byte> Reserve(int count)
    {
        if (_bytes.Length - _length < count)
        {
            Array.Resize(ref _bytes, Math.Max(_bytes.Length * 2, _length + count));
        }

        return _bytes.AsSpan(_length);
    }
}
