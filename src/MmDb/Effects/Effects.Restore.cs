using Leither.MmDb.Memory;
using Leither.MmDb.Rdb;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb;

/// <summary>What became of an RDB value that was to be restored.</summary>
public enum RestoreResult
{
    /// <summary>It stands at its key.</summary>
    Restored,
    /// <summary>It is a collection without elements, which Redis has none of either: nothing happened.</summary>
    Empty,
    /// <summary>Its bytes are damaged, or of a type that is not known here: nothing happened.</summary>
    Damaged,
}

/// <content>
/// The effect that a value comes in as RDB holds it (RESTORE, import, a replica's first copy). It is built aside, in a database that
/// nobody sees, by the steps that the other effects are made of, and put in its place when all of it was sound.
/// </content>
public sealed unsafe partial class Effects
{
    private Database? _workshop;
    private RdbScratch _name, _value;

    /// <summary>The key becomes the value of an RDB type byte and what follows it; what was there goes. Nothing is recorded unless it does.</summary>
    /// <param name="key">The key.</param>
    /// <param name="expireAt">When it expires, in Unix milliseconds; 0: never.</param>
    /// <param name="payload">Type and value.</param>
    /// <param name="length">Bytes of them.</param>
    public RestoreResult Restore(in Key key, long expireAt, byte* payload, long length) => Restore(key, expireAt, payload, length, out _);

    /// <summary>As the other overload; tells what is wrong with damaged bytes.</summary>
    public RestoreResult Restore(in Key key, long expireAt, byte* payload, long length, out string? problem)
    {
        problem = null;
        Database database = _database;
        _database = _workshop ??= new Database(_keyspace, -1);
        RestoreResult result;
        try
        {
            result = Build(key, payload, length);
            if (result == RestoreResult.Restored && expireAt != 0)
            {
                ulong* built = _database.FindSlot(key);
                Record.SetExpireAt(SetHasExpire(key, built, true), expireAt);
            }
        }
        catch (RdbFormatException e)
        {
            problem = e.Message;
            result = RestoreResult.Damaged;
        }

        ulong* slot = _database.FindSlot(key);
        if (result != RestoreResult.Restored)
        {
            if (slot != null)
            {
                Drop(key, slot);
            }

            _database = database;
            return result;
        }

        byte* record = KeyTable.Get(slot);
        Detach(key, slot, record);
        _database = database;
        slot = Open(key);
        EffectWriter writer = Append(EffectTag.Restore, key);
        writer.Int64(expireAt);
        writer.Bytes(payload, length);
        if (slot != null)
        {
            Drop(key, slot);
        }

        _keyspace.Snapshot?.Created(_database, record);
        _database.Keys->Insert(_keyspace.Heap, key.Hash, record);
        if (expireAt != 0)
        {
            _database.Expires->Insert(_keyspace.Heap, key.Hash, record);
        }

        NoteFieldExpiry(key, record);
        if ((_keyspace.Options.NotifyEvents & KeyspaceEvents.New) != 0)
        {
            _keyspace.Notify(KeyspaceEvents.New, "new"u8, _database, key);
        }

        ChangedAndReady(key);
        return RestoreResult.Restored;
    }

    /// <summary>
    /// Puts a value into a database's table that was always there, but not held: nothing changed, so nothing is recorded and nobody is told. The
    /// key is not in the table.
    /// </summary>
    /// <exception cref="RdbFormatException">The bytes are damaged.</exception>
    internal byte* Fetched(Database database, in Key key, long expireAt, byte* payload, long length)
    {
        Database before = _database;
        _database = _workshop ??= new Database(_keyspace, -1);
        try
        {
            if (Build(key, payload, length) != RestoreResult.Restored)
            {
                return null;
            }

            ulong* slot = _database.FindSlot(key);
            if (expireAt != 0)
            {
                Record.SetExpireAt(SetHasExpire(key, slot, true), expireAt);
            }

            byte* record = KeyTable.Get(slot);
            Detach(key, slot, record);
            _database = database;
            database.Keys->Insert(_keyspace.Heap, key.Hash, record);
            if (expireAt != 0)
            {
                database.Expires->Insert(_keyspace.Heap, key.Hash, record);
            }

            NoteFieldExpiry(key, record);
            return record;
        }
        finally
        {
            _database = before;
        }
    }

