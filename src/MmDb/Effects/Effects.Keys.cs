using Leither.MmDb.Memory;
using Leither.MmDb.Values;

namespace Leither.MmDb;

/// <content>Effects on keys of any type, and on whole databases.</content>
public sealed unsafe partial class Effects
{
    /// <summary>The key goes. False if it was not there.</summary>
    public bool Delete(in Key key)
    {
        ulong* slot = Open(key);
        Append(EffectTag.Delete, key);
        if (slot == null)
        {
            return false;
        }

        Drop(key, slot);
        Changed(key);
        SignalGone(key);
        return true;
    }

    /// <summary>The key goes if it expires at or before <paramref name="instant"/> (Unix milliseconds). False if it did not.</summary>
    public bool Expire(in Key key, long instant)
    {
        ulong* slot = _database.FindSlot(key);
        Append(EffectTag.Expire, key).Int64(instant);
        if (slot == null)
        {
            return false;
        }

        byte* record = KeyTable.Get(slot);
        if (!Record.HasExpire(record) || Record.ExpireAt(record) > instant)
        {
            return false;
        }

        _keyspace.Snapshot?.BeforeChange(_database, record);
        Drop(key, slot);
        _keyspace.Stats.ExpiredKeys++;
        _keyspace.Feed?.Deleted(_database, key, Configuration.ConfigKeys.LazyFreeLazyExpire);
        _keyspace.Dirty++;
        Tell(key, byItself: true);
        SignalGone(key);
        _keyspace.Notify(KeyspaceEvents.Expired, "expired"u8, _database, key);
        return true;
    }

    /// <summary>The key expires at that instant (Unix milliseconds).</summary>
    public void ExpireAt(in Key key, long instant)
    {
        ulong* slot = Open(key);
        Append(EffectTag.ExpireAt, key).Int64(instant);
        if (slot != null)
        {
            Record.SetExpireAt(SetHasExpire(key, slot, true), instant);
            Changed(key);
        }
    }

    /// <summary>The key no longer expires.</summary>
    public void Persist(in Key key)
    {
        ulong* slot = Open(key);
        Append(EffectTag.Persist, key);
        if (slot != null && Record.HasExpire(KeyTable.Get(slot)))
        {
            SetHasExpire(key, slot, false);
            Changed(key);
        }
    }

    private byte* SetHasExpire(in Key key, ulong* slot, bool hasExpire)
    {
        byte* record = KeyTable.Get(slot);
        return Reshape(key, slot, hasExpire, Record.ValueLength(record), Record.ValueLength(record));
    }

    /// <summary>The value moves to another name, with its expiry; what was there goes.</summary>
    public void Rename(in Key from, in Key to)
    {
        ulong* slot = Open(from);
        ulong* target = Open(to);
        Append(EffectTag.Rename, from).Bytes(to.Name, to.Length);
        slot = _database.FindSlot(from);
        if (slot == null || from.Span.SequenceEqual(to.Span))
        {
            return;
        }

        if (target != null)
        {
            Drop(to, target);
            slot = _database.FindSlot(from);
        }

        byte* record = KeyTable.Get(slot);
        Detach(from, slot, record);
        Rehouse(record, to);
        // Two keys, but one change.
        _keyspace.Dirty--;
        Changed(from);
        SignalGone(from);
        ChangedAndReady(to);
    }

    /// <summary>Moves a detached record's value under another name in the effects' database, and frees the old record.</summary>
    private void Rehouse(byte* record, in Key to)
    {
        bool hasExpire = Record.HasExpire(record);
        int length = Record.ValueLength(record);
        byte* moved = Record.Create(_keyspace.Heap, to.Name, to.Length, Record.Type(record), Record.Encoding(record), hasExpire, length);
        if (Record.Outside(record))
        {
            Record.SetOutsideValue(moved, Record.OutsideValue(record));
        }

        Buffer.MemoryCopy(Record.Value(record), Record.Value(moved), length, length);
        uint lru = Record.Lru(record);
        Adopt(to, moved, hasExpire ? Record.ExpireAt(record) : 0);
        Record.SetLru(moved, lru);
        Record.FreeShell(_keyspace.Heap, record);
        NoteFieldExpiry(to, moved);
    }

    /// <summary>The value is copied to a name in a database, with its expiry; what was there goes.</summary>
    public void Copy(in Key from, Database database, in Key to)
    {
        Database source = _database;
        bool exists = Open(from) != null;
        _database = database;
        ulong* target = Open(to);
        _database = source;
        EffectWriter writer = Append(EffectTag.Copy, from);
        writer.Varint((ulong)database.Index);
        writer.Bytes(to.Name, to.Length);
        if (!exists || (source == database && from.Span.SequenceEqual(to.Span)))
        {
            return;
        }

        _database = database;
        if (target != null)
        {
            Drop(to, target);
        }

        CopyValue(KeyTable.Get(source.FindSlot(from)), to);
        ChangedAndReady(to);
        _database = source;
    }

