using Leither.MmDb.Versions.Tree;

namespace Leither.MmDb.Versions;

/// <summary>Brings what a state holds into a keyspace, through the same door as all changes.</summary>
internal static unsafe class StateLoader
{
    /// <summary>Adds all that a state holds to a keyspace, which is empty.</summary>
    /// <exception cref="MissingBlockException">A block of it is not here.</exception>
    /// <exception cref="TreeFormatException">It is damaged.</exception>
    public static void Load(NodeStore store, StateRoot state, Keyspace keyspace)
    {
        using var reader = new StateReader(store);
        foreach ((int number, TreeRoot root) in state.Databases)
        {
            keyspace.Effects.Use(keyspace.Databases[number]);
            var cursor = new TreeCursor(store, TreeKind.Map, root.Root);
            cursor.First();
            do
            {
                Put(keyspace, store, reader, cursor.Item);
            }
            while (cursor.Next());
        }

        foreach ((byte[] name, byte[] code) in state.Functions)
        {
            keyspace.Effects.FunctionLoad(System.Text.Encoding.Latin1.GetString(name), code);
        }

        if (!state.Files.IsNone)
        {
            keyspace.Effects.SetFiles(state.Files);
        }

        keyspace.Effects.EndEntry();
    }

    /// <summary>Puts one item's key into the database in use, in the place of what was there.</summary>
    public static void Put(Keyspace keyspace, NodeStore store, StateReader reader, ReadOnlySpan<byte> item)
    {
        var entry = new StateItem(store, item);
        byte* payload = reader.Payload(entry, out long length);
        fixed (byte* name = entry.Name)
        {
            if (keyspace.Effects.Restore(keyspace.KeyOf(name, entry.Name.Length), entry.ExpireAt, payload, length, out string? problem) != RestoreResult.Restored)
            {
                throw new TreeFormatException($"a value of the state cannot be restored: {problem ?? "it has no elements"}");
            }
        }
    }
}
