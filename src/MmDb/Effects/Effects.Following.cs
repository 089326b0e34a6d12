using Leither.MmDb.Log;

namespace Leither.MmDb;

/// <content>
/// What a follower's clients are told of the effects that it applies. The writer's commands told theirs themselves; here nobody knows the command any more, so an
/// event is named after the effect, as a Redis replica names it after what its master sends: SPOP is "srem" there, INCRBYFLOAT "set".
/// </content>
public sealed unsafe partial class Effects
{
    /// <summary>Takes note of the time of the last entry that was applied: what is recorded later comes after it.</summary>
    internal void Follow(ulong time) => _clock = new HybridClock(time);

    /// <summary>Forgets what it keeps of the keyspace's memory, which is another one from now on.</summary>
    internal void MemoryExchanged()
    {
        _workshop = null;
        _database = _keyspace.Databases[0];
    }

    /// <summary>
    /// As <see cref="Replay"/>, for an entry that arrives while clients look on: keyspace events are sent, and caches are emptied where their databases are.
    /// (WATCH, caches of keys and those who wait are told by every change.)
    /// </summary>
    /// <exception cref="UnknownEffectException">The bytes are damaged, or a newer version wrote them.</exception>
    internal void ReplayTelling(byte* body, long length)
    {
        if ((_keyspace.Options.NotifyEvents & KeyspaceEvents.All) == 0 && _keyspace.Tracking is null)
        {
            Commit(body, length);
            return;
        }

        var reader = new EffectReader(body, length);
        Use(_keyspace.Databases[0]);
        _replaying = true;
        try
        {
            while (!reader.AtEnd)
            {
                ApplyTelling(ref reader, (EffectTag)reader.Byte());
            }
        }
        finally
        {
            _replaying = false;
        }
    }

    private void ApplyTelling(ref EffectReader reader, EffectTag tag)
    {
        if (tag is EffectTag.FlushDatabase or EffectTag.FlushAll)
        {
            Apply(ref reader, tag);
            _keyspace.Tracking?.Flushed();
            return;
        }

        if (tag is EffectTag.Select or EffectTag.SwapDatabases or >= EffectTag.FunctionLoad)
        {
            Apply(ref reader, tag);
            return;
        }

        // All others begin with a key; what follows it is looked at before the effect takes it.
        EffectReader rest = reader;
        Key key = rest.Key(_keyspace);
        Database database = _database;
        bool was = database.FindSlot(key) != null;
        long changes = _keyspace.Dirty;
        Apply(ref reader, tag);
        if (_keyspace.Dirty == changes)
        {
            return;
        }

        bool isGone = database.FindSlot(key) == null;
        switch (tag)
        {
            case EffectTag.Expire:
            case EffectTag.HashExpireFields:
                // They tell by themselves.
                return;
            case EffectTag.Rename:
                Key to = rest.Key(_keyspace);
                _keyspace.Notify(KeyspaceEvents.Generic, "rename_from"u8, database, key);
                _keyspace.Notify(KeyspaceEvents.Generic, "rename_to"u8, database, to);
                return;
            case EffectTag.Copy:
                Database target = DatabaseAt(rest.Int32());
                _keyspace.Notify(KeyspaceEvents.Generic, "copy_to"u8, target, rest.Key(_keyspace));
                return;
            case EffectTag.Move:
                _keyspace.Notify(KeyspaceEvents.Generic, "move_from"u8, database, key);
                _keyspace.Notify(KeyspaceEvents.Generic, "move_to"u8, DatabaseAt(rest.Int32()), key);
                return;
            case EffectTag.StringSetExpiring:
                _keyspace.Notify(KeyspaceEvents.String, "set"u8, database, key);
                _keyspace.Notify(KeyspaceEvents.Generic, "expire"u8, database, key);
                return;
            case EffectTag.ListMove:
                Key into = rest.Key(_keyspace);
                bool fromHead = rest.Varint() == 0, toHead = rest.Varint() == 0;
                _keyspace.Notify(KeyspaceEvents.List, toHead ? "lpush"u8 : "rpush"u8, database, into);
                _keyspace.Notify(KeyspaceEvents.List, fromHead ? "lpop"u8 : "rpop"u8, database, key);
                break;
            case EffectTag.StringBitOp:
            case EffectTag.SetStore:
            case EffectTag.SortedSetStore:
            case EffectTag.SortedSetReplace:
            case EffectTag.ListStore:
                // A result that is empty takes away what was there.
                if (!isGone)
                {
                    TellNamed(tag, ref rest, database, key);
                }

                break;
            default:
                TellNamed(tag, ref rest, database, key);
                break;
        }

        if (was && isGone && tag != EffectTag.Delete)
        {
            _keyspace.Notify(KeyspaceEvents.Generic, "del"u8, database, key);
        }
    }

