namespace Leither.MmDb;

/// <summary>
/// Reads the effects of entries without applying them, and tells which keys they concern, and of hashes, sets and sorted sets which elements where they name
/// them. It must know every effect: <see cref="EffectTag"/> says how each is laid out.
/// </summary>
/// <param name="databases">How many databases there are.</param>
internal abstract unsafe class EffectVisitor(int databases)
{
    private byte* _name;
    private int _nameLength, _database;
    private EffectTag _tag;

    /// <summary>Goes through the effects of an entry.</summary>
    /// <param name="body">What follows the entry's header.</param>
    /// <param name="length">Bytes of it.</param>
    /// <exception cref="UnknownEffectException">The bytes are damaged, or a newer version wrote them.</exception>
    public void Visit(byte* body, long length)
    {
        var reader = new EffectReader(body, length);
        int database = 0;
        while (!reader.AtEnd)
        {
            var tag = (EffectTag)reader.Byte();
            switch (tag)
            {
                case EffectTag.Select:
                    database = Database(reader.Int32());
                    break;
                case EffectTag.FlushDatabase:
                    Flushed(database);
                    break;
                case EffectTag.FlushAll:
                    FlushedAll();
                    break;
                case EffectTag.SwapDatabases:
                    int a = Database(reader.Int32()), b = Database(reader.Int32());
                    Swapped(a, b);
                    break;
                case EffectTag.FunctionLoad:
                case EffectTag.FunctionDelete:
                    byte* library = reader.Bytes(out int libraryLength);
                    if (tag == EffectTag.FunctionLoad)
                    {
                        reader.Bytes(out _);
                    }

                    Function(tag, new ReadOnlySpan<byte>(library, libraryLength));
                    break;
                case EffectTag.FunctionFlush:
                    Function(tag, default);
                    break;
                case EffectTag.FilesSet:
                    byte* root = reader.Bytes(out int rootLength);
                    Files(new ReadOnlySpan<byte>(root, rootLength));
                    break;
                default:
                    VisitKey(ref reader, tag, database);
                    break;
            }
        }
    }

    private int Database(int number) => number < databases ? number
        : throw new UnknownEffectException($"database {number} is beyond the {databases} of this configuration; start with --databases {number + 1} or more");

    /// <summary>An effect whose first part is a key of the database.</summary>
    private void VisitKey(ref EffectReader reader, EffectTag tag, int database)
    {
        _tag = tag;
        SetKey(ref reader, database);
        switch (tag)
        {
            case EffectTag.Delete:
            case EffectTag.StreamCreate:
            case EffectTag.HyperLogLogCount:
            case EffectTag.HyperLogLogDensify:
                Whole();
                break;
            case EffectTag.Expire:
                reader.Int64();
                Whole();
                break;
            case EffectTag.ExpireAt:
                reader.Int64();
                Touch();
                break;
            case EffectTag.Persist:
                Touch();
                break;
            case EffectTag.Rename:
                Whole();
                SetKey(ref reader, database);
                Whole();
                break;
            case EffectTag.Copy:
                int target = Database(reader.Int32());
                SetKey(ref reader, target);
                Whole();
                break;
            case EffectTag.Move:
                Whole();
                _database = Database(reader.Int32());
                Whole();
                break;
            case EffectTag.Restore:
                reader.Int64();
                reader.Bytes(out _);
                Whole();
                break;
            case >= EffectTag.StringSet and <= EffectTag.HyperLogLogMerge:
                SkipString(ref reader, tag);
                Whole();
                break;
            case >= EffectTag.HashSet and <= EffectTag.HashSetKeepExpiry:
                VisitHash(ref reader, tag);
                break;
            case >= EffectTag.ListPush and <= EffectTag.ListStore:
                VisitList(ref reader, tag, database);
                break;
            case EffectTag.SetAdd:
            case EffectTag.SetRemove:
            case EffectTag.SortedSetRemove:
                Touch();
                Elements(ref reader);
                break;
            case EffectTag.SetStore:
                reader.Int32();
                SkipItems(ref reader);
                Whole();
                break;
            case >= EffectTag.SortedSetAdd and <= EffectTag.SortedSetReplace:
                VisitSortedSet(ref reader, tag);
                break;
            case >= EffectTag.StreamAdd and <= EffectTag.StreamAcknowledge:
                SkipStream(ref reader, tag);
                Whole();
                break;
            default:
                throw new UnknownEffectException($"effect {(byte)tag} is not known to this version");
        }
    }

