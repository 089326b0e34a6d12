using System.Runtime.CompilerServices;
using Leither.MmDb.Memory;

namespace Leither.MmDb.Values;

/// <summary>
/// Reads a set in any layout: sorted integers, one pack of members, or a table of records whose keys are the members. It borrows
/// the memory it was made from and is valid until the set changes.
/// </summary>
public readonly unsafe struct SetValue
{
    private readonly byte* _data;
    private readonly int _length;
    private readonly DataEncoding _encoding;
    private readonly KeyTable* _table;
    private readonly ulong _hashSeed;

    /// <summary>The set at a key's record.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public SetValue(Keyspace keyspace, byte* record)
    {
        _hashSeed = keyspace.HashSeed;
        _encoding = (DataEncoding)Record.Encoding(record);
        if (_encoding == DataEncoding.HashTable)
        {
            _table = Record.NativePointer<KeyTable>(record);
        }
        else
        {
            _data = Record.ValueBytes(record, out long length);
            _length = (int)length;
        }
    }

    /// <summary>A compact set that is not at any key.</summary>
    internal SetValue(DataEncoding encoding, byte* data, int length)
    {
        _encoding = encoding;
        _data = data;
        _length = length;
    }

    /// <summary>A big set that is not at any key.</summary>
    internal SetValue(Keyspace keyspace, KeyTable* table)
    {
        _hashSeed = keyspace.HashSeed;
        _encoding = DataEncoding.HashTable;
        _table = table;
    }

    /// <summary>Whether it is a set at all: the default value is none.</summary>
    public bool Exists => _encoding != DataEncoding.Raw;

    /// <summary>Whether another value reads the same memory.</summary>
    internal bool IsSame(in SetValue other) => _data == other._data && _table == other._table;

    /// <summary>Its layout.</summary>
    public DataEncoding Encoding => _encoding;

    /// <summary>The bytes of a compact set.</summary>
    internal byte* Data => _data;

    /// <summary>Length of the bytes of a compact set.</summary>
    internal int Length => _length;

    /// <summary>The table of a big set.</summary>
    internal KeyTable* Table => _table;

    /// <summary>Number of members.</summary>
    public long Count => _encoding switch
    {
        DataEncoding.HashTable => _table->Count,
        DataEncoding.IntSet => IntSet.Count(_data, _length),
        _ => Pack.Count(_data, _length),
    };

    /// <summary>Whether it has a member.</summary>
    public bool Contains(byte* member, int length)
    {
        if (_table != null)
        {
            return _table->Find(Hash64.Compute(member, length, _hashSeed), member, length) != null;
        }

        return Find(new PackValue(new ReadOnlySpan<byte>(member, length))) >= 0;
    }

    /// <summary>Whether it has a member that another collection holds.</summary>
    public bool Contains(in Element member)
    {
        if (_table == null)
        {
            return Find(member.IsInteger ? new PackValue(member.Integer) : new PackValue(new ReadOnlySpan<byte>(member.Bytes, (int)member.Length))) >= 0;
        }

        byte* scratch = stackalloc byte[Element.ScratchSize];
        Resp.Slice text = member.Text(scratch);
        return Contains(text.Pointer, text.Length);
    }

    /// <summary>Where a compact set has a member: its entry (pack) or its index (intset); negative if it has not.</summary>
    internal int Find(in PackValue member)
    {
        if (_encoding == DataEncoding.Pack)
        {
            return Pack.Find(_data, _length, member);
        }

        return member.IsInteger ? IntSet.Find(_data, _length, member.Integer) : Pack.None;
    }

    /// <summary>A member drawn with equal chances. The set has one at least: empty sets do not exist.</summary>
    public Element Random(ref FastRandom random) => _encoding switch
    {
        DataEncoding.HashTable => Element.OfKey(_table->Random(ref random)),
        DataEncoding.IntSet => new Element(IntSet.At(_data, random.Below(IntSet.Count(_data, _length)))),
        _ => Element.OfPack(_data, Pack.At(_data, _length, random.Below(Pack.Count(_data, _length)))),
    };

    /// <summary>Goes through all members: ascending in an intset, in the order of insertion in a pack, in hash order in a table.</summary>
    public Enumerator Walk() => new(this);

    /// <summary>Goes through all members of a set that does not change meanwhile.</summary>
    public ref struct Enumerator : IDisposable
    {
        private readonly SetValue _set;
        private int _next;
        private TableWalk _walk;

        internal Enumerator(SetValue set)
        {
            _set = set;
            _next = set._encoding == DataEncoding.Pack ? Pack.HeaderSize : 0;
            _walk = new TableWalk(set._table);
        }

        /// <summary>The member.</summary>
        public Element Current { get; private set; }

        /// <summary>Goes to the next member; false at the end.</summary>
        public bool MoveNext()
        {
            switch (_set._encoding)
            {
                case DataEncoding.HashTable:
                    if (!_walk.MoveNext())
                    {
                        return false;
                    }

                    Current = Element.OfKey(_walk.Current);
                    return true;
                case DataEncoding.IntSet:
                    if (_next >= IntSet.Count(_set._data, _set._length))
                    {
                        return false;
                    }

                    Current = new Element(IntSet.At(_set._data, _next++));
                    return true;
                default:
                    if (_next >= _set._length)
                    {
                        return false;
                    }

                    Current = Element.OfPack(_set._data, _next);
                    _next += Pack.SizeOf(_set._data, _next);
                    return true;
            }
        }

        /// <summary>Frees the scratch space of a big set's walk.</summary>
        public void Dispose() => _walk.Dispose();
    }
}