    /// <summary>Tells of an effect by the one name that it has.</summary>
    private void TellNamed(EffectTag tag, ref EffectReader rest, Database database, in Key key)
    {
        (KeyspaceEvents kind, string name) = tag switch
        {
            EffectTag.Delete => (KeyspaceEvents.Generic, "del"),
            EffectTag.ExpireAt => (KeyspaceEvents.Generic, "expire"),
            EffectTag.Persist => (KeyspaceEvents.Generic, "persist"),
            EffectTag.Restore => (KeyspaceEvents.Generic, "restore"),
            EffectTag.StringSet or EffectTag.StringSetKeepExpiry or EffectTag.StringBitOp => (KeyspaceEvents.String, "set"),
            EffectTag.StringAdd => (KeyspaceEvents.String, "incrby"),
            EffectTag.StringAppend => (KeyspaceEvents.String, "append"),
            EffectTag.StringSetRange => (KeyspaceEvents.String, "setrange"),
            EffectTag.StringSetBit or EffectTag.StringSetBits => (KeyspaceEvents.String, "setbit"),
            EffectTag.HyperLogLogAdd or EffectTag.HyperLogLogMerge => (KeyspaceEvents.String, "pfadd"),
            EffectTag.HashSet or EffectTag.HashSetMany or EffectTag.HashSetKeepExpiry => (KeyspaceEvents.Hash, "hset"),
            EffectTag.HashRemove => (KeyspaceEvents.Hash, "hdel"),
            EffectTag.HashAdd => (KeyspaceEvents.Hash, "hincrby"),
            EffectTag.HashExpireAt => (KeyspaceEvents.Hash, "hexpire"),
            EffectTag.HashPersist => (KeyspaceEvents.Hash, "hpersist"),
            EffectTag.ListPush => (KeyspaceEvents.List, rest.Varint() == 0 ? "lpush" : "rpush"),
            EffectTag.ListPop => (KeyspaceEvents.List, rest.Varint() == 0 ? "lpop" : "rpop"),
            EffectTag.ListSet => (KeyspaceEvents.List, "lset"),
            EffectTag.ListInsert => (KeyspaceEvents.List, "linsert"),
            EffectTag.ListRemove => (KeyspaceEvents.List, "lrem"),
            EffectTag.ListTrim => (KeyspaceEvents.List, "ltrim"),
            EffectTag.ListStore => (KeyspaceEvents.List, "sortstore"),
            EffectTag.SetAdd => (KeyspaceEvents.Set, "sadd"),
            EffectTag.SetRemove => (KeyspaceEvents.Set, "srem"),
            EffectTag.SetStore => (KeyspaceEvents.Set, rest.Varint() switch { 0 => "sunionstore", 1 => "sinterstore", _ => "sdiffstore" }),
            EffectTag.SortedSetAdd => (KeyspaceEvents.SortedSet, "zadd"),
            EffectTag.SortedSetRemove => (KeyspaceEvents.SortedSet, "zrem"),
            EffectTag.SortedSetRemoveRange => (KeyspaceEvents.SortedSet, "zremrangebyrank"),
            EffectTag.SortedSetStore => (KeyspaceEvents.SortedSet, rest.Byte() switch { 0 => "zunionstore", 1 => "zinterstore", _ => "zdiffstore" }),
            EffectTag.SortedSetReplace => (KeyspaceEvents.SortedSet, "zrangestore"),
            EffectTag.StreamAdd => (KeyspaceEvents.Stream, "xadd"),
            EffectTag.StreamDelete => (KeyspaceEvents.Stream, "xdel"),
            EffectTag.StreamTrim or EffectTag.StreamTrimBefore => (KeyspaceEvents.Stream, "xtrim"),
            EffectTag.StreamSetId => (KeyspaceEvents.Stream, "xsetid"),
            EffectTag.StreamGroupCreate => (KeyspaceEvents.Stream, "xgroup-create"),
            EffectTag.StreamGroupSetId => (KeyspaceEvents.Stream, "xgroup-setid"),
            EffectTag.StreamGroupDestroy => (KeyspaceEvents.Stream, "xgroup-destroy"),
            EffectTag.StreamConsumerCreate => (KeyspaceEvents.Stream, "xgroup-createconsumer"),
            EffectTag.StreamConsumerDelete => (KeyspaceEvents.Stream, "xgroup-delconsumer"),
            _ => (KeyspaceEvents.None, ""),
        };
        if ((_keyspace.Options.NotifyEvents & kind) != 0)
        {
            _keyspace.Notify(kind, System.Text.Encoding.ASCII.GetBytes(name), database, key);
        }
    }
}