    private static void SkipString(ref EffectReader reader, EffectTag tag)
    {
        switch (tag)
        {
            case EffectTag.StringSet:
            case EffectTag.StringSetKeepExpiry:
            case EffectTag.StringAppend:
                reader.Bytes(out _);
                break;
            case EffectTag.StringSetExpiring:
                reader.Int64();
                reader.Bytes(out _);
                break;
            case EffectTag.StringAdd:
                reader.Varint();
                break;
            case EffectTag.StringSetRange:
                reader.Varint();
                reader.Bytes(out _);
                break;
            case EffectTag.StringSetBit:
                reader.Varint();
                reader.Varint();
                break;
            case EffectTag.StringSetBits:
                reader.Varint();
                reader.Varint();
                reader.Int64();
                break;
            default:
                // An operation or a limit, and items: BITOP, PFADD, PFMERGE.
                reader.Varint();
                SkipItems(ref reader);
                break;
        }
    }

    private void VisitHash(ref EffectReader reader, EffectTag tag)
    {
        Touch();
        switch (tag)
        {
            case EffectTag.HashSet:
                Element(ref reader);
                reader.Bytes(out _);
                break;
            case EffectTag.HashAdd:
                Element(ref reader);
                reader.Varint();
                break;
            case EffectTag.HashSetMany:
            case EffectTag.HashSetKeepExpiry:
                for (int count = reader.Int32(); count > 0; count -= 2)
                {
                    Element(ref reader);
                    reader.Bytes(out _);
                }

                break;
            case EffectTag.HashExpireAt:
            case EffectTag.HashExpireFields:
                reader.Int64();
                Elements(ref reader);
                break;
            default:
                Elements(ref reader);
                break;
        }
    }

    private void VisitList(ref EffectReader reader, EffectTag tag, int database)
    {
        Whole();
        switch (tag)
        {
            case EffectTag.ListPush:
                reader.Varint();
                SkipItems(ref reader);
                break;
            case EffectTag.ListPop:
            case EffectTag.ListTrim:
                reader.Varint();
                reader.Varint();
                break;
            case EffectTag.ListMove:
                SetKey(ref reader, database);
                Whole();
                reader.Varint();
                reader.Varint();
                break;
            case EffectTag.ListStore:
                SkipItems(ref reader);
                break;
            default:
                reader.Varint();
                reader.Bytes(out _);
                break;
        }
    }

    private void VisitSortedSet(ref EffectReader reader, EffectTag tag)
    {
        switch (tag)
        {
            case EffectTag.SortedSetAdd:
                reader.Byte();
                Touch();
                for (int count = reader.Int32(); count > 0; count--)
                {
                    reader.Int64();
                    Element(ref reader);
                }

                break;
            case EffectTag.SortedSetRemoveRange:
                reader.Varint();
                reader.Varint();
                Whole();
                break;
            case EffectTag.SortedSetReplace:
                reader.Byte();
                SkipScored(ref reader);
                Whole();
                break;
            default:
                reader.Byte();
                reader.Byte();
                SkipScored(ref reader);
                Whole();
                break;
        }
    }

    private static void SkipStream(ref EffectReader reader, EffectTag tag)
    {
        switch (tag)
        {
            case EffectTag.StreamAdd:
                SkipId(ref reader);
                reader.Byte();
                SkipItems(ref reader);
                return;
            case EffectTag.StreamDelete:
                SkipIds(ref reader);
                return;
            case EffectTag.StreamTrim:
                reader.Varint();
                reader.Byte();
                return;
            case EffectTag.StreamTrimBefore:
                SkipId(ref reader);
                return;
            case EffectTag.StreamSetId:
                SkipId(ref reader);
                reader.Varint();
                SkipId(ref reader);
                return;
            case EffectTag.StreamAppendNode:
                SkipId(ref reader);
                reader.Bytes(out _);
                return;
            default:
                reader.Bytes(out _);
                SkipGroup(ref reader, tag);
                return;
        }
    }

