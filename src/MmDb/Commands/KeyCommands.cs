namespace Leither.MmDb.Commands;

/// <summary>Commands for keys of any type.</summary>
public static unsafe class KeyCommands
{
    /// <summary>DEL key [key …]</summary>
    public static readonly CommandSpec Del = new("del", -2)
    {
        Group = CommandGroup.Generic,
        Complexity = "O(N) where N is the number of keys that will be removed. When a key to remove holds a value other than a string, the individual complexity for this key is O(M) where M is the number of elements in the list, set, sorted set or hash. Removing a single key that holds a string value is O(1).",
        Summary = "Deletes one or more keys.",
        Flags = CommandFlags.Write,
        Keys = [KeySpec.At(1, KeyAccess.Remove | KeyAccess.Delete, last: -1)],
        Tips = ["request_policy:multi_shard", "response_policy:agg_sum"],
        Args = [Arg.Key("key").Multiple()],
        Handler = &RunDel,
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [Del];

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
}
