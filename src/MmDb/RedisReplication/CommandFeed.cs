using System.Collections.Frozen;
using System.Globalization;
using System.Text;
using Leither.MmDb.Commands;
using Leither.MmDb.Configuration;
using Leither.MmDb.Memory;
using Leither.MmDb.Rdb;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb.RedisReplication;

/// <summary>
/// Makes the stream of commands that Redis replicas follow. It exists only while there is somebody to follow: without it a command costs nothing more.
/// </summary>
/// <remarks>
/// A command goes out as it came, if it had an effect and gives the same anywhere; that is also what Redis sends. One whose outcome depends on
/// the clock, on chance or on who waits (<see cref="_byEffects"/>) goes out as its effects: EXPIRE as PEXPIREAT, SPOP as SREM, INCRBYFLOAT as SET.
/// What EXEC or a script did is between MULTI and EXEC where it is more than one command. Keys that expired or were evicted go out as DEL.
/// </remarks>
internal sealed unsafe class CommandFeed : IDisposable
{
    private static readonly FrozenSet<string> _byEffects = new[]
    {
        "expire", "pexpire", "expireat", "pexpireat", "setex", "psetex", "getex", "getdel", "spop", "incrbyfloat", "hincrbyfloat",
        "blpop", "brpop", "blmpop", "lmpop", "blmove", "brpoplpush", "bzpopmin", "bzpopmax", "bzmpop", "zmpop", "restore", "restore-asking",
        "xadd", "xtrim", "xreadgroup", "xclaim", "xautoclaim", "migrate", "getset",
        "hclear", "hmclear", "lclear", "lmclear", "sclear", "smclear", "zclear", "zmclear", "zaddwithseq",
        "hexpire", "hpexpire", "hexpireat", "hpexpireat", "hpersist", "hgetex", "hsetex", "hgetdel",
    }.ToFrozenSet(StringComparer.Ordinal);

    private readonly Replicator _replication;
    private readonly RespWriter _pending = new(), _unit = new();
    private readonly RdbBuffer _copy = new();
    private StreamGroupValue _redelivered;
    private int _selected = -1;
    private long _commands;
    private bool _isEmpty = true;

    /// <summary>A feed of the replicas of a server.</summary>
    public CommandFeed(Replicator replication) => _replication = replication;

    /// <inheritdoc/>
    public void Dispose()
    {
        _pending.Dispose();
        _unit.Dispose();
        _copy.Dispose();
    }

    /// <summary>The next command says its database: somebody begins to listen here.</summary>
    public void Reselect() => _selected = -1;

    /// <summary>Before a handler runs. Returns what <see cref="After"/> wants to know.</summary>
    public long Before(CommandSpec spec, Slice* args, int count, Effects effects)
    {
        if (GoesByEffects(spec, count))
        {
            _copy.Clear();
            effects.Tee = _copy;
        }

        return effects.Applied;
    }

    /// <summary>After a handler ran: what it did goes out with the unit.</summary>
    public void After(CommandSpec spec, Slice* args, int count, int database, long appliedBefore, Effects effects)
    {
        effects.Tee = null;
        bool hasEffect = effects.Applied != appliedBefore && (spec.Flags & (CommandFlags.Write | CommandFlags.MayReplicate)) != 0;
        if (!hasEffect && !IsMessage(spec))
        {
            return;
        }

        if (!GoesByEffects(spec, count))
        {
            // Scripts say what they did command by command.
            if (!spec.Has(CommandFlags.NoScript) || spec.Has(CommandFlags.Write) || IsMessage(spec))
            {
                AsItCame(args, count, database);
            }

            return;
        }

        Render(spec, args, count, database);
    }

    private void AsItCame(Slice* args, int count, int database)
    {
        Begin(database);
        _pending.Array(count);
        for (int i = 0; i < count; i++)
        {
            _pending.Bulk(args[i]);
        }
    }