    private static void SkipGroup(ref EffectReader reader, EffectTag tag)
    {
        switch (tag)
        {
            case EffectTag.StreamGroupCreate:
            case EffectTag.StreamGroupSetId:
                SkipId(ref reader);
                reader.Varint();
                return;
            case EffectTag.StreamGroupDestroy:
                return;
            case EffectTag.StreamAcknowledge:
                SkipIds(ref reader);
                return;
            case EffectTag.StreamConsumerDelete:
                reader.Bytes(out _);
                return;
        }

        reader.Bytes(out _);
        reader.Int64();
        switch (tag)
        {
            case EffectTag.StreamConsumerCreate:
                reader.Int64();
                return;
            case EffectTag.StreamConsumerSeen:
                return;
            case EffectTag.StreamDeliver:
                SkipId(ref reader);
                reader.Varint();
                SkipIds(ref reader);
                return;
            case EffectTag.StreamRedeliver:
                SkipIds(ref reader);
                return;
            default:
                for (int count = reader.Int32(); count > 0; count--)
                {
                    SkipId(ref reader);
                    reader.Int64();
                    reader.Varint();
                }

                return;
        }
    }

    private static void SkipId(ref EffectReader reader)
    {
        reader.Varint();
        reader.Varint();
    }

    private static void SkipIds(ref EffectReader reader)
    {
        for (int count = reader.Int32(); count > 0; count--)
        {
            SkipId(ref reader);
        }
    }

    private static void SkipItems(ref EffectReader reader)
    {
        for (int count = reader.Int32(); count > 0; count--)
        {
            reader.Bytes(out _);
        }
    }

    private static void SkipScored(ref EffectReader reader)
    {
        for (int count = reader.Int32(); count > 0; count--)
        {
            reader.Int64();
            reader.Bytes(out _);
        }
    }

    /// <summary>An effect concerns a key.</summary>
    /// <param name="tag">The effect.</param>
    /// <param name="database">The database.</param>
    /// <param name="name">The key.</param>
    /// <param name="isWhole">Whether its elements may change without being named.</param>
    protected abstract void Key(EffectTag tag, int database, ReadOnlySpan<byte> name, bool isWhole);

    /// <summary>The effect concerns this element of the key that was told last.</summary>
    protected abstract void Element(ReadOnlySpan<byte> name);

    /// <summary>A database is emptied.</summary>
    protected abstract void Flushed(int database);

    /// <summary>All databases are emptied.</summary>
    protected abstract void FlushedAll();

    /// <summary>Two databases change places.</summary>
    protected abstract void Swapped(int a, int b);

    /// <summary>Function libraries change: one, or all.</summary>
    protected abstract void Function(EffectTag tag, ReadOnlySpan<byte> library);

    /// <summary>The files become those of another root: a CID in binary, or nothing.</summary>
    protected abstract void Files(ReadOnlySpan<byte> root);

    private void SetKey(ref EffectReader reader, int database)
    {
        _name = reader.Bytes(out _nameLength);
        _database = database;
    }

    private void Touch() => Key(_tag, _database, new ReadOnlySpan<byte>(_name, _nameLength), isWhole: false);

    private void Whole() => Key(_tag, _database, new ReadOnlySpan<byte>(_name, _nameLength), isWhole: true);

    private void Elements(ref EffectReader reader)
    {
        for (int count = reader.Int32(); count > 0; count--)
        {
            Element(ref reader);
        }
    }

    private void Element(ref EffectReader reader)
    {
        byte* name = reader.Bytes(out int length);
        Element(new ReadOnlySpan<byte>(name, length));
    }
}
