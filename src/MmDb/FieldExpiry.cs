using System.Diagnostics;
using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb;

/// <summary>
/// Deletes fields of hashes when their time has come, in slices. Each database has an agenda of its hashes by the instant of their first
/// field that expires, and a big hash has one of its fields: so the cost is by the fields that are due, not by those held.
/// </summary>
/// <remarks>
/// The agenda is kept by name and may be early: fields that were persisted, and hashes that are gone, are found out when their time comes.
/// As everywhere, what is deleted is deleted by an effect in an entry of the keyspace's own, and only by the writer.
/// </remarks>
internal sealed unsafe class FieldExpiry(Keyspace keyspace) : IDisposable
{
    /// <summary>Fields deleted by one effect.</summary>
    private const int FieldsAtOnce = 64;

    private readonly ArgBuffer _names = new();
    private readonly KeyBuffer _key = new();

    /// <summary>Frees what is its own; the agendas go with the keyspace's memory.</summary>
    public void Dispose() => _names.Dispose();

    /// <summary>Takes note of a hash that got a field that expires.</summary>
    /// <param name="database">Where the hash is.</param>
    /// <param name="key">Its key.</param>
    /// <param name="at">When the field expires.</param>
    public void Note(Database database, in Key key, long at)
    {
        if (database.FieldAgenda == null)
        {
            var created = (SortedSetStructure*)keyspace.Heap.Alloc((nuint)sizeof(SortedSetStructure));
            created->Members = KeyTable.Create(keyspace.Heap);
            created->Tree = SortedTree.Create(keyspace.Heap);
            database.FieldAgenda = created;
        }

        SortedSetStructure* agenda = database.FieldAgenda;
        ulong* slot = agenda->Members->Find(key.Hash, key.Name, key.Length);
        if (slot == null)
        {
            byte* entry = Record.Create(keyspace.Heap, key.Name, key.Length, (int)DataType.String, (int)DataEncoding.Raw, hasExpire: false, sizeof(double));
            SortedSetValue.SetScore(entry, at);
            agenda->Members->Insert(keyspace.Heap, key.Hash, entry);
            agenda->Tree->Insert(keyspace.Heap, at, entry);
        }
        else if (at < SortedSetValue.ScoreOf(KeyTable.Get(slot)))
        {
            Move(agenda, KeyTable.Get(slot), at);
        }
    }

    /// <summary>As the other, for a hash that came as a whole.</summary>
    public void Note(Database database, ReadOnlySpan<byte> name)
    {
        fixed (byte* p = name)
        {
            Key key = keyspace.KeyOf(p, name.Length);
            ulong* slot = database.FindSlot(key);
            if (slot != null && Record.Type(KeyTable.Get(slot)) == (int)DataType.Hash && new HashValue(keyspace, KeyTable.Get(slot)).NextExpiry is > 0 and var at)
            {
                Note(database, key, at);
            }
        }
    }

    /// <summary>Deletes what is due, for about so long. True when there is more.</summary>
    public bool Step(TimeSpan budget)
    {
        long deadline = 0;
        foreach (Database database in keyspace.Databases)
        {
            while (database.FieldAgenda != null && database.FieldAgenda->Tree->First() is { IsValid: true } first && first.Score <= keyspace.NowMs)
            {
                long now = Stopwatch.GetTimestamp();
                deadline = deadline == 0 ? now + (long)(budget.TotalSeconds * Stopwatch.Frequency) : deadline;
                if (now > deadline)
                {
                    return true;
                }

                Visit(database, first.Record);
            }
        }

        return false;
    }

    /// <summary>Deletes fields of a hash that are due, so many at most. Gives their number.</summary>
    public int Expire(Database database, in Key key, int most)
    {
        ulong* slot = database.FindSlot(key);
        if (slot == null || Record.Type(KeyTable.Get(slot)) != (int)DataType.Hash)
        {
            return 0;
        }

        _names.Clear();
        Collect(KeyTable.Get(slot), most);
        if (_names.Count == 0)
        {
            return 0;
        }

        keyspace.Effects.Use(database);
        return keyspace.Effects.HashExpireFields(key, keyspace.NowMs, _names.Pointer, _names.Count);
    }

    private void Visit(Database database, byte* entry)
    {
        Key key = _key.Copy(keyspace, entry);
        if (Expire(database, key, FieldsAtOnce) > 0)
        {
            keyspace.Effects.EndEntry();
        }

        // The effect leaves the agenda alone, so the entry is where it was.
        SortedSetStructure* agenda = database.FieldAgenda;
        ulong* slot = database.FindSlot(key);
        long next = slot == null || Record.Type(KeyTable.Get(slot)) != (int)DataType.Hash ? 0 : new HashValue(keyspace, KeyTable.Get(slot)).NextExpiry;
        if (next != 0)
        {
            Move(agenda, entry, next);
            return;
        }

        agenda->Tree->Remove(keyspace.Heap, SortedSetValue.ScoreOf(entry), entry);
        agenda->Members->Remove(keyspace.Heap, key.Hash, agenda->Members->FindPointer(key.Hash, entry));
        Record.FreeShell(keyspace.Heap, entry);
    }

    private void Move(SortedSetStructure* agenda, byte* entry, double at)
    {
        agenda->Tree->Update(keyspace.Heap, SortedSetValue.ScoreOf(entry), at, entry);
        SortedSetValue.SetScore(entry, at);
    }

    /// <summary>Copies the names of fields that are due.</summary>
    private void Collect(byte* record, int most)
    {
        switch ((DataEncoding)Record.Encoding(record))
        {
            case DataEncoding.ExpiringTable:
                SortedTreeCursor due = Record.NativePointer<SortedSetStructure>(record)->Tree->First();
                for (; due.IsValid && due.Score <= keyspace.NowMs && _names.Count < most; due.MoveNext())
                {
                    Copy(new Slice(Record.Key(due.Record), Record.KeyLength(due.Record)));
                }

                break;
            case DataEncoding.ExpiringPack:
                byte* pack = Record.ValueBytes(record, out long length), scratch = stackalloc byte[Element.ScratchSize];
                for (int entry = Pack.HeaderSize; entry < length && _names.Count < most; entry = Pack.Skip(pack, entry, 3))
                {
                    long at = HashValue.InstantAt(pack, entry);
                    if (at != 0 && at <= keyspace.NowMs)
                    {
                        Copy(Element.OfPack(pack, entry).Text(scratch));
                    }
                }

                break;
        }
    }

    private void Copy(Slice name)
    {
        byte* copy = _names.Allocate(name.Length);
        name.Span.CopyTo(new Span<byte>(copy, name.Length));
        _names.Add(new Slice(copy, name.Length));
    }
}