    /// <summary>A key went by itself: it expired, or was evicted.</summary>
    /// <param name="database">Its database.</param>
    /// <param name="key">The key.</param>
    /// <param name="lazily">The setting by which replicas are told to free it in the background; null: they are not.</param>
    public void Deleted(Database database, in Key key, BooleanKey? lazily)
    {
        long commands = _commands;
        Begin(database.Index);
        _pending.Array(2);
        _pending.Bulk(Deletion(lazily));
        _pending.Bulk(key.Span);
        _commands = commands;
    }

    private ReadOnlySpan<byte> Deletion(BooleanKey? lazily) => lazily is not null && _replication.Settings.Get(lazily) ? "UNLINK"u8 : "DEL"u8;

    /// <summary>The setting for keys that a command ends on the way to something else, or because their time is over.</summary>
    private static BooleanKey? LazilyBy(CommandSpec spec) => spec.Name switch
    {
        "spop" or "restore" or "restore-asking" => ConfigKeys.LazyFreeLazyServerDel,
        "getdel" or "migrate" or "hclear" or "hmclear" or "lclear" or "lmclear" or "sclear" or "smclear" or "zclear" or "zmclear" => null,
        _ => ConfigKeys.LazyFreeLazyExpire,
    };

    /// <summary>Fields of a hash went by themselves: they expired.</summary>
    public void FieldsExpired(Database database, in Key key, Slice* fields, int count)
    {
        long commands = _commands;
        Begin(database.Index);
        _pending.Array(count + 2);
        _pending.Bulk("HDEL"u8);
        _pending.Bulk(key.Span);
        for (int i = 0; i < count; i++)
        {
            _pending.Bulk(fields[i]);
        }

        _commands = commands;
    }

    /// <summary>A transaction wrote a key: it goes out as what it holds now.</summary>
    public void Written(Database database, in Key key)
    {
        byte* record = database.Peek(key);
        if (record == null)
        {
            Command(database.Index, "DEL"u8, 2, key);
            return;
        }

        _copy.Clear();
        DumpCommands.WritePayload(_replication.Keyspace, record, _copy);
        bool expires = Record.HasExpire(record);
        Command(database.Index, "RESTORE"u8, expires ? 6 : 5, key);
        _pending.BulkInteger(expires ? Record.ExpireAt(record) : 0);
        _pending.Bulk(_copy.Data, _copy.Length);
        _pending.Bulk("REPLACE"u8);
        if (expires)
        {
            _pending.Bulk("ABSTTL"u8);
        }
    }

    /// <summary>A command, EXEC or script is over: what it did leaves together.</summary>
    /// <returns>Whether there was anything.</returns>
    public bool EndUnit()
    {
        if (_pending.Length == 0)
        {
            return false;
        }

        if (_commands > 1)
        {
            _unit.Raw("*1\r\n$5\r\nMULTI\r\n"u8);
            _unit.Raw(_pending.Data, _pending.Length);
            _unit.Raw("*1\r\n$4\r\nEXEC\r\n"u8);
        }
        else
        {
            _unit.Raw(_pending.Data, _pending.Length);
        }

        _pending.Release();
        _commands = 0;
        _isEmpty = true;
        _replication.Emit(_unit.Data, _unit.Length);
        _unit.Release();
        return true;
    }

    /// <summary>What was gathered is not wanted after all: the server became a replica meanwhile.</summary>
    public void Drop()
    {
        _pending.Release();
        _unit.Release();
        _commands = 0;
        _isEmpty = true;
    }

    private static bool GoesByEffects(CommandSpec spec, int count) =>
        spec.Parent is null && (_byEffects.Contains(spec.Name) || (spec.Name == "set" && count > 3));

    /// <summary>Messages reach the replicas' subscribers too.</summary>
    private static bool IsMessage(CommandSpec spec) => spec.Parent is null && spec.Name is "publish" or "spublish";

