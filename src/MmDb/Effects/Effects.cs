using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using Leither.MmDb.Log;
using Leither.MmDb.Memory;
using Leither.MmDb.Rdb;
using Leither.MmDb.Values;

namespace Leither.MmDb;

/// <summary>
/// The only door through which data changes. Each method is one effect (<see cref="EffectTag"/>): it appends itself to the log
/// and applies itself, in one call. Replay and followers decode the log and come through the same door, with recording off.
/// </summary>
/// <remarks>
/// <para>What must stay true: applying an effect is total and deterministic in any state. Where it does not fit, it is recorded and
/// does nothing. It decides nothing by the clock: a key that has expired is deleted by an <see cref="EffectTag.Expire"/>
/// effect, written before the effect that would meet it.</para>
/// <para>The methods here are the mechanics that the effects of each type share: open the key (its expired value goes, a running
/// snapshot captures the old one), log, change, tell. The types' own effects stand in the files beside this one.</para>
/// </remarks>
public sealed unsafe partial class Effects
{
    private readonly Keyspace _keyspace;
    private Database _database;
    private WriteLog? _log;
    private HybridClock _clock;
    private int _loggedDatabase;
    private bool _replaying;
    private bool _isTransaction;

    internal Effects(Keyspace keyspace)
    {
        _keyspace = keyspace;
        _database = keyspace.Databases[0];
    }

    /// <summary>The database that effects act on.</summary>
    public Database Database => _database;

    /// <summary>Number of effects applied since the keyspace was made.</summary>
    public long Applied { get; private set; }

    /// <summary>Gets the bytes of all effects as the log gets them, while somebody wants them; as a rule null.</summary>
    internal RdbBuffer? Tee { get; set; }

    /// <summary>The hybrid time of the last entry.</summary>
    public ulong LastTime => _clock.Last;

    /// <summary>Starts recording into a log; before that, and during replay, effects only apply.</summary>
    /// <param name="log">The log, or null to stop recording.</param>
    /// <param name="clock">Stamps entries.</param>
    public void RecordTo(WriteLog? log, HybridClock clock)
    {
        _log = log;
        _clock = clock;
    }

    /// <summary>Chooses the database that the following effects act on.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Use(Database database) => _database = database;

    /// <summary>
    /// Ends the entry of the command, EXEC or script that just ran: all its effects, or none after a crash. Nothing is written
    /// where there were none.
    /// </summary>
    /// <returns>Whether there was one, so that the log is longer now.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool EndEntry()
    {
        if (_log is { InEntry: true } log)
        {
            log.End();
            return true;
        }

        return false;
    }

    // ------------------------------------------------------------------ the steps that all effects share

    /// <summary>
    /// Opens a key for a change: an expired value goes first (as an effect of its own), and a running snapshot captures what is
    /// there. Returns its slot, or null when the key does not exist.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private ulong* Open(in Key key)
    {
        ulong* slot = _database.FindSlot(key);
        if (slot == null)
        {
            return null;
        }

        byte* record = KeyTable.Get(slot);
        return Record.HasExpire(record) || _keyspace.Snapshot != null ? OpenSlow(key, slot, record) : slot;
    }

    private ulong* OpenSlow(in Key key, ulong* slot, byte* record)
    {
        if (!_replaying && _keyspace.IsWriter && Record.HasExpire(record) && _keyspace.IsExpired(record))
        {
            Expire(key, _keyspace.NowMs);
            return null;
        }

        _keyspace.Snapshot?.BeforeChange(_database, record);
        return slot;
    }

    /// <summary>Logs an effect's tag and key, and reserves room for its fixed rest. Returns the place, or null when not recording.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private EffectWriter Append(EffectTag tag, in Key key)
    {
        Applied++;
        WriteLog? log = _log;
        if (log == null)
        {
            return AppendToTee(tag, key);
        }

        if (!log.InEntry || _loggedDatabase != _database.Index)
        {
            BeginEntry(log);
        }

        var writer = new EffectWriter(log, Tee);
        writer.TagAndBytes(tag, key.Name, key.Length);
        return writer;
    }

    /// <summary>Logs the tag of an effect that has no key.</summary>
    private EffectWriter Append(EffectTag tag)
    {
        Applied++;
        WriteLog? log = _log;
        if (log != null && (!log.InEntry || _loggedDatabase != _database.Index))
        {
            BeginEntry(log);
        }

        if (log == null)
        {
            NameDatabase();
        }

        var writer = new EffectWriter(log, Tee);
        writer.Byte((byte)tag);
        return writer;
    }

