using System.Text;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;
using Leither.MmDb.Memory;
using Leither.MmDb.Versions.Tree;

namespace Leither.MmDb.Versions;

/// <summary>
/// Brings a MiMei back to what it was at a version: as one entry of its log, so that it happens at once and whole, and can be undone like any other change. What
/// differs is found and read in the background, from the state of now; what clients changed meanwhile is added at the gate.
/// </summary>
internal sealed unsafe class VersionRestore : IDisposable
{
    private readonly NodeStore _store;
    private readonly StateRoot _target;
    private readonly StateReader _reader;
    private readonly List<Operation> _operations = [];
    private readonly long _maxBytes;

    private VersionRestore(NodeStore store, StateRoot target, long maxBytes)
    {
        _store = store;
        _target = target;
        _reader = new StateReader(store);
        _maxBytes = maxBytes;
    }

    /// <summary>A key's new value; an empty one: it goes.</summary>
    private readonly record struct Operation(int Database, byte[] Name, long ExpireAt, byte[] Payload);

    /// <summary>Bytes of values that are to be written.</summary>
    public long Bytes { get; private set; }

    /// <summary>Keys that change.</summary>
    public int Count => _operations.Count;

    /// <summary>Finds and reads what differs. (Any thread.)</summary>
    /// <param name="versions">The versions.</param>
    /// <param name="now">The state of now.</param>
    /// <param name="version">The version that is to come back.</param>
    /// <param name="maxBytes">Bytes of values that may be held until they are written.</param>
    /// <param name="work">Is told how far it is.</param>
    /// <exception cref="MimeiException">It is too much.</exception>
    public static VersionRestore Prepare(Versioner versions, StateAt now, MimeiVersion version, long maxBytes, LongWork work)
    {
        var store = new NodeStore(versions.Blocks);
        var restore = new VersionRestore(store, StateRoot.Read(store, version.State), maxBytes);
        try
        {
            foreach ((int database, TreeChange change) in StateDiff.Items(store, now.State, restore._target))
            {
                work.Count();
                restore.Add(database, change.New.IsEmpty ? new StateItem(store, change.Old.Span).Name : default, change.New.Span);
            }

            return restore;
        }
        catch
        {
            restore.Dispose();
            throw;
        }
    }

    /// <summary>Applies it behind the gate: together with the keys that changed since the state it was prepared from.</summary>
    /// <exception cref="MimeiException">It cannot be written, or what changed since cannot be known.</exception>
    /// <exception cref="IOException">Log or blocks cannot be read.</exception>
    public void Apply(Mimei mimei, StateAt now, string workFolder)
    {
        Keyspace keyspace = mimei.Keyspace;
        if (mimei.Log is null && keyspace.Effects.Applied != now.Applied)
        {
            throw new MimeiException("ABORTED clients changed something meanwhile, and without a log (appendonly no) it is not known what; try again");
        }

        if (mimei.Log is { } log)
        {
            log.Flush();
            if (log.LastPosition.Sequence > now.Position.Sequence)
            {
                AddChanges(mimei, log.Read(now.Position.Sequence) ?? throw new MimeiException("ERR the log does not have what changed meanwhile; try again"), workFolder);
            }

            if (!log.CanAccept(Bytes, out LogError error))
            {
                throw new MimeiException($"MISCONF Errors writing to the AOF file: {error.Text}");
            }
        }

        Effects effects = keyspace.Effects;
        foreach (Operation operation in _operations)
        {
            Database database = keyspace.Databases[operation.Database];
            effects.Use(database);
            fixed (byte* name = operation.Name, payload = operation.Payload)
            {
                Key key = keyspace.KeyOf(name, operation.Name.Length);
                if (operation.Payload.Length == 0)
                {
                    if (effects.Delete(key))
                    {
                        keyspace.Notify(KeyspaceEvents.Generic, "del"u8, database, key);
                    }
                }
                else
                {
                    effects.Restore(key, operation.ExpireAt, payload, operation.Payload.Length);
                    keyspace.Notify(KeyspaceEvents.Generic, "restore"u8, database, key);
                }
            }
        }

        RestoreFunctions(keyspace);
        if (keyspace.Files != _target.Files)
        {
            effects.SetFiles(_target.Files);
        }

        effects.EndEntry();
    }

    /// <inheritdoc/>
    public void Dispose() => _reader.Dispose();

    private void Add(int database, ReadOnlySpan<byte> gone, ReadOnlySpan<byte> item)
    {
        if (item.IsEmpty)
        {
            _operations.Add(new Operation(database, gone.ToArray(), 0, []));
            return;
        }

        var entry = new StateItem(_store, item);
        byte* payload = _reader.Payload(entry, out long length);
        Bytes += length;
        if (Bytes > _maxBytes)
        {
            throw new MimeiException(
                $"ERR more than {_maxBytes >> 20} MiB of values differ. Make the version a MiMei of its own with MIMEI FORK, or empty this one with FLUSHALL first");
        }

        _operations.Add(new Operation(database, entry.Name.ToArray(), entry.ExpireAt, new ReadOnlySpan<byte>(payload, (int)length).ToArray()));
    }

    /// <summary>The keys that changed since: they too become what they were at the version.</summary>
    private void AddChanges(Mimei mimei, LogReader reader, string workFolder)
    {
        using (reader)
        using (var changes = new StateChanges(mimei.Keyspace.Databases.Length, workFolder))
        {
            reader.Run((_, entry, length) => changes.Add(entry + LogFormat.EntryHeaderBytes, length - LogFormat.EntryHeaderBytes));
            changes.End();
            if (changes.Databases.Any(static d => d.Logical != d.Number))
            {
                throw new MimeiException("ABORTED databases were flushed or exchanged meanwhile; try again");
            }

            byte[] group = [], name = [];
            while (changes.Touched.MoveNext())
            {
                ReadOnlySpan<byte> key = changes.Touched.Key;
                int length = FragmentKey.GroupLength(key);
                if (key[..length].SequenceEqual(group))
                {
                    continue;
                }

                group = key[..length].ToArray();
                name = new byte[length];
                ReadOnlySpan<byte> treeKey = name.AsSpan(0, FragmentKey.TreeKey(group, name));
                ReadOnlySpan<byte> keyName = changes.Touched.Payload.IsEmpty ? treeKey : changes.Touched.Payload;
                int database = changes.NumberOf(FragmentKey.Database(group));
                TreeRoot root = _target.Database(database);
                var cursor = root.IsEmpty ? null : new TreeCursor(_store, TreeKind.Map, root.Root);
                bool isThere = cursor is not null && cursor.Seek(treeKey) && cursor.Node.Key(cursor.Index).SequenceEqual(treeKey);
                Add(database, keyName, isThere ? cursor!.Item : default);
            }
        }
    }

    private void RestoreFunctions(Keyspace keyspace)
    {
        var wanted = _target.Functions.ToDictionary(static f => Encoding.Latin1.GetString(f.Name), static f => f.Code);
        foreach ((string name, byte[] _) in keyspace.Functions.Libraries.ToArray())
        {
            if (!wanted.ContainsKey(name))
            {
                keyspace.Effects.FunctionDelete(name);
            }
        }

        foreach ((string name, byte[] code) in wanted)
        {
            if (!keyspace.Functions.Libraries.Any(l => l.Name == name && l.Code.AsSpan().SequenceEqual(code)))
            {
                keyspace.Effects.FunctionLoad(name, code);
            }
        }
    }
}