    private void Begin(int database)
    {
        if (_isEmpty)
        {
            _isEmpty = false;
            if (_selected != database)
            {
                Select(database, _unit);
            }
        }
        else if (_selected != database)
        {
            Select(database, _pending);
        }

        _commands++;
    }

    private void Select(int database, RespWriter to)
    {
        _selected = database;
        to.Array(2);
        to.Bulk("SELECT"u8);
        to.Bulk(Encoding.ASCII.GetBytes(database.ToString(CultureInfo.InvariantCulture)));
    }

    // ------------------------------------------------------------------ effects as commands

    private void Render(CommandSpec spec, Slice* args, int count, int database)
    {
        var reader = new EffectReader(_copy.Data, _copy.Length);
        Keyspace keyspace = _replication.Keyspace;
        long length = _pending.Length, commands = _commands;
        int selected = _selected;
        while (!reader.AtEnd)
        {
            var tag = (EffectTag)reader.Byte();
            if (tag is EffectTag.Expire or EffectTag.HashExpireFields)
            {
                // It went out when it happened.
                reader.Key(keyspace);
                reader.Int64();
                for (int fields = tag == EffectTag.Expire ? 0 : reader.Int32(); fields > 0; fields--)
                {
                    reader.Bytes(out _);
                }

                continue;
            }

            if (!RenderOne(tag, ref reader, keyspace, spec, args, count, database))
            {
                // Not one of the effects that these commands are known to have: it goes out as it came.
                _pending.Truncate(length);
                _commands = commands;
                _selected = selected;
                AsItCame(args, count, database);
                return;
            }
        }
    }

