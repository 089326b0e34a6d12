using System.Runtime.CompilerServices;
using Leither.MmDb.Memory;

namespace Leither.MmDb.Values;

/// <summary>
/// Reads a hash in any layout: one pack of field, value, field, value …, or a table of records whose keys are the fields; and both again
/// with an instant for each field that expires. Fields past theirs are hidden; one that was asked for is noted, so that the keyspace deletes
/// it in an entry of its own. It borrows the record it was made from and is valid until the hash changes.
/// </summary>
public readonly unsafe struct HashValue
{
    private readonly Keyspace _keyspace;
    private readonly byte* _pack;
    private readonly int _packLength;
    private readonly KeyTable* _table;

    /// <summary>The record, of a hash of which fields may expire; null otherwise.</summary>
    private readonly byte* _expiring;

    /// <summary>The hash at a key's record.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public HashValue(Keyspace keyspace, byte* record)
    {
        _keyspace = keyspace;
        var encoding = (DataEncoding)Record.Encoding(record);
        if (encoding == DataEncoding.HashTable)
        {
            _table = Record.NativePointer<KeyTable>(record);
        }
        else if (encoding == DataEncoding.ExpiringTable)
        {
            _table = Record.NativePointer<SortedSetStructure>(record)->Members;
            _expiring = record;
        }
        else
        {
            _pack = Record.ValueBytes(record, out long length);
            _packLength = (int)length;
            _expiring = encoding == DataEncoding.ExpiringPack ? record : null;
        }
    }

    /// <summary>The table of a big hash; null for a packed one.</summary>
    internal KeyTable* Table => _table;

    /// <summary>Whether fields may expire: the layout has room for instants.</summary>
    public bool MayExpire => _expiring != null;

    /// <summary>Entries of a pack that belong to one field.</summary>
    private int Entries => _expiring != null ? 3 : 2;

    /// <summary>Number of fields, those included that have expired and were not met since.</summary>
    public long Count => _table != null ? _table->Count : Pack.Count(_pack, _packLength) / Entries;

    /// <summary>Number of fields that have not expired.</summary>
    public long LiveCount
    {
        get
        {
            if (_expiring == null)
            {
                return Count;
            }

            if (_table != null)
            {
                return Count - Due->CountBelow(_keyspace.NowMs, inclusive: true);
            }

            long live = 0;
            for (int entry = Pack.HeaderSize; entry < _packLength; entry = Pack.Skip(_pack, entry, 3))
            {
                live += IsDue(ExpiryAt(entry)) ? 0 : 1;
            }

            return live;
        }
    }

    /// <summary>The instant at which the first field expires (Unix milliseconds); 0: none does.</summary>
    public long NextExpiry
    {
        get
        {
            if (_expiring == null)
            {
                return 0;
            }

            if (_table != null)
            {
                SortedTreeCursor first = Due->First();
                return first.IsValid ? (long)first.Score : 0;
            }

            long next = 0;
            for (int entry = Pack.HeaderSize; entry < _packLength; entry = Pack.Skip(_pack, entry, 3))
            {
                long at = ExpiryAt(entry);
                next = at != 0 && (next == 0 || at < next) ? at : next;
            }

            return next;
        }
    }

    private SortedTree* Due => Record.NativePointer<SortedSetStructure>(_expiring)->Tree;

    /// <summary>Looks a field up.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryGet(byte* field, int length, out Element value)
    {
        if (_table != null)
        {
            ulong* slot = _table->Find(Hash64.Compute(field, length, _keyspace.HashSeed), field, length);
            if (slot == null || (_expiring != null && !IsLive(KeyTable.Get(slot)) && Hide(field, length)))
            {
                value = default;
                return false;
            }

            value = Element.OfValue(KeyTable.Get(slot));
            return true;
        }

        int entry = Pack.Find(_pack, _packLength, new PackValue(new ReadOnlySpan<byte>(field, length)), skip: Entries - 1);
        if (entry == Pack.None || (_expiring != null && IsDue(ExpiryAt(entry)) && Hide(field, length)))
        {
            value = default;
            return false;
        }

        value = Element.OfPack(_pack, Pack.Next(_pack, _packLength, entry));
        return true;
    }

    /// <summary>Whether there is such a field.</summary>
    public bool Contains(byte* field, int length) => TryGet(field, length, out _);

    /// <summary>
    /// When a field expires (Unix milliseconds; 0: never), even where that is past. False if it is not there at all.
    /// </summary>
    public bool TryExpiry(byte* field, int length, out long at)
    {
        at = 0;
        if (_table != null)
        {
            ulong* slot = _table->Find(Hash64.Compute(field, length, _keyspace.HashSeed), field, length);
            if (slot != null && Record.HasExpire(KeyTable.Get(slot)))
            {
                at = Record.ExpireAt(KeyTable.Get(slot));
            }

            return slot != null;
        }

        int entry = Pack.Find(_pack, _packLength, new PackValue(new ReadOnlySpan<byte>(field, length)), skip: Entries - 1);
        if (entry != Pack.None && _expiring != null)
        {
            at = ExpiryAt(entry);
        }

        return entry != Pack.None;
    }

    /// <summary>Whether a record of a big hash's table has not expired.</summary>
    internal bool IsLive(byte* element) => !Record.HasExpire(element) || !IsDue(Record.ExpireAt(element));

    /// <summary>A field drawn with equal chances, and its value. False: all of them have expired.</summary>
    public bool Random(ref FastRandom random, out Element field, out Element value)
    {
        if (_expiring != null && NextExpiry is var next && IsDue(next))
        {
            return RandomLive(ref random, out field, out value);
        }

        if (_table != null)
        {
            byte* record = _table->Random(ref random);
            field = Element.OfKey(record);
            value = Element.OfValue(record);
            return true;
        }

        int entry = Pack.At(_pack, _packLength, (long)Entries * random.Below(Pack.Count(_pack, _packLength) / Entries));
        field = Element.OfPack(_pack, entry);
        value = Element.OfPack(_pack, Pack.Next(_pack, _packLength, entry));
        return true;
    }

    private bool RandomLive(ref FastRandom random, out Element field, out Element value)
    {
        long live = LiveCount, drawn = live == 0 ? -1 : (long)random.Below((ulong)live);
        using Enumerator fields = Walk();
        while (fields.MoveNext())
        {
            if (drawn-- == 0)
            {
                field = fields.Field;
                value = fields.Value;
                return true;
            }
        }

        field = value = default;
        return false;
    }

    /// <summary>Goes through all fields that have not expired: in the order of insertion while packed, in hash order later.</summary>
    public Enumerator Walk() => new(this, isAll: false);

    /// <summary>As <see cref="Walk"/>, through those too that have expired and were not removed: <see cref="Count"/> fields.</summary>
    public Enumerator WalkAll() => new(this, isAll: true);

    /// <summary>The instant behind a packed field and its value.</summary>
    private long ExpiryAt(int entry) => InstantAt(_pack, entry);

    /// <summary>The instant behind a field and its value in an <see cref="DataEncoding.ExpiringPack"/>.</summary>
    internal static long InstantAt(byte* pack, int entry)
    {
        Pack.TryGetInteger(pack, Pack.Skip(pack, entry, 2), out long at);
        return at;
    }

    private bool IsDue(long at) => at != 0 && at <= _keyspace.NowMs;

    /// <summary>Notes an expired field that was asked for. True, always.</summary>
    private bool Hide(byte* field, int length)
    {
        Key key = _keyspace.KeyOf(Record.Key(_expiring), Record.KeyLength(_expiring));
        _keyspace.NoteExpiredField(_keyspace.Effects.Database, key, new ReadOnlySpan<byte>(field, length));
        return true;
    }

    /// <summary>Goes through the fields of a hash that does not change meanwhile.</summary>
    public ref struct Enumerator : IDisposable
    {
        private readonly HashValue _hash;
        private readonly bool _isAll;
        private int _entry;
        private TableWalk _walk;

        internal Enumerator(HashValue hash, bool isAll)
        {
            _hash = hash;
            _isAll = isAll;
            _entry = Pack.HeaderSize;
            _walk = new TableWalk(hash._table);
        }

        /// <summary>The field.</summary>
        public Element Field { get; private set; }

        /// <summary>Its value.</summary>
        public Element Value { get; private set; }

        /// <summary>When it expires (Unix milliseconds); 0: never.</summary>
        public long Expiry { get; private set; }

        /// <summary>Goes to the next field; false at the end.</summary>
        public bool MoveNext()
        {
            if (_hash._pack == null)
            {
                return MoveInTable();
            }

            byte* pack = _hash._pack;
            while (_entry < _hash._packLength)
            {
                int field = _entry, value = field + Pack.SizeOf(pack, field);
                _entry = value + Pack.SizeOf(pack, value);
                if (_hash._expiring != null)
                {
                    Pack.TryGetInteger(pack, _entry, out long at);
                    Expiry = at;
                    _entry += Pack.SizeOf(pack, _entry);
                    if (!_isAll && _hash.IsDue(at))
                    {
                        continue;
                    }
                }

                Field = Element.OfPack(pack, field);
                Value = Element.OfPack(pack, value);
                return true;
            }

            return false;
        }

        private bool MoveInTable()
        {
            while (_walk.MoveNext())
            {
                if (_hash._expiring != null)
                {
                    if (!_isAll && !_hash.IsLive(_walk.Current))
                    {
                        continue;
                    }

                    Expiry = Record.HasExpire(_walk.Current) ? Record.ExpireAt(_walk.Current) : 0;
                }

                Field = Element.OfKey(_walk.Current);
                Value = Element.OfValue(_walk.Current);
                return true;
            }

            return false;
        }

        /// <summary>Frees the scratch space of a big hash's walk.</summary>
        public void Dispose() => _walk.Dispose();
    }
}
