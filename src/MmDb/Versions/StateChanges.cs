namespace Leither.MmDb.Versions;

/// <summary>
/// Which keys, and of big hashes, sets and sorted sets which elements, the entries of the log changed since a state. It is read off the log, so that
/// writing costs nothing more for the sake of versions.
/// </summary>
/// <remarks>
/// <para>It may name more than what changed: an effect that did nothing names its key too. It never names less: every effect that
/// changes data is here, and one whose elements are not in it (a range of ranks, a store command) names the whole key.</para>
/// <para>SWAPDB exchanges what databases hold and FLUSHDB begins anew, so keys are noted under logical databases: those of the state before
/// have their own numbers there, each flush makes a new, empty one.</para>
/// </remarks>
internal sealed unsafe class StateChanges : IDisposable
{
    private readonly int[] _logical;
    private readonly int _count;
    private readonly byte[] _treeKey = new byte[StateFormat.LongName];
    private FragmentKey _key = new();
    private int _next;

    /// <summary>No changes.</summary>
    /// <param name="databases">How many databases there are.</param>
    /// <param name="folder">Where temporary files go.</param>
    public StateChanges(int databases, string folder)
    {
        _count = _next = databases;
        _logical = new int[databases];
        for (int i = 0; i < databases; i++)
        {
            _logical[i] = i;
        }

        Touched = new RunSorter(folder, isSet: true);
    }

    /// <summary>What changed, by <see cref="FragmentKey"/>; sorted when <see cref="End"/> was called.</summary>
    public RunSorter Touched { get; }

    /// <summary>The databases as they are now: logical number and number, in the order of the former.</summary>
    public IEnumerable<(int Logical, int Number)> Databases => _logical.Select(static (logical, number) => (logical, number)).Order();

    /// <summary>The logical database that a number stands for now.</summary>
    public int LogicalDatabase(int number) => _logical[number];

    /// <summary>The number that a logical database has now; -1: none, it was flushed.</summary>
    public int NumberOf(int logical) => Array.IndexOf(_logical, logical);

    /// <summary>Whether a logical database was empty when it began.</summary>
    public bool IsCleared(int logical) => logical >= _count;

    /// <summary>Ends noting: <see cref="Touched"/> can be read.</summary>
    public void End() => Touched.Sort();

    /// <inheritdoc/>
    public void Dispose() => Touched.Dispose();

    /// <summary>Notes what an entry's effects change.</summary>
    /// <param name="body">What follows the entry's header.</param>
    /// <param name="length">Bytes of it.</param>
    /// <exception cref="UnknownEffectException">The bytes are damaged, or a newer version wrote them.</exception>
    public void Add(byte* body, long length)
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
                    _logical[database] = _next++;
                    break;
                case EffectTag.FlushAll:
                    for (int i = 0; i < _logical.Length; i++)
                    {
                        _logical[i] = _next++;
                    }

                    break;
                case EffectTag.SwapDatabases:
                    int a = Database(reader.Int32()), b = Database(reader.Int32());
                    (_logical[a], _logical[b]) = (_logical[b], _logical[a]);
                    break;
                case EffectTag.FunctionLoad:
                    reader.Bytes(out _);
                    reader.Bytes(out _);
                    break;
                case EffectTag.FunctionDelete:
                    reader.Bytes(out _);
                    break;
                case EffectTag.FunctionFlush:
                    break;
                default:
                    AddOfKey(ref reader, tag, database);
                    break;
            }
        }
    }

    private int Database(int number) => number < _logical.Length ? number
        : throw new UnknownEffectException($"database {number} is beyond the {_logical.Length} of this configuration; start with --databases {number + 1} or more");

    /// <summary>An effect whose first part is a key of the database.</summary>
    private void AddOfKey(ref EffectReader reader, EffectTag tag, int database)
    {
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
                SetDatabase(Database(reader.Int32()));
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
                AddOfHash(ref reader, tag);
                break;
            case >= EffectTag.ListPush and <= EffectTag.ListStore:
                AddOfList(ref reader, tag, database);
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
                AddOfSortedSet(ref reader, tag);
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

    private void AddOfHash(ref EffectReader reader, EffectTag tag)
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

    private void AddOfList(ref EffectReader reader, EffectTag tag, int database)
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

    private void AddOfSortedSet(ref EffectReader reader, EffectTag tag)
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

    // ------------------------------------------------------------------ notes

    private byte* _name;
    private int _nameLength;

    private void SetKey(ref EffectReader reader, int database)
    {
        _name = reader.Bytes(out _nameLength);
        SetDatabase(database);
    }

    private void SetDatabase(int database) =>
        _key.SetGroup(_logical[database], StateFormat.TreeKey(new ReadOnlySpan<byte>(_name, _nameLength), _treeKey));

    private void Touch() => Note(FragmentKind.Touched);

    private void Whole() => Note(FragmentKind.TouchedWhole);

    private void Note(FragmentKind kind)
    {
        // What captures the key needs its name, which a long one does not have in its tree key.
        _key.SetKind(kind);
        bool isLong = _nameLength >= StateFormat.LongName;
        Touched.Add(_key.Bytes, isLong ? new ReadOnlySpan<byte>(_name, _nameLength) : default);
    }

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
        var element = new ReadOnlySpan<byte>(name, length);
        _key.SetElement(StateFormat.TreeKey(element, _treeKey));
        Touched.Add(_key.Bytes, length >= StateFormat.LongName ? element : default);
    }
}