    private bool RenderOne(EffectTag tag, ref EffectReader reader, Keyspace keyspace, CommandSpec spec, Slice* args, int count, int database)
    {
        Key key = reader.Key(keyspace);
        byte* bytes;
        int length;
        switch (tag)
        {
            case EffectTag.Delete:
                Command(database, Deletion(LazilyBy(spec)), 2, key);
                return true;
            case EffectTag.ExpireAt:
                long at = reader.Int64();
                Command(database, "PEXPIREAT"u8, 3, key);
                _pending.BulkInteger(at);
                return true;
            case EffectTag.Persist:
                Command(database, "PERSIST"u8, 2, key);
                return true;
            case EffectTag.StringSet:
                bytes = reader.Bytes(out length);
                Command(database, "SET"u8, 3, key);
                _pending.Bulk(bytes, length);
                return true;
            case EffectTag.StringSetExpiring:
                at = reader.Int64();
                bytes = reader.Bytes(out length);
                Command(database, "SET"u8, 5, key);
                _pending.Bulk(bytes, length);
                _pending.Bulk("PXAT"u8);
                _pending.BulkInteger(at);
                return true;
            case EffectTag.StringSetKeepExpiry:
                bytes = reader.Bytes(out length);
                Command(database, "SET"u8, 4, key);
                _pending.Bulk(bytes, length);
                _pending.Bulk("KEEPTTL"u8);
                return true;
            case EffectTag.HashSet:
                Command(database, "HSET"u8, 4, key);
                Items(ref reader, 2);
                return true;
            case EffectTag.HashSetMany or EffectTag.HashSetKeepExpiry:
                int items = reader.Int32();
                bool keeps = tag == EffectTag.HashSetKeepExpiry;
                Command(database, keeps ? "HSETEX"u8 : "HSET"u8, items + (keeps ? 5 : 2), key);
                if (keeps)
                {
                    _pending.Bulk("KEEPTTL"u8);
                    _pending.Bulk("FIELDS"u8);
                    _pending.BulkInteger(items / 2);
                }

                Items(ref reader, items);
                return true;
            case EffectTag.HashRemove:
                items = reader.Int32();
                Command(database, "HDEL"u8, items + 2, key);
                Items(ref reader, items);
                return true;
            case EffectTag.HashExpireAt:
                at = reader.Int64();
                items = reader.Int32();
                Command(database, "HPEXPIREAT"u8, items + 5, key);
                _pending.BulkInteger(at);
                _pending.Bulk("FIELDS"u8);
                _pending.BulkInteger(items);
                Items(ref reader, items);
                return true;
            case EffectTag.HashPersist:
                items = reader.Int32();
                Command(database, "HPERSIST"u8, items + 4, key);
                _pending.Bulk("FIELDS"u8);
                _pending.BulkInteger(items);
                Items(ref reader, items);
                return true;
            case EffectTag.SetRemove:
                items = reader.Int32();
                Command(database, "SREM"u8, items + 2, key);
                Items(ref reader, items);
                return true;
            case EffectTag.ListPop:
                bool atHead = reader.Int32() == (int)ListSide.Head;
                long popped = (long)reader.Varint();
                Command(database, atHead ? "LPOP"u8 : "RPOP"u8, spec.Name is "blpop" or "brpop" ? 2 : 3, key);
                if (spec.Name is not ("blpop" or "brpop"))
                {
                    _pending.BulkInteger(popped);
                }

                return true;
            case EffectTag.ListMove:
                bytes = reader.Bytes(out length);
                bool fromHead = reader.Int32() == (int)ListSide.Head, toHead = reader.Int32() == (int)ListSide.Head;
                bool asPush = spec.Name == "brpoplpush";
                Command(database, asPush ? "RPOPLPUSH"u8 : "LMOVE"u8, asPush ? 3 : 5, key);
                _pending.Bulk(bytes, length);
                if (!asPush)
                {
                    _pending.Bulk(fromHead ? "left"u8 : "right"u8);
                    _pending.Bulk(toHead ? "left"u8 : "right"u8);
                }

                return true;
            case EffectTag.SortedSetAdd:
                // Of ZADDWITHSEQ, which has no conditions.
                reader.Byte();
                items = reader.Int32();
                Command(database, "ZADD"u8, (2 * items) + 2, key);
                for (int i = 0; i < items; i++)
                {
                    _pending.BulkDouble(BitConverter.Int64BitsToDouble(reader.Int64()));
                    Items(ref reader, 1);
                }

                return true;
            case EffectTag.SortedSetRemove:
                // Pops name their members: so many from one end.
                items = reader.Int32();
                for (int i = 0; i < items; i++)
                {
                    reader.Bytes(out _);
                }

                bool single = spec.Name is "bzpopmin" or "bzpopmax";
                Command(database, PopsHighest(spec, args, count) ? "ZPOPMAX"u8 : "ZPOPMIN"u8, single ? 2 : 3, key);
                if (!single)
                {
                    _pending.BulkInteger(items);
                }

                return true;
            case EffectTag.Restore:
                at = reader.Int64();
                bytes = reader.Bytes(out length);
                RenderRestore(database, key, at, args, count);
                return true;
            default:
                return RenderStream(tag, ref reader, keyspace, database, key);
        }
    }

    private static bool PopsHighest(CommandSpec spec, Slice* args, int count)
    {
        if (spec.Name is "bzpopmin" or "bzpopmax")
        {
            return spec.Name == "bzpopmax";
        }

        // ZMPOP numkeys key … MIN|MAX, BZMPOP timeout numkeys key … MIN|MAX: a key may be called like the word.
        int keyCount = spec.Name == "bzmpop" ? 2 : 1;
        return args[keyCount].TryLong(out long keys) && args[keyCount + 1 + (int)keys].EqualsIgnoreCase("max"u8);
    }

