using Leither.MmDb.Memory;
using Leither.MmDb.Values;

namespace Leither.MmDb.Commands;

/// <summary>
/// HCLEAR, LCLEAR, SCLEAR and ZCLEAR drop a whole collection of their type, HMCLEAR and its like several: a DEL that makes sure of what it deletes.
/// </summary>
public static unsafe class ClearCommands
{
    /// <summary>HCLEAR key</summary>
    public static readonly CommandSpec HClear = One("hclear", "hash", "Deletes a hash and returns how many fields it had.", &RunHClear);

    /// <summary>HMCLEAR key …</summary>
    public static readonly CommandSpec HMClear = Many("hmclear", "hash", "Deletes hashes and returns how many there were.", &RunHMClear);

    /// <summary>LCLEAR key</summary>
    public static readonly CommandSpec LClear = One("lclear", "list", "Deletes a list and returns how many elements it had.", &RunLClear);

    /// <summary>LMCLEAR key …</summary>
    public static readonly CommandSpec LMClear = Many("lmclear", "list", "Deletes lists and returns how many there were.", &RunLMClear);

    /// <summary>SCLEAR key</summary>
    public static readonly CommandSpec SClear = One("sclear", "set", "Deletes a set and returns how many members it had.", &RunSClear);

    /// <summary>SMCLEAR key …</summary>
    public static readonly CommandSpec SMClear = Many("smclear", "set", "Deletes sets and returns how many there were.", &RunSMClear);

    /// <summary>ZCLEAR key</summary>
    public static readonly CommandSpec ZClear = One("zclear", "sortedset", "Deletes a sorted set and returns how many members it had.", &RunZClear);

    /// <summary>ZMCLEAR key …</summary>
    public static readonly CommandSpec ZMClear = Many("zmclear", "sortedset", "Deletes sorted sets and returns how many there were.", &RunZMClear);

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [HClear, HMClear, LClear, LMClear, SClear, SMClear, ZClear, ZMClear];

    private static CommandSpec One(string name, string category, string summary, delegate*<CommandContext, void> handler) => new(name, 2)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(1). The memory is given back in slices.",
        Summary = summary,
        Flags = CommandFlags.Write | CommandFlags.Fast,
        Categories = [category],
        Keys = [KeySpec.At(1, KeyAccess.Remove | KeyAccess.Delete)],
        Args = [Arg.Key("key")],
        Handler = handler,
    };

    private static CommandSpec Many(string name, string category, string summary, delegate*<CommandContext, void> handler) => new(name, -2)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N) where N is the number of keys. The memory is given back in slices.",
        Summary = summary,
        Flags = CommandFlags.Write | CommandFlags.Fast,
        Categories = [category],
        Keys = [KeySpec.At(1, KeyAccess.Remove | KeyAccess.Delete, last: -1)],
        Args = [Arg.Key("key").Multiple()],
        Handler = handler,
    };

    private static void RunHClear(CommandContext c) => Clear(c, DataType.Hash, hash => new HashValue(c.Keyspace, (byte*)hash).LiveCount);

    private static void RunLClear(CommandContext c) => Clear(c, DataType.List, static list => new ListValue((byte*)list).Count);

    private static void RunSClear(CommandContext c) => Clear(c, DataType.Set, set => new SetValue(c.Keyspace, (byte*)set).Count);

    private static void RunZClear(CommandContext c) => Clear(c, DataType.SortedSet, static set => new SortedSetValue((byte*)set).Count);

    private static void RunHMClear(CommandContext c) => ClearAll(c, DataType.Hash);

    private static void RunLMClear(CommandContext c) => ClearAll(c, DataType.List);

    private static void RunSMClear(CommandContext c) => ClearAll(c, DataType.Set);

    private static void RunZMClear(CommandContext c) => ClearAll(c, DataType.SortedSet);

    private static void Clear(CommandContext c, DataType type, Func<nint, long> countOf)
    {
        Key key = c.Key(1);
        if (!c.TryReadForWrite(key, type, out byte* record))
        {
            return;
        }

        long count = record == null ? 0 : countOf((nint)record);
        if (record != null)
        {
            Delete(c, key);
        }

        c.Reply.Integer(count);
    }

    private static void ClearAll(CommandContext c, DataType type)
    {
        // All or nothing: the types first.
        for (int i = 1; i < c.Count; i++)
        {
            if (!c.TryReadForWrite(c.Key(i), type, out _))
            {
                return;
            }
        }

        long cleared = 0;
        for (int i = 1; i < c.Count; i++)
        {
            Key key = c.Key(i);
            if (c.Database.Peek(key) != null)
            {
                Delete(c, key);
                cleared++;
            }
        }

        c.Reply.Integer(cleared);
    }

    private static void Delete(CommandContext c, in Key key)
    {
        c.Effects.Delete(key);
        c.Notify(KeyspaceEvents.Generic, "del"u8, key);
    }
}
