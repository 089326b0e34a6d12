using System.Buffers.Binary;
using Leither.MmDb.Memory;
using Leither.MmDb.Rdb;
using Leither.Resp;

namespace Leither.MmDb.Commands;

/// <summary>DUMP and RESTORE: single values in Redis's own format, out and in.</summary>
public static unsafe class DumpCommands
{
    private const string RestoreComplexity = "O(1) to create the new key and additional O(N*M) to reconstruct the serialized value, where N is the number of Redis objects composing the value and M their average size. For small string values the time complexity is thus O(1)+O(1*M) where M is small, so simply O(1). However for sorted set values the complexity is O(N*M*log(N)) because inserting values into sorted sets is O(log(N)).";

    private static readonly (string, string)[] _restoreHistory =
    [
        ("3.0.0", "Added the `REPLACE` modifier."),
        ("5.0.0", "Added the `ABSTTL` modifier."),
        ("5.0.0", "Added the `IDLETIME` and `FREQ` options."),
    ];

    /// <summary>DUMP key</summary>
    public static readonly CommandSpec Dump = new("dump", 2)
    {
        Since = "2.6.0",
        Group = CommandGroup.Generic,
        Complexity = "O(1) to access the key and additional O(N*M) to serialize it, where N is the number of Redis objects composing the value and M their average size. For small string values the time complexity is thus O(1)+O(1*M) where M is small, so simply O(1).",
        Summary = "Returns a serialized representation of the value stored at a key.",
        Flags = CommandFlags.ReadOnly,
        Categories = ["keyspace"],
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Key("key")],
        Tips = ["nondeterministic_output"],
        Handler = &RunDump,
    };

    /// <summary>RESTORE key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]</summary>
    public static readonly CommandSpec Restore = new("restore", -4)
    {
        Since = "2.6.0",
        Group = CommandGroup.Generic,
        Complexity = RestoreComplexity,
        Summary = "Creates a key from the serialized representation of a value.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom,
        Categories = ["keyspace", "dangerous"],
        Keys = [KeySpec.At(1, KeyAccess.Overwrite | KeyAccess.Update)],
        Args = RestoreArgs(),
        History = _restoreHistory,
        Handler = &RunRestore,
    };

    /// <summary>RESTORE-ASKING: RESTORE, as the nodes of a cluster send it among themselves.</summary>
    public static readonly CommandSpec RestoreAsking = new("restore-asking", -4)
    {
        Since = "3.0.0",
        Group = CommandGroup.Server,
        Complexity = RestoreComplexity,
        Summary = "An internal command for migrating keys in a cluster.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Asking,
        Categories = ["keyspace", "dangerous"],
        Keys = [KeySpec.At(1, KeyAccess.Overwrite | KeyAccess.Update)],
        Args = RestoreArgs(),
        History = _restoreHistory,
        IsSystem = true,
        Handler = &RunRestore,
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [Dump, Restore, RestoreAsking];

    private static Arg[] RestoreArgs() =>
    [
        Arg.Key("key"),
        Arg.Integer("ttl"),
        Arg.String("serialized-value"),
        Arg.Word("replace", "REPLACE").Optional().Since("3.0.0"),
        Arg.Word("absttl", "ABSTTL").Optional().Since("5.0.0"),
        Arg.Integer("seconds").Token("IDLETIME").Optional().Since("5.0.0"),
        Arg.Integer("frequency").Token("FREQ").Optional().Since("5.0.0"),
    ];

    private static void RunDump(CommandContext c)
    {
        byte* record = c.Database.Lookup(c.Key(1));
        if (record == null)
        {
            c.Reply.Null();
            return;
        }

        using var payload = new RdbBuffer();
        WritePayload(c.Keyspace, record, payload);
        c.Reply.Bulk(payload.Data, payload.Length);
    }

    /// <summary>Writes DUMP's payload of a value.</summary>
    internal static void WritePayload(Keyspace keyspace, byte* record, RdbBuffer payload)
    {
        RdbValueWriter.Write(payload, keyspace, record);
        payload.Footer();
    }

    private static void RunRestore(CommandContext c)
    {
        bool replace = false, absolute = false;
        long idle = -1, frequency = -1;
        for (int i = 4; i < c.Count; i++)
        {
            bool hasValue = i + 1 < c.Count;
            if (c.Is(i, "REPLACE"u8))
            {
                replace = true;
            }
            else if (c.Is(i, "ABSTTL"u8))
            {
                absolute = true;
            }
            else if (hasValue && frequency < 0 && c.Is(i, "IDLETIME"u8))
            {
                if (!c.TryLong(++i, out idle))
                {
                    return;
                }

                if (idle < 0)
                {
                    c.Error("ERR Invalid IDLETIME value, must be >= 0"u8);
                    return;
                }
            }
            else if (hasValue && idle < 0 && c.Is(i, "FREQ"u8))
            {
                if (!c.TryLong(++i, out frequency))
                {
                    return;
                }

                if (frequency is < 0 or > 255)
                {
                    c.Error("ERR Invalid FREQ value, must be >= 0 and <= 255"u8);
                    return;
                }
            }
            else
            {
                c.Error(Errors.Syntax);
                return;
            }
        }

        Key key = c.Key(1);
        bool exists = c.Database.LookupForWrite(key) != null;
        if (exists && !replace)
        {
            c.Error(Errors.BusyKey);
            return;
        }

        if (!c.TryLong(2, out long ttl))
        {
            return;
        }

        if (ttl < 0)
        {
            c.Error("ERR Invalid TTL value, must be >= 0"u8);
            return;
        }

        Slice payload = c[3];
        if (!IsIntact(payload, c.Server.SkipsChecksums))
        {
            c.Error("ERR DUMP payload version or checksum are wrong"u8);
            return;
        }

        long expireAt = ttl == 0 || absolute ? ttl : unchecked(ttl + c.NowMs);
        if (ttl != 0 && c.Keyspace.IsPast(expireAt))
        {
            RunRestoreExpired(c, key, payload, exists);
            return;
        }

        if (c.Effects.Restore(key, expireAt, payload.Pointer, payload.Length - RdbFormat.FooterBytes) != RestoreResult.Restored)
        {
            c.Error(Errors.BadDataFormat);
            return;
        }

        byte* record = c.Database.Peek(key);
        if (record != null)
        {
            AccessStamp.Set(c.Keyspace, record, idle, frequency);
        }

        c.Notify(KeyspaceEvents.Generic, "restore"u8, key);
        c.Reply.Ok();
    }

    /// <summary>What would have expired already is looked at, but only takes the place of what is there by removing it.</summary>
    private static void RunRestoreExpired(CommandContext c, in Key key, Slice payload, bool exists)
    {
        if (!c.Effects.CanRestore(key, payload.Pointer, payload.Length - RdbFormat.FooterBytes))
        {
            c.Error(Errors.BadDataFormat);
            return;
        }

        if (exists)
        {
            c.Effects.Delete(key);
            c.Notify(KeyspaceEvents.Generic, "del"u8, key);
        }

        c.Reply.Ok();
    }

    /// <summary>Whether a payload is of a version that is known, and is as it was when it was made.</summary>
    internal static bool IsIntact(Slice payload, bool skipsChecksum)
    {
        if (payload.Length < RdbFormat.FooterBytes)
        {
            return false;
        }

        ReadOnlySpan<byte> footer = payload.Span[^RdbFormat.FooterBytes..];
        return BinaryPrimitives.ReadUInt16LittleEndian(footer) <= RdbFormat.MaxVersion
            && (skipsChecksum || BinaryPrimitives.ReadUInt64LittleEndian(footer[2..]) == Crc64.Compute(0, payload.Pointer, payload.Length - sizeof(ulong)));
    }
}