    /// <summary>RESTORE as it came, but with the instant of expiry.</summary>
    private void RenderRestore(int database, in Key key, long expireAt, Slice* args, int count)
    {
        bool replaces = false, isAbsolute = expireAt == 0;
        for (int i = 4; i < count; i++)
        {
            replaces |= args[i].EqualsIgnoreCase("replace"u8);
            isAbsolute |= args[i].EqualsIgnoreCase("absttl"u8);
        }

        if (isAbsolute)
        {
            AsItCame(args, count, database);
            return;
        }

        Command(database, "RESTORE"u8, replaces ? 6 : 5, key);
        _pending.BulkInteger(expireAt);
        _pending.Bulk(args[3]);
        if (replaces)
        {
            _pending.Bulk("REPLACE"u8);
        }

        _pending.Bulk("ABSTTL"u8);
    }

    // ------------------------------------------------------------------ streams

    private bool RenderStream(EffectTag tag, ref EffectReader reader, Keyspace keyspace, int database, in Key key)
    {
        switch (tag)
        {
            case EffectTag.StreamCreate:
                // XADD makes it.
                return true;
            case EffectTag.StreamAdd:
                StreamId id = Id(ref reader);
                reader.Byte();
                int items = reader.Int32();
                Command(database, "XADD"u8, items + 3, key);
                Id(id);
                Items(ref reader, items);
                return true;
            case EffectTag.StreamTrim:
                reader.Varint();
                reader.Byte();
                Command(database, "XTRIM"u8, 5, key);
                _pending.Bulk("MAXLEN"u8);
                _pending.Bulk("="u8);
                _pending.BulkInteger(StreamAt(keyspace, database, key)?.Count ?? 0);
                return true;
            case EffectTag.StreamTrimBefore:
                id = Id(ref reader);
                Command(database, "XTRIM"u8, 5, key);
                _pending.Bulk("MINID"u8);
                _pending.Bulk("="u8);
                Id(id);
                return true;
            case EffectTag.StreamConsumerCreate:
                Slice group = Slice(ref reader), consumer = Slice(ref reader);
                reader.Int64();
                reader.Int64();
                Command(database, "XGROUP"u8, "CREATECONSUMER"u8, 5, key);
                _pending.Bulk(group);
                _pending.Bulk(consumer);
                return true;
            case EffectTag.StreamConsumerSeen:
                Slice(ref reader);
                Slice(ref reader);
                reader.Int64();
                return true;
            case EffectTag.StreamGroupSetId:
                group = Slice(ref reader);
                id = Id(ref reader);
                SetId(database, key, group, id, reader.Zigzag());
                return true;
            case EffectTag.StreamDelete:
                Ids(ref reader, static (feed, id, state) =>
                {
                    feed.Command(state.Database, "XDEL"u8, 3, state.Key());
                    feed.Id(id);
                }, new Pending(database, key, default, default, 0));
                return true;
            case EffectTag.StreamAcknowledge:
                group = Slice(ref reader);
                Ids(ref reader, static (feed, id, state) =>
                {
                    feed.Command(state.Database, "XACK"u8, 4, state.Key());
                    feed._pending.Bulk(state.Group);
                    feed.Id(id);
                }, new Pending(database, key, group, default, 0));
                return true;
            case EffectTag.StreamDeliver:
                group = Slice(ref reader);
                consumer = Slice(ref reader);
                long time = reader.Int64();
                StreamId read = Id(ref reader);
                long entriesRead = reader.Zigzag();
                Ids(ref reader, static (feed, id, state) => feed.Claim(state, id, state.Time, 1), new Pending(database, key, group, consumer, time));
                SetId(database, key, group, read, entriesRead);
                return true;
            case EffectTag.StreamRedeliver:
                group = Slice(ref reader);
                consumer = Slice(ref reader);
                time = reader.Int64();
                StreamGroupValue pending = StreamAt(keyspace, database, key) is { } stream ? stream.FindGroup(group.Span) : default;
                _redelivered = pending;
                Ids(ref reader, static (feed, id, state) =>
                {
                    StreamPendingCursor entry = feed._redelivered.IsValid ? feed._redelivered.FindPending(id) : default;
                    if (feed._redelivered.IsValid && entry.IsValid)
                    {
                        feed.Claim(state, id, state.Time, (long)entry.Deliveries);
                    }
                }, new Pending(database, key, group, consumer, time));
                _redelivered = default;
                return true;
            case EffectTag.StreamClaim:
                group = Slice(ref reader);
                consumer = Slice(ref reader);
                reader.Int64();
                for (ulong left = reader.Varint(); left > 0; left--)
                {
                    id = Id(ref reader);
                    time = reader.Int64();
                    Claim(new Pending(database, key, group, consumer, time), id, time, (long)reader.Varint());
                }

                return true;
            default:
                return false;
        }
    }