    /// <summary>Where no log is kept, the effect may still be wanted by <see cref="Tee"/>.</summary>
    private EffectWriter AppendToTee(EffectTag tag, in Key key)
    {
        var writer = new EffectWriter(null, Tee);
        if (writer.IsOn)
        {
            NameDatabase();
            writer.TagAndBytes(tag, key.Name, key.Length);
        }

        return writer;
    }

    /// <summary>A transaction's effects name their database as the log's do: they are replayed as one entry.</summary>
    private void NameDatabase()
    {
        if (_isTransaction && Tee is not null && _loggedDatabase != _database.Index)
        {
            NameDatabase(new EffectWriter(null, Tee));
        }
    }

    private void NameDatabase(in EffectWriter writer)
    {
        _loggedDatabase = _database.Index;
        writer.Byte((byte)EffectTag.Select);
        writer.Varint((ulong)_loggedDatabase);
    }

    /// <summary>From now on effects are written to a buffer as one entry, to be applied elsewhere by <see cref="Commit"/>.</summary>
    internal void RecordTo(RdbBuffer buffer)
    {
        _isTransaction = true;
        Tee = buffer;
    }

    private void BeginEntry(WriteLog log)
    {
        if (!log.InEntry)
        {
            log.Begin(_clock.Next(_keyspace.NowMs));
            _loggedDatabase = 0;
        }

        if (_loggedDatabase != _database.Index)
        {
            NameDatabase(new EffectWriter(log, null));
        }
    }

    /// <summary>Tells everybody whom a change to a key concerns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Changed(in Key key)
    {
        _keyspace.Dirty++;
        if (_keyspace.ChangeListeners != 0)
        {
            Tell(key, byItself: false);
        }
    }

    private void Tell(in Key key, bool byItself)
    {
        if (_database.Watchers.Count > 0)
        {
            Transactions.Touch(_database, key.Span);
        }

        _keyspace.Tracking?.Changed(key, byItself);
        _keyspace.Source?.Changed(_database, key);
    }

    /// <summary>As <see cref="Changed"/>, where clients may wait for what the key has got.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void ChangedAndReady(in Key key)
    {
        Changed(key);
        if (_database.Waiting.Count > 0)
        {
            _keyspace.SignalReady(_database, key);
        }
    }

    // ------------------------------------------------------------------ records

    /// <summary>Makes the record of a key that is not there, with room for a value of so many bytes, and puts it into the table.</summary>
    private byte* Create(in Key key, DataType type, DataEncoding encoding, long valueBytes, long expireAt = 0)
    {
        bool outside = valueBytes > Record.MaxInlineValue;
        byte* record = Record.Create(_keyspace.Heap, key.Name, key.Length, (int)type, (int)encoding, expireAt != 0, outside ? 8 : (int)valueBytes);
        if (outside)
        {
            Record.SetOutsideValue(record, LargeValue.Create(_keyspace.Heap, (ulong)valueBytes));
        }

        Adopt(key, record, expireAt);
        return record;
    }

    /// <summary>Makes the record of a key whose value is a native structure of its own.</summary>
    private byte* CreateOwner(in Key key, DataType type, DataEncoding encoding, void* structure, long expireAt = 0)
    {
        byte* record = Record.Create(_keyspace.Heap, key.Name, key.Length, (int)type, (int)encoding, expireAt != 0, 8);
        Record.SetNativePointer(record, structure);
        Adopt(key, record, expireAt);
        return record;
    }

    private void Adopt(in Key key, byte* record, long expireAt)
    {
        Record.SetLru(record, AccessStamp.New(_keyspace));
        _keyspace.Snapshot?.Created(_database, record);
        _database.Keys->Insert(_keyspace.Heap, key.Hash, record);
        if (expireAt != 0)
        {
            Record.SetExpireAt(record, expireAt);
            _database.Expires->Insert(_keyspace.Heap, key.Hash, record);
        }

        if ((_keyspace.Options.NotifyEvents & KeyspaceEvents.New) != 0 && _database != _workshop)
        {
            _keyspace.Notify(KeyspaceEvents.New, "new"u8, _database, key);
        }
    }

