using Leither.MmDb.Memory;
using Leither.Resp;

namespace Leither.MmDb;

/// <content>Replay: the effects of a logged entry come through the same door.</content>
public sealed unsafe partial class Effects
{
    private NativeList<Slice> _replayItems;

    /// <summary>Applies all effects of one entry body (what follows the entry's header). Recording must be off.</summary>
    /// <exception cref="UnknownEffectException">The bytes are damaged, or a newer version wrote them.</exception>
    public void Replay(byte* body, long length)
    {
        Commit(body, length);
    }

    /// <summary>As <see cref="Replay"/>, while recording: what a transaction did becomes part of the open entry.</summary>
    internal void Commit(byte* body, long length)
    {
        var reader = new EffectReader(body, length);
        Use(_keyspace.Databases[0]);
        _replaying = true;
        try
        {
            while (!reader.AtEnd)
            {
                Apply(ref reader, (EffectTag)reader.Byte());
            }
        }
        finally
        {
            _replaying = false;
        }
    }

    private void Apply(ref EffectReader reader, EffectTag tag)
    {
        switch (tag)
        {
            case EffectTag.Select:
                Use(DatabaseAt(reader.Int32()));
                break;
            case EffectTag.Delete:
                Delete(reader.Key(_keyspace));
                break;
            case EffectTag.Expire:
                Expire(reader.Key(_keyspace), reader.Int64());
                break;
            case EffectTag.ExpireAt:
                ExpireAt(reader.Key(_keyspace), reader.Int64());
                break;
            case EffectTag.Persist:
                Persist(reader.Key(_keyspace));
                break;
            case EffectTag.Rename:
                Rename(reader.Key(_keyspace), reader.Key(_keyspace));
                break;
            case EffectTag.Copy:
                Key from = reader.Key(_keyspace);
                Database target = DatabaseAt(reader.Int32());
                Copy(from, target, reader.Key(_keyspace));
                break;
            case EffectTag.Move:
                Move(reader.Key(_keyspace), DatabaseAt(reader.Int32()));
                break;
            case EffectTag.FlushDatabase:
                FlushDatabase(_database);
                break;
            case EffectTag.FlushAll:
                FlushAll();
                break;
            case EffectTag.SwapDatabases:
                SwapDatabases(DatabaseAt(reader.Int32()), DatabaseAt(reader.Int32()));
                break;
            case EffectTag.Restore:
                Key restored = reader.Key(_keyspace);
                long expireAt = reader.Int64();
                byte* payload = reader.Bytes(out int payloadLength);
                Restore(restored, expireAt, payload, payloadLength);
                break;
            default:
                if (!ApplyString(ref reader, tag) && !ApplyHash(ref reader, tag) && !ApplyList(ref reader, tag)
                    && !ApplySet(ref reader, tag) && !ApplySortedSet(ref reader, tag)
                    && !ApplyHyperLogLog(ref reader, tag) && !ApplyStream(ref reader, tag) && !ApplyFunction(ref reader, tag) && !ApplyFiles(ref reader, tag))
                {
                    throw new UnknownEffectException($"effect {(byte)tag} is not known to this version");
                }

                break;
        }
    }

    private Database DatabaseAt(int index) => index < _keyspace.Databases.Length
        ? _keyspace.Databases[index]
        : throw new UnknownEffectException($"database {index} is beyond the {_keyspace.Databases.Length} of this configuration; start with --databases {index + 1} or more");

    /// <summary>Reads a counted run of byte strings; they point into the entry.</summary>
    private Slice* ReadItems(ref EffectReader reader, out int count)
    {
        count = reader.Int32();
        _replayItems.Clear();
        for (int i = 0; i < count; i++)
        {
            byte* bytes = reader.Bytes(out int length);
            _replayItems.Add(new Slice(bytes, length));
        }

        return _replayItems.Items;
    }
}