    /// <summary>Whether <see cref="Restore(in Key, long, byte*, long)"/> would restore it.</summary>
    public bool CanRestore(in Key key, byte* payload, long length)
    {
        Database database = _database;
        _database = _workshop ??= new Database(_keyspace, -1);
        bool isSound;
        try
        {
            isSound = Build(key, payload, length) == RestoreResult.Restored;
        }
        catch (RdbFormatException)
        {
            isSound = false;
        }

        ulong* slot = _database.FindSlot(key);
        if (slot != null)
        {
            Drop(key, slot);
        }

        _database = database;
        return isSound;
    }

    private RestoreResult Build(in Key key, byte* payload, long length)
    {
        var reader = new RdbReader(payload, length);
        var type = (RdbType)reader.Byte();
        switch (type)
        {
            case RdbType.String:
                Slice text = reader.String(ref _value);
                WriteString(key, null, text.Pointer, text.Length, 0);
                break;
            case RdbType.List:
                BuildList(key, ref reader);
                break;
            case RdbType.ListZiplist:
                PushAll(key, RdbContainer.Ziplist(reader.String(ref _value)));
                break;
            case RdbType.ListQuicklist or RdbType.ListQuicklist2:
                BuildQuicklist(key, ref reader, type);
                break;
            case RdbType.Set:
                BuildSet(key, ref reader);
                break;
            case RdbType.SetIntSet:
                BuildIntSet(key, reader.String(ref _value));
                break;
            case RdbType.SetListpack:
                AddAll(key, RdbContainer.Listpack(reader.String(ref _value)));
                break;
            case RdbType.SortedSet or RdbType.SortedSet2:
                BuildSortedSet(key, ref reader, type);
                break;
            case RdbType.SortedSetZiplist:
                ScoreAll(key, RdbContainer.Ziplist(reader.String(ref _value)));
                break;
            case RdbType.SortedSetListpack:
                ScoreAll(key, RdbContainer.Listpack(reader.String(ref _value)));
                break;
            case RdbType.Hash:
                BuildHash(key, ref reader);
                break;
            case RdbType.HashMetadata or RdbType.HashMetadataPreGa:
                BuildExpiringHash(key, ref reader, type);
                break;
            case RdbType.HashListpackEx or RdbType.HashListpackExPreGa:
                if (type == RdbType.HashListpackEx)
                {
                    reader.UInt64();
                }

                SetAllExpiring(key, RdbContainer.Listpack(reader.String(ref _value)));
                break;
            case RdbType.HashZipmap:
                SetAll(key, RdbContainer.Zipmap(reader.String(ref _value)));
                break;
            case RdbType.HashZiplist:
                SetAll(key, RdbContainer.Ziplist(reader.String(ref _value)));
                break;
            case RdbType.HashListpack:
                SetAll(key, RdbContainer.Listpack(reader.String(ref _value)));
                break;
            case RdbType.StreamListpacks or RdbType.StreamListpacks2 or RdbType.StreamListpacks3:
                BuildStream(key, ref reader, type);
                break;
            case RdbType.Module or RdbType.Module2:
                throw new RdbFormatException("the value is of a module's type, and there are no modules here");
            default:
                throw new RdbFormatException($"values of RDB type {(byte)type} are not known");
        }

        if (!reader.AtEnd)
        {
            throw new RdbFormatException($"{reader.Left} bytes follow the value");
        }

        return _database.FindSlot(key) != null ? RestoreResult.Restored : RestoreResult.Empty;
    }

    // ------------------------------------------------------------------ lists

    private void BuildList(in Key key, ref RdbReader reader)
    {
        for (long left = reader.Count(1); left > 0; left--)
        {
            Slice element = reader.String(ref _value);
            Push(key, _database.FindSlot(key), ListSide.Tail, &element, 1);
        }
    }

