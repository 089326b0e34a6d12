using Leither.MmDb.Acl;
using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb.Commands;

/// <summary>Commands for keys of any type: deleting, finding, walking, renaming, copying.</summary>
public static unsafe class KeyCommands
{
    /// <summary>DEL key …</summary>
    public static readonly CommandSpec Del = new("del", -2)
    {
        Group = CommandGroup.Generic,
        Complexity = "O(N) where N is the number of keys that will be removed. When a key to remove holds a value other than a string, the individual complexity for this key is O(M) where M is the number of elements in the list, set, sorted set or hash. Removing a single key that holds a string value is O(1).",
        Summary = "Deletes one or more keys.",
        Flags = CommandFlags.Write,
        Categories = ["keyspace"],
        Keys = [KeySpec.At(1, KeyAccess.Remove | KeyAccess.Delete, last: -1)],
        Args = [Arg.Key("key").Multiple()],
        Tips = ["request_policy:multi_shard", "response_policy:agg_sum"],
        Handler = &RunDel,
    };

    /// <summary>UNLINK key …</summary>
    public static readonly CommandSpec Unlink = new("unlink", -2)
    {
        Since = "4.0.0",
        Group = CommandGroup.Generic,
        Complexity = "O(1) for each key removed regardless of its size. Then the command does O(N) work in a different thread in order to reclaim memory, where N is the number of allocations the deleted objects where composed of.",
        Summary = "Asynchronously deletes one or more keys.",
        Flags = CommandFlags.Write | CommandFlags.Fast,
        Categories = ["keyspace"],
        Keys = [KeySpec.At(1, KeyAccess.Remove | KeyAccess.Delete, last: -1)],
        Args = [Arg.Key("key").Multiple()],
        Tips = ["request_policy:multi_shard", "response_policy:agg_sum"],
        Handler = &RunUnlink,
    };

