using Leither.MmDb.Rdb;
using Leither.MmDb.Values;
using Leither.MmDb.Versions.Tree;

namespace Leither.MmDb.Versions;

/// <summary>The keys of a state, fetched as they are asked for: what an opened version reads from.</summary>
/// <param name="store">Where the blocks are.</param>
/// <param name="state">The state.</param>
/// <param name="keyspace">Where keys go.</param>
/// <param name="use">Keeps the state's blocks; ends with the source. Null: nothing takes them away.</param>
internal sealed unsafe class StateSource(NodeStore store, StateRoot state, Keyspace keyspace, IDisposable? use = null) : KeySource
{
    private readonly StateReader _reader = new(store);
    private readonly byte[] _treeKey = new byte[StateFormat.LongName];

    /// <inheritdoc/>
    public override long Count(int database) => state.Database(database).Weight;

    /// <inheritdoc/>
    public override byte* Fetch(Database database, in Key key)
    {
        TreeRoot root = state.Database(database.Index);
        if (root.IsEmpty)
        {
            return null;
        }

        ReadOnlySpan<byte> treeKey = StateFormat.TreeKey(key.Span, _treeKey);
        var cursor = new TreeCursor(store, TreeKind.Map, root.Root);
        if (!cursor.Seek(treeKey) || !cursor.Node.Key(cursor.Index).SequenceEqual(treeKey))
        {
            return null;
        }

        var item = new StateItem(store, cursor.Item);
        byte* payload = _reader.Payload(item, out long length);
        try
        {
            return keyspace.Effects.Fetched(database, key, item.ExpireAt, payload, length);
        }
        catch (RdbFormatException e)
        {
            throw new TreeFormatException($"a value of the state cannot be read: {e.Message}");
        }
    }

    /// <inheritdoc/>
    public override IEnumerable<SourceKey> Walk(int database, long from)
    {
        TreeRoot root = state.Database(database);
        if (root.IsEmpty)
        {
            yield break;
        }

        var cursor = new TreeCursor(store, TreeKind.Map, root.Root);
        for (bool more = cursor.SeekOffset(from, out _); more; more = cursor.Next())
        {
            yield return KeyOf(cursor.Item);
        }
    }

    /// <inheritdoc/>
    public override IEnumerable<SourceKey> WalkFrom(int database, byte[] begin)
    {
        TreeRoot root = state.Database(database);
        if (root.IsEmpty)
        {
            yield break;
        }

        var cursor = new TreeCursor(store, TreeKind.Map, root.Root);
        for (bool more = cursor.Seek(begin.AsSpan(0, Math.Min(begin.Length, SortedBytes))); more; more = cursor.Next())
        {
            yield return KeyOf(cursor.Item);
        }
    }

    /// <inheritdoc/>
    public override int SortedBytes => StateFormat.LongNamePrefix;

    /// <inheritdoc/>
    public override void Dispose()
    {
        _reader.Dispose();
        use?.Dispose();
    }

    private SourceKey KeyOf(ReadOnlySpan<byte> item)
    {
        var key = new StateItem(store, item);
        return new SourceKey(key.Name.ToArray(), TypeOf(key.Kind), key.ExpireAt);
    }

    /// <summary>The type of a kind of value.</summary>
    public static DataType TypeOf(StateKind kind) => kind switch
    {
        StateKind.List => DataType.List,
        StateKind.Set => DataType.Set,
        StateKind.SortedSet => DataType.SortedSet,
        StateKind.Hash => DataType.Hash,
        StateKind.Stream => DataType.Stream,
        _ => DataType.String,
    };
}