    private void BuildQuicklist(in Key key, ref RdbReader reader, RdbType type)
    {
        const ulong plain = 1, packed = 2;
        for (long left = reader.Count(1); left > 0; left--)
        {
            ulong container = type == RdbType.ListQuicklist ? packed : reader.Length();
            if (container is not (plain or packed))
            {
                throw new RdbFormatException($"a list's node is of kind {container}, which is not known");
            }

            Slice node = reader.String(ref _value);
            if (container == plain)
            {
                Push(key, _database.FindSlot(key), ListSide.Tail, &node, 1);
                continue;
            }

            PushAll(key, type == RdbType.ListQuicklist ? RdbContainer.Ziplist(node) : RdbContainer.Listpack(node));
        }
    }

    private void PushAll(in Key key, RdbContainer elements)
    {
        byte* scratch = stackalloc byte[Element.ScratchSize];
        while (elements.MoveNext())
        {
            Slice element = elements.Current.Text(scratch);
            Push(key, _database.FindSlot(key), ListSide.Tail, &element, 1);
        }
    }

    // ------------------------------------------------------------------ sets

    private void BuildSet(in Key key, ref RdbReader reader)
    {
        long count = reader.Count(1);
        for (long left = count; left > 0; left--)
        {
            AddBuilt(key, reader.String(ref _value), (int)Math.Min(count, int.MaxValue));
        }
    }

    private void AddBuilt(in Key key, Slice member, int count)
    {
        ulong* slot = _database.FindSlot(key);
        if (slot == null)
        {
            NewSet(key, member, count);
        }
        else if (!AddMember(key, slot, member))
        {
            throw new RdbFormatException("a set's member is there twice");
        }
    }

    private void AddAll(in Key key, RdbContainer members)
    {
        byte* scratch = stackalloc byte[Element.ScratchSize];
        while (members.MoveNext())
        {
            AddBuilt(key, members.Current.Text(scratch), 1);
        }
    }

    private void BuildIntSet(in Key key, Slice bytes)
    {
        const int header = 8;
        var reader = new RdbReader(bytes.Pointer, bytes.Length);
        uint width = reader.UInt32();
        long count = reader.UInt32();
        if (width is not (sizeof(short) or sizeof(int) or sizeof(long)) || bytes.Length != header + (count * width))
        {
            throw new RdbFormatException("an intset is not as long as it says");
        }

        if (count == 0)
        {
            return;
        }

        int length = IntSet.HeaderSize + (int)(count * width);
        byte* data = Record.ValueBytes(Create(key, DataType.Set, DataEncoding.IntSet, length), out _);
        *data = (byte)width;
        Buffer.MemoryCopy(reader.Next, data + IntSet.HeaderSize, length - IntSet.HeaderSize, length - IntSet.HeaderSize);
        if (!IntSet.Validate(data, length))
        {
            throw new RdbFormatException("an intset is not in order");
        }

        if (count > _keyspace.Options.Packed.SetMaxIntsetEntries)
        {
            SetToTable(key, _database.FindSlot(key));
        }
    }

    // ------------------------------------------------------------------ sorted sets

    private void BuildSortedSet(in Key key, ref RdbReader reader, RdbType type)
    {
        long count = reader.Count(2);
        for (long left = count; left > 0; left--)
        {
            Slice member = reader.String(ref _name);
            ScoreBuilt(key, member, type == RdbType.SortedSet ? reader.TextDouble() : reader.Double(), (int)Math.Min(count, int.MaxValue));
        }
    }

    private void ScoreBuilt(in Key key, Slice member, double score, int count)
    {
        if (double.IsNaN(score))
        {
            throw new RdbFormatException("a score is no number");
        }

        var item = new ScoredMember { Member = member.Pointer, Length = member.Length, Score = score };
        ulong* slot = _database.FindSlot(key);
        SortedSetPlace place = Find(slot, &item);
        if (place.Found)
        {
            throw new RdbFormatException("a sorted set's member is there twice");
        }

        if (slot == null)
        {
            MakeRoom(key, ref slot, count, item.Length);
            place = Find(slot, &item);
        }

        AddMember(key, slot, place, &item);
    }