    /// <summary>EXISTS key …</summary>
    public static readonly CommandSpec Exists = new("exists", -2)
    {
        Group = CommandGroup.Generic,
        Complexity = "O(N) where N is the number of keys to check.",
        Summary = "Determines whether one or more keys exist.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Categories = ["keyspace"],
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly, last: -1)],
        Args = [Arg.Key("key").Multiple()],
        History = [("3.0.3", "Accepts multiple `key` arguments.")],
        Tips = ["request_policy:multi_shard", "response_policy:agg_sum"],
        Handler = &RunExists,
    };

    /// <summary>TOUCH key …</summary>
    public static readonly CommandSpec Touch = new("touch", -2)
    {
        Since = "3.2.1",
        Group = CommandGroup.Generic,
        Complexity = "O(N) where N is the number of keys that will be touched.",
        Summary = "Returns the number of existing keys out of those specified after updating the time they were last accessed.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Categories = ["keyspace"],
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly, last: -1)],
        Args = [Arg.Key("key").Multiple()],
        Tips = ["request_policy:multi_shard", "response_policy:agg_sum"],
        Handler = &RunTouch,
    };

    /// <summary>TYPE key</summary>
    public static readonly CommandSpec Type = new("type", 2)
    {
        Group = CommandGroup.Generic,
        Complexity = "O(1)",
        Summary = "Determines the type of value stored at a key.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Categories = ["keyspace"],
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly)],
        Args = [Arg.Key("key")],
        Handler = &RunType,
    };

    /// <summary>KEYS pattern</summary>
    public static readonly CommandSpec Keys = new("keys", 2)
    {
        Group = CommandGroup.Generic,
        Complexity = "O(N) with N being the number of keys in the database, under the assumption that the key names in the database and the given pattern have limited length.",
        Summary = "Returns all key names that match a pattern.",
        Flags = CommandFlags.ReadOnly,
        Categories = ["keyspace", "dangerous"],
        Args = [Arg.Pattern("pattern")],
        Tips = ["request_policy:all_shards", "nondeterministic_output_order"],
        Handler = &RunKeys,
    };

    /// <summary>SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]</summary>
    public static readonly CommandSpec Scan = new("scan", -2)
    {
        Since = "2.8.0",
        Group = CommandGroup.Generic,
        Complexity = "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to return back to 0. N is the number of elements inside the collection.",
        Summary = "Iterates over the key names in the database.",
        Flags = CommandFlags.ReadOnly,
        Categories = ["keyspace"],
        Args =
        [
            Arg.Integer("cursor"),
            Arg.Pattern("pattern").Token("MATCH").Optional(),
            Arg.Integer("count").Token("COUNT").Optional(),
            Arg.String("type").Token("TYPE").Optional().Since("6.0.0"),
        ],
        History = [("6.0.0", "Added the `TYPE` subcommand.")],
        Tips = ["nondeterministic_output", "request_policy:special", "response_policy:special"],
        Handler = &RunScan,
    };

    /// <summary>RANDOMKEY</summary>
    public static readonly CommandSpec RandomKey = new("randomkey", 1)
    {
        Group = CommandGroup.Generic,
        Complexity = "O(1)",
        Summary = "Returns a random key name from the database.",
        Flags = CommandFlags.ReadOnly,
        Categories = ["keyspace"],
        Tips = ["request_policy:all_shards", "response_policy:special", "nondeterministic_output"],
        Handler = &RunRandomKey,
    };

    /// <summary>RENAME key newkey</summary>
    public static readonly CommandSpec Rename = new("rename", 3)
    {
        Group = CommandGroup.Generic,
        Complexity = "O(1)",
        Summary = "Renames a key and overwrites the destination.",
        Flags = CommandFlags.Write,
        Categories = ["keyspace"],
        Keys =
        [
            KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Delete),
            KeySpec.At(2, KeyAccess.Overwrite | KeyAccess.Update),
        ],
        Args = [Arg.Key("key"), Arg.Key("newkey", 1)],
        Handler = &RunRename,
    };

    /// <summary>RENAMENX key newkey</summary>
    public static readonly CommandSpec RenameNx = new("renamenx", 3)
    {
        Group = CommandGroup.Generic,
        Complexity = "O(1)",
        Summary = "Renames a key only when the target key name doesn't exist.",
        Flags = CommandFlags.Write | CommandFlags.Fast,
        Categories = ["keyspace"],
        Keys =
        [
            KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Delete),
            KeySpec.At(2, KeyAccess.Overwrite | KeyAccess.Insert),
        ],
        Args = [Arg.Key("key"), Arg.Key("newkey", 1)],
        History = [("3.2.0", "The command no longer returns an error when source and destination names are the same.")],
        Handler = &RunRenameNx,
    };

    /// <summary>COPY source destination [DB destination-db] [REPLACE]</summary>
    public static readonly CommandSpec Copy = new("copy", -3)
    {
        Since = "6.2.0",
        Group = CommandGroup.Generic,
        Complexity = "O(N) worst case for collections, where N is the number of nested items. O(1) for string values.",
        Summary = "Copies the value of a key to a new key.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom,
        Categories = ["keyspace"],
        Keys =
        [
            KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access),
            KeySpec.At(2, KeyAccess.Overwrite | KeyAccess.Update),
        ],
        Args =
        [
            Arg.Key("source"),
            Arg.Key("destination", 1),
            Arg.Integer("destination-db").Token("DB").Optional(),
            Arg.Word("replace", "REPLACE").Optional(),
        ],
        Handler = &RunCopy,
    };

    /// <summary>MOVE key db</summary>
    public static readonly CommandSpec Move = new("move", 3)
    {
        Group = CommandGroup.Generic,
        Complexity = "O(1)",
        Summary = "Moves a key to another database.",
        Flags = CommandFlags.Write | CommandFlags.Fast,
        Categories = ["keyspace"],
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Update)],
        Args = [Arg.Key("key"), Arg.Integer("db")],
        Handler = &RunMove,
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All =>
    [
        Del, Unlink, Exists, Touch, Type, Keys, Scan, RandomKey, Rename, RenameNx, Copy, Move,
    ];

    // ------------------------------------------------------------------ deleting and asking

    private static void RunDel(CommandContext c)
    {
        long deleted = 0;
        for (int i = 1; i < c.Count; i++)
        {
            Key key = c.Key(i);
            if (c.Database.Peek(key) != null)
            {
                c.Effects.Delete(key);
                c.Notify(KeyspaceEvents.Generic, "del"u8, key);
                deleted++;
            }
        }

        c.Reply.Integer(deleted);
    }

    /// <summary>As DEL: big values are always freed in slices.</summary>
    private static void RunUnlink(CommandContext c) => RunDel(c);

    private static void RunExists(CommandContext c)
    {
        long found = 0;
        for (int i = 1; i < c.Count; i++)
        {
            found += c.Database.LookupWithoutTouch(c.Key(i)) != null ? 1 : 0;
        }

        c.Reply.Integer(found);
    }

    private static void RunTouch(CommandContext c)
    {
        long found = 0;
        for (int i = 1; i < c.Count; i++)
        {
            found += c.Database.Lookup(c.Key(i)) != null ? 1 : 0;
        }

        c.Reply.Integer(found);
    }

    private static void RunType(CommandContext c)
    {
        byte* record = c.Database.LookupWithoutTouch(c.Key(1));
        c.Reply.Simple(record == null ? "none"u8 : TypeName((DataType)Record.Type(record)));
    }

    /// <summary>The name by which TYPE and SCAN know a type.</summary>
    internal static ReadOnlySpan<byte> TypeName(DataType type) => type switch
    {
        DataType.String => "string"u8,
        DataType.List => "list"u8,
        DataType.Set => "set"u8,
        DataType.SortedSet => "zset"u8,
        DataType.Hash => "hash"u8,
        DataType.Stream => "stream"u8,
        _ => throw new InvalidOperationException($"{type} is no type of value."),
    };

    // ------------------------------------------------------------------ walking the keyspace

    private static void RunKeys(CommandContext c)
    {
        Slice pattern = c[1];
        if (GlobPattern.IsLiteral(pattern.Span))
        {
            byte* record = c.Database.Peek(c.Key(1));
            c.Reply.Array(record == null ? 0 : 1);
            if (record != null)
            {
                c.Reply.Bulk(pattern);
            }

            return;
        }

        bool all = GlobPattern.MatchesAll(pattern.Span);
        long mark = c.Reply.BeginDeferred(), count = 0;
        if (c.Keyspace.Source is { IsChangeable: false } source)
        {
            foreach (SourceKey key in source.Walk(c.Database.Index, 0))
            {
                if ((all || GlobPattern.Matches(pattern.Span, key.Name)) && key.IsLive(c.NowMs))
                {
                    c.Reply.Bulk(key.Name);
                    count++;
                }
            }

            c.Reply.EndDeferredArray(mark, count);
            return;
        }

        NativeList<nint> records = default;
        ulong cursor = 0;
        do
        {
            records.Clear();
            cursor = c.Database.ScanBucket(cursor, ref records);
            foreach (nint pointer in records.Span)
            {
                byte* record = (byte*)pointer;
                if ((all || GlobPattern.Matches(pattern.Span, Record.KeySpan(record))) && !(Record.HasExpire(record) && c.Keyspace.IsExpired(record)))
                {
                    c.Reply.Bulk(Record.KeySpan(record));
                    count++;
                }
            }
        }
        while (cursor != 0);
        records.Dispose();
        c.Reply.EndDeferredArray(mark, count);
    }

    private static void RunScan(CommandContext c)
    {
        if (!TryCursor(c, 1, out ulong cursor))
        {
            return;
        }

        ReadOnlySpan<byte> pattern = "*"u8;
        DataType? type = null;
        bool anyType = true;
        long count = 10;
        for (int i = 2; i < c.Count; i += 2)
        {
            bool hasValue = i + 1 < c.Count;
            if (hasValue && c.Is(i, "COUNT"u8))
            {
                if (!c.TryLong(i + 1, out count))
                {
                    return;
                }

                if (count < 1)
                {
                    c.Error(Errors.Syntax);
                    return;
                }
            }
            else if (hasValue && c.Is(i, "MATCH"u8))
            {
                pattern = c[i + 1].Span;
            }
            else if (hasValue && c.Is(i, "TYPE"u8))
            {
                anyType = false;
                type = TypeNamed(c[i + 1]);
            }
            else
            {
                c.Error(Errors.Syntax);
                return;
            }
        }

        if (c.Keyspace.Source is { IsChangeable: false } source)
        {
            ScanSource(c, source, (long)Math.Min(cursor, long.MaxValue), count, pattern, anyType ? null : type, anyType);
            return;
        }

        // Ten times the count bounds the steps through empty buckets; the count bounds the keys looked at.
        long steps = count > long.MaxValue / 10 ? long.MaxValue : count * 10, seen = 0;
        bool all = GlobPattern.MatchesAll(pattern);
        AclUser user = c.Session.User;
        NativeList<nint> records = default;
        NativeList<nint> matches = default;
        do
        {
            records.Clear();
            cursor = c.Database.ScanBucket(cursor, ref records);
            seen += records.Count;
            foreach (nint pointer in records.Span)
            {
                byte* record = (byte*)pointer;
                if ((all || GlobPattern.Matches(pattern, Record.KeySpan(record))) && user.MaySee(Record.KeySpan(record)) && IsLive(c, record) && (anyType || Record.Type(record) == (int?)type))
                {
                    matches.Add(pointer);
                }
            }
        }
        while (cursor != 0 && steps-- > 0 && seen < count);

        c.Reply.Array(2);
        c.Reply.BulkInteger((long)cursor);
        c.Reply.Array(matches.Count);
        foreach (nint pointer in matches.Span)
        {
            c.Reply.Bulk(Record.KeySpan((byte*)pointer));
        }

        records.Dispose();
        matches.Dispose();
    }

    /// <summary>SCAN where keys are not held: the cursor counts keys.</summary>
    private static void ScanSource(CommandContext c, KeySource source, long from, long count, ReadOnlySpan<byte> pattern, DataType? type, bool anyType)
    {
        var found = new List<byte[]>();
        long next = from;
        foreach (SourceKey key in source.Walk(c.Database.Index, from))
        {
            if (next - from == count)
            {
                break;
            }

            next++;
            if (GlobPattern.Matches(pattern, key.Name) && c.Session.User.MaySee(key.Name) && key.IsLive(c.NowMs) && (anyType || key.Type == type))
            {
                found.Add(key.Name);
            }
        }

        c.Reply.Array(2);
        c.Reply.BulkInteger(next >= c.Database.Count ? 0 : next);
        c.Reply.Array(found.Count);
        foreach (byte[] name in found)
        {
            c.Reply.Bulk(name);
        }
    }

    /// <summary>Whether a record met on the way has not expired; one that has is noted, to be deleted after the command.</summary>
    private static bool IsLive(CommandContext c, byte* record)
    {
        if (!Record.HasExpire(record) || !c.Keyspace.IsExpired(record))
        {
            return true;
        }

        c.Keyspace.NoteExpired(c.Database, c.Keyspace.KeyOf(Record.Key(record), Record.KeyLength(record)));
        return false;
    }

    /// <summary>Reads the cursor of SCAN, HSCAN, SSCAN or ZSCAN, or replies that it is none.</summary>
    internal static bool TryCursor(CommandContext c, int index, out ulong cursor)
    {
        Slice word = c[index];
        cursor = 0;
        if (word.Length == 0 || (word[0] != ' ' && (uint)(word[0] - '\t') >= 5 && word.TryULong(out cursor)))
        {
            return true;
        }

        c.Error(Errors.InvalidCursor);
        return false;
    }

    /// <summary>The type that SCAN knows by a name; null: there is none.</summary>
    internal static DataType? TypeNamed(Slice name)
    {
        for (DataType type = DataType.String; type <= DataType.Stream; type++)
        {
            if (name.EqualsIgnoreCase(TypeName(type)))
            {
                return type;
            }
        }

        return null;
    }

    private static void RunRandomKey(CommandContext c)
    {
        const int tries = 100;
        if (c.Keyspace.Source is { IsChangeable: false } source)
        {
            RandomOfSource(c, source);
            return;
        }

        for (int i = 0; i < tries; i++)
        {
            byte* record = c.Database.RandomRecord();
            if (record == null)
            {
                break;
            }

            if (IsLive(c, record))
            {
                c.Reply.Bulk(Record.KeySpan(record));
                return;
            }
        }

        // Nearly everything has expired: the first live one is as good as any.
        NativeList<nint> records = default;
        ulong cursor = 0;
        byte* found = null;
        do
        {
            records.Clear();
            cursor = c.Database.ScanBucket(cursor, ref records);
            foreach (nint pointer in records.Span)
            {
                found = IsLive(c, (byte*)pointer) ? (byte*)pointer : found;
            }
        }
        while (cursor != 0 && found == null);
        records.Dispose();
        if (found == null)
        {
            c.Reply.Null();
        }
        else
        {
            c.Reply.Bulk(Record.KeySpan(found));
        }
    }

    private static void RandomOfSource(CommandContext c, KeySource source)
    {
        long count = c.Database.Count, from = count == 0 ? 0 : (long)(c.Keyspace.Random.Next() % (ulong)count);
        foreach (SourceKey key in source.Walk(c.Database.Index, from).Concat(source.Walk(c.Database.Index, 0)))
        {
            if (key.IsLive(c.NowMs))
            {
                c.Reply.Bulk(key.Name);
                return;
            }
        }

        c.Reply.Null();
    }

    // ------------------------------------------------------------------ renaming, copying, moving

    private static void RunRename(CommandContext c) => RenameKey(c, onlyIfMissing: false);

    private static void RunRenameNx(CommandContext c) => RenameKey(c, onlyIfMissing: true);

    private static void RenameKey(CommandContext c, bool onlyIfMissing)
    {
        Key from = c.Key(1), to = c.Key(2);
        if (c.Database.LookupForWrite(from) == null)
        {
            c.Error(Errors.NoSuchKey);
            return;
        }

        bool isSame = from.Span.SequenceEqual(to.Span);
        if (!isSame && !(onlyIfMissing && c.Database.LookupForWrite(to) != null))
        {
            c.Effects.Rename(from, to);
            c.Notify(KeyspaceEvents.Generic, "rename_from"u8, from);
            c.Notify(KeyspaceEvents.Generic, "rename_to"u8, to);
        }
        else if (onlyIfMissing)
        {
            c.Reply.Integer(0);
            return;
        }

        if (onlyIfMissing)
        {
            c.Reply.Integer(1);
        }
        else
        {
            c.Reply.Ok();
        }
    }

    private static void RunCopy(CommandContext c)
    {
        Database target = c.Database;
        bool replace = false;
        for (int i = 3; i < c.Count; i++)
        {
            if (c.Is(i, "REPLACE"u8))
            {
                replace = true;
            }
            else if (c.Is(i, "DB"u8) && i + 1 < c.Count)
            {
                if (!TryDatabase(c, ++i, out target))
                {
                    return;
                }
            }
            else
            {
                c.Error(Errors.Syntax);
                return;
            }
        }

        Key from = c.Key(1), to = c.Key(2);
        if (target == c.Database && from.Span.SequenceEqual(to.Span))
        {
            c.Error(Errors.SameObject);
            return;
        }

        if (c.Database.Lookup(from) == null || (target.LookupForWrite(to) != null && !replace))
        {
            c.Reply.Integer(0);
            return;
        }

        c.Effects.Copy(from, target, to);
        c.Keyspace.Notify(KeyspaceEvents.Generic, "copy_to"u8, target, to);
        c.Reply.Integer(1);
    }

    private static void RunMove(CommandContext c)
    {
        if (!TryDatabase(c, 2, out Database target))
        {
            return;
        }

        if (target == c.Database)
        {
            c.Error(Errors.SameObject);
            return;
        }

        Key key = c.Key(1);
        if (c.Database.LookupForWrite(key) == null || target.LookupForWrite(key) != null)
        {
            c.Reply.Integer(0);
            return;
        }

        c.Effects.Move(key, target);
        c.Notify(KeyspaceEvents.Generic, "move_from"u8, key);
        c.Keyspace.Notify(KeyspaceEvents.Generic, "move_to"u8, target, key);
        c.Reply.Integer(1);
    }

    /// <summary>Reads a database number, or replies that there is none.</summary>
    private static bool TryDatabase(CommandContext c, int index, out Database database)
    {
        database = c.Database;
        if (!c.TryLong(index, out long number))
        {
            return false;
        }

        if (number is < int.MinValue or > int.MaxValue)
        {
            c.Error(Errors.NotInt32);
            return false;
        }

        if (number < 0 || number >= c.Keyspace.Databases.Length)
        {
            c.Error(Errors.DbIndexOutOfRange);
            return false;
        }

        database = c.Keyspace.Databases[number];
        return true;
    }
}
