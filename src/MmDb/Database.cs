using System.Runtime.CompilerServices;
using Leither.MmDb.Memory;
using Leither.MmDb.Values;

namespace Leither.MmDb;

/// <summary>
/// One numbered database: its keys, the index of those that expire, and who waits for or watches keys in it. Reading is here;
/// changing goes through <see cref="Effects"/> alone.
/// </summary>
public sealed unsafe class Database
{
    private readonly Keyspace _keyspace;

    internal Database(Keyspace keyspace, int index)
    {
        _keyspace = keyspace;
        Index = index;
        Keys = KeyTable.Create(keyspace.Heap);
        Expires = KeyTable.Create(keyspace.Heap);
    }

    /// <summary>The number that SELECT knows it by; SWAPDB exchanges contents, not numbers.</summary>
    public int Index { get; internal set; }
    /// <summary>All keys.</summary>
    public KeyTable* Keys { get; internal set; }
    /// <summary>The records among <see cref="Keys"/> that have an expiry (the same records, not copies).</summary>
    public KeyTable* Expires { get; internal set; }
    /// <summary>
    /// Which hashes have fields that expire, by the instant of the first: a hash's name with that instant as its score. It is no part of the data:
    /// an entry may be early, or of a hash that is gone, and is put right when its time comes. Null: there is none.
    /// </summary>
    internal SortedSetStructure* FieldAgenda { get; set; }
    /// <summary>Number of keys, expired ones that nobody has met included.</summary>
    public long Count => _keyspace.Source is { } source ? source.Count(Index) : Keys->Count;
    /// <summary>Mean time to live of the keys that the last expiry cycles sampled, in milliseconds.</summary>
    public long AverageTtlMs { get; internal set; }
    /// <summary>Where the active expiry cycle goes on.</summary>
    internal ulong ExpireCursor { get; set; }

    /// <summary>Sessions that wait on a key, in the order in which they came.</summary>
    internal Dictionary<byte[], LinkedList<Session>> Waiting { get; } = new(ByteStringComparer.Instance);
    /// <summary>Who watches a key.</summary>
    internal Dictionary<byte[], List<WatchedKey>> Watchers { get; } = new(ByteStringComparer.Instance);

    /// <summary>Exchanges contents with another database.</summary>
    internal void SwapTables(Database other)
    {
        KeyTable* keys = Keys, expires = Expires;
        Keys = other.Keys;
        Expires = other.Expires;
        other.Keys = keys;
        other.Expires = expires;
        SortedSetStructure* agenda = FieldAgenda;
        FieldAgenda = other.FieldAgenda;
        other.FieldAgenda = agenda;
    }

    /// <summary>The slot of a key as it is held, expired or not; null if there is none.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal ulong* FindSlot(in Key key)
    {
        ulong* slot = Keys->Find(key.Hash, key.Name, key.Length);
        return slot != null || _keyspace.Source is null ? slot : FetchSlot(key);
    }

    /// <summary>What is about to change is fetched first, where there may be changes.</summary>
    private ulong* FetchSlot(in Key key) => Index >= 0 && _keyspace.Source is { IsChangeable: true } source && source.Fetch(this, key) != null
        ? Keys->Find(key.Hash, key.Name, key.Length)
        : null;

    /// <summary>
    /// One step of a walk through all keys, in hash order: as <see cref="KeyTable.ScanBucket"/>, in a transaction of what lies below its view too.
    /// Only the records' names, types and expiries may be looked at.
    /// </summary>
    internal ulong ScanBucket(ulong cursor, ref NativeList<nint> records) =>
        _keyspace.Source is TransactionSource source ? source.ScanBucket(this, cursor, ref records) : Keys->ScanBucket(cursor, ref records);

    /// <summary>The record of a key drawn at random, expired ones included; null if there is none.</summary>
    internal byte* RandomRecord() =>
        _keyspace.Source is TransactionSource source ? source.Random(this, ref _keyspace.Random) : Keys->Random(ref _keyspace.Random);

    /// <summary>Whether a key is held, expired or not.</summary>
    internal bool Holds(ReadOnlySpan<byte> name)
    {
        fixed (byte* p = name)
        {
            return FindSlot(_keyspace.KeyOf(p, name.Length)) != null;
        }
    }

    /// <summary>Whether a key is held that has expired.</summary>
    internal bool HoldsExpired(ReadOnlySpan<byte> name)
    {
        fixed (byte* p = name)
        {
            ulong* slot = FindSlot(_keyspace.KeyOf(p, name.Length));
            return slot != null && Record.HasExpire(KeyTable.Get(slot)) && _keyspace.IsExpired(KeyTable.Get(slot));
        }
    }

    /// <summary>
    /// The record of a live key, or null. An expired key is hidden and noted, so that the keyspace deletes it in an entry of its
    /// own once this command is done. Counts a keyspace hit or miss and touches the key's idle time or frequency.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public byte* Lookup(in Key key)
    {
        byte* record = Peek(key);
        if (record == null)
        {
            Missed(key);
            return null;
        }

        _keyspace.Stats.KeyspaceHits++;
        _keyspace.Touch(record);
        return record;
    }

    /// <summary>As <see cref="Lookup"/>, for commands that look at a key but do not use its value: counts, but does not touch (EXISTS, TYPE, TTL).</summary>
    /// <param name="key">The key.</param>
    /// <param name="tellsOfMiss">Whether a miss is an event.</param>
    public byte* LookupWithoutTouch(in Key key, bool tellsOfMiss = true)
    {
        byte* record = Peek(key);
        if (record != null)
        {
            _keyspace.Stats.KeyspaceHits++;
        }
        else if (tellsOfMiss)
        {
            Missed(key);
        }
        else
        {
            _keyspace.Stats.KeyspaceMisses++;
        }

        return record;
    }

    private void Missed(in Key key)
    {
        _keyspace.Stats.KeyspaceMisses++;
        if (!_keyspace.WillTellOfMiss(this, key))
        {
            _keyspace.Notify(KeyspaceEvents.KeyMiss, "keymiss"u8, this, key);
        }
    }

    /// <summary>As <see cref="Lookup"/>, for commands about to write: touches the key, but is no hit or miss.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public byte* LookupForWrite(in Key key)
    {
        byte* record = Peek(key);
        if (record != null)
        {
            _keyspace.Touch(record);
        }

        return record;
    }

    /// <summary>As <see cref="Lookup"/>, but leaves no trace: neither counts nor touches (WATCH, DEL).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public byte* Peek(in Key key)
    {
        ulong* slot = Keys->Find(key.Hash, key.Name, key.Length);
        if (slot == null)
        {
            return _keyspace.Source is null ? null : Fetch(key);
        }

        byte* record = KeyTable.Get(slot);
        return Record.HasExpire(record) && _keyspace.IsExpired(record) ? Expired(key) : record;
    }

    /// <summary>Takes a key from where it is kept.</summary>
    private byte* Fetch(in Key key)
    {
        byte* record = _keyspace.Source!.Fetch(this, key);
        return record != null && Record.HasExpire(record) && _keyspace.IsExpired(record) ? null : record;
    }

    private byte* Expired(in Key key)
    {
        _keyspace.NoteExpired(this, key);
        return null;
    }
}
