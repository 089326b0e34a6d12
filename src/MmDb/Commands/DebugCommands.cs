using System.Globalization;
using System.Text;
using Leither.MmDb.Configuration;
using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb.Commands;

/// <summary>DEBUG: what test suites and people who look for a fault need. Not for applications; enable-debug-command decides who may.</summary>
public static unsafe class DebugCommands
{
    /// <summary>DEBUG</summary>
    public static readonly CommandSpec Debug = new("debug", -2)
    {
        Group = CommandGroup.Server,
        Complexity = "Depends on subcommand.",
        Summary = "A container for debugging commands.",
        Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale | CommandFlags.Protected | CommandFlags.EndsBatch,
        IsSystem = true,
        Handler = &RunDebug,
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [Debug];

    private static ReadOnlySpan<byte> NoFiles => "ERR This server keeps no files: there is nothing to load"u8;

    private static void RunDebug(CommandContext c)
    {
        switch (c.Text(1, 64).ToLowerInvariant(), c.Count)
        {
            case ("help", 2):
                Help(c);
                break;
            case ("sleep", 3):
                Sleep(c);
                break;
            case ("set-active-expire", 3):
                c.Keyspace.ActiveExpireEnabled = !c[2].Equals("0"u8);
                c.Reply.Ok();
                break;
            case ("object", 3):
                Object(c);
                break;
            case ("reload", _):
                Reload(c);
                break;
            case ("loadaof", 2):
                Load(c, save: false);
                break;
            case ("digest", 2):
                Span<byte> digest = stackalloc byte[ValueDigest.Size];
                ValueDigest.OfKeyspace(c.Keyspace, digest);
                Status(c, Convert.ToHexStringLower(digest));
                break;
            case ("digest-value", _):
                DigestValues(c);
                break;
            case ("change-repl-id", 2):
                c.Server.Replication.Id = c.Server.DrawId();
                c.Reply.Ok();
                break;
            case ("populate", >= 3 and <= 5):
                Populate(c);
                break;
            case ("protocol", 3):
                Protocol(c);
                break;
            case ("error", 3):
                c.Reply.Error(c[2].Span);
                break;
            case ("log", 3):
                c.Server.Warn?.Invoke("DEBUG LOG: " + c[2].ToString());
                c.Reply.Ok();
                break;
            case ("quicklist-packed-threshold", 3):
                PackedThreshold(c);
                break;
            case ("stringmatch-len", 4):
                c.Reply.Integer(GlobPattern.Matches(c[2].Span, c[3].Span) ? 1 : 0);
                break;
            case ("sdslen", 3):
                StringLengths(c);
                break;
            case ("listpack", 3):
                Layout(c, DataEncoding.Pack, "ERR Not a listpack encoded object."u8);
                break;
            case ("quicklist", 3 or 4):
                Layout(c, DataEncoding.Quicklist, "ERR Not a quicklist encoded object."u8);
                break;
            case ("htstats", >= 3):
                TableStats(c);
                break;
            case ("htstats-key", >= 3):
                TableStatsOfKey(c);
                break;
            case ("structsize", 2):
                c.Reply.Bulk(Encoding.ASCII.GetBytes(
                    $"bits:{IntPtr.Size * 8} keytable:{sizeof(KeyTable)} largevalue:{LargeValue.HeaderSize} quicklist:{sizeof(Quicklist)} sortedtree:{sizeof(SortedTree)} "));
                break;
            case ("pause-cron", 3):
                c.Server.IsCronPaused = !c[2].Equals("0"u8);
                c.Reply.Ok();
                break;
            case ("set-skip-checksum-validation", 3):
                c.Server.SkipsChecksums = !c[2].Equals("0"u8);
                c.Reply.Ok();
                break;
            case ("set-disable-deny-scripts", 3):
                c.Server.Scripts.AllowsNoScript = !c[2].Equals("0"u8);
                c.Reply.Ok();
                break;
            case ("replybuffer", 4):
                ReplyBuffer(c);
                break;

            // Switches of mechanisms that Redis has and this server does without: turned, they change nothing.
            case ("jmap", 2):
            case ("leak" or "aof-flush-sleep" or "drop-cluster-packet-filter", 3):
            case ("replicate", >= 3):
                c.Reply.Ok();
                break;
            case ("segfault" or "panic" or "oom" or "assert" or "restart" or "crash-and-recover", _):
                c.Error($"ERR DEBUG {c.TextToZero(1, 64).ToUpperInvariant()} is refused: end the process from outside instead");
                break;
            default:
                c.SubcommandSyntax();
                break;
        }
    }

    private static void Status(CommandContext c, string text) => c.Reply.Simple(Encoding.Latin1.GetBytes(text));

    private static void Sleep(CommandContext c)
    {
        if (!c.TryDouble(2, out double seconds))
        {
            return;
        }

        Thread.Sleep(TimeSpan.FromSeconds(Math.Clamp(seconds, 0, int.MaxValue / 1000)));
        c.Reply.Ok();
    }

    /// <summary>The record of a key, expired or not, or null after the error.</summary>
    private static byte* Find(CommandContext c)
    {
        ulong* slot = c.Database.FindSlot(c.Key(2));
        if (slot == null)
        {
            c.Error(Errors.NoSuchKey);
            return null;
        }

        return KeyTable.Get(slot);
    }

    private static void Object(CommandContext c)
    {
        byte* record = Find(c);
        if (record == null)
        {
            return;
        }

        var encoding = (DataEncoding)Record.Encoding(record);
        string more = "";
        if (encoding == DataEncoding.Quicklist)
        {
            Quicklist* list = Record.NativePointer<Quicklist>(record);
            more = string.Create(
                CultureInfo.InvariantCulture,
                $" ql_nodes:{list->NodeCount} ql_avg_node:{(double)list->Count / list->NodeCount:F2} ql_listpack_max:{c.Keyspace.Options.Packed.ListMaxListpackSize} ql_compressed:0 ql_uncompressed_size:{list->SizeBytes}");
        }

        long idle = c.Keyspace.Options.UsesLfu ? 0 : AccessStamp.IdleSeconds(c.Keyspace, record);
        string name = Encoding.ASCII.GetString(ObjectCommands.EncodingName((DataType)Record.Type(record), encoding));
        Status(c, $"Value at:0x{(nint)record:x} refcount:1 encoding:{name} serializedlength:{ValueSize.Of(record, long.MaxValue)} lru:{Record.Lru(record)} lru_seconds_idle:{idle}{more}");
    }

    private static void Reload(CommandContext c)
    {
        bool save = true, merge = false, keep = false;
        for (int i = 2; i < c.Count; i++)
        {
            if (c.Is(i, "nosave"u8))
            {
                save = false;
            }
            else if (c.Is(i, "merge"u8))
            {
                merge = true;
            }
            else if (c.Is(i, "noflush"u8))
            {
                keep = true;
            }
            else
            {
                c.Error("ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options."u8);
                return;
            }
        }

        // Checkpoint and log hold what there is now: read over it, whatever there is is there twice.
        if (keep && !merge && (c.Functions.LibraryCount > 0 || c.Keyspace.Databases.Any(static d => d.Count > 0)))
        {
            c.Error("ERR Error trying to load the RDB dump, check server logs."u8);
            return;
        }

        Load(c, save);
    }

    private static void Load(CommandContext c, bool save)
    {
        if (c.Mimei.Checkpointer is not { } checkpointer)
        {
            c.Error(NoFiles);
        }
        else if ((save ? checkpointer.Save() : null) is { } unsaved)
        {
            c.Error("ERR " + unsaved);
        }
        else if (checkpointer.Reload() is { } error)
        {
            c.Error("ERR " + error);
        }
        else
        {
            c.Reply.Ok();
        }
    }

    private static void DigestValues(CommandContext c)
    {
        Span<byte> digest = stackalloc byte[ValueDigest.Size];
        c.Reply.Array(c.Count - 2);
        for (int i = 2; i < c.Count; i++)
        {
            digest.Clear();
            ulong* slot = c.Database.FindSlot(c.Key(i));
            if (slot != null)
            {
                ValueDigest.OfValue(KeyTable.Get(slot), digest);
            }

            Status(c, Convert.ToHexStringLower(digest));
        }
    }

    private static void Populate(CommandContext c)
    {
        long size = 0;
        if (!c.TryLong(2, 0, long.MaxValue, out long count) || (c.Count == 5 && !c.TryLong(4, 0, c.Keyspace.Options.MaxStringBytes, out size)))
        {
            return;
        }

        string prefix = c.Count > 3 ? c.Text(3) : "key";
        for (long i = 0; i < count; i++)
        {
            byte[] name = Encoding.Latin1.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{prefix}:{i}"));
            byte[] value = Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"value:{i}"));
            if (c.Count == 5)
            {
                Array.Resize(ref value, (int)size);
            }

            fixed (byte* p = name, v = value)
            {
                Key key = c.Keyspace.KeyOf(p, name.Length);
                if (c.Database.Peek(key) == null)
                {
                    c.Effects.StringSet(key, v, value.Length);
                }
            }
        }

