using Leither.MmDb.Memory;
using Leither.Resp;

namespace Leither.MmDb.Values;

/// <summary>
/// A set that is at no key: the result of a union, intersection or difference on its way to a client or to its key. It takes the
/// layouts that a set at a key would take, in the same order.
/// </summary>
internal unsafe ref struct SetBuilder : IDisposable
{
    private const int FirstCapacity = 256;

    private readonly Keyspace _keyspace;
    private DataEncoding _encoding;
    private KeyTable* _table;
    private byte* _data;
    private int _length;
    private int _capacity;
    private bool _onlyIntegers;

    /// <summary>An empty set.</summary>
    public SetBuilder(Keyspace keyspace, DataEncoding encoding = DataEncoding.IntSet)
    {
        _keyspace = keyspace;
        _encoding = encoding;
        _onlyIntegers = true;
        _data = keyspace.Heap.Alloc(FirstCapacity);
        _capacity = FirstCapacity;
        _length = encoding == DataEncoding.IntSet ? IntSet.Initialize(_data) : Pack.Initialize(_data);
    }

    /// <summary>The set as it stands.</summary>
    public readonly SetValue Value => _table != null ? new SetValue(_keyspace, _table) : new SetValue(_encoding, _data, _length);

    /// <summary>Adds all members of a set.</summary>
    public void AddAll(in SetValue set)
    {
        using SetValue.Enumerator members = set.Walk();
        while (members.MoveNext())
        {
            Add(members.Current);
        }
    }

    /// <summary>Adds a member; nothing happens if it is there.</summary>
    public void Add(in Element member)
    {
        if (_table != null)
        {
            AddToTable(member);
            return;
        }

        PackValue value = member.IsInteger ? new PackValue(member.Integer) : new PackValue(new ReadOnlySpan<byte>(member.Bytes, (int)member.Length));
        _onlyIntegers &= value.IsInteger;
        switch (SetLayout.RoomFor(Value, value, member.TextLength, _keyspace.Options.Packed, out int length))
        {
            case SetRoom.Present:
                break;
            case SetRoom.NeedsTable:
                MakeTable();
                AddToTable(member);
                break;
            case SetRoom.NeedsPack:
                MakePack();
                Reserve(_length + value.Size);
                _length = Pack.Append(_data, _length, value);
                break;
            default:
                Reserve(length);
                _length = _encoding == DataEncoding.IntSet ? IntSet.Add(_data, _length, value.Integer) : Pack.Append(_data, _length, value);
                break;
        }
    }

    /// <summary>Makes an intset of what turned out to have only integers, if it is not too long for one.</summary>
    public void PreferIntSet()
    {
        SetValue set = Value;
        if (!_onlyIntegers || _encoding == DataEncoding.IntSet || set.Count > SetLayout.MaxIntegers(_keyspace.Options.Packed))
        {
            return;
        }

        var integers = new SetBuilder(_keyspace);
        integers.AddAll(set);
        Dispose();
        this = integers;
    }

    /// <summary>Hands the table of a big set over: it belongs to the caller, and the builder is empty.</summary>
    public KeyTable* TakeTable()
    {
        KeyTable* table = _table;
        _table = null;
        return table;
    }

    /// <summary>Frees what was not handed over.</summary>
    public void Dispose()
    {
        FreeData();
        if (_table != null)
        {
            _keyspace.LazyFree.ReleaseTable(_table);
            _table = null;
        }
    }

    private void AddToTable(in Element member)
    {
        byte* scratch = stackalloc byte[Element.ScratchSize];
        Slice name = member.Text(scratch);
        _onlyIntegers = _onlyIntegers && member.TryInteger(out _);
        ulong hash = Hash64.Compute(name.Pointer, name.Length, _keyspace.HashSeed);
        if (_table->Find(hash, name.Pointer, name.Length) == null)
        {
            _table->Insert(_keyspace.Heap, hash, Effects.CreateElement(_keyspace, null, name.Pointer, name.Length, 0));
        }
    }

    private void MakeTable()
    {
        SetValue compact = Value;
        _table = KeyTable.Create(_keyspace.Heap);
        _encoding = DataEncoding.HashTable;
        using (SetValue.Enumerator members = compact.Walk())
        {
            while (members.MoveNext())
            {
                AddToTable(members.Current);
            }
        }

        FreeData();
    }

    private void MakePack()
    {
        SetValue integers = Value;
        int capacity = SetLayout.PackedSize(integers) + FirstCapacity;
        byte* pack = _keyspace.Heap.Alloc((nuint)capacity);
        int length = SetLayout.WritePack(integers, pack);
        FreeData();
        _data = pack;
        _capacity = capacity;
        _length = length;
        _encoding = DataEncoding.Pack;
    }

    private void Reserve(int length)
    {
        if (length > _capacity)
        {
            int capacity = Math.Max(length, _capacity * 2);
            _data = _keyspace.Heap.Resize(_data, (nuint)_capacity, (nuint)capacity);
            _capacity = capacity;
        }
    }

    private void FreeData()
    {
        if (_data != null)
        {
            _keyspace.Heap.Free(_data, (nuint)_capacity);
            _data = null;
        }
    }
}