    /// <summary>
    /// Gives a packed or string value another length, moving the record if its place does not fit. The first bytes, as many as
    /// fit, stay. Returns the value's first byte; the record may have moved: read it from the slot again.
    /// </summary>
    private byte* Resize(in Key key, ulong* slot, long length)
    {
        byte* record = KeyTable.Get(slot);
        if (Record.Outside(record))
        {
            LargeValue* large = Record.OutsideValue(record);
            if (length > Record.MaxInlineValue / 2)
            {
                if ((ulong)length > large->Capacity || (ulong)length < large->Capacity / 4)
                {
                    // An eighth more than asked for, so that a value that grows by appending moves seldom.
                    ulong capacity = (ulong)length > large->Capacity && large->Length != 0 ? (ulong)(length + (length >> 3)) : (ulong)length;
                    large = LargeValue.Resize(_keyspace.Heap, large, capacity);
                    Record.SetOutsideValue(record, large);
                }

                large->Length = (ulong)length;
                return LargeValue.Bytes(large);
            }

            record = Reshape(key, slot, Record.HasExpire(record), (int)length, keepBytes: 0);
            Record.ClearOutside(record);
            byte* inline = Record.Value(record);
            Unsafe.CopyBlockUnaligned(inline, LargeValue.Bytes(large), (uint)Math.Min((ulong)length, large->Length));
            LargeValue.Free(_keyspace.Heap, large);
            return inline;
        }

        if (length > Record.MaxInlineValue)
        {
            LargeValue* large = LargeValue.Create(_keyspace.Heap, (ulong)length);
            Unsafe.CopyBlockUnaligned(LargeValue.Bytes(large), Record.Value(record), (uint)Record.ValueLength(record));
            record = Reshape(key, slot, Record.HasExpire(record), 8, keepBytes: 0);
            Record.SetOutsideValue(record, large);
            return LargeValue.Bytes(large);
        }

        return Record.Value(Reshape(key, slot, Record.HasExpire(record), (int)length, keepBytes: (int)length));
    }

    /// <summary>Gives a record another inline length or another expiry field; the header, the key and up to <paramref name="keepBytes"/> of the value stay.</summary>
    private byte* Reshape(in Key key, ulong* slot, bool hasExpire, int valueLength, int keepBytes)
    {
        byte* record = KeyTable.Get(slot);
        bool hadExpire = Record.HasExpire(record);
        int keyLength = Record.KeyLength(record), oldLength = Record.ValueLength(record);
        nuint oldSize = Record.SizeFor(keyLength, hadExpire, oldLength), newSize = Record.SizeFor(keyLength, hasExpire, valueLength);
        if (hadExpire == hasExpire && NativeHeap.RoundUp(oldSize) == NativeHeap.RoundUp(newSize))
        {
            Record.SetValueLength(record, valueLength);
            return record;
        }

        byte* moved = Record.Create(_keyspace.Heap, Record.Key(record), keyLength, Record.Type(record), Record.Encoding(record), hasExpire, valueLength);
        Record.SetLru(moved, Record.Lru(record));
        Record.SetSnapshotEpoch(moved, Record.SnapshotEpoch(record));
        int kept = Math.Min(Math.Min(oldLength, valueLength), keepBytes);
        if (kept > 0)
        {
            Unsafe.CopyBlockUnaligned(Record.Value(moved), Record.Value(record), (uint)kept);
        }

        if (Record.Outside(record) && keepBytes > 0)
        {
            Record.SetOutsideValue(moved, Record.OutsideValue(record));
        }

        KeyTable.Set(slot, moved);
        if (hadExpire)
        {
            ulong* index = _database.Expires->FindPointer(key.Hash, record);
            if (hasExpire)
            {
                Record.SetExpireAt(moved, Record.ExpireAt(record));
                KeyTable.Set(index, moved);
            }
            else
            {
                _database.Expires->Remove(_keyspace.Heap, key.Hash, index);
            }
        }
        else if (hasExpire)
        {
            _database.Expires->Insert(_keyspace.Heap, key.Hash, moved);
        }

        _keyspace.Heap.Free(record, oldSize);
        return moved;
    }

    /// <summary>
    /// Replaces whatever value a record has by an uninitialised one of another type, keeping or dropping the expiry.
    /// Returns the record, which may have moved.
    /// </summary>
    private byte* Replace(in Key key, ulong* slot, DataType type, DataEncoding encoding, long valueBytes, bool hasExpire)
    {
        byte* record = KeyTable.Get(slot);
        ReleaseValue(record);
        bool outside = valueBytes > Record.MaxInlineValue;
        record = Reshape(key, slot, hasExpire, outside ? 8 : (int)valueBytes, keepBytes: 0);
        Record.SetType(record, (int)type, (int)encoding);
        Record.ClearOutside(record);
        if (outside)
        {
            Record.SetOutsideValue(record, LargeValue.Create(_keyspace.Heap, (ulong)valueBytes));
        }

        return record;
    }

