using Leither.Resp;

namespace Leither.MmDb.Rdb;

/// <summary>Puts the keys of an RDB file into a keyspace, through effects like any other change.</summary>
public sealed unsafe class RdbImporter : IDisposable
{
    private readonly Keyspace _keyspace;
    private RdbScratch _scratch;

    /// <summary>An importer into a keyspace.</summary>
    public RdbImporter(Keyspace keyspace) => _keyspace = keyspace;

    /// <summary>Keys that are there stay as they are.</summary>
    public bool KeepsExisting { get; init; }

    /// <summary>Keys that have expired come in too: the source of a stream decides when they go.</summary>
    public bool KeepsExpired { get; init; }

    /// <summary>Keys put in.</summary>
    public long Imported { get; private set; }
    /// <summary>Keys that had expired.</summary>
    public long Expired { get; private set; }
    /// <summary>Keys left out because they are there already.</summary>
    public long Existing { get; private set; }

    /// <inheritdoc/>
    public void Dispose() => _scratch.Dispose();

    /// <summary>Takes the key that the file is at over, as one entry.</summary>
    /// <exception cref="RdbFormatException">Its value is damaged, or of a type that is not known here.</exception>
    public void Import(RdbFile file)
    {
        if (file.Database >= _keyspace.Databases.Length)
        {
            throw new RdbFormatException($"key {Show(file.Key)} is in database {file.Database}, beyond the {_keyspace.Databases.Length} of this configuration; start with --databases {file.Database + 1} or more");
        }

        if (file.ExpireAt != 0 && file.ExpireAt <= _keyspace.NowMs && !KeepsExpired)
        {
            Expired++;
            return;
        }

        Database database = _keyspace.Databases[file.Database];
        Key key = _keyspace.KeyOf(file.Key.Pointer, file.Key.Length);
        if (KeepsExisting && database.Peek(key) != null)
        {
            Existing++;
            return;
        }

        Effects effects = _keyspace.Effects;
        effects.Use(database);
        if ((RdbType)(*file.Value) == RdbType.String)
        {
            var reader = new RdbReader(file.Value + 1, file.ValueLength - 1);
            Slice value = reader.String(ref _scratch);
            if (file.ExpireAt != 0)
            {
                effects.StringSetExpiring(key, value.Pointer, value.Length, file.ExpireAt);
            }
            else
            {
                effects.StringSet(key, value.Pointer, value.Length);
            }
        }
        else
        {
            switch (effects.Restore(key, file.ExpireAt, file.Value, file.ValueLength, out string? problem))
            {
                case RestoreResult.Empty:
                    return;
                case RestoreResult.Damaged:
                    throw new RdbFormatException($"key {Show(file.Key)}: {problem}");
            }
        }

        effects.EndEntry();
        Imported++;
        byte* record = database.Peek(key);
        if (record != null && (file.IdleSeconds >= 0 || file.Frequency >= 0))
        {
            AccessStamp.Set(_keyspace, record, file.IdleSeconds, file.Frequency);
        }
    }

    private static string Show(Slice key) => System.Text.Encoding.Latin1.GetString(key.Span[..Math.Min(key.Length, 128)]);
}