        c.Reply.Ok();
    }

    private static void Protocol(CommandContext c)
    {
        RespWriter reply = c.Reply;
        switch (c.Text(2, 64).ToLowerInvariant())
        {
            case "string":
                reply.Bulk("Hello World"u8);
                break;
            case "integer":
                reply.Integer(12345);
                break;
            case "double":
                reply.Double(3.141);
                break;
            case "bignum":
                reply.BigNumber("1234567999999999999999999999999999999"u8);
                break;
            case "null":
                reply.Null();
                break;
            case "array":
                reply.Array(3);
                Count(reply);
                break;
            case "set":
                reply.Set(3);
                Count(reply);
                break;
            case "map":
                reply.Map(3);
                for (int i = 0; i < 3; i++)
                {
                    reply.Integer(i);
                    reply.Boolean(i == 1);
                }

                break;
            case "attrib":
                if (reply.Version > 2)
                {
                    reply.Attribute(1);
                    reply.Bulk("key-popularity"u8);
                    reply.Array(2);
                    reply.Bulk("key:123"u8);
                    reply.Integer(90);
                }

                reply.Bulk("Some real reply following the attribute"u8);
                break;
            case "push":
                if (reply.Version == 2)
                {
                    c.Error("ERR RESP2 is not supported by this command"u8);
                    break;
                }

                reply.Bulk("Some real reply following the push reply"u8);
                Push(c);
                break;
            case "true":
                reply.Boolean(true);
                break;
            case "false":
                reply.Boolean(false);
                break;
            case "verbatim":
                reply.Verbatim("txt"u8, "This is a verbatim\nstring"u8);
                break;
            default:
                c.Error("ERR Wrong protocol type name. Please use one of the following: string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false"u8);
                break;
        }
    }

    private static void Count(RespWriter reply)
    {
        for (int i = 0; i < 3; i++)
        {
            reply.Integer(i);
        }
    }

    /// <summary>A push goes out behind the reply of the command that runs, as any other does.</summary>
    private static void Push(CommandContext c)
    {
        ReadOnlySpan<byte> push = ">2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n"u8;
        fixed (byte* p = push)
        {
            c.Server.Push(c.Session, p, push.Length);
        }
    }

    private static void PackedThreshold(CommandContext c)
    {
        const long fourGb = 1L << 32, slack = 1 << 20;
        if (!ConfigText.TryParseMemory(c.Text(2, 128), out long bytes) || (ulong)bytes > fourGb - slack)
        {
            c.Error("ERR argument must be a memory value bigger than 1 and smaller than 4gb"u8);
            return;
        }

        c.Keyspace.Options.Packed.QuicklistPackedThreshold = bytes == 0 ? NodeLimit.DefaultPackedThreshold : bytes;
        c.Reply.Ok();
    }

    private static void StringLengths(CommandContext c)
    {
        byte* record = Find(c);
        if (record == null)
        {
            return;
        }

        if (Record.Type(record) != (int)DataType.String || Record.Encoding(record) == (int)DataEncoding.Int)
        {
            c.Error("ERR Not an sds encoded string."u8);
            return;
        }

        Record.ValueBytes(record, out long length);
        long capacity = Record.Outside(record) ? (long)Record.OutsideValue(record)->Capacity : length;
        int key = Record.KeyLength(record);
        Status(c, $"key_sds_len:{key}, key_sds_avail:0, key_zmalloc: {key}, val_sds_len:{length}, val_sds_avail:{capacity - length}, val_zmalloc: {capacity}");
    }

    private static void Layout(CommandContext c, DataEncoding encoding, ReadOnlySpan<byte> otherwise)
    {
        byte* record = Find(c);
        if (record == null)
        {
            return;
        }

        if (Record.Encoding(record) != (int)encoding)
        {
            c.Error(otherwise);
        }
        else if (encoding == DataEncoding.Pack)
        {
            byte* pack = Record.ValueBytes(record, out long length);
            Status(c, $"{{total bytes {length}}} {{num entries {Pack.Count(pack, (int)length)}}}");
        }
        else
        {
            Quicklist* list = Record.NativePointer<Quicklist>(record);
            Status(c, $"{{count : {list->Count}}} {{nodes : {list->NodeCount}}} {{total bytes {list->SizeBytes}}}");
        }
    }

    private static void TableStats(CommandContext c)
    {
        if (!c.TryLong(2, out long number))
        {
            return;
        }

        if (number < 0 || number >= c.Keyspace.Databases.Length)
        {
            c.Error("ERR Out of range database"u8);
            return;
        }

        Database database = c.Keyspace.Databases[number];
        c.Reply.Verbatim("txt"u8, Encoding.ASCII.GetBytes("[Dictionary HT]\n" + Describe(database.Keys) + "[Expires HT]\n" + Describe(database.Expires)));
    }

    private static void TableStatsOfKey(CommandContext c)
    {
        byte* record = Find(c);
        if (record == null)
        {
            return;
        }

        KeyTable* table = (DataEncoding)Record.Encoding(record) switch
        {
            DataEncoding.HashTable => Record.NativePointer<KeyTable>(record),
            DataEncoding.SortedTree or DataEncoding.ExpiringTable => Record.NativePointer<SortedSetStructure>(record)->Members,
            _ => null,
        };
        if (table == null)
        {
            c.Error("ERR The value stored at the specified key is not represented using an hash table"u8);
            return;
        }

        c.Reply.Verbatim("txt"u8, Encoding.ASCII.GetBytes(Describe(table)));
    }

    private static string Describe(KeyTable* table) => table->Count == 0
        ? "No stats available for empty dictionaries\n"
        : $"Hash table 0 stats (main hash table):\n table size: {table->MemoryBytes / sizeof(ulong)}\n number of elements: {table->Count}\n";

    private static void ReplyBuffer(CommandContext c)
    {
        if (c.Is(2, "resizing"u8))
        {
            // Output goes back to the pool when it is sent: there is nothing to resize.
            c.Reply.Ok();
            return;
        }

        long time = ClientMemory.UsualReplyPeakMs;
        if (!c.Is(2, "peak-reset-time"u8))
        {
            c.SubcommandSyntax();
        }
        else if (c.Is(3, "never"u8) || c.Is(3, "reset"u8) || c.TryLong(3, out time))
        {
            c.Server.ClientMemory.ShrinkRepliesAfter(c.Is(3, "never"u8) ? -1 : time);
            c.Reply.Ok();
        }
    }

    private static void Help(CommandContext c) => c.Help(
        "CHANGE-REPL-ID",
        "    Change the replication IDs of the instance.",
        "DIGEST",
        "    Output a hex signature representing the current DB content.",
        "DIGEST-VALUE <key> [<key> ...]",
        "    Output a hex signature of the values of all the specified keys.",
        "ERROR <string>",
        "    Return a Redis protocol error with <string> as message. Useful for clients",
        "    unit tests to simulate Redis errors.",
        "HTSTATS <dbid> [full]",
        "    Return hash table statistics of the specified Redis database.",
        "HTSTATS-KEY <key> [full]",
        "    Like HTSTATS but for the hash table stored at <key>'s value.",
        "LISTPACK <key>",
        "    Show low level info about the listpack encoding of <key>.",
        "LOADAOF",
        "    Load the newest checkpoint and the log after it.",
        "LOG <message>",
        "    Write <message> to the server log.",
        "OBJECT <key>",
        "    Show low level info about `key` and associated value.",
        "PAUSE-CRON <0|1>",
        "    Stop periodic cron job processing.",
        "POPULATE <count> [<prefix>] [<size>]",
        "    Create <count> string keys named key:<num>. If <prefix> is specified then",
        "    it is used instead of the 'key' prefix.",
        "PROTOCOL <type>",
        "    Reply with a test value of the specified type. <type> can be: string,",
        "    integer, double, bignum, null, array, set, map, attrib, push, verbatim,",
        "    true, false.",
        "QUICKLIST <key> [<0|1>]",
        "    Show low level info about the quicklist encoding of <key>.",
        "QUICKLIST-PACKED-THRESHOLD <size>",
        "    Sets the threshold for elements to be inserted as plain vs packed nodes",
        "    Default value is 1GB, allows values up to 4GB. Setting to 0 restores to default.",
        "RELOAD [option ...]",
        "    Make a checkpoint and load it back to memory. With NOSAVE the newest one is loaded.",
        "REPLYBUFFER PEAK-RESET-TIME <NEVER||RESET|time>",
        "REPLYBUFFER RESIZING <0|1>",
        "    After how long without large replies CLIENT LIST shows a smaller reply buffer.",
        "SDSLEN <key>",
        "    Show low level string info representing `key` and value.",
        "SET-ACTIVE-EXPIRE <0|1>",
        "    Setting it to 0 disables expiring keys in background when they are not",
        "    accessed (otherwise the Redis behavior). Setting it to 1 reenables back the",
        "    default.",
        "SLEEP <seconds>",
        "    Stop the server for <seconds>. Decimals allowed.",
        "STRINGMATCH-LEN <pattern> <string>",
        "    Whether <string> matches the glob-style <pattern>.",
        "STRUCTSIZE",
        "    Return the size of different core structures.");
}