    /// <summary>Replaces a packed value by a native structure of its own. Returns the record, which may have moved.</summary>
    private byte* ReplaceByOwner(in Key key, ulong* slot, DataEncoding encoding, void* structure)
    {
        byte* record = KeyTable.Get(slot);
        ReleaseValue(record);
        record = Reshape(key, slot, Record.HasExpire(record), 8, keepBytes: 0);
        Record.ClearOutside(record);
        Record.SetEncoding(record, (int)encoding);
        Record.SetNativePointer(record, structure);
        return record;
    }

    /// <summary>Frees what a record holds outside of itself; big collections in slices later.</summary>
    private void ReleaseValue(byte* record) => _keyspace.LazyFree.ReleaseValue(record);

    /// <summary>Removes a key whose slot is known, with its value.</summary>
    private void Drop(in Key key, ulong* slot)
    {
        byte* record = KeyTable.Get(slot);
        Detach(key, slot, record);
        ReleaseValue(record);
        Record.FreeShell(_keyspace.Heap, record);
    }

    /// <summary>Takes a record out of the tables without freeing anything.</summary>
    private void Detach(in Key key, ulong* slot, byte* record)
    {
        if (Record.HasExpire(record))
        {
            _database.Expires->Remove(_keyspace.Heap, key.Hash, _database.Expires->FindPointer(key.Hash, record));
        }

        _database.Keys->Remove(_keyspace.Heap, key.Hash, slot);
    }
}

/// <summary>Appends the parts of one effect to the log's open entry, and to a copy where one is wanted. The default value writes nothing: recording is off.</summary>
internal readonly unsafe ref struct EffectWriter(WriteLog? log, RdbBuffer? copy)
{
    /// <summary>Longer byte strings are handed to the log whole: it streams them to the file instead of copying them.</summary>
    private const int MaxReserved = 16 * 1024;

    private readonly WriteLog? _log = log;
    private readonly RdbBuffer? _copy = copy;

    /// <summary>Whether anything is recorded.</summary>
    public bool IsOn => _log != null || _copy != null;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void TagAndBytes(EffectTag tag, byte* bytes, int length)
    {
        if (length < 128 && _copy == null)
        {
            byte* p = _log!.Reserve(length + 2);
            p[0] = (byte)tag;
            p[1] = (byte)length;
            Unsafe.CopyBlockUnaligned(p + 2, bytes, (uint)length);
            _log.Commit(length + 2);
            return;
        }

        Byte((byte)tag);
        Bytes(bytes, length);
    }

    public void Byte(byte value)
    {
        _copy?.Byte(value);
        if (_log != null)
        {
            *_log.Reserve(1) = value;
            _log.Commit(1);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Bytes(byte* bytes, long length)
    {
        if (length < 128 && _copy == null)
        {
            if (_log == null)
            {
                return;
            }

            byte* p = _log.Reserve((int)length + 1);
            *p = (byte)length;
            Unsafe.CopyBlockUnaligned(p + 1, bytes, (uint)length);
            _log.Commit((int)length + 1);
            return;
        }

        BytesLong(bytes, length);
    }

    public void Bytes(ReadOnlySpan<byte> bytes)
    {
        fixed (byte* p = bytes)
        {
            Bytes(p, bytes.Length);
        }
    }

    private void BytesLong(byte* bytes, long length)
    {
        Varint((ulong)length);
        _copy?.Raw(bytes, length);
        if (_log == null)
        {
            return;
        }

        if (length <= MaxReserved)
        {
            byte* p = _log.Reserve((int)length);
            Unsafe.CopyBlockUnaligned(p, bytes, (uint)length);
            _log.Commit((int)length);
        }
        else
        {
            _log.Write(bytes, length);
        }
    }

    public void Varint(ulong value)
    {
        if (!IsOn)
        {
            return;
        }

        byte* number = stackalloc byte[10];
        int n = 0;
        while (value >= 0x80)
        {
            number[n++] = (byte)(value | 0x80);
            value >>= 7;
        }

        number[n++] = (byte)value;
        _copy?.Raw(number, n);
        if (_log != null)
        {
            Unsafe.CopyBlockUnaligned(_log.Reserve(10), number, (uint)n);
            _log.Commit(n);
        }
    }

    public void Zigzag(long value) => Varint((ulong)(value << 1) ^ (ulong)(value >> 63));

    public void Int64(long value)
    {
        _copy?.UInt64((ulong)value);
        if (_log != null)
        {
            BinaryPrimitives.WriteInt64LittleEndian(new Span<byte>(_log.Reserve(8), 8), value);
            _log.Commit(8);
        }
    }

    public void Double(double value) => Int64(BitConverter.DoubleToInt64Bits(value));
}
