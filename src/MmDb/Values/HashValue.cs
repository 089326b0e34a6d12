using System.Runtime.CompilerServices;
using Leither.MmDb.Memory;

namespace Leither.MmDb.Values;

/// <summary>
/// Reads a hash in either layout: one pack of field, value, field, value …, or a table of records whose keys are the fields. It
/// borrows the record it was made from and is valid until the hash changes.
/// </summary>
public readonly unsafe struct HashValue
{
    private readonly byte* _pack;
    private readonly int _packLength;
    private readonly KeyTable* _table;
    private readonly ulong _hashSeed;

    /// <summary>The hash at a key's record.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public HashValue(Keyspace keyspace, byte* record)
    {
        _hashSeed = keyspace.HashSeed;
        if (Record.Encoding(record) == (int)DataEncoding.HashTable)
        {
            _table = Record.NativePointer<KeyTable>(record);
        }
        else
        {
            _pack = Record.ValueBytes(record, out long length);
            _packLength = (int)length;
        }
    }

    /// <summary>The table of a big hash; null for a packed one.</summary>
    internal KeyTable* Table => _table;

    /// <summary>Number of fields.</summary>
    public long Count => _table != null ? _table->Count : Pack.Count(_pack, _packLength) / 2;

    /// <summary>Looks a field up.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryGet(byte* field, int length, out Element value)
    {
        if (_table != null)
        {
            ulong* slot = _table->Find(Hash64.Compute(field, length, _hashSeed), field, length);
            value = slot != null ? Element.OfValue(KeyTable.Get(slot)) : default;
            return slot != null;
        }

        int entry = Pack.Find(_pack, _packLength, new PackValue(new ReadOnlySpan<byte>(field, length)), skip: 1);
        value = entry != Pack.None ? Element.OfPack(_pack, Pack.Next(_pack, _packLength, entry)) : default;
        return entry != Pack.None;
    }

    /// <summary>Whether there is such a field.</summary>
    public bool Contains(byte* field, int length) => TryGet(field, length, out _);

    /// <summary>A field drawn with equal chances, and its value. The hash has one at least: empty hashes do not exist.</summary>
    public void Random(ref FastRandom random, out Element field, out Element value)
    {
        if (_table != null)
        {
            byte* record = _table->Random(ref random);
            field = Element.OfKey(record);
            value = Element.OfValue(record);
            return;
        }

        int entry = Pack.At(_pack, _packLength, 2L * random.Below(Pack.Count(_pack, _packLength) / 2));
        field = Element.OfPack(_pack, entry);
        value = Element.OfPack(_pack, Pack.Next(_pack, _packLength, entry));
    }

    /// <summary>Goes through all fields: in the order of insertion while packed, in hash order later.</summary>
    public Enumerator Walk() => new(this);

    /// <summary>Goes through all fields of a hash that does not change meanwhile.</summary>
    public ref struct Enumerator : IDisposable
    {
        private readonly byte* _pack;
        private readonly int _packLength;
        private int _entry;
        private TableWalk _walk;

        internal Enumerator(HashValue hash)
        {
            _pack = hash._pack;
            _packLength = hash._packLength;
            _entry = Pack.HeaderSize;
            _walk = new TableWalk(hash._table);
        }

        /// <summary>The field.</summary>
        public Element Field { get; private set; }

        /// <summary>Its value.</summary>
        public Element Value { get; private set; }

        /// <summary>Goes to the next field; false at the end.</summary>
        public bool MoveNext()
        {
            if (_pack == null)
            {
                if (!_walk.MoveNext())
                {
                    return false;
                }

                Field = Element.OfKey(_walk.Current);
                Value = Element.OfValue(_walk.Current);
                return true;
            }

            if (_entry >= _packLength)
            {
                return false;
            }

            Field = Element.OfPack(_pack, _entry);
            int value = _entry + Pack.SizeOf(_pack, _entry);
            Value = Element.OfPack(_pack, value);
            _entry = value + Pack.SizeOf(_pack, value);
            return true;
        }

        /// <summary>Frees the scratch space of a big hash's walk.</summary>
        public void Dispose() => _walk.Dispose();
    }
}
