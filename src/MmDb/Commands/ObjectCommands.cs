using Leither.MmDb.Memory;
using Leither.MmDb.Values;

namespace Leither.MmDb.Commands;

/// <summary>OBJECT: how a value is held, and what eviction knows of it.</summary>
public static unsafe class ObjectCommands
{
    /// <summary>OBJECT ENCODING key</summary>
    public static readonly CommandSpec ObjectEncoding = new("encoding", 3)
    {
        Since = "2.2.3",
        Group = CommandGroup.Generic,
        Complexity = "O(1)",
        Summary = "Returns the internal encoding of a Redis object.",
        Flags = CommandFlags.ReadOnly,
        Categories = ["keyspace"],
        Keys = [KeySpec.At(2, KeyAccess.ReadOnly)],
        Args = [Arg.Key("key")],
        Tips = ["nondeterministic_output"],
        Handler = &RunEncoding,
    };

    /// <summary>OBJECT FREQ key</summary>
    public static readonly CommandSpec ObjectFreq = new("freq", 3)
    {
        Since = "4.0.0",
        Group = CommandGroup.Generic,
        Complexity = "O(1)",
        Summary = "Returns the logarithmic access frequency counter of a Redis object.",
        Flags = CommandFlags.ReadOnly,
        Categories = ["keyspace"],
        Keys = [KeySpec.At(2, KeyAccess.ReadOnly)],
        Args = [Arg.Key("key")],
        Tips = ["nondeterministic_output"],
        Handler = &RunFreq,
    };

    /// <summary>OBJECT IDLETIME key</summary>
    public static readonly CommandSpec ObjectIdleTime = new("idletime", 3)
    {
        Since = "2.2.3",
        Group = CommandGroup.Generic,
        Complexity = "O(1)",
        Summary = "Returns the time since the last access to a Redis object.",
        Flags = CommandFlags.ReadOnly,
        Categories = ["keyspace"],
        Keys = [KeySpec.At(2, KeyAccess.ReadOnly)],
        Args = [Arg.Key("key")],
        Tips = ["nondeterministic_output"],
        Handler = &RunIdleTime,
    };

    /// <summary>OBJECT REFCOUNT key</summary>
    public static readonly CommandSpec ObjectRefCount = new("refcount", 3)
    {
        Since = "2.2.3",
        Group = CommandGroup.Generic,
        Complexity = "O(1)",
        Summary = "Returns the reference count of a value of a key.",
        Flags = CommandFlags.ReadOnly,
        Categories = ["keyspace"],
        Keys = [KeySpec.At(2, KeyAccess.ReadOnly)],
        Args = [Arg.Key("key")],
        Tips = ["nondeterministic_output"],
        Handler = &RunRefCount,
    };

    /// <summary>OBJECT HELP</summary>
    public static readonly CommandSpec ObjectHelp = new("help", 2)
    {
        Since = "6.2.0",
        Group = CommandGroup.Generic,
        Complexity = "O(1)",
        Summary = "Returns helpful text about the different subcommands.",
        Flags = CommandFlags.Loading | CommandFlags.Stale,
        Categories = ["keyspace"],
        Handler = &RunHelp,
    };

    /// <summary>OBJECT</summary>
    public static readonly CommandSpec Object = new("object", -2)
    {
        Since = "2.2.3",
        Group = CommandGroup.Generic,
        Complexity = "Depends on subcommand.",
        Summary = "A container for object introspection commands.",
        Subcommands = [ObjectEncoding, ObjectFreq, ObjectHelp, ObjectIdleTime, ObjectRefCount],
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [Object];

    private static void RunEncoding(CommandContext c)
    {
        if (TryLook(c, out byte* record))
        {
            c.Reply.Bulk(EncodingName((DataType)Record.Type(record), (DataEncoding)Record.Encoding(record)));
        }
    }

    /// <summary>The name by which Redis knows how a value is held.</summary>
    internal static ReadOnlySpan<byte> EncodingName(DataType type, DataEncoding encoding) => encoding switch
    {
        _ when type == DataType.Stream => "stream"u8,
        DataEncoding.Raw => "raw"u8,
        DataEncoding.Embstr => "embstr"u8,
        DataEncoding.Int => "int"u8,
        DataEncoding.Pack => "listpack"u8,
        DataEncoding.HashTable => "hashtable"u8,
        DataEncoding.Quicklist => "quicklist"u8,
        DataEncoding.IntSet => "intset"u8,
        DataEncoding.SortedTree => "skiplist"u8,
        DataEncoding.ExpiringPack => "listpackex"u8,
        DataEncoding.ExpiringTable => "hashtable"u8,
        _ => throw new InvalidOperationException($"{encoding} is no encoding of a value."),
    };

    private static void RunFreq(CommandContext c)
    {
        if (!TryLook(c, out byte* record))
        {
            return;
        }

        if (!c.Keyspace.Options.UsesLfu)
        {
            c.Error(Errors.FrequencyNotTracked);
            return;
        }

        c.Reply.Integer(AccessStamp.Frequency(c.Keyspace, record));
    }

    private static void RunIdleTime(CommandContext c)
    {
        if (!TryLook(c, out byte* record))
        {
            return;
        }

        if (c.Keyspace.Options.UsesLfu)
        {
            c.Error(Errors.IdleTimeNotTracked);
            return;
        }

        c.Reply.Integer(AccessStamp.IdleSeconds(c.Keyspace, record));
    }

    private static void RunRefCount(CommandContext c)
    {
        if (TryLook(c, out byte* record))
        {
            c.Reply.Integer(IsSharedInteger(c.Keyspace.Options, record) ? int.MaxValue : 1);
        }
    }

    /// <summary>
    /// Whether Redis would hold one shared object for this value: a small integer, while no policy needs each key's own time of use.
    /// Nothing is shared here; scripts and tests look at the number all the same.
    /// </summary>
    private static bool IsSharedInteger(KeyspaceOptions options, byte* record)
    {
        const long sharedIntegers = 10_000;
        bool keepsTimes = options.Policy is EvictionPolicy.AllKeysLru or EvictionPolicy.VolatileLru or EvictionPolicy.AllKeysLfu or EvictionPolicy.VolatileLfu;
        return (options.MaxMemory == 0 || !keepsTimes)
            && Record.Encoding(record) == (int)DataEncoding.Int
            && StringValue.TryInteger(record, out long value)
            && value is >= 0 and < sharedIntegers;
    }

    /// <summary>Finds the key without leaving a trace on it; replies null when there is none.</summary>
    private static bool TryLook(CommandContext c, out byte* record)
    {
        record = c.Database.LookupWithoutTouch(c.Key(2), tellsOfMiss: false);
        if (record != null)
        {
            return true;
        }

        c.Reply.Null();
        return false;
    }

    private static void RunHelp(CommandContext c) => c.Help(
        "ENCODING <key>",
        "    Return the kind of internal representation used in order to store the value",
        "    associated with a <key>.",
        "FREQ <key>",
        "    Return the access frequency index of the <key>. The returned integer is",
        "    proportional to the logarithm of the recent access frequency of the key.",
        "IDLETIME <key>",
        "    Return the idle time of the <key>, that is the approximated number of",
        "    seconds elapsed since the last access to the key.",
        "REFCOUNT <key>",
        "    Return the number of references of the value associated with the specified",
        "    <key>.");
}