    private void ScoreAll(in Key key, RdbContainer entries)
    {
        byte* scratch = stackalloc byte[2 * Element.ScratchSize];
        while (entries.MoveNext())
        {
            Slice member = entries.Current.Text(scratch);
            if (!entries.MoveNext())
            {
                throw new RdbFormatException("a sorted set's last member has no score");
            }

            if (!entries.Current.Text(scratch + Element.ScratchSize).TryDouble(out double score))
            {
                throw new RdbFormatException("a score is no number");
            }

            ScoreBuilt(key, member, score, 1);
        }
    }

    // ------------------------------------------------------------------ hashes

    private void BuildHash(in Key key, ref RdbReader reader)
    {
        long count = reader.Count(2);
        for (long left = count; left > 0; left--)
        {
            Slice field = reader.String(ref _name), value = reader.String(ref _value);
            SetBuilt(key, field, value);
            if (left == count && count > _keyspace.Options.Packed.HashMaxListpackEntries)
            {
                HashToTable(key, _database.FindSlot(key));
            }
        }
    }

    private void SetBuilt(in Key key, Slice field, Slice value)
    {
        if (!PutField(key, _database.FindSlot(key), field.Pointer, field.Length, value.Pointer, value.Length))
        {
            throw new RdbFormatException("a hash's field is there twice");
        }
    }

    private void SetAll(in Key key, RdbContainer entries)
    {
        byte* scratch = stackalloc byte[2 * Element.ScratchSize];
        while (entries.MoveNext())
        {
            Slice field = entries.Current.Text(scratch);
            if (!entries.MoveNext())
            {
                throw new RdbFormatException("a hash's last field has no value");
            }

            SetBuilt(key, field, entries.Current.Text(scratch + Element.ScratchSize));
        }
    }

    /// <summary>Instants stand before the fields: from the first one on and counted from 1, or in earlier versions absolute; 0 is none.</summary>
    private void BuildExpiringHash(in Key key, ref RdbReader reader, RdbType type)
    {
        ulong first = type == RdbType.HashMetadata ? reader.UInt64() : 1;
        for (long left = reader.Count(3); left > 0; left--)
        {
            ulong instant = reader.Length();
            Slice field = reader.String(ref _name), value = reader.String(ref _value);
            SetBuilt(key, field, value);
            SetBuiltInstant(key, field, instant == 0 ? 0 : first + instant - 1);
        }
    }

    private void SetAllExpiring(in Key key, RdbContainer entries)
    {
        byte* scratch = stackalloc byte[2 * Element.ScratchSize];
        while (entries.MoveNext())
        {
            Slice field = entries.Current.Text(scratch);
            bool whole = entries.MoveNext();
            if (whole)
            {
                SetBuilt(key, field, entries.Current.Text(scratch + Element.ScratchSize));
                whole = entries.MoveNext();
            }

            if (!whole || !entries.Current.TryInteger(out long instant) || instant < 0)
            {
                throw new RdbFormatException("a hash's last field has no value or no time");
            }

            SetBuiltInstant(key, field, (ulong)instant);
        }
    }

    /// <summary>Times have 48 bits in Redis.</summary>
    private const ulong LastInstant = (1UL << 48) - 1;

    private void SetBuiltInstant(in Key key, Slice field, ulong instant)
    {
        if (instant > LastInstant)
        {
            throw new RdbFormatException("a hash's field expires too late");
        }

        ulong* slot = _database.FindSlot(key);
        if (instant != 0 && (DataEncoding)Record.Encoding(KeyTable.Get(slot)) is DataEncoding.Pack or DataEncoding.HashTable)
        {
            HashToExpiring(key, slot);
        }

        if (instant != 0)
        {
            SetFieldInstant(key, slot, field, (long)instant);
        }
    }
}