    /// <summary>
    /// Puts a copy of another keyspace's record into a database's table: a transaction sees a key for the first time. Nothing changed, so nothing is
    /// recorded and nobody is told. Both keyspaces hash with the same seed; the key is not in the table.
    /// </summary>
    internal byte* Fetched(Database database, in Key key, byte* record)
    {
        Database before = _database;
        _database = database;
        CopyValue(record, key);
        _database = before;
        byte* copy = KeyTable.Get(database.Keys->Find(key.Hash, key.Name, key.Length));
        Record.SetLru(copy, Record.Lru(record));
        return copy;
    }

    /// <summary>Puts a deep copy of a record's value under another name in the effects' database.</summary>
    private void CopyValue(byte* record, in Key to)
    {
        var type = (DataType)Record.Type(record);
        var encoding = (DataEncoding)Record.Encoding(record);
        long expireAt = Record.HasExpire(record) ? Record.ExpireAt(record) : 0;
        switch (encoding)
        {
            case DataEncoding.HashTable:
            case DataEncoding.Quicklist:
            case DataEncoding.SortedTree:
            case DataEncoding.ExpiringTable:
            case DataEncoding.Stream:
                NoteFieldExpiry(to, CreateOwner(to, type, encoding, CopyStructure(encoding, Record.NativePointer<byte>(record)), expireAt));
                break;
            default:
                byte* bytes = Record.ValueBytes(record, out long length);
                byte* created = Create(to, type, encoding, length, expireAt);
                Buffer.MemoryCopy(bytes, Record.ValueBytes(created, out _), length, length);
                NoteFieldExpiry(to, created);
                break;
        }
    }

    /// <summary>The key moves to another database, with its expiry; nothing happens if the name is taken there.</summary>
    public bool Move(in Key key, Database database)
    {
        ulong* slot = Open(key);
        Database source = _database;
        _database = database;
        ulong* target = Open(key);
        _database = source;
        Append(EffectTag.Move, key).Varint((ulong)database.Index);
        if (slot == null || target != null || source == database)
        {
            return false;
        }

        byte* record = KeyTable.Get(slot);
        Detach(key, slot, record);
        Changed(key);
        SignalGone(key);
        _database = database;
        Rehouse(record, key);
        ChangedAndReady(key);
        _database = source;
        return true;
    }

    /// <summary>The database is emptied. Its memory is given back in slices.</summary>
    public void FlushDatabase(Database database)
    {
        Use(database);
        Append(EffectTag.FlushDatabase);
        Empty(database);
    }

    /// <summary>All databases are emptied.</summary>
    public void FlushAll()
    {
        Append(EffectTag.FlushAll);
        foreach (Database database in _keyspace.Databases)
        {
            Empty(database);
        }
    }

    private void Empty(Database database)
    {
        _keyspace.Dirty += database.Count;
        Transactions.TouchAll(database, null);
        foreach (byte[] name in database.Waiting.Keys)
        {
            fixed (byte* p = name)
            {
                _keyspace.SignalReady(database, _keyspace.KeyOf(p, name.Length));
            }
        }

        _keyspace.LazyFree.ReleaseDatabase(database.Keys, database.Expires);
        database.Keys = KeyTable.Create(_keyspace.Heap);
        database.Expires = KeyTable.Create(_keyspace.Heap);
        database.AverageTtlMs = 0;
        database.ExpireCursor = 0;
        if (database.FieldAgenda != null)
        {
            _keyspace.LazyFree.ReleaseAgenda(database.FieldAgenda);
            database.FieldAgenda = null;
        }
    }

    /// <summary>Two databases change contents; who watches or waits stays with the number.</summary>
    public void SwapDatabases(Database a, Database b)
    {
        EffectWriter writer = Append(EffectTag.SwapDatabases);
        writer.Varint((ulong)a.Index);
        writer.Varint((ulong)b.Index);
        if (a == b)
        {
            return;
        }

        Transactions.TouchAll(a, b);
        Transactions.TouchAll(b, a);
        a.SwapTables(b);
        (a.AverageTtlMs, b.AverageTtlMs) = (b.AverageTtlMs, a.AverageTtlMs);
        (a.ExpireCursor, b.ExpireCursor) = (0, 0);
        _keyspace.Dirty++;
        foreach (Database database in (ReadOnlySpan<Database>)[a, b])
        {
            foreach (byte[] name in database.Waiting.Keys)
            {
                fixed (byte* p = name)
                {
                    _keyspace.SignalReady(database, _keyspace.KeyOf(p, name.Length));
                }
            }
        }
    }

    /// <summary>Clients that wait for a stream learn that it went.</summary>
    private void SignalGone(in Key key)
    {
        if (_database.Waiting.Count > 0)
        {
            _keyspace.SignalReady(_database, key);
        }
    }
}