    /// <summary>What the ids of an effect have in common.</summary>
    private readonly struct Pending(int database, Key key, Slice group, Slice consumer, long time)
    {
        private readonly byte* _name = key.Name;
        private readonly int _length = key.Length;
        private readonly ulong _hash = key.Hash;
        public readonly int Database = database;
        public readonly Slice Group = group, Consumer = consumer;
        public readonly long Time = time;

        public Key Key() => new(_name, _length, _hash);
    }

    private void Claim(in Pending pending, StreamId id, long time, long deliveries)
    {
        Command(pending.Database, "XCLAIM"u8, 12, pending.Key());
        _pending.Bulk(pending.Group);
        _pending.Bulk(pending.Consumer);
        _pending.Bulk("0"u8);
        Id(id);
        _pending.Bulk("TIME"u8);
        _pending.BulkInteger(time);
        _pending.Bulk("RETRYCOUNT"u8);
        _pending.BulkInteger(deliveries);
        _pending.Bulk("FORCE"u8);
        _pending.Bulk("JUSTID"u8);
    }

    private void SetId(int database, in Key key, Slice group, StreamId id, long entriesRead)
    {
        Command(database, "XGROUP"u8, "SETID"u8, 7, key);
        _pending.Bulk(group);
        Id(id);
        _pending.Bulk("ENTRIESREAD"u8);
        // A count that went over the end of what it can be: a replica takes it for an error, and with it all of a transaction. It is no count any more.
        _pending.BulkInteger(Math.Max(entriesRead, -1));
    }

    private static StreamValue? StreamAt(Keyspace keyspace, int database, in Key key)
    {
        byte* record = keyspace.Databases[database].Peek(key);
        return record != null && Record.Type(record) == (int)DataType.Stream ? new StreamValue(record) : null;
    }

    private void Ids(ref EffectReader reader, Action<CommandFeed, StreamId, Pending> each, in Pending pending)
    {
        long ms = 0;
        for (ulong left = reader.Varint(); left > 0; left--)
        {
            ms += reader.Zigzag();
            each(this, new StreamId((ulong)ms, reader.Varint()), pending);
        }
    }

    private static StreamId Id(ref EffectReader reader) => new(reader.Varint(), reader.Varint());

    private void Id(StreamId id)
    {
        Span<byte> text = stackalloc byte[StreamId.MaxText];
        _pending.Bulk(text[..id.Format(text)]);
    }

    private static Slice Slice(ref EffectReader reader)
    {
        byte* bytes = reader.Bytes(out int length);
        return new Slice(bytes, length);
    }

    // ------------------------------------------------------------------ words

    private void Command(int database, ReadOnlySpan<byte> name, int words, in Key key)
    {
        Begin(database);
        _pending.Array(words);
        _pending.Bulk(name);
        _pending.Bulk(key.Span);
    }

    private void Command(int database, ReadOnlySpan<byte> name, ReadOnlySpan<byte> subcommand, int words, in Key key)
    {
        Begin(database);
        _pending.Array(words);
        _pending.Bulk(name);
        _pending.Bulk(subcommand);
        _pending.Bulk(key.Span);
    }

    private void Items(ref EffectReader reader, int count)
    {
        for (int i = 0; i < count; i++)
        {
            byte* bytes = reader.Bytes(out int length);
            _pending.Bulk(bytes, length);
        }
    }
}
